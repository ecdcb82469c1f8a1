//! Data to fit on, and fits outside any ensemble.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::sync::Arc;

use ensemble_core::{
    Built, Estimator, FitContext, FittedTransform, Heap, Ledger, MatMut, MatRef, Model, Order, Registry,
    Result, Rows, RowsView, Train, Transformer,
};

/// Numbers between 0 and 1 that never change.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Rows in C order between 0 and 2.
pub fn rows(n: usize, p: usize, seed: u64) -> Vec<f64> {
    let mut random = Random(seed);
    (0..n * p).map(|_| 2.0 * random.next()).collect()
}

/// A target of numbers above 0.
pub fn numbers(x: &[f64], p: usize) -> Vec<f64> {
    let mut random = Random(77);
    x.chunks_exact(p)
        .map(|r| 3.0 + r[0] - 0.5 * r[p - 1] + 0.3 * r[p / 2] * r[0] + 0.2 * random.next())
        .collect()
}

/// A target of k classes, which overlap a little.
pub fn classes(x: &[f64], p: usize, k: usize) -> Vec<f64> {
    let mut random = Random(99);
    x.chunks_exact(p)
        .map(|r| {
            let score = (r[0] + 0.7 * r[p - 1] + 0.4 * (random.next() - 0.5)) / 3.4 * k as f64;
            score.floor().clamp(0.0, (k - 1) as f64)
        })
        .collect()
}

/// Values in C order as values in Fortran order.
pub fn transposed(x: &[f64], n: usize, p: usize) -> Vec<f64> {
    (0..p).flat_map(|c| (0..n).map(move |r| x[r * p + c])).collect()
}

pub fn with_train<T>(x: MatRef<'_>, y: &[f64], run: impl FnOnce(&Train<'_>) -> T) -> T {
    let rows = Rows::all(x.nrows());
    let train =
        Train::new(RowsView::new(x, &rows).unwrap(), RowsView::new(MatRef::column_vector(y), &rows).unwrap());
    run(&train.unwrap())
}

pub fn fit(
    learner: &dyn Estimator,
    x: MatRef<'_>,
    y: &[f64],
    n_classes: Option<usize>,
) -> Result<Arc<dyn Model>> {
    let ledger = Ledger::default();
    let cx = FitContext { n_classes, ..FitContext::alone(&Heap, &ledger) };
    with_train(x, y, |train| learner.fit_rows(train, &cx))
}

pub fn fit_transform(
    transformer: &dyn Transformer,
    x: MatRef<'_>,
    y: &[f64],
) -> Result<Arc<dyn FittedTransform>> {
    let ledger = Ledger::default();
    with_train(x, y, |train| transformer.fit_rows(train, &FitContext::alone(&Heap, &ledger)))
}

pub fn c_order(x: &[f64], n: usize, p: usize) -> MatRef<'_> {
    MatRef::new(x, n, p, Order::C).unwrap()
}

pub fn predict(model: &dyn Model, x: MatRef<'_>) -> Vec<f64> {
    let mut out = vec![f64::NAN; x.nrows() * model.n_outputs()];
    let buffer = MatMut::new(&mut out, x.nrows(), model.n_outputs(), Order::C).unwrap();
    model.predict_into(x, buffer).unwrap();
    out
}

pub fn transform(map: &dyn FittedTransform, x: MatRef<'_>) -> Vec<f64> {
    let mut out = vec![f64::NAN; x.nrows() * map.n_out()];
    map.transform_block_into(x, MatMut::new(&mut out, x.nrows(), map.n_out(), Order::C).unwrap()).unwrap();
    out
}

/// The class of the greatest probability, the first of equal ones.
pub fn decided(probabilities: &[f64], k: usize) -> Vec<usize> {
    let first = |row: &[f64]| (0..k).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    probabilities.chunks_exact(k).map(first).collect()
}

pub fn registry() -> Registry {
    let mut registry = Registry::new();
    ensemble_linfa::register(&mut registry);
    registry
}

/// Every learner with defaults, small where defaults are large.
pub fn learners() -> Vec<(&'static str, Arc<dyn Estimator>)> {
    let registry = registry();
    let names: Vec<&'static str> = registry.kinds().map(|k| k.name).collect();
    let spec = |name: &str| match name {
        "linfa.random_forest_classifier" | "linfa.bagging_classifier" => {
            format!("{name}:n_estimators=5,max_depth=4")
        }
        "linfa.ada_boost_classifier" => format!("{name}:n_estimators=5"),
        "linfa.lasso" | "linfa.elastic_net" | "linfa.multi_task_elastic_net" => format!("{name}:alpha=0.01"),
        _ => name.to_string(),
    };
    names
        .into_iter()
        .filter_map(|name| match registry.build(&spec(name)).unwrap() {
            Built::Learner(learner) => Some((name, learner)),
            Built::Transformer(_) => None,
        })
        .collect()
}

/// Every transformer with defaults.
pub fn transformers() -> Vec<(&'static str, Arc<dyn Transformer>)> {
    let registry = registry();
    let names: Vec<&'static str> = registry.kinds().map(|k| k.name).collect();
    names
        .into_iter()
        .filter_map(|name| match registry.build(name).unwrap() {
            Built::Learner(_) => None,
            Built::Transformer(transformer) => Some((name, transformer)),
        })
        .collect()
}

/// Columns that a learner of this kind is tried on.
pub fn columns_for(name: &str) -> usize {
    if name == "linfa.isotonic_regression" { 1 } else { 4 }
}

/// Rows and a target that suit the learner, and its number of classes.
pub fn data_for(name: &str, learner: &dyn Estimator, n: usize) -> (Vec<f64>, Vec<f64>, Option<usize>) {
    let p = columns_for(name);
    let x = rows(n, p, 5);
    if learner.predicts().classifies() {
        let y = classes(&x, p, 3);
        (x, y, Some(3))
    } else {
        let y = numbers(&x, p);
        (x, y, None)
    }
}
