//! The audit trail of a data folder: `audit verify` proves it, `audit export` prints it.

use super::out::{Failure, Out};
use crate::{
    clock::wall_ms,
    engine::trail::{Entry, Trail},
    journal::{self, Damage},
    rep::{When, clock},
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

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
    /// Print what was asked for and what came of it, in order
    #[command(
        after_help = "Changes nothing; a broker may be running on the folder. What is kept of passwords and keys is not shown.\n\n\
                            Examples:\n  equipoise audit export --data data --admin --since 30d\n  \
                            equipoise audit export --data data --session 7\n  \
                            equipoise audit export --data data --json > trail.jsonl"
    )]
    Export(ExportArgs),
}

#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    /// Data folder, or one site's folder in it
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// From this time on: 24h or 7d ago, or a date such as 2026-03-02T10:30 (UTC)
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// Only what administrators did, and what became of accounts, rights and settings
    #[arg(long, conflicts_with = "session")]
    admin: bool,
    /// Only what happened in this session
    #[arg(long, value_name = "ID")]
    session: Option<u64>,
    /// One JSON object a line, for machines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Verify { data, json } => verify(&data, json),
        AuditCommand::Export(args) => export(&args),
    }
}

fn verify(data: &Path, json: bool) -> Result<(), Failure> {
    let reports = journal::verify(data).map_err(|e| Failure::failed(&e))?;
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

fn export(args: &ExportArgs) -> Result<(), Failure> {
    let now_ms = wall_ms();
    let (since, until) = (args.since.map(|when| when.ms(now_ms)), args.until.map(|when| when.ms(now_ms)));
    let is_meant = |entry: &Entry| {
        since.is_none_or(|since| entry.at_ms >= since)
            && until.is_none_or(|until| entry.at_ms < until)
            && (!args.admin || entry.is_administrative)
            && args.session.is_none_or(|session| entry.says.get("session") == Some(&json!(session)))
    };
    let mut trail = Trail::default();
    for row in journal::read(&args.data).map_err(|e| Failure::failed(&e))? {
        let row = match row {
            Ok(row) => row,
            // What it said is gone; the chain still proves that it was there.
            Err(Damage::Erased { seq }) => {
                let line =
                    if args.json { json!({"seq": seq, "erased": true}).to_string() } else { format!("{seq} erased") };
                Out.line(&line)?;
                continue;
            }
            Err(damage) => return Err(Failure::failed(&damage)),
        };
        for entry in trail.turn(row.seq, &row.turn).into_iter().filter(is_meant) {
            if args.json { Out.json(&entry)? } else { Out.line(&line(&entry))? }
        }
    }
    Ok(())
}

/// `2026-03-02T10:30:00.000Z 12 apply_site by ana`, `… 12   queued session=7 queue={"team":1}`.
fn line(entry: &Entry) -> String {
    let what = match (&entry.request, &entry.event) {
        (Some(request), _) => format!("{request} by {}", entry.by.as_deref().unwrap_or_default()),
        (None, event) => format!("  {}", event.as_deref().unwrap_or_default()),
    };
    let mut line = format!("{} {} {what}", clock(entry.at_ms), entry.seq);
    entry.says.iter().for_each(|(name, said)| line.push_str(&format!(" {name}={said}")));
    entry.differences.iter().for_each(|difference| line.push_str(&format!("\n    {difference}")));
    line
}
