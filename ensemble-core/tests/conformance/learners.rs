//! Small learners without a fault, and with each of many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use ensemble_core::{
    Access, Affine, Built, ConstantModel, ErrorKind, Estimator, FitContext, FitCost, FittedTransform, Kind,
    LinearForm, Loaded, MatMut, MatRef, MissingValues, Model, Order, Predicts, Record, Registry, Result,
    Shape, Train, Transformer, Work, WorkKind, check_predicted, check_prediction, class_counts,
};

use crate::{merging::MergedLine, tables::FLIPPED};

/// What a learner does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    NoStatistics,
    UnknownKind,
    TwoOutputs,
    SumsByRun,
    AsksForTheTable,
    LooksAtRowNumbers,
    IgnoresStride,
    IgnoresOrder,
    ChangesInput,
    CountsCalls,
    CountsThreads,
    LooksAtTheFold,
    CopiesUnplanned,
    WritesNothing,
    PredictsNan,
    PredictsByBlock,
    WantsOutputInC,
    LooksAtTheThread,
    OtherForm,
    SavesNoIntercept,
    ReferenceLosesIntercept,
    TakesAnyValue,
    HangsOnNan,
    DeclaresMissingAccepted,
    PanicsOnShape,
    TakesAnyShape,
    PanicsOnFewRows,
    PanicsInAFold,
    DividesBySpread,
    DividesByTargets,
    AllocatesMore,
    KeepsMore,
    PredictsBackwards,
    DeclaresTwoClasses,
    FirstClassAlways,
    SumsToTwo,
    DropsMissingClasses,
    TakesAnyClass,
    ForgetsTheShift,
    PredictsInfinity,
    TakesAnyQuery,
    MergesLess,
}

/// Values that a fault allocates: well above the slack.
const BALLAST: usize = 32 << 10;
/// The column of the line: the one that matters most.
const COLUMN: usize = 3;

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    let mut offer = |name, build| {
        registry.add_kind(Kind { name, backend: "test", parameters: &[], build });
    };
    offer("test.line", |_| Ok(Built::Learner(Arc::new(Line::new(Fault::None)))));
    offer("test.merged_line", |_| Ok(Built::Learner(Arc::new(MergedLine { fault: Fault::None }))));
    offer("test.nearest", |_| Ok(Built::Learner(Arc::new(Nearest { fault: Fault::None }))));
    offer("test.shift", |_| Ok(Built::Transformer(Arc::new(Shift { fault: Fault::None }))));
    registry.add_loader("test.line", |r, _| {
        let coefficients = r.array("coefficients")?.data.clone();
        let intercept = r.array("intercept")?.data[0];
        let model = LineModel { coefficients, intercept, fault: Fault::None, ballast: Vec::new() };
        Ok(Loaded::Model(Arc::new(model)))
    });
    registry.add_loader("test.nearest", |r, _| {
        let means = r.array("means")?;
        let model = NearestModel {
            means: means.data.clone(),
            present: r.array("present")?.data.iter().map(|v| *v != 0.0).collect(),
            ncols: means.shape[1],
            fault: Fault::None,
        };
        Ok(Loaded::Model(Arc::new(model)))
    });
    registry
}

/// Least squares on one column.
pub(crate) struct Line {
    fault: Fault,
    calls: AtomicUsize,
}

impl Line {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, calls: AtomicUsize::new(0) }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

impl Estimator for Line {
    fn kind(&self) -> String {
        if self.is(Fault::UnknownKind) { "test.unknown" } else { "test.line" }.into()
    }

    fn access(&self) -> Access {
        if self.is(Fault::NoStatistics) { Access::Merge } else { Access::Segments }
    }

    fn cost(&self, train: Shape) -> FitCost {
        let model_bytes = 8 * train.ncols as u64 + 200;
        FitCost { peak_bytes: model_bytes, model_bytes }
    }

    fn missing_values(&self) -> MissingValues {
        if self.is(Fault::DeclaresMissingAccepted) { MissingValues::Accepted } else { MissingValues::Refused }
    }

    fn is_linear(&self) -> bool {
        true
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        let finite = train.check_finite();
        if self.is(Fault::HangsOnNan) && finite.is_err() {
            thread::sleep(Duration::from_secs(3));
        }
        if !self.is(Fault::TakesAnyValue) {
            finite?;
        }
        let n = train.shape().nrows as f64;
        assert!(!(self.is(Fault::PanicsOnFewRows) && n < 3.0), "three rows at least");
        assert!(!(self.is(Fault::PanicsInAFold) && cx.fold == Some(1)), "fold 1");
        let (mut sx, mut sy, mut sxx, mut sxy) = (0.0, 0.0, 0.0, 0.0);
        for (x, y) in train.x().segments().zip(train.y()) {
            let (mut run, p) = ([0.0; 4], x.ncols());
            for (row, y) in y.iter().enumerate() {
                let x = match self.fault {
                    Fault::IgnoresStride if x.order() == Order::C => x.data()[row * p + COLUMN],
                    Fault::IgnoresOrder => x.data()[row * p + COLUMN],
                    _ => x.get(row, COLUMN),
                };
                let sums = if self.is(Fault::SumsByRun) {
                    let [a, b, c, d] = &mut run;
                    [a, b, c, d]
                } else {
                    [&mut sx, &mut sy, &mut sxx, &mut sxy]
                };
                for (sum, value) in sums.into_iter().zip([x, *y, x * x, x * y]) {
                    *sum += value;
                }
            }
            for (sum, value) in [&mut sx, &mut sy, &mut sxx, &mut sxy].into_iter().zip(run) {
                *sum += value;
            }
        }
        let spread = sxx - sx * sx / n;
        let flat = spread.abs() <= 1e-12 * sxx && !self.is(Fault::DividesBySpread);
        let slope = if flat { 0.0 } else { (sxy - sx * sy / n) / spread };
        let mut intercept = (sy - slope * sx) / n;
        let mut ballast = Vec::new();
        match self.fault {
            Fault::AsksForTheTable => intercept += f64::from(u8::from(cx.table.is_some())),
            Fault::LooksAtRowNumbers => {
                intercept += train.x().rows().runs().first().map_or(0, |r| r.start) as f64;
            }
            Fault::ChangesInput => FLIPPED.store(true, Ordering::Relaxed),
            Fault::CountsCalls => intercept += self.calls.fetch_add(1, Ordering::Relaxed) as f64,
            Fault::CountsThreads => intercept += rayon::current_num_threads() as f64,
            Fault::LooksAtTheFold => intercept += f64::from(u8::from(cx.fold.is_some())),
            Fault::CopiesUnplanned => {
                cx.ledger.write(Work::new(WorkKind::Gather, cx.layer, cx.fold, 8, "unplanned"));
            }
            Fault::DividesByTargets => {
                let mean = sy / n;
                let varies: f64 = train.y().flatten().map(|y| (y - mean) * (y - mean)).sum();
                let gained = 0.0;
                intercept += gained / varies;
            }
            Fault::AllocatesMore => drop(std::hint::black_box(vec![1.0; BALLAST])),
            Fault::KeepsMore => ballast = vec![1.0; BALLAST],
            _ => {}
        }
        let mut coefficients = vec![0.0; train.shape().ncols];
        coefficients[COLUMN] = slope;
        Ok(Arc::new(LineModel { coefficients, intercept, fault: self.fault, ballast }))
    }
}

struct LineModel {
    coefficients: Vec<f64>,
    intercept: f64,
    fault: Fault,
    ballast: Vec<f64>,
}

impl LineModel {
    fn record(&self, intercept: f64) -> Record {
        Record::new("test.line")
            .with_array("coefficients", &[self.coefficients.len()], self.coefficients.clone())
            .with_array("intercept", &[1], vec![intercept])
    }
}

impl Model for LineModel {
    fn n_inputs(&self) -> usize {
        self.coefficients.len()
    }

    fn n_outputs(&self) -> usize {
        if self.fault == Fault::TwoOutputs { 2 } else { 1 }
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        match (self.fault, check_prediction(self, x, &out)) {
            (Fault::PanicsOnShape, Err(error)) => panic!("{error}"),
            (Fault::TakesAnyShape, Err(_)) => return Ok(()),
            (Fault::TakesAnyQuery, Err(error)) if matches!(error.kind(), ErrorKind::NotFinite { .. }) => {}
            (_, checked) => checked?,
        }
        let mean = (0..x.nrows()).map(|r| x.get(r, COLUMN)).sum::<f64>() / x.nrows() as f64;
        for row in 0..x.nrows() {
            let mut value = self.intercept + self.coefficients[COLUMN] * x.get(row, COLUMN);
            match self.fault {
                Fault::WritesNothing => continue,
                Fault::PredictsNan if row == 7 => value = f64::NAN,
                Fault::PredictsByBlock => value += mean,
                Fault::LooksAtTheThread if thread::current().name().is_none() => value += 1.0,
                Fault::PredictsBackwards => value = -value,
                Fault::WantsOutputInC => {
                    out.row_mut(row).expect("C order")[0] = value;
                    continue;
                }
                _ => {}
            }
            (0..self.n_outputs()).for_each(|column| out.set(row, column, value));
        }
        match self.fault {
            Fault::WritesNothing | Fault::PredictsNan | Fault::PredictsInfinity | Fault::TakesAnyQuery => {
                Ok(())
            }
            _ => check_predicted(out.as_ref()),
        }
    }

    fn as_linear(&self) -> Option<LinearForm<'_>> {
        let shifted = if self.fault == Fault::OtherForm { 1.0 } else { 0.0 };
        Some(LinearForm { coefficients: &self.coefficients, intercept: self.intercept + shifted })
    }

    fn bytes(&self) -> u64 {
        (size_of::<Self>() + 8 * (self.coefficients.len() + self.ballast.len())) as u64
    }

    fn to_record(&self) -> Result<Record> {
        Ok(self.record(if self.fault == Fault::SavesNoIntercept { 0.0 } else { self.intercept }))
    }

    fn to_record_by_reference(&self) -> Result<Record> {
        Ok(self.record(if self.fault == Fault::ReferenceLosesIntercept { 0.0 } else { self.intercept }))
    }
}

/// Probabilities by the distance to the means of classes.
pub(crate) struct Nearest {
    pub(crate) fault: Fault,
}

impl Estimator for Nearest {
    fn kind(&self) -> String {
        "test.nearest".into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        self.cost_with_classes(train, 2)
    }

    fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
        let n_classes = if self.fault == Fault::DeclaresTwoClasses { 2 } else { n_classes as u64 };
        // Means, which classes are present, and their counts.
        let model_bytes = n_classes * (8 * train.ncols as u64 + 1) + size_of::<NearestModel>() as u64;
        FitCost { peak_bytes: 8 * n_classes + model_bytes, model_bytes }
    }

    fn predicts(&self) -> Predicts {
        Predicts::Probabilities
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        train.check_finite()?;
        let p = train.shape().ncols;
        let counts = match self.fault {
            Fault::TakesAnyClass => vec![1; cx.n_classes.unwrap_or(3)],
            _ => class_counts(train, cx)?,
        };
        let mut present: Vec<bool> = counts.iter().map(|c| *c > 0).collect();
        if present.iter().filter(|p| **p).count() == 1 {
            assert!(self.fault != Fault::PanicsOnFewRows, "two classes at least");
            let class = present.iter().position(|p| *p).expect("one");
            return Ok(Arc::new(ConstantModel::certain(p, class, counts.len())));
        }
        let mut means = vec![0.0; counts.len() * p];
        for (x, y) in train.x().segments().zip(train.y()) {
            for (row, class) in y.iter().enumerate().filter(|(_, c)| (**c as usize) < counts.len()) {
                let class = *class as usize;
                for j in 0..p {
                    means[class * p + j] += x.get(row, j) / counts[class] as f64;
                }
            }
        }
        if self.fault == Fault::DropsMissingClasses {
            means =
                means.chunks(p).zip(&present).filter(|(_, p)| **p).flat_map(|(m, _)| m.to_owned()).collect();
            present.retain(|p| *p);
        }
        Ok(Arc::new(NearestModel { means, present, ncols: p, fault: self.fault }))
    }
}

struct NearestModel {
    /// Classes x columns.
    means: Vec<f64>,
    present: Vec<bool>,
    ncols: usize,
    fault: Fault,
}

impl Model for NearestModel {
    fn n_inputs(&self) -> usize {
        self.ncols
    }

    fn n_outputs(&self) -> usize {
        self.present.len()
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        for row in 0..x.nrows() {
            let near = |class: usize| -> f64 {
                let mean = &self.means[class * self.ncols..][..self.ncols];
                let distance: f64 = mean.iter().enumerate().map(|(j, m)| (x.get(row, j) - m).powi(2)).sum();
                if self.present[class] { 1.0 / (1.0 + distance) } else { 0.0 }
            };
            let total: f64 = (0..self.present.len()).map(near).sum();
            for class in 0..self.present.len() {
                let value = match self.fault {
                    Fault::FirstClassAlways => f64::from(u8::from(class == 0)),
                    Fault::SumsToTwo => 2.0 * near(class) / total,
                    _ => near(class) / total,
                };
                out.set(row, class, value);
            }
        }
        check_predicted(out.as_ref())
    }

    fn bytes(&self) -> u64 {
        (size_of::<Self>() + 8 * self.means.len() + self.present.len()) as u64
    }

    fn to_record(&self) -> Result<Record> {
        let k = self.present.len();
        let present = self.present.iter().map(|p| f64::from(u8::from(*p))).collect();
        Ok(Record::new("test.nearest").with_array("means", &[k, self.ncols], self.means.clone()).with_array(
            "present",
            &[k],
            present,
        ))
    }
}

/// Subtracts the means of columns.
pub(crate) struct Shift {
    pub(crate) fault: Fault,
}

impl Transformer for Shift {
    fn kind(&self) -> String {
        "test.shift".into()
    }

    fn access(&self) -> Access {
        Access::Segments
    }

    fn cost(&self, train: Shape) -> FitCost {
        let model_bytes = 16 * train.ncols as u64 + 200;
        FitCost { peak_bytes: model_bytes, model_bytes }
    }

    fn n_out(&self, ncols: usize) -> usize {
        if self.fault == Fault::TwoOutputs { 2 } else { ncols }
    }

    fn fit_rows(&self, train: &Train<'_>, _: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        if self.fault != Fault::TakesAnyValue {
            train.check_finite()?;
        }
        let Shape { nrows, ncols } = train.shape();
        let mut shift = vec![0.0; ncols];
        for x in train.x().segments() {
            for row in 0..x.nrows() {
                shift.iter_mut().enumerate().for_each(|(j, s)| *s += x.get(row, j) / nrows as f64);
            }
        }
        let map = Affine::diagonal(shift, vec![1.0; ncols]);
        Ok(match self.fault {
            Fault::OtherForm | Fault::PredictsByBlock => Arc::new(OtherForm(map, self.fault)),
            _ => Arc::new(map),
        })
    }
}

/// Doubles what its form says, or what is in blocks of one size.
struct OtherForm(Affine, Fault);

impl FittedTransform for OtherForm {
    fn n_in(&self) -> usize {
        self.0.n_in()
    }

    fn n_out(&self) -> usize {
        self.0.n_out()
    }

    fn as_affine(&self) -> Option<&Affine> {
        Some(&self.0)
    }

    fn transform_block_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        self.0.apply_into(x, out.reborrow())?;
        let rows = if self.1 == Fault::OtherForm || x.nrows() == 1024 { x.nrows() } else { 0 };
        for row in 0..rows {
            for column in 0..self.0.n_out() {
                let value = out.as_ref().get(row, column);
                out.set(row, column, 2.0 * value);
            }
        }
        Ok(())
    }

    fn to_record(&self) -> Result<Record> {
        self.0.to_record()
    }
}
