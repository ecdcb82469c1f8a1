//! Calls that may recurse as deep as a table has rows, on a stack of their own.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use crate::error::{Error, Result};

/// Run `call` on `bytes` of fresh stack, on the thread that asks: a worker of a thread pool stays that worker, so that `call` may
/// use the pool itself. Address space is reserved at once, memory only as the stack grows into it. A panic goes on in the caller.
///
/// For backends that recurse once per row or per node: a stack that overflows ends the process, and nothing can catch that.
///
/// # Errors
/// When the address space cannot be had, or whatever `call` returns.
///
/// ```
/// fn depth(n: u64) -> u64 { if n == 0 { 0 } else { 1 + std::hint::black_box(depth(n - 1)) } }
/// assert_eq!(ensemble_core::on_stack(256 << 20, || Ok(depth(1_000_000)))?, 1_000_000);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
pub fn on_stack<T>(bytes: usize, call: impl FnOnce() -> Result<T>) -> Result<T> {
    let begun = Cell::new(false);
    let run = || {
        begun.set(true);
        call()
    };
    // A stack that cannot be had is a panic before the call.
    catch_unwind(AssertUnwindSafe(|| stacker::grow(bytes, run))).unwrap_or_else(|panic| {
        if begun.get() {
            resume_unwind(panic);
        }
        Err(Error::unsupported(format!("there is no address space for a stack of {bytes} bytes")))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        data::{
            mat::{Order, Shape},
            table::DenseTable,
        },
        design::schemes::kfold::KFold,
        ensemble::builder::SuperLearner,
        learner::layer::Layer,
        learner::{
            estimator::{Access, Estimator, FitContext, FitCost, Train},
            model::{LinearModel, Model},
        },
    };

    /// Uses the pool from a deep stack, as a backend may.
    struct Joins;

    impl Estimator for Joins {
        fn kind(&self) -> String {
            "test.joins".into()
        }
        fn access(&self) -> Access {
            Access::Segments
        }
        fn cost(&self, _train: Shape) -> FitCost {
            FitCost::default()
        }
        fn fit_rows(&self, train: &Train<'_>, _cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
            let worker = rayon::current_thread_index();
            assert!(worker.is_some(), "a fit runs on a worker of the pool");
            let halves = on_stack(64 << 20, || {
                assert_eq!(rayon::current_thread_index(), worker, "the stack is the worker's own");
                assert_eq!(rayon::current_num_threads(), 2, "and its pool the fit's");
                Ok(rayon::join(|| 1.0, || rayon::join(|| 1.0, || 1.0)))
            })?;
            Ok(Arc::new(LinearModel::new("test.joins", vec![0.0; train.shape().ncols], halves.0)))
        }
    }

    #[test]
    fn a_fit_may_use_the_pool_on_a_stack_of_its_own() {
        let x = DenseTable::new((0..80).map(f64::from).collect(), 40, 2, Order::C).unwrap();
        let y = DenseTable::column((0..40).map(f64::from).collect());
        let layer = Layer::new().learner("a", Joins).learner("b", Joins).learner("c", Joins);
        let learner = SuperLearner::new(KFold::new(4)).layer(layer).meta(Joins).threads(2);
        assert_eq!(learner.fit(&x, &y).unwrap().predict(&x).unwrap()[0], 1.0);
    }

    #[test]
    fn errors_and_panics_come_back_and_no_room_is_an_error() {
        assert!(on_stack(1 << 20, || Err::<(), _>(Error::unsupported("so"))).is_err());
        let panic = catch_unwind(|| on_stack(1 << 20, || -> Result<()> { panic!("in there") }));
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"in there"));
        let error = on_stack(usize::MAX / 4, || Ok(())).unwrap_err();
        assert!(error.to_string().contains("no address space for a stack"), "{error}");
    }
}
