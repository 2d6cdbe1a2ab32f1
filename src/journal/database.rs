//! The SQLite side: how connections are set, the tables, and rows read from that of turns in order.

use super::{
    OpenError, history,
    row::{Damage, Hash, Stored, TurnId, genesis},
};
use crate::{ids::Seq, limits::JOURNAL_ROWS_PER_PAGE};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, config::DbConfig, params};
use std::{collections::VecDeque, path::Path};

/// "EQPJ": says that a database file is ours.
const APPLICATION_ID: i64 = 0x4551_504a;
/// 1 had turns alone; 2 has the history of sessions beside them.
const SCHEMA_VERSION: i64 = 2;

pub(super) enum Schema {
    Empty,
    Ours,
    /// Of a version that kept no history.
    Older,
    Newer {
        version: i64,
        known: i64,
    },
    Foreign,
}

/// The writer's connection. The log is moved into the database by the writer alone, where its errors are seen; never as
/// a connection closes, which would hide them and would do so after a failed sync as well.
pub(super) fn writing(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

pub(super) fn reading(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

pub(super) fn schema(connection: &Connection) -> rusqlite::Result<Schema> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, version, tables) {
        (0, 0, 0) => Schema::Empty,
        (APPLICATION_ID, version, _) if version > SCHEMA_VERSION => Schema::Newer { version, known: SCHEMA_VERSION },
        (APPLICATION_ID, SCHEMA_VERSION, _) => Schema::Ours,
        (APPLICATION_ID, 1, _) => Schema::Older,
        _ => Schema::Foreign,
    })
}

pub(super) fn create(connection: &Connection, journal: &[u8; 16]) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {SCHEMA_VERSION};
         CREATE TABLE journal (id BLOB NOT NULL) STRICT;
         CREATE TABLE turns (
             seq INTEGER PRIMARY KEY,
             epoch INTEGER NOT NULL,
             turn_id BLOB NOT NULL,
             digest BLOB NOT NULL,
             hash BLOB NOT NULL,
             payload BLOB
         ) STRICT;
         {}",
        history::TABLES
    ))?;
    connection.execute("INSERT INTO journal (id) VALUES (?1)", [journal])?;
    connection.execute_batch("COMMIT")
}

/// Room for the history in a folder of version 1, which it stays until its history is filled in.
pub(super) fn extend(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {} COMMIT", history::TABLES))
}

/// Makes the folder one of the present version.
pub(super) fn is_present(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)
}

pub(super) fn insert(connection: &Connection, row: &Stored) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO turns (seq, epoch, turn_id, digest, hash, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            row.seq.0.cast_signed(),
            row.epoch.cast_signed(),
            row.turn_id.0,
            row.digest,
            row.hash,
            row.payload
        ])
        .map(|_| ())
}

/// Moves the write-ahead log into the database as far as readers allow, synced.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Moves all of it and empties the log, for a clean end.
pub(super) fn checkpoint_whole(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

pub(super) fn journal_id(connection: &Connection) -> rusqlite::Result<[u8; 16]> {
    connection.query_row("SELECT id FROM journal", [], |row| row.get(0))
}

/// The last row, without its payload.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<Option<Stored>> {
    connection
        .query_row("SELECT seq, epoch, turn_id, digest, hash, NULL FROM turns ORDER BY seq DESC LIMIT 1", [], stored)
        .optional()
}

/// The chain's hash at a place; at 0, the one before the first row.
pub(super) fn hash_at(connection: &Connection, seq: Seq, journal: &[u8; 16]) -> rusqlite::Result<Option<Hash>> {
    if seq.0 == 0 {
        return Ok(Some(genesis(journal)));
    }
    connection.query_row("SELECT hash FROM turns WHERE seq = ?1", [seq.0.cast_signed()], |row| row.get(0)).optional()
}

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        seq: Seq(row.get::<_, i64>(0)?.cast_unsigned()),
        epoch: row.get::<_, i64>(1)?.cast_unsigned(),
        turn_id: TurnId(row.get(2)?),
        digest: row.get(3)?,
        hash: row.get(4)?,
        payload: row.get(5)?,
    })
}

/// Says what an error at opening means for the file.
pub(super) fn open_error(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::NotAJournal { path, reason: source.to_string() }
        }
        _ => OpenError::Sqlite { path, source },
    }
}

/// Rows in order from a place to an end, each checked against the one before it. Ends after the first damage.
pub(super) struct Reader {
    connection: Connection,
    next: Seq,
    end: Seq,
    before: Hash,
    page: VecDeque<Stored>,
    over: bool,
}

impl Reader {
    /// `from` is at least 1; `end` is read too.
    pub fn new(connection: Connection, journal: &[u8; 16], from: Seq, end: Seq) -> Result<Self, Damage> {
        let before = Seq(from.0 - 1);
        let over = from > end;
        let before = match hash_at(&connection, before, journal) {
            Ok(Some(hash)) => hash,
            Ok(None) if over => genesis(journal),
            Ok(None) => return Err(Damage::Missing { seq: before, found: end }),
            Err(source) => return Err(Damage::Storage { seq: before, source }),
        };
        Ok(Self { connection, next: from, end, before, page: VecDeque::new(), over })
    }

    fn fill(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "SELECT seq, epoch, turn_id, digest, hash, payload FROM turns WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq LIMIT ?3",
        )?;
        let rows = statement
            .query_map(params![self.next.0.cast_signed(), self.end.0.cast_signed(), JOURNAL_ROWS_PER_PAGE], stored)?;
        for row in rows {
            self.page.push_back(row?);
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Stored, Damage> {
        if self.page.is_empty()
            && let Err(source) = self.fill()
        {
            // What was read before the fault is handed out first, so that the place named is the true one.
            let seq = Seq(self.next.0 + self.page.len() as u64);
            if self.page.is_empty() {
                return Err(Damage::Storage { seq, source });
            }
        }
        let row = self.page.pop_front().ok_or(Damage::Missing { seq: self.next, found: self.end })?;
        row.check(self.next, &self.before)?;
        self.before = row.hash;
        self.next = Seq(self.next.0 + 1);
        Ok(row)
    }
}

impl Iterator for Reader {
    type Item = Result<Stored, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over || self.next > self.end {
            return None;
        }
        let row = self.read();
        self.over = row.is_err();
        Some(row)
    }
}
