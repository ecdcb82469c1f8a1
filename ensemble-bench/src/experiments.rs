//! The experiments, what they share, and what they must show.

mod compare;
mod contest;
mod folds;
mod hold;
mod limit;
mod profile;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ensemble::{Order, Result};
use ensemble_bench::{friedman, warm};

use crate::{
    peers::{self, Peers},
    report::Report,
    run::{How, Run, subject},
    subject::{Fit, Subject},
};

pub(crate) use self::{compare::compare, folds::folds, hold::hold, limit::limit, profile::profile};

/// Extra anonymous memory of a fit beyond prediction columns, at most, unless told otherwise.
pub(crate) const CEILING: u64 = 32 << 20;

/// How large the experiments are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) name: &'static str,
    pub(crate) hold_rows: usize,
    pub(crate) hold_seconds: f64,
    pub(crate) profile_rows: usize,
    pub(crate) compare_rows: usize,
    pub(crate) folds_rows: usize,
    pub(crate) limit_rows: usize,
    pub(crate) predict_rows: usize,
    /// Fits of ours in one process; its figure is their median.
    pub(crate) rounds: usize,
    /// Rest between phases in charts.
    pub(crate) pause: f64,
    /// Numbers of folds in the sweep, for ours and for the peers, and of threads.
    pub(crate) folds: &'static [usize],
    pub(crate) peer_folds: &'static [usize],
    pub(crate) threads: &'static [usize],
    /// Whether the ratios of the full size are asked for.
    pub(crate) judge_ratios: bool,
    /// Share of the data that a fit must stay below as well as below the ceiling: less than any copy of a training set. `None`
    /// where tables are so small that what a process takes at all is more.
    pub(crate) most: Option<f64>,
}

impl Sizes {
    /// The page's own sizes.
    pub(crate) const FULL: Self = Self {
        name: "full",
        hold_rows: 100_000,
        hold_seconds: 3.0,
        profile_rows: 6_000_000,
        compare_rows: 1_000_000,
        folds_rows: 1_000_000,
        limit_rows: 2_500_000,
        predict_rows: 10_000,
        rounds: 5,
        pause: 1.0,
        folds: &[2, 3, 5, 10, 20],
        peer_folds: &[2, 3, 5, 10, 20],
        threads: &[1, 2, 4, 8],
        judge_ratios: true,
        most: Some(0.4),
    };
    /// A few minutes at most.
    pub(crate) const SMALL: Self = Self {
        name: "small",
        hold_rows: 20_000,
        hold_seconds: 1.0,
        profile_rows: 300_000,
        compare_rows: 60_000,
        folds_rows: 80_000,
        limit_rows: 400_000,
        predict_rows: 1_000,
        peer_folds: &[2, 5, 10],
        rounds: 3,
        pause: 0.2,
        judge_ratios: false,
        ..Self::FULL
    };
    /// Seconds, for tests.
    pub(crate) const TINY: Self = Self {
        name: "tiny",
        hold_rows: 2_000,
        hold_seconds: 0.2,
        profile_rows: 20_000,
        compare_rows: 10_000,
        folds_rows: 20_000,
        limit_rows: 100_000,
        predict_rows: 100,
        rounds: 1,
        pause: 0.05,
        folds: &[2, 5],
        peer_folds: &[2, 5],
        threads: &[1, 2],
        most: None,
        ..Self::SMALL
    };
}

/// A figure against what it must be.
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) measured: String,
    pub(crate) bar: String,
    pub(crate) held: bool,
}

/// What experiments run with, and what they find.
pub(crate) struct Bench {
    pub(crate) sizes: Sizes,
    pub(crate) folder: PathBuf,
    pub(crate) peers: Peers,
    pub(crate) report: Report,
    pub(crate) ceiling: u64,
    /// Bars whose failure fails the program.
    pub(crate) must: Vec<Verdict>,
    /// Bars that are reported.
    pub(crate) aims: Vec<Verdict>,
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) commands: Vec<String>,
    /// Share of the machine that others used, the greatest of all runs.
    pub(crate) others: f64,
}

impl Bench {
    pub(crate) fn new(sizes: Sizes, folder: &Path, peers: Peers, title: &str) -> Self {
        Self {
            sizes,
            folder: folder.into(),
            peers,
            report: Report::new(title),
            ceiling: CEILING,
            must: Vec::new(),
            aims: Vec::new(),
            versions: BTreeMap::new(),
            commands: Vec::new(),
            others: 0.0,
        }
    }

    /// A friedman1 table and its target, in the page cache.
    fn table(&self, nrows: usize, ncols: usize, order: Order) -> Result<(PathBuf, PathBuf)> {
        let paths = friedman(&self.folder, nrows, ncols, order)?;
        warm(&paths.0)?;
        warm(&paths.1)?;
        Ok(paths)
    }

    /// Write a run into the report's list of commands.
    fn note(&mut self, run: &Run) {
        self.commands.push(run.command.replace(&format!("{}/", self.folder.display()), ""));
        self.others = self.others.max(run.others);
        peers::add_versions(&mut self.versions, run);
    }

    /// Fit, watched from outside.
    fn fit(&mut self, fit: &Fit) -> Result<Run> {
        let run = subject(&Subject::Fit(fit.clone()), How::process())?;
        self.note(&run);
        run.finished()?;
        Ok(run)
    }

    /// Judge the anonymous memory that a fit on `data` bytes took beyond prediction columns and what its learners declare to
    /// keep.
    fn judge_memory(&mut self, what: &str, run: &Run, data: u64) -> Result<()> {
        let (beyond, bar) = (beyond(run)?, self.bar(data));
        let declared = run.finished()?.ledger.as_ref().map_or(0, |l| l.declared);
        self.must.push(Verdict {
            what: format!("{what}: extra anonymous memory beyond prediction columns and declared indexes"),
            measured: format!("{} (declared {})", mib(beyond), mib(declared)),
            bar: format!("< {}", mib(bar)),
            held: beyond < bar,
        });
        Ok(())
    }

    /// What a fit on so many bytes must stay below.
    fn bar(&self, data: u64) -> u64 {
        let share = self.sizes.most.map_or(u64::MAX, |most| (most * data as f64) as u64);
        self.ceiling.min(share)
    }

    /// Verdicts, machine and versions before the experiments, and commands behind them.
    pub(crate) fn close(&mut self) {
        let first = self.report.len();
        self.report.heading("What it must show");
        let row = |v: &Verdict| {
            let held = if v.held { "yes" } else { "NO" };
            vec![v.what.clone(), v.measured.clone(), v.bar.clone(), held.into()]
        };
        let rows: Vec<_> = self.must.iter().chain(&self.aims).map(row).collect();
        if rows.is_empty() {
            self.report.text("Nothing was judged.");
        } else {
            self.report.table(&["what", "measured", "bar", "holds"], rows);
        }
        let all = || self.must.iter().chain(&self.aims);
        let absent = all().filter(|v| !v.held && v.measured == "absent").count();
        let short = all().filter(|v| !v.held).count() - absent;
        if short > 0 {
            self.report.text(format!("Bars that fall short: {short}, the rows with NO."));
        }
        if absent > 0 {
            self.report.text(format!("Bars that were not measured, since a peer is absent: {absent}."));
        }
        self.report.heading("Machine and versions");
        let mut rows: Vec<Vec<String>> = machine();
        rows.extend(self.versions.iter().map(|(name, version)| vec![name.clone(), version.clone()]));
        rows.push(vec![
            "CPU used by others".into(),
            format!(
                "{:.0} % of the machine in the worst run; ratios of a busy machine are not to be trusted",
                100.0 * self.others
            ),
        ]);
        self.report.table(&["what", "value"], rows);
        let absent: Vec<String> =
            self.peers.absent().iter().map(|(n, why)| format!("{n}: absent ({why})")).collect();
        if !absent.is_empty() {
            self.report.text(format!("Peers: {}.", absent.join("; ")));
        }
        // Behind the sentence that says how the report was made.
        self.report.bring_forward(first, 1);
        self.report.heading("Commands");
        self.report.text("Every measured process, in order. Folders are left out.");
        self.report.commands(std::mem::take(&mut self.commands));
    }

    /// Run an experiment. What stops it is told in the report and fails the program; the others run all the same.
    pub(crate) fn run(&mut self, name: &str, experiment: fn(&mut Self) -> Result<()>) {
        if let Err(error) = experiment(self) {
            self.report.text(format!("Stopped here: {error}"));
            self.must.push(Verdict {
                what: format!("experiment `{name}` runs to its end"),
                measured: error.to_string(),
                bar: "it does".into(),
                held: false,
            });
        }
    }

    /// Whether everything that must hold does.
    pub(crate) fn holds(&self) -> bool {
        self.must.iter().all(|v| v.held)
    }
}

/// Anonymous bytes of a fit beyond prediction columns in memory.
fn beyond_columns(run: &Run) -> Result<u64> {
    let outcome = run.finished()?;
    let extra = run.phase("fit", "fitted")?;
    let ledger = outcome.ledger.clone().unwrap_or_default();
    Ok(extra.anonymous.saturating_sub(ledger.predictions + ledger.transformed))
}

/// The same beyond what its learners declare: the index of nearest neighbours is theirs to keep.
fn beyond(run: &Run) -> Result<u64> {
    let declared = run.finished()?.ledger.as_ref().map_or(0, |l| l.declared);
    Ok(beyond_columns(run)?.saturating_sub(declared))
}

/// The machine as the report names it.
fn machine() -> Vec<Vec<String>> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let value = text
            .lines()
            .find_map(|l| l.strip_prefix(name)?.split_once(':').map(|(_, v)| v.trim().to_owned()));
        value.unwrap_or_else(|| "unknown".into())
    };
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok().filter(|o| o.status.success());
        output.map_or_else(|| "unknown".into(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
    };
    let commit =
        said("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--exclude", "*"]);
    let with =
        [("native", true), ("linfa", cfg!(feature = "linfa")), ("smartcore", cfg!(feature = "smartcore"))];
    let backends: Vec<&str> = with.iter().filter(|b| b.1).map(|b| b.0).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory = match memory.trim_end_matches(" kB").parse::<f64>() {
        Ok(kib) => format!("{:.1} GiB", kib / f64::from(1 << 20)),
        Err(_) => memory,
    };
    vec![
        vec!["processor".into(), format!("{}, {cores} cores", field(&read("/proc/cpuinfo"), "model name"))],
        vec!["memory".into(), memory],
        vec!["kernel".into(), read("/proc/sys/kernel/osrelease").trim().into()],
        vec![
            "ensemble".into(),
            format!("{} ({commit}), backends {}", env!("CARGO_PKG_VERSION"), backends.join(", ")),
        ],
        vec!["rustc".into(), said("rustc", &["--version"])],
    ]
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

pub(crate) fn mb(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// The layer of a stack: names and pipelines.
pub(crate) fn layer(learners: &[(&str, &str)]) -> Vec<(String, String)> {
    learners.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect()
}
