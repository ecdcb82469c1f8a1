//! `ensemble inspect` and `ensemble learners`.

use std::{fs::File, io::Read, path::Path};

use ensemble::{
    Access, BLOCK_ROWS, Built, Bytes, Classes, Error, FittedEnsemble, GREATEST, Kind, MatRef, Order,
    Predicts, Registry, Result, Table, parameter, quoted, registry,
};
use serde_json::{Value, json};

use crate::{
    arguments::{Inspect, Learners},
    input,
    output::{self, figure},
    spec::Spec,
};

/// Show a model file or a table, told apart by their first bytes.
pub(crate) fn run(a: &Inspect) -> Result<()> {
    let mut head = Vec::new();
    let path = &a.source.table;
    if output::ends_in(path, "csv") {
        return table(a);
    }
    let failed = |e| Error::io(path, "open", e);
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Error::format(
            path,
            "is no regular file; of pipes and devices, only CSV can be inspected",
        ));
    }
    File::open(path).and_then(|f| f.take(8).read_to_end(&mut head)).map_err(failed)?;
    if head == b"ENSEMBLE" { model(path, a.json) } else { table(a) }
}

fn model(path: &Path, json: bool) -> Result<()> {
    let ensemble = FittedEnsemble::load(path, &registry())?;
    let layers: Vec<Vec<Value>> = ensemble
        .layers()
        .iter()
        .map(|layer| {
            layer
                .iter()
                .map(|l| {
                    let mut value = json!({ "name": l.name(), "kind": l.kind(), "bytes": l.model().bytes() });
                    if let Some(form) = l.model().as_linear() {
                        value["coefficients"] = json!(form.coefficients);
                        value["intercept"] = json!(form.intercept);
                    }
                    value
                })
                .collect()
        })
        .collect();
    if json {
        return output::print_json(&json!({
            "path": path, "file": path, "columns": ensemble.ncols(),
            "feature_names": ensemble.feature_names(), "layers": layers,
            "classes": ensemble.classes().map(Classes::labels), "categories": ensemble.categories(),
        }));
    }
    let mut text = format!("{}: super learner on {} columns", path.display(), ensemble.ncols());
    if let Some(classes) = ensemble.classes() {
        let labels: Vec<String> = classes.labels().iter().map(|l| quoted(l.to_string())).collect();
        text += &format!("\nclasses {}", labels.join(", "));
    }
    let name = |j: usize| ensemble.feature_names().map_or_else(|| j.to_string(), |names| quoted(&names[j]));
    if let Some(categories) = ensemble.categories() {
        for (j, words) in categories.columns.iter().enumerate().filter_map(|(j, c)| Some((j, c.as_ref()?))) {
            let words: Vec<String> = words.iter().map(quoted).collect();
            text += &format!("\ncategories of {}: {}", name(j), words.join(" < "));
        }
    }
    let mut inputs: Vec<String> = (0..ensemble.ncols()).map(name).collect();
    for (at, layer) in ensemble.layers().iter().enumerate() {
        let below = std::mem::take(&mut inputs);
        for l in layer {
            let shown = quoted(l.name());
            // A classifier's columns are one per class.
            let columns = (0..l.model().n_outputs()).map(|c| match l.model().n_outputs() {
                1 => shown.clone(),
                _ => format!("{shown}[{c}]"),
            });
            inputs.extend(columns);
            text += &format!("\nlayer {at}  {shown:<16}  {}", quoted(l.kind()));
            match l.model().as_linear() {
                Some(form) => {
                    const SHOWN: usize = 32;
                    let shown: Vec<String> = (form.coefficients.iter().zip(&below).take(SHOWN))
                        .map(|(c, name)| format!("{name} {}", figure(*c)))
                        .collect();
                    let more = match form.coefficients.len() {
                        n if n > SHOWN => format!(" and {} more", n - SHOWN),
                        _ => String::new(),
                    };
                    text += &format!(
                        "\n  intercept {}, coefficients {}{more}",
                        figure(form.intercept),
                        shown.join(", ")
                    );
                }
                None => text += &format!("\n  {} of model", Bytes(l.model().bytes())),
            }
        }
    }
    output::print(&text)
}

/// Least, greatest and summed values of a column.
#[derive(Clone, Copy)]
struct Summary {
    min: f64,
    max: f64,
    sum: f64,
}

/// Every column's summary from one read of the table, whatever its order.
fn summaries(mat: MatRef<'_>) -> Vec<Summary> {
    let mut columns = vec![Summary { min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0 }; mat.ncols()];
    for block in mat.row_blocks(BLOCK_ROWS) {
        for (j, column) in columns.iter_mut().enumerate() {
            for r in 0..block.nrows() {
                let value = block.get(r, j);
                column.min = value.min(column.min);
                column.max = value.max(column.max);
                column.sum += value;
            }
        }
    }
    columns
}

fn table(a: &Inspect) -> Result<()> {
    let path = &a.source.table;
    let input = input::open(&a.source, &Spec::default())?;
    let mat = input.x.as_mat();
    let order = if mat.order() == Order::C { "C" } else { "F" };
    let columns = summaries(mat);
    let mean = |s: &Summary| s.sum / mat.nrows() as f64;
    if a.json {
        let columns: Vec<Value> = columns
            .iter()
            .zip(&input.names)
            .map(|(s, name)| json!({ "name": name, "min": s.min, "max": s.max, "mean": mean(s) }))
            .collect();
        return output::print_json(&json!({
            "path": path, "file": path, "rows": mat.nrows(), "columns": mat.ncols(), "order": order,
            "bytes": mat.shape().bytes(), "column_summaries": columns,
        }));
    }
    let mut text = format!(
        "{}: {} rows x {} columns, order {order}, {}",
        path.display(),
        mat.nrows(),
        mat.ncols(),
        Bytes(mat.shape().bytes())
    );
    let mut rows = vec![vec!["column".to_owned(), "min".into(), "max".into(), "mean".into()]];
    for (s, name) in columns.iter().zip(&input.names) {
        rows.push(vec![quoted(name), figure(s.min), figure(s.max), figure(mean(s))]);
    }
    text += "\n";
    text += &output::table(&rows, &[false, true, true, true]);
    output::print(&text)
}

/// What lists say of a kind besides its parameters.
struct Listed {
    /// regression, classification or transformation.
    task: &'static str,
    /// numbers, probabilities or votes, of a learner.
    predicts: Option<Predicts>,
    /// How it takes rows, with the parameters' defaults.
    access: Access,
}

impl Listed {
    fn new(registry: &Registry, kind: &Kind) -> Result<Self> {
        Ok(match registry.build(kind.name)? {
            Built::Transformer(t) => Self { task: "transformation", predicts: None, access: t.access() },
            Built::Learner(learner) => {
                let predicts = learner.predicts();
                let task = if predicts.classifies() { "classification" } else { "regression" };
                Self { task, predicts: Some(predicts), access: learner.access() }
            }
        })
    }
}

/// List every kind that is compiled in.
pub(crate) fn learners(a: &Learners) -> Result<()> {
    let registry = registry();
    let mut kinds = Vec::new();
    let mut text = String::new();
    let part = a.part.as_deref().unwrap_or_default().to_lowercase();
    for kind in registry.kinds().filter(|k| k.name.contains(&part)) {
        let listed = Listed::new(&registry, kind)?;
        if a.json {
            let parameters: Vec<Value> = kind
                .parameters
                .iter()
                .map(|p| {
                    json!({ "name": p.name, "default": p.default, "meaning": p.meaning, "aliases": p.aliases })
                })
                .collect();
            kinds.push(json!({
                "kind": kind.name, "backend": kind.backend, "task": listed.task,
                "predicts": listed.predicts.map(|p| p.to_string()),
                "access": listed.access.to_string(), "parameters": parameters,
            }));
            continue;
        }
        let what = listed.predicts.filter(|p| p.classifies()).map_or(String::new(), |p| format!(" ({p})"));
        text += &format!("{:<44} {}{what}, {}\n", kind.name, listed.task, listed.access);
        for p in kind.parameters {
            text += &format!("    {:<24} {:<12} {}\n", p.name, p.default, p.meaning);
        }
    }
    if a.json {
        return output::print_json(&Value::Array(kinds));
    }
    if text.is_empty() {
        let what = format!("no learner or transformer has '{}' in its name", quoted(&part));
        return Err(Error::unsupported(what));
    }
    text += &format!(
        "\nBounds where none are said: numbers within {GREATEST:e} of 0, those that must be above 0 from {:e} on, counts below 2^32, \
         max_iter up to {}.\n",
        1.0 / GREATEST,
        parameter::MOST_ROUNDS
    );
    output::print(text.trim_end())
}
