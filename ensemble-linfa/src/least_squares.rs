//! Ordinary least squares by linfa's QR factor, on the rows where they lie.

use std::sync::Arc;

use ensemble_core::{
    Access, Error, Estimator, FitContext, FitCost, LinearModel, Model, Registry, Result, Shape, Train,
};
use linfa::{DatasetBase, traits::Fit};

use crate::{
    parameters::parameters,
    rank::{dependent_column, rank_bytes},
    view::{finite, refused, training_views},
};

parameters! {
    /// Ordinary least squares by linfa's Householder QR: minimises ||y - Xb - b0||^2, scikit-learn's `LinearRegression` for
    /// columns that are independent.
    ///
    /// linfa copies the rows once inside its fit, with a column of ones for the intercept, which `cost` declares; one pass of
    /// sums before it finds dependent columns. `native.linear_regression` copies nothing, merges, and solves dependent columns.
    ///
    /// Faults of linfa-linear 0.8.1 handled here: its rank test is for exact zeros (`linfa-linalg`, `qr.rs:194-197`), so that
    /// a repeated column gives arbitrary coefficients; here a column that others determine to a part in 10^6 is refused by
    /// number.
    LinearRegression: Learner = "linfa.linear_regression", "linfa-linear 0.8.1" {
        fit_intercept "fit_intercept" ["with_intercept"]: bool = true, "true", "whether to fit an intercept";
    }
}

impl LinearRegression {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// # Errors
    /// For the first column that depends on those before it, or is constant beside an intercept.
    fn check_rank(&self, train: &Train<'_>) -> Result<()> {
        let (x, y) = (train.contiguous_x()?, train.contiguous_y()?);
        let p = x.ncols();
        if x.nrows() < p + usize::from(self.fit_intercept) {
            return Err(Error::unsupported(format!(
                "{}: {} rows do not determine {p} coefficients; use linfa.ridge or native.linear_regression",
                Self::KIND,
                x.nrows()
            )));
        }
        if let Some(column) = dependent_column(x, y, self.fit_intercept)? {
            return Err(Error::unsupported(format!(
                "{}: column {column} is constant or a combination of columns before it, which linfa answers with \
                 arbitrary coefficients; drop it, or use linfa.ridge or native.linear_regression",
                Self::KIND
            )));
        }
        Ok(())
    }
}

impl Estimator for LinearRegression {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Contiguous(None)
    }

    fn cost(&self, train: Shape) -> FitCost {
        let Shape { nrows: n, ncols: p } = train;
        // The copy with its ones, the ones, the targets; before it, states of moments and the root.
        let columns = p + if self.fit_intercept { 2 } else { 1 };
        FitCost {
            peak_bytes: ((8 * n * columns).max(rank_bytes(n, p)) + 64 * (p + 1)) as u64,
            model_bytes: (8 * p + size_of::<LinearModel>()) as u64,
        }
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        let (x, y) = training_views(train)?;
        self.check_rank(train)?;
        let params = linfa_linear::LinearRegression::new().with_intercept(self.fit_intercept);
        let fitted = params.fit(&DatasetBase::new(x, y)).map_err(refused(Self::KIND))?;
        let coefficients: Vec<f64> = fitted.params().iter().copied().collect();
        let intercept = fitted.intercept();
        finite(Self::KIND, "coefficients", coefficients.iter().chain([&intercept]))?;
        Ok(Arc::new(LinearModel::new(Self::KIND, coefficients, intercept)))
    }

    fn is_linear(&self) -> bool {
        true
    }
}

pub(crate) fn register(registry: &mut Registry) {
    LinearRegression::offer(registry);
}
