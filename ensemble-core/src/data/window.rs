//! Neighbouring rows of a table, as a table.

use std::{
    ops::{Deref, Range},
    sync::Arc,
};

use crate::{
    data::{
        mat::MatRef,
        rows::Rows,
        table::{ContiguousView, Table},
    },
    error::Result,
};

/// Neighbouring rows of a table: borrowed, or by a counted handle. Never copies.
pub(crate) struct Window<T> {
    table: T,
    rows: Range<usize>,
}

impl<T: Deref<Target: Table> + Send + Sync> Window<T> {
    /// # Errors
    /// When the table has no such rows.
    pub(crate) fn new(table: T, rows: Range<usize>) -> Result<Self> {
        table.as_mat().rows(rows.clone())?;
        Ok(Self { table, rows })
    }
}

impl<T: Deref<Target: Table> + Send + Sync> Table for Window<T> {
    fn as_mat(&self) -> MatRef<'_> {
        self.table.as_mat().rows(self.rows.clone()).expect("checked in new")
    }

    fn describe(&self) -> String {
        self.table.describe()
    }

    fn page_bytes(&self) -> usize {
        self.table.page_bytes()
    }

    fn contiguous_cost(&self, rows: &Rows) -> Option<u64> {
        self.table.contiguous_cost(&rows.shifted(self.rows.start))
    }

    fn contiguous_mappings(&self, rows: &Rows) -> u64 {
        self.table.contiguous_mappings(&rows.shifted(self.rows.start))
    }

    fn mappings_left(&self) -> u64 {
        self.table.mappings_left()
    }

    fn contiguous(&self, rows: &Rows) -> Result<Box<dyn ContiguousView + '_>> {
        self.table.contiguous(&rows.shifted(self.rows.start))
    }

    fn handle(&self) -> Option<Arc<dyn Table>> {
        let table = self.table.handle()?;
        Some(Arc::new(Window { table, rows: self.rows.clone() }))
    }

    fn check_unchanged(&self) -> Result<()> {
        self.table.check_unchanged()
    }

    fn release(&self, rows: Range<usize>) {
        self.table.release(rows.start + self.rows.start..rows.end + self.rows.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::table::DenseTable;

    #[test]
    fn a_window_shows_its_rows_and_hands_out_handles_to_them() {
        let table = DenseTable::column((0..10).map(f64::from).collect());
        let window = Window::new(&table as &dyn Table, 4..7).unwrap();
        assert_eq!(window.as_mat().column(0).unwrap(), [4.0, 5.0, 6.0]);
        assert_eq!(window.handle().unwrap().as_mat().column(0).unwrap(), [4.0, 5.0, 6.0]);
        assert!(Window::new(&table as &dyn Table, 4..11).is_err());
    }
}
