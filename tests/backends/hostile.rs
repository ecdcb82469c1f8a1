//! No value of any parameter of any kind aborts, panics or goes on for ever: it is refused where the learner is made, or by the plan,
//! or by the fit with a sentence, or it works.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use ensemble::{Built, DenseTable, Error, ErrorKind, KFold, Layer, Order, SuperLearner, registry};

/// What nobody means, in every size: nothing, less, no number, no end, at the ends of float64 and of integers, of 32 and 64 bits.
const HOSTILE: [&str; 21] = [
    "0",
    "-1",
    "0.5",
    "1",
    "NaN",
    "inf",
    "-inf",
    "1e308",
    "-1e308",
    "1e150",
    "-1e150",
    "1e-150",
    "1e-308",
    "5e-324",
    "1000000",
    "4294967295",
    "4294967296",
    "1152921504606846976",
    "9223372036854775807",
    "18446744073709551615",
    "none",
];

/// How long one fit of three small training sets may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

const ROWS: usize = 90;

/// Counts, which every kind takes; a positive target, and one of three classes.
struct Tables {
    wide: DenseTable,
    narrow: DenseTable,
    numbers: DenseTable,
    classes: DenseTable,
}

impl Tables {
    fn new() -> Self {
        let class = |row: usize| row * 31 % 3;
        let count = |row: usize, column: usize| {
            ((row * 37 + column * 11 + row * row * (column + 2)) % 7 + class(row)) as f64
        };
        let values = |p: usize| (0..ROWS * p).map(|i| count(i / p, i % p)).collect();
        let number = |row: usize| 1.0 + count(row, 0) + 0.5 * count(row, 1) + (row * 53 % 17) as f64 / 17.0;
        Self {
            wide: DenseTable::new(values(4), ROWS, 4, Order::C).unwrap(),
            narrow: DenseTable::new(values(1), ROWS, 1, Order::C).unwrap(),
            numbers: DenseTable::column((0..ROWS).map(number).collect()),
            classes: DenseTable::column((0..ROWS).map(|row| class(row) as f64).collect()),
        }
    }

    /// Plan, fit and predict what `text` says, a transformer before a learner.
    fn attempt(&self, text: &str) -> Result<(), Error> {
        let registry = registry();
        let text = match registry.build(text)? {
            Built::Learner(_) => text.to_owned(),
            Built::Transformer(_) if text.starts_with("smartcore.lda") => {
                format!("{text} | smartcore.gaussian_nb")
            }
            Built::Transformer(_) => format!("{text} | native.linear_regression"),
        };
        let learner = registry.pipeline(&text)?;
        let x = if text.starts_with("linfa.isotonic") { &self.narrow } else { &self.wide };
        let y = if learner.predicts().classifies() { &self.classes } else { &self.numbers };
        // A pool of its own: other tests may keep the common one busy for longer than any fit here may take.
        let stack =
            SuperLearner::new(KFold::new(2).exact()).layer(Layer::new().learner("it", learner)).threads(1);
        stack.plan(x, y)?;
        let predicted = stack.fit(x, y)?.predict(x)?;
        assert!(predicted.iter().all(|v| v.is_finite()), "it predicts what is not finite");
        Ok(())
    }
}

/// Every kind with its defaults, and with every hostile value of every parameter.
fn texts() -> Vec<String> {
    let registry = registry();
    let mut texts = Vec::new();
    for kind in registry.kinds() {
        texts.push(kind.name.to_owned());
        for parameter in kind.parameters {
            texts.extend(HOSTILE.iter().map(|value| format!("{}:{}={value}", kind.name, parameter.name)));
        }
    }
    // Parameters that matter for some choices of others alone.
    for value in HOSTILE {
        for (kind, choices, names) in [
            (
                "linfa.svc",
                &["kernel=poly", "kernel=linear"][..],
                &["gamma", "degree", "coef0", "C", "tol"][..],
            ),
            ("linfa.svr", &["kernel=poly", "kernel=linear"], &["gamma", "degree", "coef0", "C", "tol"]),
            ("smartcore.svc", &["kernel=poly", "kernel=sigmoid"], &["gamma", "degree", "coef0", "C", "tol"]),
            ("smartcore.svr", &["kernel=poly", "kernel=sigmoid"], &["gamma", "degree", "coef0", "C", "tol"]),
            ("linfa.tweedie_regressor", &["power=1", "power=2", "power=3"], &["alpha", "tol", "max_iter"]),
            ("smartcore.k_neighbors_regressor", &["algorithm=cover_tree"], &["n_neighbors", "p"]),
            ("linfa.k_neighbors_regressor", &["algorithm=ball_tree", "algorithm=linear"], &["leaf_size"]),
            ("linfa.min_max_scaler", &["feature_range_min=-1e150"], &["feature_range_max"]),
            ("native.min_max_scaler", &["feature_range_min=-1e150"], &["feature_range_max"]),
        ] {
            // linfa's solver makes its ten million steps on columns that are not scaled, and says so; that takes longer than a test may.
            let slow = kind.starts_with("linfa.sv")
                && ["0.5", "1", "1000000", "4294967295", "4294967296"].contains(&value);
            if slow {
                continue;
            }
            let names = || names.iter();
            texts.extend(
                choices
                    .iter()
                    .flat_map(|choice| names().map(move |n| format!("{kind}:{choice},{n}={value}"))),
            );
        }
    }
    texts
}

#[test]
fn no_value_of_any_parameter_aborts_panics_or_never_ends() {
    let texts = texts();
    let (send, receive) = mpsc::channel();
    thread::Builder::new()
        .spawn({
            let texts = texts.clone();
            move || {
                let tables = Tables::new();
                for text in texts {
                    // The receiver is gone when it has waited too long.
                    if send.send(tables.attempt(&text)).is_err() {
                        break;
                    }
                }
            }
        })
        .unwrap();
    let mut faults = Vec::new();
    for text in &texts {
        match receive.recv_timeout(TIME_LIMIT) {
            Ok(Err(error)) if error.to_string().contains("panicked") => {
                faults.push(format!("{text}: {error}"))
            }
            Ok(Err(error)) if !text.contains(':') => faults.push(format!("{text}, as it is: {error}")),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => panic!("{text} goes on for more than {TIME_LIMIT:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("{text}: the thread of fits is gone"),
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn what_depends_on_the_table_is_refused_by_the_plan() {
    let tables = Tables::new();
    for text in [
        "linfa.pca:n_components=5 | native.linear_regression",
        "linfa.gaussian_random_projection:n_components=5 | native.linear_regression",
        "linfa.sparse_random_projection:n_components=5 | native.linear_regression",
        "smartcore.pca:n_components=5 | native.linear_regression",
        "smartcore.svd:n_components=4 | native.linear_regression",
        // Behind a projection there are fewer columns.
        "smartcore.svd:n_components=2 | linfa.pca:n_components=3 | native.linear_regression",
        // Half of the rows are left when one fold of two is held out.
        "native.k_neighbors_regressor:n_neighbors=46",
        "linfa.k_neighbors_regressor:n_neighbors=46",
        "smartcore.k_neighbors_regressor:n_neighbors=46",
        "native.standard_scaler | native.k_neighbors_regressor:n_neighbors=46",
    ] {
        let learner = registry().pipeline(text).unwrap();
        let stack = SuperLearner::new(KFold::new(2).exact()).layer(Layer::new().learner("it", learner));
        let error = stack.plan(&tables.wide, &tables.numbers).map(|_| ()).unwrap_err();
        let ErrorKind::Declaration { name, layer: 0, source } = error.kind() else {
            panic!("{text}: {error}")
        };
        assert!(name == "it" && matches!(source.kind(), ErrorKind::Parameter { .. }), "{text}: {error}");
    }
    for text in ["linfa.pca:n_components=4", "native.k_neighbors_regressor:n_neighbors=45"] {
        tables.attempt(text).unwrap();
    }
}
