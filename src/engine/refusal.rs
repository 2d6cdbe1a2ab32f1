//! An answer, not a failure: what was asked is not done, nothing changed, and this says why (W4.2, P6.3).

use crate::policy::Tool;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $name:literal),* $(,)?) => {
        /// The closed list of reasons (contract C2 and W4.2); `docs/protocol.md` explains each.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum Reason { $($(#[$doc])* #[serde(rename = $name)] $variant),* }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

reasons! {
    NoSeat "no_seat",
    OutsideSchedule "outside_schedule",
    SecondFactorRequired "second_factor_required",
    PasswordResetRequired "password_reset_required",
    ClientTooOld "client_too_old",
    Reauthenticate "reauthenticate",
    AccountDisabled "account_disabled",
    NotLoggedIn "not_logged_in",
    NoRepAvailable "no_rep_available",
    QueueFull "queue_full",
    QueueEmpty "queue_empty",
    NotPermitted "not_permitted",
    NotMember "not_member",
    NotOwner "not_owner",
    NotParticipant "not_participant",
    HardCap "hard_cap",
    OfferGone "offer_gone",
    OpenSessions "open_sessions",
    /// The site wants custom fields written before a rep ends a session (RA-013).
    FieldsMissing "fields_missing",
    UnknownRep "unknown_rep",
    UnknownTeam "unknown_team",
    UnknownSession "unknown_session",
    UnknownSkill "unknown_skill",
    UnknownIssue "unknown_issue",
    UnknownQueue "unknown_queue",
    UnknownItem "unknown_item",
    UnknownTemplate "unknown_template",
    UnknownTool "unknown_tool",
    UnknownRequest "unknown_request",
    SessionEnded "session_ended",
    /// The act does not fit the session's state: hold of a waiting one, accept of an active one.
    WrongState "wrong_state",
    /// No endpoint takes sessions on this jump item up at the moment.
    NotStandingBy "not_standing_by",
    RepBusy "rep_busy",
    RepLimit "rep_limit",
    /// A bound of `limits` is reached: channels, keys, participants.
    LimitReached "limit_reached",
    KeyGone "key_gone",
    TokenGone "token_gone",
    /// What was checked outside has changed since (W5.7).
    Stale "stale",
    PromptGone "prompt_gone",
    OpenGone "open_gone",
    /// Or nothing of it is left to do.
    JobGone "job_gone",
    PromptDenied "prompt_denied",
    /// The other end would not take the tool up; its own words say why.
    EndRefused "end_refused",
    Malformed "malformed",
    PathRefused "path_refused",
    SetupDone "setup_done",
    BadSite "bad_site",
    RateLimited "rate_limited",
    StorageFull "storage_full",
    Draining "draining",
    Overloaded "overloaded",
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    pub reason: Reason,
    /// The rule of `docs/routing.md` or `docs/permissions.md` it follows; empty where none is numbered.
    pub rule: String,
    /// What is wrong and what to do, for people.
    pub message: String,
    pub tool: Option<Tool>,
    /// The layer that gave the permission its value.
    pub source: Option<String>,
}

impl Refusal {
    pub fn new(reason: Reason, rule: &str, message: impl Into<String>) -> Self {
        Self { reason, rule: rule.to_owned(), message: message.into(), tool: None, source: None }
    }

    pub fn of_tool(mut self, tool: Tool, source: impl Into<String>) -> Self {
        self.tool = Some(tool);
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.name(), self.message)
    }
}

impl std::error::Error for Refusal {}

/// The short way to refuse.
pub(super) fn refuse<T>(reason: Reason, rule: &str, message: &str) -> Result<T, Refusal> {
    Err(Refusal::new(reason, rule, message))
}
