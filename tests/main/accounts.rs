//! Plans count what a fit holds: costs that learners declare, models, orders of rows, rows that statistics copy.

use std::sync::Arc;

use ensemble::{
    Access, DenseTable, ErrorKind, Estimator, FitContext, FitCost, Fitted, KFold, Layer, LinearModel, MatRef,
    MemoryBudget, MergeFit, Model, Moments, Order, Result, Shape, Statistic, StatisticContext, Statistics,
    SuperLearner, Table, Train, WorkKind, fit_by_merging, registry,
};

use crate::support::Runs;

fn tables(nrows: usize) -> (DenseTable, DenseTable) {
    let (mut x, mut y) = (vec![0.0; nrows * 5], vec![0.0; nrows]);
    ensemble::Friedman1::new(9, 5, 1.0).unwrap().rows_into(0, &mut x, &mut y);
    (DenseTable::new(x, nrows, 5, Order::C).unwrap(), DenseTable::column(y))
}

/// Merges, and declares costs beside its statistics.
struct Declares(FitCost);

impl Estimator for Declares {
    fn kind(&self) -> String {
        "test.declares".into()
    }
    fn access(&self) -> Access {
        Access::Merge
    }
    fn cost(&self, _: Shape) -> FitCost {
        self.0
    }
    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        fit_by_merging(self, train, cx)
    }
    fn as_merge(&self) -> Option<&dyn MergeFit> {
        Some(self)
    }
}

impl MergeFit for Declares {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(vec![Box::new(Moments::new(cx.ncols))])
    }
    fn affine_support(&self) -> Option<ensemble::AffineShape> {
        None
    }
    fn fit_from(&self, _: &Statistics) -> Result<Fitted> {
        Ok(Fitted::Model(Arc::new(LinearModel::new("test.declares", vec![0.0; 5], 1.0))))
    }
}

#[test]
fn costs_and_models_of_merging_learners_count() {
    let (x, y) = tables(500);
    let huge = 1 << 40;
    let plan = |cost: FitCost, budget: u64| {
        let stack = SuperLearner::new(KFold::new(4)).layer(Layer::new().learner("it", Declares(cost)));
        stack.budget(MemoryBudget::bytes(budget)).plan(&x, &y)
    };
    for cost in [FitCost { peak_bytes: huge, model_bytes: 0 }, FitCost { peak_bytes: 0, model_bytes: huge }] {
        let error = plan(cost, 1 << 20).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Budget { .. }), "{error}");
        assert!(error.to_string().contains("'it'"), "{error}");
    }
    let peak = |cost| plan(cost, 1 << 30).unwrap().peak_bytes();
    let none = peak(FitCost::default());
    // Five fits' models are alive at once.
    let models = peak(FitCost { peak_bytes: 0, model_bytes: 1 << 20 });
    assert!(models >= none + (5 << 20) && models <= none + (9 << 20), "{none} {models}");
}

#[test]
fn an_order_of_rows_and_predictions_in_two_orders_count() {
    let (x, y) = tables(40_000);
    let peak = |folds: KFold, keep: bool| {
        let stack = SuperLearner::new(folds).layer(Layer::new().learner("runs", Runs)).without_meta_score();
        let stack = if keep { stack.keep_out_of_fold() } else { stack };
        stack.plan(&x, &y).unwrap().peak_bytes()
    };
    let (n, table) = (40_000, 40_000 * 6 * 8);
    let (plain, shuffled) = (peak(KFold::new(2), false), peak(KFold::new(2).shuffle(1), false));
    assert!(shuffled >= plain + table + 4 * n, "{plain} {shuffled}");
    let kept = peak(KFold::new(2).shuffle(1), true);
    assert!(kept >= shuffled + 2 * 8 * n - 4096, "{shuffled} {kept}");
}

#[test]
fn neighbours_of_a_table_that_was_only_lent_copy_it_and_the_ledger_says_so() {
    let (x, y) = tables(3_000);
    let near = || registry().pipeline("native.k_neighbors_regressor").unwrap();
    let stack = SuperLearner::new(KFold::new(3)).layer(Layer::new().learner("near", near()));
    let owned = stack.fit(&x, &y).unwrap();
    assert!(owned.report().unwrap().as_planned);
    assert_eq!(owned.report().unwrap().totals.gathered_bytes, 0);
    /// Nobody can keep it.
    struct Lent<'a>(MatRef<'a>);
    impl Table for Lent<'_> {
        fn as_mat(&self) -> MatRef<'_> {
            self.0
        }
    }
    let (lx, ly) = (Lent(x.as_mat()), Lent(y.as_mat()));
    let plan = stack.plan(&lx, &ly).unwrap();
    let lent = stack.fit(&lx, &ly).unwrap();
    let report = lent.report().unwrap();
    assert!(report.as_planned, "{:#?}\n{:#?}", report.work, plan.copies());
    let copied: u64 = report.work.iter().filter(|w| w.kind == WorkKind::Gather).map(|w| w.bytes).sum();
    assert_eq!(copied, 3_000 * 6 * 8);
    // Rows above the first layer are the engine's own, and are kept without a copy.
    let two = SuperLearner::new(KFold::new(3)).layer(Layer::new().learner("runs", Runs)).meta(near());
    let two = two.fit(&lx, &ly).unwrap();
    assert!(two.report().unwrap().as_planned, "{:#?}", two.report().unwrap().work);
    let kept = two.report().unwrap().work.iter().filter(|w| w.what == "rows that statistics keep");
    assert_eq!(kept.map(|w| w.bytes).sum::<u64>(), 3_000 * 8, "the targets alone were lent");
}

#[test]
fn what_is_held_at_once_is_within_the_plan() {
    let (x, y) = tables(30_000);
    let pipeline = |text: &str| registry().pipeline(text).unwrap();
    for folds in [KFold::new(3), KFold::new(3).shuffle(2), KFold::new(10).exact()] {
        let layer = Layer::new()
            .learner("near", pipeline("native.min_max_scaler | native.k_neighbors_regressor"))
            .learner("whole", crate::support::WholeMatrix(Some(Order::F)))
            .learner("ridge", pipeline("native.ridge"));
        let stack = SuperLearner::new(folds)
            .layer(layer)
            .layer(Layer::new().learner("a", pipeline("native.ridge")).learner("runs", Runs))
            .meta(pipeline("native.nnls"))
            .keep_out_of_fold();
        let plan = stack.plan(&x, &y).unwrap();
        let fitted = stack.fit(&x, &y).unwrap();
        let report = fitted.report().unwrap();
        assert!(report.as_planned, "{:#?}", report.work);
        assert!(report.peak_held_bytes > 0 && report.peak_held_bytes <= plan.peak_bytes());
    }
}
