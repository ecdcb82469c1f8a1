//! The contract of classifiers: one column per class of the whole target, whichever of them a fold has.

use super::{
    checks::{Bench, Checked, During, fail, skip},
    problem::Problem,
    subject::{Fit, Subject},
};
use crate::{data::classes::most_probable, learner::estimator::Predicts};

/// Share of right answers on classes that lie apart.
const ACCURACY: f64 = 0.9;

/// Distance from 1 of a row's sum of probabilities.
const ROUNDING: f64 = 1e-9;

fn predicts(bench: &Bench<'_>) -> Predicts {
    match &bench.subject {
        Subject::Learner(l) => l.predicts(),
        Subject::Transformer(_) => Predicts::Numbers,
    }
}

/// That the rows of a prediction for the probe are what the learner says.
fn rows_of(bench: &Bench<'_>, predictions: &[f64], k: usize) -> Checked {
    for (row, values) in predictions.chunks_exact(k).enumerate() {
        let sum: f64 = values.iter().sum();
        let holds = match predicts(bench) {
            Predicts::Votes => values.iter().all(|v| *v == 0.0 || *v == 1.0) && sum == 1.0,
            _ => values.iter().all(|v| *v >= 0.0) && (sum - 1.0).abs() <= ROUNDING,
        };
        if !holds {
            return fail(format!("row {row} is {values:?}, no row of {}", predicts(bench)));
        }
    }
    Ok(())
}

/// That the classes of `probe` are found from predictions of `k` columns.
fn accurate(bench: &Bench<'_>, fit: &Fit, probe: &Problem, k: usize) -> Checked<Vec<f64>> {
    if fit.n_outputs() != k {
        return fail(format!("{} columns of predictions for {k} classes", fit.n_outputs()));
    }
    let got = super::checks::predict(fit, probe.mat())?;
    rows_of(bench, &got, k)?;
    let right = got.chunks_exact(k).zip(&probe.y);
    let right = right.filter(|(row, y)| most_probable(row.iter().copied()) == Some(**y as usize)).count();
    let accuracy = right as f64 / probe.nrows() as f64;
    if bench.capabilities.skilled && accuracy < ACCURACY {
        return fail(format!("accuracy {accuracy:.3} on {k} classes that lie apart"));
    }
    Ok(got)
}

/// Training rows and a probe of `k` classes.
fn blobs(bench: &Bench<'_>, k: usize) -> [Problem; 2] {
    let (n, probe) = (bench.problem.nrows(), bench.probe.nrows());
    [0..n, n..n + probe].map(|rows| Problem::classes(rows, k, bench.capabilities))
}

pub(crate) fn separates_blobs(bench: &Bench<'_>) -> Checked {
    if !bench.capabilities.skilled {
        return skip("declared unskilled");
    }
    for k in [2, 3] {
        let [train, probe] = blobs(bench, k);
        let fit = bench.fit(&train).during(format!("{k} classes"))?;
        accurate(bench, &fit, &probe, k)?;
    }
    Ok(())
}

pub(crate) fn rows_are_distributions(bench: &Bench<'_>) -> Checked {
    for k in [2, 3] {
        let [train, mut probe] = blobs(bench, k);
        let fit = bench.fit(&train).during(format!("{k} classes"))?;
        for far in [1.0, 1e3] {
            // Far from every class, densities vanish and exponents overflow.
            probe = probe.with_x(|_, _, v| far * v);
            rows_of(bench, &super::checks::predict(&fit, probe.mat())?, k)
                .during(format!("{k} classes, rows times {far}"))?;
        }
    }
    Ok(())
}

pub(crate) fn missing_class(bench: &Bench<'_>) -> Checked {
    let [train, probe] = blobs(bench, 3);
    for missing in 0..3 {
        let without = |p: &Problem| p.only(|_, y| y != missing as f64);
        let said = format!("without class {missing}");
        let fit = bench.fit(&without(&train)).during(&said)?;
        let got = accurate(bench, &fit, &without(&probe), 3).during(&said)?;
        if let Some(row) = got.chunks_exact(3).position(|row| row[missing] != 0.0) {
            return fail(format!("{said}: its column is {} in row {row}", got[row * 3 + missing]));
        }
    }
    Ok(())
}

pub(crate) fn single_class(bench: &Bench<'_>) -> Checked {
    let [train, _] = blobs(bench, 3);
    for class in 0..3 {
        let said = format!("class {class} alone");
        let fit = bench.fit(&train.only(|_, y| y == class as f64)).during(&said)?;
        let got = bench.predictions(&fit).during(&said)?;
        let want = |column: usize| f64::from(u8::from(column == class));
        if fit.n_outputs() != 3 || got.iter().enumerate().any(|(i, v)| *v != want(i % 3)) {
            return fail(format!("{said}: not every row gives it 1 and the others 0"));
        }
    }
    Ok(())
}

pub(crate) fn class_numbers_are_checked(bench: &Bench<'_>) -> Checked {
    let refused = |what: &str, problem: &Problem| match bench.fit_in_time(problem).during(what)? {
        Err(_) => Ok(()),
        Ok(_) => fail(format!("{what}: the fit was no error")),
    };
    let [train, _] = blobs(bench, 3);
    for target in [3.0, -1.0, 0.5, 1e300] {
        let odd = train.clone().with_y(|row, y| if row == 5 { target } else { y });
        refused(&format!("target {target} of 3 classes"), &odd)?;
    }
    refused("no number of classes", &Problem { n_classes: None, ..train })
}
