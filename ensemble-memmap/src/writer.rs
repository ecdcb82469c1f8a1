//! Writing `.npy` files row by row, beside their place and renamed into it.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use ensemble_core::{
    Error, MatRef, Order, Result, Shape,
    file::{NewFile, WholeFile},
};

use crate::{
    allocate::allocate,
    mapped::MappedTable,
    npy::{DATA_START, Extent, header_bytes},
    region::Region,
    signals::Mapped,
    spill::nameless,
};

/// Bytes collected before they are handed to the system.
const BUFFER: usize = 1 << 18;
/// Rows of a Fortran-order file collected before each column gets its part.
const CHUNK_ROWS: usize = 1024;
/// Most values collected for that.
const CHUNK_VALUES: usize = 1 << 21;

/// A `.npy` file written row by row; it appears under its name only when it is complete.
///
/// Values go to a [`NewFile`], which [`NpyWriter::finish`] brings to disk and names. A writer dropped before leaves nothing
/// behind, and a file that was there before stays until then. Into a device or a pipe rows are written in C order as they come.
/// Values start at byte 4096. Memory taken: 256 KiB, and in Fortran order up to 1024 rows, at most 16 MiB.
///
/// ```
/// use ensemble_core::{Order, Table};
/// use ensemble_memmap::{MappedTable, NpyWriter};
///
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("x.npy");
/// let mut writer = NpyWriter::create(&path, 3, 2, Order::C)?;
/// writer.write_rows(&[1.0, 2.0])?;
/// writer.write_rows(&[3.0, 4.0, 5.0, 6.0])?;
/// writer.finish()?;
/// assert_eq!(MappedTable::open_npy(&path)?.as_mat().get(2, 1), 6.0);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Debug)]
pub struct NpyWriter {
    path: PathBuf,
    out: BufWriter<Out>,
    dims: Dims,
    ncols: usize,
    /// `None` while the file grows.
    nrows: Option<usize>,
    rows_written: usize,
    /// `Some` in Fortran order.
    columns: Option<Columns>,
    /// After a failed write nobody knows what is in the file.
    failed: bool,
}

/// Where the bytes go.
#[derive(Debug)]
enum Out {
    New(NewFile),
    /// A file that never gets a name.
    Nameless(File),
}

impl Out {
    fn file(&self) -> &File {
        match self {
            Out::New(new) => new.file(),
            Out::Nameless(file) => file,
        }
    }

    fn is_stream(&self) -> bool {
        matches!(self, Out::New(new) if new.is_stream())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Dims {
    One,
    Two,
}

/// Rows on their way to the columns of a Fortran-order file.
#[derive(Debug)]
struct Columns {
    /// Rows in C order.
    rows: Vec<f64>,
    /// One column of them.
    column: Vec<f64>,
    chunk_rows: usize,
    /// Rows already in the file.
    placed: usize,
}

impl NpyWriter {
    /// Start a file of `nrows` x `ncols`, stored in `order`. Rows are given one after the other in both orders.
    ///
    /// The whole file is allocated on disk first, where the file system can do so.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](ensemble_core::ErrorKind::Io) if the directory cannot be written or the disk is full;
    /// [`ErrorKind::Shape`](ensemble_core::ErrorKind::Shape) for no rows or no columns;
    /// [`ErrorKind::Unsupported`](ensemble_core::ErrorKind::Unsupported) for a shape that the machine cannot address.
    pub fn create(path: impl AsRef<Path>, nrows: usize, ncols: usize, order: Order) -> Result<Self> {
        Self::start(NewFile::create(path)?, Dims::Two, Some(nrows), ncols, order)
    }

    /// As [`NpyWriter::create`] in C order, into a file that was made before.
    ///
    /// # Errors
    /// As there.
    pub fn create_in(file: NewFile, nrows: usize, ncols: usize) -> Result<Self> {
        Self::start(file, Dims::Two, Some(nrows), ncols, Order::C)
    }

    /// Start a one-dimensional file of `n` values, of shape `(n,)`.
    ///
    /// # Errors
    /// As [`NpyWriter::create`].
    pub fn create_vector(path: impl AsRef<Path>, n: usize) -> Result<Self> {
        Self::start(NewFile::create(path)?, Dims::One, Some(n), 1, Order::C)
    }

    /// As [`NpyWriter::create_vector`], into a file that was made before.
    ///
    /// # Errors
    /// As there.
    pub fn create_vector_in(file: NewFile, n: usize) -> Result<Self> {
        Self::start(file, Dims::One, Some(n), 1, Order::C)
    }

    /// Start a file of `ncols` columns in C order whose number of rows [`NpyWriter::finish`] fills in.
    ///
    /// # Errors
    /// As [`NpyWriter::create`].
    pub fn create_growing(path: impl AsRef<Path>, ncols: usize) -> Result<Self> {
        Self::start(NewFile::create(path)?, Dims::Two, None, ncols, Order::C)
    }

    /// Start a table of `ncols` columns in C order in a temporary file in `folder`, which never has a name and which
    /// [`NpyWriter::into_table`] maps. Nobody else can read it, and nothing is left of it, whatever ends the process.
    ///
    /// # Errors
    /// As [`NpyWriter::create`].
    pub fn create_nameless(folder: impl AsRef<Path>, ncols: usize) -> Result<Self> {
        let folder = folder.as_ref();
        let file = nameless(folder)?;
        Self::over(folder, Out::Nameless(file), Dims::Two, None, ncols, Order::C)
    }

    /// Start a one-dimensional file whose length [`NpyWriter::finish`] fills in.
    ///
    /// # Errors
    /// As [`NpyWriter::create`].
    pub fn create_growing_vector(path: impl AsRef<Path>) -> Result<Self> {
        Self::start(NewFile::create(path)?, Dims::One, None, 1, Order::C)
    }

    fn start(file: NewFile, dims: Dims, nrows: Option<usize>, ncols: usize, order: Order) -> Result<Self> {
        let path = file.path().to_owned();
        Self::over(&path, Out::New(file), dims, nrows, ncols, order)
    }

    fn over(
        path: &Path,
        out: Out,
        dims: Dims,
        nrows: Option<usize>,
        ncols: usize,
        order: Order,
    ) -> Result<Self> {
        let total = check_shape(path, nrows, ncols)?;
        if out.is_stream() && (nrows.is_none() || order == Order::F) {
            return Err(Error::unsupported(format!(
                "{} takes bytes one after the other, so it can only be given a table in C order whose length is known",
                path.display()
            )));
        }
        if nrows.is_some() && !out.is_stream() {
            // Where room cannot be allocated ahead, each write reports a full disk itself.
            allocate(out.file(), total)
                .map_err(|source| Error::io(path, format!("allocate {total} bytes for"), source))?;
        }
        let columns = (order == Order::F).then(|| Columns {
            rows: Vec::new(),
            column: Vec::new(),
            chunk_rows: (CHUNK_VALUES / ncols).clamp(1, CHUNK_ROWS),
            placed: 0,
        });
        let mut writer = Self {
            path: path.into(),
            out: BufWriter::with_capacity(BUFFER, out),
            dims,
            ncols,
            nrows,
            rows_written: 0,
            columns,
            failed: false,
        };
        // A growing file gets its true header at the end.
        let header = header_bytes(writer.extent(nrows.unwrap_or(1)), order);
        writer.guard(|w| w.out.write_all(&header))?;
        Ok(writer)
    }

    fn extent(&self, nrows: usize) -> Extent {
        match self.dims {
            Dims::One => Extent::Vector(nrows),
            Dims::Two => Extent::Table(Shape { nrows, ncols: self.ncols }),
        }
    }

    /// Do something that fails with the system's word, and remember if it did.
    fn guard(&mut self, act: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<()> {
        act(self).map_err(|source| {
            self.failed = true;
            Error::io(&self.path, "write", source)
        })
    }

    fn refuse_if_failed(&self) -> Result<()> {
        match self.failed {
            true => Err(Error::unsupported(format!(
                "{}: an earlier write failed, so the file cannot be completed; start it again",
                self.path.display()
            ))),
            false => Ok(()),
        }
    }

    /// Number of rows written so far.
    pub fn rows_written(&self) -> usize {
        self.rows_written
    }

    /// Add rows: their values one row after the other, in whichever order the file is stored.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](ensemble_core::ErrorKind::Shape) unless `values` is a whole number of rows that still have
    /// room, in which case nothing is written; [`ErrorKind::Io`](ensemble_core::ErrorKind::Io) if writing fails.
    pub fn write_rows(&mut self, values: &[f64]) -> Result<()> {
        self.refuse_if_failed()?;
        if !values.len().is_multiple_of(self.ncols) {
            let what = format!("values in whole rows of {} columns for {}", self.ncols, self.path.display());
            return Err(Error::shape(what, values.len().next_multiple_of(self.ncols), values.len()));
        }
        let total = self.rows_written + values.len() / self.ncols;
        if let Some(nrows) = self.nrows.filter(|&nrows| total > nrows) {
            return Err(Error::shape(format!("rows of {}, at most", self.path.display()), nrows, total));
        }
        match self.columns {
            Some(_) => self.guard(|w| w.collect(values))?,
            None => self.guard(|w| w.out.write_all(bytemuck::cast_slice(values)))?,
        }
        self.rows_written = total;
        Ok(())
    }

    /// Take rows of a Fortran-order file, and place them whenever a chunk is full.
    fn collect(&mut self, mut values: &[f64]) -> io::Result<()> {
        let ncols = self.ncols;
        while let Some(columns) = self.columns.as_mut().filter(|_| !values.is_empty()) {
            let room = columns.chunk_rows * ncols - columns.rows.len();
            let (now, later) = values.split_at(room.min(values.len()));
            columns.rows.extend_from_slice(now);
            values = later;
            if columns.rows.len() == columns.chunk_rows * ncols {
                self.place()?;
            }
        }
        Ok(())
    }

    /// Write the collected rows to their place in each column.
    fn place(&mut self) -> io::Result<()> {
        let (ncols, file) = (self.ncols, self.out.get_ref().file());
        let (Some(columns), Some(nrows)) = (self.columns.as_mut(), self.nrows) else {
            return Ok(());
        };
        let n = columns.rows.len() / ncols;
        for j in 0..ncols {
            columns.column.clear();
            columns.column.extend(columns.rows.iter().skip(j).step_by(ncols));
            let at = DATA_START + (j * nrows + columns.placed) * 8;
            file.write_all_at(bytemuck::cast_slice(&columns.column), at as u64)?;
        }
        columns.placed += n;
        columns.rows.clear();
        Ok(())
    }

    /// Bring the file to disk and give it its name, in place of any file that had it.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](ensemble_core::ErrorKind::Shape) if rows are missing;
    /// [`ErrorKind::Io`](ensemble_core::ErrorKind::Io) if writing or renaming fails. After an error the temporary file is
    /// gone and a file that had the name before is as it was.
    pub fn finish(self) -> Result<()> {
        self.complete()?.publish()
    }

    /// Bring the file to disk without giving it its name yet, for outputs that appear together.
    ///
    /// # Errors
    /// As [`NpyWriter::finish`].
    ///
    /// # Panics
    /// On a writer of [`NpyWriter::create_nameless`].
    pub fn complete(self) -> Result<WholeFile> {
        match self.close()? {
            Out::New(new) => new.complete(),
            Out::Nameless(_) => panic!("a file without a name has no name to take"),
        }
    }

    /// Map what was written to a temporary file.
    ///
    /// # Errors
    /// As [`NpyWriter::finish`], and if the file cannot be mapped.
    ///
    /// # Panics
    /// Unless the writer is one of [`NpyWriter::create_nameless`].
    ///
    /// ```
    /// use ensemble_core::Table;
    /// use ensemble_memmap::NpyWriter;
    /// let mut writer = NpyWriter::create_nameless(std::env::temp_dir(), 2)?;
    /// writer.write_rows(&[1.0, 2.0, 3.0, 4.0])?;
    /// assert_eq!(writer.into_table()?.as_mat().get(1, 0), 3.0);
    /// # Ok::<(), ensemble_core::Error>(())
    /// ```
    pub fn into_table(self) -> Result<MappedTable> {
        let (folder, shape) = (self.path.clone(), Shape { nrows: self.rows_written, ncols: self.ncols });
        match self.close()? {
            Out::Nameless(file) => {
                let name = format!("temporary file in {}", folder.display());
                let region = Region::read(file, DATA_START as u64, shape, Order::C, name, Mapped::Spilled)
                    .map_err(|source| Error::io(folder, "map a temporary file in", source))?;
                Ok(MappedTable::private(region))
            }
            Out::New(_) => panic!("a file that gets a name is opened by it"),
        }
    }

    /// Hand every byte to the system.
    fn close(mut self) -> Result<Out> {
        self.refuse_if_failed()?;
        let want = self.nrows.unwrap_or(self.rows_written.max(1));
        if self.rows_written != want {
            let what = format!("rows written to {}", self.path.display());
            return Err(Error::shape(what, want, self.rows_written));
        }
        self.guard(|w| {
            w.place()?;
            w.out.flush()?;
            if w.nrows.is_none() {
                let header = header_bytes(w.extent(w.rows_written), Order::C);
                w.out.get_ref().file().write_all_at(&header, 0)?;
            }
            Ok(())
        })?;
        let Self { path, out, .. } = self;
        out.into_inner().map_err(|error| Error::io(&path, "write", error.into_error()))
    }
}

/// Write `mat` to a `.npy` file in its own order, in one pass and with at most 256 KiB of memory.
///
/// # Errors
/// As [`NpyWriter::create`] and [`NpyWriter::finish`].
///
/// ```
/// use ensemble_core::{MatRef, Order, Table};
/// use ensemble_memmap::{MappedTable, save_npy};
///
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("x.npy");
/// save_npy(&path, MatRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2, Order::F)?)?;
/// assert_eq!(MappedTable::open_npy(&path)?.as_mat().get(0, 1), 3.0);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
pub fn save_npy(path: impl AsRef<Path>, mat: MatRef<'_>) -> Result<()> {
    let mut writer = NpyWriter::create(path, mat.nrows(), mat.ncols(), mat.order())?;
    // Values come in the file's own order here, so columns need no detour.
    writer.columns = None;
    writer.guard(|w| {
        if let Some(values) = mat.as_slice() {
            return w.out.write_all(bytemuck::cast_slice(values));
        }
        match mat.order() {
            Order::C => (0..mat.nrows())
                .filter_map(|i| mat.row(i))
                .try_for_each(|row| w.out.write_all(bytemuck::cast_slice(row))),
            Order::F => (0..mat.ncols())
                .filter_map(|j| mat.column(j))
                .try_for_each(|column| w.out.write_all(bytemuck::cast_slice(column))),
        }
    })?;
    writer.rows_written = mat.nrows();
    writer.finish()
}

/// Bytes of the whole file, of at least one row.
fn check_shape(path: &Path, nrows: Option<usize>, ncols: usize) -> Result<u64> {
    if ncols == 0 {
        return Err(Error::shape(format!("columns of {}, at least", path.display()), 1, 0));
    }
    if nrows == Some(0) {
        return Err(Error::shape(format!("rows of {}, at least", path.display()), 1, 0));
    }
    (nrows.unwrap_or(1) as u64)
        .checked_mul(ncols as u64)
        .and_then(|values| values.checked_mul(8)?.checked_add(DATA_START as u64))
        .filter(|&bytes| bytes <= isize::MAX as u64)
        .ok_or_else(|| {
            Error::unsupported(format!(
                "{}: {} x {ncols} values are more than this machine can address; use fewer rows or columns",
                path.display(),
                nrows.unwrap_or(1)
            ))
        })
}
