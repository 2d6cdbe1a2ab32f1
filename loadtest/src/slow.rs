//! Slow readers beside fast ones (F12, B-10): what the others feel, and what the broker takes in and holds for the
//! stalled.

use crate::{
    Failure,
    child::Over,
    lean::{Lean, credit, failed, limit_of},
    report::Report,
    stage::{Pair, Stage},
};
use bytes::Bytes;
use equipoise::{
    ids::ChannelId,
    wire::{Flags, Frame, Header, Kind},
};
use hdrhistogram::Histogram;
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    #[arg(long, value_enum, default_value_t)]
    transport: Over,
    /// Pairs in all.
    #[arg(long, default_value_t = 200)]
    pairs: usize,
    /// How many of them have a reader that stops reading, while its writer goes on.
    #[arg(long, default_value_t = 20)]
    stalled: usize,
    /// Messages a second of each pair.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Payload of a message, bytes.
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// How long each of the two phases lasts: everybody reads, then some do not.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// What all pairs do for a while.
#[derive(Clone, Copy)]
pub struct Phase {
    /// Payload of a message, bytes.
    pub size: usize,
    /// Messages a second of each pair.
    pub rate: u32,
    pub length: Duration,
    /// How long the readers wait for what is still on its way then.
    pub drain: Duration,
}

/// What came of a phase.
pub struct Ran {
    /// Of each message that arrived, microseconds.
    pub latency: Histogram<u64>,
    /// Messages sent to those who read.
    pub sent: u64,
    /// Bytes that the writers of stalled readers got rid of.
    taken: u64,
    pairs: Vec<Pair>,
}

/// What a pair's writer does.
#[derive(Clone, Copy)]
struct Load {
    size: usize,
    /// None: as much as credit allows.
    every: Option<Duration>,
    started: Instant,
    until: Instant,
    drained: Instant,
}

/// What a writer that runs late had to wait for is part of a message's way; a timer's grain is not.
const LATE: Duration = Duration::from_millis(2);

pub async fn run(options: Options) -> Result<(), Failure> {
    if options.stalled > options.pairs || options.size < 8 {
        return Err(Failure::Run("--stalled is at most --pairs, --size at least 8".into()));
    }
    let mut report = Report::new("slow", 0);
    report.option("transport", options.transport.name());
    report.option("pairs", options.pairs);
    report.option("stalled", options.stalled);
    report.option("rate", options.rate);
    report.option("size", options.size);
    let stage = Stage::start(options.pairs, options.pairs.div_ceil(10), options.transport).await?;
    let mut pairs = Vec::new();
    for number in 0..options.pairs {
        pairs.push(stage.pair(number).await?);
    }
    eprintln!("everybody reads");
    let phase = Phase {
        size: options.size,
        rate: options.rate,
        length: Duration::from_secs_f64(options.seconds),
        drain: Duration::ZERO,
    };
    let Ran { latency: before, mut pairs, .. } = run_pairs(pairs, 0, phase).await?;
    let resident = stage.broker.usage()?.resident_kib;
    eprintln!("{} of {} readers stop", options.stalled, options.pairs);
    // The writers of the stalled send all they may: what the broker takes in then is what a stalled reader costs.
    pairs.rotate_left(options.pairs - options.stalled);
    let Ran { latency: after, taken, pairs: _pairs, .. } = run_pairs(pairs, options.stalled, phase).await?;
    let grown = stage.broker.usage()?.resident_kib as f64 - resident as f64;
    let quantile = |histogram: &Histogram<u64>, q| histogram.value_at_quantile(q) as f64 / 1e3;
    report.round("before_p50_ms", quantile(&before, 0.5));
    report.round("before_p99_ms", quantile(&before, 0.99));
    report.round("beside_stalled_p50_ms", quantile(&after, 0.5));
    report.round("beside_stalled_p99_ms", quantile(&after, 0.99));
    report.round("p99_bound_ms", 1.2 * quantile(&before, 0.99) + 2.0);
    if options.stalled > 0 {
        report.round("taken_in_kib_per_stalled", taken as f64 / 1024.0 / options.stalled as f64);
        report.round("resident_kib_per_stalled", grown / options.stalled as f64);
    }
    report.notes.push("taken in: what a stalled reader's writer got rid of, kernel buffers included".into());
    report.print()
}

/// Runs all pairs; the first `stalled` of them have readers that do not read.
pub async fn run_pairs(pairs: Vec<Pair>, stalled: usize, phase: Phase) -> Result<Ran, Failure> {
    let started = Instant::now();
    let until = started + phase.length;
    let every = Duration::from_secs(1) / phase.rate.max(1);
    let mut tasks = Vec::new();
    for (number, mut pair) in pairs.into_iter().enumerate() {
        let reads = number >= stalled;
        let every = reads.then_some(every);
        let load = Load { size: phase.size, every, started, until, drained: until + phase.drain };
        tasks.push(tokio::spawn(async move {
            let from = pair.writer.at;
            let channel = pair.channel;
            let last = AtomicU64::new(u64::MAX);
            let sending =
                send(&mut pair.writer.lean, channel, &mut pair.writer.at, &mut pair.writer.limit, load, &last);
            let latency = if reads {
                let reader = &mut pair.reader;
                let receiving = receive(&mut reader.lean, channel, &mut reader.at, &mut reader.limit, load, &last);
                tokio::pin!(sending, receiving);
                Some(tokio::select! {
                    latency = &mut receiving => latency?,
                    sent = &mut sending => {
                        sent?;
                        receiving.await?
                    }
                })
            } else {
                sending.await?;
                None
            };
            Ok::<_, Failure>((latency, pair.writer.at - from, pair))
        }));
    }
    let latency = Histogram::<u64>::new(3).map_err(failed)?;
    let mut ran = Ran { latency, sent: 0, taken: 0, pairs: Vec::new() };
    for task in tasks {
        let (latency, bytes, pair) = task.await.map_err(failed)??;
        match latency {
            Some(latency) => {
                ran.latency.add(latency).map_err(failed)?;
                ran.sent += bytes / phase.size as u64;
            }
            None => ran.taken += bytes,
        }
        ran.pairs.push(pair);
    }
    Ok(ran)
}

async fn send(
    lean: &mut Lean,
    channel: ChannelId,
    at: &mut u64,
    limit: &mut u64,
    load: Load,
    last: &AtomicU64,
) -> Result<(), Failure> {
    let mut payload = vec![b'x'; load.size];
    let mut messages = VecDeque::new();
    let mut next = Instant::now();
    while Instant::now() < load.drained.max(load.until) {
        if Instant::now() >= load.until {
            last.store(*at, Relaxed);
        }
        while Instant::now() < load.until
            && *at + load.size as u64 <= *limit
            && Instant::now() >= next
            && lean.has_room(channel)
        {
            let stamp = if load.every.is_some() && next.elapsed() > LATE { next } else { Instant::now() };
            let stamp = stamp.saturating_duration_since(load.started).as_micros() as u64;
            payload[..8].copy_from_slice(&stamp.to_be_bytes());
            let header = Header { kind: Kind::File, flags: Flags::default(), channel, offset: *at };
            lean.send_frame(&Frame { header, payload: Bytes::copy_from_slice(&payload) });
            *at += load.size as u64;
            next += load.every.unwrap_or_default();
        }
        let sends = Instant::now() < load.until;
        let end = if sends { load.until } else { load.drained };
        let may = sends && *at + load.size as u64 <= *limit && lean.has_room(channel);
        let due = if may { next.min(end) } else { end };
        let wake = due.saturating_duration_since(Instant::now());
        if let Ok(done) = tokio::time::timeout(wake, lean.step(&mut messages)).await {
            done?;
        }
        for message in messages.drain(..) {
            let raised = Frame::decode(message).ok().as_ref().and_then(limit_of);
            *limit = raised.unwrap_or_default().max(*limit);
        }
        lean.link.freed();
    }
    Ok(())
}

async fn receive(
    lean: &mut Lean,
    channel: ChannelId,
    at: &mut u64,
    granted: &mut u64,
    load: Load,
    last: &AtomicU64,
) -> Result<Histogram<u64>, Failure> {
    let mut latency = Histogram::new(3).map_err(failed)?;
    let mut messages = VecDeque::new();
    while Instant::now() < load.drained && *at < last.load(Relaxed) {
        let end = if Instant::now() < load.until { load.until } else { load.drained.min(Instant::now() + LATE) };
        let left = end.saturating_duration_since(Instant::now());
        if let Ok(done) = tokio::time::timeout(left, lean.step(&mut messages)).await {
            done?;
        }
        for message in messages.drain(..) {
            let Ok(frame) = Frame::decode(message) else { continue };
            if frame.header.kind == Kind::File {
                *at = frame.end();
                let sent = frame.payload.first_chunk().map_or(0, |stamp| u64::from_be_bytes(*stamp));
                // What was sent in the phase before counts for nothing.
                if let Some(took) = (load.started.elapsed().as_micros() as u64).checked_sub(sent) {
                    latency.record(took).map_err(failed)?;
                }
            }
        }
        if let Some(word) = credit(channel, *at, granted) {
            lean.send_frame(&word);
        }
    }
    Ok(latency)
}
