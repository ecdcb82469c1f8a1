//! A progress bar on standard error, for people.

use std::io::IsTerminal;

use ensemble::{Event, Monitor};
use indicatif::{ProgressBar, ProgressStyle};

/// Draws a bar per layer when standard error is a terminal.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar, or nothing when nobody would see it.
    pub(crate) fn new(wanted: bool) -> Self {
        if !(wanted && std::io::stderr().is_terminal()) {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg} {elapsed}");
        Self(ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Take it away.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Monitor for Bar {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Layer { layer, steps } => {
                self.0.set_prefix(format!("layer {layer}"));
                self.0.set_length(steps as u64);
                self.0.set_position(0);
            }
            Event::Step { what, .. } => {
                self.0.set_message(what.to_owned());
                self.0.inc(1);
            }
            _ => {}
        }
    }
}
