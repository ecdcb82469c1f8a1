//! One file per way of splitting.

pub(crate) mod blend;
pub(crate) mod given;
pub(crate) mod group;
pub(crate) mod kfold;
pub(crate) mod none;
pub(crate) mod stratified;

#[cfg(test)]
mod fixtures;
