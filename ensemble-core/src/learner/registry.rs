//! Learners and transformers by name: what the program, specs and saved models use.
//!
//! A pipeline is written `KIND[:param=value,...]`, joined by ` | `, the learner last:
//! `native.standard_scaler | native.lasso:alpha=0.1,max_iter=100000`.

use std::{
    any::Any,
    collections::BTreeMap,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crate::{
    data::{
        rows::Rows,
        table::{Table, TableReference},
    },
    error::{Error, ErrorKind, Result, guarded},
    learner::{
        estimator::{Estimator, FittedTransform, Transformer},
        kept::{KeptRows, Place},
        kit::classes::ConstantModel,
        kit::norm::RowScaler,
        model::{LinearModel, Model},
        pipeline::{Pipeline, PipelineModel, load_affine},
    },
    persist::record::Record,
    quote::{quoted, quoted_list},
};

/// A parameter of a learner, as lists and error messages show it.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name, scikit-learn's where that has one.
    pub name: &'static str,
    /// Its default.
    pub default: &'static str,
    /// What it does, in a clause.
    pub meaning: &'static str,
    /// Other names it is read by: the backend's own.
    pub aliases: &'static [&'static str],
}

impl Parameter {
    /// A parameter with one name.
    pub const fn new(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self { name, default, meaning, aliases: &[] }
    }

    /// Read by these names too.
    #[must_use]
    pub const fn or(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }
}

/// A learner or a transformer, made from parameters.
#[derive(Clone, Debug)]
pub enum Built {
    /// Something that predicts.
    Learner(Arc<dyn Estimator>),
    /// Something that transforms rows.
    Transformer(Arc<dyn Transformer>),
}

/// How a kind is made.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Backend, a dot, and the type's name in snake case.
    pub name: &'static str,
    /// The library behind it, and its version.
    pub backend: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// Makes it; unknown parameters have been refused before.
    pub build: fn(&Params) -> Result<Built>,
}

/// What a record loads as.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// A fitted model.
    Model(Arc<dyn Model>),
    /// A fitted transformer.
    Transform(Arc<dyn FittedTransform>),
}

/// Reads one kind of record.
pub type Loader = fn(&Record, &Registry) -> Result<Loaded>;

/// Opens a table that a saved model names, and makes sure that its values are what they were.
pub type TableOpener = fn(&TableReference) -> Result<Arc<dyn Table>>;

/// The kinds that compiled-in backends offer.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Kind>,
    loaders: BTreeMap<&'static str, Loader>,
    opener: Option<TableOpener>,
    alive: Arc<Mutex<Alive>>,
}

/// What loaded models hold together, as long as one of them does.
#[derive(Default)]
struct Alive {
    tables: Vec<(TableReference, Weak<dyn Table>)>,
    indexes: Vec<(IndexKey, Weak<dyn Any + Send + Sync>)>,
}

/// What an index is over, and of which kind and parameters.
#[derive(PartialEq)]
struct IndexKey {
    place: [Place; 2],
    rows: Rows,
    kind: String,
}

/// Parameters of one kind, as written.
#[derive(Clone, Debug, Default)]
pub struct Params {
    kind: String,
    values: BTreeMap<String, String>,
}

impl Params {
    /// What stands behind the colon of `NAME[:param=value,...]`, of a kind that has these parameters.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownParameter`]; [`ErrorKind::Spec`] for what is no pair, and for a parameter that is given twice.
    pub fn parse(kind: &str, known: &[Parameter], text: &str) -> Result<Self> {
        let rest = text.split_once(':').map_or("", |(_, rest)| rest);
        let mut params = Self { kind: kind.into(), values: BTreeMap::new() };
        for pair in rest.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Error::spec(pair, format!("a parameter of {kind} is written name=value")))?;
            let (key, value) = (key.trim(), value.trim());
            let parameter = known.iter().find(|p| p.name == key || p.aliases.contains(&key));
            let Some(parameter) = parameter else {
                let known = known.iter().map(|p| p.name.into()).collect();
                return Err(ErrorKind::UnknownParameter { kind: kind.into(), name: key.into(), known }.into());
            };
            if params.values.insert(parameter.name.into(), value.into()).is_some() {
                return Err(Error::spec(text, format!("{} is given twice", parameter.name)));
            }
        }
        Ok(params)
    }

    /// The kind they are of.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The value of `name`, or `default`.
    ///
    /// # Errors
    /// [`ErrorKind::Parameter`] when the text is not of the type; `want` says what it should be.
    pub fn get<T: FromStr>(&self, name: &str, default: T, want: &str) -> Result<T> {
        match self.values.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Error::parameter(&self.kind, name, text, want)),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// As [`Params::get`]; NaN is no number.
    pub fn number(&self, name: &str, default: f64) -> Result<f64> {
        let value = self.get(name, default, "a number")?;
        if value.is_nan() { Err(Error::parameter(&self.kind, name, value, "a number")) } else { Ok(value) }
    }

    /// A count.
    ///
    /// # Errors
    /// As [`Params::get`].
    pub fn count(&self, name: &str, default: usize) -> Result<usize> {
        self.get(name, default, "a whole number, 0 or more")
    }

    /// A truth value: `true` or `false`, in either Python's or Rust's spelling.
    ///
    /// # Errors
    /// As [`Params::get`].
    pub fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.values.get(name).map(String::as_str) {
            None => Ok(default),
            Some("true" | "True" | "1") => Ok(true),
            Some("false" | "False" | "0") => Ok(false),
            Some(text) => Err(Error::parameter(&self.kind, name, text, "true or false")),
        }
    }

    /// Whether the parameter was written at all.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A number, or nothing for `none` in any spelling: bounds that may be off.
    ///
    /// # Errors
    /// As [`Params::get`].
    pub fn count_or_none(&self, name: &str, default: Option<usize>) -> Result<Option<usize>> {
        match self.values.get(name).map(String::as_str) {
            Some("none" | "None") => Ok(None),
            None => Ok(default),
            Some(_) => self.get(name, 0, "a whole number, 0 or more, or none").map(Some),
        }
    }

    /// A word.
    pub fn word<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.values.get(name).map_or(default, String::as_str)
    }
}

impl Registry {
    /// A registry that loads what core itself saves, and makes nothing yet.
    pub fn new() -> Self {
        let mut registry = Self::default();
        registry.add_loader(LinearModel::RECORD, |r, _| {
            Ok(Loaded::Model(Arc::new(LinearModel::from_record(r)?)))
        });
        registry.add_loader(ConstantModel::RECORD, |r, _| {
            Ok(Loaded::Model(Arc::new(ConstantModel::from_record(r)?)))
        });
        registry.add_loader(PipelineModel::RECORD, |r, registry| {
            Ok(Loaded::Model(Arc::new(PipelineModel::from_record(r, registry)?)))
        });
        registry.add_loader(RowScaler::RECORD, |r, _| {
            Ok(Loaded::Transform(Arc::new(RowScaler::from_record(r)?)))
        });
        registry.add_loader(crate::learner::pipeline::AFFINE_RECORD, |r, _| {
            Ok(Loaded::Transform(Arc::new(load_affine(r)?)))
        });
        registry
    }

    /// Offer a kind.
    pub fn add_kind(&mut self, kind: Kind) {
        self.kinds.insert(kind.name, kind);
    }

    /// Offer a loader for records of `kind`.
    pub fn add_loader(&mut self, kind: &'static str, loader: Loader) {
        self.loaders.insert(kind, loader);
    }

    /// The kinds, by name.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.values()
    }

    /// The kind of this name: in any case of letters, and without its backend where only one backend has it.
    fn find(&self, name: &str) -> Result<&Kind> {
        let lower = name.to_lowercase();
        if let Some(kind) = self.kinds.get(lower.as_str()) {
            return Ok(kind);
        }
        let own = |kind: &str| kind.split_once('.').is_some_and(|(_, own)| own == lower);
        let mut named = self.kinds.values().filter(|k| own(k.name));
        match (named.next(), named.next()) {
            (Some(kind), None) => Ok(kind),
            (Some(first), Some(second)) => {
                let all = [first, second].into_iter().chain(named).map(|k| k.name);
                let reason = format!("several backends have it; name one of {}", quoted_list(all));
                Err(Error::spec(name, reason))
            }
            (None, _) => Err(ErrorKind::UnknownKind {
                kind: name.into(),
                known: self.kinds.keys().map(|k| (*k).into()).collect(),
            }
            .into()),
        }
    }

    /// Make what `KIND[:param=value,...]` says. A kind that only one backend has may be written without it.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownKind`], [`ErrorKind::UnknownParameter`], [`ErrorKind::Parameter`] or [`ErrorKind::Spec`].
    pub fn build(&self, text: &str) -> Result<Built> {
        let text = text.trim();
        let name = text.split_once(':').map_or(text, |(name, _)| name);
        let kind = self.find(name.trim())?;
        let params = Params::parse(kind.name, kind.parameters, text)?;
        guarded(|| (kind.build)(&params))
    }

    /// Make the learner that a pipeline says, its transformers before it.
    ///
    /// # Errors
    /// As [`Registry::build`], and [`ErrorKind::Spec`] when the last part is no learner or another one is.
    pub fn pipeline(&self, text: &str) -> Result<Arc<dyn Estimator>> {
        let parts: Vec<&str> = text.split('|').collect();
        let (last, before) = parts.split_last().expect("split gives at least one part");
        let mut transformers: Vec<Arc<dyn Transformer>> = Vec::with_capacity(before.len());
        for part in before {
            match self.build(part)? {
                Built::Transformer(t) => transformers.push(t),
                Built::Learner(_) => {
                    return Err(Error::spec(
                        text,
                        format!("'{}' is a learner; a learner stands last", quoted(part.trim())),
                    ));
                }
            }
        }
        match self.build(last)? {
            Built::Learner(learner) if transformers.is_empty() => Ok(learner),
            Built::Learner(learner) => Ok(Arc::new(Pipeline::new(transformers, learner))),
            Built::Transformer(_) => Err(Error::spec(
                text,
                format!("'{}' is a transformer; a learner stands last", quoted(last.trim())),
            )),
        }
    }

    /// Open tables that saved models name by this function.
    pub fn open_tables_with(&mut self, opener: TableOpener) {
        self.opener = Some(opener);
    }

    /// Whether tables can be opened in place; if not, rows in model files are read into memory.
    pub fn opens_tables(&self) -> bool {
        self.opener.is_some()
    }

    /// The table that a saved model names.
    ///
    /// # Errors
    /// When nothing is compiled in that opens files, or the file is not what it was.
    pub fn open_table(&self, reference: &TableReference) -> Result<Arc<dyn Table>> {
        let opener = self.opener.ok_or_else(|| {
            Error::unsupported(format!(
                "the model reads its rows from {}, and this program was built without mapped tables",
                reference.path.display()
            ))
        })?;
        let table = opener(reference)?;
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.tables.retain(|(_, table)| table.strong_count() > 0);
        let mut same = alive.tables.iter().filter(|(r, _)| r == reference).filter_map(|(_, t)| t.upgrade());
        // Both hold the same values; models that read them in one place can share what they build on them.
        if let Some(first) = same.find(|first| first.check_unchanged().is_ok()) {
            return Ok(first);
        }
        drop(same);
        alive.tables.push((reference.clone(), Arc::downgrade(&table)));
        Ok(table)
    }

    /// What `build` makes of `rows`, or what it made for another model that was loaded over the same rows and still lives: a model
    /// file may name its rows as often as it likes, and they are indexed once. `kind` tells indexes of other kinds or parameters
    /// apart.
    ///
    /// What is built must hold the handles of `rows`, by whose places in memory it is found again.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn index<T: Send + Sync + 'static>(
        &self,
        rows: &KeptRows,
        kind: &str,
        build: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>> {
        let key = IndexKey { place: rows.place(), rows: rows.rows.clone(), kind: kind.into() };
        let alive = || self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |alive: &Alive| {
            let mut same = alive.indexes.iter().filter(|(k, _)| *k == key).filter_map(|(_, i)| i.upgrade());
            same.find_map(|index| index.downcast::<T>().ok())
        };
        if let Some(index) = find(&alive()) {
            return Ok(index);
        }
        let built = Arc::new(build()?);
        let mut alive = alive();
        alive.indexes.retain(|(_, index)| index.strong_count() > 0);
        if let Some(index) = find(&alive) {
            return Ok(index);
        }
        let index: Arc<dyn Any + Send + Sync> = Arc::clone(&built) as _;
        alive.indexes.push((key, Arc::downgrade(&index)));
        Ok(built)
    }

    fn load(&self, record: &Record) -> Result<Loaded> {
        let loader = self.loaders.get(record.kind()).ok_or_else(|| {
            Error::unsupported(format!(
                "this program was built without the backend that reads '{}' models",
                record.kind()
            ))
        })?;
        guarded(|| loader(record, self)).map_err(|error| match error.kind() {
            ErrorKind::Panicked { .. } => {
                Error::spec(record.kind(), format!("the backend that reads such models failed: {error}"))
            }
            _ => error,
        })
    }

    /// The model that a record holds.
    ///
    /// # Errors
    /// When the backend is not compiled in, or the record is not a model's.
    pub fn load_model(&self, record: &Record) -> Result<Arc<dyn Model>> {
        match self.load(record)? {
            Loaded::Model(model) => Ok(model),
            Loaded::Transform(_) => Err(Error::spec(record.kind(), "a transformer where a model should be")),
        }
    }

    /// The fitted transformer that a record holds.
    ///
    /// # Errors
    /// As [`Registry::load_model`].
    pub fn load_transform(&self, record: &Record) -> Result<Arc<dyn FittedTransform>> {
        match self.load(record)? {
            Loaded::Transform(transform) => Ok(transform),
            Loaded::Model(_) => Err(Error::spec(record.kind(), "a model where a transformer should be")),
        }
    }
}
