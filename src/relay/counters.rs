//! What the relay counted, read by whoever serves metrics. For each line, over all legs:
//! `offered = forwarded + refused + replaced + duplicate + purged + waiting`.

use crate::wire::control::Class;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Never goes back.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where a channel's frames count: a word of whoever made the channel, and no more than a number to the relay.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Label(pub usize);

/// One line of counters. A frame counts once for each leg it is meant for.
#[derive(Debug, Default)]
pub struct LineCounters {
    /// Read from a writer, whoever it is meant for: frames and payload bytes.
    pub read: Counter,
    pub read_bytes: Counter,
    /// Meant for a leg.
    pub offered: Counter,
    /// Handed to a reader's socket: frames and payload bytes.
    pub forwarded: Counter,
    pub forwarded_bytes: Counter,
    /// Stopped by a gate, in the queue or leaving it.
    pub refused: Counter,
    /// A picture dropped for a slower reader.
    pub replaced: Counter,
    /// Sent again by a writer and already had by this leg, or not yet wanted by it.
    pub duplicate: Counter,
    /// Waiting for a leg that ended or whose connection was lost.
    pub purged: Counter,
    /// Frames of an older connection, or for a channel that has ended or has no place to go on from.
    pub stale: Counter,
    /// A leg ran out of its reader's credit while frames waited.
    pub credit_stalls: Counter,
    /// Legs left behind beside others (W1.7).
    pub lagged: Counter,
    /// Channels closed because a peer broke the rules.
    pub faults: Counter,
    /// Key pictures asked of writers.
    pub refreshes: Counter,
}

/// A line for each label; a channel and a leg look theirs up once, when they open.
#[derive(Debug)]
pub struct RelayCounters {
    lines: Box<[Arc<LineCounters>]>,
}

impl RelayCounters {
    /// With this many lines, and at least one.
    pub fn new(lines: usize) -> Self {
        Self { lines: (0..lines.max(1)).map(|_| Arc::default()).collect() }
    }

    /// Labels beyond the last line share it.
    pub fn of(&self, label: impl Into<Label>) -> &Arc<LineCounters> {
        let at = label.into().0.min(self.lines.len() - 1);
        &self.lines[at]
    }
}

impl Default for RelayCounters {
    fn default() -> Self {
        Self::new(4)
    }
}

/// The place of a class in the order of W1.10, after control.
pub(super) const fn index(class: Class) -> usize {
    match class {
        Class::Input => 0,
        Class::Shell => 1,
        Class::Picture => 2,
        Class::File => 3,
    }
}
