//! Whether an error says what, where and what to type next.

use std::path::Path;

use crate::attempt::Outcome;

/// How the system calls what happened.
const REASONS: [&str; 6] = [
    "No space left on device",
    "Disk quota exceeded",
    "Too many open files",
    "Input/output error",
    "Read-only file system",
    "Bad file descriptor",
];

/// The reason, a place in the try's folder or a label, and a hint; and nothing that is a defect's.
pub fn is_clear(text: &str, folder: &Path) -> Outcome {
    let misses = |what: &str| Err(format!("the message {what}:\n{text}"));
    if text.contains("panicked") || text.contains("defect of `build`") {
        return misses("is that of a defect");
    }
    if !REASONS.iter().any(|reason| text.contains(reason)) {
        return misses("gives no reason");
    }
    let folder = folder.to_string_lossy();
    let places = [&*folder, "//", "the threads of `build`"];
    if !places.iter().any(|place| text.contains(place)) {
        return misses("names no place");
    }
    if !text.contains("hint: ") {
        return misses("does not say what to type");
    }
    Ok(())
}
