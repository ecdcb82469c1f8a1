//! What came of the checks, as a table.

use std::fmt;

/// What one check said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The fact holds.
    Passed,
    /// It was not asked, for this reason.
    Skipped(String),
    /// It does not hold: how it was seen.
    Failed(String),
    /// It does not hold, as expected for this reason.
    ExpectedFailure(String),
    /// It holds, though a failure was expected for this reason: take the expectation back.
    UnexpectedPass(String),
}

impl Verdict {
    /// Whether nothing needs mending.
    pub fn is_ok(&self) -> bool {
        !matches!(self, Verdict::Failed(_) | Verdict::UnexpectedPass(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Passed => write!(f, "passed"),
            Verdict::Skipped(why) => write!(f, "skipped: {why}"),
            Verdict::Failed(what) => write!(f, "FAILED: {what}"),
            Verdict::ExpectedFailure(reason) => write!(f, "fails as expected: {reason}"),
            Verdict::UnexpectedPass(reason) => {
                write!(f, "PASSED, and a failure was expected: {reason}; take the expectation back")
            }
        }
    }
}

/// What all checks of one learner or transformer said.
#[derive(Clone, Debug)]
#[must_use = "an outcome that nobody asserts checks nothing"]
pub struct Outcome {
    /// Its kind.
    pub kind: String,
    /// Every check by name, in the order of [`checks`](super::checks).
    pub checks: Vec<(&'static str, Verdict)>,
    /// What is no fault but worth knowing, as a cost declared far above what was measured.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Whether no check failed, and none passed that was expected to fail.
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|(_, verdict)| verdict.is_ok())
    }

    /// What the check of this name said; `None` for one that was not in the list.
    pub fn verdict(&self, check: &str) -> Option<&Verdict> {
        self.checks.iter().find(|(name, _)| *name == check).map(|(_, verdict)| verdict)
    }

    /// Panic with the table unless [`Outcome::is_ok`].
    ///
    /// # Panics
    /// When a check failed.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.is_ok(), "{self}");
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.checks.iter().filter(|(_, verdict)| !verdict.is_ok()).count();
        writeln!(f, "{}: {faults} of {} checks failed", self.kind, self.checks.len())?;
        for (name, verdict) in &self.checks {
            writeln!(f, "  {name:<32} {verdict}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))
    }
}
