//! Carries out a plan: passes, fits, predictions, scores. Decides nothing that the plan could have decided.

use std::{
    cell::Cell,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rayon::prelude::*;

use crate::{
    account::ledger::{Ledger, Totals, Work, WorkKind},
    data::{
        classes::Classes,
        gather::{GatherFor, class_number, gather, number_classes, reorder},
        mat::{MatMut, MatRef, Order, Shape},
        rows::{FoldView, Rows},
        table::{ContiguousView, Heap, Scratch, ScratchMatrix, Table},
    },
    design::kfold::{Folds, permutation, seed_for},
    ensemble::builder::{FittedEnsemble, FittedLearner, Learner, LearnerReport, Report, SuperLearner},
    error::{Error, ErrorKind, Result, guarded},
    exec::{
        notes::{Convergence, FitConvergence, Note},
        score::{Losses, Scores},
    },
    learner::{
        estimator::{Access, FitContext, Fitted, MissingValues, Train, seal},
        model::{LinearForm, Model, batch_rows, check_inputs, check_predicted, predict_all},
    },
    monitor::Event,
    plan::lower::{
        FoldWays, LearnerPlan, Plan, PredictionWay, SourceWay, StagePlan, Way, prediction_room,
        prediction_work, requests,
    },
    statistic::{
        columns::Extrema,
        moments::{MOMENTS, Moments},
        state::{
            BLOCK_ROWS, Block, SEQUENTIAL_BLOCKS, Statistic, StatisticContext, Statistics, absorb_block,
            absorb_tree, complements,
        },
    },
};

/// Models of every learner without each fold; `[fold][learner]`.
type FoldModels = Vec<Vec<Arc<dyn Model>>>;

/// Where the rows of a stage come from.
enum Source<'a> {
    Table(&'a dyn Table),
    Stored(Arc<dyn Table>),
    /// Predictions of the stage below, made in cache.
    Predicted {
        below: Arc<Source<'a>>,
        models: Arc<FoldModels>,
        /// The learners of these models, and their layer.
        learners: &'a [Learner],
        layer: usize,
    },
}

impl Source<'_> {
    fn table(&self) -> Option<&dyn Table> {
        match self {
            Source::Table(table) => Some(*table),
            Source::Stored(table) => Some(table.as_ref()),
            Source::Predicted { .. } => None,
        }
    }

    /// Hand on rows `rows`, which lie in fold `fold`.
    fn block(
        &self,
        fold: usize,
        rows: Range<usize>,
        each: &mut dyn FnMut(MatRef<'_>) -> Result<()>,
    ) -> Result<()> {
        match self {
            Source::Table(table) => each(table.as_mat().rows(rows)?),
            Source::Stored(table) => each(table.as_mat().rows(rows)?),
            Source::Predicted { below, models, learners, layer } => {
                below.block(fold, rows.clone(), &mut |x| {
                    let models = &models[fold];
                    let columns = width(models);
                    let mut z = vec![0.0; x.nrows() * columns];
                    let out = MatMut::new(&mut z, x.nrows(), columns, Order::C)?;
                    let blame = |j: usize, e: Error| {
                        e.after_rows(rows.start).in_learner(&learners[j].name, *layer, Some(fold))
                    };
                    predict_all(x, models.iter().map(Arc::as_ref), out, &blame, &mut [])?;
                    each(MatRef::new(&z, x.nrows(), columns, Order::C)?)
                })
            }
        }
    }

    /// Let the pages of rows that a scan is past go.
    fn release(&self, rows: Range<usize>) {
        match self {
            Source::Table(table) => table.release(rows),
            Source::Stored(table) => table.release(rows),
            Source::Predicted { below, .. } => below.release(rows),
        }
    }

    fn describe(&self) -> String {
        match self.table() {
            Some(table) => table.describe(),
            None => "predictions of the layer below".into(),
        }
    }
}

/// Predicts rows that start at a row of the input into columns beside each other, and adds up each learner's seconds.
type PredictRows<'p> = dyn Fn(usize, MatRef<'_>, MatMut<'_>, &mut [f64]) -> Result<()> + Sync + 'p;

/// Prediction columns of models side by side.
fn width(models: &[Arc<dyn Model>]) -> usize {
    models.iter().map(|m| m.n_outputs()).sum()
}

/// What a stage leaves to the next.
struct Below<'a> {
    source: Arc<Source<'a>>,
    fold_statistics: Option<Vec<Statistics>>,
    models: Arc<FoldModels>,
    predictions: Option<Arc<dyn Table>>,
}

/// One stage's outcome, by learner.
struct StageFit {
    full: Vec<Arc<dyn Model>>,
    /// Empty inner lists where nobody needs the models of folds again.
    fold_models: FoldModels,
    /// How each learner's fits ended, of those that iterate.
    convergence: Vec<Vec<FitConvergence>>,
    /// Fits in which a learner above others gives all of them weight 0.
    zero: Vec<Vec<Option<usize>>>,
    scores: Option<Vec<Scores>>,
    seconds: Vec<f64>,
    predict_seconds: Vec<f64>,
    taken: Vec<Taken>,
    /// Whether statistics of the stage below were all that merging learners needed.
    carried: bool,
    fold_statistics: Option<Vec<Statistics>>,
    predictions: Option<Arc<dyn Table>>,
}

#[tracing::instrument(skip_all, fields(rows = plan.rows, columns = plan.columns, folds = plan.folds.len()))]
pub(crate) fn run(sl: &SuperLearner, plan: Plan, x: &dyn Table, y: &dyn Table) -> Result<FittedEnsemble> {
    let start = Instant::now();
    let unchanged = || x.check_unchanged().and_then(|()| y.check_unchanged());
    unchanged()?;
    let ledger = Ledger::new();
    let order = plan.shuffle.map(|seed| permutation(plan.rows, seed));
    let classes = plan.classes.as_ref();
    let shuffled = match &order {
        None => None,
        Some(order) => {
            let scratch = sl.scratch.as_ref();
            ledger.write(Work::new(
                WorkKind::Pass,
                0,
                None,
                x.as_mat().shape().bytes(),
                "write in fold order",
            ));
            let in_order = reorder(x.as_mat(), order, scratch, &ledger, "table in fold order")?.into_table();
            let mut targets = reorder(y.as_mat(), order, scratch, &ledger, "targets in fold order")?;
            if let Some(classes) = classes.filter(|c| !c.are_numbers()) {
                let mut column = targets.as_mat_mut();
                for row in 0..order.len() {
                    let label = column.as_ref().get(row, 0);
                    column.set(row, 0, class_number(classes, label).map_err(|e| e.in_target(&y.describe()))?);
                }
            }
            Some((in_order, targets.into_table()))
        }
    };
    let numbered = match classes {
        Some(classes) if shuffled.is_none() && !classes.are_numbers() => Some(
            number_classes(y.as_mat(), classes, sl.scratch.as_ref(), &ledger)
                .map_err(|e| e.in_target(&y.describe()))?
                .into_table(),
        ),
        _ => None,
    };
    let (source, y_table, handles) = match &shuffled {
        Some((x, y)) => (Source::Stored(Arc::clone(x)), y.as_ref(), (x.handle(), y.handle())),
        None => {
            let y = numbered.as_deref().unwrap_or(y);
            (Source::Table(x), y, (x.handle(), y.handle()))
        }
    };
    if let Some(classes) = &sl.classes {
        check_classes(y_table.as_mat(), classes, order.as_deref()).map_err(|e| e.in_target(&y.describe()))?;
    }
    let target = y_table.as_mat().column(0).ok_or_else(|| Error::unsupported("the target has gaps"))?;
    let stages = sl.stages();
    let mut below: Option<Below<'_>> = None;
    let mut fitted_stages = Vec::with_capacity(stages.len());
    let mut reports = Vec::new();
    let mut notes = classes.map_or(Vec::new(), |classes| Note::on_classes(classes, target, &plan.folds));
    let mut out_of_fold = None;
    let first_source = Arc::new(source);
    for (at, learners) in stages.iter().enumerate() {
        let stage_plan = &plan.stages[at];
        let source = match (&below, stage_plan.source) {
            (None, _) => Arc::clone(&first_source),
            (Some(below), SourceWay::Predictions) => {
                let table = below.predictions.as_ref().expect("planned to be stored");
                Arc::new(Source::Stored(Arc::clone(table)))
            }
            (Some(below), _) => Arc::new(Source::Predicted {
                below: Arc::clone(&below.source),
                models: Arc::clone(&below.models),
                learners: stages[at - 1],
                layer: at - 1,
            }),
        };
        let handle = if at == 0 { handles.0.clone() } else { source.table().and_then(|t| t.handle()) };
        let stage = Stage {
            sl,
            at,
            learners,
            plan: stage_plan,
            folds: &plan.folds,
            source: &source,
            y: target,
            y_table,
            ledger: &ledger,
            handle,
            y_handle: handles.1.clone(),
            keep_models: at + 1 < stages.len(),
            n_classes: classes.map(Classes::len),
            // Faults are told in the input's terms, also when rows were written in fold order.
            x_name: if at == 0 { x.describe() } else { source.describe() },
            y_name: y.describe(),
            order: order.as_deref(),
        };
        let fit = stage.run(below.as_ref());
        // Files that changed explain any fault that comes of it, so they are told first.
        unchanged()?;
        let fit = fit?;
        for (j, learner) in learners.iter().enumerate() {
            reports.push(stage.report(j, learner, &fit));
            notes.extend(stage.notes(j, learner, &fit));
        }
        if at == 0 && sl.out_of_fold {
            out_of_fold = Some(match (&order, &fit.predictions) {
                (Some(order), Some(table)) => in_input_order(sl, order, table.as_ref(), &ledger)?,
                (None, Some(table)) => Arc::clone(table),
                (_, None) => unreachable!("out-of-fold predictions are planned to be stored"),
            });
        }
        let models = Arc::new(fit.fold_models);
        fitted_stages.push(
            learners
                .iter()
                .zip(fit.full)
                .map(|(l, model)| FittedLearner { name: l.name.clone(), kind: l.estimator.kind(), model })
                .collect(),
        );
        below = Some(Below {
            source,
            fold_statistics: fit.fold_statistics,
            models,
            predictions: fit.predictions,
        });
    }
    let work = ledger.into_entries();
    let mut report = Report {
        rows: plan.rows,
        columns: plan.columns,
        fold_sizes: plan.folds.sizes(),
        classes: plan.classes.as_ref().map(|c| c.labels().into()),
        threads: rayon::current_num_threads(),
        wall_seconds: start.elapsed().as_secs_f64(),
        totals: Totals::of(&work),
        as_planned: false,
        learners: reports,
        notes,
        work,
    };
    report.as_planned = report.copies() == plan.copies();
    Ok(FittedEnsemble {
        stages: fitted_stages,
        ncols: plan.columns,
        feature_names: None,
        categories: None,
        classes: plan.classes,
        report: Some(report),
        out_of_fold,
    })
}

/// Bring rows in fold order back to the input's order.
fn in_input_order(
    sl: &SuperLearner,
    order: &[u32],
    table: &dyn Table,
    ledger: &Ledger,
) -> Result<Arc<dyn Table>> {
    let mat = table.as_mat();
    let bytes = mat.shape().bytes();
    let mut out = prediction_room(sl, bytes, &Heap).matrix(mat.shape(), Order::C)?;
    {
        let mut out = out.as_mat_mut();
        for (row, to) in order.iter().enumerate() {
            mat.copy_row_into(row, out.row_mut(*to as usize).expect("scratch in C order"));
        }
    }
    ledger.write(prediction_work(sl, 0, bytes, "out-of-fold predictions in input order"));
    Ok(out.into_table())
}

struct Stage<'s, 'a> {
    sl: &'s SuperLearner,
    at: usize,
    learners: &'s [Learner],
    plan: &'s StagePlan,
    folds: &'s Folds,
    source: &'s Arc<Source<'a>>,
    y: &'s [f64],
    y_table: &'s dyn Table,
    ledger: &'s Ledger,
    handle: Option<Arc<dyn Table>>,
    y_handle: Option<Arc<dyn Table>>,
    /// Models of folds are needed by the stage above.
    keep_models: bool,
    /// Classes of the target, when a learner classifies.
    n_classes: Option<usize>,
    x_name: String,
    y_name: String,
    order: Option<&'s [u32]>,
}

/// One finished fit of an opaque learner.
struct OpaqueFit {
    learner: usize,
    held_out: usize,
    model: Option<Arc<dyn Model>>,
    convergence: Option<Convergence>,
    predicted: Predicted,
    seconds: f64,
    taken: Taken,
}

/// What came of predicting one fold with one learner's model.
#[derive(Clone, Default)]
struct Predicted {
    /// Losses, block by block.
    losses: Vec<Losses>,
    /// Added up over threads.
    seconds: f64,
}

/// How a learner took its rows, and the bytes that were copied for it.
#[derive(Clone, Copy, Debug)]
struct Taken {
    way: &'static str,
    /// Of the one training set that was the costliest to hand over.
    most: u64,
    bytes: u64,
}

impl Default for Taken {
    fn default() -> Self {
        Self { way: "plain", most: 0, bytes: 0 }
    }
}

impl Taken {
    /// With another training set: the costliest way says most.
    fn and(self, other: Self) -> Self {
        let costly =
            if (other.way != "plain", other.most) > (self.way != "plain", self.most) { other } else { self };
        Self { bytes: self.bytes + other.bytes, ..costly }
    }
}

impl Stage<'_, '_> {
    fn fit_sets(&self) -> Range<usize> {
        let k = self.folds.len();
        if self.plan.cross_validated { 0..k + 1 } else { k..k + 1 }
    }

    fn run(&self, below: Option<&Below<'_>>) -> Result<StageFit> {
        let k = self.folds.len();
        let merging: Vec<usize> =
            (0..self.learners.len()).filter(|j| self.learners[*j].estimator.as_merge().is_some()).collect();
        let opaque: Vec<usize> = (0..self.learners.len()).filter(|j| !merging.contains(j)).collect();
        let fits = self.fit_sets().len() * self.learners.len();
        let scored = if self.plan.predictions == PredictionWay::None { 0 } else { k * merging.len() };
        let steps = fits + scored + usize::from(!merging.is_empty());
        self.sl.monitor.event(Event::Layer { layer: self.at, steps });

        if self.plan.checked {
            self.pass("check values");
            self.fold_statistics(&[Box::new(Extrema::new(self.ncols()))])?;
        }
        let mut seconds = vec![0.0; self.learners.len()];
        let mut predict_seconds = vec![0.0; self.learners.len()];
        let mut taken = vec![Taken::default(); self.learners.len()];
        // models[set][learner]; the last set is all rows.
        let mut models: Vec<Vec<Option<Arc<dyn Model>>>> = vec![vec![None; self.learners.len()]; k + 1];
        let (mut fold_statistics, mut carried) = (None, false);
        // ended[learner][set]
        let mut ended: Vec<Vec<Option<Convergence>>> = vec![vec![None; k + 1]; self.learners.len()];
        if !merging.is_empty() {
            let (statistics, from_below) = self.fit_merging(&merging, below, &mut models, &mut seconds)?;
            (fold_statistics, carried) = (Some(statistics), from_below);
            for (set, models) in models.iter().enumerate() {
                for (ended, model) in ended.iter_mut().zip(models) {
                    ended[set] = model.as_ref().and_then(|m| m.convergence());
                }
            }
        }

        let ncols = self.plan.learners.last().map_or(0, |l| l.columns.end);
        let shape = Shape { nrows: self.y.len(), ncols };
        let mut stored: Option<Box<dyn ScratchMatrix>> = if self.plan.predictions.is_stored() {
            let room = prediction_room(self.sl, shape.bytes(), &Heap);
            self.ledger.write(prediction_work(self.sl, self.at, shape.bytes(), "out-of-fold predictions"));
            Some(room.matrix(shape, Order::C)?)
        } else {
            None
        };
        let mut losses: Vec<Vec<Vec<Losses>>> = vec![vec![Vec::new(); self.learners.len()]; k];
        {
            let columns = stored.as_mut().map(|s| split_folds(s.as_mat_mut(), self.folds));
            if self.plan.predictions != PredictionWay::None && !merging.is_empty() {
                self.pass("out-of-fold predictions");
                let predicted = self.predict_merging(&merging, &models, columns.as_deref())?;
                for (fold, predicted) in predicted.into_iter().enumerate() {
                    for (j, predicted) in merging.iter().zip(predicted) {
                        losses[fold][*j] = predicted.losses;
                        predict_seconds[*j] += predicted.seconds;
                    }
                }
            }
            if !opaque.is_empty() {
                if self.plan.cross_validated {
                    opaque.iter().for_each(|_| self.pass("out-of-fold predictions"));
                }
                for fit in self.fit_opaque(&opaque, columns.as_deref())? {
                    seconds[fit.learner] += fit.seconds;
                    predict_seconds[fit.learner] += fit.predicted.seconds;
                    taken[fit.learner] = taken[fit.learner].and(fit.taken);
                    if fit.held_out < k {
                        losses[fit.held_out][fit.learner] = fit.predicted.losses;
                    }
                    ended[fit.learner][fit.held_out] = fit.convergence;
                    models[fit.held_out][fit.learner] = fit.model;
                }
            }
        }
        self.check_full(&models[k])?;
        let scores = self.scores(fold_statistics.as_deref(), &models, &losses)?;
        let convergence = ended.into_iter().map(|ended| self.convergence(&ended)).collect();
        let zero = (0..self.learners.len()).map(|j| self.zero_weights(&models, j)).collect();
        let full = models.pop().expect("K + 1 sets");
        let full = full.into_iter().map(|m| m.expect("every learner is fitted on all rows")).collect();
        let fold_models = if self.keep_models {
            models.into_iter().map(|set| set.into_iter().flatten().collect()).collect()
        } else {
            Vec::new()
        };
        let predictions = stored.map(|s| s.into_table());
        Ok(StageFit {
            full,
            fold_models,
            convergence,
            zero,
            scores,
            seconds,
            predict_seconds,
            taken,
            carried,
            fold_statistics,
            predictions,
        })
    }

    fn ncols(&self) -> usize {
        match self.source.as_ref() {
            Source::Predicted { models, .. } => models.first().map_or(0, |m| width(m)),
            source => source.table().map_or(0, |t| t.as_mat().ncols()),
        }
    }

    /// Write down a scan for this stage: of its own table, or of the one that streamed predictions are made from.
    fn pass(&self, what: &'static str) {
        self.ledger.write(self.plan.reads.work(what));
    }

    fn step(&self, what: &str, fold: Option<usize>) {
        self.sl.monitor.event(Event::Step { layer: self.at, what, fold });
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.sl.monitor.is_cancelled() { Err(ErrorKind::Cancelled.into()) } else { Ok(()) }
    }

    /// A scan of a fold is past block `b`: at the end of a run of blocks that one thread works on, look at cancellation and, under a
    /// budget, let the run's pages go.
    fn passed(&self, range: &Range<usize>, b: usize) -> Result<()> {
        if (b + 1).is_multiple_of(SEQUENTIAL_BLOCKS) || b + 1 == n_blocks(range) {
            self.check_cancelled()?;
            if self.sl.budget.get().is_some() {
                let first = b / SEQUENTIAL_BLOCKS * SEQUENTIAL_BLOCKS;
                let rows = block_rows(range, first).start..block_rows(range, b).end;
                self.source.release(rows.clone());
                self.y_table.release(rows);
            }
        }
        Ok(())
    }

    /// One state of every prototype per fold: one scan.
    fn fold_statistics(&self, prototypes: &[Box<dyn Statistic>]) -> Result<Vec<Statistics>> {
        let missing = self.accepts_missing();
        // Sums cannot tell where NaN may be; nor can states that sum nothing.
        let blind = missing || prototypes.iter().all(|p| p.is_finite().is_none());
        (0..self.folds.len())
            .into_par_iter()
            .map(|fold| {
                let range = self.folds.range(fold);
                let absorb = |b: usize, states: &mut [Box<dyn Statistic>]| {
                    let rows = block_rows(&range, b);
                    self.source.block(fold, rows.clone(), &mut |x| {
                        let y = &self.y[rows.clone()];
                        if blind && !(has_only_numbers(x, missing) && y.iter().all(|v| v.is_finite())) {
                            return Err(self.not_finite(fold));
                        }
                        absorb_block(states, &Block { x, y, first_row: rows.start })
                    })?;
                    self.passed(&range, b)
                };
                guarded(|| {
                    let states = absorb_tree(0..n_blocks(&range), prototypes, &absorb)?;
                    if !missing && states.iter().any(|s| s.is_finite() == Some(false)) {
                        return Err(self.not_finite(fold));
                    }
                    seal(states)
                })
                .map_err(|e| self.asked_for(e, Some(fold)))
            })
            .collect()
    }

    /// An error of a statistic, with the learners that asked for it.
    fn asked_for(&self, error: Error, fold: Option<usize>) -> Error {
        let cx = self.statistic_context();
        error.asked_for(self.at, fold, |key| {
            let asks = |l: &&Learner| {
                let wanted = guarded(|| l.estimator.as_merge().map_or(Ok(Vec::new()), |m| m.statistics(&cx)));
                wanted.is_ok_and(|w| w.iter().any(|s| s.key().to_string() == key))
            };
            self.learners.iter().filter(asks).map(|l| l.name.clone()).collect()
        })
    }

    /// Whether every learner of the first layer learns from NaN. Where one does not, it refuses the table for all.
    fn accepts_missing(&self) -> bool {
        self.at == 0 && self.learners.iter().all(|l| l.estimator.missing_values() == MissingValues::Accepted)
    }

    /// An error for NaN in the input, said of the learner that does not learn from it, where others do.
    fn refused_by(&self, error: Error, value: f64) -> Error {
        let accepts = |l: &&Learner| l.estimator.missing_values() == MissingValues::Accepted;
        let refuser = self.learners.iter().find(|l| !accepts(l));
        match refuser.filter(|_| self.at == 0 && value.is_nan() && self.learners.iter().any(|l| accepts(&l)))
        {
            Some(learner) => {
                ErrorKind::Learner { name: learner.name.clone(), layer: self.at, fold: None, source: error }
                    .into()
            }
            None => error,
        }
    }

    /// Where the first value of a fold stands that is not finite, and not NaN that is accepted, in the input's rows.
    fn not_finite(&self, fold: usize) -> Error {
        let range = self.folds.range(fold);
        let input_row = |row: usize| self.order.map_or(row, |o| o[row] as usize);
        for b in 0..n_blocks(&range) {
            let rows = block_rows(&range, b);
            let mut found = None;
            let scanned = self.source.block(fold, rows.clone(), &mut |x| {
                found = first_fault(x, self.accepts_missing());
                Ok(())
            });
            if let Err(error) = scanned {
                return error;
            }
            let bad_y = self.y[rows.clone()].iter().position(|v| !v.is_finite());
            if let Some((row, column, value)) = found {
                let row = input_row(rows.start + row);
                let table = self.x_name.clone();
                return self.refused_by(ErrorKind::NotFinite { table, row, column, value }.into(), value);
            }
            if let Some(row) = bad_y {
                let value = self.y[rows.start + row];
                let row = input_row(rows.start + row);
                return ErrorKind::NotFinite { table: self.y_name.clone(), row, column: 0, value }.into();
            }
        }
        ErrorKind::Overflow { table: self.x_name.clone() }.into()
    }

    fn statistic_context(&self) -> StatisticContext {
        StatisticContext { n_classes: self.n_classes, ..StatisticContext::new(self.ncols()) }
            .with_tables(self.handle.as_ref(), self.y_handle.as_ref())
    }

    /// Fit all merging learners on all training sets; returns each fold's statistics, and whether they needed no scan.
    #[tracing::instrument(skip_all, fields(layer = self.at, learners = merging.len()))]
    fn fit_merging(
        &self,
        merging: &[usize],
        below: Option<&Below<'_>>,
        models: &mut [Vec<Option<Arc<dyn Model>>>],
        seconds: &mut [f64],
    ) -> Result<(Vec<Statistics>, bool)> {
        let mut wanted = requests(self.learners, self.at, &self.statistic_context())?;
        let mut folds = vec![Statistics::default(); self.folds.len()];
        let mut sets: Vec<Statistics> = vec![Statistics::default(); self.folds.len() + 1];
        let mut open: Vec<(usize, usize)> =
            merging.iter().flat_map(|j| self.fit_sets().map(move |set| (*j, set))).collect();
        let mut from_below = self.plan.source == SourceWay::Statistics;
        let mut scanned = false;
        let mut told = false;
        while !open.is_empty() {
            let carried = match below {
                Some(below) if from_below => self.carried(below)?,
                _ => None,
            };
            let fresh = match carried {
                Some(carried) => carried,
                None => {
                    scanned = true;
                    self.pass("statistics");
                    self.fold_statistics(&wanted)?
                }
            };
            if !told {
                self.step("statistics", None);
                told = true;
            }
            from_below = false;
            let merged = complements(&fresh).map_err(|e| self.asked_for(e, None))?;
            for (set, more) in sets.iter_mut().zip(merged) {
                set.extend(&more);
            }
            for (fold, more) in folds.iter_mut().zip(&fresh) {
                fold.extend(more);
            }
            let outcomes: Vec<(usize, usize, f64, Fitted)> = open
                .par_iter()
                .map(|&(j, set)| {
                    let learner = &self.learners[j];
                    let merge = learner.estimator.as_merge().expect("a merging learner");
                    let (fitted, seconds) = clocked(|| guarded(|| merge.fit_from(&sets[set])));
                    let fitted = fitted.map_err(|e| self.named(e, j, set))?;
                    if matches!(fitted, Fitted::Model(_)) {
                        self.step(&learner.name, (set < self.folds.len()).then_some(set));
                    }
                    Ok((j, set, seconds, fitted))
                })
                .collect::<Result<_>>()?;
            open.clear();
            let mut more = Vec::new();
            for (j, set, time, fitted) in outcomes {
                seconds[j] += time;
                match fitted {
                    Fitted::Model(model) => {
                        self.check_model(j, set, model.as_ref())?;
                        models[set][j] = Some(model);
                    }
                    Fitted::Needs(needs) => {
                        if needs.iter().all(|n| sets[set].has(&n.key())) {
                            let again = Error::unsupported("it asks again for statistics it already has");
                            return Err(self.named(again, j, set));
                        }
                        more.extend(needs);
                        open.push((j, set));
                    }
                }
            }
            wanted = crate::statistic::state::minimal_requests(more);
        }
        Ok((folds, !scanned))
    }

    /// This stage's fold statistics from those of the stage below; `None` when the algebra would cancel, and predictions must be
    /// summed up block by block instead.
    fn carried(&self, below: &Below<'_>) -> Result<Option<Vec<Statistics>>> {
        let folds =
            below.fold_statistics.as_ref().ok_or_else(|| Error::unsupported("no statistics below"))?;
        folds
            .iter()
            .zip(below.models.iter())
            .map(|(statistics, models)| {
                let moments = statistics.get::<Moments>(&MOMENTS)?;
                let forms: Vec<LinearForm<'_>> = models.iter().filter_map(|m| m.as_linear()).collect();
                if forms.len() != models.len() {
                    return Err(Error::unsupported(
                        "a learner that declares itself linear fitted no linear model",
                    ));
                }
                Ok(moments.project_safely(&forms).map(|m| Statistics::new(vec![Arc::new(m)])))
            })
            .collect()
    }

    fn named(&self, error: Error, learner: usize, set: usize) -> Error {
        let fold = (set < self.folds.len()).then_some(set);
        error.in_learner(&self.learners[learner].name, self.at, fold)
    }

    /// That a model has the columns of the rows it was fitted on, predicts as many as its learner declared, and, where it is linear,
    /// consists of numbers: what the algebra, and every prediction, takes for granted.
    fn check_model(&self, learner: usize, set: usize, model: &dyn Model) -> Result<()> {
        let planned = &self.plan.learners[learner];
        let check = || {
            if model.n_outputs() != planned.columns.len() {
                let what =
                    format!("columns that a model predicts whose learner declared {}", planned.predicts);
                return Err(Error::shape(what, planned.columns.len(), model.n_outputs()));
            }
            check_inputs(model, self.ncols())?;
            let _ = (model.batch_rows(), model.accepts_missing());
            let finite = |form: LinearForm<'_>| {
                form.intercept.is_finite() && form.coefficients.iter().all(|c| c.is_finite())
            };
            if model.as_linear().is_none_or(finite) {
                return Ok(());
            }
            Err(Error::unsupported(
                "its fit gives coefficients that are not finite; bring the columns to sizes nearer to 1 first",
            ))
        };
        guarded(check).map_err(|e| self.named(e, learner, set))
    }

    /// That the models fitted on all rows predict numbers: on a few rows, since those of folds have predicted all others. Linear ones
    /// have been looked at.
    fn check_full(&self, models: &[Option<Arc<dyn Model>>]) -> Result<()> {
        const ROWS: usize = 16;
        let rows = 0..self.folds.range(0).len().min(ROWS);
        for (j, model) in models.iter().enumerate() {
            let Some(model) = model.as_ref().filter(|m| m.as_linear().is_none()) else { continue };
            self.source.block(0, rows.clone(), &mut |x| {
                let mut z = vec![0.0; x.nrows() * model.n_outputs()];
                let mut out = MatMut::new(&mut z, x.nrows(), model.n_outputs(), Order::C)?;
                guarded(|| {
                    model.predict_into(x, out.reborrow())?;
                    check_predicted(out.as_ref())
                })
                .map_err(|e| self.named(e, j, self.folds.len()))
            })?;
        }
        Ok(())
    }

    /// Predict every fold with the merging learners fitted without it, into `columns` where predictions are stored. Returns what came
    /// of it, `[fold][learner]`.
    #[tracing::instrument(skip_all, fields(layer = self.at))]
    fn predict_merging(
        &self,
        merging: &[usize],
        models: &[Vec<Option<Arc<dyn Model>>>],
        columns: Option<&[Mutex<MatMut<'_>>]>,
    ) -> Result<Vec<Vec<Predicted>>> {
        (0..self.folds.len())
            .into_par_iter()
            .map(|fold| {
                let own: Vec<Arc<dyn Model>> =
                    merging.iter().map(|j| Arc::clone(models[fold][*j].as_ref().expect("fitted"))).collect();
                let models = || own.iter().map(Arc::as_ref);
                let predict = |first: usize, x: MatRef<'_>, out: MatMut<'_>, seconds: &mut [f64]| {
                    let blame = |at: usize, e: Error| self.named(self.input_row(e, first), merging[at], fold);
                    predict_all(x, models(), out, &blame, seconds)
                };
                let losses = self.predict_fold(merging, fold, models(), columns, &predict)?;
                merging.iter().for_each(|j| self.step(&self.learners[*j].name, Some(fold)));
                Ok(losses)
            })
            .collect()
    }

    /// Fit the learners that need rows, wave by wave.
    fn fit_opaque(&self, opaque: &[usize], columns: Option<&[Mutex<MatMut<'_>>]>) -> Result<Vec<OpaqueFit>> {
        let mut fits = Vec::new();
        for wave in &self.plan.waves {
            let done: Vec<Vec<OpaqueFit>> = wave
                .folds
                .par_iter()
                .map(|&set| clocked(|| self.fit_set(opaque, set, wave.serial, columns)).0)
                .collect::<Result<_>>()?;
            fits.extend(done.into_iter().flatten());
        }
        Ok(fits)
    }

    /// Fit the opaque learners on one training set; its contiguous views are made once and shared.
    #[tracing::instrument(skip_all, fields(layer = self.at, set))]
    fn fit_set(
        &self,
        opaque: &[usize],
        set: usize,
        serial: bool,
        columns: Option<&[Mutex<MatMut<'_>>]>,
    ) -> Result<Vec<OpaqueFit>> {
        let fold = (set < self.folds.len()).then_some(set);
        let table = self
            .source
            .table()
            .ok_or_else(|| Error::unsupported("a learner needs rows that are not stored"))?;
        let rows = match fold {
            Some(f) => Rows::all_but(self.y.len(), self.folds.range(f))?,
            None => Rows::all(self.y.len()),
        };
        let views = Views::make(self, table, &rows, &self.plan.ways[set], fold)?;
        let run = |j: usize| -> Result<OpaqueFit> {
            self.check_cancelled()?;
            let learner = &self.learners[j];
            // What the fit copies for itself is this learner's.
            let ledger = Ledger::new();
            let order = self.plan.learners[j].order;
            let (model, seconds) = clocked(|| {
                views.with_train(order, |train| {
                    let cx = FitContext {
                        seed: seed_for(self.sl.seed, self.at, j, fold),
                        layer: self.at,
                        fold,
                        scratch: self.sl.scratch.as_ref(),
                        ledger: &ledger,
                        table: self.handle.as_ref(),
                        target: self.y_handle.as_ref(),
                        n_classes: self.n_classes,
                    };
                    guarded(|| learner.estimator.fit(train, &cx))
                })
            });
            let model = model.map_err(|e| self.named(e, j, set))?;
            let (way, shared) = views.taken(order);
            let taken = Taken { way, most: shared, bytes: shared + ledger.copied_bytes() };
            self.ledger.append(ledger);
            self.check_model(j, set, model.as_ref())?;
            let predicted = match fold {
                Some(f) => {
                    let models = [model.as_ref()].into_iter();
                    let predict = |first: usize, x: MatRef<'_>, out: MatMut<'_>, seconds: &mut [f64]| {
                        let blame = |_, e: Error| self.named(self.input_row(e, first), j, set);
                        predict_all(x, models.clone(), out, &blame, seconds)
                    };
                    self.predict_fold(&[j], f, models.clone(), columns, &predict)?.swap_remove(0)
                }
                None => Predicted::default(),
            };
            self.step(&learner.name, fold);
            // A stage above that streams predictions reads linear models again; others may be large and go.
            let keep = fold.is_none() || (self.keep_models && learner.estimator.is_linear());
            let convergence = model.convergence();
            Ok(OpaqueFit {
                learner: j,
                held_out: set,
                model: keep.then_some(model),
                convergence,
                predicted,
                seconds,
                taken,
            })
        };
        if serial {
            opaque.iter().map(|j| run(*j)).collect()
        } else {
            opaque.par_iter().map(|j| run(*j)).collect()
        }
    }

    /// An error of rows from `first` on, said of the input's rows.
    fn input_row(&self, error: Error, first: usize) -> Error {
        error.with_row(|row| self.order.map_or(first + row, |order| order[first + row] as usize))
    }

    /// Predict one fold by `predict`, which is told where its rows start and writes the columns of `learners` beside each other's,
    /// with `models`, into `columns` where predictions are stored. Returns what came of it, by
    /// learner.
    fn predict_fold<'m>(
        &self,
        learners: &[usize],
        fold: usize,
        models: impl Iterator<Item = &'m dyn Model>,
        columns: Option<&[Mutex<MatMut<'_>>]>,
        predict: &PredictRows<'_>,
    ) -> Result<Vec<Predicted>> {
        let range = self.folds.range(fold);
        let plans: Vec<&LearnerPlan> = learners.iter().map(|j| &self.plan.learners[*j]).collect();
        let places: Vec<Range<usize>> = plans.iter().map(|plan| plan.columns.clone()).collect();
        let width = places.iter().map(|place| place.len()).sum();
        // By batch: by block and learner, and the seconds by learner.
        let batch = |blocks: Range<usize>| -> Result<(Vec<Vec<Losses>>, Vec<f64>)> {
            let rows = rows_of_blocks(&range, &blocks);
            let mut z = vec![0.0; rows.len() * width];
            let mut seconds = vec![0.0; plans.len()];
            self.source.block(fold, rows.clone(), &mut |x| {
                predict(rows.start, x, MatMut::new(&mut z, x.nrows(), width, Order::C)?, &mut seconds)
            })?;
            let z = MatRef::new(&z, rows.len(), width, Order::C)?;
            if let Some(columns) = columns {
                store(&columns[fold], rows.start - range.start, &places, z);
            }
            blocks.into_iter().try_for_each(|b| self.passed(&range, b))?;
            let y = self.y[rows].chunks(BLOCK_ROWS);
            let block = |(z, y): (MatRef<'_>, &[f64])| {
                let mut first = 0;
                let losses = plans.iter().map(|plan| {
                    let own = first..first + plan.columns.len();
                    first = own.end;
                    Losses::of(z, own, plan.predicts, y)
                });
                losses.collect()
            };
            Ok((z.row_blocks(BLOCK_ROWS).zip(y).map(block).collect(), seconds))
        };
        let rows = batch_rows(models, self.ncols() + width);
        // Clocked, so that a fit whose thread takes a batch on does not count it as its own.
        let batches: Vec<_> =
            par_batches(&range, rows).map(|blocks| clocked(|| batch(blocks)).0).collect::<Result<_>>()?;
        let by_learner = |a: usize| Predicted {
            losses: batches.iter().flat_map(|(losses, _)| losses).map(|block| block[a]).collect(),
            seconds: batches.iter().map(|(_, seconds)| seconds[a]).sum(),
        };
        Ok((0..plans.len()).map(by_learner).collect())
    }

    fn scores(
        &self,
        statistics: Option<&[Statistics]>,
        models: &[Vec<Option<Arc<dyn Model>>>],
        losses: &[Vec<Vec<Losses>>],
    ) -> Result<Option<Vec<Scores>>> {
        if !self.plan.cross_validated {
            return Ok(None);
        }
        let sizes = self.folds.sizes();
        let mut sums: Vec<Vec<(Losses, usize)>> = vec![Vec::new(); self.learners.len()];
        if self.plan.scored_by_statistics && self.plan.predictions == PredictionWay::None {
            let mut exact: Option<Vec<Vec<Predicted>>> = None;
            for (fold, statistics) in statistics.unwrap_or_default().iter().enumerate() {
                let moments = statistics.get::<Moments>(&MOMENTS)?;
                for (j, sums) in sums.iter_mut().enumerate() {
                    let model = models[fold][j].as_ref().expect("fitted");
                    let form = model.as_linear().ok_or_else(|| {
                        self.named(
                            Error::unsupported("it declares itself linear and fitted no linear model"),
                            j,
                            fold,
                        )
                    })?;
                    let algebra = moments.residual_sum_of_squares(&form);
                    // Where the algebra cancels, the residuals themselves are summed, in one more pass.
                    let sum = if let Some(squared) = algebra.filter(|squared| squared.is_finite()) {
                        Losses::squared(squared)
                    } else {
                        if exact.is_none() {
                            self.pass("out-of-fold predictions");
                            let all: Vec<usize> = (0..self.learners.len()).collect();
                            exact = Some(self.predict_merging(&all, models, None)?);
                        }
                        Losses::sum(exact.as_ref().map_or(&[], |e| &e[fold][j].losses))
                    };
                    self.check_losses(&sum, j, fold)?;
                    sums.push((sum, sizes[fold]));
                }
            }
        } else {
            for (fold, losses) in losses.iter().enumerate() {
                for (j, parts) in losses.iter().enumerate() {
                    let sum = Losses::sum(parts);
                    self.check_losses(&sum, j, fold)?;
                    sums[j].push((sum, sizes[fold]));
                }
            }
        }
        let predicts = self.plan.learners.iter().map(|l| l.predicts);
        Ok(Some(
            sums.iter().zip(predicts).map(|(s, predicts)| Scores::new(s, predicts, self.at == 0)).collect(),
        ))
    }

    /// That a fold's sums of losses are numbers.
    fn check_losses(&self, sum: &Losses, learner: usize, fold: usize) -> Result<()> {
        if sum.squared.is_finite() {
            return Ok(());
        }
        let what = Error::unsupported("it predicted values that are not finite, or whose squares overflow");
        Err(self.named(what, learner, fold))
    }

    fn report(&self, j: usize, learner: &Learner, fit: &StageFit) -> LearnerReport {
        let access = match self.plan.learners[j].access {
            Access::Merge if fit.carried => "statistics",
            Access::Merge => "merge",
            _ => fit.taken[j].way,
        };
        LearnerReport {
            layer: self.at,
            name: learner.name.clone(),
            kind: learner.estimator.kind(),
            access: access.into(),
            scores: fit.scores.as_ref().map(|s| s[j].clone()),
            fit_seconds: fit.seconds[j],
            predict_seconds: fit.predict_seconds[j],
            copied_bytes: fit.taken[j].bytes,
            convergence: fit.convergence[j].clone(),
        }
    }

    fn notes(&self, j: usize, learner: &Learner, fit: &StageFit) -> impl Iterator<Item = Note> + use<> {
        let open = Note::not_converged(self.at, &learner.name, &fit.convergence[j]);
        let zero = Note::all_weights_zero(self.at, &learner.name, fit.zero[j].iter().copied());
        open.into_iter().chain(zero)
    }

    /// The held-out fold of a training set; `None` for the last, all rows.
    fn held_out(&self, set: usize) -> Option<usize> {
        (set < self.folds.len()).then_some(set)
    }

    /// How one learner's fits ended, from what each set's model says.
    fn convergence(&self, ended: &[Option<Convergence>]) -> Vec<FitConvergence> {
        let ended = ended.iter().enumerate();
        ended
            .filter_map(|(set, c)| Some(FitConvergence { fold: self.held_out(set), convergence: (*c)? }))
            .collect()
    }

    /// Sets in which learner `j`, which stands above others, gives all of them weight 0.
    fn zero_weights(&self, models: &[Vec<Option<Arc<dyn Model>>>], j: usize) -> Vec<Option<usize>> {
        let zero = |model: &Arc<dyn Model>| {
            self.at > 0 && model.as_linear().is_some_and(|form| form.coefficients.iter().all(|c| *c == 0.0))
        };
        let sets = models.iter().enumerate().filter(|(_, set)| set[j].as_ref().is_some_and(zero));
        sets.map(|(set, _)| self.held_out(set)).collect()
    }
}

thread_local! {
    /// Time that clocked jobs took on this thread while another one was under way.
    static TAKEN_ON: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Run a job; its seconds, without those of other clocked jobs that its thread took on while it waited for a part of the job.
fn clocked<T>(job: impl FnOnce() -> T) -> (T, f64) {
    let before = TAKEN_ON.replace(Duration::ZERO);
    let start = Instant::now();
    let done = job();
    let whole = start.elapsed();
    let others = TAKEN_ON.replace(before + whole);
    (done, whole.saturating_sub(others).as_secs_f64())
}

/// Blocks of a fold.
fn n_blocks(range: &Range<usize>) -> usize {
    range.len().div_ceil(BLOCK_ROWS)
}

/// The blocks of a fold in order, those of so many rows at a time, in runs of at least [`SEQUENTIAL_BLOCKS`] that one thread
/// works on.
fn par_batches(range: &Range<usize>, rows: usize) -> impl ParallelIterator<Item = Range<usize>> + use<> {
    let (blocks, batch) = (n_blocks(range), rows / BLOCK_ROWS);
    let run = SEQUENTIAL_BLOCKS.next_multiple_of(batch);
    (0..blocks.div_ceil(run)).into_par_iter().flat_map_iter(move |number| {
        let end = ((number + 1) * run).min(blocks);
        (number * run..end).step_by(batch).map(move |first| first..(first + batch).min(end))
    })
}

/// Rows of block `b` of a range.
fn block_rows(range: &Range<usize>, b: usize) -> Range<usize> {
    let start = range.start + b * BLOCK_ROWS;
    start..(start + BLOCK_ROWS).min(range.end)
}

/// Rows of neighbouring blocks of a range.
fn rows_of_blocks(range: &Range<usize>, blocks: &Range<usize>) -> Range<usize> {
    block_rows(range, blocks.start).start..block_rows(range, blocks.end - 1).end
}

/// Whether every value is finite, or NaN where that is accepted.
fn has_only_numbers(x: MatRef<'_>, missing: bool) -> bool {
    x.is_within(f64::MAX) || (missing && first_fault(x, true).is_none())
}

/// The first value that is not finite, and not NaN where that is accepted, by row and column.
fn first_fault(x: MatRef<'_>, missing: bool) -> Option<(usize, usize, f64)> {
    x.first(|value| value.is_infinite() || (value.is_nan() && !missing))
}

/// Cut prediction columns by fold, each behind its own lock: blocks of one fold are written one at a time.
fn split_folds<'m>(mut columns: MatMut<'m>, folds: &Folds) -> Vec<Mutex<MatMut<'m>>> {
    let mut parts = Vec::with_capacity(folds.len());
    for size in folds.sizes() {
        let (head, tail) = columns.split_at_row(size);
        parts.push(Mutex::new(head));
        columns = tail;
    }
    parts
}

/// Write a block of predictions into the columns of its learners.
fn store(fold: &Mutex<MatMut<'_>>, first_row: usize, places: &[Range<usize>], z: MatRef<'_>) {
    let mut columns = fold.lock().unwrap_or_else(PoisonError::into_inner);
    for row in 0..z.nrows() {
        for (from, to) in places.iter().cloned().flatten().enumerate() {
            columns.set(first_row + row, to, z.get(row, from));
        }
    }
}

/// That every target is a class number; rows are told by their number in the input, also when they lie in fold order.
fn check_classes(y: MatRef<'_>, classes: &Classes, order: Option<&[u32]>) -> Result<()> {
    let fault = (0..y.nrows()).map(|row| (row, y.get(row, 0))).find(|(_, value)| {
        let class = *value as usize;
        class as f64 != *value || class >= classes.len()
    });
    fault.map_or(Ok(()), |(row, value)| {
        let row = order.map_or(row, |o| o[row] as usize);
        let reason = format!("row {row} holds {value}, which is no class number below {}", classes.len());
        Err(ErrorKind::Classes { reason }.into())
    })
}

/// The views of one training set, as planned.
struct Views<'v> {
    table: &'v dyn Table,
    y_table: &'v dyn Table,
    rows: &'v Rows,
    all: Rows,
    x: Vec<(Order, Held<'v>)>,
    y: Held<'v>,
}

/// One matrix, and what keeps it alive.
enum Held<'v> {
    /// The rows where they are.
    InPlace,
    Rewired(Box<dyn ContiguousView + 'v>),
    Copied(Box<dyn ScratchMatrix>),
}

impl Held<'_> {
    fn mat(&self) -> Option<MatRef<'_>> {
        match self {
            Held::InPlace => None,
            Held::Rewired(view) => Some(view.as_mat()),
            Held::Copied(copy) => Some(copy.as_mat()),
        }
    }

    fn way(&self) -> &'static str {
        match self {
            Held::InPlace => "plain",
            Held::Rewired(_) => "rewired",
            Held::Copied(_) => "gathered",
        }
    }

    /// Bytes copied.
    fn bytes(&self) -> u64 {
        match self {
            Held::InPlace => 0,
            Held::Rewired(view) => view.bytes_copied(),
            Held::Copied(copy) => copy.as_mat().shape().bytes(),
        }
    }
}

impl<'v> Views<'v> {
    fn make(
        stage: &'v Stage<'_, '_>,
        table: &'v dyn Table,
        rows: &'v Rows,
        ways: &FoldWays,
        fold: Option<usize>,
    ) -> Result<Self> {
        let copy = |table: &'v dyn Table, order: Order, room: &dyn Scratch, what: &'static str| {
            let view = FoldView::new(table.as_mat(), rows)?;
            let purpose = GatherFor { layer: stage.at, fold, what };
            gather(&view, order, room, stage.ledger, purpose).map(Held::Copied)
        };
        let hold = |table: &'v dyn Table, order: Order, way: Way, what: &'static str| -> Result<Held<'v>> {
            Ok(match way {
                Way::Plain => Held::InPlace,
                Way::Rewired(_) => match table.contiguous(rows) {
                    Ok(view) => {
                        let bytes = view.bytes_copied();
                        stage.ledger.write(Work::new(WorkKind::Rewire, stage.at, fold, bytes, what));
                        Held::Rewired(view)
                    }
                    // Somebody else in this process took the mappings since the plan counted them. The ledger then differs.
                    Err(error) => {
                        tracing::warn!(%error, "rows are gathered that the plan would have put side by side");
                        copy(table, order, stage.sl.scratch.as_ref(), what)?
                    }
                },
                Way::Gathered(_) => copy(table, order, &Heap, what)?,
                Way::GatheredToFile(_) => copy(table, order, stage.sl.scratch.as_ref(), what)?,
            })
        };
        let mut x = Vec::with_capacity(ways.x.len());
        for (order, way) in &ways.x {
            x.push((*order, hold(table, *order, *way, "training rows")?));
        }
        let y = match ways.y {
            Some(way) => hold(stage.y_table, Order::C, way, "training targets")?,
            None => Held::InPlace,
        };
        Ok(Self { table, y_table: stage.y_table, rows, all: Rows::all(rows.len()), x, y })
    }

    /// How the rows of a view of this order came together, and the bytes copied for it and for the targets beside it.
    fn taken(&self, order: Option<Order>) -> (&'static str, u64) {
        let held = self.x.iter().find(|(have, _)| Some(*have) == order).map(|(_, held)| held);
        match held {
            None => ("segments", 0),
            Some(held) => (held.way(), held.bytes() + self.y.bytes()),
        }
    }

    /// Call `fit` with the rows as a learner takes them: as runs, or as one matrix of `order`.
    fn with_train<T>(&self, order: Option<Order>, fit: impl FnOnce(&Train<'_>) -> Result<T>) -> Result<T> {
        let find = |o: Order| self.x.iter().find(|(have, _)| *have == o).and_then(|(_, held)| held.mat());
        let x = match order.and_then(find) {
            Some(mat) => FoldView::new(mat, &self.all)?,
            None => FoldView::new(self.table.as_mat(), self.rows)?,
        };
        let y = match (order, self.y.mat()) {
            (Some(_), Some(mat)) => FoldView::new(mat, &self.all)?,
            _ => FoldView::new(self.y_table.as_mat(), self.rows)?,
        };
        fit(&Train::new(x, y)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_stands_while_its_thread_takes_on_other_clocked_work() {
        let rest = |millis| std::thread::sleep(Duration::from_millis(millis));
        let start = Instant::now();
        let ((first, second), own) = clocked(|| {
            rest(1);
            (clocked(|| rest(20)).1, clocked(|| rest(20)).1)
        });
        let all = start.elapsed().as_secs_f64();
        assert!(first >= 0.02 && second >= 0.02 && own >= 0.001, "{first} {second} {own}");
        assert!(first + second + own <= all, "{first} {second} {own} {all}");
        // What is over is forgotten.
        let ((), own) = clocked(|| rest(5));
        assert!(own >= 0.005, "{own}");
    }
}
