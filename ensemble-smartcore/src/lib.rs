//! smartcore behind the traits of `ensemble`.
use ensemble_core::Registry;

/// Offer all kinds of this crate, and load what they save.
pub fn register(_registry: &mut Registry) {}
