//! One split: fitted on the first rows, the last ones predicted for the layer above.

use serde_json::{Value, json};

use crate::{
    design::{
        arrangement::Arrangement,
        atoms::{AtomSet, Atoms},
        cell::Cell,
        layout::Design,
        scheme::{DesignFacts, Scheme},
    },
    error::{Error, Result},
};

/// Learners are fitted on the first rows and predict the last ones, which are all that the layer above learns from: one fit for the
/// predictions, and one on all rows for new ones. ML-Ensemble's `BlendEnsemble`.
///
/// Rows are split as they lie: where they are sorted, or trend, shuffle them before. Every layer that predicts another splits the rows
/// that it has. The last one is fitted on all it has, and scored by one more split.
///
/// ```
/// use ensemble_core::{Blend, DesignFacts, Scheme};
/// let design = Blend::new(0.3).design(&DesignFacts::new(&[0.0; 10]))?;
/// assert_eq!(design.predicted_rows(), 7..10);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blend {
    test_size: f64,
    refit: bool,
}

impl Blend {
    /// The last `test_size` of n rows, a share of them, are predicted: floor(`test_size` n).
    pub fn new(test_size: f64) -> Self {
        Self { test_size, refit: true }
    }

    /// Keep the models that were fitted on the first rows, instead of fitting on all rows once more.
    #[must_use]
    pub fn without_refit(self) -> Self {
        Self { refit: false, ..self }
    }

    fn split(&self, facts: &DesignFacts<'_>) -> Result<Design> {
        let n = facts.nrows;
        if !(self.test_size > 0.0 && self.test_size < 1.0) {
            let want = "a share of the rows above 0 and below 1";
            return Err(Error::parameter("blend", "test_size", self.test_size, want));
        }
        let test = (self.test_size * n as f64).floor() as usize;
        if test == 0 || test == n {
            let what = format!(
                "blend: test_size = {} of {n} rows leaves {test} to predict and {} to fit on; choose another share",
                self.test_size,
                n - test
            );
            return Err(Error::unsupported(what));
        }
        let (head, tail) = (AtomSet::run(0..1), AtomSet::run(1..2));
        let first = Cell::held_out(head, tail);
        // A last layer predicts for its score alone: its models are fitted on all that it has.
        let cells = if self.refit || facts.is_last {
            vec![first, Cell::last(AtomSet::run(0..2))]
        } else {
            vec![Cell { is_final: true, ..first }]
        };
        let text = format!("blend: fitted on {} rows, {test} predicted", n - test);
        Design::new(Arrangement::InPlace, Atoms::new(vec![0, n - test, n])?, cells, text)
    }
}

impl Scheme for Blend {
    fn design(&self, facts: &DesignFacts<'_>) -> Result<Design> {
        self.split(facts)
    }

    fn design_above(&self, _: &Design, facts: &DesignFacts<'_>) -> Result<Design> {
        self.split(facts)
    }

    fn spec(&self) -> Value {
        json!({ "name": "blend", "test_size": self.test_size, "refit": self.refit })
    }
}
