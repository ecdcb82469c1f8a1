//! Training rows that a fitted model goes on reading, and their two forms in a model file.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    mat::Order,
    record::Record,
    registry::Registry,
    rows::Rows,
    table::{DenseTable, Table, TableReference},
};

/// Rows of a table with their targets, by counted handles. In a model's record they are a child: the values themselves, or
/// the files and the rows of them.
#[derive(Clone)]
pub struct KeptRows {
    /// The table.
    pub table: Arc<dyn Table>,
    /// Its targets, one column.
    pub target: Arc<dyn Table>,
    /// The rows of both.
    pub rows: Rows,
}

impl KeptRows {
    const RECORD: &'static str = "kept_rows";

    /// All rows of values at hand, C order, and their targets.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) unless there are `y.len()` rows of `ncols` values.
    pub fn of_values(x: Vec<f64>, ncols: usize, y: Vec<f64>) -> Result<Self> {
        let rows = Rows::all(y.len());
        let table = DenseTable::new(x, y.len(), ncols, Order::C)?;
        Ok(Self { table: Arc::new(table), target: Arc::new(DenseTable::column(y)), rows })
    }

    /// The rows' values as data: copies them.
    pub fn to_record(&self) -> Record {
        let (x, y) = (self.table.as_mat(), self.target.as_mat());
        let p = x.ncols();
        let mut values = vec![0.0; self.rows.len() * p];
        for (row, slot) in self.rows.runs().iter().cloned().flatten().zip(values.chunks_exact_mut(p.max(1))) {
            x.copy_row_into(row, slot);
        }
        let targets = self.rows.runs().iter().cloned().flatten().map(|row| y.get(row, 0)).collect();
        Self::values_record(values, p, targets)
    }

    /// What [`KeptRows::to_record`] gives, of values at hand.
    pub fn values_record(x: Vec<f64>, ncols: usize, y: Vec<f64>) -> Record {
        let n = y.len();
        Record::new(Self::RECORD).with_array("x", &[n, ncols], x).with_array("y", &[n], y)
    }

    /// Where the rows are, as data: reads both tables once, for their checksums.
    ///
    /// # Errors
    /// Those of [`Table::reference`].
    pub fn to_record_by_reference(&self) -> Result<Record> {
        let runs: Vec<f64> = self.rows.runs().iter().flat_map(|r| [r.start as f64, r.end as f64]).collect();
        Ok(Record::new(Self::RECORD)
            .with_array("runs", &[runs.len() / 2, 2], runs)
            .with_child(self.table.reference()?.to_record()?)
            .with_child(self.target.reference()?.to_record()?))
    }

    /// The rows among the children of a model's record.
    ///
    /// # Errors
    /// When there are none, or they do not fit each other, or a file is not what it was.
    pub fn find(record: &Record, registry: &Registry) -> Result<Self> {
        let bad = |what: &str| Error::spec(record.kind(), what);
        let kept = record.children().iter().find(|c| c.kind() == Self::RECORD);
        let kept = kept.ok_or_else(|| bad("the record holds no rows"))?;
        if let [table, target] = kept.children() {
            let table = registry.open_table(&TableReference::from_record(table)?)?;
            let target = registry.open_table(&TableReference::from_record(target)?)?;
            let runs = kept.array("runs")?.data.chunks_exact(2).map(|r| r[0] as usize..r[1] as usize);
            let rows = Rows::from_runs(runs);
            if rows.end() > table.as_mat().nrows().min(target.as_mat().nrows())
                || target.as_mat().ncols() != 1
            {
                return Err(bad("saved rows reach past the end of their table"));
            }
            return Ok(Self { table, target, rows });
        }
        let (x, y) = (kept.array("x")?, kept.array("y")?);
        let &[nrows, ncols] = x.shape.as_slice() else { return Err(bad("the saved rows are no matrix")) };
        if y.data.len() != nrows {
            return Err(Error::shape("targets of a saved model", nrows, y.data.len()));
        }
        Self::of_values(x.data.clone(), ncols, y.data.clone())
    }

    /// Whether a child of a model's record is its rows.
    pub fn is(record: &Record) -> bool {
        record.kind() == Self::RECORD
    }
}
