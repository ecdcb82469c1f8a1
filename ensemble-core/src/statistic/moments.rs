//! Counts, means and centred second moments of x and y: all that the linear family needs.

use crate::{
    error::{Error, Result},
    statistic::linear::LinearForm,
    statistic::{
        affine::{Affine, AffineShape},
        columns::{COLUMN_MOMENTS, ColumnMoments},
        gram::{add_shifted, padded},
        noise::{LEAST_SQUARES, Noise, vanished},
        state::{Block, Statistic, StatisticContext, StatisticKey, same_type},
    },
};

/// Key of [`Moments`].
pub const MOMENTS: StatisticKey = StatisticKey::new("moments");

/// Row count, means, and the centred cross-products of the columns of x and of y.
///
/// Costs one read of the rows and (p+1)^2 values, p being the number of columns. States merge by Chan, Golub and LeVeque,
/// "Algorithms for computing the sample variance", Am. Stat. 37 (1983). Within a block, rows are shifted by the mean of
/// its first rows before products are summed, so columns with a mean far above their spread lose no digits.
///
/// Two sizes a column go along through merges and maps: one rounding of its values, by which [`Moments::is_constant`] tells
/// variation from rounding whatever scaler the column went through, and what squares have lost to underflow, which
/// [`Moments::vanishes`] tells of.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    n: f64,
    /// Columns of x, then y.
    mean: Vec<f64>,
    /// d x d, C order, d = ncols + 1: sums of (v_i - mean_i)(v_j - mean_j), upper triangle. Empty before the first row, so that a
    /// plan may ask for the state of any table.
    m2: Vec<f64>,
    /// One rounding of the values of each column.
    noise: Noise,
    /// The greatest distances from a mean whose squares `m2` lacks, since they underflow.
    vanished: Noise,
}

impl Moments {
    /// The state of no rows: O(p) values, until rows come.
    pub fn new(ncols: usize) -> Self {
        let d = ncols + 1;
        Self { n: 0.0, mean: vec![0.0; d], m2: Vec::new(), noise: Noise::none(d), vanished: Noise::none(d) }
    }

    /// The state of `n` rows of zeros.
    fn zeros(n: f64, ncols: usize) -> Self {
        let d = ncols + 1;
        Self { n, mean: vec![0.0; d], m2: vec![0.0; d * d], ..Self::new(ncols) }
    }

    fn d(&self) -> usize {
        self.mean.len()
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

    fn at(&self, i: usize, j: usize) -> f64 {
        self.m2.get(i.min(j) * self.d() + i.max(j)).copied().unwrap_or(0.0)
    }

    /// Sum over rows of (x_i - mean_i)(x_j - mean_j).
    pub fn xx(&self, i: usize, j: usize) -> f64 {
        self.at(i, j)
    }

    /// Sum over rows of (x_i - mean_i)(y - mean).
    pub fn xy(&self, i: usize) -> f64 {
        self.at(i, self.ncols())
    }

    /// Sum over rows of (y - mean)^2.
    pub fn yy(&self) -> f64 {
        self.at(self.ncols(), self.ncols())
    }

    /// X'X without centring at (i, j).
    pub fn raw_xx(&self, i: usize, j: usize) -> f64 {
        self.at(i, j) + self.n * self.mean[i] * self.mean[j]
    }

    /// X'y without centring at i.
    pub fn raw_xy(&self, i: usize) -> f64 {
        self.raw_xx(i, self.ncols())
    }

    /// y'y without centring.
    pub fn raw_yy(&self) -> f64 {
        self.raw_xx(self.ncols(), self.ncols())
    }

    /// Whether what column `column` of x varies by, or y where that is the number of columns, is the rounding of its values as
    /// they were absorbed: it carries no information. The rule of all linear learners.
    pub fn is_constant(&self, column: usize) -> bool {
        self.noise.is_constant(column, self.at(column, column), self.n)
            && self.noise.hides(column, self.vanished.get(column))
    }

    /// Whether the values of column `column` of x, or of y where that is the number of columns, are 0 but for their rounding as
    /// they were absorbed, as those of a constant are behind a map that took its mean away: to a fit without an intercept it
    /// carries no information.
    pub fn is_zero(&self, column: usize) -> bool {
        let root = self.n.sqrt();
        let length = self.at(column, column).max(0.0).sqrt().hypot(root * self.mean[column]);
        self.n == 0.0
            || self.noise.hides(column, length / root) && self.noise.hides(column, self.vanished.get(column))
    }

    /// Whether column `column` of x, or y where that is the number of columns, varies (or, about zero and not about the mean, is
    /// not zero) and its sum of squares does not show it, or only a few digits of it: values below about 1e-146, whose squares
    /// are below the least numbers there are.
    pub fn vanishes(&self, column: usize, centred: bool) -> bool {
        /// Lost deviations this far below the others are in the last digits of the sum.
        const SHARE: f64 = 1e8;
        let (own, lost) = (self.at(column, column), self.vanished.get(column));
        let level = if centred { 0.0 } else { self.n.sqrt() * self.mean[column] };
        let root = own.max(0.0).sqrt().hypot(level);
        let hidden = !self.noise.hides(column, lost) && root <= SHARE * lost * self.n.sqrt();
        hidden || (level != 0.0 && root * root < LEAST_SQUARES)
    }

    /// Sum of squared residuals of a linear model on these rows, w'Mw with w = (-coefficients, 1), plus the mean's part; or
    /// `None` when the terms of the sum cancel so far that fewer than about seven digits would be left: a near-perfect fit, or
    /// large coefficients of nearly dependent columns.
    pub fn residual_sum_of_squares(&self, model: &LinearForm<'_>) -> Option<f64> {
        let p = self.ncols();
        if self.m2.is_empty() {
            return Some(0.0);
        }
        let w = |j: usize| if j < p { -model.coefficients[j] } else { 1.0 };
        let mut total = 0.0;
        for i in 0..=p {
            if w(i) == 0.0 {
                continue;
            }
            let row = &self.m2[i * (p + 1)..(i + 1) * (p + 1)];
            let cross: f64 = (i + 1..=p).map(|j| row[j] * w(j)).sum();
            total += w(i) * (w(i) * row[i] + 2.0 * cross);
        }
        let bias = self.y_mean() - model.intercept - dot(model.coefficients, self.x_mean());
        // The mean's part is a sum that can cancel as well.
        let terms = model.coefficients.iter().zip(self.x_mean()).map(|(c, m)| (c * m).abs());
        let level = self.y_mean().abs() + model.intercept.abs() + terms.sum::<f64>();
        let magnitude =
            (self.spread(model) + self.yy().sqrt()).powi(2) + self.n * level * level * f64::EPSILON;
        let lost = self.vanished.weighted(model.coefficients) + self.vanished.get(p);
        let told = (total > CANCELLED * magnitude || magnitude == 0.0) && self.tells(total, lost);
        told.then(|| total.max(0.0) + self.n * bias * bias)
    }

    /// Whether a sum of squares is not short of any digits when deviations up to `lost` are missing in it.
    fn tells(&self, sum_of_squares: f64, lost: f64) -> bool {
        lost == 0.0 || sum_of_squares.max(0.0).sqrt() > lost * self.n.sqrt() / CANCELLED
    }

    /// The greatest root of a sum of squares that these coefficients could make: no column cancelling another.
    fn spread(&self, model: &LinearForm<'_>) -> f64 {
        model.coefficients.iter().enumerate().map(|(j, c)| c.abs() * self.at(j, j).sqrt()).sum()
    }

    /// The moments of these models' predictions and y, as [`Moments::project`] gives them; `None` when a model's terms cancel
    /// so far that its predictions must be summed up themselves.
    pub fn project_safely(&self, models: &[LinearForm<'_>]) -> Option<Moments> {
        let out = self.project(models);
        let kept = models.iter().enumerate().all(|(a, model)| {
            let magnitude = self.spread(model).powi(2);
            (magnitude == 0.0 || out.at(a, a) > CANCELLED * magnitude)
                && self.tells(out.at(a, a), out.vanished.get(a))
        });
        kept.then_some(out)
    }

    /// The moments of these models' predictions and y: W'MW. What a second layer's pass over prediction columns would
    /// give, without the columns.
    pub fn project(&self, models: &[LinearForm<'_>]) -> Moments {
        let (p, m) = (self.ncols(), models.len());
        let mut out = Moments::zeros(self.n, m);
        // t = M W, rows of the symmetric M against every model.
        let mut t = vec![0.0; m * (p + 1)];
        for (a, model) in models.iter().enumerate() {
            let row_of_t = &mut t[a * (p + 1)..(a + 1) * (p + 1)];
            for (i, c) in model.coefficients.iter().enumerate() {
                if *c != 0.0 {
                    for (j, slot) in row_of_t.iter_mut().enumerate() {
                        *slot += c * self.at(i, j);
                    }
                }
            }
            out.mean[a] = model.intercept + dot(model.coefficients, self.x_mean());
            // A prediction is rounded where it lies, besides what it inherits.
            let own = f64::EPSILON * out.mean[a].abs();
            out.noise.set(a, own.max(self.noise.weighted(model.coefficients)));
            out.vanished.set(a, self.vanished.weighted(model.coefficients));
        }
        out.mean[m] = self.y_mean();
        out.noise.set(m, self.noise.get(p));
        out.vanished.set(m, self.vanished.get(p));
        for a in 0..m {
            let row_of_t = &t[a * (p + 1)..(a + 1) * (p + 1)];
            for (b, other) in models.iter().enumerate().skip(a) {
                out.m2[a * (m + 1) + b] = dot(other.coefficients, &row_of_t[..p]);
            }
            out.m2[a * (m + 1) + m] = row_of_t[p];
        }
        out.m2[m * (m + 1) + m] = self.yy();
        out
    }
}

/// A quadratic form this small against its terms has lost about half its digits.
const CANCELLED: f64 = 1e-8;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Statistic for Moments {
    fn key(&self) -> StatisticKey {
        MOMENTS
    }

    fn empty(&self) -> Box<dyn Statistic> {
        Box::new(Moments::new(self.ncols()))
    }

    fn duplicate(&self) -> Box<dyn Statistic> {
        Box::new(self.clone())
    }

    fn absorb(&mut self, block: &Block<'_>) -> Result<()> {
        /// Rows whose mean is the shift: at most one digit in twelve is lost to it, whatever the block's drift.
        const SHIFT_ROWS: usize = 64;
        let (p, d, n) = (block.x.ncols(), self.d(), block.x.nrows());
        if p + 1 != d {
            return Err(Error::shape("columns of a block", d - 1, p));
        }
        if n == 0 {
            return Ok(());
        }
        let head = SHIFT_ROWS.min(n);
        let width = padded(d);
        let mut shift = vec![0.0; width];
        for row in 0..head {
            match block.x.row(row) {
                Some(values) => shift.iter_mut().zip(values).for_each(|(s, v)| *s += v),
                None => (0..p).for_each(|j| shift[j] += block.x.get(row, j)),
            }
            shift[p] += block.y[row];
        }
        shift.iter_mut().for_each(|s| *s /= head as f64);
        let mut sums = vec![0.0; width];
        let mut gram = vec![0.0; width * width];
        add_shifted(block.x, block.y, &shift, &mut sums, &mut gram);
        // From sums about the shift to sums about the block's mean.
        let mut fresh = Moments::zeros(n as f64, p);
        for i in 0..d {
            fresh.mean[i] = shift[i] + sums[i] / fresh.n;
            fresh.noise.set(i, f64::EPSILON * fresh.mean[i].abs());
            let own = gram[i * width + i];
            fresh.vanished.set(
                i,
                if i < p {
                    vanished(own, fresh.mean[i], (0..n).map(|row| block.x.get(row, i)))
                } else {
                    vanished(own, fresh.mean[i], block.y.iter().copied())
                },
            );
            for j in i..d {
                fresh.m2[i * d + j] = gram[i * width + j] - sums[i] * (sums[j] / fresh.n);
            }
        }
        if self.n == 0.0 {
            *self = fresh;
            Ok(())
        } else {
            self.merge(&fresh)
        }
    }

    fn merge(&mut self, other: &dyn Statistic) -> Result<()> {
        let other = same_type::<Moments>(other)?;
        if other.d() != self.d() {
            return Err(Error::shape("columns of merged moments", self.ncols(), other.ncols()));
        }
        if other.n == 0.0 {
            return Ok(());
        }
        if self.n == 0.0 {
            self.clone_from(other);
            return Ok(());
        }
        let d = self.d();
        let n = self.n + other.n;
        let weight = self.n * (other.n / n);
        let delta: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(b, a)| b - a).collect();
        for i in 0..d {
            let scaled = delta[i] * weight;
            let (mine, theirs) = (&mut self.m2[i * d + i..(i + 1) * d], &other.m2[i * d + i..(i + 1) * d]);
            for ((m, t), dj) in mine.iter_mut().zip(theirs).zip(&delta[i..]) {
                *m += t + scaled * dj;
            }
            self.mean[i] += delta[i] * (other.n / n);
            if scaled != 0.0 && scaled.abs() * delta[i].abs() < LEAST_SQUARES {
                self.vanished.raise(i, delta[i].abs());
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

    fn resized(&self, cx: &StatisticContext) -> Result<Box<dyn Statistic>> {
        Ok(Box::new(Moments::new(cx.ncols)))
    }

    fn bytes(&self) -> u64 {
        let d = self.d() as u64;
        d.saturating_mul(d).saturating_add(3 * d).saturating_mul(8)
    }

    fn is_finite(&self) -> Option<bool> {
        // A NaN or infinite value makes its own variance NaN.
        Some((0..self.d()).all(|i| self.at(i, i).is_finite() && self.mean[i].is_finite()))
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::General)
    }

    fn affine(&self, map: &Affine) -> Result<Box<dyn Statistic>> {
        let (p, q) = (self.ncols(), map.n_out());
        if map.n_in() != p {
            return Err(Error::shape("columns under an affine map", p, map.n_in()));
        }
        let mut out = Moments::zeros(self.n, q);
        out.mean[q] = self.y_mean();
        out.m2[q * (q + 1) + q] = self.yy();
        if let Some(scale) = map.scale() {
            for i in 0..p {
                out.mean[i] = scale[i] * (self.mean[i] - map.shift()[i]);
                for j in i..p {
                    out.m2[i * (q + 1) + j] = scale[i] * self.at(i, j) * scale[j];
                }
                out.m2[i * (q + 1) + q] = scale[i] * self.xy(i);
            }
        } else {
            let columns: Vec<Vec<f64>> = (0..q).map(|a| (0..p).map(|i| map.a(i, a)).collect()).collect();
            let forms: Vec<LinearForm<'_>> = columns
                .iter()
                .map(|c| LinearForm { coefficients: c, intercept: -dot(c, map.shift()) })
                .collect();
            out = self.project(&forms);
        }
        out.noise = self.noise.affine(map);
        out.vanished = self.vanished.affine(map);
        Ok(Box::new(out))
    }

    fn covers(&self, key: &StatisticKey) -> bool {
        *key == MOMENTS || *key == COLUMN_MOMENTS
    }

    fn derive(&self, key: &StatisticKey) -> Option<Box<dyn Statistic>> {
        if *key != COLUMN_MOMENTS {
            return (*key == MOMENTS).then(|| self.duplicate());
        }
        let m2 = (0..self.d()).map(|i| self.at(i, i)).collect();
        let (noise, vanished) = (self.noise.clone(), self.vanished.clone());
        Some(Box::new(ColumnMoments::from_parts(self.n, self.mean.clone(), m2, noise, vanished)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::mat::{MatRef, Order};

    fn absorbed(x: &[f64], y: &[f64], p: usize) -> Moments {
        let mut m = Moments::new(p);
        let x = MatRef::new(x, y.len(), p, Order::C).unwrap();
        m.absorb(&Block { x, y, first_row: 0 }).unwrap();
        m
    }

    fn close(a: &Moments, b: &Moments, tol: f64) {
        assert_eq!(a.n, b.n);
        let scale = a.m2.iter().fold(1.0_f64, |s, v| s.max(v.abs()));
        for (u, v) in a.mean.iter().zip(&b.mean) {
            assert!((u - v).abs() <= tol * (1.0 + v.abs()), "mean {u} {v}");
        }
        for (u, v) in a.m2.iter().zip(&b.m2) {
            assert!((u - v).abs() <= tol * scale, "m2 {u} {v}");
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
            let join = |l: &Moments, r: &Moments| { let mut s = l.clone(); s.merge(r).unwrap(); s };
            let (l, m, r) = (part(0..a), part(a..b), part(b..30));
            let whole = part(0..30);
            close(&join(&join(&l, &m), &r), &whole, 1e-12);
            close(&join(&l, &join(&m, &r)), &whole, 1e-12);
            prop_assert_eq!(&join(&whole, &Moments::new(3)), &whole);
            prop_assert_eq!(&join(&Moments::new(3), &whole), &whole);
        }
    }

    #[test]
    fn the_state_of_no_rows_says_what_it_will_hold_and_holds_none_of_it() {
        // 8 TB, if it were there.
        let m = Moments::new(1_000_000);
        assert_eq!(m.empty().bytes(), 8 * (1_000_001 * 1_000_001 + 3 * 1_000_001));
        assert_eq!((m.xx(7, 9), m.yy(), m.is_finite()), (0.0, 0.0, Some(true)));
        let form = LinearForm { coefficients: &[1.0, 2.0], intercept: 3.0 };
        assert_eq!(Moments::new(2).residual_sum_of_squares(&form), Some(0.0));
        assert_eq!(Moments::new(2).project(&[form]).nrows(), 0.0);
    }

    #[test]
    fn a_large_mean_loses_no_digits() {
        let x: Vec<f64> = (0..2000).map(|i| 1e9 + f64::from(i % 7)).collect();
        let y: Vec<f64> = x.iter().map(|v| 2.0 * v).collect();
        let m = absorbed(&x, &y, 1);
        let mean = (0..2000).map(|i| f64::from(i % 7)).sum::<f64>() / 2000.0;
        let want: f64 = (0..2000).map(|i| (f64::from(i % 7) - mean).powi(2)).sum();
        assert!((m.xx(0, 0) - want).abs() < 1e-9 * want);
        assert!((m.xy(0) - 2.0 * want).abs() < 1e-9 * want);
    }

    #[test]
    fn projection_and_residuals_are_those_of_the_predictions() {
        let x: Vec<f64> = (0..300).map(|i| ((i * 37) % 101) as f64).collect();
        let y: Vec<f64> = (0..100).map(|i| ((i * 53) % 89) as f64).collect();
        let m = absorbed(&x, &y, 3);
        let (u, v) = ([0.5, -1.0, 2.0], [0.0, 1.0, 0.25]);
        let models = [
            LinearForm { coefficients: &u, intercept: 3.0 },
            LinearForm { coefficients: &v, intercept: -1.0 },
        ];
        let z: Vec<f64> = x
            .chunks_exact(3)
            .flat_map(|row| models.iter().map(move |f| f.intercept + dot(f.coefficients, row)))
            .collect();
        close(&m.project(&models), &absorbed(&z, &y, 2), 1e-12);
        let rss: f64 = z.chunks_exact(2).zip(&y).map(|(z, y)| (z[0] - y) * (z[0] - y)).sum();
        assert!((m.residual_sum_of_squares(&models[0]).unwrap() - rss).abs() < 1e-10 * rss);
        let perfect = LinearForm { coefficients: &[0.0; 3], intercept: m.y_mean() };
        assert!(m.residual_sum_of_squares(&perfect).is_some());
    }

    #[test]
    fn sums_that_lack_vanished_squares_say_so_through_merges_maps_and_models() {
        let y: Vec<f64> = (0..100).map(f64::from).collect();
        let tiny: Vec<f64> = y.iter().map(|v| v * 1e-170).collect();
        // Zeros first, then what vanishes; and the same column behind a map that makes it one of ordinary numbers.
        let mut m = absorbed(&[0.0; 100], &y, 1);
        assert!(m.is_constant(0) && !m.vanishes(0, true) && !m.vanishes(0, false));
        m.merge(&absorbed(&tiny, &y, 1)).unwrap();
        let scaled = m.affine(&Affine::diagonal(vec![0.0], vec![1e170])).unwrap();
        let scaled = same_type::<Moments>(scaled.as_ref()).unwrap();
        for m in [&m, scaled] {
            assert!(!m.is_constant(0) && m.vanishes(0, true) && m.vanishes(0, false));
            assert!(!m.is_constant(1) && !m.vanishes(1, true));
        }
        let line = LinearForm { coefficients: &[1e170], intercept: 0.0 };
        assert!(m.residual_sum_of_squares(&line).is_none() && m.project_safely(&[line]).is_none());
        let without = LinearForm { coefficients: &[0.0], intercept: m.y_mean() };
        assert!((m.residual_sum_of_squares(&without).unwrap() - m.yy()).abs() < 1e-9 * m.yy());
        // Beside squares that do not vanish, nothing is lost.
        m.merge(&absorbed(&y, &y, 1)).unwrap();
        assert!(!m.vanishes(0, true) && m.residual_sum_of_squares(&without).is_some());
    }

    #[test]
    fn roundings_of_a_constant_are_told_from_variation_behind_maps_and_models() {
        let y: Vec<f64> = (0..200).map(f64::from).collect();
        let x: Vec<f64> =
            y.iter().flat_map(|v| [if v % 3.0 == 0.0 { 300.0 } else { 300.0 + 5e-14 }, *v]).collect();
        let m = absorbed(&x, &y, 2);
        let map = Affine::diagonal(vec![300.0, 100.0], vec![2e13, 0.01]);
        let scaled = m.affine(&map).unwrap();
        let scaled = same_type::<Moments>(scaled.as_ref()).unwrap();
        let forms = [[1.0, 0.0], [0.0, 1.0]];
        let forms: Vec<LinearForm<'_>> =
            forms.iter().map(|c| LinearForm { coefficients: c, intercept: 0.0 }).collect();
        for m in [&m, scaled, &scaled.project(&forms)] {
            assert!(m.is_constant(0) && !m.is_constant(1) && !m.is_constant(2));
            let derived = m.derive(&COLUMN_MOMENTS).unwrap();
            let derived = same_type::<ColumnMoments>(derived.as_ref()).unwrap();
            assert!(derived.is_constant(0) && !derived.is_constant(1) && !derived.vanishes(0));
        }
        // Rows that were mapped before they were absorbed are told of it.
        let z: Vec<f64> = x.chunks_exact(2).flat_map(|r| [2e13 * (r[0] - 300.0), r[1]]).collect();
        let mut streamed = absorbed(&z, &y, 2);
        assert!(!streamed.is_constant(0));
        streamed.raise_noise(&Noise::rounding([2e13 * 300.0, 200.0]));
        assert!(streamed.is_constant(0) && !streamed.is_constant(1));
    }

    #[test]
    fn affine_maps_are_those_of_the_rows() {
        let x: Vec<f64> = (0..300).map(|i| ((i * 37) % 101) as f64).collect();
        let y: Vec<f64> = (0..100).map(|i| ((i * 53) % 89) as f64).collect();
        let m = absorbed(&x, &y, 3);
        let general = Affine::general(vec![1.0, 2.0, 3.0], vec![1.0, 0.5, -1.0, 2.0, 0.0, 1.0], 2).unwrap();
        for map in [Affine::diagonal(vec![1.0, 2.0, 3.0], vec![0.5, 0.1, 2.0]), general] {
            let mut z = vec![0.0; 100 * map.n_out()];
            let out = crate::data::mat::MatMut::new(&mut z, 100, map.n_out(), Order::C).unwrap();
            map.apply_into(MatRef::new(&x, 100, 3, Order::C).unwrap(), out).unwrap();
            let carried = m.affine(&map).unwrap();
            close(same_type::<Moments>(carried.as_ref()).unwrap(), &absorbed(&z, &y, map.n_out()), 1e-12);
        }
    }
}
