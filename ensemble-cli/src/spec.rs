//! What to fit: from the command line, and from a TOML file that says the same and more.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ensemble::{
    Built, Error, Estimator, Layer, Learner, MemoryBudget, NoSplit, Registry, Result, SuperLearner,
    Transformer, file, quoted,
};
use serde::Deserialize;

use crate::{arguments::Fit, import, scheme::Split};

/// A TOML file; every key is optional.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The file, for errors.
    #[serde(skip)]
    path: PathBuf,
    /// The target: a file or a column.
    pub(crate) target: Option<String>,
    /// Columns to leave out.
    #[serde(default)]
    pub(crate) drop: Vec<String>,
    /// Columns of ordered categories, each with its categories from 0 up.
    #[serde(default)]
    ordinal: toml::Table,
    /// Whether the first line of CSV names the columns.
    pub(crate) header: Option<bool>,
    /// How rows are split.
    pub(crate) scheme: Option<String>,
    /// Every row's fold: a file or a column.
    pub(crate) fold_column: Option<String>,
    /// Every row's group: a file or a column.
    pub(crate) groups: Option<String>,
    pub(crate) folds: Option<usize>,
    #[serde(default)]
    pub(crate) shuffle: bool,
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

/// More bytes are no spec.
const LONGEST: u64 = 16 << 20;

impl Spec {
    /// Read a file, or nothing.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = String::from_utf8(file::read_whole(path, LONGEST)?)
            .map_err(|e| Error::format(path, format!("is no text in UTF-8: {e}")))?;
        let mut spec: Self = toml::from_str(&text).map_err(|e| {
            // The line's own text names the key, which the message may not.
            let place = e.span().map(|s| {
                let line = text[..s.start].matches('\n').count();
                format!("line {}, {}: ", line + 1, quoted(text.lines().nth(line).unwrap_or_default().trim()))
            });
            Error::format(path, place.unwrap_or_default() + e.message())
        })?;
        spec.path = path.into();
        for (column, categories) in &spec.ordinal {
            let texts = categories.as_array().is_some_and(|a| a.len() > 1 && a.iter().all(|v| v.is_str()));
            if !texts {
                return Err(Error::format(
                    path,
                    format!("ordinal.{} must list at least two categories, in order", quoted(column)),
                ));
            }
        }
        for (column, categories) in spec.ordinals() {
            if let Some(twice) = import::named_twice(&categories) {
                let what = format!("ordinal.{} names '{}' twice", quoted(&column), quoted(twice));
                return Err(Error::format(path, what));
            }
        }
        Ok(spec)
    }

    /// The same error, said of a key of the file.
    pub(crate) fn at(&self, key: &str, error: impl std::fmt::Display) -> Error {
        Error::format(&self.path, format!("{key}: {error}"))
    }

    /// The meta-learner that the file names.
    fn meta(&self, registry: &Registry) -> Result<Option<Arc<dyn Estimator>>> {
        let meta = self.meta.as_deref().map(|text| registry.pipeline(text));
        meta.transpose().map_err(|e| self.at("meta", e))
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
        for (at, spec) in self.layer.iter().enumerate() {
            let key = format!("layer[{at}]");
            let mut layer = Layer::new();
            for (name, pipeline) in self.learners(&key, &spec.learners, registry)? {
                layer = layer.learner(name, pipeline);
            }
            for (at, case) in spec.case.iter().enumerate() {
                let key = format!("{key}.case[{at}]");
                let transformers = transformers(&case.transformers, registry)
                    .map_err(|e| self.at(&format!("{key}.transformers"), e))?;
                let behind = self.learners(&key, &case.learners, registry)?;
                let behind = behind.into_iter().map(|(name, pipeline)| Learner::new(name, pipeline));
                layer = layer.case(&case.name, transformers, behind);
            }
            if layer.is_empty() {
                return Err(self.at(&key, "has no learner; give it learners or a case"));
            }
            layers.push(layer);
        }
        Ok(layers)
    }

    fn learners(&self, key: &str, table: &toml::Table, registry: &Registry) -> Result<Vec<Named>> {
        table
            .iter()
            .map(|(name, text)| {
                let fail = |e: &dyn std::fmt::Display| self.at(&format!("{key}.learners.{name}"), e);
                let text = text.as_str().ok_or_else(|| fail(&"a learner is a pipeline in quotes"))?;
                learner(name, text, registry).map_err(|e| fail(&e))
            })
            .collect()
    }
}

fn transformers(text: &str, registry: &Registry) -> Result<Vec<Arc<dyn Transformer>>> {
    text.split('|')
        .map(|part| match registry.build(part)? {
            Built::Transformer(transformer) => Ok(transformer),
            Built::Learner(_) => Err(Error::spec(
                part.trim(),
                "it is a learner; transformers stand here, and learners under learners",
            )),
        })
        .collect()
}

/// A learner's name in its layer, and what it is.
type Named = (String, Arc<dyn Estimator>);

fn learner(name: &str, pipeline: &str, registry: &Registry) -> Result<Named> {
    if name.is_empty() {
        return Err(Error::spec(pipeline, "a learner needs a name before the '='"));
    }
    Ok((name.to_owned(), registry.pipeline(pipeline)?))
}

/// What options and file ask for.
pub(crate) struct Asked {
    pub(crate) learner: SuperLearner,
    /// How rows are split, which the learner is told once they are known.
    pub(crate) split: Split,
    /// Whether the meta-learner is there because several learners need one and none was named.
    pub(crate) default_meta: bool,
}

/// The super learner that options and file ask for; options win.
pub(crate) fn build(a: &Fit, spec: &Spec, registry: &Registry) -> Result<Asked> {
    let seed = a.seed.or(spec.seed).unwrap_or(0);
    let mut asked = SuperLearner::new(NoSplit).seed(seed);
    let mut widths = Vec::new();
    let mut layers = spec.layers(registry)?;
    if !a.learner.is_empty() {
        // Learners on the command line join those of the file.
        let mut layer = if layers.is_empty() { Layer::new() } else { layers.remove(0) };
        for text in &a.learner {
            let (name, pipeline) =
                text.split_once('=').filter(|(name, _)| !name.contains([':', '|'])).ok_or_else(|| {
                    Error::spec(
                        text,
                        "a learner is written NAME=PIPELINE, as in ols=native.linear_regression",
                    )
                })?;
            let (name, pipeline) = learner(name.trim(), pipeline, registry)?;
            layer = layer.learner(name, pipeline);
        }
        layers.insert(0, layer);
    }
    if layers.is_empty() {
        return Err(Error::unsupported(
            "no learner is given: use --learner NAME=PIPELINE, or --spec FILE.toml",
        ));
    }
    let n_layers = layers.len();
    for layer in layers {
        widths.push(layer.len());
        asked = asked.layer(layer);
    }
    let named = match &a.meta {
        Some(text) => Some(registry.pipeline(text)?),
        None => spec.meta(registry)?,
    };
    // Non-negative least squares is the super learner's classical meta-learner.
    let default_meta = named.is_none() && widths.last().is_some_and(|w| *w > 1);
    if default_meta && asked.classifies() {
        return Err(Error::unsupported(
            "several classifiers need a meta-learner, and there is no default for classes: name one with --meta",
        ));
    }
    let meta = if default_meta { Some(registry.pipeline("native.nnls")?) } else { named };
    let has_meta = meta.is_some();
    if let Some(meta) = meta {
        asked = asked.meta(meta);
    }
    let split = Split::new(a, spec, asked.classifies(), seed)?;
    if !split.holds_out() {
        refuse_held_out(a, n_layers, has_meta)?;
    }
    if let Some(text) = &a.memory_budget {
        asked = asked.budget(MemoryBudget::bytes(parse_bytes(text)?));
    }
    if a.no_meta_score {
        asked = asked.without_meta_score();
    }
    if a.oof.is_some() {
        asked = asked.keep_out_of_fold();
    }
    Ok(Asked { learner: asked, split, default_meta })
}

/// Refuse what needs held-out rows where the scheme holds none out.
fn refuse_held_out(a: &Fit, n_layers: usize, has_meta: bool) -> Result<()> {
    let what = if a.oof.is_some() {
        "--oof has no predictions to write"
    } else if has_meta {
        "a meta-learner has no predictions to learn from, and several learners need one"
    } else if n_layers > 1 {
        "a second layer has no predictions to learn from"
    } else {
        return Ok(());
    };
    Err(Error::unsupported(format!("--scheme none holds no rows out, so that {what}; choose another scheme")))
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
