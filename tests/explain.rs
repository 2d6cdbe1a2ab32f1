//! R9 against what really happened: every offer of seeded histories is explained at the moment before it, and every dry
//! run is followed by the real thing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use equipoise::{
    engine::{
        Actor, Command, Engine, Entry, Event, Queue, Reason, Request, Stamped, command::Ask, past::Past,
        telling::Teller,
    },
    ids::{Party, SecretHash, SessionId, SkillId, TeamId, UserId},
    site::Site,
    time::{Span, Time},
    wire::control::ClientInfo,
};

const SITE: &str = r#"
[site]
name = "explained"
[options]
offer_timeout_is_rejection = REJECTION
fallback_team = "net"
[[skill]]
code = "antivirus"
[[skill]]
code = "norton"
parent = "antivirus"
[[skill]]
code = "vpn"
[[team]]
code = "net"
algorithm = "skills_least_busy"
overdue = { action = "mark", after_s = 40 }
wrap_up_s = 7
[[team]]
code = "slow"
algorithm = "skills_least_busy"
relax_after_s = 15
overdue = { action = "transfer", after_s = 90, to = "db" }
[[team]]
code = "db"
algorithm = "least_busy"
max_queue = 4
defer_after_login_s = 10
"#;

/// A sequence of numbers from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

struct World {
    engine: Engine,
    now: Time,
    draw: Draw,
    history: Vec<Stamped>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut site = SITE.replace("REJECTION", if seed.is_multiple_of(2) { "true" } else { "false" });
        for rep in 0..8 {
            let teams = ["net", "slow", "db", "net = \"lead\", slow"][rep % 4];
            let skills = ["", "\"norton\"", "\"antivirus\"", "\"vpn\", \"norton\""][rep / 2];
            site += &format!(
                "[[user]]\nusername = \"r{rep}\"\nteams = {{ {teams} = \"member\", db = \"member\" }}\n\
                 skills = [{skills}]\nmax_sessions = 2\npermissions = [\"support\", \"opt_out\", \"get_next\"]\n"
            )
            .replace("{ db = \"member\", db", "{ db");
        }
        let raw = equipoise::site::raw::RawSite::parse(&site).unwrap();
        let mut world = Self {
            engine: Engine::new(Site::default()),
            now: Time(1_000_000),
            draw: Draw(seed * 2 + 1),
            history: Vec::new(),
        };
        world.act(Actor::System, Command::ApplySite(raw.into())).unwrap();
        world
    }

    fn act(&mut self, actor: Actor, command: Command) -> Result<Vec<Stamped>, Reason> {
        let mut events = Vec::new();
        let done = self.engine.handle(self.now, &Request { actor, id: None, command }, &mut events);
        self.history.extend(events.iter().cloned());
        done.map(|_| events).map_err(|refusal| refusal.reason)
    }

    fn any_session(&mut self) -> SessionId {
        SessionId(self.draw.below(self.engine.state().next_session) + 1)
    }

    fn random_ask(&mut self) -> Ask {
        let codes = &self.engine.state().site.codes;
        let teams: Vec<TeamId> = codes.teams.values().copied().collect();
        let skills: Vec<SkillId> = codes.skills.values().copied().collect();
        let reps: Vec<UserId> = codes.users.values().copied().collect();
        let queue = match self.draw.below(8) {
            0 => Queue::Personal(reps[self.draw.below(8) as usize]),
            at => Queue::Team(teams[at as usize % teams.len()]),
        };
        let wanted = (0..self.draw.below(3)).map(|_| skills[self.draw.below(3) as usize]).collect();
        let preferred = self.draw.below(4) == 0;
        Ask {
            skills: wanted,
            priority: Some(self.draw.below(101) as u8),
            preferred: preferred.then(|| (reps[self.draw.below(8) as usize], Span::seconds(20))),
            ..Ask::of(Entry::Queue(queue))
        }
    }

    fn step(&mut self) {
        self.now = self.now + Span(self.draw.below(9000));
        let user = UserId(self.draw.below(8) as u32 + 1);
        let rep = Actor::Party(Party::Rep(user));
        let session = self.any_session();
        let done = match self.draw.below(12) {
            0 | 1 => {
                let resume = SecretHash::of(&user.0.to_be_bytes());
                let client = ClientInfo::default();
                self.act(Actor::System, Command::Login { user, version: 0, resume, client })
            }
            2 => self.act(rep, Command::Logout { user }),
            3 | 4 => self.asks(),
            5 => self.act(rep, Command::OptOut),
            6 => self.act(rep, Command::OptIn),
            7 => self.answers(false),
            8 | 9 => self.answers(true),
            10 => self.act(Actor::Party(Party::Customer(session)), Command::End { session }),
            _ => self.act(Actor::System, Command::Tick),
        };
        drop(done);
    }

    /// Whoever has an offer answers it.
    fn answers(&mut self, yes: bool) -> Result<Vec<Stamped>, Reason> {
        let offered = self.engine.state().consoles.iter().find_map(|(user, it)| Some((*user, it.offer?)));
        let Some((user, session)) = offered else { return Ok(Vec::new()) };
        let command = if yes { Command::Accept { session } } else { Command::Reject { session } };
        self.act(Actor::Party(Party::Rep(user)), command)
    }

    /// R9.2: the dry run first, then the same ask in earnest.
    fn asks(&mut self) -> Result<Vec<Stamped>, Reason> {
        let ask = self.random_ask();
        let mut events = Vec::new();
        self.engine.advance(self.now, &mut events);
        self.history.append(&mut events);
        let before = self.engine.state().clone();
        let dry = self.engine.explain_ask(self.now, &ask);
        assert_eq!(before, *self.engine.state(), "a dry run changes nothing");
        let next = SessionId(before.next_session);
        let real = self.act(Actor::System, Command::Ask(ask));
        match (&dry, &real) {
            (Err(refusal), Err(reason)) => assert_eq!(refusal.reason, *reason),
            (Ok(dry), Ok(events)) => {
                let queued = events.iter().find_map(|it| match it.event {
                    Event::Queued { session, queue } if session == next => Some(queue),
                    _ => None,
                });
                assert_eq!(Some(dry.queue), queued);
                let offered = events.iter().find_map(|it| match it.event {
                    Event::Offered { session, rep, step, .. } if session == next => Some((rep, step)),
                    _ => None,
                });
                assert_eq!(dry.chosen, offered.map(|(rep, _)| rep), "{dry:?}");
                assert!(offered.is_none_or(|(_, step)| step == dry.step), "{dry:?}");
            }
            _ => panic!("dry {dry:?}, real {real:?}"),
        }
        real
    }
}

#[test]
fn r9_2_a_dry_run_says_what_asking_then_does_and_changes_nothing() {
    let mut refused = 0;
    for seed in 0..40 {
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.step();
        }
        let before = world.history.len();
        refused += u32::from(world.asks().is_err());
        assert!(world.history.len() >= before);
    }
    assert!(refused > 0, "some would have been refused");
}

#[test]
fn r9_1_every_offer_of_the_past_is_explained_by_the_moment_before_it() {
    let (mut offers, mut weaker, mut moved, mut held_back) = (0, 0, 0, 0);
    for seed in 0..40 {
        let mut world = World::new(seed);
        for _ in 0..200 {
            world.step();
        }
        for id in 1..world.engine.state().next_session {
            let mut past = Past::of(SessionId(id));
            for stamped in &world.history {
                past.fold(stamped, |decided| {
                    let Event::Offered { rep, step, count, rule, .. } = decided.event else { return };
                    let why = decided.why().expect("what is offered waited");
                    assert_eq!(why.chosen, Some(*rep), "seed {seed}, s{id} at {:?}: {why:?}", decided.at);
                    assert_eq!((why.candidates.first(), why.step), (Some(rep), *step), "seed {seed}, s{id}");
                    assert!(!why.rejected.contains_key(rep));
                    assert_eq!(decided.state.console(*rep).map(|console| console.sessions), Some(*count));
                    assert_eq!(why.moved_by, *rule);
                    offers += 1;
                    weaker += u32::from(*step > 0);
                    moved += u32::from(rule.is_some());
                    held_back += u32::from(!why.held_back.is_empty());
                });
            }
            assert_eq!(past.state(), world.engine.state(), "the past ends in the present");
        }
    }
    assert!(offers > 1000 && weaker > 20 && moved > 5 && held_back > 5, "{offers} {weaker} {moved} {held_back}");
}

#[test]
fn r9_1_a_teller_knows_each_offer_and_refuses_what_never_was() {
    let mut world = World::new(3);
    while world.history.iter().filter(|it| matches!(it.event, Event::Offered { .. })).count() < 5 {
        world.step();
    }
    let session = world.history.iter().find_map(|it| match it.event {
        Event::Offered { session, .. } => Some(session),
        _ => None,
    });
    let tell = |session: SessionId, offer: Option<u32>| {
        let mut teller = Teller::new(session, offer);
        let _ = teller.fold(&world.history);
        teller.told()
    };
    let session = session.unwrap();
    let first = tell(session, Some(1)).unwrap();
    assert_eq!((first.session, first.decisions.len()), (session.0, 1));
    assert_eq!(first.decisions[0].rep, first.chosen);
    let whole = tell(session, None).unwrap();
    assert_eq!((whole.decisions[0].event.as_str(), whole.decisions_left_out), ("queued", 0));
    for (session, offer) in [(SessionId(0), None), (SessionId(999), None), (session, Some(99))] {
        assert_eq!(tell(session, offer).unwrap_err().reason, Reason::UnknownSession);
    }
}
