//! A history that the engine decided once is decided again, from its record, to the same events and the same state (I8).
//!
//! `EQUIPOISE_WRITE_GOLDEN=1 cargo test --test again` writes the newest history anew; released ones stay.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use equipoise::{
    engine::{
        Actor, Command, Engine, Entry, Event, Queue, Request, Stamped, State, Turn,
        command::{Ask, InvitationAnswer},
    },
    ids::*,
    simulate::Again,
    site::raw::RawSite,
    time::{Span, Time},
    wire::control::ClientInfo,
};
use std::{fs, path::PathBuf};

const SITE: &str = r#"
[site]
name = "golden"
seats = 8
[options]
fallback_team = "desk"
require_closed_sessions = true
[[skill]]
code = "net"
[[skill]]
code = "vpn"
parent = "net"
[[team]]
code = "desk"
algorithm = "least_busy"
persistent = true
[[team]]
code = "second"
algorithm = "skills_least_busy"
relax_after_s = 20
wrap_up_s = 15
overdue = { action = "transfer", after_s = 120, to = "desk" }
[[issue]]
code = "vpn"
team = "second"
skills = ["vpn"]
priority = 70
help_requests = true
[[user]]
username = "ana"
teams = { desk = "manager", second = "lead" }
permissions = ["support", "accept_from_queue", "get_next", "opt_out", "share_outside", "transfer_outside", "edit_customer_notices"]
skills = ["net"]
[[user]]
username = "ben"
email = "ben@example.com"
teams = { desk = "member", second = "member" }
permissions = ["support", "accept_from_queue", "get_next", "extended_availability"]
skills = ["vpn"]
max_sessions = 2
[[user]]
username = "cleo"
teams = { second = "member" }
permissions = ["support", "accept_from_queue"]
"#;

const ANA: Actor = Actor::Party(Party::Rep(UserId(1)));
const BEN: Actor = Actor::Party(Party::Rep(UserId(2)));
const CLEO: Actor = Actor::Party(Party::Rep(UserId(3)));

fn golden(number: u32) -> PathBuf {
    PathBuf::from(format!("{}/tests/golden/decided-{number}.json", env!("CARGO_MANIFEST_DIR")))
}

/// An engine whose every request becomes a record of its own, refused ones none, as in a journal.
struct Recorder {
    engine: Engine,
    now: Time,
    turns: Vec<Turn>,
    secrets: u8,
}

impl Recorder {
    fn new() -> Self {
        Self {
            engine: Engine::from_state(State::default()),
            now: Time(1_790_000_000_000),
            turns: Vec::new(),
            secrets: 0,
        }
    }

    fn does(&mut self, actor: Actor, command: Command) {
        let request = Request { actor, id: None, command };
        let mut events = Vec::new();
        match self.engine.handle(self.now, &request, &mut events) {
            Ok(_) => self.turns.push(Turn { requests: vec![(self.now, request)], events }),
            Err(refusal) => panic!("{request:?}: {refusal}"),
        }
    }

    /// Time passes; what is due fires, each moment a record.
    fn waits(&mut self, span: Span) {
        let until = self.now + span;
        while let Some(due) = self.engine.next_deadline().filter(|due| *due <= until) {
            let mut events: Vec<Stamped> = Vec::new();
            self.engine.advance(due, &mut events);
            if !events.is_empty() {
                self.turns.push(Turn { requests: Vec::new(), events });
            }
        }
        self.now = until;
    }

    fn secret(&mut self) -> SecretHash {
        self.secrets += 1;
        SecretHash([self.secrets; 32])
    }

    fn login(&mut self, user: u32) {
        let resume = self.secret();
        let client = ClientInfo::default();
        self.does(Actor::System, Command::Login { user: UserId(user), version: 0, resume, client });
    }

    fn ask(&mut self, entry: Entry) -> SessionId {
        let session = SessionId(self.engine.state().next_session);
        let ask = Ask::of(entry);
        self.does(Actor::System, Command::Ask(ask));
        session
    }
}

/// A shift in miniature: offers accepted, rejected and run out, a skill waited for, overflow, transfer, share, a mailed
/// invitation, help, hold, a lost console, and the fallback.
fn shift() -> Vec<Turn> {
    let mut site = Recorder::new();
    site.does(Actor::System, Command::TakeOwnership { epoch: 1 });
    site.does(Actor::System, Command::ApplySite(RawSite::parse(SITE).unwrap().into()));
    let (desk, second) = (TeamId(1), TeamId(2));
    let vpn = Entry::Issue(IssueId(1));
    site.login(1);
    site.login(3);
    let first = site.ask(vpn);
    site.waits(Span::seconds(25));
    site.login(2);
    site.waits(Span::seconds(90));
    let to_desk = site.ask(Entry::Queue(Queue::Team(desk)));
    site.waits(Span::seconds(31));
    for actor in [ANA, BEN] {
        site.does(actor, Command::GetNext);
    }
    site.does(BEN, Command::Extended { on: true });
    let own = site.ask(Entry::Queue(Queue::Personal(UserId(3))));
    site.does(CLEO, Command::Accept { session: own });
    site.does(CLEO, Command::Hold { session: own });
    site.waits(Span::seconds(5));
    site.does(CLEO, Command::Resume { session: own });
    site.does(CLEO, Command::AskForHelp { session: own, issue: IssueId(1) });
    site.waits(Span::seconds(3));
    site.does(CLEO, Command::Transfer { session: own, to: Queue::Team(second) });
    site.waits(Span::seconds(60));
    let served: Vec<SessionId> =
        [first, to_desk].into_iter().filter(|id| site.engine.state().session(*id).is_some()).collect();
    for session in served {
        let owner = site.engine.state().session(session).and_then(|it| it.owner());
        if owner == Some(UserId(2)) {
            site.does(BEN, Command::End { session });
        }
    }
    site.does(Actor::System, Command::LoseForGood { user: UserId(2) });
    let of_ana = site.engine.state().sessions_of(UserId(1)).next().expect("ana serves");
    let token = site.secret();
    site.does(ANA, Command::Share { session: of_ana, to: Queue::Personal(UserId(2)), mail: Some(token) });
    site.does(Actor::System, Command::AnswerInvitation { token, answer: InvitationAnswer::Accept });
    site.login(2);
    site.does(ANA, Command::PublishNotice { text: "The line is down.".into(), lives: Some(Span::seconds(30)) });
    site.does(Actor::System, Command::LoseConnections);
    site.waits(Span::minutes(10));
    site.turns
}

#[test]
fn i8_a_recorded_history_is_decided_again_to_the_same_events_and_state() {
    if std::env::var_os("EQUIPOISE_WRITE_GOLDEN").is_some() {
        let lines: Vec<String> = shift().iter().map(|turn| serde_json::to_string(turn).unwrap()).collect();
        fs::write(golden(1), format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    }
    let mut histories = 0;
    for number in 1.. {
        let Ok(text) = fs::read_to_string(golden(number)) else { break };
        let turns: Vec<Turn> = serde_json::from_str(&text).unwrap();
        let mut again = Again::new();
        for (seq, turn) in (1..).zip(&turns) {
            if let Err(difference) = again.record(Seq(seq), turn, &mut |_| {}) {
                panic!("decided-{number}: {difference:#?}");
            }
        }
        let same = again.end().unwrap();
        assert_eq!(same.records, turns.len() as u64);
        histories += 1;
    }
    assert!(histories >= 1);
}

type Is = fn(&Event) -> bool;

/// The history holds what it is kept for, so that a change of any of it is seen.
#[test]
fn i8_the_recorded_history_has_every_turn_of_a_shift() {
    let text = fs::read_to_string(golden(1)).unwrap();
    let turns: Vec<Turn> = serde_json::from_str(&text).unwrap();
    let events: Vec<&Event> = turns.iter().flat_map(|turn| &turn.events).map(|stamped| &stamped.event).collect();
    let holds: [(&str, Is); 12] = [
        ("offered", |event| matches!(event, Event::Offered { .. })),
        ("offer_timeout", |event| matches!(event, Event::OfferTimeout { .. })),
        ("relaxed", |event| matches!(event, Event::Relaxed { .. })),
        ("accepted", |event| matches!(event, Event::Accepted { .. })),
        ("overdue or moved", |event| matches!(event, Event::Moved { .. } | Event::Overdue { .. })),
        ("held", |event| matches!(event, Event::Held { .. })),
        ("invited by mail", |event| matches!(event, Event::Invited { mailed: Some(_), .. })),
        ("joined", |event| matches!(event, Event::Joined { .. })),
        ("lost", |event| matches!(event, Event::ConnectionsLost)),
        ("logged out", |event| matches!(event, Event::LoggedOut { .. })),
        ("ended", |event| matches!(event, Event::Ended { .. })),
        ("notice", |event| matches!(event, Event::NoticeGone { .. })),
    ];
    let missing: Vec<&str> =
        holds.iter().filter(|(_, is)| !events.iter().any(|event| is(event))).map(|(name, _)| *name).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
