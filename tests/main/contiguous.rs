//! A learner that wants one matrix gets the file's pages side by side, or one planned gather per fold.

use std::sync::Arc;

use ensemble::{
    KFold, Layer, MemoryBudget, Order, SuperLearner, Table,
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
            let report = fitted.report();
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
    let report = fitted.report();
    assert!(report.as_planned, "{:#?}", report.work);
    // Edge folds are one run; the three between are gathered once each, x and y, for both learners.
    let rows: u64 = fitted.report().fold_sizes[1..4].iter().map(|held| 100_003 - *held as u64).sum();
    assert_eq!(report.totals.gathered_bytes, rows * 8 * (COLUMNS as u64 + 1));
    assert_eq!(report.totals.rewired_bytes_copied, 0);

    // One gathered set fits; the plan admits no two at once.
    let one = 100_003 * 8 * (COLUMNS as u64 + 1);
    let tight = learner(KFold::new(k).exact()).budget(MemoryBudget::bytes(one + (4 << 20)));
    assert!(tight.plan(&x, &y).unwrap().peak_bytes() <= one + (4 << 20));
    let same = tight.fit(&x, &y).unwrap();
    assert!(same.report().as_planned);
    assert_eq!(same.predict(&x).unwrap(), fitted.predict(&x).unwrap());

    // Less than one set: gathered to a temporary file instead.
    let spilled = learner(KFold::new(k).exact()).budget(MemoryBudget::bytes(4 << 20)).fit(&x, &y).unwrap();
    assert!(spilled.report().as_planned);
    // Targets still fit.
    assert_eq!(spilled.report().totals.gathered_bytes, rows * 8);
    let columns = 100_003 * 3 * 8;
    assert_eq!(spilled.report().totals.spilled_bytes, rows * 8 * COLUMNS as u64 + columns);
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
    assert!(fitted.report().as_planned);
    assert_eq!(fitted.report().learners[0].access, "gathered");
}
