//! Tables to measure on, written once and read by every program; and the page cache they are read from.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use ensemble::{Error, Friedman1, Order, Result, memmap::NpyWriter};
use rustix::fs::{Advice, fadvise};

/// The seed of every table here.
const SEED: u64 = 20171;
const BLOCK: usize = 4096;

/// Write friedman1 as `X` and `y` files in `folder`, rows in C order or columns in Fortran order; a second file of the same shape
/// holds the same values.
///
/// # Errors
/// When a file cannot be written, or there are fewer than five columns.
pub fn friedman(folder: &Path, nrows: usize, ncols: usize, order: Order) -> Result<(PathBuf, PathBuf)> {
    let (xp, yp) = (
        folder.join(format!("X-{nrows}x{ncols}-{order:?}.npy")),
        folder.join(format!("y-{nrows}x{ncols}.npy")),
    );
    if xp.exists() && yp.exists() {
        return Ok((xp, yp));
    }
    let source = Friedman1::new(SEED, ncols, 1.0)?;
    let mut x = NpyWriter::create(&xp, nrows, ncols, order)?;
    let mut y = NpyWriter::create_vector(&yp, nrows)?;
    let (mut xb, mut yb) = (vec![0.0; BLOCK * ncols], vec![0.0; BLOCK]);
    for start in (0..nrows).step_by(BLOCK) {
        let n = BLOCK.min(nrows - start);
        source.rows_into(start, &mut xb[..n * ncols], &mut yb[..n]);
        x.write_rows(&xb[..n * ncols])?;
        y.write_rows(&yb[..n])?;
    }
    x.finish()?;
    y.finish()?;
    Ok((xp, yp))
}

/// Read a file once, so that the page cache holds it if it can.
///
/// # Errors
/// When it cannot be read.
pub fn warm(path: &Path) -> Result<()> {
    let mut file = File::open(path).map_err(|e| Error::io(path, "open", e))?;
    let mut buffer = vec![0u8; 1 << 20];
    while file.read(&mut buffer).map_err(|e| Error::io(path, "read", e))? > 0 {}
    Ok(())
}

/// Write a file's pages to the disk and drop them from the page cache, so that whoever reads it next is charged for them.
///
/// # Errors
/// When the file cannot be opened or written back.
pub fn evict(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(|e| Error::io(path, "open", e))?;
    file.sync_all().map_err(|e| Error::io(path, "write back", e))?;
    fadvise(&file, 0, None, Advice::DontNeed)
        .map_err(|e| Error::io(path, "drop from the page cache", e.into()))
}
