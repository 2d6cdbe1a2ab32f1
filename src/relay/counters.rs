//! What the relay counted, read by whoever serves metrics. For each class, over all legs:
//! `offered = forwarded + refused + replaced + duplicate + purged + waiting`.

use crate::wire::control::Class;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// One class of channels. A frame counts once for each leg it is meant for.
#[derive(Debug, Default)]
pub struct ClassCounters {
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

#[derive(Debug, Default)]
pub struct RelayCounters {
    classes: [ClassCounters; 4],
}

impl RelayCounters {
    pub fn of(&self, class: Class) -> &ClassCounters {
        &self.classes[index(class)]
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
