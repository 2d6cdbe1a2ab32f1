//! Sessions that have ended, beside the turns that ended them (BU-048): a table that follows from the turns, written in
//! their commit. What a record says is bytes here; it is filed under its primary rep, its primary team and its end.
//!
//! A record's place says which turn ended its session, and which of that turn's it is; places and ends rise together. So
//! a commit appends and nothing else: a tree by rep or team would cost it a page of the disk for each. Who reads goes from
//! the newest to the oldest through a narrow copy of the columns that decide, and not further than [`limits::HISTORY_LOOKED`].

use super::{OpenError, database, snapshot, sqlite::SqliteJournal};
use crate::{
    engine::{Record, history::Sees},
    ids::{Seq, TeamId, UserId},
    limits,
    time::Time,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::PathBuf;

/// Of a place, for the number in the turn: no turn has so many events.
const BITS: u32 = 20;
const _: () = assert!(limits::IMPORT_BYTES_MAX >> BITS < 128);

/// Who erases a turn's payload erases what was kept of the sessions that it ended.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS history (
        place INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        owner INTEGER,
        team INTEGER,
        told BLOB NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS history_filed ON history (place, owner, team);
    CREATE TRIGGER IF NOT EXISTS history_erased AFTER UPDATE OF payload ON turns
    WHEN new.payload IS NULL AND old.payload IS NOT NULL BEGIN
        DELETE FROM history WHERE place >= new.seq << 20 AND place < (new.seq + 1) << 20;
    END;";

fn place(seq: Seq, number: usize) -> i64 {
    (seq.0.cast_signed() << BITS) | number as i64
}

/// What sessions that this turn ended leave behind. What is there already stays: it was filed from the same turn.
pub(super) fn file(connection: &Connection, seq: Seq, records: &[Record]) -> rusqlite::Result<u64> {
    let mut bytes = 0;
    for (number, record) in records.iter().enumerate() {
        let told = rmp_serde::to_vec_named(&record.told).expect("a record is plain data and memory takes it");
        // A page for the row, and one of the narrow copy.
        bytes += told.len() as u64 + 2 * 4096;
        let (owner, team) = (record.owner.map(|owner| owner.0), record.team.map(|team| team.0));
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO history (place, session, ended, owner, team, told) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![place(seq, number), record.session.0.cast_signed(), record.ended.0.cast_signed(), owner, team, told])?;
    }
    Ok(bytes)
}

/// Some of the records that are over, the oldest first.
pub(super) fn prune(connection: &Connection, keep_from: Time) -> rusqlite::Result<()> {
    let keep_from = keep_from.0.cast_signed();
    let oldest = "SELECT ended FROM history ORDER BY place LIMIT 1";
    let oldest: Option<i64> = connection.prepare_cached(oldest)?.query_row([], |row| row.get(0)).optional()?;
    if oldest.is_none_or(|ended| ended >= keep_from) {
        return Ok(());
    }
    connection
        .prepare_cached(
            "DELETE FROM history WHERE place IN
             (SELECT place FROM (SELECT place, ended FROM history ORDER BY place LIMIT ?2) WHERE ended < ?1)",
        )?
        .execute(params![keep_from, limits::HISTORY_PRUNED_PER_COMMIT as i64])
        .map(|_| ())
}

/// What of the history is asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    /// What who asks may see of it.
    pub sees: Sees,
    /// With this primary rep, and with this primary team.
    pub owner: Option<UserId>,
    pub team: Option<TeamId>,
    /// Ended at this moment or later, and before the other.
    pub since: Option<Time>,
    pub until: Option<Time>,
    /// The `next` of the page before.
    pub before: Option<u64>,
}

/// Records, the newest first, as they were filed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    pub told: Vec<Vec<u8>>,
    /// There are more, before this place.
    pub next: Option<u64>,
}

/// Reads the history, beside whoever writes.
#[derive(Clone, Debug)]
pub struct History {
    pub(super) path: PathBuf,
}

impl History {
    /// Blocks while it reads.
    pub fn page(&self, query: &Query) -> rusqlite::Result<Page> {
        let connection = database::reading(&self.path)?;
        // All of it at one moment.
        connection.execute_batch("BEGIN")?;
        let from = query.since.map_or(Ok(0), |since| first_from(&connection, since))?;
        let mut before = query.before.map_or(i64::MAX, |before| before.min(i64::MAX as u64).cast_signed());
        if let Some(until) = query.until {
            before = before.min(first_from(&connection, until)?);
        }
        let mut narrow = connection.prepare(
            "SELECT place, owner, team FROM history INDEXED BY history_filed
             WHERE place >= ?1 AND place < ?2 ORDER BY place DESC",
        )?;
        let mut told = connection.prepare("SELECT told FROM history WHERE place = ?1")?;
        let (mut page, mut bytes, mut last, mut looked) = (Page::default(), 0, before, 0);
        let mut rows = narrow.query([from, before])?;
        while let Some(row) = rows.next()? {
            let (place, owner, team) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if looked == limits::HISTORY_LOOKED || page.told.len() == limits::HISTORY_ROWS {
                page.next = Some(last.cast_unsigned());
                break;
            }
            looked += 1;
            if query.wants(owner, team) {
                let one: Vec<u8> = told.query_row([place], |row| row.get(0))?;
                bytes += one.len();
                if bytes > limits::HISTORY_PAGE_BYTES && !page.told.is_empty() {
                    page.next = Some(last.cast_unsigned());
                    break;
                }
                page.told.push(one);
            }
            last = place;
        }
        Ok(page)
    }
}

impl Query {
    fn wants(&self, owner: Option<u32>, team: Option<u32>) -> bool {
        let (owner, team) = (owner.map(UserId), team.map(TeamId));
        self.owner.is_none_or(|wanted| owner == Some(wanted))
            && self.team.is_none_or(|wanted| team == Some(wanted))
            && self.sees.covers(owner, team)
    }
}

/// The place of the first record that ended at this moment or later, or the one after the last.
fn first_from(connection: &Connection, moment: Time) -> rusqlite::Result<i64> {
    let moment = moment.0.min(i64::MAX as u64).cast_signed();
    let mut next = connection.prepare("SELECT place, ended FROM history WHERE place >= ?1 ORDER BY place LIMIT 1")?;
    let end = "SELECT coalesce(max(place) + 1, 0) FROM history";
    let (mut low, mut high) = (0, connection.query_row(end, [], |row| row.get::<_, i64>(0))?);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = next.query_row([middle], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).optional()?;
        match found {
            Some((place, ended)) if ended < moment => low = place + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Fills in the history of a folder from before there was one.
pub struct Filling {
    connection: Connection,
    folder: PathBuf,
    waiting: Vec<(Seq, Vec<Record>)>,
    records: usize,
}

impl Filling {
    /// Of the sessions that this turn ended; turns come in order.
    pub fn file(&mut self, seq: Seq, records: Vec<Record>) -> rusqlite::Result<()> {
        self.records += records.len();
        if !records.is_empty() {
            self.waiting.push((seq, records));
        }
        if self.records >= limits::HISTORY_FILLED_AT_ONCE { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        for (seq, records) in self.waiting.drain(..) {
            file(&self.connection, seq, &records)?;
        }
        self.records = 0;
        self.connection.execute_batch("COMMIT")?;
        database::checkpoint(&self.connection)
    }

    /// From here on it is whole, or as whole as it will be: no later start fills it in. Where all of it was read, snapshots
    /// that know no past of the sessions that run are in the way: the next is made of the turns alone.
    pub fn done(mut self, whole: bool) -> Result<(), OpenError> {
        let path = self.folder.clone();
        let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
        self.commit().map_err(sqlite)?;
        if whole {
            snapshot::forget(&self.folder)?;
        }
        database::is_present(&self.connection).map_err(sqlite)
    }
}

impl SqliteJournal {
    /// To read what sessions left behind; none after a failed `reopen`.
    pub fn history(&self) -> Option<History> {
        self.path().map(|path| History { path: path.to_owned() })
    }

    /// Where [`super::Recovered::lacks_history`] says so, before anything is appended.
    pub fn fill_history(&self) -> rusqlite::Result<Filling> {
        let path = self.path().ok_or(rusqlite::Error::InvalidQuery)?;
        let folder = path.parent().unwrap_or(path).to_owned();
        Ok(Filling { connection: database::writing(path)?, folder, waiting: Vec::new(), records: 0 })
    }
}
