//! Seconds of a job, without those of others that its thread took on.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

thread_local! {
    /// Time that clocked jobs took on this thread while another one was under way.
    static TAKEN_ON: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Run a job; its seconds, without those of other clocked jobs that its thread took on while it waited for a part of the job.
pub(crate) fn clocked<T>(job: impl FnOnce() -> T) -> (T, f64) {
    let before = TAKEN_ON.replace(Duration::ZERO);
    let start = Instant::now();
    let done = job();
    let whole = start.elapsed();
    let others = TAKEN_ON.replace(before + whole);
    (done, whole.saturating_sub(others).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_stands_while_its_thread_takes_on_other_clocked_work() {
        let rest = |millis| std::thread::sleep(Duration::from_millis(millis));
        let start = Instant::now();
        let ((first, second), own) = clocked(|| {
            rest(1);
            (clocked(|| rest(20)).1, clocked(|| rest(20)).1)
        });
        let all = start.elapsed().as_secs_f64();
        assert!(first >= 0.02 && second >= 0.02 && own >= 0.001, "{first} {second} {own}");
        assert!(first + second + own <= all, "{first} {second} {own} {all}");
        // What is over is forgotten.
        let ((), own) = clocked(|| rest(5));
        assert!(own >= 0.005, "{own}");
    }
}
