//! Classes of a target: labels mapped to 0..k once, over the whole target.
//!
//! The contract of classification, for learners and engine alike:
//! - The target of a fit holds class numbers 0.0, 1.0, .. k-1.0, and [`FitContext::n_classes`](crate::FitContext) says k. k counts the
//!   classes of the whole target, so some may be missing from the training rows of a fold.
//! - A model of a learner that [`Predicts::Probabilities`](crate::Predicts) or [`Predicts::Votes`](crate::Predicts) has k columns: column c is
//!   of class c, 0 where the class was missing from the training rows.
//! - Labels come back only at the end: [`Classes::label`].

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    data::mat::{MatMut, MatRef},
    error::{Error, ErrorKind, Result},
    learner::{
        estimator::{FitContext, Train},
        model::{Model, check_prediction},
    },
    persist::record::Record,
};

/// More distinct values than this in a target are measurements, not labels.
pub const MAX_CLASSES: usize = 1000;

/// A class as the user calls it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Label {
    /// A whole number.
    Integer(i64),
    /// A word.
    Text(String),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Label::Integer(number) => number.fmt(f),
            Label::Text(text) => text.fmt(f),
        }
    }
}

/// The classes of a target, in order: class c is the c-th label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    labels: Vec<Label>,
}

impl Classes {
    /// The classes of labels in any order; equal ones count once.
    ///
    /// # Errors
    /// [`ErrorKind::Classes`] when there are fewer than two or more than [`MAX_CLASSES`].
    pub fn new(labels: impl IntoIterator<Item = Label>) -> Result<Self> {
        let labels: Vec<Label> = labels.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        check_count(labels.len())?;
        Ok(Self { labels })
    }

    /// The classes of a target that holds whole numbers. One pass over it.
    ///
    /// # Errors
    /// [`ErrorKind::Classes`] for a value that is no whole number, by its row, or unless there are 2 to [`MAX_CLASSES`].
    pub fn of(target: MatRef<'_>) -> Result<Self> {
        let mut labels = BTreeSet::new();
        let mut last = None;
        for row in 0..target.nrows() {
            let value = target.get(row, 0);
            if last == Some(value) {
                continue;
            }
            let label = whole(value).ok_or_else(|| {
                let reason = match value.fract() == 0.0 {
                    true => format!(
                        "row {row} of the target holds {value}, which is too large to be told from its neighbours: labels lie below 2^53 in size"
                    ),
                    false => format!("row {row} of the target holds {value}, and classes are whole numbers"),
                };
                Error::from(ErrorKind::Classes { reason })
            })?;
            labels.insert(Label::Integer(label));
            if labels.len() > MAX_CLASSES {
                check_count(labels.len())?;
            }
            last = Some(value);
        }
        Self::new(labels)
    }

    /// Classes and class numbers of labels that are words: what a table of targets is made of.
    ///
    /// ```
    /// use ensemble_core::Classes;
    /// let (classes, numbers) = Classes::encode(["spam", "ham", "spam"])?;
    /// assert_eq!(numbers, [1.0, 0.0, 1.0]);
    /// assert_eq!(classes.label(1).to_string(), "spam");
    /// # Ok::<(), ensemble_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Classes::new`].
    pub fn encode<T: AsRef<str>>(labels: impl IntoIterator<Item = T> + Clone) -> Result<(Self, Vec<f64>)> {
        let label = |text: T| Label::Text(text.as_ref().to_owned());
        let classes = Self::new(labels.clone().into_iter().map(label))?;
        let number = |text: T| classes.labels.binary_search(&label(text)).expect("one of them") as f64;
        let numbers = labels.into_iter().map(number).collect();
        Ok((classes, numbers))
    }

    /// Number of classes, k.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Never: there are two at least.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The labels, by class.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The label of a class.
    ///
    /// # Panics
    /// When there is no such class.
    pub fn label(&self, class: usize) -> &Label {
        &self.labels[class]
    }

    /// The label of a class as a number: itself when it is one, the class's number when it is a word.
    pub fn number(&self, class: usize) -> f64 {
        match self.labels[class] {
            Label::Integer(number) => number as f64,
            Label::Text(_) => class as f64,
        }
    }

    /// Whether class c is the number c: a target of such labels needs no mapping.
    pub(crate) fn are_numbers(&self) -> bool {
        (0..self.len()).all(|class| self.number(class) == class as f64)
    }

    /// The class of a target's value.
    pub(crate) fn class_of(&self, value: f64) -> Option<usize> {
        let label = Label::Integer(whole(value)?);
        match self.labels.binary_search(&label) {
            Ok(class) => Some(class),
            // Words stand in the target by number.
            Err(_) if matches!(self.labels[0], Label::Text(_)) => {
                Some(value as usize).filter(|c| *c < self.len())
            }
            Err(_) => None,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        serde_json::to_value(&self.labels).expect("numbers and text")
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self> {
        let bad = |what: String| Error::spec("classes", format!("labels of a saved model {what}"));
        let labels: Vec<Label> =
            serde_json::from_value(value.clone()).map_err(|e| bad(format!("cannot be read: {e}")))?;
        if !labels.is_sorted_by(|a, b| a < b) {
            return Err(bad("are not in order".into()));
        }
        Self::new(labels)
    }
}

fn check_count(classes: usize) -> Result<()> {
    let reason = match classes {
        0 | 1 => format!("the target has {classes} class; a classifier needs two at least"),
        2..=MAX_CLASSES => return Ok(()),
        _ => format!(
            "the target has more than {MAX_CLASSES} classes; are its values measurements? then use a regressor"
        ),
    };
    Err(ErrorKind::Classes { reason }.into())
}

fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0).then_some(value as i64)
}

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

/// The class with the greatest probability; of equal ones the first. None among NaN.
pub(crate) fn most_probable(probabilities: impl Iterator<Item = f64>) -> Option<usize> {
    let mut best = None;
    let mut most = f64::NEG_INFINITY;
    for (class, probability) in probabilities.enumerate() {
        if probability.is_nan() {
            return None;
        }
        if probability > most {
            (best, most) = (Some(class), probability);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_numbered_in_order_and_odd_targets_are_refused_by_row() {
        let y = [7.0, -1.0, 7.0, 3.0];
        let classes = Classes::of(MatRef::column_vector(&y)).unwrap();
        assert_eq!(classes.labels(), [-1, 3, 7].map(Label::Integer));
        assert_eq!(y.map(|v| classes.class_of(v).unwrap()), [2, 0, 2, 1]);
        assert_eq!(classes.class_of(4.0), None);
        assert!(!classes.are_numbers());
        assert_eq!(Classes::from_json(&classes.to_json()).unwrap(), classes);
        let error = Classes::of(MatRef::column_vector(&[1.0, 0.5])).unwrap_err().to_string();
        assert!(error.contains("row 1") && error.contains("0.5"), "{error}");
        assert!(Classes::of(MatRef::column_vector(&[1.0, 1.0])).is_err(), "one class is none");
        let many: Vec<f64> = (0..2000).map(f64::from).collect();
        assert!(Classes::of(MatRef::column_vector(&many)).is_err());
    }

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
    fn the_most_probable_class_is_none_among_nan() {
        assert_eq!(most_probable([0.25, 0.5, 0.25].into_iter()), Some(1));
        assert_eq!(most_probable([0.5, 0.5].into_iter()), Some(0));
        assert_eq!(most_probable([f64::NAN; 3].into_iter()), None);
        assert_eq!(most_probable([0.5, f64::NAN].into_iter()), None);
    }

    #[test]
    fn a_softmax_of_great_logarithms_is_one_of_small() {
        let mut logs = [-1e5, 1e5, 1e5 + 2.0f64.ln()];
        softmax(&mut logs);
        let want = [0.0, 1.0 / 3.0, 2.0 / 3.0];
        assert!(logs.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9), "{logs:?}");
    }
}
