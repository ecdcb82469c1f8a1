//! Every way of splitting rows, from the command line to predictions.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::{Bench, floats, npy, npy_bytes};

const OLS: &str = "--learner ols=native.linear_regression";
const NB: &str = "--learner nb=native.gaussian_nb";
/// Sums over plan and ledger, which must be the same.
const TOTALS: [&str; 6] = [
    "data_passes",
    "gathered_bytes",
    "rewired_bytes_copied",
    "spilled_bytes",
    "prediction_bytes",
    "imported_bytes",
];

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}

/// Folds and predictions of scikit-learn, and their table as `.npy` files and as `t.csv`, where groups are words.
fn scikit_learn(bench: &Bench) -> Value {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../ensemble-core/tests/fixtures/scikit_learn_folds.json");
    let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let x: Vec<Vec<f64>> = all["x"].as_array().unwrap().iter().map(numbers).collect();
    let n = x.len();
    let values: Vec<f64> = x.iter().flatten().copied().collect();
    bench.write("x.npy", npy_bytes("<f8", &format!("({n}, 3)"), &floats(&values)));
    let columns = ["y", "binary", "groups", "given", "never"].map(|name| {
        let values = numbers(&all[name]);
        bench.write(&format!("{name}.npy"), npy_bytes("<f8", &format!("({n},)"), &floats(&values)));
        values
    });
    let mut text = "a,b,y,binary,team,given,never,c\n".to_owned();
    for (row, x) in x.iter().enumerate() {
        let [y, binary, group, given, never] = columns.each_ref().map(|column| column[row]);
        let (a, b, c) = (x[0], x[1], x[2]);
        writeln!(text, "{a},{b},{y},{binary},team {group:02},{given},{never},{c}").unwrap();
    }
    bench.write("t.csv", text);
    all
}

fn assert_close(got: &[f64], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (row, (got, want)) in got.iter().zip(want).enumerate() {
        let close = (got - want).abs() <= 1e-9 * want.abs().max(1.0) || (got.is_nan() && want.is_nan());
        assert!(close, "{what}, row {row}: {got} {want}");
    }
}

#[test]
fn out_of_fold_predictions_are_those_of_scikit_learn_on_its_folds() {
    let bench = Bench::new();
    let all = scikit_learn(&bench);
    for case in all["cases"].as_array().unwrap() {
        let (scheme, target) = (case["scheme"].as_str().unwrap(), case["target"].as_str().unwrap());
        // Three classes are no numbers to a linear regression.
        if target == "classes" {
            continue;
        }
        let name = scheme.split(':').next().unwrap();
        let (file, column) = match (name, scheme) {
            ("group", _) => ("--groups groups.npy", "--groups team"),
            (_, "given:never") => ("--fold-column never.npy", "--fold-column never"),
            ("given", _) => ("--fold-column given.npy", "--fold-column given"),
            _ => ("", ""),
        };
        let text = if name == "given" { name } else { scheme };
        let stack = match target {
            "y" => OLS.to_owned(),
            _ => format!("{NB} {OLS} --meta native.gaussian_nb --no-meta-score"),
        };
        let drop: String = ["y", "binary", "team", "given", "never"]
            .into_iter()
            .filter(|name| *name != target && !column.ends_with(name))
            .map(|name| format!("--drop {name} "))
            .collect();
        for line in [
            format!("x.npy --target {target}.npy {file}"),
            format!("t.csv --target {target} {column} {drop}"),
        ] {
            let line = format!("{line} --scheme {text} {stack} --oof o.npy --json");
            let report = bench.json(&format!("fit {line}"));
            assert_eq!(report["scheme"]["name"], name);
            assert_eq!((&report["as_planned"], report["columns"].as_u64()), (&json!(true), Some(3)));
            let plan = bench.json(&format!("plan {line}"));
            for key in TOTALS.iter().chain(&["scheme", "folds_text", "fold_sizes"]) {
                assert_eq!(plan[key], report[key], "{line}: {key}");
            }
            let oof = npy(&bench.path("o.npy"));
            let width = oof.len() / all["y"].as_array().unwrap().len();
            let ols: Vec<f64> = oof.chunks_exact(width).map(|row| row[width - 1]).collect();
            assert_close(&ols, &numbers(&case["predicted"]), &line);
        }
    }
}

/// Coefficients and intercept of least squares on rows of six columns, by the normal equations.
fn least_squares(x: &[f64], y: &[f64]) -> Vec<f64> {
    let mut a = vec![[0.0; 8]; 7];
    for (x, y) in x.chunks_exact(6).zip(y) {
        let row: Vec<f64> = x.iter().copied().chain([1.0, *y]).collect();
        for (i, a) in a.iter_mut().enumerate() {
            a.iter_mut().zip(&row).for_each(|(a, v)| *a += row[i] * v);
        }
    }
    for i in 0..7 {
        for j in (0..7).filter(|j| *j != i) {
            let (pivot, factor) = (a[i], a[j][i] / a[i][i]);
            a[j].iter_mut().zip(pivot).for_each(|(a, p)| *a -= factor * p);
        }
    }
    (0..7).map(|i| a[i][7] / a[i][i]).collect()
}

fn apply(form: &[f64], x: &[f64]) -> Vec<f64> {
    x.chunks_exact(6).map(|x| form[6] + x.iter().zip(form).map(|(x, c)| x * c).sum::<f64>()).collect()
}

#[test]
fn blend_fits_on_the_first_rows_and_predicts_the_last() {
    let bench = Bench::new();
    let (x, y) = (npy(&bench.path("X.npy")), npy(&bench.path("y.npy")));
    let head = least_squares(&x[..2100 * 6], &y[..2100]);
    let want: Vec<f64> = std::iter::repeat_n(f64::NAN, 2100).chain(apply(&head, &x[2100 * 6..])).collect();
    for (refit, form) in [("", least_squares(&x, &y)), (",refit=false", head)] {
        let line = format!("X.npy --target y.npy --scheme blend:test_size=0.3{refit} {OLS}");
        // The first layer keeps its models; the meta-learner above learns from the last rows alone.
        let stack = format!(
            "{line} --learner mean=native.mean --meta native.ridge:alpha=1e-9 --model m --oof o.npy --json"
        );
        let report = bench.json(&format!("fit {stack}"));
        assert_eq!((&report["fold_sizes"], &report["as_planned"]), (&json!([900]), &json!(true)));
        assert_eq!(report["scheme"], json!({ "name": "blend", "test_size": 0.3, "refit": refit.is_empty() }));
        let oof: Vec<f64> = npy(&bench.path("o.npy")).chunks_exact(2).map(|row| row[0]).collect();
        assert_close(&oof, &want, refit);
        let model = bench.json("inspect m --json");
        let mut got = numbers(&model["layers"][0][0]["coefficients"]);
        got.push(model["layers"][0][0]["intercept"].as_f64().unwrap());
        assert_close(&got, &form, refit);
        let error: f64 = want[2100..].iter().zip(&y[2100..]).map(|(p, y)| (p - y) * (p - y)).sum();
        let rmse = report["learners"][0]["cv_rmse_mean"].as_f64().unwrap();
        assert!((rmse - (error / 900.0).sqrt()).abs() < 1e-9, "{rmse}");
        assert!(
            bench.succeeds(&format!("plan {line}")).contains("blend: fitted on 2100 rows, 900 predicted")
        );
        assert!(bench.succeeds(&format!("fit {line}")).contains("blend: fitted on 2100 rows, 900 predicted"));
    }
}

#[test]
fn none_is_one_fit_on_all_rows_without_scores() {
    let bench = Bench::new();
    let (x, y) = (npy(&bench.path("X.npy")), npy(&bench.path("y.npy")));
    for learner in ["native.linear_regression", "native.k_neighbors_regressor"] {
        let line = format!("X.npy --target y.npy --scheme none --learner a={learner}");
        let report = bench.json(&format!("fit {line} --model m --json"));
        assert_eq!((&report["scheme"], &report["fold_sizes"]), (&json!({ "name": "none" }), &json!([])));
        assert_eq!((&report["as_planned"], &report["notes"]), (&json!(true), &json!([])));
        assert!(report["learners"][0]["cv_rmse_mean"].is_null());
        let plan = bench.json(&format!("plan {line} --json"));
        TOTALS.iter().for_each(|key| assert_eq!(plan[key], report[key], "{key}"));
        for command in ["plan", "fit"] {
            let said = bench.succeeds(&format!("{command} {line}"));
            assert!(said.contains("no split: fitted on all 3000 rows, none held out"), "{said}");
        }
        bench.succeeds("predict m X.npy --out p.npy");
        if learner.ends_with("regression") {
            assert_close(&npy(&bench.path("p.npy")), &apply(&least_squares(&x, &y), &x), learner);
        }
    }
    let fit = format!("fit X.npy --target y.npy --scheme none {OLS}");
    bench.refuses(&format!("{fit} --oof o.npy"), &["--scheme none", "--oof"]);
    bench.refuses(&format!("{fit} --meta native.ridge"), &["--scheme none", "meta-learner"]);
    bench.refuses(&format!("{fit} --learner b=native.mean"), &["--scheme none", "meta-learner"]);
    bench.write(
        "two.toml",
        "[[layer]]\nlearners = { a = \"native.mean\" }\n[[layer]]\nlearners = { b = \"native.mean\" }\n",
    );
    bench.refuses("fit X.npy --target y.npy --scheme none --spec two.toml", &["--scheme none", "layer"]);
    bench.write("c.csv", "a,kind\n1,x\n2,x\n3,y\n4,y\n");
    let report = bench.json(&format!("fit c.csv --target kind --scheme none {NB} --json"));
    assert_eq!(report["notes"], json!([]), "no class lies in a fold where there is none");
}

/// 120 rows sorted by their class, of three.
fn sorted_classes(bench: &Bench) {
    let mut text = "a,b,kind\n".to_owned();
    for row in 0..120 {
        let kind = row / 40;
        writeln!(text, "{},{},{}", 9 * kind + row % 7, row % 11, ["oak", "ash", "elm"][kind]).unwrap();
    }
    bench.write("c.csv", text);
}

#[test]
fn folds_of_classes_have_their_shares_unless_others_are_asked_for() {
    let bench = Bench::new();
    sorted_classes(&bench);
    let fit = |options: &str| bench.json(&format!("fit c.csv --target kind {NB} {options} --json"));
    let accuracy = |report: &Value| report["learners"][0]["cv_accuracy_mean"].as_f64().unwrap();
    let report = fit("--folds 4");
    assert_eq!(
        report["scheme"],
        json!({ "name": "stratified", "n_splits": 4, "shuffle": false, "random_state": null })
    );
    assert_eq!((&report["fold_sizes"], &report["notes"]), (&json!([30, 30, 30, 30]), &json!([])));
    assert!(accuracy(&report) > 0.9, "{report}");
    let named = fit("--scheme stratified:n_splits=4");
    assert_eq!(named["learners"][0]["cv_rmse_folds"], report["learners"][0]["cv_rmse_folds"]);
    let shuffled = fit("--folds 4 --shuffle --seed 3");
    assert_eq!(
        (&shuffled["scheme"]["name"], &shuffled["scheme"]["random_state"]),
        (&json!("stratified"), &json!(3))
    );
    assert!(accuracy(&shuffled) > 0.9);
    for (options, sizing) in [("--exact-folds", "exact"), ("--scheme kfold", "automatic")] {
        let plain = fit(&format!("--folds 3 {options}"));
        assert_eq!((&plain["scheme"]["name"], &plain["scheme"]["sizing"]), (&json!("kfold"), &json!(sizing)));
        assert_eq!(accuracy(&plain), 0.0);
        let note = plain["notes"][0]["text"].as_str().unwrap();
        assert!(note.contains("lie in fold 0") && note.contains("stratified folds"), "{note}");
    }
    // The class of the last rows is in no other.
    let blend = fit("--scheme blend:test_size=0.34");
    let note = blend["notes"][0]["text"].as_str().unwrap();
    assert!(note.contains("class 'elm' are held out at once"), "{note}");
    let said = bench.succeeds(&format!("plan c.csv --target kind {NB}"));
    assert!(said.contains("5 folds of 24 to 24 rows, each with the classes' shares"), "{said}");
    bench.refuses(
        &format!("fit c.csv --target kind {NB} --folds 50"),
        &["50 folds", "no class has as many rows", "--folds", "--scheme kfold"],
    );
    let numbers = "fit X.npy --target y.npy --scheme stratified";
    bench.refuses(&format!("{numbers} {OLS}"), &["stratified", "no learner classifies"]);
}

#[test]
fn a_sorted_target_under_folds_in_row_order_gets_a_note() {
    let bench = Bench::new();
    let mut y = npy(&bench.path("y.npy"));
    y.sort_by(f64::total_cmp);
    bench.write("sorted.npy", npy_bytes("<f8", "(3000,)", &floats(&y)));
    let folds: Vec<f64> = (0..3000).map(|row| f64::from(row / 600)).collect();
    bench.write("folds.npy", npy_bytes("<f8", "(3000,)", &floats(&folds)));
    let notes = |target: &str, options: &str| {
        bench.json(&format!("fit X.npy --target {target} {OLS} {options} --json"))["notes"].clone()
    };
    let said = notes("sorted.npy", "");
    let text = said[0]["text"].as_str().unwrap();
    assert!(text.contains("the target trends along the rows") && text.contains("shuffle the rows"), "{text}");
    for (target, options) in [
        ("y.npy", ""),
        ("sorted.npy", "--shuffle"),
        ("sorted.npy", "--fold-column folds.npy"),
        ("sorted.npy", "--groups folds.npy"),
        ("sorted.npy", "--scheme none"),
    ] {
        assert_eq!(notes(target, options), json!([]), "{target} {options}");
    }
}

#[test]
fn columns_of_folds_and_groups_are_no_features_at_fit_and_at_prediction() {
    let bench = Bench::new();
    scikit_learn(&bench);
    let line =
        format!("t.csv --target y --groups team --drop binary --drop given --drop never {OLS} --folds 3");
    let report = bench.json(&format!("fit {line} --model m --oof o.npy --json"));
    assert_eq!(report["feature_names"], json!(["a", "b", "c"]));
    let (rows, name) = (report["rows"].as_u64().unwrap(), &report["scheme"]["name"]);
    assert_eq!((name, &report["scheme"]["n_groups"]), (&json!("group"), &json!(8)));
    // Three columns, the target and the groups, written once.
    assert_eq!(report["imported_bytes"].as_u64(), Some(8 * 5 * rows));
    bench.succeeds("predict m t.csv --out p.npy");
    bench.write("new.csv", "c,a,b\n1,2,3\n");
    bench.succeeds("predict m new.csv --out q.npy");
    assert_eq!((npy(&bench.path("p.npy")).len() as u64, npy(&bench.path("q.npy")).len()), (rows, 1));
    // The same from a file that says it, and with another scheme, under which nothing is learned from the groups either.
    bench.write("s.toml", "target = \"y\"\ndrop = [\"binary\", \"given\", \"never\"]\ngroups = \"team\"\nscheme = \"group:n_splits=3\"\n");
    let by_file = bench.json(&format!("fit t.csv --spec s.toml {OLS} --oof f.npy --json"));
    assert_eq!(by_file["scheme"], report["scheme"]);
    assert_eq!(npy(&bench.path("f.npy")), npy(&bench.path("o.npy")));
    let other = bench.json(&format!("fit t.csv --spec s.toml --scheme kfold {OLS} --json"));
    assert_eq!((&other["scheme"]["name"], &other["scheme"]["n_splits"]), (&json!("kfold"), &json!(5)));
    assert_eq!(other["columns"], 3);
    let more = bench.json(&format!("fit t.csv --spec s.toml --folds 4 {OLS} --json"));
    assert_eq!((&more["scheme"]["name"], &more["scheme"]["n_splits"]), (&json!("group"), &json!(4)));
    // Columns of a table of numbers.
    let x = npy(&bench.path("x.npy"));
    let groups = npy(&bench.path("groups.npy"));
    let y = npy(&bench.path("y.npy"));
    let wide: Vec<f64> = (0..y.len())
        .flat_map(|row| [x[3 * row], groups[row], x[3 * row + 1], x[3 * row + 2], y[row]])
        .collect();
    bench.write("wide.npy", npy_bytes("<f8", &format!("({}, 5)", y.len()), &floats(&wide)));
    let split = bench
        .json(&format!("fit wide.npy --target 4 --groups 1 {OLS} --folds 3 --oof w.npy --model w --json"));
    assert_eq!((split["columns"].as_u64(), &split["scheme"]), (Some(3), &report["scheme"]));
    assert_eq!(npy(&bench.path("w.npy")), npy(&bench.path("o.npy")));
    bench.succeeds("predict w wide.npy --target 4 --drop 1 --out p.npy");
    // Words and numbers in one column are all words.
    bench.write("mixed.csv", "a,y,g\n1,2,b\n2,1,7\n3,5,b\n4,4,7.5\n5,1,7\n6,2,x\n7,3,7.5\n8,3,x\n");
    let mixed = bench.json(&format!("fit mixed.csv --target y --groups g --folds 4 {OLS} --json"));
    assert_eq!((&mixed["scheme"]["n_groups"], &mixed["fold_sizes"]), (&json!(4), &json!([2, 2, 2, 2])));
}

#[test]
fn what_cannot_be_split_so_is_refused_by_name() {
    let bench = Bench::new();
    let column = |name: &str, values: &[f64]| {
        bench.write(name, npy_bytes("<f8", &format!("({},)", values.len()), &floats(values)));
    };
    column("short.npy", &[0.0, 1.0]);
    column("half.npy", &(0..3000).map(|row| f64::from(row) / 2.0).collect::<Vec<_>>());
    column("same.npy", &[3.0; 3000]);
    column("two.npy", &(0..3000).map(|row| f64::from(row % 2)).collect::<Vec<_>>());
    bench.write("pairs.npy", npy_bytes("<f8", "(3000, 2)", &floats(&[1.0; 6000])));
    let fit = format!("fit X.npy --target y.npy {OLS}");
    for (options, words) in [
        ("--scheme stratifed", &["'stratifed'", "nearest is stratified", "kfold, stratified, group"][..]),
        ("--scheme kfold:folds=3", &["kfold has no parameter 'folds'", "n_splits"]),
        ("--scheme kfold:n_splits=x", &["n_splits=x", "whole number"]),
        ("--scheme kfold:n_splits=1", &["at least 2 folds"]),
        ("--scheme kfold:n_splits=3 --folds 4", &["said twice", "n_splits", "--folds"]),
        ("--scheme kfold:n_splits=3001", &["3001 folds of 3000 rows"]),
        ("--scheme given", &["--fold-column"]),
        ("--scheme group", &["--groups"]),
        ("--scheme group --groups pairs.npy", &["pairs.npy", "wanted 1, got 2"]),
        ("--scheme group --groups short.npy", &["short.npy", "X.npy", "wanted 3000, got 2"]),
        ("--scheme group --groups half.npy", &["half.npy", "row 1", "0.5", "whole number"]),
        ("--scheme group --groups same.npy", &["is only 1 group"]),
        ("--scheme group --groups two.npy", &["are only 2 groups", "--folds"]),
        ("--scheme given --fold-column short.npy", &["short.npy", "wanted 3000, got 2"]),
        ("--scheme given --fold-column half.npy", &["half.npy", "row 1", "0.5"]),
        ("--scheme given --fold-column same.npy", &["all rows are in one fold"]),
        ("--scheme given --fold-column missing.npy", &["missing.npy"]),
        ("--scheme given --fold-column two.npy --folds 3", &["--folds", "given"]),
        ("--scheme given --fold-column two.npy --shuffle", &["--shuffle", "given"]),
        ("--scheme given --fold-column two.npy --exact-folds", &["--exact-folds", "given"]),
        ("--scheme kfold --fold-column two.npy", &["--fold-column", "kfold"]),
        ("--scheme kfold --groups two.npy", &["--groups", "kfold"]),
        ("--fold-column two.npy --groups two.npy", &["--scheme given or --scheme group"]),
        ("--scheme blend", &["test_size"]),
        ("--scheme blend:test_size=1.5", &["test_size=1.5", "below 1"]),
        ("--scheme blend:test_size=0.0001", &["test_size", "leaves 0"]),
        ("--scheme blend:test_size=0.3,refit=maybe", &["refit=maybe", "true or false"]),
        ("--scheme blend:test_size=0.3 --shuffle", &["--shuffle", "blend"]),
        ("--scheme blend:test_size=0.3 --folds 3", &["--folds", "blend"]),
        ("--scheme none --page-folds", &["--page-folds", "none"]),
        ("--scheme stratified --exact-folds", &["--exact-folds", "stratified"]),
        ("--fold-column two.npy --oof two.npy", &["two.npy", "input"]),
    ] {
        bench.refuses(&format!("{fit} {options}"), words);
        bench.refuses(&format!("{} {options}", fit.replacen("fit", "plan", 1)), words);
    }
    for (spec, words) in [
        ("scheme = \"kfolds:n_splits=3\"", &["s.toml", "scheme", "nearest is kfold"][..]),
        ("scheme = \"kfold:n_splits=3\"\nfolds = 4", &["s.toml", "folds", "said twice"]),
        ("scheme = \"given\"", &["s.toml", "scheme", "--fold-column"]),
        ("scheme = \"blend:test_size=0.3\"\nshuffle = true", &["s.toml", "shuffle", "blend"]),
        ("scheme = \"none\"\nfolds = 3", &["s.toml", "folds", "none"]),
        ("scheme = \"kfold\"\ngroups = \"two.npy\"", &["s.toml", "groups", "kfold"]),
        ("fold_column = \"two.npy\"\ngroups = \"two.npy\"", &["s.toml", "fold_column", "scheme"]),
    ] {
        bench.write("s.toml", spec);
        bench.refuses(&format!("{fit} --spec s.toml"), words);
    }
    bench.write("t.csv", "a,b,y,team,fold\n1,2,3,red,0\n2,4,3,blue,1\n3,1,8,,0.5\n4,3,8,red,x\n");
    let fit = format!("fit t.csv --target y {OLS}");
    for (options, words) in [
        ("--groups squad", &["t.csv", "no column 'squad'", "team"][..]),
        ("--groups team --drop fold", &["t.csv", "line 4", "'team'", "missing", "group"]),
        ("--fold-column fold --drop team", &["t.csv", "line 4", "'fold'", "0.5", "whole number"]),
        ("--fold-column team --drop fold", &["t.csv", "line 2", "'team'", "'red'", "whole number"]),
        ("--groups y --drop team --drop fold", &["'y'", "both the target and every row's group"]),
        ("--groups team --drop team --drop fold", &["'team'", "both dropped and every row's group"]),
    ] {
        bench.refuses(&format!("{fit} {options}"), words);
    }
    sorted_classes(&bench);
    bench.succeeds("generate friedman1 --rows 90 --cols 5 --seed 1 --x N.npy --y n.npy");
    column("k.npy", &(0..90).map(|row| f64::from(u8::from(row < 45))).collect::<Vec<_>>());
    let by_reference = format!("fit N.npy --target k.npy {NB} --model m --by-reference");
    bench.refuses(&by_reference, &["N.npy", "fold order", "--scheme kfold"]);
    bench.succeeds(&format!("{by_reference} --scheme kfold"));
}

#[test]
fn what_does_not_leak_is_verified() {
    let bench = Bench::new();
    let mut text = "a,b,y\n".to_owned();
    for row in 0..60 {
        let t = f64::from(row);
        writeln!(text, "{},{},{}", t.sin(), (t * 0.7).cos(), (t * 1.3).sin() + 0.1 * t).unwrap();
    }
    bench.write("t.csv", text);
    let fit = "fit t.csv --target y --learner a=native.ridge --learner b=native.k_neighbors_regressor";
    let told = bench.succeeds(&format!("{fit} --folds 3 --shuffle --verify"));
    assert!(told.contains("verified: 2 learners in 3 cells"), "{told}");
    let json = bench.json(&format!("{fit} --scheme blend:test_size=0.4 --verify --json"));
    assert_eq!(json["verified"]["cells"], 1);
}
