//! The k nearest rows over several folds' indexes, exact and in the order of (distance, row).

use std::{cmp::Ordering, collections::BinaryHeap, num::NonZero, sync::Arc};

use ensemble_core::{Affine, MatRef};
use rayon::prelude::*;

use super::{
    brute::scan,
    fold::{FoldIndex, Points},
    tree::{MAX_COLUMNS, Tree},
    walk::{Place, Walk},
};

/// A training row near a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Neighbor {
    /// Squared Euclidean distance.
    pub(super) distance: f64,
    /// The table's row.
    pub(super) row: usize,
    pub(super) fold: u32,
    pub(super) position: usize,
}

impl Eq for Neighbor {}

impl PartialOrd for Neighbor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Neighbor {
    /// By distance, then by row.
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.row.cmp(&other.row))
    }
}

/// Neighbours kept in order; more of them are kept in a heap, whose insertions do not move them all.
const SORTED: usize = 64;

/// The nearest k of the rows offered, ties broken by the row.
pub(super) struct Nearest {
    k: usize,
    /// All of them in order, up to [`SORTED`].
    sorted: Vec<Neighbor>,
    /// The farthest first, where there are more.
    heap: BinaryHeap<Neighbor>,
    /// The k-th distance. Kept, as every row that is looked at asks for it.
    bound: f64,
}

impl Nearest {
    pub(super) fn new(k: usize) -> Self {
        let (sorted, heap) = if k > SORTED { (0, k) } else { (k, 0) };
        let (sorted, heap) = (Vec::with_capacity(sorted), BinaryHeap::with_capacity(heap));
        Self { k, sorted, heap, bound: f64::INFINITY }
    }

    pub(super) fn clear(&mut self) {
        if self.k > SORTED {
            let mut found = std::mem::take(&mut self.sorted);
            if found.is_empty() {
                self.heap.clear();
            } else {
                found.clear();
                self.heap = found.into();
            }
        }
        self.sorted.clear();
        self.bound = f64::INFINITY;
    }

    /// The k-th distance, beyond which nothing is taken.
    #[inline]
    pub(super) fn bound(&self) -> f64 {
        self.bound
    }

    /// Take the row at `position`, if it is nearer than the k-th. Says whether it was.
    #[inline]
    pub(super) fn offer(&mut self, index: &FoldIndex, fold: u32, position: usize, distance: f64) -> bool {
        let far = distance > self.bound;
        !far && self.insert(index, fold, position, distance)
    }

    fn insert(&mut self, index: &FoldIndex, fold: u32, position: usize, distance: f64) -> bool {
        // A distance that is not a number comes from values that overflow; such a row is as far as can be.
        let distance = if distance.is_nan() { f64::INFINITY } else { distance };
        let row = index.row(position);
        let neighbor = Neighbor { distance, row, fold, position };
        if self.k > SORTED {
            if self.heap.len() < self.k {
                self.heap.push(neighbor);
            } else {
                let mut farthest = self.heap.peek_mut().expect("k is not 0");
                if neighbor > *farthest {
                    return false;
                }
                *farthest = neighbor;
            }
            if let Some(farthest) = self.heap.peek().filter(|_| self.heap.len() == self.k) {
                self.bound = farthest.distance;
            }
            return true;
        }
        let at = self.sorted.partition_point(|n| (n.distance, n.row) < (distance, row));
        if at >= self.k {
            return false;
        }
        self.sorted.truncate(self.k - 1);
        self.sorted.insert(at, neighbor);
        if let Some(farthest) = self.sorted.get(self.k - 1) {
            self.bound = farthest.distance;
        }
        true
    }

    /// Nearest first. Nothing is offered behind this but after [`Nearest::clear`].
    pub(super) fn get(&mut self) -> &[Neighbor] {
        if self.sorted.is_empty() {
            self.sorted = std::mem::take(&mut self.heap).into_sorted_vec();
        }
        &self.sorted
    }
}

/// The diagonal maps between the table's columns and the model's, applied one after the other, as the queries are mapped: a
/// training row that is queried lies at distance 0 exactly.
#[derive(Clone)]
pub(super) struct Space {
    ncols: usize,
    maps: Vec<Arc<Affine>>,
}

impl Space {
    pub(super) fn new(ncols: usize) -> Self {
        Self { ncols, maps: Vec::new() }
    }

    pub(super) fn ncols(&self) -> usize {
        self.ncols
    }

    pub(super) fn maps(&self) -> &[Arc<Affine>] {
        &self.maps
    }

    /// The space behind one more map, which must be diagonal and as wide.
    #[must_use]
    pub(super) fn behind(&self, map: Affine) -> Self {
        let mut space = self.clone();
        space.maps.push(Arc::new(map));
        space
    }

    pub(super) fn is_identity(&self) -> bool {
        self.maps.is_empty()
    }

    /// Map a training row in place.
    pub(super) fn apply(&self, row: &mut [f64]) {
        for map in &self.maps {
            let scale = map.scale().expect("diagonal maps only");
            for ((x, s), b) in row.iter_mut().zip(scale).zip(map.shift()) {
                *x = s * (*x - b);
            }
        }
    }
}

/// A value of column `j` through maps, one after the other, each a scale and a shift.
fn through(maps: &[(&[f64], &[f64])], j: usize, value: f64) -> f64 {
    maps.iter().fold(value, |x, (scale, shift)| scale[j] * (x - shift[j]))
}

/// Call a method of a search for its number of columns, a constant.
macro_rules! by_columns {
    ($search:ident.$method:ident $arguments:tt) => {
        by_columns!($search $method $arguments 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    ($search:ident $method:ident $arguments:tt $($p:literal)*) => {
        match $search.space.ncols() {
            $($p => $search.$method::<$p> $arguments,)*
            _ => unreachable!("trees have at most {MAX_COLUMNS} columns"),
        }
    };
}

/// The folds of one model, ready to be asked.
pub(super) struct Search<'a> {
    folds: &'a [Arc<FoldIndex>],
    space: &'a Space,
    k: usize,
    /// Each fold's tree and rows; `None` when the rows are to be scanned.
    trees: Option<Vec<(&'a Tree, Points<'a>)>>,
    /// Scale and shift of the maps between.
    maps: Vec<(&'a [f64], &'a [f64])>,
    /// Whether they turn the order of a column's values around.
    turns: Vec<bool>,
}

impl<'a> Search<'a> {
    pub(super) fn new(folds: &'a [Arc<FoldIndex>], space: &'a Space, k: NonZero<usize>) -> Self {
        let trees = folds.iter().map(|fold| Some((fold.tree()?, fold.points()))).collect();
        let maps: Vec<(&[f64], &[f64])> =
            space.maps.iter().map(|m| (m.scale().expect("diagonal maps only"), m.shift())).collect();
        let negative = |j: usize| maps.iter().filter(|(scale, _)| scale[j].is_sign_negative()).count();
        let turns = (0..space.ncols()).map(|j| negative(j) % 2 == 1).collect();
        Self { folds, space, k: k.get(), trees, maps, turns }
    }

    /// Number the rows of `queries` so that those of neighbouring leaves follow each other and find rows in cache, as
    /// (place, row).
    pub(super) fn order(&self, queries: MatRef<'_>, order: &mut [(u32, u32)]) {
        order.iter_mut().zip(0..).for_each(|(slot, row)| *slot = (0, row));
        let Some((tree, _)) = self.trees.as_ref().and_then(|trees| trees.first()) else { return };
        by_columns!(self.places(tree, queries, order));
        order.par_sort_unstable();
    }

    fn places<const P: usize>(&self, tree: &Tree, queries: MatRef<'_>, order: &mut [(u32, u32)]) {
        order.par_iter_mut().with_min_len(1024).for_each(|(place, row)| {
            let mut query = [0.0; P];
            queries.copy_row_into(*row as usize, &mut query);
            let map = |j, x| through(&self.maps, j, x);
            *place = Walk { tree, query: &query, map, turns: &self.turns }.leaf();
        });
    }

    /// The nearest rows for each of `queries` (C order), handed to `each` with the query's number. Queries with values that
    /// are not finite are passed over.
    pub(super) fn run(&self, queries: &[f64], each: &mut dyn FnMut(usize, &[Neighbor])) {
        let p = self.space.ncols();
        let Some(trees) = &self.trees else {
            if queries.iter().all(|v| v.is_finite()) {
                return scan(self.folds, self.space, queries, self.k, each);
            }
            for (number, query) in queries.chunks_exact(p).enumerate() {
                if query.iter().all(|v| v.is_finite()) {
                    scan(self.folds, self.space, query, self.k, &mut |_, found| each(number, found));
                }
            }
            return;
        };
        by_columns!(self.walk(trees, queries, each));
    }

    fn walk<const P: usize>(
        &self,
        trees: &[(&Tree, Points<'_>)],
        queries: &[f64],
        each: &mut dyn FnMut(usize, &[Neighbor]),
    ) {
        let (queries, _) = queries.as_chunks::<P>();
        let array = |values: &'a [f64]| values.first_chunk::<P>().expect("a value per column");
        // The usual cases without a loop.
        match self.maps.as_slice() {
            [] => self.walk_through(trees, queries, |_, x| x, each),
            [(scale, shift)] => {
                let (scale, shift) = (array(scale), array(shift));
                self.walk_through(trees, queries, |j, x| scale[j] * (x - shift[j]), each);
            }
            maps => self.walk_through(trees, queries, |j, x| through(maps, j, x), each),
        }
    }

    fn walk_through<const P: usize>(
        &self,
        trees: &[(&Tree, Points<'_>)],
        queries: &[[f64; P]],
        map: impl Fn(usize, f64) -> f64 + Copy,
        each: &mut dyn FnMut(usize, &[Neighbor]),
    ) {
        let mut nearest = Nearest::new(self.k);
        for (number, query) in queries.iter().enumerate() {
            if query.iter().any(|v| !v.is_finite()) {
                continue;
            }
            nearest.clear();
            for (((tree, points), index), fold) in trees.iter().zip(self.folds).zip(0..) {
                let place = Place { fold, index, points, rows: points.in_rows() };
                Walk { tree, query, map, turns: &self.turns }.run(place, &mut nearest);
            }
            each(number, nearest.get());
        }
    }
}
