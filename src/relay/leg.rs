//! One reader's path of a channel: where it stands, what its reader allows, and what was left out for it.
//! Belongs to its channel and is only touched under the channel's lock.

use super::{
    counters::{Label, LineCounters},
    gate::{Gate, Queued},
    outbox::{Flood, LegShared, NEVER, Outbox, Which},
    sync::Ordering,
    window,
};
use crate::{
    engine::event::ChannelSpec,
    ids::{AttachEpoch, ParticipantId, PermissionEpoch},
    limits,
    wire::{Flags, Frame},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Never attached: begins by itself where it is told.
    Fresh,
    Live,
    /// Its connection was lost, or is back and has not yet said where to go on from (W3.3).
    Waiting,
    /// Left behind beside others; a refresh brings it back at the current offset (W1.7).
    Lagged,
    /// Opened while its reader was away: begins at the current offset when that is back (W1.7).
    Late,
}

#[derive(Debug)]
pub(super) struct End {
    pub outbox: Arc<Outbox>,
    pub epoch: AttachEpoch,
}

/// What became of a frame on this leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Offered {
    Queued,
    /// Had already, or from beyond where it waits to go on.
    Duplicate,
    /// Part of a picture left out.
    LeftOut,
    /// A picture that had begun outgrew the queue, or too many frames wait.
    Overrun,
    /// No connection to queue it for.
    Away,
    /// The gate is shut.
    Refused,
}

impl Offered {
    fn count(self, frames: u64, counters: &LineCounters) {
        let outcome = match self {
            Self::Queued => return,
            Self::Duplicate => &counters.duplicate,
            Self::LeftOut => &counters.replaced,
            Self::Overrun | Self::Away => &counters.purged,
            Self::Refused => &counters.refused,
        };
        outcome.add(frames);
    }
}

#[derive(Debug)]
pub(super) struct Leg {
    pub reader: ParticipantId,
    pub shared: Arc<LegShared>,
    pub end: Option<End>,
    pub stage: Stage,
    /// The next byte it has not been offered.
    pub next: u64,
    /// As the reader last said, absolute offsets.
    pub acked: u64,
    pub limit: u64,
    /// What may wait in the outbox before the writer is held back, and what that may grow to (W1.5).
    hold: u64,
    window_max: u64,
    /// Everything had left while the writer waited for credit. Once the reader says that it has it, the leg holds more;
    /// one that does not read fills the system's buffers alone.
    dry: bool,
    /// Bytes left out in all, and those the reader knows of.
    skipped: u64,
    skipped_known: u64,
    /// What was left out beyond `acked`: offset and length.
    gaps: VecDeque<(u64, u64)>,
    /// The frame with FIN was queued.
    finished: bool,
    /// Pictures: the one that is passing is taken.
    taking: bool,
    /// Pictures: only a key picture makes sense.
    pub needs_key: bool,
    /// The last moment it had nothing to acknowledge, or acknowledged something.
    pub progress: Instant,
    /// Since when it is not live.
    pub away_since: Instant,
}

impl Leg {
    pub fn new(spec: &ChannelSpec, label: Label, window_max: u64, reader: ParticipantId, now: Instant) -> Self {
        let first = window(spec.class);
        let shared = LegShared {
            channel: spec.channel,
            class: spec.class,
            label,
            gate: Gate::new(spec.kinds, PermissionEpoch(0)),
            sent: 0.into(),
            limit: first.into(),
            wake_at: NEVER.into(),
        };
        Self {
            reader,
            shared: Arc::new(shared),
            end: None,
            stage: Stage::Fresh,
            next: 0,
            acked: 0,
            limit: first,
            hold: limits::LEG_QUEUE_BYTES_FIRST,
            window_max,
            dry: false,
            skipped: 0,
            skipped_known: 0,
            gaps: VecDeque::new(),
            finished: false,
            taking: false,
            needs_key: false,
            progress: now,
            away_since: now,
        }
    }

    pub fn live(&self) -> Option<&End> {
        self.end.as_ref().filter(|_| self.stage == Stage::Live)
    }

    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Acquire)
    }

    /// Begins at `at` with a first window; what was before is forgotten.
    pub fn begin(&mut self, at: u64, now: Instant) {
        self.next = at;
        self.acked = at;
        self.skipped = 0;
        self.skipped_known = 0;
        self.gaps.clear();
        self.finished = false;
        self.taking = false;
        self.stage = Stage::Live;
        self.progress = now;
        self.limit = at.saturating_add(window(self.shared.class));
        self.shared.sent.store(at, Ordering::Release);
        self.shared.limit.store(self.limit, Ordering::Release);
        if let Some(end) = &self.end {
            end.outbox.open_leg(self.shared.clone());
        }
    }

    /// Lets go of what waits, and of the connection unless it is only left behind.
    pub fn let_go(&mut self, stage: Stage, now: Instant) {
        if let Some(end) = &self.end {
            end.outbox.close_leg(self.shared.channel);
        }
        if stage != Stage::Lagged {
            self.end = None;
        }
        self.stage = stage;
        self.away_since = now;
    }

    /// The reader's word. `false`: it acknowledges what it was never sent.
    pub fn credit(&mut self, acked: u64, limit: u64, now: Instant) -> bool {
        if acked > self.sent() {
            return false;
        }
        if acked > self.acked {
            let took = now.saturating_duration_since(self.progress).as_millis().max(1);
            let of_a_hold = u128::from(acked - self.acked) * u128::from(limits::LEG_QUEUE_LASTS.0) / took;
            if std::mem::take(&mut self.dry) || of_a_hold > u128::from(self.hold) {
                self.hold = (2 * self.hold).min(self.window_max);
            }
            self.acked = acked;
            self.progress = now;
            while let Some((_, len)) = self.gaps.pop_front_if(|(at, len)| *at + *len <= acked) {
                self.skipped_known += len;
            }
        }
        // A window beyond what may wait here would only pretend, and one that ends before what was had says nothing:
        // what was left out for the reader is taken off below, and all of that lies before it.
        let limit = limit.min(acked.saturating_add(self.window_max)).max(self.acked);
        if limit > self.limit {
            self.limit = limit;
            self.shared.limit.store(limit - self.skipped_known, Ordering::Release);
            if let Some(end) = &self.end {
                end.outbox.raised(self.shared.channel);
            }
        }
        true
    }

    /// Bytes it may still be offered within its reader's limit.
    pub fn room(&self) -> u64 {
        let limit = self.shared.limit.load(Ordering::Acquire);
        limit.saturating_sub(self.next.saturating_sub(self.skipped))
    }

    /// How far the writer may write (W1.5): as far as the reader takes, but no more waits here than the leg holds.
    /// `stops` is where the writer stops as far as it knows: one with less than a frame left goes on when all has left.
    pub fn upstream(&self, stops: u64) -> u64 {
        let limit = self.next.saturating_add(self.room());
        let short = stops < self.next.saturating_add(limits::FRAME_PAYLOAD_BYTES_MAX as u64);
        loop {
            let sent = self.shared.sent.load(Ordering::SeqCst);
            let held = sent.saturating_add(self.hold);
            if held >= limit {
                return limit;
            }
            if sent >= self.next {
                return held;
            }
            // The outbox says when half of it has left.
            let half = sent.saturating_add(self.hold / 2);
            let mark = if short { half.min(self.next) } else { half };
            self.shared.wake_at.store(mark, Ordering::SeqCst);
            if self.shared.sent.load(Ordering::SeqCst) < mark {
                return held;
            }
        }
    }

    /// Its writer has to wait for credit, and perhaps everything has left already.
    pub fn starved(&mut self) {
        self.dry |= self.stage == Stage::Live && self.sent() >= self.next;
    }

    /// A key picture would be of use and find room.
    pub fn wants_key(&self) -> bool {
        self.needs_key && self.live().is_some() && self.room() >= window(self.shared.class) / 2
    }

    pub fn stalled(&self, now: Instant) -> bool {
        let waited_for = self.next.saturating_sub(self.acked);
        self.stage == Stage::Live
            && waited_for > 0
            // However much it says that it would take: what it may be offered is less.
            && 2 * waited_for >= self.limit.saturating_sub(self.acked).min(window(self.shared.class))
            && now.saturating_duration_since(self.progress) >= Duration::from_millis(limits::LEG_STALL.0)
    }

    /// Frames of a channel that loses nothing, in order: what it lacks of them is queued.
    pub fn offer(
        &mut self,
        frames: impl ExactSizeIterator<Item = Frame>,
        counters: &LineCounters,
        now: Instant,
    ) -> Result<(), Flood> {
        let offered = frames.len() as u64;
        counters.offered.add(offered);
        let outbox = match self.taker() {
            Ok(outbox) => outbox.clone(),
            Err(why) => {
                why.count(offered, counters);
                return Ok(());
            }
        };
        if self.acked >= self.next {
            self.progress = now;
        }
        let (shared, skipped) = (self.shared.clone(), self.skipped);
        let lacking = frames.filter_map(|frame| self.lacks(frame)).map(|frame| Queued { frame, skipped });
        match outbox.push(&shared, lacking) {
            Ok(queued) => {
                Offered::Duplicate.count(offered - queued, counters);
                Ok(())
            }
            Err(flood) => {
                Offered::Overrun.count(offered - flood.queued, counters);
                Err(flood)
            }
        }
    }

    /// Where its frames go, or why they go nowhere.
    fn taker(&self) -> Result<&Arc<Outbox>, Offered> {
        if self.shared.gate.is_shut() {
            return Err(Offered::Refused);
        }
        self.live().map(|end| &end.outbox).ok_or(Offered::Away)
    }

    /// What it has not been offered of a frame; nothing of one from beyond where it goes on.
    fn lacks(&mut self, mut frame: Frame) -> Option<Frame> {
        let (offset, end) = (frame.header.offset, frame.end());
        let fin = frame.header.flags.has(Flags::FIN) && !self.finished;
        if offset > self.next || end < self.next || (end == self.next && !fin) {
            return None;
        }
        if let Ok(had @ 1..) = usize::try_from(self.next - offset) {
            frame.payload = frame.payload.slice(had..);
            frame.header.offset = self.next;
        }
        self.finished = fin;
        self.next = end;
        Some(frame)
    }

    /// A frame of a picture channel; `again`: not for the first time. Whole pictures are left out where the reader is
    /// behind (W1.7).
    pub fn offer_picture(
        &mut self,
        frame: &Frame,
        again: bool,
        counters: &LineCounters,
        now: Instant,
    ) -> Result<Offered, Flood> {
        counters.offered.add(1);
        let offered = if again { Ok(Offered::Duplicate) } else { self.offer_new_picture(frame, now) };
        offered.unwrap_or(Offered::Overrun).count(1, counters);
        offered
    }

    fn offer_new_picture(&mut self, frame: &Frame, now: Instant) -> Result<Offered, Flood> {
        if let Err(why) = self.taker() {
            return Ok(why);
        }
        let len = frame.payload.len() as u64;
        let flags = frame.header.flags;
        if flags.has(Flags::START) {
            let key = flags.has(Flags::KEY);
            if key && self.needs_key {
                // It stands for all that wait before it.
                self.drop_unbegun(Which::All);
            }
            let room = self.room() >= len && self.gaps.len() < limits::GAPS_MAX;
            self.needs_key |= !room;
            self.taking = room && (key || !self.needs_key);
        } else if self.taking && self.room() < len && self.drop_unbegun(Which::Last) {
            self.taking = false;
            self.needs_key = true;
        }
        if !self.taking {
            self.leave_out(frame.header.offset, len);
            self.next = frame.end();
            return Ok(Offered::LeftOut);
        }
        let waiting = self.next.saturating_sub(self.sent());
        if self.room() < len && waiting + len > self.window_max {
            return Ok(Offered::Overrun);
        }
        let mut frame = frame.clone();
        if flags.has(Flags::START) {
            // Only a key picture gets here where one was needed.
            if std::mem::take(&mut self.needs_key) {
                frame.header.flags = flags.with(Flags::GAP);
            }
        }
        self.queue(frame, now)
    }

    fn queue(&mut self, frame: Frame, now: Instant) -> Result<Offered, Flood> {
        let Some(end) = &self.end else { return Ok(Offered::Away) };
        if self.acked >= self.next {
            self.progress = now;
        }
        self.next = frame.end();
        end.outbox.push(&self.shared, std::iter::once(Queued { frame, skipped: self.skipped }))?;
        Ok(Offered::Queued)
    }

    /// Drops waiting pictures of which nothing has left; the one that is passing may be the last of them.
    fn drop_unbegun(&mut self, which: Which) -> bool {
        let Some(end) = &self.end else { return false };
        let Some((from, dropped)) = end.outbox.drop_pictures(self.shared.channel, which) else { return false };
        while self.gaps.pop_back_if(|(at, _)| *at >= from).is_some() {}
        self.skipped += dropped;
        self.gaps.push_back((from, self.next - from));
        true
    }

    fn leave_out(&mut self, from: u64, len: u64) {
        if len == 0 {
            return;
        }
        self.skipped += len;
        match self.gaps.back_mut() {
            Some((at, gap)) if *at + *gap == from => *gap += len,
            _ => self.gaps.push_back((from, len)),
        }
    }
}
