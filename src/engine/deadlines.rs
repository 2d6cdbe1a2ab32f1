//! What time alone brings to a session, and in what order where several things are due at once.

use super::{
    Engine, Entry, Event, Queue, Session, Stamped, State,
    event::EndReason,
    session::{Stage, Waiting},
};
use crate::{
    ids::*,
    limits,
    routing::skills,
    site::{Algorithm, Overdue, Site},
    time::{Span, Time},
};

/// When each thing is due for a session; none where it cannot be.
#[derive(Default)]
pub(super) struct Deadlines {
    /// R7.4: an invitation expires, or a guest has been lost too long.
    people: Option<Time>,
    /// R10.2: the disclaimer goes unanswered.
    disclaimer: Option<Time>,
    /// R10.3: its customer has been gone too long. R7.7: it was held too long.
    gone: Option<Time>,
    /// R7.9: a rep in it has done nothing for too long.
    inactive: Option<Time>,
    /// R6.4: it waited too long in all.
    waited: Option<Time>,
    /// R5.3: its offer is answered by nobody.
    offer_over: Option<Time>,
    offer_warning: Option<Time>,
    /// R6.1: it waited too long in this queue.
    overdue: Option<Time>,
    /// R4.7: the next step of the search by skill.
    relax: Option<Time>,
    /// R4.8: the preferred rep is no longer waited for.
    window: Option<Time>,
}

impl Deadlines {
    pub fn first(&self) -> Option<Time> {
        let Self { people, disclaimer, gone, inactive, waited, offer_over, offer_warning, overdue, relax, window } =
            self;
        let all = [people, disclaimer, gone, inactive, waited, offer_over, offer_warning, overdue, relax, window];
        all.into_iter().flatten().min().copied()
    }
}

impl State {
    pub(super) fn session_deadlines(&self, session: &Session) -> Deadlines {
        let options = &self.site.options;
        let guests = session.guests.values().filter_map(|guest| guest.lost).map(|lost| lost + options.reconnect_grace);
        let mut due = Deadlines {
            people: session.invites.iter().map(|invite| invite.expires_at).chain(guests).min(),
            disclaimer: session.disclaimer,
            ..Deadlines::default()
        };
        match &session.stage {
            Stage::Held { since, .. } => due.gone = Some(*since + limits::HOLD_MAX),
            Stage::Active { .. } => {
                due.gone = self.customer_gone_at(session, options.reconnect_timeout);
                due.inactive = self.inactive_at(session).map(|(due, _)| due);
            }
            Stage::Waiting(_) if session.placed().is_none() => {}
            Stage::Waiting(waiting) => {
                due.gone = self.customer_gone_at(session, limits::CUSTOMER_GRACE);
                due.waited = (!options.max_wait.is_zero()).then(|| waiting.began + options.max_wait);
                due.offer_over = waiting.offer.as_ref().map(|offer| offer.expires_at);
                due.offer_warning = waiting.offer.as_ref().filter(|offer| !offer.warned).map(|offer| offer.warn_at());
                due.overdue = self.overdue_at(waiting);
                due.relax = self.relax_at(session, waiting);
                due.window = session.window_ends().filter(|_| !waiting.window_over);
            }
        }
        due
    }

    /// R10.3: until when its customer, who is away, is waited for; longer where its machine was told to start again.
    fn customer_gone_at(&self, session: &Session, grace: Span) -> Option<Time> {
        let lost = session.customer_lost?;
        let back = session.rebooting.map(|told| told + self.site.options.reboot_timeout);
        Some(back.map_or(lost + grace, |back| back.max(lost + grace)))
    }

    /// R6.1: when the team's rule for waiting sessions applies; none once it has.
    pub(super) fn overdue_at(&self, waiting: &Waiting) -> Option<Time> {
        let Queue::Team(team) = waiting.queue else { return None };
        match self.site.teams.get(&team)?.overdue {
            Overdue::Mark { after } | Overdue::Transfer { after, .. } if !waiting.overdue => {
                Some(waiting.since + after)
            }
            _ => None,
        }
    }

    /// R4.7: when the next step may be taken; none where there is no stay time or no further step.
    pub(super) fn relax_at(&self, session: &Session, waiting: &Waiting) -> Option<Time> {
        let Queue::Team(team) = waiting.queue else { return None };
        let stay = stay_time(&self.site, session, team).filter(|stay| !stay.is_zero())?;
        let last = skills::steps(&self.site.skills, &session.skills).len() as u64 - 1;
        let next = u64::from(waiting.step) + 1;
        (next <= last).then(|| waiting.since + Span(stay.0.saturating_mul(next)))
    }
}

/// R4.7: of the ask, else the issue, else the team; none where the team does not search by skill.
pub(super) fn stay_time(site: &Site, session: &Session, team: TeamId) -> Option<Span> {
    let team = site.teams.get(&team)?;
    if team.algorithm != Algorithm::SkillsLeastBusy || session.skills.is_empty() {
        return None;
    }
    let of_issue = || match session.ask.entry {
        Entry::Issue(issue) => site.issues.get(&issue)?.relax_after,
        Entry::Queue(_) => None,
    };
    Some(session.ask.relax_after.or_else(of_issue).unwrap_or(team.relax_after))
}

impl Engine {
    /// Fires the first thing that is due for a session.
    pub(super) fn fire_session(&mut self, at: Time, id: SessionId, out: &mut Vec<Stamped>) {
        let Some(session) = self.state.sessions.get(&id) else { return };
        let when = self.state.session_deadlines(session);
        let due = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= at);
        let (step, offered) = match session.waiting() {
            Some(waiting) => (waiting.step, waiting.offer.as_ref().map(|offer| offer.rep)),
            None => (0, None),
        };
        if due(when.people) {
            self.fire_people(at, id, out);
        } else if due(when.disclaimer) {
            self.end(at, id, EndReason::Declined, out);
        } else if due(when.gone) {
            let reason = match session.stage {
                Stage::Held { .. } => EndReason::HoldExpired,
                Stage::Active { .. } => EndReason::ByCustomer,
                Stage::Waiting(_) => EndReason::LeftQueue,
            };
            self.end(at, id, reason, out);
        } else if due(when.inactive) {
            self.remove_inactive(at, id, out);
        } else if due(when.waited) {
            self.end(at, id, EndReason::WaitTimeout, out);
        } else if let Some(rep) = offered.filter(|_| due(when.offer_over)) {
            self.emit(at, Event::OfferTimeout { session: id, rep }, out);
        } else if due(when.overdue) {
            self.overdue(at, id, out);
        } else if let Some(rep) = offered.filter(|_| due(when.offer_warning)) {
            self.emit(at, Event::OfferWarned { session: id, rep }, out);
        } else if due(when.relax) {
            self.emit(at, Event::Relaxed { session: id, step: step + 1 }, out);
        } else if due(when.window) {
            self.emit(at, Event::Relaxed { session: id, step }, out);
        }
    }
}
