//! Classes that the training rows have, among those of the whole target: linfa gets compact codes, predictions all columns.

use std::sync::Arc;

use ensemble_core::{ConstantModel, FitContext, Model, Record, Result, Train, class_counts};

use crate::view::{as_values, counts};

/// Which classes of the whole target are among the training rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Present {
    n_classes: usize,
    classes: Vec<usize>,
    /// Rows of each present class.
    rows: Vec<u64>,
}

/// What a classifier starts from.
pub(crate) enum Seen {
    /// One class: nothing is left to learn.
    One(Arc<dyn Model>),
    /// Two or more.
    Many(Present),
}

impl Present {
    /// Check that the training rows are finite, and count their classes.
    pub(crate) fn of(train: &Train<'_>, cx: &FitContext<'_>) -> Result<Seen> {
        train.check_finite()?;
        let counts = class_counts(train, cx)?;
        let classes: Vec<usize> = (0..counts.len()).filter(|c| counts[*c] > 0).collect();
        if let [class] = classes[..] {
            let certain = ConstantModel::certain(train.x().ncols(), class, counts.len());
            return Ok(Seen::One(Arc::new(certain)));
        }
        let rows = classes.iter().map(|c| counts[*c]).collect();
        Ok(Seen::Many(Self { n_classes: counts.len(), classes, rows }))
    }

    /// Number of classes of the whole target.
    pub(crate) fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Number of present classes.
    pub(crate) fn len(&self) -> usize {
        self.classes.len()
    }

    /// The class with a code.
    pub(crate) fn class(&self, code: usize) -> usize {
        self.classes[code]
    }

    /// Training rows of each present class; empty for a loaded model.
    pub(crate) fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// Codes of a target's class numbers, 0 to `len`, in any order of rows.
    pub(crate) fn codes<'a>(&'a self, y: impl Iterator<Item = f64> + 'a) -> impl Iterator<Item = usize> + 'a {
        let mut code_of = vec![0; self.n_classes];
        self.classes.iter().enumerate().for_each(|(code, class)| code_of[*class] = code);
        y.map(move |v| code_of[v as usize])
    }

    /// Probabilities by code as probabilities by class.
    pub(crate) fn spread(&self, codes: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        self.classes.iter().zip(codes).for_each(|(class, value)| out[*class] = *value);
    }

    /// Into a record.
    pub(crate) fn save(&self, record: Record) -> Record {
        record.with_field("n_classes", self.n_classes as u64).with_array(
            "classes",
            &[self.classes.len()],
            as_values(&self.classes),
        )
    }

    /// From a record.
    pub(crate) fn load(record: &Record) -> Result<Self> {
        let (n_classes, classes) = (record.count("n_classes")?, counts(record, "classes")?);
        if !classes.is_sorted_by(|a, b| a < b) || classes.last().is_some_and(|c| *c >= n_classes) {
            return Err(ensemble_core::Error::spec(
                record.kind(),
                "classes of a saved model are out of order",
            ));
        }
        Ok(Self { n_classes, classes, rows: Vec::new() })
    }
}

/// Logarithms of weights as shares of 1, in place, without overflow.
pub(crate) fn softmax(logs: &mut [f64]) {
    let most = logs.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
    let mut sum = 0.0;
    for v in logs.iter_mut() {
        *v = (*v - most).exp();
        sum += *v;
    }
    logs.iter_mut().for_each(|v| *v /= sum);
}
