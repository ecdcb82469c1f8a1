//! Learners with names, side by side in layers, before and after their fits.

use std::{any::Any, fmt, sync::Arc};

use crate::learner::{
    chain::Transformers,
    estimator::Estimator,
    model::Model,
    pipeline::{Pipeline, PipelineModel},
};

/// A learner with the name it has in its layer.
#[derive(Clone)]
pub struct Learner {
    pub(crate) name: String,
    pub(crate) estimator: Arc<dyn Estimator>,
}

impl Learner {
    /// Name a learner: a value, or a pointer to one as [`Registry::pipeline`](crate::Registry::pipeline) gives it.
    pub fn new(name: impl Into<String>, estimator: impl Estimator + 'static) -> Self {
        Self { name: name.into(), estimator: Arc::new(estimator) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Its name and kind.
impl fmt::Debug for Learner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Learner").field(&self.name).field(&self.estimator.kind()).finish()
    }
}

/// Learners that are fitted on the same columns. Their predictions are the next layer's columns, in this order.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    pub(crate) learners: Vec<Learner>,
}

impl Layer {
    /// A layer without learners.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a learner: a value, or a pointer to one as [`Registry::pipeline`](crate::Registry::pipeline) gives it.
    #[must_use]
    pub fn learner(mut self, name: impl Into<String>, estimator: impl Estimator + 'static) -> Self {
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

    /// With a preprocessing case: `learners`, a list or a [`Layer`] of them, behind the same transformers, named `case.learner`. The
    /// transformers are one, several made by [`Transformer::then`](crate::Transformer::then), or a list of shared ones.
    #[must_use]
    pub fn case(
        mut self,
        case: &str,
        transformers: impl Into<Transformers>,
        learners: impl IntoIterator<Item = Learner>,
    ) -> Self {
        let transformers = transformers.into();
        for learner in learners {
            let pipeline = Pipeline::new(transformers.clone().into_steps(), learner.estimator);
            self.learners.push(Learner::new(format!("{case}.{}", learner.name), pipeline));
        }
        self
    }
}

/// The learners, in order.
impl IntoIterator for Layer {
    type Item = Learner;
    type IntoIter = std::vec::IntoIter<Learner>;

    fn into_iter(self) -> Self::IntoIter {
        self.learners.into_iter()
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

    /// The model as its own type, also from behind transformers: `None` when it is another. A learner's docs name its model's type; of
    /// linear learners it is [`LinearModel`](crate::LinearModel), also behind scalers.
    pub fn model_as<M: Model>(&self) -> Option<&M> {
        let mut model: &dyn Any = &*self.model;
        loop {
            match model.downcast_ref() {
                Some(own) => return Some(own),
                None => model = model.downcast_ref::<PipelineModel>()?.inner(),
            }
        }
    }

    /// How much each column says, where the model [tells](Model::feature_importances).
    pub fn feature_importances(&self) -> Option<Vec<f64>> {
        self.model.feature_importances()
    }
}

/// Its name and kind; the model's numbers are left out.
impl fmt::Debug for FittedLearner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FittedLearner").field(&self.name).field(&self.kind).finish()
    }
}

/// Prediction columns of a layer.
pub(crate) fn layer_width(layer: &[FittedLearner]) -> usize {
    layer.iter().map(|l| l.model.n_outputs()).sum()
}
