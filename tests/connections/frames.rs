//! WebSocket frames that no client sends, and how each ends the connection (H-23, H-25…H-38).

use crate::attack::{Ground, Raw, frame, frame_head, header, http, in_time, upgrade};
use equipoise::{limits, wire::FromClient};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const BINARY_PART: u8 = 0x02;
const PART: u8 = 0x00;
const LAST_PART: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// Each of these bytes, sent by a customer who was welcomed, ends that connection with its code, and nothing else.
async fn end_with(cases: &[(&str, Vec<u8>, u16)]) {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    for (case, bytes, code) in cases {
        let mut raw = ground.stranger().await;
        raw.send(bytes).await;
        assert_eq!(raw.ends().await, *code, "{case}");
        ground.unharmed().await;
    }
    ground.close().await;
}

fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}

fn ping_message() -> Vec<u8> {
    FromClient::Ping(1).encode().to_vec()
}

#[tokio::test]
async fn h_25_an_unmasked_frame_is_1002() {
    end_with(&[
        ("a message", unmasked(BINARY, &ping_message()), 1002),
        ("a ping", unmasked(PING, b"x"), 1002),
        ("a close", unmasked(CLOSE, &1000u16.to_be_bytes()), 1002),
    ])
    .await;
}

#[tokio::test]
async fn h_26_reserved_bits_and_opcodes_are_1002() {
    let mut cases = Vec::new();
    for bit in [0x40, 0x20, 0x10] {
        cases.push(("a reserved bit", frame(BINARY | bit, &ping_message()), 1002));
    }
    for opcode in [0x3, 0x7, 0xb, 0xf] {
        cases.push(("a reserved opcode", frame(0x80 | opcode, b"x"), 1002));
    }
    end_with(&cases).await;
}

#[tokio::test]
async fn h_27_a_claimed_length_of_2_to_the_63_is_1009_before_a_byte_of_it() {
    end_with(&[
        ("2^63 - 1", frame_head(BINARY, (1 << 63) - 1), 1009),
        ("2^63", frame_head(BINARY, 1 << 63), 1009),
        ("2^32", frame_head(BINARY, 1 << 32), 1009),
    ])
    .await;
}

#[tokio::test]
async fn h_28_a_message_over_the_limit_is_1009_whole_or_in_pieces() {
    let largest = limits::FRAME_HEADER_BYTES + limits::FRAME_PAYLOAD_BYTES_MAX;
    let mut pieces = frame(BINARY_PART, b"12345678");
    for _ in 0..10_000 {
        pieces.extend(frame(PART, b"12345678"));
    }
    end_with(&[
        ("one frame", frame(BINARY, &vec![1; largest + 1]), 1009),
        ("10,000 fragments", pieces, 1009),
        ("a control message", frame(BINARY, &control_of(limits::MESSAGE_BYTES_MAX + 1)), 4513),
    ])
    .await;
}

/// A control message of exactly so many bytes: a ping, and a field that is ignored.
fn control_of(bytes: usize) -> Vec<u8> {
    let mut message = b"\x82\xa4ping\x01\xa1x\xc5".to_vec();
    let rest = bytes - message.len() - 2;
    if rest > usize::from(u16::MAX) {
        *message.last_mut().unwrap() = 0xc6;
        let rest = rest - 2;
        message.extend((rest as u32).to_be_bytes());
        message.resize(bytes, 0);
        return message;
    }
    message.extend((rest as u16).to_be_bytes());
    message.resize(bytes, 0);
    message
}

#[tokio::test]
async fn h_28_before_the_hello_a_message_has_4_kib() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let mut raw = ground.socket().await;
    raw.send(&frame_head(BINARY, limits::HELLO_BYTES_MAX as u64 + 1)).await;
    assert_eq!(raw.ends().await, 1009);
    ground.close().await;
}

#[tokio::test]
async fn h_29_empty_fragments_without_end_are_4029() {
    let mut fragments = frame(BINARY_PART, b"");
    for _ in 0..10_000 {
        fragments.extend(frame(PART, b""));
    }
    end_with(&[("10,000 of them", fragments, 4029)]).await;
}

#[tokio::test]
async fn h_30_a_control_frame_in_pieces_or_over_125_bytes_is_1002() {
    end_with(&[
        ("a ping in pieces", frame(PING & 0x7f, b"x"), 1002),
        ("a close in pieces", frame(CLOSE & 0x7f, &1000u16.to_be_bytes()), 1002),
        ("a long ping", frame(PING, &[0; 126]), 1002),
    ])
    .await;
}

#[tokio::test]
async fn h_31_a_continuation_of_nothing_and_a_message_inside_a_message_are_1002() {
    end_with(&[
        ("a continuation", frame(LAST_PART, b"x"), 1002),
        ("a message inside", [frame(BINARY_PART, b"\x81"), frame(BINARY, &ping_message())].concat(), 1002),
    ])
    .await;
}

#[tokio::test]
async fn h_32_a_reason_that_is_not_utf8_is_1007() {
    let reason = |bytes: &[u8]| frame(CLOSE, &[&1000u16.to_be_bytes()[..], bytes].concat());
    end_with(&[
        ("a lone continuation byte", reason(b"\x80"), 1007),
        ("an overlong slash", reason(b"\xc0\xaf"), 1007),
        ("a surrogate", reason(b"\xed\xa0\x80"), 1007),
    ])
    .await;
}

#[tokio::test]
async fn h_33_a_text_message_is_1003_whatever_is_in_it() {
    end_with(&[
        ("JSON", frame(TEXT, b"{\"ping\":1}"), 1003),
        ("not even UTF-8", frame(TEXT, b"\xff\xfe"), 1003),
        ("a first piece", frame(TEXT & 0x7f, b"{"), 1003),
    ])
    .await;
}

#[tokio::test]
async fn h_34_close_codes_that_may_not_be_sent_are_1002() {
    let mut cases = vec![("one byte", frame(CLOSE, b"\x03"), 1002)];
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535] {
        cases.push(("a code", frame(CLOSE, &code.to_be_bytes()), 1002));
    }
    end_with(&cases).await;
}

#[tokio::test]
async fn h_35_what_comes_after_a_close_is_not_looked_at_and_the_socket_closes() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let mut raw = ground.stranger().await;
    ground.unharmed().await;
    let mut bytes = frame(CLOSE, &1000u16.to_be_bytes());
    // Faults, were they looked at.
    bytes.extend(unmasked(BINARY, b"after"));
    bytes.extend(frame(TEXT, b"after"));
    raw.send(&bytes).await;
    assert_eq!(raw.ends().await, 1000, "the peer's own code comes back");
    let mut rest = [0; 64];
    while in_time(raw.stream.read(&mut rest)).await.is_ok_and(|read| read > 0) {}
    ground.close().await;
}

#[tokio::test]
async fn h_36_a_flood_of_pings_is_4029() {
    let mut frames = Vec::new();
    let mut messages = Vec::new();
    for _ in 0..10_000 {
        frames.extend(frame(PING, b"are you there"));
        messages.extend(frame(BINARY, &ping_message()));
    }
    end_with(&[("of WebSocket", frames, 4029), ("of the protocol", messages, 4029)]).await;
}

#[tokio::test]
async fn h_38_compression_is_not_agreed_to_and_a_compressed_frame_is_1002() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let (status, text) = http(ground.plain, upgrade(offer)).await;
    assert_eq!(status, 101);
    assert_eq!(header(&text, "sec-websocket-extensions"), None);
    let hello = ground.customers_hello().await;
    let mut raw = Raw::upgraded(ground.plain, offer).await;
    raw.enter(hello).await.unwrap();
    raw.send(&frame(BINARY | 0x40, &[0xaa, 0x56, 0x4a])).await;
    assert_eq!(raw.ends().await, 1002);
    ground.close().await;
}

#[tokio::test]
async fn h_23_bytes_behind_the_upgrade_are_websocket_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    // A second request, pipelined: its first byte is no frame of a client.
    let mut stream = TcpStream::connect(ground.plain).await.unwrap();
    let smuggled = "POST /v1/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    stream.write_all((upgrade("") + smuggled).as_bytes()).await.unwrap();
    let mut all = Vec::new();
    // The connection may end by a reset: what was sent after the bad byte is never read.
    let _ = in_time(stream.read_to_end(&mut all)).await;
    let (head, rest) = split(&all);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(rest.first(), Some(&CLOSE), "{rest:?}");
    assert_eq!(rest.get(2..4).map(|code| u16::from_be_bytes([code[0], code[1]])), Some(1002), "{rest:?}");

    // A hello, pipelined: it is taken as one.
    let hello = ground.customers_hello().await;
    let mut bytes = upgrade("").into_bytes();
    bytes.extend(frame(BINARY, &FromClient::Hello(Box::new(hello)).encode()));
    let mut stream = TcpStream::connect(ground.plain).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut all = Vec::new();
    while split(&all).1.is_empty() {
        assert!(in_time(stream.read_buf(&mut all)).await.unwrap() > 0, "the broker answers");
    }
    assert_eq!(split(&all).1[0], BINARY, "a welcome follows");
    ground.close().await;
}

/// The head of an answer and what follows it.
fn split(all: &[u8]) -> (String, &[u8]) {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
    (String::from_utf8_lossy(&all[..end]).into_owned(), &all[end..])
}
