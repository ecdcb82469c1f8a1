//! What turns facts about rows into a design.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    design::layout::Design,
    error::{Error, Result},
};

/// What a scheme may know about the rows of a layer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DesignFacts<'a> {
    /// Rows of the layer.
    pub nrows: usize,
    /// Whether a learner of the stack takes its training rows as one matrix, so that boundaries between pages save copies.
    pub one_matrix: bool,
    /// The target, a value per row of the table: class numbers where a learner classifies.
    pub target: &'a [f64],
    /// Classes of the target, when a learner classifies.
    pub n_classes: Option<usize>,
    /// Whether the layer is the last, which predicts no layer above: held-out rows are predicted for its score alone.
    pub is_last: bool,
}

impl<'a> DesignFacts<'a> {
    /// Facts about rows with this target, of numbers, that learners read as runs.
    pub fn new(target: &'a [f64]) -> Self {
        Self { nrows: target.len(), one_matrix: false, target, n_classes: None, is_last: false }
    }
}

/// A way of splitting: [`KFold`](crate::KFold) and its family. Holds parameters and no rows, but for those that must be told where rows
/// belong.
pub trait Scheme: fmt::Debug + Send + Sync {
    /// The design of the first layer.
    ///
    /// # Errors
    /// [`ErrorKind::Folds`](crate::ErrorKind::Folds) when these rows cannot be split so.
    fn design(&self, facts: &DesignFacts<'_>) -> Result<Design>;

    /// The design of a layer above `below`, whose rows are those that `below` predicts, in its order. The default is the same design on
    /// the same rows.
    ///
    /// # Errors
    /// As [`Scheme::design`].
    fn design_above(&self, below: &Design, facts: &DesignFacts<'_>) -> Result<Design> {
        if below.nrows() != facts.nrows {
            return Err(Error::unsupported("the scheme does not say how the rows that are left are split"));
        }
        Ok(below.in_place())
    }

    /// Name and parameters, for plans and reports: `{"name": "kfold", "n_splits": 5, ..}`. The default is a name alone, that of `Debug`.
    fn spec(&self) -> Value {
        json!({ "name": format!("{self:?}") })
    }

    /// Whether folds are cut where the rows lie, whatever they hold: a target that trends along the rows is then told by a note. The
    /// default is false.
    fn follows_row_order(&self) -> bool {
        false
    }
}
