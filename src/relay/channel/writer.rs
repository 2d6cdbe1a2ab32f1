//! The writer's side of a channel: its connection, its frames, and where it goes on.

use super::{Channel, Fault, Passed, State};
use crate::{
    ids::{AttachEpoch, ParticipantId},
    limits,
    relay::{
        leg::{End, Leg, Offered},
        outbox::Outbox,
        window,
    },
    wire::{Flags, Frame, frame::CloseReason},
};
use std::sync::Arc;
use tokio::time::Instant;

impl Channel {
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
            if Self::stood_still(state, frame.end(), now) {
                state.legs.iter_mut().for_each(Leg::starved);
            }
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
    pub(super) fn wrote(&self, epoch: AttachEpoch, end: u64, now: Instant) -> Result<Passed, Fault> {
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

    /// RESUME sets the writer's credit to a first window from there; it acknowledges nothing.
    pub(super) fn restart_writer(&self, state: &mut State, at: u64) {
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
}
