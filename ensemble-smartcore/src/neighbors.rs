//! Nearest neighbours by smartcore's searches, over rows that stay in the table.
//!
//! smartcore's `KNNRegressor` copies all rows. Its searches are generic over what a point is, so here a point is the number of a
//! row, and the distance reads the table through a counted handle.

use std::{fmt, sync::Arc};

use ensemble_core::{
    Access, Built, DenseTable, Error, ErrorKind, Estimator, FitContext, FitCost, KeptRows, Kind, Loaded,
    MatMut, MatRef, Model, Order, Parameter, Params, Predicts, PresentClasses, Record, Registry, Result,
    Rows, Shape, Table, Train, check_prediction,
    distance::{Differences, check_queries, check_ranges, no_ranges, widen},
    on_stack,
    parameter::{at_least, at_most_there_are, between},
};
use smartcore::{
    algorithm::neighbour::{cover_tree::CoverTree, linear_search::LinearKNNSearch},
    metrics::distance::Distance,
};

use crate::backend::{BACKEND, failed};

/// How neighbours are found; both are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NeighborSearch {
    /// All rows are looked at: 16 bytes a row.
    #[default]
    Linear,
    /// A cover tree: worth its memory for few columns.
    CoverTree,
}

impl NeighborSearch {
    fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::CoverTree => "cover_tree",
        }
    }

    fn from_name(kind: &str, name: &str) -> Result<Self> {
        match name {
            "linear" | "brute" => Ok(Self::Linear),
            "cover_tree" => Ok(Self::CoverTree),
            _ => Err(Error::parameter(kind, "algorithm", name, "linear or cover_tree")),
        }
    }
}

/// What neighbours count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NeighborWeights {
    /// All alike.
    #[default]
    Uniform,
    /// By the inverse of their distance; neighbours at distance 0 alone, when there are any.
    Distance,
}

impl NeighborWeights {
    fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Distance => "distance",
        }
    }

    fn from_name(kind: &str, name: &str) -> Result<Self> {
        match name {
            "uniform" => Ok(Self::Uniform),
            "distance" => Ok(Self::Distance),
            _ => Err(Error::parameter(kind, "weights", name, "uniform or distance")),
        }
    }
}

/// How far two rows are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum NeighborMetric {
    /// The root of the sum of squares.
    #[default]
    Euclidean,
    /// The sum of absolute differences.
    Manhattan,
    /// The p-th root of the sum of p-th powers, p at least 1.
    Minkowski(f64),
}

impl NeighborMetric {
    fn order(self) -> f64 {
        match self {
            Self::Euclidean => 2.0,
            Self::Manhattan => 1.0,
            Self::Minkowski(p) => p,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Euclidean => "euclidean",
            Self::Manhattan => "manhattan",
            Self::Minkowski(_) => "minkowski",
        }
    }

    fn from_name(kind: &str, name: &str, p: f64) -> Result<Self> {
        let metric = match name {
            "euclidean" | "euclidian" => Self::Euclidean,
            "manhattan" => Self::Manhattan,
            "minkowski" if p == 2.0 => Self::Euclidean,
            "minkowski" if p == 1.0 => Self::Manhattan,
            "minkowski" => Self::Minkowski(p),
            _ => return Err(Error::parameter(kind, "metric", name, "minkowski, euclidean or manhattan")),
        };
        metric.check(kind)?;
        Ok(metric)
    }

    fn differences(self) -> Differences {
        match self {
            Self::Euclidean => Differences::Squared,
            Self::Manhattan | Self::Minkowski(_) => Differences::Plain,
        }
    }

    fn check(self, kind: &str) -> Result<()> {
        between(kind, "p", self.order(), 1.0, 100.0)
    }

    /// The distance of two rows of `n` values, given by their differences. Sums run in four lanes, in one order for all.
    #[inline]
    fn of(self, n: usize, difference: impl Fn(usize) -> f64) -> f64 {
        match self {
            Self::Euclidean => lanes(n, |at| difference(at) * difference(at)).sqrt(),
            Self::Manhattan => lanes(n, |at| difference(at).abs()),
            // In units of the greatest difference, whose powers neither overflow nor vanish.
            Self::Minkowski(p) => match (0..n).fold(0.0, |m: f64, at| m.max(difference(at).abs())) {
                0.0 => 0.0,
                most => most * lanes(n, |at| (difference(at).abs() / most).powf(p)).powf(1.0 / p),
            },
        }
    }
}

/// The sum of `n` terms in four lanes: four chains of additions instead of one that waits for itself.
#[inline]
fn lanes(n: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut sums = [0.0; 4];
    let whole = n / 4 * 4;
    for first in (0..whole).step_by(4) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(first + lane);
        }
    }
    let rest: f64 = (whole..n).map(term).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// A point of a search: a row of the table, by number, or the row that is asked about.
#[derive(Debug, PartialEq)]
enum Point {
    Row(usize),
    Query(Box<[f64]>),
}

/// Distances between rows of a table.
#[derive(Clone)]
struct TableDistance {
    table: Arc<dyn Table>,
    metric: NeighborMetric,
}

impl fmt::Debug for TableDistance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.metric, self.table.describe())
    }
}

impl Distance<Point> for TableDistance {
    fn distance(&self, a: &Point, b: &Point) -> f64 {
        let mat = self.table.as_mat();
        let n = mat.ncols();
        let slices = |x: &[f64], y: &[f64]| {
            let (x, y) = (&x[..n], &y[..n]);
            self.metric.of(n, |at| x[at] - y[at])
        };
        match (a, b) {
            (Point::Query(q), Point::Row(row)) | (Point::Row(row), Point::Query(q)) => match mat.row(*row) {
                Some(values) => slices(q, values),
                None => self.metric.of(n, |at| q[at] - mat.get(*row, at)),
            },
            (Point::Row(r), Point::Row(s)) => match (mat.row(*r), mat.row(*s)) {
                (Some(x), Some(y)) => slices(x, y),
                _ => self.metric.of(n, |at| mat.get(*r, at) - mat.get(*s, at)),
            },
            (Point::Query(q), Point::Query(r)) => slices(q, r),
        }
    }
}

#[derive(Debug)]
enum Search {
    Linear(LinearKNNSearch<Point, TableDistance>),
    Tree(CoverTree<Point, TableDistance>),
}

type Found = std::result::Result<Vec<(usize, f64)>, smartcore::error::Failed>;

impl Search {
    fn new(kind: &str, search: NeighborSearch, points: Vec<Point>, distance: TableDistance) -> Result<Self> {
        match search {
            NeighborSearch::Linear => LinearKNNSearch::new(points, distance).map(Search::Linear),
            // The tree is built by recursion over scales of distance.
            NeighborSearch::CoverTree => {
                return on_stack(256 << 20, || {
                    CoverTree::new(points, distance).map(Search::Tree).map_err(|e| failed(kind, &e))
                });
            }
        }
        .map_err(|e| failed(kind, &e))
    }

    fn nearest(&self, query: &Point, k: usize) -> Found {
        let found = match self {
            Self::Linear(search) => search.find(query, k),
            Self::Tree(search) => search.find(query, k),
        };
        Ok(found?.into_iter().map(|(place, distance, _)| (place, distance)).collect())
    }

    fn within(&self, query: &Point, radius: f64) -> Found {
        // smartcore refuses a radius of 0; the least number above finds the same rows, and those are filtered.
        let radius = radius.max(f64::from_bits(1));
        let found = match self {
            Self::Linear(search) => search.find_radius(query, radius),
            Self::Tree(search) => search.find_radius(query, radius),
        };
        Ok(found?.into_iter().map(|(place, distance, _)| (place, distance)).collect())
    }

    /// The `k` nearest of `n` points, nearest first, of equal distances the first in the table.
    fn exact(&self, query: &Point, k: usize, n: usize) -> Found {
        let order = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0));
        let mut found = self.nearest(query, (k + 1).min(n))?;
        found.sort_unstable_by(order);
        // smartcore keeps any of several rows at the greatest distance: see which rows are there.
        if found.len() > k && found[k - 1].1 == found[k].1 {
            let radius = found[k].1;
            found = self.within(query, radius)?;
            found.retain(|(_, distance)| *distance <= radius);
            found.sort_unstable_by(order);
        }
        found.truncate(k);
        Ok(found)
    }
}

/// What both learners say of neighbours.
#[derive(Clone, Debug, PartialEq)]
struct Neighborhood {
    n_neighbors: usize,
    weights: NeighborWeights,
    algorithm: NeighborSearch,
    metric: NeighborMetric,
}

impl Default for Neighborhood {
    fn default() -> Self {
        Self {
            n_neighbors: 5,
            weights: NeighborWeights::default(),
            algorithm: NeighborSearch::default(),
            metric: NeighborMetric::default(),
        }
    }
}

impl Neighborhood {
    fn check(&self, kind: &str) -> Result<()> {
        at_least(kind, "n_neighbors", self.n_neighbors, 1)?;
        self.metric.check(kind)
    }

    fn from_params(params: &Params) -> Result<Self> {
        let kind = params.kind();
        let neighborhood = Self {
            n_neighbors: params.count("n_neighbors", 5)?,
            weights: NeighborWeights::from_name(kind, params.word("weights", "uniform"))?,
            algorithm: NeighborSearch::from_name(kind, params.word("algorithm", "linear"))?,
            metric: NeighborMetric::from_name(
                kind,
                params.word("metric", "minkowski"),
                params.number("p", 2.0)?,
            )?,
        };
        neighborhood.check(kind)?;
        Ok(neighborhood)
    }

    /// Bytes of a search of `n` rows: while it is made, and kept.
    fn bytes(&self, n: u64) -> (u64, u64) {
        let points = n * size_of::<Point>() as u64;
        match self.algorithm {
            NeighborSearch::Linear => (points, points),
            // Two nodes of 56 bytes a row, in lists that doubled; and each row's distances to the nodes above while it is built.
            NeighborSearch::CoverTree => (points + 420 * n, points + 230 * n),
        }
    }

    fn cost(&self, kind: &str, train: Shape) -> FitCost {
        let (peak, kept) = self.bytes(train.nrows as u64);
        let own = (size_of::<NeighborsModel>() + kind.len()) as u64;
        FitCost { peak_bytes: peak + own + 16 * train.ncols as u64 + 1024, model_bytes: kept + own }
    }

    fn fit(
        &self,
        kind: &str,
        train: &Train<'_>,
        cx: &FitContext<'_>,
        n_classes: Option<usize>,
    ) -> Result<Arc<dyn Model>> {
        let Shape { nrows, .. } = train.shape();
        if self.n_neighbors > nrows {
            let want = format!("a whole number up to the {nrows} training rows");
            return Err(Error::parameter(kind, "n_neighbors", self.n_neighbors, want));
        }
        // Where distances overflow, smartcore's cover tree would recurse for ever.
        let mut ranges = no_ranges(train.shape().ncols);
        train.x().segments().for_each(|segment| widen(&mut ranges, segment));
        check_ranges(self.metric.differences(), &ranges, "training rows")?;
        let (table, target, rows, copied) = keep(train, cx)?;
        Ok(Arc::new(NeighborsModel::new(kind, self.clone(), table, target, rows, n_classes, copied)?))
    }
}

type Kept = (Arc<dyn Table>, Arc<dyn Table>, Rows, u64);

/// Handles to the training rows and their targets: the tables themselves when the context lends handles to them, copies otherwise.
fn keep(train: &Train<'_>, cx: &FitContext<'_>) -> Result<Kept> {
    if let (Some(table), Some(target)) = (cx.table, cx.target) {
        let rows = train.x().rows();
        let lies_in = |table: &dyn Table, parts: &mut dyn Iterator<Item = MatRef<'_>>| {
            rows.runs().iter().zip(parts).all(|(run, part)| {
                table.as_mat().rows(run.start..run.end).is_ok_and(|m| {
                    m.data().as_ptr_range() == part.data().as_ptr_range() && m.ncols() == part.ncols()
                })
            })
        };
        let y = |run: &[f64]| run.as_ptr_range();
        let targets_lie = rows.runs().iter().zip(train.y()).all(|(run, part)| {
            let mat = target.as_mat().rows(run.start..run.end);
            mat.is_ok_and(|m| m.column(0).is_some_and(|c| y(c) == y(part)))
        });
        if lies_in(&**table, &mut train.x().segments()) && targets_lie {
            return Ok((Arc::clone(table), Arc::clone(target), rows.clone(), 0));
        }
    }
    let Shape { nrows, ncols } = train.shape();
    let mut x = Vec::with_capacity(nrows * ncols);
    for segment in train.x().segments() {
        for row in 0..segment.nrows() {
            x.extend((0..ncols).map(|c| segment.get(row, c)));
        }
    }
    let y = crate::backend::targets(train);
    let copied = 8 * (x.len() + y.len()) as u64;
    let table: Arc<dyn Table> = Arc::new(DenseTable::new(x, nrows, ncols, Order::C)?);
    Ok((table, Arc::new(DenseTable::column(y)), Rows::all(nrows), copied))
}

/// Fitted neighbours: a search over numbers of rows, and handles to the tables that hold them.
///
/// # Rows in a file
/// A model that reads its rows in a mapped file makes sure before and after every batch that the file is what it was, and refuses to
/// predict otherwise. It cannot keep others from cutting the file short in between, which ends the process by SIGBUS: save the
/// model with its rows, or keep the file where nobody writes, if that must not happen. Replacing the file by renaming is harmless.
pub struct NeighborsModel {
    learner: String,
    neighborhood: Neighborhood,
    table: Arc<dyn Table>,
    target: Arc<dyn Table>,
    rows: Rows,
    /// The row of the table behind each point is found in `rows`; points are numbered in the table's order.
    search: Search,
    /// `None` for a target of numbers.
    n_classes: Option<usize>,
    copied_bytes: u64,
}

impl NeighborsModel {
    /// Name of the record of such a model.
    pub const RECORD: &'static str = "smartcore.neighbors_model";

    fn new(
        kind: &str,
        neighborhood: Neighborhood,
        table: Arc<dyn Table>,
        target: Arc<dyn Table>,
        rows: Rows,
        n_classes: Option<usize>,
        copied_bytes: u64,
    ) -> Result<Self> {
        let mut points = Vec::with_capacity(rows.len());
        rows.runs().iter().for_each(|run| points.extend((run.start..run.end).map(Point::Row)));
        let distance = TableDistance { table: Arc::clone(&table), metric: neighborhood.metric };
        let search = Search::new(kind, neighborhood.algorithm, points, distance)?;
        Ok(Self { learner: kind.into(), neighborhood, table, target, rows, search, n_classes, copied_bytes })
    }

    /// Bytes of rows and targets that the fit copied: 0 when it was lent handles to the tables.
    pub fn copied_bytes(&self) -> u64 {
        self.copied_bytes
    }

    fn row_of(&self, place: usize) -> usize {
        let mut place = place;
        for run in self.rows.runs() {
            if place < run.len() {
                return run.start + place;
            }
            place -= run.len();
        }
        unreachable!("a point without a row")
    }

    /// Whether the rows kept are what they were. Asked before they are read, so that a table that was cut short is an error and not
    /// a signal, and afterwards, so that nothing is believed that changed meanwhile.
    fn check_rows(&self) -> Result<()> {
        self.table.check_unchanged()?;
        self.target.check_unchanged()
    }

    fn kept(&self) -> KeptRows {
        let (table, target) = (Arc::clone(&self.table), Arc::clone(&self.target));
        KeptRows { table, target, rows: self.rows.clone() }
    }

    /// All but the rows, as data.
    fn parameters(&self) -> Record {
        Record::new(Self::RECORD)
            .with_text("learner", &self.learner)
            .with_field("n_neighbors", self.neighborhood.n_neighbors)
            .with_text("weights", self.neighborhood.weights.name())
            .with_text("algorithm", self.neighborhood.algorithm.name())
            .with_text("metric", self.neighborhood.metric.name())
            .with_array("p", &[1], vec![self.neighborhood.metric.order()])
            .with_field("classes", self.n_classes.unwrap_or(0))
    }

    /// From what [`Model::to_record`] or [`Model::to_record_by_reference`] gave.
    ///
    /// # Errors
    /// When a part is missing or does not fit the others, or a file is not what it was.
    pub fn from_record(record: &Record, registry: &Registry) -> Result<Self> {
        let learner = record.text("learner")?;
        let neighborhood = Neighborhood {
            n_neighbors: record.count("n_neighbors")?,
            weights: NeighborWeights::from_name(&learner, &record.text("weights")?)?,
            algorithm: NeighborSearch::from_name(&learner, &record.text("algorithm")?)?,
            metric: NeighborMetric::from_name(
                &learner,
                &record.text("metric")?,
                record.array("p")?.data.first().copied().unwrap_or(2.0),
            )?,
        };
        neighborhood.check(&learner)?;
        let n_classes = Some(record.count("classes")?).filter(|k| *k > 0);
        let KeptRows { table, target, rows } = KeptRows::find(record, registry)?;
        let in_memory = !record.children().iter().any(KeptRows::is) && !registry.opens_tables();
        let values = rows.len() * (table.as_mat().ncols() + 1);
        let copied = if in_memory { 8 * values as u64 } else { 0 };
        let y = target.as_mat();
        let is_class = |row| n_classes.is_none_or(|k| (0.0..k as f64).contains(&y.get(row, 0)));
        let classes_fit = rows.runs().iter().flat_map(|run| run.start..run.end).all(is_class);
        let mut ranges = no_ranges(table.as_mat().ncols());
        for run in rows.runs() {
            widen(&mut ranges, table.as_mat().rows(run.clone())?);
        }
        check_ranges(neighborhood.metric.differences(), &ranges, "saved rows")?;
        if neighborhood.n_neighbors > rows.len() || !classes_fit || table.as_mat().ncols() == 0 {
            return Err(Error::spec(Self::RECORD, "the parts of the saved model do not fit each other"));
        }
        Self::new(&learner, neighborhood, table, target, rows, n_classes, copied)
    }
}

impl Model for NeighborsModel {
    fn n_inputs(&self) -> usize {
        self.table.as_mat().ncols()
    }

    fn n_outputs(&self) -> usize {
        self.n_classes.unwrap_or(1)
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        check_queries(self.neighborhood.metric.differences(), x)?;
        self.check_rows()?;
        let (k, n) = (self.neighborhood.n_neighbors, self.rows.len());
        let targets = self.target.as_mat();
        let mut shares = vec![0.0; self.n_outputs()];
        let mut values = vec![0.0; x.ncols()];
        let mut query = Point::Query(values.clone().into());
        for row in 0..x.nrows() {
            x.copy_row_into(row, &mut values);
            if let Point::Query(slots) = &mut query {
                slots.copy_from_slice(&values);
            }
            let found = self.search.exact(&query, k, n).map_err(|e| failed(&self.learner, &e))?;
            // A row so far off that distances to it overflow.
            if found.len() < k || !found[k - 1].1.is_finite() {
                return Err(ErrorKind::Overflow { table: "rows to predict".into() }.into());
            }
            let touching = found[0].1 == 0.0;
            let weight = |distance: f64| match self.neighborhood.weights {
                NeighborWeights::Uniform => 1.0,
                NeighborWeights::Distance if touching => f64::from(u8::from(distance == 0.0)),
                // Relative to the nearest, so that no inverse overflows.
                NeighborWeights::Distance => found[0].1 / distance,
            };
            shares.fill(0.0);
            let mut total = 0.0;
            for (place, distance) in &found {
                let (target, weight) = (targets.get(self.row_of(*place), 0), weight(*distance));
                total += weight;
                match self.n_classes {
                    None => shares[0] += weight * target,
                    Some(_) => shares[target as usize] += weight,
                }
            }
            for (column, share) in shares.iter().enumerate() {
                out.set(row, column, share / total);
            }
        }
        self.check_rows()
    }

    fn bytes(&self) -> u64 {
        let (_, kept) = self.neighborhood.bytes(self.rows.len() as u64);
        kept + self.copied_bytes + (size_of::<Self>() + self.learner.len()) as u64
    }

    /// With handles to the training rows and targets, whose values are written when the record is: a saved model needs no table
    /// beside it.
    fn to_record(&self) -> Result<Record> {
        Ok(self.parameters().with_rows(vec![self.kept()]))
    }

    fn to_record_by_reference(&self) -> Result<Record> {
        if self.copied_bytes > 0 {
            return Err(Error::unsupported("the neighbours' rows were copied; save the model with its rows"));
        }
        Ok(self.parameters().with_child(self.kept().to_record_by_reference()?))
    }
}

macro_rules! neighbors_learner {
    ($name:ident, $kind:literal) => {
        impl $name {
            const KIND: &'static str = $kind;

            /// Five neighbours, weighted alike, found by looking at all rows.
            pub fn new() -> Self {
                Self::default()
            }

            /// How many neighbours count.
            #[must_use]
            pub fn n_neighbors(mut self, n_neighbors: usize) -> Self {
                self.neighborhood.n_neighbors = n_neighbors;
                self
            }

            /// What each of them counts.
            #[must_use]
            pub fn weights(mut self, weights: NeighborWeights) -> Self {
                self.neighborhood.weights = weights;
                self
            }

            /// How they are found.
            #[must_use]
            pub fn algorithm(mut self, algorithm: NeighborSearch) -> Self {
                self.neighborhood.algorithm = algorithm;
                self
            }

            /// How far rows are apart.
            #[must_use]
            pub fn metric(mut self, metric: NeighborMetric) -> Self {
                self.neighborhood.metric = metric;
                self
            }
        }
    };
}

/// The mean of the nearest rows' targets, found by smartcore's `LinearKNNSearch` or `CoverTree`, with scikit-learn's parameters.
///
/// No row is copied: points of the search are numbers of rows, 16 bytes each, and the model keeps counted handles to the table and its
/// targets. Where those are only borrowed (a `MatRef`) and cannot be kept, rows and targets are copied once, on top of the declared
/// cost: [`NeighborsModel::copied_bytes`]. Of rows at equal distance the first in the table counts. A saved model holds its rows,
/// or names them in their file ([`Model::to_record_by_reference`]). Columns whose squares overflow (values beyond 1e150) or vanish (all
/// within 1e-140 of each other, but not equal) are refused; for metrics other than the Euclidean the bounds are 1e300 and 1e-290.
///
/// Faults of smartcore 0.7.0 handled here: `KNNRegressor` copies every row; of rows at equal distance any may count; a cover tree of
/// rows whose distances overflow recurses until the process ends (refused before); its queries panic on NaN (an error here).
///
/// ```
/// use ensemble_core::{Access, Estimator};
/// use ensemble_smartcore::{KNeighborsRegressor, NeighborWeights};
/// let five = KNeighborsRegressor::new().n_neighbors(5).weights(NeighborWeights::Uniform);
/// assert_eq!((five, Access::Segments), (KNeighborsRegressor::default(), KNeighborsRegressor::new().access()));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KNeighborsRegressor {
    neighborhood: Neighborhood,
}

neighbors_learner!(KNeighborsRegressor, "smartcore.k_neighbors_regressor");

impl Estimator for KNeighborsRegressor {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn check_shape(&self, train: Shape) -> Result<()> {
        let k = self.neighborhood.n_neighbors;
        at_most_there_are(Self::KIND, "n_neighbors", k, train.nrows, "training rows")
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.neighborhood.cost(Self::KIND, train)
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.neighborhood.check(Self::KIND)?;
        train.check_finite()?;
        self.neighborhood.fit(Self::KIND, train, cx, None)
    }
}

/// The shares of classes among the nearest rows, by their weights. Memory, ties and faults as in [`KNeighborsRegressor`].
///
/// ```
/// use ensemble_core::{Estimator, Predicts};
/// use ensemble_smartcore::{KNeighborsClassifier, NeighborMetric};
/// let learner = KNeighborsClassifier::new().metric(NeighborMetric::Minkowski(3.0));
/// assert_eq!(learner.predicts(), Predicts::Probabilities);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KNeighborsClassifier {
    neighborhood: Neighborhood,
}

neighbors_learner!(KNeighborsClassifier, "smartcore.k_neighbors_classifier");

impl Estimator for KNeighborsClassifier {
    fn kind(&self) -> String {
        Self::KIND.into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn check_shape(&self, train: Shape) -> Result<()> {
        let k = self.neighborhood.n_neighbors;
        at_most_there_are(Self::KIND, "n_neighbors", k, train.nrows, "training rows")
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.neighborhood.cost(Self::KIND, train)
    }

    fn predicts(&self) -> Predicts {
        Predicts::Probabilities
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        self.neighborhood.check(Self::KIND)?;
        train.check_finite()?;
        let (present, _) = PresentClasses::of(train, cx)?;
        match present.certain(train.shape().ncols) {
            Some(model) => Ok(model),
            None => self.neighborhood.fit(Self::KIND, train, cx, Some(present.n_classes())),
        }
    }
}

pub(crate) fn register(registry: &mut Registry) {
    const PARAMETERS: &[Parameter] = &[
        Parameter::new("n_neighbors", "5", "how many neighbours count").or(&["k"]),
        Parameter::new("weights", "uniform", "uniform, or distance: by its inverse").or(&["weight"]),
        Parameter::new("algorithm", "linear", "linear or cover_tree"),
        Parameter::new("metric", "minkowski", "minkowski, euclidean or manhattan"),
        Parameter::new("p", "2", "order of the Minkowski metric, 1 to 100"),
    ];
    registry.add_kind(Kind {
        name: KNeighborsRegressor::KIND,
        backend: BACKEND,
        parameters: PARAMETERS,
        build: |params| {
            let neighborhood = Neighborhood::from_params(params)?;
            Ok(Built::Learner(Arc::new(KNeighborsRegressor { neighborhood })))
        },
    });
    registry.add_kind(Kind {
        name: KNeighborsClassifier::KIND,
        backend: BACKEND,
        parameters: PARAMETERS,
        build: |params| {
            let neighborhood = Neighborhood::from_params(params)?;
            Ok(Built::Learner(Arc::new(KNeighborsClassifier { neighborhood })))
        },
    });
    registry.add_loader(NeighborsModel::RECORD, |record, registry| {
        Ok(Loaded::Model(Arc::new(NeighborsModel::from_record(record, registry)?)))
    });
}
