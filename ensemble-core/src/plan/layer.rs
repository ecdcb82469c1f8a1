//! A plan as data.

use std::{fmt, ops::Range, sync::Arc};

use serde::Serialize;

use crate::{
    account::ledger::{Totals, Work, copies},
    data::{classes::Classes, mat::Order},
    design::layout::Design,
    learner::estimator::{Access, Predicts},
    plan::{
        resource::Resource,
        view::{CellViews, Input, Read, Residence, Wave},
    },
    statistic::merge_plan::MergePlan,
};

#[derive(Clone, Debug, Serialize)]
pub(crate) struct LearnerPlan {
    pub(crate) name: String,
    pub(crate) kind: String,
    #[serde(serialize_with = "as_text")]
    pub(crate) access: Access,
    pub(crate) cost: u64,
    #[serde(serialize_with = "as_text")]
    pub(crate) predicts: Predicts,
    /// Its columns among those of a group of the layer's predictions.
    pub(crate) columns: Range<usize>,
    /// The order of the contiguous view it takes.
    pub(crate) order: Option<Order>,
}

fn as_text<S: serde::Serializer>(word: &impl fmt::Display, s: S) -> std::result::Result<S::Ok, S::Error> {
    s.collect_str(word)
}

impl Serialize for Order {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_str(if *self == Order::C { "C" } else { "F" })
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct LayerPlan {
    pub(crate) learners: Vec<LearnerPlan>,
    /// Atoms and cells; the first layer's rows lie in its arrangement, and so do those of all others.
    #[serde(skip)]
    pub(crate) design: Arc<Design>,
    /// Where the layer's first row stands among the rows as they are arranged.
    pub(crate) first_row: usize,
    #[serde(rename = "source")]
    pub(crate) input: Input,
    /// What the layer above reads.
    #[serde(skip)]
    pub(crate) input_above: Option<Input>,
    pub(crate) statistics: Vec<String>,
    pub(crate) state_bytes: u64,
    pub(crate) predictions: Residence,
    /// What a scan for this layer reads: layer 0 is the input table, a later one the prediction columns of the layer below it.
    pub(crate) reads: Read,
    /// Whether cells hold rows out at all; otherwise there are final ones only.
    #[serde(rename = "cross_validated")]
    pub(crate) holds_out: bool,
    /// Whether scores follow from statistics.
    pub(crate) scored_by_statistics: bool,
    /// Whether held-out targets have no part in anything that scores come from.
    pub(crate) nested: bool,
    /// Whether values are checked by a pass of their own, since no statistic reads them.
    pub(crate) checked: bool,
    /// Which states are merged with which for the cells.
    #[serde(skip)]
    pub(crate) merges: MergePlan,
    /// Fits of merging learners that may run at the same time.
    pub(crate) merging_at_once: usize,
    /// For each cell.
    #[serde(rename = "ways")]
    pub(crate) views: Vec<CellViews>,
    pub(crate) waves: Vec<Wave>,
}

impl LayerPlan {
    /// Columns of one group of predictions.
    pub(crate) fn group_width(&self) -> usize {
        self.learners.last().map_or(0, |l| l.columns.end)
    }
}

/// What a fit will do. Print it, or read its figures; [`Plan::copies`] is what the ledger must then say.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) table: String,
    pub(crate) fold_sizes: Vec<usize>,
    pub(crate) folds_text: String,
    /// Name and parameters of the scheme.
    pub(crate) scheme: serde_json::Value,
    /// Whether rows are written once in another order.
    pub(crate) arranged: bool,
    /// The target's classes, when a learner classifies.
    #[serde(skip)]
    pub(crate) classes: Option<Classes>,
    pub(crate) n_classes: Option<usize>,
    pub(crate) threads: usize,
    #[serde(rename = "stages")]
    pub(crate) layers: Vec<LayerPlan>,
    pub(crate) work: Vec<Work>,
    /// What is held from layer to layer.
    pub(crate) resources: Vec<Resource>,
    #[serde(flatten)]
    pub(crate) totals: Totals,
    pub(crate) peak_bytes: u64,
}

impl Plan {
    /// The planned work that copies or stores bytes: all but passes, added up by purpose, layer and fold.
    pub fn copies(&self) -> Vec<Work> {
        copies(&self.work)
    }

    /// Sums over the planned work. An ill-conditioned linear fit adds one pass, which only its statistics can tell.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The classes of the target, when a learner classifies: found by one pass over the target while planning.
    pub fn classes(&self) -> Option<&Classes> {
        self.classes.as_ref()
    }

    /// How the first layer's rows are split.
    pub fn design(&self) -> &Design {
        &self.layers[0].design
    }

    /// Bytes that engine and learners may hold at once: states, stored predictions, gathers and declared costs.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }
}
