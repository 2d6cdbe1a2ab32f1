//! What a client may ask for.

use super::jobs::{JobEnded, MakeJob};
use crate::wire::Hidden;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a client may ask for. Sessions are numbers, queues and people are addresses (`team:net`, `rep:ana`).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Do {
    // A rep's console.
    Status {
        code: String,
    },
    OptIn {},
    OptOut {},
    /// Nobody has touched the console for so long.
    Idle {
        for_s: u64,
    },
    Active {},
    /// Extended availability: may be invited by mail while logged out (R7.4).
    Extended {
        on: bool,
    },
    Logout {},

    // Queues and sessions (R2, R7).
    /// For service accounts: a customer asks through an integrator. Answer: `asked`.
    Ask(Ask),
    /// A key for one customer. Answer: `key`.
    MakeKey {
        /// Left out: the rep's own queue.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        queue: Option<String>,
        #[serde(default)]
        kind: KeyKind,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lives_s: Option<u64>,
    },
    /// A support button: a way into a queue that does not wear out. Answer: `button`.
    MakeButton {
        /// Left out: the rep's own queue.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        queue: Option<String>,
        /// Its sessions come through this one; left out: that of the customer's own connection.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        portal: Option<String>,
    },
    /// The buttons there are that this one may manage. Answer: `buttons`.
    Buttons {
        /// Those after the one of this number.
        #[serde(default, skip_serializing_if = "is_zero")]
        after: u32,
    },
    RevokeButton {
        button: u32,
    },
    SetButtonPortal {
        button: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        portal: Option<String>,
    },
    /// Where this rep may transfer the session, or whom it may share it with. Answer: `targets`.
    Targets {
        session: u64,
        /// `transfer` or `share`.
        act: String,
        /// Only whose code, username or name has this in it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        like: String,
        /// From where the answer before ended, its `next`.
        #[serde(default, skip_serializing_if = "is_zero")]
        after: u32,
    },
    /// The jump items that this one sees. Answer: `jump_items`.
    JumpItems {
        /// Those after the one of this number.
        #[serde(default, skip_serializing_if = "is_zero")]
        after: u32,
    },
    /// Starts a session on the endpoint that stands by for this item (R2.3). Answer: `session`.
    Jump {
        item: String,
    },
    /// For the endpoint that stands by for this item, in place of an earlier one. Answer: `key`.
    MakeItemKey {
        item: String,
    },
    /// Nobody stands by with the item's key any more (P3.25).
    RevokeItemKey {
        /// Left out by the endpoint that stands by: its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<String>,
    },

    // Endpoint automation (P8.7, P8.8).
    /// The templates of jobs. Answer: `job_templates`.
    JobTemplates {
        /// Those after the one of this code.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        after: String,
    },
    /// Answer: `job`.
    MakeJob(MakeJob),
    /// One's own jobs, or everybody's for an administrator of automation, the newest first. Answer: `jobs`.
    Jobs {
        /// Those before the one of this number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
    },
    /// How it stands on each item. Answer: `job`.
    Job {
        job: u64,
        /// So many items are left out.
        #[serde(default, skip_serializing_if = "is_zero")]
        after: u32,
    },
    CancelJob {
        job: u64,
    },
    /// The endpoint that stands by for an item takes the job that waits for it. Answer: `job_taken`, or `yes` where it may
    /// not run any more.
    TakeJob {
        job: u64,
    },
    JobEnded(JobEnded),

    Accept {
        session: u64,
    },
    Reject {
        session: u64,
    },
    Take {
        session: u64,
    },
    GetNext {},
    Transfer {
        session: u64,
        to: String,
    },
    Share {
        session: u64,
        to: String,
    },
    /// Help with a session, by an issue that is for it (R7.4). Answer: the request, as `session`.
    AskForHelp {
        session: u64,
        issue: String,
    },
    /// A key for one external rep (R7.5). Answer: `key`.
    InviteExternal {
        session: u64,
        address: String,
        /// Left out: the only policy that is marked for invites.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<String>,
    },
    Join {
        session: u64,
    },
    Depart {
        session: u64,
    },
    TakeOver {
        session: u64,
    },
    Hold {
        session: u64,
    },
    Resume {
        session: u64,
    },
    End {
        session: u64,
    },
    /// This rep's screen, to another rep (`rep:ana`), outside any session with a customer. Answer: `session`.
    ShowScreen {
        to: String,
    },
    /// Who looks at it may control it, or not any more. Answer: `yes`, or `revoked`.
    GiveControl {
        session: u64,
        on: bool,
    },
    /// Whether the customer may write in the chat (P3.18). Answer: `yes`, or `revoked`.
    SetChat {
        session: u64,
        on: bool,
    },
    /// Writes a custom field on the session; an empty value takes it away (P3.29).
    SetField {
        session: u64,
        field: String,
        value: String,
    },
    /// What the session is called in another system (P3.29).
    SetExternalKey {
        session: u64,
        value: String,
    },
    /// The customer reads another language from here on (LG-023).
    SetLocale {
        session: u64,
        locale: String,
    },

    // Tools (W1.3, P3).
    Open(Open),
    /// The other end takes a requested tool up. Answer: `opened`.
    AcceptOpen {
        session: u64,
        open: u32,
        /// What the opener should know, such as a file's size.
        #[serde(default)]
        facts: BTreeMap<String, Value>,
    },
    RefuseOpen {
        session: u64,
        open: u32,
        reason: String,
    },
    /// Facts about a channel for its other ends, kept while it lives: a file's SHA-256, that it was stored (W1.8).
    Note {
        session: u64,
        channel: u32,
        facts: BTreeMap<String, Value>,
    },
    /// The customer answers a prompt (P4).
    Answer {
        session: u64,
        prompt: u32,
        allow: bool,
    },
    /// The customer agrees to the disclaimer, or declines, which ends the session (R10.2).
    AnswerDisclaimer {
        session: u64,
        agree: bool,
    },
    /// The customer takes back one grant, or all with no tool named (P4.6). Answer: `revoked`.
    TakeBack {
        session: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
    },

    /// Tells every customer who waits, until it is withdrawn or has lived so long. Answer: `notice`.
    PublishNotice {
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lives_s: Option<u64>,
    },
    /// The notices there are, for whoever may edit them. Answer: `notices`.
    Notices {},
    WithdrawNotice {
        notice: u32,
    },

    // Looking.
    /// Sessions that have ended, the newest first: those that this one may see (BU-048). Answer: `history`.
    History(History),
    /// R2.1: whom a portal shows to the public, for service accounts. Answer: `rep_list`.
    RepList {
        portal: String,
    },
    /// R9.1: why a session waits or was offered as it was. Answer: `explained`.
    Explain {
        session: u64,
        /// Also what was decided about it before, from the journal.
        #[serde(default, skip_serializing_if = "is_false")]
        past: bool,
        /// The full list of its offer of this number, at the moment before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offer: Option<u32>,
    },
    /// R9.2, a dry run: what would become of this ask; changes nothing. Answer: `explained`.
    ExplainAsk(Ask),

    // Administration: what the demo, the setup and the load test need; the API brings the rest.
    SetPassword {
        username: String,
        password: Hidden,
        /// Its user has to choose another one at the next sign-in.
        #[serde(default, skip_serializing_if = "is_false")]
        must_reset: bool,
        /// And from then on, in milliseconds since 1970 UTC; left out: it does not run out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at_ms: Option<u64>,
    },
    /// What failed at this account's sign-ins is forgotten: it may try again at once.
    Unlock {
        username: String,
    },
    /// For somebody who lost their authenticator and their recovery codes.
    ResetSecondFactor {
        username: String,
    },
    /// A long-lived token for a service account. Answer: `key`.
    MakeServiceKey {
        name: String,
    },
    Site {},
    /// The same from this byte of its text on, where it did not fit one answer.
    SitePart {
        at: u64,
    },
    /// An edited site file, in pieces that each fit a message. Answer: `yes` to a piece, `applied` to the last, once
    /// every right that it takes away has ended.
    ApplySite {
        text: String,
        /// Another piece follows.
        #[serde(default)]
        more: bool,
        /// The `version` that was edited; another since then: `stale`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
}

/// Which sessions that have ended; what is left out holds for all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// Ended at this moment or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// And before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// The primary team, as `team:net`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The primary rep, as `rep:ana`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rep: Option<String>,
    /// The `next` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Ask {
    pub queue: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relax_after_s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred: Option<Preferred>,
    /// Shown to the rep as given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub customer_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external_key: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Preferred {
    pub rep: String,
    pub window_s: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Short, to be read out: `XXXX-XXXX`.
    #[default]
    Code,
    /// 128 bits, for the fragment of a link.
    Link,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Open {
    pub session: u64,
    /// A name of contract C1: `shell`, `file_transfer`, `screen`, `system_info`, `chat` …
    pub tool: String,
    /// By tool; `docs/protocol.md` lists them.
    #[serde(default)]
    pub args: BTreeMap<String, Value>,
}

/// The values that arguments and facts of a tool may have.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<String>),
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}
