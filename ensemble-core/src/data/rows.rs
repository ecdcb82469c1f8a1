//! Rows of a table as runs, and views of them that never copy.

use std::ops::Range;

use crate::{
    data::mat::{MatRef, Order},
    error::{ErrorKind, Result},
};

/// A sorted list of disjoint, non-empty, non-adjoining ranges of rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Rows {
    runs: Vec<Range<usize>>,
}

impl Rows {
    /// Rows `0..nrows`.
    pub fn all(nrows: usize) -> Self {
        Self::one(0..nrows)
    }

    /// One run; an empty range gives no rows.
    pub fn one(run: Range<usize>) -> Self {
        Self { runs: if run.start < run.end { vec![run] } else { Vec::new() } }
    }

    /// Rows `0..nrows` outside `held_out`: at most two runs.
    ///
    /// # Errors
    /// [`ErrorKind::RowRange`] if `held_out` reaches past the last row.
    pub fn all_but(nrows: usize, held_out: Range<usize>) -> Result<Self> {
        if held_out.start > held_out.end || held_out.end > nrows {
            return Err(ErrorKind::RowRange { start: held_out.start, end: held_out.end, nrows }.into());
        }
        Ok(Self::from_runs([0..held_out.start, held_out.end..nrows]))
    }

    /// From ranges in any order; overlapping and adjoining ones are joined, empty ones dropped.
    pub fn from_runs(runs: impl IntoIterator<Item = Range<usize>>) -> Self {
        let mut sorted: Vec<Range<usize>> = runs.into_iter().filter(|r| r.start < r.end).collect();
        sorted.sort_by_key(|r| r.start);
        let mut joined: Vec<Range<usize>> = Vec::with_capacity(sorted.len());
        for run in sorted {
            match joined.last_mut() {
                Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
                _ => joined.push(run),
            }
        }
        Self { runs: joined }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.runs.iter().map(|r| r.end - r.start).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The runs, in order.
    pub fn runs(&self) -> &[Range<usize>] {
        &self.runs
    }

    /// The run, if there is just one.
    pub fn as_one_run(&self) -> Option<Range<usize>> {
        match self.runs.as_slice() {
            [run] => Some(run.start..run.end),
            _ => None,
        }
    }

    /// One past the last row; 0 when there are none.
    pub fn end(&self) -> usize {
        self.runs.last().map_or(0, |r| r.end)
    }

    /// The same rows, `by` further on.
    pub(crate) fn shifted(&self, by: usize) -> Self {
        Self { runs: self.runs.iter().map(|r| r.start + by..r.end + by).collect() }
    }

    /// Whether `row` is among them.
    pub fn contains(&self, row: usize) -> bool {
        let after = self.runs.partition_point(|r| r.start <= row);
        after > 0 && row < self.runs[after - 1].end
    }
}

/// Rows of one matrix, as at most a few runs over its memory. Never copies.
#[derive(Clone, Copy, Debug)]
pub struct RowsView<'a> {
    mat: MatRef<'a>,
    rows: &'a Rows,
}

impl<'a> RowsView<'a> {
    /// `rows` of `mat`.
    ///
    /// # Errors
    /// [`ErrorKind::RowRange`] if a run reaches past the last row.
    pub fn new(mat: MatRef<'a>, rows: &'a Rows) -> Result<Self> {
        if rows.end() > mat.nrows() {
            let last = &rows.runs[rows.runs.len() - 1];
            return Err(ErrorKind::RowRange { start: last.start, end: last.end, nrows: mat.nrows() }.into());
        }
        Ok(Self { mat, rows })
    }

    /// Number of rows in view.
    pub fn nrows(&self) -> usize {
        self.rows.len()
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.mat.ncols()
    }

    /// Order of the matrix behind.
    pub fn order(&self) -> Order {
        self.mat.order()
    }

    /// Which rows of the matrix behind are in view.
    pub fn rows(&self) -> &'a Rows {
        self.rows
    }

    /// Each run as a matrix, in row order.
    pub fn segments(&self) -> impl Iterator<Item = MatRef<'a>> + use<'a> {
        let mat = self.mat;
        self.rows.runs.iter().map(move |r| mat.rows(r.start..r.end).expect("checked in new"))
    }

    /// The rows as one matrix, when they are one run.
    pub fn as_mat(&self) -> Option<MatRef<'a>> {
        match self.rows.runs.len() {
            0 => self.mat.rows(0..0).ok(),
            1 => self.segments().next(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edge_folds_are_one_run() {
        assert_eq!(Rows::all_but(10, 0..4).unwrap().runs(), std::slice::from_ref(&(4..10)));
        assert_eq!(Rows::all_but(10, 7..10).unwrap().runs(), std::slice::from_ref(&(0..7)));
        assert_eq!(Rows::all_but(10, 3..7).unwrap().runs(), &[0..3, 7..10]);
        assert!(Rows::all_but(10, 3..11).is_err());
    }

    proptest! {
        #[test]
        fn runs_hold_the_rows_of_their_ranges_and_no_others(
            ranges in prop::collection::vec((0usize..60, 0usize..12), 0..8),
        ) {
            let rows = Rows::from_runs(ranges.iter().map(|&(s, l)| s..s + l));
            let mut count = 0;
            for row in 0..80 {
                let inside = ranges.iter().any(|&(s, l)| (s..s + l).contains(&row));
                prop_assert_eq!(rows.contains(row), inside);
                count += usize::from(inside);
            }
            prop_assert_eq!(rows.len(), count);
            prop_assert!(rows.runs().windows(2).all(|w| w[0].end < w[1].start));
        }

        #[test]
        fn a_fold_and_the_rest_are_all_rows(n in 1usize..200, a in 0usize..200, b in 0usize..200) {
            let (a, b) = (a.min(b).min(n), a.max(b).min(n));
            let rest = Rows::all_but(n, a..b).unwrap();
            prop_assert_eq!(rest.len() + (b - a), n);
            prop_assert!(rest.runs().len() <= 2);
            prop_assert!((0..n).all(|r| rest.contains(r) != (a..b).contains(&r)));
        }
    }
}
