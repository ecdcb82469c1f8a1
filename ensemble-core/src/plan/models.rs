//! What fits and models take, as learners declare it.

use crate::{
    data::mat::Shape,
    error::{Result, guarded},
    learner::estimator::cost_of,
    plan::{
        bound::{Bound, sum},
        lowering::{Lowering, Place},
    },
};

/// What the fits and models of a layer take, in bytes, beside statistics and views.
pub(crate) struct Models {
    /// Models of merging learners in all cells.
    pub(crate) merged: u64,
    /// Models of other learners that are not dropped after their predictions.
    pub(crate) by_rows: u64,
    /// Models of final cells.
    pub(crate) last: u64,
    /// The costliest fit of a merging learner, and how many fits there are.
    costliest: u64,
    fits: u64,
    /// The merging learner that takes most.
    pub(crate) largest: String,
}

impl Models {
    /// How many fits of merging learners may run at once on so many threads, within `bound` beside the bytes of `base`; and what they
    /// take.
    pub(crate) fn merging(&self, threads: u64, base: u64, bound: Bound) -> (u64, u64) {
        let most = self.fits.min(threads).max(1);
        let room = bound.get().map(|bound| bound.saturating_sub(base));
        let fit = room.and_then(|room| room.checked_div(self.costliest)).unwrap_or(most);
        let at_once = fit.clamp(1, most);
        (at_once, self.costliest.saturating_mul(at_once.min(self.fits)))
    }
}

impl Lowering<'_> {
    /// What learners declare of their fits and models, for cells of so many training rows. Of a merging learner, what its statistics
    /// hold is theirs: a fit on its own makes them for itself.
    pub(crate) fn models(&self, place: &Place<'_>, cells: &[usize]) -> Result<Models> {
        let mut out =
            Models { merged: 0, by_rows: 0, last: 0, costliest: 0, fits: 0, largest: String::new() };
        let (table, cx) = (place.shape, place.context(self.n_classes));
        for learner in self.learners {
            let own = learner.estimator.as_ref();
            let is_final = |at: &usize| self.design.cells()[*at].is_final;
            let states = match own.as_merge() {
                Some(merge) => guarded(|| merge.statistics(&cx)).map(Some),
                None => Ok(None),
            };
            let states = states.map_err(|e| e.in_declaration(&learner.name, self.at))?;
            for (at, nrows) in cells.iter().enumerate() {
                let train = Shape { nrows: *nrows, ..table };
                let cost = guarded(|| Ok(cost_of(own, train, self.n_classes)))
                    .map_err(|e| e.in_declaration(&learner.name, self.at))?;
                let shared = sum(states
                    .iter()
                    .flatten()
                    .flat_map(|s| [s.bytes_for(*nrows), s.seal_bytes_for(*nrows)]));
                let (peak, model) =
                    (cost.peak_bytes.saturating_sub(shared), cost.model_bytes.saturating_sub(shared));
                if states.is_some() {
                    out.merged = out.merged.saturating_add(model);
                    out.fits += 1;
                    if peak.max(model) > out.costliest {
                        out.costliest = peak.max(model);
                        out.largest = learner.name.clone();
                    }
                } else if is_final(&at) || (own.is_linear() && self.at + 1 < self.n_layers) {
                    out.by_rows = out.by_rows.saturating_add(model);
                }
                if is_final(&at) {
                    out.last = out.last.saturating_add(model);
                }
            }
        }
        Ok(out)
    }
}
