//! Between the broker's pushes and the commands that wait for them: folds, prints, and wakes whoever waits.

use super::{
    Fault,
    filter::plain,
    output::Output,
    view::{self, View},
};
use crate::{
    agent::{self, Screen, Show},
    client::{Client, Happening, Happenings, Reader},
    wire::{
        Do, Done,
        control::{ChannelView, Ev, Opened},
    },
};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

pub struct Hub {
    pub client: Client,
    pub out: Output,
    /// The rep's own username.
    pub me: String,
    view: Mutex<View>,
    changed: watch::Sender<u64>,
    over: watch::Sender<Option<(u16, String)>>,
    /// The broker's clock at a moment of ours.
    clock: Mutex<(u64, Instant)>,
    show: Show,
    /// This rep's own, once it is to be shown.
    screen: Mutex<Option<Arc<Screen>>>,
}

impl Hub {
    pub fn new(client: Client, out: Output, show: Show) -> Self {
        let welcome = client.welcome();
        Self {
            me: welcome.you.strip_prefix("rep:").unwrap_or(&welcome.you).to_owned(),
            clock: Mutex::new((welcome.now_ms, Instant::now())),
            client,
            out,
            // An external rep has the one session it was invited into.
            view: Mutex::new(View { current: welcome.session, ..View::default() }),
            changed: watch::Sender::new(0),
            over: watch::Sender::new(None),
            show,
            screen: Mutex::default(),
        }
    }

    /// What is to be shown of this rep's own screen.
    pub fn open_screen(&self) -> Result<(), Fault> {
        let mut screen = self.screen.lock();
        if screen.is_none() {
            *screen = Screen::open(&self.show)?.map(Arc::new);
        }
        match *screen {
            Some(_) => Ok(()),
            None => Err(Fault::Wrong("this console has no screen to show: see `equipoise rep --help`".into())),
        }
    }

    /// Takes pushes until the connection is over for good.
    pub async fn run(self: Arc<Self>, mut happenings: Happenings) {
        while let Some(happening) = happenings.recv().await {
            match happening {
                Happening::Ev { ev, .. } => self.push(ev),
                Happening::Connected { transport, resumed } => {
                    *self.clock.lock() = (self.client.welcome().now_ms, Instant::now());
                    self.look(|view| {
                        view.connections += 1;
                        if !resumed {
                            view.forget();
                        }
                    });
                    self.wake();
                    self.out.say(&format!("connected over {}", format!("{transport:?}").to_lowercase()));
                }
                Happening::Lost { retry_in } => {
                    self.out.say(&format!("connection lost; trying again in {:.1} s", retry_in.as_secs_f32()));
                }
                Happening::Ended { code, reason } => {
                    self.over.send_replace(Some((code, plain(&reason))));
                    return;
                }
            }
        }
        self.over.send_replace(Some((1000, "closed".into())));
    }

    /// Waits for something to be seen in the view, so long at most. Looks again after every push.
    pub async fn until<T>(&self, so_long: Duration, mut seen: impl FnMut(&mut View) -> Option<T>) -> Result<T, Fault> {
        let (mut changed, mut over) = (self.changed.subscribe(), self.over.subscribe());
        let look = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = self.look(&mut seen) {
                    return Ok(found);
                }
                tokio::select! {
                    _ = changed.changed() => {}
                    Ok(over) = over.wait_for(Option::is_some) => {
                        let (code, reason) = over.clone().unwrap_or_default();
                        return Err(Fault::Closed { code, reason });
                    }
                }
            }
        };
        tokio::time::timeout(so_long, look).await.unwrap_or(Err(Fault::Silent))
    }

    /// Reads or changes the view.
    pub fn look<T>(&self, look: impl FnOnce(&mut View) -> T) -> T {
        look(&mut self.view.lock())
    }

    /// Code and reason, once the connection is over for good.
    pub async fn over(&self) -> (u16, String) {
        let mut over = self.over.subscribe();
        let ended = over.wait_for(Option::is_some).await.map(|over| over.clone());
        ended.ok().flatten().unwrap_or_default()
    }

    /// An `opened` may come as an answer or as a push, or both.
    pub fn opened(self: &Arc<Self>, opened: Opened) {
        if opened.tool == "chat" {
            self.listen_to_chat(&opened);
        }
        if let Some(screen) = self.shown_in(opened.session) {
            self.show(&opened, screen);
        }
        self.look(|view| view.opened(opened));
        self.wake();
    }

    /// The channel of these that this rep writes on.
    pub fn own<'a>(&self, opened: &'a Opened) -> Option<&'a ChannelView> {
        let me = self.participant(opened.session);
        let mine = |channel: &&ChannelView| match me {
            Some(me) => channel.writer == me,
            None => channel.writer != 0,
        };
        opened.channels.iter().find(mine)
    }

    /// Which participant of a session this rep is.
    fn participant(&self, session: u64) -> Option<u16> {
        let welcome = self.client.welcome();
        if welcome.session == Some(session) {
            return welcome.participant;
        }
        self.look(|view| {
            if view.shown_by(&self.me) == Some(session) {
                return Some(0);
            }
            let name = view.reps.iter().find(|(rep, _)| view::same(rep, &self.me)).map(|(_, rep)| rep.name.clone());
            let is_me = |who: &str| view::same(who, &self.me) || name.as_deref() == Some(who);
            let session = view.sessions.get(&session)?;
            session.participants.iter().find(|one| one.participant != 0 && is_me(&one.name)).map(|one| one.participant)
        })
    }

    fn push(self: &Arc<Self>, ev: Ev) {
        let showed = self.look(|view| view.shown_by(&self.me));
        let said = self.look(|view| view.take(&ev, self.now_ms()));
        if showed.is_some() && self.look(|view| view.shown_by(&self.me)).is_none() {
            // Shown no more, it is let go of: no later word of the broker's reaches it.
            *self.screen.lock() = None;
        }
        self.out.push(serde_json::to_value(&ev).unwrap_or_default(), said);
        match ev {
            Ev::Opened(opened) => self.opened(opened),
            Ev::Requested { session, open, tool, .. } => self.requested(session, open, &tool),
            _ => {}
        }
        self.wake();
    }

    fn wake(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A customer may begin a chat, and who is shown this rep's screen looks at it; nothing else is taken up here.
    fn requested(self: &Arc<Self>, session: u64, open: u32, tool: &str) {
        let act = match tool {
            "chat" => Do::AcceptOpen { session, open, facts: BTreeMap::new() },
            "screen" if self.shown_in(session).is_some() => Do::AcceptOpen { session, open, facts: BTreeMap::new() },
            _ => Do::RefuseOpen { session, open, reason: "unknown_tool: a rep's console does not have it".into() },
        };
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            match hub.client.act(act).await {
                Ok(Done::Opened(opened)) => hub.opened(opened),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the answer to a request to open was refused"),
            }
        });
    }

    /// This rep's own screen, if it is what the session shows.
    fn shown_in(&self, session: u64) -> Option<Arc<Screen>> {
        let shown = self.look(|view| view.shown_by(&self.me)) == Some(session);
        self.screen.lock().clone().filter(|_| shown)
    }

    /// What is told again after a new connection is shown already.
    fn show(self: &Arc<Self>, opened: &Opened, screen: Arc<Screen>) {
        let mut fresh = opened.clone();
        self.look(|view| fresh.channels.retain(|channel| view.running.insert(channel.channel)));
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            let channels: Vec<u32> = fresh.channels.iter().map(|channel| channel.channel).collect();
            agent::show(hub.client.clone(), fresh, screen).await;
            hub.look(|view| view.running.retain(|channel| !channels.contains(channel)));
        });
    }

    fn listen_to_chat(self: &Arc<Self>, opened: &Opened) {
        let own = self.own(opened).map(|channel| channel.channel);
        for channel in &opened.channels {
            if Some(channel.channel) == own {
                self.look(|view| view.chats.insert(opened.session, channel.clone()));
            } else if self.look(|view| view.running.insert(channel.channel)) {
                let reader = self.client.reader(channel);
                tokio::spawn(Arc::clone(self).chat(opened.session, channel.clone(), reader));
            }
        }
    }

    async fn chat(self: Arc<Self>, session: u64, channel: ChannelView, mut reader: Reader) {
        while let Ok(Some(chunk)) = reader.read().await {
            let text = plain(&String::from_utf8_lossy(&chunk.bytes));
            let who = self.look(|view| view.name(session, channel.writer));
            let value = serde_json::json!({"chat": {"session": session, "by": channel.writer, "text": text}});
            self.out.push(value, Some(format!("s{session} {who}: {text}")));
        }
        self.look(|view| view.running.remove(&channel.channel));
    }

    pub fn now_ms(&self) -> u64 {
        let (now_ms, read) = *self.clock.lock();
        now_ms.saturating_add(u64::try_from(read.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
