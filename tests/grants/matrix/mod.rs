//! Every tool by value, direction, kind of frame and role, against `tests/permissions.csv`, which was written by hand from
//! the rules. The engine is asked as in life; a guest, who needs an invitation by mail, is asked of the policy alone.

mod rules;

use crate::world::{World, present};
use equipoise::{
    engine::{Actor, Command, Outcome, Queue, Reason},
    ids::*,
    limits,
    policy::{
        Permissions, Person, Situation, Tool, ToolOption, ToolValue, Word, compile,
        paths::{self, Os},
        plan::{self, Args, Asked, NoPath, Rights, Side},
        value::Shape,
    },
    site::{SessionKind, Site},
    wire::{
        Kind,
        control::{ClientInfo, Value},
    },
};
use std::collections::{BTreeMap, BTreeSet};

const MATRIX: &str = include_str!("../../permissions.csv");
/// These at their least would ask for something or allow nothing; a row that is about them says what they are.
const OF_THEMSELVES: [(&str, &str); 1] = [("app_sharing_prompt", "\"rep_decides\"")];

struct Row<'csv> {
    at: usize,
    rule: &'csv str,
    policy: BTreeMap<&'csv str, &'csv str>,
    session: &'csv str,
    tool: &'csv str,
    args: Args,
    owner: &'csv str,
    sharer: &'csv str,
    external: &'csv str,
    monitor: &'csv str,
    customer: &'csv str,
}

fn rows() -> Vec<Row<'static>> {
    let lines = (1..).zip(MATRIX.lines()).filter(|(_, line)| !line.starts_with('#')).skip(1);
    let rows: Vec<Row> = lines
        .map(|(at, line)| {
            let cells: Vec<&str> = line.split(',').collect();
            let &[rule, policy, session, request, owner, sharer, external, monitor, customer] = cells.as_slice() else {
                panic!("line {at} has {} cells", cells.len())
            };
            let pair = |pair: &'static str| pair.split_once('=').unwrap_or_else(|| panic!("line {at}: {pair}"));
            let (tool, args) = request.split_once(' ').unwrap_or((request, ""));
            let value = |text: &str| match text {
                "true" => Value::Bool(true),
                text => Value::Text(text.to_owned()),
            };
            let args = args.split_whitespace().map(pair).map(|(name, text)| (name.to_owned(), value(text))).collect();
            let policy = policy.split_whitespace().map(pair).collect();
            Row { at, rule, policy, session, tool, args, owner, sharer, external, monitor, customer }
        })
        .collect();
    assert!(rows.len() > 100, "the matrix is there");
    rows
}

/// A site in which everybody has this policy, and everything that is not said is at its least.
fn site_of(row: &Row) -> String {
    let mut tools: BTreeMap<String, String> = BTreeMap::new();
    for tool in Tool::ALL {
        let least = match ToolValue::least(tool.shape()) {
            ToolValue::Word(word) => format!("\"{}\"", word.name()),
            _ => "[]".to_owned(),
        };
        tools.insert(tool.name().to_owned(), least);
    }
    tools.extend(OF_THEMSELVES.map(|(name, value)| (name.to_owned(), value.to_owned())));
    for (name, value) in &row.policy {
        let list = |value: &str| {
            let entries: Vec<String> = value.split('|').map(|entry| format!("\"{entry}\"")).collect();
            format!("[{}]", entries.join(", "))
        };
        let shape =
            Tool::from_name(name).map(Tool::shape).or_else(|| ToolOption::from_name(name).map(ToolOption::shape));
        let written = match (shape.unwrap_or_else(|| panic!("line {}: {name}", row.at)), *value) {
            (_, "[]") => "[]".to_owned(),
            (_, "any") => "\"any\"".to_owned(),
            (Shape::Words(_), word) => format!("\"{word}\""),
            (_, entries) => list(entries),
        };
        tools.insert((*name).to_owned(), written);
    }
    let tools: Vec<String> = tools.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let everything = "\"support\", \"accept_from_queue\", \"generate_keys\", \"jump_shell\", \"transfer_outside\", \
                      \"share_outside\"";
    format!(
        r#"
[site]
name = "matrix"
[options]
default_policy = "row"
[[team]]
code = "net"
algorithm = "none"
persistent = true
[[script]]
code = "fix"
teams = ["net"]
text = "true"
[[user]]
username = "ana"
teams = {{ net = "member" }}
permissions = [{everything}, "jump_client", "buttons_personal", "edit_external_key"]
[[user]]
username = "bob"
teams = {{ net = "member" }}
permissions = [{everything}]
[[user]]
username = "lea"
teams = {{ net = "lead" }}
permissions = [{everything}]
[[user]]
username = "eva"
teams = {{ net = "member" }}
permissions = [{everything}]
[[jump_item]]
code = "router"
method = "jump_shell"
[[policy]]
code = "row"
tools = {{ {} }}
prompt = {{ mode = "never" }}
"#,
        tools.join(", ")
    )
}

/// Ana serves, bob shares, lea watches, the customer is there.
fn session_of(row: &Row) -> (World, SessionId) {
    let mut world = World::of(&site_of(row));
    for rep in ["ana", "bob", "lea", "eva"] {
        let (user, resume) = (world.user(rep), world.secret());
        let client = ClientInfo { os: "linux".to_owned(), ..ClientInfo::default() };
        world.system(Command::Login { user, version: 0, resume, client }).expect("a seat is free");
    }
    let session = match row.session {
        "shell_jump" => {
            let (item, join) = (world.engine.state().site.codes.jump_items["router"], world.secret());
            let started =
                world.rep("ana", Command::Jump { item, join: Some(join), by_endpoint: false }).expect("she may");
            world.redeem(join, None, present()).expect("its customer comes");
            let Outcome::Session(session) = started else { panic!("{started:?}") };
            session
        }
        kind => {
            let kind = SessionKind::from_name(kind).unwrap_or_else(|| panic!("line {}: {kind}", row.at));
            let (session, join) = world.asked("net", kind);
            world.redeem(join, None, present()).expect("its customer comes");
            world.rep("ana", Command::Take { session }).expect("waits in the queue of a member's team");
            session
        }
    };
    // What is under test may be sharing itself: bob comes by a share that the whole site allows.
    let to = Queue::Personal(world.user("bob"));
    if world.rep("ana", Command::Share { session, to, mail: None }).is_err() {
        let allowed = site_of(row).replace("collaborate = \"no\"", "collaborate = \"yes\"");
        world.apply_site(&allowed);
        world.rep("ana", Command::Share { session, to, mail: None }).expect("is there");
        world.apply_site(&site_of(row));
    }
    world.rep("bob", Command::Join { session }).expect("was invited");
    world.rep("lea", Command::Join { session }).expect("is a lead of the owner's team");
    (world, session)
}

/// What comes of a request: the words of the matrix, and what the monitor reads of it.
fn ask(row: &Row, who: &str) -> (String, String) {
    let (mut world, session) = session_of(row);
    let act = match row.tool {
        "hold" => Some(Command::Hold { session }),
        "transfer" => Some(Command::Transfer { session, to: Queue::Personal(world.user("eva")) }),
        "custom_fields" => Some(Command::SetField { session, field: "order".to_owned(), value: "4711".to_owned() }),
        "external_key" => Some(Command::SetExternalKey { session, value: "CASE-7".to_owned() }),
        "collaborate" => Some(Command::Share { session, to: Queue::Personal(world.user("eva")), mail: None }),
        _ => None,
    };
    let actor = match who {
        "customer" => Actor::Party(Party::Customer(session)),
        rep => Actor::Party(Party::Rep(world.user(rep))),
    };
    if let Some(act) = act {
        let said = if world.act(actor, None, act).is_ok() { "done" } else { "no" };
        return (said.to_owned(), "-".to_owned());
    }
    let tool = Tool::from_name(row.tool).unwrap_or_else(|| panic!("line {}: {}", row.at, row.tool));
    let opening = match world.act(actor, None, Command::Open { session, tool, args: row.args.clone() }) {
        Ok(Outcome::Opening { open, prompt }) => (open, prompt),
        Ok(other) => panic!("line {}: {other:?}", row.at),
        Err(refusal) => {
            let known = [Reason::NotPermitted, Reason::PathRefused, Reason::Malformed, Reason::UnknownTool];
            assert!(known.contains(&refusal.reason), "line {}: {refusal}", row.at);
            if refusal.reason == Reason::NotPermitted {
                assert!(refusal.tool.is_some() && refusal.source.is_some(), "P6.3, line {}: {refusal:?}", row.at);
            }
            return ("no".to_owned(), "-".to_owned());
        }
    };
    if let (_, Some(prompt)) = opening {
        world.customer(session, Command::Answer { session, prompt, allow: true }).expect("waits for the customer");
    }
    let taker = match who {
        "customer" => Actor::Party(Party::Rep(world.user("ana"))),
        _ => Actor::Party(Party::Customer(session)),
    };
    let mut facts = Args::new();
    if matches!(tool, Tool::Deploy | Tool::Unattended) {
        facts.insert("token".to_owned(), Value::Text("5e".repeat(32)));
    }
    let accept = Command::AcceptOpen { session, open: opening.0, facts };
    world.act(taker, None, accept).expect("was offered to the other end");
    let state = world.engine.state();
    let lea = Party::Rep(world.user("lea"));
    let watcher = state.sessions[&session].participant_of(lea).expect("she watches").id;
    let channels = state.tools.session(session).expect("is in use").channels.values();
    let (mut all, mut watched) = (Vec::new(), Vec::new());
    for channel in channels {
        let from = if channel.spec.writer == ParticipantId::CUSTOMER { Side::Customer } else { Side::Rep };
        all.push(words(from, channel.spec.kinds));
        if channel.spec.readers.contains(&watcher) {
            watched.push(words(from, channel.spec.kinds));
        }
    }
    let said = |list: Vec<String>, none: &str| if list.is_empty() { none.to_owned() } else { list.join(" ") };
    (said(all, "done"), said(watched, "-"))
}

/// `<picture`, `>pointer+click+keys`.
fn words(from: Side, kinds: u32) -> String {
    let way = if from == Side::Customer { '<' } else { '>' };
    let kinds: Vec<&str> = Kind::DATA.into_iter().filter(|kind| kind.bit() & kinds != 0).map(Kind::name).collect();
    format!("{way}{}", kinds.join("+"))
}

/// What a policy gives, at a Linux machine on both sides.
struct Has(Permissions);

impl Rights for Has {
    fn rights(&self, tool: Tool) -> u8 {
        self.0.rights(tool)
    }

    fn value(&self, tool: Tool) -> &ToolValue {
        self.0.value(tool)
    }

    fn option(&self, option: ToolOption) -> &ToolValue {
        &self.0.option(option).0
    }

    /// A guest is in no team, and scripts are for teams.
    fn script(&self, _code: &str) -> Option<&str> {
        None
    }

    fn path(&self, side: Side, path: Option<&str>) -> Result<Option<String>, NoPath> {
        let list = self.value(if side == Side::Customer { Tool::CustomerPaths } else { Tool::RepPaths });
        match path {
            None if *list == ToolValue::Any => Ok(None),
            None => Err(NoPath::Refused("must be named".to_owned())),
            Some(path) => {
                let verdict = paths::check(Os::Linux, list, path);
                if verdict.allowed { Ok(verdict.normalized) } else { Err(NoPath::Refused(verdict.reason)) }
            }
        }
    }
}

/// What comes of the row's request for a guest by an invite with the row's policy, invited by ana, in this site.
fn ask_as_guest(row: &Row, site: &str) -> String {
    let site = Site::from_text(site, None).unwrap_or_else(|problems| panic!("{problems:?}"));
    let (kind, jump_item) = match row.session {
        "shell_jump" => (SessionKind::Jump, Some(site.codes.jump_items["router"])),
        kind => (SessionKind::from_name(kind).expect("a kind"), None),
    };
    let person = Person::External { invite: Some(site.codes.policies["row"]), inviter: site.codes.users["ana"] };
    let has = Has(compile(&site, &Situation { person, portal: None, jump_item, kind, present: true }));
    let tool = Tool::from_name(row.tool).expect("a tool");
    if !plan::is_opened(tool) {
        let may = has.rights(tool) != 0 && matches!(row.tool, "hold" | "transfer" | "collaborate" | "custom_fields");
        return if may { "done" } else { "no" }.to_owned();
    }
    match plan::plan(Asked { tool, args: &row.args, by: Side::Rep, kind }, &has) {
        Err(_) => "no".to_owned(),
        Ok(plan) if plan.channels.is_empty() => "done".to_owned(),
        Ok(plan) => {
            let channels: Vec<String> = plan.channels.iter().map(|it| words(it.from, it.kinds)).collect();
            channels.join(" ")
        }
    }
}

/// Does each row of this rule, for whoever is in the session?
fn holds(rule: &str) {
    let mut wrong = Vec::new();
    let rows: Vec<Row> = rows().into_iter().filter(|row| row.rule == rule).collect();
    assert!(!rows.is_empty(), "{rule} has no row");
    for row in rows {
        let (owner, monitor) = ask(&row, "ana");
        let (sharer, _) = ask(&row, "bob");
        let (watching, _) = ask(&row, "lea");
        let (customer, _) = ask(&row, "customer");
        let answers = [
            ("owner", row.owner, owner),
            ("sharer", row.sharer, sharer),
            ("monitor", row.monitor, monitor),
            // Who may watch by rank may transfer by rank (R7.3).
            ("the monitor's own asking", if row.tool == "transfer" { row.owner } else { "no" }, watching),
            ("customer", row.customer, customer),
        ];
        for (who, wanted, got) in answers {
            if wanted != got {
                wrong.push(format!("line {} ({}): {who}: {wanted} is written, {got} came", row.at, row.rule));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn p2_5_p3_every_row_of_the_matrix_holds_for_a_guest_and_never_beyond_who_invited() {
    let mut wrong = Vec::new();
    let mut poorer = 0;
    for row in rows() {
        let got = ask_as_guest(&row, &site_of(&row));
        if got != row.external {
            wrong.push(format!("line {} ({}): external: {} is written, {got} came", row.at, row.rule, row.external));
        }
        let least = Tool::from_name(row.tool).map(|tool| ToolValue::least(tool.shape()));
        let Some(least @ ToolValue::Word(Word::No | Word::None)) = least else { continue };
        // To lift restrictions needs no right, and a shell jump is a shell.
        if row.tool == "customer_restrictions" || row.session == "shell_jump" {
            continue;
        }
        poorer += 1;
        let site = site_of(&row).replacen("username = \"ana\"", "username = \"ana\"\npolicy_attended = \"poor\"", 1)
            + &format!("[[policy]]\ncode = \"poor\"\ntools = {{ {} = \"{least}\" }}\n", row.tool);
        let got = ask_as_guest(&row, &site);
        if got != "no" {
            wrong.push(format!("line {} ({}): {got} came to a guest of whom has not the right", row.at, row.rule));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(poorer > 50);
}

#[test]
fn p3_the_matrix_has_every_tool_every_value_and_every_kind_of_frame() {
    let rows = rows();
    for tool in Tool::ALL {
        assert!(
            rows.iter().any(|row| row.tool == tool.name() || row.policy.contains_key(tool.name())),
            "{} is not in the matrix",
            tool.name()
        );
        let said: BTreeSet<&str> = rows.iter().filter_map(|row| row.policy.get(tool.name()).copied()).collect();
        match tool.shape() {
            Shape::Words(words) => {
                let all: BTreeSet<&str> = words.iter().map(|(word, _): &(Word, u8)| word.name()).collect();
                assert_eq!(said, all, "the values of {}", tool.name());
            }
            Shape::Paths => assert!(said.contains("any") && said.contains("[]") && said.len() > 2, "{}", tool.name()),
            Shape::List => assert!(said.contains("[]") && said.len() > 1, "{}", tool.name()),
        }
    }
    let passed: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| [row.owner, row.customer])
        .flat_map(|answer| answer.split([' ', '<', '>', '+']).map(str::to_owned))
        .collect();
    for kind in Kind::DATA {
        let name = words(Side::Rep, kind.bit()).split_off(1);
        assert!(passed.contains(&name), "{name} frames pass in no row");
    }
}

#[test]
fn p3_a_request_that_breaks_its_form_is_malformed_and_not_merely_refused() {
    let row = rows().into_iter().find(|row| row.tool == "shell" && row.owner != "no").expect("a shell");
    let (mut world, session) = session_of(&row);
    let long = "x".repeat(limits::TEXT_BYTES_MAX + 1);
    for args in [[("command", Value::Text("rm".to_owned()))], [("cols", Value::Text(long))]] {
        let refused = world.open("ana", session, Tool::Shell, &args).expect_err("is no request for a shell");
        assert_eq!(refused.reason, Reason::Malformed);
    }
}
