//! What a fit did.
#![allow(clippy::disallowed_methods, reason = "what serde derives for flattened fields copies names")]

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    account::ledger::{Totals, Work, copies},
    data::classes::Label,
    exec::{
        notes::{FitConvergence, Note},
        score::Scores,
    },
};

/// What a learner cost and how well it did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LearnerReport {
    /// The layer, from 0; the meta-learner's is the last.
    pub layer: usize,
    /// Its name in the layer.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// How it took its rows: from `statistics` of the layer below, by statistics of its own that `merge`, as runs in place
    /// (`segments`), or as one matrix: `plain`, `rewired` or `gathered`, the costliest of its training sets.
    pub access: String,
    /// Cross-validated root mean squared error; absent when not scored.
    #[serde(flatten)]
    pub scores: Option<Scores>,
    /// Seconds of its own K + 1 fits, added up over threads; neither the shared pass nor other learners' work that a thread took on
    /// meanwhile is in it.
    pub fit_seconds: f64,
    /// Seconds of its predictions of held-out folds, likewise; 0 where scores follow from statistics.
    pub predict_seconds: f64,
    /// Bytes copied to hand it its rows, and in its fits: what the ledger says. Shared copies count at every learner that uses them.
    pub copied_bytes: u64,
    /// How each of its fits ended, fold by fold and on all rows last; empty for a learner that does not iterate.
    pub convergence: Vec<FitConvergence>,
}

/// What a fit did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Rows of the table.
    pub rows: usize,
    /// Columns of the table.
    pub columns: usize,
    /// Rows held out by each fold.
    pub fold_sizes: Vec<usize>,
    /// How the first layer's rows were split, in words.
    pub folds_text: String,
    /// Name and parameters of what split them.
    pub scheme: serde_json::Value,
    /// Labels of the target's classes, when a learner classifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Label>>,
    /// Threads of the pool.
    pub threads: usize,
    /// Seconds from plan to last fit.
    pub wall_seconds: f64,
    /// Sums over the ledger.
    #[serde(flatten)]
    pub totals: Totals,
    /// The most bytes of memory that the engine held at once: rows in another order, views that copy, statistics and prediction columns.
    pub peak_held_bytes: u64,
    /// Whether the copies in the ledger are the plan's, to the byte, and what was held at once no more than the plan says.
    pub as_planned: bool,
    /// Every learner, layer by layer.
    pub learners: Vec<LearnerReport>,
    /// What a user should know although nothing failed: what did not converge, and the like.
    pub notes: Vec<Note>,
    /// The ledger.
    pub work: Vec<Work>,
}

impl Report {
    /// The ledger's work that copies or stores bytes: all but passes, added up by purpose, layer and fold.
    pub fn copies(&self) -> Vec<Work> {
        copies(&self.work)
    }

    /// As data, for a model's file: without times, threads and what was held at once, so that the file is the same bytes however the fit
    /// ran.
    pub(crate) fn to_json(&self) -> Value {
        let mut told = Self { threads: 0, wall_seconds: 0.0, peak_held_bytes: 0, ..self.clone() };
        for learner in &mut told.learners {
            (learner.fit_seconds, learner.predict_seconds) = (0.0, 0.0);
        }
        serde_json::to_value(told).expect("numbers and text")
    }

    /// From what [`Report::to_json`] gave; `None` when it cannot be read.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        serde_json::from_value(value.clone()).ok()
    }
}
