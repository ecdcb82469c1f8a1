//! Stacks fitted from statistics are those fitted from rows; faults are told by name and place.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ensemble::{
    Access, DenseTable, ErrorKind, Estimator, FitContext, FitCost, Friedman1, KFold, Layer, LearnerReport,
    Model, Monitor, NoteKind, Order, Result, Shape, SuperLearner, Table, Train,
    native::{LinearRegression, Ridge},
    registry,
};

/// The same learner, taken as one that needs rows: hides its statistics from the engine.
struct FromRows(Arc<dyn Estimator>);

impl Estimator for FromRows {
    fn kind(&self) -> String {
        self.0.kind()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn cost(&self, train: Shape) -> FitCost {
        self.0.cost(train)
    }
    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.0.fit_rows(train, cx)
    }
}

fn friedman(nrows: usize, ncols: usize) -> (DenseTable, DenseTable) {
    let (mut x, mut y) = (vec![0.0; nrows * ncols], vec![0.0; nrows]);
    Friedman1::new(5, ncols, 1.0).unwrap().rows_into(0, &mut x, &mut y);
    (DenseTable::new(x, nrows, ncols, Order::C).unwrap(), DenseTable::column(y))
}

const LAYERS: [&[&str]; 2] = [
    &[
        "native.standard_scaler | native.lasso:alpha=0.05,tol=1e-12",
        "native.min_max_scaler | native.ridge",
        "native.linear_regression",
    ],
    &["native.ridge:alpha=10", "native.standard_scaler | native.elastic_net:alpha=0.01,tol=1e-12"],
];

fn stack(wrap: impl Fn(Arc<dyn Estimator>) -> Arc<dyn Estimator>, meta: &str) -> SuperLearner {
    let registry = registry();
    let mut learner = SuperLearner::new(KFold::new(4).exact());
    for texts in LAYERS {
        let mut layer = Layer::new();
        for (j, text) in texts.iter().enumerate() {
            layer = layer.learner(format!("l{j}"), wrap(registry.pipeline(text).unwrap()));
        }
        learner = learner.layer(layer);
    }
    learner.meta(wrap(registry.pipeline(meta).unwrap()))
}

fn close(a: f64, b: f64, tolerance: f64, what: &str) {
    assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what}: {a} and {b}");
}

#[test]
fn layers_fitted_from_statistics_are_those_fitted_from_rows() {
    let (x, y) = friedman(5_000, 8);
    for meta in ["native.nnls", "native.linear_regression", "native.mean"] {
        let algebra = stack(|e| e, meta).fit(&x, &y).unwrap();
        let rows = stack(|e| Arc::new(FromRows(e)), meta).fit(&x, &y).unwrap();
        assert!(algebra.report().unwrap().as_planned && rows.report().unwrap().as_planned);
        assert_eq!(
            algebra.report().unwrap().totals.prediction_bytes,
            0,
            "{meta}: no prediction column is formed"
        );
        assert!(rows.report().unwrap().totals.prediction_bytes > 0);
        if meta == "native.nnls" {
            assert_eq!(algebra.report().unwrap().totals.data_passes, 1);
        }
        for (a, b) in algebra.predict(&x).unwrap().into_iter().zip(rows.predict(&x).unwrap()) {
            close(a, b, 1e-8, meta);
        }
        let score = |r: &LearnerReport| r.scores.as_ref().unwrap().cv_rmse_folds.clone();
        for (a, b) in algebra.report().unwrap().learners.iter().zip(&rows.report().unwrap().learners) {
            for (a, b) in score(a).into_iter().zip(score(b)) {
                close(a, b, 1e-9, "score");
            }
        }
    }
}

#[test]
fn scores_of_near_perfect_fits_are_summed_from_residuals() {
    let (x, _) = friedman(3_000, 6);
    let target = (0..3_000)
        .map(|r| 1e3 + (0..6).map(|j| x.as_mat().get(r, j) * (j + 1) as f64).sum::<f64>())
        .collect();
    let y = DenseTable::column(target);
    let fitted = SuperLearner::new(KFold::new(3))
        .layer(Layer::new().learner("ols", LinearRegression::new()))
        .fit(&x, &y)
        .unwrap();
    assert!(fitted.report().unwrap().learners[0].scores.as_ref().unwrap().cv_rmse_mean < 1e-10);
    assert_eq!(fitted.report().unwrap().totals.data_passes, 2);
}

#[test]
fn values_that_are_not_finite_are_named_by_row_and_column_in_x_and_y_also_when_shuffled() {
    let (x, y) = friedman(3_000, 6);
    let mut bad = x.as_mat().as_slice().unwrap().to_vec();
    bad[6 * 2_345 + 4] = f64::NAN;
    let bad_x = DenseTable::new(bad, 3_000, 6, Order::C).unwrap();
    let mut bad = y.as_mat().as_slice().unwrap().to_vec();
    bad[77] = f64::INFINITY;
    let bad_y = DenseTable::column(bad);
    for folds in [KFold::new(4), KFold::new(4).shuffle(3)] {
        for text in ["native.ridge", "native.k_neighbors_regressor", "native.min_max_scaler | native.mean"] {
            let learner = registry().pipeline(text).unwrap();
            for wrapped in [Arc::clone(&learner), Arc::new(FromRows(learner)) as Arc<dyn Estimator>] {
                let learner = SuperLearner::new(folds).layer(Layer::new().learner("l", wrapped));
                let error = learner.fit(&bad_x, &y).expect_err("a NaN");
                assert!(
                    matches!(error.kind(), ErrorKind::NotFinite { row: 2_345, column: 4, .. }),
                    "{text}: {error}"
                );
                let error = learner.fit(&x, &bad_y).expect_err("an infinity");
                assert!(
                    matches!(error.kind(), ErrorKind::NotFinite { row: 77, column: 0, .. }),
                    "{text}: {error}"
                );
            }
        }
    }
}

/// Panics when a certain fold is held out.
struct Panics;

impl Estimator for Panics {
    fn kind(&self) -> String {
        "test.panics".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn cost(&self, _: Shape) -> FitCost {
        FitCost::default()
    }
    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        assert!(cx.fold != Some(2), "not this fold");
        Ridge::new(1.0).fit_rows(train, cx)
    }
}

#[test]
fn a_panic_inside_a_learner_is_that_learners_error() {
    let (x, y) = friedman(500, 6);
    let learner = SuperLearner::new(KFold::new(4)).layer(Layer::new().learner("shaky", Panics));
    let error = learner.fit(&x, &y).expect_err("a panic").to_string();
    assert!(
        error.contains("'shaky'") && error.contains("fold 2") && error.contains("not this fold"),
        "{error}"
    );
}

/// Cancels after some steps.
struct Impatient(AtomicUsize);

impl Monitor for Impatient {
    fn is_cancelled(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) > 2
    }
}

#[test]
fn a_monitor_can_cancel() {
    let (x, y) = friedman(5_000, 6);
    let learner = SuperLearner::new(KFold::new(5))
        .layer(Layer::new().learner("l", Arc::new(FromRows(Arc::new(Ridge::new(1.0))))))
        .monitor(Arc::new(Impatient(AtomicUsize::new(0))));
    assert!(matches!(learner.fit(&x, &y).err().unwrap().kind(), ErrorKind::Cancelled));
}

#[test]
fn shapes_that_do_not_fit_and_budgets_that_cannot_be_kept_are_refused_before_anything_runs() {
    let (x, y) = friedman(500, 6);
    let one = || SuperLearner::new(KFold::new(4)).layer(Layer::new().learner("ols", LinearRegression::new()));
    let short = DenseTable::column(vec![0.0; 499]);
    assert!(one().plan(&x, &short).unwrap_err().to_string().contains("wanted 500, got 499"));
    let tight = one().budget(ensemble::MemoryBudget::bytes(100));
    assert!(matches!(tight.plan(&x, &y).unwrap_err().kind(), ErrorKind::Budget { .. }));
    let two = SuperLearner::new(KFold::new(4))
        .layer(Layer::new().learner("a", LinearRegression::new()).learner("b", LinearRegression::new()));
    assert!(two.plan(&x, &y).unwrap_err().to_string().contains("meta-learner"));
    let fitted = one().fit(&x, &y).unwrap();
    assert!(fitted.transform().is_err(), "out-of-fold predictions were not asked for");
    let narrow = DenseTable::new(vec![0.0; 50], 10, 5, Order::C).unwrap();
    assert!(fitted.predict(&narrow).unwrap_err().to_string().contains("wanted 6, got 5"));
}

#[test]
fn a_saved_ensemble_predicts_the_same_bits() {
    let (x, y) = friedman(800, 6);
    let registry = registry();
    let mut layer = Layer::new();
    for text in [
        "native.standard_scaler | native.k_neighbors_regressor:weights=distance",
        "native.normalizer | native.ridge",
        "native.lasso:alpha=0.1",
    ] {
        layer = layer.learner(text, registry.pipeline(text).unwrap());
    }
    let fitted = SuperLearner::new(KFold::new(3))
        .layer(layer)
        .meta(registry.pipeline("native.convex").unwrap())
        .fit(&x, &y)
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model");
    fitted.save(&path).unwrap();
    let loaded = ensemble::FittedEnsemble::load(&path, &registry).unwrap();
    let bits = |v: Vec<f64>| v.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(loaded.predict(&x).unwrap()), bits(fitted.predict(&x).unwrap()));
    assert_eq!(loaded.layers()[0][1].name(), "native.normalizer | native.ridge");
}

/// Nearly dependent columns: coefficients of the order of 1 / `gap`, whose products with second moments cancel.
fn nearly_dependent(gap: f64) -> (DenseTable, DenseTable) {
    let (noise, _) = friedman(20_000, 5);
    let noise = noise.as_mat();
    let u = |r: usize, j: usize| noise.get(r, j) - 0.5;
    let x = (0..20_000).flat_map(|r| [u(r, 0), u(r, 0) + gap * u(r, 1), u(r, 2)]).collect();
    let y = (0..20_000).map(|r| u(r, 1) + u(r, 2) + 0.1 * u(r, 3)).collect();
    (DenseTable::new(x, 20_000, 3, Order::C).unwrap(), DenseTable::column(y))
}

#[test]
fn scores_and_meta_learners_hold_where_the_algebra_would_cancel() {
    for gap in [1e-5, 1e-7, 1e-8] {
        let (x, y) = nearly_dependent(gap);
        let stack = |wrap: &dyn Fn(Arc<dyn Estimator>) -> Arc<dyn Estimator>| {
            SuperLearner::new(KFold::new(5).exact())
                .layer(
                    Layer::new()
                        .learner("ols", wrap(Arc::new(LinearRegression::new())))
                        .learner("ridge", wrap(Arc::new(Ridge::new(1.0)))),
                )
                .meta(registry().pipeline("native.nnls").unwrap())
                .fit(&x, &y)
                .unwrap()
        };
        let (algebra, rows) = (stack(&|e| e), stack(&|e| Arc::new(FromRows(e))));
        for (a, b) in algebra.report().unwrap().learners.iter().zip(&rows.report().unwrap().learners) {
            let (a, b) = (a.scores.as_ref().unwrap().cv_rmse_mean, b.scores.as_ref().unwrap().cv_rmse_mean);
            close(a, b, 1e-4, &format!("score at gap {gap}"));
        }
        let weights = |e: &ensemble::FittedEnsemble| {
            e.layers()[1][0].model().as_linear().unwrap().coefficients.to_owned()
        };
        for (a, b) in weights(&algebra).into_iter().zip(weights(&rows)) {
            close(a, b, 1e-3, &format!("weight at gap {gap}"));
        }
    }
}

#[test]
fn every_fit_of_a_learner_that_iterates_tells_how_it_ended_and_notes_name_what_did_not_converge() {
    let (x, y) = friedman(2_000, 8);
    let fit = |wrap: &dyn Fn(Arc<dyn Estimator>) -> Arc<dyn Estimator>, lasso: &str| {
        let registry = registry();
        let layer = Layer::new()
            .learner("l1", wrap(registry.pipeline(lasso).unwrap()))
            .learner("ols", wrap(registry.pipeline("native.linear_regression").unwrap()));
        let learner = SuperLearner::new(KFold::new(4)).layer(layer);
        learner.meta(registry.pipeline("native.nnls").unwrap()).fit(&x, &y).unwrap()
    };
    for lasso in ["native.lasso:alpha=0.01", "native.standard_scaler | native.lasso:alpha=0.01"] {
        let (merged, rows) = (fit(&|e| e, lasso), fit(&|e| Arc::new(FromRows(e)), lasso));
        for report in [merged.report().unwrap(), rows.report().unwrap()] {
            let ended = &report.learners[0].convergence;
            let folds: Vec<Option<usize>> = ended.iter().map(|f| f.fold).collect();
            assert_eq!(folds, [Some(0), Some(1), Some(2), Some(3), None]);
            assert!(ended.iter().all(|f| f.convergence.converged && f.convergence.gap.unwrap() <= 1e-4));
            assert!(report.learners[1].convergence.is_empty(), "least squares does not iterate");
            assert!(report.learners[2].convergence.iter().all(|f| f.convergence.converged));
            assert_eq!(report.notes, []);
            let nested = |l: &LearnerReport| l.scores.as_ref().unwrap().nested;
            assert_eq!(report.learners.iter().map(nested).collect::<Vec<_>>(), [true, true, false]);
        }
    }
    let stopped = fit(&|e| e, "native.lasso:alpha=0.01,max_iter=1");
    let [note] = &stopped.report().unwrap().notes[..] else {
        panic!("{:?}", stopped.report().unwrap().notes)
    };
    assert_eq!(
        (note.kind, note.layer, note.learner.as_deref()),
        (NoteKind::NotConverged, Some(0), Some("l1"))
    );
    for word in
        ["'l1'", "layer 0", "folds 0, 1, 2, 3 held out and on all rows", "1 steps", "gap ", "max_iter"]
    {
        assert!(note.text.contains(word), "{word}: {note}");
    }
}

#[test]
fn the_meta_learners_weights_and_score_do_not_depend_on_where_the_target_has_its_zero() {
    // Unix times, Julian dates and UTM northings lie 1e5 to 1e9 standard deviations from 0.
    let (x, base) = friedman(3_000, 5);
    let registry = registry();
    let fit = |level: f64| {
        let y = base.as_mat().column(0).unwrap().iter().map(|y| level + y).collect();
        let layer = Layer::new()
            .learner("ols", registry.pipeline("native.linear_regression").unwrap())
            .learner("near", registry.pipeline("native.k_neighbors_regressor:n_neighbors=100").unwrap());
        let learner = SuperLearner::new(KFold::new(5)).layer(layer);
        let fitted = learner.meta(registry.pipeline("native.nnls").unwrap()).fit(&x, &DenseTable::column(y));
        let fitted = fitted.unwrap();
        let weights = fitted.layers()[1][0].model().as_linear().unwrap().coefficients.to_vec();
        let scores =
            fitted.report().unwrap().learners.iter().map(|l| l.scores.as_ref().unwrap().cv_rmse_mean);
        (weights, scores.collect::<Vec<f64>>())
    };
    let (want, scores) = fit(1e5);
    assert!(scores[2] < 1.01 * scores[0].min(scores[1]), "{want:?} {scores:?}");
    for level in [1e6, 1e7, 1e8, 1e9] {
        let (weights, scores_there) = fit(level);
        weights.iter().zip(&want).for_each(|(a, b)| close(*a, *b, 1e-4, &format!("weight at {level}")));
        scores_there.iter().zip(&scores).for_each(|(a, b)| close(*a, *b, 1e-4, &format!("score at {level}")));
    }
}

#[test]
fn a_meta_learner_that_gives_every_learner_weight_zero_is_told() {
    // Out-of-fold means of a target without a mean have the wrong sign: 0 is their best weight that is not negative.
    let x = DenseTable::new((0..400).map(f64::from).collect(), 200, 2, Order::C).unwrap();
    let values: Vec<f64> = (0..200).map(|i| f64::from((i * 37) % 101) - 50.0).collect();
    let mean = values.iter().sum::<f64>() / 200.0;
    let y = DenseTable::column(values.iter().map(|v| v - mean).collect());
    let registry = registry();
    let layer = Layer::new()
        .learner("a", registry.pipeline("native.mean").unwrap())
        .learner("b", registry.pipeline("native.lasso:alpha=1e9").unwrap());
    let learner = SuperLearner::new(KFold::new(4)).layer(layer);
    let fitted = learner.meta(registry.pipeline("native.nnls").unwrap()).fit(&x, &y).unwrap();
    assert!(fitted.layers()[1][0].model().as_linear().unwrap().coefficients.iter().all(|w| *w == 0.0));
    let [note] = &fitted.report().unwrap().notes[..] else { panic!("{:?}", fitted.report().unwrap().notes) };
    assert_eq!(
        (note.kind, note.layer, note.learner.as_deref()),
        (NoteKind::AllWeightsZero, Some(1), Some("meta"))
    );
    assert!(note.text.contains("weight 0") && note.text.contains("all rows"), "{note}");
}
