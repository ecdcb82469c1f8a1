//! What to fit: from the command line, and from a TOML file that says the same and more.

use std::{path::Path, sync::Arc};

use ensemble::{
    Built, Error, Estimator, KFold, Layer, Learner, MemoryBudget, Registry, Result, SuperLearner, Transformer,
};
use serde::Deserialize;

use crate::arguments::Fit;

/// A TOML file; every key is optional.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The target: a file or a column.
    pub(crate) target: Option<String>,
    /// Columns to leave out.
    #[serde(default)]
    pub(crate) drop: Vec<String>,
    /// Columns of ordered categories, each with its categories from 0 up.
    #[serde(default)]
    ordinal: toml::Table,
    folds: Option<usize>,
    #[serde(default)]
    shuffle: bool,
    seed: Option<u64>,
    meta: Option<String>,
    #[serde(default)]
    layer: Vec<LayerSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerSpec {
    /// Pipelines by name, in the order written.
    #[serde(default)]
    learners: toml::Table,
    #[serde(default)]
    case: Vec<CaseSpec>,
}

/// Learners behind the same transformers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseSpec {
    name: String,
    /// Transformers joined by ` | `.
    transformers: String,
    learners: toml::Table,
}

impl Spec {
    /// Read a file, or nothing.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "open", e))?;
        let spec: Self = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(0, |s| text[..s.start].matches('\n').count() + 1);
            Error::format(path, format!("line {line}: {}", e.message()))
        })?;
        for (column, categories) in &spec.ordinal {
            let texts = categories.as_array().is_some_and(|a| a.len() > 1 && a.iter().all(|v| v.is_str()));
            if !texts {
                return Err(Error::format(
                    path,
                    format!("ordinal.{column} must list at least two categories, in order"),
                ));
            }
        }
        Ok(spec)
    }

    /// Columns of ordered categories.
    pub(crate) fn ordinals(&self) -> Vec<(String, Vec<String>)> {
        let texts = |v: &toml::Value| {
            v.as_array().into_iter().flatten().filter_map(|c| c.as_str().map(String::from)).collect()
        };
        self.ordinal.iter().map(|(column, categories)| (column.clone(), texts(categories))).collect()
    }

    fn layers(&self, registry: &Registry) -> Result<Vec<Layer>> {
        let mut layers = Vec::with_capacity(self.layer.len());
        for spec in &self.layer {
            let mut layer = Layer::new();
            for (name, pipeline) in learners(&spec.learners, registry)? {
                layer = layer.shared(name, pipeline);
            }
            for case in &spec.case {
                let mut transformers: Vec<Arc<dyn Transformer>> = Vec::new();
                for part in case.transformers.split('|') {
                    match registry.build(part)? {
                        Built::Transformer(t) => transformers.push(t),
                        Built::Learner(_) => {
                            return Err(Error::spec(
                                part.trim(),
                                format!("case '{}' lists transformers", case.name),
                            ));
                        }
                    }
                }
                let behind = learners(&case.learners, registry)?;
                layer = layer.case(
                    &case.name,
                    &transformers,
                    behind.into_iter().map(|(n, p)| Learner::new(n, p)),
                );
            }
            layers.push(layer);
        }
        Ok(layers)
    }
}

fn learners(table: &toml::Table, registry: &Registry) -> Result<Vec<(String, Arc<dyn Estimator>)>> {
    table
        .iter()
        .map(|(name, text)| {
            let text = text.as_str().ok_or_else(|| Error::spec(name, "a learner is a pipeline in quotes"))?;
            Ok((name.clone(), registry.pipeline(text)?))
        })
        .collect()
}

/// The super learner that options and file ask for; options win.
pub(crate) fn build(a: &Fit, spec: &Spec, registry: &Registry) -> Result<SuperLearner> {
    let k = a.folds.or(spec.folds).unwrap_or(5);
    let mut folds = KFold::new(k);
    if a.exact_folds {
        folds = folds.exact();
    }
    if a.page_folds {
        folds = folds.page_aligned();
    }
    let seed = a.seed.or(spec.seed).unwrap_or(0);
    if a.shuffle || spec.shuffle {
        folds = folds.shuffle(seed);
    }
    let mut learner = SuperLearner::new(folds).seed(seed);
    let mut widths = Vec::new();
    if a.learner.is_empty() {
        for layer in spec.layers(registry)? {
            widths.push(layer.len());
            learner = learner.layer(layer);
        }
        if widths.is_empty() {
            return Err(Error::unsupported(
                "no learner is given: use --learner NAME=PIPELINE, or --spec FILE.toml",
            ));
        }
    } else {
        let mut layer = Layer::new();
        for text in &a.learner {
            let (name, pipeline) =
                text.split_once('=').filter(|(name, _)| !name.contains([':', '|'])).ok_or_else(|| {
                    Error::spec(
                        text,
                        "a learner is written NAME=PIPELINE, as in ols=native.linear_regression",
                    )
                })?;
            layer = layer.shared(name.trim(), registry.pipeline(pipeline)?);
        }
        widths.push(layer.len());
        learner = learner.layer(layer);
    }
    // Non-negative least squares is the super learner's classical meta-learner.
    let several = widths.last().is_some_and(|w| *w > 1);
    let meta = a.meta.as_deref().or(spec.meta.as_deref()).or(several.then_some("native.nnls"));
    if let Some(meta) = meta {
        learner = learner.meta_shared(registry.pipeline(meta)?);
    }
    if let Some(threads) = a.threads {
        if threads == 0 {
            return Err(Error::parameter("ensemble", "threads", threads, "at least 1"));
        }
        learner = learner.threads(threads);
    }
    if let Some(text) = &a.memory_budget {
        learner = learner.budget(MemoryBudget::bytes(parse_bytes(text)?));
    }
    if a.no_meta_score {
        learner = learner.without_meta_score();
    }
    if a.oof.is_some() {
        learner = learner.keep_out_of_fold();
    }
    Ok(learner)
}

/// `"256MiB"`, `"1.5GB"`, `"4096"` as bytes.
pub(crate) fn parse_bytes(text: &str) -> Result<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale: f64 = match unit.trim() {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" | "K" => 1024.0,
        "MiB" | "M" => 1024.0 * 1024.0,
        "GiB" | "G" => 1024.0 * 1024.0 * 1024.0,
        "TiB" | "T" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(Error::spec(text, "a number of bytes is written as in 256MiB, 1.5GB or 4096")),
    };
    match number.parse::<f64>() {
        Ok(value) if value > 0.0 => Ok((value * scale) as u64),
        _ => Err(Error::spec(text, "a number of bytes is written as in 256MiB, 1.5GB or 4096")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_powers_of_ten_and_of_two() {
        for (text, bytes) in [("4096", 4096), ("1KiB", 1024), ("256MiB", 256 << 20), ("1.5GB", 1_500_000_000)]
        {
            assert_eq!(parse_bytes(text).unwrap(), bytes);
        }
        for text in ["", "MiB", "-1", "1XB", "0"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
