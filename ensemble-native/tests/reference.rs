//! scikit-learn's results, from merged statistics.

mod support;

use std::{ops::Range, sync::Arc};

use ensemble_core::{Estimator, MatRef, Order, Pipeline, Registry, Transformer};
use ensemble_native::{ElasticNet, Lasso, LinearRegression, MinMaxScaler, Ridge, StandardScaler};
use support::{Problem, distance, npy, numbers, predict, reference};

fn train() -> Problem {
    let (shape, x) = npy("X_train.npy");
    Problem { x, y: npy("y_train.npy").1, p: shape[1] }
}

fn folds(n: usize, k: usize) -> Vec<Range<usize>> {
    let mut start = 0;
    (0..k)
        .map(|fold| {
            let len = n / k + usize::from(fold < n % k);
            start += len;
            start - len..start
        })
        .collect()
}

/// The learner that a name in the reference stands for, and the agreement wanted.
fn learner(name: &str) -> (Arc<dyn Estimator>, f64) {
    let exact = |alpha: f64| Lasso::new(alpha).tol(1e-13).max_iter(1_000_000);
    let net = |alpha: f64| ElasticNet::new(alpha).tol(1e-13).max_iter(1_000_000);
    let behind = |transformer: Arc<dyn Transformer>, rest: &str| -> (Arc<dyn Estimator>, f64) {
        let (inner, tol) = learner(rest);
        (Arc::new(Pipeline::new(vec![transformer], inner)), tol)
    };
    if let Some(rest) = name.strip_prefix("ss_") {
        return behind(Arc::new(StandardScaler::new()), rest);
    }
    if let Some(rest) = name.strip_prefix("mm_") {
        return behind(Arc::new(MinMaxScaler::new()), rest);
    }
    match name {
        "ols" => (Arc::new(LinearRegression::new()), 1e-12),
        "ols_noint" => (Arc::new(LinearRegression::new().fit_intercept(false)), 1e-12),
        "ridge_1" | "ridge_1_default" => (Arc::new(Ridge::new(1.0)), 1e-12),
        "ridge_0.1" => (Arc::new(Ridge::new(0.1)), 1e-12),
        "ridge_1_noint" => (Arc::new(Ridge::new(1.0).fit_intercept(false)), 1e-12),
        "lasso_1" => (Arc::new(exact(1.0)), 1e-11),
        "lasso_0.1" => (Arc::new(exact(0.1)), 1e-11),
        "lasso_0.1_noint" => (Arc::new(exact(0.1).fit_intercept(false)), 1e-11),
        "enet_1" => (Arc::new(net(1.0)), 1e-11),
        "enet_0.1" => (Arc::new(net(0.1)), 1e-11),
        "enet_0.1_noint" => (Arc::new(net(0.1).fit_intercept(false)), 1e-11),
        "lasso_1_default" => (Arc::new(Lasso::new(1.0)), 1e-11),
        // scikit-learn stops somewhat before the optimum; these are nearer to it, as is checked below.
        "lasso_0.1_default" => (Arc::new(Lasso::new(0.1)), 1e-7),
        "enet_1_default" => (Arc::new(ElasticNet::new(1.0)), 1e-7),
        "enet_0.1_default" => (Arc::new(ElasticNet::new(0.1)), 1e-7),
        _ => panic!("no learner for '{name}'"),
    }
}

#[test]
fn fits_on_all_rows_are_scikit_learns() {
    let (train, reference) = (train(), reference());
    let (shape, test) = npy("X_test.npy");
    let test = MatRef::new(&test, shape[0], shape[1], Order::C).unwrap();
    for (name, want) in reference["fit"].as_object().unwrap() {
        let (learner, tol) = learner(name);
        let model = train.fit(learner.as_ref());
        let form = model.as_linear().unwrap();
        let coefficients = numbers(&want["coef"]);
        let far = distance(form.coefficients, &coefficients);
        assert!(far < tol || coefficients.iter().all(|c| *c == 0.0), "{name}: coefficients off by {far:e}");
        for (got, want) in form.coefficients.iter().zip(&coefficients) {
            assert!(*want != 0.0 || *got == 0.0, "{name}: {got} should be 0");
        }
        let want_intercept = want["intercept"].as_f64().unwrap();
        let off = (form.intercept - want_intercept).abs() / want_intercept.abs().max(1.0);
        assert!(off < 4.0 * tol, "{name}: intercept off by {off:e}");
        let far = distance(&predict(model.as_ref(), test), &numbers(&want["pred_test"]));
        assert!(far < tol, "{name}: predictions off by {far:e}");
    }
}

#[test]
fn defaults_end_nearer_to_the_optimum_than_scikit_learns() {
    let (train, reference) = (train(), reference());
    for name in ["lasso_1", "lasso_0.1", "enet_1", "enet_0.1"] {
        let coefficients = |name: &str| numbers(&reference["fit"][name]["coef"]);
        let (optimum, theirs) = (coefficients(name), coefficients(&format!("{name}_default")));
        let model = train.fit(learner(&format!("{name}_default")).0.as_ref());
        let ours = distance(model.as_linear().unwrap().coefficients, &optimum);
        let theirs = distance(&theirs, &optimum);
        assert!(ours <= theirs.max(1e-11), "{name}: {ours:e}, scikit-learn {theirs:e}");
    }
}

#[test]
fn fits_on_complements_of_folds_are_scikit_learns() {
    let (train, reference) = (train(), reference());
    for (name, want) in reference["fold_coefs"].as_object().unwrap() {
        let (k, name) = name.strip_prefix('K').unwrap().split_once('_').unwrap();
        let (learner, tol) = learner(name);
        let models = train.fit_folds(learner.as_ref(), &folds(2000, k.parse().unwrap()));
        for (fold, (model, want)) in models.iter().zip(want.as_array().unwrap()).enumerate() {
            let form = model.as_linear().unwrap();
            let far = distance(form.coefficients, &numbers(&want["coef"]));
            assert!(far < tol, "K={k} {name} fold {fold}: coefficients off by {far:e}");
            let off = (form.intercept - want["intercept"].as_f64().unwrap()).abs();
            assert!(off < 10.0 * tol, "K={k} {name} fold {fold}: intercept off by {off:e}");
        }
    }
}

#[test]
fn out_of_fold_predictions_are_scikit_learns_with_and_without_scalers() {
    let train = train();
    let plain =
        ["ols", "ols_noint", "ridge_1", "lasso_0.1", "lasso_1", "enet_0.1", "enet_1", "lasso_0.1_default"];
    let scaled = ["ols", "ridge_1", "lasso_0.1"];
    let names = plain
        .iter()
        .map(|n| String::from(*n))
        .chain(scaled.iter().flat_map(|n| [format!("ss_{n}"), format!("mm_{n}")]));
    for name in names {
        let (learner, tol) = learner(&name);
        for k in [2, 3, 5, 10] {
            let folds = folds(2000, k);
            let models = train.fit_folds(learner.as_ref(), &folds);
            let mut got = Vec::with_capacity(2000);
            for (model, fold) in models.iter().zip(&folds) {
                got.extend(predict(model.as_ref(), train.rows(fold.clone())));
            }
            let far = distance(&got, &npy(&format!("oof_K{k}_{name}.npy")).1);
            assert!(far < tol, "K={k} {name}: predictions off by {far:e}");
        }
    }
}

#[test]
fn the_same_learners_come_from_text() {
    let mut registry = Registry::new();
    ensemble_native::register(&mut registry);
    let train = train();
    for (text, name) in [
        ("native.linear_regression", "ols"),
        ("native.ridge:alpha=1", "ridge_1"),
        ("native.lasso:alpha=0.1,tol=1e-13,max_iter=1000000", "lasso_0.1"),
        ("native.elastic_net:alpha=0.1,tol=1e-13,max_iter=1000000,fit_intercept=False", "enet_0.1_noint"),
        ("native.standard_scaler | native.lasso:alpha=0.1,tol=1e-13,max_iter=1000000", "ss_lasso_0.1"),
    ] {
        let (one, two) =
            (train.fit(registry.pipeline(text).unwrap().as_ref()), train.fit(learner(name).0.as_ref()));
        let (one, two) = (one.as_linear().unwrap(), two.as_linear().unwrap());
        assert_eq!((one.coefficients, one.intercept), (two.coefficients, two.intercept), "{text}");
    }
    for (text, part) in [
        ("native.ridge:alpha=-1", "alpha=-1"),
        ("native.lasso:max_iter=0", "max_iter=0"),
        ("native.elastic_net:l1_ratio=2", "l1_ratio=2"),
        ("native.normalizer:norm=l3", "norm=l3"),
        ("native.min_max_scaler:feature_range_min=2", "feature_range_min=2"),
        ("native.mean:alpha=1", "takes none"),
    ] {
        let error = registry.build(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}
