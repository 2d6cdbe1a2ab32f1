//! Load for an equipoise broker. Each relay figure carries its own floor, measured in the same run, so that the ratio
//! means something on any machine.

mod assign;
mod behind;
mod chance;
mod child;
mod connect;
mod crash;
mod echo;
mod edit;
mod floor;
mod floors;
mod growth;
mod lean;
mod line;
mod namespace;
mod network;
mod plot;
mod process;
mod relay;
mod report;
mod revoke;
mod scrape;
mod slow;
mod stage;
mod storm;

use clap::{Parser, Subcommand, ValueEnum};
use std::{net::IpAddr, path::PathBuf};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(version, about, long_about = None, after_help = "Examples:\n  \
    cargo run --release -p loadtest -- relay --size 16384\n  \
    cargo run --release -p loadtest -- assign --seconds 10 > before.json\n  \
    cargo run --release -p loadtest -- compare before.json after.json")]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Bulk and small messages through sessions, beside plain copies of the same bytes.
    Relay(relay::Options),
    /// Sessions asked, offered, accepted and told, durable: decisions a second and how long each took.
    Assign(assign::Options),
    /// A small message behind a file transfer in the same session.
    Behind(behind::Options),
    /// Idle connections in sessions: memory each, and what standing still costs.
    Connect(connect::Options),
    /// Readers that stop beside readers that do not: what the others feel, what the broker holds.
    Slow(slow::Options),
    /// kill −9 under load and restart: what was acknowledged, what was lost, how long until ready.
    Crash(crash::Options),
    /// A right taken away while bytes wait: one session's, and every session's by an edit of the site.
    Revoke(revoke::Options),
    /// An edit of the site that touches every session: how long it takes, how long it holds others up.
    Edit(edit::Options),
    /// Lines with loss and delay: messages on time (F20), bulk over a distance (F21). Needs root and iproute2.
    Network(network::Options),
    /// Memory and processor time against the number of sessions, with a drawing.
    Growth(growth::Options),
    /// The broker dies and everybody comes back at once, while new sessions are served (B-09).
    Storm(storm::Options),
    /// Print two results side by side.
    Compare { before: PathBuf, after: PathBuf },
    /// Run as the measured broker.
    #[command(hide = true)]
    Broker(child::Options),
    /// Send every WebSocket message back: the other end of a conformance run.
    #[command(hide = true)]
    Echo(echo::Options),
    /// Run as a floor: a relay that checks nothing.
    #[command(hide = true)]
    Floor {
        floor: Floor,
        #[arg(long, default_value = "127.0.0.1")]
        listen: IpAddr,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Floor {
    /// `copy_bidirectional` with its own 8 KiB buffers.
    Tcp,
    /// The same with 64 KiB buffers.
    Tcp64,
    /// tokio-tungstenite, one `send()` a message.
    Tung,
    /// quinn, one stream copied into another.
    Quinn,
}

impl Floor {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tcp64 => "tcp64",
            Self::Tung => "tung",
            Self::Quinn => "quinn",
        }
    }
}

/// Why a run gave no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Run(String),
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    process::raise_limits();
    match work(arguments.scenario) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("loadtest: {failure}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn work(scenario: Scenario) -> Result<(), Failure> {
    match scenario {
        Scenario::Relay(options) => drive(relay::run(options)),
        Scenario::Assign(options) => drive(assign::run(options)),
        Scenario::Behind(options) => drive(behind::run(options)),
        Scenario::Connect(options) => drive(connect::run(options)),
        Scenario::Slow(options) => drive(slow::run(options)),
        Scenario::Crash(options) => drive(crash::run(options)),
        Scenario::Revoke(options) => drive(revoke::run(options)),
        Scenario::Edit(options) => drive(edit::run(options)),
        Scenario::Network(options) => {
            // Threads stay in the namespace that they begin in, so the line is there before they are.
            let line = network::lay(&options)?;
            drive(network::run(options, line))
        }
        Scenario::Growth(options) => drive(growth::run(options)),
        Scenario::Storm(options) => drive(storm::run(options)),
        Scenario::Compare { before, after } => report::compare(&before, &after),
        Scenario::Broker(options) => {
            process::end_with_parent();
            runtime()?.block_on(child::serve(options))
        }
        Scenario::Echo(options) => drive(echo::serve(options)),
        Scenario::Floor { floor, listen } => {
            process::end_with_parent();
            drive(floor::serve(floor, listen))
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// What was started and laid out ends as it is dropped, on Ctrl-C as well.
fn drive(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    runtime()?.block_on(async {
        tokio::select! {
            done = work => done,
            _ = tokio::signal::ctrl_c() => Err(Failure::Run("interrupted".into())),
        }
    })
}
