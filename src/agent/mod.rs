//! The customer's endpoint. It never trusts that the broker checked: it asks its own person, opens its own files and
//! stops its own tools (W6, P4, P5).

mod button;
mod clipboard;
mod demo;
#[cfg(feature = "desktop")]
mod desktop;
mod ending;
mod endpoint;
mod files;
mod holding;
mod jobs;
mod join;
mod manager;
mod pages;
mod prompt;
mod screen;
mod shell;
mod showing;
mod standing;
mod state;
mod system;
mod terminal;
mod tool;

pub use ending::Commands;
pub use endpoint::serve;
pub use prompt::Allow;
pub use screen::{Screen, ScreenError, Show};
pub use showing::show;
pub use standing::{revoke, stand_by};
pub use terminal::Terminal;

use crate::client::{ClientError, Target};
use state::StateError;
use std::{io, path::PathBuf};
use tokio_util::sync::CancellationToken;

/// What the endpoint is started with.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    /// A session key as read out, a join token, or a whole join link; with `stand_by` the key of a jump item.
    pub key: String,
    /// Takes up every session that reps start on the item whose key this is, until it is stopped.
    pub stand_by: bool,
    /// Runs jobs of endpoint automation while it stands by (P8.8); else each is answered that none runs here.
    pub jobs: bool,
    pub allow: Allow,
    /// Directories whose files may be reached; the whole machine if none is given.
    pub roots: Vec<PathBuf>,
    /// How the person wants to be called.
    pub name: String,
    /// The user's own shell if left out.
    pub shell: Option<String>,
    pub screen: Show,
    /// Nobody sits here, whatever the terminal looks like (P4.5).
    pub unattended: bool,
    /// Where the way back into the session is kept for a restarted endpoint. With it the key may be empty.
    pub state: Option<PathBuf>,
    /// A line of the system's shell that restarts this machine, where its owner allows that (P3.16).
    pub restart: Option<String>,
    /// Lines of the system's shell that lock this machine, or log its user out, when a session is over (P3.30); what is not
    /// given is only said.
    pub at_end: Commands,
    /// A program that shows a page; without it a page is only named.
    pub browser: Option<String>,
    /// Where a support button is kept that a rep hands over (P3.17); without it none is taken.
    pub button: Option<PathBuf>,
    /// Where the key of a jump item is kept that a rep pins this end to (P3.17); without it none is taken.
    pub pin: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("cannot join: {0}")]
    Join(Box<ClientError>),
    #[error("cannot open the shared directory: {0}")]
    Root(io::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Screen(#[from] ScreenError),
    #[error("no terminal: {0}")]
    Terminal(io::Error),
    #[error("the broker ended the connection ({code}): {reason}")]
    Ended { code: u16, reason: String },
    #[error("another endpoint stands by with this key")]
    Replaced,
    #[error("the key of the item that is kept here: {0}")]
    ItemKey(io::Error),
}

/// Runs the endpoint on this process's terminal until the session ends. Ctrl-C ends it cleanly.
pub async fn run(options: Options) -> Result<(), AgentError> {
    let terminal = Terminal::of_process().map_err(AgentError::Terminal)?;
    let stop = CancellationToken::new();
    let interrupt = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupt.cancel();
        }
    });
    match options.stand_by {
        true => stand_by(options, terminal, stop).await,
        false => serve(options, terminal, stop).await,
    }
}

/// One line of text from elsewhere, without control and bidirectional characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if files::hidden(c) { '\u{fffd}' } else { c }).collect()
}
