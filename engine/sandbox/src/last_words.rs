//! What the program says when it is about to abort: the stack is used up, or no memory is left.
//!
//! Neither can be caught as an error, but both end in `abort`, whose signal can be: just long enough to say what was being
//! done, and to end with an exit code instead of a signal.
#![expect(unsafe_code, reason = "a signal's handler cannot be set otherwise; each block says why it is sound here")]

use std::sync::OnceLock;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Says what is to be said; the exit code to end with, or none to abort after all.
pub type LastWords = fn() -> Option<u8>;

static WORDS: OnceLock<LastWords> = OnceLock::new();

/// Has the program say this before it aborts. The first call counts.
pub fn before_abort(words: LastWords) {
    if WORDS.set(words).is_err() {
        return;
    }
    let action = SigAction::new(SigHandler::Handler(on_abort), SaFlags::SA_NODEFER, SigSet::empty());
    // SAFETY: the handler is entered on a thread that is about to end, whose state nobody reads any more. It takes no lock
    // that it would have to wait for, writes with plain system calls, and ends the process without running destructors.
    let _ = unsafe { sigaction(Signal::SIGABRT, &action) };
}

extern "C" fn on_abort(_: nix::libc::c_int) {
    if let Some(code) = WORDS.get().and_then(|words| words()) {
        // SAFETY: `_exit` only ends the process.
        unsafe { nix::libc::_exit(code.into()) };
    }
}
