//! linfa's decision trees, made reproducible, as plain arrays.
//!
//! linfa-trees 0.8.1 sums a node's class weights in the order of a `HashMap` whose keys are random (`algorithm.rs:652-671`, `:689-721`):
//! with three classes or more the last bit of an impurity, and so the split among near-equal ones, differs from run to run, and ties
//! between classes decide at random what pruning joins. [`OrderedLabel`] cures it from outside: a label whose hash ends in the
//! label's own number whatever the map's key, so that every map is in one order.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use ensemble_core::{
    Access, Error, Estimator, FitContext, FitCost, Loaded, Model, Predicts, PresentClasses, Record, Registry,
    Result, Shape, Train, on_stack, parameter::at_least, softmax,
};
use linfa::{DatasetBase, traits::Fit};
use linfa_trees::{DecisionTree, SplitQuality, TreeNode};
use ndarray::{Array1, ArrayView2, Axis};

use crate::{
    parameters::{parameters, words},
    view::{ByRow, DEEP, RowModel, refused, values, views},
};

words! {
    /// What a split is to lower.
    Criterion {
        /// Gini's impurity.
        Gini = "gini",
        /// The entropy of the classes.
        Entropy = "entropy",
    }
}

parameters! {
    /// A classification tree by linfa, with the probabilities of its leaves: scikit-learn's `DecisionTreeClassifier`, pruned of
    /// splits whose leaves agree, as linfa does.
    ///
    /// After the fit, the training rows are routed through the tree once more and each leaf keeps the shares of its classes;
    /// ties go to the lowest class. Without `max_depth` a tree has at most 256 levels, because linfa marks every row twice per
    /// level. linfa copies no row; it keeps every column's values sorted beside row numbers, 16 bytes a value.
    ///
    /// Faults of linfa-trees 0.8.1 handled here: the order of its maps (see the source of this module); it fits with `<=` and
    /// predicts with `<` (`:350`, `:642`), so that a row on a threshold lands in a leaf it was not counted in: rows go by `<=` here;
    /// prediction recurses per level, and is a loop here; values closer than 1e-5 count as equal (`:273-277`), and a column
    /// that varies by less everywhere is refused; its counts are `f32`, and more than 2^24 rows are refused.
    /// `min_impurity_decrease` is that of the node, not weighted by its share of rows as in scikit-learn.
    DecisionTreeClassifier: Learner = "linfa.decision_tree_classifier", "linfa-trees 0.8.1" {
        criterion "criterion" ["split_quality"]: Criterion = Criterion::Gini, "gini", "what a split lowers: gini or entropy";
        max_depth "max_depth" []: Option<usize> = None, "none", "most levels of splits; none for at most 256";
        min_samples_split "min_samples_split" ["min_weight_split"]: usize = 2, "2", "rows that a node needs to be split";
        min_samples_leaf "min_samples_leaf" ["min_weight_leaf"]: usize = 1, "1", "rows that a leaf needs";
        min_impurity_decrease "min_impurity_decrease" []: f64 = 1e-5, "1e-5", "what a split must lower the node's impurity by";
    }
}

/// Levels of a tree whose depth is not said.
const DEPTH: usize = 256;
/// Levels that fit on the stack of a fit.
const DEEPEST: usize = 50_000;
/// Greatest whole weight that linfa's `f32` sums hold exactly.
pub(crate) const EXACT: usize = 1 << 24;

/// How trees grow: parameters that all learners of trees share.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    pub(crate) kind: &'static str,
    pub(crate) criterion: Criterion,
    pub(crate) max_depth: Option<usize>,
    pub(crate) min_samples_split: usize,
    pub(crate) min_samples_leaf: usize,
    pub(crate) min_impurity_decrease: f64,
}

impl Growth {
    pub(crate) fn check(&self) -> Result<()> {
        at_least(self.kind, "min_samples_leaf", self.min_samples_leaf, 1)?;
        at_least(self.kind, "min_samples_split", self.min_samples_split, 1)?;
        at_least(self.kind, "max_depth", self.max_depth.unwrap_or(1), 1)?;
        if self.max_depth.is_some_and(|d| d > DEEPEST) {
            return Err(Error::parameter(
                self.kind,
                "max_depth",
                self.max_depth.unwrap_or(0),
                "at most 50000",
            ));
        }
        if !self.min_impurity_decrease.is_finite() || self.min_impurity_decrease < f64::EPSILON {
            let want = "a finite number, 2.3e-16 or more: linfa needs a split to gain something";
            return Err(Error::parameter(
                self.kind,
                "min_impurity_decrease",
                self.min_impurity_decrease,
                want,
            ));
        }
        Ok(())
    }

    fn depth(&self, rows: usize) -> usize {
        self.max_depth.unwrap_or(DEPTH).min(rows)
    }

    /// Most nodes of one tree on `rows` rows.
    fn nodes(&self, rows: usize) -> usize {
        let depth = self.depth(rows).min(40) as u32;
        (2usize << depth).min(2 * rows.max(1))
    }

    /// Bytes one tree of so many classes holds, at most.
    pub(crate) fn tree_bytes(&self, rows: usize, n_classes: usize) -> usize {
        let nodes = self.nodes(rows);
        size_of::<Tree>() + nodes * 20 + nodes.div_ceil(2) * 8 * n_classes
    }

    /// Bytes alive while one tree grows: sorted columns with what sorting the last one takes, marks of rows per level, linfa's
    /// nodes with their names, labels.
    pub(crate) fn growing_bytes(&self, train: Shape) -> usize {
        let Shape { nrows: n, ncols: p } = train;
        let marks = n * (2 * self.depth(n) + 1);
        let nodes = self.nodes(n);
        16 * n * p + (16 * n).max(marks + nodes * 136) + 8 * n + 64 * p + 4096
    }

    /// Grow one tree on rows whose weights are whole numbers, of sum at most 2^24.
    ///
    /// `columns` are the table's numbers of x's columns.
    pub(crate) fn grow(
        &self,
        x: ArrayView2<'_, f64>,
        labels: &Array1<OrderedLabel>,
        weights: Option<&[f32]>,
        min_weight_leaf: f32,
        columns: Option<&[usize]>,
    ) -> Result<Tree> {
        let params = linfa_trees::DecisionTreeParams::<f64, OrderedLabel>::new()
            .split_quality(match self.criterion {
                Criterion::Gini => SplitQuality::Gini,
                Criterion::Entropy => SplitQuality::Entropy,
            })
            .max_depth(Some(self.depth(x.nrows())))
            .min_weight_split(self.min_samples_split as f32)
            .min_weight_leaf(min_weight_leaf)
            .min_impurity_decrease(self.min_impurity_decrease);
        let mut rows = DatasetBase::new(x, labels.view());
        if let Some(weights) = weights {
            rows = rows.with_weights(weights.iter().copied().collect());
        }
        let fitted = params.fit(&rows).map_err(refused(self.kind))?;
        drop(rows);
        let n_classes = labels.first().map_or(0, |l| usize::from(l.of));
        let mut tree = Tree::of(&fitted, n_classes);
        drop(fitted);
        let weight = |row: usize| weights.map_or(1.0, |w| f64::from(w[row]));
        for (i, row) in x.rows().into_iter().enumerate() {
            let leaf = tree.leaf(|feature| row[feature]);
            tree.shares[leaf * n_classes + labels[i].code()] += weight(i);
        }
        for leaf in tree.shares.chunks_exact_mut(n_classes.max(1)) {
            let sum: f64 = leaf.iter().sum();
            let even = 1.0 / leaf.len() as f64;
            leaf.iter_mut().for_each(|v| *v = if sum > 0.0 { *v / sum } else { even });
        }
        if let Some(columns) = columns {
            tree.rename(columns);
        }
        Ok(tree)
    }

    /// # Errors
    /// For more rows than `f32` counts, and columns that linfa would take as constant though they are not.
    pub(crate) fn check_rows(&self, x: ArrayView2<'_, f64>) -> Result<()> {
        if x.nrows() > EXACT {
            return Err(Error::unsupported(format!(
                "{}: linfa counts rows in float32, which is exact up to {EXACT}, and there are {}",
                self.kind,
                x.nrows()
            )));
        }
        let mut sorted = Vec::with_capacity(x.nrows());
        for (j, column) in x.axis_iter(Axis(1)).enumerate() {
            sorted.clear();
            sorted.extend(column.iter().copied());
            sorted.sort_unstable_by(f64::total_cmp);
            let varies = sorted[0] < sorted[sorted.len() - 1];
            if varies && sorted.windows(2).all(|w| (w[0] - w[1]).abs() < 1e-5) {
                return Err(Error::unsupported(format!(
                    "{}: all neighbouring values of column {j} lie closer than 1e-5, which linfa takes as equal; \
                     scale the columns up first",
                    self.kind
                )));
            }
        }
        Ok(())
    }
}

/// A class that hashes to its own number, see the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OrderedLabel {
    /// Number of classes less 1 less the code: linfa lets the last of equal classes win, which is then the lowest.
    rank: u16,
    bits: u8,
    of: u16,
}

impl linfa::Label for OrderedLabel {}

impl OrderedLabel {
    pub(crate) fn new(code: usize, of: usize) -> Self {
        // A std map of up to `of` keys has at most so many buckets, and a key's bucket is its hash's low bits.
        let buckets = if of < 4 { 4 } else { (of * 8 / 7 + 1).next_power_of_two() };
        Self { rank: (of - 1 - code) as u16, bits: buckets.trailing_zeros() as u8, of: of as u16 }
    }

    fn code(self) -> usize {
        usize::from(self.of - 1 - self.rank)
    }
}

/// How many bytes each label feeds a map's hasher, by the label's rank; 0 where that is not known yet.
#[derive(Default)]
struct Lengths {
    /// What the hasher says before it is fed, which tells maps apart.
    map: u64,
    of: u16,
    by_rank: Vec<u32>,
}

/// Maps that a node's search for a split goes back and forth between, and room for chance.
const MAPS: usize = 8;

/// That this program's maps keep labels of `of` classes in one order, as linfa makes and fills them: the trick stands on how
/// the standard library's maps are built, which is nobody's promise. Tried once per number of classes.
///
/// # Errors
/// When they do not: trees would differ from run to run.
fn check_order(kind: &str, of: usize) -> Result<()> {
    static KEPT: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.contains(&of) || keep_order(of, |code| OrderedLabel::new(code, of)) {
        kept.insert(of);
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{kind}: this program was built with a standard library whose maps keep {of} classes in no fixed order, and linfa's trees \
         would differ from run to run; use smartcore.decision_tree_classifier or smartcore.random_forest_classifier"
    )))
}

/// Whether maps from labels to weights are in one order whatever a map's key, at every state on the way as they are filled, and in
/// the labels' order once they hold all of them.
fn keep_order<L: Ord + Hash + Copy>(of: usize, label: impl Fn(usize) -> L) -> bool {
    let orders: [&dyn Fn(usize) -> usize; 3] = [&|i| i, &|i| of - 1 - i, &|i| (i * 7 + 3) % of];
    // Few classes are in one order by chance more often.
    let maps = if of < 50 { 8 } else { 2 };
    orders.iter().all(|order| {
        let filled = || {
            let (mut grown, mut seen) = (HashMap::<L, f32>::new(), Vec::new());
            for i in 0..of {
                *grown.entry(label(order(i))).or_insert(0.0) += 1.0;
                // A tree looks at every state on the way; the greater ones at fewer.
                if of < 50 || i % 97 == 0 {
                    seen.extend(grown.keys().copied());
                }
            }
            (seen, grown.clone().into_keys().collect::<Vec<L>>())
        };
        let first = filled();
        first.1.is_sorted() && (1..maps).all(|_| filled() == first)
    })
}

thread_local! {
    /// Searching for the bytes takes some tens of trials; a map is asked for the same labels once per row.
    static LENGTHS: RefCell<[Lengths; MAPS]> = RefCell::default();
}

const BYTES: [u8; 64] = [0x5a; 64];

impl Hash for OrderedLabel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mask = (1 << self.bits) - 1;
        let map = state.finish();
        LENGTHS.with_borrow_mut(|maps| {
            let lengths = &mut maps[map as usize % MAPS];
            if (lengths.map, lengths.of) != (map, self.of) {
                lengths.by_rank.clear();
                lengths.by_rank.resize(usize::from(self.of), 0);
                (lengths.map, lengths.of) = (map, self.of);
            }
            let known = &mut lengths.by_rank[usize::from(self.rank)];
            let mut left = *known as usize;
            while left > 0 {
                let now = left.min(BYTES.len());
                state.write(&BYTES[..now]);
                left -= now;
            }
            if *known > 0 {
                return;
            }
            // One hash in 2^bits ends as wanted; the limit is only to end for a hasher that never does.
            for length in 1..1 << 20 {
                state.write(&BYTES[..1]);
                if state.finish() & mask == u64::from(self.rank) {
                    *known = length;
                    return;
                }
            }
        });
    }
}

/// A tree as arrays. Rows with a value up to the threshold go to the first child.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tree {
    /// [`LEAF`] for a leaf.
    feature: Vec<u32>,
    threshold: Vec<f64>,
    /// Nodes; for a leaf, its place among the leaves twice.
    children: Vec<[u32; 2]>,
    /// Shares of each class, leaf by leaf.
    shares: Vec<f64>,
}

const LEAF: u32 = u32::MAX;

/// A node, and which of its children.
type Place = (usize, usize);

impl Tree {
    fn of(fitted: &DecisionTree<f64, OrderedLabel>, n_classes: usize) -> Self {
        let (nodes, leaves) =
            fitted.iter_nodes().fold((0, 0), |(n, l), node| (n + 1, l + usize::from(node.is_leaf())));
        let mut tree = Tree {
            feature: Vec::with_capacity(nodes),
            threshold: Vec::with_capacity(nodes),
            children: Vec::with_capacity(nodes),
            shares: vec![0.0; leaves * n_classes],
        };
        let mut n_leaves = 0;
        // Each with the child's place that is to point at it.
        let mut open: Vec<(&TreeNode<f64, OrderedLabel>, Option<Place>)> = vec![(fitted.root_node(), None)];
        while let Some((node, from)) = open.pop() {
            let at = tree.feature.len();
            if let Some((parent, side)) = from {
                tree.children[parent][side] = at as u32;
            }
            if node.is_leaf() {
                tree.feature.push(LEAF);
                tree.threshold.push(0.0);
                tree.children.push([n_leaves; 2]);
                n_leaves += 1;
                continue;
            }
            let (feature, threshold, _) = node.split();
            tree.feature.push(feature as u32);
            tree.threshold.push(threshold);
            tree.children.push([0; 2]);
            for (side, child) in node.children().into_iter().enumerate() {
                if let Some(child) = child {
                    open.push((child, Some((at, side))));
                }
            }
        }
        tree
    }

    fn rename(&mut self, columns: &[usize]) {
        for feature in self.feature.iter_mut().filter(|f| **f != LEAF) {
            *feature = columns[*feature as usize] as u32;
        }
    }

    /// The leaf of a row, whose values `value` tells.
    fn leaf(&self, value: impl Fn(usize) -> f64) -> usize {
        let mut node = 0;
        while self.feature[node] != LEAF {
            let right = value(self.feature[node] as usize) > self.threshold[node];
            node = self.children[node][usize::from(right)] as usize;
        }
        self.children[node][0] as usize
    }

    /// Shares of the classes in a row's leaf.
    pub(crate) fn shares(&self, row: &[f64], n_classes: usize) -> &[f64] {
        let leaf = self.leaf(|feature| row[feature]);
        &self.shares[leaf * n_classes..(leaf + 1) * n_classes]
    }

    fn bytes(&self) -> usize {
        self.feature.len() * 20 + self.shares.len() * 8 + size_of::<Self>()
    }

    fn to_record(&self) -> Record {
        let feature: Vec<f64> =
            self.feature.iter().map(|f| if *f == LEAF { -1.0 } else { f64::from(*f) }).collect();
        let children: Vec<f64> = self.children.iter().flatten().map(|c| f64::from(*c)).collect();
        let nodes = feature.len();
        Record::new("tree")
            .with_array("feature", &[nodes], feature)
            .with_array("threshold", &[nodes], self.threshold.clone())
            .with_array("children", &[nodes, 2], children)
            .with_array("shares", &[self.shares.len()], self.shares.clone())
    }

    fn from_record(record: &Record, n_inputs: usize, n_classes: usize) -> Result<Self> {
        let broken = |what: &str| Error::spec("tree", format!("a saved tree {what}"));
        let feature = record.array("feature")?.data.iter().map(|f| match *f {
            -1.0 => Some(LEAF),
            f if f.fract() == 0.0 && (0.0..n_inputs as f64).contains(&f) => Some(f as u32),
            _ => None,
        });
        let feature = feature.collect::<Option<Vec<u32>>>().ok_or_else(|| broken("splits on no column"))?;
        let nodes = feature.len();
        let children: Vec<[u32; 2]> =
            record.whole_numbers("children")?.chunks_exact(2).map(|c| [c[0] as u32, c[1] as u32]).collect();
        let shares = record.array("shares")?.data.clone();
        let leaves = shares.len() / n_classes.max(1);
        // Children come after their parents, so that no walk is endless.
        let sound = feature.iter().zip(&children).enumerate().all(|(at, (f, c))| match *f {
            LEAF => c.iter().all(|c| (*c as usize) < leaves),
            _ => c.iter().all(|c| at < *c as usize && (*c as usize) < nodes),
        });
        if nodes == 0 || children.len() != nodes || !sound {
            return Err(broken("points outside itself"));
        }
        Ok(Self { feature, threshold: values(record, "threshold", nodes)?, children, shares })
    }
}

/// How trees speak together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Say {
    /// The mean of their leaves' shares.
    Mean,
    /// Each for its leaf's first greatest class, with its weight; probabilities as scikit-learn's SAMME.
    Weighted,
}

/// One tree or many.
pub(crate) struct TreesModel {
    pub(crate) n_inputs: usize,
    pub(crate) present: PresentClasses,
    pub(crate) trees: Vec<Tree>,
    pub(crate) weights: Vec<f64>,
    pub(crate) say: Say,
}

impl TreesModel {
    const RECORD: &'static str = "linfa.trees";

    fn from_record(record: &Record) -> Result<Self> {
        let (n_inputs, present) = (record.count("columns")?, PresentClasses::load(record)?);
        let trees: Vec<Tree> = record
            .children()
            .iter()
            .map(|child| Tree::from_record(child, n_inputs, present.len()))
            .collect::<Result<_>>()?;
        if trees.is_empty() {
            return Err(Error::spec(Self::RECORD, "a saved model has no trees"));
        }
        let weights = values(record, "weights", trees.len())?;
        let say = if record.text("say")? == "weighted" { Say::Weighted } else { Say::Mean };
        Ok(Self { n_inputs, present, trees, weights, say })
    }
}

/// Bytes of a model besides its trees.
pub(crate) fn model_bytes(n_classes: usize) -> usize {
    size_of::<TreesModel>() + 8 * n_classes
}

/// The first of the greatest.
pub(crate) fn first_greatest(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if *v > values[best] {
            best = i;
        }
    }
    best
}

impl RowModel for TreesModel {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn n_outputs(&self) -> usize {
        self.present.n_classes()
    }

    fn predict_row(&self, row: &[f64], out: &mut [f64]) {
        let k = self.present.len();
        let mut sums = vec![0.0; k];
        for (tree, weight) in self.trees.iter().zip(&self.weights) {
            let shares = tree.shares(row, k);
            match self.say {
                Say::Mean => sums.iter_mut().zip(shares).for_each(|(s, v)| *s += v),
                Say::Weighted => sums[first_greatest(shares)] += weight,
            }
        }
        match self.say {
            Say::Mean => {
                let total: f64 = sums.iter().sum();
                sums.iter_mut().for_each(|s| *s /= total);
            }
            Say::Weighted => {
                let total: f64 = self.weights.iter().sum();
                let others = (k - 1) as f64;
                for s in &mut sums {
                    let vote = *s / total;
                    *s = (vote - (1.0 - vote) / others) / others;
                }
                softmax(&mut sums);
            }
        }
        self.present.spread(&sums, out);
    }

    fn bytes(&self) -> u64 {
        let trees: usize = self.trees.iter().map(Tree::bytes).sum();
        (trees + 8 * self.weights.len() + 8 * self.present.len() + size_of::<Self>()) as u64
    }

    fn to_record(&self) -> Result<Record> {
        let say = if self.say == Say::Weighted { "weighted" } else { "mean" };
        let record = Record::new(Self::RECORD)
            .with_field("columns", self.n_inputs as u64)
            .with_text("say", say)
            .with_array("weights", &[self.weights.len()], self.weights.clone());
        let record = self.present.save(record);
        Ok(self.trees.iter().fold(record, |r, t| r.with_child(t.to_record())))
    }
}

/// Labels of training rows that linfa's maps keep in order.
///
/// # Errors
/// When this program's maps do not.
pub(crate) fn ordered_labels(
    kind: &str,
    present: &PresentClasses,
    y: impl Iterator<Item = f64>,
) -> Result<Array1<OrderedLabel>> {
    check_order(kind, present.len())?;
    Ok(present.codes(y).map(|code| OrderedLabel::new(code, present.len())).collect())
}

impl DecisionTreeClassifier {
    fn growth(&self) -> Growth {
        Growth {
            kind: Self::KIND,
            criterion: self.criterion,
            max_depth: self.max_depth,
            min_samples_split: self.min_samples_split,
            min_samples_leaf: self.min_samples_leaf,
            min_impurity_decrease: self.min_impurity_decrease,
        }
    }

    fn check(&self) -> Result<()> {
        self.growth().check()
    }
}

impl Estimator for DecisionTreeClassifier {
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
        let model_bytes = growth.tree_bytes(train.nrows, n_classes) + model_bytes(n_classes);
        FitCost {
            peak_bytes: (growth.growing_bytes(train) + model_bytes) as u64,
            model_bytes: model_bytes as u64,
        }
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        let growth = self.growth();
        growth.check()?;
        train.check_magnitudes()?;
        let (present, _) = PresentClasses::of(train, cx)?;
        if let Some(model) = present.certain(train.shape().ncols) {
            return Ok(model);
        }
        let (x, y) = views(train)?;
        growth.check_rows(x)?;
        let labels = ordered_labels(Self::KIND, &present, y.iter().copied())?;
        let leaf = self.min_samples_leaf as f32;
        let tree = on_stack(DEEP, || growth.grow(x, &labels, None, leaf, None))?;
        let (n_inputs, weights) = (x.ncols(), vec![1.0]);
        Ok(Arc::new(ByRow(TreesModel { n_inputs, present, trees: vec![tree], weights, say: Say::Mean })))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    DecisionTreeClassifier::offer(registry);
    registry.add_loader(TreesModel::RECORD, |record, _| {
        Ok(Loaded::Model(Arc::new(ByRow(TreesModel::from_record(record)?))))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_keep_no_order_are_noticed() {
        // Plain numbers hash anyhow: that all of these maps are in order has a chance of 1 in 10^20.
        for of in [3, 5, 40, 300] {
            assert!(!keep_order(of, |code| code), "{of} classes");
            assert!(keep_order(of, |code| OrderedLabel::new(code, of)), "{of} classes");
        }
        assert!(check_order("it", 5).is_ok() && check_order("it", 5).is_ok());
    }

    #[test]
    fn maps_of_ordered_labels_are_in_one_order_whatever_their_keys() {
        for of in [2, 3, 4, 7, 8, 14, 15, 40, 300] {
            for _ in 0..50 {
                let map: HashMap<OrderedLabel, usize> =
                    (0..of).map(|code| (OrderedLabel::new(code, of), code)).collect();
                let order: Vec<usize> = map.values().copied().collect();
                assert!(order.iter().rev().copied().eq(0..of), "{of} classes: {order:?}");
            }
        }
    }
}
