//! What crosses a connection, in both directions: data frames with a fixed header, and control messages in MessagePack.
//! `docs/protocol.md` is the specification. This room never knows a socket, a session's state or a permission.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

pub mod codec;
pub mod control;
pub mod frame;
mod hidden;
mod names;
mod scan;
#[cfg(test)]
mod tests;
mod work;

pub use codec::{BadMessage, EncodedRights, Part};
pub use control::{Credential, Do, Done, Ev, FromBroker, FromClient, Hello, Refused, Welcome};
pub use frame::{Flags, Frame, FrameError, Header, Kind};
pub use hidden::Hidden;
pub use work::Work;

/// The major version that a subprotocol or ALPN names (W3.2).
pub const PROTOCOL: u32 = 1;

/// Why a connection ends, the same number on WebSocket and QUIC (W4.2). 4000–4499: come back; 4500–4999: don't.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum CloseCode {
    Normal = 1000,
    ProtocolError = 1002,
    Unsupported = 1003,
    InvalidText = 1007,
    TooBig = 1009,
    Internal = 1011,
    Restart = 1012,
    Overloaded = 1013,
    TokenExpired = 4001,
    Slow = 4002,
    Moved = 4003,
    Timeout = 4008,
    Storage = 4013,
    RateLimited = 4029,
    SessionEnded = 4500,
    Unauthenticated = 4501,
    Forbidden = 4503,
    NotFound = 4504,
    Replaced = 4509,
    Gone = 4510,
    TooLarge = 4513,
    Version = 4526,
    BadMessage = 4540,
}

impl CloseCode {
    pub const ALL: [Self; 23] = [
        Self::Normal,
        Self::ProtocolError,
        Self::Unsupported,
        Self::InvalidText,
        Self::TooBig,
        Self::Internal,
        Self::Restart,
        Self::Overloaded,
        Self::TokenExpired,
        Self::Slow,
        Self::Moved,
        Self::Timeout,
        Self::Storage,
        Self::RateLimited,
        Self::SessionEnded,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Replaced,
        Self::Gone,
        Self::TooLarge,
        Self::Version,
        Self::BadMessage,
    ];

    pub fn number(self) -> u16 {
        self as u16
    }

    /// Its name in metrics and documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ProtocolError => "protocol_error",
            Self::Unsupported => "unsupported",
            Self::InvalidText => "invalid_text",
            Self::TooBig => "too_big",
            Self::Internal => "internal",
            Self::Restart => "restart",
            Self::Overloaded => "overloaded",
            Self::TokenExpired => "token_expired",
            Self::Slow => "slow",
            Self::Moved => "moved",
            Self::Timeout => "timeout",
            Self::Storage => "storage",
            Self::RateLimited => "rate_limited",
            Self::SessionEnded => "session_ended",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Replaced => "replaced",
            Self::Gone => "gone",
            Self::TooLarge => "too_large",
            Self::Version => "version",
            Self::BadMessage => "bad_message",
        }
    }

    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// May the peer try again with what it holds?
    pub fn come_back(self) -> bool {
        matches!(self, Self::Internal | Self::Restart | Self::Overloaded) || (4000..4500).contains(&self.number())
    }
}
