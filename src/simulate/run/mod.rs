//! One run: virtual time goes from one thing that is due to the next. At one instant the engine's timers come first,
//! then what happens by itself (answers, ends, arrivals, shifts), then steps in the order of the file.

mod arriving;
mod counting;

use super::{
    foresight::Foresight,
    line::{Happening, Line, Refused},
    names::Names,
    report::{Report, Tally},
    scenario::{Auto, Plan, Scenario, Step},
    steps,
};
use crate::{
    engine::{Actor, Command, Engine, Event, Outcome, Queue, Reason, Request, Stamped, command::Ask},
    ids::*,
    site::{Site, TwoFactor},
    time::{Span, Time},
    wire::control::ClientInfo,
};
use arriving::Source;
use counting::Guest;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
};

/// Runs a scenario to its end. Every line goes to `tell` as it happens; its error ends the run.
pub fn run<E>(scenario: Scenario, tell: &mut impl FnMut(Line) -> Result<(), E>) -> Result<Report, E> {
    let mut run = Run::new(&scenario);
    match scenario.plan {
        Plan::Steps { steps, until } => run.steps(steps, until, tell)?,
        Plan::Arrivals { arrivals, staff } => run.arrivals(arrivals, &staff, tell)?,
    }
    Ok(run.report(scenario.target))
}

pub(super) struct Run {
    pub engine: Engine,
    pub names: Names,
    pub now: Time,
    auto: Auto,
    due: BinaryHeap<Reverse<(Time, u64, Act)>>,
    acts: u64,
    sources: Vec<Source>,
    guests: HashMap<SessionId, Guest>,
    tallies: BTreeMap<Queue, Tally>,
    total: Tally,
    /// Sessions being handled, and places of the reps logged in, by queue; in total under none.
    active: HashMap<Option<Queue>, u64>,
    places: HashMap<Option<Queue>, u64>,
    /// Figures over time are of the time until here.
    horizon: Time,
    lines: Vec<Line>,
    foresight: Foresight,
}

/// What happens by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Act {
    Accept { session: SessionId, rep: UserId },
    End { session: SessionId, turn: u32 },
    Leave(SessionId),
    Arrive(usize),
    Login(UserId),
    Logout(UserId),
}

/// Who was placed in a queue by this event, and when.
fn began_to_wait(stamped: &Stamped) -> Option<(Time, SessionId)> {
    match stamped.event {
        Event::Queued { session, .. } => Some((stamped.at, session)),
        _ => None,
    }
}

/// A scenario's reps have nothing to prove: no second factor, no client that may be too old, no password to show again
/// at a shared seat.
fn without_proofs(mut site: Site) -> Site {
    site.options.two_factor = TwoFactor::default();
    site.users.values_mut().for_each(|user| user.two_factor = false);
    site.pools.values_mut().for_each(|pool| pool.reauthenticate_after = Span::ZERO);
    site
}

impl Run {
    fn new(scenario: &Scenario) -> Self {
        let mut run = Self {
            engine: Engine::new(without_proofs(scenario.site.clone())),
            names: Names::new(&scenario.site),
            now: Time(0),
            auto: scenario.auto,
            due: BinaryHeap::new(),
            acts: 0,
            sources: Vec::new(),
            guests: HashMap::new(),
            tallies: BTreeMap::new(),
            total: Tally::default(),
            active: HashMap::new(),
            places: HashMap::new(),
            horizon: scenario.horizon(),
            lines: Vec::new(),
            foresight: Foresight::default(),
        };
        let _ = run.ask_engine(Actor::System, Command::CivilTime { ms: scenario.start_ms });
        run
    }

    fn steps<E>(
        &mut self,
        steps: Vec<Step>,
        until: Time,
        tell: &mut impl FnMut(Line) -> Result<(), E>,
    ) -> Result<(), E> {
        let queues: Vec<Queue> =
            steps.iter().filter_map(|step| step.queue.as_deref()).filter_map(|it| self.names.first_queue(it)).collect();
        self.total = Tally::over(until);
        for queue in queues {
            self.tallies.entry(queue).or_insert_with(|| Tally::over(until));
        }
        let mut steps = steps.into_iter().peekable();
        loop {
            let step = steps.peek().map(|step| step.at);
            let Some(at) = [step, self.next_due()].into_iter().flatten().min().filter(|at| *at <= until) else { break };
            self.go_to(at);
            self.what_is_due();
            while let Some(step) = steps.next_if(|step| step.at <= at) {
                steps::take(self, &step);
                self.what_is_due();
            }
            self.tell_lines(tell)?;
        }
        self.go_to(until);
        self.tell_lines(tell)
    }

    fn next_due(&self) -> Option<Time> {
        let act = self.due.peek().map(|Reverse((at, ..))| *at);
        [act, self.engine.next_deadline()].into_iter().flatten().min().map(|at| at.max(self.now))
    }

    /// Time passes; the engine's timers fire.
    fn go_to(&mut self, at: Time) {
        let (from, to) = (self.now, at.min(self.horizon));
        if from < to {
            let state = self.engine.state();
            let mut all = 0;
            for (queue, tally) in &mut self.tallies {
                let waiting = state.waiting_in(*queue).len() as u64;
                let of = |map: &HashMap<Option<Queue>, u64>| map.get(&Some(*queue)).copied().unwrap_or(0);
                tally.pass(from, to, of(&self.active), of(&self.places), waiting);
                all += waiting;
            }
            let of = |map: &HashMap<Option<Queue>, u64>| map.get(&None).copied().unwrap_or(0);
            self.total.pass(from, to, of(&self.active), of(&self.places), all);
        }
        self.now = at;
        let mut events = Vec::new();
        self.engine.advance(at, &mut events);
        self.absorb(events);
    }

    /// Everything set for this instant, and what it sets for the same instant.
    fn what_is_due(&mut self) {
        while let Some(Reverse((at, _, act))) = self.due.peek().copied()
            && at <= self.now
        {
            self.due.pop();
            self.act(act);
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Accept { session, rep } => {
                let state = self.engine.state();
                let offer = state.session(session).and_then(|it| it.waiting()?.offer.as_ref());
                if offer.is_some_and(|offer| offer.rep == rep && offer.since + self.answer_after() <= self.now) {
                    let refused = self.ask_engine(Actor::Party(Party::Rep(rep)), Command::Accept { session });
                    self.refused("accept", refused.err(), |it, names| {
                        it.rep = Some(names.rep(rep));
                        it.session = Some(names.session(session));
                    });
                }
            }
            Act::End { session, turn } => {
                let owner = self.engine.state().session(session).and_then(|it| it.owner());
                let current = self.guests.get(&session).is_some_and(|guest| guest.turn == turn);
                if let Some(owner) = owner.filter(|_| current) {
                    let refused = self.ask_engine(Actor::Party(Party::Rep(owner)), Command::End { session });
                    self.refused("end", refused.err(), |it, names| {
                        it.by = Some("rep".to_owned());
                        it.session = Some(names.session(session));
                    });
                }
            }
            Act::Leave(session) => {
                let waits = self.engine.state().session(session).is_some_and(|it| it.waiting().is_some());
                if waits && self.guests.get(&session).is_some_and(|guest| !guest.answered) {
                    let _ = self.ask_engine(Actor::Party(Party::Customer(session)), Command::End { session });
                }
            }
            Act::Arrive(source) => self.arrive(source),
            Act::Login(user) => {
                let refused = self.log_in(user);
                self.refused("login", refused.err(), |it, names| it.rep = Some(names.rep(user)));
            }
            Act::Logout(user) => {
                let refused = self.ask_engine(Actor::System, Command::Logout { user });
                self.refused("logout", refused.err(), |it, names| it.rep = Some(names.rep(user)));
            }
        }
    }

    /// A customer asks; counts where it is known what for.
    pub(super) fn ask(&mut self, name: String, ask: Ask, queue: Option<Queue>) -> Result<SessionId, Reason> {
        let session = SessionId(self.engine.state().next_session);
        self.names.label(session, name);
        self.guests.insert(session, Guest::new(self.now, queue, self.auto.handle));
        let asked = self.ask_engine(Actor::System, Command::Ask(ask));
        for tally in queue.and_then(|queue| self.tallies.get_mut(&queue)).into_iter().chain([&mut self.total]) {
            tally.arrived += 1;
            tally.refused += u64::from(asked.is_err());
        }
        if asked.is_err() {
            self.names.forget(session);
            self.guests.remove(&session);
        }
        asked.map(|_| session)
    }

    pub(super) fn log_in(&mut self, user: UserId) -> Result<Outcome, Reason> {
        let resume = SecretHash::of(&user.0.to_be_bytes());
        self.ask_engine(Actor::System, Command::Login { user, version: 0, resume, client: ClientInfo::default() })
    }

    pub(super) fn ask_engine(&mut self, actor: Actor, command: Command) -> Result<Outcome, Reason> {
        let mut events = Vec::new();
        let answer = self.engine.handle(self.now, &Request { actor, id: None, command }, &mut events);
        self.absorb(events);
        answer.map_err(|refusal| refusal.reason)
    }

    /// A refused act is a line; one that was done is none.
    pub(super) fn refused(&mut self, verb: &str, reason: Option<Reason>, more: impl FnOnce(&mut Refused, &Names)) {
        let Some(reason) = reason else { return };
        let mut refused = Refused { verb: verb.to_owned(), reason: reason.name().to_owned(), ..Refused::default() };
        more(&mut refused, &self.names);
        self.lines.push(Line { at: self.now, happening: Happening::Refused(refused) });
    }

    fn plan(&mut self, at: Time, act: Act) {
        self.acts += 1;
        self.due.push(Reverse((at, self.acts, act)));
    }

    fn answer_after(&self) -> Span {
        self.auto.answer_after.unwrap_or_default()
    }

    fn tell_lines<E>(&mut self, tell: &mut impl FnMut(Line) -> Result<(), E>) -> Result<(), E> {
        self.lines.drain(..).try_for_each(tell)
    }

    /// What follows from what happened: lines, figures, and what comes by itself.
    fn absorb(&mut self, events: Vec<Stamped>) {
        let queued: Vec<(Time, SessionId)> = events.iter().filter_map(began_to_wait).collect();
        for Stamped { at, event } in events {
            if let Some(happening) = self.names.happening(&event) {
                self.lines.push(Line { at, happening });
            }
            self.count(at, &event);
            if let Event::Offered { session, rep, .. } = event
                && (self.auto.answer_after.is_some() || !self.sources.is_empty())
            {
                self.plan(at + self.answer_after(), Act::Accept { session, rep });
            }
        }
        if !self.sources.is_empty() {
            queued.into_iter().for_each(|(at, session)| self.foresight.queued(at, self.engine.state(), session));
        }
    }

    fn report(self, target: Span) -> Report {
        let names = &self.names;
        let queues =
            self.tallies.into_iter().map(|(queue, tally)| (names.address(queue), tally.figures(target))).collect();
        Report { queues, total: self.total.figures(target), estimate: self.foresight.foresaw() }
    }
}
