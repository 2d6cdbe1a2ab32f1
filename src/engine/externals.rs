//! External reps (R7.5): somebody from outside helps in one session, by a key that works once. They never own it, hold a
//! seat, have the rights of a policy made for invites and never more than who invited (P2.5), and leave with the last
//! internal rep.

use super::{
    Actor, Engine, Event, Outcome, Queue, Reason, Refusal, Session, Stamped,
    refusal::refuse,
    session::{Role, Stage},
};
use crate::{
    ids::*,
    limits,
    policy::{Tool, ToolOption, ToolValue},
    site::{UserPermission, is_mail_address},
    time::Time,
    wire::control::ClientInfo,
};
use serde::{Deserialize, Serialize};

/// On whose word an external rep is in a session, and by which policy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Guest {
    pub by: UserId,
    /// The mail address the key was made for: who they are is not proven by it.
    pub address: String,
    pub policy: PolicyId,
    /// Since when the connection has been gone.
    pub lost: Option<Time>,
}

/// A key for an external rep that was not used yet.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ExternalKey {
    pub session: SessionId,
    pub by: UserId,
    pub address: String,
    pub policy: PolicyId,
    pub expires: Time,
}

impl Engine {
    /// Makes a key for one person outside the site; it works once, for two hours, while the session lives.
    #[expect(clippy::too_many_arguments, reason = "the fields of one command")]
    pub(super) fn invite_external(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        address: &str,
        policy: Option<PolicyId>,
        key: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        let session = self.session_of(id)?;
        self.may_invite(rep, session)?;
        if !is_mail_address(address) {
            return refuse(Reason::Malformed, "R7.5", "an external rep is invited by a mail address: name@example.com");
        }
        let granted = self.state.granted(session, Party::Rep(rep));
        let (approved, source) = granted.option_from(ToolOption::InviteExternalTo);
        if let ToolValue::List(entries) = approved
            && !entries.iter().any(|entry| entry.eq_ignore_ascii_case(address))
        {
            let message = "this address is not one of those approved for external reps";
            let refusal = Refusal::new(Reason::NotPermitted, "R7.5", message);
            return Err(refusal.of_tool(Tool::InviteExternal, source));
        }
        let policy = self.invite_policy(policy)?;
        let open = self.state.keys.externals().filter(|key| key.session == id).count();
        if open + session.guests.len() >= limits::EXTERNALS_PER_SESSION {
            return refuse(
                Reason::LimitReached,
                "R7.5",
                "as many external reps as a session takes are invited or in it",
            );
        }
        self.is_new(key)?;
        let expires_at = now + limits::EXTERNAL_KEY;
        let address = address.to_owned();
        self.emit(now, Event::ExternalInvited { session: id, by: rep, address, policy, key, expires_at }, out);
        Ok(Outcome::Done)
    }

    /// An external rep comes with a key. Unknown, used and expired ones look alike, and what its maker may not do at
    /// this moment, the key cannot either (I-A10).
    pub(super) fn redeem_invite(
        &mut self,
        now: Time,
        key: SecretHash,
        client: &ClientInfo,
        resume: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let gone = || Refusal::new(Reason::KeyGone, "R7.5", "this key is not good any more: ask for another");
        let ExternalKey { session, by, address, policy, .. } =
            self.state.keys.external(key).cloned().ok_or_else(gone)?;
        let here = self.state.sessions.get(&session).ok_or_else(gone)?;
        self.may_invite(by, here).map_err(|_| gone())?;
        self.invite_policy(Some(policy)).map_err(|_| gone())?;
        if here.participants.len() >= limits::PARTICIPANTS_PER_SESSION {
            return refuse(Reason::LimitReached, "R7.5", "the session is full");
        }
        self.seat_free(self.user(by)?.pool)?;
        let participant = ParticipantId(here.next_participant);
        self.emit(now, Event::KeyUsed { key }, out);
        self.emit(now, Event::ExternalJoined { session, participant, by, address, policy }, out);
        let party = Party::External(session, participant);
        let epoch = self.attach(now, party, resume, client.clone(), out);
        Ok(Outcome::Attached { party, epoch })
    }

    /// They leave by themselves.
    pub(super) fn external_departs(
        &mut self,
        now: Time,
        party: Party,
        id: SessionId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let here = self.state.sessions.get(&id).and_then(|session| session.participant_of(party));
        match here.map(|me| me.id) {
            Some(me) => {
                self.external_leaves(now, id, me, "left", out);
                Ok(Outcome::Done)
            }
            None => refuse(Reason::UnknownSession, "", "no such session"),
        }
    }

    /// After a rep left, logged out, or the session moved: no external rep stays without an internal one who is there.
    pub(super) fn dismiss_unattended(&mut self, at: Time, id: SessionId, out: &mut Vec<Stamped>) {
        let Some(session) = self.state.sessions.get(&id).filter(|session| !session.guests.is_empty()) else { return };
        if session.reps().any(|rep| self.state.consoles.contains_key(&rep)) {
            return;
        }
        let guests: Vec<ParticipantId> = session.guests.keys().copied().collect();
        for guest in guests {
            self.external_leaves(at, id, guest, "no_internal_rep", out);
        }
    }

    /// After the site changed or an account ended: whoever came on the word of somebody who is shut out, or by a policy
    /// that is not for invites any more, leaves.
    pub(super) fn dismiss_unvouched(&mut self, at: Time, out: &mut Vec<Stamped>) {
        let site = &self.state.site;
        let vouched = |guest: &Guest| {
            site.users.get(&guest.by).is_some_and(|user| user.enabled)
                && site.policies.get(&guest.policy).is_some_and(|policy| policy.for_invites)
        };
        let gone: Vec<(SessionId, ParticipantId)> = self
            .state
            .sessions
            .values()
            .flat_map(|it| it.guests.iter().filter(|(_, guest)| !vouched(guest)).map(|(guest, _)| (it.id, *guest)))
            .collect();
        for (session, guest) in gone {
            self.external_leaves(at, session, guest, "not_vouched_for", out);
        }
    }

    pub(super) fn external_leaves(
        &mut self,
        at: Time,
        session: SessionId,
        participant: ParticipantId,
        reason: &str,
        out: &mut Vec<Stamped>,
    ) {
        self.emit(at, Event::ExternalLeft { session, participant, reason: reason.to_owned() }, out);
    }

    /// Who serves an active session and has both the user's and the session's permission.
    fn may_invite(&self, rep: UserId, session: &Session) -> Result<(), Refusal> {
        if !matches!(session.stage, Stage::Active { .. }) {
            return refuse(Reason::WrongState, "R7.5", "this session is not active");
        }
        let serves = |role: Role| matches!(role, Role::Owner | Role::Sharer);
        if !session.participant_of(Party::Rep(rep)).is_some_and(|it| serves(it.role)) {
            return refuse(Reason::NotParticipant, "R7.5", "only who serves the session invites to it");
        }
        if !self.may(rep, UserPermission::InviteExternal) {
            return refuse(Reason::NotPermitted, "R7.5", "inviting external reps needs its permission");
        }
        self.permitted_act(session.id, rep, Tool::InviteExternal)
    }

    /// The policy named, or the only one that is marked for invites.
    fn invite_policy(&self, named: Option<PolicyId>) -> Result<PolicyId, Refusal> {
        let mut marked = self.state.site.policies.iter().filter(|(_, policy)| policy.for_invites).map(|(id, _)| *id);
        match (named, marked.next(), marked.next()) {
            (Some(named), ..) => match self.state.site.policies.get(&named) {
                Some(policy) if policy.for_invites => Ok(named),
                _ => refuse(Reason::NotPermitted, "R7.5", "this policy is not marked for invites"),
            },
            (None, Some(only), None) => Ok(only),
            (None, None, _) => refuse(Reason::NotPermitted, "R7.5", "no policy of the site is marked for invites"),
            (None, ..) => refuse(Reason::Malformed, "R7.5", "several policies are marked for invites: name one"),
        }
    }

    /// P3.24: a scope is `any`, or lists queues; a listed team means its members too. True: it is a list, and names it.
    pub(super) fn within_scope(
        &self,
        session: &Session,
        rep: UserId,
        (scope, tool): (ToolOption, Tool),
        to: Queue,
        rule: &str,
    ) -> Result<bool, Refusal> {
        let granted = self.state.granted(session, Party::Rep(rep));
        let (listed, source) = granted.option_from(scope);
        let ToolValue::List(entries) = listed else { return Ok(false) };
        if self.state.scope_names(entries, to) {
            return Ok(true);
        }
        let message = format!("{} is limited to listed groups, and this is none of them", tool.name());
        Err(Refusal::new(Reason::NotPermitted, rule, message).of_tool(tool, source))
    }
}
