//! The kernel behind [`Moments`](crate::Moments): column sums and the upper triangle of X'X of one block, shifted.
//!
//! Rows are packed, shifted, into a panel that stays in cache, `[x - shift | y - shift]`, padded to whole
//! vectors; register tiles then walk the panel, and only tiles on or above the diagonal are computed. Each element is one
//! chain of fused multiply-adds over the rows of a panel, so tile sizes and vector lengths do not change its bits.
//! The instruction set is chosen at run time (AVX-512, AVX2 with FMA, or what the target has).

use std::cell::RefCell;

use pulp::{Arch, Simd, WithSimd};

use crate::data::mat::{MatRef, Order};

/// Rows of one panel for a padded width: fixed by the width alone, since it is part of the order of summation. Narrow
/// panels are short, so that reading the next rows and multiplying the last ones alternate finely; wide ones are long, so
/// that results are stored seldom, up to 256 KiB, a fraction of a second-level cache.
fn panel_rows(width: usize) -> usize {
    (2 * width).clamp(32, 256).min(32 * 1024 / width).max(16)
}

/// Columns of a panel: x, y and zeros up to a multiple of the longest vector.
pub(crate) fn padded(d: usize) -> usize {
    d.next_multiple_of(8)
}

thread_local! {
    static PANEL: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

/// Add to `sums` (d = ncols + 1 values, y last, padded like `shift`) the sums of `[x | y] - shift` over the rows, and to `gram`
/// (`padded(d)` squared, C order, upper triangle of tiles) the products. Reads each value once; allocates one panel per thread.
pub(crate) fn add_shifted(x: MatRef<'_>, y: &[f64], shift: &[f64], sums: &mut [f64], gram: &mut [f64]) {
    let d = x.ncols() + 1;
    let width = padded(d);
    assert!(shift.len() == width && sums.len() == width && y.len() == x.nrows(), "widths of one block");
    assert_eq!(gram.len(), width * width, "room for the products");
    let rows = panel_rows(width);
    PANEL.with_borrow_mut(|buffer| {
        // Vectors that straddle cache lines cost twice: start on a 64-byte boundary.
        if buffer.len() < rows * width + 8 {
            buffer.resize(rows * width + 8, 0.0);
        }
        let skip = buffer.as_ptr().align_offset(64).min(8);
        let panel = &mut buffer[skip..skip + rows * width];
        Arch::new().dispatch(AddShifted { x, y, shift, sums, gram, panel, rows, width });
    });
}

struct AddShifted<'a> {
    x: MatRef<'a>,
    y: &'a [f64],
    shift: &'a [f64],
    sums: &'a mut [f64],
    gram: &'a mut [f64],
    panel: &'a mut [f64],
    rows: usize,
    width: usize,
}

impl WithSimd for AddShifted<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, y, shift, sums, gram, panel, rows, width } = self;
        let d = x.ncols() + 1;
        let mut start = 0;
        while start < x.nrows() {
            let len = rows.min(x.nrows() - start);
            let part = x.rows(start..start + len).expect("inside the block");
            pack(simd, part, &y[start..start + len], shift, sums, panel, width);
            let panel = &panel[..len * width];
            match S::F64_LANES {
                8 => triangle::<S, 8>(simd, panel, width, d, gram),
                4 => triangle::<S, 4>(simd, panel, width, d, gram),
                _ => triangle::<S, 2>(simd, panel, width, d, gram),
            }
            start += len;
        }
    }
}

/// Fill the panel with shifted rows and add them to the sums; `shift` and `sums` are padded to the panel's width.
#[inline(always)]
fn pack<S: Simd>(
    simd: S,
    x: MatRef<'_>,
    y: &[f64],
    shift: &[f64],
    sums: &mut [f64],
    panel: &mut [f64],
    width: usize,
) {
    let p = x.ncols();
    let y_shift = shift[p];
    if x.order() == Order::C {
        let (data, stride) = (x.data(), x.stride());
        let (shift_vectors, _) = S::as_simd_f64s(shift);
        for (r, out) in panel.chunks_exact_mut(width).take(x.nrows()).enumerate() {
            // Whole vectors run past the row into the next: what lands in the padding makes products that nobody reads.
            if let Some(row) = data.get(r * stride..r * stride + width) {
                let (row, _) = S::as_simd_f64s(row);
                let (out, _) = S::as_mut_simd_f64s(out);
                for ((o, v), s) in out.iter_mut().zip(row).zip(shift_vectors) {
                    *o = simd.sub_f64s(*v, *s);
                }
            } else {
                let row = &data[r * stride..r * stride + p];
                for ((o, v), s) in out.iter_mut().zip(row).zip(shift) {
                    *o = v - s;
                }
                out[p..].fill(0.0);
            }
            out[p] = y[r] - y_shift;
        }
    } else {
        for (r, out) in panel.chunks_exact_mut(width).take(x.nrows()).enumerate() {
            out[p..].fill(0.0);
            out[p] = y[r] - y_shift;
        }
        // Eight columns at a time, row by row: a line of the panel is written whole, not eight times in parts.
        let mut first = 0;
        while first + 8 <= p {
            let columns: [&[f64]; 8] = std::array::from_fn(|k| x.column(first + k).expect("Fortran order"));
            let shifts: [f64; 8] = std::array::from_fn(|k| shift[first + k]);
            for (r, out) in panel.chunks_exact_mut(width).take(x.nrows()).enumerate() {
                let out: &mut [f64; 8] = (&mut out[first..first + 8]).try_into().expect("eight values");
                for k in 0..8 {
                    out[k] = columns[k][r] - shifts[k];
                }
            }
            first += 8;
        }
        for j in first..p {
            let column = x.column(j).expect("Fortran order");
            for (v, out) in column.iter().zip(panel[j..].iter_mut().step_by(width)) {
                *out = v - shift[j];
            }
        }
    }
    let (sums, _) = S::as_mut_simd_f64s(sums);
    let filled = &panel[..x.nrows() * width];
    let mut fours = filled.chunks_exact(4 * width);
    for four in &mut fours {
        let (vectors, _) = S::as_simd_f64s(four);
        let n = sums.len();
        for (j, sum) in sums.iter_mut().enumerate() {
            let pair = simd.add_f64s(vectors[j], vectors[n + j]);
            let other = simd.add_f64s(vectors[2 * n + j], vectors[3 * n + j]);
            *sum = simd.add_f64s(*sum, simd.add_f64s(pair, other));
        }
    }
    for row in fours.remainder().chunks_exact(width) {
        let (vectors, _) = S::as_simd_f64s(row);
        for (sum, v) in sums.iter_mut().zip(vectors) {
            *sum = simd.add_f64s(*sum, *v);
        }
    }
}

/// All tiles on or above the diagonal: bands of `M` rows of the result, `M` being the vector length or less. The last band
/// leaves out the padding.
#[inline(always)]
fn triangle<S: Simd, const M: usize>(simd: S, panel: &[f64], width: usize, d: usize, gram: &mut [f64]) {
    let mut top = 0;
    while top + M <= d {
        band::<S, M>(simd, panel, width, top, gram);
        top += M;
    }
    match d - top {
        0 => {}
        1 => band::<S, 1>(simd, panel, width, top, gram),
        2 => band::<S, 2>(simd, panel, width, top, gram),
        3 => band::<S, 3>(simd, panel, width, top, gram),
        4 => band::<S, 4>(simd, panel, width, top, gram),
        _ => band::<S, M>(simd, panel, width, top, gram),
    }
}

/// `M` rows of the result from the diagonal to the right.
#[inline(always)]
fn band<S: Simd, const M: usize>(simd: S, panel: &[f64], width: usize, top: usize, gram: &mut [f64]) {
    let lanes = S::F64_LANES;
    let mut column = top / lanes * lanes;
    while column < width {
        // Three vectors at a time while that leaves no single one behind.
        let take = match (width - column) / lanes {
            vectors @ (1 | 2 | 4) => vectors.min(2),
            _ => 3,
        };
        match take {
            1 => tile::<S, M, 1>(simd, panel, width, top, column, gram),
            2 => tile::<S, M, 2>(simd, panel, width, top, column, gram),
            _ => tile::<S, M, 3>(simd, panel, width, top, column, gram),
        }
        column += take * lanes;
    }
}

/// `M` rows by `N` vectors of the result, held in registers over all rows of the panel.
#[inline(always)]
fn tile<S: Simd, const M: usize, const N: usize>(
    simd: S,
    panel: &[f64],
    width: usize,
    top: usize,
    column: usize,
    gram: &mut [f64],
) {
    let lanes = S::F64_LANES;
    let mut acc = [[simd.splat_f64s(0.0); N]; M];
    for row in panel.chunks_exact(width) {
        let left: &[f64; M] = row[top..top + M].try_into().expect("M values");
        let (right, _) = S::as_simd_f64s(&row[column..column + N * lanes]);
        let right: &[S::f64s; N] = right.try_into().expect("N vectors");
        for i in 0..M {
            let a = simd.splat_f64s(left[i]);
            for j in 0..N {
                acc[i][j] = simd.mul_add_f64s(a, right[j], acc[i][j]);
            }
        }
    }
    for i in 0..M {
        let out = &mut gram[(top + i) * width + column..(top + i) * width + column + N * lanes];
        let (out, _) = S::as_mut_simd_f64s(out);
        for j in 0..N {
            out[j] = simd.add_f64s(out[j], acc[i][j]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_naive_sums_in_both_orders_for_every_width() {
        for p in [1, 2, 6, 7, 8, 9, 15, 23, 24, 31, 50] {
            for n in [1, 7, 300] {
                let x: Vec<f64> = (0..n * p).map(|i| ((i * 2_654_435_761) % 1000) as f64 / 7.0).collect();
                let y: Vec<f64> = (0..n).map(|i| (i % 13) as f64).collect();
                let d = p + 1;
                let w = padded(d);
                let shift: Vec<f64> = (0..w).map(|j| if j <= p { j as f64 * 0.5 } else { 0.0 }).collect();
                let f: Vec<f64> =
                    (0..p).flat_map(|j| (0..n).map(move |i| (i, j))).map(|(i, j)| x[i * p + j]).collect();
                let mut results = Vec::new();
                for (data, order) in [(&x, Order::C), (&f, Order::F)] {
                    let m = MatRef::new(data, n, p, order).unwrap();
                    let (mut sums, mut gram) = (vec![0.0; w], vec![0.0; w * w]);
                    add_shifted(m, &y, &shift, &mut sums, &mut gram);
                    let at =
                        |i: usize, j: usize| if j < p { x[i * p + j] - shift[j] } else { y[i] - shift[p] };
                    for a in 0..d {
                        let want: f64 = (0..n).map(|i| at(i, a)).sum();
                        assert!((sums[a] - want).abs() <= 1e-9 * (1.0 + want.abs()), "sum {a} p={p} n={n}");
                        for b in a..d {
                            let want: f64 = (0..n).map(|i| at(i, a) * at(i, b)).sum();
                            let got = gram[a * w + b];
                            assert!(
                                (got - want).abs() <= 1e-9 * (1.0 + want.abs()),
                                "({a},{b}) p={p} n={n}: {got} {want}"
                            );
                        }
                    }
                    // What stands past the d-th column is nobody's.
                    sums.truncate(d);
                    let upper: Vec<f64> =
                        (0..d).flat_map(|a| gram[a * w + a..a * w + d].to_owned()).collect();
                    results.push((sums, upper));
                }
                assert_eq!(results[0], results[1], "C and F give the same bits, p={p} n={n}");
            }
        }
    }
}
