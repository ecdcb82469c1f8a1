//! Bounds on memory.

/// Bytes that the engine may hold at once: gathered rows, statistics, prediction columns, and what learners declare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryBudget(Option<u64>);

impl MemoryBudget {
    /// No bound but the memory there is: what Linux calls available, less where control groups or `RLIMIT_AS` leave less. A plan that is
    /// larger puts fits in turn, and is refused when that is not enough ([`ErrorKind::Memory`](crate::ErrorKind::Memory)). At most one gathered training set is in
    /// memory at a time.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// At most this many bytes, whatever the machine has. What cannot be kept to is refused by the plan, before anything runs.
    pub fn bytes(bytes: u64) -> Self {
        Self(Some(bytes))
    }

    /// The bound.
    pub fn get(self) -> Option<u64> {
        self.0
    }
}
