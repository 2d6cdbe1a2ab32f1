//! Sessions that have ended, beside the turns that ended them (BU-048): a table that follows from the turns, written in
//! their commit. What a record says is bytes here; it is filed under its primary rep, its primary team and its end.
//!
//! A record's place says which turn ended its session, and which of that turn's it is; places and ends rise together.

use super::{database, sqlite::SqliteJournal};
use crate::{
    engine::{Record, history::Walk},
    ids::Seq,
    limits,
    time::Time,
};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter, types::Value};
use std::{collections::BTreeSet, path::PathBuf};

/// Of a place, for the number in the turn: no turn has so many events.
const BITS: u32 = 20;
const _: () = assert!(limits::IMPORT_BYTES_MAX >> BITS < 128);

/// Who erases a turn's payload erases what was kept of the sessions that it ended, and of those ended later that it names:
/// `session` and `customer`, each with the number, as a payload says them.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS history (
        place INTEGER PRIMARY KEY,
        session BLOB NOT NULL,
        ended INTEGER NOT NULL,
        owner INTEGER,
        team INTEGER,
        told BLOB NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS history_ended ON history (ended);
    CREATE INDEX IF NOT EXISTS history_owner ON history (owner) WHERE owner IS NOT NULL;
    CREATE INDEX IF NOT EXISTS history_team ON history (team) WHERE team IS NOT NULL;
    CREATE INDEX IF NOT EXISTS history_both ON history (owner, team) WHERE owner IS NOT NULL AND team IS NOT NULL;
    CREATE TRIGGER IF NOT EXISTS history_erased AFTER UPDATE OF payload ON turns
    WHEN new.payload IS NULL AND old.payload IS NOT NULL BEGIN
        DELETE FROM history WHERE place >= new.seq << 20 AND (
            place < (new.seq + 1) << 20
            OR instr(old.payload, CAST(x'a773657373696f6e' || session AS BLOB)) > 0
            OR instr(old.payload, CAST(x'a8637573746f6d6572' || session AS BLOB)) > 0
        );
    END;";

fn place(seq: Seq, number: usize) -> i64 {
    (seq.0.cast_signed() << BITS) | number as i64
}

/// What sessions that this turn ended leave behind. What is there already stays: it was filed from the same turn.
pub(super) fn file(connection: &Connection, seq: Seq, records: &[Record]) -> rusqlite::Result<u64> {
    let mut bytes = 0;
    for (number, record) in records.iter().enumerate() {
        let told = rmp_serde::to_vec_named(&record.told).expect("a record is plain data and memory takes it");
        let session = rmp_serde::to_vec(&record.session).expect("a number");
        // A page for the row, and one for each tree it is found by.
        bytes += told.len() as u64 + 5 * 4096;
        let (owner, team) = (record.owner.map(|owner| owner.0), record.team.map(|team| team.0));
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO history (place, session, ended, owner, team, told) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![place(seq, number), session, record.ended.0.cast_signed(), owner, team, told])?;
    }
    Ok(bytes)
}

/// Some of the records that are over, the oldest first.
pub(super) fn prune(connection: &Connection, keep_from: Time) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM history WHERE place IN (SELECT place FROM history WHERE ended < ?1 ORDER BY ended LIMIT ?2)",
        )?
        .execute(params![keep_from.0.cast_signed(), limits::HISTORY_PRUNED_PER_COMMIT as i64])
        .map(|_| ())
}

/// What of the history is asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Query {
    /// Whatever one of them leads to.
    pub walks: Vec<Walk>,
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
    /// Blocks while it reads: each walk is one look into an index.
    pub fn page(&self, query: &Query) -> rusqlite::Result<Page> {
        let connection = database::reading(&self.path)?;
        // All of it at one moment.
        connection.execute_batch("BEGIN")?;
        let Some((from, before)) = bounds(&connection, query)? else { return Ok(Page::default()) };
        let places = newest(&connection, &query.walks, from, before)?;
        let (mut page, mut bytes) = (Page::default(), 0);
        let mut told = connection.prepare("SELECT told FROM history WHERE place = ?1")?;
        for place in places.iter().rev() {
            let one: Vec<u8> = told.query_row([place], |row| row.get(0))?;
            bytes += one.len();
            if page.told.len() == limits::HISTORY_ROWS || (bytes > limits::HISTORY_PAGE_BYTES && !page.told.is_empty())
            {
                // The last one that was told.
                page.next = places.iter().rev().nth(page.told.len() - 1).map(|place| place.cast_unsigned());
                break;
            }
            page.told.push(one);
        }
        Ok(page)
    }
}

/// The places asked for: from one on, before another; none: there are none.
fn bounds(connection: &Connection, query: &Query) -> rusqlite::Result<Option<(i64, i64)>> {
    let find = |sql: &str, at: Time| {
        connection.query_row(sql, [at.0.min(i64::MAX as u64).cast_signed()], |row| row.get::<_, i64>(0)).optional()
    };
    let mut before = query.before.map_or(i64::MAX, |before| before.min(i64::MAX as u64).cast_signed());
    if let Some(until) = query.until {
        let newest = "SELECT place FROM history WHERE ended < ?1 ORDER BY ended DESC, place DESC LIMIT 1";
        let Some(newest) = find(newest, until)? else { return Ok(None) };
        before = before.min(newest + 1);
    }
    let from = match query.since {
        None => Some(0),
        Some(since) => find("SELECT place FROM history WHERE ended >= ?1 ORDER BY ended, place LIMIT 1", since)?,
    };
    Ok(from.map(|from| (from, before)))
}

/// The newest that any walk leads to: a page of them and one more.
fn newest(connection: &Connection, walks: &[Walk], mut from: i64, before: i64) -> rusqlite::Result<BTreeSet<i64>> {
    let most = limits::HISTORY_ROWS + 1;
    let mut places = BTreeSet::new();
    for Walk { owner, team } in walks {
        let filed = match (owner, team) {
            (None, None) => "",
            (Some(_), None) => "AND owner = ?4",
            (None, Some(_)) => "AND team = ?4",
            (Some(_), Some(_)) => "AND owner = ?4 AND team = ?5",
        };
        let sql =
            format!("SELECT place FROM history WHERE place >= ?1 AND place < ?2 {filed} ORDER BY place DESC LIMIT ?3");
        let under = [owner.map(|owner| owner.0), team.map(|team| team.0)].into_iter().flatten().map(i64::from);
        let values = [from, before, most as i64].into_iter().chain(under).map(Value::Integer);
        let mut statement = connection.prepare_cached(&sql)?;
        for place in statement.query_map(params_from_iter(values), |row| row.get::<_, i64>(0))? {
            places.insert(place?);
        }
        while places.len() > most {
            places.pop_first();
        }
        if places.len() == most {
            // What is older than these is not asked for any more.
            from = places.first().copied().unwrap_or(from);
        }
    }
    Ok(places)
}

/// Fills in the history of a folder from before there was one.
pub struct Filling {
    connection: Connection,
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

    /// From here on it is whole, or as whole as it will be: no later start fills it in.
    pub fn done(mut self) -> rusqlite::Result<()> {
        self.commit()?;
        database::is_present(&self.connection)
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
        Ok(Filling { connection: database::writing(path)?, waiting: Vec::new(), records: 0 })
    }
}
