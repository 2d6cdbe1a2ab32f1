//! The command line: arguments, exit codes, and what is printed. Results go to standard output, everything else to
//! standard error. It decides nothing: each command calls a room.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or settings.

mod audit;
mod ends;
mod explain;
mod out;
mod policy;
mod serve;
mod setup;
mod simulate;
mod site;

use clap::{CommandFactory, Parser, Subcommand};
use out::{Failure, Out};
use std::process::ExitCode;

#[derive(Parser, Debug)]
#[command(
    name = "equipoise",
    version,
    about = "A self-hosted, real-time session broker and queue router for remote support",
    after_help = "Try it, in three terminals:\n  equipoise demo\nand then the commands it prints.\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage or settings.",
    disable_help_subcommand = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the broker
    Serve(serve::ServeArgs),
    /// Run a broker with an example site, and print what to try next
    Demo(serve::DemoArgs),
    /// Be a customer: share this machine's shell, files and screen under your permission
    Agent(ends::AgentArgs),
    /// Be a rep: watch queues, accept sessions and use their tools
    Rep(ends::RepArgs),
    /// Make the first administrator of a broker that has none
    Setup(setup::SetupArgs),
    /// Look at the settings
    Config {
        #[command(subcommand)]
        command: serve::ConfigCommand,
    },
    /// Look at site files
    Site {
        #[command(subcommand)]
        command: site::SiteCommand,
    },
    /// What the layers of policies come to
    Policy {
        #[command(subcommand)]
        command: policy::PolicyCommand,
    },
    /// Run a scenario through the broker's own engine in virtual time
    #[command(
        after_help = "Steps of reps and customers give every event; arrivals by chance give waits, service level and\n\
                      occupancy. The same file gives the same bytes.\n\n\
                      Examples:\n  equipoise simulate scenario.json --json\n  equipoise simulate staffing.json"
    )]
    Simulate(simulate::SimulateArgs),
    /// Say why a session is offered to whom it is
    Explain {
        #[command(subcommand)]
        command: explain::ExplainCommand,
    },
    /// Look at the audit trail
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// Print a completion script
    #[command(after_help = "Example:\n  equipoise completions bash > /etc/bash_completion.d/equipoise")]
    Completions { shell: clap_complete::Shell },
    /// Print the manual page
    #[command(after_help = "Example:\n  equipoise man | man -l -")]
    Man,
}

/// Runs the command that the process's arguments name.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody reads on: there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::serve(args),
        Command::Demo(args) => serve::demo(args),
        Command::Agent(args) => ends::agent(args),
        Command::Rep(args) => ends::rep(args),
        Command::Setup(args) => setup::setup(args),
        Command::Config { command } => serve::config(command),
        Command::Site { command } => site::run(command),
        Command::Policy { command } => policy::run(command),
        Command::Simulate(args) => simulate::run(args),
        Command::Explain { command } => explain::run(command),
        Command::Audit { command } => audit::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "equipoise", &mut script);
            Out.bytes(&script)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(|e| Failure::failed(&e))?;
            Out.bytes(&page)
        }
    }
}

/// A runtime for commands that speak to a broker or are one.
fn runtime(workers: usize) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if workers > 0 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().map_err(|e| Failure::failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn look(command: &clap::Command) {
            for inner in command.get_subcommands() {
                assert!(inner.get_about().is_some(), "{}", inner.get_name());
                for argument in inner.get_arguments().filter(|argument| !argument.is_positional()) {
                    assert!(argument.get_help().is_some(), "{} {}", inner.get_name(), argument.get_id());
                }
                look(inner);
            }
        }
        look(&Cli::command());
    }
}
