//! The k-d tree over one fold: kiddo's immutable tree, whose number of columns is a constant, behind one object-safe trait.

use std::num::NonZero;

use ensemble_core::{Error, Result};
use kiddo::{ImmutableKdTree, SquaredEuclidean};

/// Columns up to which a tree beats a scan; scikit-learn's `algorithm="auto"` draws the line at the same place.
pub(super) const MAX_COLUMNS: usize = 15;

/// Points per leaf, kiddo's own choice for its immutable tree.
const LEAF: usize = 32;

/// Bytes of a tree over `nrows` points: the points, 4 bytes of position each, and 24 bytes a leaf.
pub(super) fn tree_bytes(nrows: usize, ncols: usize) -> u64 {
    let leaves = nrows.div_ceil(LEAF).next_power_of_two();
    (nrows as u64) * (8 * ncols as u64 + 4) + 24 * leaves as u64
}

/// Points by place. Distances are squared and Euclidean; they are summed over the columns in order.
pub(super) trait PointTree: Send + Sync {
    /// The `wanted` nearest points at most `radius` away, nearest first, into `found` as (distance, position). Of points at
    /// the last distance, any.
    fn nearest(&self, query: &[f64], wanted: NonZero<usize>, radius: f64, found: &mut Vec<(f64, u32)>);

    /// All points at most `radius` away, in no order.
    fn within(&self, query: &[f64], radius: f64, found: &mut Vec<(f64, u32)>);

    /// As [`PointTree::within`], each handed to `each` as (distance, position, point in the tree's units).
    fn within_points(&self, query: &[f64], radius: f64, each: &mut dyn FnMut(f64, u32, &[f64]));
}

struct Kd<const K: usize>(ImmutableKdTree<f64, K>);

impl<const K: usize> Kd<K> {
    fn new(points: &[f64], units: Option<&[f64]>) -> Result<Self> {
        let (points, _) = points.as_chunks::<K>();
        let built = match units {
            None => ImmutableKdTree::new_from_slice(points),
            Some(units) => ImmutableKdTree::new_from_source(
                points,
                |point: &[f64; K], column| point[column] * units[column],
                |position, _| position as u32,
            ),
        };
        built.map(Self).map_err(|e| Error::unsupported(format!("the k-d tree could not be built: {e:?}")))
    }
}

impl<const K: usize> PointTree for Kd<K> {
    fn nearest(&self, query: &[f64], wanted: NonZero<usize>, radius: f64, found: &mut Vec<(f64, u32)>) {
        let query: &[f64; K] = query.try_into().expect("one value per column");
        let nearest = self.0.query(query).nearest_n::<SquaredEuclidean<f64>>(wanted);
        found.clear();
        if radius.is_finite() {
            found.extend(nearest.within(radius).execute().into_iter().map(|n| (n.distance, n.item)));
        } else {
            found.extend(nearest.execute().into_iter().map(|n| (n.distance, n.item)));
        }
    }

    fn within(&self, query: &[f64], radius: f64, found: &mut Vec<(f64, u32)>) {
        let query: &[f64; K] = query.try_into().expect("one value per column");
        found.clear();
        self.0
            .query(query)
            .within::<SquaredEuclidean<f64>>(radius)
            .unsorted()
            .visit(|n| found.push((n.distance, n.item)));
    }

    fn within_points(&self, query: &[f64], radius: f64, each: &mut dyn FnMut(f64, u32, &[f64])) {
        let query: &[f64; K] = query.try_into().expect("one value per column");
        self.0
            .query(query)
            .within::<SquaredEuclidean<f64>>(radius)
            .unsorted()
            .with_points()
            .visit(|n| each(n.distance, n.item, &n.point));
    }
}

/// A tree over rows of `ncols` values, column j multiplied by `units[j]`. Copies the points into its leaves.
///
/// # Errors
/// [`ErrorKind::Unsupported`](ensemble_core::ErrorKind::Unsupported) outside 1 to [`MAX_COLUMNS`] columns.
pub(super) fn build(points: &[f64], ncols: usize, units: Option<&[f64]>) -> Result<Box<dyn PointTree>> {
    macro_rules! dispatch {
        ($($k:literal)*) => {
            match ncols {
                $($k => Ok(Box::new(Kd::<$k>::new(points, units)?)),)*
                _ => Err(Error::unsupported(format!("a k-d tree takes 1 to {MAX_COLUMNS} columns, not {ncols}"))),
            }
        };
    }
    dispatch!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
}
