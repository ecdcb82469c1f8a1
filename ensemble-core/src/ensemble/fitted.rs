//! What a fit gives back: predictions of new rows.

use std::{fmt, sync::Arc};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    data::{
        as_table::AsTable,
        classes::{Classes, Label, most_probable},
        mat::{MatMut, MatRef, Order},
        table::Table,
    },
    error::{Error, Result, guarded},
    exec::{report::Report, run::Outcome},
    learner::{
        layer::{FittedLearner, layer_width},
        model::{batch_rows, check_queries, predict_all},
    },
    statistic::state::BLOCK_ROWS,
    threads,
};

/// Ordered categories that stand in a table by their number, 0 for the first: what a model must know to read new rows as it read those
/// it was fitted on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Categories {
    /// One entry per column of x, `None` for a column of numbers.
    pub columns: Vec<Option<Vec<String>>>,
    /// Those of the target, when it has any and is not one of classes.
    pub target: Option<Vec<String>>,
}

/// A fitted super learner.
pub struct FittedEnsemble {
    pub(crate) layers: Vec<Vec<FittedLearner>>,
    pub(crate) ncols: usize,
    pub(crate) feature_names: Option<Vec<String>>,
    pub(crate) categories: Option<Categories>,
    pub(crate) classes: Option<Classes>,
    pub(crate) report: Option<Report>,
    pub(crate) out_of_fold: Option<Arc<dyn Table>>,
}

/// Names and kinds, layer by layer; the models' numbers are left out.
impl fmt::Debug for FittedEnsemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers: Vec<Vec<(&str, &str)>> =
            self.layers.iter().map(|layer| layer.iter().map(|l| (l.name(), l.kind())).collect()).collect();
        f.debug_struct("FittedEnsemble")
            .field("layers", &layers)
            .field("ncols", &self.ncols)
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

impl FittedEnsemble {
    pub(crate) fn new(outcome: Outcome) -> Self {
        let Outcome { layers, ncols, classes, report, out_of_fold } = outcome;
        Self { report: Some(report), out_of_fold, ..Self::from_layers(layers, ncols, classes) }
    }

    /// Models without an account of their fit.
    pub(crate) fn from_layers(
        layers: Vec<Vec<FittedLearner>>,
        ncols: usize,
        classes: Option<Classes>,
    ) -> Self {
        Self {
            layers,
            ncols,
            feature_names: None,
            categories: None,
            classes,
            report: None,
            out_of_fold: None,
        }
    }

    /// Columns of x.
    pub fn ncols(&self) -> usize {
        self.ncols
    }

    /// Names of the columns of x, when they were given: they are saved with the model.
    pub fn feature_names(&self) -> Option<&[String]> {
        self.feature_names.as_deref()
    }

    /// Name the columns of x.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) unless there is one name per column.
    pub fn set_feature_names(&mut self, names: Vec<String>) -> Result<()> {
        if names.len() != self.ncols {
            return Err(Error::shape("names of columns", self.ncols, names.len()));
        }
        self.feature_names = Some(names);
        Ok(())
    }

    /// The categories behind the numbers of x and of the target, when they were given: they are saved with the model.
    pub fn categories(&self) -> Option<&Categories> {
        self.categories.as_ref()
    }

    /// Say which categories the numbers of x and of the target stand for.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) unless there is one entry per column.
    pub fn set_categories(&mut self, categories: Categories) -> Result<()> {
        if categories.columns.len() != self.ncols {
            return Err(Error::shape("categories of columns", self.ncols, categories.columns.len()));
        }
        self.categories = Some(categories);
        Ok(())
    }

    /// Layer by layer, the meta-learner last.
    pub fn layers(&self) -> &[Vec<FittedLearner>] {
        &self.layers
    }

    /// What the fit did. It is saved with the model, all but times, threads and what was held at once, which are 0 in one read from a
    /// file. `None` where the file has none, as one of an earlier version.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// The classes of the target it was fitted on, when a learner classifies.
    pub fn classes(&self) -> Option<&Classes> {
        self.classes.as_ref()
    }

    /// Whether it predicts classes: its last learner is a classifier.
    pub fn classifies(&self) -> bool {
        self.n_outputs() > 1
    }

    /// Columns of the last learner's predictions: 1 for numbers, one per class of a classifier.
    fn n_outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer[0].model.n_outputs())
    }

    /// Whether rows to predict from may hold NaN: every model of the first layer was made for them.
    pub fn accepts_missing(&self) -> bool {
        self.layers.first().is_some_and(|layer| layer.iter().all(|l| l.model.accepts_missing()))
    }

    /// The first layer's out-of-fold predictions, rows x learners (one column per class of a classifier) in the input's order, when
    /// [`SuperLearner::keep_out_of_fold`](crate::SuperLearner::keep_out_of_fold) asked for them. No copy.
    ///
    /// # Errors
    /// When it did not.
    pub fn transform(&self) -> Result<MatRef<'_>> {
        self.out_of_fold.as_ref().map(|t| t.as_mat()).ok_or_else(|| {
            Error::unsupported(
                "out-of-fold predictions were not kept; ask with keep_out_of_fold before the fit",
            )
        })
    }

    /// Predict `x` into `out`, one value per row, in parallel blocks: a number, or the most probable class's label as
    /// [`Classes::number`] writes it, the first of equally probable ones. Allocates one block of predictions per thread and layer.
    ///
    /// # Errors
    /// When `x` has another number of columns or `out` another length; [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) for a value of `x` by row and column,
    /// unless the first layer's models accept it; [`ErrorKind::Learner`](crate::ErrorKind::Learner) by name when a backend fails, or predicts what is not finite
    /// ([`ErrorKind::Prediction`](crate::ErrorKind::Prediction)). `out` is then written in part.
    pub fn predict_into(&self, x: impl AsTable, out: &mut [f64]) -> Result<()> {
        self.predict_matrix(x.as_table()?.as_mat(), out)
    }

    fn predict_matrix(&self, x: MatRef<'_>, out: &mut [f64]) -> Result<()> {
        if out.len() != x.nrows() {
            return Err(Error::shape("rows of the prediction buffer", x.nrows(), out.len()));
        }
        let k = self.n_outputs();
        if k == 1 {
            return self.predict_rows(x, out, 1, &|x, out| self.predict_block(x, out));
        }
        let classes = self.classes.as_ref().ok_or_else(|| Error::unsupported("the classes are not known"))?;
        self.predict_rows(x, out, 1, &|x, out| {
            let mut z = vec![0.0; x.nrows() * k];
            self.predict_block(x, &mut z)?;
            for (out, row) in out.iter_mut().zip(z.chunks_exact(k)) {
                let class = most_probable(row.iter().copied());
                *out =
                    classes.number(class.ok_or_else(|| Error::unsupported("no class is the most probable"))?);
            }
            Ok(())
        })
    }

    /// Predict the probability of every class of the rows of `x` into `out`, rows x classes in C order, as
    /// [`FittedEnsemble::predict_into`] does.
    ///
    /// # Errors
    /// As there, and when the ensemble predicts numbers.
    pub fn predict_proba_into(&self, x: impl AsTable, out: &mut [f64]) -> Result<()> {
        self.predict_proba_matrix(x.as_table()?.as_mat(), out)
    }

    fn predict_proba_matrix(&self, x: MatRef<'_>, out: &mut [f64]) -> Result<()> {
        let k = self.n_outputs();
        if !self.classifies() {
            return Err(predicts_numbers());
        }
        if out.len() != x.nrows() * k {
            return Err(Error::shape("values of the probability buffer", x.nrows() * k, out.len()));
        }
        self.predict_rows(x, out, k, &|x, out| self.predict_block(x, out))
    }

    /// Predict blocks of rows in parallel, `ncols` values of `out` a row.
    fn predict_rows(
        &self,
        x: MatRef<'_>,
        out: &mut [f64],
        ncols: usize,
        predict: &(dyn Fn(MatRef<'_>, &mut [f64]) -> Result<()> + Sync),
    ) -> Result<()> {
        threads::ready()?;
        let models = self.layers.iter().flatten().map(FittedLearner::model);
        let widest = self.layers.iter().map(|layer| layer_width(layer)).max().unwrap_or(0);
        let batch = batch_rows(models, self.ncols + widest);
        // Predictions are cheap, tasks are not free.
        let chunk = batch.max(8 * BLOCK_ROWS).next_multiple_of(batch);
        if x.ncols() != self.ncols {
            return Err(Error::shape("columns to predict from", self.ncols, x.ncols()));
        }
        out.par_chunks_mut(chunk * ncols).enumerate().try_for_each(|(number, out)| {
            for (block, out) in out.chunks_mut(batch * ncols).enumerate() {
                let start = number * chunk + block * batch;
                let rows = x.rows(start..start + out.len() / ncols)?;
                predict(rows, out).map_err(|e| e.after_rows(start))?;
            }
            Ok(())
        })
    }

    /// Layer by layer, in a loop: an ensemble may have more layers than a stack has frames.
    fn predict_block(&self, x: MatRef<'_>, out: &mut [f64]) -> Result<()> {
        let nrows = x.nrows();
        let mut below: Option<(Vec<f64>, usize)> = None;
        fn predicted<'a>(below: &'a Option<(Vec<f64>, usize)>, x: MatRef<'a>) -> Result<MatRef<'a>> {
            match below {
                None => Ok(x),
                Some((z, width)) => MatRef::new(z, x.nrows(), *width, Order::C),
            }
        }
        for (at, learners) in self.layers.iter().enumerate() {
            let models = learners.iter().map(FittedLearner::model);
            if at == 0 {
                guarded(|| check_queries(x, models.clone()))?;
            }
            let blame = |j: usize, e: Error| e.in_learner(&learners[j].name, at, None);
            let (width, x) = (layer_width(learners), predicted(&below, x)?);
            if at + 1 == self.layers.len() {
                return predict_all(x, models, MatMut::new(out, nrows, width, Order::C)?, &blame, &mut []);
            }
            let mut z = vec![0.0; nrows * width];
            predict_all(x, models, MatMut::new(&mut z, nrows, width, Order::C)?, &blame, &mut [])?;
            below = Some((z, width));
        }
        Ok(())
    }

    /// Predict a whole table into a new vector: 8 bytes a row.
    ///
    /// # Errors
    /// As [`FittedEnsemble::predict_into`] and [`Table::check_unchanged`].
    pub fn predict(&self, x: impl AsTable) -> Result<Vec<f64>> {
        self.predict_table(&*x.as_table()?, 1, |x, out| self.predict_matrix(x, out))
    }

    /// Predict the probabilities of a whole table into a new vector, rows x classes in C order: 8 bytes a row and class.
    ///
    /// # Errors
    /// As [`FittedEnsemble::predict_proba_into`] and [`Table::check_unchanged`].
    pub fn predict_proba(&self, x: impl AsTable) -> Result<Vec<f64>> {
        self.predict_table(&*x.as_table()?, self.n_outputs(), |x, out| self.predict_proba_matrix(x, out))
    }

    /// The label of the most probable class of every row of a whole table, words as words: 16 bytes a row.
    ///
    /// # Errors
    /// As [`FittedEnsemble::predict`], and when the ensemble predicts numbers.
    pub fn predict_labels(&self, x: impl AsTable) -> Result<Vec<&Label>> {
        let classes = self.classes.as_ref().filter(|_| self.classifies()).ok_or_else(predicts_numbers)?;
        let class = |number: f64| classes.class_of(number).expect("a prediction is the number of a label");
        Ok(self.predict(x)?.into_iter().map(|number| classes.label(class(number))).collect())
    }

    /// Predict a table that may change under the hands, `width` values a row.
    fn predict_table(
        &self,
        x: &dyn Table,
        width: usize,
        predict: impl Fn(MatRef<'_>, &mut [f64]) -> Result<()>,
    ) -> Result<Vec<f64>> {
        x.check_unchanged()?;
        let mut out = vec![0.0; x.as_mat().nrows() * width];
        predict(x.as_mat(), &mut out).map_err(|e| e.of_table(&x.describe()))?;
        x.check_unchanged()?;
        Ok(out)
    }
}

fn predicts_numbers() -> Error {
    Error::unsupported("the ensemble predicts numbers, not classes: its last learner is a regressor")
}
