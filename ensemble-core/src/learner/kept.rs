//! Training rows that a fitted model goes on reading, and their two forms in a model file.

use std::{
    fmt,
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use crate::{
    data::{
        mat::{Order, Shape},
        rows::Rows,
        table::{DenseTable, Table, TableReference},
    },
    error::{Error, ErrorKind, Result},
    learner::registry::Registry,
    persist::record::Record,
};

/// Rows of a table with their targets, by counted handles.
///
/// A model's record holds them by [`Record::with_rows`], which copies nothing: the values go into a model file when that is
/// written, once for all models that read the same rows. Read back, they are mapped where tables can be
/// ([`Registry::open_tables_with`]), or read once, and shared by the models again. By
/// [`KeptRows::to_record_by_reference`] the record names files and rows instead.
#[derive(Clone)]
pub struct KeptRows {
    /// The table.
    pub table: Arc<dyn Table>,
    /// Its targets, one column.
    pub target: Arc<dyn Table>,
    /// The rows of both.
    pub rows: Rows,
}

impl KeptRows {
    const RECORD: &'static str = "kept_rows";

    /// All rows of values at hand, C order, and their targets.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) unless there are `y.len()` rows of `ncols` values.
    pub fn of_values(x: Vec<f64>, ncols: usize, y: Vec<f64>) -> Result<Self> {
        let rows = Rows::all(y.len());
        let table = DenseTable::new(x, y.len(), ncols, Order::C)?;
        Ok(Self { table: Arc::new(table), target: Arc::new(DenseTable::column(y)), rows })
    }

    /// Where the rows are, as data: reads both tables once, for their checksums.
    ///
    /// # Errors
    /// Those of [`Table::reference`].
    pub fn to_record_by_reference(&self) -> Result<Record> {
        let runs: Vec<f64> = self.rows.runs().iter().flat_map(|r| [r.start as f64, r.end as f64]).collect();
        Ok(Record::new(Self::RECORD)
            .with_array("runs", &[runs.len() / 2, 2], runs)
            .with_child(self.table.reference()?.to_record()?)
            .with_child(self.target.reference()?.to_record()?))
    }

    /// The rows of a model's record.
    ///
    /// # Errors
    /// When there are none, or they do not fit each other, or a file is not what it was.
    pub fn find(record: &Record, registry: &Registry) -> Result<Self> {
        if let Some(rows) = record.rows() {
            return rows.open(registry);
        }
        let bad = |what: &str| Error::spec(record.kind(), what);
        let kept = record.children().iter().find(|c| c.kind() == Self::RECORD);
        let kept = kept.ok_or_else(|| bad("the record holds no rows"))?;
        let [table, target] = kept.children() else { return Err(bad("the record names no rows")) };
        let table = registry.open_table(&TableReference::from_record(table)?)?;
        let target = registry.open_table(&TableReference::from_record(target)?)?;
        let runs = kept.array("runs")?.data.chunks_exact(2).map(|r| r[0] as usize..r[1] as usize);
        let rows = Rows::from_runs(runs);
        if rows.end() > table.as_mat().nrows().min(target.as_mat().nrows()) || target.as_mat().ncols() != 1 {
            return Err(bad("saved rows reach past the end of their table"));
        }
        Ok(Self { table, target, rows })
    }

    /// Whether a child of a model's record names its rows.
    pub fn is(record: &Record) -> bool {
        record.kind() == Self::RECORD
    }

    /// Whether both are the same rows of the same memory.
    fn is_same(&self, other: &Self) -> bool {
        self.place() == other.place() && self.rows == other.rows
    }

    /// Where table and targets lie.
    pub(crate) fn place(&self) -> [Place; 2] {
        [&self.table, &self.target].map(|table| {
            let m = table.as_mat();
            (m.data().as_ptr() as usize, m.shape(), m.order(), m.stride())
        })
    }
}

/// Address, shape and layout of a matrix.
pub(crate) type Place = (usize, Shape, Order, usize);

/// The rows of a record: parts of tables in memory, one behind the other, or those of a model file.
#[derive(Clone)]
pub(crate) enum RecordRows {
    Parts(Vec<KeptRows>),
    Saved(Arc<SavedRows>),
}

/// Rows in a model file, opened when the first model asks.
pub(crate) struct SavedRows {
    pub(crate) path: PathBuf,
    pub(crate) x: SavedValues,
    pub(crate) y: SavedValues,
    opened: OnceLock<KeptRows>,
}

/// A matrix in C order in a model file.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct SavedValues {
    pub(crate) offset: u64,
    pub(crate) shape: Shape,
    /// CRC-32 of the values' bytes.
    pub(crate) checksum: u32,
}

/// Values written at once: half a mebibyte.
const WRITTEN: usize = 1 << 16;

impl RecordRows {
    /// Rows, and columns of x.
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Self::Parts(parts) => Shape {
                nrows: parts.iter().map(|p| p.rows.len()).sum(),
                ncols: parts.first().map_or(0, |p| p.table.as_mat().ncols()),
            },
            Self::Saved(saved) => saved.x.shape,
        }
    }

    /// Whether both are the same rows of the same memory or file, so that one copy of them does.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Parts(a), Self::Parts(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b))
            }
            (Self::Saved(a), Self::Saved(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Write the values of x, then of y, in C order, through a buffer of a fixed size; `between` comes before each.
    pub(crate) fn write<W: Write>(
        &self,
        out: &mut W,
        mut between: impl FnMut(&mut W) -> std::io::Result<()>,
    ) -> std::io::Result<[u32; 2]> {
        let mut checksums = [0; 2];
        let parts = match self {
            Self::Parts(parts) => parts,
            // Read through memory that is not mapped: it is written where other files are.
            Self::Saved(saved) => {
                for (values, checksum) in [saved.x, saved.y].into_iter().zip(&mut checksums) {
                    between(out)?;
                    saved.copy(values, out)?;
                    *checksum = values.checksum;
                }
                return Ok(checksums);
            }
        };
        check_unchanged(parts)?;
        for (which, checksum) in checksums.iter_mut().enumerate() {
            between(out)?;
            let mut crc = crc32fast::Hasher::new();
            let mut bytes = Vec::new();
            for part in parts {
                let table = if which == 0 { part.table.as_mat() } else { part.target.as_mat() };
                let ncols = table.ncols();
                let mut row = vec![0.0; ncols];
                for run in part.rows.runs() {
                    let rows = table.rows(run.clone()).map_err(std::io::Error::other)?;
                    for block in rows.row_blocks((WRITTEN / ncols.max(1)).max(1)) {
                        bytes.clear();
                        for at in 0..block.nrows() {
                            block.copy_row_into(at, &mut row);
                            row.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
                        }
                        crc.update(&bytes);
                        out.write_all(&bytes)?;
                    }
                }
            }
            *checksum = crc.finalize();
        }
        check_unchanged(parts)?;
        Ok(checksums)
    }

    /// The rows for a model: those in memory as they are, unless they are in parts, which are put together.
    fn open(&self, registry: &Registry) -> Result<KeptRows> {
        match self {
            Self::Parts(parts) => match parts.as_slice() {
                [rows] => Ok(rows.clone()),
                parts => {
                    let Shape { nrows, ncols } = self.shape();
                    let (mut x, mut y) = (Vec::with_capacity(nrows * ncols), Vec::with_capacity(nrows));
                    let mut values = vec![0.0; ncols];
                    for part in parts {
                        for row in part.rows.runs().iter().cloned().flatten() {
                            part.table.as_mat().copy_row_into(row, &mut values);
                            x.extend_from_slice(&values);
                            y.push(part.target.as_mat().get(row, 0));
                        }
                    }
                    KeptRows::of_values(x, ncols, y)
                }
            },
            Self::Saved(saved) => saved.open(registry),
        }
    }

    /// Checksums of x and y; `None` when they cannot be read.
    fn checksums(&self) -> Option<[u32; 2]> {
        self.write(&mut std::io::sink(), |_| Ok(())).ok()
    }
}

/// That the tables behind rows are what they were.
fn check_unchanged(parts: &[KeptRows]) -> std::io::Result<()> {
    let mut tables = parts.iter().flat_map(|part| [&part.table, &part.target]);
    tables.try_for_each(|table| table.check_unchanged()).map_err(std::io::Error::other)
}

/// Rows are the same when their values are, which reads them, unless they lie in one place. Rows that cannot be read are the same
/// as no others.
impl PartialEq for RecordRows {
    fn eq(&self, other: &Self) -> bool {
        let values = || self.checksums().is_some_and(|own| other.checksums() == Some(own));
        self.is_same(other) || (self.shape() == other.shape() && values())
    }
}

impl fmt::Debug for RecordRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { nrows, ncols } = self.shape();
        write!(f, "{nrows} x {ncols} rows")
    }
}

impl SavedRows {
    pub(crate) fn new(path: &Path, x: SavedValues, y: SavedValues) -> Self {
        Self { path: path.into(), x, y, opened: OnceLock::new() }
    }

    /// Copy values from the file into `out`, and make sure that they are what was written.
    fn copy(&self, values: SavedValues, out: &mut impl Write) -> std::io::Result<()> {
        let fail = |action| move |e| std::io::Error::other(Error::io(&self.path, action, e));
        let mut file = File::open(&self.path).map_err(fail("open"))?;
        file.seek(SeekFrom::Start(values.offset)).map_err(fail("read"))?;
        let mut crc = crc32fast::Hasher::new();
        let (mut left, mut bytes) = (values.shape.bytes(), vec![0; 8 * WRITTEN]);
        while left > 0 {
            let room = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = file.read(&mut bytes[..room]).map_err(fail("read"))?;
            if n == 0 {
                return Err(std::io::Error::other(damaged(&self.path)));
            }
            crc.update(&bytes[..n]);
            out.write_all(&bytes[..n])?;
            left -= n as u64;
        }
        if crc.finalize() == values.checksum {
            Ok(())
        } else {
            Err(std::io::Error::other(damaged(&self.path)))
        }
    }

    /// Map the rows, or read them where tables are not mapped; the first time only.
    fn open(&self, registry: &Registry) -> Result<KeptRows> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened.clone());
        }
        let table = |values: SavedValues| -> Result<Arc<dyn Table>> {
            let SavedValues { offset, shape, checksum } = values;
            if !registry.opens_tables() {
                let mut file = File::open(&self.path).map_err(|e| Error::io(&self.path, "open", e))?;
                file.seek(SeekFrom::Start(offset)).map_err(|e| Error::io(&self.path, "read", e))?;
                let mut crc = crc32fast::Hasher::new();
                let data = read_values(&mut file, shape.nrows * shape.ncols, &mut crc)
                    .map_err(|e| Error::io(&self.path, "read", e))?;
                if crc.finalize() != checksum {
                    return Err(damaged(&self.path));
                }
                return Ok(Arc::new(DenseTable::new(data, shape.nrows, shape.ncols, Order::C)?));
            }
            let path = self.path.clone();
            let reference = TableReference { path, offset, shape, order: Order::C, checksum };
            registry.open_table(&reference).map_err(|e| match e.kind() {
                ErrorKind::Format { .. } => damaged(&self.path),
                _ => e,
            })
        };
        let rows = Rows::all(self.x.shape.nrows);
        let opened = KeptRows { table: table(self.x)?, target: table(self.y)?, rows };
        Ok(self.opened.get_or_init(|| opened).clone())
    }
}

/// What is said of a model file whose bytes are not those that were written.
pub(crate) fn damaged(path: &Path) -> Error {
    Error::format(
        path,
        "the checksum does not match: the model file is cut short or changed; fit again or copy it again",
    )
}

/// `n` little-endian values, which are known to be there; their bytes go into `crc`.
pub(crate) fn read_values(
    input: &mut impl Read,
    n: usize,
    crc: &mut crc32fast::Hasher,
) -> std::io::Result<Vec<f64>> {
    let mut values = Vec::with_capacity(n);
    let mut bytes = vec![0; 8 * n.min(WRITTEN)];
    while values.len() < n {
        let bytes = &mut bytes[..8 * (n - values.len()).min(WRITTEN)];
        input.read_exact(bytes)?;
        crc.update(bytes);
        values.extend(bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)));
    }
    Ok(values)
}
