//! The canonical tree: in which order blocks of rows are absorbed and merged, whatever threads there are.

use std::ops::Range;

use crate::{
    error::{Result, guarded},
    statistic::state::{Statistic, of_statistic},
};

/// Subtrees of this many blocks run on one thread: about a millisecond of work, far above the cost of a task. A power of two, so
/// that such a subtree starts at a multiple of it.
pub(crate) const SEQUENTIAL_BLOCKS: usize = 16;

/// The middle of the canonical tree over blocks `range`: the largest power of two below its length, so that whole
/// subtrees do not depend on how many blocks follow.
fn canonical_split(range: &Range<usize>) -> usize {
    let len = range.end - range.start;
    range.start + (len.next_power_of_two() / 2)
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

#[cfg(test)]
mod tests {
    use std::any::Any;

    use super::*;
    use crate::{
        data::mat::MatRef,
        statistic::state::{Block, StatisticKey, same_type},
    };

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
}
