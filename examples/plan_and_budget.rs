//! Read the plan before anything runs, and keep to a memory budget.
//!
//! `cargo run --release --example plan_and_budget`

use std::sync::Arc;

use ensemble::{
    Friedman1, KFold, Layer, MemoryBudget, Result, SuperLearner,
    memmap::SpillDir,
    native::{KNeighborsRegressor, LinearRegression, NonNegativeLeastSquares},
};

fn main() -> Result<()> {
    let (mut x, mut y) = (vec![0.0; 20_000 * 6], vec![0.0; 20_000]);
    Friedman1::new(3, 6, 1.0)?.rows_into(0, &mut x, &mut y);
    let x = (&x, 20_000, 6);
    let learner = SuperLearner::new(KFold::new(4))
        .layer(
            Layer::new()
                .learner("ols", LinearRegression::new())
                .learner("near", KNeighborsRegressor::new().n_neighbors(5)),
        )
        .meta(NonNegativeLeastSquares::new())
        .scratch(Arc::new(SpillDir::temp()));

    let plan = learner.plan(x, &y)?;
    println!("{plan}\n");
    let fitted = learner.clone().budget(MemoryBudget::bytes(plan.peak_bytes())).fit(x, &y)?;
    println!("as planned, to the byte: {}", fitted.report().expect("a fit has a report").as_planned);

    // What cannot be kept to is refused before anything runs.
    let refused = learner.budget(MemoryBudget::bytes(1000)).plan(x, &y);
    println!("with 1,000 bytes: {}", refused.expect_err("too little"));
    Ok(())
}
