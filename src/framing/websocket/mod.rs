//! WebSocket framing (RFC 6455) for both ends, built for a relay: no buffer is held while a connection is idle, and
//! many messages leave in one write. Header parsing and close-code rules are tungstenite's.

mod buffers;
mod decode;
mod outgoing;
mod socket;

pub(super) use buffers::{READ_BYTES, with_scratch};
pub use decode::{Decoder, End};
pub use socket::{Socket, Step};

use crate::wire::CloseCode;
use bytes::Bytes;
use std::io;

/// The longest frame header: two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;
/// Payload of a ping, pong or close (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// What the peer did that ends the connection.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("broken WebSocket framing: {0}")]
    Protocol(&'static str),
    #[error("a text message, where binary ones are spoken")]
    Text,
    #[error("a close reason that is not UTF-8")]
    Utf8,
    #[error("a message over {0} bytes")]
    TooBig(usize),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("a frame was not completed in time")]
    Late,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

impl Fault {
    /// What to close with; nothing where there is nobody left to tell.
    pub fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Protocol(_) => Some(CloseCode::ProtocolError),
            Self::Text => Some(CloseCode::Unsupported),
            Self::Utf8 => Some(CloseCode::InvalidText),
            Self::TooBig(_) => Some(CloseCode::TooBig),
            Self::Forbidden(_) => Some(CloseCode::Forbidden),
            Self::Late => Some(CloseCode::Timeout),
            Self::Io(_) => None,
        }
    }
}

/// What a stream of WebSocket frames brings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A whole binary message.
    Message(Bytes),
    /// Answered already.
    Ping(Bytes),
    Pong,
    /// A fragment without payload, or a stream that ended before its first frame: harmless once, a flood otherwise.
    EmptyFragment,
    Close(Option<(u16, String)>),
}
