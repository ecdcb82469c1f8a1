//! Results are the same to the last bit for any threads, budget, and way of taking rows.

use std::sync::Arc;

use ensemble::{
    DenseTable, FittedEnsemble, KFold, Layer, MemoryBudget, Order, SuperLearner, Table,
    memmap::{MappedTable, SpillDir},
    registry,
};

use crate::support::{Runs, WholeMatrix, files::friedman};

fn stack(folds: KFold) -> SuperLearner {
    let registry = registry();
    let mut layer = Layer::new();
    for (name, text) in [
        ("lasso", "native.standard_scaler | native.lasso:alpha=0.05"),
        ("ols", "native.linear_regression"),
        ("knn", "native.min_max_scaler | native.k_neighbors_regressor:n_neighbors=4"),
        ("norm", "native.normalizer | native.ridge"),
    ] {
        layer = layer.learner(name, registry.pipeline(text).unwrap());
    }
    SuperLearner::new(folds)
        .layer(layer.learner("whole", WholeMatrix(None)).learner("runs", Runs))
        .meta(registry.pipeline("native.nnls").unwrap())
        .keep_out_of_fold()
        .seed(7)
}

fn bits(fitted: &FittedEnsemble, x: &dyn Table) -> (Vec<u64>, Vec<u64>) {
    let oof = fitted.transform().unwrap();
    let oof = (0..oof.nrows()).flat_map(|r| oof.row(r).unwrap().to_vec()).map(f64::to_bits).collect();
    (oof, fitted.predict(x).unwrap().into_iter().map(f64::to_bits).collect())
}

#[test]
fn threads_budget_and_access_do_not_change_a_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (xp, yp) = friedman(dir.path(), 12_345, 6, Order::C);
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let folds = KFold::new(4).page_aligned();
    let spill = || Arc::new(SpillDir::temp());
    let reference = stack(folds).threads(1).scratch(spill()).fit(&x, &y).unwrap();
    assert!(
        reference.report().unwrap().as_planned,
        "{:#?}\n{}",
        reference.report().unwrap().work,
        stack(folds).scratch(spill()).plan(&x, &y).unwrap()
    );
    assert_eq!(reference.report().unwrap().learners[4].access, "rewired");
    let want = bits(&reference, &x);
    for threads in [2, 8] {
        let fitted = stack(folds).threads(threads).scratch(spill()).fit(&x, &y).unwrap();
        assert_eq!(bits(&fitted, &x), want, "{threads} threads");
    }
    let small =
        stack(folds).threads(2).scratch(spill()).budget(MemoryBudget::bytes(6 << 20)).fit(&x, &y).unwrap();
    assert!(small.report().unwrap().as_planned);
    assert_eq!(bits(&small, &x), want, "small budget");

    // The same rows in memory cannot be rewired: they are gathered.
    let mat = x.as_mat();
    let owned =
        DenseTable::new(mat.as_slice().unwrap().to_vec(), mat.nrows(), mat.ncols(), Order::C).unwrap();
    let target = DenseTable::column(y.as_mat().as_slice().unwrap().to_vec());
    let gathered = stack(folds).threads(2).fit(&owned, &target).unwrap();
    assert_eq!(gathered.report().unwrap().learners[4].access, "gathered");
    assert!(gathered.report().unwrap().as_planned);
    assert_eq!(bits(&gathered, &x), want, "gathered");
}

#[test]
fn shuffled_folds_give_rows_in_the_inputs_order() {
    let dir = tempfile::tempdir().unwrap();
    let (xp, yp) = friedman(dir.path(), 5_000, 6, Order::F);
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let folds = KFold::new(3).shuffle(11);
    let fitted = stack(folds).scratch(Arc::new(SpillDir::temp())).threads(2).fit(&x, &y).unwrap();
    assert!(fitted.report().unwrap().as_planned, "{:#?}", fitted.report().unwrap().work);
    let oof = fitted.transform().unwrap();
    let target = y.as_mat();
    let error = |j: usize, shift: usize| -> f64 {
        (0..5_000).map(|r| (oof.get(r, j) - target.get((r + shift) % 5_000, 0)).powi(2)).sum()
    };
    assert!(error(1, 0) < 0.5 * error(1, 1), "row i of the predictions is row i of the input");
    let again = stack(folds).threads(1).fit(&x, &y).unwrap();
    assert_eq!(bits(&again, &x), bits(&fitted, &x));
}
