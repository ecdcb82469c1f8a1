//! The header of numpy's `.npy` files, versions 1.0, 2.0 and 3.0: read, and written as 1.0.
//!
//! Source of the format: the documentation of `numpy.lib.format`. Magic, two version bytes, the header's length in two
//! (1.0) or four bytes, then a Python dict literal with the keys `descr`, `fortran_order` and `shape`.

use std::{fmt, fs::File, os::unix::fs::FileExt, path::Path};

use ensemble_core::{Error, Order, Result, Shape, quoted};

/// Where the values of the files written here start: a multiple of the usual page size.
pub(crate) const DATA_START: usize = 4096;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// numpy itself refuses headers longer than 10,000 bytes unless told otherwise.
const LONGEST_HEADER: u64 = 1 << 20;
const WRITE_AGAIN: &str = "write it again with numpy.save";

/// What the header of a usable file says; the file holds all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) shape: Shape,
    pub(crate) order: Order,
    pub(crate) data_start: u64,
}

/// The `shape` entry of a file to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// `(n,)`
    Vector(usize),
    /// `(nrows, ncols)`
    Table(Shape),
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Extent::Vector(n) => write!(f, "({n},)"),
            Extent::Table(shape) => write!(f, "({}, {})", shape.nrows, shape.ncols),
        }
    }
}

/// Read and check the header of `file`, which is `file_len` bytes long.
pub(crate) fn read(file: &File, path: &Path, file_len: u64) -> Result<Header> {
    let bad = |what: String| Error::format(path, what);
    let io = |source| Error::io(path, "read the header of", source);
    let mut head = [0_u8; 12];
    let have = file_len.min(12) as usize;
    file.read_exact_at(&mut head[..have], 0).map_err(io)?;
    let seen = have.min(MAGIC.len());
    if head[..seen] != MAGIC[..seen] || seen == 0 {
        return Err(bad(format!(
            "this is not a .npy file: it starts with \"{}\" where \"\\x93NUMPY\" is expected; {WRITE_AGAIN}, or open it as raw float64 with its shape (of the program, --raw-shape ROWSxCOLS)",
            head[..seen].escape_ascii()
        )));
    }
    let truncated = |need: u64| {
        bad(format!(
            "the .npy header is cut short: it needs {need} bytes and the file has {file_len}; {WRITE_AGAIN}"
        ))
    };
    if have < 8 {
        return Err(truncated(10));
    }
    let prefix: u64 = match (head[6], head[7]) {
        (1, 0) => 10,
        (2 | 3, 0) => 12,
        (major, minor) => {
            return Err(bad(format!(
                "the .npy format version is {major}.{minor}, and 1.0, 2.0 and 3.0 are understood; {WRITE_AGAIN}"
            )));
        }
    };
    if file_len < prefix {
        return Err(truncated(prefix));
    }
    let dict_len = match prefix {
        10 => u64::from(u16::from_le_bytes([head[8], head[9]])),
        _ => u64::from(u32::from_le_bytes([head[8], head[9], head[10], head[11]])),
    };
    let data_start = prefix + dict_len;
    if data_start > file_len {
        return Err(truncated(data_start));
    }
    if dict_len > LONGEST_HEADER {
        return Err(bad(format!(
            "the .npy header claims {dict_len} bytes, and at most {LONGEST_HEADER} are read; {WRITE_AGAIN}"
        )));
    }
    let mut dict = vec![0_u8; dict_len as usize];
    file.read_exact_at(&mut dict, prefix).map_err(io)?;
    let dict = Dict::parse(&dict)
        .map_err(|what| bad(format!("the .npy header cannot be read: {what}; {WRITE_AGAIN}")))?;
    check(&dict, data_start, file_len).map_err(bad)
}

/// Compare what the dict says with what is readable in place and with the length of the file.
fn check(dict: &Dict, data_start: u64, file_len: u64) -> std::result::Result<Header, String> {
    if dict.descr != "<f8" {
        let found = match dict.descr.as_str() {
            ">f8" => "big-endian float64 ('>f8')".to_string(),
            "<f4" | ">f4" => format!("float32 ('{}')", dict.descr),
            "|O" => "Python objects ('|O')".to_string(),
            other => format!("of type '{}'", quoted(other)),
        };
        if dict.descr.starts_with('[') || dict.descr.starts_with("|V") {
            return Err(format!(
                "its values are records of several fields, a structured array ({}), and one table of float64 is expected; convert it with numpy.save(path, numpy.lib.recfunctions.structured_to_unstructured(x, dtype='<f8'))",
                quoted(&dict.descr)
            ));
        }
        return Err(format!(
            "its values are {found}, and little-endian float64 ('<f8') is expected; convert it with numpy.save(path, x.astype('<f8'))"
        ));
    }
    let (nrows, ncols) = match dict.shape[..] {
        [n] => (n, 1),
        [n, p] => (n, p),
        _ => {
            let advice = match dict.shape.len() {
                0 => "numpy.save(path, x.reshape(1, 1))",
                _ => "numpy.save(path, x.reshape(len(x), -1))",
            };
            return Err(format!(
                "its shape {} has {} dimensions, and 1 or 2 are expected; reshape it with {advice}",
                dict.shape_text(),
                dict.shape.len()
            ));
        }
    };
    if nrows == 0 || ncols == 0 {
        return Err(format!(
            "its shape {} holds no values, and at least one row and one column are expected; check what wrote it",
            dict.shape_text()
        ));
    }
    let bytes = nrows
        .checked_mul(ncols)
        .and_then(|values| values.checked_mul(8))
        .filter(|&bytes| bytes <= isize::MAX as u64)
        .ok_or_else(|| {
            format!(
                "its shape {} is more than this machine can address, and the file has {file_len} bytes; {WRITE_AGAIN}",
                dict.shape_text()
            )
        })?;
    if !data_start.is_multiple_of(8) {
        return Err(format!(
            "its values start at byte {data_start}, and a multiple of 8 is expected to read them in place; {WRITE_AGAIN}"
        ));
    }
    let have = file_len - data_start;
    if have != bytes {
        return Err(format!(
            "its shape {} needs {bytes} bytes after the header, and the file has {have}: it is {}; {WRITE_AGAIN}",
            dict.shape_text(),
            if have < bytes { "cut short" } else { "longer than one array" }
        ));
    }
    // One row or one column is the same memory in both orders.
    let order = if dict.fortran_order && nrows > 1 && ncols > 1 { Order::F } else { Order::C };
    Ok(Header { shape: Shape { nrows: nrows as usize, ncols: ncols as usize }, order, data_start })
}

/// A version 1.0 header of exactly [`DATA_START`] bytes, whatever the shape.
pub(crate) fn header_bytes(extent: Extent, order: Order) -> [u8; DATA_START] {
    let fortran = if order == Order::F { "True" } else { "False" };
    let dict = format!("{{'descr': '<f8', 'fortran_order': {fortran}, 'shape': {extent}, }}");
    let mut bytes = [b' '; DATA_START];
    bytes[..6].copy_from_slice(MAGIC);
    bytes[6..8].copy_from_slice(&[1, 0]);
    bytes[8..10].copy_from_slice(&((DATA_START - 10) as u16).to_le_bytes());
    bytes[10..10 + dict.len()].copy_from_slice(dict.as_bytes());
    bytes[DATA_START - 1] = b'\n';
    bytes
}

/// The three entries of the header, not yet judged.
#[derive(Debug, PartialEq, Eq)]
struct Dict {
    /// A type string, or the source text of a structured type.
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl Dict {
    fn shape_text(&self) -> String {
        match self.shape[..] {
            [n] => format!("({n},)"),
            _ => {
                let dims: Vec<String> = self.shape.iter().map(u64::to_string).collect();
                format!("({})", dims.join(", "))
            }
        }
    }

    /// Parse a Python dict literal with the three keys in any order.
    fn parse(text: &[u8]) -> std::result::Result<Self, String> {
        let mut at = Cursor { text, at: 0 };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        at.expect(b'{')?;
        while !at.take(b'}') {
            let key = at.string()?;
            at.expect(b':')?;
            let again = match key.as_str() {
                "descr" => descr.replace(at.type_text()?).is_some(),
                "fortran_order" => fortran_order.replace(at.boolean()?).is_some(),
                "shape" => shape.replace(at.tuple()?).is_some(),
                _ => {
                    return Err(format!("the key '{key}' is none of 'descr', 'fortran_order' and 'shape'"));
                }
            };
            if again {
                return Err(format!("the key '{key}' stands twice"));
            }
            if !at.take(b',') {
                at.expect(b'}')?;
                break;
            }
        }
        if let Some(byte) = at.peek() {
            return Err(format!("'{}' follows the dict", byte.escape_ascii()));
        }
        let missing = |key: &str| format!("the key '{key}' is missing");
        Ok(Self {
            descr: descr.ok_or_else(|| missing("descr"))?,
            fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
        })
    }
}

/// A place in the dict's text; every method skips white space first.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == 0) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn wrong<T>(&mut self, want: &str) -> std::result::Result<T, String> {
        let found = match self.peek() {
            Some(byte) => format!("'{}' at byte {}", byte.escape_ascii(), self.at),
            None => "its end".to_string(),
        };
        Err(format!("found {found} of the dict where {want} is expected"))
    }

    fn expect(&mut self, byte: u8) -> std::result::Result<(), String> {
        if self.take(byte) { Ok(()) } else { self.wrong(&format!("'{}'", byte.escape_ascii())) }
    }

    fn lossy(&self, from: usize, to: usize) -> String {
        String::from_utf8_lossy(&self.text[from..to]).into_owned()
    }

    fn string(&mut self) -> std::result::Result<String, String> {
        let quote = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => return self.wrong("a quoted string"),
        };
        let from = self.at + 1;
        match self.text[from..].iter().position(|&byte| byte == quote) {
            Some(len) => {
                self.at = from + len + 1;
                Ok(self.lossy(from, from + len))
            }
            None => Err("a quoted string has no end".to_string()),
        }
    }

    /// A type string, or the list literal of a structured type as it stands.
    fn type_text(&mut self) -> std::result::Result<String, String> {
        if self.peek() != Some(b'[') {
            return self.string();
        }
        let from = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'[' | b'(') => depth += 1,
                Some(b']' | b')') => depth -= 1,
                Some(b'\'' | b'"') => {
                    self.string()?;
                    continue;
                }
                Some(_) => {}
                None => return Err("a list has no end".to_string()),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(self.lossy(from, self.at));
            }
        }
    }

    fn boolean(&mut self) -> std::result::Result<bool, String> {
        self.peek();
        for (word, value) in [("True", true), ("False", false)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.wrong("True or False")
    }

    fn tuple(&mut self) -> std::result::Result<Vec<u64>, String> {
        let mut dims = Vec::new();
        self.expect(b'(')?;
        while !self.take(b')') {
            dims.push(self.dimension()?);
            if !self.take(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(dims)
    }

    fn dimension(&mut self) -> std::result::Result<u64, String> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.wrong("a dimension");
        }
        let from = self.at;
        let mut value = Some(0_u64);
        while let Some(digit) = self.text.get(self.at).filter(|byte| byte.is_ascii_digit()) {
            value = value.and_then(|v| v.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
            self.at += 1;
        }
        let Some(value) = value else {
            return Err(format!("the dimension {} does not fit 64 bits", self.lossy(from, self.at)));
        };
        // Python 2 wrote long integers with this suffix.
        if self.text.get(self.at) == Some(&b'L') {
            self.at += 1;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> std::result::Result<Dict, String> {
        Dict::parse(text.as_bytes())
    }

    #[test]
    fn key_order_quotes_and_spaces_do_not_matter() {
        let want = Dict { descr: "<f8".into(), fortran_order: true, shape: vec![3, 4] };
        for text in [
            "{'descr': '<f8', 'fortran_order': True, 'shape': (3, 4), }   \n",
            "{'shape':(3,4),'fortran_order':True,'descr':'<f8'}",
            " { \"fortran_order\" : True ,\n \"shape\" : ( 3L , 4L , ) , \"descr\" : \"<f8\" } ",
        ] {
            assert_eq!(parse(text).as_ref(), Ok(&want), "{text}");
        }
        assert!(parse("{'descr':'<f8','fortran_order':False,'shape':()}").unwrap().shape.is_empty());
        assert_eq!(
            parse("{'descr':[('a','<f8',(2,)),('b]','<i4')],'fortran_order':False,'shape':(3,)}")
                .unwrap()
                .descr,
            "[('a','<f8',(2,)),('b]','<i4')]"
        );
    }

    #[test]
    fn broken_dicts_say_what_is_wrong() {
        for (text, word) in [
            ("", "its end"),
            ("{'descr': '<f8', 'fortran_order': True}", "'shape' is missing"),
            ("{'descr': '<f8', 'fortran_order': 1, 'shape': (3,)}", "True or False"),
            ("{'descr': '<f8', 'fortran_order': True, 'shape': 3}", "'('"),
            ("{'descr': '<f8', 'fortran_order': True, 'shape': (-3,)}", "a dimension"),
            ("{'descr': '<f8', 'fortran_order': True, 'shape': (3.0,)}", "')'"),
            ("{'descr': '<f8', 'descr': '<f8'}", "twice"),
            ("{'colour': '<f8'}", "'colour'"),
            ("{'descr': '<f8", "no end"),
            ("{'descr': [('a'", "no end"),
            ("{'descr': '<f8', 'fortran_order': True, 'shape': (3,)} x", "follows"),
            ("{'descr': '<f8', 'fortran_order': True, 'shape': (99999999999999999999,)}", "64 bits"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn written_headers_are_4096_bytes_and_read_back() {
        for (extent, order, dims) in [
            (Extent::Vector(5), Order::C, vec![5]),
            (Extent::Table(Shape { nrows: usize::MAX, ncols: usize::MAX }), Order::F, vec![u64::MAX; 2]),
        ] {
            let bytes = header_bytes(extent, order);
            assert_eq!((&bytes[..8], bytes[4095]), (&b"\x93NUMPY\x01\x00"[..], b'\n'));
            assert_eq!(usize::from(u16::from_le_bytes([bytes[8], bytes[9]])) + 10, DATA_START);
            let dict = Dict::parse(&bytes[10..]).unwrap();
            assert_eq!((dict.shape, dict.fortran_order), (dims, order == Order::F));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Dict::parse(&text);
        }

        #[test]
        fn no_damage_makes_the_parser_panic(at in 0usize..60, byte: u8, cut in 0usize..60) {
            let mut text = *b"{'descr': [('a', '<f8')], 'fortran_order': True, 'shape': (3, 4), }";
            text[at] = byte;
            let _ = Dict::parse(&text);
            let _ = Dict::parse(&text[..cut]);
        }
    }
}
