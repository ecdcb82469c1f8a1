//! Criterion benches of the engine; each checks its result, and `cargo bench -- --test` runs each once.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ensemble::{
    Block, DenseTable, Friedman1, KFold, Layer, MOMENTS, MatRef, Moments, Order, Rows, Statistic,
    SuperLearner, Table,
    memmap::{MappedTable, save_npy},
    native::{ElasticNet, Lasso, LinearRegression, NonNegativeLeastSquares, Ridge},
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

fn super_learner(c: &mut Criterion) {
    let mut group = c.benchmark_group("super_learner");
    group.sample_size(10);
    let (x, y) = friedman(200_000, 20);
    for (k, threads) in [(2, 1), (20, 1), (2, 2), (20, 2)] {
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
        assert!(fitted.report().as_planned && fitted.report().totals.data_passes == 1);
        group.bench_function(format!("K={k}/threads={threads}"), |b| b.iter(|| learner.fit(&x, &y).unwrap()));
    }
    let plan = SuperLearner::new(KFold::new(10)).layer(Layer::new().learner("ols", LinearRegression::new()));
    group.bench_function("plan", |b| b.iter(|| plan.plan(&x, &y).unwrap()));
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
    let view = ensemble::FoldView::new(mapped.as_mat(), &rows).unwrap();
    let purpose = ensemble::GatherFor { layer: 0, fold: None, what: "bench" };
    group.bench_function("gather", |b| {
        b.iter(|| ensemble::gather(&view, Order::C, &ensemble::Heap, &ledger, purpose).unwrap());
    });
    group.finish();
}

criterion_group!(benches, statistics, super_learner, views);
criterion_main!(benches);
