//! Users: names, memberships, limits, permissions, schedules.

use super::{
    super::{raw::RawSchedule, schedule, *},
    Check,
};
use crate::limits;
use jiff::Timestamp;

impl Check<'_> {
    pub(super) fn users(&mut self) {
        let codes = self.site.codes.clone();
        let options = self.site.options.clone();
        for (at, raw) in self.raw.user.iter().enumerate() {
            let key = |name: &str| format!("user[{at}].{name}");
            let username = raw.username.to_ascii_lowercase();
            let id = codes.users.get(&username).copied();
            let mut teams = BTreeMap::new();
            for (team, role) in &raw.teams {
                let key = format!("user[{at}].teams.{team}");
                let roles = [("member", TeamRole::Member), ("lead", TeamRole::Lead), ("manager", TeamRole::Manager)];
                let role = self.choice(role, &roles, &key);
                let team = self.required(&codes.teams, "team", team, &key);
                if let (Some(team), Some(role), Some(id)) = (team, role, id) {
                    teams.insert(team, role);
                    if let Some(team) = self.site.teams.get_mut(&team) {
                        team.members.insert(id, role);
                    }
                }
            }
            let (max_sessions, idle_limit) = self.assignment_limits(raw.max_sessions, raw.idle_limit_s, &key(""));
            let expires_ms = (!raw.expires.is_empty()).then(|| self.moment(&raw.expires, key("expires"))).flatten();
            let (policy_attended, policy_unattended) =
                self.own_policies(&raw.policy_attended, &raw.policy_unattended, &key(""));
            let user = User {
                public_name: self.name(raw.public_name.as_deref(), &username, key("public_name")),
                private_name: self.name(raw.private_name.as_deref(), &username, key("private_name")),
                email: self.mail_address(&raw.email, key("email")),
                teams,
                skills: self.references(&codes.skills, "skill", &raw.skills, &key("skills")).into_iter().collect(),
                max_sessions,
                idle_limit,
                exempt_from_assignment: raw.exempt_from_assignment,
                permissions: self.permissions(&raw.permissions, &key("permissions")),
                policy_attended,
                policy_unattended,
                permissions_from: Origin::User,
                limits_from: Origin::User,
                policies_from: Origin::User,
                technician_group: None,
                two_factor: self
                    .choice(&raw.two_factor, &[("optional", false), ("required", true)], &key("two_factor"))
                    .unwrap_or_default(),
                pool: self.reference(&codes.pools, "licence pool", &raw.license_pool, &key("license_pool")),
                session_inactivity: self.own_inactivity(
                    raw.session_inactivity_s,
                    options.session_inactivity,
                    key("session_inactivity_s"),
                ),
                console_idle: self.own_inactivity(raw.console_idle_s, options.console_idle, key("console_idle_s")),
                enabled: raw.enabled,
                expires_ms,
                automation: self.automation(&raw.automation, &key("automation")),
                jump_roles: self.own_jump_roles(&raw.jump_roles, &format!("user[{at}].jump_roles")),
                schedule: raw.schedule.as_ref().map(|schedule| self.schedule(schedule, &key("schedule"))),
                username,
            };
            if let Some(id) = id {
                self.site.users.insert(id, user);
            }
        }
    }

    pub(super) fn name(&mut self, name: Option<&str>, username: &str, key: String) -> String {
        self.text(name.unwrap_or(username), limits::NAME_BYTES_MAX, key)
    }

    fn mail_address(&mut self, text: &str, key: String) -> String {
        if !text.is_empty() && !is_mail_address(text) {
            self.problem(key, format!("`{text}` is not a mail address such as `ana@example.com`"));
        }
        text.to_owned()
    }

    pub(super) fn moment(&mut self, text: &str, key: String) -> Option<u64> {
        let moment = text.parse::<Timestamp>().ok().and_then(|moment| u64::try_from(moment.as_millisecond()).ok());
        if moment.is_none() {
            self.problem(key, format!("`{text}` is not a moment such as `2026-03-02T08:00:00Z`"));
        }
        moment
    }

    /// R3.5, R3.6. `key` ends with a dot.
    pub(super) fn assignment_limits(&mut self, max_sessions: u32, idle_limit_s: u32, key: &str) -> (u32, Span) {
        self.number(max_sessions, limits::ASSIGNED_SESSIONS, format!("{key}max_sessions"));
        if !limits::IDLE_LIMITS_S.contains(&idle_limit_s) {
            let choices: Vec<_> = limits::IDLE_LIMITS_S.iter().map(u32::to_string).collect();
            let message = format!("{idle_limit_s} is not one of {} (R3.6)", choices.join(", "));
            self.problem(format!("{key}idle_limit_s"), message);
        }
        (max_sessions, Span::seconds(u64::from(idle_limit_s)))
    }

    /// The attended and the unattended policy; an empty second is the first. `key` ends with a dot.
    pub(super) fn own_policies(
        &mut self,
        attended: &str,
        unattended: &str,
        key: &str,
    ) -> (Option<PolicyId>, Option<PolicyId>) {
        let known = self.site.codes.policies.clone();
        let mut pick = |text: &str, name: &str| {
            let key = format!("{key}{name}");
            let found = self.reference(&known, "policy", text, &key);
            if found.is_some() && found == self.site.options.default_policy {
                self.problem(key, format!("`{text}` is the site's default policy, which cannot be picked (P2.2)"));
            }
            found
        };
        let attended = pick(attended, "policy_attended");
        let unattended = pick(unattended, "policy_unattended");
        (attended, unattended.or(attended))
    }

    pub(super) fn permissions(&mut self, names: &[String], key: &str) -> BTreeSet<UserPermission> {
        let mut found = BTreeSet::new();
        for (at, name) in names.iter().enumerate() {
            let permission = UserPermission::from_name(name);
            match permission {
                Some(permission) if found.insert(permission) => {}
                Some(_) => self.problem(format!("{key}[{at}]"), format!("`{name}` stands twice")),
                None => self.problem(format!("{key}[{at}]"), format!("there is no permission `{name}`")),
            }
        }
        found
    }

    pub(super) fn schedule(&mut self, raw: &RawSchedule, key: &str) -> Schedule {
        let mut entries = Vec::new();
        for (at, text) in raw.entries.iter().enumerate() {
            match schedule::entry(text) {
                Ok(entry) => entries.push(entry),
                Err(message) => self.problem(format!("{key}.entries[{at}]"), message),
            }
        }
        if raw.entries.is_empty() {
            self.problem(format!("{key}.entries"), "is missing: leave the schedule out to permit any time");
        }
        Schedule { timezone: self.zone(&raw.timezone, &format!("{key}.timezone")), force: raw.force, entries }
    }
}
