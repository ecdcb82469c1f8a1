//! Learners behind a map and transformers before a learner, against the same done by hand.

use std::sync::Arc;

use super::{
    InMemory,
    capabilities::Values,
    checks::{Bench, Checked, During, close, fail, predict, skip},
    problem::Problem,
    subject::{Fit, Given, Subject},
};
use crate::{
    data::{
        mat::{MatMut, Order, Shape},
        rows::Rows,
    },
    design::schemes::kfold::KFold,
    ensemble::builder::SuperLearner,
    error::Result,
    learner::layer::Layer,
    learner::{
        estimator::{
            Access, Estimator, FitContext, FitCost, FittedTransform, MergeTransform, Train, Transformer,
            fit_transform_by_merging,
        },
        model::{LinearModel, Model},
        pipeline::Pipeline,
    },
    statistic::{
        affine::{Affine, AffineShape},
        state::{Statistic, StatisticContext, Statistics},
    },
};

/// Share of the greatest prediction by which a fit on carried statistics may differ from one on mapped rows.
const CARRIED: f64 = 1e-6;

/// Share by which a linear model pulled back through a map may.
const PULLED_BACK: f64 = 1e-9;

/// A map that is the same whatever it is fitted on.
#[derive(Clone)]
struct FixedMap(Affine);

impl FixedMap {
    fn new(shape: AffineShape, ncols: usize, values: Values) -> Self {
        // Positive values stay positive, and counts stay counts.
        let shift = vec![if values == Values::Real { 0.25 } else { 0.0 }; ncols];
        Self(match shape {
            AffineShape::Diagonal => {
                Affine::diagonal(shift, (0..ncols).map(|j| if j % 2 == 0 { 2.0 } else { 4.0 }).collect())
            }
            AffineShape::General => {
                // Twice every column, and the next one.
                let a = |i: usize, j: usize| if i == j { 2.0 } else { f64::from(u8::from(i == j + 1)) };
                let a = (0..ncols * ncols).map(|at| a(at / ncols, at % ncols)).collect();
                Affine::general(shift, a, ncols).expect("square")
            }
        })
    }
}

impl Transformer for FixedMap {
    fn kind(&self) -> String {
        "conformance.fixed_map".into()
    }

    fn access(&self) -> Access {
        Access::Merge
    }

    fn cost(&self, _: Shape) -> FitCost {
        FitCost::default()
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        fit_transform_by_merging(self, train, cx)
    }

    fn as_merge(&self) -> Option<&dyn MergeTransform> {
        Some(self)
    }
}

impl MergeTransform for FixedMap {
    fn statistics(&self, _: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(Vec::new())
    }

    fn affine_shape(&self) -> Option<AffineShape> {
        Some(self.0.shape())
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::General)
    }

    fn fit_from(&self, _: &Statistics) -> Result<Arc<dyn FittedTransform>> {
        Ok(Arc::new(self.0.clone()))
    }
}

/// A linear model with fixed slopes whose intercept is a sum over the rows it was fitted on.
struct FixedSlopes;

impl Estimator for FixedSlopes {
    fn kind(&self) -> String {
        "conformance.fixed_slopes".into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        FitCost { peak_bytes: 8 * train.ncols as u64, model_bytes: 8 * train.ncols as u64 }
    }

    fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        let Shape { nrows, ncols } = train.shape();
        let slopes: Vec<f64> = (0..ncols).map(|j| 1.0 / (j + 1) as f64).collect();
        let mut sum = 0.0;
        for (x, y) in train.x().segments().zip(train.y()) {
            for (row, y) in y.iter().enumerate() {
                sum += y + slopes.iter().enumerate().map(|(j, s)| s * x.get(row, j)).sum::<f64>();
            }
        }
        Ok(Arc::new(LinearModel::new(self.kind(), slopes, sum / nrows as f64)))
    }
}

/// The rows of a problem as a fitted map makes them.
fn mapped(problem: &Problem, map: &Fit) -> Checked<Problem> {
    let mut x = vec![0.0; problem.nrows() * map.n_outputs()];
    map.apply_into(problem.mat(), MatMut::new(&mut x, problem.nrows(), map.n_outputs(), Order::C)?)?;
    Ok(Problem { x, ncols: map.n_outputs(), ..problem.clone() })
}

/// Fit on all rows of a problem in memory.
fn fit(subject: &Subject, problem: &Problem, order: Order) -> Checked<Fit> {
    let tables = problem.tables(&InMemory, order)?;
    Ok(subject.fit(Given::new(&tables, &Rows::all(problem.nrows())))?)
}

/// That an ensemble of a pipeline does what its plan says.
fn planned(bench: &Bench<'_>, pipeline: Arc<dyn Estimator>) -> Checked {
    let tables = bench.problem.tables(&InMemory, bench.order())?;
    let learner = SuperLearner::new(KFold::new(3)).layer(Layer::new().learner("pipeline", pipeline));
    let plan = learner.plan(tables.x.as_ref(), tables.y.as_ref())?;
    let fitted = learner.fit(tables.x.as_ref(), tables.y.as_ref())?;
    let report = fitted.report().expect("a fit has a report");
    if report.as_planned {
        return Ok(());
    }
    fail(format!("planned {:?}, done {:?}", plan.copies(), report.copies()))
}

pub(crate) fn behind_a_map(bench: &Bench<'_>) -> Checked {
    let Subject::Learner(learner) = &bench.subject else { return skip("no learner") };
    let (p, values) = (bench.problem.ncols, bench.capabilities.values);
    for shape in [AffineShape::Diagonal, AffineShape::General] {
        let map = FixedMap::new(shape, p, values);
        let transform = Fit::Transform(Arc::new(map.0.clone()));
        let by_hand = fit(&bench.subject, &mapped(&bench.problem, &transform)?, bench.order())
            .during("rows mapped by hand")?;
        let want = predict(&by_hand, mapped(&bench.probe, &transform)?.mat())?;
        let pipeline: Arc<dyn Estimator> = Arc::new(Pipeline::new(vec![Arc::new(map)], learner.clone()));
        let fitted = fit(&Subject::Learner(pipeline.clone()), &bench.problem, bench.order())
            .during(format!("behind a {shape:?} map"))?;
        let got = bench.predictions(&fitted)?;
        let tolerance = if bench.subject.merges() {
            CARRIED
        } else if matches!(&fitted, Fit::Model(m) if m.as_linear().is_some()) {
            PULLED_BACK
        } else {
            0.0
        };
        close(&got, &want, tolerance.max(bench.capabilities.order_tolerance))
            .during(format!("a {shape:?} map"))?;
        planned(bench, pipeline)?;
    }
    Ok(())
}

pub(crate) fn before_a_learner(bench: &Bench<'_>) -> Checked {
    let Subject::Transformer(transformer) = &bench.subject else { return skip("no transformer") };
    let transform = bench.fitted()?;
    let learner = Subject::Learner(Arc::new(FixedSlopes));
    let by_hand = fit(&learner, &mapped(&bench.problem, transform)?, Order::C)?;
    let want = predict(&by_hand, mapped(&bench.probe, transform)?.mat())?;
    let pipeline: Arc<dyn Estimator> =
        Arc::new(Pipeline::new(vec![transformer.clone()], Arc::new(FixedSlopes)));
    let fitted = fit(&Subject::Learner(pipeline.clone()), &bench.problem, bench.order())?;
    close(&bench.predictions(&fitted)?, &want, PULLED_BACK.max(bench.capabilities.order_tolerance))?;
    // An ensemble of the regressor behind it has no classes for it.
    if bench.capabilities.class_target { Ok(()) } else { planned(bench, pipeline) }
}
