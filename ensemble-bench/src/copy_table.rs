//! What every learner of every compiled-in backend copies and allocates, written into the adapters' READMEs.
//!
//! `cargo run --release -p ensemble-bench --features linfa,smartcore --bin copy-table [BACKEND...]`
//!
//! A mapped table, five page-aligned folds, and one fit without the third of them in the way the plan chose: bytes we copy are
//! the plan's, what the fit allocates is counted by the global allocator, and seconds are of that one fit on one thread.

#![forbid(unsafe_code)]

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use ensemble::{
    Access, Built, Bytes, Error, Estimator, FitContext, Friedman1, GatherFor, Heap, KFold, Kind, Layer,
    Ledger, MatRef, Order, Pipeline, Registry, Result, Rows, RowsView, Shape, SuperLearner, Table, Train,
    Transformer, WorkKind, gather,
    memmap::{MappedTable, NpyWriter},
    native::Mean,
    registry,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Five folds of whole pages each.
const ROWS: usize = 5 * 4096;
/// For learners whose cost grows with the square of the rows.
const FEW_ROWS: usize = 5 * 512;
const COLUMNS: usize = 20;
/// Classes of the targets of classifiers.
const CLASSES: usize = 3;
const FOLD: usize = 2;
/// A fit that would allocate more than this is measured on few rows.
const LARGE: u64 = 2 << 30;

fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let asked = |backend: &str| asked.is_empty() || asked.iter().any(|a| a == backend);
    let registry = registry();
    let folder = tempfile::tempdir().map_err(|e| Error::io("temporary folder", "make", e))?;
    let tables = Tables::new(folder.path());
    for backend in ["native", "linfa", "smartcore"].into_iter().filter(|b| asked(b)) {
        let kinds = || registry.kinds().filter(|k| k.name.split('.').next() == Some(backend));
        if kinds().next().is_none() {
            eprintln!("{backend}: not compiled in");
            continue;
        }
        let mut text = format!(
            "Measured on {}: {ROWS} x {COLUMNS} float64 in a mapped `.npy` file ({FEW_ROWS} rows where marked *), one fit on the four folds of \
             five besides the third, default parameters, one thread.\n\n\
             | kind | order | access | way | we copy | it allocates, bytes per input byte | seconds |\n\
             |---|---|---|---|---|---|---|\n",
            machine()
        );
        for kind in kinds() {
            for order in [Order::C, Order::F] {
                let line = line(&registry, kind, order, &tables)?;
                eprint!("{line}");
                text += &line;
            }
        }
        write_between_marks(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../ensemble-{backend}/README.md")),
            &text,
        )?;
    }
    Ok(())
}

/// Threads and name of the processor.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores of an {}", name.unwrap_or("unnamed processor"))
}

/// Replace what stands between the marks of a README; a README without them stays as it is.
fn write_between_marks(path: &Path, text: &str) -> Result<()> {
    const MARKS: [&str; 2] = ["<!-- copy table -->\n", "<!-- /copy table -->"];
    let Ok(old) = fs::read_to_string(path) else { return Ok(()) };
    let parts = old.split_once(MARKS[0]).and_then(|(head, rest)| Some((head, rest.split_once(MARKS[1])?.1)));
    let Some((head, tail)) = parts else { return Ok(()) };
    let new = format!("{head}{}{text}{}{tail}", MARKS[0], MARKS[1]);
    fs::write(path, new).map_err(|e| Error::io(path, "write", e))
}

/// What kinds of values a learner may want, the usual first.
#[derive(Clone, Copy, Debug)]
enum Values {
    Numbers,
    Counts,
    OneColumn,
}

/// Mapped tables, made when first asked for.
struct Tables {
    folder: PathBuf,
}

impl Tables {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    fn get(
        &self,
        rows: usize,
        order: Order,
        values: Values,
        classes: bool,
    ) -> Result<(MappedTable, MappedTable)> {
        let columns = if matches!(values, Values::OneColumn) { 1 } else { COLUMNS };
        let name = |what: &str| self.folder.join(format!("{what}-{rows}-{order:?}-{values:?}-{classes}.npy"));
        let (xp, yp) = (name("X"), name("y"));
        if !xp.exists() {
            let (mut x, mut y) = (vec![0.0; rows * COLUMNS], vec![0.0; rows]);
            Friedman1::new(20171, COLUMNS, 1.0)?.rows_into(0, &mut x, &mut y);
            if classes {
                y.iter_mut().for_each(|v| *v = f64::from(u8::from(*v > 12.0) + u8::from(*v > 17.0)));
            }
            match values {
                Values::Numbers => {}
                Values::Counts => x.iter_mut().for_each(|v| *v = (*v * 8.0).floor()),
                Values::OneColumn => x = x.into_iter().step_by(COLUMNS).collect(),
            }
            let mut out = NpyWriter::create(&xp, rows, columns, order)?;
            out.write_rows(&x)?;
            out.finish()?;
            let mut out = NpyWriter::create_vector(&yp, rows)?;
            out.write_rows(&y)?;
            out.finish()?;
        }
        Ok((MappedTable::open_npy(&xp)?, MappedTable::open_npy(&yp)?))
    }
}

/// A learner, or a transformer to be fitted alone.
enum Subject {
    Learner(Arc<dyn Estimator>),
    Transformer(Arc<dyn Transformer>),
}

impl Subject {
    fn access(&self) -> Access {
        match self {
            Subject::Learner(l) => l.access(),
            Subject::Transformer(t) => t.access(),
        }
    }

    fn cost(&self, train: Shape) -> u64 {
        match self {
            Subject::Learner(l) => l.cost_with_classes(train, CLASSES).peak_bytes,
            Subject::Transformer(t) => t.cost(train).peak_bytes,
        }
    }

    fn classifies(&self) -> bool {
        matches!(self, Subject::Learner(l) if l.predicts().classifies())
    }

    /// Fit and drop what was fitted: peak heap bytes above the start, and seconds.
    fn fit(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<(u64, f64)> {
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        let start = Instant::now();
        match self {
            Subject::Learner(l) => drop(l.fit_rows(train, cx)?),
            Subject::Transformer(t) => drop(t.fit_rows(train, cx)?),
        }
        let seconds = start.elapsed().as_secs_f64();
        Ok((HEAP.peak_usage().saturating_sub(before) as u64, seconds))
    }
}

fn line(registry: &Registry, kind: &Kind, order: Order, tables: &Tables) -> Result<String> {
    let subject = match registry.build(kind.name)? {
        Built::Learner(l) => Subject::Learner(l),
        Built::Transformer(t) => Subject::Transformer(t),
    };
    let mut refusals = Vec::new();
    // A transformer does not say that it learns from classes.
    let targets = [subject.classifies(), matches!(subject, Subject::Transformer(_))];
    let tries = [Values::Numbers, Values::Counts, Values::OneColumn];
    for (values, classes) in tries.into_iter().flat_map(|v| targets.map(|classes| (v, classes))) {
        match measure(&subject, order, values, classes, tables) {
            Ok(line) => {
                return Ok(format!("| `{}` | {order:?} | {} | {line}\n", kind.name, subject.access()));
            }
            Err(error) => refusals.push(error.to_string()),
        }
    }
    Err(Error::unsupported(format!("{}: no table suits it: {}", kind.name, refusals.join("; "))))
}

fn measure(
    subject: &Subject,
    order: Order,
    values: Values,
    classes: bool,
    tables: &Tables,
) -> Result<String> {
    let large = subject.cost(Shape { nrows: ROWS, ncols: COLUMNS }) > LARGE;
    let nrows = if large { FEW_ROWS } else { ROWS };
    let (x, y) = tables.get(nrows, order, values, classes)?;
    let folds = KFold::new(5).page_aligned();
    // The plan says the way: a transformer's is that of a pipeline behind it.
    let learner: Arc<dyn Estimator> = match subject {
        Subject::Learner(l) => Arc::clone(l),
        Subject::Transformer(t) => Arc::new(Pipeline::new(vec![Arc::clone(t)], Arc::new(Mean::new()))),
    };
    let plan = SuperLearner::new(folds).layer(Layer::new().learner("it", learner)).plan(&x, &y)?;
    let copies: Vec<_> = plan.copies().into_iter().filter(|w| w.fold == Some(FOLD)).collect();
    let copied: u64 = copies.iter().map(|w| w.bytes).sum();
    let has = |kind: WorkKind| copies.iter().any(|w| w.kind == kind);
    let way = match subject.access() {
        Access::Merge => "statistics",
        Access::Segments => "in place",
        Access::Contiguous(_) if has(WorkKind::Gather) => "gathered",
        Access::Contiguous(_) => "rewired",
    };

    let rows = Rows::all_but(nrows, plan.design().atoms().range(FOLD))?;
    let (handle, target) = (x.handle(), y.handle());
    let ledger = Ledger::new();
    let cx = FitContext {
        table: handle.as_ref(),
        target: target.as_ref(),
        n_classes: classes.then_some(CLASSES),
        ..FitContext::alone(&Heap, &ledger)
    };
    let (allocated, seconds) = match subject.access() {
        Access::Contiguous(wanted) => {
            let all = Rows::all(rows.len());
            let y_view = y.contiguous(&rows)?;
            let fit = |x: MatRef<'_>| {
                let train = Train::new(RowsView::new(x, &all)?, RowsView::new(y_view.as_mat(), &all)?)?;
                subject.fit(&train, &FitContext { table: None, target: None, ..cx })
            };
            match wanted.filter(|o| *o != order) {
                Some(other) => {
                    let purpose = GatherFor { layer: 0, fold: Some(FOLD), what: "training rows" };
                    let copy = gather(&RowsView::new(x.as_mat(), &rows)?, other, &Heap, &ledger, purpose)?;
                    fit(copy.as_mat())?
                }
                None => fit(x.contiguous(&rows)?.as_mat())?,
            }
        }
        _ => {
            let train = Train::new(RowsView::new(x.as_mat(), &rows)?, RowsView::new(y.as_mat(), &rows)?)?;
            subject.fit(&train, &cx)?
        }
    };
    let input = (rows.len() * x.as_mat().ncols() * 8) as f64;
    let few = if large { " *" } else { "" };
    let mut line = String::new();
    let per_byte = allocated as f64 / input;
    write!(line, "{way}{few} | {} | {per_byte:.2} | {seconds:.3} |", Bytes(copied))
        .expect("a string takes all");
    Ok(line)
}
