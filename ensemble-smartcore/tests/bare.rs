//! Through the adapter and by smartcore itself on a matrix of its own: the same bits.
#![allow(missing_docs, clippy::disallowed_methods)]

mod support;

use ensemble_core::{Estimator, Model, Order};
use ensemble_smartcore::*;
use smartcore::{
    ensemble::{
        extra_trees_regressor as et, random_forest_classifier as rfc, random_forest_regressor as rfr,
    },
    linalg::basic::{arrays::Array, matrix::DenseMatrix},
    linear::{elastic_net as en, lasso as la, linear_regression as lr, ridge_regression as rr},
    tree::{decision_tree_classifier as dtc, decision_tree_regressor as dtr},
    xgboost::{XGRegressor, XGRegressorParameters},
};
use support::*;

type X = DenseMatrix<f64>;
type Y = Vec<f64>;

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn linear_bits(model: &dyn Model) -> Vec<u64> {
    let form = model.as_linear().unwrap();
    bits(&[form.coefficients, &[form.intercept]].concat())
}

#[test]
fn linear_models_on_rows_have_smartcores_coefficients() {
    let n = 60;
    for (layout, hole) in layouts(n) {
        let data = Data::regression(n, 4, layout, hole);
        let (x, y) = data.dense();
        let of = |c: &X, b: f64| bits(&c.iterator(0).copied().chain([b]).collect::<Vec<_>>());
        for (ours, theirs) in [
            (LinearSolver::Svd, lr::LinearRegressionSolverName::SVD),
            (LinearSolver::Qr, lr::LinearRegressionSolverName::QR),
        ] {
            let model = fit(&LinearRegression::new().solver(ours), &data, None).unwrap();
            let parameters = lr::LinearRegressionParameters::default().with_solver(theirs);
            let bare = lr::LinearRegression::<f64, f64, X, Y>::fit(&x, &y, parameters).unwrap();
            assert_eq!(linear_bits(&*model), of(bare.coefficients(), *bare.intercept()));
            check_model(&*model, data.mat());
        }
        let model = fit(&RidgeRegression::new(0.7).normalize(true), &data, None).unwrap();
        let parameters = rr::RidgeRegressionParameters::default().with_alpha(0.7);
        let bare = rr::RidgeRegression::<f64, f64, X, Y>::fit(&x, &y, parameters).unwrap();
        assert_eq!(linear_bits(&*model), of(bare.coefficients(), *bare.intercept()));

        let model = fit(&Lasso::new(0.1).normalize(true), &data, None).unwrap();
        let parameters = la::LassoParameters::default().with_alpha(0.1).with_lazy_normalization(true);
        let bare = la::Lasso::<f64, f64, X, Y>::fit(&x, &y, parameters).unwrap();
        assert_eq!(linear_bits(&*model), of(bare.coefficients(), *bare.intercept()));

        // smartcore's elastic net is right for targets of mean 0 alone; the adapter hands it those.
        let model = fit(&ElasticNet::new(0.1).l1_ratio(0.3).normalize(true), &data, None).unwrap();
        let parameters = en::ElasticNetParameters::default()
            .with_alpha(0.1)
            .with_l1_ratio(0.3)
            .with_lazy_normalization(true);
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        let centred: Y = y.iter().map(|v| v - mean).collect();
        let bare = en::ElasticNet::<f64, f64, X, Y>::fit(&x, &centred, parameters).unwrap();
        assert_eq!(linear_bits(&*model), of(bare.coefficients(), *bare.intercept() + mean));
    }
}

/// The mixed seed, as the adapter computes it from `support::fit`'s 11 and `random_state` 0 or 5.
fn mixed(random_state: u64) -> u64 {
    let mut z = 11 ^ random_state.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[test]
fn regression_trees_predict_what_smartcores_do() {
    let n = 150;
    for (layout, hole) in layouts(n) {
        let data = Data::regression(n, 5, layout, hole);
        let (x, y) = data.dense();
        let all = data.dense_all();
        let same = |learner: &dyn Estimator, bare: Vec<f64>| {
            let model = fit(learner, &data, None).unwrap();
            assert_eq!(bits(&predict(&*model, data.mat())), bits(&bare), "{}", learner.kind());
            check_model(&*model, data.mat());
        };
        let bare = |p: dtr::DecisionTreeRegressorParameters| {
            dtr::DecisionTreeRegressor::<f64, f64, X, Y>::fit(&x, &y, p).unwrap().predict(&all).unwrap()
        };
        let p = dtr::DecisionTreeRegressorParameters { seed: Some(mixed(0)), ..Default::default() };
        same(&DecisionTreeRegressor::new(), bare(p.clone()));
        // scikit-learn's depth 3 is four levels of nodes.
        let p = p.with_max_depth(4).with_min_samples_leaf(4).with_min_samples_split(10);
        same(&DecisionTreeRegressor::new().max_depth(3).min_samples_leaf(4).min_samples_split(10), bare(p));

        let p = rfr::RandomForestRegressorParameters::default().with_n_trees(7).with_m(3).with_seed(mixed(5));
        let bare =
            rfr::RandomForestRegressor::<f64, f64, X, Y>::fit(&x, &y, p).unwrap().predict(&all).unwrap();
        let ours =
            RandomForestRegressor::new().n_estimators(7).max_features(MaxFeatures::Count(3)).random_state(5);
        same(&ours, bare);

        let p = et::ExtraTreesRegressorParameters::default().with_n_trees(7).with_m(5).with_seed(mixed(0));
        let bare = et::ExtraTreesRegressor::<f64, f64, X, Y>::fit(&x, &y, p).unwrap().predict(&all).unwrap();
        same(&ExtraTreesRegressor::new().n_estimators(7), bare);

        let p = XGRegressorParameters::default()
            .with_n_estimators(8)
            .with_max_depth(3)
            .with_subsample(0.7)
            .with_seed(mixed(5));
        let bare = XGRegressor::<f64, f64, X, Y>::fit(&x, &y, p).unwrap().predict(&all).unwrap();
        same(&XgRegressor::new().n_estimators(8).max_depth(3).subsample(0.7).random_state(5), bare);
    }
}

#[test]
fn classification_trees_decide_as_smartcores_do() {
    let (n, k) = (150, 3);
    for (layout, hole) in layouts(n) {
        let data = Data::classes(n, 4, k, layout, hole);
        let (x, y) = data.dense();
        let y: Vec<u32> = y.iter().map(|v| *v as u32).collect();
        let all = data.dense_all();
        let same = |learner: &dyn Estimator, bare: Vec<u32>| {
            let model = fit(learner, &data, Some(k)).unwrap();
            let p = predict(&*model, data.mat());
            check_probabilities(&p, k);
            let bare: Vec<usize> = bare.into_iter().map(|c| c as usize).collect();
            assert_eq!(decided(&p, k), bare, "{}", learner.kind());
            check_model(&*model, data.mat());
        };
        for (ours, theirs) in [
            (Criterion::Gini, dtc::SplitCriterion::Gini),
            (Criterion::Entropy, dtc::SplitCriterion::Entropy),
            (Criterion::ClassificationError, dtc::SplitCriterion::ClassificationError),
        ] {
            let mut p = dtc::DecisionTreeClassifierParameters::default()
                .with_criterion(theirs.clone())
                .with_max_depth(4)
                .with_min_samples_leaf(3);
            p.seed = Some(mixed(0));
            let bare = dtc::DecisionTreeClassifier::<f64, u32, X, Vec<u32>>::fit(&x, &y, p).unwrap();
            let tree = DecisionTreeClassifier::new().criterion(ours).max_depth(3).min_samples_leaf(3);
            same(&tree, bare.predict(&all).unwrap());

            let p = rfc::RandomForestClassifierParameters::default()
                .with_criterion(theirs)
                .with_n_trees(9)
                .with_m(2)
                .with_max_depth(6)
                .with_seed(mixed(0));
            let bare = rfc::RandomForestClassifier::<f64, u32, X, Vec<u32>>::fit(&x, &y, p).unwrap();
            let forest = RandomForestClassifier::new().criterion(ours).n_estimators(9).max_depth(5);
            same(&forest, bare.predict(&all).unwrap());
        }
    }
    // Leaves of a shallow tree are shares, not certainties.
    let data = Data::classes(n, 4, k, (Order::C, 0), 0..0);
    let model = fit(&DecisionTreeClassifier::new().max_depth(1), &data, Some(k)).unwrap();
    assert!(predict(&*model, data.mat()).iter().any(|p| (0.05..0.95).contains(p)));
}

#[test]
fn neighbors_are_smartcores_up_to_the_order_of_sums_and_ties_go_to_the_first_row() {
    use smartcore::{
        algorithm::neighbour::KNNAlgorithmName,
        metrics::distance::Distances,
        neighbors::{
            KNNWeightFunction,
            knn_regressor::{KNNRegressor, KNNRegressorParameters},
        },
    };
    let n = 90;
    for (layout, hole) in layouts(n) {
        let data = Data::regression(n, 3, layout, hole);
        let (x, y) = data.dense();
        let all = data.dense_all();
        for (weights, theirs) in [
            (NeighborWeights::Uniform, KNNWeightFunction::Uniform),
            (NeighborWeights::Distance, KNNWeightFunction::Distance),
        ] {
            for (algorithm, name) in [
                (NeighborSearch::Linear, KNNAlgorithmName::LinearSearch),
                (NeighborSearch::CoverTree, KNNAlgorithmName::CoverTree),
            ] {
                let learner = KNeighborsRegressor::new().n_neighbors(4).weights(weights).algorithm(algorithm);
                let model = fit(&learner, &data, None).unwrap();
                let ours = predict(&*model, data.mat());
                let p = KNNRegressorParameters::default()
                    .with_k(4)
                    .with_weight(theirs.clone())
                    .with_algorithm(name)
                    .with_distance(Distances::euclidian());
                let bare = KNNRegressor::fit(&x, &y, p).unwrap().predict(&all).unwrap();
                for (a, b) in ours.iter().zip(&bare) {
                    assert!((a - b).abs() < 1e-13 * b.abs(), "{a} {b}");
                }
                check_model(&*model, data.mat());
            }
        }
    }
    // A grid of many equal distances: both searches, and a sort by (distance, row), choose the same rows.
    let value = |r: usize, c: usize| ((r * 7 + c * r * 3) % 4) as f64;
    for (layout, hole) in layouts(n) {
        let rows = ensemble_core::Rows::all_but(n, hole).unwrap();
        let data = Data::new((n, 3), layout, rows, value, |_, r| (r * r) as f64);
        let (mat, k) = (data.mat(), 6);
        for metric in [NeighborMetric::Euclidean, NeighborMetric::Manhattan, NeighborMetric::Minkowski(3.0)] {
            let naive: Vec<f64> = (0..n)
                .map(|q| {
                    let mut by: Vec<(f64, usize)> = (0..n)
                        .filter(|r| data.rows.contains(*r))
                        .map(|r| {
                            let d = (0..3).map(|c| (mat.get(q, c) - mat.get(r, c)).abs());
                            let d = match metric {
                                NeighborMetric::Euclidean => d.map(|d| d * d).sum(),
                                NeighborMetric::Manhattan => d.sum(),
                                NeighborMetric::Minkowski(p) => d.map(|d| d.powf(p)).sum::<f64>(),
                            };
                            (d, r)
                        })
                        .collect();
                    by.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    by[..k].iter().map(|(_, r)| data.y[*r]).sum::<f64>() / k as f64
                })
                .collect();
            for algorithm in [NeighborSearch::Linear, NeighborSearch::CoverTree] {
                let learner = KNeighborsRegressor::new().n_neighbors(k).algorithm(algorithm).metric(metric);
                let model = fit(&learner, &data, None).unwrap();
                assert_eq!(predict(&*model, mat), naive, "{algorithm:?} {metric:?}");
            }
        }
    }
}

#[test]
fn neighbors_classify_by_shares_and_read_the_table_through_its_handle() {
    use std::sync::Arc;

    use ensemble_core::{DenseTable, FitContext, Heap, Ledger, RowsView, Table, Train};
    let (n, k) = (120, 3);
    let data = Data::classes(n, 3, k, (Order::C, 0), 40..70);
    let model = fit(&KNeighborsClassifier::new().weights(NeighborWeights::Distance), &data, Some(k)).unwrap();
    check_probabilities(&predict(&*model, data.mat()), k);
    check_model(&*model, data.mat());
    assert!(model.bytes() > (90 * 4 * 8) as u64, "rows of a borrowed table are copied");

    let x: Arc<dyn Table> = Arc::new(DenseTable::new(data.x.clone(), n, 3, Order::C).unwrap());
    let y: Arc<dyn Table> = Arc::new(DenseTable::column(data.y.clone()));
    let view = |t| RowsView::new(t, &data.rows).unwrap();
    let (xm, ym) = (x.as_mat(), y.as_mat());
    let train = Train::new(view(xm), view(ym)).unwrap();
    let ledger = Ledger::default();
    let cx = FitContext {
        table: Some(&x),
        target: Some(&y),
        n_classes: Some(k),
        ..FitContext::alone(&Heap, &ledger)
    };
    let kept = KNeighborsClassifier::new().weights(NeighborWeights::Distance).fit_rows(&train, &cx).unwrap();
    assert_eq!(predict(&*kept, data.mat()), predict(&*model, data.mat()));
    assert_eq!(model.bytes() - kept.bytes(), (90 * 4 * 8) as u64, "nothing is copied when a handle is lent");
}

#[test]
fn naive_bayes_and_logistic_regression_decide_as_smartcores_do() {
    use ensemble_core::Rows;
    use smartcore::{
        linear::logistic_regression as lg,
        naive_bayes::{bernoulli, categorical, gaussian, multinomial},
    };
    let n = 120;
    for k in [2, 3] {
        for (layout, hole) in layouts(n) {
            let data = Data::classes(n, 4, k, layout, hole.clone());
            let (x, y) = data.dense();
            let y: Vec<u32> = y.iter().map(|v| *v as u32).collect();
            let all = data.dense_all();
            let same = |learner: &dyn Estimator, data: &Data, bare: Vec<u32>| {
                let model = fit(learner, data, Some(k)).unwrap();
                let p = predict(&*model, data.mat());
                check_probabilities(&p, k);
                let bare: Vec<usize> = bare.into_iter().map(|c| c as usize).collect();
                assert_eq!(decided(&p, k), bare, "{}", learner.kind());
                check_model(&*model, data.mat());
                model
            };
            let bare =
                gaussian::GaussianNB::fit(&x, &y, gaussian::GaussianNBParameters { priors: None }).unwrap();
            let model = same(&GaussianNb::new().var_smoothing(0.0), &data, bare.predict(&all).unwrap());
            let record = model.to_record().unwrap();
            assert_eq!(bits(&record.array("means").unwrap().data), bits(&bare.theta().concat()));
            assert_eq!(bits(&record.array("variances").unwrap().data), bits(&bare.var().concat()));

            let p = bernoulli::BernoulliNBParameters::default().with_alpha(0.5).with_binarize(0.9);
            let bare = bernoulli::BernoulliNB::fit(&x, &y, p).unwrap();
            same(&BernoulliNb::new().alpha(0.5).binarize(0.9), &data, bare.predict(&all).unwrap());

            let p = lg::LogisticRegressionParameters::default().with_alpha(0.5);
            let bare = lg::LogisticRegression::fit(&x, &y, p).unwrap();
            let model = same(&LogisticRegression::new().alpha(0.5), &data, bare.predict(&all).unwrap());
            let record = model.to_record().unwrap();
            let values = |m: &X| bits(&m.iterator(0).copied().collect::<Vec<_>>());
            assert_eq!(bits(&record.array("coefficients").unwrap().data), values(bare.coefficients()));
            assert_eq!(bits(&record.array("intercepts").unwrap().data), values(bare.intercept()));

            // Counts.
            let counts = Data::new(
                (n, 4),
                layout,
                Rows::all_but(n, hole).unwrap(),
                |r, c| (noise(r * 4 + c) * 3.0).floor() + if c == (r * 7 + r / 5) % k { 2.0 } else { 0.0 },
                |_, r| ((r * 7 + r / 5) % k) as f64,
            );
            let whole = |m: DenseMatrix<f64>| {
                let (r, c) = m.shape();
                let values = m.iterator(0).map(|v| *v as u32).collect();
                DenseMatrix::new(r, c, values, false).unwrap()
            };
            let (x, all) = (whole(counts.dense().0), whole(counts.dense_all()));
            let y: Vec<u32> = counts.dense().1.iter().map(|v| *v as u32).collect();
            let bare = multinomial::MultinomialNB::fit(&x, &y, Default::default()).unwrap();
            same(&MultinomialNb::new(), &counts, bare.predict(&all).unwrap());
            let bare = categorical::CategoricalNB::fit(&x, &y, Default::default()).unwrap();
            same(&CategoricalNb::new(), &counts, bare.predict(&all).unwrap());
        }
    }
}

#[test]
fn support_vector_machines_are_smartcores() {
    use smartcore::svm::{
        Kernels,
        svc::{MultiClassSVC, SVC, SVCParameters},
        svr::{SVR, SVRParameters},
    };
    let n = 80;
    for (layout, hole) in layouts(n) {
        let data = Data::regression(n, 3, layout, hole.clone());
        let (x, y) = data.dense();
        let all = data.dense_all();
        let gamma = 0.4;
        let model = fit(&Svr::new().gamma(Gamma::Value(gamma)).c(2.0), &data, None).unwrap();
        let p = SVRParameters::default().with_c(2.0).with_kernel(Kernels::rbf().with_gamma(gamma));
        let bare = SVR::fit(&x, &y, &p).unwrap().predict(&all).unwrap();
        assert_eq!(bits(&predict(&*model, data.mat())), bits(&bare));
        check_model(&*model, data.mat());

        for k in [2, 3] {
            // Classes far enough apart that no vote is a tie, which smartcore would break at random.
            let data = Data::new(
                (n, 3),
                layout,
                ensemble_core::Rows::all_but(n, hole.clone()).unwrap(),
                |r, c| noise(r * 3 + c) + if c == r % k { 3.0 } else { 0.0 },
                |_, r| (r % k) as f64,
            );
            let (x, y) = data.dense();
            let all = data.dense_all();
            let y: Vec<u32> = y.iter().map(|v| *v as u32).collect();
            let kernel =
                [(SvmKernel::Rbf, Kernels::rbf().with_gamma(gamma)), (SvmKernel::Linear, Kernels::linear())];
            for (ours, theirs) in kernel {
                let p = SVCParameters::default().with_kernel(theirs).with_seed(Some(mixed(0)));
                let bare: Vec<f64> = if k == 2 {
                    SVC::fit(&x, &y, &p).unwrap().predict(&all).unwrap()
                } else {
                    MultiClassSVC::fit(&x, &y, &p).unwrap().predict(&all).unwrap()
                };
                let bare: Vec<usize> = bare.iter().map(|v| *v as usize).collect();
                let model = fit(&Svc::new().kernel(ours).gamma(Gamma::Value(gamma)), &data, Some(k)).unwrap();
                let votes = predict(&*model, data.mat());
                check_probabilities(&votes, k);
                assert_eq!(decided(&votes, k), bare);
                check_model(&*model, data.mat());
            }
        }
    }
}

#[test]
fn transformers_map_rows_as_smartcores_do() {
    use ensemble_core::{FitContext, Heap, Ledger, MatMut, Record, Registry, Transformer};
    use smartcore::{
        api::{Transformer as _, UnsupervisedEstimator},
        decomposition::{lda, pca, svd},
        preprocessing::numerical,
    };
    let n = 70;
    for (layout, hole) in layouts(n) {
        let data = Data::classes(n, 4, 3, layout, hole);
        let (x, y) = data.dense();
        let y: Vec<u32> = y.iter().map(|v| *v as u32).collect();
        let all = data.dense_all();
        let same = |ours: &dyn Transformer, bare: X| {
            let ledger = Ledger::default();
            let fitted =
                ours.fit_rows(&data.train(), &FitContext::alone(&Heap, &ledger).with_classes(3)).unwrap();
            let k = fitted.n_out();
            assert_eq!((fitted.n_in(), k), (4, ours.n_out(4)));
            let map = |fitted: &dyn ensemble_core::FittedTransform| {
                let mut out = vec![0.0; n * k];
                fitted
                    .transform_block_into(data.mat(), MatMut::new(&mut out, n, k, Order::C).unwrap())
                    .unwrap();
                out
            };
            let mapped = map(&*fitted);
            for (a, b) in mapped.iter().zip(bare.iterator(0)) {
                assert!((a - b).abs() < 1e-12 * (1.0 + b.abs()), "{} {a} {b}", ours.kind());
            }
            assert!(fitted.as_affine().is_some());
            let mut registry = Registry::new();
            register(&mut registry);
            let dir = tempfile::tempdir().unwrap();
            fitted.to_record().unwrap().save(&dir.path().join("t")).unwrap();
            let back = registry.load_transform(&Record::load(&dir.path().join("t")).unwrap()).unwrap();
            assert_eq!(bits(&map(&*back)), bits(&mapped));
        };
        type Scaler = numerical::StandardScaler<f64>;
        let bare = <Scaler as UnsupervisedEstimator<X, _>>::fit(&x, Default::default()).unwrap();
        same(&StandardScaler::new(), bare.transform(&all).unwrap());
        for correlation in [false, true] {
            let p =
                pca::PCAParameters::default().with_n_components(3).with_use_correlation_matrix(correlation);
            let bare = pca::PCA::fit(&x, p).unwrap();
            same(
                &Pca::new().n_components(3).use_correlation_matrix(correlation),
                bare.transform(&all).unwrap(),
            );
        }
        let bare = svd::SVD::fit(&x, svd::SVDParameters::default().with_n_components(2)).unwrap();
        same(&Svd::new(), bare.transform(&all).unwrap());
        let bare = lda::LDA::fit(&x, &y, lda::LDAParameters::default().with_n_components(2)).unwrap();
        same(&Lda::new().n_components(2), bare.transform(&all).unwrap());
    }
}

#[test]
fn any_regressor_of_smartcores_can_be_wrapped() {
    use ensemble_core::{FitCost, Record, Registry};
    let n = 80;
    type Trees = et::ExtraTreesRegressor<f64, f64, SharedMatrix, Vec<f64>>;
    type Line = lr::LinearRegression<f64, f64, SharedMatrix, Vec<f64>>;
    let cost = |_| FitCost::default();
    for (layout, hole) in layouts(n) {
        let data = Data::regression(n, 3, layout, hole);
        let (x, y) = data.dense();
        let all = data.dense_all();
        let p = et::ExtraTreesRegressorParameters::default().with_n_trees(3).with_seed(5);
        let trees = fit(&Wrapped::<Trees, _>::new("mine.trees", p.clone(), cost), &data, None).unwrap();
        let bare = et::ExtraTreesRegressor::<f64, f64, X, Y>::fit(&x, &y, p).unwrap().predict(&all).unwrap();
        assert_eq!(bits(&predict(&*trees, data.mat())), bits(&bare));
        let p = lr::LinearRegressionParameters::default();
        let line = fit(&Wrapped::<Line, _>::new("mine.line", p.clone(), cost), &data, None).unwrap();
        let bare = lr::LinearRegression::<f64, f64, X, Y>::fit(&x, &y, p).unwrap().predict(&all).unwrap();
        assert_eq!(bits(&predict(&*line, data.mat())), bits(&bare));
        // Saved and loaded.
        let mut registry = Registry::new();
        Wrapped::<Trees, et::ExtraTreesRegressorParameters>::register_loader(&mut registry, "mine.trees");
        Wrapped::<Line, lr::LinearRegressionParameters>::register_loader(&mut registry, "mine.line");
        let dir = tempfile::tempdir().unwrap();
        for model in [&trees, &line] {
            let path = dir.path().join("m");
            model.to_record().unwrap().save(&path).unwrap();
            let back = registry.load_model(&Record::load(&path).unwrap()).unwrap();
            assert_eq!(bits(&predict(&*back, data.mat())), bits(&predict(&**model, data.mat())));
        }
    }
}

/// What smartcore's own fits copy of a view: the bytes that the table of the README calls "1 x".
#[test]
fn only_normalised_and_decomposing_fits_copy_the_view() {
    use smartcore::{
        decomposition::{lda, pca, svd},
        linear::logistic_regression as lg,
        naive_bayes::{bernoulli, gaussian},
    };
    type S = SharedMatrix;
    let n = 60;
    for (layout, hole) in layouts(n) {
        let data = Data::classes(n, 4, 2, layout, hole);
        let (_, y) = data.dense();
        let classes: Vec<u32> = y.iter().map(|v| *v as u32).collect();
        let once = 8 * data.rows.len() as u64 * 4;
        let copies = |what: &str, want: u64, fit: &dyn Fn(&S)| {
            let copied = SharedMatrix::lend(data.train().x(), |x| {
                fit(x);
                x.copied_bytes()
            });
            assert_eq!(copied.unwrap(), want, "{what} {layout:?}");
        };
        copies("OLS stacks its own", 0, &|x| {
            lr::LinearRegression::<f64, f64, S, Y>::fit(x, &y, Default::default()).unwrap();
        });
        copies("ridge", once, &|x| {
            rr::RidgeRegression::<f64, f64, S, Y>::fit(x, &y, Default::default()).unwrap();
        });
        copies("lasso", 0, &|x| {
            let p = la::LassoParameters::default().with_lazy_normalization(true).with_alpha(0.01);
            la::Lasso::<f64, f64, S, Y>::fit(x, &y, p).unwrap();
        });
        copies("elastic net", 0, &|x| {
            let p = en::ElasticNetParameters::default().with_lazy_normalization(true).with_alpha(0.01);
            en::ElasticNet::<f64, f64, S, Y>::fit(x, &y, p).unwrap();
        });
        copies("regression tree", 0, &|x| {
            dtr::DecisionTreeRegressor::<f64, f64, S, Y>::fit(x, &y, Default::default()).unwrap();
        });
        copies("classification tree", 0, &|x| {
            dtc::DecisionTreeClassifier::<f64, u32, S, Vec<u32>>::fit(x, &classes, Default::default())
                .unwrap();
        });
        copies("forests", 0, &|x| {
            rfr::RandomForestRegressor::<f64, f64, S, Y>::fit(x, &y, Default::default()).unwrap();
            let p = rfc::RandomForestClassifierParameters::default().with_n_trees(3);
            rfc::RandomForestClassifier::<f64, u32, S, Vec<u32>>::fit(x, &classes, p).unwrap();
        });
        copies("boosting", 0, &|x| {
            let p = XGRegressorParameters::default().with_n_estimators(3);
            XGRegressor::<f64, f64, S, Y>::fit(x, &y, p).unwrap();
        });
        copies("Gaussian naive Bayes sorts its own", 0, &|x| {
            let p = gaussian::GaussianNBParameters { priors: None };
            gaussian::GaussianNB::<f64, u32, S, Vec<u32>>::fit(x, &classes, p).unwrap();
        });
        copies("Bernoulli naive Bayes", once, &|x| {
            let p = bernoulli::BernoulliNBParameters::default();
            bernoulli::BernoulliNB::<f64, u32, S, Vec<u32>>::fit(x, &classes, p).unwrap();
        });
        copies("logistic regression", 0, &|x| {
            lg::LogisticRegression::<f64, u32, S, Vec<u32>>::fit(x, &classes, Default::default()).unwrap();
        });
        copies("PCA", once, &|x| {
            pca::PCA::<f64, S>::fit(x, Default::default()).unwrap();
        });
        copies("SVD", once, &|x| {
            svd::SVD::<f64, S>::fit(x, Default::default()).unwrap();
        });
        copies("LDA", 0, &|x| {
            lda::LDA::<f64, S>::fit(x, &classes, Default::default()).unwrap();
        });
    }
}

#[test]
fn learners_that_iterate_tell_how_near_they_came_which_smartcore_does_not() {
    let n = 200;
    let data = Data::regression(n, 4, (Order::C, 0), 0..0);
    let classes = Data::classes(n, 4, 3, (Order::C, 0), 0..0);
    let ended = |learner: &dyn Estimator, data: &Data, k: Option<usize>| {
        fit(learner, data, k)
            .unwrap()
            .convergence()
            .unwrap_or_else(|| panic!("{}: nothing told", learner.kind()))
    };
    for learner in [&Lasso::new(0.01) as &dyn Estimator, &ElasticNet::new(0.01), &Svr::new()] {
        let told = ended(learner, &data, None);
        assert!(told.converged && told.steps.is_none() && told.gap.is_some(), "{}: {told:?}", learner.kind());
    }
    assert!(ended(&LogisticRegression::new(), &classes, Some(3)).converged);
    for learner in [
        &Lasso::new(0.01).max_iter(1).tol(1e-8) as &dyn Estimator,
        &ElasticNet::new(0.01).max_iter(1).tol(1e-8),
    ] {
        let told = ended(learner, &data, None);
        assert!(!told.converged && told.gap.unwrap() > 1e-8, "{}: {told:?}", learner.kind());
    }
    assert!(fit(&RidgeRegression::new(1.0), &data, None).unwrap().convergence().is_none());
}
