//! Folds with the classes' shares.

use serde_json::{Value, json};

use crate::{
    design::{
        arrangement::check_rows,
        layout::Design,
        random::permutation,
        scheme::{DesignFacts, Scheme},
        schemes::given::{design_by_fold, numbered},
    },
    error::{Error, ErrorKind, Result},
};

/// K folds that hold every class of the target in the share that the whole has, as equal as can be: scikit-learn's `StratifiedKFold`,
/// and its folds where rows are not shuffled.
///
/// The table is written once in fold order, unless its rows lie so. For targets of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StratifiedKFold {
    n_folds: usize,
    shuffle: Option<u64>,
}

impl StratifiedKFold {
    /// `n_folds` folds. Rows of a class go to folds in the order they lie in.
    pub fn new(n_folds: usize) -> Self {
        Self { n_folds, shuffle: None }
    }

    /// Rows of a class go to folds in random order.
    #[must_use]
    pub fn shuffle(self, seed: u64) -> Self {
        Self { shuffle: Some(seed), ..self }
    }
}

/// How many rows of each class each fold takes, `[fold][class]`, from the classes' counts in the order of their first rows: what
/// scikit-learn's `StratifiedKFold` allots, dealing the sorted target out to folds in turn.
fn allotted(counts: &[usize], k: usize) -> Vec<Vec<usize>> {
    let mut out = vec![vec![0; counts.len()]; k];
    let mut start = 0;
    for (class, count) in counts.iter().enumerate() {
        for (fold, row) in out.iter_mut().enumerate() {
            // Places start..start + count of the sorted target that are fold modulo k.
            let first = start + (fold + k - start % k) % k;
            row[class] = (start + count).saturating_sub(first).div_ceil(k);
        }
        start += count;
    }
    out
}

impl Scheme for StratifiedKFold {
    fn design(&self, facts: &DesignFacts<'_>) -> Result<Design> {
        let (k, n) = (self.n_folds, facts.nrows);
        let fail = |reason: String| Err(ErrorKind::Folds { n_folds: k, nrows: n, reason }.into());
        if k < 2 {
            return fail("at least 2 folds are needed, one to hold out and one to fit on".into());
        }
        if k > n {
            return fail("there are more folds than rows".into());
        }
        if facts.n_classes.is_none() {
            return Err(Error::unsupported(
                "stratified folds need a target of classes, and no learner classifies; take KFold, or group and given folds",
            ));
        }
        check_rows(n)?;
        let (classes, n_classes) = numbered(facts.target, "class")?;
        // scikit-learn numbers classes in the order of their first rows.
        let mut number = vec![usize::MAX; n_classes];
        let mut counts: Vec<usize> = Vec::with_capacity(n_classes);
        for class in &classes {
            let slot = &mut number[*class as usize];
            if *slot == usize::MAX {
                *slot = counts.len();
                counts.push(0);
            }
            counts[*slot] += 1;
        }
        if counts.iter().all(|count| *count < k) {
            return fail("no class has as many rows".into());
        }
        let mut left = allotted(&counts, k);
        let mut at = vec![0; n_classes];
        let mut parts = vec![0; n];
        let mut deal = |row: usize| {
            let class = number[classes[row] as usize];
            while left[at[class]][class] == 0 {
                at[class] += 1;
            }
            left[at[class]][class] -= 1;
            parts[row] = at[class] as u32;
        };
        let order = self.shuffle.map(|seed| permutation(n, seed));
        match &order {
            Some(order) => order.iter().for_each(|row| deal(*row as usize)),
            None => (0..n).for_each(&mut deal),
        }
        design_by_fold(&parts, order.as_deref(), "each with the classes' shares")
    }

    fn spec(&self) -> Value {
        json!({
            "name": "stratified", "n_splits": self.n_folds,
            "shuffle": self.shuffle.is_some(), "random_state": self.shuffle,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folds_of(target: &[f64], k: usize) -> Vec<u32> {
        let facts = DesignFacts { n_classes: Some(9), ..DesignFacts::new(target) };
        let design = StratifiedKFold::new(k).design(&facts).unwrap();
        let mut folds = vec![0; target.len()];
        for (fold, range) in design.atoms().ranges().enumerate() {
            for at in range {
                folds[design.arrangement().input_row(at)] = fold as u32;
            }
        }
        folds
    }

    /// scikit-learn 1.7: `[next(i for i, (_, t) in enumerate(StratifiedKFold(k).split(y, y)) if r in t) for r in range(len(y))]`.
    #[test]
    fn folds_are_those_of_scikit_learn() {
        let y = [2.0, 0.0, 0.0, 1.0, 2.0, 1.0, 0.0, 0.0, 2.0, 2.0, 0.0];
        assert_eq!(folds_of(&y, 3), [0, 0, 1, 0, 0, 1, 1, 2, 1, 2, 2]);
    }

    #[test]
    fn allotments_differ_by_one_at_most_and_take_all_rows() {
        for counts in [vec![4, 7, 1], vec![10], vec![3, 3, 3, 3]] {
            for k in 2..6 {
                let out = allotted(&counts, k);
                for (class, count) in counts.iter().enumerate() {
                    let of = || out.iter().map(|fold| fold[class]);
                    assert_eq!(of().sum::<usize>(), *count);
                    assert!(of().max().unwrap() - of().min().unwrap() <= 1);
                }
                let sizes = || out.iter().map(|fold| fold.iter().sum::<usize>());
                assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1);
            }
        }
    }
}
