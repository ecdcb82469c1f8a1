//! Classes of a target: labels mapped to 0..k once, over the whole target.
//!
//! The contract of classification, for learners and engine alike:
//! - The target of a fit holds class numbers 0.0, 1.0, .. k-1.0, and [`FitContext::n_classes`](crate::FitContext) says k. k counts the
//!   classes of the whole target, so some may be missing from the training rows of a fold.
//! - A model of a learner that [`Predicts::Probabilities`](crate::Predicts) or [`Predicts::Votes`](crate::Predicts) has k columns: column c is
//!   of class c, 0 where the class was missing from the training rows.
//! - Labels come back only at the end: [`Classes::label`].

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    data::mat::MatRef,
    error::{Error, ErrorKind, Result},
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

impl PartialEq<str> for Label {
    fn eq(&self, word: &str) -> bool {
        matches!(self, Label::Text(text) if text == word)
    }
}

impl PartialEq<&str> for Label {
    fn eq(&self, word: &&str) -> bool {
        *self == **word
    }
}

impl PartialEq<i64> for Label {
    fn eq(&self, number: &i64) -> bool {
        matches!(self, Label::Integer(integer) if integer == number)
    }
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

pub(crate) fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0).then_some(value as i64)
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
    fn the_most_probable_class_is_none_among_nan() {
        assert_eq!(most_probable([0.25, 0.5, 0.25].into_iter()), Some(1));
        assert_eq!(most_probable([0.5, 0.5].into_iter()), Some(0));
        assert_eq!(most_probable([f64::NAN; 3].into_iter()), None);
        assert_eq!(most_probable([0.5, f64::NAN].into_iter()), None);
    }
}
