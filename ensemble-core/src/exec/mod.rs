//! Carries out a plan.

pub(crate) mod notes;
pub(crate) mod run;
pub(crate) mod score;
