//! Classification from the command line: words in, words and probabilities out.

use std::fmt::Write;

use crate::{Bench, npy};

/// 300 trees of three kinds, told apart by height and girth.
fn trees(bench: &Bench) {
    let mut text = "height,girth,kind\n".to_owned();
    for row in 0..300 {
        let (kind, height, girth) = [("oak", 20, 9), ("ash", 28, 5), ("elm", 12, 4)][row % 3];
        let noise = f64::from(u8::try_from(row * 37 % 101).unwrap()) / 25.0;
        writeln!(text, "{},{},{kind}", f64::from(height) + noise, f64::from(girth) + noise * 0.3).unwrap();
    }
    bench.write("trees.csv", text);
}

const FIT: &str = "fit trees.csv --target kind --folds 4 --shuffle \
                   --learner nb=native.gaussian_nb \
                   --learner 'scaled=native.standard_scaler | native.gaussian_nb:var_smoothing=0.01'";

#[test]
fn words_are_classes_and_come_back_as_words() {
    let bench = Bench::new();
    trees(&bench);
    let report = bench.json(&format!("{FIT} --meta native.gaussian_nb --model m --oof oof.npy --json"));
    assert_eq!(report["classes"].as_array().unwrap(), &["ash", "elm", "oak"]);
    for learner in report["learners"].as_array().unwrap() {
        assert!(learner["cv_accuracy_mean"].as_f64().unwrap() > 0.95, "{learner}");
        assert!(learner["cv_log_loss_mean"].as_f64().unwrap() < 0.2, "{learner}");
    }
    assert_eq!(npy(&bench.path("oof.npy")).len(), 300 * 2 * 3);
    assert_eq!(bench.json("inspect m --json")["classes"].as_array().unwrap().len(), 3);
    assert!(bench.succeeds("inspect m").contains("classes ash, elm, oak"));

    bench.succeeds("predict m trees.csv --out p.csv");
    let text = std::fs::read_to_string(bench.path("p.csv")).unwrap();
    let kinds: Vec<&str> = text.lines().skip(1).collect();
    let right =
        kinds.iter().enumerate().filter(|(row, kind)| **kind == ["oak", "ash", "elm"][row % 3]).count();
    assert!(kinds.len() == 300 && right > 290, "{right} of 300");
    bench.succeeds("predict m trees.csv --proba --out p.npy");
    assert!(npy(&bench.path("p.npy")).chunks_exact(3).all(|p| (p.iter().sum::<f64>() - 1.0).abs() < 1e-12));
    bench.succeeds("predict m trees.csv --proba --out q.csv");
    assert!(std::fs::read_to_string(bench.path("q.csv")).unwrap().starts_with("ash,elm,oak\n"));
    let board = bench.succeeds(&format!("{FIT} --meta native.gaussian_nb"));
    assert!(board.contains("accuracy") && board.contains("log loss"), "{board}");
    assert!(
        bench
            .succeeds(&format!("{} --meta native.gaussian_nb", FIT.replacen("fit", "plan", 1)))
            .contains("3 classes: ash, elm, oak")
    );
}

#[test]
fn targets_without_classes_and_classes_without_a_meta_learner_are_refused() {
    let bench = Bench::new();
    trees(&bench);
    bench.refuses(FIT, &["--meta"]);
    bench.refuses(
        "fit X.npy --target y.npy --learner nb=native.gaussian_nb",
        &["y.npy", "row 0", "whole numbers"],
    );
    bench.refuses(
        "fit trees.csv --target kind --learner ols=native.linear_regression",
        &["line 2", "'kind'", "is not a number"],
    );
    bench.refuses(
        &format!("{FIT} --learner ols=native.linear_regression --meta native.gaussian_nb"),
        &["'ols'", "3 classes"],
    );
    bench.write("gap.csv", "a,kind\n1,x\n2,\n3,y\n");
    bench.refuses(
        "fit gap.csv --target kind --learner nb=native.gaussian_nb",
        &["gap.csv", "line 3", "'kind'"],
    );
    bench.succeeds("fit X.npy --target y.npy --learner ols=native.linear_regression --model m");
    bench.refuses("predict m X.npy --proba --out p.npy", &["--proba"]);
}

#[test]
fn lists_say_task_access_and_backend() {
    let bench = Bench::new();
    let kinds = bench.json("learners --json");
    let find = |name: &str| kinds.as_array().unwrap().iter().find(|k| k["kind"] == name).unwrap().clone();
    let (bayes, scaler, lasso) =
        (find("native.gaussian_nb"), find("native.standard_scaler"), find("native.lasso"));
    assert_eq!(
        (bayes["task"].as_str(), bayes["predicts"].as_str()),
        (Some("classification"), Some("probabilities"))
    );
    assert_eq!((scaler["task"].as_str(), scaler["predicts"].as_str()), (Some("transformation"), None));
    assert_eq!((lasso["task"].as_str(), lasso["access"].as_str()), (Some("regression"), Some("merge")));
    assert!(lasso["backend"].as_str().unwrap().starts_with("ensemble-native "));
}
