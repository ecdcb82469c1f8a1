//! Logistic regression of two classes and of many, by linfa's L-BFGS.

use std::sync::Arc;

use ensemble_core::{
    Access, COLUMN_MOMENTS, ColumnMoments, Convergence, Error, Estimator, FitContext, FitCost, Loaded, Model,
    Predicts, PresentClasses, Record, Registry, Result, Shape, Statistic, Train,
    parameter::{not_negative, positive, rounds},
    softmax, statistics_of,
};
use linfa::{DatasetBase, traits::Fit};
use ndarray::{Array1, ArrayView2};

use crate::{
    finish::Finish,
    parameters::parameters,
    view::{ByRow, RowModel, finite, refused, values, views},
};

parameters! {
    /// Logistic regression with an l2 penalty: minimises C times the sum of log losses plus ||w||^2 / 2, scikit-learn's
    /// `LogisticRegression`. Two classes take linfa's two-class solver, more its multinomial one.
    ///
    /// `C` is scikit-learn's; `alpha`, 1 / C, is linfa's own and wins where it is given. linfa stops by the slope of a sum over
    /// rows; `tol` here is that of the mean. A fit that reaches `max_iter` returns the model it has, as scikit-learn's does.
    ///
    /// Faults of linfa-logistic 0.8.1 handled here: its solver, given columns far from 0 as they are, ends far from the optimum (mean
    /// loss 0.27 for 0.16 where a mean is 1,000 standard deviations). One pass after it measures the slope in columns that are
    /// centred and of variance 1; where that is above 100 `tol`, up to `max_iter` more steps are made in such columns, which changes
    /// neither the rows nor what is minimised, since the intercept is not penalised ([`Model::convergence`] tells how it ended); the class whose probability it gives is the more frequent one, and the
    /// last-met one of a tie (`lib.rs:340-348`), so that probabilities are assigned by its labels; its multinomial loss takes
    /// the greatest score of all rows out of every row's exponents (`:442-452`) and is wrong where scores of rows differ by
    /// more than 34: a fit that ends there is an error. Its solver adds up the rows as they lie in memory (`:479` and `:508`), so that
    /// tables in C and in Fortran order differ in last bits.
    LogisticRegression: Learner = "linfa.logistic_regression", "linfa-logistic 0.8.1" {
        c "C" ["c"]: f64 = 1.0, "1.0", "inverse weight of the squared coefficients";
        alpha "alpha" []: Option<f64> = None, "none", "weight of the squared coefficients, instead of C";
        fit_intercept "fit_intercept" ["with_intercept"]: bool = true, "true", "whether to fit an intercept";
        max_iter "max_iter" ["max_iterations"]: usize = 100, "100", "most iterations";
        tol "tol" ["gradient_tolerance"]: f64 = 1e-4, "1e-4", "slope of the mean loss to stop at";
    }
}

parameters! {
    /// [`LogisticRegression`] by linfa's multinomial solver also for two classes, with one vector of coefficients per class.
    MultinomialLogisticRegression: Learner = "linfa.multinomial_logistic_regression", "linfa-logistic 0.8.1" {
        c "C" ["c"]: f64 = 1.0, "1.0", "inverse weight of the squared coefficients";
        alpha "alpha" []: Option<f64> = None, "none", "weight of the squared coefficients, instead of C";
        fit_intercept "fit_intercept" ["with_intercept"]: bool = true, "true", "whether to fit an intercept";
        max_iter "max_iter" ["max_iterations"]: usize = 100, "100", "most iterations";
        tol "tol" ["gradient_tolerance"]: f64 = 1e-4, "1e-4", "slope of the mean loss to stop at";
    }
}

/// Parameters of both.
struct Problem {
    kind: &'static str,
    alpha: f64,
    fit_intercept: bool,
    max_iter: usize,
    tol: f64,
}

impl Problem {
    fn two_classes(&self, x: ArrayView2<'_, f64>, codes: Array1<usize>) -> Result<(Vec<f64>, Vec<f64>)> {
        let params = linfa_logistic::LogisticRegression::<f64>::new()
            .alpha(self.alpha)
            .with_intercept(self.fit_intercept)
            .max_iterations(self.max_iter as u64)
            .gradient_tolerance(self.tol * x.nrows() as f64);
        let fitted = params.fit(&DatasetBase::new(x, codes)).map_err(refused(self.kind))?;
        // Scores are for the class that linfa calls positive; for code 1 they are these or their opposites.
        let sign = if fitted.labels().pos.class == 1 { 1.0 } else { -1.0 };
        Ok((fitted.params().iter().map(|w| sign * w).collect(), vec![sign * fitted.intercept()]))
    }

    fn many_classes(&self, x: ArrayView2<'_, f64>, codes: Array1<usize>) -> Result<(Vec<f64>, Vec<f64>)> {
        let params = linfa_logistic::MultiLogisticRegression::<f64>::new()
            .alpha(self.alpha)
            .with_intercept(self.fit_intercept)
            .max_iterations(self.max_iter as u64)
            .gradient_tolerance(self.tol * x.nrows() as f64);
        let fitted = params.fit(&DatasetBase::new(x, codes)).map_err(refused(self.kind))?;
        // One vector per class, one after the other.
        let coefficients: Vec<f64> = fitted.params().t().iter().copied().collect();
        Ok((coefficients, fitted.intercept().iter().copied().collect()))
    }

    /// # Errors
    /// When scores of rows lie further apart than linfa's multinomial loss can take.
    fn check_spread(&self, x: ArrayView2<'_, f64>, coefficients: &[f64], intercepts: &[f64]) -> Result<()> {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for row in x.rows() {
            let scores = coefficients.chunks_exact(x.ncols()).zip(intercepts);
            let best = scores
                .map(|(w, b)| row.iter().zip(w).map(|(v, w)| v * w).sum::<f64>() + b)
                .fold(f64::NEG_INFINITY, f64::max);
            (least, most) = (least.min(best), most.max(best));
        }
        if most - least > 34.0 {
            return Err(Error::unsupported(format!(
                "{}: scores of rows differ by {:.0}, where linfa's multinomial loss is wrong; scale the columns \
                 first, or lower C",
                self.kind,
                most - least
            )));
        }
        Ok(())
    }

    fn fit(&self, train: &Train<'_>, cx: &FitContext<'_>, multinomial: bool) -> Result<Arc<dyn Model>> {
        train.check_magnitudes()?;
        let (present, _) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let (x, y) = views(train)?;
        let codes: Array1<usize> = present.codes(y.iter().copied()).collect();
        let two = present.len() == 2 && !multinomial;
        let (mut coefficients, mut intercepts) =
            if two { self.two_classes(x, codes)? } else { self.many_classes(x, codes)? };
        finite(self.kind, "coefficients", coefficients.iter().chain(&intercepts))?;
        if !two {
            self.check_spread(x, &coefficients, &intercepts)?;
        }
        let moments = statistics_of(train, &[Box::new(ColumnMoments::new(x.ncols())) as Box<dyn Statistic>])?;
        let moments = moments.get::<ColumnMoments>(&COLUMN_MOMENTS)?;
        let rows = train.contiguous_x()?;
        let codes = || present.codes(y.iter().copied());
        let finish = Finish::new(rows, &codes, &moments, intercepts.len(), self.alpha, self.fit_intercept);
        let convergence = finish.solve(&mut coefficients, &mut intercepts, self.tol, self.max_iter);
        finite(self.kind, "coefficients", coefficients.iter().chain(&intercepts))?;
        let convergence = Some(convergence);
        Ok(Arc::new(ByRow(LogisticModel {
            n_inputs: x.ncols(),
            coefficients,
            intercepts,
            present,
            convergence,
        })))
    }
}

macro_rules! logistic {
    ($name:ident, $multinomial:literal) => {
        impl $name {
            fn check(&self) -> Result<()> {
                positive(Self::KIND, "C", self.c)?;
                if let Some(alpha) = self.alpha {
                    not_negative(Self::KIND, "alpha", alpha)?;
                }
                positive(Self::KIND, "tol", self.tol)?;
                rounds(Self::KIND, "max_iter", self.max_iter)
            }
        }

        impl Estimator for $name {
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
                cost(train, n_classes, $multinomial)
            }

            fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
                self.check()?;
                let problem = Problem {
                    kind: Self::KIND,
                    alpha: self.alpha.unwrap_or(1.0 / self.c),
                    fit_intercept: self.fit_intercept,
                    max_iter: self.max_iter,
                    tol: self.tol,
                };
                problem.fit(train, cx, $multinomial)
            }
        }
    };
}

logistic!(LogisticRegression, false);
logistic!(MultinomialLogisticRegression, true);

/// Codes, targets, and linfa's vectors: of one value a row (and class, when there are many), and of coefficients.
fn cost(train: Shape, n_classes: usize, multinomial: bool) -> FitCost {
    let Shape { nrows: n, ncols: p } = train;
    let (rows, coefficients, k) = match n_classes {
        2 if !multinomial => (3, 120, 1),
        k => (3 + 3 * k, 40 * k, k),
    };
    let model_bytes = 8 * (p + 1) * k + 8 * n_classes + size_of::<LogisticModel>();
    FitCost {
        peak_bytes: (8 * n * rows + 8 * coefficients * (p + 1) + model_bytes) as u64,
        model_bytes: model_bytes as u64,
    }
}

/// Linear scores per class, or for code 1 alone when there are two.
struct LogisticModel {
    n_inputs: usize,
    coefficients: Vec<f64>,
    intercepts: Vec<f64>,
    present: PresentClasses,
    convergence: Option<Convergence>,
}

impl LogisticModel {
    const RECORD: &'static str = "linfa.logistic";

    fn from_record(record: &Record) -> Result<Self> {
        let (n_inputs, present) = (record.count("columns")?, PresentClasses::load(record)?);
        let intercepts = record.array("intercepts")?.data.clone();
        if intercepts.len() != present.len() && (intercepts.len(), present.len()) != (1, 2) {
            return Err(Error::shape("intercepts of a saved model", present.len(), intercepts.len()));
        }
        let coefficients = values(record, "coefficients", n_inputs * intercepts.len())?;
        Ok(Self { n_inputs, coefficients, intercepts, present, convergence: None })
    }

    fn score(&self, at: usize, row: &[f64]) -> f64 {
        let w = &self.coefficients[at * self.n_inputs..(at + 1) * self.n_inputs];
        row.iter().zip(w).map(|(v, w)| v * w).sum::<f64>() + self.intercepts[at]
    }
}

impl RowModel for LogisticModel {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn n_outputs(&self) -> usize {
        self.present.n_classes()
    }

    fn predict_row(&self, row: &[f64], out: &mut [f64]) {
        if self.intercepts.len() == 1 {
            let score = self.score(0, row);
            // The smaller of the two is computed, so that neither is lost.
            let rare = 1.0 / (1.0 + score.abs().exp());
            let pair = if score >= 0.0 { [rare, 1.0 - rare] } else { [1.0 - rare, rare] };
            return self.present.spread(&pair, out);
        }
        let mut scores: Vec<f64> = (0..self.intercepts.len()).map(|c| self.score(c, row)).collect();
        softmax(&mut scores);
        self.present.spread(&scores, out);
    }

    fn convergence(&self) -> Option<Convergence> {
        self.convergence
    }

    fn bytes(&self) -> u64 {
        (8 * (self.coefficients.len() + self.intercepts.len() + self.present.len()) + size_of::<Self>())
            as u64
    }

    fn to_record(&self) -> Result<Record> {
        let classes = self.intercepts.len();
        let record = Record::new(Self::RECORD)
            .with_field("columns", self.n_inputs as u64)
            .with_array("coefficients", &[classes, self.n_inputs], self.coefficients.clone())
            .with_array("intercepts", &[classes], self.intercepts.clone());
        Ok(self.present.save(record))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    LogisticRegression::offer(registry);
    MultinomialLogisticRegression::offer(registry);
    registry.add_loader(LogisticModel::RECORD, |record, _| {
        Ok(Loaded::Model(Arc::new(ByRow(LogisticModel::from_record(record)?))))
    });
}
