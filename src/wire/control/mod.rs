//! Control messages: MessagePack maps with field names (W4.1). A message never names its sender; the broker knows.
//!
//! A client sends `hello` first, then requests `{id, do: {name: {…}}}`; the broker answers each with `{re, ok}` or
//! `{re, no}` and pushes `{seq, ev: {name: {…}}}`. Unknown fields are ignored, unknown names are refused by name.

mod answers;
mod hello;
mod jobs;
mod pushes;
mod requests;
mod views;

pub use answers::*;
pub use hello::*;
pub use jobs::*;
pub use pushes::*;
pub use requests::*;
pub use views::*;

/// Everything a client may send as control. Exactly one field is set.
#[derive(Clone, PartialEq, Debug)]
pub enum FromClient {
    Hello(Box<Hello>),
    /// `id` counts up from 1 for one participant and is never used again by it, reconnects included (W3.5).
    Request {
        id: u64,
        act: Box<Do>,
    },
    /// A request whose name this version does not know; refused by name.
    Unknown {
        id: u64,
        name: String,
    },
    Ping(u64),
    Pong(u64),
}

/// Everything the broker may send as control.
#[derive(Clone, PartialEq, Debug)]
pub enum FromBroker {
    Welcome(Box<Welcome>),
    Reply {
        re: u64,
        answer: Result<Box<Done>, Box<Refused>>,
    },
    /// `seq` is the site's sequence number; gaps are normal (W4.4). An event this version does not know is `None`.
    Push {
        seq: u64,
        ev: Option<Box<Ev>>,
    },
    Ping(u64),
    Pong(u64),
    /// Said before the connection closes, where there is more to say than the code.
    Bye(Bye),
}
