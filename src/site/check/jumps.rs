//! Jump Item Roles, Jump Groups and the items in them (P8).

use super::{
    super::{
        raw::{RawJumpItem, RawJumpRoles},
        *,
    },
    Check,
};

/// In a group's lists: the user's own default role. No role is called so.
const USERS_DEFAULT: &str = "default";

impl Check<'_> {
    pub(super) fn jump_roles(&mut self) {
        for (at, raw) in self.raw.jump_item_role.iter().enumerate() {
            if raw.code.eq_ignore_ascii_case(USERS_DEFAULT) {
                let message = "`default` is how a jump group names the user's own default role: choose another code";
                self.problem(format!("jump_item_role[{at}].code"), message);
            }
            let mut starts_sessions = false;
            for (nth, name) in raw.allows.iter().enumerate() {
                let key = format!("jump_item_role[{at}].allows[{nth}]");
                match name.as_str() {
                    "start_sessions" if starts_sessions => self.problem(key, format!("`{name}` stands twice")),
                    "start_sessions" => starts_sessions = true,
                    _ => self.problem(key, format!("`{name}` is unknown: choose one of `start_sessions`")),
                }
            }
            self.site.jump_roles.push(JumpRole { code: raw.code.to_ascii_lowercase(), starts_sessions });
        }
    }

    pub(super) fn jump_groups(&mut self) {
        let codes = self.site.codes.clone();
        for (at, raw) in self.raw.jump_group.iter().enumerate() {
            let key = |name: &str| format!("jump_group[{at}].{name}");
            let members = self.holders(&codes.users, "user", &raw.members, &key("members"));
            let teams = self.holders(&codes.teams, "team", &raw.teams, &key("teams"));
            self.site.jump_groups.push(JumpGroup { code: raw.code.to_ascii_lowercase(), members, teams });
        }
    }

    /// Who has which role in a group.
    fn holders<T: Copy + Ord>(
        &mut self,
        known: &BTreeMap<String, T>,
        kind: &str,
        raw: &BTreeMap<String, String>,
        key: &str,
    ) -> BTreeMap<T, JumpHolder> {
        let mut found = BTreeMap::new();
        for (whom, role) in raw {
            let key = format!("{key}.{whom}");
            let holder = match role.eq_ignore_ascii_case(USERS_DEFAULT) {
                true => Some(JumpHolder::UsersDefault),
                false => self.role_of(role, &key).map(JumpHolder::Role),
            };
            if role.is_empty() {
                self.problem(&key, "is missing: name a jump item role, or `default` for the user's own");
            }
            let whom_id = self.required(known, kind, whom, &key);
            if let (Some(id), Some(holder)) = (whom_id, holder)
                && found.insert(id, holder).is_some()
            {
                self.problem(key, format!("`{whom}` stands twice"));
            }
        }
        found
    }

    pub(super) fn jump_place(&mut self, raw: &RawJumpItem, key: impl Fn(&str) -> String) -> JumpPlace {
        let users = self.site.codes.users.clone();
        let groups: BTreeMap<String, usize> =
            self.site.jump_groups.iter().enumerate().map(|(at, group)| (group.code.clone(), at)).collect();
        let group = self.reference(&groups, "jump group", &raw.group, &key("group"));
        let owner = self.reference(&users, "user", &raw.owner, &key("owner"));
        if !raw.group.is_empty() && !raw.owner.is_empty() {
            self.problem(key("owner"), "an item is in a jump group or on a user's own list, not both");
        }
        match (group, owner) {
            (Some(group), _) => JumpPlace::Group(group),
            (None, Some(owner)) => JumpPlace::ListOf(owner),
            (None, None) => JumpPlace::Nowhere,
        }
    }

    pub(super) fn own_jump_roles(&mut self, raw: &RawJumpRoles, key: &str) -> JumpRoles {
        let mut role = |code: &str, name: &str| self.role_of(code, &format!("{key}.{name}"));
        JumpRoles {
            default: role(&raw.default, "default"),
            personal: role(&raw.personal, "personal"),
            teams: role(&raw.teams, "teams"),
            system: role(&raw.system, "system"),
        }
    }

    pub(super) fn automation(&mut self, role: &str, key: &str) -> AutomationRole {
        self.choice(role, AutomationRole::NAMES, key).unwrap_or_default()
    }

    /// Empty: none.
    fn role_of(&mut self, code: &str, key: &str) -> Option<usize> {
        let roles: BTreeMap<String, usize> =
            self.site.jump_roles.iter().enumerate().map(|(at, role)| (role.code.clone(), at)).collect();
        self.reference(&roles, "jump item role", code, key)
    }
}
