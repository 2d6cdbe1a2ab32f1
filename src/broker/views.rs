//! What consoles see change (W4.4): gathered for a moment, then each object once to those who
//! may see it, with a ring for consoles that come back.

use super::{Connection, Shared, view, waiting_room::WaitingRoom};
use crate::{
    engine::{Session, State},
    ids::*,
    limits,
    time::Span,
    wire::control::{Ev, FromBroker},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) struct Views {
    shared: Arc<Shared>,
    /// Whose consoles show a session.
    shown: HashMap<SessionId, BTreeSet<UserId>>,
    changed_sessions: BTreeSet<SessionId>,
    /// Sessions that ended, whose consoles showed them, and why.
    gone: BTreeMap<SessionId, (BTreeSet<UserId>, String)>,
    changed_reps: BTreeSet<UserId>,
    flush_at: Option<Instant>,
    /// Colleagues' states go out less often than sessions: nobody acts on them within a second.
    reps_at: Instant,
    pub waiting_room: WaitingRoom,
    /// Deltas for consoles that come back: the turn, who may see it, the push.
    ring: VecDeque<(Seq, BTreeSet<UserId>, Bytes)>,
}

impl Views {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            waiting_room: WaitingRoom::new(shared.clone()),
            shared,
            shown: HashMap::new(),
            changed_sessions: BTreeSet::new(),
            gone: BTreeMap::new(),
            changed_reps: BTreeSet::new(),
            flush_at: None,
            reps_at: Instant::now(),
            ring: VecDeque::new(),
        }
    }

    pub fn session_changed(&mut self, session: SessionId) {
        self.changed_sessions.insert(session);
        self.waiting_room.changed();
        self.flush_by(Instant::now() + duration(limits::VIEW_INTERVAL));
    }

    /// The site is another one: names, teams and who sees what.
    pub fn site_changed(&mut self, state: &State) {
        self.changed_sessions.extend(state.sessions.keys());
        self.changed_reps.extend(state.site.users.keys());
        self.waiting_room.changed();
        self.flush_by(Instant::now() + duration(limits::VIEW_INTERVAL));
    }

    pub fn rep_changed(&mut self, user: UserId) {
        self.changed_reps.insert(user);
        self.waiting_room.changed();
        self.flush_by(self.reps_at.max(Instant::now() + duration(limits::VIEW_INTERVAL)));
    }

    /// A customer whose connection is new has not heard its position.
    pub fn customer_came(&mut self, session: SessionId) {
        self.waiting_room.came(session);
        self.flush_by(Instant::now() + duration(limits::VIEW_INTERVAL));
    }

    /// A session ended. Consoles that show it are told with the next changes, but for those `told` already; what
    /// came and went between two flushes was never shown.
    pub fn session_ended(&mut self, session: SessionId, reason: &str, told: &BTreeSet<UserId>) {
        self.waiting_room.left(session);
        self.changed_sessions.remove(&session);
        let shown = self.shown.remove(&session).unwrap_or_default();
        let others: BTreeSet<UserId> = shown.difference(told).copied().collect();
        if !others.is_empty() {
            self.gone.insert(session, (others, reason.to_owned()));
            self.flush_by(Instant::now() + duration(limits::VIEW_INTERVAL));
        }
    }

    /// When the gathered changes are to be sent next.
    pub fn next_flush(&self) -> Option<Instant> {
        self.flush_at
    }

    fn flush_by(&mut self, at: Instant) {
        self.flush_at = Some(self.flush_at.map_or(at, |set| set.min(at)));
    }

    pub fn flush_if_due(&mut self, state: &State, head: Seq) {
        let now = Instant::now();
        if self.flush_at.is_none_or(|at| at > now) {
            return;
        }
        self.flush_at = None;
        self.flush_sessions(state, head);
        if !self.changed_reps.is_empty() {
            if now >= self.reps_at {
                self.flush_reps(state, head);
                if self.changed_reps.is_empty() {
                    self.reps_at = now + duration(limits::REP_VIEW_INTERVAL);
                }
            }
            if !self.changed_reps.is_empty() {
                self.flush_by(self.reps_at);
            }
        }
        self.waiting_room.tell(state, head, now);
        if let Some(at) = self.waiting_room.next(now) {
            self.flush_by(at);
        }
    }

    /// Notices came or went.
    pub fn notices_changed(&mut self) {
        self.waiting_room.changed();
        self.flush_by(Instant::now() + duration(limits::VIEW_INTERVAL));
    }

    fn flush_sessions(&mut self, state: &State, head: Seq) {
        for (session, (audience, reason)) in std::mem::take(&mut self.gone) {
            self.deliver(audience, &Ev::SessionGone { session: session.0, reason }, head);
        }
        for _ in 0..limits::VIEWS_PER_FLUSH {
            let Some(session) = self.changed_sessions.pop_first() else { return };
            let Some(found) = state.session(session) else { continue };
            let audience = view::audience(state, found);
            let ev = Ev::Session(Box::new(view::session(state, found, |party| self.shared.directory.attached(party))));
            self.tell_externals(state, found, head);
            let before = self.shown.insert(session, audience.clone()).unwrap_or_default();
            let lost: BTreeSet<UserId> = before.difference(&audience).copied().collect();
            self.deliver(lost, &Ev::SessionGone { session: session.0, reason: "moved".to_owned() }, head);
            self.deliver(audience, &ev, head);
        }
        if !self.changed_sessions.is_empty() {
            self.flush_by(Instant::now());
        }
    }

    /// An external rep sees the one session it is in, by public names.
    fn tell_externals(&self, state: &State, session: &Session, head: Seq) {
        for seat in session.guests.keys() {
            let Some(external) = self.shared.directory.connection(Party::External(session.id, *seat)) else { continue };
            let shown = view::session_outside(state, session, *seat, |party| self.shared.directory.attached(party));
            push(&external, head, Ev::Session(Box::new(shown)));
        }
    }

    fn flush_reps(&mut self, state: &State, head: Seq) {
        for _ in 0..limits::VIEWS_PER_FLUSH {
            let Some(user) = self.changed_reps.pop_first() else { return };
            let Some(found) = state.site.users.get(&user) else { continue };
            let teams = found.teams.keys().filter_map(|team| state.site.teams.get(team));
            let mut audience: BTreeSet<UserId> = teams.flat_map(|team| team.members.keys().copied()).collect();
            audience.insert(user);
            self.deliver(audience, &Ev::Rep(view::rep(state, user)), head);
        }
    }

    /// Tells everybody in the audience who is connected, and remembers it for those who come back.
    fn deliver(&mut self, audience: BTreeSet<UserId>, ev: &Ev, head: Seq) {
        if audience.is_empty() {
            return;
        }
        let message = FromBroker::Push { seq: head.0, ev: Some(Box::new(ev.clone())) }.encode();
        for user in &audience {
            if let Some(connection) = self.shared.directory.connection(Party::Rep(*user)) {
                connection.say_encoded(message.clone());
            }
        }
        if self.ring.len() == limits::DELTAS_KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back((head, audience, message));
    }

    /// Whether the ring still holds everything that came with `seen` or after it: of its oldest turn some may be gone.
    pub fn goes_on_from(&self, seen: Seq, head: Seq) -> bool {
        self.ring.front().is_some_and(|(oldest, ..)| *oldest < seen) && seen <= head
    }

    /// Sends again what came with `seen` or after it; whole objects, so once too often does no harm.
    pub fn replay(&self, connection: &Connection, user: UserId, seen: Seq) {
        for (seq, audience, message) in &self.ring {
            if *seq >= seen && audience.contains(&user) {
                connection.say_encoded(message.clone());
            }
        }
    }

    pub fn snapshot(&mut self, connection: &Connection, user: UserId, state: &State, head: Seq) {
        for part in view::snapshot(state, user, |party| self.shared.directory.attached(party)) {
            if let Ev::Snapshot { sessions, .. } = &part {
                // Whoever was shown a session is told when it goes, though it may never change before.
                for session in sessions {
                    self.shown.entry(SessionId(session.session)).or_default().insert(user);
                }
            }
            push(connection, head, part);
        }
    }
}

/// Tells one connection what happened.
pub(super) fn push(connection: &Connection, head: Seq, ev: Ev) {
    connection.say(&FromBroker::Push { seq: head.0, ev: Some(Box::new(ev)) });
}

fn duration(span: Span) -> Duration {
    Duration::from_millis(span.0)
}
