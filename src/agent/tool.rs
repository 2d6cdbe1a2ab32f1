//! One tool taken up by the endpoint: what is prepared before it is accepted, and the task that then runs it.

use super::{
    files::Roots,
    screen::Scene,
    shell::{Shell, ShellError},
    system,
};
use crate::{
    client::{
        ActError, ChannelEnd, Chunk, Client, Reader, Writer,
        file::{FileError, Landing, Source},
        transfer::{self, Facts, Pace, TransferError},
    },
    limits,
    wire::{
        Do, Done, Flags, Kind,
        control::{ChannelView, Opened, Value},
        frame::CloseReason,
    },
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// What the endpoint's settings give to every tool.
#[derive(Clone)]
pub struct Means {
    pub client: Client,
    pub roots: Arc<Roots>,
    /// The user's own if left out.
    pub shell: Option<String>,
    pub screen: bool,
    /// False while the broker is silent: privileged tools wait (W2.5).
    pub lease: watch::Receiver<bool>,
    /// Who takes part, as the person may see them.
    pub who: watch::Receiver<BTreeMap<u16, String>>,
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
    let opened = match tool.means.client.act(Do::AcceptOpen { session, open, facts }).await? {
        Done::Opened(opened) => opened,
        _ => tool.opened().await?,
    };
    tool.known.extend(opened.channels.iter().map(|channel| channel.channel));
    match prepared {
        Prepared::Shell(shell, output) => tool.shell(opened, shell, output).await,
        Prepared::Upload(landing) => tool.upload(&opened, landing).await,
        Prepared::Download(source) => tool.download(&opened, source).await,
        Prepared::SystemInfo => tool.system_info(&opened).await,
        Prepared::Chat => tool.chat(opened).await,
        Prepared::Screen => tool.screen(opened).await,
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
    SystemInfo,
    Chat,
    Screen,
}

impl Prepared {
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
            "system_info" => Self::SystemInfo,
            "chat" => Self::Chat,
            "screen" if means.screen => Self::Screen,
            "screen" => return Err(refused("no_screen: this endpoint shows none")),
            _ => return Err(refused("unknown_tool: this endpoint does not have it")),
        };
        Ok((prepared, facts))
    }
}

/// How a channel's end reads to the person.
fn ended(what: &str, why: &str) -> String {
    match why {
        "finished" => format!("{what} ended"),
        "revoked" => format!("{what} was taken back"),
        why => format!("{what} was closed: {}", super::plain(why)),
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

/// What the far ends send, from one task for each channel.
enum Input {
    /// From which participant.
    Chunk(u16, Chunk),
    End,
}

impl Tool {
    async fn shell(
        &mut self,
        opened: Opened,
        shell: Shell,
        mut output: mpsc::Receiver<Bytes>,
    ) -> Result<String, ToolError> {
        let (mut writers, mut inputs) = self.split(opened.channels);
        let Some((out, mut writer)) = writers.pop() else { return Err(refused("malformed: no channel out")) };
        let mut lease = self.means.lease.clone();
        let mut pump = tokio::spawn(async move {
            while let Some(bytes) = output.recv().await {
                leased(&mut lease).await;
                writer.write(Kind::ShellOutput, Flags::default(), bytes).await?;
            }
            writer.finish().await
        });
        let (keys, mut waiting) = (shell.input(), None);
        let mut lease = self.means.lease.clone();
        let how = loop {
            tokio::select! {
                done = &mut pump => break match done {
                    Ok(Ok(())) => "the shell ended".to_owned(),
                    Ok(Err(end)) => format!("the shell was closed: {end}"),
                    Err(error) => format!("the shell was closed: {error}"),
                },
                // Keystrokes wait for a program that does not read; what ends the shell does not.
                Ok(room) = keys.reserve(), if waiting.is_some() => {
                    if let Some(bytes) = waiting.take() {
                        room.send(bytes);
                    }
                }
                Ok(()) = lease.changed() => {}
                input = inputs.next(), if waiting.is_none() && *self.means.lease.borrow() => match input {
                    Some(Input::Chunk(_, chunk)) if chunk.kind == Kind::ShellResize => {
                        if let [c1, c0, r1, r0] = chunk.bytes[..] {
                            shell.resize(u16::from_be_bytes([c1, c0]), u16::from_be_bytes([r1, r0]));
                        }
                    }
                    Some(Input::Chunk(_, chunk)) => waiting = Some(chunk.bytes),
                    // The last who may type has gone; nobody could end the shell any more.
                    Some(Input::End) if inputs.all_ended() => break "the shell ended".to_owned(),
                    Some(Input::End) | None => {}
                },
                news = self.news.recv() => match news {
                    Some(News::Closed(channel, why)) if channel == out.channel => break ended("the shell", &why),
                    Some(News::Opened(more)) => self.more(more, &mut inputs),
                    None => break "the shell was stopped".to_owned(),
                    Some(_) => {}
                },
            }
        };
        pump.abort();
        shell.end().await;
        Ok(how)
    }

    async fn upload(&mut self, opened: &Opened, landing: Landing) -> Result<String, ToolError> {
        let channel = opened.channels.first().ok_or_else(|| refused("malformed: no channel"))?.clone();
        let mut reader = self.means.client.reader(&channel);
        let stored = async {
            let mut pace = Pace { go: self.means.lease.clone(), ..Pace::free() };
            let landing = transfer::receive(&mut reader, landing, &mut pace).await?;
            let sha256 = self.fact(channel.channel, "sha256").await?;
            transfer::commit(landing, sha256).await
        };
        match stored.await {
            Ok(stored) => {
                let facts = [("stored", Value::Bool(true)), ("sha256", Value::Text(stored.sha256.clone()))];
                self.note(channel.channel, facts).await?;
                // The writer closes, now that it knows; a reader that went first would look like a cut.
                let _ = tokio::time::timeout(Duration::from_millis(limits::TOOL_ANSWER.0), reader.read()).await;
                Ok(format!("a file of {} bytes was stored, SHA-256 {}", stored.size, stored.sha256))
            }
            Err(error) => {
                self.failed(channel.channel, &error).await;
                reader.cancel(CloseReason::Failed).await;
                Err(error.into())
            }
        }
    }

    async fn download(&mut self, opened: &Opened, source: Source) -> Result<String, ToolError> {
        let channel = opened.channels.first().ok_or_else(|| refused("malformed: no channel"))?.clone();
        let mut writer = self.means.client.writer(&channel);
        let sent = async {
            let mut pace = Pace { go: self.means.lease.clone(), ..Pace::free() };
            let source = transfer::send(&mut writer, source, &mut pace).await?;
            let note = self.note(channel.channel, [("sha256", Value::Text(source.sha256()))]).await;
            note.map_err(|error| TransferError::Other(error.to_string()))?;
            self.fact(channel.channel, "stored").await?;
            Ok(source)
        };
        match sent.await {
            Ok(source) => {
                // It is stored; how the channel ends changes nothing.
                let _ = writer.finish().await;
                Ok(format!("a file of {} bytes was sent, SHA-256 {}", source.size(), source.sha256()))
            }
            Err(error) => {
                self.failed(channel.channel, &error).await;
                writer.cancel(CloseReason::Failed).await;
                Err(error.into())
            }
        }
    }

    async fn system_info(&mut self, opened: &Opened) -> Result<String, ToolError> {
        let channel = opened.channels.first().ok_or_else(|| refused("malformed: no channel"))?;
        let mut writer = self.means.client.writer(channel);
        let document = tokio::task::spawn_blocking(system::document).await;
        let document = document.map_err(|error| ToolError::Refused(format!("failed: {error}")))?;
        writer.write(Kind::Document, Flags::FIN, document.to_string().into()).await?;
        writer.finish().await?;
        Ok("system information was sent".into())
    }

    async fn chat(&mut self, opened: Opened) -> Result<String, ToolError> {
        let (mut writers, mut inputs) = self.split(opened.channels);
        loop {
            tokio::select! {
                input = inputs.next() => match input {
                    Some(Input::Chunk(from, chunk)) => {
                        let name = self.means.who.borrow().get(&from).cloned().unwrap_or_else(|| "rep".into());
                        let text = super::plain(&String::from_utf8_lossy(&chunk.bytes));
                        let _ = self.means.says.send(format!("{name}: {text}")).await;
                    }
                    Some(Input::End) if inputs.all_ended() => return Ok("the chat ended".into()),
                    Some(Input::End) | None => {}
                },
                news = self.news.recv() => match news {
                    Some(News::Say(text)) => for (_, writer) in &mut writers {
                        writer.write(Kind::Chat, Flags::default(), text.clone().into()).await?;
                    },
                    Some(News::Closed(channel, _)) if writers.iter().any(|(own, _)| own.channel == channel) => {
                        return Ok("the chat ended".into());
                    }
                    Some(News::Opened(more)) => self.more(more, &mut inputs),
                    Some(_) => {}
                    None => return Ok("the chat was stopped".into()),
                },
            }
        }
    }

    async fn screen(&mut self, opened: Opened) -> Result<String, ToolError> {
        let (mut writers, mut inputs) = self.split(opened.channels);
        let Some((out, writer)) = writers.pop() else { return Err(refused("malformed: no channel out")) };
        let (scene, mut pictures) = (Arc::new(Mutex::new(Scene::default())), JoinSet::new());
        pictures.spawn(show(writer, Arc::clone(&scene), self.means.lease.clone()));
        let how = loop {
            tokio::select! {
                done = pictures.join_next() => break match done {
                    Some(Ok(Err(end))) => format!("the screen was closed: {end}"),
                    _ => "the screen was closed".into(),
                },
                input = inputs.next() => if let Some(Input::Chunk(_, chunk)) = input {
                    scene.lock().input(chunk.kind, &chunk.bytes);
                },
                news = self.news.recv() => match news {
                    Some(News::Closed(channel, why)) if channel == out.channel => break ended("the screen", &why),
                    Some(News::Opened(more)) => self.more(more, &mut inputs),
                    Some(_) => {}
                    None => break "the screen was stopped".into(),
                },
            }
        };
        Ok(how)
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
                match self.news.recv().await {
                    Some(News::Noted(noted, facts)) if noted == channel => {
                        if let Some(why) = transfer::text(&facts, "failed") {
                            return Err(TransferError::Other(super::plain(why)));
                        }
                        match facts.get(name) {
                            Some(Value::Text(text)) => return Ok(text.clone()),
                            Some(Value::Bool(true)) => return Ok(String::new()),
                            _ => {}
                        }
                    }
                    Some(News::Closed(closed, why)) if closed == channel => {
                        return Err(TransferError::Other(format!("the channel was closed: {}", super::plain(&why))));
                    }
                    Some(_) => {}
                    None => return Err(TransferError::Silent),
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
async fn leased(lease: &mut watch::Receiver<bool>) {
    // The endpoint that held the other end is gone, and this task with it.
    let _ = lease.wait_for(|held| *held).await;
}

/// Draws, encodes and sends pictures; a picture that waits for credit is followed by a fresh one, not by a backlog.
async fn show(
    mut writer: Writer,
    scene: Arc<Mutex<Scene>>,
    mut lease: watch::Receiver<bool>,
) -> Result<(), ChannelEnd> {
    let mut beat = tokio::time::interval(Duration::from_millis(limits::DEMO_PICTURE_INTERVAL.0));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        leased(&mut lease).await;
        let (picture, key) = scene.lock().next(writer.refresh_wanted());
        let whole = Flags::START.with(Flags::END);
        writer.write(Kind::Picture, if key { whole.with(Flags::KEY) } else { whole }, picture.into()).await?;
    }
}

/// The channels a tool listens to, each with a task of its own, so that none waits for another.
struct Inputs {
    tasks: JoinSet<()>,
    send: mpsc::Sender<Input>,
    receive: mpsc::Receiver<Input>,
    open: usize,
}

impl Inputs {
    fn new() -> Self {
        let (send, receive) = mpsc::channel(1);
        Self { tasks: JoinSet::new(), send, receive, open: 0 }
    }

    fn listen(&mut self, mut reader: Reader, channel: ChannelView) {
        self.open += 1;
        let send = self.send.clone();
        self.tasks.spawn(async move {
            while let Ok(Some(chunk)) = reader.read().await {
                if send.send(Input::Chunk(channel.writer, chunk)).await.is_err() {
                    return;
                }
            }
            let _ = send.send(Input::End).await;
        });
    }

    async fn next(&mut self) -> Option<Input> {
        let input = self.receive.recv().await;
        if let Some(Input::End) = input {
            self.open -= 1;
        }
        input
    }

    fn all_ended(&self) -> bool {
        self.open == 0
    }
}
