//! How much a leg holds: more for a reader far away, and no more than its reader takes (W1.5).

use super::*;
use std::collections::VecDeque;

#[test]
fn w1_5_a_leg_holds_more_once_its_reader_ran_dry_while_the_writer_waited() {
    assert_eq!(held_for_who_runs_dry(limits::WINDOW_BYTES_MAX), (72, 1024));
}

#[test]
fn w1_5_and_more_than_a_mebibyte_only_where_a_setting_says_so() {
    assert_eq!(held_for_who_runs_dry(4 * limits::WINDOW_BYTES_MAX), (72, 4096));
}

/// What a leg holds at first and in the end, KiB, whose windows may grow to so much and whose reader would take more.
fn held_for_who_runs_dry(window_max: u64) -> (u64, u64) {
    let mut room = Room::with_windows(Class::File, &[ANA], window_max);
    room.writer.measured(Duration::from_millis(500));
    room.credit(ANA, 0, limits::WINDOW_BYTES_MOST);
    let (mut at, mut limit, mut granted) = (0, window(Class::File), Vec::new());
    while granted.len() < 12 {
        while at < limit {
            room.send(at, 8_192).unwrap();
            at += 8_192;
        }
        // A writer far away: all of it is gone when its next word comes.
        room.now += Duration::from_millis(500);
        pump(&room.ana, &room.channel, room.now);
        room.credit(ANA, at, at + limits::WINDOW_BYTES_MOST);
        let told = take(&room.writer).control.pop().and_then(|frame| frame.payload.first_chunk().copied());
        limit = told.map_or(limit, u64::from_be_bytes);
        granted.push((limit - at) / 1024);
    }
    assert!(granted.is_sorted(), "{granted:?}");
    (granted[0], granted[11])
}

/// What comes in each of four seconds from a writer 40 ms away that sends all it may, `size` bytes a frame; the line takes
/// so long for each of them in that second.
fn from_afar(size: u64, takes: [Duration; 4]) -> [u64; 4] {
    const WAY: Duration = Duration::from_millis(40);
    let mut room = Room::new(Class::File, &[ANA]);
    room.writer.measured(2 * WAY);
    room.credit(ANA, 0, limits::WINDOW_BYTES_MAX);
    let start = room.now;
    let (mut at, mut limit, mut free) = (0, window(Class::File), start);
    let (mut there, mut back) = (VecDeque::new(), VecDeque::new());
    let mut came = [0; 4];
    for ms in 0..4_000 {
        let second = ms as usize / 1_000;
        room.now = start + Duration::from_millis(ms);
        while let Some((_, told)) = back.pop_front_if(|(due, _)| *due <= room.now) {
            limit = told;
        }
        while at + size <= limit && free <= room.now {
            there.push_back((room.now + WAY, at));
            at += size;
            free = free.max(room.now) + takes[second];
        }
        while let Some((_, at)) = there.pop_front_if(|(due, _)| *due <= room.now) {
            room.send(at, size as usize).unwrap();
            came[second] += size;
            pump(&room.ana, &room.channel, room.now);
            room.credit(ANA, at + size, at + size + limits::WINDOW_BYTES_MAX);
            for frame in take(&room.writer).control {
                back.push_back((room.now + WAY, u64::from_be_bytes(*frame.payload.first_chunk().unwrap())));
            }
        }
    }
    came
}

/// A window of 1 MiB every 80 ms is 13 MB/s.
#[test]
fn w1_5_f21_a_leg_comes_to_hold_what_a_writer_far_away_has_on_its_way() {
    let came = from_afar(8_192, [Duration::ZERO; 4]);
    assert!(came[3] > 12_000_000, "{came:?}");
}

#[test]
fn w1_5_f21_so_it_does_where_frames_come_one_by_one() {
    let slow = Duration::from_millis(19);
    let came = from_afar(16_384, [slow, slow, Duration::ZERO, Duration::ZERO]);
    assert!(came[1] < 1_000_000, "{came:?}");
    assert!(came[3] > 12_000_000, "{came:?}");
}

#[test]
fn w1_5_a_leg_whose_reader_never_ran_dry_holds_no_more_than_at_first() {
    let mut room = Room::new(Class::File, &[ANA]);
    room.credit(ANA, 0, limits::WINDOW_BYTES_MAX);
    let (mut limit, mut granted) = (window(Class::File), limits::WINDOW_BYTES_MAX);
    for at in (0..1024 * 1024).step_by(1024) {
        assert!(at + 1024 <= limit, "{at}");
        room.send(at, 1024).unwrap();
        room.now += Duration::from_millis(1);
        pump(&room.ana, &room.channel, room.now);
        if granted - at <= limits::WINDOW_BYTES_MAX / 2 {
            granted = at + limits::WINDOW_BYTES_MAX;
            room.credit(ANA, at, granted);
        }
        let told = take(&room.writer).control.pop().and_then(|frame| frame.payload.first_chunk().copied());
        limit = told.map_or(limit, u64::from_be_bytes);
    }
    assert!(limit <= (1024 + 72) * 1024, "{limit}");
}
