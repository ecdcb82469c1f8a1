//! Every kind of this crate keeps the contract, on the heap and on read-only mapped files, and allocates what it declares.
//!
//! One test, so that nothing else allocates while a fit is measured.

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
fn capabilities(kind: &str, parameters: &str) -> Option<Capabilities> {
    let any = Capabilities::new();
    Some(match kind {
        "native.mean" => any.unskilled(),
        // Its default penalty leaves the mean alone.
        "native.lasso" if parameters.is_empty() => any.unskilled(),
        "native.linear_regression" | "native.ridge" | "native.lasso" | "native.elastic_net" => any,
        // Without an intercept, columns about 0 do not reach a target far from it; nor does any mean of columns.
        "native.nnls" => any.positive_columns(),
        "native.convex" => any.unskilled(),
        "native.k_neighbors_regressor" | "native.gaussian_nb" => any,
        "native.standard_scaler" | "native.min_max_scaler" | "native.center" | "native.normalizer" => any,
        _ => return None,
    })
}

/// Parameters that lead another way through a fit.
const OTHER_WAYS: [&str; 6] = [
    "native.linear_regression:positive=true",
    "native.ridge:fit_intercept=false",
    "native.lasso:positive=true,alpha=0.01",
    "native.k_neighbors_regressor:algorithm=brute,weights=distance",
    "native.standard_scaler:with_std=false",
    "native.normalizer:norm=max",
];

#[test]
fn every_kind_keeps_the_contract() {
    let mut registry = Registry::new();
    ensemble_native::register(&mut registry);
    registry.open_tables_with(ensemble_memmap::open_reference);
    let mapped = MappedPlace::temp().unwrap();
    let suite = Suite::new(&registry).place(&mapped).meter(&HEAP);
    let mut faults = String::new();
    for text in registry.kinds().map(|k| k.name).chain(OTHER_WAYS) {
        let (kind, parameters) = text.split_once(':').unwrap_or((text, ""));
        let Some(mut capabilities) = capabilities(kind, parameters) else {
            writeln!(faults, "{kind} has no capabilities in this file").unwrap();
            continue;
        };
        if parameters == "fit_intercept=false" {
            capabilities = capabilities.positive_columns();
        }
        let outcome = check_kind(&suite, text, &capabilities).unwrap();
        println!("{text}: {outcome}");
        if !outcome.is_ok() {
            writeln!(faults, "{outcome}").unwrap();
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}
