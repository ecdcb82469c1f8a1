//! The linear family: ordinary least squares on the rows, and ridge, lasso and elastic net from statistics.

mod least_squares;
mod penalised;

pub use least_squares::{LinearRegression, LinearSolver};
pub use penalised::{ElasticNet, Lasso, RidgeRegression, RidgeSolver};

pub(crate) fn register(registry: &mut ensemble_core::Registry) {
    least_squares::register(registry);
    penalised::register(registry);
}
