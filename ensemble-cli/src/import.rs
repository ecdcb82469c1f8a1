//! Rows of text or of another layout, written once as tables that can be mapped.
//!
//! Everything streams: a block of rows is in memory at a time, whatever the file's size. The temporary files lose their names
//! as soon as they are mapped, so nothing is left behind, whatever ends the process.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use ensemble::{
    Error, MAX_CLASSES, MatRef, Order, Result, Table,
    memmap::{MappedTable, NpyWriter},
};

/// What becomes of a column.
enum Role {
    Number,
    Category(HashMap<String, f64>),
    Target(Box<Role>),
    Dropped,
}

/// An imported table.
pub(crate) struct Imported {
    pub(crate) x: MappedTable,
    pub(crate) y: Option<MappedTable>,
    /// Bytes written.
    pub(crate) bytes: u64,
    pub(crate) names: Vec<String>,
}

/// Columns to leave out, to encode, and to predict.
pub(crate) struct Columns<'a> {
    pub(crate) drop: &'a [String],
    /// Column name, and its categories in order.
    pub(crate) ordinal: &'a [(String, Vec<String>)],
    pub(crate) target: Option<&'a str>,
    /// The columns a model was fitted on, in its order: these are taken by name, and any others left out.
    pub(crate) wanted: Option<&'a [String]>,
}

impl Columns<'_> {
    fn roles(&self, path: &Path, names: &[String]) -> Result<Vec<Role>> {
        let find = |wanted: &str| {
            names.iter().position(|n| n == wanted).ok_or_else(|| {
                Error::format(
                    path,
                    format!("there is no column '{wanted}'; the columns are {}", names.join(", ")),
                )
            })
        };
        let mut roles: Vec<Role> = names.iter().map(|_| Role::Number).collect();
        for (name, categories) in self.ordinal {
            // New rows need not hold what the model does not take, such as a target of categories.
            if self.wanted.is_some_and(|wanted| !wanted.contains(name)) {
                continue;
            }
            let map = categories.iter().enumerate().map(|(code, c)| (c.clone(), code as f64)).collect();
            roles[find(name)?] = Role::Category(map);
        }
        if self.wanted.is_none() {
            for name in self.drop {
                roles[find(name)?] = Role::Dropped;
            }
        }
        if let Some(target) = self.target {
            let at = find(target)?;
            let role = std::mem::replace(&mut roles[at], Role::Dropped);
            if matches!(role, Role::Dropped) {
                return Err(Error::format(path, format!("column '{target}' is both the target and dropped")));
            }
            roles[at] = Role::Target(Box::new(role));
        }
        if let Some(wanted) = self.wanted {
            wanted.iter().try_for_each(|name| find(name).map(|_| ()))?;
            for (role, name) in roles.iter_mut().zip(names) {
                if !wanted.contains(name) {
                    *role = Role::Dropped;
                }
            }
        }
        if !roles.iter().any(|r| matches!(r, Role::Number | Role::Category(_))) {
            return Err(Error::format(path, "no column is left to learn from"));
        }
        Ok(roles)
    }
}

/// Where an import is written: two files in a folder of its own, which is removed once they are mapped.
struct Sink {
    folder: tempfile::TempDir,
    x: NpyWriter,
    y: Option<NpyWriter>,
    row: Vec<f64>,
}

impl Sink {
    fn new(spill: &Path, ncols: usize, with_target: bool) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("ensemble-import-")
            .tempdir_in(spill)
            .map_err(|e| Error::io(spill, "make a folder in", e))?;
        let x = NpyWriter::create_growing(folder.path().join("x.npy"), ncols)?;
        let y =
            with_target.then(|| NpyWriter::create_growing_vector(folder.path().join("y.npy"))).transpose()?;
        Ok(Self { folder, x, y, row: Vec::with_capacity(ncols) })
    }

    /// Write the row that `row` holds, and its target.
    fn push(&mut self, target: Option<f64>) -> Result<()> {
        self.x.write_rows(&self.row)?;
        self.row.clear();
        match (&mut self.y, target) {
            (Some(y), Some(value)) => y.write_rows(&[value]),
            _ => Ok(()),
        }
    }

    fn finish(self, names: Vec<String>) -> Result<Imported> {
        let with_target = self.y.is_some();
        self.x.finish()?;
        self.y.map(NpyWriter::finish).transpose()?;
        let open = |name: &str| MappedTable::open_npy(self.folder.path().join(name));
        let x = open("x.npy")?;
        let y = with_target.then(|| open("y.npy")).transpose()?;
        let bytes = x.as_mat().shape().bytes() + y.as_ref().map_or(0, |y| y.as_mat().shape().bytes());
        Ok(Imported { x, y, bytes, names })
    }
}

fn names(path: &Path, reader: &mut csv::Reader<std::fs::File>) -> Result<Vec<String>> {
    let header = reader.headers().map_err(|e| csv_error(path, &e))?;
    Ok(header.iter().map(|n| n.trim().to_owned()).collect())
}

/// The words of a column, in order; `None` when all its cells are numbers. Reads the file once.
pub(crate) fn words(path: &Path, column: &str) -> Result<Option<Vec<String>>> {
    let mut reader = csv::Reader::from_path(path).map_err(|e| csv_error(path, &e))?;
    let names = names(path, &mut reader)?;
    let Some(at) = names.iter().position(|n| n == column) else { return Ok(None) };
    let (mut words, mut numbers) = (BTreeSet::new(), true);
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| csv_error(path, &e))? {
        let cell = record.get(at).unwrap_or_default().trim();
        if cell.is_empty() {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(Error::format(path, format!("line {line}: the target '{column}' is empty")));
        }
        numbers &= fast_float2::parse::<f64, _>(cell).is_ok();
        // Classes refuses so many; numbers may still all be different.
        if words.len() <= MAX_CLASSES && !words.contains(cell) {
            words.insert(cell.to_owned());
        }
    }
    Ok((!numbers).then(|| words.into_iter().collect()))
}

/// Import numeric CSV with a header.
pub(crate) fn csv(path: &Path, columns: &Columns<'_>, spill: &Path) -> Result<Imported> {
    let mut reader = csv::Reader::from_path(path).map_err(|e| csv_error(path, &e))?;
    let names = names(path, &mut reader)?;
    if names.is_empty() {
        return Err(Error::format(path, "is empty; its first line must name the columns"));
    }
    if let Some(twice) = named_twice(&names) {
        return Err(Error::format(path, format!("two columns are called '{twice}'")));
    }
    let roles = columns.roles(path, &names)?;
    let learned = names.iter().zip(&roles).filter(|(_, r)| matches!(r, Role::Number | Role::Category(_)));
    let kept: Vec<String> = match columns.wanted {
        Some(wanted) => wanted.to_owned(),
        None => learned.map(|(n, _)| n.clone()).collect(),
    };
    // Where each column of the file goes in a row.
    let places: Vec<Option<usize>> = names.iter().map(|n| kept.iter().position(|k| k == n)).collect();
    let mut sink = Sink::new(spill, kept.len(), columns.target.is_some())?;
    let mut record = csv::ByteRecord::new();
    let mut rows = 0u64;
    while reader.read_byte_record(&mut record).map_err(|e| csv_error(path, &e))? {
        let line = record.position().map_or(0, csv::Position::line);
        let mut target = None;
        sink.row.resize(kept.len(), 0.0);
        for ((cell, name), (role, place)) in record.iter().zip(&names).zip(roles.iter().zip(&places)) {
            match (role, place) {
                (Role::Target(role), _) => target = Some(value(path, line, name, cell, role)?),
                (role, Some(place)) => sink.row[*place] = value(path, line, name, cell, role)?,
                (_, None) => {}
            }
        }
        sink.push(target)?;
        rows += 1;
    }
    if rows == 0 {
        return Err(Error::format(path, "has a header and no rows"));
    }
    sink.finish(kept)
}

fn value(path: &Path, line: u64, name: &str, cell: &[u8], role: &Role) -> Result<f64> {
    let cell = cell.trim_ascii();
    let bad = |what: &str| {
        let text = String::from_utf8_lossy(cell);
        Error::format(path, format!("line {line}, column '{name}': '{text}' {what}"))
    };
    match role {
        Role::Category(codes) => {
            let code = std::str::from_utf8(cell).ok().and_then(|c| codes.get(c));
            code.copied().ok_or_else(|| bad("is none of the categories that --ordinal lists"))
        }
        _ if cell.is_empty() => Err(bad("is empty; fill it, or leave the column out with --drop")),
        _ => match fast_float2::parse::<f64, _>(cell) {
            Ok(value) if value.is_finite() => Ok(value),
            Ok(_) => Err(bad("is not finite; drop or fill such rows first")),
            Err(_) => Err(bad(&format!(
                "is not a number; encode the column with --ordinal '{name}=A<B<...' or leave it out with --drop {name}"
            ))),
        },
    }
}

fn csv_error(path: &Path, error: &csv::Error) -> Error {
    match error.kind() {
        csv::ErrorKind::Io(e) => Error::io(path, "open", std::io::Error::new(e.kind(), e.to_string())),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            Error::format(path, format!("line {line} has {len} cells where the header has {expected_len}"))
        }
        _ => Error::format(path, error.to_string()),
    }
}

/// Split a table whose target is one of its columns, or leave columns out: names are numbers from 0.
pub(crate) fn split(
    table: &MappedTable,
    path: &Path,
    columns: &Columns<'_>,
    spill: &Path,
) -> Result<Imported> {
    let mat = table.as_mat();
    if !columns.ordinal.is_empty() {
        return Err(Error::format(path, "--ordinal is for columns of text; this table holds numbers"));
    }
    let names: Vec<String> = (0..mat.ncols()).map(|j| j.to_string()).collect();
    let roles = columns.roles(path, &names)?;
    let kept: Vec<String> =
        names.iter().zip(&roles).filter(|(_, r)| matches!(r, Role::Number)).map(|(n, _)| n.clone()).collect();
    let mut sink = Sink::new(spill, kept.len(), columns.target.is_some())?;
    let mut values = vec![0.0; mat.ncols()];
    for row in 0..mat.nrows() {
        mat.copy_row_into(row, &mut values);
        let mut target = None;
        for (value, role) in values.iter().zip(&roles) {
            match role {
                Role::Dropped => {}
                Role::Target(_) => target = Some(*value),
                _ => sink.row.push(*value),
            }
        }
        sink.push(target)?;
    }
    sink.finish(kept)
}

/// Write a matrix beside `path`; it appears there as .npy when the writer is finished.
pub(crate) fn fill_npy(path: &Path, mat: MatRef<'_>) -> Result<NpyWriter> {
    let mut writer = NpyWriter::create(path, mat.nrows(), mat.ncols(), Order::C)?;
    let mut row = vec![0.0; mat.ncols()];
    for r in 0..mat.nrows() {
        mat.copy_row_into(r, &mut row);
        writer.write_rows(&row)?;
    }
    Ok(writer)
}

/// The first name that stands in a list before.
pub(crate) fn named_twice(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)).map(|(_, name)| name)
}

/// `"cut=Fair<Good<Ideal"` as a column and its categories.
pub(crate) fn parse_ordinal(text: &str) -> Result<(String, Vec<String>)> {
    let (name, rest) =
        text.split_once('=').ok_or_else(|| Error::spec(text, "--ordinal is written COLUMN=A<B<..."))?;
    let categories: Vec<String> = rest.split('<').map(|c| c.trim().to_owned()).collect();
    if categories.len() < 2 || categories.iter().any(String::is_empty) {
        return Err(Error::spec(text, "--ordinal names at least two categories, in order, joined by <"));
    }
    if let Some(twice) = named_twice(&categories) {
        return Err(Error::spec(text, format!("category '{twice}' is named twice")));
    }
    Ok((name.trim().to_owned(), categories))
}

/// The folder for temporary files, refused now when there is none rather than when a fit first needs it.
pub(crate) fn spill_folder(given: Option<&PathBuf>) -> Result<PathBuf> {
    let folder = given.cloned().unwrap_or_else(std::env::temp_dir);
    if !folder.is_dir() {
        return Err(Error::format(
            folder,
            "is no folder, and temporary files go there; name one with --spill-dir",
        ));
    }
    Ok(folder)
}
