//! Elastic net, lasso and ridge by linfa's coordinate descent, on p + 1 rows that stand for all of them.
//!
//! linfa-elasticnet 0.8.1 centres y and never X, so that its intercept is right only where every column has mean 0 (y = 2x + 1
//! with x from 100 to 119 gives 0.0055 x + 220). Here the n rows are summed up into [`Moments`], and linfa's solver gets
//! [`Root`]'s p + 1 centred rows instead, which have the same normal equations: no copy of the rows, the right intercept, and
//! fits that merge over folds.
//!
//! Faults of linfa-elasticnet 0.8.1 handled here: X is not centred (`algorithm.rs:514-532`); a column whose sum of squares is
//! below 2.2e-16 is passed over in silence (`:290`), which is an error here; the duality gap of a ridge never closes
//! (`:408-436`), so it always runs `max_iter` sweeps, and whether it converged is told by the slope left; `MultiTaskElasticNet::predict`
//! allocates n x n (`:153-156`), and is never called.

use std::sync::Arc;

use ensemble_core::{
    AffineShape, BLOCK_ROWS, Convergence, Error, ErrorKind, FitCost, Fitted, LinearForm, LinearModel,
    MOMENTS, MergeFit, Moments, Registry, Result, Root, Shape, Statistic, StatisticContext, Statistics,
    elastic_net_gap,
    parameter::{not_negative, rounds, zero_to_one},
};
use linfa::{DatasetBase, traits::Fit};
use ndarray::{Array1, ArrayView1, Axis};

use crate::{
    parameters::parameters,
    view::{array_view, finite, refused},
};

/// A problem in the form that linfa solves: minimise ||y - Xw||^2 / (2 rows) + penalty (ratio |w| + (1 - ratio) ||w||^2 / 2).
struct Descent {
    penalty: f64,
    l1_ratio: f64,
    max_iter: usize,
    tol: f64,
}

/// What is solved, by which of linfa's learners.
#[derive(Clone, Copy, PartialEq)]
enum Objective {
    /// Squares over 2n, as scikit-learn's `ElasticNet`.
    Mean,
    /// The same, by the solver for many targets.
    MultiTask,
    /// Squares, as scikit-learn's `Ridge`.
    Sum,
}

impl Descent {
    fn check(&self, kind: &str) -> Result<()> {
        not_negative(kind, "alpha", self.penalty)?;
        not_negative(kind, "tol", self.tol)?;
        rounds(kind, "max_iter", self.max_iter)?;
        zero_to_one(kind, "l1_ratio", self.l1_ratio)
    }

    fn fit(
        self,
        kind: &str,
        statistics: &Statistics,
        intercept: bool,
        objective: Objective,
    ) -> Result<Fitted> {
        self.check(kind)?;
        let moments = statistics.get::<Moments>(&MOMENTS)?;
        let (n, p) = (moments.nrows(), moments.ncols());
        if n == 0.0 {
            return Err(Error::shape("training rows", 1, 0));
        }
        let own = |j: usize| if intercept { moments.xx(j, j) } else { moments.raw_xx(j, j) };
        if (0..p).any(|j| !own(j).is_finite()) || !moments.raw_yy().is_finite() {
            return Err(ErrorKind::Overflow { table: "training rows".into() }.into());
        }
        if let Some(column) = (0..p).find(|j| moments.vanishes(*j, intercept)) {
            return Err(ErrorKind::Underflow { table: "training rows".into(), column }.into());
        }
        let kept: Vec<usize> =
            (0..p).filter(|j| if intercept { !moments.is_constant(*j) } else { own(*j) > 0.0 }).collect();
        let mut coefficients = vec![0.0; p];
        let mut convergence = Convergence::new(0, 0.0, true);
        if !kept.is_empty() {
            let root = root_of(&moments, &kept, intercept);
            let rows = root.nrows() as f64;
            let (root, penalty) = match objective {
                // Means over p + 1 rows are then those over n.
                Objective::Mean | Objective::MultiTask => (root.scaled((rows / n).sqrt()), self.penalty),
                Objective::Sum => (root, self.penalty / rows),
            };
            let solved;
            (solved, convergence) = Self { penalty, ..self }.solve(kind, &root, &kept, objective)?;
            kept.iter().zip(&solved).for_each(|(j, w)| coefficients[*j] = *w);
        }
        let level = if intercept {
            moments.y_mean() - coefficients.iter().zip(moments.x_mean()).map(|(c, m)| c * m).sum::<f64>()
        } else {
            0.0
        };
        finite(kind, "coefficients", coefficients.iter().chain([&level]))?;
        Ok(Fitted::Model(Arc::new(LinearModel::new(kind, coefficients, level).with_convergence(convergence))))
    }

    fn solve(
        &self,
        kind: &str,
        root: &Root,
        kept: &[usize],
        objective: Objective,
    ) -> Result<(Array1<f64>, Convergence)> {
        let x = array_view(root.x())?;
        let y = ArrayView1::from(root.y());
        for (column, j) in x.columns().into_iter().zip(kept) {
            // What linfa's abs_diff_eq passes over.
            if column.dot(&column) <= f64::EPSILON {
                return Err(Error::unsupported(format!(
                    "{kind}: column {j} varies so little that linfa passes over it; scale the columns first"
                )));
            }
        }
        let (w, steps) = if objective == Objective::MultiTask {
            let params = linfa_elasticnet::MultiTaskElasticNetParams::<f64>::new()
                .with_intercept(false)
                .penalty(self.penalty)
                .l1_ratio(self.l1_ratio)
                .tolerance(self.tol)
                .max_iterations(self.max_iter as u32);
            let model = params.fit(&DatasetBase::new(x, y.insert_axis(Axis(1)))).map_err(refused(kind))?;
            (Array1::from_iter(model.hyperplane().iter().copied()), model.n_steps())
        } else {
            let params = linfa_elasticnet::ElasticNetParams::<f64>::new()
                .with_intercept(false)
                .penalty(self.penalty)
                .l1_ratio(self.l1_ratio)
                .tolerance(self.tol)
                .max_iterations(self.max_iter as u32);
            let model = params.fit(&DatasetBase::new(x, y)).map_err(refused(kind))?;
            (Array1::from_iter(model.hyperplane().iter().copied()), model.n_steps())
        };
        let (l1, l2) = (self.l1_ratio * self.penalty, (1.0 - self.l1_ratio) * self.penalty);
        let (l1, l2, squares) = (l1 * root.nrows() as f64, l2 * root.nrows() as f64, y.dot(&y));
        let gap = if objective == Objective::Sum {
            let rest = &y - &x.dot(&w);
            let slopes = x.columns().into_iter().zip(&w).map(|(column, w)| {
                let slope = column.dot(&rest) - l2 * w;
                let length = (column.dot(&column).sqrt() + l2.sqrt()) * squares.sqrt();
                if length > 0.0 { slope.abs() / length } else { 0.0 }
            });
            slopes.fold(0.0, f64::max)
        } else {
            // linfa's own is not that of its last sweep.
            let (gap, _) =
                elastic_net_gap(|row, j| x[(row, j)], root.y(), w.as_slice().unwrap_or_default(), l1, l2);
            if squares > 0.0 { gap / squares } else { 0.0 }
        };
        Ok((w, Convergence::new(u64::from(steps), gap, gap <= self.tol)))
    }
}

/// The root of the kept columns alone. A constant column's rounding must not take part in the factor.
fn root_of(moments: &Moments, kept: &[usize], intercept: bool) -> Root {
    let p = moments.ncols();
    let reduced;
    let moments = if kept.len() == p {
        moments
    } else {
        let units: Vec<Vec<f64>> =
            kept.iter().map(|k| (0..p).map(|j| f64::from(u8::from(j == *k))).collect()).collect();
        let forms: Vec<LinearForm<'_>> =
            units.iter().map(|u| LinearForm { coefficients: u, intercept: 0.0 }).collect();
        reduced = moments.project(&forms);
        &reduced
    };
    if intercept { Root::centred(moments) } else { Root::raw(moments) }
}

/// States of moments along the tree of blocks, the root, and what linfa makes of it: its rows squared and factored.
fn cost(train: Shape) -> FitCost {
    let d = train.ncols + 1;
    let depth = train.nrows.div_ceil(BLOCK_ROWS).max(1).ilog2() as usize + 2;
    FitCost {
        peak_bytes: (8 * d * d * (depth + 9)) as u64,
        model_bytes: (8 * train.ncols + size_of::<LinearModel>()) as u64,
    }
}

macro_rules! merging {
    ($name:ident, $objective:expr, $ratio:expr) => {
        impl $name {
            fn descent(&self) -> Descent {
                let ratio: fn(&Self) -> f64 = $ratio;
                Descent { penalty: self.alpha, l1_ratio: ratio(self), max_iter: self.max_iter, tol: self.tol }
            }

            fn check(&self) -> Result<()> {
                self.descent().check(Self::KIND)
            }
        }

        impl ensemble_core::Estimator for $name {
            fn kind(&self) -> String {
                Self::KIND.into()
            }

            fn access(&self) -> ensemble_core::Access {
                ensemble_core::Access::Merge
            }

            fn cost(&self, train: Shape) -> FitCost {
                cost(train)
            }

            fn fit_rows(
                &self,
                train: &ensemble_core::Train<'_>,
                cx: &ensemble_core::FitContext<'_>,
            ) -> Result<Arc<dyn ensemble_core::Model>> {
                self.check()?;
                train.check_finite()?;
                ensemble_core::fit_by_merging(self, train, cx)
            }

            fn as_merge(&self) -> Option<&dyn MergeFit> {
                Some(self)
            }

            fn is_linear(&self) -> bool {
                true
            }
        }

        impl MergeFit for $name {
            fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
                self.check()?;
                Ok(vec![Box::new(Moments::new(cx.ncols))])
            }

            fn affine_support(&self) -> Option<AffineShape> {
                Some(AffineShape::General)
            }

            fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
                self.descent().fit(Self::KIND, statistics, self.fit_intercept, $objective)
            }
        }
    };
}

parameters! {
    /// Least squares with l1 and l2 penalties, by linfa's `ElasticNet`: minimises ||y - Xb - b0||^2 / (2n)
    /// + alpha l1_ratio |b| + alpha (1 - l1_ratio) ||b||^2 / 2, scikit-learn's `ElasticNet`.
    ///
    /// Merges: see the [crate's README](crate) for how n rows become p + 1. The model's convergence tells sweeps and the duality gap
    /// over y'y.
    ElasticNet: Learner = "linfa.elastic_net", "linfa-elasticnet 0.8.1" {
        alpha "alpha" ["penalty"]: f64 = 1.0, "1.0", "weight of the penalties";
        l1_ratio "l1_ratio" []: f64 = 0.5, "0.5", "share of the l1 penalty, 0 to 1";
        fit_intercept "fit_intercept" ["with_intercept"]: bool = true, "true", "whether to fit an intercept";
        max_iter "max_iter" ["max_iterations"]: usize = 1000, "1000", "most sweeps over the columns";
        tol "tol" ["tolerance"]: f64 = 1e-4, "1e-4", "duality gap, relative to y'y, and step to stop at";
    }
}
merging!(ElasticNet, Objective::Mean, |own| own.l1_ratio);

parameters! {
    /// [`ElasticNet`] with the l1 penalty alone, scikit-learn's `Lasso`.
    Lasso: Learner = "linfa.lasso", "linfa-elasticnet 0.8.1" {
        alpha "alpha" ["penalty"]: f64 = 1.0, "1.0", "weight of the absolute coefficients";
        fit_intercept "fit_intercept" ["with_intercept"]: bool = true, "true", "whether to fit an intercept";
        max_iter "max_iter" ["max_iterations"]: usize = 1000, "1000", "most sweeps over the columns";
        tol "tol" ["tolerance"]: f64 = 1e-4, "1e-4", "duality gap, relative to y'y, and step to stop at";
    }
}
merging!(Lasso, Objective::Mean, |_| 1.0);

parameters! {
    /// linfa's elastic net with the l2 penalty alone, in the units of scikit-learn's `Ridge`: minimises ||y - Xb - b0||^2
    /// + alpha ||b||^2.
    ///
    /// linfa's stopping test never holds for it, so `max_iter` sweeps are made, of p + 1 rows each. It has converged when the slope left
    /// is at most `tol`; columns of very different scale, or nearly dependent ones, keep it from that.
    Ridge: Learner = "linfa.ridge", "linfa-elasticnet 0.8.1" {
        alpha "alpha" ["penalty"]: f64 = 1.0, "1.0", "weight of the squared coefficients";
        fit_intercept "fit_intercept" ["with_intercept"]: bool = true, "true", "whether to fit an intercept";
        max_iter "max_iter" ["max_iterations"]: usize = 1000, "1000", "sweeps over the columns";
        tol "tol" ["tolerance"]: f64 = 1e-4, "1e-4", "slope left at the end, relative to the lengths of a column and y";
    }
}
merging!(Ridge, Objective::Sum, |_| 0.0);

parameters! {
    /// linfa's `MultiTaskElasticNet` for one target: what [`ElasticNet`] minimises, by the solver for many targets. Without an
    /// l1 penalty linfa divides by the length of a slope that may be 0; that is an error here.
    MultiTaskElasticNet: Learner = "linfa.multi_task_elastic_net", "linfa-elasticnet 0.8.1" {
        alpha "alpha" ["penalty"]: f64 = 1.0, "1.0", "weight of the penalties";
        l1_ratio "l1_ratio" []: f64 = 0.5, "0.5", "share of the l1 penalty, 0 to 1";
        fit_intercept "fit_intercept" ["with_intercept"]: bool = true, "true", "whether to fit an intercept";
        max_iter "max_iter" ["max_iterations"]: usize = 1000, "1000", "most sweeps over the columns";
        tol "tol" ["tolerance"]: f64 = 1e-4, "1e-4", "duality gap, relative to y'y, and step to stop at";
    }
}
merging!(MultiTaskElasticNet, Objective::MultiTask, |own| own.l1_ratio);

pub(crate) fn register(registry: &mut Registry) {
    ElasticNet::offer(registry);
    Lasso::offer(registry);
    Ridge::offer(registry);
    MultiTaskElasticNet::offer(registry);
}
