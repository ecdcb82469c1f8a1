//! Spill files: allocated, writable once, then tables like any mapped file.

use std::sync::Arc;

use ensemble_core::{ErrorKind, Order, Rows, Scratch, Shape, Table};
use ensemble_memmap::SpillDir;

use crate::{SmallDisk, assert_read_only, assert_table, page, rewired, value};

fn filled(dir: &SpillDir, nrows: usize, ncols: usize, order: Order) -> Arc<dyn Table> {
    let mut matrix = dir.matrix(Shape { nrows, ncols }, order).unwrap();
    assert_eq!(matrix.as_mat_mut().order(), order);
    assert!(matrix.as_mat().data().iter().all(|&v| v == 0.0), "a matrix of zeros");
    for row in 0..nrows {
        for column in 0..ncols {
            matrix.as_mat_mut().set(row, column, value(row, column));
        }
    }
    matrix.into_table()
}

#[test]
fn a_finished_matrix_is_a_read_only_table() {
    let dir = tempfile::tempdir().unwrap();
    let spill = SpillDir::new(dir.path());
    let on_memory = rustix::fs::statfs(dir.path()).unwrap().f_type == 0x0102_1994;
    assert_eq!(spill.is_anonymous(), on_memory);
    for order in [Order::C, Order::F] {
        let table = filled(&spill, 1000, 3, order);
        assert_table(&*table, 1000, 3);
        assert_read_only(table.as_mat());
        assert!(table.describe().contains(&dir.path().display().to_string()));
        let handle = table.handle().unwrap();
        drop(table);
        assert_table(&*handle, 1000, 3);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "spill files have no name");
}

#[test]
fn spill_files_are_rewired_like_any_file() {
    let unit = page() / 8;
    let nrows = 5 * unit + 11;
    for order in [Order::C, Order::F] {
        for ncols in [1, 4] {
            let table = filled(&SpillDir::temp(), nrows, ncols, order);
            for held_out in [unit..2 * unit, 100..100 + 3 * unit] {
                assert!(rewired::check(&*table, &Rows::all_but(nrows, held_out).unwrap()));
            }
            rewired::check(&*table, &Rows::all_but(nrows, 5..77).unwrap());
            rewired::check(&*table, &Rows::one(3..nrows));
        }
    }
}

#[test]
fn an_unfinished_matrix_is_rewired_too() {
    let unit = page() / 8;
    let mut matrix = SpillDir::temp().matrix(Shape { nrows: 4 * unit, ncols: 2 }, Order::C).unwrap();
    for row in 0..4 * unit {
        matrix.as_mat_mut().row_mut(row).unwrap().copy_from_slice(&[value(row, 0), value(row, 1)]);
    }
    let table: &dyn Table = &*matrix;
    assert!(rewired::check(table, &Rows::all_but(4 * unit, 7..7 + unit).unwrap()));
}

#[test]
fn released_pages_keep_what_was_written() {
    for order in [Order::C, Order::F] {
        let mut matrix = SpillDir::temp().matrix(Shape { nrows: 5000, ncols: 3 }, order).unwrap();
        for row in 0..5000 {
            for column in 0..3 {
                matrix.as_mat_mut().set(row, column, value(row, column));
            }
            matrix.release(row..row + 1);
        }
        matrix.release(0..5000);
        let table = matrix.into_table();
        assert_table(&*table, 5000, 3);
        table.release(0..5000);
        assert_table(&*table, 5000, 3);
    }
}

#[test]
fn shapes_without_values_need_no_file() {
    let spill = SpillDir::new("/nowhere/at/all");
    for (nrows, ncols) in [(0, 0), (0, 5), (5, 0)] {
        for order in [Order::C, Order::F] {
            let mut matrix = spill.matrix(Shape { nrows, ncols }, order).unwrap();
            matrix.as_mat_mut().fill(1.0);
            let table = matrix.into_table();
            assert_eq!(table.as_mat().shape(), Shape { nrows, ncols });
            table.release(0..nrows);
            if nrows == 5 {
                let rows = Rows::all_but(5, 2..3).unwrap();
                assert_eq!(table.contiguous_cost(&rows), Some(0));
                assert_eq!(table.contiguous(&rows).unwrap().as_mat().shape(), Shape { nrows: 4, ncols: 0 });
            }
        }
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let error =
        SpillDir::new("/nowhere/at/all").matrix(Shape { nrows: 1, ncols: 1 }, Order::C).err().unwrap();
    assert!(matches!(error.kind(), ErrorKind::Io { .. }));
    assert!(error.to_string().starts_with("cannot create a temporary file in /nowhere/at/all"), "{error}");
}

#[test]
fn a_shape_beyond_the_machine_is_an_error() {
    for (nrows, ncols) in [(usize::MAX, 2), (usize::MAX / 8, 1), (1 << 33, 1 << 33)] {
        let error = SpillDir::temp().matrix(Shape { nrows, ncols }, Order::C).err().unwrap();
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    }
}

#[test]
fn a_full_disk_is_an_error_before_anything_is_written() {
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    let spill = SpillDir::new(disk.path());
    assert!(spill.is_anonymous(), "files on tmpfs are memory");
    let fits = filled(&spill, 10_000, 4, Order::C);
    let error = spill.matrix(Shape { nrows: 200_000, ncols: 4 }, Order::C).err().unwrap();
    let want =
        format!("cannot allocate 6400000 bytes for a spill file in {}: No space left", disk.path().display());
    assert!(error.to_string().starts_with(&want), "{error}");
    assert!(matches!(error.kind(), ErrorKind::Io { .. }));
    assert_table(&*fits, 10_000, 4);
    drop(fits);
    // What the failed allocation took is free again, and so is the dropped matrix.
    assert_table(&*filled(&spill, 30_000, 4, Order::F), 30_000, 4);
}
