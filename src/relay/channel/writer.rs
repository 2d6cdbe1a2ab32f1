//! The writer's side of a channel: its connection, its frames, and where it goes on.

use super::{Channel, Fault, Passed, State};
use crate::{
    ids::{AttachEpoch, ParticipantId},
    limits,
    relay::{
        leg::{End, Leg, Offered},
        outbox::{Flood, Outbox},
        window,
    },
    wire::{Flags, Frame, frame::CloseReason},
};
use std::{collections::VecDeque, sync::Arc};
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

    /// Data frames of the writer's, as many of the front of `run` as break no rule, or the one that does: what a
    /// connection brings at once costs one look at legs and credit.
    pub(super) fn frames(
        &self,
        from: ParticipantId,
        epoch: AttachEpoch,
        run: &mut VecDeque<Frame>,
        now: Instant,
    ) -> Result<Passed, Fault> {
        self.with(|channel, state| {
            if from != channel.spec.writer {
                channel.count_read(run.pop_front().iter());
                return Err(Fault::Stranger(from));
            }
            let current = !state.over && state.writer.as_ref().is_some_and(|end| end.epoch == epoch);
            let Some(before) = state.written.filter(|_| current) else {
                channel.count_read(run.pop_front().iter());
                channel.counters.stale.add(1);
                return Ok(Passed::Stale);
            };
            // Of pictures it matters where each came, so they pass one by one.
            let most = if channel.spec.lossy { 1 } else { run.len() };
            let data = run.iter().take(most).take_while(|frame| frame.header.kind.is_data());
            let mut checked = 0;
            let fault = data.inspect(|_| checked += 1).find_map(|frame| channel.check(state, frame, now).err());
            channel.count_read(run.iter().take(checked));
            let fault = match fault {
                Some(_) => {
                    run.drain(..checked);
                    fault
                }
                None if channel.spec.lossy => channel.offer_picture(state, before, run.pop_front(), now),
                None => channel.offer(state, run, checked, now),
            };
            if let Some(fault) = fault {
                channel.fail(state);
                return Err(fault);
            }
            channel.settle(state, now);
            Ok(Passed::Taken)
        })
    }

    fn count_read<'a>(&self, frames: impl Iterator<Item = &'a Frame>) {
        let (read, bytes) = frames.fold((0, 0), |(read, bytes), frame| (read + 1, bytes + frame.payload.len() as u64));
        self.counters.read.add(read);
        self.counters.read_bytes.add(bytes);
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

    /// A frame that breaks no rule is written.
    fn check(&self, state: &mut State, frame: &Frame, now: Instant) -> Result<(), Fault> {
        let written = state.written.unwrap_or(0);
        let (offset, end) = (frame.header.offset, frame.end());
        let fin = frame.header.flags.has(Flags::FIN);
        if Self::held_up(state, end, now) {
            state.legs.iter_mut().for_each(Leg::starved);
        }
        if frame.header.kind.bit() & self.spec.kinds == 0 {
            return Err(Fault::Kind(frame.header.kind));
        }
        if frame.payload.is_empty() && !fin {
            return Err(Fault::Empty);
        }
        if offset > written {
            return Err(Fault::Gap { expected: written, offset });
        }
        if end > state.allowed {
            return Err(Fault::Credit { limit: state.allowed, end });
        }
        let last = state.fin.into_iter().chain(state.closing).min();
        if let Some(at) = last.filter(|last| end > *last) {
            return Err(Fault::AfterEnd { at });
        }
        if offset < written && offset != state.cursor {
            match state.resumes.checked_sub(1) {
                Some(left) => state.resumes = left,
                None => state.repeats += 1,
            }
        }
        state.cursor = end;
        if state.repeats >= limits::REPEATS_MAX {
            return Err(Fault::Repeated);
        }
        state.written = Some(written.max(end));
        if fin {
            state.fin = Some(end);
        }
        Ok(())
    }

    /// The first `count` frames of a run, to all legs; the last of them takes them as they are.
    fn offer(&self, state: &mut State, run: &mut VecDeque<Frame>, count: usize, now: Instant) -> Option<Fault> {
        let Some((last, others)) = state.legs.split_last_mut() else {
            run.drain(..count);
            return None;
        };
        let mut flooded = false;
        for leg in others {
            flooded |= leg.offer(run.iter().take(count).cloned(), &self.counters, now).is_err();
        }
        flooded |= last.offer(run.drain(..count), &self.counters, now).is_err();
        flooded.then_some(Fault::Flood)
    }

    /// `before`: everything up to there had come before it.
    fn offer_picture(&self, state: &mut State, before: u64, frame: Option<Frame>, now: Instant) -> Option<Fault> {
        let frame = frame?;
        let again = frame.header.offset < before;
        let mut overrun = Vec::new();
        for (at, leg) in state.legs.iter_mut().enumerate() {
            match leg.offer_picture(&frame, again, &self.counters, now) {
                Ok(Offered::Overrun) => overrun.push(at),
                Ok(_) => {}
                Err(Flood { .. }) => return Some(Fault::Flood),
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
        let known = if state.recovered { at.saturating_add(self.window_max) } else { first };
        state.allowed = state.allowed.max(known);
        if let Some(writer) = &state.writer {
            // Several readers who come back at once: the writer serves them all from the least, pictures from the most.
            let better = if self.spec.lossy { u64::max } else { u64::min };
            writer.outbox.steer_restart(Frame::resume(self.spec.channel, at), better);
        }
    }
}
