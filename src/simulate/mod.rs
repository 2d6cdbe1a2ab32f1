//! The broker's own engine in virtual time (contract C2): a scenario goes in, lines and a summary come out, the same
//! bytes for the same input. It must never know a clock, a socket or a disk.

pub mod line;
pub mod report;
pub mod run;
pub mod scenario;

mod chance;
mod names;
mod steps;

pub use line::{Happening, Line};
pub use report::{Figures, Report};
pub use run::run;
pub use scenario::{Scenario, ScenarioError};
