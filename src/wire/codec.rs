//! Control messages to bytes and back (W4.1). Every message is scanned strictly before anything is built from it.
//!
//! The shapes: `{hello}`, `{id, do: {name: {…}}}`, `{welcome}`, `{re, ok: {name: {…}}}`, `{re, no}`,
//! `{seq, ev: {name: {…}}}`, `{bye}`, and `{ping: n}` and `{pong: n}` both ways. Fields beside them are ignored.

use super::{
    CloseCode,
    control::{Bye, Do, Done, Ev, FromBroker, FromClient, Hello, Refused, ToolView, Value, Welcome},
    names::variants,
    scan::{self, Cursor},
};
use crate::{
    ids::{PermissionEpoch, Seq, SessionId},
    limits,
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, sync::LazyLock};

/// What a whole message is, by its first byte (W4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// A frame: fixed header and payload.
    Frame,
    /// A MessagePack map.
    Control,
}

impl Part {
    /// `None` is a peer's fault: neither a frame nor a map.
    pub fn of(message: &[u8]) -> Option<Self> {
        match message.first()? {
            0x01..=0x7f => Some(Self::Frame),
            0x80..=0x8f | 0xde | 0xdf => Some(Self::Control),
            _ => None,
        }
    }
}

/// Why a control message is not taken: always the sender's fault. Says what is wrong, never what was said.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadMessage {
    #[error("a control message of {0} bytes is over its limit")]
    TooLarge(usize),
    #[error("a control message is a map")]
    NotAMap,
    #[error("the message is shorter than it claims")]
    Truncated,
    #[error("{0} bytes follow the message")]
    Trailing(usize),
    #[error("nested deeper than 16")]
    Depth,
    #[error("a key of a map is not text")]
    Key,
    #[error("a key stands twice in one map")]
    DuplicateKey,
    #[error("type byte {0:#04x} is not used here")]
    Type(u8),
    #[error("an integer is beyond 2^53 - 1")]
    Integer,
    #[error("a float is not finite, or is minus zero")]
    Float,
    #[error("a text is not UTF-8")]
    Text,
    #[error("no kind of message, or two of them at once")]
    Kind,
    #[error("`{0}` has not the shape it must have")]
    Shape(&'static str),
    #[error("an answer's name is not known")]
    UnknownAnswer,
}

impl BadMessage {
    /// What the connection closes with.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::TooLarge(_) => CloseCode::TooLarge,
            _ => CloseCode::BadMessage,
        }
    }
}

impl FromClient {
    pub fn decode(message: &[u8]) -> Result<Self, BadMessage> {
        let fields = Fields::read(message)?;
        match (fields.hello, fields.id, fields.act, fields.ping, fields.pong) {
            (Some(hello), None, None, None, None) => {
                if message.len() > limits::HELLO_BYTES_MAX {
                    return Err(BadMessage::TooLarge(message.len()));
                }
                build::<Hello>(hello, "hello").map(|hello| Self::Hello(Box::new(hello)))
            }
            (None, Some(id), Some(act), None, None) => {
                let id = uint(id, "id")?;
                let name = name_of(act, "do")?;
                match known(&DO, name) {
                    Some(known) => Ok(Self::Request { id, act: Box::new(build(act, known)?) }),
                    None => Ok(Self::Unknown { id, name: bounded(name) }),
                }
            }
            (None, None, None, Some(ping), None) => uint(ping, "ping").map(Self::Ping),
            (None, None, None, None, Some(pong)) => uint(pong, "pong").map(Self::Pong),
            _ => Err(BadMessage::Kind),
        }
    }

    pub fn encode(&self) -> Bytes {
        match self {
            Self::Hello(hello) => named(&out::Hello { hello }),
            Self::Request { id, act } => named(&out::Request { id: *id, act }),
            Self::Unknown { id, name } => named(&out::Unknown { id: *id, act: [(name, out::Nothing {})].into() }),
            Self::Ping(ping) => named(&out::Ping { ping: *ping }),
            Self::Pong(pong) => named(&out::Pong { pong: *pong }),
        }
    }
}

impl FromBroker {
    pub fn decode(message: &[u8]) -> Result<Self, BadMessage> {
        let fields = Fields::read(message)?;
        let kinds = [fields.welcome, fields.re, fields.seq, fields.ping, fields.pong, fields.bye];
        if kinds.iter().flatten().count() != 1 {
            return Err(BadMessage::Kind);
        }
        if let Some(welcome) = fields.welcome {
            return build::<Welcome>(welcome, "welcome").map(|welcome| Self::Welcome(Box::new(welcome)));
        }
        if let Some(re) = fields.re {
            let answer = match (fields.ok, fields.no) {
                (Some(ok), None) => {
                    let known = known(&DONE, name_of(ok, "ok")?).ok_or(BadMessage::UnknownAnswer)?;
                    Ok(Box::new(build::<Done>(ok, known)?))
                }
                (None, Some(no)) => Err(Box::new(build::<Refused>(no, "no")?)),
                _ => return Err(BadMessage::Kind),
            };
            return Ok(Self::Reply { re: uint(re, "re")?, answer });
        }
        if let Some(seq) = fields.seq {
            let ev = fields.ev.ok_or(BadMessage::Kind)?;
            let ev = match known(&EV, name_of(ev, "ev")?) {
                Some(known) => Some(Box::new(build::<Ev>(ev, known)?)),
                None => None,
            };
            return Ok(Self::Push { seq: uint(seq, "seq")?, ev });
        }
        match (fields.ping, fields.pong, fields.bye) {
            (Some(ping), _, _) => uint(ping, "ping").map(Self::Ping),
            (_, Some(pong), _) => uint(pong, "pong").map(Self::Pong),
            (_, _, Some(bye)) => build::<Bye>(bye, "bye").map(Self::Bye),
            _ => Err(BadMessage::Kind),
        }
    }

    pub fn encode(&self) -> Bytes {
        match self {
            Self::Welcome(welcome) => named(&out::Welcome { welcome }),
            Self::Reply { re, answer: Ok(ok) } => named(&out::Yes { re: *re, ok }),
            Self::Reply { re, answer: Err(no) } => named(&out::No { re: *re, no }),
            Self::Push { seq, ev: Some(ev) } => named(&out::Push { seq: *seq, ev }),
            Self::Push { seq, ev: None } => named(&out::Later { seq: *seq, ev: [("later", out::Nothing {})].into() }),
            Self::Ping(ping) => named(&out::Ping { ping: *ping }),
            Self::Pong(pong) => named(&out::Pong { pong: *pong }),
            Self::Bye(bye) => named(&out::Said { bye }),
        }
    }
}

impl Do {
    /// The names of all requests, as they stand on the wire.
    pub fn names() -> &'static [&'static str] {
        &DO
    }
}

impl Done {
    /// The names of all answers.
    pub fn names() -> &'static [&'static str] {
        &DONE
    }
}

impl Ev {
    /// The names of all pushes.
    pub fn names() -> &'static [&'static str] {
        &EV
    }
}

/// The bytes of the top map's known fields.
#[derive(Default)]
struct Fields<'a> {
    hello: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    act: Option<&'a [u8]>,
    ping: Option<&'a [u8]>,
    pong: Option<&'a [u8]>,
    welcome: Option<&'a [u8]>,
    re: Option<&'a [u8]>,
    ok: Option<&'a [u8]>,
    no: Option<&'a [u8]>,
    seq: Option<&'a [u8]>,
    ev: Option<&'a [u8]>,
    bye: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn read(message: &'a [u8]) -> Result<Self, BadMessage> {
        if message.len() > limits::MESSAGE_BYTES_MAX {
            return Err(BadMessage::TooLarge(message.len()));
        }
        scan::check(message)?;
        let mut fields = Self::default();
        let mut cursor = Cursor::new(message);
        for _ in 0..cursor.map().ok_or(BadMessage::NotAMap)? {
            let field = match cursor.text().ok_or(BadMessage::Key)? {
                "hello" => &mut fields.hello,
                "id" => &mut fields.id,
                "do" => &mut fields.act,
                "ping" => &mut fields.ping,
                "pong" => &mut fields.pong,
                "welcome" => &mut fields.welcome,
                "re" => &mut fields.re,
                "ok" => &mut fields.ok,
                "no" => &mut fields.no,
                "seq" => &mut fields.seq,
                "ev" => &mut fields.ev,
                "bye" => &mut fields.bye,
                _ => &mut None,
            };
            *field = Some(cursor.value().ok_or(BadMessage::Truncated)?);
        }
        Ok(fields)
    }
}

fn uint(bytes: &[u8], of: &'static str) -> Result<u64, BadMessage> {
    Cursor::new(bytes).uint().ok_or(BadMessage::Shape(of))
}

/// The one key of `{name: {…}}`.
fn name_of<'a>(bytes: &'a [u8], of: &'static str) -> Result<&'a str, BadMessage> {
    let mut cursor = Cursor::new(bytes);
    match (cursor.map(), cursor.text()) {
        (Some(1), Some(name)) => Ok(name),
        _ => Err(BadMessage::Shape(of)),
    }
}

static DO: LazyLock<&[&str]> = LazyLock::new(variants::<Do>);
static DONE: LazyLock<&[&str]> = LazyLock::new(variants::<Done>);
static EV: LazyLock<&[&str]> = LazyLock::new(variants::<Ev>);

fn known(names: &[&'static str], name: &str) -> Option<&'static str> {
    names.iter().find(|known| **known == name).copied()
}

/// What a `permissions` push says of tools and options, encoded once for all who may the same.
#[derive(Clone, Debug)]
pub struct EncodedRights(Bytes);

impl EncodedRights {
    /// The two maps as they are encoded when nothing is in them: they end the push.
    const EMPTY: &[u8] = b"\xa5tools\x80\xa7options\x80";

    pub fn new(tools: BTreeMap<String, ToolView>, options: BTreeMap<String, Value>) -> Self {
        let whole = Self::whole(0, 0, 0, tools, options);
        let nothing = Self::whole(0, 0, 0, BTreeMap::new(), BTreeMap::new());
        Self(whole.slice(nothing.len().saturating_sub(Self::EMPTY.len())..))
    }

    /// The push, as [`FromBroker::encode`] would have it.
    pub fn push(&self, seq: Seq, session: SessionId, epoch: PermissionEpoch) -> Bytes {
        let whole = Self::whole(seq.0, session.0, epoch.0, BTreeMap::new(), BTreeMap::new());
        [whole.strip_suffix(Self::EMPTY).unwrap_or(&whole), &self.0].concat().into()
    }

    fn whole(
        seq: u64,
        session: u64,
        epoch: u32,
        tools: BTreeMap<String, ToolView>,
        options: BTreeMap<String, Value>,
    ) -> Bytes {
        let ev = Ev::Permissions { session, epoch, tools, options };
        FromBroker::Push { seq, ev: Some(Box::new(ev)) }.encode()
    }
}

/// serde's own words are dropped: they may quote what was sent, secrets included.
fn build<T: DeserializeOwned>(bytes: &[u8], of: &'static str) -> Result<T, BadMessage> {
    rmp_serde::from_slice(bytes).map_err(|_| BadMessage::Shape(of))
}

/// A peer's word, short enough to be said again.
fn bounded(name: &str) -> String {
    let end = name.char_indices().map(|(at, c)| at.saturating_add(c.len_utf8()));
    let end = end.take_while(|end| *end <= limits::NAME_BYTES_MAX).last().unwrap_or(0);
    name.get(..end).unwrap_or_default().to_owned()
}

#[expect(clippy::expect_used, reason = "only a sequence of unknown length fails, and no message holds one")]
fn named<T: Serialize>(message: &T) -> Bytes {
    rmp_serde::to_vec_named(message).expect("every part of a message knows its length").into()
}

/// Top maps as they leave.
mod out {
    use super::super::control;
    use serde::Serialize;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    pub struct Nothing {}
    #[derive(Serialize)]
    pub struct Hello<'a> {
        pub hello: &'a control::Hello,
    }
    #[derive(Serialize)]
    pub struct Request<'a> {
        pub id: u64,
        #[serde(rename = "do")]
        pub act: &'a control::Do,
    }
    #[derive(Serialize)]
    pub struct Unknown<'a> {
        pub id: u64,
        #[serde(rename = "do")]
        pub act: BTreeMap<&'a String, Nothing>,
    }
    #[derive(Serialize)]
    pub struct Ping {
        pub ping: u64,
    }
    #[derive(Serialize)]
    pub struct Pong {
        pub pong: u64,
    }
    #[derive(Serialize)]
    pub struct Welcome<'a> {
        pub welcome: &'a control::Welcome,
    }
    #[derive(Serialize)]
    pub struct Yes<'a> {
        pub re: u64,
        pub ok: &'a control::Done,
    }
    #[derive(Serialize)]
    pub struct No<'a> {
        pub re: u64,
        pub no: &'a control::Refused,
    }
    #[derive(Serialize)]
    pub struct Push<'a> {
        pub seq: u64,
        pub ev: &'a control::Ev,
    }
    #[derive(Serialize)]
    pub struct Later {
        pub seq: u64,
        pub ev: BTreeMap<&'static str, Nothing>,
    }
    #[derive(Serialize)]
    pub struct Said<'a> {
        pub bye: &'a control::Bye,
    }
}
