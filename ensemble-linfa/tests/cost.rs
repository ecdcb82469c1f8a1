//! Declared costs against a counting allocator: bounds, and tight ones. One test, so that nothing else allocates.
#![allow(missing_docs, clippy::disallowed_methods)]

mod support;

use std::sync::Arc;

use ensemble_core::{
    Built, DenseTable, FitContext, FitCost, Heap, Ledger, MatRef, Order, Rows, RowsView, Shape, Table, Train,
};
use peak_alloc::PeakAlloc;
use support::*;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Rows, columns and the spec of each kind, where the default would do too much.
fn case(name: &str) -> (usize, usize, String) {
    let (n, p) = (20_000, 20);
    let with = |parameters: &str| (n, p, format!("{name}:{parameters}"));
    match name {
        "linfa.isotonic_regression" => (n, 1, name.into()),
        "linfa.svr" | "linfa.svc" => (600, p, name.into()),
        "linfa.logistic_regression" | "linfa.multinomial_logistic_regression" => (4_000, p, name.into()),
        "linfa.tweedie_regressor" => with("power=1.5"),
        "linfa.decision_tree_classifier" => with("max_depth=8"),
        "linfa.random_forest_classifier" => with("max_depth=6,n_estimators=3"),
        "linfa.bagging_classifier" => with("max_depth=6,n_estimators=3"),
        "linfa.ada_boost_classifier" => with("n_estimators=3"),
        "linfa.pca" => with("n_components=4"),
        "linfa.gaussian_random_projection" | "linfa.sparse_random_projection" => with("n_components=5"),
        _ => (n, p, name.into()),
    }
}

/// The greatest bytes alive above the start, and those that stay, in a thread's fit.
fn measured<T>(run: impl FnOnce() -> T) -> (T, usize, usize) {
    let start = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let out = run();
    (out, HEAP.peak_usage().saturating_sub(start), HEAP.current_usage().saturating_sub(start))
}

#[test]
fn declared_costs_are_tight_bounds() {
    const SLACK: u64 = 64 << 10;
    let registry = registry();
    let mut faults = Vec::new();
    let mut check = |label: &str, cost: FitCost, (peak, kept): (usize, usize), tight: bool| {
        let (peak, kept) = (peak as u64, kept as u64);
        println!(
            "{label:60} peak {peak:>12} of {:>12}  kept {kept:>12} of {:>12}",
            cost.peak_bytes, cost.model_bytes
        );
        if peak > cost.peak_bytes + SLACK {
            faults.push(format!("{label}: declares {} and takes {peak}", cost.peak_bytes));
        }
        if tight && cost.peak_bytes as f64 > 1.3 * peak as f64 + SLACK as f64 {
            faults.push(format!("{label}: declares {} and takes {peak} only", cost.peak_bytes));
        }
        if kept > cost.model_bytes + SLACK {
            faults.push(format!("{label}: keeps {kept} and declares {}", cost.model_bytes));
        }
    };
    let names: Vec<&str> = registry.kinds().map(|k| k.name).collect();
    let mut cases: Vec<(usize, usize, String)> = names.iter().map(|name| case(name)).collect();
    let offered = |kind: &str| names.contains(&kind);
    if offered("linfa.whitener") {
        cases.extend(["zca", "cholesky"].map(|m| (20_000, 20, format!("linfa.whitener:method={m}"))));
    }
    if offered("linfa.svr") {
        cases.extend(["svr", "svc"].map(|m| (600, 20, format!("linfa.{m}:kernel=linear"))));
        cases.push((300, 20, "linfa.svc:kernel=poly,degree=2,probability=false".into()));
    }
    if offered("linfa.k_neighbors_regressor") {
        for spec in
            ["algorithm=kd_tree", "algorithm=ball_tree", "algorithm=linear", "algorithm=kd_tree,leaf_size=16"]
        {
            cases.push((20_000, 20, format!("linfa.k_neighbors_regressor:{spec}")));
            cases.push((20_000, 8, format!("linfa.k_neighbors_regressor:{spec}")));
        }
    }
    if offered("linfa.tweedie_regressor") {
        cases.extend(
            ["power=0", "power=1", "power=2", "power=3"]
                .map(|s| (20_000, 20, format!("linfa.tweedie_regressor:{s}"))),
        );
    }
    if offered("linfa.linear_regression") {
        cases.push((20_000, 20, "linfa.linear_regression:fit_intercept=false".into()));
    }
    for (n, p, spec) in cases {
        let values = rows(n, p, 3);
        let numbers = numbers(&values, p);
        let class_target = |spec: &str, k: usize| {
            let mut y = classes(&values, p, k);
            // The worst target of classes: nearly all rows of one.
            if spec.starts_with("linfa.gaussian_nb") {
                y.iter_mut().enumerate().filter(|(i, _)| i % 20 > 0).for_each(|(_, c)| *c = (k - 1) as f64);
            }
            y
        };
        // The worst target of numbers: nothing to pool.
        let numbers = if p == 1 { values.clone() } else { numbers };
        for order in [Order::C, Order::F] {
            if spec.contains("kd_tree") && order == Order::F {
                continue;
            }
            let laid = if order == Order::C { values.clone() } else { transposed(&values, n, p) };
            let table: Arc<dyn Table> = Arc::new(DenseTable::new(laid, n, p, order).unwrap());
            let (ledger, all) = (Ledger::default(), Rows::all(n));
            let shape = Shape { nrows: n, ncols: p };
            let label = format!("{spec} {order:?} {n} x {p}");
            match registry.build(&spec).unwrap() {
                Built::Learner(learner) => {
                    let counts: &[usize] = if learner.predicts().classifies() { &[2, 3, 30] } else { &[0] };
                    for n_classes in counts.iter().copied() {
                        let label = format!("{label}, {n_classes} classes");
                        let y = if n_classes > 0 { class_target(&spec, n_classes) } else { numbers.clone() };
                        let target: Arc<dyn Table> = Arc::new(DenseTable::column(y));
                        let cx = FitContext {
                            n_classes: (n_classes > 0).then_some(n_classes),
                            table: Some(&table),
                            target: Some(&target),
                            ..FitContext::alone(&Heap, &ledger)
                        };
                        let train = train(table.as_mat(), target.as_mat(), &all);
                        let (model, peak, kept) = measured(|| learner.fit_rows(&train, &cx).unwrap());
                        let cost = match n_classes {
                            0 => learner.cost(shape),
                            k => learner.cost_with_classes(shape, k),
                        };
                        // How many rows are support vectors of how many machines, the rows say.
                        let tight = !(spec.starts_with("linfa.svc") && n_classes > 3);
                        check(&label, cost, (peak, kept), tight);
                        let most = kept as f64 * 1.3 + SLACK as f64;
                        assert!(model.bytes() as f64 <= most, "{label}: {} of {kept}", model.bytes());
                    }
                }
                Built::Transformer(transformer) => {
                    let target = MatRef::column_vector(&numbers);
                    let train = train(table.as_mat(), target, &all);
                    let cx = FitContext::alone(&Heap, &ledger);
                    let (map, peak, kept) = measured(|| transformer.fit_rows(&train, &cx).unwrap());
                    check(&label, transformer.cost(shape), (peak, kept), true);
                    drop(map);
                }
            }
            assert!(ledger.into_entries().is_empty(), "{label}: copies nothing");
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

fn train<'a>(x: MatRef<'a>, y: MatRef<'a>, rows: &'a Rows) -> Train<'a> {
    Train::new(RowsView::new(x, rows).unwrap(), RowsView::new(y, rows).unwrap()).unwrap()
}
