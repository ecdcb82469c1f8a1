//! `ensemble inspect` and `ensemble learners`.

use std::{fs::File, io::Read, path::Path};

use ensemble::{BLOCK_ROWS, Bytes, Error, FittedEnsemble, MatRef, Order, Result, Table, registry};
use serde_json::{Value, json};

use crate::{
    arguments::{Inspect, Learners},
    input, output,
    spec::Spec,
};

/// Show a model file or a table, told apart by their first bytes.
pub(crate) fn run(a: &Inspect) -> Result<()> {
    let mut head = Vec::new();
    let path = &a.source.table;
    File::open(path)
        .and_then(|f| f.take(8).read_to_end(&mut head))
        .map_err(|e| Error::io(path, "open", e))?;
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
        }));
    }
    let mut text = format!("{}: super learner on {} columns", path.display(), ensemble.ncols());
    for (at, layer) in ensemble.layers().iter().enumerate() {
        for l in layer {
            text += &format!("\nlayer {at}  {:<16}  {}", l.name(), l.kind());
            match l.model().as_linear() {
                Some(form) => {
                    let shown: Vec<String> =
                        form.coefficients.iter().take(8).map(|c| format!("{c:.6}")).collect();
                    let more = if form.coefficients.len() > 8 { ", ..." } else { "" };
                    text += &format!(
                        "\n  intercept {:.6}, coefficients {}{more}",
                        form.intercept,
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
    let input = input::open(&a.source, None, &Spec::default())?;
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
    let width = input.names.iter().map(|n| n.chars().count()).max().unwrap_or(0).max(4);
    for (s, name) in columns.iter().zip(&input.names) {
        text +=
            &format!("\ncolumn {name:<width$} min {:<14.6} max {:<14.6} mean {:.6}", s.min, s.max, mean(s));
    }
    output::print(&text)
}

/// List every kind that is compiled in.
pub(crate) fn learners(a: &Learners) -> Result<()> {
    let registry = registry();
    if a.json {
        let kinds: Vec<Value> = registry
            .kinds()
            .map(|k| {
                let parameters: Vec<Value> = k
                    .parameters
                    .iter()
                    .map(|p| json!({ "name": p.name, "default": p.default, "meaning": p.meaning }))
                    .collect();
                json!({ "kind": k.name, "parameters": parameters })
            })
            .collect();
        return output::print_json(&Value::Array(kinds));
    }
    let mut text = String::new();
    for kind in registry.kinds() {
        text += kind.name;
        text.push('\n');
        for p in kind.parameters {
            text += &format!("    {:<18} {:<10} {}\n", p.name, p.default, p.meaning);
        }
    }
    output::print(text.trim_end())
}
