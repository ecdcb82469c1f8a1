#![forbid(unsafe_code)]
//! Contracts and engine of `ensemble`.
mod account;
#[cfg(feature = "conformance")]
pub mod conformance;
mod data;
mod design;
mod ensemble;
mod error;
mod exec;
mod learner;
mod monitor;
pub mod notice;
mod persist;
mod plan;
mod quote;
mod statistic;
mod threads;

pub use learner::kit::{distance, parameter};
pub use persist::file;

pub use account::budget::MemoryBudget;
pub use account::ledger::{Bytes, Ledger, Totals, Work, WorkKind};
pub use data::as_table::{AsTable, AsTarget, InPlace, Target};
pub use data::classes::{Classes, Label, MAX_CLASSES};
pub use data::friedman::Friedman1;
pub use data::gather::{GatherFor, gather};
pub use data::mat::{MatMut, MatRef, Order, Shape};
pub use data::rows::{Rows, RowsView};
pub use data::table::{ContiguousView, DenseTable, Heap, Scratch, ScratchMatrix, Table, TableReference};
pub use design::{
    arrangement::Arrangement,
    atoms::{AtomSet, Atoms},
    cell::{Cell, CellId},
    layout::Design,
    scheme::{DesignFacts, Scheme},
    schemes::{
        blend::Blend, given::GivenFolds, group::GroupKFold, kfold::KFold, none::NoSplit,
        stratified::StratifiedKFold,
    },
};
pub use ensemble::{
    alone::{Fit, FittedModel},
    builder::SuperLearner,
    fitted::{Categories, FittedEnsemble},
    verify::Verification,
};
pub use error::{Error, ErrorKind, GREATEST, Result};
pub use exec::notes::{FitConvergence, Note, NoteKind};
pub use exec::report::{LearnerReport, Report};
pub use exec::score::{ClassScores, Scores};
pub use learner::chain::{IsLearner, IsTransformer, Transformers};
pub use learner::estimator::{
    Access, Estimator, FitContext, FitCost, Fitted, FittedTransform, MergeFit, MergeTransform, MissingValues,
    Predicts, Step, Train, Transformer, check_query_magnitudes, fit_by_merging, fit_transform_by_merging,
    statistics_of,
};
pub use learner::kept::KeptRows;
pub use learner::kit::classes::{ConstantModel, PresentClasses, class_counts, softmax};
pub use learner::kit::norm::{Norm, RowScaler};
pub use learner::kit::on_stack::on_stack;
pub use learner::kit::root::{Root, elastic_net_gap};
pub use learner::layer::{FittedLearner, Layer, Learner};
pub use learner::model::{LinearModel, Model, check_predicted, check_prediction, predict_linear};
pub use learner::notes::Convergence;
pub use learner::pipeline::{Pipeline, PipelineModel};
pub use learner::registry::{Built, Kind, Loaded, Loader, Parameter, Params, Registry, TableOpener};
pub use monitor::{Event, Monitor, Silent};
pub use persist::record::{Array, Record};
pub use plan::layer::Plan;
pub use quote::{edit_distance, quoted, quoted_list};
pub use statistic::affine::{Affine, AffineShape};
pub use statistic::columns::{COLUMN_MOMENTS, ColumnMoments, EXTREMA, Extrema};
pub use statistic::linear::LinearForm;
pub use statistic::merge_plan::complements;
pub use statistic::moments::{MOMENTS, Moments};
pub use statistic::noise::Noise;
pub use statistic::state::{
    BLOCK_ROWS, Block, Statistic, StatisticContext, StatisticKey, Statistics, minimal_requests, same_type,
};
pub use threads::start_threads;
