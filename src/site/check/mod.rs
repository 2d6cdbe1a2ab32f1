//! A [`RawSite`] becomes a [`Site`], or a list of everything that is wrong with it. Nothing past here checks again.

mod groups;
mod jumps;
mod policies;
mod queues;
mod users;

use super::{
    raw::{RawSite, RawTwoFactor},
    template, *,
};
use crate::limits;
use jiff::{civil, tz::TimeZone};
use std::{ops::RangeInclusive, sync::Arc};

impl Site {
    /// Checks all of it. Codes keep the ids they have in `previous`; what is gone leaves a hole.
    pub fn check(mut raw: Arc<RawSite>, previous: Option<&Self>) -> Result<Self, Vec<Problem>> {
        if let Some(previous) = previous {
            template::copy(&mut raw, &previous.raw);
        }
        let mut check = Check { raw: &raw, site: Self::default(), problems: Vec::new() };
        check.codes(previous);
        check.account();
        check.options();
        check.skills();
        check.teams();
        check.issues();
        check.jump_roles();
        check.jump_groups();
        check.pools_and_items();
        check.policies();
        check.portals();
        check.scripts();
        check.users();
        check.group_policies();
        check.technician_groups();
        check.templates();
        check.effective_users();
        let Check { mut site, problems, .. } = check;
        if !problems.is_empty() {
            return Err(problems);
        }
        site.raw = raw;
        Ok(site)
    }
}

struct Check<'raw> {
    raw: &'raw RawSite,
    site: Site,
    problems: Vec<Problem>,
}

/// A code as it is compared: without case, or none if it is not one.
fn code(text: &str) -> Option<String> {
    let code = text.to_ascii_lowercase();
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    let starts = code.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (starts && code.len() <= limits::CODE_BYTES_MAX && code.bytes().all(inner)).then_some(code)
}

/// The name of a custom field (P3.29); its case counts.
pub fn is_field_name(field: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=limits::CODE_BYTES_MAX).contains(&field.len()) && field.bytes().all(known)
}

const CODE_RULE: &str = "must begin with a letter or digit and have only letters, digits, `_`, `.` and `-`, 64 at most";

impl<'raw> Check<'raw> {
    fn problem(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { key: key.into(), line: None, message: message.into() });
    }

    /// The id behind a reference; empty is none, unknown is a problem.
    fn reference<T: Copy>(&mut self, known: &BTreeMap<String, T>, kind: &str, text: &str, key: &str) -> Option<T> {
        if text.is_empty() {
            return None;
        }
        let found = known.get(&text.to_ascii_lowercase()).copied();
        if found.is_none() {
            self.problem(key, format!("there is no {kind} `{text}`"));
        }
        found
    }

    fn required<T: Copy>(&mut self, known: &BTreeMap<String, T>, kind: &str, text: &str, key: &str) -> Option<T> {
        if text.is_empty() {
            self.problem(key, format!("is missing: name a {kind}"));
        }
        self.reference(known, kind, text, key)
    }

    /// A list of references without repetition.
    fn references<T: Copy + Ord>(
        &mut self,
        known: &BTreeMap<String, T>,
        kind: &str,
        texts: &[String],
        key: &str,
    ) -> Vec<T> {
        let mut found = Vec::with_capacity(texts.len());
        let mut seen = BTreeSet::new();
        for (at, text) in texts.iter().enumerate() {
            let key = format!("{key}[{at}]");
            if let Some(id) = self.required(known, kind, text, &key) {
                if seen.insert(id) {
                    found.push(id);
                } else {
                    self.problem(key, format!("`{text}` stands twice"));
                }
            }
        }
        found
    }

    fn number<N: PartialOrd + Copy + std::fmt::Display>(&mut self, value: N, range: RangeInclusive<N>, key: String) {
        if !range.contains(&value) {
            self.problem(key, format!("{value} is not from {} to {}", range.start(), range.end()));
        }
    }

    fn span(&mut self, seconds: u32, key: String) -> Span {
        self.number(seconds, 0..=limits::SETTING_SECONDS_MAX, key);
        Span::seconds(u64::from(seconds))
    }

    fn text(&mut self, text: &str, bytes_max: usize, key: String) -> String {
        if text.len() > bytes_max {
            self.problem(key, format!("is longer than {bytes_max} bytes"));
        } else if text.chars().any(char::is_control) {
            self.problem(key, "has control characters");
        }
        text.to_owned()
    }

    /// As [`Self::text`], with lines.
    fn prose(&mut self, text: &str, bytes_max: usize, key: String) -> String {
        self.text(&text.replace('\n', " "), bytes_max, key);
        text.to_owned()
    }

    fn zone(&mut self, name: &str, key: &str) -> String {
        if TimeZone::get(name).is_err() {
            self.problem(key, format!("`{name}` is not a time zone such as `Europe/Berlin`"));
        }
        name.to_owned()
    }

    fn choice<T: Copy>(&mut self, text: &str, choices: &[(&str, T)], key: &str) -> Option<T> {
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
            let said = if text.is_empty() { "is missing".to_owned() } else { format!("`{text}` is unknown") };
            self.problem(key, format!("{said}: choose one of {}", names.join(", ")));
        }
        found
    }

    // ---- codes ----

    fn codes(&mut self, previous: Option<&Site>) {
        let mut next = previous.map(|site| site.next.clone()).unwrap_or_default();
        let none = Codes::default();
        let old = previous.map_or(&none, |site| &site.codes);
        macro_rules! number {
            ($list:ident, $field:ident, $codes:ident, $next:ident, $id:ident) => {
                for (at, entry) in self.raw.$list.iter().enumerate() {
                    let key = format!("{}[{at}].{}", stringify!($list), stringify!($field));
                    let Some(code) = self.new_code(&entry.$field, &key) else { continue };
                    let id = old.$codes.get(&code).copied().unwrap_or_else(|| {
                        next.$next += 1;
                        $id(next.$next)
                    });
                    if self.site.codes.$codes.insert(code, id).is_some() {
                        self.problem(key, format!("`{}` stands twice", entry.$field));
                    }
                }
            };
        }
        number!(user, username, users, user, UserId);
        number!(team, code, teams, team, TeamId);
        number!(skill, code, skills, skill, SkillId);
        number!(issue, code, issues, issue, IssueId);
        number!(license_pool, code, pools, pool, PoolId);
        number!(portal, code, portals, portal, PortalId);
        number!(jump_item, code, jump_items, jump_item, JumpItemId);
        number!(policy, code, policies, policy, PolicyId);
        self.site.next = next;
        self.plain_codes("group_policy", self.raw.group_policy.iter().map(|entry| &entry.code));
        self.plain_codes("technician_group", self.raw.technician_group.iter().map(|entry| &entry.code));
        self.plain_codes("jump_item_role", self.raw.jump_item_role.iter().map(|entry| &entry.code));
        self.plain_codes("jump_group", self.raw.jump_group.iter().map(|entry| &entry.code));
        self.plain_codes("template", self.raw.template.iter().map(|entry| &entry.code));
    }

    fn new_code(&mut self, text: &str, key: &str) -> Option<String> {
        let found = code(text);
        if found.is_none() {
            let message = if text.is_empty() { "is missing".to_owned() } else { format!("`{text}` {CODE_RULE}") };
            self.problem(key, message);
        }
        found
    }

    /// Codes that nothing but the file itself refers to.
    fn plain_codes<'a>(&mut self, list: &str, codes: impl Iterator<Item = &'a String>) {
        let mut seen = BTreeSet::new();
        for (at, text) in codes.enumerate() {
            let key = format!("{list}[{at}].code");
            if let Some(code) = self.new_code(text, &key)
                && !seen.insert(code)
            {
                self.problem(key, format!("`{text}` stands twice"));
            }
        }
    }

    // ---- account and options ----

    fn account(&mut self) {
        let raw = &self.raw.site;
        if raw.name.trim().is_empty() {
            self.problem("site.name", "is missing");
        }
        self.site.name = self.text(&raw.name, limits::NAME_BYTES_MAX, "site.name".to_owned());
        self.site.timezone = self.zone(&raw.timezone, "site.timezone");
        self.number(raw.seats, 0..=limits::SEATS_MAX, "site.seats".to_owned());
        self.site.seats = raw.seats;
    }

    fn options(&mut self) {
        let raw = &self.raw.options;
        let key = |name: &str| format!("options.{name}");
        let teams = self.site.codes.teams.clone();
        let policies = self.site.codes.policies.clone();
        self.number(raw.max_active_sessions, 0..=limits::ACTIVE_SESSIONS_MAX, key("max_active_sessions"));
        self.number(raw.priority_ageing_per_min, 0..=100, key("priority_ageing_per_min"));
        self.number(raw.reconnect_timeout_s, limits::RECONNECT_TIMEOUT_S, key("reconnect_timeout_s"));
        self.number(raw.reboot_timeout_s, limits::REBOOT_TIMEOUT_S, key("reboot_timeout_s"));
        self.site.options = Options {
            fallback_team: self.reference(&teams, "team", &raw.fallback_team, "options.fallback_team"),
            fallback_normal: self.rules(&raw.fallback_rules_normal, "options.fallback_rules_normal"),
            fallback_jump: self.rules(&raw.fallback_rules_jump, "options.fallback_rules_jump"),
            reconnect_grace: self.span(raw.reconnect_grace_s, key("reconnect_grace_s")),
            reconnect_timeout: Span::seconds(u64::from(raw.reconnect_timeout_s)),
            reboot_timeout: Span::seconds(u64::from(raw.reboot_timeout_s)),
            require_closed_sessions: raw.require_closed_sessions,
            show_session_information: raw.show_session_information,
            offer_timeout_is_rejection: raw.offer_timeout_is_rejection,
            get_next_by_priority: self
                .choice(&raw.get_next_order, &[("age", false), ("priority", true)], "options.get_next_order")
                .unwrap_or_default(),
            priority_ageing_per_min: raw.priority_ageing_per_min,
            max_active_sessions: raw.max_active_sessions,
            max_wait: self.span(raw.max_wait_s, key("max_wait_s")),
            session_inactivity: self.inactivity(raw.session_inactivity_s, key("session_inactivity_s")),
            console_idle: self.inactivity(raw.console_idle_s, key("console_idle_s")),
            history: self.history(),
            end_fields: self.end_fields(),
            default_policy: self.reference(&policies, "policy", &raw.default_policy, "options.default_policy"),
            cobrowse_policy: self.reference(&policies, "policy", &raw.cobrowse_policy, "options.cobrowse_policy"),
            auto_start: raw.auto_start,
            disclaimer: raw.disclaimer,
            disclaimer_text: self.disclaimer_text(),
            greeting: self.prose(&raw.greeting, limits::ANNOUNCEMENT_BYTES_MAX, key("greeting")),
            hold_message: self.prose(&raw.hold_message, limits::ANNOUNCEMENT_BYTES_MAX, key("hold_message")),
            hold_message_every: self.hold_message_every(),
            show_rep_names: raw.show_rep_names,
            rep_alias: self.text(&raw.rep_alias, limits::NAME_BYTES_MAX, key("rep_alias")),
            two_factor: self.two_factor(&raw.two_factor),
            statuses: self.statuses(&raw.statuses),
        };
    }

    /// R10.2: without its text a disclaimer asks for nothing.
    fn disclaimer_text(&mut self) -> String {
        let raw = &self.raw.options;
        if raw.disclaimer && raw.disclaimer_text.trim().is_empty() {
            self.problem("options.disclaimer_text", "is missing: say what customers agree to");
        }
        self.prose(&raw.disclaimer_text, limits::DISCLAIMER_BYTES_MAX, "options.disclaimer_text".to_owned())
    }

    /// R10.1: 0 = never.
    fn hold_message_every(&mut self) -> Span {
        let seconds = self.raw.options.hold_message_every_s;
        if seconds != 0 {
            self.number(seconds, limits::HOLD_MESSAGE_SECONDS, "options.hold_message_every_s".to_owned());
        }
        Span::seconds(u64::from(seconds))
    }

    /// BU-048: for how long sessions that have ended are kept.
    fn history(&mut self) -> Span {
        let days = self.raw.options.history_days;
        self.number(days, limits::HISTORY_DAYS, "options.history_days".to_owned());
        Span::days(days)
    }

    /// RA-013: names of custom fields.
    fn end_fields(&mut self) -> Vec<String> {
        let fields = &self.raw.options.end_fields;
        if fields.len() > limits::FIELDS_PER_SESSION {
            let message =
                format!("names {} fields; a session has at most {}", fields.len(), limits::FIELDS_PER_SESSION);
            self.problem("options.end_fields", message);
        }
        for (at, field) in fields.iter().enumerate() {
            if !is_field_name(field) {
                let message =
                    format!("`{field}` is no field: 1 to {} letters, digits, `_` or `-`", limits::CODE_BYTES_MAX);
                self.problem(format!("options.end_fields[{at}]"), message);
            }
        }
        fields.clone()
    }

    /// R11.3: a date at 00:00 in its zone, and the least version of a client.
    fn two_factor(&mut self, raw: &RawTwoFactor) -> TwoFactor {
        let date = raw.required_from.parse::<civil::Date>();
        if !raw.required_from.is_empty() && date.is_err() {
            let message = format!("`{}` is not a date such as `2026-03-02`", raw.required_from);
            self.problem("options.two_factor.required_from", message);
        }
        let min_client = self.least_version(&raw.min_client, "options.two_factor.min_client");
        let timezone = self.zone(&raw.timezone, "options.two_factor.timezone");
        let midnight = date.ok().zip(TimeZone::get(&timezone).ok()).and_then(|(date, zone)| date.to_zoned(zone).ok());
        TwoFactor {
            required_from: raw.required_from.clone(),
            timezone,
            min_client,
            from_ms: midnight.and_then(|it| u64::try_from(it.timestamp().as_millisecond()).ok()),
        }
    }

    fn least_version(&mut self, said: &str, key: impl Into<String>) -> String {
        if !said.is_empty() && version(said).is_none() {
            self.problem(key, format!("`{said}` is not a version such as `1.4.0`"));
        }
        said.to_owned()
    }

    /// A site's own status codes; the three that are always there cannot be made to mean something else.
    fn statuses(&mut self, statuses: &BTreeMap<String, StatusShown>) -> BTreeMap<String, StatusShown> {
        for status in statuses.keys() {
            let key = format!("options.statuses.{status}");
            if matches!(status.as_str(), "available" | "away" | "busy") {
                self.problem(key, format!("`{status}` is there in every site"));
            } else if code(status).as_ref() != Some(status) {
                self.problem(key, format!("`{status}` must be in lower case and {CODE_RULE}"));
            }
        }
        statuses.clone()
    }

    fn rules(&mut self, rules: &[u8], key: &str) -> [bool; 3] {
        let mut on = [false; 3];
        for (at, rule) in rules.iter().enumerate() {
            match rule {
                2..=4 if on[usize::from(rule - 2)] => {
                    self.problem(format!("{key}[{at}]"), format!("{rule} stands twice"))
                }
                2..=4 => on[usize::from(rule - 2)] = true,
                _ => self.problem(format!("{key}[{at}]"), format!("{rule} is not one of 2, 3, 4 (R8.2)")),
            }
        }
        on
    }

    /// 0 = never, otherwise five minutes to a day (R7.9).
    fn inactivity(&mut self, seconds: u32, key: String) -> Span {
        if seconds != 0 && !limits::INACTIVITY_SECONDS.contains(&seconds) {
            let range = limits::INACTIVITY_SECONDS;
            self.problem(key, format!("{seconds} is neither 0 nor from {} to {}", range.start(), range.end()));
        }
        Span::seconds(u64::from(seconds))
    }

    /// As [`Self::inactivity`]; -1 takes the site's.
    fn own_inactivity(&mut self, seconds: i32, site: Span, key: String) -> Span {
        match u32::try_from(seconds) {
            Ok(seconds) => self.inactivity(seconds, key),
            Err(_) if seconds == -1 => site,
            Err(_) => {
                self.problem(key, format!("{seconds}: only -1 is below 0, for the site's value"));
                site
            }
        }
    }
}
