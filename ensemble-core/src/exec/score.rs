//! Cross-validated risk, fold by fold: root mean squared error, and for classifiers accuracy and log loss.
#![allow(clippy::disallowed_methods, reason = "what serde derives for flattened fields copies names")]

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{
    data::{classes::most_probable, mat::MatRef},
    learner::estimator::Predicts,
};

/// Risks of one learner over the folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean over folds of the root mean squared error. Of a classifier: of the root of the Brier score, half the squared distance
    /// between a row's probabilities and the truth, which for two classes is the squared error of the second one's.
    pub cv_rmse_mean: f64,
    /// Standard deviation over folds, dividing by K - 1.
    pub cv_rmse_sd: f64,
    /// Standard error of the mean: the standard deviation over the root of K.
    pub cv_rmse_se: f64,
    /// Each fold's.
    pub cv_rmse_folds: Vec<f64>,
    /// Whether the targets of a fold's rows were kept from everything that its score's models were trained on. So it is in the
    /// first layer, and above a blend, whose models saw no row that any of them predicts. Above K folds it is not: a learner is scored on the folds it was not trained on, but its training columns are
    /// predictions of models that did see the held-out targets, so that its score is a little too good. Exact, and K times the
    /// work, is a cross-validation of the whole fit.
    pub nested: bool,
    /// Of a classifier only.
    #[serde(flatten)]
    pub classes: Option<ClassScores>,
}

/// Risks of one classifier over the folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Mean over folds of the share of rows whose most probable class is theirs.
    pub cv_accuracy_mean: f64,
    /// Standard deviation over folds, dividing by K - 1.
    pub cv_accuracy_sd: f64,
    /// Each fold's.
    pub cv_accuracy_folds: Vec<f64>,
    /// Mean over folds of minus the logarithm of the true class's probability, which counts as 2^-52 at least. Absent for votes,
    /// which are no probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cv_log_loss_mean: Option<f64>,
}

impl Scores {
    /// From each fold's losses and row count, and whether the held-out targets were kept from all training.
    pub(crate) fn new(sums: &[(Losses, usize)], predicts: Predicts, nested: bool) -> Self {
        let each = |value: fn(&Losses) -> f64| -> Vec<f64> {
            sums.iter().map(|(sum, rows)| value(sum) / *rows as f64).collect()
        };
        let folds: Vec<f64> = each(|l| l.squared).into_iter().map(f64::sqrt).collect();
        let classes = predicts.classifies().then(|| {
            let accuracy = each(|l| l.right);
            let (mean, sd) = mean_and_sd(&accuracy);
            let log_loss = (predicts == Predicts::Probabilities).then(|| mean_and_sd(&each(|l| l.log)).0);
            ClassScores {
                cv_accuracy_mean: mean,
                cv_accuracy_sd: sd,
                cv_accuracy_folds: accuracy,
                cv_log_loss_mean: log_loss,
            }
        });
        let (mean, sd) = mean_and_sd(&folds);
        let se = sd / (folds.len() as f64).sqrt();
        Self { cv_rmse_mean: mean, cv_rmse_sd: sd, cv_rmse_se: se, cv_rmse_folds: folds, nested, classes }
    }
}

fn mean_and_sd(folds: &[f64]) -> (f64, f64) {
    let k = folds.len() as f64;
    let mean = folds.iter().sum::<f64>() / k;
    let spread: f64 = folds.iter().map(|r| (r - mean) * (r - mean)).sum();
    (mean, if folds.len() > 1 { (spread / (k - 1.0)).sqrt() } else { 0.0 })
}

/// Losses summed over rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Losses {
    /// Squared errors; of probabilities, half the squared distances to the truth.
    pub(crate) squared: f64,
    /// Rows whose most probable class is theirs.
    right: f64,
    /// Minus the logarithms of the true classes' probabilities.
    log: f64,
}

impl Losses {
    /// Of predictions in `columns` of `z`, in row order.
    pub(crate) fn of(z: MatRef<'_>, columns: Range<usize>, predicts: Predicts, y: &[f64]) -> Self {
        let mut sum = Self::default();
        for (row, y) in y.iter().enumerate() {
            if !predicts.classifies() {
                let error = y - z.get(row, columns.start);
                sum.squared += error * error;
                continue;
            }
            let class = *y as usize;
            for (c, column) in columns.clone().enumerate() {
                let error = f64::from(u8::from(c == class)) - z.get(row, column);
                sum.squared += 0.5 * error * error;
            }
            let decided = most_probable(columns.clone().map(|c| z.get(row, c)));
            sum.right += f64::from(u8::from(decided == Some(class)));
            sum.log -= z.get(row, columns.start + class).max(f64::EPSILON).ln();
        }
        sum
    }

    /// Of numbers, from their sum of squared errors.
    pub(crate) fn squared(squared: f64) -> Self {
        Self { squared, ..Self::default() }
    }

    /// Along the canonical tree: the same bits however the parts were computed.
    pub(crate) fn sum(parts: &[Losses]) -> Self {
        match parts.len() {
            0 => Self::default(),
            1 => parts[0],
            n => {
                let (head, tail) = parts.split_at(n.next_power_of_two() / 2);
                let (head, tail) = (Self::sum(head), Self::sum(tail));
                Self {
                    squared: head.squared + tail.squared,
                    right: head.right + tail.right,
                    log: head.log + tail.log,
                }
            }
        }
    }
}
