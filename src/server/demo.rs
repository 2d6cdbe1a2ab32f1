//! A broker on this machine with the example site, a rep's password made at random and a key for a customer: enough to
//! try everything in three terminals. Nothing in it is weaker than in `serve`: TLS, real accounts, a real journal.

use super::{Doors, Server, ServerError, Settings};
use crate::{
    engine::{Actor, Command, Entry, Queue},
    identity::Secret,
    ids::{SecretHash, UserId},
    limits,
    time::Time,
};
use serde::Serialize;
use std::{
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// The rep whom the demo signs in, and the team whose queue its key leads to.
const REP: &str = "ana";
const TEAM: &str = "net";

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the data folder {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("the demo's accounts: {0}")]
    Refused(String),
}

/// What to show whoever started the demo.
#[derive(Serialize, Clone, Debug)]
pub struct Shown {
    /// For consoles and customers, over WebSocket and QUIC.
    pub url: String,
    pub pin: String,
    pub quic: bool,
    /// Of the operations listener.
    pub metrics: Option<String>,
    pub login: String,
    pub password: String,
    pub key: String,
    pub data: PathBuf,
    /// How this binary was called: what to type in another terminal.
    pub program: String,
}

/// A folder that nobody has used yet, below the user's own state folder.
pub fn fresh_folder() -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state")))
        .unwrap_or_else(std::env::temp_dir);
    let name: String = Secret::token().reveal().chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    state.join("equipoise").join(format!("demo-{name}"))
}

/// Writes the example site into the data folder, so that the demo goes through the same import as `serve`.
pub fn prepare(settings: &mut Settings) -> Result<(), DemoError> {
    let folder = settings.data_folder.clone();
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| DemoError::Folder { path, source }
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(at(&folder))?;
    if settings.site_file.is_none() {
        let file = folder.join("site.toml");
        std::fs::write(&file, include_str!("../../config/site.toml")).map_err(at(&file))?;
        settings.site_file = Some(file);
    }
    Ok(())
}

/// Gives the rep a password and makes a key, on a server whose doors are open.
pub async fn furnish(server: &Server, doors: &Doors) -> Result<Shown, DemoError> {
    let password = Secret::token();
    server
        .broker
        .set_password(Actor::System, REP, password.reveal().to_owned())
        .await
        .map_err(|refused| DemoError::Refused(refused.message))?;

    let key = Secret::code();
    let hash = Secret::canonical_key(key.reveal()).ok_or_else(|| DemoError::Refused("a key is its own form".into()))?;
    let look = server.broker.look(|state| (state.now, state.site.codes.teams.get(TEAM).copied(), rep(state)));
    let (now, team, rep) = look.await.map_err(|refused| DemoError::Refused(refused.message))?;
    let queue = team.map(Queue::Team).or(rep.map(Queue::Personal));
    let queue = queue.ok_or_else(|| DemoError::Refused(format!("the site has neither a team {TEAM} nor {REP}")))?;
    let make = make_key(now, queue, hash);
    server.broker.command(Actor::System, make).await.map_err(|refusal| DemoError::Refused(refusal.to_string()))?;

    Ok(Shown {
        url: format!("{}://{}", if doors.certificate.is_some() { "https" } else { "http" }, doors.http),
        pin: doors.certificate.as_ref().map(|certificate| certificate.fingerprint()).unwrap_or_default(),
        quic: doors.quic.is_some(),
        metrics: server.ops.map(|address| format!("http://{address}/metrics")),
        login: REP.to_owned(),
        password: password.reveal().to_owned(),
        key: key.reveal().to_owned(),
        data: server.settings.data_folder.clone(),
        program: std::env::args().next().unwrap_or_else(|| "equipoise".to_owned()),
    })
}

fn rep(state: &crate::engine::State) -> Option<UserId> {
    state.site.codes.users.get(REP).copied()
}

/// As long-lived as a key may be: the engine cuts it to the rule.
fn make_key(now: Time, queue: Queue, key: SecretHash) -> Command {
    Command::MakeKey { entry: Entry::Queue(queue), key, code: true, expires: now + limits::JOIN_CODE }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, pin, login, password, key, program, .. } = self;
        let pin = if pin.is_empty() { String::new() } else { format!(" --pin {pin}") };
        writeln!(f, "equipoise is running with an example site.")?;
        writeln!(f)?;
        let transports = if self.quic { "WebSocket and QUIC" } else { "WebSocket" };
        writeln!(f, "  address     {url}  ({transports})")?;
        if let Some(metrics) = &self.metrics {
            writeln!(f, "  metrics     {metrics}")?;
        }
        writeln!(f, "  data        {}", self.data.display())?;
        writeln!(f, "  rep         {login}, password {password}")?;
        writeln!(f, "  session key {key}  (one customer, 15 minutes)")?;
        writeln!(f)?;
        writeln!(f, "In a second terminal, as the customer:")?;
        writeln!(f)?;
        writeln!(f, "  {program} agent --server {url}{pin} --key {key}")?;
        writeln!(f)?;
        writeln!(f, "In a third terminal, as the rep (then: accept, shell, put, get, info, end):")?;
        writeln!(f)?;
        writeln!(f, "  EQUIPOISE_PASSWORD={password} {program} rep --server {url}{pin} --login {login}")?;
        writeln!(f)?;
        writeln!(
            f,
            "Add --transport quic to either for QUIC. The rep makes further keys with `key`. Ctrl-C ends the demo."
        )
    }
}
