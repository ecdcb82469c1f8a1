//! Mapped tables, rewired views, spill files and the writer, against naive oracles.
#![allow(clippy::disallowed_methods, missing_docs)]

mod headers;
mod rewired;
mod signals;
mod spill;
mod writing;

use std::{io::Write, path::Path, process::Command};

use ensemble_core::{MatRef, Order, Rows, Table};

/// The value that test tables hold at (`row`, `column`).
fn value(row: usize, column: usize) -> f64 {
    row as f64 + column as f64 / 1024.0
}

/// `nrows * ncols` such values, laid out in `order`.
fn values(nrows: usize, ncols: usize, order: Order) -> Vec<f64> {
    let place = |i: usize| match order {
        Order::C => value(i / ncols, i % ncols),
        Order::F => value(i % nrows, i / nrows),
    };
    (0..nrows * ncols).map(place).collect()
}

fn le_bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn write(path: &Path, parts: &[&[u8]]) {
    let mut file = std::fs::File::create(path).unwrap();
    parts.iter().for_each(|part| file.write_all(part).unwrap());
}

/// `mat` holds rows `rows` of the test table and no others.
#[track_caller]
fn assert_rows(mat: MatRef<'_>, rows: &Rows, ncols: usize) {
    assert_eq!((mat.nrows(), mat.ncols()), (rows.len(), ncols));
    let picked = rows.runs().iter().flat_map(|run| run.start..run.end);
    for (i, row) in picked.enumerate() {
        for column in 0..ncols {
            assert_eq!(mat.get(i, column), value(row, column), "row {i} of the view, column {column}");
        }
    }
}

#[track_caller]
fn assert_table(table: &dyn Table, nrows: usize, ncols: usize) {
    assert_rows(table.as_mat(), &Rows::all(nrows), ncols);
}

fn page() -> usize {
    rustix::param::page_size()
}

/// One line of `/proc/self/maps` with the addresses it covers.
fn mappings() -> Vec<(std::ops::Range<usize>, String)> {
    let text = std::fs::read_to_string("/proc/self/maps").unwrap();
    let hex = |digits: &str| usize::from_str_radix(digits, 16).unwrap();
    text.lines()
        .map(|line| {
            let (from, rest) = line.split_once('-').unwrap();
            (hex(from)..hex(rest.split_once(' ').unwrap().0), line.to_string())
        })
        .collect()
}

/// Every page behind `mat` can be read and none written.
#[track_caller]
fn assert_read_only(mat: MatRef<'_>) {
    let data = mat.data().as_ptr_range();
    let (from, to) = (data.start as usize, data.end as usize);
    let mut covered = 0;
    for (range, line) in mappings() {
        if range.start < to && range.end > from {
            let rights = line.split_whitespace().nth(1).unwrap();
            assert!(rights.starts_with("r-"), "{line}");
            covered += range.end.min(to) - range.start.max(from);
        }
    }
    assert_eq!(covered, to - from);
}

/// A tmpfs of `size` bytes, unmounted when dropped; `None`, with the reason printed, where mounting is not permitted.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(size: usize) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { dir }),
            Ok(output) => {
                eprintln!("not tested, no small disk: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                eprintln!("not tested, no program to mount a small disk: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}
