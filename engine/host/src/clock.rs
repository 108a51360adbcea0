//! The clock. Time never enters a key.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch.
pub fn now() -> i128 {
    nanoseconds(SystemTime::now())
}

/// A time of a file in nanoseconds since the epoch; zero if it is before.
pub(crate) fn nanoseconds(time: SystemTime) -> i128 {
    time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| i128::try_from(elapsed.as_nanos()).unwrap_or(i128::MAX))
}
