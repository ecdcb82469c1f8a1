//! Mapped tables for the conformance checks of `ensemble-core`: pages that a write would fault on.

use std::{ops::Range, sync::Arc};

use ensemble_core::{ContiguousView, Error, MatRef, Result, Rows, Table, TableReference, conformance::Place};
use tempfile::{TempDir, TempPath};

use crate::{mapped::MappedTable, writer::save_npy};

/// A temporary directory whose tables are `.npy` files mapped read-only. They can be rewired, and saved models can name them.
///
/// A file is removed with the last handle of its table.
///
/// ```
/// use ensemble_core::{MatRef, Order, conformance::Place};
/// use ensemble_memmap::MappedPlace;
/// let place = MappedPlace::temp()?;
/// let table = place.table(MatRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2, Order::F)?)?;
/// assert_eq!(table.as_mat().get(0, 1), 3.0);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MappedPlace {
    dir: TempDir,
}

impl MappedPlace {
    /// In the system's directory for temporary files.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](ensemble_core::ErrorKind::Io) when nothing can be made there.
    pub fn temp() -> Result<Self> {
        let dir = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), "write in", e))?;
        Ok(Self { dir })
    }
}

impl Place for MappedPlace {
    fn name(&self) -> &str {
        "mapped files"
    }

    fn table(&self, x: MatRef<'_>) -> Result<Arc<dyn Table>> {
        let file = tempfile::NamedTempFile::new_in(self.dir.path())
            .map_err(|e| Error::io(self.dir.path(), "write in", e))?;
        let path = file.into_temp_path();
        save_npy(&path, x)?;
        let table = MappedTable::open_npy(&path)?.renamed("mapped file");
        Ok(Arc::new(KeptTable { table, _path: Arc::new(path) }))
    }
}

/// A mapped table whose file stays as long as the table does.
#[derive(Clone)]
struct KeptTable {
    table: MappedTable,
    _path: Arc<TempPath>,
}

impl Table for KeptTable {
    fn as_mat(&self) -> MatRef<'_> {
        self.table.as_mat()
    }

    fn describe(&self) -> String {
        self.table.describe()
    }

    fn page_bytes(&self) -> usize {
        self.table.page_bytes()
    }

    fn contiguous_cost(&self, rows: &Rows) -> Option<u64> {
        self.table.contiguous_cost(rows)
    }

    fn contiguous_mappings(&self, rows: &Rows) -> u64 {
        self.table.contiguous_mappings(rows)
    }

    fn mappings_left(&self) -> u64 {
        self.table.mappings_left()
    }

    fn contiguous(&self, rows: &Rows) -> Result<Box<dyn ContiguousView + '_>> {
        self.table.contiguous(rows)
    }

    fn handle(&self) -> Option<Arc<dyn Table>> {
        Some(Arc::new(self.clone()))
    }

    fn reference(&self) -> Result<TableReference> {
        self.table.reference()
    }

    fn check_unchanged(&self) -> Result<()> {
        self.table.check_unchanged()
    }

    fn release(&self, rows: Range<usize>) {
        self.table.release(rows);
    }
}
