//! Tools of a session: requests to open one, prompts, consents, live channels, the permission epoch. Here is the state
//! and its fold; `open` takes requests, `prompts` asks the customer, `settle` closes what lost its right.
//! Never a frame and never a byte offset: those are the relay's.

mod open;
mod prompts;
mod rights;
mod settle;

pub use rights::Granted;

use super::{Event, event::ChannelSpec};
use crate::{ids::*, limits, policy::Tool, time::Time, wire::control::Value};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is open, asked for and consented to in the whole site. A session in which no tool was ever asked for is not in
/// it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Tools {
    sessions: BTreeMap<SessionId, InSession>,
    of_channel: BTreeMap<ChannelId, SessionId>,
    /// The last one given (W1.2).
    last_channel: u32,
    due: BTreeSet<(Time, SessionId, Due)>,
}

/// A timer of this room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Due {
    Prompt(PromptId),
    Open(OpenId),
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct InSession {
    /// I-P4.
    pub epoch: PermissionEpoch,
    last_open: u32,
    last_prompt: u32,
    pub opens: BTreeMap<OpenId, Open>,
    pub prompts: BTreeMap<PromptId, Prompt>,
    /// What the customer said yes to, until taken back or another owner comes.
    pub consents: BTreeSet<Tool>,
    /// What the customer took back: only a consent opens it again, whatever the policy says of prompts (I-P8).
    pub withdrawn: BTreeSet<Tool>,
    pub channels: BTreeMap<ChannelId, Channel>,
    ended: bool,
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
}

/// A live channel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Channel {
    /// Its readers are those whose legs are open.
    pub spec: ChannelSpec,
    pub tool: Tool,
    pub open: OpenId,
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
        self.sessions.iter().flat_map(|(id, session)| session.channels.values().map(|channel| (*id, channel)))
    }

    /// Of a session in which no tool was asked for it is the first.
    pub fn epoch(&self, session: SessionId) -> PermissionEpoch {
        self.session(session).map_or(PermissionEpoch(0), |session| session.epoch)
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(due, ..)| *due)
    }

    pub(super) fn apply(&mut self, at: Time, event: &Event) {
        match event {
            Event::OpenRequested { session, open, by, tool, args, prompt } => {
                let entry = self.sessions.entry(*session).or_default();
                entry.last_open = entry.last_open.max(open.0);
                let stage = OpenStage::Asked { prompt: *prompt };
                entry.opens.insert(*open, Open { by: *by, tool: *tool, args: args.clone(), stage });
            }
            Event::Prompted { session, prompt, tools, by, expires_at, silence_allows, anew } => {
                let entry = self.sessions.entry(*session).or_default();
                entry.last_prompt = entry.last_prompt.max(prompt.0);
                let (tools, silence_allows) = (tools.clone(), *silence_allows);
                let asked = Prompt { tools, by: *by, expires_at: *expires_at, silence_allows, anew: *anew };
                entry.prompts.insert(*prompt, asked);
                self.due.insert((*expires_at, *session, Due::Prompt(*prompt)));
            }
            Event::TakenBack { session, tool } => self.sessions.entry(*session).or_default().taken_back(*tool),
            Event::PermissionsChanged { session, epoch } => {
                self.sessions.entry(*session).or_default().epoch = *epoch;
            }
            Event::PromptAnswered { session, .. }
            | Event::OpenOffered { session, .. }
            | Event::OpenRefused { session, .. }
            | Event::Opened { session, .. }
            | Event::LegOpened { session, .. }
            | Event::LegClosed { session, .. }
            | Event::ChannelClosed { session, .. }
            | Event::Noted { session, .. }
            | Event::Accepted { session, .. }
            | Event::Ended { session, .. } => self.apply_known(at, *session, event),
            _ => {}
        }
    }

    /// Events that change only a session with tools.
    fn apply_known(&mut self, at: Time, id: SessionId, event: &Event) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match event {
            Event::PromptAnswered { prompt, allow, .. } => {
                if let Some(prompt_gone) = session.prompts.remove(prompt) {
                    self.due.remove(&(prompt_gone.expires_at, id, Due::Prompt(*prompt)));
                    session.answered(prompt_gone, *allow);
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
                if let Some(gone) = session.opens.remove(open) {
                    gone.due(*open).map(|(until, due)| self.due.remove(&(until, id, due)));
                }
            }
            Event::Opened { open, tool, channels, facts, .. } => {
                let gone = session.opens.remove(open);
                if let Some((until, due)) = gone.as_ref().and_then(|gone| gone.due(*open)) {
                    self.due.remove(&(until, id, due));
                }
                let args = gone.map(|gone| gone.args).unwrap_or_default();
                for spec in channels {
                    self.last_channel = self.last_channel.max(spec.channel.0);
                    self.of_channel.insert(spec.channel, id);
                    let (args, facts) = (args.clone(), facts.clone());
                    let (spec, tool, open, closed) = (spec.clone(), *tool, *open, BTreeSet::new());
                    session.channels.insert(spec.channel, Channel { spec, tool, open, args, facts, closed });
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
            Event::Accepted { .. } => session.consents.clear(),
            Event::Ended { .. } => session.ended = true,
            _ => {}
        }
        if session.ended && !session.in_use() {
            self.sessions.remove(&id);
        }
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

    fn answered(&mut self, prompt: Prompt, allow: bool) {
        if allow && !prompt.anew {
            self.withdrawn.retain(|tool| !prompt.tools.contains(tool));
            self.consents.extend(prompt.tools);
        }
    }

    fn taken_back(&mut self, tool: Option<Tool>) {
        match tool {
            Some(tool) => {
                self.consents.remove(&tool);
                self.withdrawn.insert(tool);
            }
            None => {
                self.consents.clear();
                self.withdrawn.extend(Tool::ALL);
            }
        }
    }
}

impl Open {
    fn due(&self, id: OpenId) -> Option<(Time, Due)> {
        match self.stage {
            OpenStage::Asked { .. } => None,
            OpenStage::Offered { until, .. } => Some((until, Due::Open(id))),
        }
    }
}
