//! Fitted trees as a flat list of nodes, whatever grew them.

use ensemble_core::{Error, MatMut, MatRef, Model, PresentClasses, Record, Result, Train, check_prediction};

use crate::nodes::{Node, Nodes};

/// What a row's leaves make of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Output {
    /// The mean of the leaves' values.
    Mean,
    /// `base` plus `rate` times every leaf's value.
    Boosted { base: f64, rate: f64 },
    /// The share of trees that decide for each class; a leaf's value is the code of one.
    Votes(PresentClasses),
    /// The classes of the training rows in the leaf; a leaf's value is its place in the list.
    Shares(Shares),
}

/// Shares of classes by leaf, as lists that leave out zeros.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shares {
    /// Where each leaf's list starts, and the end of the last.
    starts: Vec<u32>,
    classes: Vec<u32>,
    shares: Vec<f64>,
    n_classes: usize,
}

/// Fitted trees of smartcore's: 24 bytes a node, and the same predictions to the bit.
#[derive(Clone, Debug, PartialEq)]
pub struct TreesModel {
    learner: String,
    n_inputs: usize,
    trees: Nodes,
    output: Output,
}

impl TreesModel {
    /// Name of the record of such a model.
    pub const RECORD: &'static str = "smartcore.trees_model";

    pub(crate) fn new(learner: &str, n_inputs: usize, trees: Nodes, output: Output) -> Self {
        Self { learner: learner.into(), n_inputs, trees, output }
    }

    /// One tree whose leaves hold the shares of the classes among the training rows that end in them. One pass over the rows.
    pub(crate) fn with_shares(
        learner: &str,
        mut trees: Nodes,
        train: &Train<'_>,
        n_classes: usize,
    ) -> Result<Self> {
        let mut ends: Vec<(u32, u32)> = Vec::with_capacity(train.shape().nrows);
        for (x, y) in train.x().segments().filter(|s| s.nrows() > 0).zip(train.y()) {
            for (row, class) in y.iter().enumerate() {
                ends.push((leaf_of(&trees, trees.roots[0], x, row), *class as u32));
            }
        }
        ends.sort_unstable();
        let n_pairs = ends.chunk_by(|a, b| a == b).count();
        let n_leaves = ends.chunk_by(|a, b| a.0 == b.0).count();
        let mut shares = Shares {
            starts: Vec::with_capacity(n_leaves + 1),
            classes: Vec::with_capacity(n_pairs),
            shares: Vec::with_capacity(n_pairs),
            n_classes,
        };
        let mut used = vec![false; trees.nodes.len()];
        for leaf in ends.chunk_by(|a, b| a.0 == b.0) {
            let at = leaf[0].0 as usize;
            trees.nodes[at].threshold = shares.starts.len() as f64;
            used[at] = true;
            shares.starts.push(shares.classes.len() as u32);
            for class in leaf.chunk_by(|a, b| a == b) {
                shares.classes.push(class[0].1);
                shares.shares.push(class.len() as f64 / leaf.len() as f64);
            }
        }
        shares.starts.push(shares.classes.len() as u32);
        if trees.nodes.iter().zip(&used).any(|(node, used)| node.feature == Node::LEAF && !used) {
            return Err(Error::unsupported(format!(
                "{learner}: smartcore grew a leaf that no training row reaches"
            )));
        }
        let n_inputs = train.shape().ncols;
        Ok(Self::new(learner, n_inputs, trees, Output::Shares(shares)))
    }

    /// Number of trees.
    pub fn n_trees(&self) -> usize {
        self.trees.roots.len()
    }

    /// Number of nodes of all trees, leaves included.
    pub fn n_nodes(&self) -> usize {
        self.trees.nodes.len()
    }

    /// From what [`Model::to_record`] gave.
    ///
    /// # Errors
    /// When a part is missing or the nodes are no trees.
    pub fn from_record(record: &Record) -> Result<Self> {
        let bad = || Error::spec(Self::RECORD, "the nodes of the saved model are no trees");
        let array = |name: &str| -> Result<Vec<f64>> { Ok(record.array(name)?.data.clone()) };
        let whole = |value: f64, below: usize| {
            (value.fract() == 0.0 && value >= 0.0 && value < below as f64)
                .then_some(value as u32)
                .ok_or_else(bad)
        };
        let wholes = |name: &str, below: usize| -> Result<Vec<u32>> {
            array(name)?.into_iter().map(|v| whole(v, below)).collect()
        };
        let n_inputs = record.count("columns")?;
        let (thresholds, features) = (array("thresholds")?, array("features")?);
        let n = thresholds.len();
        let (yes, no) = (wholes("yes", n)?, wholes("no", n)?);
        if [features.len(), yes.len(), no.len()] != [n; 3] {
            return Err(bad());
        }
        let mut nodes = Vec::with_capacity(n);
        for (at, threshold) in thresholds.into_iter().enumerate() {
            let leaf = features[at] == -1.0;
            // Children stand after their parents, so a walk ends.
            if !leaf && (yes[at] as usize <= at || no[at] as usize <= at) {
                return Err(bad());
            }
            let feature = if leaf { Node::LEAF } else { whole(features[at], n_inputs)? };
            nodes.push(Node { threshold, feature, yes: yes[at], no: no[at] });
        }
        let roots = wholes("roots", n)?;
        if roots.is_empty() {
            return Err(bad());
        }
        let leaves_below = |count: usize| {
            nodes
                .iter()
                .filter(|n| n.feature == Node::LEAF)
                .try_for_each(|n| whole(n.threshold, count).map(drop))
        };
        let output = match record.text("output")?.as_str() {
            "mean" => Output::Mean,
            "boosted" => {
                let numbers = array("boosted")?;
                let [base, rate] = numbers[..] else { return Err(bad()) };
                Output::Boosted { base, rate }
            }
            "votes" => {
                let present = PresentClasses::load(record)?;
                leaves_below(present.len())?;
                Output::Votes(present)
            }
            "shares" => {
                let n_classes = record.count("classes")?;
                let shares = array("shares")?;
                let starts = wholes("starts", shares.len() + 1)?;
                let classes = wholes("share_classes", n_classes)?;
                if classes.len() != shares.len() || starts.is_empty() || !starts.is_sorted() {
                    return Err(bad());
                }
                leaves_below(starts.len() - 1)?;
                Output::Shares(Shares { starts, classes, shares, n_classes })
            }
            _ => return Err(bad()),
        };
        Ok(Self { learner: record.text("learner")?, n_inputs, trees: Nodes { nodes, roots }, output })
    }
}

/// The place of the leaf that a row ends in.
#[inline]
fn leaf_of(trees: &Nodes, root: u32, x: MatRef<'_>, row: usize) -> u32 {
    let mut at = root;
    loop {
        let node = &trees.nodes[at as usize];
        if node.feature == Node::LEAF {
            return at;
        }
        at = if x.get(row, node.feature as usize) <= node.threshold { node.yes } else { node.no };
    }
}

impl Model for TreesModel {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn n_outputs(&self) -> usize {
        match &self.output {
            Output::Mean | Output::Boosted { .. } => 1,
            Output::Votes(present) => present.n_classes(),
            Output::Shares(shares) => shares.n_classes,
        }
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        let roots = &self.trees.roots;
        let mut votes = vec![0u32; self.n_outputs()];
        for row in 0..x.nrows() {
            let values = roots
                .iter()
                .map(|root| self.trees.nodes[leaf_of(&self.trees, *root, x, row) as usize].threshold);
            match &self.output {
                Output::Mean => {
                    let sum = values.fold(0.0, |sum, v| sum + v);
                    out.set(row, 0, sum / roots.len() as f64);
                }
                Output::Boosted { base, rate } => {
                    out.set(row, 0, values.fold(*base, |sum, v| sum + rate * v));
                }
                Output::Votes(present) => {
                    votes.fill(0);
                    values.for_each(|code| votes[present.classes()[code as usize]] += 1);
                    for (class, count) in votes.iter().enumerate() {
                        out.set(row, class, f64::from(*count) / roots.len() as f64);
                    }
                }
                Output::Shares(Shares { starts, classes, shares, n_classes }) => {
                    (0..*n_classes).for_each(|class| out.set(row, class, 0.0));
                    for leaf in values {
                        let list = starts[leaf as usize] as usize..starts[leaf as usize + 1] as usize;
                        for at in list {
                            out.set(row, classes[at] as usize, shares[at]);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let output = match &self.output {
            Output::Mean | Output::Boosted { .. } => 0,
            Output::Votes(present) => 8 * present.len(),
            Output::Shares(s) => 4 * (s.starts.len() + s.classes.len()) + 8 * s.shares.len(),
        };
        (size_of::<Self>()
            + self.learner.len()
            + self.trees.nodes.len() * size_of::<Node>()
            + 4 * self.trees.roots.len()
            + output) as u64
    }

    fn to_record(&self) -> Result<Record> {
        let nodes = &self.trees.nodes;
        let array = |of: &dyn Fn(&Node) -> f64| nodes.iter().map(of).collect::<Vec<f64>>();
        let integers = |values: &[u32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let feature = |n: &Node| if n.feature == Node::LEAF { -1.0 } else { f64::from(n.feature) };
        let record = Record::new(Self::RECORD)
            .with_text("learner", &self.learner)
            .with_field("columns", self.n_inputs)
            .with_array("thresholds", &[nodes.len()], array(&|n| n.threshold))
            .with_array("features", &[nodes.len()], array(&feature))
            .with_array("yes", &[nodes.len()], array(&|n| f64::from(n.yes)))
            .with_array("no", &[nodes.len()], array(&|n| f64::from(n.no)))
            .with_array("roots", &[self.trees.roots.len()], integers(&self.trees.roots));
        Ok(match &self.output {
            Output::Mean => record.with_text("output", "mean"),
            Output::Boosted { base, rate } => {
                record.with_text("output", "boosted").with_array("boosted", &[2], vec![*base, *rate])
            }
            Output::Votes(present) => present.save(record.with_text("output", "votes")),
            Output::Shares(Shares { starts, classes, shares, n_classes }) => record
                .with_text("output", "shares")
                .with_field("classes", *n_classes)
                .with_array("starts", &[starts.len()], integers(starts))
                .with_array("share_classes", &[classes.len()], integers(classes))
                .with_array("shares", &[shares.len()], shares.clone()),
        })
    }
}
