//! The contract of [`Estimator`] and [`Transformer`] as a list of checks, for authors of backends.
//!
//! The engine relies on more than the traits' signatures can say: that the same rows give the same bits however they are handed
//! over, that the declared cost holds, that a NaN is an error and not a hang. This module asks for all of it, one named check
//! after the other, on tables it makes itself. In the tests of a backend:
//!
//! ```
//! # use std::sync::Arc;
//! # use ensemble_core::{Access, Built, Estimator, FitContext, FitCost, Kind, LinearModel, Model, Registry, Result, Shape, Train};
//! use ensemble_core::conformance::{Capabilities, Suite, check_estimator};
//!
//! struct Mean;
//!
//! impl Estimator for Mean {
//!     fn kind(&self) -> String { "doc.mean".into() }
//!     fn access(&self) -> Access { Access::Segments }
//!     fn cost(&self, train: Shape) -> FitCost {
//!         let model_bytes = 8 * train.ncols as u64 + 100;
//!         FitCost { peak_bytes: model_bytes, model_bytes }
//!     }
//!     fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
//!         train.check_finite()?;
//!         let mean = train.y().flatten().sum::<f64>() / train.shape().nrows as f64;
//!         Ok(Arc::new(LinearModel::new("doc.mean", vec![0.0; train.shape().ncols], mean)))
//!     }
//! }
//!
//! let mut registry = Registry::new();
//! registry.add_kind(Kind {
//!     name: "doc.mean",
//!     backend: "this page",
//!     parameters: &[],
//!     build: |_| Ok(Built::Learner(Arc::new(Mean))),
//! });
//! check_estimator(&Suite::new(&registry), Arc::new(Mean), &Capabilities::new().unskilled()).assert();
//! ```
//!
//! # How to use it
//! 1. Depend on `ensemble` with the feature `conformance` for tests.
//! 2. Make a [`Suite`] from the [`Registry`] that your crate's kinds and loaders are in. Add places of tables and a meter:
//!    ```text
//!    #[global_allocator]
//!    static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;
//!
//!    let mapped = ensemble::memmap::MappedPlace::temp()?;
//!    let suite = Suite::new(&registry).place(&mapped).meter(&HEAP);
//!    ```
//!    Tables of a mapped place are read-only pages: a backend that writes to its input dies there. They can be rewired, and a
//!    saved model can name them, if the registry opens files (`registry.open_tables_with(ensemble::memmap::open_reference)`).
//!    The meter counts what the whole process allocates, so that test binary may have one `#[test]` only.
//! 3. Call [`check_estimator`] for a regressor, [`check_classifier`], [`check_transformer`], or [`check_kind`] for whatever a name
//!    of the registry makes, and [`Outcome::assert`] what comes back: it panics with the table of all checks.
//!
//! [`Capabilities`] say what a learner cannot do by its nature: take more than one column, or negative values. A fault that you know
//! and cannot mend is an expected failure by name and reason; once it is mended, the check says so by failing.
//!
//! [`checks`] lists every check with the fact that it asks for. A panic within one is that check's failure, and all run. A fit on
//! bad values gets [`TIME_LIMIT`] to come back, on a thread of its own that is left behind when it does not.
//! Two things no check survives: a write to a read-only page, and a stack that overflows
//! ([`on_stack`](crate::on_stack) prevents the latter).

mod capabilities;
mod checks;
mod classes;
mod declared;
mod ensembles;
mod faults;
mod memory;
mod outcome;
mod pipelines;
mod predictions;
mod problem;
mod rows;
mod subject;

use std::{sync::Arc, time::Duration};

pub use self::{
    capabilities::Capabilities,
    checks::{Check, Family, checks},
    outcome::{Outcome, Verdict},
};
use self::{checks::run, subject::Subject};
use crate::{
    data::{
        mat::MatRef,
        table::{DenseTable, Table},
    },
    error::Result,
    learner::{
        estimator::{Estimator, Transformer},
        registry::{Built, Registry},
    },
};

/// What a fit on bad values gets before it counts as one that never returns, unless [`Suite::time_limit`] says otherwise.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Bytes by which a measured fit may pass its declared cost: threads started, names, the allocator's own rounding.
pub const COST_SLACK: u64 = 64 << 10;

/// Where the suite's tables come from: the heap ([`InMemory`]), or read-only mapped files (`ensemble_memmap::MappedPlace`).
pub trait Place: Sync {
    /// What outcomes call it.
    fn name(&self) -> &str;

    /// A table of the same values in the same order, independent of `x`.
    ///
    /// # Errors
    /// When there is no room.
    fn table(&self, x: MatRef<'_>) -> Result<Arc<dyn Table>>;
}

/// Tables on the heap. In every suite.
#[derive(Clone, Copy, Debug, Default)]
pub struct InMemory;

impl Place for InMemory {
    fn name(&self) -> &str {
        "memory"
    }

    fn table(&self, x: MatRef<'_>) -> Result<Arc<dyn Table>> {
        let values = x.as_slice().ok_or_else(|| crate::Error::unsupported("a matrix with gaps"))?;
        Ok(Arc::new(DenseTable::new(values.into(), x.nrows(), x.ncols(), x.order())?))
    }
}

/// Counts the heap of the process: a global allocator that a test binary installs.
pub trait AllocationMeter: Sync {
    /// Bytes allocated now.
    fn current_bytes(&self) -> u64;

    /// Most bytes allocated at once since the last [`AllocationMeter::reset_peak`].
    fn peak_bytes(&self) -> u64;

    /// Start anew from what is allocated now.
    fn reset_peak(&self);
}

impl AllocationMeter for peak_alloc::PeakAlloc {
    fn current_bytes(&self) -> u64 {
        self.current_usage() as u64
    }

    fn peak_bytes(&self) -> u64 {
        self.peak_usage() as u64
    }

    fn reset_peak(&self) {
        self.reset_peak_usage();
    }
}

/// What checks run with: the registry that loads models, places of tables, and a meter of allocations.
pub struct Suite<'a> {
    registry: &'a Registry,
    places: Vec<&'a dyn Place>,
    meter: Option<&'a dyn AllocationMeter>,
    time_limit: Duration,
}

impl<'a> Suite<'a> {
    /// Tables in memory, and no meter.
    pub fn new(registry: &'a Registry) -> Self {
        Self { registry, places: vec![&InMemory], meter: None, time_limit: TIME_LIMIT }
    }

    /// Run on tables of this place as well. Without one whose tables can be rewired, that check is skipped.
    #[must_use]
    pub fn place(mut self, place: &'a dyn Place) -> Self {
        self.places.push(place);
        self
    }

    /// Wait so long for fits on bad values, instead of [`TIME_LIMIT`].
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Measure what fits allocate. Nothing else may run in the process then. Without a meter those checks are skipped.
    #[must_use]
    pub fn meter(mut self, meter: &'a dyn AllocationMeter) -> Self {
        self.meter = Some(meter);
        self
    }
}

/// Check a learner that predicts numbers.
pub fn check_estimator(
    suite: &Suite<'_>,
    estimator: Arc<dyn Estimator>,
    capabilities: &Capabilities,
) -> Outcome {
    run(suite, Subject::Learner(estimator), Family::Regressor, capabilities)
}

/// Check a learner that predicts probabilities or votes.
pub fn check_classifier(
    suite: &Suite<'_>,
    estimator: Arc<dyn Estimator>,
    capabilities: &Capabilities,
) -> Outcome {
    run(suite, Subject::Learner(estimator), Family::Classifier, capabilities)
}

/// Check a transformer.
pub fn check_transformer(
    suite: &Suite<'_>,
    transformer: Arc<dyn Transformer>,
    capabilities: &Capabilities,
) -> Outcome {
    run(suite, Subject::Transformer(transformer), Family::Transformer, capabilities)
}

/// Check what `text`, a kind and perhaps parameters, makes in the suite's registry, as the family it says it is of.
///
/// # Errors
/// When the registry cannot make it.
pub fn check_kind(suite: &Suite<'_>, text: &str, capabilities: &Capabilities) -> Result<Outcome> {
    Ok(match suite.registry.build(text)? {
        Built::Transformer(t) => check_transformer(suite, t, capabilities),
        Built::Learner(l) if l.predicts().classifies() => check_classifier(suite, l, capabilities),
        Built::Learner(l) => check_estimator(suite, l, capabilities),
    })
}
