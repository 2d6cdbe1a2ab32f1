//! What a connection costs while nothing happens on it (F10): pairs in sessions, idle, then after 16 KiB each way.

use crate::{
    Failure,
    child::Over,
    lean::{failed, limit_of},
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
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// What each pair moves before memory is looked at again, one direction after the other.
const MOVED_BYTES: usize = 16 * 1024;
/// Pairs that are set up at once.
const AT_ONCE: usize = 16;
/// A console is shown its team: how large one is belongs to what a connection costs.
const REPS_OF_TEAM: usize = 20;

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
    let stage = std::sync::Arc::new(Stage::start(sessions, sessions.div_ceil(REPS_OF_TEAM), options.transport).await?);
    let before = stage.broker.usage()?;
    let started = Instant::now();
    let mut pairs = Vec::with_capacity(sessions);
    let mut setting_up = JoinSet::new();
    for number in 0..sessions {
        if setting_up.len() == AT_ONCE {
            pairs.push(joined(&mut setting_up).await?);
            if pairs.len() % 500 == 0 {
                eprintln!("{} of {sessions} sessions", pairs.len());
            }
        }
        let stage = stage.clone();
        setting_up.spawn(async move { stage.pair(number).await });
    }
    while !setting_up.is_empty() {
        pairs.push(joined(&mut setting_up).await?);
    }
    report.round("setup_s", started.elapsed().as_secs_f64());

    let (at, still) = (stage.broker.usage()?, Instant::now());
    report.round("idle_kib_per_connection", grown(&before, &at, sessions));
    tokio::time::sleep(Duration::from_secs_f64(options.idle_seconds)).await;
    let cpu = (stage.broker.usage()?.cpu - at.cpu).as_secs_f64();
    report.round("idle_cpu_percent_of_a_core", 100.0 * cpu / still.elapsed().as_secs_f64());

    eprintln!("16 KiB through each");
    for pair in &mut pairs {
        through(pair).await?;
    }
    report.round("used_kib_per_connection", grown(&before, &stage.broker.usage()?, sessions));
    report
        .notes
        .push("resident memory of the broker over what it had before, its sessions and channels included".into());
    report.print()
}

async fn joined(setting_up: &mut JoinSet<Result<Pair, Failure>>) -> Result<Pair, Failure> {
    setting_up.join_next().await.ok_or_else(|| Failure::Run("nothing was being set up".into()))?.map_err(failed)?
}

fn grown(before: &crate::process::Usage, after: &crate::process::Usage, sessions: usize) -> f64 {
    (after.resident_kib as f64 - before.resident_kib as f64) / (sessions * 2) as f64
}

/// The customer's bytes to the rep; the rep's acknowledgement back.
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
    pair.reader.limit = pair.reader.at + limits::WINDOW_BYTES_MAX;
    pair.reader.lean.send_frame(&Frame::credit(pair.channel, pair.reader.at, pair.reader.limit));
    pair.reader.lean.flush(&mut messages).await?;
    while pair.writer.limit < pair.reader.at + limits::FILE_WINDOW_BYTES {
        pair.writer.lean.step(&mut messages).await?;
        for message in messages.drain(..) {
            if let Ok(frame) = Frame::decode(message)
                && let Some(limit) = limit_of(&frame)
            {
                pair.writer.limit = limit;
            }
        }
    }
    Ok(())
}
