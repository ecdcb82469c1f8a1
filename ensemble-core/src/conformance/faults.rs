//! Bad input: an error in time, or a model of finite predictions; never a panic, a hang or a silent NaN.

use super::{
    checks::{Bench, Checked, During, fail, finite},
    problem::Problem,
};
use crate::{
    estimator::MissingValues,
    mat::{MatMut, MatRef, Order},
};

/// That a fit is an error.
fn refused(bench: &Bench<'_>, problem: &Problem) -> Checked {
    match bench.fit_in_time(problem)? {
        Err(_) => Ok(()),
        Ok(_) => fail("the fit was no error"),
    }
}

/// That a fit is an error, or a model whose predictions are finite.
fn refused_or_finite(bench: &Bench<'_>, problem: &Problem) -> Checked {
    match bench.fit_in_time(problem)? {
        Err(_) => Ok(()),
        Ok(fit) => finite(&bench.predictions(&fit)?),
    }
}

/// The problem with `value` at one place of x: in the middle, and as the last of all.
fn with_value(bench: &Bench<'_>, value: f64) -> [(String, Problem); 2] {
    let (n, p) = (bench.problem.nrows(), bench.problem.ncols);
    [(n / 2, p / 2), (n - 1, p - 1)].map(|(row, column)| {
        let problem = bench.problem.clone().with_x(|r, c, v| if (r, c) == (row, column) { value } else { v });
        (format!("{value} at row {row}, column {column}"), problem)
    })
}

pub(crate) fn nan_is_handled_as_declared(bench: &Bench<'_>) -> Checked {
    let declared = bench.capabilities.missing_values.unwrap_or_else(|| bench.subject.missing_values());
    for (what, problem) in with_value(bench, f64::NAN) {
        match declared {
            MissingValues::Refused => refused(bench, &problem).during(what)?,
            MissingValues::Accepted => {
                let fit = bench.fit_in_time(&problem)?.during(&what)?;
                finite(&bench.predictions(&fit)?).during(what)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn infinity_is_refused(bench: &Bench<'_>) -> Checked {
    for value in [f64::INFINITY, f64::NEG_INFINITY] {
        for (what, problem) in with_value(bench, value) {
            refused(bench, &problem).during(what)?;
        }
    }
    Ok(())
}

pub(crate) fn nan_targets_are_refused(bench: &Bench<'_>) -> Checked {
    for value in [f64::NAN, f64::INFINITY] {
        for at in [0, bench.problem.nrows() - 1] {
            let problem = bench.problem.clone().with_y(|row, y| if row == at { value } else { y });
            refused(bench, &problem).during(format!("target {value} at row {at}"))?;
        }
    }
    Ok(())
}

pub(crate) fn wrong_shapes_are_errors(bench: &Bench<'_>) -> Checked {
    let fit = bench.fitted()?;
    let (n, p, k) = (16, bench.probe.ncols, fit.n_outputs());
    let attempt = |ncols: usize, rows: usize, columns: usize| -> Checked {
        let (x, mut out) = (vec![0.5; n * ncols], vec![0.0; rows * columns]);
        let x = MatRef::new(&x, n, ncols, Order::C)?;
        match fit.apply_into(x, MatMut::new(&mut out, rows, columns, Order::C)?) {
            Err(_) => Ok(()),
            Ok(()) => fail(format!(
                "{n} x {ncols} into {rows} x {columns} was no error, for a model of {p} columns and {k} predicted"
            )),
        }
    };
    for ncols in [p - 1, p + 1] {
        attempt(ncols, n, k)?;
    }
    for rows in [0, n - 1, n + 1] {
        attempt(p, rows, k)?;
    }
    for columns in [k - 1, k + 1] {
        attempt(p, n, columns)?;
    }
    Ok(())
}

pub(crate) fn no_rows_is_an_error(bench: &Bench<'_>) -> Checked {
    refused(bench, &bench.problem.only(|_, _| false))
}

pub(crate) fn few_rows(bench: &Bench<'_>) -> Checked {
    for rows in [1, 2] {
        refused_or_finite(bench, &bench.problem.only(|row, _| row < rows))
            .during(format!("the first {rows} of the rows"))?;
    }
    Ok(())
}

pub(crate) fn dull_columns(bench: &Bench<'_>) -> Checked {
    let column = |value: f64| bench.problem.clone().with_x(|_, c, v| if c == 0 { value } else { v });
    for value in [0.0, 3.0, 0.1] {
        refused_or_finite(bench, &column(value)).during(format!("a column of {value}"))?;
    }
    let p = bench.problem.ncols;
    if p > 1 {
        let x = &bench.problem.x;
        let twice = bench.problem.clone().with_x(|r, c, v| if c == p - 1 { x[r * p] } else { v });
        refused_or_finite(bench, &twice).during("two equal columns")?;
        refused_or_finite(bench, &bench.problem.clone().with_x(|_, c, _| c as f64))
            .during("constant columns only")?;
    }
    Ok(())
}

pub(crate) fn constant_target(bench: &Bench<'_>) -> Checked {
    refused_or_finite(bench, &bench.problem.clone().with_y(|_, _| 2.5))
}
