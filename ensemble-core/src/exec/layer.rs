//! One layer under way: what its parts know, and how its errors are told.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    account::ledger::Ledger,
    data::{
        mat::{MatMut, MatRef},
        table::Table,
    },
    design::{arrangement::Arrangement, cell::CellId, layout::Design},
    error::{Error, ErrorKind, Result, guarded},
    exec::{
        blocks::{block_rows, n_blocks},
        notes::FitConvergence,
        score::{Losses, Scores},
        source::{CellModels, Source, Stored, width},
    },
    learner::{estimator::check_fitted, layer::Learner, model::Model},
    monitor::Event,
    plan::{job::Job, layer::LayerPlan},
    statistic::{
        state::{StatisticContext, Statistics},
        tree::SEQUENTIAL_BLOCKS,
    },
};

/// What a layer leaves to the next.
pub(crate) struct Below<'a> {
    /// Where its rows came from, for a layer above that is made in cache.
    pub(crate) source: Option<Arc<Source<'a>>>,
    pub(crate) design: Arc<Design>,
    /// Statistics of each atom.
    pub(crate) statistics: Option<Vec<Statistics>>,
    pub(crate) models: Arc<CellModels>,
    pub(crate) predictions: Option<Stored>,
}

/// A model of each learner in each cell, `[cell][learner]`, as far as they are fitted and kept.
pub(crate) type Models = Vec<Vec<Option<Arc<dyn Model>>>>;

/// One layer's outcome, by learner where nothing else is said.
pub(crate) struct LayerFit {
    /// Those of final cells, group by group.
    pub(crate) full: Vec<Arc<dyn Model>>,
    /// Empty inner lists where nobody needs the models of cells again.
    pub(crate) cell_models: CellModels,
    /// How each learner's fits ended, of those that iterate.
    pub(crate) convergence: Vec<Vec<FitConvergence>>,
    /// Fits in which a learner above others gives all of them weight 0.
    pub(crate) zero: Vec<Vec<Option<usize>>>,
    pub(crate) scores: Option<Vec<Scores>>,
    pub(crate) seconds: Vec<f64>,
    pub(crate) predict_seconds: Vec<f64>,
    pub(crate) taken: Vec<Taken>,
    /// Whether statistics of the layer below were all that merging learners needed.
    pub(crate) carried: bool,
    pub(crate) statistics: Option<Vec<Statistics>>,
    pub(crate) predictions: Option<Stored>,
}

/// How a learner took its rows, and the bytes that were copied for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) way: &'static str,
    /// Of the one training set that was the costliest to hand over.
    pub(crate) most: u64,
    pub(crate) bytes: u64,
}

impl Default for Taken {
    fn default() -> Self {
        Self { way: "plain", most: 0, bytes: 0 }
    }
}

impl Taken {
    /// With another training set: the costliest way says most.
    pub(crate) fn and(self, other: Self) -> Self {
        let costly =
            if (other.way != "plain", other.most) > (self.way != "plain", self.most) { other } else { self };
        Self { bytes: self.bytes + other.bytes, ..costly }
    }
}

/// What came of predicting one cell's rows with one learner's model.
#[derive(Clone, Default)]
pub(crate) struct Predicted {
    /// Losses, block by block.
    pub(crate) losses: Vec<Losses>,
    /// Added up over threads.
    pub(crate) seconds: f64,
}

/// Stored prediction columns, atom by atom of those that are predicted, each behind its own lock: blocks of one atom are written one
/// at a time.
pub(crate) struct Columns<'m> {
    first_atom: usize,
    atoms: Vec<Mutex<MatMut<'m>>>,
}

impl<'m> Columns<'m> {
    pub(crate) fn new(mut columns: MatMut<'m>, design: &Design) -> Self {
        let predicted = design.predicted_atoms();
        let mut atoms = Vec::with_capacity(predicted.len());
        for atom in predicted.clone() {
            let (head, tail) = columns.split_at_row(design.atoms().range(atom).len());
            atoms.push(Mutex::new(head));
            columns = tail;
        }
        Self { first_atom: predicted.start, atoms }
    }

    /// Write a block of an atom's predictions into the columns of its learners.
    pub(crate) fn store(&self, atom: usize, first_row: usize, places: &[Range<usize>], z: MatRef<'_>) {
        let mut columns = self.atoms[atom - self.first_atom].lock().unwrap_or_else(PoisonError::into_inner);
        for row in 0..z.nrows() {
            for (from, to) in places.iter().cloned().flatten().enumerate() {
                columns.set(first_row + row, to, z.get(row, from));
            }
        }
    }
}

/// A layer, its plan, its rows and targets, and what the fit may use.
pub(crate) struct LayerRun<'s, 'a> {
    pub(crate) job: &'s Job,
    pub(crate) at: usize,
    pub(crate) learners: &'s [Learner],
    pub(crate) plan: &'s LayerPlan,
    pub(crate) design: &'s Design,
    pub(crate) source: &'s Arc<Source<'a>>,
    /// The targets of the layer's rows.
    pub(crate) y: &'s [f64],
    pub(crate) y_table: &'s dyn Table,
    pub(crate) ledger: &'s Ledger,
    pub(crate) handle: Option<Arc<dyn Table>>,
    pub(crate) y_handle: Option<Arc<dyn Table>>,
    /// Models of cells are needed by the layer above.
    pub(crate) keep_models: bool,
    /// Classes of the target, when a learner classifies.
    pub(crate) n_classes: Option<usize>,
    pub(crate) x_name: String,
    pub(crate) y_name: String,
    /// How the first layer's rows are arranged, and with them all others'.
    pub(crate) arrangement: &'s Arrangement,
}

impl LayerRun<'_, '_> {
    pub(crate) fn ncols(&self) -> usize {
        match self.source.as_ref() {
            Source::Predicted { models, .. } => models.iter().find(|m| !m.is_empty()).map_or(0, |m| width(m)),
            source => source.table().map_or(0, |t| t.as_mat().ncols()),
        }
    }

    /// Write down a scan for this layer: of its own table, or of the one that streamed predictions are made from.
    pub(crate) fn pass(&self, what: &'static str) {
        self.ledger.write(self.plan.reads.work(what));
    }

    pub(crate) fn step(&self, what: &str, fold: Option<usize>) {
        self.job.monitor.event(Event::Step { layer: self.at, what, fold });
    }

    pub(crate) fn check_cancelled(&self) -> Result<()> {
        if self.job.monitor.is_cancelled() { Err(ErrorKind::Cancelled.into()) } else { Ok(()) }
    }

    /// A scan of an atom is past block `b`: at the end of a run of blocks that one thread works on, look at cancellation and, under a
    /// budget, let the run's pages go.
    pub(crate) fn passed(&self, range: &Range<usize>, b: usize) -> Result<()> {
        if (b + 1).is_multiple_of(SEQUENTIAL_BLOCKS) || b + 1 == n_blocks(range) {
            self.check_cancelled()?;
            if self.job.budget.get().is_some() {
                let first = b / SEQUENTIAL_BLOCKS * SEQUENTIAL_BLOCKS;
                let rows = block_rows(range, first).start..block_rows(range, b).end;
                self.source.release(rows.clone());
                self.y_table.release(rows);
            }
        }
        Ok(())
    }

    pub(crate) fn statistic_context(&self) -> StatisticContext {
        StatisticContext { n_classes: self.n_classes, ..StatisticContext::new(self.ncols()) }
            .with_tables(self.handle.as_ref(), self.y_handle.as_ref())
    }

    /// An error of a learner in one of its cells.
    pub(crate) fn named(&self, error: Error, learner: usize, cell: CellId) -> Error {
        error.in_learner(&self.learners[learner].name, self.at, self.design.held_out(cell))
    }

    /// An error of a statistic, with the learners that asked for it.
    pub(crate) fn asked_for(&self, error: Error, fold: Option<usize>) -> Error {
        let cx = self.statistic_context();
        error.asked_for(self.at, fold, |key| {
            let asks = |l: &&Learner| {
                let wanted = guarded(|| l.estimator.as_merge().map_or(Ok(Vec::new()), |m| m.statistics(&cx)));
                wanted.is_ok_and(|w| w.iter().any(|s| s.key().to_string() == key))
            };
            self.learners.iter().filter(asks).map(|l| l.name.clone()).collect()
        })
    }

    /// The input's row of one of this layer's rows.
    pub(crate) fn input_row(&self, row: usize) -> usize {
        self.arrangement.input_row(self.plan.first_row + row)
    }

    /// An error of rows from `first` on, said of the input's rows.
    pub(crate) fn in_input_rows(&self, error: Error, first: usize) -> Error {
        error.with_row(|row| self.input_row(first + row))
    }

    /// That a model has the columns of the rows it was fitted on, predicts as many as its learner declared, and, where it is linear,
    /// consists of numbers: what the algebra, and every prediction, takes for granted.
    pub(crate) fn check_model(&self, learner: usize, cell: CellId, model: &dyn Model) -> Result<()> {
        let predicts = self.plan.learners[learner].predicts;
        let check = || check_fitted(model, self.ncols(), predicts, self.n_classes);
        guarded(check).map_err(|e| self.named(e, learner, cell))
    }
}
