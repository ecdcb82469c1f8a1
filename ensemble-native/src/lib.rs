#![forbid(unsafe_code)]
//! Learners and transformers whose fits merge.
//!
//! Every one of them is fitted from statistics of its training rows ([`ensemble_core::MergeFit`]), so that a stack's K + 1
//! fits cost one pass over the data. Parameters bear scikit-learn's names, defaults and meaning.
//! With the feature `lapack`, factorizations are LAPACK's; results then agree to rounding, not to the bit.

mod active_set;
mod coordinate_descent;
mod dense;
mod learner;
mod linear;
mod mean;
mod naive_bayes;
mod neighbors;
mod nonnegative;
mod scalers;
mod tsqr;

pub use coordinate_descent::{ElasticNet, Lasso};
pub use linear::{LinearRegression, MAX_CONDITION, MAX_CONDITION_SMALL, Ridge};
pub use mean::Mean;
pub use naive_bayes::{GaussianNb, GaussianNbModel};
pub use neighbors::{Algorithm, KNeighborsModel, KNeighborsRegressor, Weights};
pub use nonnegative::{ConvexCombination, NonNegativeLeastSquares};
pub use scalers::{Center, MinMaxScaler, Norm, Normalizer, StandardScaler};
pub use tsqr::{TSQR, TsqrStatistic};

use ensemble_core::Registry;

/// What lists of learners call this crate.
const BACKEND: &str = concat!("ensemble-native ", env!("CARGO_PKG_VERSION"));

/// Offer all kinds of this crate, and load what they save.
pub fn register(registry: &mut Registry) {
    linear::register(registry);
    coordinate_descent::register(registry);
    nonnegative::register(registry);
    mean::register(registry);
    naive_bayes::register(registry);
    neighbors::register(registry);
    scalers::register(registry);
}
