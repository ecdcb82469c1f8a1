#![deny(missing_docs)]
//! Mapped tables.
