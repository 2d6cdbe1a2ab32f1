//! The readers' side of a channel: their connections, their credit, and what becomes of one that is late or slow.

use super::{Channel, Fault, Notice, Passed, State};
use crate::{
    ids::{AttachEpoch, ParticipantId},
    limits,
    relay::{
        leg::{End, Leg, Stage},
        outbox::Outbox,
    },
    wire::{Frame, frame::CloseReason},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

impl Channel {
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
                state.legs.push(Leg::new(&channel.spec, channel.label, channel.window_max, reader, now));
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
                let mut leg = Leg::new(&channel.spec, channel.label, channel.window_max, reader, now);
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

    pub(super) fn of_reader(
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

    /// A leg begins at the current offset, after a refresh.
    pub(super) fn join(&self, state: &mut State, reader: ParticipantId, written: u64, now: Instant) {
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
    pub(super) fn begin_at_the_end(&self, state: &mut State, now: Instant) {
        let waits = state.legs.iter().any(|leg| leg.stage == Stage::Late && leg.end.is_some());
        if let (None, Some(end), true) = (state.written, state.wrote, waits) {
            state.written = Some(end);
            state.cursor = end;
            self.restart_writer(state, end);
            self.join_the_late(state, now);
        }
    }

    /// Those who came later and are there, the place of the channel being known.
    pub(super) fn join_the_late(&self, state: &mut State, now: Instant) {
        let Some(written) = state.written else { return };
        let here = |leg: &&Leg| leg.stage == Stage::Late && leg.end.is_some();
        let late: Vec<_> = state.legs.iter().filter(here).map(|leg| leg.reader).collect();
        late.into_iter().for_each(|reader| self.join(state, reader, written, now));
    }

    pub(super) fn ask_refresh(&self, state: &mut State, now: Instant) {
        let interval = Duration::from_millis(limits::REFRESH_INTERVAL.0);
        let soon = state.refreshed.is_some_and(|asked| now.saturating_duration_since(asked) < interval);
        state.refresh_due = soon || state.writer.is_none();
        if let Some(writer) = state.writer.as_ref().filter(|_| !soon) {
            state.refreshed = Some(now);
            self.counters.refreshes.add(1);
            writer.outbox.steer(Frame::refresh(self.spec.channel));
        }
    }

    pub(super) fn leave_behind(&self, state: &mut State, at: usize, now: Instant) {
        let leg = &mut state.legs[at];
        leg.let_go(Stage::Lagged, now);
        if let Some(end) = &leg.end {
            end.outbox.steer(Frame::close(self.spec.channel, leg.sent(), CloseReason::Lagged));
        }
        self.counters.lagged.add(1);
        state.notices.push(Notice::Lagged { channel: self.spec.channel, reader: leg.reader });
    }
}
