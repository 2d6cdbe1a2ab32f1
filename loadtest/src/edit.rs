//! An edit of the site that touches every session: from the request to its answer, what each of the broker's turns took
//! meanwhile, and how long those waited who asked for something else.
//!
//! The shape is the cheapest that is real: a customer is a connection of its own, so 10,000 sessions are 10,000 files of
//! the broker and as many of the load, and a rep has many of them at one console. Nothing flows and nobody reads until
//! the answer is there, so that the load takes no processor time from the broker that it measures.

use crate::{
    Failure,
    child::Over,
    connect::REPS_OF_TEAM,
    lean::{Lean, failed},
    report::Report,
    revoke::{SPEAKS_EVERY, apply},
    scrape::Buckets,
    stage::Stage,
    storm::{PROBES, Probes, note},
};
use equipoise::{
    ids::ChannelId,
    wire::{Kind, control::Done},
};
use futures_util::future::try_join_all;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    #[arg(long, value_enum, default_value_t)]
    transport: Over,
    /// Sessions with an open file each. A customer is one file of the broker and one of the load: a process that may have
    /// 20,000 takes some 19,000.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Sessions that each console has.
    #[arg(long, default_value_t = 20)]
    per_console: usize,
    /// Between two sessions of each of the eight that ask for some meanwhile, milliseconds: at 5 some hundred begin and end a
    /// second; 100 is four times what ten thousand sessions of eight minutes make.
    #[arg(long, default_value_t = 5)]
    asks_every_ms: u64,
}

/// Consoles that fill up at once: what they ask for shares turns.
const CONSOLES_AT_ONCE: usize = 50;
/// How long new sessions are measured before the edit; and from its beginning on.
const QUIET: Duration = Duration::from_secs(2);
const MEANWHILE: Duration = Duration::from_secs(1);
/// W2.4: what a turn may take.
const TURN_US: u64 = 5_000;

/// A console with its sessions: their customers, and the channels it reads.
struct Desk {
    rep: Lean,
    customers: Vec<Lean>,
    channels: BTreeSet<ChannelId>,
}

pub async fn run(options: Options) -> Result<(), Failure> {
    let mut report = Report::new("edit", 0);
    report.option("transport", options.transport.name());
    report.option("sessions", options.sessions);
    report.option("per_console", options.per_console);
    report.option("asks_every_ms", options.asks_every_ms);
    let pause = Duration::from_millis(options.asks_every_ms);
    let consoles = options.sessions.div_ceil(options.per_console.max(1));
    let reps = consoles + PROBES;
    let stage = Arc::new(Stage::start(reps, reps.div_ceil(REPS_OF_TEAM), options.transport).await?);
    let mut desks = fill(&stage, &options, consoles).await?;

    let probes = Probes::start(&stage, consoles, pause).await?;
    tokio::time::sleep(QUIET).await;
    note(&mut report, "quiet", &probes.end().await?);

    let mut root = stage.administrator().await?;
    let site = stage.site();
    let narrow = site.replace("file_transfer = \"both\"", "file_transfer = \"none\"");
    for (name, text) in [("taken", narrow), ("given_back", site.clone()), ("nobody", format!("{site}# nothing\n"))] {
        speak(&mut desks).await?;
        let before = scrape(&stage).await?;
        let probes = Probes::start(&stage, consoles, pause).await?;
        let began = Instant::now();
        let (took, done) = apply(&mut root, &text).await?;
        tokio::time::sleep(MEANWHILE.saturating_sub(began.elapsed())).await;
        let meanwhile = probes.end().await?;
        let after = scrape(&stage).await?;
        let Done::Applied { sessions, legs, .. } = done else { return Err(Failure::Run(format!("{done:?}"))) };
        report.round(&format!("{name}_answered_ms"), took.as_secs_f64() * 1e3);
        report.round(&format!("{name}_sessions_changed"), f64::from(sessions));
        report.round(&format!("{name}_legs_ended"), f64::from(legs));
        note(&mut report, &format!("{name}_meanwhile"), &meanwhile);
        report.round(&format!("{name}_meanwhile_max_ms"), meanwhile.max() as f64 / 1e3);
        for (what, before, after) in before.into_iter().zip(after).map(|((what, b), (_, a))| (what, b, a)) {
            let turns = after.since(&before);
            report.round(&format!("{name}_{what}_longest_below_ms"), turns.longest_us() as f64 / 1e3);
            report.round(&format!("{name}_{what}s_over_5_ms"), turns.beyond_us(TURN_US) as f64);
            report.round(&format!("{name}_{what}s"), turns.count() as f64);
        }
    }
    for desk in &mut desks {
        closed(desk).await?;
    }
    report.round("resident_mib", stage.broker.usage()?.resident_kib as f64 / 1024.0);
    report.notes.push("every console was told of the end of each of its channels".into());
    report.notes.push("a turn is the owner's work alone, a lag the same with the wait for the disk".into());
    report.print()
}

async fn scrape(stage: &Stage) -> Result<[(&'static str, Buckets); 2], Failure> {
    let ops = stage.ready.ops;
    Ok([
        ("turn", Buckets::read(ops, "equipoise_turn_seconds").await?),
        ("lag", Buckets::read(ops, "equipoise_journal_lag_seconds").await?),
    ])
}

async fn fill(stage: &Stage, options: &Options, consoles: usize) -> Result<Vec<Desk>, Failure> {
    let mut desks = Vec::with_capacity(consoles);
    let (mut spoken, mut told) = (Instant::now(), 0);
    while desks.len() < consoles {
        let some = desks.len()..consoles.min(desks.len() + CONSOLES_AT_ONCE);
        let some = some.map(|number| async move {
            let (mut rep, mut service) = (stage.rep(number).await?, stage.service().await?);
            let here = options.per_console.min(options.sessions - number * options.per_console);
            let mut desk = (Vec::with_capacity(here), BTreeSet::new());
            for _ in 0..here {
                let (customer, channel) = stage.serve(&mut rep, number, &mut service).await?;
                desk.0.push(customer);
                desk.1.insert(channel);
                rep.pushes.clear();
            }
            let (customers, channels) = desk;
            Ok::<_, Failure>(Desk { rep, customers, channels })
        });
        desks.extend(try_join_all(some).await?);
        let sessions = desks.len() * options.per_console;
        if sessions >= told + 1_000 {
            told = sessions;
            eprintln!("{sessions} of {} sessions", options.sessions);
        }
        if spoken.elapsed() >= SPEAKS_EVERY {
            spoken = Instant::now();
            speak(&mut desks).await?;
        }
    }
    Ok(desks)
}

/// Who says nothing for long is taken for dead, and who reads nothing for slow.
async fn speak(desks: &mut [Desk]) -> Result<(), Failure> {
    for lean in desks.iter_mut().flat_map(|desk| desk.customers.iter_mut().chain([&mut desk.rep])) {
        lean.speak().await?;
        lean.pushes.clear();
    }
    Ok(())
}

/// Reads until each channel of a console has its close.
async fn closed(desk: &mut Desk) -> Result<(), Failure> {
    while !desk.channels.is_empty() {
        while let Some(frame) = desk.rep.frames.pop_front() {
            if frame.header.kind == Kind::Close {
                desk.channels.remove(&frame.header.channel);
            }
        }
        if !desk.channels.is_empty() {
            desk.rep.read().await.map_err(failed)?;
        }
    }
    Ok(())
}
