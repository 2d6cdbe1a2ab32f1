//! A QUIC connection as a link (W4.5): the first bidirectional stream carries control and steering, and each leg has a
//! unidirectional stream of its own, opened by its sender, so that one that is blocked holds up no other.

use super::{
    arriving::Arriving,
    leaving::{Leaving, Out},
    length::Splitter,
    websocket::{Fault, Item, Step, with_scratch},
};
use crate::{
    ids::ChannelId,
    limits,
    wire::{CloseCode, Frame, Kind, frame::CloseReason},
};
use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
pub(super) type Doing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One task owns it and moves everything with [`Quic::step`].
pub struct Quic {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    splitter: Splitter,
    out: Out,
    leaving: Leaving,
    arriving: Arriving,
    closed: Doing<ConnectionError>,
    taken: u64,
    items: u64,
}

impl std::fmt::Debug for Quic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quic").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Quic {
    /// `send` and `receive` are the first bidirectional stream.
    pub fn new(connection: Connection, send: SendStream, receive: RecvStream) -> Self {
        let closed = connection.clone();
        Self {
            leaving: Leaving::new(&connection),
            arriving: Arriving::new(&connection),
            closed: Box::pin(async move { closed.closed().await }),
            connection,
            send,
            receive,
            splitter: Splitter::new(limits::MESSAGE_BYTES_MAX),
            out: Out::default(),
            taken: 0,
            items: 0,
        }
    }

    /// Queues a control message or a steering frame. A CLOSE among them ends its leg: in order when all was sent, and
    /// at once otherwise (W2.3).
    pub fn queue_control(&mut self, message: &[u8]) {
        self.out.push(&[message]);
        if let Some(close) = close_of(message) {
            let finished = close.payload.first() == Some(&(CloseReason::Finished as u8));
            self.leaving.end(close.header.channel, finished.then_some(close.header.offset));
        }
    }

    pub fn queue_frame(&mut self, frame: &Frame) {
        self.leaving.queue(frame);
    }

    /// Is there room for a frame of this channel before its stream?
    pub fn takes(&mut self, channel: ChannelId) -> bool {
        self.leaving.takes(channel)
    }

    /// Legs that were refused and have room again.
    pub fn freed(&mut self) -> Vec<ChannelId> {
        self.leaving.freed()
    }

    pub fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    pub fn has_room(&self) -> bool {
        self.out.waiting() < limits::WRITE_BATCH_BYTES
    }

    pub fn is_idle(&self) -> bool {
        self.out.is_empty() && self.leaving.is_idle()
    }

    pub fn waiting(&self) -> usize {
        self.out.waiting() + self.leaving.waiting()
    }

    pub fn is_partial(&self) -> bool {
        self.splitter.is_partial()
    }

    pub fn taken(&self) -> u64 {
        self.taken + self.leaving.taken()
    }

    pub fn items(&self) -> u64 {
        self.items + self.arriving.frames()
    }

    /// The longest control message that is taken from here on.
    pub fn limit(&mut self, message_bytes_max: usize) {
        self.splitter.set_limit(message_bytes_max);
    }

    /// How many streams the peer may have open for its legs.
    pub fn allow_legs(&self, legs: u32, window_max: u64) {
        self.connection.set_receive_window(windows(window_max).1);
        self.connection.set_max_concurrent_uni_streams(VarInt::from_u32(legs));
    }

    pub async fn step<E: From<Fault>>(&mut self, mut take: impl FnMut(Item) -> Result<(), E>) -> Result<Step, E> {
        poll_fn(|cx| {
            let wrote = match self.poll_write(cx) {
                Ok(wrote) => wrote,
                // What was said before the end is still read.
                Err(fault) if self.connection.close_reason().is_none() => return Poll::Ready(Err(fault.into())),
                Err(_) => false,
            };
            self.leaving.poll_copies(cx);
            match self.poll_read(cx, &mut take) {
                Poll::Ready(step) => Poll::Ready(step),
                Poll::Pending if wrote => Poll::Ready(Ok(Step::Written)),
                Poll::Pending => {
                    let error = ready!(self.closed.as_mut().poll(cx));
                    Poll::Ready(ended(error, &mut take))
                }
            }
        })
        .await
    }

    /// Writes what is queued as control, waits until it has arrived, and closes.
    pub async fn close(&mut self, code: u16, reason: &str) -> io::Result<()> {
        poll_fn(|cx| self.out.poll_into(&mut self.send, cx)).await.map_err(io::Error::other)?;
        // Fails where the stream is closed already; then there is nothing to wait for.
        if self.send.finish().is_ok() {
            let _ = self.send.stopped().await;
        }
        self.abandon(code, reason);
        Ok(())
    }

    /// Closes without waiting for anything.
    pub fn abandon(&self, code: u16, reason: &str) {
        self.connection.close(VarInt::from_u32(code.into()), reason.as_bytes());
    }

    // ---- writing ----

    /// Writes what the streams take; true if anything that waited is through.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Fault> {
        let before = self.out.waiting();
        let mut wrote = false;
        if before > 0 {
            wrote = self.out.poll_into(&mut self.send, cx).map_err(broken)?.is_ready();
            self.taken += (before - self.out.waiting()) as u64;
        }
        wrote |= self.leaving.poll_write(cx).map_err(broken)?;
        Ok(wrote)
    }

    // ---- reading ----

    fn poll_read<E: From<Fault>>(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut impl FnMut(Item) -> Result<(), E>,
    ) -> Poll<Result<Step, E>> {
        let mut read = false;
        match with_scratch(|scratch| {
            self.receive.poll_read(cx, scratch).map_ok(|n| (n, self.splitter.feed_all(&scratch[..n])))
        }) {
            Poll::Pending => {}
            // The peer ended its side of the control stream: it is about to close.
            Poll::Ready(Ok((0, _)) | Err(ReadError::ConnectionLost(_) | ReadError::ClosedStream)) => {}
            Poll::Ready(Ok((_, messages))) => {
                read = true;
                for message in messages.map_err(|_| Fault::TooBig(limits::MESSAGE_BYTES_MAX))? {
                    if message.first().copied().and_then(Kind::from_byte).is_some_and(Kind::is_data) {
                        return Poll::Ready(Err(Fault::Protocol("data on the control stream").into()));
                    }
                    self.items += 1;
                    // Nobody takes more of what we send there: a stream that stayed open would count against the
                    // peer's limit for as long as the connection lives.
                    if let Some(close) = close_of(&message) {
                        self.leaving.end(close.header.channel, None);
                    }
                    take(Item::Message(message))?;
                }
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::Protocol("the control stream was reset").into())),
        }
        read |= self.arriving.poll(cx, take)?;
        if read { Poll::Ready(Ok(Step::Read)) } else { Poll::Pending }
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.abandon(CloseCode::Normal.number(), "");
    }
}

/// A CLOSE, from either side.
fn close_of(message: &[u8]) -> Option<Frame> {
    let is_close = message.first() == Some(&(Kind::Close as u8));
    is_close.then(|| Frame::decode(Bytes::copy_from_slice(message)).ok()).flatten()
}

fn broken(error: WriteError) -> Fault {
    Fault::Io(io::Error::other(error))
}

/// The connection is no more: with a code where the peer gave one.
fn ended<E: From<Fault>>(error: ConnectionError, take: &mut impl FnMut(Item) -> Result<(), E>) -> Result<Step, E> {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let code = u16::try_from(close.error_code.into_inner()).unwrap_or(CloseCode::Normal.number());
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            take(Item::Close(Some((code, reason))))?;
            Ok(Step::End)
        }
        ConnectionError::LocallyClosed => Ok(Step::End),
        error => Err(Fault::Io(error.into()).into()),
    }
}

/// What both ends set for a connection (7.6). QUIC's own windows only bound the hop, credit does the rest (W1.5): a stream
/// takes what a channel's window may grow to, as far as quinn bears it, and a connection two of them.
pub fn transport_config(congestion: Congestion, legs: u32, window_max: u64) -> quinn::TransportConfig {
    let (stream, connection) = windows(window_max);
    let mut config = quinn::TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(legs))
        .stream_receive_window(stream)
        .receive_window(connection)
        .send_window(connection.into_inner())
        .keep_alive_interval(Some(Duration::from_millis(limits::QUIC_KEEP_ALIVE.0)))
        .max_idle_timeout(Some(VarInt::from_u32(limits::QUIC_IDLE.0 as u32).into()))
        .datagram_send_buffer_size(limits::DATAGRAMS_SENT_BYTES)
        .datagram_receive_buffer_size(Some(limits::DATAGRAMS_RECEIVED_BYTES));
    match congestion {
        Congestion::Bbr => {
            config.congestion_controller_factory(std::sync::Arc::new(quinn::congestion::BbrConfig::default()))
        }
        Congestion::Cubic => {
            config.congestion_controller_factory(std::sync::Arc::new(quinn::congestion::CubicConfig::default()))
        }
    };
    config
}

/// Of a stream, and of a connection.
fn windows(window_max: u64) -> (VarInt, VarInt) {
    let stream = window_max.min(limits::QUIC_STREAM_WINDOW_BYTES_MAX) as u32;
    (VarInt::from_u32(stream), VarInt::from_u32(2 * stream))
}

/// How a sender finds out how much the line carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Congestion {
    /// Keeps its pace where packets get lost: p99 of 92 ms at 5 % loss, where Cubic has seconds.
    #[default]
    Bbr,
    Cubic,
}
