//! One tool taken up by the endpoint: what is prepared before it is accepted, and the task that then runs it.

mod acts;
mod documents;
mod inputs;
mod screen;
mod transfers;
mod typed;

use super::{
    button::{ItemKey, KeptToken},
    clipboard::Clipboard,
    files::Roots,
    manager::Act,
    pages::Pages,
    plain,
    prompt::UNATTENDED,
    screen::Screen as Shown,
    shell::{Shell, ShellError},
    system,
};
use crate::{
    client::{
        ActError, ChannelEnd, Client, Writer,
        file::{FileError, Landing, Source},
        transfer::{self, Facts, TransferError},
    },
    limits,
    wire::{
        Do, Done,
        control::{ChannelView, Opened, Value},
    },
};
use bytes::Bytes;
use inputs::{Input, Inputs};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// What the endpoint's settings give to every tool.
#[derive(Clone)]
pub struct Means {
    pub client: Client,
    pub roots: Arc<Roots>,
    /// The user's own if left out.
    pub shell: Option<String>,
    pub screen: Option<Arc<Shown>>,
    /// What restarts this machine, where its owner allows that.
    pub restart: Option<String>,
    /// What shows a page; else it is only named.
    pub browser: Option<String>,
    /// Where a support button is kept; else none is taken.
    pub button: Option<PathBuf>,
    /// Where the key of a jump item is kept; else none is taken.
    pub pin: Option<PathBuf>,
    /// The key that this end stands by with.
    pub item_key: Option<Arc<str>>,
    pub clipboard: Arc<Clipboard>,
    /// False while the broker is silent: privileged tools wait (W2.5).
    pub lease: watch::Receiver<bool>,
    /// Who takes part, as the person may see them.
    pub who: watch::Receiver<BTreeMap<u16, String>>,
    /// Which pages are shown.
    pub pages: watch::Receiver<Pages>,
    /// What the person should see.
    pub says: mpsc::Sender<String>,
}

/// What happened to a running tool.
#[derive(Debug)]
pub enum News {
    Opened(Opened),
    /// A channel, and why.
    Closed(u32, String),
    Noted(u32, Facts),
    /// The person types a chat message.
    Say(String),
}

#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Told to whoever asked, as the reason.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Shell(#[from] ShellError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Channel(#[from] ChannelEnd),
    #[error(transparent)]
    Act(Box<ActError>),
}

impl From<ActError> for ToolError {
    fn from(error: ActError) -> Self {
        Self::Act(Box::new(error))
    }
}

/// A request that was asked for here.
pub struct Asked {
    pub session: u64,
    pub open: u32,
    pub tool: String,
    pub args: Facts,
}

/// Prepares, accepts and runs a tool until its end; the text says how it ended.
pub async fn run(means: Means, asked: Asked, news: mpsc::Receiver<News>) -> Result<String, ToolError> {
    let (session, open) = (asked.session, asked.open);
    let prepared = Prepared::new(&means, &asked);
    let (prepared, facts) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            means.client.act(Do::RefuseOpen { session, open, reason: error.to_string() }).await?;
            return Err(error);
        }
    };
    let mut tool = Tool { means, session, news, known: BTreeSet::new() };
    let without_channels = prepared.has_no_channels();
    let opened = match tool.means.client.act(Do::AcceptOpen { session, open, facts }).await {
        Ok(Done::Opened(opened)) => opened,
        // What has no channels is opened by being taken up.
        Ok(_) if without_channels => {
            Opened { session, open, tool: asked.tool, channels: Vec::new(), facts: Facts::new() }
        }
        Ok(_) => tool.opened().await?,
        // Which item its key is of this end does not know.
        Err(ActError::Refused(why)) if matches!(prepared, Prepared::GiveUp(_)) => {
            let reason = format!("other_item: {}", why.message);
            tool.means.client.act(Do::RefuseOpen { session, open, reason }).await?;
            return Err(ActError::Refused(why).into());
        }
        Err(error) => return Err(error.into()),
    };
    tool.known.extend(opened.channels.iter().map(|channel| channel.channel));
    match prepared {
        Prepared::Shell(shell, output) => tool.shell(opened, shell, output).await,
        Prepared::Upload(landing) => tool.upload(&opened, landing).await,
        Prepared::Download(source) => tool.download(&opened, source).await,
        Prepared::Manage(act) => {
            tool.document(&opened, "it was done", move || Ok(documents::text(&act.perform()?))).await
        }
        Prepared::Processes => {
            tool.document(&opened, "the processes were listed", || Ok(documents::text(&system::processes()?))).await
        }
        Prepared::EndProcess(pid) => {
            let done = format!("process {pid} was told to end");
            tool.document(&opened, &done, move || Ok(documents::text(&system::end_process(pid)?))).await
        }
        Prepared::Script(text) => tool.script(&opened, &text).await,
        Prepared::Page(url) => tool.page(&url).await,
        Prepared::Restart(command) => tool.restart(&command).await,
        // The broker remembers it, and says it with every `permissions` from here on.
        Prepared::Remembered => Ok("it was taken note of".to_owned()),
        Prepared::Keep(token, what) => {
            token.keep().map_err(failed)?;
            Ok(format!("{what} is kept here"))
        }
        Prepared::GiveUp(key) => {
            key.forget().map_err(failed)?;
            Ok("the key to stand by with is good no more".to_owned())
        }
        Prepared::Capture(screen) => {
            tool.document(&opened, "a picture of the screen was sent", move || Ok(screen.draw()?.to_png().into())).await
        }
        Prepared::Annotations => tool.annotations(opened).await,
        Prepared::Paste => tool.paste(opened).await,
        Prepared::Copy => tool.copy(&opened).await,
        Prepared::SystemInfo => {
            tool.document(&opened, "system information was sent", || Ok(documents::text(&system::document()))).await
        }
        Prepared::Chat => tool.chat(opened).await,
        Prepared::Screen(screen) => tool.screen(opened, screen).await,
    }
}

/// A chat that the person here began; it is already opened.
pub async fn chat(means: Means, opened: Opened, news: mpsc::Receiver<News>) -> Result<String, ToolError> {
    let known = opened.channels.iter().map(|channel| channel.channel).collect();
    Tool { means, session: opened.session, news, known }.chat(opened).await
}

/// Everything that can fail before anybody is told yes.
enum Prepared {
    Shell(Shell, mpsc::Receiver<Bytes>),
    Upload(Landing),
    Download(Source),
    Manage(Act),
    Processes,
    EndProcess(u32),
    Script(String),
    Page(String),
    Restart(String),
    Remembered,
    /// With what it is, for the person.
    Keep(KeptToken, &'static str),
    GiveUp(ItemKey),
    Capture(Arc<Shown>),
    Annotations,
    Paste,
    Copy,
    SystemInfo,
    Chat,
    Screen(Arc<Shown>),
}

impl Prepared {
    fn has_no_channels(&self) -> bool {
        matches!(self, Self::Page(_) | Self::Restart(_) | Self::Keep(..) | Self::GiveUp(_) | Self::Remembered)
    }

    fn new(means: &Means, asked: &Asked) -> Result<(Self, Facts), ToolError> {
        let args = &asked.args;
        let mut facts = Facts::new();
        let prepared = match asked.tool.as_str() {
            "shell" => {
                let side =
                    |name, usual| transfer::number(args, name).and_then(|n| u16::try_from(n).ok()).unwrap_or(usual);
                let (shell, output) = Shell::start(means.shell.as_deref(), side("cols", 80), side("rows", 24))?;
                Self::Shell(shell, output)
            }
            "file_transfer" => {
                let path = transfer::text(args, "path").ok_or_else(|| refused("malformed: the path is missing"))?;
                match transfer::text(args, "direction") {
                    Some("upload") => {
                        let (name, size) = (transfer::text(args, "name"), transfer::number(args, "size"));
                        let overwrite = transfer::truth(args, "overwrite");
                        Self::Upload(means.roots.landing(path, name, overwrite, size)?)
                    }
                    Some("download") => {
                        let source = means.roots.source(path)?;
                        facts.insert("size".into(), transfer::int(source.size()));
                        facts.insert("modified_ms".into(), transfer::int(source.modified_ms()));
                        Self::Download(source)
                    }
                    _ => return Err(refused("malformed: the direction is upload or download")),
                }
            }
            "file_manager" => Self::Manage(Act::prepare(&means.roots, args)?),
            "system_info" => Self::SystemInfo,
            "system_info_actions" => match (transfer::text(args, "action"), transfer::text(args, "target")) {
                (Some("processes"), _) => Self::Processes,
                (Some("end_process"), Some(target)) => {
                    Self::EndProcess(target.parse().map_err(|_| refused("malformed: the target is a process number"))?)
                }
                (
                    Some("services" | "start_service" | "stop_service" | "restart_service" | "software" | "uninstall"),
                    _,
                ) => {
                    return Err(refused("unsupported: this end neither lists nor changes services and software"));
                }
                _ => return Err(refused("malformed: this end lists and ends processes")),
            },
            "canned_scripts" => {
                let text = transfer::text(args, "text").ok_or_else(|| refused("malformed: the script is missing"))?;
                Self::Script(text.to_owned())
            }
            "push_url" => {
                let url = transfer::text(args, "url").unwrap_or_default();
                means.pages.borrow().check(url)?;
                Self::Page(url.to_owned())
            }
            "reboot" => match (&means.restart, transfer::text(args, "mode").unwrap_or("normal")) {
                (Some(command), "normal") => Self::Restart(command.clone()),
                (Some(_), _) => return Err(refused("malformed: this machine restarts in mode `normal` only")),
                (None, _) => return Err(refused("no_reboot: the owner of this machine does not allow it")),
            },
            "termination" => match transfer::text(args, "mode") {
                Some("nothing" | "lock" | "log_out") => Self::Remembered,
                _ => return Err(refused("malformed: the mode is nothing, lock or log_out")),
            },
            "deploy" => {
                let path = means.button.clone().ok_or_else(|| refused("no_button: this end keeps none"))?;
                keeps(path, "a support button", &mut facts)?
            }
            "pin_jump_client" if transfer::text(args, "mode") == Some("unpin") => {
                let key = ItemKey::find(means.item_key.as_deref(), means.pin.clone());
                let key = key.ok_or_else(|| refused("no_pin: this end has no key of an item"))?;
                facts.insert("token".into(), Value::Text(key.hash()));
                Self::GiveUp(key)
            }
            "pin_jump_client" | UNATTENDED => {
                let path = means.pin.clone().ok_or_else(|| refused("no_pin: this end does not stand by"))?;
                transfer::text(args, "item").ok_or_else(|| refused("malformed: the item is missing"))?;
                if path.exists() {
                    return Err(refused("has_pin: this end keeps the key of an item already"));
                }
                keeps(path, "the key to stand by with", &mut facts)?
            }
            "customer_restrictions" => match (transfer::text(args, "mode"), &means.screen) {
                (Some("off"), _) => Self::Remembered,
                (Some("input"), Some(screen)) => {
                    screen.holds()?;
                    Self::Remembered
                }
                (Some("input"), None) => return Err(refused("no_screen: this endpoint shows none")),
                (Some("display_and_input"), _) => {
                    return Err(refused("unsupported: this end cannot hide its screen from the person at it"));
                }
                _ => return Err(refused("malformed: the mode is off, input or display_and_input")),
            },
            "annotations" => Self::Annotations,
            "clipboard" => match transfer::text(args, "direction") {
                Some("rep_to_customer") => Self::Paste,
                Some("customer_to_rep") => Self::Copy,
                _ => return Err(refused("malformed: the direction is rep_to_customer or customer_to_rep")),
            },
            "chat" => Self::Chat,
            "screen" | "screen_capture" => match (&means.screen, asked.tool.as_str()) {
                (Some(screen), "screen") => Self::Screen(Arc::clone(screen)),
                (Some(screen), _) => Self::Capture(Arc::clone(screen)),
                (None, _) => return Err(refused("no_screen: this endpoint shows none")),
            },
            _ => return Err(refused("unknown_tool: this endpoint does not have it")),
        };
        Ok((prepared, facts))
    }
}

/// Drawn here, told by its hash, and kept once it is taken up.
fn keeps(path: PathBuf, what: &'static str, facts: &mut Facts) -> Result<Prepared, ToolError> {
    let token = KeptToken::draw(path).map_err(failed)?;
    facts.insert("token".into(), Value::Text(token.hash()));
    Ok(Prepared::Keep(token, what))
}

fn failed(error: io::Error) -> ToolError {
    ToolError::Refused(format!("failed: {error}"))
}

/// How a channel's end reads to the person.
fn ended(what: &str, why: &str) -> String {
    match why {
        "finished" => format!("{what} ended"),
        "revoked" => format!("{what} was taken back"),
        why => format!("{what} was closed: {}", plain(why)),
    }
}

fn refused(reason: &str) -> ToolError {
    ToolError::Refused(reason.to_owned())
}

struct Tool {
    means: Means,
    session: u64,
    news: mpsc::Receiver<News>,
    /// Channels already taken up; an `opened` that comes twice brings nothing twice.
    known: BTreeSet<u32>,
}

impl Tool {
    fn name_of(&self, participant: u16) -> String {
        self.means.who.borrow().get(&participant).cloned().unwrap_or_else(|| "rep".into())
    }

    /// Own channels to write on, and the others' to listen to.
    fn split(&mut self, channels: Vec<ChannelView>) -> (Vec<(ChannelView, Writer)>, Inputs) {
        let (mut writers, mut inputs) = (Vec::new(), Inputs::new());
        for channel in channels {
            if channel.writer == 0 {
                let writer = self.means.client.writer(&channel);
                writers.push((channel, writer));
            } else {
                inputs.listen(self.means.client.reader(&channel), channel);
            }
        }
        (writers, inputs)
    }

    /// Somebody joined: their channels come as another `opened` of the same request.
    fn more(&mut self, opened: Opened, inputs: &mut Inputs) {
        for channel in opened.channels {
            if channel.writer != 0 && self.known.insert(channel.channel) {
                inputs.listen(self.means.client.reader(&channel), channel);
            }
        }
    }

    async fn opened(&mut self) -> Result<Opened, ToolError> {
        loop {
            match self.news.recv().await {
                Some(News::Opened(opened)) => return Ok(opened),
                Some(_) => {}
                None => return Err(refused("stopped")),
            }
        }
    }

    /// Waits for what the other end notes about a channel.
    async fn fact(&mut self, channel: u32, name: &str) -> Result<String, TransferError> {
        let wait = async {
            loop {
                let facts = match self.news.recv().await {
                    Some(News::Noted(noted, facts)) if noted == channel => facts,
                    // Told again on a new connection, with what was noted meanwhile.
                    Some(News::Opened(again)) if again.channels.iter().any(|known| known.channel == channel) => {
                        again.facts
                    }
                    Some(News::Closed(closed, why)) if closed == channel => {
                        return Err(TransferError::Other(format!("the channel was closed: {}", plain(&why))));
                    }
                    Some(_) => continue,
                    None => return Err(TransferError::Silent),
                };
                if let Some(why) = transfer::text(&facts, "failed") {
                    return Err(TransferError::Other(plain(why)));
                }
                match facts.get(name) {
                    Some(Value::Text(text)) => return Ok(text.clone()),
                    Some(Value::Bool(true)) => return Ok(String::new()),
                    _ => {}
                }
            }
        };
        let deadline = Duration::from_millis(limits::TOOL_ANSWER.0);
        tokio::time::timeout(deadline, wait).await.unwrap_or(Err(TransferError::Silent))
    }

    async fn note<const N: usize>(&self, channel: u32, facts: [(&str, Value); N]) -> Result<(), ActError> {
        let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.means.client.act(Do::Note { session: self.session, channel, facts }).await.map(|_| ())
    }

    /// Says why to the other end; where the channel is already gone it knows.
    async fn failed(&self, channel: u32, error: &TransferError) {
        if !matches!(error, TransferError::Channel(_) | TransferError::Other(_)) {
            let _ = self.note(channel, [("failed", Value::Text(error.to_string()))]).await;
        }
    }
}

/// Waits until the broker may be trusted to still be there (W2.5).
pub async fn leased(lease: &mut watch::Receiver<bool>) {
    // The endpoint that held the other end is gone, and this task with it.
    let _ = lease.wait_for(|held| *held).await;
}
