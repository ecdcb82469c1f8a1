//! smartcore's learners and transformers behind the traits of `ensemble`.
//!
//! They are handed the mapped table itself, see [`SharedMatrix`], and every fit says beforehand what smartcore will allocate.
//! The README lists the kinds, what each copies, and the faults of smartcore that are handled.
#![deny(unsafe_code)]

mod backend;
mod linear;
mod logistic;
mod naive_bayes;
mod neighbors;
mod nodes;
mod probabilities;
mod shared_matrix;
mod svm;
mod transformers;
mod trees;
mod wrapper;

pub use linear::{ElasticNet, Lasso, LinearRegression, LinearSolver, RidgeRegression, RidgeSolver};
pub use logistic::{LogisticModel, LogisticRegression};
pub use naive_bayes::{BernoulliNb, CategoricalNb, GaussianNb, MultinomialNb, NaiveBayesModel};
pub use neighbors::{
    KNeighborsClassifier, KNeighborsRegressor, NeighborMetric, NeighborSearch, NeighborWeights,
    NeighborsModel,
};
pub use shared_matrix::SharedMatrix;
pub use svm::{Gamma, Svc, SvmKernel, SvmModel, Svr};
pub use transformers::{Lda, Pca, StandardScaler, Svd};
pub use trees::{
    Criterion, DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreesRegressor, MaxFeatures,
    RandomForestClassifier, RandomForestRegressor, TreesModel, XgRegressor,
};
pub use wrapper::Wrapped;

use ensemble_core::Registry;

/// Offer all kinds of this crate, and load what they save.
pub fn register(registry: &mut Registry) {
    linear::register(registry);
    trees::register(registry);
    neighbors::register(registry);
    naive_bayes::register(registry);
    logistic::register(registry);
    svm::register(registry);
    transformers::register(registry);
}

/// The README's program is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
