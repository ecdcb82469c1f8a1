//! What a program does that has asked for signals to be answered: each case is this test binary run again as a child.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Output},
};

use ensemble_core::{Order, Rows, Scratch, Shape, Table, file::NewFile};
use ensemble_memmap::{MappedTable, SpillDir, answer_signals};

use crate::{SmallDisk, le_bytes, page, values, write};

const FOLDER: &str = "ENSEMBLE_MEMMAP_CHILD_WORKS_IN";

/// Run the test `name` again, as a child that works in `folder`.
fn child(name: &str, folder: &Path) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .output()
        .unwrap()
}

fn folder() -> Option<std::path::PathBuf> {
    std::env::var_os(FOLDER).map(Into::into)
}

fn raise(signal: &str) {
    // The shell's own command.
    let line = format!("kill -s {signal} {}", std::process::id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    // The signal may reach another thread, which ends the process a little later.
    std::thread::sleep(std::time::Duration::from_secs(5));
}

/// The last line the child wrote to standard error.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().last().unwrap_or_default().into()
}

#[test]
fn a_mapped_file_that_is_cut_short_ends_the_program_with_a_sentence() {
    if let Some(folder) = folder() {
        let path = folder.join("x.f64");
        let nrows = 16 * page() / 8;
        write(&path, &[&le_bytes(&values(nrows, 1, Order::C))]);
        answer_signals();
        let table = MappedTable::open_raw(&path, nrows, 1, Order::C).unwrap();
        let others = MappedTable::open_raw(&path, nrows, 1, Order::C).unwrap();
        drop(others);
        let _temporary = NewFile::create_beside(folder.join("out")).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(8).unwrap();
        println!("not reached: {}", table.as_mat().get(nrows - 1, 0));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output =
        child("signals::a_mapped_file_that_is_cut_short_ends_the_program_with_a_sentence", dir.path());
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = said(&output);
    let path = dir.path().join("x.f64").display().to_string();
    assert!(
        said.starts_with(&format!("ensemble: {path}: the file was cut short while it was read")),
        "{said}"
    );
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["x.f64"], "temporary files are removed");
}

#[test]
fn threads_that_all_read_behind_the_end_say_one_sentence() {
    if let Some(folder) = folder() {
        let path = folder.join("a\nb\u{1b}[2J.f64");
        let nrows = 64 * page() / 8;
        write(&path, &[&le_bytes(&values(nrows, 1, Order::C))]);
        answer_signals();
        let table = MappedTable::open_raw(&path, nrows, 1, Order::C).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(8).unwrap();
        let together = std::sync::Barrier::new(32);
        std::thread::scope(|scope| {
            for at in 1..33 {
                let (table, together) = (&table, &together);
                scope.spawn(move || {
                    together.wait();
                    println!("not reached: {}", table.as_mat().get(at * page() / 8, 0));
                });
            }
        });
        return;
    }
    for _ in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let output = child("signals::threads_that_all_read_behind_the_end_say_one_sentence", dir.path());
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.matches("ensemble: ").count(), 1, "{said}");
        assert!(said.ends_with("what was computed from it is void\n"), "{said}");
        assert!(
            said.contains("a\\nb\\u{1b}[2J.f64: the file was cut short"),
            "as messages show names: {said}"
        );
    }
}

#[test]
fn so_does_one_whose_pages_are_put_side_by_side() {
    if let Some(folder) = folder() {
        let path = folder.join("x.f64");
        let unit = page() / 8;
        write(&path, &[&le_bytes(&values(8 * unit, 1, Order::C))]);
        answer_signals();
        let table = MappedTable::open_raw(&path, 8 * unit, 1, Order::C).unwrap();
        let view = table.contiguous(&Rows::all_but(8 * unit, unit..2 * unit).unwrap()).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(8).unwrap();
        println!("not reached: {}", view.as_mat().get(7 * unit - 1, 0));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = child("signals::so_does_one_whose_pages_are_put_side_by_side", dir.path());
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(said(&output).contains("x.f64: the file was cut short"), "{output:?}");
}

#[test]
fn a_bus_error_that_is_sent_ends_the_process_by_its_signal() {
    if let Some(folder) = folder() {
        answer_signals();
        let path = folder.join("x.f64");
        write(&path, &[&le_bytes(&values(4, 1, Order::C))]);
        let _table = MappedTable::open_raw(&path, 4, 1, Order::C).unwrap();
        raise("BUS");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = child("signals::a_bus_error_that_is_sent_ends_the_process_by_its_signal", dir.path());
    assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{output:?}");
}

#[test]
fn a_bus_error_in_memory_that_is_no_table_ends_the_process_as_before() {
    if let Some(folder) = folder() {
        answer_signals();
        let path = folder.join("x");
        write(&path, &[&vec![0; 2 * page()]]);
        let file = fs::File::options().write(true).read(true).open(&path).unwrap();
        // SAFETY: this child alone has the file; that it cuts it short is what is tested.
        let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
        file.set_len(1).unwrap();
        println!("not reached: {}", map[page()]);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output =
        child("signals::a_bus_error_in_memory_that_is_no_table_ends_the_process_as_before", dir.path());
    assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{output:?}");
}

#[test]
fn temporary_files_are_gone_after_an_interrupt() {
    if let Some(folder) = folder() {
        answer_signals();
        let signal = fs::read_to_string(folder.join("signal")).unwrap();
        let _first = NewFile::create_beside(folder.join("one")).unwrap();
        let _second = NewFile::create_beside(folder.join("two")).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        raise(&signal);
        return;
    }
    // What this process ignores, as under nohup, its children ignore too.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        if ignored >> (number - 1) & 1 == 1 {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("signal"), signal).unwrap();
        let output = child("signals::temporary_files_are_gone_after_an_interrupt", dir.path());
        assert_eq!(output.status.signal(), Some(number), "{output:?}");
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["signal"]);
    }
}

#[test]
fn a_spill_file_without_room_is_told_as_such() {
    if let Some(folder) = folder() {
        answer_signals();
        let unit = page() / 8;
        let mut matrix =
            SpillDir::new(&folder).matrix(Shape { nrows: 4 * unit, ncols: 1 }, Order::C).unwrap();
        // What a file system does that keeps no room: the page is not there when it is written.
        let spilled = fs::read_dir("/proc/self/fd").unwrap().find_map(|fd| {
            let fd = fd.unwrap().path();
            let is = fs::read_link(&fd).ok()?.starts_with(&folder);
            is.then(|| fs::File::options().write(true).open(fd).unwrap())
        });
        spilled.expect("the spill file is open").set_len(0).unwrap();
        matrix.as_mat_mut().set(3 * unit, 0, 1.0);
        println!("not reached");
        return;
    }
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    let output = child("signals::a_spill_file_without_room_is_told_as_such", disk.path());
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(said(&output).contains("keeps no room"), "{output:?}");
}
