//! Stack classifiers: words in, probabilities and words out, from one pass over the data for any number of folds.
//!
//! `cargo run --release --example classify`

use ensemble::{
    KFold, Layer, Result, SuperLearner, Transformer,
    native::{GaussianNb, StandardScaler},
};

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
    let x = (&x, 3000, 2);

    let smooth = StandardScaler::new().then(GaussianNb::new().var_smoothing(0.1));
    let learner = SuperLearner::new(KFold::new(10))
        .layer(Layer::new().learner("bayes", GaussianNb::new()).learner("smooth", smooth))
        .meta(GaussianNb::new());
    println!("{}\n", learner.plan(x, &kinds)?);
    let fitted = learner.fit(x, &kinds)?;
    for report in &fitted.report().expect("a fit has a report").learners {
        let scores = report.scores.as_ref().and_then(|s| s.classes.as_ref());
        println!("{:<14} accuracy {:.4}", report.name, scores.map_or(f64::NAN, |s| s.cv_accuracy_mean));
    }
    let (labels, probabilities) = (fitted.predict_labels(x)?, fitted.predict_proba(x)?);
    for row in 0..3 {
        println!("row {row}, {}: {}, {:.3?}", kinds[row], labels[row], &probabilities[row * 3..row * 3 + 3]);
    }
    Ok(())
}
