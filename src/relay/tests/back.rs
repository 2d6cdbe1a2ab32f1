//! Readers and writers that come back, or come for the first time to what is there already (W1.7, W3.3).

use super::*;

const AGAIN: AttachEpoch = AttachEpoch(2);

/// A channel after a restart of the broker: its ends are back, and nobody has said anything.
fn restarted(class: Class, readers: &[ParticipantId]) -> Room {
    let mut room = Room::new(class, &[]);
    room.channel = Channel::recovered(
        spec(class, readers),
        class,
        limits::WINDOW_BYTES_MAX,
        &room.counters,
        hearer(&room.notices),
        room.now,
    );
    room.kind = Kind::DATA.into_iter().find(|kind| kind.bit() & room.channel.spec().kinds != 0).unwrap();
    room.channel.attach_writer(room.writer.clone(), FIRST, room.now);
    room.channel.attach_reader(ANA, room.ana.clone(), FIRST, room.now);
    room.channel.attach_reader(BEN, room.ben.clone(), FIRST, room.now);
    room
}

fn say(room: &Room, who: ParticipantId, frame: Frame) -> Result<Passed, Fault> {
    room.channel.hear(who, FIRST, frame, room.now)
}

#[test]
fn w1_7_a_leg_opened_while_its_reader_is_away_begins_when_it_is_back() {
    let room = Room::new(Class::Shell, &[ANA]);
    room.send(0, 500).unwrap();
    room.channel.expect_leg(BEN, room.now);
    room.send(500, 100).unwrap();
    take(&room.writer);
    let start = room.channel.attach_reader(BEN, room.ben.clone(), AGAIN, room.now);
    assert_eq!(start, Some(600), "at the current offset");
    assert_eq!(take(&room.writer).story(), "refresh");
    room.send(600, 7).unwrap();
    assert_eq!(take(&room.ben).story(), "600+7");
    assert_eq!(take(&room.ana).bytes().len(), 607);
    counters_add_up(&room.counters, Class::Shell, 0);
}

#[test]
fn w1_7_a_reader_that_is_awaited_holds_nobody_up() {
    let room = Room::new(Class::Shell, &[ANA]);
    room.channel.expect_leg(BEN, room.now);
    room.send(0, 65_536).unwrap();
    take(&room.ana);
    room.credit(ANA, 65_536, 2 * 65_536);
    assert_eq!(take(&room.writer).story(), "credit 65536 131072");
    say(&room, WRITER, Frame::close(CHANNEL, 65_536, CloseReason::Finished)).unwrap();
    assert!(room.channel.is_over(), "it would have begun at the end");
}

#[test]
fn w3_3_after_a_restart_no_reader_goes_on_beyond_what_its_writer_wrote() {
    let room = restarted(Class::Shell, &[ANA, BEN]);
    say(&room, BEN, Frame::resume(CHANNEL, 1_000_000)).unwrap();
    assert_eq!(take(&room.writer).story(), "resume 1000000", "nobody here can know better yet");
    say(&room, WRITER, Frame::resume(CHANNEL, 500)).unwrap();
    let gone = Notice::LegEnded { channel: CHANNEL, reader: BEN, at: 1_000_000, reason: CloseReason::Fault };
    assert_eq!(room.heard(), [gone], "the fault is that reader's alone");
    assert_eq!(take(&room.ben).story(), "close 1000000 fault");

    take(&room.writer);
    say(&room, ANA, Frame::resume(CHANNEL, 400)).unwrap();
    assert_eq!(take(&room.writer).story(), "resume 400");
    room.send(400, 100).unwrap();
    room.send(500, 10).unwrap();
    assert_eq!(take(&room.ana).story(), "400+100, 500+10");
    counters_add_up(&room.counters, Class::Shell, 0);
}

#[test]
fn w3_3_after_a_restart_a_reader_that_claims_too_much_is_refused_at_once_where_the_writer_spoke_first() {
    let room = restarted(Class::Shell, &[ANA, BEN]);
    say(&room, WRITER, Frame::resume(CHANNEL, 500)).unwrap();
    assert_eq!(say(&room, BEN, Frame::resume(CHANNEL, 501)), Err(Fault::Ahead { next: 501, written: 500 }));
    say(&room, ANA, Frame::resume(CHANNEL, 500)).unwrap();
    assert_eq!(take(&room.writer).story(), "resume 500");
    room.send(500, 10).unwrap();
    assert_eq!(take(&room.ana).story(), "500+10");
}

#[test]
fn w3_3_after_a_restart_a_reader_ahead_of_another_has_no_hole() {
    let room = restarted(Class::Shell, &[ANA, BEN]);
    say(&room, WRITER, Frame::resume(CHANNEL, 500)).unwrap();
    say(&room, ANA, Frame::resume(CHANNEL, 300)).unwrap();
    say(&room, BEN, Frame::resume(CHANNEL, 450)).unwrap();
    assert_eq!(take(&room.writer).story(), "resume 300");
    room.send(300, 200).unwrap();
    assert_eq!(take(&room.ana).story(), "300+200");
    assert_eq!(take(&room.ben).story(), "450+50");
}

#[test]
fn w3_3_after_a_restart_a_reader_without_a_place_begins_where_the_writer_is() {
    let room = restarted(Class::Shell, &[ANA]);
    say(&room, ANA, Frame::refresh(CHANNEL)).unwrap();
    say(&room, WRITER, Frame::resume(CHANNEL, 500)).unwrap();
    assert_eq!(take(&room.writer).story(), "resume 500, refresh");
    room.send(500, 10).unwrap();
    assert_eq!(take(&room.ana).story(), "500+10");
}

#[test]
fn w3_3_a_reader_without_a_place_joins_beside_one_that_has_its_own() {
    let room = restarted(Class::Shell, &[ANA, BEN]);
    say(&room, BEN, Frame::refresh(CHANNEL)).unwrap();
    say(&room, ANA, Frame::resume(CHANNEL, 300)).unwrap();
    room.send(300, 10).unwrap();
    assert_eq!(take(&room.ana).story(), "300+10");
    assert_eq!(take(&room.ben).story(), "300+10");
}

#[test]
fn w3_3_a_writer_that_keeps_less_than_was_passed_on_ends_its_channel() {
    let room = Room::new(Class::File, &[ANA]);
    room.send(0, 1_000).unwrap();
    say(&room, WRITER, Frame::resume(CHANNEL, 1_000)).unwrap();
    assert!(!room.channel.is_over());
    say(&room, WRITER, Frame::resume(CHANNEL, 999)).unwrap();
    let ended = Notice::Ended { channel: CHANNEL, at: 1_000, reason: CloseReason::Gap };
    assert_eq!(room.heard(), [ended]);
}

#[test]
fn w3_3_a_reader_whose_leg_is_over_is_told_of_no_channel() {
    let room = Room::new(Class::Shell, &[ANA, BEN]);
    room.channel.revoke(BEN, room.now, &mut LastWords::default());
    assert_eq!(room.channel.attach_reader(BEN, room.ben.clone(), AGAIN, room.now), None);
    assert_eq!(room.channel.readers(), [ANA]);
}
