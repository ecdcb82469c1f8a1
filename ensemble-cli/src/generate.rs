//! `ensemble generate`: tables of any size, in flat memory.

use ensemble::{Error, Friedman1, Result, file::WholeFile, memmap::NpyWriter};

use crate::{
    arguments::{Generate, Synthetic},
    output,
};

/// Rows made and written at a time.
const ROWS: usize = 8 * 1024;

/// Stream the table to its files; they appear whole or not at all.
pub(crate) fn run(a: &Generate) -> Result<()> {
    let Synthetic::Friedman1 = a.kind;
    if a.rows == 0 {
        return Err(Error::parameter("friedman1", "rows", 0, "at least 1"));
    }
    if a.noise < 0.0 {
        return Err(Error::parameter("friedman1", "noise", a.noise, "a standard deviation, 0 or more"));
    }
    let source = Friedman1::new(a.seed, a.cols, a.noise)?;
    output::check(&a.y, &[&a.x])?;
    output::check(&a.x, &[])?;
    let mut x = NpyWriter::create(&a.x, a.rows, a.cols, a.order.into())?;
    let mut y = NpyWriter::create_vector(&a.y, a.rows)?;
    let (mut values, mut targets) = (vec![0.0; ROWS.min(a.rows) * a.cols], vec![0.0; ROWS.min(a.rows)]);
    for start in (0..a.rows).step_by(ROWS) {
        let n = ROWS.min(a.rows - start);
        source.rows_into(start, &mut values[..n * a.cols], &mut targets[..n]);
        x.write_rows(&values[..n * a.cols])?;
        y.write_rows(&targets[..n])?;
    }
    // Both are whole before either takes its name.
    [x.complete()?, y.complete()?].into_iter().try_for_each(WholeFile::publish)?;
    output::print(&format!(
        "{}: {} rows x {} columns; {}: target",
        a.x.display(),
        a.rows,
        a.cols,
        a.y.display()
    ))
}
