//! Which files open, as what, and what is said of the others.

use std::{fs, path::Path, time::Duration};

use ensemble_core::{Error, ErrorKind, Order, Table};
use ensemble_memmap::MappedTable;

use crate::{assert_read_only, assert_table, le_bytes, values, write};

/// A `.npy` header of the given version, padded by spaces until values start at a multiple of `align`.
fn header(version: u8, dict: &str, align: usize) -> Vec<u8> {
    let prefix = if version == 1 { 10 } else { 12 };
    let total = (prefix + dict.len() + 1).next_multiple_of(align);
    let dict_len = total - prefix;
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend((dict_len as u16).to_le_bytes()),
        _ => bytes.extend((dict_len as u32).to_le_bytes()),
    }
    bytes.extend(dict.bytes());
    bytes.resize(total - 1, b' ');
    bytes.push(b'\n');
    bytes
}

fn dict(descr: &str, fortran: bool, shape: &str) -> String {
    let fortran = if fortran { "True" } else { "False" };
    format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}")
}

#[test]
fn versions_1_2_and_3_open_in_both_orders() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    for version in 1..=3 {
        for (order, align) in [(Order::C, 64), (Order::F, 16), (Order::C, 8)] {
            let head = header(version, &dict("'<f8'", order == Order::F, "(5, 3)"), align);
            write(&path, &[&head, &le_bytes(&values(5, 3, order))]);
            let table = MappedTable::open_npy(&path).unwrap();
            assert_eq!(table.as_mat().order(), order);
            assert_table(&table, 5, 3);
            assert_read_only(table.as_mat());
        }
    }
}

#[test]
fn vectors_single_rows_and_single_columns_are_c_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    for (shape, nrows, ncols) in [("(6,)", 6, 1), ("(6, 1)", 6, 1), ("(1, 6)", 1, 6), ("(1L,6L)", 1, 6)] {
        for fortran in [false, true] {
            let head = header(1, &dict("'<f8'", fortran, shape), 64);
            write(&path, &[&head, &le_bytes(&values(nrows, ncols, Order::C))]);
            let table = MappedTable::open_npy(&path).unwrap();
            assert_eq!(table.as_mat().order(), Order::C, "{shape}");
            assert_table(&table, nrows, ncols);
        }
    }
}

#[test]
fn key_order_quotes_and_spaces_do_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let head = header(1, "{ \"shape\" : ( 5 ,3 ) ,'fortran_order':False,\n  'descr' : \"<f8\" }", 64);
    write(&path, &[&head, &le_bytes(&values(5, 3, Order::C))]);
    assert_table(&MappedTable::open_npy(&path).unwrap(), 5, 3);
}

#[track_caller]
fn assert_format(path: &Path, error: &Error, words: &[&str]) {
    let text = error.to_string();
    assert!(matches!(error.kind(), ErrorKind::Format { path: named, .. } if named == path), "{text}");
    assert!(text.starts_with(&path.display().to_string()), "{text}");
    for word in words {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
}

#[test]
fn bad_files_say_what_was_found_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.npy");
    let data = le_bytes(&values(5, 3, Order::C));
    let with = |head: Vec<u8>, data: &[u8]| [&head[..], data].concat();
    let typed = |descr: &str| with(header(1, &dict(descr, false, "(5, 3)"), 64), &data);
    let shaped = |shape: &str| with(header(1, &dict("'<f8'", false, shape), 64), &data);
    let good = header(1, &dict("'<f8'", false, "(5, 3)"), 64);
    let mut version_9 = good.clone();
    version_9[6] = 9;
    let mut version_1_1 = good.clone();
    version_1_1[7] = 1;
    let odd = {
        let mut head = header(1, &dict("'<f8'", false, "(5, 3)"), 64);
        let len = u16::from_le_bytes([head[8], head[9]]) + 3;
        head[8..10].copy_from_slice(&len.to_le_bytes());
        head.splice(60..60, *b"   ");
        head
    };
    const ASTYPE: &str = "numpy.save(path, x.astype('<f8'))";
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("empty", vec![], &["not a .npy file", "\\x93NUMPY"]),
        ("text", b"a,b,c\n1,2,3\n".to_vec(), &["not a .npy file", "\"a,b,c\\n\"", "numpy.save"]),
        ("zip", b"PK\x03\x04 and more bytes".to_vec(), &["not a .npy file", "PK"]),
        ("magic only", b"\x93NUMPY".to_vec(), &["cut short"]),
        ("magic and version", b"\x93NUMPY\x01\x00".to_vec(), &["cut short", "needs 10 bytes"]),
        ("version 2 without length", b"\x93NUMPY\x02\x00\x10\x00".to_vec(), &["cut short", "12"]),
        ("header longer than file", good[..40].to_vec(), &["cut short", "needs 128 bytes", "has 40"]),
        ("version 9.0", with(version_9, &data), &["9.0", "1.0, 2.0 and 3.0"]),
        ("version 1.1", with(version_1_1, &data), &["1.1", "1.0, 2.0 and 3.0"]),
        (
            "huge header",
            with(header(2, &dict("'<f8'", false, "(5, 3)"), 1 << 21), &data),
            &["claims", "1048576"],
        ),
        ("no dict", with(header(1, "hello", 64), &data), &["cannot be read", "'{'", "numpy.save"]),
        ("no shape", with(header(1, "{'descr': '<f8', 'fortran_order': True}", 64), &data), &["'shape'"]),
        ("shorter", with(good.clone(), &data[..112]), &["(5, 3)", "120 bytes", "has 112", "cut short"]),
        ("longer", with(good.clone(), &[0; 128]), &["(5, 3)", "120 bytes", "has 128", "longer"]),
        ("no data", good.clone(), &["has 0", "cut short"]),
        ("big-endian", typed("'>f8'"), &["big-endian", "'>f8'", "'<f8'", ASTYPE]),
        ("float32", typed("'<f4'"), &["float32", "'<f4'", ASTYPE]),
        ("int64", typed("'<i8'"), &["'<i8'", ASTYPE]),
        ("bool", typed("'|b1'"), &["'|b1'", ASTYPE]),
        ("complex", typed("'<c16'"), &["'<c16'", ASTYPE]),
        ("native", typed("'=f8'"), &["'=f8'", ASTYPE]),
        ("objects", typed("'|O'"), &["Python objects", "'<f8'"]),
        ("structured", typed("[('a', '<f8'), ('b', '<i4', (2,))]"), &["[('a'", "structured_to_unstructured"]),
        ("0-D", shaped("()"), &["()", "0 dimensions", "reshape"]),
        ("3-D", shaped("(5, 3, 1)"), &["(5, 3, 1)", "3 dimensions", "reshape"]),
        ("zero rows", shaped("(0, 3)"), &["(0, 3)", "no values"]),
        ("zero columns", shaped("(5, 0)"), &["(5, 0)", "no values"]),
        ("empty vector", shaped("(0,)"), &["(0,)", "no values"]),
        ("product overflows", shaped("(4294967296, 4294967296)"), &["more than this machine"]),
        ("bytes overflow", shaped("(2305843009213693951, 1)"), &["more than this machine"]),
        ("dimension overflows", shaped("(18446744073709551616, 1)"), &["64 bits"]),
        ("negative", shaped("(-5, 3)"), &["a dimension", "'-'"]),
        ("misaligned", with(odd, &data), &["byte 131", "multiple of 8", "numpy.save"]),
    ];
    for (name, bytes, words) in cases {
        fs::write(&path, bytes).unwrap();
        let error = MappedTable::open_npy(&path).expect_err(name);
        assert_format(&path, &error, words);
    }
}

#[test]
fn missing_files_directories_and_pipes_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.npy");
    let error = MappedTable::open_npy(&missing).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Io { path, .. } if *path == missing), "{error}");
    assert!(error.to_string().starts_with("cannot open"), "{error}");
    assert_format(dir.path(), &MappedTable::open_npy(dir.path()).unwrap_err(), &["regular file"]);
    let null = Path::new("/dev/null");
    assert_format(null, &MappedTable::open_raw(null, 1, 1, Order::C).unwrap_err(), &["regular file"]);
}

#[test]
fn raw_files_open_at_any_aligned_offset() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.f64");
    for order in [Order::C, Order::F] {
        write(&path, &[&le_bytes(&values(700, 3, order))]);
        assert_table(&MappedTable::open_raw(&path, 700, 3, order).unwrap(), 700, 3);
        for offset in [8_usize, 64, 128, 4096, 5000] {
            write(&path, &[&vec![1; offset], &le_bytes(&values(700, 3, order)), b"tail"]);
            assert_table(&MappedTable::open_raw_at(&path, offset as u64, 700, 3, order).unwrap(), 700, 3);
        }
    }
}

#[test]
fn raw_shapes_that_do_not_fit_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.f64");
    write(&path, &[&[0; 240]]);
    let raw = |nrows, ncols| MappedTable::open_raw(&path, nrows, ncols, Order::C).unwrap_err();
    assert_format(&path, &raw(10, 4), &["320 bytes", "has 240"]);
    assert_format(&path, &raw(10, 2), &["160 bytes", "has 240"]);
    assert_format(&path, &raw(0, 2), &["no values"]);
    assert_format(&path, &raw(2, 0), &["no values"]);
    assert_format(&path, &raw(usize::MAX, 2), &["more than this machine"]);
    assert_format(&path, &raw(usize::MAX / 16, 1), &["has 240"]);
    let at = |offset| MappedTable::open_raw_at(&path, offset, 10, 2, Order::C).unwrap_err();
    assert_format(&path, &at(4), &["multiple of 8"]);
    assert_format(&path, &at(88), &["from byte 88", "has 240"]);
    assert_format(&path, &at(u64::MAX - 7), &["has 240"]);
}

#[test]
fn a_table_is_named_by_its_path_and_shared_by_count() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.f64");
    write(&path, &[&le_bytes(&values(100, 3, Order::C))]);
    let table = MappedTable::open_raw(&path, 100, 3, Order::C).unwrap();
    assert_eq!(table.describe(), path.display().to_string());
    assert_eq!(table.page_bytes(), crate::page());
    assert!(format!("{table:?}").contains("x.f64"));
    let at = table.as_mat().data().as_ptr();
    let handle = table.handle().unwrap();
    assert_eq!(handle.as_mat().data().as_ptr(), at);
    assert_eq!(table.clone().as_mat().data().as_ptr(), at);
    drop(table);
    assert_table(&*handle, 100, 3);
}

#[test]
fn a_change_of_the_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.f64");
    let fresh = || {
        write(&path, &[&le_bytes(&values(10, 3, Order::C))]);
        let table = MappedTable::open_raw(&path, 10, 3, Order::C).unwrap();
        table.check_unchanged().unwrap();
        table
    };
    let append = |bytes: &[u8]| {
        use std::io::Write;
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(bytes).unwrap();
    };

    let table = fresh();
    append(b"more");
    assert_format(&path, &table.check_unchanged().unwrap_err(), &["changed while it was read", "240", "244"]);

    let table = fresh();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let later = file.metadata().unwrap().modified().unwrap() + Duration::from_secs(2);
    file.set_modified(later).unwrap();
    assert_format(&path, &table.check_unchanged().unwrap_err(), &["changed while it was read"]);

    // Rewritten, and the time of writing put back, as `touch -r` does.
    let table = fresh();
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, &[1; 240]).unwrap();
    file.set_modified(before).unwrap();
    assert_format(&path, &table.check_unchanged().unwrap_err(), &["changed while it was read", "put back"]);

    let table = fresh();
    fs::copy(&path, dir.path().join("other")).unwrap();
    fs::rename(dir.path().join("other"), &path).unwrap();
    table.check_unchanged().unwrap();
    assert_format(&path, &table.check_path().unwrap_err(), &["another file"]);
    assert_table(&table, 10, 3);

    let table = fresh();
    fs::remove_file(&path).unwrap();
    table.check_unchanged().unwrap();
    table.check_path().unwrap();
    assert_table(&table, 10, 3);
}
