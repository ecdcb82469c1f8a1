//! A learner of the same line that is fitted from merged sums.

use std::sync::Arc;

use ensemble_core::{
    Access, Affine, AffineShape, Block, Estimator, FitContext, FitCost, Fitted, LinearModel, MergeFit, Model,
    Result, Shape, Statistic, StatisticContext, StatisticKey, Statistics, Train, fit_by_merging, same_type,
};

use crate::learners::Fault;

const COLUMN: usize = 3;
const SUMS: StatisticKey = StatisticKey::new("test_sums");

/// Sums of one column, the target and their products.
#[derive(Clone)]
struct Sums {
    fault: Fault,
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Sums {
    fn new(fault: Fault) -> Self {
        Self { fault, n: 0.0, x: 0.0, y: 0.0, xx: 0.0, xy: 0.0 }
    }
}

impl Statistic for Sums {
    fn key(&self) -> StatisticKey {
        SUMS
    }

    fn empty(&self) -> Box<dyn Statistic> {
        Box::new(Self::new(self.fault))
    }

    fn duplicate(&self) -> Box<dyn Statistic> {
        Box::new(self.clone())
    }

    fn absorb(&mut self, block: &Block<'_>) -> Result<()> {
        // A row is lost where blocks start within a fold that does not start at one.
        let first = usize::from(self.fault == Fault::MergesLess && !block.first_row.is_multiple_of(1024));
        for (row, y) in block.y.iter().enumerate().skip(first) {
            let x = block.x.get(row, COLUMN);
            self.n += 1.0;
            self.x += x;
            self.y += y;
            self.xx += x * x;
            self.xy += x * y;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Statistic) -> Result<()> {
        let other = same_type::<Self>(other)?;
        self.n += other.n;
        self.x += other.x;
        self.y += other.y;
        self.xx += other.xx;
        self.xy += other.xy;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        size_of::<Self>() as u64
    }

    fn is_finite(&self) -> Option<bool> {
        None
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::Diagonal)
    }

    fn affine(&self, map: &Affine) -> Result<Box<dyn Statistic>> {
        let shift = if self.fault == Fault::ForgetsTheShift { 0.0 } else { map.shift()[COLUMN] };
        let scale = map.a(COLUMN, COLUMN);
        Ok(Box::new(Self {
            x: scale * (self.x - self.n * shift),
            xx: scale * scale * (self.xx - 2.0 * shift * self.x + self.n * shift * shift),
            xy: scale * (self.xy - shift * self.y),
            ..*self
        }))
    }
}

pub(crate) struct MergedLine {
    pub(crate) fault: Fault,
}

impl Estimator for MergedLine {
    fn kind(&self) -> String {
        "test.merged_line".into()
    }

    fn access(&self) -> Access {
        Access::Merge
    }

    fn cost(&self, train: Shape) -> FitCost {
        let model_bytes = (8 * train.ncols + size_of::<LinearModel>()) as u64;
        // Two runs may share one block, which is packed.
        FitCost { peak_bytes: 1024 * 8 * (train.ncols as u64 + 1), model_bytes }
    }

    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        train.check_finite()?;
        fit_by_merging(self, train, cx)
    }

    fn as_merge(&self) -> Option<&dyn MergeFit> {
        Some(self)
    }

    fn is_linear(&self) -> bool {
        true
    }
}

impl MergeFit for MergedLine {
    fn statistics(&self, _: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(vec![Box::new(Sums::new(self.fault))])
    }

    fn affine_support(&self) -> Option<AffineShape> {
        Some(AffineShape::Diagonal)
    }

    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        let Sums { n, x, y, xx, xy, .. } = *statistics.get::<Sums>(&SUMS)?.as_ref();
        let spread = xx - x * x / n;
        let slope = if spread.abs() <= 1e-12 * xx { 0.0 } else { (xy - x * y / n) / spread };
        let mut coefficients = vec![0.0; 8];
        coefficients[COLUMN] = slope;
        Ok(Fitted::Model(Arc::new(LinearModel::new("test.merged_line", coefficients, (y - slope * x) / n))))
    }
}
