//! What the engine costs over the bare libraries: time, and anonymous memory.
//!
//! `cargo run --release -p ensemble-bench --features linfa,smartcore --bin overhead`
//!
//! The same learners of linfa and smartcore, K = 5, on the same rows: once each library by itself on owned matrices that are
//! copied for every fold before the clock starts, its K + 1 fits and K predictions on two threads; once through
//! `SuperLearner` on the mapped file. Each in a process of its own, in turns; the best of several rounds counts.

#![forbid(unsafe_code)]

use std::{path::Path, process::Command, sync::Arc, time::Instant};

use ensemble::{
    Bytes, DesignFacts, Error, KFold, Layer, MatRef, Order, Result, Rows, Scheme, SuperLearner, Table,
    memmap::{MappedTable, SpillDir},
    registry,
};
use linfa::{
    DatasetBase,
    traits::{Fit, Predict},
};
use linfa_linear::{LinearRegression, TweedieRegressor};
use ndarray::{Array1, Array2};
use rayon::prelude::*;
use smartcore::{
    ensemble::extra_trees_regressor::{ExtraTreesRegressor, ExtraTreesRegressorParameters},
    linalg::basic::matrix::DenseMatrix,
    tree::decision_tree_regressor::{DecisionTreeRegressor, DecisionTreeRegressorParameters},
};

const ROWS: usize = 200_000;
const COLUMNS: usize = 20;
const FOLDS: usize = 5;
const THREADS: usize = 2;
const ROUNDS: usize = 3;

/// The learners, by registry name and in the libraries' own words below.
const LEARNERS: [&str; 4] = [
    "linfa.linear_regression",
    "linfa.tweedie_regressor:power=0,alpha=0.1",
    "smartcore.decision_tree_regressor:max_depth=6",
    "smartcore.extra_trees_regressor:n_estimators=5,max_depth=6",
];

/// smartcore counts levels of nodes where scikit-learn counts splits: 6 above.
const DEPTH: u16 = 7;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare", folder] => bare(Path::new(folder)),
        ["engine", folder] => engine(Path::new(folder)),
        [] => compare(),
        _ => Err(Error::unsupported("overhead takes no arguments")),
    }
}

/// What a child process prints of itself.
struct Figures {
    seconds: f64,
    /// Greatest anonymous memory, in bytes.
    anonymous: u64,
}

fn compare() -> Result<()> {
    let folder = tempfile::tempdir().map_err(|e| Error::io("temporary folder", "make", e))?;
    ensemble_bench::friedman(folder.path(), ROWS, COLUMNS, Order::C)?;
    let child = |what: &str| -> Result<Figures> {
        let program = std::env::current_exe().map_err(|e| Error::io("this program", "find", e))?;
        let output = Command::new(&program)
            .arg(what)
            .arg(folder.path())
            .output()
            .map_err(|e| Error::io(&program, "run", e))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = text.split_whitespace();
        let figures = (|| {
            Some(Figures { seconds: words.next()?.parse().ok()?, anonymous: words.next()?.parse().ok()? })
        })();
        figures.ok_or_else(|| {
            Error::unsupported(format!("{what} failed: {}", String::from_utf8_lossy(&output.stderr)))
        })
    };
    let mut best: [Option<Figures>; 2] = [None, None];
    for _ in 0..ROUNDS {
        for (what, best) in ["bare", "engine"].into_iter().zip(&mut best) {
            let new = child(what)?;
            if best.as_ref().is_none_or(|b| new.seconds < b.seconds) {
                *best = Some(new);
            }
        }
    }
    let [Some(bare), Some(engine)] = best else { unreachable!("at least one round") };
    let ratio = engine.seconds / bare.seconds;
    let gathers = (FOLDS * ROWS * (FOLDS - 1) / FOLDS * COLUMNS * 8) as u64;
    println!("{ROWS} x {COLUMNS}, K = {FOLDS}, {THREADS} threads: {}", LEARNERS.join(", "));
    println!("bare libraries on owned matrices: {:.3} s, anonymous {}", bare.seconds, Bytes(bare.anonymous));
    println!(
        "through the engine on the mapping: {:.3} s, anonymous {}",
        engine.seconds,
        Bytes(engine.anonymous)
    );
    let saved = bare.anonymous.saturating_sub(engine.anonymous);
    println!(
        "time {ratio:.3} times; memory less by {}, the {FOLDS} gathers are {}",
        Bytes(saved),
        Bytes(gathers)
    );
    if ratio > 1.05 || saved < gathers {
        return Err(Error::unsupported(
            "the engine costs more than 1.05 times the bare libraries, or saves less than the gathers",
        ));
    }
    Ok(())
}

/// The table that the parent wrote.
fn tables(folder: &Path) -> Result<(MappedTable, MappedTable)> {
    let (x, y) = ensemble_bench::friedman(folder, ROWS, COLUMNS, Order::C)?;
    Ok((MappedTable::open_npy(x)?, MappedTable::open_npy(y)?))
}

/// Greatest anonymous resident bytes so far: `VmHWM` would count file pages too, so the status is sampled.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Run on [`THREADS`] threads and print seconds and the greatest anonymous memory.
fn measured(run: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(THREADS)
        .build()
        .map_err(|e| Error::unsupported(format!("cannot start threads: {e}")))?;
    let (done, mut peak) = (std::sync::atomic::AtomicBool::new(false), 0);
    let seconds = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let start = Instant::now();
            let outcome = pool.install(run).map(|()| start.elapsed().as_secs_f64());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            outcome
        });
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            peak = peak.max(anonymous());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    println!("{seconds} {peak}");
    Ok(())
}

fn engine(folder: &Path) -> Result<()> {
    let (x, y) = tables(folder)?;
    let registry = registry();
    let mut layer = Layer::new();
    for text in LEARNERS {
        layer = layer.learner(text, registry.pipeline(text)?);
    }
    let stack = SuperLearner::new(KFold::new(FOLDS))
        .layer(layer)
        .meta(registry.pipeline("native.nnls")?)
        .scratch(Arc::new(SpillDir::new(folder)));
    measured(|| {
        let fitted = stack.fit(&x, &y)?;
        let totals = fitted.report().expect("a fit has a report").totals;
        if totals.gathered_bytes > 0 {
            return Err(Error::unsupported(format!("{} were gathered", Bytes(totals.gathered_bytes))));
        }
        Ok(())
    })
}

/// A training set and the rows to predict, as a user of the libraries would hold them.
struct Owned {
    train: (Array2<f64>, Array1<f64>),
    dense: (DenseMatrix<f64>, Vec<f64>),
    held_out: Option<(Array2<f64>, DenseMatrix<f64>)>,
}

/// Rows one after the other.
fn rows_of(x: MatRef<'_>, rows: &Rows) -> Vec<f64> {
    let mut values = vec![0.0; rows.len() * x.ncols()];
    for (row, out) in rows.runs().iter().cloned().flatten().zip(values.chunks_exact_mut(x.ncols())) {
        x.copy_row_into(row, out);
    }
    values
}

impl Owned {
    fn new(x: MatRef<'_>, y: MatRef<'_>, train: &Rows, held_out: Option<&Rows>) -> Result<Self> {
        let bad = |e: &dyn std::fmt::Display| Error::unsupported(e.to_string());
        let array = |rows: &Rows| {
            Array2::from_shape_vec((rows.len(), x.ncols()), rows_of(x, rows)).map_err(|e| bad(&e))
        };
        // Column by column, which smartcore's trees are faster on.
        let dense = |rows: &Rows| {
            let (n, p) = (rows.len(), x.ncols());
            let by_row = rows_of(x, rows);
            let by_column = (0..p).flat_map(|j| (0..n).map(move |i| (i, j))).map(|(i, j)| by_row[i * p + j]);
            DenseMatrix::new(n, p, by_column.collect(), true).map_err(|e| bad(&e))
        };
        let targets = rows_of(y, train);
        Ok(Self {
            train: (array(train)?, Array1::from(targets.clone())),
            dense: (dense(train)?, targets),
            held_out: match held_out {
                Some(rows) => Some((array(rows)?, dense(rows)?)),
                None => None,
            },
        })
    }

    /// Fit the learner and predict the held-out rows, with the library alone.
    fn run(&self, learner: usize) -> Result<()> {
        let bad = |e: &dyn std::fmt::Display| Error::unsupported(e.to_string());
        let dataset = || DatasetBase::new(self.train.0.view(), self.train.1.view());
        let (x, y) = &self.dense;
        let held_out = self.held_out.as_ref();
        match learner {
            0 => {
                let model = LinearRegression::new().fit(&dataset()).map_err(|e| bad(&e))?;
                std::hint::black_box(held_out.map(|(x, _)| model.predict(x)));
            }
            1 => {
                let parameters = TweedieRegressor::params().power(0.0).alpha(0.1);
                let model = parameters.fit(&dataset()).map_err(|e| bad(&e))?;
                std::hint::black_box(held_out.map(|(x, _)| model.predict(x)));
            }
            2 => {
                let parameters = DecisionTreeRegressorParameters::default().with_max_depth(DEPTH);
                let model = DecisionTreeRegressor::fit(x, y, parameters).map_err(|e| bad(&e))?;
                std::hint::black_box(held_out.map(|(_, x)| model.predict(x)));
            }
            _ => {
                let parameters =
                    ExtraTreesRegressorParameters::default().with_n_trees(5).with_max_depth(DEPTH);
                let model = ExtraTreesRegressor::fit(x, y, parameters).map_err(|e| bad(&e))?;
                std::hint::black_box(held_out.map(|(_, x)| model.predict(x)));
            }
        }
        Ok(())
    }
}

fn bare(folder: &Path) -> Result<()> {
    let (x, y) = tables(folder)?;
    let (x, y) = (x.as_mat(), y.as_mat());
    // As the engine cuts them: two of the learners take one matrix.
    let target = y.column(0).unwrap_or_default();
    let mut facts = DesignFacts::new(target);
    facts.one_matrix = true;
    let folds = KFold::new(FOLDS).design(&facts)?;
    let mut sets = Vec::with_capacity(FOLDS + 1);
    for held_out in folds.atoms().ranges() {
        let train = Rows::all_but(ROWS, held_out.clone())?;
        sets.push(Owned::new(x, y, &train, Some(&Rows::one(held_out)))?);
    }
    sets.push(Owned::new(x, y, &Rows::all(ROWS), None)?);
    let jobs: Vec<(&Owned, usize)> =
        sets.iter().flat_map(|set| (0..LEARNERS.len()).map(move |l| (set, l))).collect();
    measured(|| jobs.par_iter().with_max_len(1).try_for_each(|(set, learner)| set.run(*learner)))
}
