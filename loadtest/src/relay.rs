//! Bytes through a session, beside the same bytes through the floors, in turns.

use crate::{
    Failure, Floor,
    lean::{Lean, failed, limit_of, step},
    process::Measured,
    report::Report,
    stage::{Pair, Stage},
};
use bytes::Bytes;
use equipoise::{
    framing::websocket::{End, Socket},
    ids::ChannelId,
    limits,
    wire::{Flags, Frame, Header, Kind},
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What waits in a generator's own buffer at most: four writes of the broker's batch.
const GENERATOR_BYTES: usize = 4 * limits::WRITE_BATCH_BYTES;

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Sessions that move bytes at once, one direction each.
    #[arg(long, default_value_t = 1)]
    pairs: usize,
    /// Payload of one frame, bytes.
    #[arg(long, default_value_t = 16_384)]
    size: usize,
    /// How long each measurement lasts.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds of broker and floors, interleaved; the medians are the result.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// One measurement of one relay.
struct Moved {
    bytes: u64,
    messages: u64,
    wall: Duration,
    cpu: Duration,
}

pub async fn run(options: Options) -> Result<(), Failure> {
    if options.size == 0 || options.size > limits::FRAME_PAYLOAD_BYTES_MAX {
        return Err(Failure::Run(format!("--size is 1 to {}", limits::FRAME_PAYLOAD_BYTES_MAX)));
    }
    let mut report = Report::new("relay", 0);
    report.option("transport", "ws");
    report.option("pairs", options.pairs);
    report.option("size", options.size);
    report.option("seconds", options.seconds);
    let stage = Stage::start(options.pairs, 1).await?;
    let mut pairs = Vec::new();
    for number in 0..options.pairs {
        pairs.push(stage.pair(number).await?);
    }
    let floors = [(Floor::Tcp, "tcp"), (Floor::Tcp64, "tcp64"), (Floor::Tung, "tung")];
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        let moved;
        (moved, pairs) = through_broker(&stage, pairs, &options).await?;
        note(&mut report, "equipoise", &moved);
        for (floor, name) in floors {
            note(&mut report, name, &through_floor(floor, &options).await?);
        }
    }
    report.round("equipoise_resident_kib", stage.broker.usage()?.resident_kib as f64);
    for (_, floor) in floors {
        report.ratio(&format!("throughput_{floor}_ratio"), "equipoise_mb_per_s", &format!("{floor}_mb_per_s"));
        report.ratio(&format!("cpu_per_gb_{floor}_ratio"), "equipoise_cpu_s_per_gb", &format!("{floor}_cpu_s_per_gb"));
        let (ours, theirs) = ("equipoise_cpu_us_per_message", format!("{floor}_cpu_us_per_message"));
        report.ratio(&format!("cpu_per_message_{floor}_ratio"), ours, &theirs);
    }
    report.print()
}

fn note(report: &mut Report, name: &str, moved: &Moved) {
    let seconds = moved.wall.as_secs_f64();
    let cpu = moved.cpu.as_secs_f64();
    report.round(&format!("{name}_mb_per_s"), moved.bytes as f64 / 1e6 / seconds);
    report.round(&format!("{name}_messages_per_s"), moved.messages as f64 / seconds);
    report.round(&format!("{name}_cpu_s_per_gb"), cpu / (moved.bytes as f64 / 1e9));
    report.round(&format!("{name}_cpu_us_per_message"), cpu * 1e6 / moved.messages as f64);
}

async fn through_broker(stage: &Stage, pairs: Vec<Pair>, options: &Options) -> Result<(Moved, Vec<Pair>), Failure> {
    let until = Instant::now() + Duration::from_secs_f64(options.seconds);
    let (size, before, started) = (options.size, stage.broker.usage()?, Instant::now());
    let mut tasks = Vec::new();
    for pair in pairs {
        tasks.push(tokio::spawn(async move {
            let Pair { mut writer, mut reader, channel } = pair;
            let mut sent = writer.at;
            let (sending, receiving) =
                tokio::join!(send(&mut writer.lean, channel, &mut sent, &mut writer.limit, size, until), async {
                    receive(&mut reader.lean, channel, &mut reader.at, &mut reader.limit, until).await
                });
            writer.at = sent;
            sending?;
            let received = receiving?;
            Ok::<_, Failure>((received, Pair { writer, reader, channel }))
        }));
    }
    let (mut bytes, mut pairs) = (0, Vec::new());
    for task in tasks {
        let (received, pair) = task.await.map_err(failed)??;
        bytes += received;
        pairs.push(pair);
    }
    let moved = Moved {
        bytes,
        messages: bytes / size as u64,
        wall: started.elapsed(),
        cpu: stage.broker.usage()?.cpu - before.cpu,
    };
    Ok((moved, pairs))
}

async fn send(
    lean: &mut Lean,
    channel: ChannelId,
    sent: &mut u64,
    limit: &mut u64,
    size: usize,
    until: Instant,
) -> Result<(), Failure> {
    let payload = vec![b'x'; size];
    let mut messages = VecDeque::new();
    while Instant::now() < until {
        while *sent + size as u64 <= *limit && lean.socket.waiting() < GENERATOR_BYTES {
            let header = Header { kind: Kind::File, flags: Flags::default(), channel, offset: *sent };
            lean.socket.queue(&header.encode(), &payload);
            *sent += size as u64;
        }
        let left = until.saturating_duration_since(Instant::now());
        // Time over: what is queued goes out with the next round.
        let Ok(done) = tokio::time::timeout(left, step(&mut lean.socket, &mut messages)).await else { break };
        done?;
        for message in messages.drain(..) {
            if let Ok(frame) = Frame::decode(message)
                && let Some(raised) = limit_of(&frame)
            {
                *limit = raised.max(*limit);
            }
        }
    }
    Ok(())
}

async fn receive(
    lean: &mut Lean,
    channel: ChannelId,
    at: &mut u64,
    granted: &mut u64,
    until: Instant,
) -> Result<u64, Failure> {
    let first = *at;
    let mut messages = VecDeque::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(done) = tokio::time::timeout(left, step(&mut lean.socket, &mut messages)).await else { break };
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
        if *granted - *at <= limits::WINDOW_BYTES_MAX / 2 {
            *granted = *at + limits::WINDOW_BYTES_MAX;
            lean.send_frame(&Frame::credit(channel, *at, *granted));
        }
    }
    Ok(*at - first)
}

async fn through_floor(floor: Floor, options: &Options) -> Result<Moved, Failure> {
    let measured = Measured::start(&["floor", &format!("{floor:?}").to_lowercase()])?;
    let address: SocketAddr = measured.hello.parse().map_err(failed)?;
    let mut ends = Vec::new();
    for _ in 0..options.pairs {
        ends.push((TcpStream::connect(address).await?, TcpStream::connect(address).await?));
    }
    let until = Instant::now() + Duration::from_secs_f64(options.seconds);
    let (before, started, size) = (measured.usage()?, Instant::now(), options.size);
    let mut tasks = Vec::new();
    for (from, to) in ends {
        tasks.push(tokio::spawn(async move {
            if floor == Floor::Tung {
                let (from, to) = tokio::join!(upgraded(from, address), upgraded(to, address));
                let (mut from, mut to) = (from?, to?);
                let sending = async {
                    let payload = vec![b'x'; size + limits::FRAME_HEADER_BYTES];
                    let mut messages = VecDeque::new();
                    while Instant::now() < until {
                        while from.waiting() < GENERATOR_BYTES {
                            from.queue(&payload, &[]);
                        }
                        let left = until.saturating_duration_since(Instant::now());
                        let Ok(done) = tokio::time::timeout(left, step(&mut from, &mut messages)).await else { break };
                        done?;
                    }
                    Ok::<_, Failure>(())
                };
                let receiving = async {
                    let mut messages = VecDeque::new();
                    let mut bytes = 0;
                    loop {
                        let left = until.saturating_duration_since(Instant::now());
                        let Ok(done) = tokio::time::timeout(left, step(&mut to, &mut messages)).await else { break };
                        done?;
                        let payload = |message: Bytes| (message.len() - limits::FRAME_HEADER_BYTES) as u64;
                        bytes += messages.drain(..).map(payload).sum::<u64>();
                    }
                    Ok::<_, Failure>(bytes)
                };
                let (sent, received) = tokio::join!(sending, receiving);
                sent?;
                received
            } else {
                plain(from, to, until).await
            }
        }));
    }
    let mut bytes = 0;
    for task in tasks {
        bytes += task.await.map_err(failed)??;
    }
    let cpu = measured.usage()?.cpu - before.cpu;
    Ok(Moved { bytes, messages: bytes / size as u64, wall: started.elapsed(), cpu })
}

async fn upgraded(stream: TcpStream, address: SocketAddr) -> Result<Socket<TcpStream>, Failure> {
    stream.set_nodelay(true)?;
    let (socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/"), stream).await.map_err(failed)?;
    Ok(Socket::new(End::Client, socket.into_inner(), Bytes::new()))
}

async fn plain(mut from: TcpStream, mut to: TcpStream, until: Instant) -> Result<u64, Failure> {
    let sending = async {
        let chunk = vec![b'x'; limits::WRITE_BATCH_BYTES];
        while Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(done) = tokio::time::timeout(left, from.write_all(&chunk)).await else { break };
            done?;
        }
        Ok::<_, Failure>(())
    };
    let receiving = async {
        let mut buffer = vec![0; limits::WRITE_BATCH_BYTES];
        let mut bytes = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(read) = tokio::time::timeout(left, to.read(&mut buffer)).await else { break };
            match read? {
                0 => break,
                read => bytes += read as u64,
            }
        }
        Ok::<_, Failure>(bytes)
    };
    let (sent, received) = tokio::join!(sending, receiving);
    sent?;
    received
}
