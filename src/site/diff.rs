//! What one site file says otherwise than another, for people: entries by their codes, keys by their names.

use super::raw::RawSite;
use serde::Serialize;
use serde_json::{Map, Value};
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

/// In the order of the file.
pub fn between(before: &RawSite, after: &RawSite) -> Vec<Difference> {
    let object = |site: &RawSite| match serde_json::to_value(site) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let (before, after) = (object(before), object(after));
    let mut found = Vec::new();
    for (name, after) in &after {
        let nothing = Value::Null;
        let before = before.get(name).unwrap_or(&nothing);
        match (before, after) {
            (Value::Array(before), Value::Array(after)) => lists(name, before, after, &mut found),
            _ => keys(name, "", before, after, &mut found),
        }
    }
    found
}

fn lists(name: &str, before: &[Value], after: &[Value], found: &mut Vec<Difference>) {
    let by_code = |list: &[Value]| -> BTreeMap<String, Value> {
        list.iter().filter_map(|entry| Some((code(entry)?, entry.clone()))).collect()
    };
    let (was, is) = (by_code(before), by_code(after));
    for entry in before {
        if let Some(code) = code(entry).filter(|code| !is.contains_key(code)) {
            let of = format!("{name} {code}");
            found.push(Difference { of, key: String::new(), before: Some(said(entry)), after: None });
        }
    }
    for entry in after {
        let Some(code) = code(entry) else { continue };
        let of = format!("{name} {code}");
        match was.get(&code) {
            Some(before) => keys(&of, "", before, entry, found),
            None => found.push(Difference { of, key: String::new(), before: None, after: Some(said(entry)) }),
        }
    }
    let order = |list: &[Value]| -> Vec<String> { list.iter().filter_map(code).collect() };
    let (was, is) = (order(before), order(after));
    // Of these the order says what counts first (R4.4, P2.2).
    let same = was.iter().collect::<std::collections::BTreeSet<_>>() == is.iter().collect();
    if matches!(name, "skill" | "group_policy") && same && was != is {
        let (before, after) = (Some(was.into()), Some(is.into()));
        found.push(Difference { of: name.to_owned(), key: "order".to_owned(), before, after });
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

fn code(entry: &Value) -> Option<String> {
    let code = entry.get("code").or_else(|| entry.get("username"))?;
    Some(code.as_str()?.to_ascii_lowercase())
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
