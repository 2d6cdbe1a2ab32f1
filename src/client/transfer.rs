//! A file's bytes over a channel, the same at both ends: the writer ends with FIN, says the SHA-256 in a note, and
//! closes when the reader notes that the file is stored (W1.8, W6.2).

use super::{
    ChannelEnd, Reader, Writer,
    file::{FileError, Landing, Source, Stored},
};
use crate::{
    limits,
    wire::{Flags, Kind, control::Value},
};
use bytes::Bytes;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Facts about a channel, as notes carry them.
pub type Facts = BTreeMap<String, Value>;

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    File(#[from] FileError),
    /// The channel ended before the file did.
    #[error("the transfer was cut off: {0}")]
    Channel(#[from] ChannelEnd),
    /// The other end said why it could not go on.
    #[error("the other end says {0}")]
    Other(String),
    #[error("the other end did not answer in time")]
    Silent,
}

/// How far a transfer is, and whether it may go on.
#[derive(Debug)]
pub struct Pace {
    pub done: watch::Sender<u64>,
    pub go: watch::Receiver<bool>,
}

impl Pace {
    /// Waits for nothing.
    pub fn free() -> Self {
        Self { done: watch::Sender::new(0), go: watch::Sender::new(true).subscribe() }
    }

    async fn step(&mut self, done: u64) {
        self.done.send_replace(done);
        // Where nobody can say stop any more, nobody waits.
        let _ = self.go.wait_for(|go| *go).await;
    }
}

/// Sends all of a source, and FIN after the last byte.
pub async fn send(writer: &mut Writer, mut source: Source, pace: &mut Pace) -> Result<Source, TransferError> {
    let mut sent = 0;
    loop {
        let (back, bytes) = blocking(source, Source::read).await?;
        source = back;
        if bytes.is_empty() {
            writer.write(Kind::File, Flags::FIN, Bytes::new()).await?;
            return Ok(source);
        }
        sent += bytes.len() as u64;
        writer.write(Kind::File, Flags::default(), bytes.into()).await?;
        pace.step(sent).await;
    }
}

/// Takes bytes until FIN. One byte more than was declared is refused as it comes, not when a batch is full.
pub async fn receive(reader: &mut Reader, mut landing: Landing, pace: &mut Pace) -> Result<Landing, TransferError> {
    let (mut batch, mut taken) = (Vec::new(), 0);
    loop {
        let chunk = reader.read().await?;
        let last = chunk.as_ref().is_none_or(|chunk| chunk.flags.has(Flags::FIN));
        if let Some(chunk) = chunk {
            taken += chunk.bytes.len() as u64;
            batch.extend_from_slice(&chunk.bytes);
        }
        let too_many = landing.declared().is_some_and(|declared| taken > declared);
        if last || too_many || batch.len() >= limits::FILE_BATCH_BYTES {
            let full = std::mem::take(&mut batch);
            (landing, ()) = blocking(landing, move |landing| landing.write(&full)).await?;
            pace.step(taken).await;
        }
        if last {
            return Ok(landing);
        }
    }
}

/// Checks and commits what arrived, away from the tasks that carry frames.
pub async fn commit(landing: Landing, sha256: String) -> Result<Stored, TransferError> {
    Ok(tokio::task::spawn_blocking(move || landing.commit(&sha256)).await.map_err(stopped)??)
}

/// The text of a fact, if it is one.
pub fn text<'a>(facts: &'a Facts, name: &str) -> Option<&'a str> {
    match facts.get(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// The number of a fact, if it is one and not negative.
pub fn number(facts: &Facts, name: &str) -> Option<u64> {
    match facts.get(name) {
        Some(Value::Int(number)) => u64::try_from(*number).ok(),
        _ => None,
    }
}

pub fn truth(facts: &Facts, name: &str) -> bool {
    matches!(facts.get(name), Some(Value::Bool(true)))
}

/// A number as a value; what no file reaches is cut off.
pub fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

async fn blocking<F: Send + 'static, T: Send + 'static>(
    mut file: F,
    work: impl FnOnce(&mut F) -> Result<T, FileError> + Send + 'static,
) -> Result<(F, T), FileError> {
    let both = move || work(&mut file).map(|done| (file, done));
    tokio::task::spawn_blocking(both).await.map_err(stopped)?
}

/// The runtime is going down.
fn stopped(error: tokio::task::JoinError) -> FileError {
    FileError::Io(std::io::Error::other(error))
}
