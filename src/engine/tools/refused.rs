//! What was refused goes on record (P6.3): coalesced by the broker, and changing nothing.

use super::super::{Actor, Engine, Event, Outcome, Reason, Refusal, Stamped};
use crate::{
    ids::*,
    policy::{Tool, plan::Rights},
    time::Time,
};

impl Engine {
    /// Requests for a tool, or frames of it. Frames that crossed the end of a channel whose right is still there were not
    /// refused by anybody: of those, for which no source is given, nothing is recorded.
    pub(in crate::engine) fn refusals(
        &mut self,
        now: Time,
        actor: Actor,
        (session, participant, tool): (SessionId, ParticipantId, Tool),
        count: u32,
        source: &str,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        recorder(actor)?;
        self.session_in(session)?;
        let source = match source {
            "" => self.withheld_by(session, participant, tool),
            source => Some(source.to_owned()),
        };
        if let Some(source) = source {
            self.emit(now, Event::Refused { session, participant, tool, count, source }, out);
        }
        Ok(Outcome::Done)
    }

    /// Answers to prompts that were none (H-76).
    pub(in crate::engine) fn answers_refused(
        &mut self,
        now: Time,
        actor: Actor,
        (session, prompt, by): (SessionId, PromptId, Party),
        count: u32,
        code: &str,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        recorder(actor)?;
        self.emit(now, Event::AnswersRefused { session, prompt, by, count, code: code.to_owned() }, out);
        Ok(Outcome::Done)
    }

    /// Requests about jobs of endpoint automation (P8.7, P8.8).
    pub(in crate::engine) fn jobs_refused(
        &mut self,
        now: Time,
        actor: Actor,
        by: UserId,
        count: u32,
        source: &str,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        recorder(actor)?;
        self.emit(now, Event::JobsRefused { by, count, source: source.to_owned() }, out);
        Ok(Outcome::Done)
    }

    /// What keeps this participant from the tool at this moment; a customer's end goes by who serves.
    fn withheld_by(&self, session: SessionId, participant: ParticipantId, tool: Tool) -> Option<String> {
        let here = self.state.sessions.get(&session)?;
        if self.state.tools.session(session).is_some_and(|using| using.withdrawn.contains(&tool)) {
            return Some("customer".to_owned());
        }
        let party = match participant {
            ParticipantId::CUSTOMER => Party::Rep(here.owner()?),
            rep => here.participant(rep)?.party,
        };
        let granted = self.granted(here, party);
        (granted.rights(tool) == 0).then(|| granted.source(tool))
    }
}

fn recorder(actor: Actor) -> Result<(), Refusal> {
    match actor {
        Actor::System => Ok(()),
        _ => Err(Refusal::new(Reason::NotPermitted, "P6.3", "only the broker records refusals")),
    }
}
