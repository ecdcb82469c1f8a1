//! Nearest rows by scanning, at the speed of matrix multiplication and with the result of exact distances.
//!
//! A tile of training rows times a tile of queries gives |x|² - 2q·x + |q|², which cancels digits. So the scan computes a
//! *lower bound*: that value less the most it can be wrong, a multiple of eps (|q|² + |x|²) by the usual analysis of dot
//! products (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). The rows with the least bounds are
//! measured by differences. If the greatest bound kept exceeds the k-th measured distance, no row left out can be among the k
//! nearest; if not, as with many ties, every row is measured for that query, sixteen beside each other, which takes about as long
//! again and no longer however many rows tie. Rows and queries are centred by the queries' mean, which shrinks the bound where
//! columns lie far from 0.

use std::{cmp::Ordering, collections::BinaryHeap, sync::Arc};

use faer::{
    Accum, Par,
    linalg::matmul::matmul,
    mat::{MatMut, MatRef},
};

use pulp::{Arch, Simd, WithSimd};

use super::{
    QUERIES,
    fold::{FoldIndex, fill, squared_distance},
    search::{Nearest, Neighbor, Space},
};

/// Training rows transformed and multiplied at once.
const TILE_ROWS: usize = 1024;
/// Queries per multiplication: a tile of products is half a megabyte and stays in the second-level cache.
const TILE_QUERIES: usize = 64;
/// Rows kept beyond k, so that a few equal distances need no second look.
const SLACK: usize = 8;

/// Rows compared together; nearly always none of them is near.
const LANES: usize = 16;

/// A row that may be near, by the lower bound of its distance.
struct Candidate {
    bound: f64,
    fold: u32,
    position: usize,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bound.total_cmp(&other.bound)
    }
}

/// Bytes of candidates, and of neighbours found, held at once: with a large k fewer queries are answered together.
const HELD: usize = 8 << 20;

/// Queries answered together.
fn together(k: usize) -> usize {
    (HELD / ((k + SLACK + 1) * (size_of::<Candidate>() + size_of::<Neighbor>()))).clamp(1, QUERIES)
}

/// Bytes that one thread takes to scan rows of `ncols` columns for `k` neighbours.
pub(super) fn scan_bytes(ncols: usize, k: usize) -> u64 {
    let held = together(k) * (k + SLACK + 1) * (size_of::<Candidate>() + size_of::<Neighbor>());
    // Rows as they are and in lanes, queries as they are and centred, products, norms and distances.
    let values = 2 * (TILE_ROWS + QUERIES) * ncols + TILE_ROWS * (TILE_QUERIES + 2);
    (held + 8 * values) as u64
}

/// The `k` nearest rows of `folds` for each of `queries` (C order, as wide as `space`), handed to `each` with the query's
/// number. Works in [`scan_bytes`].
pub(super) fn scan(
    folds: &[Arc<FoldIndex>],
    space: &Space,
    queries: &[f64],
    k: usize,
    each: &mut dyn FnMut(usize, &[Neighbor]),
) {
    for (part, queries) in queries.chunks(together(k) * space.ncols()).enumerate() {
        scan_together(folds, space, queries, k, &mut |number, found| {
            each(part * together(k) + number, found)
        });
    }
}

fn scan_together(
    folds: &[Arc<FoldIndex>],
    space: &Space,
    queries: &[f64],
    k: usize,
    each: &mut dyn FnMut(usize, &[Neighbor]),
) {
    let p = space.ncols();
    let n_queries = queries.len() / p;
    let kept = (k + SLACK).min(folds.iter().map(|f| f.nrows()).sum());
    // Twice the error of a sum of squares and a dot product of p terms, of centring, and of the measured distance itself.
    let doubt = 4.0 * (p as f64 + 8.0) * f64::EPSILON;

    let mut centre = vec![0.0; p];
    for query in queries.chunks_exact(p) {
        centre.iter_mut().zip(query).for_each(|(c, q)| *c += q / n_queries as f64);
    }
    let centred: Vec<f64> =
        queries.chunks_exact(p).flat_map(|q| q.iter().zip(&centre).map(|(q, c)| q - c)).collect();
    let query_norms: Vec<f64> =
        centred.chunks_exact(p).map(|q| (1.0 - doubt) * q.iter().map(|v| v * v).sum::<f64>()).collect();

    let mut heaps: Vec<BinaryHeap<Candidate>> =
        (0..n_queries).map(|_| BinaryHeap::with_capacity(kept + 1)).collect();
    let mut tile = vec![0.0; TILE_ROWS * p];
    let mut norms = vec![0.0; TILE_ROWS];
    let mut products = vec![0.0; TILE_ROWS * TILE_QUERIES.min(n_queries)];
    each_tile(folds, space, &mut tile, &mut |fold, start, tile| {
        let rows = tile.len() / p;
        for (row, norm) in tile.chunks_exact_mut(p).zip(&mut norms) {
            row.iter_mut().zip(&centre).for_each(|(x, c)| *x -= c);
            *norm = (1.0 - doubt) * sum_of_squares(row);
        }
        let x = MatRef::from_row_major_slice(tile, rows, p);
        for first in (0..n_queries).step_by(TILE_QUERIES) {
            let count = TILE_QUERIES.min(n_queries - first);
            let q = MatRef::from_column_major_slice(&centred[first * p..(first + count) * p], p, count);
            let products = &mut products[..rows * count];
            let dst = MatMut::from_column_major_slice_mut(products, rows, count);
            matmul(dst, Accum::Replace, x, q, -2.0, Par::Seq);
            for (column, heap) in products.chunks_exact(rows).zip(&mut heaps[first..]) {
                keep_least(column, &norms[..rows], kept, fold, start, heap);
            }
        }
    });

    let mut row = vec![0.0; p];
    let mut nearest = Nearest::new(k);
    let mut doubtful = Vec::new();
    for (number, (query, heap)) in queries.chunks_exact(p).zip(&heaps).enumerate() {
        nearest.clear();
        for candidate in heap {
            let fold = &folds[candidate.fold as usize];
            fold.copy_row(candidate.position, &mut row);
            space.apply(&mut row);
            nearest.offer(fold, candidate.fold, candidate.position, squared_distance(query, &row));
        }
        let all = folds.iter().map(|f| f.nrows()).sum::<usize>() == heap.len();
        let beyond = heap.peek().map_or(f64::INFINITY, |c| c.bound + query_norms[number]);
        // The analysis of rounding leaves out underflow, which is less than this.
        if all || beyond - f64::MIN_POSITIVE > nearest.bound() {
            each(number, nearest.get());
        } else {
            doubtful.push((number, Nearest::new(k)));
        }
    }
    if doubtful.is_empty() {
        return;
    }
    // Where rows come in the table's order, one as far as the k-th found comes behind it and does not count.
    let runs = || folds.iter().flat_map(|f| f.runs());
    let in_order = runs().zip(runs().skip(1)).all(|(a, b)| a.end <= b.start);
    let mut lanes = Vec::new();
    let mut distances = vec![0.0; TILE_ROWS];
    let arch = Arch::new();
    each_tile(folds, space, &mut tile, &mut |fold, start, tile| {
        let rows = tile.len() / p;
        // What is left in the last lanes belongs to no row and is not looked at.
        lanes.resize(rows.next_multiple_of(LANES) * p, 0.0);
        for (group, rows) in lanes.chunks_exact_mut(LANES * p).zip(tile.chunks(LANES * p)) {
            for (lane, row) in rows.chunks_exact(p).enumerate() {
                group.iter_mut().skip(lane).step_by(LANES).zip(row).for_each(|(slot, value)| *slot = *value);
            }
        }
        for (number, nearest) in &mut doubtful {
            let query = &queries[*number * p..][..p];
            arch.dispatch(Measure { query, lanes: &lanes, distances: &mut distances });
            let mut bound = nearest.bound();
            for (at, distance) in distances[..rows].iter().enumerate() {
                if *distance < bound || (*distance == bound && !in_order) || bound == f64::INFINITY {
                    nearest.offer(&folds[fold as usize], fold, start + at, *distance);
                    bound = nearest.bound();
                }
            }
        }
    });
    doubtful.iter_mut().for_each(|(number, nearest)| each(*number, nearest.get()));
}

/// Squared distances of one query to rows that lie in lanes: sixteen rows' values of each column beside each other. The bits are
/// those of [`squared_distance`].
struct Measure<'a> {
    query: &'a [f64],
    lanes: &'a [f64],
    distances: &'a mut [f64],
}

impl WithSimd for Measure<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let groups = self.lanes.chunks_exact(LANES * self.query.len());
        for (group, distances) in groups.zip(self.distances.as_chunks_mut::<LANES>().0) {
            let mut sums = [0.0; LANES];
            for (query, column) in self.query.iter().zip(group.as_chunks::<LANES>().0) {
                for lane in 0..LANES {
                    let difference = query - column[lane];
                    sums[lane] += difference * difference;
                }
            }
            *distances = sums;
        }
    }
}

/// Hand every row to `each`, in the model's space, as (fold, position of the first row, rows in C order).
fn each_tile(
    folds: &[Arc<FoldIndex>],
    space: &Space,
    tile: &mut [f64],
    each: &mut dyn FnMut(u32, usize, &mut [f64]),
) {
    let p = space.ncols();
    for (number, fold) in folds.iter().enumerate() {
        for (mut start, rows) in fold.segments() {
            for block in rows.row_blocks(TILE_ROWS) {
                let tile = &mut tile[..block.nrows() * p];
                fill(block, tile);
                if !space.is_identity() {
                    tile.chunks_exact_mut(p).for_each(|row| space.apply(row));
                }
                each(number as u32, start, tile);
                start += block.nrows();
            }
        }
    }
}

/// Keep in `heap` the `kept` least of `products[i] + norms[i]`.
fn keep_least(
    products: &[f64],
    norms: &[f64],
    kept: usize,
    fold: u32,
    start: usize,
    heap: &mut BinaryHeap<Candidate>,
) {
    let limit = |heap: &BinaryHeap<Candidate>| {
        if heap.len() < kept { f64::INFINITY } else { heap.peek().map_or(f64::INFINITY, |c| c.bound) }
    };
    let mut least = limit(heap);
    let (mut rest, mut at) = ((products, norms), 0);
    while let Some(near) = first_near(rest.0, rest.1, least) {
        // The group with a near row, one row at a time.
        let end = (near + LANES).min(rest.0.len());
        for (offset, (c, n)) in rest.0[near..end].iter().zip(&rest.1[near..end]).enumerate() {
            // Where products overflow, a bound is not a number and bounds nothing: the query is measured against every row.
            let bound = if (c + n).is_nan() { f64::NEG_INFINITY } else { c + n };
            if bound < least || heap.len() < kept {
                heap.push(Candidate { bound, fold, position: start + at + near + offset });
                if heap.len() > kept {
                    heap.pop();
                }
                least = limit(heap);
            }
        }
        at += end;
        rest = (&rest.0[end..], &rest.1[end..]);
    }
}

/// Where the first group of [`LANES`] rows starts that has a sum not at or above `least`, or any group when nothing bounds.
fn first_near(products: &[f64], norms: &[f64], least: f64) -> Option<usize> {
    if least == f64::INFINITY {
        return (!products.is_empty()).then_some(0);
    }
    let ((groups, tail), (norm_groups, norm_tail)) =
        (products.as_chunks::<LANES>(), norms.as_chunks::<LANES>());
    for (number, (c, n)) in groups.iter().zip(norm_groups).enumerate() {
        let mut far = true;
        for lane in 0..LANES {
            far &= c[lane] + n[lane] >= least;
        }
        if !far {
            return Some(number * LANES);
        }
    }
    let far = tail.iter().zip(norm_tail).all(|(c, n)| c + n >= least);
    (!far).then_some(groups.len() * LANES)
}

/// Σ v², in four interleaved sums.
fn sum_of_squares(values: &[f64]) -> f64 {
    let (fours, rest) = values.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for four in fours {
        for (s, v) in sums.iter_mut().zip(four) {
            *s += v * v;
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|v| v * v).sum::<f64>()
}
