//! Experiment 5: a table twice as large as the memory allowed.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
};

use ensemble::{Error, Order, Result};
use ensemble_bench::{Figure, Panel, Series, evict, friedman};

use super::{Bench, Verdict, layer, mb, seconds};
use crate::{
    peers::Task,
    run::{self, How, Run},
    subject::{self, Fit, Subject},
};

const COLUMNS: usize = 100;
const TMPFS: u64 = 0x0102_1994;

/// The fit under a memory limit, beside the same fit without one, and scikit-learn under the same limit.
pub(crate) fn limit(bench: &mut Bench) -> Result<()> {
    let rows = bench.sizes.limit_rows;
    bench.report.heading("5. Larger than memory");
    let bytes = (rows * COLUMNS * 8) as u64;
    let allowed = bytes / 2;
    let cgroup = match in_memory(&bench.folder).map_or_else(|| Cgroup::new(allowed), Err) {
        Ok(cgroup) => cgroup,
        Err(reason) => {
            bench.report.text(format!("Not run: {reason}."));
            return Ok(());
        }
    };
    let (x, y) = friedman(&bench.folder, rows, COLUMNS, Order::C)?;
    bench.report.text(format!(
        "friedman1, {rows} x {COLUMNS} ({}), under a memory limit of {} ({}). The page cache is emptied of the file before every run. \
         The stack: Lasso and a scaled ridge under a linear regression, K = 5.",
        mb(bytes),
        mb(allowed),
        cgroup.version()
    ));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let fit = Subject::Fit(Fit {
        x: x.clone(),
        y: y.clone(),
        layer: layer(&[
            ("lasso", "native.lasso:alpha=0.01"),
            ("ridge", "native.standard_scaler | native.ridge:alpha=1"),
        ]),
        meta: Some("native.linear_regression".into()),
        folds: 5,
        threads,
        budget: Some(allowed / 2),
        rounds: 1,
        ..Fit::default()
    });
    let cold = || evict(&x).and_then(|()| evict(&y));
    let mut rows = Vec::new();
    let mut walls = Vec::new();
    for limited in [false, true] {
        cold()?;
        let run = run::run(subject::command(&fit)?, How::process(), &mut |pid| {
            if limited { cgroup.add(pid) } else { Ok(()) }
        })?;
        bench.note(&run);
        let name = if limited { "ensemble, under the limit" } else { "ensemble, without a limit" };
        rows.push(row(name, &run, bytes, limited.then(|| cgroup.peak()).flatten()));
        if let Some(outcome) = &run.outcome {
            let passes = outcome.ledger.as_ref().map_or(1, |l| l.passes.max(1));
            walls.push(outcome.seconds[0] / passes as f64);
        }
        if limited {
            let peak = cgroup.peak();
            bench.must.push(Verdict {
                what: "a table of twice the memory allowed: the ensemble finishes".into(),
                measured: match (&run.outcome, peak) {
                    (Some(_), Some(peak)) => format!("it does, in {}", mb(peak)),
                    (Some(_), None) => "it does, in nobody knows how much".into(),
                    (None, _) => run.status.to_string(),
                },
                bar: format!("in {}", mb(allowed)),
                // A group that never came near its limit did not hold the process.
                held: run.outcome.is_some() && peak.is_none_or(|peak| peak >= allowed - allowed / 10),
            });
            let line = |figure: fn(&ensemble_bench::Sample) -> u64| -> Vec<(f64, f64)> {
                run.recording.samples.iter().map(|s| (s.seconds, figure(s) as f64 / 1e6)).collect()
            };
            let panel = Panel::new("memory (MB)")
                .with(Series::line("resident (RSS)", line(|s| s.rss)))
                .with(Series::line("anonymous", line(|s| s.anonymous)))
                .level(allowed as f64 / 1e6, "limit")
                .level(bytes as f64 / 1e6, "size of the table");
            bench.report.figure(
                "limit",
                Figure::new("ensemble: a table of twice the memory allowed", "time (s)").panel(panel),
            );
            bench.report.keep("limit", &run.recording);
        }
    }
    if let [without, with] = walls[..] {
        bench.aims.push(Verdict {
            what: "under the limit: time per byte read over the time without".into(),
            measured: format!("{:.2}", with / without),
            bar: "<= 1.5".into(),
            held: with <= 1.5 * without,
        });
    }
    if bench.peers.has("sklearn") {
        cold()?;
        let task = Task {
            task: "folds",
            x: &x,
            y: &y,
            folds: 5,
            jobs: 1,
            alpha: 0.01,
            load: false,
            predict_rows: 0,
        };
        let command = bench.peers.command("sklearn", &task);
        let run = run::run(command, How::tree().at_most(600), &mut |pid| cgroup.add(pid))?;
        bench.note(&run);
        rows.push(row("scikit-learn, under the limit, file mapped", &run, bytes, None));
        // Only the limit is to be seen at work: a peer that fails for reasons of its own says nothing of it.
        let phase = run.last_phase();
        let out_of_memory =
            (run.status.signal() == Some(9) && !run.timed_out) || run.complaint.contains("MemoryError");
        let stopped = phase == "fit" && out_of_memory;
        if run.outcome.is_some() || stopped {
            bench.aims.push(Verdict {
                what: "scikit-learn under the same limit does not finish".into(),
                measured: if run.outcome.is_some() { "it finishes".into() } else { run.status.to_string() },
                bar: "it does not".into(),
                held: stopped,
            });
        } else {
            bench.report.text(format!(
                "scikit-learn under the limit is not judged: {} ({}) in its phase '{phase}'.",
                run.complaint, run.status
            ));
        }
    }
    bench.report.table(&["program", "wall of the fit", "MB read a second", "peak of the group", "end"], rows);
    fs::remove_file(&x).map_err(|e| Error::io(&x, "remove", e))
}

fn row(name: &str, run: &Run, bytes: u64, peak: Option<u64>) -> Vec<String> {
    let wall = run.outcome.as_ref().and_then(|o| o.seconds.first().copied());
    let passes = run.outcome.as_ref().and_then(|o| o.ledger.as_ref()).map_or(1, |l| l.passes.max(1));
    let phase = run.last_phase();
    let end = if run.outcome.is_some() {
        "finished".into()
    } else if run.complaint.is_empty() {
        format!("did not finish: {} in its phase '{phase}'", run.status)
    } else {
        format!("did not finish: {} ({}) in its phase '{phase}'", run.complaint, run.status)
    };
    vec![
        name.into(),
        wall.map_or_else(|| "none".into(), seconds),
        wall.filter(|_| name.starts_with("ensemble"))
            .map_or_else(String::new, |w| format!("{:.0}", bytes as f64 * passes as f64 / 1e6 / w)),
        peak.map_or_else(String::new, mb),
        end,
    ]
}

/// Why files in this folder are in memory whatever is done, if they are.
fn in_memory(folder: &Path) -> Option<String> {
    let file_system = rustix::fs::statfs(folder).ok()?;
    (file_system.f_type as u64 == TMPFS).then(|| {
        format!("{} is in memory itself (tmpfs), so a file there cannot be larger than memory; give a folder on a disk with --data", folder.display())
    })
}

/// A group of processes with a memory limit; its folder goes when it is dropped.
struct Cgroup {
    folder: PathBuf,
    second: bool,
}

impl Cgroup {
    /// The reason when this machine does not let one be made.
    fn new(limit: u64) -> std::result::Result<Self, String> {
        let root = Path::new("/sys/fs/cgroup");
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path_of = |wanted: &str| {
            let line = own.lines().find_map(|l| {
                let mut parts = l.splitn(3, ':').skip(1);
                let (controllers, path) = (parts.next()?, parts.next()?);
                controllers.split(',').any(|c| c == wanted).then_some(path)
            });
            line.unwrap_or("/").trim_start_matches('/').to_owned()
        };
        let first = root.join("memory");
        let (base, second) =
            if first.join("memory.limit_in_bytes").exists() || first.join("cgroup.procs").exists() {
                (first.join(path_of("memory")), false)
            } else if root.join("cgroup.controllers").exists() {
                (root.join(path_of("")), true)
            } else {
                return Err("no memory controller is mounted below /sys/fs/cgroup".into());
            };
        let top = if second { root.to_owned() } else { first };
        let mut reasons = Vec::new();
        // A group of the second version may not be made below one that has processes; its root can.
        for parent in if second { [top, base] } else { [base, top] } {
            let folder = parent.join(format!("ensemble-bench-{}", std::process::id()));
            match Self::make(&folder, second, limit) {
                Ok(group) => return Ok(group),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(format!("this machine does not let a memory cgroup be made: {}", reasons.join("; ")))
    }

    fn make(folder: &Path, second: bool, limit: u64) -> std::result::Result<Self, String> {
        let say = |what: &Path, e: std::io::Error| format!("{}: {e}", what.display());
        fs::create_dir(folder).map_err(|e| say(folder, e))?;
        let group = Self { folder: folder.into(), second };
        let file = folder.join(if second { "memory.max" } else { "memory.limit_in_bytes" });
        fs::write(&file, limit.to_string()).map_err(|e| say(&file, e))?;
        // Without swap the limit is memory; where there is no swap there is no such file.
        let (swap, most) =
            if second { ("memory.swap.max", 0) } else { ("memory.memsw.limit_in_bytes", limit) };
        let _ = fs::write(folder.join(swap), most.to_string());
        Ok(group)
    }

    fn version(&self) -> &'static str {
        if self.second { "cgroup v2" } else { "cgroup v1" }
    }

    fn add(&self, pid: u32) -> Result<()> {
        let path = self.folder.join("cgroup.procs");
        fs::write(&path, pid.to_string()).map_err(|e| Error::io(path, "put a process into", e))
    }

    fn peak(&self) -> Option<u64> {
        let name = if self.second { "memory.peak" } else { "memory.max_usage_in_bytes" };
        fs::read_to_string(self.folder.join(name)).ok()?.trim().parse().ok()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Only an empty group can be removed; a process that is just ending needs a moment.
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
