//! Each learner against linfa called directly on an owned array.
// With some features off, parts lie idle.
#![allow(missing_docs, clippy::disallowed_methods, dead_code, unused_imports)]

mod support;

use ensemble_core::{MatRef, Order};
use linfa::{DatasetBase, traits::*};
use ndarray::{Array1, Array2, ShapeBuilder};
use support::*;

const N: usize = 300;
const P: usize = 4;

/// The rows in three layouts: C order, with gaps between rows, Fortran order.
struct Layouts {
    c: Vec<f64>,
    gaps: Vec<f64>,
    f: Vec<f64>,
}

impl Layouts {
    fn new(c: Vec<f64>, p: usize) -> Self {
        let n = c.len() / p;
        let mut gaps = vec![9e99; n * (p + 2)];
        for (r, row) in c.chunks_exact(p).enumerate() {
            gaps[r * (p + 2)..r * (p + 2) + p].copy_from_slice(row);
        }
        Self { f: transposed(&c, n, p), gaps, c }
    }

    /// Each with an owned array of the same layout.
    fn each(&self, p: usize) -> [(MatRef<'_>, Array2<f64>); 3] {
        let n = self.c.len() / p;
        let owned = Array2::from_shape_vec((n, p), self.c.clone()).unwrap();
        let fortran = Array2::from_shape_vec((n, p).f(), self.f.clone()).unwrap();
        let strided = MatRef::with_stride(&self.gaps, n, p, Order::C, p + 2).unwrap();
        [
            (c_order(&self.c, n, p), owned.clone()),
            (strided, owned),
            (MatRef::new(&self.f, n, p, Order::F).unwrap(), fortran),
        ]
    }
}

/// The arrays of a model's record of this name.
fn saved(model: &dyn ensemble_core::Model, name: &str) -> Vec<f64> {
    model.to_record().unwrap().array(name).unwrap().data.clone()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{a} and {b}");
    }
}

#[cfg(feature = "linear")]
mod linear {
    use super::*;

    #[test]
    fn least_squares_is_linfas_to_the_bit_in_every_layout() {
        let layouts = Layouts::new(rows(N, P, 1), P);
        let y = numbers(&layouts.c, P);
        for (x, owned) in layouts.each(P) {
            for intercept in [true, false] {
                let model =
                    fit(&ensemble_linfa::LinearRegression::new().fit_intercept(intercept), x, &y, None)
                        .unwrap();
                let bare = linfa_linear::LinearRegression::new()
                    .with_intercept(intercept)
                    .fit(&DatasetBase::new(owned.clone(), Array1::from(y.clone())))
                    .unwrap();
                let form = model.as_linear().unwrap();
                assert_eq!(form.coefficients, bare.params().to_vec());
                assert_eq!(form.intercept, bare.intercept());
                close(&predict(&*model, x), &bare.predict(&owned).to_vec(), 1e-13);
            }
        }
    }

    #[test]
    fn the_normal_model_is_linfas_to_the_bit_with_the_penalty_of_a_sum() {
        let layouts = Layouts::new(rows(N, P, 1), P);
        let y = numbers(&layouts.c, P);
        for (x, owned) in layouts.each(P) {
            let model =
                fit(&ensemble_linfa::TweedieRegressor::new().alpha(0.1).tol(1e-8), x, &y, None).unwrap();
            let bare = linfa_linear::TweedieRegressor::params()
                .power(0.0)
                .alpha(0.1 * N as f64)
                .tol(1e-8 * N as f64)
                .fit(&DatasetBase::new(owned, Array1::from(y.clone())))
                .unwrap();
            let form = model.as_linear().unwrap();
            assert_eq!(form.coefficients, bare.coef.to_vec());
            assert_eq!(form.intercept, bare.intercept);
        }
    }

    #[test]
    fn generalised_models_end_where_their_objective_is_level() {
        for n in [60, 5_000] {
            for scale in [0.01, 1.0, 100.0] {
                let mut x = rows(n, P, 1);
                let y = numbers(&x, P);
                x.iter_mut().for_each(|v| *v *= scale);
                for (power, intercept) in
                    [(0.0, true), (1.0, true), (1.5, true), (2.0, true), (3.0, true), (1.0, false)]
                {
                    let (alpha, tol) = (1e-3 * scale * scale, 1e-5 * scale);
                    let learner = ensemble_linfa::TweedieRegressor::new()
                        .power(power)
                        .alpha(alpha)
                        .tol(tol)
                        .link(ensemble_linfa::Link::Log)
                        .fit_intercept(intercept)
                        .max_iter(100);
                    let model = fit(&learner, c_order(&x, n, P), &y, None)
                        .unwrap_or_else(|e| panic!("{n} {scale} {power}: {e}"));
                    let (b, b0) = (saved(&*model, "coefficients"), saved(&*model, "intercept")[0]);
                    let mut slopes: Vec<f64> = b.iter().map(|b| alpha * b / scale).chain([0.0]).collect();
                    let means = predict(&*model, c_order(&x, n, P));
                    for ((row, mean), y) in x.chunks_exact(P).zip(&means).zip(&y) {
                        let direct = (row.iter().zip(&b).map(|(x, b)| x * b).sum::<f64>() + b0).exp();
                        assert!((mean - direct).abs() < 1e-12 * direct);
                        let slope = (mean - y) * mean.powf(1.0 - power) / n as f64;
                        slopes
                            .iter_mut()
                            .zip(row.iter().chain([&scale]))
                            .for_each(|(s, v)| *s += slope * v / scale);
                    }
                    if !intercept {
                        slopes.pop();
                    }
                    let left = slopes.iter().fold(0.0_f64, |m, s| m.max(s.abs()));
                    assert!(left < 5e-5, "{n} x{scale} power {power} {intercept}: {left:e}");
                }
            }
        }
    }

    #[test]
    fn shares_between_0_and_1_are_fitted_behind_the_logit() {
        let x = rows(N, 2, 1);
        let y: Vec<f64> = x.chunks_exact(2).map(|r| 1.0 / (1.0 + (1.0 - r[0] - 0.5 * r[1]).exp())).collect();
        let learner = ensemble_linfa::TweedieRegressor::new()
            .link(ensemble_linfa::Link::Logit)
            .alpha(0.0)
            .tol(1e-9)
            .max_iter(1000);
        let model = fit(&learner, c_order(&x, N, 2), &y, None).unwrap();
        close(&predict(&*model, c_order(&x, N, 2)), &y, 1e-5);
    }

    #[test]
    fn isotonic_regression_pools_what_least_squares_pools() {
        // Each level is the greatest of the least means over intervals: the min-max formula.
        let mut random = Random(4);
        for n in [1, 2, 5, 40] {
            for distinct in [3.0, 1000.0] {
                let x: Vec<f64> = (0..n).map(|_| (random.next() * distinct).floor()).collect();
                let y: Vec<f64> = x.iter().map(|v| v / distinct + random.next()).collect();
                for sign in [1.0, -1.0] {
                    let signed: Vec<f64> = y.iter().map(|v| sign * v).collect();
                    let learner = ensemble_linfa::IsotonicRegression::new().increasing(sign > 0.0);
                    let model = fit(&learner, c_order(&x, n, 1), &signed, None).unwrap();
                    let mut at: Vec<f64> = x.clone();
                    at.sort_by(f64::total_cmp);
                    at.dedup();
                    let mean = |lo: f64, hi: f64| {
                        let inside: Vec<f64> = x
                            .iter()
                            .zip(&y)
                            .filter(|(x, _)| (lo..=hi).contains(*x))
                            .map(|(_, y)| *y)
                            .collect();
                        inside.iter().sum::<f64>() / inside.len() as f64
                    };
                    let level = |v: f64| {
                        let best = |lo: f64| {
                            at.iter()
                                .filter(|hi| **hi >= v)
                                .map(|hi| mean(lo, *hi))
                                .fold(f64::INFINITY, f64::min)
                        };
                        at.iter().filter(|lo| **lo <= v).map(|lo| best(*lo)).fold(f64::NEG_INFINITY, f64::max)
                    };
                    let want: Vec<f64> = x.iter().map(|v| sign * level(*v)).collect();
                    close(&predict(&*model, c_order(&x, n, 1)), &want, 1e-12);
                    let ends = predict(&*model, c_order(&[-1.0, 2e9], 2, 1));
                    close(&ends, &[sign * level(at[0]), sign * level(at[at.len() - 1])], 1e-12);
                }
            }
        }
    }
}

#[cfg(feature = "elasticnet")]
mod elasticnet {
    use ensemble_core::{Block, Estimator, Moments, Root, Statistic};
    use ensemble_linfa::{ElasticNet, Lasso, MultiTaskElasticNet, Ridge};

    use super::*;

    fn shifted() -> (Vec<f64>, Vec<f64>) {
        let mut x = rows(N, P, 1);
        let y = numbers(&x, P);
        x.iter_mut().enumerate().for_each(|(i, v)| *v += 100.0 * (i % P) as f64);
        (x, y)
    }

    #[test]
    fn elastic_net_is_linfas_to_the_bit_on_the_rows_it_is_given() {
        let (x, y) = shifted();
        let mut moments = Moments::new(P);
        moments.absorb(&Block { x: c_order(&x, N, P), y: &y, first_row: 0 }).unwrap();
        let root = Root::centred(&moments).scaled(((P + 1) as f64 / N as f64).sqrt());
        let own = Array2::from_shape_fn((P + 1, P).f(), |(i, j)| root.x().get(i, j));
        let target = Array1::from(root.y().to_vec());
        for (alpha, l1_ratio) in [(0.01, 0.5), (0.1, 1.0), (1.0, 0.2)] {
            let bare = linfa_elasticnet::ElasticNet::params()
                .with_intercept(false)
                .penalty(alpha)
                .l1_ratio(l1_ratio)
                .fit(&DatasetBase::new(own.clone(), target.clone()))
                .unwrap();
            let learner = ElasticNet::new().alpha(alpha).l1_ratio(l1_ratio);
            let model = fit(&learner, c_order(&x, N, P), &y, None).unwrap();
            assert_eq!(model.as_linear().unwrap().coefficients, bare.hyperplane().to_vec());
            let many = linfa_elasticnet::MultiTaskElasticNet::params()
                .with_intercept(false)
                .penalty(alpha)
                .l1_ratio(l1_ratio)
                .fit(&DatasetBase::new(own.clone(), target.clone().insert_axis(ndarray::Axis(1))))
                .unwrap();
            let learner = MultiTaskElasticNet::new().alpha(alpha).l1_ratio(l1_ratio);
            let model = fit(&learner, c_order(&x, N, P), &y, None).unwrap();
            assert_eq!(model.as_linear().unwrap().coefficients, many.hyperplane().column(0).to_vec());
        }
    }

    #[test]
    fn elastic_net_is_linfas_on_rows_that_are_centred() {
        let (x, y) = shifted();
        let mut centred = Array2::from_shape_vec((N, P), x.clone()).unwrap();
        let means = centred.mean_axis(ndarray::Axis(0)).unwrap();
        centred -= &means;
        let bare = linfa_elasticnet::ElasticNet::params()
            .penalty(0.01)
            .l1_ratio(0.5)
            .tolerance(1e-14)
            .max_iterations(100_000)
            .fit(&DatasetBase::new(centred, Array1::from(y.clone())))
            .unwrap();
        let learner = ElasticNet::new().alpha(0.01).tol(1e-14).max_iter(100_000);
        let model = fit(&learner, c_order(&x, N, P), &y, None).unwrap();
        let form = model.as_linear().unwrap();
        close(form.coefficients, &bare.hyperplane().to_vec(), 1e-8);
        let level = bare.intercept() - bare.hyperplane().dot(&means);
        close(&[form.intercept], &[level], 1e-7);
    }

    /// The slope of half the squares by each coefficient, and by the intercept, summed over the rows themselves.
    fn slopes(x: &[f64], y: &[f64], b: &[f64], b0: f64) -> Vec<f64> {
        let mut slopes = vec![0.0; P + 1];
        for (row, y) in x.chunks_exact(P).zip(y) {
            let rest = y - b0 - row.iter().zip(b).map(|(x, b)| x * b).sum::<f64>();
            slopes.iter_mut().zip(row.iter().chain([&1.0])).for_each(|(s, v)| *s -= rest * v);
        }
        slopes
    }

    #[test]
    fn scikit_learns_conditions_of_optimality_hold() {
        let (x, y) = shifted();
        // Those of the uncentred columns carry their offsets; a slope of the intercept at 0 takes them out.
        let size = 1e-6 * (N as f64);
        let view = c_order(&x, N, P);
        for (alpha, ratio) in [(0.003, 0.5), (0.03, 0.9), (0.01, 1.0)] {
            let learners: [Box<dyn Estimator>; 2] = [
                Box::new(ElasticNet::new().alpha(alpha).l1_ratio(ratio).tol(1e-15).max_iter(100_000)),
                Box::new(
                    MultiTaskElasticNet::new().alpha(alpha).l1_ratio(ratio).tol(1e-15).max_iter(100_000),
                ),
            ];
            for learner in learners {
                let model = fit(&*learner, view, &y, None).unwrap();
                let form = model.as_linear().unwrap();
                let slopes = slopes(&x, &y, form.coefficients, form.intercept);
                assert!(slopes[P].abs() < size, "{}", slopes[P]);
                let n = N as f64;
                for (s, b) in slopes.iter().zip(form.coefficients) {
                    let s = s + n * alpha * (1.0 - ratio) * b;
                    let excess = if *b == 0.0 {
                        s.abs() - n * alpha * ratio
                    } else {
                        (s + n * alpha * ratio * b.signum()).abs()
                    };
                    assert!(excess < size, "{alpha} {ratio}: slope {s} at {b}");
                }
            }
        }
        let lasso = fit(&Lasso::new().alpha(0.01).tol(1e-15), view, &y, None).unwrap();
        let net = fit(&ElasticNet::new().alpha(0.01).l1_ratio(1.0).tol(1e-15), view, &y, None).unwrap();
        assert_eq!(lasso.as_linear().unwrap().coefficients, net.as_linear().unwrap().coefficients);
        for alpha in [0.1, 1.0, 100.0] {
            let model = fit(&Ridge::new().alpha(alpha).tol(1e-12), view, &y, None).unwrap();
            let form = model.as_linear().unwrap();
            let slopes = slopes(&x, &y, form.coefficients, form.intercept);
            for (s, b) in slopes.iter().zip(form.coefficients) {
                assert!((s + alpha * b).abs() < size, "ridge {alpha}: {s} at {b}");
            }
            assert!(slopes[P].abs() < size);
        }
        let near = rows(N, P, 1);
        let learner = Ridge::new().fit_intercept(false).tol(1e-10);
        let raw = fit(&learner, c_order(&near, N, P), &y, None).unwrap();
        let form = raw.as_linear().unwrap();
        assert_eq!(form.intercept, 0.0);
        for (s, b) in self::slopes(&near, &y, form.coefficients, 0.0).iter().zip(form.coefficients) {
            assert!((s + b).abs() < size, "{s} at {b}");
        }
    }
}

#[cfg(feature = "logistic")]
mod logistic {
    use ensemble_linfa::{LogisticRegression, MultinomialLogisticRegression};

    use super::*;

    #[test]
    fn probabilities_are_linfas_with_its_labels_read() {
        let layouts = Layouts::new(rows(N, P, 1), P);
        // Class 1 is the rarer one.
        let y: Vec<f64> = classes(&layouts.c, P, 3).iter().map(|c| f64::from(u8::from(*c > 1.0))).collect();
        assert!(y.iter().sum::<f64>() < 0.4 * N as f64);
        for (x, owned) in layouts.each(P) {
            let labels: Array1<bool> = y.iter().map(|c| *c == 1.0).collect();
            let bare = linfa_logistic::LogisticRegression::default()
                .alpha(0.5)
                .gradient_tolerance(1e-4 * N as f64)
                .fit(&DatasetBase::new(owned.clone(), labels.clone()))
                .unwrap();
            assert!(!bare.labels().pos.class, "linfa's positive class is the more frequent one");
            let of_pos = bare.predict_probabilities(&owned);
            let model = fit(&LogisticRegression::new().c(2.0), x, &y, Some(2)).unwrap();
            let flipped: Vec<f64> = bare.params().iter().map(|w| -w).collect();
            assert_eq!(saved(&*model, "coefficients"), flipped);
            let out = predict(&*model, x);
            for (row, of_pos) in out.chunks_exact(2).zip(&of_pos) {
                close(row, &[*of_pos, 1.0 - of_pos], 1e-12);
            }
            let same = fit(&LogisticRegression::new().alpha(Some(0.5)), x, &y, Some(2)).unwrap();
            assert_eq!(predict(&*same, x), out);
        }
    }

    #[test]
    fn many_classes_are_linfas_multinomial_to_the_bit() {
        let layouts = Layouts::new(rows(N, P, 1), P);
        let y = classes(&layouts.c, P, 3);
        for (x, owned) in layouts.each(P) {
            let labels: Array1<usize> = y.iter().map(|c| *c as usize).collect();
            let bare = linfa_logistic::MultiLogisticRegression::default()
                .gradient_tolerance(1e-4 * N as f64)
                .fit(&DatasetBase::new(owned.clone(), labels))
                .unwrap();
            for model in [
                fit(&LogisticRegression::new(), x, &y, Some(3)).unwrap(),
                fit(&MultinomialLogisticRegression::new(), x, &y, Some(3)).unwrap(),
            ] {
                assert_eq!(
                    saved(&*model, "coefficients"),
                    bare.params().t().iter().copied().collect::<Vec<_>>()
                );
                let want: Vec<f64> = bare.predict_probabilities(&owned).iter().copied().collect();
                close(&predict(&*model, x), &want, 1e-12);
            }
        }
    }

    #[test]
    fn c_and_tol_mean_what_scikit_learns_do() {
        let x = rows(N, P, 1);
        let y: Vec<f64> = classes(&x, P, 3).iter().map(|c| c.min(1.0)).collect();
        for c in [0.01, 1.0, 10.0] {
            let learner = LogisticRegression::new().c(c).tol(1e-9).max_iter(10_000);
            let model = fit(&learner, c_order(&x, N, P), &y, Some(2)).unwrap();
            let out = predict(&*model, c_order(&x, N, P));
            let w = saved(&*model, "coefficients");
            for (j, w) in w.iter().enumerate() {
                let slope: f64 = (0..N).map(|i| (out[2 * i + 1] - y[i]) * x[i * P + j]).sum::<f64>() + w / c;
                assert!(slope.abs() < 1e-6 * N as f64, "C={c}: {slope}");
            }
        }
    }
}

#[cfg(feature = "trees")]
mod trees {
    use ensemble_linfa::{Criterion, DecisionTreeClassifier};
    use linfa_trees::{DecisionTree, SplitQuality};

    use super::*;

    #[test]
    fn trees_decide_as_linfas_do() {
        let layouts = Layouts::new(rows(N, P, 1), P);
        let y: Vec<f64> = classes(&layouts.c, P, 3).iter().map(|c| c.min(1.0)).collect();
        let labels: Array1<usize> = y.iter().map(|c| *c as usize).collect();
        let probe = rows(500, P, 8);
        let owned_probe = Array2::from_shape_vec((500, P), probe.clone()).unwrap();
        for (criterion, quality) in
            [(Criterion::Gini, SplitQuality::Gini), (Criterion::Entropy, SplitQuality::Entropy)]
        {
            for depth in [None, Some(5)] {
                for (x, owned) in layouts.each(P) {
                    let bare = DecisionTree::params()
                        .split_quality(quality)
                        .max_depth(depth)
                        .fit(&DatasetBase::new(owned, labels.clone()))
                        .unwrap();
                    let learner = DecisionTreeClassifier::new().criterion(criterion).max_depth(depth);
                    let model = fit(&learner, x, &y, Some(2)).unwrap();
                    let got = decided(&predict(&*model, c_order(&probe, 500, P)), 2);
                    let want = bare.predict(&owned_probe);
                    let differing = got.iter().zip(&want).filter(|(a, b)| a != b).count();
                    // linfa decides leaves with as many rows of each class at random.
                    assert!(differing == 0 || (depth.is_some() && differing < 10), "{differing} of 500");
                }
            }
        }
    }

    #[test]
    fn leaves_give_the_shares_of_their_training_rows() {
        let x: Vec<f64> = (0..100).map(f64::from).collect();
        let y: Vec<f64> =
            x.iter().map(|v| if *v < 40.0 { f64::from(u8::from(*v as i32 % 4 == 0)) } else { 2.0 }).collect();
        let model =
            fit(&DecisionTreeClassifier::new().max_depth(Some(1)), c_order(&x, 100, 1), &y, Some(3)).unwrap();
        let out = predict(&*model, c_order(&[0.0, 39.0, 39.5, 40.0], 4, 1));
        let (low, high) = ([0.75, 0.25, 0.0], [0.0, 0.0, 1.0]);
        assert_eq!(
            out,
            [low, low, low, high].concat(),
            "a row on the threshold goes to the rows below, as in the fit"
        );
    }
}

#[cfg(feature = "ensemble")]
mod forests {
    use ensemble_linfa::{
        AdaBoostClassifier, BaggingClassifier, DecisionTreeClassifier, RandomForestClassifier,
    };

    use super::*;

    fn errors(out: &[f64], y: &[f64], k: usize) -> usize {
        decided(out, k).iter().zip(y).filter(|(a, b)| **a != **b as usize).count()
    }

    #[test]
    fn bags_and_forests_err_less_than_their_trees_and_follow_their_seed() {
        let (x, y) = (rows(600, P, 1), classes(&rows(600, P, 1), P, 3));
        let (test, want) = (rows(2000, P, 21), classes(&rows(2000, P, 21), P, 3));
        let (x, test) = (c_order(&x, 600, P), c_order(&test, 2000, P));
        let tree =
            errors(&predict(&*fit(&DecisionTreeClassifier::new(), x, &y, Some(3)).unwrap(), test), &want, 3);
        let bag = BaggingClassifier::new().n_estimators(40);
        let forest = RandomForestClassifier::new().n_estimators(60).max_features(0.75);
        let bagged = predict(&*fit(&bag, x, &y, Some(3)).unwrap(), test);
        let grown = predict(&*fit(&forest, x, &y, Some(3)).unwrap(), test);
        assert!(errors(&bagged, &want, 3) < tree, "{} of {tree}", errors(&bagged, &want, 3));
        assert!(errors(&grown, &want, 3) < tree, "{} of {tree}", errors(&grown, &want, 3));
        assert_ne!(predict(&*fit(&bag.clone().random_state(1), x, &y, Some(3)).unwrap(), test), bagged);
    }

    #[test]
    fn a_boost_of_one_tree_is_the_tree_and_more_trees_err_less() {
        let (x, y) = (rows(600, P, 1), classes(&rows(600, P, 1), P, 3));
        let x = c_order(&x, 600, P);
        let stump =
            predict(&*fit(&DecisionTreeClassifier::new().max_depth(Some(2)), x, &y, Some(3)).unwrap(), x);
        let boost = AdaBoostClassifier::new().max_depth(Some(2));
        let one = predict(&*fit(&boost.clone().n_estimators(1), x, &y, Some(3)).unwrap(), x);
        assert_eq!(decided(&one, 3), decided(&stump, 3));
        let many = predict(&*fit(&boost.n_estimators(40), x, &y, Some(3)).unwrap(), x);
        assert!(errors(&many, &y, 3) * 3 < errors(&stump, &y, 3) * 2, "{}", errors(&many, &y, 3));
    }
}

#[cfg(feature = "bayes")]
mod bayes {
    use linfa_bayes::NaiveBayes;

    use super::*;

    /// linfa's log likelihoods, of all rows and classes.
    fn logs<'a, M: NaiveBayes<'a, f64, usize>>(model: &M, x: &Array2<f64>, k: usize) -> Vec<f64> {
        let by_class = model.joint_log_likelihood(x.view());
        (0..x.nrows()).flat_map(|i| (0..k).map(move |c| (i, c))).map(|(i, c)| by_class[&c][i]).collect()
    }

    fn shares(logs: &[f64], k: usize) -> Vec<f64> {
        let share = |row: &[f64]| -> Vec<f64> {
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|v| (v - most).exp()).sum();
            row.iter().map(|v| (v - most).exp() / sum).collect()
        };
        logs.chunks_exact(k).flat_map(share).collect()
    }

    #[test]
    fn naive_bayes_is_linfas() {
        let layouts = Layouts::new(rows(N, P, 1), P);
        let y = classes(&layouts.c, P, 3);
        let labels: Array1<usize> = y.iter().map(|c| *c as usize).collect();
        for (x, owned) in layouts.each(P) {
            let data = DatasetBase::new(owned.clone(), labels.clone());
            let model = fit(&ensemble_linfa::GaussianNb::new(), x, &y, Some(3)).unwrap();
            let bare = linfa_bayes::GaussianNb::params().fit(&data).unwrap();
            close(&predict(&*model, x), &shares(&logs(&bare, &owned, 3), 3), 1e-12);
            let model = fit(&ensemble_linfa::MultinomialNb::new().alpha(0.5), x, &y, Some(3)).unwrap();
            let bare = linfa_bayes::MultinomialNb::params().alpha(0.5).fit(&data).unwrap();
            close(&predict(&*model, x), &shares(&logs(&bare, &owned, 3), 3), 1e-12);
            let learner = ensemble_linfa::BernoulliNb::new().alpha(2.0).binarize(Some(1.0));
            let model = fit(&learner, x, &y, Some(3)).unwrap();
            let bare = linfa_bayes::BernoulliNb::params().alpha(2.0).binarize(Some(1.0)).fit(&data).unwrap();
            let yes = owned.mapv(|v| f64::from(u8::from(v > 1.0)));
            close(&predict(&*model, x), &shares(&logs(&bare, &yes, 3), 3), 1e-12);
            // The likelihood of a row of noes is a model's levels.
            let none = logs(&bare, &Array2::zeros((1, P)), 3);
            close(&saved(&*model, "levels"), &none, 1e-14);
        }
    }

    #[test]
    fn gaussian_means_and_variances_are_linfas_to_the_bit() {
        let x = rows(N, P, 1);
        let y = classes(&x, P, 3);
        let model = fit(&ensemble_linfa::GaussianNb::new(), c_order(&x, N, P), &y, Some(3)).unwrap();
        let owned = Array2::from_shape_vec((N, P), x).unwrap();
        let labels: Array1<usize> = y.iter().map(|c| *c as usize).collect();
        let bare = linfa_bayes::GaussianNb::params().fit(&DatasetBase::new(owned, labels)).unwrap();
        let json = serde_json::to_value(&bare).unwrap();
        for (c, mean) in saved(&*model, "means").chunks_exact(P).enumerate() {
            let theta = json["class_info"][c.to_string()]["theta"]["data"].as_array().unwrap();
            assert_eq!(mean, theta.iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>());
        }
    }
}

#[cfg(feature = "svm")]
mod svm {
    use ensemble_linfa::{Gamma, KernelKind, Svc, Svr};
    use linfa_svm::Svm;

    use super::*;

    const M: usize = 120;

    #[test]
    fn regressions_are_linfas_in_scikit_learns_units() {
        let layouts = Layouts::new(rows(M, P, 1), P);
        let y = numbers(&layouts.c, P);
        for (x, owned) in layouts.each(P) {
            let data = DatasetBase::new(owned.clone(), Array1::from(y.clone()));
            let params = || Svm::<f64, f64>::params().eps(1e-6).c_svr(2.0, Some(0.05));
            let own = Svr::new().c(2.0).epsilon(0.05).tol(1e-6);
            let pairs = [
                (own.clone().kernel(KernelKind::Linear), params().linear_kernel()),
                (own.clone().gamma(Gamma::Value(0.25)), params().gaussian_kernel(4.0)),
                (
                    own.clone().kernel(KernelKind::Poly).gamma(Gamma::Value(1.0)).degree(2).coef0(1.0),
                    params().polynomial_kernel(1.0, 2.0),
                ),
            ];
            for (learner, params) in pairs {
                let bare = params.fit(&data).unwrap();
                let model = fit(&learner, x, &y, None).unwrap();
                close(&predict(&*model, x), &bare.predict(&owned).to_vec(), 1e-10);
                assert_eq!(model.as_linear().is_some(), learner == own.clone().kernel(KernelKind::Linear));
            }
            // Gamma of a polynomial: on rows times its root linfa needs none.
            let gamma: f64 = 0.3;
            let scaled = owned.mapv(|v| v * gamma.sqrt());
            let bare = params()
                .polynomial_kernel(0.5, 3.0)
                .fit(&DatasetBase::new(scaled.clone(), Array1::from(y.clone())))
                .unwrap();
            let learner = own.clone().kernel(KernelKind::Poly).gamma(Gamma::Value(gamma)).coef0(0.5);
            let model = fit(&learner, x, &y, None).unwrap();
            close(&predict(&*model, x), &bare.predict(&scaled).to_vec(), 1e-3);
        }
    }

    #[test]
    fn gamma_scale_is_the_inverse_of_columns_times_variance() {
        let x = rows(M, P, 1);
        let y = numbers(&x, P);
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / x.len() as f64;
        let x = c_order(&x, M, P);
        let scale = predict(&*fit(&Svr::new(), x, &y, None).unwrap(), x);
        let value = Svr::new().gamma(Gamma::Value(1.0 / (P as f64 * variance)));
        assert_eq!(predict(&*fit(&value, x, &y, None).unwrap(), x), scale);
        let auto = predict(&*fit(&Svr::new().gamma(Gamma::Auto), x, &y, None).unwrap(), x);
        assert_eq!(predict(&*fit(&Svr::new().gamma(Gamma::Value(0.25)), x, &y, None).unwrap(), x), auto);
    }

    #[test]
    fn two_classes_are_decided_as_linfa_does_and_probabilities_are_its_own() {
        let layouts = Layouts::new(rows(M, P, 1), P);
        let y: Vec<f64> = classes(&layouts.c, P, 3).iter().map(|c| f64::from(u8::from(*c > 0.0))).collect();
        let labels: Array1<bool> = y.iter().map(|c| *c == 1.0).collect();
        for (x, owned) in layouts.each(P) {
            let params = Svm::<f64, bool>::params().eps(1e-3).pos_neg_weights(3.0, 3.0).gaussian_kernel(2.0);
            let bare = params.fit(&DatasetBase::new(owned.view(), labels.view())).unwrap();
            let own = Svc::new().c(3.0).gamma(Gamma::Value(0.5));
            let votes = predict(&*fit(&own.clone().probability(false), x, &y, Some(2)).unwrap(), x);
            let want: Vec<usize> = bare.predict(&owned).iter().map(|v| usize::from(*v)).collect();
            assert_eq!(decided(&votes, 2), want);
            let params = Svm::<f64, linfa::dataset::Pr>::params()
                .eps(1e-3)
                .pos_neg_weights(3.0, 3.0)
                .gaussian_kernel(2.0);
            let bare = params.fit(&DatasetBase::new(owned.view(), labels.view())).unwrap();
            let want: Vec<f64> = bare.predict(&owned).iter().map(|p| f64::from(**p)).collect();
            let got = predict(&*fit(&own, x, &y, Some(2)).unwrap(), x);
            let ours: Vec<f64> = got.chunks_exact(2).map(|row| row[1]).collect();
            close(&ours, &want, 1e-5);
        }
    }
}

#[cfg(feature = "nn")]
mod neighbors {
    use std::sync::Arc;

    use ensemble_core::{DenseTable, Estimator, FitContext, Heap, Ledger, Rows, RowsView, Table, Train};
    use ensemble_linfa::{Algorithm, KNeighborsClassifier, KNeighborsRegressor, Metric, Weights};

    use super::*;

    /// Rows on a grid, so that many distances are equal.
    fn grid(n: usize, p: usize) -> Vec<f64> {
        rows(n, p, 6).iter().map(|v| (v * 4.0).floor()).collect()
    }

    fn distance(metric: Metric, a: &[f64], b: &[f64]) -> f64 {
        let gaps = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        match metric {
            Metric::Euclidean => gaps.map(|g| g * g).sum::<f64>().sqrt(),
            Metric::Manhattan => gaps.sum(),
            Metric::Chebyshev => gaps.fold(0.0, f64::max),
        }
    }

    #[test]
    fn every_index_gives_the_least_distance_and_row_over_runs_and_copies_nothing() {
        for (values, p) in [(rows(N, 3, 6), 3), (grid(N, 3), 3), (grid(N, 1), 1)] {
            let y = numbers(&values, p);
            let queries = [rows(40, p, 9), grid(40, p)].concat();
            let kept = Rows::from_runs([0..90, 150..N]);
            for order in [Order::C, Order::F] {
                let laid = if order == Order::C { values.clone() } else { transposed(&values, N, p) };
                let table: Arc<dyn Table> = Arc::new(DenseTable::new(laid, N, p, order).unwrap());
                let target: Arc<dyn Table> = Arc::new(DenseTable::column(y.clone()));
                for metric in [Metric::Euclidean, Metric::Manhattan, Metric::Chebyshev] {
                    for algorithm in
                        [Algorithm::Auto, Algorithm::KdTree, Algorithm::BallTree, Algorithm::Linear]
                    {
                        for (weights, leaf_size) in [(Weights::Uniform, 30), (Weights::Distance, 4)] {
                            let learner = KNeighborsRegressor::new()
                                .n_neighbors(7)
                                .metric(metric)
                                .algorithm(algorithm)
                                .weights(weights)
                                .leaf_size(leaf_size);
                            let ledger = Ledger::default();
                            let cx = FitContext {
                                table: Some(&table),
                                target: Some(&target),
                                ..FitContext::alone(&Heap, &ledger)
                            };
                            let train = Train::new(
                                RowsView::new(table.as_mat(), &kept).unwrap(),
                                RowsView::new(target.as_mat(), &kept).unwrap(),
                            )
                            .unwrap();
                            let model = match learner.fit_rows(&train, &cx) {
                                Ok(model) => model,
                                Err(e) => {
                                    assert!(
                                        algorithm == Algorithm::KdTree && order == Order::F && p > 1,
                                        "{e}"
                                    );
                                    continue;
                                }
                            };
                            assert!(ledger.into_entries().is_empty(), "no row is copied");
                            let out = predict(&*model, c_order(&queries, 80, p));
                            for (query, got) in queries.chunks_exact(p).zip(out) {
                                let mut all: Vec<(f64, usize)> = kept
                                    .runs()
                                    .iter()
                                    .cloned()
                                    .flatten()
                                    .map(|r| (distance(metric, query, &values[r * p..(r + 1) * p]), r))
                                    .collect();
                                all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                                all.truncate(7);
                                let weight = |d: f64| match weights {
                                    Weights::Uniform => 1.0,
                                    Weights::Distance if all[0].0 == 0.0 => f64::from(u8::from(d == 0.0)),
                                    Weights::Distance => 1.0 / d,
                                };
                                let total: f64 = all.iter().map(|(d, _)| weight(*d)).sum();
                                let want = all.iter().map(|(d, r)| weight(*d) * y[*r]).sum::<f64>() / total;
                                assert!(
                                    (got - want).abs() < 1e-12,
                                    "{algorithm:?} {metric:?} {order:?}: {got} {want}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn rows_that_are_only_borrowed_are_copied_once_and_the_ledger_says_so() {
        let x = rows(N, P, 6);
        let y = classes(&x, P, 3);
        let ledger = Ledger::default();
        let cx = FitContext::alone(&Heap, &ledger).with_classes(3);
        let model =
            with_train(c_order(&x, N, P), &y, |train| KNeighborsClassifier::new().fit_rows(train, &cx))
                .unwrap();
        let bytes = ensemble_core::Totals::of(&ledger.into_entries()).gathered_bytes;
        assert_eq!(bytes, (N * P * 8) as u64);
        let out = predict(&*model, c_order(&x, N, P));
        let right = decided(&out, 3).iter().zip(&y).filter(|(a, b)| **a == **b as usize).count();
        assert!(right > N * 8 / 10, "{right}");
        for odd in [f64::NAN, f64::INFINITY, 1e200] {
            let row = [odd, 0.0, 0.0, 0.0];
            let mut values = [0.0; 3];
            let out = ensemble_core::MatMut::new(&mut values, 1, 3, Order::C).unwrap();
            assert!(model.predict_into(c_order(&row, 1, P), out).is_err(), "{odd}");
        }
    }
}

#[cfg(feature = "preprocessing")]
mod scalers {
    use ensemble_linfa::{MaxAbsScaler, MinMaxScaler, Norm, NormScaler, StandardScaler, Whitener, Whitening};
    use linfa_preprocessing::{linear_scaling::LinearScaler, norm_scaling, whitening};

    use super::*;

    fn check(
        own: &dyn ensemble_core::Transformer,
        bare: impl Fn(&Array2<f64>) -> Array2<f64>,
        tolerance: f64,
    ) {
        let layouts = Layouts::new(rows(N, P, 1), P);
        let y = numbers(&layouts.c, P);
        for (x, owned) in layouts.each(P) {
            let map = fit_transform(own, x, &y).unwrap();
            close(&transform(&*map, x), &bare(&owned).iter().copied().collect::<Vec<_>>(), tolerance);
        }
    }

    #[test]
    fn scalers_are_linfas() {
        let data = |x: &Array2<f64>| DatasetBase::from(x.clone());
        check(
            &StandardScaler::new(),
            |x| LinearScaler::standard().fit(&data(x)).unwrap().transform(x.clone()),
            0.0,
        );
        check(
            &StandardScaler::new().with_std(false),
            |x| LinearScaler::standard_no_std().fit(&data(x)).unwrap().transform(x.clone()),
            0.0,
        );
        check(
            &MaxAbsScaler::new(),
            |x| LinearScaler::max_abs().fit(&data(x)).unwrap().transform(x.clone()),
            0.0,
        );
        check(
            &MinMaxScaler::new().feature_range_min(-2.0).feature_range_max(5.0),
            |x| LinearScaler::min_max_range(-2.0, 5.0).fit(&data(x)).unwrap().transform(x.clone()),
            1e-14,
        );
        let norms = [
            (Norm::L1, norm_scaling::NormScaler::l1()),
            (Norm::L2, norm_scaling::NormScaler::l2()),
            (Norm::Max, norm_scaling::NormScaler::max()),
        ];
        for (norm, bare) in norms {
            check(&NormScaler::new().norm(norm), |x| bare.transform(x.clone()), 1e-15);
        }
    }

    #[test]
    fn without_the_mean_nothing_is_shifted() {
        let x = rows(N, P, 1);
        let y = numbers(&x, P);
        let x = c_order(&x, N, P);
        let map = fit_transform(&StandardScaler::new().with_mean(false), x, &y).unwrap();
        let zero = transform(&*map, c_order(&[0.0; P], 1, P));
        assert_eq!(zero, [0.0; P]);
    }

    #[test]
    fn whitened_columns_are_uncorrelated_and_linfas() {
        for (method, bare) in [
            (Whitening::Pca, whitening::Whitener::pca()),
            (Whitening::Zca, whitening::Whitener::zca()),
            (Whitening::Cholesky, whitening::Whitener::cholesky()),
        ] {
            let own = Whitener::new().method(method);
            check(&own, |x| bare.fit(&DatasetBase::from(x.clone())).unwrap().transform(x.clone()), 1e-12);
            let x = rows(N, P, 1);
            let y = numbers(&x, P);
            let map = fit_transform(&own, c_order(&x, N, P), &y).unwrap();
            let out = Array2::from_shape_vec((N, P), transform(&*map, c_order(&x, N, P))).unwrap();
            let covariance = out.t().dot(&out) / (N as f64 - 1.0);
            close(
                &covariance.iter().copied().collect::<Vec<_>>(),
                Array2::<f64>::eye(P).as_slice().unwrap(),
                1e-9,
            );
        }
    }
}

#[cfg(feature = "reduction")]
mod projections {
    use ensemble_core::FitContext;
    use ensemble_linfa::{GaussianRandomProjection, Pca, SparseRandomProjection};

    use super::*;

    #[test]
    fn principal_components_are_linfas() {
        let layouts = Layouts::new(rows(N, P, 1), P);
        let y = numbers(&layouts.c, P);
        for (x, owned) in layouts.each(P) {
            for (k, whiten) in [(1, false), (2, true), (P, false)] {
                let map = fit_transform(&Pca::new().n_components(Some(k)).whiten(whiten), x, &y).unwrap();
                let bare = linfa_reduction::Pca::params(k)
                    .whiten(whiten)
                    .fit(&DatasetBase::from(owned.clone()))
                    .unwrap();
                let want: Array2<f64> = bare.predict(&owned);
                close(&transform(&*map, x), &want.iter().copied().collect::<Vec<_>>(), 1e-12);
            }
        }
    }

    #[test]
    fn random_projections_keep_distances_on_average_and_follow_their_seed() {
        let (p, k) = (400, 100);
        let mut x = rows(2, p, 1);
        x.iter_mut().for_each(|v| *v -= 1.0);
        let length: f64 = x[..p].iter().map(|v| v * v).sum();
        let y = [0.0, 1.0];
        let seeds: Vec<u64> = (0..20).collect();
        let mean = |fit: &dyn Fn(u64) -> Vec<f64>| -> f64 {
            let ratio = |s: &u64| fit(*s)[..k].iter().map(|v| v * v).sum::<f64>() / length;
            seeds.iter().map(ratio).sum::<f64>() / seeds.len() as f64
        };
        let view = c_order(&x, 2, p);
        let gaussian = |s: u64| {
            let own = GaussianRandomProjection::new().n_components(Some(k)).random_state(s);
            transform(&*fit_transform(&own, view, &y).unwrap(), view)
        };
        let sparse = |s: u64| {
            let own = SparseRandomProjection::new().n_components(Some(k)).random_state(s);
            transform(&*fit_transform(&own, view, &y).unwrap(), view)
        };
        assert!((mean(&gaussian) - 1.0).abs() < 0.1, "{}", mean(&gaussian));
        assert!((mean(&sparse) - 1.0).abs() < 0.15, "{}", mean(&sparse));
        assert!(gaussian(1) == gaussian(1) && gaussian(1) != gaussian(2) && sparse(3) != sparse(4));
        let ledger = ensemble_core::Ledger::default();
        let cx = FitContext { seed: 5, ..FitContext::alone(&ensemble_core::Heap, &ledger) };
        let other = with_train(view, &y, |train| {
            ensemble_core::Transformer::fit_rows(
                &GaussianRandomProjection::new().n_components(Some(k)),
                train,
                &cx,
            )
        });
        assert_ne!(transform(&*other.unwrap(), view), gaussian(0), "the fit's seed counts too");
    }
}
