//! Lasso and elastic net by cyclic coordinate descent on the Gram matrix.

use std::sync::Arc;

use ensemble_core::{
    AffineShape, Built, Convergence, Error, Fitted, Kind, MOMENTS, MergeFit, Moments, Parameter, Params,
    Registry, Result, Statistic, StatisticContext, Statistics,
};

use crate::{
    dense::{Matrix, add_scaled, dot},
    learner::linear_estimator,
    linear::{FIT_INTERCEPT, NormalEquations, moments_of, not_negative, product_cost},
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
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return Err(Error::parameter(kind, "l1_ratio", self.l1_ratio, "a number from 0 to 1"));
        }
        if self.max_iter == 0 {
            return Err(Error::parameter(kind, "max_iter", self.max_iter, "a whole number, 1 or more"));
        }
        Ok(())
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
        let equations = NormalEquations::new(&moments, self.fit_intercept)?;
        let n = moments.nrows();
        let l1 = self.alpha * self.l1_ratio * n;
        let l2 = self.alpha * (1.0 - self.l1_ratio) * n;
        let (coefficients, convergence) = self.solve(&equations.gram, &equations.xy, equations.yy, l1, l2);
        Ok(Fitted::Model(Arc::new(equations.model(kind, coefficients).with_convergence(convergence))))
    }

    /// Minimise b'Gb / 2 - c'b + l1 ||b||_1 + l2 ||b||^2 / 2.
    fn solve(&self, gram: &Matrix, xy: &[f64], yy: f64, l1: f64, l2: f64) -> (Vec<f64>, Convergence) {
        let p = xy.len();
        let tolerance = self.tol * yy;
        let mut w = vec![0.0; p];
        // G w, kept up to date.
        let mut gw = vec![0.0; p];
        // The gap is told as a share of the sum of squares of y, as `tol` is.
        let share = |gap: f64| if yy > 0.0 { gap.max(0.0) / yy } else { 0.0 };
        let mut gap = self.gap(xy, yy, &w, &gw, l1, l2);
        if gap <= tolerance {
            return (w, Convergence::new(0, Some(share(gap)), true));
        }
        let (mut steps, mut converged) = (0, false);
        for iteration in 1..=self.max_iter {
            steps = iteration as u64;
            let (mut largest, mut moved) = (0.0_f64, 0.0_f64);
            for j in 0..p {
                let own = gram[(j, j)];
                if own == 0.0 {
                    continue;
                }
                let old = w[j];
                let slope = xy[j] - gw[j] + old * own;
                let new = if self.positive && slope < 0.0 {
                    0.0
                } else {
                    let size = (slope.abs() - l1).max(0.0) / (own + l2);
                    size.copysign(slope)
                };
                if new != old {
                    w[j] = new;
                    add_scaled(&mut gw, new - old, gram.column(j));
                }
                moved = moved.max((new - old).abs());
                largest = largest.max(new.abs());
            }
            // A sweep that moves nothing by more than a rounding cannot be followed by one that does better.
            let still = moved <= f64::EPSILON * largest;
            if largest == 0.0 || moved <= self.tol * largest || still || iteration == self.max_iter {
                // The products have drifted by a rounding per update: form them anew.
                gw.fill(0.0);
                for (j, v) in w.iter().enumerate().filter(|(_, v)| **v != 0.0) {
                    add_scaled(&mut gw, *v, gram.column(j));
                }
                gap = self.gap(xy, yy, &w, &gw, l1, l2);
                if still || gap <= tolerance {
                    converged = true;
                    break;
                }
            }
        }
        // The sign of a zero is no information.
        w.iter_mut().filter(|v| **v == 0.0).for_each(|v| *v = 0.0);
        (w, Convergence::new(steps, Some(share(gap)), converged))
    }

    /// Primal minus dual objective at `w`, a bound on how far the objective is from its least.
    fn gap(&self, xy: &[f64], yy: f64, w: &[f64], gw: &[f64], l1: f64, l2: f64) -> f64 {
        let slope = |j: usize| xy[j] - gw[j] - l2 * w[j];
        let dual_norm = (0..w.len())
            .map(|j| if self.positive { slope(j) } else { slope(j).abs() })
            .fold(if self.positive { f64::NEG_INFINITY } else { 0.0 }, f64::max);
        let wc = dot(w, xy);
        let residual = (yy + dot(w, gw) - 2.0 * wc).max(0.0);
        let w2 = dot(w, w);
        let (shrink, mut gap) = if dual_norm > l1 {
            let shrink = l1 / dual_norm;
            (shrink, 0.5 * residual * (1.0 + shrink * shrink))
        } else {
            (1.0, residual)
        };
        let w1: f64 = w.iter().map(|v| v.abs()).sum();
        gap += l1 * w1 - shrink * (yy - wc) + 0.5 * l2 * (1.0 + shrink * shrink) * w2;
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

            /// Most sweeps over the columns. A fit that reaches it has not converged, which its model and the report say.
            #[must_use]
            pub fn max_iter(mut self, max_iter: usize) -> Self {
                self.descent.max_iter = max_iter;
                self
            }

            /// Stop when the largest step is below `tol` of the largest coefficient and the duality gap is below `tol` times
            /// the sum of squares of y.
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

        linear_estimator!($name, |train| product_cost(train, 0));

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
/// Merges: one pass sums [`Moments`]; coordinates are then visited in cyclic order from zero on the Gram matrix, with
/// scikit-learn's stopping rule (step, then duality gap). Columns
/// that do not vary get coefficient 0. Friedman, Hastie and Tibshirani, "Regularization paths for generalized linear
/// models via coordinate descent", J. Stat. Softw. 33 (2010).
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
const TOL: Parameter = Parameter::new("tol", "1e-4", "when to stop: step and duality gap, relative");
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

    #[test]
    fn parameters_out_of_range_are_named() {
        let s = StatisticContext::new(2);
        let text = |l: &dyn MergeFit| l.statistics(&s).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text(&Lasso::new(-0.5)).starts_with("native.lasso: alpha=-0.5 is out of range"));
        assert!(text(&Lasso::new(1.0).max_iter(0)).contains("max_iter=0"));
        assert!(text(&ElasticNet::new(1.0).l1_ratio(1.5)).contains("l1_ratio=1.5"));
        assert!(text(&ElasticNet::new(1.0).tol(f64::NAN)).contains("tol=NaN"));
    }
}
