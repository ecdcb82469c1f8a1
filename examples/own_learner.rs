//! Write a learner of your own: say how it takes rows and what it costs, and the engine does the rest.
//!
//! `cargo run --release --example own_learner`

use std::sync::Arc;

use ensemble::{
    Access, Estimator, FitContext, FitCost, Friedman1, KFold, Layer, LinearModel, Model, Result, Shape,
    SuperLearner, Train,
    native::{LinearRegression, NonNegativeLeastSquares},
};

/// Least squares on one column alone.
struct OneColumn(usize);

impl Estimator for OneColumn {
    fn kind(&self) -> String {
        "example.one_column".into()
    }

    /// Runs of rows are enough: nothing is copied for it, for any number of folds.
    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        FitCost { peak_bytes: train.ncols as u64 * 8, model_bytes: train.ncols as u64 * 8 }
    }

    fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        let (mut n, mut sx, mut sy, mut sxx, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (x, y) in train.x().segments().zip(train.y()) {
            for (row, y) in y.iter().enumerate() {
                let x = x.get(row, self.0);
                n += 1.0;
                sx += x;
                sy += y;
                sxx += x * x;
                sxy += x * y;
            }
        }
        let slope = (sxy - sx * sy / n) / (sxx - sx * sx / n);
        let mut coefficients = vec![0.0; train.shape().ncols];
        coefficients[self.0] = slope;
        Ok(Arc::new(LinearModel::new("example.one_column", coefficients, (sy - slope * sx) / n)))
    }
}

fn main() -> Result<()> {
    let (mut x, mut y) = (vec![0.0; 50_000 * 5], vec![0.0; 50_000]);
    Friedman1::new(3, 5, 1.0)?.rows_into(0, &mut x, &mut y);
    let x = (&x, 50_000, 5);
    let mut layer = Layer::new().learner("all columns", LinearRegression::new());
    for column in 0..5 {
        layer = layer.learner(format!("column {column}"), OneColumn(column));
    }
    let learner = SuperLearner::new(KFold::new(5)).layer(layer).meta(NonNegativeLeastSquares::new());
    println!("{}\n", learner.plan(x, &y)?);
    for report in &learner.fit(x, &y)?.report().expect("a fit has a report").learners {
        let rmse = report.scores.as_ref().map_or(f64::NAN, |s| s.cv_rmse_mean);
        println!("{:<12} by {:<10} RMSE {rmse:.4}", report.name, report.access);
    }
    Ok(())
}
