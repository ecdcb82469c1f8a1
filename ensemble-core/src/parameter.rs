//! Checks of hyper-parameters: what a learner of any backend asks of its own before a fit, and what it says of those that do not
//! hold.
//!
//! ```
//! use ensemble_core::parameter::{at_least, positive};
//! assert!(at_least("mine.boosting", "n_estimators", 100, 1).is_ok());
//! let error = positive("mine.boosting", "learning_rate", 0.0).unwrap_err();
//! assert_eq!(error.to_string(), "mine.boosting: learning_rate=0 is out of range: a finite number above 0");
//! ```

use crate::error::{Error, Result};

fn ask(holds: bool, kind: &str, name: &str, value: impl std::fmt::Display, want: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::parameter(kind, name, value, want)) }
}

/// That `value` is finite.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn finite(kind: &str, name: &str, value: f64) -> Result<()> {
    ask(value.is_finite(), kind, name, value, "a finite number")
}

/// That `value` is finite and at least 0.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn not_negative(kind: &str, name: &str, value: f64) -> Result<()> {
    ask(value >= 0.0 && value.is_finite(), kind, name, value, "a finite number, 0 or more")
}

/// That `value` is finite and above 0.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn positive(kind: &str, name: &str, value: f64) -> Result<()> {
    ask(value > 0.0 && value.is_finite(), kind, name, value, "a finite number above 0")
}

/// That `value` lies from 0 to 1, the ends included.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn zero_to_one(kind: &str, name: &str, value: f64) -> Result<()> {
    ask((0.0..=1.0).contains(&value), kind, name, value, "a number from 0 to 1")
}

/// That `value` is above 0 and at most 1.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn share(kind: &str, name: &str, value: f64) -> Result<()> {
    ask(value > 0.0 && value <= 1.0, kind, name, value, "a share above 0 and at most 1")
}

/// That `value` is at least `least`.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn at_least(kind: &str, name: &str, value: usize, least: usize) -> Result<()> {
    ask(value >= least, kind, name, value, &format!("a whole number, {least} or more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_they_say_and_nan_is_in_none() {
        type Check = fn(&str, &str, f64) -> Result<()>;
        let table: [(Check, &[f64], &[f64]); 5] = [
            (finite, &[-1e300, 0.0], &[f64::INFINITY]),
            (not_negative, &[0.0, 1e300], &[-1e-300, f64::INFINITY]),
            (positive, &[1e-300], &[0.0, -1.0, f64::INFINITY]),
            (zero_to_one, &[0.0, 1.0], &[-1e-9, 1.0 + 1e-9]),
            (share, &[1e-9, 1.0], &[0.0, 1.0 + 1e-9]),
        ];
        for (check, inside, outside) in table {
            assert!(inside.iter().all(|v| check("k", "p", *v).is_ok()));
            assert!(outside.iter().chain([&f64::NAN]).all(|v| check("k", "p", *v).is_err()));
        }
        assert!(at_least("k", "p", 2, 2).is_ok() && at_least("k", "p", 1, 2).is_err());
    }
}
