//! The clock. Time never enters a key.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch.
pub fn now() -> i128 {
    nanoseconds(SystemTime::now())
}

/// A time of a file in nanoseconds since the epoch; zero if it is before.
pub(crate) fn nanoseconds(time: SystemTime) -> i128 {
    time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| i128::try_from(elapsed.as_nanos()).unwrap_or(i128::MAX))
}

/// How long the machine has been up, the time it slept included. Never goes back, and no one can set it.
///
/// The monotonic clock of the standard library stands still while a laptop's lid is closed; who measures how long
/// others may have waited needs a clock that does not.
pub fn boot() -> Duration {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_whitespace().next().and_then(|text| text.parse().ok());
    seconds.map_or_else(since_first_asked, Duration::from_secs_f64)
}

/// Where the kernel does not say how long it has been up: the time since this process first asked.
fn since_first_asked() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}
