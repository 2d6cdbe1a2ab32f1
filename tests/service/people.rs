//! People at their ends through the SDK: what they hear is kept, so that nothing that happened is missed.

use crate::{
    place::{PASSWORD, Place, hello, key},
    process::{DEADLINE, Process},
};
use bytes::Bytes;
use equipoise::{
    client::{Client, Happening, Reader, Transport, Writer, sign_in},
    wire::{
        Credential, Do, Ev, Flags, Kind,
        control::{Open, Opened, Role, SessionView, Value},
    },
};
use std::{collections::BTreeMap, path::Path};
use tokio::{sync::watch, time::timeout};

/// Somebody who is connected.
pub struct Person {
    pub client: Client,
    heard: watch::Receiver<Heard>,
    /// How much of it was looked at.
    at: usize,
}

impl Person {
    pub async fn enter(place: &Place, transport: Transport, role: Role, credential: Credential) -> Self {
        let (client, mut happenings) = Client::connect(place.target(transport), hello(role, credential)).await.unwrap();
        let (hears, heard) = watch::channel(Heard::default());
        tokio::spawn(async move {
            while let Some(happening) = happenings.recv().await {
                hears.send_modify(|heard| heard.take(happening));
            }
        });
        Self { client, heard, at: 0 }
    }

    pub async fn rep(place: &Place, transport: Transport, login: &str) -> Self {
        let token = sign_in(&place.target(transport), login, PASSWORD).await.unwrap();
        Self::enter(place, transport, Role::Rep, Credential::Token(token)).await
    }

    pub async fn customer(place: &Place, transport: Transport, key: String) -> Self {
        Self::enter(place, transport, Role::Customer, Credential::Key(key)).await
    }

    /// Waits for what is asked for; whatever came before it is not looked at again.
    pub async fn hears<T>(&mut self, what: &str, mut wanted: impl FnMut(&Happening) -> Option<T>) -> T {
        let (mut found, mut at) = (None, self.at);
        let heard = self.heard.wait_for(|heard| {
            while found.is_none() && at < heard.all.len() {
                found = wanted(&heard.all[at]);
                at += 1;
            }
            found.is_some()
        });
        let over = timeout(DEADLINE, heard).await.map(|heard| heard.is_err());
        self.at = at;
        match found {
            Some(found) => found,
            None => panic!("{what} was never heard (over: {over:?}); heard was {:#?}", self.heard.borrow().all),
        }
    }

    pub async fn told<T>(&mut self, what: &str, mut wanted: impl FnMut(&Ev) -> Option<T>) -> T {
        let wanted = |happening: &Happening| if let Happening::Ev { ev, .. } = happening { wanted(ev) } else { None };
        self.hears(what, wanted).await
    }

    pub async fn connected_again(&mut self) {
        self.hears("a connection", |happening| matches!(happening, Happening::Connected { .. }).then_some(())).await;
    }

    /// The session that is offered.
    pub async fn offered(&mut self) -> u64 {
        self.told("an offer", |ev| if let Ev::Offer { session, .. } = ev { Some(*session) } else { None }).await
    }

    /// Opens a tool at somebody's endpoint and waits until it runs.
    pub async fn opens(&mut self, session: u64, tool: &str, args: &[(&str, Value)]) -> Opened {
        self.client.act(Do::Open(Open { session, tool: tool.into(), args: named(args) })).await.unwrap();
        self.told("an opened tool", |ev| match ev {
            Ev::Opened(opened) if opened.tool == tool => Some(Ok(opened.clone())),
            Ev::RefusedOpen { refused, .. } => Some(Err(refused.clone())),
            _ => None,
        })
        .await
        .unwrap()
    }

    /// Takes up what a rep asks for, with a yes where that is asked first.
    pub async fn takes_up(&mut self, session: u64) -> Opened {
        self.takes_up_with(session, &[]).await
    }

    /// The same, saying this of what is opened.
    pub async fn takes_up_with(&mut self, session: u64, facts: &[(&str, Value)]) -> Opened {
        let open = loop {
            let asked = |ev: &Ev| match ev {
                Ev::Prompt { prompt, .. } => Some(Err(*prompt)),
                Ev::Requested { open, .. } => Some(Ok(*open)),
                _ => None,
            };
            match self.told("a request", asked).await {
                Ok(open) => break open,
                Err(prompt) => {
                    self.client.act(Do::Answer { session, prompt, allow: true }).await.unwrap();
                }
            }
        };
        self.client.act(Do::AcceptOpen { session, open, facts: named(facts) }).await.unwrap();
        self.told("an opened tool", |ev| match ev {
            Ev::Opened(opened) if opened.open == open => Some(opened.clone()),
            _ => None,
        })
        .await
    }

    /// Every session that was offered so far, as it grows.
    pub fn offers(&self) -> watch::Receiver<Vec<u64>> {
        let (send, offers) = watch::channel(Vec::new());
        let (mut heard, mut at) = (self.heard.clone(), 0);
        tokio::spawn(async move {
            while heard.wait_for(|heard| heard.all.len() > at).await.is_ok() {
                let heard = heard.borrow();
                let fresh = heard.all[at..].iter().filter_map(|happening| match happening {
                    Happening::Ev { ev: Ev::Offer { session, .. }, .. } => Some(*session),
                    _ => None,
                });
                send.send_modify(|offers| offers.extend(fresh));
                at = heard.all.len();
            }
        });
        offers
    }

    /// Waits until the console's view is as it should be; `wrong` says what is not.
    pub async fn views(&mut self, mut wrong: impl FnMut(&Sessions) -> Option<String>) {
        let mut last = None;
        let right = self.heard.wait_for(|heard| {
            last = wrong(&heard.view);
            last.is_none()
        });
        if timeout(DEADLINE, right).await.is_err() {
            let heard = self.heard.borrow();
            let brief = heard.all.iter().map(|happening| match happening {
                Happening::Ev { seq, ev: Ev::Snapshot { sessions, .. } } => {
                    format!("{seq} snapshot {:?}", sessions.iter().map(|session| session.session).collect::<Vec<_>>())
                }
                Happening::Ev { seq, ev: Ev::Session(session) } => {
                    format!("{seq} s{} {} {:?}", session.session, session.state, session.owner)
                }
                other => format!("{other:?}"),
            });
            panic!("{}\nheard was:\n{}", last.unwrap_or_default(), brief.collect::<Vec<_>>().join("\n"));
        }
    }
}

/// A console's sessions.
pub type Sessions = BTreeMap<u64, SessionView>;

#[derive(Default)]
struct Heard {
    all: Vec<Happening>,
    /// What the pushes so far add up to.
    view: Sessions,
}

impl Heard {
    fn take(&mut self, happening: Happening) {
        match &happening {
            Happening::Connected { resumed: false, .. } => self.view.clear(),
            Happening::Ev { ev: Ev::Snapshot { sessions, .. }, .. } => {
                self.view.extend(sessions.iter().map(|session| (session.session, session.clone())));
            }
            Happening::Ev { ev: Ev::Session(session), .. } => {
                self.view.insert(session.session, (**session).clone());
            }
            Happening::Ev { ev: Ev::SessionGone { session, .. }, .. } => {
                self.view.remove(session);
            }
            _ => {}
        }
        self.all.push(happening);
    }
}

/// A rep through the SDK with a customer's endpoint in a process of its own.
pub async fn with_agent(
    place: &Place,
    rep: Transport,
    agent: Transport,
    login: &str,
    root: &Path,
) -> (Person, Process, u64) {
    let mut rep = Person::rep(place, rep, login).await;
    let agent = place.agent(agent, &key(&rep.client).await, root);
    let session = rep.offered().await;
    rep.client.act(Do::Accept { session }).await.unwrap();
    (rep, agent, session)
}

/// A rep and a customer, both through the SDK.
pub async fn with_customer(place: &Place, rep: Transport, customer: Transport, login: &str) -> (Person, Person, u64) {
    let mut rep = Person::rep(place, rep, login).await;
    let customer = Person::customer(place, customer, key(&rep.client).await).await;
    let session = rep.offered().await;
    rep.client.act(Do::Accept { session }).await.unwrap();
    (rep, customer, session)
}

fn named(values: &[(&str, Value)]) -> BTreeMap<String, Value> {
    values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

pub fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// A shell at the customer's endpoint, with everything it has written.
pub struct Shell {
    keys: Writer,
    screen: Reader,
    seen: String,
}

impl Shell {
    pub async fn open(rep: &mut Person, session: u64) -> Self {
        let opened = rep.opens(session, "shell", &[("cols", Value::Int(80)), ("rows", Value::Int(24))]).await;
        let (theirs, own): (Vec<_>, Vec<_>) = opened.channels.iter().partition(|channel| channel.writer == 0);
        Self { keys: rep.client.writer(own[0]), screen: rep.client.reader(theirs[0]), seen: String::new() }
    }

    pub async fn types(&mut self, line: &str) {
        self.keys.write(Kind::ShellInput, Flags::default(), Bytes::from(format!("{line}\n"))).await.unwrap();
    }

    /// Reads until these words stand on its screen, after all that was waited for before.
    pub async fn shows(&mut self, words: &str) {
        let shown = async {
            loop {
                if let Some(at) = self.seen.find(words) {
                    self.seen.drain(..at + words.len());
                    return;
                }
                let chunk = self.screen.read().await.unwrap().expect("the shell goes on");
                self.seen.push_str(&String::from_utf8_lossy(&chunk.bytes));
            }
        };
        if timeout(DEADLINE, shown).await.is_err() {
            panic!("{words:?} was never shown; the screen had {:?}", self.seen);
        }
    }
}
