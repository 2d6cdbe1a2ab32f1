//! Requests for help between reps (R7.4): a session of its own that waits by an issue's skills and priority and is
//! offered like any other; whoever takes it joins the session it is for, and it ends.

use super::{
    Actor, Engine, Entry, Event, Outcome, Reason, Refusal, Stamped,
    command::{Ask, Customer},
    event::EndReason,
    refusal::refuse,
    session::{Role, Stage},
};
use crate::{ids::*, limits, policy::Tool, time::Time};

impl Engine {
    pub(super) fn ask_for_help(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        issue: IssueId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        let session = self.session_of(id)?;
        if !matches!(session.stage, Stage::Active { .. }) {
            return refuse(Reason::WrongState, "R7.4", "this session is not active");
        }
        if !session.participant_of(Party::Rep(rep)).is_some_and(|it| matches!(it.role, Role::Owner | Role::Sharer)) {
            return refuse(Reason::NotParticipant, "R7.4", "only who serves the session asks for help with it");
        }
        self.permitted_act(id, rep, Tool::Collaborate)?;
        match self.state.site.issues.get(&issue) {
            None => return refuse(Reason::UnknownIssue, "R2.5", "no such issue"),
            Some(found) if !found.help_requests => {
                return refuse(Reason::NotPermitted, "R1.5", "this issue is not for requests for help");
            }
            Some(_) => {}
        }
        let open = self.state.index.help_for(id);
        if open.count() >= limits::HELP_REQUESTS_PER_SESSION {
            return refuse(Reason::LimitReached, "R7.4", "help is asked for already: let somebody come");
        }
        let ask = Ask {
            kind: session.ask.kind,
            portal: session.ask.portal,
            customer: Customer { name: session.ask.customer.name.clone(), ..Customer::default() },
            helps: Some(id),
            ..Ask::of(Entry::Issue(issue))
        };
        self.ask(now, actor, ask, out).map(Outcome::Session)
    }

    /// Somebody took a request for help: they join what it is for.
    pub(super) fn help(
        &mut self,
        at: Time,
        request: SessionId,
        helped: SessionId,
        rep: UserId,
        out: &mut Vec<Stamped>,
    ) {
        let here = self.state.sessions.get(&helped);
        let room = |len: usize| len < limits::PARTICIPANTS_PER_SESSION;
        let joins = here.filter(|it| it.participant_of(Party::Rep(rep)).is_none() && room(it.participants.len()));
        let participant = joins.map(|here| ParticipantId(here.next_participant));
        let reason = if participant.is_some() { EndReason::Helped } else { EndReason::HelpOver };
        self.emit(at, Event::Ended { session: request, reason }, out);
        if let Some(participant) = participant {
            self.emit(at, Event::Joined { session: helped, rep, participant, monitor: false }, out);
        }
    }

    /// What is not served any more needs no help.
    pub(super) fn end_help(&mut self, at: Time, helped: SessionId, out: &mut Vec<Stamped>) {
        if self.state.sessions.get(&helped).is_some_and(|it| matches!(it.stage, Stage::Active { .. })) {
            return;
        }
        let requests: Vec<SessionId> = self.state.index.help_for(helped).collect();
        for request in requests {
            self.end(at, request, EndReason::HelpOver, out);
        }
    }

    /// Whose waiting request this is: who may take it back (R7.4).
    pub(super) fn asked_for_help(&self, rep: UserId, request: SessionId) -> bool {
        let helped = self.state.sessions.get(&request).and_then(|it| self.state.sessions.get(&it.ask.helps?));
        helped
            .and_then(|helped| helped.participant_of(Party::Rep(rep)))
            .is_some_and(|it| matches!(it.role, Role::Owner | Role::Sharer))
    }

    /// A request for help waits where its issue leads; nobody sends it elsewhere by hand.
    pub(super) fn is_no_request(&self, id: SessionId, rule: &str) -> Result<(), Refusal> {
        match self.session_of(id)?.ask.helps {
            None => Ok(()),
            Some(_) => refuse(Reason::WrongState, rule, "this is a request for help: take it, or let it wait"),
        }
    }
}
