//! Bytes through a session, beside the same bytes through the floors, in turns.

use crate::{
    Failure, Floor,
    child::Over,
    floors::{self, FloorEnds},
    lean::{Lean, credit, failed, limit_of},
    process::Place,
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
    /// How both ends reach the broker.
    #[arg(long, value_enum, default_value_t)]
    pub transport: Over,
    /// Sessions that move bytes at once, one direction each.
    #[arg(long, default_value_t = 1)]
    pub pairs: usize,
    /// Payload of one frame, bytes.
    #[arg(long, default_value_t = 16_384)]
    pub size: usize,
    /// Messages a second over all pairs, each written by itself; 0: as many as go through (F6 is 100 pairs, 20000).
    #[arg(long, default_value_t = 0)]
    pub rate: u64,
    /// One message at a time, there and back: how long it takes (F7).
    #[arg(long)]
    pub ping_pong: bool,
    /// How long each measurement lasts.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Rounds of broker and floors, interleaved; the medians are the result.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
}

/// One measurement of one relay.
pub struct Moved {
    pub bytes: u64,
    /// Of each pair.
    pub shares: Vec<u64>,
    pub messages: u64,
    pub wall: Duration,
    pub cpu: Duration,
    /// Microseconds there and back.
    pub round_trips: Histogram<u64>,
}

pub async fn run(options: Options) -> Result<(), Failure> {
    if options.size == 0 || options.size > limits::FRAME_PAYLOAD_BYTES_MAX {
        return Err(Failure::Run(format!("--size is 1 to {}", limits::FRAME_PAYLOAD_BYTES_MAX)));
    }
    let mut report = Report::new("relay", 0);
    report.option("transport", options.transport.name());
    report.option("pairs", options.pairs);
    report.option("size", options.size);
    report.option("rate", options.rate);
    report.option("ping_pong", options.ping_pong);
    report.option("seconds", options.seconds);
    let stage = Stage::start(options.pairs, 1, options.transport).await?;
    let mut pairs = Vec::new();
    for number in 0..options.pairs {
        pairs.push(stage.pair(number).await?);
    }
    let floors: &[Floor] = match options.transport {
        Over::Quic => &[Floor::Tcp, Floor::Tcp64, Floor::Quinn],
        _ => &[Floor::Tcp, Floor::Tcp64, Floor::Tung],
    };
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        let moved;
        (moved, pairs) = through_broker(&stage, pairs, &options).await?;
        note(&mut report, "equipoise", &moved);
        report.round("fairness_jain", jain(&moved.shares));
        for floor in floors {
            note(&mut report, floor.name(), &through_floor(*floor, &Place::default(), &options).await?);
        }
    }
    report.round("equipoise_resident_kib", stage.broker.usage()?.resident_kib as f64);
    for floor in floors.iter().map(|floor| floor.name()) {
        for (ratio, figure) in [
            ("throughput", "mb_per_s"),
            ("cpu_per_gb", "cpu_s_per_gb"),
            ("cpu_per_message", "cpu_us_per_message"),
            ("round_trip_p50", "round_trip_p50_us"),
        ] {
            report.ratio(
                &format!("{ratio}_{floor}_ratio"),
                &format!("equipoise_{figure}"),
                &format!("{floor}_{figure}"),
            );
        }
    }
    report.print()
}

pub fn note(report: &mut Report, name: &str, moved: &Moved) {
    let seconds = moved.wall.as_secs_f64();
    let cpu = moved.cpu.as_secs_f64();
    report.round(&format!("{name}_mb_per_s"), moved.bytes as f64 / 1e6 / seconds);
    report.round(&format!("{name}_messages_per_s"), moved.messages as f64 / seconds);
    report.round(&format!("{name}_cpu_s_per_gb"), cpu / (moved.bytes as f64 / 1e9));
    report.round(&format!("{name}_cpu_us_per_message"), cpu * 1e6 / moved.messages as f64);
    if !moved.round_trips.is_empty() {
        report.round(&format!("{name}_round_trip_p50_us"), moved.round_trips.value_at_quantile(0.5) as f64);
        report.round(&format!("{name}_round_trip_p99_us"), moved.round_trips.value_at_quantile(0.99) as f64);
    }
}

/// Jain's index of fairness: 1 where everyone has the same share (F9).
fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|share| *share as f64).sum();
    let squares: f64 = shares.iter().map(|share| (*share as f64).powi(2)).sum();
    if squares == 0.0 { 0.0 } else { sum * sum / (shares.len() as f64 * squares) }
}

pub async fn through_broker(stage: &Stage, pairs: Vec<Pair>, options: &Options) -> Result<(Moved, Vec<Pair>), Failure> {
    let until = Instant::now() + Duration::from_secs_f64(options.seconds);
    let (before, started) = (stage.broker.usage()?, Instant::now());
    let load = Load::of(options, until);
    let mut tasks = Vec::new();
    for mut pair in pairs {
        tasks.push(tokio::spawn(async move {
            let moved = if load.ping_pong { pair.ping_pong(load).await? } else { pair.one_way(load).await? };
            Ok::<_, Failure>((moved, pair))
        }));
    }
    let (mut total, mut pairs) = (Total::new()?, Vec::new());
    for task in tasks {
        let (moved, pair) = task.await.map_err(failed)??;
        total.add(moved)?;
        pairs.push(pair);
    }
    Ok((total.moved(options.size, started, stage.broker.usage()?.cpu - before.cpu), pairs))
}

pub async fn through_floor(floor: Floor, place: &Place, options: &Options) -> Result<Moved, Failure> {
    let relay = floors::Relay::start(floor, place)?;
    let mut ends = Vec::new();
    for _ in 0..options.pairs {
        ends.push(relay.pair().await?);
    }
    let until = Instant::now() + Duration::from_secs_f64(options.seconds);
    let (before, started) = (relay.usage()?, Instant::now());
    let load = Load::of(options, until);
    let tasks: Vec<_> = ends.into_iter().map(|ends: FloorEnds| tokio::spawn(ends.run(load))).collect();
    let mut total = Total::new()?;
    for task in tasks {
        total.add(task.await.map_err(failed)??)?;
    }
    Ok(total.moved(options.size, started, relay.usage()?.cpu - before.cpu))
}

/// What one pair is asked to move.
#[derive(Clone, Copy)]
pub struct Load {
    pub size: usize,
    pub ping_pong: bool,
    /// Between two messages of one pair; none: as many as go through.
    pub every: Option<Duration>,
    pub until: Instant,
}

impl Load {
    fn of(options: &Options, until: Instant) -> Self {
        let every = (options.rate > 0).then(|| Duration::from_secs_f64(options.pairs as f64 / options.rate as f64));
        Self { size: options.size, ping_pong: options.ping_pong, every, until }
    }

    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// What one pair moved.
pub struct Share {
    pub bytes: u64,
    pub round_trips: Histogram<u64>,
}

impl Share {
    pub fn new(bytes: u64) -> Result<Self, Failure> {
        Ok(Self { bytes, round_trips: Histogram::new(3).map_err(failed)? })
    }
}

struct Total {
    shares: Vec<u64>,
    round_trips: Histogram<u64>,
}

impl Total {
    fn new() -> Result<Self, Failure> {
        Ok(Self { shares: Vec::new(), round_trips: Histogram::new(3).map_err(failed)? })
    }

    fn add(&mut self, share: Share) -> Result<(), Failure> {
        self.shares.push(share.bytes);
        self.round_trips.add(share.round_trips).map_err(failed)
    }

    fn moved(self, size: usize, started: Instant, cpu: Duration) -> Moved {
        let bytes = self.shares.iter().sum();
        let (wall, messages) = (started.elapsed(), bytes / size as u64);
        Moved { bytes, shares: self.shares, messages, wall, cpu, round_trips: self.round_trips }
    }
}

impl Pair {
    /// From the customer to the rep, as fast as credit and pace allow.
    async fn one_way(&mut self, load: Load) -> Result<Share, Failure> {
        let (writer, reader, channel) = (&mut self.writer, &mut self.reader, self.channel);
        let (sent, received) = tokio::join!(
            send(&mut writer.lean, channel, &mut writer.at, &mut writer.limit, load),
            receive(&mut reader.lean, channel, &mut reader.at, &mut reader.limit, load)
        );
        sent?;
        Share::new(received?)
    }

    /// One message to the rep and its acknowledgement back, again and again: CREDIT passes the broker as a frame does.
    async fn ping_pong(&mut self, load: Load) -> Result<Share, Failure> {
        let mut share = Share::new(0)?;
        let payload = Bytes::from(vec![b'x'; load.size]);
        let mut messages = VecDeque::new();
        while Instant::now() < load.until {
            let began = Instant::now();
            let header =
                Header { kind: Kind::File, flags: Flags::default(), channel: self.channel, offset: self.writer.at };
            self.writer.lean.send_frame(&Frame { header, payload: payload.clone() });
            self.writer.at += load.size as u64;
            self.writer.lean.flush(&mut messages).await?;
            while self.reader.at < self.writer.at {
                self.reader.lean.step(&mut messages).await?;
                for message in messages.drain(..) {
                    if message.first() == Some(&(Kind::File as u8)) {
                        self.reader.at = Frame::decode(message).map_err(failed)?.end();
                    }
                }
            }
            let there = began.elapsed();
            share.round_trips.record(2 * there.as_micros() as u64).map_err(failed)?;
            share.bytes += load.size as u64;
            self.grant().await?;
            while self.writer.limit < self.writer.at + load.size as u64 {
                self.writer.lean.step(&mut messages).await?;
                self.writer.limit = messages.drain(..).fold(self.writer.limit, raised);
            }
        }
        Ok(share)
    }

    /// The reader's word that it has room again.
    async fn grant(&mut self) -> Result<(), Failure> {
        let Some(word) = credit(self.channel, self.reader.at, &mut self.reader.limit) else { return Ok(()) };
        self.reader.lean.send_frame(&word);
        self.reader.lean.flush(&mut VecDeque::new()).await
    }
}

fn raised(limit: u64, message: Bytes) -> u64 {
    Frame::decode(message).ok().as_ref().and_then(limit_of).map_or(limit, |raised| raised.max(limit))
}

async fn send(lean: &mut Lean, channel: ChannelId, sent: &mut u64, limit: &mut u64, load: Load) -> Result<(), Failure> {
    let payload = Bytes::from(vec![b'x'; load.size]);
    let size = load.size as u64;
    let mut messages = VecDeque::new();
    let mut next = Instant::now();
    while Instant::now() < load.until {
        while *sent + size <= *limit && load.every.is_none_or(|_| Instant::now() >= next) && lean.has_room(channel) {
            let header = Header { kind: Kind::File, flags: Flags::default(), channel, offset: *sent };
            lean.send_frame(&Frame { header, payload: payload.clone() });
            *sent += size;
            if let Some(every) = load.every {
                next += every;
                lean.flush(&mut messages).await?;
            }
        }
        let wake = match load.every {
            Some(_) if *sent + size <= *limit => load.left().min(next.saturating_duration_since(Instant::now())),
            _ => load.left(),
        };
        // Time over: what is queued goes out with the next round.
        if let Ok(done) = tokio::time::timeout(wake, lean.step(&mut messages)).await {
            done?;
        }
        *limit = messages.drain(..).fold(*limit, raised);
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
) -> Result<u64, Failure> {
    let first = *at;
    let mut messages = VecDeque::new();
    loop {
        let Ok(done) = tokio::time::timeout(load.left(), lean.step(&mut messages)).await else { break };
        done?;
        for message in messages.drain(..) {
            if message.first() == Some(&(Kind::File as u8)) {
                let frame = Frame::decode(message).map_err(failed)?;
                if frame.header.offset != *at {
                    return Err(Failure::Run(format!("byte {} came where {at} was due", frame.header.offset)));
                }
                *at = frame.end();
            }
        }
        if let Some(word) = credit(channel, *at, granted) {
            lean.send_frame(&word);
        }
    }
    Ok(*at - first)
}
