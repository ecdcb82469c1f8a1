//! Ordinary least squares by smartcore's QR or SVD of the rows.

use std::sync::Arc;

use ensemble_core::{
    Access, Built, Error, Estimator, FitContext, FitCost, Kind, LinearModel, Model, Parameter, Registry,
    Result, Shape, Train,
};
use smartcore::{linalg::basic::arrays::Array, linear::linear_regression as backend};

use crate::{
    SharedMatrix,
    backend::{BACKEND, call, check_finite, targets},
};

/// How the least squares problem is solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinearSolver {
    /// Singular values: slower, and right for columns that depend on each other, where the solution is that of smallest norm.
    #[default]
    Svd,
    /// Orthogonal triangularisation: faster; columns that depend on each other are an error.
    Qr,
}

/// Ordinary least squares with an intercept, by smartcore's `LinearRegression`.
///
/// Reads the rows where they lie. smartcore copies them once, with a column of ones beside, and decomposes the copy in place: the
/// declared cost. `native.linear_regression` needs no copy; this one is here to compare with.
///
/// Faults of smartcore 0.7.0 handled here:
/// - QR returns NaN, or coefficients of 1e14 that cancel, for columns that are constant or copies of each other: an error here.
/// - `coefficients()` of a fit on a view would keep the table's type: they are taken out into core's `LinearModel`.
///
/// ```
/// use ensemble_core::Estimator;
/// use ensemble_smartcore::{LinearRegression, LinearSolver};
/// assert_eq!(LinearRegression::new().solver(LinearSolver::Svd), LinearRegression::default());
/// assert!(LinearRegression::new().is_linear());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinearRegression {
    solver: LinearSolver,
}

impl LinearRegression {
    const KIND: &'static str = "smartcore.linear_regression";

    /// By singular values.
    pub fn new() -> Self {
        Self::default()
    }

    /// How the problem is solved.
    #[must_use]
    pub fn solver(mut self, solver: LinearSolver) -> Self {
        self.solver = solver;
        self
    }
}

impl Estimator for LinearRegression {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        let (n, p) = (train.nrows as u64, train.ncols as u64);
        // The rows with a column of ones; the targets as vector and twice as matrix; one column of work.
        FitCost {
            peak_bytes: 8 * n * (p + 1) + 4 * 8 * n + 8 * 4 * (p + 1) * (p + 1),
            model_bytes: 8 * p + size_of::<LinearModel>() as u64 + Self::KIND.len() as u64,
        }
    }

    fn fit(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        train.check_finite()?;
        let Shape { nrows, ncols } = train.shape();
        if nrows <= ncols {
            return Err(Error::unsupported(format!(
                "{}: {nrows} rows do not determine {ncols} coefficients and an intercept; smartcore wants more rows than columns",
                Self::KIND
            )));
        }
        let y = targets(train);
        let solver = match self.solver {
            LinearSolver::Svd => backend::LinearRegressionSolverName::SVD,
            LinearSolver::Qr => backend::LinearRegressionSolverName::QR,
        };
        let (coefficients, intercept) = call(Self::KIND, train.x(), |x| {
            let parameters = backend::LinearRegressionParameters::default().with_solver(solver);
            let fitted =
                backend::LinearRegression::<f64, f64, SharedMatrix, Vec<f64>>::fit(x, &y, parameters)?;
            Ok((fitted.coefficients().iterator(0).copied().collect::<Vec<f64>>(), *fitted.intercept()))
        })?;
        check_finite(Self::KIND, "a coefficient", coefficients.iter().chain([&intercept]))?;
        if self.solver == LinearSolver::Qr {
            check_cancellation(train, &coefficients)?;
        }
        Ok(Arc::new(LinearModel::new(Self::KIND, coefficients, intercept)))
    }

    fn is_linear(&self) -> bool {
        true
    }
}

/// Terms this much greater than every target must cancel, and have no digits left when they do.
const CANCELLING: f64 = 1e9;

/// # Errors
/// When a column times its coefficient dwarfs the targets.
fn check_cancellation(train: &Train<'_>, coefficients: &[f64]) -> Result<()> {
    let largest = train.y().flatten().fold(0.0_f64, |m, v| m.max(v.abs()));
    for (column, coefficient) in coefficients.iter().enumerate() {
        let term = train
            .x()
            .segments()
            .flat_map(|s| (0..s.nrows()).map(move |r| s.get(r, column).abs()))
            .fold(0.0, f64::max)
            * coefficient.abs();
        if term > CANCELLING * largest.max(f64::MIN_POSITIVE) && term > 1.0 {
            return Err(Error::unsupported(format!(
                "{}: column {column} (from 0) depends on the others, or is constant, and QR cannot tell: its coefficient came out \
                 as {coefficient}; use solver=svd, or drop the column",
                LinearRegression::KIND
            )));
        }
    }
    Ok(())
}

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: LinearRegression::KIND,
        backend: BACKEND,
        parameters: const { &[Parameter::new("solver", "svd", "svd, or qr: faster, for independent columns")] },
        build: |params| {
            let solver = match params.word("solver", "svd") {
                "svd" | "SVD" => LinearSolver::Svd,
                "qr" | "QR" => LinearSolver::Qr,
                other => return Err(Error::parameter(params.kind(), "solver", other, "svd or qr")),
            };
            Ok(Built::Learner(Arc::new(LinearRegression::new().solver(solver))))
        },
    });
}
