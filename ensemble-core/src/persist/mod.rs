//! Models as files.

pub mod file;
pub(crate) mod record;
