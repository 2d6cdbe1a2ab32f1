//! The data frame: a fixed 16-byte header and an opaque payload (W1.4), and the four fixed kinds that steer a channel
//! without visiting the owner (W1.6).

use crate::{ids::ChannelId, limits};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What the bytes of a frame are. A gate allows kinds one by one, so a payload never hides another verb (W1.3).
/// Data kinds are below 32, so that a set of them fits half a gate's word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    ShellOutput = 0x01,
    ShellInput = 0x02,
    /// Columns and rows of the terminal, two u16.
    ShellResize = 0x03,
    File = 0x04,
    Picture = 0x05,
    Pointer = 0x06,
    /// Buttons and scrolling.
    Click = 0x07,
    Keys = 0x08,
    Chat = 0x09,
    Clipboard = 0x0a,
    /// A document made for this request: system information, a listing, a script's output.
    Document = 0x0b,
    Annotation = 0x0c,
    Camera = 0x0d,
    Voice = 0x0e,

    /// Offset: acknowledged; payload: limit (u64), both counted in payload bytes from the channel's start.
    Credit = 0x70,
    /// Offset: where the channel ends; payload: a `CloseReason` (u8).
    Close = 0x71,
    /// Offset: the next byte the reader wants; broker to writer: send again from here (W3.3).
    Resume = 0x72,
    /// No payload: the reader wants a key picture.
    Refresh = 0x73,
}

impl Kind {
    pub const DATA: [Self; 14] = [
        Self::ShellOutput,
        Self::ShellInput,
        Self::ShellResize,
        Self::File,
        Self::Picture,
        Self::Pointer,
        Self::Click,
        Self::Keys,
        Self::Chat,
        Self::Clipboard,
        Self::Document,
        Self::Annotation,
        Self::Camera,
        Self::Voice,
    ];
    pub const STEERING: [Self; 4] = [Self::Credit, Self::Close, Self::Resume, Self::Refresh];

    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::DATA.into_iter().chain(Self::STEERING).find(|kind| *kind as u8 == byte)
    }

    /// As `opened` names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ShellOutput => "shell_output",
            Self::ShellInput => "shell_input",
            Self::ShellResize => "shell_resize",
            Self::File => "file",
            Self::Picture => "picture",
            Self::Pointer => "pointer",
            Self::Click => "click",
            Self::Keys => "keys",
            Self::Chat => "chat",
            Self::Clipboard => "clipboard",
            Self::Document => "document",
            Self::Annotation => "annotation",
            Self::Camera => "camera",
            Self::Voice => "voice",
            Self::Credit => "credit",
            Self::Close => "close",
            Self::Resume => "resume",
            Self::Refresh => "refresh",
        }
    }

    /// A data kind by its name; unknown names are unknown channels (I-P13).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::DATA.into_iter().find(|kind| kind.name() == name)
    }

    /// The names of the data kinds in a set of bits, in their order.
    pub fn names_of(kinds: u32) -> Vec<String> {
        Self::DATA.into_iter().filter(|kind| kinds & kind.bit() != 0).map(|kind| kind.name().to_owned()).collect()
    }

    /// This kind's bit in a gate; steering kinds have none, for no gate ever carries them.
    pub const fn bit(self) -> u32 {
        let byte = self as u8;
        if byte < 32 { 1 << byte } else { 0 }
    }

    pub const fn is_data(self) -> bool {
        (self as u8) < 32
    }
}

/// Why a channel ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum CloseReason {
    /// The writer is done; everything arrived.
    Finished = 0,
    /// One side stopped it.
    Cancelled = 1,
    /// A permission was taken away (W2.3).
    Revoked = 2,
    /// The session or a participant's part in it ended.
    SessionEnded = 3,
    /// The writer no longer keeps what the reader asks for (W3.3).
    Gap = 4,
    /// The writer sent beyond its credit or out of order.
    Fault = 5,
    /// This reader was too slow beside others (W1.7).
    Lagged = 6,
    /// The end itself failed: disk full, source changed, process gone.
    Failed = 7,
}

impl CloseReason {
    pub const ALL: [Self; 8] = [
        Self::Finished,
        Self::Cancelled,
        Self::Revoked,
        Self::SessionEnded,
        Self::Gap,
        Self::Fault,
        Self::Lagged,
        Self::Failed,
    ];

    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == byte)
    }

    /// As `closed` and the journal name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Revoked => "revoked",
            Self::SessionEnded => "session_ended",
            Self::Gap => "gap",
            Self::Fault => "fault",
            Self::Lagged => "lagged",
            Self::Failed => "failed",
        }
    }

    /// The reason of that name; one that this version has no name for is a cancellation.
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.name() == name).unwrap_or(Self::Cancelled)
    }
}

/// Bits of a frame's second byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// Nothing follows on this channel.
    pub const FIN: Self = Self(1);
    /// First frame of a picture.
    pub const START: Self = Self(2);
    /// Last frame of a picture.
    pub const END: Self = Self(4);
    /// The picture needs no earlier one.
    pub const KEY: Self = Self(8);
    /// Pictures were dropped before this one.
    pub const GAP: Self = Self(16);
    const KNOWN: u8 = 31;

    pub const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub const fn with(self, flag: Self) -> Self {
        Self(self.0 | flag.0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub kind: Kind,
    pub flags: Flags,
    pub channel: ChannelId,
    /// Payload bytes of this channel before this frame.
    pub offset: u64,
}

/// A whole frame as it goes to every leg unchanged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    pub header: Header,
    pub payload: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {0} bytes is shorter than its 16-byte header")]
    Short(usize),
    #[error("a payload of {0} bytes is over the limit of 65536")]
    TooLarge(usize),
    #[error("unknown frame kind {0:#04x}")]
    UnknownKind(u8),
    #[error("unknown flag bits {0:#04x}")]
    UnknownFlags(u8),
    #[error("the reserved field is not zero")]
    Reserved,
    #[error("offset {0} plus payload passes 2^53")]
    Offset(u64),
    #[error("a {0:?} frame carries {1} bytes of payload")]
    Payload(Kind, usize),
}

impl Header {
    pub fn encode(&self) -> [u8; limits::FRAME_HEADER_BYTES] {
        let mut bytes = [0; limits::FRAME_HEADER_BYTES];
        let mut out = &mut bytes[..];
        out.put_u8(self.kind as u8);
        out.put_u8(self.flags.0);
        out.put_u16(0);
        out.put_u32(self.channel.0);
        out.put_u64(self.offset);
        bytes
    }

    /// Reads the header of a frame whose payload is `payload_len` bytes long.
    pub fn decode(mut bytes: &[u8], payload_len: usize) -> Result<Self, FrameError> {
        if bytes.len() < limits::FRAME_HEADER_BYTES {
            return Err(FrameError::Short(bytes.len()));
        }
        if payload_len > limits::FRAME_PAYLOAD_BYTES_MAX {
            return Err(FrameError::TooLarge(payload_len));
        }
        let kind = bytes.get_u8();
        let kind = Kind::from_byte(kind).ok_or(FrameError::UnknownKind(kind))?;
        let flags = Flags(bytes.get_u8());
        if flags.0 & !Flags::KNOWN != 0 {
            return Err(FrameError::UnknownFlags(flags.0));
        }
        if bytes.get_u16() != 0 {
            return Err(FrameError::Reserved);
        }
        let channel = ChannelId(bytes.get_u32());
        let offset = bytes.get_u64();
        match offset.checked_add(payload_len as u64) {
            Some(end) if end <= limits::INTEGER_MAX => {}
            _ => return Err(FrameError::Offset(offset)),
        }
        let expected = match kind {
            Kind::Credit => Some(8),
            Kind::Close => Some(1),
            Kind::Resume | Kind::Refresh => Some(0),
            _ => None,
        };
        if expected.is_some_and(|expected| expected != payload_len) {
            return Err(FrameError::Payload(kind, payload_len));
        }
        Ok(Self { kind, flags, channel, offset })
    }
}

impl Frame {
    /// Splits a whole message into header and payload without copying the payload.
    pub fn decode(mut message: Bytes) -> Result<Self, FrameError> {
        let payload_len = message.len().saturating_sub(limits::FRAME_HEADER_BYTES);
        let header = Header::decode(&message, payload_len)?;
        message.advance(limits::FRAME_HEADER_BYTES);
        Ok(Self { header, payload: message })
    }

    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(limits::FRAME_HEADER_BYTES.saturating_add(self.payload.len()));
        bytes.put_slice(&self.header.encode());
        bytes.put_slice(&self.payload);
        bytes.freeze()
    }

    pub fn credit(channel: ChannelId, acked: u64, limit: u64) -> Self {
        let payload = Bytes::copy_from_slice(&limit.to_be_bytes());
        Self { header: Header { kind: Kind::Credit, flags: Flags::default(), channel, offset: acked }, payload }
    }

    pub fn close(channel: ChannelId, at: u64, reason: CloseReason) -> Self {
        let payload = Bytes::copy_from_slice(&[reason as u8]);
        Self { header: Header { kind: Kind::Close, flags: Flags::default(), channel, offset: at }, payload }
    }

    pub fn resume(channel: ChannelId, next: u64) -> Self {
        let header = Header { kind: Kind::Resume, flags: Flags::default(), channel, offset: next };
        Self { header, payload: Bytes::new() }
    }

    pub fn refresh(channel: ChannelId) -> Self {
        let header = Header { kind: Kind::Refresh, flags: Flags::default(), channel, offset: 0 };
        Self { header, payload: Bytes::new() }
    }

    /// Where the next frame of this channel begins.
    pub fn end(&self) -> u64 {
        self.header.offset.saturating_add(self.payload.len() as u64)
    }
}
