//! The one place where the wall clock is read, the monotonic engine time made from it (W5.3), and random delays.

use crate::time::{Span, Time};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 UTC. A clock set before 1970 reads as 0.
#[expect(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Engine time (W5.3): starts at the later of the last journalled moment and the wall clock, then runs with the
/// monotonic clock, so that a step of the wall clock never moves it.
#[derive(Clone, Copy, Debug)]
pub struct EngineClock {
    start: Instant,
    base: Time,
}

impl EngineClock {
    pub fn start(last_journalled: Time) -> Self {
        Self::anchored(last_journalled, wall_ms())
    }

    fn anchored(last_journalled: Time, wall_ms: u64) -> Self {
        Self { start: Instant::now(), base: last_journalled.max(Time(wall_ms)) }
    }

    pub fn now(&self) -> Time {
        self.base + Span(self.start.elapsed().as_millis() as u64)
    }

    /// The monotonic moment at which engine time reads `at`; for timers. A moment that has passed is the start.
    pub fn instant(&self, at: Time) -> Instant {
        self.start + Duration::from_millis(at.since(self.base).0)
    }
}

/// A random delay below `limit`, so that a crowd does not come back at once.
pub fn spread(limit: Duration) -> Duration {
    let mut bytes = [0; 4];
    // Without randomness everybody waits the same, which only costs a crowd.
    let _ = getrandom::fill(&mut bytes);
    limit.mul_f64(f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w5_3_engine_time_starts_at_the_later_of_journal_and_wall_clock() {
        assert!(EngineClock::anchored(Time(5_000), 1_000).now() >= Time(5_000));
        assert!(EngineClock::anchored(Time(1_000), 5_000).now() >= Time(5_000));
    }

    #[test]
    fn w5_3_engine_time_never_goes_back() {
        let clock = EngineClock::start(Time(0));
        let first = clock.now();
        assert!(clock.now() >= first);
        assert_eq!(clock.instant(Time(0)), clock.start);
    }
}
