//! Scores of held-out rows: from losses that were summed up, or from statistics alone.

use crate::{
    design::cell::CellId,
    error::{Error, Result},
    exec::{
        layer::{LayerRun, Models, Predicted},
        score::{Losses, Scores},
    },
    plan::view::Residence,
    statistic::{
        moments::{MOMENTS, Moments},
        state::Statistics,
    },
};

impl LayerRun<'_, '_> {
    /// Each learner's, when cells hold rows out. `losses` are by cell, learner and block.
    pub(crate) fn scores(
        &self,
        statistics: Option<&[Statistics]>,
        models: &Models,
        losses: &[Vec<Vec<Losses>>],
    ) -> Result<Option<Vec<Scores>>> {
        if !self.plan.holds_out {
            return Ok(None);
        }
        let from_statistics = self.plan.scored_by_statistics && self.plan.predictions == Residence::None;
        let mut exact: Option<Vec<Vec<Predicted>>> = None;
        let mut sums: Vec<Vec<(Losses, usize)>> = vec![Vec::new(); self.learners.len()];
        for (id, cell) in self.design.ids().filter(|(_, cell)| !cell.predict.is_empty()) {
            let rows = self.design.atoms().rows(&cell.predict).len();
            for (j, sums) in sums.iter_mut().enumerate() {
                let sum = if from_statistics {
                    match self.residuals(statistics.unwrap_or_default(), models, id, j)? {
                        Some(squared) => Losses::squared(squared),
                        // Where the algebra cancels, the residuals themselves are summed, in one more pass.
                        None => {
                            if exact.is_none() {
                                self.pass("out-of-fold predictions");
                                let all: Vec<usize> = (0..self.learners.len()).collect();
                                exact = Some(self.predict_merging(&all, models, None)?);
                            }
                            Losses::sum(exact.as_ref().map_or(&[], |e| &e[id.0][j].losses))
                        }
                    }
                } else {
                    Losses::sum(&losses[id.0][j])
                };
                self.check_losses(&sum, j, id)?;
                sums.push((sum, rows));
            }
        }
        let predicts = self.plan.learners.iter().map(|l| l.predicts);
        let scores =
            sums.iter().zip(predicts).map(|(s, predicts)| Scores::new(s, predicts, self.plan.nested));
        Ok(Some(scores.collect()))
    }

    /// The sum of squared residuals of a cell's held-out rows by the algebra of moments; `None` where it cancels.
    fn residuals(
        &self,
        statistics: &[Statistics],
        models: &Models,
        id: CellId,
        learner: usize,
    ) -> Result<Option<f64>> {
        let model = models[id.0][learner].as_ref().expect("fitted");
        let form = model.as_linear().ok_or_else(|| {
            self.named(
                Error::unsupported("it declares itself linear and fitted no linear model"),
                learner,
                id,
            )
        })?;
        let mut sum = None;
        for atom in self.design.cell(id).predict.iter() {
            let moments = statistics[atom].get::<Moments>(&MOMENTS)?;
            let squared = moments.residual_sum_of_squares(&form).filter(|squared| squared.is_finite());
            let Some(squared) = squared else { return Ok(None) };
            sum = Some(sum.map_or(squared, |sum: f64| sum + squared));
        }
        Ok(sum)
    }

    /// That a cell's sums of losses are numbers.
    fn check_losses(&self, sum: &Losses, learner: usize, id: CellId) -> Result<()> {
        if sum.squared.is_finite() {
            return Ok(());
        }
        let what = Error::unsupported("it predicted values that are not finite, or whose squares overflow");
        Err(self.named(what, learner, id))
    }
}
