//! Files of friedman1 rows.

use std::path::{Path, PathBuf};

use ensemble::{Friedman1, Order, memmap::NpyWriter};

/// Write friedman1 rows to `X.npy` and `y.npy` in `dir`.
pub(crate) fn friedman(dir: &Path, nrows: usize, ncols: usize, order: Order) -> (PathBuf, PathBuf) {
    let (xp, yp) = (dir.join(format!("X{order:?}.npy")), dir.join(format!("y{order:?}.npy")));
    let source = Friedman1::new(20171, ncols, 1.0).unwrap();
    let mut x = NpyWriter::create(&xp, nrows, ncols, order).unwrap();
    let mut y = NpyWriter::create_vector(&yp, nrows).unwrap();
    let (mut xb, mut yb) = (vec![0.0; 1024 * ncols], vec![0.0; 1024]);
    for start in (0..nrows).step_by(1024) {
        let n = 1024.min(nrows - start);
        source.rows_into(start, &mut xb[..n * ncols], &mut yb[..n]);
        x.write_rows(&xb[..n * ncols]).unwrap();
        y.write_rows(&yb[..n]).unwrap();
    }
    x.finish().unwrap();
    y.finish().unwrap();
    (xp, yp)
}
