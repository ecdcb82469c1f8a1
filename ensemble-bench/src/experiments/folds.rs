//! Experiment 4: any number of folds, with preprocessing, for any number of threads.

use std::path::Path;

use ensemble::{Order, Result, registry};
use ensemble_bench::{Axis, Figure, Panel, Series};

use super::{Bench, Verdict, beyond_columns, layer, mib};
use crate::{peers::Task, subject::Fit};

const COLUMNS: usize = 50;
/// A learner that declares more than this share of the table for its own fit copies the rows there.
const OWN_SHARE: f64 = 0.1;

/// Learners of one kind of stack.
struct Case {
    name: &'static str,
    learners: &'static [(&'static str, &'static str)],
    meta: &'static str,
    /// Fits that are slow are measured for few folds, one number of threads and one file.
    slow: bool,
}

const CASES: [Case; 7] = [
    Case {
        name: "native, affine preprocessing",
        learners: &[
            ("lasso", "native.lasso:alpha=0.01"),
            ("ridge", "native.standard_scaler | native.ridge:alpha=1"),
            ("net", "native.min_max_scaler | native.elastic_net:alpha=0.01"),
        ],
        meta: "native.linear_regression",
        slow: false,
    },
    Case {
        name: "native, none",
        learners: &[("lasso", "native.lasso:alpha=0.01"), ("ols", "native.linear_regression")],
        meta: "native.nnls",
        slow: false,
    },
    Case {
        name: "native, non-affine preprocessing",
        learners: &[
            ("lasso", "native.normalizer | native.lasso:alpha=0.001"),
            ("ridge", "native.normalizer | native.ridge:alpha=1"),
        ],
        meta: "native.linear_regression",
        slow: false,
    },
    Case {
        name: "linfa",
        learners: &[
            ("lasso", "linfa.elastic_net:alpha=0.01,l1_ratio=1"),
            ("net", "native.standard_scaler | linfa.elastic_net:alpha=0.01"),
        ],
        meta: "native.linear_regression",
        slow: false,
    },
    Case {
        name: "linfa, its least squares",
        learners: &[("ols", "linfa.linear_regression")],
        meta: "native.linear_regression",
        slow: true,
    },
    Case {
        name: "smartcore",
        learners: &[
            ("ridge", "smartcore.ridge_regression:alpha=1"),
            ("lasso", "native.standard_scaler | smartcore.lasso:alpha=0.01"),
        ],
        meta: "native.linear_regression",
        slow: false,
    },
    Case {
        name: "smartcore, a tree",
        learners: &[("tree", "smartcore.decision_tree_regressor:max_depth=2")],
        meta: "native.linear_regression",
        slow: true,
    },
];

/// Extra anonymous memory for every K, number of threads, preprocessing, backend and order of the file.
pub(crate) fn folds(bench: &mut Bench) -> Result<()> {
    let rows = bench.sizes.folds_rows;
    let data = (rows * COLUMNS * 8) as f64;
    let bar = bench.bar((rows * COLUMNS * 8) as u64);
    let files = [Order::C, Order::F].map(|order| (order, bench.table(rows, COLUMNS, order)));
    bench.report.heading("4. Any number of folds");
    bench.report.text(format!(
        "friedman1, {rows} x {COLUMNS} ({:.0} MB), from C and Fortran files. Every cell is a process of its own: the peak of its \
         anonymous memory during the fit, less what was there before and prediction columns in memory. Every cell must stay below \
         {} and nothing may be gathered; only learners that declare that their own fit allocates with the rows are not judged by \
         their cells. The peers' curves are of Lasso and a scaled ridge under a linear regression, with one worker, on scikit-learn's \
         folds, whose ends lie within 1 % of a fold of ours.",
        data / 1e6,
        mib(bar)
    ));
    let mut head = vec!["learners", "file", "threads"];
    let columns: Vec<String> = bench.sizes.folds.iter().map(|k| format!("K = {k}")).collect();
    head.extend(columns.iter().map(String::as_str));
    head.extend(["its own fit allocates", "judged"]);
    let (mut table, mut panel) =
        (Vec::new(), Panel::new(Axis::new("extra anonymous memory over the data").log()));
    let mut absent = Vec::new();
    let registry = registry();
    let mut worst: Option<(u64, String)> = None;
    let (mut cells, mut above) = (0usize, Vec::new());
    for case in &CASES {
        if let Some((_, text)) = case.learners.iter().find(|(_, text)| registry.pipeline(text).is_err()) {
            absent.push(format!("{}: absent (this program was built without `{text}`)", case.name));
            continue;
        }
        // For the figure: the most that any file and number of threads took, at each K.
        let mut most: Vec<(f64, f64)> = bench.sizes.folds.iter().map(|k| (*k as f64, 0.0)).collect();
        for (order, paths) in &files {
            let (x, y) = match paths {
                Ok(paths) => paths,
                Err(error) => {
                    above.push(format!("{order:?} file: absent ({error})"));
                    continue;
                }
            };
            for &threads in
                bench.sizes.threads.iter().filter(|t| !case.slow || (**t == 2 && *order == Order::C))
            {
                let (mut figures, mut declared) = (Vec::new(), 0);
                for (i, &k) in bench.sizes.folds.iter().enumerate() {
                    if case.slow && k > 3 {
                        figures.push(String::new());
                        continue;
                    }
                    let run = bench.fit(&fit(x, y, case, k, threads))?;
                    let extra = beyond_columns(&run)?;
                    let ledger = run.finished()?.ledger.clone().unwrap_or_default();
                    declared = declared.max(ledger.declared);
                    most[i].1 = most[i].1.max(extra as f64 / data);
                    figures.push(mib(extra));
                    // A learner that copies the rows in its own fit takes a view and makes no use of it.
                    if ledger.declared as f64 > OWN_SHARE * data {
                        if !ledger.as_planned || ledger.gathered > 0 {
                            above.push(format!("{}: rows were gathered", case.name));
                        }
                        continue;
                    }
                    cells += 1;
                    let name = format!("{}, {order:?} file, {threads} threads, K = {k}", case.name);
                    if extra >= bar || !ledger.as_planned || ledger.gathered > 0 {
                        let gathered = if ledger.gathered > 0 { ", and rows were gathered" } else { "" };
                        above.push(format!("{name}: {}{gathered}", mib(extra)));
                    }
                    if worst.as_ref().is_none_or(|w| extra > w.0) {
                        worst = Some((extra, name));
                    }
                }
                let mut row = vec![case.name.into(), format!("{order:?}"), threads.to_string()];
                row.extend(figures);
                row.push(mib(declared));
                row.push(if declared as f64 > OWN_SHARE * data {
                    "no: it copies".into()
                } else {
                    "yes".into()
                });
                table.push(row);
            }
        }
        panel = panel.with(Series::dotted(format!("ensemble: {}", case.name), most));
    }
    bench.report.table(&head, table);
    let most = worst.as_ref().map_or_else(|| "nothing measured".into(), |w| format!("{} at most", mib(w.0)));
    if let Some((_, name)) = worst {
        bench.report.text(format!("Of {cells} fits {most} ({name})."));
    }
    let failed = if above.is_empty() { String::new() } else { format!("; above: {}", above.join("; ")) };
    bench.must.push(Verdict {
        what: format!("{cells} fits of experiment 4: extra anonymous memory beyond prediction columns"),
        measured: most + &failed,
        bar: format!("< {}, nothing gathered", mib(bar)),
        held: cells > 0 && above.is_empty(),
    });
    for text in absent {
        bench.report.text(format!("{text}."));
    }
    if let (_, Ok((x, y))) = &files[0] {
        panel = peers(bench, x, y, data, panel)?;
    }
    bench.report.figure(
        "folds",
        Figure::new(
            "Extra anonymous memory of a fit, as a share of the data",
            Axis::new("folds K").log().ticks(bench.sizes.folds.iter().map(|k| *k as f64)),
        )
        .panel(panel.level(bar as f64 / data, format!("bar, {}", mib(bar)))),
    );
    Ok(())
}

fn fit(x: &Path, y: &Path, case: &Case, folds: usize, threads: usize) -> Fit {
    Fit {
        x: x.into(),
        y: y.into(),
        layer: layer(case.learners),
        meta: Some(case.meta.into()),
        folds,
        threads,
        rounds: 1,
        ..Fit::default()
    }
}

/// The curves of scikit-learn and mlens, with one worker: two cost more memory.
fn peers(bench: &mut Bench, x: &Path, y: &Path, data: f64, mut panel: Panel) -> Result<Panel> {
    let mut rows = Vec::new();
    for (peer, named) in [("sklearn", "scikit-learn"), ("mlens", "mlens")] {
        if !bench.peers.has(peer) {
            continue;
        }
        let mut points = Vec::new();
        let mut cells = vec![named.to_owned()];
        for &folds in bench.sizes.peer_folds {
            let task = Task { task: "folds", x, y, folds, jobs: 1, alpha: 0.01, load: true, predict_rows: 0 };
            let run = bench.peers.stack(peer, &task)?;
            bench.note(&run);
            let extra = run.finished().ok().and_then(|_| run.extra("fit", "fitted"));
            match extra {
                Some(extra) => {
                    let share = extra.anonymous as f64 / data;
                    points.push((folds as f64, share));
                    cells.push(format!("{share:.2}"));
                }
                None => cells.push(format!("absent: {}", run.complaint)),
            }
        }
        panel = panel.with(Series::dotted(named, points));
        rows.push(cells);
    }
    if !rows.is_empty() {
        let columns: Vec<String> = bench.sizes.peer_folds.iter().map(|k| format!("K = {k}")).collect();
        let mut head = vec!["extra anonymous memory over the data, Lasso and a scaled ridge, one worker"];
        head.extend(columns.iter().map(String::as_str));
        bench.report.table(&head, rows);
    }
    Ok(panel)
}
