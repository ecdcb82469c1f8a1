//! The linear algebra seam: Cholesky, R factors and singular values of small dense matrices, column-major.
//!
//! Cholesky and SVD are faer's, one thread each, since rayon stands outside; with the feature `lapack` they, and the R
//! factor, are LAPACK's through ndarray-linalg. The R factor is written out here otherwise: faer's QR drops a column whose
//! remainder is below `16 m eps` of its norm, which for blocks of 1,024 rows is four digits above rounding, and the whole
//! point of the R factor is to keep those digits.

/// A column-major matrix.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matrix {
    nrows: usize,
    ncols: usize,
    data: Vec<f64>,
}

impl Matrix {
    pub(crate) fn zeros(nrows: usize, ncols: usize) -> Self {
        Self { nrows, ncols, data: vec![0.0; nrows * ncols] }
    }

    pub(crate) fn nrows(&self) -> usize {
        self.nrows
    }

    pub(crate) fn ncols(&self) -> usize {
        self.ncols
    }

    pub(crate) fn data(&self) -> &[f64] {
        &self.data
    }

    pub(crate) fn column(&self, j: usize) -> &[f64] {
        &self.data[j * self.nrows..(j + 1) * self.nrows]
    }

    pub(crate) fn column_mut(&mut self, j: usize) -> &mut [f64] {
        &mut self.data[j * self.nrows..(j + 1) * self.nrows]
    }
}

impl std::ops::Index<(usize, usize)> for Matrix {
    type Output = f64;

    fn index(&self, (i, j): (usize, usize)) -> &f64 {
        &self.data[j * self.nrows + i]
    }
}

impl std::ops::IndexMut<(usize, usize)> for Matrix {
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut f64 {
        &mut self.data[j * self.nrows + i]
    }
}

/// Sum of products, in eight interleaved chains so that the compiler may use vectors; the order is fixed by the length.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for k in 0..8 {
            lanes[k] += x[k] * y[k];
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (b + f)) + ((c + g) + (d + h)) + tail
}

/// y += a x.
pub(crate) fn add_scaled(y: &mut [f64], a: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x);
}

/// Cholesky factor of a symmetric positive definite matrix.
pub(crate) struct Cholesky {
    /// Lower triangle of L; what stands above is arbitrary.
    l: Matrix,
}

impl Cholesky {
    /// L with LL' = A, read from the lower triangle of `a`; `None` when A is not positive definite in working precision.
    pub(crate) fn new(a: Matrix) -> Option<Self> {
        let l = backend::cholesky(a)?;
        (0..l.ncols).all(|j| l[(j, j)].is_finite() && l[(j, j)] > 0.0).then_some(Self { l })
    }

    /// Solve Ax = b in place. O(p^2).
    pub(crate) fn solve(&self, b: &mut [f64]) {
        let n = b.len();
        for j in 0..n {
            let (head, tail) = b.split_at_mut(j + 1);
            let column = &self.l.column(j)[j..];
            head[j] /= column[0];
            add_scaled(tail, -head[j], &column[1..]);
        }
        for j in (0..n).rev() {
            let (head, tail) = b.split_at_mut(j + 1);
            let column = &self.l.column(j)[j..];
            head[j] = (head[j] - dot(&column[1..], tail)) / column[0];
        }
    }

    /// Estimate of the condition number of A in the 1-norm, `norm` being that of A: a lower bound that is almost always
    /// within a factor of three. Hager, "Condition estimates", SIAM J. Sci. Stat. Comput. 5 (1984), with the alternating
    /// vector of Higham, "FORTRAN codes for estimating the one-norm", ACM TOMS 14 (1988). O(p^2).
    pub(crate) fn condition(&self, norm: f64) -> f64 {
        let n = self.l.ncols;
        if n == 0 {
            return 1.0;
        }
        let norm1 = |v: &[f64]| v.iter().map(|v| v.abs()).sum::<f64>();
        let mut x = vec![1.0 / n as f64; n];
        let mut sign = vec![0.0; n];
        let mut best = 0.0_f64;
        for step in 0..4 {
            self.solve(&mut x);
            let size = norm1(&x);
            let mut changed = false;
            for (s, v) in sign.iter_mut().zip(&x) {
                let new = if *v < 0.0 { -1.0 } else { 1.0 };
                changed |= new != *s;
                *s = new;
            }
            if size <= best || !changed {
                best = best.max(size);
                break;
            }
            best = size;
            // A is symmetric, so the transposed solve of the algorithm is the same one.
            let mut z = sign.clone();
            self.solve(&mut z);
            let (at, largest) = z
                .iter()
                .enumerate()
                .fold((0, 0.0_f64), |best, (i, v)| if v.abs() > best.1 { (i, v.abs()) } else { best });
            if step > 0 && largest <= dot(&z, &x).abs() {
                break;
            }
            x.fill(0.0);
            x[at] = 1.0;
        }
        let mut alternating: Vec<f64> = (0..n)
            .map(|i| {
                let size = 1.0 + i as f64 / (n.max(2) - 1) as f64;
                if i % 2 == 0 { size } else { -size }
            })
            .collect();
        self.solve(&mut alternating);
        norm * best.max(2.0 * norm1(&alternating) / (3.0 * n as f64))
    }
}

/// The R factor of `a`: upper triangular, `ncols` squared, R'R = A'A. Signs of its rows are free.
pub(crate) fn r_factor(a: Matrix) -> Matrix {
    let (m, n) = (a.nrows, a.ncols);
    let factored = backend::qr(a);
    let mut r = Matrix::zeros(n, n);
    for j in 0..n {
        let len = (j + 1).min(m);
        r.column_mut(j)[..len].copy_from_slice(&factored.column(j)[..len]);
    }
    r
}

/// Solve Rx = b in place, R upper triangular with no zero on its diagonal.
pub(crate) fn solve_upper(r: &Matrix, b: &mut [f64]) {
    for j in (0..b.len()).rev() {
        let (head, tail) = b.split_at_mut(j);
        tail[0] /= r[(j, j)];
        add_scaled(head, -tail[0], &r.column(j)[..j]);
    }
}

/// Condition number of an upper triangular matrix in the 1-norm, from its inverse; infinite when it has none. O(p^3).
pub(crate) fn upper_condition(r: &Matrix) -> f64 {
    let n = r.ncols;
    let norm1 = |v: &[f64]| v.iter().map(|v| v.abs()).sum::<f64>();
    let (mut norm, mut inverse) = (0.0_f64, 0.0_f64);
    let mut x = vec![0.0; n];
    for j in 0..n {
        if r[(j, j)] == 0.0 {
            return f64::INFINITY;
        }
        norm = norm.max(norm1(&r.column(j)[..=j]));
        x[..=j].fill(0.0);
        x[j] = 1.0;
        solve_upper(r, &mut x[..=j]);
        inverse = inverse.max(norm1(&x[..=j]));
    }
    let condition = norm * inverse;
    if condition.is_nan() { f64::INFINITY } else { condition }
}

/// A = U diag(s) V', singular values falling.
pub(crate) struct Svd {
    pub(crate) u: Matrix,
    pub(crate) s: Vec<f64>,
    pub(crate) v: Matrix,
}

/// Thin singular value decomposition; `None` when `a` is not finite or the iteration fails.
pub(crate) fn svd(a: &Matrix) -> Option<Svd> {
    if a.data.iter().any(|v| !v.is_finite()) {
        return None;
    }
    backend::svd(a)
}

/// Least squares on columns that were multiplied by `scale`, each greater than 0, for coefficients of the columns as they were:
/// of all that minimise ||AD^-1 D z - b||, D being the scale, the one with the smallest ||Dz||. Singular values of `a`, the
/// scaled columns, up to `rcond` times the largest count as zero, so that no unit decides which directions there are.
///
/// The part of z outside the null space of `a` comes from the singular values; the part inside changes no residual, and is the
/// small least squares problem of bringing Dz near 0. (Oblique projections on a space are bounded whatever the weights: Stewart,
/// "On scaled projections and pseudoinverses", Linear Algebra Appl. 112 (1989).) `None` when an iteration fails.
pub(crate) fn min_norm_solve(a: &Matrix, scale: &[f64], b: &[f64], rcond: f64) -> Option<Vec<f64>> {
    let Svd { u, s, v } = svd(a)?;
    let floor = rcond * s.first().copied().unwrap_or(0.0);
    let rank = s.iter().filter(|s| **s > floor).count();
    let k = a.ncols;
    let mut z = vec![0.0; k];
    for at in 0..rank {
        add_scaled(&mut z, dot(u.column(at), b) / s[at], v.column(at));
    }
    let largest = scale.iter().fold(0.0_f64, |m, s| m.max(*s));
    if rank < k && scale.iter().any(|s| *s != largest) {
        let mut free = Matrix::zeros(k, k - rank);
        for at in rank..k {
            let column = free.column_mut(at - rank);
            column.iter_mut().zip(v.column(at)).zip(scale).for_each(|((f, v), s)| *f = v * (s / largest));
        }
        let there: Vec<f64> = z.iter().zip(scale).map(|(z, s)| -z * (s / largest)).collect();
        let Svd { u, s, v: inner } = svd(&free)?;
        // Directions that only columns of the smallest weights can move have no say in the norm.
        let floor = k as f64 * f64::EPSILON * s.first().copied().unwrap_or(0.0);
        let mut step = vec![0.0; k - rank];
        for (at, s) in s.iter().enumerate().filter(|(_, s)| **s > floor) {
            add_scaled(&mut step, dot(u.column(at), &there) / s, inner.column(at));
        }
        step.iter().zip(rank..k).for_each(|(t, at)| add_scaled(&mut z, *t, v.column(at)));
    }
    z.iter_mut().zip(scale).for_each(|(z, s)| *z *= s);
    Some(z)
}

/// Householder triangularisation in place, LAPACK's `dgeqr2` with the reflectors left below the diagonal. No column is
/// ever dropped: an exactly zero remainder gives the identity.
#[cfg_attr(feature = "lapack", cfg(test))]
fn householder(mut a: Matrix) -> Matrix {
    let (m, n) = (a.nrows, a.ncols);
    for k in 0..n.min(m.saturating_sub(1)) {
        let (left, right) = a.data.split_at_mut((k + 1) * m);
        let column = &mut left[k * m + k..];
        let below = norm2(&column[1..]);
        if below == 0.0 {
            continue;
        }
        let alpha = column[0];
        let beta = -alpha.hypot(below).copysign(alpha);
        let tau = (beta - alpha) / beta;
        let scale = alpha - beta;
        column[0] = beta;
        column[1..].iter_mut().for_each(|v| *v /= scale);
        let v = &column[1..];
        for other in right.chunks_exact_mut(m) {
            let (first, rest) = other[k..].split_first_mut().expect("k < m");
            let w = tau * (*first + dot(v, rest));
            *first -= w;
            add_scaled(rest, -w, v);
        }
    }
    a
}

/// Euclidean norm, safe from overflow and underflow.
pub(crate) fn norm2(v: &[f64]) -> f64 {
    let plain = dot(v, v);
    if plain.is_finite() && plain > 1e-280 {
        return plain.sqrt();
    }
    let largest = v.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    largest * v.iter().map(|v| (v / largest) * (v / largest)).sum::<f64>().sqrt()
}

#[cfg(any(test, not(feature = "lapack")))]
mod faer_backend {
    use faer::{
        Mat, MatMut, MatRef, Par,
        diag::Diag,
        dyn_stack::{MemBuffer, MemStack},
        linalg::{cholesky::llt::factor as llt, svd as faer_svd},
    };

    use super::{Matrix, Svd};

    pub(crate) fn cholesky(mut a: Matrix) -> Option<Matrix> {
        let n = a.ncols;
        let mut buffer =
            MemBuffer::new(llt::cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default()));
        let view = MatMut::from_column_major_slice_mut(&mut a.data, n, n);
        let stack = MemStack::new(&mut buffer);
        llt::cholesky_in_place(view, Default::default(), Par::Seq, stack, Default::default()).ok()?;
        Some(a)
    }

    pub(crate) fn svd(a: &Matrix) -> Option<Svd> {
        let (m, n) = (a.nrows, a.ncols);
        let k = m.min(n);
        let thin = faer_svd::ComputeSvdVectors::Thin;
        let (mut u, mut v, mut s) = (Mat::zeros(m, k), Mat::zeros(n, k), Diag::zeros(k));
        let scratch = faer_svd::svd_scratch::<f64>(m, n, thin, thin, Par::Seq, Default::default());
        let mut buffer = MemBuffer::new(scratch);
        faer_svd::svd(
            MatRef::from_column_major_slice(&a.data, m, n),
            s.as_mut(),
            Some(u.as_mut()),
            Some(v.as_mut()),
            Par::Seq,
            MemStack::new(&mut buffer),
            Default::default(),
        )
        .ok()?;
        let take = |from: &Mat<f64>| {
            let mut out = Matrix::zeros(from.nrows(), from.ncols());
            for j in 0..from.ncols() {
                for i in 0..from.nrows() {
                    out[(i, j)] = from[(i, j)];
                }
            }
            out
        };
        Some(Svd { u: take(&u), s: (0..k).map(|i| s[i]).collect(), v: take(&v) })
    }
}

#[cfg(not(feature = "lapack"))]
mod backend {
    pub(super) use super::{
        faer_backend::{cholesky, svd},
        householder as qr,
    };
}

#[cfg(feature = "lapack")]
mod backend {
    use ndarray::{Array2, ShapeBuilder};
    use ndarray_linalg::{CholeskyInto, QRInto, SVD, UPLO};

    use super::{Matrix, Svd};

    fn into_array(a: Matrix) -> Array2<f64> {
        Array2::from_shape_vec((a.nrows, a.ncols).f(), a.data).expect("nrows x ncols values")
    }

    fn from_array(a: &Array2<f64>) -> Matrix {
        let mut out = Matrix::zeros(a.nrows(), a.ncols());
        for ((i, j), v) in a.indexed_iter() {
            out[(i, j)] = *v;
        }
        out
    }

    pub(super) fn cholesky(a: Matrix) -> Option<Matrix> {
        if a.ncols == 0 {
            return Some(a);
        }
        into_array(a).cholesky_into(UPLO::Lower).ok().map(|l| from_array(&l))
    }

    pub(super) fn qr(a: Matrix) -> Matrix {
        let (m, n) = (a.nrows, a.ncols);
        if m == 0 || n == 0 {
            return a;
        }
        let (_, r) = into_array(a).qr_into().expect("the QR factorization of a matrix exists");
        from_array(&r)
    }

    pub(super) fn svd(a: &Matrix) -> Option<Svd> {
        let k = a.nrows.min(a.ncols);
        if k == 0 {
            return Some(Svd { u: Matrix::zeros(a.nrows, 0), s: Vec::new(), v: Matrix::zeros(a.ncols, 0) });
        }
        let (u, s, vt) = into_array(a.clone()).svd(true, true).ok()?;
        let (u, vt) = (u?, vt?);
        let mut out = Svd {
            u: Matrix::zeros(a.nrows, k),
            s: s.iter().copied().collect(),
            v: Matrix::zeros(a.ncols, k),
        };
        for j in 0..k {
            (0..a.nrows).for_each(|i| out.u[(i, j)] = u[(i, j)]);
            (0..a.ncols).for_each(|i| out.v[(i, j)] = vt[(j, i)]);
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(m: usize, n: usize) -> Matrix {
        let mut a = Matrix::zeros(m, n);
        for j in 0..n {
            for i in 0..m {
                a[(i, j)] = (((i * 37 + j * 53 + i * j * 7) % 101) as f64 - 50.0) / 13.0;
            }
        }
        a
    }

    fn gram(a: &Matrix) -> Matrix {
        let mut g = Matrix::zeros(a.ncols, a.ncols);
        for i in 0..a.ncols {
            for j in 0..a.ncols {
                g[(i, j)] = dot(a.column(i), a.column(j));
            }
        }
        g
    }

    fn assert_close(a: &Matrix, b: &Matrix, tol: f64) {
        let size = b.data.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
        assert_eq!((a.nrows, a.ncols), (b.nrows, b.ncols));
        a.data.iter().zip(&b.data).for_each(|(x, y)| assert!((x - y).abs() <= tol * size, "{x} {y}"));
    }

    #[test]
    fn r_factors_have_the_gram_of_the_rows() {
        for (m, n) in [(40, 7), (7, 7), (3, 7), (1, 1), (1, 3), (0, 4), (100, 1)] {
            let a = sample(m, n);
            let r = r_factor(a.clone());
            assert_close(&gram(&r), &gram(&a), 1e-13);
        }
    }

    #[test]
    fn cholesky_solves_and_its_condition_estimate_is_near_the_singular_values() {
        for n in [1, 2, 5, 20, 51] {
            let g = gram(&sample(3 * n + 5, n));
            let norm = (0..n).map(|j| g.column(j).iter().map(|v| v.abs()).sum()).fold(0.0, f64::max);
            let c = Cholesky::new(g.clone()).unwrap();
            let want: Vec<f64> = (0..n).map(|i| i as f64 - 2.5).collect();
            let mut b: Vec<f64> = (0..n).map(|i| dot(g.column(i), &want)).collect();
            c.solve(&mut b);
            let s = svd(&g).unwrap().s;
            let two = s[0] / s[n - 1];
            b.iter().zip(&want).for_each(|(x, w)| assert!((x - w).abs() < 1e-14 * two * n as f64, "{x} {w}"));
            let one = c.condition(norm);
            assert!(one <= two * n as f64 * 1.001 && one >= two / n as f64 / 3.0, "{one} {two}");
        }
        let mut indefinite = sample(2, 2);
        (indefinite[(0, 0)], indefinite[(1, 0)], indefinite[(1, 1)]) = (1.0, 2.0, 1.0);
        assert!(Cholesky::new(indefinite).is_none());
    }

    #[test]
    fn singular_values_rebuild_the_matrix() {
        for (m, n) in [(6, 6), (9, 4), (4, 9), (1, 1)] {
            let a = sample(m, n);
            let Svd { u, s, v } = svd(&a).unwrap();
            let mut rebuilt = Matrix::zeros(m, n);
            for (k, s) in s.iter().enumerate() {
                for j in 0..n {
                    add_scaled(rebuilt.column_mut(j), s * v[(j, k)], u.column(k));
                }
            }
            assert_close(&rebuilt, &a, 1e-13);
        }
        let mut nan = sample(2, 2);
        nan[(1, 1)] = f64::NAN;
        assert!(svd(&nan).is_none());
    }

    #[test]
    fn the_smallest_norm_is_taken_in_the_units_asked_for() {
        // Columns a, b, a + b and c in units 1, 1e-3, 1 and 1e6: the null space is (1, 1e3, -1, 0) in those units.
        let base = sample(30, 3);
        let units = [1.0, 1e-3, 1.0, 1e6];
        let (mut scaled, mut scale) = (Matrix::zeros(30, 4), [0.0; 4]);
        for j in 0..4 {
            let mut column = vec![0.0; 30];
            let parts: &[usize] = [&[0][..], &[1], &[0, 1], &[2]][j];
            parts.iter().for_each(|k| add_scaled(&mut column, 1.0, base.column(*k)));
            column.iter_mut().for_each(|v| *v *= units[j]);
            scale[j] = 1.0 / norm2(&column);
            add_scaled(scaled.column_mut(j), scale[j], &column);
        }
        let mut b = vec![0.0; 30];
        for (k, c) in [2.0, 3.0, -1.0].iter().enumerate() {
            add_scaled(&mut b, *c, base.column(k));
        }
        let x = min_norm_solve(&scaled, &scale, &b, 1e-13).unwrap();
        // Every solution is (2, 3000, 0, -1e-6) + t (1, 1e3, -1, 0).
        let t = -(2.0 + 3e6) / (2.0 + 1e6);
        let want = [2.0 + t, 3000.0 + 1e3 * t, -t, -1e-6];
        for (x, want) in x.iter().zip(&want) {
            assert!((x - want).abs() < 1e-9 * want.abs(), "{x} {want}");
        }
    }

    #[test]
    fn triangular_conditions_are_exact_for_small_matrices() {
        let mut r = Matrix::zeros(2, 2);
        (r[(0, 0)], r[(0, 1)], r[(1, 1)]) = (1.0, 1.0, 0.5);
        // Inverse: [1, -2; 0, 2]; column sums 1.5 and 4.
        assert_eq!(upper_condition(&r), 6.0);
        r[(1, 1)] = 0.0;
        assert_eq!(upper_condition(&r), f64::INFINITY);
    }

    #[cfg(feature = "lapack")]
    #[test]
    fn lapack_and_faer_agree() {
        for n in [1, 4, 23] {
            let a = sample(60, n);
            let g = gram(&a);
            let (ours, lapack) =
                (faer_backend::cholesky(g.clone()).unwrap(), backend::cholesky(g.clone()).unwrap());
            for j in 0..n {
                for i in j..n {
                    assert!((ours[(i, j)] - lapack[(i, j)]).abs() < 1e-12 * ours[(0, 0)].abs().max(1.0));
                }
            }
            let (mut ours, lapack) = (Matrix::zeros(n, n), r_factor(a.clone()));
            let own = householder(a.clone());
            (0..n).for_each(|j| (0..=j).for_each(|i| ours[(i, j)] = own[(i, j)]));
            assert_close(&gram(&ours), &gram(&lapack), 1e-13);
            let (ours, lapack) = (faer_backend::svd(&g).unwrap(), backend::svd(&g).unwrap());
            ours.s.iter().zip(&lapack.s).for_each(|(x, y)| assert!((x - y).abs() < 1e-12 * ours.s[0]));
        }
    }
}
