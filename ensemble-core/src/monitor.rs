//! Progress and cancellation: a trait the caller implements.

/// What the engine tells its caller as it goes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A layer starts: its number and how many steps will be told.
    Layer {
        /// From 0; the meta-learner's is the last.
        layer: usize,
        /// Steps to come: one for the pass of statistics, one for each learner's fit without each fold and on all rows, and one for
        /// each fold's predictions of learners that are fitted from statistics. A few more come when sums must be made again.
        steps: usize,
    },
    /// A step ended: a fit, with its fold's predictions where they are made at once, or the predictions of a fold.
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
