//! Layers to effective permissions, each with its source (P1.3); prompts; paths; and what a tool means in channels.
//! Pure: the same site and situation give the same permissions. It never knows a connection or a frame's payload.

pub mod automation;
mod basis;
pub mod everybody;
pub mod explain;
pub mod jumps;
pub mod paths;
pub mod plan;
pub mod prompt;
mod registry;
pub mod session;
mod shown;
mod verbs;

pub use basis::Basis;
pub use prompt::{Prompt, Prompting};
pub use session::{Effective, Permissions, Person, Situation, Source, compile, grant};

/// The names and values of tools, and what a list of domains covers, are nouns of the site, whose check reads them.
pub use crate::site::{
    domains, layers,
    tool::{self, Tool, ToolOption},
    value::{self, ToolValue, Word},
};
