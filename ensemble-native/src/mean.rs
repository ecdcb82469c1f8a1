//! The mean of the targets, for any row.

use std::sync::Arc;

use ensemble_core::{
    AffineShape, Built, COLUMN_MOMENTS, ColumnMoments, Error, FitCost, Fitted, Kind, LinearModel, MergeFit,
    Registry, Result, Statistic, StatisticContext, Statistics,
};

use crate::{learner::linear_estimator, scalers::column_cost};

/// Predicts the mean of the training targets: the learner that others must beat, scikit-learn's `DummyRegressor`.
///
/// ```
/// # use ensemble_core::*;
/// assert_eq!(ensemble_native::Mean::new().kind(), "native.mean");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mean {}

impl Mean {
    const KIND: &'static str = "native.mean";

    /// It takes no parameters.
    pub fn new() -> Self {
        Self {}
    }
}

linear_estimator!(Mean, |train| FitCost {
    model_bytes: (8 * train.ncols + size_of::<LinearModel>()) as u64,
    ..column_cost(train)
});

impl MergeFit for Mean {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(vec![Box::new(ColumnMoments::new(cx.ncols))])
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::Diagonal)
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        let moments = statistics.get::<ColumnMoments>(&COLUMN_MOMENTS)?;
        if moments.nrows() == 0.0 {
            return Err(Error::shape("training rows", 1, 0));
        }
        let model = LinearModel::new(Self::KIND, vec![0.0; moments.ncols()], moments.y_mean());
        Ok(Fitted::Model(Arc::new(model)))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: Mean::KIND,
        backend: crate::BACKEND,
        parameters: &[],
        build: |_| Ok(Built::Learner(Arc::new(Mean::new()))),
    });
}
