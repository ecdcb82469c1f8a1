//! What people write first works: values and pointers alike, one learner in one line, words in and out, models as their own types.

use std::sync::Arc;

use ensemble::{
    Access, DenseTable, Error, ErrorKind, Estimator, Fit, FitContext, FitCost, FittedEnsemble, Friedman1,
    KFold, Label, Layer, Learner, LinearModel, MatMut, MatRef, MergeFit, MissingValues, Model, Order,
    Predicts, Record, Result, Shape, SuperLearner, Table, Train, Transformer,
    memmap::MappedTable,
    native::{
        Center, GaussianNb, GaussianNbModel, KNeighborsModel, KNeighborsRegressor, Lasso, LinearRegression,
        MinMaxScaler, NonNegativeLeastSquares, Normalizer, Ridge, StandardScaler,
    },
    registry,
};

use crate::support::{Runs, WholeMatrix, files};

const COLUMNS: usize = 5;

fn values(nrows: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut x, mut y) = (vec![0.0; nrows * COLUMNS], vec![0.0; nrows]);
    Friedman1::new(5, COLUMNS, 1.0).unwrap().rows_into(0, &mut x, &mut y);
    (x, y)
}

fn tables(nrows: usize) -> (DenseTable, DenseTable) {
    let (x, y) = values(nrows);
    (DenseTable::new(x, nrows, COLUMNS, Order::C).unwrap(), DenseTable::column(y))
}

/// Kinds of trees by height and girth, and their names.
fn trees(nrows: usize) -> (Vec<f64>, Vec<&'static str>) {
    let noise = |i: usize| ((i * 2_654_435_761) % 1000) as f64 / 200.0;
    let x = (0..nrows).flat_map(|row| {
        let (height, girth) = [(20.0, 4.0), (28.0, 2.0), (14.0, 2.5)][row % 3];
        [height + noise(2 * row), girth + 0.2 * noise(2 * row + 1)]
    });
    (x.collect(), (0..nrows).map(|row| ["oak", "ash", "elm"][row % 3]).collect())
}

#[test]
fn values_boxes_and_counted_pointers_are_learners_alike() {
    let (x, y) = tables(700);
    let boxed: Box<dyn Estimator> = Box::new(Lasso::new(0.1));
    let counted: Arc<dyn Estimator> = Arc::new(Lasso::new(0.1));
    let layer = Layer::new()
        .learner("value", Lasso::new(0.1))
        .learner("boxed", boxed)
        .learner("counted", Arc::clone(&counted))
        .learner("twice", Arc::new(Arc::clone(&counted)))
        .learner("named", registry().pipeline("native.lasso:alpha=0.1").unwrap());
    let stack = SuperLearner::new(KFold::new(3)).layer(layer).keep_out_of_fold();
    let by_value = stack.clone().meta(NonNegativeLeastSquares::new()).fit(&x, &y).unwrap();
    let by_pointer = stack.meta(Arc::new(NonNegativeLeastSquares::new())).fit(&x, &y).unwrap();
    assert_eq!(by_value.predict(&x).unwrap(), by_pointer.predict(&x).unwrap());
    let held_out = by_value.transform().unwrap();
    for row in 0..700 {
        for column in 1..5 {
            assert_eq!(held_out.get(row, column), held_out.get(row, 0));
        }
    }
    // One pass for the statistics of all five, and one to predict what is held out.
    assert_eq!(by_value.report().unwrap().totals.data_passes, 2);
}

/// Answers every question in a way of its own.
struct Odd;

impl Estimator for Odd {
    fn kind(&self) -> String {
        "test.odd".into()
    }
    fn access(&self) -> Access {
        Access::Contiguous(Some(Order::F))
    }
    fn cost(&self, train: Shape) -> FitCost {
        FitCost { peak_bytes: 1, model_bytes: train.nrows as u64 }
    }
    fn cost_with_classes(&self, _: Shape, n_classes: usize) -> FitCost {
        FitCost { peak_bytes: 2, model_bytes: n_classes as u64 }
    }
    fn check_shape(&self, _: Shape) -> Result<()> {
        Err(Error::unsupported("no shape suits it"))
    }
    fn predicts(&self) -> Predicts {
        Predicts::Votes
    }
    fn missing_values(&self) -> MissingValues {
        MissingValues::Accepted
    }
    fn fit_rows(&self, _: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        Err(Error::unsupported("it never fits"))
    }
    fn as_merge(&self) -> Option<&dyn MergeFit> {
        None
    }
    fn is_linear(&self) -> bool {
        true
    }
    fn scratch_bytes(&self, train: Shape) -> u64 {
        7 * train.ncols as u64
    }
}

#[test]
fn a_pointer_answers_as_what_it_points_to() {
    fn answers(learner: &dyn Estimator) -> Vec<String> {
        let shape = Shape { nrows: 3, ncols: 4 };
        vec![
            learner.kind(),
            format!("{:?} {:?} {:?}", learner.access(), learner.predicts(), learner.missing_values()),
            format!("{:?} {:?}", learner.cost(shape), learner.cost_with_classes(shape, 9)),
            format!("{:?}", learner.check_shape(shape).map_err(|e| e.to_string())),
            format!("{} {}", learner.is_linear(), learner.scratch_bytes(shape)),
        ]
    }
    let pointers: [&dyn Estimator; 4] =
        [&Arc::new(Odd), &Box::new(Odd), &(Arc::new(Odd) as Arc<dyn Estimator>), &Box::new(Arc::new(Odd))];
    for pointer in pointers {
        assert_eq!(answers(pointer), answers(&Odd));
    }
    assert!((Arc::new(Ridge::new(1.0)) as Arc<dyn Estimator>).as_merge().is_some());
    let scaler: Arc<dyn Transformer> = Arc::new(StandardScaler::new());
    assert!(scaler.as_merge().is_some() && Arc::new(scaler).as_merge().is_some());
}

#[test]
fn transformers_and_learners_are_chained_by_then() {
    let (x, y) = tables(500);
    let named = |text: &str| registry().pipeline(text).unwrap().fit(&x, &y).unwrap().predict(&x).unwrap();
    let one = StandardScaler::new().then(Lasso::new(0.1));
    assert_eq!(one.kind(), "native.standard_scaler | native.lasso");
    assert_eq!(
        one.fit(&x, &y).unwrap().predict(&x).unwrap(),
        named("native.standard_scaler | native.lasso:alpha=0.1")
    );
    let counted: Arc<dyn Transformer> = Arc::new(Normalizer::default());
    let boxed: Box<dyn Estimator> = Box::new(Ridge::new(2.0));
    let three = counted.then(MinMaxScaler::new()).then(Center::new()).then(boxed);
    assert_eq!(
        three.fit(&x, &y).unwrap().predict(&x).unwrap(),
        named("native.normalizer | native.min_max_scaler | native.center | native.ridge:alpha=2")
    );
    // What a scaler scales for may itself stand behind one.
    let nested = Center::new().then(StandardScaler::new().then(Lasso::new(0.1)));
    assert_eq!(nested.kind(), "native.center | native.standard_scaler | native.lasso");
}

#[test]
fn cases_take_values_chains_and_lists() {
    let (x, y) = tables(500);
    let scaler: Arc<dyn Transformer> = Arc::new(StandardScaler::new());
    let center: Arc<dyn Transformer> = Arc::new(Center::new());
    let near = || Learner::new("near", KNeighborsRegressor::new());
    let layer = Layer::new()
        .case("value", StandardScaler::new(), [near()])
        .case("chain", StandardScaler::new().then(Center::new()), Layer::new().learner("near", near_value()))
        .case("shared", Arc::clone(&scaler), [near()])
        .case("list", &[scaler, center], [near()])
        .case(
            "none",
            Vec::<Arc<dyn Transformer>>::new(),
            [near(), Learner::new("ols", LinearRegression::new())],
        );
    assert_eq!(layer.len(), 6);
    let text = format!("{layer:?}");
    assert!(text.contains(r#""chain.near""#), "{text}");
    assert!(
        text.contains(r#""native.standard_scaler | native.center | native.k_neighbors_regressor""#),
        "{text}"
    );
    let stack = SuperLearner::new(KFold::new(3)).layer(layer).keep_out_of_fold();
    let fitted = stack.meta(NonNegativeLeastSquares::new()).fit(&x, &y).unwrap();
    let held_out = fitted.transform().unwrap();
    let column = |j: usize| -> Vec<f64> { (0..500).map(|row| held_out.get(row, j)).collect() };
    assert_eq!(column(0), column(2));
    assert_eq!(column(1), column(3));
    assert_ne!(column(0), column(4));
}

fn near_value() -> KNeighborsRegressor {
    KNeighborsRegressor::new()
}

#[test]
fn one_learner_is_fitted_in_one_line_on_whatever_holds_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (n, p) = (1500, 6);
    let (xp, yp) = files::friedman(dir.path(), n, p, Order::C);
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());

    let model = Lasso::new(0.1).fit(&x, &y).unwrap();
    let want = model.predict(&x).unwrap();

    let (xs, ys) = (x.as_mat().data(), y.as_mat().data());
    let (xv, yv) = (xs.to_vec(), ys.to_vec());
    let dense = DenseTable::new(xv.clone(), n, p, Order::C).unwrap();
    let counted: Arc<dyn Table> = Arc::new(dense.clone());
    let boxed: Box<dyn Table> = Box::new(dense.clone());
    let column = DenseTable::column(yv.clone());
    let lasso = Lasso::new(0.1);
    for (what, model) in [
        ("vectors", lasso.fit((&xv, n, p), &yv)),
        ("slices", lasso.fit((xs, n, p), ys)),
        ("matrices", lasso.fit(MatRef::new(xs, n, p, Order::C).unwrap(), MatRef::column_vector(ys))),
        ("tables", lasso.fit(&dense, &column)),
        ("boxed", lasso.fit(&boxed, &yv)),
        ("counted", lasso.fit(&counted, &yv)),
        ("dyn", lasso.fit(counted.as_ref(), &y as &dyn Table)),
    ] {
        assert_eq!(model.unwrap().predict((&xv, n, p)).unwrap(), want, "{what}");
    }
    let pointer: Arc<dyn Estimator> = Arc::new(lasso);
    assert_eq!(pointer.fit(&x, &y).unwrap().predict(&x).unwrap(), want);
    let mut out = vec![0.0; n];
    model.predict_into(&x, &mut out).unwrap();
    assert_eq!(out, want);

    // What the model tells, without a detour.
    let form = model.as_linear().unwrap();
    assert_eq!(form.coefficients, model.model_as::<LinearModel>().unwrap().as_linear().unwrap().coefficients);
    assert_eq!(format!("{model:?}"), r#"FittedModel { kind: "native.lasso", ncols: 6, classes: None, .. }"#);
    assert!(model.convergence().unwrap().converged);

    // The model on all rows of an ensemble is the same, but for the order in which blocks were summed up.
    let ensemble = SuperLearner::new(KFold::new(3))
        .layer(Layer::new().learner("l1", lasso_value()))
        .fit(&x, &y)
        .unwrap();
    for (a, b) in ensemble.predict(&x).unwrap().iter().zip(&want) {
        assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} and {b}");
    }

    // It is saved as an ensemble of one.
    let path = dir.path().join("model");
    model.save(&path).unwrap();
    let loaded = FittedEnsemble::load(&path, &registry()).unwrap();
    assert_eq!(loaded.predict(&x).unwrap(), want);
    assert!(loaded.report().is_none());
}

fn lasso_value() -> Lasso {
    Lasso::new(0.1)
}

#[test]
fn learners_that_read_rows_are_fitted_alone_as_they_take_them() {
    let (x, y) = tables(400);
    let f = {
        let columns = (0..COLUMNS).map(|j| (0..400).map(|row| x.as_mat().get(row, j)).collect());
        DenseTable::from_columns(columns.collect()).unwrap()
    };
    assert_eq!(f.as_mat().order(), Order::F);
    let want = Runs.fit(&x, &y).unwrap().predict(&x).unwrap();
    for order in [None, Some(Order::C), Some(Order::F)] {
        for x in [&x, &f] {
            assert_eq!(WholeMatrix(order).fit(x, &y).unwrap().predict(x).unwrap(), want, "{order:?}");
        }
    }
    // A model that keeps rows keeps the table, not a copy of it.
    let near = KNeighborsRegressor::new().n_neighbors(1).fit(&x, &y).unwrap();
    assert_eq!(near.predict(&x).unwrap(), y.as_mat().data());
    assert!(near.bytes() < 400 * COLUMNS as u64 * 8, "{} bytes", near.bytes());
}

#[test]
fn words_go_in_and_come_out() {
    let (x, words) = trees(600);
    let owned: Vec<String> = words.iter().map(ToString::to_string).collect();
    let model = GaussianNb::new().fit((&x, 600, 2), &words).unwrap();
    let labels = model.predict_labels((&x, 600, 2)).unwrap();
    let right = labels.iter().zip(&words).filter(|(label, word)| ***label == ***word).count();
    assert!(right > 590, "{right} of 600");
    assert_eq!(labels[1], "ash");
    assert_eq!(model.classes().unwrap().labels().len(), 3);
    let shares = model.predict_proba((&x, 600, 2)).unwrap();
    assert_eq!(shares.len(), 1800);
    assert!((shares[..3].iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(model.model_as::<GaussianNbModel>().is_some());

    // Whole numbers are labels too, and come back as they were.
    let numbers: Vec<f64> = (0..600).map(|row| [7.0, -3.0, 40.0][row % 3]).collect();
    let numbered = GaussianNb::new().fit((&x, 600, 2), &numbers).unwrap();
    assert_eq!(numbered.predict((&x, 600, 2)).unwrap()[..3], [7.0, -3.0, 40.0]);
    assert_eq!(*numbered.predict_labels((&x, 600, 2)).unwrap()[1], Label::Integer(-3));

    // A stack takes words as well, without classes being made by hand.
    let stack = SuperLearner::new(KFold::new(4))
        .layer(
            Layer::new().learner("a", GaussianNb::new()).learner("b", GaussianNb::new().var_smoothing(0.1)),
        )
        .meta(GaussianNb::new());
    assert_eq!(stack.plan((&x, 600, 2), &owned).unwrap().classes().unwrap().labels()[0], "ash");
    let fitted = stack.fit((&x, 600, 2), &owned).unwrap();
    assert_eq!(fitted.predict_labels((&x, 600, 2)).unwrap()[..3], ["oak", "ash", "elm"].map(word).each_ref());
    let by_hand = {
        let (classes, numbers) = ensemble::Classes::encode(&words).unwrap();
        stack.clone().classes(classes).fit((&x, 600, 2), &numbers).unwrap()
    };
    assert_eq!(by_hand.predict_proba((&x, 600, 2)).unwrap(), fitted.predict_proba((&x, 600, 2)).unwrap());
    let others = stack.classes(ensemble::Classes::encode(["ash", "oak"]).unwrap().0);
    assert!(matches!(others.fit((&x, 600, 2), &owned).unwrap_err().kind(), ErrorKind::Classes { .. }));
}

fn word(text: &str) -> Label {
    Label::Text(text.into())
}

#[test]
fn what_does_not_fit_is_an_error_in_one_sentence() {
    let (x, words) = trees(60);
    let (xt, y) = (DenseTable::new(x.clone(), 60, 2, Order::C).unwrap(), vec![0.5; 60]);
    let text = |result: Result<_>| -> String {
        Result::unwrap_err(result.map(|_: ensemble::FittedModel| ())).to_string()
    };
    assert_eq!(
        text(Lasso::new(0.1).fit(&xt, &words)),
        "native.lasso predicts numbers, and the target holds words; use a classifier"
    );
    let error =
        SuperLearner::new(KFold::new(2)).layer(Layer::new().learner("l1", Lasso::new(0.1))).fit(&xt, &words);
    assert!(error.unwrap_err().to_string().contains("the target holds words"));
    assert!(text(GaussianNb::new().fit(&xt, &y)).contains("holds 0.5, and classes are whole numbers"));
    assert!(text(Lasso::new(0.1).fit(&xt, &y[..59])).contains("wanted 60, got 59"));
    assert!(text(Lasso::new(0.1).fit((&x, 59, 2), &y)).contains("wanted 118, got 120"));
    assert!(text(Lasso::new(0.1).fit(&xt, &xt)).contains("columns of the target"));
    assert!(text(KNeighborsRegressor::new().n_neighbors(61).fit(&xt, &y)).contains("n_neighbors=61"));
    assert!(text(Odd.fit(&xt, &y)).contains("no shape suits it"));
    let mut bad = x.clone();
    bad[7] = f64::NAN;
    for learner in [&Lasso::new(0.1) as &dyn Estimator, &Runs] {
        assert!(text(learner.fit((&bad, 60, 2), &y)).starts_with("table in memory: row 3, column 1"));
    }
    let model = Ridge::new(1.0).fit(&xt, &y).unwrap();
    assert_eq!(model.predict((&bad, 60, 2)).unwrap_err().to_string().find("layer"), None);
    assert!(model.predict((&x, 40, 3)).is_err() && model.predict_proba(&xt).is_err());
    assert!(model.predict_labels(&xt).unwrap_err().to_string().contains("predicts numbers"));
}

#[test]
fn reports_are_saved_with_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let (x, y) = tables(900);
    let layer = Layer::new()
        .learner("l1", StandardScaler::new().then(Lasso::new(0.1)))
        .learner("near", KNeighborsRegressor::new())
        .learner("runs", Runs);
    let fitted = SuperLearner::new(KFold::new(3)).layer(layer).meta(Ridge::new(1.0)).fit(&x, &y).unwrap();
    let path = dir.path().join("model");
    fitted.save(&path).unwrap();
    let loaded = FittedEnsemble::load(&path, &registry()).unwrap();
    let (had, has) = (fitted.report().unwrap(), loaded.report().unwrap());
    assert_eq!((has.rows, has.columns, &has.fold_sizes), (had.rows, had.columns, &had.fold_sizes));
    assert_eq!((has.totals, &has.work, has.as_planned), (had.totals, &had.work, had.as_planned));
    assert_eq!((&has.notes, has.copies()), (&had.notes, had.copies()));
    assert_eq!(has.learners.len(), 4);
    for (had, has) in had.learners.iter().zip(&has.learners) {
        assert_eq!((&has.name, &has.kind, &has.access), (&had.name, &had.kind, &had.access));
        assert_eq!(has.scores, had.scores, "{}", had.name);
        assert_eq!(has.convergence.len(), had.convergence.len());
        assert_eq!(has.copied_bytes, had.copied_bytes);
    }
    // Times and threads are not saved, so that a file does not depend on them.
    assert_eq!((has.wall_seconds, has.threads, has.learners[0].fit_seconds), (0.0, 0, 0.0));
    assert!(had.wall_seconds > 0.0 && had.threads > 0);

    // Classes have scores of their own.
    let (x, words) = trees(90);
    let fitted = SuperLearner::new(KFold::new(3))
        .layer(Layer::new().learner("nb", GaussianNb::new()))
        .fit((&x, 90, 2), &words)
        .unwrap();
    fitted.save(&path).unwrap();
    let loaded = FittedEnsemble::load(&path, &registry()).unwrap();
    let scores = |fitted: &FittedEnsemble| fitted.report().unwrap().learners[0].scores.clone().unwrap();
    assert!(scores(&loaded).classes.is_some());
    assert_eq!(scores(&loaded), scores(&fitted));
    assert_eq!(loaded.report().unwrap().classes, fitted.report().unwrap().classes);
}

/// Predicts 0, and knows what every column is worth.
struct Worth(Vec<f64>);

impl Model for Worth {
    fn n_inputs(&self) -> usize {
        self.0.len()
    }
    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        ensemble::check_prediction(self, x, &out)?;
        out.fill(0.0);
        Ok(())
    }
    fn feature_importances(&self) -> Option<Vec<f64>> {
        Some(self.0.clone())
    }
    fn bytes(&self) -> u64 {
        8 * self.0.len() as u64
    }
    fn to_record(&self) -> Result<Record> {
        Err(Error::unsupported("it is not saved"))
    }
}

struct Values;

impl Estimator for Values {
    fn kind(&self) -> String {
        "test.values".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn cost(&self, train: Shape) -> FitCost {
        FitCost { peak_bytes: 8 * train.ncols as u64, model_bytes: 8 * train.ncols as u64 }
    }
    fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        Ok(Arc::new(Worth((0..train.shape().ncols).map(|j| j as f64).collect())))
    }
}

#[test]
fn a_fitted_model_gives_its_own_type_and_its_importances_back() {
    let (x, y) = tables(300);
    let layer = Layer::new()
        .learner("bare", Values)
        .learner("scaled", StandardScaler::new().then(Values))
        .learner("normalized", Normalizer::default().then(Values))
        .learner("near", Normalizer::default().then(KNeighborsRegressor::new()))
        .learner("l1", StandardScaler::new().then(Lasso::new(0.01)));
    let fitted = SuperLearner::new(KFold::new(2)).layer(layer).meta(Ridge::new(1.0)).fit(&x, &y).unwrap();
    let [bare, scaled, normalized, near, l1] = &fitted.layers()[0][..] else { panic!("five") };
    for learner in [bare, scaled, normalized] {
        assert_eq!(learner.model_as::<Worth>().unwrap().0, [0.0, 1.0, 2.0, 3.0, 4.0], "{learner:?}");
    }
    assert!(near.model_as::<KNeighborsModel>().is_some() && near.model_as::<Worth>().is_none());
    assert!(l1.model_as::<LinearModel>().is_some());
    assert_eq!(scaled.feature_importances(), bare.feature_importances());
    assert_eq!(bare.feature_importances().unwrap()[4], 4.0);
    // Behind a map that mixes columns, nothing is said of them.
    assert_eq!(normalized.feature_importances(), None);
    assert_eq!(l1.feature_importances(), None);
    assert_eq!(
        format!("{near:?}"),
        r#"FittedLearner("near", "native.normalizer | native.k_neighbors_regressor")"#
    );
}

#[test]
fn results_print_in_tests() {
    let (x, y) = tables(50);
    let error =
        SuperLearner::new(KFold::new(99)).layer(Layer::new().learner("a", Runs)).fit(&x, &y).unwrap_err();
    assert!(error.to_string().contains("99"));
    let learner: Arc<dyn Estimator> = registry().pipeline("native.center | native.ridge").unwrap();
    assert_eq!(format!("{learner:?}"), r#"Estimator("native.center | native.ridge")"#);
    assert!(registry().pipeline("native.nothing").unwrap_err().to_string().contains("native.nothing"));
    assert_eq!(
        format!("{:?}", Center::new().then(Ridge::new(1.0))),
        r#"Pipeline("native.center | native.ridge")"#
    );
    assert_eq!(
        format!("{:?}", Center::new().then(StandardScaler::new())),
        r#"Transformers("native.center | native.standard_scaler")"#
    );
    assert_eq!(format!("{:?}", Learner::new("a", Runs)), r#"Learner("a", "test.runs")"#);
    let fitted = SuperLearner::new(KFold::new(2)).layer(Layer::new().learner("a", Runs)).fit(&x, &y).unwrap();
    assert!(format!("{fitted:?}").contains("test.runs"));
    assert!(format!("{:?}", fitted.layers()[0][0].model()).starts_with("Model { n_inputs: 5"));
}
