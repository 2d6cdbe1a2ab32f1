//! Lines as people have them: what loss and delay do to messages on their way (F20), and how much of a line over a
//! distance a file fills (F21). Both ends are at the far side of the line, brokers and floors at the near one, so that
//! every byte crosses it twice.

use crate::{
    Failure, Floor,
    child::{Over, Way},
    lean::failed,
    line::{Line, Quality},
    process::Place,
    relay,
    report::Report,
    slow::{self, Phase},
    stage::Stage,
};
use equipoise::framing::quic::Congestion;
use std::time::Duration;

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Packets lost each way, percent, one run for each.
    #[arg(long, value_delimiter = ',', default_value = "0,1,3,5")]
    loss: Vec<f64>,
    /// Added to a round trip of each end for the messages, milliseconds; what crosses the broker takes as long.
    #[arg(long, default_value_t = 40)]
    delay_ms: u64,
    /// Messages a second, and their size: 4 Mbit/s.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    #[arg(long, default_value_t = 1000)]
    size: usize,
    /// Added to a round trip of each end for bulk, milliseconds.
    #[arg(long, default_value_t = 80)]
    bulk_delay_ms: u64,
    /// What a window may grow to for bulk: what both lines have on their way needs more than the default of 1024.
    #[arg(long, default_value_t = 4096)]
    window_kib: u64,
    /// What the line carries, each way.
    #[arg(long, default_value_t = 100)]
    mbit: u64,
    /// How long each measurement lasts.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Rounds of bulk through the broker and the floors; 0: messages only.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What still is on its way when the last message was sent may take as long; then it counts as not delivered.
const DRAIN: Duration = Duration::from_secs(15);
/// To connect and set up a session on a bad line.
const SETUP: Duration = Duration::from_secs(60);
const WAYS: [(Over, Congestion, &str); 4] = [
    (Over::Quic, Congestion::Bbr, "quic_bbr"),
    (Over::Quic, Congestion::Cubic, "quic_cubic"),
    (Over::Wss, Congestion::Bbr, "wss_bbr"),
    (Over::Wss, Congestion::Cubic, "wss_cubic"),
];

impl Options {
    fn quality(&self, loss_percent: f64, round_trip_ms: u64) -> Quality {
        Quality { loss_percent, delay: Duration::from_millis(round_trip_ms) / 2, mbit_per_s: self.mbit }
    }
}

/// Lays the line and moves this thread to its far end.
pub fn lay(options: &Options) -> Result<Line, Failure> {
    let line = Line::lay(options.quality(0.0, options.delay_ms), options.seed).map_err(|error| {
        Failure::Run(format!("no line can be laid ({error}): this needs root, /dev/net/tun and iproute2"))
    })?;
    line.far.enter()?;
    Ok(line)
}

pub async fn run(options: Options, line: Line) -> Result<(), Failure> {
    let mut report = Report::new("network", options.seed);
    report.option("delay_ms", options.delay_ms);
    report.option("rate", options.rate);
    report.option("size", options.size);
    report.option("bulk_delay_ms", options.bulk_delay_ms);
    report.option("window_kib", options.window_kib);
    report.option("mbit", options.mbit);
    report.option("seconds", options.seconds);
    for loss in &options.loss {
        for (over, congestion, name) in WAYS {
            messages(&mut report, &options, &line, (over, congestion), &format!("loss{loss}_{name}"), *loss).await?;
        }
        for congestion in ["bbr", "cubic"] {
            report.ratio(
                &format!("loss{loss}_p99_wss_{congestion}_quic_bbr_ratio"),
                &format!("loss{loss}_wss_{congestion}_p99_ms"),
                &format!("loss{loss}_quic_bbr_p99_ms"),
            );
        }
    }
    for round in 0..options.rounds {
        eprintln!("bulk, round {} of {}", round + 1, options.rounds);
        bulk(&mut report, &options, &line).await?;
    }
    for (ratio, name, floor) in [
        ("bulk_wss_tcp_ratio", "wss_mb_per_s", "tcp_mb_per_s"),
        ("bulk_quic_tcp_ratio", "quic_mb_per_s", "tcp_mb_per_s"),
        ("bulk_quic_quinn_ratio", "quic_mb_per_s", "quinn_mb_per_s"),
    ] {
        report.ratio(ratio, name, floor);
    }
    report.notes.push("both ends are beyond the line: each byte crosses it twice, with its delay and its loss".into());
    report.print()
}

/// Where brokers are, with the kernel's congestion control at both ends of the line set alike.
fn way(line: &Line, over: Over, congestion: Congestion) -> Result<Way, Failure> {
    let name = if congestion == Congestion::Bbr { "bbr" } else { "cubic" };
    line.tcp_congestion(name).map_err(|error| Failure::Run(format!("the kernel's TCP takes no {name}: {error}")))?;
    Ok(Way { over, congestion, place: Place::beyond(line.near.clone()), window_kib: None })
}

/// A message every so often while the line loses what it loses.
async fn messages(
    report: &mut Report,
    options: &Options,
    line: &Line,
    (over, congestion): (Over, Congestion),
    name: &str,
    loss_percent: f64,
) -> Result<(), Failure> {
    eprintln!("{name}");
    line.set(options.quality(loss_percent, options.delay_ms));
    let stage = Stage::start(1, 1, way(line, over, congestion)?).await?;
    let pair = tokio::time::timeout(SETUP, stage.pair(0)).await.map_err(failed)??;
    let length = Duration::from_secs_f64(options.seconds);
    let phase = Phase { size: options.size, rate: options.rate, length, drain: DRAIN };
    line.carried();
    let ran = slow::run_pairs(vec![pair], 0, phase).await?;
    let carried = line.carried();
    report.round(&format!("{name}_p50_ms"), ran.latency.value_at_quantile(0.5) as f64 / 1e3);
    report.round(&format!("{name}_p99_ms"), ran.latency.value_at_quantile(0.99) as f64 / 1e3);
    report.round(&format!("{name}_undelivered"), (ran.sent - ran.latency.len()) as f64);
    let share = |packets: u64| 100.0 * packets as f64 / carried.packets.max(1) as f64;
    report.round(&format!("{name}_carried_mb"), carried.bytes as f64 / 1e6);
    report.round(&format!("{name}_lost_percent"), share(carried.lost));
    report.round(&format!("{name}_overflowed_percent"), share(carried.overflowed));
    Ok(())
}

/// As much as goes through: the broker both ways, and the floors.
async fn bulk(report: &mut Report, options: &Options, line: &Line) -> Result<(), Failure> {
    line.set(options.quality(0.0, options.bulk_delay_ms));
    let mut load = relay::Options {
        transport: Over::Wss,
        pairs: 1,
        size: equipoise::limits::FRAME_PAYLOAD_BYTES,
        rate: 0,
        ping_pong: false,
        seconds: options.seconds,
        rounds: 1,
    };
    for over in [Over::Wss, Over::Quic] {
        let way = Way { window_kib: Some(options.window_kib), ..way(line, over, Congestion::Bbr)? };
        let stage = Stage::start(1, 1, way).await?;
        let pair = tokio::time::timeout(SETUP, stage.pair(0)).await.map_err(failed)??;
        load.transport = over;
        let (moved, _) = relay::through_broker(&stage, vec![pair], &load).await?;
        relay::note(report, over.name(), &moved);
    }
    for floor in [Floor::Tcp, Floor::Quinn] {
        let place = Place::beyond(line.near.clone());
        relay::note(report, floor.name(), &relay::through_floor(floor, &place, &load).await?);
    }
    Ok(())
}
