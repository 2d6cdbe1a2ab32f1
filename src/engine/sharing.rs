//! Several reps in one session: join, depart, take over (R7.4, R7.6). Inviting them is in `invitations`.

use super::{
    Actor, Engine, Event, Outcome, Queue, Reason, Refusal, Stamped,
    event::{EndReason, OwnerRule},
    refusal::refuse,
    session::{Role, Session, Stage},
};
use crate::{ids::*, limits, time::Time};

impl Engine {
    /// By an invitation, or as a higher role of the owner's team (R7.6): by rank the first time watches, a second time
    /// takes part.
    pub(super) fn join(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        let session = self.session_of(id)?;
        let owner = active_owner(session)?;
        let monitors = match session.participant_of(Party::Rep(rep)) {
            Some(me) if me.role == Role::Monitor => Some(me.id),
            Some(_) => return refuse(Reason::WrongState, "R7.4", "already in this session"),
            None => None,
        };
        if session.participants.len() >= limits::PARTICIPANTS_PER_SESSION {
            return refuse(Reason::LimitReached, "R7.4", "the session is full");
        }
        let participant = monitors.unwrap_or(ParticipantId(session.next_participant));
        let mine = |queue: Queue| match queue {
            Queue::Personal(user) => user == rep,
            Queue::Team(team) => self.role_in(rep, team).is_some(),
        };
        let invite = session.invites.iter().map(|invite| invite.to).filter(|to| mine(*to)).max();
        if invite.is_none() && (session.is_show() || !self.outranks(rep, owner)) {
            return refuse(Reason::NotPermitted, "R7.6", "joining needs an invitation or a higher role");
        }
        if monitors.is_none() {
            self.may_serve(rep, session)?;
        }
        if let Some(to) = invite {
            self.emit(now, Event::InviteGone { session: id, to, reason: "joined".to_owned() }, out);
        }
        let monitor = invite.is_none() && monitors.is_none();
        self.emit(now, Event::Joined { session: id, rep, participant, monitor }, out);
        Ok(Outcome::Session(id))
    }

    /// A rep leaves a shared session; an owner only while another internal rep stays (R8.2 rule 1).
    pub(super) fn depart(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if let Actor::Party(party @ Party::External(..)) = actor {
            return self.external_departs(now, party, id, out);
        }
        let rep = self.console_of(actor)?;
        let session = self.session_of(id)?;
        let Some(me) = session.participant_of(Party::Rep(rep)) else {
            return refuse(Reason::NotParticipant, "R7.4", "not in this session");
        };
        if session.is_show() {
            self.end(now, id, EndReason::ByRep, out);
            return Ok(Outcome::Done);
        }
        if me.role != Role::Owner {
            self.emit(now, Event::Departed { session: id, rep, reason: "left".to_owned() }, out);
            return Ok(Outcome::Done);
        }
        if self.heir(session, rep).is_none() {
            return refuse(Reason::WrongState, "R8.2", "nobody else is in it: transfer or end the session");
        }
        self.orphan(now, id, rep, out);
        Ok(Outcome::Done)
    }

    /// R7.6: the old owner stays as participant.
    pub(super) fn take_over(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        self.is_no_show(id, "R7.6")?;
        let session = self.session_of(id)?;
        let owner = active_owner(session)?;
        if owner == rep {
            return refuse(Reason::WrongState, "R7.6", "already its owner");
        }
        if !self.outranks(rep, owner) {
            return refuse(Reason::NotPermitted, "R7.6", "taking over needs a higher role in the owner's team");
        }
        if session.participant_of(Party::Rep(rep)).is_none() {
            self.may_serve(rep, session)?;
        }
        let rule = OwnerRule::TakeOver;
        self.emit(now, Event::OwnerChanged { session: id, from: Some(owner), to: rep, rule }, out);
        Ok(Outcome::Session(id))
    }
}

pub(super) fn active_owner(session: &Session) -> Result<UserId, Refusal> {
    match session.stage {
        Stage::Active { owner, .. } => Ok(owner),
        _ => refuse(Reason::WrongState, "R7.4", "this session is not active"),
    }
}
