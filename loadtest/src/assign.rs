//! Decisions end to end (F16): services ask in batches, the engine offers, consoles accept, everybody is told; durable.

use crate::{
    Failure,
    child::Over,
    lean::{Lean, failed},
    report::Report,
    stage::Stage,
};
use equipoise::wire::control::{Ask, Do, Done, Ev, FromBroker};
use hdrhistogram::Histogram;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Service connections that ask.
    #[arg(long, default_value_t = 4)]
    services: usize,
    /// Consoles that accept and end, ten sessions each at the most.
    #[arg(long, default_value_t = 200)]
    consoles: usize,
    /// Teams the consoles are dealt out to: what happens in a team is shown to all of it.
    #[arg(long, default_value_t = 20)]
    teams: usize,
    /// Sessions each service keeps on their way.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

struct Served {
    sessions: u64,
    /// Microseconds from the ask to the word that somebody serves it.
    latency: Histogram<u64>,
}

pub async fn run(options: Options) -> Result<(), Failure> {
    let mut report = Report::new("assign", 0);
    for (name, value) in [
        ("services", options.services),
        ("consoles", options.consoles),
        ("teams", options.teams),
        ("in_flight", options.in_flight),
    ] {
        report.option(name, value);
    }
    let stage = Stage::start(options.consoles, options.teams, Over::Ws).await?;
    let mut consoles = tokio::task::JoinSet::new();
    for number in 0..options.consoles {
        let mut rep = stage.rep(number).await?;
        rep.only = &["offer"];
        consoles.spawn(console(rep));
    }
    let mut services = Vec::new();
    for _ in 0..options.services {
        let mut service = stage.service().await?;
        service.only = &["session", "session_gone"];
        services.push(service);
    }
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        let until = Instant::now() + Duration::from_secs_f64(options.seconds);
        let (before, started) = (stage.broker.usage()?, Instant::now());
        let tasks: Vec<_> = services
            .drain(..)
            .map(|service| tokio::spawn(ask(service, options.teams, options.in_flight, until)))
            .collect();
        let mut served = 0;
        let mut latency = Histogram::<u64>::new(3).map_err(failed)?;
        for task in tasks {
            let (service, one) = task.await.map_err(failed)??;
            served += one.sessions;
            latency.add(one.latency).map_err(failed)?;
            services.push(service);
        }
        let wall = started.elapsed().as_secs_f64();
        let cpu = (stage.broker.usage()?.cpu - before.cpu).as_secs_f64();
        report.round("decisions_per_s", served as f64 / wall);
        report.round("p50_ms", latency.value_at_quantile(0.5) as f64 / 1e3);
        report.round("p99_ms", latency.value_at_quantile(0.99) as f64 / 1e3);
        report.round("cpu_us_per_decision", cpu * 1e6 / served.max(1) as f64);
        if let Some(ended) = consoles.try_join_next() {
            return Err(ended.map_err(failed)?.err().unwrap_or_else(|| Failure::Run("a console ended".into())));
        }
    }
    report.print()
}

/// Keeps sessions on their way until the time is over, then lets them end.
async fn ask(mut service: Lean, teams: usize, in_flight: usize, until: Instant) -> Result<(Lean, Served), Failure> {
    let latency = Histogram::new(3).map_err(failed)?;
    let mut next = 0;
    let mut served = Served { sessions: 0, latency };
    let mut asked: HashMap<u64, Instant> = HashMap::new();
    let mut waiting: HashMap<u64, Instant> = HashMap::new();
    while Instant::now() < until || !(asked.is_empty() && waiting.is_empty()) {
        while Instant::now() < until && asked.len() + waiting.len() < in_flight {
            let queue = format!("team:t{}", next % teams);
            next += 1;
            service.paced().await;
            let id = service.send(Do::Ask(Ask { queue, ..Ask::default() }));
            asked.insert(id, Instant::now());
        }
        for message in service.read().await? {
            let FromBroker::Reply { re, answer } = message else { continue };
            let Some(since) = asked.remove(&re) else { continue };
            match answer.map(|done| *done) {
                Ok(Done::Asked { session, .. }) => {
                    waiting.insert(session, since);
                }
                other => return Err(Failure::Run(format!("an ask was answered with {other:?}"))),
            }
        }
        while let Some(ev) = service.pushes.pop_front() {
            let session = match ev {
                Ev::Session(view) if view.state == "active" => view.session,
                Ev::SessionGone { session, .. } => session,
                _ => continue,
            };
            if let Some(since) = waiting.remove(&session) {
                served.sessions += 1;
                served.latency.record(since.elapsed().as_micros() as u64).map_err(failed)?;
            }
        }
    }
    Ok((service, served))
}

/// Accepts every offer and ends what it serves.
pub async fn console(mut rep: Lean) -> Result<(), Failure> {
    let mut accepting: HashMap<u64, u64> = HashMap::new();
    loop {
        for message in rep.read().await? {
            if let FromBroker::Reply { re, answer: Ok(_) } = message
                && let Some(session) = accepting.remove(&re)
            {
                rep.send(Do::End { session });
            }
        }
        while let Some(ev) = rep.pushes.pop_front() {
            if let Ev::Offer { session, .. } = ev {
                accepting.insert(rep.send(Do::Accept { session }), session);
            }
        }
        rep.frames.clear();
    }
}
