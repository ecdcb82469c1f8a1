//! Files as people have them. The first cases are what users of other tools reported to their trackers, made small: thousands separators,
//! semicolons, missing headers, missing values in a dozen spellings, quotes without an end. The others are of the same kinds.

use std::fmt::Write;

use crate::{Bench, floats, npy, npy_bytes};

const OLS: &str = "--learner ols=native.linear_regression";
const NB: &str = "--learner nb=native.gaussian_nb";

/// Rows of `a,b` and y = 1 + a + 2 b, as most cases have them.
const ROWS: &str = "1,2,3\n2,4,3\n3,1,8\n4,3,8\n5,0,13\n6,2,13\n7,4,13\n8,1,18\n";

fn plain() -> String {
    format!("a,b,y\n{ROWS}")
}

#[test]
fn tables_of_text_that_cannot_be_read_are_refused_with_the_place_and_the_way_out() {
    let bench = Bench::new();
    let with = |line: &str| format!("{}{line}\n", plain()).into_bytes();
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(plain().bytes().flat_map(|b| [b, 0])).collect();
    let cases: &[(&str, Vec<u8>, &[&str])] = &[
        // Reported elsewhere.
        ("t.csv", with("\"1,049.34\",8,24"), &["line 10", "'a'", "1,049.34", "thousands separator"]),
        ("t.csv", b"a;b;y\n1,5;1,25;3\n2,5;2,25;4\n".into(), &["line 2", "separated by ';'"]),
        ("t.tsv", plain().replace(',', "\t").into(), &["t.tsv", "commas", ".csv"]),
        ("t.csv", plain().replace('\n', ",\n").into(), &["line 2", "column 3", "without a name", "--drop 3"]),
        ("t.csv", ROWS.into(), &["first line", "'1,2,3'", "--header no", "--header yes"]),
        ("t.csv", with("5,NA,13"), &["line 10", "'b'", "'NA'", "missing", "fill"]),
        ("t.csv", with("5,null,13"), &["line 10", "'b'", "'null'", "missing", "fill"]),
        ("t.csv", with(&format!("3,1,\"8\n{}", "4,3,8\n".repeat(40_000))), &["line 10", "quote"]),
        // Of the same kinds.
        ("t.csv", with("5,?,13"), &["'?'", "missing"]),
        ("t.csv", with("5,\\N,13"), &["missing"]),
        ("t.csv", with("5,,13"), &["line 10", "empty", "fill"]),
        ("t.csv", with("5,nan,13"), &["missing"]),
        ("t.csv", with("5,inf,13"), &["not finite"]),
        ("t.csv", with("1.049.340,8,24"), &["1.049.340", "separator"]),
        ("t.csv", with("1 049,8,24"), &["1 049", "separator"]),
        ("t.csv", with("\"5,5\",8,24"), &["5,5", "decimal comma"]),
        ("t.csv", with("1, \"2\",3"), &["line 10", "'b'", "quote"]),
        ("t.csv", with("1,2"), &["line 10 has 2 cells where the header has 3"]),
        ("t.csv", with("1,2,3,"), &["line 10 has 4 cells", "ends with a comma"]),
        ("t.csv", with("1,\"2\n3,4"), &["line 10", "quote"]),
        ("t.csv", with("gr\u{fc}n,2,3"), &["line 10", "'gr\u{fc}n'", "is not a number", "--ordinal"]),
        ("t.csv", plain().replace(',', "\t").into(), &["separated by tabs", "line 2"]),
        ("t.csv", plain().replace(',', "|").into(), &["separated by '|'"]),
        ("t.csv", plain().replace(',', " ").into(), &["separated by blanks"]),
        ("t.csv", with("2020-01-02,8,24"), &["2020-01-02", "plain numbers"]),
        ("t.csv", with("$5,8,24"), &["'$5'", "plain numbers"]),
        ("t.csv", utf16, &["UTF-16", "UTF-8"]),
        ("t.csv", b"".into(), &["t.csv", "is empty"]),
        ("t.csv", b"\n\n".into(), &["t.csv", "is empty"]),
        ("t.csv", b"a,b,y\n".into(), &["no rows"]),
        ("t.csv", b"y\n1\n2\n".into(), &["no column is left"]),
        ("t.csv", with("a,b,y"), &["line 10 is the header again"]),
        ("t.csv", plain().replacen("a,b", "a,a", 1).into(), &["two columns are called 'a'", "--drop 'a'"]),
        ("t.csv", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".into(), &["gzip"]),
        ("t.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".into(), &["t.csv.gz", "gzip", "unpack"]),
        ("t.npz", b"PK\x03\x04rest of a zip".into(), &["t.npz", "zip", ".npy"]),
        ("t.xlsx", b"PK\x03\x04rest of a zip".into(), &["t.xlsx", ".xlsx", ".csv"]),
        ("t.parquet", b"PAR1\x15\x04\x15".into(), &["t.parquet", "Parquet", ".csv"]),
        ("t.csv", b"PAR1\x15\x04\x15".into(), &["Parquet"]),
        ("t.csv", npy_bytes("<f8", "(2, 1)", &floats(&[1.0, 2.0])), &["t.csv", "call it .npy"]),
        ("t.txt", plain().into(), &["t.txt", "call it .csv"]),
        ("t", plain().into(), &["not a .npy file", ".csv", "--raw-shape"]),
        ("t.npy", npy_bytes("<f4", "(8, 3)", &[0; 96]), &["float32", "astype"]),
        ("t.npy", npy_bytes("<i8", "(8, 3)", &[0; 192]), &["<i8", "astype"]),
        ("t.npy", npy_bytes("|V16", "(8,)", &[0; 128]), &["structured_to_unstructured"]),
        ("t.npy", floats(&[1.0; 24]), &["not a .npy file", "--raw-shape"]),
    ];
    for (name, bytes, words) in cases {
        bench.write(name, bytes);
        bench.refuses(&format!("fit {name} --target y {OLS} --folds 4"), words);
    }
    // Records of numpy, whose type is a list, cannot be converted by astype.
    let mut structured = Vec::from(*b"\x93NUMPY\x01\x00\x76\x00");
    let dict = "{'descr': [('a', '<f8'), ('b', '<f8')], 'fortran_order': False, 'shape': (8,), }";
    structured.extend(format!("{dict:<117}\n").bytes());
    structured.extend([0; 128]);
    bench.write("s.npy", structured);
    bench.refuses(&format!("fit s.npy --target 0 {OLS}"), &["s.npy", "fields", "structured_to_unstructured"]);
    bench.write("half.f64", [0; 96]);
    bench.refuses("inspect half.f64 --raw-shape 8x3", &["half.f64", "192", "96", "float32"]);
}

#[test]
fn a_record_or_a_cell_without_an_end_is_refused_before_memory_ends() {
    let bench = Bench::new();
    // A file without a byte written takes no room.
    bench.write("zero.csv", plain());
    std::fs::File::options().write(true).open(bench.path("zero.csv")).unwrap().set_len(100 << 20).unwrap();
    bench.refuses(&format!("fit zero.csv --target y {OLS}"), &["zero.csv", "line 10", "64 MiB"]);
    std::fs::File::create(bench.path("zero.csv")).unwrap().set_len(100 << 20).unwrap();
    bench.refuses(&format!("fit zero.csv --target y {OLS}"), &["zero.csv", "bytes of 0"]);
    // In a column that is left out, where nobody would look at it.
    let mut text = "a,b,y,note\n1,2,3,fine\n2,4,3,fine\n3,1,8,\"fine\n".to_owned();
    text += &"1,2,3,4\n".repeat(200_000);
    bench.write("t.csv", text);
    bench.refuses(&format!("fit t.csv --target y --drop note {OLS}"), &["t.csv", "line 4", "quote"]);
}

#[test]
fn lines_are_counted_as_editors_count_them() {
    let bench = Bench::new();
    for (text, line) in [
        ("a,b,y\n1,2,3\n2,x,4\n", 3),
        ("a,b,y\n1,2,3\n2,x,4", 3),
        ("a,b,y\r\n1,2,3\r\n2,x,4\r\n", 3),
        ("a,b,y\r\n1,2,3\r\n2,x,4", 3),
        // The first eight bytes, which are read for what the file is, end between the two.
        ("a, b, y\r\n1,2,3\r\n2,x,4\r\n", 3),
        ("a,b,y\n1,2,3\n\n\n2,x,4\n", 5),
        ("a,b,y\r\n1,2,3\r\n\r\n2,x,4\r\n", 4),
        ("\n\na,b,y\n1,2,3\n2,x,4\n", 5),
        ("a,b,y\n1,x,3\n2,3,4\n", 2),
        ("a,b,\"y\"\n1,\"2\",3\n2,\"x\",4\n", 3),
    ] {
        bench.write("t.csv", text);
        bench.refuses(&format!("fit t.csv --target y {OLS}"), &[&format!("line {line}, column 'b': 'x'")]);
    }
    bench.write("t.csv", "a,b,y,note\n1,2,3,\"two\nlines\"\n2,x,4,one\n");
    bench.refuses(&format!("fit t.csv --target y --drop note {OLS}"), &["line 4, column 'b'"]);
    bench.write("t.csv", "y\n1\n\n2\n");
    bench.refuses("inspect t.csv", &["line 3 is empty", "missing"]);
    bench.write("t.csv", "\ny\r\n1\r\n2\r\n\r\n");
    assert_eq!(bench.json("inspect t.csv --json")["rows"], 2);
}

#[test]
fn files_of_text_that_would_do_are_read() {
    let bench = Bench::new();
    bench.write("plain.csv", plain());
    let score = |options: &str| {
        let report = bench.json(&format!("fit {options} {OLS} --folds 4 --json"));
        (report["columns"].as_u64().unwrap(), report["learners"][0]["cv_rmse_mean"].as_f64().unwrap())
    };
    let want = score("plain.csv --target y");
    assert_eq!(want.0, 2);
    for (name, bytes, options) in [
        ("bom.csv", format!("\u{feff}{}", plain()).into_bytes(), "--target y"),
        ("crlf.csv", plain().replace('\n', "\r\n").into(), "--target y"),
        ("T.CSV", plain().into(), "--target y"),
        ("blanks.csv", plain().replace(',', " , \u{a0}").into(), "--target y"),
        ("quoted.csv", plain().replace("a,b,y", "\"a\",\"b\",\"y\"").into(), "--target y"),
        ("number.csv", plain().into(), "--target 2"),
        ("rows.csv", ROWS.into(), "--target 2 --header no"),
        ("years.csv", plain().replacen("a,b,y", "2019,2020,2021", 1).into(), "--target 2021 --header yes"),
        ("years.csv", plain().replacen("a,b,y", "2019,2020,y", 1).into(), "--target y"),
        ("unnamed.csv", plain().replace('\n', ",\n").into(), "--target y --drop 3"),
        ("unnamed.csv", plain().replace('\n', ",,\n").into(), "--target y --drop ''"),
        (
            "twice.csv",
            plain().lines().map(|l| format!("id,{l},id\n")).collect::<String>().into(),
            "--target y --drop id",
        ),
        (
            "notes.csv",
            plain()
                .replace("y\n", "y,note\n")
                .replace("3\n", "3,\"two\nlines, \"\"quoted\"\"\"\n")
                .replace("8\n", "8,x\n")
                .into(),
            "--target y --drop note",
        ),
    ] {
        bench.write(name, bytes);
        assert_eq!(score(&format!("{name} {options}")), want, "{name} {options}");
    }
    let mut latin = Vec::from(*b"a,b,caf\xe9,kind\n");
    (0..8).for_each(|i| {
        latin.extend(
            format!("{i},{},caf", i * i % 5).bytes().chain([0xe9]).chain(format!(",k{}\n", i % 2).bytes()),
        )
    });
    bench.write("latin.csv", latin);
    bench.succeeds(&format!("fit latin.csv --target kind --drop 2 {NB} --folds 2"));
    bench.refuses(&format!("fit latin.csv --target kind {NB} --folds 2"), &["column 2", "UTF-8", "--drop 2"]);
}

#[test]
fn a_file_without_a_header_has_columns_by_number_in_the_model_too() {
    let bench = Bench::new();
    bench.write("rows.csv", ROWS);
    bench.succeeds(&format!("fit rows.csv --header no --target 2 {OLS} --folds 4 --model m --oof o.npy"));
    assert_eq!(npy(&bench.path("o.npy")).len(), 8, "the first line is a row");
    assert_eq!(bench.json("inspect m --json")["feature_names"], serde_json::json!(["0", "1"]));
    bench.succeeds("predict m rows.csv --header no --out p.npy");
    assert_eq!(npy(&bench.path("p.npy")).len(), 8);
    bench.refuses("predict m rows.csv --out p.npy", &["rows.csv", "--header no"]);
    bench.write("s.toml", "header = false\ntarget = \"2\"\n");
    bench.succeeds(&format!("fit rows.csv --spec s.toml {OLS} --folds 4"));
}

#[test]
fn models_remember_categories_and_refuse_others() {
    let bench = Bench::new();
    let mut text = "a,size,y,grade\n".to_owned();
    for i in 0..8 {
        let (size, y) = [("small", 10), ("large", 20)][i % 2];
        writeln!(text, "{},{size},{y},{}", i / 2, ["low", "high"][i / 4]).unwrap();
    }
    bench.write("t.csv", &text);
    bench.write("new.csv", "a,size\n1,small\n2,large\n");
    bench.write("odd.csv", "a,size\n1,small\n2,huge\n");
    let order = "--ordinal 'size=small<large'";
    bench.succeeds(&format!("fit t.csv --target y --drop grade {order} {OLS} --folds 2 --model m"));
    let model = bench.json("inspect m --json");
    assert_eq!(model["categories"]["columns"], serde_json::json!([null, ["small", "large"]]));
    assert!(bench.succeeds("inspect m").contains("categories of size: small < large"));
    bench.write("s.toml", "[ordinal]\nsize = [\"small\", \"large\"]\n");
    for options in ["", order, "--spec s.toml"] {
        bench.succeeds(&format!("predict m new.csv {options} --out p.npy"));
        let p = npy(&bench.path("p.npy"));
        assert!((p[0] - 10.0).abs() < 1e-9 && (p[1] - 20.0).abs() < 1e-9, "{options}: {p:?}");
    }
    bench.refuses(
        "predict m new.csv --ordinal 'size=large<small' --out p.csv",
        &["'size'", "small<large", "large<small"],
    );
    bench.write("s.toml", "[ordinal]\nsize = [\"large\", \"small\"]\n");
    bench.refuses("predict m new.csv --spec s.toml --out p.csv", &["'size'", "small<large"]);
    bench.refuses("predict m new.csv --ordinal 'a=1<2' --out p.csv", &["'a'", "numbers"]);
    bench.refuses("predict m odd.csv --out p.csv", &["line 3", "'size'", "'huge'", "small, large"]);
    // The target's categories too.
    bench.succeeds(&format!(
        "fit t.csv --target grade --drop size --ordinal 'grade=low<high' {OLS} --folds 2 --model g"
    ));
    bench.succeeds("predict g t.csv --target grade --ordinal 'grade=low<high' --out p.npy");
    bench.refuses(
        "predict g t.csv --target grade --ordinal 'grade=high<low' --out p.npy",
        &["'grade'", "low<high"],
    );
}

#[test]
fn missing_values_are_no_classes_and_odd_labels_are_told_by_the_file_they_stand_in() {
    let bench = Bench::new();
    let fit = |rows: &str| {
        bench.write("t.csv", format!("a,b,kind\n{rows}"));
        format!("fit t.csv --target kind {NB} --folds 2")
    };
    for word in ["nan", "NaN", "NA", "N/A", "", "null", "?", "\\N", "  "] {
        let line = fit(&format!("1,2,oak\n2,3,ash\n3,1,{word}\n4,2,oak\n"));
        bench.refuses(&line, &["t.csv", "line 4", "'kind'", "missing"]);
        let line = fit(&format!("1,2,1\n2,3,0\n3,1,{word}\n4,2,1\n"));
        bench.refuses(&line, &["t.csv", "line 4", "'kind'", "missing"]);
    }
    bench.succeeds(&fit("1,2,none\n2,3,-\n3,1,none\n4,2,-\n2,2,-\n3,3,none\n"));
    bench.refuses(&fit("1,2,1.5\n2,3,2.5\n"), &["t.csv", "column 'kind'", "row 0", "1.5", "whole numbers"]);
    bench.refuses(
        &fit("1,2,9007199254740992\n2,3,9007199254740993\n"),
        &["t.csv", "9007199254740992", "too large", "2^53"],
    );
    bench.refuses(
        &format!(
            "{} --learner ols=native.linear_regression --meta native.mean",
            fit("1,2,a\n2,3,b\n3,1,c\n").replace(NB, "")
        ),
        &["line 2", "'kind'", "a classifier"],
    );
}

#[test]
fn outputs_are_written_as_their_endings_say_or_not_at_all() {
    let bench = Bench::new();
    bench.write("t.csv", plain());
    bench.succeeds(&format!("fit t.csv --target y {OLS} --folds 4 --model m"));
    bench.succeeds("predict m t.csv --out p.CSV");
    assert!(std::fs::read_to_string(bench.path("p.CSV")).unwrap().starts_with("prediction\n"));
    bench.succeeds("predict m t.csv --out p.NPY");
    assert_eq!(npy(&bench.path("p.NPY")).len(), 8);
    for name in ["p.txt", "p.parquet", "p"] {
        bench.refuses(&format!("predict m t.csv --out {name}"), &[name, ".npy or .csv"]);
        bench.refuses(&format!("fit t.csv --target y {OLS} --folds 4 --oof {name}"), &[name, ".npy"]);
        assert!(!bench.path(name).exists());
    }
    // A column's name is no path, whatever the model is called.
    bench.succeeds(&format!("fit t.csv --target y {OLS} --folds 4 --model y"));
    bench.write("one.npy", npy_bytes("<f8", "(2,)", &floats(&[1.0, 2.0])));
    bench.refuses("predict m one.npy --out p.npy", &["one.npy", "2 rows of 1 column", "(1, 2)"]);
}

#[test]
fn names_from_files_reach_no_terminal_raw_and_no_sentence_whole() {
    let bench = Bench::new();
    let nasty = "\u{1b}[31mred\u{1b}]0;title\u{7}\u{9b}2J";
    bench.write("t.csv", plain().replacen("a,b", &format!("{nasty},b"), 1));
    let learner = format!("{nasty}=native.linear_regression");
    let fit =
        ["fit", "t.csv", "--target", "y", "--folds", "4", "--learner", learner.as_str(), "--model", "m"];
    let mut plan = fit;
    plan[0] = "plan";
    let outputs = [
        bench.run_with(&fit),
        bench.run_with(&plan),
        bench.run("inspect m"),
        bench.run("inspect t.csv"),
        bench.run("fit t.csv --target none --learner a=native.mean"),
        bench.run(&format!("predict m plain.csv --out {nasty}.txt")),
        bench.run_with(&["fit", "t.csv", "--target", "y", "--learner", &format!("a={nasty}")]),
    ];
    for output in outputs {
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(text);
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        }
    }
    let wide: String = (0..40_000).map(|j| format!("column_{j},")).collect();
    bench.write("wide.csv", format!("{wide}y\n{}1\n", "1,".repeat(40_000)));
    let output = bench.run("fit wide.csv --target none --learner a=native.mean");
    assert!(output.status.code() == Some(2) && output.stderr.len() < 1000, "{}", output.stderr.len());
}

#[test]
fn kinds_are_found_without_their_backend_and_misspelt_ones_by_the_nearest() {
    let bench = Bench::new();
    let kind = |text: &str| {
        let report = bench.json(&format!("fit X.npy --target y.npy --learner a={text} --json"));
        report["learners"][0]["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!(kind("native.Lasso"), "native.lasso");
    assert_eq!(kind("nnls"), "native.nnls");
    bench.refuses("fit X.npy --target y.npy --learner a=native.laso", &["'native.laso'", "native.lasso"]);
    assert!(bench.succeeds("learners LASSO").lines().next().unwrap().contains("lasso"));
    bench.refuses("learners nonsense", &["nonsense"]);
    bench.write("four.csv", "a,b,y\n4,5,8\n1,4,4\n9,5,12\n7,4,10\n");
    bench.refuses(&format!("fit four.csv --target y {OLS}"), &["5 folds", "4 rows", "--folds"]);
    bench.refuses(&format!("plan four.csv --target y {OLS}"), &["--folds"]);
    bench.refuses(
        &format!("fit X.npy --target y.npy --memory-budget 1000 {OLS}"),
        &["memory budget is 1000 B", "KiB"],
    );
}

#[test]
fn learners_on_the_command_line_join_those_of_the_spec() {
    let bench = Bench::new();
    bench.write("s.toml", "meta = \"native.nnls\"\n[[layer]]\nlearners = { a = \"native.mean\" }\n");
    let report = bench.json("fit X.npy --target y.npy --spec s.toml --learner b=native.ridge --json");
    let names: Vec<&str> =
        report["learners"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "meta"]);
    bench.refuses(
        "fit X.npy --target y.npy --spec s.toml --learner a=native.ridge",
        &["two learners of layer 0 are called 'a'"],
    );
}

#[test]
fn plan_and_fit_say_the_same_bytes_of_a_table_of_text() {
    let bench = Bench::new();
    bench.write("t.csv", plain());
    let options = format!("t.csv --target y {OLS} --folds 4 --shuffle --json");
    let (plan, fit) = (bench.json(&format!("plan {options}")), bench.json(&format!("fit {options}")));
    assert_eq!(plan["spilled_bytes"], fit["spilled_bytes"]);
    assert_eq!(plan["imported_bytes"], fit["imported_bytes"]);
    assert_eq!(fit["imported_bytes"].as_u64(), Some(8 * 3 * 8));
}

#[test]
fn small_targets_have_figures_that_are_not_zero() {
    let bench = Bench::new();
    let x: Vec<f64> = (0..300).map(|i| f64::from(i * i % 101)).collect();
    let y: Vec<f64> = x.iter().enumerate().map(|(i, x)| 1e-9 * (x + (i % 7) as f64)).collect();
    bench.write("x.npy", npy_bytes("<f8", "(300, 1)", &floats(&x)));
    bench.write("t.npy", npy_bytes("<f8", "(300,)", &floats(&y)));
    let board = bench.succeeds(&format!("fit x.npy --target t.npy {OLS} --model m"));
    assert!(board.contains("e-9") && !board.contains(" 0.000000 "), "{board}");
    assert!(bench.succeeds("inspect m").contains("e-9"));
}
