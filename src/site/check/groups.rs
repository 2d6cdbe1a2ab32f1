//! Group policies, technician groups and templates, and what they make of each user (P2.2–P2.4).

use super::{
    super::{
        layers::{Say, resolve},
        policy::State,
        raw::{RawUser, RawValue},
        tool::Tool,
        value::{Shape, ToolValue},
        *,
    },
    Check,
};

impl Check<'_> {
    pub(super) fn state(&mut self, text: &str, key: &str) -> State {
        let states = [("not_defined", State::NotDefined), ("defined", State::Defined), ("final", State::Final)];
        self.choice(text, &states, &format!("{key}.state")).unwrap_or_default()
    }

    pub(super) fn group_policies(&mut self) {
        let users = self.site.codes.users.clone();
        for (at, raw) in self.raw.group_policy.iter().enumerate() {
            let key = |name: &str| format!("group_policy[{at}].{name}");
            let (attended, unattended) =
                self.own_policies(&raw.session.policy_attended, &raw.session.policy_unattended, &key("session."));
            let (max_sessions, idle_limit) =
                self.assignment_limits(raw.limits.max_sessions, raw.limits.idle_limit_s, &key("limits."));
            let group = GroupPolicy {
                code: raw.code.to_ascii_lowercase(),
                members: self.references(&users, "user", &raw.members, &key("members")).into_iter().collect(),
                automation: self.automation(&raw.permissions.automation, &key("permissions.automation")),
                permissions: (
                    self.state(&raw.permissions.state, &key("permissions")),
                    self.permissions(&raw.permissions.values, &key("permissions.values")),
                ),
                session: (self.state(&raw.session.state, &key("session")), attended, unattended),
                limits: (self.state(&raw.limits.state, &key("limits")), max_sessions, idle_limit),
            };
            self.site.group_policies.push(group);
        }
    }

    pub(super) fn technician_groups(&mut self) {
        let users = self.site.codes.users.clone();
        let places: BTreeMap<String, usize> =
            self.raw.technician_group.iter().enumerate().map(|(at, raw)| (raw.code.to_ascii_lowercase(), at)).collect();
        let mut member_of: BTreeMap<UserId, usize> = BTreeMap::new();
        for (at, raw) in self.raw.technician_group.iter().enumerate() {
            let key = |name: &str| format!("technician_group[{at}].{name}");
            let members = self.references(&users, "user", &raw.members, &key("members"));
            for member in &members {
                if let Some(other) = member_of.insert(*member, at) {
                    let name = self.raw.technician_group[other].code.clone();
                    let user = self.site.users.get(member).map(|user| user.username.clone()).unwrap_or_default();
                    self.problem(key("members"), format!("`{user}` is a member of `{name}` already"));
                }
            }
            let mut tools = BTreeMap::new();
            for (name, say) in &raw.tools {
                let key = format!("technician_group[{at}].tools.{name}");
                if let Some(tool) = self.right(name, &key)
                    && let Some(value) = self.say(tool, say, &key)
                {
                    tools.insert(tool, value);
                }
            }
            let mut locked = BTreeSet::new();
            for (lock_at, name) in raw.locked.iter().enumerate() {
                locked.extend(self.right(name, &format!("technician_group[{at}].locked[{lock_at}]")));
            }
            let group = TechnicianGroup {
                code: raw.code.to_ascii_lowercase(),
                parent: self.reference(&places, "technician group", &raw.parent, &key("parent")),
                enabled: raw.enabled,
                members: members.into_iter().collect(),
                admins: self.references(&users, "user", &raw.admins, &key("admins")).into_iter().collect(),
                tools,
                locked,
                min_client: self.least_version(&raw.min_client, key("min_client")),
            };
            self.site.technician_groups.push(group);
        }
        for at in 0..self.site.technician_groups.len() {
            if self.site.path_to_root(at).len() > self.site.technician_groups.len() {
                let code = &self.site.technician_groups[at].code;
                let message = format!("`{code}` is below itself");
                self.problem(format!("technician_group[{at}].parent"), message);
            }
        }
    }

    /// Rescue's separate rights, to view and to control, to send and to receive, are words between the two.
    pub(super) fn say(&mut self, tool: Tool, say: &str, key: &str) -> Option<ToolValue> {
        let value = match (say, tool.shape()) {
            ("allow", shape) => Some(ToolValue::most(shape)),
            ("deny", shape) => Some(ToolValue::least(shape)),
            (word, Shape::Words(_)) => ToolValue::parse(tool.shape(), &RawValue::Word(word.to_owned())).ok(),
            _ => None,
        };
        if value.is_none() {
            self.problem(key, format!("`{say}` is neither `allow`, `deny` nor a word of the tool"));
        }
        value
    }

    pub(super) fn right(&mut self, name: &str, key: &str) -> Option<Tool> {
        match Tool::from_name(name) {
            Some(tool) if tool.is_right() => Some(tool),
            Some(_) => {
                self.problem(key, format!("`{name}` cannot be allowed or denied"));
                None
            }
            None => {
                self.problem(key, format!("there is no tool `{name}`"));
                None
            }
        }
    }

    pub(super) fn templates(&mut self) {
        let groups: BTreeMap<String, ()> =
            self.raw.technician_group.iter().map(|group| (group.code.to_ascii_lowercase(), ())).collect();
        let pools = self.site.codes.pools.clone();
        for (at, raw) in self.raw.template.iter().enumerate() {
            let key = |name: &str| format!("template[{at}].{name}");
            self.required(&groups, "technician group", &raw.group, &key("group"));
            let settings = &raw.settings;
            let plain = RawUser::default();
            self.assignment_limits(
                settings.max_sessions.unwrap_or(plain.max_sessions),
                settings.idle_limit_s.unwrap_or(plain.idle_limit_s),
                &key("settings."),
            );
            self.permissions(settings.permissions.as_deref().unwrap_or_default(), &key("settings.permissions"));
            if let Some(role) = &settings.automation {
                self.automation(role, &key("settings.automation"));
            }
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            self.own_policies(&text(&settings.policy_attended), &text(&settings.policy_unattended), &key("settings."));
            self.reference(&pools, "licence pool", &text(&settings.license_pool), &key("settings.license_pool"));
            for (name, seconds) in
                [("session_inactivity_s", settings.session_inactivity_s), ("console_idle_s", settings.console_idle_s)]
            {
                self.own_inactivity(seconds.unwrap_or(-1), Span::ZERO, key(&format!("settings.{name}")));
            }
        }
    }

    /// What group policies and technician groups make of each user (P2.2, P2.3).
    pub(super) fn effective_users(&mut self) {
        let site = &mut self.site;
        // Read from the lowest priority up.
        let mut groups_of: BTreeMap<UserId, Vec<usize>> = BTreeMap::new();
        for (at, group) in site.group_policies.iter().enumerate().rev() {
            for member in &group.members {
                groups_of.entry(*member).or_default().push(at);
            }
        }
        for (user_id, groups) in groups_of {
            let Some(user) = site.users.get_mut(&user_id) else { continue };
            let policies = &site.group_policies;
            let winner =
                |say: &dyn Fn(&GroupPolicy) -> Say| resolve(groups.iter().map(|at| (say(&policies[*at]), *at)));
            if let Some(at) = winner(&|group| group.permissions.0.say()) {
                user.permissions = policies[at].permissions.1.clone();
                user.automation = policies[at].automation;
                user.permissions_from = Origin::GroupPolicy(at);
            }
            if let Some(at) = winner(&|group| group.session.0.say()) {
                (_, user.policy_attended, user.policy_unattended) = policies[at].session;
                user.policies_from = Origin::GroupPolicy(at);
            }
            if let Some(at) = winner(&|group| group.limits.0.say()) {
                (_, user.max_sessions, user.idle_limit) = policies[at].limits;
                user.limits_from = Origin::GroupPolicy(at);
            }
        }
        for at in 0..site.technician_groups.len() {
            let enabled = site.path_to_root(at).into_iter().all(|at| site.technician_groups[at].enabled);
            for member in &site.technician_groups[at].members {
                if let Some(user) = site.users.get_mut(member) {
                    user.technician_group = Some(at);
                    user.enabled &= enabled;
                }
            }
        }
    }
}

impl Site {
    /// May this user edit a technician group, or one tool of it? Master administrators everywhere, others in the
    /// subtrees given to them and nothing that is locked at the group or above (P2.3).
    pub fn may_edit_group(&self, editor: UserId, group: usize, tool: Option<Tool>) -> bool {
        let master = |user: &User| user.permissions.contains(&UserPermission::Administrator);
        if self.users.get(&editor).is_some_and(master) {
            return true;
        }
        let path = self.path_to_root(group);
        let given = path.iter().any(|at| self.technician_groups[*at].admins.contains(&editor));
        let locked = |tool| path.iter().any(|at| self.technician_groups[*at].locked.contains(&tool));
        given && !tool.is_some_and(locked)
    }

    /// R11.3, RA-018: the least version of the clients of a technician group's members, and the group that says so; none:
    /// the site. The nearest group that says one does, and it lets in nobody whom the site does not.
    pub fn least_client(&self, group: Option<usize>) -> Option<(&str, Option<usize>)> {
        let path = group.map(|group| self.path_to_root(group)).unwrap_or_default();
        let said = |at: usize| (self.technician_groups[at].min_client.as_str(), Some(at));
        let group = path.into_iter().map(said).find(|(least, _)| !least.is_empty());
        let site = Some((self.options.two_factor.min_client.as_str(), None)).filter(|(least, _)| !least.is_empty());
        group.into_iter().chain(site).max_by_key(|(least, _)| version(least))
    }

    /// Places of a technician group and those above it, up to the root. Longer than the list where they form a ring.
    pub fn path_to_root(&self, group: usize) -> Vec<usize> {
        let mut path = vec![group];
        let mut at = group;
        while let Some(parent) = self.technician_groups[at].parent {
            if parent >= self.technician_groups.len() || path.len() > self.technician_groups.len() {
                break;
            }
            path.push(parent);
            at = parent;
        }
        path
    }
}
