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

/// The most bytes of a line that are passed on. What a line has beyond is dropped: a container cannot fill memory.
const LONGEST: usize = 16 * 1024;

/// Passes lines on until every process that could write is dead.
pub(super) fn follow(reader: PipeReader, sink: LogSink) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        while let Some(line) = next_line(&mut reader) {
            (sink.0)(&line);
        }
    })
}

/// The next line without its end, and without what it has beyond [`LONGEST`]; `None` at the end.
fn next_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let (mut dropped, mut ended) = (0, false);
    // What cannot be read any more has ended.
    while let Ok(piece) = reader.fill_buf()
        && !piece.is_empty()
    {
        let end = piece.iter().position(|byte| *byte == b'\n');
        let content = &piece[..end.unwrap_or(piece.len())];
        let kept = content.len().min(LONGEST - line.len());
        line.extend_from_slice(&content[..kept]);
        dropped += content.len() - kept;
        let used = end.map_or(piece.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            ended = true;
            break;
        }
    }
    if !ended && line.is_empty() {
        return None;
    }
    let mut text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
    if dropped > 0 {
        text += &format!(" ... ({dropped} more bytes)");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_end_is_cut() {
        let long = "x".repeat(3 * LONGEST);
        let text = format!("first\r\n\n{long}\nlast");
        let mut reader = BufReader::new(text.as_bytes());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut reader) {
            lines.push(line);
        }
        let cut = format!("{} ... ({} more bytes)", "x".repeat(LONGEST), 2 * LONGEST);
        assert_eq!(lines, ["first", "", &cut, "last"]);
    }
}
