//! What a backend author implements, and what backends share.

pub(crate) mod chain;
pub(crate) mod estimator;
pub(crate) mod kept;
pub(crate) mod kit;
pub(crate) mod layer;
pub(crate) mod model;
pub(crate) mod notes;
pub(crate) mod pipeline;
pub(crate) mod registry;
pub(crate) mod shared;
