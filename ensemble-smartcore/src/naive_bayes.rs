//! Naive Bayes: four distributions that smartcore fits, one model that gives their probabilities.

use std::sync::Arc;

use ensemble_core::{
    Access, Built, Error, Estimator, FitContext, FitCost, GREATEST, Kind, Loaded, MatMut, MatRef, Model,
    Parameter, Predicts, PresentClasses, Record, Registry, Result, Shape, Train, check_prediction,
    parameter::{between, finite, not_negative},
    softmax,
};
use smartcore::{
    linalg::basic::matrix::DenseMatrix,
    naive_bayes::{
        bernoulli::{self, BernoulliNBParameters},
        categorical::{self, CategoricalNBParameters},
        gaussian,
        multinomial::{self, MultinomialNBParameters},
    },
};

use crate::{
    SharedMatrix,
    backend::{BACKEND, DIGITS_LOST, call, check_finite, codes, failed},
    probabilities::predict_rows,
};

/// What a class makes of a column's value. Tables are classes present x columns.
#[derive(Clone, Debug, PartialEq)]
enum Distribution {
    Gaussian {
        means: Vec<f64>,
        variances: Vec<f64>,
    },
    /// Logarithms of the probability of 1; values above `threshold` count as 1.
    Bernoulli {
        ones: Vec<f64>,
        threshold: f64,
    },
    /// Logarithms of the probability of one count.
    Multinomial {
        counts: Vec<f64>,
    },
    /// Logarithms of the probability of each category, column by column and class by class in each; `starts` says where a column's
    /// table begins, and the end of the last.
    Categorical {
        starts: Vec<usize>,
        categories: Vec<f64>,
    },
}

/// A fitted naive Bayes classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct NaiveBayesModel {
    learner: String,
    distribution: Distribution,
    log_priors: Vec<f64>,
    present: PresentClasses,
    n_inputs: usize,
}

impl NaiveBayesModel {
    /// Name of the record of such a model.
    pub const RECORD: &'static str = "smartcore.naive_bayes_model";

    fn new(kind: &str, codes: &Codes, n_inputs: usize, distribution: Distribution) -> Result<Self> {
        let tables: &[&[f64]] = match &distribution {
            Distribution::Gaussian { means, variances } => &[means, variances],
            Distribution::Bernoulli { ones, .. } => &[ones],
            Distribution::Multinomial { counts } => &[counts],
            Distribution::Categorical { categories, .. } => &[categories],
        };
        check_finite(kind, "a parameter", tables.iter().copied().flatten())?;
        let total: u64 = codes.counts.iter().sum();
        Ok(Self {
            learner: kind.into(),
            distribution,
            log_priors: codes.counts.iter().map(|c| (*c as f64 / total as f64).ln()).collect(),
            present: codes.present.clone(),
            n_inputs,
        })
    }

    /// The logarithm of a row's likelihood in one class, summed over columns in order as smartcore does.
    fn log_likelihood(&self, class: usize, values: &[f64]) -> f64 {
        let p = self.n_inputs;
        let line = class * p..(class + 1) * p;
        match &self.distribution {
            Distribution::Gaussian { means, variances } => {
                let columns = values.iter().zip(&means[line.clone()]).zip(&variances[line]);
                columns
                    .map(|((value, mean), variance)| {
                        -((value - mean) * (value - mean) / (2.0 * variance))
                            - (2.0 * std::f64::consts::PI).ln() / 2.0
                            - variance.ln() / 2.0
                    })
                    .sum()
            }
            Distribution::Bernoulli { ones, threshold } => values
                .iter()
                .zip(&ones[line])
                .map(|(value, one)| if value > threshold { *one } else { (1.0 - one.exp()).ln() })
                .sum(),
            Distribution::Multinomial { counts } => {
                values.iter().zip(&counts[line]).map(|(v, c)| v * c).sum()
            }
            Distribution::Categorical { starts, categories } => (0..p)
                .map(|column| {
                    let table = &categories[starts[column]..starts[column + 1]];
                    let width = table.len() / self.present.len();
                    // A category that no training row had says nothing.
                    let category = values[column] as usize;
                    if category < width { table[class * width + category] } else { 0.0 }
                })
                .sum(),
        }
    }

    /// From what [`Model::to_record`] gave.
    ///
    /// # Errors
    /// When a part is missing or does not fit the others.
    pub fn from_record(record: &Record) -> Result<Self> {
        let bad = || Error::spec(Self::RECORD, "the parts of the saved model do not fit each other");
        let array = |name: &str| -> Result<Vec<f64>> { Ok(record.array(name)?.data.clone()) };
        let (n_inputs, present) = (record.count("columns")?, PresentClasses::load(record)?);
        let size = present.len() * n_inputs;
        let table = |name: &str| array(name).and_then(|t| if t.len() == size { Ok(t) } else { Err(bad()) });
        let distribution = match record.text("distribution")?.as_str() {
            "gaussian" => Distribution::Gaussian { means: table("means")?, variances: table("variances")? },
            "bernoulli" => Distribution::Bernoulli {
                ones: table("ones")?,
                threshold: array("threshold")?.first().copied().ok_or_else(bad)?,
            },
            "multinomial" => Distribution::Multinomial { counts: table("counts")? },
            "categorical" => {
                let categories = array("categories")?;
                let starts = record.whole_numbers("starts")?;
                let whole =
                    starts.windows(2).all(|w| w[0] <= w[1] && (w[1] - w[0]) % present.len().max(1) == 0);
                let inside = starts.last().is_some_and(|end| *end <= categories.len());
                if starts.len() != n_inputs + 1 || !whole || !inside {
                    return Err(bad());
                }
                Distribution::Categorical { starts, categories }
            }
            _ => return Err(bad()),
        };
        let log_priors = array("log_priors")?;
        if log_priors.len() != present.len() || present.is_empty() {
            return Err(bad());
        }
        Ok(Self { learner: record.text("learner")?, distribution, log_priors, present, n_inputs })
    }
}

impl Model for NaiveBayesModel {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn n_outputs(&self) -> usize {
        self.present.n_classes()
    }

    fn predict_into(&self, x: MatRef<'_>, out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        let counts =
            matches!(self.distribution, Distribution::Multinomial { .. } | Distribution::Categorical { .. });
        predict_rows(x, out, &self.present, |row, values, scores| {
            if counts {
                values
                    .iter()
                    .enumerate()
                    .try_for_each(|(c, v)| whole(&self.learner, row, c, *v).map(drop))?;
            }
            for (class, score) in scores.iter_mut().enumerate() {
                *score = self.log_likelihood(class, values) + self.log_priors[class];
            }
            softmax(scores);
            Ok(())
        })
    }

    fn bytes(&self) -> u64 {
        let tables = match &self.distribution {
            Distribution::Gaussian { means, variances } => means.len() + variances.len(),
            Distribution::Bernoulli { ones: t, .. } | Distribution::Multinomial { counts: t } => t.len(),
            Distribution::Categorical { starts, categories } => starts.len() + categories.len(),
        };
        (size_of::<Self>() + self.learner.len() + 8 * (tables + 2 * self.present.len())) as u64
    }

    fn to_record(&self) -> Result<Record> {
        let numbers = |values: &[usize]| values.iter().map(|v| *v as f64).collect::<Vec<f64>>();
        let k = self.present.len();
        let shape = [k, self.n_inputs];
        let record = Record::new(Self::RECORD)
            .with_text("learner", &self.learner)
            .with_field("columns", self.n_inputs)
            .with_array("log_priors", &[k], self.log_priors.clone());
        let record = self.present.save(record);
        Ok(match &self.distribution {
            Distribution::Gaussian { means, variances } => record
                .with_text("distribution", "gaussian")
                .with_array("means", &shape, means.clone())
                .with_array("variances", &shape, variances.clone()),
            Distribution::Bernoulli { ones, threshold } => record
                .with_text("distribution", "bernoulli")
                .with_array("ones", &shape, ones.clone())
                .with_array("threshold", &[1], vec![*threshold]),
            Distribution::Multinomial { counts } => {
                record.with_text("distribution", "multinomial").with_array("counts", &shape, counts.clone())
            }
            Distribution::Categorical { starts, categories } => record
                .with_text("distribution", "categorical")
                .with_array("starts", &[starts.len()], numbers(starts))
                .with_array("categories", &[categories.len()], categories.clone()),
        })
    }
}

/// A count or category.
///
/// # Errors
/// When it is none, by row and column.
fn whole(kind: &str, row: usize, column: usize, value: f64) -> Result<u32> {
    if value >= 0.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0 {
        return Ok(value as u32);
    }
    Err(Error::unsupported(format!(
        "{kind}: row {row}, column {column} (both from 0) is {value}; it takes whole numbers from 0"
    )))
}

/// The training rows as whole numbers of 32 bits, which two of smartcore's distributions insist on: a copy of half the bytes.
///
/// # Errors
/// For a value that is none or above `most`, by row of the table and column.
fn whole_numbers(kind: &str, train: &Train<'_>, most: u32) -> Result<DenseMatrix<u32>> {
    let Shape { nrows, ncols } = train.shape();
    let mut values = Vec::with_capacity(nrows * ncols);
    for (segment, run) in train.x().segments().zip(train.x().rows().runs()) {
        for row in 0..segment.nrows() {
            for column in 0..ncols {
                let value = whole(kind, run.start + row, column, segment.get(row, column))?;
                if value > most {
                    return Err(Error::unsupported(format!(
                        "{kind}: row {}, column {column} (both from 0) is {value}; categories are numbered from 0 without \
                         great holes, up to {most}",
                        run.start + row
                    )));
                }
                values.push(value);
            }
        }
    }
    DenseMatrix::new(nrows, ncols, values, false).map_err(|e| failed(kind, &e))
}

/// smartcore's lists, one a class, as one table.
fn table(lines: &[Vec<f64>]) -> Vec<f64> {
    let mut values = Vec::with_capacity(lines.iter().map(Vec::len).sum());
    lines.iter().for_each(|line| values.extend_from_slice(line));
    values
}

/// The target of training rows.
struct Codes {
    /// One per row.
    codes: Vec<u32>,
    present: PresentClasses,
    /// Rows of each class present.
    counts: Vec<u64>,
}

/// What the four types say to the engine alike: `$values` of a class and column are kept, and `$peak` maps rows and columns to bytes
/// of a fit besides those.
macro_rules! naive_bayes {
    ($name:ident, $kind:literal, $values:expr, $peak:expr) => {
        impl $name {
            const KIND: &'static str = $kind;
        }

        impl Estimator for $name {
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
                let peak: fn(&Self, u64, u64) -> u64 = $peak;
                let own = (size_of::<NaiveBayesModel>() + Self::KIND.len()) as u64;
                // Each class has a prior and a number besides its values.
                let model_bytes = 8 * k * ($values * p + 2) + own;
                // smartcore's model stands beside ours, counts beside logarithms, with lists for each class.
                let peak_bytes = peak(self, n, p) + 8 * k * (2 * $values * p + 16) + model_bytes;
                FitCost { peak_bytes, model_bytes }
            }

            fn predicts(&self) -> Predicts {
                Predicts::Probabilities
            }

            fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
                self.check()?;
                train.check_magnitudes()?;
                let (present, counts) = PresentClasses::of(train, cx)?;
                if let Some(model) = present.certain(train.shape().ncols) {
                    return Ok(model);
                }
                let codes = Codes { codes: codes(train, &present), present, counts };
                let distribution = self.distribution(train, &codes)?;
                Ok(Arc::new(NaiveBayesModel::new(Self::KIND, &codes, train.shape().ncols, distribution)?))
            }
        }
    };
}

/// Gaussian naive Bayes by smartcore's `GaussianNB`, with scikit-learn's `var_smoothing`.
///
/// smartcore copies the rows once, sorted by class: the declared cost.
///
/// Faults of smartcore 0.7.0 handled here: its own way of putting the rows of a class together takes n^2 time and overflows the stack
/// from about 60,000 rows on ([`SharedMatrix`] brings its own); it has no smoothing, so a column that is constant in one class
/// spoils every prediction (`var_smoothing` here); its variances cancel for columns far from 0 (an error here); it gives no
/// probabilities; one class is a constant here.
///
/// ```
/// use ensemble_smartcore::GaussianNb;
/// assert_eq!(GaussianNb::new().var_smoothing(1e-9), GaussianNb::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianNb {
    var_smoothing: f64,
}

impl GaussianNb {
    /// With scikit-learn's smoothing, 1e-9.
    pub fn new() -> Self {
        Self { var_smoothing: 1e-9 }
    }

    /// Share of the greatest variance of any column that is added to all variances; 0 for smartcore's bare fit.
    #[must_use]
    pub fn var_smoothing(mut self, var_smoothing: f64) -> Self {
        self.var_smoothing = var_smoothing;
        self
    }

    fn check(&self) -> Result<()> {
        not_negative(Self::KIND, "var_smoothing", self.var_smoothing)
    }

    fn distribution(&self, train: &Train<'_>, codes: &Codes) -> Result<Distribution> {
        let (means, mut variances) = call(Self::KIND, train.x(), |x| {
            type Backend = gaussian::GaussianNB<f64, u32, SharedMatrix, Vec<u32>>;
            let fitted = Backend::fit(x, &codes.codes, gaussian::GaussianNBParameters::default())?;
            Ok((table(fitted.theta()), table(fitted.var())))
        })?;
        let p = train.shape().ncols;
        let n: u64 = codes.counts.iter().sum();
        let mut greatest = 0.0_f64;
        for column in 0..p {
            let of = |table: &[f64], at: usize| table[at * p + column];
            let shares = || codes.counts.iter().map(|c| *c as f64 / n as f64).enumerate();
            let mean: f64 = shares().map(|(at, share)| share * of(&means, at)).sum();
            let variance: f64 = shares()
                .map(|(at, share)| share * (of(&variances, at) + (of(&means, at) - mean).powi(2)))
                .sum();
            greatest = greatest.max(variance);
            for (at, count) in codes.counts.iter().enumerate() {
                let (mean, variance) = (of(&means, at), of(&variances, at));
                if *count > 1
                    && variance.abs() <= DIGITS_LOST * mean * mean
                    && !self.is_constant(train, codes, at, column)
                {
                    return Err(Error::unsupported(format!(
                        "{}: column {column} (from 0) varies too little about its mean {mean} in class {} for smartcore's \
                         formula; put native.center before",
                        Self::KIND,
                        codes.present.classes()[at]
                    )));
                }
            }
        }
        for (at, (variance, mean)) in variances.iter_mut().zip(&means).enumerate() {
            // What is left of a constant's variance is rounding.
            if variance.abs() <= DIGITS_LOST * mean * mean {
                *variance = 0.0;
            }
            *variance += self.var_smoothing * greatest;
            if *variance <= 0.0 {
                return Err(Error::unsupported(format!(
                    "{}: column {} (from 0) is constant in class {}; give a var_smoothing, or drop it",
                    Self::KIND,
                    at % p,
                    codes.present.classes()[at / p]
                )));
            }
        }
        Ok(Distribution::Gaussian { means, variances })
    }

    /// Whether a column holds one value in all rows of a class.
    fn is_constant(&self, train: &Train<'_>, codes: &Codes, code: usize, column: usize) -> bool {
        let mut rows = train.x().segments().flat_map(|s| (0..s.nrows()).map(move |r| s.get(r, column)));
        let mut first = None;
        codes.codes.iter().all(|c| {
            let value = rows.next();
            *c as usize != code || value == *first.get_or_insert(value)
        })
    }
}

impl Default for GaussianNb {
    fn default() -> Self {
        Self::new()
    }
}

// The rows sorted by class, a box and a handle for every row, class numbers three times.
naive_bayes!(GaussianNb, "smartcore.gaussian_nb", 2, |_, n, p| 8 * n * p + 120 * n + 4096);

const ALPHA: Parameter = Parameter::new("alpha", "1.0", "additive smoothing, above 0");

/// scikit-learn's least smoothing: below it logarithms of 0 appear.
const LEAST_ALPHA: f64 = 1e-10;

fn check_alpha(kind: &str, alpha: f64) -> Result<()> {
    between(kind, "alpha", alpha, LEAST_ALPHA, GREATEST)
}

macro_rules! smoothed {
    ($name:ident) => {
        impl $name {
            /// Additive smoothing, above 0.
            #[must_use]
            pub fn alpha(mut self, alpha: f64) -> Self {
                self.alpha = alpha;
                self
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

/// Naive Bayes of values that are 0 or 1, or made so by a threshold, by smartcore's `BernoulliNB`, with scikit-learn's parameters.
///
/// With a threshold smartcore copies the rows to binarise them, on fitting: the declared cost. Predictions copy nothing.
///
/// Faults of smartcore 0.7.0 handled here: without a threshold it counts 0.7 as 0 and 3 as 3 (an error here); it gives no
/// probabilities; one class is a constant here.
///
/// ```
/// use ensemble_smartcore::BernoulliNb;
/// assert_eq!(BernoulliNb::new().alpha(1.0).binarize(0.0), BernoulliNb::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BernoulliNb {
    alpha: f64,
    binarize: Option<f64>,
}

impl BernoulliNb {
    /// Smoothing 1; values above 0 count as 1.
    pub fn new() -> Self {
        Self { alpha: 1.0, binarize: Some(0.0) }
    }

    /// Values above it count as 1, others as 0; `None` when all are 0 or 1 already.
    #[must_use]
    pub fn binarize(mut self, threshold: impl Into<Option<f64>>) -> Self {
        self.binarize = threshold.into();
        self
    }

    fn check(&self) -> Result<()> {
        check_alpha(Self::KIND, self.alpha)?;
        match self.binarize {
            Some(threshold) => finite(Self::KIND, "binarize", threshold),
            None => Ok(()),
        }
    }

    fn distribution(&self, train: &Train<'_>, codes: &Codes) -> Result<Distribution> {
        if self.binarize.is_none() {
            for (segment, run) in train.x().segments().zip(train.x().rows().runs()) {
                for (row, column) in
                    (0..segment.nrows()).flat_map(|r| (0..segment.ncols()).map(move |c| (r, c)))
                {
                    let value = segment.get(row, column);
                    if value != 0.0 && value != 1.0 {
                        return Err(Error::unsupported(format!(
                            "{}: row {}, column {column} (both from 0) is {value}; without binarize it takes 0 and 1",
                            Self::KIND,
                            run.start + row
                        )));
                    }
                }
            }
        }
        let parameters = BernoulliNBParameters { alpha: self.alpha, priors: None, binarize: self.binarize };
        let ones = call(Self::KIND, train.x(), |x| {
            type Backend = bernoulli::BernoulliNB<f64, u32, SharedMatrix, Vec<u32>>;
            let fitted = Backend::fit(x, &codes.codes, parameters)?;
            Ok(table(fitted.feature_log_prob()))
        })?;
        // Of 0 and 1, what is above a half is 1.
        Ok(Distribution::Bernoulli { ones, threshold: self.binarize.unwrap_or(0.5) })
    }
}

smoothed!(BernoulliNb);
naive_bayes!(BernoulliNb, "smartcore.bernoulli_nb", 1, |this, n, p| {
    if this.binarize.is_some() { 8 * n * p + 16 * n + 4096 } else { 16 * n + 4096 }
});

/// Naive Bayes of counts by smartcore's `MultinomialNB`, with scikit-learn's parameters.
///
/// smartcore insists on whole numbers of 32 bits: the rows are copied into half their bytes, the declared cost; a value that is no
/// whole number is an error by row and column. It gives no probabilities (made here); one class is a constant here.
///
/// ```
/// use ensemble_smartcore::MultinomialNb;
/// assert_eq!(MultinomialNb::new().alpha(1.0), MultinomialNb::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MultinomialNb {
    alpha: f64,
}

impl MultinomialNb {
    /// Smoothing 1.
    pub fn new() -> Self {
        Self { alpha: 1.0 }
    }

    fn check(&self) -> Result<()> {
        check_alpha(Self::KIND, self.alpha)
    }

    fn distribution(&self, train: &Train<'_>, codes: &Codes) -> Result<Distribution> {
        let x = whole_numbers(Self::KIND, train, u32::MAX)?;
        let parameters = MultinomialNBParameters::default().with_alpha(self.alpha);
        type Backend = multinomial::MultinomialNB<u32, u32, DenseMatrix<u32>, Vec<u32>>;
        let fitted = Backend::fit(&x, &codes.codes, parameters).map_err(|e| failed(Self::KIND, &e))?;
        Ok(Distribution::Multinomial { counts: table(fitted.feature_log_prob()) })
    }
}

smoothed!(MultinomialNb);
naive_bayes!(MultinomialNb, "smartcore.multinomial_nb", 1, |_, n, p| 4 * n * p + 16 * n + 4096);

/// Naive Bayes of categories by smartcore's `CategoricalNB`, with scikit-learn's parameters. A column's categories are whole numbers
/// from 0, up to 65,535.
///
/// smartcore insists on whole numbers of 32 bits: the rows are copied into half their bytes, the declared cost. Tables of 16 bytes per
/// class and category come on top.
///
/// Faults of smartcore 0.7.0 handled here: it allocates up to the greatest category, whatever that is (refused beyond 65,535); one
/// unseen category makes it forget the row's other columns (here that column alone says nothing); it gives no probabilities; one
/// class is a constant here.
///
/// ```
/// use ensemble_smartcore::CategoricalNb;
/// assert_eq!(CategoricalNb::new().alpha(1.0), CategoricalNb::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CategoricalNb {
    alpha: f64,
}

impl CategoricalNb {
    /// Smoothing 1.
    pub fn new() -> Self {
        Self { alpha: 1.0 }
    }

    fn check(&self) -> Result<()> {
        check_alpha(Self::KIND, self.alpha)
    }

    fn distribution(&self, train: &Train<'_>, codes: &Codes) -> Result<Distribution> {
        let x = whole_numbers(Self::KIND, train, u32::from(u16::MAX))?;
        let parameters = CategoricalNBParameters::default().with_alpha(self.alpha);
        type Backend = categorical::CategoricalNB<u32, DenseMatrix<u32>, Vec<u32>>;
        let fitted = Backend::fit(&x, &codes.codes, parameters).map_err(|e| failed(Self::KIND, &e))?;
        let tables = fitted.feature_log_prob();
        let mut starts = Vec::with_capacity(tables.len() + 1);
        starts.push(0);
        for (table, categories) in tables.iter().zip(fitted.n_categories()) {
            starts.push(starts[starts.len() - 1] + table.len() * categories);
        }
        let mut categories = Vec::with_capacity(starts[tables.len()]);
        categories.extend(tables.iter().flatten().flatten());
        Ok(Distribution::Categorical { starts, categories })
    }
}

smoothed!(CategoricalNb);
// A shape says nothing of categories: sixteen a column.
naive_bayes!(CategoricalNb, "smartcore.categorical_nb", 16, |_, n, p| 4 * n * p + 24 * n + 4096);

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: GaussianNb::KIND,
        backend: BACKEND,
        parameters: const {
            &[Parameter::new("var_smoothing", "1e-9", "share of the greatest variance that is added to all")]
        },
        build: |params| {
            let learner = GaussianNb::new().var_smoothing(params.number("var_smoothing", 1e-9)?);
            learner.check()?;
            Ok(Built::Learner(Arc::new(learner)))
        },
    });
    registry.add_kind(Kind {
        name: BernoulliNb::KIND,
        backend: BACKEND,
        parameters: const {
            &[
                ALPHA,
                Parameter::new(
                    "binarize",
                    "0.0",
                    "values above it count as 1; none when all are 0 or 1 already",
                ),
            ]
        },
        build: |params| {
            let binarize = match params.word("binarize", "0.0") {
                "none" | "None" => None,
                _ => Some(params.number("binarize", 0.0)?),
            };
            let learner = BernoulliNb { alpha: params.number("alpha", 1.0)?, binarize };
            learner.check()?;
            Ok(Built::Learner(Arc::new(learner)))
        },
    });
    registry.add_kind(Kind {
        name: MultinomialNb::KIND,
        backend: BACKEND,
        parameters: const { &[ALPHA] },
        build: |params| {
            let learner = MultinomialNb { alpha: params.number("alpha", 1.0)? };
            learner.check()?;
            Ok(Built::Learner(Arc::new(learner)))
        },
    });
    registry.add_kind(Kind {
        name: CategoricalNb::KIND,
        backend: BACKEND,
        parameters: const { &[ALPHA] },
        build: |params| {
            let learner = CategoricalNb { alpha: params.number("alpha", 1.0)? };
            learner.check()?;
            Ok(Built::Learner(Arc::new(learner)))
        },
    });
    registry.add_loader(NaiveBayesModel::RECORD, |record, _| {
        Ok(Loaded::Model(Arc::new(NaiveBayesModel::from_record(record)?)))
    });
}
