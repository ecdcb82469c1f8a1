//! Calls that may recurse as deep as a table has rows, on a stack of their own.

use std::thread;

use crate::error::{Error, Result};

/// Run `call` on a thread of its own with `bytes` of stack, and wait for it. Address space is reserved at once, memory only as the
/// stack grows into it. A panic goes on in the caller.
///
/// For backends that recurse once per row or per node: a stack that overflows ends the process, and nothing can catch that.
///
/// # Errors
/// When the thread cannot be started, or whatever `call` returns.
///
/// ```
/// fn depth(n: u64) -> u64 { if n == 0 { 0 } else { 1 + std::hint::black_box(depth(n - 1)) } }
/// assert_eq!(ensemble_core::on_stack(256 << 20, || Ok(depth(1_000_000)))?, 1_000_000);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
pub fn on_stack<T: Send>(bytes: usize, call: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let started = thread::Builder::new().stack_size(bytes).spawn_scoped(scope, call);
        let thread = started.map_err(|e| {
            Error::unsupported(format!("cannot start a thread with {bytes} bytes of stack: {e}"))
        })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
