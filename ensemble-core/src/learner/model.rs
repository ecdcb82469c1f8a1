//! Fitted models, and the linear form that the engine's algebra reads.

use std::{any::Any, fmt, time::Instant};

use pulp::{Arch, Simd, WithSimd};

use crate::{
    data::mat::{MatMut, MatRef, Order},
    error::{Error, ErrorKind, Result, guarded},
    learner::notes::Convergence,
    persist::record::Record,
    statistic::linear::LinearForm,
    statistic::state::BLOCK_ROWS,
};

/// A fitted model: immutable, shared between threads, predicting any block of rows.
///
/// Rows to predict from hold finite values: [`check_prediction`] refuses others by row and column, for every model of every backend
/// that does not say in [`Model::accepts_missing`] that it was made for NaN. What an ensemble's models predict is looked at in turn: a
/// prediction that is not finite is an error and never handed on.
///
/// A model is [`Any`], so that one can be asked for as its own type: [`FittedLearner::model_as`](crate::FittedLearner::model_as).
pub trait Model: Any + Send + Sync {
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
    /// Those of [`check_prediction`]; [`ErrorKind::Prediction`](crate::ErrorKind::Prediction) when a prediction is not finite.
    fn predict_into(&self, x: MatRef<'_>, out: MatMut<'_>) -> Result<()>;

    /// Whether rows to predict from may hold NaN: a model fitted by a learner that learns from missing values. Infinite values are
    /// refused all the same.
    fn accepts_missing(&self) -> bool {
        false
    }

    /// Rows that one call had better be handed, where there are so many. Predictions do not depend on it; a model that looks
    /// rows up finds more of them in cache when it can put many queries in order.
    fn batch_rows(&self) -> usize {
        BLOCK_ROWS
    }

    /// The model as intercept plus coefficients on the columns of x, if it is that.
    fn as_linear(&self) -> Option<LinearForm<'_>> {
        None
    }

    /// How much each column of x says, in shares that add up to 1 where the learner's library gives them so; `None` where it gives
    /// none. Coefficients are [`Model::as_linear`]'s.
    fn feature_importances(&self) -> Option<Vec<f64>> {
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

/// Its widths; its numbers are left out.
impl fmt::Debug for dyn Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("n_inputs", &self.n_inputs())
            .field("n_outputs", &self.n_outputs())
            .finish_non_exhaustive()
    }
}

/// Rows to hand `models` together, which read and write `width` values a row in all: whole blocks, as many as any of them asks
/// for while the values stay in a second-level cache.
pub(crate) fn batch_rows<'m>(models: impl IntoIterator<Item = &'m dyn Model>, width: usize) -> usize {
    const BYTES: usize = 1 << 20;
    let wanted = models.into_iter().map(|m| m.batch_rows()).max().unwrap_or(BLOCK_ROWS);
    (wanted.min(BYTES / (8 * width.max(1))) / BLOCK_ROWS).max(1) * BLOCK_ROWS
}

/// Check a prediction: the first line of most [`Model::predict_into`]s. That the shapes fit, and that the rows hold what a model can
/// read. One read of `x`.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape), saying which of the three sizes is off;
/// [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) for an infinite value, or NaN unless the model [accepts
/// it](Model::accepts_missing), by row of `x` and column.
pub fn check_prediction(model: &dyn Model, x: MatRef<'_>, out: &MatMut<'_>) -> Result<()> {
    check_shapes(model, x, out)?;
    check_rows(x, model.accepts_missing())
}

fn check_shapes(model: &dyn Model, x: MatRef<'_>, out: &MatMut<'_>) -> Result<()> {
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

/// That a model is for rows of `ncols` columns, its linear form too.
pub(crate) fn check_inputs(model: &dyn Model, ncols: usize) -> Result<()> {
    let coefficients = model.as_linear().map_or(ncols, |form| form.coefficients.len());
    match (model.n_inputs(), coefficients) {
        (inputs, _) if inputs != ncols => Err(Error::shape("columns that a model is for", ncols, inputs)),
        (_, other) if other != ncols => Err(Error::shape("coefficients of a linear model", ncols, other)),
        _ => Ok(()),
    }
}

/// That rows to predict from are finite, but for NaN where that is accepted.
pub(crate) fn check_rows(x: MatRef<'_>, missing: bool) -> Result<()> {
    if x.is_within(f64::MAX) {
        return Ok(());
    }
    match x.first(|v| v.is_infinite() || (v.is_nan() && !missing)) {
        None => Ok(()),
        Some((row, column, value)) => {
            Err(ErrorKind::NotFinite { table: "rows to predict from".into(), row, column, value }.into())
        }
    }
}

/// That predictions are finite: the last line of a [`Model::predict_into`] that cannot rule out others. One read of `z`.
///
/// # Errors
/// [`ErrorKind::Prediction`](crate::ErrorKind::Prediction) for the first one that is not, by row and column.
pub fn check_predicted(z: MatRef<'_>) -> Result<()> {
    match z.first_not_finite() {
        None => Ok(()),
        Some((row, column, value)) => Err(ErrorKind::Prediction { row, column, value }.into()),
    }
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
        check_shapes(self, x, &out)?;
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
/// Rows that are not finite are found by what they make of the predictions, so `x` is not read twice.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when sizes differ; [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) for a value
/// of `x`; [`ErrorKind::Prediction`](crate::ErrorKind::Prediction) for a prediction of finite values.
pub fn predict_linear(x: MatRef<'_>, models: &[LinearForm<'_>], mut out: MatMut<'_>) -> Result<()> {
    linear_into(x, models, out.reborrow())?;
    found_out(x, out.as_ref())
}

/// That linear predictions are finite; if not, what of `x` made them so.
fn found_out(x: MatRef<'_>, predicted: MatRef<'_>) -> Result<()> {
    check_predicted(predicted).map_err(|found| check_rows(x, false).err().unwrap_or(found))
}

/// That rows which nobody has looked at can be predicted from by all of `models`. No read of its own where all are linear:
/// [`predict_all`] will find out by what comes of it.
pub(crate) fn check_queries<'m>(
    x: MatRef<'_>,
    mut models: impl Iterator<Item = &'m dyn Model> + Clone,
) -> Result<()> {
    if models.clone().all(|model| model.as_linear().is_some()) {
        return Ok(());
    }
    check_rows(x, models.all(Model::accepts_missing))
}

fn linear_into(x: MatRef<'_>, models: &[LinearForm<'_>], out: MatMut<'_>) -> Result<()> {
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
        Order::C if x.ncols() <= LANES => predict_from_short_rows(x, models, out),
        Order::C => Arch::new().dispatch(RowDots { x, models, out }),
        Order::F => predict_from_columns(x, models, out),
    }
    Ok(())
}

/// Predict with every model, its columns beside each other's; linear ones together, so that rows are read once. Rows have been looked
/// at: by [`check_queries`], or by the fit. A failure, a panic
/// or a prediction that is not finite is said of the model by `blame`, which is given its number. The time of each is
/// added to `seconds`, where there is a place for it; linear ones share theirs evenly.
pub(crate) fn predict_all<'m>(
    x: MatRef<'_>,
    models: impl Iterator<Item = &'m dyn Model> + Clone,
    mut out: MatMut<'_>,
    blame: &dyn Fn(usize, Error) -> Error,
    seconds: &mut [f64],
) -> Result<()> {
    let mut start = Instant::now();
    let forms = models
        .clone()
        .enumerate()
        .map(|(at, model)| guarded(|| Ok(model.as_linear())).map_err(|e| blame(at, e)).transpose());
    if let Some(forms) = forms.collect::<Option<Result<Vec<LinearForm<'_>>>>>() {
        linear_into(x, &forms?, out.reborrow())?;
        let share = start.elapsed().as_secs_f64() / seconds.len().max(1) as f64;
        seconds.iter_mut().for_each(|s| *s += share);
        return found_out(x, out.as_ref()).map_err(|e| match *e.kind() {
            ErrorKind::Prediction { row, column, value } => {
                blame(column, ErrorKind::Prediction { row, column: 0, value }.into())
            }
            _ => e,
        });
    }
    let mut first = 0;
    for (at, model) in models.enumerate() {
        let mut predict = || {
            let columns = first..first + model.n_outputs();
            first = columns.end;
            let mut own = out.columns_mut(columns);
            model.predict_into(x, own.reborrow())?;
            check_predicted(own.as_ref())
        };
        guarded(&mut predict).map_err(|e| blame(at, e))?;
        if let Some(seconds) = seconds.get_mut(at) {
            *seconds += start.elapsed().as_secs_f64();
            start = Instant::now();
        }
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

/// Partial sums of a dot product: value i is added to sum i mod 8 by one fused multiply-add, and the sums are added in halves,
/// 0 + 4, 1 + 5, 2 + 6, 3 + 7, and so on. But for the sign of a sum of 0, which an intercept swallows, the order is the same for every length of vectors and for both orders of a matrix, so
/// that a prediction is the same bits on every machine and in every part of a table.
const LANES: usize = 8;

/// Dot products of `N` rows with one vector, in the order of [`LANES`].
#[inline(always)]
fn dots<S: Simd, const N: usize>(simd: S, rows: [&[f64]; N], coefficients: &[f64]) -> [f64; N] {
    match S::F64_LANES {
        8 => dots_in::<S, N, 1>(simd, rows, coefficients),
        4 => dots_in::<S, N, 2>(simd, rows, coefficients),
        2 => dots_in::<S, N, 4>(simd, rows, coefficients),
        _ => dots_in::<S, N, 8>(simd, rows, coefficients),
    }
}

/// [`dots`] with the lanes in `R` vectors.
#[inline(always)]
fn dots_in<S: Simd, const N: usize, const R: usize>(
    simd: S,
    rows: [&[f64]; N],
    coefficients: &[f64],
) -> [f64; N] {
    debug_assert_eq!(R * S::F64_LANES, LANES);
    let whole = coefficients.len() / LANES * LANES;
    let (heads, _) = S::as_simd_f64s(&coefficients[..whole]).0.as_chunks::<R>();
    let mut split = [heads; N];
    for k in 0..N {
        split[k] = S::as_simd_f64s(&rows[k][..whole]).0.as_chunks::<R>().0;
    }
    let mut acc = [[simd.splat_f64s(0.0); R]; N];
    for (i, c) in heads.iter().enumerate() {
        for k in 0..N {
            for r in 0..R {
                acc[k][r] = simd.mul_add_f64s(split[k][i][r], c[r], acc[k][r]);
            }
        }
    }
    for r in 0..R {
        let from = (whole + r * S::F64_LANES).min(coefficients.len());
        let lanes = from..(from + S::F64_LANES).min(coefficients.len());
        if !lanes.is_empty() {
            let c = simd.partial_load_f64s(&coefficients[lanes.clone()]);
            for k in 0..N {
                let x = simd.partial_load_f64s(&rows[k][lanes.clone()]);
                acc[k][r] = simd.mul_add_f64s(x, c, acc[k][r]);
            }
        }
    }
    // No closures from here on: one that is not inlined would be compiled for the least CPU there is.
    let mut sums = [0.0; N];
    for k in 0..N {
        let mut half = R / 2;
        while half > 0 {
            for r in 0..half {
                acc[k][r] = simd.add_f64s(acc[k][r], acc[k][r + half]);
            }
            half /= 2;
        }
        sums[k] = simd.reduce_sum_f64s(acc[k][0]);
    }
    sums
}

/// Predict from rows of at most one value per lane, without a loop over columns.
fn predict_from_short_rows(x: MatRef<'_>, models: &[LinearForm<'_>], out: MatMut<'_>) {
    fn of<const P: usize>(x: MatRef<'_>, models: &[LinearForm<'_>], mut out: MatMut<'_>) {
        let (data, stride) = (x.data(), x.stride());
        for (j, model) in models.iter().enumerate() {
            let c: &[f64; P] = model.coefficients.first_chunk().expect("as many as columns");
            for r in 0..x.nrows() {
                let row: &[f64; P] = data[r * stride..].first_chunk().expect("a whole row");
                let mut sums = [0.0; LANES];
                for i in 0..P {
                    sums[i] = row[i] * c[i];
                }
                let fours: [f64; 4] = std::array::from_fn(|i| sums[i] + sums[i + 4]);
                let sum = (fours[0] + fours[2]) + (fours[1] + fours[3]);
                out.set(r, j, model.intercept + sum);
            }
        }
    }
    match x.ncols() {
        0 => of::<0>(x, models, out),
        1 => of::<1>(x, models, out),
        2 => of::<2>(x, models, out),
        3 => of::<3>(x, models, out),
        4 => of::<4>(x, models, out),
        5 => of::<5>(x, models, out),
        6 => of::<6>(x, models, out),
        7 => of::<7>(x, models, out),
        _ => of::<LANES>(x, models, out),
    }
}

/// Rows whose sums over the columns of a matrix in Fortran order are made at once: they stay in the first-level cache.
const COLUMN_ROWS: usize = 512;

/// Predict from columns, each read once per model and block of rows.
fn predict_from_columns(x: MatRef<'_>, models: &[LinearForm<'_>], mut out: MatMut<'_>) {
    let arch = Arch::new();
    // One part for the result and one for each halving of the lanes.
    let mut sums = vec![0.0; 4 * COLUMN_ROWS.min(x.nrows())];
    for (block, x) in x.row_blocks(COLUMN_ROWS).enumerate() {
        for (j, model) in models.iter().enumerate() {
            sum_columns(arch, x, model.coefficients, 0, 1, &mut sums);
            for (row, sum) in sums[..x.nrows()].iter().enumerate() {
                out.set(block * COLUMN_ROWS + row, j, model.intercept + sum);
            }
        }
    }
}

/// For each row the sum over columns `first`, `first + step`, ... of value times coefficient, in the order of [`LANES`], into
/// the front of `sums`.
fn sum_columns(arch: Arch, x: MatRef<'_>, coefficients: &[f64], first: usize, step: usize, sums: &mut [f64]) {
    if coefficients.is_empty() {
        return sums.fill(0.0);
    }
    if step == LANES {
        return arch.dispatch(LaneSums { x, coefficients, first, sums: &mut sums[..x.nrows()] });
    }
    sum_columns(arch, x, coefficients, first, 2 * step, sums);
    if first + step >= coefficients.len() {
        return;
    }
    let (sums, others) = sums.split_at_mut(x.nrows());
    sum_columns(arch, x, coefficients, first + step, 2 * step, others);
    sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += *other);
}

struct LaneSums<'a> {
    x: MatRef<'a>,
    coefficients: &'a [f64],
    first: usize,
    sums: &'a mut [f64],
}

impl WithSimd for LaneSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, coefficients, first, sums } = self;
        let (sums, rest) = S::as_mut_simd_f64s(sums);
        for (number, column) in (first..coefficients.len()).step_by(LANES).enumerate() {
            let c = simd.splat_f64s(coefficients[column]);
            let column = x.column(column).expect("a column of a matrix in Fortran order");
            let (values, end) = S::as_simd_f64s(column);
            if number == 0 {
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = simd.mul_f64s(*value, c));
                rest.iter_mut().zip(end).for_each(|(sum, value)| *sum = value * coefficients[first]);
                continue;
            }
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = simd.mul_add_f64s(*value, c, *sum);
            }
            let sum = simd.mul_add_f64s(simd.partial_load_f64s(end), c, simd.partial_load_f64s(rest));
            simd.partial_store_f64s(rest, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of [`LANES`], one value at a time.
    fn naive_dot(row: &[f64], coefficients: &[f64]) -> f64 {
        let mut sums = [0.0; LANES];
        let padded = row.len().next_multiple_of(LANES);
        for at in 0..padded {
            let (v, c) = (row.get(at).unwrap_or(&0.0), coefficients.get(at).unwrap_or(&0.0));
            sums[at % LANES] = v.mul_add(*c, sums[at % LANES]);
        }
        for half in [4, 2, 1] {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
        }
        sums[0]
    }

    #[test]
    fn predictions_have_the_bits_of_eight_sums_in_both_orders_and_in_parts() {
        let wave = |i: usize| (i as f64 * 0.7).sin() * 10f64.powi((i % 7) as i32 - 3);
        for p in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 64, 100] {
            for n in [1, 2, 3, 4, 5, 9, 515, 1030] {
                let c: Vec<f64> = (0..n * p).map(wave).collect();
                let f: Vec<f64> =
                    (0..p).flat_map(|j| (0..n).map(move |i| i * p + j)).map(|at| c[at]).collect();
                let coefficients: [Vec<f64>; 2] = [0, 3].map(|s| (0..p).map(|j| wave(j * 13 + s)).collect());
                let forms =
                    [0, 1].map(|k| LinearForm { coefficients: &coefficients[k], intercept: k as f64 });
                let want: Vec<u64> = c
                    .chunks_exact(p)
                    .flat_map(|row| forms.map(|m| (m.intercept + naive_dot(row, m.coefficients)).to_bits()))
                    .collect();
                for (data, order) in [(&c, Order::C), (&f, Order::F)] {
                    let x = MatRef::new(data, n, p, order).unwrap();
                    for part in [1, 3, 7, n] {
                        let mut got = vec![f64::NAN; 2 * n];
                        for (x, out) in x.row_blocks(part).zip(got.chunks_mut(2 * part)) {
                            let out = MatMut::new(out, x.nrows(), 2, Order::C).unwrap();
                            predict_linear(x, &forms, out).unwrap();
                        }
                        let got: Vec<u64> = got.into_iter().map(f64::to_bits).collect();
                        assert_eq!(got, want, "{n} x {p}, {order:?}, parts of {part}");
                    }
                }
            }
        }
    }

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

    #[test]
    fn linear_predictions_refuse_values_that_are_not_finite_and_never_give_one() {
        let (n, p) = (9, 3);
        // The middle column has no say in any prediction, and is looked at all the same.
        let model = LinearModel::new("t", vec![2.0, 0.0, 1.0], 0.5);
        let predict = |x: &[f64], order| {
            model.predict_into(MatRef::new(x, n, p, order).unwrap(), MatMut::column_vector(&mut [0.0; 9]))
        };
        for order in [Order::C, Order::F] {
            let at = |row: usize, column: usize| {
                if order == Order::C { row * p + column } else { column * n + row }
            };
            for (column, bad) in [(0, f64::NAN), (1, f64::NAN), (1, f64::INFINITY), (2, f64::NEG_INFINITY)] {
                let mut x = [1.0; 27];
                x[at(5, column)] = bad;
                match predict(&x, order).unwrap_err().kind() {
                    ErrorKind::NotFinite { row: 5, column: found, .. } => assert_eq!(*found, column),
                    other => panic!("{order:?}, column {column}: {other:?}"),
                }
            }
            let mut x = [1.0; 27];
            x[at(7, 0)] = 1e308;
            let error = predict(&x, order).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Prediction { row: 7, column: 0, .. }), "{error}");
            predict(&[1.0; 27], order).unwrap();
        }
    }
}
