//! Where the rows of a layer come from.

use std::{ops::Range, sync::Arc};

use crate::{
    account::ledger::{Ledger, Reservation},
    data::{
        mat::{MatMut, MatRef, Order},
        table::Table,
    },
    design::layout::Design,
    error::{Error, Result},
    learner::{
        layer::Learner,
        model::{Model, predict_all},
    },
};

/// Models of the cells of a layer that predict; `[cell][learner]`, empty where a cell's are not needed again.
pub(crate) type CellModels = Vec<Vec<Arc<dyn Model>>>;

/// A table that the fit made, and the memory it takes.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) table: Arc<dyn Table>,
    _held: Option<Arc<Reservation>>,
}

impl Stored {
    pub(crate) fn new(table: Arc<dyn Table>, in_memory: bool, ledger: &Ledger) -> Self {
        let bytes = table.as_mat().shape().bytes();
        Self { table, _held: in_memory.then(|| Arc::new(ledger.reserve(bytes))) }
    }
}

/// Where the rows of a layer come from.
pub(crate) enum Source<'a> {
    Table(&'a dyn Table),
    Stored(Stored),
    /// Predictions of the layer below, made in cache.
    Predicted {
        below: Arc<Source<'a>>,
        /// Models of the layer below, by its cells.
        models: Arc<CellModels>,
        design: Arc<Design>,
        /// The learners of these models, and their layer.
        learners: &'a [Learner],
        layer: usize,
    },
}

impl Source<'_> {
    pub(crate) fn table(&self) -> Option<&dyn Table> {
        match self {
            Source::Table(table) => Some(*table),
            Source::Stored(stored) => Some(stored.table.as_ref()),
            Source::Predicted { .. } => None,
        }
    }

    /// Hand on rows `rows`, which lie in atom `atom`.
    pub(crate) fn block(
        &self,
        atom: usize,
        rows: Range<usize>,
        each: &mut dyn FnMut(MatRef<'_>) -> Result<()>,
    ) -> Result<()> {
        match self {
            Source::Table(table) => each(table.as_mat().rows(rows)?),
            Source::Stored(stored) => each(stored.table.as_mat().rows(rows)?),
            Source::Predicted { below, models, design, learners, layer } => {
                let atom = design.predicted_atoms().start + atom;
                let first_row = design.predicted_rows().start;
                let rows = rows.start + first_row..rows.end + first_row;
                let cell = design.predicted_by(atom, 0).expect("every atom that is handed on is predicted");
                below.block(atom, rows.clone(), &mut |x| {
                    let models = &models[cell.0];
                    let columns = width(models);
                    let mut z = vec![0.0; x.nrows() * columns];
                    let out = MatMut::new(&mut z, x.nrows(), columns, Order::C)?;
                    let blame = |j: usize, e: Error| {
                        e.after_rows(rows.start).in_learner(&learners[j].name, *layer, design.held_out(cell))
                    };
                    predict_all(x, models.iter().map(Arc::as_ref), out, &blame, &mut [])?;
                    each(MatRef::new(&z, x.nrows(), columns, Order::C)?)
                })
            }
        }
    }

    /// Let the pages of rows that a scan is past go.
    pub(crate) fn release(&self, rows: Range<usize>) {
        match self {
            Source::Table(table) => table.release(rows),
            Source::Stored(stored) => stored.table.release(rows),
            Source::Predicted { below, design, .. } => {
                let first_row = design.predicted_rows().start;
                below.release(rows.start + first_row..rows.end + first_row);
            }
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self.table() {
            Some(table) => table.describe(),
            None => "predictions of the layer below".into(),
        }
    }
}

/// Prediction columns of models side by side.
pub(crate) fn width(models: &[Arc<dyn Model>]) -> usize {
    models.iter().map(|m| m.n_outputs()).sum()
}
