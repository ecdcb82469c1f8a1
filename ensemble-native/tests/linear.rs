//! Rank deficiency, constant columns, rows in runs, transformers: what the reference data do not reach.

mod support;

use std::sync::Arc;

use ensemble_core::{
    Access, DenseTable, Estimator, FitContext, Fitted, Heap, Ledger, MOMENTS, MatMut, MatRef, MergeFit,
    MergeTransform, Moments, Order, Pipeline, Record, Registry, Rows, RowsView, Shape, StatisticContext,
    Statistics, Table, Train, Transformer,
};
use ensemble_native::{
    Center, ConvexCombination, ElasticNet, Lasso, LinearRegression, Mean, MinMaxScaler,
    NonNegativeLeastSquares, Norm, Normalizer, Ridge, StandardScaler, TSQR,
};
use support::{Problem, distance, predict};

fn waves(n: usize, p: usize) -> Problem {
    let x: Vec<f64> = (0..n * p).map(|i| ((i * 37 + i / p * i) % 101) as f64 / 10.0).collect();
    let y =
        x.chunks(p).enumerate().map(|(r, row)| row.iter().sum::<f64>() + ((r * 53) % 17) as f64).collect();
    Problem { x, y, p }
}

#[test]
fn equal_columns_share_the_weight() {
    for n in [50, 3000] {
        let one = waves(n, 1);
        let x = one.x.iter().flat_map(|v| [*v; 3]).collect();
        let three = Problem { x, y: Vec::from(&one.y[..]), p: 3 };
        for intercept in [true, false] {
            let learner = LinearRegression::new().fit_intercept(intercept);
            let (alone, shared) = (one.fit(&learner), three.fit(&learner));
            let (alone, shared) = (alone.as_linear().unwrap(), shared.as_linear().unwrap());
            let third = alone.coefficients[0] / 3.0;
            assert!(distance(shared.coefficients, &[third; 3]) < 1e-12, "{:?} {third}", shared.coefficients);
            assert!((shared.intercept - alone.intercept).abs() < 1e-11 * alone.intercept.abs().max(1.0));
        }
    }
}

#[test]
fn more_columns_than_rows_interpolate_with_the_smallest_norm() {
    let wide = waves(8, 20);
    let model = wide.fit(&LinearRegression::new());
    assert!(distance(&predict(model.as_ref(), wide.rows(0..8)), &wide.y) < 1e-11);
    // A ridge of next to no penalty tends to the same coefficients.
    let ridge = wide.fit(&Ridge::new(1e-7));
    assert!(
        distance(ridge.as_linear().unwrap().coefficients, model.as_linear().unwrap().coefficients) < 1e-6
    );
}

#[test]
fn constant_columns_get_coefficient_zero_on_either_way() {
    let base = waves(4000, 3);
    let add = |extra: fn(&[f64]) -> f64| Problem {
        x: base.x.chunks(3).flat_map(|r| [r[0], 0.1, r[1], r[2], extra(r)]).collect(),
        y: Vec::from(&base.y[..]),
        p: 5,
    };
    let want = base.fit(&LinearRegression::new());
    let want = want.as_linear().unwrap().coefficients;
    let got = add(|_| 1e6 / 3.0).fit(&LinearRegression::new());
    let got = got.as_linear().unwrap().coefficients;
    assert_eq!((got[1], got[4]), (0.0, 0.0));
    assert!(distance(&[got[0], got[2], got[3]], want) < 1e-12);
    let got = add(|r| r[0]).fit(&LinearRegression::new());
    let got = got.as_linear().unwrap().coefficients;
    assert_eq!(got[1], 0.0);
    assert!(distance(&[got[0] + got[4], got[2], got[3]], want) < 1e-12 && (got[0] - got[4]).abs() < 1e-12);
}

#[test]
fn constant_columns_stay_constant_behind_transformers() {
    let base = waves(4000, 3);
    // Thirty constants, of which some have means that are off by a rounding.
    let constants: Vec<f64> = (0..30).map(|i| 10f64.powi(i % 13 - 6) / f64::from(i + 3)).collect();
    let x = base.x.chunks(3).flat_map(|r| r.iter().chain(&constants).copied()).collect();
    let padded = Problem { x, y: Vec::from(&base.y[..]), p: 33 };
    let equal = base.x.chunks(3).flat_map(|r| [r[0], 0.1, r[1], r[2], r[0]]).collect();
    let equal = Problem { x: equal, y: Vec::from(&base.y[..]), p: 5 };
    let scalers: [Arc<dyn Transformer>; 3] =
        [Arc::new(StandardScaler::new()), Arc::new(MinMaxScaler::new()), Arc::new(Center::new())];
    for scaler in scalers {
        for learner in [
            Arc::new(LinearRegression::new()) as Arc<dyn Estimator>,
            Arc::new(Lasso::new(0.0).tol(1e-14).max_iter(10_000)),
            Arc::new(Ridge::new(1e-12)),
            Arc::new(LinearRegression::new().positive(true)),
        ] {
            let kind = learner.kind();
            let want = base.fit(learner.as_ref());
            let want = want.as_linear().unwrap().coefficients;
            let pipeline = Pipeline::new(vec![scaler.clone()], learner);
            let got = padded.fit(&pipeline);
            let got = got.as_linear().unwrap().coefficients;
            assert!(distance(&got[..3], want) < 1e-9, "{kind}: {got:?} {want:?}");
            assert!(got[3..].iter().all(|c| *c == 0.0), "{kind}: {got:?}");
            // With a column twice, too, which is the R factor's business.
            let got = equal.fit(&pipeline);
            let got = got.as_linear().unwrap().coefficients;
            assert!(distance(&[got[0] + got[4], got[2], got[3]], want) < 1e-9, "{kind}: {got:?} {want:?}");
            assert!(got[1].abs() < 1e-3, "{kind}: {got:?}");
        }
    }
}

#[test]
fn the_r_factor_is_asked_for_only_when_products_do_not_suffice() {
    let absorb = |problem: &Problem| problem.absorb(&[Box::new(Moments::new(problem.p))], 0..problem.y.len());
    let (easy, easy_problem) = (absorb(&waves(3000, 4)), waves(3000, 4));
    assert!(matches!(LinearRegression::new().fit_from(&easy).unwrap(), Fitted::Model(_)));
    let x = easy_problem.x.chunks(4).flat_map(|r| [r[0], r[1], r[0] + r[1]]).collect();
    let hard = absorb(&Problem { x, y: easy_problem.y, p: 3 });
    let Fitted::Needs(more) = LinearRegression::new().fit_from(&hard).unwrap() else {
        panic!("it is singular")
    };
    assert!(more.len() == 1 && more[0].key() == TSQR);
    assert!(matches!(Ridge::new(1.0).fit_from(&hard).unwrap(), Fitted::Model(_)));
    assert!(matches!(LinearRegression::new().positive(true).fit_from(&hard).unwrap(), Fitted::Model(_)));
}

#[test]
fn ridge_from_the_r_factor_is_stationary() {
    let problem = waves(2000, 5);
    // Two columns that differ by a millionth, and next to no penalty: beyond the limit.
    let near: Vec<f64> = problem.x.chunks(5).flat_map(|r| [r[0], r[0] + 1e-6 * r[1], r[2]]).collect();
    let near = Problem { x: near, y: Vec::from(&problem.y[..]), p: 3 };
    let model = near.fit(&Ridge::new(1e-9));
    let c = model.as_linear().unwrap().coefficients;
    // Stationary: X'(y - Xb) = alpha b, in centred columns, from rows.
    let mean = |f: &dyn Fn(usize) -> f64| (0..2000).map(f).sum::<f64>() / 2000.0;
    let m: Vec<f64> = (0..3).map(|j| mean(&|r| near.x[3 * r + j])).collect();
    let my = mean(&|r| near.y[r]);
    let residual = |r: usize| near.y[r] - my - (0..3).map(|j| c[j] * (near.x[3 * r + j] - m[j])).sum::<f64>();
    let difference: f64 = (0..2000).map(|r| (near.x[3 * r + 1] - near.x[3 * r]) * residual(r)).sum();
    assert!((difference - 1e-9 * (c[1] - c[0])).abs() < 1e-6, "{difference} {c:?}");
}

#[test]
fn sums_that_are_not_finite_are_errors() {
    let nan = Problem { x: vec![1.0, f64::NAN, 3.0], y: vec![1.0; 3], p: 1 };
    let huge = Problem { x: vec![1e200, -1e200, 3.0], y: vec![1.0, 2.0, 3.0], p: 1 };
    for problem in [nan, huge] {
        let s = problem.absorb(&[Box::new(Moments::new(1))], 0..3);
        for learner in [
            &LinearRegression::new() as &dyn MergeFit,
            &Ridge::new(1.0),
            &Lasso::new(1.0),
            &ElasticNet::new(1.0),
            &NonNegativeLeastSquares::new(),
            &ConvexCombination::new(),
        ] {
            assert!(learner.fit_from(&s).is_err());
        }
    }
    let none = Statistics::new(vec![Arc::new(Moments::new(2))]);
    assert!(Mean::new().fit_from(&none).is_err() && LinearRegression::new().fit_from(&none).is_err());
}

#[test]
fn rows_in_runs_and_all_learners_fit_by_the_estimator_trait() {
    let problem = waves(3000, 4);
    let rows = Rows::all_but(3000, 900..1400).unwrap();
    let x = RowsView::new(problem.rows(0..3000), &rows).unwrap();
    let y = RowsView::new(MatRef::column_vector(&problem.y), &rows).unwrap();
    let train = Train::new(x, y).unwrap();
    let (scratch, ledger) = (Heap, Ledger::new());
    let cx = FitContext::alone(&scratch, &ledger);
    let registry = {
        let mut r = Registry::new();
        ensemble_native::register(&mut r);
        r
    };
    for text in [
        "native.linear_regression",
        "native.linear_regression:positive=true",
        "native.ridge",
        "native.lasso:alpha=0.1",
        "native.elastic_net:alpha=0.1",
        "native.nnls",
        "native.nnls:fit_intercept=true",
        "native.convex",
        "native.mean",
        "native.center | native.ridge",
        "native.min_max_scaler:feature_range_min=-1,feature_range_max=2 | native.linear_regression",
        "native.normalizer | native.ridge",
        "native.standard_scaler | native.normalizer:norm=l1 | native.lasso:alpha=0.01",
        "native.normalizer:norm=max | native.standard_scaler | native.linear_regression",
    ] {
        let learner = registry.pipeline(text).unwrap();
        assert_eq!(learner.as_merge().is_some(), learner.access() == Access::Merge, "{text}");
        let model = learner.fit_rows(&train, &cx).unwrap();
        let shape = Shape { nrows: 2500, ncols: 4 };
        assert!(learner.cost(shape).peak_bytes > 0 && learner.cost(shape).model_bytes > 0, "{text}");
        let predicted = predict(model.as_ref(), problem.rows(900..1400));
        assert!(predicted.iter().all(|v| v.is_finite()), "{text}");
        let error: f64 =
            predicted.iter().zip(&problem.y[900..1400]).map(|(p, y)| (p - y).powi(2)).sum::<f64>() / 500.0;
        let mean = problem.y.iter().sum::<f64>() / 3000.0;
        let spread: f64 = problem.y[900..1400].iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 500.0;
        // The targets are sums of the columns, which no average of them comes near.
        assert!(error < 2.0 * spread || text == "native.convex", "{text}: {error} {spread}");
        // What is saved predicts the same.
        let loaded = registry.load_model(&model.to_record().unwrap()).unwrap();
        assert_eq!(predict(loaded.as_ref(), problem.rows(900..1400)), predicted, "{text}");
    }
}

fn transformed(t: &dyn Transformer, x: &[f64], n: usize, p: usize) -> (Vec<f64>, Record) {
    let table = DenseTable::new(x.into(), n, p, Order::C).unwrap();
    let rows = Rows::all(n);
    let y = vec![0.0; n];
    let train = Train::new(
        RowsView::new(table.as_mat(), &rows).unwrap(),
        RowsView::new(MatRef::column_vector(&y), &rows).unwrap(),
    )
    .unwrap();
    let (scratch, ledger) = (Heap, Ledger::new());
    let fitted = t.fit_rows(&train, &FitContext::alone(&scratch, &ledger)).unwrap();
    let mut out = vec![0.0; n * p];
    fitted.transform_block_into(table.as_mat(), MatMut::new(&mut out, n, p, Order::C).unwrap()).unwrap();
    (out, fitted.to_record().unwrap())
}

#[test]
fn transformers_map_as_scikit_learns_do() {
    // The second column is constant, the third constant but for rounding.
    let x = [1.0, 7.0, 0.1, 2.0, 7.0, 0.1, 6.0, 7.0, 0.1];
    let sd = (14.0_f64 / 3.0).sqrt();
    let (z, _) = transformed(&StandardScaler::new(), &x, 3, 3);
    assert!(distance(&z, &[-2.0 / sd, 0.0, 0.0, -1.0 / sd, 0.0, 0.0, 3.0 / sd, 0.0, 0.0]) < 1e-15);
    let (z, _) = transformed(&StandardScaler::new().with_mean(false), &x, 3, 3);
    assert!(distance(&z[..3], &[1.0 / sd, 7.0, 0.1]) < 1e-15);
    let (z, _) = transformed(&StandardScaler::new().with_std(false), &x, 3, 3);
    assert_eq!(z, transformed(&Center::new(), &x, 3, 3).0);
    let (z, _) = transformed(&MinMaxScaler::new(), &x, 3, 3);
    assert!(distance(&z, &[0.0, 0.0, 0.0, 0.2, 0.0, 0.0, 1.0, 0.0, 0.0]) < 1e-15);
    let (z, _) = transformed(&MinMaxScaler::new().feature_range(-1.0, 3.0), &x, 3, 3);
    assert!(distance(&z, &[-1.0, -1.0, -1.0, -0.2, -1.0, -1.0, 3.0, -1.0, -1.0]) < 1e-15);
    assert!(MinMaxScaler::new().feature_range(1.0, 1.0).statistics(&StatisticContext::new(3)).is_err());
    let rows = [3.0, -4.0, 0.0, 0.0, 1e-300, 2.0];
    for (norm, want) in [
        (Norm::L2, [0.6, -0.8, 0.0, 0.0, 5e-301, 1.0]),
        (Norm::L1, [3.0 / 7.0, -4.0 / 7.0, 0.0, 0.0, 5e-301, 1.0]),
        (Norm::Max, [0.75, -1.0, 0.0, 0.0, 5e-301, 1.0]),
    ] {
        let (z, record) = transformed(&Normalizer::new(norm), &rows, 3, 2);
        assert!(distance(&z, &want) < 1e-15, "{norm:?}: {z:?}");
        let mut registry = Registry::new();
        ensemble_native::register(&mut registry);
        let loaded = registry.load_transform(&record).unwrap();
        let mut again = vec![0.0; 6];
        let x = MatRef::new(&rows, 3, 2, Order::C).unwrap();
        loaded.transform_block_into(x, MatMut::new(&mut again, 3, 2, Order::C).unwrap()).unwrap();
        assert_eq!(again, z);
        assert!(
            loaded
                .transform_block_into(MatRef::column_vector(&rows), MatMut::column_vector(&mut again))
                .is_err()
        );
    }
}

#[test]
fn a_pipeline_with_the_normalizer_does_not_merge() {
    let pipeline = Pipeline::new(vec![Arc::new(Normalizer::default())], Arc::new(Ridge::new(1.0)));
    assert_eq!(pipeline.access(), Access::Segments);
    assert!(pipeline.as_merge().is_none() && !pipeline.is_linear());
    let s = waves(10, 2).absorb(&[Box::new(Moments::new(2))], 0..10);
    assert_eq!(s.get::<Moments>(&MOMENTS).unwrap().nrows(), 10.0);
}

/// Numbers from -1 to 1 without a pattern.
fn scattered(n: usize, seed: u64) -> Vec<f64> {
    (0..n as u64)
        .map(|i| {
            let mut v =
                (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed.wrapping_mul(0xD134_2543_DE82_EF95);
            v = (v ^ (v >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            v = (v ^ (v >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (v ^ (v >> 31)) as f64 / f64::powi(2.0, 63) - 1.0
        })
        .collect()
}

fn fifths(n: usize) -> Vec<std::ops::Range<usize>> {
    (0..5).map(|k| k * n / 5..(k + 1) * n / 5).collect()
}

/// Root of the mean squared error over held-out fifths.
fn held_out_rmse(problem: &Problem, learner: &dyn Estimator) -> f64 {
    let n = problem.y.len();
    let folds = fifths(n);
    let models = problem.fit_folds(learner, &folds);
    let squares: f64 = folds
        .iter()
        .zip(&models)
        .flat_map(|(fold, model)| {
            let predicted = predict(model.as_ref(), problem.rows(fold.clone()));
            predicted.into_iter().zip(&problem.y[fold.clone()]).map(|(p, y)| (p - y).powi(2))
        })
        .sum();
    (squares / n as f64).sqrt()
}

fn pipelines() -> Registry {
    let mut registry = Registry::new();
    ensemble_native::register(&mut registry);
    registry
}

const SCALERS: [&str; 6] = [
    "",
    "native.standard_scaler | ",
    "native.min_max_scaler | ",
    "native.center | ",
    "native.center | native.standard_scaler | ",
    "native.standard_scaler | native.min_max_scaler:feature_range_min=-1 | ",
];

#[test]
fn rounding_of_a_constant_is_no_direction_behind_any_scaler() {
    let n = 5120;
    let (z, coin, noise) = (scattered(n, 1), scattered(n, 2), scattered(n, 3));
    for level in [1.0, 1000.0] {
        // 0.3 or 0.1 + 0.2, but for a few rows of the first fold; and z once more, for the R factor.
        let row = |i: usize, twice: bool| {
            let real = if i.is_multiple_of(250) && i < 1000 {
                0.5
            } else {
                [0.3, 0.1 + 0.2][usize::from(coin[i] > 0.0)]
            };
            let mut row = vec![z[i], level * real];
            row.extend(twice.then_some(z[i]));
            row
        };
        let y: Vec<f64> = (0..n).map(|i| 2.0 * z[i] + 0.1 * noise[i]).collect();
        for twice in [false, true] {
            let x = (0..n).flat_map(|i| row(i, twice)).collect();
            let problem = Problem { x, y: y.clone(), p: if twice { 3 } else { 2 } };
            for scaler in SCALERS {
                for learner in
                    ["linear_regression", "ridge:alpha=1e-12", "lasso:alpha=0,tol=1e-14,max_iter=10000"]
                {
                    let text = format!("{scaler}native.{learner}");
                    let pipeline = pipelines().pipeline(&text).unwrap();
                    let rmse = held_out_rmse(&problem, pipeline.as_ref());
                    // The noise is uniform: its deviation is 0.1 / sqrt 3.
                    assert!((rmse - 0.1 / 3f64.sqrt()).abs() < 0.002, "{text}, {twice}: {rmse}");
                    // Fitted where the column is rounding alone.
                    let model = problem.fit_folds(pipeline.as_ref(), &fifths(n)).remove(0);
                    let coefficients = model.as_linear().unwrap().coefficients;
                    assert!(coefficients[1] == 0.0, "{text}, {twice}: {coefficients:?}");
                    // Without an intercept too, but that a constant which is not 0 may do for one.
                    let more = if learner.contains(':') { "," } else { ":" };
                    let text = format!("{text}{more}fit_intercept=false");
                    let pipeline = pipelines().pipeline(&text).unwrap();
                    let model = problem.fit_folds(pipeline.as_ref(), &fifths(n)).remove(0);
                    let coefficients = model.as_linear().unwrap().coefficients;
                    let level = scaler.is_empty() || scaler.contains("range_min=-1");
                    assert!(
                        if level { coefficients[1].abs() < 10.0 } else { coefficients[1] == 0.0 },
                        "{text}, {twice}: {coefficients:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn rank_is_decided_and_solved_whatever_the_units() {
    // One-hot columns that add up to the intercept, and a time in nanoseconds over 2.8 hours.
    let (n, k) = (3000, 22);
    let (at, noise) = (scattered(n, 4), scattered(n, 5));
    let class = |i: usize| (i * 7 + i / k) % k;
    let x = (0..n)
        .flat_map(|i| {
            let mut row = vec![0.0; k + 1];
            row[class(i)] = 1.0;
            row[k] = 1.7e18 + (5e12 * at[i]).round();
            row
        })
        .collect();
    let y = (0..n).map(|i| class(i) as f64 / 3.0 + 5.0 * at[i] + 0.01 * noise[i]).collect();
    let problem = Problem { x, y, p: k + 1 };
    for scaler in SCALERS {
        let text = format!("{scaler}native.linear_regression");
        let pipeline = pipelines().pipeline(&text).unwrap();
        let rmse = held_out_rmse(&problem, pipeline.as_ref());
        assert!((rmse - 0.01 / 3f64.sqrt()).abs() < 0.001, "{text}: {rmse}");
    }
    // In the columns' own units the smallest norm shares the intercept evenly.
    let model = problem.fit(&LinearRegression::new());
    let coefficients = model.as_linear().unwrap().coefficients;
    let sum: f64 = coefficients[..k].iter().sum();
    assert!(sum.abs() < 1e-6, "{sum} {coefficients:?}");
    assert!((coefficients[k] * 5e12 - 5.0).abs() < 0.01, "{coefficients:?}");
}

#[test]
fn columns_whose_squares_underflow_are_solved_or_refused_by_number() {
    let base = waves(3000, 3);
    let scaled = |factor: f64| Problem {
        x: base.x.chunks(3).flat_map(|r| [r[0], factor * r[1], r[2]]).collect(),
        y: base.y.clone(),
        p: 3,
    };
    let want = base.fit(&LinearRegression::new());
    let want = predict(want.as_ref(), base.rows(0..3000));
    for factor in [1e-100, 1e-150, 1e-155, 1e-160, 1e-170, 1e-200, 1e-290] {
        let problem = scaled(factor);
        for learner in [
            Arc::new(LinearRegression::new()) as Arc<dyn Estimator>,
            Arc::new(Pipeline::new(vec![Arc::new(Center::new())], Arc::new(LinearRegression::new()))),
            Arc::new(Pipeline::new(vec![Arc::new(MinMaxScaler::new())], Arc::new(LinearRegression::new()))),
        ] {
            let model = problem.fit(learner.as_ref());
            assert!(distance(&predict(model.as_ref(), problem.rows(0..3000)), &want) < 1e-9, "{factor}");
        }
    }
    let s = scaled(1e-160).absorb(&[Box::new(Moments::new(3))], 0..3000);
    let refused = |what: Option<String>| {
        let what = what.unwrap_or_default();
        assert!(what.contains("column 1 (from 0)") && what.contains("underflow"), "{what}");
    };
    for learner in [&Lasso::new(0.0) as &dyn MergeFit, &ElasticNet::new(1.0).l1_ratio(0.0)] {
        refused(learner.fit_from(&s).err().map(|e| e.to_string()));
    }
    refused(StandardScaler::new().fit_from(&s).err().map(|e| e.to_string()));
    // An l1 penalty leaves such a column out, and rightly so.
    let Fitted::Model(model) = Lasso::new(0.1).fit_from(&s).unwrap() else { panic!() };
    assert_eq!(model.as_linear().unwrap().coefficients[1], 0.0);
    // Squares that vanish beside others that do not are no loss.
    let mut mixed = scaled(1.0);
    mixed.x.chunks_mut(3).take(2048).for_each(|r| r[1] *= 1e-170);
    assert!(Lasso::new(0.0).fit_from(&mixed.absorb(&[Box::new(Moments::new(3))], 0..3000)).is_ok());
    // Zeros and tiny constants do not vary.
    let mut still = scaled(1.0);
    still.x.chunks_mut(3).for_each(|r| (r[1], r[2]) = (1e-170, 0.0));
    let s = still.absorb(&[Box::new(Moments::new(3))], 0..3000);
    let Fitted::Model(model) = LinearRegression::new().fit_from(&s).unwrap() else { panic!("it is regular") };
    assert_eq!(model.as_linear().unwrap().coefficients[1..], [0.0, 0.0]);
}

#[test]
fn columns_far_from_zero_are_not_taken_for_constants_before_they_are() {
    let n = 600;
    let sums = |seed: u64| -> Vec<f64> {
        // Sums of twelve, of variance 1 or nearly.
        let parts: Vec<Vec<f64>> = (0..12).map(|k| scattered(n, 100 * seed + k)).collect();
        (0..n).map(|i| parts.iter().map(|p| p[i]).sum::<f64>() / 2.0).collect()
    };
    let columns: Vec<Vec<f64>> = (1..=6).map(sums).collect();
    let noise = sums(7);
    let weights = [1.0, -2.0, 3.0, 0.5, 0.0, 1.0];
    let y: Vec<f64> =
        (0..n).map(|i| (0..6).map(|j| weights[j] * columns[j][i]).sum::<f64>() + 0.3 * noise[i]).collect();
    for (mean, bound) in [(1e9, 0.32), (1e12, 0.32), (1e15, 0.9)] {
        let x = (0..n).flat_map(|i| (0..6).map(|j| mean + columns[j][i]).collect::<Vec<_>>()).collect();
        let problem = Problem { x, y: y.clone(), p: 6 };
        for learner in ["linear_regression", "ridge:alpha=1e-12", "ridge:alpha=1", "lasso:alpha=0.01"] {
            let text = format!("native.{learner}");
            let rmse = held_out_rmse(&problem, pipelines().pipeline(&text).unwrap().as_ref());
            println!("{mean:e} {text}: {rmse}");
            assert!(rmse < bound, "{mean} {text}: {rmse}");
        }
    }
}

#[test]
fn rounding_of_a_constant_beside_one_hot_columns_gets_no_weight_of_either_sign() {
    let n = 100;
    let (coin, noise) = (scattered(n, 11), scattered(n, 12));
    for scaler in SCALERS {
        for learner in [
            "linear_regression:positive=true",
            "nnls:fit_intercept=true",
            "nnls",
            "convex",
            "linear_regression:positive=true,fit_intercept=false",
            "lasso:alpha=0,fit_intercept=false",
            "lasso:alpha=0,fit_intercept=false,positive=true",
        ] {
            for seed in [0.0, 0.3, -0.3] {
                let x = (0..n)
                    .flat_map(|i| {
                        let mut row = [0.0, 0.0, 0.0, [0.3, 0.1 + 0.2][usize::from(coin[i] > seed)]];
                        row[i % 3] = 1.0;
                        row
                    })
                    .collect();
                let y = (0..n).map(|i| (i % 3) as f64 + 2.0 * noise[(i * 7 + 1) % n]).collect();
                let problem = Problem { x, y, p: 4 };
                let text = format!("{scaler}native.{learner}");
                let model = problem.fit(pipelines().pipeline(&text).unwrap().as_ref());
                let coefficients = model.as_linear().unwrap().coefficients;
                assert!(coefficients.iter().all(|c| c.abs() < 100.0), "{text}: {coefficients:?}");
                if learner.contains("intercept=true") || learner == "linear_regression:positive=true" {
                    assert_eq!(coefficients[3], 0.0, "{text}: {coefficients:?}");
                }
            }
        }
    }
}

#[test]
fn a_lasso_without_an_intercept_finds_what_tells_nearly_equal_columns_apart() {
    for n in [300, 3000] {
        let (a, z, noise) = (scattered(n, 21), scattered(n, 22), scattered(n, 23));
        let x = (0..n).flat_map(|i| [a[i], a[i] + 1e-7 * z[i]]).collect();
        let y = (0..n).map(|i| z[i] + 0.01 * noise[i]).collect();
        let problem = Problem { x, y, p: 2 };
        for learner in ["lasso:alpha=0", "lasso:alpha=1e-12", "elastic_net:alpha=1e-12,l1_ratio=1"] {
            let text = format!("native.{learner},fit_intercept=false");
            let rmse = held_out_rmse(&problem, pipelines().pipeline(&text).unwrap().as_ref());
            assert!(rmse < 0.007, "{text}: {rmse}");
        }
        // A penalty that such coefficients cost more than they gain asks for nothing more.
        let s = problem.absorb(&[Box::new(Moments::new(2))], 0..n);
        assert!(matches!(Lasso::new(0.1).fit_intercept(false).fit_from(&s).unwrap(), Fitted::Model(_)));
    }
}
