//! Models that keep training rows are saved with the rows, or with the place where the rows are.

use std::{fs, sync::Arc};

use ensemble::{
    DenseTable, Event, FittedEnsemble, KFold, Layer, Monitor, Order, SuperLearner, Table,
    memmap::MappedTable, registry,
};

use crate::support::files;

fn neighbours() -> SuperLearner {
    let registry = registry();
    let pipeline = |text: &str| registry.pipeline(text).unwrap();
    SuperLearner::new(KFold::new(3))
        .layer(Layer::new().learner("near", pipeline("native.k_neighbors_regressor")).learner(
            "scaled",
            pipeline("native.min_max_scaler | native.k_neighbors_regressor:weights=distance"),
        ))
        .meta(pipeline("native.nnls"))
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
    // Rows and targets are in it once, for both learners.
    let (rows, size) = (4000 * (6 + 1) * 8, fs::metadata(&whole).unwrap().len());
    assert!((rows..rows + 8192).contains(&size), "{size}");
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

/// Change the last value of a file in place and put its time back, as a copying program does.
fn rewrite(path: &std::path::Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let (written, len) = file.metadata().map(|m| (m.modified().unwrap(), m.len())).unwrap();
    // Longer than one tick of the file system's clock.
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::os::unix::fs::FileExt::write_all_at(&file, &7.0_f64.to_le_bytes(), len - 8).unwrap();
    file.set_modified(written).unwrap();
}

#[test]
fn neighbours_whose_rows_were_changed_refuse_to_predict() {
    let dir = tempfile::tempdir().unwrap();
    for cut in [false, true] {
        let (xp, yp) = files::friedman(dir.path(), 3000, 5, Order::C);
        let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
        let fitted = neighbours().fit(&x, &y).unwrap();
        let (whole, small) = (dir.path().join("whole"), dir.path().join("small"));
        fitted.save(&whole).unwrap();
        fitted.save_by_reference(&small).unwrap();
        let load = |path| FittedEnsemble::load(path, &registry()).unwrap();
        let (whole, small) = (load(&whole), load(&small));
        let queries = DenseTable::new(vec![0.5; 50], 10, 5, Order::C).unwrap();
        let want = whole.predict(&queries).unwrap();
        assert_eq!([fitted.predict(&queries).unwrap(), small.predict(&queries).unwrap()], [&want[..], &want]);
        // What is cut short would end the process at the first row read.
        match cut {
            false => rewrite(&xp),
            true => fs::File::options().write(true).open(&xp).unwrap().set_len(64).unwrap(),
        }
        for model in [&fitted, &small] {
            let error = model.predict(&queries).err().unwrap().to_string();
            assert!(error.contains("XC.npy") && error.contains("changed while it was read"), "{error}");
        }
        assert!(whole.predict(&queries).unwrap() == want, "a model with its rows needs no table");
    }
}

/// Does something when a layer begins.
struct AtLayer<F>(usize, F);

impl<F: Fn() + Send + Sync> Monitor for AtLayer<F> {
    fn event(&self, event: Event<'_>) {
        if matches!(event, Event::Layer { layer, .. } if layer == self.0) {
            (self.1)();
        }
    }
}

#[test]
fn a_fit_refuses_tables_that_changed_before_or_during_any_layer() {
    let dir = tempfile::tempdir().unwrap();
    for (layer, target) in [(0, false), (1, false), (1, true)] {
        let (xp, yp) = files::friedman(dir.path(), 2000, 5, Order::C);
        let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
        let changed = if target { yp } else { xp };
        let name = changed.file_name().unwrap().to_str().unwrap().to_owned();
        let learner = neighbours().monitor(Arc::new(AtLayer(layer, {
            let changed = changed.clone();
            move || rewrite(&changed)
        })));
        let error = learner.fit(&x, &y).err().unwrap().to_string();
        assert!(error.contains(&name) && error.contains("changed while it was read"), "{error}");
        let error = neighbours().fit(&x, &y).err().unwrap().to_string();
        assert!(error.contains(&name), "{error}");
    }
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
