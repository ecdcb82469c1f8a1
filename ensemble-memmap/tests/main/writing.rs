//! The writer: what it writes reads back, and only complete files get a name.

use std::{fs, path::Path};

use ensemble_core::{ErrorKind, MatRef, Order, Result, Table, file::NewFile};
use ensemble_memmap::{MappedTable, NpyWriter, save_npy};
use proptest::prelude::*;

use crate::{SmallDisk, assert_table, value, values};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Write all rows of the test table, `step` at a time.
fn write_all(mut writer: NpyWriter, nrows: usize, ncols: usize, step: usize) -> Result<()> {
    let all = values(nrows, ncols, Order::C);
    for rows in all.chunks(step * ncols) {
        writer.write_rows(rows)?;
    }
    assert_eq!(writer.rows_written(), nrows);
    writer.finish()
}

#[test]
fn rows_read_back_in_both_orders_whatever_the_steps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    for order in [Order::C, Order::F] {
        for (nrows, ncols) in [(1, 1), (1, 9), (2500, 1), (1024, 3), (2048, 2), (3001, 5)] {
            for step in [1, 7, 1024, 5000] {
                let writer = NpyWriter::create(&path, nrows, ncols, order).unwrap();
                write_all(writer, nrows, ncols, step).unwrap();
                let table = MappedTable::open_npy(&path).unwrap();
                assert_table(&table, nrows, ncols);
                if nrows > 1 && ncols > 1 {
                    assert_eq!(table.as_mat().order(), order);
                }
                assert_eq!(fs::metadata(&path).unwrap().len(), (4096 + nrows * ncols * 8) as u64);
            }
        }
    }
    assert_eq!(names(dir.path()), ["x.npy"]);
}

#[test]
fn wide_fortran_files_are_written_in_smaller_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let (nrows, ncols) = (150, 20_000);
    write_all(NpyWriter::create(&path, nrows, ncols, Order::F).unwrap(), nrows, ncols, 64).unwrap();
    let table = MappedTable::open_npy(&path).unwrap();
    assert_eq!(table.as_mat().order(), Order::F);
    for (row, column) in [(0, 0), (103, 1), (104, 19_999), (105, 7), (149, 19_999)] {
        assert_eq!(table.as_mat().get(row, column), value(row, column));
    }
}

#[test]
fn growing_files_learn_their_length_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (x, y) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
    write_all(NpyWriter::create_growing(&x, 3).unwrap(), 777, 3, 10).unwrap();
    assert_table(&MappedTable::open_npy(&x).unwrap(), 777, 3);
    write_all(NpyWriter::create_growing_vector(&y).unwrap(), 50_000, 1, 999).unwrap();
    assert_table(&MappedTable::open_npy(&y).unwrap(), 50_000, 1);
    assert!(fs::read(&y).unwrap().starts_with(
        b"\x93NUMPY\x01\x00\xf6\x0f{'descr': '<f8', 'fortran_order': False, 'shape': (50000,), }   "
    ));
}

#[test]
fn headers_are_numpys_version_1() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let starts = |want: &str| {
        let bytes = fs::read(&path).unwrap();
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\xf6\x0f");
        assert!(bytes[10..].starts_with(want.as_bytes()), "{}", bytes[..120].escape_ascii());
        assert!(bytes[10 + want.len()..4095].iter().all(|&byte| byte == b' '));
        assert_eq!(bytes[4095], b'\n');
    };
    write_all(NpyWriter::create(&path, 4, 2, Order::C).unwrap(), 4, 2, 4).unwrap();
    starts("{'descr': '<f8', 'fortran_order': False, 'shape': (4, 2), }");
    write_all(NpyWriter::create(&path, 4, 2, Order::F).unwrap(), 4, 2, 4).unwrap();
    starts("{'descr': '<f8', 'fortran_order': True, 'shape': (4, 2), }");
    write_all(NpyWriter::create_vector(&path, 4).unwrap(), 4, 1, 4).unwrap();
    starts("{'descr': '<f8', 'fortran_order': False, 'shape': (4,), }");
}

#[test]
fn save_npy_keeps_the_order_and_leaves_out_the_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    for order in [Order::C, Order::F] {
        let data = values(900, 4, order);
        let mat = MatRef::new(&data, 900, 4, order).unwrap();
        save_npy(&path, mat).unwrap();
        let table = MappedTable::open_npy(&path).unwrap();
        assert_eq!(table.as_mat().order(), order);
        assert_table(&table, 900, 4);

        save_npy(&path, mat.rows(100..700).unwrap()).unwrap();
        let table = MappedTable::open_npy(&path).unwrap();
        assert!((0..600).all(|row| table.as_mat().get(row, 3) == value(row + 100, 3)));

        save_npy(&path, mat.column_view(2)).unwrap();
        let table = MappedTable::open_npy(&path).unwrap();
        assert!((0..900).all(|row| table.as_mat().get(row, 0) == value(row, 2)));
        assert_eq!(table.as_mat().ncols(), 1);
    }
    assert!(save_npy(&path, MatRef::new(&[], 0, 4, Order::C).unwrap()).is_err());
}

#[test]
fn special_values_keep_their_bits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let odd = [f64::NAN, -0.0, f64::INFINITY, f64::MIN_POSITIVE / 2.0, f64::from_bits(0x7ff0_0000_0000_0001)];
    save_npy(&path, MatRef::column_vector(&odd)).unwrap();
    let table = MappedTable::open_npy(&path).unwrap();
    assert!((0..5).all(|row| table.as_mat().get(row, 0).to_bits() == odd[row].to_bits()));
}

#[test]
fn nothing_stays_when_a_writer_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    for order in [Order::C, Order::F] {
        let mut writer = NpyWriter::create(dir.path().join("x.npy"), 5000, 2, order).unwrap();
        assert!(!dir.path().join("x.npy").exists());
        writer.write_rows(&values(3000, 2, Order::C)).unwrap();
        drop(writer);
        assert_eq!(names(dir.path()), [""; 0]);
    }
}

#[test]
fn missing_surplus_and_broken_rows_are_errors_and_the_old_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    fs::write(&path, b"old").unwrap();
    let shape = |error: ensemble_core::Error, want: usize, got: usize| {
        assert!(
            matches!(error.kind(), ErrorKind::Shape { want: w, got: g, .. } if (*w, *g) == (want, got)),
            "{error}"
        );
    };
    for order in [Order::C, Order::F] {
        let mut writer = NpyWriter::create(&path, 3, 2, order).unwrap();
        shape(writer.write_rows(&[1.0, 2.0, 3.0]).unwrap_err(), 4, 3);
        shape(writer.write_rows(&[0.0; 8]).unwrap_err(), 3, 4);
        writer.write_rows(&[1.0; 4]).unwrap();
        shape(writer.write_rows(&[0.0; 4]).unwrap_err(), 3, 4);
        shape(writer.finish().unwrap_err(), 3, 2);
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
    shape(NpyWriter::create_growing(&path, 2).unwrap().finish().unwrap_err(), 1, 0);
    shape(NpyWriter::create(&path, 0, 2, Order::C).unwrap_err(), 1, 0);
    shape(NpyWriter::create(&path, 2, 0, Order::C).unwrap_err(), 1, 0);
    shape(NpyWriter::create_growing(&path, 0).unwrap_err(), 1, 0);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["x.npy"]);

    // A refused call leaves the writer as it was.
    let mut writer = NpyWriter::create(&path, 2, 2, Order::C).unwrap();
    writer.write_rows(&[0.0; 3]).unwrap_err();
    writer.write_rows(&values(2, 2, Order::C)).unwrap();
    writer.finish().unwrap();
    assert_table(&MappedTable::open_npy(&path).unwrap(), 2, 2);
}

#[test]
fn a_table_in_a_file_without_a_name_is_mapped_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = NpyWriter::create_nameless(dir.path(), 3).unwrap();
    assert_eq!(names(dir.path()), [""; 0]);
    writer.write_rows(&values(1000, 3, Order::C)).unwrap();
    let table = writer.into_table().unwrap();
    assert_eq!(names(dir.path()), [""; 0]);
    assert_table(&table, 1000, 3);
    table.check_unchanged().unwrap();
    assert!(matches!(table.reference().unwrap_err().kind(), ErrorKind::Unsupported { .. }));
    assert!(NpyWriter::create_nameless(dir.path(), 3).unwrap().into_table().is_err(), "no rows are no table");
}

#[test]
fn files_are_whole_before_any_takes_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.npy"), dir.path().join("b.npy"));
    let all = values(100, 2, Order::C);
    let whole = [&a, &b].map(|path| {
        let mut writer = NpyWriter::create_in(NewFile::create(path).unwrap(), 100, 2).unwrap();
        writer.write_rows(&all).unwrap();
        writer.complete().unwrap()
    });
    assert_eq!(names(dir.path()), [""; 0]);
    whole.into_iter().for_each(|file| file.publish().unwrap());
    for path in [a, b] {
        assert_table(&MappedTable::open_npy(&path).unwrap(), 100, 2);
    }
}

#[test]
fn a_pipe_gets_the_same_bytes_as_a_file_and_devices_stay_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (pipe, file) = (dir.path().join("pipe"), dir.path().join("file.npy"));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    write_all(NpyWriter::create(&pipe, 700, 3, Order::C).unwrap(), 700, 3, 70).unwrap();
    write_all(NpyWriter::create(&file, 700, 3, Order::C).unwrap(), 700, 3, 70).unwrap();
    assert_eq!(reader.join().unwrap(), fs::read(&file).unwrap());
    assert_eq!(names(dir.path()), ["file.npy", "pipe"]);
    write_all(NpyWriter::create("/dev/null", 700, 3, Order::C).unwrap(), 700, 3, 70).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    let full = write_all(NpyWriter::create("/dev/full", 700, 3, Order::C).unwrap(), 700, 3, 70).unwrap_err();
    assert!(full.to_string().contains("No space left"), "{full}");
    for refused in [NpyWriter::create("/dev/null", 2, 2, Order::F), NpyWriter::create_growing("/dev/null", 2)]
    {
        assert!(matches!(refused.unwrap_err().kind(), ErrorKind::Unsupported { .. }));
    }
}

#[test]
fn places_that_cannot_hold_a_file_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("missing/x.npy"), dir.path().into(), dir.path().join("..")] {
        let error = NpyWriter::create(&path, 1, 1, Order::C).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Io { path: named, .. } if *named == path), "{error}");
    }
    let error = NpyWriter::create(dir.path().join("x.npy"), usize::MAX, 2, Order::C).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_full_disk_is_an_error_and_the_old_file_stays() {
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    let path = disk.path().join("x.npy");
    save_npy(&path, MatRef::new(&values(1000, 4, Order::C), 1000, 4, Order::C).unwrap()).unwrap();
    let full = |error: ensemble_core::Error| {
        assert!(matches!(error.kind(), ErrorKind::Io { path: named, .. } if *named == path), "{error}");
        assert!(error.to_string().contains("No space left"), "{error}");
        assert_eq!(names(disk.path()), ["x.npy"]);
        assert_table(&MappedTable::open_npy(&path).unwrap(), 1000, 4);
    };
    // Of known length: before anything is written.
    for order in [Order::C, Order::F] {
        full(NpyWriter::create(&path, 100_000, 4, order).unwrap_err());
    }
    // Growing: when the disk is full.
    full(write_all(NpyWriter::create_growing(&path, 4).unwrap(), 100_000, 4, 100).unwrap_err());
    // And a writer that failed cannot be finished.
    let mut writer = NpyWriter::create_growing(&path, 4).unwrap();
    writer.write_rows(&values(100_000, 4, Order::C)).unwrap_err();
    assert!(matches!(writer.write_rows(&[0.0; 4]).unwrap_err().kind(), ErrorKind::Unsupported { .. }));
    assert!(matches!(writer.finish().unwrap_err().kind(), ErrorKind::Unsupported { .. }));
    assert_eq!(names(disk.path()), ["x.npy"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_shape_reads_back(
        nrows in 1usize..2600, ncols in 1usize..9, step in 1usize..1500, fortran: bool,
    ) {
        let order = if fortran { Order::F } else { Order::C };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npy");
        write_all(NpyWriter::create(&path, nrows, ncols, order).unwrap(), nrows, ncols, step).unwrap();
        assert_table(&MappedTable::open_npy(&path).unwrap(), nrows, ncols);
    }
}
