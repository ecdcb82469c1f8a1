//! Where predictions of held-out rows go, and what is kept of them.

use crate::{
    account::ledger::{Work, WorkKind},
    data::{mat::Shape, table::Scratch},
    design::layout::Design,
    learner::layer::Learner,
    plan::job::Job,
};

/// Prediction columns above this size go to scratch room.
const SPILL_PREDICTIONS_ABOVE: u64 = 64 << 20;

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
