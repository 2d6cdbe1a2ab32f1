//! One function for each decoder that reads what others wrote: it must not panic, hang or take more memory than it was
//! given bytes for, and what it takes it must make again. Fuzz targets and the replay of their corpora share these.

use equipoise::{
    engine::Turn,
    framing::{
        length::Splitter,
        websocket::{Decoder, End},
    },
    limits,
    policy::paths::{self, Os},
    site::raw::RawSite,
    wire::{Frame, FromBroker, FromClient},
};

/// A fuzz target and the folder of its corpus.
pub type Target = (&'static str, fn(&[u8]));

pub const ALL: [Target; 7] = [
    ("control", control),
    ("frame", frame),
    ("length_prefix", length_prefix),
    ("websocket", websocket),
    ("journal_row", journal_row),
    ("path", path),
    ("site_file", site_file),
];

pub fn control(bytes: &[u8]) {
    if let Ok(message) = FromClient::decode(bytes) {
        assert_eq!(FromClient::decode(&message.encode()), Ok(message));
    }
    if let Ok(message) = FromBroker::decode(bytes) {
        assert_eq!(FromBroker::decode(&message.encode()), Ok(message));
    }
}

pub fn frame(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(bytes.to_vec().into()) {
        assert_eq!(frame.encode(), bytes, "a frame has one form only");
    }
}

/// However a stream is cut into pieces, the same messages come out.
pub fn length_prefix(bytes: &[u8]) {
    let split = |piece: usize| {
        let mut splitter = Splitter::new(limits::HELLO_BYTES_MAX);
        let mut messages = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                match splitter.feed(&mut piece) {
                    Ok(message) => messages.extend(message),
                    Err(error) => return (messages, Some(error)),
                }
            }
        }
        (messages, None)
    };
    assert_eq!(split(1), split(usize::MAX));
}

pub fn websocket(bytes: &[u8]) {
    for end in [End::Broker, End::Client] {
        let mut decoder = Decoder::new(end, limits::HELLO_BYTES_MAX);
        let mut input = bytes;
        while let Ok(Some(_)) = decoder.feed(&mut input) {}
    }
}

pub fn journal_row(bytes: &[u8]) {
    if let Ok(turn) = rmp_serde::from_slice::<Turn>(bytes) {
        let again = rmp_serde::to_vec_named(&turn).expect("every part of a turn knows its length");
        assert_eq!(rmp_serde::from_slice::<Turn>(&again).ok(), Some(turn));
    }
}

pub fn path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for os in Os::ALL {
        if let Ok(normal) = paths::normalize(os, &text) {
            assert_eq!(paths::normalize(os, &normal).as_ref(), Ok(&normal), "normalising twice changes nothing");
        }
    }
}

pub fn site_file(bytes: &[u8]) {
    if let Ok(raw) = RawSite::parse(&String::from_utf8_lossy(bytes)) {
        // Refused or taken, but never a panic.
        let _ = equipoise::site::Site::check(raw, None);
    }
}
