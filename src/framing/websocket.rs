//! WebSocket framing (RFC 6455) for both ends, built for a relay: no buffer is held while a connection is idle, and
//! many messages leave in one write. Header parsing and close-code rules are tungstenite's.

use crate::{limits, wire::CloseCode};
use bytes::Bytes;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, Cursor},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode as RfcCloseCode, Control, Data, OpCode},
};

/// The longest frame header: two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;
/// Payload of a ping, pong or close (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: usize = 125;
/// What is reserved for a message on its sender's word alone; the rest only as bytes arrive.
const TRUSTED_BYTES: usize = 16 * 1024;
/// One read from a socket: a batch as large as the other end writes.
const READ_BYTES: usize = limits::WRITE_BATCH_BYTES;
/// Write buffers a worker keeps for the next connection that has something to say.
const BUFFERS_KEPT: usize = 4;

/// What the peer did that ends the connection.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("broken WebSocket framing: {0}")]
    Protocol(&'static str),
    #[error("a text message, where binary ones are spoken")]
    Text,
    #[error("a close reason that is not UTF-8")]
    Utf8,
    #[error("a message over {0} bytes")]
    TooBig(usize),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("a frame was not completed in time")]
    Late,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

impl Fault {
    /// What to close with; nothing where there is nobody left to tell.
    pub fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Protocol(_) => Some(CloseCode::ProtocolError),
            Self::Text => Some(CloseCode::Unsupported),
            Self::Utf8 => Some(CloseCode::InvalidText),
            Self::TooBig(_) => Some(CloseCode::TooBig),
            Self::Forbidden(_) => Some(CloseCode::Forbidden),
            Self::Late => Some(CloseCode::Timeout),
            Self::Io(_) => None,
        }
    }
}

/// What a stream of WebSocket frames brings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A whole binary message.
    Message(Bytes),
    /// Answered already.
    Ping(Bytes),
    Pong,
    /// A fragment without payload, or a stream that ended before its first frame: harmless once, a flood otherwise.
    EmptyFragment,
    Close(Option<(u16, String)>),
}

// ---- reading frames -------------------------------------------------------------------------------------------------

/// Which end of the connection this is: only clients mask (RFC 6455, 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Broker,
    Client,
}

/// Takes frames apart and puts messages together.
#[derive(Debug)]
pub struct Decoder {
    end: End,
    message_bytes_max: usize,
    head: [u8; HEADER_BYTES_MAX],
    head_len: usize,
    frame: Option<Current>,
    message: Vec<u8>,
    in_message: bool,
    control: Vec<u8>,
}

/// The frame whose payload is being read.
#[derive(Debug)]
struct Current {
    header: FrameHeader,
    left: usize,
    /// How far into the mask the payload is.
    phase: usize,
}

impl Decoder {
    pub fn new(end: End, message_bytes_max: usize) -> Self {
        Self {
            end,
            message_bytes_max,
            head: [0; HEADER_BYTES_MAX],
            head_len: 0,
            frame: None,
            message: Vec::new(),
            in_message: false,
            control: Vec::new(),
        }
    }

    pub fn limit(&mut self, message_bytes_max: usize) {
        self.message_bytes_max = message_bytes_max;
    }

    /// A frame or a message began and is not complete (W1.9).
    pub fn is_partial(&self) -> bool {
        self.head_len > 0 || self.frame.is_some() || self.in_message
    }

    /// Takes bytes off `input` until one item is complete or nothing is left.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Item>, Fault> {
        loop {
            let Some(frame) = &mut self.frame else {
                match self.header(input)? {
                    Some(frame) => self.frame = Some(frame),
                    None => return Ok(None),
                }
                continue;
            };
            let is_control = matches!(frame.header.opcode, OpCode::Control(_));
            let payload = if is_control { &mut self.control } else { &mut self.message };
            let (taken, rest) = input.split_at(input.len().min(frame.left));
            *input = rest;
            if payload.capacity() == 0 {
                payload.reserve_exact(frame.left.min(taken.len().max(TRUSTED_BYTES)));
            }
            let from = payload.len();
            payload.extend_from_slice(taken);
            if let Some(mask) = frame.header.mask {
                apply_mask(&mut payload[from..], mask, frame.phase);
                frame.phase = (frame.phase + taken.len()) % mask.len();
            }
            frame.left -= taken.len();
            if frame.left > 0 {
                return Ok(None);
            }
            let Some(frame) = self.frame.take() else { return Ok(None) };
            if let Some(item) = self.finish(&frame.header, taken.is_empty())? {
                return Ok(Some(item));
            }
        }
    }

    fn header(&mut self, input: &mut &[u8]) -> Result<Option<Current>, Fault> {
        if self.head_len == 0 {
            let mut cursor = Cursor::new(*input);
            if let Some(parsed) = parse(&mut cursor)? {
                *input = input.get(cursor.position() as usize..).unwrap_or_default();
                return self.check(parsed).map(Some);
            }
        }
        while let Some((byte, rest)) = input.split_first() {
            *input = rest;
            self.head[self.head_len] = *byte;
            self.head_len += 1;
            if let Some(parsed) = parse(&mut Cursor::new(&self.head[..self.head_len]))? {
                self.head_len = 0;
                return self.check(parsed).map(Some);
            }
        }
        Ok(None)
    }

    fn check(&self, (header, length): (FrameHeader, u64)) -> Result<Current, Fault> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Fault::Protocol("a reserved bit is set"));
        }
        if header.mask.is_some() != (self.end == End::Broker) {
            return Err(Fault::Protocol("a mask where none belongs, or none where one does"));
        }
        match header.opcode {
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
                return Err(Fault::Protocol("a reserved opcode"));
            }
            OpCode::Control(_) => {
                if !header.is_final || length > CONTROL_BYTES_MAX as u64 {
                    return Err(Fault::Protocol("a control frame in pieces or over 125 bytes"));
                }
            }
            OpCode::Data(Data::Text) => return Err(Fault::Text),
            OpCode::Data(data) => {
                if (data == Data::Continue) != self.in_message {
                    return Err(Fault::Protocol("a continuation of nothing, or a message inside a message"));
                }
                if length > self.message_bytes_max.saturating_sub(self.message.len()) as u64 {
                    return Err(Fault::TooBig(self.message_bytes_max));
                }
            }
        }
        Ok(Current { header, left: length as usize, phase: 0 })
    }

    /// The frame is complete; is an item?
    fn finish(&mut self, header: &FrameHeader, empty: bool) -> Result<Option<Item>, Fault> {
        Ok(match header.opcode {
            OpCode::Control(Control::Close) => Some(Item::Close(close_reason(&std::mem::take(&mut self.control))?)),
            OpCode::Control(Control::Ping) => Some(Item::Ping(std::mem::take(&mut self.control).into())),
            OpCode::Control(_) => {
                self.control = Vec::new();
                Some(Item::Pong)
            }
            OpCode::Data(_) if header.is_final => {
                self.in_message = false;
                Some(Item::Message(std::mem::take(&mut self.message).into()))
            }
            OpCode::Data(_) => {
                self.in_message = true;
                empty.then_some(Item::EmptyFragment)
            }
        })
    }
}

fn parse(cursor: &mut Cursor<&[u8]>) -> Result<Option<(FrameHeader, u64)>, Fault> {
    FrameHeader::parse(cursor).map_err(|_| Fault::Protocol("a header that cannot be read"))
}

fn close_reason(payload: &[u8]) -> Result<Option<(u16, String)>, Fault> {
    match payload {
        [] => Ok(None),
        [_] => Err(Fault::Protocol("a close frame of one byte")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !RfcCloseCode::from(code).is_allowed() {
                return Err(Fault::Protocol("a close code that may not be sent"));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| Fault::Utf8)?;
            Ok(Some((code, reason.to_owned())))
        }
    }
}

fn apply_mask(bytes: &mut [u8], mask: [u8; 4], phase: usize) {
    let mut mask = mask;
    mask.rotate_left(phase);
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

// ---- the socket -----------------------------------------------------------------------------------------------------

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
    masks: Option<Masks>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub fn new(end: End, stream: S, early: Bytes) -> Self {
        let largest = limits::MESSAGE_BYTES_MAX.max(limits::FRAME_HEADER_BYTES + limits::FRAME_PAYLOAD_BYTES_MAX);
        Self {
            stream,
            decoder: Decoder::new(end, largest),
            early,
            out: Vec::new(),
            written: 0,
            taken: 0,
            items: 0,
            flushing: false,
            masks: (end == End::Client).then(Masks::default),
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
        let mask = self.masks.as_mut().map(Masks::next);
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
                Poll::Pending => return Poll::Pending,
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
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Err(E::from(error.into()))),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Ok(Step::End)),
                Poll::Ready(Ok(())) => Poll::Ready(self.hand_over(buffer.filled(), take).map(|()| Step::Read)),
            }
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

thread_local! {
    /// Where a worker reads into: one buffer for all its connections, for bytes are taken on before the next read.
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Lends the worker's reading buffer.
pub(super) fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.take().unwrap_or_else(|| vec![0; READ_BYTES].into_boxed_slice());
    let done = read(&mut scratch);
    SCRATCH.set(Some(scratch));
    done
}

fn take_buffer() -> Vec<u8> {
    BUFFERS
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| Vec::with_capacity(limits::WRITE_BATCH_BYTES + limits::WRITE_BATCH_BYTES / 4))
}

fn give_buffer(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > 4 * limits::WRITE_BATCH_BYTES {
        return;
    }
    buffer.clear();
    BUFFERS.with_borrow_mut(|buffers| {
        if buffers.len() < BUFFERS_KEPT {
            buffers.push(buffer);
        }
    });
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
    use proptest::prelude::*;

    /// A frame as a client sends it.
    fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader { opcode, is_final, mask: Some([7, 11, 13, 17]), ..FrameHeader::default() };
        let mut bytes = Vec::new();
        header.format(payload.len() as u64, &mut bytes).unwrap();
        let from = bytes.len();
        bytes.extend_from_slice(payload);
        apply_mask(&mut bytes[from..], [7, 11, 13, 17], 0);
        bytes
    }

    fn binary(payload: &[u8]) -> Vec<u8> {
        frame(OpCode::Data(Data::Binary), true, payload)
    }

    fn decode(pieces: &[&[u8]]) -> Result<Vec<Item>, Fault> {
        let mut decoder = Decoder::new(End::Broker, 1_000);
        let mut items = Vec::new();
        for mut piece in pieces.iter().copied() {
            while let Some(item) = decoder.feed(&mut piece)? {
                items.push(item);
            }
        }
        Ok(items)
    }

    fn code(bytes: &[u8]) -> CloseCode {
        decode(&[bytes]).unwrap_err().code().unwrap()
    }

    proptest! {
        #[test]
        fn messages_survive_any_way_of_cutting_the_stream(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
            cuts in prop::collection::vec(1usize..40, 1..300),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| binary(message)).collect();
            let (mut pieces, mut rest) = (Vec::new(), &stream[..]);
            for cut in cuts {
                let (piece, later) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = later;
            }
            pieces.push(rest);
            let expected: Vec<Item> = messages.into_iter().map(|message| Item::Message(message.into())).collect();
            prop_assert_eq!(decode(&pieces).unwrap(), expected);
        }

        #[test]
        fn damage_is_a_fault_or_an_item_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[&bytes]);
        }
    }

    #[test]
    fn a_message_in_fragments_may_have_pings_between_them() {
        let mut bytes = frame(OpCode::Data(Data::Binary), false, b"one ");
        bytes.extend(frame(OpCode::Control(Control::Ping), true, b"?"));
        bytes.extend(frame(OpCode::Data(Data::Continue), true, b"two"));
        let expected = [Item::Ping(b"?"[..].into()), Item::Message(b"one two"[..].into())];
        assert_eq!(decode(&[&bytes]).unwrap(), expected);
    }

    #[test]
    fn h_25_an_unmasked_frame_is_a_protocol_error() {
        assert_eq!(code(&[0x82, 0x01, 0x00]), CloseCode::ProtocolError);
    }

    #[test]
    fn h_26_reserved_bits_and_opcodes_are_protocol_errors() {
        for first in [0xc2, 0xa2, 0x92, 0x83, 0x8b] {
            assert_eq!(code(&[first, 0x80, 0, 0, 0, 0]), CloseCode::ProtocolError, "{first:#x}");
        }
    }

    #[test]
    fn h_27_a_huge_claim_is_refused_before_anything_is_kept() {
        let mut bytes = vec![0x82, 0xff];
        bytes.extend((i64::MAX as u64).to_be_bytes());
        bytes.extend([0; 4]);
        assert_eq!(code(&bytes), CloseCode::TooBig);
    }

    #[test]
    fn h_28_a_message_over_the_limit_is_refused_whole_or_in_fragments() {
        assert_eq!(code(&binary(&[0; 1_001])), CloseCode::TooBig);
        let mut bytes = frame(OpCode::Data(Data::Binary), false, &[0; 600]);
        bytes.extend(frame(OpCode::Data(Data::Continue), true, &[0; 401]));
        assert_eq!(code(&bytes), CloseCode::TooBig);
    }

    #[test]
    fn h_29_an_empty_fragment_is_told_so_that_it_can_be_counted() {
        let mut bytes = frame(OpCode::Data(Data::Binary), false, b"");
        bytes.extend(frame(OpCode::Data(Data::Continue), false, b""));
        assert_eq!(decode(&[&bytes]).unwrap(), [Item::EmptyFragment, Item::EmptyFragment]);
    }

    #[test]
    fn h_30_control_frames_are_whole_and_short() {
        assert_eq!(code(&frame(OpCode::Control(Control::Ping), false, b"")), CloseCode::ProtocolError);
        assert_eq!(code(&frame(OpCode::Control(Control::Ping), true, &[0; 126])), CloseCode::ProtocolError);
    }

    #[test]
    fn h_31_messages_neither_continue_nothing_nor_begin_within_another() {
        assert_eq!(code(&frame(OpCode::Data(Data::Continue), true, b"x")), CloseCode::ProtocolError);
        let mut bytes = frame(OpCode::Data(Data::Binary), false, b"x");
        bytes.extend(binary(b"y"));
        assert_eq!(code(&bytes), CloseCode::ProtocolError);
    }

    #[test]
    fn h_32_h_33_h_34_texts_and_bad_close_frames_have_their_codes() {
        assert_eq!(code(&frame(OpCode::Data(Data::Text), true, b"hi")), CloseCode::Unsupported);
        let close = |payload: &[u8]| frame(OpCode::Control(Control::Close), true, payload);
        assert_eq!(code(&close(&[3])), CloseCode::ProtocolError);
        for number in [0u16, 999, 1005, 1006, 1015, 5000] {
            assert_eq!(code(&close(&number.to_be_bytes())), CloseCode::ProtocolError, "{number}");
        }
        assert_eq!(code(&close(&[0x03, 0xe8, 0xff])), CloseCode::InvalidText);
        let good = decode(&[&close(&[0x0f, 0xa8, b'b', b'y', b'e'])]).unwrap();
        assert_eq!(good, [Item::Close(Some((4008, "bye".into())))]);
    }

    #[test]
    fn a_partial_frame_is_known_as_such() {
        let mut decoder = Decoder::new(End::Broker, 1_000);
        let bytes = binary(b"hello");
        assert!(!decoder.is_partial());
        assert_eq!(decoder.feed(&mut &bytes[..3]).unwrap(), None);
        assert!(decoder.is_partial());
        assert!(decoder.feed(&mut &bytes[3..]).unwrap().is_some());
        assert!(!decoder.is_partial());
    }
}
