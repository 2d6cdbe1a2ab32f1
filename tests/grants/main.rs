//! What people may use in a session, and how they get in: tools, prompts, channels, keys, resume tokens, accounts.
//! Commands in, events out; every test also replays its events and compares the states (I8).

mod accounts;
mod buttons;
mod changes;
mod channels;
mod chaos;
mod chat;
mod editors;
mod fields;
mod jobs;
mod jumps;
mod lens;
mod locked;
mod matrix;
mod pages;
mod pins;
mod prompts;
#[path = "../simulation/random.rs"]
mod random;
mod reboot;
mod requests;
mod shows;
mod standing;
mod support;
mod targets;
mod ways_in;
mod world;
