//! `agent` and `rep`: the two ends of a session.

use super::{
    out::{Failure, chain},
    runtime,
};
use crate::{
    agent::{self, AgentError, Allow, Show},
    client::{Congestion, Target, Transport, parse_pin},
    rep::{self, RepError},
};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use url::Url;

/// Which broker, and how it is reached.
#[derive(Args, Debug)]
pub(super) struct Broker {
    /// The broker's address
    #[arg(long, value_name = "URL", env = "EQUIPOISE_SERVER")]
    server: Url,
    #[command(flatten)]
    reach: Reach,
}

/// How a broker is reached.
#[derive(Args, Debug)]
pub(super) struct Reach {
    /// How to speak to it
    #[arg(long, value_enum, default_value_t = Speak::Ws)]
    transport: Speak,
    /// Take exactly the certificate with this fingerprint, as the broker printed it; else the system's roots decide
    #[arg(long, value_name = "sha256:…", value_parser = pin)]
    pin: Option<Pin>,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Speak {
    Ws,
    Quic,
}

#[derive(Clone, Debug)]
struct Pin([u8; 32]);

fn pin(text: &str) -> Result<Pin, &'static str> {
    parse_pin(text).map(Pin).ok_or("expected sha256: and 64 hexadecimal digits")
}

impl Broker {
    pub(super) fn target(self) -> Target {
        self.reach.target(self.server)
    }
}

impl Reach {
    pub(super) fn target(self, url: Url) -> Target {
        let transport = match self.transport {
            Speak::Ws => Transport::Ws,
            Speak::Quic => Transport::Quic,
        };
        Target { url, transport, pin: self.pin.map(|pin| pin.0), congestion: Congestion::default() }
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  equipoise agent --server https://help.example.org --key KR7W-M2PQ\n  \
                  equipoise agent --server https://localhost:8443 --pin sha256:… --key KR7W-M2PQ --allow chat,system_info\n  \
                  EQUIPOISE_KEY=… equipoise agent --server https://help.example.org --stand-by --unattended\n\n\
                  While it runs, `stop` takes back everything that was allowed and `stop TOOL` one tool, `who` says who can do what, Ctrl-C \
                  ends the session, `clip TEXT` copies a text for the rep to fetch, and any other line is a chat message.")]
pub(super) struct AgentArgs {
    #[command(flatten)]
    broker: Broker,
    /// The session key a rep read out, or a whole join link; with --stand-by the key of a jump item
    #[arg(long, value_name = "KEY", env = "EQUIPOISE_KEY", hide_env_values = true)]
    #[arg(
        required_unless_present_any = ["state", "revoke"],
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    key: String,
    /// Stand by for the jump item whose key this is: take up each session that a rep starts there and run its jobs, until
    /// this is stopped
    #[arg(long, conflicts_with = "state")]
    stand_by: bool,
    /// Have the key that --item-key FILE keeps be good no more, and delete it: nobody connects to this machine by it again
    #[arg(long, requires = "item_key", conflicts_with_all = ["stand_by", "state"])]
    revoke: bool,
    /// With --stand-by: run no jobs here, whoever may make them
    #[arg(long, requires = "stand_by")]
    no_jobs: bool,
    /// Allow these tools without asking, such as shell,file_transfer
    #[arg(long, value_name = "TOOL,…", conflicts_with = "allow_all")]
    allow: Option<String>,
    /// Allow everything without asking
    #[arg(long)]
    allow_all: bool,
    /// Only files below this directory may be reached; may be given several times
    #[arg(long = "root", value_name = "DIR")]
    roots: Vec<PathBuf>,
    /// How you want to be called
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// The shell to start; your own if left out
    #[arg(long, value_name = "PROGRAM")]
    shell: Option<String>,
    /// Nobody sits here: questions have their default answer at once
    #[arg(long)]
    unattended: bool,
    /// Keep the way back into the session in this file, so that it goes on after a restart of this machine
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Allow reps to restart this machine, by this line of the system's shell
    #[arg(long, value_name = "COMMAND")]
    allow_reboot: Option<String>,
    /// Lock this machine by this line of the system's shell when a session is over whose site or rep wants that
    #[arg(long, value_name = "COMMAND")]
    lock: Option<String>,
    /// Log this machine's user out by this line of the system's shell when a session is over whose site or rep wants that
    #[arg(long, value_name = "COMMAND")]
    log_out: Option<String>,
    /// Show pages that a rep pushes with this program; without it they are only named
    #[arg(long, value_name = "PROGRAM")]
    browser: Option<String>,
    /// Keep a support button that a rep hands over in this file; `--key "$(cat FILE)"` then asks for help by it
    #[arg(long, value_name = "FILE")]
    button: Option<PathBuf>,
    /// Keep the key of a jump item that a rep pins this machine to, or may come to when nobody is there, in this file; with
    /// it in the environment, as EQUIPOISE_KEY, `--stand-by` then stands by
    #[arg(long, value_name = "FILE")]
    item_key: Option<PathBuf>,
    /// What to show as this machine's screen
    #[arg(long, value_enum, default_value_t = ScreenKind::Auto)]
    screen: ScreenKind,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum ScreenKind {
    /// The desktop where there is one that can be shown, else the generated picture
    Auto,
    /// The X11 display that DISPLAY names
    #[cfg(feature = "desktop")]
    X11,
    /// A generated moving picture that shows the input it gets
    Demo,
    None,
}

impl ScreenKind {
    fn show(self) -> Show {
        match self {
            Self::Auto => Show::whatever_is_there(),
            #[cfg(feature = "desktop")]
            Self::X11 => Show::Desktop(None),
            Self::Demo => Show::Demo,
            Self::None => Show::None,
        }
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  equipoise rep --server https://help.example.org --login ana\n  \
                  equipoise rep --server https://localhost:8443 --pin sha256:… --login ana -c 'accept; shell: uname -a; end'\n\n\
                  The password comes from EQUIPOISE_PASSWORD, or is asked for. `help` lists the console's commands.")]
pub(super) struct RepArgs {
    #[command(flatten)]
    broker: Broker,
    /// Your username
    #[arg(long, value_name = "NAME", required_unless_present = "invite")]
    login: Option<String>,
    /// The key of an invitation: join that one session as an external rep
    #[arg(long, value_name = "KEY", env = "EQUIPOISE_INVITE", hide_env_values = true, conflicts_with = "login")]
    #[arg(allow_hyphen_values = true)]
    invite: Option<String>,
    /// How you want to be called, with --invite
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// One JSON object a line instead of text
    #[arg(long)]
    json: bool,
    /// What `show` shows to another rep as this machine's screen
    #[arg(long, value_enum, default_value_t = ScreenKind::Auto)]
    screen: ScreenKind,
    /// Commands between semicolons; then the console ends
    #[arg(short = 'c', long = "command", value_name = "COMMANDS")]
    script: Option<String>,
}

pub(super) fn agent(args: AgentArgs) -> Result<(), Failure> {
    let allow = match (args.allow_all, args.allow) {
        (true, _) => Allow::All,
        (false, Some(tools)) => Allow::tools(&tools),
        (false, None) => Allow::Ask,
    };
    let options = agent::Options {
        target: args.broker.target(),
        key: args.key,
        stand_by: args.stand_by,
        jobs: !args.no_jobs,
        allow,
        roots: args.roots,
        name: args.name,
        shell: args.shell,
        screen: args.screen.show(),
        unattended: args.unattended,
        state: args.state,
        restart: args.allow_reboot,
        at_end: agent::Commands { lock: args.lock, log_out: args.log_out },
        browser: args.browser,
        button: args.button,
        pin: args.item_key,
    };
    let runtime = runtime(0)?;
    let left = match args.revoke {
        true => runtime.block_on(agent::revoke(options)),
        false => runtime.block_on(agent::run(options)),
    };
    runtime.shutdown_background();
    left.map_err(|error| match error {
        AgentError::Root(_) | AgentError::State(_) => Failure::usage(&error),
        error => Failure::Failed(chain(&error)),
    })
}

pub(super) fn rep(args: RepArgs) -> Result<(), Failure> {
    let way = match args.invite {
        Some(key) => rep::Way::Invite { key, name: args.name },
        None => rep::Way::Login(args.login.unwrap_or_default()),
    };
    let options = rep::Options {
        target: args.broker.target(),
        way,
        json: args.json,
        script: args.script,
        screen: args.screen.show(),
    };
    let runtime = runtime(0)?;
    let left = runtime.block_on(rep::run(options));
    runtime.shutdown_background();
    left.map_err(|error| match error {
        RepError::Script(_) => Failure::usage(&error),
        error => Failure::Failed(chain(&error)),
    })
}
