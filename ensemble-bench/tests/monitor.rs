//! The monitor against known allocations of other processes: this program's subjects, which wait for an answer at every mark.
#![allow(missing_docs)]

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ensemble::{Error, Order, Result};
use ensemble_bench::{Recording, Sample, Watch, friedman};

const MB: usize = 1_000_000;

/// Run a subject to its end, and the sample taken at each of its marks.
fn watch(subject: &str, descendants: bool) -> Result<(Vec<(String, Sample)>, Recording)> {
    let io = |e| Error::io("subject", "run", e);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ensemble-bench"))
        .args(["subject", subject])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(io)?;
    let watch = Watch::process(child.id()).every(Duration::from_millis(5));
    let monitor = if descendants { watch.with_descendants() } else { watch }.start()?;
    let (mut input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut marks = Vec::new();
    for line in output.lines() {
        if let Some(name) = line.map_err(io)?.strip_prefix("mark ") {
            marks.push((name.to_owned(), monitor.mark(name)?));
            input.write_all(b"\n").map_err(io)?;
        }
    }
    assert!(child.wait().map_err(io)?.success());
    Ok((marks, monitor.finish()?))
}

#[track_caller]
fn within_5_percent(what: &str, got: u64, want: usize) {
    let share = got as f64 / want as f64;
    assert!((share - 1.0).abs() < 0.05, "{what}: {got} bytes where {want} were expected");
}

#[test]
fn a_hundred_megabytes_appear_when_touched_and_go_when_freed() {
    let (marks, recording) = watch(&format!(r#"{{"do":"allocate","bytes":{}}}"#, 100 * MB), false).unwrap();
    let [(_, before), (_, allocated), (_, freed)] = &marks[..] else { panic!("{marks:?}") };
    within_5_percent("anonymous", allocated.anonymous - before.anonymous, 100 * MB);
    within_5_percent("resident", allocated.rss - before.rss, 100 * MB);
    within_5_percent("proportional", allocated.pss.unwrap() - before.pss.unwrap(), 100 * MB);
    within_5_percent("freed", allocated.anonymous - freed.anonymous, 100 * MB);
    assert!(allocated.file.abs_diff(before.file) < 5 * MB as u64);
    // Pages may be huge, so that there are fewer faults than pages; there are some.
    assert!(allocated.minor_faults > before.minor_faults);
    assert_eq!(recording.marks.len(), 3);
    within_5_percent("peak", recording.peak(|s| Some(s.anonymous)).unwrap() - before.anonymous, 100 * MB);
}

#[test]
fn a_mapped_file_is_file_memory_and_not_anonymous() {
    let dir = tempfile::tempdir().unwrap();
    let (x, _) = friedman(dir.path(), 250_000, 50, Order::C).unwrap();
    let (marks, _) = watch(&format!(r#"{{"do":"map","path":{x:?}}}"#), false).unwrap();
    let [(_, before), (_, mapped), (_, unmapped)] = &marks[..] else { panic!("{marks:?}") };
    within_5_percent("files", mapped.file - before.file, 100 * MB);
    within_5_percent("proportional files", mapped.pss_file.unwrap() - before.pss_file.unwrap(), 100 * MB);
    within_5_percent("unmapped", mapped.file - unmapped.file, 100 * MB);
    assert!(mapped.anonymous.abs_diff(before.anonymous) < 2 * MB as u64);
}

#[test]
fn children_are_counted_when_asked_and_only_then() {
    let subject = format!(r#"{{"do":"children","count":3,"bytes":{}}}"#, 100 * MB);
    let (marks, recording) = watch(&subject, true).unwrap();
    let [(_, before), (_, children), (_, ended)] = &marks[..] else { panic!("{marks:?}") };
    assert_eq!((before.processes, children.processes, ended.processes), (1, 4, 1));
    within_5_percent("anonymous", children.anonymous - before.anonymous, 300 * MB);
    within_5_percent(
        "proportional",
        children.pss_anonymous.unwrap() - before.pss_anonymous.unwrap(),
        300 * MB,
    );
    assert!(ended.anonymous.abs_diff(before.anonymous) < 5 * MB as u64);
    assert!(ended.cpu_seconds > before.cpu_seconds, "CPU time of ended children stays in the sum");
    assert!(recording.samples.iter().any(|s| s.threads >= 4));

    let (marks, _) = watch(&subject, false).unwrap();
    assert!(marks.iter().all(|(_, s)| s.processes == 1));
    assert!(
        marks[1].1.anonymous - marks[0].1.anonymous < 5 * MB as u64,
        "the parent alone holds nothing then"
    );
}

#[test]
fn a_monitor_stops_by_itself_when_the_process_ends_and_when_its_time_is_over() {
    let start = Instant::now();
    let mut child = Command::new("sleep").arg("0.2").spawn().unwrap();
    let monitor = Watch::process(child.id()).every(Duration::from_millis(5)).start().unwrap();
    child.wait().unwrap();
    let lived = start.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_millis(100));
    assert!(monitor.mark("late").is_err());
    let recording = monitor.finish().unwrap();
    assert!(recording.ended && recording.samples.last().unwrap().seconds <= lived);

    let monitor = Watch::this_process()
        .every(Duration::from_millis(5))
        .at_most(Duration::from_millis(50))
        .start()
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let recording = monitor.finish().unwrap();
    assert!(!recording.ended && recording.samples.last().unwrap().seconds < 0.19);
    assert!(Watch::process(u32::MAX - 1).start().is_err());
}
