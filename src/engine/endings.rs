//! Hold, resume and end (R7.7), and what ends a session by itself.

use super::{
    Actor, Engine, Event, Outcome, Queue, Reason, Refusal, Stamped, event::EndReason, refusal::refuse, session::Stage,
};
use crate::{ids::*, policy::Tool, site::TeamRole, time::Time};

impl Engine {
    /// R7.7.
    pub(super) fn hold(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        match self.session_of(id)?.stage {
            Stage::Active { owner, .. } if owner == rep => {}
            Stage::Active { .. } => return refuse(Reason::NotOwner, "R7.7", "only its owner holds a session"),
            _ => return refuse(Reason::WrongState, "R7.7", "this session is not active"),
        }
        self.permitted_act(id, rep, Tool::Hold)?;
        self.emit(now, Event::Held { session: id }, out);
        Ok(Outcome::Done)
    }

    /// R7.7; what stops acts by hand stops it (R3, R1.4).
    pub(super) fn resume(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        let session = self.session_of(id)?;
        match session.stage {
            Stage::Held { owner, .. } if owner == rep => {}
            Stage::Held { .. } => return refuse(Reason::NotOwner, "R7.7", "only its owner resumes a session"),
            _ => return refuse(Reason::WrongState, "R7.7", "this session is not held"),
        }
        self.may_serve(rep, session)?;
        self.emit(now, Event::Resumed { session: id }, out);
        Ok(Outcome::Done)
    }

    /// By its owner, its customer, an administrator, or the integrator on the customer's behalf. What waits is ended by
    /// the rep of its own queue or a lead or manager of its team.
    pub(super) fn ask_to_end(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let session = self.session_of(id)?;
        let waits = session.waiting().is_some();
        let of_customer = if waits { EndReason::LeftQueue } else { EndReason::ByCustomer };
        let reason = match actor {
            Actor::Party(Party::Rep(rep)) => {
                self.console_of(actor)?;
                self.may_end(rep, id)?;
                EndReason::ByRep
            }
            Actor::Party(Party::Customer(own)) if own == id => of_customer,
            Actor::Party(_) => return refuse(Reason::NotOwner, "R7.5", "only its owner or customer ends a session"),
            Actor::Admin(_) => {
                self.administrator(actor)?;
                EndReason::ByAdmin
            }
            Actor::Service(_) if session.is_show() => {
                return refuse(Reason::NotOwner, "R7.5", "what a rep shows to another has no customer");
            }
            Actor::System | Actor::Service(_) => of_customer,
        };
        self.end(now, id, reason, out);
        Ok(Outcome::Done)
    }

    fn may_end(&self, rep: UserId, id: SessionId) -> Result<(), Refusal> {
        let session = self.session_of(id)?;
        let allowed = match &session.stage {
            Stage::Active { owner, .. } | Stage::Held { owner, .. } if *owner == rep => {
                return self.fields_written(rep, id);
            }
            Stage::Active { .. } | Stage::Held { .. } => false,
            Stage::Waiting(waiting) => match waiting.queue {
                Queue::Personal(owner) => owner == rep,
                Queue::Team(team) => {
                    self.role_in(rep, team).is_some_and(|role| role >= TeamRole::Lead) || self.asked_for_help(rep, id)
                }
            },
        };
        if allowed { Ok(()) } else { refuse(Reason::NotOwner, "R7.3", "only its owner ends a session") }
    }

    pub(super) fn end(&mut self, at: Time, session: SessionId, reason: EndReason, out: &mut Vec<Stamped>) {
        self.withdraw(at, session, "ended", out);
        self.emit(at, Event::Ended { session, reason }, out);
    }
}
