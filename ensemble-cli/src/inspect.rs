//! `ensemble inspect` and `ensemble learners`.

use std::{fs::File, io::Read, path::Path};

use ensemble::{Bytes, Error, FittedEnsemble, Order, Result, Table, memmap::MappedTable, registry};
use serde_json::{Value, json};

use crate::{
    arguments::{Inspect, Learners},
    output,
};

/// Show a model file or a table, told apart by their first bytes.
pub(crate) fn run(a: &Inspect) -> Result<()> {
    let mut head = Vec::new();
    File::open(&a.path)
        .and_then(|f| f.take(8).read_to_end(&mut head))
        .map_err(|e| Error::io(&a.path, "open", e))?;
    if head == b"ENSEMBLE" { model(&a.path, a.json) } else { table(&a.path, a.json) }
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
        return output::print_json(&json!({ "file": path, "columns": ensemble.ncols(), "layers": layers }));
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

fn table(path: &Path, json: bool) -> Result<()> {
    let table = MappedTable::open_npy(path)?;
    let mat = table.as_mat();
    let order = if mat.order() == Order::C { "C" } else { "F" };
    let columns: Vec<(f64, f64, f64)> = (0..mat.ncols())
        .map(|j| {
            let column = mat.column_view(j);
            let values = (0..mat.nrows()).map(|r| column.get(r, 0));
            let (min, max, sum) = values.fold((f64::INFINITY, f64::NEG_INFINITY, 0.0), |(lo, hi, sum), v| {
                (v.min(lo), v.max(hi), sum + v)
            });
            (min, max, sum / mat.nrows() as f64)
        })
        .collect();
    if json {
        let columns: Vec<Value> =
            columns.iter().map(|(min, max, mean)| json!({ "min": min, "max": max, "mean": mean })).collect();
        return output::print_json(&json!({
            "file": path, "rows": mat.nrows(), "columns": mat.ncols(), "order": order,
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
    for (j, (min, max, mean)) in columns.iter().enumerate() {
        text += &format!("\ncolumn {j:<4} min {min:<14.6} max {max:<14.6} mean {mean:.6}");
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
