//! Gaussian naive Bayes: a classifier whose fits merge.

use std::sync::Arc;

use ensemble_core::{
    Access, Affine, AffineShape, BLOCK_ROWS, Block, Built, ColumnMoments, Error, ErrorKind, Estimator,
    FitContext, FitCost, Fitted, Kind, Loaded, MatMut, MatRef, MergeFit, Model, Order, Parameter, Predicts,
    Record, Registry, Result, Shape, Statistic, StatisticContext, StatisticKey, Statistics, Train,
    check_predicted, check_prediction, fit_by_merging, parameter::not_negative, same_type,
};

const CLASS_MOMENTS: StatisticKey = StatisticKey::new("class_moments");

/// Column moments of the rows of each class. O(p) values a class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClassMoments {
    ncols: usize,
    n_classes: usize,
    /// None before the first row.
    classes: Vec<ColumnMoments>,
}

impl ClassMoments {
    fn new(ncols: usize, n_classes: usize) -> Self {
        Self { ncols, n_classes, classes: Vec::new() }
    }
}

impl Statistic for ClassMoments {
    fn key(&self) -> StatisticKey {
        CLASS_MOMENTS
    }

    fn empty(&self) -> Box<dyn Statistic> {
        Box::new(Self::new(self.ncols, self.n_classes))
    }

    fn duplicate(&self) -> Box<dyn Statistic> {
        Box::new(self.clone())
    }

    fn absorb(&mut self, block: &Block<'_>) -> Result<()> {
        let (n, p) = (block.x.nrows(), block.x.ncols());
        if p != self.ncols {
            return Err(Error::shape("columns of a block", self.ncols, p));
        }
        if self.classes.is_empty() {
            self.classes = vec![ColumnMoments::new(p); self.n_classes];
        }
        let mut rows = vec![0.0; n * p];
        for (class, moments) in self.classes.iter_mut().enumerate() {
            // Rows of one class side by side, a block of them in cache.
            let mut len = 0;
            for (row, _) in block.y.iter().enumerate().filter(|(_, y)| **y == class as f64) {
                block.x.copy_row_into(row, &mut rows[len * p..(len + 1) * p]);
                len += 1;
            }
            let y = &block.y[..len];
            let x = MatRef::new(&rows[..len * p], len, p, Order::C)?;
            moments.absorb(&Block { x, y, first_row: block.first_row })?;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Statistic) -> Result<()> {
        let other = same_type::<Self>(other)?;
        if other.n_classes != self.n_classes {
            return Err(Error::shape("classes of merged moments", self.n_classes, other.n_classes));
        }
        if other.ncols != self.ncols {
            return Err(Error::shape("columns of merged moments", self.ncols, other.ncols));
        }
        if self.classes.is_empty() {
            self.clone_from(other);
            return Ok(());
        }
        self.classes.iter_mut().zip(&other.classes).try_for_each(|(a, b)| a.merge(b))
    }

    fn resized(&self, cx: &StatisticContext) -> Result<Box<dyn Statistic>> {
        Ok(Box::new(Self::new(cx.ncols, self.n_classes)))
    }

    fn bytes(&self) -> u64 {
        let one = (self.ncols as u64 + 1).saturating_mul(16) + size_of::<ColumnMoments>() as u64;
        one.saturating_mul(self.n_classes as u64)
    }

    fn is_finite(&self) -> Option<bool> {
        Some(self.classes.iter().all(|m| m.is_finite() == Some(true)))
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::Diagonal)
    }

    fn affine(&self, map: &Affine) -> Result<Box<dyn Statistic>> {
        let carried = |m: &ColumnMoments| Ok(same_type::<ColumnMoments>(m.affine(map)?.as_ref())?.clone());
        Ok(Box::new(Self { classes: self.classes.iter().map(carried).collect::<Result<_>>()?, ..*self }))
    }
}

/// Probabilities of classes whose columns are independent and normal within each: scikit-learn's `GaussianNB`.
///
/// Zhang, "The optimality of naive Bayes", FLAIRS 2004. Fitted from every class's counts, means and variances, so K + 1 fits
/// share one pass: O(k p) values for k classes. A class that a fold lacks has probability 0 there.
///
/// ```
/// # use ensemble_core::*;
/// assert_eq!(ensemble_native::GaussianNb::new().predicts(), Predicts::Probabilities);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianNb {
    var_smoothing: f64,
}

impl Default for GaussianNb {
    fn default() -> Self {
        Self { var_smoothing: 1e-9 }
    }
}

impl GaussianNb {
    const KIND: &'static str = "native.gaussian_nb";

    /// Variances smoothed by 1e-9 of the greatest.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this share of the greatest column's variance added to all variances.
    #[must_use]
    pub fn var_smoothing(self, var_smoothing: f64) -> Self {
        Self { var_smoothing }
    }

    fn check(&self) -> Result<()> {
        not_negative(Self::KIND, "var_smoothing", self.var_smoothing)
    }
}

impl Estimator for GaussianNb {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Merge
    }

    fn predicts(&self) -> Predicts {
        Predicts::Probabilities
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.cost_with_classes(train, 2)
    }

    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        let (p, k) = (train.ncols, n_classes);
        let state = k * (16 * (p + 1) + size_of::<ColumnMoments>());
        // States along the tree of blocks, and the block of one class's rows beside a block that spans two runs.
        let states = train.nrows.div_ceil(BLOCK_ROWS).max(1).ilog2() as usize + 3;
        let blocks = 2 * BLOCK_ROWS.min(train.nrows) * 8 * (p + 1);
        let model_bytes = 8 * k * (2 * p + 1) + size_of::<GaussianNbModel>();
        FitCost {
            peak_bytes: (states * state + blocks + model_bytes) as u64,
            model_bytes: model_bytes as u64,
        }
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        train.check_finite()?;
        ensemble_core::class_counts(train, cx)?;
        fit_by_merging(self, train, cx)
    }

    fn as_merge(&self) -> Option<&dyn MergeFit> {
        Some(self)
    }
}

impl MergeFit for GaussianNb {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        self.check()?;
        let n_classes = cx.n_classes.ok_or_else(|| {
            Error::from(ErrorKind::Classes { reason: format!("{} needs their number", Self::KIND) })
        })?;
        Ok(vec![Box::new(ClassMoments::new(cx.ncols, n_classes))])
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::Diagonal)
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        let classes = &statistics.get::<ClassMoments>(&CLASS_MOMENTS)?.classes;
        let Some((first, others)) = classes.split_first() else {
            return Err(Error::shape("training rows", 1, 0));
        };
        let mut all = first.clone();
        others.iter().try_for_each(|m| all.merge(m))?;
        if all.nrows() == 0.0 {
            return Err(Error::shape("training rows", 1, 0));
        }
        let p = all.ncols();
        let added = self.var_smoothing * (0..p).map(|j| all.variance(j)).fold(0.0, f64::max);
        // What is added outweighs variances that underflow, unless all do.
        if added < f64::MIN_POSITIVE / f64::EPSILON
            && let Some(column) = (0..p).find(|j| all.vanishes(*j))
        {
            return Err(ErrorKind::Underflow { table: "training rows".into(), column }.into());
        }
        let values = || Vec::with_capacity(classes.len() * p);
        let mut model = GaussianNbModel {
            ncols: p,
            prior: Vec::with_capacity(classes.len()),
            mean: values(),
            variance: values(),
        };
        for moments in classes {
            model.prior.push(moments.nrows() / all.nrows());
            model.mean.extend_from_slice(moments.x_mean());
            model.variance.extend((0..p).map(|j| moments.variance(j) + added));
        }
        if model.variance.iter().zip(0..).any(|(v, i)| *v <= 0.0 && model.prior[i / p] > 0.0) {
            return Err(Error::unsupported(
                "a column does not vary within a class; raise var_smoothing, or leave the column out",
            ));
        }
        Ok(Fitted::Model(Arc::new(model)))
    }
}

/// Fitted Gaussian naive Bayes.
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianNbModel {
    ncols: usize,
    /// Share of the training rows, by class.
    prior: Vec<f64>,
    /// Classes x columns.
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl GaussianNbModel {
    const RECORD: &'static str = "native.gaussian_nb";

    fn from_record(record: &Record) -> Result<Self> {
        let array = |name| -> Result<Vec<f64>> { Ok(record.array(name)?.data.clone()) };
        let model = Self {
            ncols: record.count("columns")?,
            prior: array("prior")?,
            mean: array("mean")?,
            variance: array("variance")?,
        };
        let values = model.prior.len() * model.ncols;
        if model.mean.len() != values || model.variance.len() != values {
            return Err(Error::shape("values of a saved naive Bayes model", values, model.mean.len()));
        }
        Ok(model)
    }
}

impl Model for GaussianNbModel {
    fn n_inputs(&self) -> usize {
        self.ncols
    }

    fn n_outputs(&self) -> usize {
        self.prior.len()
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        let (p, k) = (self.ncols, self.prior.len());
        // What does not depend on the row: logarithms of the prior and of the densities' heights.
        let heights: Vec<f64> = (0..k)
            .map(|c| {
                let logs: f64 =
                    self.variance[c * p..][..p].iter().map(|v| (std::f64::consts::TAU * v).ln()).sum();
                if self.prior[c] > 0.0 { self.prior[c].ln() - 0.5 * logs } else { f64::NEG_INFINITY }
            })
            .collect();
        let (mut row_values, mut logs) = (vec![0.0; p], vec![0.0; k]);
        for row in 0..x.nrows() {
            x.copy_row_into(row, &mut row_values);
            for (c, log) in logs.iter_mut().enumerate() {
                let columns = self.mean[c * p..][..p].iter().zip(&self.variance[c * p..][..p]);
                let distance: f64 =
                    row_values.iter().zip(columns).map(|(x, (m, v))| (x - m) * (x - m) / v).sum();
                *log = if self.prior[c] > 0.0 { heights[c] - 0.5 * distance } else { f64::NEG_INFINITY };
            }
            let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = logs.iter().map(|l| (l - most).exp()).sum();
            for (c, log) in logs.iter().enumerate() {
                out.set(row, c, (log - most).exp() / total);
            }
        }
        // Of rows so far away that every density vanishes, nothing is known.
        check_predicted(out.as_ref())
    }

    fn bytes(&self) -> u64 {
        ((self.prior.len() + self.mean.len() + self.variance.len()) * 8 + size_of::<Self>()) as u64
    }

    fn to_record(&self) -> Result<Record> {
        let (k, p) = (self.prior.len(), self.ncols);
        Ok(Record::new(Self::RECORD)
            .with_field("columns", p)
            .with_array("prior", &[k], self.prior.clone())
            .with_array("mean", &[k, p], self.mean.clone())
            .with_array("variance", &[k, p], self.variance.clone()))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: GaussianNb::KIND,
        backend: crate::BACKEND,
        parameters: const {
            &[Parameter::new(
                "var_smoothing",
                "1e-9",
                "share of the greatest variance added to all variances",
            )]
        },
        build: |params| {
            let learner = GaussianNb::new().var_smoothing(params.number("var_smoothing", 1e-9)?);
            learner.check()?;
            Ok(Built::Learner(Arc::new(learner)))
        },
    });
    registry.add_loader(GaussianNbModel::RECORD, |record, _| {
        Ok(Loaded::Model(Arc::new(GaussianNbModel::from_record(record)?)))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Densities multiplied out.
    fn oracle(x: &[[f64; 2]], y: &[usize], at: [f64; 2]) -> Vec<f64> {
        let density = |class: usize| -> f64 {
            let rows: Vec<&[f64; 2]> =
                x.iter().zip(y).filter(|(_, c)| **c == class).map(|(r, _)| r).collect();
            let n = rows.len() as f64;
            let column = |j: usize| {
                let mean = rows.iter().map(|r| r[j]).sum::<f64>() / n;
                let variance = rows.iter().map(|r| (r[j] - mean).powi(2)).sum::<f64>() / n;
                (-(at[j] - mean).powi(2) / (2.0 * variance)).exp() / (std::f64::consts::TAU * variance).sqrt()
            };
            n / x.len() as f64 * column(0) * column(1)
        };
        let densities: Vec<f64> = (0..3).map(density).collect();
        densities.iter().map(|d| d / densities.iter().sum::<f64>()).collect()
    }

    #[test]
    fn probabilities_are_densities_multiplied_out_and_a_missing_class_has_none() {
        let y: Vec<usize> = (0..40).map(|i| i * 7 % 3).collect();
        let x: Vec<[f64; 2]> =
            (0..40).map(|i| [((i * 37) % 11) as f64, ((i * 53) % 7) as f64 + y[i] as f64]).collect();
        let fit = |n_classes: usize| {
            let mut state = ClassMoments::new(2, n_classes);
            let values: Vec<f64> = x.iter().flatten().copied().collect();
            let targets: Vec<f64> = y.iter().map(|c| *c as f64).collect();
            for (x, y) in values.chunks(2 * 16).zip(targets.chunks(16)) {
                let x = MatRef::new(x, y.len(), 2, Order::C).unwrap();
                state.absorb(&Block { x, y, first_row: 0 }).unwrap();
            }
            let statistics = Statistics::new(vec![Arc::new(state)]);
            match GaussianNb::new().var_smoothing(0.0).fit_from(&statistics).unwrap() {
                Fitted::Model(model) => model,
                Fitted::Needs(_) => panic!("moments are enough"),
            }
        };
        let (model, rows) = (fit(4), x.clone());
        for at in [[3.0, 2.0], [10.0, 8.0], [-1.0, 0.5]] {
            let mut out = [0.0; 4];
            let x = MatRef::new(&at, 1, 2, Order::C).unwrap();
            model.predict_into(x, MatMut::new(&mut out, 1, 4, Order::C).unwrap()).unwrap();
            let want = oracle(&rows, &y, at);
            assert_eq!(out[3], 0.0);
            for (got, want) in out.iter().zip(&want) {
                assert!((got - want).abs() < 1e-12, "{out:?} {want:?}");
            }
        }
    }
}
