//! What stops a rep from serving one more session, by hand too: the site's hard cap (R3), and one camera at a time (R1.4).

use super::{Engine, Reason, Refusal, Session, State, refusal::refuse, session::Stage};
use crate::{ids::*, policy::Tool, site::SessionKind};

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

    /// R1.4, LR-052: a rep looks through one camera at a time, whichever sessions it is opened in: one that is open or being
    /// opened counts, and so does a lens session elsewhere.
    pub(super) fn looks_through_none(&self, rep: UserId, here: SessionId) -> Result<(), Refusal> {
        let state = &self.state;
        let looks = |session: &Session| {
            let Some(seat) = session.participant_of(Party::Rep(rep)).map(|found| found.id) else { return false };
            let owns = session.owner() == Some(rep);
            let mine = |by: ParticipantId| by == seat || (owns && by == ParticipantId::CUSTOMER);
            let is_lens = session.ask.kind == SessionKind::Lens && session.id != here;
            let using = state.tools.session(session.id);
            let open = using.is_some_and(|using| {
                let channels = using.channels.values().filter(|it| it.tool == Tool::Lens);
                let asked = using.opens.values().filter(|it| it.tool == Tool::Lens);
                channels.filter_map(|it| it.by).chain(asked.map(|it| it.by)).any(mine)
            });
            open || is_lens && matches!(session.stage, Stage::Active { .. })
        };
        match state.sessions_of(rep).filter_map(|id| state.sessions.get(&id)).find(|session| looks(session)) {
            Some(session) => {
                let message =
                    format!("a rep looks through one camera at a time: close that of session {} first", session.id);
                Err(Refusal::new(Reason::LimitReached, "R1.4", message))
            }
            None => Ok(()),
        }
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
