//! How a fit ended.

use serde::{Deserialize, Serialize};

/// How the fit of a learner that iterates ended. Models of such learners have one, [`Model::convergence`](crate::Model::convergence);
/// the report collects them.
///
/// A fit that has not converged is no error: its model predicts, and the report says so.
///
/// ```
/// use ensemble_core::Convergence;
/// let classes = [Convergence::new(12, 1e-6, true), Convergence::new(100, 0.3, false)];
/// let all = classes.into_iter().reduce(Convergence::and).expect("two classes");
/// assert_eq!(all, Convergence::new(112, 0.3, false));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Convergence {
    /// Steps made: sweeps, iterations or rounds, as the learner's parameter for the most of them counts. Absent where a solver does
    /// not tell.
    pub steps: Option<u64>,
    /// What the learner's rule to stop looked at last, in that rule's units, which the learner's docs give; smaller is nearer. Absent
    /// where a solver tells nothing.
    pub gap: Option<f64>,
    /// Whether the rule was met.
    pub converged: bool,
    /// Whether parameters of the learner, its `max_iter` or `tol`, say when to stop, so that a note may name them.
    #[serde(skip)]
    pub has_parameters: bool,
}

impl Convergence {
    /// After `steps` steps, `gap` from the end.
    pub fn new(steps: impl Into<Option<u64>>, gap: impl Into<Option<f64>>, converged: bool) -> Self {
        Self { steps: steps.into(), gap: gap.into(), converged, has_parameters: true }
    }

    /// Of a solver that stops by a rule of its own, which no parameter changes.
    #[must_use]
    pub fn without_parameters(self) -> Self {
        Self { has_parameters: false, ..self }
    }

    /// Of a model with two parts that were fitted one after the other: all steps, the larger gap, and whether both converged.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            steps: self.steps.into_iter().chain(other.steps).reduce(|a, b| a + b),
            gap: self.gap.into_iter().chain(other.gap).reduce(f64::max),
            converged: self.converged && other.converged,
            has_parameters: self.has_parameters || other.has_parameters,
        }
    }
}
