//! Fitted models, and the linear form that the engine's algebra reads.

use pulp::{Arch, Simd, WithSimd};

use crate::{
    error::{Error, Result},
    mat::{MatMut, MatRef, Order},
    notes::Convergence,
    record::Record,
    statistic::BLOCK_ROWS,
};

/// A fitted model: immutable, shared between threads, predicting any block of rows.
pub trait Model: Send + Sync {
    /// Columns of x it was fitted on.
    fn n_inputs(&self) -> usize;

    /// Columns it predicts: 1 for numbers, one per class for probabilities.
    fn n_outputs(&self) -> usize {
        1
    }

    /// Predict the rows of `x` into `out`, `x.nrows()` x `n_outputs()`. The value of a row does not depend on which
    /// other rows are predicted with it.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when `x` has another number of columns.
    fn predict_into(&self, x: MatRef<'_>, out: MatMut<'_>) -> Result<()>;

    /// Rows that one call had better be handed, where there are so many. Predictions do not depend on it; a model that looks
    /// rows up finds more of them in cache when it can put many queries in order.
    fn batch_rows(&self) -> usize {
        BLOCK_ROWS
    }

    /// The model as intercept plus coefficients on the columns of x, if it is that.
    fn as_linear(&self) -> Option<LinearForm<'_>> {
        None
    }

    /// How the fit ended, of a learner that iterates; `None` of one that computes its answer, and of a model read from a file.
    /// A model made of others hands theirs on.
    fn convergence(&self) -> Option<Convergence> {
        None
    }

    /// Bytes the model holds.
    fn bytes(&self) -> u64;

    /// The model as data, for a file; its kind finds the loader in a [`Registry`](crate::Registry).
    ///
    /// # Errors
    /// When the model cannot be saved.
    fn to_record(&self) -> Result<Record>;

    /// As [`Model::to_record`], but training rows that the model keeps are named by file and row instead of copied. The file must
    /// then stay as it is: loading fails when its values have changed.
    ///
    /// # Errors
    /// When the model cannot be saved, or its rows are in no file that stays; see
    /// [`Table::reference`](crate::Table::reference).
    fn to_record_by_reference(&self) -> Result<Record> {
        self.to_record()
    }
}

/// Rows to hand `models` together, which read and write `width` values a row in all: whole blocks, as many as any of them asks
/// for while the values stay in a second-level cache.
pub(crate) fn batch_rows<'m>(models: impl IntoIterator<Item = &'m dyn Model>, width: usize) -> usize {
    const BYTES: usize = 1 << 20;
    let wanted = models.into_iter().map(|m| m.batch_rows()).max().unwrap_or(BLOCK_ROWS);
    (wanted.min(BYTES / (8 * width.max(1))) / BLOCK_ROWS).max(1) * BLOCK_ROWS
}

/// A borrowed linear model: y = intercept + coefficients' x.
#[derive(Clone, Copy, Debug)]
pub struct LinearForm<'a> {
    /// One per column.
    pub coefficients: &'a [f64],
    /// Added to every prediction.
    pub intercept: f64,
}

/// Check the shapes of a prediction: the first line of most [`Model::predict_into`]s.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape), saying which of the three sizes is off.
pub fn check_prediction(model: &dyn Model, x: MatRef<'_>, out: &MatMut<'_>) -> Result<()> {
    if x.ncols() != model.n_inputs() {
        return Err(Error::shape("columns to predict from", model.n_inputs(), x.ncols()));
    }
    if out.nrows() != x.nrows() {
        return Err(Error::shape("rows of the prediction buffer", x.nrows(), out.nrows()));
    }
    if out.ncols() != model.n_outputs() {
        return Err(Error::shape("columns of the prediction buffer", model.n_outputs(), out.ncols()));
    }
    Ok(())
}

/// A linear model that owns its coefficients. What every learner of the linear family fits.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearModel {
    kind: String,
    coefficients: Vec<f64>,
    intercept: f64,
    convergence: Option<Convergence>,
}

impl LinearModel {
    /// Name of the record of a linear model.
    pub const RECORD: &'static str = "linear_model";

    /// A model fitted by the learner called `kind`.
    pub fn new(kind: impl Into<String>, coefficients: Vec<f64>, intercept: f64) -> Self {
        Self { kind: kind.into(), coefficients, intercept, convergence: None }
    }

    /// With how its fit ended.
    #[must_use]
    pub fn with_convergence(mut self, convergence: impl Into<Option<Convergence>>) -> Self {
        self.convergence = convergence.into();
        self
    }

    /// The learner's kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// From what [`Model::to_record`] gave.
    ///
    /// # Errors
    /// When a part is missing.
    pub fn from_record(record: &Record) -> Result<Self> {
        let coefficients = record.array("coefficients")?.data.clone();
        let intercept = record.array("intercept")?.data.first().copied().unwrap_or(0.0);
        Ok(Self::new(record.text("learner")?, coefficients, intercept))
    }
}

impl Model for LinearModel {
    fn n_inputs(&self) -> usize {
        self.coefficients.len()
    }

    fn predict_into(&self, x: MatRef<'_>, out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        let form = LinearForm { coefficients: &self.coefficients, intercept: self.intercept };
        predict_linear(x, &[form], out)
    }

    fn as_linear(&self) -> Option<LinearForm<'_>> {
        Some(LinearForm { coefficients: &self.coefficients, intercept: self.intercept })
    }

    fn convergence(&self) -> Option<Convergence> {
        self.convergence
    }

    fn bytes(&self) -> u64 {
        (self.coefficients.len() * 8 + size_of::<Self>()) as u64
    }

    fn to_record(&self) -> Result<Record> {
        Ok(Record::new(Self::RECORD)
            .with_text("learner", &self.kind)
            .with_array("coefficients", &[self.coefficients.len()], self.coefficients.clone())
            .with_array("intercept", &[1], vec![self.intercept]))
    }
}

/// Predict by several linear models at once, one column of `out` each; every row of `x` is read once.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when sizes differ.
pub fn predict_linear(x: MatRef<'_>, models: &[LinearForm<'_>], mut out: MatMut<'_>) -> Result<()> {
    for model in models {
        if model.coefficients.len() != x.ncols() {
            return Err(Error::shape("columns to predict from", model.coefficients.len(), x.ncols()));
        }
    }
    if out.nrows() != x.nrows() {
        return Err(Error::shape("rows of the prediction buffer", x.nrows(), out.nrows()));
    }
    if out.ncols() != models.len() {
        return Err(Error::shape("columns of the prediction buffer", models.len(), out.ncols()));
    }
    match x.order() {
        Order::C => Arch::new().dispatch(RowDots { x, models, out }),
        Order::F => {
            let mut column = vec![0.0; x.nrows()];
            for (j, model) in models.iter().enumerate() {
                column.fill(model.intercept);
                for (i, c) in model.coefficients.iter().enumerate().filter(|(_, c)| **c != 0.0) {
                    let values = x.column(i).expect("Fortran order");
                    column.iter_mut().zip(values).for_each(|(o, v)| *o += c * v);
                }
                for (row, value) in column.iter().enumerate() {
                    out.set(row, j, *value);
                }
            }
        }
    }
    Ok(())
}

/// Predict with every model, its columns beside each other's; linear ones together, so that rows are read once.
pub(crate) fn predict_all<'m>(
    x: MatRef<'_>,
    models: impl Iterator<Item = &'m dyn Model> + Clone,
    mut out: MatMut<'_>,
) -> Result<()> {
    let forms: Option<Vec<LinearForm<'_>>> = models.clone().map(Model::as_linear).collect();
    if let Some(forms) = forms {
        return predict_linear(x, &forms, out);
    }
    let mut first = 0;
    for model in models {
        let columns = first..first + model.n_outputs();
        first = columns.end;
        model.predict_into(x, out.columns_mut(columns))?;
    }
    Ok(())
}

struct RowDots<'a, 'b> {
    x: MatRef<'a>,
    models: &'a [LinearForm<'a>],
    out: MatMut<'b>,
}

impl WithSimd for RowDots<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, models, mut out } = self;
        let (data, stride, p) = (x.data(), x.stride(), x.ncols());
        let row = |r: usize| &data[r * stride..r * stride + p];
        let whole = x.nrows() / 4 * 4;
        for first in (0..whole).step_by(4) {
            let rows = [row(first), row(first + 1), row(first + 2), row(first + 3)];
            for (j, model) in models.iter().enumerate() {
                let dots = dots::<S, 4>(simd, rows, model.coefficients);
                for (k, dot) in dots.into_iter().enumerate() {
                    out.set(first + k, j, model.intercept + dot);
                }
            }
        }
        for r in whole..x.nrows() {
            for (j, model) in models.iter().enumerate() {
                let [dot] = dots::<S, 1>(simd, [row(r)], model.coefficients);
                out.set(r, j, model.intercept + dot);
            }
        }
    }
}

/// Dot products of `N` rows with one vector. Each row's sum runs in the same order whatever `N` is.
#[inline(always)]
fn dots<S: Simd, const N: usize>(simd: S, rows: [&[f64]; N], coefficients: &[f64]) -> [f64; N] {
    let (heads, tail) = S::as_simd_f64s(coefficients);
    let mut acc = [simd.splat_f64s(0.0); N];
    let split = rows.map(|r| S::as_simd_f64s(&r[..coefficients.len()]));
    for (i, c) in heads.iter().enumerate() {
        for k in 0..N {
            acc[k] = simd.mul_add_f64s(split[k].0[i], *c, acc[k]);
        }
    }
    if !tail.is_empty() {
        let c = simd.partial_load_f64s(tail);
        for k in 0..N {
            acc[k] = simd.mul_add_f64s(simd.partial_load_f64s(split[k].1), c, acc[k]);
        }
    }
    acc.map(|a| simd.reduce_sum_f64s(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_do_not_depend_on_the_rows_around_them() {
        let (n, p) = (37, 11);
        let x: Vec<f64> = (0..n * p).map(|i| ((i * 37) % 101) as f64 / 3.0).collect();
        let model = LinearModel::new("t", (0..p).map(|j| 1.0 / (j + 1) as f64).collect(), 0.5);
        for order in [Order::C, Order::F] {
            let x = MatRef::new(&x, n, p, order).unwrap();
            let mut whole = vec![0.0; n];
            model.predict_into(x, MatMut::column_vector(&mut whole)).unwrap();
            for row in 0..n {
                let mut one = [0.0];
                model.predict_into(x.rows(row..row + 1).unwrap(), MatMut::column_vector(&mut one)).unwrap();
                let naive: f64 = 0.5 + (0..p).map(|j| x.get(row, j) / (j + 1) as f64).sum::<f64>();
                assert_eq!(one[0], whole[row]);
                assert!((one[0] - naive).abs() < 1e-12 * naive.abs());
            }
        }
        let narrow = MatRef::new(&x[..10], 5, 2, Order::C).unwrap();
        assert!(model.predict_into(narrow, MatMut::column_vector(&mut [0.0; 5])).is_err());
    }
}
