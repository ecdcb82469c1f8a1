//! Which states are merged with which, so that every set of atoms has its state and no rows are absorbed twice.
//!
//! A plan is a list of merges in row order whose length and memory are known before anything is absorbed. Runs of atoms from the first
//! one on share prefixes, those to the last one share suffixes, others grow from their first atom; a set of several runs joins theirs.
//! For K complements and the whole that is K - 1 prefixes, K - 2 suffixes and K - 2 joins. Nothing is ever subtracted, which would
//! cancel digits. Izbicki, "Algebraic classifiers", ICML 2013; Joulani, György, Szepesvári, "TreeCV", IJCAI 2015.

use std::{collections::HashMap, ops::Range, sync::Arc};

use crate::{
    error::{Result, guarded},
    statistic::state::{Statistic, Statistics},
};

/// A state: that of an atom, or a merge's, numbered behind the atoms.
type State = usize;

/// What is merged so far.
#[derive(Default)]
struct Known {
    merges: HashMap<(State, State), State>,
    /// States of neighbouring atoms.
    runs: HashMap<Range<usize>, State>,
}

/// Merges that give the states of sets of atoms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MergePlan {
    n_atoms: usize,
    /// Left and right of each merge; both come before it.
    merges: Vec<(State, State)>,
    /// The state of each set; `None` for one of no atoms.
    sets: Vec<Option<State>>,
}

impl MergePlan {
    /// For sets of `n_atoms` atoms, each as runs of their numbers in order.
    pub(crate) fn new<'a>(n_atoms: usize, sets: impl IntoIterator<Item = &'a [Range<usize>]>) -> Self {
        let mut plan = Self { n_atoms, merges: Vec::new(), sets: Vec::new() };
        let mut known = Known::default();
        for set in sets {
            let mut state = None;
            for run in set {
                let run = plan.run_of(run.clone(), &mut known);
                state = Some(match state {
                    Some(before) => plan.merge(before, run, &mut known),
                    None => run,
                });
            }
            plan.sets.push(state);
        }
        plan
    }

    fn merge(&mut self, left: State, right: State, known: &mut Known) -> State {
        *known.merges.entry((left, right)).or_insert_with(|| {
            self.merges.push((left, right));
            self.n_atoms + self.merges.len() - 1
        })
    }

    /// The state of neighbouring atoms: from the longest part of it that is known, atom by atom.
    fn run_of(&mut self, run: Range<usize>, known: &mut Known) -> State {
        // To the last atom it grows downwards, from the first one or between them upwards.
        let is_suffix = run.end == self.n_atoms && run.start > 0;
        let part = |len: usize| if is_suffix { run.end - len..run.end } else { run.start..run.start + len };
        let known_len = (2..=run.len()).rev().find(|len| known.runs.contains_key(&part(*len))).unwrap_or(1);
        let mut state = match known.runs.get(&part(known_len)) {
            Some(state) => *state,
            None => part(1).start,
        };
        for len in known_len + 1..=run.len() {
            let more = part(len);
            state = if is_suffix {
                self.merge(more.start, state, known)
            } else {
                self.merge(state, more.end - 1, known)
            };
            known.runs.insert(more, state);
        }
        state
    }

    /// Greatest number of states alive at once, those of the atoms included, when each goes after its last use; those of sets stay.
    pub(crate) fn states_alive(&self) -> usize {
        let mut last = self.last_uses();
        self.sets.iter().flatten().for_each(|state| last[*state] = usize::MAX);
        // Atoms' own states stay: predictions are scored, and carried further, from them.
        last[..self.n_atoms].fill(usize::MAX);
        let (mut alive, mut most) = (self.n_atoms, self.n_atoms);
        for (at, (left, right)) in self.merges.iter().enumerate() {
            alive += 1;
            most = most.max(alive);
            alive -= [left, right].into_iter().filter(|s| last[**s] == at).count();
        }
        most
    }

    /// The merge that uses each state last; 0 for what none does.
    fn last_uses(&self) -> Vec<usize> {
        let mut last = vec![0; self.n_atoms + self.merges.len()];
        for (at, (left, right)) in self.merges.iter().enumerate() {
            (last[*left], last[*right]) = (at, at);
        }
        last
    }

    /// The states of the sets, from those of the atoms.
    ///
    /// # Errors
    /// As [`Statistic::merge`].
    pub(crate) fn run(&self, atoms: &[Statistics]) -> Result<Vec<Statistics>> {
        let mut last = self.last_uses();
        self.sets.iter().flatten().for_each(|state| last[*state] = usize::MAX);
        let mut states: Vec<Option<Statistics>> = atoms.iter().cloned().map(Some).collect();
        for (at, (left, right)) in self.merges.iter().enumerate() {
            let of = |state: &State| states[*state].as_ref().expect("alive until its last use");
            let merged = merged(of(left), of(right))?;
            states.push(Some(merged));
            for state in [*left, *right] {
                if last[state] == at && state >= self.n_atoms {
                    states[state] = None;
                }
            }
        }
        let empty = || {
            let items =
                atoms.iter().flat_map(Statistics::items).take(atoms.first().map_or(0, |a| a.items().len()));
            Ok(Statistics::new(
                items.map(|i| Ok(Arc::from(guarded(|| Ok(i.empty()))?))).collect::<Result<_>>()?,
            ))
        };
        let set = |state: &Option<State>| match state {
            Some(state) => Ok(states[*state].clone().expect("sets stay alive")),
            None => empty(),
        };
        self.sets.iter().map(set).collect()
    }
}

/// The state of every fold's complement, and of all rows last, from the states of the folds: as many prefixes, suffixes and joins as
/// there are folds, in an order that depends on their number alone.
///
/// # Errors
/// As [`Statistic::merge`](crate::Statistic::merge).
pub fn complements(folds: &[Statistics]) -> Result<Vec<Statistics>> {
    let k = folds.len();
    // Without each, and for the last without none.
    let without = |fold: usize| [0..fold, (fold + 1).min(k)..k].into_iter().filter(|run| !run.is_empty());
    let n_sets = if k > 0 { k + 1 } else { 0 };
    let sets: Vec<Vec<Range<usize>>> = (0..n_sets).map(|fold| without(fold).collect()).collect();
    MergePlan::new(k, sets.iter().map(Vec::as_slice)).run(folds)
}

fn merged(a: &Statistics, b: &Statistics) -> Result<Statistics> {
    let mut items: Vec<Arc<dyn Statistic>> = Vec::with_capacity(a.items().len());
    for (left, right) in a.items().iter().zip(b.items()) {
        let state = guarded(|| {
            let mut state = left.duplicate();
            state.merge(right.as_ref())?;
            Ok(state)
        });
        items.push(Arc::from(state.map_err(|e| e.in_statistic(left.key().to_string()))?));
    }
    Ok(Statistics::new(items))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::rows::Rows;

    /// What the plan does to letters.
    fn told(plan: &MergePlan) -> Vec<String> {
        let mut states: Vec<String> =
            (0..plan.n_atoms).map(|a| char::from(b'a' + a as u8).to_string()).collect();
        for (left, right) in &plan.merges {
            states.push(format!("({} {})", states[*left], states[*right]));
        }
        plan.sets.iter().map(|s| s.map_or(String::new(), |s| states[s].clone())).collect()
    }

    fn complements(k: usize) -> MergePlan {
        let without = |fold: usize| [0..fold, (fold + 1).min(k)..k].into_iter().filter(|r| !r.is_empty());
        let sets: Vec<Vec<Range<usize>>> = (0..k + 1).map(|fold| without(fold).collect()).collect();
        MergePlan::new(k, sets.iter().map(Vec::as_slice))
    }

    #[test]
    fn complements_leave_out_one_fold_each_in_row_order() {
        assert_eq!(told(&complements(2)), ["b", "a", "(a b)"]);
        assert_eq!(told(&complements(3)), ["(b c)", "(a c)", "(a b)", "((a b) c)"]);
        let four = ["(b (c d))", "(a (c d))", "((a b) d)", "((a b) c)", "(((a b) c) d)"];
        assert_eq!(told(&complements(4)), four);
    }

    #[test]
    fn merges_of_complements_are_linear_in_their_number() {
        for k in [2, 3, 10, 500] {
            let plan = complements(k);
            assert!(plan.merges.len() <= 3 * k, "{} merges for {k}", plan.merges.len());
            assert!(plan.states_alive() <= 4 * k + 1);
        }
    }

    #[test]
    fn a_window_between_the_ends_grows_from_its_first_atom_and_nothing_is_merged_for_no_atoms() {
        let run = |end: usize| std::iter::once(1..end).collect::<Vec<_>>();
        let sets = [run(4), run(3), Vec::new()];
        let plan = MergePlan::new(6, sets.iter().map(Vec::as_slice));
        assert_eq!(told(&plan), ["((b c) d)", "(b c)", ""]);
        assert_eq!(plan.merges.len(), 2);
    }

    proptest! {
        #[test]
        fn every_set_has_its_atoms_once_and_in_order(
            sets in prop::collection::vec(prop::collection::btree_set(0usize..9, 0..9), 1..9),
        ) {
            let runs: Vec<Vec<Range<usize>>> = sets
                .iter()
                .map(|set| Vec::from(Rows::from_runs(set.iter().map(|a| *a..*a + 1)).runs()))
                .collect();
            let plan = MergePlan::new(9, runs.iter().map(Vec::as_slice));
            for (set, told) in sets.iter().zip(told(&plan)) {
                let letters: String = told.chars().filter(char::is_ascii_lowercase).collect();
                let want: String = set.iter().map(|a| char::from(b'a' + *a as u8)).collect();
                prop_assert_eq!(letters, want);
            }
            prop_assert!(plan.states_alive() <= 9 + plan.merges.len());
        }
    }
}
