//! Learners for the tests of the whole workspace.

pub(crate) mod files;

use std::sync::Arc;

use ensemble::{
    Access, Error, Estimator, FitContext, FitCost, LinearModel, Model, Order, Result, Shape, Train,
};

/// Wants all rows as one matrix, and adds them up in a fixed order: its bits tell whether the rows were right.
pub(crate) struct WholeMatrix(pub(crate) Option<Order>);

impl Estimator for WholeMatrix {
    fn kind(&self) -> String {
        "test.whole_matrix".into()
    }
    fn access(&self) -> Access {
        Access::Contiguous(self.0)
    }
    fn cost(&self, train: Shape) -> FitCost {
        FitCost { peak_bytes: train.ncols as u64 * 16, model_bytes: train.ncols as u64 * 8 }
    }
    fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        let (x, y) = (train.contiguous_x()?, train.contiguous_y()?);
        if self.0.is_some_and(|o| o != x.order()) {
            return Err(Error::unsupported("the matrix has another order than declared"));
        }
        let mut sums = vec![0.0; x.ncols()];
        for (row, y) in y.iter().enumerate() {
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum += x.get(row, column) * y;
            }
        }
        let n = x.nrows() as f64;
        Ok(Arc::new(LinearModel::new("test", sums.iter().map(|s| s / n).collect(), 0.0)))
    }
}

/// The same sums from runs of rows.
pub(crate) struct Runs;

impl Estimator for Runs {
    fn kind(&self) -> String {
        "test.runs".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn cost(&self, train: Shape) -> FitCost {
        FitCost { peak_bytes: train.ncols as u64 * 16, model_bytes: train.ncols as u64 * 8 }
    }
    fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        let mut sums = vec![0.0; train.shape().ncols];
        for (x, y) in train.x().segments().zip(train.y()) {
            for (row, y) in y.iter().enumerate() {
                for (column, sum) in sums.iter_mut().enumerate() {
                    *sum += x.get(row, column) * y;
                }
            }
        }
        let n = train.shape().nrows as f64;
        Ok(Arc::new(LinearModel::new("test", sums.iter().map(|s| s / n).collect(), 0.0)))
    }
}
