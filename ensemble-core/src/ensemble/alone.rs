//! One learner by itself, fitted on all rows.

use std::{fmt, ops::Deref, path::Path, sync::Arc};

use crate::{
    account::ledger::Ledger,
    data::{
        as_table::{AsTable, AsTarget, Target},
        classes::{Classes, Label},
        gather::{GatherFor, gather, number_classes},
        rows::{Rows, RowsView},
        table::{Heap, Table},
    },
    design::random::seed_for,
    ensemble::fitted::FittedEnsemble,
    error::{Error, Result, guarded},
    learner::{
        estimator::{Access, Estimator, FitContext, MissingValues, Train, check_fitted},
        layer::FittedLearner,
        model::{Model, check_rows},
    },
    plan::check::check_tables,
    threads,
};

/// Fits one learner on all rows: `Lasso::new(0.1).fit(&x, &y)?`. Every [`Estimator`] has it, and so have pointers to one.
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
/// let (x, y) = (vec![0.5, 1.5, 2.5, 3.5], vec![1.0, 2.0, 3.0, 6.0]);
/// let model = Mean.fit((&x, 4, 1), &y)?;
/// assert_eq!(model.predict((&x, 4, 1))?, [3.0; 4]);
/// # Ok::<(), Error>(())
/// ```
pub trait Fit: Estimator {
    /// Fit on all rows of `x`, with what `y` holds as targets: numbers, or for a classifier words or whole numbers, whose classes are
    /// found by one pass.
    ///
    /// Copies no row, unless the learner takes one matrix in the other order than `x` has: then all rows, on the heap. Class numbers
    /// take 8 bytes a row, where labels are no such numbers themselves. Runs on the pool that the caller is in, or on rayon's global
    /// one. What is drawn at random is drawn as in the fit on all rows of a [`SuperLearner`](crate::SuperLearner) of this learner alone.
    ///
    /// # Errors
    /// Sizes that do not fit each other or the learner; a value that is not finite, by row and column; a target that holds no classes,
    /// where the learner needs them, or words, where it needs numbers; whatever stops the fit, a panic included.
    fn fit(&self, x: impl AsTable, y: impl AsTarget) -> Result<FittedModel> {
        fit(self, &*x.as_table()?, &y.as_target()?)
    }
}

impl<E: Estimator + ?Sized> Fit for E {}

fn fit<E: Estimator + ?Sized>(learner: &E, x: &dyn Table, target: &Target<'_>) -> Result<FittedModel> {
    threads::ready()?;
    let y = target.table();
    let unchanged = || x.check_unchanged().and_then(|()| y.check_unchanged());
    unchanged()?;
    check_tables(x, y)?;
    let shape = x.as_mat().shape();
    let declare = || {
        learner.check_shape(shape)?;
        Ok((learner.kind(), learner.access(), learner.predicts(), learner.missing_values()))
    };
    let (kind, access, predicts, missing) = guarded(declare)?;
    let classes = classes_of(&kind, predicts.classifies(), target)?;
    let ledger = Ledger::new();
    let numbered = match &classes {
        Some(classes) if !classes.are_numbers() => Some(number_classes(y.as_mat(), classes, &Heap, &ledger)?),
        _ => None,
    };
    let numbered = numbered.map(|numbers| numbers.into_table());
    let y: &dyn Table = numbered.as_deref().unwrap_or(y);
    check_rows(x.as_mat(), missing == MissingValues::Accepted).map_err(|e| e.of_table(&x.describe()))?;
    check_rows(y.as_mat(), false).map_err(|e| e.of_table(&y.describe()))?;
    let rows = Rows::all(shape.nrows);
    let view = RowsView::new(x.as_mat(), &rows)?;
    let turned = match access {
        Access::Contiguous(Some(order)) if order != x.as_mat().order() => {
            let purpose = GatherFor { layer: 0, fold: None, what: "training rows" };
            Some(gather(&view, order, &Heap, &ledger, purpose)?)
        }
        _ => None,
    };
    let view = match &turned {
        Some(turned) => RowsView::new(turned.as_mat(), &rows)?,
        None => view,
    };
    let train = Train::new(view, RowsView::new(y.as_mat(), &rows)?)?;
    let (x_handle, y_handle) = (x.handle(), y.handle());
    let n_classes = classes.as_ref().map(Classes::len);
    let cx = FitContext {
        seed: seed_for(0, 0, 0, None),
        table: x_handle.as_ref(),
        target: y_handle.as_ref(),
        n_classes,
        ..FitContext::alone(&Heap, &ledger)
    };
    let fitted = guarded(|| learner.fit_rows(&train, &cx));
    // Files that changed explain any fault that comes of it, so they are told first.
    unchanged()?;
    let model = fitted?;
    guarded(|| check_fitted(model.as_ref(), shape.ncols, predicts, n_classes))?;
    Ok(FittedModel::new(kind, model, shape.ncols, classes))
}

/// The classes of the target, when the learner classifies.
fn classes_of(kind: &str, classifies: bool, target: &Target<'_>) -> Result<Option<Classes>> {
    match (classifies, target.classes()) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(Error::unsupported(format!(
            "{kind} predicts numbers, and the target holds words; use a classifier"
        ))),
        (true, Some(classes)) => Ok(Some(classes.clone())),
        (true, None) => {
            let y = target.table();
            Classes::of(y.as_mat()).map(Some).map_err(|e| e.in_target(&y.describe()))
        }
    }
}

/// A learner fitted by itself, as [`Fit::fit`] gives it: its model, and the classes that it predicts. Whatever a [`Model`] tells, it tells.
pub struct FittedModel {
    /// One layer of one learner.
    ensemble: FittedEnsemble,
}

impl FittedModel {
    fn new(kind: String, model: Arc<dyn Model>, ncols: usize, classes: Option<Classes>) -> Self {
        let layers = vec![vec![FittedLearner { name: kind.clone(), kind, model }]];
        Self { ensemble: FittedEnsemble::from_layers(layers, ncols, classes) }
    }

    fn learner(&self) -> &FittedLearner {
        &self.ensemble.layers()[0][0]
    }

    /// The kind of the learner; a pipeline's is joined by ` | `.
    pub fn kind(&self) -> &str {
        self.learner().kind()
    }

    /// The classes of the target, when the learner is a classifier.
    pub fn classes(&self) -> Option<&Classes> {
        self.ensemble.classes()
    }

    /// Predict every row into a new vector, 8 bytes a row: a number, or the most probable class's label as [`Classes::number`] writes
    /// it.
    ///
    /// # Errors
    /// As [`FittedModel::predict_into`].
    pub fn predict(&self, x: impl AsTable) -> Result<Vec<f64>> {
        self.ensemble.predict(x).map_err(Error::without_learner)
    }

    /// Predict every row into `out`, in parallel blocks.
    ///
    /// # Errors
    /// When `x` has another number of columns or `out` another length; for a value of `x` that is not finite, by row and column, unless
    /// the model accepts it; for a prediction that is not finite, and whatever else the model fails with.
    pub fn predict_into(&self, x: impl AsTable, out: &mut [f64]) -> Result<()> {
        self.ensemble.predict_into(x, out).map_err(Error::without_learner)
    }

    /// Predict the probability of every class, rows x classes in C order, into a new vector: 8 bytes a row and class.
    ///
    /// # Errors
    /// As [`FittedModel::predict_into`], and when the learner is no classifier.
    pub fn predict_proba(&self, x: impl AsTable) -> Result<Vec<f64>> {
        self.ensemble.predict_proba(x).map_err(Error::without_learner)
    }

    /// The label of the most probable class of every row, as [`FittedEnsemble::predict_labels`].
    ///
    /// # Errors
    /// As [`FittedModel::predict_proba`].
    pub fn predict_labels(&self, x: impl AsTable) -> Result<Vec<&Label>> {
        self.ensemble.predict_labels(x).map_err(Error::without_learner)
    }

    /// The model as its own type, also from behind transformers: `None` when it is another.
    pub fn model_as<M: Model>(&self) -> Option<&M> {
        self.learner().model_as()
    }

    /// Write the model to a file, which [`FittedEnsemble::load`] reads as an ensemble of one.
    ///
    /// # Errors
    /// As [`FittedEnsemble::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.ensemble.save(path)
    }
}

impl Deref for FittedModel {
    type Target = Arc<dyn Model>;

    fn deref(&self) -> &Arc<dyn Model> {
        &self.learner().model
    }
}

/// The learner's kind, the columns and the classes; the model's numbers are left out.
impl fmt::Debug for FittedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FittedModel")
            .field("kind", &self.kind())
            .field("ncols", &self.ensemble.ncols())
            .field("classes", &self.classes())
            .finish_non_exhaustive()
    }
}
