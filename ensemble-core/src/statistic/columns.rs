//! Column by column: means and variances, least and greatest values.

use crate::{
    data::mat::MatRef,
    error::{Error, Result},
    statistic::{
        affine::{Affine, AffineShape},
        noise::{LEAST_SQUARES, Noise, vanished},
        state::{Block, Statistic, StatisticKey, same_type},
    },
};

/// Key of [`ColumnMoments`].
pub const COLUMN_MOMENTS: StatisticKey = StatisticKey::new("column_moments");
/// Key of [`Extrema`].
pub const EXTREMA: StatisticKey = StatisticKey::new("extrema");

/// Row count, means and centred sums of squares of every column of x, and of y last. Follows from
/// [`Moments`](crate::Moments) when those are asked for in the same pass. O(p) values.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnMoments {
    n: f64,
    mean: Vec<f64>,
    m2: Vec<f64>,
    /// As in [`Moments`](crate::Moments).
    noise: Noise,
    vanished: Noise,
}

impl ColumnMoments {
    /// The state of no rows.
    pub fn new(ncols: usize) -> Self {
        let d = ncols + 1;
        Self { n: 0.0, mean: vec![0.0; d], m2: vec![0.0; d], noise: Noise::none(d), vanished: Noise::none(d) }
    }

    pub(crate) fn from_parts(n: f64, mean: Vec<f64>, m2: Vec<f64>, noise: Noise, vanished: Noise) -> Self {
        Self { n, mean, m2, noise, vanished }
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

    /// Variance of column `column` of x, dividing by the number of rows.
    pub fn variance(&self, column: usize) -> f64 {
        if self.n == 0.0 { 0.0 } else { self.m2[column] / self.n }
    }

    /// One rounding of the values of column `column` of x as they were absorbed, in today's units.
    pub fn rounding(&self, column: usize) -> f64 {
        self.noise.get(column)
    }

    /// As [`Moments::is_constant`](crate::Moments::is_constant).
    pub fn is_constant(&self, column: usize) -> bool {
        self.noise.is_constant(column, self.m2[column], self.n)
            && self.noise.hides(column, self.vanished.get(column))
    }

    /// Whether column `column` of x varies and its variance does not show it, since squares of what it varies by underflow.
    pub fn vanishes(&self, column: usize) -> bool {
        let lost = self.vanished.get(column);
        !self.noise.hides(column, lost) && self.m2[column].sqrt() <= 1e8 * lost * self.n.sqrt()
    }
}

/// Call `each(row values)` for the rows of a block, through `buffer` in Fortran order.
fn for_rows(x: MatRef<'_>, buffer: &mut Vec<f64>, mut each: impl FnMut(usize, &[f64])) {
    for row in 0..x.nrows() {
        match x.row(row) {
            Some(values) => each(row, values),
            None => {
                buffer.resize(x.ncols(), 0.0);
                x.copy_row_into(row, buffer);
                each(row, buffer);
            }
        }
    }
}

impl Statistic for ColumnMoments {
    fn key(&self) -> StatisticKey {
        COLUMN_MOMENTS
    }

    fn empty(&self) -> Box<dyn Statistic> {
        Box::new(ColumnMoments::new(self.ncols()))
    }

    fn duplicate(&self) -> Box<dyn Statistic> {
        Box::new(self.clone())
    }

    fn absorb(&mut self, block: &Block<'_>) -> Result<()> {
        let (p, n) = (block.x.ncols(), block.x.nrows());
        if p != self.ncols() {
            return Err(Error::shape("columns of a block", self.ncols(), p));
        }
        if n == 0 {
            return Ok(());
        }
        let mut buffer = Vec::new();
        let mut mean = vec![0.0; p + 1];
        for_rows(block.x, &mut buffer, |row, values| {
            mean.iter_mut().zip(values).for_each(|(m, v)| *m += v);
            mean[p] += block.y[row];
        });
        mean.iter_mut().for_each(|m| *m /= n as f64);
        let mut m2 = vec![0.0; p + 1];
        for_rows(block.x, &mut buffer, |row, values| {
            m2.iter_mut().zip(values).zip(&mean).for_each(|((s, v), m)| *s += (v - m) * (v - m));
            m2[p] += (block.y[row] - mean[p]) * (block.y[row] - mean[p]);
        });
        let noise = Noise::rounding(mean.iter().copied());
        let mut lost = Noise::none(p + 1);
        for j in 0..p {
            lost.set(j, vanished(m2[j], mean[j], (0..n).map(|row| block.x.get(row, j))));
        }
        lost.set(p, vanished(m2[p], mean[p], block.y.iter().copied()));
        self.merge(&ColumnMoments { n: n as f64, mean, m2, noise, vanished: lost })
    }

    fn merge(&mut self, other: &dyn Statistic) -> Result<()> {
        let other = same_type::<ColumnMoments>(other)?;
        if other.mean.len() != self.mean.len() {
            return Err(Error::shape("columns of merged moments", self.ncols(), other.ncols()));
        }
        if other.n == 0.0 {
            return Ok(());
        }
        if self.n == 0.0 {
            self.clone_from(other);
            return Ok(());
        }
        let n = self.n + other.n;
        for i in 0..self.mean.len() {
            let delta = other.mean[i] - self.mean[i];
            let between = delta * delta * (self.n * (other.n / n));
            self.m2[i] += other.m2[i] + between;
            self.mean[i] += delta * (other.n / n);
            if delta != 0.0 && between < LEAST_SQUARES {
                self.vanished.raise(i, delta.abs());
            }
        }
        self.noise.merge(&other.noise);
        self.vanished.merge(&other.vanished);
        self.n = n;
        Ok(())
    }

    fn raise_noise(&mut self, noise: &Noise) {
        self.noise.merge(noise);
    }

    fn bytes(&self) -> u64 {
        (self.mean.len() * 16 + self.noise.bytes() + self.vanished.bytes()) as u64
    }

    fn is_finite(&self) -> Option<bool> {
        Some(self.m2.iter().chain(&self.mean).all(|v| v.is_finite()))
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::Diagonal)
    }

    fn affine(&self, map: &Affine) -> Result<Box<dyn Statistic>> {
        let Some(scale) = map.scale() else {
            return Err(Error::unsupported("variances alone do not follow through a general affine map"));
        };
        if scale.len() != self.ncols() {
            return Err(Error::shape("columns under an affine map", self.ncols(), scale.len()));
        }
        let mut out = self.clone();
        for (j, s) in scale.iter().enumerate() {
            out.mean[j] = s * (self.mean[j] - map.shift()[j]);
            out.m2[j] = s * s * self.m2[j];
        }
        out.noise = self.noise.affine(map);
        out.vanished = self.vanished.affine(map);
        Ok(Box::new(out))
    }
}

/// Least and greatest value of every column of x. O(p) values.
#[derive(Clone, Debug, PartialEq)]
pub struct Extrema {
    min: Vec<f64>,
    max: Vec<f64>,
    finite: bool,
    /// One rounding of the values of each column as they were absorbed.
    noise: Noise,
}

impl Extrema {
    /// The state of no rows: minima are +inf and maxima -inf.
    pub fn new(ncols: usize) -> Self {
        Self {
            min: vec![f64::INFINITY; ncols],
            max: vec![f64::NEG_INFINITY; ncols],
            finite: true,
            noise: Noise::none(ncols),
        }
    }

    /// Least values.
    pub fn min(&self) -> &[f64] {
        &self.min
    }

    /// Greatest values.
    pub fn max(&self) -> &[f64] {
        &self.max
    }

    /// Whether the values of column `column` differ by rounding alone, or not at all. Columns that are constant by it are
    /// constant by [`ColumnMoments::is_constant`] too.
    pub fn is_constant(&self, column: usize) -> bool {
        self.noise.is_constant_range(column, self.max[column] - self.min[column])
    }
}

impl Statistic for Extrema {
    fn key(&self) -> StatisticKey {
        EXTREMA
    }

    fn empty(&self) -> Box<dyn Statistic> {
        Box::new(Extrema::new(self.min.len()))
    }

    fn duplicate(&self) -> Box<dyn Statistic> {
        Box::new(self.clone())
    }

    fn absorb(&mut self, block: &Block<'_>) -> Result<()> {
        if block.x.ncols() != self.min.len() {
            return Err(Error::shape("columns of a block", self.min.len(), block.x.ncols()));
        }
        let Self { min, max, finite, noise } = self;
        // A NaN is neither least nor greatest: it shows in a sum of zeros times values.
        let mut probe = vec![0.0; min.len()];
        for_rows(block.x, &mut Vec::new(), |_, values| {
            for (((lo, hi), p), v) in min.iter_mut().zip(max.iter_mut()).zip(probe.iter_mut()).zip(values) {
                *lo = if *v < *lo { *v } else { *lo };
                *hi = if *v > *hi { *v } else { *hi };
                *p += v * 0.0;
            }
        });
        *finite &= probe.iter().chain(block.y).all(|v| v.is_finite());
        if block.x.nrows() > 0 {
            let sizes = min.iter().zip(max.iter()).map(|(lo, hi)| lo.abs().max(hi.abs()));
            noise.merge(&Noise::rounding(sizes));
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Statistic) -> Result<()> {
        let other = same_type::<Extrema>(other)?;
        if other.min.len() != self.min.len() {
            return Err(Error::shape("columns of merged extrema", self.min.len(), other.min.len()));
        }
        self.min.iter_mut().zip(&other.min).for_each(|(a, b)| *a = a.min(*b));
        self.max.iter_mut().zip(&other.max).for_each(|(a, b)| *a = a.max(*b));
        self.finite &= other.finite;
        self.noise.merge(&other.noise);
        Ok(())
    }

    fn raise_noise(&mut self, noise: &Noise) {
        self.noise.merge(noise);
    }

    fn bytes(&self) -> u64 {
        (self.min.len() * 16 + self.noise.bytes()) as u64
    }

    fn is_finite(&self) -> Option<bool> {
        Some(self.finite)
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::Diagonal)
    }

    fn affine(&self, map: &Affine) -> Result<Box<dyn Statistic>> {
        let Some(scale) = map.scale() else {
            return Err(Error::unsupported("extrema do not follow through a general affine map"));
        };
        if scale.len() != self.min.len() {
            return Err(Error::shape("columns under an affine map", self.min.len(), scale.len()));
        }
        let mut out = self.clone();
        for (j, (s, b)) in scale.iter().zip(map.shift()).enumerate() {
            let ends = (s * (self.min[j] - b), s * (self.max[j] - b));
            (out.min[j], out.max[j]) = (ends.0.min(ends.1), ends.0.max(ends.1));
        }
        out.noise = self.noise.affine(map);
        Ok(Box::new(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::mat::Order, statistic::moments::Moments};

    #[test]
    fn column_moments_follow_from_moments() {
        let x: Vec<f64> = (0..300).map(|i| ((i * 37) % 101) as f64).collect();
        let y: Vec<f64> = (0..100).map(|i| ((i * 53) % 89) as f64).collect();
        for order in [Order::C, Order::F] {
            let block = Block { x: MatRef::new(&x, 100, 3, order).unwrap(), y: &y, first_row: 0 };
            let (mut own, mut whole) = (ColumnMoments::new(3), Moments::new(3));
            own.absorb(&block).unwrap();
            whole.absorb(&block).unwrap();
            let derived = whole.derive(&COLUMN_MOMENTS).unwrap();
            let derived = same_type::<ColumnMoments>(derived.as_ref()).unwrap();
            for j in 0..3 {
                assert!((own.variance(j) - derived.variance(j)).abs() < 1e-9);
                assert!((own.x_mean()[j] - derived.x_mean()[j]).abs() < 1e-12 * 101.0);
            }
        }
    }

    #[test]
    fn extrema_see_nan_and_follow_negative_scales() {
        let x = [1.0, 5.0, -2.0, f64::NAN];
        let mut e = Extrema::new(1);
        e.absorb(&Block { x: MatRef::column_vector(&x), y: &[0.0; 4], first_row: 0 }).unwrap();
        assert_eq!((e.min()[0], e.max()[0], e.is_finite()), (-2.0, 5.0, Some(false)));
        let flipped = e.affine(&Affine::diagonal(vec![1.0], vec![-2.0])).unwrap();
        let flipped = same_type::<Extrema>(flipped.as_ref()).unwrap();
        assert_eq!((flipped.min()[0], flipped.max()[0]), (-8.0, 6.0));
    }
}
