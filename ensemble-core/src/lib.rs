#![forbid(unsafe_code)]
//! Contracts and engine of `ensemble`.
mod affine;
mod columns;
mod error;
mod estimator;
mod gram;
mod ledger;
mod mat;
mod model;
mod moments;
mod pipeline;
mod record;
mod registry;
mod rows;
mod statistic;
mod table;

pub use affine::{Affine, AffineShape};
pub use columns::{COLUMN_MOMENTS, ColumnMoments, EXTREMA, Extrema};
pub use error::{Error, ErrorKind, Result};
pub use estimator::{
    Access, Estimator, FitContext, FitCost, Fitted, FittedTransform, MergeFit, MergeTransform, Train,
    Transformer, fit_by_merging, fit_transform_by_merging,
};
pub use ledger::{Bytes, Ledger, Totals, Work, WorkKind};
pub use mat::{MatMut, MatRef, Order, Shape};
pub use model::{LinearForm, LinearModel, Model, check_prediction, predict_linear};
pub use moments::{MOMENTS, Moments};
pub use pipeline::{Pipeline, PipelineModel};
pub use record::{Array, Record};
pub use registry::{Built, Kind, Loaded, Loader, Parameter, Params, Registry};
pub use rows::{FoldView, Rows};
pub use statistic::{
    BLOCK_ROWS, Block, Statistic, StatisticContext, StatisticKey, Statistics, complements, minimal_requests,
    same_type,
};
pub use table::{ContiguousView, DenseTable, Heap, Scratch, ScratchMatrix, Table};
