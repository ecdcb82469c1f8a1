//! Combinations without negative weights: what a stack's last learner usually is.

use std::sync::Arc;

use ensemble_core::{
    AffineShape, Built, Fitted, Kind, LinearModel, MOMENTS, MergeFit, Moments, Parameter, Registry, Result,
    Statistic, StatisticContext, Statistics,
};

use crate::{
    active_set::{FewRows, Sign, Solution},
    dense::dot,
    learner::linear_estimator,
    linear::{condition_limit, few_rows_cost, moments_of},
    tsqr::{TSQR, TsqrStatistic},
};

/// Fit from moments, by `solve` on few rows made of them, or on the R factor where those rows keep too few digits, as
/// `are_enough` tells of the rows and a solution.
pub(crate) fn fit_on_few_rows(
    kind: &str,
    statistics: &Statistics,
    fit_intercept: bool,
    solve: impl Fn(&FewRows) -> Solution,
    are_enough: impl Fn(&FewRows, &Solution) -> bool,
) -> Result<Fitted> {
    let moments = statistics.get::<Moments>(&MOMENTS)?;
    // The rule looks at these statistics alone, never at which others are there: what other learners ask for changes no bit.
    if let Some(rows) = FewRows::of_moments(&moments)? {
        let solution = solve(&rows);
        if are_enough(&rows, &solution) {
            return Ok(model(kind, solution, fit_intercept.then(|| (moments.x_mean(), moments.y_mean()))));
        }
    }
    if !statistics.has(&TSQR) {
        return Ok(Fitted::Needs(vec![Box::new(TsqrStatistic::new(moments.ncols()))]));
    }
    let state = statistics.get::<TsqrStatistic>(&TSQR)?;
    let solution = solve(&FewRows::of_tsqr(&state));
    Ok(model(kind, solution, fit_intercept.then(|| (state.x_mean(), state.y_mean()))))
}

fn model(kind: &str, solution: Solution, means: Option<(&[f64], f64)>) -> Fitted {
    let Solution { coefficients, convergence } = solution;
    let intercept = means.map_or(0.0, |(x, y)| y - dot(&coefficients, x));
    Fitted::Model(Arc::new(LinearModel::new(kind, coefficients, intercept).with_convergence(convergence)))
}

/// Least squares with non-negative coefficients, from moments or the R factor.
pub(crate) fn fit_nonnegative(kind: &str, statistics: &Statistics, fit_intercept: bool) -> Result<Fitted> {
    let nrows = statistics.get::<Moments>(&MOMENTS)?.nrows();
    fit_on_few_rows(
        kind,
        statistics,
        fit_intercept,
        |rows| rows.minimise(fit_intercept, 0.0, 0.0, Sign::NonNegative),
        |rows, s| !rows.are_lost(&s.coefficients) && !rows.may_cancel(fit_intercept, condition_limit(nrows)),
    )
}

/// Least squares with non-negative coefficients: minimises ||y - Xb||^2 over b >= 0, as scipy's `nnls` and scikit-learn's
/// `LinearRegression(positive=True)`. Without an intercept unless asked for.
///
/// Merges: one pass sums [`Moments`], and an active set on p + 2 rows that have the same products does the rest, at any
/// distance of the columns from 0. Where these rows keep too few digits (a residual below 1e-4 of what it is a difference of; columns
/// that may cancel, beyond [`MAX_CONDITION`](crate::MAX_CONDITION)), a second pass brings the [`TsqrStatistic`]. Of equal columns the
/// first that enters takes the whole weight. The model's convergence counts changes of the set of columns in use; its gap is the
/// largest cosine between the residual and what a column left out adds.
///
/// ```
/// # use ensemble_core::*;
/// use ensemble_native::NonNegativeLeastSquares;
/// let mut moments = Moments::new(2);
/// let x = MatRef::new(&[1.0, 0.0, 0.0, 1.0], 2, 2, Order::C)?;
/// moments.absorb(&Block { x, y: &[3.0, -1.0], first_row: 0 })?;
/// let statistics = Statistics::new(vec![std::sync::Arc::new(moments)]);
/// let Fitted::Model(model) = NonNegativeLeastSquares::new().fit_from(&statistics)? else { unreachable!() };
/// let weights = model.as_linear().expect("linear").coefficients;
/// assert!((weights[0] - 3.0).abs() < 1e-14 && weights[1] == 0.0);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NonNegativeLeastSquares {
    fit_intercept: bool,
}

impl NonNegativeLeastSquares {
    const KIND: &'static str = "native.nnls";

    /// Without an intercept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to fit an intercept, of either sign.
    #[must_use]
    pub fn fit_intercept(mut self, fit_intercept: bool) -> Self {
        self.fit_intercept = fit_intercept;
        self
    }
}

linear_estimator!(NonNegativeLeastSquares, few_rows_cost);

impl MergeFit for NonNegativeLeastSquares {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(moments_of(cx))
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::General)
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        fit_nonnegative(Self::KIND, statistics, self.fit_intercept)
    }
}

/// The best convex combination of the columns: minimises ||y - Xb||^2 over b >= 0 with sum 1, without an intercept. The
/// meta-learner of a super learner: van der Laan, Polley and Hubbard, "Super learner", Stat. Appl. Genet. Mol. Biol. 6 (2007).
///
/// Merges: one pass sums [`Moments`]; the columns' errors x_j - y follow from those, and the nearest point of their convex
/// hull to zero is the answer, found as [`NonNegativeLeastSquares`] finds its own, with errors in units of their own: a learner that
/// diverged does no harm. Of equal columns the first that enters takes the whole weight.
///
/// ```
/// # use ensemble_core::*;
/// use ensemble_native::ConvexCombination;
/// let mut moments = Moments::new(2);
/// let x = MatRef::new(&[0.0, 4.0, 1.0, 5.0], 2, 2, Order::C)?;
/// moments.absorb(&Block { x, y: &[1.0, 2.5], first_row: 0 })?;
/// let statistics = Statistics::new(vec![std::sync::Arc::new(moments)]);
/// let Fitted::Model(model) = ConvexCombination::new().fit_from(&statistics)? else { unreachable!() };
/// let weights = model.as_linear().expect("linear").coefficients;
/// assert!((weights[0] - 0.6875).abs() < 1e-14 && (weights[1] - 0.3125).abs() < 1e-14);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConvexCombination {}

impl ConvexCombination {
    const KIND: &'static str = "native.convex";

    /// It takes no parameters.
    pub fn new() -> Self {
        Self {}
    }
}

linear_estimator!(ConvexCombination, few_rows_cost);

impl MergeFit for ConvexCombination {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(moments_of(cx))
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::General)
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        let solve = |rows: &FewRows| rows.nearest_in_hull();
        fit_on_few_rows(Self::KIND, statistics, false, solve, |rows, s| !rows.are_lost(&s.coefficients))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: NonNegativeLeastSquares::KIND,
        backend: crate::BACKEND,
        parameters: const { &[Parameter::new("fit_intercept", "false", "whether to fit an intercept")] },
        build: |params| {
            let fit_intercept = params.flag("fit_intercept", false)?;
            Ok(Built::Learner(Arc::new(NonNegativeLeastSquares { fit_intercept })))
        },
    });
    registry.add_kind(Kind {
        name: ConvexCombination::KIND,
        backend: crate::BACKEND,
        parameters: &[],
        build: |_| Ok(Built::Learner(Arc::new(ConvexCombination::new()))),
    });
}

#[cfg(test)]
mod tests {
    use ensemble_core::{Block, MatRef, Model, Order};
    use proptest::prelude::*;

    use super::*;
    use crate::dense::{Cholesky, Matrix};

    fn statistics(x: &[f64], y: &[f64], p: usize) -> Statistics {
        let (mut m, mut r) = (Moments::new(p), TsqrStatistic::new(p));
        for first_row in (0..y.len()).step_by(1024) {
            let rows = first_row..(first_row + 1024).min(y.len());
            let y = &y[rows.clone()];
            let x = MatRef::new(&x[rows.start * p..rows.end * p], y.len(), p, Order::C).unwrap();
            let block = Block { x, y, first_row };
            let (mut more, mut factor) = (Moments::new(p), TsqrStatistic::new(p));
            more.absorb(&block).unwrap();
            factor.absorb(&block).unwrap();
            m.merge(&more).unwrap();
            r.merge(&factor).unwrap();
        }
        Statistics::new(vec![Arc::new(m), Arc::new(r)])
    }

    /// As the engine fits: from moments, and from the R factor too where the learner asks for it.
    fn model(learner: &dyn MergeFit, s: &Statistics) -> Arc<dyn Model> {
        let Fitted::Model(model) = learner.fit_from(s).unwrap() else { panic!("all statistics are there") };
        assert!(model.convergence().is_some_and(|c| c.converged));
        model
    }

    fn weights(learner: &dyn MergeFit, s: &Statistics) -> Vec<f64> {
        model(learner, s).as_linear().unwrap().coefficients.into()
    }

    /// Whether moments do.
    fn moments_are_enough(learner: &dyn MergeFit, s: &Statistics) -> bool {
        let moments = s.get::<Moments>(&MOMENTS).unwrap();
        let alone = Statistics::new(vec![Arc::new(moments.into_owned())]);
        matches!(learner.fit_from(&alone).unwrap(), Fitted::Model(_))
    }

    fn risk(x: &[f64], y: &[f64], w: &[f64]) -> f64 {
        x.chunks(w.len()).zip(y).map(|(row, y)| (y - dot(row, w)).powi(2)).sum()
    }

    /// The best of all supports, each solved without sign constraints on it.
    fn brute_force(x: &[f64], y: &[f64], p: usize, simplex: bool) -> f64 {
        let mut best = if simplex { f64::INFINITY } else { risk(x, y, &vec![0.0; p]) };
        for support in 1u32..1 << p {
            let columns: Vec<usize> = (0..p).filter(|j| support >> j & 1 == 1).collect();
            // On the simplex, b - x_first is fitted by differences to the first column.
            let first = columns[0];
            let free = if simplex { &columns[1..] } else { &columns[..] };
            let base = |row: &[f64], j: usize| if simplex { row[j] - row[first] } else { row[j] };
            let target = |row: &[f64], y: f64| if simplex { y - row[first] } else { y };
            let (mut g, mut b) = (Matrix::zeros(free.len(), free.len()), vec![0.0; free.len()]);
            for (row, y) in x.chunks(p).zip(y) {
                for (a, i) in free.iter().enumerate() {
                    b[a] += base(row, *i) * target(row, *y);
                    for (c, j) in free.iter().enumerate() {
                        g[(a, c)] += base(row, *i) * base(row, *j);
                    }
                }
            }
            let Some(factor) = Cholesky::new(g) else { continue };
            factor.solve(&mut b);
            let mut w = vec![0.0; p];
            free.iter().zip(&b).for_each(|(j, b)| w[*j] = *b);
            if simplex {
                w[first] = 1.0 - b.iter().sum::<f64>();
            }
            if w.iter().all(|w| *w >= -1e-12) {
                best = best.min(risk(x, y, &w));
            }
        }
        best
    }

    proptest! {
        #[test]
        fn weights_are_as_good_as_the_best_support(
            values in prop::collection::vec(-3.0..3.0f64, 6 * 12),
            p in 1usize..=5,
            lift in -2.0..5.0f64,
        ) {
            let (y, x) = values.split_at(12);
            let x: Vec<f64> = x[..12 * p].iter().map(|v| v + lift).collect();
            let s = statistics(&x, y, p);
            for simplex in [false, true] {
                let w = if simplex {
                    weights(&ConvexCombination::new(), &s)
                } else {
                    weights(&NonNegativeLeastSquares::new(), &s)
                };
                prop_assert!(w.iter().all(|w| *w >= 0.0));
                prop_assert!(!simplex || (w.iter().sum::<f64>() - 1.0).abs() < 1e-14);
                let (got, want) = (risk(&x, y, &w), brute_force(&x, y, p, simplex));
                prop_assert!(got <= want * (1.0 + 1e-10) + 1e-12, "{got} {want} {w:?}");
            }
        }

        #[test]
        fn optimality_conditions_hold(values in prop::collection::vec(-3.0..3.0f64, 9 * 20), intercept in any::<bool>()) {
            let (y, x) = values.split_at(20);
            let s = statistics(x, y, 8);
            let m = s.get::<Moments>(&MOMENTS).unwrap();
            let w = weights(&NonNegativeLeastSquares::new().fit_intercept(intercept), &s);
            for j in 0..8 {
                let xx = |i, j| if intercept { m.xx(i, j) } else { m.raw_xx(i, j) };
                let slope = if intercept { m.xy(j) } else { m.raw_xy(j) }
                    - (0..8).map(|i| xx(i, j) * w[i]).sum::<f64>();
                prop_assert!(w[j] >= 0.0 && slope <= 1e-11 * m.raw_yy().max(1.0));
                prop_assert!(w[j] == 0.0 || slope.abs() <= 1e-11 * m.raw_yy().max(1.0));
            }
        }
    }

    #[test]
    fn duplicates_zeros_and_collinear_columns_do_no_harm() {
        let a: Vec<f64> = (0..30).map(|i| ((i * 37) % 23) as f64).collect();
        let b: Vec<f64> = (0..30).map(|i| ((i * 11) % 13) as f64).collect();
        let y: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 0.5 * a + 0.25 * b + 0.01 * (a * b).sin()).collect();
        let x: Vec<f64> = a.iter().zip(&b).flat_map(|(a, b)| [*a, *a, *b, 0.0, a + b, *b]).collect();
        let s = statistics(&x, &y, 6);
        let plain: Vec<f64> = a.iter().zip(&b).flat_map(|(a, b)| [*a, *b]).collect();
        let best = risk(&plain, &y, &weights(&NonNegativeLeastSquares::new(), &statistics(&plain, &y, 2)));
        let w = weights(&NonNegativeLeastSquares::new(), &s);
        assert!(w.iter().all(|w| w.is_finite() && *w >= 0.0), "{w:?}");
        assert!((risk(&x, &y, &w) - best).abs() < 1e-9, "{w:?}");
        let c = weights(&ConvexCombination::new(), &s);
        assert!((c.iter().sum::<f64>() - 1.0).abs() < 1e-14 && c.iter().all(|w| *w >= 0.0), "{c:?}");
        // Three equal predictions that are perfect.
        let same: Vec<f64> = y.iter().flat_map(|y| [*y; 3]).collect();
        for learner in [&ConvexCombination::new() as &dyn MergeFit, &NonNegativeLeastSquares::new()] {
            let w = weights(learner, &statistics(&same, &y, 3));
            assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-13, "{w:?}");
        }
    }

    /// Numbers without a pattern, about normal: mean 0, standard deviation 1.
    fn noise(seed: u64, n: usize) -> Vec<f64> {
        let mut state = seed;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        (0..n).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).collect()
    }

    #[test]
    fn learners_are_combined_alike_at_any_distance_of_the_target_from_zero() {
        // y = level + a + b, learners level + a, level + b and one between them with noise: one half each of the first two, as
        // scipy.optimize.nnls answers at every level up to 1e9.
        let n = 3000;
        let (a, b, c) = (noise(1, n), noise(2, n), noise(3, n));
        for level in [0.0, 3.0, 1e3, 1e5, 1e6, 3e6, 1e7, 1e8, 1e9] {
            let y: Vec<f64> = (0..n).map(|i| level + a[i] + b[i]).collect();
            let x: Vec<f64> = (0..n)
                .flat_map(|i| [level + a[i], level + b[i], level + 0.5 * (a[i] + b[i]) + 0.2 * c[i]])
                .collect();
            let s = statistics(&x, &y, 3);
            let positive = crate::LinearRegression::new().fit_intercept(false).positive(true);
            let lasso = crate::Lasso::new(1e-9).fit_intercept(false);
            let learners: [&dyn MergeFit; 5] = [
                &NonNegativeLeastSquares::new(),
                &positive,
                &lasso,
                &lasso.clone().positive(true),
                &ConvexCombination::new(),
            ];
            for (at, learner) in learners.into_iter().enumerate() {
                // At level 0 the sum of two learners is the target itself, and what is left of it is rounding.
                assert!(level == 0.0 || moments_are_enough(learner, &s), "level {level}: one pass is enough");
                let w = weights(learner, &s);
                let got = (risk(&x, &y, &w) / n as f64).sqrt();
                if level == 0.0 && at < 4 {
                    // Nothing ties the sum of the weights to 1.
                    assert!(got < 0.3, "{w:?} {got}");
                    continue;
                }
                let want = if level <= 3.0 { 0.72 } else { 0.7149 };
                let half = |w: f64| (w - 0.5).abs() < 0.03;
                if level > 3.0 {
                    assert!(half(w[0]) && half(w[1]) && w[2] < 0.03, "learner {at}, level {level}: {w:?}");
                }
                assert!(got < want, "learner {at}, level {level}: {w:?} {got}");
            }
        }
    }

    #[test]
    fn one_learner_that_diverged_does_no_harm_to_the_others() {
        // y + 1000 n, y + n, y + n' and one that is off by s: the twins share the weight at any s.
        let n = 3000;
        let (y, u, v, w, z) = (noise(1, n), noise(2, n), noise(3, n), noise(4, n), noise(5, n));
        let near: Vec<f64> = (0..n).flat_map(|i| [y[i] + v[i], y[i] + w[i]]).collect();
        let want = weights(&ConvexCombination::new(), &statistics(&near, &y, 2));
        assert!((want[0] - 0.5).abs() < 0.02, "{want:?}");
        for s in [1e6, 1e7, 1e9, 1e12, 1e100] {
            for bias in [0.0, s] {
                let x: Vec<f64> = (0..n)
                    .flat_map(|i| [y[i] + 1e3 * u[i], y[i] + v[i], y[i] + w[i], y[i] + s * z[i] + bias])
                    .collect();
                let got = weights(&ConvexCombination::new(), &statistics(&x, &y, 4));
                assert!((got[1] - want[0]).abs() < 1e-3 && (got[2] - want[1]).abs() < 1e-3, "{s} {got:?}");
                assert!(got[0] < 1e-3 && got[3] < 2.0 / s, "{s} {got:?}");
            }
        }
    }

    #[test]
    fn a_target_of_any_unit_has_the_same_weights() {
        let n = 200;
        let (a, b, c) = (noise(1, n), noise(2, n), noise(3, n));
        let mut want: Vec<Vec<f64>> = Vec::new();
        for unit in [1.0, 1e-100, 1e-150, 1e-160, 1e-200, 1e-300, 1e100, 1e150] {
            let y: Vec<f64> = (0..n).map(|i| unit * (5.0 + a[i] + b[i] + 0.1 * c[i])).collect();
            let x: Vec<f64> = (0..n).flat_map(|i| [unit * (5.0 + a[i]), unit * (5.0 + b[i])]).collect();
            let s = statistics(&x, &y, 2);
            for (at, learner) in [&NonNegativeLeastSquares::new() as &dyn MergeFit, &ConvexCombination::new()]
                .into_iter()
                .enumerate()
            {
                let w = weights(learner, &s);
                assert!((w[0] - 0.5).abs() < 0.1 && (w[1] - 0.5).abs() < 0.1, "{unit} {w:?}");
                if want.len() == at {
                    want.push(w.clone());
                }
                let same = w.iter().zip(&want[at]).all(|(w, want)| (w - want).abs() < 1e-9);
                assert!(same, "{unit} {w:?} {:?}", want[at]);
            }
        }
    }

    #[test]
    fn weights_are_right_where_products_have_lost_the_residual() {
        // Errors of a billionth of the target's spread, and columns that cancel: neither is left in products.
        let n = 500;
        let (y, a, b) = (noise(1, n), noise(2, n), noise(3, n));
        let x: Vec<f64> = (0..n).flat_map(|i| [y[i] + 1e-9 * a[i], y[i] + 1e-9 * b[i]]).collect();
        let s = statistics(&x, &y, 2);
        for learner in [&NonNegativeLeastSquares::new() as &dyn MergeFit, &ConvexCombination::new()] {
            assert!(!moments_are_enough(learner, &s));
            let w = weights(learner, &s);
            assert!((w[0] - 0.5).abs() < 0.05 && (w[1] - 0.5).abs() < 0.05, "{w:?}");
        }
        let x: Vec<f64> = (0..n).flat_map(|i| [a[i], 1e-7 * y[i] - a[i]]).collect();
        let target: Vec<f64> = (0..n).map(|i| y[i] + 0.1 * b[i]).collect();
        let s = statistics(&x, &target, 2);
        let positive = crate::LinearRegression::new().positive(true);
        for learner in [&NonNegativeLeastSquares::new().fit_intercept(true) as &dyn MergeFit, &positive] {
            assert!(!moments_are_enough(learner, &s));
            let w = weights(learner, &s);
            assert!((w[0] / 1e7 - 1.0).abs() < 0.02 && (w[1] / 1e7 - 1.0).abs() < 0.02, "{w:?}");
        }
    }
}
