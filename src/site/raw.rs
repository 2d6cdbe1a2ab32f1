//! What a site file says (contract C1), before anything is checked. Unknown keys are refused; what is left out has the
//! default of the contract. Reading the text itself is in `read`.

use crate::limits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole declarative account, key for key as in the file.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSite {
    pub site: RawAccount,
    pub options: RawOptions,
    pub skill: Vec<RawSkill>,
    pub team: Vec<RawTeam>,
    pub issue: Vec<RawIssue>,
    pub user: Vec<RawUser>,
    pub license_pool: Vec<RawPool>,
    pub portal: Vec<RawPortal>,
    pub jump_item: Vec<RawJumpItem>,
    pub jump_item_role: Vec<RawJumpItemRole>,
    pub jump_group: Vec<RawJumpGroup>,
    pub policy: Vec<RawPolicy>,
    /// Highest priority first (P2.2).
    pub group_policy: Vec<RawGroupPolicy>,
    pub technician_group: Vec<RawTechnicianGroup>,
    pub template: Vec<RawTemplate>,
    pub script: Vec<RawScript>,
}

/// P3.13: a script that reps of these teams may run on a customer's machine; with `automation` also a template of jobs
/// (P8.7).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawScript {
    pub code: String,
    pub name: String,
    pub description: String,
    pub teams: Vec<String>,
    pub automation: bool,
    /// For how long a job of it may run; left out: ten minutes.
    pub timeout_s: Option<u32>,
    pub text: String,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAccount {
    pub name: String,
    pub timezone: String,
    pub seats: u32,
}

impl Default for RawAccount {
    fn default() -> Self {
        Self { name: String::new(), timezone: "UTC".to_owned(), seats: 0 }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawOptions {
    pub fallback_team: String,
    pub fallback_rules_normal: Vec<u8>,
    pub fallback_rules_jump: Vec<u8>,
    pub reconnect_grace_s: u32,
    pub reconnect_timeout_s: u32,
    pub reboot_timeout_s: u32,
    pub require_closed_sessions: bool,
    pub show_session_information: bool,
    pub offer_timeout_is_rejection: bool,
    pub get_next_order: String,
    pub priority_ageing_per_min: u32,
    pub max_active_sessions: u32,
    pub max_wait_s: u32,
    pub session_inactivity_s: u32,
    pub console_idle_s: u32,
    pub history_days: u32,
    /// Custom fields without which a rep does not end what it serves (RA-013).
    pub end_fields: Vec<String>,
    pub default_policy: String,
    /// In its place in co-browse sessions (LG-002).
    pub cobrowse_policy: String,
    pub auto_start: bool,
    pub disclaimer: bool,
    pub disclaimer_text: String,
    pub greeting: String,
    pub hold_message: String,
    pub hold_message_every_s: u32,
    pub show_rep_names: bool,
    pub rep_alias: String,
    pub two_factor: RawTwoFactor,
    /// The site's own status codes, each with what it is shown as (R3).
    pub statuses: BTreeMap<String, super::StatusShown>,
}

impl Default for RawOptions {
    fn default() -> Self {
        Self {
            fallback_team: String::new(),
            fallback_rules_normal: vec![2, 3, 4],
            fallback_rules_jump: vec![2, 3, 4],
            reconnect_grace_s: 60,
            reconnect_timeout_s: limits::RECONNECT_TIMEOUT_S_DEFAULT,
            reboot_timeout_s: limits::REBOOT_TIMEOUT_S_DEFAULT,
            require_closed_sessions: false,
            show_session_information: true,
            offer_timeout_is_rejection: true,
            get_next_order: "age".to_owned(),
            priority_ageing_per_min: 0,
            max_active_sessions: 0,
            max_wait_s: 0,
            session_inactivity_s: 0,
            console_idle_s: 0,
            history_days: limits::HISTORY_DAYS_DEFAULT,
            end_fields: Vec::new(),
            default_policy: String::new(),
            cobrowse_policy: String::new(),
            auto_start: false,
            disclaimer: false,
            disclaimer_text: String::new(),
            greeting: String::new(),
            hold_message: String::new(),
            hold_message_every_s: 0,
            show_rep_names: true,
            rep_alias: "Agent".to_owned(),
            two_factor: RawTwoFactor::default(),
            statuses: BTreeMap::new(),
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTwoFactor {
    pub required_from: String,
    pub timezone: String,
    pub min_client: String,
}

impl Default for RawTwoFactor {
    fn default() -> Self {
        Self { required_from: String::new(), timezone: "UTC".to_owned(), min_client: String::new() }
    }
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSkill {
    pub code: String,
    pub parent: String,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTeam {
    pub code: String,
    /// Left out: the code.
    pub name: Option<String>,
    pub algorithm: String,
    pub alert_timeout_s: u32,
    pub persistent: bool,
    pub wrap_up_s: u32,
    pub defer_after_login_s: u32,
    pub relax_after_s: u32,
    pub max_queue: u32,
    pub overdue: RawOverdue,
    pub greeting: String,
    pub hold_message: String,
}

impl Default for RawTeam {
    fn default() -> Self {
        Self {
            code: String::new(),
            name: None,
            algorithm: String::new(),
            alert_timeout_s: 30,
            persistent: false,
            wrap_up_s: 0,
            defer_after_login_s: 0,
            relax_after_s: 0,
            max_queue: 0,
            overdue: RawOverdue::default(),
            greeting: String::new(),
            hold_message: String::new(),
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawOverdue {
    pub action: String,
    pub after_s: u32,
    pub to: String,
}

impl Default for RawOverdue {
    fn default() -> Self {
        Self { action: "none".to_owned(), after_s: 0, to: String::new() }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawIssue {
    pub code: String,
    pub team: String,
    pub skills: Vec<String>,
    pub priority: u8,
    pub help_requests: bool,
    /// Left out: the team's (R4.7).
    pub relax_after_s: Option<u32>,
}

impl Default for RawIssue {
    fn default() -> Self {
        Self {
            code: String::new(),
            team: String::new(),
            skills: Vec::new(),
            priority: 50,
            help_requests: false,
            relax_after_s: None,
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawUser {
    pub username: String,
    /// Left out: the username.
    pub public_name: Option<String>,
    /// Left out: the username.
    pub private_name: Option<String>,
    /// Where invitations of extended availability go (R7.4); empty: nowhere.
    pub email: String,
    pub teams: BTreeMap<String, String>,
    pub skills: Vec<String>,
    pub max_sessions: u32,
    pub idle_limit_s: u32,
    pub exempt_from_assignment: bool,
    pub permissions: Vec<String>,
    pub policy_attended: String,
    pub policy_unattended: String,
    pub license_pool: String,
    /// `optional` or `required` (R11.3).
    pub two_factor: String,
    pub session_inactivity_s: i32,
    pub console_idle_s: i32,
    pub enabled: bool,
    pub expires: String,
    pub jump_roles: RawJumpRoles,
    /// `not_allowed`, `user` or `administrator` (P8.7).
    pub automation: String,
    pub schedule: Option<RawSchedule>,
}

impl Default for RawUser {
    fn default() -> Self {
        Self {
            username: String::new(),
            public_name: None,
            private_name: None,
            email: String::new(),
            teams: BTreeMap::new(),
            skills: Vec::new(),
            max_sessions: 3,
            idle_limit_s: 900,
            exempt_from_assignment: false,
            permissions: Vec::new(),
            policy_attended: String::new(),
            policy_unattended: String::new(),
            license_pool: String::new(),
            two_factor: "optional".to_owned(),
            session_inactivity_s: -1,
            console_idle_s: -1,
            enabled: true,
            expires: String::new(),
            jump_roles: RawJumpRoles::default(),
            automation: "not_allowed".to_owned(),
            schedule: None,
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSchedule {
    pub timezone: String,
    pub force: bool,
    /// `mon 08:00 - fri 17:00`.
    pub entries: Vec<String>,
}

impl Default for RawSchedule {
    fn default() -> Self {
        Self { timezone: "UTC".to_owned(), force: false, entries: Vec::new() }
    }
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPool {
    pub code: String,
    pub seats: u32,
    /// Minutes; more than 0 where its seats are shared (R11.4).
    pub reauthenticate_after_min: u32,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPortal {
    pub code: String,
    pub hosts: Vec<String>,
    pub policy: String,
    pub teams: Vec<String>,
    pub rep_list: bool,
    pub no_rep_message: String,
    pub no_rep_url: String,
    /// The page that is opened at the start of a co-browse session (LG-037).
    pub start_url: String,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawJumpItem {
    pub code: String,
    pub method: String,
    pub policy_present: String,
    pub policy_absent: String,
    /// The jump group it is in, or the user on whose own list it is; neither: roles have no say (P8).
    pub group: String,
    pub owner: String,
}

impl Default for RawJumpItem {
    fn default() -> Self {
        Self {
            code: String::new(),
            method: "jump_client".to_owned(),
            policy_present: String::new(),
            policy_absent: String::new(),
            group: String::new(),
            owner: String::new(),
        }
    }
}

/// P8: what somebody may do with a jump item; nothing listed is no access.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawJumpItemRole {
    pub code: String,
    pub allows: Vec<String>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawJumpGroup {
    pub code: String,
    /// Each with a role, or `default`: the user's own.
    pub members: BTreeMap<String, String>,
    pub teams: BTreeMap<String, String>,
}

/// A user's own roles (P8); empty: no access.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawJumpRoles {
    pub default: String,
    pub personal: String,
    pub teams: String,
    pub system: String,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPolicy {
    pub code: String,
    /// External reps may be invited by it (R7.5).
    pub for_invites: bool,
    /// Tools and their options by name; one left out is not defined.
    pub tools: BTreeMap<String, RawValue>,
    pub prompt: Option<RawPrompt>,
}

/// A value as the file gives it: mostly a word or a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RawValue {
    Word(String),
    List(Vec<String>),
    Bool(bool),
    Number(i64),
}

/// What is left out is not defined and falls through (P4.1). `tools` and `once` belong to the mode.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPrompt {
    pub mode: Option<String>,
    pub tools: Vec<String>,
    pub once: bool,
    /// Rescue's single prompt: as `once`, without its condition on the screen (P4.2).
    pub single: bool,
    pub timeout_s: Option<u32>,
    pub answer: Option<String>,
    /// How long a yes holds, seconds; 0: as long as the session (P4.6).
    pub consent_s: Option<u32>,
    /// A yes is for one action: the next request asks again (LR-028).
    pub each: Option<bool>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawGroupPolicy {
    pub code: String,
    pub members: Vec<String>,
    pub permissions: RawPermissionsBlock,
    pub session: RawSessionBlock,
    pub limits: RawLimitsBlock,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPermissionsBlock {
    pub state: String,
    pub values: Vec<String>,
    pub automation: String,
}

impl Default for RawPermissionsBlock {
    fn default() -> Self {
        Self { state: "not_defined".to_owned(), values: Vec::new(), automation: "not_allowed".to_owned() }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSessionBlock {
    pub state: String,
    pub policy_attended: String,
    pub policy_unattended: String,
}

impl Default for RawSessionBlock {
    fn default() -> Self {
        Self { state: "not_defined".to_owned(), policy_attended: String::new(), policy_unattended: String::new() }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimitsBlock {
    pub state: String,
    pub max_sessions: u32,
    pub idle_limit_s: u32,
}

impl Default for RawLimitsBlock {
    fn default() -> Self {
        Self { state: "not_defined".to_owned(), max_sessions: 3, idle_limit_s: 900 }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTechnicianGroup {
    pub code: String,
    pub parent: String,
    pub enabled: bool,
    pub members: Vec<String>,
    pub admins: Vec<String>,
    /// `allow`, `deny`, or a word of the tool such as `view` or `download`; left out: inherited (P2.3).
    pub tools: BTreeMap<String, String>,
    pub locked: Vec<String>,
    /// The least version of its members' clients; left out: inherited (RA-018).
    pub min_client: String,
}

impl Default for RawTechnicianGroup {
    fn default() -> Self {
        Self {
            code: String::new(),
            parent: String::new(),
            enabled: true,
            members: Vec::new(),
            admins: Vec::new(),
            tools: BTreeMap::new(),
            locked: Vec::new(),
            min_client: String::new(),
        }
    }
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTemplate {
    pub code: String,
    pub group: String,
    pub settings: RawSettings,
}

/// What a template may set on a user; what is left out stays as it is (P2.4).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSettings {
    pub max_sessions: Option<u32>,
    pub idle_limit_s: Option<u32>,
    pub exempt_from_assignment: Option<bool>,
    pub permissions: Option<Vec<String>>,
    pub automation: Option<String>,
    pub policy_attended: Option<String>,
    pub policy_unattended: Option<String>,
    pub license_pool: Option<String>,
    pub session_inactivity_s: Option<i32>,
    pub console_idle_s: Option<i32>,
}
