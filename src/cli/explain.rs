//! `explain`: why a session is offered to whom it is (R9.1), from a journal or a running broker; and a dry run (R9.2).

use super::{
    ends::Reach,
    out::{Failure, Out, chain},
    runtime,
};
use crate::{
    client::{ActError, Client, Target},
    engine::telling::Teller,
    ids::SessionId,
    journal,
    rep::{explanation, password_of, sign_in_on_terminal},
    wire::{
        Do, Done, Hello,
        control::{Ask, ClientInfo, Credential, Explained, Preferred, Role},
    },
};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use url::Url;

#[derive(Subcommand, Debug)]
pub(super) enum ExplainCommand {
    /// Why a session waits, was offered and moved as it was
    #[command(
        after_help = "From the journal of a data folder, on which a broker may be running, or from a broker itself,\n\
                            as an administrator: the password comes from EQUIPOISE_PASSWORD, or is asked for.\n\n\
                            Examples:\n  equipoise explain session 42 --data data\n  \
                            equipoise explain session 42 --offer 1 --json\n  \
                            equipoise explain session 42 --server https://help.example.org --login root --all"
    )]
    Session(Box<SessionArgs>),
    /// What would become of a customer who asked at this moment; changes nothing
    #[command(
        after_help = "The password comes from EQUIPOISE_PASSWORD, or is asked for.\n\nExample:\n  equipoise explain \
                            ask team:net --skill norton --server https://help.example.org --login root"
    )]
    Ask(Box<AskArgs>),
}

#[derive(Args, Debug)]
pub(super) struct SessionArgs {
    /// The session's number
    session: u64,
    /// Data folder, the folder of one site in it, or a journal
    #[arg(long, value_name = "DIR", default_value = "data", conflicts_with = "server")]
    data: PathBuf,
    /// A broker's address
    #[arg(long, value_name = "URL", requires = "login")]
    server: Option<Url>,
    #[command(flatten)]
    reach: Reach,
    /// An administrator's username
    #[arg(long, value_name = "NAME", requires = "server")]
    login: Option<String>,
    /// The full list of this offer, at the moment before it
    #[arg(long, value_name = "N", conflicts_with = "all")]
    offer: Option<u32>,
    /// The full list of every offer listed, then how it stands
    #[arg(long)]
    all: bool,
    /// One JSON object a line, for machines
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct AskArgs {
    /// Where they would ask: team:CODE, rep:USERNAME or issue:CODE
    queue: String,
    /// A skill they ask for; may be given several times
    #[arg(long = "skill", value_name = "CODE")]
    skills: Vec<String>,
    /// From 0 to 100
    #[arg(long)]
    priority: Option<u8>,
    /// support, cobrowse, chat or lens
    #[arg(long)]
    kind: Option<String>,
    /// Seconds before a weaker match is taken (R4.7)
    #[arg(long, value_name = "SECONDS")]
    relax_after_s: Option<u64>,
    /// The rep they would rather have, and for how long that one is waited for
    #[arg(long, value_name = "REP:SECONDS", value_parser = preferred)]
    preferred: Option<Preferred>,
    /// A broker's address
    #[arg(long, value_name = "URL")]
    server: Url,
    #[command(flatten)]
    reach: Reach,
    /// An administrator's username
    #[arg(long, value_name = "NAME")]
    login: String,
    /// One JSON object, for machines
    #[arg(long)]
    json: bool,
}

fn preferred(text: &str) -> Result<Preferred, String> {
    let parts = text.rsplit_once(':').and_then(|(rep, seconds)| Some((rep.to_owned(), seconds.parse().ok()?)));
    parts.map(|(rep, window_s)| Preferred { rep, window_s }).ok_or_else(|| "expected REP:SECONDS".to_owned())
}

pub(super) fn run(command: ExplainCommand) -> Result<(), Failure> {
    match command {
        ExplainCommand::Session(args) => session(*args),
        ExplainCommand::Ask(args) => {
            let act = Do::ExplainAsk(Ask {
                queue: args.queue,
                skills: args.skills,
                priority: args.priority,
                kind: args.kind,
                relax_after_s: args.relax_after_s,
                preferred: args.preferred,
                ..Ask::default()
            });
            let explained =
                with_broker(args.reach.target(args.server), &args.login, async |client| explained(client, act).await)?;
            show(&explained, args.json)
        }
    }
}

fn session(args: SessionArgs) -> Result<(), Failure> {
    let SessionArgs { session, data, server, reach, login, offer, all, json } = args;
    let mut told = Vec::new();
    match (server, login) {
        (Some(server), Some(login)) => with_broker(reach.target(server), &login, async |client| {
            let ask = |offer: Option<u32>| Do::Explain { session, past: offer.is_none(), offer };
            let whole = explained(client, ask(offer)).await?;
            for offer in offers(&whole).filter(|_| all) {
                told.push(explained(client, ask(Some(offer))).await?);
            }
            told.push(whole);
            Ok(())
        })?,
        _ => {
            let whole = from_journal(&data, session, offer)?;
            for offer in offers(&whole).filter(|_| all) {
                told.push(from_journal(&data, session, Some(offer))?);
            }
            told.push(whole);
        }
    }
    for (at, explained) in told.iter().enumerate() {
        if at > 0 && !json {
            Out.line("")?;
        }
        show(explained, json)?;
    }
    Ok(())
}

fn offers(explained: &Explained) -> impl Iterator<Item = u32> {
    explained.decisions.iter().filter_map(|decision| decision.offer)
}

fn show(explained: &Explained, json: bool) -> Result<(), Failure> {
    if json { Out.json(explained) } else { Out.line(&explanation(explained)) }
}

fn from_journal(data: &Path, session: u64, offer: Option<u32>) -> Result<Explained, Failure> {
    let mut teller = Teller::new(SessionId(session), offer);
    for row in journal::read(data).map_err(|e| Failure::failed(&e))? {
        if !teller.fold(&row.map_err(|e| Failure::failed(&e))?.turn.events) {
            break;
        }
    }
    teller.told().map_err(|refusal| Failure::Failed(refusal.message))
}

/// Speaks to a broker as an administrator: that disturbs no console.
fn with_broker<T>(
    target: Target,
    login: &str,
    talk: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = runtime(1)?;
    let done = runtime.block_on(async {
        let password = password_of(login).await.map_err(|e| Failure::Failed(format!("no password: {e}")))?;
        let token = sign_in_on_terminal(&target, login, &password).await.map_err(|e| Failure::failed(&e))?;
        let client = ClientInfo {
            name: "equipoise explain".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            os: std::env::consts::OS.into(),
            ..ClientInfo::default()
        };
        let credential = Credential::Token(token);
        let hello = Hello { role: Role::Admin, site: None, credential, client, features: Vec::new(), seen: None };
        let (client, happenings) = Client::connect(target, hello).await.map_err(|e| Failure::failed(&e))?;
        happenings.ignore();
        let said = talk(&client).await;
        client.close().await;
        said
    });
    runtime.shutdown_background();
    done
}

async fn explained(client: &Client, act: Do) -> Result<Explained, Failure> {
    match client.act(act).await {
        Ok(Done::Explained(explained)) => Ok(*explained),
        Ok(_) => Err(Failure::Failed("the broker answered something else".into())),
        Err(ActError::Refused(refused)) => Err(Failure::Failed(format!("{} ({})", refused.message, refused.code))),
        Err(error) => Err(Failure::Failed(chain(&error))),
    }
}
