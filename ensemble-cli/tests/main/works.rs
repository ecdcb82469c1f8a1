//! What the program promises to scripts.

use crate::{Bench, npy};

const STACK: &str = "--learner 'l1=native.standard_scaler | native.lasso:alpha=0.1,tol=1e-13,max_iter=100000' \
                     --learner ols=native.linear_regression --meta native.nnls";

#[test]
fn fit_json_holds_the_promised_keys() {
    let bench = Bench::new();
    let report = bench.json(&format!("fit X.npy --target y.npy {STACK} --folds 4 --threads 2 --json"));
    for key in [
        "rows",
        "columns",
        "fold_sizes",
        "threads",
        "wall_seconds",
        "data_passes",
        "gathered_bytes",
        "rewired_bytes_copied",
        "spilled_bytes",
        "peak_anonymous_bytes",
        "learners",
    ] {
        assert!(report.get(key).is_some(), "{key}");
    }
    assert_eq!((report["rows"].as_u64(), report["columns"].as_u64()), (Some(3000), Some(6)));
    assert_eq!(report["fold_sizes"].as_array().unwrap().len(), 4);
    assert_eq!((report["data_passes"].as_u64(), report["as_planned"].as_bool()), (Some(1), Some(true)));
    let learners = report["learners"].as_array().unwrap();
    assert_eq!(learners.len(), 3);
    for learner in learners {
        for key in ["layer", "name", "kind", "access", "cv_rmse_mean", "cv_rmse_se", "fit_seconds"] {
            assert!(learner.get(key).is_some(), "{key}");
        }
    }
    assert_eq!(learners[0]["kind"], "native.standard_scaler | native.lasso");
    let unscored = bench.json(&format!("fit X.npy --target y.npy {STACK} --no-meta-score --json"));
    assert!(unscored["learners"][2]["cv_rmse_mean"].is_null());
}

#[test]
fn models_are_saved_inspected_and_predict_what_they_predicted() {
    let bench = Bench::new();
    bench.succeeds(&format!("fit X.npy --target y.npy {STACK} --model m --oof oof.npy"));
    let model = bench.json("inspect m --json");
    let layers = model["layers"].as_array().unwrap();
    assert_eq!((layers.len(), layers[0].as_array().unwrap().len()), (2, 2));
    let linear = |learner: &serde_json::Value| -> (Vec<f64>, f64) {
        let c = learner["coefficients"].as_array().unwrap().iter().map(|c| c.as_f64().unwrap()).collect();
        (c, learner["intercept"].as_f64().unwrap())
    };
    bench.succeeds("predict m X.npy --out p.npy");
    let told = bench.json("predict m X.npy --out p.csv --json");
    assert_eq!((told["rows"].as_u64(), told["out"].as_str()), (Some(3000), Some("p.csv")));
    assert!(told["seconds"].as_f64().is_some());
    let (x, p) = (npy(&bench.path("X.npy")), npy(&bench.path("p.npy")));
    let apply = |(c, b): &(Vec<f64>, f64), x: &[f64]| b + c.iter().zip(x).map(|(c, x)| c * x).sum::<f64>();
    let (first, second, meta) = (linear(&layers[0][0]), linear(&layers[0][1]), linear(&layers[1][0]));
    for (x, p) in x.chunks_exact(6).zip(&p) {
        let want = apply(&meta, &[apply(&first, x), apply(&second, x)]);
        assert!((want - p).abs() < 1e-10 * want.abs().max(1.0));
    }
    let text = std::fs::read_to_string(bench.path("p.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("prediction"));
    assert!(lines.zip(&p).all(|(line, p)| line.parse::<f64>().unwrap() == *p));
    assert_eq!(npy(&bench.path("oof.npy")).len(), 3000 * 2);
    assert_eq!(model["path"], "m");
    let table = bench.json("inspect oof.npy --json");
    assert_eq!(table["path"], "oof.npy");
    assert_eq!((table["rows"].as_u64(), table["columns"].as_u64()), (Some(3000), Some(2)));
}

#[test]
fn one_learner_without_a_meta_learner_is_fitted_on_all_rows_as_it_is() {
    let bench = Bench::new();
    bench.succeeds("fit X.npy --target y.npy --learner ols=native.linear_regression --model m");
    let model = bench.json("inspect m --json");
    assert_eq!(model["layers"].as_array().unwrap().len(), 1);
    let several = "X.npy --target y.npy --learner a=native.ridge --learner b=native.mean";
    let said = "meta-learner: native.nnls";
    assert!(bench.succeeds(&format!("fit {several} --model m")).contains(said));
    assert!(bench.succeeds(&format!("plan {several}")).contains(said));
    assert!(!bench.succeeds(&format!("fit {several} --meta native.ridge")).contains(said));
    assert_eq!(bench.json("inspect m --json")["layers"][1][0]["kind"], "native.nnls");
}

#[test]
fn a_spec_says_layers_and_cases_and_options_win() {
    let bench = Bench::new();
    bench.write(
        "s.toml",
        r#"
        folds = 3
        meta = "native.ridge"
        target = "y.npy"
        [[layer]]
        learners = { ols = "native.linear_regression" }
        [[layer.case]]
        name = "scaled"
        transformers = "native.standard_scaler | native.center"
        learners = { l1 = "native.lasso:alpha=0.1", near = "native.k_neighbors_regressor" }
        [[layer]]
        learners = { a = "native.ridge", b = "native.mean" }
        "#,
    );
    let report = bench.json("fit X.npy --spec s.toml --folds 4 --json");
    assert_eq!(report["fold_sizes"].as_array().unwrap().len(), 4);
    let names: Vec<&str> =
        report["learners"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ols", "scaled.l1", "scaled.near", "a", "b", "meta"]);
    assert_eq!(report["as_planned"], true);
    let plan = bench.succeeds("plan X.npy --spec s.toml");
    assert!(plan.contains("layer 1") && plan.contains("gathered 0 B"), "{plan}");
    assert_eq!(bench.json("plan X.npy --spec s.toml --json")["rows"], 3000);
}

#[test]
fn threads_and_budget_do_not_change_the_model() {
    let bench = Bench::new();
    let model = |options: &str| {
        bench.succeeds(&format!("fit X.npy --target y.npy {STACK} {options} --model m"));
        std::fs::read(bench.path("m")).unwrap()
    };
    let one = model("--threads 1");
    assert_eq!(model("--threads 2"), one);
    assert_eq!(model("--threads 8 --memory-budget 1MiB"), one);
}

#[test]
fn csv_columns_are_encoded_and_the_same_rows_as_npy_fit_the_same() {
    let bench = Bench::new();
    let (x, y) = (npy(&bench.path("X.npy")), npy(&bench.path("y.npy")));
    let mut text = String::from("a,b,c,d,e,f,grade,goal,note\n");
    for (row, (x, y)) in x.chunks_exact(6).zip(&y).enumerate() {
        let values: Vec<String> = x.iter().map(f64::to_string).collect();
        text += &format!("{},{},{y},\"row, {row}\"\n", values.join(","), ["low", "high"][row % 2]);
    }
    bench.write("t.csv", text);
    let options = "--target goal --drop note --ordinal 'grade=low<high'";
    let csv = bench.json(&format!("fit t.csv {options} {STACK} --model c --json"));
    assert_eq!((csv["columns"].as_u64(), csv["imported_bytes"].as_u64()), (Some(7), Some(3000 * 8 * 8)));
    bench.succeeds("predict c t.csv --drop note --drop goal --ordinal 'grade=low<high' --out p.npy");
    let same = bench.json(&format!("fit t.csv --target goal --drop note --drop grade {STACK} --json"));
    let table = bench.json("inspect t.csv --drop note --ordinal 'grade=low<high' --json");
    assert_eq!(
        (table["rows"].as_u64(), &table["column_summaries"][6]["name"]),
        (Some(3000), &"grade".into())
    );
    let from_npy = bench.json(&format!("fit X.npy --target y.npy {STACK} --json"));
    assert_eq!(same["learners"][0]["cv_rmse_folds"], from_npy["learners"][0]["cv_rmse_folds"]);
    bench.write("s.toml", "target = \"goal\"\ndrop = [\"note\"]\n[ordinal]\ngrade = [\"low\", \"high\"]\n");
    bench.succeeds("predict c t.csv --spec s.toml --out q.npy");
    assert_eq!(npy(&bench.path("q.npy")), npy(&bench.path("p.npy")));
    // Columns are found by name, wherever they stand.
    let turned: String = std::fs::read_to_string(bench.path("t.csv"))
        .unwrap()
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.splitn(9, ',').take(8).collect();
            cells.into_iter().rev().collect::<Vec<_>>().join(",") + "\n"
        })
        .collect();
    bench.write("turned.csv", turned);
    bench.succeeds("predict c turned.csv --spec s.toml --out r.npy");
    assert_eq!(npy(&bench.path("r.npy")), npy(&bench.path("p.npy")));
    bench.write("fewer.csv", "a,b\n1,2\n");
    bench.refuses("predict c fewer.csv --spec s.toml --out r.npy", &["fewer.csv", "grade"]);
}

#[test]
fn a_target_column_of_a_table_is_split_off() {
    let bench = Bench::new();
    let report = bench.json("fit X.npy --target 3 --drop 0 --learner ols=native.linear_regression --json");
    assert_eq!(report["columns"], 4);
}

#[test]
fn a_target_is_left_out_of_what_is_predicted_from() {
    let bench = Bench::new();
    bench.succeeds("fit X.npy --target 3 --learner ols=native.linear_regression --model m");
    bench.refuses("predict m X.npy --out p.npy", &["wanted 5, got 6"]);
    bench.succeeds("predict m X.npy --target 3 --out p.npy");
    assert_eq!(npy(&bench.path("p.npy")).len(), 3000);
    // A target of categories need not be in the rows to predict, though the spec encodes it.
    bench.write("t.csv", "a,size\n1,low\n2,high\n3,high\n4,low\n");
    bench.write("new.csv", "a\n1\n4\n");
    let options = "--target size --ordinal 'size=low<high'";
    bench.succeeds(&format!("fit t.csv {options} --folds 2 --learner mean=native.mean --model c"));
    for table in ["t.csv", "new.csv"] {
        bench.succeeds(&format!("predict c {table} {options} --out p.npy"));
        assert!(npy(&bench.path("p.npy")).iter().all(|p| *p == 0.5));
    }
}

#[test]
fn tables_of_every_kind_are_inspected_alike() {
    let bench = Bench::new();
    bench.write("t.csv", "a,size\n1,low\n4,high\n");
    bench.write("t.f64", [1.0f64, 0.0, 4.0, 1.0].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    let csv = bench.json("inspect t.csv --ordinal 'size=low<high' --json");
    let raw = bench.json("inspect t.f64 --raw-shape 2x2 --json");
    for (table, names) in [(csv, ["a", "size"]), (raw, ["0", "1"])] {
        assert_eq!((table["rows"].as_u64(), table["columns"].as_u64()), (Some(2), Some(2)));
        for (j, (min, max, mean)) in [(1.0, 4.0, 2.5), (0.0, 1.0, 0.5)].into_iter().enumerate() {
            let want = serde_json::json!({ "name": names[j], "min": min, "max": max, "mean": mean });
            assert_eq!(table["column_summaries"][j], want);
        }
    }
}

#[test]
fn readers_that_went_away_are_no_panic() {
    let bench = Bench::new();
    for (line, code) in [("learners", 0), ("inspect X.npy", 0), ("inspect missing", 2), ("fit", 2)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = std::process::Command::new(env!("CARGO_BIN_EXE_ensemble"))
            .args(line.split(' '))
            .current_dir(bench.path(""))
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .status();
        assert_eq!(status.unwrap().code(), Some(code), "{line}");
    }
}

#[test]
fn raw_files_and_fortran_order_are_the_same_table() {
    let bench = Bench::new();
    bench.succeeds("generate friedman1 --rows 3000 --cols 6 --seed 5 --order F --x F.npy --y z.npy");
    bench.write("x.f64", npy(&bench.path("X.npy")).iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    let score = |table: &str| {
        bench.json(&format!("fit {table} --target y.npy {STACK} --json"))["learners"][0]["cv_rmse_mean"]
            .as_f64()
            .unwrap()
    };
    let c = score("X.npy");
    assert_eq!(score("x.f64 --raw-shape 3000x6"), c);
    assert_eq!(score("F.npy"), c);
    assert_eq!(npy(&bench.path("z.npy")), npy(&bench.path("y.npy")));
}

#[test]
fn learners_are_listed_with_their_parameters() {
    let bench = Bench::new();
    let kinds = bench.json("learners --json");
    let lasso = kinds.as_array().unwrap().iter().find(|k| k["kind"] == "native.lasso").unwrap();
    assert!(
        lasso["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "alpha" && p["default"] == "1.0")
    );
    assert!(bench.succeeds("learners").contains("native.k_neighbors_regressor"));
}

#[test]
fn shuffled_diamonds_give_a_sensible_leaderboard() {
    let bench = Bench::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (table, spec) = (root.join("data/diamonds.csv"), root.join("examples/diamonds.toml"));
    let report =
        bench.json(&format!("fit '{}' --spec '{}' --folds 3 --json", table.display(), spec.display()));
    let risk = |name: &str| {
        let learners = report["learners"].as_array().unwrap();
        learners.iter().find(|l| l["name"] == name).unwrap()["cv_rmse_mean"].as_f64().unwrap()
    };
    assert!(
        risk("meta") < risk("scaled.near15")
            && risk("scaled.near15") < risk("ols")
            && risk("ols") < risk("mean")
    );
    assert_eq!((report["rows"].as_u64(), report["as_planned"].as_bool()), (Some(53_940), Some(true)));
}

#[test]
fn notes_stand_under_the_leaderboard_in_the_json_and_on_standard_error_where_no_table_is() {
    let bench = Bench::new();
    let line = "fit X.npy --target y.npy --learner l1=native.lasso:alpha=0.01,max_iter=1 --learner \
                ols=native.linear_regression --meta native.nnls --folds 4";
    let table = bench.succeeds(line);
    let (board, below) = table.split_once("\n\n").unwrap();
    assert!(
        board.contains("meta") && below.contains("scores above layer 0 are a little too good"),
        "{table}"
    );
    assert!(
        below.contains("note: learner 'l1' (layer 0) did not converge with folds 0, 1, 2, 3 held out"),
        "{table}"
    );
    let output = bench.run(&format!("{line} --json"));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let notes = report["notes"].as_array().unwrap();
    assert_eq!((notes.len(), notes[0]["kind"].as_str()), (1, Some("not_converged")));
    assert_eq!((notes[0]["layer"].as_u64(), notes[0]["learner"].as_str()), (Some(0), Some("l1")));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains(&format!("note: {}", notes[0]["text"].as_str().unwrap())), "{errors}");
    let learners = report["learners"].as_array().unwrap();
    assert_eq!(learners[0]["convergence"].as_array().unwrap().len(), 5);
    let last = &learners[0]["convergence"][4];
    assert_eq!(
        (last["fold"].is_null(), last["steps"].as_u64(), last["converged"].as_bool()),
        (true, Some(1), Some(false))
    );
    assert!(last["gap"].as_f64().unwrap() > 1e-4);
    assert_eq!((learners[0]["nested"].as_bool(), learners[2]["nested"].as_bool()), (Some(true), Some(false)));
    let quiet = bench.succeeds("fit X.npy --target y.npy --learner l1=native.lasso:alpha=0.01");
    assert!(!quiet.contains("note:") && !quiet.contains("too good"), "{quiet}");
}
