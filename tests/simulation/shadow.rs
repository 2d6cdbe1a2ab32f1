//! What the checker remembers by itself, from the events alone: the past of each session and the presence of each rep.
//! The engine's state holds the same in its own way; the two must agree.

use crate::{calendar, model, people::People};
use equipoise::{
    engine::{
        Event, Queue, State,
        event::{MoveRule, OwnerRule},
    },
    ids::*,
    site::SessionKind,
    time::Time,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Shadow {
    pub sessions: BTreeMap<SessionId, Past>,
    pub reps: BTreeMap<UserId, Presence>,
    pub people: People,
    joins: u64,
}

pub struct Past {
    pub kind: SessionKind,
    pub first: Option<Queue>,
    pub last: Option<Queue>,
    pub first_queued: Time,
    /// Entered the queue it is in.
    pub entered: Time,
    /// Began to wait, whatever rule moved it since.
    pub began: Time,
    pub been: BTreeSet<Queue>,
    pub rejected: BTreeSet<UserId>,
    /// Reps in it, with the number of their joining: the lower, the longer they are there.
    pub stays: BTreeMap<UserId, u64>,
    pub owner: Option<UserId>,
    pub held: bool,
    /// The session it asks help for.
    helps: Option<SessionId>,
}

pub struct Presence {
    pub login: Time,
    /// Sessions that count, and since when it is that many.
    pub count: usize,
    pub since: Time,
    pub wrap_from: Option<Time>,
    /// Last proved itself by more than a token, and whether it has to again (R11.4).
    pub proved: Time,
    pub must_prove: bool,
    /// When the schedule ends this login, in milliseconds since 1970 UTC, and the last notice of it (R11.2).
    pub ends_ms: Option<u64>,
    pub noticed: Option<u32>,
}

impl Past {
    pub fn counts(&self) -> bool {
        !matches!(self.kind, SessionKind::RepToRep | SessionKind::Presentation)
    }

    /// A rep is in it and it is not on hold.
    pub fn is_served(&self) -> bool {
        self.owner.is_some() && !self.held
    }

    fn enter(&mut self, at: Time, queue: Queue, by_hand: bool) {
        if self.first.is_none() {
            self.first = Some(queue);
            self.first_queued = at;
        }
        if self.owner.take().is_some() || self.last.is_none() {
            self.began = at;
        }
        if by_hand {
            self.been.clear();
        }
        self.last = Some(queue);
        self.entered = at;
        self.held = false;
        self.been.insert(queue);
    }
}

impl Shadow {
    /// Takes in what happened; `state` is the engine's before it.
    pub fn follow(&mut self, at: Time, event: &Event, state: &State) {
        self.people.follow(at, event, |session| self.sessions.get(&session).and_then(|past| past.owner));
        match event {
            Event::LoggedIn { user } => {
                let presence = Presence {
                    login: at,
                    count: 0,
                    since: at,
                    wrap_from: None,
                    proved: at,
                    must_prove: false,
                    ends_ms: forced_end(state, *user, at),
                    noticed: None,
                };
                self.reps.insert(*user, presence);
            }
            Event::Attached { party: Party::Rep(user), presented: None, .. } => {
                if let Some(presence) = self.reps.get_mut(user) {
                    (presence.proved, presence.must_prove) = (at, false);
                }
            }
            Event::SeatTimedOut { user } => {
                if let Some(presence) = self.reps.get_mut(user) {
                    presence.must_prove = true;
                }
            }
            Event::LogoutNotice { user, minutes } => {
                if let Some(presence) = self.reps.get_mut(user) {
                    presence.noticed = Some(*minutes);
                }
            }
            Event::SiteApplied { .. } | Event::UserDisabled { .. } | Event::TeamDeleted { .. } => {
                for (user, presence) in &mut self.reps {
                    let ends_ms = forced_end(state, *user, at);
                    if presence.ends_ms != ends_ms {
                        (presence.ends_ms, presence.noticed) = (ends_ms, None);
                    }
                }
            }
            Event::LoggedOut { user, .. } => {
                self.reps.remove(user);
            }
            Event::Asked { session, ask } => {
                let helped = ask.helps.and_then(|helped| self.sessions.get(&helped));
                let there = helped.into_iter().flat_map(|past| past.stays.keys().copied());
                let past = Past {
                    kind: ask.kind,
                    first: None,
                    last: None,
                    first_queued: at,
                    entered: at,
                    began: at,
                    been: BTreeSet::new(),
                    // Who is in it already is not asked to join it.
                    rejected: there.collect(),
                    stays: BTreeMap::new(),
                    owner: None,
                    held: false,
                    helps: ask.helps,
                };
                self.sessions.insert(*session, past);
            }
            Event::Rejected { session, rep } => self.reject(*session, *rep),
            Event::OfferTimeout { session, rep } if state.site.options.offer_timeout_is_rejection => {
                self.reject(*session, *rep);
            }
            Event::Queued { session, queue } => self.session(*session).enter(at, *queue, true),
            Event::Moved { session, to, rule, .. } => {
                let by_hand = *rule == MoveRule::Transfer;
                for rep in self.session(*session).stays.keys().copied().collect::<Vec<_>>() {
                    self.left(at, *session, rep);
                }
                let past = self.session(*session);
                if by_hand {
                    past.rejected.clear();
                }
                past.enter(at, *to, by_hand);
            }
            Event::Accepted { session, rep, .. } => {
                self.joined(*session, *rep);
                self.session(*session).owner = Some(*rep);
            }
            Event::Joined { session, rep, .. } => self.joined(*session, *rep),
            Event::Departed { session, rep, .. } => self.left(at, *session, *rep),
            Event::OwnerChanged { session, from, to, rule } => {
                self.joined(*session, *to);
                if let (Some(from), OwnerRule::Fallback1) = (from, rule) {
                    self.left(at, *session, *from);
                }
                self.session(*session).owner = Some(*to);
            }
            Event::Held { session } => self.session(*session).held = true,
            Event::Resumed { session } => self.session(*session).held = false,
            Event::Ended { session, .. } => {
                for rep in self.session(*session).stays.keys().copied().collect::<Vec<_>>() {
                    self.left(at, *session, rep);
                }
                self.sessions.remove(session);
            }
            _ => return,
        }
        let reps: Vec<UserId> = self.reps.keys().copied().collect();
        for rep in reps {
            let count = model::busy(self, rep);
            let presence = self.reps.get_mut(&rep).expect("it is there");
            if presence.count != count {
                presence.count = count;
                presence.since = at;
            }
        }
    }

    fn session(&mut self, id: SessionId) -> &mut Past {
        self.sessions.get_mut(&id).expect("a session that was asked for and has not ended")
    }

    fn reject(&mut self, session: SessionId, rep: UserId) {
        self.session(session).rejected.insert(rep);
    }

    fn joined(&mut self, session: SessionId, rep: UserId) {
        self.joins += 1;
        let number = self.joins;
        let requests = self.sessions.values_mut().filter(|past| past.helps == Some(session));
        requests.for_each(|past| past.rejected.extend([rep]));
        self.session(session).stays.entry(rep).or_insert(number);
    }

    fn left(&mut self, at: Time, session: SessionId, rep: UserId) {
        let past = self.session(session);
        if past.stays.remove(&rep).is_some()
            && past.counts()
            && past.helps.is_none()
            && let Some(presence) = self.reps.get_mut(&rep)
        {
            presence.wrap_from = Some(at);
        }
    }
}

/// R11.2: when a forced schedule ends a login that is there at this moment; at once where no window is open.
fn forced_end(state: &State, user: UserId, at: Time) -> Option<u64> {
    let schedule = state.site.users.get(&user)?.schedule.as_ref().filter(|schedule| schedule.force)?;
    let wall_ms = state.wall_ms(at);
    Some(calendar::until(schedule, wall_ms).unwrap_or(wall_ms))
}
