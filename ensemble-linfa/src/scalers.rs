//! Scalers and whitening: fitted by linfa on the view, carried on as core's affine maps.

use std::sync::Arc;

pub use ensemble_core::Norm;
use ensemble_core::{
    Access, Affine, Error, FitContext, FitCost, FittedTransform, Noise, Registry, Result, RowScaler, Shape,
    Train, Transformer, parameter::range,
};
use linfa::{DatasetBase, traits::Fit};
use linfa_preprocessing::{
    linear_scaling::{LinearScaler, LinearScalerParams, ScalingMethod},
    whitening::Whitener as LinfaWhitener,
};
use ndarray::ArrayView2;

use crate::{
    parameters::{parameters, words},
    rank::{dependent_column, rank_bytes},
    view::{finite, refused, training_views},
};

parameters! {
    /// Shifts every column to mean 0 and scales it to variance 1, by linfa: scikit-learn's `StandardScaler`. A column that varies
    /// by the rounding of its values alone is left at its scale, by scikit-learn's rule.
    ///
    /// Without the mean, linfa scales about the mean and adds it again; here, as in scikit-learn, nothing is shifted. It adds up the
    /// rows as they lie in memory, so that tables in C and in Fortran order differ in last bits.
    StandardScaler: Transformer = "linfa.standard_scaler", "linfa-preprocessing 0.8.1" {
        with_mean "with_mean" []: bool = true, "true", "shift to mean 0";
        with_std "with_std" []: bool = true, "true", "scale to variance 1";
    }
}

parameters! {
    /// Maps the least and greatest training value of every column to the ends of a range, by linfa: scikit-learn's
    /// `MinMaxScaler`.
    MinMaxScaler: Transformer = "linfa.min_max_scaler", "linfa-preprocessing 0.8.1" {
        feature_range_min "feature_range_min" ["min"]: f64 = 0.0, "0", "where the least value goes";
        feature_range_max "feature_range_max" ["max"]: f64 = 1.0, "1", "where the greatest value goes";
    }
}

parameters! {
    /// Divides every column by its greatest absolute training value, by linfa: scikit-learn's `MaxAbsScaler`.
    MaxAbsScaler: Transformer = "linfa.max_abs_scaler", "linfa-preprocessing 0.8.1" {}
}

parameters! {
    /// Scales every row to length 1: linfa's `NormScaler`, scikit-learn's `Normalizer`.
    ///
    /// linfa-preprocessing 0.8.1 takes whole owned matrices and makes NaN of a row of zeros (`norm_scaling.rs:68`); here rows are
    /// mapped one by one, to linfa's values, and a row of zeros stays.
    NormScaler: Transformer = "linfa.norm_scaler", "linfa-preprocessing 0.8.1" {
        norm "norm" []: Norm = Norm::L2, "l2", "the length made 1: l1, l2 or max";
    }
}

words! {
    /// Which of the maps to uncorrelated columns.
    Whitening {
        /// To principal axes.
        Pca = "pca",
        /// Nearest to the columns themselves.
        Zca = "zca",
        /// Triangular.
        Cholesky = "cholesky",
    }
}

parameters! {
    /// Maps rows to uncorrelated columns of mean 0 and variance 1, by linfa.
    ///
    /// linfa copies the rows inside its fit, twice for `pca`, which `cost` declares. Faults of linfa-preprocessing 0.8.1 handled
    /// here: rows that are too few, or columns that others determine, give infinite or arbitrary factors, or a decomposition that
    /// does not return; both are refused. It adds up the rows as they lie in memory, so that tables in C and in Fortran order differ
    /// in last bits.
    Whitener: Transformer = "linfa.whitener", "linfa-preprocessing 0.8.1" {
        method "method" []: Whitening = Whitening::Pca, "pca", "pca, zca or cholesky";
    }
}

/// What linfa's fitted scaler is, as shifts and factors.
fn fit_linear(
    kind: &str,
    params: &LinearScalerParams<f64>,
    train: &Train<'_>,
) -> Result<Arc<dyn FittedTransform>> {
    let (x, y) = training_views(train)?;
    let fitted: LinearScaler<f64> = params.fit(&DatasetBase::new(x, y)).map_err(refused(kind))?;
    let (mut shift, mut scale): (Vec<f64>, Vec<f64>) =
        (fitted.offsets().iter().copied().collect(), fitted.scales().iter().copied().collect());
    match fitted.method() {
        ScalingMethod::Standard(with_mean, _) => {
            // linfa leaves a deviation below 2.2e-16 alone, whatever the mean: scikit-learn's rule is n roundings of it.
            let n = x.nrows() as f64;
            for (scale, mean) in scale.iter_mut().zip(&shift) {
                let variance = 1.0 / (*scale * *scale);
                if variance <= n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2)
                    || Noise::rounding([*mean]).is_constant(0, n * variance, n)
                {
                    *scale = 1.0;
                }
            }
            if !with_mean {
                shift.fill(0.0);
            }
        }
        ScalingMethod::MaxAbs => {}
        ScalingMethod::MinMax(lo, hi) => {
            for (shift, scale) in shift.iter_mut().zip(&mut scale) {
                let (least, range) = (*shift, 1.0 / *scale);
                let noise = Noise::rounding([least.abs().max((least + range).abs())]);
                if noise.is_constant_range(0, range) {
                    *scale = 1.0;
                }
                *scale *= hi - lo;
                *shift -= lo / *scale;
            }
        }
    }
    finite(kind, "factors", shift.iter().chain(&scale))?;
    Ok(Arc::new(Affine::diagonal(shift, scale)))
}

/// A few vectors of one value a column.
fn linear_cost(train: Shape) -> FitCost {
    FitCost {
        peak_bytes: (96 * train.ncols + 4096) as u64,
        model_bytes: (16 * train.ncols + size_of::<Affine>()) as u64,
    }
}

macro_rules! linear_scaler {
    ($name:ident, $params:expr) => {
        impl Transformer for $name {
            fn kind(&self) -> String {
                Self::KIND.into()
            }

            fn access(&self) -> Access {
                Access::Contiguous(None)
            }

            fn cost(&self, train: Shape) -> FitCost {
                linear_cost(train)
            }

            fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
                self.check()?;
                let params: fn(&Self) -> ScalingMethod<f64> = $params;
                fit_linear(Self::KIND, &LinearScalerParams::new(params(self)), train)
            }
        }
    };
}

linear_scaler!(StandardScaler, |own| ScalingMethod::Standard(own.with_mean, own.with_std));
linear_scaler!(MinMaxScaler, |own| ScalingMethod::MinMax(own.feature_range_min, own.feature_range_max));
linear_scaler!(MaxAbsScaler, |_| ScalingMethod::MaxAbs);

impl StandardScaler {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl MaxAbsScaler {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl MinMaxScaler {
    fn check(&self) -> Result<()> {
        range(Self::KIND, "feature_range", self.feature_range_min, self.feature_range_max)
    }
}

/// No length is zero but zero itself.
const LEAST_LENGTH: f64 = 5e-324;

impl NormScaler {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl Transformer for NormScaler {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, _train: Shape) -> FitCost {
        FitCost { peak_bytes: 0, model_bytes: size_of::<RowScaler>() as u64 }
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        train.check_finite()?;
        Ok(Arc::new(RowScaler::new(self.norm, train.x().ncols(), LEAST_LENGTH)))
    }
}

impl Whitener {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl Transformer for Whitener {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Contiguous(None)
    }

    fn cost(&self, train: Shape) -> FitCost {
        let Shape { nrows: n, ncols: p } = train;
        let copies = if self.method == Whitening::Pca { 2 } else { 1 };
        let inside =
            8 * (copies * n * p + 8 * p * p) + if self.method == Whitening::Pca { 16 * n } else { 0 };
        FitCost {
            // Products are packed into panels as they are made.
            peak_bytes: (inside.max(rank_bytes(n, p)) + (100 << 10)) as u64,
            model_bytes: (8 * p * (p + 1) + size_of::<Affine>()) as u64,
        }
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        let (x, y) = training_views(train)?;
        if let Some(column) = dependent_column(train.contiguous_x()?, train.contiguous_y()?, true)? {
            return Err(Error::unsupported(format!(
                "{}: column {column} is constant or a combination of columns before it, and no map makes it \
                 uncorrelated with them; drop it",
                Self::KIND
            )));
        }
        let params = match self.method {
            Whitening::Pca => LinfaWhitener::pca(),
            Whitening::Zca => LinfaWhitener::zca(),
            Whitening::Cholesky => LinfaWhitener::cholesky(),
        };
        let fitted = params.fit(&DatasetBase::new(x, y)).map_err(refused(Self::KIND))?;
        projection(Self::KIND, fitted.mean().iter().copied().collect(), fitted.transformation_matrix())
    }
}

/// x -> W (x - shift), W with one row per column that comes out.
pub(crate) fn projection(
    kind: &str,
    shift: Vec<f64>,
    w: ArrayView2<'_, f64>,
) -> Result<Arc<dyn FittedTransform>> {
    let n_out = w.nrows();
    let a: Vec<f64> = w.t().iter().copied().collect();
    finite(kind, "factors", shift.iter().chain(&a))?;
    Ok(Arc::new(Affine::general(shift, a, n_out)?))
}

pub(crate) fn register(registry: &mut Registry) {
    StandardScaler::offer(registry);
    MinMaxScaler::offer(registry);
    MaxAbsScaler::offer(registry);
    NormScaler::offer(registry);
    Whitener::offer(registry);
}
