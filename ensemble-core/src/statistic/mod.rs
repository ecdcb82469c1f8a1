//! Statistics that merge, and the algebra of affine maps on them.

pub(crate) mod affine;
pub(crate) mod columns;
pub(crate) mod gram;
pub(crate) mod linear;
pub(crate) mod merge_plan;
pub(crate) mod moments;
pub(crate) mod noise;
pub(crate) mod state;
pub(crate) mod tree;
