//! Paths (P5): hostile names by their number, and a slow model that says the same in other words.

use equipoise::policy::{
    ToolValue,
    paths::{Os, Os::*, PathRefusal, check, meet, normalize},
};
use proptest::prelude::*;

fn list(entries: &[&str]) -> ToolValue {
    ToolValue::List(entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>().into())
}

fn allowed(os: Os, entries: &[&str], path: &str) -> bool {
    check(os, &list(entries), path).allowed
}

fn refused(os: Os, path: &str) -> PathRefusal {
    let refusal = normalize(os, path).expect_err(path);
    for value in [ToolValue::Any, list(&["/", "C:\\", "\\\\host\\share"])] {
        let verdict = check(os, &value, path);
        assert_eq!((verdict.allowed, verdict.normalized, verdict.refusal), (false, None, Some(refusal)), "{path}");
    }
    refusal
}

#[test]
fn p5_an_entry_covers_itself_and_everything_below_it_and_nothing_else() {
    let home = ["/home/ana"];
    assert!(allowed(Linux, &home, "/home/ana"));
    assert!(allowed(Linux, &home, "/home/ana/notes/a.txt"));
    assert!(!allowed(Linux, &home, "/home/anabel"));
    assert!(!allowed(Linux, &home, "/home"));
    assert!(!allowed(Linux, &home, "/"));
    assert!(allowed(Linux, &["/"], "/etc/passwd"));
    assert!(allowed(Windows, &["C:\\"], "c:\\x") && !allowed(Windows, &["C:\\"], "D:\\x"));
}

#[test]
fn p5_any_allows_all_and_an_empty_list_nothing() {
    let any = check(Linux, &ToolValue::Any, "/etc/passwd");
    assert_eq!((any.allowed, any.entry.as_deref(), any.reason.as_str()), (true, Some("any"), "any"));
    let none = check(Linux, &list(&[]), "/etc/passwd");
    assert_eq!((none.allowed, none.entry, none.reason.as_str()), (false, None, "nothing_allowed"));
}

#[test]
fn p5_repeated_and_trailing_separators_collapse() {
    assert_eq!(normalize(Linux, "//home///ana//").as_deref(), Ok("/home/ana"));
    assert_eq!(normalize(Linux, "///").as_deref(), Ok("/"));
    assert_eq!(normalize(Windows, "C:\\\\Users//ana\\").as_deref(), Ok("C:\\Users\\ana"));
    assert_eq!(normalize(Windows, "C:/").as_deref(), Ok("C:\\"));
    assert_eq!(normalize(Windows, "//host/share//a/").as_deref(), Ok("\\\\host\\share\\a"));
    assert_eq!(normalize(Linux, "/a\\b").as_deref(), Ok("/a\\b"), "a backslash is a letter there");
    assert!(allowed(Linux, &["/home//ana/"], "/home/ana/x"), "entries pass through the same function");
}

#[test]
fn p5_linux_compares_exactly_and_the_others_without_case() {
    assert!(!allowed(Linux, &["/home/ana"], "/home/Ana/x"));
    assert!(allowed(Macos, &["/Users/ana"], "/users/ANA/x"));
    assert!(allowed(Windows, &["C:\\Users\\Ana"], "c:/users/ana/x"));
    assert!(!allowed(Windows, &["C:\\Users"], "C:\\U\u{17f}ers\\x"), "a long s is another file");
}

#[test]
fn h_57_nothing_climbs_out_with_dots() {
    for path in ["/a/../b", "/a/..", "/../x", "/a/./b", "/.", "/a/b/../../../etc"] {
        assert_eq!(refused(Linux, path), PathRefusal::DotComponent);
        assert_eq!(refused(Macos, path), PathRefusal::DotComponent);
    }
    for path in ["C:\\a\\..\\b", "C:/a/../../x", "C:\\a\\..", "\\\\host\\share\\..\\other"] {
        assert_eq!(refused(Windows, path), PathRefusal::DotComponent);
    }
    for path in ["../x", "..\\x", "a/../../x", "....//", ""] {
        assert_eq!(refused(Linux, path), PathRefusal::NotAbsolute);
        assert_eq!(refused(Windows, path), PathRefusal::NotAbsolute);
    }
    assert_eq!(refused(Windows, "C:\\a\\....\\\\b"), PathRefusal::TrailingDotOrSpace);
    assert!(!allowed(Linux, &["/home/ana"], "/home/....//ana"), "four dots are a name like any other");
}

#[test]
fn h_58_an_absolute_path_outside_another_drive_and_a_drive_relative_path() {
    let users = ["C:\\Users"];
    assert!(!allowed(Windows, &users, "C:\\Windows\\system32"));
    assert!(!allowed(Windows, &users, "D:\\Users\\ana"));
    assert_eq!(refused(Windows, "C:foo"), PathRefusal::DriveRelative);
    assert_eq!(refused(Windows, "C:"), PathRefusal::DriveRelative);
    assert_eq!(refused(Windows, "\\Users\\ana"), PathRefusal::NotAbsolute);
    assert!(!allowed(Linux, &["/srv"], "/etc/passwd"));
}

#[test]
fn h_59_network_and_device_names() {
    for path in ["\\\\?\\C:\\x", "\\\\.\\PhysicalDrive0", "//?/C:/x", "//./pipe/x", "\\\\?\\UNC\\host\\share"] {
        assert_eq!(refused(Windows, path), PathRefusal::Device, "{path}");
    }
    assert_eq!(refused(Windows, "\\??\\C:\\x"), PathRefusal::NotAbsolute);
    for path in ["\\\\host", "\\\\", "\\\\host\\", "\\\\\\host\\share"] {
        assert_eq!(refused(Windows, path), PathRefusal::UncIncomplete, "{path}");
    }
    let share = "\\\\host\\share\\x";
    assert!(!allowed(Windows, &["C:\\"], share));
    assert_eq!(check(Windows, &ToolValue::Any, share).reason, "unc_not_listed");
    assert!(allowed(Windows, &["\\\\HOST\\share"], share));
    assert!(!allowed(Windows, &["\\\\host\\share"], "\\\\host\\shared\\x"));
    assert!(!allowed(Windows, &["\\\\host\\share"], "\\host\\share\\x"));
}

#[test]
fn h_60_percent_signs_are_letters() {
    assert_eq!(normalize(Linux, "/a/%2e%2e%2fb").as_deref(), Ok("/a/%2e%2e%2fb"));
    assert_eq!(normalize(Windows, "C:\\%252e%252e").as_deref(), Ok("C:\\%252e%252e"));
    assert!(allowed(Linux, &["/a"], "/a/%2e%2e/b") && !allowed(Linux, &["/a"], "/%61/x"));
    assert!(
        String::from_utf8(b"/a/\xc0\xae\xc0\xae/b".to_vec()).is_err(),
        "an overlong dot is no text and never gets here"
    );
}

#[test]
fn h_61_control_and_bidirectional_characters() {
    for path in ["/a\0b", "/a\nb", "/a\u{7f}b", "/a\u{85}b", "/a\u{1b}[0m"] {
        assert_eq!(refused(Linux, path), PathRefusal::Control);
        assert!(refused(Linux, path).is_malformed());
    }
    for path in ["/a\u{202e}txt.exe", "/a\u{2066}b", "/a\u{200f}b", "/a\u{61c}b"] {
        assert_eq!(refused(Macos, path), PathRefusal::Bidirectional);
        assert!(refused(Macos, path).is_malformed());
    }
}

#[test]
fn h_62_reserved_names_and_trailing_dots_and_spaces() {
    for name in
        ["CON", "con", "aux.txt", "NUL.tar.gz", "COM1", "com9.log", "COM¹", "LPT³.x", "PRN", "CON .txt", "CONIN$"]
    {
        assert_eq!(refused(Windows, &format!("C:\\x\\{name}")), PathRefusal::Reserved, "{name}");
        assert_eq!(refused(Windows, &format!("C:\\{name}\\x")), PathRefusal::Reserved, "{name}");
    }
    for name in ["CONSOLE", "COM10", "COMX", "aux2", "LPT"] {
        assert!(normalize(Windows, &format!("C:\\x\\{name}")).is_ok(), "{name}");
    }
    for name in ["a.", "a ", "a. .", "a...", " "] {
        assert_eq!(refused(Windows, &format!("C:\\x\\{name}")), PathRefusal::TrailingDotOrSpace, "{name}");
        assert_eq!(refused(Windows, &format!("C:\\{name}\\x")), PathRefusal::TrailingDotOrSpace, "{name}");
    }
}

#[test]
fn h_63_streams_of_a_file() {
    for path in ["C:\\a\\file.txt:evil", "C:\\a::$DATA", "C:\\a:b\\c", "\\\\host\\share\\a:b", "C:\\C:\\x"] {
        assert_eq!(refused(Windows, path), PathRefusal::Stream, "{path}");
    }
    assert!(normalize(Linux, "/a:b").is_ok());
}

#[test]
fn h_64_short_names() {
    for name in ["PROGRA~1", "a~1.txt", "A~123.C", "abc~1~2", "ÄÖ~1"] {
        assert_eq!(refused(Windows, &format!("C:\\{name}\\x")), PathRefusal::ShortName, "{name}");
    }
    for name in ["~1", "abcdefg~1", "a~", "a~b", "a~1.text", "a~1.b.c"] {
        assert!(normalize(Windows, &format!("C:\\{name}\\x")).is_ok(), "{name}");
    }
    for name in ["a*", "?", "a<b", "a>b", "a\"b", "a|b"] {
        assert_eq!(refused(Windows, &format!("C:\\{name}")), PathRefusal::Wildcard, "{name}");
    }
}

#[test]
fn h_65_case_and_composition_get_the_same_answer() {
    let entries = ["C:\\Caf\u{e9}"];
    for path in ["C:\\CAF\u{c9}\\x", "c:\\cafe\u{301}\\x", "C:\\CAFE\u{301}\\x"] {
        assert!(allowed(Windows, &entries, path), "{path}");
        assert!(!allowed(Windows, &["C:\\Cafe"], path), "{path}");
        assert!(allowed(Macos, &["/Caf\u{e9}"], &path[2..].replace('\\', "/")), "{path}");
    }
    assert!(allowed(Windows, &["C:\\Cafe\u{301}"], "C:\\CAF\u{c9}"), "entries are composed as paths are");
    assert!(!allowed(Linux, &["/caf\u{e9}"], "/cafe\u{301}"), "two names there");
}

#[test]
fn h_66_a_longer_name_is_another_place() {
    assert!(!allowed(Windows, &["C:\\Support"], "C:\\SupportEvil\\x"));
    assert!(!allowed(Linux, &["/srv/support"], "/srv/support-old"));
    assert!(!allowed(Linux, &["/srv/support/"], "/srv/support-old"));
}

#[test]
fn h_67_long_and_deep_paths() {
    assert_eq!(refused(Linux, &format!("/{}", "a".repeat(40_000))), PathRefusal::TooLong);
    assert_eq!(refused(Linux, &"/a".repeat(129)), PathRefusal::TooDeep);
    assert_eq!(refused(Windows, &format!("C:{}", "\\a".repeat(2_000))), PathRefusal::TooDeep);
    assert!(normalize(Linux, &"/a".repeat(128)).is_ok());
    assert!(normalize(Linux, &format!("/{}", "a".repeat(4_095))).is_ok());
    assert!(PathRefusal::TooLong.is_malformed() && PathRefusal::TooDeep.is_malformed());
    // Composing may make a text longer: three bytes of U+0958 become six.
    assert_eq!(refused(Macos, &format!("/{}", "\u{958}".repeat(1_300))), PathRefusal::TooLong);
}

#[test]
fn h_71_both_ends_of_a_rename_are_checked_alike() {
    let within = |from: &str, to: &str| allowed(Linux, &["/srv/in"], from) && allowed(Linux, &["/srv/in"], to);
    assert!(within("/srv/in/a", "/srv/in/b"));
    assert!(!within("/srv/in/a", "/srv/out/b") && !within("/srv/out/a", "/srv/in/b"));
}

#[test]
fn i_p11_the_meet_of_two_lists_allows_what_both_allow() {
    let both = meet(&list(&["/home", "C:\\a"]), &list(&["/home/ana", "/srv", "c:/A/b"]));
    assert_eq!(both, list(&["/home/ana", "c:/A/b"]));
    assert_eq!(meet(&list(&["/"]), &list(&["//host/share"])), list(&[]), "a network path elsewhere");
    assert_eq!(meet(&ToolValue::Any, &list(&["/a"])), list(&["/a"]));
    assert_eq!(meet(&list(&["/a"]), &list(&["/b"])), list(&[]));
}

// ---- against a model ------------------------------------------------------------------------------------------------

/// The names of a path, folded as the system compares them, with its root in front; none where it is refused. Written
/// for clearness, component by component, with none of the code it is compared with.
fn model(os: Os, path: &str) -> Option<Vec<String>> {
    use unicode_normalization::UnicodeNormalization;
    let path: String = if os == Linux { path.to_owned() } else { path.nfc().collect() };
    let bad = |c: char| {
        c.is_control()
            || "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}"
                .contains(c)
    };
    if path.len() > 4096 || path.chars().any(bad) {
        return None;
    }
    let separators: &[char] = if os == Windows { &['/', '\\'] } else { &['/'] };
    let (root, rest) = if os != Windows {
        ("/".to_owned(), path.strip_prefix('/')?.to_owned())
    } else {
        let letters: Vec<char> = path.chars().collect();
        let is_separator = |at: usize| letters.get(at).is_some_and(|letter| separators.contains(letter));
        if is_separator(0) && is_separator(1) && !is_separator(2) {
            let rest: String = letters[2..].iter().collect();
            let names: Vec<&str> = rest.split(separators).filter(|name| !name.is_empty()).collect();
            if names.len() < 2 || ["?", "."].contains(&names[0]) {
                return None;
            }
            ("\\\\".to_owned(), rest)
        } else {
            let drive = letters.first().filter(|letter| letter.is_ascii_alphabetic())?;
            if letters.get(1) != Some(&':') || !is_separator(2) {
                return None;
            }
            (drive.to_string(), letters[3..].iter().collect())
        }
    };
    let fold = |name: &str| -> String {
        let upper = |letter: char| {
            let upper: Vec<char> = letter.to_uppercase().collect();
            if upper.len() == 1 && (letter.is_ascii() || !upper[0].is_ascii()) { upper[0] } else { letter }
        };
        if os == Linux { name.to_owned() } else { name.chars().map(upper).collect() }
    };
    let mut names = vec![fold(&root)];
    for name in rest.split(separators).filter(|name| !name.is_empty()) {
        if name == "." || name == ".." || names.len() > 128 {
            return None;
        }
        if os == Windows {
            let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_uppercase();
            let mut devices: Vec<String> =
                ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"].map(str::to_owned).to_vec();
            for number in "0123456789¹²³".chars() {
                devices.push(format!("COM{number}"));
                devices.push(format!("LPT{number}"));
            }
            if name.contains([':', '*', '?', '<', '>', '"', '|'])
                || name.ends_with(['.', ' '])
                || devices.contains(&stem)
                || short(name)
            {
                return None;
            }
        }
        names.push(fold(name));
    }
    Some(names)
}

/// Every way to cut a name into head, tilde, digits and extension.
fn short(name: &str) -> bool {
    let letters: Vec<char> = name.chars().collect();
    (1..=6).any(|head| {
        if letters.len() <= head || letters[..head].contains(&'.') || letters[head] != '~' {
            return false;
        }
        let rest = &letters[head + 1..];
        let digits = rest.iter().take_while(|letter| letter.is_ascii_digit()).count();
        let extension = &rest[digits..];
        digits > 0
            && (extension.is_empty() || (extension[0] == '.' && extension.len() <= 4 && !extension[1..].contains(&'.')))
    })
}

fn model_allows(os: Os, entries: &[String], path: &str) -> bool {
    let Some(names) = model(os, path) else { return false };
    entries.iter().filter_map(|entry| model(os, entry)).any(|entry| names.starts_with(&entry))
}

/// Paths made of what is most likely to be misread.
fn hostile() -> impl Strategy<Value = String> {
    let root = prop::sample::select(vec![
        "/",
        "C:\\",
        "c:/",
        "\\\\host\\share",
        "//HOST/share",
        "C:",
        "",
        "\\",
        "\\\\?\\",
        "/a",
    ]);
    let name = prop::sample::select(vec![
        "a", "A", "ab", "b", "..", ".", "....", "a.", "a ", "con", "COM¹.x", "a:b", "PROGRA~1", "é", "e\u{301}", "É",
        "ſ", "s", "%2e%2e", "*", "a~1.tx", "ß", "ǅ", "K", "\u{212a}", "\u{202e}", "\n", "", "LPT1", "a b",
    ]);
    let separator = prop::sample::select(vec!["/", "\\", "//", "\\\\"]);
    (root, prop::collection::vec((separator, name), 0..5)).prop_map(|(root, names)| {
        names.into_iter().fold(root.to_owned(), |path, (separator, name)| path + separator + name)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i_p9_the_answer_is_the_models(entries in prop::collection::vec(hostile(), 0..4), path in hostile()) {
        for os in Os::ALL {
            prop_assert_eq!(normalize(os, &path).is_ok(), model(os, &path).is_some(), "{:?} {:?}", os, &path);
            let value = ToolValue::List(entries.clone().into());
            let verdict = check(os, &value, &path);
            prop_assert_eq!(verdict.allowed, model_allows(os, &entries, &path), "{:?} {:?} {:?}", os, &entries, &path);
        }
    }

    #[test]
    fn i_p9_normalising_twice_is_normalising_once(path in hostile()) {
        for os in Os::ALL {
            if let Ok(once) = normalize(os, &path) {
                prop_assert_eq!(normalize(os, &once), Ok(once.clone()));
                prop_assert_eq!(model(os, &path), model(os, &once), "it stays the same place");
            }
        }
    }

    #[test]
    fn i_p9_what_a_meet_allows_both_allow(
        one in prop::collection::vec(hostile(), 0..4),
        other in prop::collection::vec(hostile(), 0..4),
        path in hostile(),
    ) {
        let (one, other) = (ToolValue::List(one.into()), ToolValue::List(other.into()));
        let both = meet(&one, &other);
        for os in Os::ALL {
            if check(os, &both, &path).allowed {
                prop_assert!(check(os, &one, &path).allowed && check(os, &other, &path).allowed, "{:?} {:?}", os, &both);
            }
        }
    }

    #[test]
    fn h_67_no_text_brings_it_down(path in ".{0,300}") {
        for os in Os::ALL {
            prop_assert_eq!(normalize(os, &path).is_ok(), model(os, &path).is_some());
        }
    }
}
