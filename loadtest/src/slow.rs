//! Slow readers beside fast ones (F12, B-10): what the others feel, and what the broker takes in and holds for the
//! stalled.

use crate::{
    Failure,
    child::Over,
    lean::{Lean, failed, limit_of},
    report::Report,
    stage::{Pair, Stage},
};
use bytes::Bytes;
use equipoise::{
    ids::ChannelId,
    limits,
    wire::{Flags, Frame, Header, Kind},
};
use hdrhistogram::Histogram;
use std::{
    collections::VecDeque,
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

/// What a pair's writer does.
#[derive(Clone, Copy)]
struct Load {
    size: usize,
    /// None: as much as credit allows.
    every: Option<Duration>,
    started: Instant,
    until: Instant,
}

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
    let (before, _, mut pairs) = phase(pairs, 0, &options).await?;
    let resident = stage.broker.usage()?.resident_kib;
    eprintln!("{} of {} readers stop", options.stalled, options.pairs);
    // The writers of the stalled send all they may: what the broker takes in then is what a stalled reader costs.
    pairs.rotate_left(options.pairs - options.stalled);
    let (after, taken, _pairs) = phase(pairs, options.stalled, &options).await?;
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

/// Runs all pairs; the first `stalled` of them have readers that do not read. Gives the latency of the others and what
/// the stalled writers got rid of.
async fn phase(
    pairs: Vec<Pair>,
    stalled: usize,
    options: &Options,
) -> Result<(Histogram<u64>, u64, Vec<Pair>), Failure> {
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(options.seconds);
    let every = Duration::from_secs(1) / options.rate.max(1);
    let mut tasks = Vec::new();
    for (number, mut pair) in pairs.into_iter().enumerate() {
        let reads = number >= stalled;
        let load = Load { size: options.size, every: reads.then_some(every), started, until };
        tasks.push(tokio::spawn(async move {
            let from = pair.writer.at;
            let channel = pair.channel;
            let sending = send(&mut pair.writer.lean, channel, &mut pair.writer.at, &mut pair.writer.limit, load);
            let latency = if reads {
                let reader = &mut pair.reader;
                let receiving = receive(&mut reader.lean, channel, &mut reader.at, &mut reader.limit, load);
                let (sent, latency) = tokio::join!(sending, receiving);
                sent?;
                Some(latency?)
            } else {
                sending.await?;
                None
            };
            Ok::<_, Failure>((latency, pair.writer.at - from, pair))
        }));
    }
    let mut all = Histogram::<u64>::new(3).map_err(failed)?;
    let (mut taken, mut pairs) = (0, Vec::new());
    for task in tasks {
        let (latency, sent, pair) = task.await.map_err(failed)??;
        match latency {
            Some(latency) => all.add(latency).map_err(failed)?,
            None => taken += sent,
        }
        pairs.push(pair);
    }
    Ok((all, taken, pairs))
}

async fn send(lean: &mut Lean, channel: ChannelId, at: &mut u64, limit: &mut u64, load: Load) -> Result<(), Failure> {
    let mut payload = vec![b'x'; load.size];
    let mut messages = VecDeque::new();
    let mut next = Instant::now();
    while Instant::now() < load.until {
        while *at + load.size as u64 <= *limit && Instant::now() >= next && lean.has_room(channel) {
            payload[..8].copy_from_slice(&(load.started.elapsed().as_micros() as u64).to_be_bytes());
            let header = Header { kind: Kind::File, flags: Flags::default(), channel, offset: *at };
            lean.send_frame(&Frame { header, payload: Bytes::copy_from_slice(&payload) });
            *at += load.size as u64;
            next += load.every.unwrap_or_default();
        }
        let due = if *at + load.size as u64 <= *limit { next.min(load.until) } else { load.until };
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
) -> Result<Histogram<u64>, Failure> {
    let mut latency = Histogram::new(3).map_err(failed)?;
    let mut messages = VecDeque::new();
    loop {
        let left = load.until.saturating_duration_since(Instant::now());
        let Ok(done) = tokio::time::timeout(left, lean.step(&mut messages)).await else { break };
        done?;
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
        if *granted - *at <= limits::WINDOW_BYTES_MAX / 2 {
            *granted = *at + limits::WINDOW_BYTES_MAX;
            lean.send_frame(&Frame::credit(channel, *at, *granted));
        }
    }
    Ok(latency)
}
