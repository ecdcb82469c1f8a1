//! Views of training rows, made as planned.

use crate::{
    account::ledger::{Ledger, Reservation, Work, WorkKind},
    data::{
        gather::{GatherFor, gather},
        mat::{MatRef, Order},
        rows::{Rows, RowsView},
        table::{ContiguousView, Heap, Scratch, ScratchMatrix, Table},
    },
    error::Result,
    learner::estimator::Train,
    plan::view::{CellViews, View},
};

/// Where views are made, and what for.
#[derive(Clone, Copy)]
pub(crate) struct ViewRoom<'v> {
    pub(crate) layer: usize,
    pub(crate) scratch: &'v dyn Scratch,
    pub(crate) ledger: &'v Ledger,
    pub(crate) y_table: &'v dyn Table,
}

/// The views of one cell's training rows, as planned.
pub(crate) struct OpenViews<'v> {
    table: &'v dyn Table,
    y_table: &'v dyn Table,
    rows: &'v Rows,
    all: Rows,
    x: Vec<(Order, Held<'v>)>,
    y: Held<'v>,
}

/// One matrix, and what keeps it alive, its memory with it.
enum Held<'v> {
    /// The rows where they are.
    InPlace,
    Rewired {
        view: Box<dyn ContiguousView + 'v>,
        _held: Reservation,
    },
    Copied {
        copy: Box<dyn ScratchMatrix>,
        _held: Option<Reservation>,
    },
}

impl Held<'_> {
    fn mat(&self) -> Option<MatRef<'_>> {
        match self {
            Held::InPlace => None,
            Held::Rewired { view, .. } => Some(view.as_mat()),
            Held::Copied { copy, .. } => Some(copy.as_mat()),
        }
    }

    fn way(&self) -> &'static str {
        match self {
            Held::InPlace => "plain",
            Held::Rewired { .. } => "rewired",
            Held::Copied { .. } => "gathered",
        }
    }

    /// Bytes copied.
    fn bytes(&self) -> u64 {
        match self {
            Held::InPlace => 0,
            Held::Rewired { view, .. } => view.bytes_copied(),
            Held::Copied { copy, .. } => copy.as_mat().shape().bytes(),
        }
    }
}

impl<'v> OpenViews<'v> {
    pub(crate) fn make(
        room: ViewRoom<'v>,
        table: &'v dyn Table,
        rows: &'v Rows,
        views: &CellViews,
    ) -> Result<Self> {
        let ViewRoom { layer, scratch, ledger, y_table } = room;
        let fold = views.held_out;
        let copy = |table: &'v dyn Table, order: Order, room: &dyn Scratch, what: &'static str| {
            let view = RowsView::new(table.as_mat(), rows)?;
            let purpose = GatherFor { layer, fold, what };
            let copy = gather(&view, order, room, ledger, purpose)?;
            let held = room.is_anonymous().then(|| ledger.reserve(copy.as_mat().shape().bytes()));
            Result::Ok(Held::Copied { copy, _held: held })
        };
        let hold = |table: &'v dyn Table, order: Order, view: View, what: &'static str| -> Result<Held<'v>> {
            Ok(match view {
                View::Plain => Held::InPlace,
                View::Rewired(_) => match table.contiguous(rows) {
                    Ok(view) => {
                        let bytes = view.bytes_copied();
                        ledger.write(Work::new(WorkKind::Rewire, layer, fold, bytes, what));
                        Held::Rewired { view, _held: ledger.reserve(bytes) }
                    }
                    // Somebody else in this process took the mappings since the plan counted them. The ledger then differs.
                    Err(error) => {
                        tracing::warn!(%error, "rows are gathered that the plan would have put side by side");
                        copy(table, order, scratch, what)?
                    }
                },
                View::Gathered(_) => copy(table, order, &Heap, what)?,
                View::GatheredToFile(_) => copy(table, order, scratch, what)?,
            })
        };
        let mut x = Vec::with_capacity(views.x.len());
        for (order, view) in &views.x {
            x.push((*order, hold(table, *order, *view, "training rows")?));
        }
        let y = match views.y {
            Some(view) => hold(y_table, Order::C, view, "training targets")?,
            None => Held::InPlace,
        };
        Ok(Self { table, y_table, rows, all: Rows::all(rows.len()), x, y })
    }

    /// How the rows of a view of this order came together, and the bytes copied for it and for the targets beside it.
    pub(crate) fn taken(&self, order: Option<Order>) -> (&'static str, u64) {
        let held = self.x.iter().find(|(have, _)| Some(*have) == order).map(|(_, held)| held);
        match held {
            None => ("segments", 0),
            Some(held) => (held.way(), held.bytes() + self.y.bytes()),
        }
    }

    /// Call `fit` with the rows as a learner takes them: as runs, or as one matrix of `order`.
    pub(crate) fn with_train<T>(
        &self,
        order: Option<Order>,
        fit: impl FnOnce(&Train<'_>) -> Result<T>,
    ) -> Result<T> {
        let find = |o: Order| self.x.iter().find(|(have, _)| *have == o).and_then(|(_, held)| held.mat());
        let x = match order.and_then(find) {
            Some(mat) => RowsView::new(mat, &self.all)?,
            None => RowsView::new(self.table.as_mat(), self.rows)?,
        };
        let y = match (order, self.y.mat()) {
            (Some(_), Some(mat)) => RowsView::new(mat, &self.all)?,
            _ => RowsView::new(self.y_table.as_mat(), self.rows)?,
        };
        fit(&Train::new(x, y)?)
    }
}
