//! From scores of the classes among training rows to a row of probabilities of all classes.

use ensemble_core::{ErrorKind, MatMut, MatRef, PresentClasses, Result};

/// Write a row of probabilities for every row of `x`: `fill` turns a row's values into probabilities of the classes `present`; the
/// others get 0.
///
/// # Errors
/// For probabilities that are not finite.
pub(crate) fn predict_rows(
    x: MatRef<'_>,
    mut out: MatMut<'_>,
    present: &PresentClasses,
    mut fill: impl FnMut(usize, &[f64], &mut [f64]) -> Result<()>,
) -> Result<()> {
    let mut values = vec![0.0; x.ncols()];
    let (mut scores, mut shares) = (vec![0.0; present.len()], vec![0.0; present.n_classes()]);
    for row in 0..x.nrows() {
        x.copy_row_into(row, &mut values);
        fill(row, &values, &mut scores)?;
        if let Some(code) = scores.iter().position(|s| !s.is_finite()) {
            let (column, value) = (present.classes()[code], scores[code]);
            return Err(ErrorKind::Prediction { row, column, value }.into());
        }
        present.spread(&scores, &mut shares);
        shares.iter().enumerate().for_each(|(class, share)| out.set(row, class, *share));
    }
    Ok(())
}
