//! Transformers: three affine ones, which pipelines carry as algebra, and one that works row by row.

use std::sync::Arc;

pub use ensemble_core::Norm;
use ensemble_core::{
    Access, Affine, AffineShape, BLOCK_ROWS, Block, Built, COLUMN_MOMENTS, ColumnMoments, EXTREMA, Error,
    ErrorKind, Extrema, FitContext, FitCost, FittedTransform, Kind, MergeTransform, Parameter, Registry,
    Result, RowScaler, Shape, Statistic, StatisticContext, StatisticKey, Statistics, Train, Transformer,
    fit_transform_by_merging, parameter::range, same_type,
};

/// Bytes of a fit from O(p) statistics: states along the tree of blocks, and the map.
pub(crate) fn column_cost(train: Shape) -> FitCost {
    let depth = train.nrows.div_ceil(BLOCK_ROWS).max(1).ilog2() as usize + 2;
    FitCost {
        peak_bytes: (8 * (train.ncols + 1) * (2 * depth + 6)) as u64,
        model_bytes: (16 * train.ncols + size_of::<Affine>()) as u64,
    }
}

macro_rules! affine_transformer {
    ($name:ident, $kind:literal, $statistic:ident, $check:expr) => {
        impl $name {
            const KIND: &'static str = $kind;
        }

        impl Transformer for $name {
            fn kind(&self) -> String {
                Self::KIND.into()
            }

            fn access(&self) -> Access {
                Access::Merge
            }

            fn cost(&self, train: Shape) -> FitCost {
                column_cost(train)
            }

            fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
                train.check_finite()?;
                fit_transform_by_merging(self, train, cx)
            }

            fn as_merge(&self) -> Option<&dyn MergeTransform> {
                Some(self)
            }
        }

        impl MergeTransform for $name {
            fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
                $check(self)?;
                Ok(vec![Box::new($statistic::new(cx.ncols))])
            }

            fn affine_shape(&self) -> Option<AffineShape> {
                Some(AffineShape::Diagonal)
            }

            fn affine_support(&self) -> Option<AffineShape> {
                Some(AffineShape::Diagonal)
            }

            fn fit_from(&self, statistics: &Statistics) -> Result<Arc<dyn FittedTransform>> {
                $check(self)?;
                Ok(Arc::new(self.map(statistics)?))
            }
        }
    };
}

fn column_moments(statistics: &Statistics) -> Result<std::borrow::Cow<'_, ColumnMoments>> {
    let moments = statistics.get::<ColumnMoments>(&COLUMN_MOMENTS)?;
    if moments.nrows() == 0.0 {
        return Err(Error::shape("training rows", 1, 0));
    }
    Ok(moments)
}

/// Shifts every column to mean 0 and scales it to variance 1 (dividing by the number of rows), scikit-learn's
/// `StandardScaler`. A column whose variance is rounding is shifted and left at its scale, by scikit-learn's rule:
/// variance at most n eps variance + (n mean eps)^2, the mean being that of the values as they were absorbed, also behind other
/// scalers. A column whose variance underflows is an error.
///
/// ```
/// use ensemble_native::StandardScaler;
/// assert_eq!(StandardScaler::new().with_mean(true).with_std(true), StandardScaler::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StandardScaler {
    with_mean: bool,
    with_std: bool,
}

impl StandardScaler {
    /// Shifts and scales.
    pub fn new() -> Self {
        Self { with_mean: true, with_std: true }
    }

    /// Whether to shift to mean 0.
    #[must_use]
    pub fn with_mean(mut self, with_mean: bool) -> Self {
        self.with_mean = with_mean;
        self
    }

    /// Whether to scale to variance 1.
    #[must_use]
    pub fn with_std(mut self, with_std: bool) -> Self {
        self.with_std = with_std;
        self
    }

    fn map(&self, statistics: &Statistics) -> Result<Affine> {
        let moments = column_moments(statistics)?;
        let n = moments.nrows();
        let shift = moments.x_mean().iter().map(|m| if self.with_mean { *m } else { 0.0 }).collect();
        let mut scale = vec![1.0; moments.ncols()];
        for (j, scale) in scale.iter_mut().enumerate().filter(|_| self.with_std) {
            if moments.vanishes(j) {
                return Err(ErrorKind::Underflow { table: "training rows".into(), column: j }.into());
            }
            let variance = moments.variance(j);
            let rounding = n * f64::EPSILON * variance + (n * moments.rounding(j)).powi(2);
            if variance > rounding && !moments.is_constant(j) {
                *scale = 1.0 / variance.sqrt();
            }
        }
        Ok(Affine::diagonal(shift, scale))
    }
}

impl Default for StandardScaler {
    fn default() -> Self {
        Self::new()
    }
}

affine_transformer!(StandardScaler, "native.standard_scaler", ColumnMoments, |_: &StandardScaler| Ok::<
    (),
    Error,
>(()));

/// Maps the least and greatest training value of every column to the ends of a range, 0 and 1 by default, scikit-learn's
/// `MinMaxScaler`. A column that does not vary but for rounding is shifted to the lower end.
///
/// ```
/// use ensemble_native::MinMaxScaler;
/// assert_eq!(MinMaxScaler::new().feature_range(0.0, 1.0), MinMaxScaler::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MinMaxScaler {
    min: f64,
    max: f64,
}

impl MinMaxScaler {
    /// To the range 0 to 1.
    pub fn new() -> Self {
        Self { min: 0.0, max: 1.0 }
    }

    /// To the range `min` to `max`.
    #[must_use]
    pub fn feature_range(self, min: f64, max: f64) -> Self {
        Self { min, max }
    }

    fn check(&self) -> Result<()> {
        range(Self::KIND, "feature_range", self.min, self.max)
    }

    fn map(&self, statistics: &Statistics) -> Result<Affine> {
        let extrema = statistics.get::<Extrema>(&EXTREMA)?;
        if extrema.min().iter().zip(extrema.max()).any(|(lo, hi)| lo > hi) {
            return Err(Error::shape("training rows", 1, 0));
        }
        let scale: Vec<f64> = extrema
            .min()
            .iter()
            .zip(extrema.max())
            .enumerate()
            .map(|(j, (lo, hi))| {
                let range = hi - lo;
                let constant = range < 10.0 * f64::EPSILON || extrema.is_constant(j);
                (self.max - self.min) / if constant { 1.0 } else { range }
            })
            .collect();
        let shift = extrema.min().iter().zip(&scale).map(|(lo, s)| lo - self.min / s).collect();
        Ok(Affine::diagonal(shift, scale))
    }
}

impl Default for MinMaxScaler {
    fn default() -> Self {
        Self::new()
    }
}

affine_transformer!(MinMaxScaler, "native.min_max_scaler", Extrema, MinMaxScaler::check);

/// Shifts every column to mean 0: [`StandardScaler`] without the scaling.
///
/// ```
/// # use ensemble_core::*;
/// assert_eq!(ensemble_native::Center::new().affine_shape(), Some(AffineShape::Diagonal));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Center {}

impl Center {
    /// It takes no parameters.
    pub fn new() -> Self {
        Self {}
    }

    fn map(&self, statistics: &Statistics) -> Result<Affine> {
        let moments = column_moments(statistics)?;
        Ok(Affine::diagonal(moments.x_mean().into(), vec![1.0; moments.ncols()]))
    }
}

affine_transformer!(Center, "native.center", ColumnMoments, |_: &Center| Ok::<(), Error>(()));

/// Lengths below it count as zero, as scikit-learn has it.
const LEAST_LENGTH: f64 = 10.0 * f64::EPSILON;

/// Scales every row to length 1, scikit-learn's `Normalizer`; rows of zeros stay. It learns nothing from the rows but their
/// number of columns, and it is not affine, so a learner behind it reads transformed blocks.
///
/// ```
/// # use ensemble_core::*;
/// use ensemble_native::{Norm, Normalizer};
/// assert_eq!(Normalizer::default(), Normalizer::new(Norm::L2));
/// assert_eq!(Normalizer::new(Norm::Max).affine_shape(), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Normalizer {
    norm: Norm,
}

impl Normalizer {
    const KIND: &'static str = "native.normalizer";

    /// Rows are to have length 1 in `norm`.
    pub fn new(norm: Norm) -> Self {
        Self { norm }
    }
}

const WIDTH: StatisticKey = StatisticKey::new("width");

/// The number of columns: all that a transformer without parameters must know.
#[derive(Clone)]
struct Width(usize);

impl Statistic for Width {
    fn key(&self) -> StatisticKey {
        WIDTH
    }

    fn empty(&self) -> Box<dyn Statistic> {
        self.duplicate()
    }

    fn duplicate(&self) -> Box<dyn Statistic> {
        Box::new(self.clone())
    }

    fn absorb(&mut self, block: &Block<'_>) -> Result<()> {
        if block.x.ncols() == self.0 {
            return Ok(());
        }
        Err(Error::shape("columns of a block", self.0, block.x.ncols()))
    }

    fn merge(&mut self, other: &dyn Statistic) -> Result<()> {
        let other = same_type::<Width>(other)?;
        if other.0 == self.0 { Ok(()) } else { Err(Error::shape("columns of merged rows", self.0, other.0)) }
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn is_finite(&self) -> Option<bool> {
        // Nothing is known of the values.
        None
    }
}

impl Transformer for Normalizer {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Merge
    }

    fn cost(&self, _train: Shape) -> FitCost {
        FitCost { peak_bytes: 0, model_bytes: size_of::<RowScaler>() as u64 }
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        train.check_finite()?;
        Ok(Arc::new(RowScaler::new(self.norm, train.x().ncols(), LEAST_LENGTH)))
    }

    fn as_merge(&self) -> Option<&dyn MergeTransform> {
        Some(self)
    }
}

impl MergeTransform for Normalizer {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(vec![Box::new(Width(cx.ncols))])
    }

    fn affine_shape(&self) -> Option<AffineShape> {
        None
    }

    fn affine_support(&self) -> Option<AffineShape> {
        None
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Arc<dyn FittedTransform>> {
        let width = statistics.get::<Width>(&WIDTH)?;
        Ok(Arc::new(RowScaler::new(self.norm, width.0, LEAST_LENGTH)))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: StandardScaler::KIND,
        backend: crate::BACKEND,
        parameters: const {
            &[
                Parameter::new("with_mean", "true", "shift to mean 0"),
                Parameter::new("with_std", "true", "scale to variance 1"),
            ]
        },
        build: |params| {
            let (with_mean, with_std) = (params.flag("with_mean", true)?, params.flag("with_std", true)?);
            Ok(Built::Transformer(Arc::new(StandardScaler { with_mean, with_std })))
        },
    });
    registry.add_kind(Kind {
        name: MinMaxScaler::KIND,
        backend: crate::BACKEND,
        parameters: const {
            &[
                Parameter::new("feature_range_min", "0", "where the least value goes"),
                Parameter::new("feature_range_max", "1", "where the greatest value goes"),
            ]
        },
        build: |params| {
            let scaler = MinMaxScaler {
                min: params.number("feature_range_min", 0.0)?,
                max: params.number("feature_range_max", 1.0)?,
            };
            scaler.check()?;
            Ok(Built::Transformer(Arc::new(scaler)))
        },
    });
    registry.add_kind(Kind {
        name: Center::KIND,
        backend: crate::BACKEND,
        parameters: &[],
        build: |_| Ok(Built::Transformer(Arc::new(Center::new()))),
    });
    registry.add_kind(Kind {
        name: Normalizer::KIND,
        backend: crate::BACKEND,
        parameters: const { &[Parameter::new("norm", "l2", "the length made 1: l1, l2 or max")] },
        build: |params| {
            let norm = Norm::from_name(params.kind(), params.word("norm", "l2"))?;
            Ok(Built::Transformer(Arc::new(Normalizer::new(norm))))
        },
    });
}
