//! The rep's console for a terminal. It never trusts what a customer's endpoint sends: output is filtered before it
//! reaches the terminal, and names and texts are shown without control characters (W6.1).

mod acts;
mod buttons;
mod command;
mod console;
mod documents;
mod explain;
mod fields;
mod files;
mod filter;
mod history;
mod hub;
mod jobs;
mod jumps;
mod keyboard;
mod notices;
mod output;
mod passwords;
mod screen;
mod shell;
mod show;
mod targets;
mod view;
mod when;
mod words;

pub use explain::{clock, explanation};
pub use filter::Filter;
pub use keyboard::Keyboard;
pub use output::Output;
pub use when::When;

use crate::{
    agent::{ScreenError, Show},
    client::{
        ActError, ChannelEnd, Client, ClientError, SignIn, Target, file::FileError, sign_in, sign_in_with,
        transfer::TransferError,
    },
    wire::{
        Hello, Refused,
        control::{ClientInfo, Credential, Role},
    },
};
use command::Command;
use console::Console;
use hub::Hub;
use std::{io, sync::Arc};

/// What the console is started with.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    pub way: Way,
    /// One JSON object a line instead of text.
    pub json: bool,
    /// Commands between semicolons; then the console ends. Left out: they are read from standard input.
    pub script: Option<String>,
    /// What this rep shows to another who is to look at its screen.
    pub screen: Show,
}

/// As whom the console enters.
#[derive(Clone, Debug)]
pub enum Way {
    /// A user of the site, with a password.
    Login(String),
    /// Somebody from outside, by the key of an invitation (R7.5), and how they want to be called.
    Invite { key: String, name: String },
}

#[derive(Debug, thiserror::Error)]
pub enum RepError {
    #[error("the script is wrong: {0}")]
    Script(String),
    #[error("no password: {0}")]
    Password(io::Error),
    #[error("no keyboard: {0}")]
    Keyboard(io::Error),
    #[error("cannot sign in: {0}")]
    SignIn(ClientError),
    #[error("cannot connect: {0}")]
    Connect(ClientError),
    #[error("the broker ended the connection ({code}): {reason}")]
    Ended { code: u16, reason: String },
    /// It was already printed.
    #[error("a command was not done")]
    Command,
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{}", view::refusal(.0))]
    Refused(Box<Refused>),
    #[error("the connection is closed ({code}): {reason}")]
    Closed { code: u16, reason: String },
    #[error("{0}")]
    Wrong(String),
    #[error("no answer came in time")]
    Silent,
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Channel(#[from] ChannelEnd),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Screen(#[from] ScreenError),
}

impl From<ActError> for Fault {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Refused(refused) => Self::Refused(Box::new(refused)),
            ActError::Closed { code, reason } => Self::Closed { code, reason },
        }
    }
}

impl Fault {
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Refused(refused) => serde_json::to_value(refused).unwrap_or_default(),
            other => serde_json::json!({"code": "failed", "message": other.to_string()}),
        }
    }
}

/// Runs the console on this process's terminal. The password comes from `EQUIPOISE_PASSWORD`, or is asked for.
pub async fn run(options: Options) -> Result<(), RepError> {
    let keyboard = Keyboard::of_process().map_err(RepError::Keyboard)?;
    let output = Output::of_process(options.json);
    let (target, way) = (options.target.clone(), options.way.clone());
    match way {
        Way::Login(login) => {
            let password = password_of(&login).await.map_err(RepError::Password)?;
            attend(options, sign_in_on_terminal(&target, &login, &password), keyboard, output).await
        }
        Way::Invite { .. } => attend(options, no_token(), keyboard, output).await,
    }
}

/// An external rep has a key instead.
async fn no_token() -> Result<String, ClientError> {
    Ok(String::new())
}

/// Signs in, and asks for the code of who has a second factor and for a new password where the old one is over, unless they
/// stand in `EQUIPOISE_CODE` and `EQUIPOISE_NEW_PASSWORD`.
pub async fn sign_in_on_terminal(target: &Target, login: &str, password: &str) -> Result<String, ClientError> {
    let (mut code, mut new) = (std::env::var("EQUIPOISE_CODE").ok(), None);
    loop {
        let shown = SignIn { username: login, password, code: code.as_deref(), new_password: new.as_deref() };
        let refused = match sign_in_with(target, shown).await {
            Err(ClientError::Refused(refused)) => refused,
            other => return other,
        };
        let asked = match refused.code.as_str() {
            "second_factor_required" if code.is_none() => {
                hidden(format!("Code of {login}: ")).await.map(|asked| code = Some(asked))
            }
            "password_reset_required" if new.is_none() => new_password_of(login).await.map(|chosen| new = Some(chosen)),
            _ => return Err(ClientError::Refused(refused)),
        };
        asked.map_err(|_| ClientError::Refused(refused))?;
    }
}

/// From `EQUIPOISE_NEW_PASSWORD`, or asked for twice.
async fn new_password_of(login: &str) -> io::Result<String> {
    if let Ok(password) = std::env::var("EQUIPOISE_NEW_PASSWORD") {
        return Ok(password);
    }
    loop {
        let chosen = hidden(format!("This password is over. A new one for {login}: ")).await?;
        if hidden("The same again: ".to_owned()).await? == chosen {
            return Ok(chosen);
        }
    }
}

/// A line that is typed without being shown.
async fn hidden(prompt: String) -> io::Result<String> {
    let asked = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt)).await;
    asked.map_err(io::Error::other).flatten()
}

/// The password of who signs in: from `EQUIPOISE_PASSWORD`, or asked for.
pub async fn password_of(login: &str) -> io::Result<String> {
    if let Ok(password) = std::env::var("EQUIPOISE_PASSWORD") {
        return Ok(password);
    }
    hidden(format!("Password of {login}: ")).await
}

/// Runs the console until it is left, the script is done, or the broker says no.
pub async fn serve(options: Options, password: &str, keyboard: Keyboard, output: Output) -> Result<(), RepError> {
    let (target, way) = (options.target.clone(), options.way.clone());
    match way {
        Way::Login(login) => attend(options, sign_in(&target, &login, password), keyboard, output).await,
        Way::Invite { .. } => attend(options, no_token(), keyboard, output).await,
    }
}

async fn attend(
    options: Options,
    token: impl Future<Output = Result<String, ClientError>>,
    keyboard: Keyboard,
    output: Output,
) -> Result<(), RepError> {
    let script = options.script.as_deref().map(Command::script).transpose().map_err(RepError::Script)?;
    let token = token.await.map_err(RepError::SignIn)?;
    let hello = match options.way {
        Way::Login(_) => hello(Role::Rep, Credential::Token(token), String::new()),
        Way::Invite { key, name } => hello(Role::External, Credential::Key(key), name),
    };
    let (client, happenings) = Client::connect(options.target, hello).await.map_err(RepError::Connect)?;
    let hub = Arc::new(Hub::new(client, output, options.screen));
    let pushes = tokio::spawn(Arc::clone(&hub).run(happenings));
    let mut console = Console::new(Arc::clone(&hub), keyboard, script.is_some());
    let left = match script {
        Some(commands) => console.script(commands).await,
        None => console.typed().await,
    };
    console.close().await;
    hub.client.close().await;
    pushes.abort();
    left
}

fn hello(role: Role, credential: Credential, display_name: String) -> Hello {
    let client = ClientInfo {
        name: "equipoise rep".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        os: std::env::consts::OS.into(),
        present: true,
        display_name,
        ..ClientInfo::default()
    };
    Hello { role, site: None, credential, client, features: Vec::new(), seen: None }
}
