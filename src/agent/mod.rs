//! The customer's endpoint. It never trusts that the broker checked: it asks its own person, opens its own files and
//! stops its own tools (W6, P4, P5).

mod clipboard;
mod demo;
#[cfg(feature = "desktop")]
mod desktop;
mod files;
mod manager;
mod prompt;
mod screen;
mod shell;
mod state;
mod system;
mod terminal;
mod tool;

pub use prompt::Allow;
pub use screen::Show;
pub use terminal::Terminal;

use crate::policy::Tool;
use crate::{
    client::{ActError, Client, ClientError, Happening, Happenings, Target, transfer},
    limits,
    wire::{
        Do, Done, Hello,
        control::{ClientInfo, Credential, Ev, Open, Opened, ParticipantView, Role},
        frame::CloseReason,
    },
};
use prompt::{Question, Questions};
use screen::ScreenError;
use state::{StateError, StateFile};
use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tool::{Asked, Means, News, ToolError};

/// What the endpoint is started with.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    /// A session key as read out, a join token, or a whole join link.
    pub key: String,
    pub allow: Allow,
    /// Directories whose files may be reached; the whole machine if none is given.
    pub roots: Vec<PathBuf>,
    /// How the person wants to be called.
    pub name: String,
    /// The user's own shell if left out.
    pub shell: Option<String>,
    pub screen: Show,
    /// Nobody sits here, whatever the terminal looks like (P4.5).
    pub unattended: bool,
    /// Where the way back into the session is kept for a restarted endpoint. With it the key may be empty.
    pub state: Option<PathBuf>,
    /// A line of the system's shell that restarts this machine, where its owner allows that (P3.16).
    pub restart: Option<String>,
    /// A program that shows a page; without it a page is only named.
    pub browser: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("cannot join: {0}")]
    Join(Box<ClientError>),
    #[error("cannot open the shared directory: {0}")]
    Root(io::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Screen(#[from] ScreenError),
    #[error("no terminal: {0}")]
    Terminal(io::Error),
    #[error("the broker ended the connection ({code}): {reason}")]
    Ended { code: u16, reason: String },
}

/// Runs the endpoint on this process's terminal until the session ends. Ctrl-C ends it cleanly.
pub async fn run(options: Options) -> Result<(), AgentError> {
    let terminal = Terminal::of_process().map_err(AgentError::Terminal)?;
    let stop = CancellationToken::new();
    let interrupt = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupt.cancel();
        }
    });
    serve(options, terminal, stop).await
}

/// Runs the endpoint until the session ends or `stop` is cancelled.
pub async fn serve(options: Options, terminal: Terminal, stop: CancellationToken) -> Result<(), AgentError> {
    let roots = Arc::new(files::Roots::open(&options.roots).map_err(AgentError::Root)?);
    let (screen, clipboard) = screen::open(&options.screen)?;
    let (state, token) = match &options.state {
        Some(path) => StateFile::open(path, &options.target.url).map(|(file, token)| (Some(file), token))?,
        None => (None, None),
    };
    let came_back = token.is_some();
    let (client, happenings) = join(&options, terminal.present(), state.as_ref(), token).await?;
    let session = client.welcome().session.unwrap_or(0);
    let clock = Clock::new(client.welcome().now_ms);
    let (lease, leased) = watch::channel(true);
    let (who, known) = watch::channel(BTreeMap::new());
    let (says, said) = mpsc::channel(limits::TERMINAL_READS_WAITING);
    let Options { shell, restart, browser, .. } = options;
    let (screen, clipboard) = (screen.map(Arc::new), Arc::new(clipboard));
    let means = Means { client, roots, shell, screen, restart, browser, clipboard, lease: leased, who: known, says };
    let mut endpoint = Endpoint {
        means,
        session,
        allow: options.allow,
        terminal,
        questions: Questions::default(),
        running: BTreeMap::new(),
        tasks: JoinSet::new(),
        lease,
        who,
        clock,
        last: String::new(),
        state,
        first: None,
        came_back,
        disclaimer: None,
    };
    endpoint
        .terminal
        .say("Joined. Ctrl-C leaves; `stop` takes back what you allowed; anything else is a chat message.");
    endpoint.keep_state();
    let ended = endpoint.live(happenings, said, stop).await;
    endpoint.tasks.shutdown().await;
    endpoint.means.client.close().await;
    ended
}

/// One line of text from elsewhere, without control and bidirectional characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if files::hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// Back into the session that the state file knows, else into one with the key.
async fn join(
    options: &Options,
    present: bool,
    state: Option<&StateFile>,
    token: Option<String>,
) -> Result<(Client, Happenings), AgentError> {
    let requests = state.map_or(0, StateFile::requests);
    if let Some(token) = token {
        let hello = hello(options, present, Credential::Resume(token));
        match Client::connect_after(options.target.clone(), hello, requests).await {
            Err(error) if error.come_back() || options.key.is_empty() => return Err(AgentError::Join(Box::new(error))),
            // That session is over; the key leads into another.
            Err(_) => {
                if let Some(state) = state {
                    state.forget();
                }
            }
            Ok(connected) => return Ok(connected),
        }
    }
    let key = options.key.rsplit('#').next().unwrap_or_default().trim().to_owned();
    let connected = Client::connect(options.target.clone(), hello(options, present, Credential::Key(key))).await;
    connected.map_err(|error| AgentError::Join(Box::new(error)))
}

fn hello(options: &Options, present: bool, credential: Credential) -> Hello {
    let client = ClientInfo {
        name: "equipoise agent".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        os: std::env::consts::OS.into(),
        display_name: options.name.clone(),
        present: !options.unattended && (present || options.allow != Allow::Ask),
        ..ClientInfo::default()
    };
    Hello { role: Role::Customer, site: None, credential, client, features: Vec::new(), seen: None }
}

struct Endpoint {
    means: Means,
    session: u64,
    allow: Allow,
    terminal: Terminal,
    questions: Questions,
    /// By the number of the request to open.
    running: BTreeMap<u32, Running>,
    tasks: JoinSet<Outcome>,
    lease: watch::Sender<bool>,
    who: watch::Sender<BTreeMap<u16, String>>,
    clock: Clock,
    /// The last thing said about waiting, so that nothing is said twice.
    last: String,
    state: Option<StateFile>,
    /// The first request to open that was taken up here; what was opened before it was another run's.
    first: Option<u32>,
    came_back: bool,
    /// The session whose disclaimer waits for a yes or no.
    disclaimer: Option<u64>,
}

struct Running {
    tool: String,
    by: String,
    news: mpsc::Sender<News>,
    task: AbortHandle,
}

/// The broker's clock as the last welcome told it. The broker owns every timer; this only shows what is left.
struct Clock {
    now_ms: u64,
    read: Instant,
}

impl Clock {
    fn new(now_ms: u64) -> Self {
        Self { now_ms, read: Instant::now() }
    }

    /// Milliseconds until a moment of the broker's clock.
    fn left(&self, at_ms: u64) -> u64 {
        let since = u64::try_from(self.read.elapsed().as_millis()).unwrap_or(u64::MAX);
        at_ms.saturating_sub(self.now_ms.saturating_add(since))
    }
}

enum Outcome {
    Tool {
        open: u32,
        how: Result<String, ToolError>,
    },
    Said(Result<Done, ActError>),
    /// A chat begun here may run.
    Chat {
        opened: Result<Done, ActError>,
        text: String,
    },
}

impl Endpoint {
    async fn live(
        &mut self,
        mut happenings: Happenings,
        mut said: mpsc::Receiver<String>,
        stop: CancellationToken,
    ) -> Result<(), AgentError> {
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.terminal.say("Leaving.");
                    self.leave().await;
                    return Ok(());
                }
                happening = happenings.recv() => match happening {
                    None => return Ok(()),
                    Some(Happening::Ended { code, reason }) => return self.ended(code, reason),
                    Some(happening) => if self.happens(happening) {
                        return Ok(());
                    },
                },
                line = self.terminal.line() => self.line(&line),
                Some(text) = said.recv() => self.terminal.say(&text),
                Some(done) = self.tasks.join_next() => self.done(done),
                _ = beat.tick() => self.renew_lease(),
            }
        }
    }

    /// True when the session is over.
    fn happens(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Ev { ev, .. } => return self.push(ev),
            Happening::Connected { transport, resumed } => {
                self.clock = Clock::new(self.means.client.welcome().now_ms);
                self.renew_lease();
                self.keep_state();
                let again = if resumed { " again" } else { "" };
                let name = format!("{transport:?}").to_lowercase();
                self.terminal.say(&format!("Connected{again} over {name}."));
            }
            Happening::Lost { retry_in } => {
                self.terminal.say(&format!("Connection lost; trying again in {:.1} s.", retry_in.as_secs_f32()));
            }
            Happening::Ended { .. } => {}
        }
        false
    }

    /// Nothing that reaches this computer goes on while the broker, which could forbid it, is not heard (W2.5).
    fn renew_lease(&mut self) {
        let held = self.means.client.silent_for() < Duration::from_millis(limits::ENDPOINT_LEASE.0);
        let changed = self.lease.send_if_modified(|lease| std::mem::replace(lease, held) != held);
        if changed && !self.running.is_empty() {
            self.terminal.say(if held {
                "The broker is heard again; tools go on."
            } else {
                "The broker is silent: everything that reaches this computer waits."
            });
        }
    }

    fn push(&mut self, ev: Ev) -> bool {
        match ev {
            Ev::Waiting { session, position, wait_s, .. } => {
                self.session = session;
                let wait = wait_s.map_or_else(
                    || "how long it takes is not known yet".to_owned(),
                    |wait| format!("about {} s, most likely between {} and {} s", wait.about, wait.low, wait.high),
                );
                self.say_once(format!("You are number {position} in the queue: {wait}."));
            }
            Ev::Announcement { kind, text, url, .. } => {
                let notice = if kind == "notice" { "Notice: " } else { "" };
                let text = format!("{notice}{} {}", plain(&text), plain(&url));
                self.terminal.say(text.trim_end());
            }
            Ev::Disclaimer { session, text, .. } => self.disclaimer(session, &text),
            Ev::Serving { session, participants } => {
                self.session = session;
                self.serving(&participants);
            }
            Ev::Prompt { session, prompt, tools, by, expires_at_ms } => {
                let seconds = self.clock.left(expires_at_ms) / 1000;
                self.prompt(Question { session, prompt, tools, by: plain(&by), seconds });
            }
            Ev::PromptGone { prompt, .. } if self.questions.gone(prompt) => {
                self.terminal.say("The question is no longer open.");
            }
            Ev::Requested { session, open, by, tool, args } => {
                let by = self.name(by);
                self.start(Asked { session, open, tool, args }, by);
            }
            Ev::Opened(opened) if self.is_of_another_run(opened.open) => self.take_over(opened),
            Ev::Opened(opened) => self.tell(opened.open, News::Opened(opened)),
            Ev::RefusedOpen { open, refused, .. } => {
                if let Some(running) = self.running.remove(&open) {
                    running.task.abort();
                    self.terminal.say(&format!("{}: {}.", running.tool, plain(&refused.message)));
                }
            }
            Ev::Closed { channel, reason, .. } => self.tell_all(|| News::Closed(channel, reason.clone())),
            Ev::Noted { channel, by, facts, .. } if by != 0 => self.tell_all(|| News::Noted(channel, facts.clone())),
            Ev::Ended { reason, .. } => {
                self.forget_state();
                self.terminal.say(&format!("The session ended: {}.", plain(&reason)));
                return true;
            }
            Ev::Draining { .. } => self.terminal.say("The broker restarts; the session goes on by itself."),
            _ => {}
        }
        false
    }

    /// Written whenever the token was replaced; without a way back the session still goes on.
    fn keep_state(&mut self) {
        if let Some(state) = &self.state
            && let Err(error) = state.keep(&self.means.client.welcome().resume)
        {
            self.terminal.say(&format!("The way back into this session is not kept: {error}."));
        }
    }

    fn is_of_another_run(&self, open: u32) -> bool {
        self.came_back && !self.running.contains_key(&open) && self.first.is_none_or(|first| open < first)
    }

    /// What ran before this endpoint was restarted: a chat goes on, everything else is gone.
    fn take_over(&mut self, opened: Opened) {
        if opened.tool == "chat" {
            return self.run_chat(opened.open, Some(opened), None);
        }
        let client = self.means.client.clone();
        self.tasks.spawn(async move {
            for channel in &opened.channels {
                match channel.writer {
                    0 => client.writer(channel).cancel(CloseReason::Failed).await,
                    _ => client.reader(channel).cancel(CloseReason::Failed).await,
                }
            }
            Outcome::Said(Ok(Done::Yes {}))
        });
    }

    fn serving(&mut self, participants: &[ParticipantView]) {
        let reps = participants.iter().filter(|one| one.participant != 0);
        let names: BTreeMap<_, _> = reps.clone().map(|one| (one.participant, plain(&one.name))).collect();
        let here: Vec<_> = names.values().cloned().collect();
        let text = match here.is_empty() {
            true => "Nobody serves you at the moment.".into(),
            false => format!("With you: {}.", here.join(", ")),
        };
        self.who.send_replace(names);
        self.say_once(text);
    }

    /// What was allowed at the start covers the site's disclaimer too; where nobody can be asked it is declined.
    fn disclaimer(&mut self, session: u64, text: &str) {
        for line in text.lines() {
            self.terminal.say(&plain(line));
        }
        if self.allow == Allow::Ask && self.terminal.present() {
            self.disclaimer = Some(session);
            return self.terminal.say("Do you agree? [y/N]");
        }
        self.act(Do::AnswerDisclaimer { session, agree: self.allow != Allow::Ask });
    }

    fn prompt(&mut self, question: Question) {
        let answer = if self.allow.covers(&question.tools) {
            self.terminal.say(&format!(
                "{} may use {}, as you said at the start.",
                question.by,
                question.tools.join(", ")
            ));
            Some(true)
        } else if self.terminal.present() {
            let text = self.questions.ask(question.clone());
            self.terminal.say(&text);
            None
        } else {
            Some(false)
        };
        if let Some(allow) = answer {
            self.act(Do::Answer { session: question.session, prompt: question.prompt, allow });
        }
    }

    fn start(&mut self, asked: Asked, by: String) {
        self.first.get_or_insert(asked.open);
        let (send, news) = mpsc::channel(limits::TOOL_NEWS);
        let (open, tool, means) = (asked.open, asked.tool.clone(), self.means.clone());
        if self.running.contains_key(&open) {
            return;
        }
        if self.running.len() >= limits::TOOLS_AT_ONCE {
            let reason = "busy: too many tools run at once".into();
            return self.act(Do::RefuseOpen { session: asked.session, open, reason });
        }
        self.terminal.say(&format!("{by} wants to {}.", about(&asked)));
        let task = self.tasks.spawn(async move { Outcome::Tool { open, how: tool::run(means, asked, news).await } });
        self.running.insert(open, Running { tool, by, news: send, task });
    }

    fn line(&mut self, line: &str) {
        if let Some(session) = self.disclaimer.take() {
            let agree = matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes");
            return self.act(Do::AnswerDisclaimer { session, agree });
        }
        if let Some((question, allow)) = self.questions.answer(line) {
            self.terminal.say(if allow { "Allowed." } else { "Not allowed." });
            return self.act(Do::Answer { session: question.session, prompt: question.prompt, allow });
        }
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("", _) => {}
            ("stop" | "t", "") => self.take_back(None),
            ("stop", tool) if Tool::from_name(tool.trim()).is_some() => self.take_back(Some(tool.trim())),
            ("clip", text) => {
                let said = self.means.clipboard.set(text.to_owned());
                self.terminal.say(&said.map_or_else(|error| error.to_string(), |()| "Copied.".into()));
            }
            ("who", "") => {
                for running in self.running.values() {
                    self.terminal.say(&format!("{} can {}.", running.by, prompt::plainly(&running.tool)));
                }
                if self.running.is_empty() {
                    self.terminal.say("Nobody can reach anything on this computer.");
                }
            }
            _ => self.chat(line.trim().to_owned()),
        }
    }

    /// The person's own stop wins over everything, so it does not wait for the broker (P4.6, P6.5).
    fn take_back(&mut self, tool: Option<&str>) {
        self.running.retain(|_, running| {
            let stays = tool.is_some_and(|tool| running.tool != tool);
            if !stays {
                running.task.abort();
            }
            stays
        });
        self.terminal.say("Stopped. Whoever wants to use something again has to ask again.");
        self.act(Do::TakeBack { session: self.session, tool: tool.map(str::to_owned) });
    }

    fn chat(&mut self, text: String) {
        let chat = self.running.values().find(|running| running.tool == "chat");
        if let Some(chat) = chat {
            if chat.news.try_send(News::Say(text)).is_err() {
                self.terminal.say("The message could not be sent.");
            }
            return;
        }
        let (client, session) = (self.means.client.clone(), self.session);
        self.tasks.spawn(async move {
            let open = Open { session, tool: "chat".into(), args: BTreeMap::new() };
            Outcome::Chat { opened: client.act(Do::Open(open)).await, text }
        });
    }

    fn done(&mut self, done: Result<Outcome, tokio::task::JoinError>) {
        match done {
            Ok(Outcome::Tool { open, how }) => {
                let Some(running) = self.running.remove(&open) else { return };
                let how = how.unwrap_or_else(|error| format!("{}: {error}", running.tool));
                self.terminal.say(&format!("{} ({}).", how, running.by));
            }
            Ok(Outcome::Said(Err(error))) => self.terminal.say(&format!("The broker says: {error}.")),
            Ok(Outcome::Chat { opened: Err(error), .. }) => self.terminal.say(&format!("No chat: {error}.")),
            Ok(Outcome::Chat { opened: Ok(Done::Opening { open, .. }), text }) => {
                self.run_chat(open, None, Some(text));
            }
            Ok(Outcome::Chat { opened: Ok(Done::Opened(opened)), text }) => {
                self.run_chat(opened.open, Some(opened), Some(text));
            }
            Ok(_) => {}
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a tool panicked");
                }
            }
        }
    }

    /// A chat that was begun here runs once it is opened; the first message waits in its news.
    fn run_chat(&mut self, open: u32, opened: Option<Opened>, text: Option<String>) {
        let (send, mut news) = mpsc::channel(limits::TOOL_NEWS);
        let means = self.means.clone();
        let again = send.clone();
        let task = self.tasks.spawn(async move {
            let opened = match opened {
                Some(opened) => Some(opened),
                None => loop {
                    match news.recv().await {
                        Some(News::Opened(opened)) => break Some(opened),
                        Some(_) => {}
                        None => break None,
                    }
                },
            };
            let Some(opened) = opened else {
                return Outcome::Tool { open, how: Err(ToolError::Refused("the chat was not opened".into())) };
            };
            if let Some(text) = text {
                let _ = again.send(News::Say(text)).await;
            }
            drop(again);
            Outcome::Tool { open, how: tool::chat(means, opened, news).await }
        });
        self.running.insert(open, Running { tool: "chat".into(), by: "you".into(), news: send, task });
    }

    /// A tool that does not take its news any more is stuck, and is stopped.
    fn tell(&mut self, open: u32, news: News) {
        if let Some(running) = self.running.get(&open)
            && let Err(mpsc::error::TrySendError::Full(_)) = running.news.try_send(news)
        {
            running.task.abort();
            self.running.remove(&open);
        }
    }

    fn tell_all(&mut self, news: impl Fn() -> News) {
        let all: Vec<_> = self.running.keys().copied().collect();
        for open in all {
            self.tell(open, news());
        }
    }

    fn act(&mut self, act: Do) {
        let client = self.means.client.clone();
        self.tasks.spawn(async move { Outcome::Said(client.act(act).await) });
    }

    /// Ends the session from this side; a broker that is away learns it from the closed connection.
    async fn leave(&mut self) {
        let end = self.means.client.act(Do::End { session: self.session });
        self.forget_state();
        if tokio::time::timeout(Duration::from_millis(limits::HANDSHAKE.0), end).await.is_err() {
            tracing::debug!("the broker did not answer to the end of the session");
        }
    }

    fn ended(&mut self, code: u16, reason: String) -> Result<(), AgentError> {
        self.forget_state();
        if code == crate::wire::CloseCode::SessionEnded.number() {
            self.terminal.say("The session ended.");
            return Ok(());
        }
        Err(AgentError::Ended { code, reason: plain(&reason) })
    }

    fn forget_state(&self) {
        if let Some(state) = &self.state {
            state.forget();
        }
    }

    fn name(&self, participant: u16) -> String {
        self.who.borrow().get(&participant).cloned().unwrap_or_else(|| "The rep".into())
    }

    fn say_once(&mut self, text: String) {
        if text != self.last {
            self.terminal.say(&text);
            self.last = text;
        }
    }
}

/// What is asked for, with the file's name where there is one.
fn about(asked: &Asked) -> String {
    let said = |name| transfer::text(&asked.args, name).map(plain);
    let (path, to) = (said("path").unwrap_or_default(), said("to").unwrap_or_default());
    match (asked.tool.as_str(), transfer::text(&asked.args, "direction").or(transfer::text(&asked.args, "verb"))) {
        ("canned_scripts", _) => format!("run the script {}", said("script").unwrap_or_default()),
        ("push_url", _) => format!("show you the page {}", said("url").unwrap_or_default()),
        ("system_info_actions", _) if said("action").as_deref() == Some("end_process") => {
            format!("end process {}", said("target").unwrap_or_default())
        }
        ("clipboard", Some("rep_to_customer")) => "put a text into your clipboard".into(),
        ("clipboard", Some("customer_to_rep")) => "read your clipboard".into(),
        ("file_transfer", Some("upload")) => format!("store a file at {path}"),
        ("file_transfer", Some("download")) => format!("fetch {path}"),
        ("file_manager", Some("list")) => format!("look into {path}"),
        ("file_manager", Some("stat")) => format!("look at {path}"),
        ("file_manager", Some("rename")) => format!("rename {path} to {to}"),
        ("file_manager", Some("delete")) => format!("delete {path}"),
        ("file_manager", Some("make")) => format!("make a directory {path}"),
        _ => prompt::plainly(&asked.tool).to_owned(),
    }
}
