//! The SDK for everything that connects: agent, rep console, load test, tests. One background task owns the connection
//! and comes back by itself; requests and channels go on where they were (W3). This room never knows what a session is
//! about: it carries messages and bytes.

pub mod annotation;
mod channel;
mod dial;
pub mod file;
pub mod picture;
mod requests;
mod state;
mod task;
mod tls;
pub mod transfer;

pub use crate::framing::quic::Congestion;
pub use channel::{ChannelEnd, Chunk, Reader, Writer};
pub use dial::{SignIn, open, sign_in, sign_in_with};
pub use tls::parse_pin;

use crate::wire::{
    CloseCode, Do, Done, Ev, Hello, Refused, Welcome, Work,
    control::{ChannelView, Role},
};
pub(crate) use task::jitter;

use state::Shared;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use url::Url;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    Ws,
    Quic,
}

/// Where a broker is and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Target {
    /// `https://host:port`, or `http://…` where plain text is spoken.
    pub url: Url,
    pub transport: Transport,
    /// SHA-256 of the broker's certificate: exactly that one is taken. Else the system's roots decide.
    pub pin: Option<[u8; 32]>,
    /// Of QUIC; the system's TCP has its own.
    pub congestion: Congestion,
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    #[error("`{0}` is no address of a broker: it is http:// or https:// with a host")]
    Url(String),
    #[error("the broker is not reached: {0}")]
    Unreachable(String),
    #[error("the broker's certificate is refused: {0}")]
    Certificate(String),
    #[error("the broker does not answer as one: {0}")]
    Protocol(String),
    #[error("{}", .0.message)]
    Refused(Refused),
    /// The broker closed the connection before the welcome.
    #[error("{reason} ({code})")]
    Denied { code: u16, reason: String, retry_after_ms: Option<u64>, work: Option<Work> },
    #[error("the client is closed")]
    Closed,
}

impl ClientError {
    /// May the same attempt succeed later?
    pub fn come_back(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Protocol(_) => true,
            Self::Denied { code, .. } => CloseCode::from_number(*code).is_none_or(CloseCode::come_back),
            Self::Url(_) | Self::Certificate(_) | Self::Refused(_) | Self::Closed => false,
        }
    }
}

/// Why a request has no answer that says yes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ActError {
    #[error("{}", .0.message)]
    Refused(Refused),
    #[error("the connection has ended: {reason} ({code})")]
    Closed { code: u16, reason: String },
}

/// What happens on a connection, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Happening {
    Ev {
        seq: u64,
        ev: Ev,
    },
    Connected {
        transport: Transport,
        resumed: bool,
    },
    /// The connection broke; another is tried after the delay.
    Lost {
        retry_in: Duration,
    },
    /// Nothing is tried any more; `code` as in `CloseCode`.
    Ended {
        code: u16,
        reason: String,
    },
}

#[derive(Debug)]
pub struct Happenings(mpsc::Receiver<Happening>);

impl Happenings {
    /// The next of them; `None` after `Ended`. Whoever does not listen holds the connection up: reading stops.
    pub async fn recv(&mut self) -> Option<Happening> {
        self.0.recv().await
    }

    /// Hears nothing from here on and holds nothing up.
    pub fn ignore(self) {}
}

/// A connection to a broker that outlives its sockets. Clones share it; dropping the last one closes it.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
}

/// What the task is asked to do.
#[derive(Debug)]
enum Order {
    Switch(Transport, oneshot::Sender<Result<(), ClientError>>),
    Close(oneshot::Sender<()>),
}

impl Client {
    /// Connects and says hello; later connections use the resume token of the last welcome.
    pub async fn connect(target: Target, hello: Hello) -> Result<(Self, Happenings), ClientError> {
        Self::connect_after(target, hello, 0).await
    }

    /// The same for a participant who was here before: requests are numbered on from `requests`, for no number is ever
    /// used twice.
    pub async fn connect_after(target: Target, hello: Hello, requests: u64) -> Result<(Self, Happenings), ClientError> {
        let dialer = Arc::new(dial::Dialer::new(&target)?);
        let service = hello.role == Role::Service;
        let entered = dialer.enter(target.transport, &hello).await?;
        let (orders, taken) = mpsc::channel(4);
        let (happened, happenings) = mpsc::channel(crate::limits::CLIENT_HAPPENINGS);
        let shared = Arc::new(Shared::new(entered.welcome.clone(), service, requests));
        let task = task::Task::new(dialer, target.transport, hello, shared.clone(), happened);
        tokio::spawn(task.run(entered, taken));
        Ok((Self { shared, orders }, Happenings(happenings)))
    }

    /// Of the newest connection.
    pub fn welcome(&self) -> Welcome {
        self.shared.state().welcome.clone()
    }

    /// Asks for something and waits for the answer, across broken connections: the request is sent again until it is
    /// answered, and done once (W3.5).
    pub async fn act(&self, act: Do) -> Result<Done, ActError> {
        self.shared.act(act).await
    }

    /// Goes on over another transport without losing a byte (W3.5).
    pub async fn switch(&self, transport: Transport) -> Result<(), ClientError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Switch(transport, reply)).await.map_err(|_| ClientError::Closed)?;
        answer.await.map_err(|_| ClientError::Closed)?
    }

    /// The reading end of a channel this participant reads. One for each channel.
    pub fn reader(&self, channel: &ChannelView) -> Reader {
        Reader::new(self.shared.clone(), channel)
    }

    /// The writing end of a channel this participant writes. One for each channel.
    pub fn writer(&self, channel: &ChannelView) -> Writer {
        Writer::new(self.shared.clone(), channel)
    }

    /// For how long nothing was heard from the broker (W2.5). While channels are open it is heard every few seconds.
    pub fn silent_for(&self) -> Duration {
        Instant::now().saturating_duration_since(self.shared.state().heard)
    }

    /// Says good-bye and waits until the connection is closed.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.orders.send(Order::Close(reply)).await.is_ok() {
            // An error means that the task has ended meanwhile.
            let _ = closed.await;
        }
    }
}
