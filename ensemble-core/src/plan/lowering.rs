//! What is known of a layer while it is planned.

use std::sync::Arc;

use crate::{
    data::{
        mat::{Order, Shape},
        rows::Rows,
        table::Table,
    },
    design::layout::Design,
    error::{Result, guarded},
    learner::{estimator::cost_of, layer::Learner},
    plan::{
        bound::{Bound, ContiguousCost, ViewCost},
        job::Job,
    },
    statistic::state::{Statistic, StatisticContext, minimal_requests},
};

/// Where a layer's rows will lie, as far as views of them go.
pub(crate) struct Place<'a> {
    pub(crate) shape: Shape,
    pub(crate) order: Order,
    pub(crate) cost: ContiguousCost<'a>,
    /// A counted handle will be there for statistics that keep places.
    pub(crate) handle: Option<Arc<dyn Table>>,
    pub(crate) target: Option<Arc<dyn Table>>,
}

impl Place<'_> {
    /// What statistics of these rows are made from.
    pub(crate) fn context(&self, n_classes: Option<usize>) -> StatisticContext {
        StatisticContext { n_classes, ..StatisticContext::new(self.shape.ncols) }
            .with_tables(self.handle.as_ref(), self.target.as_ref())
    }
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

/// One layer on its way into the plan.
pub(crate) struct Lowering<'a> {
    pub(crate) job: &'a Job,
    pub(crate) bound: Bound,
    pub(crate) at: usize,
    pub(crate) learners: &'a [Learner],
    pub(crate) design: &'a Arc<Design>,
    pub(crate) first_row: usize,
    /// Mappings that views which live at once may take together.
    pub(crate) mappings: u64,
    pub(crate) y_cost: &'a dyn Fn(&Rows) -> Option<ViewCost>,
    pub(crate) n_classes: Option<usize>,
    pub(crate) n_layers: usize,
}
