//! Experiment 2: three linear regressions behind different preprocessing, from a file path.

use ensemble::{Order, Result};

use super::{
    Bench,
    contest::{Bars, Contest, best, contests},
    layer,
};
use crate::subject::Fit;

const COLUMNS: usize = 10;
const AFFINE: [(&str, &str); 3] = [
    ("plain", "native.linear_regression"),
    ("standardised", "native.standard_scaler | native.linear_regression"),
    ("min-max", "native.min_max_scaler | native.linear_regression"),
];
const META: &str = "native.linear_regression";

/// CPU and memory over time, and the stack against the peers at K = 2 and 5.
pub(crate) fn profile(bench: &mut Bench) -> Result<()> {
    let rows = bench.sizes.profile_rows;
    let (x, y) = bench.table(rows, COLUMNS, Order::C)?;
    let data = (rows * COLUMNS * 8) as u64;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    bench.report.heading("2. Profile of a fit");
    bench.report.text(format!(
        "friedman1, {rows} x {COLUMNS} ({} MB): three linear regressions, plain, behind a standard scaler and behind a min-max scaler, \
         under a linear regression; the non-affine stack has a row normalizer before its third learner.",
        data / 1_000_000
    ));
    let path_only = Fit {
        x: x.clone(),
        y: y.clone(),
        layer: layer(&AFFINE),
        meta: Some(META.into()),
        folds: 2,
        threads,
        rounds: 1,
        pause: bench.sizes.pause,
        ..Fit::default()
    };
    let non_affine = [AFFINE[0], AFFINE[1], ("normalized", "native.normalizer | native.linear_regression")];
    let subjects = [
        ("profile-path", "Fit from the path alone, K = 2", path_only.clone()),
        ("profile-loaded", "Data loaded first, then fitted, K = 2", Fit { load: true, ..path_only.clone() }),
        (
            "profile-non-affine",
            "A non-affine transformer, from the path alone, K = 5",
            Fit { layer: layer(&non_affine), folds: 5, ..path_only },
        ),
    ];
    for (name, title, fit) in subjects {
        let run = bench.fit(&fit)?;
        bench.judge_memory(title, &run, data)?;
        bench.report.recording(name, &format!("ensemble: {title}"), &run.recording);
    }
    let all_peers = bench.sizes.judge_ratios;
    let contest = |folds| Contest {
        title: format!("3 linear regressions, K = {folds}"),
        task: "profile",
        x: x.clone(),
        y: y.clone(),
        data,
        layer: layer(&AFFINE),
        meta: META.into(),
        folds,
        alpha: 0.0,
        all_peers: all_peers && folds == 2,
    };
    let entries = contests(
        bench,
        &[
            (contest(2), Bars { faster_than: &[("sklearn", 30.0), ("mlens", 30.0)], memory_share: None }),
            (contest(5), Bars { faster_than: &[("sklearn", 50.0), ("mlens", 50.0)], memory_share: None }),
        ],
    )?;
    for (peer, named) in [("sklearn", "scikit-learn"), ("mlens", "mlens")] {
        if let Some(entry) = best(&entries[0], peer) {
            let recording = entry.run.recording.clone();
            bench.report.recording(
                &format!("profile-{peer}"),
                &format!("{named}: the same stack, K = 2"),
                &recording,
            );
        }
    }
    Ok(())
}
