//! Logistic regression.

use std::sync::Arc;

use ensemble_core::{
    Access, Built, Convergence, Error, Estimator, FitContext, FitCost, Kind, Loaded, MatMut, MatRef, Model,
    Parameter, Predicts, PresentClasses, Record, Registry, Result, Shape, Train, check_prediction,
    parameter::{not_negative, positive},
    softmax,
};
use smartcore::{
    linalg::basic::arrays::Array,
    linear::logistic_regression::{LogisticRegression as Backend, LogisticRegressionParameters},
};

use crate::{
    SharedMatrix,
    backend::{BACKEND, call, check_finite, codes},
    probabilities::predict_rows,
};

/// Logistic regression by smartcore's L-BFGS: minimises the sum over rows of -log p(class) + alpha ||coefficients||^2 / 2, which is
/// scikit-learn's `LogisticRegression` with C = 1 / alpha. Intercepts are not penalised.
///
/// Reads rows where they lie, again and again: no copy, 28 bytes a row of class numbers. It is slow, and columns of very different
/// sizes make it slower: scale them before.
///
/// Faults of smartcore 0.7.0 handled here: it gives no probabilities (made here from its coefficients: a sigmoid for two classes, of
/// which the coefficients are the second's, a softmax for more); one class is an error (a constant here); it stops after 1,000 steps,
/// or when its line search fails, without a word (the gradient is looked at here: the model's convergence has the largest mean slope left,
/// in standard units of its column, as its gap, and has converged where that is at most 1e-3).
///
/// ```
/// use ensemble_core::{Estimator, Predicts};
/// use ensemble_smartcore::LogisticRegression;
/// assert_eq!(LogisticRegression::new().c(2.0), LogisticRegression::new().alpha(0.5));
/// assert_eq!(LogisticRegression::default().predicts(), Predicts::Probabilities);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticRegression {
    alpha: f64,
}

impl LogisticRegression {
    const KIND: &'static str = "smartcore.logistic_regression";

    /// With scikit-learn's default penalty, C = 1.
    pub fn new() -> Self {
        Self { alpha: 1.0 }
    }

    /// Weight of the penalty: scikit-learn's 1 / C; 0 for none.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// scikit-learn's inverse weight of the penalty.
    #[must_use]
    pub fn c(self, c: f64) -> Self {
        self.alpha(1.0 / c)
    }
}

impl Default for LogisticRegression {
    fn default() -> Self {
        Self::new()
    }
}

impl Estimator for LogisticRegression {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.cost_with_classes(train, 2)
    }

    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        let (n, p, k) = (train.nrows as u64, train.ncols as u64, n_classes as u64);
        let rows = if k == 2 { 1 } else { k };
        let model_bytes = 8 * (p + 1) * rows + 8 * k + size_of::<LogisticModel>() as u64;
        // Class numbers in two widths and sorted; L-BFGS keeps 30 vectors of coefficients.
        FitCost { peak_bytes: 16 * n + 8 * 40 * (p + 1) * rows + model_bytes, model_bytes }
    }

    fn predicts(&self) -> Predicts {
        Predicts::Probabilities
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        not_negative(Self::KIND, "alpha", self.alpha)?;
        train.check_magnitudes()?;
        let (present, _) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let codes = codes(train, &present);
        let parameters = LogisticRegressionParameters::default().with_alpha(self.alpha);
        let (coefficients, intercepts) = call(Self::KIND, train.x(), |x| {
            let fitted = Backend::<f64, u32, SharedMatrix, Vec<u32>>::fit(x, &codes, parameters)?;
            let values = |m: &SharedMatrix| m.iterator(0).copied().collect::<Vec<f64>>();
            Ok((values(fitted.coefficients()), values(fitted.intercept())))
        })?;
        check_finite(Self::KIND, "a coefficient", coefficients.iter().chain(&intercepts))?;
        let n_inputs = train.shape().ncols;
        let mut model = LogisticModel { coefficients, intercepts, present, n_inputs, convergence: None };
        let gap = model.slope_left(train, self.alpha);
        check_finite(Self::KIND, "a slope at the optimum", [&gap])?;
        model.convergence = Some(Convergence::new(None, gap, gap <= FAR_FROM_OPTIMUM));
        Ok(Arc::new(model))
    }
}

/// A fitted logistic regression.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticModel {
    /// One row per class present, or a single row for two: the second's.
    coefficients: Vec<f64>,
    intercepts: Vec<f64>,
    present: PresentClasses,
    n_inputs: usize,
    convergence: Option<Convergence>,
}

impl LogisticModel {
    /// Name of the record of such a model.
    pub const RECORD: &'static str = "smartcore.logistic_model";

    /// From what [`Model::to_record`] gave.
    ///
    /// # Errors
    /// When a part is missing or does not fit the others.
    pub fn from_record(record: &Record) -> Result<Self> {
        let bad = || Error::spec(Self::RECORD, "the parts of the saved model do not fit each other");
        let (coefficients, intercepts) = (record.array("coefficients")?, record.array("intercepts")?);
        let (n_inputs, present) = (record.count("columns")?, PresentClasses::load(record)?);
        let rows = if present.len() == 2 { 1 } else { present.len() };
        if intercepts.data.len() != rows || coefficients.data.len() != rows * n_inputs || present.len() < 2 {
            return Err(bad());
        }
        let (coefficients, intercepts) = (coefficients.data.clone(), intercepts.data.clone());
        Ok(Self { coefficients, intercepts, present, n_inputs, convergence: None })
    }

    /// Probabilities of the classes present.
    fn probabilities(&self, values: &[f64], out: &mut [f64]) {
        let score = |at: usize| {
            let row = &self.coefficients[at * self.n_inputs..(at + 1) * self.n_inputs];
            row.iter().zip(values).map(|(c, v)| c * v).sum::<f64>() + self.intercepts[at]
        };
        if let [no, yes] = out {
            // A softmax over 0 and the score: neither end loses digits.
            (*no, *yes) = (0.0, score(0));
        } else {
            out.iter_mut().enumerate().for_each(|(at, slot)| *slot = score(at));
        }
        softmax(out);
    }

    /// The largest mean slope of the objective that is left, each column's in the column's own unit.
    fn slope_left(&self, train: &Train<'_>, alpha: f64) -> f64 {
        let (k, p, n) = (self.present.len(), self.n_inputs, train.shape().nrows);
        let mut codes = self.present.codes(train.y().flatten().copied());
        let (mut gradient, mut squares) = (vec![0.0; k * (p + 1)], vec![0.0; p + 1]);
        let (mut values, mut shares) = (vec![0.0; p + 1], vec![0.0; k]);
        for x in train.x().segments() {
            for (row, code) in (0..x.nrows()).zip(&mut codes) {
                x.copy_row_into(row, &mut values[..p]);
                values[p] = 1.0;
                self.probabilities(&values[..p], &mut shares);
                shares[code] -= 1.0;
                for (share, sums) in shares.iter().zip(gradient.chunks_exact_mut(p + 1)) {
                    sums.iter_mut().zip(&values).for_each(|(sum, v)| *sum += share * v);
                }
                squares.iter_mut().zip(&values).for_each(|(sum, v)| *sum += v * v);
            }
        }
        let mut left = 0.0_f64;
        for (at, sums) in gradient.chunks_exact(p + 1).enumerate() {
            let weights = match k {
                2 if at == 0 => continue,
                2 => &self.coefficients[..],
                _ => &self.coefficients[at * p..(at + 1) * p],
            };
            for column in 0..=p {
                let penalty = weights.get(column).map_or(0.0, |w| alpha * w);
                let unit = (squares[column] * n as f64).sqrt();
                let slope = (sums[column] + penalty).abs();
                // A slope this small is none, however small the column.
                let own = if slope <= 1e-6 { 0.0 } else { slope / unit };
                left = if own.is_nan() { f64::INFINITY } else { left.max(own) };
            }
        }
        left
    }
}

/// A mean gradient greater than this, in standard units of the column, is no optimum.
const FAR_FROM_OPTIMUM: f64 = 1e-3;

impl Model for LogisticModel {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn n_outputs(&self) -> usize {
        self.present.n_classes()
    }

    fn predict_into(&self, x: MatRef<'_>, out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        predict_rows(x, out, &self.present, |_, values, scores| {
            self.probabilities(values, scores);
            Ok(())
        })
    }

    fn convergence(&self) -> Option<Convergence> {
        self.convergence
    }

    fn bytes(&self) -> u64 {
        (size_of::<Self>() + 8 * (self.coefficients.len() + self.intercepts.len() + self.present.len()))
            as u64
    }

    fn to_record(&self) -> Result<Record> {
        let record = Record::new(Self::RECORD)
            .with_field("columns", self.n_inputs)
            .with_array("coefficients", &[self.intercepts.len(), self.n_inputs], self.coefficients.clone())
            .with_array("intercepts", &[self.intercepts.len()], self.intercepts.clone());
        Ok(self.present.save(record))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: LogisticRegression::KIND,
        backend: BACKEND,
        parameters: const {
            &[
                Parameter::new("C", "1.0", "inverse weight of the penalty").or(&["c"]),
                Parameter::new("alpha", "1.0", "weight of the penalty, 1 / C; instead of C"),
            ]
        },
        build: |params| {
            let alpha = if params.has("C") {
                if params.has("alpha") {
                    let want = "either C or alpha, which is 1 / C";
                    return Err(Error::parameter(params.kind(), "alpha", params.number("alpha", 1.0)?, want));
                }
                let c = params.number("C", 1.0)?;
                positive(params.kind(), "C", c)?;
                1.0 / c
            } else {
                params.number("alpha", 1.0)?
            };
            not_negative(params.kind(), "alpha", alpha)?;
            Ok(Built::Learner(Arc::new(LogisticRegression { alpha })))
        },
    });
    registry.add_loader(LogisticModel::RECORD, |record, _| {
        Ok(Loaded::Model(Arc::new(LogisticModel::from_record(record)?)))
    });
}
