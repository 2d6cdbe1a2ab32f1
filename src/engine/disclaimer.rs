//! The disclaimer, where a site has one: a customer agrees to it before anybody may serve the session, and declining
//! ends it (R10.2). The place in the queue is kept meanwhile.

use super::{Actor, Engine, Event, Outcome, Reason, Refusal, Session, Stamped, event::EndReason, refusal::refuse};
use crate::{ids::*, limits, site::SessionKind, time::Time};

impl Session {
    /// Nobody may serve it before the customer has agreed.
    pub(super) fn must_agree(&self) -> bool {
        self.disclaimer.is_some()
    }
}

impl Engine {
    /// The customer came for the first time. Of an unattended endpoint nobody can agree to anything.
    pub(super) fn show_disclaimer(&mut self, now: Time, id: SessionId, out: &mut Vec<Stamped>) {
        let kind = self.state.sessions.get(&id).map(|session| session.ask.kind);
        if !self.state.site.options.disclaimer || kind.is_none_or(|kind| kind == SessionKind::Jump) {
            return;
        }
        self.withdraw(now, id, "disclaimer", out);
        let expires_at = now + limits::DISCLAIMER;
        self.emit(now, Event::DisclaimerShown { session: id, expires_at }, out);
    }

    pub(super) fn answer_disclaimer(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        agree: bool,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if actor != Actor::Party(Party::Customer(id)) {
            return refuse(Reason::NotParticipant, "R10.2", "only its customer agrees to a session's disclaimer");
        }
        if !self.session_of(id)?.must_agree() {
            return refuse(Reason::WrongState, "R10.2", "no disclaimer is open");
        }
        if agree {
            self.emit(now, Event::DisclaimerAgreed { session: id }, out);
        } else {
            self.end(now, id, EndReason::Declined, out);
        }
        Ok(Outcome::Done)
    }

    /// Who has not agreed is served by nobody.
    pub(super) fn has_agreed(&self, session: &Session) -> Result<(), Refusal> {
        match session.must_agree() {
            true => refuse(Reason::WrongState, "R10.2", "the customer has not agreed to the disclaimer yet"),
            false => Ok(()),
        }
    }
}
