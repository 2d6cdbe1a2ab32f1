//! Revocation: no byte past the final offset, ever (I-P2, I-P3).

use super::*;
use crate::ids::PermissionEpoch;
use std::collections::BTreeMap;

#[test]
fn i_p3_a_revoked_leg_ends_at_the_last_byte_that_was_handed_to_its_socket() {
    let room = Room::new(Class::File, &[ANA]);
    for at in 0..4 {
        room.send(at * 16_384, 16_384).unwrap();
    }
    let mut taken = Taken::default();
    room.ana.drain(20_000, &mut taken);
    let last = room.channel.revoke(ANA, room.now, &mut LastWords::default());
    assert_eq!(last, taken.bytes().len() as u64);
    room.send(4 * 16_384, 10).unwrap();
    let after = take(&room.ana);
    assert_eq!(after.story(), format!("close {last} revoked"));
    assert_eq!(room.counters.of(Class::File).refused.get(), 2);
    counters_add_up(&room.counters, Class::File, 0);
}

#[test]
fn i_p3_a_revoked_leg_never_opens_again_by_itself() {
    let room = Room::new(Class::Shell, &[ANA, BEN]);
    room.send(0, 10).unwrap();
    room.channel.revoke(ANA, room.now, &mut LastWords::default());
    room.channel.allow(ANA, u32::MAX, PermissionEpoch(9));
    assert_eq!(room.channel.hear(ANA, FIRST, Frame::resume(CHANNEL, 0), room.now), Ok(Passed::Stale));
    room.channel.attach_reader(ANA, room.ana.clone(), AttachEpoch(2), room.now);
    room.send(10, 10).unwrap();
    assert!(take(&room.ana).bytes().is_empty());
    assert_eq!(take(&room.ben).bytes().len(), 20);
}

#[test]
fn i_p2_a_gate_shut_while_frames_wait_stops_them_at_the_socket() {
    let room = Room::new(Class::Shell, &[ANA]);
    room.send(0, 10).unwrap();
    room.channel.allow(ANA, 0, PermissionEpoch(2));
    assert!(take(&room.ana).bytes().is_empty());
    assert_eq!(room.counters.of(Class::Shell).refused.get(), 1);
}

#[test]
fn w2_2_a_removed_channel_names_every_readers_final_offset() {
    let room = Room::new(Class::Shell, &[ANA, BEN]);
    room.send(0, 100).unwrap();
    take(&room.ana);
    assert_eq!(
        room.channel.remove(CloseReason::SessionEnded, room.now, &mut LastWords::default()),
        BTreeMap::from([(ANA, 100), (BEN, 0)])
    );
    assert_eq!(take(&room.ana).story(), "close 100 session_ended");
    assert_eq!(take(&room.ben).story(), "close 0 session_ended");
    assert_eq!(take(&room.writer).story(), "close 100 session_ended");
    assert_eq!(room.heard(), [], "the owner knows already");
    assert_eq!(room.send(100, 1), Ok(Passed::Stale));
}

/// The owner cuts many channels before it wakes anybody.
#[test]
fn w2_2_what_the_ends_are_told_may_wait_and_the_shut_gate_does_not() {
    let room = Room::new(Class::Shell, &[ANA, BEN]);
    room.send(0, 100).unwrap();
    let mut words = LastWords::default();
    assert_eq!(room.channel.revoke(ANA, room.now, &mut words), 0);
    assert_eq!(room.channel.remove(CloseReason::Revoked, room.now, &mut words), BTreeMap::from([(BEN, 0)]));
    assert_eq!(room.send(100, 1), Ok(Passed::Stale));
    let all = || [&room.ana, &room.ben, &room.writer].map(|end| take(end).story());
    assert_eq!(all(), ["", "", ""]);
    drop(words);
    assert_eq!(all(), ["close 0 revoked", "close 0 revoked", "close 100 revoked"]);
}

/// The relay ends a leg by itself and the owner hears of it a moment later: a revocation in between names the same.
#[test]
fn w2_2_a_leg_that_ended_by_itself_is_named_where_it_ended() {
    let room = Room::new(Class::Shell, &[ANA, BEN]);
    room.send(0, 100).unwrap();
    let _ = (take(&room.ana), take(&room.ben));
    let cancelled = Frame::close(CHANNEL, 60, CloseReason::Cancelled);
    room.channel.hear(ANA, FIRST, cancelled.clone(), room.now).unwrap();
    assert_eq!(take(&room.ana).story(), "close 100 cancelled");
    assert_eq!(room.channel.revoke(ANA, room.now, &mut LastWords::default()), 100);
    room.send(100, 20).unwrap();
    take(&room.ben);
    room.channel.hear(BEN, FIRST, cancelled, room.now).unwrap();
    assert_eq!(take(&room.ben).story(), "close 120 cancelled");
    assert_eq!(
        room.channel.remove(CloseReason::Revoked, room.now, &mut LastWords::default()),
        BTreeMap::from([(BEN, 120)]),
        "Ana was named before"
    );
}

/// A socket and a revoking owner in two threads: whatever the moment, the reader has every byte before the final
/// offset and none after it.
#[test]
fn i_p3_no_frame_leaves_after_a_revocation_returned() {
    for round in 0..200_u64 {
        let room = Room::new(Class::File, &[ANA]);
        for at in 0..64 {
            room.send(at * 100, 100).unwrap();
        }
        let outbox = room.ana.clone();
        let socket = std::thread::spawn(move || {
            let mut taken = Taken::default();
            while !taken.control.iter().any(|frame| frame.header.kind == Kind::Close) {
                outbox.drain(116, &mut taken);
            }
            taken.bytes().len() as u64
        });
        (0..round * 20).for_each(|_| std::hint::spin_loop());
        let last = room.channel.revoke(ANA, room.now, &mut LastWords::default());
        assert_eq!(socket.join().unwrap(), last);
    }
}
