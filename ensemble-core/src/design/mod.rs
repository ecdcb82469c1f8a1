//! Ways of splitting rows.

pub(crate) mod kfold;
