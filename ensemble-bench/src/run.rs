//! Runs a subject in its own process and watches it: whole process tree, from outside.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use ensemble::{Error, Result};
use ensemble_bench::{Recording, Watch};
use serde::Serialize;

use crate::subject::{self, Outcome, Subject};

/// How a subject is watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    interval: Duration,
    tree: bool,
    proportional_share: f64,
    time_limit: Duration,
}

impl How {
    /// One process, every 2 ms.
    pub(crate) fn process() -> Self {
        Self {
            interval: Duration::from_millis(2),
            tree: false,
            proportional_share: 0.05,
            time_limit: Duration::from_secs(1800),
        }
    }

    /// With its descendants, every 20 ms.
    pub(crate) fn tree() -> Self {
        Self { interval: Duration::from_millis(20), tree: true, ..Self::process() }
    }

    /// With proportional bytes in every other moment: for subjects whose speed is not at stake.
    pub(crate) fn proportional(self) -> Self {
        Self { proportional_share: 0.5, ..self }
    }

    /// End it after this long.
    pub(crate) fn at_most(self, seconds: u64) -> Self {
        Self { time_limit: Duration::from_secs(seconds), ..self }
    }
}

/// What a run was.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) command: String,
    pub(crate) recording: Recording,
    /// `None` when the subject did not get that far.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) status: ExitStatus,
    /// Whether it was ended because it took too long.
    pub(crate) timed_out: bool,
    /// The last line it wrote to standard error.
    pub(crate) complaint: String,
    /// Share of the machine's CPU that others used meanwhile, 0 to 1.
    pub(crate) others: f64,
}

/// Figures of one phase of a run, beyond what was there when it began.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Extra {
    pub(crate) cpu_seconds: f64,
    pub(crate) anonymous: u64,
    /// `None` where the kernel does not say.
    pub(crate) pss: Option<u64>,
    /// Anonymous memory when the phase began.
    pub(crate) base_anonymous: u64,
}

impl Run {
    /// What the phase from one mark to another took beyond its beginning.
    pub(crate) fn extra(&self, from: &str, to: &str) -> Option<Extra> {
        let part = self.recording.between(from, to)?;
        let (first, last) = (part.samples.first()?, part.samples.last()?);
        let base = first.own_anonymous()?;
        let anonymous = part.peak(|s| s.own_anonymous())?;
        let pss = part.peak(|s| s.pss).zip(first.pss).map(|(peak, base)| peak.saturating_sub(base));
        Some(Extra {
            cpu_seconds: last.cpu_seconds - first.cpu_seconds,
            anonymous: anonymous.saturating_sub(base),
            pss,
            base_anonymous: base,
        })
    }

    /// As [`Run::extra`], of a phase that must have been seen.
    pub(crate) fn phase(&self, from: &str, to: &str) -> Result<Extra> {
        let unseen =
            || Error::unsupported(format!("{}: memory from '{from}' to '{to}' was not seen", self.command));
        self.extra(from, to).ok_or_else(unseen)
    }

    /// Where it was when it ended: its last mark.
    pub(crate) fn last_phase(&self) -> &str {
        self.recording.marks.last().map_or("its start", |m| m.name.as_str())
    }

    /// The outcome, or why there is none.
    pub(crate) fn finished(&self) -> Result<&Outcome> {
        self.outcome.as_ref().ok_or_else(|| {
            let why =
                if self.complaint.is_empty() { self.status.to_string() } else { self.complaint.clone() };
            Error::unsupported(format!("{} did not finish: {why}", self.command))
        })
    }
}

/// Run a subject of this program.
pub(crate) fn subject(subject: &Subject, how: How) -> Result<Run> {
    run(subject::command(subject)?, how, &mut |_| Ok(()))
}

/// Run any program that speaks as subjects do. `born` gets the process's id before the program goes on from its first mark.
pub(crate) fn run(mut command: Command, how: How, born: &mut dyn FnMut(u32) -> Result<()>) -> Result<Run> {
    let text = shown(&command);
    let failed = |what: &'static str| {
        let text = text.clone();
        move |e| Error::io(text.clone(), what, e)
    };
    let machine = Machine::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().map_err(failed("start"))?);
    let child = &mut running.0;
    born(child.id())?;
    let watch = Watch::process(child.id()).every(how.interval).proportional_share(how.proportional_share);
    let monitor = if how.tree { watch.with_descendants() } else { watch }.start()?;
    let no_pipe = || Error::unsupported(format!("{text}: a pipe is missing"));
    let mut input = child.stdin.take().ok_or_else(no_pipe)?;
    let output = BufReader::new(child.stdout.take().ok_or_else(no_pipe)?);
    let mut errors = child.stderr.take().ok_or_else(no_pipe)?;
    let complaints = std::thread::spawn(move || {
        let mut text = String::new();
        // What is no text is no reason to stop.
        let _ = errors.read_to_string(&mut text);
        text.lines().rfind(|l| !l.trim().is_empty()).unwrap_or_default().trim().to_owned()
    });
    let (lines, inbox) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in output.lines().map_while(std::result::Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + how.time_limit;
    let mut outcome = None;
    let (mut complaint, mut timed_out) = (String::new(), false);
    loop {
        match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Some(name) = line.strip_prefix("mark ") {
                    // A subject that was killed meanwhile has no sample to take, and hears no answer.
                    let _ = monitor.mark(name);
                    let _ = input.write_all(b"\n").and_then(|()| input.flush());
                } else if let Some(json) = line.strip_prefix("result ") {
                    outcome = Some(serde_json::from_str(json).map_err(|e| Error::spec(json, e.to_string()))?);
                }
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                timed_out = true;
                complaint = format!("ended after {} s", how.time_limit.as_secs());
                child.kill().map_err(failed("end"))?;
                break;
            }
        }
    }
    let recording = monitor.finish()?;
    let status = child.wait().map_err(failed("wait for"))?;
    drop(reader);
    if complaint.is_empty() {
        complaint = complaints.join().unwrap_or_default();
    }
    let own = recording.samples.last().map_or(0.0, |s| s.cpu_seconds) + recording.cost.cpu_seconds;
    Ok(Run { command: text, others: machine.others(own), recording, outcome, status, timed_out, complaint })
}

/// A process that ends with this value: no error may leave a fit running beside the next.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command as a person would type it, without its folders.
fn shown(command: &Command) -> String {
    let name = |word: &std::ffi::OsStr| {
        let text = word.to_string_lossy();
        if text.starts_with('/') {
            text.rsplit('/').next().unwrap_or_default().to_owned()
        } else {
            text.into_owned()
        }
    };
    std::iter::once(command.get_program()).chain(command.get_args()).map(name).collect::<Vec<_>>().join(" ")
}

/// CPU time of the whole machine, to tell how much of it others used.
struct Machine {
    at: Instant,
    busy: f64,
}

impl Machine {
    fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let counts: Vec<f64> = text
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|w| w.parse().ok())
            .collect();
        // user, nice, system, and irq, softirq, steal: all but idle and waiting for disks.
        let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|i| counts.get(*i)).sum::<f64>();
        Self { at: Instant::now(), busy: busy / rustix::param::clock_ticks_per_second() as f64 }
    }

    fn others(&self, own_seconds: f64) -> f64 {
        let now = Self::now();
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let room = (now.at - self.at).as_secs_f64() * cores;
        // CPU time comes in ticks of 10 ms: of a short run it says little.
        if room > cores * 0.5 { ((now.busy - self.busy - own_seconds) / room).clamp(0.0, 1.0) } else { 0.0 }
    }
}
