//! The workspace as its users see it: mapped files, native learners and the engine together.
#![allow(missing_docs, clippy::disallowed_methods)]

mod accounts;
mod api;
mod bits;
mod classes;
mod contiguous;
mod declared;
mod engine;
mod guards;
mod leakage;
mod plans;
mod references;
mod stacked;
mod support;
mod told;
