//! One layer from its first scan to its scores.

use std::sync::Arc;

use crate::{
    data::{
        mat::{Order, Shape},
        table::{Heap, ScratchMatrix},
    },
    error::Result,
    exec::{
        layer::{Below, Columns, LayerFit, LayerRun, Models, Taken},
        notes::{FitConvergence, Note},
        report::LearnerReport,
        score::Losses,
        source::Stored,
    },
    learner::{estimator::Access, layer::Learner, model::Model, notes::Convergence},
    monitor::Event,
    plan::{
        predictions::{prediction_room, prediction_work},
        view::Residence,
    },
    statistic::columns::Extrema,
};

impl LayerRun<'_, '_> {
    pub(crate) fn run(&self, below: Option<&Below<'_>>) -> Result<LayerFit> {
        let (design, n_learners) = (self.design, self.learners.len());
        let n_cells = design.cells().len();
        let merges = |j: &usize| self.learners[*j].estimator.as_merge().is_some();
        let (merging, by_rows): (Vec<usize>, Vec<usize>) = (0..n_learners).partition(merges);
        let predicting = design.cells().iter().filter(|c| !c.predict.is_empty()).count();
        let scored = if self.plan.predictions == Residence::None { 0 } else { predicting * merging.len() };
        let steps = n_cells * n_learners + scored + usize::from(!merging.is_empty());
        self.job.monitor.event(Event::Layer { layer: self.at, steps });

        if self.plan.checked {
            self.pass("check values");
            self.atom_statistics(&[Box::new(Extrema::new(self.ncols()))])?;
        }
        let mut seconds = vec![0.0; n_learners];
        let mut predict_seconds = vec![0.0; n_learners];
        let mut taken = vec![Taken::default(); n_learners];
        let mut models: Models = vec![vec![None; n_learners]; n_cells];
        let (mut statistics, mut carried) = (None, false);
        // ended[learner][cell]
        let mut ended: Vec<Vec<Option<Convergence>>> = vec![vec![None; n_cells]; n_learners];
        if !merging.is_empty() {
            let (by_atom, from_below) = self.fit_merging(&merging, below, &mut models, &mut seconds)?;
            (statistics, carried) = (Some(by_atom), from_below);
            for (cell, models) in models.iter().enumerate() {
                for (ended, model) in ended.iter_mut().zip(models) {
                    ended[cell] = model.as_ref().and_then(|m| m.convergence());
                }
            }
        }

        let ncols = self.plan.group_width() * design.n_groups();
        let shape = Shape { nrows: design.predicted_rows().len(), ncols };
        let mut stored: Option<Box<dyn ScratchMatrix>> = if self.plan.predictions.is_stored() {
            let room = prediction_room(self.job, shape.bytes(), &Heap);
            self.ledger.write(prediction_work(self.job, self.at, shape.bytes(), "out-of-fold predictions"));
            Some(room.matrix(shape, Order::C)?)
        } else {
            None
        };
        let mut losses: Vec<Vec<Vec<Losses>>> = vec![vec![Vec::new(); n_learners]; n_cells];
        {
            let columns = stored.as_mut().map(|s| Columns::new(s.as_mat_mut(), design));
            if self.plan.predictions != Residence::None && !merging.is_empty() {
                self.pass("out-of-fold predictions");
                let predicted = self.predict_merging(&merging, &models, columns.as_ref())?;
                for (cell, predicted) in predicted.into_iter().enumerate() {
                    for (j, predicted) in merging.iter().zip(predicted) {
                        losses[cell][*j] = predicted.losses;
                        predict_seconds[*j] += predicted.seconds;
                    }
                }
            }
            if !by_rows.is_empty() {
                if self.plan.holds_out {
                    by_rows.iter().for_each(|_| self.pass("out-of-fold predictions"));
                }
                for fit in self.fit_by_rows(&by_rows, columns.as_ref())? {
                    let (j, cell) = (fit.learner, fit.cell.0);
                    seconds[j] += fit.seconds;
                    predict_seconds[j] += fit.predicted.seconds;
                    taken[j] = taken[j].and(fit.taken);
                    losses[cell][j] = fit.predicted.losses;
                    ended[j][cell] = fit.convergence;
                    models[cell][j] = fit.model;
                }
            }
        }
        for (id, _) in design.ids().filter(|(_, cell)| cell.is_final) {
            self.check_full(id, &models[id.0])?;
        }
        let scores = self.scores(statistics.as_deref(), &models, &losses)?;
        let convergence = ended.into_iter().map(|ended| self.convergence(&ended)).collect();
        let zero = (0..n_learners).map(|j| self.zero_weights(&models, j)).collect();
        let mut full = Vec::new();
        for group in 0..design.n_groups() {
            let (id, _) = design.ids().find(|(_, c)| c.is_final && c.group == group).expect("one a group");
            full.extend(models[id.0].iter().map(|m| m.clone().expect("every learner has its final fits")));
        }
        let cell_models = if self.keep_models {
            models.into_iter().map(|cell| cell.into_iter().flatten().collect()).collect()
        } else {
            Vec::new()
        };
        let in_memory = self.plan.predictions == Residence::Memory;
        let predictions = stored.map(|s| Stored::new(s.into_table(), in_memory, self.ledger));
        Ok(LayerFit {
            full,
            cell_models,
            convergence,
            zero,
            scores,
            seconds,
            predict_seconds,
            taken,
            carried,
            statistics,
            predictions,
        })
    }

    pub(crate) fn report(&self, j: usize, learner: &Learner, fit: &LayerFit) -> LearnerReport {
        let access = match self.plan.learners[j].access {
            Access::Merge if fit.carried => "statistics",
            Access::Merge => "merge",
            _ => fit.taken[j].way,
        };
        LearnerReport {
            layer: self.at,
            name: learner.name.clone(),
            kind: learner.estimator.kind(),
            access: access.into(),
            scores: fit.scores.as_ref().map(|s| s[j].clone()),
            fit_seconds: fit.seconds[j],
            predict_seconds: fit.predict_seconds[j],
            copied_bytes: fit.taken[j].bytes,
            convergence: fit.convergence[j].clone(),
        }
    }

    pub(crate) fn notes(
        &self,
        j: usize,
        learner: &Learner,
        fit: &LayerFit,
    ) -> impl Iterator<Item = Note> + use<> {
        let open = Note::not_converged(self.at, &learner.name, &fit.convergence[j]);
        let zero = Note::all_weights_zero(self.at, &learner.name, fit.zero[j].iter().copied());
        open.into_iter().chain(zero)
    }

    /// How one learner's fits ended, from what each cell's model says.
    fn convergence(&self, ended: &[Option<Convergence>]) -> Vec<FitConvergence> {
        let ended = self.design.ids().zip(ended);
        ended
            .filter_map(|((id, _), c)| {
                Some(FitConvergence { fold: self.design.held_out(id), convergence: (*c)? })
            })
            .collect()
    }

    /// Fits in which learner `j`, which stands above others, gives all of them weight 0.
    fn zero_weights(&self, models: &Models, j: usize) -> Vec<Option<usize>> {
        let zero = |model: &Arc<dyn Model>| {
            self.at > 0 && model.as_linear().is_some_and(|form| form.coefficients.iter().all(|c| *c == 0.0))
        };
        let cells = self.design.ids().filter(|(id, _)| models[id.0][j].as_ref().is_some_and(zero));
        cells.map(|(id, _)| self.design.held_out(id)).collect()
    }
}
