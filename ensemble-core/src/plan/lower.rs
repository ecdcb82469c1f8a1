//! What a fit will do, decided before anything runs. The engine follows the plan; it decides nothing itself.

use std::{fmt, ops::Range, sync::Arc};

use serde::Serialize;

use crate::{
    account::{
        ledger::{Bytes, Totals, Work, WorkKind, copies},
        memory,
    },
    data::{
        classes::Classes,
        gather::{GatherFor, gather_work},
        mat::{Order, Shape},
        rows::Rows,
        table::{Scratch, Table},
    },
    design::kfold::Folds,
    ensemble::builder::{Learner, SuperLearner},
    error::{Error, ErrorKind, Result, guarded},
    learner::estimator::{Access, Predicts, cost_of},
    quote::{Sentence, quoted},
    statistic::{
        moments::{MOMENTS, Moments},
        state::{BLOCK_ROWS, Statistic, StatisticContext, minimal_requests},
    },
    threads,
};

/// Prediction columns above this size go to scratch room.
const SPILL_PREDICTIONS_ABOVE: u64 = 64 << 20;

/// How a stage gets its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceWay {
    /// Rows of the input table.
    Table,
    /// Statistics follow from the stage before; no column is formed.
    Statistics,
    /// Predictions are made block by block in cache, and never stored.
    Stream,
    /// Stored prediction columns of the stage before.
    Predictions,
}

/// What becomes of a stage's out-of-fold predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PredictionWay {
    /// Never made: scores and the next stage come from statistics, or nobody wants them.
    None,
    /// Made block by block for the scores, and dropped.
    Scored,
    /// Stored in memory.
    Memory,
    /// Stored in a temporary file.
    Spilled,
}

impl PredictionWay {
    pub(crate) fn is_stored(self) -> bool {
        matches!(self, Self::Memory | Self::Spilled)
    }
}

/// How training rows become one matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// They are one run of the table.
    Plain,
    /// Pages put side by side; this many bytes copied at junctions.
    Rewired(u64),
    /// Copied to memory.
    Gathered(u64),
    /// Copied to a temporary file.
    GatheredToFile(u64),
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::Plain => "plain",
            Way::Rewired(_) => "rewired",
            Way::Gathered(_) | Way::GatheredToFile(_) => "gathered",
        }
    }

    pub(crate) fn bytes(self) -> u64 {
        match self {
            Way::Plain => 0,
            Way::Rewired(b) | Way::Gathered(b) | Way::GatheredToFile(b) => b,
        }
    }

    /// Bytes of anonymous memory while the view lives: junctions are private pages.
    fn memory(self) -> u64 {
        match self {
            Way::Gathered(bytes) | Way::Rewired(bytes) => bytes,
            Way::Plain | Way::GatheredToFile(_) => 0,
        }
    }

    fn is_gathered(self) -> bool {
        matches!(self, Way::Gathered(_))
    }

    fn work(self, layer: usize, fold: Option<usize>, what: &'static str) -> Option<Work> {
        let purpose = GatherFor { layer, fold, what };
        match self {
            Way::Plain => None,
            Way::Rewired(bytes) => Some(Work::new(WorkKind::Rewire, layer, fold, bytes, what)),
            Way::Gathered(bytes) => Some(gather_work(bytes, true, purpose)),
            Way::GatheredToFile(bytes) => Some(gather_work(bytes, false, purpose)),
        }
    }
}

/// The contiguous views of one training set: of x by order, and of y.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct FoldWays {
    pub(crate) x: Vec<(Order, Way)>,
    pub(crate) y: Option<Way>,
}

/// Training sets worked on at the same time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wave {
    /// Folds held out; K stands for all rows.
    pub(crate) folds: Vec<usize>,
    /// One learner after the other, to keep to the budget.
    pub(crate) serial: bool,
}

/// A table that scans read.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Read {
    pub(crate) layer: usize,
    pub(crate) bytes: u64,
}

impl Read {
    pub(crate) fn work(self, what: &'static str) -> Work {
        Work::new(WorkKind::Pass, self.layer, None, self.bytes, what)
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct LearnerPlan {
    pub(crate) name: String,
    pub(crate) kind: String,
    #[serde(serialize_with = "as_text")]
    pub(crate) access: Access,
    pub(crate) cost: u64,
    #[serde(serialize_with = "as_text")]
    pub(crate) predicts: Predicts,
    /// Its columns among the stage's predictions.
    pub(crate) columns: Range<usize>,
    /// The order of the contiguous view it takes.
    pub(crate) order: Option<Order>,
}

fn as_text<S: serde::Serializer>(word: &impl fmt::Display, s: S) -> std::result::Result<S::Ok, S::Error> {
    s.collect_str(word)
}

impl Serialize for Order {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_str(if *self == Order::C { "C" } else { "F" })
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct StagePlan {
    pub(crate) learners: Vec<LearnerPlan>,
    pub(crate) source: SourceWay,
    pub(crate) statistics: Vec<String>,
    pub(crate) state_bytes: u64,
    pub(crate) predictions: PredictionWay,
    /// What a scan for this stage reads: layer 0 is the input table, a later one the prediction columns of the layer below it.
    pub(crate) reads: Read,
    /// Whether folds are fitted at all; otherwise all rows only.
    pub(crate) cross_validated: bool,
    /// Whether scores follow from statistics.
    pub(crate) scored_by_statistics: bool,
    /// Whether values are checked by a pass of their own, since no statistic reads them.
    pub(crate) checked: bool,
    /// For each fold held out, and for all rows last.
    pub(crate) ways: Vec<FoldWays>,
    pub(crate) waves: Vec<Wave>,
}

/// What a fit will do. Print it, or read its figures; [`Plan::copies`] is what the ledger must then say.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) table: String,
    #[serde(skip)]
    pub(crate) folds: Folds,
    fold_sizes: Vec<usize>,
    folds_text: String,
    pub(crate) shuffle: Option<u64>,
    /// The target's classes, when a learner classifies.
    #[serde(skip)]
    pub(crate) classes: Option<Classes>,
    n_classes: Option<usize>,
    pub(crate) threads: usize,
    pub(crate) stages: Vec<StagePlan>,
    pub(crate) work: Vec<Work>,
    #[serde(flatten)]
    totals: Totals,
    peak_bytes: u64,
}

impl Plan {
    /// The planned work that copies or stores bytes: all but passes, added up by purpose, layer and fold.
    pub fn copies(&self) -> Vec<Work> {
        copies(&self.work)
    }

    /// Sums over the planned work. An ill-conditioned linear fit adds one pass, which only its statistics can tell.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The classes of the target, when a learner classifies: found by one pass over the target while planning.
    pub fn classes(&self) -> Option<&Classes> {
        self.classes.as_ref()
    }

    /// The folds.
    pub fn folds(&self) -> &Folds {
        &self.folds
    }

    /// Bytes that engine and learners may hold at once: states, stored predictions, gathers and declared costs.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }
}

/// What a contiguous view over pages put side by side takes.
#[derive(Clone, Copy, Debug)]
struct ViewCost {
    /// Bytes copied.
    bytes: u64,
    /// Mappings of the process.
    mappings: u64,
}

/// What a contiguous view of some rows would take; `None` where there is none.
type ContiguousCost<'a> = Box<dyn Fn(&Rows) -> Option<ViewCost> + 'a>;

fn view_cost<'a>(table: &'a dyn Table) -> ContiguousCost<'a> {
    Box::new(move |rows: &Rows| {
        let bytes = table.contiguous_cost(rows)?;
        Some(ViewCost { bytes, mappings: table.contiguous_mappings(rows) })
    })
}

/// Where a stage's rows will lie, as far as views of them go.
struct Place<'a> {
    shape: Shape,
    order: Order,
    cost: ContiguousCost<'a>,
    /// A counted handle will be there for statistics that keep places.
    handle: Option<Arc<dyn Table>>,
}

pub(crate) fn requests(
    learners: &[Learner],
    layer: usize,
    cx: &StatisticContext,
) -> Result<Vec<Box<dyn Statistic>>> {
    let mut wanted = Vec::new();
    for learner in learners {
        let own = guarded(|| learner.estimator.as_merge().map_or(Ok(Vec::new()), |m| m.statistics(cx)));
        wanted.extend(own.map_err(|e| e.in_declaration(&learner.name, layer))?);
    }
    guarded(|| Ok(minimal_requests(wanted)))
}

/// Ask every learner what it declares, so that one which fails at it is told by name, and that what it declares suits the smallest
/// training set, of this shape.
fn check_declared(learners: &[Learner], layer: usize, train: Shape) -> Result<()> {
    for learner in learners {
        let own = learner.estimator.as_ref();
        let declare = || {
            let access = own.access();
            if (access == Access::Merge) != own.as_merge().is_some() {
                return Err(Error::unsupported(format!(
                    "it declares access '{access}' but as_merge says otherwise"
                )));
            }
            let _ = (own.kind(), own.predicts(), own.is_linear(), own.missing_values());
            own.check_shape(train)
        };
        guarded(declare).map_err(|e| e.in_declaration(&learner.name, layer))?;
    }
    Ok(())
}

/// What a learner declares that one fit costs.
fn declared_cost(learner: &Learner, layer: usize, train: Shape, n_classes: Option<usize>) -> Result<u64> {
    guarded(|| Ok(cost_of(learner.estimator.as_ref(), train, n_classes).peak_bytes))
        .map_err(|e| e.in_declaration(&learner.name, layer))
}

/// The bytes that a plan must keep to.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// None; training sets that are gathered follow each other.
    None,
    /// The caller's budget.
    Budget(u64),
    /// The memory there is.
    Available(u64),
}

impl Bound {
    fn get(self) -> Option<u64> {
        match self {
            Bound::None => None,
            Bound::Budget(bytes) | Bound::Available(bytes) => Some(bytes),
        }
    }

    /// # Errors
    /// When `need` is more than this.
    fn check(self, need: u64, what: impl FnOnce() -> String) -> Result<()> {
        match self {
            Bound::Budget(budget) if need > budget => {
                Err(ErrorKind::Budget { what: what(), need, budget }.into())
            }
            Bound::Available(available) if need > available => {
                Err(ErrorKind::Memory { what: what(), need, available }.into())
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn plan(sl: &SuperLearner, x: &dyn Table, y: &dyn Table) -> Result<Plan> {
    check_inputs(sl, x, y)?;
    match sl.threads {
        Some(threads) => threads::check(threads)?,
        None => threads::ready()?,
    }
    let classes = target_classes(sl, y)?;
    if let Some(budget) = sl.budget.get() {
        return plan_within(sl, x, y, classes, Bound::Budget(budget));
    }
    let free = plan_within(sl, x, y, classes, Bound::None)?;
    match memory::available() {
        // What would not fit at once may fit in turn.
        Some(available) if free.peak_bytes > available => {
            plan_within(sl, x, y, free.classes, Bound::Available(available))
        }
        _ => Ok(free),
    }
}

fn plan_within(
    sl: &SuperLearner,
    x: &dyn Table,
    y: &dyn Table,
    classes: Option<Classes>,
    bound: Bound,
) -> Result<Plan> {
    let mat = x.as_mat();
    let shape = mat.shape();
    let n_classes = classes.as_ref().map(Classes::len);
    let folds = sl.folds.split(shape.nrows, neediest(sl)?)?;
    let threads = sl.threads.unwrap_or_else(rayon::current_num_threads);
    let scratch = sl.scratch.as_ref();
    let mut work = Vec::new();
    let shuffle = sl.folds.shuffle_seed();
    let on_scratch = |shape: Shape, order: Order| -> ContiguousCost<'_> {
        Box::new(move |rows: &Rows| {
            let bytes = scratch.contiguous_cost(shape, order, rows)?;
            Some(ViewCost { bytes, mappings: scratch.contiguous_mappings(shape, order, rows) })
        })
    };
    let yshape = Shape { nrows: shape.nrows, ncols: 1 };
    // Labels that are not class numbers are written once as such; rows in fold order are written anyway.
    let numbered = shuffle.is_none() && classes.as_ref().is_some_and(|c| !c.are_numbers());
    if numbered {
        work.push(numbers_work(yshape, scratch.is_anonymous()));
    }
    let (mut place, y_cost) = if shuffle.is_some() {
        work.push(Work::new(WorkKind::Pass, 0, None, shape.bytes(), "write in fold order"));
        for (bytes, what) in
            [(shape.bytes(), "table in fold order"), (yshape.bytes(), "targets in fold order")]
        {
            work.push(gather_work(bytes, scratch.is_anonymous(), GatherFor { layer: 0, fold: None, what }));
        }
        let place = Place { shape, order: Order::C, cost: on_scratch(shape, Order::C), handle: x.handle() };
        (place, on_scratch(yshape, Order::C))
    } else {
        let ycost = if numbered { on_scratch(yshape, Order::C) } else { view_cost(y) };
        (Place { shape, order: mat.order(), cost: view_cost(x), handle: x.handle() }, ycost)
    };
    let mappings = x.mappings_left().min(y.mappings_left()).min(scratch.mappings_left());
    let stages = sl.stages();
    let mut plans: Vec<StagePlan> = Vec::with_capacity(stages.len());
    let mut peak = 0u64;
    let in_order = shape.bytes().saturating_add(Shape { ncols: 1, ..shape }.bytes());
    let mut held = match scratch.is_anonymous() {
        true if shuffle.is_some() => in_order,
        true if numbered => yshape.bytes(),
        _ => 0,
    };
    for (at, learners) in stages.iter().enumerate() {
        let previous = at.checked_sub(1).map(|p| (stages[p], &plans[p]));
        let stage = Stage {
            sl,
            bound,
            at,
            learners,
            folds: &folds,
            mappings,
            y_cost: y_cost.as_ref(),
            n_classes,
            last: at + 1 == stages.len(),
        };
        let (planned, hold) = stage.plan(&place, previous, stages.get(at + 1).copied(), held, &mut work)?;
        peak = peak.max(hold);
        let out = Shape { nrows: shape.nrows, ncols: width(learners, n_classes) };
        if planned.predictions == PredictionWay::Memory {
            held = held.saturating_add(out.bytes());
        }
        place = Place {
            shape: out,
            order: Order::C,
            cost: if planned.predictions == PredictionWay::Spilled {
                on_scratch(out, Order::C)
            } else {
                Box::new(|_: &Rows| None)
            },
            handle: None,
        };
        plans.push(planned);
    }
    work.sort();
    if sl.out_of_fold && shuffle.is_some() {
        let bytes = Shape { nrows: shape.nrows, ncols: width(stages[0], n_classes) }.bytes();
        work.push(prediction_work(sl, 0, bytes, "out-of-fold predictions in input order"));
        work.sort();
    }
    Ok(Plan {
        rows: shape.nrows,
        columns: shape.ncols,
        table: x.describe(),
        fold_sizes: folds.sizes(),
        folds_text: folds.to_string(),
        folds,
        shuffle,
        classes,
        n_classes,
        threads,
        stages: plans,
        totals: Totals::of(&work),
        work,
        peak_bytes: peak,
    })
}

/// The access of the learner that is hardest to serve: folds follow from it, whatever table they are cut from.
fn neediest(sl: &SuperLearner) -> Result<Access> {
    for (at, stage) in sl.stages().into_iter().enumerate() {
        for learner in stage {
            let access = guarded(|| Ok(learner.estimator.access()));
            let access = access.map_err(|e| e.in_learner(&learner.name, at, None))?;
            if matches!(access, Access::Contiguous(_)) {
                return Ok(access);
            }
        }
    }
    Ok(Access::Segments)
}

/// A sum of declared bytes, the greatest number where they are more.
fn sum(bytes: impl IntoIterator<Item = u64>) -> u64 {
    bytes.into_iter().fold(0, u64::saturating_add)
}

/// Prediction columns of a layer.
pub(crate) fn width(learners: &[Learner], n_classes: Option<usize>) -> usize {
    learners.iter().map(|l| l.estimator.predicts().columns(n_classes.unwrap_or(0))).sum()
}

/// The classes of the target, when a learner classifies.
fn target_classes(sl: &SuperLearner, y: &dyn Table) -> Result<Option<Classes>> {
    if !sl.classifies() {
        return Ok(None);
    }
    let classes = match &sl.classes {
        Some(classes) => classes.clone(),
        None => Classes::of(y.as_mat()).map_err(|e| e.in_target(&y.describe()))?,
    };
    if classes.len() > 2
        && let Some(regressor) =
            sl.stages().into_iter().flatten().find(|l| !l.estimator.predicts().classifies())
    {
        return Err(Error::unsupported(format!(
            "learner '{}' ({}) predicts a number, and the {} classes of the target have no order; use a classifier",
            quoted(&regressor.name),
            regressor.estimator.kind(),
            classes.len()
        )));
    }
    Ok(Some(classes))
}

/// The one column of class numbers that a target of other labels is written to.
pub(crate) fn numbers_work(shape: Shape, anonymous: bool) -> Work {
    let kind = if anonymous { WorkKind::Transform } else { WorkKind::Spill };
    Work::new(kind, 0, None, shape.bytes(), "class numbers")
}

/// Where prediction columns of this size go.
pub(crate) fn predictions_spill(sl: &SuperLearner, bytes: u64) -> bool {
    let limit = sl.budget.get().map_or(SPILL_PREDICTIONS_ABOVE, |b| (b / 4).min(SPILL_PREDICTIONS_ABOVE));
    bytes > limit && !sl.scratch.is_anonymous()
}

pub(crate) fn prediction_work(sl: &SuperLearner, layer: usize, bytes: u64, what: &'static str) -> Work {
    let kind = if predictions_spill(sl, bytes) { WorkKind::Spill } else { WorkKind::Predictions };
    Work::new(kind, layer, None, bytes, what)
}

fn check_inputs(sl: &SuperLearner, x: &dyn Table, y: &dyn Table) -> Result<()> {
    let (xm, ym) = (x.as_mat(), y.as_mat());
    if xm.nrows() == 0 || xm.ncols() == 0 {
        return Err(Error::unsupported(format!(
            "{} has {} rows and {} columns",
            x.describe(),
            xm.nrows(),
            xm.ncols()
        )));
    }
    if ym.ncols() != 1 {
        return Err(Error::shape(format!("columns of the target {}", y.describe()), 1, ym.ncols()));
    }
    if ym.nrows() != xm.nrows() {
        return Err(Error::shape(
            format!("rows of the target {}, to match {}", y.describe(), x.describe()),
            xm.nrows(),
            ym.nrows(),
        ));
    }
    if ym.column(0).is_none() {
        return Err(Error::unsupported("the target must be one column of neighbouring values"));
    }
    if sl.folds.shuffle_seed().is_some() && u32::try_from(xm.nrows()).is_err() {
        return Err(Error::unsupported("shuffling takes fewer than 2^32 rows"));
    }
    let Some(last) = sl.stages().last().copied().filter(|_| !sl.layers.is_empty()) else {
        return Err(Error::unsupported("there is no layer; add one with a learner"));
    };
    if let Some(at) = sl.layers.iter().position(|l| l.learners.is_empty()) {
        return Err(Error::unsupported(format!(
            "layer {at} has no learner; add one, or leave the layer out"
        )));
    }
    if last.len() > 1 {
        return Err(Error::unsupported(
            "the last layer has several learners and nothing combines them; add a meta-learner",
        ));
    }
    for (at, stage) in sl.stages().into_iter().enumerate() {
        for (i, learner) in stage.iter().enumerate() {
            if stage[..i].iter().any(|l| l.name == learner.name) {
                return Err(Error::unsupported(format!(
                    "two learners of layer {at} are called '{}'; give each a name of its own",
                    quoted(&learner.name)
                )));
            }
        }
    }
    Ok(())
}

struct Stage<'a> {
    sl: &'a SuperLearner,
    bound: Bound,
    at: usize,
    learners: &'a [Learner],
    folds: &'a Folds,
    /// Mappings that views which live at once may take together.
    mappings: u64,
    y_cost: &'a dyn Fn(&Rows) -> Option<ViewCost>,
    n_classes: Option<usize>,
    last: bool,
}

impl Stage<'_> {
    fn plan(
        &self,
        place: &Place<'_>,
        previous: Option<(&[Learner], &StagePlan)>,
        next: Option<&[Learner]>,
        held: u64,
        work: &mut Vec<Work>,
    ) -> Result<(StagePlan, u64)> {
        let Self { sl, at, learners, folds, .. } = self;
        let (at, k) = (*at, folds.len());
        let cross_validated = !self.last || sl.score_meta || (at == 0 && sl.out_of_fold);
        let opaque = |l: &&Learner| l.estimator.as_merge().is_none();
        let cx = StatisticContext {
            ncols: place.shape.ncols,
            table: place.handle.as_ref().map(Arc::clone),
            target: None,
            behind: None,
            n_classes: self.n_classes,
        };
        let largest_fold = folds.sizes().into_iter().max().unwrap_or(0);
        let held_out = if cross_validated { largest_fold } else { 0 };
        check_declared(learners, at, Shape { nrows: place.shape.nrows - held_out, ..place.shape })?;
        let wanted = requests(learners, at, &cx)?;
        let source = source_of(previous, learners, &wanted);
        // What is not stored is made from what the stage below reads.
        let reads = match (source, previous) {
            (SourceWay::Stream | SourceWay::Statistics, Some((_, below))) => below.reads,
            _ => Read { layer: at, bytes: place.shape.bytes() },
        };
        if source != SourceWay::Statistics && !wanted.is_empty() {
            work.push(reads.work("statistics"));
        }
        let checked = at == 0 && wanted.is_empty();
        if checked {
            work.push(reads.work("check values"));
        }

        // What follows from the states: scores, and the next stage's statistics.
        let has_moments = wanted.iter().any(|w| w.key() == MOMENTS);
        let linear = learners.iter().all(|l| l.estimator.is_linear());
        let scored_by_statistics = has_moments && linear && !learners.iter().any(|l| opaque(&l));
        let next_source = next.map(|n| self.next_source(n, linear, scored_by_statistics)).transpose()?;
        let stored = next_source == Some(SourceWay::Predictions) || (at == 0 && sl.out_of_fold);
        let bytes = Shape { nrows: place.shape.nrows, ncols: width(learners, self.n_classes) }.bytes();
        let predictions = match (stored, cross_validated && !scored_by_statistics) {
            (true, _) if predictions_spill(sl, bytes) => PredictionWay::Spilled,
            (true, _) => PredictionWay::Memory,
            (false, true) => PredictionWay::Scored,
            (false, false) => PredictionWay::None,
        };
        // Merging learners predict side by side in one scan; others one by one, each after its fit.
        let n_opaque = learners.iter().filter(opaque).count();
        let together = predictions != PredictionWay::None && n_opaque < learners.len();
        let alone = if cross_validated { n_opaque } else { 0 };
        work.extend((0..alone + usize::from(together)).map(|_| reads.work("out-of-fold predictions")));
        if stored {
            work.push(prediction_work(sl, at, bytes, "out-of-fold predictions"));
        }

        // States: each fold's, prefixes, suffixes and complements, and those along the tree.
        let fold_rows = folds.sizes().into_iter().max().unwrap_or(0);
        let one_state = sum(wanted.iter().map(|w| w.bytes()));
        let kept = sum(wanted.iter().map(|w| w.bytes_for(fold_rows).saturating_sub(w.bytes())));
        let depth = u64::from((fold_rows.div_ceil(BLOCK_ROWS).max(1)).ilog2()) + 2;
        let threads = sl.threads.unwrap_or_else(rayon::current_num_threads) as u64;
        let state_bytes = one_state
            .saturating_mul(4 * k as u64 + 1 + depth * threads)
            .saturating_add(kept.saturating_mul(k as u64));

        let mut planned = StagePlan {
            learners: Vec::with_capacity(learners.len()),
            source,
            statistics: wanted.iter().map(|w| w.key().to_string()).collect(),
            state_bytes,
            predictions,
            reads,
            cross_validated,
            scored_by_statistics,
            checked,
            ways: Vec::new(),
            waves: Vec::new(),
        };
        for learner in *learners {
            let access = learner.estimator.access();
            let order = match access {
                Access::Contiguous(order) => Some(order.unwrap_or(place.order)),
                _ => None,
            };
            let cost = declared_cost(learner, at, place.shape, self.n_classes)?;
            let predicts = learner.estimator.predicts();
            let first = planned.learners.last().map_or(0, |l| l.columns.end);
            planned.learners.push(LearnerPlan {
                name: learner.name.clone(),
                kind: learner.estimator.kind(),
                access,
                cost,
                predicts,
                columns: first..first + predicts.columns(self.n_classes.unwrap_or(0)),
                order,
            });
        }
        let stored_bytes = if predictions == PredictionWay::Memory { bytes } else { 0 };
        let base = sum([held, state_bytes, stored_bytes]);
        self.bound.check(base, || format!("layer {at}: statistics and prediction columns"))?;
        let peak = if learners.iter().any(|l| opaque(&l)) {
            self.plan_views(place, base, &mut planned, work)?
        } else {
            base
        };
        Ok((planned, peak))
    }

    fn next_source(&self, next: &[Learner], linear: bool, from_moments: bool) -> Result<SourceWay> {
        let cx = StatisticContext {
            n_classes: self.n_classes,
            ..StatisticContext::new(width(self.learners, self.n_classes))
        };
        let wanted = requests(next, self.at + 1, &cx)?;
        Ok(way_above(linear, from_moments, next, &wanted))
    }

    fn plan_views(
        &self,
        place: &Place<'_>,
        base: u64,
        planned: &mut StagePlan,
        work: &mut Vec<Work>,
    ) -> Result<u64> {
        let (k, budget) = (self.folds.len(), self.bound.get());
        let mut peak = base;
        let first = if planned.cross_validated { 0 } else { k };
        planned.ways = vec![FoldWays::default(); k + 1];
        // The open wave, the bytes and mappings it needs, and whether it copies rows into memory.
        let mut wave: Option<(Wave, u64, u64, bool)> = None;
        for held_out in first..=k {
            let fold = (held_out < k).then_some(held_out);
            let rows = match fold {
                Some(f) => Rows::all_but(place.shape.nrows, self.folds.range(f))?,
                None => Rows::all(place.shape.nrows),
            };
            let train = Shape { nrows: rows.len(), ncols: place.shape.ncols };
            let opaque = || self.learners.iter().filter(|l| l.estimator.as_merge().is_none());
            // Transformed rows that a pipeline stores in memory live as long as its fit.
            let anonymous = self.sl.scratch.is_anonymous();
            let transformed: Vec<u64> = opaque()
                .map(|l| {
                    guarded(|| Ok(l.estimator.scratch_bytes(train)))
                        .map_err(|e| e.in_declaration(&l.name, self.at))
                })
                .collect::<Result<_>>()?;
            let costs: Vec<u64> = opaque()
                .zip(&transformed)
                .map(|(l, bytes)| {
                    let cost = declared_cost(l, self.at, train, self.n_classes)?;
                    Ok(cost.saturating_add(if anonymous { *bytes } else { 0 }))
                })
                .collect::<Result<_>>()?;
            let together = sum(costs.iter().copied());
            let alone = costs.iter().copied().max().unwrap_or(0);
            let (ways, mappings) = self.fold_ways(place, &rows, planned, base.saturating_add(alone))?;
            let gathered = sum(ways.x.iter().map(|(_, w)| w.memory()).chain(ways.y.map(Way::memory)));
            for (_, way) in &ways.x {
                work.extend(way.work(self.at, fold, "training rows"));
            }
            work.extend(ways.y.and_then(|w| w.work(self.at, fold, "training targets")));
            for bytes in transformed.iter().filter(|bytes| **bytes > 0) {
                work.push(Work::transformed(self.at, fold, *bytes, anonymous));
            }
            // Without a budget, at most one training set's copies are in memory at a time; one column of targets is no such copy.
            let copies = ways.x.iter().any(|(_, w)| w.is_gathered())
                || (anonymous && transformed.iter().any(|bytes| *bytes > 0));
            planned.ways[held_out] = ways;

            // Admission: sets that share a wave fit the budget together; without one, a gather has its wave to itself.
            let serial = budget.is_some_and(|b| sum([base, gathered, together]) > b);
            let need = gathered.saturating_add(if serial { alone } else { together });
            self.bound.check(base.saturating_add(need), || {
                let costly = self.learners.iter().zip(&planned.learners).max_by_key(|(_, p)| p.cost);
                let name = costly.map_or("", |(l, _)| l.name.as_str());
                format!("layer {}: a fit of learner '{name}' on {} rows", self.at, train.nrows)
            })?;
            wave = match wave.take() {
                Some((mut open, used, maps, open_copies))
                    if !serial
                        && !open.serial
                        && maps.saturating_add(mappings) <= self.mappings
                        && budget.map_or(!copies && !open_copies, |b| sum([base, used, need]) <= b) =>
                {
                    open.folds.push(held_out);
                    Some((open, used.saturating_add(need), maps.saturating_add(mappings), copies))
                }
                closed => {
                    if let Some((done, used, ..)) = closed {
                        peak = peak.max(base.saturating_add(used));
                        planned.waves.push(done);
                    }
                    Some((Wave { folds: vec![held_out], serial }, need, mappings, copies))
                }
            };
        }
        if let Some((done, used, ..)) = wave {
            peak = peak.max(base.saturating_add(used));
            planned.waves.push(done);
        }
        Ok(peak)
    }

    /// How one training set's rows become whole matrices, and the mappings that takes.
    fn fold_ways(
        &self,
        place: &Place<'_>,
        rows: &Rows,
        planned: &StagePlan,
        base: u64,
    ) -> Result<(FoldWays, u64)> {
        let over = |bytes: u64, others: u64| self.bound.get().is_some_and(|b| sum([base, others, bytes]) > b);
        let spill = |bytes: u64, others: u64| {
            let too_big = over(bytes, others);
            if too_big && !self.sl.scratch.is_anonymous() {
                Way::GatheredToFile(bytes)
            } else {
                Way::Gathered(bytes)
            }
        };
        let mut ways = FoldWays::default();
        let (mut gathered, mut mappings) = (0u64, 0u64);
        let fits = |view: &ViewCost, taken: u64| taken.saturating_add(view.mappings) <= self.mappings;
        for order in planned.learners.iter().filter_map(|l| l.order) {
            if ways.x.iter().any(|(o, _)| *o == order) {
                continue;
            }
            let bytes = Shape { nrows: rows.len(), ncols: place.shape.ncols }.bytes();
            let way = if order != place.order && place.shape.ncols > 1 {
                spill(bytes, gathered)
            } else if rows.runs().len() <= 1 {
                Way::Plain
            } else {
                let view = (place.cost)(rows)
                    .filter(|view| fits(view, mappings))
                    // Junctions are memory too; a file is the way out where there is one.
                    .filter(|view| self.sl.scratch.is_anonymous() || !over(view.bytes, gathered));
                mappings += view.map_or(0, |view| view.mappings);
                view.map_or_else(|| spill(bytes, gathered), |view| Way::Rewired(view.bytes))
            };
            gathered = gathered.saturating_add(way.memory());
            ways.x.push((order, way));
        }
        if !ways.x.is_empty() {
            let bytes = Shape { nrows: rows.len(), ncols: 1 }.bytes();
            ways.y = Some(if rows.runs().len() <= 1 {
                Way::Plain
            } else {
                let view = (self.y_cost)(rows).filter(|view| fits(view, mappings));
                mappings += view.map_or(0, |view| view.mappings);
                view.map_or_else(|| spill(bytes, gathered), |view| Way::Rewired(view.bytes))
            });
        }
        Ok((ways, mappings))
    }
}

fn way_above(
    linear: bool,
    from_moments: bool,
    learners: &[Learner],
    wanted: &[Box<dyn Statistic>],
) -> SourceWay {
    let merging = learners.iter().all(|l| l.estimator.as_merge().is_some());
    let reads_values = wanted.iter().any(|w| w.keeps_places());
    let template = Moments::new(0);
    if merging && linear && from_moments && wanted.iter().all(|w| template.covers(&w.key())) {
        SourceWay::Statistics
    } else if merging && linear && !reads_values {
        SourceWay::Stream
    } else {
        SourceWay::Predictions
    }
}

fn source_of(
    previous: Option<(&[Learner], &StagePlan)>,
    learners: &[Learner],
    wanted: &[Box<dyn Statistic>],
) -> SourceWay {
    let Some((below, plan)) = previous else { return SourceWay::Table };
    let linear = below.iter().all(|l| l.estimator.is_linear());
    match way_above(linear, plan.scored_by_statistics, learners, wanted) {
        // Columns that are stored anyway are read rather than made again.
        SourceWay::Stream if plan.predictions.is_stored() => SourceWay::Predictions,
        way => way,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = Shape { nrows: self.rows, ncols: self.columns }.bytes();
        writeln!(
            f,
            "{}: {} rows x {} columns, {}",
            Sentence(&self.table),
            self.rows,
            self.columns,
            Bytes(bytes)
        )?;
        writeln!(f, "{}; {} threads", self.folds_text, self.threads)?;
        if let Some(classes) = &self.classes {
            let labels: Vec<String> =
                classes.labels().iter().take(8).map(|l| quoted(l.to_string())).collect();
            let more = if classes.len() > labels.len() { ", .." } else { "" };
            writeln!(f, "{} classes: {}{more}", classes.len(), labels.join(", "))?;
        }
        if self.shuffle.is_some() {
            writeln!(f, "rows shuffled: the table is written once in fold order")?;
        }
        for (at, stage) in self.stages.iter().enumerate() {
            let source = match stage.source {
                SourceWay::Table => "rows of the table",
                SourceWay::Statistics => "statistics of the layer below; no prediction column is formed",
                SourceWay::Stream => "predictions of the layer below, made block by block in cache",
                SourceWay::Predictions => "prediction columns of the layer below",
            };
            writeln!(f, "layer {at}: from {source}")?;
            if !stage.statistics.is_empty() {
                let pass = if stage.source == SourceWay::Statistics { "carried" } else { "one pass" };
                writeln!(
                    f,
                    "  {pass}: {} ({} of states)",
                    stage.statistics.join(", "),
                    Bytes(stage.state_bytes)
                )?;
            }
            for learner in &stage.learners {
                let way = match (learner.access, learner.order) {
                    (Access::Merge, _) => "merged statistics, no copy".to_owned(),
                    (Access::Segments, _) => "runs of rows in place, no copy".to_owned(),
                    (Access::Contiguous(_), order) => describe_ways(stage, order),
                };
                writeln!(
                    f,
                    "  {:<16} {:<44} {way}; own {}",
                    quoted(&learner.name),
                    learner.kind,
                    Bytes(learner.cost)
                )?;
            }
            let predictions = match stage.predictions {
                PredictionWay::None => continue,
                PredictionWay::Scored => "made for the scores, not stored",
                PredictionWay::Memory => "stored in memory",
                PredictionWay::Spilled => "stored in a temporary file",
            };
            writeln!(f, "  out-of-fold predictions: {predictions}")?;
        }
        let t = &self.totals;
        write!(
            f,
            "passes {}, gathered {}, copied at junctions {}, spilled {}, prediction columns {}; at most {} held at once",
            t.data_passes,
            Bytes(t.gathered_bytes),
            Bytes(t.rewired_bytes_copied),
            Bytes(t.spilled_bytes),
            Bytes(t.prediction_bytes),
            Bytes(self.peak_bytes)
        )
    }
}

/// "plain 2, rewired 3 (12.0 KiB copied), gathered 1 (3.8 MiB copied; without fold 2)": the ways of one order over all training
/// sets, with the folds that are gathered where others are not.
pub(crate) fn describe_ways(stage: &StagePlan, order: Option<Order>) -> String {
    let mut kinds: Vec<(&'static str, u64, Vec<usize>)> = Vec::new();
    for (set, ways) in stage.ways.iter().enumerate() {
        for (_, way) in ways.x.iter().filter(|(o, _)| Some(*o) == order) {
            match kinds.iter_mut().find(|kind| kind.0 == way.name()) {
                Some((_, bytes, sets)) => {
                    *bytes += way.bytes();
                    sets.push(set);
                }
                None => kinds.push((way.name(), way.bytes(), vec![set])),
            }
        }
    }
    let mixed = kinds.iter().any(|kind| kind.0 == "rewired");
    let parts = kinds.iter().map(|(name, bytes, sets)| {
        let folds = sets.iter().filter(|set| **set + 1 < stage.ways.len()).map(ToString::to_string);
        let folds: Vec<String> = folds.collect();
        match bytes {
            0 => format!("{name} {}", sets.len()),
            bytes if *name == "gathered" && mixed => {
                format!("{name} {} ({} copied; without fold {})", sets.len(), Bytes(*bytes), folds.join(", "))
            }
            bytes => format!("{name} {} ({} copied)", sets.len(), Bytes(*bytes)),
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// Room for prediction columns.
pub(crate) fn prediction_room<'a>(
    sl: &'a SuperLearner,
    bytes: u64,
    heap: &'a dyn Scratch,
) -> &'a dyn Scratch {
    if predictions_spill(sl, bytes) { sl.scratch.as_ref() } else { heap }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::table::DenseTable,
        design::kfold::KFold,
        ensemble::builder::{Layer, MemoryBudget},
        learner::{
            estimator::{Estimator, FitContext, FitCost, Train},
            model::Model,
            pipeline::Pipeline,
        },
    };

    /// Declares what no machine has.
    struct Endless;

    impl Estimator for Endless {
        fn kind(&self) -> String {
            "test.endless".into()
        }
        fn access(&self) -> Access {
            Access::Segments
        }
        fn cost(&self, _: Shape) -> FitCost {
            FitCost { peak_bytes: u64::MAX - 1000, model_bytes: u64::MAX }
        }
        fn fit(&self, _: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
            Err(Error::unsupported("it is only planned"))
        }
    }

    #[test]
    fn costs_beyond_all_memory_are_refused_by_the_plan_and_never_wrap() {
        let x = DenseTable::column((0..90).map(f64::from).collect());
        let piped: Arc<dyn Estimator> = Arc::new(Pipeline::new(Vec::new(), Arc::new(Endless)));
        for learner in [Arc::new(Endless) as Arc<dyn Estimator>, piped] {
            let layer = Layer::new().shared("one", Arc::clone(&learner)).shared("two", learner);
            let stack = SuperLearner::new(KFold::new(3)).layer(layer).meta(Endless);
            let error = stack.plan(&x, &x).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Memory { .. }), "{error}");
            assert!(error.to_string().contains("a fit of learner '"), "{error}");
            let error = stack.budget(MemoryBudget::bytes(1 << 40)).plan(&x, &x).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Budget { .. }), "{error}");
        }
    }

    /// Declares a thousand bytes a class, and one for a target of numbers.
    struct Costly;

    impl Estimator for Costly {
        fn kind(&self) -> String {
            "test.costly".into()
        }
        fn access(&self) -> Access {
            Access::Segments
        }
        fn predicts(&self) -> Predicts {
            Predicts::Votes
        }
        fn cost(&self, _: Shape) -> FitCost {
            FitCost { peak_bytes: 1, model_bytes: 0 }
        }
        fn cost_with_classes(&self, _: Shape, n_classes: usize) -> FitCost {
            FitCost { peak_bytes: 1000 * n_classes as u64, model_bytes: 0 }
        }
        fn fit(&self, _: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn Model>> {
            Err(Error::unsupported("it is only planned"))
        }
    }

    #[test]
    fn classifiers_cost_what_they_declare_for_the_classes_of_the_target() {
        let x = DenseTable::column((0..90).map(f64::from).collect());
        for k in [2, 5, 20] {
            let y = DenseTable::column((0..90).map(|i| f64::from(i % k)).collect());
            let one_fit = 1000 * k as u64;
            for learner in [Arc::new(Costly) as Arc<dyn Estimator>, piped()] {
                let stack = SuperLearner::new(KFold::new(3)).layer(Layer::new().shared("one", learner));
                let plan = stack.plan(&x, &y).unwrap();
                assert_eq!(plan.stages[0].learners[0].cost, one_fit);
                assert!(plan.peak_bytes() >= one_fit);
                // A budget for one fit at a time, and one that is too small for any.
                let stack = |bytes| stack.clone().budget(MemoryBudget::bytes(bytes)).plan(&x, &y);
                let base = plan.peak_bytes() - 4 * one_fit;
                assert_eq!(stack(base + one_fit).unwrap().peak_bytes(), base + one_fit);
                let error = stack(base + one_fit - 1).unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Budget { .. }), "{error}");
            }
        }
    }

    /// A pipeline asks its learner.
    fn piped() -> Arc<dyn Estimator> {
        Arc::new(Pipeline::new(Vec::new(), Arc::new(Costly)))
    }
}
