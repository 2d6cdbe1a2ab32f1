//! The journal of one node: one SQLite database for each site, with its head file and snapshots in a folder beside it.

use super::{
    Appended, DataFolder, Fold, Journal, Pending, Row, Rows,
    database::{self, Reader},
    folder::{check_file, private_file, sync_folder},
    head::{Head, HeadFile},
    row::{self, Damage, TurnId, genesis},
    snapshot::{self, Snapshotter},
    writer::{Job, Writer},
};
use crate::{
    engine::{Filed, Turn},
    ids::Seq,
    limits::{
        DISK_CHECK_INTERVAL, DISK_RESERVE_BYTES, JOURNAL_TURNS_WAITING, SNAPSHOT_AFTER_BYTES, TURNS_PER_SNAPSHOT,
    },
};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Free bytes below which [`Journal::has_room`] says no.
    pub disk_reserve_bytes: u64,
    pub turns_per_snapshot: u64,
    pub snapshot_after_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            turns_per_snapshot: TURNS_PER_SNAPSHOT,
            snapshot_after_bytes: SNAPSHOT_AFTER_BYTES,
        }
    }
}

/// What was found: fold `turns` over `snapshot`. The first damaged turn ends the iteration with its error, and whoever
/// folds must not serve then.
pub struct Recovered {
    /// The newest whole snapshot: the place of the last turn in it, and the bytes that [`Fold`] gave.
    pub snapshot: Option<(Seq, Vec<u8>)>,
    /// The turns after the snapshot up to `head`, read as they are asked for.
    pub turns: Rows,
    /// The last turn; 0: none yet. The next one is appended at one more.
    pub head: Seq,
    /// Of the last turn; a new owner takes a higher one.
    pub epoch: u64,
    /// The folder is of a version that kept no history: it is for whoever knows what a turn means to fill it in.
    pub lacks_history: bool,
}

/// Why a journal does not open. Nothing is changed or repaired then: it is for an operator to decide.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// H-102.
    #[error("{} is refused: {reason}", path.display())]
    Refused { path: PathBuf, reason: String },
    /// H-103.
    #[error("{} is in use by another broker; stop it first, or name another data folder", path.display())]
    InUse { path: PathBuf },
    #[error("{} is not what it should be: {reason}", path.display())]
    NotAJournal { path: PathBuf, reason: String },
    #[error("{} was written by a newer version (schema {version}, this version knows up to {known})", path.display())]
    Newer { path: PathBuf, version: i64, known: i64 },
    /// W5.4.
    #[error(
        "{}: turns up to {acknowledged} were acknowledged, but the journal ends at {found}: turns {} to {acknowledged} \
         are lost; restore the folder from a backup",
        path.display(), found.0 + 1
    )]
    Cut { path: PathBuf, acknowledged: Seq, found: Seq },
    #[error("{}: turn {seq} is not the one that was acknowledged: the database was altered or exchanged", path.display())]
    NotAcknowledged { path: PathBuf, seq: Seq },
    #[error(transparent)]
    Damage(#[from] Damage),
    #[error("{}: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}

pub struct SqliteJournal {
    folder: DataFolder,
    site: String,
    options: Options,
    fold: Fold,
    /// None after a failed `reopen`.
    running: Option<Running>,
    /// When free space was last asked for, and the answer.
    room: Mutex<Option<(Instant, bool)>>,
    /// Distinguishes the turns of this opening from those of any other.
    nonce: [u8; 8],
    appended: u64,
}

struct Running {
    path: PathBuf,
    jobs: Option<mpsc::Sender<Job>>,
    poisoned: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
    snapshotter: Option<Snapshotter>,
}

impl SqliteJournal {
    /// Opens the journal of a site, making it if there is none. Blocks; for seconds if there is much to sync.
    pub fn open(folder: &DataFolder, site: &str, options: Options, fold: Fold) -> Result<(Self, Recovered), OpenError> {
        let (running, recovered) = Running::start(folder, site, options, fold)?;
        let journal = Self {
            folder: folder.clone(),
            site: site.to_owned(),
            options,
            fold,
            running: Some(running),
            room: Mutex::new(None),
            nonce: random(folder.path())?,
            appended: 0,
        };
        Ok((journal, recovered))
    }

    /// After `Unknown`: closes and opens anew, so that what is found is what is on disk (I-J5). On an error the journal
    /// stays closed and answers `Unknown`; it may be tried again. Blocks.
    pub fn reopen(&mut self) -> Result<Recovered, OpenError> {
        self.running = None;
        *self.room.lock() = None;
        let (running, recovered) = Running::start(&self.folder, &self.site, self.options, self.fold)?;
        self.nonce = random(self.folder.path())?;
        self.running = Some(running);
        Ok(recovered)
    }

    /// A commit or sync failed: nothing is acknowledged until [`Self::reopen`] succeeds.
    pub fn is_poisoned(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.poisoned.load(Ordering::Acquire))
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.running.as_ref().map(|running| running.path.as_path())
    }

    /// Writes what waits, moves the write-ahead log into the database, ends the threads. Dropping does the same.
    pub fn close(self) {}
}

impl Journal for SqliteJournal {
    fn append(&mut self, expected: Seq, epoch: u64, turn: Arc<Turn>, filed: Filed) -> Pending {
        let Some(jobs) = self.running.as_ref().and_then(|running| running.jobs.as_ref()) else {
            return Box::pin(std::future::ready(Appended::Unknown));
        };
        self.appended += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.nonce);
        id[8..].copy_from_slice(&self.appended.to_be_bytes());
        let (answer, answered) = oneshot::channel();
        let job = Job { expected, epoch, turn_id: TurnId(id), turn, filed, answer };
        match jobs.try_send(job) {
            Ok(()) => Box::pin(async move { answered.await.unwrap_or(Appended::Unknown) }),
            Err(_) => Box::pin(std::future::ready(Appended::Unknown)),
        }
    }

    fn read_from(&self, from: Seq) -> Result<Rows, Damage> {
        let from = Seq(from.0.max(1));
        let closed = || Damage::Storage { seq: from, source: rusqlite::Error::InvalidQuery };
        let running = self.running.as_ref().ok_or_else(closed)?;
        let storage = |source| Damage::Storage { seq: from, source };
        let connection = database::reading(&running.path).map_err(storage)?;
        let id = database::journal_id(&connection).map_err(storage)?;
        let end = database::last(&connection).map_err(storage)?.map_or(Seq(0), |last| last.seq);
        Ok(Box::new(Reader::new(connection, &id, from, end)?.map(|stored| stored.and_then(row::Stored::read))))
    }

    fn has_room(&self) -> bool {
        let mut room = self.room.lock();
        if let Some((asked, answer)) = *room
            && asked.elapsed() < Duration::from_millis(DISK_CHECK_INTERVAL.0)
        {
            return answer;
        }
        let answer = self.folder.free_bytes().is_ok_and(|free| free >= self.options.disk_reserve_bytes);
        *room = Some((Instant::now(), answer));
        answer
    }
}

impl Running {
    fn start(folder: &DataFolder, site: &str, options: Options, fold: Fold) -> Result<(Self, Recovered), OpenError> {
        let dir = folder.site(site)?;
        let Opened { path, connection, mut head_file, head, epoch, lacks_history } = open_site(&dir)?;
        head_file.write(&head).map_err(|source| OpenError::Io { path: dir.join(HEAD), source })?;

        let snapshot = snapshot::newest(&dir, &head.journal, &connection)?;
        let snapshot_seq = snapshot.as_ref().map_or(Seq(0), |snapshot| snapshot.seq);
        let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
        let reader =
            Reader::new(database::reading(&path).map_err(sqlite)?, &head.journal, Seq(snapshot_seq.0 + 1), head.seq)?;
        let recovered = Recovered {
            snapshot: snapshot.map(|snapshot| (snapshot.seq, snapshot.state)),
            turns: Box::new(reader.map(|stored| stored.and_then(row::Stored::read))),
            head: head.seq,
            epoch,
            lacks_history,
        };

        let wal_bytes = std::fs::metadata(wal_of(&dir)).map_or(0, |meta| meta.len());
        let poisoned = Arc::new(AtomicBool::new(false));
        let snapshotter = Snapshotter::start(dir, path.clone(), head.journal, fold)
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let (jobs, waiting) = mpsc::channel(JOURNAL_TURNS_WAITING);
        let writer = Writer {
            connection,
            head_file,
            head,
            epoch,
            poisoned: Arc::clone(&poisoned),
            wal_bytes,
            snapshots: snapshotter.requests(),
            turns_since_snapshot: head.seq.0.saturating_sub(snapshot_seq.0),
            bytes_since_snapshot: 0,
            turns_per_snapshot: options.turns_per_snapshot,
            snapshot_after_bytes: options.snapshot_after_bytes,
        };
        let writer = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(waiting))
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let running = Self { path, jobs: Some(jobs), poisoned, writer: Some(writer), snapshotter: Some(snapshotter) };
        Ok((running, recovered))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(snapshotter) = self.snapshotter.take() {
            snapshotter.stop();
        }
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the journal's writer panicked");
        }
    }
}

pub(super) const DATABASE: &str = "journal.db";
pub(super) const HEAD: &str = "head";

fn wal_of(dir: &Path) -> PathBuf {
    dir.join(format!("{DATABASE}-wal"))
}

struct Opened {
    path: PathBuf,
    connection: Connection,
    head_file: HeadFile,
    /// The last turn in the database, at or after the last acknowledged.
    head: Head,
    epoch: u64,
    lacks_history: bool,
}

fn open_site(dir: &Path) -> Result<Opened, OpenError> {
    let (path, head_path) = (dir.join(DATABASE), dir.join(HEAD));
    let wal = wal_of(dir);
    check_file(&dir.join(format!("{DATABASE}-shm")))?;
    let sqlite = |source| database::open_error(&path, source);

    let exists = check_file(&path)?;
    let (head_file, acknowledged) = match HeadFile::open(&head_path)? {
        Some(found) => found,
        None if exists => {
            return Err(OpenError::NotAJournal {
                path: head_path,
                reason: "it is missing, so nothing says which turns were acknowledged; restore it".into(),
            });
        }
        None => {
            let journal = random(dir)?;
            let head = Head { journal, seq: Seq(0), hash: genesis(&journal) };
            (HeadFile::create(&head_path, &head)?, head)
        }
    };
    if acknowledged.seq.0 > 0 && !exists {
        return Err(OpenError::Cut { path, acknowledged: acknowledged.seq, found: Seq(0) });
    }
    private_file(&path)?;
    sync_folder(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    sync_again(&wal)?;

    let connection = database::writing(&path).map_err(sqlite)?;
    let schema = database::schema(&connection).map_err(sqlite)?;
    let lacks_history = matches!(schema, database::Schema::Older);
    match schema {
        database::Schema::Empty if acknowledged.seq.0 > 0 => {
            return Err(OpenError::Cut { path, acknowledged: acknowledged.seq, found: Seq(0) });
        }
        database::Schema::Empty => database::create(&connection, &acknowledged.journal).map_err(sqlite)?,
        database::Schema::Ours => {}
        database::Schema::Older => database::extend(&connection).map_err(sqlite)?,
        database::Schema::Newer { version, known } => return Err(OpenError::Newer { path, version, known }),
        database::Schema::Foreign => {
            return Err(OpenError::NotAJournal { path, reason: "it is a database of something else".into() });
        }
    }
    if database::journal_id(&connection).map_err(sqlite)? != acknowledged.journal {
        return Err(OpenError::NotAJournal {
            path,
            reason: "the head file beside it belongs to another journal".into(),
        });
    }

    let last = database::last(&connection).map_err(sqlite)?;
    let found = last.as_ref().map_or(Seq(0), |last| last.seq);
    if found < acknowledged.seq {
        return Err(OpenError::Cut { path, acknowledged: acknowledged.seq, found });
    }
    let hash = database::hash_at(&connection, acknowledged.seq, &acknowledged.journal).map_err(sqlite)?;
    if hash != Some(acknowledged.hash) {
        return Err(OpenError::NotAcknowledged { path, seq: acknowledged.seq });
    }
    let (head, epoch) = match last {
        Some(last) => (Head { journal: acknowledged.journal, seq: last.seq, hash: last.hash }, last.epoch),
        None => (acknowledged, 0),
    };
    Ok(Opened { path, connection, head_file, head, epoch, lacks_history })
}

/// Writes the write-ahead log over itself and syncs it. After a failed sync the kernel takes its pages for clean though
/// the disk never had them (D3); what is about to be recovered from them would be acted on, and lost by a power cut.
fn sync_again(wal: &Path) -> Result<(), OpenError> {
    if !check_file(wal)? {
        return Ok(());
    }
    let rewrite = |mut file: File| -> io::Result<()> {
        let mut piece = vec![0; 1 << 20];
        loop {
            let at = file.stream_position()?;
            let read = file.read(&mut piece)?;
            if read == 0 {
                return file.sync_all();
            }
            file.seek(io::SeekFrom::Start(at))?;
            file.write_all(&piece[..read])?;
        }
    };
    rewrite(private_file(wal)?).map_err(|source| OpenError::Io { path: wal.to_owned(), source })
}

fn random<const N: usize>(path: &Path) -> Result<[u8; N], OpenError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| OpenError::Io { path: path.to_owned(), source: io::Error::other(error) })?;
    Ok(bytes)
}

impl std::fmt::Debug for Recovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let snapshot = self.snapshot.as_ref().map(|(seq, _)| seq);
        write!(f, "Recovered {{ snapshot: {snapshot:?}, head: {}, epoch: {} }}", self.head, self.epoch)
    }
}

impl Recovered {
    /// All turns after the snapshot, for tests and small journals.
    pub fn rows(self) -> Result<Vec<Row>, Damage> {
        self.turns.collect()
    }
}
