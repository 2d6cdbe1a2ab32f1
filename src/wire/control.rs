//! Control messages: MessagePack maps with field names (W4.1). A message never names its sender; the broker knows.
//!
//! A client sends `hello` first, then requests `{id, do: {name: {…}}}`; the broker answers each with `{re, ok}` or
//! `{re, no}` and pushes `{seq, ev: {name: {…}}}`. Unknown fields are ignored, unknown names are refused by name.

use super::{Hidden, Work};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Everything a client may send as control. Exactly one field is set.
#[derive(Clone, PartialEq, Debug)]
pub enum FromClient {
    Hello(Box<Hello>),
    /// `id` counts up from 1 for one participant and is never used again by it, reconnects included (W3.5).
    Request {
        id: u64,
        act: Box<Do>,
    },
    /// A request whose name this version does not know; refused by name.
    Unknown {
        id: u64,
        name: String,
    },
    Ping(u64),
    Pong(u64),
}

/// Everything the broker may send as control.
#[derive(Clone, PartialEq, Debug)]
pub enum FromBroker {
    Welcome(Box<Welcome>),
    Reply {
        re: u64,
        answer: Result<Box<Done>, Box<Refused>>,
    },
    /// `seq` is the site's sequence number; gaps are normal (W4.4). An event this version does not know is `None`.
    Push {
        seq: u64,
        ev: Option<Box<Ev>>,
    },
    Ping(u64),
    Pong(u64),
    /// Said before the connection closes, where there is more to say than the code.
    Bye(Bye),
}

// ---- hello ----------------------------------------------------------------------------------------------------------

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Hello {
    pub role: Role,
    /// By host name if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    pub credential: Credential,
    #[serde(default)]
    pub client: ClientInfo,
    /// Names of optional features; the welcome says which of them hold.
    #[serde(default)]
    pub features: Vec<String>,
    /// Resume the view from this push; left out: a snapshot comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Rep,
    Customer,
    /// Somebody from outside who was invited into one session (R7.5).
    External,
    /// An integrator's or the load test's account: asks for sessions and watches them.
    Service,
    Admin,
}

/// What proves who this is. No secret ever stands in a header, a cookie, or a URL's path or query (W3.2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// Single use, 30 s, from `POST /v1/ticket`; what a browser has.
    Ticket(String),
    /// An access token from `POST /v1/sign-in`.
    Token(String),
    /// A session key as read out or typed, or the token of a join link; what a customer or an external rep has.
    Key(String),
    /// The same, with the answer to what the broker asked for in its `bye` (I-K3).
    WorkedKey { key: String, challenge: String, answer: u64 },
    /// The token of the last welcome (W3.4).
    Resume(String),
}

/// Says which, never what.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ticket(_) => "Ticket(…)",
            Self::Token(_) => "Token(…)",
            Self::Key(_) => "Key(…)",
            Self::WorkedKey { .. } => "WorkedKey(…)",
            Self::Resume(_) => "Resume(…)",
        })
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ClientInfo {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub version: String,
    /// `linux`, `macos`, `windows`, `android`, `ios` or `other`: decides how paths are read (P5).
    #[serde(default)]
    pub os: String,
    /// How the person wants to be called; shown as unverified.
    #[serde(default)]
    pub display_name: String,
    #[serde(default)]
    pub locale: String,
    /// Somebody sits at the endpoint who can be asked (P4.5).
    #[serde(default = "yes")]
    pub present: bool,
}

fn yes() -> bool {
    true
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    pub protocol: u32,
    pub site: String,
    /// Who the broker knows this to be: a username, or `customer`.
    pub you: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<u16>,
    /// For the next hello; the one before stays good until this one is first used (W3.4).
    pub resume: Hidden,
    pub features: Vec<String>,
    pub ping_interval_s: u64,
    /// The broker's clock, milliseconds since 1970 UTC.
    pub now_ms: u64,
    /// `true`: the view goes on after `seen`; `false`: a snapshot follows.
    pub resumed: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bye {
    pub code: u16,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What to work on before the same key is shown again (I-K3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

// ---- requests -------------------------------------------------------------------------------------------------------

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
    WithdrawNotice {
        notice: u32,
    },

    // Looking.
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

// ---- answers --------------------------------------------------------------------------------------------------------

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Done, and there is nothing to add.
    Yes {},
    Asked {
        session: u64,
        /// The customer's own way in.
        join: Hidden,
    },
    Key {
        key: Hidden,
        expires_at_ms: u64,
    },
    Session(Box<SessionView>),
    /// The request waits for the other end, or first for the customer's answer; `opened` or `refused_open` follows.
    Opening {
        open: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt: Option<u32>,
    },
    Opened(Opened),
    /// No byte past these offsets arrives any more (W2.2).
    Revoked {
        epoch: u32,
        finals: Vec<FinalOffset>,
    },
    Explained(Box<Explained>),
    Site {
        /// The text, or as much of it as fits.
        toml: String,
        #[serde(default)]
        version: u64,
        /// Where the rest begins; left out at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u64>,
    },
    /// The site is the new one. No byte past these offsets arrives any more (W2.2).
    Applied {
        version: u64,
        /// Sessions in which somebody's permissions changed, and legs that ended.
        sessions: u32,
        legs: u32,
        /// The first 1,000 of them.
        finals: Vec<FinalOffset>,
    },
    Notice {
        notice: u32,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FinalOffset {
    pub channel: u32,
    /// The reader of the leg.
    pub participant: u16,
    pub offset: u64,
}

/// Why something was not done (W4.2, P6.3). It never closes anything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// One of the documented names.
    pub code: String,
    /// The rule it follows, such as `R7.1`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    pub message: String,
    /// The field or place that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The layer that gave the permission's value, such as `portal:main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// R9: why a session was offered to whom it was, or why it waits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Explained {
    /// 0 in a dry run.
    pub session: u64,
    pub queue: String,
    /// `none`, `least_busy` or `skills_least_busy`; empty for a rep's own queue.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub algorithm: String,
    /// Skills still asked for at this step of R4.6.
    pub skills: Vec<String>,
    pub step: u32,
    /// In the order they would be offered.
    pub candidates: Vec<String>,
    /// Sessions each candidate is in (R4.2).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sessions: BTreeMap<String, u32>,
    /// There are more candidates than are listed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// Would pass every test of R3, but a better match or the preferred rep is waited for (R4.7, R4.8).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_back: Vec<String>,
    /// When that wait is over for the next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widens_at_ms: Option<u64>,
    /// The first failed test of R3 for each rep left out, not of all where they are many.
    pub rejected: BTreeMap<String, String>,
    /// How many reps failed each test.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The rule that brought it into this queue.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub moved_by: String,
    /// Of a dry run: why it would be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Box<Refused>>,
    /// What was decided about it, the newest last, where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// Older ones that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub decisions_left_out: u32,
}

/// One thing that was decided, or done by hand, about a session.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Decision {
    pub at_ms: u64,
    /// `queued`, `offered`, `accepted`, `rejected`, `offer_timeout`, `offer_withdrawn`, `overdue`, `moved`, `relaxed`,
    /// `owner_changed`, `held`, `resumed` or `ended`.
    pub event: String,
    /// Of an offer: its number, from 1, by which its full list is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rep: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Of an offer: the rule that had brought the session into the queue.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The step of R4.6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// Sessions the rep was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
}

// ---- pushes ---------------------------------------------------------------------------------------------------------

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
    },
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
    Prompt {
        session: u64,
        prompt: u32,
        /// What would be allowed by a yes; several where one answer covers all (P4.2).
        tools: Vec<String>,
        by: String,
        expires_at_ms: u64,
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
        /// Left out where the frames themselves say it.
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
    /// `waiting`, `offered`, `active`, `held`, `reconnecting` or `ended`.
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
    pub priority: u8,
    #[serde(default)]
    pub skills: Vec<String>,
    #[serde(default)]
    pub details: String,
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
