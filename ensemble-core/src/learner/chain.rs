//! Pipelines written in the order in which rows go through them: `scaler.then(learner)`.

use std::{fmt, sync::Arc};

use crate::learner::{
    estimator::{Estimator, Step, Transformer},
    pipeline::Pipeline,
};

/// Transformers that apply in order: made by [`Transformer::then`], or from one transformer or a list of shared ones.
#[derive(Clone)]
pub struct Transformers {
    steps: Vec<Arc<dyn Transformer>>,
}

impl Transformers {
    /// With a learner behind them, a [`Pipeline`]; with a transformer, more of them.
    pub fn then<K, S: Step<K>>(self, next: S) -> S::Behind {
        next.behind(self.steps)
    }

    /// The transformers, first to last.
    pub(crate) fn into_steps(self) -> Vec<Arc<dyn Transformer>> {
        self.steps
    }
}

/// The kinds, joined by ` | `.
impl fmt::Debug for Transformers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.steps.iter().map(|t| t.kind()).collect();
        f.debug_tuple("Transformers").field(&kinds.join(" | ")).finish()
    }
}

impl<T: Transformer + 'static> From<T> for Transformers {
    fn from(transformer: T) -> Self {
        Self { steps: vec![Arc::new(transformer)] }
    }
}

impl From<Vec<Arc<dyn Transformer>>> for Transformers {
    fn from(steps: Vec<Arc<dyn Transformer>>) -> Self {
        Self { steps }
    }
}

impl From<&[Arc<dyn Transformer>]> for Transformers {
    fn from(steps: &[Arc<dyn Transformer>]) -> Self {
        Self { steps: steps.iter().map(Arc::clone).collect() }
    }
}

impl<const N: usize> From<&[Arc<dyn Transformer>; N]> for Transformers {
    fn from(steps: &[Arc<dyn Transformer>; N]) -> Self {
        steps.as_slice().into()
    }
}

/// That a [`Step`] is a learner.
#[derive(Debug)]
pub enum IsLearner {}

/// That a [`Step`] is a transformer.
#[derive(Debug)]
pub enum IsTransformer {}

impl<E: Estimator + 'static> Step<IsLearner> for E {
    type Behind = Pipeline;

    fn behind(self, before: Vec<Arc<dyn Transformer>>) -> Pipeline {
        Pipeline::new(before, self)
    }
}

impl<T: Transformer + 'static> Step<IsTransformer> for T {
    type Behind = Transformers;

    fn behind(self, mut before: Vec<Arc<dyn Transformer>>) -> Transformers {
        before.push(Arc::new(self));
        before.into()
    }
}
