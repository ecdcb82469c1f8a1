//! How far trees grow: the parameters that all of them share, in scikit-learn's meaning, and the bytes they lead to.

use ensemble_core::{Error, Parameter, Params, Result, parameter::at_least};

/// What a classification tree measures the quality of a split by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Criterion {
    /// Gini impurity.
    #[default]
    Gini,
    /// Entropy; scikit-learn also calls it log_loss.
    Entropy,
    /// The share of rows outside the greatest class.
    ClassificationError,
}

impl Criterion {
    pub(super) fn from_params(params: &Params) -> Result<Self> {
        match params.word("criterion", "gini") {
            "gini" => Ok(Self::Gini),
            "entropy" | "log_loss" => Ok(Self::Entropy),
            "classification_error" => Ok(Self::ClassificationError),
            other => Err(Error::parameter(
                params.kind(),
                "criterion",
                other,
                "gini, entropy or classification_error",
            )),
        }
    }

    pub(super) fn backend(self) -> smartcore::tree::decision_tree_classifier::SplitCriterion {
        use smartcore::tree::decision_tree_classifier::SplitCriterion;
        match self {
            Self::Gini => SplitCriterion::Gini,
            Self::Entropy => SplitCriterion::Entropy,
            Self::ClassificationError => SplitCriterion::ClassificationError,
        }
    }
}

pub(super) const CRITERION: Parameter =
    Parameter::new("criterion", "gini", "quality of a split: gini, entropy or classification_error");
pub(super) const MAX_DEPTH: Parameter =
    Parameter::new("max_depth", "none", "most splits above a leaf, or none");
pub(super) const MIN_SAMPLES_LEAF: Parameter =
    Parameter::new("min_samples_leaf", "1", "fewest rows of a leaf");
pub(super) const MIN_SAMPLES_SPLIT: Parameter =
    Parameter::new("min_samples_split", "2", "fewest rows of a node that is split");
pub(super) const RANDOM_STATE: Parameter =
    Parameter::new("random_state", "0", "seed, mixed with the run's").or(&["seed"]);

/// When a tree stops growing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Growth {
    pub(super) max_depth: Option<usize>,
    pub(super) min_samples_leaf: usize,
    pub(super) min_samples_split: usize,
    pub(super) random_state: u64,
}

impl Default for Growth {
    fn default() -> Self {
        Self { max_depth: None, min_samples_leaf: 1, min_samples_split: 2, random_state: 0 }
    }
}

impl Growth {
    pub(super) fn check(&self, kind: &str) -> Result<()> {
        if let Some(depth) = self.max_depth.filter(|d| !(1..usize::from(u16::MAX)).contains(d)) {
            return Err(Error::parameter(
                kind,
                "max_depth",
                depth,
                "a whole number from 1 to 65534, or none",
            ));
        }
        at_least(kind, "min_samples_leaf", self.min_samples_leaf, 1)?;
        at_least(kind, "min_samples_split", self.min_samples_split, 2)
    }

    pub(super) fn from_params(params: &Params) -> Result<Self> {
        let growth = Self {
            max_depth: params.count_or_none("max_depth", None)?,
            min_samples_leaf: params.count("min_samples_leaf", 1)?,
            min_samples_split: params.count("min_samples_split", 2)?,
            random_state: params.get("random_state", 0, "a whole number, 0 or more")?,
        };
        growth.check(params.kind())?;
        Ok(growth)
    }

    /// smartcore's depth of a tree counts levels of nodes, scikit-learn's counts splits.
    pub(super) fn levels(&self) -> Option<u16> {
        self.max_depth.map(|d| u16::try_from(d + 1).expect("checked"))
    }

    /// Most leaves of a tree on `distinct` rows that count as `nrows`.
    fn leaves(&self, distinct: u64, nrows: u64) -> u64 {
        let by_depth = self.max_depth.filter(|d| *d < 63).map_or(u64::MAX, |d| 1 << d);
        distinct.min(nrows / self.min_samples_leaf.max(1) as u64).min(by_depth).max(1)
    }

    /// Most nodes of such a tree.
    pub(super) fn nodes(&self, distinct: u64, nrows: u64) -> u64 {
        2 * self.leaves(distinct, nrows) - 1
    }

    /// Most nodes that wait to be split at once, level by level.
    pub(super) fn waiting(&self, distinct: u64, nrows: u64) -> u64 {
        let by_depth = self.max_depth.filter(|d| *d < 63).map_or(u64::MAX, |d| 1 << d);
        let rows_each = self.min_samples_split.max(2 * self.min_samples_leaf).max(2) as u64;
        // A node that waits has two distinct rows at least.
        (distinct / 2)
            .min(nrows / rows_each)
            .min(nrows / self.min_samples_leaf.max(1) as u64)
            .min(by_depth)
            .max(1)
    }
}

/// Distinct rows in a bootstrap sample of `n`: 1 - 1/e of them, with room for chance.
pub(super) fn bootstrapped(n: u64) -> u64 {
    let n_f = n as f64;
    n.min((0.6322 * n_f + 3.0 * n_f.sqrt()) as u64 + 2)
}

/// Bytes of a list of `n` items of `size` bytes that grew by doubling.
pub(super) fn doubled(n: u64, size: u64) -> u64 {
    n.max(4).next_power_of_two() * size
}

/// Builder methods of everything that grows trees as [`Growth`] says.
macro_rules! growth_builders {
    ($name:ident) => {
        impl $name {
            /// Most splits between the root and a leaf; `None` for no bound.
            #[must_use]
            pub fn max_depth(mut self, max_depth: impl Into<Option<usize>>) -> Self {
                self.growth.max_depth = max_depth.into();
                self
            }

            /// Fewest training rows of a leaf.
            #[must_use]
            pub fn min_samples_leaf(mut self, min_samples_leaf: usize) -> Self {
                self.growth.min_samples_leaf = min_samples_leaf;
                self
            }

            /// Fewest training rows of a node that is split.
            #[must_use]
            pub fn min_samples_split(mut self, min_samples_split: usize) -> Self {
                self.growth.min_samples_split = min_samples_split;
                self
            }

            /// Seed, mixed with the run's; the same pair gives the same bits.
            #[must_use]
            pub fn random_state(mut self, random_state: u64) -> Self {
                self.growth.random_state = random_state;
                self
            }
        }
    };
}

pub(super) use growth_builders;
