//! Moments as people type them.

use jiff::{Timestamp, civil, tz::TimeZone};
use std::str::FromStr;

/// A moment that somebody typed: `90m`, `24h`, `7d` ago, or a date and perhaps a time, in UTC where it does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// So many milliseconds ago.
    Ago(u64),
    /// Milliseconds since 1970 UTC.
    At(u64),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a time ago, such as 24h or 7d, nor a date such as 2026-03-02");
        let unit = match text.chars().last() {
            Some('m') => Some(60_000),
            Some('h') => Some(3_600_000),
            Some('d') => Some(86_400_000),
            _ => None,
        };
        if let Some(unit) = unit {
            let count = text[..text.len() - 1].parse::<u32>().map_err(|_| wrong())?;
            return Ok(Self::Ago(u64::from(count) * unit));
        }
        // With `Z` or another offset; without one it is UTC.
        let moment = text.parse::<Timestamp>().or_else(|_| {
            let day = || text.parse::<civil::Date>().map(civil::Date::into);
            text.parse::<civil::DateTime>().or_else(|_| day())?.to_zoned(TimeZone::UTC).map(|moment| moment.timestamp())
        });
        u64::try_from(moment.map_err(|_| wrong())?.as_millisecond()).map(Self::At).map_err(|_| wrong())
    }
}

impl When {
    /// Milliseconds since 1970 UTC.
    pub fn ms(self, now_ms: u64) -> u64 {
        match self {
            Self::Ago(ms) => now_ms.saturating_sub(ms),
            Self::At(ms) => ms,
        }
    }
}
