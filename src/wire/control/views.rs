//! What of the site is shown: whole objects, as the viewer may know them.

use super::requests::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ChannelView {
    pub channel: u32,
    /// Names of the kinds of frame it carries, in snake case: `shell_input`, `shell_resize` …
    pub kinds: Vec<String>,
    pub class: Class,
    pub writer: u16,
    pub readers: Vec<u16>,
    /// Where this reader begins.
    pub start: u64,
}

/// W1.10: in this order a connection is served.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Input,
    Shell,
    Picture,
    File,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ToolView {
    pub value: Value,
    pub source: String,
    pub prompt: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WaitRange {
    pub low: u32,
    /// What is most to be expected.
    #[serde(default)]
    pub about: u32,
    pub high: u32,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SessionView {
    pub session: u64,
    pub kind: String,
    /// `waiting`, `offered`, `active`, `held`, `reconnecting`, `rebooting` or `ended`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_to: Option<String>,
    #[serde(default)]
    pub participants: Vec<ParticipantView>,
    #[serde(default)]
    pub customer: String,
    #[serde(default)]
    pub customer_os: String,
    /// The customer's language, such as `de-CH`; left out where nobody said one (LG-023).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub locale: String,
    pub priority: u8,
    #[serde(default)]
    pub skills: Vec<String>,
    #[serde(default)]
    pub details: String,
    /// What it is called in another system; empty for external reps.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external_key: String,
    /// What reps wrote on it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    pub queued_at_ms: u64,
    #[serde(default)]
    pub overdue: bool,
    /// It is a request for help with this session (R7.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helps: Option<u64>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ParticipantView {
    pub participant: u16,
    pub name: String,
    pub role: String,
    pub attached: bool,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct RepView {
    pub rep: String,
    pub name: String,
    /// `offline`, `available`, `away`, `busy`, or the site's own code.
    pub status: String,
    pub sessions: u32,
    pub opted_in: bool,
    /// Extended availability is on (R7.4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extended: bool,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct TeamView {
    pub team: String,
    pub name: String,
    pub waiting: u32,
    pub reps: u32,
}
