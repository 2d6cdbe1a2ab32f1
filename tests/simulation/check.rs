//! Plays a history and checks every event against the model, and the invariants after every step.

use crate::{
    model,
    world::{Act, Step},
};
use equipoise::{
    engine::{
        Actor, Command, Engine, Entry, Event, Outcome, Queue, Request, Stamped, State,
        command::{Ask, Customer},
        event::{EndReason, MoveRule},
        session::Stage,
    },
    ids::*,
    site::{SessionKind, Site, raw::RawSite},
    time::{Span, Time},
    wire::control::ClientInfo,
};
use std::collections::{BTreeMap, BTreeSet};

/// What should come about now and then, and how often it did: a simulation that never gets there proves nothing.
#[derive(Default)]
pub struct Seen(BTreeMap<&'static str, u64>);

const SOMETIMES: &[&str] = &[
    "offered by skill",
    "relaxed",
    "rejected",
    "timed out",
    "withdrawn",
    "moved overdue",
    "fell back to the last queue",
    "fell back to the first queue",
    "fell back to the designated queue",
    "heir",
    "took over",
    "orphaned",
    "wait timeout",
    "left the queue",
    "joined",
    "held",
    "marked overdue",
    "became ready",
    "idle limit",
    "restart",
    "site edited",
    "refused",
    "got next",
    "jumped",
];

impl Seen {
    fn sometimes(&mut self, name: &'static str) {
        assert!(SOMETIMES.contains(&name), "`{name}` is not in the list");
        *self.0.entry(name).or_default() += 1;
    }

    pub fn assert_all(&self) {
        let never: Vec<_> = SOMETIMES.iter().filter(|name| !self.0.contains_key(*name)).collect();
        assert!(never.is_empty(), "never seen: {never:?}");
    }
}

pub struct Run<'seen> {
    engine: Engine,
    /// The fold of the events, one by one: what the model looks at.
    state: State,
    now: Time,
    seen: &'seen mut Seen,
    tokens: u64,
    resume: BTreeMap<Party, SecretHash>,
    begun: BTreeSet<SessionId>,
    ended: BTreeSet<SessionId>,
    steps: u32,
}

type Checked = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

impl<'seen> Run<'seen> {
    pub fn new(site: &str, seen: &'seen mut Seen) -> Self {
        let site = Site::from_text(site, None).unwrap_or_else(|problems| panic!("{problems:?}\n{site}"));
        let engine = Engine::new(site);
        Self {
            state: engine.state().clone(),
            engine,
            now: Time(1_000_000),
            seen,
            tokens: 0,
            resume: BTreeMap::new(),
            begun: BTreeSet::new(),
            ended: BTreeSet::new(),
            steps: 0,
        }
    }

    pub fn step(&mut self, step: &Step) -> Checked {
        self.now = self.now + Span(step.wait_ms);
        let mut out = Vec::new();
        self.engine.advance(self.now, &mut out);
        self.follow(out)?;
        if let Some((actor, command)) = self.command(step) {
            self.request(actor, command)?;
        }
        self.invariants()?;
        self.steps += 1;
        if self.steps.is_multiple_of(16) { self.reload() } else { Ok(()) }
    }

    /// Nothing goes on for a day: every timer runs out and the state is the one a reload gives.
    pub fn finish(&mut self) -> Checked {
        self.now = self.now + Span::minutes(24 * 60);
        let mut out = Vec::new();
        self.engine.advance(self.now, &mut out);
        self.follow(out)?;
        self.invariants()?;
        self.reload()
    }

    fn request(&mut self, actor: Actor, command: Command) -> Checked {
        let get_next = matches!(command, Command::GetNext);
        let mut out = Vec::new();
        let request = Request { actor, id: None, command };
        let answer = self.engine.handle(self.now, &request, &mut out);
        match &answer {
            Err(_) => {
                self.seen.sometimes("refused");
                ensure(out.is_empty(), || format!("refused, and yet: {out:?}"))?;
            }
            Ok(Outcome::Session(_)) if get_next => self.seen.sometimes("got next"),
            Ok(_) => {}
        }
        self.follow(out).map_err(|problem| format!("{request:?}: {problem}"))
    }

    /// Applies what happened one by one, each first checked against what the rules say at that moment.
    fn follow(&mut self, out: Vec<Stamped>) -> Checked {
        let mut avoid: BTreeMap<SessionId, UserId> = BTreeMap::new();
        for stamped in out {
            if stamped.at > self.state.now {
                avoid.clear();
            }
            self.judge(stamped.at, &stamped.event, &mut avoid)?;
            self.note(&stamped.event);
            Engine::apply(&mut self.state, &stamped);
        }
        Ok(())
    }

    fn judge(&mut self, at: Time, event: &Event, avoid: &mut BTreeMap<SessionId, UserId>) -> Checked {
        let state = &self.state;
        ensure(at >= state.now, || format!("time went back: {event:?}"))?;
        match event {
            Event::Asked { session, .. } => {
                ensure(self.begun.insert(*session), || format!("I-Q4: {session} was asked before"))?;
            }
            Event::Ended { session, .. } => {
                ensure(state.sessions.contains_key(session), || format!("I3: {session} ended twice"))?;
                self.ended.insert(*session);
            }
            Event::OfferTimeout { session, rep } if !state.site.options.offer_timeout_is_rejection => {
                avoid.insert(*session, *rep);
            }
            Event::Offered { session, rep, .. } => {
                let choice = |id: &SessionId| model::choice(state, &state.sessions[id], at, avoid.get(id).copied());
                ensure(choice(session) == Some(*rep), || {
                    format!("R4: {session} was offered to {rep} at {at:?}, the model says {:?}", choice(session))
                })?;
                let first = state
                    .sessions
                    .values()
                    .filter(|it| choice(&it.id).is_some())
                    .min_by_key(|it| model::urgency(&state.site, it))
                    .map(|it| it.id);
                ensure(first == Some(*session), || format!("R5.6, I5: {session} was offered before {first:?}"))?;
            }
            Event::Accepted { session, rep, .. } => {
                let cap = state.site.options.max_active_sessions as usize;
                ensure(cap == 0 || model::busy(state, *rep) < cap, || format!("hard cap: {rep} took {session}"))?;
            }
            Event::Moved { session, to, rule, .. } => {
                ensure(model::available(state, *to), || format!("R8.3: {session} moved to {to:?}, which is closed"))?;
                let been = state.sessions[session].been_in.contains(to);
                ensure(*rule != MoveRule::Overdue || !been, || format!("R6.2, I6: {session} came back to {to:?}"))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn note(&mut self, event: &Event) {
        let name = match event {
            Event::Offered { session, .. } if !self.state.sessions[session].skills.is_empty() => "offered by skill",
            Event::Relaxed { .. } => "relaxed",
            Event::Rejected { .. } => "rejected",
            Event::OfferTimeout { .. } => "timed out",
            Event::OfferWithdrawn { .. } => "withdrawn",
            Event::Moved { rule: MoveRule::Overdue, .. } => "moved overdue",
            Event::Moved { rule: MoveRule::Fallback2, .. } => "fell back to the last queue",
            Event::Moved { rule: MoveRule::Fallback3, .. } => "fell back to the first queue",
            Event::Moved { rule: MoveRule::Fallback4, .. } => "fell back to the designated queue",
            Event::OwnerChanged { rule: equipoise::engine::event::OwnerRule::Fallback1, .. } => "heir",
            Event::OwnerChanged { .. } => "took over",
            Event::Ended { reason: EndReason::Orphaned, .. } => "orphaned",
            Event::Ended { reason: EndReason::WaitTimeout, .. } => "wait timeout",
            Event::Ended { reason: EndReason::LeftQueue, .. } => "left the queue",
            Event::Joined { .. } => "joined",
            Event::Held { .. } => "held",
            Event::Overdue { .. } => "marked overdue",
            Event::BecameReady { .. } => "became ready",
            Event::ReachedIdleLimit { .. } => "idle limit",
            Event::ConnectionsLost => "restart",
            Event::SiteApplied { .. } => "site edited",
            Event::Accepted { how: equipoise::engine::event::AcceptedHow::Jump, .. } => "jumped",
            _ => return,
        };
        self.seen.sometimes(name);
    }

    fn invariants(&mut self) -> Checked {
        let state = &self.state;
        let alive: BTreeSet<SessionId> = state.sessions.keys().copied().collect();
        let expected: BTreeSet<SessionId> = self.begun.difference(&self.ended).copied().collect();
        ensure(alive == expected, || format!("I3: alive {alive:?}, expected {expected:?}"))?;
        for session in state.sessions.values() {
            let owners = session
                .participants
                .iter()
                .filter(|it| it.role == equipoise::engine::session::Role::Owner)
                .map(|it| it.party)
                .collect::<Vec<_>>();
            let expected: Vec<Party> = session.owner().into_iter().map(Party::Rep).collect();
            ensure(owners == expected, || format!("I1: {} is owned by {owners:?}", session.id))?;
            ensure(session.waiting().is_none() || session.reps().next().is_none(), || {
                format!("I-Q1: {} waits with reps in it", session.id)
            })?;
            if let Stage::Active { owner, .. } = session.stage {
                ensure(state.consoles.contains_key(&owner), || format!("R8.1: {}'s owner is gone", session.id))?;
            }
            if let Some(waiting) = session.waiting() {
                ensure(model::available(state, waiting.queue), || {
                    format!("R8.5: {} waits in {:?}, which is closed", session.id, waiting.queue)
                })?;
                let choice = model::choice(state, session, self.now, None);
                ensure(choice.is_none(), || format!("I4: {} waits though {choice:?} is eligible", session.id))?;
            }
        }
        for (rep, console) in &state.consoles {
            let busy = model::busy(state, *rep);
            ensure(console.sessions as usize == busy, || format!("I9: {rep} counts {} of {busy}", console.sessions))?;
            let offers: Vec<SessionId> =
                state.sessions.values().filter(|it| model::offered(it) == Some(*rep)).map(|it| it.id).collect();
            ensure(offers == Vec::from_iter(console.offer), || format!("I1: {rep} is offered {offers:?}"))?;
        }
        let seats = state.site.seats as usize;
        ensure(seats == 0 || state.consoles.len() <= seats, || "I7: more consoles than seats".to_owned())
    }

    /// A snapshot and a reload give the same state, the same timers, and nothing to do.
    fn reload(&mut self) -> Checked {
        ensure(self.state == *self.engine.state(), || "I8: the fold of the events is not the state".to_owned())?;
        let bytes = rmp_serde::to_vec_named(&self.state).map_err(|error| error.to_string())?;
        let state: State = rmp_serde::from_slice(&bytes).map_err(|error| error.to_string())?;
        let mut engine = Engine::from_state(state);
        ensure(engine.state() == self.engine.state(), || "I8: a reload changed the state".to_owned())?;
        let (kept, made) = (self.engine.next_deadline(), engine.next_deadline());
        ensure(kept == made, || format!("I8: a reload changed the timers from {kept:?} to {made:?}"))?;
        let mut out = Vec::new();
        let tick = Request { actor: Actor::System, id: None, command: Command::Tick };
        engine.handle(self.now, &tick, &mut out).map_err(|refusal| refusal.to_string())?;
        ensure(out.is_empty(), || format!("I8: a reload had something to do: {out:?}"))?;
        self.engine = engine;
        Ok(())
    }

    fn token(&mut self, party: Party) -> SecretHash {
        self.tokens += 1;
        let token = SecretHash::of(&self.tokens.to_be_bytes());
        self.resume.insert(party, token);
        token
    }

    /// The step's act with ids of what is there; none where there is nothing to do it to.
    fn command(&mut self, step: &Step) -> Option<(Actor, Command)> {
        let user = *self.state.site.codes.users.get(&format!("r{}", step.rep))?;
        let other = *self.state.site.codes.users.get(&format!("r{}", step.other))?;
        let team = self.state.site.codes.teams.get(&format!("t{}", step.team)).copied();
        let alive: Vec<SessionId> = self.state.sessions.keys().copied().collect();
        let session = if alive.is_empty() { None } else { Some(alive[step.session % alive.len()]) };
        let customer = session.map(Party::Customer);
        let queue = match team.filter(|_| !step.dice.is_multiple_of(5)) {
            Some(team) => Queue::Team(team),
            None => Queue::Personal(other),
        };
        let mut actor = Actor::Party(Party::Rep(user));
        let by_broker = Actor::System;
        // Whose turn it is, most of the time: otherwise hardly an act would be allowed.
        let helpful = !step.dice.is_multiple_of(4);
        let command = match step.act {
            Act::Wait => Command::Tick,
            Act::Login => {
                actor = by_broker;
                let client = ClientInfo::default();
                Command::Login { user, version: 0, resume: self.token(Party::Rep(user)), client }
            }
            Act::Logout => Command::Logout { user },
            Act::Lost => {
                actor = by_broker;
                let party = Party::Rep(user);
                Command::Lost { party, epoch: self.state.parties.get(party)?.epoch }
            }
            Act::Back => return self.back(Party::Rep(user)),
            Act::LoseForGood => {
                actor = by_broker;
                Command::LoseForGood { user }
            }
            Act::OptOut => Command::OptOut,
            Act::OptIn => Command::OptIn,
            Act::Status => {
                let code = ["available", "available", "away", "busy", "nonsense"][(step.dice % 5) as usize];
                Command::Status { code: code.to_owned() }
            }
            Act::Idle => Command::Idle { since: self.now - Span(step.dice % 300_000) },
            Act::Active => Command::Active,
            Act::Ask => {
                actor = by_broker;
                Command::Ask(self.ask(step, queue, other))
            }
            Act::Jump => Command::Jump { item: self.state.site.codes.jump_items["j0"], join: None },
            Act::CustomerCome => {
                actor = by_broker;
                let session = session?;
                let key = self.state.sessions[&session].ask.join?;
                let resume = self.token(customer?);
                Command::Redeem { key, portal: None, customer: Customer::default(), resume }
            }
            Act::CustomerLost => {
                actor = by_broker;
                Command::Lost { party: customer?, epoch: self.state.parties.get(customer?)?.epoch }
            }
            Act::CustomerBack => return self.back(customer?),
            Act::Accept | Act::Reject => {
                let offered = session.and_then(|id| model::offered(&self.state.sessions[&id]));
                let any = self.state.sessions.values().find_map(|it| Some((it.id, model::offered(it)?)));
                let mut session = session?;
                if let (true, Some((id, rep))) = (helpful, offered.map(|rep| (session, rep)).or(any)) {
                    session = id;
                    actor = Actor::Party(Party::Rep(rep));
                }
                if step.act == Act::Accept { Command::Accept { session } } else { Command::Reject { session } }
            }
            Act::Take => Command::Take { session: session? },
            Act::GetNext => Command::GetNext,
            Act::Join => Command::Join { session: session? },
            Act::TakeOver => Command::TakeOver { session: session? },
            Act::Transfer | Act::Share | Act::Depart | Act::Hold | Act::Resume | Act::End => {
                let session = session?;
                if let Some(owner) = self.state.sessions[&session].owner().filter(|_| helpful) {
                    actor = Actor::Party(Party::Rep(owner));
                }
                match step.act {
                    Act::Transfer => Command::Transfer { session, to: queue },
                    Act::Share => Command::Share { session, to: queue, mail: None },
                    Act::Depart => Command::Depart { session },
                    Act::Hold => Command::Hold { session },
                    Act::Resume => Command::Resume { session },
                    _ => Command::End { session },
                }
            }
            Act::Leave => {
                actor = Actor::Party(customer?);
                Command::End { session: session? }
            }
            Act::Restart => {
                actor = by_broker;
                Command::LoseConnections
            }
            Act::Disable if step.dice.is_multiple_of(3) => {
                actor = by_broker;
                Command::DisableUser { user }
            }
            Act::DeleteTeam if step.dice.is_multiple_of(3) => {
                actor = by_broker;
                Command::DeleteTeam { team: team? }
            }
            Act::Disable | Act::DeleteTeam => return None,
            Act::EditSite => {
                actor = by_broker;
                Command::ApplySite(Box::new(self.edited(step)))
            }
        };
        Some((actor, command))
    }

    fn back(&mut self, party: Party) -> Option<(Actor, Command)> {
        let presented = *self.resume.get(&party)?;
        let resume = self.token(party);
        Some((Actor::System, Command::Reattach { presented, resume }))
    }

    fn ask(&self, step: &Step, queue: Queue, other: UserId) -> Ask {
        let mut dice = step.dice;
        let mut roll = |sides: u64| {
            dice /= 7;
            dice % sides
        };
        let site = &self.state.site;
        let entry = match site.codes.issues.get("i0").filter(|_| roll(6) == 0) {
            Some(issue) => Entry::Issue(*issue),
            None => Entry::Queue(queue),
        };
        let skills: Vec<SkillId> = site.skills.keys().copied().filter(|_| roll(3) == 0).take(3).collect();
        let join = (roll(2) == 0).then(|| SecretHash::of(format!("join {}", self.state.next_session).as_bytes()));
        Ask {
            entry,
            kind: if roll(8) == 0 { SessionKind::RepToRep } else { SessionKind::Support },
            portal: site.codes.portals.get("p0").copied().filter(|_| roll(3) == 0),
            skills: if roll(2) == 0 { skills } else { Vec::new() },
            priority: (roll(2) == 0).then(|| [10, 50, 90][roll(3) as usize]),
            relax_after: (roll(3) == 0).then(|| Span::seconds(5)),
            preferred: (roll(4) == 0).then(|| (other, Span::seconds(15))),
            customer: Customer::default(),
            join,
            helps: None,
            item: None,
        }
    }

    fn edited(&self, step: &Step) -> RawSite {
        let mut raw = self.state.site.raw.clone();
        let rep = step.rep % raw.user.len().max(1);
        let user = &mut raw.user[rep];
        match step.dice % 5 {
            0 => user.skills = vec![format!("s{}", step.other)],
            1 => user.max_sessions = 1 + (step.dice / 5 % 3) as u32,
            2 => {
                if user.teams.remove(&format!("t{}", step.team)).is_none() {
                    user.teams.insert(format!("t{}", step.team), "member".to_owned());
                }
            }
            3 => raw.options.offer_timeout_is_rejection ^= true,
            _ => {
                let team = step.team % raw.team.len().max(1);
                if let Some(team) = raw.team.get_mut(team) {
                    team.persistent ^= true;
                }
            }
        }
        raw
    }
}
