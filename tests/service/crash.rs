//! kill −9 under load and a restart on the same folder, again and again: what was acknowledged is as it was, and every
//! end goes on by itself.

use crate::{
    people::{Person, Sessions, Shell, text, with_agent},
    place::{Place, key},
    process::{DEADLINE, assert_same, document},
};
use equipoise::{
    client::{
        Client, Reader,
        Transport::{self, Quic, Ws},
    },
    wire::{
        Credential, Do, Ev,
        control::{Ask, Done, History, KeyKind, Role},
    },
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};
use tokio::{sync::watch, task::JoinSet, time::timeout};

const KILLS: usize = 5;
/// Acknowledgements between one kill and the next, at least.
const LOAD: usize = 30;
/// As many wait at the desk at most: fewer than a console is shown.
const WAITING: usize = 100;
/// Sessions that ben keeps; the site lets him have two more.
const KEPT: usize = 8;
const FILE: usize = 12_000_000;

/// What was acknowledged.
#[derive(Clone, Default, Debug)]
struct Ledger {
    asked: Vec<u64>,
    accepted: BTreeSet<u64>,
    ended: BTreeSet<u64>,
    keys: Vec<String>,
}

impl Ledger {
    fn entries(&self) -> usize {
        self.asked.len() + self.accepted.len() + self.ended.len() + self.keys.len()
    }

    fn waiting(&self) -> usize {
        self.asked.len().saturating_sub(self.accepted.len())
    }

    /// What is not so in a console's view, if anything. An ask whose answer a kill took away was asked again by a
    /// service, which is no participant and has no request numbers that outlive its connection: at most one a kill.
    fn differs(&self, view: &Sessions, kills: usize) -> Option<String> {
        let desk: BTreeSet<u64> = view.keys().copied().filter(|session| self.is_known(view, *session)).collect();
        let known = self.asked.iter().chain(&self.accepted).copied();
        let wanted: BTreeSet<u64> = known.filter(|session| !self.ended.contains(session)).collect();
        let lost: Vec<_> = wanted.difference(&desk).collect();
        let more: Vec<_> = desk.difference(&wanted).map(|session| &view[session]).collect();
        let ended = more.iter().any(|session| self.ended.contains(&session.session));
        if !lost.is_empty() || ended || more.len() > kills {
            return Some(format!("lost: {lost:?}; more than were acknowledged: {more:?}"));
        }
        wanted.iter().find_map(|number| {
            let session = &view[number];
            let right = match self.accepted.contains(number) {
                true => session.owner.as_deref() == Some("ben"),
                false => session.owner.is_none() && session.queue.as_deref() == Some("team:desk"),
            };
            (!right).then(|| format!("s{number} is {session:?}, accepted: {}", self.accepted.contains(number)))
        })
    }

    fn is_known(&self, view: &Sessions, session: u64) -> bool {
        self.accepted.contains(&session) || view[&session].queue.as_deref() != Some("team:quiet")
    }
}

/// People at work who write down what was acknowledged to them.
struct Load {
    ledger: Arc<Mutex<Ledger>>,
    entries: watch::Receiver<usize>,
    go: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Load {
    fn begin(till: &Client, ben: Client, offers: watch::Receiver<Vec<u64>>) -> Self {
        let (count, entries) = watch::channel(0);
        let (go, going) = watch::channel(true);
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let mut load = Self { ledger, entries, go, tasks: JoinSet::new() };
        let note = |ledger: &Arc<Mutex<Ledger>>| {
            let (ledger, count) = (Arc::clone(ledger), count.clone());
            move |entry: &mut dyn FnMut(&mut Ledger)| {
                // Told after the ledger is let go: whoever waits looks into it under the channel's own lock.
                let entries = {
                    let mut ledger = ledger.lock().unwrap();
                    entry(&mut ledger);
                    ledger.entries()
                };
                count.send_replace(entries);
            }
        };

        let (write, till, mut gate) = (note(&load.ledger), till.clone(), going.clone());
        let (ledger, mut entries) = (Arc::clone(&load.ledger), load.entries.clone());
        load.tasks.spawn(async move {
            while gate.wait_for(|go| *go).await.is_ok() {
                if entries.wait_for(|_| ledger.lock().unwrap().waiting() < WAITING).await.is_err() {
                    return;
                }
                let ask = Ask { queue: "team:desk".into(), ..Ask::default() };
                let Ok(Done::Asked { session, .. }) = till.act(Do::Ask(ask)).await else {
                    panic!("an ask is answered")
                };
                write(&mut |ledger| ledger.asked.push(session));
            }
        });
        let (write, hand, mut gate) = (note(&load.ledger), ben.clone(), going.clone());
        load.tasks.spawn(async move {
            while gate.wait_for(|go| *go).await.is_ok() {
                let make = Do::MakeKey { queue: None, kind: KeyKind::Link, lives_s: None };
                let Ok(Done::Key { key, .. }) = hand.act(make).await else { return };
                write(&mut |ledger| ledger.keys.push(key.clone().into()));
            }
        });
        let (write, mut gate, mut offers) = (note(&load.ledger), going, offers);
        load.tasks.spawn(async move {
            let (mut at, mut kept) = (0, 0);
            while offers.wait_for(|offers| offers.len() > at).await.is_ok() {
                gate.wait_for(|go| *go).await.unwrap();
                let session = offers.borrow()[at];
                at += 1;
                // An offer may have gone to somebody else or run out meanwhile.
                if ben.act(Do::Accept { session }).await.is_err() {
                    continue;
                }
                write(&mut |ledger| _ = ledger.accepted.insert(session));
                // Some he keeps, fewer than he may have: with all of them taken nothing would be offered any more.
                if at % 8 != 0 || kept == KEPT {
                    ben.act(Do::End { session }).await.unwrap();
                    write(&mut |ledger| _ = ledger.ended.insert(session));
                } else {
                    kept += 1;
                }
            }
        });
        load
    }

    /// Waits until so much more is acknowledged.
    async fn more(&mut self) {
        let wanted = *self.entries.borrow() + LOAD;
        let more = self.entries.wait_for(|entries| *entries >= wanted);
        timeout(DEADLINE, more).await.expect("work goes on").unwrap();
    }
}

/// Reads on until so many bytes have come, each chunk where the one before ended.
async fn read_to(reader: &mut Reader, got: &mut Vec<u8>, enough: usize) {
    while got.len() < enough {
        let chunk = timeout(DEADLINE, reader.read()).await.expect("the file goes on").unwrap().expect("more of it");
        assert_eq!(chunk.offset, got.len() as u64, "each byte once, in order");
        got.extend_from_slice(&chunk.bytes);
    }
}

/// The sessions on record with this primary rep.
async fn served_by(place: &Place, rep: &str) -> Vec<u64> {
    let root = place.client(Ws, Role::Admin, "root").await;
    let (mut served, mut asked) = (Vec::new(), History { rep: Some(rep.into()), ..History::default() });
    loop {
        let page = root.act(Do::History(asked.clone())).await;
        let Ok(Done::History { sessions, next }) = page else { panic!("the history: {page:?}") };
        served.extend(sessions.iter().map(|past| past.session));
        asked.before = next;
        if next.is_none() {
            return served;
        }
    }
}

async fn killed_again_and_again(rep_by: Transport, agent_by: Transport) {
    let mut place = Place::open().await;
    std::fs::write(place.path("big"), document(FILE)).unwrap();

    // Ana: a shell whose variable must live, a file that is read a piece between two kills.
    let root = place.folder.path().to_owned();
    let (mut ana, _agent, session) = with_agent(&place, rep_by, agent_by, "ana", &root).await;
    let mut shell = Shell::open(&mut ana, session).await;
    shell.types("kept=in-the-same-shell; echo ready-$((40 + 2))").await;
    shell.shows("ready-42").await;
    let far = place.path("big").display().to_string();
    let opened = ana.opens(session, "file_transfer", &[("direction", text("download")), ("path", text(&far))]).await;
    let (mut reader, mut got) = (ana.client.reader(&opened.channels[0]), Vec::new());

    // Dora: a console that fetches the same file, and the endpoint that sends it, both processes.
    let dora_key = {
        let dora = Person::rep(&place, Ws, "dora").await;
        key(&dora.client).await
    };
    let script = format!("accept; get {} {}; end", far, place.path("fetched").display());
    let mut rep = place.rep(rep_by, "dora", &script);
    let mut far_end = place.agent(agent_by, &dora_key, &root);

    // The desk: a service that asks, ben who accepts and ends, cleo who watches and is offered nothing.
    let mut cleo = Person::rep(&place, rep_by, "cleo").await;
    cleo.client.act(Do::OptOut {}).await.unwrap();
    let key = place.service_key().await;
    let till = Person::enter(&place, Ws, Role::Service, Credential::Key(key)).await;
    let ben = Person::rep(&place, rep_by, "ben").await;
    let mut load = Load::begin(&till.client, ben.client.clone(), ben.offers());
    let mut waiting = Vec::new();

    for kill in 1..=KILLS {
        load.more().await;
        read_to(&mut reader, &mut got, FILE / (KILLS + 1) * kill).await;
        place.kill();
        place.start_again();

        // The shell is the same, and somebody who asks stands behind all who waited before.
        let line = format!("echo \"$kept-$(({kill} * 1000))\"");
        shell.types(&line).await;
        shell.shows(&format!("in-the-same-shell-{}", kill * 1000)).await;
        let ask = Ask { queue: "team:quiet".into(), ..Ask::default() };
        let Ok(Done::Asked { join, .. }) = till.client.act(Do::Ask(ask)).await else { panic!("asked") };
        let mut customer = Person::customer(&place, rep_by, join.into()).await;
        let place_in_queue = |ev: &Ev| if let Ev::Waiting { position, .. } = ev { Some(*position) } else { None };
        assert_eq!(customer.told("a place in the queue", place_in_queue).await as usize, kill);
        waiting.push(customer);

        // Work rests for a moment: the ledger and what is seen are one.
        load.more().await;
        load.go.send_replace(false);
        let mut quiet = load.entries.clone();
        loop {
            quiet.mark_unchanged();
            let before = load.ledger.lock().unwrap().clone();
            cleo.views(|view| load.ledger.lock().unwrap().differs(view, kill)).await;
            if load.ledger.lock().unwrap().entries() == before.entries() {
                break;
            }
        }
        load.go.send_replace(true);
    }
    load.tasks.shutdown().await;

    let ledger = load.ledger.lock().unwrap().clone();
    assert!(ledger.accepted.len() > KILLS && ledger.ended.len() > KILLS, "{ledger:?}");
    // BU-048: each end that was acknowledged is on record, once.
    let served = served_by(&place, "rep:ben").await;
    let once: BTreeSet<u64> = served.iter().copied().collect();
    assert_eq!(once.len(), served.len(), "{served:?}");
    assert!(ledger.ended.is_subset(&once), "{:?} are not in {served:?}", ledger.ended);

    // Each key that was acknowledged lets somebody in.
    for key in ledger.keys.iter().step_by(ledger.keys.len() / 8 + 1) {
        let customer = Person::customer(&place, Ws, key.clone()).await;
        assert!(customer.client.welcome().session.is_some());
        customer.client.close().await;
    }

    read_to(&mut reader, &mut got, FILE).await;
    assert!(got == document(FILE), "byte for byte");
    rep.done();
    far_end.done();
    assert_same(&place.path("big"), &place.path("fetched"));
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_3_brokers_killed_under_load_lose_nothing_acknowledged_and_everybody_goes_on() {
    killed_again_and_again(Ws, Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_3_brokers_killed_under_load_lose_nothing_acknowledged_with_an_end_on_quic() {
    killed_again_and_again(Quic, Ws).await;
}
