//! One fold's rows and the index over them, shared by every model whose training rows include the fold.

use std::{ops::Range, sync::Arc};

use ensemble_core::{Error, MatRef, Order, Result, Table};

use super::tree::{self, PointTree, tree_bytes};

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
    /// A k-d tree in the columns' own units.
    Tree,
    /// A k-d tree in units of the fold's own standard deviations, for models behind a scaler.
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
    /// Copied rows (C order) and targets by position; empty where the source holds them.
    x: Vec<f64>,
    y: Vec<f64>,
    nrows: usize,
    tree: Option<Box<dyn PointTree>>,
    units: Option<Vec<f64>>,
}

impl FoldIndex {
    /// Index the rows of `parts`, which are emptied. Copies joined parts once more only while it runs; a tree over rows that
    /// are not one C-order run reads them from a copy that lives as long as the build.
    pub(super) fn build(source: &Source, parts: &mut Vec<Arc<Part>>, shape: Shape) -> Result<Self> {
        let mut fold = Self {
            source: source.clone(),
            runs: Vec::new(),
            x: Vec::new(),
            y: Vec::new(),
            nrows: 0,
            tree: None,
            units: None,
        };
        fold.x.reserve_exact(parts.iter().map(|p| p.x.len()).sum());
        fold.y.reserve_exact(parts.iter().map(|p| p.y.len()).sum());
        for part in parts.drain(..) {
            fold.x.extend_from_slice(&part.x);
            fold.y.extend_from_slice(&part.y);
            match fold.runs.last_mut() {
                Some((_, run)) if run.end == part.rows.start => run.end = part.rows.end,
                _ => fold.runs.push((fold.nrows, part.rows.start..part.rows.end)),
            }
            fold.nrows += part.rows.len();
        }
        // A position in a tree has 32 bits; a longer fold is scanned.
        if shape != Shape::Rows && fold.nrows > 0 && u32::try_from(fold.nrows).is_ok() {
            fold.units = (shape == Shape::SpreadTree).then(|| fold.reciprocal_spreads());
            fold.tree = Some(fold.build_tree()?);
        }
        Ok(fold)
    }

    fn build_tree(&self) -> Result<Box<dyn PointTree>> {
        let (ncols, units) = (self.source.ncols, self.units.as_deref());
        let mut segments = self.segments();
        if let (Some((_, only)), None) = (segments.next(), segments.next())
            && let (Order::C, Some(points)) = (only.order(), only.as_slice())
        {
            return tree::build(points, ncols, units);
        }
        let mut points = vec![0.0; self.nrows * ncols];
        for (start, rows) in self.segments() {
            let part = &mut points[start * ncols..(start + rows.nrows()) * ncols];
            fill(rows, part);
        }
        tree::build(&points, ncols, units)
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

    pub(super) fn tree(&self) -> Option<&dyn PointTree> {
        self.tree.as_deref()
    }

    /// What the tree multiplied each column by, if it did.
    pub(super) fn units(&self) -> Option<&[f64]> {
        self.units.as_deref()
    }

    /// Runs of rows as (position of the first, rows), in order.
    pub(super) fn segments(&self) -> impl Iterator<Item = (usize, MatRef<'_>)> {
        let copied = self.source.table.is_none();
        let whole = copied.then(|| {
            (0, MatRef::new(&self.x, self.nrows, self.source.ncols, Order::C).expect("copied row by row"))
        });
        let table = self.source.table.as_ref().map(|t| t.as_mat());
        let runs = table.into_iter().flat_map(move |t| {
            self.runs
                .iter()
                .map(move |(start, run)| (*start, t.rows(run.start..run.end).expect("checked in absorb")))
        });
        whole.into_iter().chain(runs)
    }

    /// The table's row at `position`.
    pub(super) fn row(&self, position: usize) -> usize {
        let at = self.runs.partition_point(|(start, _)| *start <= position) - 1;
        let (start, run) = &self.runs[at];
        run.start + (position - start)
    }

    /// The values at `position`.
    pub(super) fn copy_row(&self, position: usize, out: &mut [f64]) {
        match &self.source.table {
            None => out.copy_from_slice(&self.x[position * out.len()..][..out.len()]),
            Some(table) => table.as_mat().copy_row_into(self.row(position), out),
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

    /// The targets, to be read at random.
    pub(super) fn targets(&self) -> Targets<'_> {
        match &self.source.target {
            None => Targets::Copied(&self.y),
            Some(target) => {
                let target = target.as_mat();
                target.column(0).map_or(Targets::Strided(target), Targets::Table)
            }
        }
    }

    /// Bytes of the index and of whatever had to be copied.
    pub(super) fn bytes(&self) -> u64 {
        let tree = if self.tree.is_some() { tree_bytes(self.nrows, self.source.ncols) } else { 0 };
        let runs = self.runs.len() * size_of::<(usize, Range<usize>)>();
        tree + ((self.x.len() + self.y.len()) * 8 + runs + size_of::<Self>()) as u64
    }
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
