//! How fast a connection may speak.

use crate::broker::Pace;
use std::time::Instant;

/// A token bucket over control messages (W4.3).
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    per_s: f64,
    burst: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(Pace { per_s, burst }: Pace, now: Instant) -> Self {
        Self { tokens: burst.into(), per_s: per_s.into(), burst: burst.into(), filled: now }
    }

    /// Takes a token for one message; false when there is none.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.tokens < 1.0 {
            self.tokens += now.saturating_duration_since(self.filled).as_secs_f64() * self.per_s;
            self.tokens = self.tokens.min(self.burst);
            self.filled = now;
        }
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use std::time::Duration;

    #[test]
    fn w4_3_a_person_sends_a_burst_of_200_and_then_50_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Pace::PERSON, start);
        let burst = (0..1_000).take_while(|_| bucket.take(start)).count();
        assert_eq!(burst, limits::PERSON_MESSAGES_BURST as usize);
        let later = start + Duration::from_secs(1);
        let second = (0..1_000).take_while(|_| bucket.take(later)).count();
        assert_eq!(second, limits::PERSON_MESSAGES_PER_S as usize);
        let long_after = later + Duration::from_secs(3600);
        let rested = (0..1_000).take_while(|_| bucket.take(long_after)).count();
        assert_eq!(rested, limits::PERSON_MESSAGES_BURST as usize, "rest fills the bucket, no more");
    }
}
