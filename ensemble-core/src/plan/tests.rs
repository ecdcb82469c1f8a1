//! Plans of learners that declare what no machine has.

use std::sync::Arc;

use crate::{
    account::budget::MemoryBudget,
    data::{mat::Shape, table::DenseTable},
    design::schemes::kfold::KFold,
    ensemble::builder::SuperLearner,
    error::{Error, ErrorKind, Result},
    learner::{
        estimator::{Access, Estimator, FitContext, FitCost, Predicts, Train},
        layer::Layer,
        model::Model,
        pipeline::Pipeline,
    },
};

/// Declares what no machine has.
struct Endless;

impl Estimator for Endless {
    fn kind(&self) -> String {
        "test.endless".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn cost(&self, _: Shape) -> FitCost {
        FitCost { peak_bytes: u64::MAX - 1000, model_bytes: u64::MAX }
    }
    fn fit_rows(&self, _: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        Err(Error::unsupported("it is only planned"))
    }
}

#[test]
fn costs_beyond_all_memory_are_refused_by_the_plan_and_never_wrap() {
    let x = DenseTable::column((0..90).map(f64::from).collect());
    let piped: Arc<dyn Estimator> = Arc::new(Pipeline::new(Vec::new(), Arc::new(Endless)));
    for learner in [Arc::new(Endless) as Arc<dyn Estimator>, piped] {
        let layer = Layer::new().learner("one", Arc::clone(&learner)).learner("two", learner);
        let stack = SuperLearner::new(KFold::new(3)).layer(layer).meta(Endless);
        let error = stack.plan(&x, &x).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Memory { .. }), "{error}");
        assert!(error.to_string().contains("a fit of learner '"), "{error}");
        let error = stack.budget(MemoryBudget::bytes(1 << 40)).plan(&x, &x).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Budget { .. }), "{error}");
    }
}

/// Declares a thousand bytes a class, and one for a target of numbers.
struct Costly;

impl Estimator for Costly {
    fn kind(&self) -> String {
        "test.costly".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn predicts(&self) -> Predicts {
        Predicts::Votes
    }
    fn cost(&self, _: Shape) -> FitCost {
        FitCost { peak_bytes: 1, model_bytes: 0 }
    }
    fn cost_with_classes(&self, _: Shape, n_classes: usize) -> FitCost {
        FitCost { peak_bytes: 1000 * n_classes as u64, model_bytes: 0 }
    }
    fn fit_rows(&self, _: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        Err(Error::unsupported("it is only planned"))
    }
}

#[test]
fn classifiers_cost_what_they_declare_for_the_classes_of_the_target() {
    let x = DenseTable::column((0..90).map(f64::from).collect());
    for k in [2, 5, 20] {
        let y = DenseTable::column((0..90).map(|i| f64::from(i % k)).collect());
        let one_fit = 1000 * k as u64;
        for learner in [Arc::new(Costly) as Arc<dyn Estimator>, piped()] {
            let stack = SuperLearner::new(KFold::new(3)).layer(Layer::new().learner("one", learner));
            let plan = stack.plan(&x, &y).unwrap();
            assert_eq!(plan.layers[0].learners[0].cost, one_fit);
            assert!(plan.peak_bytes() >= one_fit);
            // A budget for one fit at a time, and one that is too small for any.
            let stack = |bytes| stack.clone().budget(MemoryBudget::bytes(bytes)).plan(&x, &y);
            let base = plan.peak_bytes() - 4 * one_fit;
            assert_eq!(stack(base + one_fit).unwrap().peak_bytes(), base + one_fit);
            let error = stack(base + one_fit - 1).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Budget { .. }), "{error}");
        }
    }
}

/// A pipeline asks its learner.
fn piped() -> Arc<dyn Estimator> {
    Arc::new(Pipeline::new(Vec::new(), Arc::new(Costly)))
}
