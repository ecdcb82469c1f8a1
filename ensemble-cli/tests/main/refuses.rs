//! Bad input: exit code 2, and one sentence that names the place.

use std::{fs, process::Command};

use crate::{Bench, floats, npy_bytes};

const OLS: &str = "--learner ols=native.linear_regression";

#[test]
fn files_that_are_no_tables() {
    let bench = Bench::new();
    let x = floats(&vec![1.0; 300]);
    bench.write("magic.npy", b"not a table at all, but long enough to be one");
    bench.write("short.npy", npy_bytes("<f8", "(100, 4)", &x));
    bench.write("long.npy", npy_bytes("<f8", "(100, 2)", &x));
    bench.write("big.npy", npy_bytes(">f8", "(100, 3)", &x));
    bench.write("single.npy", npy_bytes("<f4", "(200, 3)", &x));
    bench.write("cube.npy", npy_bytes("<f8", "(10, 10, 3)", &x));
    bench.write("empty.npy", npy_bytes("<f8", "(0, 3)", &[]));
    for (file, words) in [
        ("missing.npy", &["missing.npy", "cannot open"][..]),
        ("magic.npy", &["magic.npy"]),
        ("short.npy", &["short.npy", "3200"]),
        ("long.npy", &["long.npy", "1600"]),
        ("big.npy", &["big.npy", ">f8"]),
        ("single.npy", &["single.npy", "<f4"]),
        ("cube.npy", &["cube.npy", "10, 10, 3"]),
        ("empty.npy", &["empty.npy"]),
    ] {
        bench.refuses(&format!("fit {file} --target y.npy {OLS}"), words);
        bench.refuses(&format!("plan {file} --target y.npy {OLS}"), words);
    }
}

#[test]
fn values_that_are_not_finite_are_named_by_row_and_column() {
    let bench = Bench::new();
    for (value, name) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let mut x = vec![0.5; 300];
        x[3 * 41 + 2] = value;
        bench.write("bad.npy", npy_bytes("<f8", "(100, 3)", &floats(&x)));
        bench.write("t.npy", npy_bytes("<f8", "(100,)", &floats(&x[..100])));
        let words = ["bad.npy", "row 41", "column 2", name];
        bench.refuses(&format!("fit bad.npy --target t.npy {OLS}"), &words);
        bench.refuses(
            "fit bad.npy --target t.npy --learner near=native.k_neighbors_regressor --shuffle",
            &words,
        );
    }
}

#[test]
fn targets_folds_and_budgets_that_do_not_fit() {
    let bench = Bench::new();
    bench.write("short.npy", npy_bytes("<f8", "(10,)", &floats(&[1.0; 10])));
    bench.refuses(&format!("fit X.npy --target short.npy {OLS}"), &["short.npy", "3000", "10"]);
    bench.refuses(&format!("fit X.npy --target y.npy --folds 3001 {OLS}"), &["3001 folds", "3000 rows"]);
    bench.refuses(&format!("fit X.npy --target y.npy --folds 1 {OLS}"), &["at least 2 folds"]);
    bench.refuses(&format!("fit X.npy --target 9 {OLS}"), &["X.npy", "no column '9'"]);
    bench.refuses(&format!("fit X.npy --target y.npy --memory-budget 100 {OLS}"), &["memory budget is 100"]);
    bench.refuses(&format!("fit X.npy --target y.npy --memory-budget lots {OLS}"), &["lots"]);
    bench.refuses(
        "fit X.npy --target y.npy --learner near=native.k_neighbors_regressor:n_neighbors=2999",
        &["near", "n_neighbors"],
    );
}

#[test]
fn learners_and_parameters_that_do_not_exist() {
    let bench = Bench::new();
    bench.refuses("fit X.npy --target y.npy --learner a=native.magic", &["native.magic", "native.mean"]);
    bench.refuses("fit X.npy --target y.npy --learner a=native.lasso:beta=1", &["beta", "alpha"]);
    bench.refuses("fit X.npy --target y.npy --learner a=native.lasso:alpha=much", &["alpha", "much"]);
    bench.refuses("fit X.npy --target y.npy --learner a=native.lasso:alpha=-1", &["alpha", "-1"]);
    bench.refuses("fit X.npy --target y.npy --learner native.lasso", &["NAME=PIPELINE"]);
    bench.refuses(
        "fit X.npy --target y.npy --learner 'a=native.lasso | native.ridge'",
        &["native.lasso", "last"],
    );
    bench.refuses("fit X.npy --target y.npy --learner =native.ridge", &["native.ridge", "name"]);
    bench.refuses("fit X.npy --target y.npy", &["no learner"]);
    bench.refuses(&format!("fit X.npy {OLS}"), &["no target"]);
    bench.refuses(&format!("fit X.npy --target y.npy {OLS} {OLS}"), &["ols", "name"]);
    for (spec, words) in [
        (
            "[[layer]]\nlearners = { a = \"native.magic\" }",
            &["s.toml", "layer[0].learners.a", "native.magic"][..],
        ),
        (
            "[[layer]]\nlearners = { a = \"native.lasso:beta=2\" }",
            &["s.toml", "layer[0].learners.a", "beta", "alpha"],
        ),
        ("[[layer]]\nlearners = { a = 3 }", &["s.toml", "layer[0].learners.a", "in quotes"]),
        ("[[layer]]\nlearners = { \"\" = \"native.mean\" }", &["s.toml", "layer[0].learners.", "name"]),
        ("[[layer]]\n", &["s.toml", "layer[0]", "no learner"]),
        (
            "[[layer]]\nlearners = { a = \"native.mean\" }\n[[layer.case]]\nname = \"c\"\n\
             transformers = \"native.ridge\"\nlearners = { b = \"native.mean\" }",
            &["s.toml", "layer[0].case[0].transformers", "native.ridge"],
        ),
        (
            "[[layer]]\n[[layer.case]]\nname = \"c\"\ntransformers = \"native.center\"\n\
             learners = { b = \"native.magic\" }",
            &["s.toml", "layer[0].case[0].learners.b", "native.magic"],
        ),
        (
            "meta = \"native.magic\"\n[[layer]]\nlearners = { a = \"native.mean\" }",
            &["s.toml", "meta", "native.magic"],
        ),
        ("[ordinal]\ncut = [\"a\", \"b\", \"a\"]", &["s.toml", "ordinal.cut", "'a' twice"]),
        ("fold = 3", &["s.toml", "line 1", "fold"]),
        ("folds = \"three\"", &["s.toml", "line 1", "folds", "three"]),
        ("seed = 1\nseed = 2", &["s.toml", "line 2", "seed", "duplicate"]),
        ("[[layer]\n", &["s.toml"]),
    ] {
        bench.write("s.toml", spec);
        bench.refuses("fit X.npy --target y.npy --spec s.toml", words);
    }
    bench.refuses("fit X.npy --target y.npy --spec none.toml", &["none.toml"]);
}

#[test]
fn model_files_that_are_damaged_and_tables_they_do_not_fit() {
    let bench = Bench::new();
    bench.succeeds(&format!("fit X.npy --target y.npy {OLS} --model m"));
    let bytes = fs::read(bench.path("m")).unwrap();
    bench.write("cut", &bytes[..bytes.len() - 9]);
    let mut flipped = bytes;
    let at = flipped.len() - 20;
    flipped[at] ^= 1;
    bench.write("flipped", &flipped);
    bench.refuses("predict cut X.npy --out p.npy", &["cut", "cut short"]);
    bench.refuses("predict flipped X.npy --out p.npy", &["flipped", "checksum"]);
    bench.refuses("inspect flipped", &["flipped", "checksum"]);
    bench.refuses("predict X.npy X.npy --out p.npy", &["X.npy", "not a model file"]);
    bench.succeeds("generate friedman1 --rows 50 --cols 7 --seed 1 --x W.npy --y w.npy");
    bench.refuses("predict m W.npy --out p.npy", &["W.npy", "wanted 6, got 7"]);
    bench.refuses("predict m X.npy --out nowhere/p.npy", &["nowhere"]);
    bench.refuses("predict m X.npy --out X.npy", &["X.npy", "input"]);
    bench.write("s.toml", "folds = 3\n");
    bench.refuses("predict m X.npy --spec s.toml --out s.toml", &["s.toml", "input"]);
    assert_eq!(fs::read(bench.path("s.toml")).unwrap(), b"folds = 3\n");
    bench.refuses(
        "generate friedman1 --rows 9 --cols 5 --seed 1 --x same.npy --y same.npy",
        &["same.npy", "output"],
    );
    bench.refuses(&format!("fit X.npy --target y.npy {OLS} --model same --oof ./same"), &["same", "output"]);
    let mut x = vec![0.5; 70_000 * 6];
    x[66_000 * 6 + 2] = f64::NAN;
    bench.write("late.npy", npy_bytes("<f8", "(70000, 6)", &floats(&x)));
    bench.refuses("predict m late.npy --out p.npy", &["late.npy", "row 66000", "column 2"]);
    assert!(!bench.path("p.npy").exists(), "nothing is half-written");
}

#[test]
fn csv_cells_that_are_no_numbers_are_named_by_line_and_column() {
    let bench = Bench::new();
    for (text, words) in [
        ("a,b,y\n1,2,3\n1,x,3\n", &["t.csv", "line 3", "column 'b'", "'x'", "--ordinal"][..]),
        ("a,b,y\n1,2,3\n1,,3\n", &["line 3", "column 'b'", "empty"]),
        ("a,b,y\n1,2,3\n1,inf,3\n", &["line 3", "column 'b'", "not finite"]),
        ("a,b,y\n1,2,3\n1,2\n", &["t.csv", "line 3", "2 cells", "3"]),
        ("a,b,y\n", &["t.csv", "no rows"]),
        ("", &["t.csv", "is empty"]),
        ("a,a,y\n1,2,3\n", &["'a'"]),
        ("a,b,z\n1,2,3\n", &["t.csv", "no column 'y'", "a, b, z"]),
    ] {
        bench.write("t.csv", text);
        bench.refuses(&format!("fit t.csv --target y --folds 2 {OLS}"), words);
    }
    bench.write("t.csv", "a,b,y\n1,low,3\n2,mid,3\n");
    let ordinal = "--ordinal 'b=low<high'";
    bench.refuses(
        &format!("fit t.csv --target y --folds 2 {ordinal} {OLS}"),
        &["line 3", "column 'b'", "'mid'"],
    );
    bench.refuses(&format!("fit t.csv --target y --ordinal b {OLS}"), &["COLUMN=A<B"]);
}

#[test]
fn a_full_disk_while_spilling_is_an_error_and_leaves_nothing() {
    let bench = Bench::new();
    let disk = bench.path("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&disk).status();
    if !mounted.is_ok_and(|s| s.success()) {
        println!("no small disk could be mounted here, so a full one is not tested");
        return;
    }
    let fit = format!("fit X.npy --target y.npy --shuffle --spill-dir disk --model m {OLS}");
    let output = bench.run(&fit);
    let left = fs::read_dir(&disk).unwrap().count();
    let csv: String =
        std::iter::once("a,b,y\n".to_owned()).chain((0..9000).map(|i| format!("{i},{i},{i}\n"))).collect();
    bench.write("t.csv", csv);
    let import = bench.run(&format!("fit t.csv --target y --spill-dir disk {OLS}"));
    let left_by_import = fs::read_dir(&disk).unwrap().count();
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    for output in [output, import] {
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("disk") && text.contains("No space left"), "{text}");
    }
    assert_eq!((left, left_by_import, bench.path("m").exists()), (0, 0, false));
}

#[test]
fn raw_files_whose_shape_is_not_theirs() {
    let bench = Bench::new();
    bench.write("x.f64", floats(&vec![1.0; 18_000]));
    bench.write("t.csv", "a,y\n1,2\n");
    for (words, said) in [
        ("x.f64 --raw-shape 3000x7", &["x.f64", "168000", "144000"][..]),
        ("x.f64 --raw-shape 0x6", &["0x6", "ROWSxCOLS"]),
        ("x.f64 --raw-shape many", &["many", "ROWSxCOLS"]),
        ("x.f64", &["x.f64", "not a .npy file"]),
        ("t.csv --raw-shape 1x2", &["t.csv", "--raw-shape"]),
    ] {
        bench.refuses(&format!("fit {words} --target y.npy {OLS}"), said);
    }
}

#[test]
fn folders_for_temporary_files_that_do_not_exist_are_refused_before_the_fit() {
    let bench = Bench::new();
    let fit = format!("fit X.npy --target y.npy {OLS} --spill-dir nowhere");
    bench.refuses(&fit, &["nowhere", "--spill-dir"]);
}

#[test]
fn a_fit_that_cannot_write_its_second_output_leaves_the_first_as_it_was() {
    let bench = Bench::new();
    let disk = bench.path("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8k", "tmpfs"]).arg(&disk).status();
    if !mounted.is_ok_and(|s| s.success()) {
        println!("no small disk could be mounted here, so a full one is not tested");
        return;
    }
    bench.write("m", "as it was");
    let output = bench.run(&format!("fit X.npy --target y.npy {OLS} --model m --oof disk/oof.npy"));
    let left = fs::read_dir(&disk).unwrap().count();
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("oof.npy") && text.contains("No space left"), "{text}");
    assert_eq!((left, fs::read(bench.path("m")).unwrap()), (0, b"as it was".into()));
}

#[test]
fn usage_errors_exit_with_2_too() {
    let bench = Bench::new();
    for line in ["fit", "nonsense", "fit X.npy --target y.npy --folds many", "generate friedman1 --rows 5"] {
        assert_eq!(bench.run(line).status.code(), Some(2), "{line}");
    }
    bench.refuses("generate friedman1 --rows 5 --cols 3 --seed 1 --x a.npy --y b.npy", &["at least 5"]);
    bench.refuses(
        "generate friedman1 --rows 5 --cols 5 --seed 1 --noise=-1 --x a.npy --y b.npy",
        &["noise", "-1"],
    );
    assert!(bench.run("--help").status.success());
}

#[test]
fn threads_that_cannot_be_had() {
    let bench = Bench::new();
    bench.succeeds(&format!("fit X.npy --target y.npy {OLS} --model m.ens"));
    // No stack of this size can be reserved, so that every thread is refused.
    let run = |line: &str, environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ensemble"));
        command.args(line.split_whitespace()).current_dir(bench.path("."));
        command.envs(environment.iter().copied()).output().unwrap()
    };
    let refuse = ("RUST_MIN_STACK", "99999999999999");
    let alone = run(&format!("fit X.npy --target y.npy {OLS} --threads 1 --json"), &[refuse]);
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
    let report: serde_json::Value = serde_json::from_slice(&alone.stdout).unwrap();
    assert_eq!((&report["threads"], &report["peak_anonymous_bytes"]), (&1.into(), &serde_json::Value::Null));
    let one = ("RAYON_NUM_THREADS", "1");
    assert!(run("predict m.ens X.npy --out p.npy", &[refuse, one]).status.success());

    let two = ("RAYON_NUM_THREADS", "2");
    for (line, environment, words) in [
        (format!("fit X.npy --target y.npy {OLS} --threads 2"), vec![refuse], "cannot start 2 threads"),
        ("predict m.ens X.npy --out q.npy".into(), vec![refuse, two], "cannot start 2 threads"),
        (format!("plan X.npy --target y.npy {OLS} --threads 100000"), vec![], "100000 threads"),
        (format!("fit X.npy --target y.npy {OLS} --threads 0"), vec![], "0 threads"),
        (format!("fit X.npy --target y.npy {OLS}"), vec![("RAYON_NUM_THREADS", "100000")], "100000 threads"),
        ("predict m.ens X.npy --out q.npy".into(), vec![("RAYON_NUM_THREADS", "100000")], "100000 threads"),
    ] {
        let output = run(&line, &environment);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {text}");
        assert!(text.starts_with("ensemble: ") && text.contains(words), "{line}: {text}");
        assert_eq!(text.trim_end().lines().count(), 1, "{line}: {text}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_plan_larger_than_the_address_space_allowed() {
    let bench = Bench::new();
    bench.succeeds("generate friedman1 --rows 900 --cols 900 --seed 1 --x wide.npy --y t.npy");
    let fit = format!(
        "ulimit -v 262144 && exec {} fit wide.npy --target t.npy {OLS} --folds 10 --threads 1",
        env!("CARGO_BIN_EXE_ensemble")
    );
    let output = Command::new("sh").args(["-c", &fit]).current_dir(bench.path(".")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("layer 0: ") && text.contains(" needs ") && text.contains("available"), "{text}");
}
