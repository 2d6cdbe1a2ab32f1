//! What was decided about one session (R9.1): the turns of its journal, folded up to the moment before each decision,
//! where the state still holds everything that the decision saw.

use super::{Event, Stamped, State, explain::Explanation};
use crate::{ids::*, time::Time};

/// Folds a journal from its beginning for the sake of one session.
#[derive(Debug)]
pub struct Past {
    session: SessionId,
    state: State,
    /// Who let an offer of it run out, and when: in the same turn others are asked before them (R5.4).
    ran_out: Option<(Time, UserId)>,
    offers: u32,
}

/// One thing that was decided, or done by hand, about the session.
pub struct Decided<'a> {
    pub at: Time,
    pub event: &'a Event,
    /// Of offers: its number, from 1.
    pub offer: Option<u32>,
    /// The state at the moment before.
    pub state: &'a State,
    session: SessionId,
    avoided: Option<UserId>,
}

impl Decided<'_> {
    /// The full list of the moment before; none where the session did not wait then.
    pub fn why(&self) -> Option<Explanation> {
        self.state.explain_but(self.at, self.session, self.avoided)
    }
}

impl Past {
    pub fn of(session: SessionId) -> Self {
        Self { session, state: State::default(), ran_out: None, offers: 0 }
    }

    pub fn session(&self) -> SessionId {
        self.session
    }

    /// How many offers of it there were so far.
    pub fn offers(&self) -> u32 {
        self.offers
    }

    /// The state after what was folded so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Folds the next event. If it is about where the session goes, it is told first.
    pub fn fold(&mut self, stamped: &Stamped, tell: impl FnOnce(Decided<'_>)) {
        let Stamped { at, event } = stamped;
        if let Some((session, is_offer)) = subject(event)
            && session == self.session
        {
            self.offers += u32::from(is_offer);
            let avoided = self.ran_out.filter(|(then, _)| then == at).map(|(_, rep)| rep);
            let offer = is_offer.then_some(self.offers);
            tell(Decided { at: *at, event, offer, state: &self.state, session, avoided });
            if let Event::OfferTimeout { rep, .. } = event {
                self.ran_out = Some((*at, *rep));
            }
        }
        self.state.apply(*at, event);
    }
}

/// The session whose place or owner this is about, and whether it is an offer.
fn subject(event: &Event) -> Option<(SessionId, bool)> {
    match event {
        Event::Offered { session, .. } => Some((*session, true)),
        Event::Queued { session, .. }
        | Event::Accepted { session, .. }
        | Event::Rejected { session, .. }
        | Event::OfferTimeout { session, .. }
        | Event::OfferWithdrawn { session, .. }
        | Event::Overdue { session, .. }
        | Event::Moved { session, .. }
        | Event::Relaxed { session, .. }
        | Event::OwnerChanged { session, .. }
        | Event::Held { session }
        | Event::Resumed { session }
        | Event::Ended { session, .. } => Some((*session, false)),
        _ => None,
    }
}
