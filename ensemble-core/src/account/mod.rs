//! What was copied and stored, and the memory there is.

pub(crate) mod budget;
pub(crate) mod ledger;
pub(crate) mod memory;
