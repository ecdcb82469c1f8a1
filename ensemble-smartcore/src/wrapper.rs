//! Any other regressor that has smartcore's interface, as it is.

use std::{fmt, marker::PhantomData, sync::Arc};

use ensemble_core::{
    Access, Error, ErrorKind, Estimator, FitContext, FitCost, Loaded, MatMut, MatRef, Model, Record,
    Registry, Result, Rows, RowsView, Shape, Train, check_prediction, check_query_magnitudes,
};
use serde::{Serialize, de::DeserializeOwned};
use smartcore::api::SupervisedEstimator;

use crate::{
    SharedMatrix,
    backend::{call, failed, targets},
};

/// A regressor of smartcore's, or of anyone who implements its `SupervisedEstimator`, without a name of its own here.
///
/// It is lent the rows where they lie and keeps the backend's own fitted type. The named learners of this crate do more: scikit-learn's
/// parameters, faults handled, costs that were measured. Here the caller states the cost, and the backend answers for the rest;
/// NaN and infinite values are refused before it as everywhere.
///
/// # A backend that keeps its matrix ends the process
/// The matrix is lent for the call alone. When `fit` or `predict` has returned and `E`, or anything it started, still holds a clone
/// of it, the process is aborted: not an error and not a panic, since nothing less keeps the pointer in it from being used after the
/// rows are gone (see [`SharedMatrix::lend`]). An estimator that stores its training matrix must store a copy,
/// which [`SharedMatrix::from_values`] makes.
///
/// ```
/// use ensemble_core::{Estimator, FitCost};
/// use ensemble_smartcore::{SharedMatrix, Wrapped};
/// use smartcore::ensemble::extra_trees_regressor::{ExtraTreesRegressor, ExtraTreesRegressorParameters};
/// type Trees = ExtraTreesRegressor<f64, f64, SharedMatrix, Vec<f64>>;
/// let parameters = ExtraTreesRegressorParameters::default().with_n_trees(5);
/// let learner = Wrapped::<Trees, _>::new("mine.trees", parameters, |train| FitCost {
///     peak_bytes: 3 * train.bytes(),
///     model_bytes: train.bytes(),
/// });
/// assert_eq!(learner.kind(), "mine.trees");
/// ```
pub struct Wrapped<E, P> {
    kind: &'static str,
    parameters: P,
    cost: fn(Shape) -> FitCost,
    fits: PhantomData<fn() -> E>,
}

impl<E, P: fmt::Debug> fmt::Debug for Wrapped<E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped").field("kind", &self.kind).field("parameters", &self.parameters).finish()
    }
}

impl<E, P> Wrapped<E, P>
where
    E: SupervisedEstimator<SharedMatrix, Vec<f64>, P> + Serialize + DeserializeOwned + Send + Sync + 'static,
    P: Clone + Send + Sync + 'static,
{
    /// A learner called `kind`, whose fits allocate what `cost` says.
    pub fn new(kind: &'static str, parameters: P, cost: fn(Shape) -> FitCost) -> Self {
        Self { kind, parameters, cost, fits: PhantomData }
    }

    /// Load models that learners called `kind` saved.
    pub fn register_loader(registry: &mut Registry, kind: &'static str) {
        registry.add_loader(kind, |record, _| {
            Ok(Loaded::Model(Arc::new(WrappedModel::<E, P>::from_record(record)?)))
        });
    }
}

impl<E, P> Estimator for Wrapped<E, P>
where
    E: SupervisedEstimator<SharedMatrix, Vec<f64>, P> + Serialize + DeserializeOwned + Send + Sync + 'static,
    P: Clone + Send + Sync + 'static,
{
    fn kind(&self) -> String {
        self.kind.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        (self.cost)(train)
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        train.check_magnitudes()?;
        let (y, parameters) = (targets(train), self.parameters.clone());
        let fitted = call(self.kind, train.x(), move |x| E::fit(x, &y, parameters))?;
        let shape = train.shape();
        Ok(Arc::new(WrappedModel::<E, P> {
            kind: self.kind.into(),
            n_inputs: shape.ncols,
            bytes: (self.cost)(shape).model_bytes,
            fitted,
            fitted_by: PhantomData,
        }))
    }
}

/// The backend's own fitted type.
struct WrappedModel<E, P> {
    kind: String,
    n_inputs: usize,
    bytes: u64,
    fitted: E,
    fitted_by: PhantomData<fn() -> P>,
}

impl<E: DeserializeOwned, P> WrappedModel<E, P> {
    fn from_record(record: &Record) -> Result<Self> {
        let fitted = serde_json::from_value(record.field("fitted")?.clone())
            .map_err(|e| Error::spec(record.kind(), format!("the saved model cannot be read: {e}")))?;
        Ok(Self {
            kind: record.kind().into(),
            n_inputs: record.count("columns")?,
            bytes: record.count("bytes")? as u64,
            fitted,
            fitted_by: PhantomData,
        })
    }
}

impl<E, P> Model for WrappedModel<E, P>
where
    E: SupervisedEstimator<SharedMatrix, Vec<f64>, P> + Serialize + Send + Sync + 'static,
    P: 'static,
{
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        if x.nrows() == 0 {
            return Ok(());
        }
        check_query_magnitudes(x)?;
        let rows = Rows::all(x.nrows());
        let predictions = SharedMatrix::lend(RowsView::new(x, &rows)?, |x| self.fitted.predict(x))?
            .map_err(|e| failed(&self.kind, &e))?;
        for (row, value) in predictions.into_iter().enumerate() {
            if !value.is_finite() {
                return Err(ErrorKind::Prediction { row, column: 0, value }.into());
            }
            out.set(row, 0, value);
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn to_record(&self) -> Result<Record> {
        let fitted = serde_json::to_value(&self.fitted)
            .map_err(|e| Error::unsupported(format!("{}: the model cannot be saved: {e}", self.kind)))?;
        Ok(Record::new(&*self.kind)
            .with_field("columns", self.n_inputs)
            .with_field("bytes", self.bytes)
            .with_field("fitted", fitted))
    }
}
