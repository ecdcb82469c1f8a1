//! Rows cut into consecutive runs, and sets of them.

use std::ops::Range;

use crate::{
    data::rows::Rows,
    error::{Error, Result},
};

/// Consecutive runs of rows, none empty: the coarsest cut such that every set of a design is a union of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Atoms {
    bounds: Vec<usize>,
}

impl Atoms {
    /// Atoms between neighbouring bounds, the first of which is 0.
    ///
    /// # Errors
    /// When bounds do not start at 0 and rise.
    pub fn new(bounds: Vec<usize>) -> Result<Self> {
        if bounds.first() != Some(&0) || bounds.len() < 2 || !bounds.is_sorted_by(|a, b| a < b) {
            return Err(Error::unsupported("atoms lie between bounds that start at 0 and rise"));
        }
        Ok(Self { bounds })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Rows of all of them together.
    pub fn nrows(&self) -> usize {
        self.bounds[self.len()]
    }

    /// Bounds of their rows: one more than there are atoms.
    pub fn bounds(&self) -> &[usize] {
        &self.bounds
    }

    /// The rows of one.
    ///
    /// # Panics
    /// When there is no such atom.
    pub fn range(&self, atom: usize) -> Range<usize> {
        self.bounds[atom]..self.bounds[atom + 1]
    }

    /// The rows of each.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.bounds.windows(2).map(|w| w[0]..w[1])
    }

    /// Rows in each.
    pub fn sizes(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranges().map(|r| r.len())
    }

    /// The rows of a set.
    ///
    /// # Panics
    /// When it holds an atom that there is not.
    pub fn rows(&self, set: &AtomSet) -> Rows {
        Rows::from_runs(set.runs().iter().map(|run| self.bounds[run.start]..self.bounds[run.end]))
    }
}

/// A set of atoms, as runs of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AtomSet(Rows);

impl AtomSet {
    /// No atom.
    pub fn none() -> Self {
        Self::default()
    }

    /// Neighbouring atoms.
    pub fn run(atoms: Range<usize>) -> Self {
        Self(Rows::one(atoms))
    }

    /// Atoms in any order.
    pub fn of(atoms: impl IntoIterator<Item = usize>) -> Self {
        Self(Rows::from_runs(atoms.into_iter().map(|a| a..a + 1)))
    }

    /// All of `n` atoms but one.
    pub fn all_but(n: usize, atom: usize) -> Self {
        Self(Rows::from_runs([0..atom, atom + 1..n.max(atom + 1)]))
    }

    /// Runs of their numbers, in order.
    pub fn runs(&self) -> &[Range<usize>] {
        self.0.runs()
    }

    /// Their numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.runs().iter().cloned().flatten()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an atom is among them.
    pub fn contains(&self, atom: usize) -> bool {
        self.0.contains(atom)
    }

    /// One past the last; 0 when there are none.
    pub(crate) fn end(&self) -> usize {
        self.0.end()
    }
}
