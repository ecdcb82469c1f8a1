//! Forests, bags and boosts of linfa's trees, grown here on the rows where they lie.
//!
//! linfa-ensemble 0.8.1 is not called: its `EnsembleLearner` and `AdaBoost` take an owned `Array2` alone (`algorithm.rs:137-150`), copy
//! rows for every tree, choose columns with replacement, and decide ties between votes by the random order of a `HashMap`
//! (`:113-117`), so that one seed gives different predictions in every process. The trees themselves are linfa-trees'; what is drawn
//! and how trees vote is done here: a bootstrap is how often each row counts, handed to linfa's tree as its weights.

use std::sync::Arc;

use ensemble_core::{
    Access, Error, Estimator, FitContext, FitCost, Model, Predicts, PresentClasses, Registry, Result, Shape,
    Train, on_stack,
    parameter::{between, members, share},
};
use ndarray::{Array2, ArrayView2, ShapeBuilder};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::{
    parameters::parameters,
    tree::{Criterion, EXACT, Growth, Say, Tree, TreesModel, first_greatest, model_bytes, ordered_labels},
    view::{ByRow, DEEP, views},
};

parameters! {
    /// A bag of linfa's classification trees on bootstrap samples, each on its own random columns: linfa's `RandomForest`, near
    /// scikit-learn's `RandomForestClassifier`.
    ///
    /// Probabilities are the mean of the trees' leaf shares. Unlike scikit-learn's, columns are drawn once per tree and not per
    /// split, as in linfa; unlike linfa's, without replacement. Rows left out of a bootstrap have weight 0, so that thresholds may
    /// lie between values of such rows. With fewer columns than all, a tree's columns are copied for as long as it grows, which
    /// `cost` declares; with `max_features=1` nothing is.
    RandomForestClassifier: Learner = "linfa.random_forest_classifier", "linfa-trees 0.8.1" {
        n_estimators "n_estimators" ["ensemble_size"]: usize = 100, "100", "number of trees, up to 100000";
        criterion "criterion" ["split_quality"]: Criterion = Criterion::Gini, "gini", "what a split lowers: gini or entropy";
        max_depth "max_depth" []: Option<usize> = None, "none", "most levels of splits; none for at most 256";
        min_samples_split "min_samples_split" ["min_weight_split"]: usize = 2, "2", "rows that a node needs to be split";
        min_samples_leaf "min_samples_leaf" ["min_weight_leaf"]: usize = 1, "1", "drawn rows that a leaf needs";
        min_impurity_decrease "min_impurity_decrease" []: f64 = 1e-5, "1e-5", "what a split must lower the node's impurity by";
        max_samples "max_samples" ["bootstrap_proportion"]: f64 = 1.0, "1.0", "rows drawn per tree, as a share of all";
        max_features "max_features" ["feature_proportion"]: f64 = 0.5, "0.5", "columns of a tree, as a share of all";
        random_state "random_state" []: u64 = 0, "0", "seed, mixed with the fit's own";
    }
}

parameters! {
    /// A bag of linfa's classification trees on bootstrap samples: scikit-learn's `BaggingClassifier` over trees.
    ///
    /// As [`RandomForestClassifier`], with all columns for every tree by default: no row is copied then.
    BaggingClassifier: Learner = "linfa.bagging_classifier", "linfa-trees 0.8.1" {
        n_estimators "n_estimators" ["ensemble_size"]: usize = 10, "10", "number of trees, up to 100000";
        criterion "criterion" ["split_quality"]: Criterion = Criterion::Gini, "gini", "what a split lowers: gini or entropy";
        max_depth "max_depth" []: Option<usize> = None, "none", "most levels of splits; none for at most 256";
        min_samples_split "min_samples_split" ["min_weight_split"]: usize = 2, "2", "rows that a node needs to be split";
        min_samples_leaf "min_samples_leaf" ["min_weight_leaf"]: usize = 1, "1", "drawn rows that a leaf needs";
        min_impurity_decrease "min_impurity_decrease" []: f64 = 1e-5, "1e-5", "what a split must lower the node's impurity by";
        max_samples "max_samples" ["bootstrap_proportion"]: f64 = 1.0, "1.0", "rows drawn per tree, as a share of all";
        max_features "max_features" ["feature_proportion"]: f64 = 1.0, "1.0", "columns of a tree, as a share of all";
        random_state "random_state" []: u64 = 0, "0", "seed, mixed with the fit's own";
    }
}

parameters! {
    /// Trees fitted one after the other, each on weights that favour the rows its predecessors got wrong: SAMME, scikit-learn's
    /// `AdaBoostClassifier`, over linfa's trees of `max_depth` levels.
    ///
    /// linfa's own draws rows by weight instead of weighing them; its trees honour weights, so here nothing is drawn and nothing
    /// copied. Weights are rounded to whole numbers that sum to 2^24, which linfa's `f32` sums hold exactly. Probabilities are
    /// those of scikit-learn's SAMME.
    AdaBoostClassifier: Learner = "linfa.ada_boost_classifier", "linfa-trees 0.8.1" {
        n_estimators "n_estimators" []: usize = 50, "50", "most trees, up to 100000; fewer when one makes no error";
        learning_rate "learning_rate" []: f64 = 1.0, "1.0", "factor on every tree's weight, from 1e-6 to 10";
        criterion "criterion" ["split_quality"]: Criterion = Criterion::Gini, "gini", "what a split lowers: gini or entropy";
        max_depth "max_depth" []: Option<usize> = Some(1), "1", "most levels of splits; none for at most 256";
        min_samples_split "min_samples_split" ["min_weight_split"]: usize = 2, "2", "rows that a node needs to be split";
        min_samples_leaf "min_samples_leaf" ["min_weight_leaf"]: usize = 1, "1", "rows of mean weight that a leaf needs; 1 for any weight";
        min_impurity_decrease "min_impurity_decrease" []: f64 = 1e-5, "1e-5", "what a split must lower the node's impurity by";
    }
}

/// What forests and bags share.
struct Bag {
    growth: Growth,
    n_estimators: usize,
    max_samples: f64,
    max_features: f64,
    random_state: u64,
}

impl Bag {
    fn check(&self) -> Result<()> {
        let kind = self.growth.kind;
        self.growth.check()?;
        members(kind, "n_estimators", self.n_estimators)?;
        share(kind, "max_samples", self.max_samples)?;
        share(kind, "max_features", self.max_features)
    }

    /// Columns of a tree.
    fn columns(&self, ncols: usize) -> usize {
        ((ncols as f64 * self.max_features).ceil() as usize).clamp(1, ncols.max(1))
    }

    fn cost(&self, train: Shape, n_classes: usize) -> FitCost {
        let Shape { nrows: n, ncols: p } = train;
        let m = self.columns(p);
        let copy = if m < p { 8 * n * m + 8 * p } else { 0 };
        let growing = self.growth.growing_bytes(Shape { nrows: n, ncols: m });
        let trees = self.n_estimators * (self.growth.tree_bytes(n, n_classes) + 8) + model_bytes(n_classes);
        // Weights twice: the draw's, and the tree's.
        FitCost { peak_bytes: (trees + copy + growing + 8 * n) as u64, model_bytes: trees as u64 }
    }

    fn fit(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        train.check_magnitudes()?;
        let (present, _) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let (x, y) = views(train)?;
        self.growth.check_rows(x)?;
        let labels = ordered_labels(self.growth.kind, &present, y.iter().copied())?;
        let drawn = (x.nrows() as f64 * self.max_samples).ceil() as usize;
        let leaf = self.growth.min_samples_leaf as f32;
        let m = self.columns(x.ncols());
        let trees = on_stack(DEEP, || {
            let mut random = ChaCha8Rng::seed_from_u64(cx.seed_with(self.random_state));
            let mut counts = vec![0.0_f32; x.nrows()];
            let mut trees = Vec::with_capacity(self.n_estimators);
            for _ in 0..self.n_estimators {
                counts.fill(0.0);
                for _ in 0..drawn {
                    counts[below(&mut random, x.nrows())] += 1.0;
                }
                trees.push(if m < x.ncols() {
                    let columns = draw_columns(&mut random, x.ncols(), m);
                    let copy = columns_of(x, &columns);
                    self.growth.grow(copy.view(), &labels, Some(&counts), leaf, Some(&columns))?
                } else {
                    self.growth.grow(x, &labels, Some(&counts), leaf, None)?
                });
            }
            Ok(trees)
        })?;
        let weights = vec![1.0; trees.len()];
        Ok(Arc::new(ByRow(TreesModel { n_inputs: x.ncols(), present, trees, weights, say: Say::Mean })))
    }
}

/// A whole number below `n`, all alike: Lemire's multiplication without rejection, whose bias is below n / 2^64.
fn below(random: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

/// `m` of `p` columns without replacement, in order.
fn draw_columns(random: &mut ChaCha8Rng, p: usize, m: usize) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..p).collect();
    for i in 0..m {
        let j = i + below(random, p - i);
        columns.swap(i, j);
    }
    columns.truncate(m);
    columns.sort_unstable();
    columns
}

/// Some columns beside each other, each in one piece as linfa reads them.
fn columns_of(x: ArrayView2<'_, f64>, columns: &[usize]) -> Array2<f64> {
    let mut copy = Array2::zeros((x.nrows(), columns.len()).f());
    for (mut to, from) in copy.columns_mut().into_iter().zip(columns) {
        to.assign(&x.column(*from));
    }
    copy
}

macro_rules! growth {
    ($own:expr) => {
        Growth {
            kind: Self::KIND,
            criterion: $own.criterion,
            max_depth: $own.max_depth,
            min_samples_split: $own.min_samples_split,
            min_samples_leaf: $own.min_samples_leaf,
            min_impurity_decrease: $own.min_impurity_decrease,
        }
    };
}

macro_rules! bagged {
    ($name:ident) => {
        impl $name {
            fn bag(&self) -> Bag {
                Bag {
                    growth: growth!(self),
                    n_estimators: self.n_estimators,
                    max_samples: self.max_samples,
                    max_features: self.max_features,
                    random_state: self.random_state,
                }
            }

            fn check(&self) -> Result<()> {
                self.bag().check()
            }
        }

        impl Estimator for $name {
            fn kind(&self) -> String {
                Self::KIND.into()
            }

            fn access(&self) -> Access {
                Access::Contiguous(None)
            }

            fn predicts(&self) -> Predicts {
                Predicts::Probabilities
            }

            fn cost(&self, train: Shape) -> FitCost {
                self.cost_with_classes(train, 2)
            }

            fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
                self.bag().cost(train, n_classes)
            }

            fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
                self.bag().fit(train, cx)
            }
        }
    };
}

bagged!(RandomForestClassifier);
bagged!(BaggingClassifier);

/// A tree's weight stays below this times the logarithm of 2^24 rows and a thousand classes, whose exponential is finite.
const MOST_RATE: f64 = 10.0;

/// Rows that leave every one at least four units of weight.
const BOOSTED_ROWS: usize = EXACT / 4;

impl AdaBoostClassifier {
    fn growth(&self) -> Growth {
        growth!(self)
    }

    fn check(&self) -> Result<()> {
        self.growth().check()?;
        members(Self::KIND, "n_estimators", self.n_estimators)?;
        between(Self::KIND, "learning_rate", self.learning_rate, 1e-6, MOST_RATE)
    }

    fn boost(
        &self,
        x: ArrayView2<'_, f64>,
        present: &PresentClasses,
        y: &[f64],
    ) -> Result<(Vec<Tree>, Vec<f64>)> {
        let (n, k) = (x.nrows(), present.len());
        let growth = self.growth();
        let labels = ordered_labels(Self::KIND, present, y.iter().copied())?;
        let codes: Vec<u16> = present.codes(y.iter().copied()).map(|c| c as u16).collect();
        let units = (EXACT - n) as f64;
        let leaf = match self.min_samples_leaf {
            1 => 1.0,
            rows => (rows as f64 * units / n as f64).floor() as f32,
        };
        let mut row = vec![0.0; x.ncols()];
        let mut weights = vec![1.0 / n as f64; n];
        let mut whole = vec![0.0_f32; n];
        let mut wrong = vec![false; n];
        let (mut trees, mut says) = (Vec::new(), Vec::new());
        for _ in 0..self.n_estimators {
            whole.iter_mut().zip(&weights).for_each(|(u, w)| *u = (w * units).round() as f32);
            let tree = growth.grow(x, &labels, Some(&whole), leaf, None)?;
            let mut error = 0.0;
            for i in 0..n {
                x.row(i).iter().zip(&mut row).for_each(|(v, slot)| *slot = *v);
                wrong[i] = first_greatest(tree.shares(&row, k)) != usize::from(codes[i]);
                error += if wrong[i] { weights[i] } else { 0.0 };
            }
            if error <= 0.0 {
                trees.push(tree);
                says.push(1.0);
                break;
            }
            if error >= 1.0 - 1.0 / k as f64 {
                if trees.is_empty() {
                    return Err(Error::unsupported(format!(
                        "{}: the first tree is no better than guessing (error {error}); raise max_depth",
                        Self::KIND
                    )));
                }
                break;
            }
            let say = self.learning_rate * (((1.0 - error) / error).ln() + (k as f64 - 1.0).ln());
            weights.iter_mut().zip(&wrong).filter(|(_, wrong)| **wrong).for_each(|(w, _)| *w *= say.exp());
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= sum);
            trees.push(tree);
            says.push(say);
        }
        Ok((trees, says))
    }
}

impl Estimator for AdaBoostClassifier {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Contiguous(None)
    }

    fn predicts(&self) -> Predicts {
        Predicts::Probabilities
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.cost_with_classes(train, 2)
    }

    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        let growth = self.growth();
        let tree = growth.tree_bytes(train.nrows, n_classes) + 8;
        let trees = self.n_estimators * tree + model_bytes(n_classes);
        // Weights, their whole parts twice, classes, and which rows went wrong.
        let rows = train.nrows * (8 + 4 + 4 + 2 + 1);
        FitCost { peak_bytes: (trees + rows + growth.growing_bytes(train)) as u64, model_bytes: trees as u64 }
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.check()?;
        train.check_magnitudes()?;
        let (present, _) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let (x, _) = views(train)?;
        if x.nrows() > BOOSTED_ROWS {
            return Err(Error::unsupported(format!(
                "{}: weights of {} rows are lost in linfa's float32 sums; at most {BOOSTED_ROWS} rows",
                Self::KIND,
                x.nrows()
            )));
        }
        self.growth().check_rows(x)?;
        let y = train.contiguous_y()?;
        let (trees, weights) = on_stack(DEEP, || self.boost(x, &present, y))?;
        Ok(Arc::new(ByRow(TreesModel { n_inputs: x.ncols(), present, trees, weights, say: Say::Weighted })))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    RandomForestClassifier::offer(registry);
    BaggingClassifier::offer(registry);
    AdaBoostClassifier::offer(registry);
}
