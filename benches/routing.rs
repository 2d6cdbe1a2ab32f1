//! Who serves whom, without a socket or a disk: the roster alone, and the whole engine beside it.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use equipoise::{
    engine::{
        Actor, Command, Engine, Entry, Event, Queue, Request, Stamped,
        command::{Ask, Customer},
    },
    ids::{Party, SecretHash, SessionId, SkillId, TeamId, UserId},
    routing::{Roster, skills::Held, skills::Level},
    simulate::{self, Scenario},
    site::{SessionKind, Site},
    time::{Span, Time},
    wire::control::ClientInfo,
};
use std::{
    fmt::Write,
    hint::black_box,
    time::{Duration, Instant},
};

const REPS: u32 = 10_000;
const WAITING: u32 = 100_000;
const TEAMS: u32 = 100;

/// The teams of a rep who is in ten of a hundred.
fn ten_of(rep: u32) -> impl Iterator<Item = u32> {
    (0..10).map(move |at| (rep * 7 + at * 13) % TEAMS)
}

/// F14, core only: the least busy rep gets a session, and the one served longest ago is free again.
fn roster(c: &mut Criterion) {
    let mut group = c.benchmark_group("roster");
    group.throughput(Throughput::Elements(1));
    type TeamsOf = fn(u32) -> Vec<(TeamId, bool)>;
    let shapes: [(&str, u32, TeamsOf); 2] = [
        ("one team", 1, |_| vec![(TeamId(0), false)]),
        ("10 of 100 teams", TEAMS, |rep| ten_of(rep).map(|team| (TeamId(team), false)).collect()),
    ];
    for (name, teams, teams_of) in shapes {
        let mut roster = Roster::default();
        for rep in 0..REPS {
            roster.enrol(UserId(rep), &teams_of(rep), Held::new());
            roster.update(UserId(rep), 0, Time(0), |_| true);
        }
        let (mut now, mut team) = (0, 0);
        let mut busy = std::collections::VecDeque::from_iter([]);
        group.bench_function(format!("F14 assign and release, {name}"), |b| {
            b.iter(|| {
                now += 1;
                team = (team + 1) % teams;
                let rep = roster.least_busy(TeamId(team), |_| true).expect("somebody is ready");
                roster.update(rep, 1, Time(now), |_| true);
                busy.push_back(rep);
                if busy.len() > 1000
                    && let Some(rep) = busy.pop_front()
                {
                    roster.update(rep, 0, Time(now), |_| true);
                }
                rep
            })
        });
    }

    // F15: a thousand skills, ten held by each rep.
    let mut roster = Roster::default();
    for rep in 0..REPS {
        let held =
            (0..10).map(|at| (SkillId((rep * 11 + at * 101) % 1000), if at < 5 { Level::More } else { Level::Less }));
        roster.enrol(UserId(rep), &[(TeamId(0), true)], held.collect());
        roster.update(UserId(rep), rep % 3, Time(u64::from(rep)), |_| true);
    }
    let mut asked = 0;
    group.bench_function("F15 skills pick, someone matches", |b| {
        b.iter(|| {
            asked = (asked + 1) % 1000;
            roster.best_skilled(TeamId(0), &[SkillId(asked), SkillId((asked + 101) % 1000)], |_| true)
        })
    });
    group.bench_function("F15 skills pick, nobody matches", |b| {
        b.iter(|| {
            asked = (asked + 1) % 1000;
            roster.best_skilled(TeamId(0), &[SkillId(asked), SkillId((asked + 1) % 1000)], |_| true)
        })
    });
    group.bench_function("F15 skills pick, nobody holds it", |b| {
        b.iter(|| roster.best_skilled(TeamId(0), black_box(&[SkillId(3), SkillId(5000)]), |_| true))
    });
    group.finish();
}

/// A site in which everybody of it may be logged in.
struct World {
    engine: Engine,
    now: Time,
    events: Vec<Stamped>,
}

impl World {
    fn new(site: &str) -> Self {
        let site = Site::from_text(site, None).expect("the site is sound");
        Self { engine: Engine::new(site), now: Time(0), events: Vec::new() }
    }

    /// Asks the engine; what happened stands in `events`.
    fn act(&mut self, actor: Actor, command: Command) {
        self.events.clear();
        let request = Request { actor, id: None, command };
        self.engine.handle(self.now, &request, &mut self.events).expect("nothing here is refused");
    }

    fn rep(&mut self, rep: UserId, command: Command) {
        self.act(Actor::Party(Party::Rep(rep)), command);
    }

    fn log_in(&mut self, user: UserId) {
        let resume = SecretHash::of(&user.0.to_be_bytes());
        self.act(Actor::System, Command::Login { user, version: 0, resume, client: ClientInfo::default() });
    }

    fn log_all_in(&mut self) {
        let users: Vec<UserId> = self.engine.state().site.users.keys().copied().collect();
        for user in users {
            self.log_in(user);
        }
    }

    fn ask(&mut self, team: TeamId, skills: Vec<SkillId>) {
        let entry = Entry::Queue(Queue::Team(team));
        let ask = Ask {
            entry,
            kind: SessionKind::Support,
            portal: None,
            item: None,
            skills,
            priority: None,
            relax_after: Some(Span::seconds(86_400)),
            preferred: None,
            customer: Customer::default(),
            join: None,
            helps: None,
            button: None,
            shown_by: None,
        };
        self.act(Actor::System, Command::Ask(ask));
    }

    fn offered(&self) -> (SessionId, UserId) {
        let offer = |stamped: &Stamped| match stamped.event {
            Event::Offered { session, rep, .. } => Some((session, rep)),
            _ => None,
        };
        self.events.iter().find_map(offer).expect("somebody is free")
    }

    fn team(&self, code: &str) -> TeamId {
        self.engine.state().site.codes.teams[code]
    }
}

const PERMISSIONS: &str = "permissions = [\"support\", \"opt_out\"]";

fn teams(count: u32, algorithm: &str) -> String {
    (0..count).map(|team| format!("[[team]]\ncode = \"t{team}\"\nalgorithm = \"{algorithm}\"\n")).collect()
}

fn user(site: &mut String, rep: u32, teams: impl Iterator<Item = u32>) {
    let teams: Vec<String> = teams.map(|team| format!("t{team} = \"member\"")).collect();
    let _ = writeln!(site, "[[user]]\nusername = \"r{rep}\"\nteams = {{ {} }}\n{PERMISSIONS}", teams.join(", "));
}

/// F14 as a whole: asked, offered, accepted and ended, every event folded and every timer set.
fn engine(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(1));
    for (name, count) in [("one team", 1), ("10 of 100 teams", TEAMS)] {
        let mut site = format!("[site]\nname = \"bench\"\n{}", teams(count, "least_busy"));
        for rep in 0..REPS {
            if count == 1 {
                user(&mut site, rep, 0..1);
            } else {
                user(&mut site, rep, ten_of(rep));
            }
        }
        let mut world = World::new(&site);
        world.log_all_in();
        let ids: Vec<TeamId> = (0..count).map(|team| world.team(&format!("t{team}"))).collect();
        let mut at = 0;
        group.bench_function(format!("F14 ask, offer, accept, end, {name}"), |b| {
            b.iter(|| {
                at = (at + 1) % ids.len();
                world.now = world.now + Span(1);
                world.ask(ids[at], Vec::new());
                let (session, rep) = world.offered();
                world.rep(rep, Command::Accept { session });
                world.rep(rep, Command::End { session });
            })
        });
    }
    group.finish();
}

/// F22: what one rep's coming costs in the worst cases.
fn worst(c: &mut Criterion) {
    let mut group = c.benchmark_group("worst");
    group.sample_size(10);
    for (name, skills) in [("one skill", 1), ("in 1,000 ways", 1000)] {
        let mut site = "[site]\nname = \"bench\"\n".to_owned();
        for skill in 0..=skills {
            let _ = writeln!(site, "[[skill]]\ncode = \"s{skill}\"");
        }
        site += &teams(1, "skills_least_busy");
        user(&mut site, 0, 0..1);
        let mut world = World::new(&site);
        let team = world.team("t0");
        let ids: Vec<SkillId> =
            (0..=skills).map(|skill| world.engine.state().site.codes.skills[&format!("s{skill}")]).collect();
        world.log_all_in();
        world.rep(UserId(1), Command::OptOut);
        for at in 0..WAITING {
            world.now = world.now + Span(1);
            world.ask(team, vec![ids[(at % skills) as usize]]);
        }
        group.bench_function(format!("F22 freed beside {WAITING} it may not have, {name}"), |b| {
            b.iter_custom(|times| {
                timed(
                    times,
                    &mut world,
                    |world| world.rep(UserId(1), Command::OptIn),
                    |world| world.rep(UserId(1), Command::OptOut),
                )
            })
        });
    }

    let mut site = format!("[site]\nname = \"bench\"\n{}", teams(TEAMS, "least_busy"));
    for rep in 0..1000 {
        user(&mut site, rep, 0..TEAMS);
    }
    let mut world = World::new(&site);
    world.log_all_in();
    world.act(Actor::System, Command::Logout { user: UserId(1) });
    group.bench_function("F22 login into 100 teams", |b| {
        b.iter_custom(|times| {
            timed(
                times,
                &mut world,
                |world| world.log_in(UserId(1)),
                |world| world.act(Actor::System, Command::Logout { user: UserId(1) }),
            )
        })
    });
    group.finish();
}

/// F17: one process with everything in it. `EQUIPOISE_BENCH=wanted` takes the larger sizes.
fn sizes(c: &mut Criterion) {
    let wanted = std::env::var("EQUIPOISE_BENCH").is_ok_and(|size| size == "wanted");
    let (waiting, reps, count): (u32, u32, u32) =
        if wanted { (1_000_000, 100_000, 50_000) } else { (100_000, 20_000, 10_000) };
    let mut site = "[site]\nname = \"bench\"\n".to_owned();
    for team in 0..count {
        let _ = writeln!(site, "[[team]]\ncode = \"t{team}\"\nalgorithm = \"least_busy\"\npersistent = true");
    }
    for rep in 0..reps {
        user(&mut site, rep, [rep % count, (rep * 7 + 1) % count].into_iter());
        site += "max_sessions = 1\n";
    }
    let before = resident_kib();
    let mut world = World::new(&site);
    drop(site);
    let of_site = resident_kib() - before;
    let users: Vec<UserId> = world.engine.state().site.users.keys().copied().collect();
    let before = resident_kib();
    for user in &users {
        world.log_in(*user);
        world.rep(*user, Command::OptOut);
    }
    let a_rep = (resident_kib() - before) * 1024 / u64::from(reps);
    let ids: Vec<TeamId> = (0..count).map(|team| world.team(&format!("t{team}"))).collect();
    let before = resident_kib();
    for at in 0..waiting {
        world.now = world.now + Span(1);
        world.ask(ids[at as usize % ids.len()], Vec::new());
    }
    let a_session = (resident_kib() - before) * 1024 / u64::from(waiting);
    eprintln!(
        "F17: {waiting} waiting, {reps} reps, {count} teams: {a_session} bytes a waiting session, {a_rep} bytes a rep \
         logged in, {of_site} KiB for the site"
    );
    let mut group = c.benchmark_group("sizes");
    group.throughput(Throughput::Elements(1));
    let mut at = 0;
    group.bench_function(
        format!("F17 ask, offer, accept, end beside {waiting} waiting, {reps} reps, {count} teams"),
        |b| {
            b.iter(|| {
                at = (at + 1) % users.len();
                let rep = users[at];
                world.now = world.now + Span(1);
                world.ask(ids[at % ids.len()], Vec::new());
                world.rep(rep, Command::OptIn);
                let (session, _) = world.offered();
                world.rep(rep, Command::Accept { session });
                world.rep(rep, Command::OptOut);
                world.rep(rep, Command::End { session });
            })
        },
    );
    group.finish();
}

/// Resident memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says how much memory is used");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it says what is resident");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}

/// A day of 100,000 customers on 500 reps in ten teams, one session each, four fifths busy.
fn day(c: &mut Criterion) {
    let mut group = c.benchmark_group("simulate");
    group.sample_size(10);
    let users: Vec<String> = (0..500)
        .map(|rep| {
            let team = rep % 10;
            format!(
                r#"{{"username":"r{rep}","teams":{{"t{team}":"member"}},"permissions":["support"],"max_sessions":1}}"#
            )
        })
        .collect();
    let teams: Vec<String> = (0..10).map(|team| format!(r#"{{"code":"t{team}","algorithm":"least_busy"}}"#)).collect();
    let arrivals: Vec<String> = (0..10)
        .map(|team| {
            format!(r#"{{"queue":"team:t{team}","rate_per_h":416.7,"handle_mean_s":345,"hours":24,"seed":{team}}}"#)
        })
        .collect();
    let staff: Vec<String> = (0..500).map(|rep| format!("\"r{rep}\"")).collect();
    let text = format!(
        r#"{{"site":{{"site":{{"name":"day"}},"team":[{}],"user":[{}]}},"arrivals":[{}],"staff":[{}]}}"#,
        teams.join(","),
        users.join(","),
        arrivals.join(","),
        staff.join(",")
    );
    group.bench_function("a day of 100,000 sessions on 500 reps", |b| {
        b.iter(|| {
            let scenario = Scenario::parse(&text, |_| Err("the site stands inline".to_owned())).expect("it is sound");
            let report = simulate::run(scenario, &mut |_| Ok::<_, ()>(())).expect("nothing stops it");
            assert!(report.total.answered > 95_000, "{}", report.total.answered);
        })
    });
    group.finish();
}

/// Times the act alone, not what undoes it.
fn timed(times: u64, world: &mut World, act: fn(&mut World), undo: fn(&mut World)) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..times {
        world.now = world.now + Span(1);
        let begun = Instant::now();
        act(world);
        spent += begun.elapsed();
        undo(world);
    }
    spent
}

// Memory is measured first: later it would be what others gave back.
criterion_group!(benches, sizes, roster, engine, worst, day);
criterion_main!(benches);
