//! Decoders of the rooms that are built with the `io` feature.

use super::Target;
use equipoise::{
    client::{
        annotation::Annotation,
        picture::{Canvas, Viewer, encode},
    },
    engine::State,
    framing::{
        length::Splitter,
        websocket::{Decoder, End},
    },
    identity::{Attempts, KeyShape, SEALING_KEY_BYTES, SecondFactors, Secret, Shown, Tokens},
    ids::UserId,
    journal, limits,
    rep::Filter,
    server::Settings,
    wire::Flags,
};

pub const IO: [Target; 10] = [
    ("length_prefix", length_prefix),
    ("websocket", websocket),
    ("journal_row", journal_row),
    ("snapshot", snapshot),
    ("lockouts", lockouts),
    ("typed_secret", typed_secret),
    ("settings_file", settings_file),
    ("picture", picture),
    ("annotation", annotation),
    ("terminal", terminal),
];

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
    if let Ok(turn) = journal::decode(bytes) {
        assert_eq!(journal::decode(&journal::encode(&turn)), Ok(turn));
    }
}

/// The state in a snapshot: what a broker would start from.
pub fn snapshot(bytes: &[u8]) {
    if let Ok(mut state) = journal::unpack::<State>(bytes) {
        let again = rmp_serde::to_vec_named(&state).expect("every part of a state knows its length");
        let mut again: State = journal::unpack(&again).expect("what was written is read");
        state.rebuild();
        again.rebuild();
        assert_eq!(again, state);
    }
}

/// Failed attempts as a restart finds them. However many a file claims, what is kept of them fits the file again.
pub fn lockouts(bytes: &[u8]) {
    const WALL_MS: u64 = 1_800_000_000_000;
    let attempts = Attempts::new();
    if attempts.recall(bytes, WALL_MS).is_ok() {
        let kept = attempts.kept(WALL_MS);
        assert!(kept.len() as u64 <= limits::LOCKOUTS_BYTES_MAX, "{} bytes", kept.len());
        assert!(Attempts::new().recall(&kept, WALL_MS).is_ok(), "what was written is read");
    }
}

/// Whatever somebody shows as a key, a code, a token or a ticket. Up to the first line feed it is what stands in the
/// journal of a second factor.
pub fn typed_secret(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (shape, key) = (Secret::key_shape(&text), Secret::canonical_key(&text));
    assert_eq!(shape.is_some(), key.is_some());
    let bare: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    for other in [bare.to_ascii_lowercase(), bare.to_ascii_uppercase().replace('0', "o").replace('1', "l")] {
        if shape == Some(KeyShape::Code) {
            assert_eq!(Secret::canonical_key(&other), key, "a code is known however it is typed");
        }
        if let Some(recovery) = Secret::canonical_recovery(&text) {
            assert_eq!(Secret::canonical_recovery(&other), Some(recovery));
            assert_eq!(shape, None, "a recovery code is no session key");
        }
    }
    let tokens = Tokens::new();
    assert_eq!((tokens.check(&text), tokens.redeem_ticket(&text)), (None, None), "nothing was issued");
    let (sealed, code) = text.split_once('\n').unwrap_or((&text, "000000"));
    let shown = SecondFactors::new(&[7; SEALING_KEY_BYTES]).check(UserId(1), sealed, code, 1_800_000_000);
    assert!(!matches!(shown, Some(Shown::Step(_))), "nobody seals a secret without the key");
}

/// A file is read the same each time, also as another program writes it down again.
pub fn settings_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(settings) = Settings::of_text(&text) {
        let table: toml::Table = text.parse().expect("it was read");
        assert_eq!(Settings::of_text(&table.to_string()).as_ref(), Ok(&settings));
    }
}

/// Whatever comes as a picture, as a key or a delta, in one frame or in two: the next key picture makes all well.
pub fn picture(bytes: &[u8]) {
    let key = Flags::START.with(Flags::END).with(Flags::KEY);
    let small = Canvas::new(8, 8).expect("a small one is allowed");
    let mut viewer = Viewer::default();
    let (front, back) = bytes.split_at(bytes.len() / 2);
    let frames = [
        (key, bytes),
        (Flags::START.with(Flags::END), bytes),
        (Flags::START.with(Flags::KEY), front),
        (Flags::END.with(Flags::KEY), back),
    ];
    for (flags, bytes) in frames {
        if viewer.take(flags, bytes) == Ok(true) {
            let canvas = viewer.canvas().expect("a picture was shown").clone();
            let mut other = Viewer::default();
            assert_eq!(other.take(key, &encode(&canvas, None)), Ok(true));
            assert_eq!(other.canvas(), Some(&canvas));
        }
    }
    assert_eq!(viewer.take(key, &encode(&small, None)), Ok(true));
    assert_eq!(viewer.canvas(), Some(&small));
}

pub fn annotation(bytes: &[u8]) {
    if let Some(drawn) = Annotation::decode(bytes) {
        assert_eq!(drawn.encode(), bytes, "an annotation has one form only");
        let _ = drawn.to_string();
    }
}

/// What is harmless stays as it is, and it does not matter where a shell's bytes were cut.
pub fn terminal(bytes: &[u8]) {
    let clean = Filter::default().pass(bytes);
    let mut filter = Filter::default();
    let pieces: Vec<u8> = bytes.chunks(1).flat_map(|piece| filter.pass(piece)).collect();
    assert_eq!(pieces, clean);
    assert_eq!(Filter::default().pass(&clean), clean);
}
