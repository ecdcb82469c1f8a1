//! What every learner and transformer of the crate keeps to, over all that is registered.
#![allow(missing_docs, clippy::disallowed_methods)]

mod support;

use ensemble_core::{Access, Built, ErrorKind, MatRef, Order, Predicts, Record};
use support::*;

const N: usize = 160;

#[test]
fn saved_models_predict_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model");
    for (name, learner) in learners() {
        let p = columns_for(name);
        let (x, y, k) = data_for(name, &*learner, N);
        let x = c_order(&x, N, p);
        let model = fit(&*learner, x, &y, k).unwrap_or_else(|e| panic!("{name}: {e}"));
        model.to_record().unwrap().save(&path).unwrap();
        let loaded = registry().load_model(&Record::load(&path).unwrap()).unwrap();
        assert_eq!(predict(&*model, x), predict(&*loaded, x), "{name}");
        assert_eq!((model.n_inputs(), model.n_outputs()), (loaded.n_inputs(), loaded.n_outputs()), "{name}");
        assert!(model.bytes() > 0, "{name}");
    }
    for (name, transformer) in transformers() {
        let x = rows(N, 4, 5);
        let y = numbers(&x, 4);
        let x = c_order(&x, N, 4);
        let map = fit_transform(&*transformer, x, &y).unwrap_or_else(|e| panic!("{name}: {e}"));
        map.to_record().unwrap().save(&path).unwrap();
        let loaded = registry().load_transform(&Record::load(&path).unwrap()).unwrap();
        assert_eq!(transform(&*map, x), transform(&*loaded, x), "{name}");
        assert_eq!(map.n_out(), transformer.n_out(4), "{name}");
    }
}

#[test]
fn fits_are_the_same_bits_from_run_to_run() {
    for (name, learner) in learners() {
        let p = columns_for(name);
        let (x, y, k) = data_for(name, &*learner, N);
        let x = c_order(&x, N, p);
        let first = predict(&*fit(&*learner, x, &y, k).unwrap(), x);
        for _ in 0..20 {
            assert_eq!(predict(&*fit(&*learner, x, &y, k).unwrap(), x), first, "{name}");
        }
    }
}

#[test]
fn a_row_is_predicted_alike_in_any_block_and_order() {
    for (name, learner) in learners() {
        let p = columns_for(name);
        let (x, y, k) = data_for(name, &*learner, N);
        let (flipped, x) = (transposed(&x, N, p), c_order(&x, N, p));
        let model = fit(&*learner, x, &y, k).unwrap();
        let all = predict(&*model, x);
        let outputs = model.n_outputs();
        for rows in [0..1, 3..4, 5..12, 100..N] {
            let part = predict(&*model, x.rows(rows.clone()).unwrap());
            assert_eq!(part, all[rows.start * outputs..rows.end * outputs], "{name}");
        }
        let other = predict(&*model, MatRef::new(&flipped, N, p, Order::F).unwrap());
        for (a, b) in all.iter().zip(&other) {
            assert!((a - b).abs() <= 1e-12 * a.abs().max(1.0), "{name}: {a} {b}");
        }
        assert!(fit(&*learner, x, &y, k).is_ok() && predict(&*model, x.rows(0..0).unwrap()).is_empty());
    }
}

#[test]
fn rows_in_fortran_order_and_with_gaps_give_the_same_model() {
    for (name, learner) in learners() {
        let p = columns_for(name);
        let (x, y, k) = data_for(name, &*learner, N);
        let flipped = transposed(&x, N, p);
        let mut gaps = vec![f64::NAN; N * (p + 3)];
        for (r, row) in x.chunks_exact(p).enumerate() {
            gaps[r * (p + 3)..r * (p + 3) + p].copy_from_slice(row);
        }
        let x = c_order(&x, N, p);
        let all = predict(&*fit(&*learner, x, &y, k).unwrap(), x);
        let strided = MatRef::with_stride(&gaps[..N * (p + 3) - 3], N, p, Order::C, p + 3).unwrap();
        for (what, other) in [("gaps", strided), ("F", MatRef::new(&flipped, N, p, Order::F).unwrap())] {
            let model = fit(&*learner, other, &y, k).unwrap_or_else(|e| panic!("{name} {what}: {e}"));
            for (a, b) in all.iter().zip(predict(&*model, x)) {
                assert!((a - b).abs() <= 1e-6 * a.abs().max(1.0), "{name} {what}: {a} {b}");
            }
        }
    }
}

#[test]
fn values_that_are_not_finite_are_named_before_linfa_sees_them() {
    for (name, learner) in learners() {
        let p = columns_for(name);
        let (x, y, k) = data_for(name, &*learner, N);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut spoilt = x.clone();
            spoilt[7 * p] = bad;
            let error = fit(&*learner, c_order(&spoilt, N, p), &y, k).expect_err(name);
            assert!(
                matches!(error.kind(), ErrorKind::NotFinite { row: 7, column: 0, .. }),
                "{name}: {error}"
            );
            let mut spoilt = y.clone();
            spoilt[9] = bad;
            assert!(fit(&*learner, c_order(&x, N, p), &spoilt, k).is_err(), "{name}");
        }
    }
    for (name, transformer) in transformers() {
        let mut x = rows(N, 4, 5);
        let y = numbers(&x, 4);
        x[7 * 4] = f64::NAN;
        assert!(fit_transform(&*transformer, c_order(&x, N, 4), &y).is_err(), "{name}");
    }
}

#[test]
fn rows_too_few_or_columns_without_news_are_a_model_or_a_sentence_and_never_a_panic() {
    for (name, learner) in learners() {
        let p = columns_for(name);
        let (x, y, k) = data_for(name, &*learner, N);
        assert!(fit(&*learner, c_order(&[], 0, p), &[], k).is_err(), "{name}: no rows");
        assert!(fit(&*learner, c_order(&[], 3, 0), &y[..3], k).is_err(), "{name}: no columns");
        let sound = |what: &str, x: &[f64], y: &[f64]| {
            let x = c_order(x, y.len(), p);
            if let Ok(model) = fit(&*learner, x, y, k) {
                let out = predict(&*model, x);
                assert!(out.iter().all(|v| v.is_finite()), "{name}: {what}: {out:?}");
                if let Some(k) = k {
                    for row in out.chunks_exact(k) {
                        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{name}: {what}: {row:?}");
                    }
                }
            }
        };
        for n in [1, 2, 3, 5, 8] {
            sound("few rows", &x[..n * p], &y[..n]);
        }
        let each = |change: &dyn Fn(usize, usize, f64) -> f64| -> Vec<f64> {
            x.iter().enumerate().map(|(i, v)| change(i / p, i % p, *v)).collect()
        };
        sound("constant column", &each(&|_, c, v| if c == 0 { 7.0 } else { v }), &y);
        sound("column of zeros", &each(&|_, c, v| if c == 0 { 0.0 } else { v }), &y);
        sound("all constant", &each(&|_, _, _| 1.0), &y);
        let twice: Vec<f64> = each(&|r, c, v| if c + 1 == p { x[r * p] } else { v });
        sound("a column twice", &twice, &y);
        let other = if k.is_some() { vec![1.0; N] } else { vec![2.5; N] };
        sound("constant target", &x, &other);
        sound("two values", &each(&|r, _, _| (r % 2) as f64), &y);
    }
    for (name, transformer) in transformers() {
        let y = vec![1.0; N];
        for (n, x) in [(1, vec![1.0, 2.0, 3.0, 4.0]), (N, vec![3.0; 4 * N]), (N, vec![0.0; 4 * N])] {
            let x = c_order(&x, n, 4);
            if let Ok(map) = fit_transform(&*transformer, x, &y[..n]) {
                assert!(transform(&*map, x).iter().all(|v| v.is_finite()), "{name} on {n} rows");
            }
        }
        assert!(fit_transform(&*transformer, c_order(&[], 0, 4), &[]).is_err(), "{name}");
    }
}

#[test]
fn classes_missing_from_the_rows_get_columns_of_zeros_and_one_class_is_certain() {
    for (name, learner) in learners() {
        if !learner.predicts().classifies() {
            continue;
        }
        let (x, y, _) = data_for(name, &*learner, N);
        let x = c_order(&x, N, 4);
        // Classes 1, 3 and 4 of six.
        let y: Vec<f64> = y.iter().map(|c| [1.0, 3.0, 4.0][*c as usize]).collect();
        let out = predict(&*fit(&*learner, x, &y, Some(6)).unwrap(), x);
        for row in out.chunks_exact(6) {
            assert!([0, 2, 5].iter().all(|c| row[*c] == 0.0), "{name}: {row:?}");
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12 && row.iter().all(|v| *v >= 0.0), "{name}");
            if learner.predicts() == Predicts::Votes {
                assert!(row.contains(&1.0), "{name}");
            }
        }
        let right = decided(&out, 6).iter().zip(&y).filter(|(a, b)| **a == **b as usize).count();
        let floor = if name.ends_with("_nb") { N / 3 } else { N * 6 / 10 };
        assert!(right > floor, "{name}: {right} of {N}");
        let one = predict(&*fit(&*learner, x, &vec![2.0; N], Some(4)).unwrap(), x);
        assert!(one.chunks_exact(4).all(|row| row == [0.0, 0.0, 1.0, 0.0]), "{name}");
        assert!(fit(&*learner, x, &y, None).is_err() && fit(&*learner, x, &y, Some(4)).is_err(), "{name}");
    }
}

#[test]
fn each_kind_tells_the_engine_how_it_takes_rows() {
    for (name, learner) in learners() {
        assert_eq!(learner.kind(), name);
        assert_eq!(learner.as_merge().is_some(), learner.access() == Access::Merge, "{name}");
    }
    for kind in registry().kinds() {
        assert!(kind.backend.starts_with("linfa-") && kind.backend.ends_with("0.8.1"), "{}", kind.name);
        assert!(registry().build(&format!("{}:nonsense=1", kind.name)).is_err());
        for parameter in kind.parameters {
            let text = format!("{}:{}={}", kind.name, parameter.name, parameter.default);
            assert!(registry().build(&text).is_ok(), "{text}");
            for alias in parameter.aliases {
                let text = format!("{}:{}={}", kind.name, alias, parameter.default);
                assert!(registry().build(&text).is_ok(), "{text}");
            }
        }
    }
}

#[test]
fn learners_that_iterate_tell_how_they_ended_and_one_that_was_stopped_is_no_error() {
    // A fit at the defaults, and one that is stopped before its end.
    for (kind, stopped) in [
        ("linfa.lasso:alpha=0.001", Some("max_iter=2,tol=1e-9")),
        ("linfa.elastic_net:alpha=0.001", Some("max_iter=2,tol=1e-9")),
        ("linfa.multi_task_elastic_net:alpha=0.001", Some("max_iter=2,tol=1e-9")),
        ("linfa.ridge:alpha=1.0", Some("max_iter=1,tol=1e-12")),
        ("linfa.tweedie_regressor:power=0", Some("max_iter=1,tol=1e-9")),
        ("linfa.tweedie_regressor:power=1", Some("max_iter=1,tol=1e-9")),
        ("linfa.svr:kernel=linear", None),
        ("linfa.svr:kernel=rbf", None),
        ("linfa.svc:kernel=rbf", None),
    ] {
        let build = |text: &str| match registry().build(text).unwrap() {
            Built::Learner(learner) => learner,
            Built::Transformer(_) => unreachable!(),
        };
        let learner = build(kind);
        let p = 4;
        let (x, y, k) = data_for(kind.split(':').next().unwrap(), &*learner, N);
        let x = c_order(&x, N, p);
        let ended =
            fit(&*learner, x, &y, k).unwrap().convergence().unwrap_or_else(|| panic!("{kind}: nothing told"));
        assert!(ended.converged, "{kind}: {ended:?}");
        let Some(parameters) = stopped else { continue };
        let ended = fit(&*build(&format!("{kind},{parameters}")), x, &y, k).unwrap().convergence().unwrap();
        assert!(!ended.converged && ended.gap.is_some(), "{kind}: {ended:?}");
    }
}
