//! The machine: files, environment, processes, clock. The only caller of `std::fs`, `std::env` and `std::process::Command`.
//!
//! Thin on purpose: each function names the path in its error, and nothing here knows what a build is.

#![allow(clippy::disallowed_methods, reason = "this crate is where they belong")]

pub mod clock;
pub mod env;
pub mod faults;
pub mod foreign;
pub mod fs;
pub mod lock;
pub mod memory;
pub mod mounts;
pub mod port;
pub mod process;
pub mod remedy;
