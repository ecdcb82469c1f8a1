//! Tables of text: CSV record by record, and what is said of files and cells that are none.

use std::{
    cell::Cell,
    collections::VecDeque,
    fs::File,
    io::{self, Chain, Cursor, Read},
    path::Path,
    rc::Rc,
};

use ensemble::{Error, Result, quoted};

/// A longer record has a quote without an end, or is no text.
const LONGEST_RECORD: usize = 64 << 20;
/// The same of one cell.
const LONGEST_CELL: usize = 1 << 20;

/// Hands on a file, and no more of it between two records than a record may have.
struct Bounded<R> {
    inner: R,
    seen: Rc<Seen>,
}

/// What went by on the way to the reader.
#[derive(Default)]
struct Seen {
    /// Bytes handed on since the last record began.
    since: Cell<usize>,
    /// Whether the file's end was asked for: only a last record without a line end needs it.
    end: Cell<bool>,
    /// Whether lines end with a carriage return too; not known before the first end.
    returns: Cell<Option<bool>>,
    /// The last byte handed on.
    byte: Cell<u8>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.seen.since.get() > LONGEST_RECORD {
            return Err(io::Error::other("a record without an end"));
        }
        let n = self.inner.read(buffer)?;
        self.seen.since.set(self.seen.since.get() + n);
        self.seen.end.set(n == 0);
        if self.seen.returns.get().is_none()
            && let Some(at) = buffer[..n].iter().position(|b| *b == b'\n')
        {
            let before = if at > 0 { buffer[at - 1] } else { self.seen.byte.get() };
            self.seen.returns.set(Some(before == b'\r'));
        }
        self.seen.byte.set(buffer[..n].last().copied().unwrap_or_default());
        Ok(n)
    }
}

/// A record, and what tells the line in which it begins.
#[derive(Clone, Default)]
struct Row {
    record: csv::ByteRecord,
    /// The reader's line after it.
    after: u64,
    /// Whether it was followed by the end of the file.
    last: bool,
}

/// The first bytes, which were looked at, and the file behind them.
type Whole<'p> = Chain<Cursor<Vec<u8>>, &'p File>;

/// A CSV file, record by record.
pub(crate) struct Text<'p> {
    path: &'p Path,
    reader: csv::Reader<Bounded<Whole<'p>>>,
    seen: Rc<Seen>,
    /// Records that were read to see what the file is, and are rows.
    ahead: VecDeque<Row>,
    row: Row,
    /// The line in which the record before the one at hand ended.
    before: u64,
    names: Rc<[String]>,
    /// Columns whose names are not UTF-8.
    unreadable: Vec<usize>,
    /// What the first line is.
    first: &'static str,
}

impl<'p> Text<'p> {
    /// Read an open file from its start and learn the names of its columns. `header` says whether its first line has them; where nobody says, a first line
    /// of numbers is refused unless it holds the names that are `wanted`.
    pub(crate) fn open(
        path: &'p Path,
        file: &'p File,
        header: Option<bool>,
        wanted: Option<&[String]>,
    ) -> Result<Self> {
        let mut head = Vec::new();
        file.take(8).read_to_end(&mut head).map_err(|e| Error::io(path, "read", e))?;
        let binary = || {
            head.contains(&0)
                .then_some("has bytes of 0, as UTF-16 and binary files have; write it again as UTF-8")
        };
        if let Some(what) = foreign(&head).or_else(binary) {
            return Err(Error::format(path, what));
        }
        let seen = Rc::new(Seen::default());
        let whole = Cursor::new(head).chain(file);
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(Bounded { inner: whole, seen: Rc::clone(&seen) });
        let mut text = Self {
            path,
            reader,
            seen,
            ahead: VecDeque::new(),
            row: Row::default(),
            before: 0,
            names: Rc::default(),
            unreadable: Vec::new(),
            first: "header",
        };
        text.read_names(header, wanted)?;
        Ok(text)
    }

    fn read_names(&mut self, header: Option<bool>, wanted: Option<&[String]>) -> Result<()> {
        if !self.read()? {
            return Err(Error::format(self.path, "is empty; its first line must name the columns"));
        }
        let first_row = self.row.clone();
        let first = &first_row.record;
        self.before = self.last_line();
        if self.read()? {
            if let Some(separator) = other_separator(first, &self.row.record) {
                let line = self.line();
                return Err(Error::format(
                    self.path,
                    format!(
                        "its cells are separated by {separator}, as in line {line}, and commas are expected, with a point in numbers; write it again so"
                    ),
                ));
            }
            self.ahead.push_back(self.row.clone());
        }
        let names: Vec<String> = first.iter().map(|n| String::from_utf8_lossy(n).trim().to_owned()).collect();
        let is_header = header.unwrap_or_else(|| {
            !looks_like_a_row(first) || wanted.is_some_and(|wanted| wanted.iter().all(|w| names.contains(w)))
        });
        if header.is_none() && !is_header {
            let shown = quoted(first.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(","));
            return Err(Error::format(
                self.path,
                format!(
                    "its first line, '{shown}', holds numbers where the header's names are expected; say --header no if it is a row (columns are then called 0, 1, 2 and so on), or --header yes if these are names"
                ),
            ));
        }
        self.first = if is_header { "header" } else { "first row" };
        if is_header {
            self.unreadable =
                (0..first.len()).filter(|at| std::str::from_utf8(&first[*at]).is_err()).collect();
            self.names = names.into();
        } else {
            self.names = (0..first.len()).map(|at| at.to_string()).collect();
            self.ahead.push_front(first_row);
            self.before = 0;
        }
        Ok(())
    }

    /// Names of the columns; numbers from 0 in a file without a header.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The same names, to keep while rows are read.
    pub(crate) fn shared_names(&self) -> Rc<[String]> {
        Rc::clone(&self.names)
    }

    /// Refuse a name that the file holds in another encoding.
    pub(crate) fn check_name(&self, at: usize) -> Result<()> {
        if !self.unreadable.contains(&at) {
            return Ok(());
        }
        let what = format!(
            "the name of column {at} (from 0), '{}', is not UTF-8; write the file again with that encoding, or leave the column out with --drop {at}",
            quoted(&self.names[at])
        );
        Err(Error::format(self.path, what))
    }

    /// Go to the next row; false behind the last.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        match self.ahead.pop_front() {
            Some(row) => self.row = row,
            None if self.read()? => {}
            None => return Ok(false),
        }
        let (have, want) = (self.row.record.len(), self.names.len());
        if have == want {
            // Blank lines are passed over; in a table of one column they are cells.
            if want == 1 {
                let empty = self.before + 1;
                if self.line() > empty && self.before > 0 {
                    let what =
                        format!("line {empty} is empty, a missing value; fill it, or take the line out");
                    return Err(Error::format(self.path, what));
                }
                self.before = self.last_line();
            }
            return Ok(true);
        }
        let trailing =
            have == want + 1 && self.row.record.iter().next_back().is_some_and(|c| trim(c).is_empty());
        let why = match self.long_cell() {
            _ if trailing => format!(": it ends with a comma that the {} has not", self.first),
            Some(_) => ": is a quote not closed?".into(),
            None => String::new(),
        };
        let line = self.line();
        Err(Error::format(
            self.path,
            format!("line {line} has {have} cells where the {} has {want}{why}", self.first),
        ))
    }

    /// A cell of several lines: what a quote without an end makes.
    fn long_cell(&self) -> Option<&[u8]> {
        self.row.record.iter().find(|cell| cell.contains(&b'\n'))
    }

    fn read(&mut self) -> Result<bool> {
        // Of a line that ends with a carriage return the reader counts the rest with the next.
        let line = self.reader.position().line() + u64::from(self.before > 0 && self.has_returns());
        let endless = |what: String| {
            let what = format!("line {line}: {what}; is a quote not closed, or the file no CSV?");
            Error::format(self.path, what)
        };
        // What the reader holds beyond the record is at most its buffer.
        self.seen.since.set(0);
        let read = self.reader.read_byte_record(&mut self.row.record);
        (self.row.after, self.row.last) = (self.reader.position().line(), self.seen.end.get());
        match read {
            Err(_) if self.seen.since.get() > LONGEST_RECORD => Err(endless(format!(
                "the record that begins here has more than {} MiB",
                LONGEST_RECORD >> 20
            ))),
            Err(error) => Err(match error.into_kind() {
                csv::ErrorKind::Io(e) => Error::io(self.path, "read", e),
                kind => Error::format(self.path, format!("line {line}: {kind:?}")),
            }),
            Ok(more) => match self.row.record.iter().find(|cell| cell.len() > LONGEST_CELL) {
                Some(cell) => {
                    Err(endless(format!("a cell has {} bytes and begins '{}'", cell.len(), quoted(cell))))
                }
                None => Ok(more),
            },
        }
    }

    fn has_returns(&self) -> bool {
        self.seen.returns.get() == Some(true)
    }

    /// The line in which the row at hand ends, from 1: the reader's, less the one that a line feed began.
    fn last_line(&self) -> u64 {
        self.row.after - u64::from(!self.row.last && !self.has_returns() && self.row.after > 1)
    }

    /// The line in which the row at hand begins, from 1. The reader's own position would count blank lines before it, and line ends of
    /// two characters, with the record before.
    fn line(&self) -> u64 {
        let feeds = self.row.record.as_slice().iter().filter(|b| **b == b'\n').count();
        self.last_line() - feeds as u64
    }

    /// A cell of the row at hand, as it stands in the file.
    pub(crate) fn cell(&self, at: usize) -> &[u8] {
        self.row.record.get(at).unwrap_or_default()
    }

    /// That a cell of the row at hand cannot be used, and where it stands.
    pub(crate) fn bad_cell(&self, at: usize, what: &str) -> Error {
        let name = match self.names[at].as_str() {
            "" => format!("column {at} (from 0)"),
            name => format!("column '{}'", quoted(name)),
        };
        let cell = trim(self.cell(at));
        let again = self.row.record.iter().zip(self.names.iter()).all(|(c, n)| trim(c) == n.as_bytes());
        if again {
            let what = format!("line {} is the header again; take it out", self.line());
            return Error::format(self.path, what);
        }
        let lines = cell.iter().filter(|b| **b == b'\n').count();
        let what = match lines {
            0 => what.to_owned(),
            _ => format!("goes on over {} lines: is a quote not closed?", lines + 1),
        };
        let place = format!("line {}, {name}: '{}' {what}", self.line(), quoted(cell));
        Error::format(self.path, place)
    }
}

/// A cell without the blanks around it, those of Unicode too.
pub(crate) fn trim(cell: &[u8]) -> &[u8] {
    match std::str::from_utf8(cell) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => cell.trim_ascii(),
    }
}

/// What a file is that begins so and is no text of one byte a letter, with what to do about it.
pub(crate) fn foreign(head: &[u8]) -> Option<&'static str> {
    const TABLE: [(&[u8], &str); 13] = [
        (b"\xff\xfe", "is text in UTF-16; write it again as UTF-8"),
        (b"\xfe\xff", "is text in UTF-16; write it again as UTF-8"),
        (b"\x1f\x8b", "is compressed by gzip; unpack it first"),
        (b"BZh", "is compressed by bzip2; unpack it first"),
        (b"\xfd7zXZ\x00", "is compressed by xz; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "is compressed by zstd; unpack it first"),
        (
            b"PK\x03\x04",
            "is a zip archive, as .npz and .xlsx are; save the table by itself, with numpy.save as .npy or as .csv",
        ),
        (
            b"PAR1",
            "is Parquet, which is not read; write it as .csv, or its columns as float64 with numpy.save",
        ),
        (
            b"ARROW1",
            "is Arrow, which is not read; write it as .csv, or its columns as float64 with numpy.save",
        ),
        (
            b"FEA1",
            "is Feather, which is not read; write it as .csv, or its columns as float64 with numpy.save",
        ),
        (b"\x89HDF", "is HDF5, which is not read; write the table as float64 with numpy.save"),
        (b"\x93NUMPY", "is an .npy file by another name; call it .npy"),
        (b"ENSEMBLE", "is a model file, and a table is expected"),
    ];
    TABLE.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, what)| *what)
}

/// The separator that two records have more often than commas, and equally often.
fn other_separator(first: &csv::ByteRecord, second: &csv::ByteRecord) -> Option<&'static str> {
    let count = |record: &csv::ByteRecord, byte: u8| record.as_slice().iter().filter(|b| **b == byte).count();
    [(b';', "';'"), (b'\t', "tabs"), (b'|', "'|'"), (b' ', "blanks")].into_iter().find_map(|(byte, name)| {
        // Words of one cell have blanks between them too.
        let n = if byte == b' ' && first.len() > 1 { 0 } else { count(first, byte) };
        (n >= first.len() && n == count(second, byte)).then_some(name)
    })
}

/// Whether a first line is a row of numbers rather than names: all its cells are numbers, or half of them are and one has a fraction,
/// which no year and no count that names a column has.
fn looks_like_a_row(record: &csv::ByteRecord) -> bool {
    let numbers: Vec<f64> = record.iter().filter_map(|c| fast_float2::parse(trim(c)).ok()).collect();
    numbers.len() == record.len()
        || (2 * numbers.len() >= record.len() && numbers.iter().any(|n| n.fract() != 0.0))
}

/// Whether a word stands for a value that is not there, where words are classes: `none` and `-` are classes of some tables.
pub(crate) fn is_missing_word(cell: &[u8]) -> bool {
    const WORDS: [&str; 9] = ["", "nan", "na", "n/a", "#n/a", "null", "?", "\\n", "<na>"];
    WORDS.iter().any(|word| cell.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a cell stands for a value that is not there, where numbers are expected.
fn is_missing_number(cell: &[u8]) -> bool {
    const WORDS: [&str; 9] = ["none", "nil", "nat", "missing", "-", "--", ".", "-nan", "+nan"];
    is_missing_word(cell) || WORDS.iter().any(|word| cell.eq_ignore_ascii_case(word.as_bytes()))
}

/// Why a cell is no number that can be used, and what to do about it.
pub(crate) fn no_number(cell: &[u8], column: &str, is_target: bool) -> String {
    let column = quoted(column);
    if cell.is_empty() {
        return format!(
            "is empty, a missing value; fill it, or drop such rows, or leave the column out with --drop '{column}'"
        );
    }
    if is_missing_number(cell) {
        return format!(
            "is a missing value; fill it, or drop such rows, or leave the column out with --drop '{column}'"
        );
    }
    if fast_float2::parse::<f64, _>(cell).is_ok() {
        return "is not finite; drop or fill such rows first".into();
    }
    let Ok(text) = std::str::from_utf8(cell) else {
        return "is neither a number nor UTF-8; write the file again with that encoding, or leave the column out".into();
    };
    if text.contains('"') {
        return "has a quote inside, as after a blank behind the comma; write cells without blanks before quotes".into();
    }
    let digits = |t: &str| t.chars().filter(char::is_ascii_digit).count();
    let groups = [',', '.', '\'', '\u{2019}', '_', ' ', '\u{a0}', '\u{202f}', '\u{2009}'];
    let bare: String = text.chars().filter(|c| !groups.contains(c)).collect();
    if digits(&bare) > 0 && fast_float2::parse::<f64, _>(&bare).is_ok() {
        return "is written with a thousands separator or a decimal comma; write it with digits and a decimal point alone".into();
    }
    if digits(text) > 0 && !is_target {
        return format!(
            "is not a number; write dates, amounts and shares as plain numbers, encode ordered categories with --ordinal '{column}=A<B<...', or leave the column out with --drop '{column}'"
        );
    }
    if is_target {
        return format!(
            "is not a number, and the learner predicts numbers: choose a classifier to predict words, or give their order with --ordinal '{column}=A<B<...'"
        );
    }
    format!(
        "is not a number; encode the column with --ordinal '{column}=A<B<...' or leave it out with --drop '{column}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_are_no_numbers_are_told_apart() {
        for (cell, said) in [
            ("", "empty"),
            ("NA", "missing"),
            ("?", "missing"),
            ("\\N", "missing"),
            ("NaN", "missing"),
            ("-", "missing"),
            ("inf", "not finite"),
            ("-Infinity", "not finite"),
            ("1e999", "not finite"),
            ("1,049.34", "thousands separator"),
            ("1.049.340", "thousands separator"),
            ("1 049", "thousands separator"),
            ("1\u{a0}049,5", "decimal comma"),
            ("1'049", "thousands separator"),
            ("\"2\"", "quote"),
            ("red", "--ordinal"),
            ("12 kg", "--ordinal"),
        ] {
            let text = no_number(cell.as_bytes(), "c", false);
            assert!(text.contains(said), "{cell}: {text}");
            assert_eq!(text.contains("--ordinal"), said == "--ordinal", "{cell}: {text}");
        }
        assert!(no_number(b"red", "c", true).contains("a classifier"));
        assert!(no_number(b"gr\xfcn", "c", false).contains("UTF-8"));
    }

    #[test]
    fn rows_are_told_from_names() {
        for (line, row) in [
            ("1,2,3", true),
            ("5.1,3.5,1.4,0.2,setosa", true),
            ("country,2019,2020,2021", false),
            ("a,b", false),
            ("a,1.5,b", false),
            ("1.5,,2.5", true),
        ] {
            assert_eq!(
                looks_like_a_row(&csv::ByteRecord::from(line.split(',').collect::<Vec<_>>())),
                row,
                "{line}"
            );
        }
    }
}
