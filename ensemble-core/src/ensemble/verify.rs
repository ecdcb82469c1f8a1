//! Whether predictions of held-out rows depend on those rows: a test of learners and schemes from outside, by refits.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    data::{
        gather::class_number,
        mat::{Order, Shape},
        table::{DenseTable, Scratch, Table},
    },
    design::{
        cell::{Cell, CellId},
        layout::Design,
        scheme::{DesignFacts, Scheme},
    },
    ensemble::builder::SuperLearner,
    error::{Error, Result},
};

/// What [`SuperLearner::verify`] made sure of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// Cells that hold rows out, each fitted twice.
    pub cells: usize,
    /// Learners of the first layer.
    pub learners: usize,
    /// Rows of the input that some cell predicts.
    pub rows_predicted: usize,
    /// Predictions that were compared to the last bit.
    pub compared: usize,
}

/// One design that is known already.
#[derive(Debug)]
struct Fixed(Design);

impl Scheme for Fixed {
    fn design(&self, _: &DesignFacts<'_>) -> Result<Design> {
        Ok(self.0.clone())
    }
}

impl SuperLearner {
    /// Make sure that nothing leaks: that no learner of the first layer, no transformer before it and no way of splitting lets a held-out
    /// row into its own prediction.
    ///
    /// Every cell that holds rows out is fitted twice: on the table as it is, and on a copy in scratch room whose held-out targets are all
    /// made one value, and of whose held-out rows every other one is made the same row. What is predicted for the rows that stayed must
    /// then be the same to the last bit. Costs two fits of the first layer's cells, and one copy of the table at a time.
    ///
    /// ```
    /// # use ensemble_core::*;
    /// # use std::sync::Arc;
    /// # struct Mean;
    /// # impl Estimator for Mean {
    /// #     fn kind(&self) -> String { "doc.mean".into() }
    /// #     fn access(&self) -> Access { Access::Segments }
    /// #     fn cost(&self, _: Shape) -> FitCost { FitCost::default() }
    /// #     fn fit_rows(&self, t: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
    /// #         let mean = t.y().flatten().sum::<f64>() / t.shape().nrows as f64;
    /// #         Ok(Arc::new(LinearModel::new("doc.mean", vec![0.0; t.shape().ncols], mean)))
    /// #     }
    /// # }
    /// let x = DenseTable::new((0..40).map(f64::from).collect(), 20, 2, Order::C)?;
    /// let y = DenseTable::column((0..20).map(f64::from).collect());
    /// let stack = SuperLearner::new(KFold::new(5)).layer(Layer::new().learner("mean", Mean));
    /// assert_eq!(stack.verify(&x, &y)?.cells, 5);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of a fit; [`ErrorKind::Learner`](crate::ErrorKind::Learner) with the learner whose prediction changed, the cell, and the
    /// row.
    pub fn verify(&self, x: &dyn Table, y: &dyn Table) -> Result<Verification> {
        let plan = self.plan(x, y)?;
        let design = plan.design().clone();
        let labels = y.as_mat();
        let mut targets: Vec<f64> = (0..labels.nrows()).map(|row| labels.get(row, 0)).collect();
        let mut job = self.job().clone();
        job.meta = None;
        job.layers.truncate(1);
        job.out_of_fold = true;
        if let Some(classes) = plan.classes().filter(|_| job.classes.is_none()) {
            for target in &mut targets {
                *target = class_number(classes, *target)?;
            }
            job.classes = Some(classes.clone());
        }
        let names: Vec<String> = job.layers[0].learners.iter().map(|l| l.name.clone()).collect();
        let mut found = Verification { cells: 0, learners: names.len(), rows_predicted: 0, compared: 0 };
        for (id, cell) in design.ids().filter(|(_, cell)| !cell.predict.is_empty()) {
            let alone = Cell { is_final: true, group: 0, ..cell.clone() };
            let alone =
                Design::new(design.arrangement().clone(), design.atoms().clone(), vec![alone], "one cell")?;
            let held_out: Vec<usize> = cell
                .predict
                .iter()
                .flat_map(|atom| design.atoms().range(atom))
                .map(|row| design.arrangement().input_row(row))
                .collect();
            // The last layer of one learner need not be combined; several are fitted one by one.
            for (j, name) in names.iter().enumerate() {
                let mut job = job.clone();
                let learner = job.layers[0].learners.swap_remove(j);
                job.layers[0].learners = vec![learner];
                job.scheme = Arc::new(Fixed(alone.clone()));
                let one = Self::from_job(job);
                let as_is = one.fit(x, &DenseTable::column(targets.clone()))?;
                let altered = Altered::new(x, &targets, &held_out, one.job().scratch.as_ref())?;
                let changed = one.fit(altered.x.as_ref(), &DenseTable::column(altered.y))?;
                let (a, b) = (as_is.transform()?, changed.transform()?);
                for row in held_out.iter().step_by(2) {
                    let differs =
                        (0..a.ncols()).any(|c| a.get(*row, c).to_bits() != b.get(*row, c).to_bits());
                    if differs {
                        return Err(leak(name, &design, id, *row));
                    }
                    found.compared += a.ncols();
                }
            }
            found.cells += 1;
            found.rows_predicted += held_out.len();
        }
        Ok(found)
    }
}

fn leak(name: &str, design: &Design, id: CellId, row: usize) -> Error {
    let what = format!(
        "it leaks: its prediction of row {row}, which is held out, changes with other held-out rows or with held-out targets"
    );
    Error::unsupported(what).in_learner(name, 0, design.held_out(id))
}

/// The table and targets with other held-out rows.
struct Altered {
    x: Arc<dyn Table>,
    y: Vec<f64>,
}

impl Altered {
    fn new(x: &dyn Table, y: &[f64], held_out: &[usize], scratch: &dyn Scratch) -> Result<Self> {
        let mat = x.as_mat();
        let mut copy = scratch.matrix(Shape { nrows: mat.nrows(), ncols: mat.ncols() }, mat.order())?;
        let mut y = Vec::from(y);
        {
            let mut out = copy.as_mat_mut();
            let other: Vec<usize> = held_out.iter().copied().skip(1).step_by(2).collect();
            let mut is_other = vec![false; mat.nrows()];
            other.iter().for_each(|row| is_other[*row] = true);
            let (rows, columns) = (0..mat.nrows(), 0..mat.ncols());
            let mut put = |row: usize, column: usize| {
                let from = if is_other[row] { other[0] } else { row };
                out.set(row, column, mat.get(from, column));
            };
            match mat.order() {
                Order::C => rows.for_each(|row| columns.clone().for_each(|column| put(row, column))),
                Order::F => columns.for_each(|column| rows.clone().for_each(|row| put(row, column))),
            }
            // One value for all, another than they have where they have one.
            let first = y[held_out[0]];
            let same = held_out.iter().all(|row| y[*row] == first);
            let value = if same { y.iter().copied().find(|v| *v != first).unwrap_or(first) } else { first };
            held_out.iter().for_each(|row| y[*row] = value);
        }
        Ok(Self { x: copy.into_table(), y })
    }
}
