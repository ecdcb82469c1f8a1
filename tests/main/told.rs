//! What a caller is told: progress that ends where it said, and faults by the name of who made them.

use std::sync::{Arc, Mutex};

use ensemble::{
    Access, Classes, DenseTable, Error, Estimator, Event, FitContext, FitCost, FittedTransform, KFold, Layer,
    MatMut, MatRef, Model, Monitor, Order, Pipeline, Record, Result, Rows, RowsView, Shape, SuperLearner,
    Train, Transformer, native::LinearRegression, predict_linear, registry,
};

/// Turns the value 7 of the first column into NaN.
struct Spoils;

impl Transformer for Spoils {
    fn kind(&self) -> String {
        "test.spoils".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn cost(&self, _: Shape) -> FitCost {
        FitCost::default()
    }
    fn fit_rows(&self, _: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        Ok(Arc::new(Spoils))
    }
}

impl FittedTransform for Spoils {
    fn n_in(&self) -> usize {
        2
    }
    fn n_out(&self) -> usize {
        2
    }
    fn transform_block_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        for row in 0..x.nrows() {
            out.set(row, 0, if x.get(row, 0) == 7.0 { f64::NAN } else { x.get(row, 0) });
            out.set(row, 1, x.get(row, 1));
        }
        Ok(())
    }
    fn to_record(&self) -> Result<Record> {
        Err(Error::unsupported("not saved"))
    }
}

/// Looks at its rows first, as adapters do.
struct Looks;

impl Estimator for Looks {
    fn kind(&self) -> String {
        "test.looks".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn cost(&self, _: Shape) -> FitCost {
        FitCost::default()
    }
    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        train.check_finite()?;
        LinearRegression::new().fit_rows(train, cx)
    }
}

fn counted(nrows: usize) -> (DenseTable, DenseTable) {
    let x = (0..nrows).flat_map(|i| [i as f64, (i * i % 13) as f64]).collect();
    let y = (0..nrows).map(|i| (i % 5) as f64).collect();
    (DenseTable::new(x, nrows, 2, Order::C).unwrap(), DenseTable::column(y))
}

#[test]
fn a_value_that_a_transformer_spoils_is_blamed_on_the_learner_that_has_it_and_not_on_the_input() {
    let (x, y) = counted(40);
    let spoilt = Pipeline::new(vec![Arc::new(Spoils)], Arc::new(Looks));
    let learner = SuperLearner::new(KFold::new(4).exact()).layer(Layer::new().learner("spoilt", spoilt));
    // Row 7 lies in fold 0, so the fits without folds 1, 2 and 3 have it, and the one on all rows.
    let text = learner.threads(1).fit(&x, &y).unwrap_err().to_string();
    for word in ["learner 'spoilt' (layer 0, ", "its transformers make NaN", "row 7 ", "column 0 "] {
        assert!(text.contains(word), "{text}");
    }
    assert!(!text.contains("drop or fill"), "{text}");
}

/// Steps announced of a layer, and those told: what, and the fold.
type Told = (usize, Vec<(String, Option<usize>)>);

#[derive(Default)]
struct Heard(Mutex<Vec<Told>>);

impl Monitor for Heard {
    fn event(&self, event: Event<'_>) {
        let mut heard = self.0.lock().unwrap();
        match event {
            Event::Layer { steps, .. } => heard.push((steps, Vec::new())),
            Event::Step { what, fold, .. } => heard.last_mut().unwrap().1.push((what.into(), fold)),
            _ => {}
        }
    }
}

#[test]
fn as_many_steps_are_told_as_were_announced_by_learner_and_fold() {
    let (x, y) = counted(400);
    for folds in [KFold::new(4), KFold::new(4).shuffle(1)] {
        let heard = Arc::new(Heard::default());
        let layer = Layer::new()
            .learner("near", registry().pipeline("native.k_neighbors_regressor").unwrap())
            .learner("ols", LinearRegression::new())
            .learner("rows", Looks);
        let learner = SuperLearner::new(folds).layer(layer).meta(registry().pipeline("nnls").unwrap());
        learner.monitor(Arc::clone(&heard) as Arc<dyn Monitor>).fit(&x, &y).unwrap();
        let heard = heard.0.lock().unwrap();
        assert_eq!(heard.len(), 2);
        for (announced, told) in heard.iter() {
            assert_eq!(*announced, told.len(), "{told:?}");
        }
        let (_, first) = &heard[0];
        for fold in (0..4).map(Some) {
            let count = |name: &str| first.iter().filter(|(n, f)| n == name && *f == fold).count();
            // Fitted and then scored; one that needs rows does both at once.
            assert_eq!((count("near"), count("ols"), count("rows")), (2, 2, 1));
        }
    }
}

#[test]
fn class_numbers_that_are_none_are_told_by_the_rows_of_the_input_when_shuffled() {
    let (x, _) = counted(400);
    let mut y: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
    y[77] = 5.0;
    let classes = Classes::encode(["no", "yes"]).unwrap().0;
    for folds in [KFold::new(4), KFold::new(4).shuffle(1)] {
        let learner = SuperLearner::new(folds)
            .layer(Layer::new().learner("nb", registry().pipeline("native.gaussian_nb").unwrap()))
            .classes(classes.clone());
        let text = learner.fit(&x, &DenseTable::column(y.clone())).unwrap_err().to_string();
        assert!(text.contains("row 77 holds 5"), "{text}");
    }
}

#[test]
fn rows_sorted_by_class_and_targets_of_measurements_are_noted() {
    let (x, _) = counted(400);
    let fit = |y: Vec<f64>, folds: KFold| {
        let layer = Layer::new().learner("nb", registry().pipeline("native.gaussian_nb").unwrap());
        let fitted = SuperLearner::new(folds).layer(layer).fit(&x, &DenseTable::column(y)).unwrap();
        fitted.report().unwrap().notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let sorted: Vec<f64> = (0..400).map(|i| f64::from(i / 100)).collect();
    let said = fit(sorted.clone(), KFold::new(4));
    assert!(said.contains("all rows of class '0' lie in fold 0") && said.contains("4 classes"), "{said}");
    assert_eq!(fit(sorted, KFold::new(4).shuffle(1)), "");
    let said = fit((0..400).map(|i| f64::from(i * 7 % 40)).collect(), KFold::new(4));
    assert!(said.contains("40 classes are all numbers"), "{said}");
}

#[test]
fn super_learners_show_their_layers_and_say_what_is_missing_in_them() {
    let (x, y) = counted(40);
    let learner =
        SuperLearner::new(KFold::new(4)).layer(Layer::new().learner("ols", LinearRegression::new()));
    assert!(format!("{learner:?}").contains("[[(\"ols\", \"native.linear_regression\")]]"), "{learner:?}");
    let fitted = learner.fit(&x, &y).unwrap();
    assert!(format!("{fitted:?}").contains("(\"ols\", \"native.linear_regression\")"), "{fitted:?}");
    let two = Layer::new().learner("a", LinearRegression::new()).learner("a", LinearRegression::new());
    let none = SuperLearner::new(KFold::new(4));
    for (learner, words) in [
        (none.clone(), "there is no layer"),
        (none.clone().layer(Layer::new()), "layer 0 has no learner"),
        (none.layer(two).meta(LinearRegression::new()), "two learners of layer 0 are called 'a'"),
    ] {
        let text = learner.fit(&x, &y).unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn sizes_that_differ_are_told_with_the_numbers_that_differ() {
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let x = MatRef::new(&values, 3, 2, Order::C).unwrap();
    let (rows, strided) = (Rows::all(3), MatRef::with_stride(&values, 3, 1, Order::C, 2).unwrap());
    let train = Train::new(RowsView::new(x, &rows).unwrap(), RowsView::new(strided, &rows).unwrap());
    let text = train.err().expect("gaps").to_string();
    assert!(text.contains("neighbouring values"), "{text}");
    let text = predict_linear(x, &[], MatMut::new(&mut [], 4, 0, Order::C).unwrap()).unwrap_err().to_string();
    assert!(text.contains("rows") && text.contains("wanted 3, got 4"), "{text}");
}
