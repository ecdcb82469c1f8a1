//! What classifiers share: the classes of a training set, and models of one class.

use std::sync::Arc;

use crate::{
    data::classes::whole,
    data::mat::{MatMut, MatRef},
    error::{Error, ErrorKind, Result},
    learner::{
        estimator::{FitContext, Train},
        model::{Model, check_prediction},
    },
    persist::record::Record,
};

/// Rows of each class among training rows whose target holds class numbers: what a classifier's fit starts with, since a fold may
/// lack a class that the whole target has.
///
/// # Errors
/// [`ErrorKind::Classes`] when [`FitContext::n_classes`] is not said, or a target is no class number below it.
pub fn class_counts(train: &Train<'_>, cx: &FitContext<'_>) -> Result<Vec<u64>> {
    let n_classes = cx.n_classes.ok_or_else(|| {
        Error::from(ErrorKind::Classes { reason: "a classifier needs FitContext::n_classes".into() })
    })?;
    let mut counts = vec![0; n_classes];
    for (row, value) in train.y().flatten().enumerate() {
        let class = whole(*value).and_then(|c| usize::try_from(c).ok()).and_then(|c| counts.get_mut(c));
        *class.ok_or_else(|| {
            Error::from(ErrorKind::Classes {
                reason: format!("training row {row} has target {value}, which is no class below {n_classes}"),
            })
        })? += 1;
    }
    Ok(counts)
}

/// Which classes of the whole target are among some training rows, numbered anew from 0: the codes that a backend is given, which
/// knows of no class without rows.
///
/// ```
/// use ensemble_core::*;
/// let (x, y) = ([0.5, 1.5, 2.5], [3.0, 1.0, 3.0]);
/// let rows = Rows::all(3);
/// let column = |values| RowsView::new(MatRef::column_vector(values), &rows);
/// let ledger = Ledger::new();
/// let cx = FitContext::alone(&Heap, &ledger).with_classes(4);
/// let (present, counts) = PresentClasses::of(&Train::new(column(&x)?, column(&y)?)?, &cx)?;
/// assert_eq!((present.classes(), &counts[..]), (&[1, 3][..], &[1, 2][..]));
/// assert!(present.codes(y.into_iter()).eq([1, 0, 1]));
/// let mut probabilities = [0.0; 4];
/// present.spread(&[0.25, 0.75], &mut probabilities);
/// assert_eq!(probabilities, [0.0, 0.25, 0.0, 0.75]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentClasses {
    n_classes: usize,
    classes: Vec<usize>,
}

impl PresentClasses {
    /// The classes of training rows, and the number of rows of each. One pass over the target.
    ///
    /// # Errors
    /// Those of [`class_counts`].
    pub fn of(train: &Train<'_>, cx: &FitContext<'_>) -> Result<(Self, Vec<u64>)> {
        let mut counts = class_counts(train, cx)?;
        let n_classes = counts.len();
        let mut classes = Vec::with_capacity(counts.iter().filter(|n| **n > 0).count());
        classes.extend((0..n_classes).filter(|class| counts[*class] > 0));
        counts.retain(|n| *n > 0);
        Ok((Self { n_classes, classes }, counts))
    }

    /// Number of classes of the whole target: columns of a prediction.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Number of classes present.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are none, as when there are no rows.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The class behind each code, ascending.
    pub fn classes(&self) -> &[usize] {
        &self.classes
    }

    /// The model of training rows that have a single class, with which there is nothing to learn.
    pub fn certain(&self, n_inputs: usize) -> Option<Arc<dyn Model>> {
        match self.classes[..] {
            [class] => Some(Arc::new(ConstantModel::certain(n_inputs, class, self.n_classes))),
            _ => None,
        }
    }

    /// The codes of class numbers, each of which must be present.
    pub fn codes<'a>(&'a self, y: impl Iterator<Item = f64> + 'a) -> impl Iterator<Item = usize> + 'a {
        let mut code_of = vec![0; self.n_classes];
        self.classes.iter().enumerate().for_each(|(code, class)| code_of[*class] = code);
        y.map(move |class| code_of[class as usize])
    }

    /// Write one value per code as one per class of the whole target, 0 for those not present.
    pub fn spread(&self, codes: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        self.classes.iter().zip(codes).for_each(|(class, value)| out[*class] = *value);
    }

    /// Into a model's record, as field `n_classes` and array `classes`.
    pub fn save(&self, record: Record) -> Record {
        let classes: Vec<f64> = self.classes.iter().map(|class| *class as f64).collect();
        record.with_field("n_classes", self.n_classes).with_array("classes", &[classes.len()], classes)
    }

    /// From a model's record.
    ///
    /// # Errors
    /// When they are missing, or are not ascending classes of so many.
    pub fn load(record: &Record) -> Result<Self> {
        let (n_classes, classes) = (record.count("n_classes")?, record.whole_numbers("classes")?);
        if !classes.is_sorted_by(|a, b| a < b) || classes.last().is_some_and(|c| *c >= n_classes) {
            return Err(Error::spec(record.kind(), "classes of a saved model are out of order"));
        }
        Ok(Self { n_classes, classes })
    }
}

/// Logarithms of weights as shares of 1, in place, without overflow.
pub fn softmax(logs: &mut [f64]) {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for v in logs.iter_mut() {
        *v = (*v - most).exp();
        sum += *v;
    }
    logs.iter_mut().for_each(|v| *v /= sum);
}

/// A model that predicts the same for every row: what a classifier fits when its training rows have a single class.
#[derive(Clone, Debug, PartialEq)]
pub struct ConstantModel {
    n_inputs: usize,
    outputs: Vec<f64>,
}

impl ConstantModel {
    /// Name of the record of a constant model.
    pub const RECORD: &'static str = "constant_model";

    /// `outputs` for every row.
    pub fn new(n_inputs: usize, outputs: Vec<f64>) -> Self {
        Self { n_inputs, outputs }
    }

    /// Certain of `class` of `n_classes`.
    pub fn certain(n_inputs: usize, class: usize, n_classes: usize) -> Self {
        let mut outputs = vec![0.0; n_classes];
        outputs[class] = 1.0;
        Self { n_inputs, outputs }
    }

    pub(crate) fn from_record(record: &Record) -> Result<Self> {
        Ok(Self { n_inputs: record.count("columns")?, outputs: record.array("outputs")?.data.clone() })
    }
}

impl Model for ConstantModel {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn n_outputs(&self) -> usize {
        self.outputs.len()
    }

    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        check_prediction(self, x, &out)?;
        for row in 0..x.nrows() {
            for (column, value) in self.outputs.iter().enumerate() {
                out.set(row, column, *value);
            }
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        (self.outputs.len() * 8 + size_of::<Self>()) as u64
    }

    fn to_record(&self) -> Result<Record> {
        Ok(Record::new(Self::RECORD).with_field("columns", self.n_inputs).with_array(
            "outputs",
            &[self.outputs.len()],
            self.outputs.clone(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_present_are_saved_and_odd_ones_refused() {
        let present = PresentClasses { n_classes: 5, classes: vec![0, 3] };
        let record = || Record::new("test");
        assert_eq!(PresentClasses::load(&present.save(record())).unwrap(), present);
        for classes in [vec![3.0, 0.0], vec![1.0, 1.0], vec![0.0, 5.0], vec![0.5], vec![-1.0]] {
            let record = record().with_field("n_classes", 5).with_array("classes", &[classes.len()], classes);
            assert!(PresentClasses::load(&record).is_err());
        }
        assert!(present.certain(2).is_none());
        let one = PresentClasses { n_classes: 3, classes: vec![1] }.certain(2).unwrap();
        assert_eq!((one.n_inputs(), one.n_outputs()), (2, 3));
    }

    #[test]
    fn a_softmax_of_great_logarithms_is_one_of_small() {
        let mut logs = [-1e5, 1e5, 1e5 + 2.0f64.ln()];
        softmax(&mut logs);
        let want = [0.0, 1.0 / 3.0, 2.0 / 3.0];
        assert!(logs.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9), "{logs:?}");
    }
}
