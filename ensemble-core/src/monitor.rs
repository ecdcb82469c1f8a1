//! Progress and cancellation: a trait the caller implements.

/// What the engine tells its caller as it goes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A layer starts: its number and how many steps will be told.
    Layer {
        /// From 0; the meta-learner's is the last.
        layer: usize,
        /// Steps to come.
        steps: usize,
    },
    /// A step ended.
    Step {
        /// The layer.
        layer: usize,
        /// The learner, or what else was done.
        what: &'a str,
        /// The fold held out; `None` for all rows.
        fold: Option<usize>,
    },
}

/// Hears of progress and may stop the fit. Called from any thread, between jobs, never within a loop over rows.
pub trait Monitor: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>) {
        let _ = event;
    }

    /// Whether to stop; the fit then ends with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Hears nothing, stops nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {}
