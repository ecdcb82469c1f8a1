//! Results against hashes of what they were when the file was written: predictions of held-out folds, of fitted models, and scores,
//! to the last bit, for learners of three backends, ways of cutting, threads and budgets.
//!
//! Sums of products depend on the width of the CPU's vectors, so the hashes are those of one kind of CPU; on another there is nothing to
//! compare with, and the test says so. `ENSEMBLE_WRITE_GOLDEN=1` writes them anew: only where a change of numbers is wanted.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use ensemble::{
    DenseTable, FittedEnsemble, KFold, Layer, MemoryBudget, Order, Registry, SuperLearner, Table,
    memmap::{MappedTable, SpillDir},
    registry,
};

use super::files;

/// FNV-1a of 64 bits.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    fn add(&mut self, value: f64) {
        for byte in value.to_bits().to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

fn machine() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let has = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ];
        let names: Vec<&str> = has.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        format!("x86_64 {}", names.join(" "))
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH.into()
}

fn layer(registry: &Registry, learners: &[(&str, &str)]) -> Layer {
    learners.iter().fold(Layer::new(), |layer, (name, text)| {
        layer.learner(*name, registry.pipeline(text).unwrap_or_else(|e| panic!("{text}: {e}")))
    })
}

/// Name, layers and meta-learner; the target's classes, 0 for numbers.
type Stack = (&'static str, Vec<Vec<(&'static str, &'static str)>>, &'static str, usize);

fn stacks() -> Vec<Stack> {
    vec![
        (
            "merging",
            vec![vec![
                ("lasso", "native.standard_scaler | native.lasso:alpha=0.05"),
                ("net", "native.elastic_net:alpha=0.02"),
                ("ols", "native.linear_regression"),
                ("ridge", "linfa.elastic_net:alpha=0.01,l1_ratio=0.2"),
                ("smart", "smartcore.ridge_regression:alpha=2"),
            ]],
            "native.nnls",
            0,
        ),
        (
            "mixed",
            vec![vec![
                ("knn", "native.min_max_scaler | native.k_neighbors_regressor:n_neighbors=4"),
                ("norm", "native.normalizer | native.ridge"),
                ("linfa", "linfa.k_neighbors_regressor:n_neighbors=3"),
                ("grove", "smartcore.random_forest_regressor:n_estimators=3,max_depth=4"),
                ("few", "smartcore.lasso:alpha=0.1"),
                ("ols", "linfa.linear_regression"),
            ]],
            "native.convex",
            0,
        ),
        (
            "deep",
            vec![
                vec![
                    ("lasso", "native.lasso:alpha=0.05"),
                    ("knn", "native.k_neighbors_regressor"),
                    ("tree", "smartcore.decision_tree_regressor:max_depth=3"),
                ],
                vec![("ridge", "native.ridge"), ("near", "linfa.k_neighbors_regressor:n_neighbors=9")],
            ],
            "native.linear_regression",
            0,
        ),
        (
            "linear",
            vec![
                vec![("ols", "native.linear_regression"), ("lasso", "native.lasso:alpha=0.1")],
                vec![("ridge", "native.ridge:alpha=3"), ("ols", "native.linear_regression")],
            ],
            "native.nnls",
            0,
        ),
        (
            "classes",
            vec![vec![
                ("bayes", "native.gaussian_nb"),
                ("soft", "linfa.multinomial_logistic_regression:max_iter=1000"),
                ("tree", "linfa.decision_tree_classifier:max_depth=4"),
                ("grove", "smartcore.decision_tree_classifier:max_depth=4"),
            ]],
            "native.gaussian_nb",
            3,
        ),
    ]
}

fn hash(fitted: &FittedEnsemble, x: &dyn Table) -> String {
    let mut hash = Hash::new();
    let held_out = fitted.transform().expect("kept");
    for row in 0..held_out.nrows() {
        (0..held_out.ncols()).for_each(|column| hash.add(held_out.get(row, column)));
    }
    fitted.predict(x).expect("predicts").into_iter().for_each(|value| hash.add(value));
    for learner in &fitted.report().unwrap().learners {
        let scores = learner.scores.iter().flat_map(|s| s.cv_rmse_folds.iter().chain([&s.cv_rmse_mean]));
        scores.for_each(|value| hash.add(*value));
    }
    format!("{:016x}", hash.0)
}

#[test]
fn results_are_those_that_were_written_down() {
    const ROWS: usize = 5_500;
    let dir = tempfile::tempdir().unwrap();
    let (xp, yp) = files::friedman(dir.path(), ROWS, 6, Order::C);
    let (x, numbers) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let thirds = numbers.as_mat().column(0).unwrap().iter().map(|y| (y / 8.0).floor().clamp(0.0, 2.0));
    let classes = DenseTable::column(thirds.collect());
    let registry = registry();
    let mut found = BTreeMap::new();
    for (name, layers, meta, n_classes) in stacks() {
        let target: &dyn Table = if n_classes > 0 { &classes } else { &numbers };
        for k in [2, 3, 10] {
            let cuts = [
                ("exact", KFold::new(k).exact()),
                ("aligned", KFold::new(k).page_aligned()),
                ("shuffled", KFold::new(k).shuffle(5)),
            ];
            for (cut, folds) in cuts {
                let label = format!("{name}, K = {k}, {cut}");
                let stack = layers
                    .iter()
                    .fold(SuperLearner::new(folds), |stack, learners| stack.layer(layer(&registry, learners)))
                    .meta(registry.pipeline(meta).unwrap())
                    .keep_out_of_fold()
                    .seed(3);
                let fit = |threads: usize, budget: MemoryBudget| {
                    let stack = stack.clone().threads(threads).budget(budget);
                    let fitted = stack.scratch(Arc::new(SpillDir::new(dir.path()))).fit(&x, target);
                    let fitted = fitted.unwrap_or_else(|e| panic!("{label}: {e}"));
                    assert!(fitted.report().unwrap().as_planned, "{label}");
                    hash(&fitted, &x)
                };
                let one = fit(1, MemoryBudget::unlimited());
                assert_eq!(fit(2, MemoryBudget::unlimited()), one, "{label}, 2 threads");
                if k == 3 {
                    assert_eq!(fit(8, MemoryBudget::unlimited()), one, "{label}, 8 threads");
                    assert_eq!(fit(2, MemoryBudget::bytes(64 << 20)), one, "{label}, a budget");
                }
                found.insert(label, one);
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backends/golden.json");
    if std::env::var_os("ENSEMBLE_WRITE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&(machine(), &found)).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
        return;
    }
    let (of, want): (String, BTreeMap<String, String>) =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    if of == machine() {
        assert_eq!(found, want);
    } else {
        println!("hashes are of {of}, this is {}: nothing to compare with", machine());
    }
}
