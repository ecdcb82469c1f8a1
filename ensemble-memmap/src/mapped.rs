//! A file of float64 as a table, read in place.

use std::{
    fmt,
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use ensemble_core::{
    ContiguousView, Error, MatRef, Order, Result, Rows, Shape, Table, TableReference, file::Stamp,
};

use crate::{
    filesystem::{self, Kind},
    npy,
    region::Region,
    signals::Mapped,
};

/// A file read in place as a [`Table`]: opening one takes address space, not memory, and a clone is one count.
///
/// The file is mapped shared and read-only. Its pages enter memory as they are read, belong to the page cache, and leave
/// it again under pressure or through [`Table::release`]. [`Table::contiguous`] shows the rows outside a fold as one
/// matrix by mapping the file's pages side by side, at one copied page per junction: for a fold at most 1 in C order and
/// `ncols` in Fortran order. It works when the rows left out are whole pages, as for fold sizes that are multiples of
/// [`Table::page_bytes`]` / 8` rows.
///
/// # The file must stay as it is
/// Nobody may change or shorten the file while a table is open on it: values would change under a fit, and reading past
/// a new, earlier end raises SIGBUS, which ends the process. Replacing the file by renaming another onto its path is harmless,
/// and so is removing it. No Unix enforces this, so neither can a table; what it does is this:
/// - It holds a shared advisory lock (`flock`) for as long as it is open, where the file is on a local disk and nobody has
///   locked it otherwise: writers who ask for an exclusive lock wait, and those who do not ask are not held up.
/// - [`Table::check_unchanged`] compares the file's [`Stamp`] with what it was. A fit asks before, after and between its
///   layers, and a model that reads rows it has kept asks before and after every batch: a changed file is an error instead of
///   a result. What a stamp cannot tell stands there.
/// - A program that has called [`answer_signals`](crate::answer_signals) is ended with a sentence and not by a bare SIGBUS.
///
/// A process that must not end, such as a server that predicts with neighbours, should read rows from a file that nobody can
/// write, or keep them in memory.
///
/// ```
/// use ensemble_core::{MatRef, Order, Rows, Table};
/// use ensemble_memmap::{MappedTable, save_npy};
///
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("x.npy");
/// let values: Vec<f64> = (0..1536 * 3).map(f64::from).collect();
/// save_npy(&path, MatRef::new(&values, 1536, 3, Order::C)?)?;
///
/// let table = MappedTable::open_npy(&path)?;
/// assert_eq!(table.as_mat().get(2, 1), 7.0);
///
/// // Hold out rows 512..1024 and see the others as one matrix.
/// let training = Rows::all_but(1536, 512..1024)?;
/// if table.contiguous_cost(&training).is_some() {
///     let view = table.contiguous(&training)?;
///     assert_eq!(view.as_mat().get(512, 0), 3072.0);
///     assert!(view.bytes_copied() <= table.page_bytes() as u64);
/// }
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Clone)]
pub struct MappedTable {
    inner: Arc<Inner>,
    /// What messages call it instead of its path.
    name: Option<Arc<str>>,
}

struct Inner {
    region: Region,
    /// `None` for spill files, which nobody else can reach.
    source: Option<Source>,
}

/// The file as it was when it was opened.
struct Source {
    path: PathBuf,
    stamp: Stamp,
}

/// Open a regular file and stamp it.
fn open(path: &Path) -> Result<(File, Stamp)> {
    let failed = |source| Error::io(path, "open", source);
    // Asked before opening, since opening a named pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::format(path, "this is not a regular file, and only regular files can be mapped"));
    }
    let file = File::open(path).map_err(failed)?;
    lock(&file);
    let stamp = Stamp::of(&file.metadata().map_err(failed)?);
    Ok((file, stamp))
}

/// Tell writers who ask that the file is being read. An advisory lock of ours, as long as the file is open; who does not ask is
/// not held up, and a file that somebody has locked to write is read as one that is not locked.
fn lock(file: &File) {
    // Elsewhere a lock is a question to another machine, which may not answer.
    if filesystem::of_file(file) != Kind::Remote {
        let _ = rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockShared);
    }
}

impl MappedTable {
    /// Open a `.npy` file of float64, one- or two-dimensional, in C or Fortran order; `(n,)` gives n rows of one column.
    ///
    /// Reads the header and maps the rest, reading none of it. Format versions 1.0, 2.0 and 3.0 are understood.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](ensemble_core::ErrorKind::Io) if the file cannot be opened or mapped;
    /// [`ErrorKind::Format`](ensemble_core::ErrorKind::Format) if it is not a `.npy` file, holds anything but
    /// little-endian float64, has no values or more than two dimensions, is shorter or longer than its header says, or
    /// has values that do not start at a multiple of 8 bytes.
    pub fn open_npy(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (file, stamp) = open(path)?;
        let header = npy::read(&file, path, stamp.len())?;
        Self::map(file, stamp, header.data_start, header.shape, header.order, path)
    }

    /// Open a file that is nothing but `nrows * ncols` little-endian float64 values, in `order`.
    ///
    /// Reads none of it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](ensemble_core::ErrorKind::Io) if the file cannot be opened or mapped;
    /// [`ErrorKind::Format`](ensemble_core::ErrorKind::Format) if the shape has no values or its size is not the file's.
    ///
    /// ```
    /// use ensemble_core::{Order, Table};
    /// use ensemble_memmap::MappedTable;
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("x.f64");
    /// let bytes: Vec<u8> = [1.0_f64, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    /// std::fs::write(&path, bytes).unwrap();
    /// let table = MappedTable::open_raw(&path, 2, 2, Order::F)?;
    /// assert_eq!(table.as_mat().get(0, 1), 3.0);
    /// # Ok::<(), ensemble_core::Error>(())
    /// ```
    pub fn open_raw(path: impl AsRef<Path>, nrows: usize, ncols: usize, order: Order) -> Result<Self> {
        let path = path.as_ref();
        let (file, stamp) = open(path)?;
        let bytes = raw_bytes(path, nrows, ncols)?;
        if stamp.len() != bytes {
            return Err(Error::format(
                path,
                format!(
                    "{nrows} x {ncols} float64 values are {bytes} bytes, and the file has {}{}; correct the shape, or open it at an offset",
                    stamp.len(),
                    // A raw file does not say what is in it.
                    if Some(bytes) == stamp.len().checked_mul(2) {
                        ", as of float32, which is not read"
                    } else {
                        ""
                    }
                ),
            ));
        }
        Self::map(file, stamp, 0, Shape { nrows, ncols }, order, path)
    }

    /// Open `nrows * ncols` little-endian float64 values from byte `offset` of a file on, in `order`.
    ///
    /// Reads none of it; bytes behind the last value are left alone.
    ///
    /// # Errors
    /// As [`MappedTable::open_raw`], and [`ErrorKind::Format`](ensemble_core::ErrorKind::Format) if `offset` is not a
    /// multiple of 8 or the file ends before the last value.
    pub fn open_raw_at(
        path: impl AsRef<Path>,
        offset: u64,
        nrows: usize,
        ncols: usize,
        order: Order,
    ) -> Result<Self> {
        let path = path.as_ref();
        let (file, stamp) = open(path)?;
        let bytes = raw_bytes(path, nrows, ncols)?;
        if !offset.is_multiple_of(8) {
            return Err(Error::format(
                path,
                format!("values at byte {offset} cannot be read in place; start them at a multiple of 8"),
            ));
        }
        if offset.checked_add(bytes).is_none_or(|end| end > stamp.len()) {
            return Err(Error::format(
                path,
                format!(
                    "{nrows} x {ncols} float64 values from byte {offset} on are {bytes} bytes, and the file has {} in all; correct the shape or the offset",
                    stamp.len()
                ),
            ));
        }
        Self::map(file, stamp, offset, Shape { nrows, ncols }, order, path)
    }

    fn map(file: File, stamp: Stamp, start: u64, shape: Shape, order: Order, path: &Path) -> Result<Self> {
        let region = Region::read(file, start, shape, order, path.display().to_string(), Mapped::Input)
            .map_err(|source| Error::io(path, "map", source))?;
        let source = Some(Source { path: path.into(), stamp });
        Ok(Self { inner: Arc::new(Inner { region, source }), name: None })
    }

    /// A table over a region that no other process can reach.
    pub(crate) fn private(region: Region) -> Self {
        Self { inner: Arc::new(Inner { region, source: None }), name: None }
    }

    /// The same table under another name in messages: for a temporary file, the name of what it was made from.
    #[must_use]
    pub fn renamed(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into());
        self
    }

    /// Make sure that the path still names the file that was opened. A path that names nothing any more is no error: the table
    /// keeps its file.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](ensemble_core::ErrorKind::Format) if another file took the path;
    /// [`ErrorKind::Io`](ensemble_core::ErrorKind::Io) if the system does not say.
    pub fn check_path(&self) -> Result<()> {
        self.inner.source.as_ref().map_or(Ok(()), |source| source.stamp.check_path(&source.path))
    }
}

/// Open a table that a saved model names, and compare its values with what they were: one read of the file.
///
/// # Errors
/// As [`MappedTable::open_raw_at`], and [`ErrorKind::Format`](ensemble_core::ErrorKind::Format) when the values differ.
pub fn open_reference(reference: &TableReference) -> Result<Arc<dyn Table>> {
    let TableReference { path, offset, shape, order, .. } = reference;
    let table = MappedTable::open_raw_at(path, *offset, shape.nrows, shape.ncols, *order)?;
    let is = checksum(&table.inner.region);
    table.check_unchanged()?;
    if is != reference.checksum {
        return Err(Error::format(
            path,
            "its values have changed since the model was saved that reads its rows there; fit again, or bring the old file back",
        ));
    }
    table.inner.region.expect_lookups();
    Ok(Arc::new(table))
}

/// CRC-32 of the values' bytes.
fn checksum(region: &Region) -> u32 {
    crc32fast::hash(region.bytes())
}

/// Bytes of a raw table, which must have some.
fn raw_bytes(path: &Path, nrows: usize, ncols: usize) -> Result<u64> {
    let bytes = (nrows as u64).checked_mul(ncols as u64).and_then(|values| values.checked_mul(8));
    match bytes {
        Some(0) => Err(Error::format(
            path,
            format!("a table of {nrows} x {ncols} holds no values; give at least one row and one column"),
        )),
        Some(bytes) if bytes <= isize::MAX as u64 => Ok(bytes),
        _ => Err(Error::format(
            path,
            format!("a table of {nrows} x {ncols} is more than this machine can address; correct the shape"),
        )),
    }
}

impl Table for MappedTable {
    fn as_mat(&self) -> MatRef<'_> {
        self.inner.region.as_mat()
    }

    fn describe(&self) -> String {
        self.name.as_deref().unwrap_or(self.inner.region.name()).into()
    }

    fn page_bytes(&self) -> usize {
        rustix::param::page_size()
    }

    fn contiguous_cost(&self, rows: &Rows) -> Option<u64> {
        self.inner.region.contiguous_cost(rows)
    }

    fn contiguous_mappings(&self, rows: &Rows) -> u64 {
        self.inner.region.contiguous_mappings(rows)
    }

    fn mappings_left(&self) -> u64 {
        crate::rewire::mappings_left()
    }

    fn contiguous(&self, rows: &Rows) -> Result<Box<dyn ContiguousView + '_>> {
        self.inner.region.contiguous(rows)
    }

    fn handle(&self) -> Option<Arc<dyn Table>> {
        Some(Arc::new(self.clone()))
    }

    fn reference(&self) -> Result<TableReference> {
        let source = self.inner.source.as_ref().filter(|s| s.path.exists()).ok_or_else(|| {
            Error::unsupported(format!(
                "{} was read through a temporary file, which a saved model cannot name; save the model with its rows",
                self.describe()
            ))
        })?;
        let path =
            source.path.canonicalize().map_err(|e| Error::io(&source.path, "find the whole path of", e))?;
        let mat = self.as_mat();
        let checksum = checksum(&self.inner.region);
        self.check_unchanged()?;
        self.check_path()?;
        let offset = self.inner.region.start();
        Ok(TableReference { path, offset, shape: mat.shape(), order: mat.order(), checksum })
    }

    fn check_unchanged(&self) -> Result<()> {
        match (&self.inner.source, self.inner.region.file()) {
            (Some(source), Some(file)) => source.stamp.check(file, &source.path),
            // A temporary file, which nobody else can reach.
            _ => Ok(()),
        }
    }

    fn release(&self, rows: Range<usize>) {
        self.inner.region.release(rows);
    }
}

impl fmt::Debug for MappedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mat = self.as_mat();
        f.debug_struct("MappedTable")
            .field("name", &self.inner.region.name())
            .field("shape", &mat.shape())
            .field("order", &mat.order())
            .finish()
    }
}
