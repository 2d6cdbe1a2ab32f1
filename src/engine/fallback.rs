//! Orphans (R8) and the waiting rule (R6): where a session goes when nobody serves it.

use super::{
    Engine, Event, Queue, Session, Stamped, State,
    event::{EndReason, MoveRule, OwnerRule},
    session::Role,
};
use crate::{
    ids::*,
    site::{Overdue, SessionKind},
    time::Time,
};

impl State {
    /// R6.1: where the team's rule moves what waited too long.
    pub(super) fn overflow_of(&self, queue: Queue) -> Option<TeamId> {
        let Queue::Team(team) = queue else { return None };
        match self.site.teams.get(&team)?.overdue {
            Overdue::Transfer { to, .. } => Some(to),
            _ => None,
        }
    }

    /// R8.2 rules 2 to 4 for a session whose owner is gone, 3 and 4 for one that waits (R8.5).
    pub(super) fn refuge(&self, session: &Session, waits: bool) -> Option<(Queue, MoveRule)> {
        let options = &self.site.options;
        let on = match session.ask.kind {
            SessionKind::Jump => options.fallback_jump,
            _ => options.fallback_normal,
        };
        let persistent = |queue: Queue| match queue {
            Queue::Team(team) => self.site.teams.get(&team).is_some_and(|team| team.persistent),
            Queue::Personal(_) => false,
        };
        // R8.4: a persistent last queue takes it back whatever the switch says.
        let last = session.last_queue.filter(|queue| !waits && (on[0] || persistent(*queue)));
        let first = session.first_queue.filter(|_| on[1]);
        let designated = options.fallback_team.map(Queue::Team).filter(|_| on[2]);
        [(last, MoveRule::Fallback2), (first, MoveRule::Fallback3), (designated, MoveRule::Fallback4)]
            .into_iter()
            .filter_map(|(queue, rule)| queue.map(|queue| (queue, rule)))
            .find(|(queue, _)| self.is_available(*queue))
    }
}

impl Engine {
    /// R8.2 rule 1: of the other internal reps in it the one whose present stay began first.
    pub(super) fn heir(&self, session: &Session, gone: UserId) -> Option<UserId> {
        session
            .participants
            .iter()
            .filter(|it| !matches!(it.role, Role::Customer | Role::External))
            .filter_map(|it| match it.party {
                Party::Rep(user)
                    if user != gone && self.state.consoles.contains_key(&user) && self.state.supports(user) =>
                {
                    Some((it.since, it.id, user))
                }
                _ => None,
            })
            .min()
            .map(|(.., user)| user)
    }

    /// R8.1, R8.2: its owner stopped being in the session.
    pub(super) fn orphan(&mut self, at: Time, id: SessionId, gone: UserId, out: &mut Vec<Stamped>) {
        let Some(session) = self.state.sessions.get(&id) else { return };
        if session.is_show() {
            return self.end(at, id, EndReason::Orphaned, out);
        }
        if let Some(to) = self.heir(session, gone) {
            let rule = OwnerRule::Fallback1;
            return self.emit(at, Event::OwnerChanged { session: id, from: Some(gone), to, rule }, out);
        }
        let from = session.last_queue;
        match self.state.refuge(session, false) {
            Some((to, rule)) => self.emit(at, Event::Moved { session: id, from, to, rule }, out),
            None => self.end(at, id, EndReason::Orphaned, out),
        }
    }

    /// R8.5, R8.7: what waits in a queue that is not available falls back.
    pub(super) fn clear_unavailable(&mut self, at: Time, queue: Queue, out: &mut Vec<Stamped>) {
        if self.state.is_available(queue) {
            return;
        }
        let waiting: Vec<SessionId> = self.state.waiting_in(queue).collect();
        for id in waiting {
            let Some(session) = self.state.sessions.get(&id) else { continue };
            match self.state.refuge(session, true) {
                Some((to, rule)) => {
                    self.withdraw(at, id, "moved", out);
                    self.emit(at, Event::Moved { session: id, from: Some(queue), to, rule }, out);
                }
                None => self.end(at, id, EndReason::Orphaned, out),
            }
        }
    }

    /// R6.1–R6.3: the session has waited as long as its team's rule says.
    pub(super) fn overdue(&mut self, at: Time, id: SessionId, out: &mut Vec<Stamped>) {
        if self.overflow(at, id, out) {
            return;
        }
        let Some(queue) = self.state.session(id).and_then(Session::waiting).map(|waiting| waiting.queue) else {
            return;
        };
        self.emit(at, Event::Overdue { session: id, queue }, out);
    }

    /// Moves it to the overflow team if that is available, not been in, and no offer is open. True if it moved.
    fn overflow(&mut self, at: Time, id: SessionId, out: &mut Vec<Stamped>) -> bool {
        let Some(session) = self.state.sessions.get(&id) else { return false };
        let Some(waiting) = session.waiting() else { return false };
        let from = waiting.queue;
        let Some(to) = self.state.overflow_of(from).map(Queue::Team) else { return false };
        if waiting.offer.is_some() || session.been_in.contains(&to) || !self.state.is_available(to) {
            return false;
        }
        self.emit(at, Event::Moved { session: id, from: Some(from), to, rule: MoveRule::Overdue }, out);
        true
    }

    /// R6.1: an offer ended unaccepted; what came due meanwhile is done.
    pub(super) fn after_offer(&mut self, at: Time, id: SessionId, out: &mut Vec<Stamped>) {
        let Some(waiting) = self.state.session(id).and_then(Session::waiting) else { return };
        if waiting.move_due {
            self.overflow(at, id, out);
        } else if self.state.overdue_at(waiting).is_some_and(|due| due <= at) {
            self.overdue(at, id, out);
        }
    }

    /// R6.3: a team became available; what waits for it moves.
    pub(super) fn after_available(&mut self, at: Time, team: TeamId, out: &mut Vec<Stamped>) {
        for id in self.state.index.move_due(team) {
            self.overflow(at, id, out);
        }
    }
}
