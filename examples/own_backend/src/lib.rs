//! A backend of one's own: a regressor, a classifier, and their names.
//!
//! What there is to do, in this order:
//! 1. [`Estimator`]: say how a learner takes its rows and what a fit allocates, then fit. Bad values are errors.
//! 2. [`Model`]: predict any block of rows, each row by itself, and say the model as data.
//! 3. [`register`]: the learners by name, and what loads their models.
//! 4. `tests/conformance.rs`: the checks. They find what was forgotten.

use std::sync::Arc;

use ensemble::{
    Access, Array, Built, Error, Estimator, FitContext, FitCost, Kind, LinearModel, Loaded, MatMut, MatRef,
    Model, Predicts, Record, Registry, Result, Shape, Train, check_prediction, class_counts,
};

/// Least squares on the one column that explains the target best.
#[derive(Clone, Copy, Debug, Default)]
pub struct BestColumn;

impl BestColumn {
    const KIND: &'static str = "example.best_column";
}

impl Estimator for BestColumn {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    /// Runs of rows will do, so no row is ever copied for it.
    fn access(&self) -> Access {
        Access::Segments
    }

    /// A mean and two sums a column, and the coefficients.
    fn cost(&self, train: Shape) -> FitCost {
        let model_bytes = (8 * train.ncols + size_of::<LinearModel>()) as u64;
        FitCost { peak_bytes: model_bytes + 3 * 8 * train.ncols as u64, model_bytes }
    }

    fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        // No rows, NaN and infinities are errors here, by row and column.
        train.check_finite()?;
        let Shape { nrows, ncols } = train.shape();
        let n = nrows as f64;
        let mean = means(train, ncols, n);
        let y_mean = train.y().flatten().sum::<f64>() / n;
        let (mut xx, mut xy) = (vec![0.0; ncols], vec![0.0; ncols]);
        for (x, y) in train.x().segments().zip(train.y()) {
            for (row, y) in y.iter().enumerate() {
                for j in 0..ncols {
                    let centred = x.get(row, j) - mean[j];
                    xx[j] += centred * centred;
                    xy[j] += centred * (y - y_mean);
                }
            }
        }
        // A column that does not vary explains nothing; the first of equally good ones is taken.
        let explained = |j: usize| if xx[j] > 0.0 { xy[j] * xy[j] / xx[j] } else { 0.0 };
        let best = (0..ncols).rev().max_by(|a, b| explained(*a).total_cmp(&explained(*b))).unwrap_or(0);
        let slope = if explained(best) > 0.0 { xy[best] / xx[best] } else { 0.0 };
        let mut coefficients = vec![0.0; ncols];
        coefficients[best] = slope;
        Ok(Arc::new(LinearModel::new(Self::KIND, coefficients, y_mean - slope * mean[best])))
    }

    /// Its models have a linear form, so a stack on it needs no prediction columns.
    fn is_linear(&self) -> bool {
        true
    }
}

/// Means of the columns of the training rows.
fn means(train: &Train<'_>, ncols: usize, n: f64) -> Vec<f64> {
    let mut mean = vec![0.0; ncols];
    for x in train.x().segments() {
        for row in 0..x.nrows() {
            mean.iter_mut().enumerate().for_each(|(j, m)| *m += x.get(row, j) / n);
        }
    }
    mean
}

/// Votes for the class whose mean is nearest, scikit-learn's `NearestCentroid`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NearestCentroid;

impl NearestCentroid {
    const KIND: &'static str = "example.nearest_centroid";
}

impl Estimator for NearestCentroid {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn predicts(&self) -> Predicts {
        Predicts::Votes
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.cost_with_classes(train, 2)
    }

    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        let model_bytes = (n_classes * (8 * train.ncols + 16) + size_of::<Centroids>()) as u64;
        FitCost { peak_bytes: 0, model_bytes }
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        train.check_finite()?;
        // Targets that are no class numbers are errors here. A class may have no rows in a fold.
        let counts = class_counts(train, cx)?;
        let ncols = train.shape().ncols;
        let mut means = vec![0.0; counts.len() * ncols];
        for (x, y) in train.x().segments().zip(train.y()) {
            for (row, class) in y.iter().enumerate() {
                let class = *class as usize;
                for j in 0..ncols {
                    means[class * ncols + j] += x.get(row, j) / counts[class] as f64;
                }
            }
        }
        let rows = counts.iter().map(|c| *c as f64).collect();
        Ok(Arc::new(Centroids { ncols, rows, means }))
    }
}

/// The mean of every class.
#[derive(Clone, Debug)]
struct Centroids {
    ncols: usize,
    /// Training rows of each class; a class without any is never voted for.
    rows: Vec<f64>,
    /// Classes x columns.
    means: Vec<f64>,
}

impl Centroids {
    fn from_record(record: &Record) -> Result<Self> {
        let rows = record.array("rows")?.data.clone();
        let Array { shape, data } = record.array("means")?;
        let &[classes, ncols] = shape.as_slice() else {
            return Err(Error::shape("axes of saved means", 2, shape.len()));
        };
        if classes != rows.len() {
            return Err(Error::shape("classes of saved means", rows.len(), classes));
        }
        Ok(Self { ncols, rows, means: data.clone() })
    }
}

impl Model for Centroids {
    fn n_inputs(&self) -> usize {
        self.ncols
    }

    /// One column per class, those without training rows included.
    fn n_outputs(&self) -> usize {
        self.rows.len()
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        for row in 0..x.nrows() {
            let distance = |class: usize| -> f64 {
                let mean = &self.means[class * self.ncols..][..self.ncols];
                mean.iter().enumerate().map(|(j, m)| (x.get(row, j) - m).powi(2)).sum()
            };
            let (mut nearest, mut least) = (None, f64::INFINITY);
            for class in (0..self.rows.len()).filter(|c| self.rows[*c] > 0.0) {
                let d = distance(class);
                // The first of equally near ones; of a row too far to measure, the first there is.
                if nearest.is_none() || d < least {
                    (nearest, least) = (Some(class), d);
                }
            }
            for class in 0..self.rows.len() {
                out.set(row, class, if nearest == Some(class) { 1.0 } else { 0.0 });
            }
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        (size_of::<Self>() + 8 * (self.rows.len() + self.means.len())) as u64
    }

    fn to_record(&self) -> Result<Record> {
        let k = self.rows.len();
        Ok(Record::new(NearestCentroid::KIND).with_array("rows", &[k], self.rows.clone()).with_array(
            "means",
            &[k, self.ncols],
            self.means.clone(),
        ))
    }
}

/// Offer both learners by name, and load what they save.
pub fn register(registry: &mut Registry) {
    const BACKEND: &str = concat!("own-backend ", env!("CARGO_PKG_VERSION"));
    registry.add_kind(Kind {
        name: BestColumn::KIND,
        backend: BACKEND,
        parameters: &[],
        build: |_| Ok(Built::Learner(Arc::new(BestColumn))),
    });
    registry.add_kind(Kind {
        name: NearestCentroid::KIND,
        backend: BACKEND,
        parameters: &[],
        build: |_| Ok(Built::Learner(Arc::new(NearestCentroid))),
    });
    // A `LinearModel` is loaded by the registry itself.
    registry.add_loader(NearestCentroid::KIND, |record, _| {
        Ok(Loaded::Model(Arc::new(Centroids::from_record(record)?)))
    });
}
