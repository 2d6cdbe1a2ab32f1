//! What a tool holds of a channel: its reader or its writer.

use super::{Channel, ChannelEnd, Chunk, Ended, Part};
use crate::{
    client::state::{Shared, State},
    ids::ChannelId,
    limits,
    wire::{
        Flags, Frame, Header, Kind,
        control::{ChannelView, Class},
        frame::CloseReason,
    },
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Notify;

/// What a reader and a writer share: a place in the client's state.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    id: ChannelId,
    changed: Arc<Notify>,
}

impl Handle {
    fn claim(shared: Arc<Shared>, view: &ChannelView, part: Part) -> Self {
        let id = ChannelId(view.channel);
        let changed = {
            let mut state = shared.state();
            let channel = state.channel(view, 0);
            channel.part = part;
            let changed = channel.changed.clone();
            state.serve(id);
            changed
        };
        shared.work.notify_one();
        Self { shared, id, changed }
    }

    /// Looks at the channel and does something to it; what follows from that is sent.
    fn with<T>(&self, act: impl FnOnce(&mut Channel) -> T) -> Option<T> {
        let mut state = self.shared.state();
        let done = state.channels.get_mut(&self.id).map(act)?;
        self.served(&mut state);
        Some(done)
    }

    fn served(&self, state: &mut State) {
        state.serve(self.id);
        if state.has_work() {
            self.shared.work.notify_one();
        }
    }

    fn close(&self, reason: CloseReason) {
        self.with(|channel| {
            let all_taken = |ended: Ended| ended.reason == CloseReason::Finished && channel.reading.taken >= ended.at;
            let read = channel.part == Part::Reader && channel.ended.is_some_and(all_taken);
            if channel.closing.is_some() || channel.over || read {
                return;
            }
            channel.closing = Some(reason);
            if channel.part == Part::Writer && reason != CloseReason::Finished {
                let writing = &mut channel.writing;
                writing.kept.truncate(writing.sent);
                writing.end = writing.kept.back().map_or(writing.acked, Frame::end);
            }
            if reason != CloseReason::Finished {
                channel.reading.chunks.clear();
                channel.ended.get_or_insert(Ended { at: channel.writing.end, reason });
            }
        });
    }

    fn release(&self) {
        self.close(CloseReason::Cancelled);
        let mut state = self.shared.state();
        let Some(channel) = state.channels.get_mut(&self.id) else { return };
        channel.released = true;
        if !channel.is_wanted() {
            state.channels.remove(&self.id);
        }
    }
}

const GONE: ChannelEnd = ChannelEnd { reason: CloseReason::SessionEnded, at: 0 };

/// The reading end of a channel. Dropping it before the end cancels it.
#[derive(Debug)]
pub struct Reader(Handle);

impl Reader {
    pub(in crate::client) fn new(shared: Arc<Shared>, view: &ChannelView) -> Self {
        Self(Handle::claim(shared, view, Part::Reader))
    }

    /// The next bytes, each once and in order; `None` when the writer is done and everything was taken. Taking them
    /// is what grants the writer more.
    pub async fn read(&mut self) -> Result<Option<Chunk>, ChannelEnd> {
        loop {
            let taken = self.0.with(|channel| {
                // What was typed with a right that is gone is not typed any more, though it came in time.
                let gone = |ended: &Ended| ended.reason == CloseReason::Revoked && channel.class == Class::Input;
                if let Some(Ended { reason, at }) = channel.ended.filter(gone) {
                    return Some(Err(ChannelEnd { reason, at }));
                }
                if let Some(chunk) = channel.reading.chunks.pop_front() {
                    channel.reading.taken = chunk.offset + chunk.bytes.len() as u64;
                    channel.reading.finish_taken |= chunk.flags.has(Flags::FIN);
                    return Some(Ok(Some(chunk)));
                }
                match channel.ended? {
                    Ended { reason: CloseReason::Finished, at } if channel.reading.next < at => {
                        // It ended before the reader that was left behind had come back to it.
                        let missed = channel.over && (channel.reading.rejoining || channel.reading.left_at.is_some());
                        missed.then_some(Err(ChannelEnd { reason: CloseReason::Lagged, at }))
                    }
                    Ended { reason: CloseReason::Finished, .. } => Some(Ok(None)),
                    Ended { reason, at } => Some(Err(ChannelEnd { reason, at })),
                }
            });
            match taken {
                Some(Some(taken)) => return taken,
                Some(None) => self.0.changed.notified().await,
                None => return Err(GONE),
            }
        }
    }

    /// Wants no more of it.
    pub async fn cancel(&mut self, reason: CloseReason) {
        self.0.close(reason);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The writing end of a channel. Dropping it without [`Writer::finish`] cancels the channel.
#[derive(Debug)]
pub struct Writer(Handle);

impl Writer {
    pub(in crate::client) fn new(shared: Arc<Shared>, view: &ChannelView) -> Self {
        Self(Handle::claim(shared, view, Part::Writer))
    }

    /// Sends bytes in frames of at most 16 KiB; waits while the reader has granted no room for them. START stands on
    /// the first of them, END and FIN on the last. Nothing but FIN can be sent without bytes.
    pub async fn write(&mut self, kind: Kind, flags: Flags, mut bytes: Bytes) -> Result<(), ChannelEnd> {
        let (first, last) = (Flags(Flags::START.0), Flags(Flags::END.0 | Flags::FIN.0));
        let mut flags = flags;
        loop {
            let piece = bytes.split_to(bytes.len().min(limits::FRAME_PAYLOAD_BYTES));
            let these = if bytes.is_empty() { flags } else { Flags(flags.0 & !last.0) };
            if !piece.is_empty() || these.has(Flags::FIN) {
                self.push(kind, these, piece).await?;
            }
            if bytes.is_empty() {
                return Ok(());
            }
            flags = Flags(flags.0 & !first.0);
        }
    }

    async fn push(&mut self, kind: Kind, flags: Flags, piece: Bytes) -> Result<(), ChannelEnd> {
        loop {
            let pushed = self.0.with(|channel| {
                if let Some(Ended { at, reason }) = channel.ended {
                    return Some(Err(ChannelEnd { reason, at }));
                }
                let writing = &mut channel.writing;
                if channel.closing.is_some() {
                    return Some(Err(ChannelEnd { reason: CloseReason::Finished, at: writing.end }));
                }
                if writing.end + piece.len() as u64 > writing.limit {
                    return None;
                }
                writing.push(Header { kind, flags, channel: channel.id, offset: writing.end }, piece.clone());
                Some(Ok(()))
            });
            match pushed {
                Some(Some(pushed)) => return pushed,
                Some(None) => self.0.changed.notified().await,
                None => return Err(GONE),
            }
        }
    }

    /// Ends the channel after all that was written, and waits until it has arrived.
    pub async fn finish(&mut self) -> Result<(), ChannelEnd> {
        self.0.close(CloseReason::Finished);
        loop {
            let done = self.0.with(|channel| {
                let writing = &channel.writing;
                match channel.ended {
                    Some(Ended { reason: CloseReason::Finished, .. }) => Some(Ok(())),
                    Some(Ended { reason, at }) => Some(Err(ChannelEnd { reason, at })),
                    None if writing.acked >= writing.end && channel.closing_said => Some(Ok(())),
                    None => None,
                }
            });
            match done {
                Some(Some(done)) => return done,
                Some(None) => self.0.changed.notified().await,
                None => return Err(GONE),
            }
        }
    }

    /// Stops here; what was not sent is dropped.
    pub async fn cancel(&mut self, reason: CloseReason) {
        self.0.close(reason);
    }

    /// Where and why it ended, if it has.
    pub fn ended(&self) -> Option<ChannelEnd> {
        let ended = self.0.with(|channel| channel.ended.map(|Ended { at, reason }| ChannelEnd { reason, at }));
        ended.unwrap_or(Some(GONE))
    }

    /// Somebody asked for a key picture, or a whole screen, since this was last called.
    pub fn refresh_wanted(&mut self) -> bool {
        self.0.with(|channel| std::mem::take(&mut channel.writing.refresh)).unwrap_or(false)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.release();
    }
}
