//! K folds as ranges of rows; for learners that take one matrix, sized so that pages can be put side by side.

use serde_json::{Value, json};

use crate::{
    design::{
        arrangement::{Arrangement, check_rows},
        atoms::{AtomSet, Atoms},
        cell::Cell,
        layout::Design,
        random::permutation,
        scheme::{DesignFacts, Scheme},
    },
    error::{ErrorKind, Result},
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
/// use ensemble_core::{DesignFacts, KFold, Scheme};
/// let design = KFold::new(3).design(&DesignFacts::new(&[0.0; 10]))?;
/// assert_eq!(design.atoms().ranges().collect::<Vec<_>>(), [0..4, 4..7, 7..10]);
/// // Each cell is fitted on all folds but one, and the last on all rows.
/// assert_eq!(design.cells().len(), 4);
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

    /// Where folds begin and end, and how that came about.
    ///
    /// # Errors
    /// [`ErrorKind::Folds`] for fewer than two folds, more folds than rows, or fewer than 512 rows a fold when
    /// [`KFold::page_aligned`] is asked for.
    fn bounds(&self, nrows: usize, one_matrix: bool) -> Result<(Vec<usize>, String)> {
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
        Ok(match self.sizing {
            Sizing::PageAligned if !distinct => {
                return fail("a fold would be empty at multiples of 512 rows; use exact folds");
            }
            Sizing::PageAligned => (
                aligned,
                format!("at multiples of {step} rows as asked; boundaries move by up to {moved} rows"),
            ),
            Sizing::Automatic if !one_matrix => (exact, "exact".to_owned()),
            Sizing::Automatic if distinct && percent <= 1.0 => (
                aligned,
                format!(
                    "at multiples of {step} rows for learners that take one matrix: boundaries move by {percent:.2} % of a \
                     fold at most"
                ),
            ),
            Sizing::Automatic => (
                exact,
                format!("exact: multiples of {step} rows would move a boundary by {percent:.1} % of a fold"),
            ),
            Sizing::Exact => (exact, "exact as asked".to_owned()),
        })
    }
}

/// The cells of k folds: without each of them, and on all rows.
pub(crate) fn k_cells(k: usize) -> Vec<Cell> {
    let held_out = (0..k).map(|fold| Cell::held_out(AtomSet::all_but(k, fold), AtomSet::run(fold..fold + 1)));
    held_out.chain([Cell::last(AtomSet::run(0..k))]).collect()
}

/// "5 folds of 20 to 21 rows, exact".
pub(crate) fn describe_folds(bounds: &[usize], reason: &str) -> String {
    let sizes = || bounds.windows(2).map(|w| w[1] - w[0]);
    let (min, max) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0));
    format!("{} folds of {min} to {max} rows, {reason}", bounds.len() - 1)
}

impl Scheme for KFold {
    fn design(&self, facts: &DesignFacts<'_>) -> Result<Design> {
        let (bounds, reason) = self.bounds(facts.nrows, facts.one_matrix)?;
        let arrangement = match self.shuffle {
            None => Arrangement::InPlace,
            Some(seed) => {
                check_rows(facts.nrows)?;
                Arrangement::Order(permutation(facts.nrows, seed))
            }
        };
        let text = describe_folds(&bounds, &reason);
        let cells = k_cells(bounds.len() - 1);
        Design::new(arrangement, Atoms::new(bounds)?, cells, text)
    }

    fn spec(&self) -> Value {
        let sizing = match self.sizing {
            Sizing::Automatic => "automatic",
            Sizing::Exact => "exact",
            Sizing::PageAligned => "page_aligned",
        };
        json!({
            "name": "kfold", "n_splits": self.n_folds, "sizing": sizing,
            "shuffle": self.shuffle.is_some(), "random_state": self.shuffle,
        })
    }

    fn follows_row_order(&self) -> bool {
        self.shuffle.is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds(folds: KFold, n: usize, one_matrix: bool) -> Result<Vec<usize>> {
        Ok(folds.bounds(n, one_matrix)?.0)
    }

    #[test]
    fn more_folds_than_rows_and_one_fold_are_refused() {
        let error = bounds(KFold::new(11), 10, false).unwrap_err();
        assert!(error.to_string().contains("more folds than rows"));
        assert!(bounds(KFold::new(1), 10, false).is_err());
        assert!(bounds(KFold::new(3).page_aligned(), 1000, false).is_err());
    }

    #[test]
    fn folds_are_exact_unless_a_learner_takes_one_matrix() {
        let first = |n: usize, one_matrix| bounds(KFold::new(10), n, one_matrix).unwrap()[1];
        assert_eq!((first(1_000_000, false), first(300_000, false)), (100_000, 30_000));
        assert_eq!((first(1_000_000, true), first(300_000, true)), (99_840, 30_208));
        // 512 rows would move a boundary too far.
        assert_eq!(first(100_000, true), 10_000);
    }

    proptest! {
        #[test]
        fn folds_partition_the_rows(n in 2usize..100_000, k in 2usize..30, how in 0..3, whole: bool) {
            let kfold = match how { 0 => KFold::new(k), 1 => KFold::new(k).exact(), _ => KFold::new(k).page_aligned() };
            if let Ok(bounds) = bounds(kfold, n, whole) {
                prop_assert_eq!(bounds.len(), k + 1);
                prop_assert_eq!((bounds[0], bounds[k]), (0, n));
                let sizes: Vec<usize> = bounds.windows(2).map(|w| w[1] - w[0]).collect();
                prop_assert!(sizes.iter().all(|s| *s > 0));
                let even = sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1;
                let paged = bounds[..k].iter().all(|b| b % 512 == 0);
                let right = if how == 2 { paged } else { even || (whole && how == 0 && paged) };
                prop_assert!(right);
            } else {
                prop_assert!(k > n || how == 2);
            }
        }
    }
}
