//! Verbs of the registry (P3.12, W1.3): what may be asked of which key and value, and how long their names may be. What a
//! verb does is the endpoint's; one that is not known reaches none.

use super::paths;
use crate::limits;

/// A request's texts, as they came.
pub(super) struct Asked<'a> {
    pub verb: Option<&'a str>,
    pub key: Option<&'a str>,
    pub name: Option<&'a str>,
    pub value: Option<&'a str>,
    pub kind: Option<&'a str>,
}

/// Where keys begin, in full and as people write it.
const ROOTS: &[&str] = &[
    "HKEY_LOCAL_MACHINE",
    "HKLM",
    "HKEY_CURRENT_USER",
    "HKCU",
    "HKEY_CLASSES_ROOT",
    "HKCR",
    "HKEY_USERS",
    "HKU",
    "HKEY_CURRENT_CONFIG",
    "HKCC",
];

/// Is this a request that an endpoint may be asked? Otherwise the argument that is wrong, and how it should be.
pub(super) fn check(asked: &Asked<'_>) -> Result<(), (&'static str, String)> {
    let wrong = |arg: &'static str, how: &str| Err((arg, how.to_owned()));
    let verb = match asked.verb {
        Some(verb @ ("read" | "write" | "create" | "delete" | "search" | "export")) => verb,
        _ => return wrong("verb", "`read`, `write`, `create`, `delete`, `search` or `export`"),
    };
    let below = key(asked.key.unwrap_or_default()).map_err(|how| ("key", how))?;
    match (verb, asked.name) {
        ("write", None) => return wrong("name", "which value is written; the empty name is the key's own"),
        ("read" | "write" | "delete", Some(name)) => self::name(name).map_err(|how| ("name", how))?,
        (_, Some(_)) => return wrong("name", "of a value that is read, written or deleted, and only there"),
        (_, None) => {}
    }
    // To make or delete a key it has to lie below a root.
    if !below && (verb == "create" || (verb == "delete" && asked.name.is_none())) {
        return wrong("key", "a key below one of the roots");
    }
    match (verb, asked.value) {
        ("write", Some(value)) => typed(asked.kind.unwrap_or("string"), value),
        ("search", Some("")) => wrong("value", "what is looked for"),
        ("search", Some(_)) => untyped(asked.kind),
        ("write" | "search", None) | (_, Some(_)) => wrong("value", "what is written or looked for, and only there"),
        (_, None) => untyped(asked.kind),
    }
}

/// Does this name a key below a root, or only a root?
fn key(key: &str) -> Result<bool, String> {
    let parts: Vec<&str> = key.split('\\').collect();
    if key.len() > limits::REGISTRY_KEY_BYTES_MAX || parts.len() > limits::REGISTRY_DEPTH_MAX {
        let (bytes, deep) = (limits::REGISTRY_KEY_BYTES_MAX, limits::REGISTRY_DEPTH_MAX);
        return Err(format!("at most {bytes} bytes and {deep} parts"));
    }
    paths::bounded(key).map_err(|refusal| refusal.to_string())?;
    if !ROOTS.iter().any(|root| root.eq_ignore_ascii_case(parts[0])) {
        return Err("a key from its root on, as `HKLM\\SOFTWARE\\Example`".to_owned());
    }
    let whole = |part: &&str| !part.is_empty() && part.chars().count() <= limits::REGISTRY_PART_CHARS_MAX;
    if !parts.iter().all(whole) {
        return Err(format!("parts of 1 to {} characters between `\\`", limits::REGISTRY_PART_CHARS_MAX));
    }
    Ok(parts.len() > 1)
}

fn name(name: &str) -> Result<(), String> {
    if name.len() > limits::REGISTRY_NAME_BYTES_MAX {
        return Err(format!("at most {} bytes", limits::REGISTRY_NAME_BYTES_MAX));
    }
    paths::bounded(name).map_err(|refusal| refusal.to_string())
}

fn typed(kind: &str, value: &str) -> Result<(), (&'static str, String)> {
    let sound = match kind {
        "string" | "expand_string" | "multi_string" => true,
        "dword" => value.parse::<u32>().is_ok(),
        "qword" => value.parse::<u64>().is_ok(),
        "binary" => value.len().is_multiple_of(2) && value.bytes().all(|byte| byte.is_ascii_hexdigit()),
        _ => {
            let kinds = "`string`, `expand_string`, `multi_string`, `dword`, `qword` or `binary`";
            return Err(("type", kinds.to_owned()));
        }
    };
    if sound { Ok(()) } else { Err(("value", format!("a {kind}: a number in digits, or bytes in hexadecimal"))) }
}

fn untyped(kind: Option<&str>) -> Result<(), (&'static str, String)> {
    match kind {
        None => Ok(()),
        Some(_) => Err(("type", "of what is written, and only there".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `verb key name=… value=… type=…`; the argument that is wrong, if one is.
    fn wrong(words: &[&str]) -> Option<&'static str> {
        let of = |name: &str| {
            words[2..].iter().find_map(|word| word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
        };
        let (verb, key) = (words.first().copied(), words.get(1).copied());
        check(&Asked { verb, key, name: of("name"), value: of("value"), kind: of("type") }).err().map(|(arg, _)| arg)
    }

    const KEY: &str = "HKLM\\SOFTWARE\\Example";

    #[test]
    fn bu_124_p3_12_known_verbs_on_keys_and_values_pass() {
        for words in [
            &["read", "HKEY_LOCAL_MACHINE"][..],
            &["read", KEY],
            &["read", KEY, "name=Version"],
            &["read", KEY, "name="],
            &["create", KEY],
            &["delete", KEY],
            &["delete", "hkcu", "name=Leftover"],
            &["write", KEY, "name=", "value=text of some kind"],
            &["write", KEY, "name=Port", "value=4294967295", "type=dword"],
            &["write", KEY, "name=Blob", "value=00fF", "type=binary"],
            &["search", KEY, "value=acme"],
            &["export", KEY],
        ] {
            assert_eq!(wrong(words), None, "{words:?}");
        }
    }

    #[test]
    fn bu_124_w1_3_whatever_else_is_asked_is_malformed_and_says_what() {
        for (arg, words) in [
            ("verb", &["format", KEY][..]),
            ("verb", &["import", KEY, "value=[HKLM]"]),
            ("key", &["read", "SOFTWARE\\Example"]),
            ("key", &["read", ""]),
            ("key", &["read", "HKLM\\\\Example"]),
            ("key", &["read", "HKLM\\Example\\"]),
            ("key", &["read", "HKLM\\a\u{7}b"]),
            ("key", &["create", "HKLM"]),
            ("key", &["delete", "HKLM"]),
            ("name", &["write", KEY, "value=x"]),
            ("name", &["create", KEY, "name=x"]),
            ("name", &["read", KEY, "name=a\u{202e}b"]),
            ("value", &["write", KEY, "name=x"]),
            ("value", &["write", KEY, "name=x", "value=4294967296", "type=dword"]),
            ("value", &["write", KEY, "name=x", "value=-1", "type=qword"]),
            ("value", &["write", KEY, "name=x", "value=0g", "type=binary"]),
            ("value", &["read", KEY, "value=x"]),
            ("value", &["search", KEY]),
            ("value", &["search", KEY, "value="]),
            ("type", &["write", KEY, "name=x", "value=x", "type=link"]),
            ("type", &["read", KEY, "type=dword"]),
        ] {
            assert_eq!(wrong(words), Some(arg), "{words:?}");
        }
        let nothing = Asked { verb: None, key: None, name: None, value: None, kind: None };
        assert_eq!(check(&nothing).unwrap_err().0, "verb");
    }

    #[test]
    fn bu_124_names_of_keys_and_values_are_bounded() {
        let part = "x".repeat(limits::REGISTRY_PART_CHARS_MAX);
        assert_eq!(wrong(&["read", &format!("HKLM\\{part}")]), None);
        assert_eq!(wrong(&["read", &format!("HKLM\\{part}x")]), Some("key"));
        assert_eq!(wrong(&["read", &format!("HKLM{}", "\\a".repeat(limits::REGISTRY_DEPTH_MAX - 1))]), None);
        assert_eq!(wrong(&["read", &format!("HKLM{}", "\\a".repeat(limits::REGISTRY_DEPTH_MAX))]), Some("key"));
        let long = format!("HKLM{}", format!("\\{part}").repeat(limits::REGISTRY_KEY_BYTES_MAX / part.len()));
        assert_eq!(wrong(&["read", &long]), Some("key"));
        let name = format!("name={}", "x".repeat(limits::REGISTRY_NAME_BYTES_MAX));
        assert_eq!(wrong(&["read", KEY, &name]), None);
        assert_eq!(wrong(&["read", KEY, &format!("{name}x")]), Some("name"));
    }
}
