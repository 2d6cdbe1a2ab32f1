//! Load for an equipoise broker. Each relay figure carries its own floor, measured in the same run, so that the ratio
//! means something on any machine.

mod assign;
mod behind;
mod child;
mod connect;
mod crash;
mod floor;
mod floors;
mod lean;
mod process;
mod relay;
mod report;
mod revoke;
mod slow;
mod stage;

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

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
    /// Print two results side by side.
    Compare { before: PathBuf, after: PathBuf },
    /// Run as the measured broker.
    #[command(hide = true)]
    Broker(child::Options),
    /// Run as a floor: a relay that checks nothing.
    #[command(hide = true)]
    Floor { floor: Floor },
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
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("loadtest: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments.scenario)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("loadtest: {failure}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(scenario: Scenario) -> Result<(), Failure> {
    match scenario {
        Scenario::Compare { before, after } => report::compare(&before, &after),
        Scenario::Relay(options) => relay::run(options).await,
        Scenario::Assign(options) => assign::run(options).await,
        Scenario::Behind(options) => behind::run(options).await,
        Scenario::Connect(options) => connect::run(options).await,
        Scenario::Slow(options) => slow::run(options).await,
        Scenario::Crash(options) => crash::run(options).await,
        Scenario::Revoke(options) => revoke::run(options).await,
        Scenario::Broker(options) => child::serve(options).await,
        Scenario::Floor { floor } => Ok(floor::serve(floor).await?),
    }
}
