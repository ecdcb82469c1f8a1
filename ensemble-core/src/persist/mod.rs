//! Models as files.

pub mod file;
pub(crate) mod place;
pub(crate) mod record;
pub(crate) mod stamp;
