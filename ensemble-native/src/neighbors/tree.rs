//! A k-d tree over one fold that holds positions and no points: the rows are read where they lie.
//!
//! Leaves of a few rows, cut in the middle of the column in which the rows spread most (Friedman, Bentley and Finkel, "An
//! Algorithm for Finding Best Matches in Logarithmic Expected Time", 1977). Every cut keeps the last value before it and the
//! first one behind it, so that a query knows how far it is from either side. Values must be finite.

use rayon::join;

use super::fold::Points;

/// Columns up to which a tree beats a scan; scikit-learn's `algorithm="auto"` draws the line at the same place.
pub(super) const MAX_COLUMNS: usize = 15;

/// Rows of a leaf at most; at least half as many, but for folds that are smaller still.
pub(super) const LEAF: usize = 16;

/// Rows of a part that is cut by exact medians of values copied beside each other; larger ones by those of a sample.
const LOCAL: usize = 16384;

/// Rows of a sample.
const SAMPLE: usize = 255;

/// The least share of its rows that either side of a part gets.
const LEAST_SHARE: usize = 16;

/// Bytes of a tree over `nrows` rows, at most.
pub(super) fn tree_bytes(nrows: usize) -> u64 {
    let leaves = (2 * nrows / LEAF).max(1);
    (nrows * size_of::<u32>() + (2 * leaves - 1) * size_of::<Node>()) as u64
}

/// Bytes that building such a tree takes beside it, at most.
pub(super) fn build_bytes(nrows: usize, ncols: usize) -> u64 {
    // Values, and their order before and after.
    let local = LOCAL.min(nrows) * (ncols * 8 + 6) * rayon::current_num_threads();
    // Room to partition in, and nodes of parts on their way into one list.
    (local + nrows * size_of::<u32>()) as u64 + 2 * tree_bytes(nrows)
}

/// A part of the rows: everything below this node.
pub(super) enum Node {
    /// Rows on both sides of a cut. The first side's node comes next, the second's so many nodes on.
    Cut {
        column: u8,
        second: u32,
        /// The greatest value of the first side.
        last: f64,
        /// The least value of the second side.
        first: f64,
    },
    /// Entries of the tree's positions. Rows that are `alike` have the same values, and are in order.
    Leaf { start: u32, end: u32, alike: bool },
}

/// Positions, sorted so that every part of the rows is one range.
pub(super) struct Tree {
    positions: Vec<u32>,
    nodes: Vec<Node>,
    /// Least and greatest value of each column.
    hull: Vec<(f64, f64)>,
}

impl Tree {
    /// A tree over all `points`, cut where column j times `units[j]` spreads most. There must be fewer than 2^32 rows.
    pub(super) fn build(points: &Points<'_>, units: &[f64]) -> Self {
        let nrows = points.nrows();
        let mut positions: Vec<u32> = (0..nrows as u32).collect();
        let mut room = vec![0; if nrows > LOCAL { nrows } else { 0 }];
        let mut nodes = Vec::new();
        Builder { points, units }.part(&mut positions, &mut room, 0, &mut nodes);
        nodes.shrink_to_fit();
        let hull = (0..units.len()).map(|j| range((0..nrows as u32).map(points.column(j)))).collect();
        Self { positions, nodes, hull }
    }

    /// Least and greatest value of each column.
    pub(super) fn hull(&self) -> &[(f64, f64)] {
        &self.hull
    }

    pub(super) fn node(&self, at: usize) -> &Node {
        &self.nodes[at]
    }

    pub(super) fn positions(&self, start: u32, end: u32) -> &[u32] {
        &self.positions[start as usize..end as usize]
    }

    pub(super) fn bytes(&self) -> u64 {
        let nodes = self.nodes.capacity() * size_of::<Node>();
        (self.positions.capacity() * size_of::<u32>() + nodes + self.hull.len() * 16) as u64
    }
}

struct Builder<'a> {
    points: &'a Points<'a>,
    units: &'a [f64],
}

impl Builder<'_> {
    /// Sort `positions`, which start at entry `start` of the tree, and append their nodes. `room` is as long, unless they are
    /// few.
    fn part(&self, positions: &mut [u32], room: &mut [u32], start: u32, nodes: &mut Vec<Node>) {
        if positions.len() <= LOCAL {
            return self.local(positions, start, nodes);
        }
        let Some((column, pivot)) = self.sampled(positions).or_else(|| self.spread_of_all(positions)) else {
            positions.sort_unstable();
            nodes.push(Node::Leaf { start, end: start + positions.len() as u32, alike: true });
            return;
        };
        let (cut, last, least) = self.partition(positions, room, column, pivot);
        let (first, second) = positions.split_at_mut(cut);
        let (first_room, second_room) = room.split_at_mut(cut);
        let middle = start + cut as u32;
        let mut behind = Vec::new();
        let cut = nodes.len();
        nodes.push(Node::Cut { column: column as u8, second: 0, last, first: least });
        join(
            || self.part(first, first_room, start, nodes),
            || self.part(second, second_room, middle, &mut behind),
        );
        second_comes_next(nodes, cut);
        nodes.append(&mut behind);
    }

    /// The column in which a sample spreads most, and the sample's median there; `None` when the sample does not spread.
    fn sampled(&self, positions: &[u32]) -> Option<(usize, f64)> {
        // Steps that no period of the rows is likely to share.
        let mut at = positions.len() as u64;
        let sample: [u32; SAMPLE] = std::array::from_fn(|_| {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            positions[((u128::from(at) * positions.len() as u128) >> 64) as usize]
        });
        let column = self.widest(&sample)?;
        let mut values = sample.map(|p| self.points.get(p, column));
        Some((column, *values.select_nth_unstable_by(SAMPLE / 2, f64::total_cmp).1))
    }

    /// The column in which all rows spread most, and the first row's value there; `None` when all rows are alike.
    fn spread_of_all(&self, positions: &[u32]) -> Option<(usize, f64)> {
        let column = self.widest(positions)?;
        Some((column, self.points.get(positions[0], column)))
    }

    /// The column that spreads most.
    fn widest(&self, positions: &[u32]) -> Option<usize> {
        let value = |position: usize, column| self.points.get(positions[position], column);
        widest(positions.len(), self.units, value)
    }

    /// Put values below `pivot` first and values above it last, keeping the order within, and cut in the middle, or as near to
    /// it as equal values allow being on both sides. Says where, the last value before the cut and the first behind it.
    fn partition(
        &self,
        positions: &mut [u32],
        room: &mut [u32],
        column: usize,
        pivot: f64,
    ) -> (usize, f64, f64) {
        let (n, value) = (positions.len(), self.points.column(column));
        let (mut last, mut first) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut cut = part_stably(positions, room, |p| {
            let value = value(p);
            let before = value < pivot;
            last = last.max(if before { value } else { f64::NEG_INFINITY });
            first = first.min(if before { f64::INFINITY } else { value });
            before
        });
        if cut < n / 2 - n / LEAST_SHARE {
            // Values that equal the pivot go to both sides.
            let equal = part_stably(&mut positions[cut..], room, |p| value(p) == pivot);
            let middle = (n / 2).min(cut + equal);
            if middle > cut {
                last = pivot;
            }
            if middle == cut + equal {
                first = range(positions[middle..].iter().map(|p| value(*p))).0;
            }
            cut = middle;
        }
        if cut.min(n - cut) >= n / LEAST_SHARE {
            return (cut, last, first);
        }
        // The sample told lies.
        let (first, middle, _) =
            positions.select_nth_unstable_by(n / 2, |a, b| value(*a).total_cmp(&value(*b)));
        (n / 2, range(first.iter().map(|p| value(*p))).1, value(*middle))
    }

    /// As [`Builder::part`], with the values copied beside each other.
    fn local(&self, positions: &mut [u32], start: u32, nodes: &mut Vec<Node>) {
        let ncols = self.units.len();
        // Nearly always they are sorted. Alike rows come in order only if they are.
        positions.sort_unstable();
        let mut values = vec![0.0; positions.len() * ncols];
        for column in 0..ncols {
            let value = self.points.column(column);
            for (slot, position) in values[column..].iter_mut().step_by(ncols).zip(positions.iter()) {
                *slot = value(*position);
            }
        }
        let mut order: Vec<u16> = (0..positions.len() as u16).collect();
        let sorted = Vec::from_iter(positions.iter().copied());
        self.local_part(&values, &mut order, start, nodes);
        for (slot, at) in positions.iter_mut().zip(&order) {
            *slot = sorted[usize::from(*at)];
        }
    }

    fn local_part(&self, values: &[f64], order: &mut [u16], start: u32, nodes: &mut Vec<Node>) {
        let ncols = self.units.len();
        let value = |at: u16, column: usize| values[usize::from(at) * ncols + column];
        let leaf = |alike| Node::Leaf { start, end: start + order.len() as u32, alike };
        if order.len() <= LEAF {
            nodes.push(leaf(false));
            return;
        }
        let Some(column) = widest(order.len(), self.units, |at, column| value(order[at], column)) else {
            nodes.push(leaf(true));
            order.sort_unstable();
            return;
        };
        let cut = order.len() / 2;
        order.select_nth_unstable_by(cut, |a, b| value(*a, column).total_cmp(&value(*b, column)));
        let (first, second) = order.split_at_mut(cut);
        let (last, least) = (range(first.iter().map(|at| value(*at, column))).1, value(second[0], column));
        let node = nodes.len();
        nodes.push(Node::Cut { column: column as u8, second: 0, last, first: least });
        self.local_part(values, first, start, nodes);
        second_comes_next(nodes, node);
        self.local_part(values, second, start + cut as u32, nodes);
    }
}

/// Tell a cut, whose first side's nodes all follow it, that those of the second side come next.
fn second_comes_next(nodes: &mut [Node], cut: usize) {
    let distance = (nodes.len() - cut) as u32;
    if let Node::Cut { second, .. } = &mut nodes[cut] {
        *second = distance;
    }
}

/// The column in which `value(0..n, column) * units[column]` spreads most; `None` when there is no spread.
fn widest(n: usize, units: &[f64], value: impl Fn(usize, usize) -> f64) -> Option<usize> {
    let spread = |column: usize| {
        let (least, greatest) = range((0..n).map(|at| value(at, column)));
        // A difference may overflow where its halves' does not.
        (least < greatest).then(|| units[column] * (0.5 * greatest - 0.5 * least))
    };
    (0..units.len())
        .filter_map(|column| Some((column, spread(column)?)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(column, _)| column)
}

/// Put the positions that are `before` first, keeping the order within both sorts, and say how many. Branches that nobody can
/// foretell would cost more than writing everything twice.
fn part_stably(positions: &mut [u32], room: &mut [u32], mut before: impl FnMut(u32) -> bool) -> usize {
    let (mut first, mut second) = (0, 0);
    for at in 0..positions.len() {
        let position = positions[at];
        let goes_first = before(position);
        positions[first] = position;
        room[second] = position;
        first += usize::from(goes_first);
        second += usize::from(!goes_first);
    }
    positions[first..].copy_from_slice(&room[..second]);
    first
}

/// The least and the greatest.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), v| (least.min(v), greatest.max(v)))
}

#[cfg(test)]
mod tests {
    use ensemble_core::{MatRef, Order};

    use super::*;

    /// Check everything below a node, and return the next node and the rows seen.
    fn check(tree: &Tree, points: &Points<'_>, at: usize) -> (usize, Vec<u32>) {
        match *tree.node(at) {
            Node::Leaf { start, end, alike } => {
                let rows = tree.positions(start, end);
                if alike {
                    assert!(rows.is_sorted(), "{rows:?}");
                    for column in 0..2 {
                        assert!(rows.iter().all(|r| points.get(*r, column) == points.get(rows[0], column)));
                    }
                } else {
                    assert!((LEAF / 2..=LEAF).contains(&rows.len()), "{} rows", rows.len());
                }
                (at + 1, Vec::from(rows))
            }
            Node::Cut { column, second, last, first } => {
                let value = |row: &u32| points.get(*row, usize::from(column));
                let (next, mut rows) = check(tree, points, at + 1);
                assert_eq!(next, at + second as usize);
                assert_eq!(rows.iter().map(value).fold(f64::NEG_INFINITY, f64::max), last);
                let (next, others) = check(tree, points, next);
                assert_eq!(others.iter().map(value).fold(f64::INFINITY, f64::min), first);
                assert!(last <= first);
                rows.extend(others);
                (next, rows)
            }
        }
    }

    #[test]
    fn every_row_is_in_one_leaf_and_every_cut_says_what_it_parts() {
        let n = 20_000u32;
        let spread = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8);
        let rare = |i: u32| if i.is_multiple_of(997) { spread(i) } else { 1.0 };
        let of = |f: &dyn Fn(u32) -> [f64; 2]| -> Vec<f64> { (0..n).flat_map(f).collect() };
        let tables = [
            ("spread", of(&|i| [spread(i), spread(i ^ 0x5555)])),
            ("one column", of(&|i| [spread(i), 0.5])),
            ("mostly one point", of(&|i| [rare(i), rare(i + 500)])),
            ("a grid", of(&|i| [f64::from(i % 7), f64::from(i / 7 % 11)])),
            ("one point", of(&|_| [3.0, -3.0])),
            ("an outlier", of(&|i| [if i == 77 { 1e300 } else { 0.0 }, 0.0])),
        ];
        for (name, table) in tables {
            let points = Points::Run(MatRef::new(&table, n as usize, 2, Order::C).unwrap());
            let tree = Tree::build(&points, &[1.0, 1.0]);
            let (end, mut rows) = check(&tree, &points, 0);
            assert_eq!(end, tree.nodes.len(), "{name}");
            rows.sort_unstable();
            assert!(rows.into_iter().eq(0..n), "{name}");
            assert!(tree.bytes() <= tree_bytes(n as usize) + 64, "{name}: {} bytes", tree.bytes());
        }
    }

    #[test]
    fn a_pivot_far_from_the_middle_is_not_used() {
        let values: Vec<f64> = (0..10_000).map(|i| f64::from(i * 7 % 10_000)).collect();
        let points = Points::Run(MatRef::column_vector(&values));
        let builder = Builder { points: &points, units: &[1.0] };
        let mut positions: Vec<u32> = (0..10_000).collect();
        let (cut, last, first) = builder.partition(&mut positions, &mut vec![0; 10_000], 0, 3.0);
        assert_eq!((cut, last, first), (5000, 4999.0, 5000.0));
        assert!(positions[..cut].iter().all(|p| points.get(*p, 0) < 5000.0));
    }
}
