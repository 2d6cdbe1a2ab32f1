//! How and why something happened, as events say it, and what a command answers with.

use crate::{ids::*, policy::Tool, wire::control::Class};
use serde::{Deserialize, Serialize};

/// The permission that ended something, and the layer that took it away (P6.2): a name of contract C3, or `customer`,
/// `consent`, `hold`, `take_over`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cause {
    pub tool: Tool,
    pub source: String,
}

/// One directed channel of an opened tool (W1.1).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ChannelSpec {
    pub channel: ChannelId,
    /// Bits of [`crate::wire::Kind`]: what the writer may send on it.
    pub kinds: u32,
    pub class: Class,
    /// Whole pictures may be dropped; nothing else may (W1.7).
    pub lossy: bool,
    pub writer: ParticipantId,
    pub readers: Vec<ParticipantId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptedHow {
    Offer,
    Take,
    GetNext,
    Jump,
    AutoStart,
    /// The rep shows its screen in it (R1.4).
    Show,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogoutReason {
    Asked,
    Lost,
    Schedule,
    TwoFactor,
    ConsoleIdle,
    SharedSeat,
    Disabled,
    Expired,
    Deleted,
    Replaced,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveRule {
    Transfer,
    Overdue,
    #[serde(rename = "fallback_2")]
    Fallback2,
    #[serde(rename = "fallback_3")]
    Fallback3,
    #[serde(rename = "fallback_4")]
    Fallback4,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerRule {
    #[serde(rename = "fallback_1")]
    Fallback1,
    TakeOver,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    ByRep,
    ByCustomer,
    LeftQueue,
    Orphaned,
    WaitTimeout,
    HoldExpired,
    Declined,
    ByAdmin,
    /// Of a request for help: somebody came (R7.4).
    Helped,
    /// Of a request for help: the session it was for is not served any more, or needs none.
    HelpOver,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredHow {
    Customer,
    Timeout,
    Disconnected,
    Nobody,
    /// Who asked is gone, or what was asked for is not to be had any more.
    Withdrawn,
}

/// What a command answers with when it was done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    Session(SessionId),
    Attached {
        party: Party,
        epoch: AttachEpoch,
    },
    Opening {
        open: OpenId,
        prompt: Option<PromptId>,
    },
    Opened {
        open: OpenId,
    },
    Revoked {
        epoch: PermissionEpoch,
        legs: Vec<(ChannelId, ParticipantId)>,
    },
    Service(ServiceId),
    Notice(NoticeId),
    Button(ButtonId),
    Job(JobId),
    JobTaken(JobId),
    /// The presented token was a used one: nobody is attached, and no token of this party is good any more (H-56).
    TokensRevoked {
        party: Party,
    },
}
