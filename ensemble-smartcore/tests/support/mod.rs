//! Tables that tests fit on: two runs of rows around a hole, in either order, with or without gaps in memory.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;

use ensemble_core::{
    Estimator, FitContext, Heap, Ledger, MatMut, MatRef, Model, Order, Record, Registry, Result, Rows,
    RowsView, Train,
};
use smartcore::linalg::basic::matrix::DenseMatrix;

/// A number in 0..1 that looks random, from a counter.
pub fn noise(i: usize) -> f64 {
    let mut z = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// A table with targets, and the rows of it that are trained on.
pub struct Data {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub nrows: usize,
    pub ncols: usize,
    pub stride: usize,
    pub order: Order,
    pub rows: Rows,
}

impl Data {
    /// `value(row, column)` and `target(row's values, row)`.
    pub fn new(
        (nrows, ncols): (usize, usize),
        (order, gap): (Order, usize),
        rows: Rows,
        value: impl Fn(usize, usize) -> f64,
        target: impl Fn(&[f64], usize) -> f64,
    ) -> Self {
        let stride = gap + if order == Order::C { ncols } else { nrows };
        let mut x = vec![f64::NAN; stride * if order == Order::C { nrows } else { ncols }];
        let mut y = Vec::with_capacity(nrows);
        for r in 0..nrows {
            let row: Vec<f64> = (0..ncols).map(|c| value(r, c)).collect();
            for (c, v) in row.iter().enumerate() {
                x[if order == Order::C { r * stride + c } else { c * stride + r }] = *v;
            }
            y.push(target(&row, r));
        }
        Self { x, y, nrows, ncols, stride, order, rows }
    }

    /// A regression: noise in x, a curve and noise in y.
    pub fn regression(n: usize, p: usize, layout: (Order, usize), hole: std::ops::Range<usize>) -> Self {
        Self::new(
            (n, p),
            layout,
            Rows::all_but(n, hole).unwrap(),
            |r, c| (noise(r * p + c) - 0.3) * (1.0 + c as f64),
            |row, r| 3.0 * row[0] - row[p - 1] + (4.0 * row[p / 2]).sin() + 0.3 * noise(r + 7919) + 5.0,
        )
    }

    /// A classification of `k` classes that overlap.
    pub fn classes(
        n: usize,
        p: usize,
        k: usize,
        layout: (Order, usize),
        hole: std::ops::Range<usize>,
    ) -> Self {
        Self::new(
            (n, p),
            layout,
            Rows::all_but(n, hole).unwrap(),
            |r, c| noise(r * p + c) * 2.0 + if c == (r * 7 + r / 5) % k { 0.8 } else { 0.0 },
            |_, r| ((r * 7 + r / 5) % k) as f64,
        )
    }

    pub fn mat(&self) -> MatRef<'_> {
        MatRef::with_stride(&self.x, self.nrows, self.ncols, self.order, self.stride).unwrap()
    }

    pub fn train(&self) -> Train<'_> {
        let y = RowsView::new(MatRef::column_vector(&self.y), &self.rows).unwrap();
        Train::new(RowsView::new(self.mat(), &self.rows).unwrap(), y).unwrap()
    }

    /// The training rows and targets as smartcore's own types.
    pub fn dense(&self) -> (DenseMatrix<f64>, Vec<f64>) {
        let kept = (0..self.nrows).filter(|r| self.rows.contains(*r));
        let mat = self.mat();
        let values = kept.clone().flat_map(|r| (0..self.ncols).map(move |c| mat.get(r, c))).collect();
        let x = DenseMatrix::new(self.rows.len(), self.ncols, values, false).unwrap();
        (x, kept.map(|r| self.y[r]).collect())
    }

    /// All rows of the table as smartcore's own type.
    pub fn dense_all(&self) -> DenseMatrix<f64> {
        let mat = self.mat();
        let values = (0..self.nrows).flat_map(|r| (0..self.ncols).map(move |c| mat.get(r, c))).collect();
        DenseMatrix::new(self.nrows, self.ncols, values, false).unwrap()
    }
}

/// Layouts and holes: C and Fortran order, with and without gaps, one and two runs.
pub fn layouts(n: usize) -> Vec<((Order, usize), std::ops::Range<usize>)> {
    let mut all = Vec::new();
    for order in [Order::C, Order::F] {
        for gap in [0, 3] {
            for hole in [0..0, 0..n / 5, n / 3..n / 2] {
                all.push(((order, gap), hole));
            }
        }
    }
    all
}

pub fn fit(learner: &dyn Estimator, data: &Data, n_classes: Option<usize>) -> Result<Arc<dyn Model>> {
    let ledger = Ledger::default();
    let cx = FitContext { n_classes, seed: 11, ..FitContext::alone(&Heap, &ledger) };
    let before: Vec<u64> = data.x.iter().map(|v| v.to_bits()).collect();
    let model = learner.fit_rows(&data.train(), &cx);
    assert!(data.x.iter().map(|v| v.to_bits()).eq(before), "{} wrote to its input", learner.kind());
    model
}

/// Predictions, row by row in C order.
pub fn predict(model: &dyn Model, x: MatRef<'_>) -> Vec<f64> {
    let k = model.n_outputs();
    let mut out = vec![f64::NAN; x.nrows() * k];
    model.predict_into(x, MatMut::new(&mut out, x.nrows(), k, Order::C).unwrap()).unwrap();
    out
}

/// Save through a file, load, and compare predictions to the bit; and predictions in blocks with those of all rows at once.
pub fn check_model(model: &dyn Model, x: MatRef<'_>) {
    let mut registry = Registry::new();
    ensemble_smartcore::register(&mut registry);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m");
    model.to_record().unwrap().save(&path).unwrap();
    let back = registry.load_model(&Record::load(&path).unwrap()).unwrap();
    let bits = |v: Vec<f64>| v.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    let whole = bits(predict(model, x));
    assert_eq!(bits(predict(&*back, x)), whole, "loaded");
    let mut in_blocks = Vec::new();
    for block in x.row_blocks(7) {
        in_blocks.extend(bits(predict(model, block)));
    }
    assert_eq!(in_blocks, whole, "in blocks of 7");
    assert!(model.bytes() > 0 && model.n_inputs() == x.ncols());
}

/// That every row sums to 1 and no probability is negative.
pub fn check_probabilities(p: &[f64], k: usize) {
    for row in p.chunks(k) {
        assert!(row.iter().all(|v| (0.0..=1.0).contains(v)), "{row:?}");
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{row:?}");
    }
}

/// The class of the greatest probability, of equal ones the first.
pub fn decided(p: &[f64], k: usize) -> Vec<usize> {
    p.chunks(k).map(|row| (0..k).fold(0, |best, c| if row[c] > row[best] { c } else { best })).collect()
}
