//! Whole stacks against scikit-learn's `StackingRegressor`, from the files numpy wrote.

use std::path::PathBuf;

use ensemble::{KFold, Layer, SuperLearner, Table, memmap::MappedTable, registry};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("ensemble-native/tests/data").join(name)
}

/// Name in the reference, base learners, meta-learner, relative tolerance.
const STACKS: [(&str, &[&str], &str, f64); 4] = [
    (
        "A_enet0.1_lasso0.1__knn5",
        &[
            "native.elastic_net:alpha=0.1,tol=1e-13,max_iter=1000000",
            "native.lasso:alpha=0.1,tol=1e-13,max_iter=1000000",
        ],
        "native.k_neighbors_regressor",
        1e-8,
    ),
    (
        "A1_enet1_lasso1__knn5 (seed E3, alpha=1)",
        &["native.elastic_net:tol=1e-13,max_iter=1000000", "native.lasso:tol=1e-13,max_iter=1000000"],
        "native.k_neighbors_regressor",
        1e-8,
    ),
    (
        "B_ss_mm_no_ols__ols (seed E2)",
        &[
            "native.standard_scaler | native.linear_regression",
            "native.min_max_scaler | native.linear_regression",
            "native.linear_regression",
        ],
        "native.linear_regression",
        1e-8,
    ),
    (
        "B2_ss_mm_no_ridge1__ridge1",
        &["native.standard_scaler | native.ridge", "native.min_max_scaler | native.ridge", "native.ridge"],
        "native.ridge",
        1e-8,
    ),
];

#[test]
fn stacked_predictions_equal_scikit_learns() {
    let open = |name: &str| MappedTable::open_npy(data(name)).unwrap();
    let (x, y, x_test) = (open("X_train.npy"), open("y_train.npy"), open("X_test.npy"));
    let text = std::fs::read_to_string(data("reference.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&text).unwrap();
    let registry = registry();
    for (name, bases, meta, tolerance) in STACKS {
        for k in [2, 3, 5] {
            let want = &reference["stack"][format!("{name} | K={k}")];
            let mut layer = Layer::new();
            for (j, base) in bases.iter().enumerate() {
                layer = layer.learner(format!("l{j}"), registry.pipeline(base).unwrap());
            }
            let fitted = SuperLearner::new(KFold::new(k).exact())
                .layer(layer)
                .meta(registry.pipeline(meta).unwrap())
                .fit(&x, &y)
                .unwrap();
            assert!(fitted.report().unwrap().as_planned);
            let got = fitted.predict(&x_test).unwrap();
            let want_predictions = want["pred_test"].as_array().unwrap();
            assert_eq!(got.len(), want_predictions.len());
            for (row, (got, want)) in got.iter().zip(want_predictions).enumerate() {
                let want = want.as_f64().unwrap();
                assert!(
                    (got - want).abs() <= tolerance * want.abs(),
                    "{name} K={k} row {row}: {got} and {want}"
                );
            }
            for (row, bases) in want["base_pred_test"].as_array().unwrap().iter().enumerate() {
                for (j, want) in bases.as_array().unwrap().iter().enumerate() {
                    let mut got = [0.0];
                    let one = x_test.as_mat().rows(row..row + 1).unwrap();
                    let model = fitted.layers()[0][j].model();
                    model.predict_into(one, ensemble::MatMut::column_vector(&mut got)).unwrap();
                    let want = want.as_f64().unwrap();
                    assert!((got[0] - want).abs() <= tolerance * want.abs(), "{name} base {j} row {row}");
                }
            }
        }
    }
}
