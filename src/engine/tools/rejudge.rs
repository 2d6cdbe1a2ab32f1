//! A change of the site reaches the rights of running sessions (P6.2): those that it may concern are marked at once, and
//! looked at a turn's worth at a time, so that no edit holds up routing, however many it touches.

use super::{
    super::{Actor, Engine, Event, Outcome, Reason, Refusal, Stamped, State},
    rights::situations,
};
use crate::{ids::*, limits, policy::Tool, time::Time};

impl Engine {
    /// The site is another one: marks the sessions that somebody serves. Where they are few it is all done at once.
    pub(in crate::engine) fn rights_touched(&mut self, at: Time, out: &mut Vec<Stamped>) {
        let served = self.state.sessions.values().filter(|session| session.owner().is_some());
        let sessions: Vec<SessionId> = served.map(|session| session.id).collect();
        if sessions.is_empty() && self.state.tools.before.is_none() {
            return;
        }
        self.emit(at, Event::RightsTouched { sessions }, out);
        if self.state.tools.unjudged() <= limits::SESSIONS_JUDGED_PER_TURN {
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
        let first = out.len();
        let some: Vec<SessionId> =
            self.state.tools.unjudged.iter().copied().take(limits::SESSIONS_COMPARED_PER_TURN).collect();
        let mut kept = Vec::new();
        let mut judged = 0;
        // Most have one channel that ends, and each is told. To grow by halves would copy as much again.
        out.reserve(2 * some.len().min(limits::SESSIONS_JUDGED_PER_TURN));
        for session in some {
            if !self.is_concerned(session) {
                kept.push(session);
                continue;
            }
            self.judge(at, session, out);
            self.judge_restrictions(at, session, out);
            if !self.end_forbidden_show(at, session, out) {
                self.next_permissions(at, session, out);
            }
            judged += 1;
            // A session may have many channels: what a turn holds is the other bound.
            if judged == limits::SESSIONS_JUDGED_PER_TURN || out.len() - first >= limits::EVENTS_PER_TURN {
                break;
            }
        }
        if !kept.is_empty() {
            self.emit(at, Event::RightsKept { sessions: kept }, out);
        }
    }

    /// May somebody in it do something else than before? Then what they may do is learned.
    fn is_concerned(&mut self, id: SessionId) -> bool {
        // Whose team has which script is no permission of the layers (P3.13).
        let using = self.state.tools.session(id);
        let runs_a_script = using.is_some_and(|it| it.channels.values().any(|it| it.tool == Tool::CannedScripts));
        if runs_a_script || self.state.tools.before.is_none() {
            self.learn(id);
            return true;
        }
        let State { sessions, parties, grants, site, tools, .. } = &mut self.state;
        let (Some(session), Some(before)) = (sessions.get(&id), &tools.before) else { return false };
        situations(parties, session).any(|situation| grants.differ(before, site, &situation))
    }
}
