//! Support vector machines.
//!
//! smartcore's fitted machines borrow their parameters and the matrix, so they cannot be kept. What they have learned - support
//! vectors, weights, an intercept - is taken out by way of their serde form, and predicted from here.

use std::sync::Arc;

use ensemble_core::{
    Access, Built, Convergence, Error, Estimator, FitContext, FitCost, Kind, Loaded, MatMut, MatRef, Model,
    Order, Parameter, Params, Predicts, PresentClasses, Record, Registry, Result, Shape, Train,
    check_prediction, on_stack,
    parameter::{between, finite, from_to, not_negative, positive},
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use smartcore::{
    error::Failed,
    svm::{
        Kernels,
        svc::{SVC, SVCParameters},
        svr::{SVR, SVRParameters},
    },
};

use crate::{
    SharedMatrix,
    backend::{BACKEND, call, check_finite, codes, failed, targets},
};

/// What two rows are compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SvmKernel {
    /// exp(-gamma ||x - y||^2).
    #[default]
    Rbf,
    /// x'y.
    Linear,
    /// (gamma x'y + coef0)^degree.
    Poly,
    /// tanh(gamma x'y + coef0).
    Sigmoid,
}

/// How wide a kernel is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Gamma {
    /// One over the number of columns times the variance of all values.
    #[default]
    Scale,
    /// One over the number of columns.
    Auto,
    /// This number, above 0.
    Value(f64),
}

/// What rounding lets the solvers reach.
const LEAST_TOL: f64 = 1e-9;

/// Passes of the classifier's solver, each of which visits every row anew and never ends early.
const MOST_EPOCHS: usize = 1000;

/// A kernel and its parameters.
#[derive(Clone, Debug, PartialEq)]
struct KernelOptions {
    kernel: SvmKernel,
    gamma: Gamma,
    degree: usize,
    coef0: f64,
}

impl Default for KernelOptions {
    fn default() -> Self {
        Self { kernel: SvmKernel::Rbf, gamma: Gamma::Scale, degree: 3, coef0: 0.0 }
    }
}

impl KernelOptions {
    fn check(&self, kind: &str) -> Result<()> {
        if let Gamma::Value(gamma) = self.gamma {
            positive(kind, "gamma", gamma)?;
        }
        from_to(kind, "degree", self.degree, 1, 100)?;
        finite(kind, "coef0", self.coef0)
    }

    fn from_params(params: &Params) -> Result<Self> {
        let kernel = match params.word("kernel", "rbf") {
            "rbf" => SvmKernel::Rbf,
            "linear" => SvmKernel::Linear,
            "poly" | "polynomial" => SvmKernel::Poly,
            "sigmoid" => SvmKernel::Sigmoid,
            other => {
                return Err(Error::parameter(params.kind(), "kernel", other, "rbf, linear, poly or sigmoid"));
            }
        };
        let gamma = match params.word("gamma", "scale") {
            "scale" => Gamma::Scale,
            "auto" => Gamma::Auto,
            _ => Gamma::Value(params.get("gamma", 1.0, "scale, auto or a number above 0")?),
        };
        Ok(Self { kernel, gamma, degree: params.count("degree", 3)?, coef0: params.number("coef0", 0.0)? })
    }

    /// The kernel for these rows.
    fn on(&self, train: &Train<'_>) -> Kernel {
        let p = train.shape().ncols as f64;
        let gamma = match self.gamma {
            Gamma::Value(gamma) => gamma,
            Gamma::Auto => 1.0 / p,
            Gamma::Scale => {
                let values = || {
                    train.x().segments().flat_map(|s| {
                        (0..s.nrows()).flat_map(move |r| (0..s.ncols()).map(move |c| s.get(r, c)))
                    })
                };
                let n = train.shape().nrows as f64 * p;
                let mean = values().sum::<f64>() / n;
                let variance = values().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
                if variance > 0.0 { 1.0 / (p * variance) } else { 1.0 }
            }
        };
        Kernel { kernel: self.kernel, gamma, degree: self.degree as f64, coef0: self.coef0 }
    }
}

/// A kernel with numbers for all its parameters.
#[derive(Clone, Debug, PartialEq)]
struct Kernel {
    kernel: SvmKernel,
    gamma: f64,
    degree: f64,
    coef0: f64,
}

impl Kernel {
    fn backend(&self) -> Kernels {
        match self.kernel {
            SvmKernel::Linear => Kernels::linear(),
            SvmKernel::Rbf => Kernels::rbf().with_gamma(self.gamma),
            SvmKernel::Poly => {
                Kernels::polynomial().with_degree(self.degree).with_gamma(self.gamma).with_coef0(self.coef0)
            }
            SvmKernel::Sigmoid => Kernels::sigmoid().with_gamma(self.gamma).with_coef0(self.coef0),
        }
    }

    /// Sums run in smartcore's order.
    fn of(&self, x: &[f64], y: &[f64]) -> f64 {
        let pairs = x.iter().zip(y);
        let dot = |pairs: std::iter::Zip<std::slice::Iter<'_, f64>, std::slice::Iter<'_, f64>>| {
            pairs.map(|(a, b)| a * b).sum::<f64>()
        };
        match self.kernel {
            SvmKernel::Linear => dot(pairs),
            SvmKernel::Rbf => (-self.gamma * pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>()).exp(),
            SvmKernel::Poly => (self.gamma * dot(pairs) + self.coef0).powf(self.degree),
            SvmKernel::Sigmoid => (self.gamma * dot(pairs) + self.coef0).tanh(),
        }
    }

    fn name(&self) -> &'static str {
        match self.kernel {
            SvmKernel::Rbf => "rbf",
            SvmKernel::Linear => "linear",
            SvmKernel::Poly => "poly",
            SvmKernel::Sigmoid => "sigmoid",
        }
    }

    fn from_name(name: &str) -> Option<SvmKernel> {
        Some(match name {
            "rbf" => SvmKernel::Rbf,
            "linear" => SvmKernel::Linear,
            "poly" => SvmKernel::Poly,
            "sigmoid" => SvmKernel::Sigmoid,
            _ => return None,
        })
    }
}

/// One machine: f(x) = b + sum of w_i K(x, x_i).
#[derive(Clone, Debug, PartialEq)]
struct Machine {
    instances: Vec<Vec<f64>>,
    w: Vec<f64>,
    b: f64,
}

/// The serde form of a machine of smartcore 0.7's, field by field: one that is new, gone or of another name is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    instances: Vec<Vec<f64>>,
    w: Vec<f64>,
    b: f64,
    /// Of a classifier.
    #[serde(default, rename = "classes")]
    _classes: IgnoredAny,
    #[serde(default, rename = "phantomdata")]
    _phantom_of_classifier: IgnoredAny,
    /// Of a regression.
    #[serde(default, rename = "parameters")]
    _parameters: IgnoredAny,
    #[serde(default, rename = "phantom")]
    _phantom_of_regression: IgnoredAny,
}

impl Machine {
    /// What a fitted machine of smartcore's has learned.
    fn of(fitted: &impl Serialize) -> std::result::Result<Self, Failed> {
        let odd = |e: serde_json::Error| Failed::fit(&format!("the fitted machine cannot be read: {e}"));
        let Learned { instances, w, b, .. } =
            serde_json::from_slice(&serde_json::to_vec(fitted).map_err(odd)?).map_err(odd)?;
        if instances.len() != w.len() {
            return Err(Failed::fit("the fitted machine cannot be read: its weights are not its vectors'"));
        }
        let mut machine = Machine { instances, w, b };
        machine.instances.iter_mut().for_each(Vec::shrink_to_fit);
        machine.instances.shrink_to_fit();
        machine.w.shrink_to_fit();
        Ok(machine)
    }

    fn value(&self, kernel: &Kernel, x: &[f64]) -> f64 {
        let terms = self.w.iter().zip(&self.instances);
        terms.fold(self.b, |sum, (weight, vector)| sum + weight * kernel.of(x, vector))
    }

    fn check(&self, kind: &str) -> Result<()> {
        check_finite(kind, "a weight", self.w.iter().chain([&self.b]))
    }
}

/// Fitted support vector machines.
#[derive(Clone, Debug, PartialEq)]
pub struct SvmModel {
    learner: String,
    kernel: Kernel,
    /// One; or, for classes, one for every pair of those present, (0, 1), (0, 2), .., (1, 2), ..
    machines: Vec<Machine>,
    /// `None` for a target of numbers.
    present: Option<PresentClasses>,
    n_inputs: usize,
    convergence: Option<Convergence>,
}

impl SvmModel {
    /// Name of the record of such a model.
    pub const RECORD: &'static str = "smartcore.svm_model";

    /// Support vectors of all machines together.
    pub fn n_support(&self) -> usize {
        self.machines.iter().map(|m| m.w.len()).sum()
    }

    /// From what [`Model::to_record`] gave.
    ///
    /// # Errors
    /// When a part is missing or does not fit the others.
    pub fn from_record(record: &Record) -> Result<Self> {
        let bad = || Error::spec(Self::RECORD, "the parts of the saved model do not fit each other");
        let n_inputs = record.count("columns")?;
        let present = record.field("n_classes").ok().map(|_| PresentClasses::load(record)).transpose()?;
        let [gamma, degree, coef0] = record.array("kernel_parameters")?.data[..] else { return Err(bad()) };
        let kernel = Kernel::from_name(&record.text("kernel")?).ok_or_else(bad)?;
        let machines: Vec<Machine> = record
            .children()
            .iter()
            .map(|child| {
                let (vectors, w) = (record_array(child, "vectors")?, record_array(child, "weights")?);
                let b = *record_array(child, "intercept")?.first().ok_or_else(bad)?;
                if vectors.len() != w.len() * n_inputs || n_inputs == 0 {
                    return Err(bad());
                }
                Ok(Machine {
                    instances: vectors.chunks_exact(n_inputs).map(Vec::from).collect(),
                    w: w.into(),
                    b,
                })
            })
            .collect::<Result<_>>()?;
        let pairs = present.as_ref().map_or(1, |p| p.len() * p.len().saturating_sub(1) / 2);
        if machines.len() != pairs || pairs == 0 {
            return Err(bad());
        }
        let kernel = Kernel { kernel, gamma, degree, coef0 };
        Ok(Self { learner: record.text("learner")?, kernel, machines, present, n_inputs, convergence: None })
    }
}

fn record_array<'a>(record: &'a Record, name: &str) -> Result<&'a [f64]> {
    Ok(&record.array(name)?.data)
}

impl Model for SvmModel {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn n_outputs(&self) -> usize {
        self.present.as_ref().map_or(1, PresentClasses::n_classes)
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        let mut values = vec![0.0; x.ncols()];
        let k = self.present.as_ref().map_or(0, PresentClasses::len);
        let mut votes = vec![0u32; k];
        for row in 0..x.nrows() {
            x.copy_row_into(row, &mut values);
            let Some(present) = &self.present else {
                out.set(row, 0, self.machines[0].value(&self.kernel, &values));
                continue;
            };
            votes.fill(0);
            let pairs = (0..k).flat_map(|low| (low + 1..k).map(move |high| (low, high)));
            for ((low, high), machine) in pairs.zip(&self.machines) {
                // Two classes: smartcore's positive class is the second. Of more, in each pair, the first.
                let positive = machine.value(&self.kernel, &values) > 0.0;
                votes[if positive == (k == 2) { high } else { low }] += 1;
            }
            let winner = (0..k).fold(0, |best, c| if votes[c] > votes[best] { c } else { best });
            (0..present.n_classes()).for_each(|class| out.set(row, class, 0.0));
            out.set(row, present.classes()[winner], 1.0);
        }
        Ok(())
    }

    fn convergence(&self) -> Option<Convergence> {
        self.convergence
    }

    fn bytes(&self) -> u64 {
        let vectors = self.n_support() * (8 * self.n_inputs + size_of::<Vec<f64>>() + 8);
        (size_of::<Self>() + self.learner.len() + vectors + self.machines.len() * size_of::<Machine>()) as u64
    }

    fn to_record(&self) -> Result<Record> {
        let record = Record::new(Self::RECORD)
            .with_text("learner", &self.learner)
            .with_text("kernel", self.kernel.name())
            .with_array(
                "kernel_parameters",
                &[3],
                vec![self.kernel.gamma, self.kernel.degree, self.kernel.coef0],
            )
            .with_field("columns", self.n_inputs);
        let record = match &self.present {
            Some(present) => present.save(record),
            None => record,
        };
        Ok(self.machines.iter().fold(record, |record, machine| {
            let vectors: Vec<f64> = machine.instances.iter().flatten().copied().collect();
            record.with_child(
                Record::new("smartcore.svm_machine")
                    .with_array("vectors", &[machine.w.len(), self.n_inputs], vectors)
                    .with_array("weights", &[machine.w.len()], machine.w.clone())
                    .with_array("intercept", &[1], vec![machine.b]),
            )
        }))
    }
}

macro_rules! kernel_builders {
    ($name:ident) => {
        impl $name {
            /// What rows are compared by.
            #[must_use]
            pub fn kernel(mut self, kernel: SvmKernel) -> Self {
                self.kernel.kernel = kernel;
                self
            }

            /// How wide the kernel is.
            #[must_use]
            pub fn gamma(mut self, gamma: Gamma) -> Self {
                self.kernel.gamma = gamma;
                self
            }

            /// Degree of a polynomial kernel.
            #[must_use]
            pub fn degree(mut self, degree: usize) -> Self {
                self.kernel.degree = degree;
                self
            }

            /// What polynomial and sigmoid kernels add to the product.
            #[must_use]
            pub fn coef0(mut self, coef0: f64) -> Self {
                self.kernel.coef0 = coef0;
                self
            }

            /// Most weight of one training row, above 0.
            #[must_use]
            pub fn c(mut self, c: f64) -> Self {
                self.c = c;
                self
            }

            /// How far from the optimum the fit may stop, above 0.
            #[must_use]
            pub fn tol(mut self, tol: f64) -> Self {
                self.tol = tol;
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

/// smartcore stores as many values of a row as there are rows.
fn check_shape(kind: &str, Shape { nrows, ncols }: Shape) -> Result<()> {
    if nrows >= ncols {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{kind}: {nrows} rows and {ncols} columns; smartcore cuts rows off after as many values as there are rows"
    )))
}

fn row_of(x: MatRef<'_>, row: usize, values: &mut [f64]) {
    x.copy_row_into(row, values);
}

/// Epsilon-support vector regression by smartcore's `SVR`, with scikit-learn's parameters.
///
/// **Takes 16 n^2 bytes**: every row is stored with room for n values, and the kernel of every row with all others is kept. All of it is
/// in the declared cost, so a budget refuses it beforehand.
///
/// Faults of smartcore 0.7.0 handled here: its machines borrow parameters and rows (what they learned is taken out); with fewer rows
/// than columns it cuts rows off (an error here); it stops after 50,000 steps without a word, and for all kernels but rbf it
/// takes the kernel's diagonal from the wrong values, which can lead there: the duality gap is computed here, and is the gap of the
/// model's convergence, as a share of the objective.
///
/// ```
/// use ensemble_smartcore::{Gamma, SvmKernel, Svr};
/// assert_eq!(Svr::new().kernel(SvmKernel::Rbf).gamma(Gamma::Scale).epsilon(0.1), Svr::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Svr {
    kernel: KernelOptions,
    c: f64,
    epsilon: f64,
    tol: f64,
}

kernel_builders!(Svr);

impl Svr {
    const KIND: &'static str = "smartcore.svr";

    /// With an rbf kernel, C = 1 and a tube of 0.1.
    pub fn new() -> Self {
        Self { kernel: KernelOptions::default(), c: 1.0, epsilon: 0.1, tol: 1e-3 }
    }

    /// Errors up to this cost nothing.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    fn check(&self) -> Result<()> {
        positive(Self::KIND, "C", self.c)?;
        between(Self::KIND, "tol", self.tol, LEAST_TOL, 1e150)?;
        not_negative(Self::KIND, "epsilon", self.epsilon)?;
        self.kernel.check(Self::KIND)
    }

    /// Whether the duality gap has nearly closed. Where several rows are equal, the most favourable target stands for a support vector.
    fn convergence(&self, train: &Train<'_>, kernel: &Kernel, machine: &Machine) -> Convergence {
        let mut values = vec![0.0; train.shape().ncols];
        let mut best = vec![f64::NEG_INFINITY; machine.w.len()];
        let mut losses = 0.0;
        for (x, y) in train.x().segments().filter(|s| s.nrows() > 0).zip(train.y()) {
            for (row, target) in y.iter().enumerate() {
                row_of(x, row, &mut values);
                losses += ((target - machine.value(kernel, &values)).abs() - self.epsilon).max(0.0);
                for ((best, vector), weight) in best.iter_mut().zip(&machine.instances).zip(&machine.w) {
                    if vector[..] == values[..] {
                        *best = best.max(weight * target);
                    }
                }
            }
        }
        let norm: f64 = machine
            .instances
            .iter()
            .zip(&machine.w)
            .map(|(vector, weight)| weight * (machine.value(kernel, vector) - machine.b))
            .sum();
        let weights: f64 = machine.w.iter().map(|w| w.abs()).sum();
        let primal = 0.5 * norm + self.c * losses;
        let dual = best.iter().sum::<f64>() - 0.5 * norm - self.epsilon * weights;
        let room = 10.0 * self.tol * self.c * train.shape().nrows as f64 + 1e-2 * primal.abs();
        let gap = (primal - dual).max(0.0);
        let share = if gap > 0.0 { gap / primal.abs() } else { 0.0 };
        Convergence::new(None, share, gap <= room)
    }
}

impl Estimator for Svr {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        let (n, p) = (train.nrows as u64, train.ncols as u64);
        let model_bytes =
            n * (8 * p + 40) + (size_of::<SvmModel>() + size_of::<Machine>() + Self::KIND.len()) as u64;
        FitCost { peak_bytes: 16 * n * n + 200 * n + 32 * p, model_bytes }
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        train.check_magnitudes()?;
        check_shape(Self::KIND, train.shape())?;
        let kernel = self.kernel.on(train);
        let y = targets(train);
        let parameters = SVRParameters::default()
            .with_c(self.c)
            .with_eps(self.epsilon)
            .with_tol(self.tol)
            .with_kernel(kernel.backend());
        let machine = call(Self::KIND, train.x(), |x| Machine::of(&SVR::fit(x, &y, &parameters)?))?;
        machine.check(Self::KIND)?;
        let convergence = Some(self.convergence(train, &kernel, &machine));
        Ok(Arc::new(SvmModel {
            learner: Self::KIND.into(),
            kernel,
            machines: vec![machine],
            present: None,
            n_inputs: train.shape().ncols,
            convergence,
        }))
    }
}

/// Support vector classification by smartcore's `SVC`, an online learner (LASVM) of few passes, one machine for every pair of classes.
/// Predicts votes. With scikit-learn's parameters and `epoch`, the number of passes.
///
/// Two classes are fitted on the rows where they lie; of more, the rows of each pair are copied for its machine. **Its cache of
/// kernels grows as n^2**: up to 90 bytes for every pair of rows, in the declared cost.
///
/// Faults of smartcore 0.7.0 handled here: its machines borrow parameters and rows (what they learned is taken out); with fewer rows
/// than columns it cuts rows off (an error here); `MultiClassSVC` breaks ties by the order of a hash map (the lowest class here);
/// gradients that have lost their digits keep it going round for ever (refused by the size of the values); one class is a
/// constant here.
///
/// ```
/// use ensemble_core::{Estimator, Predicts};
/// use ensemble_smartcore::{SvmKernel, Svc};
/// assert_eq!(Svc::new().kernel(SvmKernel::Linear).predicts(), Predicts::Votes);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Svc {
    kernel: KernelOptions,
    c: f64,
    tol: f64,
    epoch: usize,
    random_state: u64,
}

kernel_builders!(Svc);

impl Svc {
    const KIND: &'static str = "smartcore.svc";

    /// With an rbf kernel, C = 1, and two passes.
    pub fn new() -> Self {
        Self { kernel: KernelOptions::default(), c: 1.0, tol: 1e-3, epoch: 2, random_state: 0 }
    }

    /// Passes over the rows.
    #[must_use]
    pub fn epoch(mut self, epoch: usize) -> Self {
        self.epoch = epoch;
        self
    }

    /// Seed of the order of rows, mixed with the run's.
    #[must_use]
    pub fn random_state(mut self, random_state: u64) -> Self {
        self.random_state = random_state;
        self
    }

    fn check(&self) -> Result<()> {
        positive(Self::KIND, "C", self.c)?;
        between(Self::KIND, "tol", self.tol, LEAST_TOL, 1e150)?;
        from_to(Self::KIND, "epoch", self.epoch, 1, MOST_EPOCHS)?;
        self.kernel.check(Self::KIND)
    }

    /// That gradients keep enough digits: smartcore goes on until they are below 1,000.
    fn check_size(&self, train: &Train<'_>, kernel: &Kernel) -> Result<()> {
        let mut values = vec![0.0; train.shape().ncols];
        let mut greatest = 0.0_f64;
        for x in train.x().segments() {
            for row in 0..x.nrows() {
                row_of(x, row, &mut values);
                greatest = greatest.max(kernel.of(&values, &values).abs());
            }
        }
        if greatest * self.c * train.shape().nrows as f64 <= 1e15 {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "{}: kernels of up to {greatest:e} leave smartcore's gradients no digits; scale the columns first",
            Self::KIND
        )))
    }

    fn machine(
        &self,
        x: &SharedMatrix,
        y: &Vec<u32>,
        kernel: &Kernel,
        seed: u64,
    ) -> std::result::Result<Machine, Failed> {
        let parameters = SVCParameters::<f64, u32, SharedMatrix, Vec<u32>>::default()
            .with_c(self.c)
            .with_tol(self.tol)
            .with_epoch(self.epoch)
            .with_kernel(kernel.backend())
            .with_seed(Some(seed));
        Machine::of(&SVC::fit(x, y, &parameters)?)
    }
}

impl Estimator for Svc {
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
        // A machine for every pair of classes, so that a row may support one machine for each other class.
        let others = k.saturating_sub(1);
        let machines = k * others / 2 * size_of::<Machine>() as u64;
        let own = (size_of::<SvmModel>() + Self::KIND.len()) as u64 + 8 * k;
        let model_bytes = others * n * (8 * p + 40) + 2 * machines + own;
        // A hash map of pairs at 25 bytes a slot, filled to seven eighths, beside its half while it grows; rows, twice.
        let slots = (n * n * 8 / 7 + 1).next_power_of_two();
        FitCost { peak_bytes: slots * 25 * 3 / 2 + 16 * n * p + 160 * n + 8192 + model_bytes, model_bytes }
    }

    fn predicts(&self) -> Predicts {
        Predicts::Votes
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        train.check_magnitudes()?;
        let (present, counts) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let codes = codes(train, &present);
        let ncols = train.shape().ncols;
        let kernel = self.kernel.on(train);
        self.check_size(train, &kernel)?;
        let seed = cx.seed_with(self.random_state);
        let mut machines = Vec::new();
        if present.len() == 2 {
            check_shape(Self::KIND, train.shape())?;
            machines.push(call(Self::KIND, train.x(), |x| self.machine(x, &codes, &kernel, seed))?);
        } else {
            let pairs =
                (0..present.len()).flat_map(|low| (low + 1..present.len()).map(move |high| (low, high)));
            for (low, high) in pairs {
                let nrows = (counts[low] + counts[high]) as usize;
                check_shape(Self::KIND, Shape { nrows, ncols })?;
                let (mut rows, mut labels) = (Vec::with_capacity(nrows * ncols), Vec::with_capacity(nrows));
                let mut code = codes.iter();
                for segment in train.x().segments() {
                    for (row, code) in (0..segment.nrows()).zip(&mut code) {
                        if [low, high].contains(&(*code as usize)) {
                            rows.extend((0..ncols).map(|c| segment.get(row, c)));
                            // smartcore's positive class of a pair is the lower.
                            labels.push(u32::from(*code as usize == low));
                        }
                    }
                }
                let x = SharedMatrix::from_values(rows, nrows, ncols, Order::C);
                machines.push(on_stack(256 << 20, || {
                    self.machine(&x, &labels, &kernel, seed).map_err(|e| failed(Self::KIND, &e))
                })?);
            }
        }
        machines.iter().try_for_each(|m| m.check(Self::KIND))?;
        Ok(Arc::new(SvmModel {
            learner: Self::KIND.into(),
            kernel,
            machines,
            present: Some(present),
            n_inputs: ncols,
            // An online learner of so many passes: it has no optimum to reach.
            convergence: None,
        }))
    }
}

const KERNEL: [Parameter; 6] = [
    Parameter::new("kernel", "rbf", "rbf, linear, poly or sigmoid"),
    Parameter::new("gamma", "scale", "width of the kernel: scale, auto or a number"),
    Parameter::new("degree", "3", "degree of a polynomial kernel, 1 to 100"),
    Parameter::new("coef0", "0.0", "what polynomial and sigmoid kernels add to the product"),
    Parameter::new("C", "1.0", "most weight of one training row").or(&["c"]),
    Parameter::new("tol", "1e-3", "how far from the optimum the fit may stop, 1e-9 or more"),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: Svr::KIND,
        backend: BACKEND,
        parameters: const {
            let [kernel, gamma, degree, coef0, c, tol] = KERNEL;
            &[
                kernel,
                gamma,
                degree,
                coef0,
                c,
                tol,
                Parameter::new("epsilon", "0.1", "errors up to this cost nothing").or(&["eps"]),
            ]
        },
        build: |params| {
            let svr = Svr {
                kernel: KernelOptions::from_params(params)?,
                c: params.number("C", 1.0)?,
                epsilon: params.number("epsilon", 0.1)?,
                tol: params.number("tol", 1e-3)?,
            };
            svr.check()?;
            Ok(Built::Learner(Arc::new(svr)))
        },
    });
    registry.add_kind(Kind {
        name: Svc::KIND,
        backend: BACKEND,
        parameters: const {
            let [kernel, gamma, degree, coef0, c, tol] = KERNEL;
            &[
                kernel,
                gamma,
                degree,
                coef0,
                c,
                tol,
                Parameter::new("epoch", "2", "passes over the rows, up to 1000"),
                Parameter::new("random_state", "0", "seed, mixed with the run's").or(&["seed"]),
            ]
        },
        build: |params| {
            let svc = Svc {
                kernel: KernelOptions::from_params(params)?,
                c: params.number("C", 1.0)?,
                tol: params.number("tol", 1e-3)?,
                epoch: params.count("epoch", 2)?,
                random_state: params.get("random_state", 0, "a whole number, 0 or more")?,
            };
            svc.check()?;
            Ok(Built::Learner(Arc::new(svc)))
        },
    });
    registry.add_loader(SvmModel::RECORD, |record, _| {
        Ok(Loaded::Model(Arc::new(SvmModel::from_record(record)?)))
    });
}
