//! Inputs that make smartcore panic, abort, hang or answer wrongly: here each is an error that says why, or an answer that is right.
#![allow(missing_docs, clippy::disallowed_methods)]

mod support;

use std::sync::Arc;

use ensemble_core::{
    Built, Error, ErrorKind, Estimator, FitContext, FittedTransform, Heap, KFold, Layer, Ledger, MatMut,
    MatRef, Model, Order, Predicts, Registry, Rows, Shape, SuperLearner, Transformer,
};
use ensemble_memmap::{MappedTable, save_npy};
use ensemble_smartcore::*;
use smartcore::linalg::basic::matrix::DenseMatrix;
use support::*;

fn registry() -> Registry {
    let mut registry = Registry::new();
    register(&mut registry);
    registry
}

/// Everything this crate offers, with defaults.
fn all_kinds() -> Vec<(String, Built)> {
    let registry = registry();
    let names: Vec<String> = registry.kinds().map(|k| k.name.to_owned()).collect();
    names.into_iter().map(|name| (name.clone(), registry.build(&name).unwrap())).collect()
}

enum Fitted {
    Model(Arc<dyn Model>),
    Map(Arc<dyn FittedTransform>),
}

/// Fit anything. Targets hold class numbers up to `k`.
fn fit_any(built: &Built, data: &Data, k: usize) -> Result<Fitted, Error> {
    let ledger = Ledger::default();
    let cx = FitContext { n_classes: Some(k), ..FitContext::alone(&Heap, &ledger) };
    match built {
        Built::Learner(learner) => learner.fit_rows(&data.train(), &cx).map(Fitted::Model),
        Built::Transformer(transformer) => transformer.fit_rows(&data.train(), &cx).map(Fitted::Map),
    }
}

/// What comes out for all rows of the table.
fn outcome(fitted: &Fitted, data: &Data) -> Vec<f64> {
    match fitted {
        Fitted::Model(model) => predict(&**model, data.mat()),
        Fitted::Map(map) => {
            let k = map.n_out();
            let mut out = vec![f64::NAN; data.nrows * k];
            map.transform_block_into(data.mat(), MatMut::new(&mut out, data.nrows, k, Order::C).unwrap())
                .unwrap();
            out
        }
    }
}

/// Whole numbers, classes in y: what every kind takes.
fn counts(n: usize, p: usize) -> Data {
    Data::new(
        (n, p),
        (Order::C, 0),
        Rows::all_but(n, n / 3..n / 2).unwrap(),
        |r, c| (noise(r * p + c) * 4.0).floor() + if c == r % 2 { 1.0 } else { 0.0 },
        |_, r| (r % 2) as f64,
    )
}

#[test]
fn every_kind_is_built_by_its_defaults_written_out() {
    let registry = registry();
    let mut n = 0;
    for kind in registry.kinds() {
        assert_eq!(kind.backend, "smartcore 0.7.0");
        for parameter in kind.parameters {
            let text = format!("{}:{}={}", kind.name, parameter.name, parameter.default);
            assert!(registry.build(&text).is_ok(), "{text}");
            for alias in parameter.aliases {
                assert!(registry.build(&format!("{}:{alias}={}", kind.name, parameter.default)).is_ok());
            }
        }
        let built = registry.build(kind.name).unwrap();
        let name = match &built {
            Built::Learner(learner) => learner.kind(),
            Built::Transformer(transformer) => transformer.kind(),
        };
        assert_eq!(name, kind.name);
        n += 1;
    }
    assert_eq!(n, 23, "kinds");
    for text in [
        "smartcore.lasso:alpha=-1",
        "smartcore.random_forest_classifier:n_estimators=70000",
        "smartcore.random_forest_regressor:n_estimators=0",
        "smartcore.random_forest_regressor:max_features=0",
        "smartcore.random_forest_regressor:max_features=1.5",
        "smartcore.decision_tree_regressor:max_depth=0",
        "smartcore.decision_tree_regressor:min_samples_split=1",
        "smartcore.k_neighbors_regressor:p=0.5",
        "smartcore.k_neighbors_regressor:n_neighbors=0",
        "smartcore.svr:C=0",
        "smartcore.svc:gamma=wide",
        "smartcore.xg_regressor:subsample=0",
        "smartcore.gaussian_nb:var_smoothing=-1",
        "smartcore.bernoulli_nb:alpha=0",
        "smartcore.logistic_regression:C=1,alpha=1",
        "smartcore.pca:n_components=0",
    ] {
        let built = registry.build(text);
        let refused = match built {
            Err(_) => true,
            // A bound that depends on the kind is checked by the fit.
            Ok(built) => fit_any(&built, &counts(30, 3), 2).is_err(),
        };
        assert!(refused, "{text}");
    }
}

#[test]
fn nan_and_infinity_never_reach_smartcore() {
    for (name, built) in all_kinds() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut data = counts(40, 3);
            data.x[4] = bad;
            let error = fit_any(&built, &data, 2).err().unwrap_or_else(|| panic!("{name} took {bad}"));
            assert!(
                matches!(error.kind(), ErrorKind::NotFinite { row: 1, column: 1, .. }),
                "{name}: {error}"
            );
            let mut data = counts(40, 3);
            data.y[30] = bad;
            let error = fit_any(&built, &data, 2).err().unwrap_or_else(|| panic!("{name} took {bad} in y"));
            assert!(matches!(error.kind(), ErrorKind::NotFinite { row: 30, .. }), "{name}: {error}");
        }
    }
}

#[test]
fn no_rows_are_an_error_and_few_rows_an_error_or_an_answer() {
    for (name, built) in all_kinds() {
        let mut data = counts(40, 3);
        data.rows = Rows::default();
        assert!(fit_any(&built, &data, 2).is_err(), "{name} fitted no rows");
        // One row, two rows, and fewer rows than columns.
        for (n, p) in [(1, 3), (2, 1), (2, 3), (4, 9), (9, 9)] {
            let mut data = counts(40, p);
            data.rows = Rows::one(3..3 + n);
            if let Ok(fitted) = fit_any(&built, &data, 2) {
                let out = outcome(&fitted, &data);
                assert!(out.iter().all(|v| v.is_finite()), "{name} {n} x {p}");
            }
        }
    }
}

#[test]
fn constant_and_repeated_columns_and_constant_targets_are_errors_or_finite_answers() {
    let value = |r: usize, c: usize| match c {
        1 => 3.0,
        // A copy of column 0.
        2 => (noise(r * 5) * 4.0).floor(),
        _ => (noise(r * 5 + c) * 4.0).floor(),
    };
    let rows = || Rows::all_but(60, 20..30).unwrap();
    for (name, built) in all_kinds() {
        for constant_target in [false, true] {
            let target = |_: &[f64], r: usize| if constant_target { 1.0 } else { (r % 2) as f64 };
            let data = Data::new((60, 5), (Order::C, 0), rows(), value, target);
            match fit_any(&built, &data, 2) {
                Ok(fitted) => {
                    let out = outcome(&fitted, &data);
                    assert!(out.iter().all(|v| v.is_finite() && v.abs() < 1e6), "{name}: {out:?}");
                    if let (Fitted::Model(model), true) = (&fitted, constant_target) {
                        let want = model.n_outputs() - 1;
                        let sure = predict(&**model, data.mat());
                        let all = sure.chunks(model.n_outputs()).all(|row| (row[want] - 1.0).abs() < 0.3);
                        assert!(all, "{name} of a constant target: {sure:?}");
                    }
                }
                Err(error) => assert!(!error.to_string().contains("panic"), "{name}: {error}"),
            }
        }
    }
    // What must work, works.
    let registry = registry();
    let data = Data::new((60, 5), (Order::C, 0), rows(), value, |row, _| row[0] + 2.0 * row[3]);
    for name in
        ["ridge_regression:alpha=0.001", "lasso:alpha=0.001", "elastic_net:alpha=0.001", "linear_regression"]
    {
        let fitted = fit_any(&registry.build(&format!("smartcore.{name}")).unwrap(), &data, 2).unwrap();
        for (p, y) in outcome(&fitted, &data).iter().zip(&data.y) {
            assert!((p - y).abs() < 0.05, "{name}: {p} {y}");
        }
        let Fitted::Model(model) = fitted else { panic!() };
        if name != "linear_regression" {
            assert_eq!(model.as_linear().unwrap().coefficients[1], 0.0, "{name}");
        }
    }
    let data = Data::new((60, 5), (Order::C, 0), rows(), value, |row, r| row[0] + noise(r + 5));
    let error = fit(&LinearRegression::new().solver(LinearSolver::Qr), &data, None).err().unwrap();
    assert!(error.to_string().contains("solver=svd") || error.to_string().contains("smartcore"), "{error}");
}

#[test]
fn intercepts_that_smartcore_loses_without_normalisation_are_right() {
    let data = Data::new(
        (20, 1),
        (Order::C, 0),
        Rows::all(20),
        |r, _| 100.0 + r as f64,
        |row, _| 2.0 * row[0] + 1.0,
    );
    let learners: [&dyn Estimator; 3] =
        [&RidgeRegression::new(1e-6), &Lasso::new(1e-6).tol(1e-9), &ElasticNet::new(1e-6).tol(1e-9)];
    for learner in learners {
        let model = fit(learner, &data, None).unwrap();
        let line = model.as_linear().unwrap();
        assert!(
            (line.coefficients[0] - 2.0).abs() < 1e-4 && (line.intercept - 1.0).abs() < 1e-2,
            "{}: {line:?}",
            learner.kind()
        );
    }
    // smartcore's own: no intercept, or the mean of y.
    use smartcore::linear::{lasso, ridge_regression};
    let (x, y) = data.dense();
    let p = ridge_regression::RidgeRegressionParameters::default().with_alpha(1e-6).with_normalize(false);
    assert_eq!(*ridge_regression::RidgeRegression::fit(&x, &y, p).unwrap().intercept(), 0.0);
    let p = lasso::LassoParameters::default().with_alpha(1e-6).with_normalize(false);
    assert_eq!(*lasso::Lasso::fit(&x, &y, p).unwrap().intercept(), 220.0);
}

#[test]
fn lasso_without_an_intercept_predicts() {
    let data = Data::regression(50, 3, (Order::C, 0), 0..0);
    let model = fit(&Lasso::new(0.01).fit_intercept(false), &data, None).unwrap();
    assert_eq!(model.as_linear().unwrap().intercept, 0.0);
    assert!(predict(&*model, data.mat()).iter().all(|v| v.is_finite()));
    use smartcore::linear::lasso;
    let (x, y) = data.dense();
    let p = lasso::LassoParameters::default().with_fit_intercept(false);
    assert!(lasso::Lasso::<f64, f64, _, _>::fit(&x, &y, p).unwrap().predict(&x).is_err(), "smartcore's own");
    // Centred columns and no intercept: predictions that are off by a constant.
    let error = fit(&Lasso::new(0.01).fit_intercept(false).normalize(true), &data, None).err().unwrap();
    assert!(error.to_string().contains("fit_intercept"), "{error}");
}

#[test]
fn elastic_net_does_not_depend_on_where_the_targets_zero_is() {
    let data = Data::regression(30, 3, (Order::C, 0), 0..0);
    let mut moved = Data::regression(30, 3, (Order::C, 0), 0..0);
    moved.y.iter_mut().for_each(|v| *v += 1000.0);
    for normalize in [false, true] {
        let net = ElasticNet::new(0.5).normalize(normalize).tol(1e-8);
        let (a, b) = (fit(&net, &data, None).unwrap(), fit(&net, &moved, None).unwrap());
        let (a, b) = (a.as_linear().unwrap(), b.as_linear().unwrap());
        for (c, d) in a.coefficients.iter().zip(b.coefficients) {
            assert!((c - d).abs() < 1e-5, "normalize {normalize}: {c} {d}");
        }
        assert!((b.intercept - a.intercept - 1000.0).abs() < 1e-4);
    }
    // smartcore's own does.
    use smartcore::linear::elastic_net;
    let slope = |data: &Data| {
        let (x, y) = data.dense();
        let p = elastic_net::ElasticNetParameters::default().with_alpha(0.5).with_tol(1e-8);
        let fitted = elastic_net::ElasticNet::<f64, f64, DenseMatrix<f64>, Vec<f64>>::fit(&x, &y, p).unwrap();
        *smartcore::linalg::basic::arrays::Array::get(fitted.coefficients(), (1, 0))
    };
    assert!((slope(&data) - slope(&moved)).abs() > 1.0, "{} {}", slope(&data), slope(&moved));
}

#[test]
fn gaussian_naive_bayes_of_sixty_thousand_rows_fits_a_small_stack() {
    let data = Data::classes(60_000, 3, 3, (Order::C, 0), 20_000..21_000);
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let model = small.spawn(move || fit(&GaussianNb::new(), &data, Some(3)).map(|m| m.n_outputs()));
    assert_eq!(model.unwrap().join().unwrap().unwrap(), 3);
}

#[test]
fn a_cover_tree_of_distances_that_overflow_is_an_error() {
    let value = |r: usize, c: usize| if r == 7 { 1e200 } else { noise(r * 2 + c) };
    let data = Data::new((40, 2), (Order::C, 0), Rows::all(40), value, |_, r| r as f64);
    for algorithm in [NeighborSearch::Linear, NeighborSearch::CoverTree] {
        let error = fit(&KNeighborsRegressor::new().algorithm(algorithm), &data, None).err().unwrap();
        assert!(error.to_string().contains("column 0") && error.to_string().contains("overflow"), "{error}");
        let data = Data::regression(40, 2, (Order::C, 0), 0..0);
        let model = fit(&KNeighborsRegressor::new().algorithm(algorithm), &data, None).unwrap();
        for bad in [f64::NAN, f64::INFINITY, 1e300] {
            let mut out = [0.0];
            let row = [bad, 0.0];
            let x = MatRef::new(&row, 1, 2, Order::C).unwrap();
            assert!(model.predict_into(x, MatMut::column_vector(&mut out)).is_err(), "{algorithm:?} {bad}");
        }
    }
}

#[test]
fn columns_far_from_zero_are_refused_where_smartcores_variance_cancels() {
    let value = |r: usize, c: usize| if c == 1 { 1e9 + noise(r) } else { noise(r * 3 + c) };
    let data = Data::new((60, 3), (Order::C, 0), Rows::all(60), value, |_, r| (r % 2) as f64);
    let refused = |text: &str| {
        let error =
            fit_any(&registry().build(text).unwrap(), &data, 2).err().unwrap_or_else(|| panic!("{text}"));
        assert!(error.to_string().contains("column 1"), "{text}: {error}");
    };
    refused("smartcore.standard_scaler");
    refused("smartcore.gaussian_nb");
    refused("smartcore.ridge_regression:normalize=true");
    refused("smartcore.lasso:normalize=true");
    refused("smartcore.elastic_net:normalize=true");
    // A constant column is scikit-learn's: shifted, and left at its scale.
    let data = Data::new((60, 1), (Order::C, 0), Rows::all(60), |_, _| 0.1, |_, r| (r % 2) as f64);
    let map = fit_any(&registry().build("smartcore.standard_scaler").unwrap(), &data, 2).unwrap();
    assert!(outcome(&map, &data).iter().all(|v| v.abs() < 1e-15));
}

#[test]
fn classes_that_are_missing_get_zero_and_a_single_class_is_certain() {
    for (name, built) in all_kinds() {
        let Built::Learner(learner) = &built else { continue };
        if !learner.predicts().classifies() {
            continue;
        }
        // Classes 1 and 3 of five.
        let target = |_: &[f64], r: usize| if r.is_multiple_of(2) { 1.0 } else { 3.0 };
        let value =
            |r: usize, c: usize| (noise(r * 3 + c) * 3.0).floor() + if c == r % 2 { 2.0 } else { 0.0 };
        let data = Data::new((60, 3), (Order::F, 2), Rows::all_but(60, 20..30).unwrap(), value, target);
        let model = fit(&**learner, &data, Some(5)).unwrap();
        let p = predict(&*model, data.mat());
        check_probabilities(&p, 5);
        assert!(p.chunks(5).all(|row| row[0] + row[2] + row[4] == 0.0), "{name}");
        if learner.predicts() == Predicts::Votes {
            assert!(p.iter().all(|v| *v == 0.0 || *v == 1.0), "{name}");
        }
        let right = decided(&p, 5).iter().zip(&data.y).filter(|(c, y)| **c as f64 == **y).count();
        assert!(right > 40, "{name}: {right} of 60");
        check_model(&*model, data.mat());

        let data = Data::new((60, 3), (Order::C, 0), Rows::all(60), value, |_, _| 3.0);
        let model = fit(&**learner, &data, Some(5)).unwrap();
        assert!(predict(&*model, data.mat()).chunks(5).all(|row| row == [0.0, 0.0, 0.0, 1.0, 0.0]), "{name}");
        assert!(fit(&**learner, &data, Some(3)).is_err(), "{name}: class 3 of three");
        assert!(fit(&**learner, &data, None).is_err(), "{name}: classes not said");
    }
}

#[test]
fn support_vectors_declare_their_squares_and_refuse_to_be_cut_off() {
    let shape = |nrows| Shape { nrows, ncols: 5 };
    for learner in [&Svr::new() as &dyn Estimator, &Svc::new()] {
        let (one, two) = (learner.cost(shape(10_000)).peak_bytes, learner.cost(shape(20_000)).peak_bytes);
        assert!(one >= 16 * 10_000 * 10_000 && two as f64 > 3.5 * one as f64, "{}", learner.kind());
    }
    let unbounded = DecisionTreeClassifier::new();
    assert!(unbounded.cost(shape(100_000)).peak_bytes > 4 * 100_000 * 100_000);
    assert!(unbounded.max_depth(6).cost(shape(100_000)).peak_bytes < 100_000 * 1000);

    let data = Data::regression(6, 9, (Order::C, 0), 0..0);
    let error = fit(&Svr::new(), &data, None).err().unwrap();
    assert!(error.to_string().contains("6 rows and 9 columns"), "{error}");
    let data = Data::classes(6, 9, 2, (Order::C, 0), 0..0);
    assert!(fit(&Svc::new(), &data, Some(2)).err().unwrap().to_string().contains("6 rows and 9 columns"));
    // Values whose kernels keep no digits would keep smartcore going round.
    let huge = Data::new(
        (40, 2),
        (Order::C, 0),
        Rows::all(40),
        |r, c| 1e9 * noise(r * 2 + c),
        |_, r| (r % 2) as f64,
    );
    let error = fit(&Svc::new().kernel(SvmKernel::Linear), &huge, Some(2)).err().unwrap();
    assert!(error.to_string().contains("scale the columns"), "{error}");
}

#[test]
fn one_seed_gives_one_forest_and_another_seed_another() {
    let data = Data::regression(120, 5, (Order::C, 0), 30..50);
    let k = 3;
    let classes = Data::classes(120, 5, k, (Order::C, 0), 30..50);
    type Make<'a> = &'a dyn Fn(u64) -> Arc<dyn Estimator>;
    let forests: [(Make<'_>, &Data); 5] = [
        (&|s| Arc::new(RandomForestRegressor::new().n_estimators(5).random_state(s)), &data),
        (&|s| Arc::new(ExtraTreesRegressor::new().n_estimators(5).random_state(s)), &data),
        (&|s| Arc::new(XgRegressor::new().n_estimators(5).subsample(0.5).random_state(s)), &data),
        (&|s| Arc::new(RandomForestClassifier::new().n_estimators(5).random_state(s)), &classes),
        (&|s| Arc::new(Svc::new().random_state(s)), &classes),
    ];
    for (make, data) in forests {
        let run = |random_state: u64, seed: u64| {
            let ledger = Ledger::default();
            let cx = FitContext { seed, n_classes: Some(k), ..FitContext::alone(&Heap, &ledger) };
            let model = make(random_state).fit_rows(&data.train(), &cx).unwrap();
            serde_json::to_string(&predict(&*model, data.mat())).unwrap()
        };
        let kind = make(0).kind();
        assert_eq!(run(0, 1), run(0, 1), "{kind}");
        if kind != "smartcore.svc" {
            assert_ne!(run(0, 1), run(1, 1), "{kind}: random_state");
            assert_ne!(run(0, 1), run(0, 2), "{kind}: the run's seed");
        }
    }
}

#[test]
fn depths_count_splits_as_scikit_learns_do() {
    let data = Data::regression(200, 3, (Order::C, 0), 0..0);
    let nodes = |learner: &dyn Estimator, data: &Data, k| {
        let model = fit(learner, data, k).unwrap();
        model.to_record().unwrap().array("thresholds").unwrap().data.len()
    };
    for depth in [1, 2, 3] {
        assert_eq!(nodes(&DecisionTreeRegressor::new().max_depth(depth), &data, None), (2 << depth) - 1);
        let forest = RandomForestRegressor::new().n_estimators(1).max_depth(depth);
        assert_eq!(nodes(&forest, &data, None), (2 << depth) - 1);
    }
    assert_eq!(nodes(&XgRegressor::new().n_estimators(1).max_depth(1), &data, None), 3);
    let classes = Data::classes(200, 3, 3, (Order::C, 0), 0..0);
    assert_eq!(nodes(&DecisionTreeClassifier::new().max_depth(1), &classes, Some(3)), 3);
}

#[test]
fn values_that_are_no_counts_or_categories_are_named() {
    let mut data = counts(40, 3);
    data.x[3 * 30 + 2] = 1.5;
    for name in ["multinomial_nb", "categorical_nb", "bernoulli_nb:binarize=none"] {
        let built = registry().build(&format!("smartcore.{name}")).unwrap();
        let error = fit_any(&built, &data, 2).err().unwrap().to_string();
        // Counts are no 0 and 1 either.
        assert!(
            error.contains("column") && (name.starts_with('b') || error.contains("row 30, column 2")),
            "{error}"
        );
    }
    let mut data = counts(40, 3);
    data.x[3 * 30 + 2] = 4e9;
    let error = fit(&CategoricalNb::new(), &data, Some(2)).err().unwrap().to_string();
    assert!(error.contains("row 30") && error.contains("65535"), "{error}");
    // An unseen category leaves the other columns their say.
    let value = |r: usize, c: usize| if c == 0 { (r % 2) as f64 } else { ((r / 2) % 3) as f64 };
    let data = Data::new((40, 2), (Order::C, 0), Rows::all(40), value, |_, r| (r % 2) as f64);
    let model = fit(&CategoricalNb::new(), &data, Some(2)).unwrap();
    let mut out = [0.0; 2];
    let row = [1.0, 17.0];
    let x = MatRef::new(&row, 1, 2, Order::C).unwrap();
    model.predict_into(x, MatMut::new(&mut out, 1, 2, Order::C).unwrap()).unwrap();
    assert!(out[1] > 0.9, "{out:?}");
}

#[test]
fn a_stack_of_smartcores_learners_reads_a_mapped_file_without_a_copy_for_any_number_of_folds() {
    let dir = tempfile::tempdir().unwrap();
    let (n, p) = (3000, 4);
    for order in [Order::C, Order::F] {
        let data = Data::regression(n, p, (order, 0), 0..0);
        let (xp, yp) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
        save_npy(&xp, data.mat()).unwrap();
        save_npy(&yp, MatRef::column_vector(&data.y)).unwrap();
        let before = std::fs::read(&xp).unwrap();
        // The mapping is read-only: a write through it would end the process.
        let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
        let learners: [(&str, Arc<dyn Estimator>); 6] = [
            ("ols", Arc::new(LinearRegression::new())),
            ("lasso", Arc::new(Lasso::new(0.01))),
            ("ridge", Arc::new(RidgeRegression::new(1.0).normalize(true))),
            ("tree", Arc::new(DecisionTreeRegressor::new().max_depth(5))),
            ("forest", Arc::new(RandomForestRegressor::new().n_estimators(5).max_depth(5))),
            ("near", Arc::new(KNeighborsRegressor::new())),
        ];
        for k in [2, 5] {
            let mut layer = Layer::new();
            for (name, learner) in &learners {
                layer = layer.learner(*name, Arc::clone(learner));
            }
            let stack = SuperLearner::new(KFold::new(k)).layer(layer).meta(RidgeRegression::new(0.1));
            let fitted = stack.fit(&x, &y).unwrap();
            assert_eq!(fitted.report().unwrap().totals.gathered_bytes, 0, "{k} folds, {order:?}");
            let predictions = fitted.predict(&x).unwrap();
            let mean = data.y.iter().sum::<f64>() / n as f64;
            let (mut errors, mut total) = (0.0, 0.0);
            for (r, y) in data.y.iter().enumerate() {
                errors += (predictions[r] - y).powi(2);
                total += (y - mean).powi(2);
            }
            assert!(errors < 0.1 * total, "{errors} of {total}");
        }
        assert_eq!(std::fs::read(&xp).unwrap(), before);
    }
}

/// A transformer of this crate before a learner of it, by name.
#[test]
fn pipelines_of_this_crate_fit_and_predict() {
    let data = Data::classes(200, 4, 2, (Order::C, 0), 50..80);
    for text in [
        "smartcore.standard_scaler | smartcore.ridge_regression:alpha=0.1",
        "smartcore.pca:n_components=2 | smartcore.decision_tree_regressor:max_depth=3",
        "smartcore.svd:n_components=2 | smartcore.k_neighbors_regressor",
    ] {
        let learner = registry().pipeline(text).unwrap();
        let model = fit(&*learner, &data, None).unwrap();
        assert!(predict(&*model, data.mat()).iter().all(|v| v.is_finite()), "{text}");
        check_model(&*model, data.mat());
    }
    let _: &dyn Transformer = &Lda::new();
}

#[test]
fn neighbours_are_saved_with_their_rows_or_by_the_place_of_their_rows() {
    use ensemble_core::{Record, RowsView, Table, Train};
    let dir = tempfile::tempdir().unwrap();
    let data = Data::classes(400, 3, 2, (Order::F, 0), 0..0);
    let (xp, yp) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
    save_npy(&xp, data.mat()).unwrap();
    save_npy(&yp, MatRef::column_vector(&data.y)).unwrap();
    let x: Arc<dyn Table> = Arc::new(MappedTable::open_npy(&xp).unwrap());
    let y: Arc<dyn Table> = Arc::new(MappedTable::open_npy(&yp).unwrap());
    let rows = Rows::all_but(400, 100..200).unwrap();
    let view = |t| RowsView::new(t, &rows).unwrap();
    let (xm, ym) = (x.as_mat(), y.as_mat());
    let train = Train::new(view(xm), view(ym)).unwrap();
    let ledger = Ledger::default();
    let cx = FitContext {
        table: Some(&x),
        target: Some(&y),
        n_classes: Some(2),
        ..FitContext::alone(&Heap, &ledger)
    };
    let mut registry = registry();
    registry.open_tables_with(ensemble_memmap::open_reference);
    for algorithm in [NeighborSearch::Linear, NeighborSearch::CoverTree] {
        let model = KNeighborsClassifier::new().algorithm(algorithm).fit_rows(&train, &cx).unwrap();
        let want = predict(&*model, data.mat());
        let (whole, small) = (dir.path().join("whole"), dir.path().join("small"));
        model.to_record().unwrap().save(&whole).unwrap();
        model.to_record_by_reference().unwrap().save(&small).unwrap();
        let size = |path| std::fs::metadata(path).unwrap().len();
        assert!(size(&whole) > 300 * 4 * 8 && size(&small) < 2048);
        for path in [&whole, &small] {
            let back = registry.load_model(&Record::load(path).unwrap()).unwrap();
            assert_eq!(predict(&*back, data.mat()), want);
        }
    }
    // Rows that had to be copied have no place.
    let copied = fit(&KNeighborsClassifier::new(), &data, Some(2)).unwrap();
    assert!(copied.to_record_by_reference().err().unwrap().to_string().contains("with its rows"));
    // A file that has changed.
    save_npy(dir.path().join("new.npy"), MatRef::new(&vec![0.5; 1200], 400, 3, Order::F).unwrap()).unwrap();
    std::fs::rename(dir.path().join("new.npy"), &xp).unwrap();
    let error = registry.load_model(&Record::load(&dir.path().join("small")).unwrap()).err().unwrap();
    assert!(error.to_string().contains("x.npy"), "{error}");
}

#[test]
fn a_stack_of_smartcores_classifiers_reads_a_mapped_file_without_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (n, k) = (2400, 3);
    let data = Data::classes(n, 4, k, (Order::C, 0), 0..0);
    let (xp, yp) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
    save_npy(&xp, data.mat()).unwrap();
    save_npy(&yp, MatRef::column_vector(&data.y)).unwrap();
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let registry = registry();
    let layer = [
        "gaussian_nb",
        "decision_tree_classifier:max_depth=5",
        "random_forest_classifier:n_estimators=10,max_depth=5",
        "k_neighbors_classifier",
        "logistic_regression",
    ]
    .iter()
    .fold(Layer::new(), |layer, text| {
        layer.learner(*text, registry.pipeline(&format!("smartcore.{text}")).unwrap())
    });
    let meta = registry.pipeline("smartcore.logistic_regression").unwrap();
    let stack = SuperLearner::new(KFold::new(3)).layer(layer).meta(meta);
    let fitted = stack.fit(&x, &y).unwrap();
    let report = fitted.report().unwrap();
    assert_eq!(report.totals.gathered_bytes, 0);
}

#[test]
fn least_squares_is_right_wherever_columns_lie_and_whatever_their_units() {
    let n = 600;
    let value = |r: usize, c: usize| (0..12).map(|k| noise(1000 * (r * 3 + c) + k)).sum::<f64>() - 6.0;
    let scattered = |r: usize| (0..12).map(|k| noise(7_000_000 + 1000 * r + k)).sum::<f64>() - 6.0;
    let target = |row: &[f64], r: usize| row[0] - 2.0 * row[1] + 3.0 * row[2] + 0.3 * scattered(r) + 50.0;
    let rmse = |solver: LinearSolver, place: &dyn Fn(usize, f64) -> f64| {
        let base = Data::new((n, 3), (Order::C, 0), Rows::all(n), value, target);
        let y = base.y.clone();
        let data = Data::new((n, 3), (Order::C, 0), Rows::all(n), |r, c| place(c, value(r, c)), |_, r| y[r]);
        let ledger = Ledger::default();
        let learner = LinearRegression::new().solver(solver);
        let model = learner.fit_rows(&data.train(), &FitContext::alone(&Heap, &ledger)).unwrap();
        let predicted = predict(&*model, data.mat());
        (predicted.iter().zip(&y).map(|(p, y)| (p - y).powi(2)).sum::<f64>() / n as f64).sqrt()
    };
    for solver in [LinearSolver::Svd, LinearSolver::Qr] {
        let near = rmse(solver, &|_, v| v);
        assert!((0.28..0.32).contains(&near), "{near}");
        for (what, place) in [
            ("means of 1e5", &(|_, v| v + 1e5) as &dyn Fn(usize, f64) -> f64),
            ("means of 1e7", &|_, v| v + 1e7),
            ("means of 1e9", &|_, v| v + 1e9),
            ("means of 1e12", &|_, v| v + 1e12),
            ("microseconds of a month", &|c, v| if c == 0 { 1.7e15 + 6e11 * v } else { v }),
            ("one column times 1e100", &|c, v| if c == 1 { 1e100 * v } else { v }),
            ("one column times 1e-100", &|c, v| if c == 1 { 1e-100 * v } else { v }),
        ] {
            let far = rmse(solver, place);
            assert!((far - near).abs() < 1e-3, "{what}, {solver:?}: {far} for {near}");
        }
    }
}

#[test]
fn columns_whose_squares_underflow_are_named() {
    let value = |r: usize, c: usize| noise(r * 3 + c) * if c == 1 { 1e-170 } else { 1.0 };
    let data = Data::new((60, 3), (Order::C, 0), Rows::all(60), value, |row, _| row[0]);
    for text in ["smartcore.linear_regression", "smartcore.ridge_regression", "smartcore.lasso"] {
        let error = fit_any(&registry().build(text).unwrap(), &data, 2).err().unwrap();
        assert!(matches!(error.kind(), ErrorKind::Underflow { column: 1, .. }), "{text}: {error}");
    }
}

#[test]
fn the_scaler_leaves_a_column_of_roundings_alone() {
    let value = |r: usize, _| 300.0 * if r.is_multiple_of(3) { 1.0 } else { 1.0 + f64::EPSILON };
    let data = Data::new((200, 1), (Order::C, 0), Rows::all(200), value, |_, r| (r % 2) as f64);
    let map = fit_any(&registry().build("smartcore.standard_scaler").unwrap(), &data, 2).unwrap();
    assert!(outcome(&map, &data).iter().all(|v| v.abs() < 1e-12));
}
