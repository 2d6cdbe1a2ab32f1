//! kill −9 under load, restart, and a ledger: what was acknowledged must be there (F18, I-Q3).

use crate::{Failure, chance::Chance, child::Over, lean::Lean, report::Report, stage::Stage};
use equipoise::wire::control::{Ask, Do, Done, FromBroker};
use std::time::{Duration, Instant};

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Sessions that wait before the first kill.
    #[arg(long, default_value_t = 10_000)]
    waiting: usize,
    /// Kills, each under load at a moment drawn from the seed.
    #[arg(long, default_value_t = 5)]
    kills: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub async fn run(options: Options) -> Result<(), Failure> {
    let mut report = Report::new("crash", options.seed);
    report.option("waiting", options.waiting);
    report.option("kills", options.kills);
    let mut stage = Stage::start(2, 1, Over::Ws).await?;
    let mut acknowledged = Vec::with_capacity(options.waiting);
    let mut service = stage.service().await?;
    eprintln!("asking for {} sessions", options.waiting);
    ask(&mut service, options.waiting, &mut acknowledged).await?;
    let mut chance = Chance::new(options.seed);
    for kill in 0..options.kills {
        eprintln!("kill {} of {}", kill + 1, options.kills);
        let wait = Duration::from_millis(50 + chance.below(500));
        // Load until the moment of the kill; what was answered by then counts.
        let load = tokio::time::timeout(wait, ask(&mut service, usize::MAX, &mut acknowledged));
        if let Ok(Err(failure)) = load.await {
            return Err(failure);
        }
        stage.broker.kill();
        drop(service);
        let started = Instant::now();
        stage.restart().await?;
        report.round("ready_s", started.elapsed().as_secs_f64());
        report.round("acknowledged", acknowledged.len() as f64);
        service = stage.service().await?;
        let lost = lost(&mut service, &acknowledged).await?;
        report.round("lost", lost as f64);
    }
    report.notes.push("ready_s is from the start of the process to its first line, keys of the run included".into());
    report.print()
}

/// Asks until `more` were acknowledged, 256 on their way at once.
async fn ask(service: &mut Lean, more: usize, acknowledged: &mut Vec<u64>) -> Result<(), Failure> {
    let (mut sent, mut answered) = (0, 0);
    while answered < more {
        while sent < more && sent - answered < 256 {
            service.paced().await;
            service.send(Do::Ask(Ask { queue: "team:t0".into(), ..Ask::default() }));
            sent += 1;
        }
        for message in service.read().await? {
            if let FromBroker::Reply { answer, .. } = message {
                answered += 1;
                match answer.map(|done| *done) {
                    Ok(Done::Asked { session, .. }) => acknowledged.push(session),
                    other => return Err(Failure::Run(format!("an ask was answered with {other:?}"))),
                }
            }
        }
    }
    Ok(())
}

/// How many of the acknowledged sessions the broker does not know.
async fn lost(service: &mut Lean, acknowledged: &[u64]) -> Result<usize, Failure> {
    let mut lost = 0;
    for chunk in acknowledged.chunks(256) {
        for session in chunk {
            service.paced().await;
            service.send(Do::Explain { session: *session, past: false, offer: None });
        }
        let mut answered = 0;
        while answered < chunk.len() {
            for message in service.read().await? {
                if let FromBroker::Reply { answer, .. } = message {
                    answered += 1;
                    match answer.map(|done| *done) {
                        Ok(Done::Explained(explained)) if !explained.queue.is_empty() => {}
                        Ok(_) | Err(_) => lost += 1,
                    }
                }
            }
        }
    }
    Ok(lost)
}
