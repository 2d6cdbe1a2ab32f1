//! The measured broker: everything on, its own data folder, a site made for the run.

use crate::{Failure, lean::failed, process::Place};
use clap::ValueEnum;
use equipoise::{
    broker::{Broker, Pace, Settings},
    client::{Target, Transport, parse_pin},
    clock,
    engine::{Actor, Command, Reason},
    framing,
    ids::SecretHash,
    limits,
    ops::{self, Health, http::OpsListener},
    site::raw::RawSite,
    transport::{
        Congestion, HttpListener, HttpSettings, PerAddress, QuicListener, QuicSettings,
        tls::{self, Certificate, Source},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    #[arg(long)]
    data: PathBuf,
    /// Reps r0, r1, …
    #[arg(long)]
    reps: usize,
    /// Teams t0, t1, … that the reps are dealt out to.
    #[arg(long, default_value_t = 1)]
    teams: usize,
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[arg(long, default_value = "least_busy")]
    algorithm: String,
    /// QUIC's other congestion control.
    #[arg(long)]
    cubic: bool,
    /// What a window may grow to.
    #[arg(long, default_value_t = limits::WINDOW_BYTES_MAX / 1024)]
    window_kib: u64,
}

/// How the ends of a run reach the broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Over {
    #[default]
    Ws,
    Wss,
    Quic,
}

impl Over {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Quic => "quic",
        }
    }
}

/// The same, with where the broker is and what finds out how much the line there carries.
#[derive(Clone, Default, Debug)]
pub struct Way {
    pub over: Over,
    pub place: Place,
    pub congestion: Congestion,
    /// What a window may grow to; none: the default.
    pub window_kib: Option<u64>,
}

impl From<Over> for Way {
    fn from(over: Over) -> Self {
        Self { over, ..Self::default() }
    }
}

/// What the broker prints on its first line.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct Ready {
    pub plain: SocketAddr,
    pub secure: SocketAddr,
    pub quic: SocketAddr,
    /// Fingerprint of the certificate of the latter two.
    pub pin: String,
    pub service_key: String,
    /// Access tokens of the reps, in order.
    pub tokens: Vec<String>,
    /// An administrator's.
    pub admin: String,
    /// Where its metrics are read.
    pub ops: SocketAddr,
}

impl Ready {
    pub fn target(&self, way: &Way) -> Result<Target, Failure> {
        let (scheme, address, transport) = match way.over {
            Over::Ws => ("http", self.plain, Transport::Ws),
            Over::Wss => ("https", self.secure, Transport::Ws),
            Over::Quic => ("https", self.quic, Transport::Quic),
        };
        let url = format!("{scheme}://{address}").parse().map_err(failed)?;
        let pin = parse_pin(&self.pin).ok_or_else(|| failed("the broker printed no fingerprint"))?;
        Ok(Target { url, transport, pin: Some(pin), congestion: way.congestion })
    }
}

pub async fn serve(options: Options) -> Result<(), Failure> {
    let recorder = ops::metrics::recorder();
    let site = RawSite::parse(&site(options.reps, options.teams.max(1), &options.algorithm))
        .map_err(|problems| Failure::Run(format!("the load test's own site does not parse: {problems:?}")))?;
    let shutdown = CancellationToken::new();
    let source = Source::SelfMade { folder: options.data.clone(), names: tls::names_for([]) };
    let settings = Settings {
        data: options.data,
        disk_reserve_bytes: limits::DISK_RESERVE_BYTES,
        person_pace: Pace::SERVICE,
        window_max: options.window_kib * 1024,
        post: None,
        site,
    };
    let follower = Box::new(ops::follow::follower());
    let (broker, owner) = Broker::start(settings, follower, shutdown.clone()).await.map_err(failed)?;
    let certificate = Certificate::load(source, clock::wall_ms() as i64).map_err(failed)?;
    let config = |alpn: &[u8]| tls::server_config(&certificate, &[alpn], false).map(Arc::new).map_err(failed);
    let listen = options.listen;
    // Plain text is spoken nowhere else.
    let loopback =
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), if listen.ip().is_loopback() { listen.port() } else { 0 });
    // All the load comes from one address.
    let per_address = PerAddress::new(usize::MAX);
    let http = |tls, listen| {
        let (origins, per_address) = (Vec::new(), per_address.clone());
        HttpListener::bind(HttpSettings { listen, tls, behind_proxy: false, origins, per_address })
    };
    let plain = http(None, loopback).await.map_err(failed)?;
    let secure = http(Some(config(b"http/1.1")?), listen).await.map_err(failed)?;
    let (tls, reset_key) = (config(framing::ALPN)?, certificate.reset_key());
    let quic = QuicListener::bind(QuicSettings {
        listen,
        tls,
        congestion: if options.cubic { Congestion::Cubic } else { Congestion::Bbr },
        window_max: options.window_kib * 1024,
        reset_key,
        per_address: per_address.clone(),
    });
    let quic = quic.map_err(failed)?;
    let service_key = "load-test-service-key-of-this-run";
    let make = Command::MakeServiceKey { name: "load".into(), token: SecretHash::of(service_key.as_bytes()) };
    match broker.command(Actor::System, make).await {
        // The key of the run before the restart is still good.
        Err(refusal) if refusal.reason != Reason::Stale => return Err(failed(refusal)),
        _ => {}
    }
    let mut tokens = Vec::with_capacity(options.reps);
    for rep in 0..options.reps {
        tokens.push(broker.token_for(&format!("r{rep}")).await.map_err(|refused| Failure::Run(refused.message))?);
    }
    let admin = administrator(&broker).await?;
    let metrics = OpsListener::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0), false).await.map_err(failed)?;
    let ready = Ready {
        plain: plain.address(),
        secure: secure.address(),
        quic: quic.address(),
        pin: certificate.fingerprint(),
        service_key: service_key.into(),
        tokens,
        admin,
        ops: metrics.address()?,
    };
    println!("{}", serde_json::to_string(&ready)?);
    tokio::spawn(metrics.run(Health::default(), recorder.clone(), shutdown.clone()));
    tokio::spawn(recorder.keep_up(shutdown.clone()));
    let mut serving = JoinSet::new();
    serving.spawn(plain.serve(broker.clone()));
    serving.spawn(secure.serve(broker.clone()));
    serving.spawn(quic.serve(broker));
    tokio::signal::ctrl_c().await?;
    shutdown.cancel();
    serving.join_all().await;
    owner.await.map_err(failed)?.map_err(failed)
}

/// A token for the one who edits the site: its account needs a credential, though nobody signs in with it.
async fn administrator(broker: &Broker) -> Result<String, Failure> {
    let root =
        broker.look(|state| state.site.codes.users["root"]).await.map_err(|refused| Failure::Run(refused.message))?;
    let set = Command::SetCredential { user: root, phc: "*".to_owned(), version: 0, terms: Default::default() };
    match broker.command(Actor::System, set).await {
        // It has one from the run before the restart.
        Err(refusal) if refusal.reason != Reason::Stale => return Err(failed(refusal)),
        _ => {}
    }
    broker.token_for("root").await.map_err(|refused| Failure::Run(refused.message))
}

/// Reps dealt out to teams, no prompts: the permissions are compiled and asked as ever.
pub fn site(reps: usize, teams: usize, algorithm: &str) -> String {
    let mut text = String::from(
        "[site]\nname = \"load\"\n[options]\ndefault_policy = \"open\"\n\
         [[policy]]\ncode = \"open\"\n\
         tools = { screen = \"control\", shell = \"yes\", file_transfer = \"both\", clipboard = \"both\" }\n\
         prompt = { mode = \"never\" }\n\
         [[user]]\nusername = \"root\"\npermissions = [\"administrator\"]\n",
    );
    for team in 0..teams {
        text.push_str(&format!("[[team]]\ncode = \"t{team}\"\npersistent = true\nalgorithm = \"{algorithm}\"\n"));
    }
    for rep in 0..reps {
        let team = rep % teams;
        text.push_str(&format!(
            "[[user]]\nusername = \"r{rep}\"\nteams = {{ t{team} = \"member\" }}\nmax_sessions = 10\nidle_limit_s = 0\n\
             permissions = [\"support\", \"accept_from_queue\", \"get_next\"]\n"
        ));
    }
    text
}
