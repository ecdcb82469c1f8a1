//! One test per trap of linfa 0.8.1. Where the fault can be shown, it is: a linfa that mends it fails here, and the cure can go.
#![allow(missing_docs, clippy::disallowed_methods)]

mod support;

#[allow(unused_imports)]
use ensemble_core::{ErrorKind, Estimator, MatRef, Order, Shape, Transformer};
#[allow(unused_imports)]
use linfa::{DatasetBase, traits::*};
#[allow(unused_imports)]
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, array};
#[allow(unused_imports)]
use support::*;

#[cfg(feature = "elasticnet")]
#[test]
fn elastic_net_finds_a_line_far_from_zero_where_linfa_does_not() {
    let x: Vec<f64> = (100..120).map(f64::from).collect();
    let y: Vec<f64> = x.iter().map(|v| 2.0 * v + 1.0).collect();
    let data = DatasetBase::new(ArrayView2::from_shape((20, 1), &x).unwrap(), ArrayView1::from(&y));
    let bare = linfa_elasticnet::ElasticNet::params().penalty(1e-6).fit(&data).unwrap();
    assert!(bare.intercept() > 200.0 && bare.hyperplane()[0] < 0.1, "linfa does not centre the rows");
    for learner in [
        Box::new(ensemble_linfa::ElasticNet::new().alpha(1e-9).tol(1e-12)) as Box<dyn Estimator>,
        Box::new(ensemble_linfa::Lasso::new().alpha(1e-9).tol(1e-12)),
        Box::new(ensemble_linfa::Ridge::new().alpha(1e-9).tol(1e-12)),
        Box::new(ensemble_linfa::MultiTaskElasticNet::new().alpha(1e-9).tol(1e-12)),
    ] {
        let model = fit(&*learner, c_order(&x, 20, 1), &y, None).unwrap();
        let form = model.as_linear().unwrap();
        assert!((form.coefficients[0] - 2.0).abs() < 1e-8 && (form.intercept - 1.0).abs() < 1e-6, "{form:?}");
    }
}

#[cfg(feature = "elasticnet")]
#[test]
fn a_ridge_never_stops_in_linfa_and_how_near_it_came_is_told_here() {
    let x = rows(50, 3, 1);
    let y = numbers(&x, 3);
    let data = DatasetBase::new(ArrayView2::from_shape((50, 3), &x).unwrap(), ArrayView1::from(&y));
    let bare = linfa_elasticnet::ElasticNet::ridge().penalty(0.1).max_iterations(777).fit(&data).unwrap();
    assert_eq!(bare.n_steps(), 777, "linfa's duality gap of a ridge never closes");
    // Two nearly equal columns take far more sweeps than these.
    let near: Vec<f64> = x.chunks_exact(3).flat_map(|r| [r[0], r[0] + 1e-4 * r[1]]).collect();
    let learner = ensemble_linfa::Ridge::new().alpha(1e-9).tol(1e-10).max_iter(5);
    let ended = fit(&learner, c_order(&near, 50, 2), &y, None).unwrap().convergence().unwrap();
    assert!(!ended.converged && ended.steps == Some(5) && ended.gap.unwrap() > 1e-10, "{ended:?}");
    let learner = ensemble_linfa::Ridge::new();
    let ended = fit(&learner, c_order(&x, 50, 3), &y, None).unwrap().convergence().unwrap();
    assert!(ended.converged && ended.steps == Some(1000) && ended.gap.unwrap() < 1e-4, "{ended:?}");
}

#[cfg(feature = "elasticnet")]
#[test]
fn columns_that_linfa_would_pass_over_are_refused_or_0() {
    let mut x = rows(50, 2, 1);
    let y: Vec<f64> = x.chunks_exact(2).map(|r| r[0]).collect();
    x.chunks_exact_mut(2).for_each(|r| r[0] *= 1e-9);
    let learner = ensemble_linfa::Lasso::new().alpha(1e-12);
    let error = fit(&learner, c_order(&x, 50, 2), &y, None).err().unwrap().to_string();
    assert!(error.contains("column 0") && error.contains("scale"), "{error}");
    x.chunks_exact_mut(2).for_each(|r| r[0] = 1e6 + 0.1);
    let model = fit(&learner, c_order(&x, 50, 2), &y, None).unwrap();
    assert_eq!(model.as_linear().unwrap().coefficients[0], 0.0);
}

#[cfg(feature = "linear")]
#[test]
fn least_squares_refuses_columns_that_others_determine() {
    let x = rows(100, 3, 1);
    let y = numbers(&x, 3);
    let twice: Vec<f64> = x.chunks_exact(3).flat_map(|r| [r[0], r[1], r[0] + r[1]]).collect();
    let data = DatasetBase::new(ArrayView2::from_shape((100, 3), &twice).unwrap(), ArrayView1::from(&y));
    assert!(
        linfa_linear::LinearRegression::new().fit(&data).is_ok(),
        "linfa answers with arbitrary coefficients"
    );
    let error =
        fit(&ensemble_linfa::LinearRegression::new(), c_order(&twice, 100, 3), &y, None).err().unwrap();
    assert!(error.to_string().contains("column 2"), "{error}");
    let constant: Vec<f64> = x.chunks_exact(3).flat_map(|r| [r[0], 5.0, r[1]]).collect();
    let error =
        fit(&ensemble_linfa::LinearRegression::new(), c_order(&constant, 100, 3), &y, None).err().unwrap();
    assert!(error.to_string().contains("column 1"), "{error}");
    let bare = ensemble_linfa::LinearRegression::new().fit_intercept(false);
    assert!(
        fit(&bare, c_order(&constant, 100, 3), &y, None).is_ok(),
        "a constant column is an intercept of one's own"
    );
}

#[cfg(feature = "linear")]
#[test]
fn isotonic_regression_sorts_and_pools_where_linfa_does_neither() {
    let bare = |x: Array2<f64>, y: Array1<f64>| {
        let model = linfa_linear::IsotonicRegression::new().fit(&DatasetBase::new(x.clone(), y)).unwrap();
        model.predict(&x).to_vec()
    };
    let own = |x: &[f64], y: &[f64]| {
        let x = c_order(x, x.len(), 1);
        predict(&*fit(&ensemble_linfa::IsotonicRegression::new(), x, y, None).unwrap(), x)
    };
    let (x, y) = ([3.0, 1.0, 2.0, 0.0], [30.0, 10.0, 20.0, 0.0]);
    assert_ne!(
        bare(array![[3.0], [1.0], [2.0], [0.0]], Array1::from(y.to_vec())),
        y,
        "linfa needs sorted rows"
    );
    assert_eq!(own(&x, &y), y);
    let (x, y) = ([0.0, 1.0, 2.0, 3.0], [1.0, 5.0, 6.0, 2.0]);
    assert_eq!(
        bare(array![[0.0], [1.0], [2.0], [3.0]], Array1::from(y.to_vec())),
        [3.5; 4],
        "linfa pools too far"
    );
    let level = 13.0 / 3.0;
    assert_eq!(own(&x, &y), [1.0, level, level, level]);
}

#[cfg(feature = "linear")]
#[test]
fn a_generalised_model_of_many_rows_leaves_its_starting_point() {
    let (n, p) = (20_000, 3);
    let x = rows(n, p, 1);
    let y: Vec<f64> = numbers(&x, p).iter().map(|v| v.exp() / 10.0).collect();
    let data = DatasetBase::new(ArrayView2::from_shape((n, p), &x).unwrap(), ArrayView1::from(&y));
    let bare = linfa_linear::TweedieRegressor::params().power(1.5).alpha(1e-3).tol(1e-6).fit(&data).unwrap();
    assert!(
        bare.coef.iter().all(|b| *b == 0.0),
        "linfa's first step overflows and it returns where it began"
    );
    for power in [1.0, 1.5, 2.0, 2.5, 3.0] {
        let learner = ensemble_linfa::TweedieRegressor::new().power(power).alpha(1e-6);
        let model = fit(&learner, c_order(&x, n, p), &y, None).unwrap();
        let out = predict(&*model, c_order(&x, n, p));
        let mean = y.iter().sum::<f64>() / n as f64;
        let error = |of: &dyn Fn(usize) -> f64| -> f64 { (0..n).map(|i| (y[i] - of(i)).powi(2)).sum() };
        assert!(error(&|i| out[i]) < 0.2 * error(&|_| mean), "power {power}");
    }
    let error = |power: f64, y: &[f64]| {
        fit(&ensemble_linfa::TweedieRegressor::new().power(power), c_order(&x[..9], 3, 3), y, None)
            .err()
            .unwrap()
    };
    assert!(error(1.0, &[1.0, -1.0, 2.0]).to_string().contains("0 or more"));
    assert!(error(2.0, &[1.0, 0.0, 2.0]).to_string().contains("above 0"));
    assert!(error(1.0, &[0.0, 0.0, 0.0]).to_string().contains("mean"));
    assert!(matches!(error(0.5, &[1.0; 3]).kind(), ErrorKind::Parameter { .. }));
}

#[cfg(feature = "logistic")]
#[test]
fn a_multinomial_loss_that_linfa_gets_wrong_is_refused() {
    let mut x = rows(300, 2, 1);
    let y = classes(&x, 2, 3);
    x.iter_mut().for_each(|v| *v *= 2000.0);
    let learner = ensemble_linfa::LogisticRegression::new().c(1e6);
    match fit(&learner, c_order(&x, 300, 2), &y, Some(3)) {
        Err(e) => assert!(e.to_string().contains("linfa"), "{e}"),
        Ok(model) => {
            let out = predict(&*model, c_order(&x, 300, 2));
            let right = decided(&out, 3).iter().zip(&y).filter(|(a, b)| **a == **b as usize).count();
            assert!(right > 200, "{right} of 300");
        }
    }
}

#[cfg(feature = "trees")]
#[test]
fn linfas_trees_decide_ties_at_random_and_ours_for_the_lowest_class() {
    use linfa_trees::DecisionTree;
    let x = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    let y = [2.0, 1.0, 2.0, 1.0, 0.0, 0.0];
    let labels: Array1<usize> = y.iter().map(|v| *v as usize).collect();
    let owned = Array2::from_shape_vec((6, 1), x.to_vec()).unwrap();
    let said: std::collections::BTreeSet<usize> = (0..200)
        .map(|_| {
            let tree = DecisionTree::params().fit(&DatasetBase::new(owned.view(), labels.view())).unwrap();
            tree.predict(&owned)[0]
        })
        .collect();
    assert!(said.len() > 1, "linfa's ties are decided by the order of a HashMap: {said:?}");
    let model = fit(&ensemble_linfa::DecisionTreeClassifier::new(), c_order(&x, 6, 1), &y, Some(3)).unwrap();
    let out = predict(&*model, c_order(&x[..1], 1, 1));
    assert_eq!(out, [1.0 / 3.0; 3]);
    assert_eq!(decided(&out, 3), [0]);
}

#[cfg(feature = "trees")]
#[test]
fn trees_of_many_classes_are_the_same_bits_twenty_times() {
    let n = 400;
    let x: Vec<f64> = rows(n, 3, 1).iter().map(|v| (v * 8.0).floor()).collect();
    let mut random = Random(3);
    let y: Vec<f64> = (0..n).map(|_| (random.next() * 7.0).floor()).collect();
    let learner = ensemble_linfa::DecisionTreeClassifier::new();
    let first = predict(&*fit(&learner, c_order(&x, n, 3), &y, Some(7)).unwrap(), c_order(&x, n, 3));
    for _ in 0..20 {
        let again = std::thread::scope(|s| {
            s.spawn(|| predict(&*fit(&learner, c_order(&x, n, 3), &y, Some(7)).unwrap(), c_order(&x, n, 3)))
                .join()
                .unwrap()
        });
        assert!(again == first);
    }
}

#[cfg(feature = "ensemble")]
#[test]
fn linfas_forests_vote_at_random_with_one_seed() {
    use linfa_ensemble::EnsembleLearnerParams;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    let n = 100;
    let x = Array2::from_shape_vec((n, 3), rows(n, 3, 1)).unwrap();
    let y: Array1<usize> = classes(&rows(n, 3, 1), 3, 3).iter().map(|c| *c as usize).collect();
    let data = DatasetBase::new(x.clone(), y);
    let said: std::collections::BTreeSet<Vec<usize>> = (0..30)
        .map(|_| {
            let tree = linfa_trees::DecisionTree::<f64, usize>::params().max_depth(Some(3));
            let params = EnsembleLearnerParams::new_fixed_rng(tree, ChaCha8Rng::seed_from_u64(1));
            let forest = params.ensemble_size(2).fit(&data).unwrap();
            let votes: Array1<usize> = forest.predict(&x);
            votes.to_vec()
        })
        .collect();
    assert!(said.len() > 1, "linfa's votes are tied by the order of a HashMap");
}

#[cfg(feature = "ensemble")]
#[test]
fn forests_of_many_classes_are_the_same_bits_twenty_times() {
    let n = 200;
    let x: Vec<f64> = rows(n, 3, 1).iter().map(|v| (v * 8.0).floor()).collect();
    let y = classes(&rows(n, 3, 1), 3, 5);
    let x = c_order(&x, n, 3);
    for learner in [
        Box::new(ensemble_linfa::RandomForestClassifier::new().n_estimators(8)) as Box<dyn Estimator>,
        Box::new(ensemble_linfa::BaggingClassifier::new().n_estimators(8)),
        Box::new(ensemble_linfa::AdaBoostClassifier::new().n_estimators(8)),
    ] {
        let first = predict(&*fit(&*learner, x, &y, Some(5)).unwrap(), x);
        for _ in 0..20 {
            assert!(predict(&*fit(&*learner, x, &y, Some(5)).unwrap(), x) == first, "{}", learner.kind());
        }
    }
}

#[cfg(feature = "trees")]
#[test]
fn a_deep_tree_of_60_000_rows_fits_predicts_and_drops() {
    let n = 60_000;
    let x: Vec<f64> = (0..n).map(|i| i as f64).collect();
    // Each split takes one row off the end.
    let y: Vec<f64> = (0..n).map(|i| (i % 2) as f64).collect();
    let learner =
        ensemble_linfa::DecisionTreeClassifier::new().max_depth(Some(1000)).min_impurity_decrease(1e-15);
    let model = fit(&learner, c_order(&x, n, 1), &y, Some(2)).unwrap();
    assert!(model.bytes() > 1000 * 20, "the tree is deep: {}", model.bytes());
    predict(&*model, c_order(&x[..10], 10, 1));
    drop(model);
    let shape = Shape { nrows: n, ncols: 1 };
    assert!(learner.cost(shape).peak_bytes > (2 * 1000 * n) as u64, "marks of rows per level are declared");
}

#[cfg(feature = "trees")]
#[test]
fn a_column_that_linfas_trees_take_as_constant_is_refused() {
    let mut x = rows(100, 2, 1);
    let y = classes(&x, 2, 2);
    x.chunks_exact_mut(2).for_each(|r| r[1] *= 1e-7);
    let error =
        fit(&ensemble_linfa::DecisionTreeClassifier::new(), c_order(&x, 100, 2), &y, Some(2)).err().unwrap();
    assert!(error.to_string().contains("column 1") && error.to_string().contains("1e-5"), "{error}");
}

#[cfg(feature = "bayes")]
#[test]
fn multinomial_bayes_prints_nothing_where_linfa_prints_its_state() {
    let fits = |name: &str| {
        let program = std::env::current_exe().unwrap();
        let out = std::process::Command::new(program)
            .args(["--exact", name, "--nocapture"])
            .env("PRINTS", "1")
            .output()
            .unwrap();
        assert!(out.status.success());
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    assert!(fits("linfas_multinomial_fit").contains("multinomial_nb.rs:78"), "linfa has a dbg! left in");
    let own = fits("our_multinomial_fit");
    assert!(!own.contains("multinomial_nb.rs"), "{own}");
}

#[cfg(feature = "bayes")]
#[test]
fn linfas_multinomial_fit() {
    if std::env::var_os("PRINTS").is_some() {
        let data = DatasetBase::new(array![[1.0, 2.0], [3.0, 1.0]], array![0_usize, 1]);
        linfa_bayes::MultinomialNb::params().fit(&data).unwrap();
    }
}

#[cfg(feature = "bayes")]
#[test]
fn our_multinomial_fit() {
    let x = c_order(&[1.0, 2.0, 3.0, 1.0], 2, 2);
    fit(&ensemble_linfa::MultinomialNb::new(), x, &[0.0, 1.0], Some(2)).unwrap();
    let x = c_order(&[1.0, -2.0, 3.0, 1.0], 2, 2);
    let error = fit(&ensemble_linfa::MultinomialNb::new(), x, &[0.0, 1.0], Some(2)).err().unwrap();
    assert!(error.to_string().contains("column 1"), "{error}");
}

#[cfg(feature = "bayes")]
#[test]
fn gaussian_bayes_stays_a_distribution_where_likelihoods_underflow() {
    use linfa_bayes::NaiveBayes;
    let mut x = rows(100, 40, 1);
    let y = classes(&x, 40, 2);
    let owned = Array2::from_shape_vec((100, 40), x.clone()).unwrap();
    let labels: Array1<usize> = y.iter().map(|c| *c as usize).collect();
    let bare = linfa_bayes::GaussianNb::params().fit(&DatasetBase::new(owned, labels)).unwrap();
    let model = fit(&ensemble_linfa::GaussianNb::new(), c_order(&x, 100, 40), &y, Some(2)).unwrap();
    x.iter_mut().for_each(|v| *v += 50.0);
    let far = Array2::from_shape_vec((100, 40), x.clone()).unwrap();
    assert!(
        bare.predict_proba(far.view()).0.iter().any(|v| !v.is_finite()),
        "linfa's shares of zero likelihoods"
    );
    for row in predict(&*model, c_order(&x, 100, 40)).chunks_exact(2) {
        assert!((row[0] + row[1] - 1.0).abs() < 1e-12);
    }
    let flat = [1.0, 2.0, 1.0, 3.0, 1.0, 4.0];
    let learner = ensemble_linfa::GaussianNb::new().var_smoothing(0.0);
    let error = fit(&learner, c_order(&flat, 3, 2), &[0.0, 1.0, 1.0], Some(2)).err().unwrap();
    assert!(error.to_string().contains("column 0"), "{error}");
}

#[cfg(feature = "svm")]
#[test]
fn the_kernels_square_is_in_the_cost_and_a_budget_refuses_it_with_the_figure() {
    use ensemble_core::{DenseTable, KFold, Layer, MemoryBudget, SuperLearner};
    let shape = Shape { nrows: 100_000, ncols: 10 };
    for learner in [&ensemble_linfa::Svr::new() as &dyn Estimator, &ensemble_linfa::Svc::new()] {
        assert!(learner.cost(shape).peak_bytes >= 80_000_000_000);
    }
    let (n, p) = (4000, 3);
    let values = rows(n, p, 1);
    let y = DenseTable::column(numbers(&values, p));
    let x = DenseTable::new(values, n, p, Order::C).unwrap();
    let learner = SuperLearner::new(KFold::new(2))
        .layer(Layer::new().learner("svr", ensemble_linfa::Svr::new()))
        .meta(ensemble_linfa::Svr::new())
        .budget(MemoryBudget::bytes(50 << 20));
    let error = learner.fit(&x, &y).err().unwrap();
    assert!(matches!(error.kind(), ErrorKind::Budget { need, .. } if *need > 8 * 2000 * 2000), "{error}");
}

#[cfg(feature = "nn")]
#[test]
fn a_ball_tree_as_deep_as_its_equal_rows_is_built_asked_and_dropped() {
    use ensemble_linfa::{Algorithm, KNeighborsRegressor};
    let n = 12_000;
    let x = vec![1.0; n];
    let y: Vec<f64> = (0..n).map(|i| i as f64).collect();
    for algorithm in [Algorithm::BallTree, Algorithm::KdTree, Algorithm::Linear] {
        let learner = KNeighborsRegressor::new().n_neighbors(3).algorithm(algorithm).leaf_size(1);
        let model = fit(&learner, c_order(&x, n, 1), &y, None).unwrap();
        assert_eq!(
            predict(&*model, c_order(&[2.0], 1, 1)),
            [1.0],
            "{algorithm:?}: the first rows of equal ones"
        );
    }
}

#[cfg(feature = "nn")]
#[test]
fn rows_that_linfas_k_d_tree_panics_on_are_a_sentence() {
    use ensemble_linfa::{Algorithm, KNeighborsRegressor};
    let (x, y) = (rows(50, 3, 1), numbers(&rows(50, 3, 1), 3));
    let table: std::sync::Arc<dyn ensemble_core::Table> =
        std::sync::Arc::new(ensemble_core::DenseTable::new(transposed(&x, 50, 3), 50, 3, Order::F).unwrap());
    let target: std::sync::Arc<dyn ensemble_core::Table> =
        std::sync::Arc::new(ensemble_core::DenseTable::column(y.clone()));
    let ledger = ensemble_core::Ledger::default();
    let cx = ensemble_core::FitContext {
        table: Some(&table),
        target: Some(&target),
        ..ensemble_core::FitContext::alone(&ensemble_core::Heap, &ledger)
    };
    let all = ensemble_core::Rows::all(50);
    let train = ensemble_core::Train::new(
        ensemble_core::RowsView::new(table.as_mat(), &all).unwrap(),
        ensemble_core::RowsView::new(target.as_mat(), &all).unwrap(),
    )
    .unwrap();
    let error = KNeighborsRegressor::new().algorithm(Algorithm::KdTree).fit_rows(&train, &cx).err().unwrap();
    assert!(error.to_string().contains("Fortran"), "{error}");
    assert!(KNeighborsRegressor::new().fit_rows(&train, &cx).is_ok(), "auto takes another index");
    let error = KNeighborsRegressor::new().n_neighbors(51).fit_rows(&train, &cx).err().unwrap();
    assert!(error.to_string().contains("50"), "{error}");
    let huge = vec![1e200; 50];
    assert!(fit(&KNeighborsRegressor::new(), c_order(&huge, 50, 1), &y, None).is_err());
}

#[cfg(feature = "preprocessing")]
#[test]
fn whitening_refuses_what_has_no_inverse_and_a_row_of_zeros_stays() {
    use ensemble_linfa::{NormScaler, Whitener, Whitening};
    let x = rows(50, 2, 1);
    let y = vec![0.0; 50];
    let twice: Vec<f64> = x.chunks_exact(2).flat_map(|r| [r[0], r[1], 2.0 * r[0]]).collect();
    for method in [Whitening::Pca, Whitening::Zca, Whitening::Cholesky] {
        let own = Whitener::new().method(method);
        let error = fit_transform(&own, c_order(&twice, 50, 3), &y).err().unwrap();
        assert!(error.to_string().contains("column 2"), "{error}");
        assert!(fit_transform(&own, c_order(&x[..2], 1, 2), &y[..1]).is_err(), "one row");
        assert!(fit_transform(&own, c_order(&x[..4], 2, 2), &y[..2]).is_err(), "two rows, two columns");
    }
    let map = fit_transform(&NormScaler::new(), c_order(&x, 50, 2), &y).unwrap();
    assert_eq!(transform(&*map, c_order(&[0.0, 0.0, 3.0, 4.0], 2, 2)), [0.0, 0.0, 0.6, 0.8]);
}

#[cfg(all(feature = "elasticnet", feature = "linear", feature = "nn"))]
#[test]
fn a_super_learner_of_linfas_learners_gathers_no_row_of_a_mapped_table() {
    use ensemble_core::{KFold, Layer, SuperLearner};
    use ensemble_memmap::{MappedTable, save_npy};
    let (n, p) = (8192, 4);
    let values = rows(n, p, 1);
    let y = numbers(&values, p);
    let dir = tempfile::tempdir().unwrap();
    let (xp, yp) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
    save_npy(&xp, c_order(&values, n, p)).unwrap();
    save_npy(&yp, MatRef::column_vector(&y)).unwrap();
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let fitted = SuperLearner::new(KFold::new(4))
        .layer(
            Layer::new()
                .learner("net", ensemble_linfa::ElasticNet::new().alpha(0.01))
                .learner("ols", ensemble_linfa::LinearRegression::new())
                .learner("near", ensemble_linfa::KNeighborsRegressor::new()),
        )
        .meta(ensemble_linfa::Ridge::new())
        .fit(&x, &y)
        .unwrap();
    let report = fitted.report().unwrap();
    assert_eq!(report.totals.gathered_bytes, 0);
    assert!(report.as_planned, "plan and ledger agree");
    let path = dir.path().join("model");
    fitted.save(&path).unwrap();
    let loaded = ensemble_core::FittedEnsemble::load(&path, &registry()).unwrap();
    assert_eq!(loaded.predict(&x).unwrap(), fitted.predict(&x).unwrap());
}

#[cfg(feature = "reduction")]
#[test]
fn components_that_linfas_solver_misses_are_a_sentence() {
    let (n, p) = (2000, 20);
    let x: Vec<f64> =
        rows(n, p, 2).iter().enumerate().map(|(i, v)| v * 10_f64.powi((i % p % 6) as i32)).collect();
    let y = vec![0.0; n];
    for k in [None, Some(3)] {
        let error =
            fit_transform(&ensemble_linfa::Pca::new().n_components(k), c_order(&x, n, p), &y).err().unwrap();
        assert!(error.to_string().contains("scale the columns first"), "{error}");
    }
    let own = ensemble_linfa::Pca::new().n_components(Some(21));
    assert!(fit_transform(&own, c_order(&x, n, p), &y).is_err());
}

#[cfg(feature = "nn")]
#[test]
fn rows_that_crowd_take_no_ball_tree_unless_it_is_asked_for() {
    let (n, p) = (20_000, 16);
    let x: Vec<f64> = rows(n, p, 2).iter().map(|v| if *v < 1.8 { 0.0 } else { *v }).collect();
    let y: Vec<f64> = (0..n).map(|i| i as f64).collect();
    let start = std::time::Instant::now();
    let learner = ensemble_linfa::KNeighborsRegressor::new().n_neighbors(1);
    let model = fit(&learner, c_order(&x, n, p), &y, None).unwrap();
    assert_eq!(predict(&*model, c_order(&x[..p], 1, p)), [0.0]);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

/// Mean log loss of a saved model's probabilities.
#[cfg(feature = "logistic")]
fn log_loss(model: &dyn ensemble_core::Model, x: MatRef<'_>, y: &[f64], k: usize) -> f64 {
    let out = predict(model, x);
    out.chunks_exact(k).zip(y).map(|(row, class)| -row[*class as usize].ln()).sum::<f64>() / y.len() as f64
}

#[cfg(feature = "logistic")]
#[test]
fn logistic_regression_is_at_its_optimum_wherever_columns_lie() {
    let (n, p) = (600, 4);
    let base = rows(n, p, 1);
    for k in [2, 3] {
        let y: Vec<f64> = classes(&base, p, 3).iter().map(|c| c.min((k - 1) as f64)).collect();
        let exact = ensemble_linfa::LogisticRegression::new().tol(1e-9).max_iter(10_000);
        let best =
            log_loss(&*fit(&exact, c_order(&base, n, p), &y, Some(k)).unwrap(), c_order(&base, n, p), &y, k);
        for shift in [0.0, 100.0, 1000.0, 1e6] {
            // One column shifted the other way, and one of them in other units.
            let x: Vec<f64> = base
                .chunks_exact(p)
                .flat_map(|r| [r[0] + shift, r[1] - shift, 1e-2 * (r[2] + shift), r[3]])
                .collect();
            let y_of =
                |x: &[f64]| fit(&ensemble_linfa::LogisticRegression::new(), c_order(x, n, p), &y, Some(k));
            let Ok(model) = y_of(&x) else {
                // linfa's multinomial loss may be of no use there, which is said.
                assert!(k > 2 && shift > 0.0);
                continue;
            };
            let loss = log_loss(&*model, c_order(&x, n, p), &y, k);
            let at = model.convergence().unwrap();
            println!("{k} classes, shift {shift}: {loss} for {best}, {at:?}");
            assert!(at.converged, "{at:?}");
            // The third column's coefficient is dear in these units, wherever it lies.
            let scaled: Vec<f64> =
                base.chunks_exact(p).flat_map(|r| [r[0], r[1], 1e-2 * r[2], r[3]]).collect();
            let want = log_loss(
                &*fit(&exact, c_order(&scaled, n, p), &y, Some(k)).unwrap(),
                c_order(&scaled, n, p),
                &y,
                k,
            );
            assert!((loss - want).abs() < 2e-3, "{k} classes, shift {shift}: {loss} for {want}");
        }
        assert!(best < 0.7);
    }
}

#[cfg(feature = "logistic")]
#[test]
fn linfas_own_logistic_regression_stalls_where_columns_lie_far_from_zero() {
    let (n, p) = (600, 4);
    let base = rows(n, p, 1);
    let y: Vec<usize> = classes(&base, p, 3).iter().map(|c| c.min(1.0) as usize).collect();
    let mean_loss = |shift: f64| {
        let x = Array2::from_shape_vec((n, p), base.iter().map(|v| v + shift).collect()).unwrap();
        let data = DatasetBase::new(x.clone(), Array1::from(y.clone()));
        let bare = linfa_logistic::LogisticRegression::default()
            .gradient_tolerance(1e-4 * n as f64)
            .fit(&data)
            .unwrap();
        let sign = if bare.labels().pos.class == 1 { 1.0 } else { -1.0 };
        let scores = x.dot(bare.params()) + bare.intercept();
        let losses = scores.iter().zip(&y).map(|(s, c)| {
            let right = sign * s * if *c == 1 { 1.0 } else { -1.0 };
            (-right).max(0.0) + (-right.abs()).exp().ln_1p()
        });
        losses.sum::<f64>() / n as f64
    };
    let (near, far) = (mean_loss(0.0), mean_loss(1000.0));
    println!("{near} {far}");
    assert!(far > near + 0.02, "{near} {far}");
}

#[cfg(feature = "preprocessing")]
#[test]
fn scalers_leave_a_column_of_roundings_alone() {
    // 300 and its neighbour by turns: linfa scales up what differs by more than 2.2e-16, whatever the mean.
    let x: Vec<f64> = (0..200)
        .flat_map(|i| [300.0 * if i % 3 == 0 { 1.0 } else { 1.0 + f64::EPSILON }, f64::from(i)])
        .collect();
    let view = ArrayView2::from_shape((200, 2), &x).unwrap();
    let bare = linfa_preprocessing::linear_scaling::LinearScaler::standard()
        .fit(&DatasetBase::new(view, ArrayView1::from(&x[..200])))
        .unwrap();
    assert!(bare.scales()[0] > 1e10, "linfa makes a direction of it");
    for scaler in [
        &ensemble_linfa::StandardScaler::new() as &dyn Transformer,
        &ensemble_linfa::MinMaxScaler::new(),
        &ensemble_linfa::StandardScaler::new().with_mean(false),
    ] {
        let map = fit_transform(scaler, c_order(&x, 200, 2), &x[..200]).unwrap();
        let affine = map.as_affine().unwrap();
        assert_eq!(affine.scale().unwrap()[0], 1.0);
        assert!(affine.scale().unwrap()[1] < 0.1);
    }
}

#[cfg(feature = "elasticnet")]
#[test]
fn columns_whose_squares_underflow_are_named() {
    let mut x = rows(50, 2, 1);
    let y = numbers(&x, 2);
    x.chunks_exact_mut(2).for_each(|r| r[1] *= 1e-170);
    for learner in [
        Box::new(ensemble_linfa::Lasso::new()) as Box<dyn Estimator>,
        Box::new(ensemble_linfa::Ridge::new()),
        Box::new(ensemble_linfa::ElasticNet::new().fit_intercept(false)),
    ] {
        let error = fit(&*learner, c_order(&x, 50, 2), &y, None).err().unwrap();
        assert!(matches!(error.kind(), ErrorKind::Underflow { column: 1, .. }), "{error}");
    }
}
