//! The same stack for more and more folds: time and memory stay where they are.
//!
//! `cargo run --release --example any_k_without_a_copy`

use ensemble::{
    Friedman1, KFold, Layer, Result, SuperLearner,
    native::{ElasticNet, Lasso, LinearRegression, NonNegativeLeastSquares},
};

fn main() -> Result<()> {
    let (rows, columns) = (500_000, 20);
    let (mut x, mut y) = (vec![0.0; rows * columns], vec![0.0; rows]);
    Friedman1::new(3, columns, 1.0)?.rows_into(0, &mut x, &mut y);
    let x = (&x, rows, columns);
    for k in [2, 3, 5, 10, 20, 50] {
        let fitted = SuperLearner::new(KFold::new(k))
            .layer(
                Layer::new()
                    .learner("lasso", Lasso::new(0.05))
                    .learner("net", ElasticNet::new(0.05))
                    .learner("ols", LinearRegression::new()),
            )
            .meta(NonNegativeLeastSquares::new())
            .fit(x, &y)?;
        let report = fitted.report().expect("a fit has a report");
        println!(
            "K={k:<3} {:>6.1} ms, {} pass, {} bytes gathered, {} bytes of prediction columns",
            report.wall_seconds * 1e3,
            report.totals.data_passes,
            report.totals.gathered_bytes,
            report.totals.prediction_bytes
        );
    }
    Ok(())
}
