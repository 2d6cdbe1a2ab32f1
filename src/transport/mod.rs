//! Sockets: WebSocket and QUIC listeners, their handshakes, and the pumps that move messages between a socket and the
//! broker. This room never knows what a session, a permission or a queue is, and nothing outside it sees a library's
//! socket.

mod http;
mod invitation;
mod pace;
mod per_address;
mod problem;
mod pump;
mod quic;
mod reset;
mod sign_in;
pub mod tls;

pub use crate::framing::quic::Congestion;
pub use http::{HttpListener, HttpSettings, ListenError};
pub use per_address::PerAddress;
pub use quic::{QuicListener, QuicSettings};

use crate::{broker::Broker, clock::spread, limits, time::Span, wire::CloseCode};
use std::time::Duration;

const HANDSHAKE: Duration = duration(limits::HANDSHAKE);
const HELLO: Duration = duration(limits::HELLO_DEADLINE);
const BODY: Duration = duration(limits::BODY_DEADLINE);
const OUT_OF_FILES: Duration = duration(limits::OUT_OF_FILES_PAUSE);
const FAREWELL: Duration = duration(limits::FAREWELL);
const DRAIN: Duration = duration(limits::CLOSE_CONNECTIONS);
const BODY_BYTES_MAX: usize = limits::BODY_BYTES_MAX;
const HEADERS_MAX: usize = limits::HEADERS_MAX;
const HEADER_BYTES_MAX: usize = limits::HEADER_BYTES_MAX;
const UNSENT_BYTES: u32 = limits::UNSENT_BYTES;

const fn duration(span: Span) -> Duration {
    Duration::from_millis(span.0)
}

fn refused(why: &'static str) {
    metrics::counter!("equipoise_connections_refused_total", "reason" => why).increment(1);
}

/// A close code as a metric's label: documented codes alone, so that peers cannot make labels up.
fn code_name(number: u16) -> &'static str {
    match CloseCode::from_number(number) {
        Some(code) => code.name(),
        None => "other",
    }
}

/// Closes every attached connection because the broker is about to go (1012). Each is told another delay, so that
/// they do not all come back at once.
fn close_all(broker: &Broker) {
    for connection in broker.directory().connections() {
        let retry_after = spread(duration(limits::RESTART_SPREAD));
        let retry_after_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        connection.outbox.close(CloseCode::Restart, "the broker is about to restart", Some(retry_after_ms));
    }
}
