//! Every kind of this crate keeps the contract, on the heap and on read-only mapped files, and allocates no more than it declares.
//!
//! One test, so that nothing else allocates while a fit is measured.
#![allow(missing_docs)]

use std::fmt::Write;

use ensemble_core::{
    Registry,
    conformance::{Capabilities, Suite, check_kind},
};
use ensemble_memmap::MappedPlace;
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What each kind can do; `None` for one that nobody has thought about.
fn capabilities(kind: &str) -> Option<Capabilities> {
    let any = Capabilities::new();
    Some(match kind.strip_prefix("smartcore.")? {
        // Its default penalty leaves the mean alone.
        "lasso" => any.unskilled(),
        "linear_regression" | "ridge_regression" | "elastic_net" => any,
        "decision_tree_regressor" => any,
        "random_forest_regressor" | "extra_trees_regressor" | "xg_regressor" => any.rows(240),
        "k_neighbors_regressor" | "k_neighbors_classifier" | "logistic_regression" => any.rows(1600),
        // Memory and time grow as the square of the rows.
        "svr" | "svc" | "decision_tree_classifier" | "random_forest_classifier" => any.rows(240),
        "gaussian_nb" | "bernoulli_nb" => any,
        "multinomial_nb" | "categorical_nb" => any.count_columns(),
        "standard_scaler" | "pca" | "svd" => any,
        "lda" => any.class_target(),
        _ => return None,
    })
}

/// Parameters that lead another way through a fit, or spare time.
const OTHER_WAYS: [&str; 12] = [
    "smartcore.linear_regression:solver=qr",
    "smartcore.ridge_regression:normalize=true",
    "smartcore.lasso:normalize=true",
    "smartcore.elastic_net:normalize=true,alpha=0.1",
    "smartcore.random_forest_classifier:max_depth=5,n_estimators=10",
    "smartcore.random_forest_regressor:max_depth=5,max_features=sqrt,random_state=3",
    "smartcore.xg_regressor:subsample=0.5,max_depth=3",
    "smartcore.k_neighbors_regressor:algorithm=cover_tree,weights=distance",
    "smartcore.k_neighbors_classifier:weights=distance,metric=manhattan",
    "smartcore.svc:kernel=linear",
    "smartcore.pca:n_components=3,use_correlation_matrix=true",
    "smartcore.svd:n_components=3",
];

#[test]
fn every_kind_keeps_the_contract() {
    let mut registry = Registry::new();
    ensemble_smartcore::register(&mut registry);
    registry.open_tables_with(ensemble_memmap::open_reference);
    let mapped = MappedPlace::temp().unwrap();
    let suite = Suite::new(&registry).place(&mapped).meter(&HEAP);
    let mut faults = String::new();
    for text in registry.kinds().map(|k| k.name).chain(OTHER_WAYS) {
        let kind = text.split_once(':').map_or(text, |(kind, _)| kind);
        let Some(capabilities) = capabilities(kind) else {
            writeln!(faults, "{kind} has no capabilities in this file").unwrap();
            continue;
        };
        let started = std::time::Instant::now();
        let outcome = check_kind(&suite, text, &capabilities).unwrap();
        println!("{text}: {:.1} s: {outcome}", started.elapsed().as_secs_f64());
        if !outcome.is_ok() {
            writeln!(faults, "{outcome}").unwrap();
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}
