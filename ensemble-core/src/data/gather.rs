//! The one function that copies rows.

use crate::{
    account::ledger::{Ledger, Work, WorkKind},
    data::{
        classes::Classes,
        mat::{MatMut, MatRef, Order, Shape},
        rows::RowsView,
        table::{Scratch, ScratchMatrix},
    },
    error::{Error, ErrorKind, Result},
};

/// What a gather is for, as the ledger writes it.
#[derive(Clone, Copy, Debug)]
pub struct GatherFor {
    /// The layer, from 0.
    pub layer: usize,
    /// The fold held out; `None` for all rows.
    pub fold: Option<usize>,
    /// In a few words.
    pub what: &'static str,
}

/// Copy the rows in view into scratch room, in `order`, and write the bytes into the ledger: as gathered when the room is
/// anonymous memory, as spilled when it is a file.
///
/// Nothing else in this workspace copies rows of a table; `clippy.toml` bans the methods that would.
///
/// # Errors
/// When there is no room.
pub fn gather(
    rows: &RowsView<'_>,
    order: Order,
    scratch: &dyn Scratch,
    ledger: &Ledger,
    purpose: GatherFor,
) -> Result<Box<dyn ScratchMatrix>> {
    let shape = Shape { nrows: rows.nrows(), ncols: rows.ncols() };
    let mut copy = scratch.matrix(shape, order)?;
    {
        let mut out = copy.as_mat_mut();
        let mut at = 0;
        for segment in rows.segments() {
            copy_block(segment, out.rows_mut(at..at + segment.nrows()));
            at += segment.nrows();
        }
    }
    ledger.write(gather_work(shape.bytes(), scratch.is_anonymous(), purpose));
    Ok(copy)
}

/// What [`gather`] will write into the ledger.
pub(crate) fn gather_work(bytes: u64, anonymous: bool, purpose: GatherFor) -> Work {
    let kind = if anonymous { WorkKind::Gather } else { WorkKind::Spill };
    Work::new(kind, purpose.layer, purpose.fold, bytes, purpose.what)
}

/// The one column of class numbers that a target of other labels is written to.
pub(crate) fn numbers_work(shape: Shape, anonymous: bool) -> Work {
    let kind = if anonymous { WorkKind::Transform } else { WorkKind::Spill };
    Work::new(kind, 0, None, shape.bytes(), "class numbers")
}

/// Rows that the statistics of an atom copy, since they go on reading what was only lent.
pub(crate) fn kept_work(bytes: u64, layer: usize) -> Work {
    Work::new(WorkKind::Gather, layer, None, bytes, "rows that statistics keep")
}

/// Rows of `x` in the order `order` says, into scratch room: a table in fold order. Written in parallel, each row once.
pub(crate) fn reorder(
    x: MatRef<'_>,
    order: &[u32],
    scratch: &dyn Scratch,
    ledger: &Ledger,
    what: &'static str,
) -> Result<Box<dyn ScratchMatrix>> {
    let shape = Shape { nrows: order.len(), ncols: x.ncols() };
    if x.nrows() != order.len() {
        return Err(Error::shape("rows to reorder", order.len(), x.nrows()));
    }
    let mut copy = scratch.matrix(shape, Order::C)?;
    fill_reordered(x, order, copy.as_mat_mut());
    ledger.write(gather_work(
        shape.bytes(),
        scratch.is_anonymous(),
        GatherFor { layer: 0, fold: None, what },
    ));
    Ok(copy)
}

/// A column of labels as class numbers, in scratch room.
pub(crate) fn number_classes(
    labels: MatRef<'_>,
    classes: &Classes,
    scratch: &dyn Scratch,
    ledger: &Ledger,
) -> Result<Box<dyn ScratchMatrix>> {
    let mut numbers = scratch.matrix(labels.shape(), Order::C)?;
    let mut out = numbers.as_mat_mut();
    for row in 0..labels.nrows() {
        out.set(row, 0, class_number(classes, labels.get(row, 0))?);
    }
    ledger.write(numbers_work(labels.shape(), scratch.is_anonymous()));
    Ok(numbers)
}

/// The class number of a label.
pub(crate) fn class_number(classes: &Classes, label: f64) -> Result<f64> {
    let reason = || format!("the target holds {label}, which is none of the {} classes", classes.len());
    let class =
        classes.class_of(label).ok_or_else(|| Error::from(ErrorKind::Classes { reason: reason() }))?;
    Ok(class as f64)
}

fn fill_reordered(x: MatRef<'_>, order: &[u32], mut out: MatMut<'_>) {
    const ROWS: usize = 16 * 1024;
    if order.len() > ROWS {
        let middle = order.len() / 2;
        let (head, tail) = out.split_at_row(middle);
        rayon::join(
            || fill_reordered(x, &order[..middle], head),
            || fill_reordered(x, &order[middle..], tail),
        );
        return;
    }
    for (row, from) in order.iter().enumerate() {
        x.copy_row_into(*from as usize, out.row_mut(row).expect("scratch in C order"));
    }
}

fn copy_block(from: MatRef<'_>, mut to: MatMut<'_>) {
    match to.order() {
        Order::C => {
            for row in 0..from.nrows() {
                from.copy_row_into(row, to.row_mut(row).expect("C order"));
            }
        }
        Order::F => {
            for column in 0..from.ncols() {
                for row in 0..from.nrows() {
                    to.set(row, column, from.get(row, column));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::ledger::Totals,
        data::{rows::Rows, table::Heap},
    };

    #[test]
    fn a_gather_holds_the_rows_in_view_and_is_written_down() {
        let data: Vec<f64> = (0..40).map(f64::from).collect();
        let mat = MatRef::new(&data, 10, 4, Order::C).unwrap();
        let rows = Rows::all_but(10, 3..6).unwrap();
        for order in [Order::C, Order::F] {
            let ledger = Ledger::new();
            let purpose = GatherFor { layer: 0, fold: Some(1), what: "test" };
            let copy = gather(&RowsView::new(mat, &rows).unwrap(), order, &Heap, &ledger, purpose).unwrap();
            let want: Vec<usize> = (0..10).filter(|r| !(3..6).contains(r)).collect();
            for (i, r) in want.into_iter().enumerate() {
                for j in 0..4 {
                    assert_eq!(copy.as_mat().get(i, j), mat.get(r, j));
                }
            }
            assert_eq!(Totals::of(&ledger.into_entries()).gathered_bytes, 7 * 4 * 8);
        }
    }
}
