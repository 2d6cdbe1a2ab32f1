//! Checks every event against the model as it happens, and the invariants after every step.

use crate::{
    calendar,
    jobs::Jobs,
    model::{self, Moment},
    rare::Seen,
    shadow::Shadow,
};
use equipoise::{
    engine::{
        Event, Queue, Record, Session, Stamped, State,
        event::{EndReason, LogoutReason, MoveRule, OwnerRule},
        session::{Role, Stage},
    },
    ids::*,
    limits,
    time::Time,
};
use std::collections::{BTreeMap, BTreeSet};

pub type Checked = Result<(), String>;

pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

/// The fold of the events, one by one, and what the checker remembers beside it.
pub struct Checker {
    pub state: State,
    pub shadow: Shadow,
    pub jobs: Jobs,
    begun: BTreeSet<SessionId>,
    ended: BTreeSet<SessionId>,
    /// Reps whose offer of a session ran out at this moment without that being a rejection.
    avoid: BTreeMap<SessionId, UserId>,
}

impl Checker {
    pub fn new(state: State) -> Self {
        Self {
            state,
            shadow: Shadow::default(),
            jobs: Jobs::default(),
            begun: BTreeSet::new(),
            ended: BTreeSet::new(),
            avoid: BTreeMap::new(),
        }
    }

    pub fn moment(&self, now: Time) -> Moment<'_> {
        Moment { state: &self.state, shadow: &self.shadow, now }
    }

    /// Applies what happened one by one, each first checked against what the rules say at that moment.
    pub fn follow(&mut self, out: &[Stamped], seen: &mut Seen) -> Checked {
        for stamped in out {
            if stamped.at > self.state.now {
                self.avoid.clear();
            }
            let Stamped { at, event } = stamped;
            self.judge(*at, event).map_err(|problem| format!("{problem}\nat {event:?}"))?;
            self.record(*at, event)?;
            self.jobs.follow(event, seen)?;
            let avoided = match event {
                Event::Offered { session, .. } => self.avoid.get(session).copied(),
                _ => None,
            };
            seen.event(self.moment(*at), event, avoided);
            self.shadow.follow(*at, event, &self.state);
            self.state.apply(*at, event);
        }
        Ok(())
    }

    /// BU-048: what a session leaves is what the model knows of it, and its times are together the whole.
    fn record(&self, at: Time, event: &Event) -> Checked {
        let Event::Ended { session: id, .. } = event else { return Ok(()) };
        let session = &self.state.sessions[id];
        let Some(record) = Record::of(&self.state, at, event) else {
            return ensure(session.is_show() || session.ask.helps.is_some(), || format!("BU-048: no record of {id}"));
        };
        let (told, past) = (&record.told, &self.shadow.sessions[id]);
        let whole = told.ended_at_ms - told.asked_at_ms;
        let in_order =
            told.ended_at_ms == at.0 && told.accepted_at_ms.is_none_or(|accepted| told.asked_at_ms <= accepted);
        ensure(in_order && told.waited_ms + told.served_ms + told.held_ms == whole, || {
            format!("BU-048: {whole} ms in all, and {told:?}")
        })?;
        let team = past.last.and_then(|queue| if let Queue::Team(team) = queue { Some(team) } else { None });
        ensure(record.team == team, || format!("BU-048: last in {:?}, and {record:?}", past.last))?;
        ensure(past.owner.is_none_or(|owner| record.owner == Some(owner)), || {
            format!("BU-048: owned by {:?}, and {record:?}", past.owner)
        })?;
        let named: BTreeSet<&str> = told.people.iter().map(|one| one.name.as_str()).collect();
        let missing = past.stays.keys().find(|user| !named.contains(self.state.site.username(**user).as_str()));
        ensure(missing.is_none() || told.people_left_out > 0, || format!("BU-048: without {missing:?}: {told:?}"))
    }

    fn judge(&mut self, at: Time, event: &Event) -> Checked {
        let state = &self.state;
        let moment = Moment { state, shadow: &self.shadow, now: at };
        ensure(at >= state.now, || "time went back".to_owned())?;
        self.shadow.people.judge(moment, event)?;
        match event {
            Event::LoggedIn { user } => {
                let schedule = state.site.users[user].schedule.as_ref();
                let open = schedule.is_none_or(|it| calendar::until(it, state.wall_ms(at)).is_some());
                ensure(open, || format!("R11.2: {user} logged in outside the schedule"))
            }
            Event::LoggedOut { user, reason: LogoutReason::Schedule } => {
                let ends = self.shadow.reps[user].ends_ms;
                ensure(ends.is_some_and(|ends| ends <= state.wall_ms(at)), || {
                    format!("R11.2: logged out, the window ends at {ends:?}")
                })
            }
            Event::LogoutNotice { user, minutes } => {
                let presence = &self.shadow.reps[user];
                let left = presence.ends_ms.map(|ends| ends.saturating_sub(state.wall_ms(at)));
                ensure(left.is_some_and(|left| left <= u64::from(*minutes) * 60_000), || {
                    format!("R11.2: notice of {minutes} min with {left:?} ms left")
                })?;
                let first = presence.noticed.is_none_or(|before| *minutes < before);
                ensure(first && [1, 5, 10, 15].contains(minutes), || {
                    format!("R11.2: notice of {minutes} min after {:?}", presence.noticed)
                })
            }
            Event::SeatTimedOut { user } => {
                let due = self.seat_times_out(*user);
                ensure(due.is_some_and(|due| due <= at), || format!("R11.4: the seat of {user} is good until {due:?}"))
            }
            Event::Asked { session, .. } => {
                ensure(self.begun.insert(*session), || format!("I-Q4: {session} was asked before"))
            }
            Event::Ended { session, reason } => {
                ensure(state.sessions.contains_key(session), || format!("I3: {session} ended twice"))?;
                let open = state.sessions.get(session).and_then(model::offered);
                ensure(open.is_none(), || format!("R5.7: {session} ended, and {open:?} was not told"))?;
                self.ended.insert(*session);
                judge_end(moment, *session, *reason)
            }
            Event::OfferTimeout { session, rep } => {
                let due = state.sessions[session].waiting().and_then(|it| it.offer.as_ref().map(|it| it.expires_at));
                ensure(due.is_some_and(|due| due >= at), || {
                    format!("I-Q13: an offer due at {due:?} ran out at {at:?}")
                })?;
                if !state.site.options.offer_timeout_is_rejection {
                    self.avoid.insert(*session, *rep);
                }
                Ok(())
            }
            Event::Offered { session, rep, team, expires_at, .. } => {
                let avoid = &self.avoid;
                let choice = |id: &SessionId| moment.choice(&state.sessions[id], avoid.get(id).copied());
                ensure(choice(session) == Some(*rep), || {
                    format!("R4: {session} was offered to {rep}, the model says {:?}", choice(session))
                })?;
                let waiting = state.sessions.values().filter(|it| choice(&it.id).is_some());
                let first = waiting.min_by_key(|it| moment.urgency(it)).map(|it| it.id);
                ensure(first == Some(*session), || format!("R5.6, I5: {session} was offered before {first:?}"))?;
                let lasts = state.site.teams[team].alert_timeout;
                ensure(*expires_at == at + lasts, || format!("R5.1: it lasts {:?}", expires_at.since(at)))
            }
            Event::Accepted { session, rep, .. } => {
                let cap = state.site.options.max_active_sessions as usize;
                let busy = model::busy(&self.shadow, *rep);
                ensure(cap == 0 || busy < cap, || format!("hard cap: {rep} took {session} with {busy} active"))?;
                let to = model::offered(&state.sessions[session]);
                ensure(to.is_none_or(|to| to == *rep), || format!("I-Q2: {session} is on offer to {to:?}"))
            }
            Event::Moved { session, from, to, rule } => judge_move(moment, *session, *from, *to, *rule),
            Event::OwnerChanged { session, to, rule: OwnerRule::Fallback1, .. } => {
                let heir = moment.heir(*session);
                ensure(heir == Some(*to), || format!("R8.2 rule 1: {session} went to {to}, the model says {heir:?}"))
            }
            Event::Overdue { session, .. } => {
                let rule = moment.waiting_rule(*session);
                let due = rule.map(|(due, _)| due);
                ensure(due.is_some_and(|due| due <= at), || format!("R6.1: overdue, due at {due:?}"))?;
                let waiting = state.sessions[session].waiting().expect("it waits");
                let to = moment.overflow(*session, waiting);
                ensure(to.is_none(), || format!("R6.1: {session} was marked and could move to {to:?}"))
            }
            Event::OfferWarned { session, .. } => {
                let offer = state.sessions[session].waiting().and_then(|it| it.offer.as_ref());
                let left = offer.map(|offer| (offer.expires_at.since(at).0, offer.expires_at.since(offer.since).0));
                ensure(left.is_some_and(|(left, whole)| left <= (whole / 4).max(5_000)), || {
                    format!("R5.1: warned with {left:?} ms left of the whole")
                })
            }
            _ => Ok(()),
        }
    }

    pub fn invariants(&self, now: Time) -> Checked {
        let state = &self.state;
        let alive: BTreeSet<SessionId> = state.sessions.keys().copied().collect();
        let expected: BTreeSet<SessionId> = self.begun.difference(&self.ended).copied().collect();
        ensure(alive == expected, || format!("I3: alive {alive:?}, expected {expected:?}"))?;
        for session in state.sessions.values() {
            self.session(session, now).map_err(|problem| format!("{}: {problem}", session.id))?;
        }
        for (rep, console) in &state.consoles {
            let presence = &self.shadow.reps[rep];
            ensure((console.sessions as usize, console.changed) == (presence.count, presence.since), || {
                let counted = (console.sessions, console.changed);
                format!("I9: {rep} has {counted:?}, expected {:?}", (presence.count, presence.since))
            })?;
            let offers: Vec<SessionId> =
                state.sessions.values().filter(|it| model::offered(it) == Some(*rep)).map(|it| it.id).collect();
            ensure(offers == Vec::from_iter(console.offer), || format!("I1: {rep} is offered {offers:?}"))?;
        }
        let wall_ms = state.wall_ms(now);
        for (rep, presence) in &self.shadow.reps {
            ensure(presence.ends_ms.is_none_or(|ends| wall_ms < ends), || {
                format!("R11.2: {rep} is there after {:?}", presence.ends_ms)
            })?;
            ensure(state.consoles[rep].must_prove == presence.must_prove, || format!("R11.4: {rep} and its seat"))?;
            let due = self.seat_times_out(*rep).filter(|_| !presence.must_prove);
            ensure(due.is_none_or(|due| now < due), || format!("R11.4: the seat of {rep} was good until {due:?}"))?;
        }
        self.jobs.invariants(state, now)?;
        self.shadow.people.invariants(self.moment(now))
    }

    /// R11.4: until when the seat is good, if it is shared.
    fn seat_times_out(&self, user: UserId) -> Option<Time> {
        let pool = self.state.site.pools.get(&self.state.site.users.get(&user)?.pool?)?;
        (!pool.reauthenticate_after.is_zero()).then(|| self.shadow.reps[&user].proved + pool.reauthenticate_after)
    }

    fn session(&self, session: &Session, now: Time) -> Checked {
        let (state, past) = (&self.state, &self.shadow.sessions[&session.id]);
        let owners: Vec<Party> =
            session.participants.iter().filter(|it| it.role == Role::Owner).map(|it| it.party).collect();
        let expected: Vec<Party> = past.owner.into_iter().map(Party::Rep).collect();
        ensure(owners == expected && session.owner() == past.owner, || format!("I1: owned by {owners:?}"))?;
        let reps: BTreeSet<UserId> = session.reps().collect();
        ensure(reps.iter().eq(past.stays.keys()), || format!("I-Q1: {reps:?} are in it"))?;
        ensure(session.waiting().is_none() || reps.is_empty(), || "I-Q1: it waits with reps in it".to_owned())?;
        let remembered = (session.first_queue, session.last_queue, &session.rejected_by, &session.been_in);
        let expected = (past.first, past.last, &past.rejected, &past.been);
        ensure(remembered == expected, || format!("I-Q9, I-Q14: it remembers {remembered:?}, expected {expected:?}"))?;
        ensure(past.first.is_none() || session.first_queued == past.first_queued, || {
            format!("I-Q9: first queued at {:?}, expected {:?}", session.first_queued, past.first_queued)
        })?;
        match &session.stage {
            Stage::Active { owner, .. } => {
                ensure(state.consoles.contains_key(owner), || "R8.1: its owner is gone".to_owned())?;
                ensure(!past.held, || "R7.7: held, and yet active".to_owned())
            }
            Stage::Held { since, .. } => {
                ensure(past.held, || "R7.7: active, and yet held".to_owned())?;
                ensure(now < *since + limits::HOLD_MAX, || "R7.7: held for too long".to_owned())
            }
            Stage::Waiting(waiting) => {
                let moment = self.moment(now);
                ensure((waiting.since, waiting.began) == (past.entered, past.began), || {
                    "R6.1: since when?".to_owned()
                })?;
                ensure(model::available(state, waiting.queue), || {
                    format!("R8.5: it waits in {:?}, which is closed", waiting.queue)
                })?;
                let choice = moment.choice(session, None);
                ensure(choice.is_none(), || format!("I4: it waits though {choice:?} is eligible"))?;
                ensure(waiting.offer.as_ref().is_none_or(|offer| now < offer.expires_at), || {
                    "I-Q13: a dead offer".to_owned()
                })?;
                let due = moment.waiting_rule(session.id).map(|(due, _)| due);
                ensure(waiting.overdue || due.is_none_or(|due| now < due), || format!("I-Q15: overdue since {due:?}"))?;
                let to = moment.overflow(session.id, waiting);
                ensure(to.is_none(), || format!("R6.1: it could move to {to:?}"))?;
                let most = state.site.options.max_wait;
                ensure(most.is_zero() || now < past.began + most, || "R6.4: it waits for too long".to_owned())?;
                let position = state.position(session.id).map(|position| position as usize);
                ensure(position == Some(moment.position(session)), || format!("I-Q19: its position is {position:?}"))
            }
        }
    }
}

fn judge_end(moment: Moment<'_>, id: SessionId, reason: EndReason) -> Checked {
    match reason {
        EndReason::Orphaned => {
            let (heir, refuge) = (moment.heir(id), moment.refuge(id));
            ensure(heir.is_none() && refuge.is_none(), || {
                format!("R8.2: {id} ended, the model says {heir:?}, then {refuge:?}")
            })
        }
        EndReason::WaitTimeout => {
            let due = moment.shadow.sessions[&id].began + moment.state.site.options.max_wait;
            ensure(due <= moment.now, || format!("R6.4: {id} ended before {due:?}"))
        }
        _ => Ok(()),
    }
}

fn judge_move(moment: Moment<'_>, id: SessionId, from: Option<Queue>, to: Queue, rule: MoveRule) -> Checked {
    let past = &moment.shadow.sessions[&id];
    ensure(model::available(moment.state, to), || format!("R8.3: {id} moved to {to:?}, which is closed"))?;
    ensure(from == past.last, || format!("{id} moved from {from:?}, it was in {:?}", past.last))?;
    match rule {
        MoveRule::Transfer => Ok(()),
        MoveRule::Overdue => {
            let waiting = moment.state.sessions[&id].waiting().expect("what is moved by the rule waits");
            let expected = moment.overflow(id, waiting);
            ensure(expected == Some(to), || format!("R6.1, R6.2: {id} moved to {to:?}, the model says {expected:?}"))
        }
        MoveRule::Fallback2 | MoveRule::Fallback3 | MoveRule::Fallback4 => {
            let heir = moment.heir(id);
            ensure(heir.is_none(), || format!("R8.2 rule 1: {id} moved though {heir:?} is in it"))?;
            let expected = moment.refuge(id);
            ensure(expected == Some((to, rule)), || format!("R8.2: {id} moved to {to:?}, the model says {expected:?}"))
        }
    }
}
