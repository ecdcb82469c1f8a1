//! Bad input: an error in time, or a model of finite predictions; never a panic, a hang or a silent NaN.

use super::{
    checks::{Bench, Checked, During, fail, finite, skip},
    problem::Problem,
    subject::Fit,
};
use crate::{
    data::mat::{MatMut, MatRef, Order},
    error::{Error, ErrorKind},
    learner::estimator::MissingValues,
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

/// What a model says of a few rows of the probe, in this order, one value of which is `value`.
fn query(
    bench: &Bench<'_>,
    fit: &Fit,
    order: Order,
    at: (usize, usize),
    value: f64,
) -> Checked<Result<(), Error>> {
    let probe = bench.probe.only(|row, _| row < 8).with_x(|r, c, v| if (r, c) == at { value } else { v });
    let (values, k) = (probe.values(order), fit.n_outputs());
    let mut out = vec![0.0; 8 * k];
    let said =
        fit.apply_into(MatRef::new(&values, 8, probe.ncols, order)?, MatMut::new(&mut out, 8, k, Order::C)?);
    Ok(said.and_then(|()| finite(&out).map_err(|_| Error::unsupported("what it predicts is not finite"))))
}

pub(crate) fn queries_are_checked(bench: &Bench<'_>) -> Checked {
    let Fit::Model(model) = bench.fitted()? else { return skip("no learner") };
    let p = bench.probe.ncols;
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for (order, at) in [(Order::C, (0, 0)), (Order::C, (7, p - 1)), (Order::F, (5, p / 2))] {
            let what = format!("{value} at row {}, column {} of 8 rows in {order:?} order", at.0, at.1);
            match query(bench, bench.fitted()?, order, at, value)? {
                Ok(()) | Err(_) if value.is_nan() && model.accepts_missing() => {}
                Ok(()) => return fail(format!("{what} was no error")),
                Err(error) => match error.kind() {
                    ErrorKind::NotFinite { row, column, .. } if (*row, *column) == at => {}
                    _ => return fail(format!("{what}: the error does not name them: {error}")),
                },
            }
        }
    }
    Ok(())
}

pub(crate) fn great_values(bench: &Bench<'_>) -> Checked {
    let p = bench.problem.ncols;
    let scaled = |by: f64| {
        [
            (format!("all columns times {by:e}"), bench.problem.clone().with_x(|_, _, v| v * by)),
            (
                format!("the last column times {by:e}"),
                bench.problem.clone().with_x(|_, c, v| if c == p - 1 { v * by } else { v }),
            ),
        ]
    };
    let targets = |by: f64| (format!("targets times {by:e}"), bench.problem.clone().with_y(|_, y| y * by));
    let mut problems: Vec<(String, Problem)> = scaled(1e200).into_iter().chain(scaled(1e-200)).collect();
    if bench.problem.n_classes.is_none() {
        problems.extend([targets(1e160), targets(1e-200)]);
    }
    for (what, problem) in problems {
        if let Ok(fit) = bench.fit_in_time(&problem).during(&what)? {
            // On rows of the same size: predictions of others may overflow, which is an error.
            let rows = problem.only(|row, _| row < 64);
            let x = MatRef::new(&rows.x, rows.nrows(), p, Order::C)?;
            let mut out = vec![0.0; rows.nrows() * fit.n_outputs()];
            let said = fit.apply_into(x, MatMut::new(&mut out, rows.nrows(), fit.n_outputs(), Order::C)?);
            if said.is_ok() {
                finite(&out).during(what)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn far_rows(bench: &Bench<'_>) -> Checked {
    let (fit, p) = (bench.fitted()?, bench.probe.ncols);
    if matches!(fit, Fit::Transform(_)) {
        return skip("no learner");
    }
    for far in [1e160, 1e308] {
        let side = |v: f64| if v < 0.0 { -far } else { far };
        let rows =
            bench.probe.only(|row, _| row < 64).with_x(|row, _, v| if row < 8 { far } else { side(v) });
        let x = MatRef::new(&rows.x, rows.nrows(), p, Order::C)?;
        let mut out = vec![0.0; 64 * fit.n_outputs()];
        if fit.apply_into(x, MatMut::new(&mut out, 64, fit.n_outputs(), Order::C)?).is_ok() {
            finite(&out).during(format!("rows of {far:e}"))?;
        }
    }
    Ok(())
}
