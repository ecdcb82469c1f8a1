//! `ensemble plan` and `ensemble fit`.

use std::{path::Path, sync::Arc};

use ensemble::{
    Bytes, Error, FittedEnsemble, LearnerReport, Report, Result,
    memmap::{NpyWriter, SpillDir},
    registry, start_threads,
};
use serde_json::{Value, json};

use crate::{
    arguments::Fit,
    import,
    input::{self, Input},
    memory::Sampler,
    output,
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
    let mut others = vec![a.source.table.as_path(), Path::new(target)];
    others.extend(a.spec.as_deref());
    for out in a.model.iter().chain(&a.oof) {
        output::check(out, &others)?;
        others.push(out);
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

/// Say what a fit would do.
pub(crate) fn plan(a: &Fit) -> Result<()> {
    let (asked, input) = prepare(a)?;
    let plan = asked.learner.plan(&input.x, target(&input)?)?;
    if a.json {
        let mut value = serde_json::to_value(&plan).map_err(|e| Error::unsupported(e.to_string()))?;
        value["imported_bytes"] = input.imported_bytes.into();
        return output::print_json(&value);
    }
    let note = if asked.default_meta { format!("\n{DEFAULT_META}") } else { String::new() };
    output::print(&format!("{plan}{note}"))
}

/// Fit, and write what was asked for.
pub(crate) fn fit(a: &Fit) -> Result<()> {
    let sampler = Sampler::start();
    let (asked, input) = prepare(a)?;
    let bar = Arc::new(Bar::new(!a.json));
    let learner = asked.learner.monitor(Arc::clone(&bar) as Arc<dyn ensemble::Monitor>);
    let fitted = learner.fit(&input.x, target(&input)?);
    bar.finish();
    let mut fitted = fitted?;
    if input.named {
        fitted.set_feature_names(input.names.clone())?;
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
    value["spilled_bytes"] = (report.totals.spilled_bytes + input.imported_bytes).into();
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
    let width = learners.iter().map(|l| l.name.len()).max().unwrap_or(0).max(7);
    let mut text = format!(
        "{:<5}  {:<width$}  {:>12}  {:>10}  {:>9}  {:<10}  {:>10}\n",
        "layer", "learner", "CV RMSE", "std. err.", "seconds", "access", "copied"
    );
    let classifies = learners.iter().any(|l| l.scores.as_ref().is_some_and(|s| s.classes.is_some()));
    if classifies {
        text.pop();
        text += &format!("  {:>9}  {:>9}\n", "accuracy", "log loss");
    }
    for l in learners {
        let (mean, se) = match &l.scores {
            Some(s) => (format!("{:.6}", s.cv_rmse_mean), format!("{:.6}", s.cv_rmse_se)),
            None => ("-".into(), "-".into()),
        };
        text += &format!(
            "{:<5}  {:<width$}  {mean:>12}  {se:>10}  {:>9.4}  {:<10}  {:>10}\n",
            l.layer,
            l.name,
            l.fit_seconds,
            l.access,
            Bytes(l.copied_bytes).to_string()
        );
        if let Some(classes) = l.scores.as_ref().and_then(|s| s.classes.as_ref()) {
            text.pop();
            let log_loss = classes.cv_log_loss_mean.map_or("-".into(), |l| format!("{l:.5}"));
            text += &format!("  {:>9.5}  {log_loss:>9}\n", classes.cv_accuracy_mean);
        }
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
        "passes over the data {}, gathered {}, copied at junctions {}, spilled {}, prediction columns {}",
        t.data_passes,
        Bytes(t.gathered_bytes),
        Bytes(t.rewired_bytes_copied),
        Bytes(t.spilled_bytes + input.imported_bytes),
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
