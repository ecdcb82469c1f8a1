//! Least squares and ridge, from moments while products keep enough digits, and from the R factor when they do not.

use std::sync::Arc;

use ensemble_core::{
    AffineShape, BLOCK_ROWS, Built, Error, FitCost, Fitted, Kind, LinearModel, MOMENTS, MergeFit, Moments,
    Parameter, Registry, Result, Shape, Statistic, StatisticContext, Statistics,
};

use crate::{
    dense::{Cholesky, Matrix, dot, min_norm_solve, norm2, r_factor, solve_upper, upper_condition},
    learner::linear_estimator,
    nonnegative::fit_nonnegative,
    tsqr::{TSQR, TsqrStatistic},
};

/// Normal equations are solved up to this condition number of X'X with columns scaled to unit length (1-norm, estimated):
/// the vector of coefficients then keeps about nine digits, in those units. Beyond it, a second pass brings the R factor.
pub const MAX_CONDITION: f64 = 1e7;

/// The same limit for training sets of at most one block of rows, where a second pass costs nothing worth saving: about
/// thirteen digits are kept.
pub const MAX_CONDITION_SMALL: f64 = 1e3;

/// X'X, X'y and y'y about the mean or about zero. Rows and columns of constant columns are zero, about zero those of columns that
/// are zero but for rounding, and so are those of columns whose squares underflow, which products cannot tell of.
pub(crate) struct NormalEquations<'a> {
    pub(crate) gram: Matrix,
    pub(crate) xy: Vec<f64>,
    pub(crate) yy: f64,
    /// Columns whose squares underflow, and their products with y.
    vanishing: Vec<(usize, f64)>,
    moments: &'a Moments,
    fit_intercept: bool,
}

impl<'a> NormalEquations<'a> {
    /// # Errors
    /// When there are no rows, or the sums are not finite.
    pub(crate) fn new(moments: &'a Moments, fit_intercept: bool) -> Result<Self> {
        if moments.nrows() == 0.0 {
            return Err(Error::shape("training rows", 1, 0));
        }
        let p = moments.ncols();
        let mut gram = Matrix::zeros(p, p);
        let mut xy = vec![0.0; p];
        let mut finite = true;
        let mut vanishing = Vec::new();
        let yy = if fit_intercept { moments.yy() } else { moments.raw_yy() };
        let constant: Vec<bool> = (0..p).map(|j| moments.is_constant(j)).collect();
        // About zero a constant is a direction, and its rounding is none.
        let raw = |i: usize, j: usize| {
            let rounding = constant[i] || (j < p && constant[j]);
            let mean = |j: usize| if j < p { moments.x_mean()[j] } else { moments.y_mean() };
            if rounding { moments.nrows() * mean(i) * mean(j) } else { moments.raw_xx(i, j) }
        };
        for j in 0..p {
            let own = if fit_intercept { moments.xx(j, j) } else { raw(j, j) };
            finite &= own.is_finite();
            xy[j] = if fit_intercept { moments.xy(j) } else { raw(j, p) };
            if moments.vanishes(j, fit_intercept) {
                vanishing.push((j, xy[j]));
                xy[j] = 0.0;
                continue;
            }
            if if fit_intercept { constant[j] } else { moments.is_zero(j) } {
                xy[j] = 0.0;
                continue;
            }
            gram[(j, j)] = own;
        }
        for j in 0..p {
            if gram[(j, j)] == 0.0 {
                continue;
            }
            for i in 0..j {
                if gram[(i, i)] != 0.0 {
                    let value = if fit_intercept { moments.xx(i, j) } else { raw(i, j) };
                    gram[(i, j)] = value;
                    gram[(j, i)] = value;
                }
            }
        }
        if !finite || !yy.is_finite() {
            return Err(ensemble_core::ErrorKind::Overflow { table: "training rows".into() }.into());
        }
        Ok(Self { gram, xy, yy, vanishing, moments, fit_intercept })
    }

    pub(crate) fn ncols(&self) -> usize {
        self.xy.len()
    }

    /// That no column whose squares underflow would have a coefficient other than 0 under an l1 penalty `l1`.
    ///
    /// # Errors
    /// [`ErrorKind::Underflow`](ensemble_core::ErrorKind::Underflow) with the column that might.
    pub(crate) fn check_vanishing(&self, l1: f64) -> Result<()> {
        match self.vanishing.iter().find(|(_, slope)| l1 == 0.0 || slope.abs() > l1) {
            None => Ok(()),
            Some((column, _)) => {
                let table = "training rows".into();
                Err(ensemble_core::ErrorKind::Underflow { table, column: *column }.into())
            }
        }
    }

    /// That y's squares do not underflow, or all coefficients are 0 under an l1 penalty `l1` anyway.
    ///
    /// # Errors
    /// [`ErrorKind::Underflow`](ensemble_core::ErrorKind::Underflow) of the target.
    pub(crate) fn check_target(&self, l1: f64, positive: bool) -> Result<()> {
        let pulls = |slope: &f64| if positive { *slope > l1 } else { slope.abs() > l1 };
        if self.moments.vanishes(self.ncols(), self.fit_intercept) && self.xy.iter().any(pulls) {
            let table = "training target".into();
            return Err(ensemble_core::ErrorKind::Underflow { table, column: 0 }.into());
        }
        Ok(())
    }

    /// X'X + alpha I in units of columns of length 1, factored, and those units; `None` when its condition is beyond
    /// `max_condition`.
    fn factor(&self, alpha: f64, max_condition: f64) -> Option<(Cholesky, Vec<f64>)> {
        let p = self.ncols();
        let scale: Vec<f64> = (0..p)
            .map(|j| {
                let own = self.gram[(j, j)] + alpha;
                if own > 0.0 { 1.0 / own.sqrt() } else { 0.0 }
            })
            .collect();
        let mut a = Matrix::zeros(p, p);
        let mut norm = 0.0_f64;
        for j in 0..p {
            let s = scale[j];
            let column = a.column_mut(j);
            for ((to, from), si) in column.iter_mut().zip(self.gram.column(j)).zip(&scale) {
                *to = from * si * s;
            }
            // A column of zeros takes part as a row of the identity: its coefficient is 0.
            column[j] = 1.0;
            norm = norm.max(column.iter().map(|v| v.abs()).sum());
        }
        let cholesky = Cholesky::new(a)?;
        let condition = cholesky.condition(norm);
        if condition.is_nan() || condition > max_condition {
            return None;
        }
        Some((cholesky, scale))
    }

    /// Whether the condition of X'X + alpha I, columns of length 1, is at most `max_condition`.
    pub(crate) fn is_well_conditioned(&self, alpha: f64, max_condition: f64) -> bool {
        self.factor(alpha, max_condition).is_some()
    }

    /// Solve (X'X + alpha I) b = X'y by Cholesky; `None` when that would lose too many digits.
    fn solve(&self, alpha: f64, max_condition: f64) -> Option<Vec<f64>> {
        let (cholesky, scale) = self.factor(alpha, max_condition)?;
        let mut b: Vec<f64> = self.xy.iter().zip(&scale).map(|(c, s)| c * s).collect();
        cholesky.solve(&mut b);
        b.iter_mut().zip(&scale).for_each(|(b, s)| *b *= s);
        Some(b)
    }

    /// The model with these coefficients.
    pub(crate) fn model(&self, kind: &str, coefficients: Vec<f64>) -> LinearModel {
        let intercept = if self.fit_intercept {
            self.moments.y_mean() - dot(&coefficients, self.moments.x_mean())
        } else {
            0.0
        };
        LinearModel::new(kind, coefficients, intercept)
    }
}

/// Minimise ||y - Xb||^2 + alpha ||b||^2 from the R factor of the rows: back-substitution at full column rank, the solution
/// of smallest norm otherwise.
fn solve_from_r(state: &TsqrStatistic, fit_intercept: bool, alpha: f64) -> Result<(Vec<f64>, f64)> {
    let p = state.ncols();
    let r = state.factor(fit_intercept);
    let limit = 1.0 / (64.0 * p.max(1) as f64 * f64::EPSILON);
    // Columns of rounding alone are zeros in this factor.
    let kept: Vec<usize> = (0..p).filter(|j| norm2(r.column(*j)) > 0.0).collect();
    let k = kept.len();
    // Kept columns and y, with sqrt(alpha) I below, triangular again.
    let penalty = if alpha > 0.0 { k } else { 0 };
    let mut rows = Matrix::zeros(p + 1 + penalty, k + 1);
    for (to, from) in kept.iter().copied().chain([p]).enumerate() {
        rows.column_mut(to)[..=p].copy_from_slice(r.column(from));
        if to < penalty {
            rows[(p + 1 + to, to)] = alpha.sqrt();
        }
    }
    let full = if k == p && penalty == 0 { r } else { r_factor(rows) };
    // Columns of unit length: rank is a matter of directions, not of units.
    let mut scaled = Matrix::zeros(k, k);
    let mut scale = vec![0.0; k];
    for j in 0..k {
        scale[j] = 1.0 / norm2(&full.column(j)[..k]);
        scaled.column_mut(j).iter_mut().zip(full.column(j)).for_each(|(to, from)| *to = from * scale[j]);
    }
    let mut b = Vec::from(&full.column(k)[..k]);
    if upper_condition(&scaled) < limit {
        solve_upper(&scaled, &mut b);
        b.iter_mut().zip(&scale).for_each(|(b, s)| *b *= s);
    } else {
        b = min_norm_solve(&scaled, &scale, &b, 1.0 / limit).ok_or_else(|| {
            Error::unsupported("the singular value decomposition did not converge; rescale the columns first")
        })?;
    }
    let mut coefficients = vec![0.0; p];
    kept.iter().zip(&b).for_each(|(j, b)| coefficients[*j] = *b);
    let intercept = if fit_intercept { state.y_mean() - dot(&coefficients, state.x_mean()) } else { 0.0 };
    Ok((coefficients, intercept))
}

/// The condition number up to which so many rows are fitted from products.
pub(crate) fn condition_limit(nrows: f64) -> f64 {
    if nrows <= BLOCK_ROWS as f64 { MAX_CONDITION_SMALL } else { MAX_CONDITION }
}

/// From moments, or from the R factor where those do not suffice.
fn fit_squares(kind: &str, statistics: &Statistics, fit_intercept: bool, alpha: f64) -> Result<Fitted> {
    let moments = statistics.get::<Moments>(&MOMENTS)?;
    let equations = NormalEquations::new(&moments, fit_intercept)?;
    // The rule looks at these statistics alone, never at which others are there: what other learners ask for changes no bit.
    if equations.vanishing.is_empty()
        && let Some(coefficients) = equations.solve(alpha, condition_limit(moments.nrows()))
    {
        return Ok(Fitted::Model(Arc::new(equations.model(kind, coefficients))));
    }
    if !statistics.has(&TSQR) {
        return Ok(Fitted::Needs(vec![Box::new(TsqrStatistic::new(moments.ncols()))]));
    }
    let state = statistics.get::<TsqrStatistic>(&TSQR)?;
    let (coefficients, intercept) = solve_from_r(&state, fit_intercept, alpha)?;
    Ok(Fitted::Model(Arc::new(LinearModel::new(kind, coefficients, intercept))))
}

/// Bytes of a fit from (p + 1)^2 products: states along the tree of blocks, the system, and `blocks` blocks of rows.
pub(crate) fn product_cost(train: Shape, blocks: usize) -> FitCost {
    let d = train.ncols + 1;
    let depth = train.nrows.div_ceil(BLOCK_ROWS).max(1).ilog2() as usize + 2;
    FitCost {
        peak_bytes: (8 * (d * d * (depth + 5) + blocks * BLOCK_ROWS.min(train.nrows) * d)) as u64,
        model_bytes: (8 * train.ncols + size_of::<LinearModel>()) as u64,
    }
}

/// [`product_cost`] with the R factor's blocks, and with few rows that stand for all and an active set on them.
pub(crate) fn few_rows_cost(train: Shape) -> FitCost {
    let d = (train.ncols + 1) as u64;
    let cost = product_cost(train, 2);
    FitCost { peak_bytes: cost.peak_bytes + 48 * d * d, ..cost }
}

/// Statistics of the linear family.
pub(crate) fn moments_of(cx: &StatisticContext) -> Vec<Box<dyn Statistic>> {
    vec![Box::new(Moments::new(cx.ncols))]
}

/// Ordinary least squares: minimises ||y - Xb - b0||^2, scikit-learn's `LinearRegression`.
///
/// Merges: one pass over the rows sums [`Moments`], from which the normal equations are solved with columns scaled to unit
/// length. When those are ill conditioned, beyond [`MAX_CONDITION`] ([`MAX_CONDITION_SMALL`] for up to one block of rows), or
/// squares of a column underflow, a second pass brings the [`TsqrStatistic`]. Rank is decided in columns of unit length, where
/// singular values below 64 p eps of the largest count as zero; without full rank the coefficients are, among all that fit
/// equally well, those of smallest norm in the columns' own units, as scikit-learn's. Columns that do not vary, but for the
/// rounding of their values, get coefficient 0, also behind scalers ([`Moments::is_constant`]).
///
/// ```
/// # use ensemble_core::*;
/// use ensemble_native::LinearRegression;
/// let mut moments = Moments::new(1);
/// let x = MatRef::column_vector(&[0.0, 1.0, 2.0]);
/// moments.absorb(&Block { x, y: &[1.0, 3.0, 5.0], first_row: 0 })?;
/// let statistics = Statistics::new(vec![std::sync::Arc::new(moments)]);
/// let Fitted::Model(model) = LinearRegression::new().fit_from(&statistics)? else { unreachable!() };
/// let line = model.as_linear().expect("a line");
/// assert!((line.coefficients[0] - 2.0).abs() < 1e-14 && (line.intercept - 1.0).abs() < 1e-14);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LinearRegression {
    fit_intercept: bool,
    positive: bool,
}

impl LinearRegression {
    const KIND: &'static str = "native.linear_regression";

    /// With an intercept, and coefficients of any sign.
    pub fn new() -> Self {
        Self { fit_intercept: true, positive: false }
    }

    /// Whether to fit an intercept; without one the rows are not centred.
    #[must_use]
    pub fn fit_intercept(mut self, fit_intercept: bool) -> Self {
        self.fit_intercept = fit_intercept;
        self
    }

    /// Whether coefficients are kept from being negative; then solved by the active set of
    /// [`NonNegativeLeastSquares`](crate::NonNegativeLeastSquares).
    #[must_use]
    pub fn positive(mut self, positive: bool) -> Self {
        self.positive = positive;
        self
    }
}

impl Default for LinearRegression {
    fn default() -> Self {
        Self::new()
    }
}

linear_estimator!(LinearRegression, few_rows_cost);

impl MergeFit for LinearRegression {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(moments_of(cx))
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::General)
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        if self.positive {
            return fit_nonnegative(Self::KIND, statistics, self.fit_intercept);
        }
        fit_squares(Self::KIND, statistics, self.fit_intercept, 0.0)
    }
}

/// Least squares with a penalty on the coefficients: minimises ||y - Xb - b0||^2 + alpha ||b||^2, scikit-learn's `Ridge`.
/// The intercept is not penalised.
///
/// Merges as [`LinearRegression`] does; the second pass is made only when X'X + alpha I is ill conditioned still, by the
/// same limits.
///
/// ```
/// # use ensemble_core::*;
/// use ensemble_native::Ridge;
/// assert!(Ridge::new(-1.0).statistics(&StatisticContext::new(3)).is_err());
/// assert_eq!(Ridge::default(), Ridge::new(1.0).fit_intercept(true));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    alpha: f64,
    fit_intercept: bool,
}

impl Ridge {
    const KIND: &'static str = "native.ridge";

    /// With penalty `alpha`, 0 or more.
    pub fn new(alpha: f64) -> Self {
        Self { alpha, fit_intercept: true }
    }

    /// Whether to fit an intercept; without one the rows are not centred.
    #[must_use]
    pub fn fit_intercept(mut self, fit_intercept: bool) -> Self {
        self.fit_intercept = fit_intercept;
        self
    }

    fn check(&self) -> Result<()> {
        not_negative(Self::KIND, "alpha", self.alpha)
    }
}

impl Default for Ridge {
    fn default() -> Self {
        Self::new(1.0)
    }
}

pub(crate) use ensemble_core::parameter::not_negative;

linear_estimator!(Ridge, |train| product_cost(train, 2));

impl MergeFit for Ridge {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        self.check()?;
        Ok(moments_of(cx))
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::General)
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        self.check()?;
        fit_squares(Self::KIND, statistics, self.fit_intercept, self.alpha)
    }
}

/// The parameter `fit_intercept`, `true` by default.
pub(crate) const FIT_INTERCEPT: Parameter =
    Parameter::new("fit_intercept", "true", "whether to fit an intercept");

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: LinearRegression::KIND,
        backend: crate::BACKEND,
        parameters: const {
            &[FIT_INTERCEPT, Parameter::new("positive", "false", "keep coefficients from being negative")]
        },
        build: |params| {
            Ok(Built::Learner(Arc::new(
                LinearRegression::new()
                    .fit_intercept(params.flag("fit_intercept", true)?)
                    .positive(params.flag("positive", false)?),
            )))
        },
    });
    registry.add_kind(Kind {
        name: Ridge::KIND,
        backend: crate::BACKEND,
        parameters: const {
            &[Parameter::new("alpha", "1.0", "weight of the squared coefficients"), FIT_INTERCEPT]
        },
        build: |params| {
            let ridge =
                Ridge::new(params.number("alpha", 1.0)?).fit_intercept(params.flag("fit_intercept", true)?);
            ridge.check()?;
            Ok(Built::Learner(Arc::new(ridge)))
        },
    });
}
