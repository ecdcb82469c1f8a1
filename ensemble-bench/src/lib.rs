#![forbid(unsafe_code)]
//! Memory experiments of `ensemble`, and what they are made of: a monitor of memory and CPU, charts, and tables to measure on.

mod chart;
mod monitor;
mod table;

pub use chart::{Axis, Figure, Panel, Series};
pub use monitor::{Cost, Mark, Monitor, Recording, Sample, Watch};
pub use table::{evict, friedman, warm};
