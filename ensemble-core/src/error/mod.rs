//! What can go wrong, as data: the kind carries what and where, `Display` builds the sentence.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

mod text;

/// What backends are handed at most, up or down: beyond it squares, and sums of some squares, overflow float64, and several
/// libraries then panic, never return, or answer with NaN.
pub const GREATEST: f64 = 1e150;

/// The result of every fallible call in this workspace.
pub type Result<T> = std::result::Result<T, Error>;

/// An error: a boxed [`ErrorKind`], one pointer wide.
#[derive(Debug)]
pub struct Error(Box<ErrorKind>);

/// The kinds of error, with the facts a program or a person needs to act.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file could not be opened, read, written or mapped.
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done, as in "open" or "allocate 4096 bytes for".
        action: String,
        /// The operating system's word.
        source: io::Error,
    },
    /// A file is not what it should be.
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what was expected.
        what: String,
    },
    /// Two sizes that must agree do not.
    Shape {
        /// Of what.
        what: String,
        /// The size wanted.
        want: usize,
        /// The size got.
        got: usize,
    },
    /// A range of rows reaches outside the table.
    RowRange {
        /// First row.
        start: usize,
        /// One past the last row.
        end: usize,
        /// Rows of the table.
        nrows: usize,
    },
    /// A value that is NaN or infinite where numbers are needed.
    NotFinite {
        /// The table, as it describes itself.
        table: String,
        /// The row, from 0.
        row: usize,
        /// The column, from 0.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A value that is NaN or infinite after transformers, made from values that are finite.
    Transformed {
        /// The row, from 0, of the training rows of this fit, or of the rows to predict from.
        row: usize,
        /// The column, from 0, that the transformers made.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A finite value whose square, or the square of a sum of such, would overflow.
    Magnitude {
        /// The table, as it describes itself.
        table: String,
        /// The row, from 0.
        row: usize,
        /// The column, from 0.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A prediction that is NaN or infinite for a row whose values are finite.
    Prediction {
        /// The row, from 0.
        row: usize,
        /// The column of the prediction, from 0: a class, or 0 for numbers.
        column: usize,
        /// What was predicted.
        value: f64,
    },
    /// Sums over finite values overflowed.
    Overflow {
        /// The table, as it describes itself.
        table: String,
    },
    /// A column that varies by so little that the squares of it are below the least numbers there are.
    Underflow {
        /// The table, as it describes itself.
        table: String,
        /// The column, from 0.
        column: usize,
    },
    /// Folds that cannot be made.
    Folds {
        /// Folds asked for.
        n_folds: usize,
        /// Rows of the table.
        nrows: usize,
        /// Why not.
        reason: String,
    },
    /// A parameter whose value is out of its range.
    Parameter {
        /// The learner or transformer.
        kind: String,
        /// The parameter.
        name: String,
        /// The value given.
        value: String,
        /// What is wanted.
        want: String,
    },
    /// A parameter that the learner does not have.
    UnknownParameter {
        /// The learner or transformer.
        kind: String,
        /// The name given.
        name: String,
        /// The names it has.
        known: Vec<String>,
    },
    /// A learner or transformer that no compiled-in backend has.
    UnknownKind {
        /// The kind given.
        kind: String,
        /// The kinds there are.
        known: Vec<String>,
    },
    /// A description of a learner or an ensemble that cannot be read.
    Spec {
        /// The text at fault.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// A target whose values are not classes, where a classifier needs them.
    Classes {
        /// Why not.
        reason: String,
    },
    /// A memory budget too small for what must be held at once.
    Budget {
        /// What needs the memory.
        what: String,
        /// Bytes needed.
        need: u64,
        /// Bytes allowed.
        budget: u64,
    },
    /// A plan, without a budget, that is larger than the memory there is.
    Memory {
        /// What needs the memory.
        what: String,
        /// Bytes needed.
        need: u64,
        /// Bytes that the system, its control groups and its limits leave to this process.
        available: u64,
    },
    /// Something that fails inside one learner's fit or prediction.
    Learner {
        /// The learner's name in its layer.
        name: String,
        /// The layer, from 0.
        layer: usize,
        /// The fold whose rows were held out; `None` for the fit on all rows.
        fold: Option<usize>,
        /// What happened.
        source: Error,
    },
    /// What a learner declares, or asks for, before any fit: it fails, or does not suit the table.
    Declaration {
        /// The learner's name in its layer.
        name: String,
        /// The layer, from 0.
        layer: usize,
        /// What happened.
        source: Error,
    },
    /// Something that fails inside a statistic.
    Statistic {
        /// The statistic's key.
        statistic: String,
        /// The learners of the layer that asked for it; none where that is not known.
        learners: Vec<String>,
        /// The layer, from 0, where it is known.
        layer: Option<usize>,
        /// The fold whose rows were summed up; `None` for states of several folds.
        fold: Option<usize>,
        /// What happened.
        source: Error,
    },
    /// A panic, caught at the boundary of a learner.
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The caller's [`Monitor`](crate::Monitor) asked to stop.
    Cancelled,
    /// A thing that is not offered, with the reason and a way out.
    Unsupported {
        /// The sentence.
        what: String,
    },
}

impl Error {
    /// What happened.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// An [`ErrorKind::Io`]; `action` is a verb phrase such as "open".
    pub fn io(path: impl Into<PathBuf>, action: impl Into<String>, source: io::Error) -> Self {
        ErrorKind::Io { path: path.into(), action: action.into(), source }.into()
    }

    /// An [`ErrorKind::Classes`] with the name of the target in front; other errors as they are.
    pub(crate) fn in_target(self, target: &str) -> Self {
        match *self.0 {
            ErrorKind::Classes { reason } => {
                ErrorKind::Classes { reason: format!("{target}: {reason}") }.into()
            }
            _ => self,
        }
    }

    /// An [`ErrorKind::NotFinite`] of rows that transformers made, said of the transformers; other errors as they are.
    pub(crate) fn behind_transformers(self) -> Self {
        match *self.0 {
            ErrorKind::NotFinite { row, column, value, .. } => {
                ErrorKind::Transformed { row, column, value }.into()
            }
            _ => self,
        }
    }

    /// An [`ErrorKind::Format`].
    pub fn format(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        ErrorKind::Format { path: path.into(), what: what.into() }.into()
    }

    /// An [`ErrorKind::Shape`].
    pub fn shape(what: impl Into<String>, want: usize, got: usize) -> Self {
        ErrorKind::Shape { what: what.into(), want, got }.into()
    }

    /// An [`ErrorKind::Spec`].
    pub fn spec(text: impl Into<String>, reason: impl Into<String>) -> Self {
        ErrorKind::Spec { text: text.into(), reason: reason.into() }.into()
    }

    /// An [`ErrorKind::Unsupported`].
    pub fn unsupported(what: impl Into<String>) -> Self {
        ErrorKind::Unsupported { what: what.into() }.into()
    }

    /// An [`ErrorKind::Parameter`].
    pub fn parameter(
        kind: impl Into<String>,
        name: impl Into<String>,
        value: impl fmt::Display,
        want: impl Into<String>,
    ) -> Self {
        ErrorKind::Parameter {
            kind: kind.into(),
            name: name.into(),
            value: value.to_string(),
            want: want.into(),
        }
        .into()
    }

    /// The same error, said of one learner; an error that already names a learner, and a cancellation, stay as they are.
    #[must_use]
    pub fn in_learner(self, name: &str, layer: usize, fold: Option<usize>) -> Self {
        match *self.0 {
            ErrorKind::Learner { .. } | ErrorKind::Cancelled => self,
            _ => ErrorKind::Learner { name: name.into(), layer, fold, source: self }.into(),
        }
    }

    /// What happened, of a learner that stands in no layer.
    pub(crate) fn without_learner(self) -> Self {
        match *self.0 {
            ErrorKind::Learner { source, .. } => source,
            _ => self,
        }
    }

    /// The same error, said of what a learner declares before any fit.
    pub(crate) fn in_declaration(self, name: &str, layer: usize) -> Self {
        match *self.0 {
            ErrorKind::Declaration { .. } | ErrorKind::Cancelled => self,
            _ => ErrorKind::Declaration { name: name.into(), layer, source: self }.into(),
        }
    }

    /// The same error, said of one statistic; faults of the values it reads stay as they are.
    pub(crate) fn in_statistic(self, statistic: String) -> Self {
        match *self.0 {
            ErrorKind::Statistic { .. }
            | ErrorKind::Cancelled
            | ErrorKind::NotFinite { .. }
            | ErrorKind::Magnitude { .. }
            | ErrorKind::Overflow { .. } => self,
            _ => ErrorKind::Statistic {
                statistic,
                learners: Vec::new(),
                layer: None,
                fold: None,
                source: self,
            }
            .into(),
        }
    }

    /// The same error; an error of a statistic that is not known to be anybody's, of the learners that `who` says asked for the
    /// statistic of that key.
    pub(crate) fn asked_for(
        mut self,
        at: usize,
        of_fold: Option<usize>,
        who: impl FnOnce(&str) -> Vec<String>,
    ) -> Self {
        if let ErrorKind::Statistic { statistic, learners, layer: layer @ None, fold, .. } = &mut *self.0 {
            (*layer, *fold, *learners) = (Some(at), of_fold, who(statistic));
        }
        self
    }

    /// The same error, its row counted from `first` rows further up: what is said of a block, said of the table, for callers who
    /// predict block by block.
    #[must_use]
    pub fn after_rows(self, first: usize) -> Self {
        self.with_row(|row| first + row)
    }

    /// The same error, its row as `number` says.
    pub(crate) fn with_row(mut self, number: impl Fn(usize) -> usize) -> Self {
        let mut error = &mut self;
        loop {
            match &mut *error.0 {
                ErrorKind::Learner { source, .. } => error = source,
                ErrorKind::NotFinite { row, .. }
                | ErrorKind::Magnitude { row, .. }
                | ErrorKind::Transformed { row, .. }
                | ErrorKind::Prediction { row, .. } => {
                    *row = number(*row);
                    break;
                }
                _ => break,
            }
        }
        self
    }

    /// The same error; when it is of a value of the rows at hand, their table is called `name`.
    #[must_use]
    pub fn of_table(mut self, name: &str) -> Self {
        match &mut *self.0 {
            ErrorKind::NotFinite { table, .. } | ErrorKind::Magnitude { table, .. } => *table = name.into(),
            _ => {}
        }
        self
    }
}

/// Run code that is not ours, a backend's or a third party's: a panic inside becomes an error. What the panic prints goes to the
/// caller's panic hook as ever.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message = (panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "without a message".into());
        Err(ErrorKind::Panicked { message }.into())
    })
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            ErrorKind::Io { source, .. } => Some(source),
            ErrorKind::Learner { source, .. }
            | ErrorKind::Declaration { source, .. }
            | ErrorKind::Statistic { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_kinds_are_answered_by_the_nearest() {
        let known: Vec<String> =
            ["linfa.lasso", "native.lasso", "native.mean", "native.ridge", "native.k_neighbors_regressor"]
                .map(String::from)
                .into();
        let said = |kind: &str| {
            Error::from(ErrorKind::UnknownKind { kind: kind.into(), known: known.clone() }).to_string()
        };
        for (kind, near) in [
            ("native.laso", "5 kinds: native.lasso"),
            ("laso", "5 kinds: linfa.lasso, native.lasso"),
            ("Native.Rigde", "5 kinds: native.ridge"),
            ("kneighbors_regressor", "5 kinds: native.k_neighbors_regressor"),
            ("neighbors", "5 kinds: native.k_neighbors_regressor"),
            ("xgboost", "none of 5 kinds is like it"),
            ("smartcore.lasso", "this build has no smartcore"),
        ] {
            assert!(said(kind).contains(near), "{}", said(kind));
        }
        assert!(!said("native.laso").contains("neighbors"));
    }

    #[test]
    fn budgets_speak_in_units_and_to_the_byte() {
        let error =
            Error::from(ErrorKind::Budget { what: "a fit".into(), need: 234_881_024_000, budget: 100 });
        let text = error.to_string();
        assert!(
            text.contains("218.8 GiB (234881024000 bytes)") && text.contains("budget is 100 B;"),
            "{text}"
        );
    }

    #[test]
    fn names_and_paths_from_outside_leave_a_sentence_one_line_long() {
        let nasty = "\u{1b}[2J\n".repeat(5_000);
        let kinds = [
            ErrorKind::Format { path: nasty.clone().into(), what: nasty.clone() },
            ErrorKind::Spec { text: nasty.clone(), reason: "no".into() },
            ErrorKind::Panicked { message: nasty.clone() },
            ErrorKind::Unsupported { what: nasty.clone() },
            ErrorKind::Learner {
                name: nasty.clone(),
                layer: 0,
                fold: None,
                source: Error::unsupported(nasty.clone()),
            },
        ];
        for kind in kinds {
            let text = Error::from(kind).to_string();
            assert!(text.len() < 1000 && !text.contains(char::is_control), "{text}");
        }
    }
}
