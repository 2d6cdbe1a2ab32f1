//! Whatever comes between, every reader has exactly the bytes that were written, in order, none lost or doubled
//! (I-L2, I-L3), and memory stays within its bound (I-L4).

use super::*;
use crate::limits;
use proptest::prelude::*;
use std::collections::VecDeque;

const TOTAL: u64 = 300_000;

#[derive(Clone, Debug)]
enum Step {
    Write(u16),
    /// The writer's network swallows a frame, and then the connection is gone.
    LoseWriter {
        swallowed: u16,
    },
    BackWriter,
    /// The writer reads what it was told.
    Hear,
    Drain(usize, u16),
    /// The reader takes what is on its way to it and gives credit.
    Take(usize),
    LoseReader(usize),
    BackReader(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<u16>().prop_map(Step::Write),
        1 => any::<u16>().prop_map(|swallowed| Step::LoseWriter { swallowed }),
        2 => Just(Step::BackWriter),
        6 => Just(Step::Hear),
        6 => (0..2_usize, any::<u16>()).prop_map(|(reader, max)| Step::Drain(reader, max)),
        6 => (0..2_usize).prop_map(Step::Take),
        1 => (0..2_usize).prop_map(Step::LoseReader),
        3 => (0..2_usize).prop_map(Step::BackReader),
        1 => Just(Step::Restart),
    ]
}

/// An end's connection, while it has one.
struct Line {
    outbox: Arc<Outbox>,
    epoch: AttachEpoch,
}

struct Writer {
    line: Option<Line>,
    next: u64,
    limit: u64,
    /// It keeps everything from here on.
    kept: u64,
    /// On a connection that came back it waits for a RESUME.
    told: bool,
    closed: bool,
    /// The furthest it ever wrote.
    end: u64,
}

struct Reader {
    id: ParticipantId,
    line: Option<Line>,
    next: u64,
    limit: u64,
    granted_at: u64,
    on_the_way: VecDeque<Frame>,
    done: bool,
}

struct World {
    class: Class,
    counters: Arc<RelayCounters>,
    notices: Arc<Mutex<Vec<Notice>>>,
    channel: Arc<Channel>,
    now: Instant,
    epochs: u32,
    writer: Writer,
    readers: Vec<Reader>,
}

impl World {
    fn new(class: Class) -> Self {
        let counters = Arc::new(RelayCounters::default());
        let notices = Arc::default();
        let now = Instant::now();
        let channel =
            Channel::new(spec(class, &[ANA, BEN]), class, limits::WINDOW_BYTES_MAX, &counters, hearer(&notices), now);
        let reader = |id| Reader {
            id,
            line: None,
            next: 0,
            limit: window(class),
            granted_at: 0,
            on_the_way: VecDeque::new(),
            done: false,
        };
        let writer = Writer { line: None, next: 0, limit: window(class), kept: 0, told: true, closed: false, end: 0 };
        let readers = vec![reader(ANA), reader(BEN)];
        let mut world = Self { class, counters, notices, channel, now, epochs: 0, writer, readers };
        world.back_writer();
        (0..2).for_each(|at| world.attach_reader(at));
        world.writer.told = true;
        world
    }

    fn line(&mut self) -> Line {
        self.epochs += 1;
        Line { outbox: Outbox::new(self.counters.clone()), epoch: AttachEpoch(self.epochs) }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write(len) => self.write(len.into()),
            Step::LoseWriter { swallowed } => {
                self.writer.next = (self.writer.next + u64::from(swallowed)).min(self.writer.limit).min(TOTAL);
                self.lose_writer();
            }
            Step::BackWriter if self.writer.line.is_none() => self.back_writer(),
            Step::Hear => self.hear(),
            Step::Drain(at, max) => self.drain(at, max.into()),
            Step::Take(at) => self.take(at),
            Step::LoseReader(at) => self.lose_reader(at),
            Step::BackReader(at) if self.readers[at].line.is_none() => {
                self.attach_reader(at);
                let reader = &self.readers[at];
                self.say(at, Frame::resume(CHANNEL, reader.next));
                self.readers[at].limit = self.readers[at].next + window(self.class);
            }
            Step::Restart => {
                self.lose_writer();
                (0..2).for_each(|at| self.lose_reader(at));
                let spec = spec(self.class, &[ANA, BEN]);
                self.channel = Channel::recovered(
                    spec,
                    self.class,
                    limits::WINDOW_BYTES_MAX,
                    &self.counters,
                    hearer(&self.notices),
                    self.now,
                );
            }
            Step::BackWriter | Step::BackReader(_) => {}
        }
        self.check();
    }

    fn write(&mut self, len: u64) {
        let Writer { next, limit, told, .. } = self.writer;
        let len = len.min(limit.saturating_sub(next)).min(TOTAL - next).min(65_536);
        let Some(line) = self.writer.line.as_ref().filter(|_| told && len > 0) else { return };
        let kind = if self.class == Class::File { Kind::File } else { Kind::ShellOutput };
        let frame = |offset: u64, end: u64| {
            let payload = (offset..end).map(byte_at).collect::<Vec<_>>().into();
            let flags = if end == TOTAL { Flags::FIN } else { Flags::default() };
            Frame { header: Header { kind, flags, channel: CHANNEL, offset }, payload }
        };
        // In up to three frames that come together.
        let part = len / 3 + 1;
        let begins = (next..next + len).step_by(part as usize);
        let mut run = begins.map(|offset| frame(offset, (offset + part).min(next + len))).collect();
        self.channel.receive(WRITER, line.epoch, &mut run, self.now).unwrap();
        assert!(run.is_empty());
        self.writer.next += len;
    }

    fn hear(&mut self) {
        let Some(line) = &self.writer.line else { return };
        for frame in super::take(&line.outbox).control {
            match frame.header.kind {
                Kind::Resume => {
                    self.writer.end = self.writer.end.max(self.writer.next);
                    assert!(frame.header.offset >= self.writer.kept, "asked for what was acknowledged");
                    self.writer.next = frame.header.offset;
                    self.writer.limit = frame.header.offset + window(self.class);
                    self.writer.told = true;
                    self.writer.closed = false;
                }
                Kind::Credit => {
                    let limit = u64::from_be_bytes(frame.payload[..].try_into().unwrap());
                    self.writer.limit = self.writer.limit.max(limit);
                    self.writer.kept = self.writer.kept.max(frame.header.offset);
                }
                other => panic!("a writer hears nothing of {other:?}"),
            }
        }
    }

    fn drain(&mut self, at: usize, max: usize) {
        let reader = &mut self.readers[at];
        let Some(line) = &reader.line else { return };
        let mut taken = Taken::default();
        line.outbox.drain(max, &mut taken);
        line.outbox.roomy().into_iter().for_each(|_| self.channel.left(self.now));
        for frame in taken.control {
            assert_eq!(frame, Frame::close(CHANNEL, TOTAL, CloseReason::Finished));
        }
        reader.on_the_way.extend(taken.frames);
    }

    fn take(&mut self, at: usize) {
        let reader = &mut self.readers[at];
        if reader.line.is_none() {
            return;
        }
        for frame in reader.on_the_way.drain(..) {
            assert_eq!(frame.header.offset, reader.next, "in order, none lost or doubled");
            assert!(frame.end() <= reader.limit, "{} is beyond the reader's limit {}", frame.end(), reader.limit);
            assert!(frame.payload.iter().zip(reader.next..).all(|(byte, offset)| *byte == byte_at(offset)));
            reader.next = frame.end();
            reader.done |= frame.header.flags.has(Flags::FIN);
        }
        let next = reader.next;
        if next - reader.granted_at >= window(self.class) / 2 || next == TOTAL {
            reader.granted_at = next;
            reader.limit = next + window(self.class);
            let credit = Frame::credit(CHANNEL, next, reader.limit);
            self.say(at, credit);
        }
    }

    fn say(&self, at: usize, frame: Frame) {
        let reader = &self.readers[at];
        let Some(line) = &reader.line else { return };
        self.channel.hear(reader.id, line.epoch, frame, self.now).unwrap();
    }

    fn back_writer(&mut self) {
        let line = self.line();
        self.writer.told = false;
        self.channel.attach_writer(line.outbox.clone(), line.epoch, self.now);
        self.writer.end = self.writer.end.max(self.writer.next);
        let word = Frame::resume(CHANNEL, self.writer.end);
        self.channel.hear(WRITER, line.epoch, word, self.now).unwrap();
        self.writer.line = Some(line);
    }

    fn lose_writer(&mut self) {
        if let Some(line) = self.writer.line.take() {
            self.channel.detach(WRITER, line.epoch, self.now);
        }
    }

    fn attach_reader(&mut self, at: usize) {
        let line = self.line();
        self.channel.attach_reader(self.readers[at].id, line.outbox.clone(), line.epoch, self.now);
        self.readers[at].line = Some(line);
    }

    fn lose_reader(&mut self, at: usize) {
        self.readers[at].on_the_way.clear();
        if let Some(line) = self.readers[at].line.take() {
            self.channel.detach(self.readers[at].id, line.epoch, self.now);
        }
    }

    fn check(&self) {
        for line in self.readers.iter().filter_map(|reader| reader.line.as_ref()) {
            assert!(line.outbox.waiting().1 <= limits::WINDOW_BYTES_MAX, "{:?}", line.outbox.waiting());
        }
        assert!(self.notices.lock().iter().all(|notice| matches!(notice, Notice::Ended { .. })));
    }

    /// Everybody is back and nothing fails any more: all of it arrives, and the channel ends.
    fn heal(&mut self) {
        for _ in 0..2_000 {
            for step in [Step::BackWriter, Step::BackReader(0), Step::BackReader(1), Step::Hear, Step::Write(u16::MAX)]
            {
                self.step(&step);
            }
            for at in 0..2 {
                self.step(&Step::Drain(at, u16::MAX));
                self.step(&Step::Take(at));
            }
            if self.writer.next == TOTAL && !self.writer.closed && self.writer.told {
                let epoch = self.writer.line.as_ref().unwrap().epoch;
                let close = Frame::close(CHANNEL, TOTAL, CloseReason::Finished);
                self.channel.hear(WRITER, epoch, close, self.now).unwrap();
                self.writer.closed = true;
            }
            if self.channel.is_over() {
                break;
            }
        }
        assert!(self.readers.iter().all(|reader| reader.next == TOTAL && reader.done));
        let ended = Notice::Ended { channel: CHANNEL, at: TOTAL, reason: CloseReason::Finished };
        assert_eq!(*self.notices.lock(), [ended]);
        counters_add_up(&self.counters, self.class, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn i_l2_readers_have_exactly_the_bytes_in_order_whatever_comes_between(
        file in any::<bool>(),
        steps in prop::collection::vec(step(), 0..250),
    ) {
        let mut world = World::new(if file { Class::File } else { Class::Shell });
        steps.iter().for_each(|step| world.step(step));
        world.heal();
    }
}
