//! After every turn: channels of those who left, tools of what ended or is held, and rights that a change took away.

use super::{
    super::{
        Engine, Event, Reason, Session, Stamped,
        event::{AnsweredHow, Cause, OwnerRule},
        session::{self, Role},
    },
    Channel, Granted,
    open::side_of,
};
use crate::{
    ids::*,
    policy::{
        Prompt, Tool,
        plan::{self, Asked, Rights, Side, Unplanned},
    },
    time::Time,
    wire::Kind,
};
use std::collections::BTreeSet;

/// Why legs and channels end, by the names of the frame's close reasons.
pub(super) const REVOKED: &str = "revoked";
const SESSION_ENDED: &str = "session_ended";

/// What becomes of one channel.
#[derive(Default)]
struct Verdict {
    /// The whole channel ends, or these legs of it.
    closed: Option<(&'static str, Option<Cause>)>,
    legs: Vec<(ParticipantId, &'static str, Option<Cause>)>,
    joined: Vec<ParticipantId>,
}

impl Engine {
    /// Follows what happened since `from`. Sessions in which no tool is in use cost a look-up.
    pub(in crate::engine) fn settle_tools(&mut self, at: Time, from: usize, out: &mut Vec<Stamped>) {
        let mut touched = BTreeSet::new();
        let mut deposed = Vec::new();
        let mut cut = Vec::new();
        let mut begun = BTreeSet::new();
        for Stamped { event, .. } in &out[from..] {
            if let Event::Accepted { session, .. }
            | Event::DisclaimerAgreed { session }
            | Event::Attached { party: Party::Customer(session), presented: None, .. } = event
            {
                begun.insert(*session);
            }
            match event {
                Event::OwnerChanged { session, from: Some(old), rule: OwnerRule::TakeOver, .. } => {
                    deposed.push((*session, *old));
                    touched.insert(*session);
                }
                Event::Accepted { session, .. }
                | Event::Joined { session, .. }
                | Event::Departed { session, .. }
                | Event::ExternalJoined { session, .. }
                | Event::ExternalLeft { session, .. }
                | Event::OwnerChanged { session, .. }
                | Event::Queued { session, .. }
                | Event::Moved { session, .. }
                | Event::Held { session }
                | Event::Resumed { session }
                | Event::PortalBound { session, .. }
                | Event::Attached { party: Party::Customer(session), .. }
                | Event::Ended { session, .. } => {
                    touched.insert(*session);
                }
                Event::Detached { party: Party::Customer(session), .. } => cut.push(*session),
                Event::ConnectionsLost => cut.extend(self.state.tools.sessions.keys()),
                _ => {}
            }
        }
        // All of them are told what they may do, in use or not.
        for session in &touched {
            self.learn(*session);
        }
        for session in &touched {
            self.judge_restrictions(at, *session, out);
        }
        let tools = &self.state.tools;
        touched.retain(|session| {
            tools.session(*session).is_some_and(|using| using.in_use() || !using.consents.is_empty())
        });
        for session in cut {
            self.deny_for_the_lost(at, session, out);
        }
        for (session, old) in deposed {
            self.depose(at, session, old, out);
        }
        for session in touched {
            if self.judge(at, session, out) {
                self.next_permissions(at, session, out);
            }
        }
        for session in begun {
            self.chat_at_start(at, session, out);
            self.page_at_start(at, session, out);
        }
    }

    /// P4.3: a disconnect is a deny.
    fn deny_for_the_lost(&mut self, at: Time, session: SessionId, out: &mut Vec<Stamped>) {
        let prompts = self.state.tools.session(session).map(|using| using.prompts.keys().copied().collect::<Vec<_>>());
        for prompt in prompts.unwrap_or_default() {
            self.answered(at, session, prompt, false, AnsweredHow::Disconnected, out);
        }
    }

    /// R7.6: who was taken over from stays and may watch, but what it was doing ends.
    fn depose(&mut self, at: Time, session: SessionId, old: UserId, out: &mut Vec<Stamped>) {
        let here = self.state.sessions.get(&session);
        let Some(old) = here.and_then(|here| here.participant_of(Party::Rep(old))).map(|old| old.id) else { return };
        self.lift_restrictions(at, session, Some(old), "take_over", out);
        let Some(using) = self.state.tools.session(session) else { return };
        let its = |channel: &&Channel| {
            let alone = !plan::read_along(channel.tool, channel.spec.kinds) && channel.spec.readers == [old];
            (channel.spec.writer == old && channel.tool != Tool::Chat) || alone
        };
        let channels: Vec<_> =
            using.channels.values().map(Box::as_ref).filter(its).map(|channel| channel.spec.channel).collect();
        let opens: Vec<_> = using.opens.iter().filter(|(_, open)| open.by == old).map(|(id, _)| *id).collect();
        let any = !channels.is_empty();
        for channel in channels {
            let tool = self.state.tools.session(session).and_then(|using| Some(using.channels.get(&channel)?.tool));
            let cause = tool.and_then(|tool| cause(tool, "take_over"));
            self.close(at, session, channel, REVOKED, cause, out);
        }
        for open in opens {
            self.drop_open(at, session, open, Reason::NotPermitted, "the session was taken over", None, out);
        }
        self.end_consents_of(at, session, old, |_| true, out);
        self.withdraw_idle_prompts(at, session, out);
        if any {
            self.next_permissions(at, session, out);
        }
    }

    /// Judges everything in use in one session anew. Says whether a right ended.
    /// What those in it may do is learned.
    pub(in crate::engine) fn judge(&mut self, at: Time, id: SessionId, out: &mut Vec<Stamped>) -> bool {
        let Some(using) = self.state.tools.session(id) else { return false };
        let verdicts: Vec<(ChannelId, Verdict)> = match self.state.sessions.get(&id) {
            None => using.channels.keys().map(|channel| (*channel, Verdict::closed(SESSION_ENDED, None))).collect(),
            Some(here) => {
                let reps = self.reps(here);
                using.channels.values().map(|it| (it.spec.channel, verdict(it, here, &reps))).collect()
            }
        };
        let opens: Vec<(OpenId, Reason, &str, Option<Cause>)> = using
            .opens
            .keys()
            .filter_map(|open| self.open_is_over(id, *open).map(|(code, why, cause)| (*open, code, why, cause)))
            .collect();
        let stale: Vec<PromptId> =
            using.prompts.keys().copied().filter(|prompt| !self.prompt_holds(id, *prompt)).collect();
        let lapsed = self.lapsed_consents(id);
        let spent = self.spent_consents(id);
        let mut narrowed = false;
        for (channel, Verdict { closed, legs, joined }) in verdicts {
            if let Some((reason, cause)) = closed {
                narrowed |= reason == REVOKED;
                self.close(at, id, channel, reason, cause, out);
                continue;
            }
            for (reader, reason, cause) in legs {
                narrowed |= reason == REVOKED;
                let reason = reason.to_owned();
                self.emit(at, Event::LegClosed { session: id, channel, reader, reason, cause }, out);
            }
            for reader in joined {
                self.emit(at, Event::LegOpened { session: id, channel, reader }, out);
            }
        }
        for (open, code, why, cause) in opens {
            self.drop_open(at, id, open, code, why, cause, out);
        }
        self.withdraw_idle_prompts(at, id, out);
        for prompt in stale {
            if self.state.tools.session(id).is_some_and(|using| using.prompts.contains_key(&prompt)) {
                self.answered(at, id, prompt, false, AnsweredHow::Withdrawn, out);
            }
        }
        for (participant, tools) in lapsed {
            self.emit(at, Event::ConsentEnded { session: id, participant, tools, runs_on: false }, out);
        }
        for (participant, tools) in spent {
            self.emit(at, Event::ConsentEnded { session: id, participant, tools, runs_on: true }, out);
        }
        narrowed
    }

    /// Consents of those who left, and those for rights that are gone: given again, a right is asked for again (P4.6).
    fn lapsed_consents(&self, id: SessionId) -> Vec<(ParticipantId, Vec<Tool>)> {
        self.consents_where(id, |_, tool, granted| granted.is_none_or(|granted| granted.rights(tool) == 0))
    }

    /// Consents that cover no later request, for each of them is asked for by this time (LR-028).
    fn spent_consents(&self, id: SessionId) -> Vec<(ParticipantId, Vec<Tool>)> {
        let Some(using) = self.state.tools.session(id) else { return Vec::new() };
        self.consents_where(id, |participant, tool, granted| {
            let each = |granted: &Granted<'_>| granted.rights(tool) != 0 && granted.prompt(tool) == Prompt::Each;
            granted.is_some_and(each) && using.consented(participant, tool)
        })
    }

    fn consents_where(
        &self,
        id: SessionId,
        meant: impl Fn(ParticipantId, Tool, Option<&Granted<'_>>) -> bool,
    ) -> Vec<(ParticipantId, Vec<Tool>)> {
        let Some(using) = self.state.tools.session(id) else { return Vec::new() };
        let here = self.state.sessions.get(&id);
        let those = using.consents.iter().map(|(participant, held)| {
            let granted = here.and_then(|here| Some(self.granted(here, here.participant(*participant)?.party)));
            let meant = |tool: &Tool| meant(*participant, *tool, granted.as_ref());
            (*participant, held.keys().copied().filter(meant).collect::<Vec<_>>())
        });
        those.filter(|(_, tools)| !tools.is_empty()).collect()
    }

    fn end_consents_of(
        &mut self,
        at: Time,
        session: SessionId,
        participant: ParticipantId,
        meant: impl Fn(Tool) -> bool,
        out: &mut Vec<Stamped>,
    ) {
        let held = self.state.tools.session(session).and_then(|using| using.consents.get(&participant));
        let tools: Vec<Tool> =
            held.into_iter().flat_map(|held| held.keys().copied()).filter(|tool| meant(*tool)).collect();
        if !tools.is_empty() {
            self.emit(at, Event::ConsentEnded { session, participant, tools, runs_on: false }, out);
        }
    }

    /// Why a request that waits cannot be had any more.
    fn open_is_over(&self, id: SessionId, open: OpenId) -> Option<(Reason, &'static str, Option<Cause>)> {
        let request = self.state.tools.session(id)?.opens.get(&open)?;
        let Some(here) = self.state.sessions.get(&id) else {
            return Some((Reason::SessionEnded, "the session ended", None));
        };
        let Some(owner) = here.owner().filter(|_| matches!(here.stage, session::Stage::Active { .. })) else {
            return Some((Reason::WrongState, "the session is not being served", None));
        };
        let gone = |who: ParticipantId| here.participant(who).is_none();
        let to = match request.stage {
            super::OpenStage::Offered { to, .. } => to,
            super::OpenStage::Asked { .. } => ParticipantId::CUSTOMER,
        };
        if gone(request.by) || (to != ParticipantId::CUSTOMER && gone(to)) {
            return Some((Reason::OpenGone, "one of the ends left the session", None));
        }
        let side = side_of(request.by);
        let rep = match side {
            Side::Rep => here.participant(request.by).map_or(Party::Rep(owner), |by| by.party),
            Side::Customer => Party::Rep(owner),
        };
        let asked = Asked { tool: request.tool, args: &request.args, by: side, kind: here.ask.kind };
        let granted = self.granted(here, rep);
        let gone = plan::plan(asked, &granted).err()?;
        let missing = match gone {
            Unplanned::NotPermitted(tool) | Unplanned::Path(tool, _) => tool,
            _ => request.tool,
        };
        let cause = Some(Cause { tool: missing, source: granted.source(missing) });
        Some((Reason::NotPermitted, "the permission for it is gone", cause))
    }

    /// Every rep in the session with what it may do, monitors as readers too.
    fn reps<'a>(&'a self, here: &'a Session) -> Vec<(ParticipantId, Granted<'a>)> {
        let reps = here.participants.iter().filter(|participant| participant.role != Role::Customer);
        reps.map(|rep| (rep.id, self.granted(here, rep.party))).collect()
    }

    pub(super) fn close(
        &mut self,
        at: Time,
        session: SessionId,
        channel: ChannelId,
        reason: &str,
        cause: Option<Cause>,
        out: &mut Vec<Stamped>,
    ) {
        self.emit(at, Event::ChannelClosed { session, channel, reason: reason.to_owned(), cause }, out);
    }
}

impl Verdict {
    fn closed(reason: &'static str, cause: Option<Cause>) -> Self {
        Self { closed: Some((reason, cause)), ..Self::default() }
    }
}

/// Judges one channel of a session that goes on.
fn verdict(channel: &Channel, here: &Session, reps: &[(ParticipantId, Granted<'_>)]) -> Verdict {
    let spec = &channel.spec;
    match here.stage {
        session::Stage::Waiting(_) => return Verdict::closed(SESSION_ENDED, None),
        // R7.7: control ends; talk and files go on.
        session::Stage::Held { .. } if spec.kinds & (Kind::Chat.bit() | Kind::File.bit()) == 0 => {
            return Verdict::closed(REVOKED, cause(channel.tool, "hold"));
        }
        _ => {}
    }
    let from = side_of(spec.writer);
    let may = |who: ParticipantId| match reps.iter().find(|(rep, _)| *rep == who) {
        Some((_, granted)) => permitted(channel, here, from, granted)
            .map_err(|tool| (REVOKED, Some(Cause { tool, source: granted.source(tool) }))),
        None if who == ParticipantId::CUSTOMER && here.participant(who).is_some() => Ok(()),
        None => Err((SESSION_ENDED, None)),
    };
    if let Err((reason, cause)) = may(spec.writer) {
        return Verdict::closed(reason, cause);
    }
    let mut legs: Vec<_> = Vec::new();
    for reader in &spec.readers {
        if let Err((reason, cause)) = may(*reader) {
            legs.push((*reader, reason, cause));
        }
    }
    let late = |who: &&ParticipantId| {
        **who != spec.writer && !spec.readers.contains(who) && !channel.closed.contains(who) && may(**who).is_ok()
    };
    let joined: Vec<_> = match plan::read_along(channel.tool, spec.kinds) {
        true => reps.iter().map(|(rep, _)| rep).filter(late).copied().collect(),
        false => Vec::new(),
    };
    match legs.first() {
        Some((_, reason, cause)) if legs.len() == spec.readers.len() && joined.is_empty() => {
            Verdict::closed(reason, cause.clone())
        }
        _ => Verdict { closed: None, legs, joined },
    }
}

/// Something other than a layer of the policy ended it.
pub(super) fn cause(tool: Tool, source: &str) -> Option<Cause> {
    Some(Cause { tool, source: source.to_owned() })
}

/// May this rep's end of the channel go on? Otherwise the permission that is gone. Who asked for the tool needs what the
/// request needed; who reads along needs the kinds of its frames alone.
fn permitted(channel: &Channel, here: &Session, from: Side, granted: &Granted<'_>) -> Result<(), Tool> {
    let (tool, kinds, kind) = (channel.tool, channel.spec.kinds, here.ask.kind);
    plan::permits(tool, kind, kinds, from, granted)?;
    if plan::read_along(tool, kinds) {
        return Ok(());
    }
    plan::goes_on(Asked { tool, args: &channel.args, by: Side::Rep, kind }, granted)
}
