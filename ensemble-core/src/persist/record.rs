//! Models as data, and the file that holds them: versioned, checksummed, written beside and renamed.
//!
//! Layout: 8 bytes magic, `u32` version, `u64` length of the header, the header (JSON: a tree of records with the shapes of their
//! arrays, and the shapes of the training rows that models keep), zeros to a multiple of 64, the arrays one behind the other as
//! little-endian float64; the rows, x and y of each table from a multiple of 64 on, so that they can be mapped; a CRC-32 of each
//! x and y, and one of everything but their values.
//!
//! A reader believes nothing that the bytes do not bear out: arrays follow each other without overlap, so that no file
//! holds more values than bytes, and JSON's own bound on nesting bounds the tree.

use std::{
    io::{BufReader, Cursor, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    data::mat::Shape,
    error::{Error, Result},
    learner::kept::{KeptRows, RecordRows, SavedRows, SavedValues, damaged, read_values},
    persist::{
        file::NewFile,
        stamp::{Stamp, open_to_read},
    },
};

const MAGIC: &[u8; 8] = b"ENSEMBLE";
const VERSION: u32 = 2;

/// A dense array in a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The values, C order.
    pub data: Vec<f64>,
}

/// One fitted thing as data: a kind, named fields, named arrays, and the records inside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    kind: String,
    fields: Map<String, Value>,
    arrays: Vec<(String, Array)>,
    children: Vec<Record>,
    rows: Option<RecordRows>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    record: RecordHeader,
    /// Rows and columns of each x.
    rows: Vec<[usize; 2]>,
}

#[derive(Serialize, Deserialize)]
struct RecordHeader {
    kind: String,
    fields: Map<String, Value>,
    /// Names and shapes; the values follow each other in this order, and those of children behind them.
    arrays: Vec<(String, Vec<usize>)>,
    children: Vec<RecordHeader>,
    /// Which of the file's rows are this record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
}

impl Record {
    /// A record of `kind`, which names its loader.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// With a field.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// With a field of text.
    #[must_use]
    pub fn with_text(self, name: &str, value: &str) -> Self {
        self.with_field(name, value)
    }

    /// With an array; floats keep every bit.
    ///
    /// # Panics
    /// When `shape` is not that of `data`.
    #[must_use]
    pub fn with_array(mut self, name: &str, shape: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "values of {name}, of shape {shape:?}");
        self.arrays.push((name.into(), Array { shape: shape.into(), data }));
        self
    }

    /// With a record inside.
    #[must_use]
    pub fn with_child(mut self, child: Record) -> Self {
        self.children.push(child);
        self
    }

    /// With the training rows that the model keeps: parts of equal width, one behind the other. Copies nothing; records in one
    /// file with rows in the same memory share one copy of them there.
    #[must_use]
    pub fn with_rows(mut self, parts: Vec<KeptRows>) -> Self {
        self.rows = Some(RecordRows::Parts(parts));
        self
    }

    pub(crate) fn rows(&self) -> Option<&RecordRows> {
        self.rows.as_ref()
    }

    fn missing(&self, what: &str) -> Error {
        Error::spec(&self.kind, format!("the record has no {what}"))
    }

    /// A field.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn field(&self, name: &str) -> Result<&Value> {
        self.fields.get(name).ok_or_else(|| self.missing(name))
    }

    /// A field of text.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn text(&self, name: &str) -> Result<String> {
        self.field(name)?.as_str().map(String::from).ok_or_else(|| self.missing(name))
    }

    /// A field that counts something.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn count(&self, name: &str) -> Result<usize> {
        self.field(name)?.as_u64().and_then(|v| usize::try_from(v).ok()).ok_or_else(|| self.missing(name))
    }

    /// An array.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn array(&self, name: &str) -> Result<&Array> {
        self.arrays.iter().find(|(n, _)| n == name).map(|(_, a)| a).ok_or_else(|| self.missing(name))
    }

    /// An array of whole numbers.
    ///
    /// # Errors
    /// When there is none of that name, or a value is no whole number from 0 to 2^53.
    pub fn whole_numbers(&self, name: &str) -> Result<Vec<usize>> {
        let whole = |v: &f64| (v.fract() == 0.0 && (0.0..=2f64.powi(53)).contains(v)).then_some(*v as usize);
        let data = &self.array(name)?.data;
        let mut numbers = Vec::with_capacity(data.len());
        for value in data {
            numbers.push(whole(value).ok_or_else(|| {
                Error::spec(
                    &self.kind,
                    format!("{name} of a saved model holds {value}, which is no whole number"),
                )
            })?);
        }
        Ok(numbers)
    }

    /// The records inside.
    pub fn children(&self) -> &[Record] {
        &self.children
    }

    /// The record without values; rows that are not in `rows` yet are put there.
    fn header<'r>(&'r self, rows: &mut Vec<&'r RecordRows>) -> RecordHeader {
        let place = |own: &'r RecordRows| {
            rows.iter().position(|r| r.is_same(own)).unwrap_or_else(|| {
                rows.push(own);
                rows.len() - 1
            })
        };
        let own = self.rows.as_ref().map(place);
        RecordHeader {
            kind: self.kind.clone(),
            fields: self.fields.clone(),
            arrays: self.arrays.iter().map(|(name, array)| (name.clone(), array.shape.clone())).collect(),
            children: self.children.iter().map(|c| c.header(rows)).collect(),
            rows: own,
        }
    }

    fn write_arrays(&self, out: &mut impl Write) -> std::io::Result<()> {
        for (_, array) in &self.arrays {
            for value in &array.data {
                out.write_all(&value.to_le_bytes())?;
            }
        }
        self.children.iter().try_for_each(|c| c.write_arrays(out))
    }

    /// Records inside each other, this one included.
    fn depth(&self) -> usize {
        1 + self.children.iter().map(Record::depth).max().unwrap_or(0)
    }

    /// Write the record to `path`, which is either the old file or the whole new one: see [`NewFile`]. Rows are written where they
    /// lie, through a buffer of half a mebibyte; nothing is saved when they are not what they were, before or after.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), and [`ErrorKind::Format`](crate::ErrorKind::Format) when rows that a model keeps
    /// have changed.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = NewFile::create(path)?;
        self.write(&mut file)?;
        file.complete()?.publish()
    }

    /// Write the record into a file that has not taken its name.
    ///
    /// # Errors
    /// As [`Record::save`].
    pub fn write(&self, file: &mut NewFile) -> Result<()> {
        let path = file.path().to_owned();
        // What rows say that changed while they were written is said as it is.
        let fail = |e: std::io::Error| e.downcast().unwrap_or_else(|e| Error::io(&path, "write", e));
        if self.depth() > MOST_NESTED {
            let what = format!("a model of more than {MOST_NESTED} parts inside each other cannot be saved");
            return Err(Error::unsupported(what));
        }
        let mut rows = Vec::new();
        let record = self.header(&mut rows);
        let shapes = rows.iter().map(|r| r.shape()).map(|s| [s.nrows, s.ncols]).collect();
        let header = serde_json::to_vec(&Header { record, rows: shapes }).map_err(|e| fail(e.into()))?;
        let mut out = Checksummed {
            out: std::io::BufWriter::new(file),
            crc: crc32fast::Hasher::new(),
            len: 0,
            rows: false,
        };
        (|| {
            out.write_all(MAGIC)?;
            out.write_all(&VERSION.to_le_bytes())?;
            out.write_all(&(header.len() as u64).to_le_bytes())?;
            out.write_all(&header)?;
            out.align()?;
            out.rows = false;
            self.write_arrays(&mut out)?;
            let mut checksums = Vec::new();
            for rows in rows {
                checksums.extend(rows.write(&mut out, Checksummed::align)?);
            }
            out.rows = false;
            for checksum in checksums {
                out.write_all(&u32::to_le_bytes(checksum))?;
            }
            let crc = out.crc.clone().finalize();
            out.write_all(&crc.to_le_bytes())?;
            out.flush()
        })()
        .map_err(fail)
    }

    /// Read a record that [`Record::save`] wrote. Rows stay in the file until a model asks for them.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), or [`ErrorKind::Format`](crate::ErrorKind::Format) when the file is no
    /// model file, of another version, cut short or changed.
    pub fn load(path: &Path) -> Result<Record> {
        let fail = |e| Error::io(path, "read", e);
        let mut file = open_to_read(path)?;
        let metadata = file.metadata().map_err(fail)?;
        if metadata.is_file() {
            let before = Stamp::of(&metadata);
            let record = read(BufReader::new(&file), metadata.len(), path, Rows::InPlace)?;
            before.check(&file, path)?;
            return Ok(record);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fail)?;
        let len = bytes.len() as u64;
        read(Cursor::new(bytes), len, path, Rows::InMemory)
    }
}

/// Whether rows can be read again where they are.
#[derive(Clone, Copy, PartialEq)]
enum Rows {
    InPlace,
    InMemory,
}

/// Records inside each other: JSON readers take 128 lists and maps inside each other, and a record is two.
const MOST_NESTED: usize = 60;

/// Read a model file of `len` bytes. Nothing is allocated that the file does not hold.
fn read<R: Read + Seek>(input: R, len: u64, path: &Path, rows: Rows) -> Result<Record> {
    let bad = |what: &str| Error::format(path, what);
    let cut = || bad("the model file is cut short; fit again or copy it again");
    let fail = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => cut(),
        _ => Error::io(path, "read", e),
    };
    let mut input = Checked { input, crc: crc32fast::Hasher::new(), at: 0 };
    if len < 8 || input.take(8).map_err(fail)? != MAGIC {
        return Err(bad("not a model file: its first bytes are not 'ENSEMBLE'"));
    }
    let version = input.take(4).map_err(fail)?;
    let version = u32::from_le_bytes(version.try_into().expect("4 bytes"));
    if version != VERSION {
        return Err(bad(&format!(
            "model file version {version}; this program reads version {VERSION}: fit again, or use the program that wrote it"
        )));
    }
    let header = input.take(8).map_err(fail)?;
    let header = u64::from_le_bytes(header.try_into().expect("8 bytes"));
    let header = usize::try_from(header).ok().filter(|_| header <= len).ok_or_else(cut)?;
    let header = input.take(header).map_err(fail)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| damaged(path))?;
    input.align().map_err(fail)?;

    // Where everything is, before anything is read.
    let arrays = header.record.bytes().and_then(|b| input.at.checked_add(b));
    let arrays = arrays.filter(|e| *e <= len).ok_or_else(cut)?;
    let mut places = Vec::with_capacity(header.rows.len());
    let mut end = arrays;
    for &[nrows, ncols] in &header.rows {
        for ncols in [ncols, 1] {
            let bytes = (nrows as u64).checked_mul(ncols as u64).and_then(|v| v.checked_mul(8));
            let offset = end.checked_next_multiple_of(64).ok_or_else(cut)?;
            end = bytes.and_then(|b| offset.checked_add(b)).filter(|e| *e <= len).ok_or_else(cut)?;
            if bytes == Some(0) {
                return Err(damaged(path));
            }
            places.push(SavedValues { offset, shape: Shape { nrows, ncols }, checksum: 0 });
        }
    }
    if end.checked_add(4 * places.len() as u64 + 4) != Some(len) {
        return Err(cut());
    }
    input.input.seek(SeekFrom::Start(end)).map_err(fail)?;
    for place in &mut places {
        let mut bytes = [0; 4];
        input.input.read_exact(&mut bytes).map_err(fail)?;
        place.checksum = u32::from_le_bytes(bytes);
    }
    let mut kept = Vec::with_capacity(header.rows.len());
    for pair in places.chunks_exact(2) {
        kept.push(match rows {
            Rows::InPlace => RecordRows::Saved(Arc::new(SavedRows::new(path, pair[0], pair[1]))),
            Rows::InMemory => {
                let mut values = |place: SavedValues| {
                    input.input.seek(SeekFrom::Start(place.offset)).map_err(fail)?;
                    let mut crc = crc32fast::Hasher::new();
                    let n = place.shape.nrows * place.shape.ncols;
                    let values = read_values(&mut input.input, n, &mut crc).map_err(fail)?;
                    if crc.finalize() == place.checksum { Ok(values) } else { Err(damaged(path)) }
                };
                let (x, y) = (values(pair[0])?, values(pair[1])?);
                RecordRows::Parts(vec![KeptRows::of_values(x, pair[0].shape.ncols, y)?])
            }
        });
    }

    input.input.seek(SeekFrom::Start(input.at)).map_err(fail)?;
    let record = header.record.into_record(&mut input, &kept).map_err(fail)?;
    for place in &places {
        input.align().map_err(fail)?;
        input.at += place.shape.bytes();
        input.input.seek(SeekFrom::Start(input.at)).map_err(fail)?;
    }
    input.take(4 * places.len()).map_err(fail)?;
    let crc = input.crc.clone().finalize();
    if input.take(4).map_err(fail)? != crc.to_le_bytes() {
        return Err(damaged(path));
    }
    record.ok_or_else(|| damaged(path))
}

impl RecordHeader {
    /// Bytes of the arrays of this record and those inside it.
    fn bytes(&self) -> Option<u64> {
        let mut bytes = 0u64;
        for (_, shape) in &self.arrays {
            let values = shape.iter().try_fold(1u64, |a, b| a.checked_mul(*b as u64))?;
            bytes = bytes.checked_add(values.checked_mul(8)?)?;
        }
        self.children.iter().try_fold(bytes, |sum, child| sum.checked_add(child.bytes()?))
    }

    /// The record, its arrays read; `None` when it names rows that there are not.
    fn into_record<R: Read>(
        self,
        input: &mut Checked<R>,
        kept: &[RecordRows],
    ) -> std::io::Result<Option<Record>> {
        let mut arrays = Vec::new();
        for (name, shape) in self.arrays {
            let n = shape.iter().product();
            let data = read_values(&mut input.input, n, &mut input.crc)?;
            input.at += 8 * n as u64;
            arrays.push((name, Array { shape, data }));
        }
        let mut children = Vec::new();
        for child in self.children {
            let Some(child) = child.into_record(input, kept)? else { return Ok(None) };
            children.push(child);
        }
        let rows = match self.rows {
            None => None,
            Some(at) => match kept.get(at) {
                None => return Ok(None),
                rows => rows.cloned(),
            },
        };
        Ok(Some(Record { kind: self.kind, fields: self.fields, arrays, children, rows }))
    }
}

/// What is read, and the checksum of it.
struct Checked<R> {
    input: R,
    crc: crc32fast::Hasher,
    at: u64,
}

impl<R: Read> Checked<R> {
    fn take(&mut self, n: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; n];
        self.input.read_exact(&mut bytes)?;
        self.crc.update(&bytes);
        self.at += n as u64;
        Ok(bytes)
    }

    /// Read up to a multiple of 64.
    fn align(&mut self) -> std::io::Result<()> {
        self.take((self.at.next_multiple_of(64) - self.at) as usize).map(|_| ())
    }
}

/// What is written, and the checksum of it but for values of rows.
struct Checksummed<W> {
    out: W,
    crc: crc32fast::Hasher,
    len: usize,
    /// Whether values of rows are being written.
    rows: bool,
}

impl<W: Write> Checksummed<W> {
    /// Fill up to a multiple of 64; values of rows may follow.
    fn align(&mut self) -> std::io::Result<()> {
        self.rows = false;
        let padding = self.len.next_multiple_of(64) - self.len;
        self.write_all(&[0; 64][..padding])?;
        self.rows = true;
        Ok(())
    }
}

impl<W: Write> Write for Checksummed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.out.write(bytes)?;
        if !self.rows {
            self.crc.update(&bytes[..n]);
        }
        self.len += n;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        data::{mat::Order, table::DenseTable},
        learner::registry::Registry,
    };

    #[test]
    fn a_record_survives_the_file_and_damage_is_found() {
        let record = Record::new("outer")
            .with_text("name", "a")
            .with_array("v", &[3], vec![1.0 / 3.0, -0.0, f64::MIN_POSITIVE])
            .with_child(Record::new("inner").with_array("w", &[1, 2], vec![5.0, 6.0]));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        record.save(&path).unwrap();
        assert_eq!(Record::load(&path).unwrap(), record);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            fs::write(&path, &flipped).unwrap();
            assert!(Record::load(&path).is_err(), "byte {at} flipped");
            fs::write(&path, &bytes[..at]).unwrap();
            assert!(Record::load(&path).is_err(), "cut at {at}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    fn kept(order: Order) -> KeptRows {
        let x: Vec<f64> = (0..70_000 * 3).map(f64::from).collect();
        let table = Arc::new(DenseTable::new(x, 70_000, 3, order).unwrap());
        let target = Arc::new(DenseTable::column((0..70_000).map(|r| f64::from(r) / 3.0).collect()));
        let rows = crate::data::rows::Rows::from_runs([5..40_000, 50_000..70_000]);
        KeptRows { table, target, rows }
    }

    #[test]
    fn rows_are_written_once_for_all_records_that_keep_them_and_shared_when_they_are_read() {
        for order in [Order::C, Order::F] {
            let rows = kept(order);
            let model =
                || Record::new("model").with_array("v", &[1], vec![0.5]).with_rows(vec![rows.clone()]);
            let record =
                Record::new("outer").with_child(model()).with_child(Record::new("in").with_child(model()));
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("m");
            record.save(&path).unwrap();
            let bytes = fs::read(&path).unwrap();
            let values = rows.rows.len() * 4 * 8;
            assert!((values..values + 2048).contains(&bytes.len()), "{} of {values} bytes", bytes.len());
            let loaded = Record::load(&path).unwrap();
            assert_eq!(loaded, record);
            let registry = Registry::new();
            let first = KeptRows::find(&loaded.children()[0], &registry).unwrap();
            let second = KeptRows::find(&loaded.children()[1].children()[0], &registry).unwrap();
            assert!(Arc::ptr_eq(&first.table, &second.table) && Arc::ptr_eq(&first.target, &second.target));
            let (got, want) = (first.table.as_mat(), rows.table.as_mat());
            for (at, row) in rows.rows.runs().iter().cloned().flatten().enumerate() {
                assert_eq!(
                    (got.get(at, 2), first.target.as_mat().get(at, 0)),
                    (want.get(row, 2), row as f64 / 3.0)
                );
            }
            // Damage in the rows is found by whoever asks for them, everywhere else at once.
            for at in [30, bytes.len() / 2, bytes.len() - 10, bytes.len() - 2] {
                let mut flipped = bytes.clone();
                flipped[at] ^= 0x10;
                fs::write(&path, &flipped).unwrap();
                let read = Record::load(&path).and_then(|r| KeptRows::find(&r.children()[0], &registry));
                assert!(read.is_err_and(|e| e.to_string().contains("checksum")), "byte {at} flipped");
            }
            fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
            assert!(Record::load(&path).is_err());
        }
    }

    #[test]
    fn rows_that_changed_in_a_model_file_are_not_copied_into_another() {
        let record = Record::new("model").with_rows(vec![kept(Order::C)]);
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("m"), dir.path().join("n"));
        record.save(&path).unwrap();
        let loaded = Record::load(&path).unwrap();
        loaded.save(&other).unwrap();
        assert_eq!(Record::load(&other).unwrap(), record);
        fs::remove_file(&other).unwrap();
        let bytes = fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 0x10;
        for changed in [&flipped[..], &bytes[..bytes.len() / 2], &bytes[..100]] {
            fs::write(&path, changed).unwrap();
            let error = loaded.save(&other).unwrap_err().to_string();
            assert!(error.contains("checksum") && error.contains(path.to_str().unwrap()), "{error}");
            assert!(!other.exists());
        }
    }

    /// A table that says after some looks that it is not what it was.
    struct Changing(DenseTable, std::sync::atomic::AtomicUsize);

    impl crate::Table for Changing {
        fn as_mat(&self) -> crate::MatRef<'_> {
            self.0.as_mat()
        }

        fn check_unchanged(&self) -> Result<()> {
            use std::sync::atomic::Ordering::Relaxed;
            let left = self.1.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
            left.map(|_| ()).map_err(|_| Error::format("table.npy", "changed while it was read"))
        }
    }

    #[test]
    fn rows_that_change_before_or_while_they_are_written_are_not_saved() {
        let rows = kept(Order::C);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        for (looks, target) in [(0, false), (1, false), (0, true), (1, true)] {
            let values = DenseTable::column(vec![1.0; 70_000]);
            let changing: Arc<dyn crate::Table> = Arc::new(Changing(values, looks.into()));
            let mut rows = rows.clone();
            *(if target { &mut rows.target } else { &mut rows.table }) = changing;
            let error = Record::new("model").with_rows(vec![rows]).save(&path).unwrap_err();
            assert!(matches!(error.kind(), crate::ErrorKind::Format { .. }), "{error}");
            assert!(error.to_string().contains("table.npy"), "{error}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn rows_that_cannot_be_read_are_equal_to_no_others_and_shown_by_their_shape() {
        let dir = tempfile::tempdir().unwrap();
        let save = |name: &str, value: f64| {
            let path = dir.path().join(name);
            let rows = KeptRows::of_values(vec![value; 6], 2, vec![value; 3]).unwrap();
            Record::new("model").with_rows(vec![rows]).save(&path).unwrap();
            Record::load(&path).unwrap()
        };
        let (a, b, c) = (save("a", 1.0), save("b", 2.0), save("c", 1.0));
        assert!(a != b && a == c);
        fs::remove_file(dir.path().join("a")).unwrap();
        fs::remove_file(dir.path().join("b")).unwrap();
        assert!(a != b && a != c && a == a.clone());
        let shown = format!("{a:?}");
        assert_eq!(shown, format!("{b:?}"));
        assert!(shown.contains("3 x 2"), "{shown}");
    }

    /// A file of a header and of `values`, with right checksums.
    fn forged(header: &str, values: &[f64], checksums: &[u32]) -> Vec<u8> {
        let mut bytes = Vec::from(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        checksums.iter().for_each(|c| bytes.extend(c.to_le_bytes()));
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes
    }

    #[test]
    fn files_that_hold_fewer_values_than_they_say_or_are_nested_too_deep_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bomb");
        let record = |arrays: &str, children: &str| {
            format!(r#"{{"kind":"k","fields":{{}},"arrays":[{arrays}],"children":[{children}]}}"#)
        };
        let file = |record: &str, rows: &str| format!(r#"{{"record":{record},"rows":[{rows}]}}"#);
        let refused = |bytes: Vec<u8>| {
            fs::write(&path, bytes).unwrap();
            Record::load(&path).unwrap_err().to_string()
        };
        let one = r#"["a",[1000]]"#;
        fs::write(&path, forged(&file(&record(one, ""), ""), &[1.0; 1000], &[])).unwrap();
        assert_eq!(Record::load(&path).unwrap().array("a").unwrap().data, [1.0; 1000]);
        let many = vec![one; 20_000].join(",");
        refused(forged(&file(&record(&many, ""), ""), &[1.0; 1000], &[]));
        for shape in ["[1000000000000]", "[4294967296,4294967296,4294967296]", "[18446744073709551615,2]"] {
            refused(forged(&file(&record(&format!(r#"["a",{shape}]"#), ""), ""), &[1.0; 1000], &[]));
        }
        // Arrays that end 8 bytes before 2^64, so that rows seem to begin again at the first byte.
        let wraps =
            forged(&file(&record(r#"["a",[2305843009213693935]]"#, ""), "[32,1]"), &[1.0; 48], &[0, 0]);
        assert_eq!(wraps.len(), 524);
        assert!(refused(wraps).contains("cut short"));
        for rows in ["[1000000000,1000000000]", "[18446744073709551615,9]", "[0,3]", "[3,0]"] {
            refused(forged(&file(&record("", ""), rows), &[1.0; 1000], &[0, 0]));
        }
        let open = r#"{"kind":"k","fields":{},"arrays":[],"children":["#;
        let deep = open.repeat(100_000) + &"]}".repeat(100_000);
        refused(forged(&file(&deep, ""), &[], &[]));
        let mut own = Record::new("k");
        for _ in 0..MOST_NESTED - 1 {
            own = Record::new("k").with_child(own);
        }
        own.save(&path).unwrap();
        assert_eq!(Record::load(&path).unwrap(), own);
        assert!(Record::new("k").with_child(own).save(&path).is_err());
        // The layout before this one.
        let mut old = forged(&file(&record("", ""), ""), &[], &[]);
        old[8] = 1;
        assert!(refused(old).contains("version 1"));
    }
}
