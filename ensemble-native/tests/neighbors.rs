//! Nearest neighbours against an exhaustive search and against scikit-learn's results.
#![allow(clippy::disallowed_methods, reason = "tests may copy")]

use std::{path::Path, sync::Arc};

use ensemble_core::{
    Affine, Block, DenseTable, Error, ErrorKind, Estimator, FitContext, Fitted, Heap, Ledger, MatMut, MatRef,
    MergeFit, Model, Order, Registry, Rows, RowsView, Shape, StatisticContext, Statistics, Table, Train,
    complements,
};
use ensemble_native::{Algorithm, KNeighborsModel, KNeighborsRegressor, Weights};

/// Splitmix64, as numbers in [0, 1).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn values(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }
}

#[derive(Clone)]
struct Data {
    x: Vec<f64>,
    y: Vec<f64>,
    nrows: usize,
    ncols: usize,
}

impl Data {
    fn table(&self, order: Order) -> Arc<dyn Table> {
        let (n, p) = (self.nrows, self.ncols);
        let data = match order {
            Order::C => self.x.clone(),
            Order::F => (0..n * p).map(|i| self.x[(i % n) * p + i / n]).collect(),
        };
        Arc::new(DenseTable::new(data, n, p, order).unwrap())
    }

    fn target(&self) -> Arc<dyn Table> {
        Arc::new(DenseTable::column(self.y.clone()))
    }
}

/// Kinds of rows that go wrong in different ways.
fn cases(nrows: usize, ncols: usize, seed: u64) -> Vec<(&'static str, Data)> {
    let mut random = Random(seed);
    let plain = random.values(nrows * ncols);
    let y = random.values(nrows);
    let grid = plain.iter().map(|v| (v * 3.0).floor()).collect();
    let repeated = (0..nrows * ncols).map(|i| plain[(i / ncols % 7) * ncols + i % ncols]).collect();
    let far = plain.iter().enumerate().map(|(i, v)| 1e6 * (1 + i % ncols) as f64 + v).collect();
    let uneven = plain.iter().enumerate().map(|(i, v)| v * 10f64.powi((i % ncols) as i32 % 5 - 2)).collect();
    let outlier = plain.iter().enumerate().map(|(i, v)| if i / ncols == 3 { 1e9 * v } else { *v }).collect();
    let same = vec![0.25; nrows * ncols];
    let huge = plain.iter().map(|v| (v - 0.5) * 1e145).collect();
    [
        ("plain", plain),
        ("grid", grid),
        ("repeated", repeated),
        ("far", far),
        ("uneven", uneven),
        ("outlier", outlier),
        ("same", same),
        ("huge", huge),
    ]
    .into_iter()
    .map(|(name, x)| (name, Data { x, y: y.clone(), nrows, ncols }))
    .collect()
}

fn fold_bounds(n: usize, k: usize) -> Vec<std::ops::Range<usize>> {
    let mut start = 0;
    (0..k)
        .map(|f| {
            let len = n / k + usize::from(f < n % k);
            start += len;
            start - len..start
        })
        .collect()
}

/// The sealed states of `k` folds, absorbed in blocks of 64 rows.
fn fold_states(
    learner: &KNeighborsRegressor,
    x: MatRef<'_>,
    y: &[f64],
    cx: &StatisticContext,
    k: usize,
) -> Vec<Statistics> {
    let prototype = &learner.as_merge().unwrap().statistics(cx).unwrap()[0];
    fold_bounds(x.nrows(), k)
        .into_iter()
        .map(|fold| {
            let mut state = prototype.empty();
            for start in fold.clone().step_by(64) {
                let rows = start..(start + 64).min(fold.end);
                let mut block = prototype.empty();
                let first_row = rows.start;
                let (x, y) = (x.rows(rows.clone()).unwrap(), &y[rows]);
                block.absorb(&Block { x, y, first_row }).unwrap();
                state.merge(block.as_ref()).unwrap();
            }
            state.seal().unwrap();
            Statistics::new(vec![Arc::from(state)])
        })
        .collect()
}

fn fit_from(learner: &KNeighborsRegressor, statistics: &Statistics) -> Result<Arc<dyn Model>, Error> {
    match MergeFit::fit_from(learner, statistics)? {
        Fitted::Model(model) => Ok(model),
        Fitted::Needs(_) => unreachable!("neighbours need one pass"),
    }
}

/// Distance and row of the k nearest, and the prediction, by measuring every row of `x`.
fn naive(
    x: &[f64],
    y: &[f64],
    train: &[usize],
    query: &[f64],
    k: usize,
    weights: Weights,
) -> (Vec<(f64, usize)>, f64) {
    let p = query.len();
    let measure = |row: usize| (0..p).map(|j| (query[j] - x[row * p + j]).powi(2)).sum::<f64>();
    let mut all: Vec<(f64, usize)> = train.iter().map(|row| (measure(*row), *row)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.truncate(k);
    let zero = all.iter().filter(|n| n.0 == 0.0).count();
    let (used, weigh) = match weights {
        Weights::Distance if zero == 0 => (&all[..], true),
        Weights::Distance => (&all[..zero], false),
        Weights::Uniform => (&all[..], false),
    };
    let weight = |d: f64| if weigh { 1.0 / d.sqrt() } else { 1.0 };
    let sum: f64 = used.iter().map(|n| weight(n.0) * y[n.1]).sum();
    let weights: f64 = used.iter().map(|n| weight(n.0)).sum();
    (all.iter().map(|n| (n.0.sqrt(), n.1)).collect(), sum / weights)
}

fn apply(map: Option<&Affine>, x: &[f64], nrows: usize, ncols: usize) -> Vec<f64> {
    let mut out = x.to_vec();
    if let Some(map) = map {
        let x = MatRef::new(x, nrows, ncols, Order::C).unwrap();
        map.apply_into(x, MatMut::new(&mut out, nrows, ncols, Order::C).unwrap()).unwrap();
    }
    out
}

fn predict(model: &dyn Model, queries: &[f64]) -> Vec<f64> {
    let p = model.n_inputs();
    let mut out = vec![0.0; queries.len() / p];
    model
        .predict_into(MatRef::new(queries, out.len(), p, Order::C).unwrap(), MatMut::column_vector(&mut out))
        .unwrap();
    out
}

/// Distances and rows by a model that went through its record.
fn neighbors(model: &dyn Model, queries: &[f64]) -> (Vec<f64>, Vec<usize>) {
    let model = KNeighborsModel::from_record(&model.to_record().unwrap(), &Registry::new()).unwrap();
    let (n, p) = (queries.len() / model.n_inputs(), model.n_inputs());
    let (mut distances, mut rows) = (vec![0.0; n * model.n_neighbors()], vec![0; n * model.n_neighbors()]);
    let queries = MatRef::new(queries, n, p, Order::C).unwrap();
    model.neighbors_into(queries, &mut distances, &mut rows).unwrap();
    (distances, rows)
}

#[test]
fn answers_are_those_of_an_exhaustive_search() {
    let n = 157;
    for (p, algorithms) in [
        (1, &[Algorithm::KdTree, Algorithm::Brute][..]),
        (2, &[Algorithm::KdTree, Algorithm::Brute]),
        (5, &[Algorithm::Auto, Algorithm::Brute]),
        (15, &[Algorithm::KdTree, Algorithm::Brute]),
        (23, &[Algorithm::Auto, Algorithm::Brute]),
    ] {
        for (name, data) in cases(n, p, 7 + p as u64) {
            let mut random = Random(99);
            // Rows of the table, where distances are 0, and other places.
            let mut queries = data.x[..40 * p].to_vec();
            queries.extend(data.x[..60 * p].iter().map(|v| v + 0.3 * random.next() * v.abs().max(0.1)));
            let n_queries = queries.len() / p;
            let spread: Vec<f64> =
                (0..p).map(|j| 10f64.powi(j as i32 % 3 - 1) * if j % 2 == 0 { 1.0 } else { -0.3 }).collect();
            let shift: Vec<f64> = (0..p).map(|j| data.x[j] * 0.9 + 0.1).collect();
            let mut flat = spread.clone();
            flat[0] = 0.0;
            let maps =
                [None, Some(Affine::diagonal(shift.clone(), spread)), Some(Affine::diagonal(shift, flat))];
            for (map, algorithm, order, k_folds, k, weights) in
                maps.iter().flat_map(|map| algorithms.iter().map(move |a| (map, *a))).enumerate().flat_map(
                    |(i, (map, a))| {
                        let order = [Order::C, Order::F];
                        (1..=5).map(move |f| {
                            let k = [1, 3, 5, 12, 30][(i + f) % 5];
                            let weights = [Weights::Uniform, Weights::Distance][(i + f) % 2];
                            (map.as_ref(), a, order[(i + f / 2) % 2], f, k, weights)
                        })
                    },
                )
            {
                let learner = KNeighborsRegressor::new().n_neighbors(k).weights(weights).algorithm(algorithm);
                let (x, y) = (data.table(order), data.target());
                let mut cx = StatisticContext::new(p).with_tables(Some(&x), Some(&y));
                cx.behind = map.map(|m| m.shape());
                let states = fold_states(&learner, x.as_mat(), &data.y, &cx, k_folds);
                let mut trained = complements(&states).unwrap();
                if k_folds == 1 {
                    trained.remove(0);
                }
                let z = apply(map, &data.x, n, p);
                let z_queries = apply(map, &queries, n_queries, p);
                for (fold, statistics) in trained.iter().enumerate() {
                    let out =
                        fold_bounds(n, k_folds).get(fold).cloned().filter(|_| k_folds > 1).unwrap_or(0..0);
                    let train: Vec<usize> = (0..n).filter(|r| !out.contains(r)).collect();
                    let mut statistics = statistics.clone();
                    if let Some(map) = map {
                        statistics = statistics.affine(map).unwrap();
                    }
                    let model = fit_from(&learner, &statistics).unwrap();
                    let got = predict(model.as_ref(), &z_queries);
                    let (distances, rows) = neighbors(model.as_ref(), &z_queries);
                    for (q, query) in z_queries.chunks_exact(p).enumerate() {
                        let (want, value) = naive(&z, &data.y, &train, query, k, weights);
                        let what = format!(
                            "{name} p={p} {algorithm:?} {order:?} folds={k_folds} fold={fold} k={k} {map:?} query {q}"
                        );
                        let same = got[q] == value || (got[q].is_nan() && value.is_nan());
                        assert!(
                            same || (got[q] - value).abs() <= 1e-13 * value.abs(),
                            "{what}: {} {value}",
                            got[q]
                        );
                        for (at, (distance, row)) in want.iter().enumerate() {
                            assert_eq!(rows[q * k + at], *row, "{what}");
                            assert_eq!(distances[q * k + at], *distance, "{what}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn thousands_of_rows_of_many_leaves_and_tiles_agree_too() {
    for (p, n, n_queries) in [(2, 18_000, 60), (3, 8000, 300), (10, 3000, 300), (20, 3000, 300)] {
        for (name, data) in cases(n, p, 3) {
            for k in [4, 130] {
                let learner = KNeighborsRegressor::new().n_neighbors(k);
                let scale = (0..p).map(|j| 1.0 + 0.4 * (j % 3) as f64).collect();
                for map in [None, Some(Affine::diagonal(data.x[..p].to_vec(), scale))] {
                    let (x, y) = (data.table(Order::C), data.target());
                    let mut cx = StatisticContext::new(p).with_tables(Some(&x), Some(&y));
                    cx.behind = map.as_ref().map(|m| m.shape());
                    let states = fold_states(&learner, x.as_mat(), &data.y, &cx, 3);
                    let mut trained = complements(&states).unwrap().swap_remove(1);
                    if let Some(map) = &map {
                        trained = trained.affine(map).unwrap();
                    }
                    let z = apply(map.as_ref(), &data.x, n, p);
                    let queries = &z[100 * p..(100 + n_queries) * p];
                    let got = predict(fit_from(&learner, &trained).unwrap().as_ref(), queries);
                    let out = fold_bounds(n, 3)[1].clone();
                    let train: Vec<usize> = (0..n).filter(|r| !out.contains(r)).collect();
                    for (q, query) in queries.chunks_exact(p).enumerate() {
                        let (_, value) = naive(&z, &data.y, &train, query, k, Weights::Uniform);
                        assert!(
                            (got[q] - value).abs() <= 1e-12,
                            "{name} p={p} k={k} query {q}: {} {value}",
                            got[q]
                        );
                    }
                }
            }
        }
    }
}

fn data_file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The values of a C-order float64 `.npy` file of `ncols` columns.
fn npy(name: &str, ncols: usize) -> Data {
    let bytes = std::fs::read(data_file(name)).unwrap();
    assert_eq!(&bytes[..6], b"\x93NUMPY", "{name}");
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let x: Vec<f64> =
        bytes[header..].chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    Data { nrows: x.len() / ncols, ncols, x, y: Vec::new() }
}

fn reference() -> (Data, Data, serde_json::Value) {
    let train = Data { y: npy("y_train.npy", 1).x, ..npy("X_train.npy", 10) };
    let text = std::fs::read_to_string(data_file("knn_reference.json")).unwrap();
    (train, npy("X_test.npy", 10), serde_json::from_str(&text).unwrap())
}

fn floats(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn assert_close(got: &[f64], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (row, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 1e-8 * w.abs(), "{what}, row {row}: {g} instead of {w}");
    }
}

fn fit(learner: &KNeighborsRegressor, data: &Data, order: Order) -> Result<Arc<dyn Model>, Error> {
    let (x, y) = (data.table(order), data.target());
    let rows = Rows::all(data.nrows);
    let train = Train::new(RowsView::new(x.as_mat(), &rows)?, RowsView::new(y.as_mat(), &rows)?)?;
    let ledger = Ledger::default();
    learner.fit_rows(
        &train,
        &FitContext { table: Some(&x), target: Some(&y), ..FitContext::alone(&Heap, &ledger) },
    )
}

#[test]
fn predictions_and_neighbours_are_scikit_learns() {
    let (train, test, want) = reference();
    for algorithm in [Algorithm::KdTree, Algorithm::Brute] {
        let mut compared = 0;
        for (k, weights, name) in [1, 3, 5, 10]
            .into_iter()
            .flat_map(|k| [(k, Weights::Uniform, "uniform"), (k, Weights::Distance, "distance")])
        {
            let name = format!("k{k}_{name}");
            let Some(want) = want.get(&name) else { continue };
            compared += 1;
            let learner = KNeighborsRegressor::new().n_neighbors(k).weights(weights).algorithm(algorithm);
            for order in [Order::C, Order::F] {
                let model = fit(&learner, &train, order).unwrap();
                assert_close(&predict(model.as_ref(), &test.x), &floats(want), &name);
            }
        }
        assert_eq!(compared, 6);
        let model = fit(&KNeighborsRegressor::new().algorithm(algorithm), &train, Order::C).unwrap();
        let (distances, rows) = neighbors(model.as_ref(), &test.x);
        for (q, (idx, dist)) in want["k5_neighbors"]["idx"]
            .as_array()
            .unwrap()
            .iter()
            .zip(want["k5_neighbors"]["dist"].as_array().unwrap())
            .enumerate()
        {
            let idx: Vec<usize> =
                idx.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
            assert_eq!(rows[q * 5..q * 5 + 5], idx);
            assert_close(&distances[q * 5..q * 5 + 5], &floats(dist), "distances");
        }
    }
}

/// x -> (x - mean) / standard deviation over the rows of `train`, as scikit-learn's StandardScaler.
fn standard_scaler(data: &Data, train: &[usize]) -> Affine {
    let p = data.ncols;
    let mean = |f: &dyn Fn(usize) -> f64| train.iter().map(|r| f(*r)).sum::<f64>() / train.len() as f64;
    let shift: Vec<f64> = (0..p).map(|j| mean(&|r| data.x[r * p + j])).collect();
    let scale = (0..p).map(|j| 1.0 / mean(&|r| (data.x[r * p + j] - shift[j]).powi(2)).sqrt()).collect();
    Affine::diagonal(shift, scale)
}

/// x -> (x - min) / (max - min), as scikit-learn's MinMaxScaler.
fn min_max_scaler(data: &Data, train: &[usize]) -> Affine {
    let p = data.ncols;
    let fold = |j: usize, f: fn(f64, f64) -> f64| train.iter().map(|r| data.x[r * p + j]).reduce(f).unwrap();
    let shift: Vec<f64> = (0..p).map(|j| fold(j, f64::min)).collect();
    let scale = (0..p).map(|j| 1.0 / (fold(j, f64::max) - shift[j])).collect();
    Affine::diagonal(shift, scale)
}

#[test]
fn out_of_fold_predictions_are_scikit_learns_with_and_without_scalers() {
    let (data, _, _) = reference();
    let (n, p) = (data.nrows, data.ncols);
    type Scaler = fn(&Data, &[usize]) -> Affine;
    let scalers: [(&str, Option<Scaler>); 3] =
        [("knn_5", None), ("ss_knn_5", Some(standard_scaler)), ("mm_knn_5", Some(min_max_scaler))];
    for (k, (name, scaler)) in [2, 3, 5, 10].into_iter().flat_map(|k| scalers.map(|s| (k, s))) {
        for algorithm in [Algorithm::KdTree, Algorithm::Brute] {
            let learner = KNeighborsRegressor::new().algorithm(algorithm);
            let (x, y) = (data.table(Order::C), data.target());
            let mut cx = StatisticContext::new(p).with_tables(Some(&x), Some(&y));
            cx.behind = scaler.map(|_| ensemble_core::AffineShape::Diagonal);
            let states = fold_states(&learner, x.as_mat(), &data.y, &cx, k);
            let mut oof = vec![0.0; n];
            let mut naive_oof = Vec::new();
            for (held_out, statistics) in fold_bounds(n, k).into_iter().zip(&complements(&states).unwrap()) {
                let train: Vec<usize> = (0..n).filter(|r| !held_out.contains(r)).collect();
                let map = scaler.map(|s| s(&data, &train));
                let statistics = map.as_ref().map_or(statistics.clone(), |m| statistics.affine(m).unwrap());
                let model = fit_from(&learner, &statistics).unwrap();
                let z = apply(map.as_ref(), &data.x, n, p);
                let queries = &z[held_out.start * p..held_out.end * p];
                oof[held_out.clone()].copy_from_slice(&predict(model.as_ref(), queries));
                if name == "mm_knn_5" {
                    let value = |q: &[f64]| naive(&z, &data.y, &train, q, 5, Weights::Uniform).1;
                    naive_oof.extend(queries.chunks_exact(p).map(value));
                }
            }
            // The reference holds no min-max vectors; an exhaustive search stands in.
            let want = if name == "mm_knn_5" { naive_oof } else { npy(&format!("oof_K{k}_{name}.npy"), 1).x };
            assert_close(&oof, &want, &format!("{name} K={k} {algorithm:?}"));
        }
    }
}

#[test]
fn one_two_and_eight_threads_predict_the_same_bits() {
    for p in [4, 20] {
        let data = cases(3000, p, 1).swap_remove(0).1;
        let model = fit(&KNeighborsRegressor::new().weights(Weights::Distance), &data, Order::C).unwrap();
        let queries = Random(5).values(2000 * p);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| predict(model.as_ref(), &queries))
        };
        let one = with(1);
        assert_eq!(with(2), one);
        assert_eq!(with(8), one);
        // Nor do the rows around a row matter.
        let alone: Vec<f64> =
            queries.chunks_exact(p).take(300).flat_map(|q| predict(model.as_ref(), q)).collect();
        assert_eq!(alone, one[..300]);
    }
}

#[test]
fn borrowed_rows_are_copied_and_answer_alike() {
    for (p, algorithm) in [(4, Algorithm::KdTree), (4, Algorithm::Brute), (20, Algorithm::Auto)] {
        let data = cases(2500, p, 2).swap_remove(0).1;
        let learner = KNeighborsRegressor::new().algorithm(algorithm);
        let queries = Random(6).values(50 * p);
        let want = predict(fit(&learner, &data, Order::C).unwrap().as_ref(), &queries);
        let x = data.table(Order::F);
        let rows = Rows::all(data.nrows);
        let y = MatRef::column_vector(&data.y);
        let train =
            Train::new(RowsView::new(x.as_mat(), &rows).unwrap(), RowsView::new(y, &rows).unwrap()).unwrap();
        let ledger = Ledger::default();
        let model = learner.fit_rows(&train, &FitContext::alone(&Heap, &ledger)).unwrap();
        assert_eq!(predict(model.as_ref(), &queries), want);
        let copied = (data.nrows * (p + 1) * 8) as u64;
        assert!(model.bytes() >= copied, "{} of {copied} bytes", model.bytes());
        // Rows in two runs, from the table itself.
        let rows = Rows::all_but(data.nrows, 700..1500).unwrap();
        let y = data.target();
        let train =
            Train::new(RowsView::new(x.as_mat(), &rows).unwrap(), RowsView::new(y.as_mat(), &rows).unwrap())
                .unwrap();
        let borrowed = learner.fit_rows(&train, &FitContext::alone(&Heap, &ledger)).unwrap();
        let cx = FitContext { table: Some(&x), target: None, ..FitContext::alone(&Heap, &ledger) };
        let kept = learner.fit_rows(&train, &cx).unwrap();
        let rows: Vec<usize> = (0..700).chain(1500..2500).collect();
        for ((query, a), b) in queries
            .chunks_exact(p)
            .zip(predict(borrowed.as_ref(), &queries))
            .zip(predict(kept.as_ref(), &queries))
        {
            let want = naive(&data.x, &data.y, &rows, query, 5, Weights::Uniform).1;
            assert!((a - want).abs() < 1e-13 && a == b, "{a} {b} {want}");
        }
    }
}

#[test]
fn models_of_all_folds_share_the_indexes_and_a_scan_keeps_nothing() {
    let data = cases(4096, 3, 1).swap_remove(0).1;
    let (x, y) = (data.table(Order::C), data.target());
    let cx = StatisticContext::new(3).with_tables(Some(&x), Some(&y));
    let tree = KNeighborsRegressor::new();
    let states = fold_states(&tree, x.as_mat(), &data.y, &cx, 4);
    let bytes = |s: &Statistics| s.items()[0].bytes();
    let declared = tree.as_merge().unwrap().statistics(&cx).unwrap()[0].bytes_for(1024);
    let held = bytes(&states[0]);
    assert!(held <= declared + 256 && declared < 2 * held, "{held} of {declared}");
    let all = complements(&states).unwrap();
    assert_eq!(bytes(&all[4]), states.iter().map(bytes).sum::<u64>());
    let cost = tree.cost(Shape { nrows: 4096, ncols: 3 });
    let held = fit_from(&tree, &all[4]).unwrap().bytes();
    assert!(held <= cost.model_bytes + 1024 && cost.model_bytes < 2 * held, "{held} of {}", cost.model_bytes);
    let brute = tree.algorithm(Algorithm::Brute);
    let states = fold_states(&brute, x.as_mat(), &data.y, &cx, 4);
    assert!(bytes(&states[0]) < 1024);
    let cost = brute.cost(Shape { nrows: 4096, ncols: 3 });
    assert!(
        cost.model_bytes < 1024 && cost.peak_bytes > 1 << 20,
        "it keeps nothing and scans through buffers: {cost:?}"
    );
    let many = brute.n_neighbors(100_000).cost(Shape { nrows: 4096, ncols: 3 });
    assert!(many.peak_bytes < cost.peak_bytes + rayon::current_num_threads() as u64 * (10 << 20), "{many:?}");
}

#[test]
fn a_record_answers_with_the_same_bits_and_without_the_table() {
    let data = cases(600, 4, 8).swap_remove(0).1;
    let map = Affine::diagonal(vec![0.5, 0.1, 0.0, 2.0], vec![3.0, 1.0, -0.5, 10.0]);
    let queries = Random(4).values(100 * 4);
    for (algorithm, map) in
        [Algorithm::KdTree, Algorithm::Brute].into_iter().flat_map(|a| [(a, None), (a, Some(&map))])
    {
        let learner =
            KNeighborsRegressor::new().n_neighbors(7).weights(Weights::Distance).algorithm(algorithm);
        let model = {
            let (x, y) = (data.table(Order::F), data.target());
            let mut cx = StatisticContext::new(4).with_tables(Some(&x), Some(&y));
            cx.behind = map.map(Affine::shape);
            let states = fold_states(&learner, x.as_mat(), &data.y, &cx, 3);
            let all = complements(&states).unwrap().pop().unwrap();
            let twice = map.map(|m| all.affine(m).unwrap().affine(m).unwrap());
            fit_from(&learner, &twice.unwrap_or(all)).unwrap()
        };
        let record = model.to_record().unwrap();
        assert_eq!(record.kind(), KNeighborsModel::RECORD);
        let loaded = KNeighborsModel::from_record(&record, &Registry::new()).unwrap();
        assert_eq!(predict(&loaded, &queries), predict(model.as_ref(), &queries));
        assert_eq!(loaded.to_record().unwrap(), record);
    }
}

#[test]
fn bad_parameters_and_tables_are_errors() {
    let data = cases(20, 17, 8).swap_remove(0).1;
    let parameter = |learner: KNeighborsRegressor, name: &str| match fit(&learner, &data, Order::C) {
        Err(e) => match e.kind() {
            ErrorKind::Parameter { name: got, .. } => assert_eq!(got, name),
            other => panic!("{other:?}"),
        },
        Ok(_) => panic!("{name} was taken"),
    };
    parameter(KNeighborsRegressor::new().n_neighbors(0), "n_neighbors");
    parameter(KNeighborsRegressor::new().n_neighbors(21), "n_neighbors");
    parameter(KNeighborsRegressor::new().algorithm(Algorithm::KdTree), "algorithm");
    assert!(fit(&KNeighborsRegressor::new().n_neighbors(20), &data, Order::C).is_ok());
    let learner = KNeighborsRegressor::new();
    let merge = learner.as_merge().unwrap();
    assert!(merge.statistics(&StatisticContext::new(0)).is_err());
    let x = data.table(Order::C);
    assert!(merge.statistics(&StatisticContext::new(3).with_tables(Some(&x), None)).is_err());
    let mut state =
        merge.statistics(&StatisticContext::new(17).with_tables(Some(&x), None)).unwrap().swap_remove(0);
    assert!(
        state.absorb(&Block { x: x.as_mat(), y: &data.y, first_row: 1 }).is_err(),
        "rows beyond the table"
    );
    assert!(state.absorb(&Block { x: x.as_mat(), y: &data.y[1..], first_row: 0 }).is_err());
    let general = Affine::general(vec![0.0; 17], vec![0.0; 17], 1).unwrap();
    assert!(state.affine(&general).is_err());
    assert!(state.affine(&Affine::diagonal(vec![0.0], vec![1.0])).is_err());
}

#[test]
fn rows_that_are_not_finite_are_refused_by_row_and_column() {
    for p in [2, 20] {
        let data = cases(300, p, 8).swap_remove(0).1;
        let model = fit(&KNeighborsRegressor::new(), &data, Order::C).unwrap();
        let mut queries = Random(1).values(3 * p);
        queries[p] = f64::NAN;
        let x = MatRef::new(&queries, 3, p, Order::C).unwrap();
        let error = model.predict_into(x, MatMut::column_vector(&mut [0.0; 3])).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NotFinite { row: 1, column: 0, .. }), "{error}");
    }
}

#[test]
fn columns_whose_squares_overflow_or_vanish_are_refused_by_name_in_fits_and_queries() {
    let plain = cases(60, 3, 8).swap_remove(0).1;
    let scaled = |factor: f64| {
        let x = plain.x.iter().enumerate().map(|(i, v)| if i % 3 == 1 { v * factor } else { *v }).collect();
        Data { x, ..plain.clone() }
    };
    for algorithm in [Algorithm::KdTree, Algorithm::Brute] {
        for weights in [Weights::Uniform, Weights::Distance] {
            let learner = KNeighborsRegressor::new().n_neighbors(1).weights(weights).algorithm(algorithm);
            for (factor, word) in [(1e160, "overflow"), (1e-160, "vanish")] {
                for order in [Order::C, Order::F] {
                    let said = fit(&learner, &scaled(factor), order).err().unwrap().to_string();
                    assert!(
                        said.contains("training rows") && said.contains("column 1") && said.contains(word),
                        "{said}"
                    );
                }
                // Behind a scaler they are as good as any.
                let data = scaled(factor);
                let map = Affine::diagonal(vec![0.0; 3], vec![1.0, 1.0 / factor, 1.0]);
                let (x, y) = (data.table(Order::C), data.target());
                let mut cx = StatisticContext::new(3).with_tables(Some(&x), Some(&y));
                cx.behind = Some(map.shape());
                let all =
                    complements(&fold_states(&learner, x.as_mat(), &data.y, &cx, 2)).unwrap().pop().unwrap();
                let model = fit_from(&learner, &all.affine(&map).unwrap()).unwrap();
                assert_eq!(predict(model.as_ref(), &apply(Some(&map), &data.x, 60, 3)), data.y);
            }
            let model = fit(&learner, &plain, Order::C).unwrap();
            let queries = [0.0, 0.0, 0.0, 0.0, 0.0, -1e160];
            let x = MatRef::new(&queries, 2, 3, Order::C).unwrap();
            let said = model.predict_into(x, MatMut::column_vector(&mut [0.0; 2])).unwrap_err().to_string();
            assert!(said.contains("row 1, column 2") && said.contains("overflow"), "{said}");
        }
    }
}

#[test]
fn many_equal_distances_give_the_first_rows_of_the_table() {
    // One-hot columns, some rows over and over, as they are and behind a scaler that leaves no whole numbers.
    let (n, p) = (2600, 20);
    let x = (0..n * p).map(|i| f64::from(u8::from((i / p * 7 + i / p / 50) % p == i % p))).collect();
    let data = Data { x, y: Random(5).values(n), nrows: n, ncols: p };
    let scale = (0..p).map(|j| 1.0 / (0.3 + j as f64)).collect();
    for map in [None, Some(Affine::diagonal(vec![0.05; p], scale))] {
        for k in [1, 7, 200] {
            let learner = KNeighborsRegressor::new().n_neighbors(k).algorithm(Algorithm::Brute);
            for order in [Order::C, Order::F] {
                let (xs, y) = (data.table(order), data.target());
                let mut cx = StatisticContext::new(p).with_tables(Some(&xs), Some(&y));
                cx.behind = map.as_ref().map(Affine::shape);
                let states = fold_states(&learner, xs.as_mat(), &data.y, &cx, 3);
                let mut trained = complements(&states).unwrap().swap_remove(1);
                if let Some(map) = &map {
                    trained = trained.affine(map).unwrap();
                }
                let model = fit_from(&learner, &trained).unwrap();
                let z = apply(map.as_ref(), &data.x, n, p);
                let queries = &z[..40 * p];
                let (distances, rows) = neighbors(model.as_ref(), queries);
                let out = fold_bounds(n, 3)[1].clone();
                let train: Vec<usize> = (0..n).filter(|r| !out.contains(r)).collect();
                for (q, query) in queries.chunks_exact(p).enumerate() {
                    let (want, _) = naive(&z, &data.y, &train, query, k, Weights::Uniform);
                    for (at, (distance, row)) in want.iter().enumerate() {
                        assert_eq!(
                            (distances[q * k + at], rows[q * k + at]),
                            (*distance, *row),
                            "k={k} query {q}"
                        );
                    }
                }
            }
        }
    }
}
