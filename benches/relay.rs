//! A frame's way through the relay, without a socket: credit, queue, gate, and into the writer's buffer.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use equipoise::{
    engine::event::ChannelSpec,
    ids::{AttachEpoch, ChannelId, ParticipantId, PermissionEpoch},
    limits,
    relay::{Admitted, Channel, Gate, Label, LastWords, Outbox, RelayCounters, Sink},
    wire::{Flags, Frame, Header, Kind, control::Class},
};
use std::{collections::VecDeque, hint::black_box, sync::Arc};
use tokio::time::Instant;

const WRITER: ParticipantId = ParticipantId(0);
const READER: ParticipantId = ParticipantId(1);
const EPOCH: AttachEpoch = AttachEpoch(1);
const CHANNEL: ChannelId = ChannelId(7);

/// What a socket's writer does: header and payload into one buffer.
#[derive(Default)]
struct Buffer(Vec<u8>);

impl Sink for Buffer {
    fn control(&mut self, message: Bytes) {
        self.0.extend_from_slice(&message);
    }

    fn frame(&mut self, frame: Admitted<'_>) {
        let frame = frame.into_frame();
        self.0.extend_from_slice(&frame.header.encode());
        self.0.extend_from_slice(&frame.payload);
    }
}

struct Way {
    channel: Arc<Channel>,
    writer: Arc<Outbox>,
    reader: Arc<Outbox>,
    buffer: Buffer,
    offset: u64,
    payload: Bytes,
}

impl Way {
    fn new(len: usize) -> Self {
        let counters = Arc::new(RelayCounters::default());
        let (kinds, readers) = (Kind::File.bit(), vec![READER]);
        let spec = ChannelSpec { channel: CHANNEL, kinds, class: Class::File, lossy: false, writer: WRITER, readers };
        let now = Instant::now();
        let channel = Channel::new(spec, Label(0), limits::WINDOW_BYTES_MAX, &counters, Arc::new(|_| ()), now);
        let (writer, reader) = (Outbox::new(counters.clone()), Outbox::new(counters));
        channel.attach_writer(writer.clone(), EPOCH, now);
        channel.attach_reader(READER, reader.clone(), EPOCH, now);
        Self { channel, writer, reader, buffer: Buffer::default(), offset: 0, payload: vec![0; len].into() }
    }

    fn next(&mut self) -> Frame {
        let header = Header { kind: Kind::File, flags: Flags::default(), channel: CHANNEL, offset: self.offset };
        let frame = Frame { header, payload: self.payload.clone() };
        self.offset = frame.end();
        frame
    }

    /// A batch as a socket reads it: frames in, one drain, and credit back.
    fn batch(&mut self, frames: usize) {
        let now = Instant::now();
        let mut run = VecDeque::new();
        for left in (1..=frames).rev() {
            run.push_back(self.next());
            if run.len() == limits::FRAMES_PASSED_AT_ONCE || left == 1 {
                self.channel.receive(WRITER, EPOCH, &mut run, now).expect("within credit");
            }
        }
        self.buffer.0.clear();
        while self.reader.drain(limits::WRITE_BATCH_BYTES, &mut self.buffer).more {}
        black_box(&self.buffer.0);
        let credit = Frame::credit(CHANNEL, self.offset, self.offset + limits::WINDOW_BYTES_MAX);
        self.channel.receive(READER, EPOCH, &mut [credit].into(), now).expect("what was sent");
        self.buffer.0.clear();
        self.writer.drain(limits::WRITE_BATCH_BYTES, &mut self.buffer);
    }
}

fn frames(c: &mut Criterion) {
    for (len, frames) in [(64, 512), (1_024, 60), (16_384, 4)] {
        let mut group = c.benchmark_group(format!("relay/{len} bytes"));
        group.throughput(Throughput::Elements(frames as u64));
        let mut way = Way::new(len);
        group.bench_function("in, gate, out", |b| b.iter(|| way.batch(frames)));
        group.finish();
    }
}

/// W2.4: at most 5 ns.
fn gate(c: &mut Criterion) {
    let gate = Gate::new(Kind::File.bit(), PermissionEpoch(1));
    c.bench_function("relay/gate check", |b| b.iter(|| black_box(&gate).allows(black_box(Kind::File))));
}

fn revoke(c: &mut Criterion) {
    let waiting = || {
        let mut way = Way::new(16_384);
        let mut run = (0..16).map(|_| way.next()).collect();
        way.channel.receive(WRITER, EPOCH, &mut run, Instant::now()).expect("within credit");
        way
    };
    c.bench_function("relay/revoke a leg with a window waiting", |b| {
        b.iter_batched(
            waiting,
            |way| (way.channel.revoke(READER, Instant::now(), &mut LastWords::default()), way),
            BatchSize::SmallInput,
        )
    });
}

criterion_group!(benches, gate, frames, revoke);
criterion_main!(benches);
