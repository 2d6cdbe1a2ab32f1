//! Hello and what it is answered with: who comes, what proves it, where they stand; and the goodbye.

use crate::{
    limits,
    wire::{Hidden, Work},
};
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Hello {
    pub role: Role,
    /// By host name if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    pub credential: Credential,
    #[serde(default)]
    pub client: ClientInfo,
    /// Names of optional features; the welcome says which of them hold.
    #[serde(default)]
    pub features: Vec<String>,
    /// Resume the view from this push; left out: a snapshot comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Rep,
    Customer,
    /// Somebody from outside who was invited into one session (R7.5).
    External,
    /// An endpoint that stands by for a jump item, and takes up the sessions that reps start there.
    JumpClient,
    /// An integrator's or the load test's account: asks for sessions and watches them.
    Service,
    Admin,
}

/// What proves who this is. No secret ever stands in a header, a cookie, or a URL's path or query (W3.2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// Single use, 30 s, from `POST /v1/ticket`; what a browser has.
    Ticket(String),
    /// An access token from `POST /v1/sign-in`.
    Token(String),
    /// A session key as read out or typed, or the token of a join link; what a customer or an external rep has. Of a jump
    /// item what its endpoint has, to stand by and as the customer's end of a session there.
    Key(String),
    /// The same, with the answer to what the broker asked for in its `bye` (I-K3).
    WorkedKey { key: String, challenge: String, answer: u64 },
    /// The token of the last welcome (W3.4).
    Resume(String),
}

/// Says which, never what.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ticket(_) => "Ticket(…)",
            Self::Token(_) => "Token(…)",
            Self::Key(_) => "Key(…)",
            Self::WorkedKey { .. } => "WorkedKey(…)",
            Self::Resume(_) => "Resume(…)",
        })
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ClientInfo {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub version: String,
    /// `linux`, `macos`, `windows`, `android`, `ios` or `other`: decides how paths are read (P5).
    #[serde(default)]
    pub os: String,
    /// How the person wants to be called; shown as unverified.
    #[serde(default)]
    pub display_name: String,
    #[serde(default)]
    pub locale: String,
    /// Somebody sits at the endpoint who can be asked (P4.5).
    #[serde(default = "yes")]
    pub present: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    pub protocol: u32,
    pub site: String,
    /// Who the broker knows this to be: a username, or `customer`.
    pub you: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<u16>,
    /// For the next hello; the one before stays good until this one is first used (W3.4).
    pub resume: Hidden,
    pub features: Vec<String>,
    pub ping_interval_s: u64,
    /// What the window of a file or picture channel may grow to, bytes (W1.5).
    #[serde(default = "window_max")]
    pub window_max: u64,
    /// The broker's clock, milliseconds since 1970 UTC.
    pub now_ms: u64,
    /// `true`: the view goes on after `seen`; `false`: a snapshot follows.
    pub resumed: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bye {
    pub code: u16,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What to work on before the same key is shown again (I-K3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

fn yes() -> bool {
    true
}

const fn window_max() -> u64 {
    limits::WINDOW_BYTES_MAX
}
