//! The journal on real SQLite in real folders: order, snapshots, damage, faults.
#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod faults;
mod golden;
mod history;
mod order;

use equipoise::{
    engine::{Actor, Command, Event, Filed, Request, Stamped, Turn},
    ids::Seq,
    journal::{Appended, DataFolder, Journal, OpenError, Options, Recovered, SqliteJournal},
    time::Time,
};
use std::path::{Path, PathBuf};

/// A data folder of its own for one test.
struct Place {
    _dir: tempfile::TempDir,
    data: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        Self { _dir: dir, data }
    }

    fn site(&self) -> PathBuf {
        self.data.join("sites/main")
    }

    fn open(&self) -> Result<(SqliteJournal, Recovered), OpenError> {
        self.open_with(Options::default())
    }

    fn open_with(&self, options: Options) -> Result<(SqliteJournal, Recovered), OpenError> {
        SqliteJournal::open(&DataFolder::open(&self.data)?, "main", options, fold)
    }

    /// All that a restart finds, as the numbers that `turn` was given.
    fn numbers(&self) -> Result<Vec<u64>, String> {
        let (_journal, recovered) = self.open().map_err(|error| error.to_string())?;
        folded(recovered).map_err(|error| error.to_string())
    }

    /// The places of the snapshots on disk, the newest last.
    fn snapshots(&self) -> Vec<u64> {
        let mut found: Vec<_> = std::fs::read_dir(self.site())
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_prefix("snapshot-")?.parse::<u64>().ok())
            .collect();
        found.sort_unstable();
        found
    }

    fn copy_to(&self, to: &Path) {
        copy(&self.data, to);
    }
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A turn that says a number.
fn turn(number: u64) -> Turn {
    let at = Time(number);
    let request = Request { actor: Actor::System, id: None, command: Command::CivilTime { ms: number } };
    Turn { requests: vec![(at, request)], events: vec![Stamped { at, event: Event::CivilTime { ms: number } }] }
}

fn numbers_of(turn: &Turn) -> impl Iterator<Item = u64> + '_ {
    turn.events.iter().map(|stamped| match stamped.event {
        Event::CivilTime { ms } => ms,
        _ => panic!("not a turn of these tests"),
    })
}

/// The state of these tests: all numbers said so far.
fn fold(state: Option<&[u8]>, turns: &mut dyn Iterator<Item = Turn>) -> Result<Vec<u8>, String> {
    let mut numbers: Vec<u64> = match state {
        Some(state) => rmp_serde::from_slice(state).map_err(|error| error.to_string())?,
        None => Vec::new(),
    };
    for turn in turns {
        numbers.extend(numbers_of(&turn));
    }
    rmp_serde::to_vec(&numbers).map_err(|error| error.to_string())
}

fn folded(recovered: Recovered) -> Result<Vec<u64>, equipoise::journal::Damage> {
    let mut numbers: Vec<u64> = match &recovered.snapshot {
        Some((_, state)) => rmp_serde::from_slice(state).unwrap(),
        None => Vec::new(),
    };
    for row in recovered.rows()? {
        numbers.extend(numbers_of(&row.turn));
    }
    Ok(numbers)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Appends turns saying these numbers at their own places; each must become durable.
fn append(journal: &mut SqliteJournal, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let appended = wait(journal.append(Seq(number), 1, turn(number).into(), Filed::default()));
        assert_eq!(appended, Appended::Durable(Seq(number)));
    }
}
