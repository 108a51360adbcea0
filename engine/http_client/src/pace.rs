//! When an endpoint that still sends something is nevertheless given up: a byte now and then would keep a download alive
//! for years without ever being silent.
//!
//! Only arithmetic, for whoever waits; time in which nobody waits for the endpoint does not count.

use std::time::Duration;

/// Fewer bytes a second than this, over a whole period, are as good as none. Any line carries more.
const LEAST: u64 = 1024;

/// How fast a transfer has been in its current period.
#[derive(Debug)]
pub struct Pace {
    period: Duration,
    waited: Duration,
    bytes: u64,
}

/// A transfer was slower than is worth waiting for.
#[derive(Debug, PartialEq, Eq)]
pub struct TooSlow {
    /// Bytes that came in the period.
    pub bytes: u64,
    /// The period.
    pub period: Duration,
}

impl Pace {
    /// A transfer that begins. In each `period` it has to move a kibibyte a second.
    pub fn new(period: Duration) -> Self {
        Self { period, waited: Duration::ZERO, bytes: 0 }
    }

    /// How long to wait before it is judged.
    pub fn rest(&self) -> Duration {
        self.period.saturating_sub(self.waited)
    }

    /// Counts bytes that came after a wait. At the end of a period, too few of them are an error.
    pub fn count(&mut self, bytes: u64, waited: Duration) -> Result<(), TooSlow> {
        self.bytes += bytes;
        self.waited += waited;
        if self.waited < self.period {
            return Ok(());
        }
        let came = std::mem::take(&mut self.bytes);
        self.waited = Duration::ZERO;
        match (came as f64) < LEAST as f64 * self.period.as_secs_f64() {
            true => Err(TooSlow { bytes: came, period: self.period }),
            false => Ok(()),
        }
    }
}

impl std::fmt::Display for TooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.period.as_secs_f64();
        match self.bytes {
            0 => write!(f, "nothing came for {seconds} s"),
            bytes => write!(f, "only {bytes} bytes came in {seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drip_is_given_up_and_a_stream_is_not() {
        let second = Duration::from_secs(1);
        let mut drip = Pace::new(10 * second);
        let judged: Vec<bool> = (0..10).map(|_| drip.count(1, second).is_ok()).collect();
        assert_eq!(judged, [true, true, true, true, true, true, true, true, true, false]);
        let mut stream = Pace::new(10 * second);
        assert!((0..100).all(|_| stream.count(2048, second).is_ok()));
        // What came before does not help later.
        assert!((0..9).all(|_| stream.count(0, second).is_ok()));
        let slow = stream.count(0, second).unwrap_err();
        assert_eq!(slow.to_string(), "nothing came for 10 s");
    }
}
