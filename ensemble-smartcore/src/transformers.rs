//! Transformers. All of smartcore's are affine once fitted, so pipelines carry them as algebra where they can.

use std::sync::Arc;

use ensemble_core::{
    Access, Affine, Built, COLUMN_MOMENTS, ColumnMoments, Error, ErrorKind, FitContext, FitCost,
    FittedTransform, Kind, Noise, Parameter, Params, PresentClasses, Registry, Result, Shape, Train,
    Transformer,
    parameter::{MOST_COMPONENTS, from_to},
    statistics_of,
};
use smartcore::{
    api::UnsupervisedEstimator,
    decomposition::{
        lda::{LDA, LDAParameters},
        pca::{PCA, PCAParameters},
        svd::{SVD, SVDParameters},
    },
    linalg::basic::arrays::{Array, ArrayView2},
    preprocessing::numerical,
};

use crate::{
    SharedMatrix,
    backend::{BACKEND, DIGITS_LOST, call, check_finite, codes},
};

/// The values of a matrix, row by row.
fn values(m: &SharedMatrix) -> Vec<f64> {
    m.iterator(0).copied().collect()
}

fn model_bytes(ncols: u64, n_out: u64) -> u64 {
    8 * (ncols + ncols * n_out) + size_of::<Affine>() as u64
}

/// A map by a matrix of `n_out` columns.
fn project(
    kind: &str,
    shift: Vec<f64>,
    projection: Vec<f64>,
    n_out: usize,
) -> Result<Arc<dyn FittedTransform>> {
    check_finite(kind, "a component", &projection)?;
    Ok(Arc::new(Affine::general(shift, projection, n_out)?))
}

/// Shifts every column to mean 0 and scales it to variance 1 by what smartcore's `StandardScaler` learns, which scikit-learn's does.
///
/// Reads the rows where they lie and copies nothing.
///
/// Faults of smartcore 0.7.0 handled here: it divides a constant column by the least float64 (scale 1 here, as scikit-learn, also for a column that varies by
/// rounding alone); its
/// variances cancel for columns far from 0 (an error here); `with_mean` and `with_std` cannot be set (they can here).
///
/// ```
/// use ensemble_smartcore::StandardScaler;
/// assert_eq!(StandardScaler::new().with_mean(true).with_std(true), StandardScaler::default());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StandardScaler {
    with_mean: bool,
    with_std: bool,
}

impl StandardScaler {
    const KIND: &'static str = "smartcore.standard_scaler";

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
}

impl Default for StandardScaler {
    fn default() -> Self {
        Self::new()
    }
}

/// What smartcore's scaler has learned; its fields are private, its serde form is not. One that is new, gone or of another name is
/// an error.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    means: Vec<f64>,
    stds: Vec<f64>,
    #[serde(rename = "parameters")]
    _parameters: serde::de::IgnoredAny,
    #[serde(rename = "_phantom")]
    _phantom: serde::de::IgnoredAny,
}

impl Transformer for StandardScaler {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        let p = train.ncols as u64;
        FitCost { peak_bytes: 400 * p + 4096, model_bytes: 16 * p + size_of::<Affine>() as u64 }
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        train.check_magnitudes()?;
        let Learned { means, stds, .. } = call(Self::KIND, train.x(), |x| {
            let parameters = numerical::StandardScalerParameters::default();
            let fitted = <numerical::StandardScaler<f64> as UnsupervisedEstimator<SharedMatrix, _>>::fit(
                x, parameters,
            )?;
            let odd = |e: serde_json::Error| smartcore::error::Failed::fit(&e.to_string());
            // A variance that cancelled below 0 has a NaN for a root, which is null there.
            let text = serde_json::to_string(&fitted).map_err(odd)?.replace("null", "0.0");
            serde_json::from_str(&text).map_err(odd)
        })?;
        if means.len() != train.shape().ncols || stds.len() != means.len() {
            return Err(Error::unsupported(format!("{}: smartcore's scales cannot be read", Self::KIND)));
        }
        check_finite(Self::KIND, "a mean", &means)?;
        let mut scale = vec![1.0; means.len()];
        if self.with_std {
            for (column, slot) in scale.iter_mut().enumerate() {
                let (mean, std) = (means[column], stds[column]);
                if std * std > DIGITS_LOST * mean * mean {
                    *slot = 1.0 / std;
                } else if !is_rounding(train, column) {
                    return Err(Error::unsupported(format!(
                        "{}: column {column} (from 0) varies too little about its mean {mean} for smartcore's formula; use \
                         native.standard_scaler, or put native.center before",
                        Self::KIND
                    )));
                }
            }
        }
        check_finite(Self::KIND, "a scale", &scale)?;
        let shift = if self.with_mean { means } else { vec![0.0; means.len()] };
        Ok(Arc::new(Affine::diagonal(shift, scale)))
    }
}

fn values_of<'a>(train: &'a Train<'_>, column: usize) -> impl Iterator<Item = f64> + 'a {
    train.x().segments().flat_map(move |s| (0..s.nrows()).map(move |r| s.get(r, column)))
}

fn is_constant(train: &Train<'_>, column: usize) -> bool {
    let mut values = values_of(train, column);
    values.next().is_none_or(|first| values.all(|v| v == first))
}

/// Whether a column varies by the rounding of its values alone, where smartcore's own variance has no digits: two passes.
fn is_rounding(train: &Train<'_>, column: usize) -> bool {
    let n = train.shape().nrows as f64;
    let Some(first) = values_of(train, column).next() else { return true };
    // About the first value, so that no digit is lost to the mean.
    let mean = values_of(train, column).map(|v| v - first).sum::<f64>() / n;
    let squares: f64 = values_of(train, column).map(|v| (v - first - mean).powi(2)).sum();
    if squares < f64::MIN_POSITIVE / f64::EPSILON {
        return is_constant(train, column);
    }
    Noise::rounding([first + mean]).is_constant(0, squares, n)
}

/// That squares of what columns vary by are numbers: smartcore looks for eigenvalues of zeros without an end of its own. One pass.
fn check_squares(train: &Train<'_>) -> Result<()> {
    let ncols = train.shape().ncols;
    let statistics = statistics_of(train, &[Box::new(ColumnMoments::new(ncols))])?;
    let moments = statistics.get::<ColumnMoments>(&COLUMN_MOMENTS)?;
    match (0..ncols).find(|column| moments.vanishes(*column)) {
        Some(column) => Err(ErrorKind::Underflow { table: "training rows".into(), column }.into()),
        None => Ok(()),
    }
}

/// Projects rows on their principal components by smartcore's `PCA`.
///
/// smartcore centres a copy of the rows and decomposes another one: twice the rows' bytes, once with the correlation matrix or for
/// up to as many rows as columns: the declared cost.
///
/// Faults of smartcore 0.7.0 handled here: with the correlation matrix a constant column panics, and so do columns whose squares
/// underflow (errors here).
///
/// ```
/// use ensemble_core::Transformer;
/// use ensemble_smartcore::Pca;
/// assert_eq!(Pca::new().n_components(2).n_out(10), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pca {
    n_components: Option<usize>,
    use_correlation_matrix: bool,
}

impl Pca {
    const KIND: &'static str = "smartcore.pca";

    /// All components.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many components to keep; `None` for all.
    #[must_use]
    pub fn n_components(mut self, n_components: impl Into<Option<usize>>) -> Self {
        self.n_components = n_components.into();
        self
    }

    /// Whether columns are scaled to variance 1 first.
    #[must_use]
    pub fn use_correlation_matrix(mut self, use_correlation_matrix: bool) -> Self {
        self.use_correlation_matrix = use_correlation_matrix;
        self
    }

    fn check(&self) -> Result<()> {
        self.n_components.map_or(Ok(()), |k| from_to(Self::KIND, "n_components", k, 1, MOST_COMPONENTS))
    }
}

/// That no more than `most` components are asked for.
fn check_components(kind: &str, n_components: usize, most: usize, why: &str) -> Result<()> {
    if (1..=most).contains(&n_components) {
        return Ok(());
    }
    Err(Error::parameter(
        kind,
        "n_components",
        n_components,
        format!("a whole number from 1 to {most}: {why}"),
    ))
}

impl Transformer for Pca {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn check_shape(&self, train: Shape) -> Result<()> {
        self.check()?;
        check_components(Self::KIND, self.n_out(train.ncols), train.ncols, "the number of columns")
    }

    fn cost(&self, train: Shape) -> FitCost {
        let (n, p) = (train.nrows as u64, train.ncols as u64);
        let copies = if self.use_correlation_matrix || n <= p { 1 } else { 2 };
        let model_bytes = model_bytes(p, self.n_out(train.ncols) as u64);
        FitCost { peak_bytes: copies * 8 * n * p + 16 * n + 8 * 8 * p * p + 128 * p + 4096, model_bytes }
    }

    fn n_out(&self, ncols: usize) -> usize {
        self.n_components.unwrap_or(ncols)
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        self.check_shape(train.shape())?;
        train.check_magnitudes()?;
        let k = self.n_out(train.shape().ncols);
        if self.use_correlation_matrix
            && let Some(column) = (0..train.shape().ncols).find(|c| is_constant(train, *c))
        {
            return Err(Error::unsupported(format!(
                "{}: column {column} (from 0) is constant, and has no correlation with others; drop it, or use \
                 use_correlation_matrix=false",
                Self::KIND
            )));
        }
        check_squares(train)?;
        let parameters = PCAParameters::default()
            .with_n_components(k)
            .with_use_correlation_matrix(self.use_correlation_matrix);
        let (means, projection) = call(Self::KIND, train.x(), |x| {
            let fitted = PCA::<f64, SharedMatrix>::fit(x, parameters)?;
            Ok((x.mean_by(0), values(fitted.components())))
        })?;
        project(Self::KIND, means, projection, k)
    }
}

/// Projects rows, uncentred, on their leading right singular vectors by smartcore's `SVD`: scikit-learn's `TruncatedSVD`.
///
/// smartcore decomposes a copy of the rows: the declared cost.
///
/// Faults of smartcore 0.7.0 handled here: fewer rows than columns are decomposed wrongly (an error here).
///
/// ```
/// use ensemble_core::Transformer;
/// use ensemble_smartcore::Svd;
/// assert_eq!((Svd::new(), 2), (Svd::default(), Svd::new().n_out(10)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Svd {
    n_components: usize,
}

impl Svd {
    const KIND: &'static str = "smartcore.svd";

    /// Two components.
    pub fn new() -> Self {
        Self { n_components: 2 }
    }

    /// How many components to keep: fewer than there are columns.
    #[must_use]
    pub fn n_components(mut self, n_components: usize) -> Self {
        self.n_components = n_components;
        self
    }
}

impl Default for Svd {
    fn default() -> Self {
        Self::new()
    }
}

impl Transformer for Svd {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn check_shape(&self, Shape { nrows, ncols }: Shape) -> Result<()> {
        check_components(Self::KIND, self.n_components, ncols.saturating_sub(1), "fewer than columns")?;
        if nrows >= ncols {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "{}: {nrows} rows and {ncols} columns; smartcore decomposes no matrix with fewer rows than columns",
            Self::KIND
        )))
    }

    fn cost(&self, train: Shape) -> FitCost {
        let (n, p) = (train.nrows as u64, train.ncols as u64);
        let model_bytes = model_bytes(p, self.n_components as u64);
        FitCost { peak_bytes: 8 * n * p + 16 * n + 8 * 4 * p * p + 128 * p + 4096, model_bytes }
    }

    fn n_out(&self, _ncols: usize) -> usize {
        self.n_components
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        self.check_shape(train.shape())?;
        train.check_magnitudes()?;
        let ncols = train.shape().ncols;
        let parameters = SVDParameters::default().with_n_components(self.n_components);
        let projection = call(Self::KIND, train.x(), |x| {
            Ok(values(SVD::<f64, SharedMatrix>::fit(x, parameters)?.components()))
        })?;
        project(Self::KIND, vec![0.0; ncols], projection, self.n_components)
    }
}

/// Projects rows on the directions that part the classes best by smartcore's `LDA`. Learns from the target, whose values are classes.
///
/// Reads the rows where they lie: 16 bytes a row of class numbers.
///
/// Faults of smartcore 0.7.0 handled here: it calls the scatter within classes singular when its eigenvalues are a factor of 10,000
/// apart, which columns of different units make of any data (the error says to scale them first).
///
/// ```
/// use ensemble_core::Transformer;
/// use ensemble_smartcore::Lda;
/// assert_eq!((Lda::new(), 1), (Lda::default(), Lda::new().n_out(10)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lda {
    n_components: usize,
}

impl Lda {
    const KIND: &'static str = "smartcore.lda";

    /// One direction. (scikit-learn's default, one fewer than classes, would let the number of columns depend on the fold.)
    pub fn new() -> Self {
        Self { n_components: 1 }
    }

    /// How many directions to keep: fewer than there are classes.
    #[must_use]
    pub fn n_components(mut self, n_components: usize) -> Self {
        self.n_components = n_components;
        self
    }
}

impl Default for Lda {
    fn default() -> Self {
        Self::new()
    }
}

impl Transformer for Lda {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn check_shape(&self, train: Shape) -> Result<()> {
        check_components(Self::KIND, self.n_components, train.ncols, "the number of columns")
    }

    fn cost(&self, train: Shape) -> FitCost {
        let (n, p) = (train.nrows as u64, train.ncols as u64);
        let model_bytes = model_bytes(p, self.n_components as u64);
        FitCost { peak_bytes: 16 * n + 8 * 14 * p * p + 8 * 16 * p + 4096, model_bytes }
    }

    fn n_out(&self, _ncols: usize) -> usize {
        self.n_components
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        self.check_shape(train.shape())?;
        train.check_magnitudes()?;
        let (present, _) = PresentClasses::of(train, cx)?;
        let codes = codes(train, &present);
        let ncols = train.shape().ncols;
        let most = (present.len() - 1).min(ncols);
        check_components(Self::KIND, self.n_components, most, "fewer than classes among the training rows")?;
        let parameters = LDAParameters::default().with_n_components(self.n_components);
        let projection = call(Self::KIND, train.x(), |x| {
            LDA::<f64, SharedMatrix>::fit(x, &codes, parameters).map(|lda| values(lda.scalings()))
        });
        let projection = projection.map_err(|e| {
            let text = e.to_string();
            if text.contains("singular") {
                Error::unsupported(format!(
                    "{text}; smartcore says so too of columns in different units: bring them to one scale first"
                ))
            } else {
                e
            }
        })?;
        project(Self::KIND, vec![0.0; ncols], projection, self.n_components)
    }
}

fn components(params: &Params, default: usize) -> Result<usize> {
    let n_components = params.count("n_components", default)?;
    from_to(params.kind(), "n_components", n_components, 1, MOST_COMPONENTS)?;
    Ok(n_components)
}

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: StandardScaler::KIND,
        backend: BACKEND,
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
        name: Pca::KIND,
        backend: BACKEND,
        parameters: const {
            &[
                Parameter::new("n_components", "none", "how many components to keep; none for all"),
                Parameter::new("use_correlation_matrix", "false", "scale columns to variance 1 first"),
            ]
        },
        build: |params| {
            let pca = Pca {
                n_components: params.count_or_none("n_components", None)?,
                use_correlation_matrix: params.flag("use_correlation_matrix", false)?,
            };
            pca.check()?;
            Ok(Built::Transformer(Arc::new(pca)))
        },
    });
    registry.add_kind(Kind {
        name: Svd::KIND,
        backend: BACKEND,
        parameters: const { &[Parameter::new("n_components", "2", "how many components to keep")] },
        build: |params| Ok(Built::Transformer(Arc::new(Svd { n_components: components(params, 2)? }))),
    });
    registry.add_kind(Kind {
        name: Lda::KIND,
        backend: BACKEND,
        parameters: const { &[Parameter::new("n_components", "1", "how many directions to keep")] },
        build: |params| Ok(Built::Transformer(Arc::new(Lda { n_components: components(params, 1)? }))),
    });
}
