//! What the broker says unasked.

use super::{
    answers::Refused,
    jobs::{JobCall, JobView},
    requests::Value,
    views::{ChannelView, ParticipantView, RepView, SessionView, TeamView, ToolView, WaitRange},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ev {
    // A console's view (W4.4): a snapshot in parts, then what changed, whole objects each time.
    Snapshot {
        sessions: Vec<SessionView>,
        reps: Vec<RepView>,
        teams: Vec<TeamView>,
        last: bool,
    },
    Session(Box<SessionView>),
    SessionGone {
        session: u64,
        reason: String,
    },
    Rep(RepView),

    // To one rep.
    Offer {
        session: u64,
        team: String,
        expires_at_ms: u64,
        /// Left out where the site hides it (R5.2).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        info: Option<Box<SessionView>>,
    },
    OfferWarning {
        session: u64,
        expires_at_ms: u64,
    },
    OfferGone {
        session: u64,
        reason: String,
    },
    Invited {
        session: u64,
        by: String,
        expires_at_ms: u64,
        /// `by` shows its screen in it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shows: bool,
    },
    /// An invitation of this rep's is over: `to` as it was invited, `reason` why.
    InvitationGone {
        session: u64,
        to: String,
        reason: String,
    },
    /// The letter with an external rep's key did not go out; the key is good all the same.
    MailFailed {
        session: u64,
        address: String,
    },
    /// A job of this rep's waits and runs nowhere any more.
    JobOver(Box<JobView>),
    LoggedOut {
        reason: String,
    },
    /// So many minutes are left before the login schedule ends this login (R11.2).
    LogoutNotice {
        minutes: u32,
    },
    /// This seat is shared and its minutes are over: a new hello with a fresh token brings the console back; until then
    /// nothing new begins (R11.4).
    Reauthenticate {},

    // To the customer.
    Waiting {
        session: u64,
        position: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait_s: Option<WaitRange>,
        /// Whoever will serve, while nobody's name is known (R10.2).
        #[serde(default, skip_serializing_if = "String::is_empty")]
        name: String,
    },
    /// Agree with `answer_disclaimer`; until then nobody serves the session.
    Disclaimer {
        session: u64,
        text: String,
        expires_at_ms: u64,
    },
    /// What the site says to its customers: `kind` is `greeting`, `hold`, `no_rep` or `notice`.
    Announcement {
        session: u64,
        kind: String,
        text: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        notice: Option<u32>,
    },
    NoticeGone {
        notice: u32,
    },
    /// Somebody serves this session now; names as the customer may see them (R10.2).
    Serving {
        session: u64,
        participants: Vec<ParticipantView>,
    },
    /// To the endpoint that stands by: a rep started a session on its item. It says hello again, as its customer.
    Jumped {
        session: u64,
    },
    /// To the endpoint that stands by.
    Job {
        job: u64,
        call: JobCall,
    },
    Prompt {
        session: u64,
        prompt: u32,
        /// What would be allowed by a yes; several where one answer covers all (P4.2).
        tools: Vec<String>,
        by: String,
        expires_at_ms: u64,
        /// A yes is for this one time (LR-028, P4.4).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        each: bool,
    },
    PromptGone {
        session: u64,
        prompt: u32,
    },
    Ended {
        session: u64,
        reason: String,
    },

    // Tools.
    /// This end is asked to take a tool up; answer with `accept_open` or `refuse_open`.
    Requested {
        session: u64,
        open: u32,
        by: u16,
        tool: String,
        args: BTreeMap<String, Value>,
    },
    Opened(Opened),
    RefusedOpen {
        session: u64,
        open: u32,
        refused: Refused,
    },
    Closed {
        session: u64,
        channel: u32,
        reason: String,
        /// For a reader where its leg ended, as its CLOSE says too; else how far it was written. Left out where nobody
        /// remembers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<u64>,
        /// The permission that ended it, and the layer that took it away (P6.2); left out where none did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
    },
    Noted {
        session: u64,
        channel: u32,
        by: u16,
        facts: BTreeMap<String, Value>,
    },
    /// What this participant may do in the session changed (P6.2).
    Permissions {
        session: u64,
        epoch: u32,
        /// Empty for the customer.
        tools: BTreeMap<String, ToolView>,
        /// The options beside the tools; for the customer those that its endpoint honours (P3.30, P3.31).
        #[serde(default)]
        options: BTreeMap<String, Value>,
    },

    /// The broker is about to go; come back after the delay.
    Draining {
        retry_after_ms: u64,
    },
}

/// One `opened` to all whom it concerns (W1.3).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Opened {
    pub session: u64,
    pub open: u32,
    pub tool: String,
    pub channels: Vec<ChannelView>,
    #[serde(default)]
    pub facts: BTreeMap<String, Value>,
}
