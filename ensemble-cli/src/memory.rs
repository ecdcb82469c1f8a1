//! The process's anonymous memory, sampled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Anonymous resident bytes as /proc tells them; `None` elsewhere.
fn anonymous() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Samples until it is asked for the peak.
pub(crate) struct Sampler {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Start. One read of a small file every 2 ms. Where the system refuses a thread, there is no figure.
    pub(crate) fn start() -> Self {
        let (peak, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let sample = {
            let (peak, stop) = (Arc::clone(&peak), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    peak.fetch_max(anonymous().unwrap_or(0), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        };
        let thread = anonymous().and_then(|_| std::thread::Builder::new().spawn(sample).ok());
        Self { peak, stop, thread }
    }

    /// The greatest value seen, or `None` where nothing could be sampled.
    pub(crate) fn finish(mut self) -> Option<u64> {
        let thread = self.thread.take()?;
        self.stop.store(true, Ordering::Relaxed);
        let _ = thread.join();
        self.peak.fetch_max(anonymous().unwrap_or(0), Ordering::Relaxed);
        Some(self.peak.load(Ordering::Relaxed))
    }
}
