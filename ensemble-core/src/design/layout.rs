//! A design: what is fitted on what, and what predicts what.

use std::ops::Range;

use crate::{
    data::rows::Rows,
    design::{
        arrangement::Arrangement,
        atoms::{AtomSet, Atoms},
        cell::{Cell, CellId},
    },
    error::{Error, Result},
};

/// The cells of one layer. Made by a [`Scheme`](crate::Scheme); checked once, so that no cell predicts a row that it was fitted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Design {
    arrangement: Arrangement,
    atoms: Atoms,
    cells: Vec<Cell>,
    next: Range<usize>,
    /// The cell that predicts each of these atoms, by group.
    by: Vec<Vec<Option<CellId>>>,
    text: String,
}

impl Design {
    /// A design over `atoms`, told as `text`. The rows of the layer above are those that are predicted: a run of atoms, each predicted
    /// once in each group of columns.
    ///
    /// # Errors
    /// A cell that predicts what it was fitted on, that fits on nothing or names an atom that there is not; atoms predicted twice or
    /// with gaps; a group without one final cell.
    pub fn new(
        arrangement: Arrangement,
        atoms: Atoms,
        cells: Vec<Cell>,
        text: impl Into<String>,
    ) -> Result<Self> {
        let fail = |what: String| Err(Error::unsupported(format!("the design {what}")));
        if arrangement.order().is_some_and(|order| order.len() != atoms.nrows()) {
            return fail("arranges another number of rows than its atoms have".into());
        }
        let n_groups = cells.iter().map(|c| c.group + 1).max().unwrap_or(0);
        let mut times = vec![0; atoms.len()];
        for (at, cell) in cells.iter().enumerate() {
            if cell.fit.end().max(cell.predict.end()) > atoms.len() {
                return fail(format!("has {} atoms, and cell {at} names others", atoms.len()));
            }
            if cell.fit.is_empty() {
                return fail(format!("fits cell {at} on no rows"));
            }
            if let Some(atom) = cell.predict.iter().find(|atom| cell.fit.contains(*atom)) {
                return fail(format!(
                    "leaks: cell {at} predicts rows {:?}, which it is fitted on",
                    atoms.range(atom)
                ));
            }
            cell.predict.iter().for_each(|atom| times[atom] += 1);
        }
        for group in 0..n_groups {
            let last = cells.iter().filter(|c| c.group == group && c.is_final).count();
            if last != 1 {
                return fail(format!("has {last} final cells in group {group}, which needs one"));
            }
        }
        let first = times.iter().position(|t| *t > 0).unwrap_or(0);
        let end = times.iter().rposition(|t| *t > 0).map_or(first, |last| last + 1);
        let mut by = vec![vec![None; end - first]; n_groups];
        for (at, cell) in cells.iter().enumerate() {
            for atom in cell.predict.iter() {
                if by[cell.group][atom - first].replace(CellId(at)).is_some() {
                    return fail(format!(
                        "predicts rows {:?} twice in group {}",
                        atoms.range(atom),
                        cell.group
                    ));
                }
            }
        }
        for (group, by) in by.iter().enumerate() {
            if let Some(gap) = by.iter().position(Option::is_none) {
                let rows = atoms.range(first + gap);
                return fail(format!(
                    "predicts rows before and behind {rows:?}, but not these, in group {group}"
                ));
            }
        }
        if n_groups == 0 {
            return fail("has no cell".into());
        }
        Ok(Self { arrangement, atoms, cells, next: first..end, by, text: text.into() })
    }

    /// The order in which rows are read.
    pub fn arrangement(&self) -> &Arrangement {
        &self.arrangement
    }

    /// The atoms.
    pub fn atoms(&self) -> &Atoms {
        &self.atoms
    }

    /// The cells, in order.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cells with their numbers.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = (CellId, &Cell)> + Clone + '_ {
        self.cells.iter().enumerate().map(|(at, cell)| (CellId(at), cell))
    }

    /// A cell.
    ///
    /// # Panics
    /// When there is no such cell.
    pub fn cell(&self, id: CellId) -> &Cell {
        &self.cells[id.0]
    }

    /// Groups of prediction columns.
    pub fn n_groups(&self) -> usize {
        self.cells.iter().map(|c| c.group + 1).max().unwrap_or(1)
    }

    /// Rows that cells are fitted on or predict.
    pub fn nrows(&self) -> usize {
        self.atoms.nrows()
    }

    /// The atoms that are predicted, whose rows the layer above has.
    pub fn predicted_atoms(&self) -> Range<usize> {
        self.next.clone()
    }

    /// The rows that are predicted, which the layer above has.
    pub fn predicted_rows(&self) -> Range<usize> {
        self.atoms.bounds()[self.next.start]..self.atoms.bounds()[self.next.end]
    }

    /// The rows that a cell is fitted on.
    pub fn fit_rows(&self, cell: CellId) -> Rows {
        self.atoms.rows(&self.cells[cell.0].fit)
    }

    /// The cell of a group that predicts an atom.
    pub(crate) fn predicted_by(&self, atom: usize, group: usize) -> Option<CellId> {
        *self.by.get(group)?.get(atom.checked_sub(self.next.start)?)?
    }

    /// The rows that each cell predicts, of those that predict any.
    pub fn predicted_sizes(&self) -> Vec<usize> {
        let predicting = self.cells.iter().filter(|c| !c.predict.is_empty());
        predicting.map(|c| self.atoms.rows(&c.predict).len()).collect()
    }

    /// The number by which reports and errors call a cell: its own when it predicts held-out rows, `None` when it only fits for new
    /// rows.
    pub(crate) fn held_out(&self, cell: CellId) -> Option<usize> {
        (!self.cells[cell.0].predict.is_empty()).then_some(cell.0)
    }

    /// Whether what predicts was fitted on no row that any cell predicts: then a layer above learns from columns in which no target of
    /// its own rows has a part.
    pub(crate) fn keeps_apart(&self) -> bool {
        let predicting = self.cells.iter().filter(|c| !c.predict.is_empty());
        predicting.flat_map(|c| c.fit.iter()).all(|atom| !self.next.contains(&atom))
    }

    /// The final cells alone, which then predict nothing.
    pub(crate) fn without_held_out(&self) -> Self {
        let cells = self.cells.iter().filter(|c| c.is_final);
        let cells = cells.map(|c| Cell { predict: AtomSet::none(), ..c.clone() }).collect();
        Self { cells, next: 0..0, by: Vec::new(), ..self.clone() }
    }

    /// The same cells on rows that already lie in order.
    pub(crate) fn in_place(&self) -> Self {
        Self { arrangement: Arrangement::InPlace, ..self.clone() }
    }

    /// In words.
    pub fn describe(&self) -> &str {
        &self.text
    }
}
