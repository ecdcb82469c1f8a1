//! Ways of splitting rows: every one is a [`Design`], atoms and cells.
//!
//! Rows are cut into [`Atoms`], consecutive runs, so that every set a scheme asks for is a union of them. A [`Cell`] is one fit of every
//! learner. Nothing behind this module knows of folds.

pub(crate) mod arrangement;
pub(crate) mod atoms;
pub(crate) mod cell;
pub(crate) mod layout;
pub(crate) mod random;
pub(crate) mod scheme;
pub(crate) mod schemes;
