//! The init of a sandbox: what the engine's program does when it is started again with the hidden argument.
//!
//! One process waits for requests and forks ([`forker`]). Each sandbox is two processes more: process 1 of its
//! namespaces builds the file system, supervises, and ends when the engine hangs up; its child becomes the program.
//! Only single-threaded code may live here, since it forks.
#![allow(clippy::disallowed_methods, reason = "init works inside the sandbox, and names the step in each error itself")]

mod executable;
mod forker;
mod namespaces;
mod netlink;
mod network;
mod networks;
mod privileges;
mod program;
mod raw;
mod root;
mod shelf;
mod step;
mod streams;
mod supervisor;

use std::os::fd::AsFd;
use std::process::exit;
use std::sync::atomic::Ordering;

use crate::channel::Channel;
use crate::launcher::{CAN_BE_INIT, INIT_ARGUMENT};

/// Serves as the init of sandboxes if the program was started for that, and then never returns. Must be the first
/// statement of `main`, while the program has one thread.
pub fn init_if_requested() {
    CAN_BE_INIT.store(true, Ordering::SeqCst);
    let requested = std::env::args_os().nth(1).is_some_and(|argument| argument == INIT_ARGUMENT);
    if requested {
        let code = match std::io::stdin().as_fd().try_clone_to_owned() {
            Ok(descriptor) => forker::serve(Channel::from(descriptor)),
            Err(_) => 1,
        };
        exit(code);
    }
}
