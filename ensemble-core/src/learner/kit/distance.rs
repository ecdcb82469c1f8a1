//! The numbers between which distances are what they should be: one rule for every learner that measures rows.
//!
//! The square of a difference beyond about 1e154 overflows, and that of one below about 1e-154 loses its digits and then vanishes:
//! distances tie, and any row is the nearest. Neither shows in a prediction, so such columns are refused.

use crate::{
    data::mat::{MatRef, Order},
    error::{Error, Result},
};

/// How differences of values enter a distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differences {
    /// By their squares.
    Squared,
    /// As they are, or by what is as great.
    Plain,
}

impl Differences {
    /// Values up to this may be measured.
    const fn greatest(self) -> f64 {
        match self {
            Self::Squared => 1e150,
            Self::Plain => 1e300,
        }
    }

    /// Columns that span at least this may be measured: the last digits of their values still count.
    const fn least(self) -> f64 {
        match self {
            Self::Squared => 1e-140,
            Self::Plain => 1e-290,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Squared => "squares",
            Self::Plain => "sums",
        }
    }
}

/// Least and greatest values by column, of no rows.
pub fn no_ranges(ncols: usize) -> Vec<(f64, f64)> {
    vec![(f64::INFINITY, f64::NEG_INFINITY); ncols]
}

/// Widen `ranges` to hold the rows of `x`. One read.
///
/// # Panics
/// Unless there is a range per column.
pub fn widen(ranges: &mut [(f64, f64)], x: MatRef<'_>) {
    assert_eq!(ranges.len(), x.ncols(), "a range per column");
    let hold = |(least, greatest): &mut (f64, f64), value: f64| {
        *least = if value < *least { value } else { *least };
        *greatest = if value > *greatest { value } else { *greatest };
    };
    match x.order() {
        Order::C => {
            for row in 0..x.nrows() {
                let values = &x.data()[row * x.stride()..][..x.ncols()];
                ranges.iter_mut().zip(values).for_each(|(range, value)| hold(range, *value));
            }
        }
        Order::F => {
            for (column, range) in ranges.iter_mut().enumerate() {
                let values = x.column(column).expect("a column of a matrix in Fortran order");
                values.iter().for_each(|value| hold(range, *value));
            }
        }
    }
}

/// That distances between rows of such ranges neither overflow nor leave out a column that varies.
///
/// # Errors
/// A sentence that names the table and the column.
pub fn check_ranges(differences: Differences, ranges: &[(f64, f64)], table: &str) -> Result<()> {
    for (column, (least, greatest)) in ranges.iter().enumerate() {
        let far = if greatest.abs() > least.abs() { *greatest } else { *least };
        // No rows have no range.
        if least > greatest {
            continue;
        }
        if far.abs() > differences.greatest() {
            return Err(Error::unsupported(format!(
                "{table}: column {column} (from 0) reaches {far:e}, and {} of such values overflow float64: no row could be told from \
                 another by its distance; rescale the columns first",
                differences.what()
            )));
        }
        let span = greatest - least;
        if span > 0.0 && span < differences.least() {
            return Err(Error::unsupported(format!(
                "{table}: the values of column {column} (from 0) lie within {span:e}, and {} of such differences vanish in float64: the \
                 column would count for nothing; rescale or drop it first",
                differences.what()
            )));
        }
    }
    Ok(())
}

/// That distances from the rows of `x` do not overflow. One read. What is not finite is not looked at here.
///
/// # Errors
/// A sentence that names the row and the column.
pub fn check_queries(differences: Differences, x: MatRef<'_>) -> Result<()> {
    let beyond = |value: f64| value.abs() > differences.greatest() && value.is_finite();
    let none = match x.as_slice() {
        // Without a branch per value.
        Some(values) => !values.iter().fold(false, |found, value| found | beyond(*value)),
        None => (0..x.nrows()).all(|row| (0..x.ncols()).all(|column| !beyond(x.get(row, column)))),
    };
    if none {
        return Ok(());
    }
    let places = (0..x.nrows()).flat_map(|row| (0..x.ncols()).map(move |column| (row, column)));
    for (row, column) in places {
        let value = x.get(row, column);
        if beyond(value) {
            return Err(Error::unsupported(format!(
                "rows to predict from: row {row}, column {column} (both from 0) is {value:e}, and {} of such values overflow float64; \
                 rescale the columns first",
                differences.what()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_whose_squares_overflow_or_vanish_are_named() {
        for (values, fault) in [
            ([1e160, 0.0, -1e160], Some("overflow")),
            ([1e149, 0.0, -1e149], None),
            ([1.0, 1.0, 1.0], None),
            ([0.0, 1e-150, 0.0], Some("vanish")),
            ([0.0, 1e-139, 5e-324], None),
        ] {
            for order in [Order::C, Order::F] {
                let data: Vec<f64> = match order {
                    Order::C => values.iter().flat_map(|v| [1.0, *v]).collect(),
                    Order::F => [1.0; 3].into_iter().chain(values).collect(),
                };
                let x = MatRef::new(&data, 3, 2, order).unwrap();
                let mut ranges = no_ranges(2);
                widen(&mut ranges, x);
                match (check_ranges(Differences::Squared, &ranges, "t"), fault) {
                    (Ok(()), None) => {}
                    (Err(error), Some(fault)) => {
                        let said = error.to_string();
                        assert!(
                            said.starts_with("t: ") && said.contains("column 1") && said.contains(fault),
                            "{said}"
                        );
                    }
                    (other, _) => panic!("{values:?}: {other:?}"),
                }
                check_ranges(Differences::Plain, &ranges, "t").unwrap();
                let queries = check_queries(Differences::Squared, x);
                assert_eq!(queries.is_err(), fault == Some("overflow"), "{values:?}");
            }
        }
        check_ranges(Differences::Squared, &no_ranges(2), "t").unwrap();
    }
}
