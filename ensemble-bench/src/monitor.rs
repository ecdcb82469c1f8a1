//! Watches memory and CPU of a process, and of all that it starts, while named phases go by.
//!
//! A [`Monitor`] samples `/proc` from a thread of its own. Resident, anonymous and file-backed bytes, faults, CPU time and threads
//! are read at every sample; proportional bytes (PSS) cost the kernel a walk over the page tables, so they are read as often as
//! that stays below a twentieth of the time, and at every mark. What the sampling itself costs is measured and in the recording.
//!
//! ```no_run
//! use std::time::Duration;
//! use ensemble_bench::Watch;
//!
//! let monitor = Watch::this_process().with_descendants().every(Duration::from_millis(10)).start()?;
//! monitor.mark("load")?;
//! // ... load ...
//! monitor.mark("fit")?;
//! // ... fit ...
//! let recording = monitor.finish()?;
//! println!("{} bytes at most", recording.peak(|s| Some(s.rss)).unwrap_or(0));
//! recording.save_csv("memory.csv")?;
//! # Ok::<(), ensemble::Error>(())
//! ```

mod processes;
mod recording;

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use ensemble::{Error, Result};
use rustix::time::{ClockId, clock_gettime};

use self::processes::Processes;
pub use self::recording::{Cost, Mark, Recording, Sample};

/// Proportional bytes are read at most this share of the time, unless told otherwise.
const ROLLUP_SHARE: f64 = 0.05;
/// CPU time comes in ticks of 10 ms: its rate is taken over at least this long.
const CPU_WINDOW: f64 = 0.1;
/// More samples than this are thinned: of two neighbours the one with more anonymous memory stays, and the interval doubles.
const MAX_SAMPLES: usize = 100_000;

/// What to watch, and how.
#[derive(Clone, Debug)]
pub struct Watch {
    pid: u32,
    descendants: bool,
    interval: Duration,
    at_most: Option<Duration>,
    rollup_share: f64,
}

impl Watch {
    /// This process, every 100 ms.
    pub fn this_process() -> Self {
        Self::process(std::process::id())
    }

    /// Another process, every 100 ms. The monitor stops by itself when that process ends.
    pub fn process(pid: u32) -> Self {
        Self {
            pid,
            descendants: false,
            interval: Duration::from_millis(100),
            at_most: None,
            rollup_share: ROLLUP_SHARE,
        }
    }

    /// With everything that the process starts, and what those start. A descendant that was seen once is watched until it ends,
    /// even when its parent ends before it.
    #[must_use]
    pub fn with_descendants(self) -> Self {
        Self { descendants: true, ..self }
    }

    /// The time between samples, 1 ms at least.
    #[must_use]
    pub fn every(self, interval: Duration) -> Self {
        Self { interval: interval.max(Duration::from_millis(1)), ..self }
    }

    /// Read proportional bytes as often as that stays below this share of the time, 0.05 unless told otherwise. The kernel walks
    /// all page tables for them, and keeps the process from changing its mappings meanwhile.
    #[must_use]
    pub fn proportional_share(self, share: f64) -> Self {
        Self { rollup_share: share.clamp(0.001, 1.0), ..self }
    }

    /// Stop sampling by itself after this long.
    #[must_use]
    pub fn at_most(self, duration: Duration) -> Self {
        Self { at_most: Some(duration), ..self }
    }

    /// Start to sample. The first sample is taken before this returns.
    ///
    /// # Errors
    /// When `/proc` does not show the process.
    pub fn start(self) -> Result<Monitor> {
        let (commands, inbox) = channel();
        let (ready, is_ready) = channel();
        let thread = std::thread::Builder::new()
            .name("monitor".into())
            .spawn(move || {
                let mut sampler = Sampler::new(&self);
                let first = sampler.sample(true);
                let started = first.is_ok();
                // The watcher may have lost interest already; then there is nobody to tell.
                let _ = ready.send(first.map(|_| ()));
                if started {
                    sampler.run(&self, &inbox);
                }
                sampler.into_recording(&self)
            })
            .map_err(|e| Error::io("/proc", "start a thread to watch", e))?;
        is_ready.recv().map_err(|_| Error::unsupported("the monitor's thread ended at once"))??;
        Ok(Monitor { commands, thread: Some(thread) })
    }
}

enum Command {
    Mark(String, Sender<Result<Sample>>),
    Finish,
}

/// Samples until it is finished or dropped, the process ends, or its time is over.
pub struct Monitor {
    commands: Sender<Command>,
    thread: Option<JoinHandle<Recording>>,
}

impl Monitor {
    /// A phase begins here: takes a whole sample now, with proportional bytes, and gives it back.
    ///
    /// # Errors
    /// When the process has ended, or the monitor stopped by itself.
    pub fn mark(&self, name: impl Into<String>) -> Result<Sample> {
        let (reply, answer) = channel();
        let name = name.into();
        let over = |_| {
            Error::unsupported("the monitor has stopped: the process ended, or the time to watch it is over")
        };
        self.commands.send(Command::Mark(name, reply)).map_err(|e| over(e.to_string()))?;
        answer.recv().map_err(|e| over(e.to_string()))?
    }

    /// Stop, and take what was seen.
    ///
    /// # Errors
    /// When the sampling thread panicked.
    pub fn finish(mut self) -> Result<Recording> {
        // A monitor that stopped by itself hears nothing, and its recording is there all the same.
        let _ = self.commands.send(Command::Finish);
        let thread =
            self.thread.take().ok_or_else(|| Error::unsupported("the monitor was finished before"))?;
        thread.join().map_err(|_| Error::unsupported("the monitor's thread panicked"))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Finish);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The sampling thread's state.
struct Sampler {
    processes: Processes,
    start: Instant,
    interval: Duration,
    samples: Vec<Sample>,
    marks: Vec<Mark>,
    /// When proportional bytes may be read next.
    next_rollup: f64,
    rollup_share: f64,
    /// Time and CPU seconds where the present rate began, and the rate before.
    rate: (f64, f64, f64),
    wall: f64,
    ended: bool,
}

impl Sampler {
    fn new(watch: &Watch) -> Self {
        Self {
            processes: Processes::new(watch.pid, watch.descendants),
            start: Instant::now(),
            interval: watch.interval,
            samples: Vec::new(),
            marks: Vec::new(),
            next_rollup: 0.0,
            rollup_share: watch.rollup_share,
            rate: (0.0, 0.0, 0.0),
            wall: 0.0,
            ended: false,
        }
    }

    fn run(&mut self, watch: &Watch, inbox: &Receiver<Command>) {
        let mut due = self.start + self.interval;
        loop {
            match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Command::Mark(name, reply)) => {
                    let sample = self.sample(true);
                    if let Ok(sample) = &sample {
                        self.marks.push(Mark { seconds: sample.seconds, name });
                    }
                    // Whoever asked may be gone.
                    let _ = reply.send(sample);
                }
                Ok(Command::Finish) | Err(RecvTimeoutError::Disconnected) => {
                    // The last sample; a process that has ended has none.
                    let _ = self.sample(true);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.sample(false).is_err() {
                        self.ended = true;
                        return;
                    }
                    due += self.interval;
                    due = due.max(Instant::now());
                }
            }
            if watch.at_most.is_some_and(|d| self.start.elapsed() >= d) {
                return;
            }
        }
    }

    fn sample(&mut self, whole: bool) -> Result<Sample> {
        let began = Instant::now();
        let seconds = (began - self.start).as_secs_f64();
        let rollup = whole || seconds >= self.next_rollup;
        let mut sample = self.processes.read(seconds, rollup)?;
        let (from, cpu, before) = self.rate;
        let elapsed = seconds - from;
        let rate = if elapsed > 0.0 { 100.0 * (sample.cpu_seconds - cpu) / elapsed } else { 0.0 };
        sample.cpu_percent = if elapsed >= CPU_WINDOW {
            self.rate = (seconds, sample.cpu_seconds, rate);
            rate
        } else {
            before
        };
        let took = began.elapsed().as_secs_f64();
        if rollup {
            self.next_rollup = seconds + took / self.rollup_share;
        }
        self.wall += took;
        self.samples.push(sample);
        if self.samples.len() >= MAX_SAMPLES {
            self.thin();
        }
        Ok(sample)
    }

    fn thin(&mut self) {
        let mut kept = Vec::with_capacity(MAX_SAMPLES / 2);
        for pair in self.samples.chunks(2) {
            let largest = pair.iter().max_by_key(|s| (s.anonymous, s.pss.is_some()));
            kept.extend(largest.copied());
        }
        self.samples = kept;
        self.interval *= 2;
    }

    fn into_recording(self, watch: &Watch) -> Recording {
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        let samples = self.samples;
        let cost = Cost {
            samples: samples.len(),
            wall_seconds: self.wall,
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 * 1e-9,
            watched_seconds: self.start.elapsed().as_secs_f64(),
        };
        Recording {
            pid: watch.pid,
            descendants: watch.descendants,
            interval_seconds: self.interval.as_secs_f64(),
            ended: self.ended,
            cost,
            marks: self.marks,
            samples,
        }
    }
}
