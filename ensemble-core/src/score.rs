//! Cross-validated risk: root mean squared error fold by fold.

use serde::Serialize;

/// Root mean squared errors of one learner over the folds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Mean over folds.
    pub cv_rmse_mean: f64,
    /// Standard deviation over folds, dividing by K - 1.
    pub cv_rmse_sd: f64,
    /// Standard error of the mean: the standard deviation over the root of K.
    pub cv_rmse_se: f64,
    /// Each fold's.
    pub cv_rmse_folds: Vec<f64>,
}

impl Scores {
    /// From each fold's sum of squared errors and row count.
    pub(crate) fn new(sums: &[(f64, usize)]) -> Self {
        let folds: Vec<f64> = sums.iter().map(|(sum, rows)| (sum / *rows as f64).sqrt()).collect();
        let k = folds.len() as f64;
        let mean = folds.iter().sum::<f64>() / k;
        let spread: f64 = folds.iter().map(|r| (r - mean) * (r - mean)).sum();
        let sd = if folds.len() > 1 { (spread / (k - 1.0)).sqrt() } else { 0.0 };
        Self { cv_rmse_mean: mean, cv_rmse_sd: sd, cv_rmse_se: sd / k.sqrt(), cv_rmse_folds: folds }
    }
}

/// Sum along the canonical tree: the same bits however the parts were computed.
pub(crate) fn tree_sum(parts: &[f64]) -> f64 {
    match parts.len() {
        0 => 0.0,
        1 => parts[0],
        n => {
            let (head, tail) = parts.split_at(n.next_power_of_two() / 2);
            tree_sum(head) + tree_sum(tail)
        }
    }
}
