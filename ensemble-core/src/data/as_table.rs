//! What a fit and a prediction take: dense float64 rows wherever they lie, and targets that may be words.

use std::{ops::Deref, sync::Arc};

use crate::{
    data::{
        classes::Classes,
        mat::{MatRef, Order},
        rows::Rows,
        table::{ContiguousView, DenseTable, Table, TableReference},
    },
    error::Result,
};

/// Rows that can be read as a table where they lie: a reference to any [`Table`], to a vector, slice or array of numbers (one column), a
/// [`MatRef`], a slice with its numbers of rows and columns (C order), and with the feature `ndarray` arrays and views of one or two axes.
///
/// ```
/// use ensemble_core::{AsTable, DenseTable, MatRef, Order, Table};
/// let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// assert_eq!((&values, 3, 2).as_table()?.as_mat().get(2, 0), 5.0);
/// assert_eq!(MatRef::new(&values, 3, 2, Order::F)?.as_table()?.as_mat().get(2, 0), 3.0);
/// assert_eq!((&values).as_table()?.as_mat().nrows(), 6);
/// assert_eq!((&DenseTable::column(values)).as_table()?.as_mat().ncols(), 1);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read as a table of float64 where it lies",
    note = "pass a reference to a table, a `Vec<f64>` or an ndarray array, or `(&values, nrows, ncols)`"
)]
pub trait AsTable {
    /// The rows as a table. Never copies.
    ///
    /// # Errors
    /// When sizes do not fit, or gaps between values are such that no [`MatRef`] can show them.
    fn as_table(&self) -> Result<InPlace<'_>>;
}

/// Rows where they lie: a table, or a borrowed matrix.
#[derive(Clone, Copy, Debug)]
pub enum InPlace<'a> {
    /// A table, with all that it can do.
    Table(&'a dyn Table),
    /// A matrix. Models that keep rows must copy them.
    Matrix(MatRef<'a>),
}

impl<'a> Deref for InPlace<'a> {
    type Target = dyn Table + 'a;

    fn deref(&self) -> &Self::Target {
        match self {
            InPlace::Table(table) => *table,
            InPlace::Matrix(matrix) => matrix,
        }
    }
}

impl<T: Table + ?Sized> AsTable for &T {
    fn as_table(&self) -> Result<InPlace<'_>> {
        Ok(InPlace::Table(self))
    }
}

impl AsTable for MatRef<'_> {
    fn as_table(&self) -> Result<InPlace<'_>> {
        Ok(InPlace::Matrix(*self))
    }
}

impl AsTable for &[f64] {
    fn as_table(&self) -> Result<InPlace<'_>> {
        Ok(InPlace::Matrix(MatRef::column_vector(self)))
    }
}

impl AsTable for &Vec<f64> {
    fn as_table(&self) -> Result<InPlace<'_>> {
        Ok(InPlace::Matrix(MatRef::column_vector(self)))
    }
}

impl<const N: usize> AsTable for &[f64; N] {
    fn as_table(&self) -> Result<InPlace<'_>> {
        Ok(InPlace::Matrix(MatRef::column_vector(*self)))
    }
}

/// Values in C order, with their numbers of rows and columns.
impl<S: AsRef<[f64]>> AsTable for (S, usize, usize) {
    fn as_table(&self) -> Result<InPlace<'_>> {
        Ok(InPlace::Matrix(MatRef::new(self.0.as_ref(), self.1, self.2, Order::C)?))
    }
}

/// A target: numbers where they lie, as [`AsTable`] says, or words.
///
/// Words are numbered, which takes 8 bytes a row for as long as the fit.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a column of float64 nor a list of words",
    note = "pass a reference to a table, to a `Vec<f64>` or ndarray array, or to a list of `&str` or `String`"
)]
pub trait AsTarget {
    /// The target as one column of numbers.
    ///
    /// # Errors
    /// Those of [`AsTable::as_table`] and [`Classes::encode`].
    fn as_target(&self) -> Result<Target<'_>>;
}

/// A target as a fit reads it.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// Numbers, or labels that are whole numbers.
    Numbers(InPlace<'a>),
    /// Words: their classes, and the class number of every row.
    Words(Classes, DenseTable),
}

impl Target<'_> {
    fn of_words<W: AsRef<str>>(words: impl Iterator<Item = W> + Clone) -> Result<Self> {
        let (classes, numbers) = Classes::encode(words)?;
        Ok(Target::Words(classes, DenseTable::column(numbers)))
    }

    /// The column.
    pub fn table(&self) -> &dyn Table {
        match self {
            Target::Numbers(column) => &**column,
            Target::Words(_, numbers) => numbers,
        }
    }

    /// The classes, when it holds words.
    pub fn classes(&self) -> Option<&Classes> {
        match self {
            Target::Numbers(_) => None,
            Target::Words(classes, _) => Some(classes),
        }
    }
}

impl<T: AsTable> AsTarget for T {
    fn as_target(&self) -> Result<Target<'_>> {
        Ok(Target::Numbers(self.as_table()?))
    }
}

macro_rules! words {
    ($($list:ty),*) => {$(
        impl AsTarget for $list {
            fn as_target(&self) -> Result<Target<'_>> {
                Target::of_words(self.iter())
            }
        }
    )*};
}

words!(&[&str], &Vec<&str>, &[String], &Vec<String>);

impl<const N: usize> AsTarget for &[&str; N] {
    fn as_target(&self) -> Result<Target<'_>> {
        Target::of_words(self.iter())
    }
}

/// A pointer to a table is a table; every method is handed on.
macro_rules! hand_on {
    ($($pointer:ty),*) => {$(
        #[deny(clippy::missing_trait_methods)]
        impl<T: Table + ?Sized> Table for $pointer {
            fn as_mat(&self) -> MatRef<'_> {
                (**self).as_mat()
            }

            fn describe(&self) -> String {
                (**self).describe()
            }

            fn page_bytes(&self) -> usize {
                (**self).page_bytes()
            }

            fn contiguous_cost(&self, rows: &Rows) -> Option<u64> {
                (**self).contiguous_cost(rows)
            }

            fn contiguous_mappings(&self, rows: &Rows) -> u64 {
                (**self).contiguous_mappings(rows)
            }

            fn mappings_left(&self) -> u64 {
                (**self).mappings_left()
            }

            fn contiguous(&self, rows: &Rows) -> Result<Box<dyn ContiguousView + '_>> {
                (**self).contiguous(rows)
            }

            fn handle(&self) -> Option<Arc<dyn Table>> {
                (**self).handle()
            }

            fn reference(&self) -> Result<TableReference> {
                (**self).reference()
            }

            fn check_unchanged(&self) -> Result<()> {
                (**self).check_unchanged()
            }

            fn release(&self, rows: std::ops::Range<usize>) {
                (**self).release(rows);
            }
        }
    )*};
}

hand_on!(&T, Box<T>, Arc<T>);

#[cfg(feature = "ndarray")]
mod ndarray_edge {
    //! Arrays and views of ndarray 0.17, over the same memory.

    use ndarray::{ArrayBase, ArrayView1, ArrayView2, Data, Ix1, Ix2};

    use super::{AsTable, InPlace, MatRef, Result};

    impl<S: Data<Elem = f64>> AsTable for &ArrayBase<S, Ix2> {
        fn as_table(&self) -> Result<InPlace<'_>> {
            Ok(InPlace::Matrix(MatRef::try_from(self.view())?))
        }
    }

    impl<S: Data<Elem = f64>> AsTable for &ArrayBase<S, Ix1> {
        fn as_table(&self) -> Result<InPlace<'_>> {
            Ok(InPlace::Matrix(MatRef::try_from(self.view())?))
        }
    }

    impl AsTable for ArrayView2<'_, f64> {
        fn as_table(&self) -> Result<InPlace<'_>> {
            Ok(InPlace::Matrix(MatRef::try_from(self.view())?))
        }
    }

    impl AsTable for ArrayView1<'_, f64> {
        fn as_table(&self) -> Result<InPlace<'_>> {
            Ok(InPlace::Matrix(MatRef::try_from(self.view())?))
        }
    }
}

#[cfg(all(test, feature = "ndarray"))]
mod tests {
    use ndarray::{Array1, Array2, Axis, ShapeBuilder, Slice};

    use super::*;

    #[test]
    fn arrays_and_views_of_both_orders_are_tables_over_their_own_memory() {
        for order in [Order::C, Order::F] {
            let array = Array2::from_shape_fn((6, 3).set_f(order == Order::F), |(i, j)| (10 * i + j) as f64);
            let same = |table: Result<InPlace<'_>>| {
                let table = table.unwrap();
                assert_eq!((table.as_mat().order(), table.as_mat().data().as_ptr()), (order, array.as_ptr()));
                assert_eq!(table.as_mat().get(4, 2), 42.0);
            };
            same((&array).as_table());
            same(array.view().as_table());
            assert!(array.slice_axis(Axis(0), Slice::new(0, None, 2)).as_table().is_err());
        }
        let column = Array1::from(vec![1.0, 2.0, 3.0]);
        for table in [
            (&column).as_table(),
            column.view().as_table(),
            column.slice_axis(Axis(0), Slice::from(1..)).as_table(),
        ] {
            assert_eq!(table.unwrap().as_mat().ncols(), 1);
        }
        assert!(column.slice_axis(Axis(0), Slice::new(0, None, 2)).as_table().is_err());
        let column = &column;
        let target = column.as_target().unwrap();
        assert!(target.classes().is_none() && target.table().as_mat().nrows() == 3);
    }
}
