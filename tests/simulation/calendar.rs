//! Login windows again (R11.2), with the clocks of two zones as a table: written without a look at the zone library.

use equipoise::site::Schedule;

/// In milliseconds.
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const WEEK: i64 = 7 * DAY;

/// From when on (UTC) the clocks are so far from UTC.
type Offsets = &'static [(i64, i64)];

const UTC: Offsets = &[(i64::MIN, 0)];

/// 2026: summer time from 8 March 07:00 to 1 November 06:00 UTC.
const NEW_YORK: Offsets =
    &[(i64::MIN, -300 * MINUTE), (1_772_953_200_000, -240 * MINUTE), (1_793_512_800_000, -300 * MINUTE)];

/// Where in the year a history begins, and the windows that are of interest there.
pub struct Season {
    pub begins_ms: u64,
    pub zone: &'static str,
    pub windows: &'static [&'static str],
    /// Half an hour after the beginning.
    pub expires: &'static str,
    /// A day and a zone in which it begins ten minutes after the beginning.
    pub required_from: (&'static str, &'static str),
}

/// A Monday morning, and the ten minutes before each change of the clocks in New York.
pub const SEASONS: [Season; 3] = [
    Season {
        begins_ms: 1_772_437_800_000,
        zone: "UTC",
        windows: &["mon 07:00 - mon 08:15"],
        expires: "2026-03-02T08:20:00Z",
        required_from: ("2026-03-02", "Etc/GMT+8"),
    },
    Season {
        begins_ms: 1_772_952_600_000,
        zone: "America/New_York",
        windows: &[
            "sun 01:00 - sun 02:30",
            "sun 02:00 - sun 02:45",
            "sun 02:15 - sun 03:10",
            "sat 22:00 - sun 03:00",
            "sun 01:00 - sun 03:15",
        ],
        expires: "2026-03-08T07:20:00Z",
        required_from: ("2026-03-08", "Etc/GMT+7"),
    },
    Season {
        begins_ms: 1_793_512_200_000,
        zone: "America/New_York",
        windows: &[
            "sun 01:00 - sun 01:55",
            "sun 01:30 - sun 02:00",
            "sat 20:00 - sun 01:55",
            "sun 02:00 - sun 03:00",
            "sun 01:30 - sun 01:58",
        ],
        expires: "2026-11-01T06:20:00Z",
        required_from: ("2026-11-01", "Etc/GMT+6"),
    },
];

fn offsets(zone: &str) -> Offsets {
    if zone == "UTC" { UTC } else { NEW_YORK }
}

fn offset(zone: Offsets, utc: i64) -> i64 {
    zone.iter().rev().find(|(from, _)| *from <= utc).map_or(0, |(_, offset)| *offset)
}

/// The first moment at which the clocks show this; none for what they skip.
fn shown(zone: Offsets, local: i64) -> Option<i64> {
    let moments = zone.iter().map(|(_, offset)| local - offset);
    moments.filter(|utc| utc + offset(zone, *utc) == local).min()
}

/// What the clocks skip is as long after midnight as on any day.
fn moment(zone: Offsets, local: i64) -> i64 {
    let midnight = local - local.rem_euclid(DAY);
    shown(zone, local).unwrap_or_else(|| shown(zone, midnight).expect("no zone here skips midnight") + local - midnight)
}

/// When the window around this moment ends: those that touch or overlap are one. None outside any.
pub fn until(schedule: &Schedule, utc_ms: u64) -> Option<u64> {
    let zone = offsets(&schedule.timezone);
    let now = utc_ms as i64;
    let local = now + offset(zone, now);
    // The epoch began on a Thursday.
    let monday = local - (local + 3 * DAY).rem_euclid(WEEK);
    let mut windows = Vec::new();
    for week in -2..=2 {
        for (start, end) in &schedule.entries {
            let at = |minutes: u16| monday + week * WEEK + i64::from(minutes) * MINUTE;
            let opens = moment(zone, at(*start));
            let closes = moment(zone, at(*end) + if end > start { 0 } else { WEEK });
            // Where that leaves nothing, it begins as if the clocks had been changed already.
            let opens = if opens < closes { opens } else { at(*start) - offset(zone, opens) };
            windows.push((opens, closes));
        }
    }
    let mut end = None;
    while let Some((_, closes)) =
        windows.iter().filter(|(opens, closes)| *opens <= end.unwrap_or(now) && end.unwrap_or(now) < *closes).max()
    {
        end = Some(*closes);
    }
    end.map(|end| end as u64)
}

/// Do the clocks show this time once more, or for the second time?
pub fn is_shown_twice(zone: &str, utc_ms: u64) -> bool {
    let zone = offsets(zone);
    let local = utc_ms as i64 + offset(zone, utc_ms as i64);
    zone.iter().filter(|(_, by)| offset(zone, local - by) == *by).count() > 1
}

/// Were the clocks moved forward within the hour before?
pub fn has_just_skipped(zone: &str, utc_ms: u64) -> bool {
    let zone = offsets(zone);
    offset(zone, utc_ms as i64 - 60 * MINUTE) < offset(zone, utc_ms as i64)
}
