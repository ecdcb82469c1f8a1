#![deny(missing_docs)]
//! Mapped tables: `.npy` and raw float64 files read in place, folds put together without a copy, and matrices that live
//! in temporary files.
//!
//! - [`MappedTable`] reads a file through a shared, read-only mapping. The training rows of a fold, before and after the
//!   rows held out, become one ordinary matrix by mapping the file's pages a second time, side by side: one page per
//!   junction is copied, and nothing else.
//! - [`SpillDir`] gives matrices in unlinked temporary files, allocated before they are mapped, which become tables of
//!   the same kind.
//! - [`NpyWriter`] and [`save_npy`] write files that numpy loads and that map well: values start at byte 4096.
//! - [`answer_signals`] lets a program end with a sentence when a mapped file is cut short, and without temporary files.
//!
//! This is one of the few crates of the workspace where `unsafe` may stand; each block says why it holds.

#[cfg(target_endian = "big")]
compile_error!("ensemble-memmap reads little-endian float64 in place, so it needs a little-endian machine");
#[cfg(not(unix))]
compile_error!(
    "ensemble-memmap maps files through Unix system calls; build `ensemble` without the feature `memmap`"
);

mod allocate;
mod filesystem;
mod mapped;
mod npy;
#[cfg(feature = "conformance")]
mod place;
mod region;
mod rewire;
mod signals;
mod spill;
mod writer;

pub use mapped::{MappedTable, open_reference};
#[cfg(feature = "conformance")]
pub use place::MappedPlace;
pub use signals::answer_signals;
pub use spill::SpillDir;
pub use writer::{NpyWriter, save_npy};
