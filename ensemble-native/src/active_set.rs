//! Least squares under sign constraints and an l1 penalty, by an active set on few rows that stand for all.
//!
//! Rows and not products: where columns lie far from 0, what tells them apart is the squared ratio of spread and mean of a product,
//! and the ratio itself of a row. A constrained optimum moves where it has lost those digits.

use ensemble_core::{Convergence, Moments, Result};

use crate::{
    dense::{Matrix, add_scaled, dot, norm2},
    linear::NormalEquations,
    tsqr::TsqrStatistic,
};

/// Few rows of `[x | y]` with the products of all rows, the mean apart.
pub(crate) struct FewRows {
    /// Of the rows less their means; columns of x, then y.
    centred: Matrix,
    /// Means times the root of the number of rows.
    level: Vec<f64>,
    /// Lengths of the centred columns.
    lengths: Vec<f64>,
    /// The share of a centred column's squared length that may be rounding.
    rounding: f64,
    /// The least pivot of x's centred products in units of 1: about the inverse of their condition number.
    least_pivot: f64,
}

impl FewRows {
    /// By a Cholesky factor of the centred products with complete pivoting; `None` when squares are so small that they lost digits.
    ///
    /// # Errors
    /// When there are no rows, or the sums are not finite.
    pub(crate) fn of_moments(moments: &Moments) -> Result<Option<Self>> {
        /// Squares below this have few digits left, or none.
        const TINY: f64 = 1e-290;
        /// A rounding of numbers above this is not lost in squares.
        const SMALL: f64 = 1e-135;
        let equations = NormalEquations::new(moments, true)?;
        let (gram, p) = (&equations.gram, equations.ncols());
        let root = moments.nrows().sqrt();
        let means = || moments.x_mean().iter().copied().chain([moments.y_mean()]);
        let own = |j: usize| if j < p { moments.xx(j, j) } else { moments.yy() };
        let says_nothing = |j: usize| {
            let product = |i: usize| if i < p { moments.xy(i) } else { 0.0 };
            own(j) == 0.0 && (if j < p { product(j) == 0.0 } else { (0..p).all(|i| product(i) == 0.0) })
        };
        if means()
            .enumerate()
            .any(|(j, mean)| own(j) < TINY && mean.abs() < SMALL && !(mean == 0.0 && says_nothing(j)))
        {
            return Ok(None);
        }
        // Behind a map that took the means away, too.
        if (0..=p).any(|j| moments.vanishes(j, true)) {
            return Ok(None);
        }
        let lengths: Vec<f64> =
            (0..=p).map(|j| if j < p { gram[(j, j)] } else { equations.yy }.sqrt()).collect();
        let unit = |j: usize| if lengths[j] > 0.0 { 1.0 / lengths[j] } else { 0.0 };
        let mut factor = Matrix::zeros(p + 1, p + 1);
        let mut left: Vec<f64> = (0..p).map(|j| if lengths[j] > 0.0 { 1.0 } else { 0.0 }).collect();
        let (mut rows, mut least_pivot) = (0, 1.0);
        let mut open: Vec<usize> = (0..p).filter(|j| lengths[*j] > 0.0).collect();
        while let Some(at) =
            (0..open.len()).max_by(|a, b| left[open[*a]].total_cmp(&left[open[*b]]).then(b.cmp(a)))
        {
            let pivot = left[open[at]];
            if pivot <= 4.0 * (p + 1) as f64 * f64::EPSILON {
                least_pivot = 0.0;
                break;
            }
            let pivoted = open.remove(at);
            least_pivot = f64::min(least_pivot, pivot);
            let above: Vec<f64> = factor.column(pivoted)[..rows].into();
            let diagonal = pivot.sqrt();
            for j in open.iter().copied().chain([p]) {
                let product = if j < p { gram[(pivoted, j)] } else { equations.xy[pivoted] };
                let known = dot(&above, &factor.column(j)[..rows]);
                let value = (product * unit(pivoted) * unit(j) - known) / diagonal;
                factor[(rows, j)] = value;
                if j < p {
                    left[j] -= value * value;
                }
            }
            factor[(rows, pivoted)] = diagonal;
            rows += 1;
        }
        let rest = 1.0 - dot(&factor.column(p)[..rows], &factor.column(p)[..rows]);
        factor[(rows, p)] = if lengths[p] > 0.0 { rest.max(0.0).sqrt() } else { 0.0 };
        let mut centred = Matrix::zeros(rows + 1, p + 1);
        for (j, length) in lengths.iter().enumerate() {
            let from = &factor.column(j)[..=rows];
            centred.column_mut(j).iter_mut().zip(from).for_each(|(to, v)| *to = v * length);
        }
        let level = |(j, mean): (usize, f64)| if j < p && moments.is_zero(j) { 0.0 } else { mean * root };
        let level = means().enumerate().map(level).collect();
        Ok(Some(Self { centred, level, lengths, rounding: f64::EPSILON, least_pivot }))
    }

    /// The rows of the R factor, in which columns that vary by rounding alone do not vary.
    pub(crate) fn of_tsqr(state: &TsqrStatistic) -> Self {
        let centred = state.factor(true);
        let lengths = (0..centred.ncols()).map(|j| norm2(centred.column(j))).collect();
        Self {
            centred,
            level: state.level(),
            lengths,
            rounding: f64::EPSILON * f64::EPSILON,
            least_pivot: 1.0,
        }
    }

    fn ncols(&self) -> usize {
        self.level.len() - 1
    }

    /// Whether a few digits at most are known of a fit with these coefficients: what its products may have lost is no longer
    /// small beside the squares of its residuals. Never of rows that come from an R factor.
    pub(crate) fn are_lost(&self, coefficients: &[f64]) -> bool {
        if self.rounding < f64::EPSILON {
            return false;
        }
        let p = self.ncols();
        let mut residual: Vec<f64> = self.centred.column(p).into();
        let mut magnitude = self.lengths[p];
        for (j, c) in coefficients.iter().enumerate() {
            add_scaled(&mut residual, -c, self.centred.column(j));
            magnitude += c.abs() * self.lengths[j];
        }
        // Also when there is no number to compare.
        let known = norm2(&residual) >= 1e-4 * magnitude;
        !known
    }

    /// Whether columns depend on each other beyond `max_condition` and some point in opposite directions, so that coefficients of
    /// one sign may cancel. Those of columns that all point one way cannot.
    pub(crate) fn may_cancel(&self, centred: bool, max_condition: f64) -> bool {
        let p = self.ncols();
        let product = |i: usize, j: usize| {
            let level = if centred { 0.0 } else { self.level[i] * self.level[j] };
            dot(self.centred.column(i), self.centred.column(j)) + level
        };
        self.least_pivot * max_condition < 1.0 && (0..p).any(|j| (0..j).any(|i| product(i, j) < 0.0))
    }

    /// Whether products may hide a direction that coefficients of any sign would go in, some columns depending on each other
    /// beyond `max_condition`: what is left of the residual could be worth what an l1 penalty `l1` takes of coefficients so large.
    pub(crate) fn may_hide(&self, coefficients: &[f64], l1: f64, max_condition: f64) -> bool {
        if self.least_pivot * max_condition >= 1.0 {
            return false;
        }
        let p = self.ncols();
        let mut residual: Vec<f64> = self.centred.column(p).into();
        coefficients
            .iter()
            .enumerate()
            .for_each(|(j, c)| add_scaled(&mut residual, -c, self.centred.column(j)));
        // One unit along such a direction takes coefficients that are at least the inverse of this.
        let longest = self.lengths[..p].iter().copied().fold(0.0, f64::max) / max_condition.sqrt();
        l1 < norm2(&residual) * longest
    }

    /// The rows of a fit with an intercept, or, the level being the first row, of one without; and the squared lengths that
    /// columns may have by rounding.
    fn rows(&self, centred: bool) -> (Matrix, Vec<f64>) {
        let d = self.level.len();
        let above = usize::from(!centred);
        let mut rows = Matrix::zeros(self.centred.nrows() + above, d);
        for j in 0..d {
            let column = rows.column_mut(j);
            if !centred {
                column[0] = self.level[j];
            }
            column[above..].copy_from_slice(self.centred.column(j));
        }
        let noise = (0..self.ncols()).map(|j| {
            let level = if centred { 0.0 } else { self.level[j] };
            self.noise(self.lengths[j], level)
        });
        (rows, noise.collect())
    }

    fn noise(&self, length: f64, level: f64) -> f64 {
        let share = 64.0 * (self.level.len() + 1) as f64;
        let centred = if self.rounding < f64::EPSILON { share * share } else { share } * self.rounding;
        centred * length * length + (16.0 * f64::EPSILON * level).powi(2)
    }

    /// Minimise ||y - Xb||^2 / 2 + l1 |b| + l2 ||b||^2 / 2, about the mean or about 0, over b >= 0 or over all b.
    pub(crate) fn minimise(&self, centred: bool, l1: f64, l2: f64, sign: Sign) -> Solution {
        let (mut rows, noise) = self.rows(centred);
        if l2 > 0.0 {
            let (q, p) = (rows.nrows(), self.ncols());
            let mut longer = Matrix::zeros(q + p, p + 1);
            for j in 0..=p {
                longer.column_mut(j)[..q].copy_from_slice(rows.column(j));
                if j < p {
                    longer[(q + j, j)] = l2.sqrt();
                }
            }
            rows = longer;
        }
        ActiveSet::new(rows, &noise, l1, sign).solve()
    }

    /// Minimise ||y - Xb||^2 over b >= 0 with sum 1.
    ///
    /// With the errors e_j = x_j - y this is the point of their convex hull that is nearest to 0, and that is, but for its length, the
    /// b >= 0 that minimises ||Eb||^2 + t^2 (1 - sum of b)^2, for any t: no learner's errors enter in another's units. t is the length of
    /// the least errors.
    pub(crate) fn nearest_in_hull(&self) -> Solution {
        let (k, q) = (self.ncols(), self.centred.nrows());
        let mut rows = Matrix::zeros(q + 2, k + 1);
        for j in 0..k {
            let column = rows.column_mut(j);
            column[1] = self.level[j] - self.level[k];
            let errors = self.centred.column(j).iter().zip(self.centred.column(k));
            column[2..].iter_mut().zip(errors).for_each(|(to, (x, y))| *to = x - y);
        }
        let noise: Vec<f64> = (0..k)
            .map(|j| self.noise(self.lengths[j] + self.lengths[k], self.level[j].abs() + self.level[k].abs()))
            .collect();
        // Errors that are rounding are no units.
        let t =
            (0..k).map(|j| norm2(rows.column(j)).max(2.0 * noise[j].sqrt())).fold(f64::INFINITY, f64::min);
        let t = if t > 0.0 && t.is_finite() { t } else { 1.0 };
        (0..=k).for_each(|j| rows[(0, j)] = t);
        let mut solution = ActiveSet::new(rows, &noise, 0.0, Sign::NonNegative).solve();
        let sum: f64 = solution.coefficients.iter().sum();
        solution.coefficients.iter_mut().for_each(|w| *w /= sum);
        solution
    }
}

/// Which signs coefficients may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    NonNegative,
    Any,
}

/// Coefficients, and how they were found. The gap is the largest cosine between the residual and what a column that is left out adds
/// to those in use, less what the penalty takes of it.
#[derive(Debug)]
pub(crate) struct Solution {
    pub(crate) coefficients: Vec<f64>,
    pub(crate) convergence: Convergence,
}

/// Lawson and Hanson, "Solving Least Squares Problems" (1974), chapter 23, with an l1 penalty whose signs are those of the active set:
/// Lee, Battle, Raina and Ng, "Efficient sparse coding algorithms" (2006).
///
/// The rows are rotated as columns come and go, so that those in use are an upper triangle and what lies below is what they leave
/// of the others. A column is chosen by what it adds, in units of what it adds, so that no column's units matter. One whose rest is
/// rounding is left out: duplicates share nothing, and of equal columns the first takes all.
struct ActiveSet {
    /// Columns of length 1, the target last.
    a: Matrix,
    /// Coefficients are in units of this.
    scale: Vec<f64>,
    /// Squared rests up to this are rounding.
    floor: Vec<f64>,
    l1: Vec<f64>,
    sign: Sign,
    used: Vec<usize>,
    /// Signs of the coefficients in use.
    signs: Vec<f64>,
}

impl ActiveSet {
    fn new(mut a: Matrix, noise: &[f64], l1: f64, sign: Sign) -> Self {
        let k = a.ncols() - 1;
        let length = |v: f64| if v > 0.0 { v } else { 1.0 };
        let unit = length(norm2(a.column(k)));
        a.column_mut(k).iter_mut().for_each(|v| *v /= unit);
        let (mut scale, mut floor, mut penalty) = (vec![0.0; k], vec![0.0; k], vec![0.0; k]);
        for j in 0..k {
            let own = norm2(a.column(j));
            if own > 0.0 {
                a.column_mut(j).iter_mut().for_each(|v| *v /= own);
                (scale[j], floor[j], penalty[j]) = (unit / own, noise[j] / own / own, l1 / own / unit);
            }
        }
        Self { a, scale, floor, l1: penalty, sign, used: Vec::new(), signs: Vec::new() }
    }

    fn solve(mut self) -> Solution {
        let k = self.scale.len();
        let mut w = vec![0.0; k];
        let mut refused = vec![false; k];
        let (mut rounds, mut gap, mut converged) = (0, 0.0, false);
        // Every round lowers the objective, so no set comes back, but for rounding; the guard ends what rounding keeps alive.
        while rounds < 10 * (k as u64 + 1) {
            rounds += 1;
            let Some((next, sign, merit)) = self.best(&refused) else {
                (gap, converged) = (0.0, true);
                break;
            };
            gap = merit;
            self.take(next, sign);
            if self.settle(&mut w) {
                refused.fill(false);
            } else {
                refused[next] = true;
            }
        }
        // The sign of a zero is no information.
        w.iter_mut().zip(&self.scale).for_each(|(w, s)| *w = if *w == 0.0 { 0.0 } else { *w * s });
        Solution {
            coefficients: w,
            convergence: Convergence::new(rounds, Some(gap), converged).without_parameters(),
        }
    }

    /// The column that lowers the objective most at first, and with which sign; the first of equal ones.
    fn best(&self, refused: &[bool]) -> Option<(usize, f64, f64)> {
        let (k, n) = (self.scale.len(), self.used.len());
        let rho = self.pull();
        let target = self.a.column(k);
        let mut best: Option<(usize, f64, f64)> = None;
        for j in (0..k).filter(|j| !refused[*j] && self.scale[*j] > 0.0 && !self.used.contains(j)) {
            let column = self.a.column(j);
            let rest = norm2(&column[n..]);
            if rest * rest <= self.floor[j] {
                continue;
            }
            let slope = dot(&column[..n], &rho) + dot(&column[n..], &target[n..]);
            let sign = if slope < 0.0 && self.sign == Sign::Any { -1.0 } else { 1.0 };
            let merit = (slope * sign - self.l1[j]) / rest;
            let rounding = 16.0 * (k + 1) as f64 * f64::EPSILON * (1.0 + self.l1[j] / rest);
            if merit > rounding && best.is_none_or(|(_, _, m)| merit > m) {
                best = Some((j, sign, merit));
            }
        }
        best
    }

    /// What the penalty leaves of the residual among the rows of the columns in use: R^-T (l1 signs).
    fn pull(&self) -> Vec<f64> {
        let mut rho: Vec<f64> = Vec::with_capacity(self.used.len());
        for (i, (j, s)) in self.used.iter().zip(&self.signs).enumerate() {
            let column = self.a.column(*j);
            let value = if self.l1[*j] == 0.0 && rho.iter().all(|r| *r == 0.0) {
                0.0
            } else {
                (self.l1[*j] * s - dot(&column[..i], &rho)) / column[i]
            };
            rho.push(value);
        }
        rho
    }

    /// Take column `j` into use: a Householder reflection of the rows below those in use.
    fn take(&mut self, j: usize, sign: f64) {
        let (n, k) = (self.used.len(), self.scale.len());
        let below = norm2(&self.a.column(j)[n + 1..]);
        if below > 0.0 {
            let mut v: Vec<f64> = self.a.column(j)[n..].into();
            let alpha = v[0];
            let beta = -alpha.hypot(below).copysign(alpha);
            let tau = (beta - alpha) / beta;
            v.iter_mut().for_each(|x| *x /= alpha - beta);
            v[0] = 1.0;
            for other in (0..=k).filter(|o| *o != j && !self.used.contains(o)) {
                let rows = &mut self.a.column_mut(other)[n..];
                let by = -tau * dot(&v, rows);
                add_scaled(rows, by, &v);
            }
            let own = &mut self.a.column_mut(j)[n..];
            own.fill(0.0);
            own[0] = beta;
        }
        self.used.push(j);
        self.signs.push(sign);
    }

    /// Put the column at a place among those in use out of use: rotations that make those after it a triangle again.
    fn drop(&mut self, at: usize) {
        self.used.remove(at);
        self.signs.remove(at);
        for i in at..self.used.len() {
            let column = self.a.column(self.used[i]);
            let (x, y) = (column[i], column[i + 1]);
            let length = x.hypot(y);
            if length == 0.0 {
                continue;
            }
            let (c, s) = (x / length, y / length);
            for j in 0..self.a.ncols() {
                let rows = self.a.column_mut(j);
                (rows[i], rows[i + 1]) = (c * rows[i] + s * rows[i + 1], c * rows[i + 1] - s * rows[i]);
            }
            let column = self.a.column_mut(self.used[i]);
            (column[i], column[i + 1]) = (length, 0.0);
        }
    }

    /// Move to the best coefficients on the columns in use, leaving out those that reach zero on the way. `false` when the column
    /// just taken would leave at once, as only rounding can make it.
    fn settle(&mut self, w: &mut [f64]) -> bool {
        let k = self.scale.len();
        let mut first = true;
        while !self.used.is_empty() {
            let n = self.used.len();
            let rho = self.pull();
            let mut z: Vec<f64> = self.a.column(k)[..n].iter().zip(&rho).map(|(d, r)| d - r).collect();
            for i in (0..n).rev() {
                let column = self.a.column(self.used[i]);
                z[i] /= column[i];
                let (head, tail) = z.split_at_mut(i);
                add_scaled(head, -tail[0], &column[..i]);
            }
            let fits = |i: usize| z[i] * self.signs[i] > 0.0;
            if first && !fits(n - 1) {
                self.drop(n - 1);
                return false;
            }
            first = false;
            if (0..n).all(fits) {
                self.used.iter().zip(&z).for_each(|(j, z)| w[*j] = *z);
                return true;
            }
            // How far each coefficient may go.
            let limits: Vec<f64> = (0..n)
                .map(|i| if fits(i) { f64::INFINITY } else { w[self.used[i]] / (w[self.used[i]] - z[i]) })
                .collect();
            let step = limits.iter().copied().fold(1.0, f64::min);
            let mut leaving = Vec::new();
            for i in 0..n {
                let j = self.used[i];
                w[j] += step * (z[i] - w[j]);
                if limits[i] <= step || w[j] * self.signs[i] <= 0.0 {
                    w[j] = 0.0;
                    leaving.push(i);
                }
            }
            leaving.into_iter().rev().for_each(|at| self.drop(at));
        }
        true
    }
}
