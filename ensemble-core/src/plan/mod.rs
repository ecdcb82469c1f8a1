//! What a fit will do, decided before anything runs.

pub(crate) mod lower;
