//! The page at the start of a co-browse session (LG-037): its portal names it, and the customer's end shows it.

use super::{
    super::{Engine, Event, Reason, Session, Stamped, State, event::Cause, session::Stage},
    open::refusal,
};
use crate::{
    ids::*,
    policy::{
        Tool,
        plan::{self, Args, Asked, Side},
    },
    site::SessionKind,
    time::Time,
    wire::control::Value,
};

impl State {
    pub(super) fn start_page(&self, session: &Session) -> Option<&str> {
        let portal = self.site.portals.get(&session.ask.portal?)?;
        let page = portal.start_url.as_str();
        (session.ask.kind == SessionKind::Cobrowse && !page.is_empty()).then_some(page)
    }
}

impl Engine {
    /// Somebody begins to serve the session: the broker asks for the page on their behalf, once. The customer is asked where
    /// pushed pages are asked for; one that the list of domains does not have is refused, and both are on record (P3.32).
    pub(super) fn page_at_start(&mut self, at: Time, session: SessionId, out: &mut Vec<Stamped>) {
        self.learn(session);
        let Some(here) = self.state.session(session) else { return };
        let Stage::Active { owner, .. } = here.stage else { return };
        let Some(page) = self.state.start_page(here) else { return };
        let paged = self.state.tools.session(session).is_some_and(|using| using.paged);
        if paged || here.must_agree() || !here.customer_attached || self.has_room(session, 0).is_err() {
            return;
        }
        let Some(by) = here.participant_of(Party::Rep(owner)).map(|owner| owner.id) else { return };
        let (tool, args) = (Tool::PushUrl, Args::from([("url".to_owned(), Value::Text(page.to_owned()))]));
        let granted = self.granted(here, Party::Rep(owner));
        let asked = Asked { tool, args: &args, by: Side::Rep, kind: here.ask.kind };
        let refused = plan::plan(asked, &granted).err().map(|unplanned| refusal(tool, unplanned, &granted));
        let Some(refused) = refused else {
            self.request(at, session, by, tool, args, out);
            return;
        };
        let open = self.state.tools.next_open(session);
        let cause = refused.tool.zip(refused.source).map(|(tool, source)| Cause { tool, source });
        self.emit(at, Event::OpenRequested { session, open, by, tool, args, prompt: None }, out);
        self.drop_open(at, session, open, Reason::NotPermitted, &refused.message, cause, out);
    }
}
