//! Between the broker's pushes and the commands that wait for them: folds, prints, and wakes whoever waits.

use super::{
    Fault,
    filter::plain,
    output::Output,
    view::{self, View},
};
use crate::{
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
}

impl Hub {
    pub fn new(client: Client, out: Output) -> Self {
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
        }
    }

    /// Takes pushes until the connection is over for good.
    pub async fn run(self: Arc<Self>, mut happenings: Happenings) {
        while let Some(happening) = happenings.recv().await {
            match happening {
                Happening::Ev { ev, .. } => self.push(ev),
                Happening::Connected { transport, resumed } => {
                    *self.clock.lock() = (self.client.welcome().now_ms, Instant::now());
                    if !resumed {
                        self.view.lock().forget();
                    }
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
            let name = view.reps.iter().find(|(rep, _)| view::same(rep, &self.me)).map(|(_, rep)| rep.name.clone());
            let is_me = |who: &str| view::same(who, &self.me) || name.as_deref() == Some(who);
            let session = view.sessions.get(&session)?;
            session.participants.iter().find(|one| one.participant != 0 && is_me(&one.name)).map(|one| one.participant)
        })
    }

    fn push(self: &Arc<Self>, ev: Ev) {
        let said = self.look(|view| view.take(&ev, self.now_ms()));
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

    /// A customer may begin a chat; nothing else is taken up here.
    fn requested(self: &Arc<Self>, session: u64, open: u32, tool: &str) {
        let act = match tool {
            "chat" => Do::AcceptOpen { session, open, facts: BTreeMap::new() },
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

    fn listen_to_chat(self: &Arc<Self>, opened: &Opened) {
        let own = self.own(opened).map(|channel| channel.channel);
        for channel in &opened.channels {
            if Some(channel.channel) == own {
                self.look(|view| view.chats.insert(opened.session, channel.clone()));
            } else if self.look(|view| view.listening.insert(channel.channel)) {
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
        self.look(|view| view.listening.remove(&channel.channel));
    }

    pub fn now_ms(&self) -> u64 {
        let (now_ms, read) = *self.clock.lock();
        now_ms.saturating_add(u64::try_from(read.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
