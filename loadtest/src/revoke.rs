//! A right taken away while bytes flow (F19): one session's, from the customer's word to the answer, and an edit of the
//! site that touches every session. After the answer no byte passes the final offsets that it named.

use crate::{
    Failure,
    child::Over,
    lean::{Lean, failed},
    report::Report,
    stage::{Pair, Stage},
};
use equipoise::{
    limits,
    wire::{
        Flags, Frame, Header, Kind,
        control::{Do, Done},
    },
};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Pairs that come at once: what they ask for shares turns, so that a slow disk does not make it minutes.
const PAIRS_AT_ONCE: usize = 50;
/// Readers that do not read answer no ping, and the broker takes who says nothing for dead after 45 s.
pub const SPEAKS_EVERY: Duration = Duration::from_secs(10);

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    #[arg(long, value_enum, default_value_t)]
    transport: Over,
    /// Sessions with an open file each.
    #[arg(long, default_value_t = 1_000)]
    sessions: usize,
    /// Of them, those whose customer takes its file back alone.
    #[arg(long, default_value_t = 100)]
    alone: usize,
    /// Frames of 16 KiB on their way in each session: less than its window, so that they wait with the slow reader.
    #[arg(long, default_value_t = 8)]
    frames: u64,
}

pub async fn run(options: Options) -> Result<(), Failure> {
    let most = limits::FILE_WINDOW_BYTES / limits::FRAME_PAYLOAD_BYTES as u64;
    if options.alone >= options.sessions || options.frames > most {
        return Err(Failure::Run(format!("--alone is below --sessions, --frames at most {most}")));
    }
    let mut report = Report::new("revoke", 0);
    report.option("transport", options.transport.name());
    report.option("sessions", options.sessions);
    report.option("frames", options.frames);
    let stage = Stage::start(options.sessions, 1, options.transport).await?;
    let mut pairs: Vec<Pair> = Vec::with_capacity(options.sessions);
    let mut spoken = Instant::now();
    while pairs.len() < options.sessions {
        let some = pairs.len()..options.sessions.min(pairs.len() + PAIRS_AT_ONCE);
        let stage = &stage;
        let some = some.map(|number| async move {
            let mut pair = stage.pair(number).await?;
            fill(&mut pair, options.frames).await?;
            Ok::<_, Failure>(pair)
        });
        pairs.extend(try_join_all(some).await?);
        eprintln!("{} of {} sessions", pairs.len(), options.sessions);
        if spoken.elapsed() >= SPEAKS_EVERY {
            spoken = Instant::now();
            for pair in &mut pairs {
                pair.writer.lean.speak().await?;
                pair.reader.lean.speak().await?;
            }
        }
    }

    // One session each: the answer comes when the gate is shut, the queue purged and the event durable.
    let mut alone = Histogram::<u64>::new(3).map_err(failed)?;
    let mut rest = pairs.split_off(options.alone);
    for pair in &mut pairs {
        let session =
            pair.writer.lean.welcome.session.ok_or_else(|| Failure::Run("a customer has a session".into()))?;
        let started = Instant::now();
        let done = pair.writer.lean.act(Do::TakeBack { session, tool: Some("file_transfer".into()) }).await?;
        alone.record(started.elapsed().as_micros() as u64).map_err(failed)?;
        let Done::Revoked { finals, .. } = done else { return Err(Failure::Run(format!("{done:?}"))) };
        let named = finals.iter().find(|last| last.channel == pair.channel.0).map(|last| last.offset);
        ends_where_named(pair, named).await?;
    }
    report.round("one_answered_p50_ms", alone.value_at_quantile(0.5) as f64 / 1e3);
    report.round("one_answered_p99_ms", alone.value_at_quantile(0.99) as f64 / 1e3);

    // Everybody at once.
    let text = stage.site().replace("file_transfer = \"both\"", "file_transfer = \"none\"");
    let mut root = stage.administrator().await?;
    let (took, done) = apply(&mut root, &text).await?;
    report.round("all_answered_ms", took.as_secs_f64() * 1e3);
    let Done::Applied { sessions, legs, finals, .. } = done else { return Err(Failure::Run(format!("{done:?}"))) };
    report.round("sessions_changed", f64::from(sessions));
    report.round("legs_ended", f64::from(legs));
    let finals: BTreeMap<u32, u64> = finals.iter().map(|last| (last.channel, last.offset)).collect();
    for pair in &mut rest {
        let named = finals.get(&pair.channel.0).copied();
        ends_where_named(pair, named).await?;
    }
    report.notes.push("no byte came beyond a final offset".into());
    report.print()
}

/// Sends an edited site, and says how long its last piece took to be answered.
pub async fn apply(root: &mut Lean, text: &str) -> Result<(Duration, Done), Failure> {
    let mut rest = text;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(limits::SITE_PIECE_BYTES));
        rest = after;
        let more = !after.is_empty();
        let started = Instant::now();
        let done = root.act(Do::ApplySite { text: piece.to_owned(), more, version: None }).await?;
        if !more {
            return Ok((started.elapsed(), done));
        }
    }
}

/// The reader reads nothing meanwhile: what is sent waits with it.
async fn fill(pair: &mut Pair, frames: u64) -> Result<(), Failure> {
    let payload = bytes::Bytes::from(vec![0; limits::FRAME_PAYLOAD_BYTES]);
    let mut messages = VecDeque::new();
    for _ in 0..frames {
        while !pair.writer.lean.has_room(pair.channel) {
            pair.writer.lean.step(&mut messages).await?;
        }
        let header =
            Header { kind: Kind::File, flags: Flags::default(), channel: pair.channel, offset: pair.writer.at };
        let frame = Frame { header, payload: payload.clone() };
        pair.writer.at = frame.end();
        pair.writer.lean.send_frame(&frame);
    }
    // Only credit comes on a channel that fills.
    pair.writer.lean.flush(&mut messages).await
}

/// Reads to the close, which must say what the answer said, and counts what came.
async fn ends_where_named(pair: &mut Pair, named: Option<u64>) -> Result<(), Failure> {
    let mut got = 0;
    loop {
        while let Some(frame) = pair.reader.lean.frames.pop_front() {
            if frame.header.channel != pair.channel {
                continue;
            }
            match frame.header.kind {
                Kind::File => got = frame.end(),
                Kind::Close => {
                    let last = frame.header.offset;
                    if got > last || named.is_some_and(|named| named != last) {
                        return Err(Failure::Run(format!(
                            "{got} bytes came, the close said {last}, the answer {named:?}"
                        )));
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        pair.reader.lean.read().await?;
    }
}
