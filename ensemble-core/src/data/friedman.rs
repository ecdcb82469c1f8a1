//! The Friedman #1 regression problem as a stream of rows that any language can reproduce to the bit.
//!
//! Source: J. H. Friedman, "Multivariate adaptive regression splines", Annals of Statistics 19 (1991), equation 61. The
//! numbers come from splitmix64 in counter form, so row i is known without the rows before it.

use std::f64::consts::PI;

use crate::error::{Error, Result};

/// Rows of the Friedman #1 problem, any of them at any time: `x` uniform in [0, 1), and
/// `y = 10 sin(pi x0 x1) + 20 (x2 - 0.5)^2 + 10 x3 + 5 x4 + noise * e`, with `e` of mean 0 and variance 1.
///
/// `x[i, j]` is number `i * ncols + j` of the stream of `seed`; `e[i]` is the sum of numbers `12 i .. 12 i + 12` of the
/// stream of `seed ^ 0xD1B5_4A32_D192_ED03`, less 6. `x` and `e` are the same bits everywhere; `y` may differ in its last
/// bit where the platform's sine does.
///
/// ```
/// use ensemble_core::Friedman1;
/// let problem = Friedman1::new(20171, 10, 1.0)?;
/// let (mut x, mut y) = ([0.0; 20], [0.0; 2]);
/// problem.rows_into(0, &mut x, &mut y);
/// assert_eq!(x[0], 0.7842691564971874);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Friedman1 {
    seed: u64,
    ncols: usize,
    noise: f64,
}

/// Distance between the two streams' seeds.
const NOISE_STREAM: u64 = 0xD1B5_4A32_D192_ED03;
/// Uniform numbers summed for one noise value: their variance is 12 / 12 = 1.
const NOISE_TERMS: u64 = 12;

impl Friedman1 {
    /// The problem with `ncols` columns, of which the first five matter, and `noise` times a standard error added to `y`.
    ///
    /// # Errors
    /// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) if `ncols` is less than 5 or `noise` is not finite.
    pub fn new(seed: u64, ncols: usize, noise: f64) -> Result<Self> {
        if ncols < 5 {
            return Err(Error::parameter(
                "friedman1",
                "ncols",
                ncols,
                "at least 5, since y depends on five columns",
            ));
        }
        if !noise.is_finite() {
            return Err(Error::parameter("friedman1", "noise", noise, "a finite number"));
        }
        Ok(Self { seed, ncols, noise })
    }

    /// Number of columns of `x`.
    pub fn ncols(&self) -> usize {
        self.ncols
    }

    /// Write `y.len()` rows from row `first_row` on: `x` in C order, and `y`. Allocates nothing.
    ///
    /// # Panics
    /// Unless `x` holds `y.len() * ncols` values.
    pub fn rows_into(&self, first_row: usize, x: &mut [f64], y: &mut [f64]) {
        assert_eq!(Some(x.len()), y.len().checked_mul(self.ncols), "values of x for {} rows", y.len());
        let first = (first_row as u64).wrapping_mul(self.ncols as u64);
        for (k, value) in x.iter_mut().enumerate() {
            *value = uniform(self.seed, first.wrapping_add(k as u64));
        }
        for (i, (row, value)) in x.chunks_exact(self.ncols).zip(y).enumerate() {
            let centred = row[2] - 0.5;
            // The brackets are part of the definition: another order of summation gives other bits.
            let signal = ((10.0 * ((PI * row[0]) * row[1]).sin() + 20.0 * (centred * centred))
                + 10.0 * row[3])
                + 5.0 * row[4];
            *value = signal + self.noise * self.error((first_row as u64).wrapping_add(i as u64));
        }
    }

    /// The standard error of one row (Irwin-Hall, so that no logarithm is needed).
    fn error(&self, row: u64) -> f64 {
        let seed = self.seed ^ NOISE_STREAM;
        let first = row.wrapping_mul(NOISE_TERMS);
        let mut sum = uniform(seed, first);
        for term in 1..NOISE_TERMS {
            sum += uniform(seed, first.wrapping_add(term));
        }
        sum - 6.0
    }
}

/// Number `k` of the splitmix64 stream of `seed` (Steele, Lea, Flood 2014; the constants are Vigna's).
fn splitmix64(seed: u64, k: u64) -> u64 {
    let mut z = seed.wrapping_add(k.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The upper 53 bits of number `k`, as a multiple of 2^-53 in [0, 1).
fn uniform(seed: u64, k: u64) -> f64 {
    (splitmix64(seed, k) >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values below: numpy 2.4.6, the same stream written in Python; seed 20171, 10 columns, noise 1.
    const SEED: u64 = 20171;
    const ROW_0: [f64; 10] = [
        0.7842691564971874,
        0.14953673485510843,
        0.6019267150226935,
        0.10729826732591885,
        0.13568804286413239,
        0.6191875650260649,
        0.1741195251652966,
        0.27730706534473437,
        0.5970190156836143,
        0.5722161088760933,
    ];
    const ROW_1999: [f64; 10] = [
        0.08073260310094943,
        0.1289633546753025,
        0.353552973710065,
        0.9512013051482201,
        0.849619540414402,
        0.3246587864209579,
        0.6522218814524795,
        0.9558838032949162,
        0.00064471782375497,
        0.7090312662506291,
    ];
    const ROW_2000: [f64; 10] = [
        0.7280734061964271,
        0.47891555229765104,
        0.9485541414579663,
        0.5778973577902706,
        0.4030672431384771,
        0.21741025878191478,
        0.9355213585830475,
        0.024118026603289544,
        0.10498885618637732,
        0.4570170335879783,
    ];
    const Y_0_TO_9: [f64; 10] = [
        4.861171536896423,
        13.939890240522569,
        19.008696952024348,
        15.014883604112143,
        11.064609846522302,
        12.916050633662024,
        10.570004865721309,
        14.06631546524515,
        19.205538563440786,
        17.57567372634259,
    ];
    const Y_2000: f64 = 20.863298233752296;
    const X_SUM: f64 = 9941.822127527066;
    const Y_SUM: f64 = 28855.429463335968;

    fn rows(first: usize, n: usize) -> (Vec<f64>, Vec<f64>) {
        let (mut x, mut y) = (vec![0.0; n * 10], vec![0.0; n]);
        Friedman1::new(SEED, 10, 1.0).unwrap().rows_into(first, &mut x, &mut y);
        (x, y)
    }

    #[test]
    fn the_stream_is_splitmix64() {
        // The values for seed 0 are those of Vigna's splitmix64.c.
        for (seed, want) in [
            (0, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f, 0xf88b_b8a8_724c_81ec]),
            (
                SEED,
                [0xc8c5_dd0a_6abb_ae86, 0x2648_0a19_c0d9_34e5, 0x9a17_de83_9c76_525a, 0x1b77_e635_1510_c553],
            ),
        ] {
            for (k, want) in want.into_iter().enumerate() {
                assert_eq!(splitmix64(seed, k as u64), want, "seed {seed}, number {k}");
            }
        }
    }

    #[test]
    fn rows_are_the_reference_rows_to_the_bit() {
        let (x, y) = rows(0, 2001);
        assert_eq!(x[..10], ROW_0);
        assert_eq!(x[19_990..20_000], ROW_1999);
        assert_eq!(x[20_000..], ROW_2000);
        // Only the sine may differ between platforms, by one unit in the last place of 10.
        for (got, want) in y.iter().zip(Y_0_TO_9).chain([(&y[2000], Y_2000)]) {
            assert!((got - want).abs() <= 4e-15, "{got} {want}");
        }
    }

    #[test]
    fn sums_over_2000_rows_agree() {
        let (x, y) = rows(0, 2000);
        // The reference sums pairwise, so the last bits may differ.
        assert!((x.iter().sum::<f64>() - X_SUM).abs() < 1e-9);
        assert!((y.iter().sum::<f64>() - Y_SUM).abs() < 1e-9);
    }

    #[test]
    fn a_row_does_not_depend_on_where_the_reading_starts() {
        let (x, y) = rows(0, 50);
        for first in [1, 7, 49] {
            let (px, py) = rows(first, 50 - first);
            assert_eq!((&px[..], &py[..]), (&x[first * 10..], &y[first..]));
        }
    }

    #[test]
    fn fewer_than_five_columns_and_endless_noise_are_errors() {
        assert!(Friedman1::new(1, 4, 1.0).is_err());
        assert!(Friedman1::new(1, 5, f64::NAN).is_err());
        assert!(Friedman1::new(1, 5, 0.0).is_ok());
    }
}
