//! How a channel and its legs end: by an end of it, by the owner, by a fault.

use super::{Channel, Fault, Notice, Passed, State};
use crate::{
    ids::{AttachEpoch, ParticipantId},
    relay::{
        leg::{Leg, Stage},
        outbox::Outbox,
    },
    wire::{Frame, frame::CloseReason},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;

/// What the ends of a channel that the owner cut are still to be told. It is said when this is dropped, so that nobody can
/// forget to: whoever cuts many channels wakes their connections once all of them are cut.
#[derive(Default)]
pub struct LastWords(Vec<(Arc<Outbox>, Frame)>);

impl Drop for LastWords {
    fn drop(&mut self) {
        for (outbox, close) in self.0.drain(..) {
            outbox.steer(close);
        }
    }
}

impl Channel {
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

    /// Ends one leg for ever (W2.3). When this returns its gate is shut, its queue is purged, and no byte from the
    /// given offset on reaches the reader, who is told the same in `words`. One that had ended by itself ended where it
    /// did; 0 where there never was such a leg.
    pub fn revoke(&self, reader: ParticipantId, now: Instant, words: &mut LastWords) -> u64 {
        self.with(|channel, state| {
            let before = state.ended.remove(&reader);
            let at = state.legs.iter().position(|leg| leg.reader == reader);
            let last = at.map(|at| channel.cut(state, at, CloseReason::Revoked, now, words));
            channel.settle(state, now);
            last.or(before).unwrap_or(0)
        })
    }

    /// The owner closed the channel: every leg ends where it is. Gives each reader's final offset, also of those whose
    /// end the owner did not ask for before. No notice comes.
    pub fn remove(&self, reason: CloseReason, now: Instant, words: &mut LastWords) -> BTreeMap<ParticipantId, u64> {
        self.with(|channel, state| {
            let mut finals = std::mem::take(&mut state.ended);
            while let Some(reader) = state.legs.first().map(|leg| leg.reader) {
                finals.insert(reader, channel.cut(state, 0, reason, now, words));
            }
            channel.tell_writer_closed(state, reason, words);
            state.over = true;
            finals
        })
    }

    /// Takes a leg away: gate shut, queue purged, reader told. Gives the final offset: where all is finished, that of
    /// the channel, so that a reader who was left behind hears that it missed something.
    fn cut(&self, state: &mut State, at: usize, reason: CloseReason, now: Instant, words: &mut LastWords) -> u64 {
        let mut leg = state.legs.remove(at);
        leg.shared.gate.shut();
        let end = leg.end.as_ref().map(|end| end.outbox.clone());
        leg.let_go(Stage::Waiting, now);
        let last = match state.closing.filter(|_| reason == CloseReason::Finished) {
            Some(closing) => closing.max(leg.sent()),
            None => leg.sent(),
        };
        let told = state.closing.is_some_and(|closing| leg.acked >= closing);
        if let Some(outbox) = end.filter(|_| !told) {
            words.0.push((outbox, Frame::close(self.spec.channel, last, reason)));
        }
        last
    }

    /// One reader is gone for ever; with the last of them the channel.
    pub(super) fn end_leg(&self, state: &mut State, at: usize, reason: CloseReason, now: Instant) {
        if state.legs.len() == 1 {
            self.end(state, reason, now);
            return;
        }
        let reader = state.legs[at].reader;
        let last = self.cut(state, at, reason, now, &mut LastWords::default());
        state.ended.insert(reader, last);
        state.notices.push(Notice::LegEnded { channel: self.spec.channel, reader, at: last, reason });
        self.settle(state, now);
    }

    pub(super) fn end(&self, state: &mut State, reason: CloseReason, now: Instant) {
        let mut words = LastWords::default();
        while let Some(reader) = state.legs.first().map(|leg| leg.reader) {
            let last = self.cut(state, 0, reason, now, &mut words);
            state.ended.insert(reader, last);
        }
        self.tell_writer_closed(state, reason, &mut words);
        state.over = true;
        let at = state.written.unwrap_or(0);
        state.notices.push(Notice::Ended { channel: self.spec.channel, at, reason });
    }

    pub(super) fn fail(&self, state: &mut State) {
        self.counters.faults.add(1);
        self.end(state, CloseReason::Fault, Instant::now());
    }

    /// Says again to an end that goes on sending where and why the channel ended (P6.3).
    pub fn say_over(&self, outbox: &Outbox) {
        let closed = self.state.lock().closed;
        if let Some((at, reason)) = closed {
            outbox.steer(Frame::close(self.spec.channel, at, reason));
        }
    }

    fn tell_writer_closed(&self, state: &mut State, reason: CloseReason, words: &mut LastWords) {
        state.closed.get_or_insert((state.written.unwrap_or(0), reason));
        if let Some(writer) = state.writer.as_ref().filter(|_| !state.over) {
            let close = Frame::close(self.spec.channel, state.written.unwrap_or(0), reason);
            words.0.push((writer.outbox.clone(), close));
        }
    }
}
