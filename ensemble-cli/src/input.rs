//! Opening tables and targets.

use std::path::Path;

use ensemble::{Classes, Error, FittedEnsemble, Label, Result, Table, memmap::MappedTable};

use crate::{
    arguments::Source,
    import::{self, Columns},
    spec::Spec,
};

/// A table ready to learn from, or to predict.
pub(crate) struct Input {
    pub(crate) x: MappedTable,
    pub(crate) y: Option<MappedTable>,
    /// Bytes that an import wrote to temporary files.
    pub(crate) imported_bytes: u64,
    /// Names of the columns of x; numbers where the file has none.
    pub(crate) names: Vec<String>,
    /// Whether the file names its columns.
    pub(crate) named: bool,
    /// Classes of a target of words, which `y` holds by number.
    pub(crate) classes: Option<Classes>,
}

impl Input {
    /// Refuse results of files that changed while they were read.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        self.x.check_unchanged()?;
        self.y.as_ref().map_or(Ok(()), MappedTable::check_unchanged)
    }
}

fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"))
}

fn is_npy(target: &str) -> bool {
    Path::new(target).extension().is_some_and(|e| e == "npy")
}

fn raw_shape(text: &str) -> Result<(usize, usize)> {
    let parse = |t: &str| t.trim().parse::<usize>().ok().filter(|n| *n > 0);
    text.split_once('x')
        .and_then(|(r, c)| Some((parse(r)?, parse(c)?)))
        .ok_or_else(|| Error::spec(text, "--raw-shape is written ROWSxCOLS, as in 1000000x50"))
}

/// Open a table to predict. A CSV file's columns are matched by name with those the model was fitted on, when it knows them.
pub(crate) fn open_to_predict(source: &Source, model: &FittedEnsemble, spec: &Spec) -> Result<Input> {
    if is_csv(&source.table) {
        open_columns(source, None, spec.ordinals(), spec, model.feature_names())
    } else {
        open(source, &Spec::default())
    }
}

/// Open a table as it is.
pub(crate) fn open(source: &Source, spec: &Spec) -> Result<Input> {
    open_columns(source, None, spec.ordinals(), spec, None)
}

/// Open a table and what is to be predicted. A target of words is numbered, in alphabetical order, for learners that classify.
pub(crate) fn open_to_fit(source: &Source, target: &str, classifies: bool, spec: &Spec) -> Result<Input> {
    let listed = || {
        let option = |text: &String| text.split('=').next().is_some_and(|name| name.trim() == target);
        source.ordinal.iter().any(option) || spec.ordinals().iter().any(|(column, _)| column == target)
    };
    let words = match classifies && is_csv(&source.table) && !is_npy(target) && !listed() {
        true => import::words(&source.table, target)?,
        false => None,
    };
    let mut ordinal = spec.ordinals();
    let classes = match words {
        Some(words) => {
            ordinal.push((target.into(), words.clone()));
            Some(Classes::new(words.into_iter().map(Label::Text))?)
        }
        None => None,
    };
    Ok(Input { classes, ..open_columns(source, Some(target), ordinal, spec, None)? })
}

fn open_columns(
    source: &Source,
    target: Option<&str>,
    mut ordinal: Vec<(String, Vec<String>)>,
    spec: &Spec,
    wanted: Option<&[String]>,
) -> Result<Input> {
    let path = source.table.as_path();
    for text in &source.ordinal {
        ordinal.push(import::parse_ordinal(text)?);
    }
    let mut drop: Vec<String> = spec.drop.clone();
    drop.extend(source.drop.iter().cloned());
    // A target that is a file is opened; any other is a column of the table.
    let target_file = target.filter(|t| is_npy(t)).map(Path::new);
    let columns = Columns {
        drop: &drop,
        ordinal: &ordinal,
        target: if target_file.is_some() { None } else { target },
        wanted,
    };
    let spill = import::spill_folder(source.spill_dir.as_ref())?;
    if is_csv(path) && source.raw_shape.is_some() {
        return Err(Error::format(path, "--raw-shape is for raw float64 files, and this name says CSV"));
    }
    let y_file = target_file.map(MappedTable::open_npy).transpose()?;
    let imported = if is_csv(path) {
        import::csv(path, &columns, &spill)?
    } else {
        let table = match &source.raw_shape {
            Some(shape) => {
                let (nrows, ncols) = raw_shape(shape)?;
                MappedTable::open_raw(path, nrows, ncols, source.raw_order.into())?
            }
            None => MappedTable::open_npy(path)?,
        };
        if columns.target.is_none() && drop.is_empty() && ordinal.is_empty() {
            let names = (0..table.as_mat().ncols()).map(|j| j.to_string()).collect();
            return Ok(Input { x: table, y: y_file, imported_bytes: 0, names, named: false, classes: None });
        }
        import::split(&table, path, &columns, &spill)?
    };
    Ok(Input {
        x: imported.x.renamed(path.display().to_string()),
        y: imported.y.or(y_file),
        imported_bytes: imported.bytes,
        names: imported.names,
        named: is_csv(path),
        classes: None,
    })
}
