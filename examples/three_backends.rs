//! One layer of learners from three libraries over one mapped file, and not one row of it copied.
//!
//! `cargo run --release --features linfa,smartcore --example three_backends`

use ensemble::{
    Friedman1, KFold, Layer, Order, Result, SuperLearner,
    linfa::TweedieRegressor,
    memmap::{MappedTable, NpyWriter},
    native::{Lasso, NonNegativeLeastSquares},
    smartcore::DecisionTreeRegressor,
};

fn main() -> Result<()> {
    let (rows, columns) = (100_000, 10);
    let folder = std::env::temp_dir().join("ensemble-three-backends");
    std::fs::create_dir_all(&folder).map_err(|e| ensemble::Error::io(&folder, "make", e))?;
    let (mut x, mut y) = (vec![0.0; rows * columns], vec![0.0; rows]);
    Friedman1::new(3, columns, 1.0)?.rows_into(0, &mut x, &mut y);
    let mut out = NpyWriter::create(folder.join("X.npy"), rows, columns, Order::C)?;
    out.write_rows(&x)?;
    out.finish()?;
    let mut out = NpyWriter::create_vector(folder.join("y.npy"), rows)?;
    out.write_rows(&y)?;
    out.finish()?;

    let (x, y) = (MappedTable::open_npy(folder.join("X.npy"))?, MappedTable::open_npy(folder.join("y.npy"))?);
    let learner = SuperLearner::new(KFold::new(5))
        .layer(
            Layer::new()
                .learner("native lasso", Lasso::new(0.01))
                .learner("linfa GLM", TweedieRegressor::new().power(0.0).alpha(0.01))
                .learner("smartcore tree", DecisionTreeRegressor::new().max_depth(6)),
        )
        .meta(NonNegativeLeastSquares::new());
    println!("{}\n", learner.plan(&x, &y)?);
    let fitted = learner.fit(&x, &y)?;
    assert_eq!(fitted.report().expect("a fit has a report").totals.gathered_bytes, 0);
    for report in &fitted.report().expect("a fit has a report").learners {
        let rmse = report.scores.as_ref().map_or(f64::NAN, |s| s.cv_rmse_mean);
        println!("{:<16} {:<12} CV RMSE {rmse:.4}", report.name, report.access);
    }
    Ok(())
}
