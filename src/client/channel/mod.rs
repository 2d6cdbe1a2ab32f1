//! The two ends of a channel as a client has them; `ends` is what a tool holds of them. The writer keeps what is not
//! acknowledged and sends it again from wherever it is asked to; the reader takes each byte once, in order, and grants
//! credit as its bytes are taken.

mod ends;

pub use ends::{Reader, Writer};

use crate::{
    ids::ChannelId,
    relay,
    wire::{
        Flags, Frame, Header, Kind,
        control::{ChannelView, Class, Value},
        frame::CloseReason,
    },
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Bytes of a channel as they were written, with what the writer said about them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    pub kind: Kind,
    pub flags: Flags,
    pub offset: u64,
    pub bytes: Bytes,
}

/// The channel ended before its writer was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the channel ended at byte {at} ({})", reason.name())]
pub struct ChannelEnd {
    pub reason: CloseReason,
    pub at: u64,
}

/// Where and why a channel ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ended {
    pub(super) at: u64,
    pub(super) reason: CloseReason,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Unclaimed,
    Reader,
    Writer,
}

#[derive(Debug)]
pub(super) struct Channel {
    id: ChannelId,
    pub(super) session: u64,
    pub(super) class: Class,
    /// What the ends noted of it, as far as this end has heard.
    facts: BTreeMap<String, Value>,
    part: Part,
    reading: Reading,
    writing: Writing,
    ended: Option<Ended>,
    /// The connection on which the broker last said that the channel is there.
    confirmed: u32,
    /// The broker has said that it is over.
    over: bool,
    /// Its reader or writer was dropped.
    released: bool,
    /// What we end it with, and whether that was said on this connection.
    closing: Option<CloseReason>,
    closing_said: bool,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Reading {
    /// The next byte to come, and the next to be taken.
    next: u64,
    taken: u64,
    acked_said: u64,
    granted: u64,
    window: u64,
    /// From where and when it is measured how fast the end takes what comes.
    measured: (u64, Instant),
    chunks: VecDeque<Chunk>,
    finished: bool,
    finish_taken: bool,
    /// A RESUME is to be said.
    resume: bool,
    /// Where a gap made us ask again.
    asked: Option<u64>,
    /// Left behind, or told of a channel that others had before: once everything before this was taken, a REFRESH
    /// brings the reader to the current offset (W1.7).
    left_at: Option<u64>,
    /// The REFRESH was said: the next frame may begin further on.
    rejoining: bool,
}

#[derive(Debug)]
struct Writing {
    /// Not acknowledged yet, oldest first; the first `sent` of them are on their way.
    kept: VecDeque<Frame>,
    sent: usize,
    end: u64,
    acked: u64,
    limit: u64,
    /// The broker has said where to go on, on this connection.
    live: bool,
    /// How far this end wrote is to be said.
    end_due: bool,
    refresh: bool,
    listed: bool,
}

impl Channel {
    pub(super) fn new(view: &ChannelView, session: u64, link: u32) -> Self {
        let (start, window) = (view.start, relay::window(view.class));
        Self {
            id: ChannelId(view.channel),
            session,
            class: view.class,
            facts: BTreeMap::new(),
            part: Part::Unclaimed,
            reading: Reading {
                next: start,
                taken: start,
                acked_said: start,
                granted: start + window,
                window,
                measured: (start, Instant::now()),
                chunks: VecDeque::new(),
                finished: false,
                finish_taken: false,
                resume: false,
                asked: None,
                left_at: None,
                rejoining: false,
            },
            writing: Writing {
                kept: VecDeque::new(),
                sent: 0,
                end: start,
                acked: start,
                limit: start + window,
                live: true,
                end_due: false,
                refresh: false,
                listed: false,
            },
            ended: None,
            confirmed: link,
            over: false,
            released: false,
            closing: None,
            closing_said: false,
            changed: Arc::default(),
        }
    }

    /// Still of use: not over, or not yet read to its end by whoever will read it.
    pub(super) fn is_wanted(&self) -> bool {
        !(self.over && self.released)
    }

    /// Over before anybody asked for its reader.
    pub(super) fn is_unclaimed_rest(&self) -> bool {
        self.over && self.part == Part::Unclaimed
    }

    // ---- what arrives ----

    /// Takes what was noted of it; false if all of it was heard before.
    pub(super) fn noted(&mut self, facts: &BTreeMap<String, Value>) -> bool {
        let news = facts.iter().any(|(name, value)| self.facts.get(name) != Some(value));
        if news {
            self.facts.extend(facts.clone());
        }
        news
    }

    pub(super) fn data(&mut self, frame: Frame) {
        let reading = &mut self.reading;
        if self.part == Part::Writer || self.closing.is_some() {
            return;
        }
        let Header { kind, flags, offset, .. } = frame.header;
        let mut bytes = frame.payload;
        if reading.rejoining && offset >= reading.next {
            reading.begin(offset, self.class);
        }
        if offset > reading.next && self.class != Class::Picture {
            // Something is missing; it is asked for once, and what follows comes again with it.
            reading.resume |= reading.asked.replace(reading.next) != Some(reading.next);
            return;
        }
        let mut offset = offset;
        if let Some(had) = reading.next.checked_sub(offset).filter(|had| *had > 0) {
            let fresh_end = flags.has(Flags::FIN) && !reading.finished;
            if had > bytes.len() as u64 || (had == bytes.len() as u64 && !fresh_end) {
                return;
            }
            bytes = bytes.slice(had as usize..);
            offset = reading.next;
        }
        if bytes.is_empty() && (!flags.has(Flags::FIN) || reading.finished) {
            return;
        }
        reading.finished |= flags.has(Flags::FIN);
        reading.next = offset + bytes.len() as u64;
        reading.chunks.push_back(Chunk { kind, flags, offset, bytes });
        self.changed.notify_one();
    }

    pub(super) fn credit(&mut self, acked: u64, limit: u64) {
        let writing = &mut self.writing;
        writing.acked = writing.acked.max(acked.min(writing.end));
        writing.limit = writing.limit.max(limit);
        while writing.sent > 0
            && writing.kept.front().is_some_and(|frame| frame.end() <= writing.acked && !frame.payload.is_empty())
        {
            writing.kept.pop_front();
            writing.sent -= 1;
        }
        self.changed.notify_one();
    }

    /// The broker says where the writer goes on (W3.3). Its credit is a first window from there.
    pub(super) fn resume(&mut self, at: u64) {
        let writing = &mut self.writing;
        let first = writing.kept.front().map_or(writing.end, |frame| frame.header.offset);
        if at > writing.end {
            // A reader claims more than there is: the broker learns how far this end wrote, and asks anew.
            writing.live = false;
            writing.end_due = true;
            return;
        }
        if at < first {
            self.ended = Some(Ended { at: writing.acked, reason: CloseReason::Gap });
            self.closing = Some(CloseReason::Gap);
            self.closing_said = false;
            self.changed.notify_one();
            return;
        }
        writing.live = true;
        writing.limit = at + relay::window(self.class);
        writing.sent = writing
            .kept
            .iter()
            .position(|frame| frame.end() > at || frame.payload.is_empty())
            .unwrap_or(writing.kept.len());
        if let Some(frame) = writing.kept.get_mut(writing.sent)
            && let Some(had) = at.checked_sub(frame.header.offset).filter(|had| *had > 0)
            && !frame.payload.is_empty()
        {
            let begin = Frame { header: frame.header, payload: frame.payload.split_to(had as usize) };
            frame.header.offset = at;
            writing.kept.insert(writing.sent, begin);
            writing.sent += 1;
        }
        self.closing_said = false;
        self.changed.notify_one();
    }

    pub(super) fn refresh(&mut self) {
        self.writing.refresh = true;
        self.changed.notify_one();
    }

    /// The broker's CLOSE. One that says that the writer is done is not the end for a reader: the broker keeps the
    /// channel until everything is acknowledged, across connections.
    pub(super) fn closed(&mut self, ended: Ended) {
        if ended.reason == CloseReason::Lagged && self.part != Part::Writer {
            self.reading.left_at = Some(ended.at);
            return;
        }
        self.over |= ended.reason != CloseReason::Finished || self.part == Part::Writer;
        self.ended.get_or_insert(ended);
        self.changed.notify_one();
    }

    /// The broker's word, as an event, that the channel is no more. Frames may have said so before.
    pub(super) fn told_closed(&mut self, at: Option<u64>, reason: CloseReason) {
        self.over = true;
        let had = if self.part == Part::Writer { self.writing.acked } else { self.reading.next };
        self.closed(Ended { at: at.unwrap_or(had), reason });
    }

    pub(super) fn confirmed(&mut self, session: u64, link: u32) {
        self.session = session;
        self.confirmed = link;
    }

    /// All channels there are were named on this connection.
    pub(super) fn missed(&mut self, link: u32) {
        if self.confirmed < link {
            // A channel that its writer had ended is over because everything arrived.
            let finished = self.closing == Some(CloseReason::Finished) && self.writing.sent == self.writing.kept.len();
            let reason = if finished { CloseReason::Finished } else { CloseReason::SessionEnded };
            self.told_closed(None, reason);
        }
    }

    /// Early data was dropped: the reader asks for it.
    pub(super) fn ask_again(&mut self) {
        self.reading.resume = true;
        self.reading.left_at = None;
    }

    /// The broker names it among those there are, and this client never had it: its reader begins where it is.
    pub(super) fn met_later(&mut self) {
        self.reading.left_at = Some(self.reading.next);
    }

    // ---- what leaves ----

    /// What this end has to say, in order.
    pub(super) fn steering(&mut self, _link: u32, round_trip: Duration, window_max: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        if self.part == Part::Unclaimed {
            return frames;
        }
        if self.over {
            return frames;
        }
        let whole = self.closing.is_none_or(|reason| reason == CloseReason::Finished);
        if self.part == Part::Writer && whole && std::mem::take(&mut self.writing.end_due) {
            frames.push(Frame::resume(self.id, self.writing.end));
        }
        if let Some(reason) = self.closing {
            let at = if self.part == Part::Reader { self.reading.taken } else { self.writing.end };
            let all_sent = self.writing.live && self.writing.sent == self.writing.kept.len();
            if !self.closing_said && (self.part == Part::Reader || all_sent || reason == CloseReason::Gap) {
                self.closing_said = true;
                frames.push(Frame::close(self.id, at, reason));
            }
            return frames;
        }
        if self.part == Part::Reader {
            let taken = self.reading.taken;
            if self.reading.left_at.take_if(|at| taken >= *at).is_some() {
                self.reading.rejoining = true;
                frames.push(Frame::refresh(self.id));
            }
            if std::mem::take(&mut self.reading.resume) {
                frames.push(Frame::resume(self.id, self.reading.next));
                // The broker grants a first window anew.
                self.reading.granted = self.reading.next + relay::window(self.class);
                self.reading.acked_said = self.reading.next;
            }
            frames.extend(self.grant(round_trip, window_max));
        }
        frames
    }

    /// Credit is due at half a first window (W1.5), and when the end was taken: a window that has grown is a round trip
    /// long, of which a writer far away shall not spend half without a word.
    fn grant(&mut self, round_trip: Duration, window_max: u64) -> Option<Frame> {
        let reading = &mut self.reading;
        let due = (reading.taken + reading.window).saturating_sub(reading.granted) >= relay::window(self.class) / 2;
        let last = reading.finish_taken || self.ended.is_some_and(|ended| reading.taken >= ended.at);
        let last_word_due = last && reading.acked_said < reading.taken;
        if !(due || last_word_due) {
            return None;
        }
        let (from, since) = reading.measured;
        if reading.taken.saturating_sub(from) >= reading.window / 2 {
            let now = Instant::now();
            let grows = matches!(self.class, Class::File | Class::Picture);
            // Half a window went by within two round trips: the window, not the line, is what holds the writer back.
            if grows && now.saturating_duration_since(since) < 2 * round_trip {
                reading.window = (2 * reading.window).min(window_max);
            }
            reading.measured = (reading.taken, now);
        }
        reading.granted = reading.granted.max(reading.taken + reading.window);
        reading.acked_said = reading.taken;
        Some(Frame::credit(self.id, reading.taken, reading.granted))
    }

    /// The next frame, within credit.
    pub(super) fn next_frame(&mut self) -> Option<Frame> {
        let writing = &mut self.writing;
        if self.over || !writing.sendable() {
            return None;
        }
        let frame = writing.kept.get(writing.sent).cloned();
        writing.sent += 1;
        frame
    }

    /// Takes a place among those with something to send; true if it had none.
    pub(super) fn list(&mut self) -> bool {
        !self.over && self.writing.sendable() && !std::mem::replace(&mut self.writing.listed, true)
    }

    pub(super) fn unlist(&mut self) {
        self.writing.listed = false;
    }

    /// A fresh connection: readers say where they are, writers wait until they are told where to go on.
    pub(super) fn attached(&mut self) {
        let reading = &mut self.reading;
        if std::mem::take(&mut reading.rejoining) || reading.left_at.is_some() {
            reading.left_at = Some(reading.next);
        }
        reading.resume = reading.left_at.is_none();
        reading.asked = None;
        self.writing.live = false;
        self.writing.end_due = true;
        self.writing.listed = false;
        self.closing_said = false;
    }
}

impl Reading {
    /// Goes on from here after a REFRESH; the broker grants a first window anew.
    fn begin(&mut self, at: u64, class: Class) {
        self.rejoining = false;
        self.window = relay::window(class);
        (self.next, self.taken, self.acked_said) = (at, at, at);
        self.granted = at + self.window;
        self.measured = (at, Instant::now());
    }
}

impl Writing {
    fn sendable(&self) -> bool {
        self.live && self.kept.get(self.sent).is_some_and(|frame| frame.end() <= self.limit)
    }

    fn push(&mut self, header: Header, payload: Bytes) {
        self.end += payload.len() as u64;
        self.kept.push_back(Frame { header, payload });
    }
}
