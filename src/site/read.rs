//! Text of a site file, TOML or JSON, to a [`RawSite`]: every syntax error, unknown key and wrong type is reported, each
//! with its key and line, and what is sound is kept so that the check can go on with it.

use super::{Site, raw::RawSite};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt, sync::Arc};
use toml::de::{DeTable, DeValue};

/// One thing wrong in a site file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// Path of the key, as `team[0].algorithm`; empty where the text itself is broken.
    pub key: String,
    /// From 1; none where the text does not tell.
    pub line: Option<u32>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl RawSite {
    /// TOML, or JSON where the text begins with `{`.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let Read { raw, problems, .. } = read(text);
        if problems.is_empty() { Ok(raw) } else { Err(problems) }
    }

    /// The file again, with every default written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a raw site has only what TOML can say")
    }
}

impl Site {
    /// Reads and checks a file in one go: the problems of both, in the order of their lines.
    pub fn from_text(text: &str, previous: Option<&Self>) -> Result<Self, Vec<Problem>> {
        Self::with_raw(text, previous).map(|(site, _)| site)
    }

    /// The same, and the file as it was read: what the journal keeps of an edit.
    pub fn with_raw(text: &str, previous: Option<&Self>) -> Result<(Self, Arc<RawSite>), Vec<Problem>> {
        // Most are sound, and then nobody asks on which line a key stands.
        if let Some(raw) = sound(text).map(Arc::new)
            && let Ok(site) = Self::check(raw.clone(), previous)
        {
            return Ok((site, raw));
        }
        let Read { raw, mut problems, lines } = read(text);
        let raw = Arc::new(raw);
        // In broken text all that follows may be missing: what it means cannot be said.
        if problems.iter().any(|problem| problem.key.is_empty()) {
            return Err(problems);
        }
        match Self::check(raw.clone(), previous) {
            Ok(site) if problems.is_empty() => return Ok((site, raw)),
            Ok(_) => {}
            Err(more) => {
                for mut problem in more {
                    // What could not be read looks as if it were missing: said once is enough.
                    if problems.iter().any(|known| covers(&known.key, &problem.key)) {
                        continue;
                    }
                    problem.line = line_of(&lines, &problem.key);
                    problems.push(problem);
                }
            }
        }
        problems.sort_by_key(|problem| problem.line.unwrap_or(u32::MAX));
        Err(problems)
    }
}

fn covers(known: &str, key: &str) -> bool {
    key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

struct Read {
    raw: RawSite,
    problems: Vec<Problem>,
    lines: BTreeMap<String, u32>,
}

/// A text with nothing wrong in its words, as it says it.
fn sound(text: &str) -> Option<RawSite> {
    let value = if is_json(text) {
        serde_json::from_str(text).ok()?
    } else {
        table(DeTable::parse(text).ok()?.get_ref(), None)
    };
    RawSite::deserialize(&value).ok()
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn read(text: &str) -> Read {
    let mut problems = Vec::new();
    let mut lines = BTreeMap::new();
    let value =
        if is_json(text) { json(text, &mut lines, &mut problems) } else { toml_value(text, &mut lines, &mut problems) };
    let raw = sound_part(value, &mut problems);
    for problem in &mut problems {
        problem.line = problem.line.or_else(|| line_of(&lines, &problem.key));
    }
    Read { raw, problems, lines }
}

fn json(text: &str, lines: &mut BTreeMap<String, u32>, problems: &mut Vec<Problem>) -> Value {
    match serde_json::from_str(text) {
        Ok(value) => {
            JsonLines { text, at: 0, line: 1, lines }.value("");
            value
        }
        Err(error) => {
            let line = u32::try_from(error.line()).ok();
            problems.push(Problem { key: String::new(), line, message: format!("not valid JSON: {error}") });
            Value::Object(Map::new())
        }
    }
}

/// Finds the lines of keys in a text that is known to be JSON, which its parser does not tell.
struct JsonLines<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    lines: &'a mut BTreeMap<String, u32>,
}

impl JsonLines<'_> {
    fn value(&mut self, path: &str) {
        match self.next_token() {
            Some(b'{') => {
                self.at += 1;
                while self.next_token() == Some(b'"') {
                    let line = self.line;
                    let name = self.string();
                    let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                    self.lines.insert(path.clone(), line);
                    self.value(&path);
                }
                self.at += 1;
            }
            Some(b'[') => {
                self.at += 1;
                let mut place = 0;
                while self.next_token().is_some_and(|byte| byte != b']') {
                    let path = format!("{path}[{place}]");
                    self.lines.insert(path.clone(), self.line);
                    self.value(&path);
                    place += 1;
                }
                self.at += 1;
            }
            Some(b'"') => {
                self.string();
            }
            _ => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                self.at += rest.find([',', ']', '}', ' ', '\n', '\r', '\t']).unwrap_or(rest.len());
            }
        }
    }

    /// Past spaces and what separates values, to the first byte of a token.
    fn next_token(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\r' | b'\t' | b',' | b':' => {}
                _ => return Some(byte),
            }
            self.at += 1;
        }
    }

    fn string(&mut self) -> String {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            self.at += 1;
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => break,
                _ => {}
            }
        }
        self.text.get(start..self.at).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

fn toml_value(text: &str, lines: &mut BTreeMap<String, u32>, problems: &mut Vec<Problem>) -> Value {
    let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let line = |offset: usize| starts.partition_point(|start| *start <= offset) as u32;
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map(|span| line(span.start));
        problems.push(Problem { key: String::new(), line, message: error.message().to_owned() });
    }
    let mut note = |path: &str, offset| {
        lines.insert(path.to_owned(), line(offset));
    };
    table(document.get_ref(), Some(("", &mut note)))
}

/// The key around a value, and who is told on which byte each key in it stands; none: nobody asks.
type Noted<'a> = Option<(&'a str, &'a mut dyn FnMut(&str, usize))>;

fn table(table: &DeTable<'_>, mut noted: Noted<'_>) -> Value {
    let mut object = Map::new();
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let value = match &mut noted {
            None => plain(value.get_ref(), None),
            Some((path, note)) => {
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                note(&path, key.span().start);
                plain(value.get_ref(), Some((&path, *note)))
            }
        };
        object.insert(name.to_owned(), value);
    }
    Value::Object(object)
}

fn plain(value: &DeValue<'_>, mut noted: Noted<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => number.into(),
            // Larger than any setting: refused by the field that gets it.
            Err(_) => Value::from(u64::MAX),
        },
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(truth) => (*truth).into(),
        DeValue::Datetime(moment) => Value::String(moment.to_string()),
        DeValue::Array(entries) => entries
            .iter()
            .enumerate()
            .map(|(at, entry)| match &mut noted {
                None => plain(entry.get_ref(), None),
                Some((path, note)) => {
                    let path = format!("{path}[{at}]");
                    note(&path, entry.span().start);
                    plain(entry.get_ref(), Some((&path, *note)))
                }
            })
            .collect(),
        DeValue::Table(entries) => table(entries, noted),
    }
}

/// The line of a key, or of the nearest key around it.
fn line_of(lines: &BTreeMap<String, u32>, key: &str) -> Option<u32> {
    let mut key = key;
    loop {
        if let Some(line) = lines.get(key) {
            return Some(*line);
        }
        key = &key[..key.rfind(['.', '['])?];
    }
}

/// What of the tree a [`RawSite`] takes; the rest becomes problems. Only where the whole is refused is it taken apart,
/// key by key, to find every place that is wrong.
fn sound_part(value: Value, problems: &mut Vec<Problem>) -> RawSite {
    RawSite::deserialize(&value).unwrap_or_else(|_| {
        let sound = prune(&|value| value, value, "", problems).unwrap_or(Value::Null);
        RawSite::deserialize(sound).unwrap_or_default()
    })
}

/// The part of `value` that is taken where `place` puts it; none if nothing is.
fn prune(place: &dyn Fn(Value) -> Value, value: Value, path: &str, problems: &mut Vec<Problem>) -> Option<Value> {
    let refused = match RawSite::deserialize(place(value.clone())) {
        Ok(_) => return Some(value),
        Err(error) => error,
    };
    let known = problems.len();
    // A key that is unknown whatever it holds is one problem, not one for each thing in it.
    let unknown = |error: serde_json::Error| error.to_string().starts_with("unknown field");
    let value = if RawSite::deserialize(place(Value::Null)).is_err_and(unknown) { Value::Null } else { value };
    let sound = match value {
        Value::Object(entries) if !entries.is_empty() => {
            let mut sound = Map::new();
            for (key, entry) in entries {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let place = |value| place(Value::Object(Map::from_iter([(key.clone(), value)])));
                if let Some(entry) = prune(&place, entry, &inner, problems) {
                    sound.insert(key, entry);
                }
            }
            Some(Value::Object(sound))
        }
        Value::Array(entries) if !entries.is_empty() => {
            let place = |value| place(Value::Array(vec![value]));
            let prune_entry =
                |(at, entry)| prune(&place, entry, &format!("{path}[{at}]"), problems).unwrap_or_else(empty);
            Some(entries.into_iter().enumerate().map(prune_entry).collect())
        }
        _ => None,
    };
    if problems.len() == known {
        problems.push(Problem { key: path.to_owned(), line: None, message: plain_words(&refused.to_string()) });
        return None;
    }
    // A place is kept for what is wrong in a list, so that the paths of what follows stay true.
    sound.filter(|sound| RawSite::deserialize(place(sound.clone())).is_ok())
}

fn empty() -> Value {
    Value::Object(Map::new())
}

fn plain_words(message: &str) -> String {
    match message.strip_prefix("data did not match any variant of untagged enum") {
        Some(_) => "must be a word, or a list of texts".to_owned(),
        None => message.replace("unknown field", "unknown key"),
    }
}
