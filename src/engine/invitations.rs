//! Invitations into a session (R7.4): to a rep, to whoever of a team comes first, and by mail to a rep who is not logged
//! in and has extended availability on.

use super::{
    Actor, Engine, Event, Outcome, Queue, Reason, Refusal, Session, Stamped,
    command::InvitationAnswer,
    refusal::refuse,
    session::{Invite, Role},
    sharing::active_owner,
};
use crate::{
    ids::*,
    limits,
    policy::{Tool, ToolOption},
    site::UserPermission,
    time::{Span, Time},
};

impl Engine {
    /// Invites a rep, or any rep of a team; the first to accept joins. `mail`: of the links, where mail can be sent.
    pub(super) fn share(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        to: Queue,
        mail: Option<SecretHash>,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        let session = self.session_of(id)?;
        active_owner(session)?;
        if !session.participant_of(Party::Rep(rep)).is_some_and(|it| matches!(it.role, Role::Owner | Role::Sharer)) {
            return refuse(Reason::NotParticipant, "R7.4", "only who serves the session invites to it");
        }
        self.within_reach(rep, to, UserPermission::ShareOutside, "R7.4")?;
        let session = self.session_of(id)?;
        self.permitted_act(id, rep, Tool::Collaborate)?;
        self.within_scope(session, rep, (ToolOption::CollaborateTo, Tool::Collaborate), to, "R7.4")?;
        if session.invites.iter().any(|invite| invite.to == to) {
            return refuse(Reason::WrongState, "R7.4", "this invitation is open already");
        }
        if session.invites.len() >= limits::INVITATIONS_PER_SESSION {
            return refuse(Reason::LimitReached, "R7.4", "too many invitations are open");
        }
        self.may_be_handed(to)?;
        let (lives, mailed) = self.reach(session, to, mail)?;
        self.emit(now, Event::Invited { session: id, by: rep, to, expires_at: now + lives, mailed }, out);
        Ok(Outcome::Done)
    }

    /// How long the invitation lives, and the token of its mail if it goes by mail.
    fn reach(
        &self,
        session: &Session,
        to: Queue,
        mail: Option<SecretHash>,
    ) -> Result<(Span, Option<SecretHash>), Refusal> {
        let nobody = |message| refuse(Reason::NoRepAvailable, "R7.4", message);
        let user = match to {
            Queue::Team(team) if self.state.logged_in(team) == 0 => return nobody("nobody of this team is logged in"),
            Queue::Team(team) => return Ok((self.state.site.teams[&team].alert_timeout, None)),
            Queue::Personal(user) => user,
        };
        if session.participant_of(Party::Rep(user)).is_some() {
            return refuse(Reason::WrongState, "R7.4", "this rep is in the session already");
        }
        if self.state.consoles.contains_key(&user) {
            return Ok((limits::INVITATION, None));
        }
        if !self.state.extended.contains(&user) {
            return nobody("this rep is not logged in");
        }
        match mail {
            Some(token) if self.state.index.mailed(token).is_some() => {
                Err(Refusal::new(Reason::Stale, "I-K2", "this token was given out already: draw another"))
            }
            Some(token) => Ok((limits::INVITATION_BY_MAIL, Some(token))),
            None => nobody("this rep is reached by mail only, and this broker sends none"),
        }
    }

    /// Switches extended availability: from then on the rep holds a seat, logged in or not, and is never assigned to
    /// while logged out.
    pub(super) fn extended(
        &mut self,
        now: Time,
        actor: Actor,
        on: bool,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let user = self.console_of(actor)?;
        if on && !self.may(user, UserPermission::ExtendedAvailability) {
            return refuse(Reason::NotPermitted, "R7.4", "extended availability needs its permission");
        }
        if on && self.user(user)?.email.is_empty() {
            return refuse(Reason::NotPermitted, "R7.4", "this account has no mail address to invite it by");
        }
        if self.state.extended.contains(&user) != on {
            self.emit(now, Event::ExtendedSet { user, on }, out);
        }
        Ok(Outcome::Done)
    }

    /// Switches it off for whoever may not have it any more: disabled, expired, deleted, without permission to
    /// have it or to provide support, or without address.
    pub(super) fn end_extended(&mut self, at: Time, out: &mut Vec<Stamped>) {
        let wall_ms = self.state.wall_ms(at);
        let may = |user: &UserId| {
            self.may(*user, UserPermission::ExtendedAvailability)
                && self.state.supports(*user)
                && self.state.site.users.get(user).is_some_and(|user| {
                    !user.email.is_empty() && user.expires_ms.is_none_or(|expires| wall_ms < expires)
                })
        };
        let gone: Vec<UserId> = self.state.extended.iter().filter(|user| !may(user)).copied().collect();
        for user in gone {
            self.emit(at, Event::ExtendedSet { user, on: false }, out);
            let invited: Vec<SessionId> = self.state.index.invited_to(user).collect();
            for session in invited {
                let by_mail = self.invitation(session, user).is_some_and(|invite| invite.mailed.is_some());
                if by_mail && !self.state.consoles.contains_key(&user) {
                    self.invite_gone(at, session, Queue::Personal(user), "switched_off", out);
                }
            }
        }
    }

    /// A link of a mail was followed. A token is as good as its invitation: unknown, answered and expired look alike.
    pub(super) fn answer_invitation(
        &mut self,
        now: Time,
        token: SecretHash,
        answer: InvitationAnswer,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let gone = || Refusal::new(Reason::KeyGone, "R7.4", "this invitation is not open any more");
        let (session, user) =
            self.mailed_to(token).filter(|(.., accepted)| !accepted).map(|it| (it.0, it.1)).ok_or_else(gone)?;
        let to = Queue::Personal(user);
        match answer {
            InvitationAnswer::Accept => {
                self.emit(now, Event::InviteAccepted { session, to }, out);
                self.join_accepted(now, user, out);
            }
            InvitationAnswer::Decline => self.invite_gone(now, session, to, "declined", out),
            InvitationAnswer::DeclineAndSwitchOff => {
                self.invite_gone(now, session, to, "declined", out);
                if self.state.extended.contains(&user) {
                    self.emit(now, Event::ExtendedSet { user, on: false }, out);
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// No server took the mail: who invited learns it at once instead of when the invitation runs out. An external rep's key
    /// stays good: who invited has it too.
    pub(super) fn mail_failed(
        &mut self,
        now: Time,
        actor: Actor,
        token: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if actor != Actor::System {
            return refuse(Reason::NotPermitted, "R7.4", "only the broker says that a mail failed");
        }
        if let Some((session, user, false)) = self.mailed_to(token) {
            self.invite_gone(now, session, Queue::Personal(user), "mail_failed", out);
        } else if let Some(key) = self.state.keys.external(token) {
            let (session, by, address) = (key.session, key.by, key.address.clone());
            self.emit(now, Event::MailFailed { session, by, address }, out);
        }
        Ok(Outcome::Done)
    }

    /// A rep who accepted by mail joins as soon as they are logged in.
    pub(super) fn join_accepted(&mut self, at: Time, user: UserId, out: &mut Vec<Stamped>) {
        if !self.state.consoles.contains_key(&user) {
            return;
        }
        let accepted = |id: &SessionId| self.invitation(*id, user).is_some_and(|invite| invite.accepted);
        let sessions: Vec<SessionId> = self.state.index.invited_to(user).filter(accepted).collect();
        for session in sessions {
            if self.join(at, Actor::Party(Party::Rep(user)), session, out).is_err() {
                self.invite_gone(at, session, Queue::Personal(user), "cannot_join", out);
            }
        }
    }

    /// What ran out for the people around a session: an invitation, or the grace of an external rep who is gone.
    pub(super) fn fire_people(&mut self, at: Time, id: SessionId, out: &mut Vec<Stamped>) {
        let Some(session) = self.state.sessions.get(&id) else { return };
        let grace = self.state.site.options.reconnect_grace;
        let lost = |lost: Option<Time>| lost.is_some_and(|lost| lost + grace <= at);
        let guest = session.guests.iter().find(|(_, guest)| lost(guest.lost)).map(|(guest, _)| *guest);
        if let Some(invite) = session.invites.iter().find(|invite| invite.expires_at <= at) {
            let to = invite.to;
            self.invite_gone(at, id, to, "expired", out);
        } else if let Some(guest) = guest {
            self.external_leaves(at, id, guest, "lost", out);
        }
    }

    fn invitation(&self, session: SessionId, user: UserId) -> Option<&Invite> {
        self.state.sessions.get(&session)?.invites.iter().find(|invite| invite.to == Queue::Personal(user))
    }

    /// The session and rep of a mailed invitation, and whether it was accepted.
    fn mailed_to(&self, token: SecretHash) -> Option<(SessionId, UserId, bool)> {
        let session = self.state.index.mailed(token)?;
        let invite = self.state.sessions.get(&session)?.invites.iter().find(|it| it.mailed == Some(token))?;
        match invite.to {
            Queue::Personal(user) => Some((session, user, invite.accepted)),
            Queue::Team(_) => None,
        }
    }

    fn invite_gone(&mut self, at: Time, session: SessionId, to: Queue, reason: &str, out: &mut Vec<Stamped>) {
        self.emit(at, Event::InviteGone { session, to, reason: reason.to_owned() }, out);
    }
}
