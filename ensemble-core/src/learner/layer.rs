//! Learners with names, side by side in layers, before and after their fits.

use std::sync::Arc;

use crate::learner::{
    estimator::{Estimator, Transformer},
    model::Model,
    pipeline::Pipeline,
};

/// A learner with the name it has in its layer.
#[derive(Clone)]
pub struct Learner {
    pub(crate) name: String,
    pub(crate) estimator: Arc<dyn Estimator>,
}

impl Learner {
    /// Name a learner.
    pub fn new(name: impl Into<String>, estimator: Arc<dyn Estimator>) -> Self {
        Self { name: name.into(), estimator }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Learners that are fitted on the same columns. Their predictions are the next layer's columns, in this order.
#[derive(Clone, Default)]
pub struct Layer {
    pub(crate) learners: Vec<Learner>,
}

impl Layer {
    /// A layer without learners.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a learner.
    #[must_use]
    pub fn learner(self, name: impl Into<String>, estimator: impl Estimator + 'static) -> Self {
        self.shared(name, Arc::new(estimator))
    }

    /// With a learner that is already shared, as [`Registry::pipeline`] gives it.
    #[must_use]
    pub fn shared(mut self, name: impl Into<String>, estimator: Arc<dyn Estimator>) -> Self {
        self.learners.push(Learner::new(name, estimator));
        self
    }

    /// Number of learners.
    pub fn len(&self) -> usize {
        self.learners.len()
    }

    /// Whether there are none yet.
    pub fn is_empty(&self) -> bool {
        self.learners.is_empty()
    }

    /// With a preprocessing case: `learners` behind the same transformers, named `case.learner`.
    #[must_use]
    pub fn case(
        mut self,
        case: &str,
        transformers: &[Arc<dyn Transformer>],
        learners: impl IntoIterator<Item = Learner>,
    ) -> Self {
        for learner in learners {
            let transformers: Vec<_> = transformers.iter().map(Arc::clone).collect();
            let pipeline = Pipeline::new(transformers, learner.estimator);
            self.learners.push(Learner::new(format!("{case}.{}", learner.name), Arc::new(pipeline)));
        }
        self
    }
}

/// A learner after its fits.
pub struct FittedLearner {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) model: Arc<dyn Model>,
}

impl FittedLearner {
    /// Its name in the layer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of its estimator; a pipeline's is joined by ` | `.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The model fitted on all rows.
    pub fn model(&self) -> &dyn Model {
        self.model.as_ref()
    }
}

/// Prediction columns of a layer.
pub(crate) fn layer_width(layer: &[FittedLearner]) -> usize {
    layer.iter().map(|l| l.model.n_outputs()).sum()
}
