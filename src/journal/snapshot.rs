//! Snapshots: the state after some turn, folded on a thread of its own from the snapshot before it and the turns since,
//! so that the owner is never stopped for one (W5.5). A snapshot only saves time: a damaged one is passed over.

use super::{
    Fold, OpenError, database,
    database::Reader,
    folder::{check_file, replace},
    row::{Damage, Hash, Stored},
};
#[cfg(target_os = "linux")]
use crate::limits::SNAPSHOT_NICENESS;
use crate::{engine::Turn, ids::Seq, limits::SNAPSHOTS_KEPT};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

const MAGIC: &[u8; 8] = b"EQPSNAP1";
/// Magic, journal, seq, chain hash; the state follows, then the SHA-256 of all before it.
const HEADER_BYTES: usize = 64;
const CHECK_BYTES: usize = 32;
const PREFIX: &str = "snapshot-";

#[derive(Debug)]
pub(super) struct Snapshot {
    pub seq: Seq,
    pub state: Vec<u8>,
}

/// The newest whole snapshot that fits the database. Others are passed over with a warning; one that is a link or open
/// to other users is refused (H-102).
pub(super) fn newest(dir: &Path, journal: &[u8; 16], db: &Connection) -> Result<Option<Snapshot>, OpenError> {
    for (_, path) in list(dir)? {
        check_file(&path)?;
        match load(&path, journal, db) {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(reason) => {
                tracing::warn!(path = %path.display(), %reason, "a snapshot is passed over; recovery takes longer");
            }
        }
    }
    Ok(None)
}

/// Snapshots of a folder, the newest first.
fn list(dir: &Path) -> Result<Vec<(Seq, PathBuf)>, OpenError> {
    let io = |source| OpenError::Io { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let seq = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|seq| seq.parse().ok());
        if let Some(seq) = seq {
            found.push((Seq(seq), entry.path()));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Removes all of them: the next is folded from the first turn on.
pub(super) fn forget(dir: &Path) -> Result<(), OpenError> {
    for (_, path) in list(dir)? {
        fs::remove_file(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
    }
    Ok(())
}

fn load(path: &Path, journal: &[u8; 16], db: &Connection) -> Result<Snapshot, String> {
    let mut bytes = fs::read(path).map_err(|error| error.to_string())?;
    let state_end = bytes.len().checked_sub(CHECK_BYTES).filter(|end| *end >= HEADER_BYTES).ok_or("it is too short")?;
    let check: Hash = Sha256::digest(&bytes[..state_end]).into();
    if &bytes[..8] != MAGIC || bytes[state_end..] != check {
        return Err("it is not whole".into());
    }
    if bytes[8..24] != journal[..] {
        return Err("it belongs to another journal".into());
    }
    let seq = Seq(u64::from_be_bytes(bytes[24..32].try_into().map_err(|_| "it is too short")?));
    let hash = database::hash_at(db, seq, journal).map_err(|error| error.to_string())?;
    if hash.is_none_or(|hash| hash[..] != bytes[32..64]) {
        return Err(format!("the journal does not lead to it at turn {seq}"));
    }
    bytes.truncate(state_end);
    bytes.drain(..HEADER_BYTES);
    Ok(Snapshot { seq, state: bytes })
}

fn save(dir: &Path, journal: &[u8; 16], seq: Seq, hash: &Hash, state: &[u8]) -> Result<(), OpenError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + state.len() + CHECK_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(journal);
    bytes.extend_from_slice(&seq.0.to_be_bytes());
    bytes.extend_from_slice(hash);
    bytes.extend_from_slice(state);
    let check: Hash = Sha256::digest(&bytes).into();
    bytes.extend_from_slice(&check);
    replace(&dir.join(format!("{PREFIX}{:020}", seq.0)), &bytes)?;
    for (_, old) in list(dir)?.into_iter().skip(SNAPSHOTS_KEPT) {
        fs::remove_file(&old).map_err(|source| OpenError::Io { path: old, source })?;
    }
    Ok(())
}

/// What a broker that died while writing a snapshot has left.
fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(PREFIX) && name.ends_with(".tmp") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A snapshot only saves time at the next start: whoever waits for the owner or its journal goes first.
fn step_back() {
    // Of the calling thread alone on Linux; elsewhere it would be the whole broker.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(SNAPSHOT_NICENESS) {
        tracing::debug!(%error, "snapshots are made at the broker's own priority");
    }
}

/// The background thread.
pub(super) struct Snapshotter {
    requests: SyncSender<Seq>,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Snapshotter {
    pub fn start(dir: PathBuf, database: PathBuf, journal: [u8; 16], fold: Fold) -> io::Result<Self> {
        remove_unfinished(&dir)?;
        let (requests, asked) = sync_channel(1);
        let stopping = Arc::new(AtomicBool::new(false));
        let work = Work { dir, database, journal, fold, stopping: Arc::clone(&stopping) };
        let thread = std::thread::Builder::new().name("snapshots".into()).spawn(move || {
            step_back();
            work.run(&asked);
        })?;
        Ok(Self { requests, stopping, thread })
    }

    /// Where the writer asks for a snapshot of all up to a turn.
    pub fn requests(&self) -> SyncSender<Seq> {
        self.requests.clone()
    }

    /// Gives up the one being made, if any, and waits for the thread. The writer's end must be going away too.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        let Self { requests, thread, .. } = self;
        // Wakes a thread that waits; one at work looks at `stopping`.
        let _ = requests.try_send(Seq(0));
        drop(requests);
        if thread.join().is_err() {
            tracing::error!("the snapshot thread panicked");
        }
    }
}

struct Work {
    dir: PathBuf,
    database: PathBuf,
    journal: [u8; 16],
    fold: Fold,
    stopping: Arc<AtomicBool>,
}

impl Work {
    fn run(&self, asked: &Receiver<Seq>) {
        while let Ok(upto) = asked.recv() {
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            match self.make(upto) {
                Ok(true) => tracing::info!(turn = upto.0, "snapshot made"),
                Ok(false) => return,
                Err(error) => tracing::error!(%error, turn = upto.0, "no snapshot could be made"),
            }
        }
    }

    /// False if it was given up because the journal closes.
    fn make(&self, upto: Seq) -> Result<bool, MakeError> {
        let last = newest(&self.dir, &self.journal, &database::reading(&self.database)?)?;
        let folded = match self.fold_after(last, upto) {
            // A snapshot that this version does not read: all turns are there still.
            Err(MakeError::Fold(reason)) => {
                tracing::warn!(%reason, "the state does not fold from the last snapshot; folding all turns");
                self.fold_after(None, upto)
            }
            folded => folded,
        };
        let Some((state, hash)) = folded? else { return Ok(false) };
        save(&self.dir, &self.journal, upto, &hash, &state)?;
        Ok(true)
    }

    /// The state after a turn, and the chain's hash there.
    fn fold_after(&self, last: Option<Snapshot>, upto: Seq) -> Result<Option<(Vec<u8>, Hash)>, MakeError> {
        let from = last.as_ref().map_or(Seq(0), |last| last.seq);
        let reader = Reader::new(database::reading(&self.database)?, &self.journal, Seq(from.0 + 1), upto)?;
        let mut turns = Turns { reader, stopping: &self.stopping, last: None, stopped: None };
        let state = (self.fold)(last.as_ref().map(|last| last.state.as_slice()), &mut turns);
        if self.stopping.load(Ordering::Acquire) {
            return Ok(None);
        }
        if let Some(damage) = turns.stopped {
            return Err(damage.into());
        }
        let state = state.map_err(MakeError::Fold)?;
        match turns.last {
            Some((seq, hash)) if seq == upto => Ok(Some((state, hash))),
            last => Err(MakeError::Unread { upto, last: last.map_or(from, |(seq, _)| seq) }),
        }
    }
}

/// The turns to fold; ends early at damage or when the journal closes.
struct Turns<'a> {
    reader: Reader,
    stopping: &'a AtomicBool,
    last: Option<(Seq, Hash)>,
    stopped: Option<Damage>,
}

impl Iterator for Turns<'_> {
    type Item = Turn;

    fn next(&mut self) -> Option<Turn> {
        if self.stopping.load(Ordering::Acquire) || self.stopped.is_some() {
            return None;
        }
        let read = |stored: Stored| {
            let at = (stored.seq, stored.hash);
            stored.read().map(|row| (at, row))
        };
        match self.reader.next()?.and_then(read) {
            Ok((at, row)) => {
                self.last = Some(at);
                Some(row.turn)
            }
            Err(damage) => {
                self.stopped = Some(damage);
                None
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Damage(#[from] Damage),
    #[error("the database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the state does not fold: {0}")]
    Fold(String),
    #[error("turns up to {upto} were to be folded; {last} was the last one taken")]
    Unread { upto: Seq, last: Seq },
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    #[test]
    fn w5_5_the_thread_that_makes_snapshots_steps_back_and_no_other() {
        let before = getpriority_process(None).unwrap();
        let stepped_back = std::thread::spawn(|| {
            step_back();
            getpriority_process(None).unwrap()
        });
        assert_eq!(stepped_back.join().unwrap(), (before + SNAPSHOT_NICENESS).min(19));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
