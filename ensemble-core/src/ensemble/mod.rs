//! What a user composes, fits and predicts with.

pub(crate) mod alone;
pub(crate) mod builder;
pub(crate) mod fitted;
pub(crate) mod saved;
pub(crate) mod verify;
