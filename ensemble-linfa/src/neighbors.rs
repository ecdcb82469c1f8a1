//! Nearest neighbours over linfa's indexes, on the table's own rows.
//!
//! linfa-nn 0.8.1 has indexes and no learner: means and votes are taken here. An index borrows the rows it is built on, and a model
//! must own what it reads, so the model holds the table by count, views of its runs, and the indexes on these, each borrowing from
//! the one before.
//!
//! Rows in a mapped file stay there after the fit. Before and after every batch a model makes sure that the file is what it was, and
//! refuses to predict otherwise; it cannot keep others from cutting the file short in between, which ends the process by SIGBUS. A model
//! saved with its rows has none in a file.

use std::sync::Arc;

use ensemble_core::{
    Access, DenseTable, Error, Estimator, FitContext, FitCost, GatherFor, KeptRows, Loaded, MatMut, MatRef,
    Model, Order, Predicts, PresentClasses, Record, Registry, Result, Rows, Shape, Table, Train,
    check_predicted, check_prediction,
    distance::{Differences, check_queries, check_ranges, no_ranges, widen},
    gather, on_stack,
    parameter::{at_least, at_most_there_are},
};
use linfa_nn::{
    CommonNearestNeighbour, NearestNeighbour, NearestNeighbourIndex,
    distance::{L1Dist, L2Dist, LInfDist},
};
use ndarray::{ArrayView1, ArrayView2};
use self_cell::self_cell;

use crate::{
    parameters::{parameters, words},
    view::{DEEP, array_view, refused},
};

words! {
    /// How neighbours are found. The answers are the same.
    Algorithm {
        /// A k-d tree for up to 15 columns in C order, a ball tree otherwise; where most rows share a column's least value, a k-d tree
        /// in C order and a scan in Fortran order.
        Auto = "auto",
        /// A k-d tree; rows must be in C order.
        KdTree = "kd_tree",
        /// A ball tree. Where most rows share a column's least value its time grows as their square, and it takes more than its cost
        /// says.
        BallTree = "ball_tree",
        /// A scan, which holds 40 bytes per training row for every query.
        Linear = "linear",
    }
}

words! {
    /// How much each neighbour counts.
    Weights {
        /// All alike.
        Uniform = "uniform",
        /// By the inverse of the distance; neighbours at distance 0, if any, count alone and alike.
        Distance = "distance",
    }
}

words! {
    /// What distance is.
    Metric {
        /// The root of the sum of squares.
        Euclidean = "euclidean",
        /// The sum of absolute differences.
        Manhattan = "manhattan",
        /// The greatest absolute difference.
        Chebyshev = "chebyshev",
    }
}

parameters! {
    /// The mean target of the nearest training rows, found by linfa's indexes: scikit-learn's `KNeighborsRegressor`.
    ///
    /// The model reads the table's rows where they lie, one index per run; a table that is only borrowed is copied once, which the
    /// ledger shows. Of rows at equal distance the first counts, whatever the index. Columns whose squares overflow (values beyond 1e150) or vanish (all within 1e-140 of each other, but not equal)
    /// are refused; for the other metrics the bounds are 1e300 and 1e-290.
    ///
    /// Faults of linfa-nn 0.8.1 handled here: its k-d tree panics on rows in Fortran order, which are refused by a sentence or take
    /// the ball tree; it panics on queries that are not finite; which of equally near rows is found depends on the index; its trees
    /// recurse as they are built and dropped, which is done on a stack of their own.
    KNeighborsRegressor: Learner = "linfa.k_neighbors_regressor", "linfa-nn 0.8.1" {
        n_neighbors "n_neighbors" []: usize = 5, "5", "neighbours per prediction";
        weights "weights" []: Weights = Weights::Uniform, "uniform", "uniform or distance";
        algorithm "algorithm" []: Algorithm = Algorithm::Auto, "auto", "auto, kd_tree, ball_tree or linear";
        leaf_size "leaf_size" []: usize = 30, "30", "rows in a leaf of a tree";
        metric "metric" []: Metric = Metric::Euclidean, "euclidean", "euclidean, manhattan or chebyshev";
    }
}

parameters! {
    /// The shares of the classes among the nearest training rows, found by linfa's indexes: scikit-learn's
    /// `KNeighborsClassifier`. All else is as in [`KNeighborsRegressor`].
    KNeighborsClassifier: Learner = "linfa.k_neighbors_classifier", "linfa-nn 0.8.1" {
        n_neighbors "n_neighbors" []: usize = 5, "5", "neighbours per prediction";
        weights "weights" []: Weights = Weights::Uniform, "uniform", "uniform or distance";
        algorithm "algorithm" []: Algorithm = Algorithm::Auto, "auto", "auto, kd_tree, ball_tree or linear";
        leaf_size "leaf_size" []: usize = 30, "30", "rows in a leaf of a tree";
        metric "metric" []: Metric = Metric::Euclidean, "euclidean", "euclidean, manhattan or chebyshev";
    }
}

/// Columns up to which a k-d tree is worth its memory.
const KD_COLUMNS: usize = 15;

impl Metric {
    fn differences(self) -> Differences {
        match self {
            Metric::Euclidean => Differences::Squared,
            Metric::Manhattan | Metric::Chebyshev => Differences::Plain,
        }
    }

    fn distance(self, a: &[f64], b: impl Iterator<Item = f64>) -> f64 {
        let gaps = a.iter().zip(b).map(|(a, b)| a - b);
        match self {
            Metric::Euclidean => gaps.map(|g| g * g).sum::<f64>().sqrt(),
            Metric::Manhattan => gaps.map(f64::abs).sum(),
            Metric::Chebyshev => gaps.fold(0.0, |m, g| g.abs().max(m)),
        }
    }
}

type Index<'a> = Box<dyn NearestNeighbourIndex<f64> + Send + Sync + 'a>;
type Views<'a> = Vec<ArrayView2<'a, f64>>;
type Indexes<'a> = Vec<Index<'a>>;

/// Training rows, owned by count.
struct Source {
    table: Arc<dyn Table>,
    rows: Rows,
}

impl Source {
    /// Whether more than half the rows share a column's least value: linfa's ball tree then parts one row at a time, in a time that
    /// grows as their square.
    fn crowds(&self) -> bool {
        let x = self.table.as_mat();
        let column = |c: usize| self.rows.runs().iter().cloned().flatten().map(move |r| x.get(r, c));
        (0..x.ncols()).any(|c| {
            let least = column(c).fold(f64::INFINITY, f64::min);
            2 * column(c).filter(|v| *v == least).count() > self.rows.len()
        })
    }
}

self_cell!(
    /// Views of the runs, over the table.
    struct RunViews {
        owner: Source,
        #[not_covariant]
        dependent: Views,
    }
);

self_cell!(
    /// An index per run, over the views.
    struct RunIndexes {
        owner: RunViews,
        #[covariant]
        dependent: Indexes,
    }
);

/// What a search is made of.
#[derive(Clone, Debug, PartialEq)]
struct Search {
    n_neighbors: usize,
    weights: Weights,
    algorithm: Algorithm,
    leaf_size: usize,
    metric: Metric,
}

impl Search {
    fn check(&self, kind: &str) -> Result<()> {
        at_least(kind, "n_neighbors", self.n_neighbors, 1)?;
        at_least(kind, "leaf_size", self.leaf_size, 1)
    }

    fn algorithm_for(&self, source: &Source) -> Algorithm {
        let x = source.table.as_mat();
        match (self.algorithm, x.order()) {
            (Algorithm::Auto, Order::C) if x.ncols() <= KD_COLUMNS || source.crowds() => Algorithm::KdTree,
            (Algorithm::Auto, Order::F) if source.crowds() => Algorithm::Linear,
            (Algorithm::Auto, _) => Algorithm::BallTree,
            (other, _) => other,
        }
    }

    /// Bytes of an index, and of what building it takes besides.
    fn index_bytes(&self, used: Algorithm, train: Shape) -> (usize, usize) {
        let Shape { nrows: n, ncols: p } = train;
        match used {
            Algorithm::Linear => (0, 0),
            // A k-d tree's leaves are a little more than half full where rows lie evenly; its lists of rows double as they grow.
            Algorithm::KdTree => {
                let leaves = (20 * n).div_ceil(11 * self.leaf_size).max(1);
                (72 * n + 2 * leaves * (156 + 16 * p), 0)
            }
            // A ball tree parts rows at the median, into lists that double.
            Algorithm::BallTree | Algorithm::Auto => {
                let leaves = n.div_ceil(self.leaf_size).next_power_of_two();
                let rows = (n / leaves + 2).next_power_of_two().max(4);
                (leaves * (32 * rows + 8 * p + 160), 36 * n)
            }
        }
    }

    fn cost(&self, train: Shape) -> FitCost {
        let bytes = |used| self.index_bytes(used, train);
        let (kept, peak) = match self.algorithm {
            // Which it will be depends on the order of the table and how rows lie.
            Algorithm::Auto => {
                let ((kd, _), (ball, building)) = (bytes(Algorithm::KdTree), bytes(Algorithm::BallTree));
                (kd.max(ball), kd.max(ball + building))
            }
            own => (bytes(own).0, bytes(own).0 + bytes(own).1),
        };
        let own = size_of::<NeighborsModel>() + 1024;
        FitCost { peak_bytes: (peak + own) as u64, model_bytes: (kept + own) as u64 }
    }

    fn fit(
        &self,
        kind: &'static str,
        train: &Train<'_>,
        cx: &FitContext<'_>,
        say: Say,
    ) -> Result<Arc<dyn Model>> {
        let n = train.x().nrows();
        at_most_there_are(kind, "n_neighbors", self.n_neighbors, n, "training rows")?;
        let (source, target) = kept_rows(train, cx)?;
        Ok(Arc::new(NeighborsModel::new(kind, self.clone(), source, target, say)?))
    }
}

/// The table and its targets by count where they can be kept, a copy otherwise.
fn kept_rows(train: &Train<'_>, cx: &FitContext<'_>) -> Result<(Source, Arc<dyn Table>)> {
    let rows = train.x().rows();
    // Whether the handles are of the rows in hand: where a row is read tells.
    let same = |table: &Arc<dyn Table>, first: Option<*const f64>| {
        let run = rows.runs().first().cloned().unwrap_or(0..0);
        table.as_mat().rows(run).ok().map(|m| m.data().as_ptr()) == first
    };
    let x = train.x().segments().next().map(|s| s.data().as_ptr());
    let y = train.y().next().map(<[f64]>::as_ptr);
    if let (Some(table), Some(target)) = (cx.table, cx.target)
        && same(table, x)
        && same(target, y)
    {
        return Ok((Source { table: Arc::clone(table), rows: rows.clone() }, Arc::clone(target)));
    }
    let purpose = GatherFor { layer: cx.layer, fold: cx.fold, what: "rows that neighbours are looked up in" };
    let table = gather(&train.x(), Order::C, cx.scratch, cx.ledger, purpose)?.into_table();
    let target = DenseTable::column(train.y().flatten().copied().collect());
    Ok((Source { rows: Rows::all(train.x().nrows()), table }, Arc::new(target)))
}

/// What is said of the neighbours.
enum Say {
    Mean,
    Shares(PresentClasses),
}

struct NeighborsModel {
    kind: &'static str,
    search: Search,
    /// The index that was built.
    used: Algorithm,
    /// `None` only while it is dropped.
    indexes: Option<RunIndexes>,
    target: Arc<dyn Table>,
    say: Say,
}

impl NeighborsModel {
    const RECORD: &'static str = "linfa.neighbors";

    fn new(
        kind: &'static str,
        search: Search,
        source: Source,
        target: Arc<dyn Table>,
        say: Say,
    ) -> Result<Self> {
        let (order, ncols) = (source.table.as_mat().order(), source.table.as_mat().ncols());
        let used = search.algorithm_for(&source);
        let algorithm = match used {
            Algorithm::KdTree if order == Order::F && ncols > 1 => {
                return Err(Error::parameter(
                    kind,
                    "algorithm",
                    "kd_tree",
                    "linfa's k-d tree takes rows in C order alone and the table is in Fortran order; use auto",
                ));
            }
            Algorithm::KdTree => CommonNearestNeighbour::KdTree,
            Algorithm::Linear => CommonNearestNeighbour::LinearSearch,
            Algorithm::BallTree | Algorithm::Auto => CommonNearestNeighbour::BallTree,
        };
        let views = RunViews::try_new(source, |source| -> Result<Views<'_>> {
            let x = source.table.as_mat();
            source.rows.runs().iter().map(|run| array_view(x.rows(run.clone())?)).collect()
        })?;
        let source = views.borrow_owner();
        let mut ranges = no_ranges(ncols);
        for run in source.rows.runs() {
            widen(&mut ranges, source.table.as_mat().rows(run.clone())?);
        }
        check_ranges(search.metric.differences(), &ranges, "training rows")?;
        let indexes = on_stack(DEEP, || {
            RunIndexes::try_new(views, |views| {
                views.with_dependent(|_, runs| {
                    runs.iter()
                        .map(|run| index(kind, &algorithm, run, &search))
                        .collect::<Result<Indexes<'_>>>()
                })
            })
        })?;
        Ok(Self { kind, search, used, indexes: Some(indexes), target, say })
    }

    fn indexes(&self) -> &RunIndexes {
        self.indexes.as_ref().expect("there until dropped")
    }

    fn source(&self) -> &Source {
        self.indexes().borrow_owner().borrow_owner()
    }

    /// The nearest rows of the table, by (distance, row).
    fn nearest(&self, query: &[f64]) -> Result<Vec<(f64, usize)>> {
        let (k, x) = (self.search.n_neighbors, self.source().table.as_mat());
        let point = ArrayView1::from(query);
        let place = |start: usize, found: Vec<(ArrayView1<'_, f64>, usize)>, into: &mut Vec<(f64, usize)>| {
            for (_, at) in found {
                let row = start + at;
                let values = (0..x.ncols()).map(|c| x.get(row, c));
                into.push((self.search.metric.distance(query, values), row));
            }
            into.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        };
        let starts =
            || self.source().rows.runs().iter().map(|r| r.start).zip(self.indexes().borrow_dependent());
        let mut found = Vec::new();
        for (start, index) in starts() {
            place(start, index.k_nearest(point, k + 1).map_err(refused(self.kind))?, &mut found);
        }
        // An index gives any of equally near rows: where the last place is shared, all who share it are asked for.
        if found.len() > k && found[k].0 <= found[k - 1].0 * (1.0 + 1e-12) {
            let range = found[k - 1].0 * (1.0 + 1e-11) + f64::MIN_POSITIVE.sqrt();
            found.clear();
            for (start, index) in starts() {
                place(start, index.within_range(point, range).map_err(refused(self.kind))?, &mut found);
            }
        }
        found.truncate(k);
        Ok(found)
    }

    fn predict_row(&self, query: &[f64], out: &mut [f64]) -> Result<()> {
        let found = self.nearest(query)?;
        let y = self.target.as_mat();
        let exact = found.first().is_some_and(|(d, _)| *d == 0.0);
        let weight = |distance: f64| match self.search.weights {
            Weights::Uniform => 1.0,
            Weights::Distance if exact => f64::from(u8::from(distance == 0.0)),
            Weights::Distance => 1.0 / distance,
        };
        let total: f64 = found.iter().map(|(d, _)| weight(*d)).sum();
        match &self.say {
            Say::Mean => {
                out[0] = found.iter().map(|(d, row)| weight(*d) * y.get(*row, 0)).sum::<f64>() / total
            }
            Say::Shares(_) => {
                out.fill(0.0);
                found.iter().for_each(|(d, row)| out[y.get(*row, 0) as usize] += weight(*d));
                let sum: f64 = out.iter().sum();
                out.iter_mut().for_each(|v| *v /= sum);
            }
        }
        Ok(())
    }

    /// Whether the rows kept are what they were. Asked before they are read, so that a table that was cut short is an error and not
    /// a signal, and afterwards, so that nothing is believed that changed meanwhile.
    fn check_rows(&self) -> Result<()> {
        self.source().table.check_unchanged()?;
        self.target.check_unchanged()
    }

    fn kept(&self) -> KeptRows {
        let Source { table, rows } = self.source();
        KeptRows { table: Arc::clone(table), target: Arc::clone(&self.target), rows: rows.clone() }
    }

    /// All but the rows, as data.
    fn parameters(&self) -> Record {
        let record = Record::new(Self::RECORD)
            .with_field("n_neighbors", self.search.n_neighbors as u64)
            .with_field("leaf_size", self.search.leaf_size as u64)
            .with_text("weights", self.search.weights.word())
            .with_text("algorithm", self.search.algorithm.word())
            .with_text("metric", self.search.metric.word());
        match &self.say {
            Say::Mean => record,
            Say::Shares(present) => present.save(record),
        }
    }

    fn from_record(record: &Record, registry: &Registry) -> Result<Self> {
        let KeptRows { table, target, rows } = KeptRows::find(record, registry)?;
        let words = ["weights", "algorithm", "metric"].map(|name| record.text(name));
        let [weights, algorithm, metric] = words;
        let search = Search {
            n_neighbors: record.count("n_neighbors")?,
            weights: Weights::saved(&weights?)?,
            algorithm: Algorithm::saved(&algorithm?)?,
            leaf_size: record.count("leaf_size")?,
            metric: Metric::saved(&metric?)?,
        };
        search.check(Self::RECORD)?;
        let (kind, say) = match record.field("n_classes") {
            Err(_) => (KNeighborsRegressor::KIND, Say::Mean),
            Ok(_) => {
                let present = PresentClasses::load(record)?;
                let classes = 0.0..present.n_classes() as f64;
                let y = target.as_mat();
                if rows.runs().iter().cloned().flatten().any(|row| !classes.contains(&y.get(row, 0))) {
                    return Err(Error::spec(Self::RECORD, "a saved row is of no class"));
                }
                (KNeighborsClassifier::KIND, Say::Shares(present))
            }
        };
        Self::new(kind, search, Source { table, rows }, target, say)
    }
}

impl Drop for NeighborsModel {
    fn drop(&mut self) {
        // A tree on many equal rows is as deep as they are many.
        if let Some(indexes) = self.indexes.take() {
            let _ = on_stack(DEEP, move || {
                drop(indexes);
                Ok(())
            });
        }
    }
}

/// linfa's index on one run.
fn index<'a>(
    kind: &str,
    algorithm: &CommonNearestNeighbour,
    run: &'a ArrayView2<'_, f64>,
    search: &Search,
) -> Result<Index<'a>> {
    let leaf = search.leaf_size;
    match search.metric {
        Metric::Euclidean => algorithm.from_batch_with_leaf_size(run, leaf, L2Dist),
        Metric::Manhattan => algorithm.from_batch_with_leaf_size(run, leaf, L1Dist),
        Metric::Chebyshev => algorithm.from_batch_with_leaf_size(run, leaf, LInfDist),
    }
    .map_err(refused(kind))
}

impl Model for NeighborsModel {
    fn n_inputs(&self) -> usize {
        self.source().table.as_mat().ncols()
    }

    fn n_outputs(&self) -> usize {
        match &self.say {
            Say::Mean => 1,
            Say::Shares(present) => present.n_classes(),
        }
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        check_queries(self.search.metric.differences(), x)?;
        self.check_rows()?;
        let (mut row, mut said) = (vec![0.0; x.ncols()], vec![0.0; self.n_outputs()]);
        for r in 0..x.nrows() {
            x.copy_row_into(r, &mut row);
            self.predict_row(&row, &mut said)?;
            said.iter().enumerate().for_each(|(c, v)| out.set(r, c, *v));
        }
        check_predicted(out.as_ref())?;
        self.check_rows()
    }

    fn bytes(&self) -> u64 {
        let shape = Shape { nrows: self.source().rows.len(), ncols: self.n_inputs() };
        (self.search.index_bytes(self.used, shape).0 + size_of::<Self>()) as u64
    }

    /// With handles to the training rows and targets, whose values are written when the record is: the file stands without the
    /// table.
    fn to_record(&self) -> Result<Record> {
        Ok(self.parameters().with_rows(vec![self.kept()]))
    }

    fn to_record_by_reference(&self) -> Result<Record> {
        Ok(self.parameters().with_child(self.kept().to_record_by_reference()?))
    }
}

macro_rules! neighbors {
    ($name:ident, $predicts:expr, $say:expr) => {
        impl $name {
            fn search(&self) -> Search {
                Search {
                    n_neighbors: self.n_neighbors,
                    weights: self.weights,
                    algorithm: self.algorithm,
                    leaf_size: self.leaf_size,
                    metric: self.metric,
                }
            }

            fn check(&self) -> Result<()> {
                self.search().check(Self::KIND)
            }
        }

        impl Estimator for $name {
            fn kind(&self) -> String {
                Self::KIND.into()
            }

            fn access(&self) -> Access {
                Access::Segments
            }

            fn predicts(&self) -> Predicts {
                $predicts
            }

            fn check_shape(&self, train: Shape) -> Result<()> {
                at_most_there_are(Self::KIND, "n_neighbors", self.n_neighbors, train.nrows, "training rows")
            }

            fn cost(&self, train: Shape) -> FitCost {
                self.search().cost(train)
            }

            fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
                self.check()?;
                train.check_finite()?;
                let say: fn(&Train<'_>, &FitContext<'_>) -> Result<std::result::Result<Say, Arc<dyn Model>>> =
                    $say;
                match say(train, cx)? {
                    Ok(say) => self.search().fit(Self::KIND, train, cx, say),
                    Err(model) => Ok(model),
                }
            }
        }
    };
}

neighbors!(KNeighborsRegressor, Predicts::Numbers, |_, _| Ok(Ok(Say::Mean)));
neighbors!(KNeighborsClassifier, Predicts::Probabilities, |train, cx| {
    let (present, _) = PresentClasses::of(train, cx)?;
    Ok(present.certain(train.shape().ncols).map_or(Ok(Say::Shares(present)), Err))
});

pub(crate) fn register(registry: &mut Registry) {
    KNeighborsRegressor::offer(registry);
    KNeighborsClassifier::offer(registry);
    registry.add_loader(NeighborsModel::RECORD, |record, registry| {
        Ok(Loaded::Model(Arc::new(NeighborsModel::from_record(record, registry)?)))
    });
}
