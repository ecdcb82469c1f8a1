//! Linear maps of rows to numbers.

/// A borrowed linear model: y = intercept + coefficients' x.
#[derive(Clone, Copy, Debug)]
pub struct LinearForm<'a> {
    /// One per column.
    pub coefficients: &'a [f64],
    /// Added to every prediction.
    pub intercept: f64,
}
