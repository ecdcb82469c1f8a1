//! Reading scikit-learn's results, and fitting from the statistics of ranges of rows.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::disallowed_methods)]

use std::{fs, ops::Range, path::PathBuf, sync::Arc};

use ensemble_core::{
    BLOCK_ROWS, Block, Estimator, Fitted, MatMut, MatRef, Model, Order, Statistic, StatisticContext,
    Statistics, complements,
};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The shape and values of a version 1 `.npy` file of little-endian float64 in C order.
pub fn npy(name: &str) -> (Vec<usize>, Vec<f64>) {
    let bytes = fs::read(data(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{name}");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).expect("an ASCII header");
    assert!(header.contains("'<f8'") && header.contains("'fortran_order': False"), "{name}: {header}");
    let inside = header.split('(').nth(1).and_then(|s| s.split(')').next()).expect("a shape");
    let shape: Vec<usize> = inside.split(',').filter_map(|s| s.trim().parse().ok()).collect();
    let values: Vec<f64> =
        bytes[end..].chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes"))).collect();
    assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
    (shape, values)
}

/// `reference.json`.
pub fn reference() -> serde_json::Value {
    serde_json::from_slice(&fs::read(data("reference.json")).expect("the file")).expect("JSON")
}

/// The numbers of a JSON array.
pub fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// Rows and targets.
pub struct Problem {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub p: usize,
}

impl Problem {
    pub fn rows(&self, rows: Range<usize>) -> MatRef<'_> {
        MatRef::new(&self.x[rows.start * self.p..rows.end * self.p], rows.len(), self.p, Order::C).unwrap()
    }

    /// States of `rows`, absorbed in blocks from the first of them.
    pub fn absorb(&self, prototypes: &[Box<dyn Statistic>], rows: Range<usize>) -> Statistics {
        let mut states: Vec<Box<dyn Statistic>> = prototypes.iter().map(|p| p.empty()).collect();
        for first in rows.clone().step_by(BLOCK_ROWS) {
            let block = first..(first + BLOCK_ROWS).min(rows.end);
            for state in &mut states {
                let mut fresh = state.empty();
                let (x, y) = (self.rows(block.clone()), &self.y[block.clone()]);
                fresh.absorb(&Block { x, y, first_row: first }).unwrap();
                state.merge(fresh.as_ref()).unwrap();
            }
        }
        Statistics::new(states.into_iter().map(Arc::from).collect())
    }

    /// Models on the complement of every fold, and on all rows last.
    pub fn fit_folds(&self, learner: &dyn Estimator, folds: &[Range<usize>]) -> Vec<Arc<dyn Model>> {
        let merge = learner.as_merge().expect("it merges");
        let absorb = |wanted: &[Box<dyn Statistic>]| {
            let states: Vec<Statistics> = folds.iter().map(|f| self.absorb(wanted, f.clone())).collect();
            let mut out = complements(&states).unwrap();
            if folds.len() == 1 {
                out = states;
            }
            out
        };
        let mut have = absorb(&merge.statistics(&StatisticContext::new(self.p)).unwrap());
        have.iter_mut()
            .enumerate()
            .map(|(at, s)| match merge.fit_from(s).unwrap() {
                Fitted::Model(model) => model,
                Fitted::Needs(more) => {
                    s.extend(&absorb(&more)[at]);
                    match merge.fit_from(s).unwrap() {
                        Fitted::Model(model) => model,
                        Fitted::Needs(_) => panic!("asked twice"),
                    }
                }
            })
            .collect()
    }

    /// The model on all rows.
    pub fn fit(&self, learner: &dyn Estimator) -> Arc<dyn Model> {
        self.fit_folds(learner, std::slice::from_ref(&(0..self.y.len()))).pop().expect("one model")
    }
}

/// Predictions for `x`.
pub fn predict(model: &dyn Model, x: MatRef<'_>) -> Vec<f64> {
    let mut out = vec![0.0; x.nrows()];
    model.predict_into(x, MatMut::column_vector(&mut out)).unwrap();
    out
}

/// Largest difference relative to the largest value wanted.
pub fn distance(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let size = want.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    got.iter().zip(want).fold(0.0, |m, (g, w)| f64::max(m, (g - w).abs() / size))
}
