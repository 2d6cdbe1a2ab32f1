//! `policy explain`: what the layers come to for one person and situation (contract C3).

use super::{
    out::{Failure, Out},
    site,
};
use crate::{
    policy::{
        everybody,
        explain::{self, Query},
        paths::Os,
    },
    site::SessionKind,
};
use clap::{Args, Subcommand, ValueEnum};
use serde::{
    Deserialize,
    de::{IntoDeserializer, value::Error},
};
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub(super) enum PolicyCommand {
    /// Show every permission of a session with the layer that gave it
    #[command(after_help = "A refused path is an answer: the exit code stays 0.\n\n\
                      Examples:\n  equipoise policy explain --site config/site.toml --user ana --portal main\n  \
                      equipoise policy explain --site site.toml --user ana --path /home/ana/.ssh --os linux --json\n  \
                      equipoise policy explain --site site.toml --user ana --against new-site.toml\n  \
                      equipoise policy explain --site site.toml --against new-site.toml")]
    Explain(Box<ExplainArgs>),
}

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    site: PathBuf,
    /// Username of the rep; with --against it may be left out: everybody
    #[arg(long, required_unless_present = "against")]
    user: Option<String>,
    /// Portal through which the customer comes
    #[arg(long)]
    portal: Option<String>,
    /// Jump item that is opened
    #[arg(long, value_name = "CODE")]
    jump_item: Option<String>,
    /// Kind of session: support, jump, cobrowse, chat, rep_to_rep, lens or presentation; support, or jump with a jump item
    #[arg(long, value_parser = kind)]
    kind: Option<SessionKind>,
    /// Somebody sits at the endpoint who can be asked
    #[arg(long, value_enum, default_value = "yes")]
    present: YesNo,
    /// Also say whether this path on the customer's side is allowed
    #[arg(long, requires = "os")]
    path: Option<String>,
    /// How the path is read
    #[arg(long, value_enum, requires = "path")]
    os: Option<OsName>,
    /// Show what this other site file would change
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum YesNo {
    Yes,
    No,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum OsName {
    Linux,
    Macos,
    Windows,
}

fn kind(text: &str) -> Result<SessionKind, String> {
    SessionKind::deserialize(text.into_deserializer()).map_err(|e: Error| e.to_string())
}

pub(super) fn run(command: PolicyCommand) -> Result<(), Failure> {
    let PolicyCommand::Explain(args) = command;
    let site = site::load(&args.site)?;
    let os = args.os.map(|os| match os {
        OsName::Linux => Os::Linux,
        OsName::Macos => Os::Macos,
        OsName::Windows => Os::Windows,
    });
    let query = Query {
        user: args.user.clone().unwrap_or_default(),
        portal: args.portal,
        jump_item: args.jump_item,
        kind: args.kind,
        present: Some(matches!(args.present, YesNo::Yes)),
        path: args.path.zip(os),
    };
    if let (None, Some(other)) = (&args.user, &args.against) {
        let everybody = everybody::against(&site, &site::load(other)?, &query).map_err(|e| Failure::usage(&e))?;
        return if args.json { Out.json(&everybody) } else { Out.bytes(everybody.to_string().as_bytes()) };
    }
    let explained = match &args.against {
        Some(other) => explain::explain_against(&site, &site::load(other)?, &query),
        None => explain::explain(&site, &query),
    };
    let explanation = explained.map_err(|e| Failure::usage(&e))?;
    if args.json { Out.json(&explanation) } else { Out.bytes(explanation.to_string().as_bytes()) }
}
