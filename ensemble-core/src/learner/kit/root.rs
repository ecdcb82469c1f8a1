//! n rows as p + 1 rows with the same normal equations: how a solver that wants rows is fed from statistics.

use crate::{
    data::mat::{MatRef, Order},
    statistic::moments::Moments,
};

/// p + 1 rows x p columns, and targets, whose products are those of the n rows of a table: X'X, X'y and y'y agree.
///
/// Least squares, ridge, lasso and elastic net depend on the rows through these products alone, so a backend's own solver
/// may be given these rows instead: p + 1 instead of n, centred without a centred copy, from statistics that merge. It is the
/// upper Cholesky factor of the moments of x and y together. Scale it by [`Root::scaled`] for objectives that divide by the
/// number of rows.
///
/// Products square the condition number of the columns: a direction in which columns of unit length vary by less than about
/// 1e-8 is lost here, before any solver sees it. That is no loss under a penalty, which outweighs such directions; a fit
/// without one keeps half of its digits at most, where a factorisation of the rows themselves would keep all.
///
/// ```
/// use ensemble_core::{Block, MatRef, Moments, Order, Root, Statistic};
/// let mut moments = Moments::new(1);
/// let x = MatRef::new(&[1.0, 2.0, 3.0, 6.0], 4, 1, Order::C)?;
/// moments.absorb(&Block { x, y: &[1.0, 2.0, 3.0, 4.0], first_row: 0 })?;
/// let root = Root::centred(&moments);
/// assert_eq!((root.nrows(), root.x().ncols()), (2, 1));
/// assert!((root.x().get(0, 0).powi(2) - moments.xx(0, 0)).abs() < 1e-12);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    p: usize,
    /// (p + 1) x p in Fortran order, then the targets.
    values: Vec<f64>,
}

impl Root {
    /// Of the rows less their means: for a fit with an intercept, which is then the mean of y less the coefficients times the
    /// means of x.
    pub fn centred(moments: &Moments) -> Self {
        Self::factor(moments.ncols(), |i, j| match (i, j) {
            (i, j) if j < moments.ncols() => moments.xx(i, j),
            (i, _) if i < moments.ncols() => moments.xy(i),
            _ => moments.yy(),
        })
    }

    /// Of the rows as they are: for a fit without an intercept.
    pub fn raw(moments: &Moments) -> Self {
        Self::factor(moments.ncols(), |i, j| match (i, j) {
            (i, j) if j < moments.ncols() => moments.raw_xx(i, j),
            (i, _) if i < moments.ncols() => moments.raw_xy(i),
            _ => moments.raw_yy(),
        })
    }

    /// Upper factor of the (p + 1)^2 products `m`, given for i <= j. A column that depends on those before it, to rounding, gets a
    /// zero pivot.
    fn factor(p: usize, m: impl Fn(usize, usize) -> f64) -> Self {
        let d = p + 1;
        let mut r = vec![0.0; d * d];
        for j in 0..d {
            for i in 0..=j {
                let known: f64 = (0..i).map(|k| r[j * d + k] * r[i * d + k]).sum();
                let rest = m(i, j) - known;
                r[j * d + i] = if i < j {
                    let pivot = r[i * d + i];
                    if pivot > 0.0 { rest / pivot } else { 0.0 }
                } else if rest > m(j, j) * d as f64 * f64::EPSILON {
                    rest.sqrt()
                } else {
                    0.0
                };
            }
        }
        Self { p, values: r }
    }

    /// All values times `factor`: the root of (p + 1) / n keeps means over rows what they were over n rows.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        self.values.iter_mut().for_each(|v| *v *= factor);
        self
    }

    /// Rows: p + 1.
    pub fn nrows(&self) -> usize {
        self.p + 1
    }

    /// The rows, Fortran order.
    pub fn x(&self) -> MatRef<'_> {
        let d = self.p + 1;
        MatRef::new(&self.values[..d * self.p], d, self.p, Order::F).expect("made to fit")
    }

    /// The targets.
    pub fn y(&self) -> &[f64] {
        &self.values[(self.p + 1) * self.p..]
    }
}

/// Duality gap and objective of an elastic net at `w`: ||y - Xw||^2 / 2 + l1 |w| + l2 ||w||^2 / 2 is above its least by the gap at
/// most. `x` gives a value by row and column. For backends whose solvers do not tell how they ended.
pub fn elastic_net_gap(
    x: impl Fn(usize, usize) -> f64,
    y: &[f64],
    w: &[f64],
    l1: f64,
    l2: f64,
) -> (f64, f64) {
    let mut residual: Vec<f64> = y.into();
    for (j, w) in w.iter().enumerate().filter(|(_, w)| **w != 0.0) {
        residual.iter_mut().enumerate().for_each(|(row, r)| *r -= w * x(row, j));
    }
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let slope = |j: usize| residual.iter().enumerate().map(|(row, r)| r * x(row, j)).sum::<f64>() - l2 * w[j];
    let steepest = (0..w.len()).map(|j| slope(j).abs()).fold(0.0, f64::max);
    let shrink = if steepest > l1 { l1 / steepest } else { 1.0 };
    let (rest, w2) = (product(&residual, &residual), product(w, w));
    let w1: f64 = w.iter().map(|w| w.abs()).sum();
    let objective = 0.5 * rest + l1 * w1 + 0.5 * l2 * w2;
    let gap = 0.5 * rest * (1.0 + shrink * shrink) + l1 * w1 - shrink * product(&residual, y)
        + 0.5 * l2 * (1.0 + shrink * shrink) * w2;
    (gap.max(0.0), objective)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistic::state::{Block, Statistic};

    #[test]
    fn products_of_the_root_are_those_of_the_rows_also_with_dependent_columns() {
        let (n, p) = (50, 4);
        let x: Vec<f64> = (0..n)
            .flat_map(|i| {
                let (a, b) = (((i * 37) % 101) as f64, 1000.0 + ((i * 11) % 13) as f64);
                [a, b, a + b, 3.0]
            })
            .collect();
        let y: Vec<f64> = (0..n).map(|i| ((i * 53) % 17) as f64 + 0.25).collect();
        let mut moments = Moments::new(p);
        let block = Block { x: MatRef::new(&x, n, p, Order::C).unwrap(), y: &y, first_row: 0 };
        moments.absorb(&block).unwrap();
        let product = |root: &Root, i: usize, j: usize| -> f64 {
            let value = |r: usize, c: usize| if c < p { root.x().get(r, c) } else { root.y()[r] };
            (0..root.nrows()).map(|r| value(r, i) * value(r, j)).sum()
        };
        let (centred, raw) = (Root::centred(&moments), Root::raw(&moments));
        for i in 0..p {
            for j in 0..p {
                let scale = (moments.raw_xx(i, i) * moments.raw_xx(j, j)).sqrt();
                assert!((product(&centred, i, j) - moments.xx(i, j)).abs() < 1e-12 * scale, "{i} {j}");
                assert!((product(&raw, i, j) - moments.raw_xx(i, j)).abs() < 1e-12 * scale, "{i} {j}");
            }
            assert!((product(&centred, i, p) - moments.xy(i)).abs() < 1e-9, "{i}");
        }
        assert!((product(&centred, p, p) - moments.yy()).abs() < 1e-9);
        assert!(centred.x().column(2).unwrap()[2] == 0.0, "a dependent column has no pivot");
    }
}
