//! The chat at the start of a session, and whether its customer may write in it (P3.18).

use super::{
    super::{Actor, Engine, Event, Outcome, Reason, Refusal, Session, Stamped, session::Stage},
    open::{refusal, takes_part},
    settle::{REVOKED, cause},
};
use crate::{
    ids::*,
    policy::{
        Tool, ToolOption, ToolValue,
        plan::{self, Args, Asked, Rights, Side, Unplanned},
    },
    time::Time,
};

/// What ends a customer's chat, where no layer did.
const TOGGLED: &str = "chat_toggle";

impl Engine {
    /// LR-011: somebody begins to serve the session: the broker asks for the chat on their behalf, where policy says so and
    /// nobody has to be asked. The customer's end takes it up as any other.
    pub(super) fn chat_at_start(&mut self, at: Time, session: SessionId, out: &mut Vec<Stamped>) {
        self.learn(session);
        let Some(here) = self.state.session(session) else { return };
        let Stage::Active { owner, .. } = here.stage else { return };
        if here.must_agree() || here.is_show() || !here.customer_attached {
            return;
        }
        let granted = self.granted(here, Party::Rep(owner));
        if *granted.option(ToolOption::ChatAtStart) != ToolValue::YES {
            return;
        }
        if let Some(by) = here.participant_of(Party::Rep(owner)).map(|owner| owner.id) {
            self.ask_for_chat(at, session, by, out);
        }
    }

    /// LR-012: whether the customer may write in the chat. Off it is for everybody's chats with the customer, and until it
    /// is turned on or somebody else accepts the session.
    pub(in crate::engine) fn set_chat(
        &mut self,
        now: Time,
        actor: Actor,
        session: SessionId,
        on: bool,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let (by, side) = self.acting(session, actor)?;
        self.learn(session);
        let here = self.session_in(session)?;
        takes_part(here, by, Tool::Chat)?;
        let granted = self.granted(here, here.participant(by).map_or(Party::Customer(session), |there| there.party));
        if side == Side::Customer {
            return Err(refusal(Tool::Chat, Unplanned::WrongSide, &granted));
        }
        if granted.rights(Tool::Chat) == 0 {
            return Err(refusal(Tool::Chat, Unplanned::NotPermitted(Tool::Chat), &granted));
        }
        if *granted.option(ToolOption::ChatToggle) != ToolValue::YES {
            return Err(refusal(Tool::Chat, Unplanned::Limited(Tool::Chat, ToolOption::ChatToggle), &granted));
        }
        if here.chat_off != on {
            return Ok(Outcome::Done);
        }
        self.emit(now, Event::ChatSet { session, by, on }, out);
        if on {
            self.ask_for_chat(now, session, by, out);
            return Ok(Outcome::Done);
        }
        let mut legs = Vec::new();
        if let Some(using) = self.state.tools.session(session) {
            let customers = |by: ParticipantId, tool: Tool| by == ParticipantId::CUSTOMER && is_chat(tool);
            let opens: Vec<OpenId> =
                using.opens.iter().filter(|(_, open)| customers(open.by, open.tool)).map(|(id, _)| *id).collect();
            let closing: Vec<_> = using
                .channels
                .values()
                .filter(|channel| customers(channel.spec.writer, channel.tool))
                .map(|channel| (channel.spec.channel, channel.tool, channel.spec.readers.clone()))
                .collect();
            for open in opens {
                let why = "the customer's chat was turned off";
                self.drop_open(now, session, open, Reason::NotPermitted, why, cause(Tool::Chat, TOGGLED), out);
            }
            for (channel, tool, readers) in closing {
                legs.extend(readers.into_iter().map(|reader| (channel, reader)));
                self.close(now, session, channel, REVOKED, cause(tool, TOGGLED), out);
            }
        }
        let epoch = self.next_permissions(now, session, out);
        Ok(Outcome::Revoked { epoch, legs })
    }

    /// Asks the customer's end for the chat as this rep would, where nobody has to be asked and there is something to open.
    fn ask_for_chat(&mut self, at: Time, session: SessionId, by: ParticipantId, out: &mut Vec<Stamped>) {
        let Some(here) = self.state.session(session) else { return };
        let Some(party) = here.participant(by).map(|by| by.party) else { return };
        let granted = self.granted(here, party);
        let (tool, args) = (Tool::Chat, Args::new());
        let asked = Asked { tool, args: &args, by: Side::Rep, kind: here.ask.kind };
        let Ok(planned) = plan::plan(asked, &granted) else { return };
        // Active alone: what waits for an answer in a held session is over.
        let active = matches!(here.stage, Stage::Active { .. });
        if !active || self.question(session, by, tool, &granted).is_some() {
            return;
        }
        let using = self.state.tools.session(session);
        let chats = using.is_some_and(|using| {
            let waits = using.opens.values().any(|open| open.tool == tool && open.by == by);
            waits || (using.chats(by) && (here.chat_off || using.chats(ParticipantId::CUSTOMER)))
        });
        if chats || self.has_room(session, planned.channels.len()).is_err() {
            return;
        }
        self.request(at, session, by, tool, args, out);
    }
}

impl Session {
    /// The customer writes no chat and sends no file through it while it is turned off.
    pub(super) fn hears_no_chat(&self, side: Side, tool: Tool) -> Result<(), Refusal> {
        if !self.chat_off || side != Side::Customer || !is_chat(tool) {
            return Ok(());
        }
        let message = "the customer's chat is turned off in this session";
        Err(Refusal::new(Reason::NotPermitted, "P3.18", message).of_tool(tool, TOGGLED))
    }
}

const fn is_chat(tool: Tool) -> bool {
    matches!(tool, Tool::Chat | Tool::ChatFiles)
}
