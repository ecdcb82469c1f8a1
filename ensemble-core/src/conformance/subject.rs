//! What is checked: a learner or a transformer, so that one check serves both.

use std::sync::Arc;

use super::problem::Tables;
use crate::{
    account::ledger::Ledger,
    data::{
        mat::{MatMut, MatRef, Shape},
        rows::{Rows, RowsView},
        table::Heap,
    },
    error::Result,
    learner::{
        estimator::{
            Access, Estimator, FitContext, FitCost, FittedTransform, MissingValues, Train, Transformer,
            cost_of,
        },
        model::Model,
        registry::Registry,
    },
    persist::record::Record,
};

#[derive(Clone)]
pub(crate) enum Subject {
    Learner(Arc<dyn Estimator>),
    Transformer(Arc<dyn Transformer>),
}

/// What came of a fit.
#[derive(Clone)]
pub(crate) enum Fit {
    Model(Arc<dyn Model>),
    Transform(Arc<dyn FittedTransform>),
}

/// Rows as one fit gets them.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) x: MatRef<'a>,
    pub(crate) y: MatRef<'a>,
    pub(crate) rows: &'a Rows,
    pub(crate) n_classes: Option<usize>,
    pub(crate) seed: u64,
    /// The tables behind the rows, when they can be kept.
    pub(crate) tables: Option<&'a Tables>,
}

impl<'a> Given<'a> {
    pub(crate) fn new(tables: &'a Tables, rows: &'a Rows) -> Self {
        let (x, y) = (tables.x.as_mat(), tables.y.as_mat());
        Self { x, y, rows, n_classes: tables.n_classes, seed: 1, tables: Some(tables) }
    }
}

impl Subject {
    pub(crate) fn kind(&self) -> String {
        match self {
            Subject::Learner(l) => l.kind(),
            Subject::Transformer(t) => t.kind(),
        }
    }

    pub(crate) fn access(&self) -> Access {
        match self {
            Subject::Learner(l) => l.access(),
            Subject::Transformer(t) => t.access(),
        }
    }

    pub(crate) fn merges(&self) -> bool {
        match self {
            Subject::Learner(l) => l.as_merge().is_some(),
            Subject::Transformer(t) => t.as_merge().is_some(),
        }
    }

    /// What a fit on a target of `n_classes` classes, or of numbers, is to allocate.
    pub(crate) fn cost(&self, train: Shape, n_classes: Option<usize>) -> FitCost {
        match self {
            Subject::Learner(l) => cost_of(l.as_ref(), train, n_classes),
            Subject::Transformer(t) => t.cost(train),
        }
    }

    pub(crate) fn missing_values(&self) -> MissingValues {
        match self {
            Subject::Learner(l) => l.missing_values(),
            Subject::Transformer(t) => t.missing_values(),
        }
    }

    pub(crate) fn fit(&self, given: Given<'_>) -> Result<Fit> {
        let ledger = Ledger::new();
        let cx = FitContext {
            seed: given.seed,
            n_classes: given.n_classes,
            table: given.tables.map(|t| &t.x),
            target: given.tables.map(|t| &t.y),
            ..FitContext::alone(&Heap, &ledger)
        };
        let train = Train::new(RowsView::new(given.x, given.rows)?, RowsView::new(given.y, given.rows)?)?;
        Ok(match self {
            Subject::Learner(l) => Fit::Model(l.fit_rows(&train, &cx)?),
            Subject::Transformer(t) => Fit::Transform(t.fit_rows(&train, &cx)?),
        })
    }
}

impl Fit {
    pub(crate) fn n_inputs(&self) -> usize {
        match self {
            Fit::Model(m) => m.n_inputs(),
            Fit::Transform(t) => t.n_in(),
        }
    }

    pub(crate) fn n_outputs(&self) -> usize {
        match self {
            Fit::Model(m) => m.n_outputs(),
            Fit::Transform(t) => t.n_out(),
        }
    }

    /// Predict, or transform.
    pub(crate) fn apply_into(&self, x: MatRef<'_>, out: MatMut<'_>) -> Result<()> {
        match self {
            Fit::Model(m) => m.predict_into(x, out),
            Fit::Transform(t) => t.transform_block_into(x, out),
        }
    }

    pub(crate) fn to_record(&self) -> Result<Record> {
        match self {
            Fit::Model(m) => m.to_record(),
            Fit::Transform(t) => t.to_record(),
        }
    }

    /// The same sort of thing from a record.
    pub(crate) fn load(&self, record: &Record, registry: &Registry) -> Result<Fit> {
        Ok(match self {
            Fit::Model(_) => Fit::Model(registry.load_model(record)?),
            Fit::Transform(_) => Fit::Transform(registry.load_transform(record)?),
        })
    }
}
