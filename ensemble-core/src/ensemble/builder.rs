//! Super learners: layers of learners under a meta-learner.

use std::{borrow::Cow, fmt, sync::Arc};

use crate::{
    account::budget::MemoryBudget,
    data::{
        as_table::{AsTable, AsTarget, Target},
        classes::Classes,
        table::{Scratch, Table},
    },
    design::scheme::Scheme,
    ensemble::fitted::FittedEnsemble,
    error::{Error, ErrorKind, Result, guarded},
    exec::run,
    learner::{
        estimator::Estimator,
        layer::{Layer, Learner},
    },
    monitor::Monitor,
    plan::{job::Job, layer::Plan, lower},
    threads,
};

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
/// #     fn fit_rows(&self, t: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
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
/// assert_eq!(fitted.report().unwrap().totals.gathered_bytes, 0);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct SuperLearner {
    job: Job,
}

impl SuperLearner {
    /// No layers yet, over rows that `scheme` splits: [`KFold`](crate::KFold) or another.
    pub fn new(scheme: impl Scheme + 'static) -> Self {
        Self::shared(Arc::new(scheme))
    }

    /// As [`SuperLearner::new`], with a scheme that is already shared.
    pub fn shared(scheme: Arc<dyn Scheme>) -> Self {
        Self { job: Job::new(scheme) }
    }

    pub(crate) fn from_job(job: Job) -> Self {
        Self { job }
    }

    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// Split rows by another scheme.
    #[must_use]
    pub fn scheme(mut self, scheme: Arc<dyn Scheme>) -> Self {
        self.job.scheme = scheme;
        self
    }

    /// With a layer, on top of those before.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.job.layers.push(layer);
        self
    }

    /// With a meta-learner on top, by value or by pointer. Without one there must be a single learner in the last layer, which then
    /// predicts.
    #[must_use]
    pub fn meta(mut self, estimator: impl Estimator + 'static) -> Self {
        self.job.meta = Some(Learner::new("meta", estimator));
        self
    }

    /// The seed that every fit's own seed derives from. Default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.job.seed = seed;
        self
    }

    /// Run on this many threads: a pool made for the fit, unless the caller is in one of that size. Without it, the fit runs on the
    /// pool the caller is in, or on rayon's global one. Results do not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.job.threads = Some(threads.max(1));
        self
    }

    /// Keep to a memory budget. Results do not depend on it.
    #[must_use]
    pub fn budget(mut self, budget: MemoryBudget) -> Self {
        self.job.budget = budget;
        self
    }

    /// Where large prediction columns, gathered rows and tables in fold order go. Default: the heap.
    #[must_use]
    pub fn scratch(mut self, scratch: Arc<dyn Scratch>) -> Self {
        self.job.scratch = scratch;
        self
    }

    /// Who hears of progress and may cancel.
    #[must_use]
    pub fn monitor(mut self, monitor: Arc<dyn Monitor>) -> Self {
        self.job.monitor = monitor;
        self
    }

    /// Keep the first layer's out-of-fold predictions: rows x learners, row i being the input's row i.
    #[must_use]
    pub fn keep_out_of_fold(mut self) -> Self {
        self.job.out_of_fold = true;
        self
    }

    /// Do not cross-validate the last stage. Its score is free when it is fitted from statistics; another meta-learner is
    /// fitted K more times for it.
    #[must_use]
    pub fn without_meta_score(mut self) -> Self {
        self.job.score_meta = false;
        self
    }

    /// The classes of the target, for targets that hold class numbers of labels that are words, as [`Classes::encode`] gives
    /// them. Without it, classes are the whole numbers that the target holds.
    #[must_use]
    pub fn classes(mut self, classes: Classes) -> Self {
        self.job.classes = Some(classes);
        self
    }

    /// Whether a learner classifies, so that the target holds classes.
    pub fn classifies(&self) -> bool {
        self.job.classifies()
    }

    /// What a fit on these rows, with these targets, will do, before anything runs: ways, copies, passes, bytes.
    ///
    /// # Errors
    /// Shapes that do not fit, folds that cannot be made, a budget that cannot be kept.
    pub fn plan(&self, x: impl AsTable, y: impl AsTarget) -> Result<Plan> {
        let target = y.as_target()?;
        plan(&*self.job_for(&target)?, &*x.as_table()?, target.table())
    }

    /// Plan, then fit.
    ///
    /// # Errors
    /// Those of [`SuperLearner::plan`]; a value that is not finite, by row and column; whatever stops a learner, by layer, name
    /// and fold; cancellation.
    pub fn fit(&self, x: impl AsTable, y: impl AsTarget) -> Result<FittedEnsemble> {
        let target = y.as_target()?;
        fit(&*self.job_for(&target)?, &*x.as_table()?, target.table())
    }

    /// What to fit on this target: with its classes, when it holds words.
    fn job_for(&self, target: &Target<'_>) -> Result<Cow<'_, Job>> {
        let Some(classes) = target.classes() else { return Ok(Cow::Borrowed(&self.job)) };
        if !self.classifies() {
            return Err(Error::unsupported(
                "every learner predicts numbers, and the target holds words; use classifiers",
            ));
        }
        if self.job.classes.as_ref().is_some_and(|given| given != classes) {
            let reason =
                "the target's words are not the classes that were given; give numbers, or no classes";
            return Err(ErrorKind::Classes { reason: reason.into() }.into());
        }
        Ok(Cow::Owned(Job { classes: Some(classes.clone()), ..self.job.clone() }))
    }
}

fn plan(job: &Job, x: &dyn Table, y: &dyn Table) -> Result<Plan> {
    guarded(|| lower::plan(job, x, y))
}

fn fit(job: &Job, x: &dyn Table, y: &dyn Table) -> Result<FittedEnsemble> {
    let plan = plan(job, x, y)?;
    // A pool of as many threads that the caller is in will do.
    let inside = || rayon::current_thread_index().map(|_| rayon::current_num_threads());
    let outcome = match job.threads {
        Some(threads) if inside() != Some(threads) => {
            threads::pool(threads)?.install(|| run::run(job, plan, x, y))
        }
        _ => run::run(job, plan, x, y),
    };
    outcome.map(FittedEnsemble::new)
}

/// Names and kinds, layer by layer; what it runs on has no text.
impl fmt::Debug for SuperLearner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers: Vec<Vec<(&str, String)>> = (self.job.layers().into_iter())
            .map(|layer| layer.iter().map(|l| (l.name.as_str(), l.estimator.kind())).collect())
            .collect();
        f.debug_struct("SuperLearner")
            .field("layers", &layers)
            .field("scheme", &self.job.scheme)
            .field("seed", &self.job.seed)
            .field("threads", &self.job.threads)
            .field("budget", &self.job.budget)
            .finish_non_exhaustive()
    }
}
