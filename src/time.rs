//! Engine time: whole milliseconds, handed in, never read from a clock here (W5.3).

use serde::{Deserialize, Serialize};
use std::ops::{Add, AddAssign, Sub};

/// A moment of engine time: milliseconds since 1970 UTC at the broker, since the start in a scenario. Never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub u64);

impl Span {
    pub const ZERO: Self = Self(0);

    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes.saturating_mul(60))
    }

    pub const fn days(days: u32) -> Self {
        Self::minutes(days as u64 * 24 * 60)
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Time {
    /// How long ago `earlier` was; zero if it is not in the past.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, span: Self) {
        self.0 = self.0.saturating_add(span.0);
    }
}

impl Add<Span> for Time {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Time {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}
