//! How finely the values of columns are known, and the rule by which a column is constant but for that.

use crate::statistic::affine::Affine;

/// Standard deviations of up to this many roundings are no variation. Two neighbouring numbers at random are half a rounding
/// apart from their mean, sums of a hundred terms that should be equal one or two.
const ROUNDINGS: f64 = 4.0;

/// A size for every column that goes along with the sums of its values: of two states that merge it is the greater one, under
/// an affine map the sum of sizes times factors.
///
/// Statistics carry one rounding of the values they absorbed, the epsilon of float64 times the size of a column's mean. A map
/// may take the mean away and scale up what is left, as a standard scaler does of a column of 0.3 and 0.1 + 0.2; what was
/// rounding before the map is still known to be rounding behind it.
///
/// ```
/// use ensemble_core::{Affine, Noise};
/// let noise = Noise::rounding([0.3, 1e6]);
/// let scaled = noise.affine(&Affine::diagonal(vec![0.3, 1e6], vec![1e15, 1.0]));
/// assert!(scaled.is_constant(0, 2.0, 100.0) && !scaled.is_constant(1, 2.0, 100.0));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Noise(Vec<f64>);

impl Noise {
    /// None, for `ncols` columns.
    pub fn none(ncols: usize) -> Self {
        Self(vec![0.0; ncols])
    }

    /// One rounding of values of these sizes.
    pub fn rounding(sizes: impl IntoIterator<Item = f64>) -> Self {
        Self(sizes.into_iter().map(|size| f64::EPSILON * size.abs()).collect())
    }

    /// The size for column `column`.
    pub fn get(&self, column: usize) -> f64 {
        self.0[column]
    }

    /// Let `column` have at least `size`.
    pub fn raise(&mut self, column: usize, size: f64) {
        self.0[column] = self.0[column].max(size);
    }

    /// Let every column have at least what it has in `other`, which may tell of fewer columns.
    pub fn merge(&mut self, other: &Noise) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own = own.max(*other));
    }

    /// Behind `map`. Columns past those that go into the map, a target, stay.
    #[must_use]
    pub fn affine(&self, map: &Affine) -> Self {
        let (x, rest) = self.0.split_at(map.n_in());
        let mut out: Vec<f64> = match map.scale() {
            Some(scale) => x.iter().zip(scale).map(|(size, s)| size * s.abs()).collect(),
            None => (0..map.n_out())
                .map(|j| x.iter().enumerate().map(|(i, size)| size * map.a(i, j).abs()).sum())
                .collect(),
        };
        out.extend_from_slice(rest);
        Self(out)
    }

    /// Whether `sum_of_squares` of `nrows` values of `column` about their mean is rounding: the column carries no information.
    pub fn is_constant(&self, column: usize, sum_of_squares: f64, nrows: f64) -> bool {
        sum_of_squares.max(0.0).sqrt() <= ROUNDINGS * self.0[column] * nrows.sqrt()
    }

    /// Whether a distance between values of `column` is rounding.
    pub fn hides(&self, column: usize, distance: f64) -> bool {
        distance <= ROUNDINGS * self.0[column]
    }

    /// Whether values of `column` that lie this far apart at most differ by rounding: then they are constant by
    /// [`Noise::is_constant`] too.
    pub fn is_constant_range(&self, column: usize, range: f64) -> bool {
        // No values within a range lie further than half of it from their mean, in the mean of squares.
        self.hides(column, 0.5 * range)
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * 8
    }

    pub(crate) fn set(&mut self, column: usize, size: f64) {
        self.0[column] = size;
    }

    /// The sum of sizes times the sizes of `factors`, which may be of fewer columns.
    pub(crate) fn weighted(&self, factors: &[f64]) -> f64 {
        self.0.iter().zip(factors).map(|(size, factor)| size * factor.abs()).sum()
    }
}

/// Sums of squares below this have lost digits to underflow.
pub(crate) const LEAST_SQUARES: f64 = f64::MIN_POSITIVE / f64::EPSILON;

/// The greatest distance from `centre` among `values` whose squares add to `sum_of_squares`, when that sum has lost digits to
/// underflow; 0 when it has not. Values are read only where the sum and the centre are tiny.
pub(crate) fn vanished(sum_of_squares: f64, centre: f64, values: impl Iterator<Item = f64>) -> f64 {
    // From here up, what differs from the centre at all differs by so much that its square is a normal number.
    const LEAST_CENTRE: f64 = 1e-130;
    if sum_of_squares >= LEAST_SQUARES || sum_of_squares.is_nan() || centre.abs() >= LEAST_CENTRE {
        return 0.0;
    }
    values.fold(0.0, |most, v| most.max((v - centre).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_goes_along_with_maps_and_targets_stay() {
        let noise = Noise::rounding([1.0, -2.0, 8.0]);
        let flipped = noise.affine(&Affine::diagonal(vec![1.0, 2.0], vec![-3.0, 0.5]));
        assert_eq!(flipped, Noise::rounding([3.0, 1.0, 8.0]));
        let general = Affine::general(vec![0.0; 2], vec![1.0, -1.0, 0.5, 2.0, 0.0, -1.0], 3).unwrap();
        assert_eq!(noise.affine(&general), Noise::rounding([5.0, 1.0, 2.5, 8.0]));
        let mut merged = Noise::none(3);
        merged.merge(&noise);
        merged.merge(&Noise::rounding([0.5, 5.0]));
        assert_eq!(merged, Noise::rounding([1.0, 5.0, 8.0]));
    }

    #[test]
    fn squares_that_vanish_are_seen_and_zeros_are_not() {
        let tiny = [1e-170, 2e-170];
        assert_eq!(vanished(0.0, 0.0, tiny.into_iter()), 2e-170);
        assert_eq!(vanished(0.0, 0.0, [0.0, -0.0].into_iter()), 0.0);
        assert_eq!(vanished(1.0, 0.0, tiny.into_iter()), 0.0);
        assert_eq!(vanished(0.0, 1.0, [1.0].into_iter()), 0.0);
    }
}
