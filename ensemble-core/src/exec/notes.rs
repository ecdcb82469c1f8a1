//! What a fit says beside its scores: how learners that iterate ended, and what a user should know although nothing failed.
#![allow(clippy::disallowed_methods, reason = "what serde derives for flattened fields copies names")]

use std::{fmt, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{
    data::classes::{Classes, Label},
    design::layout::Design,
    learner::notes::Convergence,
    quote::{Sentence, quoted},
};

/// Numbers of a target that are more than these are seldom the names of classes.
const MANY_NUMBERS: usize = 30;
/// Rows at most, evenly spaced, that tell whether a target trends along them.
const TREND_ROWS: usize = 1 << 17;
/// The share of the target's variance between folds from which it matters.
const TREND_SHARE: f64 = 0.1;

/// How one of a learner's K + 1 fits ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitConvergence {
    /// The fold whose rows were held out; `None` for the fit on all rows.
    pub fold: Option<usize>,
    /// How it ended.
    #[serde(flatten)]
    pub convergence: Convergence,
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    pub(crate) fn on_classes(classes: &Classes, target: &[f64], design: &Design) -> Vec<Self> {
        let (atoms, predicted) = (design.atoms(), design.predicted_atoms());
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
        for (fold, atom) in predicted.clone().enumerate() {
            let rows = &target[atoms.range(atom)];
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
            let place = if predicted.len() == 1 {
                "are held out at once".into()
            } else {
                format!("lie in fold {fold}")
            };
            let text = format!(
                "all rows of class '{}' {place}, so that what predicts it never saw the class{more}: shuffle the rows, or take \
                 stratified folds",
                quoted(classes.label(*class).to_string())
            );
            notes.push(Self::new(NoteKind::Remark, text));
        }
        notes
    }

    /// That a target of numbers is sorted or trends along rows whose folds are cut where they lie.
    pub(crate) fn on_trend(target: &[f64], design: &Design) -> Option<Self> {
        if design.predicted_rows().is_empty() {
            return None;
        }
        let share = share_between(target, design.atoms().ranges())?;
        let text = format!(
            "the target trends along the rows: {:.0} % of its variance lies between the folds, which are cut where the rows lie, so \
             that models are scored on rows unlike those they learned from; shuffle the rows, or give folds or groups where \
             rows belong together",
            100.0 * share
        );
        Some(Self::new(NoteKind::Remark, text))
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

/// The share of the variance of values that lies between ranges of rows, less what chance puts there (epsilon squared of Kelley,
/// 1935), when it is large and no chance. One pass over at most [`TREND_ROWS`] rows.
///
/// No chance is an F statistic beyond what Laurent and Massart's bounds on chi-squares (2000, lemma 1) leave to noise once in a million
/// times; below some sixty rows that is never so.
fn share_between(values: &[f64], ranges: impl Iterator<Item = Range<usize>>) -> Option<f64> {
    /// The logarithm of that million.
    const T: f64 = 14.0;
    let step = values.len().div_ceil(TREND_ROWS).max(1);
    let (mut groups, mut within) = (Vec::new(), 0.0);
    for range in ranges {
        let (mut count, mut mean) = (0.0, 0.0);
        for value in values[range].iter().step_by(step) {
            count += 1.0;
            let off = value - mean;
            mean += off / count;
            within += off * (value - mean);
        }
        groups.push((count, mean));
    }
    let n: f64 = groups.iter().map(|(count, _)| count).sum();
    let middle = groups.iter().map(|(count, mean)| count * mean).sum::<f64>() / n;
    let between: f64 = groups.iter().map(|(count, mean)| count * (mean - middle) * (mean - middle)).sum();
    let (d, m) = (groups.len() as f64 - 1.0, n - groups.len() as f64);
    let by_chance = (1.0 + 2.0 * (T / d).sqrt() + 2.0 * T / d) / (1.0 - 2.0 * (T / m).sqrt());
    let noise = within / m;
    let share = (between - d * noise) / (between + within);
    // Comparisons with NaN are false: a constant target, or one that holds NaN, does not trend.
    (d > 0.0 && by_chance > 0.0 && between / d > by_chance * noise && share > TREND_SHARE).then_some(share)
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
    use crate::design::random::permutation;

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

    /// Values in [0, 1) from a stream, by row.
    fn uniform(n: usize, seed: u64) -> Vec<f64> {
        permutation(1 << 16, seed).iter().cycle().take(n).map(|v| f64::from(*v) / 65_536.0).collect()
    }

    fn share(values: &[f64], k: usize) -> Option<f64> {
        let n = values.len();
        share_between(values, (0..k).map(|fold| fold * n / k..(fold + 1) * n / k))
    }

    #[test]
    fn sorted_and_trending_targets_are_told_with_their_share() {
        for (n, k) in [(150, 3), (150, 5), (1000, 2), (3000, 10), (400_000, 5), (300, 60)] {
            let sorted: Vec<f64> = (0..n).map(|i| 1e6 + i as f64).collect();
            let want = 1.0 - 1.0 / (k * k) as f64;
            let got = share(&sorted, k).unwrap();
            assert!((got - want).abs() < 0.02, "{n} {k}: {got} {want}");
            // Half of the variance is noise, of the same spread.
            let trend: Vec<f64> =
                uniform(n, 1).iter().enumerate().map(|(i, u)| u + i as f64 / n as f64).collect();
            if n >= 1000 {
                let got = share(&trend, k).unwrap();
                assert!((got - want / 2.0).abs() < 0.05, "{n} {k}: {got}");
            }
        }
    }

    #[test]
    fn noise_constants_and_slight_trends_are_not_told() {
        for seed in 0..200 {
            for (n, k) in [(8, 2), (20, 10), (60, 5), (100, 50), (1000, 5), (5000, 20)] {
                let u = uniform(n, seed);
                assert_eq!(share(&u, k), None, "{seed} {n} {k}");
                // Heavy tails: a few rows have nearly all the variance.
                let heavy: Vec<f64> = u.iter().map(|u| 1.0 / (1.0 - u).powi(2)).collect();
                assert_eq!(share(&heavy, k), None, "{seed} {n} {k}");
                let classes: Vec<f64> = u.iter().map(|u| f64::from(*u < 0.1)).collect();
                assert_eq!(share(&classes, k), None, "{seed} {n} {k}");
            }
        }
        assert_eq!(share(&[3.0; 1000], 5), None);
        assert_eq!(share(&[f64::NAN; 1000], 5), None);
        let slight: Vec<f64> =
            uniform(5000, 3).iter().enumerate().map(|(i, u)| u + i as f64 * 2e-5).collect();
        assert_eq!(share(&slight, 5), None);
    }
}
