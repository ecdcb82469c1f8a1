//! One fold's rows and the index over them, shared by every model whose training rows include the fold.

use std::{ops::Range, sync::Arc};

use ensemble_core::{DenseTable, Error, KeptRows, MatRef, Order, Result, Rows, Table};

use super::tree::Tree;

/// Where rows and targets are read after the fit; `None` where they had to be copied.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) ncols: usize,
    pub(super) table: Option<Arc<dyn Table>>,
    pub(super) target: Option<Arc<dyn Table>>,
}

/// What kind of index a fold gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// None: the rows are scanned.
    Rows,
    /// A k-d tree cut in the columns' own units.
    Tree,
    /// A k-d tree cut in units of the fold's own standard deviations, for models behind a scaler.
    SpreadTree,
}

/// Neighbouring rows on their way into a fold, with copies of what the source does not hold.
pub(super) struct Part {
    pub(super) rows: Range<usize>,
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
}

impl Part {
    pub(super) fn bytes(&self) -> u64 {
        ((self.x.len() + self.y.len()) * 8 + size_of::<Self>()) as u64
    }
}

/// The sealed rows of one fold. Position counts the fold's rows from 0.
pub(super) struct FoldIndex {
    source: Source,
    /// First position and the table's rows of each run.
    runs: Vec<(usize, Range<usize>)>,
    /// Copied rows (C order) and targets by position; `None` where the source holds them.
    x: Option<DenseTable>,
    y: Option<DenseTable>,
    nrows: usize,
    tree: Option<Tree>,
}

impl FoldIndex {
    /// Index the rows of `parts`, which are emptied. Copies joined parts once more only while it runs.
    pub(super) fn build(source: &Source, parts: &mut Vec<Arc<Part>>, shape: Shape) -> Self {
        let mut fold =
            Self { source: source.clone(), runs: Vec::new(), x: None, y: None, nrows: 0, tree: None };
        let mut x = Vec::with_capacity(parts.iter().map(|p| p.x.len()).sum());
        let mut y = Vec::with_capacity(parts.iter().map(|p| p.y.len()).sum());
        for part in parts.drain(..) {
            x.extend_from_slice(&part.x);
            y.extend_from_slice(&part.y);
            match fold.runs.last_mut() {
                Some((_, run)) if run.end == part.rows.start => run.end = part.rows.end,
                _ => fold.runs.push((fold.nrows, part.rows.start..part.rows.end)),
            }
            fold.nrows += part.rows.len();
        }
        let copied = |values| DenseTable::new(values, fold.nrows, source.ncols, Order::C);
        fold.x = source.table.is_none().then(|| copied(x).expect("copied row by row"));
        fold.y = source.target.is_none().then(|| DenseTable::column(y));
        let units = match shape {
            Shape::Tree => vec![1.0; source.ncols],
            Shape::SpreadTree => fold.reciprocal_spreads(),
            Shape::Rows => return fold,
        };
        // A position in a tree has 32 bits; a longer fold is scanned.
        if fold.nrows > 0 && u32::try_from(fold.nrows).is_ok() {
            fold.tree = Some(Tree::build(&fold.points(), &units));
        }
        fold
    }

    /// The rows by position.
    pub(super) fn points(&self) -> Points<'_> {
        let mut segments = self.segments();
        match (segments.next(), segments.next(), &self.source.table) {
            (Some((_, rows)), None, _) => Points::Run(rows),
            (_, _, Some(table)) => Points::Runs(table.as_mat(), self),
            (_, _, None) => unreachable!("copied rows are one run"),
        }
    }

    /// 1 / standard deviation of each column; 1 for a column that does not vary.
    fn reciprocal_spreads(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.source.ncols];
        let mut squares = vec![0.0; self.source.ncols];
        let mut row = vec![0.0; self.source.ncols];
        for pass in 0..2 {
            for position in 0..self.nrows {
                self.copy_row(position, &mut row);
                for (j, value) in row.iter().enumerate() {
                    if pass == 0 {
                        mean[j] += value;
                    } else {
                        squares[j] += (value - mean[j]) * (value - mean[j]);
                    }
                }
            }
            if pass == 0 {
                mean.iter_mut().for_each(|m| *m /= self.nrows as f64);
            }
        }
        let unit = |s: &f64| (self.nrows as f64 / s).sqrt();
        squares.iter().map(unit).map(|u| if u.is_normal() { u } else { 1.0 }).collect()
    }

    pub(super) fn nrows(&self) -> usize {
        self.nrows
    }

    pub(super) fn tree(&self) -> Option<&Tree> {
        self.tree.as_ref()
    }

    /// Runs of rows as (position of the first, rows), in order.
    pub(super) fn segments(&self) -> impl Iterator<Item = (usize, MatRef<'_>)> {
        let whole = self.x.as_ref().map(|x| (0, x.as_mat()));
        let table = self.source.table.as_ref().map(|t| t.as_mat());
        let runs = table.into_iter().flat_map(move |t| {
            self.runs
                .iter()
                .map(move |(start, run)| (*start, t.rows(run.start..run.end).expect("checked in absorb")))
        });
        whole.into_iter().chain(runs)
    }

    /// The table's row at `position`.
    #[inline]
    pub(super) fn row(&self, position: usize) -> usize {
        let at = match self.runs.len() {
            1 => 0,
            _ => self.runs.partition_point(|(start, _)| *start <= position) - 1,
        };
        let (start, run) = &self.runs[at];
        run.start + (position - start)
    }

    /// The values at `position`.
    pub(super) fn copy_row(&self, position: usize, out: &mut [f64]) {
        match (&self.x, &self.source.table) {
            (Some(x), _) => x.as_mat().copy_row_into(position, out),
            (None, Some(table)) => table.as_mat().copy_row_into(self.row(position), out),
            (None, None) => unreachable!("rows are kept or copied"),
        }
    }

    /// Where rows and targets are read.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The table's rows, run by run.
    pub(super) fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.runs.iter().map(|(_, run)| run.start..run.end)
    }

    /// Handles to the copies, where both rows and targets are copied.
    pub(super) fn copies(&self) -> Option<KeptRows> {
        let (table, target) = (self.x.as_ref()?.handle()?, self.y.as_ref()?.handle()?);
        Some(KeptRows { table, target, rows: Rows::all(self.nrows) })
    }

    /// The targets, to be read at random.
    pub(super) fn targets(&self) -> Targets<'_> {
        match (&self.y, &self.source.target) {
            (Some(y), _) => Targets::Copied(y.as_mat().data()),
            (None, None) => unreachable!("targets are kept or copied"),
            (None, Some(target)) => {
                let target = target.as_mat();
                target.column(0).map_or(Targets::Strided(target), Targets::Table)
            }
        }
    }

    /// Bytes of the index and of whatever had to be copied.
    pub(super) fn bytes(&self) -> u64 {
        let tree = self.tree.as_ref().map_or(0, Tree::bytes);
        let runs = self.runs.len() * size_of::<(usize, Range<usize>)>();
        let copied: u64 = [&self.x, &self.y].into_iter().flatten().map(|t| t.as_mat().shape().bytes()).sum();
        tree + copied + (runs + size_of::<Self>()) as u64
    }
}

/// The rows of a fold, to be read at random.
#[derive(Clone, Copy)]
pub(super) enum Points<'a> {
    /// Neighbours in memory.
    Run(MatRef<'a>),
    /// Runs of a table.
    Runs(MatRef<'a>, &'a FoldIndex),
}

impl<'a> Points<'a> {
    pub(super) fn nrows(&self) -> usize {
        match self {
            Points::Run(rows) => rows.nrows(),
            Points::Runs(_, fold) => fold.nrows,
        }
    }

    /// The values, and how far apart rows are, of neighbours in C order.
    pub(super) fn in_rows(&self) -> Option<(&'a [f64], usize)> {
        match self {
            Points::Run(rows) if rows.order() == Order::C => Some((rows.data(), rows.stride())),
            _ => None,
        }
    }

    /// The matrix and its row where a position is.
    #[inline]
    fn locate(&self, position: u32) -> (MatRef<'a>, usize) {
        match self {
            Points::Run(rows) => (*rows, position as usize),
            Points::Runs(table, fold) => (*table, fold.row(position as usize)),
        }
    }

    #[inline]
    pub(super) fn get(&self, position: u32, column: usize) -> f64 {
        let (rows, row) = self.locate(position);
        rows.get(row, column)
    }

    /// One column by position.
    pub(super) fn column(&self, column: usize) -> impl Fn(u32) -> f64 + Copy + 'a {
        let points = *self;
        let strided = match self {
            Points::Run(rows) => {
                let step = if rows.order() == Order::C { rows.stride() } else { 1 };
                Some((rows.column_view(column).data(), step))
            }
            Points::Runs(..) => None,
        };
        move |position| match strided {
            Some((values, step)) => values[position as usize * step],
            None => points.get(position, column),
        }
    }
}

/// Σ (a - b)², in the order of the columns.
#[inline]
pub(super) fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + (a - b) * (a - b))
}

/// The targets of a fold.
#[derive(Clone, Copy)]
pub(super) enum Targets<'a> {
    /// By position.
    Copied(&'a [f64]),
    /// By the table's row.
    Table(&'a [f64]),
    /// By the table's row, with gaps between them.
    Strided(MatRef<'a>),
}

impl Targets<'_> {
    #[inline]
    pub(super) fn get(&self, position: usize, row: usize) -> f64 {
        match self {
            Targets::Copied(values) => values[position],
            Targets::Table(values) => values[row],
            Targets::Strided(values) => values.get(row, 0),
        }
    }
}

/// Write `rows` into `out` in C order, whichever order they have.
pub(super) fn fill(rows: MatRef<'_>, out: &mut [f64]) {
    let ncols = rows.ncols();
    match rows.order() {
        Order::C => {
            for (row, slot) in out.chunks_exact_mut(ncols).enumerate() {
                rows.copy_row_into(row, slot);
            }
        }
        Order::F => {
            for column in 0..ncols {
                let values = rows.column(column).expect("a column of a Fortran-order matrix");
                for (slot, value) in out.chunks_exact_mut(ncols).zip(values) {
                    slot[column] = *value;
                }
            }
        }
    }
}

/// Check that a target table can stand for the rows of `table`.
pub(super) fn check_source(source: &Source) -> Result<()> {
    if let Some(table) = &source.table
        && table.as_mat().ncols() != source.ncols
    {
        return Err(Error::shape(
            "columns of the table behind the neighbours",
            source.ncols,
            table.as_mat().ncols(),
        ));
    }
    match &source.target {
        Some(target) if target.as_mat().ncols() != 1 => {
            Err(Error::shape("columns of the target", 1, target.as_mat().ncols()))
        }
        _ => Ok(()),
    }
}
