//! Plays one history: each step becomes a request, what happens is checked, journaled, and now and then the broker
//! crashes and goes on from its journal.

use crate::{
    acts,
    check::{Checked, Checker, ensure},
    rare::Seen,
    world::{Act, Step, World},
};
use equipoise::{
    engine::{
        Actor, Command, Engine, Entry, Event, Outcome, Queue, Refusal, Request, Stamped, State, Turn, session::Stage,
    },
    ids::*,
    limits,
    site::Site,
    time::{Span, Time},
    wire::control::ClientInfo,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The engine time at which every history begins; what the wall clock says then is the season's.
const START: Time = Time(1_000_000);

pub struct History<'seen> {
    pub engine: Engine,
    pub checker: Checker,
    pub now: Time,
    seen: &'seen mut Seen,
    start: State,
    /// The journal's rows, as they would be stored.
    rows: Vec<Vec<u8>>,
    trace: Sha256,
    secrets: u64,
    pub resume: BTreeMap<Party, SecretHash>,
    /// Tokens that were replaced, to be shown again.
    pub used: Vec<SecretHash>,
    /// Keys that reps made and nobody used.
    pub keys: Vec<SecretHash>,
    /// Keys that were made for external reps.
    pub external_keys: Vec<SecretHash>,
    /// Tokens of buttons that reps made.
    pub buttons: Vec<SecretHash>,
    /// Of endpoints that stand by.
    pub item_keys: BTreeMap<JumpItemId, SecretHash>,
    /// Tokens in mails that were sent.
    pub mails: Vec<SecretHash>,
    /// The last request that was done under a number of its own, and its outcome.
    done: Option<(Request, Outcome)>,
    steps: u32,
}

impl<'seen> History<'seen> {
    /// Plays the world's steps, then lets everybody come back and finish, then lets every timer run out. Gives the hash
    /// of everything that happened.
    pub fn play(world: &World, seen: &'seen mut Seen) -> Result<[u8; 32], String> {
        let site = Site::from_text(&world.site, None).map_err(|problems| format!("{problems:?}"))?;
        let engine = Engine::new(site);
        let start = engine.state().clone();
        let mut history = Self {
            checker: Checker::new(start.clone()),
            engine,
            now: START,
            seen,
            start,
            rows: Vec::new(),
            trace: Sha256::new(),
            secrets: 0,
            resume: BTreeMap::new(),
            used: Vec::new(),
            keys: Vec::new(),
            external_keys: Vec::new(),
            buttons: Vec::new(),
            item_keys: BTreeMap::new(),
            mails: Vec::new(),
            done: None,
            steps: 0,
        };
        history.ask_for(Actor::System, Command::CivilTime { ms: world.season.begins_ms })?;
        for (number, step) in world.steps.iter().enumerate() {
            history.step(step).map_err(|problem| format!("step {number} {step:?}: {problem}"))?;
        }
        history.finish().map_err(|problem| format!("in the end: {problem}"))?;
        Ok(history.trace.finalize().into())
    }

    fn step(&mut self, step: &Step) -> Checked {
        self.now = self.now + Span(step.wait_ms);
        self.ask_for(Actor::System, Command::Tick)?;
        match step.act {
            Act::Crash => self.crash(step)?,
            Act::Repeat => self.repeat()?,
            _ => {
                if let Some((actor, command)) = acts::request(self, step) {
                    self.ask_for(actor, command)?;
                }
            }
        }
        self.checker.invariants(self.now)?;
        self.seen.state(&self.checker.state);
        self.steps += 1;
        if self.steps.is_multiple_of(16) { self.reload() } else { Ok(()) }
    }

    /// One request, its turn journaled; a refusal is an answer like any other.
    fn ask_for(&mut self, actor: Actor, command: Command) -> Checked {
        let numbered = matches!(actor, Actor::Party(_)) && self.secrets.is_multiple_of(2);
        let request = Request { actor, id: numbered.then_some(self.rows.len() as u64), command };
        let mut events = Vec::new();
        self.engine.advance(self.now, &mut events);
        let timers = events.len();
        let answer = self.engine.handle(self.now, &request, &mut events);
        // Who is gone cannot repeat anything, nor who signed in anew.
        let gone = |event: &Event| match (event, self.done.as_ref().map(|(request, _)| request.actor)) {
            (Event::LoggedOut { user, .. }, Some(Actor::Party(party))) => party == Party::Rep(*user),
            (Event::Attached { party: new, presented: None, .. }, Some(Actor::Party(party))) => party == *new,
            (Event::Ended { session, .. }, Some(Actor::Party(Party::Customer(of) | Party::External(of, _)))) => {
                of == *session
            }
            _ => false,
        };
        if events.iter().any(|stamped| gone(&stamped.event)) {
            self.done = None;
        }
        if matches!(events.last(), Some(Stamped { event: Event::Acted { .. }, .. }))
            && let Ok(outcome) = &answer
        {
            self.done = Some((request.clone(), outcome.clone()));
        }
        self.checker.follow(&events[..timers], self.seen)?;
        self.settled(&request, &answer, &events[timers..]).map_err(|problem| format!("{request:?}: {problem}"))?;
        let next = matches!(request.command, Command::GetNext).then(|| self.next_for(actor)).flatten();
        if let (Some(expected), Ok(outcome)) = (next, &answer) {
            self.seen.sometimes("got next");
            ensure(*outcome == Outcome::Session(expected), || format!("R7.2: {outcome:?}, the model says {expected}"))?;
        }
        self.checker.follow(&events[timers..], self.seen).map_err(|problem| format!("{request:?}: {problem}"))?;
        for stamped in &events {
            self.trace.update(rmp_serde::to_vec(stamped).map_err(|error| error.to_string())?);
        }
        let turn = Turn { requests: vec![(self.now, request)], events };
        self.rows.push(rmp_serde::to_vec_named(&turn).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn settled(&mut self, request: &Request, answer: &Result<Outcome, Refusal>, events: &[Stamped]) -> Checked {
        let moment = self.checker.moment(self.now);
        if let Command::Login { user, .. } = request.command {
            let refused = answer.as_ref().err().map(|refusal| refusal.reason);
            moment.judge_login(user, refused)?;
        }
        if let Err(refusal) = answer {
            self.seen.refused(moment, request, refusal.reason);
            return ensure(events.is_empty(), || format!("refused, and yet: {events:?}"));
        }
        self.seen.done(&request.command);
        Ok(())
    }

    fn next_for(&self, actor: Actor) -> Option<SessionId> {
        let Actor::Party(Party::Rep(rep)) = actor else { return None };
        let next = self.checker.moment(self.now).next_for(rep)?;
        // Who takes a request for help is in the session it is for.
        Some(self.checker.shadow.people.helps.get(&next).copied().unwrap_or(next))
    }

    /// W3.5: the same request again has the same outcome, and nothing more comes of it.
    fn repeat(&mut self) -> Checked {
        let Some((request, outcome)) = self.done.take() else { return Ok(()) };
        self.seen.sometimes("repeated");
        let mut events = Vec::new();
        let answer = self.engine.handle(self.now, &request, &mut events);
        ensure(answer == Ok(outcome), || format!("W3.5: {request:?} again gave {answer:?}"))?;
        ensure(events.is_empty(), || format!("W3.5: {request:?} again made {events:?}"))
    }

    /// The broker dies and goes on from its journal; now and then with a turn decided that never became durable.
    fn crash(&mut self, step: &Step) -> Checked {
        self.seen.sometimes("crash");
        if step.dice.is_multiple_of(2)
            && let Some((actor, command)) = acts::request(self, &Step { act: Act::Ask, ..step.clone() })
        {
            self.seen.sometimes("a turn was lost in a crash");
            let request = Request { actor, id: None, command };
            let _ = self.engine.handle(self.now, &request, &mut Vec::new());
        }
        let mut state = self.start.clone();
        for row in &self.rows {
            let turn: Turn = rmp_serde::from_slice(row).map_err(|error| error.to_string())?;
            for stamped in &turn.events {
                Engine::apply(&mut state, stamped);
            }
        }
        ensure(state == self.checker.state, || "I8: the journal's rows do not fold to the state".to_owned())?;
        self.engine = Engine::from_state(state);
        self.done = None;
        self.ask_for(Actor::System, Command::LoseConnections)
    }

    /// A snapshot and a reload give the same state, the same timers, and nothing to do.
    fn reload(&mut self) -> Checked {
        ensure(self.checker.state == *self.engine.state(), || {
            "I8: the fold of the events is not the state".to_owned()
        })?;
        let bytes = rmp_serde::to_vec_named(&self.checker.state).map_err(|error| error.to_string())?;
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

    fn finish(&mut self) -> Checked {
        self.drain()?;
        // Everybody goes home: an offer that nobody ever answers would be made again for all that time.
        let users: Vec<UserId> = self.checker.state.consoles.keys().copied().collect();
        for user in users {
            self.ask_for(Actor::System, Command::LoseForGood { user })?;
        }
        self.checker.invariants(self.now)?;
        // Beyond what is held and what is kept of jobs.
        self.now = self.now + Span::days(15) + limits::JOB_KEPT;
        self.ask_for(Actor::System, Command::Tick)?;
        self.checker.invariants(self.now)?;
        self.reload()?;
        self.decide_again()
    }

    /// I-Q12: without faults, with everybody back and finishing, what waits for an algorithm is served in as many rounds
    /// as there are sessions, as far as anybody may be offered it.
    fn drain(&mut self) -> Checked {
        let users: Vec<UserId> = self.checker.state.site.users.keys().copied().collect();
        for user in users {
            let resume = self.secret(Some(Party::Rep(user)));
            self.ask_for(Actor::System, Command::Login { user, version: 0, resume, client: ClientInfo::default() })?;
            for command in [Command::OptIn, Command::Active, Command::Status { code: "available".to_owned() }] {
                self.ask_for(Actor::Party(Party::Rep(user)), command)?;
            }
        }
        let rounds = 2 * self.checker.state.sessions.len() + 2;
        for _ in 0..rounds {
            let state = &self.checker.state;
            let offers: Vec<(UserId, SessionId)> =
                state.consoles.iter().filter_map(|(user, console)| Some((*user, console.offer?))).collect();
            let active = |session: &&equipoise::engine::Session| matches!(session.stage, Stage::Active { .. });
            let served: Vec<SessionId> = state.sessions.values().filter(active).map(|it| it.id).collect();
            if offers.is_empty() && served.is_empty() {
                return Ok(());
            }
            for session in served {
                self.ask_for(Actor::System, Command::End { session })?;
            }
            for (rep, session) in offers {
                self.ask_for(Actor::Party(Party::Rep(rep)), Command::Accept { session })?;
            }
            self.checker.invariants(self.now)?;
        }
        let state = &self.checker.state;
        let offers: Vec<_> = state.consoles.iter().filter_map(|(user, console)| Some((user, console.offer?))).collect();
        ensure(offers.is_empty(), || {
            let refused: Vec<_> = offers
                .iter()
                .map(|(rep, session)| {
                    let command = Command::Accept { session: *session };
                    let request = Request { actor: Actor::Party(Party::Rep(**rep)), id: None, command };
                    self.engine.clone().handle(self.now, &request, &mut Vec::new())
                })
                .collect();
            format!("I-Q12: {offers:?} are on offer still after {rounds} rounds: {refused:?}")
        })
    }

    /// I8: the journal's requests, decided again, give the journal's events.
    fn decide_again(&self) -> Checked {
        let mut engine = Engine::from_state(self.start.clone());
        for (number, row) in self.rows.iter().enumerate() {
            let turn: Turn = rmp_serde::from_slice(row).map_err(|error| error.to_string())?;
            let mut events = Vec::new();
            for (now, request) in &turn.requests {
                let _ = engine.handle(*now, request, &mut events);
            }
            ensure(events == turn.events, || {
                format!("I8: row {number} decided again gives {events:?}\nand not {:?}", turn.events)
            })?;
        }
        Ok(())
    }

    /// A secret that was never given out; kept as the party's token if it has one.
    pub fn secret(&mut self, of: Option<Party>) -> SecretHash {
        self.secrets += 1;
        let secret = SecretHash::of(&self.secrets.to_be_bytes());
        if let Some(party) = of
            && let Some(old) = self.resume.insert(party, secret)
        {
            self.used.push(old);
        }
        secret
    }

    pub fn state(&self) -> &State {
        &self.checker.state
    }

    pub fn queue(&self, step: &Step, other: UserId) -> Queue {
        match self.state().site.codes.teams.get(&format!("t{}", step.team)) {
            Some(team) if !step.dice.is_multiple_of(5) => Queue::Team(*team),
            _ => Queue::Personal(other),
        }
    }

    pub fn portal(&self, step: &Step) -> Option<PortalId> {
        self.state().site.codes.portals.get("p0").copied().filter(|_| step.dice.is_multiple_of(3))
    }

    pub fn issue(&self) -> Option<Entry> {
        self.state().site.codes.issues.get("i0").map(|issue| Entry::Issue(*issue))
    }
}
