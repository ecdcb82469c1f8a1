//! Affine maps of rows, x -> A'(x - b): what centring, scaling and projections are.

use crate::{
    data::mat::{MatMut, MatRef},
    error::{Error, Result},
};

/// How general the `A` of an affine map may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AffineShape {
    /// `A` is diagonal: every column is shifted and scaled on its own.
    Diagonal,
    /// `A` is any matrix.
    General,
}

/// The map x -> A'(x - b) of rows of `n_in` values to rows of `n_out`.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    shift: Vec<f64>,
    map: Map,
}

#[derive(Clone, Debug, PartialEq)]
enum Map {
    Diagonal(Vec<f64>),
    /// `n_in` x `n_out`, C order.
    General(Vec<f64>, usize),
}

impl Affine {
    /// x_j -> scale_j (x_j - shift_j).
    ///
    /// # Panics
    /// When the two differ in length.
    pub fn diagonal(shift: Vec<f64>, scale: Vec<f64>) -> Self {
        assert_eq!(shift.len(), scale.len(), "shift and scale of one map");
        Self { shift, map: Map::Diagonal(scale) }
    }

    /// x -> A'(x - shift), `a` being `shift.len()` x `n_out` in C order.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when `a` has another size.
    pub fn general(shift: Vec<f64>, a: Vec<f64>, n_out: usize) -> Result<Self> {
        if a.len() != shift.len() * n_out {
            return Err(Error::shape("elements of an affine map", shift.len() * n_out, a.len()));
        }
        Ok(Self { shift, map: Map::General(a, n_out) })
    }

    /// Columns that go in.
    pub fn n_in(&self) -> usize {
        self.shift.len()
    }

    /// Columns that come out.
    pub fn n_out(&self) -> usize {
        match &self.map {
            Map::Diagonal(scale) => scale.len(),
            Map::General(_, n_out) => *n_out,
        }
    }

    /// How general the map is.
    pub fn shape(&self) -> AffineShape {
        match self.map {
            Map::Diagonal(_) => AffineShape::Diagonal,
            Map::General(..) => AffineShape::General,
        }
    }

    /// What is subtracted from each column.
    pub fn shift(&self) -> &[f64] {
        &self.shift
    }

    /// The diagonal of `A`, if it is diagonal.
    pub fn scale(&self) -> Option<&[f64]> {
        match &self.map {
            Map::Diagonal(scale) => Some(scale),
            Map::General(..) => None,
        }
    }

    /// `A[input][output]`.
    pub fn a(&self, input: usize, output: usize) -> f64 {
        match &self.map {
            Map::Diagonal(scale) if input == output => scale[input],
            Map::Diagonal(_) => 0.0,
            Map::General(a, n_out) => a[input * n_out + output],
        }
    }

    /// A linear model on the map's output as one on its input: (coefficients, intercept).
    pub fn pull_back(&self, coefficients: &[f64], intercept: f64) -> (Vec<f64>, f64) {
        let mut raw = vec![0.0; self.n_in()];
        match &self.map {
            Map::Diagonal(scale) => {
                for ((r, s), c) in raw.iter_mut().zip(scale).zip(coefficients) {
                    *r = s * c;
                }
            }
            Map::General(a, n_out) => {
                for (r, row) in raw.iter_mut().zip(a.chunks_exact(*n_out)) {
                    *r = row.iter().zip(coefficients).map(|(a, c)| a * c).sum();
                }
            }
        }
        let moved: f64 = raw.iter().zip(&self.shift).map(|(c, b)| c * b).sum();
        (raw, intercept - moved)
    }

    /// Apply the map to every row of `x`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when columns or rows do not fit.
    pub fn apply_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        if x.ncols() != self.n_in() {
            return Err(Error::shape("columns to transform", self.n_in(), x.ncols()));
        }
        if out.nrows() != x.nrows() {
            return Err(Error::shape("rows of the transformed block", x.nrows(), out.nrows()));
        }
        if out.ncols() != self.n_out() {
            return Err(Error::shape("columns of the transformed block", self.n_out(), out.ncols()));
        }
        for row in 0..x.nrows() {
            match &self.map {
                Map::Diagonal(scale) => {
                    for (j, s) in scale.iter().enumerate() {
                        out.set(row, j, s * (x.get(row, j) - self.shift[j]));
                    }
                }
                Map::General(a, n_out) => {
                    for j in 0..*n_out {
                        let value = (0..self.n_in())
                            .map(|i| a[i * n_out + j] * (x.get(row, i) - self.shift[i]))
                            .sum();
                        out.set(row, j, value);
                    }
                }
            }
        }
        Ok(())
    }
}
