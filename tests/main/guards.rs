//! What leaves a backend is looked at, and what goes wrong in one is an error by name: panics, models of another width, numbers that
//! are none.

use std::sync::Arc;

use ensemble::{
    Access, Block, DenseTable, Error, ErrorKind, Estimator, FitContext, FitCost, Fitted, KFold, Layer,
    LinearForm, LinearModel, MOMENTS, MatMut, MatRef, MergeFit, Model, Moments, Order, Predicts, Record,
    Registry, Result, Shape, Statistic, StatisticContext, StatisticKey, Statistics, SuperLearner, Table,
    Train, check_prediction, registry, same_type,
};

/// Where a learner, its statistic or its model fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fails {
    Nowhere,
    Access,
    Cost,
    Check,
    Statistics,
    Empty,
    Absorb,
    Merge,
    Seal,
    Duplicate,
    Fit,
    AsLinear,
    Predict,
    Save,
    /// Predicts NaN.
    Nan,
    /// Is for one column fewer.
    Narrow,
    /// Has one coefficient fewer than columns, or one more.
    ShortForm,
    LongForm,
    /// Has an infinite coefficient.
    Infinite,
}

impl Fails {
    fn here(self, place: Fails) {
        assert!(self != place, "the {place:?} of a stranger");
    }
}

/// Moments that fail.
#[derive(Clone)]
struct Sums(Moments, Fails);

impl Statistic for Sums {
    fn key(&self) -> StatisticKey {
        StatisticKey::new("strange sums")
    }
    fn empty(&self) -> Box<dyn Statistic> {
        self.1.here(Fails::Empty);
        Box::new(Self(Moments::new(self.0.ncols()), self.1))
    }
    fn duplicate(&self) -> Box<dyn Statistic> {
        self.1.here(Fails::Duplicate);
        Box::new(self.clone())
    }
    fn absorb(&mut self, block: &Block<'_>) -> Result<()> {
        self.1.here(Fails::Absorb);
        self.0.absorb(block)
    }
    fn merge(&mut self, other: &dyn Statistic) -> Result<()> {
        self.1.here(Fails::Merge);
        self.0.merge(&same_type::<Sums>(other)?.0)
    }
    fn seal(&mut self) -> Result<()> {
        self.1.here(Fails::Seal);
        Ok(())
    }
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }
    fn is_finite(&self) -> Option<bool> {
        self.0.is_finite()
    }
}

/// A learner of the mean, by statistics or from runs of rows.
struct Stranger {
    fails: Fails,
    merges: bool,
    /// Whether its models are linear.
    linear: bool,
}

impl Stranger {
    fn model(&self, ncols: usize, mean: f64) -> Result<Arc<dyn Model>> {
        self.fails.here(Fails::Fit);
        let n_inputs = if self.fails == Fails::Narrow { ncols - 1 } else { ncols };
        let coefficients = match self.fails {
            Fails::ShortForm => ncols - 1,
            Fails::LongForm => ncols + 1,
            _ => ncols,
        };
        let mut coefficients = vec![0.0; coefficients];
        if self.fails == Fails::Infinite {
            coefficients[0] = f64::INFINITY;
        }
        Ok(Arc::new(StrangeModel { n_inputs, coefficients, mean, fails: self.fails, linear: self.linear }))
    }
}

impl Estimator for Stranger {
    fn kind(&self) -> String {
        "test.stranger".into()
    }
    fn access(&self) -> Access {
        self.fails.here(Fails::Access);
        if self.merges { Access::Merge } else { Access::Segments }
    }
    fn cost(&self, _: Shape) -> FitCost {
        self.fails.here(Fails::Cost);
        FitCost::default()
    }
    fn check_shape(&self, _: Shape) -> Result<()> {
        self.fails.here(Fails::Check);
        Ok(())
    }
    fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.model(train.shape().ncols, train.y().flatten().sum::<f64>() / train.shape().nrows as f64)
    }
    fn as_merge(&self) -> Option<&dyn MergeFit> {
        self.merges.then_some(self)
    }
    fn is_linear(&self) -> bool {
        self.linear
    }
}

impl MergeFit for Stranger {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        self.fails.here(Fails::Statistics);
        Ok(vec![Box::new(Sums(Moments::new(cx.ncols), self.fails)), Box::new(Moments::new(cx.ncols))])
    }
    fn affine_support(&self) -> Option<ensemble::AffineShape> {
        None
    }
    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        let moments = statistics.get::<Moments>(&MOMENTS)?;
        self.model(moments.ncols(), moments.y_mean()).map(Fitted::Model)
    }
}

struct StrangeModel {
    n_inputs: usize,
    coefficients: Vec<f64>,
    mean: f64,
    fails: Fails,
    linear: bool,
}

impl Model for StrangeModel {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }
    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        self.fails.here(Fails::Predict);
        let bad = |row: usize| self.fails == Fails::Nan && x.get(row, 0) == 7.0;
        (0..x.nrows()).for_each(|row| out.set(row, 0, if bad(row) { f64::NAN } else { self.mean }));
        Ok(())
    }
    fn as_linear(&self) -> Option<LinearForm<'_>> {
        self.fails.here(Fails::AsLinear);
        self.linear.then_some(LinearForm { coefficients: &self.coefficients, intercept: self.mean })
    }
    fn bytes(&self) -> u64 {
        0
    }
    fn to_record(&self) -> Result<Record> {
        self.fails.here(Fails::Save);
        LinearModel::new("test.stranger", vec![0.0; self.n_inputs], self.mean).to_record()
    }
}

/// Rows of three columns, the first of which counts to a hundred.
fn table(rows: usize) -> (DenseTable, DenseTable) {
    let x = (0..rows * 3).map(|i| if i % 3 == 0 { (i / 3 % 100) as f64 } else { (i * 37 % 101) as f64 });
    let y = (0..rows).map(|i| (i * 53 % 17) as f64);
    (DenseTable::new(x.collect(), rows, 3, Order::C).unwrap(), DenseTable::column(y.collect()))
}

fn stack(fails: Fails, merges: bool, linear: bool) -> SuperLearner {
    let pipeline = |text: &str| registry().pipeline(text).unwrap();
    SuperLearner::new(KFold::new(3).exact())
        .layer(
            Layer::new()
                .learner("innocent", pipeline("native.linear_regression"))
                .learner("guilty", Stranger { fails, merges, linear }),
        )
        .meta(pipeline("native.mean"))
}

#[test]
fn whatever_fails_in_a_backend_is_an_error_that_names_the_learner() {
    let (x, y) = table(5_000);
    let places = [
        Fails::Access,
        Fails::Cost,
        Fails::Check,
        Fails::Statistics,
        Fails::Empty,
        Fails::Absorb,
        Fails::Merge,
        Fails::Seal,
        Fails::Duplicate,
        Fails::Fit,
        Fails::AsLinear,
        Fails::Predict,
        Fails::Nan,
        Fails::Narrow,
        Fails::ShortForm,
        Fails::LongForm,
        Fails::Infinite,
    ];
    for (merges, linear) in [(true, true), (true, false), (false, false), (false, true)] {
        stack(Fails::Nowhere, merges, linear).fit(&x, &y).unwrap();
        for fails in places {
            let of_statistic = matches!(
                fails,
                Fails::Statistics
                    | Fails::Empty
                    | Fails::Absorb
                    | Fails::Merge
                    | Fails::Seal
                    | Fails::Duplicate
            );
            let of_form = matches!(fails, Fails::ShortForm | Fails::LongForm | Fails::Infinite);
            let of_prediction = matches!(fails, Fails::Predict | Fails::Nan);
            if of_statistic && !merges || of_form && !linear || of_prediction && linear {
                continue;
            }
            let told = stack(fails, merges, linear).fit(&x, &y).map(|_| ()).unwrap_err();
            let what = format!("{fails:?}, merges {merges}, linear {linear}: {told}");
            assert!(what.contains("'guilty'") && !what.contains("'innocent'"), "{what}");
            match told.kind() {
                ErrorKind::Learner { layer: 0, .. } | ErrorKind::Declaration { layer: 0, .. } => {}
                ErrorKind::Statistic { statistic, layer: Some(0), fold, .. } => {
                    assert_eq!(statistic, "strange sums", "{what}");
                    // States of several folds are merged, others are of one.
                    assert!(fold.is_some() || fails == Fails::Duplicate, "{what}");
                }
                _ => panic!("{what}"),
            }
        }
    }
}

#[test]
fn a_prediction_that_is_none_names_the_row_and_a_failed_one_the_learner() {
    let (x, y) = table(5_000);
    let error = stack(Fails::Nan, true, false).fit(&x, &y).map(|_| ()).unwrap_err();
    // The first fold's first row that begins with 7.
    let ErrorKind::Learner { name, layer: 0, fold: Some(fold), source } = error.kind() else {
        panic!("{error}")
    };
    assert_eq!(name, "guilty");
    let ErrorKind::Prediction { row, .. } = source.kind() else { panic!("{error}") };
    assert!(row % 100 == 7 && *row / 1666 == *fold, "{error}");
}

#[test]
fn saving_a_model_that_panics_is_an_error_by_name_and_so_is_loading_one() {
    let (x, y) = table(300);
    let fitted = stack(Fails::Save, false, false).fit(&x, &y).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model");
    let error = fitted.save(&path).unwrap_err();
    assert!(error.to_string().contains("'guilty'") && !path.exists(), "{error}");
    let mut registry = Registry::new();
    registry.add_loader("test.explosive", |_, _| panic!("the loader of a stranger"));
    let error = registry.load_model(&Record::new("test.explosive")).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("test.explosive"), "{error}");
}

#[test]
fn a_saved_model_whose_linear_form_is_too_wide_is_refused_when_it_is_loaded() {
    struct Wide;
    impl Model for Wide {
        fn n_inputs(&self) -> usize {
            3
        }
        fn predict_into(&self, _: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
            out.fill(0.0);
            Ok(())
        }
        fn as_linear(&self) -> Option<LinearForm<'_>> {
            Some(LinearForm { coefficients: &[1.0; 4], intercept: 0.0 })
        }
        fn bytes(&self) -> u64 {
            0
        }
        fn to_record(&self) -> Result<Record> {
            Ok(Record::new("test.wide"))
        }
    }
    let (x, y) = table(300);
    let fitted = SuperLearner::new(KFold::new(3))
        .layer(Layer::new().learner("it", registry().pipeline("native.ridge").unwrap()))
        .fit(&x, &y)
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model");
    fitted.save(&path).unwrap();
    let mut other = registry();
    other.add_loader(LinearModel::RECORD, |_, _| Ok(ensemble::Loaded::Model(Arc::new(Wide))));
    assert!(ensemble::FittedEnsemble::load(&path, &registry()).is_ok());
    let error = ensemble::FittedEnsemble::load(&path, &other).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("do not fit each other"), "{error}");
}

/// Fits of every shape of ensemble that predicts: linear, not linear, of classes, of two layers, in both orders.
fn ensembles() -> Vec<(&'static str, ensemble::FittedEnsemble)> {
    let (x, y) = table(300);
    let classes = DenseTable::column((0..300).map(|i| f64::from(10 + i % 3)).collect());
    let one = |text: &str| Layer::new().learner("it", registry().pipeline(text).unwrap());
    let fit = |layers: &[&str], y: &DenseTable| {
        layers.iter().fold(SuperLearner::new(KFold::new(3)), |s, text| s.layer(one(text))).fit(&x, y).unwrap()
    };
    vec![
        ("linear", fit(&["native.ridge"], &y)),
        ("lasso that drops columns", fit(&["native.lasso:alpha=1e6"], &y)),
        ("neighbours", fit(&["native.k_neighbors_regressor"], &y)),
        ("a pipeline", fit(&["native.normalizer | native.ridge"], &y)),
        ("classes", fit(&["native.gaussian_nb"], &classes)),
        ("two layers", fit(&["native.ridge", "native.k_neighbors_regressor"], &y)),
    ]
}

#[test]
fn rows_that_are_not_finite_are_refused_by_row_and_column_by_every_ensemble() {
    for (what, fitted) in ensembles() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for order in [Order::C, Order::F] {
                for (row, column) in [(0, 0), (2_500, 1), (2_999, 2)] {
                    let mut values = vec![0.5; 3_000 * 3];
                    values[if order == Order::C { row * 3 + column } else { column * 3_000 + row }] = value;
                    let x = DenseTable::new(values, 3_000, 3, order).unwrap();
                    let told = |error: Error| match error.kind() {
                        ErrorKind::NotFinite { table, row: r, column: c, .. } => {
                            assert_eq!((*r, *c), (row, column), "{what}: {error}");
                            assert_eq!(*table, x.describe(), "{what}: {error}");
                        }
                        _ => panic!("{what}, {order:?}, {value} at {row}, {column}: {error}"),
                    };
                    told(fitted.predict(&x).unwrap_err());
                    if fitted.classifies() {
                        told(fitted.predict_proba(&x).unwrap_err());
                    }
                }
            }
        }
    }
}

#[test]
fn rows_whose_predictions_overflow_are_an_error_that_names_row_and_learner() {
    for (what, fitted) in ensembles() {
        if !["linear", "classes", "two layers"].contains(&what) {
            continue;
        }
        let mut values = vec![0.5; 3_000 * 3];
        values[2_100 * 3..2_101 * 3].copy_from_slice(&[1e308, 1e308, -1e308]);
        let x = DenseTable::new(values, 3_000, 3, Order::C).unwrap();
        let error = match fitted.predict(&x) {
            Err(error) => error,
            // Coefficients below 1 keep it finite: then it is a number.
            Ok(out) => {
                assert!(out.iter().all(|v| v.is_finite()), "{what}");
                continue;
            }
        };
        let ErrorKind::Learner { name, layer, source, .. } = error.kind() else { panic!("{what}: {error}") };
        assert_eq!(name, "it");
        // A prediction that is still a number may be more than the learner above it can measure by.
        match (what, layer) {
            ("two layers", 1) => assert!(error.to_string().contains("row 2100"), "{error}"),
            (_, layer) => {
                assert_eq!(*layer, 0, "{what}: {error}");
                assert!(matches!(source.kind(), ErrorKind::Prediction { row: 2_100, .. }), "{what}: {error}");
            }
        }
    }
    let model = LinearModel::new("test", vec![2.0; 3], 0.0);
    let x = [1e308; 3];
    let mut out = [0.0];
    let error = model
        .predict_into(MatRef::new(&x, 1, 3, Order::C).unwrap(), MatMut::column_vector(&mut out))
        .unwrap_err();
    assert!(error.to_string().contains("predicts inf for row 0"), "{error}");
}

/// Learns from rows with gaps: the mean of the target, and a model that says so.
struct Gaps;

struct GapsModel(usize);

impl Estimator for Gaps {
    fn kind(&self) -> String {
        "test.gaps".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn cost(&self, _: Shape) -> FitCost {
        FitCost::default()
    }
    fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        Ok(Arc::new(GapsModel(train.shape().ncols)))
    }
}

impl Model for GapsModel {
    fn n_inputs(&self) -> usize {
        self.0
    }
    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        out.fill(1.0);
        Ok(())
    }
    fn accepts_missing(&self) -> bool {
        true
    }
    fn bytes(&self) -> u64 {
        0
    }
    fn to_record(&self) -> Result<Record> {
        Err(Error::unsupported("it is not saved"))
    }
}

#[test]
fn a_model_made_for_gaps_predicts_rows_of_nan_and_refuses_infinity() {
    let (x, y) = table(300);
    let fitted =
        SuperLearner::new(KFold::new(3)).layer(Layer::new().learner("it", Gaps)).fit(&x, &y).unwrap();
    let row = |value: f64| DenseTable::new(vec![0.0, value, 1.0], 1, 3, Order::C).unwrap();
    assert_eq!(fitted.predict(&row(f64::NAN)).unwrap(), [1.0]);
    assert!(fitted.predict(&row(f64::INFINITY)).is_err());
}

#[test]
fn a_fit_on_values_whose_sums_overflow_is_an_error_outside_an_ensemble_too() {
    let rows = 60;
    let x: Vec<f64> = (0..2 * rows).map(|i| 1e200 * (i * 37 % 11) as f64).collect();
    let y: Vec<f64> = (0..rows).map(|i| (i % 2) as f64).collect();
    let all = ensemble::Rows::all(rows);
    let view = |values, ncols| {
        let mat = MatRef::new(values, rows, ncols, Order::C).unwrap();
        ensemble::RowsView::new(mat, &all).unwrap()
    };
    let train = Train::new(view(&x, 2), view(&y, 1)).unwrap();
    let ledger = ensemble::Ledger::new();
    let cx = FitContext::alone(&ensemble::Heap, &ledger);
    for kind in ["native.gaussian_nb", "native.linear_regression", "native.ridge", "native.nnls"] {
        let learner = registry().pipeline(kind).unwrap();
        let cx = if learner.predicts() == Predicts::Numbers { cx } else { cx.with_classes(2) };
        let error = learner.fit_rows(&train, &cx).map(|_| ()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Overflow { .. }), "{kind}: {error}");
    }
}

#[test]
fn scores_and_models_that_are_no_numbers_never_leave_a_fit() {
    // Targets of 1e200 have squared errors that overflow, whichever way they are summed up.
    let (x, _) = table(300);
    let y = DenseTable::column((0..300).map(|i| 1e200 * f64::from(i * 53 % 17 - 8)).collect());
    for meta in ["native.mean", "native.nnls"] {
        for learner in ["native.linear_regression", "native.mean", "native.k_neighbors_regressor"] {
            let pipeline = |text: &str| registry().pipeline(text).unwrap();
            let stack = SuperLearner::new(KFold::new(3))
                .layer(Layer::new().learner("it", pipeline(learner)))
                .meta(pipeline(meta));
            assert!(stack.fit(&x, &y).is_err(), "{learner} under {meta}");
        }
    }
}
