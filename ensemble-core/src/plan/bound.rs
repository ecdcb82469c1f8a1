//! Bytes and mappings that a plan must keep to.

use crate::{
    data::{rows::Rows, table::Table},
    error::{ErrorKind, Result},
};

/// The bytes that a plan must keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// None; training sets that are gathered follow each other.
    None,
    /// The caller's budget.
    Budget(u64),
    /// The memory there is.
    Available(u64),
}

impl Bound {
    pub(crate) fn get(self) -> Option<u64> {
        match self {
            Bound::None => None,
            Bound::Budget(bytes) | Bound::Available(bytes) => Some(bytes),
        }
    }

    /// # Errors
    /// When `need` is more than this.
    pub(crate) fn check(self, need: u64, what: impl FnOnce() -> String) -> Result<()> {
        match self {
            Bound::Budget(budget) if need > budget => {
                Err(ErrorKind::Budget { what: what(), need, budget }.into())
            }
            Bound::Available(available) if need > available => {
                Err(ErrorKind::Memory { what: what(), need, available }.into())
            }
            _ => Ok(()),
        }
    }
}

/// A sum of declared bytes, the greatest number where they are more.
pub(crate) fn sum(bytes: impl IntoIterator<Item = u64>) -> u64 {
    bytes.into_iter().fold(0, u64::saturating_add)
}

/// What a contiguous view over pages put side by side takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ViewCost {
    /// Bytes copied.
    pub(crate) bytes: u64,
    /// Mappings of the process.
    pub(crate) mappings: u64,
}

/// What a contiguous view of some rows would take; `None` where there is none.
pub(crate) type ContiguousCost<'a> = Box<dyn Fn(&Rows) -> Option<ViewCost> + 'a>;

pub(crate) fn view_cost<'a>(table: &'a dyn Table) -> ContiguousCost<'a> {
    Box::new(move |rows: &Rows| {
        let bytes = table.contiguous_cost(rows)?;
        Some(ViewCost { bytes, mappings: table.contiguous_mappings(rows) })
    })
}
