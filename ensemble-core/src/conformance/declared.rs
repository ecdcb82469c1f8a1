//! What a learner says of itself, against what it does.

use super::{
    checks::{Bench, Checked, Family, fail, skip},
    subject::{Fit, Subject},
};
use crate::learner::{estimator::Access, registry::Built};

pub(crate) fn access_agrees_with_merge(bench: &Bench<'_>) -> Checked {
    let (access, merges) = (bench.subject.access(), bench.subject.merges());
    match (access == Access::Merge, merges) {
        (true, false) => fail("access() is Merge, and as_merge() is None"),
        (false, true) => fail(format!("as_merge() is Some, and access() is {access}")),
        _ => Ok(()),
    }
}

pub(crate) fn kind_is_registered(bench: &Bench<'_>) -> Checked {
    if !bench.capabilities.registered {
        return skip("declared unregistered");
    }
    let kind = bench.subject.kind();
    if !bench.suite.registry.kinds().any(|k| k.name == kind) {
        return fail(format!("the registry has no kind '{kind}'"));
    }
    match (bench.suite.registry.build(&kind)?, &bench.subject) {
        (Built::Learner(l), Subject::Learner(_)) if l.kind() == kind => Ok(()),
        (Built::Transformer(t), Subject::Transformer(_)) if t.kind() == kind => Ok(()),
        _ => fail(format!("what the registry makes of '{kind}' is something else")),
    }
}

pub(crate) fn predicts_what_it_says(bench: &Bench<'_>) -> Checked {
    let Subject::Learner(learner) = &bench.subject else { return skip("no learner") };
    let predicts = learner.predicts();
    match (bench.family, predicts.classifies()) {
        (Family::Classifier, false) => return fail("predicts() says numbers: check it by check_estimator"),
        (Family::Regressor, true) => {
            return fail(format!("predicts() says {predicts}: check it by check_classifier"));
        }
        _ => {}
    }
    let fit = bench.fitted()?;
    let want = predicts.columns(bench.problem.n_classes.unwrap_or(0));
    columns(fit, bench.problem.ncols, want)
}

pub(crate) fn columns_out(bench: &Bench<'_>) -> Checked {
    let Subject::Transformer(transformer) = &bench.subject else { return skip("no transformer") };
    columns(bench.fitted()?, bench.problem.ncols, transformer.n_out(bench.problem.ncols))
}

fn columns(fit: &Fit, inputs: usize, outputs: usize) -> Checked {
    if fit.n_inputs() != inputs {
        return fail(format!("fitted on {inputs} columns, it says {}", fit.n_inputs()));
    }
    if fit.n_outputs() != outputs {
        return fail(format!("{outputs} columns were declared, and {} come out", fit.n_outputs()));
    }
    Ok(())
}
