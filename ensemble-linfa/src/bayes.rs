//! Naive Bayes: Gaussian by linfa's fit, Bernoulli and multinomial by linfa's formulas on counts that are summed here.

use std::sync::Arc;

use ensemble_core::{
    Access, Error, Estimator, FitContext, FitCost, Loaded, Model, Predicts, PresentClasses, Record, Registry,
    Result, Shape, Train,
    parameter::{self, not_negative, positive},
    softmax,
};
use linfa::{DatasetBase, traits::Fit};
use ndarray::Array1;

use crate::{
    parameters::parameters,
    view::{ByRow, RowModel, finite, refused, values, views},
};

parameters! {
    /// Naive Bayes with normal columns, by linfa: scikit-learn's `GaussianNB`.
    ///
    /// linfa copies the rows of one class at a time. What it fits is read out once, and rows are predicted from that: linfa's
    /// own prediction copies the rows per class, and gives infinities where every likelihood underflows (`base_nb.rs:69-76`).
    GaussianNb: Learner = "linfa.gaussian_nb", "linfa-bayes 0.8.1" {
        var_smoothing "var_smoothing" []: f64 = 1e-9, "1e-9", "share of the greatest variance that is added to all";
    }
}

parameters! {
    /// Naive Bayes with columns of yes and no, the values above `binarize` being yes: scikit-learn's `BernoulliNB`.
    ///
    /// linfa-bayes 0.8.1 is not called: its fit copies the rows twice (`bernoulli_nb.rs:65`) and its model can be neither read nor
    /// saved. The model depends on counts alone, which are summed here where the rows lie, in any number of runs; linfa's
    /// formulas on them give linfa's parameters to the bit.
    BernoulliNb: Learner = "linfa.bernoulli_nb", "linfa-bayes 0.8.1" {
        alpha "alpha" []: f64 = 1.0, "1.0", "count that every column has beforehand, of yes and of no; above 0";
        binarize "binarize" []: Option<f64> = Some(0.0), "0", "values above are yes; none for rows of 0 and 1";
    }
}

parameters! {
    /// Naive Bayes with columns of counts: scikit-learn's `MultinomialNB`.
    ///
    /// linfa-bayes 0.8.1 is not called: its fit prints its state to standard error for every class (`multinomial_nb.rs:78`, a
    /// `dbg!` left in) and copies the rows of each. The model depends on sums alone, which are summed here where the rows lie;
    /// linfa's formulas on them give linfa's parameters. Negative values are refused, which linfa takes and answers with NaN.
    MultinomialNb: Learner = "linfa.multinomial_nb", "linfa-bayes 0.8.1" {
        alpha "alpha" []: f64 = 1.0, "1.0", "count that every column has beforehand; above 0";
    }
}

impl GaussianNb {
    fn check(&self) -> Result<()> {
        not_negative(Self::KIND, "var_smoothing", self.var_smoothing)
    }
}

/// The logarithm of a class's share of the rows.
fn log_priors(rows: &[u64]) -> Vec<f64> {
    let total = rows.iter().sum::<u64>() as f64;
    rows.iter().map(|rows| (*rows as f64 / total).ln()).collect()
}

impl Estimator for GaussianNb {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Contiguous(None)
    }

    fn predicts(&self) -> Predicts {
        Predicts::Probabilities
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.cost_with_classes(train, 2)
    }

    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        let Shape { nrows: n, ncols: p } = train;
        let model_bytes = model_bytes(2 * p, n_classes);
        FitCost {
            // All rows may be of one class but for a few: their copy, their numbers, and codes.
            peak_bytes: (n * (8 * p + 8 + 8) + 800 * (p + 1) * n_classes + 8192) as u64 + model_bytes,
            model_bytes,
        }
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        train.check_magnitudes()?;
        let (present, rows) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let (x, y) = views(train)?;
        let codes: Array1<usize> = present.codes(y.iter().copied()).collect();
        let fitted = linfa_bayes::GaussianNbParams::<f64, usize>::new()
            .var_smoothing(self.var_smoothing)
            .fit(&DatasetBase::new(x, codes))
            .map_err(refused(Self::KIND))?;
        // serde is the only public way to the fitted means and variances.
        let fitted = serde_json::to_value(&fitted).map_err(refused(Self::KIND))?;
        let known = fitted["class_info"].as_object().is_some_and(|classes| classes.len() == present.len());
        if !known {
            return Err(Error::unsupported(format!("{}: linfa's classes cannot be read", Self::KIND)));
        }
        let room = || Vec::with_capacity(present.len() * x.ncols());
        let (mut means, mut variances) = (room(), room());
        for code in 0..present.len() {
            let class = &fitted["class_info"][code.to_string()];
            for (name, into) in [("theta", &mut means), ("sigma", &mut variances)] {
                let data = class[name]["data"].as_array().filter(|d| d.len() == x.ncols());
                let data = data.and_then(|d| d.iter().map(|v| v.as_f64()).collect::<Option<Vec<f64>>>());
                into.extend(data.ok_or_else(|| {
                    Error::unsupported(format!(
                        "{}: linfa's {name} is not finite, or cannot be read",
                        Self::KIND
                    ))
                })?);
            }
        }
        finite(Self::KIND, "means and variances", means.iter().chain(&variances))?;
        if let Some(at) = variances.iter().position(|v| *v <= 0.0) {
            return Err(Error::unsupported(format!(
                "{}: column {} does not vary within class {}; raise var_smoothing or drop the column",
                Self::KIND,
                at % x.ncols(),
                present.classes()[at / x.ncols()]
            )));
        }
        let priors = log_priors(&rows);
        let shape = Likelihood::Normal { means, variances };
        Ok(Arc::new(ByRow(BayesModel::new(x.ncols(), present, priors, shape))))
    }
}

/// Sums of each column over the rows of each class, class by class, as `value` makes them.
fn class_sums(train: &Train<'_>, present: &PresentClasses, value: impl Fn(f64) -> f64) -> Vec<f64> {
    let p = train.x().ncols();
    let mut sums = vec![0.0; p * present.len()];
    for (x, y) in train.x().segments().filter(|s| s.nrows() > 0).zip(train.y()) {
        for (row, code) in present.codes(y.iter().copied()).enumerate() {
            for (j, sum) in sums[code * p..(code + 1) * p].iter_mut().enumerate() {
                *sum += value(x.get(row, j));
            }
        }
    }
    sums
}

/// Bytes of a model of `values` values a class: besides them the class and its level.
fn model_bytes(values: usize, n_classes: usize) -> u64 {
    (8 * n_classes * (values + 2) + size_of::<BayesModel>()) as u64
}

/// Codes' table, sums, and what comes of them.
fn sums_cost(train: Shape, n_classes: usize) -> FitCost {
    let model_bytes = model_bytes(train.ncols, n_classes);
    FitCost { peak_bytes: (8 * n_classes * (train.ncols + 4) + 1024) as u64 + model_bytes, model_bytes }
}

impl BernoulliNb {
    fn check(&self) -> Result<()> {
        positive(Self::KIND, "alpha", self.alpha)?;
        self.binarize.map_or(Ok(()), |limit| parameter::finite(Self::KIND, "binarize", limit))
    }
}

impl Estimator for BernoulliNb {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn predicts(&self) -> Predicts {
        Predicts::Probabilities
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.cost_with_classes(train, 2)
    }

    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        sums_cost(train, n_classes)
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        train.check_finite()?;
        let (present, rows) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let p = train.x().ncols();
        if self.binarize.is_none() {
            let odd = |x: ensemble_core::MatRef<'_>| {
                (0..x.nrows()).any(|r| (0..p).any(|c| x.get(r, c) != 0.0 && x.get(r, c) != 1.0))
            };
            if train.x().segments().any(odd) {
                return Err(Error::unsupported(format!(
                    "{}: binarize=none needs rows of 0 and 1; give the value above which they count as 1",
                    Self::KIND
                )));
            }
        }
        let yes = |v: f64| self.binarize.map_or(v, |limit| f64::from(u8::from(v > limit)));
        let sums = class_sums(train, &present, yes);
        let (mut weights, mut levels) = (Vec::with_capacity(sums.len()), Vec::new());
        for ((counts, rows), prior) in sums.chunks_exact(p).zip(&rows).zip(log_priors(&rows)) {
            let total = *rows as f64 + self.alpha * 2.0;
            let mut none = 0.0;
            for count in counts {
                let log_yes = (count + self.alpha).ln() - total.ln();
                let log_no = (1.0 - log_yes.exp()).ln();
                none += log_no;
                weights.push(log_yes - log_no);
            }
            levels.push(prior + none);
        }
        finite(Self::KIND, "log probabilities", weights.iter().chain(&levels))?;
        let shape = Likelihood::Linear { weights, limit: self.binarize };
        Ok(Arc::new(ByRow(BayesModel::new(p, present, levels, shape))))
    }
}

impl MultinomialNb {
    fn check(&self) -> Result<()> {
        positive(Self::KIND, "alpha", self.alpha)
    }
}

impl Estimator for MultinomialNb {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn predicts(&self) -> Predicts {
        Predicts::Probabilities
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.cost_with_classes(train, 2)
    }

    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        sums_cost(train, n_classes)
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        train.check_finite()?;
        let (present, rows) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let p = train.x().ncols();
        for x in train.x().segments() {
            let negative =
                (0..x.nrows()).flat_map(|r| (0..p).map(move |c| (r, c))).find(|(r, c)| x.get(*r, *c) < 0.0);
            if let Some((_, column)) = negative {
                return Err(Error::unsupported(format!(
                    "{}: column {column} has a negative value, and counts are not negative",
                    Self::KIND
                )));
            }
        }
        let sums = class_sums(train, &present, |v| v);
        let mut weights = Vec::with_capacity(sums.len());
        for counts in sums.chunks_exact(p) {
            let total: f64 = counts.iter().map(|c| c + self.alpha).sum();
            weights.extend(counts.iter().map(|c| (c + self.alpha).ln() - total.ln()));
        }
        finite(Self::KIND, "log probabilities", &weights)?;
        let levels = log_priors(&rows);
        let shape = Likelihood::Linear { weights, limit: None };
        Ok(Arc::new(ByRow(BayesModel::new(p, present, levels, shape))))
    }
}

/// How likely a row's values are in each class, all arrays class by class.
enum Likelihood {
    Normal {
        means: Vec<f64>,
        variances: Vec<f64>,
    },
    /// Log likelihoods are linear in the values, or in which of them are above the limit.
    Linear {
        weights: Vec<f64>,
        limit: Option<f64>,
    },
}

struct BayesModel {
    n_inputs: usize,
    present: PresentClasses,
    /// Of each class, what does not depend on the row.
    levels: Vec<f64>,
    likelihood: Likelihood,
}

impl BayesModel {
    const RECORD: &'static str = "linfa.naive_bayes";

    /// `levels` are log priors; a normal likelihood adds its own constants.
    fn new(n_inputs: usize, present: PresentClasses, mut levels: Vec<f64>, likelihood: Likelihood) -> Self {
        if let Likelihood::Normal { variances, .. } = &likelihood {
            for (level, variances) in levels.iter_mut().zip(variances.chunks_exact(n_inputs)) {
                let logs: f64 = variances.iter().map(|v| (2.0 * std::f64::consts::PI * v).ln()).sum();
                *level += -0.5 * logs;
            }
        }
        Self { n_inputs, present, levels, likelihood }
    }

    fn from_record(record: &Record) -> Result<Self> {
        let (n_inputs, present) = (record.count("columns")?, PresentClasses::load(record)?);
        let size = n_inputs * present.len();
        let likelihood = match record.text("likelihood")?.as_str() {
            "normal" => Likelihood::Normal {
                means: values(record, "means", size)?,
                variances: values(record, "variances", size)?,
            },
            "linear" => Likelihood::Linear {
                weights: values(record, "weights", size)?,
                limit: record.array("limit")?.data.first().copied(),
            },
            other => return Err(Error::spec(Self::RECORD, format!("no likelihood is called '{other}'"))),
        };
        Ok(Self { n_inputs, levels: values(record, "levels", present.len())?, present, likelihood })
    }
}

impl RowModel for BayesModel {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn n_outputs(&self) -> usize {
        self.present.n_classes()
    }

    fn predict_row(&self, row: &[f64], out: &mut [f64]) {
        let p = self.n_inputs;
        let mut logs: Vec<f64> = match &self.likelihood {
            Likelihood::Normal { means, variances } => means
                .chunks_exact(p)
                .zip(variances.chunks_exact(p))
                .map(|(m, v)| {
                    row.iter().zip(m).zip(v).map(|((x, m), v)| (x - m) * (x - m) / v).sum::<f64>() * -0.5
                })
                .collect(),
            Likelihood::Linear { weights, limit } => {
                let value = |x: f64| limit.map_or(x, |limit| f64::from(u8::from(x > limit)));
                weights
                    .chunks_exact(p)
                    .map(|w| row.iter().zip(w).map(|(x, w)| value(*x) * w).sum::<f64>())
                    .collect()
            }
        };
        logs.iter_mut().zip(&self.levels).for_each(|(l, level)| *l += level);
        softmax(&mut logs);
        self.present.spread(&logs, out);
    }

    fn bytes(&self) -> u64 {
        let arrays = match &self.likelihood {
            Likelihood::Normal { means, variances } => means.len() + variances.len(),
            Likelihood::Linear { weights, .. } => weights.len(),
        };
        (8 * (arrays + self.levels.len() + self.present.len()) + size_of::<Self>()) as u64
    }

    fn to_record(&self) -> Result<Record> {
        let shape = [self.present.len(), self.n_inputs];
        let record = Record::new(Self::RECORD).with_field("columns", self.n_inputs as u64).with_array(
            "levels",
            &shape[..1],
            self.levels.clone(),
        );
        let record = match &self.likelihood {
            Likelihood::Normal { means, variances } => record
                .with_text("likelihood", "normal")
                .with_array("means", &shape, means.clone())
                .with_array("variances", &shape, variances.clone()),
            Likelihood::Linear { weights, limit } => record
                .with_text("likelihood", "linear")
                .with_array("weights", &shape, weights.clone())
                .with_array("limit", &[limit.iter().len()], limit.iter().copied().collect()),
        };
        Ok(self.present.save(record))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    GaussianNb::offer(registry);
    BernoulliNb::offer(registry);
    MultinomialNb::offer(registry);
    registry.add_loader(BayesModel::RECORD, |record, _| {
        Ok(Loaded::Model(Arc::new(ByRow(BayesModel::from_record(record)?))))
    });
}
