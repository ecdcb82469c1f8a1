//! Rows of an atom, block by block.

use std::ops::Range;

use rayon::prelude::*;

use crate::statistic::{state::BLOCK_ROWS, tree::SEQUENTIAL_BLOCKS};

/// Blocks of an atom.
pub(crate) fn n_blocks(range: &Range<usize>) -> usize {
    range.len().div_ceil(BLOCK_ROWS)
}

/// The blocks of an atom in order, those of so many rows at a time, in runs of at least [`SEQUENTIAL_BLOCKS`] that one thread
/// works on.
pub(crate) fn par_batches(
    range: &Range<usize>,
    rows: usize,
) -> impl ParallelIterator<Item = Range<usize>> + use<> {
    let (blocks, batch) = (n_blocks(range), rows / BLOCK_ROWS);
    let run = SEQUENTIAL_BLOCKS.next_multiple_of(batch);
    (0..blocks.div_ceil(run)).into_par_iter().flat_map_iter(move |number| {
        let end = ((number + 1) * run).min(blocks);
        (number * run..end).step_by(batch).map(move |first| first..(first + batch).min(end))
    })
}

/// Rows of block `b` of a range.
pub(crate) fn block_rows(range: &Range<usize>, b: usize) -> Range<usize> {
    let start = range.start + b * BLOCK_ROWS;
    start..(start + BLOCK_ROWS).min(range.end)
}

/// Rows of neighbouring blocks of a range.
pub(crate) fn rows_of_blocks(range: &Range<usize>, blocks: &Range<usize>) -> Range<usize> {
    block_rows(range, blocks.start).start..block_rows(range, blocks.end - 1).end
}
