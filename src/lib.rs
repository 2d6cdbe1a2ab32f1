//! Equipoise: a self-hosted, real-time session broker and queue router for remote support.
//!
//! Rooms, from the ground up; imports point down only (`tests/rooms.rs` holds the table). The pure rooms are built
//! without the `io` feature and know no socket, disk, clock or lock.

pub mod ids;
pub mod limits;
pub mod time;

pub mod engine;
pub mod policy;
pub mod routing;
pub mod simulate;
pub mod site;
pub mod wire;

#[cfg(feature = "io")]
pub mod agent;
#[cfg(feature = "io")]
pub mod broker;
#[cfg(feature = "io")]
pub mod cli;
#[cfg(feature = "io")]
pub mod client;
#[cfg(feature = "io")]
pub mod clock;
#[cfg(feature = "io")]
pub mod framing;
#[cfg(feature = "io")]
pub mod identity;
#[cfg(feature = "io")]
pub mod journal;
#[cfg(feature = "io")]
pub mod mail;
#[cfg(feature = "io")]
pub mod ops;
#[cfg(feature = "io")]
pub mod relay;
#[cfg(feature = "io")]
pub mod rep;
#[cfg(feature = "io")]
pub mod server;
#[cfg(feature = "io")]
pub mod transport;
