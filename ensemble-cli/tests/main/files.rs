//! What the program reads, writes and leaves behind: pipes, devices, rights, interrupts, and files that change under it.

use std::{
    fs,
    io::Write,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
        process::ExitStatusExt,
    },
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::{Bench, floats, npy, npy_bytes};

const OLS: &str = "--learner ols=native.linear_regression";

impl Bench {
    /// The program, to be run with more than arguments.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ensemble"));
        command.args(line.split_whitespace()).current_dir(self.path(""));
        command
    }

    fn start(&self, line: &str) -> Child {
        self.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Whether outputs have no name here until they are whole, which not every file system offers.
    fn has_nameless_files(&self) -> bool {
        let before = self.names();
        let _begun = ensemble::file::NewFile::create(self.path("begun")).unwrap();
        self.names() == before
    }

    /// Everything in the folder, hidden files too.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn make_pipe(&self, name: &str) {
        assert!(Command::new("mkfifo").arg(self.path(name)).status().unwrap().success());
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().mode() & 0o7777
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A table of `rows` rows of six columns, the target as a seventh.
    fn write_csv(&self, name: &str, rows: usize) {
        let mut text = String::from("a,b,c,d,e,f,kind,y\n");
        for row in 0..rows {
            let (t, kind) = (row as f64, ["no", "yes"][row % 2]);
            text += &format!(
                "{t},{},{},{},{},{},{kind},{}\n",
                t.sin(),
                t.cos(),
                (t * 0.7).sin(),
                row % 7,
                row % 11,
                t * 0.5
            );
        }
        self.write(name, text);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn assert_refused(output: &Output, words: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in words {
        assert!(said.contains(word), "no '{word}' in: {said}");
    }
}

/// Write all of `bytes` to a pipe, from another thread.
fn feed(path: std::path::PathBuf, bytes: Vec<u8>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || fs::File::options().write(true).open(path).unwrap().write_all(&bytes).unwrap())
}

#[test]
fn csv_through_a_pipe_is_read_as_often_as_a_fit_needs() {
    let bench = Bench::new();
    bench.write_csv("t.csv", 200);
    let bytes = fs::read(bench.path("t.csv")).unwrap();
    bench.make_pipe("p.csv");
    // A classifier reads its file twice, since words are numbered first.
    for options in [
        "--target y --drop kind --learner m=native.mean --folds 2",
        "--target kind --learner nb=native.gaussian_nb --folds 2",
    ] {
        let writer = feed(bench.path("p.csv"), bytes.clone());
        let piped = bench.json(&format!("fit p.csv {options} --model m --json"));
        writer.join().unwrap();
        let file = bench.json(&format!("fit t.csv {options} --model n --json"));
        assert_eq!(piped["learners"][0]["cv_rmse_folds"], file["learners"][0]["cv_rmse_folds"]);
        assert_eq!(fs::read(bench.path("m")).unwrap(), fs::read(bench.path("n")).unwrap());
    }
    let writer = feed(bench.path("p.csv"), bytes.clone());
    bench.succeeds("predict m p.csv --out p.npy");
    writer.join().unwrap();
    let writer = feed(bench.path("p.csv"), bytes);
    assert_eq!(bench.json("inspect p.csv --drop kind --json")["rows"], 200);
    writer.join().unwrap();
}

#[test]
fn models_and_specs_are_read_from_pipes_too() {
    let bench = Bench::new();
    bench.succeeds(&format!("fit X.npy --target y.npy {OLS} --model m"));
    bench.succeeds("predict m X.npy --out p.npy");
    bench.make_pipe("pipe");
    let writer = feed(bench.path("pipe"), fs::read(bench.path("m")).unwrap());
    bench.succeeds("predict pipe X.npy --out q.npy");
    writer.join().unwrap();
    assert_eq!(npy(&bench.path("q.npy")), npy(&bench.path("p.npy")));
    let writer = feed(bench.path("pipe"), b"folds = 3\n".into());
    let report = bench.json(&format!("fit X.npy --target y.npy {OLS} --spec pipe --json"));
    writer.join().unwrap();
    assert_eq!(report["fold_sizes"].as_array().unwrap().len(), 3);
    bench.refuses("inspect pipe", &["pipe", "no regular file"]);
}

#[test]
fn pipes_without_a_writer_are_refused_and_not_waited_for() {
    let bench = Bench::new();
    bench.succeeds(&format!("fit X.npy --target y.npy {OLS} --model m"));
    for name in ["a.csv", "b", "c", "d.csv"] {
        bench.make_pipe(name);
    }
    // All at once, since each waits for a while.
    let started: Vec<Child> = [
        format!("fit a.csv --target y {OLS}"),
        format!("fit X.npy --target y.npy {OLS} --spec b"),
        "predict c X.npy --out p.npy".into(),
        "predict m d.csv --out p.npy".into(),
    ]
    .iter()
    .map(|line| bench.start(line))
    .collect();
    for child in started {
        assert_refused(&child.wait_with_output().unwrap(), &["named pipe", "nobody writes to"]);
    }
    bench.refuses("fit c --target y.npy --learner ols=native.ridge", &["c", "not a regular file"]);
}

#[test]
fn outputs_that_are_devices_or_pipes_are_written_into_and_stay_what_they_are() {
    let bench = Bench::new();
    bench.succeeds(&format!("fit X.npy --target y.npy {OLS} --model m --oof oof.npy"));
    bench.succeeds("predict m X.npy --out p.npy");
    bench.succeeds("predict m X.npy --out p.csv");
    let same = |name: &str, line: &str| {
        let pipe = bench.path(&format!(
            "pipe{}",
            Path::new(name).extension().map_or_else(String::new, |e| { format!(".{}", e.to_str().unwrap()) })
        ));
        if !pipe.exists() {
            bench.make_pipe(pipe.file_name().unwrap().to_str().unwrap());
        }
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        bench.succeeds(&line.replace("OUT", pipe.to_str().unwrap()));
        assert_eq!(reader.join().unwrap(), fs::read(bench.path(name)).unwrap(), "{line}");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    };
    same("p.npy", "predict m X.npy --out OUT");
    same("p.csv", "predict m X.npy --out OUT");
    same("m", &format!("fit X.npy --target y.npy {OLS} --model OUT --oof other.npy"));
    same("oof.npy", &format!("fit X.npy --target y.npy {OLS} --oof OUT"));
    // Devices behind links with the endings that outputs have.
    symlink("/dev/null", bench.path("null.npy")).unwrap();
    symlink("/dev/full", bench.path("full.csv")).unwrap();
    bench.succeeds("predict m X.npy --out null.npy");
    bench.succeeds(&format!("fit X.npy --target y.npy {OLS} --model /dev/null --oof null.npy"));
    bench.refuses("predict m X.npy --out full.csv", &["full.csv", "No space left"]);
    for device in ["/dev/null", "/dev/full"] {
        assert!(fs::metadata(device).unwrap().file_type().is_char_device(), "{device}");
    }
    assert_eq!(fs::read_link(bench.path("null.npy")).unwrap(), Path::new("/dev/null"));
    bench.refuses(
        "generate friedman1 --rows 9 --cols 5 --seed 1 --order F --x null.npy --y z.npy",
        &["null.npy", "C order"],
    );
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_the_fit() {
    let bench = Bench::new();
    let long = format!("{}.npy", "n".repeat(251));
    // A target that is not there either: whatever is told first is asked first.
    let fit = |out: &str| format!("fit X.npy --target missing.npy {OLS} {out}");
    bench.refuses(&fit("--model /proc/m"), &["/proc/m"]);
    bench.refuses(&fit("--model m --oof /sys/oof.npy"), &["/sys/oof.npy"]);
    bench.refuses(&fit(&format!("--model {}", "n".repeat(256))), &["name too long"]);
    bench.refuses("predict missing X.npy --out p.npy", &["missing"]);
    // The longest name there is works.
    bench.succeeds(&format!("fit X.npy --target y.npy {OLS} --oof {long}"));
    bench.succeeds(&format!("fit X.npy --target y.npy {OLS} --oof {long}"));
    let socket = bench.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    bench.refuses(&fit("--model socket"), &["socket"]);
    bench.make_pipe("unread");
    bench.refuses(&fit("--model unread"), &["unread", "nobody reads from"]);
    assert!(!bench.path("m").exists());
}

#[test]
fn references_to_rows_that_are_in_no_file_are_refused_before_the_fit() {
    let bench = Bench::new();
    bench.write_csv("t.csv", 50);
    let near = "--learner near=native.k_neighbors_regressor --model m --by-reference";
    bench.refuses(&format!("fit t.csv --target y {near}"), &["t.csv", "--by-reference", "temporary file"]);
    bench.refuses(&format!("fit X.npy --target y.npy --shuffle {near}"), &["X.npy", "shuffled rows"]);
    bench.refuses(&format!("fit X.npy --target 3 {near}"), &["X.npy", "some of its columns"]);
    bench.refuses(&format!("fit X.npy --target y.npy --drop 3 {near}"), &["X.npy", "some of its columns"]);
    let labels: Vec<f64> = (0..3000).map(|row| f64::from(row % 2) + 1.0).collect();
    bench.write("labels.npy", npy_bytes("<f8", "(3000,)", &floats(&labels)));
    bench.refuses(
        "fit X.npy --target labels.npy --learner a=native.gaussian_nb --model m --by-reference",
        &["labels.npy", "0, 1, 2"],
    );
    assert!(!bench.path("m").exists());
    bench.succeeds(&format!("fit X.npy --target y.npy {near}"));
    bench.succeeds("predict m X.npy --out p.npy");
}

#[test]
fn a_column_is_no_file_that_an_output_could_overwrite() {
    let bench = Bench::new();
    bench.write_csv("t.csv", 50);
    bench.succeeds("fit t.csv --target y --drop kind --learner ols=native.ridge --model y");
    assert_eq!(bench.json("inspect y --json")["columns"], 6);
    bench.refuses(&format!("fit X.npy --target y.npy {OLS} --oof y.npy"), &["y.npy", "input"]);
}

#[test]
fn outputs_have_the_rights_of_other_files_and_keep_those_they_have() {
    let bench = Bench::new();
    bench.write("usual", "");
    let usual = bench.mode("usual");
    let all = ["m", "oof.npy", "p.npy", "p.csv"];
    let write_all = || {
        bench.succeeds(&format!("fit X.npy --target y.npy {OLS} --model m --oof oof.npy"));
        bench.succeeds("predict m X.npy --out p.npy");
        bench.succeeds("predict m X.npy --out p.csv");
    };
    write_all();
    assert_eq!(all.map(|name| bench.mode(name)), [usual; 4]);
    for rights in [0o600, 0o664] {
        all.iter().for_each(|name| bench.set_mode(name, rights));
        write_all();
        assert_eq!(all.map(|name| bench.mode(name)), [rights; 4]);
    }
    // A link stays, and what it names is written.
    fs::create_dir(bench.path("models")).unwrap();
    symlink("models/of today", bench.path("current")).unwrap();
    for _ in 0..2 {
        bench.succeeds(&format!("fit X.npy --target y.npy {OLS} --model current --oof other.npy"));
        assert_eq!(fs::read_link(bench.path("current")).unwrap(), Path::new("models/of today"));
        assert_eq!(fs::read(bench.path("models/of today")).unwrap(), fs::read(bench.path("m")).unwrap());
    }
}

/// Wait until `is`, or fail after ten seconds.
#[track_caller]
fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what} took more than ten seconds");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The files that a process has open, as `/proc` names them.
fn open_files(child: &Child) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", child.id())) else { return Vec::new() };
    entries.filter_map(|e| Some(fs::read_link(e.ok()?.path()).ok()?.to_string_lossy().into_owned())).collect()
}

/// Send a signal by the shell's own command.
fn send(child: &Child, signal: &str) {
    let line = format!("kill -s {signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
}

/// Whether this process ignores a signal, as what is started in a shell's background does with SIGINT: its children ignore it too, and
/// rightly go on.
fn ignores(signal: &str) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    signal == "INT" && u64::from_str_radix(mask, 16).unwrap() & 2 != 0
}

#[test]
fn an_import_that_is_interrupted_leaves_nothing_and_shows_its_rows_to_nobody() {
    let bench = Bench::new();
    fs::create_dir(bench.path("spill")).unwrap();
    bench.make_pipe("p.csv");
    for signal in ["INT", "TERM", "KILL"].into_iter().filter(|signal| !ignores(signal)) {
        let child = bench.start(&format!("fit p.csv --target y --spill-dir spill {OLS}"));
        // Rows without an end, so that the program is in the middle of it.
        let mut pipe = fs::File::options().write(true).open(bench.path("p.csv")).unwrap();
        pipe.write_all(b"a,y\n1,2\n3,4\n").unwrap();
        let spill = bench.path("spill");
        wait_until("the import", || {
            let is = |name: &String| name.starts_with(spill.to_str().unwrap()) && name.ends_with("(deleted)");
            open_files(&child).iter().any(is)
        });
        assert_eq!(fs::read_dir(&spill).unwrap().count(), 0, "temporary files have no name");
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.signal().is_some(), "{output:?}");
        assert_eq!(fs::read_dir(&spill).unwrap().count(), 0);
    }
}

#[test]
fn predictions_that_are_interrupted_leave_nothing() {
    let bench = Bench::new();
    bench.write_csv("t.csv", 50);
    bench.succeeds("fit t.csv --target y --drop kind --learner ols=native.ridge --model m");
    bench.make_pipe("p.csv");
    let before = bench.names();
    let nameless = bench.has_nameless_files();
    for (out, signal) in [("p.npy", "INT"), ("q.csv", "TERM"), ("p.npy", "KILL")] {
        // Nobody removes a file with a name for a process that was killed.
        if (signal == "KILL" && !nameless) || ignores(signal) {
            continue;
        }
        let child = bench.start(&format!("predict m p.csv --out {out}"));
        let _pipe = fs::File::options().write(true).open(bench.path("p.csv")).unwrap();
        // The output is begun before its input is read.
        let begun = if nameless { "(deleted)" } else { ".partial" };
        wait_until("the output", || open_files(&child).iter().any(|name| name.ends_with(begun)));
        send(&child, signal);
        assert!(child.wait_with_output().unwrap().status.signal().is_some());
        assert_eq!(bench.names(), before, "{out} and {signal}");
    }
}

#[test]
fn a_file_with_few_descriptors_left_is_imported_or_refused_and_leaves_nothing() {
    let bench = Bench::new();
    bench.write_csv("t.csv", 50);
    fs::create_dir(bench.path("spill")).unwrap();
    for limit in 3..12 {
        let program = env!("CARGO_BIN_EXE_ensemble");
        let line = format!(
            "ulimit -n {limit}; exec '{program}' fit t.csv --target y --drop kind --spill-dir spill --learner a=native.ridge"
        );
        let output = Command::new("sh").args(["-c", &line]).current_dir(bench.path("")).output().unwrap();
        let said = text(&output.stderr);
        // With the very fewest the program cannot even be loaded.
        assert!(matches!(output.status.code(), Some(0 | 2 | 126 | 127)), "{limit}: {output:?}");
        assert!(output.status.success() || !said.is_empty());
        assert_eq!(fs::read_dir(bench.path("spill")).unwrap().count(), 0, "{limit}");
    }
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_leaves_what_was_there() {
    let bench = Bench::new();
    let near = "--learner k=native.k_neighbors_regressor --model m";
    bench.write("m", "as it was");
    let before = bench.names();
    // Forty blocks of 512 bytes; shells that count in larger ones allow less than the model takes, too.
    let program = env!("CARGO_BIN_EXE_ensemble");
    let line = format!("ulimit -f 40; exec '{program}' fit X.npy --target y.npy {near}");
    let output = Command::new("sh").args(["-c", &line]).current_dir(bench.path("")).output().unwrap();
    assert_refused(&output, &["m", "File too large"]);
    assert_eq!(fs::read(bench.path("m")).unwrap(), b"as it was");
    assert_eq!(bench.names(), before);
}

/// The outcome of `attempt` when it is `Some`; a file may change too late to be in anybody's way.
#[track_caller]
fn within_tries<R>(mut attempt: impl FnMut() -> Option<R>) -> R {
    (0..20).find_map(|_| attempt()).expect("the program was never at work when its file changed")
}

#[test]
fn csv_that_changes_while_it_is_imported_is_refused() {
    let bench = Bench::new();
    let fit = format!("fit t.csv --target y --drop kind --spill-dir spill {OLS} --model m");
    fs::create_dir(bench.path("spill")).unwrap();
    bench.write_csv("fresh.csv", 40_000);
    for change in ["cut", "grown", "rewritten"] {
        let output = within_tries(|| {
            fs::copy(bench.path("fresh.csv"), bench.path("t.csv")).unwrap();
            let path = bench.path("t.csv");
            let written = fs::metadata(&path).unwrap().modified().unwrap();
            std::thread::sleep(Duration::from_millis(20));
            let child = bench.start(&fit);
            let spill = bench.path("spill");
            wait_until("the import", || {
                open_files(&child).iter().any(|name| name.starts_with(spill.to_str().unwrap()))
                    || bench.path("m").exists()
            });
            let file = fs::File::options().write(true).open(&path).unwrap();
            match change {
                "cut" => file.set_len(file.metadata().unwrap().len() / 2).unwrap(),
                "grown" => {
                    let mut file = fs::File::options().append(true).open(&path).unwrap();
                    file.write_all(b"1,2,3,4,5,6,no,7\n").unwrap();
                }
                _ => {
                    std::os::unix::fs::FileExt::write_all_at(&file, b"7", 300_000).unwrap();
                    file.set_modified(written).unwrap();
                }
            }
            let output = child.wait_with_output().unwrap();
            // Imported before it changed, so rightly fitted.
            let _ = fs::remove_file(bench.path("m"));
            (!output.status.success()).then_some(output)
        });
        assert_refused(&output, &["t.csv", "changed while it was read"]);
    }
}

/// A table whose prediction by neighbours takes long enough to be changed meanwhile, with its target beside.
fn slow_table(bench: &Bench) {
    bench.succeeds("generate friedman1 --rows 8000 --cols 20 --seed 1 --x T.npy --y t.npy");
}

const SLOW: &str = "--learner k=native.k_neighbors_regressor:algorithm=brute --folds 2";

/// Start a command and change `name` by `change` once the program reads it, until that ends it as `wanted`: a change may come
/// before the first value is read, or after the last.
#[track_caller]
fn change_under(
    bench: &Bench,
    line: &str,
    name: &str,
    change: impl Fn(&fs::File),
    wanted: impl Fn(&Output) -> bool,
) {
    let whole = fs::read(bench.path(name)).unwrap();
    let before = bench.names();
    within_tries(|| {
        bench.write(name, &whole);
        std::thread::sleep(Duration::from_millis(20));
        let mut child = bench.start(line);
        wait_until("mapping", || maps(&child, &bench.path(name)) || child.try_wait().unwrap().is_some());
        std::thread::sleep(Duration::from_millis(20));
        change(&fs::File::options().write(true).open(bench.path(name)).unwrap());
        let output = child.wait_with_output().unwrap();
        bench.write(name, &whole);
        let after = bench.names();
        if !output.status.success() {
            assert_eq!(after, before, "a fit or prediction that failed leaves nothing: {output:?}");
        }
        for made in after.iter().filter(|name| !before.contains(name)) {
            fs::remove_file(bench.path(made)).unwrap();
        }
        wanted(&output).then_some(())
    });
}

/// Whether a process has mapped a file.
fn maps(child: &Child, path: &Path) -> bool {
    let maps = fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap_or_default();
    maps.contains(path.to_str().unwrap())
}

#[test]
fn tables_that_are_rewritten_under_a_fit_or_a_prediction_are_refused() {
    let bench = Bench::new();
    slow_table(&bench);
    let rewrite = |file: &fs::File| {
        let written = file.metadata().unwrap().modified().unwrap();
        std::os::unix::fs::FileExt::write_all_at(file, &[0; 64], 8192).unwrap();
        // As rsync and touch do.
        file.set_modified(written).unwrap();
    };
    let refused = |name: &'static str| {
        move |output: &Output| {
            if !output.status.success() {
                assert_refused(output, &[name, "changed while it was read"]);
            }
            !output.status.success()
        }
    };
    let fit = format!("fit T.npy --target t.npy {SLOW} --model m");
    for name in ["T.npy", "t.npy"] {
        change_under(&bench, &fit, name, rewrite, refused(name));
    }
    bench.succeeds(&fit);
    change_under(&bench, "predict m T.npy --out p.npy", "T.npy", rewrite, refused("T.npy"));
}

#[test]
fn a_table_that_another_file_replaces_is_fitted_as_it_was_opened() {
    let bench = Bench::new();
    slow_table(&bench);
    let fit = format!("fit T.npy --target t.npy {SLOW} --model m");
    let replace = |_: &fs::File| {
        fs::copy(bench.path("T.npy"), bench.path("U.npy")).unwrap();
        fs::rename(bench.path("U.npy"), bench.path("T.npy")).unwrap();
    };
    let noted = |output: &Output| {
        assert!(output.status.success(), "{output:?}");
        text(&output.stderr).contains("note: T.npy: another file took this path meanwhile")
    };
    change_under(&bench, &fit, "T.npy", replace, noted);
}

#[test]
fn outputs_that_links_lead_to_one_place_are_refused() {
    let bench = Bench::new();
    symlink("m", bench.path("o.npy")).unwrap();
    bench.refuses(&format!("fit X.npy --target y.npy {OLS} --model m --oof o.npy"), &["another output"]);
    assert!(!bench.path("m").exists());
}

#[test]
fn tables_that_are_cut_short_under_a_fit_end_it_with_a_sentence() {
    let bench = Bench::new();
    slow_table(&bench);
    let fit = format!("fit T.npy --target t.npy {SLOW} --model m --oof oof.npy");
    let told = |output: &Output| {
        let said = text(&output.stderr);
        match output.status.code() {
            Some(3) => {
                assert_eq!(
                    said.matches("ensemble: T.npy: the file was cut short while it was read").count(),
                    1,
                    "{said}"
                );
                assert_eq!(said.lines().count(), 1, "{said}");
                true
            }
            // Cut short before the first value was read or after the last, which only its length tells.
            Some(0 | 2) => false,
            _ => panic!("{output:?}"),
        }
    };
    change_under(&bench, &fit, "T.npy", |file| file.set_len(0).unwrap(), told);
}

#[test]
fn a_table_is_locked_for_writers_who_ask_while_it_is_read() {
    let bench = Bench::new();
    slow_table(&bench);
    let path = bench.path("T.npy");
    within_tries(|| {
        let mut child = bench.start(&format!("fit T.npy --target t.npy {SLOW}"));
        // The program locks before it maps, and only once: to ask earlier could be in its way.
        wait_until("mapping", || maps(&child, &path) || child.try_wait().unwrap().is_some());
        let file = fs::File::open(&path).unwrap();
        let locked = file.try_lock().is_err();
        if !locked {
            file.unlock().unwrap();
        }
        let shared = locked.then(|| file.try_lock_shared());
        child.kill().unwrap();
        child.wait().unwrap();
        shared.map(|lock| lock.expect("readers are no writers"))
    });
}
