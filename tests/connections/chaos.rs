//! Everything is edited while frames flow (P6.2): policies, groups, roles, portals, owners, consents. A broker without
//! sockets, its real channels and gates; whatever leaves for a reader is held against the rules in force at that moment,
//! which are written down here a second time. The seed of a failing history stands in the test's output.

use crate::{place::hello, random::Random};
use bytes::Bytes;
use equipoise::{
    broker::{Broker, Origin, Pace, Port, Settings, TransportName},
    engine::{
        Actor, Command, Entry, Event, Outcome, Queue, Stamped, State,
        command::Ask,
        session::{Role, Stage},
        tools::OpenStage,
    },
    identity::Secret,
    ids::*,
    policy::Tool,
    relay::{Admitted, Sink},
    site::raw::RawSite,
    wire::{
        Credential, Do, Flags, Frame, FromClient, Header, Kind,
        control::{Open, Role as Side, Value},
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio_util::sync::CancellationToken;

const HISTORIES: u64 = 24;
const STEPS: u64 = 150;
const REPS: [&str; 3] = ["ana", "bob", "lea"];

// ---- the rules, as a reader of docs/permissions.md would apply them -----------------------------------------------------

type Tools = BTreeMap<&'static str, &'static str>;

/// What one version of the site says.
#[derive(Clone, Default)]
struct Rules {
    /// Of the portal, of ana's own account, of bob's group policy, of the house.
    door: Tools,
    own: Tools,
    group: Tools,
    house: Tools,
    /// Of lea's technician group.
    tier: Option<&'static str>,
    lea_leads: bool,
}

impl Rules {
    fn text(&self) -> String {
        let tools = |tools: &Tools| {
            let tools: Vec<String> = tools.iter().map(|(name, value)| format!("{name} = \"{value}\"")).collect();
            format!("tools = {{ {} }}", tools.join(", "))
        };
        let tier = self.tier.map_or(String::new(), |shell| format!("tools = {{ shell = \"{shell}\" }}"));
        let lea = if self.lea_leads { "lead" } else { "member" };
        let permissions = "permissions = [\"support\", \"accept_from_queue\", \"generate_keys\"]";
        format!(
            r#"
[site]
name = "chaos"
[options]
default_policy = "house"
[[team]]
code = "net"
algorithm = "none"
persistent = true
[[portal]]
code = "main"
policy = "door"
[[user]]
username = "ana"
teams = {{ net = "member" }}
policy_attended = "own"
{permissions}
[[user]]
username = "bob"
teams = {{ net = "member" }}
{permissions}
[[user]]
username = "lea"
teams = {{ net = "{lea}" }}
{permissions}
[[group_policy]]
code = "emea"
members = ["bob"]
session = {{ state = "final", policy_attended = "group" }}
[[technician_group]]
code = "tier"
members = ["lea"]
{tier}
[[policy]]
code = "door"
{}
[[policy]]
code = "own"
{}
[[policy]]
code = "group"
{}
[[policy]]
code = "house"
{}
prompt = {{ mode = "never" }}
"#,
            tools(&self.door),
            tools(&self.own),
            tools(&self.group),
            tools(&self.house),
        )
    }

    /// P2.1: the first layer that says something.
    fn value(&self, through_portal: bool, rep: &str, tool: &str) -> &str {
        let tier = self.tier.filter(|_| rep == "lea" && tool == "shell");
        let tier = tier.map(|tier| if tier == "allow" { "yes" } else { "no" });
        let own = match rep {
            "ana" => self.own.get(tool).copied(),
            "bob" => self.group.get(tool).copied(),
            _ => tier,
        };
        let door = self.door.get(tool).filter(|_| through_portal).copied();
        door.or(own).or(self.house.get(tool).copied()).unwrap_or(match tool {
            "screen" => "control",
            "file_transfer" | "clipboard" => "both",
            _ => "yes",
        })
    }

    /// P3: may a frame of this kind pass between the customer and this rep?
    fn allow(&self, through_portal: bool, rep: &str, kind: Kind, to_rep: bool) -> bool {
        let value = |tool| self.value(through_portal, rep, tool);
        let way = |tool, up: &str, down: &str| ["both", if to_rep { down } else { up }].contains(&value(tool));
        match kind {
            Kind::ShellOutput | Kind::ShellInput | Kind::ShellResize => value("shell") == "yes",
            Kind::Picture => value("screen") != "none",
            Kind::Pointer | Kind::Click | Kind::Keys => value("screen") == "control",
            Kind::File => way("file_transfer", "upload", "download"),
            Kind::Clipboard => value("screen") == "control" && way("clipboard", "rep_to_customer", "customer_to_rep"),
            Kind::Chat => value("chat") == "yes",
            _ => false,
        }
    }

    /// One thing is said otherwise.
    fn edited(&self, dice: &mut Random) -> Self {
        let mut rules = self.clone();
        let (tool, values): (&str, &[&str]) = dice.pick(&[
            ("shell", &["yes", "no"][..]),
            ("screen", &["none", "view", "control"][..]),
            ("file_transfer", &["none", "upload", "download", "both"][..]),
            ("clipboard", &["none", "rep_to_customer", "customer_to_rep", "both"][..]),
            ("chat", &["yes", "no"][..]),
        ]);
        let tools = match dice.below(12) {
            0 => &mut rules.door,
            1..=3 => &mut rules.own,
            4..=8 => &mut rules.group,
            9 => {
                rules.tier = dice.pick(&[None, Some("allow"), Some("deny")]);
                rules.lea_leads = dice.below(3) > 0;
                return rules;
            }
            _ => &mut rules.house,
        };
        // What a layer says hides what those below it say.
        if dice.once_in(2) {
            tools.remove(tool);
        } else {
            tools.insert(tool, dice.pick(values));
        }
        rules
    }
}

// ---- what is durable ------------------------------------------------------------------------------------------------

#[derive(Default)]
struct Truth {
    state: State,
    /// By version of the site, from 1.
    rules: Vec<Rules>,
    events: u64,
    opened: BTreeMap<ChannelId, u64>,
    taken_back: BTreeMap<(SessionId, Tool), u64>,
    closed: BTreeMap<String, u64>,
}

impl Truth {
    fn follow(&mut self, turn: &[Stamped], state: &State) {
        for Stamped { event, .. } in turn {
            self.events += 1;
            match event {
                Event::Opened { channels, .. } => {
                    self.opened.extend(channels.iter().map(|spec| (spec.channel, self.events)));
                }
                Event::TakenBack { session, tool } => {
                    let tools = Tool::ALL.iter().filter(|one| tool.is_none_or(|tool| **one == tool));
                    self.taken_back.extend(tools.map(|tool| ((*session, *tool), self.events)));
                }
                Event::ChannelClosed { reason, cause, .. } | Event::LegClosed { reason, cause, .. } => {
                    let source = cause.as_ref().map_or("", |cause| cause.source.as_str());
                    *self.closed.entry(format!("{reason} {source}")).or_default() += 1;
                }
                _ => {}
            }
        }
        self.state = state.clone();
    }

    /// The rule that everything here is about: I-P2.
    fn check(&self, reader: Party, frame: &Frame) {
        let Header { kind, channel, .. } = frame.header;
        let state = &self.state;
        let session = state.tools.session_of(channel).unwrap_or_else(|| panic!("{kind:?} of {channel}, which is over"));
        let live = &state.tools.session(session).expect("is in use").channels[&channel];
        let here = &state.sessions[&session];
        let reader = here.participant_of(reader).expect("who reads is in the session");
        let writer = here.participant(live.spec.writer).expect("who wrote is in the session");
        assert!(live.spec.readers.contains(&reader.id), "{kind:?} of {channel} for {}, who reads it not", reader.id);
        assert!(live.spec.kinds & kind.bit() != 0, "{kind:?} on {channel}");
        match here.stage {
            Stage::Active { .. } => {}
            Stage::Held { .. } => assert!(matches!(kind, Kind::Chat | Kind::File), "R7.7: {kind:?}"),
            Stage::Waiting(_) => panic!("{kind:?} while nobody serves"),
        }
        assert!(writer.role != Role::Monitor || kind == Kind::Chat, "R7.6: {kind:?} by who watches");
        let taken_back = self.taken_back.get(&(session, live.tool)).copied().unwrap_or_default();
        assert!(self.opened[&channel] > taken_back, "P4.6: {} was taken back", live.tool.name());
        let rules = &self.rules[state.site_version as usize - 1];
        for end in [reader, writer] {
            if let Party::Rep(rep) = end.party {
                let name = &state.site.users[&rep].username;
                let to_rep = writer.role == Role::Customer;
                let allowed = rules.allow(here.ask.portal.is_some(), name, kind, to_rep);
                assert!(allowed, "{kind:?} of {channel} for {name} in version {}", state.site_version);
            }
        }
    }
}

// ---- everybody ------------------------------------------------------------------------------------------------------

struct Taken(Vec<Frame>);

impl Sink for Taken {
    fn control(&mut self, _message: Bytes) {}

    fn frame(&mut self, frame: Admitted<'_>) {
        self.0.push(frame.into_frame());
    }
}

struct World {
    broker: Broker,
    truth: Arc<Mutex<Truth>>,
    ends: BTreeMap<Party, Port>,
    /// Where each channel's writer is.
    written: BTreeMap<ChannelId, u64>,
    requests: u64,
    passed: u64,
}

impl World {
    async fn enter(&mut self, role: Side, credential: Credential) {
        let origin = Origin { address: [127, 0, 0, 1].into(), host: None, page: None, transport: TransportName::Ws };
        let port = self.broker.enter(hello(role, credential), origin).await.unwrap();
        let party = port.connection().party().expect("people are parties");
        self.ends.insert(party, port);
    }

    async fn session(&mut self, portal: bool) {
        let (team, main) = {
            let truth = self.truth.lock().unwrap();
            (truth.state.site.codes.teams["net"], truth.state.site.codes.portals["main"])
        };
        let link = Secret::link();
        let ask =
            Ask { portal: portal.then_some(main), join: Some(link.hash()), ..Ask::of(Entry::Queue(Queue::Team(team))) };
        let asked = self.broker.command(Actor::Service(ServiceId(1)), Command::Ask(ask)).await;
        assert!(matches!(asked, Ok(Outcome::Session(_))), "{asked:?}");
        self.enter(Side::Customer, Credential::Key(link.reveal().to_owned())).await;
    }

    async fn act(&mut self, who: Party, act: Do) {
        self.requests += 1;
        let request = FromClient::Request { id: self.requests, act: Box::new(act) };
        if let Some(port) = self.ends.get_mut(&who) {
            port.message(request).await;
        }
    }

    /// Everything that was asked before is done.
    async fn settled(&self) {
        self.broker.look(|_| ()).await.unwrap();
    }

    /// Somebody sends on a channel: mostly its writer, what belongs on it.
    fn send(&mut self, dice: &mut Random) {
        let (channel, session, writer, kinds, people) = {
            let truth = self.truth.lock().unwrap();
            let live: Vec<_> = truth.state.tools.channels().collect();
            if live.is_empty() {
                return;
            }
            let (session, live) = live[dice.below(live.len())];
            let here = &truth.state.sessions[&session];
            let people: Vec<Party> = here.participants.iter().map(|it| it.party).collect();
            let writer = here.participant(live.spec.writer).map(|it| it.party);
            (live.spec.channel, session, writer, live.spec.kinds, people)
        };
        let belongs = Kind::DATA.into_iter().filter(|kind| kind.bit() & kinds != 0).collect::<Vec<_>>();
        // A fault ends a channel, so there are few.
        let (forged, wrong) = (dice.once_in(8), dice.once_in(400));
        let kind = if wrong { dice.pick(&Kind::DATA) } else { dice.pick(&belongs) };
        let from = if forged { Some(dice.pick(&people)) } else { writer };
        let Some((from, port)) = from.and_then(|from| Some((from, self.ends.get_mut(&from)?))) else { return };
        let at = self.written.entry(channel).or_default();
        let flags = match kind {
            Kind::Picture => Flags(Flags::START.0 | Flags::END.0 | Flags::KEY.0),
            _ => Flags::default(),
        };
        let payload = Bytes::from(format!("{session} {channel}"));
        let header = Header { kind, flags, channel, offset: *at };
        if Some(from) == writer {
            *at += payload.len() as u64;
        }
        // Whoever floods is cut off; nobody here sends so much.
        port.frame(Frame { header, payload }).and_then(|()| port.flush(tokio::time::Instant::now())).unwrap();
    }

    /// What leaves for one end's socket, held against what is in force as it leaves.
    fn drain(&mut self, who: Party, most: usize) {
        let Some(port) = self.ends.get(&who) else { return };
        let mut taken = Taken(Vec::new());
        port.outbox().drain(most, &mut taken);
        let truth = self.truth.lock().unwrap();
        for frame in &taken.0 {
            truth.check(who, frame);
            self.passed += 1;
        }
    }

    fn some_traffic(&mut self, dice: &mut Random) {
        for _ in 0..dice.below(12) {
            self.send(dice);
        }
        let everybody: Vec<Party> = self.ends.keys().copied().collect();
        for _ in 0..dice.below(3) {
            let who = dice.pick(&everybody);
            let most = if dice.once_in(2) { 64 } else { 64 * 1024 };
            self.drain(who, most);
        }
    }

    /// Something that somebody may want just then.
    async fn step(&mut self, dice: &mut Random) {
        let chosen = {
            let truth = self.truth.lock().unwrap();
            let rep = |name: &str| Party::Rep(truth.state.site.codes.users[name]);
            let sessions: Vec<SessionId> = truth.state.sessions.keys().copied().collect();
            if sessions.is_empty() {
                return;
            }
            let session = dice.pick(&sessions);
            choose(dice, &truth.state, session, rep)
        };
        if let Some((who, act)) = chosen {
            self.act(who, act).await;
        }
    }
}

fn choose(dice: &mut Random, state: &State, id: SessionId, rep: impl Fn(&str) -> Party) -> Option<(Party, Do)> {
    let session = id.0;
    let here = &state.sessions[&id];
    let customer = Party::Customer(id);
    let owner = here.owner().map(Party::Rep);
    let anyone = rep(dice.pick(&REPS));
    let Some(owner) = owner else { return Some((anyone, Do::Take { session })) };
    let inside: Vec<Party> = here.participants.iter().map(|it| it.party).filter(|it| *it != customer).collect();
    let using = state.tools.session(id);
    if let Some(using) = using
        && dice.below(3) > 0
    {
        if let Some((prompt, _)) = using.prompts.first_key_value() {
            return Some((customer, Do::Answer { session, prompt: prompt.0, allow: dice.below(4) > 0 }));
        }
        let offered = using.opens.iter().find_map(|(open, asked)| match asked.stage {
            OpenStage::Offered { to, .. } => Some((open.0, here.participant(to)?.party)),
            OpenStage::Asked { .. } => None,
        });
        if let Some((open, to)) = offered {
            return Some((to, Do::AcceptOpen { session, open, facts: BTreeMap::new() }));
        }
    }
    let to = |name: &str| format!("rep:{name}");
    Some(match dice.below(32) {
        0 => (owner, Do::Hold { session }),
        1..=3 if matches!(here.stage, Stage::Held { .. }) => (owner, Do::Resume { session }),
        4 | 5 => (owner, Do::Share { session, to: to(dice.pick(&REPS)) }),
        6..=8 => (anyone, Do::Join { session }),
        9 | 14 => (rep("lea"), Do::TakeOver { session }),
        10 => (dice.pick(&inside), Do::Depart { session }),
        11 => (owner, Do::Transfer { session, to: "team:net".to_owned() }),
        12 | 13 => {
            let tool = dice.pick(&[None, Some("shell"), Some("screen"), Some("file_transfer"), Some("chat")]);
            (customer, Do::TakeBack { session, tool: tool.map(str::to_owned) })
        }
        _ => {
            let text = |text: &str| Value::Text(text.to_owned());
            let (tool, args) = match dice.below(8) {
                0 | 1 => ("shell", vec![]),
                2 | 3 => ("screen", vec![("control", Value::Bool(dice.once_in(2)))]),
                4 => ("file_transfer", vec![("direction", text("upload")), ("path", text("/srv/a"))]),
                5 => ("file_transfer", vec![("direction", text("download")), ("path", text("/srv/a"))]),
                6 => ("clipboard", vec![("direction", text(dice.pick(&["rep_to_customer", "customer_to_rep"])))]),
                _ => ("chat", vec![]),
            };
            let args = args.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let who = if tool == "chat" && dice.once_in(2) { customer } else { dice.pick(&inside) };
            (who, Do::Open(Open { session, tool: tool.to_owned(), args }))
        }
    })
}

async fn history(seed: u64) -> (u64, BTreeMap<String, u64>) {
    let mut dice = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let rules = Rules { lea_leads: true, ..Rules::default() };
    let truth = Arc::new(Mutex::new(Truth { rules: vec![rules.clone()], ..Truth::default() }));
    let follower = {
        let truth = truth.clone();
        move |turn: &[Stamped], state: &State| truth.lock().unwrap().follow(turn, state)
    };
    let shutdown = CancellationToken::new();
    let settings = Settings {
        data: folder.path().join("data"),
        disk_reserve_bytes: 0,
        person_pace: Pace::SERVICE,
        window_max: equipoise::limits::WINDOW_BYTES_MAX,
        post: None,
        site: RawSite::parse(&rules.text()).unwrap(),
    };
    let (broker, owner) = Broker::start(settings, Box::new(follower), shutdown.clone()).await.unwrap();
    let (ends, written) = (BTreeMap::new(), BTreeMap::new());
    let mut world = World { broker, truth, ends, written, requests: 0, passed: 0 };
    for rep in REPS {
        let token = world.broker.token_for(rep).await.unwrap();
        world.enter(Side::Rep, Credential::Token(token)).await;
    }
    world.session(true).await;
    world.session(false).await;
    let mut rules = rules;
    let mut edit = None;
    for _ in 0..STEPS {
        if edit.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) && dice.once_in(4) {
            rules = rules.edited(&mut dice);
            world.truth.lock().unwrap().rules.push(rules.clone());
            let site = RawSite::parse(&rules.text()).unwrap();
            let broker = world.broker.clone();
            edit = Some(tokio::spawn(async move {
                broker.command(Actor::System, Command::ApplySite(site.into())).await.unwrap();
            }));
        } else {
            world.step(&mut dice).await;
        }
        // Frames come and leave before it is decided, while it is made durable, and after.
        for _ in 0..dice.below(6) {
            world.some_traffic(&mut dice);
            tokio::task::yield_now().await;
        }
        if dice.below(3) > 0 {
            world.settled().await;
            world.some_traffic(&mut dice);
        }
    }
    if let Some(edit) = edit {
        edit.await.unwrap();
    }
    world.settled().await;
    let everybody: Vec<Party> = world.ends.keys().copied().collect();
    everybody.into_iter().for_each(|who| world.drain(who, usize::MAX));
    let closed = std::mem::take(&mut world.truth.lock().unwrap().closed);
    let passed = world.passed;
    shutdown.cancel();
    drop(world);
    owner.await.unwrap().unwrap();
    (passed, closed)
}

#[tokio::test]
async fn i_p2_p6_2_no_frame_leaves_that_the_policy_in_force_as_it_leaves_does_not_allow() {
    let (mut passed, mut closed) = (0, BTreeMap::<String, u64>::new());
    for seed in 1..=HISTORIES {
        println!("seed {seed}");
        let (frames, ends) = history(seed).await;
        passed += frames;
        for (why, count) in ends {
            *closed.entry(why).or_default() += count;
        }
    }
    println!("{passed} frames passed; channels and legs ended: {closed:?}");
    assert!(passed > 1_000, "the histories are too tame: {passed}");
    let revoked: u64 = closed.iter().filter(|(why, _)| why.starts_with("revoked")).map(|(_, count)| count).sum();
    assert!(revoked > 20, "the histories are too tame: {closed:?}");
    let layers = ["default", "portal:main", "user:ana", "group_policy:emea", "technician_group:tier"];
    let others = ["customer", "hold", "take_over"];
    let revoked = layers.into_iter().chain(others).map(|source| format!("revoked {source}"));
    for why in revoked.chain(["session_ended ".to_owned(), "fault ".to_owned()]) {
        assert!(closed.contains_key(&why), "nothing was {why}: {closed:?}");
    }
}
