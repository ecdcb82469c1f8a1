//! What a monitor saw, as figures and files.

use std::{fmt::Write as _, fs, path::Path};

use ensemble::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::chart::{Figure, Panel, Series};

/// Sums over the watched processes at one moment; times and faults count from the first sample on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Since the monitor's start.
    pub seconds: f64,
    /// Processes alive.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
    /// Resident bytes. A page that two processes map counts twice, and so does one that a process maps twice.
    pub rss: u64,
    /// Resident bytes that belong to no file. The kernel keeps this count to some hundred KiB.
    pub anonymous: u64,
    /// Resident bytes of files and shared memory.
    pub file: u64,
    /// Resident bytes, each page divided by the number of its mappings: adds up over processes.
    pub pss: Option<u64>,
    /// The part of [`Sample::pss`] that belongs to no file.
    pub pss_anonymous: Option<u64>,
    /// The part of [`Sample::pss`] that belongs to files and shared memory.
    pub pss_file: Option<u64>,
    /// Page faults served from memory.
    pub minor_faults: u64,
    /// Page faults that read a disk.
    pub major_faults: u64,
    /// CPU time, of ended children too.
    pub cpu_seconds: f64,
    /// Rate of CPU time over the last tenth of a second; 100 is one core.
    pub cpu_percent: f64,
}

impl Sample {
    /// Bytes that belong to no file, with pages shared after a fork counted once where the sample knows.
    pub fn own_anonymous(&self) -> Option<u64> {
        if self.processes > 1 { self.pss_anonymous } else { Some(self.anonymous) }
    }
}

/// Where a phase began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Since the monitor's start.
    pub seconds: f64,
    /// Its name.
    pub name: String,
}

/// What the watching itself took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Samples that were kept.
    pub samples: usize,
    /// Seconds spent reading.
    pub wall_seconds: f64,
    /// CPU seconds of the sampling thread.
    pub cpu_seconds: f64,
    /// Seconds from start to end.
    pub watched_seconds: f64,
}

/// Everything a [`Monitor`](crate::Monitor) saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// The process.
    pub pid: u32,
    /// Whether its descendants are in the sums.
    pub descendants: bool,
    /// Time between samples.
    pub interval_seconds: f64,
    /// Whether the monitor stopped because the process had ended.
    pub ended: bool,
    /// What the watching took.
    pub cost: Cost,
    /// Where phases began.
    pub marks: Vec<Mark>,
    /// Samples in order.
    pub samples: Vec<Sample>,
}

const COLUMNS: &str = "seconds,phase,processes,threads,rss,anonymous,file,pss,pss_anonymous,pss_file,minor_faults,major_faults,\
                       cpu_seconds,cpu_percent";

impl Recording {
    /// The greatest value of a figure; samples without it are left out.
    pub fn peak(&self, figure: impl Fn(&Sample) -> Option<u64>) -> Option<u64> {
        self.samples.iter().filter_map(figure).max()
    }

    /// The part between the first mark called `from` and the first mark called `to` after it, both samples with it.
    pub fn between(&self, from: &str, to: &str) -> Option<Recording> {
        let start = self.marks.iter().position(|m| m.name == from)?;
        let end = self.marks[start + 1..].iter().find(|m| m.name == to)?.seconds;
        let begin = self.marks[start].seconds;
        let inside = |seconds: f64| (begin..=end).contains(&seconds);
        Some(Recording {
            marks: self.marks.iter().filter(|m| inside(m.seconds)).cloned().collect(),
            samples: self.samples.iter().filter(|s| inside(s.seconds)).copied().collect(),
            ..self.clone_without_samples()
        })
    }

    fn clone_without_samples(&self) -> Recording {
        Recording {
            pid: self.pid,
            descendants: self.descendants,
            interval_seconds: self.interval_seconds,
            ended: self.ended,
            cost: self.cost,
            marks: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// The phase at a moment; empty before the first mark.
    pub fn phase(&self, seconds: f64) -> &str {
        self.marks.iter().rev().find(|m| m.seconds <= seconds).map_or("", |m| &m.name)
    }

    /// One line per sample; what a sample does not know is empty.
    pub fn to_csv(&self) -> String {
        let mut text = format!("{COLUMNS}\n");
        let known = |v: Option<u64>| v.map(|v| v.to_string()).unwrap_or_default();
        for s in &self.samples {
            let phase = self.phase(s.seconds).replace([',', '"', '\n'], " ");
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{:.6},{phase},{},{},{},{},{},{},{},{},{},{},{:.2},{:.1}",
                s.seconds,
                s.processes,
                s.threads,
                s.rss,
                s.anonymous,
                s.file,
                known(s.pss),
                known(s.pss_anonymous),
                known(s.pss_file),
                s.minor_faults,
                s.major_faults,
                s.cpu_seconds,
                s.cpu_percent
            );
        }
        text
    }

    /// Write [`Recording::to_csv`] to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        write(path.as_ref(), self.to_csv())
    }

    /// Write everything as one JSON object.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_json(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = serde_json::to_string(self).map_err(|e| Error::format(path, e.to_string()))?;
        write(path, text)
    }

    /// The rate of CPU time, in per cent of a core, as steps of a tenth of a second: shorter ones would show the kernel's ticks.
    fn cpu_rates(&self) -> Vec<(f64, f64)> {
        let mut steps = Vec::new();
        let Some(mut first) = self.samples.first() else { return steps };
        for (number, sample) in self.samples.iter().enumerate() {
            let seconds = sample.seconds - first.seconds;
            if seconds >= 0.1 || (number + 1 == self.samples.len() && seconds >= 0.05) {
                let rate = 100.0 * (sample.cpu_seconds - first.cpu_seconds) / seconds;
                steps.extend([(first.seconds, rate), (sample.seconds, rate)]);
                first = sample;
            }
        }
        steps
    }

    /// Memory and CPU over time, with a line at every mark.
    pub fn figure(&self, title: &str) -> Figure {
        let bytes = |figure: fn(&Sample) -> Option<u64>| -> Vec<(f64, f64)> {
            self.samples.iter().filter_map(|s| Some((s.seconds, figure(s)? as f64 / 1e6))).collect()
        };
        let mut memory = Panel::new("memory (MB)")
            .with(Series::line("resident (RSS)", bytes(|s| Some(s.rss))))
            .with(Series::line("anonymous", bytes(|s| Some(s.anonymous))))
            .with(Series::line("files", bytes(|s| Some(s.file))));
        let pss = bytes(|s| s.pss);
        if self.descendants && !pss.is_empty() {
            memory = memory.with(Series::line("proportional (PSS)", pss));
        }
        let cpu = Panel::new("CPU (% of a core)").with(Series::line("CPU", self.cpu_rates()));
        let marks: Vec<(f64, String)> = self.marks.iter().map(|m| (m.seconds, m.name.clone())).collect();
        Figure::new(title, "time (s)").panel(memory.marks(marks.clone())).panel(cpu.marks(marks))
    }
}

fn write(path: &Path, text: String) -> Result<()> {
    fs::write(path, text).map_err(|e| Error::io(path, "write", e))
}
