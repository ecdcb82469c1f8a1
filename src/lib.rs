#![forbid(unsafe_code)]
//! Facade.
