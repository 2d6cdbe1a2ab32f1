//! How messages lie in a stream of bytes: WebSocket frames, and the length prefix used on QUIC streams. The broker's
//! sockets and the client's share it. This room never knows what a message means or who sent it.

mod arriving;
mod copies;
mod leaving;
pub mod length;
pub mod quic;
mod stream;
pub mod websocket;

pub use stream::Stream;

use crate::{ids::ChannelId, limits, wire::Frame};
use quic::Quic;
use std::{io, time::Duration};
use websocket::{Fault, Item, Socket, Step};

/// The subprotocol a WebSocket client must offer; its number is the protocol's major version (W3.2).
pub const SUBPROTOCOL: &str = "equipoise.v1";
/// What a QUIC client must offer by ALPN.
pub const ALPN: &[u8] = b"equipoise/1";
/// Where the WebSocket is opened.
pub const WEBSOCKET_PATH: &str = "/v1/ws";
pub const SIGN_IN_PATH: &str = "/v1/sign-in";
pub const SECOND_FACTOR_PATH: &str = "/v1/second-factor";
pub const TICKET_PATH: &str = "/v1/ticket";
/// The page that the links of a mailed invitation open, and where its button sends the answer.
pub const INVITATION_PATH: &str = "/v1/invitation";

/// A connection that carries messages, whatever it runs on. One task owns it.
#[derive(Debug)]
pub enum Link {
    Ws(Box<Socket>),
    Quic(Box<Quic>),
}

impl Link {
    /// Queues a control message or a steering frame.
    pub fn queue_control(&mut self, message: &[u8]) {
        match self {
            Self::Ws(socket) => socket.queue(message),
            Self::Quic(quic) => quic.queue_control(message),
        }
    }

    /// Queues a data frame.
    pub fn queue_frame(&mut self, frame: &Frame) {
        match self {
            Self::Ws(socket) => socket.queue_frame(&frame.header.encode(), &frame.payload),
            Self::Quic(quic) => quic.queue_frame(frame),
        }
    }

    /// Would more be taken on its way, or only wait here?
    pub fn has_room(&self) -> bool {
        match self {
            Self::Ws(socket) => socket.is_idle(),
            Self::Quic(quic) => quic.has_room(),
        }
    }

    /// May this channel's next frame come? After a no, [`Link::freed`] says when.
    pub fn takes(&mut self, channel: ChannelId) -> bool {
        match self {
            Self::Ws(_) => true,
            Self::Quic(quic) => quic.takes(channel),
        }
    }

    /// Channels that were refused and have room again.
    pub fn freed(&mut self) -> Vec<ChannelId> {
        match self {
            Self::Ws(_) => Vec::new(),
            Self::Quic(quic) => quic.freed(),
        }
    }

    /// As the transport measures it, where it does.
    pub fn round_trip(&self) -> Option<Duration> {
        match self {
            Self::Ws(_) => None,
            Self::Quic(quic) => Some(quic.round_trip()),
        }
    }

    /// Nothing that was queued waits here.
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Ws(socket) => socket.is_idle(),
            Self::Quic(quic) => quic.is_idle(),
        }
    }

    /// Bytes queued and not yet with the system.
    pub fn waiting(&self) -> usize {
        match self {
            Self::Ws(socket) => socket.waiting(),
            Self::Quic(quic) => quic.waiting(),
        }
    }

    /// Bytes the system took, from the beginning.
    pub fn taken(&self) -> u64 {
        match self {
            Self::Ws(socket) => socket.taken(),
            Self::Quic(quic) => quic.taken(),
        }
    }

    /// Items read, from the beginning.
    pub fn items(&self) -> u64 {
        match self {
            Self::Ws(socket) => socket.items(),
            Self::Quic(quic) => quic.items(),
        }
    }

    /// A message began and is not complete (W1.9).
    pub fn is_partial(&self) -> bool {
        match self {
            Self::Ws(socket) => socket.is_partial(),
            Self::Quic(quic) => quic.is_partial(),
        }
    }

    /// Nobody has said who they are yet: messages are short, and there are no legs.
    pub fn before_hello(&mut self) {
        match self {
            Self::Ws(socket) => socket.limit(limits::HELLO_BYTES_MAX),
            Self::Quic(quic) => quic.limit(limits::HELLO_BYTES_MAX),
        }
    }

    /// `legs`: how many the peer may send at once; `window`: what one of them may grow to.
    pub fn after_hello(&mut self, legs: u32, window_max: u64) {
        match self {
            Self::Ws(socket) => socket
                .limit(limits::MESSAGE_BYTES_MAX.max(limits::FRAME_HEADER_BYTES + limits::FRAME_PAYLOAD_BYTES_MAX)),
            Self::Quic(quic) => {
                quic.limit(limits::MESSAGE_BYTES_MAX);
                quic.allow_legs(legs, window_max);
            }
        }
    }

    /// Moves bytes both ways until something was done; gives up nothing when it is dropped half way. `take` is handed
    /// each item in order; what it returns as an error ends the reading there.
    pub async fn step<E: From<Fault>>(&mut self, take: impl FnMut(Item) -> Result<(), E>) -> Result<Step, E> {
        match self {
            Self::Ws(socket) => socket.step(take).await,
            Self::Quic(quic) => quic.step(take).await,
        }
    }

    /// Says why the connection ends, writes what is queued, and waits until the other end is gone as well. What it
    /// sends meanwhile is not looked at (H-35).
    pub async fn close(&mut self, code: u16, reason: &str) -> io::Result<()> {
        match self {
            Self::Ws(socket) => socket.close(code, reason).await,
            Self::Quic(quic) => quic.close(code, reason).await,
        }
    }

    /// Answers the peer's good-bye.
    pub async fn close_too(&mut self, code: u16) -> io::Result<()> {
        match self {
            Self::Ws(socket) => socket.close_too(code).await,
            // The connection is closed for both at once.
            Self::Quic(_) => Ok(()),
        }
    }
}
