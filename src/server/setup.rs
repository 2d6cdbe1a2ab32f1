//! First run without default credentials: a Unix socket in the data folder takes the one-time token and makes the first
//! administrator (I-A8). It exists only while there is no administrator; no address on any network leads to it.
//!
//! One request a connection: a line of JSON `{token, username, password, second_factor?}`; one line back, `{"ok":true}`
//! or `{"ok":false,"message":…,"again":…}`. `second_factor` is `"begin"`, answered with a secret, and then
//! `{"code": …}` of it, answered with recovery codes: the administrator and the second factor are made in one turn.

use super::setup_token::{SetupToken, Tried as TriedToken};
use crate::{
    broker::Broker,
    engine::{Actor, Command},
    identity::{Begun, Secret},
    limits,
    ops::{Check, Health},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

const SOCKET: &str = "setup.sock";
const TOKEN: &str = "setup-token";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    pub token: String,
    pub username: String,
    pub password: String,
    /// Left out: the administrator will sign in with the password alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_factor: Option<Enrolment>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enrolment {
    Begin,
    Code(String),
}

#[derive(Serialize, Deserialize, Default)]
struct Answer {
    ok: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    message: String,
    /// It may be tried again with the same token.
    #[serde(default)]
    again: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enrol: Option<Enrol>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recovery_codes: Vec<String>,
}

/// What an authenticator needs; shown once.
#[derive(Serialize, Deserialize)]
pub struct Enrol {
    pub secret: String,
    pub uri: String,
}

/// What a good request led to.
pub enum Done {
    Begun(Enrol),
    /// With recovery codes, where there is a second factor.
    Made(Vec<String>),
}

#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{path}")]
    File { path: PathBuf, source: io::Error },
    #[error("no broker waits for its first administrator at {0}: it is not running, or has one already")]
    NotThere(PathBuf),
    #[error("{message}")]
    Refused { message: String, again: bool },
    #[error("the broker's answer cannot be read: {0}")]
    Answer(String),
}

/// What became of one try.
#[derive(Debug)]
pub enum Tried {
    /// An enrolment is under way; the setup goes on.
    Begun(Begun),
    /// There is an administrator: the setup is over. With recovery codes.
    Made(Vec<Secret>),
    /// Not done, in words; may be tried again.
    Refused(String),
    /// The token is burnt: another one must be made.
    Over(String),
}

/// A broker that waits for its first administrator.
pub struct Waiting {
    pub data: PathBuf,
    pub token: Secret,
    kept: SetupToken,
    setup: Setup,
    broker: Broker,
    health: Health,
}

impl Waiting {
    pub(super) fn open(broker: Broker, health: Health, data: &Path) -> Result<Self, SetupError> {
        let (token, kept) = SetupToken::make();
        let setup = Setup::open(data, token.reveal())?;
        Ok(Self { data: data.to_owned(), token, kept, setup, broker, health })
    }

    /// Until the administrator is there; an error says why there will be none with this token.
    pub async fn made(self) -> Result<(), String> {
        let Self { mut kept, setup, broker, health, .. } = self;
        let over = setup.run(async |request| attempt(&mut kept, &broker, request).await).await;
        match over {
            Ok(()) => {
                health.pass(Check::Setup);
                Ok(())
            }
            Err(message) => Err(message),
        }
    }
}

/// The password and the code are looked at first, so that one that is not good does not use the token up.
async fn attempt(token: &mut SetupToken, broker: &Broker, request: SetupRequest) -> Tried {
    const AGAIN: &str = "start the broker again for another token";
    let phc = match broker.hash_password(&request.username, request.password).await {
        Ok(phc) => phc,
        Err(refused) => return Tried::Refused(refused.message),
    };
    match token.try_token(request.token.trim()) {
        TriedToken::Right => {}
        TriedToken::Wrong { tries_left: 0 } => {
            return Tried::Over(format!("the token is not right, five times: {AGAIN}"));
        }
        TriedToken::Wrong { tries_left } => {
            return Tried::Refused(format!("the token is not right; it may be tried {tries_left} more times"));
        }
        TriedToken::Burnt => return Tried::Over(format!("the token is not good any more: {AGAIN}")),
    }
    let (second_factor, recovery) = match request.second_factor {
        None => (None, Vec::new()),
        Some(Enrolment::Begin) => {
            return match broker.begin_first_admin(&request.username).await {
                Ok(begun) => Tried::Begun(begun),
                Err(refused) => Tried::Refused(refused.message),
            };
        }
        Some(Enrolment::Code(code)) => match broker.confirm_first_admin(&request.username, &code).await {
            Ok((enrolled, recovery)) => (Some(enrolled), recovery),
            Err(refused) => return Tried::Refused(refused.message),
        },
    };
    token.use_up();
    let command = Command::CreateFirstAdmin { username: request.username.to_lowercase(), phc, second_factor };
    match broker.command(Actor::System, command).await {
        Ok(_) => Tried::Made(recovery),
        Err(refusal) => Tried::Over(format!("{}: {AGAIN}", refusal.message)),
    }
}

/// The listening end. The socket and the token file go when it is dropped.
pub struct Setup {
    listener: UnixListener,
    socket: PathBuf,
    token_file: PathBuf,
}

impl Setup {
    /// Writes the token where only the broker's user may read it, and listens. What an earlier run left is replaced:
    /// the data folder's lock says that no other broker lives on it.
    pub fn open(data: &Path, token: &str) -> Result<Self, SetupError> {
        let (socket, token_file) = (data.join(SOCKET), data.join(TOKEN));
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| SetupError::File { path, source }
        };
        for left in [&socket, &token_file] {
            match fs::remove_file(left) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(left)(e)),
                _ => {}
            }
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&token_file)
            .and_then(|mut file| writeln!(file, "{token}"))
            .map_err(at(&token_file))?;
        let listener = UnixListener::bind(&socket).map_err(at(&socket))?;
        fs::set_permissions(&socket, Permissions::from_mode(0o600)).map_err(at(&socket))?;
        Ok(Self { listener, socket, token_file })
    }

    /// Takes tries one after the other until one makes the administrator, or the token is burnt, which it says why.
    /// Racing tries wait for each other, so one wins (H-84).
    pub async fn run(self, mut attempt: impl AsyncFnMut(SetupRequest) -> Tried) -> Result<(), String> {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE.0)).await;
                continue;
            };
            let deadline = Duration::from_millis(limits::SETUP_DEADLINE.0);
            // A peer that says nothing holds the line for the deadline only; it is our own user.
            let Ok(Ok((request, mut stream))) = tokio::time::timeout(deadline, read(stream)).await else { continue };
            let tried = match request {
                Ok(request) => attempt(request).await,
                Err(message) => Tried::Refused(message),
            };
            let (over, answer) = Answer::to(tried);
            let mut line = serde_json::to_vec(&answer).expect("an answer has only text");
            line.push(b'\n');
            // Whoever asked and went away still made what it made.
            let _ = tokio::time::timeout(deadline, stream.write_all(&line)).await;
            if let Some(over) = over {
                return over;
            }
        }
    }
}

impl Answer {
    /// How the setup ends with this, if it does, and what is said.
    fn to(tried: Tried) -> (Option<Result<(), String>>, Self) {
        let good = Self { ok: true, ..Self::default() };
        match tried {
            Tried::Begun(Begun { secret, uri }) => {
                let enrol = Some(Enrol { secret: secret.to_string(), uri: uri.to_string() });
                (None, Self { enrol, ..good })
            }
            Tried::Made(recovery) => {
                let recovery_codes = recovery.iter().map(|code| code.reveal().to_owned()).collect();
                (Some(Ok(())), Self { recovery_codes, ..good })
            }
            Tried::Refused(message) => (None, Self { message, again: true, ..Self::default() }),
            Tried::Over(message) => (Some(Err(message.clone())), Self { message, ..Self::default() }),
        }
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        for left in [&self.socket, &self.token_file] {
            // Gone already, or the next start replaces it.
            let _ = fs::remove_file(left);
        }
    }
}

async fn read(stream: UnixStream) -> io::Result<(Result<SetupRequest, String>, UnixStream)> {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    (&mut reader).take(limits::SETUP_REQUEST_BYTES as u64).read_until(b'\n', &mut line).await?;
    let request = serde_json::from_slice(&line).map_err(|e| format!("the request cannot be read: {e}"));
    Ok((request, reader.into_inner()))
}

/// The token that a broker on this folder wrote.
pub fn written_token(data: &Path) -> Result<String, SetupError> {
    let path = data.join(TOKEN);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(SetupError::NotThere(path)),
        Err(source) => Err(SetupError::File { path, source }),
    }
}

/// The asking end: `equipoise setup`.
pub async fn ask(data: &Path, request: &SetupRequest) -> Result<Done, SetupError> {
    let path = data.join(SOCKET);
    let mut stream = UnixStream::connect(&path).await.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => SetupError::NotThere(path.clone()),
        _ => SetupError::File { path: path.clone(), source: e },
    })?;
    let mut line = serde_json::to_vec(request).expect("a request has only text");
    line.push(b'\n');
    let file = |source| SetupError::File { path: path.clone(), source };
    stream.write_all(&line).await.map_err(file)?;
    let mut answer = Vec::new();
    stream.take(limits::SETUP_REQUEST_BYTES as u64).read_to_end(&mut answer).await.map_err(file)?;
    let answer: Answer = serde_json::from_slice(&answer).map_err(|e| SetupError::Answer(e.to_string()))?;
    match answer {
        Answer { ok: false, message, again, .. } => Err(SetupError::Refused { message, again }),
        Answer { enrol: Some(enrol), .. } => Ok(Done::Begun(enrol)),
        Answer { recovery_codes, .. } => Ok(Done::Made(recovery_codes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(token: &str) -> SetupRequest {
        let (username, password) = ("ana".to_owned(), "long enough".to_owned());
        SetupRequest { token: token.to_owned(), username, password, second_factor: None }
    }

    async fn judge(request: SetupRequest) -> Tried {
        if request.token == "right" { Tried::Made(Vec::new()) } else { Tried::Refused("wrong token".to_owned()) }
    }

    #[tokio::test]
    async fn the_token_and_the_socket_are_for_the_brokers_user_alone_and_go_with_the_setup() {
        let data = tempfile::tempdir().unwrap();
        let setup = Setup::open(data.path(), "right").unwrap();
        assert_eq!(written_token(data.path()).unwrap(), "right");
        for name in [SOCKET, TOKEN] {
            let mode = fs::metadata(data.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let running = tokio::spawn(setup.run(judge));
        ask(data.path(), &request("right")).await.unwrap();
        assert_eq!(running.await.unwrap(), Ok(()));
        assert!(fs::read_dir(data.path()).unwrap().next().is_none());
        assert!(matches!(ask(data.path(), &request("right")).await, Err(SetupError::NotThere(_))));
        assert!(matches!(written_token(data.path()), Err(SetupError::NotThere(_))));
    }

    #[tokio::test]
    async fn h_83_a_wrong_token_is_refused_and_the_setup_goes_on() {
        let data = tempfile::tempdir().unwrap();
        let running = tokio::spawn(Setup::open(data.path(), "right").unwrap().run(judge));
        let Err(refused) = ask(data.path(), &request("wrong")).await else { panic!("a wrong token is refused") };
        assert_eq!(refused.to_string(), "wrong token");
        ask(data.path(), &request("right")).await.unwrap();
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn h_84_of_racing_setups_one_wins() {
        let data = tempfile::tempdir().unwrap();
        let running = tokio::spawn(Setup::open(data.path(), "right").unwrap().run(judge));
        let tries = (0..8).map(|_| {
            let data = data.path().to_owned();
            tokio::spawn(async move { ask(&data, &request("right")).await })
        });
        let mut won = 0;
        for attempt in tries.collect::<Vec<_>>() {
            won += usize::from(attempt.await.unwrap().is_ok());
        }
        assert_eq!(won, 1);
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn h_87_an_extra_field_or_a_flood_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let running = tokio::spawn(Setup::open(data.path(), "right").unwrap().run(judge));
        let long = format!("{{\"token\":\"{}\n", "x".repeat(limits::SETUP_REQUEST_BYTES));
        for text in
            ["{\"token\":\"right\",\"username\":\"a\",\"password\":\"b\",\"admin\":true}\n", "{}\n", "\n", &long]
        {
            let mut stream = UnixStream::connect(data.path().join(SOCKET)).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // A flood is cut off while its writer still writes: a reset is an answer too.
            let read = stream.read_to_end(&mut answer).await;
            assert!(read.is_err() || answer.starts_with(b"{\"ok\":false"), "{text}");
        }
        ask(data.path(), &request("right")).await.unwrap();
        running.await.unwrap().unwrap();
    }
}
