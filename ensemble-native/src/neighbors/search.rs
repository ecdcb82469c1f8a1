//! The k nearest rows over several folds' indexes, exact and in the order of (distance, row).

use std::{num::NonZero, sync::Arc};

use ensemble_core::Affine;

use super::{
    brute::{scan, squared_distance},
    fold::FoldIndex,
    tree::PointTree,
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

/// The nearest k of the rows offered, ties broken by the row.
pub(super) struct Nearest {
    k: usize,
    sorted: Vec<Neighbor>,
}

impl Nearest {
    pub(super) fn new(k: usize) -> Self {
        Self { k, sorted: Vec::with_capacity(k + 1) }
    }

    pub(super) fn clear(&mut self) {
        self.sorted.clear();
    }

    /// The k-th distance, beyond which nothing is taken.
    pub(super) fn bound(&self) -> f64 {
        if self.sorted.len() < self.k { f64::INFINITY } else { self.sorted[self.k - 1].distance }
    }

    pub(super) fn offer(&mut self, index: &FoldIndex, fold: u32, position: usize, distance: f64) {
        // A distance that is not a number comes from values that overflow; such a row is as far as can be.
        let distance = if distance.is_nan() { f64::INFINITY } else { distance };
        if distance > self.bound() {
            return;
        }
        let row = index.row(position);
        let at = self.sorted.partition_point(|n| (n.distance, n.row) < (distance, row));
        if at < self.k {
            self.sorted.insert(at, Neighbor { distance, row, fold, position });
            self.sorted.truncate(self.k);
        }
    }

    pub(super) fn get(&self) -> &[Neighbor] {
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

    /// The product of the maps' scales of column j.
    fn scale(&self, j: usize) -> f64 {
        self.maps.iter().map(|m| m.scale().expect("diagonal maps only")[j]).product()
    }

    /// The mapped value `z` of column j in the table's units, and the most that rounding can have moved it.
    fn pull_back(&self, j: usize, z: f64) -> (f64, f64) {
        let (mut value, mut error) = (z, 0.0);
        for map in self.maps.iter().rev() {
            let (s, b) = (map.scale().expect("diagonal maps only")[j], map.shift()[j]);
            let back = value / s + b;
            error = error / s.abs() + 16.0 * f64::EPSILON * ((value / s).abs() + b.abs() + back.abs());
            value = back;
        }
        (value, error)
    }
}

/// How one fold's tree, which knows other units, is searched in the model's space.
struct Gauge {
    /// What the tree multiplied each column by.
    units: Vec<f64>,
    /// What a difference in the tree's units is to be multiplied by.
    ratios: Vec<f64>,
    /// Least ratio of a distance in the model's space to one in the tree's.
    least: f64,
}

/// Relative rounding of distances and of the tree's own pruning, with room to spare.
const MARGIN: f64 = 1e-9;

/// Rows that a scan deals with in the time in which a tree visits one point.
const SCANNED_PER_VISIT: f64 = 16.0;

/// Rows so few that the tree is asked without such reckoning.
const FEW_ROWS: usize = 4096;

/// The folds of one model, ready to be asked.
pub(super) struct Search<'a> {
    folds: &'a [Arc<FoldIndex>],
    space: &'a Space,
    k: NonZero<usize>,
    /// For each fold its tree and, when the units differ, the gauge; `None` when the rows are to be scanned.
    trees: Option<Vec<(&'a dyn PointTree, Option<Gauge>)>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(folds: &'a [Arc<FoldIndex>], space: &'a Space, k: NonZero<usize>) -> Self {
        let gauged = |fold: &'a Arc<FoldIndex>| {
            let tree = fold.tree()?;
            if space.is_identity() && fold.units().is_none() {
                return Some((tree, None));
            }
            let units: Vec<f64> =
                (0..space.ncols()).map(|j| fold.units().map_or(1.0, |units| units[j])).collect();
            let ratios: Vec<f64> =
                units.iter().enumerate().map(|(j, unit)| space.scale(j).abs() / unit).collect();
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            // A column scaled to nothing leaves no bound in the tree's units.
            ratios.iter().all(|r| r.is_normal()).then_some((tree, Some(Gauge { units, ratios, least })))
        };
        let mut trees: Option<Vec<(&dyn PointTree, Option<Gauge>)>> = folds.iter().map(gauged).collect();
        // A ball of the tree that holds the wanted ellipsoid holds so many times its volume, and about as many more points.
        let points =
            |gauge: &Gauge| gauge.ratios.iter().map(|r| r / gauge.least).product::<f64>() * k.get() as f64;
        let nrows: usize = folds.iter().map(|f| f.nrows()).sum();
        let visits: f64 = trees.iter().flatten().filter_map(|(_, gauge)| gauge.as_ref()).map(points).sum();
        if nrows > FEW_ROWS && visits > nrows as f64 / SCANNED_PER_VISIT {
            trees = None;
        }
        Self { folds, space, k, trees }
    }

    /// The nearest rows for each of `queries` (C order), handed to `each` with the query's number. Queries with values that
    /// are not finite are passed over.
    pub(super) fn run(&self, queries: &[f64], each: &mut dyn FnMut(usize, &[Neighbor])) {
        let p = self.space.ncols();
        let Some(trees) = &self.trees else {
            if queries.iter().all(|v| v.is_finite()) {
                return scan(self.folds, self.space, queries, self.k.get(), each);
            }
            for (number, query) in queries.chunks_exact(p).enumerate() {
                if query.iter().all(|v| v.is_finite()) {
                    scan(self.folds, self.space, query, self.k.get(), &mut |_, found| each(number, found));
                }
            }
            return;
        };
        let mut walk = Walk {
            nearest: Nearest::new(self.k.get()),
            found: Vec::new(),
            measured: Vec::new(),
            place: vec![0.0; p],
            row: vec![0.0; p],
        };
        for (number, query) in queries.chunks_exact(p).enumerate() {
            if query.iter().any(|v| !v.is_finite()) {
                continue;
            }
            walk.nearest.clear();
            let complete = trees.iter().enumerate().all(|(at, (tree, gauge))| match gauge {
                None => walk.same_units(&self.folds[at], at as u32, *tree, query, self.k),
                Some(gauge) => {
                    walk.other_units(&self.folds[at], at as u32, *tree, gauge, self.space, query, self.k)
                }
            });
            if complete {
                each(number, walk.nearest.get());
            } else {
                scan(self.folds, self.space, query, self.k.get(), &mut |_, found| each(number, found));
            }
        }
    }
}

/// What one thread needs to walk trees.
struct Walk {
    nearest: Nearest,
    found: Vec<(f64, u32)>,
    /// Lower bounds of distances in the model's space.
    measured: Vec<(f64, u32)>,
    place: Vec<f64>,
    row: Vec<f64>,
}

impl Walk {
    /// Search a tree whose distances are the model's. `false` when it gave too few rows, as it does when distances overflow.
    fn same_units(
        &mut self,
        index: &FoldIndex,
        fold: u32,
        tree: &dyn PointTree,
        query: &[f64],
        k: NonZero<usize>,
    ) -> bool {
        let radius = self.nearest.bound() * (1.0 + MARGIN);
        // One more than wanted tells whether the last place is contested.
        tree.nearest(query, k.saturating_add(1), radius, &mut self.found);
        if radius == f64::INFINITY && self.found.len() < index.nrows().min(k.get() + 1) {
            return false;
        }
        if self.found.len() > k.get() {
            let reach = self.found[k.get() - 1].0 * (1.0 + MARGIN);
            if self.found[k.get()].0 <= reach {
                tree.within(query, reach, &mut self.found);
            }
        }
        for (distance, position) in &self.found {
            self.nearest.offer(index, fold, *position as usize, *distance);
        }
        true
    }

    /// Search a tree of other units: its nearest rows give an upper bound, and all rows that could lie within the bound are
    /// measured.
    #[expect(clippy::too_many_arguments, reason = "the parts of one search, borrowed from three owners")]
    fn other_units(
        &mut self,
        index: &FoldIndex,
        fold: u32,
        tree: &dyn PointTree,
        gauge: &Gauge,
        space: &Space,
        query: &[f64],
        k: NonZero<usize>,
    ) -> bool {
        // The most that rounding can have moved the query, in the tree's units and in the model's.
        let (mut error, mut model_error) = (0.0, 0.0);
        for (j, (place, z)) in self.place.iter_mut().zip(query).enumerate() {
            let (value, moved) = space.pull_back(j, *z);
            *place = value * gauge.units[j];
            let moved = moved * gauge.units[j] + 16.0 * f64::EPSILON * place.abs();
            error += moved;
            model_error += moved * gauge.ratios[j];
        }
        if !(error.is_finite() && model_error.is_finite() && self.place.iter().all(|v| v.is_finite())) {
            return false;
        }
        let reach = |bound: f64| {
            let radius = bound.sqrt() / gauge.least * (1.0 + MARGIN) + error;
            radius * radius
        };
        let Self { nearest, found, measured, place, row } = self;
        let mut offer = |position: u32, nearest: &mut Nearest| {
            index.copy_row(position as usize, row);
            space.apply(row);
            nearest.offer(index, fold, position as usize, squared_distance(query, row));
        };
        let bound = nearest.bound();
        let wanted = k.saturating_add(k.get().min(8));
        tree.nearest(place, wanted, reach(bound), found);
        if reach(bound) == f64::INFINITY && found.len() < index.nrows().min(wanted.get()) {
            return false;
        }
        for (distance, position) in found.iter() {
            // This row, and with it all that are farther in the tree's units, is at least this far in the model's space.
            let least = ((distance.sqrt() - error) * (1.0 - MARGIN) * gauge.least).max(0.0);
            if least * least > nearest.bound() * (1.0 + MARGIN) {
                return true;
            }
            offer(*position, nearest);
        }
        if found.len() < wanted.get() {
            return true;
        }
        let bound = nearest.bound();
        if !reach(bound).is_finite() {
            return false;
        }
        measured.clear();
        tree.within_points(place, reach(bound), &mut |_, position, point| {
            let columns = point.iter().zip(place.iter()).zip(&gauge.ratios);
            let about = columns.fold(0.0, |sum, ((x, q), r)| sum + (r * (x - q)) * (r * (x - q))).sqrt();
            let least = (about * (1.0 - MARGIN) - model_error).max(0.0);
            if least * least <= bound {
                measured.push((least * least, position));
            }
        });
        measured.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for (least, position) in measured.iter() {
            if *least > nearest.bound() {
                break;
            }
            if found.iter().all(|(_, seen)| seen != position) {
                offer(*position, nearest);
            }
        }
        true
    }
}
