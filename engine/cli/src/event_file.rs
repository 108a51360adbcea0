//! `--event_file`: every event as one line of JSON, for other programs.

use std::fs::File;
use std::io::{LineWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use host::fs::FileError;
use model::{Event, Reporter};

/// Writes events to a file: `{"ActionFinished": {...}, "seconds": 1.25}`, the seconds since the start of the command.
pub struct EventFile {
    out: Mutex<LineWriter<File>>,
    started: Instant,
}

/// Passes each event to several reporters.
pub struct Fan(pub Vec<Arc<dyn Reporter>>);

impl EventFile {
    /// Creates or truncates the file.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        Ok(Self { out: Mutex::new(LineWriter::new(host::fs::create(path)?)), started: Instant::now() })
    }
}

impl Reporter for EventFile {
    fn report(&self, event: Event) {
        let Ok(serde_json::Value::Object(mut line)) = serde_json::to_value(&event) else { return };
        line.insert("seconds".to_owned(), self.started.elapsed().as_secs_f64().into());
        let line = serde_json::Value::Object(line);
        // A full disk must not end the build; the file then ends early, which its reader sees.
        let _ = writeln!(self.out.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
    }
}

impl Reporter for Fan {
    fn report(&self, event: Event) {
        if let Some((last, others)) = self.0.split_last() {
            others.iter().for_each(|reporter| reporter.report(event.clone()));
            last.report(event);
        }
    }
}
