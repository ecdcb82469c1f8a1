//! Rewired views hold the gathered rows, cost what was said, and copy nothing else.

use std::{ops::Range, path::Path};

use ensemble_core::{ErrorKind, Order, Rows, Table};
use ensemble_memmap::MappedTable;
use proptest::prelude::*;

use crate::{assert_read_only, assert_rows, assert_table, le_bytes, mappings, page, values, write};

/// A raw file of test values from byte `offset` on, mapped.
fn table(path: &Path, offset: usize, nrows: usize, ncols: usize, order: Order) -> MappedTable {
    write(path, &[&vec![0xAA; offset], &le_bytes(&values(nrows, ncols, order))]);
    MappedTable::open_raw_at(path, offset as u64, nrows, ncols, order).unwrap()
}

/// Folds as equal as can be.
fn exact_folds(nrows: usize, k: usize) -> Vec<Range<usize>> {
    let longer = nrows % k;
    let mut at = 0;
    (0..k)
        .map(|i| {
            let start = at;
            at += nrows / k + usize::from(i < longer);
            start..at
        })
        .collect()
}

/// Folds of `unit` rows times a whole number, the last one with the rest.
fn aligned_folds(nrows: usize, k: usize, unit: usize) -> Vec<Range<usize>> {
    let size = nrows / k / unit * unit;
    (0..k).map(|i| i * size..if i + 1 == k { nrows } else { (i + 1) * size }).collect()
}

/// Whether the bytes left out between any two stretches are whole pages, from the definition.
fn fits(nrows: usize, ncols: usize, order: Order, rows: &Rows) -> bool {
    let runs = rows.runs();
    if runs.len() < 2 {
        return true;
    }
    let unit = if order == Order::C { 8 * ncols } else { 8 };
    let inner = runs.windows(2).all(|w| ((w[1].start - w[0].end) * unit).is_multiple_of(page()));
    let wrap = nrows - runs[runs.len() - 1].end + runs[0].start;
    inner && (order == Order::C || ncols == 1 || (wrap * 8).is_multiple_of(page()))
}

/// The view of `rows`, if it should exist, is right and costs what was said; gives whether it exists.
#[track_caller]
pub(crate) fn check(table: &dyn Table, rows: &Rows) -> bool {
    let mat = table.as_mat();
    let (nrows, ncols, order) = (mat.nrows(), mat.ncols(), mat.order());
    let cost = table.contiguous_cost(rows);
    assert_eq!(cost.is_some(), fits(nrows, ncols, order, rows), "{rows:?} of {nrows} x {ncols} {order:?}");
    let Some(cost) = cost else {
        let error = table.contiguous(rows).err().expect("no cost, no view");
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
        return false;
    };
    let view = table.contiguous(rows).unwrap();
    assert_eq!(view.bytes_copied(), cost);
    assert_eq!(view.as_mat().order(), order);
    assert_rows(view.as_mat(), rows, ncols);
    if rows.runs().len() < 2 {
        assert_eq!(cost, 0);
        if let [run] = rows.runs() {
            let there = mat.rows(run.start..run.end).unwrap().data().as_ptr();
            assert_eq!(view.as_mat().data().as_ptr(), there, "one run stays where it is");
        }
    } else {
        assert!(view.as_mat().as_slice().is_some(), "no gaps");
        let lines = if order == Order::C { 1 } else { ncols };
        let most = (rows.runs().len() * lines).min(2 * (ncols + 2)) * page();
        assert!(rows.runs().len() > 2 || cost <= most as u64, "{cost} bytes copied");
    }
    true
}

#[test]
fn every_fold_is_the_gathered_fold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let unit = page() / 8;
    for k in [2, 3, 5, 10] {
        for order in [Order::C, Order::F] {
            for ncols in [1, 7, 50] {
                for offset in [64, 128, 4096] {
                    let nrows = k * unit + 37;
                    let t = table(&path, offset, nrows, ncols, order);
                    for (i, fold) in aligned_folds(nrows, k, unit).into_iter().enumerate() {
                        let made = check(&t, &Rows::all_but(nrows, fold).unwrap());
                        assert!(made, "fold {i} of {k} is whole pages");
                    }
                    for fold in exact_folds(nrows, k) {
                        check(&t, &Rows::all_but(nrows, fold).unwrap());
                    }
                }
            }
        }
    }
}

#[test]
fn folds_that_are_not_whole_pages_have_no_cost() {
    let dir = tempfile::tempdir().unwrap();
    let unit = page() / 8;
    for order in [Order::C, Order::F] {
        let t = table(&dir.path().join("x"), 128, 4 * unit, 7, order);
        for held_out in [1..2, 10..10 + unit - 1, unit..2 * unit + 1] {
            assert!(!check(&t, &Rows::all_but(4 * unit, held_out).unwrap()));
        }
    }
}

#[test]
fn a_middle_fold_costs_one_page_in_c_order_and_one_per_column_in_fortran_order() {
    let dir = tempfile::tempdir().unwrap();
    let unit = page() / 8;
    let rows = Rows::all_but(6 * unit, 2 * unit..3 * unit).unwrap();
    for (order, offset, pages) in
        [(Order::C, 128, 1), (Order::C, page(), 0), (Order::F, 128, 5), (Order::F, page(), 0)]
    {
        let t = table(&dir.path().join("x"), offset, 6 * unit, 5, order);
        assert_eq!(t.contiguous_cost(&rows), Some((pages * page()) as u64), "{order:?} at {offset}");
        check(&t, &rows);
    }
}

#[test]
fn no_rows_one_run_and_all_rows_stay_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    for order in [Order::C, Order::F] {
        let t = table(&dir.path().join("x"), 64, 1000, 3, order);
        for rows in [Rows::default(), Rows::all(1000), Rows::one(0..1), Rows::one(7..993)] {
            assert!(check(&t, &rows));
        }
    }
}

#[test]
fn rows_outside_the_table_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let t = table(&dir.path().join("x"), 64, 1000, 3, Order::C);
    for rows in [Rows::one(0..1001), Rows::from_runs([0..5, 900..1200])] {
        assert_eq!(t.contiguous_cost(&rows), None);
        let error = t.contiguous(&rows).err().unwrap();
        assert!(matches!(error.kind(), ErrorKind::RowRange { nrows: 1000, .. }), "{error}");
    }
}

#[test]
fn views_are_read_only_and_cross_threads() {
    let dir = tempfile::tempdir().unwrap();
    let unit = page() / 8;
    for order in [Order::C, Order::F] {
        let t = table(&dir.path().join("x"), 128, 5 * unit, 3, order);
        let rows = Rows::all_but(5 * unit, unit..2 * unit).unwrap();
        let view = t.contiguous(&rows).unwrap();
        assert_read_only(view.as_mat());
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| assert_rows(view.as_mat(), &rows, 3));
            assert_rows(view.as_mat(), &rows, 3);
            reader.join().unwrap();
        });
        std::thread::scope(|scope| scope.spawn(move || drop(view)).join().unwrap());
    }
}

#[test]
fn dropped_views_leave_no_mapping() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a-name-of-its-own");
    let unit = page() / 8;
    let t = table(&path, 128, 6 * unit, 9, Order::F);
    let name = path.display().to_string();
    let count = || mappings().iter().filter(|(_, line)| line.contains(&name)).count();
    assert_eq!(count(), 1);
    let rows = Rows::all_but(6 * unit, unit..3 * unit).unwrap();
    let view = t.contiguous(&rows).unwrap();
    assert_eq!(count(), 1 + 10, "one range per column and one more");
    drop(view);
    assert_eq!(count(), 1);
    drop(t);
    assert_eq!(count(), 0);
}

/// Anonymous bytes behind the addresses of `data`, as the kernel counts them.
fn anonymous_bytes(data: &[f64]) -> u64 {
    let at = data.as_ptr_range();
    let (from, to) = (at.start as usize, at.end as usize);
    let hex = |digits| usize::from_str_radix(digits, 16).ok();
    let (mut inside, mut bytes) = (false, 0);
    for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or("");
        if let Some((start, end)) = first.split_once('-').and_then(|(s, e)| Some((hex(s)?, hex(e)?))) {
            inside = start < to && end > from;
        } else if inside && first == "Anonymous:" {
            bytes += 1024 * words.next().unwrap().parse::<u64>().unwrap();
        }
    }
    bytes
}

#[test]
fn only_junctions_are_anonymous_memory() {
    let dir = tempfile::tempdir().unwrap();
    let unit = page() / 8;
    for order in [Order::C, Order::F] {
        let t = table(&dir.path().join("x"), 128, 8 * unit, 6, order);
        let rows = Rows::all_but(8 * unit, 3 * unit..5 * unit).unwrap();
        let view = t.contiguous(&rows).unwrap();
        assert_rows(view.as_mat(), &rows, 6);
        assert_eq!(anonymous_bytes(view.as_mat().data()), view.bytes_copied());
        assert_eq!(anonymous_bytes(t.as_mat().data()), 0);
    }
}

#[test]
fn released_rows_read_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    for (order, offset) in [(Order::C, 128), (Order::C, 4096), (Order::F, 64), (Order::F, 4096)] {
        let t = table(&dir.path().join("x"), offset, 5000, 4, order);
        for rows in [0..5000, 0..1, 1..4999, 1024..2048, 4999..5000, 5000..5000, 4000..9000] {
            assert_table(&t, 5000, 4);
            t.release(rows);
        }
        assert_table(&t, 5000, 4);
    }
}

#[test]
fn a_scan_that_releases_leaves_little_resident() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("released");
    let name = path.display().to_string();
    let nrows = 64 * 1024;
    for order in [Order::C, Order::F] {
        let t = table(&path, 128, nrows, 4, order);
        let mut sum = 0.0;
        for start in (0..nrows).step_by(1024) {
            for row in start..start + 1024 {
                sum += (0..4).map(|column| t.as_mat().get(row, column)).sum::<f64>();
            }
            t.release(start..start + 1024);
        }
        assert!(sum > 0.0);
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let of_file = smaps.lines().skip_while(|line| !line.ends_with(&name));
        let resident = of_file.skip(1).find(|line| line.starts_with("Rss:")).unwrap();
        let kib: usize = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
        // The kernel may map pages around the ones touched, and some of these may lie behind the scan.
        assert!(kib <= 512, "{order:?}: {resident} of 2048 kB");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_rows_are_the_gathered_rows(
        fortran: bool, ncols in 1usize..9, offset in 0usize..1100,
        first in 0usize..700, pieces in prop::collection::vec((1usize..900, 0usize..3, 0usize..8), 0..4),
        tail in 1usize..600, nudge in 0usize..6,
    ) {
        let order = if fortran { Order::F } else { Order::C };
        // Gaps of whole pages, sometimes off by a row.
        let unit = page() / 8;
        let (mut runs, mut at) = (Vec::new(), first);
        runs.push(0..first);
        for (len, pages, off) in pieces {
            at += pages * unit + usize::from(off == 0);
            runs.push(at..at + len);
            at += len;
        }
        let nrows = at + if nudge == 0 { tail } else { 1 };
        // The last row is kept, so that Fortran columns may wrap with no gap.
        runs.push(at..nrows);
        let dir = tempfile::tempdir().unwrap();
        let t = table(&dir.path().join("x"), offset * 8, nrows, ncols, order);
        check(&t, &Rows::from_runs(runs));
    }

    #[test]
    fn any_fold_of_whole_pages_is_one_matrix(
        fortran: bool, ncols in 1usize..60, offset in 0usize..1100,
        before in 1usize..1500, pages in 1usize..3, after in 1usize..1500,
    ) {
        let order = if fortran { Order::F } else { Order::C };
        let held_out = before..before + pages * page() / 8;
        let nrows = held_out.end + after;
        let dir = tempfile::tempdir().unwrap();
        let t = table(&dir.path().join("x"), offset * 8, nrows, ncols, order);
        prop_assert!(check(&t, &Rows::all_but(nrows, held_out).unwrap()));
    }

    #[test]
    fn tiny_columns_share_junction_pages(
        ncols in 2usize..80, offset in 0usize..600, before in 1usize..40, after in 1usize..40,
    ) {
        let held_out = before..before + page() / 8;
        let nrows = held_out.end + after;
        let dir = tempfile::tempdir().unwrap();
        let t = table(&dir.path().join("x"), offset * 8, nrows, ncols, Order::F);
        let rows = Rows::all_but(nrows, held_out).unwrap();
        prop_assert!(check(&t, &rows));
        let bytes = rows.len() * ncols * 8;
        prop_assert!(t.contiguous_cost(&rows).unwrap() <= (bytes + 2 * page()) as u64);
    }
}
