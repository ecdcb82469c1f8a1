//! Columns that others determine: what linfa's factorizations answer with arbitrary numbers.

use ensemble_core::{BLOCK_ROWS, Block, ErrorKind, MatRef, Moments, Result, Root, Statistic};

/// The first column that is a combination of those before it, to a part in 10^6, or constant where rows are centred. One pass, p^2
/// memory.
///
/// # Errors
/// When squares of a column underflow.
pub(crate) fn dependent_column(x: MatRef<'_>, y: &[f64], centred: bool) -> Result<Option<usize>> {
    let p = x.ncols();
    let mut moments = Moments::new(p);
    for (b, rows) in x.row_blocks(BLOCK_ROWS).enumerate() {
        let (first_row, n) = (b * BLOCK_ROWS, rows.nrows());
        let mut block = Moments::new(p);
        block.absorb(&Block { x: rows, y: &y[first_row..first_row + n], first_row })?;
        moments.merge(&block)?;
    }
    if let Some(column) = (0..p).find(|j| moments.vanishes(*j, centred)) {
        return Err(ErrorKind::Underflow { table: "training rows".into(), column }.into());
    }
    let root = if centred { Root::centred(&moments) } else { Root::raw(&moments) };
    let least = 1e-13 * (p + 1) as f64;
    Ok((0..p).find(|j| {
        let own = moments.raw_xx(*j, *j);
        let spread = if centred { moments.xx(*j, *j) } else { own };
        let pivot = root.x().get(*j, *j);
        pivot * pivot <= least * spread || spread <= least * f64::EPSILON * own
    }))
}

/// Bytes that [`dependent_column`] holds.
pub(crate) fn rank_bytes(nrows: usize, ncols: usize) -> usize {
    let d = ncols + 1;
    8 * (6 * d * d + BLOCK_ROWS.min(nrows) * d)
}
