//! What may be asked of a site's state machine. Everything is resolved here: ids, not names; hashes, not secrets.

use super::{Enrolled, PasswordTerms, Proof};
use crate::{
    ids::*,
    limits,
    policy::Tool,
    site::{SessionKind, Site, raw::RawSite},
    time::{Span, Time},
    wire::control::{ClientInfo, Value},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// A journal row: what one turn of the owner decided, and what came of it (W5.1).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Turn {
    pub requests: Vec<(Time, Request)>,
    pub events: Vec<super::Stamped>,
}

impl Turn {
    /// What its record may take (W5.6). A site is imported whole, and alone in its turn.
    pub fn bytes_max(&self) -> usize {
        match self.requests.as_slice() {
            [(_, Request { command: Command::ApplySite(_), .. })] => limits::IMPORT_BYTES_MAX,
            _ => limits::TURN_BYTES_MAX,
        }
    }
}

/// Who asks. Added by the broker from what the handshake proved; a message never names its sender.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The broker itself: connections lost, time, recovery.
    System,
    Admin(UserId),
    Service(ServiceId),
    Party(Party),
}

/// A command as it stands in a journal row (W5.1).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Request {
    pub actor: Actor,
    /// The requester's own number, by which a repetition is known (W3.5); none where nothing repeats.
    pub id: Option<u64>,
    pub command: Command,
}

/// Where a session is asked to wait (R2.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queue {
    Team(TeamId),
    Personal(UserId),
}

impl Queue {
    /// As people and messages write it (R2.5).
    pub fn address(self, site: &Site) -> String {
        match self {
            Self::Team(team) => match site.teams.get(&team) {
                Some(team) => format!("team:{}", team.code),
                None => format!("team:#{team}"),
            },
            Self::Personal(user) => format!("rep:{}", site.username(user)),
        }
    }
}

/// What a customer may ask for or a key leads to: a queue, or an issue that names one (R2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    Queue(Queue),
    Issue(IssueId),
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ask {
    pub entry: Entry,
    pub kind: SessionKind,
    pub portal: Option<PortalId>,
    /// The enrolled endpoint it was started on (R2.3).
    #[serde(default)]
    pub item: Option<JumpItemId>,
    /// In the customer's order; of an issue if empty.
    pub skills: Vec<SkillId>,
    pub priority: Option<u8>,
    pub relax_after: Option<Span>,
    pub preferred: Option<(UserId, Span)>,
    pub customer: Customer,
    /// The way in for the customer's own connection; none where a scenario has no connections.
    pub join: Option<SecretHash>,
    /// The session it asks help for (R7.4); none: it is a customer's own.
    #[serde(default)]
    pub helps: Option<SessionId>,
    /// The support button its customer came by.
    #[serde(default)]
    pub button: Option<ButtonId>,
    /// The rep who shows its screen in it, in the customer's place: there is no customer (R1.4).
    #[serde(default)]
    pub shown_by: Option<UserId>,
}

impl Ask {
    /// What somebody asks for who says nothing else: support, whoever they are.
    pub fn of(entry: Entry) -> Self {
        Self {
            entry,
            kind: SessionKind::Support,
            portal: None,
            item: None,
            skills: Vec::new(),
            priority: None,
            relax_after: None,
            preferred: None,
            customer: Customer::default(),
            join: None,
            helps: None,
            button: None,
            shown_by: None,
        }
    }
}

/// What a customer says of themselves: shown as unverified.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Customer {
    pub name: String,
    pub details: String,
    pub external_key: String,
    pub client: ClientInfo,
}

/// What the links of a mailed invitation say (R7.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationAnswer {
    Accept,
    Decline,
    DeclineAndSwitchOff,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    // ---- the broker itself ----
    /// Timers that are due fire; nothing else. Every other command does this first.
    Tick,
    /// The first record of an owner: fences those before it (W5.6).
    TakeOwnership {
        epoch: u64,
    },
    /// After a restart nobody is connected; graces start anew (W3.4, W5.3).
    LoseConnections,
    /// The wall clock, for schedules and expiries (W5.3): milliseconds since 1970 UTC.
    CivilTime {
        ms: u64,
    },

    // ---- the site and its accounts ----
    /// Import at the first start, edit later (contract C1).
    ApplySite(Arc<RawSite>),
    /// A PHC string; replaces the one of `version` (W5.7), 0 for none yet.
    SetCredential {
        user: UserId,
        #[serde(serialize_with = "crate::ids::hide_from_people")]
        phc: String,
        version: u32,
        #[serde(default)]
        terms: PasswordTerms,
    },
    /// The first administrator (I-A8): refused once there is one.
    CreateFirstAdmin {
        username: String,
        #[serde(serialize_with = "crate::ids::hide_from_people")]
        phc: String,
        /// Of the user that [`State::admin_to_be`](super::State::admin_to_be) names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        second_factor: Option<Enrolled>,
    },
    /// What failed at this account's sign-ins is forgotten (BU-034).
    Unlock {
        user: UserId,
    },
    SetSecondFactor(Enrolled),
    RemoveSecondFactor {
        user: UserId,
    },
    /// A code was right; refused where it was used before (I-T3).
    UseSecondFactor {
        user: UserId,
        proof: Proof,
    },
    MakeServiceKey {
        name: String,
        token: SecretHash,
    },
    /// For the endpoint that stands by for this item, in place of an earlier one.
    MakeItemKey {
        item: JumpItemId,
        key: SecretHash,
    },
    /// Nobody stands by with the key of this item any more.
    RevokeItemKey {
        item: JumpItemId,
    },
    /// Closes the account's connections and runs the fallback rules (R8.1).
    DisableUser {
        user: UserId,
    },
    DeleteTeam {
        team: TeamId,
    },

    /// Told to every customer who waits, until it is withdrawn or has lived so long (R10.1).
    PublishNotice {
        text: String,
        lives: Option<Span>,
    },
    WithdrawNotice {
        notice: NoticeId,
    },

    // ---- a rep's console ----
    /// A password or token of credential `version` was proven outside (W5.7).
    Login {
        user: UserId,
        version: u32,
        resume: SecretHash,
        client: ClientInfo,
    },
    Logout {
        user: UserId,
    },
    /// The connection of this epoch ended without a goodbye.
    Lost {
        party: Party,
        epoch: AttachEpoch,
    },
    /// In a scenario: lost, and the grace is over (contract C2).
    LoseForGood {
        user: UserId,
    },
    OptIn,
    OptOut,
    Status {
        code: String,
    },
    /// Untouched since `since`.
    Idle {
        since: Time,
    },
    Active,
    /// Extended availability (R7.4).
    Extended {
        on: bool,
    },

    // ---- ways in ----
    MakeKey {
        entry: Entry,
        key: SecretHash,
        code: bool,
        expires: Time,
    },
    /// A way into this queue that does not wear out.
    MakeButton {
        queue: Queue,
        portal: Option<PortalId>,
        token: SecretHash,
    },
    RevokeButton {
        button: ButtonId,
    },
    SetButtonPortal {
        button: ButtonId,
        portal: Option<PortalId>,
    },
    /// A customer came with a key, a button or a session's join token; the broker bound the portal by host (R2.4).
    Redeem {
        key: SecretHash,
        portal: Option<PortalId>,
        customer: Customer,
        resume: SecretHash,
    },
    /// R7.5: a key for one external rep in this session. `policy`: left out where only one is marked for invites.
    InviteExternal {
        session: SessionId,
        address: String,
        policy: Option<PolicyId>,
        key: SecretHash,
    },
    /// An external rep came with a key.
    RedeemInvite {
        key: SecretHash,
        client: ClientInfo,
        resume: SecretHash,
    },
    /// An endpoint came with an item's key, to take sessions on it up.
    StandBy {
        key: SecretHash,
        client: ClientInfo,
        resume: SecretHash,
    },
    /// The link of a mailed invitation was followed (R7.4).
    AnswerInvitation {
        token: SecretHash,
        answer: InvitationAnswer,
    },
    /// The invitation with this token, or the key with this hash, could not be mailed.
    MailFailed {
        token: SecretHash,
    },
    /// Anybody comes back with the token of the last welcome (W3.4).
    Reattach {
        presented: SecretHash,
        resume: SecretHash,
    },

    // ---- sessions ----
    Ask(Ask),
    /// A rep starts a session on an enrolled endpoint (R2.3).
    Jump {
        item: JumpItemId,
        join: Option<SecretHash>,
        /// The one that stands by takes it up; a scenario has none.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_endpoint: bool,
    },

    // ---- endpoint automation ----
    MakeJob(super::jobs::NewJob),
    CancelJob {
        job: JobId,
    },
    /// The endpoint of one of its items begins it.
    TakeJob {
        job: JobId,
    },
    /// And says how it went.
    JobEnded {
        job: JobId,
        exit: Option<u32>,
        reason: String,
        output: String,
    },
    /// Requests about jobs that were refused since the last such record (P6.3).
    JobsRefused {
        by: UserId,
        count: u32,
        source: String,
    },

    Accept {
        session: SessionId,
    },
    Reject {
        session: SessionId,
    },
    Take {
        session: SessionId,
    },
    GetNext,
    Transfer {
        session: SessionId,
        to: Queue,
    },
    Share {
        session: SessionId,
        to: Queue,
        /// Of the links in a mail to a rep who is not logged in; none: nothing can be mailed (R7.4).
        #[serde(default)]
        mail: Option<SecretHash>,
    },
    /// R7.4: a request for help by an issue, routed like a session.
    AskForHelp {
        session: SessionId,
        issue: IssueId,
    },
    Join {
        session: SessionId,
    },
    Depart {
        session: SessionId,
    },
    TakeOver {
        session: SessionId,
    },
    Hold {
        session: SessionId,
    },
    Resume {
        session: SessionId,
    },
    End {
        session: SessionId,
    },

    /// BU-067: this rep's screen, to another rep, outside any session with a customer.
    ShowScreen {
        to: UserId,
    },
    /// BU-068: who looks at it may control it, or not any more.
    GiveControl {
        session: SessionId,
        on: bool,
    },

    /// P3.18: whether the customer may write in the chat.
    SetChat {
        session: SessionId,
        on: bool,
    },

    /// P3.29: what a rep writes on the session under this name; an empty value takes it away.
    SetField {
        session: SessionId,
        field: String,
        value: String,
    },
    /// P3.29: what the session is called in another system.
    SetExternalKey {
        session: SessionId,
        value: String,
    },
    /// LG-023: the customer's language, as it said in its hello or chose since.
    SetLocale {
        session: SessionId,
        locale: String,
    },

    /// The customer agrees to the site's disclaimer, or declines (R10.2).
    AnswerDisclaimer {
        session: SessionId,
        agree: bool,
    },

    // ---- tools ----
    Open {
        session: SessionId,
        tool: Tool,
        args: BTreeMap<String, Value>,
    },
    AcceptOpen {
        session: SessionId,
        open: OpenId,
        facts: BTreeMap<String, Value>,
    },
    RefuseOpen {
        session: SessionId,
        open: OpenId,
        reason: String,
    },
    Note {
        session: SessionId,
        channel: ChannelId,
        facts: BTreeMap<String, Value>,
    },
    Answer {
        session: SessionId,
        prompt: PromptId,
        allow: bool,
    },
    /// The customer takes back one tool's grant or all (P4.6).
    TakeBack {
        session: SessionId,
        tool: Option<Tool>,
    },
    /// Goes on judging sessions whose rights the site changed (P6.2): a turn's worth.
    JudgeRights,
    /// Requests for a tool, or frames of it, that were refused since the last such record (P6.3): the broker counts, the
    /// journal keeps. Without a source: what withholds the tool at this moment, if anything does.
    Refusals {
        session: SessionId,
        participant: ParticipantId,
        tool: Tool,
        count: u32,
        source: String,
    },
    /// The same of answers to prompts that were none (H-76).
    AnswersRefused {
        session: SessionId,
        prompt: PromptId,
        by: Party,
        count: u32,
        code: String,
    },
    /// The relay saw data of these reps' control, shell or file channels pass, at most once in
    /// [`limits::ACTIVITY_INTERVAL`] for each session (R7.9).
    DataMoved {
        session: SessionId,
        by: Vec<ParticipantId>,
    },
    /// The relay saw a channel end: finished, cancelled, at fault, lagged.
    ChannelEnded {
        channel: ChannelId,
        reason: String,
    },
    /// The relay saw one reader of several end.
    LegEnded {
        channel: ChannelId,
        reader: ParticipantId,
        reason: String,
    },
}
