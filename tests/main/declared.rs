//! What learners declare is true, and reports say what was done.

use std::{sync::Arc, thread, time::Duration};

use ensemble::{
    Access, DenseTable, Error, ErrorKind, Estimator, FitContext, FitCost, FittedTransform, KFold, Layer,
    Learner, MatMut, MatRef, MissingValues, Model, Order, Record, Result, Shape, SuperLearner, Table, Train,
    Transformer, WorkKind, registry,
};

use crate::support::{Runs, WholeMatrix};

fn tables(nrows: usize) -> (DenseTable, DenseTable) {
    let (mut x, mut y) = (vec![0.0; nrows * 5], vec![0.0; nrows]);
    ensemble::Friedman1::new(9, 5, 1.0).unwrap().rows_into(0, &mut x, &mut y);
    (DenseTable::new(x, nrows, 5, Order::C).unwrap(), DenseTable::column(y))
}

#[test]
fn passes_are_scans_of_the_input_table_and_nothing_else() {
    let (x, y) = tables(2000);
    let pipeline = |text: &str| registry().pipeline(text).unwrap();
    let passes = |stack: SuperLearner| {
        let planned = stack.plan(&x, &y).unwrap().totals().data_passes;
        let fitted = stack.fit(&x, &y).unwrap();
        assert_eq!(fitted.report().unwrap().totals.data_passes, planned);
        let scans = fitted.report().unwrap().work.iter().filter(|w| w.kind == WorkKind::Pass);
        (planned, scans.filter(|w| w.layer > 0).count())
    };
    let stack = || SuperLearner::new(KFold::new(4));
    // Values are checked, and the held-out folds predicted. The upper layers read prediction columns: one scan for the ridge's
    // moments, and one through the ridge for the scaler's extrema and the last one's moments.
    let three = stack()
        .layer(Layer::new().learner("rows", Runs))
        .layer(Layer::new().learner("ridge", pipeline("native.ridge")))
        .meta(pipeline("native.min_max_scaler | native.ridge"));
    assert_eq!(passes(three), (2, 2));
    // Every learner that needs rows predicts its folds on its own.
    let four = || {
        let layer = Layer::new().learner("rows", Runs).learner("whole", WholeMatrix(None));
        layer
            .learner("near", pipeline("native.k_neighbors_regressor"))
            .learner("ridge", pipeline("native.ridge"))
    };
    assert_eq!(passes(stack().layer(four()).meta(pipeline("native.nnls"))), (4, 1));
    // A last layer that is not scored predicts nothing.
    assert_eq!(passes(stack().layer(Layer::new().learner("rows", Runs)).without_meta_score()), (1, 0));
}

#[test]
fn copies_in_a_fit_are_the_learners_own_and_those_for_its_rows_are_shared() {
    let (x, y) = tables(3000);
    let layer = Layer::new()
        .learner("mapped", registry().pipeline("native.normalizer | native.k_neighbors_regressor").unwrap())
        .learner("whole", WholeMatrix(Some(Order::F)))
        .learner("runs", Runs);
    let fitted = SuperLearner::new(KFold::new(3))
        .layer(layer)
        .meta(registry().pipeline("native.nnls").unwrap())
        .fit(&x, &y)
        .unwrap();
    let report = fitted.report().unwrap();
    assert!(report.as_planned, "{:#?}", report.work);
    let bytes = |name: &str| report.learners.iter().find(|l| l.name == name).unwrap().copied_bytes;
    assert_eq!(bytes("mapped"), report.totals.transformed_bytes);
    assert_eq!(bytes("whole"), report.totals.gathered_bytes);
    assert!(bytes("mapped") > 0 && bytes("whole") > 0);
    assert_eq!(bytes("runs"), 0);
    let ways: Vec<&str> = report.learners.iter().map(|l| l.access.as_str()).collect();
    assert_eq!(ways, ["segments", "gathered", "segments", "merge"]);
}

/// Fits the mean of the values there are, in no time, and predicts it slowly.
struct Patient;

struct Mean(f64, usize);

impl Estimator for Patient {
    fn kind(&self) -> String {
        "test.patient".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn cost(&self, _: Shape) -> FitCost {
        FitCost::default()
    }
    fn missing_values(&self) -> MissingValues {
        MissingValues::Accepted
    }
    fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        let (mut sum, mut n) = (0.0, 0);
        for x in train.x().segments() {
            for row in 0..x.nrows() {
                if x.get(row, 1).is_finite() {
                    (sum, n) = (sum + x.get(row, 1), n + 1);
                }
            }
        }
        Ok(Arc::new(Mean(sum / f64::from(n), train.shape().ncols)))
    }
}

impl Model for Mean {
    fn n_inputs(&self) -> usize {
        self.1
    }
    fn accepts_missing(&self) -> bool {
        true
    }
    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        thread::sleep(Duration::from_millis(20));
        for row in 0..x.nrows() {
            out.set(row, 0, self.0);
        }
        Ok(())
    }
    fn bytes(&self) -> u64 {
        16
    }
    fn to_record(&self) -> Result<Record> {
        Err(Error::unsupported("it is not saved"))
    }
}

/// Puts 0 where a value is missing.
struct Fill;

struct Filled(usize);

impl Transformer for Fill {
    fn kind(&self) -> String {
        "test.fill".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn cost(&self, _: Shape) -> FitCost {
        FitCost::default()
    }
    fn missing_values(&self) -> MissingValues {
        MissingValues::Accepted
    }
    fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        Ok(Arc::new(Filled(train.shape().ncols)))
    }
}

impl FittedTransform for Filled {
    fn n_in(&self) -> usize {
        self.0
    }
    fn n_out(&self) -> usize {
        self.0
    }
    fn accepts_missing(&self) -> bool {
        true
    }
    fn transform_block_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        for row in 0..x.nrows() {
            for column in 0..x.ncols() {
                let value = x.get(row, column);
                out.set(row, column, if value.is_nan() { 0.0 } else { value });
            }
        }
        Ok(())
    }
    fn to_record(&self) -> Result<Record> {
        Err(Error::unsupported("it is not saved"))
    }
}

#[test]
fn predicting_held_out_folds_has_seconds_of_its_own() {
    let (x, y) = tables(2000);
    let layer = || Layer::new().learner("patient", Patient);
    let fitted = SuperLearner::new(KFold::new(5)).layer(layer()).meta(Runs).threads(2).fit(&x, &y).unwrap();
    let patient = &fitted.report().unwrap().learners[0];
    assert!(patient.predict_seconds >= 0.1, "{}", patient.predict_seconds);
    assert!(patient.fit_seconds < patient.predict_seconds);
}

#[test]
fn a_layer_of_learners_that_accept_missing_values_gets_them_and_another_learner_says_that_it_does_not() {
    let (x, y) = tables(2000);
    let with = |value: f64| {
        let mut values = x.as_mat().data().to_vec();
        values[5 * 1234 + 1] = value;
        DenseTable::new(values, 2000, 5, Order::C).unwrap()
    };
    let accepting = || Layer::new().learner("patient", Patient).learner("too", Patient);
    let stack = |layer: Layer| SuperLearner::new(KFold::new(4)).layer(layer).meta(Runs);
    let fitted = stack(accepting()).fit(&with(f64::NAN), &y).unwrap();
    assert!(fitted.report().unwrap().as_planned);
    assert!(fitted.report().unwrap().learners[0].scores.as_ref().unwrap().cv_rmse_mean.is_finite());
    assert!(fitted.accepts_missing());
    assert_eq!(fitted.predict(&with(f64::NAN)).unwrap(), fitted.predict(&x).unwrap());
    assert!(fitted.predict(&with(f64::NEG_INFINITY)).is_err());

    // A transformer that fills may stand before a learner that refuses.
    let fill: [Arc<dyn Transformer>; 1] = [Arc::new(Fill)];
    let filled = stack(Layer::new().case("filled", &fill, [Learner::new("runs", Runs)]));
    let filled = filled.fit(&with(f64::NAN), &y).unwrap();
    assert!(filled.report().unwrap().as_planned && filled.accepts_missing());
    assert_eq!(filled.predict(&with(f64::NAN)).unwrap(), filled.predict(&with(0.0)).unwrap());

    let place = "row 1234, column 1 (both from 0)";
    let error = stack(accepting()).fit(&with(f64::INFINITY), &y).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotFinite { row: 1234, column: 1, .. }), "{error}");
    for refusing in
        [accepting().learner("runs", Runs), Layer::new().learner("runs", Runs).learner("p", Patient)]
    {
        for folds in [KFold::new(4), KFold::new(4).shuffle(3)] {
            let stack = SuperLearner::new(folds).layer(refusing.clone()).meta(Runs);
            let text = stack.fit(&with(f64::NAN), &y).unwrap_err().to_string();
            assert!(text.contains("learner 'runs'") && text.contains(place), "{text}");
        }
    }
    let mut bad = y.as_mat().data().to_vec();
    bad[7] = f64::NAN;
    let error = stack(accepting()).fit(&x, &DenseTable::column(bad)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotFinite { row: 7, column: 0, .. }), "{error}");
}
