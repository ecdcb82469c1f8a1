//! One layer of learners from three backends over one mapping: nothing is gathered for any of them.
#![allow(missing_docs)]

#[path = "main/support/files.rs"]
mod files;

use ensemble::{
    Access, Built, KFold, Layer, Order, SuperLearner,
    memmap::{MappedTable, SpillDir},
    registry,
};
use std::sync::Arc;

const ROWS: usize = 1_000_000;
const COLUMNS: usize = 20;

#[test]
fn native_linfa_and_smartcore_learners_share_one_mapping_and_nothing_is_gathered() {
    let dir = tempfile::tempdir().unwrap();
    let (xp, yp) = files::friedman(dir.path(), ROWS, COLUMNS, Order::C);
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let registry = registry();
    let pipeline = |text: &str| registry.pipeline(text).unwrap();
    let stack = SuperLearner::new(KFold::new(5))
        .layer(
            Layer::new()
                .shared("native.lasso", pipeline("native.standard_scaler | native.lasso:alpha=0.01"))
                .shared("native.ols", pipeline("native.linear_regression"))
                .shared("linfa.ols", pipeline("linfa.linear_regression"))
                .shared("linfa.net", pipeline("linfa.elastic_net:alpha=0.01"))
                .shared("smartcore.ridge", pipeline("smartcore.ridge_regression:alpha=1"))
                .shared("smartcore.tree", pipeline("smartcore.decision_tree_regressor:max_depth=2")),
        )
        .meta_shared(pipeline("native.nnls"))
        .without_meta_score()
        .scratch(Arc::new(SpillDir::new(dir.path())));
    let fitted = stack.fit(&x, &y).unwrap();
    let report = fitted.report();
    assert!(report.as_planned);
    assert_eq!(report.totals.gathered_bytes, 0);
    assert_eq!(report.totals.transformed_bytes, 0);
    // Six training sets of x and y, a page or so at each junction.
    assert!(report.totals.rewired_bytes_copied < 6 * 2 * 2 * 4096, "{}", report.totals.rewired_bytes_copied);
    let access = |name: &str| report.learners.iter().find(|l| l.name == name).unwrap().access.clone();
    assert_eq!(access("native.lasso"), "merge");
    assert_eq!(access("linfa.net"), "merge");
    assert_eq!(access("linfa.ols"), "rewired");
    assert_eq!(access("smartcore.tree"), "segments");
    let risk = |name: &str| {
        let learner = report.learners.iter().find(|l| l.name == name).unwrap();
        learner.scores.as_ref().unwrap().cv_rmse_mean
    };
    assert!((risk("native.ols") - risk("linfa.ols")).abs() < 1e-9, "two libraries, one solution");
}

/// What the plan says of every learner and transformer there is, on the same table.
#[test]
fn the_plan_gathers_for_no_kind_of_any_backend() {
    let dir = tempfile::tempdir().unwrap();
    let rows = 5 * 1024;
    let (xp, yp) = files::friedman(dir.path(), rows, COLUMNS, Order::C);
    let x = MappedTable::open_npy(&xp).unwrap();
    let numbers = MappedTable::open_npy(&yp).unwrap();
    let labels = dir.path().join("labels.npy");
    let mut out = ensemble::memmap::NpyWriter::create_vector(&labels, rows).unwrap();
    out.write_rows(&(0..rows).map(|r| (r % 3) as f64).collect::<Vec<_>>()).unwrap();
    out.finish().unwrap();
    let labels = MappedTable::open_npy(&labels).unwrap();
    let registry = registry();
    for kind in registry.kinds() {
        let Built::Learner(learner) = registry.build(kind.name).unwrap() else { continue };
        let y = if learner.predicts().classifies() { &labels } else { &numbers };
        let access = learner.access();
        let stack = SuperLearner::new(KFold::new(5)).layer(Layer::new().shared("it", learner));
        let plan = match stack.plan(&x, y) {
            Ok(plan) => plan,
            // A learner of one column says so.
            Err(error) => {
                assert!(error.to_string().contains("column"), "{}: {error}", kind.name);
                continue;
            }
        };
        // A learner that must have Fortran order of a C table is the only one that can need a copy.
        if access != Access::Contiguous(Some(Order::F)) {
            assert_eq!(plan.totals().gathered_bytes, 0, "{}", kind.name);
        }
    }
}

/// Rows that models keep are asked for what they were around every batch.
#[test]
fn neighbours_of_every_backend_refuse_to_predict_from_rows_that_were_changed() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry();
    for backend in ["native", "linfa", "smartcore"] {
        for change in [0, 1] {
            let files = files::friedman(dir.path(), 400, 4, Order::C);
            let [x, y] = [&files.0, &files.1].map(|path| MappedTable::open_npy(path).unwrap());
            let pipeline = registry.pipeline(&format!("{backend}.k_neighbors_regressor")).unwrap();
            let learner = SuperLearner::new(KFold::new(2)).layer(Layer::new().shared("near", pipeline));
            let fitted = learner.without_meta_score().fit(&x, &y).unwrap();
            let query = ensemble::DenseTable::new(vec![0.5; 8], 2, 4, Order::C).unwrap();
            fitted.predict(&query).unwrap();
            let path = [&files.0, &files.1][change];
            std::thread::sleep(std::time::Duration::from_millis(20));
            std::fs::File::options().write(true).open(path).unwrap().set_len(4100).unwrap();
            let error = fitted.predict(&query).unwrap_err().to_string();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(
                error.contains(name) && error.contains("changed while it was read"),
                "{backend}: {error}"
            );
        }
    }
}
