//! `site check` and `site export`: what a site file means before it is live, and the live site as a file.

use super::{
    ends::Broker,
    out::{Failure, Out},
    runtime,
    serve::password,
};
use crate::{
    client::{ActError, Client, Target},
    clock,
    engine::proving::too_far,
    rep,
    site::{Problem, Site},
    wire::{
        Do, Done, Hello,
        control::{ClientInfo, Credential, Role},
    },
};
use clap::Subcommand;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Subcommand, Debug)]
pub(super) enum SiteCommand {
    /// Report every problem of a site file, with its key and line
    #[command(after_help = "Example:\n  equipoise site check config/site.toml")]
    Check {
        /// Site file, TOML or JSON
        file: PathBuf,
        /// One JSON object for machines
        #[arg(long)]
        json: bool,
    },
    /// Print a broker's live site as a site file
    #[command(after_help = "The password comes from EQUIPOISE_PASSWORD, or is asked for.\n\n\
                      Example:\n  equipoise site export --server https://127.0.0.1:8443 --pin sha256:… --login root")]
    Export {
        #[command(flatten)]
        broker: Broker,
        /// An administrator's username
        #[arg(long)]
        login: String,
    },
}

#[derive(Serialize)]
struct Checked {
    ok: bool,
    problems: Vec<Problem>,
}

pub(super) fn run(command: SiteCommand) -> Result<(), Failure> {
    match command {
        SiteCommand::Check { file, json } => check(&file, json),
        SiteCommand::Export { broker, login } => {
            let password = password(&format!("Password of {login}: "))?;
            let toml = runtime(1)?.block_on(export(broker.target(), &login, &password))?;
            Out.bytes(toml.as_bytes())
        }
    }
}

async fn export(target: Target, login: &str, password: &str) -> Result<String, Failure> {
    let token = rep::sign_in_on_terminal(&target, login, password).await.map_err(|e| Failure::failed(&e))?;
    let hello = Hello {
        role: Role::Admin,
        site: None,
        credential: Credential::Token(token),
        client: ClientInfo { name: "site export".to_owned(), ..ClientInfo::default() },
        features: Vec::new(),
        seen: None,
    };
    let (client, happenings) = Client::connect(target, hello).await.map_err(|e| Failure::failed(&e))?;
    happenings.ignore();
    let done = client.act(Do::Site {}).await;
    client.close().await;
    match done {
        Ok(Done::Site { toml }) => Ok(toml),
        Ok(_) => Err(Failure::Failed("the broker answered something else".to_owned())),
        Err(ActError::Refused(refused)) => Err(Failure::Failed(format!("{}: {}", refused.code, refused.message))),
        Err(error) => Err(Failure::failed(&error)),
    }
}

fn check(file: &Path, json: bool) -> Result<(), Failure> {
    let (site, problems) = match Site::from_text(&text_of(file)?, None) {
        Ok(site) => match too_far(&site, clock::wall_ms()) {
            Some(problem) => (None, vec![problem]),
            None => (Some(site), Vec::new()),
        },
        Err(problems) => (None, problems),
    };
    if json {
        Out.json(&Checked { ok: site.is_some(), problems: problems.clone() })?;
    }
    match site {
        Some(_) if json => Ok(()),
        Some(site) => Out.line(&format!(
            "{}: {} teams, {} users, {} skills, {} issues, {} portals: sound",
            file.display(),
            site.teams.len(),
            site.users.len(),
            site.skills.len(),
            site.issues.len(),
            site.portals.len()
        )),
        None => Err(Failure::Usage(listed(file, &problems))),
    }
}

/// Reads and checks a site file for a command that goes on with it.
pub(super) fn load(file: &Path) -> Result<Site, Failure> {
    Site::from_text(&text_of(file)?, None).map_err(|problems| Failure::Usage(listed(file, &problems)))
}

fn text_of(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))
}

fn listed(file: &Path, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{}: {problem}", file.display())).collect();
    lines.join("\n")
}
