//! From scores of the classes among training rows to a row of probabilities of all classes.

use ensemble_core::{ErrorKind, MatMut, MatRef, Result};

/// Logarithms of weights become shares of their sum.
pub(crate) fn softmax(scores: &mut [f64]) {
    let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - greatest).exp();
        total += *score;
    }
    scores.iter_mut().for_each(|s| *s /= total);
}

/// Write a row of probabilities for every row of `x`: `fill` turns a row's values into probabilities of the classes `present`; the
/// others get 0.
///
/// # Errors
/// For a value that is not finite, or probabilities that are not.
pub(crate) fn predict_rows(
    x: MatRef<'_>,
    mut out: MatMut<'_>,
    present: &[usize],
    mut fill: impl FnMut(usize, &[f64], &mut [f64]) -> Result<()>,
) -> Result<()> {
    let mut values = vec![0.0; x.ncols()];
    let mut scores = vec![0.0; present.len()];
    for row in 0..x.nrows() {
        x.copy_row_into(row, &mut values);
        if let Some(column) = values.iter().position(|v| !v.is_finite()) {
            let table = "rows to predict".into();
            return Err(ErrorKind::NotFinite { table, row, column, value: values[column] }.into());
        }
        fill(row, &values, &mut scores)?;
        if scores.iter().any(|s| !s.is_finite()) {
            return Err(ErrorKind::Overflow { table: "rows to predict".into() }.into());
        }
        (0..out.ncols()).for_each(|class| out.set(row, class, 0.0));
        for (class, score) in present.iter().zip(&scores) {
            out.set(row, *class, *score);
        }
    }
    Ok(())
}

/// Classes as an array of a record, and back.
pub(crate) fn classes_from(values: &[f64], n_classes: usize) -> Option<Vec<usize>> {
    let one = |v: &f64| (v.fract() == 0.0 && *v >= 0.0 && *v < n_classes as f64).then_some(*v as usize);
    values.iter().map(one).collect()
}
