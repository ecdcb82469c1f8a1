//! Stack classifiers: words in, probabilities and words out, from one pass over the data for any number of folds.
//!
//! `cargo run --release --example classify`

use ensemble::{
    Classes, DenseTable, KFold, Layer, Order, Result, SuperLearner, Transformer, native::GaussianNb,
    native::StandardScaler,
};
use std::sync::Arc;

fn main() -> Result<()> {
    // Trees by height and girth.
    let kinds: Vec<&str> = (0..3000).map(|row| ["oak", "ash", "elm"][row % 3]).collect();
    let noise = |i: usize| ((i * 2_654_435_761) % 1000) as f64 / 100.0;
    let x: Vec<f64> = (0..3000)
        .flat_map(|row| {
            let (height, girth) = [(20.0, 4.0), (28.0, 2.0), (14.0, 2.5)][row % 3];
            [height + noise(2 * row), girth + 0.2 * noise(2 * row + 1)]
        })
        .collect();
    let x = DenseTable::new(x, 3000, 2, Order::C)?;
    let (classes, numbers) = Classes::encode(kinds.iter().copied())?;
    let y = DenseTable::column(numbers);

    let scaler: Arc<dyn Transformer> = Arc::new(StandardScaler::new());
    let layer = Layer::new().learner("bayes", GaussianNb::new()).case(
        "scaled",
        &[scaler],
        [ensemble::Learner::new("smooth", Arc::new(GaussianNb::new().var_smoothing(0.1)))],
    );
    let learner = SuperLearner::new(KFold::new(10)).layer(layer).meta(GaussianNb::new()).classes(classes);
    println!("{}\n", learner.plan(&x, &y)?);
    let fitted = learner.fit(&x, &y)?;
    for report in &fitted.report().learners {
        let scores = report.scores.as_ref().and_then(|s| s.classes.as_ref());
        println!("{:<14} accuracy {:.4}", report.name, scores.map_or(f64::NAN, |s| s.cv_accuracy_mean));
    }
    let probabilities = fitted.predict_proba(&x)?;
    let classes = fitted.classes().expect("a classifier has classes");
    for (row, kind) in kinds.iter().enumerate().take(3) {
        let shares: Vec<String> =
            (0..3).map(|c| format!("{} {:.3}", classes.label(c), probabilities[row * 3 + c])).collect();
        println!("row {row}, {kind}: {}", shares.join(", "));
    }
    Ok(())
}
