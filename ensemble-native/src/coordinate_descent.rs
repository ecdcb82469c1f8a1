//! Lasso and elastic net by cyclic coordinate descent on the Gram matrix.

use std::sync::Arc;

use ensemble_core::{
    AffineShape, Built, Convergence, Fitted, Kind, MOMENTS, MergeFit, Moments, Parameter, Params, Registry,
    Result, Statistic, StatisticContext, Statistics,
    parameter::{rounds, zero_to_one},
};

use crate::{
    active_set::{FewRows, Sign},
    dense::{Cholesky, Matrix, add_scaled, dot},
    learner::linear_estimator,
    linear::{FIT_INTERCEPT, NormalEquations, condition_limit, few_rows_cost, moments_of, not_negative},
    nonnegative::fit_on_few_rows,
};

/// The penalties and when to stop.
#[derive(Clone, Debug, PartialEq)]
struct Descent {
    alpha: f64,
    l1_ratio: f64,
    fit_intercept: bool,
    max_iter: usize,
    tol: f64,
    positive: bool,
}

impl Descent {
    fn new(alpha: f64, l1_ratio: f64) -> Self {
        Self { alpha, l1_ratio, fit_intercept: true, max_iter: 1000, tol: 1e-4, positive: false }
    }

    fn check(&self, kind: &str) -> Result<()> {
        not_negative(kind, "alpha", self.alpha)?;
        not_negative(kind, "tol", self.tol)?;
        zero_to_one(kind, "l1_ratio", self.l1_ratio)?;
        rounds(kind, "max_iter", self.max_iter)
    }

    fn from_params(params: &Params, l1_ratio: f64) -> Result<Self> {
        let descent = Self {
            alpha: params.number("alpha", 1.0)?,
            l1_ratio,
            fit_intercept: params.flag("fit_intercept", true)?,
            max_iter: params.count("max_iter", 1000)?,
            tol: params.number("tol", 1e-4)?,
            positive: params.flag("positive", false)?,
        };
        descent.check(params.kind())?;
        Ok(descent)
    }

    fn fit(&self, kind: &str, statistics: &Statistics) -> Result<Fitted> {
        self.check(kind)?;
        let moments = statistics.get::<Moments>(&MOMENTS)?;
        let n = moments.nrows();
        let l1 = self.alpha * self.l1_ratio * n;
        let l2 = self.alpha * (1.0 - self.l1_ratio) * n;
        let equations = NormalEquations::new(&moments, self.fit_intercept)?;
        equations.check_vanishing(l1)?;
        if !self.fit_intercept && !equations.is_well_conditioned(l2, condition_limit(n)) {
            // Columns far from 0 differ by what is small in their products, and by as small a slope.
            let sign = if self.positive { Sign::NonNegative } else { Sign::Any };
            let solve = |rows: &FewRows| rows.minimise(false, l1, l2, sign);
            return fit_on_few_rows(kind, statistics, false, solve, |rows, s| {
                !rows.are_lost(&s.coefficients)
                    && (self.positive || !rows.may_hide(&s.coefficients, l1, condition_limit(n)))
            });
        }
        equations.check_target(l1, self.positive)?;
        let problem = Problem {
            gram: &equations.gram,
            xy: &equations.xy,
            yy: equations.yy,
            l1,
            l2,
            positive: self.positive,
        };
        let (coefficients, convergence) = problem.solve(self.max_iter, self.tol);
        Ok(Fitted::Model(Arc::new(equations.model(kind, coefficients).with_convergence(convergence))))
    }
}

/// Minimise b'Gb / 2 - c'b + l1 |b| + l2 ||b||^2 / 2, over b >= 0 or over all b.
struct Problem<'a> {
    gram: &'a Matrix,
    xy: &'a [f64],
    yy: f64,
    l1: f64,
    l2: f64,
    positive: bool,
}

/// What a step to the optimum of the coefficients that are not 0 has done.
struct Polish {
    /// The objective is lower than before.
    lowered: bool,
    /// The optimum was reached, whether or not it is lower by more than rounding.
    arrived: bool,
}

/// Coefficients, and G times them, kept up to date.
struct Point {
    w: Vec<f64>,
    gw: Vec<f64>,
}

impl Problem<'_> {
    /// Sweeps over the coordinates, and between them steps to the optimum of those that are not 0.
    ///
    /// Sweeps find which coefficients are not 0, and then take long where columns depend on each other. With the signs given the
    /// optimum of those is a linear system, so that it is solved, as soon as the sweeps have cost as much as that does.
    fn solve(&self, max_iter: usize, tol: f64) -> (Vec<f64>, Convergence) {
        let p = self.xy.len();
        let mut at = Point { w: vec![0.0; p], gw: vec![0.0; p] };
        // Nothing bounds the objective from below but the solution itself, so that this is asked for too.
        let free = self.l1 == 0.0 && self.l2 == 0.0;
        // The gap is compared with the objective, and told as a share of it.
        let rounding = 32.0 * f64::EPSILON * self.yy;
        let ended = |at: &Point| {
            if free {
                let cosine = self.cosine(at);
                return (cosine <= tol || self.is_flat(at), cosine);
            }
            let (gap, objective) = (self.gap(at).max(0.0), self.objective(at));
            (gap <= tol * objective + rounding, if objective > 0.0 { gap / objective } else { gap })
        };
        let (mut converged, mut gap) = ended(&at);
        converged &= !free || self.is_flat(&at);
        let (mut steps, mut looked, mut spent) = (0, 0, 0);
        while !converged && steps < max_iter {
            steps += 1;
            let (moved, largest) = self.sweep(&mut at);
            let support = at.w.iter().filter(|w| **w != 0.0).count();
            spent += p * (support + 1);
            // A sweep that moves nothing by more than a rounding cannot be followed by one that does better.
            let still = moved <= f64::EPSILON * largest;
            let slow = largest == 0.0 || moved <= tol * largest;
            // Looking costs about a sweep: at every doubling, and when there is reason to.
            if !(still || slow || steps == max_iter || steps >= 2 * looked) {
                continue;
            }
            looked = steps;
            let affordable =
                spent >= support * support * support / 3 || (free && (still || steps == max_iter));
            let Polish { lowered, arrived } =
                if affordable { self.polish(&mut at) } else { Polish { lowered: false, arrived: false } };
            if affordable {
                spent = 0;
            }
            self.renew(&mut at);
            (converged, gap) = ended(&at);
            // Coefficients that still move may be far from their ends where the objective hardly shows it.
            converged &= slow || (lowered && arrived) || steps == max_iter;
            converged &= !free || affordable;
            // No step of any kind leads further down from where no slope is left but rounding.
            converged |= (still || arrived) && self.is_flat(&at);
            if still && !lowered {
                break;
            }
        }
        // The sign of a zero is no information.
        at.w.iter_mut().filter(|v| **v == 0.0).for_each(|v| *v = 0.0);
        (at.w, Convergence::new(steps as u64, gap, converged))
    }

    /// One sweep: the largest step and the largest coefficient, both times the lengths of their columns, so that no column's units
    /// matter.
    fn sweep(&self, at: &mut Point) -> (f64, f64) {
        let (mut largest, mut moved) = (0.0_f64, 0.0_f64);
        for j in 0..at.w.len() {
            let own = self.gram[(j, j)];
            if own == 0.0 {
                continue;
            }
            let old = at.w[j];
            let slope = self.xy[j] - at.gw[j] + old * own;
            let new = if self.positive && slope < 0.0 {
                0.0
            } else {
                let size = (slope.abs() - self.l1).max(0.0) / (own + self.l2);
                size.copysign(slope)
            };
            if new != old {
                at.w[j] = new;
                add_scaled(&mut at.gw, new - old, self.gram.column(j));
            }
            let length = (own + self.l2).sqrt();
            moved = moved.max((new - old).abs() * length);
            largest = largest.max(new.abs() * length);
        }
        (moved, largest)
    }

    /// Form G w anew: it has drifted by a rounding per update.
    fn renew(&self, at: &mut Point) {
        at.gw.fill(0.0);
        for (j, v) in at.w.iter().enumerate().filter(|(_, v)| **v != 0.0) {
            add_scaled(&mut at.gw, *v, self.gram.column(j));
        }
    }

    /// Go to the optimum of the coefficients that are not 0 under their signs, leaving out those that reach 0 on the way, as an
    /// active set does. Goes nowhere when that does not lower the objective.
    fn polish(&self, at: &mut Point) -> Polish {
        /// Each costs a factorization; where more are needed, sweeps do better.
        const MOST: usize = 8;
        self.renew(at);
        let before = self.objective(at);
        let old = at.w.clone();
        let mut arrived = false;
        for _ in 0..MOST {
            let used: Vec<usize> = (0..old.len()).filter(|j| at.w[*j] != 0.0).collect();
            let Some(steps) = self.steps_to_optimum(&used, at) else { break };
            // How far each coefficient may go before it changes its sign.
            let limits: Vec<f64> = used
                .iter()
                .zip(&steps)
                .map(|(j, d)| {
                    let w = at.w[*j];
                    if (w + d > 0.0 && w > 0.0) || (w + d < 0.0 && w < 0.0) { f64::INFINITY } else { -w / d }
                })
                .collect();
            let step = limits.iter().copied().fold(1.0, f64::min);
            for ((j, d), limit) in used.iter().zip(&steps).zip(&limits) {
                at.w[*j] = if *limit <= step { 0.0 } else { at.w[*j] + step * d };
            }
            self.renew(at);
            arrived = !limits.iter().any(|limit| *limit <= step);
            if arrived {
                break;
            }
        }
        // Also when it is NaN.
        if self.objective(at).partial_cmp(&before) != Some(std::cmp::Ordering::Less) {
            at.w = old;
            self.renew(at);
            return Polish { lowered: false, arrived };
        }
        Polish { lowered: true, arrived }
    }

    /// Newton's step on the columns `used`, (G + l2 I) d = c - G w - l2 w - l1 signs, in units of columns of length 1. Where
    /// these depend on each other, the step of a slightly greater G, which lowers the objective too.
    fn steps_to_optimum(&self, used: &[usize], at: &Point) -> Option<Vec<f64>> {
        const GREATER: f64 = 1e-9;
        let scale: Vec<f64> = used.iter().map(|j| 1.0 / (self.gram[(*j, *j)] + self.l2).sqrt()).collect();
        let mut a = Matrix::zeros(used.len(), used.len());
        for (to, (j, sj)) in used.iter().zip(&scale).enumerate() {
            let column = self.gram.column(*j);
            let values = used.iter().zip(&scale).map(|(i, si)| column[*i] * si * sj);
            a.column_mut(to).iter_mut().zip(values).for_each(|(to, v)| *to = v);
            a[(to, to)] = 1.0;
        }
        let cholesky = Cholesky::new(a.clone()).or_else(|| {
            (0..used.len()).for_each(|j| a[(j, j)] = 1.0 + GREATER);
            Cholesky::new(a)
        })?;
        let slope = |j: usize| self.xy[j] - at.gw[j] - self.l2 * at.w[j] - self.l1 * at.w[j].signum();
        let mut d: Vec<f64> = used.iter().zip(&scale).map(|(j, s)| slope(*j) * s).collect();
        cholesky.solve(&mut d);
        d.iter_mut().zip(&scale).for_each(|(d, s)| *d *= s);
        Some(d)
    }

    /// ||y - Xb||^2 / 2 and the penalties.
    fn objective(&self, at: &Point) -> f64 {
        let residual = (self.yy + dot(&at.w, &at.gw) - 2.0 * dot(&at.w, self.xy)).max(0.0);
        let w1: f64 = at.w.iter().map(|v| v.abs()).sum();
        0.5 * residual + self.l1 * w1 + 0.5 * self.l2 * dot(&at.w, &at.w)
    }

    /// By how much each coefficient's slope misses the conditions of the optimum, over the length of its column, the columns being
    /// those of the rows with the l2 penalty's below them.
    fn misses(&self, at: &Point) -> impl Iterator<Item = f64> {
        (0..at.w.len()).filter(|j| self.gram[(*j, *j)] > 0.0).map(|j| {
            let w = at.w[j];
            let slope = self.xy[j] - at.gw[j] - self.l2 * w;
            let miss = if w != 0.0 {
                (slope - self.l1 * w.signum()).abs()
            } else {
                ((if self.positive { slope } else { slope.abs() }) - self.l1).max(0.0)
            };
            miss / (self.gram[(j, j)] + self.l2).sqrt()
        })
    }

    /// Whether all slopes are at the optimum's but for the rounding of what they are differences of.
    fn is_flat(&self, at: &Point) -> bool {
        let parts = at.w.iter().enumerate().map(|(j, w)| w.abs() * (self.gram[(j, j)] + self.l2).sqrt());
        let rounding = 64.0 * f64::EPSILON * (self.yy.sqrt() + parts.sum::<f64>());
        self.misses(at).all(|miss| miss <= rounding)
    }

    /// The largest cosine between the residual and a column that would lessen it.
    fn cosine(&self, at: &Point) -> f64 {
        let most = self.misses(at).fold(0.0, f64::max);
        let residual = (2.0 * self.objective(at)).sqrt();
        if most == 0.0 || residual == 0.0 { 0.0 } else { most / residual }
    }

    /// Primal minus dual objective, a bound on how far the objective is from its least: the lesser of two, one from the residual
    /// shrunk until the l1 penalty holds its slopes, the other with what it does not hold of them charged to the l2 penalty.
    fn gap(&self, at: &Point) -> f64 {
        if self.l2 == 0.0 {
            return self.gap_of_shrunk_residual(at);
        }
        let terms = at.w.iter().zip(&at.gw).zip(self.xy).map(|((w, gw), xy)| {
            let slope = xy - gw;
            let held = slope.clamp(if self.positive { f64::NEG_INFINITY } else { -self.l1 }, self.l1);
            let rest = self.l2 * w - (slope - held);
            (self.l1 * w.abs() - held * w) + rest * (0.5 * rest / self.l2)
        });
        terms.sum::<f64>().min(self.gap_of_shrunk_residual(at))
    }

    fn gap_of_shrunk_residual(&self, at: &Point) -> f64 {
        let Point { w, gw } = at;
        let slope = |j: usize| self.xy[j] - gw[j] - self.l2 * w[j];
        let dual_norm = (0..w.len())
            .map(|j| if self.positive { slope(j) } else { slope(j).abs() })
            .fold(if self.positive { f64::NEG_INFINITY } else { 0.0 }, f64::max);
        let wc = dot(w, self.xy);
        let residual = (self.yy + dot(w, gw) - 2.0 * wc).max(0.0);
        let w2 = dot(w, w);
        let (shrink, mut gap) = if dual_norm > self.l1 {
            let shrink = self.l1 / dual_norm;
            (shrink, 0.5 * residual * (1.0 + shrink * shrink))
        } else {
            (1.0, residual)
        };
        let w1: f64 = w.iter().map(|v| v.abs()).sum();
        gap += self.l1 * w1 - shrink * (self.yy - wc) + 0.5 * self.l2 * (1.0 + shrink * shrink) * w2;
        gap
    }
}

macro_rules! descent_learner {
    ($name:ident, $kind:literal) => {
        impl $name {
            const KIND: &'static str = $kind;

            /// Whether to fit an intercept; without one the rows are not centred.
            #[must_use]
            pub fn fit_intercept(mut self, fit_intercept: bool) -> Self {
                self.descent.fit_intercept = fit_intercept;
                self
            }

            /// Most sweeps over the columns. A fit that reaches it has not converged, which its model and the report say. An
            /// active set makes no sweeps, and ends by itself.
            #[must_use]
            pub fn max_iter(mut self, max_iter: usize) -> Self {
                self.descent.max_iter = max_iter;
                self
            }

            /// Stop when the duality gap is below `tol` of the objective; without any penalty, when no column's cosine with the
            /// residual is above it. An active set goes to the optimum whatever it is.
            #[must_use]
            pub fn tol(mut self, tol: f64) -> Self {
                self.descent.tol = tol;
                self
            }

            /// Whether coefficients are kept from being negative.
            #[must_use]
            pub fn positive(mut self, positive: bool) -> Self {
                self.descent.positive = positive;
                self
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(1.0)
            }
        }

        linear_estimator!($name, few_rows_cost);

        impl MergeFit for $name {
            fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
                self.descent.check(Self::KIND)?;
                Ok(moments_of(cx))
            }

            fn affine_support(&self) -> Option<AffineShape> {
                Some(AffineShape::General)
            }

            fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
                self.descent.fit(Self::KIND, statistics)
            }
        }
    };
}

/// Least squares with an l1 penalty: minimises ||y - Xb - b0||^2 / (2n) + alpha ||b||_1, scikit-learn's `Lasso`.
///
/// Merges: one pass sums [`Moments`]; coordinates are then visited in cyclic order from zero on the Gram matrix, and between sweeps
/// the coefficients that are not 0 are solved for, where sweeps alone take thousands when columns depend on each other. It stops
/// when the duality gap is below `tol` of the objective (scikit-learn: of y'y, which is laxer), so that equivalent problems, such as
/// columns in another order, end at the same objective. The model's convergence counts sweeps; its gap is the duality gap over the
/// objective, and without any penalty the largest cosine between a column and the residual, the optimum being solved for. Columns that do not vary get coefficient 0. Friedman, Hastie and Tibshirani, "Regularization paths for generalized
/// linear models via coordinate descent", J. Stat. Softw. 33 (2010).
///
/// Without an intercept, columns far from 0 are fitted by an active set on p + 2 rows instead, as
/// [`NonNegativeLeastSquares`](crate::NonNegativeLeastSquares) is, with a second pass where those do not suffice. Neither `max_iter`
/// nor `tol` ends that, and its convergence counts as there.
///
/// ```
/// use ensemble_native::Lasso;
/// assert_ne!(Lasso::new(0.1).tol(1e-13).max_iter(100_000), Lasso::new(0.1));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lasso {
    descent: Descent,
}

impl Lasso {
    /// With penalty `alpha`, 0 or more.
    pub fn new(alpha: f64) -> Self {
        Self { descent: Descent::new(alpha, 1.0) }
    }
}

descent_learner!(Lasso, "native.lasso");

/// Least squares with both penalties: minimises ||y - Xb - b0||^2 / (2n) + alpha l1_ratio ||b||_1
/// + alpha (1 - l1_ratio) ||b||^2 / 2, scikit-learn's `ElasticNet`. Fitted as [`Lasso`] is.
///
/// ```
/// use ensemble_native::ElasticNet;
/// assert_eq!(ElasticNet::new(1.0).l1_ratio(0.5), ElasticNet::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ElasticNet {
    descent: Descent,
}

impl ElasticNet {
    /// With penalty `alpha`, 0 or more, half of it on absolute values.
    pub fn new(alpha: f64) -> Self {
        Self { descent: Descent::new(alpha, 0.5) }
    }

    /// Share of the penalty on absolute values, from 0 to 1.
    #[must_use]
    pub fn l1_ratio(mut self, l1_ratio: f64) -> Self {
        self.descent.l1_ratio = l1_ratio;
        self
    }
}

descent_learner!(ElasticNet, "native.elastic_net");

const ALPHA: Parameter = Parameter::new("alpha", "1.0", "weight of the penalty");
const MAX_ITER: Parameter = Parameter::new("max_iter", "1000", "most sweeps over the columns");
const TOL: Parameter = Parameter::new("tol", "1e-4", "when to stop: duality gap, relative to the objective");
const POSITIVE: Parameter = Parameter::new("positive", "false", "keep coefficients from being negative");

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: Lasso::KIND,
        backend: crate::BACKEND,
        parameters: const { &[ALPHA, FIT_INTERCEPT, MAX_ITER, TOL, POSITIVE] },
        build: |params| Ok(Built::Learner(Arc::new(Lasso { descent: Descent::from_params(params, 1.0)? }))),
    });
    registry.add_kind(Kind {
        name: ElasticNet::KIND,
        backend: crate::BACKEND,
        parameters: const {
            &[
                ALPHA,
                Parameter::new("l1_ratio", "0.5", "share of the penalty on absolute values, from 0 to 1"),
                FIT_INTERCEPT,
                MAX_ITER,
                TOL,
                POSITIVE,
            ]
        },
        build: |params| {
            let descent = Descent::from_params(params, params.number("l1_ratio", 0.5)?)?;
            Ok(Built::Learner(Arc::new(ElasticNet { descent })))
        },
    });
}

#[cfg(test)]
mod tests {
    use ensemble_core::{Block, MatRef, Order};

    use super::*;

    fn statistics(x: &[f64], y: &[f64], p: usize) -> Statistics {
        let mut m = Moments::new(p);
        m.absorb(&Block { x: MatRef::new(x, y.len(), p, Order::C).unwrap(), y, first_row: 0 }).unwrap();
        Statistics::new(vec![Arc::new(m)])
    }

    fn fitted(learner: &dyn MergeFit, s: &Statistics) -> Vec<f64> {
        match learner.fit_from(s).unwrap() {
            Fitted::Model(m) => m.as_linear().unwrap().coefficients.into(),
            Fitted::Needs(_) => panic!("moments are enough"),
        }
    }

    #[test]
    fn signs_and_optimality_conditions_hold_with_and_without_the_sign_constraint() {
        let (n, p) = (60, 5);
        let x: Vec<f64> = (0..n * p).map(|i| ((i * 37 + i * i) % 101) as f64 / 10.0).collect();
        let y: Vec<f64> =
            (0..n).map(|r| 2.0 * x[r * p] - 3.0 * x[r * p + 1] + ((r * 53) % 17) as f64).collect();
        let s = statistics(&x, &y, p);
        let m = s.get::<Moments>(&MOMENTS).unwrap();
        for positive in [false, true] {
            for (alpha, ratio) in [(0.5, 1.0), (0.5, 0.3), (1.0, 0.0)] {
                let learner =
                    ElasticNet::new(alpha).l1_ratio(ratio).tol(1e-14).max_iter(100_000).positive(positive);
                let w = fitted(&learner, &s);
                let (l1, l2) = (alpha * ratio * n as f64, alpha * (1.0 - ratio) * n as f64);
                for j in 0..p {
                    let slope = m.xy(j) - (0..p).map(|i| m.xx(i, j) * w[i]).sum::<f64>() - l2 * w[j];
                    let tiny = 1e-8 * m.yy();
                    if w[j] == 0.0 {
                        assert!(slope <= l1 + tiny && (positive || slope >= -l1 - tiny));
                    } else {
                        assert!(!positive || w[j] > 0.0);
                        assert!((slope - l1 * w[j].signum()).abs() < tiny, "{slope} {l1}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_penalty_is_least_squares_and_constant_columns_get_nothing() {
        let x: Vec<f64> =
            (0..40).flat_map(|i| [((i * 37) % 101) as f64, 0.1, ((i * 11) % 13) as f64]).collect();
        let y: Vec<f64> = x.chunks(3).map(|r| 1.5 * r[0] - 0.25 * r[2] + 4.0).collect();
        let w = fitted(&Lasso::new(0.0).tol(1e-14).max_iter(10_000), &statistics(&x, &y, 3));
        assert!((w[0] - 1.5).abs() < 1e-10 && w[1] == 0.0 && (w[2] + 0.25).abs() < 1e-10, "{w:?}");
    }

    fn convergence(learner: &dyn MergeFit, s: &Statistics) -> Convergence {
        match learner.fit_from(s).unwrap() {
            Fitted::Model(m) => m.convergence().unwrap(),
            Fitted::Needs(_) => panic!("moments are enough"),
        }
    }

    #[test]
    fn fits_without_an_l1_penalty_say_that_they_converged_when_they_did() {
        let (n, p) = (60, 4);
        let x: Vec<f64> = (0..n * p).map(|i| ((i * 37 + i * i) % 101) as f64 / 10.0).collect();
        let y: Vec<f64> = (0..n).map(|r| 2.0 * x[r * p] - x[r * p + 1] + ((r * 53) % 17) as f64).collect();
        let s = statistics(&x, &y, p);
        for positive in [false, true] {
            for intercept in [true, false] {
                for (alpha, ratio) in [(0.1, 0.0), (1e-6, 0.0), (0.0, 0.5), (0.1, 1e-9)] {
                    let learner =
                        ElasticNet::new(alpha).l1_ratio(ratio).positive(positive).fit_intercept(intercept);
                    let got = convergence(&learner, &s);
                    assert!(got.converged && got.gap.unwrap() <= 1e-4, "{alpha} {ratio}: {got:?}");
                    let exact = fitted(&learner.clone().tol(1e-13).max_iter(100_000), &s);
                    let w = fitted(&learner, &s);
                    let largest = exact.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
                    assert!(
                        w.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 0.02 * largest),
                        "{w:?} {exact:?}"
                    );
                }
            }
        }
        let stopped = convergence(&ElasticNet::new(1e-6).l1_ratio(0.0).tol(1e-9).max_iter(1), &s);
        assert!(!stopped.converged || stopped.gap.unwrap() <= 1e-9, "{stopped:?}");
    }

    #[test]
    fn moves_of_coefficients_are_compared_whatever_the_units_of_columns() {
        let sweeps = |unit: f64| {
            let gram = {
                let mut g = Matrix::zeros(2, 2);
                (g[(0, 0)], g[(1, 1)]) = (2.0, 3.0 * unit * unit);
                (g[(0, 1)], g[(1, 0)]) = (2.0 * unit, 2.0 * unit);
                g
            };
            let xy = [1.0, -unit];
            let problem = Problem { gram: &gram, xy: &xy, yy: 4.0, l1: 0.0, l2: 0.0, positive: false };
            let mut at = Point { w: vec![0.0; 2], gw: vec![0.0; 2] };
            (0..3).map(|_| problem.sweep(&mut at)).map(|(moved, largest)| moved / largest).collect::<Vec<_>>()
        };
        assert_eq!(sweeps(1.0), sweeps(f64::powi(2.0, -60)));
    }

    #[test]
    fn targets_whose_squares_underflow_are_refused_unless_the_penalty_takes_all() {
        let x: Vec<f64> = (0..50).map(|i| f64::from((i * 37) % 101) / 10.0).collect();
        let y: Vec<f64> = x.iter().map(|v| 1e-170 * v).collect();
        let s = statistics(&x, &y, 1);
        for intercept in [true, false] {
            let refused = Lasso::new(0.0).fit_intercept(intercept).fit_from(&s).err().unwrap().to_string();
            assert!(refused.contains("training target") && refused.contains("underflow"), "{refused}");
            assert!(ElasticNet::new(1.0).l1_ratio(0.0).fit_intercept(intercept).fit_from(&s).is_err());
            assert_eq!(fitted(&Lasso::new(0.1).fit_intercept(intercept), &s), [0.0]);
        }
    }

    #[test]
    fn coefficients_whose_products_underflow_are_those_of_other_units() {
        let (n, p) = (60, 6);
        let base = |i: usize, k: usize| (((i * 37 + k * k * 53 + i * i * (k + 3)) % 211) as f64) / 50.0 - 2.0;
        let x: Vec<f64> =
            (0..n).flat_map(|i| (0..p).map(move |j| base(i, 0) + 0.02 * base(i, 7 + j))).collect();
        let y: Vec<f64> =
            (0..n).map(|i| base(i, 0) + 0.3 * base(i, 8) - 0.2 * base(i, 9) + 0.05 * base(i, 31)).collect();
        // Powers of two, so that nothing else is rounded otherwise.
        let scaled = |v: &[f64], power: i32| v.iter().map(|v| v * f64::powi(2.0, power)).collect::<Vec<_>>();
        let want = fitted(&Lasso::new(0.0005), &statistics(&x, &y, p));
        let tiny = statistics(&scaled(&x, 233), &scaled(&y, -333), p);
        let got = fitted(&Lasso::new(0.0005 * f64::powi(2.0, -100)), &tiny);
        assert_eq!(scaled(&got, 566), want);
        assert!(want.iter().filter(|w| **w != 0.0).count() > 1, "{want:?}");
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let s = StatisticContext::new(2);
        let text = |l: &dyn MergeFit| l.statistics(&s).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text(&Lasso::new(-0.5)).starts_with("native.lasso: alpha=-0.5 is out of range"));
        assert!(text(&Lasso::new(1.0).max_iter(0)).contains("max_iter=0"));
        assert!(text(&ElasticNet::new(1.0).l1_ratio(1.5)).contains("l1_ratio=1.5"));
        assert!(text(&ElasticNet::new(1.0).tol(f64::NAN)).contains("tol=NaN"));
    }

    /// ||y - Xb - b0||^2 / (2n) + alpha |b|.
    fn objective(x: &[f64], y: &[f64], model: &dyn ensemble_core::Model, alpha: f64) -> f64 {
        let form = model.as_linear().unwrap();
        let (w, n) = (form.coefficients, y.len() as f64);
        let squares: f64 =
            x.chunks(w.len()).zip(y).map(|(row, y)| (y - form.intercept - dot(row, w)).powi(2)).sum();
        squares / (2.0 * n) + alpha * w.iter().map(|v| v.abs()).sum::<f64>()
    }

    #[test]
    fn defaults_converge_on_columns_that_depend_on_each_other_in_any_order() {
        // 60 x 15, columns that are sums of few: coordinate descent alone takes tens of thousands of sweeps.
        let (n, p, alpha) = (60, 15, 0.001);
        let base = |i: usize, k: usize| (((i * 37 + k * k * 53 + i * i * (k + 3)) % 211) as f64) / 50.0 - 2.0;
        let value = |i: usize, j: usize| base(i, 0) + base(i, 1 + j / 3) * 0.3 + base(i, 7 + j) * 0.02;
        let y: Vec<f64> = (0..n)
            .map(|i| value(i, 0) - 2.0 * value(i, 4) + 1.5 * value(i, 9) + 0.05 * base(i, 31))
            .collect();
        let table = |order: &dyn Fn(usize) -> usize| -> Vec<f64> {
            (0..n).flat_map(|i| (0..p).map(move |j| (i, j))).map(|(i, j)| value(i, order(j))).collect()
        };
        let (forth, back) = (table(&|j| j), table(&|j| p - 1 - j));
        let fit = |x: &[f64], learner: &Lasso| match learner.fit_from(&statistics(x, &y, p)).unwrap() {
            Fitted::Model(model) => model,
            Fitted::Needs(_) => panic!("moments are enough"),
        };
        let exact = fit(&forth, &Lasso::new(alpha).tol(1e-12).max_iter(1_000_000));
        let least = objective(&forth, &y, exact.as_ref(), alpha);
        for x in [&forth, &back] {
            let model = fit(x, &Lasso::new(alpha));
            let convergence = model.convergence().unwrap();
            let got = objective(x, &y, model.as_ref(), alpha);
            assert!(convergence.converged && convergence.gap.unwrap() <= 1e-4, "{convergence:?}");
            assert!((got / least - 1.0).abs() <= 1e-4, "{got} {least} {convergence:?}");
            let stopped = fit(x, &Lasso::new(alpha).max_iter(1)).convergence().unwrap();
            assert!(
                !stopped.converged && stopped.steps == Some(1) && stopped.gap.unwrap() > 1e-4,
                "{stopped:?}"
            );
        }
    }
}
