//! What may be lost leaves twice (W4.5). Where the line lately lost packets, small frames of a leg leave once more, a few
//! milliseconds later, in datagrams: each repeats bytes of the leg's stream and says which. The reader takes from both
//! whatever comes first and goes by the places in the stream, so frames, their order and their end are the stream's
//! alone. Nothing here knows a socket; time and what the line did are handed in.

use crate::limits;
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

const DELAY: Duration = Duration::from_millis(limits::COPY_DELAY.0);
const LATE: Duration = Duration::from_millis(limits::COPY_LATE.0);
const REST: Duration = Duration::from_millis(limits::COPIES_REST.0);
const QUEUED: Duration = Duration::from_millis(limits::COPIES_QUEUED.0);
const LOOK: Duration = Duration::from_millis(limits::LOSS_LOOK.0);
/// The clock's grain: what is due within it leaves together, and what finds no room is tried again after it.
const GRAIN: Duration = Duration::from_millis(1);

/// Bytes of a leg's stream, and where they lie in it: what one datagram holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// QUIC's number of the stream.
    pub stream: u64,
    pub at: u64,
    pub bytes: Bytes,
}

impl Piece {
    pub const HEADER_BYTES: usize = 16;

    pub fn encode(&self) -> Bytes {
        [&self.stream.to_be_bytes()[..], &self.at.to_be_bytes(), &self.bytes].concat().into()
    }

    /// `None` where a datagram has no bytes of a stream.
    pub fn decode(mut datagram: Bytes) -> Option<Self> {
        let bytes = (datagram.len() > Self::HEADER_BYTES).then(|| datagram.split_off(Self::HEADER_BYTES))?;
        let (stream, at) = datagram.split_first_chunk()?;
        Some(Self { stream: u64::from_be_bytes(*stream), at: u64::from_be_bytes(*at.first_chunk()?), bytes })
    }
}

// ---- what leaves again ----------------------------------------------------------------------------------------------

/// What the transport knows of its line, from the beginning of the connection.
#[derive(Clone, Copy, Default, Debug)]
pub struct Line {
    pub sent_packets: u64,
    pub lost_packets: u64,
    /// What packets take longer than they ever took: they stand in a queue.
    pub queued: Duration,
    /// The longest datagram that it takes; 0 where the peer takes none.
    pub datagram_bytes_max: usize,
}

/// Does the line lose packets lately? Packets are its clock: it forgets after as many, on a busy line and a quiet one.
#[derive(Debug, Default)]
struct Loss {
    sent: u64,
    lost: u64,
    recently_sent: u64,
    recently_lost: u64,
    lossy: bool,
}

/// The sending side.
#[derive(Debug, Default)]
pub struct Copies {
    loss: Loss,
    looked: Option<Instant>,
    piece_bytes_max: usize,
    /// What was taken of the budget, as of then.
    spent: usize,
    spent_at: Option<Instant>,
    /// While the line was full lately, or to try again.
    not_before: Option<Instant>,
    /// In order of when they are due.
    waiting: VecDeque<(Instant, Piece)>,
}

impl Copies {
    /// Looks at the line from time to time.
    pub fn look(&mut self, now: Instant, line: impl FnOnce() -> Line) {
        if self.looked.is_some_and(|at| now < at + LOOK) {
            return;
        }
        self.looked = Some(now);
        let line = line();
        self.loss.look(&line);
        if line.queued > QUEUED {
            self.rest(now);
        }
        let longest = line.datagram_bytes_max.saturating_sub(Piece::HEADER_BYTES);
        self.piece_bytes_max = if self.loss.lossy { longest } else { 0 };
    }

    /// The longest frame, with its length before it, that leaves twice; 0 where nothing is lost.
    pub fn frame_bytes_max(&self) -> usize {
        self.piece_bytes_max
    }

    /// What a stream has just taken leaves again a little later: not in the packets, and not in the burst, that its
    /// original is in. As much of it as the budget allows.
    pub fn add(&mut self, now: Instant, stream: u64, mut at: u64, mut bytes: Bytes) {
        self.refill(now);
        if self.not_before.is_some_and(|rested| now < rested) && self.waiting.is_empty() {
            return;
        }
        while !bytes.is_empty() && self.piece_bytes_max > 0 {
            let piece = bytes.split_to(bytes.len().min(self.piece_bytes_max));
            let cost = piece.len() + limits::PIECE_COST_BYTES;
            if self.spent + cost > limits::COPIES_BYTES {
                return;
            }
            self.spent += cost;
            let end = at + piece.len() as u64;
            self.waiting.push_back((now + DELAY, Piece { stream, at, bytes: piece }));
            at = end;
        }
    }

    /// Nothing of this stream leaves any more.
    pub fn forget(&mut self, stream: u64) {
        self.waiting.retain(|(_, piece)| piece.stream != stream);
    }

    /// When to ask for the next one.
    pub fn due(&self) -> Option<Instant> {
        let (due, _) = self.waiting.front()?;
        Some(self.not_before.map_or(*due, |not_before| not_before.max(*due)))
    }

    /// One that is due. `room`: bytes that would leave at once; where there is none for long the line is full.
    pub fn next(&mut self, now: Instant, room: usize) -> Option<Piece> {
        let (due, piece) = self.waiting.front()?;
        if now + GRAIN <= *due {
            return None;
        }
        if Piece::HEADER_BYTES + piece.bytes.len() <= room {
            self.not_before = None;
            return self.waiting.pop_front().map(|(_, piece)| piece);
        }
        if now >= *due + LATE {
            self.rest(now);
        } else {
            self.not_before = Some(now + GRAIN);
        }
        None
    }

    /// The line is full: copies would take the place of what they copy.
    fn rest(&mut self, now: Instant) {
        self.waiting = VecDeque::new();
        self.not_before = Some(now + REST);
    }

    fn refill(&mut self, now: Instant) {
        let passed = self.spent_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let refilled = passed.as_micros() * limits::COPIES_BYTES_PER_S as u128 / 1_000_000;
        if refilled > 0 || self.spent_at.is_none() {
            self.spent = self.spent.saturating_sub(usize::try_from(refilled).unwrap_or(usize::MAX));
            self.spent_at = Some(now);
        }
    }
}

impl Loss {
    fn look(&mut self, line: &Line) {
        self.recently_sent += line.sent_packets.saturating_sub(self.sent);
        self.recently_lost += line.lost_packets.saturating_sub(self.lost);
        (self.sent, self.lost) = (line.sent_packets, line.lost_packets);
        while self.recently_sent > limits::LOSS_PACKETS {
            self.recently_sent /= 2;
            self.recently_lost /= 2;
        }
        let enough = if self.lossy { limits::LOSS_OVER_PER_MILLE } else { limits::LOSS_PER_MILLE };
        self.lossy = 1_000 * self.recently_lost >= enough * self.recently_sent.max(1);
    }
}

// ---- what arrives ---------------------------------------------------------------------------------------------------

/// What all streams of a connection hold beyond their gaps, bytes.
#[derive(Clone, Debug, Default)]
pub struct Room(Arc<AtomicUsize>);

/// There is no room for what lies beyond a gap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// Puts a stream together from pieces that come in any order, and more than once.
#[derive(Debug)]
pub struct Pieces {
    next: u64,
    /// Beyond `next`, none over another.
    held: BTreeMap<u64, Bytes>,
    room: Room,
    /// What of the room is taken here.
    taken: usize,
}

impl Pieces {
    /// `next`: what of the stream is through already.
    pub fn new(next: u64, room: Room) -> Self {
        Self { next, held: BTreeMap::new(), room, taken: 0 }
    }

    /// Takes what is new in this piece; false where nothing is. `limit`: what the connection may hold with it, if it
    /// lies beyond a gap.
    pub fn put(&mut self, mut at: u64, mut bytes: Bytes, limit: usize) -> Result<bool, Full> {
        let mut is_new = false;
        let Some(end) = at.checked_add(bytes.len() as u64) else { return Err(Full) };
        if at < self.next {
            drop(bytes.split_to((self.next.min(end) - at) as usize));
            at = self.next;
        }
        while !bytes.is_empty() {
            let before = self.held.range(..=at).next_back().map_or(0, |(from, held)| from + held.len() as u64);
            if before > at {
                drop(bytes.split_to(bytes.len().min((before - at) as usize)));
                at = before;
                continue;
            }
            let after = self.held.range(at..).next().map_or(u64::MAX, |(from, _)| *from);
            let new = bytes.split_to(bytes.len().min((after - at) as usize));
            at = self.hold(at, new, limit)?;
            is_new = true;
        }
        Ok(is_new)
    }

    /// The next bytes of the stream, if they are here.
    pub fn pop(&mut self) -> Option<Bytes> {
        let first = self.held.first_entry().filter(|first| *first.key() == self.next)?;
        let bytes = first.remove();
        let cost = cost(&bytes);
        self.taken -= cost;
        self.room.0.fetch_sub(cost, Relaxed);
        self.next += bytes.len() as u64;
        Some(bytes)
    }

    fn hold(&mut self, at: u64, bytes: Bytes, limit: usize) -> Result<u64, Full> {
        let (cost, end) = (cost(&bytes), at + bytes.len() as u64);
        // What comes next never waits for room: it leaves at once.
        let bytes = if at == self.next {
            bytes
        } else if self.room.0.load(Relaxed) + cost > limit {
            return Err(Full);
        } else {
            // What it is a part of may be a batch of packets.
            Bytes::copy_from_slice(&bytes)
        };
        self.taken += cost;
        self.room.0.fetch_add(cost, Relaxed);
        self.held.insert(at, bytes);
        Ok(end)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.taken, Relaxed);
    }
}

fn cost(bytes: &Bytes) -> usize {
    bytes.len() + limits::PIECE_COST_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: u64 = 3;
    const LONGEST: usize = 1_200;

    /// A sender whose line loses so many packets of a thousand.
    fn sender(now: Instant, lost_packets: u64) -> Copies {
        let mut copies = Copies::default();
        copies.look(now, || Line { sent_packets: 1_000, lost_packets, queued: GRAIN, datagram_bytes_max: LONGEST });
        copies
    }

    fn some(bytes: usize) -> Bytes {
        (0..bytes).map(|n| (n % 251) as u8).collect::<Vec<u8>>().into()
    }

    /// All that leaves until then, where there is room.
    fn leaving(copies: &mut Copies, until: Instant) -> Vec<(Instant, Piece)> {
        let mut left = Vec::new();
        while let Some(due) = copies.due().filter(|due| *due <= until) {
            left.extend(copies.next(due, LONGEST).map(|piece| (due, piece)));
        }
        left
    }

    proptest! {
        #[test]
        fn w4_5_whatever_is_lost_doubled_or_late_the_stream_comes_whole_in_order_and_once(
            writes in prop::collection::vec((1usize..3_000, 0u64..12), 1..60),
            packet in 100usize..1_500,
            chances in prop::collection::vec((0u8..100, 0u64..200), 1..300),
        ) {
            let start = Instant::now();
            let (mut copies, stream) = (sender(start, 100), some(writes.iter().map(|(bytes, _)| bytes).sum()));
            let mut chances = chances.iter().cycle();
            // When it comes, where it lies, and whether the stream brings it.
            let mut coming: Vec<(Instant, u64, Bytes, bool)> = Vec::new();
            let (mut at, mut now) = (0, start);
            for (bytes, later_ms) in writes {
                now += Duration::from_millis(later_ms);
                let written = stream.slice(at..at + bytes);
                copies.add(now, STREAM, at as u64, written.clone());
                for (n, piece) in written.chunks(packet).enumerate() {
                    // Lost ones come later, some twice.
                    let (chance, late) = chances.next().unwrap();
                    let place = (at + n * packet) as u64;
                    let piece = written.slice_ref(piece);
                    coming.push((now + Duration::from_millis(if *chance < 20 { 40 + late } else { 0 }), place, piece.clone(), true));
                    if *chance < 5 {
                        coming.push((now + Duration::from_millis(*late), place, piece, true));
                    }
                }
                at += bytes;
                for (left, Piece { at, bytes, .. }) in leaving(&mut copies, now) {
                    let (chance, late) = chances.next().unwrap();
                    if *chance >= 20 {
                        coming.push((left + Duration::from_millis(late / 10), at, bytes, false));
                    }
                }
            }
            coming.sort_by_key(|(when, ..)| *when);
            let room = Room::default();
            let mut pieces = Pieces::new(0, room.clone());
            let mut got = Vec::new();
            for (_, at, bytes, of_stream) in coming {
                let limit = if of_stream { limits::PIECES_BYTES_MAX } else { 4_096 };
                let put = pieces.put(at, bytes, limit);
                prop_assert!(put.is_ok() || !of_stream);
                got.extend(std::iter::from_fn(|| pieces.pop()).flatten());
                let held: usize = pieces.held.values().map(cost).sum();
                prop_assert_eq!((held, held), (pieces.taken, room.0.load(Relaxed)));
            }
            prop_assert!(got == stream, "{} of {} bytes", got.len(), stream.len());
            drop(pieces);
            prop_assert_eq!(room.0.load(Relaxed), 0);
        }

        #[test]
        fn w4_5_copies_stay_within_their_rate_and_follow_their_original(
            writes in prop::collection::vec((1usize..5_000, 0u64..20, 0usize..10_000), 1..400),
        ) {
            let start = Instant::now();
            let (mut copies, mut now, mut sent) = (sender(start, 100), start, 0);
            let mut at = 0;
            for (bytes, later_ms, room) in writes {
                now += Duration::from_millis(later_ms);
                copies.add(now, STREAM, at, some(bytes));
                at += bytes as u64;
                let waiting: usize = copies.waiting.iter().map(|(_, piece)| cost(&piece.bytes)).sum();
                prop_assert!(waiting <= limits::COPIES_BYTES + limits::COPIES_BYTES_PER_S / 1_000 * 40, "{waiting}");
                while let Some(piece) = copies.next(now, room) {
                    prop_assert!(piece.encode().len() <= LONGEST.min(room));
                    prop_assert!(piece.at + piece.bytes.len() as u64 <= at);
                    sent += cost(&piece.bytes);
                }
            }
            let allowed = (now - start).as_millis() as usize * limits::COPIES_BYTES_PER_S / 1_000 + limits::COPIES_BYTES;
            prop_assert!(sent <= allowed, "{sent} of {allowed}");
        }

        #[test]
        fn h_106_pieces_that_a_stream_never_had_are_held_within_bounds(
            pieces in prop::collection::vec((any::<u64>(), 0usize..2_000), 1..400),
        ) {
            let room = Room::default();
            let mut whole = Pieces::new(10, room.clone());
            for (at, bytes) in pieces {
                let _ = whole.put(at, some(bytes), limits::COPIES_AHEAD_BYTES);
                prop_assert!(room.0.load(Relaxed) <= limits::COPIES_AHEAD_BYTES + cost(&some(2_000)));
                while whole.pop().is_some() {}
            }
        }
    }

    #[test]
    fn w4_5_a_copy_leaves_some_milliseconds_after_what_it_repeats() {
        let now = Instant::now();
        let mut copies = sender(now, 50);
        copies.add(now, STREAM, 7, some(100));
        assert_eq!((copies.due(), copies.next(now, LONGEST)), (Some(now + DELAY), None));
        let piece = Piece { stream: STREAM, at: 7, bytes: some(100) };
        assert_eq!(leaving(&mut copies, now + REST), [(now + DELAY, piece.clone())]);
        assert_eq!(Piece::decode(piece.encode()), Some(piece));
        assert_eq!(Piece::decode(some(Piece::HEADER_BYTES)), None);
    }

    #[test]
    fn w4_5_the_document_shows_a_datagram_as_it_is() {
        let shown = Piece { stream: 2, at: 300, bytes: Bytes::from_static(b"hello") }.encode();
        let shown: Vec<String> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(include_str!("../../docs/protocol.md").contains(&format!("\n    {}\n", shown.join(" "))));
    }

    #[test]
    fn w2_3_what_a_stream_still_had_to_repeat_ends_with_it() {
        let now = Instant::now();
        let mut copies = sender(now, 50);
        for stream in [STREAM, 7, STREAM] {
            copies.add(now, stream, 0, some(10));
        }
        copies.forget(STREAM);
        assert_eq!(leaving(&mut copies, now + REST).iter().map(|(_, piece)| piece.stream).collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn f20_nothing_leaves_twice_where_nothing_is_lost() {
        let mut now = Instant::now();
        let mut copies = Copies::default();
        let mut line = Line { datagram_bytes_max: LONGEST, ..Line::default() };
        let mut after = |copies: &mut Copies, sent: u64, lost: u64| {
            (line.sent_packets, line.lost_packets) = (line.sent_packets + sent, line.lost_packets + lost);
            now += LOOK;
            copies.look(now, || line);
            copies.frame_bytes_max() > 0
        };
        assert!(!after(&mut copies, 50, 0));
        assert!(after(&mut copies, 50, 1), "1 % of 100");
        assert!(after(&mut copies, 300, 0), "0.25 %: not over yet");
        assert!(!after(&mut copies, 300, 0), "0.1 %");
        assert!(!after(&mut copies, 0, 0), "nothing was sent");
        assert!(!after(&mut copies, 100_000, 300), "0.3 % are too few");
        assert!(after(&mut copies, 100_000, 1_000));
        copies.add(now, STREAM, 0, some(10));
        assert!(copies.due().is_some());
        let mut none = Copies::default();
        none.look(now, || Line { datagram_bytes_max: 0, ..line });
        none.add(now, STREAM, 0, some(10));
        assert_eq!((none.frame_bytes_max(), none.due()), (0, None), "the peer takes no datagrams");
    }

    #[test]
    fn w4_5_on_a_full_line_copies_rest() {
        let now = Instant::now();
        let mut copies = sender(now, 50);
        for n in 0..10 {
            copies.add(now, STREAM, n * 100, some(100));
        }
        let mut tries = 0;
        while let Some(due) = copies.due() {
            tries += 1;
            assert!(due <= now + DELAY + LATE + GRAIN, "a while at most");
            assert_eq!(copies.next(due, 50), None);
        }
        assert!((10..=20).contains(&tries), "once a millisecond: {tries}");
        copies.add(now + REST / 2, STREAM, 1_000, some(100));
        assert_eq!(copies.due(), None);
        let rested = now + DELAY + LATE + GRAIN + REST;
        copies.add(rested, STREAM, 1_100, some(100));
        assert_eq!(leaving(&mut copies, rested + REST).len(), 1);
        // The same where packets stand in a queue of the line's own.
        copies.add(rested, STREAM, 1_200, some(100));
        let line = Line { sent_packets: 2_000, lost_packets: 100, queued: 2 * QUEUED, datagram_bytes_max: LONGEST };
        copies.look(rested + LOOK, || line);
        copies.add(rested + LOOK, STREAM, 1_300, some(100));
        assert_eq!(copies.due(), None);
    }
}
