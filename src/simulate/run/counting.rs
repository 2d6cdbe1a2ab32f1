//! The figures of a run: who waits, who is handled and until when.

use super::{Act, Run};
use crate::{
    engine::{Event, Queue, event::EndReason},
    ids::*,
    simulate::report::Tally,
    time::{Span, Time},
};

/// One session as the figures see it.
pub(super) struct Guest {
    /// Where it was first asked for; none: a rep started it.
    queue: Option<Queue>,
    asked: Time,
    pub answered: bool,
    /// Since when it is being handled; none while it waits or is held.
    handled_since: Option<Time>,
    /// Handling still to come; none: until a step ends it.
    pub left: Option<Span>,
    /// Counts acceptances: an end that was set for an earlier one is void.
    pub turn: u32,
}

impl Guest {
    pub fn new(asked: Time, queue: Option<Queue>, left: Option<Span>) -> Self {
        Self { queue, asked, answered: false, handled_since: None, left, turn: 0 }
    }
}

/// In total, and for its queue.
fn keys(queue: Option<Queue>) -> impl Iterator<Item = Option<Queue>> {
    [None].into_iter().chain(queue.map(Some))
}

impl Run {
    pub(super) fn count(&mut self, at: Time, event: &Event) {
        match event {
            Event::LoggedIn { user } => self.staff(*user, true),
            Event::LoggedOut { user, .. } => self.staff(*user, false),
            // What a rep started, without a customer who asked.
            Event::Asked { session, .. } => {
                let handle = self.auto.handle;
                self.guests.entry(*session).or_insert_with(|| Guest::new(at, None, handle));
            }
            Event::Accepted { session, .. } => {
                self.foresight.accepted(at, *session);
                self.answered(at, *session);
                self.begin_handling(*session);
            }
            Event::Resumed { session } => {
                self.handle_on(at, *session);
                self.begin_handling(*session);
            }
            Event::Held { session } | Event::Moved { session, .. } => {
                self.foresight.gone(*session);
                self.stop_handling(at, *session);
            }
            Event::Ended { session, reason } => {
                self.foresight.gone(*session);
                self.stop_handling(at, *session);
                let Some(guest) = self.guests.remove(session) else { return };
                // Nothing names a customer who came by chance again.
                if !self.sources.is_empty() {
                    self.names.forget(*session);
                }
                let gave_up = matches!(reason, EndReason::LeftQueue) && !guest.answered;
                for tally in self.tallies_of(guest.queue) {
                    tally.abandoned += u64::from(gave_up);
                }
            }
            _ => {}
        }
    }

    fn staff(&mut self, user: UserId, is_in: bool) {
        let Some(it) = self.engine.state().site.users.get(&user) else { return };
        let places = u64::from(it.max_sessions);
        let teams = it.teams.keys().map(|team| Some(Queue::Team(*team)));
        for queue in teams.chain([Some(Queue::Personal(user)), None]) {
            let all = self.places.entry(queue).or_default();
            *all = if is_in { *all + places } else { all.saturating_sub(places) };
        }
    }

    /// The first answer ends the wait.
    fn answered(&mut self, at: Time, session: SessionId) {
        let Some(guest) = self.guests.get_mut(&session) else { return };
        if !std::mem::replace(&mut guest.answered, true) && guest.queue.is_some() {
            let (wait, queue) = (at.since(guest.asked).0, guest.queue);
            for tally in self.tallies_of(queue) {
                tally.waits.push(wait);
            }
        }
        self.handle_on(at, session);
    }

    fn handle_on(&mut self, at: Time, session: SessionId) {
        let Some(guest) = self.guests.get_mut(&session) else { return };
        if guest.handled_since.replace(at).is_none() {
            let queue = guest.queue;
            for key in keys(queue) {
                *self.active.entry(key).or_default() += 1;
            }
        }
    }

    fn stop_handling(&mut self, at: Time, session: SessionId) {
        let Some(guest) = self.guests.get_mut(&session) else { return };
        let Some(since) = guest.handled_since.take() else { return };
        guest.turn += 1;
        guest.left = guest.left.map(|left| Span(left.0.saturating_sub(at.since(since).0)));
        let queue = guest.queue;
        for key in keys(queue) {
            if let Some(active) = self.active.get_mut(&key) {
                *active -= 1;
            }
        }
    }

    /// Sets the end of what is being handled, where one is known.
    fn begin_handling(&mut self, session: SessionId) {
        let Some(guest) = self.guests.get(&session) else { return };
        if let (Some(since), Some(left)) = (guest.handled_since, guest.left) {
            let end = Act::End { session, turn: guest.turn };
            self.plan(since + left, end);
        }
    }

    fn tallies_of(&mut self, queue: Option<Queue>) -> impl Iterator<Item = &mut Tally> {
        let total = queue.is_some().then_some(&mut self.total);
        queue.and_then(|queue| self.tallies.get_mut(&queue)).into_iter().chain(total)
    }
}
