//! What runs in a measured child process: one subject each, so that its peak is its own.
//!
//! A subject prints `mark NAME` where a phase begins and waits for a line back, so that whoever watches has taken a whole sample
//! by then; at the end it prints `result {JSON}`. The programs in `peers/` speak the same.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use ensemble::{
    Built, DenseTable, Error, FitContext, Heap, KFold, Layer, Ledger, MemoryBudget, Order, Result, Rows,
    RowsView, Shape, SuperLearner, Table, Train,
    memmap::{MappedTable, SpillDir},
    registry,
};
use serde::{Deserialize, Serialize};

/// Everything a child can be asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Subject {
    /// Allocate, touch and free.
    Allocate { bytes: usize },
    /// Map a table and read all of it.
    Map { path: PathBuf },
    /// Start children that allocate.
    Children { count: usize, bytes: usize },
    /// A super learner.
    Fit(Fit),
    /// Learners and a super learner one after the other, with pauses.
    Turn { x: PathBuf, y: PathBuf, steps: Vec<(String, Step)>, pause: f64 },
    /// An array held by workers.
    Hold { path: PathBuf, workers: usize, seconds: f64, way: HoldWay, pause: f64 },
    /// A worker that gets an array of this many bytes on its standard input.
    HoldReceived { bytes: usize, seconds: f64 },
    /// A worker that maps the array.
    HoldMapped { path: PathBuf, seconds: f64 },
}

/// How workers get the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HoldWay {
    Pipe,
    Mapped,
    Threads,
}

/// One thing fitted in turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Step {
    /// A learner on all rows.
    Learner(String),
    /// A super learner.
    Stack { layer: Vec<(String, String)>, meta: String, folds: usize },
}

/// A super learner and how it is measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fit {
    pub(crate) x: PathBuf,
    pub(crate) y: PathBuf,
    /// Names and pipelines.
    pub(crate) layer: Vec<(String, String)>,
    pub(crate) meta: Option<String>,
    pub(crate) folds: usize,
    /// Fold sizes as everybody has them, to the row, also where a learner takes one matrix.
    pub(crate) exact: bool,
    pub(crate) threads: usize,
    pub(crate) budget: Option<u64>,
    /// Fits, one after the other.
    pub(crate) rounds: usize,
    /// Copy the table into memory first, as a program that holds its data would.
    pub(crate) load: bool,
    /// Seconds of rest between phases, for charts.
    pub(crate) pause: f64,
    pub(crate) predict_rows: usize,
}

/// What a subject says at its end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Of each round.
    pub(crate) seconds: Vec<f64>,
    #[serde(default)]
    pub(crate) predict_seconds: Option<f64>,
    /// Of predictions for the first rows, which both sides make.
    #[serde(default)]
    pub(crate) rmse: Option<f64>,
    #[serde(default)]
    pub(crate) versions: BTreeMap<String, String>,
    /// Of a super learner of ours.
    #[serde(default)]
    pub(crate) ledger: Option<LedgerFigures>,
}

/// What the ledger of a fit says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LedgerFigures {
    pub(crate) as_planned: bool,
    pub(crate) passes: u64,
    pub(crate) gathered: u64,
    pub(crate) rewired: u64,
    pub(crate) predictions: u64,
    pub(crate) transformed: u64,
    pub(crate) spilled: u64,
    /// What the learners say that grows with the rows in their fits, as many at once as there are threads.
    pub(crate) declared: u64,
    pub(crate) access: Vec<String>,
    pub(crate) cv_rmse: Option<f64>,
}

fn mark(name: &str) -> Result<()> {
    let spoken = |e| Error::io("standard output", "write to", e);
    let mut out = io::stdout().lock();
    writeln!(out, "mark {name}").and_then(|()| out.flush()).map_err(spoken)?;
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line).map_err(|e| Error::io("standard input", "read", e))? {
        0 => Err(Error::unsupported("whoever measured this process is gone")),
        _ => Ok(()),
    }
}

fn rest(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

/// A subject's command line: this program again.
pub(crate) fn command(subject: &Subject) -> Result<Command> {
    let program = std::env::current_exe().map_err(|e| Error::io("this program", "find", e))?;
    let text = serde_json::to_string(subject).map_err(|e| Error::spec("subject", e.to_string()))?;
    let mut command = Command::new(program);
    command.arg("subject").arg(text);
    Ok(command)
}

/// Do what the text says; the child's side.
pub(crate) fn run(text: &str) -> Result<()> {
    let subject: Subject = serde_json::from_str(text).map_err(|e| Error::spec(text, e.to_string()))?;
    let outcome = match subject {
        Subject::Allocate { bytes } => allocate(bytes)?,
        Subject::Map { path } => map(&path)?,
        Subject::Children { count, bytes } => children(count, bytes)?,
        Subject::Fit(f) => fit(&f)?,
        Subject::Turn { x, y, steps, pause } => turn(&x, &y, &steps, pause)?,
        Subject::Hold { path, workers, seconds, way, pause } => hold(&path, workers, seconds, way, pause)?,
        Subject::HoldReceived { bytes, seconds } => return hold_received(bytes, seconds),
        Subject::HoldMapped { path, seconds } => return hold_mapped(&path, seconds),
    };
    let text = serde_json::to_string(&outcome).map_err(|e| Error::spec("outcome", e.to_string()))?;
    writeln!(io::stdout(), "result {text}").map_err(|e| Error::io("standard output", "write to", e))
}

fn allocate(bytes: usize) -> Result<Outcome> {
    mark("before")?;
    let start = Instant::now();
    let block = std::hint::black_box(vec![1u8; bytes]);
    mark("allocated")?;
    drop(block);
    mark("freed")?;
    Ok(Outcome { seconds: vec![start.elapsed().as_secs_f64()], ..Outcome::default() })
}

fn map(path: &Path) -> Result<Outcome> {
    mark("before")?;
    let start = Instant::now();
    let table = MappedTable::open_npy(path)?;
    std::hint::black_box(table.as_mat().data().iter().sum::<f64>());
    mark("mapped")?;
    drop(table);
    mark("unmapped")?;
    Ok(Outcome { seconds: vec![start.elapsed().as_secs_f64()], ..Outcome::default() })
}

fn children(count: usize, bytes: usize) -> Result<Outcome> {
    mark("before")?;
    let start = Instant::now();
    let mut children = start_workers(count, &Subject::HoldReceived { bytes, seconds: 0.0 })?;
    let block = vec![1u8; bytes];
    let mut pipes = Vec::new();
    for child in &mut children {
        let mut pipe =
            child.stdin.take().ok_or_else(|| Error::unsupported("a worker without standard input"))?;
        pipe.write_all(&block).map_err(|e| Error::io("a worker", "send to", e))?;
        // The workers end when the pipes are closed: until then they hold what they got.
        pipes.push(pipe);
    }
    drop(block);
    rest(0.2);
    mark("children")?;
    drop(pipes);
    wait(children)?;
    mark("ended")?;
    Ok(Outcome { seconds: vec![start.elapsed().as_secs_f64()], ..Outcome::default() })
}

fn start_workers(count: usize, subject: &Subject) -> Result<Vec<Child>> {
    let start = |_| {
        let mut command = command(subject)?;
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.spawn().map_err(|e| Error::io("a worker", "start", e))
    };
    (0..count).map(start).collect()
}

fn wait(children: Vec<Child>) -> Result<()> {
    for mut child in children {
        let status = child.wait().map_err(|e| Error::io("a worker", "wait for", e))?;
        if !status.success() {
            return Err(Error::unsupported(format!("a worker failed: {status}")));
        }
    }
    Ok(())
}

/// The pipeline of each learner, and the stack of them.
fn stack(layer: &[(String, String)], meta: Option<&str>, folds: KFold) -> Result<SuperLearner> {
    let registry = registry();
    let mut learners = Layer::new();
    for (name, text) in layer {
        learners = learners.learner(name, registry.pipeline(text)?);
    }
    let mut stack =
        SuperLearner::new(folds).layer(learners).without_meta_score().scratch(Arc::new(SpillDir::temp()));
    if let Some(meta) = meta {
        stack = stack.meta(registry.pipeline(meta)?);
    }
    Ok(stack)
}

/// A table as a learner gets it: mapped, or copied into memory.
fn open(path: &Path, load: bool) -> Result<Arc<dyn Table>> {
    let mapped = MappedTable::open_npy(path)?;
    if !load {
        return Ok(Arc::new(mapped));
    }
    let mat = mapped.as_mat();
    let mut data = vec![0.0; mat.nrows() * mat.ncols()];
    for (row, values) in data.chunks_exact_mut(mat.ncols().max(1)).enumerate() {
        mat.copy_row_into(row, values);
    }
    Ok(Arc::new(DenseTable::new(data, mat.nrows(), mat.ncols(), Order::C)?))
}

fn fit(f: &Fit) -> Result<Outcome> {
    // The stack's own code and parameters are in memory before the first mark: they are not what a fit costs.
    let folds = if f.exact { KFold::new(f.folds).exact() } else { KFold::new(f.folds) };
    let mut stack = stack(&f.layer, f.meta.as_deref(), folds)?.threads(f.threads);
    if let Some(budget) = f.budget {
        stack = stack.budget(MemoryBudget::bytes(budget));
    }
    rest(f.pause);
    mark("load")?;
    let (x, y) = (open(&f.x, f.load)?, open(&f.y, f.load)?);
    rest(f.pause);
    let mut outcome = Outcome::default();
    let mut timed = || {
        let start = Instant::now();
        let fitted = stack.fit(x.as_ref(), y.as_ref())?;
        outcome.seconds.push(start.elapsed().as_secs_f64());
        Ok::<_, Error>(fitted)
    };
    mark("fit")?;
    let fitted = timed()?;
    mark("fitted")?;
    rest(f.pause);
    // Memory is one fit's, as the peers' is: what the allocator keeps of one for the next is not what a fit takes.
    for round in 1..f.rounds {
        timed()?;
        if round + 1 == f.rounds {
            mark("timed")?;
        }
    }
    let report = fitted.report().expect("a fit has a report");
    let train = Shape { nrows: report.rows - report.rows / f.folds.max(2), ncols: report.columns };
    let registry = registry();
    // What grows with the rows: the few KiB besides are the ceiling's business.
    let declares = |text: &str, shape: Shape| -> Result<u64> {
        let learner = registry.pipeline(text)?;
        let half = Shape { nrows: shape.nrows / 2, ..shape };
        Ok(2 * learner.cost(shape).peak_bytes.saturating_sub(learner.cost(half).peak_bytes))
    };
    let mut declared = 0;
    for (_, text) in &f.layer {
        declared = declared.max(f.threads.max(1) as u64 * declares(text, train)?);
    }
    if let Some(meta) = &f.meta {
        let columns = Shape { nrows: report.rows, ncols: f.layer.len() };
        declared = declared.max(declares(meta, columns)?);
    }
    let t = report.totals;
    outcome.ledger = Some(LedgerFigures {
        as_planned: report.as_planned,
        passes: t.data_passes,
        gathered: t.gathered_bytes,
        rewired: t.rewired_bytes_copied,
        predictions: t.prediction_bytes,
        transformed: t.transformed_bytes,
        spilled: t.spilled_bytes,
        declared,
        access: report.learners.iter().map(|l| l.access.clone()).collect(),
        cv_rmse: report.learners.first().and_then(|l| Some(l.scores.as_ref()?.cv_rmse_mean)),
    });
    if f.predict_rows > 0 {
        let n = f.predict_rows.min(report.rows);
        let rows = x.as_mat().rows(0..n)?;
        let mut predicted = vec![0.0; n];
        let start = Instant::now();
        fitted.predict_into(rows, &mut predicted)?;
        outcome.predict_seconds = Some(start.elapsed().as_secs_f64());
        let target = y.as_mat();
        let squares = predicted.iter().enumerate().map(|(i, p)| (p - target.get(i, 0)).powi(2));
        outcome.rmse = Some((squares.sum::<f64>() / n as f64).sqrt());
    }
    Ok(outcome)
}

fn turn(x: &Path, y: &Path, steps: &[(String, Step)], pause: f64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    mark("map")?;
    let (x, y) = (MappedTable::open_npy(x)?, MappedTable::open_npy(y)?);
    rest(pause);
    for (name, step) in steps {
        mark(name)?;
        let start = Instant::now();
        match step {
            Step::Learner(text) => {
                let estimator = match registry().build(text)? {
                    Built::Learner(l) => l,
                    Built::Transformer(_) => {
                        return Err(Error::spec(text, "a transformer where a learner should be"));
                    }
                };
                let rows = Rows::all(x.as_mat().nrows());
                let train = Train::new(RowsView::new(x.as_mat(), &rows)?, RowsView::new(y.as_mat(), &rows)?)?;
                let (ledger, table, target) = (Ledger::new(), x.handle(), y.handle());
                let cx = FitContext {
                    table: table.as_ref(),
                    target: target.as_ref(),
                    ..FitContext::alone(&Heap, &ledger)
                };
                drop(estimator.fit_rows(&train, &cx)?);
            }
            Step::Stack { layer, meta, folds } => {
                drop(stack(layer, Some(meta), KFold::new(*folds))?.fit(&x, &y)?)
            }
        }
        outcome.seconds.push(start.elapsed().as_secs_f64());
        mark(&format!("{name} done"))?;
        rest(pause);
    }
    Ok(outcome)
}

/// Read one value of every page, so that all of them are mapped.
fn touch(values: &[f64]) -> f64 {
    values.iter().step_by(512).sum()
}

fn hold(path: &Path, workers: usize, seconds: f64, way: HoldWay, pause: f64) -> Result<Outcome> {
    rest(pause);
    mark("load")?;
    let table = open(path, way == HoldWay::Pipe)?;
    rest(pause);
    mark("hold")?;
    let start = Instant::now();
    match way {
        HoldWay::Pipe => {
            let mat = table.as_mat();
            let data = mat.data();
            let mut children =
                start_workers(workers, &Subject::HoldReceived { bytes: size_of_val(data), seconds })?;
            std::thread::scope(|s| {
                let senders: Vec<_> = children
                    .iter_mut()
                    .filter_map(|c| c.stdin.take())
                    .map(|mut pipe| s.spawn(move || send(data, &mut pipe)))
                    .collect();
                senders
                    .into_iter()
                    .try_for_each(|t| t.join().map_err(|_| Error::unsupported("a sender panicked"))?)
            })?;
            wait(children)?;
        }
        HoldWay::Mapped => {
            let mut children = start_workers(workers, &Subject::HoldMapped { path: path.into(), seconds })?;
            children.iter_mut().for_each(|c| drop(c.stdin.take()));
            wait(children)?;
        }
        HoldWay::Threads => {
            let mat = table.as_mat();
            std::thread::scope(|s| {
                for _ in 0..workers {
                    s.spawn(|| hold_values(mat.data(), seconds));
                }
            });
        }
    }
    let taken = start.elapsed().as_secs_f64();
    mark("held")?;
    rest(pause);
    Ok(Outcome { seconds: vec![taken], ..Outcome::default() })
}

/// Hold for so long from now on; the pages are touched in that time.
fn hold_values(values: &[f64], seconds: f64) {
    let start = Instant::now();
    std::hint::black_box(touch(values));
    rest((seconds - start.elapsed().as_secs_f64()).max(0.0));
}

/// Serialize: each value's bytes, a buffer at a time.
fn send(data: &[f64], pipe: &mut impl Write) -> Result<()> {
    let mut buffer = Vec::with_capacity(8 << 13);
    for values in data.chunks(1 << 13) {
        buffer.clear();
        values.iter().for_each(|v| buffer.extend_from_slice(&v.to_le_bytes()));
        pipe.write_all(&buffer).map_err(|e| Error::io("a worker", "send to", e))?;
    }
    Ok(())
}

fn hold_received(bytes: usize, seconds: f64) -> Result<()> {
    let mut input = io::stdin().lock();
    let mut values: Vec<f64> = Vec::with_capacity(bytes / 8);
    let mut buffer = vec![0u8; 1 << 16];
    let mut filled = 0;
    while values.len() < bytes / 8 {
        let n = input.read(&mut buffer[filled..]).map_err(|e| Error::io("standard input", "read", e))?;
        if n == 0 {
            return Err(Error::unsupported("the array ended early: whoever sent it stopped"));
        }
        filled += n;
        let (words, _) = buffer[..filled].as_chunks::<8>();
        values.extend(words.iter().map(|w| f64::from_le_bytes(*w)));
        let whole = filled / 8 * 8;
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
    rest(seconds);
    // Until the sender closes the pipe, which the monitor's tests wait for.
    let _ = input.read(&mut buffer).map_err(|e| Error::io("standard input", "read", e))?;
    std::hint::black_box(&values);
    Ok(())
}

fn hold_mapped(path: &Path, seconds: f64) -> Result<()> {
    let table = MappedTable::open_npy(path)?;
    hold_values(table.as_mat().data(), seconds);
    Ok(())
}
