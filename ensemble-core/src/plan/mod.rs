//! What a fit will do, decided before anything runs. The engine follows the plan; it decides nothing itself.

pub(crate) mod admission;
pub(crate) mod bound;
pub(crate) mod check;
pub(crate) mod explain;
pub(crate) mod job;
pub(crate) mod layer;
pub(crate) mod lower;
pub(crate) mod lowering;
pub(crate) mod models;
pub(crate) mod one_layer;
pub(crate) mod predictions;
pub(crate) mod resource;
#[cfg(test)]
mod tests;
pub(crate) mod view;
