//! What a connection costs while nothing happens on it (F10): pairs in sessions, idle, then after 16 KiB each way.

use crate::{
    Failure,
    child::Over,
    lean::failed,
    report::Report,
    stage::{Pair, Stage},
};
use bytes::Bytes;
use equipoise::{
    limits,
    wire::{Flags, Frame, Header, Kind},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

/// What each pair moves before memory is looked at again, one direction after the other.
const MOVED_BYTES: usize = 16 * 1024;
/// Pairs that are set up at once.
pub const AT_ONCE: usize = 16;
/// A console is shown its team: how large one is belongs to what a connection costs.
pub const REPS_OF_TEAM: usize = 20;

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Connections, two for each session.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    #[arg(long, value_enum, default_value_t)]
    transport: Over,
    /// How long to stand still before processor time is measured.
    #[arg(long, default_value_t = 10.0)]
    idle_seconds: f64,
}

pub async fn run(options: Options) -> Result<(), Failure> {
    let sessions = options.connections / 2;
    let mut report = Report::new("connect", 0);
    report.option("connections", sessions * 2);
    report.option("transport", options.transport.name());
    let stage = Arc::new(Stage::start(sessions, sessions.div_ceil(REPS_OF_TEAM), options.transport).await?);
    let before = stage.broker.usage()?;
    let started = Instant::now();
    let (phase, told) = watch::channel(Phase::Idle);
    let (done, mut over) = mpsc::channel(AT_ONCE);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut pairs = JoinSet::new();
    for number in 0..sessions {
        let (stage, places, told, done) = (stage.clone(), places.clone(), told.clone(), done.clone());
        pairs.spawn(async move {
            let place = places.acquire().await.map_err(failed)?;
            let pair = stage.pair(number).await?;
            drop(place);
            live(pair, told, places, done).await
        });
    }
    reached(&mut over, &mut pairs, sessions, "in sessions").await?;
    report.round("setup_s", started.elapsed().as_secs_f64());

    let (at, still) = (stage.broker.usage()?, Instant::now());
    report.round("idle_kib_per_connection", grown(&before, &at, sessions));
    tokio::time::sleep(Duration::from_secs_f64(options.idle_seconds)).await;
    let cpu = (stage.broker.usage()?.cpu - at.cpu).as_secs_f64();
    report.round("idle_cpu_percent_of_a_core", 100.0 * cpu / still.elapsed().as_secs_f64());

    phase.send_replace(Phase::Through);
    reached(&mut over, &mut pairs, sessions, "moved 16 KiB").await?;
    report.round("used_kib_per_connection", grown(&before, &stage.broker.usage()?, sessions));
    report
        .notes
        .push("resident memory of the broker over what it had before, its sessions and channels included".into());
    report.print()
}

/// What the pairs are to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing but answer when the broker asks whether anybody is there.
    Idle,
    /// 16 KiB through each, and then nothing again.
    Through,
}

/// Waits until all pairs are done with what they do.
async fn reached(
    over: &mut mpsc::Receiver<()>,
    pairs: &mut JoinSet<Result<(), Failure>>,
    sessions: usize,
    what: &str,
) -> Result<(), Failure> {
    for count in 1..=sessions {
        tokio::select! {
            _ = over.recv() => {}
            Some(ended) = pairs.join_next() => {
                return Err(ended.map_err(failed)?.err().unwrap_or_else(|| Failure::Run("a pair ended".into())));
            }
        }
        if count % 500 == 0 || count == sessions {
            eprintln!("{count} of {sessions} {what}");
        }
    }
    Ok(())
}

/// A pair from when it is in its session.
async fn live(
    mut pair: Pair,
    mut phase: watch::Receiver<Phase>,
    places: Arc<Semaphore>,
    done: mpsc::Sender<()>,
) -> Result<(), Failure> {
    // What a rep sees of its team is of no interest here.
    pair.reader.lean.only = &["none"];
    pair.writer.lean.only = &["none"];
    done.send(()).await.map_err(failed)?;
    loop {
        tokio::select! {
            changed = phase.changed() => {
                changed.map_err(failed)?;
                let place = places.acquire().await.map_err(failed)?;
                through(&mut pair).await?;
                drop(place);
                done.send(()).await.map_err(failed)?;
            }
            read = pair.writer.lean.read() => drop(read?),
            read = pair.reader.lean.read() => drop(read?),
        }
        pair.writer.lean.frames.clear();
        pair.reader.lean.frames.clear();
    }
}

fn grown(before: &crate::process::Usage, after: &crate::process::Usage, sessions: usize) -> f64 {
    (after.resident_kib as f64 - before.resident_kib as f64) / (sessions * 2) as f64
}

/// The customer's bytes to the rep, and the rep's acknowledgement.
async fn through(pair: &mut Pair) -> Result<(), Failure> {
    let payload = Bytes::from(vec![b'x'; MOVED_BYTES]);
    let header = Header { kind: Kind::File, flags: Flags::default(), channel: pair.channel, offset: pair.writer.at };
    pair.writer.at += payload.len() as u64;
    pair.writer.lean.send_frame(&Frame { header, payload });
    let mut messages = VecDeque::new();
    pair.writer.lean.flush(&mut messages).await?;
    while pair.reader.at < pair.writer.at {
        pair.reader.lean.step(&mut messages).await?;
        for message in messages.drain(..) {
            if message.first() == Some(&(Kind::File as u8)) {
                pair.reader.at = Frame::decode(message).map_err(failed)?.end();
            }
        }
    }
    pair.reader.limit = pair.reader.at + limits::WINDOW_BYTES_MOST;
    pair.reader.lean.send_frame(&Frame::credit(pair.channel, pair.reader.at, pair.reader.limit));
    pair.reader.lean.flush(&mut messages).await
}
