//! Licence pools, jump items, portals and session policies.

use super::{
    super::{
        domains,
        raw::{RawPrompt, RawScript},
        tool::{Tool, ToolOption},
        value::{Shape, ToolValue},
        *,
    },
    Check,
};
use crate::limits;

impl Check<'_> {
    pub(super) fn pools_and_items(&mut self) {
        for (at, raw) in self.raw.license_pool.iter().enumerate() {
            self.number(raw.seats, 0..=limits::SEATS_MAX, format!("license_pool[{at}].seats"));
            let minutes = raw.reauthenticate_after_min;
            if minutes != 0 {
                let key = format!("license_pool[{at}].reauthenticate_after_min");
                self.number(minutes, limits::REAUTHENTICATE_MINUTES, key);
            }
            let code = raw.code.to_ascii_lowercase();
            if let Some(id) = self.site.codes.pools.get(&code) {
                self.site.pools.insert(
                    *id,
                    Pool { code, seats: raw.seats, reauthenticate_after: Span::minutes(u64::from(minutes)) },
                );
            }
        }
        let policies = self.site.codes.policies.clone();
        for (at, raw) in self.raw.jump_item.iter().enumerate() {
            let key = |name: &str| format!("jump_item[{at}].{name}");
            let method = self.choice(&raw.method, JumpMethod::NAMES, &key("method"));
            let code = raw.code.to_ascii_lowercase();
            let item = JumpItem {
                method: method.unwrap_or(JumpMethod::JumpClient),
                policy_present: self.reference(&policies, "policy", &raw.policy_present, &key("policy_present")),
                policy_absent: self.reference(&policies, "policy", &raw.policy_absent, &key("policy_absent")),
                place: self.jump_place(raw, key),
                code: code.clone(),
            };
            if let Some(id) = self.site.codes.jump_items.get(&code) {
                self.site.jump_items.insert(*id, item);
            }
        }
    }

    pub(super) fn scripts(&mut self) {
        let teams = self.site.codes.teams.clone();
        for (at, raw) in self.raw.script.iter().enumerate() {
            let key = |name: &str| format!("script[{at}].{name}");
            let teams = self.references(&teams, "team", &raw.teams, &key("teams")).into_iter().collect();
            let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
            if raw.text.trim().is_empty() {
                self.problem(key("text"), "is missing: what the script does");
            } else if raw.text.len() > limits::SCRIPT_BYTES_MAX || raw.text.chars().any(odd) {
                let message = format!("is longer than {} bytes or has control characters", limits::SCRIPT_BYTES_MAX);
                self.problem(key("text"), message);
            }
            let Some(code) = super::code(&raw.code) else {
                self.problem(key("code"), super::CODE_RULE);
                continue;
            };
            let template = self.job_template(raw, &code, key);
            if self.site.scripts.insert(code, Script { teams, text: raw.text.clone(), template }).is_some() {
                self.problem(key("code"), format!("`{}` stands twice", raw.code));
            }
        }
    }

    /// P8.7.
    fn job_template(&mut self, raw: &RawScript, code: &str, key: impl Fn(&str) -> String) -> Option<JobTemplate> {
        let name = if raw.name.is_empty() { code } else { &raw.name };
        let name = self.text(name, limits::NAME_BYTES_MAX, key("name"));
        let description = self.text(&raw.description, limits::DESCRIPTION_BYTES_MAX, key("description"));
        let timeout = raw.timeout_s.map_or(limits::JOB_TIMEOUT, |timeout_s| Span::seconds(u64::from(timeout_s)));
        if timeout.is_zero() || timeout > limits::JOB_TIMEOUT_MAX {
            self.problem(key("timeout_s"), format!("is 1 to {} seconds", limits::JOB_TIMEOUT_MAX.0 / 1000));
        }
        if raw.timeout_s.is_some() && !raw.automation {
            self.problem(key("timeout_s"), "is for jobs: say `automation = true`, or leave it out");
        }
        raw.automation.then_some(JobTemplate { name, description, timeout })
    }

    pub(super) fn portals(&mut self) {
        let teams = self.site.codes.teams.clone();
        let policies = self.site.codes.policies.clone();
        let mut hosts_seen = BTreeSet::new();
        for (at, raw) in self.raw.portal.iter().enumerate() {
            let key = |name: &str| format!("portal[{at}].{name}");
            let mut hosts = Vec::new();
            for (host_at, host) in raw.hosts.iter().enumerate() {
                let key = format!("portal[{at}].hosts[{host_at}]");
                let host = host.to_ascii_lowercase();
                let label = |label: &str| {
                    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                    (1..=63).contains(&label.len()) && label.bytes().all(inner)
                };
                if host.len() > 253 || !host.split('.').all(label) {
                    self.problem(key, format!("`{host}` is not a host name"));
                } else if hosts_seen.insert(host.clone()) {
                    hosts.push(host);
                } else {
                    self.problem(key, format!("`{host}` belongs to a portal already"));
                }
            }
            let url = &raw.no_rep_url;
            if !url.is_empty() && !url.starts_with("https://") && !url.starts_with("http://") {
                self.problem(key("no_rep_url"), "must begin with `https://` or `http://`");
            }
            let code = raw.code.to_ascii_lowercase();
            let policy = self.reference(&policies, "policy", &raw.policy, &key("policy"));
            let portal = Portal {
                hosts,
                policy,
                teams: self.references(&teams, "team", &raw.teams, &key("teams")).into_iter().collect(),
                rep_list: raw.rep_list,
                no_rep_message: self.text(&raw.no_rep_message, limits::TEXT_BYTES_MAX, key("no_rep_message")),
                no_rep_url: self.text(&raw.no_rep_url, limits::TEXT_BYTES_MAX, key("no_rep_url")),
                start_url: self.start_page(&raw.start_url, policy, key("start_url")),
                code: code.clone(),
            };
            if let Some(id) = self.site.codes.portals.get(&code) {
                self.site.portals.insert(*id, portal);
            }
        }
    }

    /// LG-037: a page that may be pushed to anybody (H-79), of a domain that the policy of the portal or of the site lists where
    /// one does (P3.32). What a rep's own policy lists is known in the session alone.
    fn start_page(&mut self, url: &str, policy: Option<PolicyId>, key: String) -> String {
        let host = domains::public_host(url);
        let listed = host.is_ok_and(|host| {
            let layers = [policy, self.site.default_policy(SessionKind::Cobrowse)].into_iter().flatten();
            let layers = layers.filter_map(|id| self.site.policies.get(&id)).map(|policy| &policy.layer);
            let listed = layers.clone().find_map(|layer| layer.tool(Tool::CobrowseDomains));
            let by = { layers }.find_map(|layer| layer.option(ToolOption::CobrowseDomainsMatch));
            listed.is_none_or(|listed| domains::allows(listed, by.and_then(ToolValue::word), url, host))
        });
        match host {
            _ if url.is_empty() => {}
            Err(wanted) => self.problem(key.clone(), format!("must be {wanted}")),
            Ok(host) if !listed => {
                self.problem(key.clone(), format!("`{host}` is of no domain that `cobrowse_domains` lists (P3.32)"));
            }
            Ok(_) => {}
        }
        self.text(url, limits::TEXT_BYTES_MAX, key)
    }

    pub(super) fn policies(&mut self) {
        for (at, raw) in self.raw.policy.iter().enumerate() {
            let mut layer = Layer::default();
            for (name, value) in &raw.tools {
                let key = format!("policy[{at}].tools.{name}");
                let tool = Tool::from_name(name);
                let option = ToolOption::from_name(name);
                let Some(shape) = tool.map(Tool::shape).or(option.map(ToolOption::shape)) else {
                    self.problem(key, "there is no such tool");
                    continue;
                };
                match ToolValue::parse(shape, value) {
                    Ok(value) => {
                        self.entries(&value, shape, &key);
                        if let Some(tool) = tool {
                            layer.set(tool, value);
                        } else if let Some(option) = option {
                            layer.set_option(option, value);
                        }
                    }
                    Err(message) => self.problem(key, message),
                }
            }
            let prompt = raw.prompt.as_ref().map(|prompt| self.prompt(prompt, &format!("policy[{at}].prompt")));
            let code = raw.code.to_ascii_lowercase();
            if let Some(id) = self.site.codes.policies.get(&code) {
                self.site.policies.insert(
                    *id,
                    Policy { code, layer, prompt: prompt.unwrap_or_default(), for_invites: raw.for_invites },
                );
            }
        }
    }

    pub(super) fn entries(&mut self, value: &ToolValue, shape: Shape, key: &str) {
        let ToolValue::List(entries) = value else { return };
        if entries.len() > limits::LIST_ENTRIES_MAX {
            self.problem(key, format!("has more than {} entries", limits::LIST_ENTRIES_MAX));
        }
        for (at, entry) in entries.iter().enumerate() {
            let key = format!("{key}[{at}]");
            if entry.is_empty() {
                self.problem(key, "is empty");
                continue;
            }
            self.text(entry, limits::TEXT_BYTES_MAX, key.clone());
            // Which system reads it is known at the endpoint only; what is absolute on none is never right.
            let bytes = entry.as_bytes();
            let drive = bytes[0].is_ascii_alphabetic()
                && bytes.get(1) == Some(&b':')
                && matches!(bytes.get(2), None | Some(b'\\' | b'/'));
            if shape == Shape::Paths {
                if !(drive || matches!(bytes[0], b'/' | b'\\')) {
                    self.problem(key, format!("`{entry}` is not an absolute path"));
                } else if entry.split(['/', '\\']).any(|part| part == "." || part == "..") {
                    self.problem(key, format!("`{entry}` has `.` or `..` in it (P5)"));
                }
            }
        }
    }

    pub(super) fn prompt(&mut self, raw: &RawPrompt, key: &str) -> PromptRule {
        let mut tools = BTreeSet::new();
        for (at, name) in raw.tools.iter().enumerate() {
            match Tool::from_name(name) {
                Some(tool) => {
                    tools.insert(tool);
                }
                None => self.problem(format!("{key}.tools[{at}]"), format!("there is no tool `{name}`")),
            }
        }
        let mode_key = format!("{key}.mode");
        let kind = raw
            .mode
            .as_ref()
            .and_then(|mode| self.choice(mode, &[("never", 0), ("always", 1), ("per_tool", 2)], &mode_key));
        let (once, single) = (raw.once, raw.single);
        let mode = kind.map(|kind| match kind {
            0 => PromptMode::Never,
            1 => PromptMode::Always { once, single },
            _ => PromptMode::PerTool { tools, once, single },
        });
        if raw.mode.is_none() && (!raw.tools.is_empty() || once || single) {
            self.problem(mode_key, "is missing: `tools` and `once` belong to a mode");
        } else if !raw.tools.is_empty() && kind.is_some_and(|kind| kind != 2) {
            self.problem(format!("{key}.tools"), "belongs to the mode `per_tool` only");
        }
        if raw.each == Some(true) && (once || single) {
            let said = if once { "once" } else { "single" };
            self.problem(
                format!("{key}.each"),
                format!("asks at each action, and `{said}` asks for all of them at once"),
            );
        }
        if let Some(seconds) = raw.timeout_s {
            self.number(seconds, limits::PROMPT_SECONDS, format!("{key}.timeout_s"));
        }
        let lasts = raw.consent_s.map(|seconds| self.span(seconds, format!("{key}.consent_s")));
        let answers = [("allow", true), ("deny", false)];
        PromptRule {
            mode,
            timeout: raw.timeout_s.map(|seconds| Span::seconds(u64::from(seconds))),
            lasts,
            each: raw.each,
            allow: raw.answer.as_ref().and_then(|answer| self.choice(answer, &answers, &format!("{key}.answer"))),
        }
    }
}
