//! A directed channel: one writer, its reader legs, and the credit that goes back. Frames pass without visiting the
//! owner; the owner opens, revokes and removes, and hears of an end through a notice.

use super::{
    counters::{Label, LineCounters, RelayCounters},
    leg::{End, Leg, Offered, Stage},
    outbox::Outbox,
    window,
};
use crate::{
    engine::event::ChannelSpec,
    ids::{AttachEpoch, ChannelId, ParticipantId, PermissionEpoch},
    limits,
    wire::{CloseCode, Flags, Frame, Kind, frame::CloseReason},
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
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
    /// What its writer said that it wrote in all: after a restart nobody may claim to have more (W3.3).
    wrote: Option<u64>,
    /// The limit the writer knows of, and the most it was ever allowed.
    told: u64,
    allowed: u64,
    acked_told: u64,
    /// The writer's last byte, after a frame with FIN.
    fin: Option<u64>,
    closing: Option<u64>,
    /// Where the writer's next frame would follow its last, how often it was told to go back, and how often it went
    /// back by itself (H-45).
    cursor: u64,
    resumes: u32,
    repeats: u32,
    over: bool,
    legs: Vec<Leg>,
    refreshed: Option<Instant>,
    refresh_due: bool,
    notices: Vec<Notice>,
}

impl Channel {
    /// A channel that has just been opened: everybody begins at 0.
    pub fn new(
        spec: ChannelSpec,
        label: impl Into<Label>,
        counters: &RelayCounters,
        hearer: Hearer,
        now: Instant,
    ) -> Arc<Self> {
        Self::with_written(spec, Some(0), label.into(), counters, hearer, now)
    }

    /// A channel from before a restart: readers say where they are, and the writer goes on from there (W3.3).
    pub fn recovered(
        spec: ChannelSpec,
        label: impl Into<Label>,
        counters: &RelayCounters,
        hearer: Hearer,
        now: Instant,
    ) -> Arc<Self> {
        Self::with_written(spec, None, label.into(), counters, hearer, now)
    }

    fn with_written(
        spec: ChannelSpec,
        written: Option<u64>,
        label: Label,
        counters: &RelayCounters,
        hearer: Hearer,
        now: Instant,
    ) -> Arc<Self> {
        let first = window(spec.class);
        let recovered = written.is_none();
        let mut legs: Vec<_> = spec.readers.iter().map(|reader| Leg::new(&spec, label, *reader, now)).collect();
        if recovered {
            legs.iter_mut().for_each(|leg| leg.stage = Stage::Waiting);
        }
        let state = State {
            writer: None,
            writer_came: recovered,
            written,
            recovered,
            wrote: None,
            told: first,
            allowed: first,
            acked_told: 0,
            fin: None,
            closing: None,
            cursor: 0,
            resumes: 0,
            repeats: 0,
            over: false,
            legs,
            refreshed: None,
            refresh_due: false,
            notices: Vec::new(),
        };
        let counters = counters.of(label).clone();
        Arc::new(Self { spec, label, counters, hearer, state: Mutex::new(state) })
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

    /// Anything that comes from a connection for this channel, data and steering alike.
    pub fn receive(
        &self,
        from: ParticipantId,
        epoch: AttachEpoch,
        frame: Frame,
        now: Instant,
    ) -> Result<Passed, Fault> {
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
            Kind::Refresh => self.refresh(from, epoch, now),
            _ => self.frame(from, epoch, frame, now),
        }
    }

    // ---- the writer's side ----

    /// The writer's connection. One that comes back is told where to go on.
    pub fn attach_writer(&self, outbox: Arc<Outbox>, epoch: AttachEpoch, now: Instant) {
        self.with(|channel, state| {
            if state.over || state.writer.as_ref().is_some_and(|end| end.epoch >= epoch) {
                return;
            }
            state.writer = Some(End { outbox, epoch });
            if std::mem::replace(&mut state.writer_came, true) {
                if channel.spec.lossy {
                    state.legs.iter_mut().for_each(|leg| leg.needs_key = true);
                }
                let furthest = state.written;
                let behind = state.legs.iter().filter(|leg| leg.live().is_some()).map(|leg| leg.next).min();
                if let Some(at) = furthest.map(|written| behind.map_or(written, |behind| behind.min(written))) {
                    channel.restart_writer(state, at);
                }
            }
            channel.settle(state, now);
        });
    }

    /// A data frame of the writer's.
    pub fn frame(&self, from: ParticipantId, epoch: AttachEpoch, frame: Frame, now: Instant) -> Result<Passed, Fault> {
        self.with(|channel, state| {
            let counters = &channel.counters;
            counters.read.add(1);
            counters.read_bytes.add(frame.payload.len() as u64);
            if from != channel.spec.writer {
                return Err(Fault::Stranger(from));
            }
            let current = !state.over && state.writer.as_ref().is_some_and(|end| end.epoch == epoch);
            let Some(written) = state.written.filter(|_| current) else {
                counters.stale.add(1);
                return Ok(Passed::Stale);
            };
            let fault = channel.check(state, written, &frame).or_else(|| channel.offer(state, &frame, now));
            if let Some(fault) = fault {
                channel.fail(state);
                return Err(fault);
            }
            state.written = Some(written.max(frame.end()));
            if frame.header.flags.has(Flags::FIN) {
                state.fin = Some(frame.end());
            }
            channel.settle(state, now);
            Ok(Passed::Taken)
        })
    }

    /// A writer that came back says how far it wrote (W3.3). A reader who claims more is at fault; a writer that knows
    /// of less than was passed on keeps it no more.
    fn wrote(&self, epoch: AttachEpoch, end: u64, now: Instant) -> Result<Passed, Fault> {
        self.with(|channel, state| {
            if state.over || state.writer.as_ref().is_none_or(|writer| writer.epoch != epoch) {
                return Ok(Passed::Stale);
            }
            state.wrote = Some(end);
            let Some(written) = state.written else {
                channel.begin_at_the_end(state, now);
                return Ok(Passed::Taken);
            };
            if written <= end {
                return Ok(Passed::Taken);
            }
            if !state.recovered {
                channel.end(state, CloseReason::Gap, now);
                return Ok(Passed::Taken);
            }
            state.written = Some(end);
            state.cursor = end;
            while let Some(at) = state.legs.iter().position(|leg| leg.next > end).filter(|_| !state.over) {
                channel.counters.faults.add(1);
                channel.end_leg(state, at, CloseReason::Fault, now);
            }
            if !state.over {
                let behind = state.legs.iter().filter(|leg| leg.live().is_some()).map(|leg| leg.next).min();
                channel.restart_writer(state, behind.unwrap_or(end));
                channel.settle(state, now);
            }
            Ok(Passed::Taken)
        })
    }

    // ---- the readers' side ----

    /// A reader's connection. The first begins where the channel does; one that comes back says where it goes on.
    /// Gives the offset at which `opened` tells it to start: one that comes back knows better. `None` where it has no
    /// leg any more.
    pub fn attach_reader(
        &self,
        reader: ParticipantId,
        outbox: Arc<Outbox>,
        epoch: AttachEpoch,
        now: Instant,
    ) -> Option<u64> {
        self.with(|channel, state| {
            let over = state.over;
            let leg = state.legs.iter_mut().find(|leg| leg.reader == reader)?;
            if over || leg.end.as_ref().is_some_and(|end| end.epoch >= epoch) {
                return Some(leg.acked);
            }
            let (first, late) = (leg.stage == Stage::Fresh, leg.stage == Stage::Late);
            leg.let_go(if late { Stage::Late } else { Stage::Waiting }, now);
            leg.end = Some(End { outbox, epoch });
            match state.written {
                Some(written) if late || channel.spec.lossy => channel.join(state, reader, written, now),
                Some(written) if first && state.acked_told > 0 => channel.join(state, reader, written, now),
                Some(written) if first => {
                    leg.begin(0, now);
                    if written > 0 {
                        channel.restart_writer(state, 0);
                    }
                }
                // It says where with a RESUME.
                _ => {}
            }
            channel.settle(state, now);
            state.legs.iter().find(|leg| leg.reader == reader).map(|leg| leg.acked)
        })
    }

    /// A reader who comes later: begins at the current offset, which is given back, and the writer is asked to show
    /// everything again.
    pub fn open_leg(&self, reader: ParticipantId, outbox: Arc<Outbox>, epoch: AttachEpoch, now: Instant) -> u64 {
        self.with(|channel, state| {
            let written = state.written.unwrap_or(0);
            if state.over {
                return written;
            }
            if !state.legs.iter().any(|leg| leg.reader == reader) {
                state.legs.push(Leg::new(&channel.spec, channel.label, reader, now));
            }
            if let Some(leg) = state.legs.iter_mut().find(|leg| leg.reader == reader) {
                leg.let_go(Stage::Waiting, now);
                leg.end = Some(End { outbox, epoch });
            }
            if state.written.is_some() {
                channel.join(state, reader, written, now);
            }
            channel.settle(state, now);
            written
        })
    }

    /// A reader who comes later and is away: its leg begins when it is back.
    pub fn expect_leg(&self, reader: ParticipantId, now: Instant) {
        self.with(|channel, state| {
            if !state.over && !state.legs.iter().any(|leg| leg.reader == reader) {
                let mut leg = Leg::new(&channel.spec, channel.label, reader, now);
                leg.stage = Stage::Late;
                state.legs.push(leg);
            }
        });
    }

    /// Whose legs there are.
    pub fn readers(&self) -> Vec<ParticipantId> {
        self.state.lock().legs.iter().map(|leg| leg.reader).collect()
    }

    /// The reader's word on what it had and what it may be sent (W1.5).
    pub fn credit(
        &self,
        reader: ParticipantId,
        epoch: AttachEpoch,
        acked: u64,
        limit: u64,
        now: Instant,
    ) -> Result<Passed, Fault> {
        self.of_reader(reader, epoch, |channel, state, at| {
            let leg = &mut state.legs[at];
            if leg.stage != Stage::Live {
                return Ok(Passed::Stale);
            }
            if !leg.credit(acked, limit, now) {
                let fault = Fault::Acked { sent: leg.sent(), acked };
                channel.end_leg(state, at, CloseReason::Fault, now);
                return Err(fault);
            }
            if leg.wants_key() {
                channel.ask_refresh(state, now);
            }
            channel.settle(state, now);
            Ok(Passed::Taken)
        })
    }

    /// A reader says from where it goes on (W3.3). Pictures are refreshed, not replayed.
    pub fn resume(&self, reader: ParticipantId, epoch: AttachEpoch, next: u64, now: Instant) -> Result<Passed, Fault> {
        self.of_reader(reader, epoch, |channel, state, at| {
            let most = match (state.recovered, state.written, state.wrote) {
                (true, written, Some(wrote)) => Some(written.unwrap_or(0).max(wrote)),
                (true, _, None) => None,
                (false, written, _) => written,
            };
            if let Some(written) = most.filter(|most| next > *most) {
                channel.counters.faults.add(1);
                channel.end_leg(state, at, CloseReason::Fault, now);
                return Err(Fault::Ahead { next, written });
            }
            if channel.spec.lossy {
                let from = state.written.unwrap_or(next).max(next);
                if state.written != Some(from) {
                    state.written = Some(from);
                    channel.restart_writer(state, from);
                }
                channel.join(state, reader, from, now);
                channel.join_the_late(state, now);
                channel.settle(state, now);
                return Ok(Passed::Taken);
            }
            let beside = state.legs.iter().enumerate().any(|(other, leg)| other != at && leg.live().is_some());
            if next < state.acked_told && beside {
                channel.end_leg(state, at, CloseReason::Gap, now);
                return Ok(Passed::Taken);
            }
            state.legs[at].begin(next, now);
            if state.written.is_none_or(|written| next < written) {
                state.written.get_or_insert(next);
                channel.restart_writer(state, next);
            }
            channel.join_the_late(state, now);
            if let (Some(last), Some(end)) = (state.closing, state.legs[at].live()) {
                end.outbox.steer(Frame::close(channel.spec.channel, last, CloseReason::Finished));
            }
            channel.settle(state, now);
            Ok(Passed::Taken)
        })
    }

    /// The reader wants a key picture or a whole screen; one left behind comes back with it, and so does one whose
    /// place nobody knows.
    pub fn refresh(&self, reader: ParticipantId, epoch: AttachEpoch, now: Instant) -> Result<Passed, Fault> {
        self.of_reader(reader, epoch, |channel, state, at| {
            match (state.legs[at].stage, state.written) {
                (Stage::Live | Stage::Fresh, _) => channel.ask_refresh(state, now),
                (_, Some(written)) => channel.join(state, reader, written, now),
                (_, None) => {
                    state.legs[at].stage = Stage::Late;
                    channel.begin_at_the_end(state, now);
                }
            }
            channel.settle(state, now);
            Ok(Passed::Taken)
        })
    }

    // ---- both sides ----

    /// An end is done with the channel; `at` is the last offset it means (W1.8).
    pub fn close(
        &self,
        from: ParticipantId,
        epoch: AttachEpoch,
        at: u64,
        reason: CloseReason,
        now: Instant,
    ) -> Result<Passed, Fault> {
        if from != self.spec.writer {
            return self.of_reader(from, epoch, |channel, state, leg| {
                let reason = if reason == CloseReason::Failed { reason } else { CloseReason::Cancelled };
                channel.end_leg(state, leg, reason, now);
                Ok(Passed::Taken)
            });
        }
        self.with(|channel, state| {
            if state.over || state.writer.as_ref().is_none_or(|end| end.epoch != epoch) {
                return Ok(Passed::Stale);
            }
            if reason != CloseReason::Finished || channel.spec.lossy {
                let reason = match reason {
                    CloseReason::Finished | CloseReason::Gap | CloseReason::Failed => reason,
                    _ => CloseReason::Cancelled,
                };
                channel.end(state, reason, now);
                return Ok(Passed::Taken);
            }
            let written = state.written.unwrap_or(at);
            if at < written || at > state.allowed.max(written) {
                channel.fail(state);
                return Err(Fault::AfterEnd { at });
            }
            state.closing = Some(at);
            for end in state.legs.iter().filter_map(Leg::live) {
                end.outbox.steer(Frame::close(channel.spec.channel, at, reason));
            }
            channel.settle(state, now);
            Ok(Passed::Taken)
        })
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

    // ---- for the owner ----

    /// Publishes a leg's permission; widening only, for what is taken away ends with [`Self::revoke`].
    pub fn allow(&self, reader: ParticipantId, kinds: u32, epoch: PermissionEpoch) {
        let state = self.state.lock();
        if let Some(leg) = state.legs.iter().find(|leg| leg.reader == reader) {
            leg.shared.gate.set(kinds & self.spec.kinds, epoch);
        }
    }

    /// Ends one leg for ever (W2.3). When this returns its gate is shut, its queue is purged, and no byte from the
    /// given offset on reaches the reader. 0 where there is no such leg.
    pub fn revoke(&self, reader: ParticipantId, now: Instant) -> u64 {
        self.with(|channel, state| {
            let at = state.legs.iter().position(|leg| leg.reader == reader);
            let last = at.map_or(0, |at| channel.cut(state, at, CloseReason::Revoked, now));
            channel.settle(state, now);
            last
        })
    }

    /// The owner closed the channel: every leg ends where it is. Gives each reader's final offset. No notice comes.
    pub fn remove(&self, reason: CloseReason, now: Instant) -> Vec<(ParticipantId, u64)> {
        self.with(|channel, state| {
            let finals = state.legs.iter().map(|leg| leg.reader).collect::<Vec<_>>();
            let finals = finals.into_iter().map(|reader| {
                let at = state.legs.iter().position(|leg| leg.reader == reader).unwrap_or(0);
                (reader, channel.cut(state, at, reason, now))
            });
            let finals = finals.collect();
            channel.tell_writer_closed(state, reason);
            state.over = true;
            finals
        })
    }

    /// What time alone brings: a leg left behind, a refresh that was held back. At least once a second.
    pub fn tick(&self, now: Instant) {
        self.with(|channel, state| {
            if state.refresh_due {
                channel.ask_refresh(state, now);
            }
            channel.settle(state, now);
        });
    }

    // ---- inside ----

    fn with<R>(&self, act: impl FnOnce(&Self, &mut State) -> R) -> R {
        let (result, notices) = {
            let mut state = self.state.lock();
            let result = act(self, &mut state);
            (result, std::mem::take(&mut state.notices))
        };
        notices.into_iter().for_each(|notice| (self.hearer)(notice));
        result
    }

    fn of_reader(
        &self,
        reader: ParticipantId,
        epoch: AttachEpoch,
        act: impl FnOnce(&Self, &mut State, usize) -> Result<Passed, Fault>,
    ) -> Result<Passed, Fault> {
        self.with(|channel, state| {
            let Some(at) = state.legs.iter().position(|leg| leg.reader == reader) else {
                let known = channel.spec.readers.contains(&reader) || state.over;
                return if known { Ok(Passed::Stale) } else { Err(Fault::Stranger(reader)) };
            };
            if state.over || state.legs[at].end.as_ref().is_none_or(|end| end.epoch != epoch) {
                return Ok(Passed::Stale);
            }
            act(channel, state, at)
        })
    }

    fn check(&self, state: &mut State, written: u64, frame: &Frame) -> Option<Fault> {
        let (offset, end) = (frame.header.offset, frame.end());
        if frame.header.kind.bit() & self.spec.kinds == 0 {
            return Some(Fault::Kind(frame.header.kind));
        }
        if frame.payload.is_empty() && !frame.header.flags.has(Flags::FIN) {
            return Some(Fault::Empty);
        }
        if offset > written {
            return Some(Fault::Gap { expected: written, offset });
        }
        if end > state.allowed {
            return Some(Fault::Credit { limit: state.allowed, end });
        }
        let last = state.fin.into_iter().chain(state.closing).min();
        if let Some(at) = last.filter(|last| end > *last) {
            return Some(Fault::AfterEnd { at });
        }
        if offset < written && offset != state.cursor {
            match state.resumes.checked_sub(1) {
                Some(left) => state.resumes = left,
                None => state.repeats += 1,
            }
        }
        state.cursor = end;
        (state.repeats >= limits::REPEATS_MAX).then_some(Fault::Repeated)
    }

    fn offer(&self, state: &mut State, frame: &Frame, now: Instant) -> Option<Fault> {
        let counters = &self.counters;
        let again = state.written.is_some_and(|written| frame.header.offset < written);
        let mut overrun = Vec::new();
        for (at, leg) in state.legs.iter_mut().enumerate() {
            let offered = match self.spec.lossy {
                true if again => Ok(Offered::Duplicate),
                true => leg.offer_picture(frame, now),
                false => leg.offer(frame, now),
            };
            let Ok(offered) = offered else { return Some(Fault::Flood) };
            leg.count(offered, counters);
            if offered == Offered::Overrun {
                overrun.push(at);
            }
        }
        overrun.into_iter().for_each(|at| self.leave_behind(state, at, now));
        if state.legs.iter().any(Leg::wants_key) {
            self.ask_refresh(state, now);
        }
        None
    }

    /// The one place where credit goes to the writer, laggards are left behind and a finished channel ends.
    fn settle(&self, state: &mut State, now: Instant) {
        let Some(written) = state.written.filter(|_| !state.over) else { return };
        if !self.spec.lossy && state.legs.len() > 1 {
            while let Some(at) = state.legs.iter().position(|leg| leg.stalled(now))
                && state.legs.iter().filter(|leg| leg.live().is_some()).count() > 1
            {
                self.leave_behind(state, at, now);
            }
        }
        if let Some((acked, limit)) = self.allowance(state, now) {
            self.tell_credit(state, written, acked, limit);
        }
        if let Some(last) = state.closing
            && written >= last
            && state.legs.iter().all(|leg| leg.acked >= last || matches!(leg.stage, Stage::Lagged | Stage::Late))
        {
            state.over = true;
            let ended = Notice::Ended { channel: self.spec.channel, at: last, reason: CloseReason::Finished };
            state.notices.push(ended);
        }
    }

    /// What the legs that count allow together: the least of what lossless legs do, the most of what pictures do. A
    /// leg whose connection is lost counts until it has been away as long as a stalled one may be, or while alone.
    fn allowance(&self, state: &State, now: Instant) -> Option<(u64, u64)> {
        let beside = state.legs.iter().any(|leg| leg.live().is_some());
        let patience = Duration::from_millis(limits::LEG_STALL.0);
        let counts = |leg: &&Leg| match leg.stage {
            Stage::Live => true,
            Stage::Lagged => false,
            Stage::Late => !self.spec.lossy && !beside,
            Stage::Fresh | Stage::Waiting => {
                !self.spec.lossy && (!beside || now.saturating_duration_since(leg.away_since) < patience)
            }
        };
        let word = |leg: &Leg| match leg.stage {
            Stage::Live => (leg.acked, leg.next.saturating_add(leg.room())),
            _ => (leg.acked, leg.limit),
        };
        let words = state.legs.iter().filter(counts).map(word);
        match self.spec.lossy {
            true => words.reduce(|(a, l), (acked, limit)| (a.max(acked), l.max(limit))),
            false => words.reduce(|(a, l), (acked, limit)| (a.min(acked), l.min(limit))),
        }
    }

    /// Credit is due at half a window, or sooner for a writer that is about to stop; never for crumbs.
    fn tell_credit(&self, state: &mut State, written: u64, acked: u64, limit: u64) {
        let Some(writer) = &state.writer else { return };
        let window = window(self.spec.class);
        let left = state.told.saturating_sub(written);
        let more = limit.saturating_sub(state.told);
        let news = acked.saturating_sub(state.acked_told);
        let last = state.fin.or(state.closing).is_some_and(|last| acked >= last);
        let due = more >= window / 2
            || (left < window / 2 && more >= window / 8)
            || (left == 0 && more > 0)
            || news >= window / 2
            || (last && news > 0);
        if due {
            state.told = state.told.max(limit);
            state.allowed = state.allowed.max(state.told);
            state.acked_told = state.acked_told.max(acked);
            writer.outbox.steer(Frame::credit(self.spec.channel, state.acked_told, state.told));
        }
    }

    /// RESUME sets the writer's credit to a first window from there; it acknowledges nothing.
    fn restart_writer(&self, state: &mut State, at: u64) {
        // The window that goes with the word may not pass what any reader allows, or a frame could end beyond it and
        // wait for ever: so the writer goes on a little earlier, and what a reader had is cut off.
        let allowed = state.legs.iter().filter(|leg| leg.live().is_some()).map(|leg| leg.limit).min();
        let at = match allowed.filter(|_| !self.spec.lossy) {
            Some(allowed) => at.min(allowed.saturating_sub(window(self.spec.class))).max(state.acked_told.min(at)),
            None => at,
        };
        let first = at.saturating_add(window(self.spec.class));
        // Never more than the writer will know of, should this word be merged with one that waits.
        state.told = if self.spec.lossy { first } else { state.told.min(first) };
        state.resumes = state.resumes.saturating_add(1);
        // A writer from before a restart may hold credit that nobody here remembers.
        let known = if state.recovered { at.saturating_add(limits::WINDOW_BYTES_MAX) } else { first };
        state.allowed = state.allowed.max(known);
        if let Some(writer) = &state.writer {
            // Several readers who come back at once: the writer serves them all from the least, pictures from the most.
            let better = if self.spec.lossy { u64::max } else { u64::min };
            writer.outbox.steer_restart(Frame::resume(self.spec.channel, at), better);
        }
    }

    /// A leg begins at the current offset, after a refresh.
    fn join(&self, state: &mut State, reader: ParticipantId, written: u64, now: Instant) {
        if let Some(leg) = state.legs.iter_mut().find(|leg| leg.reader == reader) {
            leg.begin(written, now);
            leg.needs_key = self.spec.lossy && written > 0;
        }
        if written > 0 {
            self.ask_refresh(state, now);
        }
    }

    /// After a restart: nobody remembers how far anybody was, but a reader who wants only what comes is there, and the
    /// writer said where it is.
    fn begin_at_the_end(&self, state: &mut State, now: Instant) {
        let waits = state.legs.iter().any(|leg| leg.stage == Stage::Late && leg.end.is_some());
        if let (None, Some(end), true) = (state.written, state.wrote, waits) {
            state.written = Some(end);
            state.cursor = end;
            self.restart_writer(state, end);
            self.join_the_late(state, now);
        }
    }

    /// Those who came later and are there, the place of the channel being known.
    fn join_the_late(&self, state: &mut State, now: Instant) {
        let Some(written) = state.written else { return };
        let here = |leg: &&Leg| leg.stage == Stage::Late && leg.end.is_some();
        let late: Vec<_> = state.legs.iter().filter(here).map(|leg| leg.reader).collect();
        late.into_iter().for_each(|reader| self.join(state, reader, written, now));
    }

    fn ask_refresh(&self, state: &mut State, now: Instant) {
        let interval = Duration::from_millis(limits::REFRESH_INTERVAL.0);
        let soon = state.refreshed.is_some_and(|asked| now.saturating_duration_since(asked) < interval);
        state.refresh_due = soon || state.writer.is_none();
        if let Some(writer) = state.writer.as_ref().filter(|_| !soon) {
            state.refreshed = Some(now);
            self.counters.refreshes.add(1);
            writer.outbox.steer(Frame::refresh(self.spec.channel));
        }
    }

    fn leave_behind(&self, state: &mut State, at: usize, now: Instant) {
        let leg = &mut state.legs[at];
        leg.let_go(Stage::Lagged, now);
        if let Some(end) = &leg.end {
            end.outbox.steer(Frame::close(self.spec.channel, leg.sent(), CloseReason::Lagged));
        }
        self.counters.lagged.add(1);
        state.notices.push(Notice::Lagged { channel: self.spec.channel, reader: leg.reader });
    }

    /// Takes a leg away: gate shut, queue purged, reader told. Gives the final offset.
    fn cut(&self, state: &mut State, at: usize, reason: CloseReason, now: Instant) -> u64 {
        let mut leg = state.legs.remove(at);
        leg.shared.gate.shut();
        let end = leg.end.as_ref().map(|end| end.outbox.clone());
        leg.let_go(Stage::Waiting, now);
        let last = leg.sent();
        let told = state.closing.is_some_and(|closing| leg.acked >= closing);
        if let Some(outbox) = end.filter(|_| !told) {
            outbox.steer(Frame::close(self.spec.channel, last, reason));
        }
        last
    }

    /// One reader is gone for ever; with the last of them the channel.
    fn end_leg(&self, state: &mut State, at: usize, reason: CloseReason, now: Instant) {
        if state.legs.len() == 1 {
            self.end(state, reason, now);
            return;
        }
        let reader = state.legs[at].reader;
        let last = self.cut(state, at, reason, now);
        state.notices.push(Notice::LegEnded { channel: self.spec.channel, reader, at: last, reason });
        self.settle(state, now);
    }

    fn end(&self, state: &mut State, reason: CloseReason, now: Instant) {
        while !state.legs.is_empty() {
            self.cut(state, 0, reason, now);
        }
        self.tell_writer_closed(state, reason);
        state.over = true;
        let at = state.written.unwrap_or(0);
        state.notices.push(Notice::Ended { channel: self.spec.channel, at, reason });
    }

    fn fail(&self, state: &mut State) {
        self.counters.faults.add(1);
        self.end(state, CloseReason::Fault, Instant::now());
    }

    fn tell_writer_closed(&self, state: &mut State, reason: CloseReason) {
        if let Some(writer) = state.writer.as_ref().filter(|_| !state.over) {
            writer.outbox.steer(Frame::close(self.spec.channel, state.written.unwrap_or(0), reason));
        }
    }
}
