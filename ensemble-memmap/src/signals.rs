//! What a program does about signals: a mapped file that is cut short is told in a sentence, and temporary files are removed.
//!
//! A library does not take over its caller's signals; a program asks for it with [`answer_signals`].

use std::{
    ffi::c_void,
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use ensemble_core::{
    file::temporary_names,
    notice::{Board, Notice},
    quoted,
};

/// The exit code of a process that read a mapped file behind its end.
const CUT_SHORT: i32 = 3;

/// Longest text of a mapping: what it is, and the end of its name.
const LONGEST: usize = 256;

/// All that is mapped now.
static MAPPED: Board<1024, LONGEST> = Board::new();

/// What a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    Input = b'i' as isize,
    Spilled = b's' as isize,
}

/// A mapping told to the handler, until it is dropped: before the pages are unmapped.
#[derive(Debug)]
pub(crate) struct Told {
    _notice: Notice<LONGEST>,
}

/// The addresses of `bytes`.
pub(crate) fn addresses(bytes: &[u8]) -> Range<usize> {
    let range = bytes.as_ptr_range();
    range.start.addr()..range.end.addr()
}

impl Told {
    /// Tell of the mapping behind `range`, which messages call `name`. `None` when more than a thousand are told of.
    pub(crate) fn of(range: Range<usize>, what: Mapped, name: &str) -> Option<Self> {
        // The handler writes the text to a terminal as it stands.
        let shown: String = name.chars().map(|c| quoted(c.encode_utf8(&mut [0; 4]))).collect();
        let mut cut = shown.len().saturating_sub(LONGEST - 1);
        while !shown.is_char_boundary(cut) {
            cut += 1;
        }
        let mut text = vec![what as u8];
        text.extend(&shown.as_bytes()[cut..]);
        // A partial page at the end belongs to the mapping.
        let page = rustix::param::page_size();
        let range = range.start / page * page..range.end.next_multiple_of(page);
        MAPPED.post(range, &text).map(|_notice| Self { _notice })
    }
}

/// Answer signals as a program should whose input is mapped, once, before it starts any thread that may be signalled.
///
/// - **SIGBUS** at an address of a table that is mapped here, which is what reading a file behind its new end gives, and a disk
///   that cannot be read: one sentence on standard error that names the file, and exit code 3. Any other SIGBUS ends
///   the process as ever.
/// - **SIGINT, SIGTERM and SIGHUP**, where they would end the process: temporary files that have a name are removed first.
/// - **SIGXFSZ** is ignored, so that a write beyond the limit on file sizes is an error.
///
/// A library that is part of a larger program leaves that to the program.
pub fn answer_signals() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        BEFORE.get_or_init(|| disposition(libc::SIGBUS));
        answer(libc::SIGBUS, on_bus as *const () as libc::sighandler_t, libc::SA_SIGINFO | libc::SA_ONSTACK);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            // Ignored by whoever started the process, as nohup does: let it stay so.
            if disposition(signal).sa_sigaction == libc::SIG_DFL {
                answer(signal, on_end as *const () as libc::sighandler_t, libc::SA_ONSTACK);
            }
        }
        answer(libc::SIGXFSZ, libc::SIG_IGN, 0);
    });
}

/// What SIGBUS did before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// What `signal` does now.
fn disposition(signal: i32) -> libc::sigaction {
    // SAFETY: `sigaction` is a C struct of integers and nullable function pointers, so all zeros is a value of it. The call
    // reads no new action, which is null, and writes the old one into memory that this frame owns.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut now);
        now
    }
}

/// Let `signal` be answered by `handler`, a function of this module that the flags fit, or by one of libc's constants.
fn answer(signal: i32, handler: libc::sighandler_t, flags: i32) {
    // SAFETY: zeros are a value, as above. The handlers given are `on_bus`, with SA_SIGINFO and its three arguments,
    // `on_end`, without and with its one, and SIG_IGN. Both functions do only what POSIX calls async-signal-safe: they load
    // atomics (`Board::each` and `temporary_names` wait for nothing and allocate nothing, and their slices are on the
    // handler's stack, some 2 KiB, well within the 8 KiB of std's alternate stacks), and call write, unlink, sigaction, raise,
    // pause and _exit. Neither unwinds: nothing they call panics.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

/// Write to standard error, come what may.
fn say(text: &[u8]) {
    // SAFETY: pointer and length are those of a live slice, which `write` only reads; it is async-signal-safe.
    let written = unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    // The exit code still tells when nobody reads standard error.
    let _ = written;
}

/// A sentence made of parts, on the stack, so that one call writes it and no other output falls into it.
struct Sentence {
    bytes: [u8; 2 * LONGEST],
    len: usize,
}

impl Sentence {
    const fn new() -> Self {
        Self { bytes: [0; 2 * LONGEST], len: 0 }
    }

    /// Add a part, as far as there is room for it.
    fn push(&mut self, part: &[u8]) {
        for (slot, byte) in self.bytes.iter_mut().skip(self.len).zip(part) {
            *slot = *byte;
            self.len += 1;
        }
    }

    fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Whether a thread has begun to end the process with a sentence. Others that read the same file fault at the same time.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Remove temporary files that have names.
fn remove_temporary_files() {
    temporary_names(|name| {
        if name.last() == Some(&0) {
            // SAFETY: `name` is live and ends with a zero, so it is a C string; `unlink` only reads it, and is
            // async-signal-safe. A file that has been renamed since is not found under this name.
            unsafe { libc::unlink(name.as_ptr().cast()) };
        }
    });
}

extern "C" fn on_bus(signal: i32, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the handler was set with SA_SIGINFO, so the kernel hands over a valid `siginfo_t`. `si_addr` is meant only where
    // the kernel itself raised the signal for an access, which a positive code says; it is an address that is never read.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    // Memory that was found broken before anybody read it; whoever reads it is told then.
    #[cfg(target_os = "linux")]
    if code == libc::BUS_MCEERR_AO {
        return;
    }
    if code > 0 {
        // An access faulted at `address`. Whoever made it borrows the table, so the table is not being dropped, its text
        // stands on the board as a whole, and no other live mapping has the address.
        let (mut ours, mut sentence) = (false, Sentence::new());
        MAPPED.each(|range, text| {
            if let (false, true, Some((what, name))) = (ours, range.contains(&address), text.split_first()) {
                ours = true;
                sentence.push(b"ensemble: ");
                sentence.push(name);
                sentence.push(if *what == Mapped::Spilled as u8 {
                    b": the disk failed, or is full and keeps no room for files as most file systems do; use another folder for temporary files\n"
                } else {
                    b": the file was cut short while it was read, or its disk failed; what was computed from it is void\n"
                });
            }
        });
        if ours {
            while ENDING.swap(true, Ordering::Relaxed) {
                // Another thread speaks and ends the process; to go on would be to read the file again.
                // SAFETY: `pause` takes nothing and is async-signal-safe.
                unsafe { libc::pause() };
            }
            say(sentence.text());
            remove_temporary_files();
            // SAFETY: ends the process at once and is async-signal-safe.
            unsafe { libc::_exit(CUT_SHORT) };
        }
    }
    if code > 0 {
        // An access to other memory: whoever answered before (std tells overflows of stacks) is asked by the same access again.
        // SAFETY: `sigaction` is async-signal-safe; the action is one that the system gave, and loading it is one atomic load,
        // since it was set before this handler.
        unsafe {
            libc::sigaction(signal, BEFORE.get().map_or(std::ptr::null(), |b| b), std::ptr::null_mut());
        }
    } else {
        // Sent by a process, to end this one.
        end(signal);
    }
}

extern "C" fn on_end(signal: i32) {
    remove_temporary_files();
    end(signal);
}

/// Let `signal` end the process as if nobody answered it, once its handler, which calls this, has returned.
fn end(signal: i32) {
    // SAFETY: zeros are a value of `sigaction`, and its SIG_DFL action; both calls are async-signal-safe. The signal is blocked
    // until its handler returns.
    unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &default, std::ptr::null_mut());
        libc::raise(signal);
    }
}
