//! `docs/protocol.md` says what the implementation does: every byte example is decoded and made again, and every name
//! and number stands in the document.

use bytes::Bytes;
use equipoise::{
    engine::Reason,
    wire::{CloseCode, Do, Done, Ev, Frame, FromBroker, FromClient, Kind, frame::CloseReason},
};
use serde_json::Value;

const DOCUMENT: &str = include_str!("../docs/protocol.md");

/// One fenced block: what it is, the message in words, and its bytes.
struct Example {
    what: &'static str,
    said: Value,
    bytes: Bytes,
}

fn examples() -> Vec<Example> {
    let blocks = DOCUMENT.split("```").skip(1).step_by(2);
    blocks
        .map(|block| {
            let mut lines = block.lines();
            let what = lines.next().expect("a block says what it is");
            let said = lines.next().expect("then the message in words");
            let said = serde_json::from_str(said).expect("as JSON");
            let digits: String = lines.flat_map(str::split_whitespace).collect();
            let bytes = digits.as_bytes().chunks(2).map(|pair| {
                u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).unwrap_or_else(|_| panic!("{block}"))
            });
            Example { what, said, bytes: bytes.collect() }
        })
        .collect()
}

#[test]
fn every_byte_example_is_what_the_implementation_sends_and_takes() {
    let examples = examples();
    assert!(examples.len() >= 8, "{} examples", examples.len());
    for Example { what, said, bytes } in examples {
        let body = match what {
            "frame" => {
                let frame = Frame::decode(bytes.clone()).unwrap();
                let payload: String = frame.payload.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(said["kind"], frame.header.kind.name());
                assert_eq!(said["flags"], frame.header.flags.0);
                assert_eq!(said["channel"], frame.header.channel.0);
                assert_eq!(said["offset"], frame.header.offset);
                assert_eq!(said["payload"], payload);
                assert_eq!(frame.encode(), bytes);
                continue;
            }
            "stream client" => {
                let length = u32::from_be_bytes(bytes[..4].try_into().unwrap());
                assert_eq!(length as usize, bytes.len() - 4);
                bytes.slice(4..)
            }
            _ => bytes,
        };
        assert_eq!(rmp_serde::from_slice::<Value>(&body).unwrap(), said);
        let again = match what {
            "control broker" => FromBroker::decode(&body).unwrap().encode(),
            _ => FromClient::decode(&body).unwrap().encode(),
        };
        // The order of fields in a map means nothing, so the messages are compared, and their lengths.
        assert_eq!(rmp_serde::from_slice::<Value>(&again).unwrap(), said);
        assert_eq!(again.len(), body.len());
    }
}

/// The part of the document below a heading.
fn section(heading: &str) -> &'static str {
    let start = DOCUMENT.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let rest = &DOCUMENT[start + 4..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

#[test]
fn w4_1_every_request_answer_and_push_is_documented() {
    for (heading, names) in [("Requests", Do::names()), ("Answers", Done::names()), ("Pushes", Ev::names())] {
        assert!(names.len() > 5);
        for name in names {
            assert!(section(heading).contains(&format!("`{name}`")), "{name} is missing under {heading}");
        }
    }
}

#[test]
fn w4_2_every_refusal_and_close_code_is_documented() {
    for reason in Reason::ALL {
        assert!(section("Refusals").contains(&format!("`{}`", reason.name())), "{}", reason.name());
    }
    for code in CloseCode::ALL {
        let row = format!("| {} | `{}` |", code.number(), code.name());
        assert!(section("Closing").contains(&row), "{row}");
    }
}

#[test]
fn w1_4_every_kind_of_frame_and_reason_to_close_is_documented() {
    for kind in Kind::DATA.into_iter().chain(Kind::STEERING) {
        let row = format!("| `{}` | {:#04x} |", kind.name(), kind as u8);
        assert!(section("Frames").contains(&row), "{row}");
    }
    for reason in CloseReason::ALL {
        let row = format!("| `{}` | {} |", reason.name(), reason as u8);
        assert!(section("Channels").contains(&row), "{row}");
    }
}
