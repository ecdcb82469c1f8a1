//! What models predict: in parts, beside others' columns, at once, as a form, from a file.

use std::thread;

use super::{
    checks::{Bench, Checked, During, close, fail, finite, predict, same_bits, skip},
    subject::{Fit, Given, Subject},
};
use crate::{
    data::{
        mat::{MatMut, MatRef, Order},
        rows::Rows,
    },
    persist::record::Record,
};

/// Share of the greatest prediction by which predictions from the two orders may differ: sums run another way.
const ROUNDING: f64 = 1e-9;

pub(crate) fn predictions_are_written(bench: &Bench<'_>) -> Checked {
    finite(&bench.predictions(bench.fitted()?)?)
}

pub(crate) fn parts_are_the_whole(bench: &Bench<'_>) -> Checked {
    let fit = bench.fitted()?;
    let (n, p) = (bench.probe.nrows(), bench.probe.ncols);
    let mut wholes = Vec::new();
    for order in [Order::C, Order::F] {
        let values = bench.probe.values(order);
        let x = MatRef::new(&values, n, p, order)?;
        let whole = predict(fit, x)?;
        for block in [1, 7, 1024] {
            let mut parts = Vec::with_capacity(whole.len());
            for part in x.row_blocks(block) {
                parts.extend(predict(fit, part)?);
            }
            same_bits(&parts, &whole).during(format!("blocks of {block} rows in {order:?} order"))?;
        }
        predict(fit, x.rows(0..0)?).during("no rows")?;
        wholes.push(whole);
    }
    close(&wholes[1], &wholes[0], ROUNDING.max(bench.capabilities.order_tolerance))
        .during("Fortran against C order")
}

pub(crate) fn neighbouring_columns_stay(bench: &Bench<'_>) -> Checked {
    let fit = bench.fitted()?;
    let (n, k) = (bench.probe.nrows(), fit.n_outputs());
    let want = bench.predictions(fit)?;
    for order in [Order::C, Order::F] {
        let mut wide = vec![-7.25; n * (k + 2)];
        let mut wide = MatMut::new(&mut wide, n, k + 2, order)?;
        fit.apply_into(bench.probe.mat(), wide.columns_mut(1..k + 1))?;
        let wide = wide.as_ref();
        for row in 0..n {
            if wide.get(row, 0) != -7.25 || wide.get(row, k + 1) != -7.25 {
                return fail(format!("{order:?} order: row {row} of a column beside the buffer was written"));
            }
        }
        let got: Vec<f64> = (0..n * k).map(|i| wide.get(i / k, 1 + i % k)).collect();
        same_bits(&got, &want).during(format!("a buffer of {order:?} order"))?;
    }
    Ok(())
}

pub(crate) fn concurrent_predictions(bench: &Bench<'_>) -> Checked {
    let fit = bench.fitted()?;
    let want = bench.predictions(fit)?;
    thread::scope(|scope| {
        let probe = &bench.probe;
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(move || predict(fit, probe.mat()))).collect();
        threads.into_iter().try_for_each(|t| match t.join() {
            Ok(got) => same_bits(&got?, &want),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

pub(crate) fn linear_form(bench: &Bench<'_>) -> Checked {
    let (Subject::Learner(learner), Fit::Model(model)) = (&bench.subject, bench.fitted()?) else {
        return skip("no learner");
    };
    let Some(form) = model.as_linear() else {
        return if learner.is_linear() {
            fail("is_linear() is true, and as_linear() of a model is None")
        } else {
            skip("its models have no linear form")
        };
    };
    if form.coefficients.len() != bench.probe.ncols || model.n_outputs() != 1 {
        let (have, columns) = (form.coefficients.len(), bench.probe.ncols);
        return fail(format!(
            "a linear form of {have} coefficients, on {columns} columns, of {} predicted",
            model.n_outputs()
        ));
    }
    let rows = bench.probe.x.chunks_exact(bench.probe.ncols);
    let by_form: Vec<f64> = rows
        .map(|row| form.intercept + row.iter().zip(form.coefficients).map(|(x, c)| x * c).sum::<f64>())
        .collect();
    close(&predict(bench.fitted()?, bench.probe.mat())?, &by_form, ROUNDING)
}

pub(crate) fn affine_form(bench: &Bench<'_>) -> Checked {
    let (Subject::Transformer(transformer), fit @ Fit::Transform(fitted)) = (&bench.subject, bench.fitted()?)
    else {
        return skip("no transformer");
    };
    let declared = transformer.as_merge().and_then(|m| m.affine_shape());
    let Some(map) = fitted.as_affine() else {
        return match declared {
            Some(shape) => {
                fail(format!("affine_shape() is {shape:?}, and as_affine() of what it fits is None"))
            }
            None => skip("its maps are not affine"),
        };
    };
    if declared.is_some_and(|shape| map.shape() > shape) {
        return fail(format!("affine_shape() is {declared:?}, and the map is {:?}", map.shape()));
    }
    let (n, k) = (bench.probe.nrows(), fitted.n_out());
    let mut by_map = vec![0.0; n * k];
    map.apply_into(bench.probe.mat(), MatMut::new(&mut by_map, n, k, Order::C)?)?;
    close(&bench.predictions(fit)?, &by_map, ROUNDING)
}

pub(crate) fn saved_and_loaded(bench: &Bench<'_>) -> Checked {
    let fit = bench.fitted()?;
    let record = fit.to_record()?;
    let (loaded, read) = through_a_file(bench, fit, &record)?;
    if !same_record(&read, &record) {
        return fail("the record is another one after saving: a field may hold a number that JSON cannot");
    }
    if (loaded.n_inputs(), loaded.n_outputs()) != (fit.n_inputs(), fit.n_outputs()) {
        return fail("the loaded model has other columns");
    }
    same_bits(&bench.predictions(&loaded)?, &bench.predictions(fit)?)?;
    if !same_record(&loaded.to_record()?, &record) {
        return fail("the loaded model saves as another record");
    }
    Ok(())
}

pub(crate) fn saved_by_reference(bench: &Bench<'_>) -> Checked {
    let rows = Rows::all(bench.problem.nrows());
    let mut named = false;
    for place in &bench.suite.places {
        let tables = bench.problem.tables(*place, bench.order())?;
        if tables.x.reference().is_err() || tables.y.reference().is_err() {
            continue;
        }
        named = true;
        let fit = bench.subject.fit(Given::new(&tables, &rows))?;
        let Fit::Model(model) = &fit else { return skip("no learner") };
        let (loaded, _) = through_a_file(bench, &fit, &model.to_record_by_reference()?)?;
        same_bits(&bench.predictions(&loaded)?, &bench.predictions(&fit)?).during(place.name())?;
    }
    if named { Ok(()) } else { skip("no place of the suite has tables that a saved model can name") }
}

/// Whether two records are the same; a NaN in an array is itself.
fn same_record(a: &Record, b: &Record) -> bool {
    a == b || format!("{a:?}") == format!("{b:?}")
}

/// What a registry makes of a record that was saved and read again, and that record.
fn through_a_file(bench: &Bench<'_>, fit: &Fit, record: &Record) -> Checked<(Fit, Record)> {
    let dir = tempfile::tempdir().map_err(|e| crate::Error::io(std::env::temp_dir(), "write", e))?;
    let path = dir.path().join("model");
    record.save(&path)?;
    let read = Record::load(&path)?;
    Ok((fit.load(&read, bench.suite.registry)?, read))
}

pub(crate) fn beats_the_mean(bench: &Bench<'_>) -> Checked {
    if !bench.capabilities.skilled {
        return skip("declared unskilled");
    }
    let got = bench.predictions(bench.fitted()?)?;
    let mean = bench.problem.y.iter().sum::<f64>() / bench.problem.nrows() as f64;
    let squares = |error: &dyn Fn(usize) -> f64| -> f64 {
        (0..bench.probe.nrows()).map(|row| error(row) * error(row)).sum()
    };
    let y = &bench.probe.y;
    let r2 = 1.0 - squares(&|row| y[row] - got[row]) / squares(&|row| y[row] - mean);
    if r2 > 0.0 { Ok(()) } else { fail(format!("R^2 on new rows is {r2:.3}")) }
}
