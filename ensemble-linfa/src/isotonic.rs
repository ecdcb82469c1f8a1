//! A monotone function of one column.

use std::sync::Arc;

use ensemble_core::{
    Access, Error, Estimator, FitContext, FitCost, Loaded, Model, Record, Registry, Result, Shape, Train,
};
use linfa::{DatasetBase, traits::Fit};
use ndarray::{ArrayView1, ArrayView2};

use crate::{
    parameters::parameters,
    view::{ByRow, RowModel, finite, refused, training_views, values},
};

parameters! {
    /// The least squares function of one column that never falls (or never rises), linear between the ends of its level
    /// stretches and level beyond the training values: scikit-learn's `IsotonicRegression(out_of_bounds="clip")`.
    ///
    /// Faults of linfa-linear 0.8.1 handled here: it takes the column in storage order where it needs it sorted
    /// (`isotonic.rs:177-183`), it lets the data choose the direction, and its pooling goes on past the block where it should
    /// stop (`:62-72`: targets 1, 5, 6, 2 pool into one block instead of two). So rows are sorted and pooled here, as
    /// scikit-learn does it, rows of equal x by their mean, and linfa gets the ends of the pooled blocks.
    IsotonicRegression: Learner = "linfa.isotonic_regression", "linfa-linear 0.8.1" {
        increasing "increasing" []: bool = true, "true", "whether the function rises";
    }
}

/// Rows pooled to one level: first and last x, mean of y, number of rows.
struct Pool {
    first: f64,
    last: f64,
    mean: f64,
    rows: f64,
}

impl IsotonicRegression {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Pool adjacent violators, rows of equal x first.
    fn pools(&self, x: ArrayView1<'_, f64>, y: ArrayView1<'_, f64>) -> Vec<Pool> {
        let sign = if self.increasing { 1.0 } else { -1.0 };
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
        let mut pools: Vec<Pool> = Vec::new();
        for rows in order.chunk_by(|a, b| x[*a] == x[*b]) {
            let at = x[rows[0]];
            let mean = sign * rows.iter().map(|r| y[*r]).sum::<f64>() / rows.len() as f64;
            let mut pool = Pool { first: at, last: at, mean, rows: rows.len() as f64 };
            while let Some(before) = pools.pop_if(|before| before.mean >= pool.mean) {
                let rows = before.rows + pool.rows;
                let mean = (before.mean * before.rows + pool.mean * pool.rows) / rows;
                pool = Pool { first: before.first, last: pool.last, mean, rows };
            }
            pools.push(pool);
        }
        pools
    }
}

impl Estimator for IsotonicRegression {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Contiguous(None)
    }

    fn cost(&self, train: Shape) -> FitCost {
        // At worst no row is pooled: their order, a list of pools that doubles as it grows, the points, and linfa's copies.
        FitCost {
            peak_bytes: (176 * train.nrows + 4096) as u64,
            model_bytes: (16 * train.nrows + size_of::<IsotonicModel>()) as u64,
        }
    }

    fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        let (x, y) = training_views(train)?;
        if x.ncols() != 1 {
            return Err(Error::shape("columns of an isotonic regression", 1, x.ncols()));
        }
        let pools = self.pools(x.column(0), y);
        let mut at = Vec::with_capacity(2 * pools.len());
        let mut levels = Vec::with_capacity(2 * pools.len());
        for pool in &pools {
            at.push(pool.first);
            levels.push(pool.mean);
            if pool.last > pool.first {
                at.push(pool.last);
                levels.push(pool.mean);
            }
        }
        drop(pools);
        let column = ArrayView2::from_shape((at.len(), 1), &at).map_err(refused(Self::KIND))?;
        let fitted = linfa_linear::IsotonicRegression::new()
            .fit(&DatasetBase::new(column, ArrayView1::from(&levels)))
            .map_err(refused(Self::KIND))?;
        // serde is the only public way to the points of the fitted function.
        let fitted = serde_json::to_value(&fitted).map_err(refused(Self::KIND))?;
        let read = |name: &str| -> Result<Vec<f64>> {
            let data = fitted[name]["data"].as_array().into_iter().flatten();
            data.map(|v| v.as_f64())
                .collect::<Option<Vec<f64>>>()
                .ok_or_else(|| Error::unsupported(format!("{}: linfa's points cannot be read", Self::KIND)))
        };
        let (mut x, mut y) = (read("regressor")?, read("response")?);
        if fitted.as_object().is_none_or(|fields| fields.len() != 2) || x.len() != y.len() {
            return Err(Error::unsupported(format!("{}: linfa's points cannot be read", Self::KIND)));
        }
        x.shrink_to_fit();
        y.shrink_to_fit();
        if !self.increasing {
            y.iter_mut().for_each(|v| *v = -*v);
        }
        finite(Self::KIND, "points", x.iter().chain(&y))?;
        IsotonicModel::new(x, y).map(|m| Arc::new(ByRow(m)) as Arc<dyn Model>)
    }
}

/// A function that is linear between points and level beyond them.
struct IsotonicModel {
    x: Vec<f64>,
    y: Vec<f64>,
}

impl IsotonicModel {
    const RECORD: &'static str = "linfa.isotonic";

    fn new(x: Vec<f64>, y: Vec<f64>) -> Result<Self> {
        if x.is_empty() || x.len() != y.len() || !x.is_sorted() {
            return Err(Error::spec(Self::RECORD, "the points of the function are none, or out of order"));
        }
        Ok(Self { x, y })
    }

    fn from_record(record: &Record) -> Result<Self> {
        let x = record.array("x")?.data.clone();
        let y = values(record, "y", x.len())?;
        Self::new(x, y)
    }
}

impl RowModel for IsotonicModel {
    fn n_inputs(&self) -> usize {
        1
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict_row(&self, row: &[f64], out: &mut [f64]) {
        let (value, last) = (row[0], self.x.len() - 1);
        out[0] = if value.is_nan() {
            f64::NAN
        } else if value >= self.x[last] {
            self.y[last]
        } else if value <= self.x[0] {
            self.y[0]
        } else {
            let j = self.x.partition_point(|x| *x < value);
            let share = (value - self.x[j - 1]) / (self.x[j] - self.x[j - 1]);
            self.y[j - 1] + share * (self.y[j] - self.y[j - 1])
        };
    }

    fn bytes(&self) -> u64 {
        (16 * self.x.len() + size_of::<Self>()) as u64
    }

    fn to_record(&self) -> Result<Record> {
        Ok(Record::new(Self::RECORD).with_array("x", &[self.x.len()], self.x.clone()).with_array(
            "y",
            &[self.y.len()],
            self.y.clone(),
        ))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    IsotonicRegression::offer(registry);
    registry.add_loader(IsotonicModel::RECORD, |record, _| {
        Ok(Loaded::Model(Arc::new(ByRow(IsotonicModel::from_record(record)?))))
    });
}
