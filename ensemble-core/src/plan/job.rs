//! What to fit, and with what.

use std::sync::Arc;

use crate::{
    account::budget::MemoryBudget,
    data::{
        classes::Classes,
        table::{Heap, Scratch},
    },
    design::scheme::Scheme,
    learner::layer::{Layer, Learner},
    monitor::{Monitor, Silent},
};

/// Layers, how rows are split, and what the fit may use.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) layers: Vec<Layer>,
    pub(crate) meta: Option<Learner>,
    pub(crate) scheme: Arc<dyn Scheme>,
    pub(crate) seed: u64,
    pub(crate) threads: Option<usize>,
    pub(crate) budget: MemoryBudget,
    pub(crate) scratch: Arc<dyn Scratch>,
    pub(crate) monitor: Arc<dyn Monitor>,
    /// Keep the first layer's predictions of held-out rows.
    pub(crate) out_of_fold: bool,
    pub(crate) score_meta: bool,
    pub(crate) classes: Option<Classes>,
}

impl Job {
    pub(crate) fn new(scheme: Arc<dyn Scheme>) -> Self {
        Self {
            layers: Vec::new(),
            meta: None,
            scheme,
            seed: 0,
            threads: None,
            budget: MemoryBudget::unlimited(),
            scratch: Arc::new(Heap),
            monitor: Arc::new(Silent),
            out_of_fold: false,
            score_meta: true,
            classes: None,
        }
    }

    /// The layers, with the meta-learner as the last.
    pub(crate) fn layers(&self) -> Vec<&[Learner]> {
        let layers = self.layers.iter().map(|l| l.learners.as_slice());
        layers.chain(self.meta.as_ref().map(std::slice::from_ref)).collect()
    }

    /// Whether a learner classifies, so that the target holds classes.
    pub(crate) fn classifies(&self) -> bool {
        self.layers().into_iter().flatten().any(|l| l.estimator.predicts().classifies())
    }

    /// Whether rows are held out of the fits of a layer, the `at`-th of `n_layers`: for the layer above, for scores, or since the caller
    /// wants their predictions.
    pub(crate) fn holds_out(&self, at: usize, n_layers: usize) -> bool {
        at + 1 < n_layers || self.score_meta || (at == 0 && self.out_of_fold)
    }
}
