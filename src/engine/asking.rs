//! How a session begins: asked by a customer, an integrator or a key (R2), or with a rep at once.

use super::{
    Actor, Engine, Entry, Event, Queue, Reason, Refusal, Stamped,
    command::{Ask, Customer},
    event::AcceptedHow,
    refusal::refuse,
};
use crate::{ids::*, limits, time::Time};

impl Engine {
    /// Makes a session and places it in its queue (R2.2). Refused whole: `no_rep_available`, `queue_full` and unknown
    /// things. The customer, if one attaches, is participant 0 from the start.
    pub(super) fn ask(
        &mut self,
        now: Time,
        _actor: Actor,
        ask: Ask,
        out: &mut Vec<Stamped>,
    ) -> Result<SessionId, Refusal> {
        let queue = self.admits(&ask)?;
        let session = SessionId(self.state.next_session);
        self.emit(now, Event::Asked { session, ask: Box::new(ask) }, out);
        self.emit(now, Event::Queued { session, queue }, out);
        Ok(session)
    }

    /// The queue in which this ask would begin to wait, or why it would not.
    pub(super) fn admits(&self, ask: &Ask) -> Result<Queue, Refusal> {
        self.check_ask(ask)?;
        self.enterable(self.entry_queue(ask.entry)?)
    }

    /// Customers are asked for by integrators, and by whoever runs the site; reps make keys for them instead (R2.1).
    pub(super) fn may_ask(&self, actor: Actor) -> Result<(), Refusal> {
        match actor {
            Actor::System | Actor::Service(_) => Ok(()),
            Actor::Admin(_) => self.administrator(actor),
            Actor::Party(_) => refuse(Reason::NotPermitted, "R2.1", "only a service account asks for a customer"),
        }
    }

    fn check_ask(&self, ask: &Ask) -> Result<(), Refusal> {
        let site = &self.state.site;
        if ask.skills.len() > limits::SKILLS_PER_SESSION {
            return refuse(Reason::LimitReached, "R4.6", "a session asks for at most 16 skills");
        }
        if ask.skills.iter().any(|skill| !site.skills.contains_key(skill)) {
            return refuse(Reason::UnknownSkill, "R2.5", "no such skill");
        }
        if let Some((rep, _)) = ask.preferred {
            self.user(rep)?;
        }
        if ask.priority.is_some_and(|priority| priority > 100) {
            return refuse(Reason::Malformed, "R1.5", "a priority is between 0 and 100");
        }
        let Customer { name, details, external_key, client } = &ask.customer;
        let names = [name, external_key, &client.name, &client.version, &client.os, &client.display_name];
        if names.iter().any(|name| name.len() > limits::NAME_BYTES_MAX) || details.len() > limits::TEXT_BYTES_MAX {
            return refuse(Reason::Malformed, "", "a name or text is too long");
        }
        Ok(())
    }

    /// R2.2: an issue leads to its team.
    pub(super) fn entry_queue(&self, entry: Entry) -> Result<Queue, Refusal> {
        let site = &self.state.site;
        match entry {
            Entry::Queue(Queue::Team(team)) if !site.teams.contains_key(&team) => {
                refuse(Reason::UnknownTeam, "R2.5", "no such team")
            }
            Entry::Queue(Queue::Personal(user)) => self.user(user).map(|_| Queue::Personal(user)),
            Entry::Queue(queue) => Ok(queue),
            Entry::Issue(issue) => match site.issues.get(&issue) {
                Some(issue) => Ok(Queue::Team(issue.team)),
                None => refuse(Reason::UnknownIssue, "R2.5", "no such issue"),
            },
        }
    }

    /// R2.6: the queue itself, or the designated fallback queue, where available; R6.4: if there is room.
    fn enterable(&self, asked: Queue) -> Result<Queue, Refusal> {
        let state = &self.state;
        let fallback = state.site.options.fallback_team.map(Queue::Team);
        let Some(queue) = [Some(asked), fallback].into_iter().flatten().find(|queue| state.is_available(*queue)) else {
            return refuse(Reason::NoRepAvailable, "R2.6", "nobody serves this queue at the moment");
        };
        if let Queue::Team(team) = queue
            && let Some(most) = state.site.teams.get(&team).map(|team| team.max_queue).filter(|most| *most != 0)
            && state.waiting_in(queue).len() >= most as usize
        {
            return refuse(Reason::QueueFull, "R6.4", "this queue is full");
        }
        Ok(queue)
    }

    /// A session that never waits: active with this rep at once.
    pub(super) fn start_with(
        &mut self,
        now: Time,
        rep: UserId,
        ask: Ask,
        how: AcceptedHow,
        out: &mut Vec<Stamped>,
    ) -> SessionId {
        let session = SessionId(self.state.next_session);
        self.emit(now, Event::Asked { session, ask: Box::new(ask) }, out);
        self.emit(now, Event::Accepted { session, rep, participant: ParticipantId(1), how }, out);
        session
    }
}
