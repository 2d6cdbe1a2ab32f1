//! Asking the customer (P4): who must be asked for what, the answer, silence, and taking back.

use super::{
    super::{Actor, Engine, Event, Outcome, Reason, Refusal, Stamped, event::AnsweredHow},
    Due, Granted, OpenStage, falls_with,
    settle::{REVOKED, cause},
};
use crate::{
    ids::*,
    policy::{
        Tool, ToolValue, Word,
        plan::{self, Rights, Side},
        prompt::{Prompt, Prompting},
        value::right,
    },
    time::{Span, Time},
};

/// What one answer would cover, and what silence means.
pub(super) struct Question {
    tools: Vec<Tool>,
    anew: bool,
    timeout: Span,
    silence_allows: bool,
    lasts: Option<Span>,
    each: bool,
}

impl Engine {
    /// The customer answers. Nobody else can, and each prompt is answered once (P4.3, I-P7).
    pub(in crate::engine) fn answer(
        &mut self,
        now: Time,
        actor: Actor,
        session: SessionId,
        prompt: PromptId,
        allow: bool,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        self.customer_of(session, actor, "only the customer answers a prompt")?;
        let pending = self.state.tools.session(session).is_some_and(|using| using.prompts.contains_key(&prompt));
        if !pending {
            let message = format!("prompt {prompt} does not wait for an answer");
            return Err(Refusal::new(Reason::PromptGone, "P4.3", message));
        }
        self.answered(now, session, prompt, allow, AnsweredHow::Customer, out);
        Ok(Outcome::Done)
    }

    /// P4.6: what runs by this grant stops, what waits for it is refused, and the next use asks again, also where the
    /// policy would not (I-P8).
    pub(in crate::engine) fn take_back(
        &mut self,
        now: Time,
        actor: Actor,
        session: SessionId,
        tool: Option<Tool>,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        self.customer_of(session, actor, "only the customer takes back what the customer allowed")?;
        self.emit(now, Event::TakenBack { session, tool }, out);
        let meant = |one: Tool| tool.is_none_or(|tool| falls_with(tool, one));
        let mut legs = Vec::new();
        if let Some(using) = self.state.tools.session(session) {
            let opens: Vec<OpenId> =
                using.opens.iter().filter(|(_, open)| meant(open.tool)).map(|(id, _)| *id).collect();
            let closing = using.channels.values().filter(|channel| meant(channel.tool));
            let closing: Vec<_> =
                closing.map(|channel| (channel.spec.channel, channel.tool, channel.spec.readers.clone())).collect();
            for open in opens {
                self.drop_open(now, session, open, Reason::PromptDenied, "the customer took it back", None, out);
            }
            for (channel, tool, readers) in closing {
                legs.extend(readers.into_iter().map(|reader| (channel, reader)));
                self.close(now, session, channel, REVOKED, cause(tool, "customer"), out);
            }
        }
        self.withdraw_idle_prompts(now, session, out);
        if meant(Tool::CustomerRestrictions) {
            self.lift_restrictions(now, session, None, "customer", out);
        }
        if meant(Tool::Unattended) {
            self.take_back_unattended(now, session, actor, out);
        }
        let epoch = self.next_permissions(now, session, out);
        Ok(Outcome::Revoked { epoch, legs })
    }

    /// Timers of prompts and requests; at least one thing happens where one is due.
    pub(in crate::engine) fn tick_tools(&mut self, at: Time, out: &mut Vec<Stamped>) {
        while let Some((_, session, due)) = self.state.tools.due.first().copied().filter(|(due, ..)| *due <= at) {
            match due {
                Due::Prompt(prompt) => {
                    let using = self.state.tools.session(session);
                    let allow = using.and_then(|using| using.prompts.get(&prompt)).is_some_and(|it| it.silence_allows);
                    self.answered(at, session, prompt, allow, AnsweredHow::Timeout, out);
                }
                Due::Open(open) => {
                    let why = "the other end did not answer in time";
                    self.drop_open(at, session, open, Reason::OpenGone, why, None, out);
                }
                Due::Consent(participant, tool) => self.consent_ran_out(at, session, participant, tool, out),
            }
        }
    }

    /// Asks the customer, unless a prompt that covers the tool is out already (P4.7).
    pub(super) fn prompt(
        &mut self,
        now: Time,
        session: SessionId,
        by: ParticipantId,
        tool: Tool,
        question: Question,
        out: &mut Vec<Stamped>,
    ) -> PromptId {
        let Question { tools, anew, timeout, silence_allows, lasts, each } = question;
        let using = self.state.tools.session(session);
        let shared = using.and_then(|using| {
            let alike =
                |prompt: &super::Prompt| (prompt.anew, prompt.each) == (anew, each) && prompt.tools.contains(&tool);
            // What is allowed for later is allowed to who asked for it.
            let whose = |prompt: &super::Prompt| tool != Tool::Unattended || prompt.by == by;
            using.prompts.iter().find(|(_, prompt)| alike(prompt) && whose(prompt))
        });
        if let Some((prompt, _)) = shared {
            return *prompt;
        }
        let prompt = PromptId(using.map_or(1, |using| using.last_prompt + 1));
        let expires_at = now + timeout;
        self.emit(
            now,
            Event::Prompted { session, prompt, tools, by, expires_at, silence_allows, anew, lasts, each },
            out,
        );
        prompt
    }

    /// P4.5: nobody sits there: the default answer at once, and a deny where the customer took the tool back. A customer
    /// whose connection is gone denies (P4.3).
    pub(super) fn answer_for_the_absent(
        &mut self,
        now: Time,
        session: SessionId,
        prompt: PromptId,
        out: &mut Vec<Stamped>,
    ) {
        let Some(using) = self.state.tools.session(session) else { return };
        let Some(asked) = using.prompts.get(&prompt) else { return };
        let taken_back = asked.tools.iter().any(|tool| using.withdrawn.contains(tool));
        let default = asked.silence_allows && !taken_back;
        let (connected, present) = self.customer_presence(session);
        if !connected {
            self.answered(now, session, prompt, false, AnsweredHow::Disconnected, out);
        } else if !present {
            self.answered(now, session, prompt, default, AnsweredHow::Nobody, out);
        }
    }

    /// Ends a prompt and moves on what waited for it.
    pub(super) fn answered(
        &mut self,
        now: Time,
        session: SessionId,
        prompt: PromptId,
        allow: bool,
        how: AnsweredHow,
        out: &mut Vec<Stamped>,
    ) {
        let using = self.state.tools.session(session);
        let waits = |stage| stage == OpenStage::Asked { prompt: Some(prompt) };
        let waiting: Vec<OpenId> = using
            .map(|using| using.opens.iter().filter(|(_, open)| waits(open.stage)).map(|(id, _)| *id).collect())
            .unwrap_or_default();
        self.emit(now, Event::PromptAnswered { session, prompt, allow, how }, out);
        for open in waiting {
            match allow {
                true => self.offer_open(now, session, open, out),
                false => {
                    let why = match how {
                        AnsweredHow::Customer => "the customer said no",
                        AnsweredHow::Timeout => "the customer did not answer",
                        AnsweredHow::Disconnected => "the customer's connection is gone",
                        AnsweredHow::Nobody => "nobody is there to ask",
                        AnsweredHow::Withdrawn => "it is not asked for any more",
                    };
                    self.drop_open(now, session, open, Reason::PromptDenied, why, None, out);
                }
            }
        }
    }

    /// Prompts that nothing waits for are taken from the customer's screen.
    pub(super) fn withdraw_idle_prompts(&mut self, now: Time, session: SessionId, out: &mut Vec<Stamped>) {
        let Some(using) = self.state.tools.session(session) else { return };
        let wanted = |prompt: PromptId| {
            let stage = OpenStage::Asked { prompt: Some(prompt) };
            using.opens.values().any(|open| open.stage == stage)
        };
        let idle: Vec<PromptId> = using.prompts.keys().copied().filter(|prompt| !wanted(*prompt)).collect();
        for prompt in idle {
            self.answered(now, session, prompt, false, AnsweredHow::Withdrawn, out);
        }
    }

    pub(in crate::engine) fn next_permissions(
        &mut self,
        now: Time,
        session: SessionId,
        out: &mut Vec<Stamped>,
    ) -> PermissionEpoch {
        let epoch = self.state.tools.next_epoch(session);
        self.emit(now, Event::PermissionsChanged { session, epoch }, out);
        epoch
    }

    /// What the customer has to be asked before this tool is used, if anything.
    pub(super) fn question(
        &self,
        session: SessionId,
        by: ParticipantId,
        tool: Tool,
        granted: &Granted<'_>,
    ) -> Option<Question> {
        let using = self.state.tools.session(session);
        let prompting = granted.prompt(tool);
        let ask = |tools: Vec<Tool>, anew: bool| {
            let Prompting { timeout, allow, lasts } = granted.prompting();
            let each = prompting == Prompt::Each && !anew;
            // P3.25: who says nothing lets nobody come later.
            let silence_allows = allow && tool != Tool::Unattended;
            Some(Question { tools, anew, timeout, silence_allows, lasts, each })
        };
        // P4.4: these are asked each time, and no other answer covers them.
        let each_time = match tool {
            Tool::Record => *granted.value(tool) == ToolValue::Word(Word::WithConsent),
            Tool::Unattended => true,
            Tool::CannedScripts => granted.rights(Tool::Screen) & right::CONTROL == 0,
            _ => false,
        };
        if each_time {
            return ask(vec![tool], true);
        }
        let consented = using.is_some_and(|using| using.consented(by, tool));
        let taken_back = using.is_some_and(|using| using.withdrawn.contains(&tool));
        match prompting {
            Prompt::Each => ask(vec![tool], false),
            _ if consented => None,
            Prompt::Never if taken_back => ask(vec![tool], false),
            Prompt::Never => None,
            Prompt::Always => ask(vec![tool], false),
            Prompt::Once => {
                let covered = |other: &Tool| {
                    let also = granted.prompt(*other) == Prompt::Once && granted.rights(*other) != 0;
                    *other == tool || (also && plan::is_opened(*other))
                };
                ask(Tool::ALL.iter().copied().filter(covered).collect(), false)
            }
        }
    }

    /// P4.6: what runs by the consent stops, and the next use asks again; not where the policy needs no consent any more.
    fn consent_ran_out(
        &mut self,
        at: Time,
        session: SessionId,
        participant: ParticipantId,
        tool: Tool,
        out: &mut Vec<Stamped>,
    ) {
        self.emit(at, Event::ConsentEnded { session, participant, tools: vec![tool], runs_on: false }, out);
        self.learn(session);
        let asks = self.state.sessions.get(&session).is_some_and(|here| {
            let party = here.participant(participant).map(|there| there.party);
            party.is_some_and(|party| self.granted(here, party).prompt(tool) != Prompt::Never)
        });
        if asks && tool == Tool::CustomerRestrictions {
            self.lift_restrictions(at, session, Some(participant), "consent", out);
        }
        let Some(using) = self.state.tools.session(session).filter(|_| asks) else { return };
        let its = |channel: &&super::Channel| channel.tool == tool && channel.by == Some(participant);
        let channels: Vec<ChannelId> =
            using.channels.values().map(Box::as_ref).filter(its).map(|it| it.spec.channel).collect();
        let any = !channels.is_empty();
        for channel in channels {
            self.close(at, session, channel, REVOKED, cause(tool, "consent"), out);
        }
        if any {
            self.next_permissions(at, session, out);
        }
    }

    /// Does a prompt still ask what would be asked at this moment? Otherwise a yes to it, or silence, would say something
    /// about other terms (I-P4).
    pub(super) fn prompt_holds(&self, session: SessionId, prompt: PromptId) -> bool {
        let using = self.state.tools.session(session);
        let here = self.state.sessions.get(&session);
        let Some((using, here)) = using.zip(here) else { return false };
        let Some(asked) = using.prompts.get(&prompt) else { return false };
        let waits = OpenStage::Asked { prompt: Some(prompt) };
        let mut waiting = using.opens.values().filter(|open| open.stage == waits);
        waiting.all(|open| {
            let party = here.participant(open.by).map(|by| by.party);
            let question =
                party.and_then(|party| self.question(session, open.by, open.tool, &self.granted(here, party)));
            question.is_some_and(|question| {
                let covers = question.tools.iter().all(|tool| asked.tools.contains(tool));
                let terms = (question.silence_allows, question.anew, question.each);
                covers && terms == (asked.silence_allows, asked.anew, asked.each)
            })
        })
    }

    fn customer_of(&self, session: SessionId, actor: Actor, message: &str) -> Result<(), Refusal> {
        match self.acting(session, actor)? {
            (_, Side::Customer) if matches!(actor, Actor::Party(Party::Customer(_))) => Ok(()),
            _ => Err(Refusal::new(Reason::NotPermitted, "P4.3", message)),
        }
    }

    /// Whether the customer's connection is there, and somebody at it. A scenario's customer has none and is always
    /// there.
    fn customer_presence(&self, session: SessionId) -> (bool, bool) {
        match self.state.parties.get(Party::Customer(session)) {
            Some(attachment) => (attachment.connected, attachment.client.present),
            None => {
                let here = self.state.sessions.get(&session);
                let present = here.is_some_and(|here| here.ask.customer.client.present);
                (here.is_some_and(|here| here.customer_attached), present)
            }
        }
    }
}
