//! Combinations without negative weights: what a stack's last learner usually is.

use std::sync::Arc;

use ensemble_core::{
    AffineShape, Built, Convergence, Fitted, Kind, LinearModel, MOMENTS, MergeFit, Moments, Parameter,
    Registry, Result, Statistic, StatisticContext, Statistics,
};

use crate::{
    dense::{Matrix, add_scaled, dot},
    learner::linear_estimator,
    linear::{NormalEquations, moments_of, product_cost},
};

/// What the weights must obey besides not being negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Constraint {
    NonNegative,
    /// They sum to 1.
    Simplex,
}

/// Minimise w'Mw / 2 - b'w over w >= 0, or w'Mw / 2 over w >= 0 with sum 1.
///
/// Lawson and Hanson, "Solving Least Squares Problems" (1974), chapter 23; on the simplex the same steps are Wolfe's,
/// "Finding the nearest point in a polytope", Math. Program. 11 (1976). A weight whose column depends on those already in
/// use, to within rounding, is left out, so duplicates share nothing and nothing is divided by zero.
pub(crate) struct ActiveSet {
    m: Matrix,
    b: Vec<f64>,
    /// Weights are in units of this.
    scale: Vec<f64>,
    constraint: Constraint,
    /// Slopes below this are zero.
    tolerance: f64,
}

impl ActiveSet {
    /// `b` is not read on the simplex.
    pub(crate) fn new(gram: &Matrix, b: &[f64], constraint: Constraint) -> Self {
        let k = gram.ncols();
        let mut m = gram.clone();
        let (mut scale, mut b) = (vec![1.0; k], Vec::from(b));
        match constraint {
            Constraint::NonNegative => {
                for (j, s) in scale.iter_mut().enumerate() {
                    *s = if gram[(j, j)] > 0.0 { 1.0 / gram[(j, j)].sqrt() } else { 0.0 };
                }
                for j in 0..k {
                    let sj = scale[j];
                    m.column_mut(j).iter_mut().zip(&scale).for_each(|(v, si)| *v *= si * sj);
                    b[j] *= sj;
                }
            }
            Constraint::Simplex => {
                // Adding t to every element adds t to the objective and makes independent what is affinely independent.
                let t = (0..k).map(|j| gram[(j, j)]).sum::<f64>() / k.max(1) as f64;
                let t = if t > 0.0 { t } else { 1.0 };
                (0..k).for_each(|j| m.column_mut(j).iter_mut().for_each(|v| *v += t));
                b.fill(1.0);
            }
        }
        let largest = match constraint {
            Constraint::NonNegative => b.iter().fold(0.0_f64, |a, v| a.max(v.abs())),
            Constraint::Simplex => (0..k).map(|j| m[(j, j)]).fold(0.0, f64::max),
        };
        let tolerance = 16.0 * (k + 1) as f64 * f64::EPSILON * largest;
        Self { m, b, scale, constraint, tolerance }
    }

    /// The model whose coefficients are the weights.
    pub(crate) fn model(&self, equations: &NormalEquations<'_>, kind: &str) -> LinearModel {
        let (weights, convergence) = self.solve();
        equations.model(kind, weights).with_convergence(convergence)
    }

    /// The weights, and after how many rounds; the gap is the steepest slope left over its tolerance.
    pub(crate) fn solve(&self) -> (Vec<f64>, Convergence) {
        let k = self.b.len();
        let mut w = vec![0.0; k];
        let mut used = Factor::default();
        if self.constraint == Constraint::Simplex {
            let best = (0..k).min_by(|i, j| self.m[(*i, *i)].total_cmp(&self.m[(*j, *j)]));
            let Some(best) = best else { return (w, Convergence::new(0, None, true)) };
            w[best] = 1.0;
            used.add(&self.m, best);
        }
        let mut refused = vec![false; k];
        // Every round lowers the objective, so no set comes back, but for rounding; the guard ends what rounding keeps alive.
        let (mut rounds, mut gap, mut converged) = (0, None, false);
        while rounds < 10 * (k as u64 + 1) {
            rounds += 1;
            let mut product = vec![0.0; k];
            used.columns.iter().for_each(|j| add_scaled(&mut product, w[*j], self.m.column(*j)));
            let level = match self.constraint {
                Constraint::NonNegative => 0.0,
                Constraint::Simplex => dot(&w, &product),
            };
            let slope = |j: usize| match self.constraint {
                Constraint::NonNegative => self.b[j] - product[j],
                Constraint::Simplex => level - product[j],
            };
            let candidates =
                (0..k).filter(|j| !refused[*j] && self.scale[*j] > 0.0 && !used.columns.contains(j));
            let steepest = candidates.clone().map(slope).fold(0.0, f64::max);
            gap = (self.tolerance > 0.0).then_some(steepest / self.tolerance);
            let Some(next) = candidates
                .filter(|j| slope(*j) > self.tolerance)
                .max_by(|i, j| slope(*i).total_cmp(&slope(*j)).then(j.cmp(i)))
            else {
                converged = true;
                break;
            };
            if !used.add(&self.m, next) {
                refused[next] = true;
                continue;
            }
            if !self.settle(&mut used, &mut w, next) {
                refused[next] = true;
                continue;
            }
            refused.fill(false);
        }
        w.iter_mut().zip(&self.scale).for_each(|(w, s)| *w *= s);
        if self.constraint == Constraint::Simplex {
            let sum: f64 = w.iter().sum();
            w.iter_mut().for_each(|w| *w /= sum);
        }
        (w, Convergence::new(rounds, gap, converged))
    }

    /// Move to the best weights on the columns in use, leaving out those that reach zero on the way. `false` when the column
    /// just added would leave at once, as only rounding can make it.
    fn settle(&self, used: &mut Factor, w: &mut [f64], added: usize) -> bool {
        let mut first = true;
        loop {
            let mut z: Vec<f64> = used.columns.iter().map(|j| self.b[*j]).collect();
            used.solve(&mut z);
            if self.constraint == Constraint::Simplex {
                let sum: f64 = z.iter().sum();
                z.iter_mut().for_each(|z| *z /= sum);
            }
            if first && used.columns.last() == Some(&added) && z.last().is_some_and(|z| *z <= 0.0) {
                used.remove(&self.m, |j| j == added);
                return false;
            }
            first = false;
            if z.iter().all(|z| *z > 0.0) {
                used.columns.iter().zip(&z).for_each(|(j, z)| w[*j] = *z);
                return true;
            }
            let step = used
                .columns
                .iter()
                .zip(&z)
                .filter(|(_, z)| **z <= 0.0)
                .map(|(j, z)| w[*j] / (w[*j] - z))
                .fold(1.0, f64::min);
            let mut leaving = Vec::new();
            for (j, z) in used.columns.iter().zip(&z) {
                let limits = *z <= 0.0 && w[*j] / (w[*j] - z) <= step;
                w[*j] += step * (z - w[*j]);
                if limits || w[*j] <= 0.0 {
                    w[*j] = 0.0;
                    leaving.push(*j);
                }
            }
            used.remove(&self.m, |j| leaving.contains(&j));
        }
    }
}

/// Cholesky factor of the rows and columns of a matrix that are in use, one column at a time.
#[derive(Default)]
struct Factor {
    columns: Vec<usize>,
    /// Rows of L, packed: row i has i + 1 values.
    l: Vec<f64>,
}

impl Factor {
    fn row(&self, i: usize) -> &[f64] {
        &self.l[i * (i + 1) / 2..(i + 1) * (i + 2) / 2]
    }

    /// Take column `j` into use, unless it depends on the others in working precision. O(k^2).
    fn add(&mut self, m: &Matrix, j: usize) -> bool {
        let k = self.columns.len();
        let mut row: Vec<f64> = Vec::with_capacity(k + 1);
        for (i, other) in self.columns.iter().enumerate() {
            let l = self.row(i);
            row.push((m[(*other, j)] - dot(&l[..i], &row)) / l[i]);
        }
        let own = m[(j, j)];
        let pivot = own - dot(&row, &row);
        if pivot.is_nan() || pivot <= 64.0 * (k + 1) as f64 * f64::EPSILON * own {
            return false;
        }
        row.push(pivot.sqrt());
        self.l.extend_from_slice(&row);
        self.columns.push(j);
        true
    }

    /// Put columns out of use.
    fn remove(&mut self, m: &Matrix, leaves: impl Fn(usize) -> bool) {
        let keep = self.columns.iter().position(|j| leaves(*j)).unwrap_or(self.columns.len());
        let rest: Vec<usize> = self.columns.drain(keep..).filter(|j| !leaves(*j)).collect();
        self.l.truncate(keep * (keep + 1) / 2);
        // A subset of independent columns is independent.
        rest.into_iter().for_each(|j| {
            self.add(m, j);
        });
    }

    fn solve(&self, b: &mut [f64]) {
        for i in 0..b.len() {
            let row = self.row(i);
            b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        }
        for i in (0..b.len()).rev() {
            let row = self.row(i);
            b[i] /= row[i];
            let (head, tail) = b.split_at_mut(i);
            add_scaled(head, -tail[0], &row[..i]);
        }
    }
}

/// Least squares with non-negative coefficients: minimises ||y - Xb||^2 over b >= 0, as scipy's `nnls` and scikit-learn's
/// `LinearRegression(positive=True)`. Without an intercept unless asked for.
///
/// Merges: one pass sums [`Moments`], an active set on the Gram matrix does the rest. Of equal columns the first that
/// enters takes the whole weight.
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

linear_estimator!(NonNegativeLeastSquares, |train| product_cost(train, 0));

impl MergeFit for NonNegativeLeastSquares {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(moments_of(cx))
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::General)
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        let moments = statistics.get::<Moments>(&MOMENTS)?;
        let equations = NormalEquations::new(&moments, self.fit_intercept)?;
        let set = ActiveSet::new(&equations.gram, &equations.xy, Constraint::NonNegative);
        Ok(Fitted::Model(Arc::new(set.model(&equations, Self::KIND))))
    }
}

/// The best convex combination of the columns: minimises ||y - Xb||^2 over b >= 0 with sum 1, without an intercept. The
/// meta-learner of a super learner: van der Laan, Polley and Hubbard, "Super learner", Stat. Appl. Genet. Mol. Biol. 6 (2007).
///
/// Merges: one pass sums [`Moments`]; the columns' errors y - x_j follow from those, and the nearest point of their convex
/// hull to zero is the answer. Of equal columns the first that enters takes the whole weight.
///
/// ```
/// # use ensemble_core::*;
/// use ensemble_native::ConvexCombination;
/// let mut moments = Moments::new(2);
/// let x = MatRef::new(&[0.0, 4.0, 1.0, 5.0], 2, 2, Order::C)?;
/// moments.absorb(&Block { x, y: &[1.0, 2.0], first_row: 0 })?;
/// let statistics = Statistics::new(vec![std::sync::Arc::new(moments)]);
/// let Fitted::Model(model) = ConvexCombination::new().fit_from(&statistics)? else { unreachable!() };
/// let weights = model.as_linear().expect("linear").coefficients;
/// assert!((weights[0] - 0.75).abs() < 1e-14 && (weights[1] - 0.25).abs() < 1e-14);
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

linear_estimator!(ConvexCombination, |train| product_cost(train, 0));

impl MergeFit for ConvexCombination {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(moments_of(cx))
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::General)
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        let moments = statistics.get::<Moments>(&MOMENTS)?;
        let equations = NormalEquations::new(&moments, false)?;
        // Products of the errors x_j - y, put together from centred parts, which cancel least.
        let k = moments.ncols();
        let mut errors = Matrix::zeros(k, k);
        let bias: Vec<f64> = moments.x_mean().iter().map(|m| m - moments.y_mean()).collect();
        for i in 0..k {
            for j in 0..k {
                let spread = (moments.xx(i, j) - moments.xy(i)) - (moments.xy(j) - moments.yy());
                errors[(i, j)] = spread + moments.nrows() * bias[i] * bias[j];
            }
        }
        let set = ActiveSet::new(&errors, &equations.xy, Constraint::Simplex);
        Ok(Fitted::Model(Arc::new(set.model(&equations, Self::KIND))))
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
    use ensemble_core::{Block, MatRef, Order};
    use proptest::prelude::*;

    use super::*;
    use crate::dense::Cholesky;

    fn statistics(x: &[f64], y: &[f64], p: usize) -> Statistics {
        let mut m = Moments::new(p);
        m.absorb(&Block { x: MatRef::new(x, y.len(), p, Order::C).unwrap(), y, first_row: 0 }).unwrap();
        Statistics::new(vec![Arc::new(m)])
    }

    fn weights(learner: &dyn MergeFit, s: &Statistics) -> Vec<f64> {
        match learner.fit_from(s).unwrap() {
            Fitted::Model(m) => m.as_linear().unwrap().coefficients.into(),
            Fitted::Needs(_) => panic!("moments are enough"),
        }
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
}
