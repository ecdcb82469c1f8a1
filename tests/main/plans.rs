//! The ledger is the plan, to the byte, for every mix of learners, folds, orders, scratch rooms and budgets; and the smallest
//! tables are no special case.

use std::sync::Arc;

use ensemble::{
    DenseTable, ErrorKind, Estimator, Heap, KFold, Layer, MemoryBudget, Order, Pipeline, Scratch,
    SuperLearner, Table,
    memmap::{MappedTable, SpillDir},
    native::{Norm, Normalizer},
    registry,
};

use crate::support::{Runs, WholeMatrix, files::friedman};

fn learner(name: &str) -> Arc<dyn Estimator> {
    match name {
        "whole" => Arc::new(WholeMatrix(None)),
        "whole C" => Arc::new(WholeMatrix(Some(Order::C))),
        "whole F" => Arc::new(WholeMatrix(Some(Order::F))),
        "runs" => Arc::new(Runs),
        "normalized whole" => Arc::new(Pipeline::new(
            vec![Arc::new(Normalizer::new(Norm::L2))],
            Arc::new(WholeMatrix(Some(Order::F))),
        )),
        "twice normalized" => {
            Arc::new(Pipeline::new(vec![Arc::new(Normalizer::new(Norm::L1))], learner("normalized whole")))
        }
        "bare" => Arc::new(Pipeline::new(Vec::new(), Arc::new(WholeMatrix(None)))),
        "normalized runs" => {
            Arc::new(Pipeline::new(vec![Arc::new(Normalizer::new(Norm::L1))], Arc::new(Runs)))
        }
        pipeline => registry().pipeline(pipeline).unwrap(),
    }
}

const LAYERS: [&[&[&str]]; 6] = [
    &[&["whole", "whole F", "runs", "native.ridge"], &["whole", "native.lasso:alpha=0.01"]],
    &[
        &["native.k_neighbors_regressor", "normalized whole", "whole C"],
        &["runs", "native.k_neighbors_regressor:n_neighbors=3"],
    ],
    &[
        &["native.linear_regression", "native.standard_scaler | native.ridge"],
        &["native.min_max_scaler | native.ridge", "native.ridge"],
    ],
    &[
        &["normalized runs", "native.normalizer | native.ridge"],
        &["native.normalizer | native.linear_regression", "whole F"],
    ],
    &[
        &["native.mean", "native.min_max_scaler | native.lasso:alpha=0.01", "bare"],
        &["whole", "twice normalized"],
    ],
    &[
        &["native.standard_scaler | native.k_neighbors_regressor", "native.ridge"],
        &["native.ridge", "native.mean"],
    ],
];

#[test]
fn the_ledger_is_the_plan_for_every_mix() {
    let dir = tempfile::tempdir().unwrap();
    for order in [Order::C, Order::F] {
        let (xp, yp) = friedman(dir.path(), 4_200, 5, order);
        let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
        let folds = [
            KFold::new(3),
            KFold::new(4).page_aligned(),
            KFold::new(3).shuffle(1),
            KFold::new(3).page_aligned().shuffle(2),
        ];
        for (layers, folds) in LAYERS.iter().flat_map(|l| folds.iter().map(move |f| (*l, *f))) {
            let mut first: Option<Vec<f64>> = None;
            for (spill, budget, meta_score, keep) in [
                (false, None, true, false),
                (true, None, true, true),
                (true, Some(3 << 20), true, false),
                (true, Some(1 << 20), false, true),
            ] {
                let room: Arc<dyn Scratch> = if spill { Arc::new(SpillDir::temp()) } else { Arc::new(Heap) };
                let mut stack = SuperLearner::new(folds).scratch(room).threads(2);
                for names in layers {
                    let mut layer = Layer::new();
                    for name in *names {
                        layer = layer.learner(*name, learner(name));
                    }
                    stack = stack.layer(layer);
                }
                stack = stack.meta(learner("native.nnls"));
                if let Some(bytes) = budget {
                    stack = stack.budget(MemoryBudget::bytes(bytes));
                }
                if !meta_score {
                    stack = stack.without_meta_score();
                }
                if keep {
                    stack = stack.keep_out_of_fold();
                }
                let what =
                    format!("{layers:?} {folds:?} {order:?} spill={spill} budget={budget:?} keep={keep}");
                let plan = stack.plan(&x, &y).unwrap_or_else(|e| panic!("{what}: {e}"));
                let fitted = stack.fit(&x, &y).unwrap_or_else(|e| panic!("{what}: {e}"));
                let report = fitted.report().unwrap();
                assert_eq!(report.copies(), plan.copies(), "{what}\n{plan}");
                assert!(report.as_planned);
                assert_eq!(fitted.transform().is_ok(), keep, "{what}");
                let predictions = fitted.predict(&x).unwrap();
                match &first {
                    None => first = Some(predictions),
                    Some(first) => assert_eq!(first, &predictions, "{what}: the same bits"),
                }
            }
        }
    }
}

#[test]
fn the_smallest_tables_fit_or_are_refused_with_a_sentence() {
    let kinds = [
        "native.linear_regression",
        "native.ridge",
        "native.lasso",
        "native.nnls",
        "native.convex",
        "native.mean",
        "runs",
        "whole",
    ];
    for (nrows, ncols, k) in [(2, 1, 2), (3, 1, 3), (3, 4, 2), (5, 5, 5), (40, 1, 40), (1, 1, 2)] {
        for constant in [false, true] {
            let value = |i: usize| if constant { 3.0 } else { ((i * 37) % 11) as f64 };
            let x = DenseTable::new((0..nrows * ncols).map(value).collect(), nrows, ncols, Order::C).unwrap();
            let y = DenseTable::column((0..nrows).map(|i| i as f64).collect());
            for kind in kinds {
                for before in ["", "native.standard_scaler | ", "native.min_max_scaler | "] {
                    if !before.is_empty() && !kind.starts_with("native") {
                        continue;
                    }
                    let layer = Layer::new()
                        .learner("a", learner(&format!("{before}{kind}")))
                        .learner("b", learner("native.mean"));
                    let stack = SuperLearner::new(KFold::new(k)).layer(layer).meta(learner("native.nnls"));
                    match stack.fit(&x, &y) {
                        Ok(fitted) => {
                            assert!(fitted.report().unwrap().as_planned);
                            let all = fitted.predict(&x).unwrap();
                            assert!(
                                all.iter().all(|v| v.is_finite()),
                                "{before}{kind} {nrows}x{ncols}: {all:?}"
                            );
                        }
                        Err(error) => assert!(nrows == 1, "{before}{kind} {nrows}x{ncols} K={k}: {error}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_case_without_transformers_copies_nothing_and_junctions_count_against_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let (xp, yp) = friedman(dir.path(), 8_200, 200, Order::F);
    let (x, y) = (MappedTable::open_npy(&xp).unwrap(), MappedTable::open_npy(&yp).unwrap());
    let stack = |folds| SuperLearner::new(folds).layer(Layer::new().learner("bare", learner("bare")));
    let fitted = stack(KFold::new(8).page_aligned()).fit(&x, &y).unwrap();
    assert_eq!(fitted.report().unwrap().totals.transformed_bytes, 0);
    let all = fitted.report().unwrap().totals.rewired_bytes_copied;
    assert!(all > 6 * 190 * 4096, "every middle fold has a junction in nearly every column");
    let bounded = stack(KFold::new(8).page_aligned()).budget(MemoryBudget::bytes(2 << 20));
    let plan = bounded.plan(&x, &y).unwrap();
    assert!(plan.peak_bytes() <= 2 << 20 && plan.totals().rewired_bytes_copied == all);
    assert!(stack(KFold::new(8).page_aligned()).plan(&x, &y).unwrap().peak_bytes() >= all);
}

#[test]
fn a_plan_beyond_all_memory_is_a_sentence_and_no_abort() {
    // 8 x 60,000 values are 3.8 MB; one state of their cross-products is 28.8 GB, and a fit has many.
    for (nrows, ncols) in [(8, 60_000), (2, 306_933)] {
        let x = DenseTable::new(vec![1.0; nrows * ncols], nrows, ncols, Order::C).unwrap();
        let y = DenseTable::column((0..nrows).map(|row| row as f64).collect());
        for text in [
            "native.linear_regression",
            "native.lasso:alpha=0.1",
            "native.nnls",
            "native.standard_scaler | native.ridge",
            "native.normalizer | native.ridge",
        ] {
            let layer = || Layer::new().learner("wide", registry().pipeline(text).unwrap());
            let learner = || SuperLearner::new(KFold::new(2)).layer(layer()).threads(2);
            let plan = |learner: SuperLearner| learner.plan(&x, &y).map(|plan| plan.peak_bytes());
            let bounded = learner().budget(MemoryBudget::bytes(1 << 30));
            // Behind a map that is not affine every fit has its own states, which it declares.
            match plan(bounded).unwrap_err().kind() {
                ErrorKind::Budget { need, .. } => assert!(*need > 8 * (ncols as u64).pow(2), "{text} {need}"),
                other => panic!("{text}: {other:?}"),
            }
            // No machine that this runs on has the terabytes that the wider one needs.
            let told = std::fs::read_to_string("/proc/meminfo").is_ok_and(|t| t.contains("MemAvailable:"));
            if nrows == 2 && told {
                let error = plan(learner()).unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Memory { .. }), "{text}: {error}");
                assert!(error.to_string().contains("TiB at once and "), "{text}: {error}");
                assert!(learner().fit(&x, &y).is_err());
            }
        }
    }
}

#[test]
fn folds_are_the_same_in_memory_and_mapped_and_follow_from_the_learners() {
    let folder = tempfile::tempdir().unwrap();
    let (xp, yp) = friedman(folder.path(), 110_000, 5, Order::C);
    let (x, y) = (MappedTable::open_npy(xp).unwrap(), MappedTable::open_npy(yp).unwrap());
    let memory = DenseTable::new(x.as_mat().data().to_vec(), 110_000, 5, Order::C).unwrap();
    let sizes = |names: [&str; 2]| {
        let stack = SuperLearner::new(KFold::new(4))
            .layer(Layer::new().learner("a", learner(names[0])))
            .meta(learner(names[1]));
        let sizes = stack.plan(&x, &y).unwrap().design().predicted_sizes();
        assert_eq!(stack.plan(&memory, &y).unwrap().design().predicted_sizes(), sizes, "{names:?}");
        sizes
    };
    for exact in ["native.ridge", "runs", "native.k_neighbors_regressor", "normalized whole"] {
        assert_eq!(sizes([exact, "native.nnls"]), [27_500; 4], "{exact}");
    }
    for whole in ["whole", "whole C", "whole F", "bare"] {
        let moved = [27_648, 27_136, 27_648, 27_568];
        assert_eq!(sizes([whole, "native.nnls"]), moved, "{whole}");
        assert_eq!(sizes(["native.ridge", whole]), moved, "{whole}");
    }
}
