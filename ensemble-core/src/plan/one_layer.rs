//! One layer's way into the plan: where its columns come from, its scans, statistics, predictions, and what it takes.

use std::sync::Arc;

use crate::{
    account::ledger::Work,
    data::{gather::kept_work, mat::Shape},
    design::layout::Design,
    error::Result,
    learner::{estimator::Access, layer::Learner},
    plan::{
        bound::sum,
        check::check_declared,
        layer::{LayerPlan, LearnerPlan},
        lowering::{Lowering, Place, declared_cost, requests},
        predictions::{kept_in_input_order, prediction_work, predictions_spill, width},
        view::{Input, Read, Residence},
    },
    statistic::{
        merge_plan::MergePlan,
        moments::{MOMENTS, Moments},
        state::{BLOCK_ROWS, Statistic, StatisticContext},
    },
};

/// What a layer takes, in bytes.
pub(crate) struct Needs {
    /// The most at once, with what is held for it from below.
    pub(crate) peak: u64,
    /// Models that stay.
    pub(crate) models: u64,
    /// Models that the layer above is made from, where it is made in cache.
    pub(crate) cell_models: u64,
    /// States of atoms that the layer above is carried from.
    pub(crate) atom_states: u64,
}

/// Whether statistics and predictions of the layer below can be taken atom by atom: its predicted atoms are the atoms above.
fn continues(below: &Design, above: &Design) -> bool {
    let predicted = below.predicted_atoms();
    let bounds = &below.atoms().bounds()[predicted.start..=predicted.end];
    below.n_groups() == 1
        && bounds.len() == above.atoms().bounds().len()
        && bounds.iter().zip(above.atoms().bounds()).all(|(b, a)| b - bounds[0] == *a)
}

impl Lowering<'_> {
    /// The shape of the predictions of held-out rows.
    pub(crate) fn predictions(&self) -> Shape {
        let ncols = width(self.learners, self.n_classes) * self.design.n_groups();
        Shape { nrows: self.design.predicted_rows().len(), ncols }
    }

    pub(crate) fn kept_predictions(&self) -> Option<Shape> {
        kept_in_input_order(self.job, self.at, self.design, self.predictions().ncols)
    }

    pub(crate) fn plan(
        &self,
        place: &Place<'_>,
        below: Option<&LayerPlan>,
        above: Option<(&[Learner], &Design)>,
        held: u64,
        work: &mut Vec<Work>,
    ) -> Result<(LayerPlan, Needs)> {
        let Self { job, at, learners, design, .. } = self;
        let at = *at;
        let holds_out = job.holds_out(at, self.n_layers) && !design.predicted_rows().is_empty();
        let by_rows = |l: &&Learner| l.estimator.as_merge().is_none();
        let cx = place.context(self.n_classes);
        let smallest = design.ids().map(|(id, _)| design.fit_rows(id).len()).min().unwrap_or(0);
        check_declared(learners, at, Shape { nrows: smallest, ..place.shape })?;
        let wanted = requests(learners, at, &cx)?;
        let input = match below.map(|below| (below.input_above, below.predictions.is_stored())) {
            None => Input::Table,
            // Columns that are stored anyway are read rather than made again.
            Some((Some(Input::Stream), true)) | Some((None, _)) => Input::Predictions,
            Some((Some(input), _)) => input,
        };
        // What is not stored is made from what the layer below reads.
        let reads = match (input, below) {
            (Input::Stream | Input::Statistics, Some(below)) => below.reads,
            _ => Read { layer: at, bytes: place.shape.bytes() },
        };
        if input != Input::Statistics && !wanted.is_empty() {
            work.push(reads.work("statistics"));
        }
        for nrows in design.atoms().sizes() {
            let kept = sum(wanted.iter().map(|w| w.copied_bytes_for(nrows)));
            work.extend((kept > 0).then(|| kept_work(kept, at)));
        }
        let checked = at == 0 && wanted.is_empty();
        if checked {
            work.push(reads.work("check values"));
        }

        // What follows from the states: scores, and the next layer's statistics.
        let has_moments = wanted.iter().any(|w| w.key() == MOMENTS);
        let linear = learners.iter().all(|l| l.estimator.is_linear());
        let scored_by_statistics = has_moments && linear && !learners.iter().any(|l| by_rows(&l));
        let input_above = above
            .map(|(learners, above)| self.input_above(learners, above, linear, scored_by_statistics))
            .transpose()?;
        let stored = input_above == Some(Input::Predictions) || (at == 0 && job.out_of_fold);
        let bytes = self.predictions().bytes();
        let predictions = match (stored, holds_out && !scored_by_statistics) {
            (true, _) if predictions_spill(job, bytes) => Residence::Spilled,
            (true, _) => Residence::Memory,
            (false, true) => Residence::Scored,
            (false, false) => Residence::None,
        };
        // Merging learners predict side by side in one scan; others one by one, each after its fit.
        let n_by_rows = learners.iter().filter(by_rows).count();
        let together = predictions != Residence::None && n_by_rows < learners.len();
        let alone = if holds_out { n_by_rows } else { 0 };
        work.extend((0..alone + usize::from(together)).map(|_| reads.work("out-of-fold predictions")));
        if stored {
            work.push(prediction_work(job, at, bytes, "out-of-fold predictions"));
        }

        // States: each atom's, those merged from them, and those along the tree.
        let atoms = design.atoms();
        let atom_rows = atoms.sizes().max().unwrap_or(0);
        let one_state = sum(wanted.iter().map(|w| w.bytes()));
        let kept = sum(wanted.iter().map(|w| w.bytes_for(atom_rows).saturating_sub(w.bytes())));
        let depth = u64::from((atom_rows.div_ceil(BLOCK_ROWS).max(1)).ilog2()) + 2;
        let threads = job.threads.unwrap_or_else(rayon::current_num_threads) as u64;
        let merges = MergePlan::new(atoms.len(), design.cells().iter().map(|c| c.fit.runs()));
        let state_bytes = one_state
            // As many again for a further pass, which only the states of the first one can ask for.
            .saturating_mul(2 * merges.states_alive() as u64 + depth * threads)
            .saturating_add(kept.saturating_mul(atoms.len() as u64));
        // While states are sealed, atom by atom on all threads.
        let sealing = sum(wanted.iter().map(|w| w.seal_bytes_for(atom_rows)));
        let sealing = sealing.saturating_mul(threads.min(atoms.len() as u64));

        let mut planned = LayerPlan {
            learners: Vec::with_capacity(learners.len()),
            design: Arc::clone(design),
            first_row: self.first_row,
            input,
            input_above,
            statistics: wanted.iter().map(|w| w.key().to_string()).collect(),
            state_bytes,
            predictions,
            reads,
            holds_out,
            scored_by_statistics,
            nested: below.is_none_or(|below| below.nested && below.design.keeps_apart()),
            checked,
            merges,
            merging_at_once: 1,
            views: Vec::new(),
            waves: Vec::new(),
        };
        for learner in *learners {
            let access = learner.estimator.access();
            let order = match access {
                Access::Contiguous(order) => Some(order.unwrap_or(place.order)),
                _ => None,
            };
            let cost = declared_cost(learner, at, place.shape, self.n_classes)?;
            let predicts = learner.estimator.predicts();
            let first = planned.group_width();
            planned.learners.push(LearnerPlan {
                name: learner.name.clone(),
                kind: learner.estimator.kind(),
                access,
                cost,
                predicts,
                columns: first..first + predicts.columns(self.n_classes.unwrap_or(0)),
                order,
            });
        }
        let stored_bytes = if predictions == Residence::Memory { bytes } else { 0 };
        let base = sum([held, state_bytes, stored_bytes]);
        self.bound.check(base, || format!("layer {at}: statistics and prediction columns"))?;
        let cells: Vec<usize> = design.ids().map(|(id, _)| design.fit_rows(id).len()).collect();
        let models = self.models(place, &cells)?;
        let merged = base.saturating_add(models.merged);
        let (at_once, fits) = models.merging(threads, merged, self.bound);
        planned.merging_at_once = at_once as usize;
        let fitting = base.saturating_add(sealing).max(merged.saturating_add(fits));
        self.bound.check(fitting, || {
            format!(
                "layer {at}: fits of merging learners and their models, learner '{}' the largest",
                models.largest
            )
        })?;
        let rows = merged.saturating_add(models.by_rows);
        let peak = if n_by_rows > 0 { self.plan_views(place, rows, &mut planned, work)? } else { fitting };
        let atom_states = one_state.saturating_add(kept).saturating_mul(atoms.len() as u64);
        let needs =
            Needs { peak: peak.max(fitting), models: models.last, cell_models: models.merged, atom_states };
        Ok((planned, needs))
    }

    /// How the layer above gets its columns.
    fn input_above(
        &self,
        above: &[Learner],
        design: &Design,
        linear: bool,
        from_moments: bool,
    ) -> Result<Input> {
        let cx =
            StatisticContext { n_classes: self.n_classes, ..StatisticContext::new(self.predictions().ncols) };
        let wanted = requests(above, self.at + 1, &cx)?;
        let merging = above.iter().all(|l| l.estimator.as_merge().is_some());
        let reads_values = wanted.iter().any(|w| w.keeps_places());
        let template = Moments::new(0);
        let by_atom = merging && linear && continues(self.design, design);
        Ok(if by_atom && from_moments && wanted.iter().all(|w| template.covers(&w.key())) {
            Input::Statistics
        } else if by_atom && !reads_values {
            Input::Stream
        } else {
            Input::Predictions
        })
    }
}
