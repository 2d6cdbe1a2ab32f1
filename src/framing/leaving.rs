//! Legs as they leave on a QUIC connection: each on a stream of its own, and small frames once more in datagrams where
//! the line loses packets.

use super::{
    copies::{Copies, Line},
    length::prefix,
    quic::Doing,
};
use crate::{
    ids::ChannelId,
    limits,
    wire::{CloseCode, Frame},
};
use quinn::{Connection, ConnectionError, SendStream, VarInt, WriteError};
use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// All legs that we send.
pub struct Leaving {
    connection: Connection,
    legs: HashMap<ChannelId, Leg>,
    /// Legs with bytes to write.
    writing: Vec<ChannelId>,
    /// Legs that were full when their next frame was offered.
    refused: Vec<ChannelId>,
    /// Those that all was written of last, and where: their CLOSE may have overtaken an empty frame with FIN.
    ended: VecDeque<(ChannelId, u64)>,
    /// What leaves once more, and the clock of the next.
    copies: Copies,
    timer: Option<Pin<Box<Sleep>>>,
    taken: u64,
}

/// One of them.
struct Leg {
    stream: LegStream,
    out: Out,
    /// Bytes that the stream took.
    taken: u64,
    /// Where what was queued ends, and where the channel does.
    end: u64,
    last: Option<u64>,
}

enum LegStream {
    /// Waits until the peer allows one more stream.
    Opening(Doing<Result<SendStream, ConnectionError>>),
    Open(SendStream),
}

/// Bytes on their way into a stream.
#[derive(Debug, Default)]
pub struct Out {
    bytes: Vec<u8>,
    written: usize,
    /// The longest that was put in since it was empty.
    longest: usize,
}

impl Leaving {
    pub fn new(connection: &Connection) -> Self {
        Self {
            connection: connection.clone(),
            legs: HashMap::new(),
            writing: Vec::new(),
            refused: Vec::new(),
            ended: VecDeque::new(),
            copies: Copies::default(),
            timer: None,
            taken: 0,
        }
    }

    pub fn queue(&mut self, frame: &Frame) {
        let channel = frame.header.channel;
        // It says what the CLOSE said, and on a stream of its own would come before what the one that ended still brings.
        if frame.payload.is_empty() && self.ended.contains(&(channel, frame.end())) {
            return;
        }
        let connection = &self.connection;
        let leg = self.legs.entry(channel).or_insert_with(|| {
            let connection = connection.clone();
            let stream = LegStream::Opening(Box::pin(async move { connection.open_uni().await }));
            Leg { stream, out: Out::default(), taken: 0, end: 0, last: None }
        });
        if leg.out.is_empty() {
            self.writing.push(channel);
        }
        leg.out.push(&[&frame.header.encode(), &frame.payload]);
        leg.end = frame.end();
    }

    /// Is there room for a frame of this channel before its stream?
    pub fn takes(&mut self, channel: ChannelId) -> bool {
        let takes = self.legs.get(&channel).is_none_or(Leg::takes);
        if !takes && !self.refused.contains(&channel) {
            self.refused.push(channel);
        }
        takes
    }

    /// Legs that were refused and have room again.
    pub fn freed(&mut self) -> Vec<ChannelId> {
        let legs = &self.legs;
        self.refused.extract_if(.., |channel| legs.get(channel).is_none_or(Leg::takes)).collect()
    }

    pub fn is_idle(&self) -> bool {
        self.writing.is_empty()
    }

    pub fn waiting(&self) -> usize {
        self.legs.values().map(|leg| leg.out.waiting()).sum()
    }

    /// Bytes that the streams took, from the beginning.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// `at`: where the leg ends in order, for a CLOSE overtakes data; `None`: it ends here.
    pub fn end(&mut self, channel: ChannelId, at: Option<u64>) {
        let Some(leg) = self.legs.get_mut(&channel) else { return };
        leg.last = at;
        if at.is_some() && !leg.is_done() {
            return;
        }
        self.writing.retain(|writing| *writing != channel);
        let Some(Leg { stream: LegStream::Open(mut stream), .. }) = self.legs.remove(&channel) else { return };
        // Fails only where the peer has stopped it, or the connection is gone.
        let _ = if let Some(at) = at {
            if self.ended.len() == limits::LEGS_JUST_ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back((channel, at));
            stream.finish()
        } else {
            self.copies.forget(stream.id().into());
            stream.reset(VarInt::from_u32(CloseCode::Forbidden.number().into()))
        };
    }

    /// Writes what the streams take; true if anything that waited is through.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, WriteError> {
        let mut wrote = false;
        if self.writing.is_empty() {
            return Ok(wrote);
        }
        let now = Instant::now();
        self.copies.look(now, || line(&self.connection));
        let mut at = 0;
        while let Some(channel) = self.writing.get(at).copied() {
            let Some(leg) = self.legs.get_mut(&channel) else {
                self.writing.swap_remove(at);
                continue;
            };
            let before = leg.out.waiting();
            let again = leg.out.written == 0 && leg.out.longest <= self.copies.frame_bytes_max();
            let done = leg.poll_write(cx);
            self.taken += (before - leg.out.waiting()) as u64;
            wrote |= before >= limits::LEG_BUFFER_BYTES && leg.out.waiting() < limits::LEG_BUFFER_BYTES;
            match done {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(written)) => {
                    wrote = true;
                    self.writing.swap_remove(at);
                    if again && let LegStream::Open(stream) = &leg.stream {
                        self.copies.add(now, stream.id().into(), leg.taken - written.len() as u64, written.into());
                    }
                    if leg.is_done() {
                        let last = leg.last;
                        self.end(channel, last);
                    }
                }
                // Its reader wants no more of it; the channel's CLOSE says why.
                Poll::Ready(Err(WriteError::Stopped(_) | WriteError::ClosedStream)) => {
                    self.end(channel, None);
                    wrote = true;
                }
                Poll::Ready(Err(error)) => {
                    self.writing.clear();
                    self.legs.clear();
                    return Err(error);
                }
            }
        }
        Ok(wrote)
    }

    /// Copies that are due leave as datagrams.
    pub fn poll_copies(&mut self, cx: &mut Context<'_>) {
        while let Some(due) = self.copies.due() {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            let now = Instant::now();
            while let Some(piece) = self.copies.next(now, self.connection.datagram_send_buffer_space()) {
                // Fails where the line takes shorter ones than it did, or is gone: the stream is there for both.
                let _ = self.connection.send_datagram(piece.encode());
                metrics::counter!("equipoise_copies_total", "what" => "sent").increment(1);
            }
        }
        self.timer = None;
    }
}

impl Leg {
    fn takes(&self) -> bool {
        self.out.waiting() < limits::LEG_BUFFER_BYTES
    }

    /// All there will ever be is written.
    fn is_done(&self) -> bool {
        self.out.is_empty() && self.last.is_some_and(|last| self.end >= last)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, WriteError>> {
        loop {
            match &mut self.stream {
                LegStream::Open(stream) => {
                    let before = self.out.waiting();
                    let written = self.out.poll_into(stream, cx);
                    self.taken += (before - self.out.waiting()) as u64;
                    return written;
                }
                LegStream::Opening(opening) => {
                    self.stream = LegStream::Open(ready!(opening.as_mut().poll(cx))?);
                }
            }
        }
    }
}

impl Out {
    pub fn push(&mut self, parts: &[&[u8]]) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&prefix(parts.iter().map(|part| part.len()).sum()));
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.longest = self.longest.max(self.bytes.len() - before);
    }

    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Until all is written; gives that, or the end of it.
    pub fn poll_into(&mut self, stream: &mut SendStream, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, WriteError>> {
        while !self.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.written..]) {
                Poll::Ready(wrote) => self.written += wrote?,
                Poll::Pending => {
                    if self.written >= limits::LEG_BUFFER_BYTES {
                        self.bytes.drain(..self.written);
                        self.written = 0;
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(std::mem::take(self).bytes))
    }
}

/// What quinn knows of it.
fn line(connection: &Connection) -> Line {
    let path = connection.stats().path;
    Line {
        sent_packets: path.sent_packets,
        lost_packets: path.lost_packets,
        queued: path.rtt.saturating_sub(path.min_rtt),
        datagram_bytes_max: connection.max_datagram_size().unwrap_or_default(),
    }
}
