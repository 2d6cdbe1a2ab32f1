//! Acts by hand on what waits: take, get next, transfer (R7.1–R7.3).

use super::{
    Actor, Engine, Event, Outcome, Queue, Reason, Refusal, Stamped,
    event::{AcceptedHow, MoveRule},
    index::portal_bars,
    refusal::refuse,
    session::Stage,
};
use crate::{
    ids::*,
    policy::{Tool, ToolOption},
    routing::Place,
    site::{StatusShown, TeamRole, UserPermission},
    time::Time,
};

impl Engine {
    /// R7.1: from the own queue always; from a team queue with membership and its permission.
    pub(super) fn take(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        let session = self.session_of(id)?;
        let Some(waiting) = session.waiting() else {
            return refuse(Reason::WrongState, "R7.1", "this session does not wait");
        };
        self.has_agreed(session)?;
        match waiting.queue {
            Queue::Personal(owner) if owner != rep => {
                return refuse(Reason::NotPermitted, "R7.1", "this session waits in another rep's own queue");
            }
            Queue::Personal(_) => {}
            Queue::Team(team) => {
                if !self.user(rep)?.teams.contains_key(&team) {
                    return refuse(Reason::NotMember, "R7.1", "not a member of this team");
                }
                let to_me = waiting.offer.as_ref().is_some_and(|offer| offer.rep == rep);
                if !to_me && !self.may(rep, UserPermission::AcceptFromQueue) {
                    return refuse(Reason::NotPermitted, "R7.1", "taking from a team queue needs its permission");
                }
                if portal_bars(&self.state.site, session, team) {
                    return refuse(Reason::NotPermitted, "R3.12", "this team may not serve the session's portal");
                }
            }
        }
        self.may_serve(rep, session)?;
        Ok(Outcome::Session(self.serve(now, id, rep, AcceptedHow::Take, out)))
    }

    /// R7.2: the session queued longest over all the rep's teams, or the most urgent where the site says so.
    pub(super) fn get_next(&mut self, now: Time, actor: Actor, out: &mut Vec<Stamped>) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        if !self.may(rep, UserPermission::GetNext) {
            return refuse(Reason::NotPermitted, "R7.2", "get next needs its permission");
        }
        let index = &self.state.index;
        let mine = self.state.consoles[&rep].offer.and_then(|id| self.state.sessions.get(&id)).map(|session| {
            if self.state.site.options.get_next_by_priority {
                let ageing = self.state.site.options.priority_ageing_per_min;
                Place::new(session.priority, ageing, session.first_queued, session.id)
            } else {
                Place::by_age(session.first_queued, session.id)
            }
        });
        let may = |place: &Place| {
            self.state.sessions.get(&place.session).is_some_and(|session| !self.state.lens_bars(session, rep))
        };
        let next = self
            .user_teams(rep)
            .filter_map(|team| index.backlog.takeable(team).find(may))
            .chain(mine.filter(may))
            .min();
        let Some(Place { session, .. }) = next else {
            return refuse(Reason::QueueEmpty, "R7.2", "nothing waits in your teams");
        };
        self.below_hard_cap(rep)?;
        Ok(Outcome::Session(self.serve(now, session, rep, AcceptedHow::GetNext, out)))
    }

    /// R7.3: the other participants leave. An open offer is withdrawn (R5.7).
    pub(super) fn transfer(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        to: Queue,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let session = self.session_of(id)?;
        let from = session.last_queue;
        let owner = session.owner();
        self.is_no_request(id, "R7.3")?;
        self.is_no_show(id, "R7.3")?;
        if let Actor::Party(_) = actor {
            let rep = self.console_of(actor)?;
            self.may_dispose(rep, id)?;
            self.permitted_act(id, rep, Tool::Transfer)?;
            self.within_reach(rep, to, UserPermission::TransferOutside, "R7.3")?;
            self.may_transfer(rep, id, to)?;
        } else {
            self.administrator(actor)?;
            self.entry_queue(super::Entry::Queue(to))?;
        }
        self.may_be_handed(to)?;
        match &self.session_of(id)?.stage {
            Stage::Held { .. } => return refuse(Reason::WrongState, "R7.7", "a held session stays with its owner"),
            Stage::Waiting(waiting) if waiting.queue == to => {
                return refuse(Reason::WrongState, "R7.3", "the session waits in this queue already");
            }
            _ => {}
        }
        if !self.state.is_available(to) {
            return refuse(Reason::NoRepAvailable, "R8.3", "nobody serves that queue at the moment");
        }
        self.withdraw(now, id, "transferred", out);
        let others: Vec<UserId> = self.session_of(id)?.reps().filter(|rep| Some(*rep) != owner).collect();
        for rep in others {
            self.emit(now, Event::Departed { session: id, rep, reason: "transferred".to_owned() }, out);
        }
        self.emit(now, Event::Moved { session: id, from, to, rule: MoveRule::Transfer }, out);
        Ok(Outcome::Done)
    }

    /// P3.24, R7.3: where transfers are limited to listed groups, the Rescue form holds: a
    /// rep who is shown away or busy is not handed one.
    fn may_transfer(&self, rep: UserId, id: SessionId, to: Queue) -> Result<(), Refusal> {
        let session = self.session_of(id)?;
        let listed = self.within_scope(session, rep, (ToolOption::TransferTo, Tool::Transfer), to, "R7.3")?;
        if let Queue::Personal(user) = to
            && listed
            && self.state.consoles.get(&user).is_some_and(|console| console.shown != StatusShown::Available)
        {
            return refuse(Reason::RepBusy, "R7.3", "this rep is shown away or busy");
        }
        Ok(())
    }

    /// The owner, or a lead or manager over a lower role in the same team. What waits belongs to the rep of its own
    /// queue, or to the leads and managers of its team.
    fn may_dispose(&self, rep: UserId, id: SessionId) -> Result<(), Refusal> {
        let session = self.session_of(id)?;
        let allowed = match &session.stage {
            Stage::Active { owner, .. } | Stage::Held { owner, .. } => *owner == rep || self.outranks(rep, *owner),
            Stage::Waiting(waiting) => match waiting.queue {
                Queue::Personal(owner) => owner == rep || self.outranks(rep, owner),
                Queue::Team(team) => self.role_in(rep, team).is_some_and(|role| role >= TeamRole::Lead),
            },
        };
        if allowed {
            Ok(())
        } else {
            refuse(Reason::NotOwner, "R7.3", "only its owner, or a lead or manager above, may")
        }
    }

    /// Own teams and their members, or anywhere with the permission.
    pub(super) fn within_reach(
        &self,
        rep: UserId,
        to: Queue,
        beyond: UserPermission,
        rule: &str,
    ) -> Result<(), Refusal> {
        self.entry_queue(super::Entry::Queue(to))?;
        if self.state.reaches(rep, to, beyond) {
            return Ok(());
        }
        refuse(Reason::NotPermitted, rule, "only own teams and their members without the permission")
    }

    pub(super) fn role_in(&self, user: UserId, team: TeamId) -> Option<TeamRole> {
        self.state.site.users.get(&user)?.teams.get(&team).copied()
    }

    /// R1.3: a higher role in a team both are in, team by team.
    pub(super) fn outranks(&self, rep: UserId, other: UserId) -> bool {
        self.user_teams(rep)
            .any(|team| self.role_in(other, team).is_some_and(|role| self.role_in(rep, team) > Some(role)))
    }
}
