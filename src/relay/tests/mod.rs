//! Stories of channels: words of the spec in the names, sockets replaced by lists.

mod back;
mod credit;
mod exactly_once;
mod hold;
#[cfg(feature = "model")]
mod model;
mod order;
mod pictures;
mod revoke;

use super::{outbox::Drained, *};
use crate::{
    engine::event::ChannelSpec,
    ids::{AttachEpoch, ChannelId, ParticipantId},
    wire::{Flags, Frame, Header, Kind, control::Class, frame::CloseReason},
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Here each class has its line.
impl From<Class> for Label {
    fn from(class: Class) -> Self {
        Self(class as usize)
    }
}

pub const WRITER: ParticipantId = ParticipantId(0);
pub const ANA: ParticipantId = ParticipantId(1);
pub const BEN: ParticipantId = ParticipantId(2);
pub const CHANNEL: ChannelId = ChannelId(7);
pub const FIRST: AttachEpoch = AttachEpoch(1);

/// What came out of an outbox.
#[derive(Default)]
pub struct Taken {
    pub control: Vec<Frame>,
    pub frames: Vec<Frame>,
    /// Channels whose stream is full.
    pub full: Vec<ChannelId>,
}

impl Sink for Taken {
    fn control(&mut self, message: Bytes) {
        self.control.push(Frame::decode(message).unwrap());
    }
    fn takes(&mut self, channel: ChannelId) -> bool {
        !self.full.contains(&channel)
    }
    fn frame(&mut self, frame: Admitted<'_>) {
        self.frames.push(frame.into_frame());
    }
}

impl Taken {
    pub fn bytes(&self) -> Vec<u8> {
        self.frames.iter().flat_map(|frame| frame.payload.to_vec()).collect()
    }

    /// Offsets and lengths of the frames, and what was steered, in words.
    pub fn story(&self) -> String {
        let frames = self.frames.iter().map(|frame| {
            let Header { flags, offset, .. } = frame.header;
            let names = [
                (Flags::FIN, " fin"),
                (Flags::START, " start"),
                (Flags::END, " end"),
                (Flags::KEY, " key"),
                (Flags::GAP, " gap"),
            ];
            let flags: String = names.iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, name)| *name).collect();
            format!("{offset}+{}{flags}", frame.payload.len())
        });
        let control = self.control.iter().map(|frame| {
            let at = frame.header.offset;
            match frame.header.kind {
                Kind::Credit => format!("credit {at} {}", u64::from_be_bytes(frame.payload[..].try_into().unwrap())),
                Kind::Close => format!("close {at} {}", CloseReason::from_byte(frame.payload[0]).unwrap().name()),
                Kind::Resume => format!("resume {at}"),
                Kind::Refresh => "refresh".to_owned(),
                other => format!("{other:?}"),
            }
        });
        control.chain(frames).collect::<Vec<_>>().join(", ")
    }
}

pub fn spec(class: Class, readers: &[ParticipantId]) -> ChannelSpec {
    let kinds = match class {
        Class::Input => Kind::Chat.bit() | Kind::Keys.bit(),
        Class::Shell => Kind::ShellOutput.bit(),
        Class::Picture => Kind::Picture.bit(),
        Class::File => Kind::File.bit(),
    };
    let lossy = class == Class::Picture;
    ChannelSpec { channel: CHANNEL, kinds, class, lossy, writer: WRITER, readers: readers.to_vec() }
}

impl Channel {
    /// One frame by itself.
    pub fn hear(&self, from: ParticipantId, epoch: AttachEpoch, frame: Frame, now: Instant) -> Result<Passed, Fault> {
        self.receive(from, epoch, &mut [frame].into(), now)
    }
}

/// One channel with its ends' outboxes.
pub struct Room {
    pub counters: Arc<RelayCounters>,
    pub channel: Arc<Channel>,
    pub writer: Arc<Outbox>,
    pub ana: Arc<Outbox>,
    pub ben: Arc<Outbox>,
    pub notices: Arc<Mutex<Vec<Notice>>>,
    pub kind: Kind,
    pub now: Instant,
}

impl Room {
    pub fn new(class: Class, readers: &[ParticipantId]) -> Self {
        Self::with_windows(class, readers, limits::WINDOW_BYTES_MAX)
    }

    pub fn with_windows(class: Class, readers: &[ParticipantId], window_max: u64) -> Self {
        let counters = Arc::new(RelayCounters::default());
        let notices = Arc::new(Mutex::new(Vec::new()));
        let now = Instant::now();
        let spec = spec(class, readers);
        let kind = Kind::DATA.into_iter().find(|kind| kind.bit() & spec.kinds != 0).unwrap();
        let outbox = || Outbox::new(counters.clone());
        let (writer, ana, ben) = (outbox(), outbox(), outbox());
        let channel = Channel::new(spec, class, window_max, &counters, hearer(&notices), now);
        channel.attach_writer(writer.clone(), FIRST, now);
        channel.attach_reader(ANA, ana.clone(), FIRST, now);
        channel.attach_reader(BEN, ben.clone(), FIRST, now);
        Self { counters, channel, writer, ana, ben, notices, kind, now }
    }

    pub fn data(&self, offset: u64, len: usize, flags: Flags) -> Frame {
        let payload = (offset..offset + len as u64).map(byte_at).collect::<Vec<_>>().into();
        Frame { header: Header { kind: self.kind, flags, channel: CHANNEL, offset }, payload }
    }

    pub fn send(&self, offset: u64, len: usize) -> Result<Passed, Fault> {
        self.send_with(offset, len, Flags::default())
    }

    pub fn send_with(&self, offset: u64, len: usize, flags: Flags) -> Result<Passed, Fault> {
        self.channel.hear(WRITER, FIRST, self.data(offset, len, flags), self.now)
    }

    pub fn credit(&self, reader: ParticipantId, acked: u64, limit: u64) {
        self.channel.hear(reader, FIRST, Frame::credit(CHANNEL, acked, limit), self.now).unwrap();
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.channel.tick(self.now);
    }

    pub fn heard(&self) -> Vec<Notice> {
        std::mem::take(&mut self.notices.lock())
    }
}

pub fn hearer(notices: &Arc<Mutex<Vec<Notice>>>) -> super::channel::Hearer {
    let notices = notices.clone();
    Arc::new(move |notice| notices.lock().push(notice))
}

pub fn take(outbox: &Outbox) -> Taken {
    let mut taken = Taken::default();
    while outbox.drain(64 * 1024, &mut taken).more {}
    taken
}

/// The same as a connection does it: channels hear of what has left.
pub fn pump(outbox: &Outbox, channel: &Channel, now: Instant) -> Taken {
    let taken = take(outbox);
    outbox.roomy().into_iter().for_each(|_| channel.left(now));
    taken
}

/// What stands at an offset of every test's stream.
pub fn byte_at(offset: u64) -> u8 {
    (offset ^ (offset >> 8) ^ (offset >> 16)) as u8
}

/// The equation every class's counters hold: what was offered to legs is somewhere.
pub fn counters_add_up(counters: &RelayCounters, class: Class, waiting: u64) {
    let class = counters.of(class);
    let sum = class.forwarded.get() + class.refused.get() + class.replaced.get() + class.duplicate.get();
    assert_eq!(class.offered.get(), sum + class.purged.get() + waiting, "{class:?}");
}

pub fn drained(bytes: usize, more: bool) -> Drained {
    Drained { bytes, more, roomy: false }
}
