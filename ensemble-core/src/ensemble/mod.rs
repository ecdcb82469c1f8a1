//! What a user composes, fits and predicts with.

pub(crate) mod builder;
