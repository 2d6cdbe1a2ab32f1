//! Whole messages that are wrong inside, and floods of right ones (H-39…H-46, H-74).

use crate::attack::{Ground, Raw, frame, in_time};
use bytes::Bytes;
use equipoise::{
    framing::websocket::{Decoder, End, Item},
    ids::ChannelId,
    limits,
    wire::{
        CloseCode, Do, Flags, Frame, FromBroker, FromClient, Header, Kind, Part,
        control::{Open, Value},
        frame::CloseReason,
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn data(kind: Kind, channel: u32, offset: u64, payload: &'static [u8]) -> Bytes {
    let header = Header { kind, flags: Flags::default(), channel: ChannelId(channel), offset };
    Frame { header, payload: Bytes::from_static(payload) }.encode()
}

/// Each message ends the connection of the customer who sends it with its code, and nothing else.
async fn end_with(cases: &[(&str, Vec<u8>, u16)]) {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    for (case, message, code) in cases {
        let mut raw = ground.stranger().await;
        raw.message(message).await;
        let (ended, reason) = raw.ends_with_reason().await;
        assert_eq!(ended, *code, "{case}: {reason}");
        ground.unharmed().await;
    }
    ground.close().await;
}

/// `{"ping": 1, "x": …}`: a good message with something beside it that would be ignored.
fn beside(value: &[u8]) -> Vec<u8> {
    [&b"\x82\xa4ping\x01\xa1x"[..], value].concat()
}

#[tokio::test]
async fn h_39_nesting_of_10_000_and_of_33_levels_is_4540() {
    let nested = |levels: usize| beside(&[vec![0x91; levels], vec![0xc0]].concat());
    let maps = |levels: usize| beside(&[b"\x81\xa1x".repeat(levels), vec![0xc0]].concat());
    end_with(&[
        ("10,000 lists", nested(10_000), 4540),
        ("33 lists", nested(33), 4540),
        ("10,000 maps", maps(10_000), 4540),
    ])
    .await;
}

#[tokio::test]
async fn h_40_a_header_that_claims_4_gib_is_4540() {
    end_with(&[
        ("a list", beside(b"\xdd\xff\xff\xff\xff"), 4540),
        ("a map", beside(b"\xdf\xff\xff\xff\xff"), 4540),
        ("a text", beside(b"\xdb\xff\xff\xff\xff"), 4540),
        ("bytes", beside(b"\xc6\xff\xff\xff\xff"), 4540),
        ("the message itself", b"\xdf\xff\xff\xff\xff\xa4ping\x01".to_vec(), 4540),
    ])
    .await;
}

#[tokio::test]
async fn h_41_doubled_keys_wrong_types_and_odd_numbers_are_4540() {
    end_with(&[
        ("a key twice", b"\x82\xa4ping\x01\xa4ping\x02".to_vec(), 4540),
        ("a text for a number", b"\x81\xa4ping\xa11".to_vec(), 4540),
        ("an extension", beside(b"\xd4\x01\x00"), 4540),
        ("NaN", beside(b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), 4540),
        ("minus zero", beside(b"\xcb\x80\x00\x00\x00\x00\x00\x00\x00"), 4540),
        ("2^53", b"\x81\xa4ping\xcf\x00\x20\x00\x00\x00\x00\x00\x00".to_vec(), 4540),
        ("a list", b"\x93\x01\x02\x03".to_vec(), 4540),
        ("nothing", Vec::new(), 4540),
        ("two kinds at once", b"\x82\xa4ping\x01\xa4pong\x01".to_vec(), 4540),
    ])
    .await;
}

#[tokio::test]
async fn h_41_unknown_fields_are_ignored_and_unknown_requests_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let mut raw = ground.stranger().await;
    raw.message(&beside(b"\x81\xa1y\x93\xc0\xc2\xc3")).await;
    raw.say(&FromClient::Unknown { id: 1, name: "sudo".into() }).await;
    let refused = raw.reply(1).await.unwrap_err();
    assert_eq!(refused.code, "unknown_request");
    raw.is_alive().await;
    ground.close().await;
}

#[tokio::test]
async fn h_60_a_path_with_overlong_dots_is_4540() {
    let path = ("path".to_owned(), Value::Text("/srv/ab".into()));
    let open = Open { session: 1, tool: "file_transfer".into(), args: [path].into() };
    let message = FromClient::Request { id: 1, act: Box::new(Do::Open(open)) }.encode();
    let at = message.windows(7).position(|seven| seven == b"/srv/ab").expect("the path is in it");
    let overlong = |bytes: &[u8]| {
        let mut message = message.to_vec();
        message[at + 7 - bytes.len()..at + 7].copy_from_slice(bytes);
        message
    };
    end_with(&[
        ("an overlong dot", overlong(b"\xc0\xae"), 4540),
        ("two of them and a separator", overlong(b"\xc0\xae\xc0\xae\xc0\xaf"), 4540),
        ("half a character", overlong(b"\xe2\x82"), 4540),
    ])
    .await;
}

#[tokio::test]
async fn h_43_bytes_after_a_message_are_4540() {
    end_with(&[
        ("one", [&FromClient::Ping(1).encode()[..], b"\xc0"].concat(), 4540),
        ("a second message", FromClient::Ping(1).encode().repeat(2), 4540),
    ])
    .await;
}

#[tokio::test]
async fn h_44_a_frame_of_an_unknown_kind_or_with_reserved_bits_is_4540() {
    let good = data(Kind::File, 7, 0, b"x");
    assert_eq!(Part::of(&good), Some(Part::Frame));
    let but = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        bytes
    };
    end_with(&[
        ("an unknown kind", but(0, 0x1f), 4540),
        ("unknown flags", but(1, 0x80), 4540),
        ("reserved bits", but(2, 1), 4540),
        ("shorter than its header", good[..15].to_vec(), 4540),
    ])
    .await;
}

#[tokio::test]
async fn h_44_a_hello_of_another_shape_is_4540_and_a_second_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    for message in [&b"\x81\xa5hello\x80"[..], b"\x81\xa5hello\xc0", b"\x81\xa4ping\x01", b"\x01", b"\xff"] {
        let mut raw = ground.socket().await;
        raw.message(message).await;
        assert_eq!(raw.ends().await, CloseCode::BadMessage.number());
        ground.unharmed().await;
    }
    let mut raw = ground.stranger().await;
    raw.say(&FromClient::Hello(Box::new(ground.customers_hello().await))).await;
    assert_eq!(raw.ends().await, CloseCode::BadMessage.number());
    ground.close().await;
}

#[tokio::test]
async fn h_46_a_flood_of_requests_is_4029_after_the_burst_and_frames_pass_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let raw = ground.stranger().await;
    let mut flood = Vec::new();
    for id in 1..=10_000 {
        let request = FromClient::Request { id, act: Box::new(Do::Explain { session: id, past: false, offer: None }) };
        flood.extend(frame(0x82, &request.encode()));
    }
    let (mut reader, mut writer) = tokio::io::split(raw.stream);
    let writing = tokio::spawn(async move {
        // Ends as soon as the broker has closed.
        let _ = writer.write_all(&flood).await;
        writer
    });
    for _ in 0..20 {
        ground.unharmed().await;
    }
    let (mut answers, mut code) = (0, 0);
    let mut decoder = Decoder::new(End::Client, 1 << 20);
    let mut piece = vec![0; 16 * 1024];
    'reading: while let Ok(read) = in_time(reader.read(&mut piece)).await {
        let mut input = &piece[..read];
        if read == 0 {
            break;
        }
        while let Some(item) = decoder.feed(&mut input).unwrap() {
            match item {
                Item::Message(message) => {
                    answers += u32::from(matches!(FromBroker::decode(&message), Ok(FromBroker::Reply { .. })));
                }
                Item::Close(close) => {
                    code = close.unwrap().0;
                    break 'reading;
                }
                _ => {}
            }
        }
    }
    assert_eq!(code, 4029);
    assert!(answers <= limits::PERSON_MESSAGES_BURST + 10 * limits::PERSON_MESSAGES_PER_S, "{answers} were answered");
    drop(reader);
    drop(writing.await.unwrap());
    ground.close().await;
}

/// Sends `count` frames and gives the channel CLOSEs that were heard, and the code it ended with.
async fn frames_without_right(mut raw: Raw, sent: &[u8], count: u32) -> (u32, u16) {
    let mut flood = Vec::new();
    for _ in 0..count {
        flood.extend(frame(0x82, sent));
    }
    raw.send(&flood).await;
    let mut closes = 0;
    loop {
        match raw.next().await {
            Some(Item::Message(message)) => {
                closes += u32::from(message.first() == Some(&(Kind::Close as u8)));
            }
            Some(Item::Close(close)) => return (closes, close.unwrap().0),
            Some(_) => {}
            None => return (closes, 0),
        }
    }
}

#[tokio::test]
async fn h_74_a_flood_of_frames_without_right_has_no_answer_and_ends_with_4029() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    for channel in [1, 4_000_000] {
        let raw = ground.stranger().await;
        let sent = data(Kind::Keys, channel, 0, b"x");
        let (closes, code) = frames_without_right(raw, &sent, limits::DROPPED_FRAMES_BURST + 500).await;
        assert_eq!((closes, code), (0, 4029), "channel {channel}");
        ground.unharmed().await;
    }
    ground.close().await;
}

#[tokio::test]
async fn h_74_h_42_some_frames_without_right_are_forgiven_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let mut raw = ground.stranger().await;
    for channel in 0..1_000 {
        // One of these is the pair's own channel: forged data, credit, and its end.
        raw.message(&data(Kind::File, channel, 0, b"forged")).await;
        raw.message(&Frame::credit(ChannelId(channel), 1 << 30, 1 << 40).encode()).await;
        raw.message(&Frame::close(ChannelId(channel), 0, CloseReason::Cancelled).encode()).await;
    }
    raw.is_alive().await;
    ground.unharmed().await;
    ground.close().await;
}
