//! `simulate`: a scenario in virtual time, as lines for machines or a table for people (contract C2).

use super::{
    out::{Failure, Out},
    site,
};
use crate::simulate::{self, Line, Scenario, scenario::Plan};
use clap::Args;
use std::path::{Path, PathBuf};

/// Lines are written in batches of about so much.
const BATCH_BYTES: usize = 64 * 1024;

#[derive(Args, Debug)]
pub(super) struct SimulateArgs {
    /// Scenario file, JSON; a site file that it names is looked for beside it
    file: PathBuf,
    /// JSON for machines: one object a line
    #[arg(long)]
    json: bool,
    /// With arrivals: also say everything that happens, not only what it comes to
    #[arg(long)]
    events: bool,
}

pub(super) fn run(args: SimulateArgs) -> Result<(), Failure> {
    let named = |message: &str| Failure::Usage(format!("{}: {message}", args.file.display()));
    let text = std::fs::read_to_string(&args.file).map_err(|e| named(&e.to_string()))?;
    let folder = args.file.parent().unwrap_or(Path::new(""));
    let mut unread = None;
    let scenario = Scenario::parse(&text, |path| {
        site::load(&folder.join(path)).map_err(|failure| {
            unread = Some(failure);
            "it is not sound".to_owned()
        })
    });
    let scenario = match (scenario, unread) {
        (Ok(scenario), _) => scenario,
        (Err(_), Some(failure)) => return Err(failure),
        (Err(error), None) => return Err(named(&error.to_string())),
    };
    let planning = matches!(scenario.plan, Plan::Arrivals { .. });
    let (lines, json) = (args.events || !planning, args.json);
    let mut batch = String::new();
    let report = simulate::run(scenario, &mut |line: Line| {
        if lines {
            batch += &if json { line.json() } else { line.to_string() };
            batch.push('\n');
        }
        if batch.len() < BATCH_BYTES {
            return Ok(());
        }
        Out.bytes(std::mem::take(&mut batch).as_bytes())
    })?;
    Out.bytes(batch.as_bytes())?;
    match (json, planning) {
        (true, true) => Out.json(&report),
        (true, false) => Ok(()),
        (false, _) if lines => Out.bytes(format!("\n{report}").as_bytes()),
        (false, _) => Out.bytes(report.to_string().as_bytes()),
    }
}
