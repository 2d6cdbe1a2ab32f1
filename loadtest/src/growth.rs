//! What more sessions cost: memory and processor time of one broker after another, each with more sessions that all say
//! the same. Both should lie on a line.

use crate::{
    Failure,
    child::Over,
    connect::{AT_ONCE, REPS_OF_TEAM},
    lean::failed,
    plot::{Plot, Series},
    report::Report,
    slow::{Phase, run_pairs},
    stage::Stage,
};
use futures_util::future::try_join_all;
use std::{path::PathBuf, time::Duration};
use tokio::sync::Semaphore;

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    #[arg(long, value_enum, default_value_t)]
    transport: Over,
    /// How many sessions, one run for each.
    #[arg(long, value_delimiter = ',', default_value = "100,250,500,1000,1500,2000")]
    sessions: Vec<usize>,
    /// Messages a second of each session, and their size.
    #[arg(long, default_value_t = 5)]
    rate: u32,
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// How long processor time is measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Draw the result there.
    #[arg(long)]
    svg: Option<PathBuf>,
}

pub async fn run(options: Options) -> Result<(), Failure> {
    let mut report = Report::new("growth", 0);
    report.option("transport", options.transport.name());
    report.option("rate", options.rate);
    report.option("size", options.size);
    let (mut memory, mut cpu) = (Vec::new(), Vec::new());
    for sessions in options.sessions.iter().copied() {
        eprintln!("{sessions} sessions");
        let stage = Stage::start(sessions, sessions.div_ceil(REPS_OF_TEAM), options.transport).await?;
        let places = Semaphore::new(AT_ONCE);
        let pairs = (0..sessions).map(async |number| {
            let _place = places.acquire().await.map_err(failed)?;
            stage.pair(number).await
        });
        let pairs = try_join_all(pairs).await?;
        let phase = Phase {
            size: options.size,
            rate: options.rate,
            length: Duration::from_secs_f64(options.seconds),
            drain: Duration::ZERO,
        };
        let before = stage.broker.usage()?;
        // What it left is kept, so that memory is that of sessions which are there.
        let _ran = run_pairs(pairs, 0, phase).await?;
        let after = stage.broker.usage()?;
        let percent = 100.0 * (after.cpu - before.cpu).as_secs_f64() / options.seconds;
        let mib = after.resident_kib as f64 / 1024.0;
        report.round(&format!("at_{sessions}_resident_mib"), mib);
        report.round(&format!("at_{sessions}_cpu_percent_of_a_core"), percent);
        memory.push((sessions as f64, mib));
        cpu.push((sessions as f64, percent));
    }
    if let Some(path) = options.svg {
        let title = format!(
            "One broker, {} messages of {} bytes a second in each session, {}",
            options.rate,
            options.size,
            options.transport.name()
        );
        let series = [
            Series { name: "resident memory, MiB", points: memory },
            Series { name: "processor time, % of a core", points: cpu },
        ];
        std::fs::write(path, Plot { title: &title, x: "sessions", series: &series }.svg())?;
    }
    report.print()
}
