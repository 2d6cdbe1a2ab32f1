//! What a client knows, whichever connection carries it: open requests, channels, and what waits to be sent. The
//! connection's task feeds it and empties it; readers, writers and requests wait on it.

use super::{
    channel::{Channel, Ended},
    requests::Requests,
};
use crate::{
    framing::Link,
    ids::ChannelId,
    limits,
    wire::{
        CloseCode, Done, Ev, Frame, FromBroker, Kind, Part, Welcome,
        codec::BadMessage,
        control::{ChannelView, Opened},
        frame::{CloseReason, FrameError},
    },
};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Something waits to be sent.
    pub(super) work: Notify,
    /// Room for requests without an answer: what the broker remembers answers for (W3.5).
    pub(super) room: tokio::sync::Semaphore,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) welcome: Welcome,
    /// This participant was here before, in another run.
    came_back: bool,
    pub(super) requests: Requests,
    pub(super) channels: HashMap<ChannelId, Channel>,
    steering: VecDeque<Frame>,
    /// Writers with something to send, by class, in turn.
    turns: [VecDeque<ChannelId>; 4],
    early: Early,
    /// Counts connections: what was said on an older one may have to be said again.
    pub(super) link: u32,
    /// The broker is still saying which channels there are.
    telling: bool,
    pub(super) seen: Option<u64>,
    pub(super) heard: Instant,
    /// The last round trip measured.
    pub(super) round_trip: Duration,
    pinged: Option<(u64, Instant)>,
    pub(super) ended: Option<(u16, String)>,
}

/// Data for channels whose `opened` has not arrived (W1.8).
#[derive(Debug, Default)]
struct Early {
    frames: VecDeque<(Instant, Frame)>,
    bytes: usize,
    /// Channels of which something was dropped: their readers ask for it again.
    dropped: HashSet<ChannelId>,
}

/// What one message from the broker asks of the connection's task.
#[derive(Debug)]
pub(super) enum Heard {
    Nothing,
    Ev(u64, Ev),
    Ping(u64),
    Bye(Option<u64>),
}

/// The broker said what it may not say.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerFault {
    #[error(transparent)]
    Message(#[from] BadMessage),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Shared {
    pub(super) fn new(welcome: Welcome, service: bool, requests: u64) -> Self {
        let room = if service { limits::SERVICE_REQUESTS } else { limits::REQUESTS_REMEMBERED };
        let state = State {
            welcome,
            came_back: requests > 0,
            requests: if service { Requests::of_service() } else { Requests::after(requests) },
            channels: HashMap::new(),
            steering: VecDeque::new(),
            turns: Default::default(),
            early: Early::default(),
            link: 0,
            telling: false,
            seen: None,
            heard: Instant::now(),
            round_trip: Duration::ZERO,
            pinged: None,
            ended: None,
        };
        Self { state: Mutex::new(state), work: Notify::new(), room: tokio::sync::Semaphore::new(room) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    // ---- what arrives ----

    pub(super) fn message(&mut self, message: Bytes) -> Result<Heard, BrokerFault> {
        self.heard = Instant::now();
        if Part::of(&message) == Some(Part::Frame) {
            let frame = Frame::decode(message)?;
            self.frame(frame);
            return Ok(Heard::Nothing);
        }
        Ok(match FromBroker::decode(&message)? {
            FromBroker::Reply { re, answer } => {
                if let Ok(done) = &answer
                    && let Done::Opened(opened) = &**done
                {
                    self.opened(opened);
                }
                self.requests.answered(re, answer);
                Heard::Nothing
            }
            FromBroker::Push { seq, ev } => {
                self.seen = self.seen.max(Some(seq));
                match ev {
                    Some(ev) if self.pushed(&ev) => Heard::Ev(seq, *ev),
                    _ => Heard::Nothing,
                }
            }
            FromBroker::Ping(n) => Heard::Ping(n),
            FromBroker::Pong(n) => {
                if let Some((_, sent)) = self.pinged.take_if(|(sent, _)| *sent == n) {
                    self.round_trip = self.heard.saturating_duration_since(sent);
                    self.all_told();
                }
                Heard::Nothing
            }
            FromBroker::Bye(bye) => Heard::Bye(bye.retry_after_ms),
            // A second welcome says nothing that matters here.
            FromBroker::Welcome(_) => Heard::Nothing,
        })
    }

    pub(super) fn pinged(&mut self, n: u64) {
        self.pinged = Some((n, Instant::now()));
    }

    /// The broker has said on this connection which channels there are, for the first pong comes after all that.
    /// What it did not name ended while we were away.
    fn all_told(&mut self) {
        self.telling = false;
        let link = self.link;
        for channel in self.channels.values_mut() {
            channel.missed(link);
        }
        self.channels.retain(|_, channel| channel.is_wanted());
    }

    /// Follows a push; false if it tells the application nothing it has not heard before.
    fn pushed(&mut self, ev: &Ev) -> bool {
        let mut news = true;
        match ev {
            Ev::Opened(opened) => {
                // Said again after a reconnect; what has no channels is said once.
                news = self.opened(opened) || opened.channels.is_empty();
            }
            Ev::Noted { channel, facts, .. } => {
                if let Some(channel) = self.channels.get_mut(&ChannelId(*channel)) {
                    channel.noted(facts);
                }
            }
            Ev::Closed { channel, reason, at, .. } => {
                let reason = CloseReason::named(reason);
                if let Some(channel) = self.channels.get_mut(&ChannelId(*channel)) {
                    channel.told_closed(*at, reason);
                }
            }
            Ev::SessionGone { session, .. } | Ev::Ended { session, .. } => {
                for channel in self.channels.values_mut().filter(|channel| channel.session == *session) {
                    channel.told_closed(None, CloseReason::SessionEnded);
                }
            }
            _ => {}
        }
        if matches!(ev, Ev::Closed { .. } | Ev::SessionGone { .. } | Ev::Ended { .. }) {
            self.channels.retain(|_, channel| channel.is_wanted());
            self.forget_rests();
        }
        news
    }

    /// Channels that came and went before anybody asked for their reader: the oldest are forgotten.
    fn forget_rests(&mut self) {
        let rests = || self.channels.iter().filter(|(_, channel)| channel.is_unclaimed_rest()).map(|(id, _)| *id);
        if rests().count() > limits::CHANNELS_PER_SESSION
            && let Some(oldest) = rests().min()
        {
            self.channels.remove(&oldest);
        }
    }

    /// Follows an `opened`; true if it tells of a channel, or of something noted, that was not heard before.
    fn opened(&mut self, opened: &Opened) -> bool {
        let link = self.link;
        let mut news = false;
        for view in &opened.channels {
            news |= !self.channels.contains_key(&ChannelId(view.channel));
            let channel = self.channel(view, opened.session);
            channel.confirmed(opened.session, link);
            news |= channel.noted(&opened.facts);
        }
        news
    }

    /// The channel of this view, made where it is met first; what came early is its first data.
    pub(super) fn channel(&mut self, view: &ChannelView, session: u64) -> &mut Channel {
        let id = ChannelId(view.channel);
        let link = self.link;
        if !self.channels.contains_key(&id) {
            let mut channel = Channel::new(view, session, link);
            if self.telling {
                channel.met_later();
            }
            // A participant that was here before reads on in channels that this client has never seen.
            let of_another_run = link == 1 && self.came_back;
            if self.early.dropped.remove(&id) || of_another_run {
                channel.ask_again();
            }
            self.channels.insert(id, channel);
            for frame in self.early.take(id) {
                self.frame(frame);
            }
        }
        self.channels.get_mut(&id).expect("it was just put there")
    }

    fn frame(&mut self, frame: Frame) {
        let id = frame.header.channel;
        let Some(channel) = self.channels.get_mut(&id) else {
            if frame.header.kind.is_data() {
                self.early.keep(frame, self.heard);
            }
            return;
        };
        let at = frame.header.offset;
        match frame.header.kind {
            Kind::Credit => {
                let limit = frame.payload.first_chunk().map_or(0, |limit| u64::from_be_bytes(*limit));
                channel.credit(at, limit);
            }
            Kind::Resume => channel.resume(at),
            Kind::Refresh => channel.refresh(),
            Kind::Close => {
                let reason = frame.payload.first().and_then(|byte| CloseReason::from_byte(*byte));
                channel.closed(Ended { at, reason: reason.unwrap_or(CloseReason::Failed) });
            }
            _ => channel.data(frame),
        }
        self.serve(id);
    }

    /// Takes note of what a channel has to say after anything happened to it.
    pub(super) fn serve(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let window_max = self.welcome.window_max.min(limits::WINDOW_BYTES_MOST);
        self.steering.extend(channel.steering(self.link, self.round_trip, window_max));
        let class = channel.class as usize;
        if channel.list() {
            self.turns[class].push_back(id);
        }
    }

    // ---- what leaves ----

    /// Queues on the link what may go: requests, then steering, then data by class (W1.10).
    pub(super) fn fill(&mut self, link: &mut Link) {
        let mut bytes = 0;
        while bytes < limits::WRITE_BATCH_BYTES
            && let Some(message) = self.requests.next()
        {
            bytes += message.len();
            link.queue_control(&message);
        }
        while bytes < limits::WRITE_BATCH_BYTES
            && let Some(frame) = self.steering.pop_front()
        {
            bytes += limits::FRAME_HEADER_BYTES + frame.payload.len();
            link.queue_control(&frame.encode());
        }
        for class in 0..self.turns.len() {
            let mut full = 0;
            while bytes < limits::WRITE_BATCH_BYTES && full < self.turns[class].len() {
                let Some(id) = self.turns[class].pop_front() else { break };
                let Some(channel) = self.channels.get_mut(&id) else { continue };
                if !link.takes(id) {
                    full += 1;
                    self.turns[class].push_back(id);
                    continue;
                }
                full = 0;
                match channel.next_frame() {
                    Some(frame) => {
                        bytes += limits::FRAME_HEADER_BYTES + frame.payload.len();
                        link.queue_frame(&frame);
                        self.turns[class].push_back(id);
                    }
                    None => {
                        channel.unlist();
                        self.serve(id);
                    }
                }
            }
        }
    }

    /// Is there anything to fill a link with?
    pub(super) fn has_work(&self) -> bool {
        !self.requests.is_quiet() || !self.steering.is_empty() || self.turns.iter().any(|turns| !turns.is_empty())
    }

    // ---- the life of connections ----

    /// A connection was welcomed: all that has no answer is said again on it.
    pub(super) fn attached(&mut self, welcome: Welcome) {
        self.welcome = welcome;
        self.link += 1;
        self.telling = true;
        self.heard = Instant::now();
        self.pinged = None;
        self.requests.again();
        self.steering.clear();
        self.early = Early::default();
        for turns in &mut self.turns {
            turns.clear();
        }
        let ids: Vec<_> = self.channels.keys().copied().collect();
        for id in ids {
            if let Some(channel) = self.channels.get_mut(&id) {
                channel.attached();
            }
            self.serve(id);
        }
    }

    /// Nothing more comes: whoever waits is told.
    pub(super) fn end(&mut self, code: u16, reason: &str) {
        self.ended = Some((code, reason.to_owned()));
        self.requests.end(code, reason);
        for channel in self.channels.values_mut() {
            channel.told_closed(None, CloseReason::SessionEnded);
        }
    }
}

impl Early {
    fn keep(&mut self, frame: Frame, now: Instant) {
        let age = Duration::from_millis(limits::EARLY_DATA.0);
        while let Some((_, old)) = self.frames.pop_front_if(|(at, _)| now.saturating_duration_since(*at) > age) {
            self.forget(&old);
        }
        if self.bytes + frame.payload.len() > limits::EARLY_DATA_BYTES {
            self.note_dropped(frame.header.channel);
            return;
        }
        self.bytes += frame.payload.len();
        self.frames.push_back((now, frame));
    }

    fn forget(&mut self, frame: &Frame) {
        self.bytes -= frame.payload.len();
        self.note_dropped(frame.header.channel);
    }

    fn note_dropped(&mut self, channel: ChannelId) {
        // Bounded: beyond it a reader finds the gap by itself.
        if self.dropped.len() < limits::CHANNELS_PER_SESSION {
            self.dropped.insert(channel);
        }
    }

    fn take(&mut self, channel: ChannelId) -> Vec<Frame> {
        let (taken, left) =
            std::mem::take(&mut self.frames).into_iter().partition(|(_, frame)| frame.header.channel == channel);
        self.frames = left;
        let taken: VecDeque<(Instant, Frame)> = taken;
        self.bytes = self.frames.iter().map(|(_, frame)| frame.payload.len()).sum();
        taken.into_iter().map(|(_, frame)| frame).collect()
    }
}

/// What a connection ends with where the peer named no code.
pub(super) fn code_or_normal(close: Option<(u16, String)>) -> (u16, String) {
    close.unwrap_or((CloseCode::Normal.number(), String::new()))
}
