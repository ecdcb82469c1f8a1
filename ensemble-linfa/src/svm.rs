//! Support vector machines by linfa's SMO on a dense kernel: n^2 values, which the declared cost holds.

use std::sync::Arc;

use ensemble_core::{
    Access, Convergence, Error, Estimator, FitContext, FitCost, LinearModel, Loaded, Model, Predicts,
    PresentClasses, Record, Registry, Result, Shape, Train,
    parameter::{self, between, from_to, positive},
};
use linfa::{
    DatasetBase, ParamGuard,
    composing::platt_scaling::{PlattParams, platt_newton_method},
    traits::Fit,
};
use linfa_svm::SvmParams;
use ndarray::{Array1, ArrayView1, ArrayView2};

use crate::{
    parameters::{Value, parameters, words},
    view::{ByRow, RowModel, finite, refused, training_views, values, views},
};

words! {
    /// What likeness of two rows is.
    KernelKind {
        /// u'v.
        Linear = "linear",
        /// exp(-gamma ||u - v||^2).
        Rbf = "rbf",
        /// (gamma u'v + coef0)^degree.
        Poly = "poly",
    }
}

/// How fast likeness falls with distance, or the factor of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gamma {
    /// 1 / (columns x variance of all values).
    Scale,
    /// 1 / columns.
    Auto,
    /// A number above 0.
    Value(f64),
}

impl Value for Gamma {
    fn read(params: &ensemble_core::Params, name: &str, default: Self) -> Result<Self> {
        match params.word(name, "") {
            "" => Ok(default),
            "scale" => Ok(Gamma::Scale),
            "auto" => Ok(Gamma::Auto),
            _ => params.get(name, 0.0, "a number above 0, scale or auto").map(Gamma::Value),
        }
    }
}

parameters! {
    /// Support vector regression by linfa: scikit-learn's `SVR`.
    ///
    /// linfa builds the whole kernel, 8 n^2 bytes, for the linear one too. A fit may make 10 million steps of n operations.
    /// With the linear kernel the model is a linear model; with others it keeps a copy of its support vectors.
    ///
    /// Faults of linfa-svm 0.8.1 handled here: NaN goes through to the model in silence; its polynomial kernel has no gamma,
    /// which is moved into `C` and `coef0`.
    Svr: Learner = "linfa.svr", "linfa-svm 0.8.1" {
        kernel "kernel" []: KernelKind = KernelKind::Rbf, "rbf", "linear, rbf or poly";
        c "C" ["c"]: f64 = 1.0, "1.0", "weight of the errors";
        epsilon "epsilon" ["loss_eps"]: f64 = 0.1, "0.1", "errors up to this are none";
        gamma "gamma" []: Gamma = Gamma::Scale, "scale", "of rbf and poly: a number, scale or auto";
        degree "degree" []: usize = 3, "3", "of poly, up to 100";
        coef0 "coef0" []: f64 = 0.0, "0.0", "of poly";
        tol "tol" ["eps"]: f64 = 1e-3, "1e-3", "violation of optimality to stop at, 1e-9 or more";
    }
}

parameters! {
    /// Support vector classification by linfa, one class against the rest when there are more than two: scikit-learn's `SVC`.
    ///
    /// With `probability`, scores become probabilities by linfa's Platt scaling, fitted on the training rows' own scores (where
    /// scikit-learn cross-validates, so that these are surer of themselves), and those of several classes are divided by their
    /// sum. Without, rows are votes for the greatest score. Memory and time are those of [`Svr`].
    ///
    /// Faults of linfa-svm 0.8.1 handled here: probabilities come as `f32`, and its solver stops with an error where classes are
    /// separated so far that no slope is left; then the class decided for is certain.
    Svc: Learner = "linfa.svc", "linfa-svm 0.8.1" {
        kernel "kernel" []: KernelKind = KernelKind::Rbf, "rbf", "linear, rbf or poly";
        c "C" ["c"]: f64 = 1.0, "1.0", "weight of the errors";
        gamma "gamma" []: Gamma = Gamma::Scale, "scale", "of rbf and poly: a number, scale or auto";
        degree "degree" []: usize = 3, "3", "of poly, up to 100";
        coef0 "coef0" []: f64 = 0.0, "0.0", "of poly";
        tol "tol" ["eps"]: f64 = 1e-3, "1e-3", "violation of optimality to stop at, 1e-9 or more";
        probability "probability" []: bool = true, "true", "probabilities by Platt scaling, or votes";
    }
}

/// A kernel in linfa's units.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kernel {
    Linear,
    /// exp(-||u - v||^2 / width).
    Gaussian {
        width: f64,
    },
    /// (u'v + constant)^degree.
    Polynomial {
        constant: f64,
        degree: f64,
    },
}

impl Kernel {
    /// The kernel, and what C is multiplied by: (gamma u'v + c)^d is gamma^d (u'v + c / gamma)^d, and a machine with kernel s K and
    /// C is one with kernel K and s C.
    fn new(kind: KernelKind, gamma: Gamma, degree: usize, coef0: f64, x: ArrayView2<'_, f64>) -> (Self, f64) {
        let gamma = match gamma {
            Gamma::Value(gamma) => gamma,
            Gamma::Auto => 1.0 / x.ncols() as f64,
            Gamma::Scale => {
                let n = x.len() as f64;
                let mean = x.iter().sum::<f64>() / n;
                let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
                if variance > 0.0 { 1.0 / (x.ncols() as f64 * variance) } else { 1.0 }
            }
        };
        match kind {
            KernelKind::Linear => (Kernel::Linear, 1.0),
            KernelKind::Rbf => (Kernel::Gaussian { width: 1.0 / gamma }, 1.0),
            KernelKind::Poly => (
                Kernel::Polynomial { constant: coef0 / gamma, degree: degree as f64 },
                gamma.powi(degree as i32),
            ),
        }
    }

    fn set<T>(self, params: SvmParams<f64, T>) -> SvmParams<f64, T> {
        match self {
            Kernel::Linear => params.linear_kernel(),
            Kernel::Gaussian { width } => params.gaussian_kernel(width),
            Kernel::Polynomial { constant, degree } => params.polynomial_kernel(constant, degree),
        }
    }

    /// Likeness as linfa computes it.
    fn of<'v>(self, u: &[f64], v: impl Iterator<Item = &'v f64>) -> f64 {
        let dot = |v: &mut dyn Iterator<Item = &'v f64>| u.iter().zip(v).map(|(a, b)| a * b).sum::<f64>();
        let mut v = v;
        match self {
            Kernel::Linear => dot(&mut v),
            Kernel::Gaussian { width } => {
                let distance: f64 = u.iter().zip(v).map(|(a, b)| (a - b) * (a - b)).sum();
                (-distance / width).exp()
            }
            Kernel::Polynomial { constant, degree } => (dot(&mut v) + constant).powf(degree),
        }
    }
}

/// A fitted machine: score = sum of alpha times likeness to a support vector, less rho.
#[derive(Clone, Debug, PartialEq)]
struct Machine {
    kernel: Kernel,
    n_inputs: usize,
    alpha: Vec<f64>,
    /// Support vectors, row by row; one row of coefficients for the linear kernel, with alpha 1.
    vectors: Vec<f64>,
    rho: f64,
    convergence: Option<Convergence>,
}

impl Machine {
    const RECORD: &'static str = "linfa.support_vectors";

    /// From linfa's: `alpha` of every row, the score of a row without rho, and what it says of its end.
    fn new(
        kind: &str,
        kernel: Kernel,
        x: ArrayView2<'_, f64>,
        (alpha, rho): (&[f64], f64),
        score: impl Fn(&Array1<f64>) -> f64,
        said: &str,
    ) -> Result<Self> {
        let convergence = ended(said);
        let n_inputs = x.ncols();
        let machine = if kernel == Kernel::Linear {
            // The score of a unit vector is its coefficient, exactly.
            let mut unit = Array1::zeros(n_inputs);
            let mut vectors = Vec::with_capacity(n_inputs);
            for j in 0..n_inputs {
                unit[j] = 1.0;
                vectors.push(score(&unit));
                unit[j] = 0.0;
            }
            Self { kernel, n_inputs, alpha: vec![1.0], vectors, rho, convergence }
        } else {
            let support = |a: &f64| a.abs() > 100.0 * f64::EPSILON;
            let kept = alpha.iter().filter(|a| support(a)).count();
            let mut vectors = Vec::with_capacity(kept * n_inputs);
            let mut alphas = Vec::with_capacity(kept);
            for (row, a) in x.rows().into_iter().zip(alpha).filter(|(_, a)| support(a)) {
                vectors.extend(row.iter());
                alphas.push(*a);
            }
            Self { kernel, n_inputs, alpha: alphas, vectors, rho, convergence }
        };
        finite(kind, "support", machine.alpha.iter().chain(&machine.vectors).chain([&machine.rho]))?;
        Ok(machine)
    }

    fn score<'v>(&self, row: impl Iterator<Item = &'v f64> + Clone) -> f64 {
        let vectors = self.vectors.chunks_exact(self.n_inputs);
        vectors.zip(&self.alpha).map(|(v, a)| self.kernel.of(v, row.clone()) * a).sum::<f64>() - self.rho
    }

    fn bytes(&self) -> usize {
        8 * (self.alpha.len() + self.vectors.len()) + size_of::<Self>()
    }

    fn to_record(&self) -> Record {
        let (name, parameters) = match self.kernel {
            Kernel::Linear => ("linear", Vec::new()),
            Kernel::Gaussian { width } => ("gaussian", vec![width]),
            Kernel::Polynomial { constant, degree } => ("polynomial", vec![constant, degree]),
        };
        Record::new(Self::RECORD)
            .with_text("kernel", name)
            .with_field("columns", self.n_inputs as u64)
            .with_array("parameters", &[parameters.len()], parameters)
            .with_array("alpha", &[self.alpha.len()], self.alpha.clone())
            .with_array("vectors", &[self.alpha.len(), self.n_inputs], self.vectors.clone())
            .with_array("rho", &[1], vec![self.rho])
    }

    fn from_record(record: &Record) -> Result<Self> {
        let parameters = &record.array("parameters")?.data;
        let kernel = match (record.text("kernel")?.as_str(), parameters.as_slice()) {
            ("linear", _) => Kernel::Linear,
            ("gaussian", [width]) => Kernel::Gaussian { width: *width },
            ("polynomial", [constant, degree]) => Kernel::Polynomial { constant: *constant, degree: *degree },
            (other, _) => return Err(Error::spec(Self::RECORD, format!("no kernel is called '{other}'"))),
        };
        let (n_inputs, alpha) = (record.count("columns")?, record.array("alpha")?.data.clone());
        let vectors = values(record, "vectors", alpha.len() * n_inputs)?;
        let rho = values(record, "rho", 1)?[0];
        Ok(Self { kernel, n_inputs, alpha, vectors, rho, convergence: None })
    }
}

impl RowModel for Machine {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict_row(&self, row: &[f64], out: &mut [f64]) {
        out[0] = self.score(row.iter());
    }

    fn convergence(&self) -> Option<Convergence> {
        self.convergence
    }

    fn bytes(&self) -> u64 {
        Machine::bytes(self) as u64
    }

    fn to_record(&self) -> Result<Record> {
        Ok(Machine::to_record(self))
    }
}

/// How linfa's solver ended, of which only the text of a fitted machine tells: "Exited after 12 iterations with obj = ..", or "Reached
/// maximal iterations 12 with ..".
fn ended(said: &str) -> Option<Convergence> {
    let steps = said.split_whitespace().find_map(|word| word.parse::<u64>().ok())?;
    match said.split_whitespace().next()? {
        "Exited" => Some(Convergence::new(steps, None, true)),
        "Reached" => Some(Convergence::new(steps, None, false)),
        _ => None,
    }
}

/// That linfa's solver can come to an end: its sums hold about `c` times the greatest likeness, whose last digit must lie below `tol`.
/// Otherwise rounding keeps it from stopping before ten million steps.
fn check_digits(kind: &str, kernel: Kernel, c: f64, tol: f64, x: ArrayView2<'_, f64>) -> Result<()> {
    let own = |row: ArrayView1<'_, f64>| kernel.of(&row.to_vec(), row.iter()).abs();
    let greatest = x.rows().into_iter().map(own).fold(0.0, f64::max);
    if c * greatest * f64::EPSILON <= 10.0 * tol {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{kind}: rows are alike up to {greatest:e}, and times C that leaves no digits for tol={tol:e}; scale the columns first, or \
         lower C, gamma or coef0"
    )))
}

/// The kernel, linfa's vectors of one value a row (two for a regression), and support vectors: its copy and ours.
fn cost(train: Shape, vectors: usize, machines: usize) -> FitCost {
    let Shape { nrows: n, ncols: p } = train;
    let support = n * (p + 1) * 8;
    FitCost {
        peak_bytes: (8 * n * n + 8 * n * vectors + (machines + 1) * support + 4096) as u64,
        model_bytes: (machines * support + size_of::<Machine>()) as u64,
    }
}

/// One machine for two classes, one per class for more.
fn n_machines(n_classes: usize) -> usize {
    if n_classes == 2 { 1 } else { n_classes }
}

/// What rounding lets linfa's solver reach. Below it, it makes the ten million steps that it ends after, of n operations each.
const LEAST_TOL: f64 = 1e-9;

macro_rules! common_checks {
    ($own:expr) => {
        positive(Self::KIND, "C", $own.c)?;
        between(Self::KIND, "tol", $own.tol, LEAST_TOL, 1e150)?;
        if let Gamma::Value(gamma) = $own.gamma {
            positive(Self::KIND, "gamma", gamma)?;
        }
        parameter::finite(Self::KIND, "coef0", $own.coef0)?;
        from_to(Self::KIND, "degree", $own.degree, 0, 100)?;
    };
}

impl Svr {
    fn check(&self) -> Result<()> {
        common_checks!(self);
        // linfa asks for more than 0.
        positive(Self::KIND, "epsilon", self.epsilon)
    }
}

impl Estimator for Svr {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Contiguous(None)
    }

    fn cost(&self, train: Shape) -> FitCost {
        cost(train, 24, 1)
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        let (x, y) = training_views(train)?;
        let (kernel, factor) = Kernel::new(self.kernel, self.gamma, self.degree, self.coef0, x);
        check_digits(Self::KIND, kernel, self.c * factor, self.tol, x)?;
        let params = kernel.set(SvmParams::<f64, f64>::new().eps(self.tol));
        let fitted = params
            .c_svr(self.c * factor, Some(self.epsilon))
            .fit(&DatasetBase::new(x, y))
            .map_err(refused(Self::KIND))?;
        let machine = Machine::new(
            Self::KIND,
            kernel,
            x,
            (&fitted.alpha, fitted.rho),
            |row| fitted.weighted_sum(row),
            &fitted.to_string(),
        )?;
        Ok(if kernel == Kernel::Linear {
            let model = LinearModel::new(Self::KIND, machine.vectors, -machine.rho);
            Arc::new(model.with_convergence(machine.convergence)) as Arc<dyn Model>
        } else {
            Arc::new(ByRow(machine))
        })
    }

    fn is_linear(&self) -> bool {
        self.kernel == KernelKind::Linear
    }
}

impl Svc {
    fn check(&self) -> Result<()> {
        common_checks!(self);
        Ok(())
    }

    /// The machine that tells rows whose label is true, and its Platt coefficients.
    fn machine(
        &self,
        x: ArrayView2<'_, f64>,
        kernel: Kernel,
        c: f64,
        labels: Array1<bool>,
    ) -> Result<(Machine, [f64; 2])> {
        let params = kernel.set(SvmParams::<f64, bool>::new().eps(self.tol)).pos_neg_weights(c, c);
        let fitted = params.fit(&DatasetBase::new(x, labels.view())).map_err(refused(Self::KIND))?;
        let machine = Machine::new(
            Self::KIND,
            kernel,
            x,
            (&fitted.alpha, fitted.rho),
            |row| fitted.weighted_sum(row),
            &fitted.to_string(),
        )?;
        drop(fitted);
        if !self.probability {
            return Ok((machine, [0.0; 2]));
        }
        let scores: Array1<f64> = x.rows().into_iter().map(|row| machine.score(row.iter())).collect();
        let params = PlattParams::<f64, ()>::default();
        let params = params.check().map_err(refused(Self::KIND))?;
        // A probability is 1 / (1 + exp(a score + b)). Where the solver stops short, a steep slope decides by the score.
        let (a, b) = platt_newton_method(scores.view(), labels.view(), &params)
            .ok()
            .filter(|(a, b)| a.is_finite() && b.is_finite())
            .unwrap_or((-1e3, 0.0));
        Ok((machine, [a, b]))
    }
}

impl Estimator for Svc {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Contiguous(None)
    }

    fn predicts(&self) -> Predicts {
        if self.probability { Predicts::Probabilities } else { Predicts::Votes }
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.cost_with_classes(train, 2)
    }

    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        cost(train, 12, n_machines(n_classes))
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        train.check_magnitudes()?;
        let (present, _) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let (x, y) = views(train)?;
        let (kernel, factor) = Kernel::new(self.kernel, self.gamma, self.degree, self.coef0, x);
        check_digits(Self::KIND, kernel, self.c * factor, self.tol, x)?;
        // Two classes need one machine, for the second.
        let firsts = if present.len() == 2 { 1..2 } else { 0..present.len() };
        let (mut machines, mut platt) = (Vec::new(), Vec::new());
        for code in firsts {
            let labels = present.codes(y.iter().copied()).map(|c| c == code).collect();
            let (machine, scaling) = self.machine(x, kernel, self.c * factor, labels)?;
            machines.push(machine);
            platt.extend(scaling);
        }
        let probability = self.probability;
        Ok(Arc::new(ByRow(SvcModel { n_inputs: x.ncols(), present, machines, platt, probability })))
    }
}

/// As many as [`n_machines`] says.
struct SvcModel {
    n_inputs: usize,
    present: PresentClasses,
    machines: Vec<Machine>,
    /// Two of each machine.
    platt: Vec<f64>,
    probability: bool,
}

impl SvcModel {
    const RECORD: &'static str = "linfa.svc_model";

    fn from_record(record: &Record) -> Result<Self> {
        let (n_inputs, present) = (record.count("columns")?, PresentClasses::load(record)?);
        let machines: Vec<Machine> =
            record.children().iter().map(Machine::from_record).collect::<Result<_>>()?;
        let want = n_machines(present.len());
        if machines.len() != want || machines.iter().any(|m| m.n_inputs != n_inputs) {
            return Err(Error::shape("machines of a saved model", want, machines.len()));
        }
        let platt = values(record, "platt", 2 * machines.len())?;
        let probability = record.count("probability")? == 1;
        Ok(Self { n_inputs, present, machines, platt, probability })
    }
}

impl RowModel for SvcModel {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn n_outputs(&self) -> usize {
        self.present.n_classes()
    }

    fn predict_row(&self, row: &[f64], out: &mut [f64]) {
        let mut scores: Vec<f64> = self.machines.iter().map(|m| m.score(row.iter())).collect();
        if self.probability {
            for (score, platt) in scores.iter_mut().zip(self.platt.chunks_exact(2)) {
                *score = 1.0 / (1.0 + (platt[0] * *score + platt[1]).exp());
            }
        }
        if let [score] = scores[..] {
            // Against the other class: linfa decides for true at a score of 0.
            scores = if self.probability {
                vec![1.0 - score, score]
            } else {
                vec![0.0, if score >= 0.0 { 1.0 } else { -1.0 }]
            };
        }
        if self.probability {
            let sum: f64 = scores.iter().sum();
            let even = 1.0 / scores.len() as f64;
            scores.iter_mut().for_each(|s| *s = if sum > 0.0 { *s / sum } else { even });
        } else {
            let mut best = 0;
            for (i, s) in scores.iter().enumerate() {
                if *s > scores[best] {
                    best = i;
                }
            }
            scores.fill(0.0);
            scores[best] = 1.0;
        }
        self.present.spread(&scores, out);
    }

    fn convergence(&self) -> Option<Convergence> {
        self.machines.iter().filter_map(|m| m.convergence).reduce(Convergence::and)
    }

    fn bytes(&self) -> u64 {
        let machines: usize = self.machines.iter().map(Machine::bytes).sum();
        (machines + 8 * (self.platt.len() + self.present.len()) + size_of::<Self>()) as u64
    }

    fn to_record(&self) -> Result<Record> {
        let record = Record::new(Self::RECORD)
            .with_field("columns", self.n_inputs as u64)
            .with_field("probability", u64::from(self.probability))
            .with_array("platt", &[self.platt.len()], self.platt.clone());
        let record = self.present.save(record);
        Ok(self.machines.iter().fold(record, |r, m| r.with_child(m.to_record())))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    Svr::offer(registry);
    Svc::offer(registry);
    registry.add_loader(Machine::RECORD, |record, _| {
        Ok(Loaded::Model(Arc::new(ByRow(Machine::from_record(record)?))))
    });
    registry.add_loader(SvcModel::RECORD, |record, _| {
        Ok(Loaded::Model(Arc::new(ByRow(SvcModel::from_record(record)?))))
    });
}
