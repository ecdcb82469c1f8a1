//! Ridge, lasso and elastic net: smartcore's solvers on p + 1 rows that have the normal equations of all rows, or, with
//! `normalize`, smartcore's own parameterisation on the rows themselves.

use std::sync::Arc;

use ensemble_core::{
    Access, AffineShape, BLOCK_ROWS, Built, Convergence, Error, ErrorKind, Estimator, FitContext, FitCost,
    Fitted, Kind, LinearModel, MOMENTS, MergeFit, Model, Moments, Order, Parameter, Params, Registry, Result,
    Root, Shape, Statistic, StatisticContext, Statistics, Train, elastic_net_gap, fit_by_merging, on_stack,
    parameter::{not_negative, positive, rounds, zero_to_one},
};
use smartcore::{
    error::Failed,
    linalg::basic::arrays::Array,
    linear::{elastic_net, lasso, ridge_regression},
};

use crate::{
    SharedMatrix,
    backend::{BACKEND, call, check_finite, failed, spread, targets},
};

/// Rows that are equivalent to the training rows for a penalised fit, as smartcore takes them: columns that do not vary left out,
/// x divided by `x_unit` and y by `y_unit`, so that smartcore's solver sees numbers of order 1 whatever the units were.
struct Equivalent<'a> {
    moments: &'a Moments,
    fit_intercept: bool,
    kept: Vec<usize>,
    x: SharedMatrix,
    y: Vec<f64>,
    x_unit: f64,
    y_unit: f64,
}

impl<'a> Equivalent<'a> {
    /// # Errors
    /// When there are no rows, or sums overflow.
    fn new(moments: &'a Moments, fit_intercept: bool) -> Result<Self> {
        let p = moments.ncols();
        if moments.nrows() == 0.0 {
            return Err(Error::shape("training rows", 1, 0));
        }
        let own = |j: usize| if fit_intercept { moments.xx(j, j) } else { moments.raw_xx(j, j) };
        let yy = if fit_intercept { moments.yy() } else { moments.raw_yy() };
        if !(yy.is_finite() && (0..p).all(|j| own(j).is_finite())) {
            return Err(ErrorKind::Overflow { table: "training rows".into() }.into());
        }
        if let Some(column) = (0..p).find(|j| moments.vanishes(*j, fit_intercept)) {
            return Err(ErrorKind::Underflow { table: "training rows".into(), column }.into());
        }
        let kept: Vec<usize> =
            (0..p).filter(|j| if fit_intercept { !moments.is_constant(*j) } else { own(*j) > 0.0 }).collect();
        let total: f64 = kept.iter().map(|j| own(*j)).sum();
        let x_unit = if kept.is_empty() { 1.0 } else { (total / kept.len() as f64).sqrt() };
        let still = fit_intercept && moments.is_constant(p);
        let y_unit = if still { 0.0 } else { yy.sqrt() };
        let root = if fit_intercept { Root::centred(moments) } else { Root::raw(moments) };
        let mut values = Vec::with_capacity(root.nrows() * kept.len());
        for j in &kept {
            values.extend(root.x().column(*j).expect("Fortran order").iter().map(|v| v / x_unit));
        }
        let x = SharedMatrix::from_values(values, root.nrows(), kept.len(), Order::F);
        let y = root.y().iter().map(|v| v / y_unit.max(f64::MIN_POSITIVE)).collect();
        Ok(Self { moments, fit_intercept, kept, x, y, x_unit, y_unit })
    }

    fn xy(&self, column: usize) -> f64 {
        if self.fit_intercept { self.moments.xy(column) } else { self.moments.raw_xy(column) }
    }

    /// Whether all coefficients are 0 at this penalty, `l1` weighing sums over rows of squares by halves.
    fn is_all_zero(&self, l1: f64) -> bool {
        self.y_unit == 0.0 || self.kept.iter().all(|j| self.xy(*j).abs() <= l1)
    }

    /// How a solver ended that says nothing of it, from the duality gap of what it found, `l1` and `l2` weighing sums over rows of squares
    /// by halves. smartcore's own gap is that of a better dual point at times, so that twice `tol` will do.
    fn convergence(&self, solved: &[f64], l1: f64, l2: f64, tol: f64) -> Convergence {
        let units = (self.x_unit * self.y_unit, self.x_unit * self.x_unit);
        let x = |row: usize, column: usize| *self.x.get((row, column));
        let (gap, objective) = elastic_net_gap(x, &self.y, solved, l1 / units.0, l2 / units.1);
        let share = if objective > 0.0 { gap / objective } else { 0.0 };
        Convergence::new(None, share, gap <= 2.0 * tol * objective + 1e-12)
    }

    /// The model, from coefficients of the kept columns in units of 1.
    fn model(&self, kind: &str, solved: &[f64], convergence: Option<Convergence>) -> Result<Fitted> {
        check_finite(kind, "a coefficient", solved)?;
        let mut coefficients = vec![0.0; self.moments.ncols()];
        for (j, w) in self.kept.iter().zip(solved) {
            coefficients[*j] = w * (self.y_unit / self.x_unit);
        }
        let intercept = if self.fit_intercept {
            let moved: f64 = coefficients.iter().zip(self.moments.x_mean()).map(|(c, m)| c * m).sum();
            self.moments.y_mean() - moved
        } else {
            0.0
        };
        let model = LinearModel::new(kind, coefficients, intercept).with_convergence(convergence);
        Ok(Fitted::Model(Arc::new(model)))
    }
}

/// A coefficient vector as smartcore stores it.
fn column(x: &SharedMatrix) -> Vec<f64> {
    x.iterator(0).copied().collect()
}

/// Call a solver on rows that are in memory already.
fn solve<T: Send>(kind: &str, call: impl FnOnce() -> std::result::Result<T, Failed> + Send) -> Result<T> {
    on_stack(1 << 22, || call().map_err(|e| unsolved(kind, &e)))
}

/// smartcore's word, and a way out where there is one: its line search gives up where rounding hides the descent.
fn unsolved(kind: &str, error: &Failed) -> Error {
    let text = failed(kind, error).to_string();
    let advice = if text.contains("Exceeded") { "; a greater tol converges" } else { "" };
    Error::unsupported(format!("{text}{advice}"))
}

/// What the three types say to the engine alike.
macro_rules! penalised_learner {
    ($name:ident, $kind:literal, $normalised_cost:expr) => {
        impl $name {
            const KIND: &'static str = $kind;

            /// Whether to fit an intercept; without one the rows are not centred.
            #[must_use]
            pub fn fit_intercept(mut self, fit_intercept: bool) -> Self {
                self.fit_intercept = fit_intercept;
                self
            }

            /// Whether to fit with smartcore's own parameterisation: on the rows themselves, columns scaled to variance 1, and
            /// `alpha` (and `l1_ratio`) as smartcore means them. Then the learner reads rows and does not merge.
            #[must_use]
            pub fn normalize(mut self, normalize: bool) -> Self {
                self.normalize = normalize;
                self
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(1.0)
            }
        }

        impl Estimator for $name {
            fn kind(&self) -> String {
                Self::KIND.into()
            }

            fn access(&self) -> Access {
                if self.normalize { Access::Segments } else { Access::Merge }
            }

            fn cost(&self, train: Shape) -> FitCost {
                let (n, p) = (train.nrows as u64, train.ncols as u64);
                let model_bytes = 8 * p + (size_of::<LinearModel>() + Self::KIND.len()) as u64;
                if self.normalize {
                    let bytes: fn(u64, u64) -> u64 = $normalised_cost;
                    return FitCost { peak_bytes: bytes(n, p), model_bytes };
                }
                // States along the tree of blocks, the block that spans two runs, and the solver's matrices of p + 1 rows.
                let d = p + 1;
                let depth = u64::from(train.nrows.div_ceil(BLOCK_ROWS).max(1).ilog2()) + 2;
                let block = BLOCK_ROWS.min(train.nrows) as u64;
                FitCost { peak_bytes: 8 * (d * d * (depth + 9) + block * d + 64 * d), model_bytes }
            }

            fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
                self.check()?;
                train.check_finite()?;
                if !self.normalize {
                    return fit_by_merging(self, train, cx);
                }
                train.check_magnitudes()?;
                if !self.fit_intercept {
                    return Err(Error::unsupported(format!(
                        "{}: normalize centres the columns, so smartcore's fit without an intercept predicts nonsense; set one of \
                         normalize=false and fit_intercept=true",
                        Self::KIND
                    )));
                }
                let Shape { nrows, ncols } = train.shape();
                if nrows <= ncols {
                    return Err(Error::unsupported(format!(
                        "{}: {nrows} rows and {ncols} columns; with normalize smartcore wants more rows than columns",
                        Self::KIND
                    )));
                }
                spread(Self::KIND, train.x())?;
                let (coefficients, intercept) = self.fit_normalised(train)?;
                check_finite(Self::KIND, "a coefficient", coefficients.iter().chain([&intercept]))?;
                Ok(Arc::new(LinearModel::new(Self::KIND, coefficients, intercept)))
            }

            fn as_merge(&self) -> Option<&dyn MergeFit> {
                (!self.normalize).then_some(self)
            }

            fn is_linear(&self) -> bool {
                true
            }
        }

        impl MergeFit for $name {
            fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
                self.check()?;
                Ok(vec![Box::new(Moments::new(cx.ncols))])
            }

            fn affine_support(&self) -> Option<AffineShape> {
                Some(AffineShape::General)
            }

            fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
                self.check()?;
                let moments = statistics.get::<Moments>(&MOMENTS)?;
                let rows = Equivalent::new(&moments, self.fit_intercept)?;
                if rows.kept.is_empty() || self.is_all_zero(&rows) {
                    let exact = (!Self::IS_DIRECT).then(|| Convergence::new(0, 0.0, true));
                    return rows.model(Self::KIND, &[], exact);
                }
                let solved = self.solve(&rows)?;
                let convergence = self.convergence(&rows, &solved);
                rows.model(Self::KIND, &solved, convergence)
            }
        }
    };
}

/// How ridge's normal equations are solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RidgeSolver {
    /// By Cholesky.
    #[default]
    Cholesky,
    /// By singular values.
    Svd,
}

/// Least squares with a penalty on squares by smartcore's `RidgeRegression`: minimises ||y - Xb - b0||^2 + alpha ||b||^2, scikit-learn's
/// `Ridge`.
///
/// Merges: smartcore solves p + 1 rows with the normal equations of all rows, made from one pass's moments. Columns that do not
/// vary get coefficient 0. With `normalize`, smartcore's own parameterisation: columns scaled to variance 1 on a copy of the rows and
/// its transpose, the penalty on the scaled coefficients.
///
/// Faults of smartcore 0.7.0 handled here: without `normalize` it forces the intercept to 0; it refuses constant columns; its
/// variances cancel for columns far from 0 (an error here).
///
/// ```
/// use ensemble_core::{Access, Estimator};
/// use ensemble_smartcore::RidgeRegression;
/// assert_eq!(RidgeRegression::default(), RidgeRegression::new(1.0).fit_intercept(true));
/// assert_eq!(RidgeRegression::new(1.0).normalize(true).access(), Access::Segments);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RidgeRegression {
    alpha: f64,
    fit_intercept: bool,
    normalize: bool,
    solver: RidgeSolver,
}

impl RidgeRegression {
    /// With penalty `alpha`, 0 or more.
    pub fn new(alpha: f64) -> Self {
        Self { alpha, fit_intercept: true, normalize: false, solver: RidgeSolver::default() }
    }

    /// How the normal equations are solved.
    #[must_use]
    pub fn solver(mut self, solver: RidgeSolver) -> Self {
        self.solver = solver;
        self
    }

    fn check(&self) -> Result<()> {
        not_negative(Self::KIND, "alpha", self.alpha)
    }

    fn backend(&self, alpha: f64) -> ridge_regression::RidgeRegressionParameters<f64> {
        let solver = match self.solver {
            RidgeSolver::Cholesky => ridge_regression::RidgeRegressionSolverName::Cholesky,
            RidgeSolver::Svd => ridge_regression::RidgeRegressionSolverName::SVD,
        };
        ridge_regression::RidgeRegressionParameters::default()
            .with_alpha(alpha)
            .with_solver(solver)
            .with_normalize(self.normalize)
    }

    /// It solves a linear system.
    const IS_DIRECT: bool = true;

    fn convergence(&self, _: &Equivalent<'_>, _: &[f64]) -> Option<Convergence> {
        None
    }

    fn is_all_zero(&self, rows: &Equivalent<'_>) -> bool {
        rows.y_unit == 0.0
    }

    fn solve(&self, rows: &Equivalent<'_>) -> Result<Vec<f64>> {
        let parameters = self.backend(self.alpha / (rows.x_unit * rows.x_unit));
        solve(Self::KIND, || {
            type Backend = ridge_regression::RidgeRegression<f64, f64, SharedMatrix, Vec<f64>>;
            Backend::fit(&rows.x, &rows.y, parameters).map(|m| column(m.coefficients()))
        })
    }

    fn fit_normalised(&self, train: &Train<'_>) -> Result<(Vec<f64>, f64)> {
        let (y, parameters) = (targets(train), self.backend(self.alpha));
        call(Self::KIND, train.x(), |x| {
            type Backend = ridge_regression::RidgeRegression<f64, f64, SharedMatrix, Vec<f64>>;
            Backend::fit(x, &y, parameters).map(|m| (column(m.coefficients()), *m.intercept()))
        })
    }
}

penalised_learner!(RidgeRegression, "smartcore.ridge_regression", |n, p| 16 * n * p
    + 16 * n
    + 8 * 3 * p * p
    + 1024 * p);

/// Least squares with an l1 penalty by smartcore's interior-point `Lasso`: minimises ||y - Xb - b0||^2 / (2n) + alpha ||b||_1, scikit-learn's
/// `Lasso`.
///
/// Merges: smartcore solves p + 1 rows with the normal equations of all rows, made from one pass's moments. Columns that do not
/// vary get coefficient 0. The interior point stops when the duality gap is below `tol` of the dual objective; coefficients that
/// are 0 at the optimum come out small, not 0, unless all are. A `tol` below 1e-8 may be more than its line search can do: an error. With `normalize`, smartcore's own parameterisation on the rows where
/// they lie: columns scaled to variance 1, and ||y - Xb||^2 + n alpha ||b||_1.
///
/// Faults of smartcore 0.7.0 handled here: without `normalize` the intercept is the mean of y, wrong unless columns are centred;
/// without an intercept its models cannot predict; a constant target is an error; it refuses constant columns and fewer rows than
/// columns; its variances cancel for columns far from 0 (an error here).
///
/// ```
/// use ensemble_smartcore::Lasso;
/// assert_ne!(Lasso::new(0.1).tol(1e-9).max_iter(500), Lasso::new(0.1));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lasso {
    alpha: f64,
    fit_intercept: bool,
    normalize: bool,
    stop: Stop,
}

/// When the interior point stops.
#[derive(Clone, Debug, PartialEq)]
struct Stop {
    tol: f64,
    max_iter: usize,
}

impl Default for Stop {
    fn default() -> Self {
        Self { tol: 1e-4, max_iter: 1000 }
    }
}

impl Stop {
    fn check(&self, kind: &str) -> Result<()> {
        positive(kind, "tol", self.tol)?;
        rounds(kind, "max_iter", self.max_iter)
    }

    fn from_params(params: &Params) -> Result<Self> {
        let stop = Self { tol: params.number("tol", 1e-4)?, max_iter: params.count("max_iter", 1000)? };
        stop.check(params.kind())?;
        Ok(stop)
    }
}

macro_rules! stopping {
    ($name:ident) => {
        impl $name {
            /// Most steps of the interior point. A fit that reaches it has not converged, which its model and the report say.
            #[must_use]
            pub fn max_iter(mut self, max_iter: usize) -> Self {
                self.stop.max_iter = max_iter;
                self
            }

            /// Stop when the duality gap is below `tol` of the dual objective.
            #[must_use]
            pub fn tol(mut self, tol: f64) -> Self {
                self.stop.tol = tol;
                self
            }
        }
    };
}

stopping!(Lasso);
stopping!(ElasticNet);

impl Lasso {
    /// With penalty `alpha`, 0 or more.
    pub fn new(alpha: f64) -> Self {
        Self { alpha, fit_intercept: true, normalize: false, stop: Stop::default() }
    }

    fn check(&self) -> Result<()> {
        not_negative(Self::KIND, "alpha", self.alpha)?;
        self.stop.check(Self::KIND)
    }

    fn backend(&self, alpha: f64) -> lasso::LassoParameters {
        lasso::LassoParameters::default()
            .with_alpha(alpha)
            .with_tol(self.stop.tol)
            .with_max_iter(self.stop.max_iter)
            .with_normalize(self.normalize)
            .with_lazy_normalization(self.normalize)
            .with_fit_intercept(self.normalize)
    }

    const IS_DIRECT: bool = false;

    fn convergence(&self, rows: &Equivalent<'_>, solved: &[f64]) -> Option<Convergence> {
        Some(rows.convergence(solved, self.alpha * rows.moments.nrows(), 0.0, self.stop.tol))
    }

    fn is_all_zero(&self, rows: &Equivalent<'_>) -> bool {
        rows.is_all_zero(self.alpha * rows.moments.nrows())
    }

    fn solve(&self, rows: &Equivalent<'_>) -> Result<Vec<f64>> {
        // smartcore minimises ||y - Xb||^2 + rows alpha ||b||_1, without the half.
        let l1 = 2.0 * rows.moments.nrows() * self.alpha / (rows.x_unit * rows.y_unit);
        let parameters = self.backend(l1 / rows.y.len() as f64);
        solve(Self::KIND, || {
            type Backend = lasso::Lasso<f64, f64, SharedMatrix, Vec<f64>>;
            Backend::fit(&rows.x, &rows.y, parameters).map(|m| column(m.coefficients()))
        })
    }

    fn fit_normalised(&self, train: &Train<'_>) -> Result<(Vec<f64>, f64)> {
        let (y, parameters) = (targets(train), self.backend(self.alpha));
        call(Self::KIND, train.x(), |x| {
            type Backend = lasso::Lasso<f64, f64, SharedMatrix, Vec<f64>>;
            Backend::fit(x, &y, parameters).map(|m| (column(m.coefficients()), *m.intercept()))
        })
    }
}

penalised_learner!(Lasso, "smartcore.lasso", |n, p| 48 * n + 8 * p * p + 140 * 1024 + 512 * p);

/// Least squares with both penalties by smartcore's interior-point `ElasticNet`: minimises ||y - Xb - b0||^2 / (2n) +
/// alpha l1_ratio ||b||_1 + alpha (1 - l1_ratio) ||b||^2 / 2, scikit-learn's `ElasticNet`. Fitted as [`Lasso`] is.
///
/// With `normalize`: ||y - Xb||^2 + n alpha l1_ratio ||b||_1 + n alpha (1 - l1_ratio) ||b||^2 on scaled columns.
///
/// Faults of smartcore 0.7.0 handled here, besides [`Lasso`]'s: it centres the targets together with the p zeros of its
/// augmented rows, so the penalty pulls coefficients towards a value that depends on the mean of y. Here the targets that it sees
/// have mean 0.
///
/// ```
/// use ensemble_smartcore::ElasticNet;
/// assert_eq!(ElasticNet::new(1.0).l1_ratio(0.5), ElasticNet::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ElasticNet {
    alpha: f64,
    l1_ratio: f64,
    fit_intercept: bool,
    normalize: bool,
    stop: Stop,
}

impl ElasticNet {
    /// With penalty `alpha`, 0 or more, half of it on absolute values.
    pub fn new(alpha: f64) -> Self {
        Self { alpha, l1_ratio: 0.5, fit_intercept: true, normalize: false, stop: Stop::default() }
    }

    /// Share of the penalty on absolute values, from 0 to 1.
    #[must_use]
    pub fn l1_ratio(mut self, l1_ratio: f64) -> Self {
        self.l1_ratio = l1_ratio;
        self
    }

    fn check(&self) -> Result<()> {
        not_negative(Self::KIND, "alpha", self.alpha)?;
        zero_to_one(Self::KIND, "l1_ratio", self.l1_ratio)?;
        self.stop.check(Self::KIND)
    }

    fn backend(&self, alpha: f64, l1_ratio: f64) -> elastic_net::ElasticNetParameters {
        elastic_net::ElasticNetParameters::default()
            .with_alpha(alpha)
            .with_l1_ratio(l1_ratio)
            .with_tol(self.stop.tol)
            .with_max_iter(self.stop.max_iter)
            .with_normalize(self.normalize)
            .with_lazy_normalization(self.normalize)
    }

    const IS_DIRECT: bool = false;

    fn convergence(&self, rows: &Equivalent<'_>, solved: &[f64]) -> Option<Convergence> {
        let weight = self.alpha * rows.moments.nrows();
        Some(rows.convergence(solved, weight * self.l1_ratio, weight * (1.0 - self.l1_ratio), self.stop.tol))
    }

    fn is_all_zero(&self, rows: &Equivalent<'_>) -> bool {
        rows.is_all_zero(self.alpha * self.l1_ratio * rows.moments.nrows())
    }

    fn solve(&self, rows: &Equivalent<'_>) -> Result<Vec<f64>> {
        let n = rows.moments.nrows();
        let l1 = 2.0 * n * self.alpha * self.l1_ratio / (rows.x_unit * rows.y_unit);
        let l2 = n * self.alpha * (1.0 - self.l1_ratio) / (rows.x_unit * rows.x_unit);
        // Every row twice, with either sign: the products stay, and the sum of the targets, which smartcore would subtract, is 0.
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let twice = |values: &mut dyn Iterator<Item = &f64>| -> Vec<f64> {
            values.flat_map(|v| [v * half, -v * half]).collect()
        };
        let x = twice(&mut rows.x.iterator(1));
        let x = SharedMatrix::from_values(x, 2 * rows.y.len(), rows.kept.len(), Order::F);
        let y = twice(&mut rows.y.iter());
        let (sum, m) = (l1 + l2, y.len() as f64);
        let parameters = self.backend(sum / m, if sum > 0.0 { l1 / sum } else { 0.0 });
        solve(Self::KIND, || {
            type Backend = elastic_net::ElasticNet<f64, f64, SharedMatrix, Vec<f64>>;
            Backend::fit(&x, &y, parameters).map(|m| column(m.coefficients()))
        })
    }

    fn fit_normalised(&self, train: &Train<'_>) -> Result<(Vec<f64>, f64)> {
        let mut y = targets(train);
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        y.iter_mut().for_each(|v| *v -= mean);
        let parameters = self.backend(self.alpha, self.l1_ratio);
        let (coefficients, intercept) = call(Self::KIND, train.x(), |x| {
            type Backend = elastic_net::ElasticNet<f64, f64, SharedMatrix, Vec<f64>>;
            Backend::fit(x, &y, parameters).map(|m| (column(m.coefficients()), *m.intercept()))
        })?;
        Ok((coefficients, intercept + mean))
    }
}

penalised_learner!(ElasticNet, "smartcore.elastic_net", |n, p| 48 * (n + p)
    + 8 * p * p
    + 140 * 1024
    + 512 * p);

const ALPHA: Parameter = Parameter::new("alpha", "1.0", "weight of the penalty");
const FIT_INTERCEPT: Parameter = Parameter::new("fit_intercept", "true", "whether to fit an intercept");
const NORMALIZE: Parameter = Parameter::new(
    "normalize",
    "false",
    "smartcore's own parameterisation, on the rows, columns scaled to variance 1",
);
const MAX_ITER: Parameter = Parameter::new("max_iter", "1000", "most steps of the interior point");
const TOL: Parameter = Parameter::new("tol", "1e-4", "when to stop: duality gap, relative");

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: RidgeRegression::KIND,
        backend: BACKEND,
        parameters: const {
            &[ALPHA, FIT_INTERCEPT, Parameter::new("solver", "cholesky", "cholesky or svd"), NORMALIZE]
        },
        build: |params| {
            let solver = match params.word("solver", "cholesky") {
                "cholesky" | "Cholesky" => RidgeSolver::Cholesky,
                "svd" | "SVD" => RidgeSolver::Svd,
                other => return Err(Error::parameter(params.kind(), "solver", other, "cholesky or svd")),
            };
            let ridge = RidgeRegression::new(params.number("alpha", 1.0)?)
                .fit_intercept(params.flag("fit_intercept", true)?)
                .normalize(params.flag("normalize", false)?)
                .solver(solver);
            ridge.check()?;
            Ok(Built::Learner(Arc::new(ridge)))
        },
    });
    registry.add_kind(Kind {
        name: Lasso::KIND,
        backend: BACKEND,
        parameters: const { &[ALPHA, FIT_INTERCEPT, MAX_ITER, TOL, NORMALIZE] },
        build: |params| {
            let lasso = Lasso {
                alpha: params.number("alpha", 1.0)?,
                fit_intercept: params.flag("fit_intercept", true)?,
                normalize: params.flag("normalize", false)?,
                stop: Stop::from_params(params)?,
            };
            lasso.check()?;
            Ok(Built::Learner(Arc::new(lasso)))
        },
    });
    registry.add_kind(Kind {
        name: ElasticNet::KIND,
        backend: BACKEND,
        parameters: const {
            &[
                ALPHA,
                Parameter::new("l1_ratio", "0.5", "share of the penalty on absolute values, from 0 to 1"),
                FIT_INTERCEPT,
                MAX_ITER,
                TOL,
                NORMALIZE,
            ]
        },
        build: |params| {
            let net = ElasticNet {
                alpha: params.number("alpha", 1.0)?,
                l1_ratio: params.number("l1_ratio", 0.5)?,
                fit_intercept: params.flag("fit_intercept", true)?,
                normalize: params.flag("normalize", false)?,
                stop: Stop::from_params(params)?,
            };
            net.check()?;
            Ok(Built::Learner(Arc::new(net)))
        },
    });
}

#[cfg(test)]
mod tests {
    use ensemble_core::{Block, MatRef};

    use super::*;

    fn table(n: usize) -> (Vec<f64>, Vec<f64>) {
        let x: Vec<f64> = (0..n)
            .flat_map(|i| {
                let v = |m: usize, k: usize| ((i * m + i * i) % k) as f64;
                [100.0 + v(37, 101), v(11, 13) / 7.0, 5.0, v(53, 17) * 1000.0, v(7, 29)]
            })
            .collect();
        let y = x
            .chunks(5)
            .zip(0..)
            .map(|(r, i)| {
                2.0 * r[0] - 3.0 * r[1] + 0.001 * r[3] + 0.2 * r[4] + f64::from((i * 53) % 17) + 40.0
            })
            .collect();
        (x, y)
    }

    fn statistics(x: &[f64], y: &[f64]) -> Statistics {
        let p = x.len() / y.len();
        let mut m = Moments::new(p);
        m.absorb(&Block { x: MatRef::new(x, y.len(), p, Order::C).unwrap(), y, first_row: 0 }).unwrap();
        Statistics::new(vec![Arc::new(m)])
    }

    /// Scikit-learn's optimality conditions, relative to the largest gradient at 0.
    fn violation(m: &Moments, model: &dyn Model, l1: f64, l2: f64, intercept: bool) -> f64 {
        let form = model.as_linear().unwrap();
        let w = form.coefficients;
        let xx = |i: usize, j: usize| if intercept { m.xx(i, j) } else { m.raw_xx(i, j) };
        let xy = |j: usize| if intercept { m.xy(j) } else { m.raw_xy(j) };
        let scale = (0..w.len()).map(|j| xy(j).abs() / xx(j, j).max(1e-300).sqrt()).fold(0.0, f64::max);
        (0..w.len())
            .filter(|j| !intercept || xx(*j, *j) > 1e-9)
            .map(|j| {
                let slope = xy(j) - (0..w.len()).map(|i| xx(i, j) * w[i]).sum::<f64>() - l2 * w[j];
                // Coefficients that are 0 at the optimum come out small.
                let small = w[j].abs() * xx(j, j).sqrt() < 1e-6 * scale;
                let off = if small && slope.abs() < l1 { 0.0 } else { (slope - l1 * w[j].signum()).abs() };
                off / xx(j, j).sqrt() / scale
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn optimality_conditions_of_scikit_learns_objectives_hold() {
        let (x, y) = table(200);
        let s = statistics(&x, &y);
        let m = s.get::<Moments>(&MOMENTS).unwrap();
        let n = 200.0;
        for intercept in [true, false] {
            for alpha in [0.0, 0.01, 1.0, 30.0] {
                let check = |learner: &dyn MergeFit, l1: f64, l2: f64, what: &str| {
                    let Fitted::Model(model) = learner.fit_from(&s).unwrap() else { panic!() };
                    let off = violation(&m, &*model, l1, l2, intercept);
                    assert!(off < 1e-6, "{what} alpha {alpha} intercept {intercept}: {off:e}");
                };
                check(&RidgeRegression::new(alpha).fit_intercept(intercept), 0.0, alpha, "ridge");
                check(
                    &RidgeRegression::new(alpha).fit_intercept(intercept).solver(RidgeSolver::Svd),
                    0.0,
                    alpha,
                    "ridge svd",
                );
                if alpha == 0.0 {
                    continue;
                }
                let tol = 1e-11;
                let lasso = Lasso::new(alpha).fit_intercept(intercept).tol(tol);
                check(&lasso, n * alpha, 0.0, "lasso");
                for ratio in [0.0, 0.3, 1.0] {
                    let net = ElasticNet::new(alpha).l1_ratio(ratio).fit_intercept(intercept).tol(tol);
                    let (l1, l2) = (n * alpha * ratio, n * alpha * (1.0 - ratio));
                    check(&net, l1, l2, &format!("net {ratio}"));
                }
            }
        }
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let cx = StatisticContext::new(2);
        let text = |l: &dyn MergeFit| l.statistics(&cx).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text(&Lasso::new(-0.5)).starts_with("smartcore.lasso: alpha=-0.5 is out of range"));
        assert!(text(&Lasso::new(1.0).max_iter(0)).contains("max_iter=0"));
        assert!(text(&Lasso::new(1.0).tol(0.0)).contains("tol=0"));
        assert!(text(&ElasticNet::new(1.0).l1_ratio(1.5)).contains("l1_ratio=1.5"));
        assert!(text(&RidgeRegression::new(f64::NAN)).contains("alpha=NaN"));
    }
}
