//! A learner behind transformers.
//!
//! When every transformer is affine and the learner's statistics carry affine maps, the pipeline merges like the bare
//! learner: the raw rows' statistics are carried through the fitted maps, fold by fold, and a linear model is pulled back to
//! the raw columns. No transformed row ever exists. Otherwise blocks are transformed on their way into the statistics, or,
//! for a learner that needs rows, stored once in scratch room, which the plan shows.

use std::{fmt, sync::Arc};

use crate::{
    data::mat::{MatMut, MatRef, Order, Shape},
    error::{Error, Result},
    learner::{
        estimator::{
            Access, BlockSink, Estimator, FitContext, FitCost, Fitted, FittedTransform, MergeFit,
            MissingValues, Predicts, StoredTrain, Train, Transformer, cost_of, fit_by_merging,
            fit_from_passes, train_statistics,
        },
        model::{LinearModel, Model, batch_rows, check_prediction},
        notes::Convergence,
        registry::Registry,
    },
    persist::record::Record,
    statistic::{
        affine::{Affine, AffineShape},
        noise::Noise,
        state::{BLOCK_ROWS, Statistic, StatisticContext, Statistics, minimal_requests},
    },
};

/// Transformers, then a learner. Each fit uses its own training rows only, for the transformers too.
pub struct Pipeline {
    transformers: Vec<Arc<dyn Transformer>>,
    learner: Arc<dyn Estimator>,
}

impl Pipeline {
    /// `learner` behind `transformers`, which apply in order; without any, the pipeline is the learner.
    pub fn new(transformers: Vec<Arc<dyn Transformer>>, learner: impl Estimator + 'static) -> Self {
        Self { transformers, learner: Arc::new(learner) }
    }

    /// Whether the whole chain is algebra on statistics.
    fn merges(&self) -> bool {
        let mut before: Option<AffineShape> = None;
        for transformer in &self.transformers {
            let Some(merge) = transformer.as_merge() else { return false };
            let Some(shape) = merge.affine_shape() else { return false };
            if before.is_some_and(|b| merge.affine_support().is_none_or(|s| s < b)) {
                return false;
            }
            before = before.max(Some(shape));
        }
        let Some(learner) = self.learner.as_merge() else { return false };
        before.is_none_or(|b| learner.affine_support().is_some_and(|s| s >= b))
    }

    /// Fit the transformers on carried statistics: the fitted maps, and the statistics behind them.
    fn carry(&self, raw: &Statistics) -> Result<(Vec<Arc<dyn FittedTransform>>, Statistics)> {
        let mut carried = raw.clone();
        let mut maps = Vec::with_capacity(self.transformers.len());
        for transformer in &self.transformers {
            let merge = transformer.as_merge().ok_or_else(|| not_merging(transformer.as_ref()))?;
            let fitted = merge.fit_from(&carried)?;
            let affine = fitted.as_affine().ok_or_else(|| not_merging(transformer.as_ref()))?;
            carried = carried.affine(affine)?;
            maps.push(fitted);
        }
        Ok((maps, carried))
    }

    fn learner_order(&self) -> Order {
        match self.learner.access() {
            Access::Contiguous(Some(order)) => order,
            _ => Order::C,
        }
    }

    /// What a fit on a target of `n_classes` classes, or of numbers, allocates.
    fn cost_of(&self, train: Shape, n_classes: Option<usize>) -> FitCost {
        if self.transformers.is_empty() {
            return cost_of(self.learner.as_ref(), train, n_classes);
        }
        let mut cost = FitCost::default();
        let mut shape = train;
        for transformer in &self.transformers {
            let own = transformer.cost(shape);
            cost.peak_bytes = cost.peak_bytes.max(cost.model_bytes.saturating_add(own.peak_bytes));
            cost.model_bytes = cost.model_bytes.saturating_add(own.model_bytes);
            shape.ncols = transformer.n_out(shape.ncols);
        }
        let own = cost_of(self.learner.as_ref(), shape, n_classes);
        // One block per map is alive on the way through.
        let block = Shape { nrows: BLOCK_ROWS, ncols: shape.ncols.max(train.ncols) };
        let blocks = block.bytes().saturating_mul(self.transformers.len() as u64 + 1);
        let fit = cost.model_bytes.saturating_add(own.peak_bytes);
        cost.peak_bytes = cost.peak_bytes.max(fit).saturating_add(blocks);
        cost.model_bytes = cost.model_bytes.saturating_add(own.model_bytes);
        cost
    }

    /// Whether transformed rows must be stored for the learner.
    fn stores_rows(&self, ncols: usize) -> bool {
        let Some(merge) = self.learner.as_merge() else { return true };
        // Whether places are kept does not depend on how many classes there are.
        let n_classes = self.predicts().classifies().then_some(2);
        let cx = StatisticContext { n_classes, ..StatisticContext::new(ncols) };
        merge.statistics(&cx).map_or(true, |s| s.iter().any(|s| s.keeps_places()))
    }
}

fn not_merging(transformer: &dyn Transformer) -> Error {
    Error::unsupported(format!(
        "{} is not affine and cannot be carried through statistics",
        transformer.kind()
    ))
}

/// Apply `maps` to a block and hand the result on.
fn map_block(
    maps: &[Arc<dyn FittedTransform>],
    x: MatRef<'_>,
    each: &mut dyn FnMut(MatRef<'_>) -> Result<()>,
) -> Result<()> {
    let Some((first, rest)) = maps.split_first() else { return each(x) };
    let mut buffer = vec![0.0; x.nrows() * first.n_out()];
    first.transform_block_into(x, MatMut::new(&mut buffer, x.nrows(), first.n_out(), Order::C)?)?;
    map_block(rest, MatRef::new(&buffer, x.nrows(), first.n_out(), Order::C)?, each)
}

/// Apply `maps` to a training block and hand the result on with one rounding of what went in, in units of what comes out: a
/// map that takes means away leaves values whose own size no longer tells how finely they are known.
fn map_training_block(
    maps: &[Arc<dyn FittedTransform>],
    x: MatRef<'_>,
    before: &Noise,
    each: &mut BlockSink<'_>,
) -> Result<()> {
    let Some((first, rest)) = maps.split_first() else { return each(x, before) };
    let behind = match first.as_affine() {
        Some(map) => {
            let mut sizes = vec![0.0_f64; x.ncols()];
            for row in 0..x.nrows() {
                sizes.iter_mut().enumerate().for_each(|(j, size)| *size = size.max(x.get(row, j).abs()));
            }
            let mut noise = Noise::rounding(sizes);
            noise.merge(before);
            noise.affine(map)
        }
        // What it makes of roundings is not known.
        None => Noise::none(first.n_out()),
    };
    map_block(std::slice::from_ref(first), x, &mut |z| map_training_block(rest, z, &behind, each))
}

/// Fold a linear model behind affine maps into one on the raw columns.
fn finish(kind: &str, maps: Vec<Arc<dyn FittedTransform>>, model: Arc<dyn Model>) -> Arc<dyn Model> {
    // A map that fills what is missing is more than its affine form.
    let fills = maps.iter().any(|m| m.accepts_missing());
    let affine: Option<Vec<&Affine>> = maps.iter().map(|m| m.as_affine().filter(|_| !fills)).collect();
    if let (Some(form), Some(affine)) = (model.as_linear(), affine) {
        let mut coefficients: Vec<f64> = form.coefficients.into();
        let mut intercept = form.intercept;
        for map in affine.iter().rev() {
            (coefficients, intercept) = map.pull_back(&coefficients, intercept);
        }
        let linear = LinearModel::new(kind, coefficients, intercept);
        return Arc::new(linear.with_convergence(model.convergence()));
    }
    Arc::new(PipelineModel { maps, model })
}

/// The kinds, joined by ` | `.
impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pipeline").field(&self.kind()).finish()
    }
}

impl Estimator for Pipeline {
    fn kind(&self) -> String {
        let mut parts: Vec<String> = self.transformers.iter().map(|t| t.kind()).collect();
        parts.push(self.learner.kind());
        parts.join(" | ")
    }

    fn access(&self) -> Access {
        if self.merges() {
            return Access::Merge;
        }
        // Behind the first transformer the rows are the pipeline's own.
        match self.transformers.first().map(|t| t.access()) {
            None => self.learner.access(),
            Some(Access::Contiguous(order)) => Access::Contiguous(order),
            Some(_) => Access::Segments,
        }
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.cost_of(train, None)
    }

    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        self.cost_of(train, Some(n_classes))
    }

    fn check_shape(&self, train: Shape) -> Result<()> {
        let mut shape = train;
        for transformer in &self.transformers {
            transformer.check_shape(shape)?;
            shape.ncols = transformer.n_out(shape.ncols);
        }
        self.learner.check_shape(shape)
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        if self.transformers.is_empty() {
            return self.learner.fit_rows(train, cx);
        }
        if self.merges() {
            return fit_by_merging(self, train, cx);
        }
        let mut maps: Vec<Arc<dyn FittedTransform>> = Vec::with_capacity(self.transformers.len());
        for transformer in &self.transformers {
            let fitted = match transformer.as_merge() {
                _ if maps.is_empty() => transformer.fit_rows(train, cx)?,
                Some(merge) => {
                    let ncols = maps[maps.len() - 1].n_out();
                    let wanted = merge.statistics(&cx.statistics(ncols))?;
                    let have = if wanted.is_empty() {
                        Statistics::default()
                    } else {
                        train_statistics(train, &wanted, &|x, each| {
                            map_training_block(&maps, x, &Noise::none(x.ncols()), each)
                        })?
                    };
                    merge.fit_from(&have)?
                }
                None => {
                    let n_out = maps[maps.len() - 1].n_out();
                    let stored = StoredTrain::new(train, n_out, Order::C, cx, &|x, each| {
                        map_training_block(&maps, x, &Noise::none(x.ncols()), each)
                    })?;
                    stored.with(cx, |train, cx| transformer.fit_rows(train, cx))?
                }
            };
            maps.push(fitted);
        }
        let ncols = maps.last().map_or(train.x().ncols(), |m| m.n_out());
        let through = |x: MatRef<'_>, each: &mut BlockSink<'_>| {
            map_training_block(&maps, x, &Noise::none(x.ncols()), each)
        };
        let model = if self.stores_rows(ncols) {
            let stored = StoredTrain::new(train, ncols, self.learner_order(), cx, &through)?;
            stored.with(cx, |train, cx| self.learner.fit_rows(train, cx))?
        } else {
            let merge = self.learner.as_merge().expect("a learner that stores no rows merges");
            fit_from_passes(merge, &cx.statistics(ncols), |wanted| train_statistics(train, wanted, &through))?
        };
        Ok(finish(&self.learner.kind(), maps, model))
    }

    fn as_merge(&self) -> Option<&dyn MergeFit> {
        self.merges().then_some(self)
    }

    fn is_linear(&self) -> bool {
        (self.merges() || self.transformers.is_empty()) && self.learner.is_linear()
    }

    fn scratch_bytes(&self, train: Shape) -> u64 {
        if self.merges() {
            return 0;
        }
        if self.transformers.is_empty() {
            return self.learner.scratch_bytes(train);
        }
        let mut bytes = 0u64;
        let mut ncols = train.ncols;
        for (at, transformer) in self.transformers.iter().enumerate() {
            if at > 0 && transformer.as_merge().is_none() {
                bytes = bytes.saturating_add(StoredTrain::bytes(Shape { nrows: train.nrows, ncols }));
            }
            ncols = transformer.n_out(ncols);
        }
        let inner = Shape { nrows: train.nrows, ncols };
        if self.stores_rows(ncols) {
            let inside = StoredTrain::bytes(inner).saturating_add(self.learner.scratch_bytes(inner));
            bytes.saturating_add(inside)
        } else {
            bytes
        }
    }

    fn predicts(&self) -> Predicts {
        self.learner.predicts()
    }

    fn missing_values(&self) -> MissingValues {
        // Behind the first transformer nothing is missing: it fills, or it refuses. Carried statistics cannot fill.
        match self.transformers.first() {
            None => self.learner.missing_values(),
            Some(first) if !self.merges() => first.missing_values(),
            Some(_) => MissingValues::Refused,
        }
    }
}

impl MergeFit for Pipeline {
    fn statistics(&self, cx: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        let mut wanted: Vec<Box<dyn Statistic>> = Vec::new();
        let mut behind = cx.behind;
        for transformer in &self.transformers {
            if let Some(merge) = transformer.as_merge() {
                wanted.extend(merge.statistics(&StatisticContext { behind, ..cx.clone() })?);
                behind = behind.max(merge.affine_shape());
            }
        }
        if let Some(merge) = self.learner.as_merge() {
            // Raw columns: a map changes the values, and only a general one changes their number.
            wanted.extend(merge.statistics(&StatisticContext { behind, ..cx.clone() })?);
        }
        Ok(minimal_requests(wanted))
    }

    fn affine_support(&self) -> Option<AffineShape> {
        let mut support = Some(AffineShape::General);
        for transformer in &self.transformers {
            support = support.min(transformer.as_merge().and_then(|m| m.affine_support()));
        }
        support.min(self.learner.as_merge().and_then(|m| m.affine_support()))
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        let (maps, carried) = self.carry(statistics)?;
        let merge =
            self.learner.as_merge().ok_or_else(|| Error::unsupported("the learner does not merge"))?;
        Ok(match merge.fit_from(&carried)? {
            Fitted::Model(model) => Fitted::Model(finish(&self.learner.kind(), maps, model)),
            Fitted::Needs(more) => {
                // Asked for behind the maps, absorbed before them; a general map may have changed the width.
                let ncols = maps.first().map_or(0, |m| m.n_in());
                if maps.iter().any(|m| m.n_out() != ncols) {
                    let cx = StatisticContext::new(ncols);
                    Fitted::Needs(more.iter().map(|m| m.resized(&cx)).collect::<Result<_>>()?)
                } else {
                    Fitted::Needs(more)
                }
            }
        })
    }
}

/// A model behind fitted maps that do not fold into it.
pub struct PipelineModel {
    maps: Vec<Arc<dyn FittedTransform>>,
    model: Arc<dyn Model>,
}

impl PipelineModel {
    /// Name of the record of a pipeline.
    pub const RECORD: &'static str = "pipeline";

    /// The model behind the maps.
    pub fn inner(&self) -> &(dyn Model + 'static) {
        self.model.as_ref()
    }

    pub(crate) fn from_record(record: &Record, registry: &Registry) -> Result<Self> {
        let (last, maps) = record
            .children()
            .split_last()
            .ok_or_else(|| Error::spec(Self::RECORD, "the record holds no model"))?;
        let maps = maps.iter().map(|m| registry.load_transform(m)).collect::<Result<_>>()?;
        Ok(Self { maps, model: registry.load_model(last)? })
    }

    fn maps_record(&self) -> Result<Record> {
        let mut record = Record::new(Self::RECORD);
        for map in &self.maps {
            record = record.with_child(map.to_record()?);
        }
        Ok(record)
    }
}

impl Model for PipelineModel {
    fn n_inputs(&self) -> usize {
        self.maps.first().map_or(self.model.n_inputs(), |m| m.n_in())
    }

    fn n_outputs(&self) -> usize {
        self.model.n_outputs()
    }

    fn accepts_missing(&self) -> bool {
        self.maps.first().map_or_else(|| self.model.accepts_missing(), |m| m.accepts_missing())
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        let mapped = self.maps.iter().map(|map| map.n_out()).sum();
        let mut row = 0;
        for block in x.row_blocks(batch_rows([self.model.as_ref()], mapped)) {
            let end = row + block.nrows();
            map_block(&self.maps, block, &mut |z| self.model.predict_into(z, out.rows_mut(row..end)))
                .map_err(|e| {
                    e.behind_transformers().after_rows(row).of_table("rows behind the transformers")
                })?;
            row = end;
        }
        Ok(())
    }

    fn batch_rows(&self) -> usize {
        self.model.batch_rows()
    }

    fn feature_importances(&self) -> Option<Vec<f64>> {
        // The columns of x, as long as every map hands column for column on.
        let column_by_column =
            |map: &Arc<dyn FittedTransform>| map.as_affine().is_some_and(|a| a.scale().is_some());
        self.maps.iter().all(column_by_column).then(|| self.model.feature_importances())?
    }

    fn convergence(&self) -> Option<Convergence> {
        self.model.convergence()
    }

    fn bytes(&self) -> u64 {
        self.model.bytes() + self.maps.iter().map(|m| (m.n_in() * 16) as u64).sum::<u64>()
    }

    fn to_record(&self) -> Result<Record> {
        Ok(self.maps_record()?.with_child(self.model.to_record()?))
    }

    fn to_record_by_reference(&self) -> Result<Record> {
        Ok(self.maps_record()?.with_child(self.model.to_record_by_reference()?))
    }
}

pub(crate) const AFFINE_RECORD: &str = "affine";

pub(crate) fn save_affine(map: &Affine) -> Record {
    let (n_in, n_out) = (map.n_in(), map.n_out());
    let record = Record::new(AFFINE_RECORD).with_array("shift", &[n_in], map.shift().into());
    match map.scale() {
        Some(scale) => record.with_array("scale", &[n_in], scale.into()),
        None => {
            let a =
                (0..n_in).flat_map(|i| (0..n_out).map(move |j| (i, j))).map(|(i, j)| map.a(i, j)).collect();
            record.with_array("a", &[n_in, n_out], a)
        }
    }
}

pub(crate) fn load_affine(record: &Record) -> Result<Affine> {
    let shift = record.array("shift")?.data.clone();
    if let Ok(scale) = record.array("scale") {
        if scale.data.len() != shift.len() {
            return Err(Error::shape("scales of an affine map", shift.len(), scale.data.len()));
        }
        return Ok(Affine::diagonal(shift, scale.data.clone()));
    }
    let a = record.array("a")?;
    Affine::general(shift, a.data.clone(), a.shape.get(1).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Sums rows, and remembers how many it was handed at once.
    struct Sums {
        ncols: usize,
        handed: Arc<Mutex<Vec<usize>>>,
    }

    impl Model for Sums {
        fn n_inputs(&self) -> usize {
            self.ncols
        }
        fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
            check_prediction(self, x, &out)?;
            self.handed.lock().unwrap().push(x.nrows());
            for row in 0..x.nrows() {
                out.set(row, 0, (0..self.ncols).map(|j| x.get(row, j)).sum());
            }
            Ok(())
        }
        fn batch_rows(&self) -> usize {
            100_000
        }
        fn bytes(&self) -> u64 {
            0
        }
        fn to_record(&self) -> Result<Record> {
            Err(Error::unsupported("it is not saved"))
        }
    }

    #[test]
    fn predictions_hand_on_as_many_rows_as_one_mebibyte_holds_and_none_changes() {
        for (n, ncols, n_maps, want) in [
            (40_000, 2, 1, &[40_000][..]),
            (9_000, 16, 2, &[4_096, 4_096, 808]),
            (1_500, 48, 2, &[1_024, 476]),
            (2_500, 3_000, 1, &[1_024, 1_024, 452]),
        ] {
            let handed = Arc::new(Mutex::new(Vec::new()));
            let map = Arc::new(Affine::diagonal(vec![1.0; ncols], vec![0.5; ncols]));
            let model = PipelineModel {
                maps: vec![map as Arc<dyn FittedTransform>; n_maps],
                model: Arc::new(Sums { ncols, handed: Arc::clone(&handed) }),
            };
            let x: Vec<f64> = (0..n * ncols).map(|i| ((i * 37) % 101) as f64 / 7.0).collect();
            let x = MatRef::new(&x, n, ncols, Order::C).unwrap();
            let mut out = vec![0.0; n];
            model.predict_into(x, MatMut::column_vector(&mut out)).unwrap();
            assert_eq!(*handed.lock().unwrap(), want);
            let mut alone = [0.0];
            for row in (0..n).step_by(511) {
                model.predict_into(x.rows(row..row + 1).unwrap(), MatMut::column_vector(&mut alone)).unwrap();
                assert_eq!(alone[0], out[row]);
            }
        }
    }
}
