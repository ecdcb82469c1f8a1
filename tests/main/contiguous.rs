//! A learner that wants one matrix gets the file's pages side by side, or one planned gather per fold.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ensemble::{
    ContiguousView, DenseTable, Error, KFold, Layer, MatRef, MemoryBudget, Order, Result, Rows, RowsView,
    SuperLearner, Table,
    memmap::{MappedTable, SpillDir},
};

use crate::support::{Runs, WholeMatrix, files::friedman};

const ROWS: usize = 600_000;
const COLUMNS: usize = 7;

fn learner(folds: KFold) -> SuperLearner {
    SuperLearner::new(folds)
        .layer(
            Layer::new()
                .learner("a", WholeMatrix(None))
                .learner("b", WholeMatrix(None))
                .learner("runs", Runs),
        )
        .meta(Runs)
        .scratch(Arc::new(SpillDir::temp()))
        .threads(2)
}

#[test]
fn every_fold_is_rewired_in_both_orders() {
    let dir = tempfile::tempdir().unwrap();
    for order in [Order::C, Order::F] {
        let (xp, yp) = friedman(dir.path(), ROWS, COLUMNS, order);
        let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
        for k in [2, 3, 5, 10, 20] {
            let fitted = learner(KFold::new(k)).fit(&x, &y).unwrap();
            let report = fitted.report().unwrap();
            assert!(report.as_planned, "{order:?} K={k}: {:#?}", report.work);
            assert_eq!(report.totals.gathered_bytes, 0, "{order:?} K={k}");
            let most = (k * (COLUMNS + 2) * 2 * x.page_bytes()) as u64;
            // The target is rewired as well: two pages a fold at most.
            assert!(report.totals.rewired_bytes_copied <= most, "{order:?} K={k}");
            let way = &report.learners[0].access;
            assert_eq!(way, if k == 2 { "plain" } else { "rewired" }, "{order:?} K={k}");
            // Rewired rows and runs of rows are the same rows: the same sums, bit for bit.
            let coefficients =
                |j: usize| fitted.layers()[0][j].model().as_linear().unwrap().coefficients.to_vec();
            assert_eq!(coefficients(0), coefficients(2));
        }
    }
}

#[test]
fn exact_folds_cost_one_gather_per_fold_shared_by_learners_and_within_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let (xp, yp) = friedman(dir.path(), 100_003, COLUMNS, Order::C);
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let k = 5;
    let fitted = learner(KFold::new(k).exact()).fit(&x, &y).unwrap();
    let report = fitted.report().unwrap();
    assert!(report.as_planned, "{:#?}", report.work);
    // Edge folds are one run; the three between are gathered once each, x and y, for both learners.
    let rows: u64 = fitted.report().unwrap().fold_sizes[1..4].iter().map(|held| 100_003 - *held as u64).sum();
    assert_eq!(report.totals.gathered_bytes, rows * 8 * (COLUMNS as u64 + 1));
    assert_eq!(report.totals.rewired_bytes_copied, 0);

    // One gathered set fits; the plan admits no two at once.
    let one = 100_003 * 8 * (COLUMNS as u64 + 1);
    let tight = learner(KFold::new(k).exact()).budget(MemoryBudget::bytes(one + (4 << 20)));
    assert!(tight.plan(&x, &y).unwrap().peak_bytes() <= one + (4 << 20));
    let same = tight.fit(&x, &y).unwrap();
    assert!(same.report().unwrap().as_planned);
    assert_eq!(same.predict(&x).unwrap(), fitted.predict(&x).unwrap());

    // Less than one set: gathered to a temporary file instead.
    let spilled = learner(KFold::new(k).exact()).budget(MemoryBudget::bytes(4 << 20)).fit(&x, &y).unwrap();
    assert!(spilled.report().unwrap().as_planned);
    // Targets still fit.
    assert_eq!(spilled.report().unwrap().totals.gathered_bytes, rows * 8);
    let columns = 100_003 * 3 * 8;
    assert_eq!(spilled.report().unwrap().totals.spilled_bytes, rows * 8 * COLUMNS as u64 + columns);
    assert_eq!(spilled.predict(&x).unwrap(), fitted.predict(&x).unwrap());
}

#[test]
fn a_learner_that_wants_the_other_order_gets_a_gather() {
    let dir = tempfile::tempdir().unwrap();
    let (xp, yp) = friedman(dir.path(), 20_000, COLUMNS, Order::C);
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let fitted = SuperLearner::new(KFold::new(3))
        .layer(Layer::new().learner("f", WholeMatrix(Some(Order::F))))
        .fit(&x, &y)
        .unwrap();
    assert!(fitted.report().unwrap().as_planned);
    assert_eq!(fitted.report().unwrap().learners[0].access, "gathered");
}

/// A table in memory that counts the mappings of its views as a kernel does.
struct Scarce {
    table: DenseTable,
    /// Mappings of one view.
    each: u64,
    /// Mappings of all views that live at once.
    granted: u64,
    taken: AtomicU64,
    most: AtomicU64,
}

struct View<'a>(Vec<f64>, usize, &'a Scarce);

impl ContiguousView for View<'_> {
    fn as_mat(&self) -> MatRef<'_> {
        MatRef::new(&self.0, self.1, COLUMNS, Order::C).unwrap()
    }
    fn bytes_copied(&self) -> u64 {
        0
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        self.2.taken.fetch_sub(self.2.each, Ordering::SeqCst);
    }
}

impl Table for Scarce {
    fn as_mat(&self) -> MatRef<'_> {
        self.table.as_mat()
    }
    fn contiguous_cost(&self, _rows: &Rows) -> Option<u64> {
        Some(0)
    }
    fn contiguous_mappings(&self, _rows: &Rows) -> u64 {
        self.each
    }
    fn mappings_left(&self) -> u64 {
        self.granted
    }
    fn contiguous(&self, rows: &Rows) -> Result<Box<dyn ContiguousView + '_>> {
        let now = self.taken.fetch_add(self.each, Ordering::SeqCst) + self.each;
        self.most.fetch_max(now, Ordering::SeqCst);
        if now > self.granted {
            self.taken.fetch_sub(self.each, Ordering::SeqCst);
            return Err(Error::unsupported("Cannot allocate memory"));
        }
        let view = RowsView::new(self.table.as_mat(), rows)?;
        let values = view.segments().flat_map(|part| part.data().to_vec()).collect();
        Ok(Box::new(View(values, rows.len(), self)))
    }
}

#[test]
fn views_of_a_wave_share_the_mappings_there_are() {
    let mut source = (vec![0.0; 4096 * COLUMNS], vec![0.0; 4096]);
    ensemble::Friedman1::new(3, COLUMNS, 1.0).unwrap().rows_into(0, &mut source.0, &mut source.1);
    let y = DenseTable::column(source.1);
    let table = DenseTable::new(source.0, 4096, COLUMNS, Order::C).unwrap();
    let stack =
        SuperLearner::new(KFold::new(8)).layer(Layer::new().learner("a", WholeMatrix(None))).threads(8);
    let want = stack.fit(&table, &y).unwrap().predict(&table).unwrap();
    for (each, granted, way) in
        [(10, 1000, "rewired"), (10, 25, "rewired"), (10, 10, "rewired"), (10, 9, "gathered")]
    {
        let (taken, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let x = Scarce { table: table.clone(), each, granted, taken, most };
        let fitted = stack.fit(&x, &y).unwrap();
        let report = fitted.report().unwrap();
        assert!(report.as_planned, "{granted} mappings: {:#?}", report.work);
        assert!(x.most.load(Ordering::SeqCst) <= granted);
        assert_eq!(report.learners[0].access, way, "{granted} mappings");
        assert_eq!(fitted.predict(&table).unwrap(), want);
    }

    // The system may still refuse: another fit of the process took what the plan counted on. Then rows are gathered, and the
    // report says that this was not planned.
    let x = Scarce { table: table.clone(), each: 10, granted: 20, taken: 15.into(), most: 0.into() };
    let fitted = stack.fit(&x, &y).unwrap();
    let report = fitted.report().unwrap();
    assert!(!report.as_planned && report.totals.gathered_bytes > 0);
    // Reports say what was done, not what was planned.
    assert_eq!(report.learners[0].access, "gathered");
    assert_eq!(report.learners[0].copied_bytes, report.totals.gathered_bytes);
    assert_eq!(fitted.predict(&table).unwrap(), want);
}

#[test]
fn a_plan_counts_the_mappings_of_columns_in_fortran_order() {
    let dir = tempfile::tempdir().unwrap();
    let (xp, _) = friedman(dir.path(), 4096, 40, Order::F);
    let x = MappedTable::open_npy(xp).unwrap();
    let rows = Rows::all_but(4096, 1024..2048).unwrap();
    // Two stretches a column, and a copied page where they meet.
    assert!((40..=165).contains(&x.contiguous_mappings(&rows)), "{}", x.contiguous_mappings(&rows));
    let left = x.mappings_left();
    assert!(left > 100 && left < u64::MAX);
    assert_eq!(x.contiguous_mappings(&Rows::all(4096)), 0);
}

#[test]
fn a_target_in_memory_does_not_make_folds_run_one_after_another() {
    let dir = tempfile::tempdir().unwrap();
    let (xp, yp) = friedman(dir.path(), 8192, COLUMNS, Order::C);
    let (x, y) = (MappedTable::open_npy(xp).unwrap(), MappedTable::open_npy(yp).unwrap());
    let target = DenseTable::column(y.as_mat().data().to_vec());
    let stack = learner(KFold::new(8).page_aligned());
    let waves = |y: &dyn Table| {
        let plan = serde_json::to_value(stack.plan(&x, y).unwrap()).unwrap();
        plan["stages"][0]["waves"].as_array().unwrap().len()
    };
    assert_eq!((waves(&y), waves(&target)), (1, 1));
    let (a, b) = (stack.fit(&x, &y).unwrap(), stack.fit(&x, &target).unwrap());
    assert!(b.report().unwrap().as_planned);
    assert_eq!(a.predict(&x).unwrap(), b.predict(&x).unwrap());
}
