//! A change of the site reaches the rights of running sessions (P6.2): those that it may concern are marked at once, and
//! looked at a turn's worth at a time, so that no edit holds up routing, however many it touches.

use super::{
    super::{Actor, Engine, Event, Outcome, Reason, Refusal, Stamped, State},
    rights::situations,
};
use crate::{ids::*, limits, policy::Tool, time::Time};
use std::ops::Bound;

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
        let (mut kept, mut judged) = (Vec::new(), Vec::new());
        // Most have one channel that ends. To grow by halves would copy as much again.
        out.reserve(1 + self.state.tools.unjudged().min(limits::SESSIONS_JUDGED_PER_TURN));
        let mut after = Bound::Unbounded;
        for _ in 0..limits::SESSIONS_COMPARED_PER_TURN {
            let next = self.state.tools.unjudged.range((after, Bound::Unbounded)).next();
            let Some(session) = next.copied() else { break };
            after = Bound::Excluded(session);
            if !self.is_concerned(session) {
                kept.push(session);
                continue;
            }
            self.judge(at, session, out);
            self.judge_restrictions(at, session, out);
            if !self.end_forbidden_show(at, session, out) {
                judged.push((session, self.state.tools.next_epoch(session)));
            }
            // A session may have many channels: what a turn holds is the other bound.
            if judged.len() == limits::SESSIONS_JUDGED_PER_TURN || out.len() - first >= limits::EVENTS_PER_TURN {
                break;
            }
        }
        if !judged.is_empty() {
            self.emit(at, Event::RightsJudged { sessions: judged }, out);
        }
        if !kept.is_empty() {
            self.emit(at, Event::RightsKept { sessions: kept }, out);
        }
    }

    /// May somebody in it do something else than before? Then what they may do is learned.
    fn is_concerned(&mut self, id: SessionId) -> bool {
        let State { sessions, parties, grants, site, tools, .. } = &mut self.state;
        if let (Some(session), Some(before)) = (sessions.get(&id), &tools.before) {
            if situations(parties, session).any(|situation| grants.differ(before, site, &situation)) {
                return true;
            }
            // Whose team has which script is no permission of the layers (P3.13).
            let using = tools.session(id);
            if !using.is_some_and(|it| it.channels.values().any(|it| it.tool == Tool::CannedScripts)) {
                return false;
            }
        }
        self.learn(id);
        true
    }
}
