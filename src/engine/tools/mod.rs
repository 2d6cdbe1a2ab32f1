//! Tools of a session: requests to open one, prompts, consents, live channels, the permission epoch. Here is the state
//! and its fold; `open` takes requests, `prompts` asks the customer, `settle` closes what lost its right, `rejudge` after
//! an edit of the site; `chat` begins and mutes the chat; `page` opens the one of the start; `fields` writes on the session;
//! `standing` is what outlasts a request; `refused` keeps what was refused.
//! Never a frame and never a byte offset: those are the relay's.

mod chat;
mod fields;
mod open;
mod page;
mod prompts;
mod refused;
mod rejudge;
mod rights;
mod settle;
mod standing;

pub use rights::{Granted, Grants};

use super::{Event, event::ChannelSpec};
use crate::{
    ids::*,
    limits,
    policy::Tool,
    site::Site,
    time::{Span, Time},
    wire::control::Value,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What is open, asked for and consented to in the whole site. A session in which no tool was ever asked for is not in
/// it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Tools {
    sessions: BTreeMap<SessionId, InSession>,
    of_channel: BTreeMap<ChannelId, SessionId>,
    /// The last one given (W1.2).
    last_channel: u32,
    /// Sessions whose rights the site changed and that are not judged yet (P6.2).
    #[serde(default)]
    unjudged: BTreeSet<SessionId>,
    /// What the site was before; none: it changed twice meanwhile, and each of them is judged.
    #[serde(default)]
    before: Option<Arc<Site>>,
    due: BTreeSet<(Time, SessionId, Due)>,
}

/// A timer of this room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Due {
    Prompt(PromptId),
    Open(OpenId),
    Consent(ParticipantId, Tool),
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct InSession {
    /// I-P4.
    pub epoch: PermissionEpoch,
    last_open: u32,
    last_prompt: u32,
    pub opens: BTreeMap<OpenId, Open>,
    pub prompts: BTreeMap<PromptId, Prompt>,
    /// What the customer said yes to, for whom, and until when: in this session, for this participant, while the right
    /// lasts (P4.6).
    pub consents: BTreeMap<ParticipantId, BTreeMap<Tool, Option<Time>>>,
    /// Those of them that cover no later request: only their time counts, for what was opened by them (LR-028).
    #[serde(default)]
    spent: BTreeSet<(ParticipantId, Tool)>,
    /// What the customer took back: only a consent opens it again, whatever the policy says of prompts (I-P8).
    pub withdrawn: BTreeSet<Tool>,
    /// Boxed, for a node of the map has room for eleven and most sessions have one or two.
    pub channels: BTreeMap<ChannelId, Box<Channel>>,
    ended: bool,
    /// A page was asked for: that of the start has been, or would come over another (LG-037).
    #[serde(default)]
    paged: bool,
}

/// A request that is not answered yet.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Open {
    pub by: ParticipantId,
    pub tool: Tool,
    pub args: BTreeMap<String, Value>,
    pub stage: OpenStage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenStage {
    /// Waits for the customer's answer, if there is a prompt; else its offer follows in the same turn.
    Asked { prompt: Option<PromptId> },
    /// Waits for the other end.
    Offered { to: ParticipantId, until: Time },
}

/// A question that the customer has not answered yet (P4).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Prompt {
    pub tools: Vec<Tool>,
    pub by: ParticipantId,
    pub expires_at: Time,
    pub silence_allows: bool,
    /// P4.4.
    pub anew: bool,
    /// How long a yes holds.
    #[serde(default)]
    pub lasts: Option<Span>,
    /// LR-028.
    #[serde(default)]
    pub each: bool,
}

/// A live channel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Channel {
    /// Its readers are those whose legs are open.
    pub spec: ChannelSpec,
    pub tool: Tool,
    pub open: OpenId,
    /// Who asked for it.
    #[serde(default)]
    pub by: Option<ParticipantId>,
    pub args: BTreeMap<String, Value>,
    /// What the end said when it took the tool up, and every note since.
    pub facts: BTreeMap<String, Value>,
    /// Legs that ended: a participant never gets a second one of this channel (W2.3).
    pub closed: BTreeSet<ParticipantId>,
}

impl Tools {
    pub fn session(&self, id: SessionId) -> Option<&InSession> {
        self.sessions.get(&id)
    }

    /// The session of a live channel.
    pub fn session_of(&self, channel: ChannelId) -> Option<SessionId> {
        self.of_channel.get(&channel).copied()
    }

    /// Every live channel of the site, for whoever rebuilds the relay.
    pub fn channels(&self) -> impl Iterator<Item = (SessionId, &Channel)> {
        self.sessions.iter().flat_map(|(id, session)| session.channels.values().map(|channel| (*id, &**channel)))
    }

    /// Of a session in which no tool was asked for it is the first.
    pub fn epoch(&self, session: SessionId) -> PermissionEpoch {
        self.session(session).map_or(PermissionEpoch(0), |session| session.epoch)
    }

    fn next_epoch(&self, session: SessionId) -> PermissionEpoch {
        PermissionEpoch(self.epoch(session).0 + 1)
    }

    /// Sessions that wait to be judged anew.
    pub fn unjudged(&self) -> usize {
        self.unjudged.len()
    }

    /// The site has become another one; nothing is given where it concerns no session.
    pub(super) fn site_was(&mut self, before: Option<Arc<Site>>) {
        self.before = before.filter(|_| self.unjudged.is_empty());
    }

    fn changed(&mut self, session: SessionId, epoch: PermissionEpoch) {
        self.sessions.entry(session).or_default().epoch = epoch;
        self.judged(session);
    }

    fn judged(&mut self, session: SessionId) {
        self.unjudged.remove(&session);
        if self.unjudged.is_empty() {
            self.before = None;
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(due, ..)| *due)
    }

    pub(super) fn apply(&mut self, at: Time, event: &Event) {
        match event {
            Event::OpenRequested { session, open, by, tool, args, prompt } => {
                let entry = self.sessions.entry(*session).or_default();
                entry.last_open = entry.last_open.max(open.0);
                entry.paged |= *tool == Tool::PushUrl;
                let stage = OpenStage::Asked { prompt: *prompt };
                entry.opens.insert(*open, Open { by: *by, tool: *tool, args: args.clone(), stage });
            }
            Event::Prompted { session, prompt, tools, by, expires_at, silence_allows, anew, lasts, each } => {
                let entry = self.sessions.entry(*session).or_default();
                entry.last_prompt = entry.last_prompt.max(prompt.0);
                let (tools, silence_allows) = (tools.clone(), *silence_allows);
                let (by, expires_at, anew, lasts, each) = (*by, *expires_at, *anew, *lasts, *each);
                let asked = Prompt { tools, by, expires_at, silence_allows, anew, lasts, each };
                entry.prompts.insert(*prompt, asked);
                self.due.insert((expires_at, *session, Due::Prompt(*prompt)));
            }
            Event::TakenBack { session, tool } => {
                let entry = self.sessions.entry(*session).or_default();
                let gone = entry.taken_back(*tool);
                self.forget_consents(*session, gone);
            }
            Event::RightsTouched { sessions } if sessions.is_empty() => self.before = None,
            Event::RightsTouched { sessions } => self.unjudged.extend(sessions),
            Event::RightsKept { sessions } => sessions.iter().for_each(|session| self.judged(*session)),
            Event::PermissionsChanged { session, epoch } => self.changed(*session, *epoch),
            Event::RightsJudged { sessions } => {
                sessions.iter().for_each(|(session, epoch)| self.changed(*session, *epoch))
            }
            Event::PromptAnswered { session, .. }
            | Event::OpenOffered { session, .. }
            | Event::OpenRefused { session, .. }
            | Event::Opened { session, .. }
            | Event::LegOpened { session, .. }
            | Event::LegClosed { session, .. }
            | Event::ChannelClosed { session, .. }
            | Event::Noted { session, .. }
            | Event::ConsentEnded { session, .. }
            | Event::Accepted { session, .. }
            | Event::Ended { session, .. } => self.apply_known(at, *session, event),
            _ => {}
        }
    }

    /// Events that change only a session with tools.
    fn apply_known(&mut self, at: Time, id: SessionId, event: &Event) {
        if matches!(event, Event::Ended { .. }) {
            self.judged(id);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match event {
            Event::PromptAnswered { prompt, allow, .. } => {
                if let Some(prompt_gone) = session.prompts.remove(prompt) {
                    self.due.remove(&(prompt_gone.expires_at, id, Due::Prompt(*prompt)));
                    let (renewed, runs_out) = session.answered(at, *prompt, prompt_gone, *allow);
                    self.forget_consents(id, renewed);
                    self.due
                        .extend(runs_out.into_iter().map(|(until, whom, tool)| (until, id, Due::Consent(whom, tool))));
                }
            }
            Event::OpenOffered { open, to, .. } => {
                if let Some(waiting) = session.opens.get_mut(open) {
                    let until = at + limits::OPEN_ANSWER;
                    waiting.stage = OpenStage::Offered { to: *to, until };
                    self.due.insert((until, id, Due::Open(*open)));
                }
            }
            Event::OpenRefused { open, .. } => {
                if let Some(gone) = session.end_open(*open) {
                    gone.due(*open).map(|(until, due)| self.due.remove(&(until, id, due)));
                }
            }
            Event::Opened { open, tool, channels, facts, .. } => {
                let gone = session.end_open(*open);
                if let Some((until, due)) = gone.as_ref().and_then(|gone| gone.due(*open)) {
                    self.due.remove(&(until, id, due));
                }
                let by = gone.as_ref().map(|gone| gone.by);
                let args = gone.map(|gone| gone.args).unwrap_or_default();
                for spec in channels {
                    self.last_channel = self.last_channel.max(spec.channel.0);
                    self.of_channel.insert(spec.channel, id);
                    let (args, facts) = (args.clone(), facts.clone());
                    let (spec, tool, open, closed) = (spec.clone(), *tool, *open, BTreeSet::new());
                    let channel = Channel { spec, tool, open, by, args, facts, closed };
                    session.channels.insert(channel.spec.channel, Box::new(channel));
                }
            }
            Event::LegOpened { channel, reader, .. } => {
                if let Some(channel) = session.channels.get_mut(channel) {
                    channel.spec.readers.push(*reader);
                }
            }
            Event::LegClosed { channel, reader, .. } => {
                if let Some(channel) = session.channels.get_mut(channel) {
                    channel.spec.readers.retain(|known| known != reader);
                    channel.closed.insert(*reader);
                }
            }
            Event::ChannelClosed { channel, .. } => {
                session.channels.remove(channel);
                self.of_channel.remove(channel);
            }
            Event::Noted { channel, facts, .. } => {
                if let Some(channel) = session.channels.get_mut(channel) {
                    channel.facts.extend(facts.clone());
                }
            }
            // Consent was given to those who were there (P2.5).
            Event::Accepted { .. } => {
                let gone = session.end_consents(|_, _| true);
                self.forget_consents(id, gone);
            }
            Event::ConsentEnded { participant, tools, runs_on: true, .. } => {
                session.spent.extend(tools.iter().map(|tool| (*participant, *tool)));
            }
            Event::ConsentEnded { participant, tools, .. } => {
                let gone = session.end_consents(|whom, tool| whom == *participant && tools.contains(&tool));
                self.forget_consents(id, gone);
            }
            Event::Ended { .. } => session.ended = true,
            _ => {}
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.ended && !session.in_use() {
            let gone = session.end_consents(|_, _| true);
            self.forget_consents(id, gone);
            self.sessions.remove(&id);
        }
    }

    /// Consents that ended need no timer.
    fn forget_consents(&mut self, session: SessionId, gone: Vec<ConsentGone>) {
        for (until, whom, tool) in gone {
            self.due.remove(&(until, session, Due::Consent(whom, tool)));
        }
    }

    fn next_open(&self, session: SessionId) -> OpenId {
        OpenId(self.session(session).map_or(1, |using| using.last_open + 1))
    }

    fn next_channel(&self) -> u32 {
        self.last_channel + 1
    }
}

impl InSession {
    /// Something is open or on its way.
    pub fn in_use(&self) -> bool {
        !(self.channels.is_empty() && self.opens.is_empty() && self.prompts.is_empty())
    }

    fn end_open(&mut self, open: OpenId) -> Option<Open> {
        let gone = self.opens.remove(&open);
        if self.opens.is_empty() {
            // A map that was emptied keeps the room of its last node.
            self.opens = BTreeMap::new();
        }
        gone
    }

    /// A yes holds for who asked and for everybody whose request waited on the same prompt (P4.7). Gives the consents
    /// that it takes the place of, and those that run out.
    fn answered(
        &mut self,
        at: Time,
        id: PromptId,
        prompt: Prompt,
        allow: bool,
    ) -> (Vec<ConsentGone>, Vec<ConsentGone>) {
        if !allow || prompt.anew {
            return Default::default();
        }
        // What was taken back stays so for the next request where a yes is for one.
        if !prompt.each {
            self.withdrawn.retain(|tool| !prompt.tools.contains(tool));
        }
        let until = prompt.lasts.map(|lasts| at + lasts);
        let waited = OpenStage::Asked { prompt: Some(id) };
        let waiting = self.opens.values().filter(|open| open.stage == waited).map(|open| open.by);
        let whom: BTreeSet<ParticipantId> = waiting.chain([prompt.by]).collect();
        let renewed =
            self.end_consents(|participant, tool| whom.contains(&participant) && prompt.tools.contains(&tool));
        let mut runs_out = Vec::new();
        for participant in whom {
            let held = self.consents.entry(participant).or_default();
            for tool in &prompt.tools {
                held.insert(*tool, until);
                if prompt.each {
                    self.spent.insert((participant, *tool));
                }
                runs_out.extend(until.map(|until| (until, participant, *tool)));
            }
        }
        (renewed, runs_out)
    }

    /// Has the customer said a yes to this tool for this participant that covers the next request?
    pub fn consented(&self, participant: ParticipantId, tool: Tool) -> bool {
        let held = self.consents.get(&participant).is_some_and(|held| held.contains_key(&tool));
        held && !self.spent.contains(&(participant, tool))
    }

    /// Ends the consents that are meant, and gives those that had a timer.
    fn end_consents(&mut self, meant: impl Fn(ParticipantId, Tool) -> bool) -> Vec<ConsentGone> {
        let mut gone = Vec::new();
        for (participant, held) in &mut self.consents {
            held.retain(|tool, until| {
                let ends = meant(*participant, *tool);
                if ends {
                    self.spent.remove(&(*participant, *tool));
                    gone.extend(until.map(|until| (until, *participant, *tool)));
                }
                !ends
            });
        }
        self.consents.retain(|_, held| !held.is_empty());
        gone
    }

    fn taken_back(&mut self, tool: Option<Tool>) -> Vec<ConsentGone> {
        match tool {
            Some(tool) => {
                self.withdrawn.extend(Tool::ALL.iter().filter(|other| falls_with(tool, **other)));
                self.end_consents(|_, other| falls_with(tool, other))
            }
            None => {
                self.withdrawn.extend(Tool::ALL);
                self.end_consents(|_, _| true)
            }
        }
    }
}

/// A consent that has or had a timer: when it runs out, whose it is and for what.
type ConsentGone = (Time, ParticipantId, Tool);

/// Whoever takes a tool back takes back what needs it too.
fn falls_with(tool: Tool, other: Tool) -> bool {
    other == tool || other.needs(false).is_some_and(|(needed, _)| needed == tool)
}

impl Open {
    fn due(&self, id: OpenId) -> Option<(Time, Due)> {
        match self.stage {
            OpenStage::Asked { .. } => None,
            OpenStage::Offered { until, .. } => Some((until, Due::Open(id))),
        }
    }
}
