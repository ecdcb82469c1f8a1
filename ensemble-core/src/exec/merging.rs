//! Fits of learners whose training rows need only be summed up: one scan for all of them and all cells.

use std::sync::Arc;

use rayon::prelude::*;

use crate::{
    design::cell::CellId,
    error::{Error, Result, guarded},
    exec::{
        clock::clocked,
        layer::{Below, LayerRun, Models},
    },
    learner::estimator::Fitted,
    plan::{lowering::requests, view::Input},
    statistic::linear::LinearForm,
    statistic::{
        moments::{MOMENTS, Moments},
        state::{Statistics, minimal_requests},
    },
};

impl LayerRun<'_, '_> {
    /// Fit all merging learners in all cells; returns each atom's statistics, and whether they needed no scan.
    #[tracing::instrument(skip_all, fields(layer = self.at, learners = merging.len()))]
    pub(crate) fn fit_merging(
        &self,
        merging: &[usize],
        below: Option<&Below<'_>>,
        models: &mut Models,
        seconds: &mut [f64],
    ) -> Result<(Vec<Statistics>, bool)> {
        let mut wanted = requests(self.learners, self.at, &self.statistic_context())?;
        let n_atoms = self.design.atoms().len();
        let mut atoms = vec![Statistics::default(); n_atoms];
        let mut cells = vec![Statistics::default(); self.design.cells().len()];
        let ids = self.design.ids().map(|(id, _)| id);
        let mut open: Vec<(usize, CellId)> =
            merging.iter().flat_map(|j| ids.clone().map(move |id| (*j, id))).collect();
        let mut from_below = self.plan.input == Input::Statistics;
        let mut scanned = false;
        let mut told = false;
        while !open.is_empty() {
            let carried = match below {
                Some(below) if from_below => self.carried(below)?,
                _ => None,
            };
            let fresh = match carried {
                Some(carried) => carried,
                None => {
                    scanned = true;
                    self.pass("statistics");
                    self.atom_statistics(&wanted)?
                }
            };
            if !told {
                self.step("statistics", None);
                told = true;
            }
            from_below = false;
            let merged = self.plan.merges.run(&fresh).map_err(|e| self.asked_for(e, None))?;
            for (cell, more) in cells.iter_mut().zip(merged) {
                cell.extend(&more);
            }
            for (atom, more) in atoms.iter_mut().zip(&fresh) {
                atom.extend(more);
            }
            let fit = |&(j, id): &(usize, CellId)| {
                let learner = &self.learners[j];
                let merge = learner.estimator.as_merge().expect("a merging learner");
                let (fitted, seconds) = clocked(|| guarded(|| merge.fit_from(&cells[id.0])));
                let fitted = fitted.map_err(|e| self.named(e, j, id))?;
                if matches!(fitted, Fitted::Model(_)) {
                    self.step(&learner.name, self.design.held_out(id));
                }
                Ok((j, id, seconds, fitted))
            };
            let at_once = self.plan.merging_at_once;
            let mut outcomes: Vec<(usize, CellId, f64, Fitted)> = Vec::with_capacity(open.len());
            // As many at once as the plan found room for: all of them, unless a bound is near.
            let together = if at_once < rayon::current_num_threads() { at_once } else { open.len() };
            for fits in open.chunks(together.max(1)) {
                outcomes.extend(fits.par_iter().map(fit).collect::<Result<Vec<_>>>()?);
            }
            open.clear();
            let mut more = Vec::new();
            for (j, id, time, fitted) in outcomes {
                seconds[j] += time;
                match fitted {
                    Fitted::Model(model) => {
                        self.check_model(j, id, model.as_ref())?;
                        models[id.0][j] = Some(model);
                    }
                    Fitted::Needs(needs) => {
                        if needs.iter().all(|n| cells[id.0].has(&n.key())) {
                            let again = Error::unsupported("it asks again for statistics it already has");
                            return Err(self.named(again, j, id));
                        }
                        more.extend(needs);
                        open.push((j, id));
                    }
                }
            }
            wanted = minimal_requests(more);
        }
        Ok((atoms, !scanned))
    }

    /// This layer's statistics by atom from those of the layer below; `None` when the algebra would cancel, and predictions must be
    /// summed up block by block instead.
    fn carried(&self, below: &Below<'_>) -> Result<Option<Vec<Statistics>>> {
        let statistics =
            below.statistics.as_ref().ok_or_else(|| Error::unsupported("no statistics below"))?;
        below
            .design
            .predicted_atoms()
            .map(|atom| {
                let moments = statistics[atom].get::<Moments>(&MOMENTS)?;
                let cell = below.design.predicted_by(atom, 0).expect("predicted");
                let models = &below.models[cell.0];
                let forms: Vec<LinearForm<'_>> = models.iter().filter_map(|m| m.as_linear()).collect();
                if forms.len() != models.len() {
                    return Err(Error::unsupported(
                        "a learner that declares itself linear fitted no linear model",
                    ));
                }
                Ok(moments.project_safely(&forms).map(|m| Statistics::new(vec![Arc::new(m)])))
            })
            .collect()
    }
}
