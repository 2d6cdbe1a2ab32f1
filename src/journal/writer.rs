//! The one thread that writes: turns that wait share a commit, then the head file, and only then the answers.

use super::{
    Appended, TurnId, database,
    head::{Head, HeadFile},
    history,
    row::{Stored, digest, encode, link},
};
use crate::{
    engine::{Filed, Turn},
    ids::Seq,
    limits::JOURNAL_WAL_BYTES,
};
use rusqlite::Connection;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc::SyncSender,
};
use tokio::sync::{mpsc, oneshot};

/// One turn to append.
pub(super) struct Job {
    pub expected: Seq,
    pub epoch: u64,
    pub turn_id: TurnId,
    pub turn: Arc<Turn>,
    pub filed: Filed,
    pub answer: oneshot::Sender<Appended>,
}

pub(super) struct Writer {
    pub connection: Connection,
    pub head_file: HeadFile,
    pub head: Head,
    pub epoch: u64,
    pub poisoned: Arc<AtomicBool>,
    /// Written to the write-ahead log since it was last moved into the database, about.
    pub wal_bytes: u64,
    pub snapshots: SyncSender<Seq>,
    pub turns_since_snapshot: u64,
    pub bytes_since_snapshot: u64,
    pub turns_per_snapshot: u64,
    pub snapshot_after_bytes: u64,
}

impl Writer {
    pub fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::new();
        while let Some(job) = jobs.blocking_recv() {
            batch.push(job);
            while let Ok(job) = jobs.try_recv() {
                batch.push(job);
            }
            self.write(&mut batch);
            self.tidy();
        }
        if !self.is_poisoned()
            && let Err(error) = database::checkpoint_whole(&self.connection)
        {
            tracing::error!(%error, "the journal's log could not be moved into its database at the end");
        }
    }

    /// One commit for all; then every turn of it has its answer.
    fn write(&mut self, batch: &mut Vec<Job>) {
        if self.is_poisoned() {
            return answer(batch.drain(..).map(|job| (job, Appended::Unknown)));
        }
        match self.commit(batch) {
            Ok(answers) => answer(batch.drain(..).zip(answers)),
            Err(error) => {
                self.poisoned.store(true, Ordering::Release);
                tracing::error!(%error, after = self.head.seq.0, "a commit failed: nothing is acknowledged until the journal is reopened");
                answer(batch.drain(..).map(|job| (job, Appended::Unknown)));
            }
        }
    }

    fn commit(&mut self, batch: &[Job]) -> Result<Vec<Appended>, CommitError> {
        let (mut head, mut epoch, mut bytes, mut bytes_beside) = (self.head, self.epoch, 0, 0);
        let mut keep_from = None;
        let mut answers = Vec::with_capacity(batch.len());
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        for job in batch {
            if job.expected.0 != head.seq.0 + 1 || job.epoch < epoch {
                answers.push(Appended::Fenced);
                continue;
            }
            let payload = encode(&job.turn);
            if payload.len() > job.turn.bytes_max() {
                answers.push(Appended::TooLarge { bytes: payload.len() });
                continue;
            }
            let digest = digest(&payload);
            bytes += payload.len() as u64;
            let row = Stored {
                seq: job.expected,
                epoch: job.epoch,
                turn_id: job.turn_id,
                digest,
                hash: link(&head.hash, job.expected, job.epoch, &digest),
                payload: Some(payload),
            };
            database::insert(&self.connection, &row)?;
            bytes_beside += history::file(&self.connection, row.seq, &job.filed.records)?;
            keep_from = keep_from.max(Some(job.filed.keep_from));
            (head.seq, head.hash, epoch) = (row.seq, row.hash, row.epoch);
            answers.push(Appended::Durable(row.seq));
        }
        if let Some(keep_from) = keep_from {
            history::prune(&self.connection, keep_from)?;
        }
        self.connection.execute_batch("COMMIT")?;
        if head != self.head {
            self.head_file.write(&head)?;
        }
        self.turns_since_snapshot += head.seq.0 - self.head.seq.0;
        self.bytes_since_snapshot += bytes;
        // A page for the row and one for the tree at the least.
        self.wal_bytes += bytes + 8192 + bytes_beside;
        (self.head, self.epoch) = (head, epoch);
        Ok(answers)
    }

    /// What may wait until the answers are out.
    fn tidy(&mut self) {
        if self.is_poisoned() {
            return;
        }
        if self.wal_bytes >= JOURNAL_WAL_BYTES {
            self.wal_bytes = 0;
            if let Err(error) = database::checkpoint(&self.connection) {
                self.poisoned.store(true, Ordering::Release);
                tracing::error!(%error, "moving the journal's log into its database failed");
                return;
            }
        }
        let due = self.turns_since_snapshot >= self.turns_per_snapshot
            || self.bytes_since_snapshot >= self.snapshot_after_bytes;
        // While one is being made the next waits for its turn here.
        if due && self.snapshots.try_send(self.head.seq).is_ok() {
            self.turns_since_snapshot = 0;
            self.bytes_since_snapshot = 0;
        }
    }

    fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }
}

fn answer(answers: impl Iterator<Item = (Job, Appended)>) {
    for (job, appended) in answers {
        // An owner that does not wait any more has dropped its end.
        let _ = job.answer.send(appended);
    }
}

#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error("the database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the head file: {0}")]
    Head(#[from] std::io::Error),
}
