//! What stops a rep from serving one more session, by hand too: the site's hard cap (R3), and one camera at a time (R1.4).

use super::{Engine, Reason, Refusal, Session, State, refusal::refuse, session::Stage};
use crate::{ids::*, site::SessionKind};

impl Engine {
    /// The one limit of R3 that stops manual acts, and what the session's kind allows.
    pub(super) fn may_serve(&self, rep: UserId, session: &Session) -> Result<(), Refusal> {
        if session.is_show() {
            return Ok(());
        }
        self.below_hard_cap(rep)?;
        match self.state.lens_bars(session, rep) {
            true => refuse(Reason::LimitReached, "R1.4", "a rep serves one lens session at a time"),
            false => Ok(()),
        }
    }

    pub(super) fn below_hard_cap(&self, rep: UserId) -> Result<(), Refusal> {
        let most = self.state.site.options.max_active_sessions;
        let active = self.state.consoles.get(&rep).map_or(0, |console| console.sessions);
        if most != 0 && active >= most {
            return refuse(Reason::HardCap, "R3", "the most sessions a rep may have at once are active");
        }
        Ok(())
    }
}

impl State {
    /// It shows a customer's camera, and so does another that this rep is in and that is not on hold.
    pub(super) fn lens_bars(&self, session: &Session, rep: UserId) -> bool {
        let is_lens = |it: &Session| it.ask.kind == SessionKind::Lens && it.id != session.id;
        session.ask.kind == SessionKind::Lens
            && self
                .sessions_of(rep)
                .filter_map(|id| self.sessions.get(&id))
                .any(|it| is_lens(it) && matches!(it.stage, Stage::Active { .. }))
    }
}
