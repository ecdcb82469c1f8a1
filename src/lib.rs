#![forbid(unsafe_code)]
//! Stacked ensembles over memory-mapped float64 tables, with no copy of the data for any number of folds.
//!
//! A [`SuperLearner`] fits layers of learners fold by fold and a meta-learner on their out-of-fold predictions. Learners whose
//! fits merge share one pass over the data, whatever the number of folds; others get runs of rows, or the file's pages put side
//! by side as one matrix. [`SuperLearner::plan`] says every pass and copy beforehand, and [`Report`] counts what was done.
//!
//! ```
//! # #[cfg(feature = "native")]
//! # fn main() -> ensemble::Result<()> {
//! use ensemble::{DenseTable, Friedman1, KFold, Layer, Order, SuperLearner};
//! use ensemble::native::{Lasso, LinearRegression, NonNegativeLeastSquares};
//!
//! let (mut x, mut y) = (vec![0.0; 2000 * 10], vec![0.0; 2000]);
//! Friedman1::new(1, 10, 1.0)?.rows_into(0, &mut x, &mut y);
//! let (x, y) = (DenseTable::new(x, 2000, 10, Order::C)?, DenseTable::column(y));
//!
//! let fitted = SuperLearner::new(KFold::new(5))
//!     .layer(Layer::new().learner("l1", Lasso::new(0.1)).learner("ols", LinearRegression::new()))
//!     .meta(NonNegativeLeastSquares::new())
//!     .fit(&x, &y)?;
//! assert_eq!(fitted.report().unwrap().totals.data_passes, 1);
//! assert_eq!(fitted.report().unwrap().totals.gathered_bytes, 0);
//! let predictions = fitted.predict(&x)?;
//! # assert_eq!(predictions.len(), 2000);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "native"))]
//! # fn main() {}
//! ```
//!
//! # Features
#![cfg_attr(feature = "native", doc = "- `native` (default): [`native`](crate::native),")]
#![cfg_attr(not(feature = "native"), doc = "- `native` (default): a module `native`,")]
//!   learners and scalers whose fits merge.
#![cfg_attr(feature = "memmap", doc = "- `memmap` (default): [`memmap`](crate::memmap),")]
#![cfg_attr(not(feature = "memmap"), doc = "- `memmap` (default): a module `memmap`,")]
//!   `.npy` and raw files read in place, spill files, rewired views.
#![cfg_attr(
    feature = "linfa-backend",
    doc = "- `linfa`: [`linfa`](crate::linfa), the learners and transformers of linfa;"
)]
#![cfg_attr(
    not(feature = "linfa-backend"),
    doc = "- `linfa`: a module `linfa`, the learners and transformers of linfa;"
)]
//!   `linfa-linear`, `linfa-elasticnet`, `linfa-logistic`, `linfa-trees`, `linfa-ensemble`, `linfa-svm`, `linfa-bayes`, `linfa-nn`,
//!   `linfa-preprocessing` and `linfa-reduction` bring those of one crate.
#![cfg_attr(feature = "smartcore", doc = "- `smartcore`: [`smartcore`](crate::smartcore),")]
#![cfg_attr(not(feature = "smartcore"), doc = "- `smartcore`: a module `smartcore`,")]
//!   the learners and transformers of smartcore.
//! - `lapack`: native linear algebra by the system's OpenBLAS.
#![cfg_attr(feature = "conformance", doc = "- `conformance`: [`conformance`](crate::conformance),")]
#![cfg_attr(not(feature = "conformance"), doc = "- `conformance`: a module `conformance`,")]
//!   the contract of backends as checks.
//! - `ndarray`: ndarray 0.17 views as matrices and back.

#[cfg(feature = "conformance")]
pub use ensemble_core::conformance;
pub use ensemble_core::{
    Access, Affine, AffineShape, Arrangement, Array, AsTable, AsTarget, AtomSet, Atoms, BLOCK_ROWS, Blend,
    Block, Built, Bytes, COLUMN_MOMENTS, Categories, Cell, CellId, ClassScores, Classes, ColumnMoments,
    ConstantModel, ContiguousView, Convergence, DenseTable, Design, DesignFacts, EXTREMA, Error, ErrorKind,
    Estimator, Event, Extrema, Fit, FitContext, FitConvergence, FitCost, Fitted, FittedEnsemble,
    FittedLearner, FittedModel, FittedTransform, Friedman1, GREATEST, GatherFor, GivenFolds, GroupKFold,
    Heap, InPlace, IsLearner, IsTransformer, KFold, KeptRows, Kind, Label, Layer, Learner, LearnerReport,
    Ledger, LinearForm, LinearModel, Loaded, Loader, MAX_CLASSES, MOMENTS, MatMut, MatRef, MemoryBudget,
    MergeFit, MergeTransform, MissingValues, Model, Moments, Monitor, NoSplit, Noise, Norm, Note, NoteKind,
    Order, Parameter, Params, Pipeline, PipelineModel, Plan, Predicts, PresentClasses, Record, Registry,
    Report, Result, Root, RowScaler, Rows, RowsView, Scheme, Scores, Scratch, ScratchMatrix, Shape, Silent,
    Statistic, StatisticContext, StatisticKey, Statistics, Step, StratifiedKFold, SuperLearner, Table,
    TableOpener, TableReference, Target, Totals, Train, Transformer, Transformers, Verification, Work,
    WorkKind, check_predicted, check_prediction, check_query_magnitudes, class_counts, complements, distance,
    edit_distance, elastic_net_gap, file, fit_by_merging, fit_transform_by_merging, gather, minimal_requests,
    on_stack, parameter, predict_linear, quoted, quoted_list, same_type, softmax, start_threads,
    statistics_of,
};
#[cfg(feature = "linfa-backend")]
#[doc(inline)]
pub use ensemble_linfa as linfa;
#[cfg(feature = "memmap")]
#[doc(inline)]
pub use ensemble_memmap as memmap;
#[cfg(feature = "native")]
#[doc(inline)]
pub use ensemble_native as native;
#[cfg(feature = "smartcore")]
#[doc(inline)]
pub use ensemble_smartcore as smartcore;

/// Every learner and transformer of the compiled-in backends, by name.
pub fn registry() -> Registry {
    #[allow(unused_mut)]
    let mut registry = Registry::new();
    #[cfg(feature = "memmap")]
    registry.open_tables_with(memmap::open_reference);
    #[cfg(feature = "native")]
    native::register(&mut registry);
    #[cfg(feature = "linfa-backend")]
    linfa::register(&mut registry);
    #[cfg(feature = "smartcore")]
    smartcore::register(&mut registry);
    registry
}
