//! One stack, fitted by every program: same file, same folds, same learners.

use std::path::PathBuf;

use ensemble::Result;

use super::{Bench, Verdict, mb, seconds};
use crate::{peers::Task, run::Run, subject::Fit};

/// A stack that all programs know.
pub(super) struct Contest {
    /// What tables call it.
    pub(super) title: String,
    /// What `stack.py` calls it.
    pub(super) task: &'static str,
    pub(super) x: PathBuf,
    pub(super) y: PathBuf,
    /// Bytes of x.
    pub(super) data: u64,
    pub(super) layer: Vec<(String, String)>,
    pub(super) meta: String,
    pub(super) folds: usize,
    pub(super) alpha: f64,
    /// Peers besides scikit-learn and mlens too.
    pub(super) all_peers: bool,
}

/// A program's figures.
pub(super) struct Entry {
    pub(super) who: String,
    pub(super) wall: f64,
    cpu: f64,
    pub(super) anonymous: u64,
    pub(super) run: Run,
    cells: Vec<String>,
}

/// Ratios that a contest should reach: wall of a peer over ours, and our extra memory over theirs.
pub(super) struct Bars {
    pub(super) faster_than: &'static [(&'static str, f64)],
    pub(super) memory_share: Option<f64>,
}

const HEAD: [&str; 12] = [
    "stack",
    "program",
    "jobs",
    "wall",
    "CPU",
    "extra anonymous",
    "extra PSS",
    "data in memory",
    "RMSE",
    "times our wall",
    "times our CPU",
    "others' CPU",
];

/// Run all contests and put them in one table. Gives back every contest's entries, ours first.
pub(super) fn contests(bench: &mut Bench, contests: &[(Contest, Bars)]) -> Result<Vec<Vec<Entry>>> {
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for (contest, bars) in contests {
        let entries = enter(bench, contest)?;
        let ours = entries[0].wall;
        for entry in &entries {
            let mut cells = vec![contest.title.clone()];
            cells.extend(entry.cells.iter().cloned());
            // CPU time comes in ticks of 10 ms: of less than a few of them there is no ratio.
            let (cpu, our_cpu) = (entry.cpu, entries[0].cpu);
            cells.insert(9, format!("{:.1}", entry.wall / ours));
            cells.insert(10, if our_cpu < 0.03 { String::new() } else { format!("{:.1}", cpu / our_cpu) });
            rows.push(cells);
        }
        judge(bench, contest, bars, &entries);
        all.push(entries);
    }
    bench.report.table(&HEAD, rows);
    let stated = "Wall and CPU are of the fit alone, the data being in the page cache (ours, mapped) or in memory (peers, who load it \
                  first: the column before RMSE). Ours is the median of its rounds in a fresh process, a peer's is one fit in a fresh \
                  process. Extra is the peak of one fit over the process tree, less what was there when it began; ours includes the file's \
                  pages as they are mapped, in PSS. RMSE is of predictions for the first rows. Others on the machine disturb \
                  CPU time less than wall.";
    bench.report.text(stated);
    Ok(all)
}

fn enter(bench: &mut Bench, c: &Contest) -> Result<Vec<Entry>> {
    // As many as the peers' workers are tried with.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(2);
    let fit = Fit {
        x: c.x.clone(),
        y: c.y.clone(),
        layer: c.layer.clone(),
        meta: Some(c.meta.clone()),
        folds: c.folds,
        exact: true,
        threads,
        rounds: bench.sizes.rounds,
        predict_rows: bench.sizes.predict_rows,
        ..Fit::default()
    };
    let run = bench.fit(&fit)?;
    bench.judge_memory(&c.title, &run, c.data)?;
    let mut entries = vec![entry("ensemble", threads, run)?];
    let jobs = if threads > 1 { vec![1, 2] } else { vec![1] };
    for peer in crate::peers::NAMES {
        if !bench.peers.has(peer) || !(c.all_peers || matches!(peer, "sklearn" | "mlens")) {
            continue;
        }
        for &jobs in &jobs {
            let worth = match peer {
                "vecstack" => jobs == 1,
                // Two workers are slower at small sizes, and starting them slower still: once is enough to show it.
                "sklearn" => jobs == 1 || bench.sizes.judge_ratios || c.all_peers,
                // Threads, which never did worse with two.
                "mlens" => jobs > 1 || threads == 1 || bench.sizes.judge_ratios,
                _ => jobs == 1 || bench.sizes.judge_ratios,
            };
            if !worth {
                continue;
            }
            let task = Task {
                task: c.task,
                x: &c.x,
                y: &c.y,
                folds: c.folds,
                jobs,
                alpha: c.alpha,
                load: true,
                predict_rows: bench.sizes.predict_rows,
            };
            let run = bench.peers.stack(peer, &task)?;
            bench.note(&run);
            match run.finished() {
                Ok(_) => entries.push(entry(peer, jobs, run)?),
                Err(error) => {
                    bench.report.text(format!("{}: {peer} with {jobs} jobs is absent: {error}", c.title))
                }
            }
        }
    }
    Ok(entries)
}

fn entry(who: &str, jobs: usize, run: Run) -> Result<Entry> {
    let outcome = run.finished()?;
    let mut walls = outcome.seconds.clone();
    walls.sort_by(f64::total_cmp);
    let wall = walls[walls.len() / 2];
    let extra = run.phase("fit", "fitted")?;
    // Several fits, where there were several.
    let all = run.extra("fit", "timed").map_or(extra.cpu_seconds, |all| all.cpu_seconds);
    let cpu = all / outcome.seconds.len() as f64;
    let cells = vec![
        who.into(),
        jobs.to_string(),
        seconds(wall),
        seconds(cpu),
        mb(extra.anonymous),
        extra.pss.map_or_else(|| "unknown".into(), mb),
        mb(extra.base_anonymous),
        outcome.rmse.map_or_else(String::new, |r| format!("{r:.6}")),
        format!("{:.0} %", 100.0 * run.others),
    ];
    Ok(Entry { who: who.into(), wall, cpu, anonymous: extra.anonymous, run, cells })
}

/// The quickest entry of a program.
pub(super) fn best<'a>(entries: &'a [Entry], who: &str) -> Option<&'a Entry> {
    entries.iter().filter(|e| e.who == who).min_by(|a, b| a.wall.total_cmp(&b.wall))
}

fn judge(bench: &mut Bench, contest: &Contest, bars: &Bars, entries: &[Entry]) {
    if !bench.sizes.judge_ratios {
        return;
    }
    let ours = &entries[0];
    for (peer, bar) in bars.faster_than {
        let what = format!("{}: {peer} over ours, wall", contest.title);
        let Some(theirs) = best(entries, peer) else {
            bench.aims.push(Verdict {
                what,
                measured: "absent".into(),
                bar: format!(">= {bar}"),
                held: false,
            });
            continue;
        };
        let ratio = theirs.wall / ours.wall;
        bench.aims.push(Verdict {
            what,
            measured: format!("{ratio:.1} ({} and {})", seconds(theirs.wall), seconds(ours.wall)),
            bar: format!(">= {bar}"),
            held: ratio >= *bar,
        });
        if let Some(most) = bars.memory_share {
            let share = ours.anonymous as f64 / theirs.anonymous.max(1) as f64;
            bench.aims.push(Verdict {
                what: format!("{}: our extra anonymous memory over {peer}'s", contest.title),
                measured: format!("{share:.3} ({} and {})", mb(ours.anonymous), mb(theirs.anonymous)),
                bar: format!("< {most}"),
                held: share < most,
            });
        }
    }
}
