//! Experiment 3: learners alone and an ensemble of them with nearest neighbours on top, in turn.

use std::path::Path;

use ensemble::{Order, Result};

use super::{
    Bench,
    contest::{Bars, Contest, contests},
    layer, seconds,
};
use crate::{
    peers::Task,
    run::{self, How, Run, subject},
    subject::{Step, Subject},
};

const COLUMNS: usize = 50;
const NEIGHBOURS: &str = "native.k_neighbors_regressor";
/// What the steps are called, in order.
const STEPS: [(&str, &str); 4] = [
    ("lasso", "Lasso"),
    ("knn", "nearest neighbours"),
    ("compare", "ensemble, K = 2"),
    ("elastic_net", "elastic net"),
];

/// Memory over time of all in turn, and the ensemble against the peers.
pub(crate) fn compare(bench: &mut Bench) -> Result<()> {
    let rows = bench.sizes.compare_rows;
    let (x, y) = bench.table(rows, COLUMNS, Order::C)?;
    let data = (rows * COLUMNS * 8) as u64;
    bench.report.heading("3. Learners and an ensemble in turn");
    bench.report.text(format!(
        "friedman1, {rows} x {COLUMNS} ({} MB): Lasso, nearest neighbours, an ensemble of elastic net and Lasso with nearest neighbours \
         on top at K = 2, and elastic net, fitted in turn. At scikit-learn's default, alpha = 1, the Lasso's solution on this problem is \
         zero: it is shown because the page has it, and alpha = 0.01 beside it. In turn ours uses all cores, and peers one worker.",
        data / 1_000_000
    ));
    in_turn(bench, &x, &y)?;
    let contest = |alpha: f64| Contest {
        title: format!("elastic net and Lasso (alpha = {alpha}) under neighbours, K = 2"),
        task: "compare",
        x: x.clone(),
        y: y.clone(),
        data,
        layer: penalised(alpha),
        meta: NEIGHBOURS.into(),
        folds: 2,
        alpha,
        all_peers: alpha == 1.0,
    };
    let linear = Contest {
        title: "Lasso, elastic net and OLS under non-negative least squares, K = 10".into(),
        task: "linear",
        x: x.clone(),
        y: y.clone(),
        data,
        layer: layer(&[
            ("lasso", "native.lasso:alpha=0.01"),
            ("net", "native.elastic_net:alpha=0.01"),
            ("ols", "native.linear_regression"),
        ]),
        meta: "native.nnls".into(),
        folds: 10,
        alpha: 0.01,
        all_peers: false,
    };
    let near = || Bars { faster_than: &[("sklearn", 8.0), ("mlens", 30.0)], memory_share: Some(0.1) };
    contests(
        bench,
        &[
            (contest(1.0), near()),
            (contest(0.01), near()),
            (linear, Bars { faster_than: &[("sklearn", 50.0)], memory_share: None }),
        ],
    )?;
    Ok(())
}

fn penalised(alpha: f64) -> Vec<(String, String)> {
    vec![
        ("net".into(), format!("native.elastic_net:alpha={alpha}")),
        ("lasso".into(), format!("native.lasso:alpha={alpha}")),
    ]
}

fn in_turn(bench: &mut Bench, x: &Path, y: &Path) -> Result<()> {
    let stack = Step::Stack { layer: penalised(1.0), meta: NEIGHBOURS.into(), folds: 2 };
    let steps = [
        Step::Learner("native.lasso".into()),
        Step::Learner(NEIGHBOURS.into()),
        stack,
        Step::Learner("native.elastic_net".into()),
    ];
    let steps = STEPS.iter().map(|s| s.0.to_owned()).zip(steps).collect();
    let ours = Subject::Turn { x: x.into(), y: y.into(), steps, pause: bench.sizes.pause };
    let mut runs = vec![("ensemble", subject(&ours, How::process())?)];
    for (peer, named) in [("sklearn", "scikit-learn"), ("mlens", "mlens")] {
        if bench.peers.has(peer) {
            let rest = (bench.sizes.pause * 1000.0) as usize;
            let task =
                Task { task: "turn", x, y, folds: 2, jobs: 1, alpha: 1.0, load: true, predict_rows: rest };
            let run = run::run(bench.peers.command(peer, &task), How::tree(), &mut |_| Ok(()))?;
            match run.finished() {
                Ok(_) => runs.push((named, run)),
                Err(error) => bench.report.text(format!("{named} is absent: {error}")),
            }
        }
    }
    let mut rows = Vec::new();
    for (named, run) in &runs {
        bench.note(run);
        rows.extend(step_rows(named, run)?);
        let title = format!("{named}: Lasso, neighbours, ensemble and elastic net in turn");
        let mut recording = run.recording.clone();
        // The ends of steps are for the table; their beginnings say enough in a chart.
        recording.marks.retain(|m| !m.name.ends_with(" done"));
        bench.report.recording(&format!("compare-{named}"), &title, &recording);
    }
    bench.report.table(&["program", "step", "wall", "extra anonymous", "extra PSS"], rows);
    Ok(())
}

fn step_rows(named: &str, run: &Run) -> Result<Vec<Vec<String>>> {
    let walls = run.finished()?.seconds.clone();
    STEPS
        .iter()
        .zip(walls)
        .map(|((mark, step), wall)| {
            let extra = run.phase(mark, &format!("{mark} done"))?;
            Ok(vec![
                named.into(),
                (*step).into(),
                seconds(wall),
                super::mb(extra.anonymous),
                extra.pss.map_or_else(|| "unknown".into(), super::mb),
            ])
        })
        .collect()
}
