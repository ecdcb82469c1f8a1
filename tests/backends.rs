//! One layer of learners from three backends over one mapping: nothing is gathered for any of them.
#![allow(missing_docs)]

#[path = "main/support/files.rs"]
mod files;
#[path = "backends/golden.rs"]
mod golden;
#[path = "backends/hostile.rs"]
mod hostile;

use ensemble::{
    Access, Built, DenseTable, KFold, Layer, MatMut, Order, SuperLearner, Table,
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
                .learner("native.lasso", pipeline("native.standard_scaler | native.lasso:alpha=0.01"))
                .learner("native.ols", pipeline("native.linear_regression"))
                .learner("linfa.ols", pipeline("linfa.linear_regression"))
                .learner("linfa.net", pipeline("linfa.elastic_net:alpha=0.01"))
                .learner("smartcore.ridge", pipeline("smartcore.ridge_regression:alpha=1"))
                .learner("smartcore.tree", pipeline("smartcore.decision_tree_regressor:max_depth=2")),
        )
        .meta(pipeline("native.nnls"))
        .without_meta_score()
        .scratch(Arc::new(SpillDir::new(dir.path())));
    let fitted = stack.fit(&x, &y).unwrap();
    let report = fitted.report().unwrap();
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
        let stack = SuperLearner::new(KFold::new(5)).layer(Layer::new().learner("it", learner));
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
            let files = files::friedman(dir.path(), 400, 5, Order::C);
            let [x, y] = [&files.0, &files.1].map(|path| MappedTable::open_npy(path).unwrap());
            let pipeline = registry.pipeline(&format!("{backend}.k_neighbors_regressor")).unwrap();
            let learner = SuperLearner::new(KFold::new(2)).layer(Layer::new().learner("near", pipeline));
            let fitted = learner.without_meta_score().fit(&x, &y).unwrap();
            let query = ensemble::DenseTable::new(vec![0.5; 10], 2, 5, Order::C).unwrap();
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

/// Kinds of linfa whose solvers add up the training rows in the order in which these lie in memory, which nothing but a copy of
/// them would change; and where.
const BY_LAYOUT: [(&str, &str); 5] = [
    ("linfa.logistic_regression", "linfa-logistic 0.8.1, lib.rs:479 and :508: x.dot and x.t().dot"),
    ("linfa.pca", "linfa-reduction 0.8.1, pca.rs: the means, and products of the centred rows"),
    (
        "linfa.standard_scaler",
        "linfa-preprocessing 0.8.1, linear_scaling.rs:54 and :56: mean_axis and std_axis",
    ),
    ("linfa.tweedie_regressor", "linfa-linear 0.8.1, glm/mod.rs:130 and :174: x.dot and temp.dot(x)"),
    ("linfa.whitener", "linfa-preprocessing 0.8.1, whitening.rs:116: sigma.t().dot(sigma)"),
];

/// Every learner, and every transformer before another, on one table in both orders: out-of-fold predictions, and those of other
/// rows, whole and in parts.
#[test]
fn a_table_in_either_order_gives_the_same_bits_for_every_kind_of_every_backend() {
    let (rows, others) = (331, 1500);
    let registry = registry();
    let mut unlike = Vec::new();
    for kind in registry.kinds() {
        let name = kind.name;
        let p = if name.ends_with("isotonic_regression") { 1 } else { 6 };
        let whole = name.ends_with("categorical_nb") || name.ends_with("multinomial_nb");
        let wave = |i: usize, j: usize| {
            let value =
                0.5 + 0.5 * ((i * 31 + j * 17) as f64 * 0.61).sin() + ((i * (j + 3)) % 13) as f64 * 0.37;
            if whole { value.floor() } else { value * (j + 1) as f64 }
        };
        let matrix = |first: usize, n: usize, order| {
            let at = |k: usize| if order == Order::C { (k / p, k % p) } else { (k % n, k / n) };
            let values = (0..n * p).map(at).map(|(i, j)| wave(first + i, j)).collect();
            DenseTable::new(values, n, p, order).unwrap()
        };
        let signal = |i: usize| (0..p).map(|j| wave(i, j) / (j + 2) as f64).sum::<f64>() + (i as f64).cos();
        let (text, classifies) = match registry.build(name).unwrap() {
            Built::Learner(learner) => (name.to_string(), learner.predicts().classifies()),
            // One that looks for directions between classes.
            Built::Transformer(_) if name == "smartcore.lda" => {
                (format!("{name} | native.gaussian_nb"), true)
            }
            Built::Transformer(_) => (format!("{name} | native.linear_regression"), false),
        };
        // Two classes suit every classifier.
        let y = match classifies {
            true => (0..rows).map(|i| f64::from(signal(i) > signal(7))).collect(),
            false => (0..rows).map(|i| signal(i).abs()).collect(),
        };
        let y = DenseTable::column(y);
        let run = |order| -> Result<Vec<Vec<u64>>, ensemble::Error> {
            let layer = Layer::new().learner("it", registry.pipeline(&text)?);
            let stack = SuperLearner::new(KFold::new(3)).layer(layer).keep_out_of_fold().without_meta_score();
            let fitted = stack.fit(&matrix(0, rows, order), &y)?;
            let model = fitted.layers()[0][0].model();
            let k = model.n_outputs();
            let (oof, x) = (fitted.transform()?, matrix(rows, others, order));
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let mut said = vec![bits(oof.as_slice().unwrap())];
            for part in [others, 1, 37] {
                let mut out = vec![0.0; others * k];
                for (x, out) in x.as_mat().row_blocks(part).zip(out.chunks_mut(part * k)) {
                    model.predict_into(x, MatMut::new(out, x.nrows(), k, Order::C)?)?;
                }
                said.push(bits(&out));
            }
            Ok(said)
        };
        let (c, f) = match (run(Order::C), run(Order::F)) {
            (Ok(c), Ok(f)) => (c, f),
            (c, f) => {
                let said = |r: Result<_, ensemble::Error>| r.err().map(|e| e.to_string());
                unlike.push(format!("{name}: {:?} {:?}", said(c), said(f)));
                continue;
            }
        };
        for (order, said) in [("C", &c), ("F", &f)] {
            if said[2] != said[1] || said[3] != said[1] {
                unlike.push(format!("{name}: predictions in parts, {order}"));
            }
        }
        match BY_LAYOUT.iter().find(|(kind, _)| *kind == name) {
            Some((_, place)) if c == f => unlike.push(format!("{name} is mended: {place}")),
            None if c != f => unlike.push(format!("{name}: C and F")),
            _ => {}
        }
    }
    assert!(unlike.is_empty(), "{}\n{}", unlike.len(), unlike.join("\n"));
}
