//! The R factor of the rows, merged block by block: what the linear family falls back to when products of columns have
//! lost too many digits.

use ensemble_core::{
    Affine, AffineShape, Block, Error, Noise, Result, Statistic, StatisticContext, StatisticKey, same_type,
};

use crate::dense::{Matrix, add_scaled, norm2, r_factor};

/// Key of [`TsqrStatistic`].
pub const TSQR: StatisticKey = StatisticKey::new("tsqr");

/// Row count, means, and the R factor of the centred rows of `[x | y]`.
///
/// R'R is the matrix of centred products that [`Moments`](ensemble_core::Moments) sums, but no product is ever formed, so
/// a condition number enters once and not squared. A block is centred at its own mean and triangularised by Householder
/// reflections; two states merge by triangularising `[R1; R2; sqrt(n1 n2 / n) (mean2 - mean1)']`. Demmel, Grigori, Hoemmen
/// and Langou, "Communication-optimal parallel and sequential QR", SIAM J. Sci. Comput. 34 (2012), for the tree; the mean's
/// row is the update of Chan, Golub and LeVeque (1983). Costs one read of the rows, (p + 1)^2 values kept, and a block of
/// rows while it is absorbed.
#[derive(Clone, Debug, PartialEq)]
pub struct TsqrStatistic {
    n: f64,
    /// Columns of x, then y.
    mean: Vec<f64>,
    /// Upper triangular. Of no size before the first row, so that a plan may ask for the state of any table.
    r: Matrix,
    /// One rounding of the values of each column as they were absorbed.
    noise: Noise,
}

impl TsqrStatistic {
    /// The state of no rows: O(p) values, until rows come.
    pub fn new(ncols: usize) -> Self {
        let d = ncols + 1;
        Self { n: 0.0, mean: vec![0.0; d], r: Matrix::zeros(0, 0), noise: Noise::none(d) }
    }

    /// Rows absorbed.
    pub fn nrows(&self) -> f64 {
        self.n
    }

    /// Columns of x.
    pub fn ncols(&self) -> usize {
        self.mean.len() - 1
    }

    /// Means of the columns of x.
    pub fn x_mean(&self) -> &[f64] {
        &self.mean[..self.ncols()]
    }

    /// Mean of y.
    pub fn y_mean(&self) -> f64 {
        self.mean[self.ncols()]
    }

    /// Element (i, j) of the R factor, y being the last column; zero below the diagonal.
    pub fn r(&self, i: usize, j: usize) -> f64 {
        if self.n == 0.0 { 0.0 } else { self.r[(i, j)] }
    }

    /// Whether column `column` of x is constant but for the rounding of its values, by the rule of
    /// [`Moments::is_constant`](ensemble_core::Moments::is_constant).
    pub fn is_constant(&self, column: usize) -> bool {
        if self.n == 0.0 {
            return true;
        }
        // Scaled first: squares of tiny values underflow, and this factor is there for them too.
        let norm = norm2(self.r.column(column));
        norm == 0.0 || self.noise.hides(column, norm / self.n.sqrt())
    }

    /// Whether the values of column `column` of x are 0 but for their rounding, by the rule of
    /// [`Moments::is_zero`](ensemble_core::Moments::is_zero).
    pub fn is_zero(&self, column: usize) -> bool {
        if self.n == 0.0 {
            return true;
        }
        let length = norm2(self.r.column(column)) / self.n.sqrt();
        self.noise.hides(column, length.hypot(self.mean[column]))
    }

    /// Means of the columns of `[x | y]` times the root of the number of rows; 0 where a column of x is 0 but for rounding.
    pub(crate) fn level(&self) -> Vec<f64> {
        let (root, p) = (self.n.sqrt(), self.ncols());
        let level = |(j, mean): (usize, &f64)| if j < p && self.is_zero(j) { 0.0 } else { mean * root };
        self.mean.iter().enumerate().map(level).collect()
    }

    /// The R factor of the rows as they are or about their mean, y last. What a column of x varies by when that is its rounding
    /// is left out.
    pub(crate) fn factor(&self, centred: bool) -> Matrix {
        if self.n == 0.0 {
            return Matrix::zeros(self.mean.len(), self.mean.len());
        }
        let mut r = self.r.clone();
        (0..self.ncols()).filter(|j| self.is_constant(*j)).for_each(|j| r.column_mut(j).fill(0.0));
        if centred { r } else { r_factor(stacked(&[&r], &self.level())) }
    }
}

/// Matrices of equal width above each other, and one row last.
fn stacked(parts: &[&Matrix], row: &[f64]) -> Matrix {
    let d = row.len();
    let mut out = Matrix::zeros(parts.iter().map(|p| p.nrows()).sum::<usize>() + 1, d);
    for j in 0..d {
        let column = out.column_mut(j);
        let mut at = 0;
        for part in parts {
            column[at..at + part.nrows()].copy_from_slice(part.column(j));
            at += part.nrows();
        }
        column[at] = row[j];
    }
    out
}

impl Statistic for TsqrStatistic {
    fn key(&self) -> StatisticKey {
        TSQR
    }

    fn empty(&self) -> Box<dyn Statistic> {
        Box::new(TsqrStatistic::new(self.ncols()))
    }

    fn duplicate(&self) -> Box<dyn Statistic> {
        Box::new(self.clone())
    }

    fn absorb(&mut self, block: &Block<'_>) -> Result<()> {
        let (n, p) = (block.x.nrows(), block.x.ncols());
        if p != self.ncols() {
            return Err(Error::shape("columns of a block", self.ncols(), p));
        }
        if n == 0 {
            return Ok(());
        }
        let mut rows = Matrix::zeros(n, p + 1);
        let mut mean = vec![0.0; p + 1];
        for j in 0..=p {
            let column = rows.column_mut(j);
            if j < p {
                column.iter_mut().enumerate().for_each(|(row, v)| *v = block.x.get(row, j));
            } else {
                column.copy_from_slice(block.y);
            }
            // The second sum, of small differences, gives the mean to the last bit or nearly.
            let first = column.iter().sum::<f64>() / n as f64;
            mean[j] = first + column.iter().map(|v| v - first).sum::<f64>() / n as f64;
            column.iter_mut().for_each(|v| *v -= mean[j]);
        }
        let noise = Noise::rounding(mean.iter().copied());
        self.merge(&TsqrStatistic { n: n as f64, mean, r: r_factor(rows), noise })
    }

    fn merge(&mut self, other: &dyn Statistic) -> Result<()> {
        let other = same_type::<TsqrStatistic>(other)?;
        if other.mean.len() != self.mean.len() {
            return Err(Error::shape("columns of merged R factors", self.ncols(), other.ncols()));
        }
        if other.n == 0.0 {
            return Ok(());
        }
        if self.n == 0.0 {
            self.clone_from(other);
            return Ok(());
        }
        let n = self.n + other.n;
        let weight = (self.n * (other.n / n)).sqrt();
        let delta: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(b, a)| b - a).collect();
        let row: Vec<f64> = delta.iter().map(|d| weight * d).collect();
        self.r = r_factor(stacked(&[&self.r, &other.r], &row));
        self.mean.iter_mut().zip(&delta).for_each(|(m, d)| *m += d * (other.n / n));
        self.noise.merge(&other.noise);
        self.n = n;
        Ok(())
    }

    fn raise_noise(&mut self, noise: &Noise) {
        self.noise.merge(noise);
    }

    fn resized(&self, cx: &StatisticContext) -> Result<Box<dyn Statistic>> {
        Ok(Box::new(TsqrStatistic::new(cx.ncols)))
    }

    fn bytes(&self) -> u64 {
        let d = self.mean.len() as u64;
        d.saturating_mul(d).saturating_add(2 * d).saturating_mul(8)
    }

    fn is_finite(&self) -> Option<bool> {
        Some(self.r.data().iter().chain(&self.mean).all(|v| v.is_finite()))
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::General)
    }

    fn affine(&self, map: &Affine) -> Result<Box<dyn Statistic>> {
        let (p, q) = (self.ncols(), map.n_out());
        if map.n_in() != p {
            return Err(Error::shape("columns under an affine map", p, map.n_in()));
        }
        let mut out = TsqrStatistic::new(q);
        if self.n == 0.0 {
            return Ok(Box::new(out));
        }
        out.n = self.n;
        out.noise = self.noise.affine(map);
        out.mean[q] = self.y_mean();
        let moved: Vec<f64> = self.x_mean().iter().zip(map.shift()).map(|(m, b)| m - b).collect();
        if let Some(scale) = map.scale() {
            out.r = self.r.clone();
            for (j, s) in scale.iter().enumerate() {
                out.mean[j] = s * moved[j];
                out.r.column_mut(j).iter_mut().for_each(|v| *v *= s);
            }
        } else {
            let mut product = Matrix::zeros(p + 1, q + 1);
            for j in 0..q {
                for (i, m) in moved.iter().enumerate() {
                    out.mean[j] += map.a(i, j) * m;
                    add_scaled(product.column_mut(j), map.a(i, j), self.r.column(i));
                }
            }
            product.column_mut(q).copy_from_slice(self.r.column(p));
            out.r = r_factor(product);
        }
        Ok(Box::new(out))
    }
}

#[cfg(test)]
mod tests {
    use ensemble_core::{MatMut, MatRef, Order};
    use proptest::prelude::*;

    use super::*;
    use crate::dense::dot;

    fn absorbed(x: &[f64], y: &[f64], p: usize) -> TsqrStatistic {
        let mut s = TsqrStatistic::new(p);
        s.absorb(&Block { x: MatRef::new(x, y.len(), p, Order::C).unwrap(), y, first_row: 0 }).unwrap();
        s
    }

    fn close(a: &TsqrStatistic, b: &TsqrStatistic) {
        assert_eq!(a.n, b.n);
        a.mean
            .iter()
            .zip(&b.mean)
            .for_each(|(u, v)| assert!((u - v).abs() < 1e-11 * (1.0 + v.abs()), "{u} {v}"));
        let size = b.r.data().iter().fold(1.0_f64, |m, v| m.max(v.abs()));
        for i in 0..b.mean.len() {
            for j in 0..b.mean.len() {
                let (u, v) = (dot(a.r.column(i), a.r.column(j)), dot(b.r.column(i), b.r.column(j)));
                assert!((u - v).abs() < 1e-12 * size * size, "R'R at ({i}, {j}): {u} {v}");
            }
        }
    }

    proptest! {
        #[test]
        fn merging_is_associative_and_the_empty_state_is_its_identity(
            values in prop::collection::vec(-100.0..100.0f64, 4 * 30),
            (a, b) in (0usize..30, 0usize..30),
        ) {
            let (a, b) = (a.min(b), a.max(b));
            let (y, x) = values.split_at(30);
            let part = |r: std::ops::Range<usize>| absorbed(&x[3 * r.start..3 * r.end], &y[r], 3);
            let join = |l: &TsqrStatistic, r: &TsqrStatistic| { let mut s = l.clone(); s.merge(r).unwrap(); s };
            let (l, m, r) = (part(0..a), part(a..b), part(b..30));
            let whole = part(0..30);
            close(&join(&join(&l, &m), &r), &whole);
            close(&join(&l, &join(&m, &r)), &whole);
            prop_assert_eq!(&join(&whole, &TsqrStatistic::new(3)), &whole);
            prop_assert_eq!(&join(&TsqrStatistic::new(3), &whole), &whole);
        }
    }

    #[test]
    fn affine_maps_are_those_of_the_rows() {
        let x: Vec<f64> = (0..300).map(|i| ((i * 37) % 101) as f64).collect();
        let y: Vec<f64> = (0..100).map(|i| ((i * 53) % 89) as f64).collect();
        let s = absorbed(&x, &y, 3);
        let general = Affine::general(vec![1.0, 2.0, 3.0], vec![1.0, 0.5, -1.0, 2.0, 0.0, 1.0], 2).unwrap();
        for map in [Affine::diagonal(vec![1.0, 2.0, 3.0], vec![0.5, 0.1, 2.0]), general] {
            let mut z = vec![0.0; 100 * map.n_out()];
            let out = MatMut::new(&mut z, 100, map.n_out(), Order::C).unwrap();
            map.apply_into(MatRef::new(&x, 100, 3, Order::C).unwrap(), out).unwrap();
            let carried = s.affine(&map).unwrap();
            close(same_type::<TsqrStatistic>(carried.as_ref()).unwrap(), &absorbed(&z, &y, map.n_out()));
        }
        assert!(s.affine(&Affine::diagonal(vec![0.0], vec![1.0])).is_err());
    }

    #[test]
    fn shapes_are_checked_and_nan_shows() {
        let mut s = TsqrStatistic::new(2);
        assert!(s.merge(&TsqrStatistic::new(3)).is_err());
        let narrow = Block { x: MatRef::column_vector(&[1.0]), y: &[1.0], first_row: 0 };
        assert!(s.absorb(&narrow).is_err());
        assert_eq!(absorbed(&[1.0, f64::NAN, 2.0], &[1.0, 2.0, 3.0], 1).is_finite(), Some(false));
        assert_eq!(absorbed(&[1.0, 2.0, 2.0], &[1.0, 2.0, 3.0], 1).is_finite(), Some(true));
        assert_eq!(s.resized(&StatisticContext::new(7)).unwrap().bytes(), 8 * (2 * 8 + 64));
        let wide = TsqrStatistic::new(1_000_000);
        assert_eq!((wide.bytes(), wide.r(3, 5)), (8 * (1_000_001 * 1_000_001 + 2 * 1_000_001), 0.0));
    }
}
