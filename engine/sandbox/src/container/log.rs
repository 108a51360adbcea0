//! What a container writes, line by line.

use std::fmt;
use std::io::{BufRead, BufReader, PipeReader};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Takes the lines of a container's standard output and standard error, without their line ends.
#[derive(Clone)]
pub struct LogSink(Arc<dyn Fn(&str) + Send + Sync>);

impl LogSink {
    /// A sink that calls a function, from a thread of its own.
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}

/// Passes lines on until every process that could write is dead.
pub(super) fn follow(reader: PipeReader, sink: LogSink) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            (sink.0)(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
            line.clear();
        }
    })
}
