//! A directed channel: one writer, its reader legs, and the credit that goes back. Frames pass without visiting the
//! owner; the owner opens, revokes and removes, and hears of an end through a notice.

mod close;
mod credit;
mod readers;
mod writer;

pub use close::LastWords;

use super::{
    counters::{Label, LineCounters, RelayCounters},
    leg::{End, Leg, Stage},
    sync::Mutex,
    window,
};
use crate::{
    engine::event::ChannelSpec,
    ids::{AttachEpoch, ChannelId, ParticipantId, PermissionEpoch},
    wire::{CloseCode, Frame, Kind, frame::CloseReason},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use tokio::time::Instant;

/// What the owner hears of. Told after the channel's lock is let go; the hearer must not block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The channel is over; `at` is where its writer ended.
    Ended { channel: ChannelId, at: u64, reason: CloseReason },
    /// One reader of several is gone for ever.
    LegEnded { channel: ChannelId, reader: ParticipantId, at: u64, reason: CloseReason },
    /// A reader was left behind beside others; its refresh brings it back (W1.7).
    Lagged { channel: ChannelId, reader: ParticipantId },
}

pub type Hearer = Arc<dyn Fn(Notice) + Send + Sync>;

/// What became of a frame that broke no rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passed {
    Taken,
    /// Of an older connection, or for a channel that is over or has no place to go on from: dropped.
    Stale,
}

/// A peer's fault. All but `Stranger` have closed the channel, or the leg of the reader at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    #[error("participant {0} has no such part in the channel")]
    Stranger(ParticipantId),
    #[error("a {0:?} frame does not belong on the channel")]
    Kind(Kind),
    #[error("a frame without payload says nothing")]
    Empty,
    #[error("the frame ends at {end}, beyond the credit up to {limit}")]
    Credit { limit: u64, end: u64 },
    #[error("the frame begins at {offset}, after {expected}")]
    Gap { expected: u64, offset: u64 },
    #[error("sent again without being asked, for the third time")]
    Repeated,
    #[error("data after the end at {at}")]
    AfterEnd { at: u64 },
    #[error("{acked} acknowledged of {sent} sent")]
    Acked { sent: u64, acked: u64 },
    #[error("a reader goes on at {next}, and {written} were written")]
    Ahead { next: u64, written: u64 },
    #[error("too many small frames wait for one connection")]
    Flood,
    #[error("an unknown reason to close")]
    Reason,
}

impl Fault {
    /// What a connection would close with, where the broker decides that it must.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::Stranger(_) => CloseCode::NotFound,
            Self::Kind(_) => CloseCode::Forbidden,
            Self::Flood => CloseCode::RateLimited,
            _ => CloseCode::BadMessage,
        }
    }
}

pub struct Channel {
    spec: ChannelSpec,
    label: Label,
    window_max: u64,
    counters: Arc<LineCounters>,
    hearer: Hearer,
    state: Mutex<State>,
}

struct State {
    writer: Option<End>,
    /// A writer has been attached before: the next one is told where to go on.
    writer_came: bool,
    /// Everything before it has come from the writer; unknown after a restart until a reader says (W3.3).
    written: Option<u64>,
    recovered: bool,
    /// What was written when time was last up.
    looked_at: u64,
    /// What its writer said that it wrote in all: after a restart nobody may claim to have more (W3.3).
    wrote: Option<u64>,
    /// The limit the writer knows of, and the most it was ever allowed.
    told: u64,
    allowed: u64,
    acked_told: u64,
    /// Where the writer's credit ended before it was told of more, and when that was; none once it has written beyond.
    stop: Option<(u64, Instant)>,
    /// The writer's last byte, after a frame with FIN.
    fin: Option<u64>,
    closing: Option<u64>,
    /// Where the writer's next frame would follow its last, how often it was told to go back, and how often it went
    /// back by itself (H-45).
    cursor: u64,
    resumes: u32,
    repeats: u32,
    over: bool,
    /// Where and why it ended, as its writer was told.
    closed: Option<(u64, CloseReason)>,
    legs: Vec<Leg>,
    /// Where legs ended of which the owner was only notified: it asks when its own turn ends them.
    ended: BTreeMap<ParticipantId, u64>,
    refreshed: Option<Instant>,
    refresh_due: bool,
    notices: Vec<Notice>,
}

impl Channel {
    /// A channel that has just been opened: everybody begins at 0. Its windows may grow to `window_max` bytes (W1.5).
    pub fn new(
        spec: ChannelSpec,
        label: impl Into<Label>,
        window_max: u64,
        counters: &RelayCounters,
        hearer: Hearer,
        now: Instant,
    ) -> Arc<Self> {
        Self::with_written(spec, Some(0), label.into(), window_max, counters, hearer, now)
    }

    /// A channel from before a restart: readers say where they are, and the writer goes on from there (W3.3).
    pub fn recovered(
        spec: ChannelSpec,
        label: impl Into<Label>,
        window_max: u64,
        counters: &RelayCounters,
        hearer: Hearer,
        now: Instant,
    ) -> Arc<Self> {
        Self::with_written(spec, None, label.into(), window_max, counters, hearer, now)
    }

    fn with_written(
        spec: ChannelSpec,
        written: Option<u64>,
        label: Label,
        window_max: u64,
        counters: &RelayCounters,
        hearer: Hearer,
        now: Instant,
    ) -> Arc<Self> {
        let first = window(spec.class);
        let recovered = written.is_none();
        let mut legs: Vec<_> =
            spec.readers.iter().map(|reader| Leg::new(&spec, label, window_max, *reader, now)).collect();
        if recovered {
            legs.iter_mut().for_each(|leg| leg.stage = Stage::Waiting);
        }
        let state = State {
            writer: None,
            writer_came: recovered,
            written,
            recovered,
            looked_at: 0,
            wrote: None,
            told: first,
            allowed: first,
            acked_told: 0,
            stop: None,
            fin: None,
            closing: None,
            cursor: 0,
            resumes: 0,
            repeats: 0,
            over: false,
            closed: None,
            legs,
            ended: BTreeMap::new(),
            refreshed: None,
            refresh_due: false,
            notices: Vec::new(),
        };
        let counters = counters.of(label).clone();
        Arc::new(Self { spec, label, window_max, counters, hearer, state: Mutex::new(state) })
    }

    pub fn spec(&self) -> &ChannelSpec {
        &self.spec
    }

    /// Where the writer is, if that is known.
    pub fn written(&self) -> Option<u64> {
        self.state.lock().written
    }

    pub fn is_over(&self) -> bool {
        self.state.lock().over
    }

    /// What a connection brings for this channel, from the front of `run`: a steering frame, or as many data frames as
    /// break no rule. At least one is taken off; what became of the last is said.
    pub fn receive(
        &self,
        from: ParticipantId,
        epoch: AttachEpoch,
        run: &mut VecDeque<Frame>,
        now: Instant,
    ) -> Result<Passed, Fault> {
        let Some(frame) = run.pop_front_if(|frame| !frame.header.kind.is_data()) else {
            return self.frames(from, epoch, run, now);
        };
        let at = frame.header.offset;
        match frame.header.kind {
            Kind::Credit => {
                let limit = frame.payload.first_chunk().map_or(0, |limit| u64::from_be_bytes(*limit));
                self.credit(from, epoch, at, limit, now)
            }
            Kind::Close => {
                let reason = frame.payload.first().and_then(|byte| CloseReason::from_byte(*byte));
                self.close(from, epoch, at, reason.ok_or(Fault::Reason)?, now)
            }
            Kind::Resume if from == self.spec.writer => self.wrote(epoch, at, now),
            Kind::Resume => self.resume(from, epoch, at, now),
            _ => self.refresh(from, epoch, now),
        }
    }

    /// The connection of this epoch is gone; its ends wait to come back.
    pub fn detach(&self, participant: ParticipantId, epoch: AttachEpoch, now: Instant) {
        self.with(|channel, state| {
            if participant == channel.spec.writer {
                state.writer.take_if(|end| end.epoch == epoch);
            }
            for leg in state.legs.iter_mut().filter(|leg| leg.reader == participant) {
                if leg.end.as_ref().is_some_and(|end| end.epoch == epoch) {
                    leg.let_go(if leg.stage == Stage::Late { Stage::Late } else { Stage::Waiting }, now);
                }
            }
            channel.settle(state, now);
        });
    }

    /// Publishes a leg's permission; widening only, for what is taken away ends with [`Self::revoke`].
    pub fn allow(&self, reader: ParticipantId, kinds: u32, epoch: PermissionEpoch) {
        let state = self.state.lock();
        if let Some(leg) = state.legs.iter().find(|leg| leg.reader == reader) {
            leg.shared.gate.set(kinds & self.spec.kinds, epoch);
        }
    }

    /// What time alone brings: a leg left behind, which one that is alone never is, and a refresh that was held back. At
    /// least once a second. Says whether anything was written since the last time.
    pub fn tick(&self, now: Instant) -> bool {
        self.with(|channel, state| {
            if state.refresh_due {
                channel.ask_refresh(state, now);
            }
            if state.legs.len() > 1 {
                channel.settle(state, now);
            }
            let written = state.written.unwrap_or(state.looked_at);
            std::mem::replace(&mut state.looked_at, written) < written
        })
    }

    fn with<R>(&self, act: impl FnOnce(&Self, &mut State) -> R) -> R {
        let (result, notices) = {
            let mut state = self.state.lock();
            let result = act(self, &mut state);
            (result, std::mem::take(&mut state.notices))
        };
        notices.into_iter().for_each(|notice| (self.hearer)(notice));
        result
    }
}
