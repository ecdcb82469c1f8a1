//! Gradient boosting.

use std::sync::Arc;

use ensemble_core::{
    Access, Built, Error, Estimator, FitContext, FitCost, Kind, Model, Parameter, Registry, Result, Shape,
    Train,
    parameter::{at_least, between, finite, members, not_negative, share},
};
use smartcore::xgboost::{XGRegressor, XGRegressorParameters};

use super::{
    growth::{RANDOM_STATE, doubled},
    model::{Output, TreesModel},
    single::{check_rows, nodes},
};
use crate::{
    SharedMatrix,
    backend::{BACKEND, call, check_finite, targets},
    nodes::Node,
};

/// Gradient boosting of regression trees by smartcore's `XGRegressor`, with the names and defaults of XGBoost's scikit-learn interface.
///
/// Rows are read where they lie; smartcore needs up to 52 + 16 `max_depth` bytes a row beside them, whatever the number of columns. It is slow: it
/// sorts every column anew in every node. Each tree is a chain of boxes in smartcore; the nodes are taken out and kept in 24 bytes.
///
/// Faults of smartcore 0.7.0 handled here: unequal lengths of x and y panic (impossible here); NaN panics (refused before); values
/// so large that a midpoint overflows make a leaf (so they do here).
///
/// ```
/// use ensemble_smartcore::XgRegressor;
/// assert_eq!(XgRegressor::new().n_estimators(100).max_depth(6).learning_rate(0.3), XgRegressor::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct XgRegressor {
    n_estimators: usize,
    max_depth: usize,
    learning_rate: f64,
    min_child_weight: usize,
    reg_lambda: f64,
    gamma: f64,
    base_score: f64,
    subsample: f64,
    random_state: u64,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty),* $(,)?) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        })*
    };
}

impl XgRegressor {
    const KIND: &'static str = "smartcore.xg_regressor";

    /// A hundred trees of depth 6 at a learning rate of 0.3.
    pub fn new() -> Self {
        Self {
            n_estimators: 100,
            max_depth: 6,
            learning_rate: 0.3,
            min_child_weight: 1,
            reg_lambda: 1.0,
            gamma: 0.0,
            base_score: 0.5,
            subsample: 1.0,
            random_state: 0,
        }
    }

    setters! {
        /// Number of trees.
        n_estimators: usize,
        /// Most splits between the root and a leaf.
        max_depth: usize,
        /// What every tree's values are multiplied by.
        learning_rate: f64,
        /// Fewest training rows of a child.
        min_child_weight: usize,
        /// Weight of the squares of leaves' values.
        reg_lambda: f64,
        /// Least gain of a split.
        gamma: f64,
        /// The prediction before the first tree.
        base_score: f64,
        /// Share of the rows that each tree is grown on, above 0 and at most 1.
        subsample: f64,
        /// Seed, mixed with the run's.
        random_state: u64,
    }

    fn check(&self) -> Result<()> {
        let kind = Self::KIND;
        members(kind, "n_estimators", self.n_estimators)?;
        at_least(kind, "min_child_weight", self.min_child_weight, 0)?;
        // Deeper trees cannot be had from fewer rows than this, and smartcore recurses once per level.
        if !(1..=10_000).contains(&self.max_depth) {
            return Err(Error::parameter(
                kind,
                "max_depth",
                self.max_depth,
                "a whole number from 1 to 10000",
            ));
        }
        between(kind, "learning_rate", self.learning_rate, 1e-6, 1e3)?;
        not_negative(kind, "reg_lambda", self.reg_lambda)?;
        not_negative(kind, "gamma", self.gamma)?;
        finite(kind, "base_score", self.base_score)?;
        share(kind, "subsample", self.subsample)
    }

    /// Most leaves of one tree.
    fn leaves(&self, n: u64) -> u64 {
        let by_depth = if self.max_depth < 63 { 1 << self.max_depth } else { u64::MAX };
        (n / self.min_child_weight.max(1) as u64).min(by_depth).max(1)
    }
}

impl Default for XgRegressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Estimator for XgRegressor {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        let (n, p, n_trees) = (train.nrows as u64, train.ncols as u64, self.n_estimators as u64);
        let nodes = n_trees * (2 * self.leaves(n) - 1);
        let own = (size_of::<TreesModel>() + Self::KIND.len()) as u64 + 4 * n_trees;
        let model_bytes = nodes * size_of::<Node>() as u64 + own;
        let boxes = nodes * 48 + doubled(n_trees, 48) * 3 / 2;
        // Targets, predictions, gradients, curvatures, rows; the lists of rows of the levels above a node, and a column's order.
        let levels = (self.max_depth as u64).min(self.leaves(n) - 1);
        let rows = 8 * n * 5 + levels * 16 * n + 12 * n + 8 * p;
        FitCost { peak_bytes: (rows + boxes).max(8 * n + boxes + model_bytes), model_bytes }
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        train.check_magnitudes()?;
        check_rows(Self::KIND, train)?;
        let y = targets(train);
        let parameters = XGRegressorParameters {
            n_estimators: self.n_estimators,
            max_depth: u16::try_from(self.max_depth).expect("checked"),
            learning_rate: self.learning_rate,
            min_child_weight: self.min_child_weight,
            lambda: self.reg_lambda,
            gamma: self.gamma,
            base_score: self.base_score,
            subsample: self.subsample,
            seed: cx.seed_with(self.random_state),
            ..XGRegressorParameters::default()
        };
        let trees = call(Self::KIND, train.x(), |x| {
            nodes(&XGRegressor::<f64, f64, SharedMatrix, Vec<f64>>::fit(x, &y, parameters)?)
        })?;
        check_finite(Self::KIND, "a node", trees.nodes.iter().map(|n| &n.threshold))?;
        let output = Output::Boosted { base: self.base_score, rate: self.learning_rate };
        Ok(Arc::new(TreesModel::new(Self::KIND, train.shape().ncols, trees, output)))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: XgRegressor::KIND,
        backend: BACKEND,
        parameters: const {
            &[
                Parameter::new("n_estimators", "100", "number of trees, up to 100000"),
                Parameter::new("max_depth", "6", "most splits above a leaf"),
                Parameter::new(
                    "learning_rate",
                    "0.3",
                    "what every tree's values are multiplied by, from 1e-6 to 1000",
                )
                .or(&["eta"]),
                Parameter::new("min_child_weight", "1", "fewest rows of a child"),
                Parameter::new("reg_lambda", "1.0", "weight of the squares of leaves' values")
                    .or(&["lambda"]),
                Parameter::new("gamma", "0.0", "least gain of a split"),
                Parameter::new("base_score", "0.5", "the prediction before the first tree"),
                Parameter::new("subsample", "1.0", "share of the rows that each tree is grown on"),
                RANDOM_STATE,
            ]
        },
        build: |params| {
            let boosting = XgRegressor {
                n_estimators: params.count("n_estimators", 100)?,
                max_depth: params.count("max_depth", 6)?,
                learning_rate: params.number("learning_rate", 0.3)?,
                min_child_weight: params.count("min_child_weight", 1)?,
                reg_lambda: params.number("reg_lambda", 1.0)?,
                gamma: params.number("gamma", 0.0)?,
                base_score: params.number("base_score", 0.5)?,
                subsample: params.number("subsample", 1.0)?,
                random_state: params.get("random_state", 0, "a whole number, 0 or more")?,
            };
            boosting.check()?;
            Ok(Built::Learner(Arc::new(boosting)))
        },
    });
}
