//! Carries out a plan, layer by layer. Decides nothing that the plan could have decided.

use std::{ops::Range, sync::Arc, time::Instant};

use crate::{
    account::ledger::{Ledger, Reservation, Totals, Work, WorkKind},
    data::{
        classes::Classes,
        gather::{class_number, number_classes, reorder},
        mat::{MatRef, Order},
        table::{Heap, ScratchMatrix, Table},
        window::Window,
    },
    design::arrangement::Arrangement,
    error::{Error, ErrorKind, Result},
    exec::{
        layer::{Below, LayerRun},
        notes::Note,
        report::Report,
        source::{Source, Stored},
    },
    learner::layer::FittedLearner,
    plan::{
        job::Job,
        layer::{LayerPlan, Plan},
        predictions::{kept_in_input_order, prediction_room, prediction_work, predictions_spill},
        view::Input,
    },
};

/// What came of a plan.
pub(crate) struct Outcome {
    /// Layer by layer.
    pub(crate) layers: Vec<Vec<FittedLearner>>,
    pub(crate) ncols: usize,
    pub(crate) classes: Option<Classes>,
    pub(crate) report: Report,
    pub(crate) out_of_fold: Option<Arc<dyn Table>>,
}

/// Rows as the fit reads them: where they lie, or written once in another order or with class numbers for labels.
#[derive(Default)]
struct Arranged {
    x: Option<Stored>,
    y: Option<Stored>,
    _order: Option<Reservation>,
}

impl Arranged {
    fn new(job: &Job, plan: &Plan, x: &dyn Table, y: &dyn Table, ledger: &Ledger) -> Result<Self> {
        let scratch = job.scratch.as_ref();
        let unnumbered = plan.classes.as_ref().filter(|c| !c.are_numbers());
        let in_target = |e: Error| e.in_target(&y.describe());
        let Some(order) = plan.design().arrangement().order() else {
            let Some(classes) = unnumbered else { return Ok(Self::default()) };
            let numbers = number_classes(y.as_mat(), classes, scratch, ledger).map_err(in_target)?;
            let numbers = Stored::new(numbers.into_table(), scratch.is_anonymous(), ledger);
            return Ok(Self { y: Some(numbers), ..Self::default() });
        };
        let bytes = x.as_mat().shape().bytes();
        ledger.write(Work::new(WorkKind::Pass, 0, None, bytes, "write in fold order"));
        let _order = Some(ledger.reserve(size_of_val(order) as u64));
        let stored =
            |table: Box<dyn ScratchMatrix>| Stored::new(table.into_table(), scratch.is_anonymous(), ledger);
        let rows = stored(reorder(x.as_mat(), order, scratch, ledger, "table in fold order")?);
        let mut targets = reorder(y.as_mat(), order, scratch, ledger, "targets in fold order")?;
        if let Some(classes) = unnumbered {
            let mut column = targets.as_mat_mut();
            for row in 0..order.len() {
                let label = column.as_ref().get(row, 0);
                column.set(row, 0, class_number(classes, label).map_err(in_target)?);
            }
        }
        Ok(Self { x: Some(rows), y: Some(stored(targets)), _order })
    }
}

#[tracing::instrument(skip_all, fields(rows = plan.rows, columns = plan.columns, cells = plan.design().cells().len()))]
pub(crate) fn run(job: &Job, plan: Plan, x: &dyn Table, y: &dyn Table) -> Result<Outcome> {
    let start = Instant::now();
    let unchanged = || x.check_unchanged().and_then(|()| y.check_unchanged());
    unchanged()?;
    let ledger = Ledger::new();
    let mut arranged = Arranged::new(job, &plan, x, y, &ledger)?;
    let (source, mut x_handle) = match arranged.x.take() {
        Some(stored) => {
            let handle = stored.table.handle();
            (Source::Stored(stored), handle)
        }
        None => (Source::Table(x), x.handle()),
    };
    let y_table: &dyn Table = arranged.y.as_ref().map_or(y, |stored| stored.table.as_ref());
    let y_handle = y_table.handle();
    let first = &plan.layers[0].design;
    let arrangement = first.arrangement();
    let classes = plan.classes.as_ref();
    if let Some(classes) = &job.classes {
        check_classes(y_table.as_mat(), classes, arrangement).map_err(|e| e.in_target(&y.describe()))?;
    }
    let target = y_table.as_mat().column(0).ok_or_else(|| Error::unsupported("the target has gaps"))?;
    let layers = job.layers();
    let mut below: Option<Below<'_>> = None;
    let mut fitted = Vec::with_capacity(layers.len());
    let mut reports = Vec::new();
    let mut notes = match classes {
        Some(classes) => Note::on_classes(classes, target, first),
        None if job.scheme.follows_row_order() => Note::on_trend(target, first).into_iter().collect(),
        None => Vec::new(),
    };
    let mut out_of_fold = None;
    let mut first_source = Some(Arc::new(source));
    for (at, learners) in layers.iter().enumerate() {
        let layer_plan = &plan.layers[at];
        let design = layer_plan.design.as_ref();
        let source = match (&below, layer_plan.input) {
            (None, _) => first_source.take().expect("there is one first layer"),
            (Some(below), Input::Predictions) => {
                let columns = below.predictions.as_ref().expect("planned to be stored");
                Arc::new(Source::Stored(columns.clone()))
            }
            (Some(below), _) => Arc::new(Source::Predicted {
                below: Arc::clone(below.source.as_ref().expect("kept for a layer made from it")),
                models: Arc::clone(&below.models),
                design: Arc::clone(&below.design),
                learners: layers[at - 1],
                layer: at - 1,
            }),
        };
        // Whether the layer above is made in cache, from this one's rows and models.
        let streamed = matches!(layer_plan.input_above, Some(Input::Statistics | Input::Stream));
        let targets = Targets::new(y_table, y_handle.as_ref(), layer_plan)?;
        let layer = LayerRun {
            job,
            at,
            learners,
            plan: layer_plan,
            design,
            source: &source,
            y: &target[targets.rows.clone()],
            y_table: targets.table(y_table),
            ledger: &ledger,
            handle: if at == 0 { x_handle.take() } else { source.table().and_then(|t| t.handle()) },
            y_handle: targets.handle.clone(),
            keep_models: streamed,
            n_classes: classes.map(Classes::len),
            // Faults are told in the input's terms, also when rows were written in another order.
            x_name: if at == 0 { x.describe() } else { source.describe() },
            y_name: y.describe(),
            arrangement,
        };
        let fit = layer.run(below.as_ref());
        // Files that changed explain any fault that comes of it, so they are told first.
        unchanged()?;
        let fit = fit?;
        for (j, learner) in learners.iter().enumerate() {
            reports.push(layer.report(j, learner, &fit));
            notes.extend(layer.notes(j, learner, &fit));
        }
        if at == 0 && job.out_of_fold {
            let columns = fit.predictions.as_ref().expect("planned to be stored");
            out_of_fold = Some(in_input_order(job, layer_plan, columns, &ledger)?);
        }
        let named = learners.iter().cycle().zip(fit.full);
        fitted.push(
            named
                .map(|(l, model)| FittedLearner { name: l.name.clone(), kind: l.estimator.kind(), model })
                .collect(),
        );
        below = Some(Below {
            source: streamed.then_some(source),
            design: Arc::clone(&layer_plan.design),
            statistics: fit.statistics.filter(|_| layer_plan.input_above == Some(Input::Statistics)),
            models: Arc::new(fit.cell_models),
            predictions: fit.predictions,
        });
    }
    let peak_held_bytes = ledger.peak_held_bytes();
    let work = ledger.into_entries();
    let mut report = Report {
        rows: plan.rows,
        columns: plan.columns,
        fold_sizes: plan.fold_sizes.clone(),
        folds_text: plan.folds_text.clone(),
        scheme: plan.scheme.clone(),
        classes: plan.classes.as_ref().map(|c| c.labels().into()),
        threads: rayon::current_num_threads(),
        wall_seconds: start.elapsed().as_secs_f64(),
        totals: Totals::of(&work),
        peak_held_bytes,
        as_planned: false,
        learners: reports,
        notes,
        work,
    };
    report.as_planned = report.copies() == plan.copies() && peak_held_bytes <= plan.peak_bytes;
    Ok(Outcome {
        layers: fitted,
        ncols: plan.columns,
        classes: plan.classes,
        report,
        out_of_fold: out_of_fold.map(|o| o.table),
    })
}

/// The targets of one layer's rows: all of them, or those of the rows that the layers below left.
struct Targets<'t> {
    rows: Range<usize>,
    window: Option<Window<&'t dyn Table>>,
    handle: Option<Arc<dyn Table>>,
}

impl<'t> Targets<'t> {
    fn new(y: &'t dyn Table, handle: Option<&Arc<dyn Table>>, plan: &LayerPlan) -> Result<Self> {
        let rows = plan.first_row..plan.first_row + plan.design.nrows();
        if rows == (0..y.as_mat().nrows()) {
            return Ok(Self { rows, window: None, handle: handle.cloned() });
        }
        let window = Some(Window::new(y, rows.clone())?);
        let handle = handle.map(|h| Window::new(Arc::clone(h), rows.clone())).transpose()?;
        Ok(Self { rows, window, handle: handle.map(|window| Arc::new(window) as Arc<dyn Table>) })
    }

    fn table<'a>(&'a self, all: &'a dyn Table) -> &'a dyn Table {
        self.window.as_ref().map_or(all, |window| window)
    }
}

/// The first layer's held-out predictions as row i of the input is row i: as they are, or with rows brought back to the input's order,
/// NaN where no cell predicts a row.
fn in_input_order(job: &Job, plan: &LayerPlan, predictions: &Stored, ledger: &Ledger) -> Result<Stored> {
    let (design, mat) = (plan.design.as_ref(), predictions.table.as_mat());
    let Some(shape) = kept_in_input_order(job, 0, design, mat.ncols()) else {
        return Ok(predictions.clone());
    };
    let bytes = shape.bytes();
    let mut out = prediction_room(job, bytes, &Heap).matrix(shape, Order::C)?;
    {
        let mut out = out.as_mat_mut();
        let predicted = design.predicted_rows();
        for row in 0..shape.nrows {
            let to = out.row_mut(design.arrangement().input_row(row)).expect("scratch in C order");
            if predicted.contains(&row) {
                mat.copy_row_into(row - predicted.start, to);
            } else {
                to.fill(f64::NAN);
            }
        }
    }
    ledger.write(prediction_work(job, 0, bytes, "out-of-fold predictions in input order"));
    Ok(Stored::new(out.into_table(), !predictions_spill(job, bytes), ledger))
}

/// That every target is a class number; rows are told by their number in the input, also when they lie in another order.
fn check_classes(y: MatRef<'_>, classes: &Classes, arrangement: &Arrangement) -> Result<()> {
    let fault = (0..y.nrows()).map(|row| (row, y.get(row, 0))).find(|(_, value)| {
        let class = *value as usize;
        class as f64 != *value || class >= classes.len()
    });
    fault.map_or(Ok(()), |(row, value)| {
        let row = arrangement.input_row(row);
        let reason = format!("row {row} holds {value}, which is no class number below {}", classes.len());
        Err(ErrorKind::Classes { reason }.into())
    })
}
