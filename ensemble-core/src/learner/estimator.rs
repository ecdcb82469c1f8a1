//! What a backend author implements: learners and transformers, how they take their rows, what they cost.

use std::{fmt, sync::Arc};

use crate::{
    account::ledger::{Ledger, Work},
    data::{
        mat::{MatMut, MatRef, Order, Shape},
        rows::{Rows, RowsView},
        table::{Scratch, Table},
    },
    error::{Error, ErrorKind, GREATEST, Result},
    learner::model::{Model, check_inputs},
    persist::record::Record,
    statistic::{
        affine::{Affine, AffineShape},
        linear::LinearForm,
        noise::Noise,
        state::{BLOCK_ROWS, Block, Statistic, StatisticContext, Statistics, absorb_block, of_statistic},
        tree::absorb_tree,
    },
    threads,
};

/// How a learner can take its training rows, weakest need first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// From merged statistics: training rows are never handed over.
    Merge,
    /// As a few runs of rows, in the table's order.
    Segments,
    /// As one matrix, in the given order or in any. The matrix may have a stride.
    Contiguous(Option<Order>),
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Access::Merge => "merge",
            Access::Segments => "segments",
            Access::Contiguous(_) => "contiguous",
        })
    }
}

/// What the columns of a learner's predictions are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Predicts {
    /// One column of numbers.
    #[default]
    Numbers,
    /// One column per class of the whole target, each row a distribution: not negative, of sum 1.
    Probabilities,
    /// One column per class of the whole target, 1 in the class decided for and 0 in the others: a classifier that has no
    /// probabilities says so.
    Votes,
}

impl Predicts {
    /// Whether the target is classes.
    pub fn classifies(self) -> bool {
        self != Predicts::Numbers
    }

    /// Columns of a prediction when the target has `n_classes` classes, 0 for a target of numbers.
    pub fn columns(self, n_classes: usize) -> usize {
        if self.classifies() { n_classes } else { 1 }
    }
}

impl std::fmt::Display for Predicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Predicts::Numbers => "numbers",
            Predicts::Probabilities => "probabilities",
            Predicts::Votes => "votes",
        })
    }
}

/// What a learner does with training values that are NaN. Infinite values are always refused, and so are targets that are not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingValues {
    /// Its fit is an error that names the value; no backend ever sees it. In a layer where others learn from NaN, the error names the
    /// learner as well.
    #[default]
    Refused,
    /// It learns from them: a first layer of such learners is handed the table as it is. Statistics that such a learner asks for take
    /// NaN too. Its models must [accept](crate::Model::accepts_missing) NaN in their turn.
    Accepted,
}

/// What one fit allocates for itself, as its author declares it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FitCost {
    /// Greatest bytes alive at once during the fit, the input not counted.
    pub peak_bytes: u64,
    /// Bytes that the model keeps.
    pub model_bytes: u64,
}

/// Training rows and their targets.
#[derive(Clone, Copy)]
pub struct Train<'a> {
    x: RowsView<'a>,
    y: RowsView<'a>,
}

impl<'a> Train<'a> {
    /// Rows of x with the same rows of y.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when they differ in number, or y is not one column of neighbouring values.
    pub fn new(x: RowsView<'a>, y: RowsView<'a>) -> Result<Self> {
        if x.nrows() != y.nrows() {
            return Err(Error::shape("training targets", x.nrows(), y.nrows()));
        }
        if y.ncols() != 1 {
            return Err(Error::shape("columns of the target", 1, y.ncols()));
        }
        if y.segments().any(|s| s.nrows() > 0 && s.column(0).is_none()) {
            return Err(Error::unsupported("the target must be one column of neighbouring values"));
        }
        Ok(Self { x, y })
    }

    /// The rows.
    pub fn x(&self) -> RowsView<'a> {
        self.x
    }

    /// The targets run by run; the runs of a contiguous fit are one.
    pub fn y(&self) -> impl Iterator<Item = &'a [f64]> + use<'a> {
        self.y.segments().filter(|s| s.nrows() > 0).map(|s| s.column(0).expect("checked in new"))
    }

    /// The rows as one matrix: always, for learners that declared [`Access::Contiguous`].
    ///
    /// # Errors
    /// When the rows are several runs.
    pub fn contiguous_x(&self) -> Result<MatRef<'a>> {
        self.x
            .as_mat()
            .ok_or_else(|| Error::unsupported("the rows are several runs; declare Access::Contiguous"))
    }

    /// The targets as one slice: always, for learners that declared [`Access::Contiguous`].
    ///
    /// # Errors
    /// When the targets are several runs.
    pub fn contiguous_y(&self) -> Result<&'a [f64]> {
        let mat = self.y.as_mat();
        mat.and_then(|m| if m.nrows() == 0 { Some(&[][..]) } else { m.column(0) })
            .ok_or_else(|| Error::unsupported("the targets are several runs; declare Access::Contiguous"))
    }

    /// Number of rows and columns.
    pub fn shape(&self) -> Shape {
        Shape { nrows: self.x.nrows(), ncols: self.x.ncols() }
    }

    /// That there are rows, and every value is finite: what an adapter asks before a backend that would panic, or never
    /// return, on a value that is not. One pass.
    ///
    /// # Errors
    /// [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) by row of the table and column; an error for no rows.
    pub fn check_finite(&self) -> Result<()> {
        self.check_within(f64::MAX)
    }

    /// [`Train::check_finite`], and that no value is beyond [`GREATEST`]: what an adapter asks before every call of a library that
    /// computes with the values. One pass.
    ///
    /// # Errors
    /// As there, and [`ErrorKind::Magnitude`](crate::ErrorKind::Magnitude), likewise.
    pub fn check_magnitudes(&self) -> Result<()> {
        self.check_within(GREATEST)
    }

    fn check_within(&self, most: f64) -> Result<()> {
        if self.x.nrows() == 0 || self.x.ncols() == 0 {
            return Err(Error::unsupported("there are no rows or no columns to fit on"));
        }
        let runs = self.x.rows().runs().iter().filter(|r| !r.is_empty());
        for ((x, y), run) in self.x.segments().filter(|s| s.nrows() > 0).zip(self.y()).zip(runs) {
            for (table, values) in [("training rows", x), ("training targets", MatRef::column_vector(y))] {
                check_values(table, values, most).map_err(|e| e.after_rows(run.start))?;
            }
        }
        Ok(())
    }
}

/// That every value of `x`, called `table`, is a number within `most` of 0.
fn check_values(table: &str, x: MatRef<'_>, most: f64) -> Result<()> {
    if x.is_within(most) {
        return Ok(());
    }
    let Some((row, column, value)) = x.first(|v| v.is_nan() || v.abs() > most) else { return Ok(()) };
    let table = table.into();
    Err(if value.is_finite() {
        ErrorKind::Magnitude { table, row, column, value }.into()
    } else {
        ErrorKind::NotFinite { table, row, column, value }.into()
    })
}

/// That rows to predict from hold no value beyond [`GREATEST`]: what an adapter's model asks, after
/// [`check_prediction`](crate::check_prediction), before its library computes with them. One read of `x`.
///
/// # Errors
/// [`ErrorKind::Magnitude`](crate::ErrorKind::Magnitude) by row of `x` and column.
pub fn check_query_magnitudes(x: MatRef<'_>) -> Result<()> {
    check_values("rows to predict from", x, GREATEST)
}

/// Where a fit stands and what it may use.
#[derive(Clone, Copy)]
pub struct FitContext<'a> {
    /// Seed for this (run, layer, learner, fold); the same whatever thread runs the fit.
    pub seed: u64,
    /// The layer, from 0.
    pub layer: usize,
    /// The fold held out; `None` for the fit on all rows.
    pub fold: Option<usize>,
    /// Room for transformed rows.
    pub scratch: &'a dyn Scratch,
    /// Where copies are written down.
    pub ledger: &'a Ledger,
    /// The table behind the rows, counted, when it can be kept.
    pub table: Option<&'a Arc<dyn Table>>,
    /// Their targets, likewise.
    pub target: Option<&'a Arc<dyn Table>>,
    /// Classes of the whole target, whose values are then 0..n_classes; `None` for a target of numbers.
    pub n_classes: Option<usize>,
}

impl<'a> FitContext<'a> {
    /// A context for one fit outside any ensemble.
    pub fn alone(scratch: &'a dyn Scratch, ledger: &'a Ledger) -> Self {
        Self { seed: 0, layer: 0, fold: None, scratch, ledger, table: None, target: None, n_classes: None }
    }

    /// What a merging learner's statistics are made from, on rows of `ncols` columns that cannot be kept.
    pub(crate) fn statistics(&self, ncols: usize) -> StatisticContext {
        StatisticContext { n_classes: self.n_classes, ..StatisticContext::new(ncols) }
    }

    /// The seed of a learner that has one of its own, scikit-learn's `random_state`: a fixed mix of the fit's seed with it, the
    /// finaliser of SplitMix64, so that neighbouring states give unrelated seeds.
    pub fn seed_with(&self, random_state: u64) -> u64 {
        let mut z = self.seed ^ random_state.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// With a target of `n_classes` classes, 0..n_classes.
    #[must_use]
    pub fn with_classes(self, n_classes: usize) -> Self {
        Self { n_classes: Some(n_classes), ..self }
    }
}

/// A learner. Object-safe; one value is shared by all fits, so it holds parameters and no state.
pub trait Estimator: Send + Sync {
    /// Backend, a dot, and the type's name in snake case, as in `"native.lasso"`.
    fn kind(&self) -> String;

    /// How it takes rows. No default: the author must say.
    fn access(&self) -> Access;

    /// What one fit on `train` allocates; for a classifier, where the target has two classes.
    fn cost(&self, train: Shape) -> FitCost;

    /// What one fit on `train` allocates where the whole target has `n_classes` classes: what plans go by whenever a learner
    /// classifies. A classifier whose fits grow with the number of classes says so here; the default is [`Estimator::cost`].
    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        let _ = n_classes;
        self.cost(train)
    }

    /// That its parameters suit training sets of this shape, the smallest that it will be fitted on: more neighbours than rows, or more
    /// components than columns, are an error of the plan and not of a fit hours later. Bounds that do not depend on the table are
    /// checked where the learner is made.
    ///
    /// # Errors
    /// [`ErrorKind::Parameter`](crate::ErrorKind::Parameter), as its fit would give.
    fn check_shape(&self, train: Shape) -> Result<()> {
        let _ = train;
        Ok(())
    }

    /// What its models predict. Classifiers' targets are class numbers; see [`FitContext::n_classes`].
    fn predicts(&self) -> Predicts {
        Predicts::Numbers
    }

    /// What it does with NaN among training values.
    fn missing_values(&self) -> MissingValues {
        MissingValues::Refused
    }

    /// Fit on the training rows.
    ///
    /// # Errors
    /// Whatever stops the fit; the engine adds learner, layer and fold.
    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>>;

    /// The learner as one whose fits merge: `Some` exactly when [`Estimator::access`] is [`Access::Merge`].
    fn as_merge(&self) -> Option<&dyn MergeFit> {
        None
    }

    /// Whether its models always have a linear form, so that a stack on them needs no prediction columns.
    fn is_linear(&self) -> bool {
        false
    }

    /// Bytes of transformed rows that one fit on `train` writes to scratch room, for the plan.
    fn scratch_bytes(&self, train: Shape) -> u64 {
        let _ = train;
        0
    }
}

/// Its kind.
impl fmt::Debug for dyn Estimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Estimator").field(&self.kind()).finish()
    }
}

/// What one fit allocates on a target of `n_classes` classes, or of numbers.
pub(crate) fn cost_of(learner: &dyn Estimator, train: Shape, n_classes: Option<usize>) -> FitCost {
    match n_classes {
        Some(n_classes) => learner.cost_with_classes(train, n_classes),
        None => learner.cost(train),
    }
}

/// That a model just fitted, by a learner that predicts so on rows of `ncols` columns, is one: of its widths, and finite.
pub(crate) fn check_fitted(
    model: &dyn Model,
    ncols: usize,
    predicts: Predicts,
    n_classes: Option<usize>,
) -> Result<()> {
    let columns = predicts.columns(n_classes.unwrap_or(0));
    if model.n_outputs() != columns {
        let what = format!("columns that a model predicts whose learner declared {predicts}");
        return Err(Error::shape(what, columns, model.n_outputs()));
    }
    check_inputs(model, ncols)?;
    let _ = (model.batch_rows(), model.accepts_missing());
    let finite =
        |form: LinearForm<'_>| form.intercept.is_finite() && form.coefficients.iter().all(|c| c.is_finite());
    if model.as_linear().is_none_or(finite) {
        return Ok(());
    }
    Err(Error::unsupported(
        "its fit gives coefficients that are not finite; bring the columns to sizes nearer to 1 first",
    ))
}

/// What came of a fit from statistics.
pub enum Fitted {
    /// The model.
    Model(Arc<dyn Model>),
    /// Not from these: another pass must bring these statistics too. The engine makes one pass for all who ask.
    Needs(Vec<Box<dyn Statistic>>),
}

/// A learner whose training rows need only be summed up.
pub trait MergeFit: Send + Sync {
    /// Empty states of the statistics that a fit reads.
    ///
    /// # Errors
    /// When the table does not suit the learner.
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>>;

    /// The maps through which all its statistics can be carried, also those it may ask for later.
    fn affine_support(&self) -> Option<AffineShape>;

    /// Fit from the statistics of the training rows.
    ///
    /// # Errors
    /// Whatever stops the fit.
    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted>;
}

/// Fit a merging learner on rows in hand, block by block along the canonical tree: what such a learner's
/// [`Estimator::fit_rows`] calls. Reads the rows once, or twice when the learner asks for more statistics.
///
/// A block that spans two runs is packed into one block-sized buffer, so the bits are those of contiguous rows.
///
/// # Errors
/// Those of the statistics and of the fit.
pub fn fit_by_merging(
    learner: &dyn MergeFit,
    train: &Train<'_>,
    cx: &FitContext<'_>,
) -> Result<Arc<dyn Model>> {
    let context = cx.statistics(train.x().ncols()).with_tables(cx.table, cx.target);
    fit_from_passes(learner, &context, |wanted| train_statistics(train, wanted, &unmapped))
}

/// The statistics of training rows in hand, block by block along the canonical tree, with the bits of a merging learner's: for
/// learners that read rows and must know their means or products as well. One pass.
///
/// # Errors
/// Those of the statistics.
pub fn statistics_of(train: &Train<'_>, prototypes: &[Box<dyn Statistic>]) -> Result<Statistics> {
    train_statistics(train, prototypes, &unmapped)
}

/// Fit from as many passes as the learner asks for; `pass` brings the statistics it is given, empty.
pub(crate) fn fit_from_passes(
    learner: &dyn MergeFit,
    cx: &StatisticContext,
    pass: impl Fn(&[Box<dyn Statistic>]) -> Result<Statistics>,
) -> Result<Arc<dyn Model>> {
    let mut wanted = learner.statistics(cx)?;
    let mut have = Statistics::default();
    loop {
        have.extend(&pass(&wanted)?);
        match learner.fit_from(&have)? {
            Fitted::Model(model) => return Ok(model),
            Fitted::Needs(more) if more.iter().any(|m| !have.has(&m.key())) => wanted = more,
            Fitted::Needs(_) => {
                return Err(Error::unsupported("the learner asks again for statistics it already has"));
            }
        }
    }
}

/// Takes a block, and how finely its values were known before they were mapped.
pub(crate) type BlockSink<'a> = dyn FnMut(MatRef<'_>, &Noise) -> Result<()> + 'a;

/// What stands between a block of the table and a statistic: hands the block, or its transformation, on.
pub(crate) type BlockMap<'a> = dyn Fn(MatRef<'_>, &mut BlockSink<'_>) -> Result<()> + Sync + 'a;

/// Hands blocks on as they are.
fn unmapped(x: MatRef<'_>, each: &mut BlockSink<'_>) -> Result<()> {
    each(x, &Noise::none(0))
}

/// States of `prototypes` over training rows, each block going through `map` first.
pub(crate) fn train_statistics(
    train: &Train<'_>,
    prototypes: &[Box<dyn Statistic>],
    map: &BlockMap<'_>,
) -> Result<Statistics> {
    threads::ready()?;
    // Where each run starts among the training rows.
    let runs: Vec<(usize, MatRef<'_>, &[f64], usize)> = {
        let mut start = 0;
        let firsts = train.x().rows().runs().iter().map(|r| r.start);
        train
            .x()
            .segments()
            .zip(train.y())
            .zip(firsts)
            .map(|((x, y), first)| {
                start += x.nrows();
                (start - x.nrows(), x, y, first)
            })
            .collect()
    };
    let (n, p) = (train.x().nrows(), train.x().ncols());
    // States that sum nothing cannot tell; the values are looked at as they pass.
    let blind = prototypes.iter().all(|p| p.is_finite().is_none());
    let absorb = |b: usize, states: &mut [Box<dyn Statistic>]| -> Result<()> {
        let (lo, hi) = (b * BLOCK_ROWS, ((b + 1) * BLOCK_ROWS).min(n));
        let at = runs.partition_point(|r| r.0 <= lo) - 1;
        let (start, x, y, first) = runs[at];
        let mut each = |x: MatRef<'_>, y: &[f64], first_row: usize| {
            map(x, &mut |x, noise| {
                if blind {
                    check_values("training rows", x, f64::MAX).map_err(|e| e.after_rows(first_row))?;
                    check_values("training targets", MatRef::column_vector(y), f64::MAX)
                        .map_err(|e| e.after_rows(first_row))?;
                }
                absorb_block(states, &Block { x, y, first_row })?;
                states.iter_mut().for_each(|state| state.raise_noise(noise));
                Ok(())
            })
        };
        if hi <= start + x.nrows() {
            return each(x.rows(lo - start..hi - start)?, &y[lo - start..hi - start], first + lo - start);
        }
        if states_keep_places(prototypes) {
            // States that remember where rows stand take the runs one by one.
            for (start, x, y, first) in &runs[at..] {
                let (from, to) = (lo.max(*start), hi.min(start + x.nrows()));
                if from < to {
                    each(
                        x.rows(from - start..to - start)?,
                        &y[from - start..to - start],
                        first + from - start,
                    )?;
                }
            }
            return Ok(());
        }
        let mut packed = vec![0.0; (hi - lo) * p];
        let mut targets = Vec::with_capacity(hi - lo);
        let mut filled = packed.chunks_exact_mut(p.max(1));
        for (start, x, y, _) in &runs[at..] {
            let (from, to) = (lo.max(*start), hi.min(start + x.nrows()));
            for row in from..to.max(from) {
                x.copy_row_into(row - start, filled.next().expect("one row each"));
                targets.push(y[row - start]);
            }
        }
        each(MatRef::new(&packed, hi - lo, p, Order::C)?, &targets, first + lo - start)
    };
    let states = absorb_tree(0..n.div_ceil(BLOCK_ROWS), prototypes, &absorb)?;
    if states.iter().any(|s| s.is_finite() == Some(false)) {
        train.check_finite()?;
        return Err(ErrorKind::Overflow { table: "training rows".into() }.into());
    }
    seal(states)
}

fn states_keep_places(prototypes: &[Box<dyn Statistic>]) -> bool {
    prototypes.iter().any(|p| p.keeps_places())
}

pub(crate) fn seal(mut states: Vec<Box<dyn Statistic>>) -> Result<Statistics> {
    states.iter_mut().try_for_each(|s| of_statistic(s.as_mut(), |s| s.seal()))?;
    Ok(Statistics::new(states.into_iter().map(Arc::from).collect()))
}

/// Something that is fitted on rows and then maps rows.
pub trait Transformer: Send + Sync {
    /// As [`Estimator::kind`].
    fn kind(&self) -> String;

    /// How it takes rows.
    fn access(&self) -> Access;

    /// What one fit allocates.
    fn cost(&self, train: Shape) -> FitCost;

    /// As [`Estimator::check_shape`].
    ///
    /// # Errors
    /// As there.
    fn check_shape(&self, train: Shape) -> Result<()> {
        let _ = train;
        Ok(())
    }

    /// Columns that come out for `ncols` that go in.
    fn n_out(&self, ncols: usize) -> usize {
        ncols
    }

    /// What it does with NaN among training values: one that accepts them fills them in, and so must its maps
    /// ([`FittedTransform::accepts_missing`]). A pipeline accepts what its first transformer accepts.
    fn missing_values(&self) -> MissingValues {
        MissingValues::Refused
    }

    /// Fit on training rows.
    ///
    /// # Errors
    /// Whatever stops the fit.
    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>>;

    /// The transformer as one fitted from merged statistics: `Some` exactly when [`Transformer::access`] is
    /// [`Access::Merge`].
    fn as_merge(&self) -> Option<&dyn MergeTransform> {
        None
    }

    /// With a learner behind it, a [`Pipeline`](crate::Pipeline); with another transformer, [`Transformers`](crate::Transformers), which
    /// go on in the same way. A value and a pointer to one do alike, on both sides.
    ///
    /// ```
    /// # use ensemble_core::*;
    /// # fn example(scaler: Box<dyn Transformer>, projection: Box<dyn Transformer>, learner: Box<dyn Estimator>) {
    /// let pipeline: Pipeline = scaler.then(projection).then(learner);
    /// # }
    /// ```
    fn then<K, S: Step<K>>(self, next: S) -> S::Behind
    where
        Self: Sized + 'static,
    {
        next.behind(vec![Arc::new(self)])
    }
}

/// What may stand behind a transformer: a learner, or another transformer. Every one does; `K` only tells the two apart, and is never
/// written.
#[diagnostic::on_unimplemented(message = "`{Self}` is neither a learner nor a transformer")]
pub trait Step<K> {
    /// What comes of it: a [`Pipeline`](crate::Pipeline), or [`Transformers`](crate::Transformers).
    type Behind;

    /// Stand behind `before`, which apply in order.
    fn behind(self, before: Vec<Arc<dyn Transformer>>) -> Self::Behind;
}

/// Its kind.
impl fmt::Debug for dyn Transformer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transformer").field(&self.kind()).finish()
    }
}

/// A transformer that is fitted from merged statistics.
pub trait MergeTransform: Send + Sync {
    /// Empty states of the statistics that a fit reads; none for a transformer that learns nothing.
    ///
    /// # Errors
    /// When the table does not suit the transformer.
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>>;

    /// The shape of its affine form, if every fit has one: then learners behind it share their statistics with all others.
    fn affine_shape(&self) -> Option<AffineShape>;

    /// The maps through which its own statistics can be carried, for a transformer behind another.
    fn affine_support(&self) -> Option<AffineShape>;

    /// Fit from the statistics of the training rows.
    ///
    /// # Errors
    /// Whatever stops the fit.
    fn fit_from(&self, statistics: &Statistics) -> Result<Arc<dyn FittedTransform>>;
}

/// Fit a merging transformer on rows in hand: what such a transformer's [`Transformer::fit_rows`] calls. One pass.
///
/// # Errors
/// Those of the statistics and of the fit.
pub fn fit_transform_by_merging(
    transformer: &dyn MergeTransform,
    train: &Train<'_>,
    cx: &FitContext<'_>,
) -> Result<Arc<dyn FittedTransform>> {
    let context = cx.statistics(train.x().ncols()).with_tables(cx.table, cx.target);
    let wanted = transformer.statistics(&context)?;
    let have =
        if wanted.is_empty() { Statistics::default() } else { train_statistics(train, &wanted, &unmapped)? };
    transformer.fit_from(&have)
}

/// A fitted map of rows.
pub trait FittedTransform: Send + Sync {
    /// Columns that go in.
    fn n_in(&self) -> usize;

    /// Columns that come out.
    fn n_out(&self) -> usize;

    /// The map as x -> A'(x - b), if it is that.
    fn as_affine(&self) -> Option<&Affine> {
        None
    }

    /// Whether it maps NaN to numbers.
    fn accepts_missing(&self) -> bool {
        false
    }

    /// Map the rows of `x` into `out`, `x.nrows()` x `n_out()`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when sizes differ.
    fn transform_block_into(&self, x: MatRef<'_>, out: MatMut<'_>) -> Result<()>;

    /// The map as data, for a file.
    ///
    /// # Errors
    /// When it cannot be saved.
    fn to_record(&self) -> Result<Record>;
}

/// Its widths; its numbers are left out.
impl fmt::Debug for dyn FittedTransform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FittedTransform")
            .field("n_in", &self.n_in())
            .field("n_out", &self.n_out())
            .finish_non_exhaustive()
    }
}

impl FittedTransform for Affine {
    fn n_in(&self) -> usize {
        Affine::n_in(self)
    }

    fn n_out(&self) -> usize {
        Affine::n_out(self)
    }

    fn as_affine(&self) -> Option<&Affine> {
        Some(self)
    }

    fn transform_block_into(&self, x: MatRef<'_>, out: MatMut<'_>) -> Result<()> {
        self.apply_into(x, out)
    }

    fn to_record(&self) -> Result<Record> {
        Ok(crate::learner::pipeline::save_affine(self))
    }
}

/// Transformed training rows in scratch room, with their targets beside them in one piece: the one place where transformed
/// rows are stored.
pub(crate) struct StoredTrain {
    x: Arc<dyn Table>,
    y: Arc<dyn Table>,
}

impl StoredTrain {
    /// Bytes stored for training rows of this shape, the target's included.
    pub(crate) fn bytes(shape: Shape) -> u64 {
        shape.bytes().saturating_add(Shape { ncols: 1, ..shape }.bytes())
    }

    /// Store the rows of `train` as `map` makes them, block by block, and write the bytes into the ledger.
    pub(crate) fn new(
        train: &Train<'_>,
        n_out: usize,
        order: Order,
        cx: &FitContext<'_>,
        map: &BlockMap<'_>,
    ) -> Result<Self> {
        let shape = Shape { nrows: train.x().nrows(), ncols: n_out };
        let mut x = cx.scratch.matrix(shape, order)?;
        let mut y = cx.scratch.matrix(Shape { ncols: 1, ..shape }, Order::C)?;
        {
            let (mut out, mut row) = (x.as_mat_mut(), 0);
            let mut noise = Noise::none(n_out);
            let (mut least, mut most) = (vec![f64::INFINITY; n_out], vec![f64::NEG_INFINITY; n_out]);
            for block in train.x().segments().flat_map(|segment| segment.row_blocks(BLOCK_ROWS)) {
                map(block, &mut |x, told| {
                    noise.merge(told);
                    for r in 0..x.nrows() {
                        for c in 0..n_out {
                            let value = x.get(r, c);
                            (least[c], most[c]) = (least[c].min(value), most[c].max(value));
                            out.set(row + r, c, value);
                        }
                    }
                    row += x.nrows();
                    Ok(())
                })?;
            }
            // What a map made of roundings is no variation, and values alone cannot tell: such a column is stored as the constant it is.
            for c in 0..n_out {
                let range = most[c] - least[c];
                if range > 0.0 && noise.is_constant_range(c, range) {
                    (0..row).for_each(|r| out.set(r, c, least[c]));
                }
            }
            let mut targets = y.as_mat_mut();
            for (row, value) in train.y().flatten().enumerate() {
                targets.set(row, 0, *value);
            }
        }
        cx.ledger.write(Work::transformed(cx.layer, cx.fold, Self::bytes(shape), cx.scratch.is_anonymous()));
        Ok(Self { x: x.into_table(), y: y.into_table() })
    }

    /// Fit on the stored rows.
    pub(crate) fn with<T>(
        &self,
        cx: &FitContext<'_>,
        fit: impl FnOnce(&Train<'_>, &FitContext<'_>) -> Result<T>,
    ) -> Result<T> {
        let rows = Rows::all(self.x.as_mat().nrows());
        let train =
            Train::new(RowsView::new(self.x.as_mat(), &rows)?, RowsView::new(self.y.as_mat(), &rows)?)?;
        // The input was looked at before: what is not finite here, transformers made.
        fit(&train, &FitContext { table: Some(&self.x), target: Some(&self.y), ..*cx })
            .map_err(Error::behind_transformers)
    }
}
