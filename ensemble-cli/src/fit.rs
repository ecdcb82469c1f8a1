//! `ensemble plan` and `ensemble fit`.

use std::{path::Path, sync::Arc};

use ensemble::{
    Bytes, Classes, Error, FittedEnsemble, Label, LearnerReport, Report, Result, Table, file::WholeFile,
    memmap::SpillDir, quoted, registry, start_threads,
};
use serde_json::{Value, json};

use crate::{
    arguments::Fit,
    import,
    input::{self, Input},
    memory::Sampler,
    output::{self, Format, figure},
    progress::Bar,
    spec::{self, Asked, Spec},
};

/// Said when nobody chose a meta-learner.
const DEFAULT_META: &str =
    "meta-learner: native.nnls, the default above several learners; --meta names another";

/// Said when a layer above the first is scored.
const NOT_NESTED: &str = "scores above layer 0 are a little too good: the columns learned from come from models that saw the held-out targets";

/// What both commands ask for: the learner first, since a bad spec needs no data to be refused.
struct Question {
    asked: Asked,
    spec: Spec,
    target: String,
}

impl Question {
    fn new(a: &Fit) -> Result<Self> {
        start_threads(a.threads)?;
        let spec = Spec::read(a.spec.as_deref())?;
        let asked = spec::build(a, &spec, &registry())?;
        let target = a.target.as_ref().or(spec.target.as_ref()).cloned();
        let target = target
            .ok_or_else(|| Error::unsupported("no target is given: use --target y.npy or --target COLUMN"))?;
        let question = Self { asked, spec, target };
        question.outputs(a, output::check)?;
        if let Some(oof) = &a.oof {
            output::format(oof, &[("npy", Format::Npy)])?;
        }
        if a.by_reference {
            question.check_reference(a)?;
        }
        Ok(question)
    }

    /// Do something with each output's path and the paths that it must not be: the model's first.
    fn outputs<R>(&self, a: &Fit, act: impl Fn(&Path, &[&Path]) -> Result<R>) -> Result<Vec<R>> {
        let mut others = vec![a.source.table.as_path()];
        // Any other target is a column, whatever files are called.
        others.extend(Some(self.target.as_str()).filter(|t| input::is_file(t)).map(Path::new));
        others.extend(self.asked.split.file());
        others.extend(a.spec.as_deref());
        let mut done = Vec::new();
        for out in a.model.iter().chain(&a.oof) {
            done.push(act(out, &others)?);
            others.push(out);
        }
        Ok(done)
    }

    /// Refuse `--by-reference` where the rows that models keep are in no file that stays.
    fn check_reference(&self, a: &Fit) -> Result<()> {
        let table = a.source.table.as_path();
        let split = &self.asked.split;
        let columns = !input::is_file(&self.target)
            || split.aside().is_some_and(|aside| !input::is_file(aside.column))
            || !(a.source.drop.is_empty() && self.spec.drop.is_empty() && split.unused.is_empty());
        let why = if output::ends_in(table, "csv") {
            "CSV is read through a temporary file"
        } else if columns {
            "a table without some of its columns is written to a temporary file"
        } else if a.shuffle || self.spec.shuffle {
            "shuffled rows are written to a temporary file"
        } else {
            return Ok(());
        };
        Err(Error::format(
            table,
            format!(
                "{why}, which a saved model cannot name; leave --by-reference out, and the model holds its rows"
            ),
        ))
    }

    /// Open what it is about.
    fn open(self, a: &Fit) -> Result<(Asked, Input)> {
        let Self { mut asked, spec, target } = self;
        let classifies = asked.learner.classifies();
        let input = input::open_to_fit(&a.source, &target, classifies, &asked.split, &spec)?;
        let scheme = asked.split.scheme(input.beside.as_ref()).map_err(|e| asked.split.advise(e))?;
        asked.learner = asked.learner.scheme(scheme);
        if let Some(classes) = &input.classes {
            asked.learner = asked.learner.classes(classes.clone());
        }
        if let (true, true, Some(y)) = (a.by_reference, classifies, &input.y) {
            let is_number = |(class, label): (usize, &Label)| *label == Label::Integer(class as i64);
            // Labels that are none at all are told by the plan.
            if Classes::of(y.as_mat()).is_ok_and(|c| !c.labels().iter().enumerate().all(is_number)) {
                return Err(Error::format(
                    target,
                    "its labels are not 0, 1, 2 and so on, so they are numbered in memory, which a saved model cannot name; number them in the file, or leave --by-reference out",
                ));
            }
        }
        let spill = SpillDir::new(import::spill_folder(a.source.spill_dir.as_ref())?);
        asked.learner = asked.learner.scratch(Arc::new(spill));
        if a.by_reference {
            let plan = asked.learner.plan(&input.x, self::target(&input)?);
            if plan.map_err(|e| asked.split.advise(e))?.design().arrangement().order().is_some() {
                return Err(Error::format(
                    &a.source.table,
                    "rows are written in fold order to a temporary file, which a saved model cannot name; leave --by-reference out, and the model holds its rows, or take folds that follow the rows with --scheme kfold",
                ));
            }
        }
        Ok((asked, input))
    }
}

fn target(input: &Input) -> Result<&ensemble::memmap::MappedTable> {
    input.y.as_ref().ok_or_else(|| Error::unsupported("no target is given"))
}

/// Say what a fit would do.
pub(crate) fn plan(a: &Fit) -> Result<()> {
    let (asked, input) = Question::new(a)?.open(a)?;
    let plan = asked.learner.plan(&input.x, target(&input)?).map_err(|e| asked.split.advise(e))?;
    if a.json {
        let mut value = serde_json::to_value(&plan).map_err(|e| Error::unsupported(e.to_string()))?;
        value["imported_bytes"] = input.imported_bytes.into();
        return output::print_json(&value);
    }
    let mut text = plan.to_string();
    if input.imported_bytes > 0 {
        text += &format!(", imported {}", Bytes(input.imported_bytes));
    }
    if asked.default_meta {
        text += &format!("\n{DEFAULT_META}");
    }
    output::print(&text)
}

/// Fit, and write what was asked for.
pub(crate) fn fit(a: &Fit) -> Result<()> {
    let sampler = Sampler::start();
    let question = Question::new(a)?;
    let mut outputs = question.outputs(a, output::create)?.into_iter();
    let (model, oof) =
        (a.model.as_ref().and_then(|_| outputs.next()), a.oof.as_ref().and_then(|_| outputs.next()));
    let (asked, input) = question.open(a)?;
    let verified = if a.verify { Some(asked.learner.verify(&input.x, target(&input)?)?) } else { None };
    let bar = Arc::new(Bar::new(!a.json));
    let learner = asked.learner.monitor(Arc::clone(&bar) as Arc<dyn ensemble::Monitor>);
    let fitted = learner.fit(&input.x, target(&input)?);
    bar.finish();
    let mut fitted = fitted.map_err(|e| asked.split.advise(e))?;
    if input.named {
        fitted.set_feature_names(input.names.clone())?;
    }
    if let Some(categories) = &input.categories {
        fitted.set_categories(categories.clone())?;
    }
    let peak = sampler.finish();
    input.check_unchanged()?;
    // Both files are whole before either takes its name, and the model's comes last: where there is a new model, its
    // out-of-fold predictions are there too.
    let oof = oof.map(|file| import::fill_npy(file, fitted.transform()?)).transpose()?;
    let model = model.map(|mut file| {
        if a.by_reference { fitted.write_by_reference(&mut file) } else { fitted.write(&mut file) }?;
        file.complete()
    });
    let whole = [oof, model.transpose()?];
    // Models may have read the rows once more to write them.
    input.check_unchanged()?;
    input.note_replaced();
    whole.into_iter().flatten().try_for_each(WholeFile::publish)?;
    if a.json {
        // Whoever reads JSON by a program still sees what a person should know.
        fitted.report().expect("a fit has a report").notes.iter().for_each(output::note);
        let mut value = report_json(&fitted, &input, peak)?;
        if let Some(verified) = &verified {
            value["verified"] = json!(verified);
        }
        output::print_json(&value)
    } else {
        let mut said: Vec<String> = asked.default_meta.then(|| DEFAULT_META.into()).into_iter().collect();
        said.extend(verified.map(|v| {
            format!(
                "verified: {} learners in {} cells, {} predictions the same to the last bit",
                v.learners, v.cells, v.compared
            )
        }));
        print_report(&fitted, &input, peak, &said)
    }
}

fn report_json(fitted: &FittedEnsemble, input: &Input, peak: Option<u64>) -> Result<Value> {
    let report = fitted.report().expect("a fit has a report");
    let mut value = serde_json::to_value(report).map_err(|e| Error::unsupported(e.to_string()))?;
    value["imported_bytes"] = input.imported_bytes.into();
    value["peak_anonymous_bytes"] = peak.map_or(Value::Null, Value::from);
    value["feature_names"] = json!(input.names);
    for learner in value["learners"].as_array_mut().into_iter().flatten() {
        if learner.get("cv_rmse_mean").is_none() {
            learner["cv_rmse_mean"] = Value::Null;
            learner["cv_rmse_se"] = Value::Null;
        }
    }
    Ok(value)
}

/// A leaderboard, layer by layer, the best first.
fn print_report(fitted: &FittedEnsemble, input: &Input, peak: Option<u64>, said: &[String]) -> Result<()> {
    let report: &Report = fitted.report().expect("a fit has a report");
    let risk = |l: &LearnerReport| l.scores.as_ref().map_or(f64::INFINITY, |s| s.cv_rmse_mean);
    let mut learners: Vec<&LearnerReport> = report.learners.iter().collect();
    learners.sort_by(|a, b| a.layer.cmp(&b.layer).then(risk(a).total_cmp(&risk(b))));
    let classifies = learners.iter().any(|l| l.scores.as_ref().is_some_and(|s| s.classes.is_some()));
    let mut heads = vec!["layer", "learner", "CV RMSE", "std. err.", "seconds", "access", "copied"];
    let mut numbers = vec![false, false, true, true, true, false, true];
    if classifies {
        // What is looked for first stands first.
        heads.splice(2..2, ["accuracy", "log loss"]);
        numbers.splice(2..2, [true, true]);
    }
    let mut rows = vec![heads.into_iter().map(String::from).collect::<Vec<_>>()];
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    for l in learners {
        let classes = l.scores.as_ref().and_then(|s| s.classes.as_ref());
        let mut row = vec![l.layer.to_string(), quoted(&l.name)];
        if classifies {
            row.push(or_none(classes.map(|c| format!("{:.5}", c.cv_accuracy_mean))));
            row.push(or_none(classes.and_then(|c| c.cv_log_loss_mean).map(figure)));
        }
        row.push(or_none(l.scores.as_ref().map(|s| figure(s.cv_rmse_mean))));
        row.push(or_none(l.scores.as_ref().map(|s| figure(s.cv_rmse_se))));
        row.push(format!("{:.4}", l.fit_seconds + l.predict_seconds));
        row.push(l.access.clone());
        row.push(Bytes(l.copied_bytes).to_string());
        rows.push(row);
    }
    let mut text = output::table(&rows, &numbers) + "\n";
    if classifies {
        text += "CV RMSE of classes is the root of the halved Brier score\n";
    }
    let t = &report.totals;
    text += &format!(
        "\n{} rows x {} columns, {} threads: {:.3} s\n{}\n",
        report.rows, report.columns, report.threads, report.wall_seconds, report.folds_text
    );
    text += &format!(
        "passes over the data {}, gathered {}, copied at junctions {}, spilled {}, imported {}, prediction columns {}",
        t.data_passes,
        Bytes(t.gathered_bytes),
        Bytes(t.rewired_bytes_copied),
        Bytes(t.spilled_bytes),
        Bytes(input.imported_bytes),
        Bytes(t.prediction_bytes)
    );
    if let Some(peak) = peak {
        text += &format!("; peak anonymous memory {}", Bytes(peak));
    }
    for line in said {
        text += &format!("\n{line}");
    }
    if report.learners.iter().any(|l| l.scores.as_ref().is_some_and(|s| !s.nested)) {
        text += &format!("\n{NOT_NESTED}");
    }
    for note in &report.notes {
        text += &format!("\nnote: {note}");
    }
    output::print(&text)
}
