//! No split at all.

use serde_json::{Value, json};

use crate::{
    design::{
        arrangement::Arrangement,
        atoms::{AtomSet, Atoms},
        cell::Cell,
        layout::Design,
        scheme::{DesignFacts, Scheme},
    },
    error::Result,
};

/// Every learner is fitted once, on all rows, and no row is held out: one fit in place of K + 1, without scores.
///
/// For a last layer alone. A layer above has no predictions to learn from, and none can be kept.
///
/// ```
/// use ensemble_core::{DesignFacts, NoSplit, Scheme};
/// let design = NoSplit.design(&DesignFacts::new(&[0.0; 10]))?;
/// assert_eq!((design.cells().len(), design.predicted_rows()), (1, 0..0));
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoSplit;

impl Scheme for NoSplit {
    fn design(&self, facts: &DesignFacts<'_>) -> Result<Design> {
        let cells = vec![Cell::last(AtomSet::run(0..1))];
        let text = format!("no split: fitted on all {} rows, none held out", facts.nrows);
        Design::new(Arrangement::InPlace, Atoms::new(vec![0, facts.nrows])?, cells, text)
    }

    fn spec(&self) -> Value {
        json!({ "name": "none" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_cell_is_final_and_has_all_rows() {
        let design = NoSplit.design(&DesignFacts::new(&[1.0; 7])).unwrap();
        assert_eq!(design.cells(), [Cell::last(AtomSet::run(0..1))]);
        assert_eq!(design.nrows(), 7);
        assert!(design.predicted_sizes().is_empty() && design.predicted_rows().is_empty());
        assert!(NoSplit.design(&DesignFacts::new(&[])).is_err());
    }
}
