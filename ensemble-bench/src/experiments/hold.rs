//! Experiment 1: an array given to workers that do nothing but hold it.

use ensemble::{Error, Order, Result, memmap::NpyWriter};
use ensemble_bench::{Figure, Panel, Series, warm};

use super::{Bench, Verdict, mb, seconds};
use crate::{
    run::{How, Run, subject},
    subject::{HoldWay, Subject},
};

const COLUMNS: usize = 1000;
const WORKERS: usize = 4;

/// Time and memory of holding an array in four workers, by the way they get it.
pub(crate) fn hold(bench: &mut Bench) -> Result<()> {
    let (rows, hold, pause) = (bench.sizes.hold_rows, bench.sizes.hold_seconds, bench.sizes.pause);
    let bytes = (rows * COLUMNS * 8) as u64;
    let path = bench.folder.join(format!("hold-{rows}.npy"));
    let mut writer = NpyWriter::create(&path, rows, COLUMNS, Order::C)?;
    for row in 0..rows {
        let values: Vec<f64> = (0..COLUMNS).map(|j| (row * COLUMNS + j) as f64).collect();
        writer.write_rows(&values)?;
    }
    writer.finish()?;
    warm(&path)?;
    bench.report.heading("1. Holding an array");
    bench.report.text(format!(
        "An array of {rows} x {COLUMNS} float64 ({}) is given to {WORKERS} workers that hold it for {hold} s: serialized to each \
         over a pipe, as a mapped file, and as a view shared by threads; beside them joblib's processes, as the page has it. Memory \
         is PSS over the process tree: a page that several processes map counts once. Processes are read one after the other, so \
         while pages are being mapped the sum is of no single moment and may be too high; the bar is on the median. Mapped and shared, \
         workers read the whole array within the hold; serialized, it begins when they have it; joblib's workers only wait.",
        mb(bytes)
    ));
    let ways = [
        ("serialized over pipes", "hold", "held", HoldWay::Pipe),
        ("mapped file", "hold", "held", HoldWay::Mapped),
        ("threads sharing a view", "hold", "held", HoldWay::Threads),
    ];
    let mut runs: Vec<(String, Run)> = Vec::new();
    for (name, _, _, way) in ways {
        let run = subject(
            &Subject::Hold { path: path.clone(), workers: WORKERS, seconds: hold, way, pause },
            How::tree().proportional(),
        )?;
        runs.push((name.into(), run));
    }
    if bench.peers.has("sklearn") {
        for way in ["pickled", "mapped"] {
            let run = bench.peers.hold(&path, WORKERS, hold, way)?;
            match run.finished() {
                Ok(_) => runs.push((format!("joblib, {way}"), run)),
                Err(error) => bench.report.text(format!("joblib, {way} is absent: {error}")),
            }
        }
    }
    let (mut rows, mut panel) = (Vec::new(), Panel::new("PSS of the process tree (MB)"));
    for (name, run) in &runs {
        bench.note(run);
        let taken = run.finished()?.seconds.first().copied().unwrap_or_default();
        let part = run
            .recording
            .between("hold", "held")
            .ok_or_else(|| Error::unsupported(format!("{}: the phase 'hold' was not seen", run.command)))?;
        let mut held: Vec<u64> = part.samples.iter().filter_map(|s| s.pss).collect();
        held.sort_unstable();
        let (Some(&median), Some(&peak)) = (held.get(held.len() / 2), held.last()) else {
            return Err(Error::unsupported(format!(
                "{}: this kernel does not tell proportional memory",
                run.command
            )));
        };
        let extra = run.phase("hold", "held")?;
        rows.push(vec![
            name.clone(),
            seconds(taken),
            seconds(taken - hold),
            mb(median),
            mb(peak),
            mb(extra.anonymous),
            format!("{:.2}", peak as f64 / bytes as f64),
        ]);
        let start = part.samples.first().map_or(0.0, |s| s.seconds);
        let points =
            run.recording.samples.iter().filter_map(|s| Some((s.seconds - start, s.pss? as f64 / 1e6)));
        panel = panel.with(Series::line(name, points.filter(|p| p.0 >= -pause).collect()));
        let slug: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        bench.report.keep(&format!("hold-{slug}"), &run.recording);
        judge(bench, name, taken - hold, (median, peak), bytes);
    }
    let head = [
        "way",
        "wall",
        "beyond the hold",
        "median PSS",
        "peak PSS",
        "extra anonymous",
        "peak over the array",
    ];
    bench.report.table(&head, rows);
    bench.report.figure(
        "hold",
        Figure::new(
            format!("{WORKERS} workers holding {}", mb(bytes)),
            "time since the workers were started (s)",
        )
        .panel(panel.level(bytes as f64 / 1e6, "one copy of the array")),
    );
    std::fs::remove_file(&path).map_err(|e| Error::io(&path, "remove", e))
}

fn judge(bench: &mut Bench, name: &str, beyond: f64, (median, peak): (u64, u64), bytes: u64) {
    match name {
        "mapped file" => {
            let over = median.saturating_sub(bytes);
            bench.aims.push(Verdict {
                what: "hold, mapped: start-up beyond the hold".into(),
                measured: seconds(beyond),
                bar: "< 0.1 s".into(),
                held: beyond < 0.1,
            });
            bench.aims.push(Verdict {
                what: "hold, mapped: memory beyond one copy of the page cache".into(),
                measured: mb(over),
                bar: "< 16 MB".into(),
                held: over < 16_000_000,
            });
        }
        "serialized over pipes" => bench.aims.push(Verdict {
            what: "hold, serialized: copies beside the parent's own array".into(),
            measured: format!("{:.2}", peak as f64 / bytes as f64 - 1.0),
            bar: ">= 3.9 (it shows its 4 copies)".into(),
            held: peak as f64 / bytes as f64 - 1.0 >= 3.9,
        }),
        _ => {}
    }
}
