//! Progress on standard error, for people: a bar at a terminal, a line now and then at a pipe or in a file.

use std::{
    io::{IsTerminal, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ensemble::{Event, Monitor, quoted};
use indicatif::{ProgressBar, ProgressStyle};

/// How often the bar's clock moves.
const TICK: Duration = Duration::from_millis(200);
/// A pipe hears nothing of fits that end before this, and then no more often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Draws a bar per layer when standard error is a terminal, and writes lines elsewhere.
pub(crate) struct Bar {
    bar: ProgressBar,
    done: Arc<AtomicBool>,
    lines: Option<Mutex<Lines>>,
}

/// What was said so far where no bar can be drawn.
struct Lines {
    start: Instant,
    next: Duration,
    layer: usize,
    steps: usize,
    step: usize,
}

impl Lines {
    /// The line to write after a step, when it is time for one.
    fn line(&mut self, elapsed: Duration, what: &str) -> Option<String> {
        if elapsed < self.next {
            return None;
        }
        // The longer it runs, the less is news.
        self.next = elapsed + LINE_EVERY.max(elapsed / 4);
        let (layer, step, steps) = (self.layer, self.step, self.steps.max(self.step));
        Some(format!(
            "ensemble: layer {layer}: step {step} of {steps} ({what}) after {} s",
            elapsed.as_secs()
        ))
    }
}

impl Bar {
    /// A bar or lines, or nothing when nobody wants them.
    pub(crate) fn new(wanted: bool) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let terminal = std::io::stderr().is_terminal();
        if !(wanted && terminal) {
            let lines = Lines { start: Instant::now(), next: LINE_EVERY, layer: 0, steps: 0, step: 0 };
            return Self { bar: ProgressBar::hidden(), done, lines: wanted.then(|| Mutex::new(lines)) };
        }
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {elapsed} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::no_length().with_style(style);
        // The clock shows that a long step is no standstill; without a thread for it, the bar moves by steps alone.
        let (ticked, stop) = (bar.clone(), Arc::clone(&done));
        let clock = std::thread::Builder::new().name("progress".into()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                ticked.tick();
                std::thread::sleep(TICK);
            }
        });
        drop(clock);
        Self { bar, done, lines: None }
    }

    /// Take it away.
    pub(crate) fn finish(&self) {
        self.done.store(true, Ordering::Relaxed);
        self.bar.finish_and_clear();
    }
}

/// What a step did, in a few words.
fn words(what: &str, fold: Option<usize>) -> String {
    match fold {
        Some(fold) => format!("{}, fold {fold}", quoted(what)),
        None => quoted(what),
    }
}

impl Monitor for Bar {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Layer { layer, steps } => {
                self.bar.set_prefix(format!("layer {layer}"));
                self.bar.set_length(steps as u64);
                self.bar.set_position(0);
                if let Some(lines) = &self.lines {
                    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                    (lines.layer, lines.steps, lines.step) = (layer, steps, 0);
                }
            }
            Event::Step { what, fold, .. } => {
                self.bar.set_message(words(what, fold));
                self.bar.inc(1);
                if let Some(lines) = &self.lines {
                    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                    lines.step += 1;
                    let elapsed = lines.start.elapsed();
                    if let Some(line) = lines.line(elapsed, &words(what, fold)) {
                        // Nobody may be reading there, and that is no error.
                        let _ = writeln!(std::io::stderr().lock(), "{line}");
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_hears_of_long_fits_now_and_then() {
        let mut lines = Lines { start: Instant::now(), next: LINE_EVERY, layer: 1, steps: 80, step: 12 };
        let mut said = Vec::new();
        for second in 0..400 {
            said.extend(lines.line(Duration::from_secs(second), &words("near5", Some(3))));
        }
        assert!((8..30).contains(&said.len()), "{said:?}");
        assert_eq!(said[0], "ensemble: layer 1: step 12 of 80 (near5, fold 3) after 10 s");
    }
}
