//! What hostile peers send on sockets, and how each of it ends (security.md H-01…H-100).
//! Real sockets, a real broker, real clients: what a connection promises, and that channels lose and double nothing
//! whatever happens to it.

#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attack;
mod back;
mod buttons;
mod changes;
mod channels;
mod chaos;
mod crowd;
mod customers;
mod denied;
mod editors;
mod entries;
mod fields;
mod frames;
mod half;
mod history;
mod http;
mod jobs;
mod jumps;
mod live;
mod lossy;
mod mail;
mod messages;
mod outside;
mod passwords;
mod place;
mod quic;
#[path = "../simulation/random.rs"]
mod random;
mod reach;
mod revocation;
mod rights;
mod second_factor;
mod shows;
mod slow;
mod smtp;
mod standing;
mod targets;
mod timers;
mod tls;
mod tools;
mod ways_in;
