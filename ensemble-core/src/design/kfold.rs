//! K folds as ranges of rows; for learners that take one matrix, sized so that pages can be put side by side.

use std::{fmt, ops::Range};

use crate::{
    error::{ErrorKind, Result},
    learner::estimator::Access,
};

/// Boundaries that move stand at multiples of this many rows: in C order and in Fortran order whole pages of 4 KiB, whatever the
/// number of columns. It is part of the definition of every result, and so the same where pages are larger.
const BOUNDARY_ROWS: usize = 512;

/// How fold sizes are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sizing {
    #[default]
    Automatic,
    Exact,
    PageAligned,
}

/// K consecutive folds, every row held out once.
///
/// ```
/// use ensemble_core::{Access, KFold};
/// let folds = KFold::new(3).split(10, Access::Merge)?;
/// assert_eq!(folds.ranges().collect::<Vec<_>>(), [0..4, 4..7, 7..10]);
/// // For learners that want one matrix, each boundary moves to a multiple of 512 rows: at most 0.5 % of a fold here.
/// let folds = KFold::new(20).split(1_000_000, Access::Contiguous(None))?;
/// assert!(folds.is_page_aligned() && folds.ranges().all(|f| f.start % 512 == 0));
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KFold {
    n_folds: usize,
    sizing: Sizing,
    shuffle: Option<u64>,
}

impl KFold {
    /// `n_folds` folds of the sizes scikit-learn's `KFold` gives: the first `n mod k` are one row longer. Where a learner of the
    /// stack takes its rows as one matrix, boundaries move to multiples of 512 rows (the last fold takes the rest) if that moves
    /// each by at most 1 % of a fold, so that pages of a mapped table can be put side by side. Sizes follow from the number of rows
    /// and the learners alone: they are the same on every machine, and for a table in memory as for one that is mapped.
    pub fn new(n_folds: usize) -> Self {
        Self { n_folds, sizing: Sizing::Automatic, shuffle: None }
    }

    /// The sizes scikit-learn's `KFold` gives, whatever the learners: one matrix may then cost a copy of the training rows.
    #[must_use]
    pub fn exact(self) -> Self {
        Self { sizing: Sizing::Exact, ..self }
    }

    /// Boundaries at multiples of 512 rows, whole pages of 4 KiB, however far they move.
    #[must_use]
    pub fn page_aligned(self) -> Self {
        Self { sizing: Sizing::PageAligned, ..self }
    }

    /// Folds of rows in random order. The table is written once in fold order to scratch room, and results are brought
    /// back to the input's order.
    #[must_use]
    pub fn shuffle(self, seed: u64) -> Self {
        Self { shuffle: Some(seed), ..self }
    }

    /// Number of folds.
    pub fn n_folds(&self) -> usize {
        self.n_folds
    }

    /// The seed, when rows are shuffled.
    pub fn shuffle_seed(&self) -> Option<u64> {
        self.shuffle
    }

    /// Cut `nrows` rows for learners of which the neediest takes them as `access`.
    ///
    /// # Errors
    /// [`ErrorKind::Folds`] for fewer than two folds, more folds than rows, or fewer than 512 rows a fold when
    /// [`KFold::page_aligned`] is asked for.
    pub fn split(&self, nrows: usize, access: Access) -> Result<Folds> {
        let k = self.n_folds;
        let fail = |reason: &str| Err(ErrorKind::Folds { n_folds: k, nrows, reason: reason.into() }.into());
        if k < 2 {
            return fail("at least 2 folds are needed, one to hold out and one to fit on");
        }
        if k > nrows {
            return fail("there are more folds than rows");
        }
        let step = BOUNDARY_ROWS;
        let exact: Vec<usize> = (0..=k).map(|i| i * (nrows / k) + i.min(nrows % k)).collect();
        let aligned: Vec<usize> = exact
            .iter()
            .enumerate()
            .map(|(i, b)| if i == k { nrows } else { (b + step / 2) / step * step })
            .collect();
        let distinct = aligned.windows(2).all(|w| w[0] < w[1]);
        let moved = exact.iter().zip(&aligned).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
        let percent = 100.0 * moved as f64 * k as f64 / nrows as f64;
        let (bounds, page_aligned, reason) = match self.sizing {
            Sizing::PageAligned if !distinct => {
                return fail("a fold would be empty at multiples of 512 rows; use exact folds");
            }
            Sizing::PageAligned => (
                aligned,
                true,
                format!("at multiples of {step} rows as asked; boundaries move by up to {moved} rows"),
            ),
            Sizing::Automatic if !matches!(access, Access::Contiguous(_)) => {
                (exact, false, "exact".to_owned())
            }
            Sizing::Automatic if distinct && percent <= 1.0 => (
                aligned,
                true,
                format!(
                    "at multiples of {step} rows for learners that take one matrix: boundaries move by {percent:.2} % of a \
                     fold at most"
                ),
            ),
            Sizing::Automatic => (
                exact,
                false,
                format!("exact: multiples of {step} rows would move a boundary by {percent:.1} % of a fold"),
            ),
            Sizing::Exact => (exact, false, "exact as asked".to_owned()),
        };
        Ok(Folds { bounds, page_aligned, reason })
    }
}

/// The folds of one table: consecutive, non-empty, together all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folds {
    bounds: Vec<usize>,
    page_aligned: bool,
    reason: String,
}

impl Folds {
    /// Number of folds.
    pub fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Never: there are at least two.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Rows of all folds together.
    pub fn nrows(&self) -> usize {
        self.bounds[self.bounds.len() - 1]
    }

    /// The rows held out by fold `fold`.
    ///
    /// # Panics
    /// When there is no such fold.
    pub fn range(&self, fold: usize) -> Range<usize> {
        self.bounds[fold]..self.bounds[fold + 1]
    }

    /// The rows held out by each fold.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        (0..self.len()).map(|f| self.range(f))
    }

    /// Rows in each fold.
    pub fn sizes(&self) -> Vec<usize> {
        self.ranges().map(|r| r.end - r.start).collect()
    }

    /// Whether boundaries were put at multiples of 512 rows, where pages of 4 KiB begin.
    pub fn is_page_aligned(&self) -> bool {
        self.page_aligned
    }
}

impl fmt::Display for Folds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = self.sizes();
        let (min, max) = (sizes.iter().min().unwrap_or(&0), sizes.iter().max().unwrap_or(&0));
        write!(f, "{} folds of {min} to {max} rows, {}", self.len(), self.reason)
    }
}

/// A permutation of `0..n` by Fisher and Yates from a splitmix64 stream: the same on every machine and in every release.
pub(crate) fn permutation(n: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..u32::try_from(n).expect("fewer than 2^32 rows")).collect();
    let mut state = seed;
    for i in (1..n).rev() {
        let bound = (i + 1) as u64;
        // Lemire's multiply-and-reject: unbiased.
        let pick = loop {
            let wide = u128::from(splitmix64(&mut state)) * u128::from(bound);
            if (wide as u64) >= bound.wrapping_neg() % bound {
                break (wide >> 64) as usize;
            }
        };
        order.swap(i, pick);
    }
    order
}

/// The next value of Steele, Lea and Flood's splitmix64.
pub(crate) fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The seed of one fit, from where it stands and never from the thread that runs it.
pub(crate) fn seed_for(run: u64, layer: usize, learner: usize, fold: Option<usize>) -> u64 {
    let mut state = run;
    for part in [layer as u64, learner as u64, fold.map_or(u64::MAX, |f| f as u64)] {
        state = splitmix64(&mut state) ^ part;
    }
    splitmix64(&mut state)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn more_folds_than_rows_and_one_fold_are_refused() {
        assert!(
            KFold::new(11).split(10, Access::Merge).unwrap_err().to_string().contains("more folds than rows")
        );
        assert!(KFold::new(1).split(10, Access::Merge).is_err());
        assert!(KFold::new(3).page_aligned().split(1000, Access::Merge).is_err());
    }

    #[test]
    fn folds_are_exact_unless_a_learner_takes_one_matrix() {
        let first = |n: usize, access| KFold::new(10).split(n, access).unwrap().range(0).len();
        for access in [Access::Merge, Access::Segments] {
            assert_eq!((first(1_000_000, access), first(300_000, access)), (100_000, 30_000));
        }
        for order in [None, Some(crate::data::mat::Order::C), Some(crate::data::mat::Order::F)] {
            let access = Access::Contiguous(order);
            assert_eq!((first(1_000_000, access), first(300_000, access)), (99_840, 30_208));
            // 512 rows would move a boundary too far.
            assert_eq!(first(100_000, access), 10_000);
        }
    }

    proptest! {
        #[test]
        fn folds_partition_the_rows(n in 2usize..100_000, k in 2usize..30, how in 0..3, whole: bool) {
            let kfold = match how { 0 => KFold::new(k), 1 => KFold::new(k).exact(), _ => KFold::new(k).page_aligned() };
            let access = if whole { Access::Contiguous(None) } else { Access::Segments };
            if let Ok(folds) = kfold.split(n, access) {
                prop_assert!(whole || how == 2 || !folds.is_page_aligned());
                prop_assert_eq!(folds.len(), k);
                prop_assert_eq!(folds.sizes().iter().sum::<usize>(), n);
                prop_assert!(folds.sizes().iter().all(|s| *s > 0));
                if folds.is_page_aligned() {
                    prop_assert!(folds.ranges().all(|r| r.start % 512 == 0));
                    prop_assert!(folds.ranges().take(k - 1).all(|r| r.len() % 512 == 0));
                } else {
                    let sizes = folds.sizes();
                    prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
                }
            } else {
                prop_assert!(k > n || how == 2);
            }
        }

        #[test]
        fn a_permutation_holds_every_row_once(n in 1usize..500, seed: u64) {
            let mut order = permutation(n, seed);
            order.sort_unstable();
            prop_assert!(order.iter().enumerate().all(|(i, r)| i == *r as usize));
        }
    }
}
