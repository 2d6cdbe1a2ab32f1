//! A rep who does nothing in an active session for its time is removed from it (R7.9). What the rep asks for in the
//! session is activity, and so is what the relay saw move and told; a held session's time stands still.

use super::{
    Actor, Engine, Event, Outcome, Reason, Refusal, Session, Stamped, State,
    refusal::refuse,
    session::{Role, Stage},
};
use crate::{ids::*, limits, time::Time};

impl State {
    /// Who is removed next from this session, and when; none where it is not active or nobody's time runs.
    pub(super) fn inactive_at(&self, session: &Session) -> Option<(Time, UserId)> {
        let Stage::Active { .. } = session.stage else { return None };
        // Who looks at a colleague's screen keeps no customer waiting.
        if session.is_show() {
            return None;
        }
        session.reps().filter_map(|user| Some((self.inactive_rep_at(session, user)?, user))).min()
    }

    fn inactive_rep_at(&self, session: &Session, user: UserId) -> Option<Time> {
        let limit = self.site.users.get(&user)?.session_inactivity;
        let there = session.participant_of(Party::Rep(user))?;
        (!limit.is_zero()).then(|| there.active.max(there.since) + limit)
    }

    /// The relay need not watch a session in which nobody's time runs.
    pub fn times_inactivity(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|session| self.inactive_at(session).is_some())
    }

    pub(super) fn fold_active(&mut self, at: Time, id: SessionId, who: impl Fn(ParticipantId) -> bool) {
        self.change_session(id, |session| {
            for there in session.participants.iter_mut().filter(|there| who(there.id)) {
                there.active = at;
            }
        });
    }
}

impl Engine {
    /// The relay saw these participants' control, shell or file channels move data.
    pub(super) fn moved_data(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        by: &[ParticipantId],
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if actor != Actor::System {
            return refuse(Reason::NotPermitted, "R7.9", "only the relay sees what moved");
        }
        let session = self.session_of(id)?;
        let known = |one: &ParticipantId| {
            session.participant(*one).is_some_and(|it| !matches!(it.role, Role::Customer | Role::External))
        };
        let by: Vec<ParticipantId> = by.iter().copied().filter(known).take(limits::PARTICIPANTS_PER_SESSION).collect();
        if !by.is_empty() {
            self.emit(now, Event::DataMoved { session: id, by }, out);
        }
        Ok(Outcome::Done)
    }

    /// Removes whoever's time in this session is over; an owner's session falls back (R8.1).
    pub(super) fn remove_inactive(&mut self, at: Time, id: SessionId, out: &mut Vec<Stamped>) {
        let Some(session) = self.state.sessions.get(&id) else { return };
        let Some((_, rep)) = self.state.inactive_at(session).filter(|(due, _)| *due <= at) else { return };
        let owns = session.owner() == Some(rep);
        self.emit(at, Event::Departed { session: id, rep, reason: "inactive".to_owned() }, out);
        if owns {
            self.orphan(at, id, rep, out);
        }
    }
}
