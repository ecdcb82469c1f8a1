//! The currency of the workspace: borrowed dense float64 matrices, C or Fortran order, with one stride.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};

/// Which index runs fastest in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Row-major: the values of a row are neighbours.
    C,
    /// Column-major: the values of a column are neighbours.
    F,
}

/// Rows and columns of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Number of rows.
    pub nrows: usize,
    /// Number of columns.
    pub ncols: usize,
}

impl Shape {
    /// Bytes of a dense float64 matrix of this shape; the greatest number where there are more.
    pub fn bytes(self) -> u64 {
        (self.nrows as u64).saturating_mul(self.ncols as u64).saturating_mul(8)
    }
}

/// A borrowed matrix of float64: a slice, a shape, an order and the distance between neighbouring rows (C) or columns
/// (F) in elements. Copying one copies four words, never data.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    data: &'a [f64],
    nrows: usize,
    ncols: usize,
    order: Order,
    stride: usize,
}

/// The least slice length that holds the shape, or `None` when it overflows.
fn span(nrows: usize, ncols: usize, order: Order, stride: usize) -> Option<usize> {
    let (outer, inner) = match order {
        Order::C => (nrows, ncols),
        Order::F => (ncols, nrows),
    };
    if outer == 0 || inner == 0 {
        return Some(0);
    }
    (outer - 1).checked_mul(stride)?.checked_add(inner)
}

fn check(len: usize, nrows: usize, ncols: usize, order: Order, stride: usize) -> Result<()> {
    let inner = if order == Order::C { ncols } else { nrows };
    if stride < inner {
        return Err(Error::shape("stride of a matrix, in elements, at least", inner, stride));
    }
    match span(nrows, ncols, order, stride) {
        Some(need) if need <= len => Ok(()),
        need => Err(Error::shape("elements behind a matrix", need.unwrap_or(usize::MAX), len)),
    }
}

impl<'a> MatRef<'a> {
    /// A matrix over `data` without gaps.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] unless `data` holds exactly `nrows * ncols` values.
    pub fn new(data: &'a [f64], nrows: usize, ncols: usize, order: Order) -> Result<Self> {
        if nrows.checked_mul(ncols) != Some(data.len()) {
            return Err(Error::shape("elements behind a matrix", nrows.saturating_mul(ncols), data.len()));
        }
        let stride = if order == Order::C { ncols } else { nrows };
        Ok(Self { data, nrows, ncols, order, stride })
    }

    /// A matrix whose neighbouring rows (C) or columns (F) lie `stride` elements apart.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if `stride` is shorter than a row (C) or column (F), or `data` too short.
    pub fn with_stride(
        data: &'a [f64],
        nrows: usize,
        ncols: usize,
        order: Order,
        stride: usize,
    ) -> Result<Self> {
        check(data.len(), nrows, ncols, order, stride)?;
        Ok(Self { data, nrows, ncols, order, stride })
    }

    /// One column, which is both orders at once; it is said to be in C order.
    pub fn column_vector(data: &'a [f64]) -> Self {
        Self { data, nrows: data.len(), ncols: 1, order: Order::C, stride: 1 }
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.nrows
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.ncols
    }

    /// Rows and columns.
    pub fn shape(&self) -> Shape {
        Shape { nrows: self.nrows, ncols: self.ncols }
    }

    /// Which index runs fastest.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Elements between neighbouring rows (C) or columns (F).
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The elements from the first to the last, gaps included.
    pub fn data(&self) -> &'a [f64] {
        let need = span(self.nrows, self.ncols, self.order, self.stride).unwrap_or(0);
        &self.data[..need]
    }

    /// The values as one slice when there are no gaps between them, in this matrix's order.
    pub fn as_slice(&self) -> Option<&'a [f64]> {
        let inner = if self.order == Order::C { self.ncols } else { self.nrows };
        let outer = if self.order == Order::C { self.nrows } else { self.ncols };
        (self.stride == inner || outer <= 1).then(|| self.data())
    }

    /// The value at `row`, `column`.
    ///
    /// # Panics
    /// When either is out of range.
    #[inline]
    pub fn get(&self, row: usize, column: usize) -> f64 {
        assert!(
            row < self.nrows && column < self.ncols,
            "({row}, {column}) outside {} x {}",
            self.nrows,
            self.ncols
        );
        match self.order {
            Order::C => self.data[row * self.stride + column],
            Order::F => self.data[column * self.stride + row],
        }
    }

    /// Row `row` as a slice; `None` in Fortran order, unless there is but one column.
    ///
    /// # Panics
    /// When `row` is out of range.
    #[inline]
    pub fn row(&self, row: usize) -> Option<&'a [f64]> {
        assert!(row < self.nrows, "row {row} of {}", self.nrows);
        match self.order {
            Order::C => Some(&self.data[row * self.stride..row * self.stride + self.ncols]),
            Order::F if self.ncols == 1 => Some(&self.data[row..=row]),
            Order::F => None,
        }
    }

    /// Column `column` as a slice; `None` in C order, unless its values are neighbours.
    ///
    /// # Panics
    /// When `column` is out of range.
    #[inline]
    pub fn column(&self, column: usize) -> Option<&'a [f64]> {
        assert!(column < self.ncols, "column {column} of {}", self.ncols);
        match self.order {
            // No rows have no memory behind them, whatever the stride.
            _ if self.nrows == 0 => Some(&[]),
            Order::F => Some(&self.data[column * self.stride..column * self.stride + self.nrows]),
            Order::C if self.stride == 1 => Some(&self.data[..self.nrows]),
            Order::C => None,
        }
    }

    /// The rows in `rows`, over the same memory.
    ///
    /// # Errors
    /// [`ErrorKind::RowRange`] if `rows` reaches past the last row.
    pub fn rows(&self, rows: Range<usize>) -> Result<MatRef<'a>> {
        if rows.start > rows.end || rows.end > self.nrows {
            return Err(ErrorKind::RowRange { start: rows.start, end: rows.end, nrows: self.nrows }.into());
        }
        let skip = match self.order {
            Order::C => rows.start * self.stride,
            Order::F => rows.start,
        };
        let nrows = rows.end - rows.start;
        let data = if nrows == 0 || self.ncols == 0 { &[][..] } else { &self.data[skip..] };
        Ok(MatRef { data, nrows, ..*self })
    }

    /// The columns in `columns`, over the same memory.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if `columns` reaches past the last column, or ends before it starts.
    pub fn columns(&self, columns: Range<usize>) -> Result<MatRef<'a>> {
        if columns.start > columns.end || columns.end > self.ncols {
            return Err(Error::shape(
                "columns of a matrix, at most",
                self.ncols,
                columns.end.max(columns.start),
            ));
        }
        let skip = if self.order == Order::C { columns.start } else { columns.start * self.stride };
        let ncols = columns.end - columns.start;
        let data = if self.nrows == 0 || ncols == 0 { &[][..] } else { &self.data[skip..] };
        Ok(MatRef { data, ncols, ..*self })
    }

    /// Every `step`-th row from the first, over the same memory; in C order, or where there is but one column.
    ///
    /// # Errors
    /// In Fortran order, where rows so chosen are not one stride apart, and for a `step` of 0.
    pub fn step_rows(&self, step: usize) -> Result<MatRef<'a>> {
        if step == 0 {
            return Err(Error::unsupported("every 0th row was asked for; a step is 1 or more"));
        }
        let stride = match self.order {
            Order::C => self.stride,
            Order::F if self.ncols == 1 => 1,
            Order::F => {
                return Err(Error::unsupported(
                    "every so many rows of a matrix in Fortran order are no matrix in place; gather them",
                ));
            }
        };
        let nrows = self.nrows.div_ceil(step);
        Ok(MatRef { nrows, order: Order::C, stride: stride.saturating_mul(step), ..*self })
    }

    /// One column as a matrix of its own, over the same memory.
    ///
    /// # Panics
    /// When `column` is out of range.
    pub fn column_view(&self, column: usize) -> MatRef<'a> {
        assert!(column < self.ncols, "column {column} of {}", self.ncols);
        let skip = if self.order == Order::C { column } else { column * self.stride };
        let data = if self.nrows == 0 { &[][..] } else { &self.data[skip..] };
        MatRef { data, ncols: 1, ..*self }
    }

    /// Cut into consecutive blocks of `block` rows, the last one shorter.
    ///
    /// # Panics
    /// When `block` is 0.
    pub fn row_blocks(self, block: usize) -> impl Iterator<Item = MatRef<'a>> {
        assert!(block > 0, "blocks of 0 rows");
        (0..self.nrows.div_ceil(block)).map(move |b| {
            let start = b * block;
            self.rows(start..(start + block).min(self.nrows)).expect("inside by construction")
        })
    }

    /// Write row `row` into `out`, whatever the order.
    ///
    /// # Panics
    /// When `row` is out of range or `out` is not `ncols` long.
    pub fn copy_row_into(&self, row: usize, out: &mut [f64]) {
        assert_eq!(out.len(), self.ncols, "buffer for a row");
        match self.row(row) {
            Some(values) => out.copy_from_slice(values),
            None => {
                for (column, slot) in out.iter_mut().enumerate() {
                    *slot = self.get(row, column);
                }
            }
        }
    }

    /// Whether every value is a number within `most` of 0: no NaN, no infinity when `most` is `f64::MAX`. One read, at the speed of
    /// memory.
    pub fn is_within(&self, most: f64) -> bool {
        // Without an early end within a line, the comparisons run several at once.
        let within = |line: &[f64]| line.iter().fold(true, |ok, v| ok & (v.abs() <= most));
        if let Some(all) = self.as_slice() {
            return all.chunks(1 << 12).all(within);
        }
        match self.order {
            Order::C => (0..self.nrows).all(|r| self.row(r).is_none_or(within)),
            Order::F => (0..self.ncols).all(|c| self.column(c).is_none_or(within)),
        }
    }

    /// The first value that is NaN or infinite, as (row, column, value), in row order.
    pub fn first_not_finite(&self) -> Option<(usize, usize, f64)> {
        if self.is_within(f64::MAX) { None } else { self.first(|v| !v.is_finite()) }
    }

    /// The first value that `is`, as (row, column, value), in row order.
    pub(crate) fn first(&self, is: impl Fn(f64) -> bool) -> Option<(usize, usize, f64)> {
        let places = (0..self.nrows).flat_map(|row| (0..self.ncols).map(move |column| (row, column)));
        places.map(|(row, column)| (row, column, self.get(row, column))).find(|(_, _, value)| is(*value))
    }
}

/// A borrowed matrix that may be written; see [`MatRef`].
#[derive(Debug)]
pub struct MatMut<'a> {
    data: &'a mut [f64],
    nrows: usize,
    ncols: usize,
    order: Order,
    stride: usize,
}

impl<'a> MatMut<'a> {
    /// A matrix over `data` without gaps.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] unless `data` holds exactly `nrows * ncols` values.
    pub fn new(data: &'a mut [f64], nrows: usize, ncols: usize, order: Order) -> Result<Self> {
        if nrows.checked_mul(ncols) != Some(data.len()) {
            return Err(Error::shape("elements behind a matrix", nrows.saturating_mul(ncols), data.len()));
        }
        let stride = if order == Order::C { ncols } else { nrows };
        Ok(Self { data, nrows, ncols, order, stride })
    }

    /// A matrix whose neighbouring rows (C) or columns (F) lie `stride` elements apart.
    ///
    /// # Errors
    /// As [`MatRef::with_stride`].
    pub fn with_stride(
        data: &'a mut [f64],
        nrows: usize,
        ncols: usize,
        order: Order,
        stride: usize,
    ) -> Result<Self> {
        check(data.len(), nrows, ncols, order, stride)?;
        Ok(Self { data, nrows, ncols, order, stride })
    }

    /// One column of neighbouring values.
    pub fn column_vector(data: &'a mut [f64]) -> Self {
        let nrows = data.len();
        Self { data, nrows, ncols: 1, order: Order::C, stride: 1 }
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.nrows
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.ncols
    }

    /// Which index runs fastest.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Read what is here.
    pub fn as_ref(&self) -> MatRef<'_> {
        MatRef {
            data: self.data,
            nrows: self.nrows,
            ncols: self.ncols,
            order: self.order,
            stride: self.stride,
        }
    }

    /// Lend the same matrix for a shorter time.
    pub fn reborrow(&mut self) -> MatMut<'_> {
        MatMut {
            data: self.data,
            nrows: self.nrows,
            ncols: self.ncols,
            order: self.order,
            stride: self.stride,
        }
    }

    /// Set the value at `row`, `column`.
    ///
    /// # Panics
    /// When either is out of range.
    #[inline]
    pub fn set(&mut self, row: usize, column: usize, value: f64) {
        assert!(
            row < self.nrows && column < self.ncols,
            "({row}, {column}) outside {} x {}",
            self.nrows,
            self.ncols
        );
        match self.order {
            Order::C => self.data[row * self.stride + column] = value,
            Order::F => self.data[column * self.stride + row] = value,
        }
    }

    /// Row `row` as a slice; `None` in Fortran order.
    ///
    /// # Panics
    /// When `row` is out of range.
    #[inline]
    pub fn row_mut(&mut self, row: usize) -> Option<&mut [f64]> {
        assert!(row < self.nrows, "row {row} of {}", self.nrows);
        match self.order {
            Order::C => Some(&mut self.data[row * self.stride..row * self.stride + self.ncols]),
            Order::F => None,
        }
    }

    /// Columns `columns`, over the same memory.
    ///
    /// # Panics
    /// When the range reaches past the last column.
    pub fn columns_mut(&mut self, columns: Range<usize>) -> MatMut<'_> {
        assert!(columns.start <= columns.end && columns.end <= self.ncols, "columns {columns:?}");
        let skip = if self.order == Order::C { columns.start } else { columns.start * self.stride };
        let ncols = columns.end - columns.start;
        let data = if self.nrows == 0 || ncols == 0 { &mut [][..] } else { &mut self.data[skip..] };
        MatMut { data, nrows: self.nrows, ncols, order: self.order, stride: self.stride }
    }

    /// Rows `rows`, over the same memory.
    ///
    /// # Panics
    /// When the range reaches past the last row.
    pub fn rows_mut(&mut self, rows: Range<usize>) -> MatMut<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.nrows, "rows {rows:?} of {}", self.nrows);
        let skip = if self.order == Order::C { rows.start * self.stride } else { rows.start };
        let nrows = rows.end - rows.start;
        let data = if nrows == 0 || self.ncols == 0 { &mut [][..] } else { &mut self.data[skip..] };
        MatMut { data, nrows, ncols: self.ncols, order: self.order, stride: self.stride }
    }

    /// The first `row` rows and the rest, in C order.
    ///
    /// # Panics
    /// In Fortran order, or when `row` is out of range: two row parts of Fortran columns interleave.
    pub fn split_at_row(self, row: usize) -> (MatMut<'a>, MatMut<'a>) {
        assert!(self.order == Order::C && row <= self.nrows, "split {} rows at {row}", self.nrows);
        let cut = (row * self.stride).min(self.data.len());
        let (head, tail) = self.data.split_at_mut(cut);
        let Self { nrows, ncols, order, stride, .. } = self;
        (
            MatMut { data: head, nrows: row, ncols, order, stride },
            MatMut { data: tail, nrows: nrows - row, ncols, order, stride },
        )
    }

    /// Set every value.
    pub fn fill(&mut self, value: f64) {
        for row in 0..self.nrows {
            for column in 0..self.ncols {
                self.set(row, column, value);
            }
        }
    }
}

#[cfg(feature = "ndarray")]
mod ndarray_edge {
    //! ndarray 0.17 views in and out, over the same memory.

    use ndarray::{ArrayView1, ArrayView2, ShapeBuilder};

    use super::{Error, MatRef, Order, Result};

    /// What lies in the gaps of a view may be somebody else's to change, so no slice can reach over it.
    fn gaps() -> Error {
        Error::unsupported(
            "an array view with gaps or reversed axes cannot be read in place; make a MatRef of the whole array, and take its rows, \
             columns, column_view or step_rows",
        )
    }

    impl<'a> TryFrom<ArrayView2<'a, f64>> for MatRef<'a> {
        type Error = Error;

        /// The same memory as a [`MatRef`]. Never copies.
        ///
        /// # Errors
        /// When the view has gaps or runs backwards: make a [`MatRef`] of the whole array, and take [`rows`](MatRef::rows),
        /// [`columns`](MatRef::columns), one [`column`](MatRef::column_view) or [every so many rows](MatRef::step_rows) of it.
        fn try_from(view: ArrayView2<'a, f64>) -> Result<Self> {
            let (nrows, ncols) = view.dim();
            let order = if view.is_standard_layout() { Order::C } else { Order::F };
            let data = view.to_slice_memory_order();
            match (data, order == Order::C || view.t().is_standard_layout()) {
                (Some(data), true) => MatRef::new(data, nrows, ncols, order),
                _ => Err(gaps()),
            }
        }
    }

    impl<'a> TryFrom<ArrayView1<'a, f64>> for MatRef<'a> {
        type Error = Error;

        /// The same memory as one column. Never copies.
        ///
        /// # Errors
        /// When the view has gaps or runs backwards, as above.
        fn try_from(view: ArrayView1<'a, f64>) -> Result<Self> {
            view.to_slice().map(MatRef::column_vector).ok_or_else(gaps)
        }
    }

    impl<'a> MatRef<'a> {
        /// The same memory as an ndarray view. Never copies.
        pub fn as_ndarray(&self) -> ArrayView2<'a, f64> {
            let strides = match self.order {
                Order::C => (self.stride, 1),
                Order::F => (1, self.stride),
            };
            ArrayView2::from_shape((self.nrows, self.ncols).strides(strides), self.data())
                .expect("a MatRef is a valid strided view")
        }
    }

    #[cfg(test)]
    mod tests {
        use ndarray::{Array2, Axis, ShapeBuilder, Slice};

        use super::*;

        #[test]
        fn views_share_memory_both_ways_and_gaps_are_refused() {
            for order in [Order::C, Order::F] {
                let shape = (4, 3).set_f(order == Order::F);
                let array = Array2::from_shape_fn(shape, |(i, j)| (10 * i + j) as f64);
                let mat = MatRef::try_from(array.view()).unwrap();
                assert_eq!((mat.order(), mat.data().as_ptr()), (order, array.as_ptr()));
                let part = mat.rows(1..3).unwrap().as_ndarray();
                assert_eq!(part, array.slice_axis(Axis(0), Slice::from(1..3)));
                assert!(MatRef::try_from(array.slice_axis(Axis(1), Slice::new(0, None, -1))).is_err());
                assert!(MatRef::try_from(array.slice_axis(Axis(0), Slice::new(0, None, 2))).is_err());
                // What a view with gaps shows, a part of the whole array's matrix does.
                let columns = mat.columns(1..3).unwrap();
                assert_eq!(columns.as_ndarray(), array.slice_axis(Axis(1), Slice::from(1..3)));
                let column = MatRef::try_from(array.column(1));
                assert_eq!(column.is_ok(), order == Order::F);
                if order == Order::C {
                    let text = column.unwrap_err().to_string();
                    assert!(text.contains("column_view"), "{text}");
                    let second = mat.step_rows(2).unwrap();
                    assert_eq!(second.as_ndarray(), array.slice_axis(Axis(0), Slice::new(0, None, 2)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_views_share_memory_in_both_orders() {
        let data: Vec<f64> = (0..12).map(f64::from).collect();
        for order in [Order::C, Order::F] {
            let m = MatRef::new(&data, 4, 3, order).unwrap();
            let part = m.rows(1..3).unwrap();
            for i in 0..2 {
                for j in 0..3 {
                    assert_eq!(part.get(i, j), m.get(i + 1, j));
                }
            }
            assert_eq!(part.column_view(2).get(1, 0), m.get(2, 2));
            assert!(m.rows(3..5).is_err());
            let part = part.columns(1..3).unwrap();
            assert_eq!((part.ncols(), part.get(1, 1)), (2, m.get(2, 2)));
            assert!(m.columns(2..4).is_err() && m.step_rows(0).is_err());
            assert_eq!(m.columns(3..3).unwrap().ncols(), 0);
            let single = m.column_view(1).step_rows(3).unwrap();
            assert_eq!((single.nrows(), single.get(1, 0)), (2, m.get(3, 1)));
            match order {
                Order::C => assert_eq!(m.step_rows(2).unwrap().get(1, 2), m.get(2, 2)),
                Order::F => assert!(m.step_rows(2).is_err()),
            }
        }
    }

    #[test]
    fn no_rows_have_columns_in_either_order() {
        let data = [0.0; 12];
        for order in [Order::C, Order::F] {
            let none = MatRef::new(&data, 4, 3, order).unwrap().rows(2..2).unwrap();
            assert_eq!(none.column(2), Some(&[][..]));
        }
    }

    #[test]
    fn short_data_and_short_strides_are_errors() {
        let data = [0.0; 11];
        assert!(MatRef::new(&data, 4, 3, Order::C).is_err());
        assert!(MatRef::with_stride(&data, 4, 3, Order::C, 2).is_err());
        assert!(MatRef::with_stride(&data, 3, 3, Order::C, 4).is_ok());
        assert!(MatRef::with_stride(&data, usize::MAX, 3, Order::C, 4).is_err());
    }
}
