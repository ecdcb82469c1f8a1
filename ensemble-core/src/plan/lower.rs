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
        table::{Scratch, Table},
    },
    design::{
        layout::Design,
        scheme::{DesignFacts, Scheme},
    },
    error::{Error, Result, guarded},
    learner::{
        estimator::{Access, cost_of},
        layer::Learner,
    },
    plan::{
        admission::{Bound, ContiguousCost, ViewCost, sum, view_cost},
        check::{check_declared, check_inputs, target_classes},
        job::Job,
        layer::{LayerPlan, LearnerPlan, Plan},
        view::{Input, Read, Residence},
    },
    statistic::{
        merge_plan::MergePlan,
        moments::{MOMENTS, Moments},
        state::{BLOCK_ROWS, Statistic, StatisticContext, minimal_requests},
    },
    threads,
};

/// Prediction columns above this size go to scratch room.
const SPILL_PREDICTIONS_ABOVE: u64 = 64 << 20;

/// Where a layer's rows will lie, as far as views of them go.
pub(crate) struct Place<'a> {
    pub(crate) shape: Shape,
    pub(crate) order: Order,
    pub(crate) cost: ContiguousCost<'a>,
    /// A counted handle will be there for statistics that keep places.
    handle: Option<Arc<dyn Table>>,
}

pub(crate) fn requests(
    learners: &[Learner],
    layer: usize,
    cx: &StatisticContext,
) -> Result<Vec<Box<dyn Statistic>>> {
    let mut wanted = Vec::new();
    for learner in learners {
        let own = guarded(|| learner.estimator.as_merge().map_or(Ok(Vec::new()), |m| m.statistics(cx)));
        wanted.extend(own.map_err(|e| e.in_declaration(&learner.name, layer))?);
    }
    guarded(|| Ok(minimal_requests(wanted)))
}

/// What a learner declares that one fit costs.
pub(crate) fn declared_cost(
    learner: &Learner,
    layer: usize,
    train: Shape,
    n_classes: Option<usize>,
) -> Result<u64> {
    guarded(|| Ok(cost_of(learner.estimator.as_ref(), train, n_classes).peak_bytes))
        .map_err(|e| e.in_declaration(&learner.name, layer))
}

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
            return Err(Error::unsupported(format!("the scheme predicts no rows for layer {}", at + 1)));
        }
        designs.push(Arc::new(design));
    }
    Ok(designs)
}

/// Whether statistics and predictions of the layer below can be taken atom by atom: its predicted atoms are the atoms above.
fn continues(below: &Design, above: &Design) -> bool {
    let predicted = below.predicted_atoms();
    let bounds = &below.atoms().bounds()[predicted.start..=predicted.end];
    below.n_groups() == 1
        && bounds.len() == above.atoms().bounds().len()
        && bounds.iter().zip(above.atoms().bounds()).all(|(b, a)| b - bounds[0] == *a)
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
    let (mut place, y_cost) = if arranged.is_some() {
        work.push(Work::new(WorkKind::Pass, 0, None, shape.bytes(), "write in fold order"));
        for (bytes, what) in
            [(shape.bytes(), "table in fold order"), (yshape.bytes(), "targets in fold order")]
        {
            work.push(gather_work(bytes, scratch.is_anonymous(), GatherFor { layer: 0, fold: None, what }));
        }
        let place = Place { shape, order: Order::C, cost: on_scratch(shape, Order::C), handle: x.handle() };
        (place, on_scratch(yshape, Order::C))
    } else {
        let ycost = if numbered { on_scratch(yshape, Order::C) } else { view_cost(y) };
        (Place { shape, order: mat.order(), cost: view_cost(x), handle: x.handle() }, ycost)
    };
    let mappings = x.mappings_left().min(y.mappings_left()).min(scratch.mappings_left());
    let layers = job.layers();
    let mut plans: Vec<LayerPlan> = Vec::with_capacity(layers.len());
    let mut peak = 0u64;
    // The order itself, four bytes a row.
    let mut held = arranged.map_or(0, |order| size_of_val(order) as u64);
    if scratch.is_anonymous() {
        held = held.saturating_add(match arranged {
            Some(_) => shape.bytes().saturating_add(yshape.bytes()),
            None if numbered => yshape.bytes(),
            None => 0,
        });
    }
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
        let (planned, hold) = lowering.plan(&place, plans.last(), above, held, &mut work)?;
        peak = peak.max(hold);
        let out = lowering.predictions();
        if planned.predictions == Residence::Memory {
            held = held.saturating_add(out.bytes());
        }
        if let Some(kept) = lowering.kept_predictions() {
            work.push(prediction_work(job, 0, kept.bytes(), "out-of-fold predictions in input order"));
            if !predictions_spill(job, kept.bytes()) {
                held = held.saturating_add(kept.bytes());
                peak = peak.max(held);
            }
        }
        place = Place {
            shape: out,
            order: Order::C,
            cost: if planned.predictions == Residence::Spilled {
                on_scratch(out, Order::C)
            } else {
                Box::new(|_: &Rows| None)
            },
            handle: None,
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
        arranged: arranged.is_some(),
        classes: facts.classes.clone(),
        n_classes,
        threads,
        layers: plans,
        totals: Totals::of(&work),
        work,
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

/// Prediction columns of a layer, of one group.
pub(crate) fn width(learners: &[Learner], n_classes: Option<usize>) -> usize {
    learners.iter().map(|l| l.estimator.predicts().columns(n_classes.unwrap_or(0))).sum()
}

/// Where prediction columns of this size go.
pub(crate) fn predictions_spill(job: &Job, bytes: u64) -> bool {
    let limit = job.budget.get().map_or(SPILL_PREDICTIONS_ABOVE, |b| (b / 4).min(SPILL_PREDICTIONS_ABOVE));
    bytes > limit && !job.scratch.is_anonymous()
}

pub(crate) fn prediction_work(job: &Job, layer: usize, bytes: u64, what: &'static str) -> Work {
    let kind = if predictions_spill(job, bytes) { WorkKind::Spill } else { WorkKind::Predictions };
    Work::new(kind, layer, None, bytes, what)
}

/// Room for prediction columns.
pub(crate) fn prediction_room<'a>(job: &'a Job, bytes: u64, heap: &'a dyn Scratch) -> &'a dyn Scratch {
    if predictions_spill(job, bytes) { job.scratch.as_ref() } else { heap }
}

/// The shape of the first layer's held-out predictions in the input's order, where they are kept and do not lie so anyway: with rows
/// that no cell predicts, or rows that were put in another order.
pub(crate) fn kept_in_input_order(job: &Job, at: usize, design: &Design, ncols: usize) -> Option<Shape> {
    let whole = design.predicted_rows() == (0..design.nrows()) && design.arrangement().order().is_none();
    (at == 0 && job.out_of_fold && !whole).then_some(Shape { nrows: design.nrows(), ncols })
}

/// One layer on its way into the plan.
pub(crate) struct Lowering<'a> {
    pub(crate) job: &'a Job,
    pub(crate) bound: Bound,
    pub(crate) at: usize,
    pub(crate) learners: &'a [Learner],
    design: &'a Arc<Design>,
    first_row: usize,
    /// Mappings that views which live at once may take together.
    pub(crate) mappings: u64,
    pub(crate) y_cost: &'a dyn Fn(&Rows) -> Option<ViewCost>,
    pub(crate) n_classes: Option<usize>,
    n_layers: usize,
}

impl Lowering<'_> {
    /// The shape of the predictions of held-out rows.
    fn predictions(&self) -> Shape {
        let ncols = width(self.learners, self.n_classes) * self.design.n_groups();
        Shape { nrows: self.design.predicted_rows().len(), ncols }
    }

    fn kept_predictions(&self) -> Option<Shape> {
        kept_in_input_order(self.job, self.at, self.design, self.predictions().ncols)
    }

    fn plan(
        &self,
        place: &Place<'_>,
        below: Option<&LayerPlan>,
        above: Option<(&[Learner], &Design)>,
        held: u64,
        work: &mut Vec<Work>,
    ) -> Result<(LayerPlan, u64)> {
        let Self { job, at, learners, design, .. } = self;
        let at = *at;
        let holds_out = job.holds_out(at, self.n_layers);
        let by_rows = |l: &&Learner| l.estimator.as_merge().is_none();
        let cx = StatisticContext {
            ncols: place.shape.ncols,
            table: place.handle.as_ref().map(Arc::clone),
            target: None,
            behind: None,
            n_classes: self.n_classes,
        };
        let smallest = design.ids().map(|(id, _)| design.fit_rows(id).len()).min().unwrap_or(0);
        check_declared(learners, at, Shape { nrows: smallest, ..place.shape })?;
        let wanted = requests(learners, at, &cx)?;
        let input = match below.map(|below| (below.input_above, below.predictions.is_stored())) {
            None => Input::Table,
            // Columns that are stored anyway are read rather than made again.
            Some((Some(Input::Stream), true)) | Some((None, _)) => Input::Predictions,
            Some((Some(input), _)) => input,
        };
        // What is not stored is made from what the layer below reads.
        let reads = match (input, below) {
            (Input::Stream | Input::Statistics, Some(below)) => below.reads,
            _ => Read { layer: at, bytes: place.shape.bytes() },
        };
        if input != Input::Statistics && !wanted.is_empty() {
            work.push(reads.work("statistics"));
        }
        let checked = at == 0 && wanted.is_empty();
        if checked {
            work.push(reads.work("check values"));
        }

        // What follows from the states: scores, and the next layer's statistics.
        let has_moments = wanted.iter().any(|w| w.key() == MOMENTS);
        let linear = learners.iter().all(|l| l.estimator.is_linear());
        let scored_by_statistics = has_moments && linear && !learners.iter().any(|l| by_rows(&l));
        let input_above = above
            .map(|(learners, above)| self.input_above(learners, above, linear, scored_by_statistics))
            .transpose()?;
        let stored = input_above == Some(Input::Predictions) || (at == 0 && job.out_of_fold);
        let bytes = self.predictions().bytes();
        let predictions = match (stored, holds_out && !scored_by_statistics) {
            (true, _) if predictions_spill(job, bytes) => Residence::Spilled,
            (true, _) => Residence::Memory,
            (false, true) => Residence::Scored,
            (false, false) => Residence::None,
        };
        // Merging learners predict side by side in one scan; others one by one, each after its fit.
        let n_by_rows = learners.iter().filter(by_rows).count();
        let together = predictions != Residence::None && n_by_rows < learners.len();
        let alone = if holds_out { n_by_rows } else { 0 };
        work.extend((0..alone + usize::from(together)).map(|_| reads.work("out-of-fold predictions")));
        if stored {
            work.push(prediction_work(job, at, bytes, "out-of-fold predictions"));
        }

        // States: each atom's, those merged from them, and those along the tree.
        let atoms = design.atoms();
        let atom_rows = atoms.sizes().max().unwrap_or(0);
        let one_state = sum(wanted.iter().map(|w| w.bytes()));
        let kept = sum(wanted.iter().map(|w| w.bytes_for(atom_rows).saturating_sub(w.bytes())));
        let depth = u64::from((atom_rows.div_ceil(BLOCK_ROWS).max(1)).ilog2()) + 2;
        let threads = job.threads.unwrap_or_else(rayon::current_num_threads) as u64;
        let merges = MergePlan::new(atoms.len(), design.cells().iter().map(|c| c.fit.runs()));
        let state_bytes = one_state
            .saturating_mul(merges.states_alive() as u64 + depth * threads)
            .saturating_add(kept.saturating_mul(atoms.len() as u64));

        let mut planned = LayerPlan {
            learners: Vec::with_capacity(learners.len()),
            design: Arc::clone(design),
            first_row: self.first_row,
            input,
            input_above,
            statistics: wanted.iter().map(|w| w.key().to_string()).collect(),
            state_bytes,
            predictions,
            reads,
            holds_out,
            scored_by_statistics,
            checked,
            views: Vec::new(),
            waves: Vec::new(),
        };
        for learner in *learners {
            let access = learner.estimator.access();
            let order = match access {
                Access::Contiguous(order) => Some(order.unwrap_or(place.order)),
                _ => None,
            };
            let cost = declared_cost(learner, at, place.shape, self.n_classes)?;
            let predicts = learner.estimator.predicts();
            let first = planned.group_width();
            planned.learners.push(LearnerPlan {
                name: learner.name.clone(),
                kind: learner.estimator.kind(),
                access,
                cost,
                predicts,
                columns: first..first + predicts.columns(self.n_classes.unwrap_or(0)),
                order,
            });
        }
        let stored_bytes = if predictions == Residence::Memory { bytes } else { 0 };
        let base = sum([held, state_bytes, stored_bytes]);
        self.bound.check(base, || format!("layer {at}: statistics and prediction columns"))?;
        let peak = if n_by_rows > 0 { self.plan_views(place, base, &mut planned, work)? } else { base };
        Ok((planned, peak))
    }

    /// How the layer above gets its columns.
    fn input_above(
        &self,
        above: &[Learner],
        design: &Design,
        linear: bool,
        from_moments: bool,
    ) -> Result<Input> {
        let cx =
            StatisticContext { n_classes: self.n_classes, ..StatisticContext::new(self.predictions().ncols) };
        let wanted = requests(above, self.at + 1, &cx)?;
        let merging = above.iter().all(|l| l.estimator.as_merge().is_some());
        let reads_values = wanted.iter().any(|w| w.keeps_places());
        let template = Moments::new(0);
        let by_atom = merging && linear && continues(self.design, design);
        Ok(if by_atom && from_moments && wanted.iter().all(|w| template.covers(&w.key())) {
            Input::Statistics
        } else if by_atom && !reads_values {
            Input::Stream
        } else {
            Input::Predictions
        })
    }
}
