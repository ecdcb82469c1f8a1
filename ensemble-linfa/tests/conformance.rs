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

/// Why logistic regression of three classes refuses columns whose scores spread far.
const LOG_SUM_EXP: &str = "linfa-logistic 0.8.1, src/lib.rs:442: log_sum_exp takes the maximum over all rows, so rows far below it lose \
     their probabilities; the adapter refuses such fits instead of returning them";
/// Why a whitening differs in the last digits between rows with a gap in each column and rows without.
const STRIDES: &str = "linfa-preprocessing 0.8.1, src/whitening.rs:80: the product of the centred rows is summed by ndarray in an order that \
     depends on the strides it is given";

/// What each kind can do; `None` for one that nobody has thought about.
fn capabilities(kind: &str) -> Option<Capabilities> {
    let any = Capabilities::new();
    Some(match kind.strip_prefix("linfa.")? {
        // Its default penalty leaves the mean alone.
        "lasso" => any.unskilled(),
        "elastic_net" | "ridge" | "multi_task_elastic_net" | "linear_regression" => any,
        "tweedie_regressor" => any.positive_target().order_tolerance(1e-9),
        "isotonic_regression" => any.columns(1),
        "logistic_regression" => any.expect_failure("behind_a_map", LOG_SUM_EXP),
        "multinomial_logistic_regression" => {
            ["behind_a_map", "separates_blobs", "rows_are_distributions", "missing_class"]
                .into_iter()
                .fold(any, |c, check| c.expect_failure(check, LOG_SUM_EXP))
        }
        "decision_tree_classifier" => any,
        "random_forest_classifier" | "bagging_classifier" | "ada_boost_classifier" => any.rows(240),
        // Memory grows as the square of the rows.
        "svr" | "svc" => any.rows(240),
        "gaussian_nb" | "bernoulli_nb" => any,
        "multinomial_nb" => any.count_columns(),
        "k_neighbors_regressor" | "k_neighbors_classifier" => any.rows(1600),
        "min_max_scaler" | "max_abs_scaler" | "norm_scaler" => any,
        "standard_scaler" | "pca" => any.order_tolerance(1e-9),
        "whitener" => any.order_tolerance(1e-9),
        "gaussian_random_projection" | "sparse_random_projection" => any,
        _ => return None,
    })
}

/// Parameters that lead another way through a fit.
const OTHER_WAYS: &[&str] = &[
    "linfa.k_neighbors_regressor:algorithm=linear,weights=distance",
    "linfa.k_neighbors_classifier:algorithm=ball_tree",
    "linfa.decision_tree_classifier:max_depth=3,criterion=entropy",
    "linfa.svc:kernel=linear",
    "linfa.whitener:method=zca",
    "linfa.elastic_net:alpha=0.01,fit_intercept=false",
];

#[test]
fn every_kind_keeps_the_contract() {
    let mut registry = Registry::new();
    ensemble_linfa::register(&mut registry);
    registry.open_tables_with(ensemble_memmap::open_reference);
    let mapped = MappedPlace::temp().unwrap();
    let suite = Suite::new(&registry).place(&mapped).meter(&HEAP);
    let mut faults = String::new();
    for text in registry.kinds().map(|k| k.name).chain(OTHER_WAYS.iter().copied()) {
        let kind = text.split_once(':').map_or(text, |(kind, _)| kind);
        let Some(mut capabilities) = capabilities(kind) else {
            writeln!(faults, "{kind} has no capabilities in this file").unwrap();
            continue;
        };
        if text == "linfa.whitener" {
            for check in ["gathered_rows", "gaps_are_not_read"] {
                capabilities = capabilities.expect_failure(check, STRIDES);
            }
        }
        if text.ends_with("fit_intercept=false") {
            // Columns about 0 do not reach a target far from it.
            capabilities = capabilities.positive_columns();
        }
        let started = std::time::Instant::now();
        let outcome = check_kind(&suite, text, &capabilities).unwrap();
        println!("{text}: {:.1} s: {outcome}", started.elapsed().as_secs_f64());
        if !outcome.is_ok() {
            writeln!(faults, "{outcome}").unwrap();
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}
