//! Offers and the balance: whoever may serve a waiting session is offered it, and nobody stands free beside a backlog
//! (R4, R5, I4).

use super::{
    Actor, Engine, Event, Outcome, Queue, Reason, Refusal, Stamped, State, event::AcceptedHow, refusal::refuse,
    session::Session,
};
use crate::{
    ids::*,
    routing::{
        Demand, Place,
        skills::{self, Held},
    },
    site::Algorithm,
    time::Time,
};
use std::collections::BinaryHeap;

/// Why a session is looked at: it came free itself, or this rep did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Cause {
    Session,
    Rep(UserId),
}

impl Engine {
    /// R5.6: tries what the last events made possible, the most urgent session first. `avoid`: this rep let an offer
    /// of this session run out without that counting as a rejection, and is asked again only if nobody else can be.
    pub(super) fn balance(&mut self, at: Time, avoid: &[(SessionId, UserId)], out: &mut Vec<Stamped>) {
        let mut heap: BinaryHeap<(std::cmp::Reverse<Place>, Cause)> = BinaryHeap::new();
        let index = &mut self.state.index;
        let reps = std::mem::take(&mut index.fresh_reps);
        for session in std::mem::take(&mut index.fresh_sessions) {
            if let Some(place) = index.backlog.place(session) {
                heap.push((std::cmp::Reverse(place), Cause::Session));
            }
        }
        for rep in reps {
            if let Some(place) = self.first_for(rep) {
                heap.push((std::cmp::Reverse(place), Cause::Rep(rep)));
            }
        }
        while let Some((std::cmp::Reverse(place), cause)) = heap.pop() {
            let id = place.session;
            if self.state.index.backlog.place(id) == Some(place)
                && let Some((rep, team, step)) = self.pick(id, avoid)
            {
                let expires_at = at + self.state.site.teams[&team].alert_timeout;
                let count = self.state.consoles.get(&rep).map_or(0, |console| console.sessions);
                let rule = self.state.sessions.get(&id).and_then(|session| session.moved_by);
                self.emit(at, Event::Offered { session: id, rep, team, expires_at, step, count, rule }, out);
            }
            if let Cause::Rep(rep) = cause
                && let Some(place) = self.first_for(rep)
                && place.session != id
            {
                heap.push((std::cmp::Reverse(place), cause));
            }
        }
        // An offer makes nobody eligible; what it touched is settled.
        self.state.index.fresh_reps.clear();
        self.state.index.fresh_sessions.clear();
    }

    /// The most urgent waiting session of any team in which this rep is ready.
    fn first_for(&self, rep: UserId) -> Option<Place> {
        let index = &self.state.index;
        let none = Held::new();
        let held = index.roster.held(rep).unwrap_or(&none);
        let barred = |session: SessionId| {
            let session = &self.state.sessions[&session];
            session.rejected_by.contains(&rep) || self.state.lens_bars(session, rep)
        };
        index.roster.ready_teams(rep).filter_map(|team| index.backlog.first_for(team, rep, held, barred)).min()
    }

    /// R4: the rep this session is offered to, of those eligible (R3).
    fn pick(&self, id: SessionId, avoid: &[(SessionId, UserId)]) -> Option<(UserId, TeamId, u32)> {
        let session = self.state.sessions.get(&id)?;
        let demand = self.state.index.backlog.demand(id)?;
        let avoided = avoid.iter().find(|(session, _)| *session == id).map(|(_, rep)| *rep);
        let may = |rep: UserId| !session.rejected_by.contains(&rep) && !self.state.lens_bars(session, rep);
        self.state.pick_but(session, demand, avoided, may)
    }

    /// R5.3: exactly one rep wins. A session in the rep's own queue is accepted the same way (R7.1).
    pub(super) fn accept(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        let session = self.session_of(id)?;
        if session.invites.iter().any(|invite| invite.to == Queue::Personal(rep)) {
            return self.join(now, actor, id, out);
        }
        let Some(waiting) = session.waiting() else {
            return refuse(Reason::OfferGone, "R5.3", "somebody else serves this session");
        };
        if waiting.queue == Queue::Personal(rep) {
            return self.take(now, actor, id, out);
        }
        if waiting.offer.as_ref().is_none_or(|offer| offer.rep != rep) {
            return refuse(Reason::OfferGone, "R5.3", "this offer is gone");
        }
        self.may_serve(rep, session)?;
        Ok(Outcome::Session(self.serve(now, id, rep, AcceptedHow::Offer, out)))
    }

    /// R5.4; an invitation is declined the same way (R7.4).
    pub(super) fn reject(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        let session = self.session_of(id)?;
        let to = Queue::Personal(rep);
        if session.invites.iter().any(|invite| invite.to == to) {
            self.emit(now, Event::InviteGone { session: id, to, reason: "declined".to_owned() }, out);
            return Ok(Outcome::Done);
        }
        let offered = session.waiting().and_then(|waiting| waiting.offer.as_ref());
        if offered.is_none_or(|offer| offer.rep != rep) {
            return refuse(Reason::OfferGone, "R5.3", "this offer is gone");
        }
        self.emit(now, Event::Rejected { session: id, rep }, out);
        Ok(Outcome::Done)
    }

    /// The session is served by this rep from here on; an offer to somebody else is withdrawn (R5.7). A request for
    /// help leads into the session it is for (R7.4). Gives back the session the rep is in.
    pub(super) fn serve(
        &mut self,
        at: Time,
        id: SessionId,
        rep: UserId,
        how: AcceptedHow,
        out: &mut Vec<Stamped>,
    ) -> SessionId {
        let Some(session) = self.state.sessions.get(&id) else { return id };
        let participant = ParticipantId(session.next_participant);
        let helped = session.ask.helps;
        if self.offered_to(id).is_some_and(|other| other != rep) {
            self.withdraw(at, id, "taken", out);
        }
        self.emit(at, Event::Accepted { session: id, rep, participant, how }, out);
        if let Some(helped) = helped {
            self.help(at, id, helped, rep, out);
        }
        helped.unwrap_or(id)
    }

    pub(super) fn offered_to(&self, id: SessionId) -> Option<UserId> {
        let waiting = self.state.sessions.get(&id)?.waiting()?;
        waiting.offer.as_ref().map(|offer| offer.rep)
    }

    /// R5.7: an open offer ends without an answer.
    pub(super) fn withdraw(&mut self, at: Time, session: SessionId, reason: &str, out: &mut Vec<Stamped>) {
        if let Some(rep) = self.offered_to(session) {
            self.emit(at, Event::OfferWithdrawn { session, rep, reason: reason.to_owned() }, out);
        }
    }

    /// Withdraws every open offer: after a restart no console is there to answer.
    pub(super) fn withdraw_all(&mut self, at: Time, out: &mut Vec<Stamped>) {
        let offered: Vec<SessionId> = self.state.consoles.values().filter_map(|console| console.offer).collect();
        for session in offered {
            self.withdraw(at, session, "restart", out);
        }
    }
}

impl State {
    /// As [`State::pick_for`]; who just let an offer of it run out is asked again only if nobody else can be.
    pub(super) fn pick_but(
        &self,
        session: &Session,
        demand: &Demand,
        avoided: Option<UserId>,
        may: impl Fn(UserId) -> bool,
    ) -> Option<(UserId, TeamId, u32)> {
        avoided
            .and_then(|avoided| self.pick_for(session, demand, |rep| rep != avoided && may(rep)))
            .or_else(|| self.pick_for(session, demand, may))
    }

    /// The chosen rep, the team, and the step of R4.6 that was used.
    pub(super) fn pick_for(
        &self,
        session: &Session,
        demand: &Demand,
        may: impl Fn(UserId) -> bool,
    ) -> Option<(UserId, TeamId, u32)> {
        let Queue::Team(team_id) = session.waiting()?.queue else { return None };
        let team = self.site.teams.get(&team_id)?;
        let roster = &self.index.roster;
        let allowed = match demand {
            Demand::Only(rep) => {
                return (roster.is_ready(*rep, team_id) && may(*rep)).then_some((*rep, team_id, 0));
            }
            Demand::Anyone => u32::MAX,
            Demand::Skilled(_, allowed) => *allowed,
        };
        if team.algorithm != Algorithm::SkillsLeastBusy || session.skills.is_empty() {
            return roster.least_busy(team_id, may).map(|rep| (rep, team_id, 0));
        }
        let steps = skills::steps(&self.site.skills, &session.skills);
        (0..)
            .zip(&steps)
            .take_while(|(step, _)| *step <= allowed)
            .find_map(|(step, asked)| roster.best_skilled(team_id, asked, &may).map(|rep| (rep, team_id, step)))
    }
}
