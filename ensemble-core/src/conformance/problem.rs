//! The tables that checks run on: made from fixed streams of numbers, the same on every machine.

use std::{ops::Range, sync::Arc};

use super::{
    Place,
    capabilities::{Capabilities, Values},
};
use crate::{
    data::{
        friedman::Friedman1,
        mat::{MatRef, Order},
        rows::Rows,
        table::Table,
    },
    error::Result,
};

/// Rows of a page of float64, of the usual page size.
const PAGE_ROWS: usize = 512;

/// Rows and targets, in C order.
#[derive(Clone)]
pub(crate) struct Problem {
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    pub(crate) ncols: usize,
    /// Classes of the target, when it holds class numbers.
    pub(crate) n_classes: Option<usize>,
}

/// A problem in a place.
#[derive(Clone)]
pub(crate) struct Tables {
    pub(crate) x: Arc<dyn Table>,
    pub(crate) y: Arc<dyn Table>,
    pub(crate) n_classes: Option<usize>,
}

impl Problem {
    /// Rows `rows` of the Friedman #1 problem. With fewer than five columns, those that matter most come first.
    pub(crate) fn numbers(rows: Range<usize>, capabilities: &Capabilities) -> Self {
        const MATTER: [usize; 5] = [3, 4, 0, 1, 2];
        let p = capabilities.ncols;
        let (uniform, mut y) = uniform(20_171, rows, p.max(5), 1.0);
        let mut x = Vec::with_capacity(y.len() * p);
        for row in uniform.chunks_exact(p.max(5)) {
            x.extend((0..p).map(|j| {
                let value = row[if p < 5 { MATTER[j] } else { j }];
                match capabilities.values {
                    Values::Real => value - 0.5,
                    Values::Positive => value + 0.01,
                    Values::Counts => (10.0 * value).floor(),
                }
            }));
        }
        if capabilities.positive_target {
            y.iter_mut().for_each(|y| *y = y.abs() + 0.5);
        }
        Self { x, y, ncols: p, n_classes: None }
    }

    /// Rows `rows` of `k` classes that lie apart in every column, in random order.
    pub(crate) fn classes(rows: Range<usize>, k: usize, capabilities: &Capabilities) -> Self {
        let p = capabilities.ncols;
        let (uniform, _) = uniform(7, rows, p.max(5) + 1, 0.0);
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for row in uniform.chunks_exact(p.max(5) + 1) {
            let class = (row[p.max(5)] * k as f64) as usize;
            x.extend((0..p).map(|j| {
                let value = 4.0 * ((class + j) % k) as f64 + 2.0 * row[j];
                match capabilities.values {
                    Values::Real => value - (2 * k - 1) as f64,
                    Values::Positive => value + 0.01,
                    Values::Counts => value.floor(),
                }
            }));
            y.push(class as f64);
        }
        Self { x, y, ncols: p, n_classes: Some(k) }
    }

    pub(crate) fn nrows(&self) -> usize {
        self.y.len()
    }

    pub(crate) fn mat(&self) -> MatRef<'_> {
        MatRef::new(&self.x, self.nrows(), self.ncols, Order::C).expect("made to fit")
    }

    /// The values of x in this order.
    pub(crate) fn values(&self, order: Order) -> Vec<f64> {
        match order {
            Order::C => self.x.clone(),
            Order::F => {
                let at = |i: usize| self.x[i % self.nrows() * self.ncols + i / self.nrows()];
                (0..self.x.len()).map(at).collect()
            }
        }
    }

    /// The rows for which `keep` says so, by number and target.
    pub(crate) fn only(&self, keep: impl Fn(usize, f64) -> bool) -> Self {
        let kept: Vec<usize> = (0..self.nrows()).filter(|r| keep(*r, self.y[*r])).collect();
        let row = |r: usize| self.x[r * self.ncols..(r + 1) * self.ncols].iter().copied();
        Self {
            x: kept.iter().flat_map(|r| row(*r)).collect(),
            y: kept.iter().map(|r| self.y[*r]).collect(),
            ..*self
        }
    }

    /// With other values of x, by row and column.
    pub(crate) fn with_x(mut self, value: impl Fn(usize, usize, f64) -> f64) -> Self {
        let p = self.ncols;
        self.x.iter_mut().enumerate().for_each(|(i, v)| *v = value(i / p, i % p, *v));
        self
    }

    /// With other targets, by row.
    pub(crate) fn with_y(mut self, value: impl Fn(usize, f64) -> f64) -> Self {
        self.y.iter_mut().enumerate().for_each(|(i, v)| *v = value(i, *v));
        self
    }

    /// As tables of a place, x in this order.
    pub(crate) fn tables(&self, place: &dyn Place, order: Order) -> Result<Tables> {
        let values = self.values(order);
        Ok(Tables {
            x: place.table(MatRef::new(&values, self.nrows(), self.ncols, order)?)?,
            y: place.table(MatRef::column_vector(&self.y))?,
            n_classes: self.n_classes,
        })
    }

    /// Rows in the middle to hold out: whole pages where there are enough rows.
    pub(crate) fn middle(&self) -> Range<usize> {
        let n = self.nrows();
        if self.has_pages() {
            let size = (n / 3 / PAGE_ROWS).max(1) * PAGE_ROWS;
            size..2 * size
        } else {
            n / 3..2 * n / 3
        }
    }

    /// Whether three folds of whole pages can be made.
    pub(crate) fn has_pages(&self) -> bool {
        self.nrows() >= 3 * PAGE_ROWS
    }

    /// All rows but the middle ones: two runs.
    pub(crate) fn around(&self) -> Rows {
        Rows::all_but(self.nrows(), self.middle()).expect("inside")
    }
}

fn uniform(seed: u64, rows: Range<usize>, ncols: usize, noise: f64) -> (Vec<f64>, Vec<f64>) {
    let (mut x, mut y) = (vec![0.0; rows.len() * ncols], vec![0.0; rows.len()]);
    let problem = Friedman1::new(seed, ncols, noise).expect("five columns and a finite noise");
    problem.rows_into(rows.start, &mut x, &mut y);
    (x, y)
}
