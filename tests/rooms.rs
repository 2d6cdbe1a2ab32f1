//! Who may know whom: imports point down this table, never up or sideways, and the pure rooms build without any crate
//! that touches a socket, a disk or a clock. A new edge is one visible line here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Each room and the rooms it may use, from the ground up.
const ROOMS: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("time", &[]),
    ("limits", &["time"]),
    ("site", &["ids", "time", "limits", "policy"]),
    ("policy", &["ids", "time", "limits", "site", "wire"]),
    ("routing", &["ids", "time", "limits", "site"]),
    ("wire", &["ids", "time", "limits"]),
    ("engine", &["ids", "time", "limits", "site", "policy", "routing", "wire"]),
    ("simulate", &["ids", "time", "limits", "site", "policy", "engine", "wire"]),
    ("clock", &["time"]),
    ("identity", &["ids", "time", "limits", "clock", "wire"]),
    ("journal", &["ids", "time", "limits", "clock", "engine", "site"]),
    ("relay", &["ids", "time", "limits", "clock", "policy", "engine", "wire"]),
    ("framing", &["ids", "limits", "wire"]),
    ("mail", &["time", "limits", "clock", "framing"]),
    (
        "broker",
        &["ids", "time", "limits", "clock", "site", "policy", "engine", "wire", "identity", "journal", "relay", "mail"],
    ),
    ("client", &["ids", "time", "limits", "clock", "wire", "relay", "framing"]),
    ("agent", &["ids", "time", "limits", "clock", "policy", "wire", "client"]),
    ("rep", &["ids", "time", "limits", "clock", "wire", "client", "agent"]),
    ("ops", &["ids", "time", "limits", "clock", "engine"]),
    ("transport", &["ids", "time", "limits", "clock", "wire", "identity", "relay", "broker", "framing"]),
    (
        "server",
        &[
            "ids",
            "time",
            "limits",
            "clock",
            "site",
            "policy",
            "engine",
            "wire",
            "identity",
            "journal",
            "relay",
            "framing",
            "mail",
            "broker",
            "ops",
            "transport",
        ],
    ),
    (
        "cli",
        &[
            "ids", "time", "limits", "clock", "site", "policy", "engine", "simulate", "wire", "journal", "client",
            "agent", "rep", "ops", "server", "identity",
        ],
    ),
];

/// Built without the `io` feature.
const PURE: &[&str] = &["ids", "time", "limits", "site", "policy", "routing", "wire", "engine", "simulate"];

/// Crates that a pure build must not have anywhere below it.
const IO_CRATES: &[&str] =
    &["tokio", "mio", "socket2", "rusqlite", "quinn", "rustls", "axum", "hyper", "rustix", "getrandom", "parking_lot"];

#[test]
fn imports_point_down_the_table() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ROOMS.iter().map(|(room, may)| (*room, may.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for (room, file, text) in sources() {
        let Some(may) = allowed.get(room.as_str()) else {
            wrong.push(format!("{}: the room {room} is not in the table", file.display()));
            continue;
        };
        for used in rooms_used(&text) {
            if used != room && allowed.contains_key(used.as_str()) && !may.contains(used.as_str()) {
                wrong.push(format!("{}: {room} uses {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "not in the table:\n{}", wrong.join("\n"));
}

/// The order of the table is the order of the house: a room uses only those above its own line.
#[test]
fn the_table_has_no_upward_edge() {
    // Nouns of site and policy name each other: both are pure data.
    let sideways = [("site", "policy"), ("policy", "wire")];
    for (place, (room, may)) in ROOMS.iter().enumerate() {
        let below: BTreeSet<&str> = ROOMS[..place].iter().map(|(room, _)| *room).collect();
        for used in *may {
            assert!(below.contains(used) || sideways.contains(&(room, used)), "{room} uses {used}, which is above it");
        }
    }
}

#[test]
fn pure_rooms_know_only_pure_rooms() {
    for (room, may) in ROOMS.iter().filter(|(room, _)| PURE.contains(room)) {
        for used in *may {
            assert!(PURE.contains(used), "{room} is pure and uses {used}");
        }
    }
}

#[test]
fn the_pure_build_has_no_io_crate_in_its_tree() {
    #[expect(clippy::disallowed_methods, reason = "a test asks cargo; the broker starts no process")]
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "-p", "equipoise", "--no-default-features", "-e", "normal"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("serde"), "the tree was read");
    let found: Vec<&&str> = IO_CRATES.iter().filter(|name| crates.contains(**name)).collect();
    assert!(found.is_empty(), "the pure build holds {found:?}");
}

#[test]
fn paths_in_code_are_read() {
    let text = "use crate::{\n    engine::{Event, State},\n    ids::*, time::Time,\n};\n\
                let x = crate::relay::Outbox::new(); // crate::server is only named\n\
                #[cfg(test)]\nmod tests { use crate::ops::Health; }\n";
    let used: Vec<String> = rooms_used(text).into_iter().collect();
    assert_eq!(used, ["engine", "ids", "relay", "time"]);
}

/// Every source file with its room; `main.rs` and `lib.rs` are the front door and may know all.
fn sources() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let inside = path.strip_prefix(&src).unwrap().to_owned();
                let room = inside.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
                // Tests may set up what they like.
                let is_test =
                    inside.file_stem().is_some_and(|stem| stem == "tests") || inside.iter().any(|part| part == "tests");
                if !matches!(room.as_str(), "main" | "lib") && !is_test {
                    files.push((room, inside, fs::read_to_string(&path).unwrap()));
                }
            }
        }
    }
    assert!(files.len() > 20, "the sources were found");
    files
}

/// The rooms that a file names in `crate::…` paths, outside comments and tests.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let code: String = text
        .split("#[cfg(test)]")
        .next()
        .unwrap()
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect::<Vec<_>>()
        .join("\n");
    let mut used = BTreeSet::new();
    for path in code.split("crate::").skip(1) {
        match path.strip_prefix('{') {
            None => {
                used.insert(word(path));
            }
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (at, character) in group.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && !c.is_whitespace() => {
                            used.insert(word(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    used
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}
