//! What a learner cannot do by its nature, so that the checks do not ask for it.

use crate::learner::estimator::MissingValues;

/// The values that the columns of tables hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Values {
    #[default]
    Real,
    Positive,
    Counts,
}

/// What the suite's tables may look like, and which checks are known to fail. The defaults ask for everything.
///
/// ```
/// use ensemble_core::conformance::Capabilities;
/// let isotonic = Capabilities::new().columns(1);
/// let quadratic = Capabilities::new().rows(600).expect_failure(
///     "few_rows",
///     "the solver panics on one row: https://example.org/solver/issues/1",
/// );
/// # let _ = (isotonic, quadratic);
/// ```
#[derive(Clone, Debug)]
pub struct Capabilities {
    pub(crate) ncols: usize,
    pub(crate) nrows: usize,
    pub(crate) values: Values,
    pub(crate) positive_target: bool,
    pub(crate) class_target: bool,
    pub(crate) order_tolerance: f64,
    pub(crate) skilled: bool,
    pub(crate) registered: bool,
    pub(crate) missing_values: Option<MissingValues>,
    pub(crate) expected: Vec<(String, String)>,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            ncols: 8,
            // Three folds of two pages each, and a rest.
            nrows: 3 * 1024 + 77,
            values: Values::Real,
            positive_target: false,
            class_target: false,
            order_tolerance: 0.0,
            skilled: true,
            registered: true,
            missing_values: None,
            expected: Vec::new(),
        }
    }
}

impl Capabilities {
    /// Any table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tables of this many columns. Default 8.
    ///
    /// # Panics
    /// For none.
    #[must_use]
    pub fn columns(mut self, ncols: usize) -> Self {
        assert!(ncols > 0, "tables need a column");
        self.ncols = ncols;
        self
    }

    /// Tables of this many rows, for learners whose time or memory grows as the square. Default 3149. Below 1536 there are not
    /// three folds of whole pages, and the checks that need them are skipped.
    ///
    /// # Panics
    /// For fewer than 60: some tables are a third of that.
    #[must_use]
    pub fn rows(mut self, nrows: usize) -> Self {
        assert!(nrows >= 60, "tables need 60 rows");
        self.nrows = nrows;
        self
    }

    /// Columns hold positive numbers only.
    #[must_use]
    pub fn positive_columns(mut self) -> Self {
        self.values = Values::Positive;
        self
    }

    /// Columns hold counts only: 0, 1, 2 and so on.
    #[must_use]
    pub fn count_columns(mut self) -> Self {
        self.values = Values::Counts;
        self
    }

    /// Targets of regression are positive only.
    #[must_use]
    pub fn positive_target(mut self) -> Self {
        self.positive_target = true;
        self
    }

    /// Targets are classes: for transformers that learn from them, as discriminant analysis does. Such a transformer is not run in an
    /// ensemble.
    #[must_use]
    pub fn class_target(mut self) -> Self {
        self.class_target = true;
        self
    }

    /// Fits on tables in C and in Fortran order agree to this share of the greatest prediction. Default 0: to the bit.
    #[must_use]
    pub fn order_tolerance(mut self, tolerance: f64) -> Self {
        self.order_tolerance = tolerance;
        self
    }

    /// It need not predict better than the mean, or than guessing.
    #[must_use]
    pub fn unskilled(mut self) -> Self {
        self.skilled = false;
        self
    }

    /// Its kind need not be in the registry, as for learners that hold values which no text can say.
    #[must_use]
    pub fn unregistered(mut self) -> Self {
        self.registered = false;
        self
    }

    /// What it does with NaN, for transformers, whose trait does not say. Default: refused.
    #[must_use]
    pub fn missing_values(mut self, missing_values: MissingValues) -> Self {
        self.missing_values = Some(missing_values);
        self
    }

    /// The check of this name is known to fail, for this reason: say where the fault is written down. A check that passes though
    /// it is expected to fail is a failure, and so is a name that no check of the family has.
    #[must_use]
    pub fn expect_failure(mut self, check: impl Into<String>, reason: impl Into<String>) -> Self {
        self.expected.push((check.into(), reason.into()));
        self
    }
}
