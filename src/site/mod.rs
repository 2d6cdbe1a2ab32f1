//! The nouns of a site: users, teams, skills, issues, portals, policies, options, checked once. `raw` is what a site
//! file says; `check` turns it into these. This room knows nothing of sessions, time passing or who is logged in.

pub mod check;
pub mod diff;
pub mod domains;
mod jumps;
pub mod layers;
pub mod locked;
pub mod raw;
pub mod read;
pub mod rights;
pub mod schedule;
pub mod template;
pub mod tool;
pub mod value;
mod warn;

pub use jumps::{AutomationRole, JumpGroup, JumpHolder, JumpItem, JumpMethod, JumpPlace, JumpRole, JumpRoles};
pub use policy::{GroupPolicy, Layer, Origin, Policy, PromptMode, PromptRule, TechnicianGroup};
pub use read::Problem;

mod policy;

use crate::{ids::*, limits, time::Span};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A checked site: every reference resolved, every number in its range. Made from a [`raw::RawSite`] only.
///
/// A code keeps its id from one version of the site to the next; what is deleted leaves a hole, so that an id in the
/// journal never comes to mean something else.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Site {
    pub name: String,
    pub timezone: String,
    /// Seats outside any pool; 0 = no limit (R11.1).
    pub seats: u32,
    pub options: Options,
    pub skills: BTreeMap<SkillId, Skill>,
    pub teams: BTreeMap<TeamId, Team>,
    pub issues: BTreeMap<IssueId, Issue>,
    pub users: BTreeMap<UserId, User>,
    pub pools: BTreeMap<PoolId, Pool>,
    pub portals: BTreeMap<PortalId, Portal>,
    pub jump_items: BTreeMap<JumpItemId, JumpItem>,
    /// In the order of the file; whoever names one does it by its place, as with the next (P8).
    #[serde(default)]
    pub jump_roles: Vec<JumpRole>,
    #[serde(default)]
    pub jump_groups: Vec<JumpGroup>,
    pub policies: BTreeMap<PolicyId, Policy>,
    /// Highest priority first (P2.2).
    pub group_policies: Vec<GroupPolicy>,
    /// In the order of the file; a parent is a place in this list (P2.3).
    pub technician_groups: Vec<TechnicianGroup>,
    /// By code (P3.13).
    #[serde(default)]
    pub scripts: BTreeMap<String, Script>,
    /// Codes to ids, for those that exist; codes are lower case.
    pub codes: Codes,
    /// The next free number of each kind, so that no id is given twice.
    pub next: NextIds,
    /// The declarative text this came from, kept whole for `site export` and for the policy room.
    pub raw: Arc<raw::RawSite>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Codes {
    pub users: BTreeMap<String, UserId>,
    pub teams: BTreeMap<String, TeamId>,
    pub skills: BTreeMap<String, SkillId>,
    pub issues: BTreeMap<String, IssueId>,
    pub pools: BTreeMap<String, PoolId>,
    pub portals: BTreeMap<String, PortalId>,
    pub jump_items: BTreeMap<String, JumpItemId>,
    pub policies: BTreeMap<String, PolicyId>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct NextIds {
    pub user: u32,
    pub team: u32,
    pub skill: u32,
    pub issue: u32,
    pub pool: u32,
    pub portal: u32,
    pub jump_item: u32,
    pub policy: u32,
}

impl Site {
    /// Does the other say the same of who works here, of queues and of ways in? Then an edit concerns the permissions of
    /// sessions alone, and no console, queue, offer or guest has to be looked at anew.
    pub fn serves_like(&self, other: &Self) -> bool {
        fn alike<K: Ord, T>(one: &BTreeMap<K, T>, other: &BTreeMap<K, T>, alike: impl Fn(&T, &T) -> bool) -> bool {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && alike(one.1, other.1))
        }
        let beside_policies =
            |site: &Self| Options { default_policy: None, cobrowse_policy: None, ..site.options.clone() };
        self.timezone == other.timezone
            && self.seats == other.seats
            && beside_policies(self) == beside_policies(other)
            && self.skills == other.skills
            && self.teams == other.teams
            && self.issues == other.issues
            && self.pools == other.pools
            && alike(&self.users, &other.users, User::serves_like)
            && alike(&self.portals, &other.portals, Portal::serves_like)
            && alike(&self.jump_items, &other.jump_items, |one, other| {
                (&one.code, one.method) == (&other.code, other.method)
            })
            && alike(&self.policies, &other.policies, |one, other| one.for_invites == other.for_invites)
    }

    /// What lies below all other policies in a session of this kind (P2.1, LG-002).
    pub fn default_policy(&self, kind: SessionKind) -> Option<PolicyId> {
        let of_cobrowse = self.options.cobrowse_policy.filter(|_| kind == SessionKind::Cobrowse);
        of_cobrowse.or(self.options.default_policy)
    }

    /// Who is gone is known by number alone.
    pub fn username(&self, user: UserId) -> String {
        self.users.get(&user).map_or_else(|| format!("#{user}"), |user| user.username.clone())
    }
}

/// Contract C1, `[options]`; spans of 0 mean none.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Options {
    pub fallback_team: Option<TeamId>,
    /// R8.2: rules 2, 3, 4, for all kinds but jump.
    pub fallback_normal: [bool; 3],
    pub fallback_jump: [bool; 3],
    pub reconnect_grace: Span,
    /// How long an active session waits for its customer (R10.3).
    #[serde(default = "reconnect_timeout_default")]
    pub reconnect_timeout: Span,
    /// How long a session waits for a machine that was told to start again, from then on (LR-022).
    #[serde(default = "reboot_timeout_default")]
    pub reboot_timeout: Span,
    pub require_closed_sessions: bool,
    pub show_session_information: bool,
    pub offer_timeout_is_rejection: bool,
    pub get_next_by_priority: bool,
    pub priority_ageing_per_min: u32,
    pub max_active_sessions: u32,
    pub max_wait: Span,
    pub session_inactivity: Span,
    pub console_idle: Span,
    /// For how long sessions that have ended are kept (BU-048).
    #[serde(default = "history_default")]
    pub history: Span,
    /// In the order of the file (RA-013).
    #[serde(default)]
    pub end_fields: Vec<String>,
    pub default_policy: Option<PolicyId>,
    /// In its place in co-browse sessions (LG-002).
    #[serde(default)]
    pub cobrowse_policy: Option<PolicyId>,
    pub auto_start: bool,
    pub disclaimer: bool,
    #[serde(default)]
    pub disclaimer_text: String,
    /// Said to a customer who begins to wait, and again and again while waiting (R10.1).
    #[serde(default)]
    pub greeting: String,
    #[serde(default)]
    pub hold_message: String,
    #[serde(default)]
    pub hold_message_every: Span,
    pub show_rep_names: bool,
    pub rep_alias: String,
    pub two_factor: TwoFactor,
    /// The site's own status codes and what each is shown as (R3).
    #[serde(default)]
    pub statuses: BTreeMap<String, StatusShown>,
}

fn reconnect_timeout_default() -> Span {
    Span::seconds(limits::RECONNECT_TIMEOUT_S_DEFAULT as u64)
}

fn reboot_timeout_default() -> Span {
    Span::seconds(limits::REBOOT_TIMEOUT_S_DEFAULT as u64)
}

fn history_default() -> Span {
    Span::days(limits::HISTORY_DAYS_DEFAULT)
}

/// What a status code is shown as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusShown {
    Available,
    Away,
    Busy,
}

impl Options {
    /// What a code is shown as; none: the site does not know it.
    pub fn status_shown(&self, code: &str) -> Option<StatusShown> {
        match code {
            "available" => Some(StatusShown::Available),
            "away" => Some(StatusShown::Away),
            "busy" => Some(StatusShown::Busy),
            own => self.statuses.get(own).copied(),
        }
    }
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct TwoFactor {
    /// RFC 3339 date; empty: optional (R11.3).
    pub required_from: String,
    pub timezone: String,
    pub min_client: String,
    /// That date at 00:00 in that zone, in milliseconds since 1970 UTC.
    #[serde(default)]
    pub from_ms: Option<u64>,
}

/// A client's version as numbers, compared one by one; what is missing counts as 0. None where it is no version.
pub fn version(text: &str) -> Option<Vec<u32>> {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    let mut version = numbers.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().ok()?;
    while version.last() == Some(&0) {
        version.pop();
    }
    Some(version)
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Skill {
    pub code: String,
    pub parent: Option<SkillId>,
    /// Rank of its root, 0 = most critical (R4.4).
    pub rank: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    None,
    LeastBusy,
    SkillsLeastBusy,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeamRole {
    Member,
    Lead,
    Manager,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Team {
    pub code: String,
    pub name: String,
    pub algorithm: Algorithm,
    pub alert_timeout: Span,
    pub persistent: bool,
    pub wrap_up: Span,
    pub defer_after_login: Span,
    pub relax_after: Span,
    /// 0 = no limit.
    pub max_queue: u32,
    pub overdue: Overdue,
    /// Instead of the site's; empty: the site's.
    #[serde(default)]
    pub greeting: String,
    #[serde(default)]
    pub hold_message: String,
    pub members: BTreeMap<UserId, TeamRole>,
}

/// R6.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overdue {
    None,
    Mark { after: Span },
    Transfer { after: Span, to: TeamId },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Issue {
    pub code: String,
    pub team: TeamId,
    pub skills: Vec<SkillId>,
    pub priority: u8,
    pub help_requests: bool,
    /// Overrides the team's stay time (R4.7).
    pub relax_after: Option<Span>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct User {
    pub username: String,
    pub public_name: String,
    pub private_name: String,
    /// Empty: none.
    #[serde(default)]
    pub email: String,
    pub teams: BTreeMap<TeamId, TeamRole>,
    /// More preferred; less preferred follows from the tree (R4.4).
    pub skills: BTreeSet<SkillId>,
    /// Effective: of a group policy where one sets it (P2.2).
    pub max_sessions: u32,
    /// Effective; 0 = no limit (R3.6).
    pub idle_limit: Span,
    pub exempt_from_assignment: bool,
    /// Effective (P2.2).
    pub permissions: BTreeSet<UserPermission>,
    /// Effective session policies of attended and unattended sessions (P2.1).
    pub policy_attended: Option<PolicyId>,
    pub policy_unattended: Option<PolicyId>,
    /// Who gave the permissions, the limits and the session policies; what a group policy gave is locked (P2.2).
    pub permissions_from: Origin,
    pub limits_from: Origin,
    pub policies_from: Origin,
    /// Place in `technician_groups`.
    pub technician_group: Option<usize>,
    pub pool: Option<PoolId>,
    /// A second factor is required of this user (R11.3).
    #[serde(default)]
    pub two_factor: bool,
    /// Resolved: 0 = never (R7.9).
    pub session_inactivity: Span,
    pub console_idle: Span,
    /// Neither the account nor a technician group around it is disabled (P2.3).
    pub enabled: bool,
    /// Milliseconds since 1970 UTC.
    pub expires_ms: Option<u64>,
    #[serde(default)]
    pub jump_roles: JumpRoles,
    /// Effective, and from where the permissions are (P2.2).
    #[serde(default)]
    pub automation: AutomationRole,
    pub schedule: Option<Schedule>,
}

impl User {
    /// The same, whatever policies of sessions and roles on jump items and in automation they have?
    fn serves_like(&self, other: &Self) -> bool {
        let plain = |user: &Self| Self {
            jump_roles: JumpRoles::default(),
            automation: AutomationRole::NotAllowed,
            policy_attended: None,
            policy_unattended: None,
            policies_from: Origin::User,
            technician_group: None,
            ..user.clone()
        };
        self == other || plain(self) == plain(other)
    }
}

/// P3.13: what reps of these teams may run on a customer's machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Script {
    pub teams: BTreeSet<TeamId>,
    pub text: String,
    /// Jobs are made of it (P8.7).
    #[serde(default)]
    pub template: Option<JobTemplate>,
}

/// What there is to a script as a template of jobs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JobTemplate {
    pub name: String,
    pub description: String,
    /// For how long a job of it may run.
    pub timeout: Span,
}

/// R11.2: weekly windows in a time zone, in minutes from Monday 00:00; an end before its start wraps the week.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Schedule {
    pub timezone: String,
    pub force: bool,
    pub entries: Vec<(u16, u16)>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Pool {
    pub code: String,
    pub seats: u32,
    /// Its seats are shared: after so long a rep has to prove itself again (R11.4); 0 = each seat is one person's.
    #[serde(default)]
    pub reauthenticate_after: Span,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Portal {
    pub code: String,
    pub hosts: Vec<String>,
    pub policy: Option<PolicyId>,
    /// Empty = all (R3.12).
    pub teams: BTreeSet<TeamId>,
    pub rep_list: bool,
    pub no_rep_message: String,
    pub no_rep_url: String,
    /// Empty: co-browse sessions begin with none (LG-037).
    #[serde(default)]
    pub start_url: String,
}

impl Portal {
    /// The same, whatever policy of sessions it has?
    fn serves_like(&self, other: &Self) -> bool {
        let plain = |portal: &Self| Self { policy: None, ..portal.clone() };
        plain(self) == plain(other)
    }
}

/// One name, one `@`, one host with something in it: what a mail server takes without quoting.
pub fn is_mail_address(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '(' | ')' | ',' | ';' | ':' | '\\');
    let host = |host: &str| {
        host.split('.').all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    text.len() <= limits::MAIL_ADDRESS_BYTES_MAX
        && text.chars().all(plain)
        && text.split_once('@').is_some_and(|(name, at)| !name.is_empty() && host(at))
}

/// R1.4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    #[default]
    Support,
    Jump,
    Cobrowse,
    Chat,
    RepToRep,
    Lens,
    Presentation,
}

impl SessionKind {
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("support", Self::Support),
        ("jump", Self::Jump),
        ("cobrowse", Self::Cobrowse),
        ("chat", Self::Chat),
        ("rep_to_rep", Self::RepToRep),
        ("lens", Self::Lens),
        ("presentation", Self::Presentation),
    ];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

macro_rules! user_permissions {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// What a rep may do in the product (P1.1); the names of contract C1 in snake case.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum UserPermission { $($variant),* }

        impl UserPermission {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

user_permissions! {
    Administrator "administrator", AdminVault "admin_vault", SetPasswords "set_passwords",
    EditJumpoints "edit_jumpoints", EditPublicSite "edit_public_site", EditCustomerNotices "edit_customer_notices",
    EditFileStore "edit_file_store", EditCannedMessages "edit_canned_messages", EditTeams "edit_teams",
    EditJumpGroups "edit_jump_groups", EditIssues "edit_issues", EditSkills "edit_skills",
    EditSupportButtons "edit_support_buttons", EditCannedScripts "edit_canned_scripts",
    EditCustomLinks "edit_custom_links", EditIosProfiles "edit_ios_profiles", ReportsOwn "reports_own",
    ReportsTeam "reports_team", ReportsAll "reports_all", ViewRecordings "view_recordings",
    ReportsLicense "reports_license", ReportsSyslog "reports_syslog", ReportsVaultOwn "reports_vault_own",
    ReportsVaultAll "reports_vault_all", Support "support", GenerateKeys "generate_keys",
    GenerateIosKeys "generate_ios_keys", AcceptFromQueue "accept_from_queue", TransferOutside "transfer_outside",
    ShareOutside "share_outside", InviteExternal "invite_external", GetNext "get_next",
    ExtendedAvailability "extended_availability", EditExternalKey "edit_external_key", OptOut "opt_out",
    ShowScreenToReps "show_screen_to_reps", GiveControlToReps "give_control_to_reps",
    ButtonsPersonal "buttons_personal", ButtonsTeamManage "buttons_team_manage",
    ButtonsChangePortal "buttons_change_portal", ButtonsTeamDeploy "buttons_team_deploy", JumpClient "jump_client",
    JumpLocal "jump_local", JumpLocalVnc "jump_local_vnc", JumpLocalRdp "jump_local_rdp", JumpRemote "jump_remote",
    JumpRemoteVnc "jump_remote_vnc", JumpRemoteRdp "jump_remote_rdp", JumpShell "jump_shell", JumpVpro "jump_vpro",
    ShowOnPublicSite "show_on_public_site", ChangeDisplayNames "change_display_names", ChangePhoto "change_photo",
}
