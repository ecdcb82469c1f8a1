//! Places of tables: one that can be rewired, and one whose values change under a fault.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ensemble_core::{
    ContiguousView, DenseTable, GatherFor, Heap, Ledger, MatRef, Order, Result, Rows, ScratchMatrix, Table,
    TableReference,
    conformance::{InMemory, Place},
    gather,
};

/// Tables whose views are made as rewired ones are asked for, by copying.
pub(crate) struct Pages;

impl Place for Pages {
    fn name(&self) -> &str {
        "pages"
    }

    fn table(&self, x: MatRef<'_>) -> Result<Arc<dyn Table>> {
        Ok(Arc::new(PageTable(InMemory.table(x)?)))
    }
}

struct PageTable(Arc<dyn Table>);

/// What saved models would call these tables; no model here reads rows after its fit.
const PATH: &str = "nowhere.npy";

struct Copied(Box<dyn ScratchMatrix>);

impl ContiguousView for Copied {
    fn as_mat(&self) -> MatRef<'_> {
        self.0.as_mat()
    }

    fn bytes_copied(&self) -> u64 {
        0
    }
}

impl Table for PageTable {
    fn as_mat(&self) -> MatRef<'_> {
        self.0.as_mat()
    }

    fn reference(&self) -> Result<TableReference> {
        let (shape, order) = (self.as_mat().shape(), self.as_mat().order());
        Ok(TableReference { path: PATH.into(), offset: 0, shape, order, checksum: 0 })
    }

    fn contiguous_cost(&self, rows: &Rows) -> Option<u64> {
        let whole_pages = rows.runs().windows(2).all(|w| (w[1].start - w[0].end) % 512 == 0);
        whole_pages.then_some(0)
    }

    fn contiguous(&self, rows: &Rows) -> Result<Box<dyn ContiguousView + '_>> {
        let view = ensemble_core::RowsView::new(self.as_mat(), rows)?;
        let purpose = GatherFor { layer: 0, fold: None, what: "test" };
        Ok(Box::new(Copied(gather(&view, self.as_mat().order(), &Heap, &Ledger::new(), purpose)?)))
    }
}

/// What stands for a write into the input, which safe code cannot make.
pub(crate) static FLIPPED: AtomicBool = AtomicBool::new(false);

/// Tables whose values are others once [`FLIPPED`] is set.
pub(crate) struct Flipping;

impl Place for Flipping {
    fn name(&self) -> &str {
        "flipping"
    }

    fn table(&self, x: MatRef<'_>) -> Result<Arc<dyn Table>> {
        FLIPPED.store(false, Ordering::Relaxed);
        let zeros = DenseTable::new(vec![0.0; x.data().len()], x.nrows(), x.ncols(), Order::C)?;
        Ok(Arc::new(FlippingTable(InMemory.table(x)?, zeros)))
    }
}

struct FlippingTable(Arc<dyn Table>, DenseTable);

impl Table for FlippingTable {
    fn as_mat(&self) -> MatRef<'_> {
        if FLIPPED.load(Ordering::Relaxed) { self.1.as_mat() } else { self.0.as_mat() }
    }
}
