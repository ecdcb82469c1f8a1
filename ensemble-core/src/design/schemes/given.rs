//! Folds that the caller gives, row by row.

use std::{borrow::Cow, sync::Arc};

use serde_json::{Value, json};

use crate::{
    design::{
        arrangement::Arrangement,
        atoms::{AtomSet, Atoms},
        cell::Cell,
        layout::Design,
        scheme::{DesignFacts, Scheme},
        schemes::kfold::{describe_folds, k_cells},
    },
    error::{Error, ErrorKind, Result},
};

/// The design of K folds given as each row's number of its fold: rows are arranged fold by fold, those of one fold in the order they
/// lie in, and nothing is written anew where they lie so.
pub(crate) fn design_by_fold(parts: &[u32], order: Option<&[u32]>, reason: &str) -> Result<Design> {
    let bounds = bounds_of(parts);
    let k = bounds.len() - 1;
    if let Some(fold) = bounds.windows(2).position(|w| w[0] == w[1]) {
        let reason = format!("no row is in fold {fold}");
        return Err(ErrorKind::Folds { n_folds: k, nrows: parts.len(), reason }.into());
    }
    let text = describe_folds(&bounds, reason);
    Design::new(Arrangement::by_part(parts, order)?, Atoms::new(bounds)?, k_cells(k), text)
}

/// Where the rows of each part begin and end once they are arranged part by part.
fn bounds_of(parts: &[u32]) -> Vec<usize> {
    let k = parts.iter().max().map_or(0, |p| *p as usize + 1);
    let mut bounds = vec![0; k + 1];
    parts.iter().for_each(|part| bounds[*part as usize + 1] += 1);
    (1..=k).for_each(|part| bounds[part] += bounds[part - 1]);
    bounds
}

/// The fold of every row, as the caller has it: scikit-learn's `PredefinedSplit`.
///
/// Fold numbers may be any whole numbers; folds are taken in ascending order of them. Rows of fold -1 are never held out: every fit has
/// them, and a layer above does not. Four bytes a row. Where rows of one fold do not lie beside each other, the table is written once in
/// fold order.
///
/// ```
/// use ensemble_core::{DesignFacts, GivenFolds, Scheme};
/// let design = GivenFolds::new(&[7.0, 3.0, 7.0, 3.0])?.design(&DesignFacts::new(&[0.0; 4]))?;
/// assert_eq!(design.arrangement().order(), Some(&[1, 3, 0, 2][..]));
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Clone)]
pub struct GivenFolds {
    parts: Arc<[u32]>,
    n_folds: usize,
    /// Whether part 0 is never held out, so that folds are parts from 1 on.
    never: bool,
}

impl std::fmt::Debug for GivenFolds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GivenFolds({} rows)", self.parts.len())
    }
}

impl GivenFolds {
    /// Row i is in fold `folds[i]`.
    ///
    /// # Errors
    /// A value that is no whole number, by row; one fold only.
    pub fn new(folds: &[f64]) -> Result<Self> {
        let never = folds.contains(&-1.0);
        // Rows that are never held out come first.
        let first = |fold: &f64| if *fold == -1.0 { f64::MIN } else { *fold };
        let folds: Cow<'_, [f64]> =
            if never { folds.iter().map(first).collect::<Vec<_>>().into() } else { folds.into() };
        let (parts, n_parts) = numbered(&folds, "fold")?;
        if n_parts < 2 {
            let reason = "all rows are in one fold; at least 2 are needed, one to hold out and one to fit on";
            return Err(ErrorKind::Folds { n_folds: 1, nrows: folds.len(), reason: reason.into() }.into());
        }
        Ok(Self { parts: parts.into(), n_folds: n_parts - usize::from(never), never })
    }
}

impl Scheme for GivenFolds {
    fn design(&self, facts: &DesignFacts<'_>) -> Result<Design> {
        if self.parts.len() != facts.nrows {
            return Err(Error::shape("rows that folds are given for", facts.nrows, self.parts.len()));
        }
        if !self.never {
            return design_by_fold(&self.parts, None, "as given");
        }
        let (bounds, k) = (bounds_of(&self.parts), self.n_folds);
        let held_out =
            (1..=k).map(|fold| Cell::held_out(AtomSet::all_but(k + 1, fold), AtomSet::run(fold..fold + 1)));
        let cells = held_out.chain([Cell::last(AtomSet::run(0..k + 1))]).collect();
        let reason = format!("as given, and {} rows never held out", bounds[1]);
        let text = describe_folds(&bounds[1..], &reason);
        Design::new(Arrangement::by_part(&self.parts, None)?, Atoms::new(bounds)?, cells, text)
    }

    /// The folds alone: rows that are never held out are not predicted either.
    fn design_above(&self, below: &Design, facts: &DesignFacts<'_>) -> Result<Design> {
        let predicted = below.predicted_atoms();
        if predicted.len() == below.atoms().len() {
            return Ok(below.in_place());
        }
        if self.n_folds < 2 {
            return Err(Error::unsupported(
                "all rows but those of fold -1 are in one fold, so that a layer above has none to hold out; give it two",
            ));
        }
        let bounds = &below.atoms().bounds()[predicted.start..=predicted.end];
        let bounds: Vec<usize> = bounds.iter().map(|bound| bound - bounds[0]).collect();
        let text = describe_folds(&bounds, "as given");
        let above = Design::new(Arrangement::InPlace, Atoms::new(bounds)?, k_cells(self.n_folds), text)?;
        debug_assert_eq!(above.nrows(), facts.nrows);
        Ok(above)
    }

    fn spec(&self) -> Value {
        json!({ "name": "given", "n_splits": self.n_folds })
    }
}

/// Values as numbers from 0 in ascending order of them, and how many there are; `what` is what errors call one.
pub(crate) fn numbered(values: &[f64], what: &str) -> Result<(Vec<u32>, usize)> {
    if let Some(row) = values.iter().position(|v| v.fract() != 0.0 || !v.is_finite()) {
        let text = format!("the {what} of row {row} is {}, which is no whole number", values[row]);
        return Err(Error::unsupported(text));
    }
    // 0 and -0 are one number.
    let key = |v: f64| v + 0.0;
    let mut kinds: Vec<f64> = values.iter().map(|v| key(*v)).collect();
    kinds.sort_unstable_by(f64::total_cmp);
    kinds.dedup();
    let number = |v: &f64| {
        let at = kinds.binary_search_by(|kind| kind.total_cmp(&key(*v)));
        at.expect("every value is among its kinds") as u32
    };
    Ok((values.iter().map(number).collect(), kinds.len()))
}
