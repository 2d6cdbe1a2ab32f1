//! Every row of `tests/permissions.csv` for a support session, with a client on both ends of a real broker: what is
//! allowed passes, kind by kind, and what is not never does (P3, W1.3, P6.3). The ends know nothing of the tools but
//! `docs/protocol.md`; each row's policy is put in place while the session goes on (P6.2).

use crate::{
    attack::in_time,
    place::{PASSWORD, Person, Place, a_session},
};
use bytes::Bytes;
use equipoise::{
    client::{ActError, Reader, Transport, Writer},
    engine::{Actor, Command},
    policy::{Tool, ToolOption, ToolValue, Word, value::Shape},
    site::raw::RawSite,
    wire::{
        Do, Done, Ev, Flags, Kind,
        control::{ChannelView, Open, Opened, Value},
    },
};
use std::collections::{BTreeMap, BTreeSet};

const MATRIX: &str = include_str!("../permissions.csv");

struct Row {
    at: usize,
    policy: &'static str,
    tool: &'static str,
    args: BTreeMap<String, Value>,
    owner: &'static str,
    customer: &'static str,
}

/// The rows whose request is an `open`; the acts of P3.24 and P3.29 are requests of their own.
fn rows() -> Vec<Row> {
    let acts =
        ["hold", "transfer", "collaborate", "invite_external", "private_sessions", "custom_fields", "external_key"];
    let lines = (1..).zip(MATRIX.lines()).filter(|(_, line)| !line.starts_with('#')).skip(1);
    let rows = lines.filter_map(|(at, line)| {
        let cells: Vec<&str> = line.split(',').collect();
        let &[_, policy, session, request, owner, _, _, _, customer] = cells.as_slice() else {
            panic!("line {at} has {} cells", cells.len())
        };
        let (tool, args) = request.split_once(' ').unwrap_or((request, ""));
        let args = args.split_whitespace().map(|pair| {
            let (name, text) = pair.split_once('=').unwrap_or_else(|| panic!("line {at}: {pair}"));
            let value = if text == "true" { Value::Bool(true) } else { Value::Text(text.to_owned()) };
            (name.to_owned(), value)
        });
        let row = Row { at, policy, tool, args: args.collect(), owner, customer };
        (session == "support" && !acts.contains(&tool)).then_some(row)
    });
    rows.collect()
}

/// Everything that the policy does not say is at its least.
fn site_of(row: &Row) -> String {
    let mut tools: BTreeMap<&str, String> = BTreeMap::new();
    for tool in Tool::ALL {
        let least = match ToolValue::least(tool.shape()) {
            ToolValue::Word(word) => format!("\"{}\"", word.name()),
            _ => "[]".to_owned(),
        };
        tools.insert(tool.name(), least);
    }
    tools.insert(Tool::AppSharingPrompt.name(), format!("\"{}\"", Word::RepDecides.name()));
    for pair in row.policy.split_whitespace() {
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
permissions = ["support", "accept_from_queue", "generate_keys", "jump_client", "buttons_personal"]
[[policy]]
code = "row"
tools = {{ {} }}
prompt = {{ mode = "never" }}
"#,
        tools.join(", ")
    )
}

enum Heard {
    Prompt(u32),
    Requested(u32, String),
}

/// What came of a request, in the words of the matrix.
struct Came {
    words: String,
    /// To who asked, and to the other end.
    opened: Option<(Opened, Opened)>,
}

async fn ask(row: &Row, asker: &mut Person, other: &mut Person) -> Came {
    let (at, session) = (row.at, asker.session);
    let open = Open { session, tool: row.tool.to_owned(), args: row.args.clone() };
    let id = match in_time(asker.client.act(Do::Open(open))).await {
        Ok(Done::Opening { open, .. }) => open,
        Err(ActError::Refused(refused)) => {
            let known = ["not_permitted", "path_refused", "malformed", "unknown_tool"];
            assert!(known.contains(&refused.code.as_str()), "line {at}: {refused:?}");
            if refused.code == "not_permitted" {
                assert!(refused.tool.is_some() && refused.source.is_some(), "P6.3, line {at}: {refused:?}");
            }
            return Came { words: "no".to_owned(), opened: None };
        }
        answer => panic!("line {at}: {answer:?}"),
    };
    // The customer's consent comes first where it is always asked for (P4.4).
    let heard = |ev| match ev {
        Ev::Prompt { prompt, .. } => Some(Heard::Prompt(prompt)),
        Ev::Requested { open, tool, .. } => Some(Heard::Requested(open, tool)),
        _ => None,
    };
    loop {
        match other.until(heard).await {
            Heard::Prompt(prompt) => {
                other.client.act(Do::Answer { session, prompt, allow: true }).await.unwrap();
            }
            Heard::Requested(open, tool) => {
                // What was refused before was never offered to the other end.
                assert_eq!((open, tool.as_str()), (id, row.tool), "line {at}");
                break;
            }
        }
    }
    other.client.act(Do::AcceptOpen { session, open: id, facts: BTreeMap::new() }).await.unwrap();
    let opened = |ev| if let Ev::Opened(opened) = ev { (opened.open == id).then_some(opened) } else { None };
    let to_asker = asker.until(opened).await;
    // Of what has no channel only the asker is told: the other end's answer was the act itself.
    let to_other = if to_asker.channels.is_empty() { to_asker.clone() } else { other.until(opened).await };
    let words: Vec<String> = to_asker
        .channels
        .iter()
        .map(|channel| format!("{}{}", if channel.writer == 0 { '<' } else { '>' }, channel.kinds.join("+")))
        .collect();
    let words = if words.is_empty() { "done".to_owned() } else { words.join(" ") };
    Came { words, opened: Some((to_asker, to_other)) }
}

/// Both ends of a channel, and the kinds it was opened for.
struct Ends<'o> {
    writer: Writer,
    reader: Reader,
    kinds: &'o [String],
}

impl<'o> Ends<'o> {
    fn of(from: (&Person, &'o ChannelView), to: (&Person, &ChannelView)) -> Self {
        Self { writer: from.0.client.writer(from.1), reader: to.0.client.reader(to.1), kinds: &from.1.kinds }
    }

    /// Every kind of the channel arrives as it was sent.
    async fn pass(&mut self, at: usize) {
        for name in self.kinds {
            let kind = Kind::from_name(name).expect("docs/protocol.md names it");
            let whole = match kind {
                Kind::Picture | Kind::Camera => Flags(Flags::START.0 | Flags::END.0 | Flags::KEY.0),
                _ => Flags::default(),
            };
            let bytes = Bytes::from(format!("{name} of line {at}"));
            in_time(self.writer.write(kind, whole, bytes.clone())).await.unwrap();
            let chunk = in_time(self.reader.read()).await.unwrap().expect("the channel goes on");
            assert_eq!((chunk.kind, &chunk.bytes), (kind, &bytes), "line {at}");
        }
    }

    /// A kind that was not asked for does not arrive, and ends the channel (H-73).
    async fn refuse_another(mut self, at: usize) {
        let keys = self.kinds.iter().any(|name| name == Kind::Keys.name());
        let foreign = if keys { Kind::ShellInput } else { Kind::Keys };
        // What is beside a channel that ended ends too, maybe before this is sent.
        let _ = in_time(self.writer.write(foreign, Flags::default(), Bytes::from_static(b"rm -r"))).await;
        let read = in_time(self.reader.read()).await;
        assert!(!matches!(read, Ok(Some(_))), "line {at}: {foreign:?} arrived: {read:?}");
        assert!(in_time(self.writer.finish()).await.is_err(), "line {at}: the writer hears that it is over");
    }
}

async fn every_row(transport: Transport) {
    let rows = rows();
    let folder = tempfile::tempdir().unwrap();
    let first = site_of(&rows[0]);
    let listen = "127.0.0.1:0".parse().unwrap();
    let place = Place::open_with(folder.path(), listen, &first, Box::new(|_, _| {})).await;
    place.broker.set_password(Actor::System, "ana", PASSWORD.to_owned()).await.unwrap();
    let (mut ana, mut customer) = a_session(place.target(transport), place.target(transport)).await;
    let (mut allowed, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for row in &rows {
        let site = RawSite::parse(&site_of(row)).unwrap();
        place.broker.command(Actor::System, Command::ApplySite(Box::new(site))).await.unwrap();
        for by_customer in [false, true] {
            let (asker, other, due) = if by_customer {
                (&mut customer, &mut ana, row.customer)
            } else {
                (&mut ana, &mut customer, row.owner)
            };
            let came = ask(row, asker, other).await;
            assert_eq!(came.words, due, "line {} of tests/permissions.csv, by the customer: {by_customer}", row.at);
            let Some((to_asker, to_other)) = came.opened else {
                refused.insert(row.tool);
                continue;
            };
            allowed.insert(row.tool);
            let mut channels = Vec::new();
            for (mine, theirs) in to_asker.channels.iter().zip(&to_other.channels) {
                assert_eq!(mine.channel, theirs.channel, "line {}", row.at);
                let (mine, theirs) = ((&*asker, mine), (&*other, theirs));
                let asker_writes = (mine.1.writer == 0) == by_customer;
                let (from, to) = if asker_writes { (mine, theirs) } else { (theirs, mine) };
                channels.push(Ends::of(from, to));
            }
            for channel in &mut channels {
                channel.pass(row.at).await;
            }
            for channel in channels {
                channel.refuse_another(row.at).await;
            }
        }
    }
    // Each tool was seen to be allowed and to be refused.
    assert_eq!(allowed, refused);
    let all: BTreeSet<&str> = rows.iter().map(|row| row.tool).collect();
    assert_eq!(allowed, all);
    ana.client.close().await;
    customer.client.close().await;
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
