//! R9 as the wire and the command line say it: names for ids, bounded lists.

use super::{
    Event, Refusal, Stamped, State,
    event::{AcceptedHow, name_of},
    explain::Explanation,
    past::{Decided, Past},
};
use crate::{
    ids::*,
    limits,
    wire::control::{Decision, Explained},
};

impl Explanation {
    /// With the names of this state.
    pub fn told(&self, state: &State, session: SessionId) -> Explained {
        let site = &state.site;
        let skill = |skill: &SkillId| site.skills.get(skill).map(|skill| skill.code.clone());
        let name = |user: &UserId| site.username(*user);
        let load = |user: &UserId| (name(user), state.console(*user).map_or(0, |console| console.sessions));
        let mut left_out = std::collections::BTreeMap::new();
        for test in self.rejected.values() {
            *left_out.entry(test.name().to_owned()).or_insert(0) += 1;
        }
        let rejected = self.rejected.iter().take(limits::CANDIDATES_TOLD);
        Explained {
            session: session.0,
            queue: self.queue.address(site),
            algorithm: self.algorithm.as_ref().map(name_of).unwrap_or_default(),
            skills: self.skills.iter().filter_map(skill).collect(),
            step: self.step,
            candidates: self.candidates.iter().map(name).collect(),
            sessions: self.candidates.iter().map(load).collect(),
            more: self.more,
            held_back: self.held_back.iter().take(limits::CANDIDATES_TOLD).map(name).collect(),
            widens_at_ms: self.widens_at.map(|at| at.0),
            rejected: rejected.map(|(user, test)| (name(user), test.name().to_owned())).collect(),
            left_out,
            chosen: self.chosen.as_ref().map(name),
            moved_by: self.moved_by.as_ref().map(name_of).unwrap_or_default(),
            ..Explained::default()
        }
    }
}

impl State {
    /// Why a session is where it is; one that does not wait has nothing but its number to show.
    pub fn explained(&self, session: SessionId) -> Explained {
        match self.explain(self.now, session) {
            Some(found) => found.told(self, session),
            None => Explained { session: session.0, ..Explained::default() },
        }
    }
}

impl Decided<'_> {
    fn told(&self) -> Decision {
        let site = &self.state.site;
        let rep = |user: &UserId| Some(site.username(*user));
        let mut told = Decision { at_ms: self.at.0, offer: self.offer, ..Decision::default() };
        let event = match self.event {
            Event::Queued { queue, .. } => {
                told.to = Some(queue.address(site));
                "queued"
            }
            Event::Offered { rep: to, step, count, rule, .. } => {
                told.rep = rep(to);
                told.step = Some(*step);
                told.sessions = Some(*count);
                told.rule = rule.as_ref().map(name_of).unwrap_or_default();
                "offered"
            }
            Event::Accepted { session, rep: by, how, .. } => {
                told.rep = rep(by);
                told.reason = name_of(how);
                if *how == AcceptedHow::Jump {
                    let item = self.state.session(*session).and_then(|found| site.jump_items.get(&found.ask.item?));
                    told.to = item.map(|item| format!("jump_item:{}", item.code));
                }
                "accepted"
            }
            Event::Rejected { rep: by, .. } => {
                told.rep = rep(by);
                "rejected"
            }
            Event::OfferTimeout { rep: to, .. } => {
                told.rep = rep(to);
                "offer_timeout"
            }
            Event::OfferWithdrawn { rep: to, reason, .. } => {
                told.rep = rep(to);
                told.reason.clone_from(reason);
                "offer_withdrawn"
            }
            Event::Overdue { .. } => "overdue",
            Event::Moved { from, to, rule, .. } => {
                told.from = from.map(|queue| queue.address(site));
                told.to = Some(to.address(site));
                told.rule = name_of(rule);
                "moved"
            }
            Event::Relaxed { step, .. } => {
                told.step = Some(*step);
                "relaxed"
            }
            Event::OwnerChanged { from, to, rule, .. } => {
                told.from = from.as_ref().and_then(rep);
                told.to = rep(to);
                told.rule = name_of(rule);
                "owner_changed"
            }
            Event::Held { .. } => "held",
            Event::Resumed { .. } => "resumed",
            Event::Ended { reason, .. } => {
                told.reason = name_of(reason);
                "ended"
            }
            _ => "",
        };
        told.event = event.to_owned();
        told
    }
}

/// Tells about one session from the turns of its journal, as they are handed in from the first.
pub struct Teller {
    past: Past,
    /// The offer whose full list is wanted; none: how it stands at the end, and what was decided before.
    wanted: Option<u32>,
    decisions: Vec<Decision>,
    left_out: u32,
    offer: Option<Explained>,
}

impl Teller {
    pub fn new(session: SessionId, wanted: Option<u32>) -> Self {
        Self { past: Past::of(session), wanted, decisions: Vec::new(), left_out: 0, offer: None }
    }

    /// The next events of the journal. False: all that is wanted is known.
    pub fn fold(&mut self, events: &[Stamped]) -> bool {
        let Self { past, wanted, decisions, left_out, offer } = self;
        let session = past.session();
        for stamped in events {
            past.fold(stamped, |decided| {
                let told = decided.told();
                if wanted.is_some() && decided.offer == *wanted {
                    let why = decided.why().map(|why| why.told(decided.state, session));
                    *offer = why.map(|why| Explained { decisions: vec![told.clone()], ..why });
                }
                decisions.push(told);
                if decisions.len() > limits::DECISIONS_TOLD {
                    decisions.remove(0);
                    *left_out += 1;
                }
            });
        }
        self.offer.is_none()
    }

    /// What there is to tell.
    ///
    /// # Errors
    /// The journal knows no such session, or no such offer of it.
    pub fn told(self) -> Result<Explained, Refusal> {
        let session = self.past.session();
        if let Some(offer) = self.offer {
            return Ok(offer);
        }
        let unknown = |message: String| Refusal::new(super::Reason::UnknownSession, "R9.1", message);
        if session.0 == 0 || session.0 >= self.past.state().next_session {
            return Err(unknown("there is no such session".to_owned()));
        }
        if let Some(wanted) = self.wanted {
            return Err(unknown(format!("this session has no offer {wanted}; it has {}", self.past.offers())));
        }
        let now = self.past.state().explained(session);
        Ok(Explained { decisions: self.decisions, decisions_left_out: self.left_out, ..now })
    }
}
