//! One query on its way through one tree.

use super::{
    fold::{FoldIndex, Points},
    search::Nearest,
    tree::{LEAF, Node, Tree},
};

/// A fold's tree, and a query in a space where value x of column j is `map(j, x)`. Maps keep the order of values, or turn it
/// around.
pub(super) struct Walk<'a, const P: usize, M> {
    pub(super) tree: &'a Tree,
    pub(super) query: &'a [f64; P],
    pub(super) map: M,
    /// Whether the map turns the order of a column around.
    pub(super) turns: &'a [bool],
}

/// Where a tree's positions are.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) fold: u32,
    pub(super) index: &'a FoldIndex,
    pub(super) points: &'a Points<'a>,
    /// The points' values and how far rows are apart, where that is all there is to it.
    pub(super) rows: Option<(&'a [f64], usize)>,
}

impl<const P: usize, M: Fn(usize, f64) -> f64> Walk<'_, P, M> {
    /// Offer all rows that could be among the nearest.
    pub(super) fn run(&self, place: Place<'_>, nearest: &mut Nearest) {
        let mut gaps = [0.0; P];
        for (j, (gap, (least, greatest))) in gaps.iter_mut().zip(self.tree.hull()).enumerate() {
            let (to_least, to_greatest) = self.gaps(j, *least, *greatest);
            *gap = to_least.max(to_greatest);
        }
        let bound = bound(&gaps);
        if bound <= nearest.bound() {
            self.visit(0, bound, &mut gaps, place, nearest);
        }
    }

    /// The first entry of the leaf where the query belongs.
    pub(super) fn leaf(&self) -> u32 {
        let mut at = 0;
        loop {
            match *self.tree.node(at) {
                Node::Leaf { start, .. } => return start,
                Node::Cut { column, second, last, first } => {
                    let (to_second, to_first) = self.gaps(usize::from(column), first, last);
                    at += if to_first <= to_second { 1 } else { second as usize };
                }
            }
        }
    }

    /// How far the query is from values of column `j` from `least` on, and from those up to `greatest`.
    #[inline]
    fn gaps(&self, j: usize, least: f64, greatest: f64) -> (f64, f64) {
        let (query, least, greatest) = (self.query[j], (self.map)(j, least), (self.map)(j, greatest));
        // A map that turns the order around has put them on the other sides. What is not a number bounds nothing.
        if self.turns[j] {
            ((query - least).max(0.0), (greatest - query).max(0.0))
        } else {
            ((least - query).max(0.0), (query - greatest).max(0.0))
        }
    }

    /// Offer the rows below a node, which is `gaps` away, by column, and none of whose rows is nearer than `bound`.
    ///
    /// Bounds need no margin for rounding: they are the sums by which distances are computed, over differences that are not
    /// greater, and rounding keeps order.
    fn visit(
        &self,
        node: usize,
        bound_here: f64,
        gaps: &mut [f64; P],
        place: Place<'_>,
        nearest: &mut Nearest,
    ) {
        match *self.tree.node(node) {
            Node::Leaf { start, end, alike } => {
                self.offer(self.tree.positions(start, end), alike, place, nearest)
            }
            Node::Cut { column, second, last, first } => {
                let column = usize::from(column);
                let (to_second, to_first) = self.gaps(column, first, last);
                let parts = [(node + 1, to_first), (node + second as usize, to_second)];
                let [near, far] = if to_first <= to_second { parts } else { [parts[1], parts[0]] };
                let before = gaps[column];
                for (part, gap) in [near, far] {
                    // The bound is nothing less than any one gap's.
                    if gap * gap > nearest.bound() {
                        continue;
                    }
                    gaps[column] = gap.max(before);
                    let bound = if gap > before { bound(gaps) } else { bound_here };
                    // At the same distance a row may still come earlier.
                    if bound <= nearest.bound() {
                        self.visit(part, bound, gaps, place, nearest);
                    }
                    gaps[column] = before;
                }
            }
        }
    }

    /// All distances before any is looked at, so that the reads of rows overlap.
    fn offer(&self, positions: &[u32], alike: bool, place: Place<'_>, nearest: &mut Nearest) {
        let mut distances = [0.0; LEAF];
        for positions in positions.chunks(LEAF) {
            for (distance, position) in distances.iter_mut().zip(positions) {
                let values = place.rows.and_then(|(values, stride)| {
                    values.get(*position as usize * stride..).and_then(<[f64]>::first_chunk::<P>)
                });
                *distance = match values {
                    Some(values) => self.squared_distance(|j| values[j]),
                    None => self.squared_distance(|j| place.points.get(*position, j)),
                };
            }
            for (position, distance) in positions.iter().zip(distances) {
                let taken = nearest.offer(place.index, place.fold, *position as usize, distance);
                // Those behind it are as far and come later.
                if alike && !taken {
                    return;
                }
            }
        }
    }

    /// In the order of the columns.
    #[inline]
    fn squared_distance(&self, value: impl Fn(usize) -> f64) -> f64 {
        let mut sum = 0.0;
        for j in 0..P {
            let difference = self.query[j] - (self.map)(j, value(j));
            sum += difference * difference;
        }
        sum
    }
}

/// The least distance of what is so far away by column.
fn bound<const P: usize>(gaps: &[f64; P]) -> f64 {
    gaps.iter().fold(0.0, |sum, gap| sum + gap * gap)
}
