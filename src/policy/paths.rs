//! Paths of files (P5): one pure function, the same in the broker and at the endpoint. It says what a path is and which
//! entry of a list covers it; that the opened file is really there is the endpoint's to see.

use crate::{limits, site::value::ToolValue};
use serde::{Deserialize, Serialize};
use std::{fmt, iter};
use unicode_normalization::UnicodeNormalization;

/// How an endpoint reads paths.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Os {
    Linux,
    Macos,
    Windows,
}

impl Os {
    pub const ALL: [Self; 3] = [Self::Linux, Self::Macos, Self::Windows];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Macos => "macos",
            Self::Windows => "windows",
        }
    }

    /// What the endpoint declares itself to be; none where it has no files to ask for.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|os| os.name() == name)
    }

    const fn separator(self) -> char {
        match self {
            Self::Windows => '\\',
            Self::Linux | Self::Macos => '/',
        }
    }
}

macro_rules! refusals {
    ($($variant:ident $name:literal $text:literal),* $(,)?) => {
        /// Why a path is no path that may be asked for.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum PathRefusal { $(#[serde(rename = $name)] $variant),* }

        impl PathRefusal {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

refusals! {
    TooLong "too_long" "the path is too long",
    TooDeep "too_deep" "the path has too many components",
    Control "control_character" "the path has a control character",
    Bidirectional "bidirectional_character" "the path has a character that turns the direction of text",
    NotAbsolute "not_absolute" "the path is not absolute",
    DotComponent "dot_component" "`.` and `..` are refused, not resolved",
    DriveRelative "drive_relative" "a drive letter needs a `\\` after it",
    Device "device_name" "`\\\\?\\` and `\\\\.\\` names are refused",
    UncIncomplete "unc_incomplete" "a network path needs a server and a share",
    Stream "alternate_stream" "a `:` names a stream of a file",
    Reserved "reserved_name" "the name is reserved for a device",
    TrailingDotOrSpace "trailing_dot_or_space" "a name ends with a dot or a space",
    ShortName "short_name" "a short name may stand for another",
    Wildcard "wildcard" "a name has a character no name may have",
}

impl PathRefusal {
    /// A text that is no path at all, rather than a path that is not allowed (H-60, H-61, H-67).
    pub const fn is_malformed(self) -> bool {
        matches!(self, Self::TooLong | Self::TooDeep | Self::Control | Self::Bidirectional)
    }
}

impl fmt::Display for PathRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for PathRefusal {}

/// The canonical form: separators of the system, none repeated or trailing, composed characters where the system
/// compares without case. Case stays as given. What is canonical already stays as it is.
pub fn normalize(os: Os, path: &str) -> Result<String, PathRefusal> {
    bounded(path)?;
    match os {
        Os::Linux => unix(path),
        Os::Macos => unix(&path.nfc().collect::<String>()),
        Os::Windows => windows(&path.nfc().collect::<String>()),
    }
}

/// What the list says about a path, and which entry covers it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PathVerdict {
    pub normalized: Option<String>,
    pub allowed: bool,
    /// As the policy has it; `any` where everything is allowed.
    pub entry: Option<String>,
    /// `covered`, `any`, `not_covered`, `nothing_allowed`, `unc_not_listed`, or the name of a [`PathRefusal`].
    pub reason: String,
    pub refusal: Option<PathRefusal>,
}

/// Is `path` one that `allowed`, the value of a path tool, lets through?
pub fn check(os: Os, allowed: &ToolValue, path: &str) -> PathVerdict {
    let verdict = |normalized: Option<String>, entry: Option<&str>, reason: &str| PathVerdict {
        normalized,
        allowed: entry.is_some(),
        entry: entry.map(str::to_owned),
        reason: reason.to_owned(),
        refusal: None,
    };
    let normalized = match normalize(os, path) {
        Ok(normalized) => normalized,
        Err(refusal) => return PathVerdict { refusal: Some(refusal), ..verdict(None, None, refusal.name()) },
    };
    let unc = normalized.starts_with("\\\\");
    let entries: &[String] = match allowed {
        ToolValue::Any if unc && os == Os::Windows => return verdict(Some(normalized), None, "unc_not_listed"),
        ToolValue::Any => return verdict(Some(normalized), Some("any"), "any"),
        ToolValue::List(entries) => entries,
        ToolValue::Word(_) => &[],
    };
    let covering = entries.iter().find(|entry| normalize(os, entry).is_ok_and(|entry| covers(os, &entry, &normalized)));
    match covering {
        Some(entry) => verdict(Some(normalized), Some(entry), "covered"),
        None if entries.is_empty() => verdict(Some(normalized), None, "nothing_allowed"),
        None => verdict(Some(normalized), None, "not_covered"),
    }
}

/// What both values allow (I-P11): an entry stays where the other side covers it.
pub fn meet(mine: &ToolValue, theirs: &ToolValue) -> ToolValue {
    match (mine, theirs) {
        (mine, ToolValue::Any) => mine.clone(),
        (ToolValue::Any, theirs) => theirs.clone(),
        (ToolValue::List(mine), ToolValue::List(theirs)) => {
            let within = |entries: &[String], entry: &str| entries.iter().any(|outer| entry_covers(outer, entry));
            let mut both: Vec<String> = mine.iter().filter(|entry| within(theirs, entry)).cloned().collect();
            both.extend(theirs.iter().filter(|entry| within(mine, entry) && !mine.contains(entry)).cloned());
            ToolValue::List(both.into())
        }
        _ => ToolValue::List([].into()),
    }
}

/// An entry does not say which system it is for: the outer one must cover it on each that reads it.
fn entry_covers(outer: &str, inner: &str) -> bool {
    let mut readers = Os::ALL.into_iter().filter_map(|os| Some((os, normalize(os, inner).ok()?))).peekable();
    readers.peek().is_some()
        && readers.all(|(os, inner)| normalize(os, outer).is_ok_and(|outer| covers(os, &outer, &inner)))
}

/// Both canonical: is `path` the entry, or below it?
fn covers(os: Os, entry: &str, path: &str) -> bool {
    let separator = os.separator();
    // A network path is never below a drive, nor the other way round: they differ in their first character.
    let mut rest = path.chars();
    for expected in entry.chars() {
        match rest.next() {
            Some(found) if same(os, expected, found) => {}
            _ => return false,
        }
    }
    // A root ends with its separator, another entry must be followed by one.
    entry.ends_with(separator) || rest.next().is_none_or(|next| next == separator)
}

fn same(os: Os, one: char, other: char) -> bool {
    one == other || (os != Os::Linux && upper(one) == upper(other))
}

/// Character by character, as file systems do. A letter outside ASCII never becomes one of ASCII: a long s or a dotless
/// i names another file where the system keeps them apart, and a list must not be wider than it reads.
fn upper(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) if letter.is_ascii() || !single.is_ascii() => single,
        _ => letter,
    }
}

/// Could it be a path at all, however it is read?
pub fn bounded(path: &str) -> Result<(), PathRefusal> {
    if path.len() > limits::PATH_BYTES_MAX {
        return Err(PathRefusal::TooLong);
    }
    for character in path.chars() {
        if character.is_control() {
            return Err(PathRefusal::Control);
        }
        if matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            return Err(PathRefusal::Bidirectional);
        }
    }
    Ok(())
}

fn unix(path: &str) -> Result<String, PathRefusal> {
    let rest = path.strip_prefix('/').ok_or(PathRefusal::NotAbsolute)?;
    joined("/", rest.split('/'), "/")
}

fn windows(path: &str) -> Result<String, PathRefusal> {
    let path = path.replace('/', "\\");
    if let Some(rest) = path.strip_prefix("\\\\") {
        let mut names = rest.split('\\');
        let server = names.next().unwrap_or_default();
        if matches!(server, "?" | ".") {
            return Err(PathRefusal::Device);
        }
        let mut names = names.skip_while(|name| name.is_empty()).peekable();
        if server.is_empty() || names.peek().is_none() {
            return Err(PathRefusal::UncIncomplete);
        }
        return joined("\\\\", iter::once(server).chain(names), "\\").and_then(windows_names);
    }
    let mut start = path.chars();
    match (start.next(), start.next(), start.next()) {
        (Some(drive), Some(':'), Some('\\')) if drive.is_ascii_alphabetic() => {
            joined(&path[..3], path[3..].split('\\'), "\\").and_then(windows_names)
        }
        (Some(drive), Some(':'), _) if drive.is_ascii_alphabetic() => Err(PathRefusal::DriveRelative),
        _ => Err(PathRefusal::NotAbsolute),
    }
}

/// Puts the names together again, without empty ones.
fn joined<'a>(root: &str, names: impl Iterator<Item = &'a str>, separator: &str) -> Result<String, PathRefusal> {
    let mut path = root.to_owned();
    let mut depth = 0;
    for name in names.filter(|name| !name.is_empty()) {
        if matches!(name, "." | "..") {
            return Err(PathRefusal::DotComponent);
        }
        depth += 1;
        if depth > limits::PATH_COMPONENTS_MAX {
            return Err(PathRefusal::TooDeep);
        }
        if depth > 1 {
            path.push_str(separator);
        }
        path.push_str(name);
    }
    // Composing characters may have made it longer.
    if path.len() > limits::PATH_BYTES_MAX { Err(PathRefusal::TooLong) } else { Ok(path) }
}

/// Refuses what Windows would read as something else than a plain name.
fn windows_names(path: String) -> Result<String, PathRefusal> {
    let names = match path.strip_prefix("\\\\") {
        Some(rest) => rest,
        None => &path[3..],
    };
    for name in names.split('\\').filter(|name| !name.is_empty()) {
        if name.contains(':') {
            return Err(PathRefusal::Stream);
        }
        if name.contains(['*', '?', '<', '>', '"', '|']) {
            return Err(PathRefusal::Wildcard);
        }
        if name.ends_with(['.', ' ']) {
            return Err(PathRefusal::TrailingDotOrSpace);
        }
        if is_reserved(name) {
            return Err(PathRefusal::Reserved);
        }
        if is_short(name) {
            return Err(PathRefusal::ShortName);
        }
    }
    Ok(path)
}

/// `CON`, `aux.txt`, `COM¹`: a device, whatever follows the first dot.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ').to_ascii_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$") {
        return true;
    }
    let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")).unwrap_or_default();
    let mut digits = port.chars();
    matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
}

/// `^[^.]{1,6}~[0-9]+(\.[^.]{0,3})?$`: what Windows makes up for long names.
fn is_short(name: &str) -> bool {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    // The last tilde: those before it belong to the stem.
    let Some((head, number)) = stem.rsplit_once('~') else { return false };
    (1..=6).contains(&head.chars().count())
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && extension.chars().count() <= 3
        && !extension.contains('.')
}
