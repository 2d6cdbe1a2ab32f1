//! A change of the site reaches the rights of running sessions (P6.2): whose permissions it changed is found at once, and
//! these sessions are judged a turn's worth at a time, so that no edit holds up routing, however many it touches.

use super::super::{Actor, Engine, Event, Outcome, Reason, Refusal, Stamped};
use crate::{
    ids::*,
    limits,
    policy::{Permissions, Situation, Tool},
    time::Time,
};
use std::sync::Arc;

/// What each rep in each running session might do before the site changed.
pub(in crate::engine) struct Before(Vec<(SessionId, Vec<Held>)>);

type Held = (Situation, Arc<Permissions>);

impl Engine {
    /// Looked at before the site changes.
    pub(in crate::engine) fn rights_before(&mut self) -> Before {
        let sessions: Vec<SessionId> = self.state.sessions.keys().copied().collect();
        let mut before = Vec::new();
        for id in sessions {
            let situations = self.state.situations(id);
            if !situations.is_empty() {
                let held = situations.into_iter().map(|situation| {
                    let permissions = self.state.grants.learn(&self.state.site, &situation);
                    (situation, permissions)
                });
                before.push((id, held.collect()));
            }
        }
        Before(before)
    }

    /// Marks the sessions in which somebody's permissions are others than before, and judges the first of them.
    pub(in crate::engine) fn rights_after(&mut self, at: Time, Before(before): Before, out: &mut Vec<Stamped>) {
        let mut sessions = Vec::new();
        for (id, held) in before {
            let changed = held.into_iter().any(|(situation, before)| {
                let after = self.state.grants.learn(&self.state.site, &situation);
                *after != *before
            });
            // Whose team has which script is no permission of the layers (P3.13).
            let runs_a_script = self
                .state
                .tools
                .session(id)
                .is_some_and(|using| using.channels.values().any(|channel| channel.tool == Tool::CannedScripts));
            if (changed || runs_a_script) && self.state.sessions.contains_key(&id) {
                sessions.push(id);
            }
        }
        if !sessions.is_empty() {
            self.emit(at, Event::RightsTouched { sessions }, out);
            self.judge_some(at, out);
        }
    }

    /// The broker goes on with what an edit touched.
    pub(in crate::engine) fn judge_rights(
        &mut self,
        now: Time,
        actor: Actor,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if actor != Actor::System {
            return Err(Refusal::new(Reason::NotPermitted, "P6.2", "only the broker goes on with an edit"));
        }
        self.judge_some(now, out);
        Ok(Outcome::Done)
    }

    fn judge_some(&mut self, at: Time, out: &mut Vec<Stamped>) {
        let some: Vec<SessionId> =
            self.state.tools.unjudged.iter().copied().take(limits::SESSIONS_JUDGED_PER_TURN).collect();
        for session in some {
            self.judge(at, session, out);
            self.next_permissions(at, session, out);
        }
    }
}
