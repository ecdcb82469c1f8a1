//! Carries out a plan.

mod blocks;
mod clock;
mod drive;
mod layer;
mod merging;
pub(crate) mod notes;
mod predict;
pub(crate) mod report;
mod rows;
pub(crate) mod run;
mod scan;
pub(crate) mod score;
mod scoring;
mod source;
mod view;
