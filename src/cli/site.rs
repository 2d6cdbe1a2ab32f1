//! `site check`, `site apply` and `site export`: what a site file means before it is live, how it becomes live, and the
//! live site as a file.

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
    limits,
    policy::everybody::{self, Everybody},
    rep,
    site::{
        Problem, Site,
        diff::{self, Difference},
        locked::Locked,
        rights::Beyond,
    },
    wire::{
        Do, Done, Hello,
        control::{ClientInfo, Credential, Role},
    },
};
use clap::Subcommand;
use serde::Serialize;
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

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
    /// Make a site file the live site of a running broker, after showing what it changes and for whom
    #[command(
        after_help = "An administrator edits all of it. A rep who may edit teams, issues, skills, canned scripts, the\n\
                      public site or jump groups, or who administers a technician group or endpoint automation,\n\
                      edits that and no more:\n\
                      begin with `site export`, change your part, and apply the whole file. What is not yours to\n\
                      edit is shown with a `!` and refused.\n\n\
                      The password comes from EQUIPOISE_PASSWORD, or is asked for.\n\n\
                      Example:\n  equipoise site apply new-site.toml --server https://127.0.0.1:8443 --pin sha256:… --login root"
    )]
    Apply {
        /// Site file, TOML or JSON
        file: PathBuf,
        #[command(flatten)]
        broker: Broker,
        /// Username of an administrator, or of a rep who may edit some of it
        #[arg(long)]
        login: String,
        /// Do not ask before it is applied
        #[arg(long)]
        yes: bool,
        /// Only show what it would change
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
        /// One JSON object for machines; it never asks: --yes or --dry-run is needed
        #[arg(long)]
        json: bool,
    },
    /// Print a broker's live site as a site file
    #[command(after_help = "The password comes from EQUIPOISE_PASSWORD, or is asked for.\n\n\
                      Example:\n  equipoise site export --server https://127.0.0.1:8443 --pin sha256:… --login root")]
    Export {
        #[command(flatten)]
        broker: Broker,
        /// Username of an administrator, or of a rep who may edit some of it
        #[arg(long)]
        login: String,
    },
}

#[derive(Serialize)]
struct Checked {
    ok: bool,
    problems: Vec<Problem>,
    /// Of a sound file: what its author may not mean.
    warnings: Vec<Problem>,
}

pub(super) fn run(command: SiteCommand) -> Result<(), Failure> {
    match command {
        SiteCommand::Check { file, json } => check(&file, json),
        SiteCommand::Apply { file, broker, login, yes, dry_run, json } => {
            let asked = Apply { yes, dry_run, json };
            if json && !yes && !dry_run {
                return Err(Failure::Usage("with --json nothing is asked: say --yes or --dry-run".to_owned()));
            }
            // What is wrong with the file is said before anybody signs in.
            let text = text_of(&file)?;
            let site = load(&file)?;
            warn(&file, &site.raw.warnings());
            let password = password(&format!("Password of {login}: "))?;
            runtime(1)?.block_on(apply(broker.target(), &login, &password, &text, &site, asked))
        }
        SiteCommand::Export { broker, login } => {
            let password = password(&format!("Password of {login}: "))?;
            let toml = runtime(1)?.block_on(async {
                let client = editor(broker.target(), &login, &password).await?;
                let (toml, _) = live(&client).await?;
                client.close().await;
                Ok(toml)
            })?;
            Out.bytes(toml.as_bytes())
        }
    }
}

/// How `site apply` was asked for.
struct Apply {
    yes: bool,
    dry_run: bool,
    json: bool,
}

/// What an edit changes, as `--json` shows it.
#[derive(Serialize)]
struct Edit<'a> {
    settings: &'a [Difference],
    /// What of it is not for this login to do.
    #[serde(skip_serializing_if = "<[Beyond]>::is_empty")]
    beyond: &'a [Beyond],
    /// What of it a group policy locks.
    #[serde(skip_serializing_if = "<[Locked]>::is_empty")]
    locked: &'a [Locked],
    permissions: &'a Everybody,
    applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// Sessions in which somebody's permissions changed, and legs of channels that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    legs: Option<u32>,
}

async fn apply(
    target: Target,
    login: &str,
    password: &str,
    text: &str,
    site: &Site,
    asked: Apply,
) -> Result<(), Failure> {
    let client = editor(target, login, password).await?;
    let (toml, version) = live(&client).await?;
    let before = Site::from_text(&toml, None)
        .map_err(|problems| Failure::Failed(format!("the live site is not understood: {}", problems[0])))?;
    let settings = diff::between(&before.raw, &site.raw);
    let permissions = everybody::everywhere(&before, site);
    let (beyond, locked) = refused(&before, site, login);
    let mut edit = Edit {
        settings: &settings,
        beyond: &beyond,
        locked: &locked,
        permissions: &permissions,
        applied: false,
        version: None,
        sessions: None,
        legs: None,
    };
    if !asked.json {
        for difference in &settings {
            Out.line(&difference.to_string())?;
        }
        for beyond in &beyond {
            Out.line(&format!("! not for {login} to edit: {beyond}"))?;
        }
        for locked in &locked {
            Out.line(&format!("! {locked}"))?;
        }
        Out.line(if settings.is_empty() { "the live site is like the file" } else { "" })?;
        if !settings.is_empty() {
            Out.bytes(permissions.to_string().as_bytes())?;
        }
    }
    let wanted = !settings.is_empty() && !asked.dry_run && (asked.yes || sure()?);
    if wanted {
        let done = send(&client, text, version).await?;
        edit.applied = true;
        edit.version = Some(done.0);
        edit.sessions = Some(done.1);
        edit.legs = Some(done.2);
        if !asked.json {
            Out.line(&format!("applied: version {}, {} sessions changed, {} legs ended", done.0, done.1, done.2))?;
        }
    }
    client.close().await;
    if asked.json { Out.json(&edit) } else { Ok(()) }
}

/// What the broker will refuse, seen beforehand.
fn refused(before: &Site, site: &Site, login: &str) -> (Vec<Beyond>, Vec<Locked>) {
    let user = before.codes.users.get(&login.to_ascii_lowercase());
    // As the broker does, so that what is there already is the same in both.
    let edited = Site::check(site.raw.clone(), Some(before)).ok();
    let found = user.zip(edited);
    found.map(|(user, edited)| (before.beyond(&edited, *user), before.locked(&edited, &site.raw))).unwrap_or_default()
}

/// Sends the file in pieces; gives version, sessions and legs once every right it takes away has ended.
async fn send(client: &Client, text: &str, version: u64) -> Result<(u64, u32, u32), Failure> {
    let mut rest = text;
    loop {
        let mut end = rest.len().min(limits::SITE_PIECE_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, after) = rest.split_at(end);
        rest = after;
        let (text, more) = (piece.to_owned(), !rest.is_empty());
        match client.act(Do::ApplySite { text, more, version: Some(version) }).await.map_err(refusal)? {
            Done::Applied { version, sessions, legs, .. } => return Ok((version, sessions, legs)),
            Done::Yes {} if more => {}
            _ => return Err(unexpected()),
        }
    }
}

/// Asks on the terminal.
fn sure() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("no terminal to ask on: say --yes".to_owned()));
    }
    eprint!("Apply this? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Failure::failed(&e))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn editor(target: Target, login: &str, password: &str) -> Result<Client, Failure> {
    let token = rep::sign_in_on_terminal(&target, login, password).await.map_err(|e| Failure::failed(&e))?;
    let hello = Hello {
        role: Role::Admin,
        site: None,
        credential: Credential::Token(token),
        client: ClientInfo { name: "site".to_owned(), ..ClientInfo::default() },
        features: Vec::new(),
        seen: None,
    };
    let (client, happenings) = Client::connect(target, hello).await.map_err(|e| Failure::failed(&e))?;
    happenings.ignore();
    Ok(client)
}

/// The live site's text and version. Edited while it is read, it is read again.
async fn live(client: &Client) -> Result<(String, u64), Failure> {
    loop {
        let Done::Site { toml: mut text, version, mut next } = client.act(Do::Site {}).await.map_err(refusal)? else {
            return Err(unexpected());
        };
        let mut same = true;
        while let Some(at) = next.filter(|_| same) {
            let part = client.act(Do::SitePart { at }).await.map_err(refusal)?;
            let Done::Site { toml, version: now, next: after } = part else { return Err(unexpected()) };
            same = now == version;
            text.push_str(&toml);
            next = after;
        }
        if same {
            return Ok((text, version));
        }
    }
}

fn refusal(error: ActError) -> Failure {
    match error {
        ActError::Refused(refused) => Failure::Failed(format!("{}: {}", refused.code, refused.message)),
        error => Failure::failed(&error),
    }
}

fn unexpected() -> Failure {
    Failure::Failed("the broker answered something else".to_owned())
}

fn check(file: &Path, json: bool) -> Result<(), Failure> {
    let (site, problems) = match Site::from_text(&text_of(file)?, None) {
        Ok(site) => match too_far(&site, clock::wall_ms()) {
            Some(problem) => (None, vec![problem]),
            None => (Some(site), Vec::new()),
        },
        Err(problems) => (None, problems),
    };
    let warnings = site.as_ref().map(|site| site.raw.warnings()).unwrap_or_default();
    if json {
        Out.json(&Checked { ok: site.is_some(), problems: problems.clone(), warnings })?;
    } else {
        warn(file, &warnings);
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

fn warn(file: &Path, warnings: &[Problem]) {
    for warning in warnings {
        Out.note(&format!("{}: warning: {warning}", file.display()));
    }
}

fn text_of(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))
}

fn listed(file: &Path, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{}: {problem}", file.display())).collect();
    lines.join("\n")
}
