//! The matrix that smartcore is handed: rows of a table where they lie, copied only when smartcore writes to them.
//!
//! smartcore's learners are generic over their matrix type, and its traits are open. [`SharedMatrix`] is one type for both
//! things that smartcore makes of a matrix: a read-only *view* of at most two runs of rows, which is what a training set is,
//! and an *owned* matrix, which is what every constructor returns. The first write to a view gathers it once into an owned
//! matrix, exactly where `DenseMatrix` would have been copied by `clone`, and the bytes are counted.
//!
//! A fitted smartcore model is generic over the matrix type too, so a lifetime in it would tie models to the table. Views
//! are therefore `'static` by raw pointers, and [`SharedMatrix::lend`] is what makes those sound: it lends a view to one call, and
//! ends the process if any view outlives that call.
//!
//! This is the only module of the crate with `unsafe`.
#![allow(unsafe_code)]

use std::{
    fmt,
    io::Write,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use ensemble_core::{Error, Order, Result, RowsView};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use smartcore::linalg::{
    basic::arrays::{Array, Array2, ArrayView1, ArrayView2, MutArray, MutArrayView2},
    traits::{
        cholesky::CholeskyDecomposable, evd::EVDDecomposable, lu::LUDecomposable, qr::QRDecomposable,
        svd::SVDDecomposable,
    },
};

/// A matrix for smartcore: a read-only view of a table's rows, or a matrix of its own.
///
/// ```
/// use ensemble_core::{RowsView, MatRef, Order, Rows};
/// use ensemble_smartcore::SharedMatrix;
/// use smartcore::linalg::basic::arrays::{Array, Array2};
/// let table = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 2, Order::C)?;
/// let rows = Rows::all_but(3, 1..2)?;
/// let sums = SharedMatrix::lend(RowsView::new(table, &rows)?, |x| {
///     let doubled = x.mul_scalar(2.0);
///     assert_eq!(x.copied_bytes(), 32, "two rows of two values were copied to be changed");
///     (*x.get((1, 0)), *doubled.get((1, 0)))
/// })?;
/// assert_eq!(sums, (5.0, 10.0));
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedMatrix {
    values: Values,
}

#[derive(Clone)]
enum Values {
    View(View),
    Owned(Dense),
}

/// What all views of one [`SharedMatrix::lend`] share.
struct Loan {
    copied_bytes: AtomicU64,
}

/// One run of rows, read-only, alive as long as the loan.
#[derive(Clone, Copy)]
struct Run {
    data: *const f64,
    len: usize,
}

#[derive(Clone)]
struct View {
    runs: [Run; 2],
    /// Rows in the first run.
    split: usize,
    /// Of the table, before any transposition.
    nrows: usize,
    ncols: usize,
    row_step: usize,
    col_step: usize,
    transposed: bool,
    loan: Arc<Loan>,
}

// SAFETY: a view only reads the floats behind its pointers, nobody writes them while the loan lasts (they are borrowed as
// `&[f64]` by `lend`, which returns only when no view is left), and `&[f64]` may be sent and shared between threads.
unsafe impl Send for View {}
// SAFETY: as for `Send`; all methods that take `&View` only read.
unsafe impl Sync for View {}

#[derive(Clone, Serialize, Deserialize)]
struct Dense {
    nrows: usize,
    ncols: usize,
    column_major: bool,
    values: Vec<f64>,
}

/// Ends the process when a view is alive after its loan.
struct Recall(Arc<Loan>);

/// Ends the process when it is dropped, be it by a panic. What must not be survived is done while one is alive.
struct Abort;

impl Drop for Abort {
    fn drop(&mut self) {
        std::process::abort();
    }
}

impl Drop for Recall {
    fn drop(&mut self) {
        // `get_mut` is `Some` only when no other handle exists, and sees all that their threads did before dropping theirs.
        if Arc::get_mut(&mut self.0).is_none() {
            // Made before anything that can unwind: a panic out of here would end the loan with the view alive.
            let _abort = Abort;
            let _ = writeln!(
                std::io::stderr(),
                "ensemble-smartcore: a view of the table was kept beyond the fit that borrowed it; aborting"
            );
        }
    }
}

impl SharedMatrix {
    /// Lend the rows of `view` to `call` as a matrix. Copies nothing.
    ///
    /// No view may outlive the call: when `call` has returned or unwound and a clone of the view is still alive anywhere, even
    /// forgotten, the process is aborted, since the pointer in it would soon dangle. No smartcore model keeps one.
    ///
    /// # Errors
    /// When the rows are more than two runs.
    pub fn lend<R>(view: RowsView<'_>, call: impl FnOnce(&SharedMatrix) -> R) -> Result<R> {
        let mut segments = view.segments().filter(|s| s.nrows() > 0);
        let (first, second) = (segments.next(), segments.next());
        let more = segments.count();
        if more > 0 {
            return Err(Error::unsupported(format!(
                "the rows are {} runs; smartcore is lent at most two",
                more + 2
            )));
        }
        let (stride, ncols) = (first.map_or(1, |m| m.stride()), view.ncols());
        let (row_step, col_step) = match view.order() {
            Order::C => (stride, 1),
            Order::F => (1, stride),
        };
        let run = |m: Option<ensemble_core::MatRef<'_>>| {
            let data = m.map_or(&[][..], |m| m.data());
            Run { data: data.as_ptr(), len: data.len() }
        };
        let recall = Recall(Arc::new(Loan { copied_bytes: AtomicU64::new(0) }));
        let matrix = SharedMatrix {
            values: Values::View(View {
                runs: [run(first), run(second)],
                split: first.map_or(0, |m| m.nrows()),
                nrows: view.nrows(),
                ncols,
                row_step,
                col_step,
                transposed: false,
                loan: Arc::clone(&recall.0),
            }),
        };
        let result = call(&matrix);
        drop(matrix);
        drop(recall);
        Ok(result)
    }

    /// Bytes of this loan that were copied so far because smartcore wrote to a view; 0 for an owned matrix.
    pub fn copied_bytes(&self) -> u64 {
        match &self.values {
            Values::View(view) => view.loan.copied_bytes.load(Relaxed),
            Values::Owned(_) => 0,
        }
    }

    /// Whether this is a view of a table.
    pub fn is_view(&self) -> bool {
        matches!(self.values, Values::View(_))
    }

    /// A matrix over `values`, which are taken.
    ///
    /// # Panics
    /// Unless there are `nrows * ncols` values.
    pub fn from_values(values: Vec<f64>, nrows: usize, ncols: usize, order: Order) -> Self {
        assert_eq!(Some(values.len()), nrows.checked_mul(ncols), "values of a {nrows} x {ncols} matrix");
        Self { values: Values::Owned(Dense { nrows, ncols, column_major: order == Order::F, values }) }
    }

    /// The matrix as at most two slices of rows, and how to walk them.
    fn parts(&self) -> Parts<'_> {
        match &self.values {
            Values::View(view) => Parts {
                runs: view.runs.map(|run| {
                    // SAFETY: `lend` took pointer and length from a `&[f64]` that is borrowed until `lend` returns (an empty
                    // one where there is no run), and `lend` does not return while this view is alive.
                    unsafe { std::slice::from_raw_parts(run.data, run.len) }
                }),
                split: view.split,
                nrows: view.nrows,
                ncols: view.ncols,
                row_step: view.row_step,
                col_step: view.col_step,
                transposed: view.transposed,
            },
            Values::Owned(dense) => Parts {
                runs: [&dense.values, &[]],
                split: dense.nrows,
                nrows: dense.nrows,
                ncols: dense.ncols,
                row_step: if dense.column_major { 1 } else { dense.ncols },
                col_step: if dense.column_major { dense.nrows } else { 1 },
                transposed: false,
            },
        }
    }

    fn row(&self, row: usize) -> Line<'_> {
        let parts = self.parts();
        if parts.transposed { parts.table_column(row) } else { parts.table_row(row) }
    }

    fn column(&self, column: usize) -> Line<'_> {
        let parts = self.parts();
        if parts.transposed { parts.table_row(column) } else { parts.table_column(column) }
    }

    /// The values of a window, row by row (`axis` 0) or column by column.
    fn elements<'a>(
        &'a self,
        rows: Range<usize>,
        columns: Range<usize>,
        axis: u8,
    ) -> Box<dyn Iterator<Item = &'a f64> + 'a> {
        assert!(axis < 2, "a matrix has axes 0 and 1, not {axis}");
        match axis {
            _ if columns.len() == 1 => Box::new(self.column(columns.start).part(rows).values()),
            _ if rows.len() == 1 => Box::new(self.row(rows.start).part(columns).values()),
            0 => Box::new(rows.flat_map(move |r| self.row(r).part(columns.clone()).values())),
            _ => Box::new(columns.flat_map(move |c| self.column(c).part(rows.clone()).values())),
        }
    }

    /// The matrix as one that may be written: a view is gathered, once.
    #[inline]
    fn dense_mut(&mut self) -> &mut Dense {
        if self.is_view() {
            self.gather();
        }
        match &mut self.values {
            Values::Owned(dense) => dense,
            Values::View(_) => unreachable!("gathered above"),
        }
    }

    /// Turn a view into an owned matrix. Out of line: it happens once, and writes are many.
    #[cold]
    #[inline(never)]
    fn gather(&mut self) {
        let Values::View(view) = &self.values else { return };
        let (nrows, ncols) = self.shape();
        let mut values = vec![0.0; nrows * ncols];
        let parts = self.parts();
        if parts.transposed == (parts.col_step == 1) {
            for (c, slots) in values.chunks_exact_mut(nrows.max(1)).enumerate() {
                slots.iter_mut().zip(self.column(c).values()).for_each(|(slot, v)| *slot = *v);
            }
        } else {
            // Rows are neighbours in memory: read each once.
            for r in 0..nrows {
                for (c, v) in self.row(r).values().enumerate() {
                    values[c * nrows + r] = *v;
                }
            }
        }
        view.loan.copied_bytes.fetch_add(8 * values.len() as u64, Relaxed);
        self.values = Values::Owned(Dense { nrows, ncols, column_major: true, values });
    }
}

impl Dense {
    #[inline]
    fn place(&self, (row, column): (usize, usize)) -> usize {
        assert!(
            row < self.nrows && column < self.ncols,
            "({row}, {column}) outside {} x {}",
            self.nrows,
            self.ncols
        );
        if self.column_major { column * self.nrows + row } else { row * self.ncols + column }
    }

    /// The values of a window, to write, row by row (`axis` 0) or column by column.
    fn elements_mut<'a>(
        &'a mut self,
        rows: Range<usize>,
        columns: Range<usize>,
        axis: u8,
    ) -> Box<dyn Iterator<Item = &'a mut f64> + 'a> {
        assert!(axis < 2, "a matrix has axes 0 and 1, not {axis}");
        let (outer, inner, length, along) = if self.column_major {
            (columns, rows, self.nrows, axis == 1)
        } else {
            (rows, columns, self.ncols, axis == 0)
        };
        if length == 0 {
            return Box::new(std::iter::empty());
        }
        let count = outer.len() * inner.len();
        let lines =
            self.values.chunks_exact_mut(length).skip(outer.start).take(outer.len()).map(move |line| {
                // One iterator per line of memory.
                line[inner.clone()].iter_mut()
            });
        if along {
            return Box::new(lines.flatten());
        }
        // Across the lines: one value of each in turn.
        let mut lines: Vec<_> = lines.collect();
        let width = lines.len();
        Box::new((0..count).map(move |i| lines[i % width].next().expect("count of values of the window")))
    }
}

/// Where the values of a matrix are, in the table's orientation.
struct Parts<'a> {
    runs: [&'a [f64]; 2],
    split: usize,
    nrows: usize,
    ncols: usize,
    row_step: usize,
    col_step: usize,
    transposed: bool,
}

impl<'a> Parts<'a> {
    fn table_row(&self, row: usize) -> Line<'a> {
        assert!(row < self.nrows, "row {row} of {}", self.nrows);
        let (run, row) = if row < self.split { (0, row) } else { (1, row - self.split) };
        Line([Piece::new(self.runs[run], row * self.row_step, self.col_step, self.ncols), Piece::EMPTY])
    }

    fn table_column(&self, column: usize) -> Line<'a> {
        assert!(column < self.ncols, "column {column} of {}", self.ncols);
        let piece = |run: usize, n: usize| {
            if n == 0 {
                Piece::EMPTY
            } else {
                Piece::new(self.runs[run], column * self.col_step, self.row_step, n)
            }
        };
        Line([piece(0, self.split), piece(1, self.nrows - self.split)])
    }
}

/// Values at equal distances in memory.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    /// From the first to the last value.
    data: &'a [f64],
    step: usize,
    len: usize,
}

impl<'a> Piece<'a> {
    const EMPTY: Piece<'static> = Piece { data: &[], step: 1, len: 0 };

    fn new(data: &'a [f64], start: usize, step: usize, len: usize) -> Self {
        let span = if len == 0 { 0 } else { (len - 1) * step + 1 };
        Self { data: if span == 0 { &[] } else { &data[start..start + span] }, step: step.max(1), len }
    }

    fn part(self, range: Range<usize>) -> Self {
        Self::new(self.data, range.start * self.step, self.step, range.len())
    }
}

/// A row or a column: one piece, or one per run.
#[derive(Clone, Copy, Debug)]
struct Line<'a>([Piece<'a>; 2]);

impl<'a> Line<'a> {
    fn values(self) -> impl Iterator<Item = &'a f64> + use<'a> {
        let [head, tail] = self.0;
        head.data.iter().step_by(head.step).chain(tail.data.iter().step_by(tail.step))
    }

    fn part(self, range: Range<usize>) -> Self {
        let [head, tail] = self.0;
        let cut = |at: usize| at.clamp(head.len, head.len + tail.len) - head.len;
        Self([
            head.part(range.start.min(head.len)..range.end.min(head.len)),
            tail.part(cut(range.start)..cut(range.end)),
        ])
    }
}

impl Array<f64, usize> for Line<'_> {
    fn get(&self, at: usize) -> &f64 {
        let [head, tail] = &self.0;
        if at < head.len { &head.data[at * head.step] } else { &tail.data[(at - head.len) * tail.step] }
    }

    fn shape(&self) -> usize {
        self.0[0].len + self.0[1].len
    }

    fn is_empty(&self) -> bool {
        self.shape() == 0
    }

    fn iterator<'b>(&'b self, axis: u8) -> Box<dyn Iterator<Item = &'b f64> + 'b> {
        assert!(axis == 0, "a line has axis 0, not {axis}");
        Box::new(self.values())
    }
}

impl ArrayView1<f64> for Line<'_> {}

/// Some rows and columns of a matrix.
#[derive(Debug)]
struct Window<'a> {
    of: &'a SharedMatrix,
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Some rows and columns of an owned matrix, to write.
#[derive(Debug)]
struct WindowMut<'a> {
    of: &'a mut SharedMatrix,
    rows: Range<usize>,
    columns: Range<usize>,
}

fn check_window((nrows, ncols): (usize, usize), rows: &Range<usize>, columns: &Range<usize>) {
    let inside = |r: &Range<usize>, n: usize| r.start <= r.end && r.end <= n;
    assert!(
        inside(rows, nrows) && inside(columns, ncols),
        "rows {rows:?} and columns {columns:?} outside {nrows} x {ncols}"
    );
}

macro_rules! window_array {
    ($window:ident) => {
        impl Array<f64, (usize, usize)> for $window<'_> {
            fn get(&self, (row, column): (usize, usize)) -> &f64 {
                self.of.get((self.rows.start + row, self.columns.start + column))
            }

            fn shape(&self) -> (usize, usize) {
                (self.rows.len(), self.columns.len())
            }

            fn is_empty(&self) -> bool {
                self.rows.is_empty() || self.columns.is_empty()
            }

            fn iterator<'b>(&'b self, axis: u8) -> Box<dyn Iterator<Item = &'b f64> + 'b> {
                self.of.elements(self.rows.clone(), self.columns.clone(), axis)
            }
        }

        impl ArrayView2<f64> for $window<'_> {}
    };
}

window_array!(Window);
window_array!(WindowMut);

impl MutArray<f64, (usize, usize)> for WindowMut<'_> {
    fn set(&mut self, (row, column): (usize, usize), value: f64) {
        self.of.set((self.rows.start + row, self.columns.start + column), value);
    }

    fn iterator_mut<'b>(&'b mut self, axis: u8) -> Box<dyn Iterator<Item = &'b mut f64> + 'b> {
        self.of.dense_mut().elements_mut(self.rows.clone(), self.columns.clone(), axis)
    }
}

impl MutArrayView2<f64> for WindowMut<'_> {}

impl fmt::Debug for SharedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nrows, ncols) = self.shape();
        let what = if self.is_view() { "view" } else { "owned" };
        write!(f, "SharedMatrix({nrows} x {ncols}, {what})")
    }
}

impl Array<f64, (usize, usize)> for SharedMatrix {
    #[inline]
    fn get(&self, (row, column): (usize, usize)) -> &f64 {
        match &self.values {
            Values::Owned(dense) => &dense.values[dense.place((row, column))],
            Values::View(view) => {
                let (row, column) = if view.transposed { (column, row) } else { (row, column) };
                assert!(
                    row < view.nrows && column < view.ncols,
                    "({row}, {column}) outside {} x {}",
                    view.nrows,
                    view.ncols
                );
                let (run, row) =
                    if row < view.split { (view.runs[0], row) } else { (view.runs[1], row - view.split) };
                // SAFETY: row and column lie inside their run by the lines above, a run's slice spans every such place
                // ((rows - 1) * row_step + (columns - 1) * col_step < len, which `MatRef::data` guarantees), and it is alive:
                // see `parts`. The reference lives no longer than `self`, hence not beyond the loan.
                unsafe { &*run.data.add(row * view.row_step + column * view.col_step) }
            }
        }
    }

    #[inline]
    fn shape(&self) -> (usize, usize) {
        match &self.values {
            Values::Owned(dense) => (dense.nrows, dense.ncols),
            Values::View(view) if view.transposed => (view.ncols, view.nrows),
            Values::View(view) => (view.nrows, view.ncols),
        }
    }

    fn is_empty(&self) -> bool {
        let (nrows, ncols) = self.shape();
        nrows == 0 || ncols == 0
    }

    fn iterator<'b>(&'b self, axis: u8) -> Box<dyn Iterator<Item = &'b f64> + 'b> {
        let (nrows, ncols) = self.shape();
        let parts = self.parts();
        // Memory order, when there are no gaps in it.
        let (axis_of_memory, length, gap) = if parts.col_step == 1 {
            (u8::from(parts.transposed), parts.ncols, parts.row_step)
        } else {
            (u8::from(!parts.transposed), parts.nrows, parts.col_step)
        };
        let one_run = parts.split == parts.nrows;
        if axis == axis_of_memory && length == gap && (one_run || parts.col_step == 1) {
            return Box::new(parts.runs[0].iter().chain(parts.runs[1]));
        }
        self.elements(0..nrows, 0..ncols, axis)
    }
}

impl MutArray<f64, (usize, usize)> for SharedMatrix {
    #[inline]
    fn set(&mut self, place: (usize, usize), value: f64) {
        let dense = self.dense_mut();
        let at = dense.place(place);
        dense.values[at] = value;
    }

    fn iterator_mut<'b>(&'b mut self, axis: u8) -> Box<dyn Iterator<Item = &'b mut f64> + 'b> {
        let (nrows, ncols) = self.shape();
        self.dense_mut().elements_mut(0..nrows, 0..ncols, axis)
    }
}

impl ArrayView2<f64> for SharedMatrix {}
impl MutArrayView2<f64> for SharedMatrix {}

impl Array2<f64> for SharedMatrix {
    fn fill(nrows: usize, ncols: usize, value: f64) -> Self {
        Self::from_values(vec![value; nrows * ncols], nrows, ncols, Order::F)
    }

    fn slice<'a>(&'a self, rows: Range<usize>, columns: Range<usize>) -> Box<dyn ArrayView2<f64> + 'a> {
        check_window(self.shape(), &rows, &columns);
        Box::new(Window { of: self, rows, columns })
    }

    fn slice_mut<'a>(
        &'a mut self,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Box<dyn MutArrayView2<f64> + 'a> {
        check_window(self.shape(), &rows, &columns);
        Box::new(WindowMut { of: self, rows, columns })
    }

    fn from_iterator<I: Iterator<Item = f64>>(iter: I, nrows: usize, ncols: usize, axis: u8) -> Self {
        // `collect` would guess the capacity and double it.
        let mut values = Vec::with_capacity(nrows * ncols);
        values.extend(iter);
        Self::from_values(values, nrows, ncols, if axis == 0 { Order::C } else { Order::F })
    }

    fn get_row<'a>(&'a self, row: usize) -> Box<dyn ArrayView1<f64> + 'a> {
        let line = self.row(row);
        match line.0 {
            // GaussianNB keeps one of these per row: a slice is the smallest.
            [head, Piece { len: 0, .. }] if head.step == 1 => Box::new(head.data),
            _ => Box::new(line),
        }
    }

    fn get_col<'a>(&'a self, column: usize) -> Box<dyn ArrayView1<f64> + 'a> {
        Box::new(self.column(column))
    }

    fn transpose(&self) -> Self {
        let mut turned = self.clone();
        match &mut turned.values {
            Values::View(view) => view.transposed = !view.transposed,
            Values::Owned(dense) => {
                std::mem::swap(&mut dense.nrows, &mut dense.ncols);
                dense.column_major = !dense.column_major;
            }
        }
        turned
    }

    /// smartcore's own chains n boxed iterators, which takes n^2 time and overflows the stack.
    fn concatenate_1d<'a>(arrays: &'a [&'a dyn ArrayView1<f64>], axis: u8) -> Self {
        assert!(axis < 2, "a matrix has axes 0 and 1, not {axis}");
        assert!(!arrays.is_empty(), "no arrays to concatenate");
        let length = arrays[0].shape();
        assert!(arrays.iter().all(|a| a.shape() == length), "arrays of different sizes");
        let mut values = Vec::with_capacity(length * arrays.len());
        arrays.iter().for_each(|a| values.extend(a.iterator(0).copied()));
        if axis == 0 {
            Self::from_values(values, arrays.len(), length, Order::C)
        } else {
            Self::from_values(values, length, arrays.len(), Order::F)
        }
    }
}

impl QRDecomposable<f64> for SharedMatrix {}
impl SVDDecomposable<f64> for SharedMatrix {}
impl EVDDecomposable<f64> for SharedMatrix {}
impl LUDecomposable<f64> for SharedMatrix {}
impl CholeskyDecomposable<f64> for SharedMatrix {}

impl Serialize for SharedMatrix {
    /// An owned matrix; a view is an error.
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match &self.values {
            Values::Owned(dense) => dense.serialize(serializer),
            Values::View(_) => Err(ser::Error::custom("a view of a table cannot be saved")),
        }
    }
}

impl<'de> Deserialize<'de> for SharedMatrix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let dense = Dense::deserialize(deserializer)?;
        if dense.nrows.checked_mul(dense.ncols) != Some(dense.values.len()) {
            return Err(de::Error::custom("a saved matrix whose values do not fill its shape"));
        }
        Ok(Self { values: Values::Owned(dense) })
    }
}

#[cfg(test)]
mod tests {
    use ensemble_core::{MatRef, Rows};
    use proptest::prelude::*;
    use smartcore::linalg::basic::matrix::DenseMatrix;

    use super::*;

    /// A table of `nrows` x `ncols` with `gap` unused values after every row or column.
    fn table(nrows: usize, ncols: usize, gap: usize, order: Order) -> (Vec<f64>, usize) {
        let (outer, inner) = if order == Order::C { (nrows, ncols) } else { (ncols, nrows) };
        let stride = inner + gap;
        ((0..outer * stride).map(|i| ((i * 37) % 101) as f64 - 50.0).collect(), stride)
    }

    fn values<T: ArrayView2<f64> + ?Sized>(m: &T) -> Vec<f64> {
        let (nrows, ncols) = m.shape();
        (0..nrows).flat_map(|r| (0..ncols).map(move |c| (r, c))).map(|at| *m.get(at)).collect()
    }

    fn same<T: ArrayView2<f64> + ?Sized>(shared: &T, dense: &DenseMatrix<f64>) {
        assert_eq!(shared.shape(), dense.shape());
        assert_eq!(values(shared), values(dense));
        for axis in [0, 1] {
            assert_eq!(
                shared.iterator(axis).collect::<Vec<_>>(),
                dense.iterator(axis).collect::<Vec<_>>(),
                "axis {axis}"
            );
        }
    }

    fn same_line(shared: &dyn ArrayView1<f64>, dense: &dyn ArrayView1<f64>) {
        assert_eq!(shared.shape(), dense.shape());
        assert_eq!(shared.iterator(0).collect::<Vec<_>>(), dense.iterator(0).collect::<Vec<_>>());
        assert!((0..shared.shape()).all(|i| shared.get(i) == dense.get(i)));
    }

    /// Every method that this type overrides, against `DenseMatrix`.
    fn agree(x: &SharedMatrix, d: &DenseMatrix<f64>) {
        same(x, d);
        let (nrows, ncols) = x.shape();
        assert_eq!(x.is_empty(), d.is_empty());
        for r in 0..nrows {
            same_line(&*x.get_row(r), &*d.get_row(r));
        }
        for c in 0..ncols {
            same_line(&*x.get_col(c), &*d.get_col(c));
        }
        let (rows, columns) = (nrows / 3..nrows, ncols / 2..ncols);
        let window = x.slice(rows.clone(), columns.clone());
        let expected = d.slice(rows.clone(), columns.clone());
        assert_eq!(window.shape(), expected.shape());
        for axis in [0, 1] {
            assert!(window.iterator(axis).eq(expected.iterator(axis)));
        }
        let lines: Vec<_> = (0..nrows).map(|r| x.get_row(r)).collect();
        let lines: Vec<&dyn ArrayView1<f64>> = lines.iter().map(|l| &**l).collect();
        let dlines: Vec<_> = (0..nrows).map(|r| d.get_row(r)).collect();
        let dlines: Vec<&dyn ArrayView1<f64>> = dlines.iter().map(|l| &**l).collect();
        for axis in [0, 1] {
            same(&SharedMatrix::concatenate_1d(&lines, axis), &DenseMatrix::concatenate_1d(&dlines, axis));
            same(
                &SharedMatrix::from_iterator(x.iterator(axis).copied(), nrows, ncols, axis),
                &DenseMatrix::from_iterator(d.iterator(axis).copied(), nrows, ncols, axis),
            );
        }
        same(&x.matmul(&x.transpose()), &d.matmul(&d.transpose()));
        same(&x.ab(true, x, false), &d.ab(true, d, false));
        // Writing.
        let (mut own, mut dense) = (x.clone(), d.clone());
        own.set((nrows - 1, 0), 7.5);
        dense.set((nrows - 1, 0), 7.5);
        same(&own, &dense);
        for axis in [0, 1] {
            own.iterator_mut(axis).zip(0..).for_each(|(v, i)| *v += f64::from(i));
            dense.iterator_mut(axis).zip(0..).for_each(|(v, i)| *v += f64::from(i));
            same(&own, &dense);
            own.slice_mut(rows.clone(), columns.clone())
                .iterator_mut(axis)
                .zip(0..)
                .for_each(|(v, i)| *v -= f64::from(i));
            dense
                .slice_mut(rows.clone(), columns.clone())
                .iterator_mut(axis)
                .zip(0..)
                .for_each(|(v, i)| *v -= f64::from(i));
            same(&own, &dense);
        }
        own.slice_mut(rows.clone(), columns.clone()).set((0, 0), -1.0);
        dense.slice_mut(rows, columns).set((0, 0), -1.0);
        same(&own, &dense);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
        #[test]
        fn views_and_owned_matrices_do_what_dense_matrices_do(
            nrows in 2usize..12, ncols in 1usize..6, gap in 0usize..3,
            hole in (0usize..12, 0usize..12), fortran in any::<bool>(),
        ) {
            let order = if fortran { Order::F } else { Order::C };
            let (data, stride) = table(nrows, ncols, gap, order);
            let mat = MatRef::with_stride(&data, nrows, ncols, order, stride).unwrap();
            let (a, b) = (hole.0.min(hole.1).min(nrows), hole.0.max(hole.1).min(nrows));
            let rows = Rows::all_but(nrows, a..b).unwrap();
            prop_assume!(!rows.is_empty());
            let kept: Vec<f64> = (0..nrows)
                .filter(|r| rows.contains(*r))
                .flat_map(|r| (0..ncols).map(move |c| mat.get(r, c)))
                .collect();
            let dense = DenseMatrix::new(rows.len(), ncols, kept, false).unwrap();
            SharedMatrix::lend(RowsView::new(mat, &rows).unwrap(), |x| {
                agree(x, &dense);
                agree(&x.transpose(), &dense.transpose());
                assert!(x.is_view() && x.copied_bytes() > 0);
                let owned = x.mul_scalar(1.0);
                assert!(!owned.is_view());
                agree(&owned, &dense);
                agree(&owned.transpose(), &dense.transpose());
            }).unwrap();
        }
    }

    #[test]
    fn reading_copies_nothing_and_the_first_write_copies_once() {
        let (data, _) = table(6, 2, 0, Order::C);
        let mat = MatRef::new(&data, 6, 2, Order::C).unwrap();
        let rows = Rows::all_but(6, 2..3).unwrap();
        SharedMatrix::lend(RowsView::new(mat, &rows).unwrap(), |x| {
            assert!(std::ptr::eq(x.get((3, 1)), &data[9]), "the value itself");
            let mut copy = x.clone().transpose();
            assert_eq!(x.copied_bytes(), 0);
            copy.set((0, 0), 1.0);
            copy.set((0, 1), 1.0);
            assert_eq!(x.copied_bytes(), 5 * 2 * 8);
        })
        .unwrap();
    }

    #[test]
    fn three_runs_and_no_rows_are_told_apart() {
        let (data, _) = table(6, 2, 0, Order::C);
        let mat = MatRef::new(&data, 6, 2, Order::C).unwrap();
        let three = Rows::from_runs([0..1, 2..3, 4..5]);
        let lent = SharedMatrix::lend(RowsView::new(mat, &three).unwrap(), |_| ());
        assert!(lent.unwrap_err().to_string().contains("3 runs"));
        let none = Rows::default();
        let shape = SharedMatrix::lend(RowsView::new(mat, &none).unwrap(), Array::shape).unwrap();
        assert_eq!(shape, (0, 2));
    }

    #[test]
    fn an_owned_matrix_survives_serde_and_a_view_is_refused() {
        let owned = SharedMatrix::from_values(vec![0.1, 1.0 / 3.0, -0.0, 4.0], 2, 2, Order::F);
        let text = serde_json::to_string(&owned).unwrap();
        let back: SharedMatrix = serde_json::from_str(&text).unwrap();
        assert_eq!(values(&back), values(&owned));
        assert!(serde_json::from_str::<SharedMatrix>(&text.replace("\"nrows\":2", "\"nrows\":3")).is_err());
        let mat = MatRef::column_vector(&[1.0, 2.0]);
        let rows = Rows::all(2);
        let saved = SharedMatrix::lend(RowsView::new(mat, &rows).unwrap(), serde_json::to_string);
        assert!(saved.unwrap().is_err());
    }

    #[test]
    fn a_view_kept_beyond_its_loan_ends_the_process() {
        const CHILD: &str = "ENSEMBLE_SMARTCORE_KEEPS_A_VIEW";
        let lend_and_keep = |keep: bool| {
            let mat = MatRef::column_vector(&[1.0, 2.0]);
            let rows = Rows::all(2);
            SharedMatrix::lend(RowsView::new(mat, &rows).unwrap(), |x| keep.then(|| x.clone())).unwrap()
        };
        if std::env::var_os(CHILD).is_some() {
            // Whoever catches panics must not get hold of the view either.
            let kept = std::panic::catch_unwind(|| lend_and_keep(true));
            println!("not reached: {kept:?}");
            return;
        }
        if cfg!(miri) {
            return;
        }
        assert!(lend_and_keep(false).is_none());
        let child = |stderr: std::process::Stdio| {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "shared_matrix::tests::a_view_kept_beyond_its_loan_ends_the_process",
                    "--nocapture",
                ])
                .env(CHILD, "1")
                .stdout(std::process::Stdio::piped())
                .stderr(stderr)
                .spawn()
                .and_then(std::process::Child::wait_with_output)
                .unwrap()
        };
        let aborted = |output: &std::process::Output| {
            assert!(!String::from_utf8_lossy(&output.stdout).contains("not reached"), "{output:?}");
            #[cfg(unix)]
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(6), "{output:?}");
            assert!(!output.status.success());
        };
        let loud = child(std::process::Stdio::piped());
        aborted(&loud);
        let said = String::from_utf8_lossy(&loud.stderr);
        assert!(said.contains("kept beyond the fit"), "{said}");
        // Also where the word cannot be said: a full disk, and a reader who has gone.
        #[cfg(unix)]
        {
            if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
                aborted(&child(full.into()));
            }
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            aborted(&child(writer.into()));
        }
    }
}
