//! Golden bytes, round trips, and damage that must not panic.

use super::{
    control::{Ask, Bye, Class, ClientInfo, Open, Role, ToolView, Value},
    frame::CloseReason,
    *,
};
use crate::{
    ids::{ChannelId, PermissionEpoch, Seq, SessionId},
    limits,
};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn str_of(text: &str) -> Vec<u8> {
    [vec![0xa0 | text.len() as u8], text.as_bytes().to_vec()].concat()
}

/// `{key: value}` with the value's bytes given.
fn map1(key: &str, value: &[u8]) -> Vec<u8> {
    [vec![0x81], str_of(key), value.to_vec()].concat()
}

fn hello() -> Hello {
    Hello {
        role: Role::Customer,
        site: None,
        credential: Credential::Key("ABCD-EFGH".into()),
        client: ClientInfo { name: "t".into(), present: true, ..ClientInfo::default() },
        features: vec![],
        seen: None,
    }
}

fn from_client() -> Vec<FromClient> {
    let acts = vec![
        Do::Status { code: "away".into() },
        Do::OptIn {},
        Do::GetNext {},
        Do::Ask(Ask { queue: "team:net".into(), skills: vec!["norton".into()], ..Ask::default() }),
        Do::MakeKey { queue: None, kind: control::KeyKind::Link, lives_s: Some(60) },
        Do::Accept { session: 9 },
        Do::Open(Open {
            session: 9,
            tool: "shell".into(),
            args: BTreeMap::from([
                ("cols".into(), Value::Int(80)),
                ("less".into(), Value::Int(-1)),
                ("all".into(), Value::Bool(true)),
                ("name".into(), Value::Text("grün".into())),
                ("paths".into(), Value::List(vec!["/a".into(), "/b".into()])),
            ]),
        }),
        Do::TakeBack { session: 9, tool: None },
        Do::History(control::History { since_ms: Some(7), rep: Some("rep:ana".into()), ..control::History::default() }),
        Do::SetPassword { username: "ana".into(), password: "x".into(), must_reset: false, expires_at_ms: None },
        Do::SetPassword { username: "ana".into(), password: "x".into(), must_reset: true, expires_at_ms: Some(7) },
        Do::Unlock { username: "ana".into() },
        Do::ResetSecondFactor { username: "ana".into() },
        Do::Site {},
        Do::SitePart { at: 7 },
        Do::ApplySite { text: "[site]".into(), more: true, version: Some(2) },
    ];
    let requests = acts.into_iter().enumerate().map(|(at, act)| FromClient::Request { id: at as u64, act: act.into() });
    let mut all: Vec<_> = requests.collect();
    all.push(FromClient::Hello(hello().into()));
    all.push(FromClient::Unknown { id: 7, name: "fly".into() });
    all.push(FromClient::Ping(limits::INTEGER_MAX));
    all.push(FromClient::Pong(0));
    all
}

fn from_broker() -> Vec<FromBroker> {
    let refused = Refused {
        code: "not_permitted".into(),
        rule: "P3.10".into(),
        message: "no shell here".into(),
        at: None,
        tool: Some("shell".into()),
        source: Some("portal:main".into()),
        retry_after_ms: None,
    };
    let opened = control::Opened {
        session: 9,
        open: 1,
        tool: "shell".into(),
        channels: vec![control::ChannelView {
            channel: 3,
            kinds: vec!["shell_output".into()],
            class: Class::Shell,
            writer: 0,
            readers: vec![1],
            start: 0,
        }],
        facts: BTreeMap::from([("size".into(), Value::Int(5))]),
    };
    vec![
        FromBroker::Welcome(welcome("r").into()),
        FromBroker::Reply { re: 1, answer: Ok(Done::Yes {}.into()) },
        FromBroker::Reply { re: 2, answer: Ok(Done::Session(Box::default()).into()) },
        FromBroker::Reply { re: 3, answer: Ok(Done::Opened(opened.clone()).into()) },
        FromBroker::Reply { re: 4, answer: Err(refused.into()) },
        FromBroker::Push { seq: 5, ev: Some(Ev::Opened(opened).into()) },
        FromBroker::Push { seq: 6, ev: Some(Ev::Draining { retry_after_ms: 250 }.into()) },
        FromBroker::Push { seq: 7, ev: None },
        FromBroker::Ping(1),
        FromBroker::Pong(2),
        FromBroker::Bye(Bye { code: 4001, reason: "expired".into(), retry_after_ms: Some(1), work: None }),
    ]
}

#[test]
fn w4_1_messages_have_the_bytes_the_protocol_says() {
    let cases = [
        (FromClient::Ping(7).encode(), "81 a4 70696e67 07"),
        (
            FromClient::Request { id: 3, act: Do::Accept { session: 9 }.into() }.encode(),
            "82 a2 6964 03 a2 646f 81 a6 616363657074 81 a7 73657373696f6e 09",
        ),
        (
            FromClient::Request { id: 4, act: Do::OptIn {}.into() }.encode(),
            "82 a2 6964 04 a2 646f 81 a6 6f70745f696e 80",
        ),
        (
            FromBroker::Reply { re: 3, answer: Ok(Done::Yes {}.into()) }.encode(),
            "82 a2 7265 03 a2 6f6b 81 a3 796573 80",
        ),
    ];
    for (bytes, golden) in cases {
        assert_eq!(bytes, hex(golden), "{golden}");
    }
}

#[test]
fn w4_1_every_kind_of_message_comes_back_as_it_was() {
    for message in from_client() {
        assert_eq!(FromClient::decode(&message.encode()), Ok(message));
    }
    for message in from_broker() {
        assert_eq!(FromBroker::decode(&message.encode()), Ok(message));
    }
}

#[test]
fn w4_1_the_first_byte_tells_frame_from_control() {
    assert_eq!(Part::of(&FromClient::Ping(1).encode()), Some(Part::Control));
    assert_eq!(Part::of(&Frame::refresh(ChannelId(1)).encode()), Some(Part::Frame));
    for byte in [0x00, 0x90, 0xc0, 0xdd, 0xe0, 0xff] {
        assert_eq!(Part::of(&[byte]), None, "{byte:#04x}");
    }
    assert_eq!(Part::of(&[]), None);
}

#[test]
fn w4_1_unknown_fields_are_ignored_and_unknown_names_are_kept_by_name() {
    let act = map1("accept", &[vec![0x82], str_of("session"), vec![9], str_of("colour"), vec![0x91, 0xc0]].concat());
    let message = [vec![0x83], str_of("id"), vec![3], str_of("do"), act, str_of("later"), vec![0xc3]].concat();
    let expected = FromClient::Request { id: 3, act: Do::Accept { session: 9 }.into() };
    assert_eq!(FromClient::decode(&message), Ok(expected));

    let long = "é".repeat(100);
    let name = [vec![0xd9, 200], long.into_bytes()].concat();
    let message = [vec![0x82], str_of("id"), vec![3], str_of("do"), vec![0x81], name, vec![0x80]].concat();
    let Ok(FromClient::Unknown { id: 3, name }) = FromClient::decode(&message) else { panic!("not an unknown name") };
    assert_eq!(name, "é".repeat(limits::NAME_BYTES_MAX / 2));

    let event = [vec![0x82], str_of("seq"), vec![5], str_of("ev"), map1("weather", &[0x80])].concat();
    assert_eq!(FromBroker::decode(&event), Ok(FromBroker::Push { seq: 5, ev: None }));
}

/// A ping whose value is this deep inside of arrays beside it.
fn nested(levels: usize) -> Vec<u8> {
    [vec![0x82], str_of("ping"), vec![1], str_of("x"), vec![0x91; levels], vec![0xc0]].concat()
}

#[test]
fn h_39_nesting_beyond_sixteen_is_refused() {
    assert_eq!(FromClient::decode(&nested(limits::MESSAGE_DEPTH_MAX - 1)), Ok(FromClient::Ping(1)));
    for levels in [limits::MESSAGE_DEPTH_MAX, 33, 10_000] {
        assert_eq!(FromClient::decode(&nested(levels)), Err(BadMessage::Depth), "{levels}");
    }
}

#[test]
fn h_40_a_claimed_length_is_not_believed() {
    for claim in ["dd ffffffff", "db ffffffff", "c6 ffffffff", "df ffffffff", "dc ffff", "de ffff", "d9 ff", "9f", "8f"]
    {
        let message = map1("x", &hex(claim));
        assert_eq!(FromClient::decode(&message), Err(BadMessage::Truncated), "{claim}");
    }
    assert_eq!(FromClient::decode(&hex("df ffffffff 00 00 00 00 00 00")), Err(BadMessage::Truncated));
}

#[test]
fn h_41_duplicate_keys_wrong_types_and_odd_numbers_are_refused() {
    let twice = [vec![0x82], str_of("ping"), vec![1], vec![0xd9, 4], b"ping".to_vec(), vec![2]].concat();
    let deep = map1("x", &[vec![0x82], str_of("a"), vec![1], str_of("a"), vec![1]].concat());
    let cases: Vec<(Vec<u8>, BadMessage)> = vec![
        (twice, BadMessage::DuplicateKey),
        (deep, BadMessage::DuplicateKey),
        (hex("81 01 01"), BadMessage::Key),
        (hex("81 c0 01"), BadMessage::Key),
        (map1("x", &hex("c1")), BadMessage::Type(0xc1)),
        (map1("x", &hex("d4 01 02")), BadMessage::Type(0xd4)),
        (map1("x", &hex("c7 00 01")), BadMessage::Type(0xc7)),
        (map1("x", &hex("cb 7ff8000000000000")), BadMessage::Float),
        (map1("x", &hex("ca 7f800000")), BadMessage::Float),
        (map1("x", &hex("cb 8000000000000000")), BadMessage::Float),
        (map1("ping", &hex("cf 0020000000000000")), BadMessage::Integer),
        (map1("x", &hex("d3 8000000000000000")), BadMessage::Integer),
        (map1("x", &hex("a1 ff")), BadMessage::Text),
        (map1("ping", &str_of("one")), BadMessage::Shape("ping")),
        (map1("hello", &hex("80")), BadMessage::Shape("hello")),
        (map1("nothing", &hex("80")), BadMessage::Kind),
        ([vec![0x82], str_of("ping"), vec![1], str_of("pong"), vec![1]].concat(), BadMessage::Kind),
        (hex("90"), BadMessage::NotAMap),
        (vec![], BadMessage::NotAMap),
    ];
    for (message, expected) in cases {
        assert_eq!(FromClient::decode(&message), Err(expected), "{message:02x?}");
    }
}

#[test]
fn h_43_bytes_after_a_message_are_refused() {
    let message = [FromClient::Ping(1).encode().to_vec(), vec![0xc0, 0xc0]].concat();
    assert_eq!(FromClient::decode(&message), Err(BadMessage::Trailing(2)));
}

#[test]
fn w4_1_messages_over_their_limits_are_refused_before_they_are_read() {
    let padded = |len: usize| {
        let text = [vec![0xdb], (len as u32).to_be_bytes().to_vec(), vec![b'x'; len]].concat();
        [vec![0x82], str_of("ping"), vec![1], str_of("x"), text].concat()
    };
    assert_eq!(FromClient::decode(&padded(limits::MESSAGE_BYTES_MAX - 20)), Ok(FromClient::Ping(1)));
    let over = padded(limits::MESSAGE_BYTES_MAX);
    assert_eq!(FromClient::decode(&over), Err(BadMessage::TooLarge(over.len())));
    assert_eq!(BadMessage::TooLarge(over.len()).close_code(), CloseCode::TooLarge);

    let mut large = hello();
    large.features = vec!["f".repeat(100); 60];
    let bytes = FromClient::Hello(large.into()).encode();
    assert_eq!(FromClient::decode(&bytes), Err(BadMessage::TooLarge(bytes.len())));
}

#[test]
fn a_credential_is_never_written_to_a_log() {
    let shown = format!("{:?}", FromClient::Hello(hello().into()));
    assert!(shown.contains("Key(…)") && !shown.contains("ABCD"), "{shown}");
}

#[test]
fn w1_4_a_frame_has_the_bytes_the_protocol_says() {
    let header = Header { kind: Kind::ShellOutput, flags: Flags::FIN, channel: ChannelId(3), offset: 258 };
    let frame = Frame { header, payload: Bytes::from_static(b"hi") };
    assert_eq!(frame.encode(), hex("01 01 0000 00000003 0000000000000102 6869"));
    assert_eq!(Frame::decode(frame.encode()), Ok(frame));
    assert_eq!(
        Frame::credit(ChannelId(3), 5, 65541).encode(),
        hex("70 00 0000 00000003 0000000000000005 0000000000010005")
    );
    assert_eq!(
        Frame::close(ChannelId(3), 5, CloseReason::Revoked).encode(),
        hex("71 00 0000 00000003 0000000000000005 02")
    );
}

#[test]
fn h_44_a_damaged_header_is_refused_by_name() {
    let good = Frame::resume(ChannelId(3), 5).encode().to_vec();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Frame::decode(bytes.into()).unwrap_err()
    };
    assert_eq!(with(0, 0x7f), FrameError::UnknownKind(0x7f));
    assert_eq!(with(1, 0x20), FrameError::UnknownFlags(0x20));
    assert_eq!(with(2, 1), FrameError::Reserved);
    assert!(matches!(with(8, 0xff), FrameError::Offset(_)));
    assert_eq!(Frame::decode(Bytes::from_static(&[1; 15])), Err(FrameError::Short(15)));
    assert_eq!(with(0, 0x70), FrameError::Payload(Kind::Credit, 0));
    let large = [vec![1], vec![0; 15], vec![0; limits::FRAME_PAYLOAD_BYTES_MAX + 1]].concat();
    assert_eq!(Frame::decode(large.into()), Err(FrameError::TooLarge(limits::FRAME_PAYLOAD_BYTES_MAX + 1)));
}

fn value() -> impl Strategy<Value = Value> {
    let int = -(limits::INTEGER_MAX as i64)..=limits::INTEGER_MAX as i64;
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        int.prop_map(Value::Int),
        ".{0,20}".prop_map(Value::Text),
        prop::collection::vec(".{0,8}", 0..4).prop_map(Value::List),
    ]
}

proptest! {
    #[test]
    fn w4_1_arguments_come_back_as_they_were(
        id in 0..=limits::INTEGER_MAX,
        session in 0..=limits::INTEGER_MAX,
        tool in ".{0,40}",
        args in prop::collection::btree_map(".{0,12}", value(), 0..24),
    ) {
        let message = FromClient::Request { id, act: Do::Open(Open { session, tool, args }).into() };
        prop_assert_eq!(FromClient::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn damage_never_panics_and_what_is_taken_is_sent_the_same(
        which in 0..40_usize,
        cut in 0..200_usize,
        flips in prop::collection::vec((0..200_usize, any::<u8>()), 0..4),
    ) {
        let client = from_client();
        let broker = from_broker();
        let seed = client.get(which).map(FromClient::encode)
            .unwrap_or_else(|| broker[which % broker.len()].encode());
        let mut bytes = seed.to_vec();
        bytes.truncate(bytes.len().saturating_sub(cut % 16));
        for (at, byte) in flips {
            let len = bytes.len().max(1);
            if let Some(there) = bytes.get_mut(at % len) { *there = byte; }
        }
        if let Ok(message) = FromClient::decode(&bytes) {
            prop_assert_eq!(FromClient::decode(&message.encode()), Ok(message));
        }
        if let Ok(message) = FromBroker::decode(&bytes) {
            prop_assert_eq!(FromBroker::decode(&message.encode()), Ok(message));
        }
        if let Ok(frame) = Frame::decode(bytes.into()) {
            prop_assert_eq!(Frame::decode(frame.encode()), Ok(frame));
        }
    }

    #[test]
    fn any_bytes_at_all_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = FromClient::decode(&bytes);
        let _ = FromBroker::decode(&bytes);
        let _ = Frame::decode(bytes.into());
    }

    #[test]
    fn w1_4_frames_come_back_as_they_were(
        kind in 0..Kind::DATA.len(),
        flags in 0..32_u8,
        channel in any::<u32>(),
        offset in 0..=limits::INTEGER_MAX - 300,
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let header = Header { kind: Kind::DATA[kind], flags: Flags(flags), channel: ChannelId(channel), offset };
        let frame = Frame { header, payload: payload.into() };
        prop_assert_eq!(Frame::decode(frame.encode()), Ok(frame));
    }
}

fn welcome(resume: &str) -> Welcome {
    Welcome {
        protocol: 1,
        site: "Example".into(),
        you: "ana".into(),
        session: None,
        participant: Some(1),
        resume: resume.into(),
        features: vec![],
        ping_interval_s: 20,
        window_max: limits::WINDOW_BYTES_MAX,
        now_ms: 1_760_000_000_000,
        resumed: false,
    }
}

#[test]
fn b_41_no_message_shows_its_secrets() {
    let secret = "canary-7f3a";
    let credentials = [Credential::Ticket, Credential::Token, Credential::Key, Credential::Resume];
    let mut shown: Vec<String> = credentials.map(|credential| format!("{:?}", credential(secret.into()))).into();
    let (username, password) = ("ana".into(), secret.into());
    let set = Do::SetPassword { username, password, must_reset: false, expires_at_ms: None };
    shown.push(format!("{:?}", FromClient::Request { id: 1, act: set.into() }));
    let button = Done::Button { button: 1, key: secret.into() };
    let asked = Done::Asked { session: 1, join: secret.into() };
    for done in [asked, button, Done::Key { key: secret.into(), expires_at_ms: 1 }] {
        shown.push(format!("{:?}", FromBroker::Reply { re: 1, answer: Ok(done.into()) }));
    }
    let welcome = FromBroker::decode(&FromBroker::Welcome(welcome(secret).into()).encode()).unwrap();
    shown.push(format!("{welcome:?}"));
    assert_eq!(shown.len(), 9);
    for text in shown {
        assert!(!text.contains(secret) && text.contains('…'), "{text}");
    }
}

#[test]
fn w4_1_rights_that_were_encoded_once_are_the_push_that_is_encoded_whole() {
    let view =
        |value: &str| ToolView { value: Value::Text(value.into()), source: "policy p".into(), prompt: "no".into() };
    let tools: BTreeMap<String, ToolView> =
        (0..40).map(|tool| (format!("tool_{tool}"), view(if tool % 2 == 0 { "yes" } else { "no" }))).collect();
    let options: BTreeMap<String, Value> = [("prompt_s".to_owned(), Value::Int(60))].into();
    for (tools, options) in [(tools, options.clone()), (BTreeMap::new(), options), (BTreeMap::new(), BTreeMap::new())] {
        let once = EncodedRights::new(tools.clone(), options.clone());
        for (seq, session, epoch) in [(0, 0, 0), (7, 300, 2), (1 << 40, u64::MAX, u32::MAX)] {
            let ev = Ev::Permissions { session, epoch, tools: tools.clone(), options: options.clone() };
            let whole = FromBroker::Push { seq, ev: Some(Box::new(ev)) }.encode();
            assert_eq!(once.push(Seq(seq), SessionId(session), PermissionEpoch(epoch)), whole);
        }
    }
}
