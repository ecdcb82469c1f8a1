//! Models as data, and the file that holds them: versioned, checksummed, written beside and renamed.
//!
//! Layout: 8 bytes magic, `u32` version, `u64` length of the header, the header (JSON: a tree of records, whose arrays are
//! offsets), zeros to a multiple of 64, the arrays as little-endian float64, and a CRC-32 of all that.

use std::{io::Write, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error::{Error, Result},
    file::{NewFile, read_whole},
};

const MAGIC: &[u8; 8] = b"ENSEMBLE";
const VERSION: u32 = 1;

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
}

#[derive(Serialize, Deserialize)]
struct Header {
    kind: String,
    fields: Map<String, Value>,
    arrays: Vec<ArrayPlace>,
    children: Vec<Header>,
}

#[derive(Serialize, Deserialize)]
struct ArrayPlace {
    name: String,
    shape: Vec<usize>,
    /// In float64 values from the start of the arrays.
    offset: usize,
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
    #[must_use]
    pub fn with_array(mut self, name: &str, shape: &[usize], data: Vec<f64>) -> Self {
        self.arrays.push((name.into(), Array { shape: shape.into(), data }));
        self
    }

    /// With a record inside.
    #[must_use]
    pub fn with_child(mut self, child: Record) -> Self {
        self.children.push(child);
        self
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

    fn header(&self, offset: &mut usize) -> Header {
        let arrays = self
            .arrays
            .iter()
            .map(|(name, array)| {
                let place = ArrayPlace { name: name.clone(), shape: array.shape.clone(), offset: *offset };
                *offset += array.data.len();
                place
            })
            .collect();
        let children = self.children.iter().map(|c| c.header(offset)).collect();
        Header { kind: self.kind.clone(), fields: self.fields.clone(), arrays, children }
    }

    fn write_arrays(&self, out: &mut impl Write) -> std::io::Result<()> {
        for (_, array) in &self.arrays {
            for value in &array.data {
                out.write_all(&value.to_le_bytes())?;
            }
        }
        self.children.iter().try_for_each(|c| c.write_arrays(out))
    }

    /// Write the record to `path`, which is either the old file or the whole new one: see [`NewFile`].
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = NewFile::create(path)?;
        self.write(&mut file)?;
        file.complete()?.publish()
    }

    /// Write the record into a file that has not taken its name.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn write(&self, file: &mut NewFile) -> Result<()> {
        let path = file.path().to_owned();
        let fail = |e| Error::io(&path, "write", e);
        let header = serde_json::to_vec(&self.header(&mut 0)).map_err(|e| fail(e.into()))?;
        let mut out =
            Checksummed { out: std::io::BufWriter::new(file), crc: crc32fast::Hasher::new(), len: 0 };
        (|| {
            out.write_all(MAGIC)?;
            out.write_all(&VERSION.to_le_bytes())?;
            out.write_all(&(header.len() as u64).to_le_bytes())?;
            out.write_all(&header)?;
            let padding = out.len.next_multiple_of(64) - out.len;
            out.write_all(&[0; 64][..padding])?;
            self.write_arrays(&mut out)?;
            let crc = out.crc.clone().finalize();
            out.write_all(&crc.to_le_bytes())?;
            out.flush()
        })()
        .map_err(fail)
    }

    /// Read a record that [`Record::save`] wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), or [`ErrorKind::Format`](crate::ErrorKind::Format) when the file is no
    /// model file, of a later version, cut short or changed.
    pub fn load(path: &Path) -> Result<Record> {
        let bytes = read_whole(path, u64::MAX)?;
        let bad = |what: &str| Error::format(path, what);
        if bytes.len() < 8 || &bytes[..8] != MAGIC {
            return Err(bad("not a model file: its first bytes are not 'ENSEMBLE'"));
        }
        let cut = || bad("the model file is cut short; fit again or copy it again");
        let fixed = |at: usize, n: usize| bytes.get(at..at + n).ok_or_else(cut);
        let version = u32::from_le_bytes(fixed(8, 4)?.try_into().expect("4 bytes"));
        if version != VERSION {
            return Err(bad(&format!("model file version {version}; this program reads version {VERSION}")));
        }
        let header_len = u64::from_le_bytes(fixed(12, 8)?.try_into().expect("8 bytes"));
        let body_len = bytes.len().checked_sub(4).ok_or_else(cut)?;
        let (body, crc) = bytes.split_at(body_len);
        let crc = u32::from_le_bytes(crc.try_into().expect("4 bytes"));
        if crc32fast::hash(body) != crc {
            return Err(bad(
                "the checksum does not match: the model file is cut short or changed; fit again or copy it again",
            ));
        }
        let header_end = usize::try_from(header_len).ok().and_then(|l| l.checked_add(20)).ok_or_else(cut)?;
        let header = body.get(20..header_end).ok_or_else(cut)?;
        let header: Header = serde_json::from_slice(header)
            .map_err(|e| bad(&format!("the model file's header is unreadable: {e}")))?;
        let arrays = body.get(header_end.next_multiple_of(64)..).ok_or_else(cut)?;
        header.into_record(arrays).ok_or_else(cut)
    }
}

impl Header {
    fn into_record(self, bytes: &[u8]) -> Option<Record> {
        let mut arrays = Vec::with_capacity(self.arrays.len());
        for place in self.arrays {
            let len = place.shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b))?;
            let start = place.offset.checked_mul(8)?;
            let raw = bytes.get(start..start.checked_add(len.checked_mul(8)?)?)?;
            let data =
                raw.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes"))).collect();
            arrays.push((place.name, Array { shape: place.shape, data }));
        }
        let children = self.children.into_iter().map(|c| c.into_record(bytes)).collect::<Option<_>>()?;
        Some(Record { kind: self.kind, fields: self.fields, arrays, children })
    }
}

struct Checksummed<W> {
    out: W,
    crc: crc32fast::Hasher,
    len: usize,
}

impl<W: Write> Write for Checksummed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.crc.update(&bytes[..n]);
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
}
