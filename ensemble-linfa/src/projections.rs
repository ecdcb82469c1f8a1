//! Rows in fewer columns: principal components and random projections, by linfa, as core's affine maps.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ensemble_core::{
    Access, Affine, Error, FitContext, FitCost, FittedTransform, Registry, Result, Shape, Train, Transformer,
    parameter::{MOST_COMPONENTS, at_most_there_are, from_to},
};
use linfa::{
    DatasetBase,
    traits::{Fit, Transformer as _},
};
use linfa_reduction::random_projection::{
    GaussianRandomProjection as Gaussian, SparseRandomProjection as Sparse,
};
use ndarray::{Array2, ArrayView2};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use crate::{
    parameters::parameters,
    view::{finite, refused, training_views},
};

parameters! {
    /// The principal components of the rows, by linfa's LOBPCG: scikit-learn's `PCA`, up to signs.
    ///
    /// linfa copies the rows, less their means, inside its fit, which `cost` declares. Faults of linfa-reduction 0.8.1 handled
    /// here: its solver may stop short in silence, so components that are not orthogonal to 1e-6 are an error; with columns whose
    /// scales differ by 10^4 or more it may panic (`linfa-linalg`, `eigh.rs:327`), which is a sentence. It adds up the rows as they
    /// lie in memory, so that tables in C and in Fortran order differ in last bits.
    Pca: Transformer = "linfa.pca", "linfa-reduction 0.8.1" {
        n_components "n_components" ["embedding_size"]: Option<usize> = None, "none", "columns that come out, no more than go in; none for all";
        whiten "whiten" []: bool = false, "false", "scale them to variance 1";
    }
}

parameters! {
    /// Products with random normal vectors, by linfa: scikit-learn's `GaussianRandomProjection`.
    ///
    /// linfa-reduction 0.8.1 draws with variance 1 / columns that go in, which shrinks distances; here, as in scikit-learn, it is 1 /
    /// columns that come out, so that distances stay.
    GaussianRandomProjection: Transformer = "linfa.gaussian_random_projection", "linfa-reduction 0.8.1" {
        n_components "n_components" ["target_dim"]: Option<usize> = None, "none", "columns that come out, no more than go in; none for as many";
        random_state "random_state" []: u64 = 0, "0", "seed, mixed with the fit's own";
    }
}

parameters! {
    /// Products with random vectors of few values, by linfa: scikit-learn's `SparseRandomProjection` of density 1 / root of the
    /// columns.
    ///
    /// linfa-reduction 0.8.1 gives its values the root of the columns, which stretches distances; here they are scaled as in
    /// scikit-learn, so that distances stay.
    SparseRandomProjection: Transformer = "linfa.sparse_random_projection", "linfa-reduction 0.8.1" {
        n_components "n_components" ["target_dim"]: Option<usize> = None, "none", "columns that come out, no more than go in; none for as many";
        random_state "random_state" []: u64 = 0, "0", "seed, mixed with the fit's own";
    }
}

/// # Errors
/// For none, or more components than are ever made.
fn check_components(kind: &str, wanted: Option<usize>) -> Result<()> {
    wanted.map_or(Ok(()), |n| from_to(kind, "n_components", n, 1, MOST_COMPONENTS))
}

/// The components of rows of `ncols` columns.
///
/// # Errors
/// For more components than columns.
fn components_of(kind: &str, wanted: Option<usize>, ncols: usize) -> Result<usize> {
    check_components(kind, wanted)?;
    let n = wanted.unwrap_or(ncols);
    at_most_there_are(kind, "n_components", n, ncols, "columns").map(|()| n)
}

/// x -> A'(x - shift), `a` with a row per column that goes in.
fn map(kind: &str, shift: Vec<f64>, a: ArrayView2<'_, f64>, factor: f64) -> Result<Arc<dyn FittedTransform>> {
    let n_out = a.ncols();
    let a: Vec<f64> = a.iter().map(|v| v * factor).collect();
    finite(kind, "factors", shift.iter().chain(&a))?;
    Ok(Arc::new(Affine::general(shift, a, n_out)?))
}

impl Pca {
    fn components(&self, Shape { nrows, ncols }: Shape) -> Result<usize> {
        let k = components_of(Self::KIND, self.n_components, ncols)?;
        if nrows > k {
            return Ok(k);
        }
        Err(Error::unsupported(format!(
            "{}: {nrows} rows have fewer than {k} components; give n_components",
            Self::KIND
        )))
    }

    fn check(&self) -> Result<()> {
        check_components(Self::KIND, self.n_components)
    }
}

impl Transformer for Pca {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Contiguous(None)
    }

    fn check_shape(&self, train: Shape) -> Result<()> {
        self.components(train).map(|_| ())
    }

    fn cost(&self, train: Shape) -> FitCost {
        let Shape { nrows: n, ncols: p } = train;
        let k = self.n_components.unwrap_or(p);
        FitCost {
            peak_bytes: (8 * (n * p + 2 * n * k + 40 * p * p) + 8192) as u64,
            model_bytes: (8 * p * (k + 1) + size_of::<Affine>()) as u64,
        }
    }

    fn n_out(&self, ncols: usize) -> usize {
        self.n_components.unwrap_or(ncols)
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        let (x, y) = training_views(train)?;
        let k = self.components(train.shape())?;
        let params = linfa_reduction::Pca::params(k).whiten(self.whiten);
        let rows = DatasetBase::new(x, y);
        // Whether the solver meets a NaN of its own making cannot be told from the rows.
        let fitted = catch_unwind(AssertUnwindSafe(|| params.fit(&rows)))
            .map_err(|_| {
                Error::unsupported(format!(
                    "{}: linfa's solver fails on columns of such different scale; scale the columns first",
                    Self::KIND
                ))
            })?
            .map_err(refused(Self::KIND))?;
        let components = fitted.components();
        finite(Self::KIND, "components", components.iter())?;
        let length = |i: usize| components.row(i).dot(&components.row(i)).sqrt();
        let short = || {
            Error::unsupported(format!(
                "{}: linfa's solver stops before its components are orthogonal; scale the columns first, or give \
                 a smaller n_components",
                Self::KIND
            ))
        };
        if components.nrows() != k {
            return Err(short());
        }
        for i in 0..k {
            let own = length(i);
            let unit = self.whiten || (own - 1.0).abs() < 1e-6;
            let skew = |j: usize| components.row(i).dot(&components.row(j)).abs() > 1e-6 * own * length(j);
            if !unit || (0..i).any(skew) {
                return Err(short());
            }
        }
        map(Self::KIND, fitted.mean().iter().copied().collect(), components.t(), 1.0)
    }
}

macro_rules! random_projection {
    ($name:ident, $linfa:ident, $factor:expr) => {
        impl $name {
            fn check(&self) -> Result<()> {
                check_components(Self::KIND, self.n_components)
            }
        }

        impl Transformer for $name {
            fn kind(&self) -> String {
                Self::KIND.into()
            }

            fn access(&self) -> Access {
                Access::Segments
            }

            fn check_shape(&self, train: Shape) -> Result<()> {
                components_of(Self::KIND, self.n_components, train.ncols).map(|_| ())
            }

            fn cost(&self, train: Shape) -> FitCost {
                let p = train.ncols;
                let k = self.n_components.unwrap_or(p);
                FitCost {
                    peak_bytes: (8 * (p * p + 8 * p * k) + 8192) as u64,
                    model_bytes: (8 * p * (k + 1) + size_of::<Affine>()) as u64,
                }
            }

            fn n_out(&self, ncols: usize) -> usize {
                self.n_components.unwrap_or(ncols)
            }

            fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
                train.check_magnitudes()?;
                let p = train.x().ncols();
                let k = components_of(Self::KIND, self.n_components, p)?;
                let random = ChaCha8Rng::seed_from_u64(cx.seed_with(self.random_state));
                // linfa reads no rows but their number and width: the rows of the identity say as much, and their images are the map.
                let identity = Array2::<f64>::eye(p);
                let params = $linfa::<f64>::params_with_rng(random).target_dim(k);
                let fitted = params.fit(&DatasetBase::from(identity.view())).map_err(refused(Self::KIND))?;
                let a: Array2<f64> = fitted.transform(&identity);
                let factor: fn(f64, f64) -> f64 = $factor;
                map(Self::KIND, vec![0.0; p], a.view(), factor(p as f64, k as f64))
            }
        }
    };
}

random_projection!(GaussianRandomProjection, Gaussian, |p, k| (p / k).sqrt());
random_projection!(SparseRandomProjection, Sparse, |p, k| 1.0 / (k * p.sqrt()).sqrt());

pub(crate) fn register(registry: &mut Registry) {
    Pca::offer(registry);
    GaussianRandomProjection::offer(registry);
    SparseRandomProjection::offer(registry);
}
