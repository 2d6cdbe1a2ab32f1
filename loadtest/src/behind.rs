//! A small message behind a file transfer in the same session (F8): what somebody at a shell feels while a file moves
//! to a receiver that takes 20 MB a second.

use crate::{
    Failure,
    child::Over,
    lean::{Lean, failed, limit_of},
    report::Report,
    stage::Stage,
};
use bytes::Bytes;
use equipoise::{
    ids::ChannelId,
    limits,
    wire::{
        Flags, Frame, Header, Kind,
        control::{Do, Ev, Open},
    },
};
use hdrhistogram::Histogram;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// What the receiver takes, bytes a second.
    #[arg(long, default_value_t = 20_000_000)]
    rate: u64,
    #[arg(long, value_enum, default_value_t)]
    transport: Over,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Between two small messages.
const EVERY: Duration = Duration::from_millis(10);

pub async fn run(options: Options) -> Result<(), Failure> {
    let mut report = Report::new("behind", 0);
    report.option("rate", options.rate);
    report.option("transport", options.transport.name());
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        let stage = Stage::start(1, 1, options.transport).await?;
        let mut pair = stage.pair(0).await?;
        let shell = shell(&mut pair.writer.lean, &mut pair.reader.lean).await?;
        let until = Instant::now() + Duration::from_secs_f64(options.seconds);
        let started = Instant::now();
        let (sent, received) = tokio::join!(
            send(&mut pair.writer.lean, pair.channel, shell, started, until),
            receive(&mut pair.reader.lean, pair.channel, shell, options.rate, started, until)
        );
        sent?;
        let (latency, bytes) = received?;
        report.round("p50_ms", latency.value_at_quantile(0.5) as f64 / 1e3);
        report.round("p99_ms", latency.value_at_quantile(0.99) as f64 / 1e3);
        report.round("messages", latency.len() as f64);
        report.round("file_mb_per_s", bytes as f64 / 1e6 / started.elapsed().as_secs_f64());
    }
    report.print()
}

async fn shell(customer: &mut Lean, rep: &mut Lean) -> Result<ChannelId, Failure> {
    let session = customer.welcome.session.ok_or_else(|| Failure::Run("the customer is in no session".into()))?;
    let args = [("cols", 80), ("rows", 24)]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), equipoise::wire::control::Value::Int(value)))
        .collect();
    rep.act(Do::Open(Open { session, tool: "shell".into(), args })).await?;
    let open = customer
        .until(|ev| match ev {
            Ev::Requested { open, tool, .. } if tool == "shell" => Some(*open),
            _ => None,
        })
        .await?;
    customer.act(Do::AcceptOpen { session, open, facts: Default::default() }).await?;
    let output = |ev: &Ev| match ev {
        Ev::Opened(opened) if opened.tool == "shell" => {
            let out = opened.channels.iter().find(|channel| channel.kinds.iter().any(|kind| kind == "shell_output"));
            out.map(|channel| ChannelId(channel.channel))
        }
        _ => None,
    };
    rep.until(output).await?;
    customer.until(output).await
}

async fn send(
    lean: &mut Lean,
    file: ChannelId,
    shell: ChannelId,
    started: Instant,
    until: Instant,
) -> Result<(), Failure> {
    let payload = Bytes::from(vec![b'x'; limits::FRAME_PAYLOAD_BYTES]);
    let (mut at, mut limit) = (0, limits::FILE_WINDOW_BYTES);
    let (mut shell_at, mut shell_limit) = (0, limits::INTERACTIVE_WINDOW_BYTES);
    let mut next = Instant::now();
    let mut messages = VecDeque::new();
    while Instant::now() < until {
        if Instant::now() >= next && shell_at + 64 <= shell_limit {
            let mut message = [0; 64];
            message[..8].copy_from_slice(&(started.elapsed().as_micros() as u64).to_be_bytes());
            let header = Header { kind: Kind::ShellOutput, flags: Flags::default(), channel: shell, offset: shell_at };
            lean.send_frame(&Frame { header, payload: Bytes::copy_from_slice(&message) });
            shell_at += 64;
            next += EVERY;
        }
        // A sender's own queue is kept short, or the small message would wait in it.
        while at + payload.len() as u64 <= limit
            && lean.link.waiting() < 2 * limits::FRAME_PAYLOAD_BYTES
            && lean.link.takes(file)
        {
            let header = Header { kind: Kind::File, flags: Flags::default(), channel: file, offset: at };
            lean.send_frame(&Frame { header, payload: payload.clone() });
            at += payload.len() as u64;
        }
        let wake = next.min(until).saturating_duration_since(Instant::now());
        if let Ok(done) = tokio::time::timeout(wake, lean.step(&mut messages)).await {
            done?;
        }
        for message in messages.drain(..) {
            let Ok(frame) = Frame::decode(message) else { continue };
            match limit_of(&frame) {
                Some(raised) if frame.header.channel == file => limit = limit.max(raised),
                Some(raised) if frame.header.channel == shell => shell_limit = shell_limit.max(raised),
                _ => {}
            }
        }
    }
    Ok(())
}

async fn receive(
    lean: &mut Lean,
    file: ChannelId,
    shell: ChannelId,
    rate: u64,
    started: Instant,
    until: Instant,
) -> Result<(Histogram<u64>, u64), Failure> {
    let mut latency = Histogram::<u64>::new(3).map_err(failed)?;
    let (mut at, mut granted) = (0, limits::FILE_WINDOW_BYTES);
    let (mut shell_at, mut shell_granted) = (0, limits::INTERACTIVE_WINDOW_BYTES);
    let mut messages = VecDeque::new();
    let begun = Instant::now();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(done) = tokio::time::timeout(left, lean.step(&mut messages)).await else { break };
        done?;
        for message in messages.drain(..) {
            let Ok(frame) = Frame::decode(message) else { continue };
            if frame.header.channel == file && frame.header.kind == Kind::File {
                at = frame.end();
            } else if frame.header.channel == shell && frame.header.kind == Kind::ShellOutput {
                shell_at = frame.end();
                let sent = frame.payload.first_chunk().map_or(0, |stamp| u64::from_be_bytes(*stamp));
                let took = (started.elapsed().as_micros() as u64).saturating_sub(sent);
                latency.record(took).map_err(failed)?;
            }
        }
        if granted - at <= limits::FILE_WINDOW_BYTES / 2 {
            granted = at + limits::FILE_WINDOW_BYTES;
            lean.send_frame(&Frame::credit(file, at, granted));
        }
        if shell_granted - shell_at <= limits::INTERACTIVE_WINDOW_BYTES / 2 {
            shell_granted = shell_at + limits::INTERACTIVE_WINDOW_BYTES;
            lean.send_frame(&Frame::credit(shell, shell_at, shell_granted));
        }
        // A receiver that takes so much and no more.
        let due = begun + Duration::from_secs_f64(at as f64 / rate as f64);
        if due > Instant::now() {
            tokio::time::sleep_until(due.min(until).into()).await;
        }
    }
    Ok((latency, at))
}
