//! The orders in which those who touch one channel at once may come: the task of a connection that drains, the one of the
//! writer that pushes, and the owner, who revokes and attaches. Shuttle tries them; a failure prints its schedule. It knows
//! sequential consistency only: which word a load sees under a weaker order is not its matter.
//!
//! Resume tokens need no model. The one owner redeems them, a command at a time (`Engine::handle` takes `&mut self`), and
//! of two ends that show the same one each has an epoch of its own; what goes on beside it is what the connection of the
//! older epoch still does, and that is here.

use super::*;
use crate::{
    ids::PermissionEpoch,
    relay::gate::{Gate, Queued},
};
use shuttle::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

/// Of each kind; more by hand: `EQUIPOISE_ORDERS=100000`.
const ORDERS: usize = 1_500;
/// How many changes of the running task a bug may need to show.
const DEPTH: usize = 3;

fn in_every_order(model: fn()) {
    let orders = std::env::var("EQUIPOISE_ORDERS").ok().and_then(|text| text.parse().ok()).unwrap_or(ORDERS);
    shuttle::check_random(model, orders);
    shuttle::check_pct(model, orders, DEPTH);
}

/// A socket: what was handed to it, at the moment when it was.
#[derive(Clone, Default)]
struct Socket {
    taken: Arc<AtomicU64>,
    closed: Option<u64>,
}

impl Sink for Socket {
    fn control(&mut self, message: Bytes) {
        let frame = Frame::decode(message).unwrap();
        if frame.header.kind == Kind::Close {
            self.closed = Some(frame.header.offset);
        }
    }

    fn frame(&mut self, frame: Admitted<'_>) {
        self.taken.fetch_add(frame.frame().payload.len() as u64, Ordering::SeqCst);
    }
}

#[test]
fn i_p3_w2_2_what_left_when_a_revocation_returns_is_what_it_names_and_all_that_ever_leaves() {
    in_every_order(|| {
        let room = Arc::new(Room::new(Class::File, &[ANA]));
        let mut socket = Socket::default();
        let (taken, outbox) = (socket.taken.clone(), room.ana.clone());
        let draining = thread::spawn(move || {
            while socket.closed.is_none() {
                outbox.drain(116, &mut socket);
                thread::yield_now();
            }
            socket.closed
        });
        let way = room.clone();
        let writing = thread::spawn(move || (0..4).all(|at| way.send(at * 100, 100).is_ok()));
        let last = room.channel.revoke(ANA, room.now, &mut LastWords::default());
        assert_eq!(taken.load(Ordering::SeqCst), last, "named");
        assert_eq!(draining.join().unwrap(), Some(last), "told");
        assert!(writing.join().unwrap());
        room.ana.drain(10_000, &mut Socket { taken: taken.clone(), closed: None });
        assert_eq!(taken.load(Ordering::SeqCst), last, "arrived");
    });
}

#[test]
fn i_p2_i_p4_of_two_epochs_the_newer_stays_and_a_shut_gate_stays_shut() {
    in_every_order(|| {
        let gate = Arc::new(Gate::new(Kind::Keys.bit(), PermissionEpoch(1)));
        let set = |kinds, epoch| {
            let gate = gate.clone();
            thread::spawn(move || gate.set(kinds, PermissionEpoch(epoch)))
        };
        let setting = [set(0, 3), set(Kind::Keys.bit(), 2)];
        setting.into_iter().for_each(|thread| thread.join().unwrap());
        let header = Header { kind: Kind::Keys, flags: Flags::default(), channel: CHANNEL, offset: 0 };
        let queued = Queued { frame: Frame { header, payload: "x".into() }, skipped: 0 };
        assert!(gate.admit(queued.clone()).is_err(), "the third epoch takes it away");

        let setting = set(Kind::Keys.bit(), 4);
        gate.shut();
        assert!(gate.admit(queued.clone()).is_err());
        setting.join().unwrap();
        assert!(gate.admit(queued).is_err());
    });
}

#[test]
fn w3_1_w3_3_a_writer_whose_newer_connection_is_attached_is_heard_on_no_older_one_and_no_byte_is_lost() {
    in_every_order(|| {
        let room = Arc::new(Room::new(Class::Shell, &[ANA]));
        let attached = Arc::new(AtomicBool::new(false));
        let (way, newer) = (room.clone(), attached.clone());
        let older = thread::spawn(move || {
            for at in 0..3 {
                let over = newer.load(Ordering::SeqCst);
                let passed = way.send(at * 10, 10).unwrap();
                assert!(!over || passed == Passed::Stale, "heard after the newer connection was attached");
            }
        });
        let outbox = Outbox::new(room.counters.clone());
        room.channel.attach_writer(outbox.clone(), AttachEpoch(2), room.now);
        attached.store(true, Ordering::SeqCst);
        let resume = take(&outbox).control.into_iter().find(|frame| frame.header.kind == Kind::Resume);
        let mut at = resume.expect("it is told where to go on").header.offset;
        while at < 40 {
            let frame = room.data(at, 10, Flags::default());
            assert_eq!(room.channel.hear(WRITER, AttachEpoch(2), frame, room.now), Ok(Passed::Taken));
            at += 10;
        }
        older.join().unwrap();
        let expected: Vec<u8> = (0..40).map(byte_at).collect();
        assert_eq!(take(&room.ana).bytes(), expected);
    });
}

#[test]
fn w3_1_i_l6_once_a_readers_newer_connection_is_attached_nothing_leaves_by_the_older() {
    in_every_order(|| {
        let room = Arc::new(Room::new(Class::Shell, &[ANA]));
        for at in 0..4 {
            room.send(at * 10, 10).unwrap();
        }
        let mut socket = Socket::default();
        let (taken, outbox) = (socket.taken.clone(), room.ana.clone());
        let draining = thread::spawn(move || {
            for _ in 0..4 {
                outbox.drain(26, &mut socket);
            }
        });
        let newer = Outbox::new(room.counters.clone());
        room.channel.attach_reader(ANA, newer.clone(), AttachEpoch(2), room.now);
        let had = taken.load(Ordering::SeqCst);
        let older = Frame::credit(CHANNEL, had, had + 1_000);
        assert_eq!(room.channel.hear(ANA, FIRST, older, room.now), Ok(Passed::Stale));
        draining.join().unwrap();
        assert_eq!(taken.load(Ordering::SeqCst), had);
        room.channel.hear(ANA, AttachEpoch(2), Frame::resume(CHANNEL, had), room.now).unwrap();
        let resume = take(&room.writer).control.into_iter().find(|frame| frame.header.kind == Kind::Resume);
        let from = resume.map_or(had, |frame| frame.header.offset);
        for at in (from..40).step_by(10) {
            room.send(at, 10).unwrap();
        }
        let rest: Vec<u8> = (had..40).map(byte_at).collect();
        assert_eq!(take(&newer).bytes(), rest, "and the rest by the newer");
    });
}

#[test]
fn w1_5_a_writer_without_credit_for_a_frame_hears_when_all_has_left() {
    in_every_order(|| {
        let room = Arc::new(Room::new(Class::File, &[ANA]));
        room.credit(ANA, 0, limits::WINDOW_BYTES_MAX);
        let large = Bytes::from_static(&[7; limits::FRAME_PAYLOAD_BYTES_MAX]);
        let send = |at| {
            let mut frame = room.data(at, 0, Flags::default());
            frame.payload = large.clone();
            room.channel.hear(WRITER, FIRST, frame, room.now).unwrap();
        };
        room.send(0, 1).unwrap();
        let (way, mut socket) = (room.clone(), Socket::default());
        let total = 1 + 3 * large.len() as u64;
        let draining = thread::spawn(move || {
            while socket.taken.load(Ordering::SeqCst) < total {
                if way.ana.drain(limits::WRITE_BATCH_BYTES, &mut socket).roomy {
                    way.ana.roomy().into_iter().for_each(|_| way.channel.left(way.now));
                }
                thread::yield_now();
            }
        });
        (1..total).step_by(large.len()).for_each(send);
        draining.join().unwrap();
        let told = take(&room.writer).control.pop().and_then(|credit| credit.payload.first_chunk().copied());
        let limit = told.map_or(window(Class::File), u64::from_be_bytes);
        assert!(limit - total >= large.len() as u64, "{limit} of {total}");
    });
}
