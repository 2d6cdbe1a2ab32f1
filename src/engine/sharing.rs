//! Several reps in one session: share, join, depart, take over (R7.4, R7.6).

use super::{
    Actor, Engine, Event, Outcome, Queue, Reason, Refusal, Stamped,
    event::OwnerRule,
    refusal::refuse,
    session::{Role, Session, Stage},
};
use crate::{ids::*, limits, policy::Tool, site::UserPermission, time::Time};

impl Engine {
    /// R7.4: invites a rep, or any rep of a team; the first to accept joins.
    pub(super) fn share(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        to: Queue,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        let session = self.session_of(id)?;
        active_owner(session)?;
        if !session.participant_of(Party::Rep(rep)).is_some_and(|it| matches!(it.role, Role::Owner | Role::Sharer)) {
            return refuse(Reason::NotParticipant, "R7.4", "only who serves the session invites to it");
        }
        self.permitted_act(id, rep, Tool::Collaborate)?;
        self.within_reach(rep, to, UserPermission::ShareOutside, "R7.4")?;
        let session = self.session_of(id)?;
        if session.invites.iter().any(|invite| invite.to == to) {
            return refuse(Reason::WrongState, "R7.4", "this invitation is open already");
        }
        if session.invites.len() >= limits::INVITATIONS_PER_SESSION {
            return refuse(Reason::LimitReached, "R7.4", "too many invitations are open");
        }
        let timeout = match to {
            Queue::Team(team) => self.state.site.teams[&team].alert_timeout,
            Queue::Personal(user) if session.participant_of(Party::Rep(user)).is_some() => {
                return refuse(Reason::WrongState, "R7.4", "this rep is in the session already");
            }
            Queue::Personal(_) => limits::INVITATION,
        };
        let reachable = match to {
            Queue::Team(team) => self.state.logged_in(team) > 0,
            Queue::Personal(user) => self.state.consoles.contains_key(&user),
        };
        if !reachable {
            return refuse(Reason::NoRepAvailable, "R7.4", "nobody is there to be invited");
        }
        self.emit(now, Event::Invited { session: id, by: rep, to, expires_at: now + timeout }, out);
        Ok(Outcome::Done)
    }

    /// By an invitation, or as a higher role of the owner's team (R7.6).
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
        if session.participant_of(Party::Rep(rep)).is_some() {
            return refuse(Reason::WrongState, "R7.4", "already in this session");
        }
        if session.participants.len() >= limits::PARTICIPANTS_PER_SESSION {
            return refuse(Reason::LimitReached, "R7.4", "the session is full");
        }
        let participant = ParticipantId(session.next_participant);
        let mine = |queue: Queue| match queue {
            Queue::Personal(user) => user == rep,
            Queue::Team(team) => self.role_in(rep, team).is_some(),
        };
        let invite = session.invites.iter().map(|invite| invite.to).filter(|to| mine(*to)).max();
        if invite.is_none() && !self.outranks(rep, owner) {
            return refuse(Reason::NotPermitted, "R7.6", "joining needs an invitation or a higher role");
        }
        self.below_hard_cap(rep)?;
        if let Some(to) = invite {
            self.emit(now, Event::InviteGone { session: id, to, reason: "joined".to_owned() }, out);
        }
        self.emit(now, Event::Joined { session: id, rep, participant, monitor: invite.is_none() }, out);
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
        let rep = self.console_of(actor)?;
        let session = self.session_of(id)?;
        let Some(me) = session.participant_of(Party::Rep(rep)) else {
            return refuse(Reason::NotParticipant, "R7.4", "not in this session");
        };
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
        let session = self.session_of(id)?;
        let owner = active_owner(session)?;
        if owner == rep {
            return refuse(Reason::WrongState, "R7.6", "already its owner");
        }
        if !self.outranks(rep, owner) {
            return refuse(Reason::NotPermitted, "R7.6", "taking over needs a higher role in the owner's team");
        }
        if session.participant_of(Party::Rep(rep)).is_none() {
            self.below_hard_cap(rep)?;
        }
        let rule = OwnerRule::TakeOver;
        self.emit(now, Event::OwnerChanged { session: id, from: Some(owner), to: rep, rule }, out);
        Ok(Outcome::Session(id))
    }
}

fn active_owner(session: &Session) -> Result<UserId, Refusal> {
    match session.stage {
        Stage::Active { owner, .. } => Ok(owner),
        _ => refuse(Reason::WrongState, "R7.4", "this session is not active"),
    }
}
