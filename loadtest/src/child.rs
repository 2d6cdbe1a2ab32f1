//! The measured broker: everything on, its own data folder, a site made for the run.

use crate::{Failure, lean::failed};
use equipoise::{
    broker::{Broker, Pace, Settings},
    engine::{Actor, Command, Reason},
    ids::SecretHash,
    ops,
    site::raw::RawSite,
    transport::{HttpListener, HttpSettings, PerAddress},
};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};
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
}

/// What the broker prints on its first line.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct Ready {
    pub address: SocketAddr,
    pub service_key: String,
    /// Access tokens of the reps, in order.
    pub tokens: Vec<String>,
}

pub async fn serve(options: Options) -> Result<(), Failure> {
    let recorder = ops::metrics::recorder();
    let site = RawSite::parse(&site(options.reps, options.teams.max(1), &options.algorithm))
        .map_err(|problems| Failure::Run(format!("the load test's own site does not parse: {problems:?}")))?;
    let shutdown = CancellationToken::new();
    let settings = Settings {
        data: options.data,
        disk_reserve_bytes: equipoise::limits::DISK_RESERVE_BYTES,
        person_pace: Pace::SERVICE,
        site,
    };
    let follower = Box::new(ops::follow::follower());
    let (broker, owner) = Broker::start(settings, follower, shutdown.clone()).await.map_err(failed)?;
    let tls = None;
    // All the load comes from one address.
    let per_address = PerAddress::new(usize::MAX);
    let http = HttpSettings { listen: options.listen, tls, behind_proxy: false, origins: Vec::new(), per_address };
    let listener = HttpListener::bind(http).await.map_err(failed)?;
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
    let ready = Ready { address: listener.address(), service_key: service_key.into(), tokens };
    println!("{}", serde_json::to_string(&ready)?);
    tokio::spawn(recorder.keep_up(shutdown.clone()));
    let serving = tokio::spawn(listener.serve(broker));
    tokio::signal::ctrl_c().await?;
    shutdown.cancel();
    serving.await.map_err(failed)?;
    owner.await.map_err(failed)?.map_err(failed)
}

/// Reps dealt out to teams, no prompts: the permissions are compiled and asked as ever.
fn site(reps: usize, teams: usize, algorithm: &str) -> String {
    let mut text = String::from(
        "[site]\nname = \"load\"\n[options]\ndefault_policy = \"open\"\n\
         [[policy]]\ncode = \"open\"\n\
         tools = { screen = \"control\", shell = \"yes\", file_transfer = \"both\", clipboard = \"both\" }\n\
         prompt = { mode = \"never\" }\n",
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
