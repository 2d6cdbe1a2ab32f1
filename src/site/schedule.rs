//! Login schedules (R11.2): windows of a week in a time zone.

use super::Schedule;
use jiff::{Timestamp, tz::TimeZone};

/// Minutes of a week.
pub const WEEK_MINUTES: u16 = 7 * 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// `mon 08:00 - fri 17:00`, in minutes from Monday 00:00; otherwise what is wrong.
pub fn entry(text: &str) -> Result<(u16, u16), String> {
    let (start, end) = text.split_once('-').ok_or_else(|| format!("`{text}`: write it as `mon 08:00 - fri 17:00`"))?;
    let (start, end) = (moment(start)?, moment(end)?);
    if start % WEEK_MINUTES == end % WEEK_MINUTES && end != start + WEEK_MINUTES {
        return Err(format!("`{text}` begins where it ends"));
    }
    Ok((start % WEEK_MINUTES, end))
}

fn moment(text: &str) -> Result<u16, String> {
    let wrong = || format!("`{}` is not a day and a time such as `mon 08:00`", text.trim());
    let (day, time) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
    let day = DAYS.iter().position(|name| day.eq_ignore_ascii_case(name)).ok_or_else(wrong)? as u16;
    let (hour, minute) = time.trim().split_once(':').ok_or_else(wrong)?;
    let digits = |text: &str, max: u16| {
        let fits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number: &u16| fits && *number <= max)
    };
    let (hour, minute) = (digits(hour, 24).ok_or_else(wrong)?, digits(minute, 59).ok_or_else(wrong)?);
    if hour == 24 && minute > 0 {
        return Err(wrong());
    }
    Ok((day * 24 + hour) * 60 + minute)
}

impl Schedule {
    /// Is this moment inside a window? Milliseconds since 1970 UTC. The zone was checked; an unknown one is outside.
    pub fn permits(&self, utc_ms: u64) -> bool {
        self.until(utc_ms).is_some()
    }

    /// When the window around this moment ends, in milliseconds since 1970 UTC; none outside any window. The end is
    /// found on the zone's own calendar, so that a change of its clocks is counted.
    pub fn until(&self, utc_ms: u64) -> Option<u64> {
        let zone = TimeZone::get(&self.timezone).ok()?;
        let moment = Timestamp::from_millisecond(i64::try_from(utc_ms).ok()?).ok()?.to_zoned(zone);
        let day = u16::try_from(moment.weekday().to_monday_zero_offset()).ok()?;
        let minute = (day * 24 + u16::try_from(moment.hour()).ok()?) * 60 + u16::try_from(moment.minute()).ok()?;
        let left = self.entries.iter().filter_map(|(start, end)| minutes_left(minute, *start, *end)).max()?;
        let midnight = moment.start_of_day().ok()?.datetime();
        let end = midnight.checked_add(jiff::Span::new().minutes(i64::from(minute % 1440) + i64::from(left))).ok()?;
        let end = end.to_zoned(moment.time_zone().clone()).ok()?;
        u64::try_from(end.timestamp().as_millisecond()).ok()
    }
}

/// Minutes from `minute` to the end of the window, if it is inside; an end before the start wraps the week.
fn minutes_left(minute: u16, start: u16, end: u16) -> Option<u16> {
    let length = if end > start { end - start } else { end + WEEK_MINUTES - start };
    let passed = (minute + WEEK_MINUTES - start) % WEEK_MINUTES;
    (passed < length).then(|| length - passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(timezone: &str, entries: &[&str]) -> Schedule {
        let entries = entries.iter().map(|text| entry(text).unwrap()).collect();
        Schedule { timezone: timezone.to_owned(), force: true, entries }
    }

    fn at(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_millisecond() as u64
    }

    #[test]
    fn r11_2_a_window_goes_from_its_start_to_before_its_end() {
        let office = schedule("UTC", &["mon 08:00 - mon 17:00"]);
        assert!(!office.permits(at("2026-03-02T07:59:59Z")));
        assert_eq!(office.until(at("2026-03-02T08:00:00Z")), Some(at("2026-03-02T17:00:00Z")));
        assert!(office.permits(at("2026-03-02T16:59:59Z")));
        assert!(!office.permits(at("2026-03-02T17:00:00Z")));
        assert!(!office.permits(at("2026-03-03T09:00:00Z")));
    }

    #[test]
    fn r11_2_a_window_may_wrap_the_week() {
        let weekend = schedule("UTC", &["fri 22:00 - mon 06:00"]);
        assert_eq!(weekend.until(at("2026-03-07T12:00:00Z")), Some(at("2026-03-09T06:00:00Z")));
        assert!(weekend.permits(at("2026-03-09T05:59:00Z")));
        assert!(!weekend.permits(at("2026-03-09T06:00:00Z")));
        let always = schedule("UTC", &["mon 00:00 - sun 24:00"]);
        assert!(always.permits(at("2026-03-08T23:59:59Z")) && always.permits(at("2026-03-09T00:00:00Z")));
    }

    #[test]
    fn r11_2_the_window_follows_the_zone_through_a_change_of_its_clocks() {
        // On 29 March 2026 Berlin's clocks go from 02:00 to 03:00.
        let night = schedule("Europe/Berlin", &["sat 22:00 - sun 06:00"]);
        assert_eq!(night.until(at("2026-03-28T21:30:00Z")), Some(at("2026-03-29T04:00:00Z")));
        assert!(night.permits(at("2026-03-29T03:59:00Z")));
        assert!(!night.permits(at("2026-03-29T04:00:00Z")));
    }

    #[test]
    fn r11_2_a_bad_entry_says_what_is_wrong() {
        for text in ["", "mon 08:00", "mon 8:00 - tue 09:00", "mon 24:01 - tue 09:00", "mon 25:00 - tue 09:00"] {
            assert!(entry(text).is_err(), "{text}");
        }
        assert!(entry("mon 08:00 - mon 08:00").unwrap_err().contains("begins where it ends"));
        assert_eq!(entry("Sun 23:30 - mon 00:30"), Ok((WEEK_MINUTES - 30, 30)));
    }
}
