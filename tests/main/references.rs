//! Models that keep training rows are saved with the rows, or with the place where the rows are.

use std::{fs, sync::Arc};

use ensemble::{
    DenseTable, FittedEnsemble, KFold, Layer, Order, SuperLearner, Table, memmap::MappedTable, registry,
};

use crate::support::files;

fn neighbours() -> SuperLearner {
    let registry = registry();
    let pipeline = |text: &str| registry.pipeline(text).unwrap();
    SuperLearner::new(KFold::new(3))
        .layer(Layer::new().shared("near", pipeline("native.k_neighbors_regressor")).shared(
            "scaled",
            pipeline("native.min_max_scaler | native.k_neighbors_regressor:weights=distance"),
        ))
        .meta_shared(pipeline("native.nnls"))
}

#[test]
fn neighbours_saved_by_reference_predict_the_same_bits_from_a_small_file() {
    let dir = tempfile::tempdir().unwrap();
    let (xp, yp) = files::friedman(dir.path(), 4000, 6, Order::C);
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let fitted = neighbours().fit(&x, &y).unwrap();
    let (whole, small) = (dir.path().join("whole"), dir.path().join("small"));
    fitted.save(&whole).unwrap();
    fitted.save_by_reference(&small).unwrap();
    assert!(fs::metadata(&whole).unwrap().len() > 2 * 4000 * 6 * 8);
    assert!(fs::metadata(&small).unwrap().len() < 8192);
    let want = fitted.predict(&x).unwrap();
    for path in [&whole, &small] {
        assert_eq!(FittedEnsemble::load(path, &registry()).unwrap().predict(&x).unwrap(), want);
    }

    // Another file at the same path, with one value changed.
    let mut bytes = fs::read(&xp).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(dir.path().join("new"), bytes).unwrap();
    fs::rename(dir.path().join("new"), &xp).unwrap();
    let error = FittedEnsemble::load(&small, &registry()).err().unwrap().to_string();
    assert!(error.contains("XC.npy") && error.contains("changed"), "{error}");
    assert!(FittedEnsemble::load(&whole, &registry()).is_ok());
    let error = fitted.save_by_reference(&small).err().unwrap().to_string();
    assert!(error.contains("XC.npy"), "{error}");
    fs::remove_file(&xp).unwrap();
    assert!(FittedEnsemble::load(&small, &registry()).err().unwrap().to_string().contains("XC.npy"));
}

#[test]
fn rows_in_memory_cannot_be_named() {
    let x = DenseTable::new((0..400).map(f64::from).collect(), 100, 4, Order::C).unwrap();
    let y = DenseTable::column((0..100).map(f64::from).collect());
    let fitted = neighbours().fit(&x, &y).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let error = fitted.save_by_reference(dir.path().join("m")).err().unwrap().to_string();
    assert!(error.contains("table in memory") && error.contains("with its rows"), "{error}");
    let x: Arc<dyn Table> = Arc::new(x);
    assert!(x.reference().is_err());
}
