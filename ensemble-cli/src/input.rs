//! Opening tables and targets.

use std::{collections::HashMap, fs::File, io::Read, path::Path};

use ensemble::{
    Categories, Classes, Error, ErrorKind, FittedEnsemble, Label, Result, Table, memmap::MappedTable, quoted,
};

use crate::{
    arguments::{Header, Source},
    import::{self, Aside, Beside, Columns},
    output,
    scheme::Split,
    spec::Spec,
    text,
    text_file::TextFile,
};

/// A table ready to learn from, or to predict.
pub(crate) struct Input {
    pub(crate) x: MappedTable,
    pub(crate) y: Option<MappedTable>,
    /// Folds or groups of the rows, when they are asked for.
    pub(crate) beside: Option<Beside>,
    /// Bytes that an import wrote to temporary files.
    pub(crate) imported_bytes: u64,
    /// Names of the columns of x; numbers where the file has none.
    pub(crate) names: Vec<String>,
    /// Whether the file names its columns.
    pub(crate) named: bool,
    /// What numbers of x and the target stand for, in a file of text.
    pub(crate) categories: Option<Categories>,
    /// Classes of a target of words, which `y` holds by number.
    pub(crate) classes: Option<Classes>,
}

impl Input {
    /// Refuse results of files that changed while they were read.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        self.tables().try_for_each(Table::check_unchanged)
    }

    /// Say of which files the paths name others by now: the result is of those that were opened, which nobody wrote to.
    pub(crate) fn note_replaced(&self) {
        let is_other = |error: Error| matches!(error.kind(), ErrorKind::Format { .. });
        for table in self.tables().filter(|table| table.check_path().is_err_and(is_other)) {
            output::note(format_args!(
                "{}: another file took this path meanwhile; the result is of the one that was opened",
                quoted(table.describe())
            ));
        }
    }

    fn tables(&self) -> impl Iterator<Item = &MappedTable> {
        [Some(&self.x), self.y.as_ref()].into_iter().flatten()
    }
}

/// How a table's file is read, by its ending and its first bytes.
enum Layout {
    Csv,
    Npy,
    Raw,
}

/// The table's file, if it is text.
fn text_file(source: &Source) -> Result<Option<TextFile>> {
    match layout(source)? {
        Layout::Csv => {
            let spill = import::spill_folder(source.spill_dir.as_ref())?;
            TextFile::open(&source.table, &spill).map(Some)
        }
        Layout::Npy | Layout::Raw => Ok(None),
    }
}

fn layout(source: &Source) -> Result<Layout> {
    let path = source.table.as_path();
    match (output::ends_in(path, "csv"), &source.raw_shape) {
        (true, None) => return Ok(Layout::Csv),
        (true, Some(_)) => {
            return Err(Error::format(path, "--raw-shape is for raw float64 files, and this name says CSV"));
        }
        (false, Some(_)) => return Ok(Layout::Raw),
        (false, None) if output::ends_in(path, "npy") => return Ok(Layout::Npy),
        (false, None) => {}
    }
    let mut head = Vec::new();
    // What cannot be read, or only once, is left to those who open it.
    let is_file = path.metadata().is_ok_and(|m| m.is_file());
    let read = is_file && File::open(path).and_then(|f| f.take(8).read_to_end(&mut head)).is_ok();
    if !read || head.starts_with(b"\x93NUMPY") {
        return Ok(Layout::Npy);
    }
    let what = text::foreign(&head).map_or_else(
        || {
            let separated = ["tsv", "tab", "txt", "psv", "dat"].iter().any(|e| output::ends_in(path, e));
            let text = if separated { "write its cells separated by commas and call it .csv, " } else { "" };
            format!(
                "this is not a .npy file, and its ending is not .csv: {text}write it with numpy.save as .npy, or say --raw-shape ROWSxCOLS for raw float64"
            )
        },
        |what| format!("{what}; tables are .npy, .csv, or raw float64 with --raw-shape"),
    );
    Err(Error::format(path, what))
}

/// Whether a target, or what stands beside it, is a file of its own.
pub(crate) fn is_file(column: &str) -> bool {
    output::ends_in(Path::new(column), "npy")
}

/// What columns of a table are, beside those that are learned from.
#[derive(Clone, Copy, Default)]
struct Roles<'a> {
    target: Option<&'a str>,
    /// Classes of a target of words.
    classes: Option<&'a [String]>,
    aside: Option<Aside<'a>>,
    /// Left out as those are that the user drops.
    unused: &'a [String],
    /// What a model was fitted on.
    wanted: Option<&'a [String]>,
}

fn raw_shape(text: &str) -> Result<(usize, usize)> {
    let parse = |t: &str| t.trim().parse::<usize>().ok().filter(|n| *n > 0);
    text.split_once('x')
        .and_then(|(r, c)| Some((parse(r)?, parse(c)?)))
        .ok_or_else(|| Error::spec(text, "--raw-shape is written ROWSxCOLS, as in 1000000x50"))
}

/// `"a<b"` as an option says it.
fn in_order(categories: &[String]) -> String {
    quoted(categories.join("<"))
}

/// Refuse categories of new rows that are not those of the fit: their numbers would mean something else.
fn check_categories(
    model: &FittedEnsemble,
    known: &Categories,
    target: Option<&str>,
    given: &[(String, Vec<String>)],
) -> Result<()> {
    let numbers: Vec<String>;
    let names = match model.feature_names() {
        Some(names) => names,
        None => {
            numbers = (0..model.ncols()).map(|j| j.to_string()).collect();
            &numbers
        }
    };
    let places: HashMap<&str, usize> = names.iter().enumerate().map(|(j, n)| (n.as_str(), j)).collect();
    for (column, categories) in given {
        let fitted = match places.get(column.as_str()) {
            Some(at) => known.columns[*at].as_ref(),
            None if target == Some(column) && known.target.is_some() => known.target.as_ref(),
            // A column that the model does not read.
            None => continue,
        };
        let is = match fitted {
            Some(fitted) if fitted == categories => continue,
            Some(fitted) => in_order(fitted),
            None => "numbers".into(),
        };
        let column = quoted(column);
        return Err(Error::unsupported(format!(
            "column '{column}': the model was fitted on {is}, and these rows would be read as {}; leave the categories of '{column}' out, the model knows its own",
            in_order(categories)
        )));
    }
    Ok(())
}

/// Open a table to predict. A CSV file's columns are matched by name with those the model was fitted on, when it knows them, and their
/// categories are the model's.
pub(crate) fn open_to_predict(
    source: &Source,
    target: Option<&str>,
    model: &FittedEnsemble,
    spec: &Spec,
) -> Result<Input> {
    let mut source = source.clone();
    source.drop.extend(target.map(String::from));
    let Some(text) = text_file(&source)? else { return open(&source, &Spec::default()) };
    let given = ordinals(&source, spec)?;
    let ordinal = match model.categories() {
        None => given,
        Some(known) => {
            check_categories(model, known, target.or(spec.target.as_deref()), &given)?;
            let name = |at: usize| model.feature_names().map_or_else(|| at.to_string(), |n| n[at].clone());
            let columns = known.columns.iter().enumerate();
            columns.filter_map(|(at, c)| Some((name(at), c.clone()?))).collect()
        }
    };
    let roles = Roles { wanted: model.feature_names(), ..Roles::default() };
    open_columns(&source, Some(&text), &roles, &ordinal, spec)
}

/// Open a table as it is.
pub(crate) fn open(source: &Source, spec: &Spec) -> Result<Input> {
    let text = text_file(source)?;
    open_columns(source, text.as_ref(), &Roles::default(), &ordinals(source, spec)?, spec)
}

/// The categories that file and options name.
fn ordinals(source: &Source, spec: &Spec) -> Result<Vec<(String, Vec<String>)>> {
    let mut all = spec.ordinals();
    for text in &source.ordinal {
        all.push(import::parse_ordinal(text)?);
    }
    Ok(all)
}

/// Open a table, what is to be predicted, and what its scheme needs of every row. A target of words is numbered, in alphabetical order,
/// for learners that classify.
pub(crate) fn open_to_fit(
    source: &Source,
    target: &str,
    classifies: bool,
    split: &Split,
    spec: &Spec,
) -> Result<Input> {
    let ordinal = ordinals(source, spec)?;
    let listed = ordinal.iter().any(|(column, _)| column == target);
    let text = text_file(source)?;
    let words = match &text {
        Some(text) if classifies && !is_file(target) && !listed => {
            import::words(text, target, header(source, spec))?
        }
        _ => None,
    };
    let classes = match &words {
        Some(words) => Some(Classes::new(words.iter().cloned().map(Label::Text))?),
        None => None,
    };
    let roles = Roles {
        target: Some(target),
        classes: words.as_deref(),
        aside: split.aside(),
        unused: &split.unused,
        wanted: None,
    };
    let input = open_columns(source, text.as_ref(), &roles, &ordinal, spec)?;
    if let Some(beside) = &input.beside {
        beside.check_shape(&input.x)?;
    }
    Ok(Input { classes, ..input })
}

fn header(source: &Source, spec: &Spec) -> Option<bool> {
    source.header.map(|h| matches!(h, Header::Yes)).or(spec.header)
}

fn open_columns(
    source: &Source,
    text: Option<&TextFile>,
    roles: &Roles<'_>,
    ordinal: &[(String, Vec<String>)],
    spec: &Spec,
) -> Result<Input> {
    let path = source.table.as_path();
    let mut drop: Vec<String> = spec.drop.clone();
    drop.extend(source.drop.iter().chain(roles.unused).cloned());
    // A target that is a file is opened; any other is a column of the table.
    let target_file = roles.target.filter(|t| is_file(t)).map(Path::new);
    let file_beside = roles.aside.map(|a| a.column).filter(|column| is_file(column)).map(Path::new);
    let columns = Columns {
        drop: &drop,
        ordinal,
        target: if target_file.is_some() { None } else { roles.target },
        classes: roles.classes,
        aside: if file_beside.is_some() { None } else { roles.aside },
        wanted: roles.wanted,
        header: header(source, spec),
    };
    let spill = import::spill_folder(source.spill_dir.as_ref())?;
    let y_file = target_file.map(MappedTable::open_npy).transpose()?;
    let beside = file_beside.map(Beside::open).transpose()?;
    let named = text.is_some();
    let imported = match text {
        Some(text) => import::csv(text, &columns, &spill)?,
        None => {
            let table = match &source.raw_shape {
                Some(shape) => {
                    let (nrows, ncols) = raw_shape(shape)?;
                    MappedTable::open_raw(path, nrows, ncols, source.raw_order.into())?
                }
                None => MappedTable::open_npy(path)?,
            };
            if columns.target.is_none() && columns.aside.is_none() && drop.is_empty() && ordinal.is_empty() {
                let ncols = table.as_mat().ncols();
                return Ok(Input {
                    x: table,
                    y: y_file,
                    beside,
                    imported_bytes: 0,
                    names: (0..ncols).map(|j| j.to_string()).collect(),
                    named,
                    categories: None,
                    classes: None,
                });
            }
            import::split(&table, path, &columns, &spill)?
        }
    };
    let in_column = |column: &str| format!("{}, column '{}'", path.display(), quoted(column));
    let of_target = |y: MappedTable| y.renamed(in_column(columns.target.unwrap_or_default()));
    let of_aside = |b: Beside| b.renamed(in_column(columns.aside.map_or("", |aside| aside.column)));
    Ok(Input {
        x: imported.x.renamed(path.display().to_string()),
        y: imported.y.map(of_target).or(y_file),
        beside: imported.beside.map(of_aside).or(beside),
        imported_bytes: imported.bytes,
        names: imported.names,
        named,
        categories: named.then_some(imported.categories),
        classes: None,
    })
}
