//! What backends share.

pub(crate) mod classes;
pub mod distance;
pub(crate) mod norm;
pub(crate) mod on_stack;
pub mod parameter;
pub(crate) mod root;
