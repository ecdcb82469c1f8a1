//! Mapped tables for the conformance checks of `ensemble-core`: pages that a write would fault on.

use std::sync::Arc;

use ensemble_core::{Error, MatRef, Result, Table, conformance::Place};
use tempfile::TempDir;

use crate::{mapped::MappedTable, writer::save_npy};

/// A temporary directory whose tables are `.npy` files mapped read-only, which can be rewired.
///
/// A file is removed as soon as it is mapped, and its disk room is free when its table is dropped.
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
        // The path goes with the file at the end; the mapping keeps the pages.
        let path = file.into_temp_path();
        save_npy(&path, x)?;
        Ok(Arc::new(MappedTable::open_npy(&path)?.renamed("mapped file")))
    }
}
