//! Lengths of rows, and the map that makes them 1.

use crate::{
    data::mat::{MatMut, MatRef},
    error::{Error, Result},
    learner::estimator::FittedTransform,
    persist::record::Record,
};

/// The length of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Norm {
    /// Sum of absolute values.
    L1,
    /// Euclidean length.
    #[default]
    L2,
    /// Greatest absolute value.
    Max,
}

impl Norm {
    /// `l1`, `l2` or `max`.
    pub fn name(self) -> &'static str {
        match self {
            Norm::L1 => "l1",
            Norm::L2 => "l2",
            Norm::Max => "max",
        }
    }

    /// From its name, given as parameter `norm` of `kind`.
    ///
    /// # Errors
    /// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter) when there is none of that name.
    pub fn from_name(kind: &str, name: &str) -> Result<Self> {
        [Norm::L1, Norm::L2, Norm::Max]
            .into_iter()
            .find(|norm| norm.name() == name)
            .ok_or_else(|| Error::parameter(kind, "norm", name, "l1, l2 or max"))
    }

    /// The length of a row of these values; NaN for one that holds NaN.
    pub fn of(self, values: impl Iterator<Item = f64>) -> f64 {
        match self {
            Norm::L1 => values.map(f64::abs).sum(),
            Norm::L2 => values.map(|v| v * v).sum::<f64>().sqrt(),
            Norm::Max => values.fold(0.0, |m, v| if v.abs() > m || v.is_nan() { v.abs() } else { m }),
        }
    }
}

/// Divides every row by its length: the fitted form of scalers of rows, which learn nothing but the number of columns.
///
/// ```
/// use ensemble_core::*;
/// let scaler = RowScaler::new(Norm::L1, 2, 1e-15);
/// let (x, mut z) = ([3.0, -1.0, 0.0, 0.0], [0.0; 4]);
/// let z_mut = MatMut::new(&mut z, 2, 2, Order::C)?;
/// scaler.transform_block_into(MatRef::new(&x, 2, 2, Order::C)?, z_mut)?;
/// assert_eq!(z, [0.75, -0.25, 0.0, 0.0]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RowScaler {
    norm: Norm,
    ncols: usize,
    least: f64,
}

impl RowScaler {
    /// Name of its record.
    pub const RECORD: &'static str = "row_scaler";

    /// Rows of `ncols` columns are to have length 1 in `norm`; those whose length is below `least` stay.
    pub fn new(norm: Norm, ncols: usize, least: f64) -> Self {
        Self { norm, ncols, least }
    }

    pub(crate) fn from_record(record: &Record) -> Result<Self> {
        let norm = Norm::from_name(record.kind(), &record.text("norm")?)?;
        let least = record.array("least")?.data.first().copied().unwrap_or(0.0);
        Ok(Self { norm, ncols: record.count("columns")?, least })
    }
}

impl FittedTransform for RowScaler {
    fn n_in(&self) -> usize {
        self.ncols
    }

    fn n_out(&self) -> usize {
        self.ncols
    }

    fn transform_block_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        if x.ncols() != self.ncols {
            return Err(Error::shape("columns to transform", self.ncols, x.ncols()));
        }
        if out.nrows() != x.nrows() {
            return Err(Error::shape("rows of the transformed block", x.nrows(), out.nrows()));
        }
        if out.ncols() != self.ncols {
            return Err(Error::shape("columns of the transformed block", self.ncols, out.ncols()));
        }
        for row in 0..x.nrows() {
            let length = self.norm.of((0..self.ncols).map(|j| x.get(row, j)));
            let length = if length < self.least { 1.0 } else { length };
            (0..self.ncols).for_each(|j| out.set(row, j, x.get(row, j) / length));
        }
        Ok(())
    }

    fn to_record(&self) -> Result<Record> {
        Ok(Record::new(Self::RECORD)
            .with_text("norm", self.norm.name())
            .with_field("columns", self.ncols)
            .with_array("least", &[1], vec![self.least]))
    }
}
