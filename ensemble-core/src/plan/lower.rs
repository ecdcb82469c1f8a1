//! From what is to be fitted to what will be done.

use std::sync::Arc;

use crate::{
    account::{
        ledger::{Totals, Work, WorkKind},
        memory,
    },
    data::{
        classes::Classes,
        gather::{GatherFor, gather_work, numbers_work},
        mat::{Order, Shape},
        rows::Rows,
        table::{DenseTable, Scratch, Table},
    },
    design::{
        layout::Design,
        scheme::{DesignFacts, Scheme},
    },
    error::{Error, Result, guarded},
    learner::estimator::Access,
    plan::{
        bound::{Bound, ContiguousCost, ViewCost, sum, view_cost},
        check::{check_inputs, target_classes},
        job::Job,
        layer::{LayerPlan, Plan},
        lowering::{Lowering, Place},
        predictions::{prediction_work, predictions_spill},
        resource::Resources,
        view::{Input, Residence},
    },
    threads,
};

pub(crate) fn plan(job: &Job, x: &dyn Table, y: &dyn Table) -> Result<Plan> {
    check_inputs(job, x, y)?;
    match job.threads {
        Some(threads) => threads::check(threads)?,
        None => threads::ready()?,
    }
    let classes = target_classes(job, y)?;
    let facts = Facts { designs: designs(job, x, y, classes.as_ref())?, classes };
    if let Some(budget) = job.budget.get() {
        return plan_within(job, x, y, &facts, Bound::Budget(budget));
    }
    let free = plan_within(job, x, y, &facts, Bound::None)?;
    match memory::available() {
        // What would not fit at once may fit in turn.
        Some(available) if free.peak_bytes > available => {
            plan_within(job, x, y, &facts, Bound::Available(available))
        }
        _ => Ok(free),
    }
}

/// What is known of the rows before bytes are.
struct Facts {
    designs: Vec<Arc<Design>>,
    classes: Option<Classes>,
}

/// The design of every layer, from the first one up.
fn designs(job: &Job, x: &dyn Table, y: &dyn Table, classes: Option<&Classes>) -> Result<Vec<Arc<Design>>> {
    let layers = job.layers();
    let one_matrix = matches!(neediest(job)?, Access::Contiguous(_));
    let scheme: &dyn Scheme = job.scheme.as_ref();
    let mut nrows = x.as_mat().nrows();
    let mut designs: Vec<Arc<Design>> = Vec::with_capacity(layers.len());
    for at in 0..layers.len() {
        let target = if at == 0 { y.as_mat().column(0).unwrap_or_default() } else { &[] };
        let is_last = at + 1 == layers.len();
        let facts = DesignFacts { nrows, one_matrix, target, n_classes: classes.map(Classes::len), is_last };
        let mut design = guarded(|| match designs.last() {
            None => scheme.design(&facts),
            Some(below) => scheme.design_above(below, &facts),
        })?;
        if design.nrows() != nrows {
            return Err(Error::shape(
                format!("rows that the scheme splits for layer {at}"),
                nrows,
                design.nrows(),
            ));
        }
        if at > 0 && design.arrangement().order().is_some() {
            return Err(Error::unsupported("only the rows of the first layer can be put in another order"));
        }
        if !job.holds_out(at, layers.len()) {
            design = design.without_held_out();
        }
        nrows = design.predicted_rows().len();
        if !is_last && nrows == 0 {
            return Err(Error::unsupported(format!(
                "the scheme holds no rows out, so that layer {} has no predictions to learn from; leave it out, or split the rows",
                at + 1
            )));
        }
        if at == 0 && nrows == 0 && job.out_of_fold {
            return Err(Error::unsupported(
                "the scheme holds no rows out, so that there are no out-of-fold predictions to keep; split the rows",
            ));
        }
        designs.push(Arc::new(design));
    }
    Ok(designs)
}

fn plan_within(job: &Job, x: &dyn Table, y: &dyn Table, facts: &Facts, bound: Bound) -> Result<Plan> {
    let mat = x.as_mat();
    let shape = mat.shape();
    let classes = facts.classes.as_ref();
    let n_classes = classes.map(Classes::len);
    let first = &facts.designs[0];
    let threads = job.threads.unwrap_or_else(rayon::current_num_threads);
    let scratch: &dyn Scratch = job.scratch.as_ref();
    let mut work = Vec::new();
    let arranged = first.arrangement().order();
    let on_scratch = |shape: Shape, order: Order| -> ContiguousCost<'_> {
        Box::new(move |rows: &Rows| {
            let bytes = scratch.contiguous_cost(shape, order, rows)?;
            Some(ViewCost { bytes, mappings: scratch.contiguous_mappings(shape, order, rows) })
        })
    };
    let yshape = Shape { nrows: shape.nrows, ncols: 1 };
    // Labels that are not class numbers are written once as such; rows in another order are written anyway.
    let numbered = arranged.is_none() && classes.is_some_and(|c| !c.are_numbers());
    if numbered {
        work.push(numbers_work(yshape, scratch.is_anonymous()));
    }
    let made_target: Option<Arc<dyn Table>>;
    let (mut place, y_cost) = if arranged.is_some() {
        work.push(Work::new(WorkKind::Pass, 0, None, shape.bytes(), "write in fold order"));
        for (bytes, what) in
            [(shape.bytes(), "table in fold order"), (yshape.bytes(), "targets in fold order")]
        {
            work.push(gather_work(bytes, scratch.is_anonymous(), GatherFor { layer: 0, fold: None, what }));
        }
        let cost = on_scratch(shape, Order::C);
        // Tables that are written anew can be kept; these stand for them.
        let handle: Arc<dyn Table> = Arc::new(DenseTable::empty(shape.ncols));
        let target: Arc<dyn Table> = Arc::new(DenseTable::empty(1));
        let place =
            Place { shape, order: Order::C, cost, handle: Some(handle), target: Some(Arc::clone(&target)) };
        made_target = Some(target);
        (place, on_scratch(yshape, Order::C))
    } else {
        let ycost = if numbered { on_scratch(yshape, Order::C) } else { view_cost(y) };
        made_target = numbered.then(|| Arc::new(DenseTable::empty(1)) as Arc<dyn Table>);
        let (handle, target) = (x.handle(), made_target.clone().or_else(|| y.handle()));
        (Place { shape, order: mat.order(), cost: view_cost(x), handle, target }, ycost)
    };
    let mappings = x.mappings_left().min(y.mappings_left()).min(scratch.mappings_left());
    let layers = job.layers();
    let mut plans: Vec<LayerPlan> = Vec::with_capacity(layers.len());
    let mut peak = 0u64;
    let mut held = Resources::default();
    let anonymous = scratch.is_anonymous();
    if let Some(order) = arranged {
        held.keep("order of the rows", 0, size_of_val(order) as u64, true);
        held.keep("targets in fold order", 0, yshape.bytes(), anonymous);
        held.lend("table in fold order", 0, shape.bytes(), anonymous);
    } else if numbered {
        held.keep("class numbers", 0, yshape.bytes(), anonymous);
    }
    held.read(0);
    let mut first_row = 0;
    for (at, learners) in layers.iter().enumerate() {
        let design = &facts.designs[at];
        let lowering = Lowering {
            job,
            bound,
            at,
            learners,
            design,
            first_row,
            mappings,
            y_cost: y_cost.as_ref(),
            n_classes,
            n_layers: layers.len(),
        };
        let above = layers.get(at + 1).zip(facts.designs.get(at + 1));
        let above = above.map(|(learners, design)| (*learners, design.as_ref()));
        let (planned, needs) = lowering.plan(&place, plans.last(), above, held.held(at), &mut work)?;
        peak = peak.max(needs.peak);
        let out = lowering.predictions();
        let stored_in_memory = planned.predictions == Residence::Memory;
        let kept = lowering.kept_predictions();
        if let Some(kept) = kept {
            work.push(prediction_work(job, 0, kept.bytes(), "out-of-fold predictions in input order"));
            let in_memory = !predictions_spill(job, kept.bytes());
            // Both are there while one is brought into the other's order.
            let both = [(stored_in_memory, out), (in_memory, kept)];
            let both = both.into_iter().filter(|(in_memory, _)| *in_memory).map(|(_, shape)| shape.bytes());
            peak = peak.max(sum(both.chain([held.held(at), planned.state_bytes, needs.models])));
            held.keep("out-of-fold predictions in input order", at, kept.bytes(), in_memory);
        }
        held.keep("models", at, needs.models, true);
        let stays = at == 0 && job.out_of_fold && kept.is_none();
        if stays {
            held.keep("out-of-fold predictions", at, out.bytes(), stored_in_memory);
        }
        match planned.input_above {
            Some(Input::Predictions) => {
                held.cut();
                if !stays {
                    held.lend("out-of-fold predictions", at, out.bytes(), stored_in_memory);
                }
            }
            Some(_) => {
                held.lend("models of cells", at, needs.cell_models, true);
                if planned.input_above == Some(Input::Statistics) {
                    held.lend("statistics of atoms", at, needs.atom_states, true);
                }
            }
            None => {}
        }
        held.read(at + 1);
        let stored = planned.input_above == Some(Input::Predictions);
        place = Place {
            shape: out,
            order: Order::C,
            cost: if planned.predictions == Residence::Spilled {
                on_scratch(out, Order::C)
            } else {
                Box::new(|_: &Rows| None)
            },
            // Columns that are stored can be kept; these stand for them.
            handle: stored.then(|| Arc::new(DenseTable::empty(out.ncols)) as Arc<dyn Table>),
            target: made_target.clone().or_else(|| y.handle()),
        };
        first_row += design.predicted_rows().start;
        plans.push(planned);
    }
    work.sort();
    Ok(Plan {
        rows: shape.nrows,
        columns: shape.ncols,
        table: x.describe(),
        fold_sizes: first.predicted_sizes(),
        folds_text: first.describe().to_owned(),
        scheme: guarded(|| Ok(job.scheme.spec()))?,
        arranged: arranged.is_some(),
        classes: facts.classes.clone(),
        n_classes,
        threads,
        layers: plans,
        totals: Totals::of(&work),
        work,
        resources: held.into_list(layers.len()),
        peak_bytes: peak,
    })
}

/// The access of the learner that is hardest to serve: folds follow from it, whatever table they are cut from.
fn neediest(job: &Job) -> Result<Access> {
    for (at, layer) in job.layers().into_iter().enumerate() {
        for learner in layer {
            let access = guarded(|| Ok(learner.estimator.access()));
            let access = access.map_err(|e| e.in_learner(&learner.name, at, None))?;
            if matches!(access, Access::Contiguous(_)) {
                return Ok(access);
            }
        }
    }
    Ok(Access::Segments)
}
