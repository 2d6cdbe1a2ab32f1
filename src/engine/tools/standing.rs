//! What outlasts the request that asked for it: how the customer is held back (P3.4), and what the customer's end does
//! when the session is over (P3.30). The session remembers both, so that an end that comes back is told again.

use super::{
    super::{Engine, Event, Stamped, event::Cause, session::Role, session::Stage},
    Open,
    settle::cause,
};
use crate::{
    ids::*,
    policy::{Tool, Word, plan::Rights},
    time::Time,
    wire::control::Value,
};

impl Engine {
    /// What is to be remembered of a request that the customer's end has taken up.
    pub(super) fn remembered(&self, session: SessionId, request: &Open) -> Option<Event> {
        let mode = match request.args.get("mode") {
            Some(Value::Text(mode)) => mode.as_str(),
            _ => return None,
        };
        let by = request.by;
        match (request.tool, Word::from_name(mode)) {
            (Tool::CustomerRestrictions, Some(mode)) => Some(Event::Restricted { session, by, mode }),
            // `off` is no word of the tool's: it takes no right, so anybody who may ask lifts what another has set.
            (Tool::CustomerRestrictions, None) => {
                self.state.session(session)?.restricted.map(|_| Event::RestrictionsLifted { session, cause: None })
            }
            (Tool::Termination, Some(mode)) => Some(Event::TerminationSet { session, by, mode }),
            _ => None,
        }
    }

    /// After whatever may have ended it: nobody is held back by who left, lost the right or does not serve any more. What
    /// those in the session may do is learned.
    pub(super) fn judge_restrictions(&mut self, at: Time, session: SessionId, out: &mut Vec<Stamped>) {
        if let Err(cause) = self.restrictions_hold(session) {
            self.emit(at, Event::RestrictionsLifted { session, cause }, out);
        }
    }

    /// Lifted for a reason of its own where this participant set them, or whoever did.
    pub(super) fn lift_restrictions(
        &mut self,
        at: Time,
        session: SessionId,
        of: Option<ParticipantId>,
        source: &str,
        out: &mut Vec<Stamped>,
    ) {
        let set = self.state.session(session).and_then(|here| here.restricted);
        if set.is_some_and(|(by, _)| of.is_none_or(|of| of == by)) {
            let cause = cause(Tool::CustomerRestrictions, source);
            self.emit(at, Event::RestrictionsLifted { session, cause }, out);
        }
    }

    fn restrictions_hold(&self, session: SessionId) -> Result<(), Option<Cause>> {
        let Some(here) = self.state.session(session) else { return Ok(()) };
        let Some((by, mode)) = here.restricted else { return Ok(()) };
        let tool = Tool::CustomerRestrictions;
        match here.stage {
            Stage::Active { .. } => {}
            Stage::Held { .. } => return Err(cause(tool, "hold")),
            Stage::Waiting(_) => return Err(None),
        }
        let there = here.participant(by).filter(|there| there.role != Role::Monitor).ok_or(None)?;
        let granted = self.granted(here, there.party);
        let needed = crate::policy::ToolValue::Word(mode).rights(tool.shape());
        if granted.rights(tool) & needed == needed {
            return Ok(());
        }
        Err(Some(Cause { tool, source: granted.source(tool) }))
    }
}
