//! Jump items: how one gets there (R1.4), where they stand, and what roles on them mean (P8).

use super::{UserPermission, value::Word};
use crate::ids::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JumpItem {
    pub code: String,
    pub method: JumpMethod,
    pub policy_present: Option<PolicyId>,
    pub policy_absent: Option<PolicyId>,
    #[serde(default)]
    pub place: JumpPlace,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JumpMethod {
    JumpClient,
    JumpLocal,
    JumpLocalVnc,
    JumpLocalRdp,
    JumpRemote,
    JumpRemoteVnc,
    JumpRemoteRdp,
    JumpShell,
    JumpVpro,
}

impl JumpMethod {
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("jump_client", Self::JumpClient),
        ("jump_local", Self::JumpLocal),
        ("jump_local_vnc", Self::JumpLocalVnc),
        ("jump_local_rdp", Self::JumpLocalRdp),
        ("jump_remote", Self::JumpRemote),
        ("jump_remote_vnc", Self::JumpRemoteVnc),
        ("jump_remote_rdp", Self::JumpRemoteRdp),
        ("jump_shell", Self::JumpShell),
        ("jump_vpro", Self::JumpVpro),
    ];

    /// R1.4: what a rep needs to start a session by it.
    pub const fn permission(self) -> UserPermission {
        match self {
            Self::JumpClient => UserPermission::JumpClient,
            Self::JumpLocal => UserPermission::JumpLocal,
            Self::JumpLocalVnc => UserPermission::JumpLocalVnc,
            Self::JumpLocalRdp => UserPermission::JumpLocalRdp,
            Self::JumpRemote => UserPermission::JumpRemote,
            Self::JumpRemoteVnc => UserPermission::JumpRemoteVnc,
            Self::JumpRemoteRdp => UserPermission::JumpRemoteRdp,
            Self::JumpShell => UserPermission::JumpShell,
            Self::JumpVpro => UserPermission::JumpVpro,
        }
    }

    /// LR-048: to a machine on the rep's own network.
    pub const fn is_local(self) -> bool {
        matches!(self, Self::JumpLocal | Self::JumpLocalVnc | Self::JumpLocalRdp)
    }
}

/// What somebody with this role may do with an item.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JumpRole {
    pub code: String,
    pub starts_sessions: bool,
}

/// Items that several people share, and the role of each.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JumpGroup {
    pub code: String,
    pub members: BTreeMap<UserId, JumpHolder>,
    /// Everybody in these teams whom `members` does not name.
    pub teams: BTreeMap<TeamId, JumpHolder>,
}

/// A role in a group: one of the site's, by its place, or the user's own default.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JumpHolder {
    Role(usize),
    UsersDefault,
}

/// Where an item stands: a group by its place, or somebody's own list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JumpPlace {
    #[default]
    Nowhere,
    Group(usize),
    ListOf(UserId),
}

/// BU-088: what a user may do with endpoint automation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutomationRole {
    #[default]
    NotAllowed,
    /// Makes jobs of the templates there are, as they are (BU-090).
    User,
    /// Scripts of their own as well, everybody's jobs, and the templates (BU-091).
    Administrator,
}

impl AutomationRole {
    pub const NAMES: &'static [(&'static str, Self)] =
        &[("not_allowed", Self::NotAllowed), ("user", Self::User), ("administrator", Self::Administrator)];

    /// As a value that is explained.
    pub const fn word(self) -> Word {
        match self {
            Self::NotAllowed => Word::NotAllowed,
            Self::User => Word::User,
            Self::Administrator => Word::Administrator,
        }
    }
}

/// A user's own roles, by their places; none: no access.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct JumpRoles {
    pub default: Option<usize>,
    pub personal: Option<usize>,
    pub teams: Option<usize>,
    pub system: Option<usize>,
}
