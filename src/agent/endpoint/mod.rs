//! The endpoint while its session lives: what the broker says and what its own person types, in one loop. `person` is what is
//! said and typed, `running` the tools.

mod person;
mod running;

use super::{AgentError, Allow, Options, Terminal, files, join, plain, screen, state::StateFile};
use super::{
    ending::Ending,
    holding::Holding,
    pages::Pages,
    prompt::{Question, Questions},
    tool::{Asked, Means, News, ToolError},
};
use crate::{
    client::{ActError, Happening, Happenings},
    limits,
    wire::{
        Do, Done,
        control::{Ev, Value},
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Runs the endpoint until the session ends or `stop` is cancelled.
pub async fn serve(options: Options, mut terminal: Terminal, stop: CancellationToken) -> Result<(), AgentError> {
    serve_at(options, &mut terminal, stop).await
}

/// The same where the terminal is needed afterwards.
pub(super) async fn serve_at(
    options: Options,
    terminal: &mut Terminal,
    stop: CancellationToken,
) -> Result<(), AgentError> {
    let roots = Arc::new(files::Roots::open(&options.roots).map_err(AgentError::Root)?);
    let (screen, clipboard) = screen::open(&options.screen)?;
    let (state, token) = match &options.state {
        Some(path) => StateFile::open(path, &options.target.url).map(|(file, token)| (Some(file), token))?,
        None => (None, None),
    };
    // Of a jump item's session a run of this endpoint before may have been the end.
    let came_back = token.is_some() || options.stand_by;
    let (client, happenings) = tokio::select! {
        joined = join::join(&options, terminal.present(), state.as_ref(), token) => joined?,
        () = stop.cancelled() => return Ok(()),
    };
    let session = client.welcome().session.unwrap_or(0);
    let clock = Clock::new(client.welcome().now_ms);
    let (lease, leased) = watch::channel(true);
    let (who, known) = watch::channel(BTreeMap::new());
    let (pages, shown) = watch::channel(Pages::default());
    let (says, said) = mpsc::channel(limits::TERMINAL_READS_WAITING);
    let item_key = options.stand_by.then(|| join::key(&options).into());
    let Options { shell, restart, at_end, browser, button, pin, .. } = options;
    let (screen, clipboard) = (screen.map(Arc::new), Arc::new(clipboard));
    let means = Means {
        client,
        roots,
        shell,
        screen,
        restart,
        browser,
        button,
        pin,
        item_key,
        clipboard,
        lease: leased,
        who: known,
        pages: shown,
        says,
    };
    let holding = Holding::new(means.screen.as_ref());
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
        pages,
        clock,
        last: String::new(),
        state,
        first: None,
        came_back,
        disclaimer: None,
        lets_come: false,
        ending: Ending::new(at_end),
        holding,
        over: false,
    };
    endpoint
        .terminal
        .say("Joined. Ctrl-C leaves; `stop` takes back what you allowed; anything else is a chat message.");
    endpoint.keep_state();
    let ended = endpoint.live(happenings, said, stop).await;
    std::mem::take(&mut endpoint.holding).end().await;
    endpoint.tasks.shutdown().await;
    endpoint.means.client.close().await;
    if endpoint.over {
        endpoint.at_the_end().await;
    }
    ended
}

struct Endpoint<'a> {
    means: Means,
    session: u64,
    allow: Allow,
    terminal: &'a mut Terminal,
    questions: Questions,
    /// By the number of the request to open.
    running: BTreeMap<u32, Running>,
    tasks: JoinSet<Outcome>,
    lease: watch::Sender<bool>,
    who: watch::Sender<BTreeMap<u16, String>>,
    pages: watch::Sender<Pages>,
    clock: Clock,
    /// The last thing said about waiting, so that nothing is said twice.
    last: String,
    state: Option<StateFile>,
    /// The first request to open that was taken up here; what was opened before it was another run's.
    first: Option<u32>,
    came_back: bool,
    /// The session whose disclaimer waits for a yes or no.
    disclaimer: Option<u64>,
    /// The person let reps come when nobody is there, in this session: its key goes when that is taken back.
    lets_come: bool,
    ending: Ending,
    holding: Holding,
    /// The session ended, and not only this endpoint's part in it.
    over: bool,
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

impl Endpoint<'_> {
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
                _ = beat.tick() => {
                    self.renew_lease();
                    if self.ending.timed_out(Instant::now()) {
                        self.at_the_end().await;
                    }
                }
            }
        }
    }

    /// True when the session is over.
    fn happens(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Ev { ev, .. } => return self.push(ev),
            Happening::Connected { transport, resumed } => {
                self.clock = Clock::new(self.means.client.welcome().now_ms);
                self.ending.connected();
                self.renew_lease();
                self.keep_state();
                let again = if resumed { " again" } else { "" };
                let name = format!("{transport:?}").to_lowercase();
                self.terminal.say(&format!("Connected{again} over {name}."));
            }
            Happening::Lost { retry_in } => {
                self.ending.lost(Instant::now());
                self.terminal.say(&format!("Connection lost; trying again in {:.1} s.", retry_in.as_secs_f32()));
            }
            Happening::Ended { .. } => {}
        }
        false
    }

    /// Nothing that reaches this computer goes on while the broker, which could forbid it, is not heard (W2.5).
    fn renew_lease(&mut self) {
        let held = self.means.client.silent_for() < Duration::from_millis(limits::ENDPOINT_LEASE.0);
        self.holding.heard(held);
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
            Ev::Prompt { session, prompt, tools, by, expires_at_ms, each } => {
                let seconds = self.clock.left(expires_at_ms) / 1000;
                self.prompt(Question { session, prompt, tools, by: plain(&by), seconds, each });
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
            Ev::Permissions { options, .. } => {
                self.pages.send_replace(Pages::told(&options));
                if let Some(Value::Int(seconds)) = options.get("reconnect_timeout_s") {
                    self.ending.waited_for(u64::try_from(*seconds).unwrap_or_default());
                }
                if let Some(Value::Text(mode)) = options.get("termination")
                    && let Some(text) = self.ending.told(mode)
                {
                    self.terminal.say(&text);
                }
                if let Some(Value::Text(mode)) = options.get("customer_restrictions")
                    && let Some(text) = self.holding.told(mode)
                {
                    self.terminal.say(text);
                }
            }
            Ev::Ended { reason, .. } => {
                self.over = true;
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

    fn act(&mut self, act: Do) {
        let client = self.means.client.clone();
        self.tasks.spawn(async move { Outcome::Said(client.act(act).await) });
    }

    /// Ends the session from this side; a broker that is away learns it from the closed connection.
    async fn leave(&mut self) {
        let end = self.means.client.act(Do::End { session: self.session });
        self.over = true;
        self.forget_state();
        if tokio::time::timeout(Duration::from_millis(limits::HANDSHAKE.0), end).await.is_err() {
            tracing::debug!("the broker did not answer to the end of the session");
        }
    }

    fn ended(&mut self, code: u16, reason: String) -> Result<(), AgentError> {
        self.forget_state();
        if code == crate::wire::CloseCode::SessionEnded.number() {
            self.over = true;
            self.terminal.say("The session ended.");
            return Ok(());
        }
        Err(AgentError::Ended { code, reason: plain(&reason) })
    }

    /// P3.30: what the broker said last of it, by the commands of this machine's owner.
    async fn at_the_end(&mut self) {
        if let Some(text) = self.ending.apply().await {
            self.terminal.say(&text);
        }
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
