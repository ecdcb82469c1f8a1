//! Criterion benches of the engine; each checks its result, and `cargo bench -- --test` runs each once.
#![allow(missing_docs)]

use std::{cell::LazyCell, hint::black_box, ops::Range, path::PathBuf, process::Command, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ensemble::{
    Block, DenseTable, DesignFacts, Estimator, FitContext, Friedman1, Heap, KFold, Layer, Ledger, MOMENTS,
    MatMut, MatRef, Model, Moments, Order, Rows, RowsView, Scheme, Statistic, Statistics, SuperLearner,
    Table, Train, complements,
    memmap::{MappedTable, save_npy},
    native::{
        Algorithm, ElasticNet, KNeighborsRegressor, Lasso, LinearRegression, NonNegativeLeastSquares, Ridge,
    },
};

fn friedman(nrows: usize, ncols: usize) -> (DenseTable, DenseTable) {
    let (mut x, mut y) = (vec![0.0; nrows * ncols], vec![0.0; nrows]);
    Friedman1::new(1, ncols, 1.0).unwrap().rows_into(0, &mut x, &mut y);
    (DenseTable::new(x, nrows, ncols, Order::C).unwrap(), DenseTable::column(y))
}

fn moments(x: MatRef<'_>, y: &[f64]) -> Moments {
    let mut total = Moments::new(x.ncols());
    let mut first_row = 0;
    for block in x.row_blocks(ensemble::BLOCK_ROWS) {
        let y = &y[first_row..first_row + block.nrows()];
        total.absorb(&Block { x: block, y, first_row }).unwrap();
        first_row += block.nrows();
    }
    total
}

fn statistics(c: &mut Criterion) {
    let mut group = c.benchmark_group("statistics");
    for (nrows, ncols) in [(100_000, 10), (100_000, 50), (20_000, 200)] {
        let (x, y) = friedman(nrows, ncols);
        let (x, y) = (x.as_mat(), y.as_mat());
        let y = y.column(0).unwrap();
        assert_eq!(moments(x, y).nrows(), nrows as f64);
        group.throughput(Throughput::Bytes((nrows * ncols * 8) as u64));
        let id = format!("{nrows}x{ncols}");
        group.bench_function(BenchmarkId::new("moments", &id), |b| b.iter(|| moments(black_box(x), y)));
        group.bench_function(BenchmarkId::new("faer_triangular", &id), |b| {
            let mut gram = faer::Mat::<f64>::zeros(ncols, ncols);
            b.iter(|| {
                for block in x.row_blocks(ensemble::BLOCK_ROWS) {
                    let block =
                        faer::MatRef::from_row_major_slice(block.as_slice().unwrap(), block.nrows(), ncols);
                    faer::linalg::matmul::triangular::matmul(
                        gram.as_mut(),
                        faer::linalg::matmul::triangular::BlockStructure::TriangularLower,
                        faer::Accum::Add,
                        block.transpose(),
                        faer::linalg::matmul::triangular::BlockStructure::Rectangular,
                        block,
                        faer::linalg::matmul::triangular::BlockStructure::Rectangular,
                        1.0,
                        faer::Par::Seq,
                    );
                }
            });
        });
        // Two halves merged are the whole, to rounding.
        let mut whole = moments(x.rows(0..nrows / 2).unwrap(), &y[..nrows / 2]);
        whole.merge(&moments(x.rows(nrows / 2..nrows).unwrap(), &y[nrows / 2..])).unwrap();
        assert_eq!(whole.nrows(), nrows as f64);
        let half = moments(x.rows(0..nrows / 2).unwrap(), &y[..nrows / 2]);
        group.bench_function(BenchmarkId::new("merge", &id), |b| {
            b.iter(|| {
                let mut state = half.duplicate();
                state.merge(&half).unwrap();
                assert!(state.key() == MOMENTS);
                state
            });
        });
    }
    group.finish();
}

/// The states of all folds from one pass, and of their complements by merges.
fn fold_statistics(c: &mut Criterion) {
    let mut group = c.benchmark_group("fold_statistics");
    group.sample_size(20);
    let (nrows, ncols) = (100_000, 50);
    let (x, y) = friedman(nrows, ncols);
    let (x, y) = (x.as_mat(), y.as_mat());
    let y = y.column(0).unwrap();
    for k in [2, 10, 20] {
        let design = KFold::new(k).design(&DesignFacts::new(y)).unwrap();
        let folds = design.atoms();
        let states = || -> Vec<Statistics> {
            let state = |range: Range<usize>| moments(x.rows(range.clone()).unwrap(), &y[range]);
            folds.ranges().map(|r| Statistics::new(vec![Arc::new(state(r))])).collect()
        };
        let all = states();
        let merged = complements(&all).unwrap();
        let rows_of = |s: &Statistics| s.get::<Moments>(&MOMENTS).unwrap().nrows();
        assert_eq!(merged.len(), k + 1);
        assert_eq!(rows_of(&merged[k]), nrows as f64);
        for (fold, range) in folds.ranges().enumerate() {
            assert_eq!(rows_of(&merged[fold]), (nrows - range.len()) as f64);
        }
        group.throughput(Throughput::Bytes((nrows * ncols * 8) as u64));
        group.bench_function(BenchmarkId::new("one_pass", format!("K={k}")), |b| b.iter(states));
        group.bench_function(BenchmarkId::new("complements", format!("K={k}")), |b| {
            b.iter(|| complements(black_box(&all)).unwrap());
        });
    }
    group.finish();
}

/// An index over all rows, and answers from it.
fn neighbors(c: &mut Criterion) {
    let mut group = c.benchmark_group("neighbors");
    group.sample_size(10);
    for (nrows, ncols, algorithm, name) in
        [(200_000, 5, Algorithm::KdTree, "kd_tree"), (20_000, 50, Algorithm::Brute, "brute")]
    {
        let (x, y) = friedman(nrows, ncols);
        let (x, y): (Arc<dyn Table>, Arc<dyn Table>) = (Arc::new(x), Arc::new(y));
        let rows = Rows::all(nrows);
        let learner = KNeighborsRegressor::new().algorithm(algorithm);
        let build = || {
            let train = Train::new(
                RowsView::new(x.as_mat(), &rows).unwrap(),
                RowsView::new(y.as_mat(), &rows).unwrap(),
            )
            .unwrap();
            let ledger = Ledger::new();
            let cx = FitContext { table: Some(&x), target: Some(&y), ..FitContext::alone(&Heap, &ledger) };
            learner.fit_rows(&train, &cx).unwrap()
        };
        let model = build();
        let queries = x.as_mat().rows(0..1000).unwrap();
        let answer = |model: &dyn Model| {
            let mut out = vec![0.0; 1000];
            model.predict_into(queries, MatMut::column_vector(&mut out)).unwrap();
            out
        };
        // The nearest five by a look at every row: the same mean.
        let distance = |row: usize| -> f64 {
            (0..ncols).map(|j| (x.as_mat().get(row, j) - queries.get(7, j)).powi(2)).sum()
        };
        let mut nearest: Vec<usize> = (0..nrows).collect();
        nearest.select_nth_unstable_by(4, |a, b| distance(*a).total_cmp(&distance(*b)));
        let mean = nearest[..5].iter().map(|r| y.as_mat().get(*r, 0)).sum::<f64>() / 5.0;
        assert!((answer(model.as_ref())[7] - mean).abs() < 1e-9);
        let id = format!("{nrows}x{ncols}");
        group.bench_function(BenchmarkId::new(format!("{name}_build"), &id), |b| b.iter(build));
        group.throughput(Throughput::Elements(1000));
        group.bench_function(BenchmarkId::new(format!("{name}_query"), &id), |b| {
            b.iter(|| answer(model.as_ref()))
        });
    }
    group.finish();
}

/// The program `ensemble`, built first where it is not.
fn program() -> PathBuf {
    // Benches lie in target/release/deps.
    let bench = std::env::current_exe().unwrap();
    let folder = |up| bench.ancestors().nth(up).unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--package", "ensemble-cli", "--target-dir"])
        .arg(folder(3))
        .status();
    assert!(built.unwrap().success(), "the program `ensemble` could not be built");
    folder(2).join("ensemble")
}

/// CSV to a mapped table. The import is the program's own and no library's, so the program is what runs: it plans a fit, for which
/// it imports, and starting it is in the figure (a millisecond or two).
fn csv_import(c: &mut Criterion) {
    // Built when this bench is the one asked for.
    let program = LazyCell::new(program);
    let mut group = c.benchmark_group("csv_import");
    group.sample_size(10);
    let (nrows, ncols) = (50_000, 20);
    let (x, y) = friedman(nrows, ncols);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table.csv");
    let mut text = (0..ncols).map(|j| format!("x{j},")).collect::<String>() + "y\n";
    for row in 0..nrows {
        (0..ncols).for_each(|j| text += &format!("{},", x.as_mat().get(row, j)));
        text += &format!("{}\n", y.as_mat().get(row, 0));
    }
    std::fs::write(&path, &text).unwrap();
    let import = || {
        let plan = ["--target", "y", "--learner", "ols=native.linear_regression", "--json"];
        let output = Command::new(&*program).arg("plan").arg(&path).args(plan).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function(format!("{nrows}x{ncols}"), |b| {
        let plan: serde_json::Value = serde_json::from_slice(&import()).unwrap();
        assert_eq!(
            (plan["rows"].as_u64(), plan["columns"].as_u64()),
            (Some(nrows as u64), Some(ncols as u64))
        );
        b.iter(import);
    });
    group.finish();
}

fn super_learner(c: &mut Criterion) {
    let mut group = c.benchmark_group("super_learner");
    group.sample_size(10);
    let (x, y) = friedman(200_000, 20);
    for (k, threads) in [2, 5, 10, 20].into_iter().flat_map(|k| [(k, 1), (k, 2)]) {
        let learner = SuperLearner::new(KFold::new(k))
            .layer(
                Layer::new()
                    .learner("lasso", Lasso::new(0.01))
                    .learner("net", ElasticNet::new(0.01))
                    .learner("ridge", Ridge::new(1.0))
                    .learner("ols", LinearRegression::new()),
            )
            .meta(NonNegativeLeastSquares::new())
            .threads(threads);
        let fitted = learner.fit(&x, &y).unwrap();
        assert!(fitted.report().unwrap().as_planned && fitted.report().unwrap().totals.data_passes == 1);
        group.bench_function(format!("K={k}/threads={threads}"), |b| b.iter(|| learner.fit(&x, &y).unwrap()));
    }
    let plan = SuperLearner::new(KFold::new(10)).layer(Layer::new().learner("ols", LinearRegression::new()));
    assert_eq!(plan.plan(&x, &y).unwrap().design().atoms().len(), 10);
    group.bench_function("plan", |b| b.iter(|| plan.plan(&x, &y).unwrap()));
    let many = (0..100).fold(Layer::new(), |layer, at| {
        layer.learner(format!("lasso{at}"), Lasso::new(0.001 * f64::from(at + 1)))
    });
    let many = SuperLearner::new(KFold::new(50)).layer(many).meta(NonNegativeLeastSquares::new());
    assert_eq!(many.plan(&x, &y).unwrap().design().cells().len(), 51);
    group.bench_function("plan/100 learners x 50 folds", |b| b.iter(|| many.plan(&x, &y).unwrap()));
    let kept = plan.clone().keep_out_of_fold();
    assert_eq!(kept.fit(&x, &y).unwrap().transform().unwrap().nrows(), 200_000);
    group.bench_function("out_of_fold", |b| b.iter(|| kept.fit(&x, &y).unwrap()));
    group.finish();
}

fn views(c: &mut Criterion) {
    let mut group = c.benchmark_group("views");
    let dir = tempfile::tempdir().unwrap();
    let (x, _) = friedman(102_400, 50);
    let path = dir.path().join("x.npy");
    save_npy(&path, x.as_mat()).unwrap();
    let mapped = MappedTable::open_npy(&path).unwrap();
    let rows = Rows::all_but(102_400, 10_240..20_480).unwrap();
    assert_eq!(mapped.contiguous(&rows).unwrap().as_mat().get(10_240, 3), x.as_mat().get(20_480, 3));
    group.bench_function("rewire", |b| b.iter(|| mapped.contiguous(&rows).unwrap()));
    let ledger = ensemble::Ledger::new();
    let view = ensemble::RowsView::new(mapped.as_mat(), &rows).unwrap();
    let purpose = ensemble::GatherFor { layer: 0, fold: None, what: "bench" };
    let gathered = ensemble::gather(&view, Order::C, &ensemble::Heap, &ledger, purpose).unwrap();
    assert_eq!(gathered.as_mat().get(10_240, 3), x.as_mat().get(20_480, 3));
    drop(gathered);
    group.throughput(Throughput::Bytes((rows.len() * 50 * 8) as u64));
    group.bench_function("gather", |b| {
        b.iter(|| ensemble::gather(&view, Order::C, &ensemble::Heap, &ledger, purpose).unwrap());
    });
    group.finish();
}

criterion_group!(benches, statistics, fold_statistics, super_learner, views, neighbors, csv_import);
criterion_main!(benches);
