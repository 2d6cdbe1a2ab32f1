//! Who serves whom: consoles and the tests of R3, rosters in the order of R4.2, the skill tree, the backlog of waiting
//! sessions, schedules. It must never know a session's life, an event or a command; the engine asks it and decides.

pub mod backlog;
pub mod console;
pub mod roster;
pub mod skills;

pub use backlog::{Backlog, Demand, Place};
pub use console::{Console, Test};
pub use roster::Roster;
