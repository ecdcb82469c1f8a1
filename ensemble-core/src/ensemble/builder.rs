//! Super learners: layers of learners under a meta-learner, and what a fit gives back.

use std::{fmt, path::Path, sync::Arc};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    account::ledger::{Totals, Work, copies},
    data::{
        classes::{Classes, Label, most_probable},
        mat::{MatMut, MatRef, Order},
        table::{Heap, Scratch, Table},
    },
    design::kfold::KFold,
    error::{Error, ErrorKind, Result, guarded},
    exec::{
        notes::{FitConvergence, Note},
        run,
        score::Scores,
    },
    learner::{
        estimator::{Estimator, Transformer},
        model::{Model, batch_rows, check_inputs, check_queries, predict_all},
        pipeline::Pipeline,
        registry::Registry,
    },
    monitor::{Monitor, Silent},
    persist::{file::NewFile, record::Record},
    plan::lower::{self, Plan},
    statistic::state::BLOCK_ROWS,
    threads,
};

/// A learner with the name it has in its layer.
#[derive(Clone)]
pub struct Learner {
    pub(crate) name: String,
    pub(crate) estimator: Arc<dyn Estimator>,
}

impl Learner {
    /// Name a learner.
    pub fn new(name: impl Into<String>, estimator: Arc<dyn Estimator>) -> Self {
        Self { name: name.into(), estimator }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Learners that are fitted on the same columns. Their predictions are the next layer's columns, in this order.
#[derive(Clone, Default)]
pub struct Layer {
    pub(crate) learners: Vec<Learner>,
}

impl Layer {
    /// A layer without learners.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a learner.
    #[must_use]
    pub fn learner(self, name: impl Into<String>, estimator: impl Estimator + 'static) -> Self {
        self.shared(name, Arc::new(estimator))
    }

    /// With a learner that is already shared, as [`Registry::pipeline`] gives it.
    #[must_use]
    pub fn shared(mut self, name: impl Into<String>, estimator: Arc<dyn Estimator>) -> Self {
        self.learners.push(Learner::new(name, estimator));
        self
    }

    /// Number of learners.
    pub fn len(&self) -> usize {
        self.learners.len()
    }

    /// Whether there are none yet.
    pub fn is_empty(&self) -> bool {
        self.learners.is_empty()
    }

    /// With a preprocessing case: `learners` behind the same transformers, named `case.learner`.
    #[must_use]
    pub fn case(
        mut self,
        case: &str,
        transformers: &[Arc<dyn Transformer>],
        learners: impl IntoIterator<Item = Learner>,
    ) -> Self {
        for learner in learners {
            let transformers: Vec<_> = transformers.iter().map(Arc::clone).collect();
            let pipeline = Pipeline::new(transformers, learner.estimator);
            self.learners.push(Learner::new(format!("{case}.{}", learner.name), Arc::new(pipeline)));
        }
        self
    }
}

/// Bytes that the engine may hold at once: gathered rows, statistics, prediction columns, and what learners declare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryBudget(Option<u64>);

impl MemoryBudget {
    /// No bound but the memory there is: what Linux calls available, less where control groups or `RLIMIT_AS` leave less. A plan that is
    /// larger puts fits in turn, and is refused when that is not enough ([`ErrorKind::Memory`]). At most one gathered training set is in
    /// memory at a time.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// At most this many bytes, whatever the machine has. What cannot be kept to is refused by the plan, before anything runs.
    pub fn bytes(bytes: u64) -> Self {
        Self(Some(bytes))
    }

    /// The bound.
    pub fn get(self) -> Option<u64> {
        self.0
    }
}

/// A super learner: layers fitted fold by fold, and a meta-learner on their out-of-fold predictions.
///
/// Van der Laan, Polley and Hubbard, "Super Learner", 2007; Wolpert, "Stacked generalization", 1992. Every learner is
/// fitted K + 1 times: once without each fold, for the out-of-fold predictions that the next layer learns from, and once on
/// all rows, for later predictions. Learners whose fits merge share one pass for all of that, whatever K is.
///
/// ```
/// # use ensemble_core::*;
/// # use std::sync::Arc;
/// # struct Mean;
/// # impl Estimator for Mean {
/// #     fn kind(&self) -> String { "doc.mean".into() }
/// #     fn access(&self) -> Access { Access::Segments }
/// #     fn cost(&self, _: Shape) -> FitCost { FitCost::default() }
/// #     fn fit(&self, t: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
/// #         let mean = t.y().flatten().sum::<f64>() / t.shape().nrows as f64;
/// #         Ok(Arc::new(LinearModel::new("doc.mean", vec![0.0; t.shape().ncols], mean)))
/// #     }
/// # }
/// let x = DenseTable::new((0..40).map(f64::from).collect(), 20, 2, Order::C)?;
/// let y = DenseTable::column((0..20).map(f64::from).collect());
/// let fitted = SuperLearner::new(KFold::new(5))
///     .layer(Layer::new().learner("a", Mean).learner("b", Mean))
///     .meta(Mean)
///     .fit(&x, &y)?;
/// assert_eq!(fitted.predict(&x)?[0], 9.5);
/// assert_eq!(fitted.report().totals.gathered_bytes, 0);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct SuperLearner {
    pub(crate) layers: Vec<Layer>,
    pub(crate) meta: Option<Learner>,
    pub(crate) folds: KFold,
    pub(crate) seed: u64,
    pub(crate) threads: Option<usize>,
    pub(crate) budget: MemoryBudget,
    pub(crate) scratch: Arc<dyn Scratch>,
    pub(crate) monitor: Arc<dyn Monitor>,
    pub(crate) out_of_fold: bool,
    pub(crate) score_meta: bool,
    pub(crate) classes: Option<Classes>,
}

impl SuperLearner {
    /// No layers yet.
    pub fn new(folds: KFold) -> Self {
        Self {
            layers: Vec::new(),
            meta: None,
            folds,
            seed: 0,
            threads: None,
            budget: MemoryBudget::unlimited(),
            scratch: Arc::new(Heap),
            monitor: Arc::new(Silent),
            out_of_fold: false,
            score_meta: true,
            classes: None,
        }
    }

    /// With a layer, on top of those before.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// With a meta-learner on top. Without one there must be a single learner in the last layer, which then predicts.
    #[must_use]
    pub fn meta(self, estimator: impl Estimator + 'static) -> Self {
        self.meta_shared(Arc::new(estimator))
    }

    /// As [`SuperLearner::meta`], with a learner that is already shared.
    #[must_use]
    pub fn meta_shared(mut self, estimator: Arc<dyn Estimator>) -> Self {
        self.meta = Some(Learner::new("meta", estimator));
        self
    }

    /// The seed that every fit's own seed derives from. Default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Run on this many threads: a pool made for the fit, unless the caller is in one of that size. Without it, the fit runs on the
    /// pool the caller is in, or on rayon's global one. Results do not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// Keep to a memory budget. Results do not depend on it.
    #[must_use]
    pub fn budget(mut self, budget: MemoryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Where large prediction columns, gathered rows and tables in fold order go. Default: the heap.
    #[must_use]
    pub fn scratch(mut self, scratch: Arc<dyn Scratch>) -> Self {
        self.scratch = scratch;
        self
    }

    /// Who hears of progress and may cancel.
    #[must_use]
    pub fn monitor(mut self, monitor: Arc<dyn Monitor>) -> Self {
        self.monitor = monitor;
        self
    }

    /// Keep the first layer's out-of-fold predictions: rows x learners, row i being the input's row i.
    #[must_use]
    pub fn keep_out_of_fold(mut self) -> Self {
        self.out_of_fold = true;
        self
    }

    /// Do not cross-validate the last stage. Its score is free when it is fitted from statistics; another meta-learner is
    /// fitted K more times for it.
    #[must_use]
    pub fn without_meta_score(mut self) -> Self {
        self.score_meta = false;
        self
    }

    /// The classes of the target, for targets that hold class numbers of labels that are words, as [`Classes::encode`] gives
    /// them. Without it, classes are the whole numbers that the target holds.
    #[must_use]
    pub fn classes(mut self, classes: Classes) -> Self {
        self.classes = Some(classes);
        self
    }

    /// Whether a learner classifies, so that the target holds classes.
    pub fn classifies(&self) -> bool {
        self.stages().into_iter().flatten().any(|l| l.estimator.predicts().classifies())
    }

    /// What a fit on these tables will do, before anything runs: ways, copies, passes, bytes.
    ///
    /// # Errors
    /// Shapes that do not fit, folds that cannot be made, a budget that cannot be kept.
    pub fn plan(&self, x: &dyn Table, y: &dyn Table) -> Result<Plan> {
        guarded(|| lower::plan(self, x, y))
    }

    /// Plan, then fit.
    ///
    /// # Errors
    /// Those of [`SuperLearner::plan`]; a value that is not finite, by row and column; whatever stops a learner, by layer, name
    /// and fold; cancellation.
    pub fn fit(&self, x: &dyn Table, y: &dyn Table) -> Result<FittedEnsemble> {
        let plan = self.plan(x, y)?;
        // A pool of as many threads that the caller is in will do.
        let inside = || rayon::current_thread_index().map(|_| rayon::current_num_threads());
        match self.threads {
            Some(threads) if inside() != Some(threads) => {
                threads::pool(threads)?.install(|| run::run(self, plan, x, y))
            }
            _ => run::run(self, plan, x, y),
        }
    }

    /// The layers with the meta-learner as the last.
    pub(crate) fn stages(&self) -> Vec<&[Learner]> {
        let layers = self.layers.iter().map(|l| l.learners.as_slice());
        layers.chain(self.meta.as_ref().map(std::slice::from_ref)).collect()
    }
}

/// Names and kinds, layer by layer; what it runs on has no text.
impl fmt::Debug for SuperLearner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<Vec<(&str, String)>> = (self.stages().into_iter())
            .map(|stage| stage.iter().map(|l| (l.name.as_str(), l.estimator.kind())).collect())
            .collect();
        f.debug_struct("SuperLearner")
            .field("layers", &stages)
            .field("folds", &self.folds)
            .field("seed", &self.seed)
            .field("threads", &self.threads)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// A learner after its fits.
pub struct FittedLearner {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) model: Arc<dyn Model>,
}

impl FittedLearner {
    /// Its name in the layer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of its estimator; a pipeline's is joined by ` | `.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The model fitted on all rows.
    pub fn model(&self) -> &dyn Model {
        self.model.as_ref()
    }
}

/// What a learner cost and how well it did.
#[derive(Clone, Debug, Serialize)]
pub struct LearnerReport {
    /// The layer, from 0; the meta-learner's is the last.
    pub layer: usize,
    /// Its name in the layer.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// How it took its rows: from `statistics` of the layer below, by statistics of its own that `merge`, as runs in place
    /// (`segments`), or as one matrix: `plain`, `rewired` or `gathered`, the costliest of its training sets.
    pub access: String,
    /// Cross-validated root mean squared error; absent when not scored.
    #[serde(flatten)]
    pub scores: Option<Scores>,
    /// Seconds of its own K + 1 fits, added up over threads; neither the shared pass nor other learners' work that a thread took on
    /// meanwhile is in it.
    pub fit_seconds: f64,
    /// Seconds of its predictions of held-out folds, likewise; 0 where scores follow from statistics.
    pub predict_seconds: f64,
    /// Bytes copied to hand it its rows, and in its fits: what the ledger says. Shared copies count at every learner that uses them.
    pub copied_bytes: u64,
    /// How each of its fits ended, fold by fold and on all rows last; empty for a learner that does not iterate.
    pub convergence: Vec<FitConvergence>,
}

/// What a fit did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Rows of the table.
    pub rows: usize,
    /// Columns of the table.
    pub columns: usize,
    /// Rows held out by each fold.
    pub fold_sizes: Vec<usize>,
    /// Labels of the target's classes, when a learner classifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Label>>,
    /// Threads of the pool.
    pub threads: usize,
    /// Seconds from plan to last fit.
    pub wall_seconds: f64,
    /// Sums over the ledger.
    #[serde(flatten)]
    pub totals: Totals,
    /// Whether the copies in the ledger are the plan's, to the byte.
    pub as_planned: bool,
    /// Every learner, layer by layer.
    pub learners: Vec<LearnerReport>,
    /// What a user should know although nothing failed: what did not converge, and the like.
    pub notes: Vec<Note>,
    /// The ledger.
    pub work: Vec<Work>,
}

impl Report {
    /// The ledger's work that copies or stores bytes: all but passes, added up by purpose, layer and fold.
    pub fn copies(&self) -> Vec<Work> {
        copies(&self.work)
    }
}

/// Prediction columns of a layer.
fn stage_width(stage: &[FittedLearner]) -> usize {
    stage.iter().map(|l| l.model.n_outputs()).sum()
}

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
    pub(crate) stages: Vec<Vec<FittedLearner>>,
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
        let stages: Vec<Vec<(&str, &str)>> =
            self.stages.iter().map(|stage| stage.iter().map(|l| (l.name(), l.kind())).collect()).collect();
        f.debug_struct("FittedEnsemble")
            .field("layers", &stages)
            .field("ncols", &self.ncols)
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

impl FittedEnsemble {
    const RECORD: &'static str = "super_learner";

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
    /// [`ErrorKind::Shape`] unless there is one name per column.
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
    /// [`ErrorKind::Shape`] unless there is one entry per column.
    pub fn set_categories(&mut self, categories: Categories) -> Result<()> {
        if categories.columns.len() != self.ncols {
            return Err(Error::shape("categories of columns", self.ncols, categories.columns.len()));
        }
        self.categories = Some(categories);
        Ok(())
    }

    /// Layer by layer, the meta-learner last.
    pub fn layers(&self) -> &[Vec<FittedLearner>] {
        &self.stages
    }

    /// What the fit did.
    ///
    /// # Panics
    /// On an ensemble read from a file, which has none; see [`FittedEnsemble::try_report`].
    pub fn report(&self) -> &Report {
        self.report.as_ref().expect("an ensemble just fitted has a report")
    }

    /// What the fit did; `None` on an ensemble read from a file.
    pub fn try_report(&self) -> Option<&Report> {
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
        self.stages.last().map_or(0, |stage| stage[0].model.n_outputs())
    }

    /// Whether rows to predict from may hold NaN: every model of the first layer was made for them.
    pub fn accepts_missing(&self) -> bool {
        self.stages.first().is_some_and(|stage| stage.iter().all(|l| l.model.accepts_missing()))
    }

    /// The first layer's out-of-fold predictions, rows x learners (one column per class of a classifier) in the input's order, when
    /// [`SuperLearner::keep_out_of_fold`] asked for them. No copy.
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
    /// When `x` has another number of columns or `out` another length; [`ErrorKind::NotFinite`] for a value of `x` by row and column,
    /// unless the first layer's models accept it; [`ErrorKind::Learner`] by name when a backend fails, or predicts what is not finite
    /// ([`ErrorKind::Prediction`]). `out` is then written in part.
    pub fn predict_into(&self, x: MatRef<'_>, out: &mut [f64]) -> Result<()> {
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
    pub fn predict_proba_into(&self, x: MatRef<'_>, out: &mut [f64]) -> Result<()> {
        let k = self.n_outputs();
        if !self.classifies() {
            return Err(Error::unsupported(
                "the ensemble predicts numbers, not classes: its last learner is a regressor",
            ));
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
        let models = self.stages.iter().flatten().map(FittedLearner::model);
        let widest = self.stages.iter().map(|stage| stage_width(stage)).max().unwrap_or(0);
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
        for (stage, learners) in self.stages.iter().enumerate() {
            let models = learners.iter().map(FittedLearner::model);
            if stage == 0 {
                guarded(|| check_queries(x, models.clone()))?;
            }
            let blame = |at: usize, e: Error| e.in_learner(&learners[at].name, stage, None);
            let (width, x) = (stage_width(learners), predicted(&below, x)?);
            if stage + 1 == self.stages.len() {
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
    pub fn predict(&self, x: &dyn Table) -> Result<Vec<f64>> {
        x.check_unchanged()?;
        let mut out = vec![0.0; x.as_mat().nrows()];
        self.predict_into(x.as_mat(), &mut out).map_err(|e| e.of_table(&x.describe()))?;
        x.check_unchanged()?;
        Ok(out)
    }

    /// Predict the probabilities of a whole table into a new vector, rows x classes in C order: 8 bytes a row and class.
    ///
    /// # Errors
    /// As [`FittedEnsemble::predict_proba_into`] and [`Table::check_unchanged`].
    pub fn predict_proba(&self, x: &dyn Table) -> Result<Vec<f64>> {
        x.check_unchanged()?;
        let mut out = vec![0.0; x.as_mat().nrows() * self.n_outputs()];
        self.predict_proba_into(x.as_mat(), &mut out).map_err(|e| e.of_table(&x.describe()))?;
        x.check_unchanged()?;
        Ok(out)
    }

    /// Write the models fitted on all rows to a file: versioned, checksummed, whole or not at all.
    ///
    /// # Errors
    /// When a model cannot be saved, or [`ErrorKind::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.to_record(|model| model.to_record())?.save(path.as_ref())
    }

    /// As [`FittedEnsemble::save`], but models that keep training rows name them by file and row: a small model file that needs
    /// the table beside it, unchanged.
    ///
    /// # Errors
    /// As there, and when such a model's rows are in no file that stays; see [`Table::reference`].
    pub fn save_by_reference(&self, path: impl AsRef<Path>) -> Result<()> {
        self.to_record(|model| model.to_record_by_reference())?.save(path.as_ref())
    }

    /// As [`FittedEnsemble::save`], into a file that has not taken its name.
    ///
    /// # Errors
    /// As there.
    pub fn write(&self, file: &mut NewFile) -> Result<()> {
        self.to_record(|model| model.to_record())?.write(file)
    }

    /// As [`FittedEnsemble::save_by_reference`], into a file that has not taken its name.
    ///
    /// # Errors
    /// As there.
    pub fn write_by_reference(&self, file: &mut NewFile) -> Result<()> {
        self.to_record(|model| model.to_record_by_reference())?.write(file)
    }

    fn to_record(&self, each: impl Fn(&dyn Model) -> Result<Record>) -> Result<Record> {
        let mut record = Record::new(Self::RECORD).with_field("columns", self.ncols);
        if let Some(names) = &self.feature_names {
            record = record.with_field("feature_names", names.clone());
        }
        if let Some(categories) = &self.categories {
            let value = serde_json::to_value(categories).expect("lists of text");
            record = record.with_field("categories", value);
        }
        if let Some(classes) = &self.classes {
            record = record.with_field("classes", classes.to_json());
        }
        for (at, stage) in self.stages.iter().enumerate() {
            let mut layer = Record::new("layer");
            for learner in stage {
                let model = guarded(|| each(learner.model.as_ref()))
                    .map_err(|e| e.in_learner(&learner.name, at, None))?;
                let child = Record::new("learner")
                    .with_text("name", &learner.name)
                    .with_text("kind", &learner.kind)
                    .with_child(model);
                layer = layer.with_child(child);
            }
            record = record.with_child(layer);
        }
        Ok(record)
    }

    /// Read what [`FittedEnsemble::save`] wrote, with the backends in `registry`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::Format`] for a damaged file, [`ErrorKind::Unsupported`] for a missing backend.
    pub fn load(path: impl AsRef<Path>, registry: &Registry) -> Result<Self> {
        let path = path.as_ref();
        let record = Record::load(path)?;
        let fail = |what: &str| Error::from(ErrorKind::Format { path: path.into(), what: what.into() });
        if record.kind() != Self::RECORD {
            return Err(fail("the file holds no super learner"));
        }
        let mut stages = Vec::new();
        for layer in record.children() {
            let mut learners = Vec::new();
            for learner in layer.children() {
                let model = learner.children().first().ok_or_else(|| fail("a learner without a model"))?;
                learners.push(FittedLearner {
                    name: learner.text("name")?,
                    kind: learner.text("kind")?,
                    model: registry.load_model(model)?,
                });
            }
            stages.push(learners);
        }
        let ncols = record.count("columns")?;
        let classes = record.field("classes").ok().map(Classes::from_json).transpose()?;
        let mut width = ncols;
        for (at, stage) in stages.iter().enumerate() {
            let last = at + 1 == stages.len();
            if stage.is_empty()
                || (last && stage.len() != 1)
                || stage.iter().any(|l| guarded(|| check_inputs(l.model.as_ref(), width)).is_err())
            {
                return Err(fail("the layers of the saved ensemble do not fit each other"));
            }
            let outputs = |l: &FittedLearner| l.model.n_outputs();
            let fits = |n: usize| n == 1 || classes.as_ref().is_some_and(|c| c.len() == n);
            if !stage.iter().all(|l| fits(outputs(l))) {
                return Err(fail("a model of the saved ensemble does not fit its classes"));
            }
            width = stage_width(stage);
        }
        if stages.is_empty() {
            return Err(fail("the saved ensemble has no layers"));
        }
        let mut loaded = Self {
            stages,
            ncols,
            feature_names: None,
            categories: None,
            classes,
            report: None,
            out_of_fold: None,
        };
        if let Ok(names) = record.field("feature_names") {
            let names = names.as_array().into_iter().flatten().filter_map(|n| n.as_str().map(String::from));
            loaded.set_feature_names(names.collect())?;
        }
        if let Ok(categories) = record.field("categories") {
            let categories = serde_json::from_value(categories.clone())
                .map_err(|e| fail(&format!("its categories cannot be read: {e}")))?;
            loaded.set_categories(categories)?;
        }
        Ok(loaded)
    }
}
