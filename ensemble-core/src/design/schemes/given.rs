//! Folds that the caller gives, row by row.

use std::sync::Arc;

use crate::{
    design::{
        arrangement::Arrangement,
        atoms::Atoms,
        layout::Design,
        scheme::{DesignFacts, Scheme},
        schemes::kfold::{describe_folds, k_cells},
    },
    error::{Error, ErrorKind, Result},
};

/// The design of K folds given as each row's number of its fold: rows are arranged fold by fold, those of one fold in the order they
/// lie in, and nothing is written anew where they lie so.
pub(crate) fn design_by_fold(parts: &[u32], order: Option<&[u32]>, reason: &str) -> Result<Design> {
    let k = parts.iter().max().map_or(0, |p| *p as usize + 1);
    let mut bounds = vec![0; k + 1];
    parts.iter().for_each(|part| bounds[*part as usize + 1] += 1);
    if let Some(fold) = bounds[1..].iter().position(|size| *size == 0) {
        let reason = format!("no row is in fold {fold}");
        return Err(ErrorKind::Folds { n_folds: k, nrows: parts.len(), reason }.into());
    }
    (1..=k).for_each(|fold| bounds[fold] += bounds[fold - 1]);
    let text = describe_folds(&bounds, reason);
    Design::new(Arrangement::by_part(parts, order)?, Atoms::new(bounds)?, k_cells(k), text)
}

/// The fold of every row, as the caller has it: scikit-learn's `PredefinedSplit` where every row is held out once.
///
/// Fold numbers may be any whole numbers; folds are taken in ascending order of them. Four bytes a row. Where rows of one fold do not
/// lie beside each other, the table is written once in fold order.
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
        let (parts, k) = numbered(folds, "fold")?;
        if k < 2 {
            let reason = "all rows are in one fold; at least 2 are needed, one to hold out and one to fit on";
            return Err(ErrorKind::Folds { n_folds: k, nrows: folds.len(), reason: reason.into() }.into());
        }
        Ok(Self { parts: parts.into() })
    }
}

impl Scheme for GivenFolds {
    fn design(&self, facts: &DesignFacts<'_>) -> Result<Design> {
        if self.parts.len() != facts.nrows {
            return Err(Error::shape("rows that folds are given for", facts.nrows, self.parts.len()));
        }
        design_by_fold(&self.parts, None, "as given")
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
