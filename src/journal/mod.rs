//! The event log of a site: turns appended, made durable, read again (W5). It must never know what a turn means: no
//! routing, no permission, no connection; a snapshot's state is bytes to it.
//!
//! What an acknowledgement says: the turn is synced to this node's disk, and the head file beside the database has
//! its number and hash. After a failed commit or sync nothing is acknowledged until the journal was opened anew.

mod database;
pub mod folder;
mod head;
mod history;
mod reading;
mod row;
mod snapshot;
pub mod sqlite;
pub mod verify;
mod writer;

pub use folder::DataFolder;
pub use history::{Filling, History, Page, Query};
pub use reading::read;
pub use row::{Damage, Row, TurnId, decode, encode, unpack};
pub use sqlite::{OpenError, Options, Recovered, SqliteJournal};
pub use verify::{Report, verify};

use crate::{
    engine::{Filed, Turn},
    ids::Seq,
};
use std::{pin::Pin, sync::Arc};

/// What every journal offers, on one node or many (W5.6).
pub trait Journal: Send {
    /// Appends one turn at `expected`, which is one past the last, and in the same commit what sessions that it ended leave
    /// behind (BU-048); both are encoded on the writer's thread. `epoch` is the
    /// owner's: a turn of an older owner, at a place already taken, or behind one that was not written, is fenced. Turns
    /// are written in the order of these calls, whoever is awaited first; at most
    /// [`crate::limits::JOURNAL_TURNS_WAITING`] may be under way, one more is `Unknown`.
    fn append(&mut self, expected: Seq, epoch: u64, turn: Arc<Turn>, filed: Filed) -> Pending;

    /// The turns from this place to the present end, each checked against the chain; blocks while it reads.
    fn read_from(&self, from: Seq) -> Result<Rows, Damage>;

    /// Whether there is room for more turns, with a reserve (W5.2). Cheap; at most a second old.
    fn has_room(&self) -> bool;
}

/// The answer to come; resolves when the turn is synced, or known not to be.
pub type Pending = Pin<Box<dyn Future<Output = Appended> + Send>>;

pub type Rows = Box<dyn Iterator<Item = Result<Row, Damage>> + Send>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "only a durable turn may be answered for"]
pub enum Appended {
    /// Synced: replies and visible consequences may leave.
    Durable(Seq),
    /// Another owner has a higher epoch or has written at this place: stop, this owner is not the owner any more.
    Fenced,
    /// Above what its record may take ([`Turn::bytes_max`]): nothing was written, the journal stays usable.
    TooLarge { bytes: usize },
    /// The turn may or may not be on disk. Nothing more is acknowledged until the journal is reopened (I-J5).
    Unknown,
}

/// Folds a state (as bytes; none: the empty state) and the turns after it into the bytes of the state after them. Given
/// by whoever knows what a state is; runs on a background thread (W5.5).
pub type Fold = fn(Option<&[u8]>, &mut dyn Iterator<Item = Turn>) -> Result<Vec<u8>, String>;
