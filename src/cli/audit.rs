//! `audit verify`: proves the hash chain of every journal below a data folder.

use super::out::{Failure, Out};
use crate::journal;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// Check the hash chain of every journal, from its first turn
    #[command(after_help = "Changes nothing; a broker may be running on the folder.\n\n\
                            Example:\n  equipoise audit verify --data data")]
    Verify {
        /// Data folder
        #[arg(long, value_name = "DIR", default_value = "data")]
        data: PathBuf,
        /// One JSON object a line, for machines
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: AuditCommand) -> Result<(), Failure> {
    let AuditCommand::Verify { data, json } = command;
    let reports = journal::verify(&data).map_err(|e| Failure::failed(&e))?;
    if reports.is_empty() {
        return Err(Failure::Failed(format!("{}: there is no journal here", data.display())));
    }
    let mut damage = Vec::new();
    for report in &reports {
        if json {
            Out.json(report)?;
        } else {
            let erased = if report.erased > 0 { format!(", {} erased", report.erased) } else { String::new() };
            Out.line(&format!(
                "{}: {} turns proven{erased}, chain ends in {}",
                report.site, report.turns, report.hash
            ))?;
        }
        if let Some(problem) = &report.problem {
            damage.push(format!("{}: turn {}: {}", report.site, problem.seq, problem.what));
        }
    }
    if damage.is_empty() { Ok(()) } else { Err(Failure::Failed(damage.join("\n"))) }
}
