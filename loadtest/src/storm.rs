//! Everybody comes back at once (B-09): the broker is killed and started again, all ends resume after delays drawn as
//! clients draw them, and meanwhile new sessions are asked for and answered on connections that are there.

use crate::{
    Failure,
    assign::console,
    chance::Chance,
    child::Over,
    connect::{AT_ONCE, REPS_OF_TEAM},
    lean::{Lean, failed},
    report::Report,
    stage::{Pair, Stage, hello},
};
use equipoise::{
    limits,
    wire::control::{Ask, Credential, Do, Done, Ev, FromBroker, Role},
};
use hdrhistogram::Histogram;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Connections, two for each session; each is a file of the broker and one of the load.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    #[arg(long, value_enum, default_value_t)]
    transport: Over,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Consoles that are back first, and as many sessions on their way to them at once.
pub const PROBES: usize = 8;
/// Between two sessions of one of them.
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// How long new sessions are measured before the storm.
const QUIET: Duration = Duration::from_secs(3);
/// When who is not back counts as lost.
const PATIENCE: Duration = Duration::from_secs(180);

pub async fn run(options: Options) -> Result<(), Failure> {
    let sessions = options.connections / 2;
    let mut report = Report::new("storm", options.seed);
    report.option("connections", sessions * 2);
    report.option("transport", options.transport.name());
    let reps = sessions + PROBES;
    let mut stage = Arc::new(Stage::start(reps, reps.div_ceil(REPS_OF_TEAM), options.transport).await?);
    let (restarted, told) = watch::channel(None);
    let (say, mut said) = mpsc::channel(AT_ONCE);
    let mut pairs = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for number in 0..sessions {
        let (stage, places, told, say) = (stage.clone(), places.clone(), told.clone(), say.clone());
        let chance = Chance::new(options.seed ^ ((number as u64) << 20));
        pairs.spawn(async move {
            let place = places.acquire().await.map_err(failed)?;
            let pair = stage.pair(number).await?;
            drop((place, stage));
            live(pair, told, say, chance).await
        });
    }
    for count in 1..=sessions {
        heard(&mut said, &mut pairs).await?;
        if count % 500 == 0 {
            eprintln!("{count} of {sessions} in sessions");
        }
    }
    let running = Arc::get_mut(&mut stage).ok_or_else(|| failed("a pair still sets up its session"))?;
    running.broker.kill();
    let started = Instant::now();
    running.restart().await?;
    report.round("ready_s", started.elapsed().as_secs_f64());
    let quiet = probe(&stage, sessions).await?;
    note(&mut report, "quiet", &quiet);

    eprintln!("the storm begins");
    let probing = Probes::start(&stage, sessions, PROBE_EVERY).await?;
    let storm = Instant::now();
    restarted.send_replace(Some(stage.clone()));
    let (mut took, mut tries) = (Histogram::<u64>::new(3).map_err(failed)?, 0);
    while took.len() < 2 * sessions as u64 {
        let left = PATIENCE.saturating_sub(storm.elapsed());
        let Ok(back) = tokio::time::timeout(left, heard(&mut said, &mut pairs)).await else { break };
        took.record(storm.elapsed().as_millis() as u64).map_err(failed)?;
        tries += back?;
        if took.len() % 1_000 == 0 {
            eprintln!("{} ends are back", took.len());
        }
    }
    let answered = probing.end().await?;
    note(&mut report, "storm", &answered);
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        report.round(&format!("back_{name}_s"), took.value_at_quantile(quantile) as f64 / 1e3);
    }
    report.round("not_back", (2 * sessions as u64 - took.len()) as f64);
    report.round("tries_per_end", f64::from(tries) / took.len().max(1) as f64);
    report.round("resident_mib", stage.broker.usage()?.resident_kib as f64 / 1024.0);
    report.notes.push("answered: from the ask to the word that somebody serves it".into());
    report.print()
}

/// What a pair says next: how often it tried.
async fn heard(said: &mut mpsc::Receiver<u32>, pairs: &mut JoinSet<Result<(), Failure>>) -> Result<u32, Failure> {
    tokio::select! {
        Some(tries) = said.recv() => Ok(tries),
        Some(ended) = pairs.join_next() => {
            Err(ended.map_err(failed)?.err().unwrap_or_else(|| failed("a pair ended")))
        }
    }
}

type Restarted = watch::Receiver<Option<Arc<Stage>>>;

/// A pair in its session until the broker is gone; then each end comes back by itself and stays.
async fn live(pair: Pair, restarted: Restarted, say: mpsc::Sender<u32>, chance: Chance) -> Result<(), Failure> {
    say.send(0).await.map_err(failed)?;
    let other = Chance::new(chance.clone().below(u64::MAX));
    tokio::try_join!(
        end(Role::Rep, pair.reader.lean, restarted.clone(), &say, chance),
        end(Role::Customer, pair.writer.lean, restarted, &say, other)
    )?;
    Ok(())
}

async fn end(
    role: Role,
    mut lean: Lean,
    mut restarted: Restarted,
    say: &mpsc::Sender<u32>,
    mut chance: Chance,
) -> Result<(), Failure> {
    lean.only = &["none"];
    while lean.read().await.is_ok() {}
    let token = lean.welcome.resume.to_string();
    drop(lean);
    let stage = restarted.wait_for(Option::is_some).await.map_err(failed)?.clone();
    let stage = stage.ok_or_else(|| failed("no broker"))?;
    let mut span = limits::RECONNECT_BASE.0;
    for tries in 1.. {
        tokio::time::sleep(Duration::from_millis(chance.below(span))).await;
        span = (span * 2).min(limits::RECONNECT_CAP.0);
        if let Ok(mut lean) = stage.connect(hello(role, Credential::Resume(token.clone()))).await {
            say.send(tries).await.map_err(failed)?;
            lean.only = &["none"];
            loop {
                lean.read().await?;
            }
        }
    }
    Ok(())
}

pub fn note(report: &mut Report, name: &str, answered: &Histogram<u64>) {
    report.round(&format!("{name}_answered_p50_ms"), answered.value_at_quantile(0.5) as f64 / 1e3);
    report.round(&format!("{name}_answered_p99_ms"), answered.value_at_quantile(0.99) as f64 / 1e3);
    report.round(&format!("{name}_sessions"), answered.len() as f64);
}

/// Consoles and services that are connected, and new sessions between them. They have a thread of their own: people at
/// other desks do not wait for what the rest of the load is doing.
pub struct Probes {
    runtime: Option<Runtime>,
    over: watch::Sender<bool>,
    asking: JoinSet<Result<Histogram<u64>, Failure>>,
    _consoles: JoinSet<Result<(), Failure>>,
}

impl Probes {
    /// At the consoles from this one on, with so long a pause between two sessions.
    pub async fn start(stage: &Arc<Stage>, first: usize, pause: Duration) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (over, told) = watch::channel(false);
        let (mut consoles, mut asking) = (JoinSet::new(), JoinSet::new());
        for number in first..first + PROBES {
            let queue = stage.queue_of(number);
            let stage = stage.clone();
            let connected = runtime.spawn(async move { tokio::try_join!(stage.rep(number), stage.service()) });
            let (mut rep, mut service) = connected.await.map_err(failed)??;
            rep.only = &["offer"];
            consoles.spawn_on(console(rep), runtime.handle());
            service.only = &["session", "session_gone"];
            asking.spawn_on(ask(service, queue, told.clone(), pause), runtime.handle());
        }
        Ok(Self { runtime: Some(runtime), over, asking, _consoles: consoles })
    }

    /// How long each session took to be served, in microseconds.
    pub async fn end(mut self) -> Result<Histogram<u64>, Failure> {
        self.over.send_replace(true);
        let mut all = Histogram::new(3).map_err(failed)?;
        while let Some(answered) = self.asking.join_next().await {
            all.add(answered.map_err(failed)??).map_err(failed)?;
        }
        Ok(all)
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The same while nobody else does anything.
async fn probe(stage: &Arc<Stage>, first: usize) -> Result<Histogram<u64>, Failure> {
    let probes = Probes::start(stage, first, PROBE_EVERY).await?;
    tokio::time::sleep(QUIET).await;
    probes.end().await
}

/// One session after the other; gives how long each took to be served, in microseconds.
async fn ask(
    mut service: Lean,
    queue: String,
    over: watch::Receiver<bool>,
    pause: Duration,
) -> Result<Histogram<u64>, Failure> {
    let mut answered = Histogram::new(3).map_err(failed)?;
    while !*over.borrow() {
        let began = Instant::now();
        let id = service.send(Do::Ask(Ask { queue: queue.clone(), ..Ask::default() }));
        let (mut asked, mut served, mut gone) = (None, false, false);
        // Until it is over: a console that still has a session is not the least busy of its team.
        while !gone {
            for message in service.read().await? {
                if let FromBroker::Reply { re, answer } = message
                    && re == id
                {
                    match answer.map(|done| *done) {
                        Ok(Done::Asked { session, .. }) => asked = Some(session),
                        other => return Err(Failure::Run(format!("an ask was answered with {other:?}"))),
                    }
                }
            }
            while let Some(ev) = service.pushes.pop_front() {
                let active = match ev {
                    Ev::Session(view) => view.state == "active" && Some(view.session) == asked,
                    Ev::SessionGone { session, .. } => {
                        gone = Some(session) == asked;
                        gone
                    }
                    _ => false,
                };
                if active && !served {
                    served = true;
                    answered.record(began.elapsed().as_micros() as u64).map_err(failed)?;
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
    Ok(answered)
}
