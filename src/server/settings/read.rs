//! Merges the sources and reads each key with its type, noting what is wrong and going on.

use super::{KEYS, Problem, Problems, Sources};
use config::{File, FileFormat, Map, Source, Value, ValueKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
};

pub(super) const ENVIRONMENT_PREFIX: &str = "EQUIPOISE_";
/// Variables that commands read and that are no settings.
const NOT_SETTINGS: &[&str] = &[
    "EQUIPOISE_PASSWORD",
    "EQUIPOISE_CODE",
    "EQUIPOISE_NEW_PASSWORD",
    "EQUIPOISE_KEY",
    "EQUIPOISE_INVITE",
    "EQUIPOISE_SERVER",
    "EQUIPOISE_CONFIG",
    "EQUIPOISE_SETUP_TOKEN",
];

pub(super) struct Reader {
    values: BTreeMap<String, Value>,
    problems: Vec<Problem>,
}

impl Reader {
    /// Fails at once only where a file cannot be read or is no TOML: then its keys are not known.
    pub(super) fn of(sources: &Sources) -> Result<Self, Problems> {
        let mut reader = Self { values: defaults(), problems: Vec::new() };
        if let Some(file) = &sources.file {
            let origin = file.display().to_string();
            let text = std::fs::read_to_string(file).map_err(|e| whole(&origin, e.to_string()))?;
            reader.file(&origin, &text)?;
        }
        for (name, value) in &sources.environment {
            if NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let key = key.to_ascii_lowercase().replace("__", ".");
            reader.put(key, &format!("environment {name}"), ValueKind::String(value.clone()));
        }
        for (key, value) in &sources.flags {
            reader.put(key.clone(), "flag", ValueKind::String(value.clone()));
        }
        Ok(reader)
    }

    /// What a file says. `[log]` with `level`, and `"log.level"` at the top, are one key: both at once would leave it to
    /// chance which holds.
    pub(super) fn file(&mut self, origin: &str, text: &str) -> Result<(), Problems> {
        let mut given = BTreeSet::new();
        for (key, value) in flat(text).map_err(|message| whole(origin, message))? {
            if given.insert(key.clone()) {
                self.put(key, origin, value.kind);
            } else {
                let message = "it is given twice, under two spellings; leave one".to_owned();
                self.problems.push(Problem { key, origin: origin.to_owned(), message });
            }
        }
        Ok(())
    }

    fn put(&mut self, key: String, origin: &str, kind: ValueKind) {
        let origin = origin.to_owned();
        if let Some(value) = self.values.get_mut(&key) {
            *value = Value::new(Some(&origin), kind);
            return;
        }
        let message = match nearest(&key) {
            Some(near) => format!("there is no such setting; did you mean {near}?"),
            None => "there is no such setting".to_owned(),
        };
        self.problems.push(Problem { key, origin, message });
    }

    pub(super) fn problem(&mut self, key: &str, message: String) {
        let origin = self.values.get(key).and_then(Value::origin).unwrap_or_default().to_owned();
        self.problems.push(Problem { key: key.to_owned(), origin, message });
    }

    fn value(&self, key: &str) -> Value {
        self.values.get(key).cloned().expect("every key that is read stands in KEYS")
    }

    /// The value, or a problem that says what was expected.
    fn take<T>(&mut self, key: &str, expected: &str, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let value = self.value(key);
        let given = value.kind.to_string();
        let read = read(value);
        if read.is_none() {
            self.problem(key, format!("{given:?} is not {expected}"));
        }
        read
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.take(key, "a text", |value| match value.kind {
            ValueKind::String(text) => Some(text),
            _ => None,
        })
    }

    /// None also where the text is empty.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.text(key).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    pub(super) fn bool(&mut self, key: &str) -> Option<bool> {
        self.take(key, "true or false", |value| match value.kind {
            ValueKind::Boolean(given) => Some(given),
            ValueKind::String(text) => text.parse().ok(),
            _ => None,
        })
    }

    pub(super) fn integer(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.take(key, &expected, |value| {
            let given = match value.kind {
                ValueKind::I64(given) => u64::try_from(given).ok()?,
                ValueKind::String(text) => text.parse().ok()?,
                _ => return None,
            };
            range.contains(&given).then_some(given)
        })
    }

    pub(super) fn parse<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        self.take(key, expected, |value| match value.kind {
            ValueKind::String(text) => text.parse().ok(),
            _ => None,
        })
    }

    pub(super) fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        self.take(key, &format!("one of {}", names.join(", ")), |value| match value.kind {
            ValueKind::String(text) => words.iter().find(|(name, _)| *name == text).map(|(_, word)| *word),
            _ => None,
        })
    }

    /// Texts; in the environment and in flags divided by commas.
    pub(super) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        self.take(key, "a list of texts", |value| match value.kind {
            ValueKind::Array(values) => values
                .into_iter()
                .map(|value| match value.kind {
                    ValueKind::String(text) => Some(text),
                    _ => None,
                })
                .collect(),
            ValueKind::String(text) => {
                Some(text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect())
            }
            _ => None,
        })
    }

    pub(super) fn finish(self) -> Result<(), Problems> {
        if self.problems.is_empty() { Ok(()) } else { Err(Problems(self.problems)) }
    }
}

/// A problem of all that comes from there.
fn whole(origin: &str, message: String) -> Problems {
    Problems(vec![Problem { key: String::new(), origin: origin.to_owned(), message }])
}

fn defaults() -> BTreeMap<String, Value> {
    let text: String = KEYS.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    flat(&text).expect("the defaults are TOML").into_iter().collect()
}

/// The leaves of a TOML text by their dotted keys.
fn flat(text: &str) -> Result<Vec<(String, Value)>, String> {
    // As it stands: merged into a `Config`, of two spellings of one key one would be gone.
    let table = File::from_str(text, FileFormat::Toml).collect().map_err(|e| e.to_string())?;
    let mut leaves = Vec::new();
    flatten("", table, &mut leaves);
    Ok(leaves)
}

fn flatten(before: &str, table: Map<String, Value>, leaves: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let key = if before.is_empty() { name } else { format!("{before}.{name}") };
        match value.kind {
            ValueKind::Table(inner) => flatten(&key, inner, leaves),
            _ => leaves.push((key, value)),
        }
    }
}

/// The key that was probably meant: the same last word, or nearly the same letters.
fn nearest(key: &str) -> Option<&'static str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    KEYS.iter()
        .map(|(known, _)| *known)
        .find(|known| last(known) == last(key))
        .or_else(|| KEYS.iter().map(|(known, _)| *known).find(|known| one_edit(known, key)))
}

/// One letter changed, missing or added.
fn one_edit(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let same = short.bytes().zip(long.bytes()).take_while(|(a, b)| a == b).count();
    match long.len() - short.len() {
        0 => short.as_bytes().get(same + 1..) == long.as_bytes().get(same + 1..),
        1 => short.as_bytes().get(same..) == long.as_bytes().get(same + 1..),
        _ => false,
    }
}
