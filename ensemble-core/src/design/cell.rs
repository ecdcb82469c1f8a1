//! One fit of every learner.

use std::fmt;

use serde::Serialize;

use crate::design::atoms::AtomSet;

/// A cell by its place among those of its design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct CellId(pub usize);

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One fit of every learner of a layer: the rows it is fitted on, and those it predicts for the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Atoms that are fitted on.
    pub fit: AtomSet,
    /// Atoms that are predicted, none of which is fitted on.
    pub predict: AtomSet,
    /// The group of columns that the predictions fill, from 0.
    pub group: usize,
    /// Whether its models stay, to predict new rows with.
    pub is_final: bool,
}

impl Cell {
    /// Fitted on some atoms to predict others.
    pub fn held_out(fit: AtomSet, predict: AtomSet) -> Self {
        Self { fit, predict, group: 0, is_final: false }
    }

    /// Fitted on some atoms to predict new rows.
    pub fn last(fit: AtomSet) -> Self {
        Self { fit, predict: AtomSet::none(), group: 0, is_final: true }
    }

    /// In a group of columns.
    #[must_use]
    pub fn in_group(self, group: usize) -> Self {
        Self { group, ..self }
    }
}
