//! Channels, gates, outboxes and credit: how a frame gets from its writer to every reader's socket (W1, W2).
//!
//! No task and no queue between tasks stands in a frame's way: the writer's reading task pushes into the readers'
//! outboxes, and each reader's writing task drains its own. Locks are taken in one order, channel before outbox, and
//! neither is held across an await. This room must never know a policy, a person, or a socket library's type.

pub mod channel;
pub mod counters;
pub mod gate;
mod leg;
pub mod outbox;
mod sync;
#[cfg(test)]
mod tests;

pub use channel::{Channel, Fault, Hearer, LastWords, Notice, Passed};
pub use counters::{Label, LineCounters, RelayCounters};
pub use gate::{Admitted, Gate};
pub use outbox::{Closing, Outbox, Overflow, Sink};

use crate::{limits, wire::control::Class};

/// The first window of a channel, both ways and again after a resume, in payload bytes (W1.5).
pub const fn window(class: Class) -> u64 {
    match class {
        Class::Input | Class::Shell => limits::INTERACTIVE_WINDOW_BYTES,
        Class::Picture => limits::PICTURE_WINDOW_BYTES,
        Class::File => limits::FILE_WINDOW_BYTES,
    }
}
