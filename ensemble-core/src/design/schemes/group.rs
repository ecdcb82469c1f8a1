//! Folds that keep groups of rows together.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    design::{
        layout::Design,
        scheme::{DesignFacts, Scheme},
        schemes::given::{design_by_fold, numbered},
    },
    error::{Error, ErrorKind, Result},
};

/// K folds such that the rows of a group are all in one of them, with sizes as equal as groups allow: scikit-learn's `GroupKFold`. With
/// [`GroupKFold::stratified`] the classes' shares are kept as well as groups allow: its `StratifiedGroupKFold`.
///
/// Of groups with equally many rows the last number comes first, as with scikit-learn where its sort keeps their order. Four bytes a row.
/// The table is written once in fold order, unless its rows lie so.
#[derive(Clone)]
pub struct GroupKFold {
    n_folds: usize,
    groups: Arc<[u32]>,
    n_groups: usize,
    stratified: bool,
}

impl std::fmt::Debug for GroupKFold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GroupKFold({} folds, {} groups", self.n_folds, self.n_groups)?;
        write!(f, "{})", if self.stratified { ", stratified" } else { "" })
    }
}

impl GroupKFold {
    /// `n_folds` folds; row i is of group `groups[i]`, any whole number.
    ///
    /// # Errors
    /// A value that is no whole number, by row; fewer groups than folds; fewer than two folds.
    pub fn new(n_folds: usize, groups: &[f64]) -> Result<Self> {
        let (groups, n_groups) = numbered(groups, "group")?;
        let fail = |reason: String| Err(ErrorKind::Folds { n_folds, nrows: groups.len(), reason }.into());
        if n_folds < 2 {
            return fail("at least 2 folds are needed, one to hold out and one to fit on".into());
        }
        if n_groups < n_folds {
            let groups =
                if n_groups == 1 { "is only 1 group" } else { &format!("are only {n_groups} groups") };
            return fail(format!("there {groups}, and each is in one fold as a whole"));
        }
        Ok(Self { n_folds, groups: groups.into(), n_groups, stratified: false })
    }

    /// Keep the shares of the target's classes too, as well as groups allow.
    #[must_use]
    pub fn stratified(self) -> Self {
        Self { stratified: true, ..self }
    }

    /// The fold of each group: the largest group first, each to the fold with the fewest rows.
    fn by_size(&self) -> Vec<u32> {
        let mut sizes = vec![0usize; self.n_groups];
        self.groups.iter().for_each(|group| sizes[*group as usize] += 1);
        let mut order: Vec<usize> = (0..self.n_groups).collect();
        // scikit-learn reverses an ascending sort: of equal groups the last comes first.
        order.sort_by_key(|group| sizes[*group]);
        let mut rows = vec![0usize; self.n_folds];
        let mut folds = vec![0; self.n_groups];
        for group in order.into_iter().rev() {
            let fold = least(rows.iter().map(|rows| *rows as f64));
            rows[fold] += sizes[group];
            folds[group] = fold as u32;
        }
        folds
    }

    /// The fold of each group: those with the most uneven classes first, each to the fold that then has classes spread most evenly, as
    /// scikit-learn's `StratifiedGroupKFold` does.
    fn by_class(&self, classes: &[u32], n_classes: usize) -> Vec<u32> {
        let mut counts = vec![vec![0.0; n_classes]; self.n_groups];
        let mut total = vec![0.0; n_classes];
        for (group, class) in self.groups.iter().zip(classes) {
            counts[*group as usize][*class as usize] += 1.0;
            total[*class as usize] += 1.0;
        }
        let mut order: Vec<usize> = (0..self.n_groups).collect();
        let spread: Vec<f64> = counts.iter().map(|counts| sd(counts.iter().copied())).collect();
        order.sort_by(|a, b| spread[*b].total_cmp(&spread[*a]));
        let mut held = vec![vec![0.0; n_classes]; self.n_folds];
        let mut folds = vec![0; self.n_groups];
        for group in order {
            let with = |fold: usize, taker: usize, class: usize| {
                let more = if fold == taker { counts[group][class] } else { 0.0 };
                (held[fold][class] + more) / total[class]
            };
            let uneven = |taker: usize| -> f64 {
                let of = |class: usize| sd((0..self.n_folds).map(|fold| with(fold, taker, class)));
                (0..n_classes).map(of).sum::<f64>() / n_classes as f64
            };
            let rows = |fold: usize| held[fold].iter().sum::<f64>();
            let mut best = (0, f64::INFINITY, f64::INFINITY);
            for taker in 0..self.n_folds {
                let (uneven, rows) = (uneven(taker), rows(taker));
                let close = (uneven - best.1).abs() <= 1e-8 + 1e-5 * best.1.abs();
                if (uneven < best.1 && !close) || (close && rows < best.2) {
                    best = (taker, uneven, rows);
                }
            }
            held[best.0].iter_mut().zip(&counts[group]).for_each(|(held, count)| *held += count);
            folds[group] = best.0 as u32;
        }
        folds
    }
}

/// The standard deviation of a few numbers, dividing by their count.
fn sd(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    (values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt()
}

/// The first of the least.
fn least(values: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::INFINITY);
    for (at, value) in values.enumerate() {
        if value < best.1 {
            best = (at, value);
        }
    }
    best.0
}

impl Scheme for GroupKFold {
    fn design(&self, facts: &DesignFacts<'_>) -> Result<Design> {
        if self.groups.len() != facts.nrows {
            return Err(Error::shape("rows that groups are given for", facts.nrows, self.groups.len()));
        }
        let folds = if self.stratified {
            if facts.n_classes.is_none() {
                return Err(Error::unsupported(
                    "stratified folds need a target of classes, and no learner classifies",
                ));
            }
            let (classes, n_classes) = numbered(facts.target, "class")?;
            self.by_class(&classes, n_classes)
        } else {
            self.by_size()
        };
        let parts: Vec<u32> = self.groups.iter().map(|group| folds[*group as usize]).collect();
        design_by_fold(&parts, None, &format!("{} groups kept whole", self.n_groups))
    }

    fn spec(&self) -> Value {
        json!({
            "name": "group", "n_splits": self.n_folds, "stratified": self.stratified,
            "n_groups": self.n_groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_whole_and_folds_even() {
        let groups: Vec<f64> = (0..60).map(|row| f64::from(row * row % 17)).collect();
        let design = GroupKFold::new(3, &groups).unwrap().design(&DesignFacts::new(&[0.0; 60])).unwrap();
        let order = design.arrangement().order().unwrap();
        let sizes: Vec<usize> = design.atoms().sizes().collect();
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 4, "{sizes:?}");
        let mut of = std::collections::BTreeMap::new();
        for (fold, range) in design.atoms().ranges().enumerate() {
            for at in range {
                assert_eq!(*of.entry(groups[order[at] as usize] as i64).or_insert(fold), fold);
            }
        }
    }

    #[test]
    fn too_few_groups_are_told() {
        let error = GroupKFold::new(3, &[1.0, 2.0, 1.0]).unwrap_err().to_string();
        assert!(error.contains("only 2 groups"), "{error}");
        let error = GroupKFold::new(2, &[1.0, 2.5, 1.0]).unwrap_err().to_string();
        assert!(error.contains("group of row 1 is 2.5"), "{error}");
    }
}
