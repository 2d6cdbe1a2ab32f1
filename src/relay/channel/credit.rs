//! The account of a channel: what its legs allow together, and when the writer hears of it.

use super::{Channel, Notice, State};
use crate::{
    limits,
    relay::{
        leg::{Leg, Stage},
        window,
    },
    wire::{Frame, frame::CloseReason},
};
use std::time::Duration;
use tokio::time::Instant;

impl Channel {
    /// The one place where credit goes to the writer, laggards are left behind and a finished channel ends.
    pub(super) fn settle(&self, state: &mut State, now: Instant) {
        let Some(written) = state.written.filter(|_| !state.over) else { return };
        if !self.spec.lossy && state.legs.len() > 1 {
            while let Some(at) = state.legs.iter().position(|leg| leg.stalled(now))
                && state.legs.iter().filter(|leg| leg.live().is_some()).count() > 1
            {
                self.leave_behind(state, at, now);
            }
        }
        if let Some((acked, limit)) = self.allowance(state, now) {
            self.tell_credit(state, written, (acked, limit), now);
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

    /// So much has left a reader's outbox that its writer may go on.
    pub fn left(&self, now: Instant) {
        self.with(|channel, state| channel.settle(state, now));
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
            Stage::Live if self.spec.lossy => (leg.acked, leg.next.saturating_add(leg.room())),
            Stage::Live => (leg.acked, leg.upstream(state.told)),
            _ => (leg.acked, leg.limit),
        };
        let words = state.legs.iter().filter(counts).map(word);
        match self.spec.lossy {
            true => words.reduce(|(a, l), (acked, limit)| (a.max(acked), l.max(limit))),
            false => words.reduce(|(a, l), (acked, limit)| (a.min(acked), l.min(limit))),
        }
    }

    /// A frame that ends here has come. Was it credit that its writer waited for, however far away it is? Then it uses
    /// what it was told of within two round trips.
    pub(super) fn held_up(state: &mut State, end: u64, now: Instant) -> bool {
        let round_trip = state.writer.as_ref().map_or(Duration::ZERO, |writer| writer.outbox.round_trip());
        let beyond = state.stop.take_if(|(stop, _)| end > *stop);
        beyond.is_some_and(|(_, told)| now.saturating_duration_since(told) < 2 * round_trip)
    }

    /// Credit is due at half a window, or sooner for a writer that is about to stop, the more so where all has left and
    /// the next frame may be a large one; never for crumbs.
    fn tell_credit(&self, state: &mut State, written: u64, (acked, limit): (u64, u64), now: Instant) {
        let Some(writer) = &state.writer else { return };
        let window = window(self.spec.class);
        let left = state.told.saturating_sub(written);
        let more = limit.saturating_sub(state.told);
        let news = acked.saturating_sub(state.acked_told);
        let last = state.fin.or(state.closing).is_some_and(|last| acked >= last);
        let all_left = || state.legs.iter().all(|leg| leg.sent() >= leg.next);
        let due = more >= window / 2
            || (left < window / 2 && more >= window / 8)
            || (more >= limits::CREDIT_LEAST && left < limits::FRAME_PAYLOAD_BYTES_MAX as u64 && all_left())
            || (left == 0 && more > 0)
            || news >= window / 2
            || (last && news > 0);
        if due {
            if more > 0 && state.stop.is_none() {
                state.stop = Some((state.told, now));
            }
            state.told = state.told.max(limit);
            state.allowed = state.allowed.max(state.told);
            state.acked_told = state.acked_told.max(acked);
            writer.outbox.steer(Frame::credit(self.spec.channel, state.acked_told, state.told));
        }
    }
}
