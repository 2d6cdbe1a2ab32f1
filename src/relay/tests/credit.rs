//! Credit, fan-out and closing.

use super::*;
use std::collections::VecDeque;

const WINDOW: u64 = 64 * 1024;

#[test]
fn w1_5_credit_is_due_at_half_a_window_and_the_peer_is_at_fault_beyond_the_limit() {
    let room = Room::new(Class::Shell, &[ANA]);
    assert_eq!(room.send(0, 40_000), Ok(Passed::Taken));
    assert_eq!(take(&room.ana).bytes().len(), 40_000);
    room.credit(ANA, 1_000, 1_000 + WINDOW);
    assert_eq!(take(&room.writer).story(), "", "crumbs are not passed on");
    room.credit(ANA, 40_000, 40_000 + WINDOW);
    assert_eq!(take(&room.writer).story(), "credit 40000 105536");

    let limit = 40_000 + WINDOW;
    assert_eq!(room.send(40_000, WINDOW as usize), Ok(Passed::Taken));
    assert_eq!(room.send(limit, 1), Err(Fault::Credit { limit, end: limit + 1 }));
    assert_eq!(take(&room.writer).story(), "close 105536 fault");
    assert_eq!(take(&room.ana).story(), "close 40000 fault");
    let ended = Notice::Ended { channel: CHANNEL, at: limit, reason: CloseReason::Fault };
    assert_eq!(room.heard(), [ended]);
    assert_eq!(room.send(limit, 1), Ok(Passed::Stale), "what comes after an end is dropped");
    counters_add_up(&room.counters, Class::Shell, 0);
}

#[test]
fn w1_5_a_reader_is_never_sent_more_than_it_allowed() {
    let room = Room::new(Class::File, &[ANA]);
    for at in 0..4 {
        room.send(at * 65_536, 65_536).unwrap();
    }
    assert_eq!(take(&room.ana).bytes().len(), 256 * 1024);
    assert!(room.send(256 * 1024, 1).is_err());
}

#[test]
fn w1_5_acknowledging_what_was_never_sent_is_a_fault_of_the_reader() {
    let room = Room::new(Class::Shell, &[ANA, BEN]);
    room.send(0, 10).unwrap();
    let credit = Frame::credit(CHANNEL, 10, 10 + WINDOW);
    let refused = room.channel.hear(ANA, FIRST, credit, room.now);
    assert_eq!(refused, Err(Fault::Acked { sent: 0, acked: 10 }));
    assert_eq!(take(&room.ana).story(), "close 0 fault");
    assert_eq!(take(&room.ben).story(), "0+10", "the other reader goes on");
    let gone = Notice::LegEnded { channel: CHANNEL, reader: ANA, at: 0, reason: CloseReason::Fault };
    assert_eq!(room.heard(), [gone]);
}

#[test]
fn w1_5_a_writer_may_send_what_the_leg_holds_and_goes_on_as_it_leaves() {
    let room = Room::new(Class::File, &[ANA]);
    room.credit(ANA, 0, 1 << 40);
    room.send(0, 65_536).unwrap();
    for at in 1..4 {
        room.send(at * 65_536, 65_536).unwrap();
    }
    assert_eq!(take(&room.writer).story(), "", "four times as much waits as the leg holds");
    assert_eq!(pump(&room.ana, &room.channel, room.now).bytes().len(), 4 * 65_536);
    assert_eq!(take(&room.writer).story(), "credit 0 335872");
}

#[test]
fn w1_5_a_writer_that_sends_whole_frames_alone_is_never_left_waiting() {
    for first in [1, 1_000, 32_767, 32_768, 32_769, 65_535, 65_536] {
        let room = Room::new(Class::File, &[ANA]);
        room.credit(ANA, 0, limits::WINDOW_BYTES_MAX);
        room.send(0, first).unwrap();
        let (mut at, mut limit) = (first as u64, window(Class::File));
        while at < limits::WINDOW_BYTES_MAX / 2 {
            assert!(limit - at >= 65_536, "after {first} bytes: stuck at {at} of {limit}");
            while limit - at >= 65_536 {
                room.send(at, 65_536).unwrap();
                at += 65_536;
            }
            pump(&room.ana, &room.channel, room.now);
            let told = take(&room.writer).control.pop().and_then(|frame| frame.payload.first_chunk().copied());
            limit = told.map_or(limit, u64::from_be_bytes);
        }
    }
}

#[test]
fn w1_7_the_writers_limit_is_the_least_of_its_readers() {
    let room = Room::new(Class::Shell, &[ANA, BEN]);
    room.send(0, 60_000).unwrap();
    let _ = (take(&room.ana), take(&room.ben));
    room.credit(ANA, 60_000, 60_000 + WINDOW);
    assert_eq!(take(&room.writer).story(), "");
    room.credit(BEN, 50_000, 50_000 + WINDOW);
    assert_eq!(take(&room.writer).story(), "credit 50000 115536");
}

#[test]
fn w1_7_a_reader_that_took_everything_and_owes_no_word_is_not_the_stalled_one() {
    let mut room = Room::new(Class::Shell, &[ANA, BEN]);
    room.send(0, 60_000).unwrap();
    take(&room.ana);
    // A grant is due at half a window: of the last bytes she has said nothing yet.
    room.credit(ANA, 49_152, 49_152 + WINDOW);
    room.pass(Duration::from_millis(5_000));
    assert_eq!(room.heard(), [Notice::Lagged { channel: CHANNEL, reader: BEN }]);
    assert_eq!(take(&room.ben).story(), "close 0 lagged");
    assert_eq!(take(&room.ana).story(), "");
}

#[test]
fn w1_7_who_grants_more_than_it_is_ever_offered_is_stalled_all_the_same() {
    let mut room = Room::with_windows(Class::Shell, &[ANA, BEN], limits::WINDOW_BYTES_MOST);
    room.credit(BEN, 0, limits::WINDOW_BYTES_MOST);
    room.send(0, WINDOW as usize).unwrap();
    take(&room.ana);
    room.credit(ANA, WINDOW, 2 * WINDOW);
    room.pass(Duration::from_millis(5_000));
    assert_eq!(room.heard(), [Notice::Lagged { channel: CHANNEL, reader: BEN }]);
}

#[test]
fn w1_7_a_leg_stalled_beside_others_is_left_behind_and_comes_back_with_a_refresh() {
    let mut room = Room::new(Class::Shell, &[ANA, BEN]);
    room.send(0, WINDOW as usize).unwrap();
    take(&room.ana);
    room.credit(ANA, WINDOW, 2 * WINDOW);
    assert_eq!(take(&room.writer).story(), "", "Ben holds everybody up");
    room.pass(Duration::from_millis(4_999));
    assert_eq!(take(&room.writer).story(), "");
    room.pass(Duration::from_millis(1));
    assert_eq!(take(&room.writer).story(), "credit 65536 131072");
    assert_eq!(take(&room.ben).story(), "close 0 lagged");
    assert_eq!(room.heard(), [Notice::Lagged { channel: CHANNEL, reader: BEN }]);

    room.send(WINDOW, 100).unwrap();
    room.channel.refresh(BEN, FIRST, room.now).unwrap();
    assert_eq!(take(&room.writer).story(), "refresh");
    room.send(WINDOW + 100, 5).unwrap();
    assert_eq!(take(&room.ben).story(), "65636+5");
    assert_eq!(take(&room.ana).story(), "65536+100, 65636+5");
    counters_add_up(&room.counters, Class::Shell, 0);
}

#[test]
fn w1_7_a_reader_left_behind_hears_how_much_it_missed_when_all_is_finished() {
    let mut room = Room::new(Class::Shell, &[ANA, BEN]);
    room.send(0, WINDOW as usize).unwrap();
    take(&room.ana);
    room.credit(ANA, WINDOW, 2 * WINDOW);
    room.pass(Duration::from_millis(5_000));
    assert_eq!(take(&room.ben).story(), "close 0 lagged");
    room.send(WINDOW, 100).unwrap();
    let last = WINDOW + 100;
    room.channel.hear(WRITER, FIRST, Frame::close(CHANNEL, last, CloseReason::Finished), room.now).unwrap();
    take(&room.ana);
    room.credit(ANA, last, last + WINDOW);
    let finals = room.channel.remove(CloseReason::Finished, room.now, &mut LastWords::default());
    assert_eq!(finals.into_iter().collect::<Vec<_>>(), [(ANA, last), (BEN, last)]);
    assert_eq!(take(&room.ben).story(), format!("close {last} finished"));
}

#[test]
fn w1_7_a_reader_alone_may_take_all_the_time_it_needs() {
    let mut room = Room::new(Class::File, &[ANA]);
    room.send(0, 65_536).unwrap();
    room.pass(Duration::from_secs(60));
    assert_eq!(room.heard(), []);
    assert_eq!(take(&room.ana).bytes().len(), 65_536);
}

#[test]
fn w1_7_a_late_reader_begins_at_the_current_offset_and_refreshes_are_coalesced() {
    let mut room = Room::new(Class::Shell, &[ANA]);
    room.send(0, 500).unwrap();
    let at = room.channel.open_leg(BEN, room.ben.clone(), FIRST, room.now);
    assert_eq!(at, 500);
    assert_eq!(take(&room.writer).story(), "refresh");
    room.send(500, 3).unwrap();
    assert_eq!(take(&room.ben).story(), "500+3");

    room.channel.refresh(BEN, FIRST, room.now).unwrap();
    room.channel.refresh(ANA, FIRST, room.now).unwrap();
    assert_eq!(take(&room.writer).story(), "");
    room.pass(Duration::from_millis(500));
    assert_eq!(take(&room.writer).story(), "refresh");
}

#[test]
fn w1_8_close_may_overtake_data_and_the_channel_ends_when_all_of_it_is_acknowledged() {
    let room = Room::new(Class::File, &[ANA]);
    room.send(0, 10).unwrap();
    room.channel.hear(WRITER, FIRST, Frame::close(CHANNEL, 30, CloseReason::Finished), room.now).unwrap();
    assert_eq!(take(&room.ana).story(), "close 30 finished, 0+10");
    room.send_with(10, 20, Flags::FIN).unwrap();
    assert_eq!(take(&room.ana).story(), "10+20 fin");
    assert_eq!(room.heard(), []);
    room.credit(ANA, 30, 30);
    assert_eq!(room.heard(), [Notice::Ended { channel: CHANNEL, at: 30, reason: CloseReason::Finished }]);
    assert_eq!(take(&room.writer).story(), "credit 30 262144", "the last byte is acknowledged to the writer");
}

#[test]
fn w1_8_fin_alone_does_not_end_a_channel() {
    let room = Room::new(Class::File, &[ANA]);
    room.send_with(0, 10, Flags::FIN).unwrap();
    take(&room.ana);
    room.credit(ANA, 10, 100);
    assert_eq!(room.heard(), []);
    assert_eq!(room.send(10, 1), Err(Fault::AfterEnd { at: 10 }));
}

#[test]
fn w1_8_a_reader_of_several_leaves_and_the_last_one_ends_the_channel() {
    let room = Room::new(Class::Shell, &[ANA, BEN]);
    let cancel = Frame::close(CHANNEL, 0, CloseReason::Cancelled);
    room.channel.hear(ANA, FIRST, cancel.clone(), room.now).unwrap();
    let left = Notice::LegEnded { channel: CHANNEL, reader: ANA, at: 0, reason: CloseReason::Cancelled };
    assert_eq!(room.heard(), [left]);
    room.channel.hear(BEN, FIRST, cancel, room.now).unwrap();
    assert_eq!(room.heard(), [Notice::Ended { channel: CHANNEL, at: 0, reason: CloseReason::Cancelled }]);
    assert_eq!(take(&room.writer).story(), "close 0 cancelled");
}

#[test]
fn h_73_a_kind_the_channel_does_not_carry_closes_it() {
    let mut room = Room::new(Class::Shell, &[ANA]);
    room.kind = Kind::Keys;
    assert_eq!(room.send(0, 1), Err(Fault::Kind(Kind::Keys)));
    assert_eq!(take(&room.ana).story(), "close 0 fault");
}

#[test]
fn h_45_what_was_sent_already_is_dropped_and_the_third_time_is_a_fault() {
    let room = Room::new(Class::Shell, &[ANA]);
    room.send(0, 100).unwrap();
    assert_eq!(room.send(0, 100), Ok(Passed::Taken));
    assert_eq!(room.send(50, 20), Ok(Passed::Taken));
    assert_eq!(take(&room.ana).story(), "0+100");
    assert_eq!(room.counters.of(Class::Shell).duplicate.get(), 2);
    assert_eq!(room.send(0, 10), Err(Fault::Repeated));
    counters_add_up(&room.counters, Class::Shell, 0);
}

#[test]
fn h_45_h_68_an_offset_beyond_what_was_written_is_a_fault_however_far_it_is() {
    for offset in [101, 100 + (1 << 63), u64::MAX - 1, u64::MAX] {
        let room = Room::new(Class::Shell, &[ANA]);
        room.send(0, 100).unwrap();
        let mut ahead = room.data(0, 2, Flags::default());
        ahead.header.offset = offset;
        let fault = room.channel.hear(WRITER, FIRST, ahead, room.now);
        assert_eq!(fault, Err(Fault::Gap { expected: 100, offset }));
        assert_eq!(take(&room.ana).story(), "close 0 fault", "of what waited nothing passes");
        assert_eq!(room.counters.of(Class::Shell).faults.get(), 1);
    }
}

#[test]
fn i_l5_steering_never_fills_the_queue_of_the_other_end() {
    let room = Room::new(Class::Shell, &[ANA]);
    room.send(0, 1_000).unwrap();
    take(&room.ana);
    for at in (0..1_000).rev().cycle().take(100_000) {
        room.channel.hear(ANA, FIRST, Frame::resume(CHANNEL, at), room.now).unwrap();
    }
    assert_eq!(room.writer.closing(), None);
    assert_eq!(take(&room.writer).story(), "resume 0");
}

#[test]
fn h_42_who_has_no_part_in_a_channel_changes_nothing() {
    let room = Room::new(Class::Shell, &[ANA]);
    for frame in [room.data(0, 5, Flags::default()), Frame::refresh(CHANNEL), Frame::credit(CHANNEL, 0, 9)] {
        let answer = room.channel.hear(ParticipantId(9), FIRST, frame, room.now);
        assert_eq!(answer, Err(Fault::Stranger(ParticipantId(9))));
    }
    assert_eq!(room.channel.hear(ANA, FIRST, room.data(0, 5, Flags::default()), room.now), Err(Fault::Stranger(ANA)));
    assert_eq!((take(&room.ana).story(), take(&room.writer).story()), (String::new(), String::new()));
    assert_eq!(room.send(0, 5), Ok(Passed::Taken));
}

#[test]
fn w3_1_frames_of_an_older_connection_are_dropped() {
    let room = Room::new(Class::Shell, &[ANA]);
    let again = Outbox::new(room.counters.clone());
    room.channel.attach_writer(again.clone(), AttachEpoch(2), room.now);
    assert_eq!(take(&again).story(), "resume 0");
    assert_eq!(room.send(0, 5), Ok(Passed::Stale));
    room.channel.detach(WRITER, FIRST, room.now);
    let frame = room.data(0, 5, Flags::default());
    assert_eq!(room.channel.hear(WRITER, AttachEpoch(2), frame, room.now), Ok(Passed::Taken));
}

#[test]
fn w3_3_a_reader_that_is_back_goes_on_where_it_says() {
    let room = Room::new(Class::File, &[ANA]);
    room.send(0, 1_000).unwrap();
    assert_eq!(take(&room.ana).story(), "0+1000");
    room.channel.detach(ANA, FIRST, room.now);
    room.send(1_000, 500).unwrap();
    let (again, second) = (Outbox::new(room.counters.clone()), AttachEpoch(2));
    room.channel.attach_reader(ANA, again.clone(), second, room.now);
    room.send(1_500, 500).unwrap();
    assert_eq!(take(&again).story(), "", "nothing before it says where");
    room.channel.hear(ANA, second, Frame::resume(CHANNEL, 400), room.now).unwrap();
    assert_eq!(take(&room.writer).story(), "resume 400");
    room.send(2_000, 10).unwrap();
    room.send(300, 400).unwrap();
    room.send(700, 1_310).unwrap();
    assert_eq!(take(&again).story(), "400+300, 700+1310", "what it has is trimmed, what is too far ahead waits");
    counters_add_up(&room.counters, Class::File, 0);
}

#[test]
fn w3_3_a_reader_may_not_go_on_beyond_what_was_written() {
    let room = Room::new(Class::File, &[ANA]);
    room.send(0, 10).unwrap();
    let resume = Frame::resume(CHANNEL, 11);
    assert_eq!(room.channel.hear(ANA, FIRST, resume, room.now), Err(Fault::Ahead { next: 11, written: 10 }));
    assert!(room.channel.is_over());
}

#[test]
fn w3_3_beside_others_a_reader_back_too_late_loses_its_leg_only() {
    let mut room = Room::new(Class::Shell, &[ANA, BEN]);
    room.send(0, WINDOW as usize).unwrap();
    take(&room.ana);
    room.channel.detach(BEN, FIRST, room.now);
    room.credit(ANA, WINDOW, 2 * WINDOW);
    assert_eq!(take(&room.writer).story(), "", "one who may be back is waited for");
    room.pass(Duration::from_secs(5));
    assert_eq!(take(&room.writer).story(), "credit 65536 131072");
    let (again, second) = (Outbox::new(room.counters.clone()), AttachEpoch(2));
    room.channel.attach_reader(BEN, again.clone(), second, room.now);
    room.channel.hear(BEN, second, Frame::resume(CHANNEL, 0), room.now).unwrap();
    assert_eq!(take(&again).story(), "close 65536 gap".replace("65536", "0"));
    let gone = Notice::LegEnded { channel: CHANNEL, reader: BEN, at: 0, reason: CloseReason::Gap };
    assert_eq!(room.heard(), [gone]);
    assert!(!room.channel.is_over());
}

#[test]
fn i_l4_small_frames_cost_no_more_than_their_bound() {
    let room = Room::new(Class::File, &[ANA]);
    room.credit(ANA, 0, limits::WINDOW_BYTES_MAX);
    let sent = (0..limits::WINDOW_BYTES_MAX).find_map(|at| room.send(at, 1).err().map(|fault| (at, fault)));
    assert_eq!(sent, Some((limits::OUTBOX_FRAMES_MAX as u64, Fault::Flood)));
    assert_eq!(room.ana.waiting().1, 0);
    assert_eq!(room.send(0, 0), Ok(Passed::Stale));
    counters_add_up(&room.counters, Class::File, 0);
    assert_eq!(Room::new(Class::File, &[ANA]).send(0, 0), Err(Fault::Empty));
}

#[test]
fn i_l4_frames_that_come_together_and_find_no_room_are_all_accounted_for() {
    let room = Room::new(Class::File, &[ANA, BEN]);
    for reader in [ANA, BEN] {
        room.credit(reader, 0, limits::WINDOW_BYTES_MAX);
    }
    let mut at = 0;
    let fault = loop {
        let mut run = (at..at + 60).map(|at| room.data(at, 1, Flags::default())).collect();
        match room.channel.receive(WRITER, FIRST, &mut run, room.now) {
            Ok(passed) => assert_eq!((passed, run.len()), (Passed::Taken, 0)),
            Err(fault) => break fault,
        }
        at += 60;
    };
    assert_eq!(fault, Fault::Flood);
    counters_add_up(&room.counters, Class::File, 0);
}

#[test]
fn i_p12_a_fault_in_the_middle_of_what_comes_together_ends_the_channel_there() {
    let room = Room::new(Class::File, &[ANA]);
    let whole = |at| room.data(at, 10, Flags::default());
    let mut run = VecDeque::from([whole(0), whole(10), whole(99), whole(20)]);
    let gap = Fault::Gap { expected: 20, offset: 99 };
    assert_eq!(room.channel.receive(WRITER, FIRST, &mut run, room.now), Err(gap));
    assert_eq!(run, [whole(20)], "what follows is looked at by itself");
    assert_eq!(room.channel.receive(WRITER, FIRST, &mut run, room.now), Ok(Passed::Stale));
    assert_eq!(take(&room.writer).story(), "close 20 fault");
    assert_eq!(take(&room.ana).story(), "close 0 fault");
    counters_add_up(&room.counters, Class::File, 0);
}

#[test]
fn w1_6_steering_between_data_that_comes_together_has_its_turn() {
    let room = Room::new(Class::File, &[ANA]);
    let close = Frame::close(CHANNEL, 20, CloseReason::Finished);
    let mut run = VecDeque::from([room.data(0, 10, Flags::default()), room.data(10, 10, Flags::default()), close]);
    let mut left = Vec::new();
    while !run.is_empty() {
        assert_eq!(room.channel.receive(WRITER, FIRST, &mut run, room.now), Ok(Passed::Taken));
        left.push(run.len());
    }
    assert_eq!(left, [1, 0]);
    assert_eq!(take(&room.ana).story(), "close 20 finished, 0+10, 10+10");
}
