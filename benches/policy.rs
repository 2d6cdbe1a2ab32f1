//! Permissions: one stack compiled, one looked up, and an edit of the site that touches ten thousand running sessions.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use equipoise::{
    engine::{
        Actor, Checked, Command, Engine, Entry, Outcome, Queue, Request, Stamped,
        command::{Ask, Customer},
    },
    ids::*,
    policy::{Person, Situation, Tool, compile},
    site::{SessionKind, Site, raw::RawSite},
    time::Time,
    wire::control::ClientInfo,
};
use std::{collections::BTreeMap, hint::black_box, sync::Arc};

const SESSIONS: usize = 10_000;
const REPS: usize = 2_000;

/// Every layer says something: a portal, a group policy, a technician group, a default.
fn site(tools: &str) -> String {
    let mut text = format!(
        "[site]\nname = \"bench\"\n[options]\ndefault_policy = \"house\"\n\
         [[team]]\ncode = \"desk\"\nalgorithm = \"none\"\npersistent = true\n\
         [[portal]]\ncode = \"main\"\npolicy = \"door\"\n\
         [[policy]]\ncode = \"door\"\ntools = {{ annotations = \"yes\", push_url = \"yes\" }}\n\
         [[policy]]\ncode = \"own\"\ntools = {{ registry = \"yes\", customer_paths = [\"/home\", \"/srv\"] }}\n\
         [[policy]]\ncode = \"house\"\ntools = {{ {tools} }}\nprompt = {{ mode = \"never\" }}\n\
         [[technician_group]]\ncode = \"root\"\ntools = {{ reboot = \"deny\" }}\nlocked = [\"reboot\"]\n"
    );
    let mut members = Vec::new();
    for rep in 0..REPS {
        text.push_str(&format!(
            "[[user]]\nusername = \"r{rep}\"\nteams = {{ desk = \"member\" }}\npolicy_attended = \"own\"\n\
             permissions = [\"support\", \"accept_from_queue\"]\n"
        ));
        members.push(format!("\"r{rep}\""));
    }
    let members = members.join(", ");
    text + &format!("[[technician_group]]\ncode = \"tier1\"\nparent = \"root\"\nmembers = [{members}]\n")
}

fn stack(c: &mut Criterion) {
    let site = Site::from_text(&site("shell = \"yes\""), None).expect("a good site");
    let situation = Situation {
        person: Person::User(site.codes.users["r7"]),
        portal: Some(site.codes.portals["main"]),
        jump_item: None,
        kind: SessionKind::Support,
        present: true,
    };
    // W2.4: at most 5 µs.
    c.bench_function("policy/compile one stack", |b| b.iter(|| compile(black_box(&site), black_box(&situation))));
    let guest = Situation { person: Person::External { invite: None, inviter: site.codes.users["r7"] }, ..situation };
    c.bench_function("policy/compile a guest", |b| b.iter(|| compile(black_box(&site), black_box(&guest))));
}

/// Ten thousand sessions, each with a reader on a channel.
fn running() -> Engine {
    let site = Site::from_text(&site("shell = \"yes\", system_info = \"yes\""), None).expect("a good site");
    let mut engine = Engine::new(site);
    let mut log = Vec::new();
    let (now, mut secret) = (Time(1), 0u64);
    let mut fresh = || {
        secret += 1;
        SecretHash::of(&secret.to_be_bytes())
    };
    let mut act = |engine: &mut Engine, actor: Actor, command: Command| -> Outcome {
        log.clear();
        engine.handle(now, &Request { actor, id: None, command }, &mut log).expect("is permitted")
    };
    let users: Vec<UserId> = (0..REPS).map(|rep| engine.state().site.codes.users[&format!("r{rep}")]).collect();
    let team = engine.state().site.codes.teams["desk"];
    let client = ClientInfo { os: "linux".to_owned(), present: true, ..ClientInfo::default() };
    for user in &users {
        let (user, resume, client) = (*user, fresh(), client.clone());
        act(&mut engine, Actor::System, Command::Login { user, version: 0, resume, client });
    }
    for number in 0..SESSIONS {
        let join = fresh();
        let ask = Ask { join: Some(join), ..Ask::of(Entry::Queue(Queue::Team(team))) };
        let Outcome::Session(session) = act(&mut engine, Actor::Service(ServiceId(1)), Command::Ask(ask)) else {
            unreachable!("an ask gives a session")
        };
        let customer = Customer { client: client.clone(), ..Customer::default() };
        let (resume, portal) = (fresh(), None);
        act(&mut engine, Actor::System, Command::Redeem { key: join, portal, customer, resume });
        let rep = Actor::Party(Party::Rep(users[number % REPS]));
        act(&mut engine, rep, Command::Take { session });
        let opening = act(&mut engine, rep, Command::Open { session, tool: Tool::SystemInfo, args: BTreeMap::new() });
        let Outcome::Opening { open, .. } = opening else { unreachable!("an open is opening") };
        let customer = Actor::Party(Party::Customer(session));
        act(&mut engine, customer, Command::AcceptOpen { session, open, facts: BTreeMap::new() });
    }
    engine
}

/// P6.2: the whole edit, and its longest single turn.
fn edit(c: &mut Criterion) {
    let engine = running();
    let raw = Arc::new(RawSite::parse(&site("shell = \"yes\", system_info = \"no\"")).expect("a good site"));
    // Checked beside the live site and outside the turn, as the broker does it.
    let live = engine.state().site.clone();
    let checked = Site::check(raw.clone(), Some(&live)).expect("a good site");
    let checked = Checked { site: Arc::new(checked), version: engine.state().site_version };
    let edited = || {
        let mut engine = engine.clone();
        engine.checked(checked.clone());
        engine
    };
    let apply = Request { actor: Actor::System, id: None, command: Command::ApplySite(raw) };
    let judge = Request { actor: Actor::System, id: None, command: Command::JudgeRights };
    let mut group = c.benchmark_group("policy/edit that touches 10,000 sessions");
    group.sample_size(10);
    group.bench_function("decided whole", |b| {
        b.iter_batched(
            &edited,
            |mut engine| {
                let mut log: Vec<Stamped> = Vec::new();
                engine.handle(Time(2), &apply, &mut log).expect("a good site");
                while engine.state().tools.unjudged() > 0 {
                    engine.handle(Time(2), &judge, &mut log).expect("goes on");
                }
                (engine, log)
            },
            BatchSize::PerIteration,
        )
    });
    let first = || {
        let mut engine = edited();
        engine.handle(Time(2), &apply, &mut Vec::new()).expect("a good site");
        engine
    };
    group.bench_function("its first turn: the site taken, the touched marked", |b| {
        b.iter_batched(
            &edited,
            |mut engine| {
                let mut log = Vec::new();
                engine.handle(Time(2), &apply, &mut log).expect("a good site");
                (engine, log)
            },
            BatchSize::PerIteration,
        )
    });
    group.bench_function("a turn of judging", |b| {
        b.iter_batched(
            first,
            |mut engine| {
                let mut log = Vec::new();
                engine.handle(Time(2), &judge, &mut log).expect("goes on");
                (engine, log)
            },
            BatchSize::PerIteration,
        )
    });
    group.finish();
}

criterion_group!(benches, stack, edit);
criterion_main!(benches);
