//! Forests: random forests and extremely randomised trees.

use std::sync::Arc;

use ensemble_core::{
    Access, Built, Error, Estimator, FitContext, FitCost, Kind, Model, Parameter, Params, Predicts,
    PresentClasses, Registry, Result, Shape, Train,
    parameter::{at_least, members, share},
};
use smartcore::ensemble::{extra_trees_regressor, random_forest_classifier, random_forest_regressor};

use super::{
    growth::{
        CRITERION, Criterion, Growth, MAX_DEPTH, MIN_SAMPLES_LEAF, MIN_SAMPLES_SPLIT, RANDOM_STATE,
        bootstrapped, doubled, growth_builders,
    },
    model::{Output, TreesModel},
    single::{check_rows, classification_bytes, nodes},
};
use crate::{
    SharedMatrix,
    backend::{BACKEND, call, codes, targets},
    nodes::Node,
};

/// How many columns, drawn anew for every node, may split it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxFeatures {
    /// All of them.
    All,
    /// The root of their number, rounded down.
    Sqrt,
    /// The binary logarithm of their number, rounded down.
    Log2,
    /// So many.
    Count(usize),
    /// This share of them, above 0 and at most 1, rounded down.
    Share(f64),
}

impl MaxFeatures {
    fn of(self, ncols: usize) -> usize {
        let p = ncols as f64;
        let count = match self {
            Self::All => ncols,
            Self::Sqrt => p.sqrt() as usize,
            Self::Log2 => p.log2() as usize,
            Self::Count(count) => count,
            Self::Share(share) => (share * p) as usize,
        };
        count.clamp(1, ncols.max(1))
    }

    fn check(self, kind: &str) -> Result<()> {
        match self {
            Self::Count(count) => at_least(kind, "max_features", count, 1),
            Self::Share(of_all) => share(kind, "max_features", of_all),
            _ => Ok(()),
        }
    }

    fn from_params(params: &Params, default: Self) -> Result<Self> {
        if !params.has("max_features") {
            return Ok(default);
        }
        let max_features = match params.word("max_features", "") {
            "sqrt" => Self::Sqrt,
            "log2" => Self::Log2,
            "none" | "None" | "all" => Self::All,
            text if text.contains('.') => Self::Share(params.number("max_features", 1.0)?),
            _ => Self::Count(params.get(
                "max_features",
                1,
                "sqrt, log2, none, a number of columns, or a share of them such as 0.5",
            )?),
        };
        max_features.check(params.kind())?;
        Ok(max_features)
    }
}

const N_ESTIMATORS: Parameter =
    Parameter::new("n_estimators", "100", "number of trees, up to 100000").or(&["n_trees"]);
const ALL_FEATURES: Parameter = Parameter::new(
    "max_features",
    "1.0",
    "columns that may split a node: a number, a share, sqrt, log2 or none for all",
)
.or(&["m"]);
const SQRT_FEATURES: Parameter = Parameter { default: "sqrt", ..ALL_FEATURES };

/// Builder methods of forests.
macro_rules! forest_builders {
    ($name:ident) => {
        growth_builders!($name);

        impl $name {
            /// Number of trees.
            #[must_use]
            pub fn n_estimators(mut self, n_estimators: usize) -> Self {
                self.n_estimators = n_estimators;
                self
            }

            /// How many columns may split a node.
            #[must_use]
            pub fn max_features(mut self, max_features: MaxFeatures) -> Self {
                self.max_features = max_features;
                self
            }

            fn check(&self) -> Result<()> {
                self.growth.check(Self::KIND)?;
                members(Self::KIND, "n_estimators", self.n_estimators)?;
                self.max_features.check(Self::KIND)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

/// Bytes of a regression forest: `element` bytes per listed row, `distinct` of `n` rows in each tree.
fn regression_cost(
    kind: &str,
    growth: &Growth,
    n_trees: u64,
    distinct: u64,
    element: u64,
    train: Shape,
) -> FitCost {
    let (n, p) = (train.nrows as u64, train.ncols as u64);
    let nodes = growth.nodes(distinct, n);
    let own = (size_of::<TreesModel>() + kind.len()) as u64 + 4 * n_trees;
    let model_bytes = n_trees * nodes * size_of::<Node>() as u64 + own;
    let grown = doubled(nodes, 80);
    // Columns' orders and the growing tree's lists; targets, two copies of the sample, counts, marks; all trees' nodes.
    let lists = 8 * n * p + element * distinct * p + (8 + 16 + 4 + 1) * n + element * distinct + 128 * p;
    let trees = n_trees * (grown + 112);
    FitCost { peak_bytes: (lists + trees + grown / 2).max(8 * n + trees + model_bytes), model_bytes }
}

/// A random forest by smartcore's `RandomForestRegressor`, with scikit-learn's parameters and defaults: the mean of trees grown on
/// bootstrap samples.
///
/// Rows are read where they lie, and samples are counts of rows, so X is never copied. smartcore sorts every column once, and keeps
/// the nodes of all trees, 80 bytes each in lists that doubled: with no `max_depth` those are the greater part of the declared cost.
/// The fitted nodes are taken out and kept in 24 bytes.
///
/// Faults of smartcore 0.7.0 handled here: its `max_depth` counts levels of nodes, one more than scikit-learn's; by default it draws
/// the root of the number of columns (all here, as scikit-learn); NaN or infinite values panic (refused before).
///
/// ```
/// use ensemble_smartcore::{MaxFeatures, RandomForestRegressor};
/// assert_eq!(RandomForestRegressor::new().max_features(MaxFeatures::All), RandomForestRegressor::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RandomForestRegressor {
    growth: Growth,
    n_estimators: usize,
    max_features: MaxFeatures,
}

forest_builders!(RandomForestRegressor);

impl RandomForestRegressor {
    const KIND: &'static str = "smartcore.random_forest_regressor";

    /// A hundred trees, grown until leaves are pure.
    pub fn new() -> Self {
        Self { growth: Growth::default(), n_estimators: 100, max_features: MaxFeatures::All }
    }
}

/// Extremely randomised trees by smartcore's `ExtraTreesRegressor`, with scikit-learn's parameters and defaults: the mean of trees
/// grown on all rows with thresholds drawn at random.
///
/// Memory and faults as in [`RandomForestRegressor`].
///
/// ```
/// use ensemble_smartcore::ExtraTreesRegressor;
/// assert_eq!(ExtraTreesRegressor::new().n_estimators(100), ExtraTreesRegressor::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraTreesRegressor {
    growth: Growth,
    n_estimators: usize,
    max_features: MaxFeatures,
}

forest_builders!(ExtraTreesRegressor);

impl ExtraTreesRegressor {
    const KIND: &'static str = "smartcore.extra_trees_regressor";

    /// A hundred trees, grown until leaves are pure.
    pub fn new() -> Self {
        Self { growth: Growth::default(), n_estimators: 100, max_features: MaxFeatures::All }
    }
}

/// Implement `Estimator` for a regression forest; `$distinct` says how many of n rows a tree sees, in `$element` bytes each.
macro_rules! regression_forest {
    ($name:ident, $backend:ident :: $type:ident, $parameters:ident, $distinct:expr, $element:literal) => {
        impl Estimator for $name {
            fn kind(&self) -> String {
                Self::KIND.into()
            }

            fn access(&self) -> Access {
                Access::Segments
            }

            fn cost(&self, train: Shape) -> FitCost {
                let distinct: fn(u64) -> u64 = $distinct;
                let distinct = distinct(train.nrows as u64);
                regression_cost(Self::KIND, &self.growth, self.n_estimators as u64, distinct, $element, train)
            }

            fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
                self.check()?;
                train.check_magnitudes()?;
                check_rows(Self::KIND, train)?;
                let y = targets(train);
                let (growth, ncols) = (&self.growth, train.shape().ncols);
                let parameters = $backend::$parameters {
                    max_depth: growth.levels(),
                    min_samples_leaf: growth.min_samples_leaf,
                    min_samples_split: growth.min_samples_split,
                    n_trees: self.n_estimators,
                    m: Some(self.max_features.of(ncols)),
                    keep_samples: false,
                    seed: cx.seed_with(growth.random_state),
                };
                let trees = call(Self::KIND, train.x(), |x| {
                    nodes(&$backend::$type::<f64, f64, SharedMatrix, Vec<f64>>::fit(x, &y, parameters)?)
                })?;
                Ok(Arc::new(TreesModel::new(Self::KIND, ncols, trees, Output::Mean)))
            }
        }
    };
}

regression_forest!(
    RandomForestRegressor,
    random_forest_regressor::RandomForestRegressor,
    RandomForestRegressorParameters,
    bootstrapped,
    8
);
regression_forest!(
    ExtraTreesRegressor,
    extra_trees_regressor::ExtraTreesRegressor,
    ExtraTreesRegressorParameters,
    |n| n,
    4
);

/// A random forest by smartcore's `RandomForestClassifier`, with scikit-learn's parameters and defaults. Predicts the share of trees
/// that decide for each class.
///
/// X is never copied. smartcore sorts all columns anew for every tree and keeps 8 bytes per row for every node that waits to be
/// split, as [`DecisionTreeClassifier`](crate::DecisionTreeClassifier) does: give a `max_depth`, or many rows to a leaf.
///
/// Faults of smartcore 0.7.0 handled here: its `max_depth` counts levels of nodes, one more than scikit-learn's; its samples are
/// stratified by class (so they stay); it has no probabilities (the trees' votes are counted here); more than 65,535 trees do not fit
/// its counter (an error here); one class is an error (a constant here); NaN or infinite values panic (refused before).
///
/// ```
/// use ensemble_core::{Estimator, Predicts};
/// use ensemble_smartcore::{MaxFeatures, RandomForestClassifier};
/// let forest = RandomForestClassifier::new().max_depth(8);
/// assert_eq!(forest.clone().max_features(MaxFeatures::Sqrt), forest);
/// assert_eq!(forest.predicts(), Predicts::Probabilities);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RandomForestClassifier {
    growth: Growth,
    criterion: Criterion,
    n_estimators: usize,
    max_features: MaxFeatures,
}

forest_builders!(RandomForestClassifier);

impl RandomForestClassifier {
    const KIND: &'static str = "smartcore.random_forest_classifier";

    /// A hundred trees, grown by Gini impurity until leaves are pure.
    pub fn new() -> Self {
        Self {
            growth: Growth::default(),
            criterion: Criterion::default(),
            n_estimators: 100,
            max_features: MaxFeatures::Sqrt,
        }
    }

    /// What splits are measured by.
    #[must_use]
    pub fn criterion(mut self, criterion: Criterion) -> Self {
        self.criterion = criterion;
        self
    }
}

impl Estimator for RandomForestClassifier {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.cost_with_classes(train, 2)
    }

    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        let k = n_classes as u64;
        let (n, p, n_trees) = (train.nrows as u64, train.ncols as u64, self.n_estimators as u64);
        let distinct = bootstrapped(n);
        let nodes = self.growth.nodes(distinct, n);
        let own = (size_of::<TreesModel>() + Self::KIND.len()) as u64 + 4 * n_trees + 8 * k;
        let model_bytes = n_trees * nodes * size_of::<Node>() as u64 + own;
        let trees = n_trees * (doubled(nodes, 104) + 128);
        FitCost {
            peak_bytes: (classification_bytes(&self.growth, distinct, n, p, k) + 12 * n + 4 * n + trees)
                .max(4 * n + trees + model_bytes),
            model_bytes,
        }
    }

    fn predicts(&self) -> Predicts {
        Predicts::Probabilities
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        let n_trees = u16::try_from(self.n_estimators).map_err(|_| {
            Error::parameter(Self::KIND, "n_estimators", self.n_estimators, "a whole number from 1 to 65535")
        })?;
        train.check_magnitudes()?;
        check_rows(Self::KIND, train)?;
        let (present, _) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let codes = codes(train, &present);
        let (growth, ncols) = (&self.growth, train.shape().ncols);
        let parameters = random_forest_classifier::RandomForestClassifierParameters {
            criterion: self.criterion.backend(),
            max_depth: growth.levels(),
            min_samples_leaf: growth.min_samples_leaf,
            min_samples_split: growth.min_samples_split,
            n_trees,
            m: Some(self.max_features.of(ncols)),
            keep_samples: false,
            seed: cx.seed_with(growth.random_state),
        };
        let trees = call(Self::KIND, train.x(), |x| {
            type Backend = random_forest_classifier::RandomForestClassifier<f64, u32, SharedMatrix, Vec<u32>>;
            nodes(&Backend::fit(x, &codes, parameters)?)
        })?;
        Ok(Arc::new(TreesModel::new(Self::KIND, ncols, trees, Output::Votes(present))))
    }
}

pub(super) fn register(registry: &mut Registry) {
    macro_rules! regression_kind {
        ($name:ident) => {
            registry.add_kind(Kind {
                name: $name::KIND,
                backend: BACKEND,
                parameters: const {
                    &[
                        N_ESTIMATORS,
                        MAX_DEPTH,
                        MIN_SAMPLES_LEAF,
                        MIN_SAMPLES_SPLIT,
                        ALL_FEATURES,
                        RANDOM_STATE,
                    ]
                },
                build: |params| {
                    let forest = $name {
                        growth: Growth::from_params(params)?,
                        n_estimators: params.count("n_estimators", 100)?,
                        max_features: MaxFeatures::from_params(params, MaxFeatures::All)?,
                    };
                    forest.check()?;
                    Ok(Built::Learner(Arc::new(forest)))
                },
            });
        };
    }
    regression_kind!(RandomForestRegressor);
    regression_kind!(ExtraTreesRegressor);
    registry.add_kind(Kind {
        name: RandomForestClassifier::KIND,
        backend: BACKEND,
        parameters: const {
            &[
                N_ESTIMATORS,
                CRITERION,
                MAX_DEPTH,
                MIN_SAMPLES_LEAF,
                MIN_SAMPLES_SPLIT,
                SQRT_FEATURES,
                RANDOM_STATE,
            ]
        },
        build: |params| {
            let forest = RandomForestClassifier {
                growth: Growth::from_params(params)?,
                criterion: Criterion::from_params(params)?,
                n_estimators: params.count("n_estimators", 100)?,
                max_features: MaxFeatures::from_params(params, MaxFeatures::Sqrt)?,
            };
            forest.check()?;
            Ok(Built::Learner(Arc::new(forest)))
        },
    });
}
