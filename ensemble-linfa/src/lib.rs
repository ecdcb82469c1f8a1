#![forbid(unsafe_code)]
//! linfa 0.8.1 behind the traits of `ensemble`.
//!
#![cfg_attr(all(feature = "elasticnet", feature = "nn"), doc = include_str!("../README.md"))]
// With some features off, parts of what modules share lie idle.
#![cfg_attr(
    not(all(
        feature = "linear",
        feature = "elasticnet",
        feature = "logistic",
        feature = "trees",
        feature = "ensemble",
        feature = "svm",
        feature = "bayes",
        feature = "nn",
        feature = "preprocessing",
        feature = "reduction"
    )),
    allow(dead_code, unused_imports, unused_macros)
)]

#[cfg(feature = "bayes")]
mod bayes;
#[cfg(feature = "elasticnet")]
mod elastic_net;
#[cfg(feature = "logistic")]
mod finish;
#[cfg(feature = "ensemble")]
mod forest;
#[cfg(feature = "linear")]
mod isotonic;
#[cfg(feature = "linear")]
mod least_squares;
#[cfg(feature = "logistic")]
mod logistic;
#[cfg(feature = "nn")]
mod neighbors;
mod parameters;
#[cfg(feature = "reduction")]
mod projections;
#[cfg(any(feature = "linear", feature = "preprocessing"))]
mod rank;
#[cfg(feature = "preprocessing")]
mod scalers;
#[cfg(feature = "svm")]
mod svm;
#[cfg(feature = "trees")]
mod tree;
#[cfg(feature = "linear")]
mod tweedie;
mod view;

#[cfg(feature = "bayes")]
pub use bayes::{BernoulliNb, GaussianNb, MultinomialNb};
#[cfg(feature = "elasticnet")]
pub use elastic_net::{ElasticNet, Lasso, MultiTaskElasticNet, Ridge};
#[cfg(feature = "ensemble")]
pub use forest::{AdaBoostClassifier, BaggingClassifier, RandomForestClassifier};
#[cfg(feature = "linear")]
pub use isotonic::IsotonicRegression;
#[cfg(feature = "linear")]
pub use least_squares::LinearRegression;
#[cfg(feature = "logistic")]
pub use logistic::{LogisticRegression, MultinomialLogisticRegression};
#[cfg(feature = "nn")]
pub use neighbors::{Algorithm, KNeighborsClassifier, KNeighborsRegressor, Metric, Weights};
#[cfg(feature = "reduction")]
pub use projections::{GaussianRandomProjection, Pca, SparseRandomProjection};
#[cfg(feature = "preprocessing")]
pub use scalers::{MaxAbsScaler, MinMaxScaler, Norm, NormScaler, StandardScaler, Whitener, Whitening};
#[cfg(feature = "svm")]
pub use svm::{Gamma, KernelKind, Svc, Svr};
#[cfg(feature = "trees")]
pub use tree::{Criterion, DecisionTreeClassifier};
#[cfg(feature = "linear")]
pub use tweedie::{Link, TweedieRegressor};

use ensemble_core::Registry;

/// Offer all kinds of this crate, and load what they save.
pub fn register(registry: &mut Registry) {
    #[cfg(feature = "linear")]
    {
        least_squares::register(registry);
        tweedie::register(registry);
        isotonic::register(registry);
    }
    #[cfg(feature = "elasticnet")]
    elastic_net::register(registry);
    #[cfg(feature = "logistic")]
    logistic::register(registry);
    #[cfg(feature = "trees")]
    tree::register(registry);
    #[cfg(feature = "ensemble")]
    forest::register(registry);
    #[cfg(feature = "bayes")]
    bayes::register(registry);
    #[cfg(feature = "svm")]
    svm::register(registry);
    #[cfg(feature = "nn")]
    neighbors::register(registry);
    #[cfg(feature = "preprocessing")]
    scalers::register(registry);
    #[cfg(feature = "reduction")]
    projections::register(registry);
    let _ = registry;
}
