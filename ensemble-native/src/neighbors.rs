//! k nearest neighbours, with one index per fold.
//!
//! The k nearest rows of a training set are among the k nearest rows of each of its folds. So every fold is indexed once, and
//! the K + 1 models of an ensemble share the K indexes: the statistic's merge joins lists of handles. No index copies a point:
//! a table of few columns gets a k-d tree of positions per fold, a table of many is scanned, and rows are read where they lie.
//!
//! A diagonal map between the table and the learner changes distances and no index: rows, and the cuts of trees, are mapped
//! on their way. Every answer is that of an exhaustive search: the least (distance, row), whatever the folds, the index and
//! the threads.

mod brute;
mod fold;
mod search;
mod tree;
mod walk;

use std::{borrow::Cow, num::NonZero, sync::Arc};

use ensemble_core::{
    Access, Affine, AffineShape, BLOCK_ROWS, Block, Built, Error, Estimator, FitContext, FitCost, Fitted,
    FittedTransform, KeptRows, Kind, Loaded, MatMut, MatRef, MergeFit, Model, Order, Parameter, Params,
    Record, Registry, Result, Rows, Shape, Statistic, StatisticContext, StatisticKey, Statistics, Train,
    check_prediction,
    distance::{Differences, check_queries, check_ranges, no_ranges, widen},
    fit_by_merging,
    parameter::{at_least, at_most_there_are},
    same_type,
};
use rayon::prelude::*;

use self::{
    fold::{FoldIndex, Part, Source, Targets, check_source},
    search::{Neighbor, Search, Space},
};

const KIND: &str = "native.k_neighbors_regressor";

/// Queries answered by one task.
const QUERIES: usize = 256;
/// Queries put in order, and answered before their predictions are written.
const ROUND: usize = 256 * QUERIES;

/// How much each neighbour counts in a prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// All alike.
    #[default]
    Uniform,
    /// By the inverse of its distance; neighbours at distance 0, if any, count alone and alike.
    Distance,
}

/// How neighbours are found. The answers are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Trees up to 15 columns, scans beyond.
    #[default]
    Auto,
    /// A k-d tree per fold: at most 10 bytes a row. Up to 15 columns.
    KdTree,
    /// A scan of all training rows per block of queries. Keeps nothing but the table's handle.
    Brute,
}

impl Weights {
    const fn name(self) -> &'static str {
        match self {
            Weights::Uniform => "uniform",
            Weights::Distance => "distance",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        match text {
            "uniform" => Ok(Weights::Uniform),
            "distance" => Ok(Weights::Distance),
            _ => Err(Error::parameter(KIND, "weights", text, "uniform or distance")),
        }
    }
}

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Algorithm::Auto => "auto",
            Algorithm::KdTree => "kd_tree",
            Algorithm::Brute => "brute",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Algorithm::Auto),
            "kd_tree" => Ok(Algorithm::KdTree),
            "brute" => Ok(Algorithm::Brute),
            _ => Err(Error::parameter(KIND, "algorithm", text, "auto, kd_tree or brute")),
        }
    }

    /// The index of a table of `ncols` columns.
    fn shape(self, ncols: usize, behind: Option<AffineShape>) -> Result<fold::Shape> {
        match self {
            Algorithm::KdTree if ncols > tree::MAX_COLUMNS => Err(Error::parameter(
                KIND,
                "algorithm",
                "kd_tree",
                format!(
                    "a tree takes up to {} columns and the table has {ncols}; use auto",
                    tree::MAX_COLUMNS
                ),
            )),
            Algorithm::Auto | Algorithm::KdTree if ncols <= tree::MAX_COLUMNS => {
                Ok(if behind.is_some() { fold::Shape::SpreadTree } else { fold::Shape::Tree })
            }
            _ => Ok(fold::Shape::Rows),
        }
    }
}

/// Predict the mean target of the `n_neighbors` nearest training rows, by Euclidean distance.
///
/// Fitting costs one pass and, up to 15 columns, a tree of positions per fold, at most 10 bytes a row. All models over the same
/// folds share the trees. With more columns, or [`Algorithm::Brute`], nothing is built. Predictions read the table where it
/// lies; where the table or its targets are only borrowed, the statistic copies them.
///
/// Of rows at equal distance the first in the table counts. Rows to predict for with values that are not finite are refused by
/// row and column.
/// Columns whose squares overflow (values beyond 1e150) or vanish (all within 1e-140 of each other, but not equal) are refused,
/// in units of the learner: behind a scaler they may be fine.
///
/// ```
/// use std::sync::Arc;
/// use ensemble_core::{
///     DenseTable, Estimator, FitContext, RowsView, Heap, Ledger, MatMut, MatRef, Order, Rows, Table, Train,
/// };
/// use ensemble_native::KNeighborsRegressor;
///
/// let x: Arc<dyn Table> = Arc::new(DenseTable::column(vec![0.0, 1.0, 2.0, 3.0]));
/// let y: Arc<dyn Table> = Arc::new(DenseTable::column(vec![0.0, 0.0, 1.0, 1.0]));
/// let rows = Rows::all(4);
/// let train = Train::new(RowsView::new(x.as_mat(), &rows)?, RowsView::new(y.as_mat(), &rows)?)?;
/// let ledger = Ledger::default();
/// let cx = FitContext { table: Some(&x), target: Some(&y), ..FitContext::alone(&Heap, &ledger) };
/// let model = KNeighborsRegressor::new().n_neighbors(2).fit_rows(&train, &cx)?;
/// let mut out = [0.0];
/// model.predict_into(MatRef::new(&[1.6], 1, 1, Order::C)?, MatMut::column_vector(&mut out))?;
/// assert_eq!(out, [0.5]);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KNeighborsRegressor {
    n_neighbors: usize,
    weights: Weights,
    algorithm: Algorithm,
}

impl Default for KNeighborsRegressor {
    fn default() -> Self {
        Self { n_neighbors: 5, weights: Weights::default(), algorithm: Algorithm::default() }
    }
}

impl KNeighborsRegressor {
    /// Five neighbours, weighted alike, by whichever algorithm suits the table.
    pub fn new() -> Self {
        Self::default()
    }

    /// With `n` neighbours: at least 1, at most the training rows, checked when it is fitted.
    #[must_use]
    pub fn n_neighbors(mut self, n: usize) -> Self {
        self.n_neighbors = n;
        self
    }

    /// With neighbours weighted so.
    #[must_use]
    pub fn weights(mut self, weights: Weights) -> Self {
        self.weights = weights;
        self
    }

    /// With neighbours found so.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    fn from_params(params: &Params) -> Result<Self> {
        let learner = Self::new()
            .n_neighbors(params.count("n_neighbors", 5)?)
            .weights(Weights::parse(params.word("weights", "uniform"))?)
            .algorithm(Algorithm::parse(params.word("algorithm", "auto"))?);
        learner.neighbors()?;
        Ok(learner)
    }

    fn neighbors(&self) -> Result<NonZero<usize>> {
        at_least(KIND, "n_neighbors", self.n_neighbors, 1)?;
        Ok(NonZero::new(self.n_neighbors).expect("at least 1"))
    }

    /// The state to answer from. Where other learners' trees are at hand too, those in the columns' own units serve a bare
    /// learner best, and those in units of the spreads one behind a scaler.
    fn pick<'a>(&self, statistics: &'a Statistics) -> Result<Cow<'a, NeighborStatistic>> {
        let get = |shape| statistics.get::<NeighborStatistic>(&key(shape));
        if self.algorithm == Algorithm::Brute {
            return get(fold::Shape::Rows);
        }
        match (get(fold::Shape::Tree), get(fold::Shape::SpreadTree)) {
            (Ok(tree), _) if tree.space.is_identity() => Ok(tree),
            (_, Ok(tree)) | (Ok(tree), Err(_)) => Ok(tree),
            (Err(e), Err(_)) if self.algorithm == Algorithm::KdTree => Err(e),
            (Err(_), Err(_)) => get(fold::Shape::Rows),
        }
    }

    fn uses_trees(&self, ncols: usize) -> bool {
        self.algorithm.shape(ncols, None).is_ok_and(|s| s == fold::Shape::Tree)
    }
}

impl Estimator for KNeighborsRegressor {
    fn kind(&self) -> String {
        KIND.into()
    }

    fn access(&self) -> Access {
        Access::Merge
    }

    fn check_shape(&self, train: Shape) -> Result<()> {
        at_most_there_are(KIND, "n_neighbors", self.n_neighbors, train.nrows, "training rows")
    }

    fn cost(&self, train: Shape) -> FitCost {
        let own = size_of::<KNeighborsModel>() as u64;
        if !self.uses_trees(train.ncols) {
            let scans =
                rayon::current_num_threads() as u64 * brute::scan_bytes(train.ncols, self.n_neighbors);
            return FitCost { peak_bytes: own + scans, model_bytes: own };
        }
        let model_bytes = own + tree::tree_bytes(train.nrows);
        FitCost { peak_bytes: model_bytes + tree::build_bytes(train.nrows, train.ncols), model_bytes }
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        train.check_finite()?;
        fit_by_merging(self, train, cx)
    }

    fn as_merge(&self) -> Option<&dyn MergeFit> {
        Some(self)
    }
}

impl MergeFit for KNeighborsRegressor {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        self.neighbors()?;
        // Trees in the columns' own units and in their spreads are two statistics; the learner reads whichever there is.
        Ok(vec![Box::new(NeighborStatistic::new(self.algorithm.shape(cx.ncols, cx.behind)?, cx)?)])
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::Diagonal)
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        let k = self.neighbors()?;
        let rows = self.pick(statistics)?;
        let nrows: usize = rows.folds.iter().map(|f| f.nrows()).sum();
        if k.get() > nrows {
            return Err(Error::parameter(
                KIND,
                "n_neighbors",
                k,
                format!("at most the {nrows} training rows"),
            ));
        }
        rows.check_ranges()?;
        Ok(Fitted::Model(Arc::new(KNeighborsModel {
            folds: rows.folds.clone(),
            space: rows.space.clone(),
            k,
            weights: self.weights,
            algorithm: self.algorithm,
            _loaded: None,
        })))
    }
}

fn key(shape: fold::Shape) -> StatisticKey {
    match shape {
        fold::Shape::Rows => StatisticKey::new("neighbors:rows"),
        fold::Shape::Tree => StatisticKey::new("neighbors:tree"),
        fold::Shape::SpreadTree => StatisticKey::new("neighbors:spread_tree"),
    }
}

/// Where training rows stand, then an index per fold. Merging states of folds joins handles.
#[derive(Clone)]
struct NeighborStatistic {
    shape: fold::Shape,
    source: Source,
    /// Rows of the fold being absorbed, in order.
    open: Vec<Arc<Part>>,
    folds: Vec<Arc<FoldIndex>>,
    space: Space,
    /// Least and greatest value of each of the table's columns.
    ranges: Vec<(f64, f64)>,
}

impl NeighborStatistic {
    fn new(shape: fold::Shape, cx: &StatisticContext) -> Result<Self> {
        if cx.ncols == 0 {
            return Err(Error::shape("columns to measure distances in, at least", 1, 0));
        }
        let source = Source { ncols: cx.ncols, table: cx.table.clone(), target: cx.target.clone() };
        check_source(&source)?;
        let (open, folds) = (Vec::new(), Vec::new());
        Ok(Self { shape, source, open, folds, space: Space::new(cx.ncols), ranges: no_ranges(cx.ncols) })
    }

    /// That distances in the learner's space can be measured: maps of single columns keep the ends of ranges.
    fn check_ranges(&self) -> Result<()> {
        let (mut least, mut greatest): (Vec<f64>, Vec<f64>) = self.ranges.iter().copied().unzip();
        self.space.apply(&mut least);
        self.space.apply(&mut greatest);
        let ranges: Vec<_> = least.iter().zip(&greatest).map(|(a, b)| (a.min(*b), a.max(*b))).collect();
        check_ranges(Differences::Squared, &ranges, "training rows")
    }

    /// Append a part, joined to the one before when neither holds a copy.
    fn push(&mut self, part: &Arc<Part>) {
        if let Some(last) = self.open.last_mut()
            && last.rows.end == part.rows.start
            && [&*last, part].iter().all(|p| p.x.is_empty() && p.y.is_empty())
        {
            *last = Arc::new(Part { rows: last.rows.start..part.rows.end, x: Vec::new(), y: Vec::new() });
        } else {
            self.open.push(Arc::clone(part));
        }
    }
}

impl Statistic for NeighborStatistic {
    fn key(&self) -> StatisticKey {
        key(self.shape)
    }

    fn empty(&self) -> Box<dyn Statistic> {
        Box::new(Self {
            shape: self.shape,
            source: self.source.clone(),
            open: Vec::new(),
            folds: Vec::new(),
            space: Space::new(self.source.ncols),
            ranges: no_ranges(self.source.ncols),
        })
    }

    fn duplicate(&self) -> Box<dyn Statistic> {
        Box::new(self.clone())
    }

    fn absorb(&mut self, block: &Block<'_>) -> Result<()> {
        let (nrows, ncols) = (block.x.nrows(), block.x.ncols());
        if ncols != self.source.ncols {
            return Err(Error::shape("columns of a block", self.source.ncols, ncols));
        }
        if block.y.len() != nrows {
            return Err(Error::shape("targets of a block", nrows, block.y.len()));
        }
        let rows = block.first_row..block.first_row + nrows;
        for table in [&self.source.table, &self.source.target].into_iter().flatten() {
            table.as_mat().rows(rows.start..rows.end)?;
        }
        if nrows == 0 {
            return Ok(());
        }
        widen(&mut self.ranges, block.x);
        let mut x = Vec::new();
        if self.source.table.is_none() {
            x.resize(nrows * ncols, 0.0);
            fold::fill(block.x, &mut x);
        }
        let mut y = Vec::new();
        if self.source.target.is_none() {
            y.extend_from_slice(block.y);
        }
        self.push(&Arc::new(Part { rows, x, y }));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Statistic) -> Result<()> {
        let other = same_type::<Self>(other)?;
        if other.source.ncols != self.source.ncols || other.shape != self.shape {
            return Err(Error::shape("columns of a merged state", self.source.ncols, other.source.ncols));
        }
        if !other.folds.is_empty() && !self.folds.is_empty() && other.space.maps() != self.space.maps() {
            return Err(Error::unsupported("neighbours behind different maps cannot be merged"));
        }
        if self.folds.is_empty() {
            self.space = other.space.clone();
        }
        for ((least, greatest), other) in self.ranges.iter_mut().zip(&other.ranges) {
            (*least, *greatest) = (least.min(other.0), greatest.max(other.1));
        }
        other.open.iter().for_each(|part| self.push(part));
        self.folds.extend(other.folds.iter().cloned());
        Ok(())
    }

    fn seal(&mut self) -> Result<()> {
        if !self.open.is_empty() {
            self.folds.push(Arc::new(FoldIndex::build(&self.source, &mut self.open, self.shape)));
            self.open = Vec::new();
        }
        Ok(())
    }

    fn resized(&self, cx: &StatisticContext) -> Result<Box<dyn Statistic>> {
        Ok(Box::new(Self::new(self.shape, cx)?))
    }

    /// The indexes count in every state that holds a handle to them.
    fn bytes(&self) -> u64 {
        self.open.iter().map(|p| p.bytes()).sum::<u64>() + self.folds.iter().map(|f| f.bytes()).sum::<u64>()
    }

    fn bytes_for(&self, nrows: usize) -> u64 {
        let tree = if self.shape == fold::Shape::Rows { 0 } else { tree::tree_bytes(nrows) };
        tree + self.copied_bytes_for(nrows)
    }

    fn seal_bytes_for(&self, nrows: usize) -> u64 {
        if self.shape == fold::Shape::Rows { 0 } else { tree::build_bytes(nrows, self.source.ncols) }
    }

    fn copied_bytes_for(&self, nrows: usize) -> u64 {
        let ncols = self.source.ncols;
        let x = if self.source.table.is_none() { Shape { nrows, ncols }.bytes() } else { 0 };
        let y = if self.source.target.is_none() { nrows as u64 * 8 } else { 0 };
        x.saturating_add(y)
    }

    fn is_finite(&self) -> Option<bool> {
        None
    }

    fn keeps_places(&self) -> bool {
        true
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::Diagonal)
    }

    fn affine(&self, map: &Affine) -> Result<Box<dyn Statistic>> {
        if map.scale().is_none() {
            return Err(Error::unsupported("neighbours are carried through diagonal maps only"));
        }
        if map.n_in() != self.source.ncols {
            return Err(Error::shape("columns of a map", self.source.ncols, map.n_in()));
        }
        Ok(Box::new(Self { space: self.space.behind(map.clone()), ..self.clone() }))
    }
}

/// Training rows that answer with the mean target of the nearest.
///
/// Holds handles: to the table and its targets, or copies of them where they were borrowed, and to the folds' indexes, which
/// it shares with the other models over the same folds. Predicting takes the rows in tasks of 256 on the current rayon pool;
/// the values do not depend on how rows are grouped. A scan reads every training row once per task.
///
/// # Rows in a file
/// A model that reads its rows in a mapped file makes sure before and after every batch that the file is what it was, and refuses to
/// predict otherwise. It cannot keep others from cutting the file short in between, which ends the process by SIGBUS: save the
/// model with its rows, or keep the file where nobody writes, if that must not happen. Replacing the file by renaming is harmless.
pub struct KNeighborsModel {
    folds: Vec<Arc<FoldIndex>>,
    space: Space,
    k: NonZero<usize>,
    weights: Weights,
    algorithm: Algorithm,
    /// What others that are loaded from the same rows find the index by, as long as one of them lives.
    _loaded: Option<Arc<NeighborStatistic>>,
}

impl KNeighborsModel {
    /// Name of the record of a model.
    pub const RECORD: &'static str = "k_neighbors_regressor";

    /// Neighbours per row.
    pub fn n_neighbors(&self) -> usize {
        self.k.get()
    }

    /// The nearest training rows of each row of `x`, nearest first, `n_neighbors` per row: their distances, and their rows
    /// in the table. Rows with values that are not finite get NaN and `usize::MAX`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](ensemble_core::ErrorKind::Shape) when sizes differ.
    pub fn neighbors_into(&self, x: MatRef<'_>, distances: &mut [f64], rows: &mut [usize]) -> Result<()> {
        let k = self.k.get();
        if x.ncols() != self.space.ncols() {
            return Err(Error::shape("columns to find neighbours in", self.space.ncols(), x.ncols()));
        }
        for len in [distances.len(), rows.len()] {
            if len != x.nrows() * k {
                return Err(Error::shape("room for neighbours", x.nrows() * k, len));
            }
        }
        check_queries(Differences::Squared, x)?;
        self.check_rows()?;
        let tasks = distances.par_chunks_mut(QUERIES * k).zip(rows.par_chunks_mut(QUERIES * k)).enumerate();
        tasks.try_for_each(|(task, (distances, rows))| {
            distances.fill(f64::NAN);
            rows.fill(usize::MAX);
            let first = task * QUERIES;
            self.answer(x.rows(first..(first + QUERIES).min(x.nrows()))?, &mut |query, found| {
                for (at, neighbor) in found.iter().enumerate() {
                    distances[query * k + at] = neighbor.distance.sqrt();
                    rows[query * k + at] = neighbor.row;
                }
            });
            Result::Ok(())
        })?;
        self.check_rows()
    }

    /// Whether the rows kept are what they were. Asked before they are read, so that a table that was cut short is an error and not
    /// a signal, and afterwards, so that nothing is believed that changed meanwhile.
    fn check_rows(&self) -> Result<()> {
        // All folds are rows of one table.
        let Some(source) = self.folds.first().map(|fold| fold.source()) else { return Ok(()) };
        [&source.table, &source.target].into_iter().flatten().try_for_each(|table| table.check_unchanged())
    }

    /// The neighbours of a few rows, on this thread.
    fn answer(&self, x: MatRef<'_>, each: &mut dyn FnMut(usize, &[Neighbor])) {
        let search = Search::new(&self.folds, &self.space, self.k);
        match x.as_slice() {
            Some(queries) if x.order() == Order::C => search.run(queries, each),
            _ => {
                let mut queries = vec![0.0; x.nrows() * x.ncols()];
                fold::fill(x, &mut queries);
                search.run(&queries, each);
            }
        }
    }

    /// The prediction from neighbours, nearest first.
    fn combine(&self, found: &[Neighbor], targets: &[Targets<'_>]) -> f64 {
        let target = |n: &Neighbor| targets[n.fold as usize].get(n.position, n.row);
        let mean = |found: &[Neighbor]| found.iter().map(target).sum::<f64>() / found.len() as f64;
        match self.weights {
            Weights::Uniform => mean(found),
            Weights::Distance => {
                let same = found.partition_point(|n| n.distance == 0.0);
                if same > 0 {
                    return mean(&found[..same]);
                }
                let (mut sum, mut weights) = (0.0, 0.0);
                for neighbor in found {
                    let weight = 1.0 / neighbor.distance.sqrt();
                    sum += weight * target(neighbor);
                    weights += weight;
                }
                sum / weights
            }
        }
    }

    /// All but the rows, as data.
    fn parameters(&self) -> Result<Record> {
        let mut record = Record::new(Self::RECORD)
            .with_field("n_neighbors", self.k.get())
            .with_text("weights", self.weights.name())
            .with_text("algorithm", self.algorithm.name());
        for map in self.space.maps() {
            record = record.with_child(map.to_record()?);
        }
        Ok(record)
    }

    /// From what [`Model::to_record`] or [`Model::to_record_by_reference`] gave: one fold of all rows, indexed anew unless
    /// another model that was loaded from the same rows lives, whose index serves.
    ///
    /// # Errors
    /// When a part is missing or of the wrong size, or a file is not what it was.
    pub fn from_record(record: &Record, registry: &Registry) -> Result<Self> {
        let kept = KeptRows::find(record, registry)?;
        let KeptRows { table, target, rows } = &kept;
        let (nrows, ncols) = (rows.len(), table.as_mat().ncols());
        let k = record.count("n_neighbors")?;
        let algorithm = Algorithm::parse(&record.text("algorithm")?)?;
        let weights = Weights::parse(&record.text("weights")?)?;
        let k = NonZero::new(k).filter(|k| k.get() <= nrows).ok_or_else(|| {
            Error::parameter(KIND, "n_neighbors", k, format!("1 to the {nrows} saved rows"))
        })?;
        let mut space = Space::new(ncols);
        for child in record.children().iter().filter(|c| !KeptRows::is(c)) {
            let map = registry.load_transform(child)?;
            match map.as_affine() {
                Some(map) if map.scale().is_some_and(|s| s.len() == ncols) => {
                    space = space.behind(map.clone())
                }
                _ => {
                    return Err(Error::spec(
                        Self::RECORD,
                        "a saved map is not diagonal or not as wide as the rows",
                    ));
                }
            }
        }
        let behind = (!space.is_identity()).then_some(AffineShape::Diagonal);
        let shape = algorithm.shape(ncols, behind)?;
        // No map and no other parameter goes into the index.
        let loaded = registry.index(&kept, &key(shape).to_string(), || {
            let cx = StatisticContext::new(ncols).with_tables(Some(table), Some(target));
            let mut state = NeighborStatistic::new(shape, &cx)?;
            let y = target.as_mat();
            for run in rows.runs() {
                let x = table.as_mat().rows(run.start..run.end)?;
                let y = y.rows(run.start..run.end)?;
                let y =
                    y.column(0).ok_or_else(|| Error::spec(Self::RECORD, "the saved targets have gaps"))?;
                state.absorb(&Block { x, y, first_row: run.start })?;
            }
            state.seal()?;
            Ok(state)
        })?;
        NeighborStatistic { space: space.clone(), ..(*loaded).clone() }.check_ranges()?;
        Ok(Self { folds: loaded.folds.clone(), space, k, weights, algorithm, _loaded: Some(loaded) })
    }
}

impl Model for KNeighborsModel {
    fn n_inputs(&self) -> usize {
        self.space.ncols()
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        check_queries(Differences::Squared, x)?;
        self.check_rows()?;
        let search = Search::new(&self.folds, &self.space, self.k);
        let targets: Vec<Targets<'_>> = self.folds.iter().map(|f| f.targets()).collect();
        let room = x.nrows().min(ROUND);
        let (mut predicted, mut order) = (vec![f64::NAN; room], vec![(0, 0); room]);
        for (round, x) in x.row_blocks(ROUND).enumerate() {
            let (predicted, order) = (&mut predicted[..x.nrows()], &mut order[..x.nrows()]);
            search.order(x, order);
            let tasks = predicted.par_chunks_mut(QUERIES).zip(order.par_chunks(QUERIES));
            tasks.for_each_init(Vec::new, |queries, (predicted, order)| {
                predicted.fill(f64::NAN);
                queries.resize(order.len() * x.ncols(), 0.0);
                for ((_, row), query) in order.iter().zip(queries.chunks_exact_mut(x.ncols())) {
                    x.copy_row_into(*row as usize, query);
                }
                search.run(queries, &mut |query, found| predicted[query] = self.combine(found, &targets));
            });
            for ((_, row), value) in order.iter().zip(predicted) {
                out.set(round * ROUND + *row as usize, 0, *value);
            }
        }
        self.check_rows()
    }

    fn batch_rows(&self) -> usize {
        if self.folds.iter().all(|f| f.tree().is_some()) { ROUND } else { BLOCK_ROWS }
    }

    /// Indexes and copies that other models share count in full.
    fn bytes(&self) -> u64 {
        let maps = self.space.maps().len() * self.space.ncols() * 16;
        self.folds.iter().map(|f| f.bytes()).sum::<u64>() + (maps + size_of::<Self>()) as u64
    }

    /// With handles to the training rows and targets, whose values are written when the record is: the file stands without the
    /// table.
    fn to_record(&self) -> Result<Record> {
        let parts = match self.kept() {
            Some(rows) => vec![rows],
            None => match self.folds.iter().map(|fold| fold.copies()).collect() {
                Some(copies) => copies,
                None => vec![self.copied()?],
            },
        };
        Ok(self.parameters()?.with_rows(parts))
    }

    fn to_record_by_reference(&self) -> Result<Record> {
        let kept = self.kept().ok_or_else(|| {
            Error::unsupported("the neighbours' rows were copied; save the model with its rows")
        })?;
        Ok(self.parameters()?.with_child(kept.to_record_by_reference()?))
    }
}

impl KNeighborsModel {
    /// The rows by handles to the table and its targets; `None` where either was copied.
    fn kept(&self) -> Option<KeptRows> {
        let source = self.folds.first()?.source();
        let rows = Rows::from_runs(self.folds.iter().flat_map(|f| f.runs()));
        Some(KeptRows { table: source.table.clone()?, target: source.target.clone()?, rows })
    }

    /// A copy of rows and targets, for those of which only one was copied before.
    fn copied(&self) -> Result<KeptRows> {
        let ncols = self.space.ncols();
        let nrows = self.folds.iter().map(|f| f.nrows()).sum::<usize>();
        let mut x = vec![0.0; nrows * ncols];
        let mut y = Vec::with_capacity(nrows);
        let mut rows = x.chunks_exact_mut(ncols);
        for fold in &self.folds {
            let targets = fold.targets();
            for (position, row) in (0..fold.nrows()).zip(&mut rows) {
                fold.copy_row(position, row);
                y.push(targets.get(position, fold.row(position)));
            }
        }
        KeptRows::of_values(x, ncols, y)
    }
}

/// Offer the kind, and the loader of its models.
pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Kind {
        name: KIND,
        backend: crate::BACKEND,
        parameters: const {
            &[
                Parameter::new("n_neighbors", "5", "training rows that a prediction averages"),
                Parameter::new("weights", "uniform", "uniform, or distance for their inverse"),
                Parameter::new("algorithm", "auto", "auto, kd_tree (up to 15 columns) or brute"),
            ]
        },
        build: |params| Ok(Built::Learner(Arc::new(KNeighborsRegressor::from_params(params)?))),
    });
    registry.add_loader(KNeighborsModel::RECORD, |record, registry| {
        Ok(Loaded::Model(Arc::new(KNeighborsModel::from_record(record, registry)?)))
    });
}

#[cfg(test)]
mod tests {
    use ensemble_core::{DenseTable, Table};

    use super::*;

    #[test]
    fn models_that_are_loaded_from_the_same_rows_share_an_index_as_fitted_ones_do() {
        let kept = KeptRows::of_values((0..900).map(f64::from).collect(), 3, vec![1.0; 300]).unwrap();
        let record = |k: usize, algorithm: Algorithm, shift: f64| {
            let map: &dyn FittedTransform = &Affine::diagonal(vec![shift; 3], vec![2.0; 3]);
            let record = Record::new(KNeighborsModel::RECORD)
                .with_field("n_neighbors", k)
                .with_text("weights", "uniform")
                .with_text("algorithm", algorithm.name())
                .with_rows(vec![kept.clone()]);
            if shift == 0.0 { record } else { record.with_child(map.to_record().unwrap()) }
        };
        let models = [
            record(2, Algorithm::Auto, 0.0),
            record(3, Algorithm::KdTree, 0.0),
            record(4, Algorithm::Auto, 1.0),
            record(5, Algorithm::Auto, 2.0),
        ];
        let outer = models.into_iter().fold(Record::new("outer"), Record::with_child);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        outer.save(&path).unwrap();
        let mut registry = Registry::new();
        register(&mut registry);
        // From a file, and from memory.
        for outer in [Record::load(&path).unwrap(), outer] {
            let load = |at: usize| KNeighborsModel::from_record(&outer.children()[at], &registry).unwrap();
            let models = [0, 1, 2, 3].map(load);
            let shared = |a: usize, b: usize| Arc::ptr_eq(&models[a].folds[0], &models[b].folds[0]);
            assert!(shared(0, 1) && shared(2, 3) && !shared(0, 2));
            let index = Arc::downgrade(&models[0].folds[0]);
            drop(models);
            assert!(index.upgrade().is_none(), "nothing outlives the models");
        }
    }

    #[test]
    fn the_kind_is_built_from_text_and_its_models_are_loaded() {
        let mut registry = Registry::new();
        register(&mut registry);
        let learner =
            registry.pipeline("native.k_neighbors_regressor:n_neighbors=2,weights=distance").unwrap();
        for wrong in ["n_neighbors=0", "n_neighbors=x", "weights=none", "algorithm=ball_tree", "p=1"] {
            assert!(registry.pipeline(&format!("{KIND}:{wrong}")).is_err(), "{wrong}");
        }
        let x: Arc<dyn Table> = Arc::new(DenseTable::column((0..9).map(f64::from).collect()));
        let rows = ensemble_core::Rows::all(9);
        let view = ensemble_core::RowsView::new(x.as_mat(), &rows).unwrap();
        let ledger = ensemble_core::Ledger::default();
        let cx = FitContext::alone(&ensemble_core::Heap, &ledger);
        let model = learner.fit_rows(&Train::new(view, view).unwrap(), &cx).unwrap();
        let loaded = registry.load_model(&model.to_record().unwrap()).unwrap();
        let mut out = [0.0; 2];
        let queries = MatRef::column_vector(&[2.25, 7.0]);
        for model in [model, loaded] {
            model.predict_into(queries, MatMut::column_vector(&mut out)).unwrap();
            assert_eq!(out, [2.25, 7.0]);
        }
    }
}
