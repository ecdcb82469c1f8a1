//! Errors in words: one sentence each, of bounded length.

use std::fmt;

use crate::{
    account::ledger::Bytes,
    error::{Error, ErrorKind, GREATEST},
    quote::{Sentence, edit_distance, quoted},
};

/// The kinds most like a misspelt one, best first: those with it in their names, and those that few letters change into it.
fn nearest<'k>(kind: &str, known: &'k [String]) -> Vec<&'k str> {
    let lower = kind.to_lowercase();
    // A kind is often written without its backend.
    let far = |known: &str| {
        let own = known.split_once('.').map_or(known, |(_, own)| own);
        match lower.contains('.') {
            true => edit_distance(&lower, known),
            false if lower.len() > 2 && own.contains(&lower) => 0,
            false => edit_distance(&lower, own),
        }
    };
    let mut ranked: Vec<(usize, &str)> = known.iter().map(|k| (far(k), k.as_str())).collect();
    ranked.retain(|(far, _)| 2 * far <= lower.chars().count());
    ranked.sort_unstable();
    ranked.into_iter().take(4).map(|(_, k)| k).collect()
}

/// One line below 1,000 bytes, whatever names, cells and paths are in it; control characters are escaped.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Sentence(&self.kind().to_string()))
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Io { path, action, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            ErrorKind::Format { path, what } => write!(f, "{}: {what}", path.display()),
            ErrorKind::Shape { what, want, got } => write!(f, "{what}: wanted {want}, got {got}"),
            ErrorKind::RowRange { start, end, nrows } => {
                write!(f, "rows {start}..{end} reach outside a table of {nrows} rows")
            }
            ErrorKind::NotFinite { table, row, column, value } => write!(
                f,
                "{table}: row {row}, column {column} (both from 0) is {value}; drop or fill such rows first"
            ),
            ErrorKind::Transformed { row, column, value } => write!(
                f,
                "its transformers make {value} of finite values, in row {row} of the rows handed to it and column {column} of theirs (both from 0); rescale the columns or leave a transformer out"
            ),
            ErrorKind::Magnitude { table, row, column, value } => write!(
                f,
                "{table}: row {row}, column {column} (both from 0) is {value:e}, and squares of values beyond {GREATEST:e} overflow \
                 float64; scale the column first"
            ),
            ErrorKind::Prediction { row, column: 0, value } => write!(
                f,
                "it predicts {value} for row {row} (from 0), whose values are finite; are they far outside the training rows?"
            ),
            ErrorKind::Prediction { row, column, value } => write!(
                f,
                "it predicts {value} in column {column} for row {row} (both from 0), whose values are finite; are they far outside \
                 the training rows?"
            ),
            ErrorKind::Overflow { table } => {
                write!(f, "{table}: sums of its values overflow float64; rescale the columns first")
            }
            ErrorKind::Underflow { table, column } => write!(
                f,
                "{table}: column {column} (from 0) varies by so little that squares of it underflow float64; multiply it by a \
                 power of ten first, or drop it"
            ),
            ErrorKind::Folds { n_folds, nrows, reason } => {
                write!(f, "cannot make {n_folds} folds of {nrows} rows: {reason}")
            }
            ErrorKind::Parameter { kind, name, value, want } => {
                write!(f, "{kind}: {name}={} is out of range: {want}", quoted(value))
            }
            ErrorKind::UnknownParameter { kind, name, known } if known.is_empty() => {
                write!(f, "{kind} has no parameter '{}': it takes none", quoted(name))
            }
            ErrorKind::UnknownParameter { kind, name, known } => {
                write!(f, "{kind} has no parameter '{}'; it has {}", quoted(name), known.join(", "))
            }
            ErrorKind::UnknownKind { kind, known } => {
                write!(f, "no learner or transformer is called '{}'", quoted(kind))?;
                if let Some((backend, _)) = kind.split_once('.')
                    && matches!(backend, "linfa" | "smartcore" | "native")
                    && !known.iter().any(|k| k.starts_with(&format!("{backend}.")))
                {
                    return write!(f, ": this build has no {backend}; build it with the feature '{backend}'");
                }
                match (known.len(), nearest(kind, known)) {
                    (0, _) => write!(f, ": no backend is compiled in"),
                    (n, near) if near.is_empty() => {
                        write!(f, ", and none of {n} kinds is like it; `ensemble learners` lists them")
                    }
                    (n, near) => write!(f, "; nearest of {n} kinds: {}", near.join(", ")),
                }
            }
            ErrorKind::Spec { text, reason } => write!(f, "cannot read '{}': {reason}", quoted(text)),
            ErrorKind::Classes { reason } => write!(f, "no classes: {reason}"),
            ErrorKind::Budget { what, need, budget } => write!(
                f,
                "{what} needs {} at once and the memory budget is {}; raise the budget or use fewer columns or threads",
                Exactly(*need),
                Exactly(*budget)
            ),
            ErrorKind::Memory { what, need, available } => write!(
                f,
                "{what} needs {} at once and {} of memory are available; use fewer columns, folds or threads, or say what may be \
                 used by a memory budget",
                Bytes(*need),
                Bytes(*available)
            ),
            ErrorKind::Learner { name, layer, fold: Some(fold), source } => {
                write!(f, "learner '{}' (layer {layer}, fold {fold} held out): {source}", quoted(name))
            }
            ErrorKind::Learner { name, layer, fold: None, source } => {
                write!(f, "learner '{}' (layer {layer}, all rows): {source}", quoted(name))
            }
            ErrorKind::Declaration { name, layer, source } => {
                write!(f, "learner '{}' (layer {layer}), before any fit: {source}", quoted(name))
            }
            ErrorKind::Statistic { statistic, learners, layer, fold, source } => {
                write!(f, "statistic '{statistic}'")?;
                let mut facts: Vec<String> = Vec::new();
                facts.extend(layer.map(|layer| format!("layer {layer}")));
                facts.extend(fold.map(|fold| format!("rows of fold {fold}")));
                if !learners.is_empty() {
                    let names: Vec<String> = learners.iter().map(|name| quoted(name).to_string()).collect();
                    facts.push(format!("asked for by '{}'", names.join("', '")));
                }
                if !facts.is_empty() {
                    write!(f, " ({})", facts.join(", "))?;
                }
                write!(f, ": {source}")
            }
            ErrorKind::Panicked { message } => write!(f, "it panicked: {message}"),
            ErrorKind::Cancelled => write!(f, "cancelled"),
            ErrorKind::Unsupported { what } => write!(f, "{what}"),
        }
    }
}

/// Bytes for people, and to the byte where the unit hides some: "1.5 KiB (1536 bytes)".
struct Exactly(u64);

impl fmt::Display for Exactly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1024 => write!(f, "{}", Bytes(self.0)),
            n => write!(f, "{} ({n} bytes)", Bytes(n)),
        }
    }
}
