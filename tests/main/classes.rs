//! Classifiers: labels are numbered once, every class has its column, and a fold may lack a class.

use std::sync::Arc;

use ensemble::{
    Access, Classes, ConstantModel, DenseTable, Error, ErrorKind, Estimator, FitContext, FitCost,
    FittedEnsemble, KFold, Label, Layer, Loaded, MatMut, MatRef, Model, Order, Predicts, Record, Registry,
    Result, Shape, SuperLearner, Table, Train, WorkKind, check_prediction, class_counts,
    memmap::{MappedTable, NpyWriter},
    native::{LinearRegression, NonNegativeLeastSquares},
    registry,
};

/// The class whose mean row is nearest; probabilities fall off with the squared distance.
#[derive(Clone, Copy)]
struct NearestMean(Predicts);

struct Means {
    predicts: Predicts,
    ncols: usize,
    /// By class; absent where the class was missing.
    means: Vec<Option<Vec<f64>>>,
}

impl Estimator for NearestMean {
    fn kind(&self) -> String {
        "test.nearest_mean".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn predicts(&self) -> Predicts {
        self.0
    }
    fn cost(&self, train: Shape) -> FitCost {
        FitCost { peak_bytes: train.ncols as u64 * 80, model_bytes: train.ncols as u64 * 80 }
    }
    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        let counts = class_counts(train, cx)?;
        let ncols = train.shape().ncols;
        let present: Vec<usize> = (0..counts.len()).filter(|c| counts[*c] > 0).collect();
        if let [class] = present[..] {
            return Ok(Arc::new(ConstantModel::certain(ncols, class, counts.len())));
        }
        let mut means: Vec<Option<Vec<f64>>> =
            counts.iter().map(|n| (*n > 0).then(|| vec![0.0; ncols])).collect();
        for (x, y) in train.x().segments().filter(|s| s.nrows() > 0).zip(train.y()) {
            for (row, class) in y.iter().enumerate() {
                for (j, sum) in means[*class as usize].as_mut().unwrap().iter_mut().enumerate() {
                    *sum += x.get(row, j) / counts[*class as usize] as f64;
                }
            }
        }
        Ok(Arc::new(Means { predicts: self.0, ncols, means }))
    }
}

impl Model for Means {
    fn n_inputs(&self) -> usize {
        self.ncols
    }
    fn n_outputs(&self) -> usize {
        self.means.len()
    }
    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        for row in 0..x.nrows() {
            let distance = |mean: &Option<Vec<f64>>| {
                mean.as_ref()
                    .map_or(f64::INFINITY, |m| (0..self.ncols).map(|j| (x.get(row, j) - m[j]).powi(2)).sum())
            };
            let distances: Vec<f64> = self.means.iter().map(distance).collect();
            let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
            let total: f64 = distances.iter().map(|d| (least - d).exp()).sum();
            let nearest = distances.iter().position(|d| *d == least).unwrap();
            for (class, d) in distances.iter().enumerate() {
                let vote = f64::from(u8::from(class == nearest));
                let value = if self.predicts == Predicts::Votes { vote } else { (least - d).exp() / total };
                out.set(row, class, value);
            }
        }
        Ok(())
    }
    fn bytes(&self) -> u64 {
        (self.means.len() * self.ncols * 8) as u64
    }
    fn to_record(&self) -> Result<Record> {
        let mut record = Record::new("test.means").with_field("columns", self.ncols);
        for mean in &self.means {
            let values = mean.clone().unwrap_or_default();
            record = record.with_child(Record::new("mean").with_array("values", &[values.len()], values));
        }
        Ok(record)
    }
}

fn load(record: &Record, _: &Registry) -> Result<Loaded> {
    let mean = |child: &Record| Ok(Some(child.array("values")?.data.clone()).filter(|v| !v.is_empty()));
    let means = record.children().iter().map(mean).collect::<Result<_>>()?;
    Ok(Loaded::Model(Arc::new(Means {
        predicts: Predicts::Probabilities,
        ncols: record.count("columns")?,
        means,
    })))
}

/// Three blobs; row i is of class i mod k, or classes follow each other when `sorted`.
fn blobs(n: usize, labels: &[f64], sorted: bool) -> (Vec<f64>, Vec<f64>) {
    let k = labels.len();
    let class = |row: usize| if sorted { row * k / n } else { row % k };
    let noise = |i: usize| ((i * 2_654_435_761) % 1000) as f64 / 500.0 - 1.0;
    let x = (0..n * 3).map(|i| if i % 3 == class(i / 3) % 3 { 3.0 } else { 0.0 } + 1.2 * noise(i)).collect();
    (x, (0..n).map(|row| labels[class(row)]).collect())
}

fn tables(n: usize, labels: &[f64], sorted: bool) -> (DenseTable, DenseTable) {
    let (x, y) = blobs(n, labels, sorted);
    (DenseTable::new(x, n, 3, Order::C).unwrap(), DenseTable::column(y))
}

fn stack() -> SuperLearner {
    SuperLearner::new(KFold::new(3).exact())
        .layer(
            Layer::new()
                .learner("soft", NearestMean(Predicts::Probabilities))
                .learner("hard", NearestMean(Predicts::Votes)),
        )
        .meta(NearestMean(Predicts::Probabilities))
        .keep_out_of_fold()
}

#[test]
fn a_stack_of_classifiers_predicts_labels_and_probabilities() {
    let labels = [-4.0, 1.0, 7.0];
    let (x, y) = tables(600, &labels, false);
    let plan = stack().plan(&x, &y).unwrap();
    assert_eq!(plan.classes().unwrap().labels(), [-4, 1, 7].map(Label::Integer));
    assert!(plan.to_string().contains("3 classes: -4, 1, 7"), "{plan}");
    let fitted = stack().fit(&x, &y).unwrap();
    assert!(fitted.report().unwrap().as_planned && fitted.classifies());
    // Labels that are no class numbers are written once as such: the only bytes besides prediction columns.
    let numbers: Vec<u64> = (fitted.report().unwrap().copies().iter())
        .filter(|w| w.kind != WorkKind::Predictions)
        .map(|w| w.bytes)
        .collect();
    assert_eq!(numbers, [600 * 8]);
    let out_of_fold = fitted.transform().unwrap();
    assert_eq!((out_of_fold.nrows(), out_of_fold.ncols()), (600, 6), "a column per learner and class");
    let probabilities = fitted.predict_proba(&x).unwrap();
    let predicted = fitted.predict(&x).unwrap();
    for (row, p) in probabilities.chunks_exact(3).enumerate() {
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let best = (0..3).fold(0, |best, c| if p[c] > p[best] { c } else { best });
        assert_eq!(predicted[row], labels[best]);
    }
    let right = predicted.iter().zip(y.as_mat().column(0).unwrap()).filter(|(p, y)| p == y).count();
    assert!(right > 580, "{right} of 600");
    for learner in &fitted.report().unwrap().learners {
        let scores = learner.scores.as_ref().unwrap();
        let classes = scores.classes.as_ref().unwrap();
        assert!(classes.cv_accuracy_mean > 0.95, "{}: {classes:?}", learner.name);
        assert_eq!(classes.cv_log_loss_mean.is_some(), learner.name != "hard");
        let share_wrong = 1.0 - classes.cv_accuracy_folds[0];
        if learner.name == "hard" {
            // Half the squared distance between two corners of the simplex is 1.
            assert!((scores.cv_rmse_folds[0].powi(2) - share_wrong).abs() < 1e-12);
        }
    }
}

#[test]
fn class_numbers_are_read_in_place_and_threads_and_order_of_rows_change_no_bit() {
    let dir = tempfile::tempdir().unwrap();
    let n = 3 * 1024 + 40;
    let (x, y) = blobs(n, &[0.0, 1.0, 2.0], false);
    let (xp, yp) = (dir.path().join("X.npy"), dir.path().join("y.npy"));
    let mut out = NpyWriter::create(&xp, n, 3, Order::C).unwrap();
    out.write_rows(&x).unwrap();
    out.finish().unwrap();
    let mut out = NpyWriter::create_vector(&yp, n).unwrap();
    out.write_rows(&y).unwrap();
    out.finish().unwrap();
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let one = stack().threads(1).fit(&x, &y).unwrap();
    assert!(
        one.report().unwrap().copies().iter().all(|w| w.kind == WorkKind::Predictions),
        "the target is not copied"
    );
    let many = stack().threads(4).fit(&x, &y).unwrap();
    assert_eq!(one.predict_proba(&x).unwrap(), many.predict_proba(&x).unwrap());
    assert_eq!(one.transform().unwrap().as_slice(), many.transform().unwrap().as_slice());

    let shuffled = SuperLearner::new(KFold::new(3).shuffle(7))
        .layer(Layer::new().learner("soft", NearestMean(Predicts::Probabilities)))
        .keep_out_of_fold();
    let fitted = shuffled.fit(&x, &y).unwrap();
    assert!(fitted.report().unwrap().as_planned);
    let rows = fitted.transform().unwrap();
    let y = y.as_mat();
    let right = (0..n).filter(|r| rows.get(*r, y.get(*r, 0) as usize) > 0.5).count();
    assert!(right > n * 95 / 100, "rows are in the input's order: {right} of {n}");
}

#[test]
fn a_fold_may_lack_a_class_and_a_training_set_all_but_one() {
    let (x, y) = tables(600, &[1.0, 2.0, 3.0], true);
    let fitted = stack().fit(&x, &y).unwrap();
    // Without fold 0 there is no row of the first class: its column is 0 there.
    let z = fitted.transform().unwrap();
    assert!((0..200).all(|row| z.get(row, 0) == 0.0 && z.get(row, 1) + z.get(row, 2) > 0.999));
    let two = SuperLearner::new(KFold::new(2).exact())
        .layer(Layer::new().learner("a", NearestMean(Predicts::Probabilities)))
        .keep_out_of_fold();
    let (x, y) = tables(100, &[0.0, 1.0], true);
    let fitted = two.fit(&x, &y).unwrap();
    assert_eq!(fitted.transform().unwrap().row(0), Some(&[0.0, 1.0][..]), "fitted on rows of one class");
}

#[test]
fn two_classes_may_be_combined_by_a_regressor_and_three_may_not() {
    let stack = SuperLearner::new(KFold::new(4).exact())
        .layer(
            Layer::new()
                .learner("soft", NearestMean(Predicts::Probabilities))
                .learner("line", LinearRegression::new()),
        )
        .meta(NonNegativeLeastSquares::new());
    let (x, y) = tables(400, &[0.0, 5.0], false);
    let fitted = stack.fit(&x, &y).unwrap();
    assert!(!fitted.classifies());
    let shares = fitted.predict(&x).unwrap();
    let right =
        shares.iter().zip(y.as_mat().column(0).unwrap()).filter(|(s, y)| (**s > 0.5) == (**y > 0.0)).count();
    assert!(right > 380, "numbers are of the second class: {right}");
    assert!(fitted.predict_proba(&x).is_err());
    let (x, y) = tables(400, &[0.0, 1.0, 2.0], false);
    let error = stack.fit(&x, &y).err().unwrap().to_string();
    assert!(error.contains("'line'") && error.contains("3 classes"), "{error}");
}

#[test]
fn labels_that_are_words_come_back_and_are_saved() {
    let words: Vec<&str> = (0..300).map(|row| ["oak", "ash", "elm"][row % 3]).collect();
    let (classes, numbers) = Classes::encode(words.iter().copied()).unwrap();
    let (x, _) = tables(300, &[0.0, 1.0, 2.0], false);
    let y = DenseTable::column(numbers);
    let stack = SuperLearner::new(KFold::new(3).exact())
        .layer(Layer::new().learner("soft", NearestMean(Predicts::Probabilities)))
        .meta(NearestMean(Predicts::Probabilities))
        .classes(classes);
    let fitted = stack.fit(&x, &y).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m");
    fitted.save(&path).unwrap();
    let mut registry = registry();
    registry.add_loader("test.means", load);
    let loaded = FittedEnsemble::load(&path, &registry).unwrap();
    assert_eq!(loaded.predict_proba(&x).unwrap(), fitted.predict_proba(&x).unwrap());
    let predicted = loaded.predict(&x).unwrap();
    let classes = loaded.classes().unwrap();
    let right = (0..300).filter(|r| *classes.label(predicted[*r] as usize) == words[*r]).count();
    assert!(right > 285, "{right} of 300");
    let beyond = DenseTable::column((0..300).map(|r| f64::from(r % 4)).collect());
    let error = stack.fit(&x, &beyond).err().unwrap().to_string();
    assert!(error.contains("row 3"), "{error}");
}

#[test]
fn targets_that_are_no_labels_are_refused_by_row() {
    let (x, _) = tables(30, &[0.0, 1.0], false);
    let with = |value: f64| {
        let y = DenseTable::column((0..30).map(|r| if r == 7 { value } else { f64::from(r % 2) }).collect());
        stack().plan(&x, &y).err().unwrap()
    };
    for value in [0.5, f64::NAN, f64::INFINITY, 1e300] {
        let error = with(value);
        assert!(matches!(error.kind(), ErrorKind::Classes { .. }));
        assert!(error.to_string().contains("row 7"), "{error}");
    }
    let one = DenseTable::column(vec![2.0; 30]);
    assert!(stack().plan(&x, &one).err().unwrap().to_string().contains("1 class"));
}

#[test]
fn a_model_with_other_columns_than_declared_is_an_error_of_its_learner() {
    struct Wrong;
    impl Estimator for Wrong {
        fn kind(&self) -> String {
            "test.wrong".into()
        }
        fn access(&self) -> Access {
            Access::Segments
        }
        fn predicts(&self) -> Predicts {
            Predicts::Votes
        }
        fn cost(&self, _: Shape) -> FitCost {
            FitCost::default()
        }
        fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
            if train.shape().nrows == 0 {
                return Err(Error::unsupported("no rows"));
            }
            Ok(Arc::new(ConstantModel::certain(train.shape().ncols, 0, 5)))
        }
    }
    let (x, y) = tables(60, &[0.0, 1.0, 2.0], false);
    let stack = SuperLearner::new(KFold::new(3)).layer(Layer::new().learner("wide", Wrong));
    let error = stack.fit(&x, &y).err().unwrap().to_string();
    assert!(error.contains("wide") && error.contains("wanted 3, got 5"), "{error}");
}

#[test]
fn classifiers_whose_fits_merge_take_one_pass_behind_scalers_too() {
    let dir = tempfile::tempdir().unwrap();
    let n = 3 * 2048;
    let (x, y) = blobs(n, &[0.0, 1.0, 2.0], false);
    let (x, y) = (DenseTable::new(x, n, 3, Order::C).unwrap(), DenseTable::column(y));
    let registry = registry();
    let pipeline = |text: &str| registry.pipeline(text).unwrap();
    let stack = |threads| {
        SuperLearner::new(KFold::new(5))
            .layer(
                Layer::new()
                    .learner("bare", pipeline("native.gaussian_nb"))
                    .learner("scaled", pipeline("native.standard_scaler | native.gaussian_nb")),
            )
            .meta(pipeline("native.gaussian_nb"))
            .keep_out_of_fold()
            .threads(threads)
    };
    let fitted = stack(1).fit(&x, &y).unwrap();
    let totals = fitted.report().unwrap().totals;
    assert_eq!(
        (totals.data_passes, totals.gathered_bytes),
        (2, 0),
        "statistics, then out-of-fold predictions"
    );
    assert!(fitted.report().unwrap().as_planned);
    let z = fitted.transform().unwrap();
    let right = (0..n).filter(|r| z.get(*r, y.as_mat().get(*r, 0) as usize) > 0.5).count();
    assert!(right > n * 95 / 100, "{right} of {n}");
    for row in 0..n {
        for class in 0..3 {
            assert!(
                (z.get(row, class) - z.get(row, 3 + class)).abs() < 1e-9,
                "scaling changes no probability"
            );
        }
    }
    let many = stack(3).fit(&x, &y).unwrap();
    assert_eq!(many.transform().unwrap().as_slice(), z.as_slice());
    let path = dir.path().join("m");
    fitted.save(&path).unwrap();
    let loaded = FittedEnsemble::load(&path, &registry).unwrap();
    assert_eq!(loaded.predict_proba(&x).unwrap(), fitted.predict_proba(&x).unwrap());
}
