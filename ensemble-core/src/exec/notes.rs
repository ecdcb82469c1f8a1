//! What a fit says beside its scores: how learners that iterate ended, and what a user should know although nothing failed.

use std::fmt;

use serde::Serialize;

use crate::{
    data::classes::{Classes, Label},
    design::atoms::Atoms,
    learner::notes::Convergence,
    quote::{Sentence, quoted},
};

/// Numbers of a target that are more than these are seldom the names of classes.
const MANY_NUMBERS: usize = 30;

/// How one of a learner's K + 1 fits ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FitConvergence {
    /// The fold whose rows were held out; `None` for the fit on all rows.
    pub fold: Option<usize>,
    /// How it ended.
    #[serde(flatten)]
    pub convergence: Convergence,
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoteKind {
    /// A learner stopped before its own rule to stop was met.
    NotConverged,
    /// A learner above others gives every one of them weight 0, so that it predicts a constant.
    AllWeightsZero,
    /// Anything else.
    Remark,
}

/// What a user should know about a fit although nothing failed: one sentence, with what to do where something can be done.
///
/// Its `Display` is the sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// The layer of the learner, when it is about one.
    pub layer: Option<usize>,
    /// The learner's name, when it is about one.
    pub learner: Option<String>,
    /// The sentence.
    pub text: String,
}

impl Note {
    /// A note on the whole fit.
    pub fn new(kind: NoteKind, text: impl Into<String>) -> Self {
        Self { kind, layer: None, learner: None, text: text.into() }
    }

    /// A note on one learner, which its sentence names.
    pub fn on_learner(kind: NoteKind, layer: usize, learner: &str, text: impl Into<String>) -> Self {
        Self { kind, layer: Some(layer), learner: Some(learner.into()), text: text.into() }
    }

    /// That a learner's fits did not converge, if any did not.
    pub(crate) fn not_converged(layer: usize, learner: &str, fits: &[FitConvergence]) -> Option<Self> {
        let open = || fits.iter().filter(|f| !f.convergence.converged);
        open().next()?;
        let steps = open().filter_map(|f| f.convergence.steps).max();
        let gap = open().filter_map(|f| f.convergence.gap).reduce(f64::max);
        let told = [steps.map(|steps| format!("{steps} steps")), gap.map(|gap| format!("gap {gap:.1e}"))];
        let told: Vec<String> = told.into_iter().flatten().collect();
        let told = if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) };
        let advice = if open().any(|f| f.convergence.has_parameters) {
            "raise its max_iter or tol, or scale its columns"
        } else {
            "it stops by a rule that no parameter changes: scale its columns, or leave out those that depend on others"
        };
        let text = format!(
            "learner '{}' (layer {layer}) did not converge {}{told}; {advice}",
            quoted(learner),
            fits_in_words(open().map(|f| f.fold)),
        );
        Some(Self::on_learner(NoteKind::NotConverged, layer, learner, text))
    }

    /// What is odd about a target of classes, whose rows hold class numbers: so many numbers that they may be measurements, and classes
    /// that lie in one fold whole, so that the models that predict it never saw them.
    pub(crate) fn on_classes(classes: &Classes, target: &[f64], atoms: &Atoms) -> Vec<Self> {
        let mut notes = Vec::new();
        let numbers = classes.labels().iter().all(|l| matches!(l, Label::Integer(_)));
        if numbers && classes.len() > MANY_NUMBERS {
            let text = format!(
                "the target's {} classes are all numbers: if they are measurements, choose learners that predict numbers",
                classes.len()
            );
            notes.push(Self::new(NoteKind::Remark, text));
        }
        let mut all = vec![0usize; classes.len()];
        atoms.ranges().flat_map(|range| &target[range]).for_each(|class| all[*class as usize] += 1);
        let mut whole: Vec<(usize, usize)> = Vec::new();
        // One count per class for all folds, since there may be as many classes as rows.
        let mut counts = vec![0usize; classes.len()];
        for (fold, range) in atoms.ranges().enumerate() {
            let rows = &target[range];
            rows.iter().for_each(|class| counts[*class as usize] += 1);
            let before = whole.len();
            for class in rows.iter().map(|class| *class as usize) {
                // Of a class with fewer rows than folds, one fold may well have all.
                if std::mem::take(&mut counts[class]) == all[class] && all[class] >= atoms.len() {
                    whole.push((class, fold));
                }
            }
            whole[before..].sort_unstable();
        }
        if let Some((class, fold)) = whole.first() {
            let more =
                if whole.len() > 1 { format!(" ({} classes lie so)", whole.len()) } else { String::new() };
            let text = format!(
                "all rows of class '{}' lie in fold {fold}, so that what predicts it never saw the class{more}: shuffle the rows",
                quoted(classes.label(*class).to_string())
            );
            notes.push(Self::new(NoteKind::Remark, text));
        }
        notes
    }

    /// That the learner gives all columns weight 0 in these fits, `None` being the one on all rows.
    pub(crate) fn all_weights_zero(
        layer: usize,
        learner: &str,
        fits: impl Iterator<Item = Option<usize>>,
    ) -> Option<Self> {
        let mut fits = fits.peekable();
        fits.peek()?;
        let text = format!(
            "learner '{}' (layer {layer}) gives every column weight 0 {}, so that it predicts a constant: under its constraints \
             and penalty no learner below it helps",
            quoted(learner),
            fits_in_words(fits),
        );
        Some(Self::on_learner(NoteKind::AllWeightsZero, layer, learner, text))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Sentence(&self.text))
    }
}

/// "with folds 0, 2, 3 and 14 more held out, and on all rows".
fn fits_in_words(fits: impl Iterator<Item = Option<usize>>) -> String {
    const NAMED: usize = 8;
    let (mut folds, mut all_rows) = (Vec::new(), false);
    for fold in fits {
        match fold {
            Some(fold) => folds.push(fold),
            None => all_rows = true,
        }
    }
    let named: Vec<String> = folds.iter().take(NAMED).map(ToString::to_string).collect();
    let more = folds.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let word = if folds.len() == 1 { "fold" } else { "folds" };
    match (folds.is_empty(), all_rows) {
        (true, _) => "on all rows".into(),
        (false, false) => format!("with {word} {}{more} held out", named.join(", ")),
        (false, true) => format!("with {word} {}{more} held out and on all rows", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_names_learner_folds_steps_and_gap_and_stays_short() {
        let fit = |fold, gap, converged| FitConvergence {
            fold,
            convergence: Convergence::new(1000, gap, converged),
        };
        let fits =
            [fit(Some(0), Some(0.5), false), fit(Some(1), Some(1e-6), true), fit(None, Some(0.25), false)];
        let note = Note::not_converged(0, "l1", &fits).unwrap();
        assert_eq!(
            note.to_string(),
            "learner 'l1' (layer 0) did not converge with fold 0 held out and on all rows: 1000 steps, gap 5.0e-1; raise its \
             max_iter or tol, or scale its columns"
        );
        assert_eq!(Note::not_converged(0, "l1", &fits[1..2]), None);
        let convergence = Convergence::new(30, 0.5, false).without_parameters();
        let text =
            Note::not_converged(1, "meta", &[FitConvergence { fold: None, convergence }]).unwrap().text;
        assert!(
            text.contains("30 steps, gap 5.0e-1; it stops by a rule") && !text.contains("max_iter"),
            "{text}"
        );
        assert_eq!(fits_in_words([None].into_iter()), "on all rows");
        let many: Vec<FitConvergence> = (0..500).map(|k| fit(Some(k), None, false)).collect();
        let text = Note::not_converged(1, "l1", &many).unwrap().text;
        assert!(text.contains("folds 0, 1, 2, 3, 4, 5, 6, 7 and 492 more held out: 1000 steps; "), "{text}");
    }
}
