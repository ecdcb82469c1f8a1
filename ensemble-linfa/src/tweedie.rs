//! Generalised linear models of Tweedie's family by linfa's L-BFGS, scaled so that its first step does not overshoot.

use std::sync::Arc;

use ensemble_core::{
    Access, Convergence, Error, Estimator, FitContext, FitCost, LinearModel, Loaded, Model, Record, Registry,
    Result, Shape, Train,
    parameter::{not_negative, positive, rounds},
};
use linfa::{DatasetBase, traits::Fit};
use ndarray::{Array1, ArrayView1, ArrayView2};

use crate::{
    parameters::{parameters, words},
    view::{ByRow, RowModel, finite, refused, training_views, values},
};

words! {
    /// How the mean depends on the linear predictor.
    Link {
        /// Identity for power 0, log otherwise.
        Auto = "auto",
        /// The mean is the predictor.
        Identity = "identity",
        /// The logarithm of the mean is the predictor.
        Log = "log",
        /// The log odds of the mean are the predictor: targets between 0 and 1.
        Logit = "logit",
    }
}

impl Link {
    fn inverse(self, eta: f64) -> f64 {
        match self {
            Link::Log => eta.exp(),
            Link::Logit => 1.0 / (1.0 + (-eta).exp()),
            Link::Auto | Link::Identity => eta,
        }
    }

    /// Derivative of the mean by the predictor, at the mean.
    fn slope(self, mean: f64) -> f64 {
        match self {
            Link::Log => mean,
            Link::Logit => mean * (1.0 - mean),
            Link::Auto | Link::Identity => 1.0,
        }
    }
}

parameters! {
    /// A generalised linear model with a Tweedie deviance, by linfa's L-BFGS: minimises the mean of half the deviances plus
    /// alpha ||b||^2 / 2, scikit-learn's `TweedieRegressor`. Power 0 is normal, 1 Poisson, 1 to 2 compound Poisson-gamma, 2
    /// gamma, 3 inverse Gaussian.
    ///
    /// linfa's penalty and tolerance are those of a sum over rows; `alpha` and `tol` here are scikit-learn's, of the mean.
    ///
    /// Faults of linfa-linear 0.8.1 handled here. Its first step is the whole gradient of a sum: with the log link and some
    /// thousands of rows it overflows, and the fit returns its starting point, or never returns. A target in other units has a
    /// deviance in other units and the same coefficients, so targets are scaled until that step is short; where that cannot
    /// help (power from 1.7 to 2.3, no intercept, logit) it is one scaled copy of the rows, which `cost` declares. Its Poisson
    /// deviance lacks a factor (`distribution.rs`: 2 y ln(y / mean) - y + mean) and disagrees with its gradient, so power 1 runs
    /// as 1.00001, where linfa uses the general formula. Means that turn negative or NaN never end its line search: the
    /// identity link is offered for power 0 alone. It tells nothing of its end, so that convergence is judged by the slope left.
    /// It adds up the rows as they lie in memory, so that tables in C and in Fortran order differ in last bits.
    TweedieRegressor: Learner = "linfa.tweedie_regressor", "linfa-linear 0.8.1" {
        power "power" []: f64 = 0.0, "0", "power of the mean that the variance goes with: -100 to 0, or 1 to 100";
        alpha "alpha" []: f64 = 1.0, "1.0", "weight of the squared coefficients";
        fit_intercept "fit_intercept" []: bool = true, "true", "whether to fit an intercept";
        link "link" []: Link = Link::Auto, "auto", "auto, identity, log or logit";
        max_iter "max_iter" []: usize = 100, "100", "most iterations";
        tol "tol" []: f64 = 1e-4, "1e-4", "slope of the objective to stop at";
    }
}

/// How the problem is made small enough for linfa's first step.
enum Scaling {
    None,
    Target(f64),
    Columns(f64),
}

impl TweedieRegressor {
    fn check(&self) -> Result<()> {
        not_negative(Self::KIND, "alpha", self.alpha)?;
        positive(Self::KIND, "tol", self.tol)?;
        rounds(Self::KIND, "max_iter", self.max_iter)?;
        let allowed = (-100.0..=0.0).contains(&self.power) || (1.0..=100.0).contains(&self.power);
        if !allowed {
            return Err(Error::parameter(
                Self::KIND,
                "power",
                self.power,
                "from -100 to 0, or from 1 to 100",
            ));
        }
        if self.link_used() == Link::Identity && self.power != 0.0 {
            return Err(Error::parameter(
                Self::KIND,
                "link",
                "identity",
                "identity goes with power 0: other powers need positive means, and linfa does not return without",
            ));
        }
        Ok(())
    }

    fn link_used(&self) -> Link {
        match self.link {
            Link::Auto if self.power <= 0.0 => Link::Identity,
            Link::Auto => Link::Log,
            link => link,
        }
    }

    /// The power that linfa is given; see the type's faults.
    fn power_for_linfa(&self) -> f64 {
        if (self.power - 1.0).abs() < 1e-5 { 1.000_01 } else { self.power }
    }

    /// Whether scaling needs a copy of the rows.
    fn copies(&self) -> bool {
        match self.link_used() {
            Link::Log => !self.fit_intercept || (self.power - 2.0).abs() <= 0.3,
            Link::Logit => true,
            Link::Auto | Link::Identity => false,
        }
    }

    fn check_targets(&self, y: ArrayView1<'_, f64>) -> Result<f64> {
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        let refuse = |want: &str| {
            Err(Error::unsupported(format!(
                "{}: power={} with the {} link needs targets {want}",
                Self::KIND,
                self.power,
                self.link_used().word()
            )))
        };
        let power = self.power_for_linfa();
        if power >= 2.0 && y.iter().any(|v| *v <= 0.0) {
            return refuse("above 0");
        }
        if power > 0.0 && y.iter().any(|v| *v < 0.0) {
            return refuse("of 0 or more");
        }
        match self.link_used() {
            Link::Log if mean <= 0.0 => refuse("whose mean is above 0"),
            Link::Logit if mean <= 0.0 || mean >= 1.0 => refuse("whose mean lies between 0 and 1"),
            _ => Ok(mean),
        }
    }

    /// The mean objective's slope by every coefficient, without the penalty, and by the intercept; and the longest row.
    fn slopes(&self, x: ArrayView2<'_, f64>, y: ArrayView1<'_, f64>, b: &[f64], b0: f64) -> (Vec<f64>, f64) {
        let (n, link) = (x.nrows() as f64, self.link_used());
        let mut slopes = vec![0.0; x.ncols() + 1];
        let mut longest = 0.0_f64;
        for (row, y) in x.rows().into_iter().zip(y) {
            let (mut eta, mut square) = (b0, 0.0);
            for (v, b) in row.iter().zip(b) {
                eta += v * b;
                square += v * v;
            }
            longest = longest.max(square);
            let mean = link.inverse(eta);
            let slope = (mean - y) * link.slope(mean) / mean.powf(self.power) / n;
            for (s, v) in slopes.iter_mut().zip(row.iter().chain([&1.0])) {
                *s += slope * v;
            }
        }
        if !self.fit_intercept {
            slopes.pop();
        }
        (slopes, longest.sqrt())
    }

    /// Such that linfa's first step moves no predictor by more than 1.
    fn scaling(&self, n: f64, slopes: &[f64], longest: f64) -> Scaling {
        let length = slopes.iter().map(|s| s * s).sum::<f64>().sqrt() * n;
        let shrink = (1.0 / (length * longest.max(1.0))).min(1.0);
        match self.link_used() {
            _ if shrink >= 1.0 || shrink.is_nan() => Scaling::None,
            Link::Auto | Link::Identity => Scaling::None,
            _ if self.copies() => Scaling::Columns(shrink.sqrt()),
            _ => Scaling::Target(shrink),
        }
    }
}

impl Estimator for TweedieRegressor {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Contiguous(None)
    }

    fn cost(&self, train: Shape) -> FitCost {
        let Shape { nrows: n, ncols: p } = train;
        let rows = if self.copies() { n * p } else { 0 };
        // linfa's vectors of one value a row at once; the solver remembers 7 pairs of steps.
        let vectors = match self.link_used() {
            Link::Log | Link::Logit => 7,
            Link::Auto | Link::Identity => 6,
        };
        FitCost {
            peak_bytes: (8 * (rows + vectors * n + 40 * (p + 1)) + 4096) as u64,
            model_bytes: (8 * p + size_of::<GlmModel>()) as u64,
        }
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        let (x, y) = training_views(train)?;
        let mean = self.check_targets(y)?;
        let (n, p, link) = (x.nrows() as f64, x.ncols(), self.link_used());
        let start = match (self.fit_intercept, link) {
            (false, _) => 0.0,
            (true, Link::Log) => mean.ln(),
            (true, Link::Logit) => (mean / (1.0 - mean)).ln(),
            (true, _) => mean,
        };
        let (slopes, longest) = self.slopes(x, y, &vec![0.0; p], start);
        let steepest = slopes.iter().fold(0.0_f64, |m, s| m.max(s.abs()));
        let params = linfa_linear::TweedieRegressorParams::<f64>::new()
            .power(self.power_for_linfa())
            .fit_intercept(self.fit_intercept)
            .max_iter(self.max_iter)
            .link(match link {
                Link::Log => linfa_linear::Link::Log,
                Link::Logit => linfa_linear::Link::Logit,
                Link::Auto | Link::Identity => linfa_linear::Link::Identity,
            });
        let (alpha, tol) = (self.alpha * n, self.tol * n);
        let refused = refused(Self::KIND);
        let (coefficients, intercept): (Vec<f64>, f64) = match self.scaling(n, &slopes, longest) {
            Scaling::None => {
                let fitted = params.alpha(alpha).tol(tol).fit(&DatasetBase::new(x, y)).map_err(refused)?;
                (fitted.coef.iter().copied().collect(), fitted.intercept)
            }
            Scaling::Target(shrink) => {
                // The deviance of c y is c^(2 - power) times that of y.
                let c = shrink.powf(1.0 / (2.0 - self.power_for_linfa()));
                let scaled: Array1<f64> = y.iter().map(|v| v * c).collect();
                let params = params.alpha(alpha * shrink).tol(tol * shrink);
                let fitted = params.fit(&DatasetBase::new(x, scaled)).map_err(refused)?;
                (fitted.coef.iter().copied().collect(), fitted.intercept - c.ln())
            }
            Scaling::Columns(s) => {
                let scaled = &x * s;
                let params = params.alpha(alpha * s * s).tol(tol * s);
                let fitted = params.fit(&DatasetBase::new(scaled, y)).map_err(refused)?;
                (fitted.coef.iter().map(|b| b * s).collect(), fitted.intercept)
            }
        };
        finite(Self::KIND, "coefficients", coefficients.iter().chain([&intercept]))?;
        let (mut left, _) = self.slopes(x, y, &coefficients, intercept);
        left.iter_mut().zip(&coefficients).for_each(|(s, b)| *s += self.alpha * b);
        let left = left.iter().fold(0.0_f64, |m, s| if s.is_nan() { f64::INFINITY } else { m.max(s.abs()) });
        if !left.is_finite() {
            return Err(Error::unsupported(format!(
                "{}: linfa ends where means overflow; scale the columns first",
                Self::KIND
            )));
        }
        // The solver also stops where rounding hides a descent; the slope of the start is then nearly gone.
        let convergence = Convergence::new(None, left, left <= self.tol.max(1e-6 * steepest));
        Ok(match link {
            Link::Auto | Link::Identity => {
                Arc::new(LinearModel::new(Self::KIND, coefficients, intercept).with_convergence(convergence))
                    as Arc<dyn Model>
            }
            _ => {
                let convergence = Some(convergence);
                Arc::new(ByRow(GlmModel { coefficients, intercept, link, convergence }))
            }
        })
    }

    fn is_linear(&self) -> bool {
        self.link_used() == Link::Identity
    }
}

/// A linear predictor behind a link.
struct GlmModel {
    coefficients: Vec<f64>,
    intercept: f64,
    link: Link,
    convergence: Option<Convergence>,
}

impl GlmModel {
    const RECORD: &'static str = "linfa.glm";

    fn from_record(record: &Record) -> Result<Self> {
        let link = Link::saved(&record.text("link")?)?;
        Ok(Self {
            coefficients: record.array("coefficients")?.data.clone(),
            intercept: values(record, "intercept", 1)?[0],
            link,
            convergence: None,
        })
    }
}

impl RowModel for GlmModel {
    fn n_inputs(&self) -> usize {
        self.coefficients.len()
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict_row(&self, row: &[f64], out: &mut [f64]) {
        let sum: f64 = row.iter().zip(&self.coefficients).map(|(v, b)| v * b).sum();
        out[0] = self.link.inverse(sum + self.intercept);
    }

    fn convergence(&self) -> Option<Convergence> {
        self.convergence
    }

    fn bytes(&self) -> u64 {
        (8 * self.coefficients.len() + size_of::<Self>()) as u64
    }

    fn to_record(&self) -> Result<Record> {
        Ok(Record::new(Self::RECORD)
            .with_text("link", self.link.word())
            .with_array("coefficients", &[self.coefficients.len()], self.coefficients.clone())
            .with_array("intercept", &[1], vec![self.intercept]))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    TweedieRegressor::offer(registry);
    registry.add_loader(GlmModel::RECORD, |record, _| {
        Ok(Loaded::Model(Arc::new(ByRow(GlmModel::from_record(record)?))))
    });
}
