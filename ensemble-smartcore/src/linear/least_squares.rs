//! Ordinary least squares by smartcore's QR or SVD of the rows.

use std::sync::Arc;

use ensemble_core::{
    Access, BLOCK_ROWS, Built, Error, ErrorKind, Estimator, FitContext, FitCost, Kind, LinearModel, MOMENTS,
    Model, Moments, Order, Parameter, Registry, Result, Root, Shape, Statistic, Train, on_stack,
    statistics_of,
};
use smartcore::{linalg::basic::arrays::Array, linear::linear_regression as backend};

use crate::{
    SharedMatrix,
    backend::{BACKEND, call, check_finite, failed, targets},
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
/// - It decomposes the rows as they are, beside the column of ones, and cuts singular values by the greatest one: columns far from
///   0, or in units far apart, leave nothing of the others, of the intercept or of themselves (RMSE 1.5 for 0.3 at a mean of 10^7
///   standard deviations). One pass of sums before the fit tells; where lengths of columns, of what they vary by and of the ones'
///   part that is no column's are more than 10^8 apart, smartcore solves centred columns of unit length instead, p + 1 rows with
///   the products of all rows ([`Root`]), for which [`Moments`] must not overflow.
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

/// Lengths further apart than this leave less than half of the digits to the smallest.
const LOPSIDED: f64 = 1e8;

/// Whether the rows beside a column of ones, as they are, have singular values so far apart that smartcore's solvers lose columns.
///
/// # Errors
/// When sums overflow, or squares underflow.
fn is_lopsided(moments: &Moments) -> Result<bool> {
    let (mut greatest, mut least) = (1.0_f64, 1.0_f64);
    for j in 0..moments.ncols() {
        if !moments.xx(j, j).is_finite() {
            return Err(ErrorKind::Overflow { table: "training rows".into() }.into());
        }
        if moments.vanishes(j, true) {
            return Err(ErrorKind::Underflow { table: "training rows".into(), column: j }.into());
        }
        let (level, spread) = (moments.x_mean()[j].abs(), (moments.xx(j, j) / moments.nrows()).sqrt());
        greatest = greatest.max(level.hypot(spread));
        if !moments.is_constant(j) {
            // What is left of the ones beside this column is a matter of its mean over its spread.
            least = least.min(spread).min(1.0 / (level / spread).hypot(1.0));
        }
    }
    Ok(greatest / least > LOPSIDED)
}

impl LinearRegression {
    fn solve(
        &self,
        x: &SharedMatrix,
        y: &Vec<f64>,
    ) -> std::result::Result<(Vec<f64>, f64), smartcore::error::Failed> {
        let solver = match self.solver {
            LinearSolver::Svd => backend::LinearRegressionSolverName::SVD,
            LinearSolver::Qr => backend::LinearRegressionSolverName::QR,
        };
        let parameters = backend::LinearRegressionParameters::default().with_solver(solver);
        let fitted = backend::LinearRegression::<f64, f64, SharedMatrix, Vec<f64>>::fit(x, y, parameters)?;
        Ok((fitted.coefficients().iterator(0).copied().collect(), *fitted.intercept()))
    }

    /// Coefficients and intercept from centred columns of unit length, which smartcore gets as p + 1 rows of either sign, so that
    /// the intercept it adds is 0. Columns that do not vary get coefficient 0.
    fn solve_centred(&self, moments: &Moments) -> Result<(Vec<f64>, f64)> {
        let p = moments.ncols();
        let kept: Vec<usize> = (0..p).filter(|j| !moments.is_constant(*j)).collect();
        let y_unit = if moments.is_constant(p) { 0.0 } else { moments.yy().sqrt() };
        let mut coefficients = vec![0.0; p];
        if y_unit > 0.0 && !kept.is_empty() {
            let root = Root::centred(moments);
            let units: Vec<f64> = kept.iter().map(|j| moments.xx(*j, *j).sqrt()).collect();
            let twice = |values: &[f64], unit: f64| -> Vec<f64> {
                values.iter().flat_map(|v| [v / unit, -v / unit]).collect()
            };
            let columns = kept.iter().zip(&units);
            let values = columns
                .flat_map(|(j, unit)| twice(root.x().column(*j).expect("Fortran order"), *unit))
                .collect();
            let x = SharedMatrix::from_values(values, 2 * root.nrows(), kept.len(), Order::F);
            let y = twice(root.y(), y_unit);
            let (solved, _) = on_stack(1 << 22, || self.solve(&x, &y).map_err(|e| failed(Self::KIND, &e)))?;
            for ((j, unit), w) in kept.iter().zip(&units).zip(&solved) {
                coefficients[*j] = w * (y_unit / unit);
            }
        }
        let moved: f64 = coefficients.iter().zip(moments.x_mean()).map(|(c, m)| c * m).sum();
        Ok((coefficients, moments.y_mean() - moved))
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
        let d = p + 1;
        // Before the fit, states of moments along the tree of blocks, and what smartcore solves where columns lie far from 0.
        let depth = u64::from(train.nrows.div_ceil(BLOCK_ROWS).max(1).ilog2()) + 2;
        let sums = 8 * (d * d * (depth + 12) + BLOCK_ROWS.min(train.nrows) as u64 * d + 64 * d);
        // The rows with a column of ones; the targets as vector and twice as matrix; one column of work.
        FitCost {
            peak_bytes: (8 * n * d + 4 * 8 * n + 8 * 4 * d * d).max(sums),
            model_bytes: 8 * p + size_of::<LinearModel>() as u64 + Self::KIND.len() as u64,
        }
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        train.check_magnitudes()?;
        let Shape { nrows, ncols } = train.shape();
        if nrows <= ncols {
            return Err(Error::unsupported(format!(
                "{}: {nrows} rows do not determine {ncols} coefficients and an intercept; smartcore wants more rows than columns",
                Self::KIND
            )));
        }
        let statistics = statistics_of(train, &[Box::new(Moments::new(ncols)) as Box<dyn Statistic>])?;
        let moments = statistics.get::<Moments>(&MOMENTS)?;
        let (coefficients, intercept) = if is_lopsided(&moments)? {
            self.solve_centred(&moments)?
        } else {
            drop(moments);
            drop(statistics);
            let y = targets(train);
            let solved = call(Self::KIND, train.x(), |x| self.solve(x, &y))?;
            check_finite(Self::KIND, "a coefficient", solved.0.iter().chain([&solved.1]))?;
            if self.solver == LinearSolver::Qr {
                check_cancellation(train, &solved.0)?;
            }
            solved
        };
        check_finite(Self::KIND, "a coefficient", coefficients.iter().chain([&intercept]))?;
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
