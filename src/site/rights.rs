//! What of a site file somebody may edit who is no administrator: each right has its sections (P1.1), and who
//! administers a technician group has what is below it (P2.3). No such edit makes an account, gives a permission of the
//! product, or changes a policy; who edits changes nothing of what applies to themselves.

use super::{
    AutomationRole, Script, Site, TeamRole, UserPermission,
    diff::{self, Difference},
    raw::{RawJumpGroup, RawSite},
    tool::Tool,
    value::ToolValue,
    version,
};
use crate::ids::UserId;
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Something in an edit that is not for its author to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Beyond {
    /// `team net max_queue`, or an entry whole.
    pub what: String,
    pub needs: Needs,
}

/// Who could do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    Right(UserPermission),
    /// The role of endpoint automation (BU-091).
    AutomationAdministrator,
    Administrator,
}

/// The rights that have a section in the site file.
const OF_SECTIONS: &[UserPermission] = &[
    UserPermission::EditPublicSite,
    UserPermission::EditTeams,
    UserPermission::EditJumpGroups,
    UserPermission::EditIssues,
    UserPermission::EditSkills,
    UserPermission::EditCannedScripts,
];

impl Site {
    /// May this user edit anything of the site file, and so read it?
    pub fn edits_some(&self, editor: UserId) -> bool {
        let Some(user) = self.users.get(&editor).filter(|user| user.enabled) else { return false };
        user.permissions.contains(&UserPermission::Administrator)
            || OF_SECTIONS.iter().any(|right| user.permissions.contains(right))
            || user.automation == AutomationRole::Administrator
            || self.technician_groups.iter().any(|group| group.admins.contains(&editor))
    }

    /// What of this edit is not for this user to do, in the order of the file; nothing: all of it is. `edited` was
    /// checked beside this site.
    pub fn beyond(&self, edited: &Self, editor: UserId) -> Vec<Beyond> {
        let none = BTreeSet::new();
        let user = self.users.get(&editor).filter(|user| user.enabled);
        let rights = user.map_or(&none, |user| &user.permissions);
        if rights.contains(&UserPermission::Administrator) {
            return Vec::new();
        }
        let differences = diff::between(&self.raw, &edited.raw);
        let portals = differences.iter().any(|difference| difference.place().0 == "portal");
        let led = |site: &Self| if portals { led(&site.raw) } else { BTreeMap::new() };
        let scope = Scope { before: self, after: edited, editor, rights, led: (led(self), led(edited)) };
        let beyond = differences.iter().filter_map(|difference| {
            let needs = scope.needs(difference)?;
            let what = format!("{} {}", difference.of, difference.key).trim_end().to_owned();
            Some(Beyond { what, needs })
        });
        beyond.collect()
    }
}

/// The policy that a host name leads to, where it leads to one.
fn led(site: &RawSite) -> BTreeMap<String, String> {
    let with_policy = site.portal.iter().filter(|portal| !portal.policy.is_empty());
    let hosts = with_policy.flat_map(|portal| {
        portal.hosts.iter().map(|host| (host.to_ascii_lowercase(), portal.policy.to_ascii_lowercase()))
    });
    hosts.collect()
}

/// An edit, and who makes it.
struct Scope<'a> {
    before: &'a Site,
    after: &'a Site,
    editor: UserId,
    rights: &'a BTreeSet<UserPermission>,
    /// As [`led`] says, before and after.
    led: (BTreeMap<String, String>, BTreeMap<String, String>),
}

impl Scope<'_> {
    /// What it takes beyond what the editor has.
    fn needs(&self, difference: &Difference) -> Option<Needs> {
        let (section, code) = difference.place();
        let key = difference.key.as_str();
        let right = |right: UserPermission| (!self.rights.contains(&right)).then_some(Needs::Right(right));
        let and = |fine: bool| (!fine).then_some(Needs::Administrator);
        match section {
            "skill" => right(UserPermission::EditSkills),
            "issue" if key == "skills" && self.only_drops_skills(difference) => {
                right(UserPermission::EditSkills).and(right(UserPermission::EditIssues))
            }
            "issue" => right(UserPermission::EditIssues),
            "script" => self.script(code),
            "team" => right(UserPermission::EditTeams),
            "portal" => and(self.keeps_policies(difference)).or(right(UserPermission::EditPublicSite)),
            "jump_item" => and(has_no_policy(difference)).or(right(UserPermission::EditJumpGroups)),
            "user" if key == "skills" && self.only_drops_skills(difference) => right(UserPermission::EditSkills),
            "user" if key.starts_with("teams.") => {
                and(self.is_modest(code, difference)).or(right(UserPermission::EditTeams))
            }
            "technician_group" => and(self.is_below(code, difference)),
            _ => Some(Needs::Administrator),
        }
    }

    /// A template of jobs runs wherever a job of it is sent, and a script of teams in their sessions: what is both takes
    /// both rights (P8.7).
    fn script(&self, code: &str) -> Option<Needs> {
        let both = [self.before, self.after].map(|site| site.scripts.get(code));
        let either = |is: fn(&Script) -> bool| both.into_iter().flatten().any(is);
        let is_template = either(|script| script.template.is_some());
        let is_of_teams = either(|script| script.template.is_none() || !script.teams.is_empty());
        let user = self.before.users.get(&self.editor);
        let automates = user.is_some_and(|user| user.automation == AutomationRole::Administrator);
        let edits = self.rights.contains(&UserPermission::EditCannedScripts);
        let automation = (is_template && !automates).then_some(Needs::AutomationAdministrator);
        automation.or((is_of_teams && !edits).then_some(Needs::Right(UserPermission::EditCannedScripts)))
    }

    /// What is left is what was there, without skills that are gone.
    fn only_drops_skills(&self, difference: &Difference) -> bool {
        let list = |value: &Option<Value>| value.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
        let mut left = list(&difference.before);
        let known = &self.after.codes.skills;
        left.retain(|skill| skill.as_str().is_some_and(|code| known.contains_key(&code.to_ascii_lowercase())));
        left == list(&difference.after)
    }

    /// A membership that is taken away or lessened, or given to somebody else as a plain member: a role decides whose
    /// sessions one may look into (R1.3). Who comes to a team that has a role in a jump group gets that role, which only an
    /// administrator gives (P8.2).
    fn is_modest(&self, username: &str, difference: &Difference) -> bool {
        let role = |value: &Option<Value>| match value.as_ref().and_then(Value::as_str) {
            None => None,
            Some("member") => Some(TeamRole::Member),
            Some("lead") => Some(TeamRole::Lead),
            Some(_) => Some(TeamRole::Manager),
        };
        let (was, is) = (role(&difference.before), role(&difference.after));
        let team = difference.key.strip_prefix("teams.").unwrap_or_default();
        let named = |group: &RawJumpGroup| group.teams.keys().any(|known| known.eq_ignore_ascii_case(team));
        let opens = was.is_none() && self.before.raw.jump_group.iter().any(named);
        let own = self.before.codes.users.get(username) == Some(&self.editor);
        is <= was || (is == Some(TeamRole::Member) && !own && !opens)
    }

    /// A portal is a layer of what reps may do in its sessions (P2.1): its policy is an administrator's, and so is which
    /// policy a host name leads to.
    fn keeps_policies(&self, difference: &Difference) -> bool {
        let (before, after) = &self.led;
        let hosts = [&difference.before, &difference.after].into_iter().flatten().flat_map(|value| {
            let hosts = value.get("hosts").or(Some(value)).and_then(Value::as_array);
            hosts.into_iter().flatten().filter_map(Value::as_str).map(str::to_ascii_lowercase)
        });
        match difference.key.as_str() {
            "policy" => false,
            "" => has_no_policy(difference) && hosts.into_iter().all(|host| before.get(&host) == after.get(&host)),
            "hosts" => hosts.into_iter().all(|host| before.get(&host) == after.get(&host)),
            _ => true,
        }
    }

    /// P2.3: the administrators of a technician group may make groups below it, remove those that hold and lock nothing,
    /// set what is not locked there or above, and move members about, which frees nobody from a lock. Of a group that
    /// they are in themselves, or one above it, they set nothing.
    fn is_below(&self, code: &str, difference: &Difference) -> bool {
        let place = |site: &Site| site.technician_groups.iter().position(|group| group.code == code);
        let (before, editor) = (self.before, self.editor);
        let may = |group: usize, tool: Option<Tool>| before.may_edit_group(editor, group, tool);
        match (place(before), place(self.after), difference.key.as_str()) {
            (Some(at), Some(_), "members") => may(at, None) && self.moves_are_fine(code),
            (Some(at), Some(_), key) => {
                let own = before.users.get(&editor).and_then(|user| user.technician_group);
                let tool = key.strip_prefix("tools.").and_then(Tool::from_name);
                let applies = own.is_some_and(|own| before.path_to_root(own).contains(&at));
                tool.is_some_and(|tool| may(at, Some(tool))) && !applies
            }
            (Some(at), None, _) => {
                let group = &before.technician_groups[at];
                let below = group.parent.is_some_and(|parent| may(parent, None));
                below && group.locked.is_empty() && group.admins.is_empty() && self.moves_are_fine(code)
            }
            (None, Some(at), _) => {
                let group = &self.after.technician_groups[at];
                let known = |at: &usize| {
                    let code = &self.after.technician_groups[*at].code;
                    before.technician_groups.iter().position(|group| group.code == *code)
                };
                let above = self.after.path_to_root(at)[1..].iter().find_map(known);
                let sets = |above| group.tools.keys().all(|tool| may(above, Some(*tool)));
                above.is_some_and(|above| may(above, None) && sets(above))
                    && group.locked.is_empty()
                    && group.admins.is_empty()
                    && group.min_client.is_empty()
                    && self.moves_are_fine(code)
            }
            (None, None, _) => false,
        }
    }

    /// Whoever comes to this group or leaves it stays in the editor's part of the tree, under the same locks, may come with no
    /// older client than before, and does not come alive by it. Administrators are moved by administrators.
    fn moves_are_fine(&self, code: &str) -> bool {
        let members = |site: &Site| {
            let group = site.technician_groups.iter().find(|group| group.code == code);
            group.map(|group| group.members.clone()).unwrap_or_default()
        };
        let (was, is) = (members(self.before), members(self.after));
        was.symmetric_difference(&is).all(|user| {
            let group = |site: &Site| site.users.get(user).and_then(|user| user.technician_group);
            let (Some(from), Some(to)) = (group(self.before), group(self.after)) else { return false };
            let held = locks(self.after, to);
            let enabled = |site: &Site| site.users.get(user).is_some_and(|user| user.enabled);
            let least = |site: &Site, group| site.least_client(Some(group)).and_then(|(least, _)| version(least));
            let administers = |user: &super::User| user.permissions.contains(&UserPermission::Administrator);
            *user != self.editor
                && !self.before.users.get(user).is_some_and(administers)
                && enabled(self.after) <= enabled(self.before)
                && least(self.after, to) >= least(self.before, from)
                && self.before.may_edit_group(self.editor, from, None)
                && self.after.may_edit_group(self.editor, to, None)
                && locks(self.before, from).iter().all(|(tool, value)| held.get(tool) == Some(value))
        })
    }
}

/// What is locked for the members of a group, and to which value.
fn locks(site: &Site, group: usize) -> BTreeMap<Tool, Option<&ToolValue>> {
    let path = site.path_to_root(group);
    let groups = &site.technician_groups;
    let mut held = BTreeMap::new();
    for depth in (0..path.len()).rev() {
        for tool in &groups[path[depth]].locked {
            let value = || path[depth..].iter().find_map(|at| groups[*at].tools.get(tool));
            held.entry(*tool).or_insert_with(value);
        }
    }
    held
}

/// An entry that comes or goes without saying a policy, or whose roles decide about it (P8).
fn has_no_policy(difference: &Difference) -> bool {
    let keys = ["policy", "policy_present", "policy_absent", "group", "owner"];
    let says = |entry: &Value| keys.iter().any(|key| entry.get(key).is_some());
    difference.key.is_empty() && ![&difference.before, &difference.after].into_iter().flatten().any(says)
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.needs {
            Needs::Right(right) => write!(f, "{} ({})", self.what, right.name()),
            Needs::AutomationAdministrator => write!(f, "{} (an administrator of automation)", self.what),
            Needs::Administrator => write!(f, "{} (an administrator)", self.what),
        }
    }
}
