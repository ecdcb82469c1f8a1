//! The pool that everything runs on: the one the caller is in, or rayon's global one, which is started here so that a thread that
//! the system refuses is an error and no panic.

use std::{env, error::Error as _, sync::OnceLock};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// More threads than any machine has cores; far more would hang the system that starts them.
const MAX_THREADS: usize = 4096;

/// Make the calling thread and `threads - 1` others rayon's global pool, for programs: everything they do then runs on it, and one
/// thread needs no other. Without a number, `RAYON_NUM_THREADS` or the number of cores decides. Returns how many there are.
///
/// # Errors
/// For no thread or more than 4,096, and when the system refuses one; when there is a global pool already.
///
/// ```no_run
/// assert_eq!(ensemble_core::start_threads(Some(1))?, 1);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
pub fn start_threads(threads: Option<usize>) -> Result<usize> {
    let asked = threads.or_else(from_environment);
    let threads = asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    check(threads)?;
    let built = ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global();
    built.map_err(|e| refused(threads, &e))?;
    Ok(threads)
}

/// A pool of `threads` threads.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool> {
    check(threads)?;
    ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| refused(threads, &e))
}

/// # Errors
/// For a number of threads that no pool may have.
pub(crate) fn check(threads: usize) -> Result<()> {
    if (1..=MAX_THREADS).contains(&threads) {
        return Ok(());
    }
    Err(Error::unsupported(format!("{threads} threads were asked for; use 1 to {MAX_THREADS}")))
}

/// See to it that there is a pool to run on, before anything asks rayon for it: rayon itself panics when it cannot start one.
///
/// # Errors
/// When the system refuses a thread of the global pool.
pub(crate) fn ready() -> Result<()> {
    if rayon::current_thread_index().is_some() {
        return Ok(());
    }
    static GLOBAL: OnceLock<Option<String>> = OnceLock::new();
    let refusal = GLOBAL.get_or_init(|| {
        let threads = from_environment().map_or(0, |threads| threads.min(MAX_THREADS));
        let built = ThreadPoolBuilder::new().num_threads(threads).build_global();
        // That there is one already is as good.
        built.err().filter(|e| e.source().is_some()).map(|e| e.to_string())
    });
    match refusal {
        None => Ok(()),
        Some(reason) => Err(Error::unsupported(format!(
            "cannot start the threads of rayon's global pool: {reason}; set RAYON_NUM_THREADS lower"
        ))),
    }
}

/// What `RAYON_NUM_THREADS` asks for; 0 leaves the choice to rayon.
fn from_environment() -> Option<usize> {
    env::var("RAYON_NUM_THREADS").ok()?.trim().parse().ok().filter(|threads| *threads > 0)
}

fn refused(threads: usize, error: &ThreadPoolBuildError) -> Error {
    Error::unsupported(format!("cannot start {threads} threads: {error}; use fewer"))
}
