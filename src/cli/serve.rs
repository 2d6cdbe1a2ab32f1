//! `serve`, `demo` and `config`: the broker itself and its settings.

use super::out::{Failure, Out};
use super::runtime;
use crate::{
    ops::logging,
    server::{
        Doors, Server, ServerError, demo,
        settings::{KEYS, Settings, Sources},
    },
};
use clap::{Args, Subcommand};
use std::{net::SocketAddr, path::PathBuf};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where settings come from; shared by all commands that read them.
#[derive(Args, Debug, Clone)]
pub(super) struct SettingsArgs {
    /// Settings file (TOML); `config/equipoise.toml` documents every setting
    #[arg(long, value_name = "FILE", env = "EQUIPOISE_CONFIG")]
    config: Option<PathBuf>,
    /// Data folder; stands for --set data.folder=DIR
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port for WebSocket and QUIC; stands for --set listen.address=ADDRESS
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Site file to import at the first start; stands for --set site.file=FILE
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// Any setting, stronger than the file and the environment
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as log.level=debug")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl SettingsArgs {
    pub(super) fn sources(self) -> Sources {
        let mut flags = self.set;
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        let short =
            [("data.folder", self.data.map(path)), ("listen.address", self.listen), ("site.file", self.site.map(path))];
        flags.extend(short.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        Sources::of_process(self.config, flags)
    }

    pub(super) fn load(self) -> Result<Settings, Failure> {
        Settings::load(&self.sources()).map_err(|e| Failure::usage(&e))
    }
}

#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Report every problem of the settings, and what is weaker than its default
    #[command(after_help = "Examples:\n  equipoise config check --config config/equipoise.toml\n  \
                      EQUIPOISE_LOG__LEVEL=debug equipoise config check --json")]
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
        /// One JSON object for machines
        #[arg(long)]
        json: bool,
    },
    /// List every setting with its default
    Keys {
        /// One JSON object for machines
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn config(command: ConfigCommand) -> Result<(), Failure> {
    let out = Out;
    match command {
        ConfigCommand::Check { settings, json } => {
            let weaknesses = settings.load()?.weaknesses();
            if json {
                let weaker: std::collections::BTreeMap<_, _> = weaknesses.into_iter().collect();
                return out.json(&serde_json::json!({ "problems": [], "weaker": weaker }));
            }
            for (key, gives_up) in &weaknesses {
                out.line(&format!("weaker than default: {key}: {gives_up}"))?;
            }
            out.line("the settings are sound")
        }
        ConfigCommand::Keys { json } => {
            if json {
                let keys: std::collections::BTreeMap<_, _> = KEYS.iter().copied().collect();
                return out.json(&keys);
            }
            KEYS.iter().try_for_each(|(key, default)| out.line(&format!("{key} = {default}")))
        }
    }
}

#[derive(Args, Debug)]
#[command(
    after_help = "SIGTERM drains and ends within ten seconds; a second one ends at once. SIGHUP reads the settings \
                        again and applies the log level and the certificate.\n\n\
                        Examples:\n  equipoise serve --config config/equipoise.toml\n  \
                        EQUIPOISE_LISTEN__ADDRESS=127.0.0.1:8443 equipoise serve --data /var/lib/equipoise"
)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  equipoise demo\n  equipoise demo --listen 127.0.0.1:9443 --data demo-data")]
pub(super) struct DemoArgs {
    /// Data folder, kept; by default a fresh one below the user's state folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port for WebSocket and QUIC; port 0: any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Another site file than the example; it needs the rep `ana`
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// Any other setting
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Print what is to be known as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn serve(args: ServeArgs) -> Result<(), Failure> {
    let sources = args.settings.sources();
    let settings = Settings::load(&sources).map_err(|e| Failure::usage(&e))?;
    let level = logging::start(&settings.log_level, settings.log_format).map_err(|e| Failure::failed(&e))?;
    runtime(settings.workers)?.block_on(async {
        let mut signals = Signals::listen().map_err(|e| Failure::failed(&e))?;
        let server = Server::start(settings.clone()).await.map_err(failure)?;
        let doors = tokio::select! {
            opened = open(&server) => opened?,
            () = signals.end() => return stop(server, None, signals).await,
            error = server.failed() => return Err(failure(error)),
        };
        tracing::info!(http = %doors.http, quic = ?doors.quic, ops = ?server.ops, "serving");
        if let Some(certificate) = &doors.certificate {
            tracing::info!(
                pin = certificate.fingerprint(),
                "clients pin this certificate where no authority vouches for it"
            );
        }
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Reload => reload(&sources, &level, &doors),
                    Asked::End => return stop(server, Some(doors), signals).await,
                },
                error = server.failed() => return give_up(server, doors, signals, error).await,
            }
        }
    })
}

/// Waits for the first administrator where there is none, then opens the doors.
async fn open(server: &Server) -> Result<Doors, Failure> {
    if !server.has_admin().await.map_err(failure)? {
        first_admin(server).await?;
    }
    server.open().await.map_err(failure)
}

async fn first_admin(server: &Server) -> Result<(), Failure> {
    let waiting = server.set_up().map_err(failure)?;
    // Straight to the terminal of whoever starts it, and never into a log.
    eprintln!(
        "There is no administrator yet. On this machine, as this user, run:\n\n  \
         equipoise setup --data {} --token {} --username NAME\n\n\
         The token is good for 60 minutes, five tries and one use. Nobody can connect before.",
        waiting.data.display(),
        waiting.token.reveal(),
    );
    match waiting.made().await {
        Ok(()) => Ok(()),
        Err(message) => Err(Failure::Failed(message)),
    }
}

/// On any problem everything stays as it was (H-92).
fn reload(sources: &Sources, level: &logging::Level, doors: &Doors) {
    match Settings::load(sources) {
        Err(problems) => tracing::error!(%problems, "the settings were not reloaded"),
        Ok(settings) => {
            if let Err(error) = level.set(&settings.log_level) {
                tracing::error!(%error, "the log level stays what it was");
            }
            match doors.reload_certificate() {
                Ok(()) => tracing::info!("settings reloaded: log level and certificate; others need a restart"),
                Err(error) => tracing::error!(%error, "the certificate stays what it was"),
            }
        }
    }
}

/// The owner of the site is gone: ends are told to come back, and whoever started the process to start it anew.
async fn give_up(server: Server, doors: Doors, signals: Signals, error: ServerError) -> Result<(), Failure> {
    // What it says is less than the error.
    let _ = stop(server, Some(doors), signals).await;
    Err(failure(error))
}

async fn stop(server: Server, doors: Option<Doors>, mut signals: Signals) -> Result<(), Failure> {
    tracing::info!("draining; a second signal ends at once");
    tokio::select! {
        ended = server.stop(doors) => match ended {
            true => { tracing::info!("ended"); Ok(()) }
            false => Err(Failure::Failed("not everything ended in time".to_owned())),
        },
        () = signals.end() => Err(Failure::Failed("ended by a second signal".to_owned())),
    }
}

pub(super) fn demo(args: DemoArgs) -> Result<(), Failure> {
    let mut flags = vec![
        ("log.level".to_owned(), "warn".to_owned()),
        ("ops.listen".to_owned(), "127.0.0.1:0".to_owned()),
        ("listen.address".to_owned(), args.listen.to_string()),
        ("data.folder".to_owned(), args.data.unwrap_or_else(demo::fresh_folder).to_string_lossy().into_owned()),
    ];
    flags.extend(args.site.map(|site| ("site.file".to_owned(), site.to_string_lossy().into_owned())));
    flags.extend(args.set);
    let mut settings = Settings::load(&Sources { flags, ..Sources::default() }).map_err(|e| Failure::usage(&e))?;
    logging::start(&settings.log_level, settings.log_format).map_err(|e| Failure::failed(&e))?;
    demo::prepare(&mut settings).map_err(|e| Failure::failed(&e))?;
    runtime(settings.workers)?.block_on(async {
        let mut signals = Signals::listen().map_err(|e| Failure::failed(&e))?;
        let server = Server::start(settings).await.map_err(failure)?;
        let doors = server.open().await.map_err(failure)?;
        let shown = demo::furnish(&server, &doors).await.map_err(|e| Failure::failed(&e))?;
        if args.json {
            Out.json(&shown)?
        } else {
            Out.bytes(shown.to_string().as_bytes())?
        }
        tokio::select! {
            () = signals.end() => stop(server, Some(doors), signals).await,
            error = server.failed() => give_up(server, doors, signals, error).await,
        }
    })
}

/// From EQUIPOISE_PASSWORD, else asked on the terminal without showing it.
pub(super) fn password(prompt: &str) -> Result<String, Failure> {
    match std::env::var("EQUIPOISE_PASSWORD") {
        Ok(password) => Ok(password),
        Err(_) => rpassword::prompt_password(prompt)
            .map_err(|e| Failure::Usage(format!("no terminal to ask for a password: set EQUIPOISE_PASSWORD ({e})"))),
    }
}

fn failure(error: ServerError) -> Failure {
    if error.is_usage() { Failure::usage(&error) } else { Failure::failed(&error) }
}

/// What the system asks of the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    End,
    Reload,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }
}
