#![forbid(unsafe_code)]
//! Contracts and engine of `ensemble`.
mod affine;
mod classes;
mod columns;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod distance;
mod engine;
mod ensemble;
mod error;
mod estimator;
pub mod file;
mod fold;
mod friedman;
mod gather;
mod gram;
mod kept;
mod ledger;
mod mat;
mod memory;
mod model;
mod moments;
mod monitor;
mod noise;
mod norm;
mod notes;
pub mod notice;
pub mod parameter;
mod pipeline;
mod plan;
mod quote;
mod record;
mod registry;
mod root;
mod rows;
mod score;
mod stack;
mod statistic;
mod table;
mod threads;

pub use affine::{Affine, AffineShape};
pub use classes::{Classes, ConstantModel, Label, MAX_CLASSES, PresentClasses, class_counts, softmax};
pub use columns::{COLUMN_MOMENTS, ColumnMoments, EXTREMA, Extrema};
pub use ensemble::{
    Categories, FittedEnsemble, FittedLearner, Layer, Learner, LearnerReport, MemoryBudget, Report,
    SuperLearner,
};
pub use error::{Error, ErrorKind, GREATEST, Result};
pub use estimator::{
    Access, Estimator, FitContext, FitCost, Fitted, FittedTransform, MergeFit, MergeTransform, MissingValues,
    Predicts, Train, Transformer, check_query_magnitudes, fit_by_merging, fit_transform_by_merging,
    statistics_of,
};
pub use fold::{Folds, KFold};
pub use friedman::Friedman1;
pub use gather::{GatherFor, gather};
pub use kept::KeptRows;
pub use ledger::{Bytes, Ledger, Totals, Work, WorkKind};
pub use mat::{MatMut, MatRef, Order, Shape};
pub use model::{LinearForm, LinearModel, Model, check_predicted, check_prediction, predict_linear};
pub use moments::{MOMENTS, Moments};
pub use monitor::{Event, Monitor, Silent};
pub use noise::Noise;
pub use norm::{Norm, RowScaler};
pub use notes::{Convergence, FitConvergence, Note, NoteKind};
pub use pipeline::{Pipeline, PipelineModel};
pub use plan::Plan;
pub use quote::{quoted, quoted_list};
pub use record::{Array, Record};
pub use registry::{Built, Kind, Loaded, Loader, Parameter, Params, Registry, TableOpener};
pub use root::{Root, elastic_net_gap};
pub use rows::{FoldView, Rows};
pub use score::{ClassScores, Scores};
pub use stack::on_stack;
pub use statistic::{
    BLOCK_ROWS, Block, Statistic, StatisticContext, StatisticKey, Statistics, complements, minimal_requests,
    same_type,
};
pub use table::{ContiguousView, DenseTable, Heap, Scratch, ScratchMatrix, Table, TableReference};
pub use threads::start_threads;
