//! smartcore's learners and transformers behind the traits of `ensemble`.
//!
//! They are handed the mapped table itself, see [`SharedMatrix`], and every fit says beforehand what smartcore will allocate.
#![deny(unsafe_code)]

mod shared_matrix;

pub use shared_matrix::SharedMatrix;
