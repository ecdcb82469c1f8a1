//! Rank deficiency, constant columns, rows in runs, transformers: what the reference data do not reach.

mod support;

use std::sync::Arc;

use ensemble_core::{
    Access, DenseTable, Estimator, FitContext, Fitted, FoldView, Heap, Ledger, MOMENTS, MatMut, MatRef,
    MergeFit, MergeTransform, Moments, Order, Pipeline, Record, Registry, Rows, Shape, StatisticContext,
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
    let x = FoldView::new(problem.rows(0..3000), &rows).unwrap();
    let y = FoldView::new(MatRef::column_vector(&problem.y), &rows).unwrap();
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
        let model = learner.fit(&train, &cx).unwrap();
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
        FoldView::new(table.as_mat(), &rows).unwrap(),
        FoldView::new(MatRef::column_vector(&y), &rows).unwrap(),
    )
    .unwrap();
    let (scratch, ledger) = (Heap, Ledger::new());
    let fitted = t.fit(&train, &FitContext::alone(&scratch, &ledger)).unwrap();
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
