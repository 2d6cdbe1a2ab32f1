//! What waits for one connection's socket: control first, then the legs' frames in the order of W1.10. Permission is
//! asked as a frame leaves, under the same lock that a revocation purges with, so neither can overtake the other.

use super::{
    counters::{Label, LineCounters, RelayCounters, index},
    gate::{Admitted, Gate, Queued},
    sync::{AtomicU64, Mutex, Ordering},
};
use crate::{
    ids::{ChannelId, IdMap},
    limits,
    wire::{CloseCode, Flags, Frame, Kind, control::Class},
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Arc, atomic},
    time::Duration,
};
use tokio::sync::Notify;

/// Takes what leaves an outbox. Called under the outbox's lock: it copies into its buffer and calls nothing back.
pub trait Sink {
    /// A control message or a steering frame, whole.
    fn control(&mut self, message: Bytes);

    /// May this channel's next frame come? A transport with a stream for each leg says no while that stream is full,
    /// and calls [`Outbox::writable`] when it is not.
    fn takes(&mut self, channel: ChannelId) -> bool {
        let _ = channel;
        true
    }

    fn frame(&mut self, frame: Admitted<'_>);
}

/// The control queue is full: the peer does not read. The outbox has begun to close with 4002.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("more than {} control bytes wait for one connection", limits::CONTROL_QUEUE_BYTES)]
pub struct Overflow;

/// How the connection is to end, once its control queue is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closing {
    pub code: CloseCode,
    pub reason: String,
    pub retry_after_ms: Option<u64>,
}

/// What one drain did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Drained {
    /// Bytes handed to the sink: payload and frame headers.
    pub bytes: usize,
    /// Something that could leave is left: drain again when the socket takes more.
    pub more: bool,
    /// [`Outbox::roomy`] names channels.
    pub roomy: bool,
}

/// What a channel and the outbox it feeds share of one leg.
#[derive(Debug)]
pub(super) struct LegShared {
    pub channel: ChannelId,
    pub class: Class,
    pub label: Label,
    pub gate: Gate,
    /// Where the last byte handed to a socket ended.
    pub sent: AtomicU64,
    /// The reader's limit, dropped pictures taken off.
    pub limit: AtomicU64,
    /// Once `sent` is here the channel has room to give its writer; `NEVER` where nobody waits for it.
    pub wake_at: AtomicU64,
}

/// No offset is this far.
pub(super) const NEVER: u64 = u64::MAX;

impl LegShared {
    /// All up to here is out. Says whether that is what the channel waits for. It sets its mark before it looks how much is
    /// out, and here that is said before the mark is looked at: one of both sees the other.
    fn left(&self, end: u64) -> bool {
        self.sent.store(end, Ordering::SeqCst);
        let mark = self.wake_at.load(Ordering::SeqCst);
        let forget = || self.wake_at.compare_exchange(mark, NEVER, Ordering::SeqCst, Ordering::SeqCst);
        end >= mark && forget().is_ok()
    }
}

/// Frames of honest writers are never this many: a hostile one's single bytes shall not cost 80 times their size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Flood {
    /// Of those that came together, so many found room before.
    pub queued: u64,
}

/// Which of the waiting pictures are dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Which {
    All,
    Last,
}

#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    wake: Notify,
    counters: Arc<RelayCounters>,
    /// Of the connection, as it was measured last, in microseconds.
    round_trip_us: atomic::AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    control: VecDeque<Bytes>,
    control_bytes: usize,
    /// What a channel's end is to be told beside its data, and the channels in the order of asking.
    steering: IdMap<ChannelId, Steering>,
    steered: VecDeque<ChannelId>,
    legs: IdMap<ChannelId, LegQueue>,
    /// Legs with something to send, by class, in turn (deficit round robin).
    turns: [VecDeque<ChannelId>; 4],
    frames: usize,
    frame_bytes: u64,
    closing: Option<Closing>,
    /// Channels whose writers may go on, for so much has left.
    roomy: Vec<ChannelId>,
    /// The socket's task was told and has not yet found the outbox empty.
    awake: bool,
}

/// One word of each kind, in the order they are said: credit counts from where a writer goes on.
#[derive(Debug, Default)]
struct Steering([Option<Frame>; 4]);

impl Steering {
    fn say(&mut self, mut frame: Frame, better: fn(u64, u64) -> u64) {
        let place = match frame.header.kind {
            Kind::Resume => 0,
            Kind::Credit => 1,
            Kind::Refresh => 2,
            _ => 3,
        };
        if let Some(before) = &self.0[place]
            && frame.header.kind == Kind::Resume
        {
            frame.header.offset = better(before.header.offset, frame.header.offset);
        }
        self.0[place] = Some(frame);
    }
}

#[derive(Debug)]
struct LegQueue {
    shared: Arc<LegShared>,
    /// Of its label and its connection's transport.
    counters: Arc<LineCounters>,
    frames: VecDeque<Queued>,
    /// Bytes it may still send in this turn.
    deficit: usize,
    /// It stands in `turns`.
    listed: bool,
    /// It waits for its reader's credit.
    stalled: bool,
    /// It waits for room in its own stream.
    parked: bool,
}

/// What a leg may send in one turn before the next of its class has one.
const QUANTUM: usize = limits::FRAME_PAYLOAD_BYTES + limits::FRAME_HEADER_BYTES;
/// Shares that may be saved up: enough for the largest frame.
const DEFICIT_MAX: usize = 5 * QUANTUM;
const _: () = assert!(DEFICIT_MAX >= limits::FRAME_PAYLOAD_BYTES_MAX + limits::FRAME_HEADER_BYTES);

impl Outbox {
    pub fn new(counters: Arc<RelayCounters>) -> Arc<Self> {
        let round_trip_us = atomic::AtomicU64::new(0);
        Arc::new(Self { state: Mutex::default(), wake: Notify::new(), counters, round_trip_us })
    }

    /// The peer's answer took so long. Whoever takes longer than anybody is far away gains nothing by it.
    pub fn measured(&self, answer: Duration) {
        let answer = answer.min(Duration::from_millis(limits::ROUND_TRIP_MAX.0));
        self.round_trip_us.store(answer.as_micros() as u64, atomic::Ordering::Relaxed);
    }

    /// Zero before anything was measured.
    pub(super) fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip_us.load(atomic::Ordering::Relaxed))
    }

    /// Queues a control message, before all else. After `close` it is dropped.
    pub fn control(&self, message: Bytes) -> Result<(), Overflow> {
        let mut state = self.state.lock();
        if state.closing.is_some() {
            return Ok(());
        }
        if state.control_bytes + message.len() > limits::CONTROL_QUEUE_BYTES {
            self.begin_close(&mut state, CloseCode::Slow, "control messages are not read".into(), None);
            return Err(Overflow);
        }
        state.control_bytes += message.len();
        state.control.push_back(message);
        self.woken(&mut state);
        Ok(())
    }

    /// Queues a steering frame. Of each kind only a channel's newest word waits, so that no peer fills another's queue
    /// by steering a channel they share.
    pub(super) fn steer(&self, frame: Frame) {
        self.steer_restart(frame, |_, newest| newest);
    }

    /// Queues a RESUME; of this one and one that waits, the offset that `better` prefers.
    pub(super) fn steer_restart(&self, frame: Frame, better: fn(u64, u64) -> u64) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.closing.is_some() {
            return;
        }
        let channel = frame.header.channel;
        let words = state.steering.entry(channel).or_insert_with(|| {
            state.steered.push_back(channel);
            Steering::default()
        });
        words.say(frame, better);
        self.woken(state);
    }

    /// Ends the connection: what is in the control queue is still written, no frame is. The first call counts.
    pub fn close(&self, code: CloseCode, reason: impl Into<String>, retry_after_ms: Option<u64>) {
        self.begin_close(&mut self.state.lock(), code, reason.into(), retry_after_ms);
    }

    pub fn closing(&self) -> Option<Closing> {
        self.state.lock().closing.clone()
    }

    /// Waits until something can be drained or the outbox is closing. For the socket's one task.
    pub async fn ready(&self) {
        loop {
            {
                let mut state = self.state.lock();
                if state.closing.is_some() || !state.idle() {
                    return;
                }
                state.awake = false;
            }
            self.wake.notified().await;
        }
    }

    /// Hands what may leave to the sink, about `max_bytes` of it. Control goes first and whole.
    pub fn drain(&self, max_bytes: usize, sink: &mut impl Sink) -> Drained {
        let mut state = self.state.lock();
        let mut bytes = 0;
        while bytes < max_bytes
            && let Some(message) = state.control.pop_front()
        {
            state.control_bytes -= message.len();
            bytes += message.len();
            sink.control(message);
        }
        if state.control.is_empty() {
            // Most connections have nothing to say most of the time.
            state.control = VecDeque::new();
        }
        while bytes < max_bytes
            && let Some(channel) = state.steered.pop_front()
        {
            let words = state.steering.remove(&channel).unwrap_or_default();
            for word in words.0.into_iter().flatten() {
                let word = word.encode();
                bytes += word.len();
                sink.control(word);
            }
        }
        for class in 0..state.turns.len() {
            bytes += self.drain_class(&mut state, class, max_bytes.saturating_sub(bytes), sink);
        }
        let more = !state.idle();
        state.awake = more;
        Drained { bytes, more, roomy: !state.roomy.is_empty() }
    }

    /// Channels of which so much has left that their writers may go on: each is to be told with
    /// [`Channel::left`](super::Channel::left).
    pub fn roomy(&self) -> Vec<ChannelId> {
        std::mem::take(&mut self.state.lock().roomy)
    }

    /// Bytes that wait: control, and payload of frames.
    pub fn waiting(&self) -> (usize, u64) {
        let state = self.state.lock();
        (state.control_bytes, state.frame_bytes)
    }

    /// This channel's stream has room again, after a sink said that it has none.
    pub fn writable(&self, channel: ChannelId) {
        self.relist(channel, |leg| std::mem::take(&mut leg.parked));
    }

    // ---- for channels, which hold their own lock while they call ----

    pub(super) fn open_leg(&self, shared: Arc<LegShared>) {
        let counters = self.counters.of(shared.label).clone();
        let queue = LegQueue {
            counters,
            deficit: 0,
            listed: false,
            stalled: false,
            parked: false,
            frames: VecDeque::new(),
            shared,
        };
        let mut state = self.state.lock();
        if let Some(mut old) = state.legs.insert(queue.shared.channel, queue) {
            self.purged(&mut state, &mut old);
        }
    }

    /// Forgets the leg and what waits on it; counted as refused where a gate shut, else as purged.
    pub(super) fn close_leg(&self, channel: ChannelId) {
        let mut state = self.state.lock();
        if let Some(mut queue) = state.legs.remove(&channel) {
            self.purged(&mut state, &mut queue);
        }
    }

    /// Says how many frames there were.
    pub(super) fn push(&self, shared: &LegShared, frames: impl Iterator<Item = Queued>) -> Result<u64, Flood> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(leg) = state.legs.get_mut(&shared.channel) else {
            let gone = frames.count() as u64;
            self.counters.of(shared.label).purged.add(gone);
            return Ok(gone);
        };
        let before = state.frames;
        for queued in frames {
            if state.frames >= limits::OUTBOX_FRAMES_MAX {
                return Err(Flood { queued: (state.frames - before) as u64 });
            }
            state.frames += 1;
            state.frame_bytes += queued.frame.payload.len() as u64;
            leg.frames.push_back(queued);
        }
        if leg.list(&mut state.turns) {
            self.woken(state);
        }
        Ok((state.frames - before) as u64)
    }

    /// The reader's limit rose.
    pub(super) fn raised(&self, channel: ChannelId) {
        self.relist(channel, |leg| std::mem::take(&mut leg.stalled));
    }

    /// Drops pictures of which nothing has left, and says where the first of them began and how many bytes went.
    pub(super) fn drop_pictures(&self, channel: ChannelId, which: Which) -> Option<(u64, u64)> {
        let mut state = self.state.lock();
        let mut queue = state.legs.remove(&channel)?;
        let begins = |queued: &Queued| queued.frame.header.flags.has(Flags::START);
        let first = match which {
            Which::All => queue.frames.iter().position(begins),
            Which::Last => queue.frames.iter().rposition(begins),
        };
        let dropped = first.map(|first| {
            let offset = queue.frames[first].frame.header.offset;
            let gone: u64 = queue.frames.range(first..).map(|queued| queued.frame.payload.len() as u64).sum();
            let frames = queue.frames.len() - first;
            queue.counters.replaced.add(frames as u64);
            queue.frames.truncate(first);
            state.frames -= frames;
            state.frame_bytes -= gone;
            (offset, gone)
        });
        state.legs.insert(channel, queue);
        dropped
    }

    // ---- inside ----

    fn relist(&self, channel: ChannelId, waited: impl FnOnce(&mut LegQueue) -> bool) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if let Some(leg) = state.legs.get_mut(&channel)
            && waited(leg)
            && leg.list(&mut state.turns)
        {
            self.woken(state);
        }
    }

    fn drain_class(&self, state: &mut State, class: usize, max_bytes: usize, sink: &mut impl Sink) -> usize {
        let mut bytes = 0;
        while bytes < max_bytes {
            let Some(channel) = state.turns[class].pop_front() else { break };
            let Some(leg) = state.legs.get_mut(&channel) else { continue };
            leg.deficit = (leg.deficit + QUANTUM).min(DEFICIT_MAX);
            let taken = leg.turn(max_bytes.saturating_sub(bytes), sink);
            if taken.roomy {
                state.roomy.push(channel);
            }
            bytes += taken.bytes;
            state.frames -= taken.frames;
            state.frame_bytes -= taken.payload;
            if leg.frames.is_empty() || leg.stalled || leg.parked {
                leg.rest();
            } else {
                state.turns[class].push_back(channel);
            }
        }
        bytes
    }

    fn begin_close(&self, state: &mut State, code: CloseCode, reason: String, retry_after_ms: Option<u64>) {
        if state.closing.is_some() {
            return;
        }
        state.closing = Some(Closing { code, reason, retry_after_ms });
        let mut legs = std::mem::take(&mut state.legs);
        for leg in legs.values_mut() {
            self.purged(state, leg);
        }
        state.turns = Default::default();
        state.steering.clear();
        state.steered.clear();
        self.wake.notify_one();
    }

    fn purged(&self, state: &mut State, queue: &mut LegQueue) {
        let counters = &queue.counters;
        let gone = std::mem::take(&mut queue.frames);
        let outcome = if queue.shared.gate.is_shut() { &counters.refused } else { &counters.purged };
        outcome.add(gone.len() as u64);
        state.frames -= gone.len();
        state.frame_bytes -= gone.iter().map(|queued| queued.frame.payload.len() as u64).sum::<u64>();
        if queue.listed {
            let turns = &mut state.turns[index(queue.shared.class)];
            turns.retain(|channel| *channel != queue.shared.channel);
        }
    }

    /// One wake-up for all that comes before the socket's task has emptied the outbox.
    fn woken(&self, state: &mut State) {
        if !state.awake {
            state.awake = true;
            self.wake.notify_one();
        }
    }
}

impl State {
    /// Nothing can leave: frames beyond their reader's credit, or without room in their stream, wait elsewhere.
    fn idle(&self) -> bool {
        self.control.is_empty() && self.steered.is_empty() && self.turns.iter().all(VecDeque::is_empty)
    }
}

struct Taken {
    bytes: usize,
    payload: u64,
    frames: usize,
    roomy: bool,
}

impl LegQueue {
    /// Sends what its share and its reader's credit allow.
    fn turn(&mut self, max_bytes: usize, sink: &mut impl Sink) -> Taken {
        let counters = &self.counters;
        let mut taken = Taken { bytes: 0, payload: 0, frames: 0, roomy: false };
        let (mut forwarded, mut forwarded_bytes, mut left) = (0, 0, None);
        let limit = self.shared.limit.load(Ordering::Acquire);
        while taken.bytes < max_bytes
            && let Some(front) = self.frames.front()
        {
            let end = front.frame.end();
            if end.saturating_sub(front.skipped) > limit {
                self.stalled = true;
                counters.credit_stalls.add(1);
                break;
            }
            let bytes = limits::FRAME_HEADER_BYTES + front.frame.payload.len();
            if bytes > self.deficit {
                break;
            }
            if !sink.takes(self.shared.channel) {
                self.parked = true;
                break;
            }
            self.deficit -= bytes;
            let Some(queued) = self.frames.pop_front() else { break };
            taken.frames += 1;
            let payload = queued.frame.payload.len() as u64;
            taken.payload += payload;
            match self.shared.gate.admit(queued) {
                Ok(admitted) => {
                    taken.bytes += bytes;
                    forwarded += 1;
                    forwarded_bytes += payload;
                    left = Some(end);
                    sink.frame(admitted);
                }
                Err(_) => counters.refused.add(1),
            }
        }
        if let Some(end) = left {
            counters.forwarded.add(forwarded);
            counters.forwarded_bytes.add(forwarded_bytes);
            taken.roomy = self.shared.left(end);
        }
        taken
    }

    /// Takes a place in its class's turns; `true` where it had none and something can leave.
    fn list(&mut self, turns: &mut [VecDeque<ChannelId>; 4]) -> bool {
        if self.listed || self.stalled || self.parked || self.frames.is_empty() {
            return false;
        }
        self.listed = true;
        turns[index(self.shared.class)].push_back(self.shared.channel);
        true
    }

    fn rest(&mut self) {
        self.listed = false;
        self.deficit = 0;
        if self.frames.is_empty() && self.frames.capacity() > 64 {
            self.frames = VecDeque::new();
        }
    }
}
