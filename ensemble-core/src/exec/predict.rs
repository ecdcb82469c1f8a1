//! Predictions of held-out rows, and their losses.

use std::{ops::Range, sync::Arc};

use rayon::prelude::*;

use crate::{
    data::mat::{MatMut, MatRef, Order},
    design::cell::CellId,
    error::{Error, Result, guarded},
    exec::{
        blocks::{par_batches, rows_of_blocks},
        clock::clocked,
        layer::{Columns, LayerRun, Models, Predicted},
        score::Losses,
    },
    learner::model::{Model, batch_rows, check_predicted, predict_all},
    plan::layer::LearnerPlan,
    statistic::state::BLOCK_ROWS,
};

/// Predicts rows that start at a row of the layer into columns beside each other, and adds up each learner's seconds.
pub(crate) type PredictRows<'p> = dyn Fn(usize, MatRef<'_>, MatMut<'_>, &mut [f64]) -> Result<()> + Sync + 'p;

impl LayerRun<'_, '_> {
    /// Predict every cell's held-out rows with its merging learners, into `columns` where predictions are stored. Returns what came of
    /// it, `[cell][learner]`.
    #[tracing::instrument(skip_all, fields(layer = self.at))]
    pub(crate) fn predict_merging(
        &self,
        merging: &[usize],
        models: &Models,
        columns: Option<&Columns<'_>>,
    ) -> Result<Vec<Vec<Predicted>>> {
        self.design
            .ids()
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|(id, cell)| {
                let own: Vec<Arc<dyn Model>> =
                    merging.iter().map(|j| Arc::clone(models[id.0][*j].as_ref().expect("fitted"))).collect();
                let models = || own.iter().map(Arc::as_ref);
                let predict = |first: usize, x: MatRef<'_>, out: MatMut<'_>, seconds: &mut [f64]| {
                    let blame =
                        |at: usize, e: Error| self.named(self.in_input_rows(e, first), merging[at], id);
                    predict_all(x, models(), out, &blame, seconds)
                };
                let predicted = self.predict_cell(merging, id, models(), columns, &predict)?;
                if !cell.predict.is_empty() {
                    merging.iter().for_each(|j| self.step(&self.learners[*j].name, Some(id.0)));
                }
                Ok(predicted)
            })
            .collect()
    }

    /// Predict the held-out rows of one cell by `predict`, which is told where its rows start and writes the columns of `learners` beside
    /// each other's, with `models`, into `columns` where predictions are stored. Returns what came of it, by learner.
    pub(crate) fn predict_cell<'m>(
        &self,
        learners: &[usize],
        id: CellId,
        models: impl Iterator<Item = &'m dyn Model> + Clone,
        columns: Option<&Columns<'_>>,
        predict: &PredictRows<'_>,
    ) -> Result<Vec<Predicted>> {
        let mut sums = vec![Predicted::default(); learners.len()];
        for atom in self.design.cell(id).predict.iter() {
            let more = self.predict_atom(learners, id, atom, models.clone(), columns, predict)?;
            for (sum, more) in sums.iter_mut().zip(more) {
                sum.losses.extend(more.losses);
                sum.seconds += more.seconds;
            }
        }
        Ok(sums)
    }

    /// One atom of it.
    fn predict_atom<'m>(
        &self,
        learners: &[usize],
        id: CellId,
        atom: usize,
        models: impl Iterator<Item = &'m dyn Model>,
        columns: Option<&Columns<'_>>,
        predict: &PredictRows<'_>,
    ) -> Result<Vec<Predicted>> {
        let range = self.design.atoms().range(atom);
        let plans: Vec<&LearnerPlan> = learners.iter().map(|j| &self.plan.learners[*j]).collect();
        let first_column = self.design.cell(id).group * self.plan.group_width();
        let place = |plan: &&LearnerPlan| plan.columns.start + first_column..plan.columns.end + first_column;
        let places: Vec<Range<usize>> = plans.iter().map(place).collect();
        let width = places.iter().map(|place| place.len()).sum();
        // By batch: by block and learner, and the seconds by learner.
        let batch = |blocks: Range<usize>| -> Result<(Vec<Vec<Losses>>, Vec<f64>)> {
            let rows = rows_of_blocks(&range, &blocks);
            let mut z = vec![0.0; rows.len() * width];
            let mut seconds = vec![0.0; plans.len()];
            self.source.block(atom, rows.clone(), &mut |x| {
                predict(rows.start, x, MatMut::new(&mut z, x.nrows(), width, Order::C)?, &mut seconds)
            })?;
            let z = MatRef::new(&z, rows.len(), width, Order::C)?;
            if let Some(columns) = columns {
                columns.store(atom, rows.start - range.start, &places, z);
            }
            blocks.into_iter().try_for_each(|b| self.passed(&range, b))?;
            let y = self.y[rows].chunks(BLOCK_ROWS);
            let block = |(z, y): (MatRef<'_>, &[f64])| {
                let mut first = 0;
                let losses = plans.iter().map(|plan| {
                    let own = first..first + plan.columns.len();
                    first = own.end;
                    Losses::of(z, own, plan.predicts, y)
                });
                losses.collect()
            };
            Ok((z.row_blocks(BLOCK_ROWS).zip(y).map(block).collect(), seconds))
        };
        let rows = batch_rows(models, self.ncols() + width);
        // Clocked, so that a fit whose thread takes a batch on does not count it as its own.
        let batches: Vec<_> =
            par_batches(&range, rows).map(|blocks| clocked(|| batch(blocks)).0).collect::<Result<_>>()?;
        let by_learner = |a: usize| Predicted {
            losses: batches.iter().flat_map(|(losses, _)| losses).map(|block| block[a]).collect(),
            seconds: batches.iter().map(|(_, seconds)| seconds[a]).sum(),
        };
        Ok((0..plans.len()).map(by_learner).collect())
    }

    /// That the models of final cells predict numbers: on a few rows, since those of other cells have predicted all others. Linear ones
    /// have been looked at.
    pub(crate) fn check_full(&self, id: CellId, models: &[Option<Arc<dyn Model>>]) -> Result<()> {
        const ROWS: usize = 16;
        let rows = 0..self.design.atoms().range(0).len().min(ROWS);
        for (j, model) in models.iter().enumerate() {
            let Some(model) = model.as_ref().filter(|m| m.as_linear().is_none()) else { continue };
            self.source.block(0, rows.clone(), &mut |x| {
                let mut z = vec![0.0; x.nrows() * model.n_outputs()];
                let mut out = MatMut::new(&mut z, x.nrows(), model.n_outputs(), Order::C)?;
                guarded(|| {
                    model.predict_into(x, out.reborrow())?;
                    check_predicted(out.as_ref())
                })
                .map_err(|e| self.named(e, j, id))
            })?;
        }
        Ok(())
    }
}
