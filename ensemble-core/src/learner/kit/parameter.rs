//! Checks of hyper-parameters: what a learner of any backend asks of its own where it is built, and what it says of those that do
//! not hold.
//!
//! Every parameter has bounds, also where a formula has none: a count that no machine has room for, or a factor whose square
//! overflows, would otherwise abort a fit, or never end it. Numbers stay within [`GREATEST`] of 0, counts of rows and columns below
//! 2^32, and what a fit repeats is bounded by [`MOST_ROUNDS`] and [`MOST_MEMBERS`]. What depends on the table is checked by
//! [`Estimator::check_shape`](crate::Estimator::check_shape).
//!
//! ```
//! use ensemble_core::parameter::{members, positive};
//! assert!(members("mine.boosting", "n_estimators", 100).is_ok());
//! let error = positive("mine.boosting", "learning_rate", 0.0).unwrap_err();
//! let want = "mine.boosting: learning_rate=0 is out of range: a number above 0, from 1e-150 to 1e150";
//! assert_eq!(error.to_string(), want);
//! ```

use crate::error::{Error, GREATEST, Result};

/// Most rounds of a solver.
pub const MOST_ROUNDS: usize = 10_000_000;

/// Most members of a forest, a bag or a boost.
pub const MOST_MEMBERS: usize = 100_000;

/// Most columns that a projection makes.
pub const MOST_COMPONENTS: usize = 1_000_000;

/// No more rows, columns or levels than this are counted by a parameter.
const MOST: usize = u32::MAX as usize;

fn ask(holds: bool, kind: &str, name: &str, value: impl std::fmt::Display, want: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::parameter(kind, name, value, want)) }
}

/// That `value` is finite and within [`GREATEST`] of 0.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn finite(kind: &str, name: &str, value: f64) -> Result<()> {
    ask(value.abs() <= GREATEST, kind, name, value, "a number from -1e150 to 1e150")
}

/// That `value` is from 0 to [`GREATEST`].
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn not_negative(kind: &str, name: &str, value: f64) -> Result<()> {
    ask((0.0..=GREATEST).contains(&value), kind, name, value, "a number from 0 to 1e150")
}

/// That `value` is above 0, so far that neither its square nor its inverse's overflows or vanishes.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn positive(kind: &str, name: &str, value: f64) -> Result<()> {
    let holds = (1.0 / GREATEST..=GREATEST).contains(&value);
    ask(holds, kind, name, value, "a number above 0, from 1e-150 to 1e150")
}

/// That `value` is from `least` to `most`: for a tolerance that a solver can reach, or a factor that must not overflow in the end.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn between(kind: &str, name: &str, value: f64, least: f64, most: f64) -> Result<()> {
    let want = || format!("a number from {least:?} to {most:?}");
    if (least..=most).contains(&value) { Ok(()) } else { Err(Error::parameter(kind, name, value, want())) }
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

/// That `value` is at least `least`, and below 2^32.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn at_least(kind: &str, name: &str, value: usize, least: usize) -> Result<()> {
    from_to(kind, name, value, least, MOST)
}

/// That `value` is from `least` to `most`.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it is not.
pub fn from_to(kind: &str, name: &str, value: usize, least: usize, most: usize) -> Result<()> {
    let want = || match most {
        MOST => format!("a whole number, {least} or more, below 2^32"),
        _ => format!("a whole number from {least} to {most}"),
    };
    if (least..=most).contains(&value) { Ok(()) } else { Err(Error::parameter(kind, name, value, want())) }
}

/// That a solver may make `value` rounds: from 1 to [`MOST_ROUNDS`].
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it may not.
pub fn rounds(kind: &str, name: &str, value: usize) -> Result<()> {
    from_to(kind, name, value, 1, MOST_ROUNDS)
}

/// That an ensemble of a backend's own may have `value` members: from 1 to [`MOST_MEMBERS`].
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when it may not.
pub fn members(kind: &str, name: &str, value: usize) -> Result<()> {
    from_to(kind, name, value, 1, MOST_MEMBERS)
}

/// That the ends of a range are in order, within [`GREATEST`] of 0, and so far apart that squares of what lies between do not
/// vanish. Parameters `NAME_min` and `NAME_max`.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) of the one at fault.
pub fn range(kind: &str, name: &str, min: f64, max: f64) -> Result<()> {
    finite(kind, &format!("{name}_min"), min)?;
    finite(kind, &format!("{name}_max"), max)?;
    let want = || format!("a number above {name}_min={min:?} by 1e-150 at least");
    if max - min >= 1.0 / GREATEST {
        Ok(())
    } else {
        Err(Error::parameter(kind, format!("{name}_max"), max, want()))
    }
}

/// That no more of something is asked for than there is, which `what` says, as in "columns": what depends on the table.
///
/// # Errors
/// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when more is.
pub fn at_most_there_are(kind: &str, name: &str, value: usize, there_are: usize, what: &str) -> Result<()> {
    let want = || format!("at most the {what}, which are {there_are}");
    if value <= there_are { Ok(()) } else { Err(Error::parameter(kind, name, value, want())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_they_say_and_nan_is_in_none() {
        type Check = fn(&str, &str, f64) -> Result<()>;
        let table: [(Check, &[f64], &[f64]); 6] = [
            (finite, &[-1e150, 0.0, 1e150], &[f64::INFINITY, 1e151, -1e308]),
            (not_negative, &[0.0, 5e-324, 1e150], &[-1e-300, f64::INFINITY, 1e151]),
            (positive, &[1e-150, 1e150], &[0.0, -1.0, f64::INFINITY, 5e-324, 1e-308, 1e308]),
            (zero_to_one, &[0.0, 1.0], &[-1e-9, 1.0 + 1e-9]),
            (share, &[1e-9, 1.0], &[0.0, 1.0 + 1e-9]),
            (|k, p, v| between(k, p, v, 1e-9, 10.0), &[1e-9, 10.0], &[0.9e-9, 10.1, f64::INFINITY]),
        ];
        for (check, inside, outside) in table {
            assert!(inside.iter().all(|v| check("k", "p", *v).is_ok()));
            assert!(outside.iter().chain([&f64::NAN]).all(|v| check("k", "p", *v).is_err()));
        }
        assert!(at_least("k", "p", 2, 2).is_ok() && at_least("k", "p", 1, 2).is_err());
        assert!(at_least("k", "p", MOST, 0).is_ok() && at_least("k", "p", MOST + 1, 0).is_err());
        assert!(rounds("k", "p", MOST_ROUNDS).is_ok() && rounds("k", "p", MOST_ROUNDS + 1).is_err());
        assert!(members("k", "p", MOST_MEMBERS).is_ok() && members("k", "p", 0).is_err());
        assert!(at_most_there_are("k", "p", 4, 4, "columns").is_ok());
        assert!(at_most_there_are("k", "p", 5, 4, "columns").is_err());
        let ends = |min, max| range("k", "feature_range", min, max);
        assert!(ends(0.0, 1.0).is_ok() && ends(-1e150, 1e150).is_ok() && ends(0.0, 1e-150).is_ok());
        for (min, max) in [(1.0, 1.0), (0.0, 5e-324), (1.0, 0.0), (f64::NAN, 1.0), (0.0, 1e308)] {
            assert!(ends(min, max).is_err(), "{min} {max}");
        }
    }
}
