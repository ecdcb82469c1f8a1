//! Ensembles as files.

use std::path::Path;

use crate::{
    data::classes::Classes,
    ensemble::fitted::FittedEnsemble,
    error::{Error, ErrorKind, Result, guarded},
    exec::report::Report,
    learner::{
        layer::{FittedLearner, layer_width},
        model::{Model, check_inputs},
        registry::Registry,
    },
    persist::{file::NewFile, record::Record},
};

const RECORD: &str = "super_learner";

impl FittedEnsemble {
    /// Write the models fitted on all rows to a file: versioned, checksummed, whole or not at all.
    ///
    /// # Errors
    /// When a model cannot be saved, or [`ErrorKind::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.to_record(|model| model.to_record())?.save(path.as_ref())
    }

    /// As [`FittedEnsemble::save`], but models that keep training rows name them by file and row: a small model file that needs
    /// the table beside it, unchanged.
    ///
    /// # Errors
    /// As there, and when such a model's rows are in no file that stays; see [`Table::reference`](crate::Table::reference).
    pub fn save_by_reference(&self, path: impl AsRef<Path>) -> Result<()> {
        self.to_record(|model| model.to_record_by_reference())?.save(path.as_ref())
    }

    /// As [`FittedEnsemble::save`], into a file that has not taken its name.
    ///
    /// # Errors
    /// As there.
    pub fn write(&self, file: &mut NewFile) -> Result<()> {
        self.to_record(|model| model.to_record())?.write(file)
    }

    /// As [`FittedEnsemble::save_by_reference`], into a file that has not taken its name.
    ///
    /// # Errors
    /// As there.
    pub fn write_by_reference(&self, file: &mut NewFile) -> Result<()> {
        self.to_record(|model| model.to_record_by_reference())?.write(file)
    }

    fn to_record(&self, each: impl Fn(&dyn Model) -> Result<Record>) -> Result<Record> {
        let mut record = Record::new(RECORD).with_field("columns", self.ncols);
        if let Some(names) = &self.feature_names {
            record = record.with_field("feature_names", names.clone());
        }
        if let Some(categories) = &self.categories {
            let value = serde_json::to_value(categories).expect("lists of text");
            record = record.with_field("categories", value);
        }
        if let Some(classes) = &self.classes {
            record = record.with_field("classes", classes.to_json());
        }
        if let Some(report) = &self.report {
            record = record.with_field("report", report.to_json());
        }
        for (at, learners) in self.layers.iter().enumerate() {
            let mut layer = Record::new("layer");
            for learner in learners {
                let model = guarded(|| each(learner.model.as_ref()))
                    .map_err(|e| e.in_learner(&learner.name, at, None))?;
                let child = Record::new("learner")
                    .with_text("name", &learner.name)
                    .with_text("kind", &learner.kind)
                    .with_child(model);
                layer = layer.with_child(child);
            }
            record = record.with_child(layer);
        }
        Ok(record)
    }

    /// Read what [`FittedEnsemble::save`] wrote, with the backends in `registry`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::Format`] for a damaged file, [`ErrorKind::Unsupported`] for a missing backend.
    pub fn load(path: impl AsRef<Path>, registry: &Registry) -> Result<Self> {
        let path = path.as_ref();
        let record = Record::load(path)?;
        let fail = |what: &str| Error::from(ErrorKind::Format { path: path.into(), what: what.into() });
        if record.kind() != RECORD {
            return Err(fail("the file holds no super learner"));
        }
        let mut layers = Vec::new();
        for layer in record.children() {
            let mut learners = Vec::new();
            for learner in layer.children() {
                let model = learner.children().first().ok_or_else(|| fail("a learner without a model"))?;
                learners.push(FittedLearner {
                    name: learner.text("name")?,
                    kind: learner.text("kind")?,
                    model: registry.load_model(model)?,
                });
            }
            layers.push(learners);
        }
        let ncols = record.count("columns")?;
        let classes = record.field("classes").ok().map(Classes::from_json).transpose()?;
        let mut width = ncols;
        for (at, layer) in layers.iter().enumerate() {
            let last = at + 1 == layers.len();
            if layer.is_empty()
                || (last && layer.len() != 1)
                || layer.iter().any(|l| guarded(|| check_inputs(l.model.as_ref(), width)).is_err())
            {
                return Err(fail("the layers of the saved ensemble do not fit each other"));
            }
            let outputs = |l: &FittedLearner| l.model.n_outputs();
            let fits = |n: usize| n == 1 || classes.as_ref().is_some_and(|c| c.len() == n);
            if !layer.iter().all(|l| fits(outputs(l))) {
                return Err(fail("a model of the saved ensemble does not fit its classes"));
            }
            width = layer_width(layer);
        }
        if layers.is_empty() {
            return Err(fail("the saved ensemble has no layers"));
        }
        let mut loaded = Self::from_layers(layers, ncols, classes);
        if let Ok(names) = record.field("feature_names") {
            let names = names.as_array().into_iter().flatten().filter_map(|n| n.as_str().map(String::from));
            loaded.set_feature_names(names.collect())?;
        }
        if let Ok(categories) = record.field("categories") {
            let categories = serde_json::from_value(categories.clone())
                .map_err(|e| fail(&format!("its categories cannot be read: {e}")))?;
            loaded.set_categories(categories)?;
        }
        // Nothing is predicted by it, so what cannot be read is no fault of the model.
        loaded.report = record.field("report").ok().and_then(Report::from_json);
        Ok(loaded)
    }
}
