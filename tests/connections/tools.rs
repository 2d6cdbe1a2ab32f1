//! Every row of `tests/permissions.csv`, asked for by everybody there is in a session: the owner, who shares it, an
//! external rep, who monitors it, and the customer, each with a client at a real broker. What is allowed passes, kind by
//! kind, to whoever may read it, and what is not never does (P3, W1.3, P6.3), whatever a client sends that ignores its
//! policy. The ends know nothing of the tools but `docs/protocol.md`; each row's policy is put in place while the sessions
//! go on (P6.2).

use crate::{
    attack::in_time,
    place::{Place, hello},
};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use equipoise::{
    broker::{Pace, TransportName},
    client::{ActError, Client, Happening, Happenings, Reader, Transport, Writer},
    engine::{Actor, Command, Entry, Outcome, Queue, command::Ask},
    identity::Secret,
    ids::*,
    policy::{Tool, ToolOption, ToolValue, Word, value::Shape},
    site::{SessionKind, raw::RawSite},
    wire::{
        Credential, Do, Done, Ev, Flags, Kind,
        control::{ChannelView, Open, Opened, Role, Value},
    },
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;

const MATRIX: &str = include_str!("../permissions.csv");

struct Row {
    at: usize,
    policy: &'static str,
    session: &'static str,
    tool: &'static str,
    args: BTreeMap<String, Value>,
    owner: &'static str,
    sharer: &'static str,
    external: &'static str,
    /// What the monitor reads of what the owner opened.
    monitor: &'static str,
    customer: &'static str,
}

/// The rows whose request is an `open`; the acts of P3.24 and P3.29 are requests of their own.
fn rows() -> Vec<Row> {
    let acts =
        ["hold", "transfer", "collaborate", "invite_external", "private_sessions", "custom_fields", "external_key"];
    let lines = (1..).zip(MATRIX.lines()).filter(|(_, line)| !line.starts_with('#')).skip(1);
    let rows = lines.filter_map(|(at, line)| {
        let cells: Vec<&str> = line.split(',').collect();
        let &[_, policy, session, request, owner, sharer, external, monitor, customer] = cells.as_slice() else {
            panic!("line {at} has {} cells", cells.len())
        };
        let (tool, args) = request.split_once(' ').unwrap_or((request, ""));
        let args = args.split_whitespace().map(|pair| {
            let (name, text) = pair.split_once('=').unwrap_or_else(|| panic!("line {at}: {pair}"));
            let value = if text == "true" { Value::Bool(true) } else { Value::Text(text.to_owned()) };
            (name.to_owned(), value)
        });
        let row = Row { at, policy, session, tool, args: args.collect(), owner, sharer, external, monitor, customer };
        (!acts.contains(&tool)).then_some(row)
    });
    rows.collect()
}

/// Everything that the policy does not say is at its least. The guest's invite says the same.
fn site_of(policy: &str) -> String {
    let mut tools: BTreeMap<&str, String> = BTreeMap::new();
    for tool in Tool::ALL {
        let least = match ToolValue::least(tool.shape()) {
            ToolValue::Word(word) => format!("\"{}\"", word.name()),
            _ => "[]".to_owned(),
        };
        tools.insert(tool.name(), least);
    }
    tools.insert(Tool::AppSharingPrompt.name(), format!("\"{}\"", Word::RepDecides.name()));
    for pair in policy.split_whitespace() {
        let (name, value) = pair.split_once('=').unwrap();
        let shape = Tool::from_name(name).map(Tool::shape);
        let shape = shape.or_else(|| ToolOption::from_name(name).map(ToolOption::shape)).expect("a tool or an option");
        let written = match (shape, value) {
            (_, "[]") => "[]".to_owned(),
            (Shape::Words(_), _) | (_, "any") => format!("\"{value}\""),
            (_, entries) => format!("[\"{}\"]", entries.replace('|', "\", \"")),
        };
        tools.insert(name, written);
    }
    let tools: Vec<String> = tools.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let tools = tools.join(", ");
    let everything = "\"support\", \"accept_from_queue\", \"generate_keys\", \"jump_shell\", \"invite_external\"";
    format!(
        r#"
[site]
name = "Test"
[options]
fallback_team = "desk"
default_policy = "row"
[[team]]
code = "desk"
algorithm = "none"
persistent = true
[[script]]
code = "fix"
teams = ["desk"]
text = "true"
[[user]]
username = "ana"
teams = {{ desk = "member" }}
permissions = [{everything}, "jump_client", "buttons_personal"]
[[user]]
username = "bob"
teams = {{ desk = "member" }}
permissions = [{everything}]
[[user]]
username = "lea"
teams = {{ desk = "lead" }}
permissions = [{everything}]
[[jump_item]]
code = "router"
method = "jump_shell"
[[policy]]
code = "row"
tools = {{ {tools} }}
prompt = {{ mode = "never" }}
[[policy]]
code = "guest"
for_invites = true
tools = {{ {tools} }}
prompt = {{ mode = "never" }}
"#
    )
}

/// A client whose events are taken off its connection as they come, so that who looks on holds nothing up.
struct Seat {
    client: Client,
    /// What was not looked at yet.
    heard: mpsc::Receiver<Ev>,
}

impl Seat {
    fn of(client: Client, mut happenings: Happenings) -> Self {
        let (tell, heard) = mpsc::channel(1 << 14);
        tokio::spawn(async move {
            while let Some(happening) = happenings.recv().await {
                if let Happening::Ev { ev, .. } = happening {
                    // The test may have ended.
                    let _ = tell.send(ev).await;
                }
            }
        });
        Self { client, heard }
    }

    async fn until<T>(&mut self, mut wanted: impl FnMut(Ev) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = wanted(self.heard.recv().await.expect("the connection goes on")) {
                    return found;
                }
            }
        };
        in_time(found).await
    }
}

const CUSTOMER: usize = 0;
const OWNER: usize = 1;
const MONITOR: usize = 3;

/// A session with everybody in it: participants 0 to 4 are its customer, ana who serves it, bob who shares it, lea who
/// monitors it and somebody from outside.
struct Full {
    session: u64,
    seats: Vec<Seat>,
}

impl Full {
    async fn of(kind: &str, transport: Transport, place: &Place) -> Self {
        let broker = &place.broker;
        let connect = async |role, credential| {
            let (client, happenings) = Client::connect(place.target(transport), hello(role, credential)).await.unwrap();
            Seat::of(client, happenings)
        };
        let mut reps = Vec::new();
        for rep in ["ana", "bob", "lea"] {
            reps.push(connect(Role::Rep, Credential::Token(broker.token_for(rep).await.unwrap())).await);
        }
        let (ana, desk, router) = broker
            .look(|state| {
                let codes = &state.site.codes;
                (codes.users["ana"], codes.teams["desk"], codes.jump_items["router"])
            })
            .await
            .unwrap();
        let link = Secret::link();
        let join = Some(link.hash());
        let (actor, command) = match kind {
            "shell_jump" => (Actor::Party(Party::Rep(ana)), Command::Jump { item: router, join, by_endpoint: false }),
            kind => {
                let (entry, kind) = (Entry::Queue(Queue::Team(desk)), SessionKind::from_name(kind).expect("a kind"));
                let ask = Ask { kind, join, ..Ask::of(entry) };
                (Actor::Service(ServiceId(1)), Command::Ask(ask))
            }
        };
        let Outcome::Session(SessionId(session)) = broker.command(actor, command).await.unwrap() else {
            panic!("a session was asked for")
        };
        let customer = connect(Role::Customer, Credential::Key(link.reveal().to_owned())).await;
        if kind != "shell_jump" {
            reps[0].client.act(Do::Take { session }).await.unwrap();
        }
        reps[0].client.act(Do::Share { session, to: "rep:bob".into() }).await.unwrap();
        reps[1].client.act(Do::Join { session }).await.unwrap();
        reps[2].client.act(Do::Join { session }).await.unwrap();
        let invite = Do::InviteExternal { session, address: "eve@partner.example".into(), policy: None };
        let Done::Key { key, .. } = reps[0].client.act(invite).await.unwrap() else { panic!("a key is made") };
        let eve = connect(Role::External, Credential::Key(key.into())).await;
        assert_eq!(eve.client.welcome().participant, Some(4));
        let seats = [customer].into_iter().chain(reps).chain([eve]).collect();
        Self { session, seats }
    }

    /// What comes of a request, in the words of the matrix, and who was told of which channels.
    async fn ask(&mut self, row: &Row, asker: usize) -> (String, Vec<ChannelView>) {
        let (at, session) = (row.at, self.session);
        let other = if asker == CUSTOMER { OWNER } else { CUSTOMER };
        let open = Open { session, tool: row.tool.to_owned(), args: row.args.clone() };
        let id = match in_time(self.seats[asker].client.act(Do::Open(open))).await {
            Ok(Done::Opening { open, .. }) => open,
            Err(ActError::Refused(refused)) => {
                let known = ["not_permitted", "path_refused", "malformed", "unknown_tool"];
                assert!(known.contains(&refused.code.as_str()), "line {at}: {refused:?}");
                if refused.code == "not_permitted" {
                    assert!(refused.tool.is_some() && refused.source.is_some(), "P6.3, line {at}: {refused:?}");
                }
                return ("no".to_owned(), Vec::new());
            }
            answer => panic!("line {at}: {answer:?}"),
        };
        // The customer's consent comes first where it is always asked for (P4.4).
        let heard = |ev| match ev {
            Ev::Prompt { session: of, prompt, .. } if of == session => Some(Heard::Prompt(prompt)),
            Ev::Requested { session: of, open, tool, .. } if of == session => Some(Heard::Requested(open, tool)),
            _ => None,
        };
        loop {
            match self.seats[other].until(heard).await {
                Heard::Prompt(prompt) => {
                    self.seats[other].client.act(Do::Answer { session, prompt, allow: true }).await.unwrap();
                }
                Heard::Requested(open, tool) => {
                    // What was refused before was never offered to the other end.
                    assert_eq!((open, tool.as_str()), (id, row.tool), "line {at}");
                    break;
                }
            }
        }
        let mut facts = BTreeMap::new();
        if matches!(row.tool, "deploy" | "unattended") {
            facts.insert("token".to_owned(), Value::Text(HEXLOWER.encode(&Secret::link().hash().0)));
        }
        self.seats[other].client.act(Do::AcceptOpen { session, open: id, facts }).await.unwrap();
        let opened =
            |ev| if let Ev::Opened(opened) = ev { is_of(&opened, session, id).then_some(opened) } else { None };
        let channels = self.seats[asker].until(opened).await.channels;
        // Each end of each of them is told of it.
        for seat in (0..self.seats.len()).filter(|seat| *seat != asker) {
            let its: Vec<u32> = channels.iter().filter(|it| is_end(it, seat)).map(|it| it.channel).collect();
            if !its.is_empty() {
                let told = self.seats[seat].until(opened).await.channels;
                let told: Vec<u32> = told.iter().map(|it| it.channel).filter(|it| its.contains(it)).collect();
                assert_eq!(told, its, "line {at}: participant {seat}");
            }
        }
        (words(&channels, "done"), channels)
    }
}

enum Heard {
    Prompt(u32),
    Requested(u32, String),
}

fn is_of(opened: &Opened, session: u64, open: u32) -> bool {
    (opened.session, opened.open) == (session, open)
}

fn is_end(channel: &ChannelView, seat: usize) -> bool {
    usize::from(channel.writer) == seat || channel.readers.iter().any(|reader| usize::from(*reader) == seat)
}

/// `<picture`, `>pointer+click+keys`.
fn words<'c>(channels: impl IntoIterator<Item = &'c ChannelView>, none: &str) -> String {
    let way = |channel: &ChannelView| if channel.writer == 0 { '<' } else { '>' };
    let words: Vec<String> =
        channels.into_iter().map(|channel| format!("{}{}", way(channel), channel.kinds.join("+"))).collect();
    if words.is_empty() { none.to_owned() } else { words.join(" ") }
}

/// A channel's writer and all its readers, and the kinds it was opened for.
struct Ends<'f> {
    view: &'f ChannelView,
    writer: Writer,
    readers: Vec<Reader>,
    /// Clients of those who have no part in it.
    strangers: Vec<&'f Client>,
}

impl<'f> Ends<'f> {
    fn of(seats: &'f [Seat], view: &'f ChannelView) -> Self {
        let writer = seats[usize::from(view.writer)].client.writer(view);
        let readers = view.readers.iter().map(|reader| seats[usize::from(*reader)].client.reader(view)).collect();
        let strangers = seats.iter().enumerate().filter(|(seat, _)| !is_end(view, *seat)).map(|(_, seat)| &seat.client);
        Self { view, writer, readers, strangers: strangers.collect() }
    }

    /// Every kind of the channel arrives as it was sent, at every reader, and nothing else: not what somebody in the
    /// session writes who is not its writer. Gives how many frames a reader had.
    async fn pass(&mut self, at: usize) -> u64 {
        let mut passed = 0;
        for name in &self.view.kinds {
            let kind = Kind::from_name(name).expect("docs/protocol.md names it");
            let whole = match kind {
                Kind::Picture | Kind::Camera => Flags(Flags::START.0 | Flags::END.0 | Flags::KEY.0),
                _ => Flags::default(),
            };
            for stranger in &self.strangers {
                let mut forged = stranger.writer(self.view);
                let _ = in_time(forged.write(kind, whole, Bytes::from_static(b"forged"))).await;
            }
            let bytes = Bytes::from(format!("{name} of line {at}"));
            in_time(self.writer.write(kind, whole, bytes.clone())).await.unwrap();
            for reader in &mut self.readers {
                let chunk = in_time(reader.read()).await.unwrap().expect("the channel goes on");
                assert_eq!((chunk.kind, &chunk.bytes), (kind, &bytes), "line {at}");
                passed += 1;
            }
        }
        passed
    }

    /// A kind that was not asked for does not arrive, and ends the channel (H-73).
    async fn refuse_another(mut self, at: usize) {
        let others = Kind::DATA.into_iter().filter(|kind| !self.view.kinds.iter().any(|name| name == kind.name()));
        let others: Vec<Kind> = others.collect();
        let foreign = others[at % others.len()];
        // What is beside a channel that ended ends too, maybe before this is sent.
        let _ = in_time(self.writer.write(foreign, Flags::default(), Bytes::from_static(b"rm -r"))).await;
        for reader in &mut self.readers {
            let read = in_time(reader.read()).await;
            assert!(!matches!(read, Ok(Some(_))), "line {at}: {foreign:?} arrived: {read:?}");
        }
        assert!(in_time(self.writer.finish()).await.is_err(), "line {at}: the writer hears that it is over");
    }
}

async fn every_row(transport: Transport) {
    let rows = rows();
    let folder = tempfile::tempdir().unwrap();
    let everything = site_of("collaborate=yes invite_external=yes");
    let place = Place::open_paced(folder.path(), &everything, Pace::SERVICE).await;
    let apply = async |text: &str| {
        let site = RawSite::parse(text).unwrap();
        place.broker.command(Actor::System, Command::ApplySite(site.into())).await.unwrap();
    };
    let (mut allowed, mut refused, mut passed) = (BTreeSet::new(), BTreeSet::new(), 0);
    let kinds: BTreeSet<&str> = rows.iter().map(|row| row.session).collect();
    for kind in kinds {
        apply(&everything).await;
        let mut full = Full::of(kind, transport, &place).await;
        for row in rows.iter().filter(|row| row.session == kind) {
            // Where a failing run stands is in its output.
            println!("line {}", row.at);
            apply(&site_of(row.policy)).await;
            for (asker, due) in [row.customer, row.owner, row.sharer, "no", row.external].into_iter().enumerate() {
                let (came, channels) = full.ask(row, asker).await;
                assert_eq!(came, due, "line {} of tests/permissions.csv, by participant {asker}", row.at);
                if asker == OWNER {
                    let watched = channels.iter().filter(|it| is_end(it, MONITOR));
                    assert_eq!(words(watched, "-"), row.monitor, "line {}: the monitor", row.at);
                }
                // An item has one key, which the next to ask would find there.
                if (row.tool, came.as_str()) == ("unattended", "done") {
                    let taken_back = Do::TakeBack { session: full.session, tool: Some("unattended".into()) };
                    in_time(full.seats[CUSTOMER].client.act(taken_back)).await.unwrap();
                }
                match came.as_str() {
                    "no" => refused.insert(row.tool),
                    _ => allowed.insert(row.tool),
                };
                let mut all: Vec<Ends> = channels.iter().map(|view| Ends::of(&full.seats, view)).collect();
                for ends in &mut all {
                    passed += ends.pass(row.at).await;
                }
                for ends in all {
                    ends.refuse_another(row.at).await;
                }
                let mut open: BTreeSet<u32> = channels.iter().map(|view| view.channel).collect();
                while !open.is_empty() {
                    let closed = |ev| if let Ev::Closed { channel, .. } = ev { Some(channel) } else { None };
                    open.remove(&full.seats[asker].until(closed).await);
                }
            }
        }
        full.seats[OWNER].client.act(Do::End { session: full.session }).await.unwrap();
        for seat in full.seats {
            seat.client.close().await;
        }
    }
    // Each tool was seen to be allowed and to be refused.
    assert_eq!(allowed, refused);
    let all: BTreeSet<&str> = rows.iter().map(|row| row.tool).collect();
    assert_eq!(allowed, all);
    // And no socket was given a frame that a reader was not due.
    let lines = || equipoise::broker::lines().map(|(line, _)| line);
    let given = TransportName::ALL
        .map(|name| lines().map(|line| place.broker.leg_counters(name).of(line).forwarded.get()).sum());
    assert_eq!(given.iter().sum::<u64>(), passed);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_w1_3_each_tool_passes_where_it_is_allowed_and_nowhere_else_over_websocket() {
    every_row(Transport::Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_w1_3_each_tool_passes_where_it_is_allowed_and_nowhere_else_over_quic() {
    every_row(Transport::Quic).await;
}
