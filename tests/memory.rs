//! No copy of the data for any number of folds and threads, measured on the whole process: one test, one process.
#![allow(missing_docs)]

#[path = "main/support/files.rs"]
mod files;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ensemble::{
    FittedEnsemble, KFold, Layer, MemoryBudget, Order, SuperLearner, Table, Transformer,
    memmap::{MappedTable, SpillDir},
    native::{
        Algorithm, Center, ElasticNet, KNeighborsRegressor, Lasso, LinearRegression, MinMaxScaler,
        NonNegativeLeastSquares, Ridge, StandardScaler,
    },
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// A figure of the whole process, in bytes, as the kernel sums it over all mappings.
fn process(figure: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|l| l.starts_with(figure)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The greatest value of a figure while `run` runs.
fn peak_of<T>(figure: &str, run: impl FnOnce() -> T) -> (T, u64) {
    let (stop, peak) = (AtomicBool::new(false), AtomicU64::new(process(figure)));
    let out = std::thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                peak.fetch_max(process(figure), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let out = run();
        stop.store(true, Ordering::Relaxed);
        out
    });
    (out, peak.load(Ordering::Relaxed))
}

#[test]
fn a_super_learner_of_a_million_rows_costs_no_copy_for_any_folds_and_threads() {
    let dir = tempfile::tempdir().unwrap();
    let (xp, yp) = files::friedman(dir.path(), 1_000_000, 50, Order::C);
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let data_bytes = 1_000_000 * 50 * 8;
    let scaled: [Arc<dyn Transformer>; 1] = [Arc::new(StandardScaler::new())];
    let squeezed: [Arc<dyn Transformer>; 1] = [Arc::new(MinMaxScaler::new())];
    let centred: [Arc<dyn Transformer>; 1] = [Arc::new(Center::new())];
    let layer = Layer::new()
        .case("scaled", &scaled, [ensemble::Learner::new("lasso", Lasso::new(0.05))])
        .case("squeezed", &squeezed, [ensemble::Learner::new("net", ElasticNet::new(0.01))])
        .case("centred", &centred, [ensemble::Learner::new("ridge", Ridge::new(1.0))])
        .learner("ols", LinearRegression::new());
    let mut peaks = Vec::new();
    let mut first: Option<Vec<f64>> = None;
    for k in [2, 3, 5, 10, 20] {
        for threads in [1, 2, 4, 8] {
            let learner = SuperLearner::new(KFold::new(k))
                .layer(layer.clone())
                .meta(NonNegativeLeastSquares::new())
                .threads(threads)
                .scratch(Arc::new(SpillDir::temp()));
            HEAP.reset_peak_usage();
            let before = HEAP.current_usage();
            let (fitted, peak) = peak_of("Anonymous:", || learner.fit(&x, &y).unwrap());
            let report = fitted.report().unwrap();
            assert!(report.as_planned, "K={k} threads={threads}: plan and ledger differ");
            assert_eq!(report.totals.gathered_bytes, 0);
            assert_eq!(report.totals.spilled_bytes, 0);
            assert_eq!(report.totals.prediction_bytes, 0, "the meta-learner is fitted from statistics");
            assert_eq!(report.totals.data_passes, 1);
            let heap = (HEAP.peak_usage() - before) as u64;
            assert!(heap < data_bytes / 40, "K={k} threads={threads}: {heap} bytes of heap");
            assert!(peak < 32 << 20, "K={k} threads={threads}: {peak} bytes of anonymous memory");
            peaks.push(peak);
            if k == 5 {
                let form = fitted.layers()[0][0].model().as_linear().unwrap();
                match &first {
                    None => first = Some(form.coefficients.into()),
                    Some(f) => assert_eq!(f, form.coefficients, "same bits for every number of threads"),
                }
            }
        }
    }
    let spread = peaks.iter().max().unwrap() - peaks.iter().min().unwrap();
    assert!(spread < 8 << 20, "anonymous memory varies by {spread} bytes over folds and threads: {peaks:?}");

    // Under a budget the file's own pages go as well, once a scan is past them: in both passes.
    x.release(0..1_000_000);
    y.release(0..1_000_000);
    let learner = SuperLearner::new(KFold::new(10))
        .layer(layer)
        .meta(NonNegativeLeastSquares::new())
        .keep_out_of_fold()
        .threads(2)
        .budget(MemoryBudget::bytes(48 << 20));
    let (fitted, peak) = peak_of("Rss:", || learner.fit(&x, &y).unwrap());
    assert_eq!(fitted.report().unwrap().totals.data_passes, 2);
    assert!(peak < data_bytes / 4, "{peak} bytes resident of a table of {data_bytes}");

    neighbours_are_saved_and_loaded_without_a_copy_of_their_rows();
}

/// Three models over one table: one copy of its rows in the file, and none in memory.
fn neighbours_are_saved_and_loaded_without_a_copy_of_their_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (n, p) = (2000, 500);
    let (xp, yp) = files::friedman(dir.path(), n, p, Order::C);
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let rows = n * (p + 1) * 8;
    let near = |k| KNeighborsRegressor::new().algorithm(Algorithm::Brute).n_neighbors(k);
    let scaled: [Arc<dyn Transformer>; 1] = [Arc::new(StandardScaler::new())];
    let layer = Layer::new().learner("one", near(1)).learner("two", near(2)).case(
        "scaled",
        &scaled,
        [ensemble::Learner::new("three", near(3))],
    );
    let stack = SuperLearner::new(KFold::new(2)).layer(layer).meta(NonNegativeLeastSquares::new());
    let fitted = stack.fit(&x, &y).unwrap();
    let path = dir.path().join("model");
    let peak = |run: &mut dyn FnMut()| {
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        run();
        HEAP.peak_usage() - before
    };
    let saving = peak(&mut || fitted.save(&path).unwrap());
    assert!(saving < rows / 4, "saving takes {saving} bytes for {rows} bytes of rows");
    let size = fs::metadata(&path).unwrap().len() as usize;
    assert!((rows..rows + rows / 8).contains(&size), "the file has {size} bytes for {rows} bytes of rows");
    let mut loaded = None;
    let loading = peak(&mut || loaded = Some(FittedEnsemble::load(&path, &ensemble::registry()).unwrap()));
    assert!(loading < rows / 4, "loading takes {loading} bytes for {rows} bytes of rows");
    assert_eq!(loaded.unwrap().predict(&x).unwrap(), fitted.predict(&x).unwrap());
}
