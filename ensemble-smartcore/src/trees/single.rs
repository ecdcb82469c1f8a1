//! Single trees.

use std::sync::Arc;

use ensemble_core::{
    Access, Built, Error, Estimator, FitContext, FitCost, Kind, Model, Predicts, PresentClasses, Registry,
    Result, Shape, Train,
};
use smartcore::tree::{decision_tree_classifier, decision_tree_regressor};

use super::{
    growth::{
        CRITERION, Criterion, Growth, MAX_DEPTH, MIN_SAMPLES_LEAF, MIN_SAMPLES_SPLIT, RANDOM_STATE, doubled,
        growth_builders,
    },
    model::{Output, TreesModel},
};
use crate::{
    SharedMatrix,
    backend::{BACKEND, call, codes, targets},
    nodes::{Node, Nodes},
};

/// smartcore's trees count rows in 32 bits.
pub(super) fn check_rows(kind: &str, train: &Train<'_>) -> Result<()> {
    let n = train.shape().nrows;
    if n < i32::MAX as usize {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{kind}: {n} rows; smartcore sorts columns with 32-bit places, up to 2^31 rows"
    )))
}

/// The nodes of what smartcore fitted, and smartcore's own error type to carry a failure.
pub(super) fn nodes(model: &impl serde::Serialize) -> std::result::Result<Nodes, smartcore::error::Failed> {
    Nodes::of(model).map_err(|e| smartcore::error::Failed::fit(&e.to_string()))
}

/// A regression tree by smartcore's `DecisionTreeRegressor`, with scikit-learn's parameters.
///
/// Rows are read where they lie; smartcore sorts every column once into lists of row numbers, 12 bytes a value, which is the declared
/// cost. The fitted nodes are taken out and kept in 24 bytes each, of smartcore's 80.
///
/// Faults of smartcore 0.7.0 handled here: its `max_depth` counts levels of nodes, one more than scikit-learn's; NaN or infinite
/// values panic (refused before).
///
/// ```
/// use ensemble_core::{Access, Estimator};
/// use ensemble_smartcore::DecisionTreeRegressor;
/// assert_eq!(DecisionTreeRegressor::new().max_depth(None), DecisionTreeRegressor::default());
/// assert_eq!(DecisionTreeRegressor::new().access(), Access::Segments);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecisionTreeRegressor {
    growth: Growth,
}

growth_builders!(DecisionTreeRegressor);

impl DecisionTreeRegressor {
    const KIND: &'static str = "smartcore.decision_tree_regressor";

    /// Grown until leaves are pure.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Estimator for DecisionTreeRegressor {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        let (n, p) = (train.nrows as u64, train.ncols as u64);
        let nodes = self.growth.nodes(n, n);
        let model_bytes =
            nodes * size_of::<Node>() as u64 + (size_of::<TreesModel>() + Self::KIND.len() + 4) as u64;
        // Columns' orders, and the same again as nodes' lists; targets, counts, marks; the nodes, while their list grows.
        let grown = doubled(nodes, 80);
        let lists = 12 * n * p + 33 * n + 128 * p;
        FitCost {
            peak_bytes: (lists + grown + grown / 2).max(8 * n + 8 * n * p + grown + model_bytes),
            model_bytes,
        }
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.growth.check(Self::KIND)?;
        train.check_magnitudes()?;
        check_rows(Self::KIND, train)?;
        let y = targets(train);
        let growth = &self.growth;
        let parameters = decision_tree_regressor::DecisionTreeRegressorParameters {
            max_depth: growth.levels(),
            min_samples_leaf: growth.min_samples_leaf,
            min_samples_split: growth.min_samples_split,
            seed: Some(cx.seed_with(growth.random_state)),
        };
        let trees = call(Self::KIND, train.x(), |x| {
            type Backend = decision_tree_regressor::DecisionTreeRegressor<f64, f64, SharedMatrix, Vec<f64>>;
            nodes(&Backend::fit(x, &y, parameters)?)
        })?;
        Ok(Arc::new(TreesModel::new(Self::KIND, train.shape().ncols, trees, Output::Mean)))
    }
}

/// A classification tree by smartcore's `DecisionTreeClassifier`, with scikit-learn's parameters. Predicts the shares of the classes
/// among the training rows of the leaf, as scikit-learn's `predict_proba` does.
///
/// Rows are read where they lie; smartcore sorts every column once into lists of row numbers, 8 bytes a value. It also keeps 8 bytes
/// per row for **every node that waits to be split**: with no `max_depth` that is up to 4 n^2 bytes, all in the declared cost.
///
/// Faults of smartcore 0.7.0 handled here: its `max_depth` counts levels of nodes, one more than scikit-learn's; its probabilities
/// are 1 for the leaf's class (shares are counted here in one more pass); one class is an error (a constant here); NaN or
/// infinite values panic (refused before).
///
/// ```
/// use ensemble_core::{Estimator, Predicts};
/// use ensemble_smartcore::{Criterion, DecisionTreeClassifier};
/// let tree = DecisionTreeClassifier::new().criterion(Criterion::Entropy).max_depth(5);
/// assert_eq!(tree.predicts(), Predicts::Probabilities);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecisionTreeClassifier {
    growth: Growth,
    criterion: Criterion,
}

growth_builders!(DecisionTreeClassifier);

impl DecisionTreeClassifier {
    const KIND: &'static str = "smartcore.decision_tree_classifier";

    /// Grown by Gini impurity until leaves are pure.
    pub fn new() -> Self {
        Self::default()
    }

    /// What splits are measured by.
    #[must_use]
    pub fn criterion(mut self, criterion: Criterion) -> Self {
        self.criterion = criterion;
        self
    }
}

/// Bytes of growing one classification tree of `k` classes: `distinct` rows of `n` in the sample.
pub(super) fn classification_bytes(growth: &Growth, distinct: u64, n: u64, p: u64, k: u64) -> u64 {
    let grown = doubled(growth.nodes(distinct, n), 104);
    // Columns' orders, the waiting nodes' counts and the two of the node being split, classes three times; and counts of classes.
    8 * n * p
        + growth.waiting(distinct, n) * (8 * n + 160)
        + 16 * n
        + 16 * n
        + grown
        + grown / 2
        + 128 * p
        + 64 * k
}

impl Estimator for DecisionTreeClassifier {
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
        let (n, p, k) = (train.nrows as u64, train.ncols as u64, n_classes as u64);
        let nodes = self.growth.nodes(n, n);
        let leaves = nodes.div_ceil(2);
        // A leaf's list starts somewhere, and names the classes of its rows.
        let model_bytes = nodes * size_of::<Node>() as u64
            + 4 * (leaves + 1)
            + 12 * n.min(leaves * k)
            + 4
            + (size_of::<TreesModel>() + Self::KIND.len() + 8) as u64;
        FitCost {
            peak_bytes: (4 * n + classification_bytes(&self.growth, n, n, p, k))
                .max(12 * n + nodes + model_bytes),
            model_bytes,
        }
    }

    fn predicts(&self) -> Predicts {
        Predicts::Probabilities
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.growth.check(Self::KIND)?;
        train.check_magnitudes()?;
        check_rows(Self::KIND, train)?;
        let (present, _) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let codes = codes(train, &present);
        let growth = &self.growth;
        let parameters = decision_tree_classifier::DecisionTreeClassifierParameters {
            criterion: self.criterion.backend(),
            max_depth: growth.levels(),
            min_samples_leaf: growth.min_samples_leaf,
            min_samples_split: growth.min_samples_split,
            seed: Some(cx.seed_with(growth.random_state)),
        };
        let trees = call(Self::KIND, train.x(), move |x| {
            type Backend = decision_tree_classifier::DecisionTreeClassifier<f64, u32, SharedMatrix, Vec<u32>>;
            nodes(&Backend::fit(x, &codes, parameters)?)
        })?;
        Ok(Arc::new(TreesModel::with_shares(Self::KIND, trees, train, present.n_classes())?))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: DecisionTreeRegressor::KIND,
        backend: BACKEND,
        parameters: const { &[MAX_DEPTH, MIN_SAMPLES_LEAF, MIN_SAMPLES_SPLIT, RANDOM_STATE] },
        build: |params| {
            Ok(Built::Learner(Arc::new(DecisionTreeRegressor { growth: Growth::from_params(params)? })))
        },
    });
    registry.add_kind(Kind {
        name: DecisionTreeClassifier::KIND,
        backend: BACKEND,
        parameters: const { &[CRITERION, MAX_DEPTH, MIN_SAMPLES_LEAF, MIN_SAMPLES_SPLIT, RANDOM_STATE] },
        build: |params| {
            Ok(Built::Learner(Arc::new(DecisionTreeClassifier {
                growth: Growth::from_params(params)?,
                criterion: Criterion::from_params(params)?,
            })))
        },
    });
}
