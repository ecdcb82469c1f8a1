//! What every fit allocates, counted, against what it declares. One test: the allocator counts the whole process.
#![allow(missing_docs, clippy::disallowed_methods)]

mod support;

use std::sync::Arc;

use ensemble_core::{
    DenseTable, Estimator, FitContext, FitCost, Heap, Ledger, Order, Rows, RowsView, Table, Train,
    Transformer,
};
use ensemble_smartcore::*;
use peak_alloc::PeakAlloc;
use support::noise;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Room for what does not grow with the table.
const SLACK: f64 = 65536.0;

struct Tables {
    x: Arc<dyn Table>,
    y: Arc<dyn Table>,
    rows: Rows,
    n_classes: usize,
}

impl Tables {
    fn new(
        (n, p): (usize, usize),
        order: Order,
        n_classes: usize,
        value: impl Fn(usize, usize) -> f64,
        target: impl Fn(usize) -> f64,
    ) -> Self {
        // A tenth of the table is held out, in its middle.
        let all = n + n / 10;
        let mut x = vec![0.0; all * p];
        for r in 0..all {
            for c in 0..p {
                x[if order == Order::C { r * p + c } else { c * all + r }] = value(r, c);
            }
        }
        Self {
            x: Arc::new(DenseTable::new(x, all, p, order).unwrap()),
            y: Arc::new(DenseTable::column((0..all).map(target).collect())),
            rows: Rows::all_but(all, n / 2..n / 2 + n / 10).unwrap(),
            n_classes,
        }
    }

    fn measure<T>(&self, fit: impl FnOnce(&Train<'_>, &FitContext<'_>) -> T) -> (T, f64, f64) {
        let view = |t| RowsView::new(t, &self.rows).unwrap();
        let train = Train::new(view(self.x.as_mat()), view(self.y.as_mat())).unwrap();
        let ledger = Ledger::default();
        let cx = FitContext {
            table: Some(&self.x),
            target: Some(&self.y),
            n_classes: (self.n_classes > 0).then_some(self.n_classes),
            ..FitContext::alone(&Heap, &ledger)
        };
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        let fitted = fit(&train, &cx);
        let (peak, kept) = (HEAP.peak_usage() - before, HEAP.current_usage() - before);
        (fitted, peak as f64, kept as f64)
    }
}

/// `tight`: whether the bound must be within 1.3 times what was measured. What depends on the rows' values is bounded from above.
fn check(what: &str, cost: FitCost, peak: f64, kept: f64, tight: bool, faults: &mut Vec<String>) {
    let (declared, model) = (cost.peak_bytes as f64, cost.model_bytes as f64);
    let line = format!(
        "{what:50} peak {peak:>12} declared {declared:>12} ratio {:.2}; kept {kept:>10} declared {model:>10}",
        declared / peak
    );
    println!("{line}");
    if declared < peak || model + 4096.0 < kept || (tight && declared > 1.3 * peak + SLACK) {
        faults.push(line);
    }
}

#[test]
fn fits_allocate_what_they_declare() {
    let mut faults = Vec::new();
    let learner =
        |what: &str, tables: &Tables, learner: &dyn Estimator, tight: bool, faults: &mut Vec<String>| {
            let shape = {
                let mat = tables.x.as_mat();
                ensemble_core::Shape { nrows: tables.rows.len(), ncols: mat.ncols() }
            };
            let (model, peak, kept) = tables.measure(|train, cx| learner.fit_rows(train, cx).unwrap());
            let cost = match tables.n_classes {
                0 => learner.cost(shape),
                k => learner.cost_with_classes(shape, k),
            };
            check(&format!("{} {what}", learner.kind()), cost, peak, kept, tight, faults);
            let said = model.bytes() as f64;
            if said < 0.7 * kept - 1024.0 || said > 1.5 * kept + 4096.0 {
                faults
                    .push(format!("{} {what}: the model says {said} bytes and keeps {kept}", learner.kind()));
            }
        };
    let transformer = |what: &str, tables: &Tables, t: &dyn Transformer, faults: &mut Vec<String>| {
        let shape = ensemble_core::Shape { nrows: tables.rows.len(), ncols: tables.x.as_mat().ncols() };
        let (_fitted, peak, kept) = tables.measure(|train, cx| t.fit_rows(train, cx).unwrap());
        check(&format!("{} {what}", t.kind()), t.cost(shape), peak, kept, true, faults);
    };
    let (n, p) = (20_000, 20);
    // The first fit starts the thread pool.
    let first = Tables::new((n, p), Order::C, 0, |r, c| noise(p * r + c), noise);
    for _ in 0..20 {
        first.measure(|train, cx| RidgeRegression::new(1.0).fit_rows(train, cx).map(drop).unwrap());
    }
    for (order, name) in [(Order::C, "C"), (Order::F, "F")] {
        let value = |r: usize, c: usize| noise(r * p + c);
        let curve = |r: usize| 3.0 * noise(r * p) + (5.0 * noise(r * p + 1)).exp() + noise(r + 99);
        let regression = Tables::new((n, p), order, 0, value, curve);
        let r = &regression;
        learner(name, r, &LinearRegression::new(), true, &mut faults);
        learner(name, r, &LinearRegression::new().solver(LinearSolver::Qr), true, &mut faults);
        learner(name, r, &RidgeRegression::new(1.0), true, &mut faults);
        learner(name, r, &Lasso::new(0.1), true, &mut faults);
        learner(name, r, &ElasticNet::new(0.1), true, &mut faults);
        learner("normalize", r, &RidgeRegression::new(1.0).normalize(true), true, &mut faults);
        learner("depth 6", r, &DecisionTreeRegressor::new().max_depth(6), true, &mut faults);
        learner("linear", r, &KNeighborsRegressor::new(), true, &mut faults);
        let k = 3;
        let shifted = |r: usize, c: usize| noise(r * p + c) + if c == r % k { 0.3 } else { 0.0 };
        let classes = Tables::new((n, p), order, k, shifted, |r| (r % k) as f64);
        let c = &classes;
        learner("linear", c, &KNeighborsClassifier::new(), true, &mut faults);
        learner(name, c, &GaussianNb::new(), true, &mut faults);
        learner(name, c, &BernoulliNb::new().binarize(0.5), true, &mut faults);
        transformer(name, c, &StandardScaler::new(), &mut faults);
        transformer(name, c, &Pca::new().n_components(3), &mut faults);
        transformer(name, c, &Svd::new(), &mut faults);
        transformer(name, c, &Lda::new(), &mut faults);
        if order == Order::F {
            // The order makes no difference to the others.
            break;
        }
        learner("normalize", r, &Lasso::new(0.1).normalize(true), true, &mut faults);
        learner("normalize", r, &ElasticNet::new(0.1).normalize(true), true, &mut faults);
        learner("unbounded", r, &DecisionTreeRegressor::new(), true, &mut faults);
        learner("10 unbounded", r, &RandomForestRegressor::new().n_estimators(10), true, &mut faults);
        let forest = RandomForestRegressor::new().n_estimators(10).max_depth(8);
        learner("10, depth 8", r, &forest, true, &mut faults);
        learner("10 unbounded", r, &ExtraTreesRegressor::new().n_estimators(10), true, &mut faults);
        let forest = ExtraTreesRegressor::new().n_estimators(10).min_samples_leaf(5);
        learner("10, 5 to a leaf", r, &forest, false, &mut faults);
        learner("3 trees", r, &XgRegressor::new().n_estimators(3), false, &mut faults);
        // Every split takes one row off the rest: the greatest lists of rows there can be.
        let spikes = |r: usize| if r % 1000 == 7 { 10_f64.powi((r / 1000) as i32) } else { 0.0 };
        let spikes = Tables::new((n, p), order, 0, value, spikes);
        learner("3 trees, spikes", &spikes, &XgRegressor::new().n_estimators(3), true, &mut faults);

        learner(name, c, &LogisticRegression::new(), true, &mut faults);
        learner("depth 6", c, &DecisionTreeClassifier::new().max_depth(6), false, &mut faults);
        // Every split halves the classes: as many nodes wait to be split as there can.
        let many = Tables::new((n, p), order, 128, value, |r| (noise(r * p) * 128.0).floor());
        let tree = DecisionTreeClassifier::new().criterion(Criterion::Entropy).max_depth(6);
        learner("depth 6, halving", &many, &tree, true, &mut faults);
        let forest = RandomForestClassifier::new().criterion(Criterion::Entropy).n_estimators(5).max_depth(6);
        learner("5, depth 6", &many, &forest.max_features(MaxFeatures::All), true, &mut faults);
        transformer("correlation", c, &Pca::new().use_correlation_matrix(true), &mut faults);

        let counts = Tables::new((n, p), order, k, |r, c| (shifted(r, c) * 5.0).floor(), |r| (r % k) as f64);
        learner(name, &counts, &MultinomialNb::new(), true, &mut faults);
        learner(name, &counts, &CategoricalNb::new(), true, &mut faults);
        let binary = Tables::new((n, p), order, k, |r, c| shifted(r, c).round().min(1.0), |r| (r % k) as f64);
        learner("binary", &binary, &BernoulliNb::new().binarize(None), true, &mut faults);
    }
    for k in [2, 30] {
        let (n, p, what) = (3_000, 20, format!("{k} classes"));
        let counts =
            |r: usize, c: usize| (5.0 * noise(r * p + c)).floor() + if c == r % k % p { 1.0 } else { 0.0 };
        let tables = Tables::new((n, p), Order::C, k, counts, |r| (r % k) as f64);
        learner(&what, &tables, &GaussianNb::new(), true, &mut faults);
        learner(&what, &tables, &BernoulliNb::new(), true, &mut faults);
        learner(&what, &tables, &MultinomialNb::new(), true, &mut faults);
        // A bound for any number of categories up to sixteen, and any tree and any number of support vectors.
        learner(&what, &tables, &CategoricalNb::new(), false, &mut faults);
        learner(&what, &tables, &DecisionTreeClassifier::new().max_depth(6), false, &mut faults);
        let forest = RandomForestClassifier::new().n_estimators(5).max_depth(6);
        learner(&what, &tables, &forest, false, &mut faults);
        let tables = Tables::new((300, p), Order::C, k, counts, |r| (r % k) as f64);
        learner(&what, &tables, &Svc::new(), false, &mut faults);
        learner(&what, &tables, &LogisticRegression::new(), true, &mut faults);
    }
    let few = Tables::new((5_000, 4), Order::C, 0, |r, c| noise(r * 4 + c), |r| noise(r * 4));
    learner(
        "cover tree",
        &few,
        &KNeighborsRegressor::new().algorithm(NeighborSearch::CoverTree),
        false,
        &mut faults,
    );
    let wild = |r: usize| 100.0 * noise(r + 31);
    let few = Tables::new((1_000, 20), Order::C, 0, |r, c| noise(r * 20 + c), wild);
    learner("n = 1000", &few, &Svr::new(), true, &mut faults);
    let coins =
        Tables::new((400, 20), Order::C, 2, |r, c| noise(r * 20 + c), |r| (noise(r + 31) * 2.0).floor());
    learner("n = 400", &coins, &Svc::new(), false, &mut faults);
    learner("unbounded, n = 400", &coins, &DecisionTreeClassifier::new(), false, &mut faults);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
