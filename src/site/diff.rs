//! What one site file says otherwise than another, for people: entries by their codes, keys by their names.

use super::raw::RawSite;
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// One key that is another, or an entry that comes or goes (then without a key).
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// `site`, `options`, `user ana`, `policy strict` …
    pub of: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Difference {
    /// The section of the file, and the code of the entry in lower case; empty where a section has none.
    pub fn place(&self) -> (&str, &str) {
        self.of.split_once(' ').unwrap_or((&self.of, ""))
    }
}

/// In the order of the file. What is the same in both is compared and no more, so that a small edit of a large site is
/// found quickly.
pub fn between(before: &RawSite, after: &RawSite) -> Vec<Difference> {
    let mut found = Vec::new();
    // A section that is added to the file does not compile before it is compared here.
    let RawSite {
        site,
        options,
        skill,
        team,
        issue,
        user,
        license_pool,
        portal,
        jump_item,
        jump_item_role,
        jump_group,
        policy,
        group_policy,
        technician_group,
        template,
        script,
    } = after;
    keys("site", "", &value(&before.site), &value(site), &mut found);
    keys("options", "", &value(&before.options), &value(options), &mut found);
    lists("skill", &before.skill, skill, |it| &it.code, &mut found);
    lists("team", &before.team, team, |it| &it.code, &mut found);
    lists("issue", &before.issue, issue, |it| &it.code, &mut found);
    lists("user", &before.user, user, |it| &it.username, &mut found);
    lists("license_pool", &before.license_pool, license_pool, |it| &it.code, &mut found);
    lists("portal", &before.portal, portal, |it| &it.code, &mut found);
    lists("jump_item", &before.jump_item, jump_item, |it| &it.code, &mut found);
    lists("jump_item_role", &before.jump_item_role, jump_item_role, |it| &it.code, &mut found);
    lists("jump_group", &before.jump_group, jump_group, |it| &it.code, &mut found);
    lists("policy", &before.policy, policy, |it| &it.code, &mut found);
    lists("group_policy", &before.group_policy, group_policy, |it| &it.code, &mut found);
    lists("technician_group", &before.technician_group, technician_group, |it| &it.code, &mut found);
    lists("template", &before.template, template, |it| &it.code, &mut found);
    lists("script", &before.script, script, |it| &it.code, &mut found);
    found
}

fn value(said: &impl Serialize) -> Value {
    serde_json::to_value(said).unwrap_or_default()
}

fn lists<T: Serialize + PartialEq>(
    name: &str,
    before: &[T],
    after: &[T],
    code: impl Fn(&T) -> &str,
    found: &mut Vec<Difference>,
) {
    if before == after {
        return;
    }
    let code = |entry: &T| code(entry).to_ascii_lowercase();
    let by_code = |list: &'_ [T]| -> BTreeMap<String, usize> {
        list.iter().enumerate().map(|(at, entry)| (code(entry), at)).collect()
    };
    let (was, is) = (by_code(before), by_code(after));
    for entry in before {
        let code = code(entry);
        if !is.contains_key(&code) {
            let of = format!("{name} {code}");
            found.push(Difference { of, key: String::new(), before: Some(said(&value(entry))), after: None });
        }
    }
    for entry in after {
        let code = code(entry);
        let of = format!("{name} {code}");
        match was.get(&code).map(|at| &before[*at]) {
            Some(before) if before == entry => {}
            Some(before) => keys(&of, "", &value(before), &value(entry), found),
            None => {
                found.push(Difference { of, key: String::new(), before: None, after: Some(said(&value(entry))) });
            }
        }
    }
    // Of these the order says what counts first (R4.4, P2.2, P2.4).
    if matches!(name, "skill" | "group_policy" | "template") && was.keys().eq(is.keys()) {
        let order = |list: &[T]| -> Vec<String> { list.iter().map(code).collect() };
        let (was, is) = (order(before), order(after));
        if was != is {
            let (before, after) = (Some(was.into()), Some(is.into()));
            found.push(Difference { of: name.to_owned(), key: "order".to_owned(), before, after });
        }
    }
}

fn keys(of: &str, path: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let nothing = Value::Null;
                let (before, after) = (before.get(name).unwrap_or(&nothing), after.get(name).unwrap_or(&nothing));
                keys(of, &path, before, after, found);
            }
        }
        (before, after) if before != after => {
            let some = |value: &Value| (!value.is_null()).then(|| value.clone());
            found.push(Difference {
                of: of.to_owned(),
                key: path.to_owned(),
                before: some(before),
                after: some(after),
            });
        }
        _ => {}
    }
}

/// An entry without what says nothing.
fn said(entry: &Value) -> Value {
    match entry {
        Value::Object(map) => {
            let empty = |value: &Value| match value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            map.iter().filter(|(_, value)| !empty(value)).map(|(key, value)| (key.clone(), value.clone())).collect()
        }
        other => other.clone(),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, key, before, after } = self;
        let key = if key.is_empty() { String::new() } else { format!(" {key}") };
        let said = |value: &Value| match value {
            Value::String(text) => format!("\"{text}\""),
            other => other.to_string(),
        };
        match (before, after) {
            (None, Some(after)) if key.is_empty() => write!(f, "+ {of}  {}", said(after)),
            (Some(_), None) if key.is_empty() => write!(f, "- {of}"),
            (None, Some(after)) => write!(f, "~ {of}{key}: {}", said(after)),
            (Some(before), None) => write!(f, "~ {of}{key}: {} is left out", said(before)),
            (Some(before), Some(after)) => write!(f, "~ {of}{key}: {} → {}", said(before), said(after)),
            (None, None) => Ok(()),
        }
    }
}
