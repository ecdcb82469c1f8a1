//! What every call of smartcore has in common: rows lent on a big stack, errors and seeds translated, parameters checked.

use ensemble_core::{Error, ErrorKind, PresentClasses, Result, RowsView, Train, on_stack};
use smartcore::{error::Failed, linalg::basic::arrays::ArrayView2};

use crate::SharedMatrix;

/// What lists of learners call the library behind this crate.
pub(crate) const BACKEND: &str = "smartcore 0.7.0";

/// Stack of a backend's call, reserved and not touched: some recurse as deep as a tree or a table.
const STACK_BYTES: usize = 256 << 20;

/// Call smartcore on the rows of `view`, on a big stack.
///
/// # Errors
/// smartcore's own, said of `kind`.
pub(crate) fn call<T: Send>(
    kind: &str,
    view: RowsView<'_>,
    call: impl FnOnce(&SharedMatrix) -> std::result::Result<T, Failed> + Send,
) -> Result<T> {
    on_stack(STACK_BYTES, || SharedMatrix::lend(view, |x| call(x).map_err(|e| failed(kind, &e)))?)
}

/// smartcore's error as one of ours.
pub(crate) fn failed(kind: &str, error: &Failed) -> Error {
    Error::unsupported(format!("{kind}: smartcore: {error}"))
}

/// The training targets in one piece, which smartcore wants: 8 bytes a row.
pub(crate) fn targets(train: &Train<'_>) -> Vec<f64> {
    let mut y = Vec::with_capacity(train.shape().nrows);
    train.y().for_each(|run| y.extend_from_slice(run));
    y
}

/// The training targets as codes of the classes present, which smartcore's classifiers take.
pub(crate) fn codes(train: &Train<'_>, present: &PresentClasses) -> Vec<u32> {
    let mut codes = Vec::with_capacity(train.shape().nrows);
    codes.extend(present.codes(train.y().flatten().copied()).map(|code| code as u32));
    codes
}

/// # Errors
/// When any of `values` is NaN or infinite.
pub(crate) fn check_finite<'a>(
    kind: &str,
    what: &str,
    values: impl IntoIterator<Item = &'a f64>,
) -> Result<()> {
    match values.into_iter().find(|v| !v.is_finite()) {
        None => Ok(()),
        Some(value) => Err(Error::unsupported(format!(
            "{kind}: smartcore fitted {what} of {value}; are columns constant, or copies of each other?"
        ))),
    }
}

/// Means and variances as smartcore computes them, E[x^2] - E[x]^2, where they hold enough digits.
///
/// # Errors
/// For a column that is constant, or so far from 0 that the difference has lost its digits.
pub(crate) fn spread(kind: &str, view: RowsView<'_>) -> Result<(Vec<f64>, Vec<f64>)> {
    let (means, variances) = SharedMatrix::lend(view, |x| (x.mean_by(0), ArrayView2::variance(x, 0)))?;
    for (column, (mean, variance)) in means.iter().zip(&variances).enumerate() {
        if !(mean.is_finite() && variance.is_finite()) {
            return Err(ErrorKind::Overflow { table: "training rows".into() }.into());
        }
        if *variance <= DIGITS_LOST * mean * mean {
            return Err(Error::unsupported(format!(
                "{kind}: column {column} (from 0) is constant or varies too little about its mean {mean} for smartcore's \
                 formula; drop it, or put native.center before"
            )));
        }
    }
    Ok((means, variances))
}

/// A variance this small against the square of the mean has fewer than five digits left in smartcore's formula.
pub(crate) const DIGITS_LOST: f64 = 1e-11;
