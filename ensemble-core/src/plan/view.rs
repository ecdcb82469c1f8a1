//! Where a layer's columns come from, where its predictions lie, and how rows become one matrix.

use serde::Serialize;

use crate::{
    account::ledger::{Work, WorkKind},
    data::{
        gather::{GatherFor, gather_work},
        mat::Order,
    },
    design::cell::CellId,
};

/// How a layer gets its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Input {
    /// Rows of the input table.
    Table,
    /// Statistics follow from the layer below; no column is formed.
    Statistics,
    /// Predictions are made block by block in cache, and never stored.
    Stream,
    /// Stored prediction columns of the layer below.
    Predictions,
}

/// Where a layer's predictions of held-out rows live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Residence {
    /// Never made: scores and the next layer come from statistics, or nobody wants them.
    None,
    /// Made block by block for the scores, and dropped.
    Scored,
    /// Stored in memory.
    Memory,
    /// Stored in a temporary file.
    Spilled,
}

impl Residence {
    pub(crate) fn is_stored(self) -> bool {
        matches!(self, Self::Memory | Self::Spilled)
    }
}

/// How training rows become one matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum View {
    /// They are one run of the table.
    Plain,
    /// Pages put side by side; this many bytes copied at junctions.
    Rewired(u64),
    /// Copied to memory.
    Gathered(u64),
    /// Copied to a temporary file.
    GatheredToFile(u64),
}

impl View {
    pub(crate) fn name(self) -> &'static str {
        match self {
            View::Plain => "plain",
            View::Rewired(_) => "rewired",
            View::Gathered(_) | View::GatheredToFile(_) => "gathered",
        }
    }

    pub(crate) fn bytes(self) -> u64 {
        match self {
            View::Plain => 0,
            View::Rewired(b) | View::Gathered(b) | View::GatheredToFile(b) => b,
        }
    }

    /// Bytes of anonymous memory while the view lives: junctions are private pages.
    pub(crate) fn memory(self) -> u64 {
        match self {
            View::Gathered(bytes) | View::Rewired(bytes) => bytes,
            View::Plain | View::GatheredToFile(_) => 0,
        }
    }

    pub(crate) fn is_gathered(self) -> bool {
        matches!(self, View::Gathered(_))
    }

    pub(crate) fn work(self, layer: usize, fold: Option<usize>, what: &'static str) -> Option<Work> {
        let purpose = GatherFor { layer, fold, what };
        match self {
            View::Plain => None,
            View::Rewired(bytes) => Some(Work::new(WorkKind::Rewire, layer, fold, bytes, what)),
            View::Gathered(bytes) => Some(gather_work(bytes, true, purpose)),
            View::GatheredToFile(bytes) => Some(gather_work(bytes, false, purpose)),
        }
    }
}

/// The contiguous views of one cell's training rows: of x by order, and of y.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct CellViews {
    pub(crate) x: Vec<(Order, View)>,
    pub(crate) y: Option<View>,
    /// The fold that is held out; `None` for a fit for new rows only.
    #[serde(skip)]
    pub(crate) held_out: Option<usize>,
}

/// Cells worked on at the same time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wave {
    pub(crate) cells: Vec<CellId>,
    /// One learner after the other, to keep to the budget.
    pub(crate) serial: bool,
}

/// A table that scans read.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Read {
    pub(crate) layer: usize,
    pub(crate) bytes: u64,
}

impl Read {
    pub(crate) fn work(self, what: &'static str) -> Work {
        Work::new(WorkKind::Pass, self.layer, None, self.bytes, what)
    }
}
