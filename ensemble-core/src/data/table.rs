//! Tables: where rows live, and what a place of rows can do besides being read.

use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

use crate::{
    data::{
        mat::{MatMut, MatRef, Order, Shape},
        rows::Rows,
    },
    error::{Error, Result},
    persist::record::Record,
};

/// Dense float64 rows, readable as one matrix for as long as the table lives.
///
/// A table is input: nobody writes through it, and a table on a read-only mapping works everywhere.
pub trait Table: Send + Sync {
    /// The whole table. Free.
    fn as_mat(&self) -> MatRef<'_>;

    /// What errors call it: a path, or "table in memory".
    fn describe(&self) -> String {
        "table in memory".into()
    }

    /// Size of the pages behind the table, in bytes: runs of rows whose ends are multiples of `page_bytes() / 8` can be put side by
    /// side where pages can at all. Folds do not depend on it; whether [`Table::contiguous`] can serve them does.
    fn page_bytes(&self) -> usize {
        4096
    }

    /// Bytes that [`Table::contiguous`] would copy to show `rows` as one matrix, or `None` if it cannot.
    ///
    /// Pure arithmetic; the plan relies on it, and the count is exact.
    fn contiguous_cost(&self, rows: &Rows) -> Option<u64> {
        let _ = rows;
        None
    }

    /// Mappings that [`Table::contiguous`] takes for `rows`, of those that the system grants a process.
    ///
    /// Pure arithmetic, like [`Table::contiguous_cost`].
    fn contiguous_mappings(&self, rows: &Rows) -> u64 {
        let _ = rows;
        0
    }

    /// Mappings that views may take now, all together: what the system grants the process less what it has and may need for
    /// other things. The plan admits as many views at once as fit, and gathers for those that do not.
    fn mappings_left(&self) -> u64 {
        u64::MAX
    }

    /// `rows` as one matrix over the table's own pages put side by side.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when [`Table::contiguous_cost`] says `None`; the
    /// operating system's word when it refuses the mapping.
    fn contiguous(&self, rows: &Rows) -> Result<Box<dyn ContiguousView + '_>> {
        let _ = rows;
        Err(Error::unsupported(format!("{} cannot be rewired", self.describe())))
    }

    /// The same table, owned by count, for models that go on reading rows after the fit. Never copies; `None` when the
    /// table is only borrowed.
    fn handle(&self) -> Option<Arc<dyn Table>> {
        None
    }

    /// Where a later process finds the table again, for models that are saved by reference instead of with their rows. Reads
    /// every value once, for the checksum.
    ///
    /// # Errors
    /// When the table is no file that stays: one in memory, a temporary one, or one that changed since it was opened.
    fn reference(&self) -> Result<TableReference> {
        Err(Error::unsupported(format!(
            "{} is no file that a saved model could name; save the model with its rows",
            self.describe()
        )))
    }

    /// Make sure that the values are still those that the table was opened on, as far as the system tells: for a file a few system
    /// calls and no read of values, see [`Stamp`](crate::persist::file::Stamp); for memory nothing.
    ///
    /// A fit asks before it starts, after each layer and when it ends; models that keep rows ask before every batch that reads them.
    ///
    /// # Errors
    /// When what was read, or would be, is not what the table was.
    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }

    /// Says that a scan is past `rows` and their pages may leave memory; they are read again from the file when
    /// touched again.
    fn release(&self, rows: Range<usize>) {
        let _ = rows;
    }
}

/// What it calls itself, and its shape; its values are left out.
impl fmt::Debug for dyn Table + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.describe()).field(&self.as_mat().shape()).finish()
    }
}

/// Float64 values in a file, and what they were: where a table is found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReference {
    /// The file, by its whole path.
    pub path: PathBuf,
    /// Byte at which the values start.
    pub offset: u64,
    /// Rows and columns.
    pub shape: Shape,
    /// Their order.
    pub order: Order,
    /// CRC-32 of the values' bytes.
    pub checksum: u32,
}

impl TableReference {
    const RECORD: &'static str = "table";

    /// As data, for a file.
    ///
    /// # Errors
    /// When the path is not Unicode.
    pub fn to_record(&self) -> Result<Record> {
        let path = self.path.to_str().ok_or_else(|| {
            Error::format(&self.path, "a model can name this file only by a path that is Unicode")
        })?;
        Ok(Record::new(Self::RECORD)
            .with_text("path", path)
            .with_field("offset", self.offset)
            .with_field("rows", self.shape.nrows)
            .with_field("columns", self.shape.ncols)
            .with_text("order", if self.order == Order::C { "C" } else { "F" })
            .with_field("checksum", self.checksum))
    }

    /// From what [`TableReference::to_record`] gave.
    ///
    /// # Errors
    /// When a part is missing.
    pub fn from_record(record: &Record) -> Result<Self> {
        let checksum = u32::try_from(record.count("checksum")?)
            .map_err(|_| Error::spec(Self::RECORD, "the checksum of a saved table is too large"))?;
        Ok(Self {
            path: record.text("path")?.into(),
            offset: record.count("offset")? as u64,
            shape: Shape { nrows: record.count("rows")?, ncols: record.count("columns")? },
            order: if record.text("order")? == "F" { Order::F } else { Order::C },
            checksum,
        })
    }
}

/// Rows of a table as one matrix, kept alive by this value.
pub trait ContiguousView: Send + Sync {
    /// The rows.
    fn as_mat(&self) -> MatRef<'_>;

    /// Bytes copied to make the view: whole private pages at the junctions.
    fn bytes_copied(&self) -> u64;
}

/// A table that owns its values in memory.
#[derive(Clone)]
pub struct DenseTable {
    data: Arc<Vec<f64>>,
    nrows: usize,
    ncols: usize,
    order: Order,
}

impl DenseTable {
    /// A table of `nrows` x `ncols` over `data`, which is taken, not copied.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) unless `data` holds `nrows * ncols` values.
    ///
    /// ```
    /// use ensemble_core::{DenseTable, Order, Table};
    /// let t = DenseTable::new(vec![1.0, 2.0, 3.0, 4.0], 2, 2, Order::C)?;
    /// assert_eq!(t.as_mat().get(1, 0), 3.0);
    /// # Ok::<(), ensemble_core::Error>(())
    /// ```
    pub fn new(data: Vec<f64>, nrows: usize, ncols: usize, order: Order) -> Result<Self> {
        MatRef::new(&data, nrows, ncols, order)?;
        Ok(Self { data: Arc::new(data), nrows, ncols, order })
    }

    /// A table of these columns, in Fortran order. Copies them once, 8 bytes a value; each column's own memory is given back before the
    /// next is copied.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when columns differ in length.
    ///
    /// ```
    /// use ensemble_core::{DenseTable, Table};
    /// let t = DenseTable::from_columns(vec![vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]])?;
    /// assert_eq!(t.as_mat().get(2, 1), 6.0);
    /// # Ok::<(), ensemble_core::Error>(())
    /// ```
    pub fn from_columns(columns: Vec<Vec<f64>>) -> Result<Self> {
        let (nrows, ncols) = (columns.first().map_or(0, Vec::len), columns.len());
        if let Some(other) = columns.iter().find(|c| c.len() != nrows) {
            return Err(Error::shape("rows of a column, to match the first one", nrows, other.len()));
        }
        let mut data = Vec::with_capacity(nrows * ncols);
        columns.into_iter().for_each(|column| data.extend_from_slice(&column));
        Self::new(data, nrows, ncols, Order::F)
    }

    /// A table of no rows.
    pub(crate) fn empty(ncols: usize) -> Self {
        Self { data: Arc::default(), nrows: 0, ncols, order: Order::C }
    }

    /// A table of one column.
    pub fn column(data: Vec<f64>) -> Self {
        Self { nrows: data.len(), ncols: 1, order: Order::C, data: Arc::new(data) }
    }
}

/// Its shape and order; its values are left out.
impl fmt::Debug for DenseTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenseTable")
            .field("nrows", &self.nrows)
            .field("ncols", &self.ncols)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

impl Table for DenseTable {
    fn as_mat(&self) -> MatRef<'_> {
        MatRef::new(&self.data, self.nrows, self.ncols, self.order).expect("checked in new")
    }

    fn handle(&self) -> Option<Arc<dyn Table>> {
        Some(Arc::new(DenseTable { data: Arc::clone(&self.data), ..*self }))
    }
}

/// A borrowed matrix as a table: for data that somebody else owns.
///
/// Models that keep their training rows must copy them, since they cannot keep a borrow.
impl Table for MatRef<'_> {
    fn as_mat(&self) -> MatRef<'_> {
        *self
    }
}

/// Room for matrices that the engine itself fills: prediction columns, gathered rows, tables in fold order.
///
/// Core offers the heap; `ensemble-memmap` offers mapped temporary files.
pub trait Scratch: Send + Sync {
    /// A matrix of zeros.
    ///
    /// # Errors
    /// When the room cannot be had: a full disk is an error here, not later.
    fn matrix(&self, shape: Shape, order: Order) -> Result<Box<dyn ScratchMatrix>>;

    /// What [`Table::contiguous_cost`] of such a matrix will say: the plan asks before there is one.
    fn contiguous_cost(&self, shape: Shape, order: Order, rows: &Rows) -> Option<u64> {
        let _ = (shape, order, rows);
        None
    }

    /// What [`Table::contiguous_mappings`] of such a matrix will say.
    fn contiguous_mappings(&self, shape: Shape, order: Order, rows: &Rows) -> u64 {
        let _ = (shape, order, rows);
        0
    }

    /// As [`Table::mappings_left`].
    fn mappings_left(&self) -> u64 {
        u64::MAX
    }

    /// Whether what it gives counts as anonymous memory (`true`) or as file pages the kernel can write out.
    fn is_anonymous(&self) -> bool;
}

/// A matrix that can be filled once and read as a table.
pub trait ScratchMatrix: Table {
    /// The values, to write.
    fn as_mat_mut(&mut self) -> MatMut<'_>;

    /// The finished table, counted.
    fn into_table(self: Box<Self>) -> Arc<dyn Table>;
}

/// [`Scratch`] on the heap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap;

impl Scratch for Heap {
    fn matrix(&self, shape: Shape, order: Order) -> Result<Box<dyn ScratchMatrix>> {
        let data = vec![0.0; shape.nrows * shape.ncols];
        Ok(Box::new(HeapMatrix { data, shape, order }))
    }

    fn is_anonymous(&self) -> bool {
        true
    }
}

struct HeapMatrix {
    data: Vec<f64>,
    shape: Shape,
    order: Order,
}

impl Table for HeapMatrix {
    fn as_mat(&self) -> MatRef<'_> {
        MatRef::new(&self.data, self.shape.nrows, self.shape.ncols, self.order).expect("made to fit")
    }
}

impl ScratchMatrix for HeapMatrix {
    fn as_mat_mut(&mut self) -> MatMut<'_> {
        MatMut::new(&mut self.data, self.shape.nrows, self.shape.ncols, self.order).expect("made to fit")
    }

    fn into_table(self: Box<Self>) -> Arc<dyn Table> {
        let Self { data, shape, order } = *self;
        Arc::new(DenseTable { data: Arc::new(data), nrows: shape.nrows, ncols: shape.ncols, order })
    }
}
