//! The monitor on its own process: one test, so that nothing else allocates meanwhile.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use ensemble_bench::{Recording, Watch};

#[test]
fn this_process_is_watched_by_phases_and_the_watching_is_cheap() {
    let monitor = Watch::this_process().every(Duration::from_millis(5)).start().unwrap();
    let before = monitor.mark("before").unwrap();
    let block = std::hint::black_box(vec![1u8; 100_000_000]);
    let held = monitor.mark("held").unwrap();
    drop(block);
    let freed = monitor.mark("freed").unwrap();
    let start = Instant::now();
    let mut sum = 0u64;
    while start.elapsed() < Duration::from_millis(500) {
        sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
    }
    let recording = monitor.finish().unwrap();

    for (what, bytes) in [
        ("anonymous", held.anonymous - before.anonymous),
        ("proportional", held.pss_anonymous.unwrap() - before.pss_anonymous.unwrap()),
        ("freed", held.anonymous - freed.anonymous),
    ] {
        assert!((bytes as f64 / 1e8 - 1.0).abs() < 0.05, "{what}: {bytes} bytes of 100 MB");
    }
    // A busy loop is one core, less what others on the machine take.
    let busy = recording.samples.iter().map(|s| s.cpu_percent).fold(0.0, f64::max);
    assert!((10.0..150.0).contains(&busy), "{busy} % of a core");
    let part = recording.between("before", "freed").unwrap();
    assert!(part.samples.len() >= 3 && part.peak(|s| Some(s.anonymous)) >= Some(held.anonymous));

    let cost = recording.cost;
    assert!(cost.samples == recording.samples.len() && cost.cpu_seconds > 0.0);
    assert!(cost.cpu_seconds < 0.2 * cost.watched_seconds, "{cost:?}");

    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    recording.save_csv(path("a.csv")).unwrap();
    let text = std::fs::read_to_string(path("a.csv")).unwrap();
    let columns = text.lines().next().unwrap().split(',').count();
    assert_eq!(text.lines().count(), recording.samples.len() + 1);
    assert!(text.lines().all(|l| l.split(',').count() == columns));
    assert!(text.contains(",held,"));
    recording.save_json(path("a.json")).unwrap();
    let read: Recording = serde_json::from_str(&std::fs::read_to_string(path("a.json")).unwrap()).unwrap();
    assert_eq!(read, recording);
    let figure = recording.figure("a test of the monitor");
    figure.save_svg(path("a.svg")).unwrap();
    figure.save_png(path("a.png")).unwrap();
    assert!(std::fs::metadata(path("a.png")).unwrap().len() > 10_000);
}
