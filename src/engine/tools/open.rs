//! Requests to open a tool, and the other end's answer (W1.3): policy, then prompt, then the other end.

use super::{
    super::{
        Actor, Engine, Event, Outcome, Reason, Refusal, Session, Stamped,
        event::{Cause, ChannelSpec},
        session,
    },
    Granted, InSession, Open, OpenStage,
};
use crate::{
    ids::*,
    limits,
    policy::{
        Tool,
        plan::{self, Args, Asked, Planned, Readers, Side, Unplanned},
    },
    time::Time,
    wire::{Kind, control::Value},
};

/// Channels that one request asks for at most; kept free for each one that waits (H-77).
const CHANNELS_PER_OPEN: usize = 2;

impl Engine {
    /// Asks for a tool. The answer says which request it is and which prompt it waits for; what becomes of it are events.
    pub(in crate::engine) fn open(
        &mut self,
        now: Time,
        actor: Actor,
        session: SessionId,
        tool: Tool,
        args: &Args,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let (by, side) = self.acting(session, actor)?;
        self.learn(session);
        let here = self.session_in(session)?;
        self.has_agreed(here)?;
        let owner = match here.stage {
            session::Stage::Active { owner, .. } => owner,
            _ => return Err(Refusal::new(Reason::WrongState, "W1.3", "tools open in a session that is being served")),
        };
        takes_part(here, by, tool)?;
        here.hears_no_chat(side, tool)?;
        let rep = self.rep_of(here, by, side).unwrap_or(Party::Rep(owner));
        let granted = self.granted(here, rep);
        let kind = here.ask.kind;
        let planned = plan::plan(Asked { tool, args, by: side, kind }, &granted)
            .map_err(|unplanned| refusal(tool, unplanned, &granted))?;
        match tool {
            Tool::Deploy => drop(self.deployed(rep, &planned.args)?),
            Tool::PinJumpClient | Tool::Unattended => drop(self.pinned(session, rep, tool, &planned.args)?),
            Tool::Lens => {
                if let Party::Rep(user) = rep {
                    self.looks_through_none(user, session)?;
                }
            }
            _ => {}
        }
        self.fits(session, by, tool, &planned.args, planned.channels.len())?;
        let (open, prompt) = self.request(now, session, by, tool, planned.args, out);
        Ok(Outcome::Opening { open, prompt })
    }

    /// What the policy allows: the customer is asked, or else the other end is at once.
    pub(super) fn request(
        &mut self,
        now: Time,
        session: SessionId,
        by: ParticipantId,
        tool: Tool,
        args: Args,
        out: &mut Vec<Stamped>,
    ) -> (OpenId, Option<PromptId>) {
        let open = self.state.tools.next_open(session);
        let here = self.state.sessions.get(&session);
        // A customer who asks has consented by asking; and who is held back may have no way to answer.
        let asks = side_of(by) == Side::Rep && !lets_go(tool, &args);
        let rep = here.and_then(|here| Some((here, here.participant(by).filter(|_| asks)?.party)));
        let question = rep.and_then(|(here, rep)| self.question(session, by, tool, &self.granted(here, rep)));
        let prompt = question.map(|question| self.prompt(now, session, by, tool, question, out));
        self.emit(now, Event::OpenRequested { session, open, by, tool, args, prompt }, out);
        match prompt {
            Some(prompt) => self.answer_for_the_absent(now, session, prompt, out),
            None => self.offer_open(now, session, open, out),
        }
        (open, prompt)
    }

    /// The other end takes a request up; its channels begin.
    pub(in crate::engine) fn accept_open(
        &mut self,
        now: Time,
        actor: Actor,
        session: SessionId,
        open: OpenId,
        facts: &Args,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let (me, _) = self.acting(session, actor)?;
        self.learn(session);
        let gone = || Refusal::new(Reason::OpenGone, "W1.3", format!("request {open} does not wait for this end"));
        sound(facts)?;
        let request = self.state.tools.session(session).and_then(|using| using.opens.get(&open)).ok_or_else(gone)?;
        match request.stage {
            OpenStage::Offered { to, .. } if to == me => {}
            _ => return Err(gone()),
        }
        let request = request.clone();
        let channels = self.channels_of(session, &request, me).ok_or_else(gone)?;
        let kept = if matches!(request.tool, Tool::Deploy | Tool::PinJumpClient | Tool::Unattended) {
            let by = self.session_in(session)?.participant(request.by).ok_or_else(gone)?.party;
            let kept = match request.tool {
                Tool::Deploy => self.handed_over(by, &request.args, facts).map(|made| vec![made]),
                _ => self.pinned_to(session, by, (request.tool, &request.args), facts),
            };
            // Why its rep may not any more is nothing to the customer.
            kept.map_err(|refusal| match refusal.reason {
                Reason::Malformed | Reason::Stale | Reason::LimitReached => refusal,
                _ => gone(),
            })?
        } else {
            Vec::new()
        };
        let remembered = self.remembered(session, &request);
        let (tool, facts) = (request.tool, facts.clone());
        self.emit(now, Event::Opened { session, open, tool, channels, facts }, out);
        remembered.into_iter().for_each(|event| self.emit(now, event, out));
        kept.into_iter().for_each(|made| self.emit(now, made, out));
        Ok(Outcome::Opened { open })
    }

    /// The other end says no, or who asked takes the request back.
    pub(in crate::engine) fn refuse_open(
        &mut self,
        now: Time,
        actor: Actor,
        session: SessionId,
        open: OpenId,
        reason: &str,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let (me, _) = self.acting(session, actor)?;
        let request = self.state.tools.session(session).and_then(|using| using.opens.get(&open));
        let mine = request.is_some_and(|request| {
            request.by == me || matches!(request.stage, OpenStage::Offered { to, .. } if to == me)
        });
        if !mine {
            let message = format!("request {open} does not wait for this end");
            return Err(Refusal::new(Reason::OpenGone, "W1.3", message));
        }
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(limits::NAME_BYTES_MAX).collect();
        self.drop_open(now, session, open, Reason::EndRefused, &reason, None, out);
        self.withdraw_idle_prompts(now, session, out);
        Ok(Outcome::Done)
    }

    /// Facts about a channel for its other ends, from its writer or a reader (W1.8).
    pub(in crate::engine) fn note(
        &mut self,
        now: Time,
        actor: Actor,
        session: SessionId,
        channel: ChannelId,
        facts: &Args,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let (by, _) = self.acting(session, actor)?;
        let known = self.state.tools.session(session).and_then(|using| using.channels.get(&channel));
        let known = known.filter(|channel| channel.spec.writer == by || channel.spec.readers.contains(&by));
        let gone = || Refusal::new(Reason::OpenGone, "W1.8", format!("channel {channel} is not open to this end"));
        let known = known.ok_or_else(gone)?;
        sound(facts)?;
        let added = facts.keys().filter(|name| !known.facts.contains_key(*name)).count();
        if known.facts.len() + added > limits::FACTS_MAX {
            let message = format!("a channel has at most {} facts", limits::FACTS_MAX);
            return Err(Refusal::new(Reason::LimitReached, "W1.8", message));
        }
        self.emit(now, Event::Noted { session, channel, by, facts: facts.clone() }, out);
        Ok(Outcome::Done)
    }

    /// The relay saw a channel end. Where the output of a shell or a screen ends, nobody types into it any more.
    pub(in crate::engine) fn channel_ended(
        &mut self,
        now: Time,
        actor: Actor,
        channel: ChannelId,
        reason: &str,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if actor != Actor::System {
            return Err(Refusal::new(Reason::NotPermitted, "W1.8", "only the relay says that a channel ended"));
        }
        let Some(session) = self.state.tools.session_of(channel) else { return Ok(Outcome::Done) };
        let using = self.state.tools.session(session);
        let mut ended = vec![channel];
        if let Some((using, channel)) = using.and_then(|using| Some((using, using.channels.get(&channel)?))) {
            ended.extend(using.inputs_of(channel.spec.channel));
        }
        for channel in ended {
            let reason = reason.to_owned();
            self.emit(now, Event::ChannelClosed { session, channel, reason, cause: None }, out);
        }
        Ok(Outcome::Done)
    }

    /// The relay saw one reader end; with the last of them the channel does.
    pub(in crate::engine) fn leg_ended(
        &mut self,
        now: Time,
        actor: Actor,
        channel: ChannelId,
        reader: ParticipantId,
        reason: &str,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let session = self.state.tools.session_of(channel);
        let using = session.and_then(|session| self.state.tools.session(session));
        let readers = using.and_then(|using| using.channels.get(&channel)).map(|channel| &channel.spec.readers);
        match (session, readers) {
            (Some(_), Some(readers)) if *readers == [reader] => self.channel_ended(now, actor, channel, reason, out),
            (Some(session), Some(readers)) if readers.contains(&reader) => {
                if actor != Actor::System {
                    return Err(Refusal::new(Reason::NotPermitted, "W1.8", "only the relay says that a leg ended"));
                }
                self.emit(
                    now,
                    Event::LegClosed { session, channel, reader, reason: reason.to_owned(), cause: None },
                    out,
                );
                Ok(Outcome::Done)
            }
            _ => Ok(Outcome::Done),
        }
    }

    /// Policy and customer allow it: the other end is asked.
    pub(super) fn offer_open(&mut self, now: Time, session: SessionId, open: OpenId, out: &mut Vec<Stamped>) {
        let Some(request) = self.state.tools.session(session).and_then(|using| using.opens.get(&open)) else { return };
        let here = self.state.sessions.get(&session);
        let to = match request.by {
            ParticipantId::CUSTOMER => here.and_then(|here| {
                let owner = Party::Rep(here.owner()?);
                here.participant_of(owner).map(|owner| owner.id)
            }),
            _ => Some(ParticipantId::CUSTOMER),
        };
        match to {
            Some(to) => self.emit(now, Event::OpenOffered { session, open, to }, out),
            None => self.drop_open(now, session, open, Reason::OpenGone, "nobody is at the other end", None, out),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event, and where it goes")]
    pub(super) fn drop_open(
        &mut self,
        now: Time,
        session: SessionId,
        open: OpenId,
        code: Reason,
        reason: &str,
        cause: Option<Cause>,
        out: &mut Vec<Stamped>,
    ) {
        let (code, reason) = (code.name().to_owned(), reason.to_owned());
        self.emit(now, Event::OpenRefused { session, open, code, reason, cause }, out);
    }

    /// Who acts, and on which side. A session that does not exist and one this party is not in look alike (H-42).
    pub(in crate::engine) fn acting(&self, session: SessionId, actor: Actor) -> Result<(ParticipantId, Side), Refusal> {
        let unknown = || {
            let message = format!("there is no session {session} that you are in");
            Refusal::new(Reason::UnknownSession, "", message)
        };
        let Actor::Party(party) = actor else { return Err(unknown()) };
        let here = self.state.sessions.get(&session).and_then(|here| here.participant_of(party));
        let participant = here.ok_or_else(unknown)?;
        Ok((participant.id, side_of(participant.id)))
    }

    pub(super) fn session_in(&self, session: SessionId) -> Result<&Session, Refusal> {
        let unknown = || Refusal::new(Reason::UnknownSession, "", format!("there is no session {session}"));
        self.state.session(session).ok_or_else(unknown)
    }

    fn rep_of(&self, here: &Session, by: ParticipantId, side: Side) -> Option<Party> {
        (side == Side::Rep).then(|| here.participant(by).map(|participant| participant.party))?
    }

    /// H-77 and what may be open only once.
    fn fits(
        &self,
        session: SessionId,
        by: ParticipantId,
        tool: Tool,
        args: &Args,
        planned: usize,
    ) -> Result<(), Refusal> {
        if let Some(Value::Int(beside)) = args.get("beside") {
            let output = u32::try_from(*beside).ok().map(ChannelId);
            let known = output.and_then(|id| self.state.tools.session(session)?.channels.get(&id));
            if !known.is_some_and(|channel| channel.tool == tool && channel.spec.writer == ParticipantId::CUSTOMER) {
                let message = format!("channel {beside} is not a running {} of this session", tool.name());
                return Err(Refusal::new(Reason::OpenGone, "W1.1", message).of_tool(tool, ""));
            }
        }
        self.has_room(session, planned)?;
        let Some(using) = self.state.tools.session(session) else { return Ok(()) };
        let chatting = tool == Tool::Chat
            && (using.chats(by) || using.opens.values().any(|open| open.tool == Tool::Chat && open.by == by));
        if chatting {
            return Err(Refusal::new(Reason::WrongState, "P3.18", "the chat is open"));
        }
        Ok(())
    }

    /// H-77.
    pub(super) fn has_room(&self, session: SessionId, planned: usize) -> Result<(), Refusal> {
        let Some(using) = self.state.tools.session(session) else { return Ok(()) };
        if using.channels.len() + CHANNELS_PER_OPEN * using.opens.len() + planned > limits::CHANNELS_PER_SESSION
            || using.opens.len() >= limits::OPENS_PER_SESSION
        {
            let message = format!("a session has at most {} channels", limits::CHANNELS_PER_SESSION);
            return Err(Refusal::new(Reason::LimitReached, "W1.2", message));
        }
        Ok(())
    }

    /// The channels of a request that is taken up, as the session is at this moment.
    fn channels_of(&self, session: SessionId, request: &Open, by_end: ParticipantId) -> Option<Vec<ChannelSpec>> {
        let here = self.state.sessions.get(&session)?;
        let using = self.state.tools.session(session)?;
        let side = side_of(request.by);
        let rep = if side == Side::Rep { request.by } else { by_end };
        let granted = self.granted(here, here.participant(rep)?.party);
        let asked = Asked { tool: request.tool, args: &request.args, by: side, kind: here.ask.kind };
        let planned = plan::plan(asked, &granted).ok()?.channels;
        let muted = |channel: &Planned| request.tool == Tool::Chat && here.chat_off && channel.from == Side::Customer;
        let wanted =
            planned.into_iter().filter(|channel| !muted(channel) && !using.has_chat(request.tool, channel, rep));
        let ids = (self.state.tools.next_channel()..).map(ChannelId);
        Some(
            ids.zip(wanted)
                .map(|(channel, planned)| {
                    let writer = if planned.from == Side::Customer { ParticipantId::CUSTOMER } else { rep };
                    let readers = self.readers(here, request.tool, &planned, writer, rep);
                    let Planned { kinds, class, lossy, .. } = planned;
                    ChannelSpec { channel, kinds, class, lossy, writer, readers }
                })
                .collect(),
        )
    }

    fn readers(
        &self,
        here: &Session,
        tool: Tool,
        planned: &Planned,
        writer: ParticipantId,
        rep: ParticipantId,
    ) -> Vec<ParticipantId> {
        let all = here.participants.iter().filter(|reader| reader.id != writer);
        all.filter(|reader| match (planned.readers, side_of(reader.id)) {
            (Readers::Customer | Readers::Everybody, Side::Customer) => true,
            (Readers::Rep, Side::Rep) => reader.id == rep,
            (Readers::Reps | Readers::Everybody, Side::Rep) => {
                let granted = self.granted(here, reader.party);
                plan::permits(tool, here.ask.kind, planned.kinds, planned.from, &granted).is_ok()
            }
            _ => false,
        })
        .map(|reader| reader.id)
        .collect()
    }
}

impl InSession {
    /// This participant writes on a chat channel.
    pub(super) fn chats(&self, by: ParticipantId) -> bool {
        self.channels.values().any(|channel| channel.tool == Tool::Chat && channel.spec.writer == by)
    }

    /// A chat has one channel for each writer, whoever opened it.
    fn has_chat(&self, tool: Tool, planned: &Planned, rep: ParticipantId) -> bool {
        let writer = if planned.from == Side::Customer { ParticipantId::CUSTOMER } else { rep };
        tool == Tool::Chat && self.chats(writer)
    }

    /// Channels on which reps type into what this one shows.
    fn inputs_of(&self, output: ChannelId) -> Vec<ChannelId> {
        let Some(shown) = self.channels.get(&output) else { return Vec::new() };
        let shows = shown.spec.kinds & (Kind::ShellOutput.bit() | Kind::Picture.bit()) != 0;
        if !shows || shown.spec.writer != ParticipantId::CUSTOMER {
            return Vec::new();
        }
        let beside = Value::Int(i64::from(output.0));
        let inputs = self.channels.values().filter(|input| {
            let together = input.open == shown.open || input.args.get("beside") == Some(&beside);
            input.tool == shown.tool && input.spec.writer != ParticipantId::CUSTOMER && together
        });
        inputs.map(|input| input.spec.channel).collect()
    }
}

/// R7.6: who monitors a session uses nothing in it.
pub(super) fn takes_part(here: &Session, by: ParticipantId, tool: Tool) -> Result<(), Refusal> {
    if here.participant(by).is_some_and(|asking| asking.role == session::Role::Monitor) {
        let message = "who monitors a session watches only: join it or take it over";
        return Err(Refusal::new(Reason::NotPermitted, "R7.6", message).of_tool(tool, "monitor"));
    }
    Ok(())
}

/// P3.4: takes no right.
fn lets_go(tool: Tool, args: &Args) -> bool {
    tool == Tool::CustomerRestrictions && matches!(args.get("mode"), Some(Value::Text(mode)) if mode == "off")
}

pub(super) fn side_of(participant: ParticipantId) -> Side {
    if participant == ParticipantId::CUSTOMER { Side::Customer } else { Side::Rep }
}

/// Facts have bounds of their own; what they mean is between the ends.
fn sound(facts: &Args) -> Result<(), Refusal> {
    let long = |value: &Value| match value {
        Value::Text(text) => text.len() > limits::TEXT_BYTES_MAX,
        Value::List(texts) => {
            texts.len() > limits::FACTS_MAX || texts.iter().any(|it| it.len() > limits::NAME_BYTES_MAX)
        }
        Value::Bool(_) | Value::Int(_) => false,
    };
    if facts.len() > limits::FACTS_MAX
        || facts.iter().any(|(name, value)| name.len() > limits::NAME_BYTES_MAX || long(value))
    {
        return Err(Refusal::new(Reason::Malformed, "W1.3", "too many facts, or too long ones"));
    }
    Ok(())
}

/// P6.3: the tool, the reason, and the layer it comes from.
pub(super) fn refusal(tool: Tool, unplanned: Unplanned, granted: &Granted<'_>) -> Refusal {
    let name = tool.name();
    match unplanned {
        Unplanned::NotOpened => Refusal::new(Reason::UnknownTool, "P3", format!("{name} is not something one opens")),
        Unplanned::WrongSide => {
            Refusal::new(Reason::NotPermitted, "P3", format!("{name} is asked for by the other side"))
                .of_tool(tool, "builtin")
        }
        Unplanned::OtherKind => {
            let message = format!("{name} is not part of a chat session");
            Refusal::new(Reason::NotPermitted, "R1.4", message).of_tool(tool, "kind:chat")
        }
        Unplanned::Malformed { arg, message } => {
            Refusal::new(Reason::Malformed, "P3", format!("`{arg}` of {name}: {message}")).of_tool(tool, "")
        }
        Unplanned::Unknown(arg) => {
            Refusal::new(Reason::Malformed, "P3", format!("{name} has no argument `{arg}`")).of_tool(tool, "")
        }
        Unplanned::NotPermitted(missing) => {
            let source = granted.source(missing);
            let message = format!("{} is not permitted here, by {source}", missing.name());
            Refusal::new(Reason::NotPermitted, "P6.3", message).of_tool(missing, source)
        }
        Unplanned::Limited(limited, option) => {
            let (value, source) = granted.option_from(option);
            let message = format!("{} is {value} here, by {source}", option.name());
            Refusal::new(Reason::NotPermitted, "P6.3", message).of_tool(limited, source)
        }
        Unplanned::NoScript(code) => {
            let message = format!("there is no script `{code}` of your teams");
            Refusal::new(Reason::NotPermitted, "P3.13", message).of_tool(tool, "teams")
        }
        Unplanned::Path(list, why) => {
            let source = granted.source(list);
            Refusal::new(Reason::PathRefused, "P5", why).of_tool(list, source)
        }
    }
}
