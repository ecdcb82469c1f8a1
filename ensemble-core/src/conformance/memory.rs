//! What fits allocate, against what they declare.

use super::{
    COST_SLACK, InMemory,
    capabilities::Values,
    checks::{Bench, Checked, During, fail, skip},
    problem::Problem,
    subject::{Fit, Given},
};
use crate::{
    account::ledger::Bytes,
    data::{mat::Shape, rows::Rows},
    learner::estimator::FitCost,
};

/// Declared costs beyond this many times the measured one are noted.
const GENEROUS: u64 = 4;

/// Most classes of the check that asks for many, and rows for each.
const CLASSES: usize = 100;
const ROWS_PER_CLASS: usize = 10;

/// Bytes by which a fit on many classes may pass its declared cost, when one on two classes keeps to it.
const CLASSES_SLACK: u64 = 1 << 10;

/// One fit, measured.
struct Measured {
    shape: Shape,
    declared: FitCost,
    /// Most bytes at once above those allocated before.
    peak: u64,
    /// Bytes still allocated while the model lives.
    kept: u64,
    fit: Fit,
}

impl Measured {
    fn said(&self, what: &str, measured: u64, declared: u64) -> String {
        let Shape { nrows, ncols } = self.shape;
        format!("{nrows} x {ncols}: {what} {} measured, {} declared", Bytes(measured), Bytes(declared))
    }
}

fn measure(bench: &Bench<'_>, problem: &Problem) -> Checked<Measured> {
    let Some(meter) = bench.suite.meter else { return skip("the suite has no meter") };
    let tables = problem.tables(&InMemory, bench.order())?;
    let rows = Rows::all(problem.nrows());
    let shape = Shape { nrows: problem.nrows(), ncols: problem.ncols };
    let declared = bench.subject.cost(shape, problem.n_classes);
    // What a first call sets up for all others, as pools of threads, is no cost of a fit.
    drop(bench.subject.fit(Given::new(&tables, &rows))?);
    let before = meter.current_bytes();
    meter.reset_peak();
    let fit = bench.subject.fit(Given::new(&tables, &rows))?;
    let (peak, kept) =
        (meter.peak_bytes().saturating_sub(before), meter.current_bytes().saturating_sub(before));
    Ok(Measured { shape, declared, peak, kept, fit })
}

/// A third of the rows, and all.
fn sizes(bench: &Bench<'_>) -> [Problem; 2] {
    let n = bench.problem.nrows();
    [bench.problem.only(|row, _| row < n / 3), bench.problem.clone()]
}

pub(crate) fn allocations_within_cost(bench: &Bench<'_>) -> Checked {
    for problem in sizes(bench) {
        let measured = measure(bench, &problem)?;
        let declared = measured.declared.peak_bytes + measured.declared.model_bytes;
        let said = measured.said("peak", measured.peak, declared);
        if measured.peak > declared + COST_SLACK {
            return fail(said);
        }
        if declared > GENEROUS * measured.peak + COST_SLACK {
            bench.note(format!("cost() is generous: {said}"));
        }
    }
    Ok(())
}

pub(crate) fn model_within_cost(bench: &Bench<'_>) -> Checked {
    for problem in sizes(bench) {
        let measured = measure(bench, &problem)?;
        let declared = measured.declared.model_bytes;
        let said = measured.said("model", measured.kept, declared);
        if measured.kept > declared + COST_SLACK {
            return fail(said);
        }
        if declared > GENEROUS * measured.kept + COST_SLACK {
            bench.note(format!("model_bytes is generous: {said}"));
        }
        if let Fit::Model(model) = &measured.fit
            && model.bytes() > declared + COST_SLACK
        {
            return fail(measured.said("bytes() of the model,", model.bytes(), declared));
        }
    }
    Ok(())
}

/// Rows of `k` classes whose values do not range wider for many: from -1 to 1, or as many counts as three classes have.
fn classes(bench: &Bench<'_>, n: usize, k: usize) -> Problem {
    let (capabilities, k) = (bench.capabilities, k as f64);
    Problem::classes(0..n, k as usize, capabilities).with_x(|_, _, v| match capabilities.values {
        Values::Counts => (v * 3.0 / k).floor(),
        Values::Real | Values::Positive => v / (2.0 * k),
    })
}

pub(crate) fn many_classes_within_cost(bench: &Bench<'_>) -> Checked {
    let n = bench.problem.nrows().min(CLASSES * ROWS_PER_CLASS);
    let k = n / ROWS_PER_CLASS;
    let measure = |k| measure(bench, &classes(bench, n, k)).during(format!("{k} classes"));
    let (two, many) = (measure(2)?, measure(k)?);
    let peak = |m: &Measured| (m.peak, m.declared.peak_bytes + m.declared.model_bytes);
    let model = |m: &Measured| (m.kept, m.declared.model_bytes);
    for (what, two, (measured, declared)) in
        [("peak", peak(&two), peak(&many)), ("model", model(&two), model(&many))]
    {
        // What does not grow with classes, both have.
        let fixed = two.0.saturating_sub(two.1).min(COST_SLACK);
        if measured > declared + fixed + CLASSES_SLACK {
            return fail(format!("{k} classes: {}", many.said(what, measured, declared)));
        }
    }
    Ok(())
}
