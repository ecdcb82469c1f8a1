//! Folds as scikit-learn makes them.

use serde_json::Value;

use crate::{
    Blend, Design, DesignFacts, GivenFolds, GroupKFold, KFold, Scheme, StratifiedKFold, design::cell::CellId,
};

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/scikit_learn_folds.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// The fold in which each of the input's rows is held out, -1 where it never is.
fn folds_of(design: &Design) -> Vec<f64> {
    let mut folds = vec![-1.0; design.nrows()];
    for (CellId(fold), cell) in design.ids() {
        for at in design.atoms().rows(&cell.predict).runs().iter().cloned().flatten() {
            folds[design.arrangement().input_row(at)] = fold as f64;
        }
    }
    folds
}

#[test]
fn folds_are_those_of_scikit_learn() {
    let all = fixture();
    let groups = numbers(&all["groups"]);
    for case in all["cases"].as_array().unwrap() {
        let (text, target) = (case["scheme"].as_str().unwrap(), case["target"].as_str().unwrap());
        let scheme: Box<dyn Scheme> = match text {
            "kfold:n_splits=4" => Box::new(KFold::new(4)),
            "stratified:n_splits=4" => Box::new(StratifiedKFold::new(4)),
            "stratified:n_splits=5" => Box::new(StratifiedKFold::new(5)),
            "group:n_splits=3" => Box::new(GroupKFold::new(3, &groups).unwrap()),
            "group:n_splits=5" => Box::new(GroupKFold::new(5, &groups).unwrap()),
            "group:n_splits=3,stratified=true" => Box::new(GroupKFold::new(3, &groups).unwrap().stratified()),
            "group:n_splits=4,stratified=true" => Box::new(GroupKFold::new(4, &groups).unwrap().stratified()),
            "given" => Box::new(GivenFolds::new(&numbers(&all["given"])).unwrap()),
            "given:never" => Box::new(GivenFolds::new(&numbers(&all["never"])).unwrap()),
            other => panic!("{other}"),
        };
        let values = numbers(&all[target]);
        let n_classes = (target != "y").then_some(3);
        let facts = DesignFacts { n_classes, ..DesignFacts::new(&values) };
        let design = scheme.design(&facts).unwrap();
        assert_eq!(folds_of(&design), numbers(&case["folds"]), "{text} on {target}");
        // Within its fold, every row stands where it stood before.
        let order = design.arrangement().order();
        for range in design.atoms().ranges() {
            assert!(order.is_none_or(|order| order[range].is_sorted()), "{text}");
        }
    }
}

#[test]
fn rows_that_are_never_held_out_are_fitted_on_and_left_behind() {
    let scheme = GivenFolds::new(&[0.0, -1.0, 2.0, -2.0, -1.0, 2.0]).unwrap();
    let facts = DesignFacts::new(&[0.0; 6]);
    let design = scheme.design(&facts).unwrap();
    assert_eq!(design.arrangement().order().unwrap(), [1, 4, 3, 0, 2, 5]);
    assert_eq!((design.predicted_rows(), design.predicted_sizes()), (2..6, vec![1, 1, 2]));
    assert!(design.cells().iter().all(|cell| cell.fit.contains(0)));
    let facts = DesignFacts { nrows: 4, ..facts };
    let above = scheme.design_above(&design, &facts).unwrap();
    assert_eq!((above.nrows(), above.predicted_rows(), above.cells().len()), (4, 0..4, 4));
    assert_eq!(scheme.design_above(&above, &facts).unwrap(), above);
    assert_eq!(scheme.spec()["n_splits"], 3);
    let error = GivenFolds::new(&[-1.0; 5]).unwrap_err().to_string();
    assert!(error.contains("in one fold"), "{error}");
    let one = GivenFolds::new(&[-1.0, 0.0, 0.0]).unwrap();
    let design = one.design(&DesignFacts::new(&[0.0; 3])).unwrap();
    assert!(one.design_above(&design, &DesignFacts { nrows: 2, ..facts }).is_err());
}

#[test]
fn schemes_say_name_and_parameters() {
    let specs = [
        (
            KFold::new(3).shuffle(7).spec(),
            r#"{"name":"kfold","n_splits":3,"sizing":"automatic","shuffle":true,"random_state":7}"#,
        ),
        (
            StratifiedKFold::new(2).spec(),
            r#"{"name":"stratified","n_splits":2,"shuffle":false,"random_state":null}"#,
        ),
        (
            GroupKFold::new(2, &[1.0, 5.0, 1.0, 2.0]).unwrap().spec(),
            r#"{"name":"group","n_splits":2,"stratified":false,"n_groups":3}"#,
        ),
        (GivenFolds::new(&[4.0, 9.0]).unwrap().spec(), r#"{"name":"given","n_splits":2}"#),
        (Blend::new(0.25).without_refit().spec(), r#"{"name":"blend","test_size":0.25,"refit":false}"#),
        (crate::NoSplit.spec(), r#"{"name":"none"}"#),
    ];
    for (spec, want) in specs {
        assert_eq!(spec, serde_json::from_str::<Value>(want).unwrap());
    }
}
