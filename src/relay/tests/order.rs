//! One socket's order: classes, turns within a class, control first, bounds, and wake-ups.

use super::*;
use crate::{limits, wire::CloseCode};

/// A channel of its own into one shared outbox.
fn into(outbox: &Arc<Outbox>, counters: &Arc<RelayCounters>, number: u32, class: Class) -> Arc<Channel> {
    let spec = ChannelSpec { channel: ChannelId(number), ..spec(class, &[ANA]) };
    let now = Instant::now();
    let channel = Channel::new(spec, class, limits::WINDOW_BYTES_MAX, counters, Arc::new(|_| ()), now);
    channel.attach_writer(Outbox::new(counters.clone()), FIRST, now);
    channel.attach_reader(ANA, outbox.clone(), FIRST, now);
    channel
}

fn send(channel: &Channel, offset: u64, len: usize) {
    let spec = channel.spec();
    let kind = Kind::DATA.into_iter().find(|kind| kind.bit() & spec.kinds != 0).unwrap();
    let header = Header { kind, flags: Flags::START, channel: spec.channel, offset };
    let frame = Frame { header, payload: vec![0; len].into() };
    channel.hear(WRITER, FIRST, frame, Instant::now()).unwrap();
}

fn channels(taken: &Taken) -> Vec<u32> {
    taken.frames.iter().map(|frame| frame.header.channel.0).collect()
}

#[test]
fn w1_10_control_then_input_then_shell_then_pictures_then_files() {
    let counters = Arc::new(RelayCounters::default());
    let outbox = Outbox::new(counters.clone());
    let classes = [Class::File, Class::Picture, Class::Shell, Class::Input];
    for (number, class) in classes.into_iter().enumerate() {
        send(&into(&outbox, &counters, number as u32, class), 0, 10);
    }
    outbox.control(Frame::refresh(CHANNEL).encode()).unwrap();
    let mut taken = Taken::default();
    assert_eq!(outbox.drain(16, &mut taken), drained(16, true));
    assert_eq!(taken.story(), "refresh", "control goes first");
    assert_eq!(channels(&take(&outbox)), [3, 2, 1, 0]);
}

#[test]
fn f8_a_key_overtakes_a_file_that_waits() {
    let counters = Arc::new(RelayCounters::default());
    let outbox = Outbox::new(counters.clone());
    let file = into(&outbox, &counters, 1, Class::File);
    (0..16).for_each(|at| send(&file, at * 16_384, 16_384));
    let mut taken = Taken::default();
    outbox.drain(64 * 1024, &mut taken);
    let before = taken.frames.len();
    send(&into(&outbox, &counters, 2, Class::Input), 0, 1);
    outbox.drain(64 * 1024, &mut taken);
    assert_eq!(channels(&taken)[before], 2);
}

#[test]
fn f9_channels_of_a_class_share_by_bytes_not_by_frames() {
    let counters = Arc::new(RelayCounters::default());
    let outbox = Outbox::new(counters.clone());
    let (large, small) = (into(&outbox, &counters, 1, Class::File), into(&outbox, &counters, 2, Class::File));
    (0..4).for_each(|at| send(&large, at * 65_536, 65_536));
    (0..256).for_each(|at| send(&small, at * 1_024, 1_024));
    let mut taken = Taken::default();
    let mut bytes = [0_usize; 3];
    while bytes[1] + bytes[2] < 300_000 {
        taken.frames.clear();
        outbox.drain(64 * 1024, &mut taken);
        for frame in &taken.frames {
            bytes[frame.header.channel.0 as usize] += frame.payload.len();
        }
    }
    let share = bytes[1] as f64 / (bytes[1] + bytes[2]) as f64;
    assert!((0.35..=0.65).contains(&share), "{bytes:?}");
}

#[test]
fn i_l5_a_full_stream_holds_up_its_own_channel_only() {
    let counters = Arc::new(RelayCounters::default());
    let outbox = Outbox::new(counters.clone());
    let (full, free) = (into(&outbox, &counters, 1, Class::File), into(&outbox, &counters, 2, Class::File));
    send(&full, 0, 10);
    send(&free, 0, 10);
    let mut taken = Taken { full: vec![ChannelId(1)], ..Taken::default() };
    assert_eq!(outbox.drain(64 * 1024, &mut taken), drained(26, false));
    assert_eq!(channels(&taken), [2]);
    send(&full, 10, 10);
    assert_eq!(channels(&take(&outbox)), Vec::<u32>::new(), "it waits to be told");
    outbox.writable(ChannelId(1));
    assert_eq!(channels(&take(&outbox)), [1, 1]);
}

#[test]
fn w1_7_a_peer_that_does_not_read_control_is_closed_as_slow() {
    let room = Room::new(Class::Shell, &[ANA]);
    room.send(0, 10).unwrap();
    let message = Bytes::from(vec![0x80; limits::MESSAGE_BYTES_MAX]);
    let taken = (0..100).take_while(|_| room.ana.control(message.clone()).is_ok()).count();
    assert_eq!(taken, limits::CONTROL_QUEUE_BYTES / limits::MESSAGE_BYTES_MAX);
    assert_eq!(room.ana.closing().map(|closing| closing.code), Some(CloseCode::Slow));
    assert_eq!(room.ana.waiting(), (limits::CONTROL_QUEUE_BYTES, 0), "frames are dropped, control is still written");
    room.send(10, 10).unwrap();
    assert_eq!(room.ana.waiting().1, 0);
    counters_add_up(&room.counters, Class::Shell, 0);
}

#[test]
fn w4_2_the_first_reason_to_close_counts() {
    let outbox = Outbox::new(Arc::default());
    outbox.close(CloseCode::Moved, "another node has it", Some(250));
    outbox.close(CloseCode::Slow, "too late", None);
    let closing = Closing { code: CloseCode::Moved, reason: "another node has it".into(), retry_after_ms: Some(250) };
    assert_eq!(outbox.closing(), Some(closing));
}

#[tokio::test]
async fn a_waiting_socket_is_woken_once_and_for_everything() {
    let room = Room::new(Class::Shell, &[ANA]);
    let outbox = room.ana.clone();
    let socket = tokio::spawn(async move {
        let mut taken = Taken::default();
        while taken.bytes().len() < 1_000 {
            outbox.ready().await;
            while outbox.drain(64, &mut taken).more {}
        }
        taken.bytes()
    });
    for at in 0..100 {
        room.send(at * 10, 10).unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(socket.await.unwrap(), (0..1_000).map(byte_at).collect::<Vec<_>>());
}

#[tokio::test]
async fn closing_wakes_a_socket_that_waits() {
    let outbox = Outbox::new(Arc::default());
    let waiting = tokio::spawn({
        let outbox = outbox.clone();
        async move { outbox.ready().await }
    });
    tokio::task::yield_now().await;
    outbox.close(CloseCode::Restart, "going down", None);
    waiting.await.unwrap();
}
