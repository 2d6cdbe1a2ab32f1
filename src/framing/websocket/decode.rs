//! Takes frames apart: from bytes as they come to whole messages, and what breaks the framing.

use super::{CONTROL_BYTES_MAX, Fault, HEADER_BYTES_MAX, Item};
use std::io::Cursor;
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode as RfcCloseCode, Control, Data, OpCode},
};

/// What is reserved for a message on its sender's word alone; the rest only as bytes arrive.
const TRUSTED_BYTES: usize = 16 * 1024;

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

impl Current {
    /// A message in one piece, as most are.
    fn is_message(&self) -> bool {
        self.header.is_final && self.header.opcode == OpCode::Data(Data::Binary)
    }

    /// All of its payload, off the front of `input`.
    fn whole(&self, input: &mut &[u8]) -> Vec<u8> {
        let (payload, rest) = input.split_at(self.left);
        *input = rest;
        let mut payload = payload.to_vec();
        if let Some(mask) = self.header.mask {
            apply_mask(&mut payload, mask, 0);
        }
        payload
    }
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
                let Some(frame) = self.header(input)? else { return Ok(None) };
                if frame.is_message() && frame.left <= input.len() {
                    return Ok(Some(Item::Message(frame.whole(input).into())));
                }
                self.frame = Some(frame);
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

pub(super) fn apply_mask(bytes: &mut [u8], mask: [u8; 4], phase: usize) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CloseCode;
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
