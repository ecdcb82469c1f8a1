//! Fit one learner, look at it, and predict.
//!
//! `cargo run --release --example fit_one`

use ensemble::{Fit, Friedman1, Result, Transformer, native::Lasso, native::StandardScaler};

fn main() -> Result<()> {
    let (mut x, mut y) = (vec![0.0; 10_000 * 6], vec![0.0; 10_000]);
    Friedman1::new(3, 6, 1.0)?.rows_into(0, &mut x, &mut y);
    let model = StandardScaler::new().then(Lasso::new(0.1)).fit((&x, 10_000, 6), &y)?;
    let form = model.as_linear().expect("a lasso is linear, also behind a scaler");
    println!("intercept {:.3}, coefficients {:.3?}", form.intercept, form.coefficients);
    println!("first predictions {:.3?}", &model.predict((&x, 10_000, 6))?[..3]);
    Ok(())
}
