//! One connection after the upgrade: reads and writes in turn, and closes in good order.

use super::{CONTROL_BYTES_MAX, Decoder, End, Fault, Item, decode::apply_mask, outgoing::Outgoing};
use crate::{framing::Stream, limits};
use bytes::Bytes;
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;
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
pub struct Socket {
    stream: Stream,
    /// Bytes that came with the upgrade, before the first read.
    early: Bytes,
    messages: Messages,
    taken: u64,
    flushing: bool,
}

impl Socket {
    pub fn new(end: End, stream: Stream, early: Bytes) -> Self {
        let largest = limits::MESSAGE_BYTES_MAX.max(limits::FRAME_HEADER_BYTES + limits::FRAME_PAYLOAD_BYTES_MAX);
        Self {
            stream,
            // An empty rest may still hold the whole buffer that the upgrade was read into.
            early: if early.is_empty() { Bytes::new() } else { early },
            messages: Messages {
                decoder: Decoder::new(end, largest),
                items: 0,
                out: Outgoing::default(),
                masks: (end == End::Client).then(Box::default),
            },
            taken: 0,
            flushing: false,
        }
    }

    /// Queues one binary message.
    pub fn queue(&mut self, message: &[u8]) {
        self.messages.queue(OpCode::Data(Data::Binary), message, &Bytes::new());
    }

    /// Queues one binary message made of two parts, so that a frame's payload need not be joined to its header.
    pub fn queue_frame(&mut self, head: &[u8], payload: &Bytes) {
        self.messages.queue(OpCode::Data(Data::Binary), head, payload);
    }

    fn queue_close(&mut self, code: u16, reason: &str) {
        let mut end = reason.len().min(CONTROL_BYTES_MAX - 2);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let payload = [&code.to_be_bytes(), &reason.as_bytes()[..end]].concat();
        self.messages.queue(OpCode::Control(Control::Close), &payload, &Bytes::new());
    }

    /// Bytes queued and not yet with the system.
    pub fn waiting(&self) -> usize {
        self.messages.out.waiting()
    }

    /// Bytes the system took, from the beginning.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Items read, from the beginning.
    pub fn items(&self) -> u64 {
        self.messages.items
    }

    /// The longest message that is taken from here on.
    pub fn limit(&mut self, message_bytes_max: usize) {
        self.messages.decoder.limit(message_bytes_max);
    }

    pub fn is_idle(&self) -> bool {
        self.waiting() == 0 && !self.flushing
    }

    pub fn is_partial(&self) -> bool {
        self.messages.decoder.is_partial()
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
                // Nothing that follows can be told apart, the peer's close frame neither.
                Err(_) => return self.drain().await,
            }
        }
        self.shutdown().await
    }

    /// Says that nothing more comes, and throws away what the peer still sends until it ends as well.
    async fn drain(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.shutdown().await?;
        loop {
            match poll_fn(|cx| self.stream.poll_take(cx, |_| Ok::<(), Fault>(()))).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(Fault::Io(error)) => return Err(error),
                // What is thrown away is not read.
                Err(_) => return Ok(()),
            }
        }
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
        let (out, mut stream) = (&mut self.messages.out, Pin::new(&mut self.stream));
        while out.waiting() > 0 {
            let wrote = match out.poll_into(stream.as_mut(), cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(wrote)) => wrote,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    out.make_small();
                    return Poll::Pending;
                }
            };
            out.written(wrote);
            self.taken += wrote as u64;
            self.flushing = true;
        }
        if self.flushing {
            std::task::ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.flushing = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read<E: From<Fault>>(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut impl FnMut(Item) -> Result<(), E>,
    ) -> Poll<Result<Step, E>> {
        let Self { stream, early, messages, .. } = self;
        if !early.is_empty() {
            let early = std::mem::take(early);
            return Poll::Ready(messages.hand_over(&early, take).map(|()| Step::Read));
        }
        let open = std::task::ready!(stream.poll_take(cx, |bytes| messages.hand_over(bytes, take)))?;
        Poll::Ready(Ok(if open { Step::Read } else { Step::End }))
    }
}

/// From bytes to messages and back.
#[derive(Debug)]
struct Messages {
    decoder: Decoder,
    items: u64,
    out: Outgoing,
    /// Of a client's end; boxed, for a broker has many ends and none of these.
    masks: Option<Box<Masks>>,
}

impl Messages {
    fn queue(&mut self, opcode: OpCode, head: &[u8], payload: &Bytes) {
        let mask = self.masks.as_mut().map(|masks| masks.next());
        let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
        let out = self.out.buffer();
        let from = out.len();
        header.format((head.len() + payload.len()) as u64, out).expect("writing to a vector cannot fail");
        let masked = out.len();
        out.extend_from_slice(head);
        if let Some(mask) = mask {
            out.extend_from_slice(payload);
            apply_mask(&mut out[masked..], mask, 0);
        }
        let appended = out.len() - from;
        self.out.appended(appended);
        if mask.is_none() {
            self.out.payload(payload);
        }
    }

    fn hand_over<E: From<Fault>>(
        &mut self,
        mut input: &[u8],
        take: &mut impl FnMut(Item) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(item) = self.decoder.feed(&mut input)? {
            self.items += 1;
            if let Item::Ping(payload) = &item {
                self.queue(OpCode::Control(Control::Pong), payload, &Bytes::new());
            }
            take(item)?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    #[tokio::test]
    async fn h_35_who_is_closed_in_the_middle_of_a_message_reads_why() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let broker = tokio::spawn(async move {
            let mut socket = Socket::new(End::Broker, Stream::Plain(stream), Bytes::new());
            let fault = loop {
                match socket.step(|_| Ok::<(), Fault>(())).await {
                    Ok(_) => {}
                    Err(fault) => break fault,
                }
            };
            socket.close(fault.code().unwrap().number(), "").await.unwrap();
        });
        // The header of a text message of 4 MiB; its first bytes read as frames are a header that cannot be.
        let mut message = vec![0x81, 0x80 | 127];
        message.extend((4_u64 << 20).to_be_bytes());
        message.extend([0; 4]);
        message.resize(message.len() + (4 << 20), 0xff);
        client.write_all(&message).await.unwrap();
        client.shutdown().await.unwrap();
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, [0x88, 2, 0x03, 0xeb], "a close frame with 1003, and the end");
        broker.await.unwrap();
    }
}
