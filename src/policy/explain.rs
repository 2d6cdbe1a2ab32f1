//! What the policy says in a situation, for people and for machines (P6.4, contract C3): every value with its source and
//! prompt, what it says of a path, and what another site file would change.

use super::{
    automation,
    jumps::{self, By},
    paths::{self, Os},
    prompt::{Prompt, Prompting},
    session::{Permissions, Person, Situation, Source, compile},
};
use crate::site::{
    AutomationRole, SessionKind, Site,
    tool::{Tool, ToolOption},
    value::ToolValue,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// The question, in the codes of the site.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Query {
    pub user: String,
    pub portal: Option<String>,
    pub jump_item: Option<String>,
    /// Left out: `jump` with a jump item, else `support`.
    pub kind: Option<SessionKind>,
    /// Left out: somebody is.
    pub present: Option<bool>,
    /// A path on the customer's side, and how that side reads paths.
    pub path: Option<(String, Os)>,
}

/// What is asked about is not in the site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unknown {
    pub kind: &'static str,
    pub code: String,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no {} `{}`", self.kind, self.code)
    }
}

impl std::error::Error for Unknown {}

/// The answer. Serialised it is the object of contract C3; displayed it is a table.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explanation {
    pub permissions: InOrder,
    /// The options and scopes beside the tools.
    pub options: BTreeMap<&'static str, Said>,
    pub prompt: PromptAnswer,
    /// What the user may do with endpoint automation (P8.7).
    pub automation: Said,
    /// How much automatic assignment gives the user, and whether a group policy says so (P2.2).
    pub limits: Assigned,
    /// Of a jump item: whether the user may start a session on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Of a jump item: whether a job of theirs runs on it (P8.8).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Runs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathAnswer>,
    /// What the other site file would change; left out where none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Change>>,
}

/// Tools in the order of P3.
#[derive(Clone, PartialEq, Debug)]
pub struct InOrder(pub Vec<(Tool, Row)>);

impl Serialize for InOrder {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(tool, row)| (tool.name(), row)))
    }
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    pub value: ToolValue,
    pub source: String,
    pub prompt: &'static str,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Said {
    pub value: ToolValue,
    pub source: String,
}

/// R3.5, R3.6.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Assigned {
    pub max_sessions: u32,
    /// 0: no limit.
    pub idle_limit_s: u64,
    pub source: String,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PromptAnswer {
    pub timeout_s: u64,
    /// `allow` or `deny`: what silence answers (P4.3).
    pub answer: &'static str,
    /// How long a yes holds; left out: as long as the session (P4.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_s: Option<u64>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PathAnswer {
    pub given: String,
    pub normalized: Option<String>,
    pub allowed: bool,
    pub entry: Option<String>,
    pub reason: String,
}

/// The jump method's permission and the role on the item (R1.4, P8); on the local network `connect_on_lan` too (P3.25).
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Start {
    pub allowed: bool,
    /// The user permission of the item's method.
    pub method: &'static str,
    pub method_allowed: bool,
    /// Left out: no access, or the item is in no group and on nobody's list, where roles have no say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Who withholds it, else who gave the role.
    pub source: String,
    /// The same for people.
    #[serde(skip)]
    said: String,
}

/// As the jobs of endpoint automation are judged, with nobody or somebody at the endpoint.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Runs {
    pub allowed: bool,
    /// Who withholds it, else who gave the role in automation.
    pub source: String,
    #[serde(skip)]
    said: &'static str,
}

/// One tool that would be otherwise, `automation`, or `start_sessions` of a jump item.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Change {
    pub tool: &'static str,
    pub before: Row,
    pub after: Row,
}

/// Answers the question for one site.
pub fn explain(site: &Site, query: &Query) -> Result<Explanation, Unknown> {
    let permissions = compile(site, &situation(site, query)?);
    let Prompting { timeout, allow, lasts } = permissions.prompting;
    let option = |option: &ToolOption| {
        let (value, source) = permissions.option(*option);
        (option.name(), Said { value: value.clone(), source: source.name(site) })
    };
    let path = query.path.as_ref().map(|(given, os)| {
        let verdict = paths::check(*os, permissions.value(Tool::CustomerPaths), given);
        PathAnswer {
            given: given.clone(),
            normalized: verdict.normalized,
            allowed: verdict.allowed,
            entry: verdict.entry,
            reason: verdict.reason,
        }
    });
    Ok(Explanation {
        permissions: rows(site, &permissions),
        options: ToolOption::ALL.iter().map(option).collect(),
        prompt: PromptAnswer {
            timeout_s: timeout.0 / 1000,
            answer: if allow { "allow" } else { "deny" },
            consent_s: lasts.map(|lasts| lasts.0 / 1000),
        },
        automation: automates(site, query)?,
        limits: assigned(site, query)?,
        start: start(site, query)?,
        job: runs(site, query)?,
        path,
        changes: None,
    })
}

fn automates(site: &Site, query: &Query) -> Result<Said, Unknown> {
    let (role, source) = automation::role(site, find(&site.codes.users, "user", &query.user)?);
    Ok(Said { value: ToolValue::Word(role.word()), source: source.name(site) })
}

fn assigned(site: &Site, query: &Query) -> Result<Assigned, Unknown> {
    let id = find(&site.codes.users, "user", &query.user)?;
    let (max_sessions, idle_limit_s, source) = site.users.get(&id).map_or((0, 0, Source::User(id)), |user| {
        (user.max_sessions, user.idle_limit.0 / 1000, Source::of_limits(id, user))
    });
    Ok(Assigned { max_sessions, idle_limit_s, source: source.name(site) })
}

fn runs(site: &Site, query: &Query) -> Result<Option<Runs>, Unknown> {
    let Some(start) = start(site, query)? else { return Ok(None) };
    let Situation { jump_item: Some(item), present, .. } = situation(site, query)? else { return Ok(None) };
    let user = find(&site.codes.users, "user", &query.user)?;
    let (role, given) = automation::role(site, user);
    let barred = automation::barred(site, user, item, present);
    let (said, source) = match (role, start.allowed, barred) {
        (AutomationRole::NotAllowed, ..) => ("endpoint automation is not allowed", given.name(site)),
        (_, false, _) => ("no session on it may be started", start.source),
        (_, _, Some(barred)) => (barred.said(), barred.source().name(site)),
        _ => ("", given.name(site)),
    };
    Ok(Some(Runs { allowed: said.is_empty(), source, said }))
}

fn start(site: &Site, query: &Query) -> Result<Option<Start>, Unknown> {
    let Some(code) = &query.jump_item else { return Ok(None) };
    let item = find(&site.codes.jump_items, "jump item", code)?;
    let user_id = find(&site.codes.users, "user", &query.user)?;
    let present = situation(site, query)?.present;
    let (Some(user), Some(found)) = (site.users.get(&user_id), site.jump_items.get(&item)) else { return Ok(None) };
    let permission = found.method.permission();
    let method_allowed = user.enabled && user.permissions.contains(&permission);
    let held = jumps::held(site, user_id, item);
    let barred = jumps::lan_barred(site, user_id, item, present).filter(|_| method_allowed && held.starts(site));
    let source = match (method_allowed, barred) {
        (false, _) => Source::of_permissions(user_id, user),
        (true, Some(barred)) => barred,
        (true, None) => held.by.source(user_id),
    };
    let role = held.role(site).map(|role| role.code.clone());
    let said = match (method_allowed, held.by, &role) {
        (false, ..) => format!("the permission {} is missing", permission.name()),
        _ if barred.is_some() => format!("connect_on_lan is not permitted, by {} [P3.25]", source.name(site)),
        (true, By::Nothing, _) => format!("by the permission {}", permission.name()),
        (true, by, Some(role)) => format!("{}: role {role} [{}]", by.name(site, user_id), by.rule()),
        (true, by, None) => format!("{}: no access [{}]", by.name(site, user_id), by.rule()),
    };
    Ok(Some(Start {
        allowed: method_allowed && held.starts(site) && barred.is_none(),
        method: permission.name(),
        method_allowed,
        role,
        source: source.name(site),
        said,
    }))
}

/// As [`explain`], with what `other` would change (`--against`).
pub fn explain_against(site: &Site, other: &Site, query: &Query) -> Result<Explanation, Unknown> {
    Ok(Explanation { changes: Some(changes(site, other, query)?), ..explain(site, query)? })
}

/// What `other` would change in one situation.
pub fn changes(site: &Site, other: &Site, query: &Query) -> Result<Vec<Change>, Unknown> {
    let before = compile(site, &situation(site, query)?);
    let after = compile(other, &situation(other, query)?);
    let (before, after) = (rows(site, &before), rows(other, &after));
    let pairs = before.0.into_iter().zip(after.0);
    let otherwise = pairs.filter(|((_, before), (_, after))| before != after);
    let otherwise = otherwise.map(|((tool, before), (_, after))| Change { tool: tool.name(), before, after });
    let row = |start: Start| Row {
        value: if start.allowed { ToolValue::YES } else { ToolValue::NO },
        source: start.source,
        prompt: Prompt::Never.name(),
    };
    let starts = start(site, query)?.map(row).zip(start(other, query)?.map(row));
    let starts = starts.filter(|(before, after)| before.value != after.value);
    let starts = starts.map(|(before, after)| Change { tool: "start_sessions", before, after });
    // It goes with no place: said where a session begins in none.
    let nowhere = query.portal.is_none() && query.jump_item.is_none() && query.kind != Some(SessionKind::RepToRep);
    let (before, after) = (automates(site, query)?, automates(other, query)?);
    let automation = (nowhere && before.value != after.value).then(|| {
        let row = |said: Said| Row { value: said.value, source: said.source, prompt: Prompt::Never.name() };
        Change { tool: "automation", before: row(before), after: row(after) }
    });
    Ok(otherwise.chain(starts).chain(automation).collect())
}

/// The question with its codes found.
pub fn situation(site: &Site, query: &Query) -> Result<Situation, Unknown> {
    let user = find(&site.codes.users, "user", &query.user)?;
    let portal = query.portal.as_ref().map(|code| find(&site.codes.portals, "portal", code)).transpose()?;
    let jump_item = query.jump_item.as_ref().map(|code| find(&site.codes.jump_items, "jump item", code)).transpose()?;
    let kind = if jump_item.is_some() { SessionKind::Jump } else { SessionKind::Support };
    let kind = query.kind.unwrap_or(kind);
    Ok(Situation {
        person: match kind {
            SessionKind::RepToRep => Person::Shown { by: user, control: true },
            _ => Person::User(user),
        },
        portal,
        jump_item,
        kind,
        present: query.present.unwrap_or(true),
    })
}

fn find<T: Copy>(known: &BTreeMap<String, T>, kind: &'static str, code: &str) -> Result<T, Unknown> {
    known.get(&code.to_ascii_lowercase()).copied().ok_or_else(|| Unknown { kind, code: code.to_owned() })
}

fn rows(site: &Site, permissions: &Permissions) -> InOrder {
    let row = |(tool, effective): (Tool, &super::Effective)| {
        let source = effective.source.name(site);
        (tool, Row { value: effective.value.clone(), source, prompt: effective.prompt.name() })
    };
    InOrder(permissions.iter().map(row).collect())
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:<20} {:<8} source", "tool", "value", "prompt")?;
        for (tool, row) in &self.permissions.0 {
            writeln!(f, "{:<22} {:<20} {:<8} {}", tool.name(), row.value.to_string(), row.prompt, row.source)?;
        }
        writeln!(f, "\n{:<28} {:<23} source", "option", "value")?;
        for (option, said) in &self.options {
            writeln!(f, "{option:<28} {:<23} {}", said.value.to_string(), said.source)?;
        }
        writeln!(f, "\na prompt waits {} s, silence answers {}", self.prompt.timeout_s, self.prompt.answer)?;
        writeln!(f, "endpoint automation: {} ({})", self.automation.value, self.automation.source)?;
        let Assigned { max_sessions, idle_limit_s, source } = &self.limits;
        writeln!(f, "assigned: up to {max_sessions} sessions, idle limit {idle_limit_s} s ({source})")?;
        if let Some(Start { allowed, said, .. }) = &self.start {
            let verdict = if *allowed { "may be started" } else { "may not be started" };
            writeln!(f, "a session on it {verdict}: {said}")?;
        }
        match &self.job {
            Some(Runs { allowed: true, .. }) => writeln!(f, "a job runs on it")?,
            Some(Runs { said, source, .. }) => writeln!(f, "no job runs on it: {said} ({source})")?,
            None => {}
        }
        if let Some(path) = &self.path {
            let verdict = if path.allowed { "allowed" } else { "refused" };
            write!(f, "path {}: {verdict}, {}", path.given, path.reason)?;
            match (&path.normalized, &path.entry) {
                (Some(normalized), Some(entry)) => writeln!(f, ": {normalized} is under {entry}")?,
                (Some(normalized), None) => writeln!(f, ": read as {normalized}")?,
                (None, _) => writeln!(f)?,
            }
        }
        if let Some(changes) = &self.changes {
            writeln!(f, "\n{} would change:", changes.len())?;
            for Change { tool, before, after } in changes {
                let (from, to) = (&before.value, &after.value);
                let (from_prompt, to_prompt) = (before.prompt, after.prompt);
                writeln!(
                    f,
                    "{tool:<22} {from} (prompt {from_prompt}, {}) → {to} (prompt {to_prompt}, {})",
                    before.source, after.source
                )?;
            }
        }
        Ok(())
    }
}
