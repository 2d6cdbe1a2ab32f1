//! The broker's own engine in virtual time (contract C2): a scenario goes in, lines and a summary come out, the same
//! bytes for the same input. It must never know a clock, a socket or a disk.

pub mod again;
pub mod line;
pub mod page;
pub mod report;
pub mod run;
pub mod scenario;

mod chance;
mod foresight;
mod names;
mod series;
mod steps;

pub use again::{Again, Difference};
pub use foresight::Foresaw;
pub use line::{Happening, Line};
pub use page::{Heading, page};
pub use report::{Figures, Report};
pub use run::run;
pub use scenario::{Scenario, ScenarioError};
