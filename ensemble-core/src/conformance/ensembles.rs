//! A learner inside a super learner of three folds.

use super::{
    InMemory, Place,
    checks::{Bench, Checked, During, close, fail, predict, same_bits, skip},
    problem::Tables,
    subject::{Fit, Given, Subject},
};
use crate::{
    account::ledger::Totals,
    data::{
        mat::{MatRef, Order},
        rows::Rows,
    },
    design::schemes::kfold::KFold,
    ensemble::{builder::SuperLearner, fitted::FittedEnsemble},
    learner::estimator::Access,
    learner::layer::Layer,
};

const FOLDS: usize = 3;

fn ensemble(bench: &Bench<'_>, folds: KFold) -> Checked<SuperLearner> {
    let Subject::Learner(learner) = &bench.subject else { return skip("no learner") };
    Ok(SuperLearner::new(folds).layer(Layer::new().learner("learner", learner.clone())).keep_out_of_fold())
}

fn fit(learner: &SuperLearner, tables: &Tables) -> Checked<FittedEnsemble> {
    Ok(learner.fit(tables.x.as_ref(), tables.y.as_ref())?)
}

/// Predictions of the model fitted on all rows.
fn final_predictions(bench: &Bench<'_>, fitted: &FittedEnsemble) -> Checked<Vec<f64>> {
    let x = bench.probe.mat();
    Ok(if fitted.classifies() { fitted.predict_proba(x)? } else { fitted.predict(x)? })
}

pub(crate) fn threads_change_nothing(bench: &Bench<'_>) -> Checked {
    let tables = bench.problem.tables(&InMemory, bench.order())?;
    let on = |threads| -> Checked<(Vec<f64>, Vec<f64>)> {
        let fitted = fit(&ensemble(bench, KFold::new(FOLDS).exact())?.threads(threads), &tables)?;
        let out_of_fold = fitted.transform()?.data().into();
        Ok((out_of_fold, final_predictions(bench, &fitted)?))
    };
    let (one, three) = (on(1).during("1 thread")?, on(3).during("3 threads")?);
    same_bits(&three.0, &one.0).during("out-of-fold predictions")?;
    same_bits(&three.1, &one.1).during("predictions of the fit on all rows")
}

pub(crate) fn ensemble_fits_are_direct_fits(bench: &Bench<'_>) -> Checked {
    let tables = bench.problem.tables(&InMemory, bench.order())?;
    let all = Rows::all(bench.problem.nrows());
    let direct = bench.predictions(bench.fitted()?)?;
    let other_seed = bench.subject.fit(Given { seed: 2, ..Given::new(&tables, &all) })?;
    if same_bits(&bench.predictions(&other_seed)?, &direct).is_err() {
        return skip("its fits depend on the seed, and an ensemble's seeds are its own");
    }
    // States merged fold by fold are the same sums in another order.
    let tolerance = if bench.subject.merges() { bench.capabilities.order_tolerance.max(1e-8) } else { 0.0 };
    let fitted = fit(&ensemble(bench, KFold::new(FOLDS).exact())?, &tables)?;
    close(&final_predictions(bench, &fitted)?, &direct, tolerance).during("the fit on all rows")?;

    let sizes = &fitted.report().expect("a fit has a report").fold_sizes;
    let held_out = sizes[0]..sizes[0] + sizes[1];
    let by_hand: Fit = if let Access::Contiguous(_) = bench.subject.access() {
        bench.fit(&bench.problem.only(|row, _| !held_out.contains(&row)))?
    } else {
        bench.subject.fit(Given::new(&tables, &Rows::all_but(bench.problem.nrows(), held_out.clone())?))?
    };
    let x = tables.x.as_mat().rows(held_out.clone())?;
    let out_of_fold: MatRef<'_> = fitted.transform()?.rows(held_out)?;
    close(out_of_fold.data(), &predict(&by_hand, x)?, tolerance).during("the fit without the second fold")
}

pub(crate) fn plan_is_ledger(bench: &Bench<'_>) -> Checked {
    let on = |place: &dyn Place, order: Order, folds: KFold| -> Checked {
        let tables = bench.problem.tables(place, order)?;
        let learner = ensemble(bench, folds)?;
        let plan = learner.plan(tables.x.as_ref(), tables.y.as_ref())?;
        let fitted = fit(&learner, &tables)?;
        let report = fitted.report().expect("a fit has a report");
        if !report.as_planned {
            return fail(format!("planned {:?}, done {:?}", plan.copies(), report.copies()));
        }
        // An ill-conditioned fit may ask for one more pass.
        let copies = |totals: Totals| Totals { data_passes: 0, ..totals };
        if copies(plan.totals()) != copies(report.totals) {
            return fail(format!("planned {:?}, done {:?}", plan.totals(), report.totals));
        }
        Ok(())
    };
    for place in &bench.suite.places {
        let said = |order, folds| format!("{folds} folds, {order:?} order, in {}", place.name());
        let exact = KFold::new(FOLDS).exact();
        on(*place, Order::C, exact).during(said(Order::C, "exact"))?;
        if bench.problem.has_pages() {
            for order in [Order::C, Order::F] {
                let aligned = KFold::new(FOLDS).page_aligned();
                on(*place, order, aligned).during(said(order, "page-aligned"))?;
            }
        }
    }
    Ok(())
}
