//! What the engine does with bytes: planned before as [`Work`], written down as it happens, and compared.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

/// Kinds of work that cost bytes or passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkKind {
    /// One scan of a table by the engine, in one sweep or fold by fold; bytes are those read. Its layer says of which: 0 the input
    /// table, a later one the prediction columns of the layer below it.
    Pass,
    /// Training rows copied into memory.
    Gather,
    /// Whole pages copied where rewired pages meet.
    Rewire,
    /// Bytes written to mapped temporary files: tables in fold order, rows gathered there, prediction columns.
    Spill,
    /// Prediction columns in memory.
    Predictions,
    /// Transformed training rows in memory.
    Transform,
}

/// One piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Work {
    /// What kind.
    pub kind: WorkKind,
    /// The layer, from 0.
    pub layer: usize,
    /// The fold held out; `None` when it is for all rows or no fold in particular.
    pub fold: Option<usize>,
    /// How many bytes.
    pub bytes: u64,
    /// What for, in a few words.
    pub what: Cow<'static, str>,
}

impl Work {
    /// A piece of work.
    pub fn new(kind: WorkKind, layer: usize, fold: Option<usize>, bytes: u64, what: &'static str) -> Self {
        Self { kind, layer, fold, bytes, what: what.into() }
    }

    pub(crate) fn transformed(layer: usize, fold: Option<usize>, bytes: u64, anonymous: bool) -> Self {
        let kind = if anonymous { WorkKind::Transform } else { WorkKind::Spill };
        Self::new(kind, layer, fold, bytes, "transformed training rows")
    }
}

/// The work that copies or stores bytes, all but passes, with equal purposes of one layer and fold added up: what plan and ledger
/// are compared by.
pub(crate) fn copies(work: &[Work]) -> Vec<Work> {
    let mut sums: Vec<Work> = work.iter().filter(|w| w.kind != WorkKind::Pass).cloned().collect();
    let purpose = |w: &Work| (w.kind, w.layer, w.fold);
    sums.sort_by(|a, b| purpose(a).cmp(&purpose(b)).then_with(|| a.what.cmp(&b.what)));
    sums.dedup_by(|next, sum| {
        let same = purpose(next) == purpose(sum) && next.what == sum.what;
        if same {
            sum.bytes += next.bytes;
        }
        same
    });
    sums
}

/// Sums over work, as reports show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Scans of the input table by the engine: for statistics, for the check of values, and to predict held-out folds, once for all
    /// learners whose fits merge and once for each other. What learners read in their fits is theirs.
    pub data_passes: u64,
    /// Bytes of training rows copied into memory.
    pub gathered_bytes: u64,
    /// Bytes of pages copied at junctions.
    pub rewired_bytes_copied: u64,
    /// Bytes written to temporary files.
    pub spilled_bytes: u64,
    /// Bytes of prediction columns in memory.
    pub prediction_bytes: u64,
    /// Bytes of transformed training rows in memory.
    pub transformed_bytes: u64,
}

impl Totals {
    /// Add up.
    pub fn of(work: &[Work]) -> Self {
        let mut t = Self::default();
        for w in work {
            match w.kind {
                WorkKind::Pass => t.data_passes += u64::from(w.layer == 0),
                WorkKind::Gather => t.gathered_bytes += w.bytes,
                WorkKind::Rewire => t.rewired_bytes_copied += w.bytes,
                WorkKind::Spill => t.spilled_bytes += w.bytes,
                WorkKind::Predictions => t.prediction_bytes += w.bytes,
                WorkKind::Transform => t.transformed_bytes += w.bytes,
            }
        }
        t
    }
}

/// Work done so far, from all threads.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<Vec<Work>>,
    held: Arc<Held>,
}

/// Bytes of memory held now, and the most there were.
#[derive(Debug, Default)]
struct Held {
    now: AtomicU64,
    most: AtomicU64,
}

/// Bytes of memory that are held until this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    bytes: u64,
    held: Arc<Held>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.held.now.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Write down what was done.
    pub fn write(&self, work: Work) {
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(work);
    }

    /// Bytes of memory are held from now on.
    pub(crate) fn reserve(&self, bytes: u64) -> Reservation {
        let now = self.held.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.held.most.fetch_max(now, Ordering::Relaxed);
        Reservation { bytes, held: Arc::clone(&self.held) }
    }

    /// The most bytes held at once: rows in another order, views that copy, statistics and prediction columns. What learners allocate in
    /// their fits is theirs.
    pub fn peak_held_bytes(&self) -> u64 {
        self.held.most.load(Ordering::Relaxed)
    }

    /// Bytes copied or stored so far.
    pub(crate) fn copied_bytes(&self) -> u64 {
        let entries = self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        entries.iter().filter(|w| w.kind != WorkKind::Pass).map(|w| w.bytes).sum()
    }

    /// Take over what another ledger holds.
    pub(crate) fn append(&self, other: Ledger) {
        let more = other.into_entries();
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(more);
    }

    /// Everything, sorted, so that two runs compare.
    pub fn into_entries(self) -> Vec<Work> {
        let mut entries = self.entries.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        entries.sort();
        entries
    }
}

/// A count of bytes for people: `"1.5 MiB"`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let (mut value, mut unit) = (self.0 as f64, 0);
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let text = if unit == 0 { format!("{} B", self.0) } else { format!("{value:.1} {}", UNITS[unit]) };
        f.pad(&text)
    }
}
