//! What happened: the only truth. State is the fold of these; journal, views, gates and metrics follow them.
//! Released events are for ever: fields are added with defaults, never renamed (golden journals hold this).

mod why;

pub use super::command::Actor;
pub use why::{AcceptedHow, AnsweredHow, Cause, ChannelSpec, EndReason, LogoutReason, MoveRule, Outcome, OwnerRule};

use super::{
    accounts::PasswordTerms,
    command::{Ask, Entry, Queue},
    jobs::{JobEnd, JobItem},
    second_factor::Proof,
};
use crate::{
    ids::*,
    policy::{Tool, Word},
    site::raw::RawSite,
    time::{Span, Time},
    wire::control::{ClientInfo, Value},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// An event and the moment it happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stamped {
    pub at: Time,
    pub event: Event,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    // ---- the broker itself ----
    OwnerTook {
        epoch: u64,
    },
    ConnectionsLost,
    CivilTime {
        ms: u64,
    },
    /// This request was done with this outcome; a repetition gets the same (W3.5).
    Acted {
        party: Party,
        id: u64,
        outcome: Outcome,
    },

    /// The same for a service account.
    ServiceActed {
        service: ServiceId,
        id: u64,
        outcome: Outcome,
    },

    // ---- site and accounts ----
    SiteApplied {
        site: Arc<RawSite>,
    },
    CredentialSet {
        user: UserId,
        #[serde(serialize_with = "crate::ids::hide_from_people")]
        phc: String,
        version: u32,
        #[serde(default)]
        terms: PasswordTerms,
    },
    /// Somebody who may had its failed sign-ins forgotten.
    Unlocked {
        user: UserId,
    },
    /// Enrolled, in place of an earlier one; the code that confirmed it was of this step.
    SecondFactorSet {
        user: UserId,
        #[serde(serialize_with = "crate::ids::hide_from_people")]
        sealed: String,
        step: u64,
        recovery: Vec<SecretHash>,
    },
    SecondFactorRemoved {
        user: UserId,
    },
    SecondFactorUsed {
        user: UserId,
        proof: Proof,
    },
    ServiceKeyMade {
        service: ServiceId,
        name: String,
        token: SecretHash,
    },
    /// Whoever has it stands by for this item; an earlier one is good no more.
    ItemKeyMade {
        item: JumpItemId,
        by: Actor,
        key: SecretHash,
    },
    /// Nobody stands by for this item any more.
    ItemKeyGone {
        item: JumpItemId,
        /// Who had it given up; none: the item itself is gone.
        #[serde(default)]
        by: Option<Actor>,
    },
    /// The customer of this session lets reps come when nobody is there, by the key that was just made for the item (P3.25).
    UnattendedAllowed {
        session: SessionId,
        item: JumpItemId,
        /// Who asked.
        rep: UserId,
    },
    UserDisabled {
        user: UserId,
    },
    TeamDeleted {
        team: TeamId,
    },

    NoticePublished {
        notice: NoticeId,
        text: String,
        by: Actor,
        until: Option<Time>,
    },
    NoticeGone {
        notice: NoticeId,
        reason: String,
    },

    // ---- consoles ----
    LoggedIn {
        user: UserId,
    },
    LoggedOut {
        user: UserId,
        reason: LogoutReason,
    },
    /// Minutes left before a forced logout (R11.2).
    LogoutNotice {
        user: UserId,
        minutes: u32,
    },
    /// Everybody needs a second factor from here on (R11.3): the date, in milliseconds since 1970 UTC.
    TwoFactorRequired {
        from_ms: u64,
    },
    /// The minutes of a shared seat are over: the rep has to sign in again before any new act (R11.4).
    SeatTimedOut {
        user: UserId,
    },
    OptedIn {
        user: UserId,
    },
    OptedOut {
        user: UserId,
    },
    StatusSet {
        user: UserId,
        code: String,
    },
    /// Extended availability was switched (R7.4).
    ExtendedSet {
        user: UserId,
        on: bool,
    },
    WentIdle {
        user: UserId,
        since: Time,
    },
    WentActive {
        user: UserId,
    },
    /// Untouched for as long as the user's idle limit (R3.6).
    ReachedIdleLimit {
        user: UserId,
    },
    /// A wait that kept a rep from assignment is over (wrap-up, deferral): someone may be eligible now.
    BecameReady {
        user: UserId,
    },

    // ---- connections ----
    Attached {
        party: Party,
        epoch: AttachEpoch,
        token: SecretHash,
        client: ClientInfo,
        /// The resume token that was shown; none where a password or a key came first.
        #[serde(default)]
        presented: Option<SecretHash>,
    },
    Detached {
        party: Party,
        epoch: AttachEpoch,
    },
    /// A resume token was used again after it was replaced: none of this party's is good any more (H-56).
    TokensRevoked {
        party: Party,
    },

    // ---- ways in ----
    KeyMade {
        by: Actor,
        entry: Entry,
        key: SecretHash,
        code: bool,
        expires: Time,
    },
    KeyUsed {
        key: SecretHash,
    },
    KeyExpired {
        key: SecretHash,
    },
    /// A support button leads into this queue, until it is revoked or the queue is gone.
    ButtonMade {
        button: ButtonId,
        by: UserId,
        queue: Queue,
        portal: Option<PortalId>,
        token: SecretHash,
    },
    ButtonPortalSet {
        button: ButtonId,
        by: Actor,
        portal: Option<PortalId>,
    },
    ButtonGone {
        button: ButtonId,
        by: Actor,
    },

    // ---- sessions ----
    /// A session begins to be; `queued` or `accepted` follows.
    Asked {
        session: SessionId,
        ask: Box<Ask>,
    },
    /// The customer of an asked session came through this portal (R2.4).
    PortalBound {
        session: SessionId,
        portal: PortalId,
    },
    Queued {
        session: SessionId,
        queue: Queue,
    },
    /// The customer is asked to agree to the site's disclaimer; until then nobody serves the session (R10.2).
    DisclaimerShown {
        session: SessionId,
        expires_at: Time,
    },
    DisclaimerAgreed {
        session: SessionId,
    },
    Offered {
        session: SessionId,
        rep: UserId,
        team: TeamId,
        expires_at: Time,
        /// Why this rep (R9.1): the step of R4.6 at which somebody matched, and the sessions the rep was in.
        #[serde(default)]
        step: u32,
        #[serde(default)]
        count: u32,
        /// The rule that brought the session into this queue; none: placed by its customer.
        #[serde(default)]
        rule: Option<MoveRule>,
    },
    /// The alert is about to run out (R5.1).
    OfferWarned {
        session: SessionId,
        rep: UserId,
    },
    Accepted {
        session: SessionId,
        rep: UserId,
        participant: ParticipantId,
        how: AcceptedHow,
    },
    Rejected {
        session: SessionId,
        rep: UserId,
    },
    OfferTimeout {
        session: SessionId,
        rep: UserId,
    },
    OfferWithdrawn {
        session: SessionId,
        rep: UserId,
        reason: String,
    },
    Overdue {
        session: SessionId,
        queue: Queue,
    },
    Moved {
        session: SessionId,
        from: Option<Queue>,
        to: Queue,
        rule: MoveRule,
    },
    /// The next step of R4.6 may be taken (R4.7), or a preferred rep's window is over (R4.8).
    Relaxed {
        session: SessionId,
        step: u32,
    },
    Invited {
        session: SessionId,
        by: UserId,
        to: Queue,
        expires_at: Time,
        /// Of the links in the mail that carries it (R7.4).
        #[serde(default)]
        mailed: Option<SecretHash>,
    },
    /// A mailed invitation was accepted before its rep is logged in (R7.4).
    InviteAccepted {
        session: SessionId,
        to: Queue,
    },
    InviteGone {
        session: SessionId,
        to: Queue,
        reason: String,
    },
    Joined {
        session: SessionId,
        rep: UserId,
        participant: ParticipantId,
        /// By rank, without an invitation (R7.6).
        #[serde(default)]
        monitor: bool,
    },
    /// A key for one external rep was made (R7.5).
    ExternalInvited {
        session: SessionId,
        by: UserId,
        address: String,
        policy: PolicyId,
        key: SecretHash,
        expires_at: Time,
    },
    /// The letter with an external rep's key did not go out (R7.5).
    MailFailed {
        session: SessionId,
        by: UserId,
        address: String,
    },
    ExternalJoined {
        session: SessionId,
        participant: ParticipantId,
        by: UserId,
        address: String,
        policy: PolicyId,
    },
    ExternalLeft {
        session: SessionId,
        participant: ParticipantId,
        reason: String,
    },
    Departed {
        session: SessionId,
        rep: UserId,
        reason: String,
    },
    OwnerChanged {
        session: SessionId,
        from: Option<UserId>,
        to: UserId,
        rule: OwnerRule,
    },
    Held {
        session: SessionId,
    },
    Resumed {
        session: SessionId,
    },
    /// Who looks at a rep's screen may control it, or not any more (BU-068).
    ControlGiven {
        session: SessionId,
        on: bool,
    },
    /// A custom field has this value; with an empty one it is gone (P3.29).
    FieldSet {
        session: SessionId,
        by: ParticipantId,
        field: String,
        value: String,
    },
    ExternalKeySet {
        session: SessionId,
        by: ParticipantId,
        value: String,
    },
    /// The customer chose a language (LG-023).
    LocaleSet {
        session: SessionId,
        locale: String,
    },
    Ended {
        session: SessionId,
        reason: EndReason,
    },

    // ---- endpoint automation ----
    /// A script is to run on these items, but for those that were refused (P8.8).
    JobMade {
        job: JobId,
        by: UserId,
        template: Option<String>,
        script: String,
        timeout: Span,
        expires_at: Time,
        items: Vec<JobItem>,
    },
    /// Its endpoint is handed the script, and nobody else ever is.
    JobStarted {
        job: JobId,
        item: JumpItemId,
    },
    JobEnded {
        job: JobId,
        item: JumpItemId,
        how: JobEnd,
        output: String,
    },
    /// Over on the items where it waited; told to end where it runs.
    JobCancelled {
        job: JobId,
        by: UserId,
        waited: Vec<JumpItemId>,
    },
    /// It waited for too long on these items.
    JobExpired {
        job: JobId,
        waited: Vec<JumpItemId>,
    },
    /// It was over and kept for long enough.
    JobForgotten {
        job: JobId,
    },
    /// Requests about jobs that were refused, coalesced; changes no state (P6.3).
    JobsRefused {
        by: UserId,
        count: u32,
        source: String,
    },

    // ---- tools ----
    Prompted {
        session: SessionId,
        prompt: PromptId,
        tools: Vec<Tool>,
        by: ParticipantId,
        expires_at: Time,
        /// What silence means (P4.3).
        #[serde(default)]
        silence_allows: bool,
        /// The answer holds for what waits on it and for nothing later (P4.4).
        #[serde(default)]
        anew: bool,
        /// How long a yes holds; none: as long as the session (P4.6).
        #[serde(default)]
        lasts: Option<Span>,
        /// A yes covers what waits on it and no later request, and `lasts` is for how long what it opened goes on (LR-028).
        #[serde(default)]
        each: bool,
    },
    PromptAnswered {
        session: SessionId,
        prompt: PromptId,
        allow: bool,
        how: AnsweredHow,
    },
    OpenRequested {
        session: SessionId,
        open: OpenId,
        by: ParticipantId,
        tool: Tool,
        args: BTreeMap<String, Value>,
        prompt: Option<PromptId>,
    },
    /// Policy and customer allow it: the other end is asked to take it up.
    OpenOffered {
        session: SessionId,
        open: OpenId,
        to: ParticipantId,
    },
    OpenRefused {
        session: SessionId,
        open: OpenId,
        code: String,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    Opened {
        session: SessionId,
        open: OpenId,
        tool: Tool,
        channels: Vec<ChannelSpec>,
        facts: BTreeMap<String, Value>,
    },
    /// Somebody who came later reads along, from here on (W1.7).
    LegOpened {
        session: SessionId,
        channel: ChannelId,
        reader: ParticipantId,
    },
    /// This leg ends for ever; a new grant is a new channel (W2.3).
    LegClosed {
        session: SessionId,
        channel: ChannelId,
        reader: ParticipantId,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    ChannelClosed {
        session: SessionId,
        channel: ChannelId,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    /// These reps are not inactive: their control, shell or file channels moved data (R7.9).
    DataMoved {
        session: SessionId,
        by: Vec<ParticipantId>,
    },
    Noted {
        session: SessionId,
        channel: ChannelId,
        by: ParticipantId,
        facts: BTreeMap<String, Value>,
    },
    TakenBack {
        session: SessionId,
        tool: Option<Tool>,
    },
    /// A yes of the customer's holds no longer: it ran out, its participant left, or the right it was for is gone.
    ConsentEnded {
        session: SessionId,
        participant: ParticipantId,
        tools: Vec<Tool>,
        /// It covers no later request, and what was opened by it goes on for as long as it would have (LR-028).
        #[serde(default)]
        runs_on: bool,
    },
    /// The site changed, and with it maybe what somebody in these sessions may do: they are looked at some at a time, and
    /// each that is concerned is judged anew (P6.2).
    RightsTouched {
        sessions: Vec<SessionId>,
    },
    /// Of those touched, these are not concerned.
    RightsKept {
        sessions: Vec<SessionId>,
    },
    /// Of those touched, these were judged, what lost its right in them having ended: each with the epoch of what its
    /// participants may do now. As many as an edit judges in a turn, of which one `permissions_changed` each would be half.
    RightsJudged {
        sessions: Vec<(SessionId, PermissionEpoch)>,
    },
    PermissionsChanged {
        session: SessionId,
        epoch: PermissionEpoch,
    },
    /// The customer's end took up what this participant asked for: its person is held back like this from here on (P3.4).
    Restricted {
        session: SessionId,
        by: ParticipantId,
        mode: Word,
    },
    /// Nobody holds the customer back any more: asked for, or what allowed it is gone.
    RestrictionsLifted {
        session: SessionId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    /// Whether the customer may write in the chat of this session (P3.18).
    ChatSet {
        session: SessionId,
        by: ParticipantId,
        on: bool,
    },
    /// What the customer's end does when this session is over, instead of what its policy says (P3.30).
    TerminationSet {
        session: SessionId,
        by: ParticipantId,
        mode: Word,
    },
    /// Privileged refusals, coalesced; changes no state (P6.3).
    Refused {
        session: SessionId,
        participant: ParticipantId,
        tool: Tool,
        count: u32,
        source: String,
    },
    /// Answers that answer no prompt: a rep's, a second one, one that came late, one for a session of somebody else's. The
    /// last of them is named; changes no state (H-76).
    AnswersRefused {
        session: SessionId,
        prompt: PromptId,
        by: Party,
        count: u32,
        code: String,
    },
}

/// The name that serde gives a unit variant: the same in journal, scenario and wire.
pub fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
