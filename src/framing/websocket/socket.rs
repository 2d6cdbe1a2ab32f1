//! One connection after the upgrade: reads and writes in turn, and closes in good order.

use super::{
    CONTROL_BYTES_MAX, Decoder, End, Fault, Item,
    buffers::{give_buffer, take_buffer, with_scratch},
    decode::apply_mask,
};
use crate::limits;
use bytes::Bytes;
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// What [`Socket::step`] got done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Something was read, and all items in it were handed over.
    Read,
    /// All that was queued is with the system.
    Written,
    /// The peer is gone without a close frame.
    End,
}

/// A stream that speaks WebSocket after the upgrade. One task owns it and moves both directions with [`Socket::step`].
#[derive(Debug)]
pub struct Socket<S> {
    stream: S,
    decoder: Decoder,
    /// Bytes that came with the upgrade, before the first read.
    early: Bytes,
    out: Vec<u8>,
    written: usize,
    taken: u64,
    items: u64,
    flushing: bool,
    /// Of a client's end; boxed, for a broker has many ends and none of these.
    masks: Option<Box<Masks>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub fn new(end: End, stream: S, early: Bytes) -> Self {
        let largest = limits::MESSAGE_BYTES_MAX.max(limits::FRAME_HEADER_BYTES + limits::FRAME_PAYLOAD_BYTES_MAX);
        Self {
            stream,
            decoder: Decoder::new(end, largest),
            // An empty rest may still hold the whole buffer that the upgrade was read into.
            early: if early.is_empty() { Bytes::new() } else { early },
            out: Vec::new(),
            written: 0,
            taken: 0,
            items: 0,
            flushing: false,
            masks: (end == End::Client).then(Box::default),
        }
    }

    /// Queues one binary message made of two parts, so that a frame's payload need not be joined to its header.
    pub fn queue(&mut self, head: &[u8], tail: &[u8]) {
        self.frame(OpCode::Data(Data::Binary), head, tail);
    }

    fn queue_pong(&mut self, payload: &[u8]) {
        self.frame(OpCode::Control(Control::Pong), payload, &[]);
    }

    fn queue_close(&mut self, code: u16, reason: &str) {
        let mut end = reason.len().min(CONTROL_BYTES_MAX - 2);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        self.frame(OpCode::Control(Control::Close), &code.to_be_bytes(), &reason.as_bytes()[..end]);
    }

    fn frame(&mut self, opcode: OpCode, head: &[u8], tail: &[u8]) {
        if self.out.capacity() == 0 {
            self.out = take_buffer();
        }
        let mask = self.masks.as_mut().map(|masks| masks.next());
        let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
        header.format((head.len() + tail.len()) as u64, &mut self.out).expect("writing to a vector cannot fail");
        let from = self.out.len();
        self.out.extend_from_slice(head);
        self.out.extend_from_slice(tail);
        if let Some(mask) = mask {
            apply_mask(&mut self.out[from..], mask, 0);
        }
    }

    /// Bytes queued and not yet with the system.
    pub fn waiting(&self) -> usize {
        self.out.len() - self.written
    }

    /// Bytes the system took, from the beginning.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Items read, from the beginning.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// The longest message that is taken from here on.
    pub fn limit(&mut self, message_bytes_max: usize) {
        self.decoder.limit(message_bytes_max);
    }

    pub fn is_idle(&self) -> bool {
        self.waiting() == 0 && !self.flushing
    }

    pub fn is_partial(&self) -> bool {
        self.decoder.is_partial()
    }

    /// Writes what is queued and reads what is there; gives up nothing when it is dropped half way. `take` is handed
    /// each item in order; what it returns as an error ends the reading there.
    pub async fn step<E: From<Fault>>(&mut self, mut take: impl FnMut(Item) -> Result<(), E>) -> Result<Step, E> {
        poll_fn(|cx| {
            if !self.is_idle()
                && let Poll::Ready(done) = self.poll_write(cx)
            {
                return Poll::Ready(done.map(|()| Step::Written).map_err(|error| E::from(error.into())));
            }
            self.poll_read(cx, &mut take)
        })
        .await
    }

    /// Writes what is queued and no more is read.
    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(cx)).await
    }

    /// Sends a close frame and waits for the peer's, or for its end: leaving unread bytes behind would reset the
    /// connection under what was just written.
    pub async fn close(&mut self, code: u16, reason: &str) -> io::Result<()> {
        self.queue_close(code, reason);
        let mut answered = false;
        loop {
            let step = self.step(|item| {
                answered |= matches!(item, Item::Close(_));
                Ok::<(), Fault>(())
            });
            match step.await {
                Ok(Step::End) => break,
                Ok(_) if answered && self.is_idle() => break,
                Ok(_) => {}
                Err(Fault::Io(error)) => return Err(error),
                Err(_) => break,
            }
        }
        self.shutdown().await
    }

    /// Answers a peer's close frame.
    pub async fn close_too(&mut self, code: u16) -> io::Result<()> {
        self.queue_close(code, "");
        self.flush().await?;
        self.shutdown().await
    }

    /// Ends the sending side: TLS says so, TCP sends its FIN.
    async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let wrote = match Pin::new(&mut self.stream).poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(wrote)) => wrote,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.make_small();
                    return Poll::Pending;
                }
            };
            self.written += wrote;
            self.taken += wrote as u64;
            self.flushing = true;
        }
        if self.written > 0 {
            self.written = 0;
            give_buffer(std::mem::take(&mut self.out));
        }
        if self.flushing {
            std::task::ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.flushing = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The other end takes no more for now, perhaps for long: what is left of a batch keeps no more room than it needs.
    fn make_small(&mut self) {
        if self.written > 0 && 2 * self.waiting() <= self.out.capacity() {
            let rest = self.out[self.written..].to_vec();
            give_buffer(std::mem::replace(&mut self.out, rest));
            self.written = 0;
        }
    }

    fn poll_read<E: From<Fault>>(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut impl FnMut(Item) -> Result<(), E>,
    ) -> Poll<Result<Step, E>> {
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            return Poll::Ready(self.hand_over(&early, take).map(|()| Step::Read));
        }
        with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            // TLS gives a record at a time: what is there is taken as one batch, for each wakes its reader's task.
            // What ends the stream ends it again at the next read.
            while buffer.remaining() > 0 {
                let before = buffer.filled().len();
                match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                    Poll::Pending if before == 0 => return Poll::Pending,
                    Poll::Ready(Err(error)) if before == 0 => return Poll::Ready(Err(E::from(error.into()))),
                    Poll::Ready(Ok(())) if buffer.filled().len() > before => {}
                    Poll::Ready(Ok(())) if before == 0 => return Poll::Ready(Ok(Step::End)),
                    _ => break,
                }
            }
            Poll::Ready(self.hand_over(buffer.filled(), take).map(|()| Step::Read))
        })
    }

    fn hand_over<E: From<Fault>>(
        &mut self,
        mut input: &[u8],
        take: &mut impl FnMut(Item) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(item) = self.decoder.feed(&mut input)? {
            self.items += 1;
            if let Item::Ping(payload) = &item {
                self.queue_pong(payload);
            }
            take(item)?;
        }
        Ok(())
    }
}

impl<S> Drop for Socket<S> {
    fn drop(&mut self) {
        give_buffer(std::mem::take(&mut self.out));
    }
}

/// Random masks, bought from the system 64 at a time.
#[derive(Debug)]
struct Masks {
    bytes: [u8; 256],
    at: usize,
}

impl Default for Masks {
    fn default() -> Self {
        Self { bytes: [0; 256], at: 256 }
    }
}

impl Masks {
    fn next(&mut self) -> [u8; 4] {
        if self.at == self.bytes.len() {
            getrandom::fill(&mut self.bytes).expect("the system gives random bytes");
            self.at = 0;
        }
        let mask = self.bytes[self.at..self.at + 4].try_into().expect("four bytes");
        self.at += 4;
        mask
    }
}
