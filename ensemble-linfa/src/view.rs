//! The edge to linfa: its views over the table's own memory, its errors as ours, what comes back checked.

use ensemble_core::{
    Convergence, Error, ErrorKind, MatMut, MatRef, Model, Order, Record, Result, Train, check_prediction,
};
use ndarray::{ArrayView1, ArrayView2, ShapeBuilder};

/// Stack for calls that recurse with the data. Address space only: memory is what the call touches.
pub(crate) const DEEP: usize = 256 << 20;

/// The same memory as linfa's ndarray sees it; never copies.
///
/// # Errors
/// When the shape and the slice disagree, which no [`MatRef`] does.
pub(crate) fn array_view(x: MatRef<'_>) -> Result<ArrayView2<'_, f64>> {
    let strides = match x.order() {
        Order::C => (x.stride(), 1),
        Order::F => (1, x.stride()),
    };
    ArrayView2::from_shape((x.nrows(), x.ncols()).strides(strides), x.data())
        .map_err(|e| Error::unsupported(format!("the rows cannot be viewed by ndarray: {e}")))
}

/// Training rows and targets as linfa takes them.
///
/// # Errors
/// For several runs.
pub(crate) fn views<'a>(train: &Train<'a>) -> Result<(ArrayView2<'a, f64>, ArrayView1<'a, f64>)> {
    Ok((array_view(train.contiguous_x()?)?, ArrayView1::from(train.contiguous_y()?)))
}

/// [`views`] of rows that are there, and hold numbers that linfa can compute with.
///
/// # Errors
/// For rows that are none, or several runs; for a value that is not finite, or beyond [`ensemble_core::GREATEST`].
pub(crate) fn training_views<'a>(train: &Train<'a>) -> Result<(ArrayView2<'a, f64>, ArrayView1<'a, f64>)> {
    train.check_magnitudes()?;
    views(train)
}

/// What linfa says, as an error of the learner `kind`.
pub(crate) fn refused<E: std::fmt::Display>(kind: &str) -> impl Fn(E) -> Error + '_ {
    move |e| Error::unsupported(format!("{kind}: linfa refuses: {e}"))
}

/// That every value which came back from a fit is a number.
///
/// # Errors
/// A sentence that names what is not finite, and the usual way out.
pub(crate) fn finite<'v>(kind: &str, what: &str, values: impl IntoIterator<Item = &'v f64>) -> Result<()> {
    match values.into_iter().find(|v| !v.is_finite()) {
        None => Ok(()),
        Some(v) => Err(Error::unsupported(format!(
            "{kind}: the fit gives {v} among its {what}; scale the columns first, or drop dependent ones"
        ))),
    }
}

/// A model that predicts one row from that row alone. Whatever block a row comes in, its prediction has the same bits.
pub(crate) trait RowModel: Send + Sync + 'static {
    /// As [`Model::n_inputs`].
    fn n_inputs(&self) -> usize;
    /// As [`Model::n_outputs`].
    fn n_outputs(&self) -> usize;
    /// The prediction for one row.
    fn predict_row(&self, row: &[f64], out: &mut [f64]);
    /// As [`Model::convergence`].
    fn convergence(&self) -> Option<Convergence> {
        None
    }
    /// Bytes held.
    fn bytes(&self) -> u64;
    /// As [`Model::to_record`].
    fn to_record(&self) -> Result<Record>;
}

/// A [`RowModel`] as a model: rows are read where they lie in C order, through one row's buffer otherwise.
pub(crate) struct ByRow<M>(pub(crate) M);

impl<M: RowModel> Model for ByRow<M> {
    fn n_inputs(&self) -> usize {
        self.0.n_inputs()
    }

    fn n_outputs(&self) -> usize {
        self.0.n_outputs()
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        let (mut buffer, mut values) = (vec![0.0; x.ncols()], vec![0.0; self.n_outputs()]);
        for r in 0..x.nrows() {
            let row = match x.row(r) {
                Some(row) => row,
                None => {
                    x.copy_row_into(r, &mut buffer);
                    &buffer
                }
            };
            self.0.predict_row(row, &mut values);
            if let Some(column) = values.iter().position(|v| !v.is_finite()) {
                return Err(ErrorKind::Prediction { row: r, column, value: values[column] }.into());
            }
            for (c, value) in values.iter().enumerate() {
                out.set(r, c, *value);
            }
        }
        Ok(())
    }

    fn convergence(&self) -> Option<Convergence> {
        self.0.convergence()
    }

    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn to_record(&self) -> Result<Record> {
        self.0.to_record()
    }
}

/// An array of a record that must have `len` values.
///
/// # Errors
/// When it is missing or of another length.
pub(crate) fn values(record: &Record, name: &str, len: usize) -> Result<Vec<f64>> {
    let data = &record.array(name)?.data;
    if data.len() == len {
        return Ok(data.clone());
    }
    Err(Error::shape(format!("{name} of a saved model"), len, data.len()))
}
