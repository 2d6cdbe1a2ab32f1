//! Legs as they arrive on a QUIC connection: each on a stream of its own, and in datagrams that repeat bytes of it.

use super::{
    copies::{Piece, Pieces, Room},
    length::Splitter,
    quic::Doing,
    websocket::{Fault, Item, with_scratch},
};
use crate::{limits, wire::Kind};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::SelectAll};
use quinn::{Connection, ConnectionError, RecvStream};
use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

const FRAME_BYTES_MAX: usize = limits::FRAME_HEADER_BYTES + limits::FRAME_PAYLOAD_BYTES_MAX;
const FRAME_DEADLINE: Duration = Duration::from_millis(limits::FRAME_DEADLINE.0);

/// All legs that the peer sends.
pub struct Arriving {
    connection: Connection,
    /// `None` once the connection is lost.
    accepting: Option<Doing<Result<RecvStream, ConnectionError>>>,
    legs: SelectAll<Leg>,
    /// From the first leg on: before there is nothing to repeat, and nobody has said who they are (I-M3).
    repeating: Option<Doing<Result<Bytes, ConnectionError>>>,
    /// Made with the first datagram.
    room: Option<Room>,
    /// Datagrams that may come: as many as frames came, and some in advance.
    accounted: u32,
    frames: u64,
}

/// One of them.
struct Leg {
    stream: RecvStream,
    splitter: Splitter,
    channel: Option<[u8; 4]>,
    /// Bytes that were read in order.
    read: u64,
    /// Since something was repeated the stream is read in whatever order it comes, and put together here.
    pieces: Option<Box<Pieces>>,
    /// When the frame that began has to be complete (W1.9).
    late: Option<Pin<Box<Sleep>>>,
    waker: Option<Waker>,
    over: bool,
}

/// How reading a leg ended.
enum LegFault {
    /// Its sender is done with it, in order or not; the channel's own CLOSE says why.
    Ended,
    /// The same before its first frame.
    Empty,
    Fault(Fault),
}

impl Arriving {
    pub fn new(connection: &Connection) -> Self {
        Self {
            accepting: Some(accept(connection)),
            connection: connection.clone(),
            legs: SelectAll::new(),
            repeating: None,
            room: None,
            accounted: limits::COPIES_UNACCOUNTED,
            frames: 0,
        }
    }

    /// Frames that came, from the beginning.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Hands on what is there; true where anything was.
    pub fn poll<E: From<Fault>>(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut impl FnMut(Item) -> Result<(), E>,
    ) -> Result<bool, E> {
        while let Some(accepting) = &mut self.accepting
            && let Poll::Ready(accepted) = accepting.as_mut().poll(cx)
        {
            self.accepting = None;
            let Ok(stream) = accepted else { break };
            self.accepting = Some(accept(&self.connection));
            self.repeating.get_or_insert_with(|| repeat(&self.connection));
            self.legs.push(Leg::new(stream));
        }
        let mut came = false;
        if let Some(repeating) = &mut self.repeating
            && let Poll::Ready(repeated) = repeating.as_mut().poll(cx)
        {
            self.repeating = repeated.is_ok().then(|| repeat(&self.connection));
            if let Ok(datagram) = repeated {
                came = true;
                self.mend(datagram)?;
                // Whoever repeats what was never sent is held to the rate of messages (H-98).
                match self.accounted.checked_sub(1) {
                    Some(accounted) => self.accounted = accounted,
                    None => take(Item::EmptyFragment)?,
                }
            }
        }
        if let Poll::Ready(Some(read)) = self.legs.poll_next_unpin(cx) {
            came = true;
            match read {
                Ok(frames) => {
                    let account = self.accounted.saturating_add(frames.len() as u32);
                    self.accounted = account.min(limits::COPIES_UNACCOUNTED);
                    for frame in frames {
                        self.frames += 1;
                        take(Item::Message(frame))?;
                    }
                }
                // Whoever opens streams and drops them is held to it as well.
                Err(LegFault::Empty) => take(Item::EmptyFragment)?,
                Err(LegFault::Ended) => {}
                Err(LegFault::Fault(fault)) => return Err(fault.into()),
            }
        }
        Ok(came)
    }

    /// Of a stream that is over, or not here yet, there is nothing to mend.
    fn mend(&mut self, datagram: Bytes) -> Result<(), Fault> {
        let piece = Piece::decode(datagram).ok_or(Fault::Forbidden("a datagram repeats bytes of a leg's stream"))?;
        let leg = self.legs.iter_mut().find(|leg| u64::from(leg.stream.id()) == piece.stream);
        let Some(leg) = leg else { return Ok(()) };
        let room = self.room.get_or_insert_default();
        let pieces = leg.pieces.get_or_insert_with(|| Box::new(Pieces::new(leg.read, room.clone())));
        // What finds no room comes on the stream.
        if pieces.put(piece.at, piece.bytes, limits::COPIES_AHEAD_BYTES) == Ok(true) {
            metrics::counter!("equipoise_copies_total", "what" => "mended").increment(1);
        }
        // With the first of them it is read in another way.
        if let Some(waker) = leg.waker.take() {
            waker.wake();
        }
        Ok(())
    }
}

impl Leg {
    fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            splitter: Splitter::new(FRAME_BYTES_MAX),
            channel: None,
            read: 0,
            pieces: None,
            late: None,
            waker: None,
            over: false,
        }
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Bytes>, LegFault>> {
        loop {
            let read = match &mut self.pieces {
                None => self.poll_read(cx),
                Some(_) => self.poll_pieces(cx),
            };
            let Poll::Ready(frames) = read else { break };
            let frames = frames?;
            self.await_rest(!frames.is_empty());
            for frame in &frames {
                self.check(frame).map_err(LegFault::Fault)?;
            }
            if !frames.is_empty() {
                return Poll::Ready(Ok(frames));
            }
        }
        self.waker = Some(cx.waker().clone());
        match &mut self.late {
            Some(late) => late.as_mut().poll(cx).map(|()| Err(LegFault::Fault(Fault::Late))),
            None => Poll::Pending,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Bytes>, LegFault>> {
        let Self { stream, splitter, .. } = self;
        let read = ready!(with_scratch(|scratch| {
            stream.poll_read(cx, scratch).map_ok(|read| (read, splitter.feed_all(&scratch[..read])))
        }));
        Poll::Ready(match read {
            Ok((0, _)) | Err(_) => Err(self.ended()),
            Ok((read, frames)) => {
                self.read += read as u64;
                frames.map_err(|_| too_big())
            }
        })
    }

    /// The same of a stream that is read out of order: what comes next of it, whoever brought it.
    fn poll_pieces(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Bytes>, LegFault>> {
        let Some(pieces) = &mut self.pieces else { return Poll::Pending };
        loop {
            if let Some(bytes) = pieces.pop() {
                return Poll::Ready(self.splitter.feed_all(&bytes).map_err(|_| too_big()));
            }
            let read = pin!(self.stream.read_chunk(FRAME_BYTES_MAX, false)).poll(cx);
            let Ok(Some(chunk)) = ready!(read) else { return Poll::Ready(Err(self.ended())) };
            pieces
                .put(chunk.offset, chunk.bytes, limits::PIECES_BYTES_MAX)
                .map_err(|_| LegFault::Fault(Fault::TooBig(limits::PIECES_BYTES_MAX)))?;
        }
    }

    fn ended(&self) -> LegFault {
        if self.channel.is_some() { LegFault::Ended } else { LegFault::Empty }
    }

    /// `moved`: a frame was completed, so the one that is here in part began after it.
    fn await_rest(&mut self, moved: bool) {
        let deadline = || Instant::now() + FRAME_DEADLINE;
        match &mut self.late {
            _ if !self.splitter.is_partial() => self.late = None,
            Some(late) if moved => late.as_mut().reset(deadline()),
            Some(_) => {}
            None => self.late = Some(Box::pin(sleep_until(deadline()))),
        }
    }

    /// A leg's stream carries data frames of exactly one channel (H-100).
    fn check(&mut self, message: &[u8]) -> Result<(), Fault> {
        let data = message.first().copied().and_then(Kind::from_byte).is_some_and(Kind::is_data);
        let channel = message.get(4..8).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        match channel.filter(|_| data) {
            Some(channel) if *self.channel.get_or_insert(channel) == channel => Ok(()),
            Some(_) => Err(Fault::Forbidden("a stream carries one channel")),
            None => Err(Fault::Forbidden("a stream of a leg carries data frames")),
        }
    }
}

impl Stream for Leg {
    type Item = Result<Vec<Bytes>, LegFault>;

    /// Whole frames, until one look says how it ended.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let leg = self.get_mut();
        if leg.over {
            return Poll::Ready(None);
        }
        let frames = ready!(leg.poll_frames(cx));
        leg.over = frames.is_err();
        Poll::Ready(Some(frames))
    }
}

fn too_big() -> LegFault {
    LegFault::Fault(Fault::TooBig(FRAME_BYTES_MAX))
}

fn accept(connection: &Connection) -> Doing<Result<RecvStream, ConnectionError>> {
    let connection = connection.clone();
    Box::pin(async move { connection.accept_uni().await })
}

fn repeat(connection: &Connection) -> Doing<Result<Bytes, ConnectionError>> {
    let connection = connection.clone();
    Box::pin(async move { connection.read_datagram().await })
}
