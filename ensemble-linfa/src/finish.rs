//! Logistic regression to its optimum, from wherever a solver left it, in columns that are centred and scaled by algebra.

use std::{collections::VecDeque, iter};

use ensemble_core::{ColumnMoments, Convergence, MatRef, softmax};

/// Pairs of steps and slopes remembered.
const MEMORY: usize = 10;

/// A slope this many times the tolerance is what a solver that stops by slopes of columns as they are may leave.
const LOOSE: f64 = 100.0;

/// The sum of log losses plus alpha ||w||^2 / 2 over rows that are read where they lie.
///
/// A score is b + sum of u_j s_j (x_j - m_j), with means m and scales s that make the second derivatives of order 1 on the
/// diagonal. w_j = u_j s_j are the coefficients of the columns as they are, and the penalty is on them; the intercept is not
/// penalised, so that centring changes nothing but the path. Steps are those of L-BFGS (Nocedal, "Updating quasi-Newton
/// matrices with limited storage", Math. Comp. 35 (1980)), each a pass or a few over the rows, summed in their order.
pub(crate) struct Finish<'a, C> {
    x: MatRef<'a>,
    codes: &'a C,
    /// Vectors of coefficients: one for code 1 of two classes, or one for each class.
    k: usize,
    alpha: f64,
    mean: Vec<f64>,
    /// Standard deviations; 0 for columns that do not vary.
    spread: Vec<f64>,
    scale: Vec<f64>,
    /// 0 without an intercept.
    intercept_scale: f64,
}

impl<'a, C, I> Finish<'a, C>
where
    C: Fn() -> I,
    I: Iterator<Item = usize>,
{
    pub(crate) fn new(
        x: MatRef<'a>,
        codes: &'a C,
        moments: &ColumnMoments,
        k: usize,
        alpha: f64,
        fit_intercept: bool,
    ) -> Self {
        let (n, p) = (x.nrows() as f64, x.ncols());
        // Without an intercept columns stay where they are, and vary about 0.
        let mean: Vec<f64> = moments.x_mean().iter().map(|m| if fit_intercept { *m } else { 0.0 }).collect();
        let spread: Vec<f64> = (0..p)
            .map(|j| {
                let level = if fit_intercept { 0.0 } else { moments.x_mean()[j] };
                if moments.is_constant(j) { level.abs() } else { moments.variance(j).sqrt().hypot(level) }
            })
            .collect();
        // No second derivative of a log loss is above 1/4.
        let scale = spread
            .iter()
            .map(|s| {
                let curvature = n * s * s / 4.0 + alpha;
                if *s > 0.0 && curvature > 0.0 { 1.0 / curvature.sqrt() } else { 0.0 }
            })
            .collect();
        let intercept_scale = if fit_intercept { 2.0 / n.sqrt() } else { 0.0 };
        Self { x, codes, k, alpha, mean, spread, scale, intercept_scale }
    }

    /// Objective and its slope at `at`, k vectors of p + 1 values in scaled units, and the greatest slope of the mean objective
    /// in columns of variance 1.
    fn slope(&self, at: &[f64], slope: &mut [f64]) -> (f64, f64) {
        let (p, d) = (self.x.ncols(), self.x.ncols() + 1);
        let mut loss = 0.0;
        slope.fill(0.0);
        let factors: Vec<f64> = at
            .chunks_exact(d)
            .flat_map(|v| (0..p).map(|j| v[j] * self.scale[j]).chain([v[p] * self.intercept_scale]))
            .collect();
        let mut row = vec![0.0; p];
        let mut scores = vec![0.0; self.k];
        for (r, code) in (self.codes)().enumerate() {
            row.iter_mut().enumerate().for_each(|(j, v)| *v = self.x.get(r, j) - self.mean[j]);
            for (score, w) in scores.iter_mut().zip(factors.chunks_exact(d)) {
                *score = w[p] + row.iter().zip(w).map(|(v, w)| v * w).sum::<f64>();
            }
            if self.k == 1 {
                let score = scores[0];
                let right = if code == 1 { score } else { -score };
                loss += (-right).max(0.0) + (-right.abs()).exp().ln_1p();
                scores[0] = 1.0 / (1.0 + (-score).exp()) - code as f64;
            } else {
                let most = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(*s));
                loss += most + scores.iter().map(|s| (s - most).exp()).sum::<f64>().ln() - scores[code];
                softmax(&mut scores);
                scores[code] -= 1.0;
            }
            for (rest, out) in scores.iter().zip(slope.chunks_exact_mut(d)) {
                out.iter_mut().zip(&row).for_each(|(g, v)| *g += rest * v);
                out[p] += rest;
            }
        }
        let (n, mut gap) = (self.x.nrows() as f64, 0.0_f64);
        for (w, out) in factors.chunks_exact(d).zip(slope.chunks_exact_mut(d)) {
            for j in 0..p {
                loss += 0.5 * self.alpha * w[j] * w[j];
                out[j] += self.alpha * w[j];
                if self.scale[j] > 0.0 {
                    gap = gap.max(out[j].abs() / (n * self.spread[j]));
                }
                out[j] *= self.scale[j];
            }
            if self.intercept_scale > 0.0 {
                gap = gap.max(out[p].abs() / n);
            }
            out[p] *= self.intercept_scale;
        }
        (loss, gap)
    }

    /// Go on from these coefficients, one vector after the other, and intercepts, until the slope is below `tol`, if it is far from
    /// that. The steps told are those made here.
    pub(crate) fn solve(
        &self,
        coefficients: &mut [f64],
        intercepts: &mut [f64],
        tol: f64,
        max_iter: usize,
    ) -> Convergence {
        let (p, d) = (self.x.ncols(), self.x.ncols() + 1);
        let divided = |v: f64, by: f64| if by > 0.0 { v / by } else { 0.0 };
        let mut at: Vec<f64> = Vec::with_capacity(self.k * d);
        for (w, b) in coefficients.chunks_exact(p).zip(intercepts.iter()) {
            at.extend(w.iter().zip(&self.scale).map(|(w, s)| divided(*w, *s)));
            let moved: f64 = w.iter().zip(&self.mean).map(|(w, m)| w * m).sum();
            at.push(divided(b + moved, self.intercept_scale));
        }
        let mut slope = vec![0.0; self.k * d];
        let (mut loss, mut gap) = self.slope(&at, &mut slope);
        if gap <= LOOSE * tol {
            return Convergence::new(0, Some(gap), true);
        }
        let mut steps = 0;
        let mut pairs: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::with_capacity(MEMORY);
        let (mut next, mut next_slope) = (at.clone(), slope.clone());
        while gap > tol && steps < max_iter {
            let mut direction = downhill(&pairs, &slope);
            let mut descent = dot(&direction, &slope);
            if descent.is_nan() || descent >= 0.0 {
                pairs.clear();
                direction = slope.iter().map(|g| -g).collect();
                descent = -dot(&slope, &slope);
            }
            let mut length = 1.0;
            let moved = loop {
                next.iter_mut().zip(&at).zip(&direction).for_each(|((n, a), d)| *n = a + length * d);
                let (value, slope_there) = self.slope(&next, &mut next_slope);
                // Near the optimum a descent is below the rounding of the sum.
                if value <= loss + 1e-4 * length * descent + 1e-14 * loss.abs() {
                    break Some((value, slope_there));
                }
                length *= 0.5;
                if length < 1e-12 {
                    break None;
                }
            };
            let Some((value, slope_there)) = moved else { break };
            let step: Vec<f64> = next.iter().zip(&at).map(|(n, a)| n - a).collect();
            let change: Vec<f64> = next_slope.iter().zip(&slope).map(|(n, g)| n - g).collect();
            if dot(&step, &change) > f64::EPSILON * dot(&change, &change) {
                if pairs.len() == MEMORY {
                    pairs.pop_front();
                }
                pairs.push_back((step, change));
            }
            std::mem::swap(&mut at, &mut next);
            std::mem::swap(&mut slope, &mut next_slope);
            (loss, gap) = (value, slope_there);
            steps += 1;
        }
        for ((w, b), v) in coefficients.chunks_exact_mut(p).zip(intercepts).zip(at.chunks_exact(d)) {
            w.iter_mut().zip(v).zip(&self.scale).for_each(|((w, u), s)| *w = u * s);
            let moved: f64 = w.iter().zip(&self.mean).map(|(w, m)| w * m).sum();
            *b = v[p] * self.intercept_scale - moved;
        }
        Convergence::new(steps as u64, Some(gap), gap <= tol)
    }
}

/// Minus the slope times the inverse of the second derivatives, as the pairs of steps and changes of slope tell of it.
fn downhill(pairs: &VecDeque<(Vec<f64>, Vec<f64>)>, slope: &[f64]) -> Vec<f64> {
    let mut q: Vec<f64> = slope.iter().map(|g| -g).collect();
    let mut weights = Vec::with_capacity(pairs.len());
    for (step, change) in pairs.iter().rev() {
        let weight = dot(step, &q) / dot(step, change);
        q.iter_mut().zip(change).for_each(|(q, c)| *q -= weight * c);
        weights.push(weight);
    }
    if let Some((step, change)) = pairs.back() {
        let size = dot(step, change) / dot(change, change);
        q.iter_mut().for_each(|q| *q *= size);
    }
    for ((step, change), weight) in pairs.iter().zip(weights.into_iter().rev()) {
        let back = weight - dot(change, &q) / dot(step, change);
        q.iter_mut().zip(step).for_each(|(q, s)| *q += back * s);
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    iter::zip(a, b).map(|(a, b)| a * b).sum()
}
