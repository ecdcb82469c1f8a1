//! Fits of learners that read rows: cell by cell, in the plan's waves.

use std::sync::Arc;

use rayon::prelude::*;

use crate::{
    account::ledger::Ledger,
    data::mat::{MatMut, MatRef},
    design::{cell::CellId, random::seed_for},
    error::{Error, Result, guarded},
    exec::{
        clock::clocked,
        layer::{Columns, LayerRun, Predicted, Taken},
        view::{OpenViews, ViewRoom},
    },
    learner::{
        estimator::FitContext,
        model::{Model, predict_all},
        notes::Convergence,
    },
};

/// One finished fit.
pub(crate) struct RowsFit {
    pub(crate) learner: usize,
    pub(crate) cell: CellId,
    pub(crate) model: Option<Arc<dyn Model>>,
    pub(crate) convergence: Option<Convergence>,
    pub(crate) predicted: Predicted,
    pub(crate) seconds: f64,
    pub(crate) taken: Taken,
}

impl LayerRun<'_, '_> {
    /// Fit the learners that read rows, wave by wave.
    pub(crate) fn fit_by_rows(
        &self,
        learners: &[usize],
        columns: Option<&Columns<'_>>,
    ) -> Result<Vec<RowsFit>> {
        let mut fits = Vec::new();
        for wave in &self.plan.waves {
            let done: Vec<Vec<RowsFit>> = wave
                .cells
                .par_iter()
                .map(|id| clocked(|| self.fit_cell(learners, *id, wave.serial, columns)).0)
                .collect::<Result<_>>()?;
            fits.extend(done.into_iter().flatten());
        }
        Ok(fits)
    }

    /// Fit them in one cell; its contiguous views are made once and shared.
    #[tracing::instrument(skip_all, fields(layer = self.at, cell = id.0))]
    fn fit_cell(
        &self,
        learners: &[usize],
        id: CellId,
        serial: bool,
        columns: Option<&Columns<'_>>,
    ) -> Result<Vec<RowsFit>> {
        let table = self
            .source
            .table()
            .ok_or_else(|| Error::unsupported("a learner needs rows that are not stored"))?;
        let rows = self.design.fit_rows(id);
        let room = ViewRoom {
            layer: self.at,
            scratch: self.job.scratch.as_ref(),
            ledger: self.ledger,
            y_table: self.y_table,
        };
        let views = OpenViews::make(room, table, &rows, &self.plan.views[id.0])?;
        let run = |j: &usize| self.fit_one(*j, id, &views, columns);
        if serial { learners.iter().map(run).collect() } else { learners.par_iter().map(run).collect() }
    }

    /// Fit one learner in one cell, and predict the cell's held-out rows.
    fn fit_one(
        &self,
        j: usize,
        id: CellId,
        views: &OpenViews<'_>,
        columns: Option<&Columns<'_>>,
    ) -> Result<RowsFit> {
        self.check_cancelled()?;
        let learner = &self.learners[j];
        let cell = self.design.cell(id);
        let fold = self.design.held_out(id);
        // What the fit copies for itself is this learner's.
        let ledger = Ledger::new();
        let order = self.plan.learners[j].order;
        let (model, seconds) = clocked(|| {
            views.with_train(order, |train| {
                let cx = FitContext {
                    seed: seed_for(self.job.seed, self.at, j, fold),
                    layer: self.at,
                    fold,
                    scratch: self.job.scratch.as_ref(),
                    ledger: &ledger,
                    table: self.handle.as_ref(),
                    target: self.y_handle.as_ref(),
                    n_classes: self.n_classes,
                };
                guarded(|| learner.estimator.fit_rows(train, &cx))
            })
        });
        let model = model.map_err(|e| self.named(e, j, id))?;
        let (way, shared) = views.taken(order);
        let taken = Taken { way, most: shared, bytes: shared + ledger.copied_bytes() };
        self.ledger.append(ledger);
        self.check_model(j, id, model.as_ref())?;
        let models = std::iter::once(model.as_ref());
        let predict = |first: usize, x: MatRef<'_>, out: MatMut<'_>, seconds: &mut [f64]| {
            let blame = |_, e: Error| self.named(self.in_input_rows(e, first), j, id);
            predict_all(x, models.clone(), out, &blame, seconds)
        };
        let predicted = self.predict_cell(&[j], id, models.clone(), columns, &predict)?.swap_remove(0);
        self.step(&learner.name, fold);
        // A layer above that streams predictions reads linear models again; others may be large and go.
        let keep = cell.is_final || (self.keep_models && learner.estimator.is_linear());
        let convergence = model.convergence();
        Ok(RowsFit {
            learner: j,
            cell: id,
            model: keep.then_some(model),
            convergence,
            predicted,
            seconds,
            taken,
        })
    }
}
