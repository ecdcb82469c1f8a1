//! The list of checks, the bench that each of them works on, and how they are run.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, OnceLock, PoisonError, mpsc},
    thread,
};

use super::{
    InMemory, Suite,
    capabilities::Capabilities,
    classes, declared, ensembles, faults, memory,
    outcome::{Outcome, Verdict},
    pipelines, predictions,
    problem::{Problem, Tables},
    rows as rows_checks,
    subject::{Fit, Given, Subject},
};
use crate::{
    data::{
        mat::{MatMut, MatRef, Order},
        rows::Rows,
    },
    error::Error,
    learner::estimator::Access,
};

/// What a check is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Learners that predict numbers.
    Regressor,
    /// Learners that predict probabilities or votes.
    Classifier,
    /// Transformers.
    Transformer,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Regressor => "regressor",
            Family::Classifier => "classifier",
            Family::Transformer => "transformer",
        })
    }
}

/// One check: a name, and the fact it asks for.
#[derive(Clone, Copy)]
pub struct Check {
    name: &'static str,
    fact: &'static str,
    of: &'static [Family],
    run: fn(&Bench<'_>) -> Checked,
}

impl Check {
    /// The name, as [`Capabilities::expect_failure`] takes it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What must hold.
    pub fn fact(&self) -> &'static str {
        self.fact
    }

    /// Whether it is asked of this family.
    pub fn is_for(&self, family: Family) -> bool {
        self.of.contains(&family)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.fact)
    }
}

const ALL: &[Family] = &[Family::Regressor, Family::Classifier, Family::Transformer];
const LEARNERS: &[Family] = &[Family::Regressor, Family::Classifier];
const REGRESSORS: &[Family] = &[Family::Regressor];
const CLASSIFIERS: &[Family] = &[Family::Classifier];
const TRANSFORMERS: &[Family] = &[Family::Transformer];

macro_rules! checks {
    ($($of:ident $module:ident :: $name:ident: $fact:literal,)*) => {
        &[$(Check { name: stringify!($name), fact: $fact, of: $of, run: $module::$name },)*]
    };
}

/// All checks, in the order they run.
pub fn checks() -> &'static [Check] {
    const {
        checks![
            ALL declared::access_agrees_with_merge: "access() is Access::Merge exactly when as_merge() is Some",
            ALL declared::kind_is_registered: "kind() names a kind of the registry, which makes the same kind",
            LEARNERS declared::predicts_what_it_says: "models have the columns that predicts() says, and say their inputs and bytes",
            TRANSFORMERS declared::columns_out: "fitted transformers have the columns that n_out() says",
            ALL rows_checks::runs_are_rows: "two runs of a table give the bits of the same rows in one piece",
            ALL rows_checks::rewired_rows: "pages put side by side give the bits of the same rows in one piece",
            ALL rows_checks::gathered_rows: "a gather gives the bits of the same rows where they lie",
            ALL rows_checks::gaps_are_not_read: "a matrix with a stride gives the bits of the same values without gaps",
            ALL rows_checks::either_order: "C and Fortran order agree, to order_tolerance",
            ALL rows_checks::input_is_unchanged: "fits work on tables of every place and leave every bit of them as it was",
            ALL rows_checks::fits_repeat: "a second fit gives the same bits, and another seed works",
            LEARNERS ensembles::threads_change_nothing: "an ensemble on 1 and on 3 threads gives the same bits",
            LEARNERS ensembles::ensemble_fits_are_direct_fits: "fits that an ensemble makes are those made by hand",
            LEARNERS ensembles::plan_is_ledger: "what an ensemble's plan says is what its ledger says, to the byte",
            LEARNERS pipelines::behind_a_map: "behind an affine map it fits as on rows mapped by hand, and as planned",
            TRANSFORMERS pipelines::before_a_learner: "a learner behind it fits as on rows transformed by hand, and as planned",
            ALL predictions::predictions_are_written: "every value of the buffer is written, and finite",
            ALL predictions::parts_are_the_whole: "a row's prediction does not depend on the rows or the order around it",
            ALL predictions::neighbouring_columns_stay: "predictions can be written between the columns of a wider matrix",
            ALL predictions::concurrent_predictions: "four threads at once get the same bits",
            LEARNERS predictions::linear_form: "as_linear() says what predictions are, always if is_linear()",
            TRANSFORMERS predictions::affine_form: "as_affine() says what transform_block_into does",
            ALL predictions::saved_and_loaded: "a model saved to a file and loaded predicts the same bits",
            LEARNERS predictions::saved_by_reference: "saved with its training rows named by file instead, it predicts the same bits",
            ALL faults::nan_is_handled_as_declared: "NaN among training values is an error in time, or is learned from if so declared",
            ALL faults::infinity_is_refused: "an infinite training value is an error in time",
            LEARNERS faults::nan_targets_are_refused: "a target that is NaN or infinite is an error in time",
            LEARNERS faults::queries_are_checked: "rows to predict from that hold NaN or an infinity are an error by row and column, but for NaN that the model accepts",
            LEARNERS faults::far_rows: "rows far outside the training rows are an error or get finite predictions",
            ALL faults::great_values: "values and targets whose squares overflow or vanish are an error in time, or a model of finite predictions",
            ALL faults::wrong_shapes_are_errors: "predicting from or into the wrong shape is an error",
            ALL faults::no_rows_is_an_error: "a fit on no rows is an error",
            ALL faults::few_rows: "a fit on one or two rows is an error or a model of finite predictions",
            ALL faults::dull_columns: "constant and equal columns are an error or a model of finite predictions",
            REGRESSORS faults::constant_target: "a constant target is an error or a model of finite predictions",
            ALL memory::allocations_within_cost: "a fit allocates no more at once than cost() declares, at two sizes",
            ALL memory::model_within_cost: "a model keeps no more than cost() declares, at two sizes",
            CLASSIFIERS memory::many_classes_within_cost: "a fit on many classes keeps to cost_with_classes() as one on two does",
            REGRESSORS predictions::beats_the_mean: "it predicts new rows of a smooth target better than the mean does",
            CLASSIFIERS classes::separates_blobs: "two and three classes that lie apart are told apart, 9 of 10 at least",
            CLASSIFIERS classes::rows_are_distributions: "probabilities are not negative and sum to 1, votes are a single 1",
            CLASSIFIERS classes::missing_class: "a class without training rows gets 0, and the others are told apart",
            CLASSIFIERS classes::single_class: "training rows of one class give that class for sure",
            CLASSIFIERS classes::class_numbers_are_checked: "targets that are no class numbers, and no number of classes, are errors",
        ]
    }
}

/// Why a check did not pass.
pub(crate) enum Stop {
    Skip(String),
    Fail(String),
}

pub(crate) type Checked<T = ()> = Result<T, Stop>;

pub(crate) fn fail<T>(what: impl Into<String>) -> Checked<T> {
    Err(Stop::Fail(what.into()))
}

pub(crate) fn skip<T>(why: impl Into<String>) -> Checked<T> {
    Err(Stop::Skip(why.into()))
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Fail(error.to_string())
    }
}

/// Says in what a failure happened.
pub(crate) trait During<T> {
    fn during(self, what: impl fmt::Display) -> Checked<T>;
}

impl<T, E: Into<Stop>> During<T> for Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Checked<T> {
        self.map_err(|stop| match stop.into() {
            Stop::Fail(why) => Stop::Fail(format!("{what}: {why}")),
            skip => skip,
        })
    }
}

/// What a check works with: the subject, its capabilities, and tables made for it.
pub(crate) struct Bench<'a> {
    pub(crate) suite: &'a Suite<'a>,
    pub(crate) subject: Subject,
    pub(crate) family: Family,
    pub(crate) capabilities: &'a Capabilities,
    pub(crate) problem: Problem,
    /// Rows that no fit sees.
    pub(crate) probe: Problem,
    fitted: OnceLock<Result<Fit, String>>,
    notes: Mutex<Vec<String>>,
}

/// Rows of the probe: one block and a part of one.
const PROBE_ROWS: usize = 1100;

impl<'a> Bench<'a> {
    fn new(suite: &'a Suite<'a>, subject: Subject, family: Family, capabilities: &'a Capabilities) -> Self {
        let n = capabilities.nrows;
        let make = |rows| match family {
            Family::Classifier => Problem::classes(rows, 3, capabilities),
            Family::Transformer if capabilities.class_target => Problem::classes(rows, 3, capabilities),
            _ => Problem::numbers(rows, capabilities),
        };
        Self {
            suite,
            subject,
            family,
            capabilities,
            problem: make(0..n),
            probe: make(n..n + PROBE_ROWS),
            fitted: OnceLock::new(),
            notes: Mutex::default(),
        }
    }

    /// The order the subject declares, C when it takes any.
    pub(crate) fn order(&self) -> Order {
        match self.subject.access() {
            Access::Contiguous(Some(order)) => order,
            _ => Order::C,
        }
    }

    /// The orders it may be handed rows in.
    pub(crate) fn orders(&self) -> &'static [Order] {
        match self.subject.access() {
            Access::Contiguous(Some(Order::C)) => &[Order::C],
            Access::Contiguous(Some(Order::F)) => &[Order::F],
            _ => &[Order::C, Order::F],
        }
    }

    /// Fit on all rows of a problem in memory.
    pub(crate) fn fit(&self, problem: &Problem) -> Checked<Fit> {
        let tables = problem.tables(&InMemory, self.order())?;
        Ok(self.subject.fit(Given::new(&tables, &Rows::all(problem.nrows())))?)
    }

    /// The fit on all rows of the bench's problem, made once.
    pub(crate) fn fitted(&self) -> Checked<&Fit> {
        let fit = self.fitted.get_or_init(|| match self.fit(&self.problem) {
            Ok(fit) => Ok(fit),
            Err(Stop::Fail(why) | Stop::Skip(why)) => Err(why),
        });
        fit.as_ref().map_err(|why| Stop::Fail(format!("the fit fails: {why}")))
    }

    /// Predictions for the probe.
    pub(crate) fn predictions(&self, fit: &Fit) -> Checked<Vec<f64>> {
        predict(fit, self.probe.mat())
    }

    pub(crate) fn note(&self, text: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// A fit that may never return, on a thread that is left behind then.
    pub(crate) fn fit_in_time(&self, problem: &Problem) -> Checked<Result<Fit, Error>> {
        let tables: Tables = problem.tables(&InMemory, self.order())?;
        let (subject, rows) = (self.subject.clone(), Rows::all(problem.nrows()));
        let (send, receive) = mpsc::channel();
        let fit = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| subject.fit(Given::new(&tables, &rows))));
            // The receiver is gone when time was up.
            let _ = send.send(outcome);
        };
        thread::Builder::new().spawn(fit).map_err(|e| Stop::Fail(format!("no thread: {e}")))?;
        match receive.recv_timeout(self.suite.time_limit) {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(panic)) => fail(format!("panicked: {}", message(panic.as_ref()))),
            Err(_) => fail(format!("hangs: it did not come back in {:?}", self.suite.time_limit)),
        }
    }
}

/// A NaN that no arithmetic makes, to see which values were written.
const UNWRITTEN: u64 = 0x7FF8_DEAD_BEEF_0001;

/// Predict, or transform, into a buffer of its own.
pub(crate) fn predict(fit: &Fit, x: MatRef<'_>) -> Checked<Vec<f64>> {
    let n_outputs = fit.n_outputs();
    let mut out = vec![f64::from_bits(UNWRITTEN); x.nrows() * n_outputs];
    fit.apply_into(x, MatMut::new(&mut out, x.nrows(), n_outputs, Order::C)?)?;
    match out.iter().position(|v| v.to_bits() == UNWRITTEN) {
        Some(at) => fail(format!("row {} of the buffer was not written", at / n_outputs)),
        None => Ok(out),
    }
}

/// That every prediction is finite.
pub(crate) fn finite(predictions: &[f64]) -> Checked {
    match predictions.iter().position(|v| !v.is_finite()) {
        Some(at) => fail(format!("prediction {at} is {}", predictions[at])),
        None => Ok(()),
    }
}

/// That two lists of predictions are the same bits.
pub(crate) fn same_bits(got: &[f64], want: &[f64]) -> Checked {
    if got.len() != want.len() {
        return fail(format!("{} predictions against {}", got.len(), want.len()));
    }
    let differ = |(a, b): (&f64, &f64)| a.to_bits() != b.to_bits();
    match got.iter().zip(want).position(differ) {
        None => Ok(()),
        Some(at) => {
            let count = got.iter().zip(want).filter(|pair| differ(*pair)).count();
            fail(format!(
                "{count} of {} predictions differ, the first at {at}: {:e} against {:e}",
                got.len(),
                got[at],
                want[at]
            ))
        }
    }
}

/// That two lists of predictions agree to a share of the greatest one; to the bit for 0.
pub(crate) fn close(got: &[f64], want: &[f64], tolerance: f64) -> Checked {
    if tolerance == 0.0 || got.len() != want.len() {
        return same_bits(got, want);
    }
    let scale = got.iter().chain(want).fold(0.0_f64, |m, v| m.max(v.abs()));
    let near = |a: f64, b: f64| (a - b).abs() <= tolerance * scale;
    match got.iter().zip(want).position(|(a, b)| !near(*a, *b)) {
        None => Ok(()),
        Some(at) => fail(format!(
            "prediction {at} is {:e} against {:e}: they differ by more than {tolerance:e} of the greatest",
            got[at], want[at]
        )),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    (panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into())
}

/// Run every check of the family.
pub(crate) fn run(
    suite: &Suite<'_>,
    subject: Subject,
    family: Family,
    capabilities: &Capabilities,
) -> Outcome {
    let kind = subject.kind();
    let bench = Bench::new(suite, subject, family, capabilities);
    let mut outcome = Outcome { kind, checks: Vec::new(), notes: Vec::new() };
    for check in checks().iter().filter(|c| c.is_for(family)) {
        let said = catch_unwind(AssertUnwindSafe(|| (check.run)(&bench)))
            .unwrap_or_else(|panic| fail(format!("panicked: {}", message(panic.as_ref()))));
        let expected = capabilities.expected.iter().find(|(name, _)| name == check.name);
        let verdict = match (said, expected) {
            (Ok(()), None) => Verdict::Passed,
            (Ok(()), Some((_, reason))) => Verdict::UnexpectedPass(reason.clone()),
            (Err(Stop::Skip(why)), _) => Verdict::Skipped(why),
            (Err(Stop::Fail(what)), None) => Verdict::Failed(what),
            (Err(Stop::Fail(what)), Some((_, reason))) => {
                Verdict::ExpectedFailure(format!("{reason} (seen: {what})"))
            }
        };
        outcome.checks.push((check.name, verdict));
    }
    for (name, _) in &capabilities.expected {
        if !checks().iter().any(|c| c.name == name && c.is_for(family)) {
            let what = format!("no check of a {family} is called '{name}'");
            outcome.checks.push(("expect_failure", Verdict::Failed(what)));
        }
    }
    outcome.notes = bench.notes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome
}
