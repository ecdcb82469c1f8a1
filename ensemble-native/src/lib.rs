#![forbid(unsafe_code)]
//! Learners and transformers whose fits merge.
