//! Statistics that merge: state(rows A) merged with state(rows B) is state(A and B).
//!
//! The engine absorbs each fold once, in blocks of [`BLOCK_ROWS`] rows counted from the fold's start, and merges the
//! blocks along a binary tree that depends on the number of blocks alone. Threads own whole subtrees, so a result is the
//! same to the last bit for any number of threads. The training state of fold k is the merge of the others' states
//! (prefixes and suffixes; a fold is never subtracted from the total, which would cancel digits).
//! Izbicki, "Algebraic classifiers", ICML 2013.

use std::{any::Any, borrow::Cow, fmt, sync::Arc};

use crate::{
    data::{mat::MatRef, table::Table},
    error::{Error, Result, guarded},
    statistic::{
        affine::{Affine, AffineShape},
        noise::Noise,
    },
};

/// Rows absorbed by one sequential call. Part of the definition of every result: another number, other last bits.
pub const BLOCK_ROWS: usize = 1024;

/// Names what a statistic holds; two statistics with equal keys, absorbed from the same rows, are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatisticKey(Cow<'static, str>);

impl StatisticKey {
    /// A key, as in `"moments"` or `"neighbours:leaf=32"`.
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// A key made at run time.
    pub fn from_string(name: String) -> Self {
        Self(Cow::Owned(name))
    }
}

impl fmt::Display for StatisticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Neighbouring rows on their way into a statistic.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The rows.
    pub x: MatRef<'a>,
    /// Their targets, as long as `x` has rows.
    pub y: &'a [f64],
    /// Where the first row stands in the table.
    pub first_row: usize,
}

/// What a statistic may know before it sees rows.
#[derive(Clone)]
pub struct StatisticContext {
    /// Columns of the table.
    pub ncols: usize,
    /// The table, counted, for statistics that go on reading rows; `None` when it is only borrowed or never formed.
    pub table: Option<Arc<dyn Table>>,
    /// Their targets, likewise.
    pub target: Option<Arc<dyn Table>>,
    /// The kind of map that will be put between the table and the learner, if any.
    pub behind: Option<AffineShape>,
    /// Classes of the whole target, whose values are then 0..n_classes; `None` for a target of numbers.
    pub n_classes: Option<usize>,
}

impl StatisticContext {
    /// For a table of `ncols` columns that cannot be kept.
    pub fn new(ncols: usize) -> Self {
        Self { ncols, table: None, target: None, behind: None, n_classes: None }
    }

    /// With tables that can be kept.
    #[must_use]
    pub fn with_tables(mut self, table: Option<&Arc<dyn Table>>, target: Option<&Arc<dyn Table>>) -> Self {
        self.table = table.cloned();
        self.target = target.cloned();
        self
    }
}

/// A mergeable summary of rows.
///
/// Laws, which the tests of every statistic check: merging is associative up to rounding, the empty state is its identity,
/// and the same calls give the same bits.
pub trait Statistic: Any + Send + Sync {
    /// What this holds.
    fn key(&self) -> StatisticKey;

    /// The state of no rows. It knows its width and takes little memory: a plan asks for the states of tables that no machine could
    /// fit.
    fn empty(&self) -> Box<dyn Statistic>;

    /// A second handle or a copy of this state.
    fn duplicate(&self) -> Box<dyn Statistic>;

    /// Take in a block of rows that follow those already absorbed.
    ///
    /// # Errors
    /// When the block has another number of columns, or the state cannot take it.
    fn absorb(&mut self, block: &Block<'_>) -> Result<()>;

    /// Told after a block of mapped rows was absorbed: how finely the values were known before the map, in units behind it.
    /// States that tell a constant column by the rounding of its values take note; the default forgets it.
    fn raise_noise(&mut self, noise: &Noise) {
        let _ = noise;
    }

    /// Take in the rows behind `other`, which follow this state's.
    ///
    /// # Errors
    /// When `other` is of another type or shape.
    fn merge(&mut self, other: &dyn Statistic) -> Result<()>;

    /// Called once when a whole fold has been absorbed, before states of folds are merged: the place to build an index.
    ///
    /// # Errors
    /// When that fails.
    fn seal(&mut self) -> Result<()> {
        Ok(())
    }

    /// The empty state for another table, for a request made behind a map that changes the number of columns.
    ///
    /// # Errors
    /// When the statistic cannot be of another width.
    fn resized(&self, cx: &StatisticContext) -> Result<Box<dyn Statistic>> {
        let _ = cx;
        Err(Error::unsupported(format!("statistic '{}' has a fixed width", self.key())))
    }

    /// Bytes of this state on the heap; of a state of no rows, those that it will have. Arithmetic that saturates.
    fn bytes(&self) -> u64;

    /// Bytes of the state of `nrows` rows, for the plan. Arithmetic that saturates.
    fn bytes_for(&self, nrows: usize) -> u64 {
        let _ = nrows;
        self.bytes()
    }

    /// Bytes that [`Statistic::seal`] takes beside the state of `nrows` rows, and gives back.
    fn seal_bytes_for(&self, nrows: usize) -> u64 {
        let _ = nrows;
        0
    }

    /// Bytes of rows and targets that the state of `nrows` rows copies, since what it goes on reading was only lent: for plan and ledger.
    fn copied_bytes_for(&self, nrows: usize) -> u64 {
        let _ = nrows;
        0
    }

    /// Whether sums are finite; `false` sends the engine looking for the NaN. States that sum nothing say `None`, and
    /// the engine looks at the values as they pass.
    fn is_finite(&self) -> Option<bool>;

    /// Whether the state remembers where rows stand in the table rather than their values; such a state is never handed a
    /// packed block.
    fn keeps_places(&self) -> bool {
        false
    }

    /// Whether the state of transformed rows follows from the state of the rows, and for which maps.
    fn affine_support(&self) -> Option<AffineShape> {
        None
    }

    /// The state that absorbing transformed rows would have given, up to rounding. No pass over data.
    ///
    /// # Errors
    /// When the map is more general than [`Statistic::affine_support`] says, or of another width.
    fn affine(&self, map: &Affine) -> Result<Box<dyn Statistic>> {
        let _ = map;
        Err(Error::unsupported(format!("statistic '{}' does not carry affine maps", self.key())))
    }

    /// Whether the statistic called `key` follows from this one.
    fn covers(&self, key: &StatisticKey) -> bool {
        *key == self.key()
    }

    /// The statistic called `key`, when [`Statistic::covers`] says so.
    fn derive(&self, key: &StatisticKey) -> Option<Box<dyn Statistic>> {
        let _ = key;
        None
    }
}

/// Check that `other` is an `S`: the first line of most [`Statistic::merge`]s.
///
/// # Errors
/// When it is not.
pub fn same_type<S: Statistic>(other: &dyn Statistic) -> Result<&S> {
    (other as &dyn Any)
        .downcast_ref::<S>()
        .ok_or_else(|| Error::unsupported(format!("statistic '{}' merged into another type", other.key())))
}

/// The statistics of one set of rows, by key.
#[derive(Clone, Default)]
pub struct Statistics {
    items: Vec<Arc<dyn Statistic>>,
}

impl Statistics {
    /// From sealed states.
    pub fn new(items: Vec<Arc<dyn Statistic>>) -> Self {
        Self { items }
    }

    /// The states.
    pub fn items(&self) -> &[Arc<dyn Statistic>] {
        &self.items
    }

    /// The statistic called `key`, or one derived from a state that covers it.
    ///
    /// # Errors
    /// When the engine did not provide it: the learner did not ask for it in `statistics`.
    pub fn get<S: Statistic + Clone>(&self, key: &StatisticKey) -> Result<Cow<'_, S>> {
        for item in &self.items {
            if item.key() == *key
                && let Some(found) = (item.as_ref() as &dyn Any).downcast_ref::<S>()
            {
                return Ok(Cow::Borrowed(found));
            }
        }
        for item in self.items.iter().filter(|i| i.covers(key)) {
            if let Some(derived) = item.derive(key)
                && let Ok(found) = (derived as Box<dyn Any>).downcast::<S>()
            {
                return Ok(Cow::Owned(*found));
            }
        }
        Err(Error::unsupported(format!("statistic '{key}' was not asked for before the pass")))
    }

    /// Whether there is a state for `key`.
    pub fn has(&self, key: &StatisticKey) -> bool {
        self.items.iter().any(|i| i.covers(key))
    }

    /// The statistics of transformed rows: those that carry the map.
    ///
    /// # Errors
    /// As [`Statistic::affine`].
    pub fn affine(&self, map: &Affine) -> Result<Self> {
        let mut items: Vec<Arc<dyn Statistic>> = Vec::with_capacity(self.items.len());
        for item in &self.items {
            if item.affine_support().is_some_and(|s| s >= map.shape()) {
                items.push(Arc::from(item.affine(map)?));
            }
        }
        Ok(Self { items })
    }

    /// Add states that a later pass brought.
    pub fn extend(&mut self, more: &Statistics) {
        self.items.extend(more.items.iter().cloned());
    }
}

/// Drop duplicates and whatever another request covers; the order of the first requests stays.
pub fn minimal_requests(requests: Vec<Box<dyn Statistic>>) -> Vec<Box<dyn Statistic>> {
    let mut kept: Vec<Box<dyn Statistic>> = Vec::new();
    for request in requests {
        let key = request.key();
        if kept.iter().any(|k| k.covers(&key)) {
            continue;
        }
        kept.retain(|k| !request.covers(&k.key()));
        kept.push(request);
    }
    kept
}

/// Call a state's own code: whatever goes wrong in it, a panic too, is said of the statistic.
pub(crate) fn of_statistic<S: Statistic + ?Sized, T>(
    state: &mut S,
    run: impl FnOnce(&mut S) -> Result<T>,
) -> Result<T> {
    guarded(|| run(state)).map_err(|error| {
        let key = guarded(|| Ok(state.key().to_string()));
        error.in_statistic(key.unwrap_or_else(|_| "without a key".into()))
    })
}

/// Let every state take in a block.
pub(crate) fn absorb_block(states: &mut [Box<dyn Statistic>], block: &Block<'_>) -> Result<()> {
    states.iter_mut().try_for_each(|state| of_statistic(state.as_mut(), |s| s.absorb(block)))
}
