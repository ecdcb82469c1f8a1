//! Rows and columns: matrices, runs of rows, tables, and the one place that copies them.

pub(crate) mod as_table;
pub(crate) mod classes;
pub(crate) mod friedman;
pub(crate) mod gather;
pub(crate) mod mat;
pub(crate) mod rows;
pub(crate) mod table;
pub(crate) mod window;
