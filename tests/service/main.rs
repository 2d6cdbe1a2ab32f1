//! The whole product as people meet it: the real binary, real sockets, a real terminal, real files and a real journal;
//! what it promises when transports mix, rights are taken back, disks fill, syncs fail and brokers die.
#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(feature = "io")]

mod crash;
mod ends;
mod explain;
mod files;
mod jobs;
mod jumps;
mod people;
mod place;
mod process;
mod revoke;
mod shows;
mod storage;
mod story;
