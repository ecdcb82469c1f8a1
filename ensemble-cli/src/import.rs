//! Rows of text or of another layout, written once as tables that can be mapped.
//!
//! Everything streams: a block of rows is in memory at a time, whatever the file's size. The temporary files never have names, so
//! nobody else can read them and nothing is left behind, whatever ends the process.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
};

use ensemble::{
    Categories, Error, MAX_CLASSES, MatRef, Result, Table,
    file::{NewFile, WholeFile},
    memmap::{MappedTable, NpyWriter, SpillDir},
    quoted, quoted_list,
};

use crate::{
    text::{self, Text},
    text_file::TextFile,
};

/// What becomes of a column.
enum Role {
    Number,
    Category(HashMap<String, f64>),
    Target(Box<Role>),
    Aside(Box<Role>),
    Dropped,
}

impl Role {
    fn is_learned(&self) -> bool {
        matches!(self, Role::Number | Role::Category(_))
    }
}

/// A column that says where rows belong: neither learned from nor predicted.
#[derive(Clone, Copy)]
pub(crate) struct Aside<'a> {
    /// A file, or a column of the table.
    pub(crate) column: &'a str,
    /// What it says of a row: its `fold`, or its `group`.
    pub(crate) what: &'static str,
    /// Whether it may hold words, which are numbered in alphabetical order.
    pub(crate) words: bool,
}

/// The values of such a column, row by row: 8 bytes a row.
pub(crate) struct Beside {
    table: MappedTable,
    /// Words by the numbers that they have in the table.
    words: Vec<String>,
}

/// A word by its number, told from all numbers of cells, which are finite.
fn word_code(number: usize) -> f64 {
    f64::from_bits(f64::NAN.to_bits() + 1 + number as u64)
}

fn coded_word(value: f64) -> Option<usize> {
    value.is_nan().then(|| (value.to_bits() - f64::NAN.to_bits()) as usize - 1)
}

impl Beside {
    /// A file of one value per row, all numbers.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self { table: MappedTable::open_npy(path)?, words: Vec::new() })
    }

    /// The same under another name in messages.
    pub(crate) fn renamed(self, name: String) -> Self {
        Self { table: self.table.renamed(name), ..self }
    }

    /// What errors call it.
    pub(crate) fn name(&self) -> String {
        self.table.describe()
    }

    /// That it has one value for each of the rows of another table.
    pub(crate) fn check_shape(&self, rows: &dyn Table) -> Result<()> {
        let (mat, name) = (self.table.as_mat(), quoted(self.name()));
        if mat.ncols() != 1 {
            return Err(Error::shape(format!("columns of {name}"), 1, mat.ncols()));
        }
        let what = || format!("rows of {name}, to match {}", quoted(rows.describe()));
        let want = rows.as_mat().nrows();
        if mat.nrows() == want { Ok(()) } else { Err(Error::shape(what(), want, mat.nrows())) }
    }

    /// The values as numbers: as they are, or, when words are among them, all numbered in the alphabetical order of their texts.
    pub(crate) fn values(&self) -> Result<Cow<'_, [f64]>> {
        let values = self.table.as_mat().column(0);
        let values =
            values.ok_or_else(|| Error::format(self.name(), "is no column of neighbouring values"))?;
        let values = if self.words.is_empty() { Cow::Borrowed(values) } else { self.numbered(values).into() };
        self.table.check_unchanged()?;
        Ok(values)
    }

    fn numbered(&self, values: &[f64]) -> Vec<f64> {
        // Numbers among words are words too.
        let text = |bits: u64| match coded_word(f64::from_bits(bits)) {
            Some(word) => self.words[word].clone(),
            None => f64::from_bits(bits).to_string(),
        };
        let kinds: HashSet<u64> = values.iter().map(|value| value.to_bits()).collect();
        let mut texts: Vec<String> = kinds.iter().map(|bits| text(*bits)).collect();
        texts.sort_unstable();
        texts.dedup();
        let place = |bits: u64| texts.binary_search(&text(bits)).unwrap_or_default() as f64;
        let numbers: HashMap<u64, f64> = kinds.iter().map(|bits| (*bits, place(*bits))).collect();
        values.iter().map(|value| numbers[&value.to_bits()]).collect()
    }
}

/// An imported table.
pub(crate) struct Imported {
    pub(crate) x: MappedTable,
    pub(crate) y: Option<MappedTable>,
    pub(crate) beside: Option<Beside>,
    /// Bytes written.
    pub(crate) bytes: u64,
    pub(crate) names: Vec<String>,
    /// Categories of the columns of x, and of the target.
    pub(crate) categories: Categories,
}

/// Columns to leave out, to encode, and to predict.
pub(crate) struct Columns<'a> {
    pub(crate) drop: &'a [String],
    /// Column name, and its categories in order.
    pub(crate) ordinal: &'a [(String, Vec<String>)],
    pub(crate) target: Option<&'a str>,
    /// Classes of a target of words, in order.
    pub(crate) classes: Option<&'a [String]>,
    /// A column beside x and the target.
    pub(crate) aside: Option<Aside<'a>>,
    /// The columns a model was fitted on, in its order: these are taken by name, and any others left out.
    pub(crate) wanted: Option<&'a [String]>,
    /// Whether the first line of CSV names the columns; where nobody says, a first line of numbers is refused.
    pub(crate) header: Option<bool>,
}

/// The columns of a file by name, and by number where no column has that name.
pub(crate) struct Names<'a> {
    path: &'a Path,
    names: &'a [String],
    places: HashMap<&'a str, usize>,
    twice: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(path: &'a Path, names: &'a [String]) -> Self {
        let (mut places, mut twice) = (HashMap::with_capacity(names.len()), HashSet::new());
        for (at, name) in names.iter().enumerate() {
            if places.insert(name.as_str(), at).is_some() {
                twice.insert(name.as_str());
            }
        }
        Self { path, names, places, twice }
    }

    /// The column of this name.
    fn named(&self, name: &str) -> Result<Option<usize>> {
        if self.twice.contains(name) {
            return Err(self.called_twice(name));
        }
        Ok(self.places.get(name).copied())
    }

    fn called_twice(&self, name: &str) -> Error {
        let what = match name {
            "" => "several columns have no name; name them, or leave them out with --drop ''".into(),
            _ => format!(
                "two columns are called '{0}'; rename one, or leave both out with --drop '{0}'",
                quoted(name)
            ),
        };
        Error::format(self.path, what)
    }

    /// The column of this name, or of this number from 0.
    pub(crate) fn find(&self, wanted: &str) -> Result<usize> {
        if let Some(at) = self.named(wanted)? {
            return Ok(at);
        }
        let number = wanted.parse().ok().filter(|at| *at < self.names.len());
        number.ok_or_else(|| {
            let file = match Path::new(wanted).is_file() {
                true => " (there is a file of this name, and a file beside the table must end in .npy)",
                false => "",
            };
            let what = format!(
                "there is no column '{}'{file}; the columns are {}",
                quoted(wanted),
                quoted_list(self.names)
            );
            Error::format(self.path, what)
        })
    }

    /// All columns of this name, or the one of this number.
    fn find_all(&self, wanted: &str) -> Result<Vec<usize>> {
        if self.twice.contains(wanted) {
            return Ok((0..self.names.len()).filter(|at| self.names[*at] == wanted).collect());
        }
        self.find(wanted).map(|at| vec![at])
    }
}

impl Columns<'_> {
    /// What becomes of each column.
    fn roles(&self, names: &Names<'_>) -> Result<Vec<Role>> {
        let wanted: Option<HashSet<&str>> = self.wanted.map(|w| w.iter().map(String::as_str).collect());
        let codes = |categories: &[String]| {
            Role::Category(categories.iter().enumerate().map(|(code, c)| (c.clone(), code as f64)).collect())
        };
        let mut roles: Vec<Role> = names.names.iter().map(|_| Role::Number).collect();
        for (name, categories) in self.ordinal {
            // New rows need not hold what the model does not take, such as a target of categories.
            if wanted.as_ref().is_some_and(|wanted| !wanted.contains(name.as_str())) {
                continue;
            }
            roles[names.find(name)?] = codes(categories);
        }
        if wanted.is_none() {
            for name in self.drop {
                names.find_all(name)?.into_iter().for_each(|at| roles[at] = Role::Dropped);
            }
        }
        if let Some(target) = self.target {
            let at = names.find(target)?;
            let role = std::mem::replace(&mut roles[at], Role::Dropped);
            if matches!(role, Role::Dropped) {
                let what = format!("column '{}' is both the target and dropped", quoted(target));
                return Err(Error::format(names.path, what));
            }
            roles[at] = Role::Target(Box::new(self.classes.map_or(role, codes)));
        }
        if let Some(aside) = self.aside {
            let at = names.find(aside.column)?;
            let role = std::mem::replace(&mut roles[at], Role::Dropped);
            let other = match role {
                Role::Dropped => Some("dropped"),
                Role::Target(_) => Some("the target"),
                _ => None,
            };
            if let Some(other) = other {
                let column = quoted(aside.column);
                let what = format!("column '{column}' is both {other} and every row's {}", aside.what);
                return Err(Error::format(names.path, what));
            }
            roles[at] = Role::Aside(Box::new(role));
        }
        if let Some(wanted) = wanted {
            for name in self.wanted.unwrap_or_default() {
                if names.named(name)?.is_none() {
                    let what = format!(
                        "there is no column '{}', which the model was fitted on; the columns are {}",
                        quoted(name),
                        quoted_list(names.names)
                    );
                    return Err(Error::format(names.path, what));
                }
            }
            for (role, name) in roles.iter_mut().zip(names.names) {
                if !wanted.contains(name.as_str()) {
                    *role = Role::Dropped;
                }
            }
        }
        if !roles.iter().any(Role::is_learned) {
            return Err(Error::format(names.path, "no column is left to learn from"));
        }
        Ok(roles)
    }

    /// Categories of the columns of x, which are called `kept`, and of the target.
    fn categories(&self, names: &Names<'_>, kept: &[String]) -> Result<Categories> {
        let mut by_name: HashMap<&str, &Vec<String>> = HashMap::new();
        let mut target = None;
        let target_at = self.target.map(|t| names.find(t)).transpose()?;
        for (name, categories) in self.ordinal {
            // Those of columns that are not there were passed over.
            let Ok(at) = names.find(name) else { continue };
            by_name.insert(names.names[at].as_str(), categories);
            if target_at == Some(at) && self.classes.is_none() {
                target = Some(categories.clone());
            }
        }
        let columns = kept.iter().map(|name| by_name.get(name.as_str()).map(|c| (*c).clone())).collect();
        Ok(Categories { columns, target })
    }
}

/// Rows of text between two looks at whether the file is still what it was.
const ROWS_BETWEEN_CHECKS: u64 = 1 << 16;

/// Where an import is written: temporary files without names.
struct Sink {
    x: NpyWriter,
    y: Option<NpyWriter>,
    beside: Option<NpyWriter>,
    row: Vec<f64>,
}

impl Sink {
    fn new(spill: &Path, ncols: usize, columns: &Columns<'_>) -> Result<Self> {
        let x = NpyWriter::create_nameless(spill, ncols)?;
        let column = |wanted: bool| wanted.then(|| NpyWriter::create_nameless(spill, 1)).transpose();
        let (y, beside) = (column(columns.target.is_some())?, column(columns.aside.is_some())?);
        Ok(Self { x, y, beside, row: Vec::with_capacity(ncols) })
    }

    /// Write the row that `row` holds, its target and the value beside it.
    fn push(&mut self, target: Option<f64>, beside: Option<f64>) -> Result<()> {
        self.x.write_rows(&self.row)?;
        self.row.clear();
        for (column, value) in [(&mut self.y, target), (&mut self.beside, beside)] {
            if let (Some(column), Some(value)) = (column, value) {
                column.write_rows(&[value])?;
            }
        }
        Ok(())
    }

    fn finish(self, names: Vec<String>, categories: Categories, words: Words) -> Result<Imported> {
        let x = self.x.into_table()?;
        let y = self.y.map(NpyWriter::into_table).transpose()?;
        let beside = self.beside.map(NpyWriter::into_table).transpose()?;
        let tables = [Some(&x), y.as_ref(), beside.as_ref()].into_iter().flatten();
        let bytes = tables.map(|table| table.as_mat().shape().bytes()).sum();
        let beside = beside.map(|table| Beside { table, words: words.in_order() });
        Ok(Imported { x, y, beside, bytes, names, categories })
    }
}

/// Words that were met so far, and their numbers.
#[derive(Default)]
struct Words(HashMap<String, usize>);

impl Words {
    fn number(&mut self, word: &str) -> usize {
        let next = self.0.len();
        match self.0.get(word) {
            Some(number) => *number,
            None => *self.0.entry(word.to_owned()).or_insert(next),
        }
    }

    fn in_order(self) -> Vec<String> {
        let mut words: Vec<(String, usize)> = self.0.into_iter().collect();
        words.sort_unstable_by_key(|(_, number)| *number);
        words.into_iter().map(|(word, _)| word).collect()
    }
}

/// The words of a column, in order; `None` when all its cells are numbers. Reads the file once.
pub(crate) fn words(file: &TextFile, column: &str, header: Option<bool>) -> Result<Option<Vec<String>>> {
    file.unchanged(|| words_of(file, column, header))
}

fn words_of(file: &TextFile, column: &str, header: Option<bool>) -> Result<Option<Vec<String>>> {
    let path = file.path();
    let mut text = Text::open(path, file.rewound()?, header, None)?;
    let names = text.shared_names();
    // A column that is not there is told when its file is imported.
    let Ok(at) = Names::new(path, &names).find(column) else { return Ok(None) };
    let (mut words, mut numbers) = (BTreeSet::new(), true);
    while text.advance()? {
        let cell = text::trim(text.cell(at));
        let bad = |what: &str| text.bad_cell(at, what);
        if text::is_missing_word(cell) {
            return Err(bad("is a missing value, and no class; drop such rows first"));
        }
        let word = std::str::from_utf8(cell)
            .map_err(|_| bad("is not UTF-8; write the file again with that encoding"))?;
        numbers = numbers && fast_float2::parse::<f64, _>(word).is_ok();
        // Classes refuses so many; numbers may still all be different.
        if words.len() <= MAX_CLASSES && !words.contains(word) {
            words.insert(word.to_owned());
        }
    }
    Ok((!numbers).then(|| words.into_iter().collect()))
}

/// Import numeric CSV.
pub(crate) fn csv(file: &TextFile, columns: &Columns<'_>, spill: &Path) -> Result<Imported> {
    file.unchanged(|| import(file, columns, spill))
}

fn import(file: &TextFile, columns: &Columns<'_>, spill: &Path) -> Result<Imported> {
    let path = file.path();
    let mut text = Text::open(path, file.rewound()?, columns.header, columns.wanted)?;
    let names = text.shared_names();
    let by_name = Names::new(path, &names);
    let roles = columns.roles(&by_name)?;
    let learned = names.iter().zip(&roles).filter(|(_, r)| r.is_learned());
    let kept: Vec<String> = match columns.wanted {
        Some(wanted) => wanted.to_owned(),
        None => learned.map(|(n, _)| n.clone()).collect(),
    };
    let places: HashMap<&str, usize> = kept.iter().enumerate().map(|(at, n)| (n.as_str(), at)).collect();
    if let (None, true) = (columns.wanted, places.len() < kept.len()) {
        let twice =
            names.iter().zip(&roles).find(|(n, r)| r.is_learned() && by_name.twice.contains(n.as_str()));
        return Err(by_name.called_twice(twice.map_or("", |(n, _)| n)));
    }
    // Where each column of the file goes in a row.
    let places: Vec<Option<usize>> = (names.iter().zip(&roles))
        .map(|(n, role)| places.get(n.as_str()).copied().filter(|_| role.is_learned()))
        .collect();
    for (at, role) in roles.iter().enumerate() {
        if !matches!(role, Role::Dropped) {
            text.check_name(at)?;
        }
    }
    let mut sink = Sink::new(spill, kept.len(), columns)?;
    let (mut rows, mut words) = (0u64, Words::default());
    while text.advance()? {
        let (mut target, mut beside) = (None, None);
        sink.row.resize(kept.len(), 0.0);
        for (at, (role, place)) in roles.iter().zip(&places).enumerate() {
            match (role, place) {
                (Role::Target(role), _) => target = Some(value(&text, at, role, true)?),
                (Role::Aside(role), _) => {
                    beside = columns.aside.map(|a| place_of(&text, at, role, a, &mut words)).transpose()?;
                }
                (role, Some(place)) => sink.row[*place] = value(&text, at, role, false)?,
                (_, None) => {}
            }
        }
        sink.push(target, beside)?;
        rows += 1;
        if rows.is_multiple_of(ROWS_BETWEEN_CHECKS) {
            file.check_unchanged()?;
        }
    }
    if rows == 0 {
        return Err(Error::format(path, "has a header and no rows"));
    }
    let categories = columns.categories(&by_name, &kept)?;
    sink.finish(kept, categories, words)
}

/// Where the row at hand belongs: a number, or a word by its number.
fn place_of(text: &Text<'_>, at: usize, role: &Role, aside: Aside<'_>, words: &mut Words) -> Result<f64> {
    if matches!(role, Role::Category(_)) {
        return value(text, at, role, false);
    }
    let (cell, what) = (text::trim(text.cell(at)), aside.what);
    let bad = |why: String| Err(text.bad_cell(at, &why));
    if text::is_missing_word(cell) {
        return bad(format!(
            "is a missing value, and every row needs a {what}; fill it, or drop such rows first"
        ));
    }
    match (fast_float2::parse::<f64, _>(cell), std::str::from_utf8(cell)) {
        (Ok(number), _) if number.is_finite() && (aside.words || number.fract() == 0.0) => Ok(number),
        (_, Ok(word)) if aside.words => Ok(word_code(words.number(word))),
        (_, Err(_)) => bad("is not UTF-8; write the file again with that encoding".into()),
        _ => bad(format!("is no whole number, and a {what} is one")),
    }
}

/// The number that a cell of the row at hand stands for.
fn value(text: &Text<'_>, at: usize, role: &Role, is_target: bool) -> Result<f64> {
    let cell = text::trim(text.cell(at));
    let bad = |what: &str| Err(text.bad_cell(at, what));
    if text.names()[at].is_empty() {
        return bad(&format!("stands in a column without a name; name it, or leave it out with --drop {at}"));
    }
    match role {
        Role::Category(codes) => {
            let code = std::str::from_utf8(cell).ok().and_then(|c| codes.get(c));
            code.copied().map_or_else(
                || {
                    let mut known: Vec<(&String, &f64)> = codes.iter().collect();
                    known.sort_by(|a, b| a.1.total_cmp(b.1));
                    let known = quoted_list(known.into_iter().map(|(c, _)| c));
                    bad(&format!("is none of the column's categories, {known}"))
                },
                Ok,
            )
        }
        _ => match fast_float2::parse::<f64, _>(cell) {
            Ok(value) if value.is_finite() => Ok(value),
            _ => bad(&text::no_number(cell, &text.names()[at], is_target)),
        },
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
    let roles = columns.roles(&Names::new(path, &names))?;
    let kept: Vec<String> =
        names.iter().zip(&roles).filter(|(_, r)| matches!(r, Role::Number)).map(|(n, _)| n.clone()).collect();
    let mut sink = Sink::new(spill, kept.len(), columns)?;
    let mut values = vec![0.0; mat.ncols()];
    for row in 0..mat.nrows() {
        mat.copy_row_into(row, &mut values);
        let (mut target, mut beside) = (None, None);
        for (value, role) in values.iter().zip(&roles) {
            match role {
                Role::Dropped => {}
                Role::Target(_) => target = Some(*value),
                Role::Aside(_) => beside = Some(*value),
                _ => sink.row.push(*value),
            }
        }
        sink.push(target, beside)?;
    }
    table.check_unchanged()?;
    let categories = Categories { columns: vec![None; kept.len()], target: None };
    sink.finish(kept, categories, Words::default())
}

/// Write a matrix to a file as .npy.
pub(crate) fn fill_npy(file: NewFile, mat: MatRef<'_>) -> Result<WholeFile> {
    let mut writer = NpyWriter::create_in(file, mat.nrows(), mat.ncols())?;
    let mut row = vec![0.0; mat.ncols()];
    for r in 0..mat.nrows() {
        mat.copy_row_into(r, &mut row);
        writer.write_rows(&row)?;
    }
    writer.complete()
}

/// The first name that stands in a list before.
pub(crate) fn named_twice(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::with_capacity(names.len());
    names.iter().find(|name| !seen.insert(name.as_str()))
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
        return Err(Error::spec(text, format!("category '{}' is named twice", quoted(twice))));
    }
    Ok((name.trim().to_owned(), categories))
}

/// The folder for temporary files, refused now when there is none rather than when a fit first needs it.
pub(crate) fn spill_folder(given: Option<&PathBuf>) -> Result<PathBuf> {
    let folder = given.cloned().unwrap_or_else(|| SpillDir::temp().dir().into());
    if !folder.is_dir() {
        return Err(Error::format(
            folder,
            "is no folder, and temporary files go there; name one with --spill-dir",
        ));
    }
    Ok(folder)
}
