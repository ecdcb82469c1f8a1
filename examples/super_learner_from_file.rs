//! Fit a super learner straight from a mapped file.
//!
//! `cargo run --release --example super_learner_from_file`

use ensemble::{
    KFold, Layer, Order, Result, SuperLearner, Table,
    memmap::{MappedTable, NpyWriter},
    native::{Lasso, LinearRegression, NonNegativeLeastSquares, Ridge},
};

fn main() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (x_path, y_path) = (folder.path().join("X.npy"), folder.path().join("y.npy"));
    write_data(&x_path, &y_path, 200_000, 10)?;

    let x = MappedTable::open_npy(&x_path)?;
    let y = MappedTable::open_npy(&y_path)?;
    let fitted = SuperLearner::new(KFold::new(10))
        .layer(
            Layer::new()
                .learner("lasso", Lasso::new(0.05))
                .learner("ridge", Ridge::new(1.0))
                .learner("ols", LinearRegression::new()),
        )
        .meta(NonNegativeLeastSquares::new())
        .fit(&x, &y)?;

    for learner in &fitted.report().expect("a fit has a report").learners {
        let rmse = learner.scores.as_ref().map_or(f64::NAN, |s| s.cv_rmse_mean);
        println!("layer {} {:<6} cross-validated RMSE {rmse:.4}", learner.layer, learner.name);
    }
    let totals = fitted.report().expect("a fit has a report").totals;
    println!("passes over the data: {}, bytes gathered: {}", totals.data_passes, totals.gathered_bytes);
    println!("first prediction: {:.4}", fitted.predict(&x)?[0]);
    assert_eq!(y.as_mat().nrows(), 200_000);
    Ok(())
}

fn write_data(x_path: &std::path::Path, y_path: &std::path::Path, nrows: usize, ncols: usize) -> Result<()> {
    let source = ensemble::Friedman1::new(1, ncols, 1.0)?;
    let mut x = NpyWriter::create(x_path, nrows, ncols, Order::C)?;
    let mut y = NpyWriter::create_vector(y_path, nrows)?;
    let (mut xb, mut yb) = (vec![0.0; 1000 * ncols], vec![0.0; 1000]);
    for start in (0..nrows).step_by(1000) {
        source.rows_into(start, &mut xb, &mut yb);
        x.write_rows(&xb)?;
        y.write_rows(&yb)?;
    }
    x.finish()?;
    y.finish()
}
