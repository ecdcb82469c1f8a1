//! The conformance checks, checked: faultless learners pass all of them, and every fault is caught by the check that is named
//! for it.
//!
//! One test, so that nothing else allocates while a fit is measured.

mod learners;
mod merging;
mod tables;

use std::{collections::BTreeSet, fmt::Write, sync::Arc, time::Duration};

use ensemble_core::{
    DenseTable, ErrorKind, KFold, Layer, Order, SuperLearner,
    conformance::{
        Capabilities, Outcome, Suite, Verdict, check_classifier, check_estimator, check_transformer, checks,
    },
};
use peak_alloc::PeakAlloc;

use self::{
    learners::{Fault, Line, Nearest, Shift},
    merging::MergedLine,
    tables::{Flipping, Pages},
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The fault, and the check that must say so.
const REGRESSORS: &[(Fault, &str)] = &[
    (Fault::NoStatistics, "access_agrees_with_merge"),
    (Fault::UnknownKind, "kind_is_registered"),
    (Fault::TwoOutputs, "predicts_what_it_says"),
    (Fault::SumsByRun, "runs_are_rows"),
    (Fault::AsksForTheTable, "rewired_rows"),
    (Fault::LooksAtRowNumbers, "gathered_rows"),
    (Fault::IgnoresStride, "gaps_are_not_read"),
    (Fault::IgnoresOrder, "either_order"),
    (Fault::ChangesInput, "input_is_unchanged"),
    (Fault::CountsCalls, "fits_repeat"),
    (Fault::CountsThreads, "threads_change_nothing"),
    (Fault::LooksAtTheFold, "ensemble_fits_are_direct_fits"),
    (Fault::CopiesUnplanned, "plan_is_ledger"),
    (Fault::WritesNothing, "predictions_are_written"),
    (Fault::PredictsNan, "predictions_are_written"),
    (Fault::PredictsByBlock, "parts_are_the_whole"),
    (Fault::WantsOutputInC, "neighbouring_columns_stay"),
    (Fault::LooksAtTheThread, "concurrent_predictions"),
    (Fault::OtherForm, "linear_form"),
    (Fault::SavesNoIntercept, "saved_and_loaded"),
    (Fault::ReferenceLosesIntercept, "saved_by_reference"),
    (Fault::TakesAnyValue, "nan_is_handled_as_declared"),
    (Fault::HangsOnNan, "nan_is_handled_as_declared"),
    (Fault::DeclaresMissingAccepted, "nan_is_handled_as_declared"),
    (Fault::TakesAnyValue, "infinity_is_refused"),
    (Fault::TakesAnyValue, "nan_targets_are_refused"),
    (Fault::TakesAnyQuery, "queries_are_checked"),
    (Fault::PredictsInfinity, "far_rows"),
    (Fault::PredictsInfinity, "great_values"),
    (Fault::PanicsOnShape, "wrong_shapes_are_errors"),
    (Fault::TakesAnyShape, "wrong_shapes_are_errors"),
    (Fault::TakesAnyValue, "no_rows_is_an_error"),
    (Fault::PanicsOnFewRows, "few_rows"),
    (Fault::DividesBySpread, "dull_columns"),
    (Fault::DividesByTargets, "constant_target"),
    (Fault::AllocatesMore, "allocations_within_cost"),
    (Fault::KeepsMore, "model_within_cost"),
    (Fault::PredictsBackwards, "beats_the_mean"),
];

const MERGING: &[(Fault, &str)] =
    &[(Fault::ForgetsTheShift, "behind_a_map"), (Fault::MergesLess, "ensemble_fits_are_direct_fits")];

const CLASSIFIERS: &[(Fault, &str)] = &[
    (Fault::DeclaresTwoClasses, "many_classes_within_cost"),
    (Fault::FirstClassAlways, "separates_blobs"),
    (Fault::SumsToTwo, "rows_are_distributions"),
    (Fault::DropsMissingClasses, "missing_class"),
    (Fault::PanicsOnFewRows, "single_class"),
    (Fault::TakesAnyClass, "class_numbers_are_checked"),
];

const TRANSFORMERS: &[(Fault, &str)] = &[
    (Fault::TwoOutputs, "columns_out"),
    (Fault::OtherForm, "affine_form"),
    (Fault::PredictsByBlock, "before_a_learner"),
    (Fault::TakesAnyValue, "nan_is_handled_as_declared"),
];

fn check(fault: Fault, run: impl Fn(&Suite<'_>) -> Outcome) -> Outcome {
    let (registry, flipping) = (learners::registry(), Flipping);
    let suite = Suite::new(&registry).place(&Pages).meter(&HEAP).time_limit(Duration::from_millis(500));
    // Only the fault that asks for it gets tables that can change.
    run(&if fault == Fault::ChangesInput { suite.place(&flipping) } else { suite })
}

fn regressor(fault: Fault) -> Outcome {
    check(fault, |suite| check_estimator(suite, Arc::new(Line::new(fault)), &Capabilities::new()))
}

fn merging(fault: Fault) -> Outcome {
    check(fault, |suite| check_estimator(suite, Arc::new(MergedLine { fault }), &Capabilities::new()))
}

fn classifier(fault: Fault) -> Outcome {
    check(fault, |suite| check_classifier(suite, Arc::new(Nearest { fault }), &Capabilities::new()))
}

fn transformer(fault: Fault) -> Outcome {
    check(fault, |suite| check_transformer(suite, Arc::new(Shift { fault }), &Capabilities::new()))
}

fn faultless_learners_pass_every_check() {
    for run in [regressor, merging, classifier, transformer] {
        let outcome = run(Fault::None);
        outcome.assert();
        let skipped = |v: &Verdict| matches!(v, Verdict::Skipped(_));
        let asked = outcome.checks.iter().filter(|(_, v)| !skipped(v)).count();
        assert!(asked + 1 >= outcome.checks.len(), "{outcome}");
    }
}

fn every_fault_is_caught_by_its_check() {
    let (mut caught, mut missed) = (BTreeSet::new(), String::new());
    for (faults, run) in [
        (REGRESSORS, regressor as fn(Fault) -> Outcome),
        (MERGING, merging),
        (CLASSIFIERS, classifier),
        (TRANSFORMERS, transformer),
    ] {
        for (fault, name) in faults {
            let outcome = run(*fault);
            match outcome.verdict(name) {
                Some(Verdict::Failed(_)) => _ = caught.insert(*name),
                _ => write!(missed, "\n{name} misses {fault:?}: {outcome}").unwrap(),
            }
        }
    }
    assert!(missed.is_empty(), "{missed}");
    let names: BTreeSet<_> = checks().iter().map(|c| c.name()).collect();
    assert_eq!(caught, names, "every check catches a fault");
}

fn expectations_are_kept_and_taken_back() {
    let said = |fault, name: &str| {
        let capabilities = Capabilities::new().expect_failure(name, "known");
        check(fault, |suite| check_estimator(suite, Arc::new(Line::new(fault)), &capabilities))
    };
    let known = said(Fault::OtherForm, "linear_form");
    assert!(matches!(known.verdict("linear_form"), Some(Verdict::ExpectedFailure(_))), "{known}");
    let mended = said(Fault::None, "linear_form");
    assert!(matches!(mended.verdict("linear_form"), Some(Verdict::UnexpectedPass(_))) && !mended.is_ok());
    assert!(!said(Fault::None, "no_such_check").is_ok());
    // A check of another family is no check of this one.
    assert!(!said(Fault::None, "affine_form").is_ok());
    let outcome = std::panic::catch_unwind(|| mended.assert());
    assert!(outcome.is_err(), "assert panics");
}

fn the_wrong_family_is_told() {
    let outcome = check(Fault::None, |suite| {
        check_classifier(suite, Arc::new(Line::new(Fault::None)), &Capabilities::new())
    });
    assert!(matches!(outcome.verdict("predicts_what_it_says"), Some(Verdict::Failed(_))), "{outcome}");
}

/// What the engine does with the panic of a backend; no learner can get it wrong.
fn a_panic_inside_a_backend_is_that_learners_error() {
    let x = DenseTable::new((0..90 * 8).map(|i| f64::from(i % 37)).collect(), 90, 8, Order::C).unwrap();
    let y = DenseTable::column((0..90).map(f64::from).collect());
    let learner = SuperLearner::new(KFold::new(3)).layer(
        Layer::new()
            .learner("sound", Line::new(Fault::None))
            .learner("faulty", Line::new(Fault::PanicsInAFold)),
    );
    let error = learner.meta(Line::new(Fault::None)).fit(&x, &y).expect_err("an error");
    let ErrorKind::Learner { name, layer, fold, source } = error.kind() else { panic!("{error}") };
    assert_eq!((name.as_str(), *layer, *fold), ("faulty", 0, Some(1)));
    assert!(matches!(source.kind(), ErrorKind::Panicked { .. }), "{error}");
}

#[test]
fn the_checks_catch_what_they_are_named_for() {
    faultless_learners_pass_every_check();
    every_fault_is_caught_by_its_check();
    expectations_are_kept_and_taken_back();
    the_wrong_family_is_told();
    a_panic_inside_a_backend_is_that_learners_error();
}
