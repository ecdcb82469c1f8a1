//! `ensemble plan` and `ensemble fit`.

use std::{path::Path, sync::Arc};

use ensemble::{
    Bytes, Error, ErrorKind, FittedEnsemble, LearnerReport, Report, Result,
    memmap::{NpyWriter, SpillDir},
    quoted, registry, start_threads,
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

/// What both commands prepare: the learner first, since a bad spec needs no data to be refused.
fn prepare(a: &Fit) -> Result<(Asked, Input)> {
    start_threads(a.threads)?;
    let spec = Spec::read(a.spec.as_deref())?;
    let mut asked = spec::build(a, &spec, &registry())?;
    let target = a.target.as_deref().or(spec.target.as_deref());
    let target = target
        .ok_or_else(|| Error::unsupported("no target is given: use --target y.npy or --target COLUMN"))?;
    let mut others = vec![a.source.table.as_path()];
    others.extend(Some(Path::new(target)).filter(|_| input::is_file(target)));
    others.extend(a.spec.as_deref());
    for out in a.model.iter().chain(&a.oof) {
        output::check(out, &others)?;
        others.push(out);
    }
    if let Some(oof) = &a.oof {
        output::format(oof, &[("npy", Format::Npy)])?;
    }
    let classifies = asked.learner.classifies();
    let input = input::open_to_fit(&a.source, target, classifies, &spec)?;
    if let Some(classes) = &input.classes {
        asked.learner = asked.learner.classes(classes.clone());
    }
    let spill = SpillDir::new(import::spill_folder(a.source.spill_dir.as_ref())?);
    asked.learner = asked.learner.scratch(Arc::new(spill));
    Ok((asked, input))
}

fn target(input: &Input) -> Result<&ensemble::memmap::MappedTable> {
    input.y.as_ref().ok_or_else(|| Error::unsupported("no target is given"))
}

/// The same error, with the option that mends it.
fn advise(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Folds { .. } => Error::unsupported(format!("{error}; choose another number with --folds")),
        _ => error,
    }
}

/// Say what a fit would do.
pub(crate) fn plan(a: &Fit) -> Result<()> {
    let (asked, input) = prepare(a)?;
    let plan = asked.learner.plan(&input.x, target(&input)?).map_err(advise)?;
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
    let (asked, input) = prepare(a)?;
    let bar = Arc::new(Bar::new(!a.json));
    let learner = asked.learner.monitor(Arc::clone(&bar) as Arc<dyn ensemble::Monitor>);
    let fitted = learner.fit(&input.x, target(&input)?);
    bar.finish();
    let mut fitted = fitted.map_err(advise)?;
    if input.named {
        fitted.set_feature_names(input.names.clone())?;
    }
    if let Some(categories) = &input.categories {
        fitted.set_categories(categories.clone())?;
    }
    let peak = sampler.finish();
    input.check_unchanged()?;
    // Both files are whole before either takes its name.
    let oof = a.oof.as_ref().map(|path| import::fill_npy(path, fitted.transform()?)).transpose()?;
    if let Some(path) = &a.model {
        if a.by_reference {
            fitted.save_by_reference(path)?;
        } else {
            fitted.save(path)?;
        }
    }
    oof.map(NpyWriter::finish).transpose()?;
    if a.json {
        // Whoever reads JSON by a program still sees what a person should know.
        fitted.report().notes.iter().for_each(|note| output::note(note));
        output::print_json(&report_json(&fitted, &input, peak)?)
    } else {
        print_report(&fitted, &input, peak, asked.default_meta.then_some(DEFAULT_META))
    }
}

fn report_json(fitted: &FittedEnsemble, input: &Input, peak: Option<u64>) -> Result<Value> {
    let report = fitted.report();
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
fn print_report(fitted: &FittedEnsemble, input: &Input, peak: Option<u64>, note: Option<&str>) -> Result<()> {
    let report: &Report = fitted.report();
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
        row.push(format!("{:.4}", l.fit_seconds));
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
        "\n{} rows x {} columns, {} folds, {} threads: {:.3} s\n",
        report.rows,
        report.columns,
        report.fold_sizes.len(),
        report.threads,
        report.wall_seconds
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
    if let Some(note) = note {
        text += &format!("\n{note}");
    }
    if report.learners.iter().any(|l| l.scores.as_ref().is_some_and(|s| !s.nested)) {
        text += &format!("\n{NOT_NESTED}");
    }
    for note in &report.notes {
        text += &format!("\nnote: {note}");
    }
    output::print(&text)
}
