//! Login schedules (R11.2): windows of a week in a time zone.

use super::Schedule;
use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Minutes of a week.
pub const WEEK_MINUTES: u16 = 7 * 24 * 60;
/// Open for so long it is open for ever: a week, and the hours that a zone's clocks may lose in it.
const ALWAYS_MS: u64 = (7 * 24 + 3) * 60 * 60 * 1000;
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

    /// When the windows around this moment end, in milliseconds since 1970 UTC: windows that touch are one, and what is
    /// open for more than a week is always open, [`u64::MAX`]. None outside any window.
    pub fn until(&self, utc_ms: u64) -> Option<u64> {
        let zone = TimeZone::get(&self.timezone).ok()?;
        let mut end = self.window_end(&zone, utc_ms)?;
        while end < utc_ms + ALWAYS_MS {
            match self.window_end(&zone, end) {
                Some(later) => end = later,
                None => return Some(end),
            }
        }
        Some(u64::MAX)
    }

    /// The latest end of a window that this moment is in.
    fn window_end(&self, zone: &TimeZone, utc_ms: u64) -> Option<u64> {
        let moment = Timestamp::from_millisecond(i64::try_from(utc_ms).ok()?).ok()?;
        let today = moment.to_zoned(zone.clone()).date();
        let monday = today.checked_sub(jiff::Span::new().days(today.weekday().to_monday_zero_offset())).ok()?;
        // A window may have begun last week, and the clocks may have moved one into the week beside it.
        let weeks = [-1, 0, 1].into_iter().filter_map(|week| monday.checked_add(jiff::Span::new().weeks(week)).ok());
        let windows =
            weeks.flat_map(|monday| self.entries.iter().filter_map(move |entry| window(zone, monday, *entry)));
        let around = windows.filter(|(start, end)| *start <= moment && moment < *end);
        around.map(|(_, end)| end).max().and_then(|end| u64::try_from(end.as_millisecond()).ok())
    }
}

/// The moments at which the window of a week begins and ends, on the zone's own calendar. A time that the clocks show
/// twice is the first of the two, so that no window opens twice; one that they skip is as long after midnight as on any
/// day, and where that would leave nothing of the window its start is read as if they had skipped already: none vanishes.
fn window(zone: &TimeZone, monday: Date, (start, end): (u16, u16)) -> Option<(Timestamp, Timestamp)> {
    let at = |minutes: u16| {
        let date = monday.checked_add(jiff::Span::new().days(minutes / 1440)).ok()?;
        let (hour, minute) = (i8::try_from(minutes % 1440 / 60).ok()?, i8::try_from(minutes % 60).ok()?);
        Some(zone.to_ambiguous_timestamp(date.at(hour, minute, 0, 0)))
    };
    let end = if end > start { end } else { end + WEEK_MINUTES };
    let end = at(end)?.compatible().ok()?;
    let begins = at(start)?;
    let start = begins.compatible().ok()?;
    Some((if start < end { start } else { begins.earlier().ok()? }, end))
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

    /// Every minute from one moment to another at which the schedule permits what it did not a minute before.
    fn openings(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
        let minutes = (at(from) / 60_000..at(to) / 60_000).map(|minute| minute * 60_000);
        let opens = minutes.filter(|ms| schedule.permits(*ms) && !schedule.permits(*ms - 60_000));
        opens.map(|ms| Timestamp::from_millisecond(ms as i64).unwrap().to_string()).collect()
    }

    #[test]
    fn r11_2_in_autumn_no_window_opens_twice() {
        // On 25 October 2026 Berlin's clocks show 02:00 to 03:00 twice: first until 01:00 UTC, then until 02:00 UTC.
        let opens = |entry: &str| {
            let night = schedule("Europe/Berlin", &[entry]);
            openings(&night, "2026-10-24T00:00:00Z", "2026-10-26T00:00:00Z")
        };
        assert_eq!(opens("sun 02:15 - sun 02:45"), ["2026-10-25T00:15:00Z"]);
        assert_eq!(opens("sat 22:00 - sun 02:30"), ["2026-10-24T20:00:00Z"]);
        assert_eq!(opens("sun 02:30 - sun 03:15"), ["2026-10-25T00:30:00Z"]);
        let office = schedule("Europe/Berlin", &["sun 02:30 - sun 03:15"]);
        assert_eq!(office.until(at("2026-10-25T00:30:00Z")), Some(at("2026-10-25T02:15:00Z")));
    }

    #[test]
    fn r11_2_in_spring_no_window_vanishes() {
        // On 29 March 2026 Berlin's clocks go from 02:00 to 03:00 at 01:00 UTC.
        for (entry, start, end) in [
            ("sun 02:15 - sun 02:45", "2026-03-29T01:15:00Z", "2026-03-29T01:45:00Z"),
            ("sun 01:30 - sun 02:30", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
            ("sun 02:30 - sun 06:00", "2026-03-29T01:30:00Z", "2026-03-29T04:00:00Z"),
            ("sun 02:30 - sun 03:15", "2026-03-29T00:30:00Z", "2026-03-29T01:15:00Z"),
            ("sun 02:00 - sun 03:00", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
        ] {
            let night = schedule("Europe/Berlin", &[entry]);
            assert_eq!(openings(&night, "2026-03-28T00:00:00Z", "2026-03-30T00:00:00Z"), [start], "{entry}");
            assert_eq!(night.until(at(start)), Some(at(end)), "{entry}");
        }
    }

    #[test]
    fn r11_2_every_window_opens_once_a_week_through_both_changes() {
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
            for start in (0..5 * 60).step_by(45) {
                for length in [15, 60, 180] {
                    let start = 6 * 1440 + start;
                    let entries = vec![(start, (start + length) % WEEK_MINUTES)];
                    let night = Schedule { timezone: zone.to_owned(), force: true, entries };
                    for saturday in ["2026-02-28T12:00:00Z", "2026-09-26T12:00:00Z"] {
                        for week in 0..8 {
                            let from = at(saturday) + week * 7 * 86_400_000;
                            let permits: Vec<bool> = (0..48 * 4).map(|at| night.permits(from + at * 900_000)).collect();
                            let opens = permits.windows(2).filter(|pair| !pair[0] && pair[1]).count();
                            assert_eq!(opens, 1, "{zone} {start} for {length} min, {saturday} and {week} weeks");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn r11_2_windows_that_touch_are_one_and_a_whole_week_never_ends() {
        let day = schedule("UTC", &["mon 08:00 - mon 12:00", "mon 12:00 - mon 17:00", "mon 16:00 - mon 18:00"]);
        assert_eq!(day.until(at("2026-03-02T09:00:00Z")), Some(at("2026-03-02T18:00:00Z")));
        let always = schedule("Europe/Berlin", &["mon 00:00 - sun 24:00"]);
        assert_eq!(always.until(at("2026-03-27T09:00:00Z")), Some(u64::MAX));
        let nearly = schedule("UTC", &["mon 00:00 - sun 23:00"]);
        assert_eq!(nearly.until(at("2026-03-02T00:00:00Z")), Some(at("2026-03-08T23:00:00Z")));
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
