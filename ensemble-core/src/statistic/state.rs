//! Statistics that merge: state(rows A) merged with state(rows B) is state(A and B).
//!
//! The engine absorbs each fold once, in blocks of [`BLOCK_ROWS`] rows counted from the fold's start, and merges the
//! blocks along a binary tree that depends on the number of blocks alone. Threads own whole subtrees, so a result is the
//! same to the last bit for any number of threads. The training state of fold k is the merge of the others' states
//! (prefixes and suffixes; a fold is never subtracted from the total, which would cancel digits).
//! Izbicki, "Algebraic classifiers", ICML 2013.

use std::{any::Any, borrow::Cow, fmt, ops::Range, sync::Arc};

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

/// Subtrees of this many blocks run on one thread: about a millisecond of work, far above the cost of a task. A power of two, so
/// that such a subtree starts at a multiple of it.
pub(crate) const SEQUENTIAL_BLOCKS: usize = 16;

/// The middle of the canonical tree over blocks `range`: the largest power of two below its length, so that whole
/// subtrees do not depend on how many blocks follow.
fn canonical_split(range: &Range<usize>) -> usize {
    let len = range.end - range.start;
    range.start + (len.next_power_of_two() / 2)
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

fn empty_state(of: &dyn Statistic) -> Result<Box<dyn Statistic>> {
    guarded(|| Ok(of.empty())).map_err(|e| e.in_statistic(of.key().to_string()))
}

/// Absorb blocks `range` along the canonical tree. `absorb` fills empty states from one block; it is called once per
/// block, from any thread.
pub(crate) fn absorb_tree<F>(
    range: Range<usize>,
    prototypes: &[Box<dyn Statistic>],
    absorb: &F,
) -> Result<Vec<Box<dyn Statistic>>>
where
    F: Fn(usize, &mut [Box<dyn Statistic>]) -> Result<()> + Sync,
{
    match range.end - range.start {
        0 => prototypes.iter().map(|p| empty_state(p.as_ref())).collect(),
        1 => {
            let mut states: Vec<_> =
                prototypes.iter().map(|p| empty_state(p.as_ref())).collect::<Result<_>>()?;
            absorb(range.start, &mut states)?;
            Ok(states)
        }
        len => {
            let middle = canonical_split(&range);
            let (left, right) = (range.start..middle, middle..range.end);
            let (left, right) = if len <= SEQUENTIAL_BLOCKS {
                (absorb_tree(left, prototypes, absorb)?, absorb_tree(right, prototypes, absorb)?)
            } else {
                let (l, r) = rayon::join(
                    || absorb_tree(left, prototypes, absorb),
                    || absorb_tree(right, prototypes, absorb),
                );
                (l?, r?)
            };
            let mut states = left;
            for (into, from) in states.iter_mut().zip(&right) {
                of_statistic(into.as_mut(), |s| s.merge(from.as_ref()))?;
            }
            Ok(states)
        }
    }
}

/// The state of every fold's complement, and of all rows last, from the states of the folds: K - 1 prefix and K - 1 suffix
/// merges and K joins, in an order that depends on K alone.
///
/// # Errors
/// As [`Statistic::merge`].
pub fn complements(folds: &[Statistics]) -> Result<Vec<Statistics>> {
    let merged = |a: &Statistics, b: &Statistics| -> Result<Statistics> {
        let mut items: Vec<Arc<dyn Statistic>> = Vec::with_capacity(a.items.len());
        for (left, right) in a.items.iter().zip(&b.items) {
            let state = guarded(|| {
                let mut state = left.duplicate();
                state.merge(right.as_ref())?;
                Ok(state)
            });
            items.push(Arc::from(state.map_err(|e| e.in_statistic(left.key().to_string()))?));
        }
        Ok(Statistics { items })
    };
    let k = folds.len();
    let Some(first) = folds.first() else { return Ok(Vec::new()) };
    let mut prefix = vec![first.clone()];
    for fold in &folds[1..] {
        let next = merged(&prefix[prefix.len() - 1], fold)?;
        prefix.push(next);
    }
    let mut out: Vec<Statistics> = Vec::with_capacity(k + 1);
    let mut suffix: Option<Statistics> = None;
    for fold in (0..k).rev() {
        out.push(match (fold.checked_sub(1), &suffix) {
            (Some(before), Some(after)) => merged(&prefix[before], after)?,
            (Some(before), None) => prefix[before].clone(),
            (None, Some(after)) => after.clone(),
            (None, None) => {
                let empty = first.items.iter().map(|i| empty_state(i.as_ref()).map(Arc::from));
                Statistics { items: empty.collect::<Result<_>>()? }
            }
        });
        suffix = Some(match &suffix {
            Some(after) => merged(&folds[fold], after)?,
            None => folds[fold].clone(),
        });
    }
    out.reverse();
    out.push(prefix.swap_remove(k - 1));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records the order of blocks and merges.
    #[derive(Clone, Default)]
    struct Trace(String);

    impl Statistic for Trace {
        fn key(&self) -> StatisticKey {
            StatisticKey::new("trace")
        }
        fn empty(&self) -> Box<dyn Statistic> {
            Box::new(Trace::default())
        }
        fn duplicate(&self) -> Box<dyn Statistic> {
            Box::new(self.clone())
        }
        fn absorb(&mut self, block: &Block<'_>) -> Result<()> {
            self.0.push_str(&block.first_row.to_string());
            Ok(())
        }
        fn merge(&mut self, other: &dyn Statistic) -> Result<()> {
            let other = same_type::<Trace>(other)?;
            self.0 = format!("({} {})", self.0, other.0);
            Ok(())
        }
        fn bytes(&self) -> u64 {
            0
        }
        fn is_finite(&self) -> Option<bool> {
            None
        }
    }

    fn tree(n: usize) -> String {
        let states = absorb_tree(0..n, &[Box::new(Trace::default())], &|b, states| {
            let x = MatRef::column_vector(&[0.0]);
            states[0].absorb(&Block { x, y: &[0.0], first_row: b })
        })
        .unwrap();
        (states[0].as_ref() as &dyn Any).downcast_ref::<Trace>().unwrap().0.clone()
    }

    #[test]
    fn the_tree_depends_on_the_number_of_blocks_alone() {
        assert_eq!(tree(5), "(((0 1) (2 3)) 4)");
        assert_eq!(tree(6), "(((0 1) (2 3)) (4 5))");
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let one = pool(1).install(|| tree(333));
        for threads in [2, 3, 8] {
            assert_eq!(pool(threads).install(|| tree(333)), one);
        }
    }

    #[test]
    fn complements_leave_out_one_fold_each_in_row_order() {
        let fold = |s: &str| Statistics::new(vec![Arc::new(Trace(s.into()))]);
        let out = complements(&[fold("a"), fold("b"), fold("c")]).unwrap();
        let text = |s: &Statistics| s.get::<Trace>(&StatisticKey::new("trace")).unwrap().0.clone();
        let got: Vec<String> = out.iter().map(text).collect();
        assert_eq!(got, ["(b c)", "(a c)", "(a b)", "((a b) c)"]);
    }
}
