//! Versions below these are known to be broken; `deny.toml` says the same to cargo-deny. Held here too, so that a
//! machine without it sees the same red.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

const FLOORS: &[(&str, [u64; 3])] = &[
    ("quinn-proto", [0, 11, 14]),
    ("rustls", [0, 23, 45]),
    ("rustls-webpki", [0, 103, 13]),
    ("tungstenite", [0, 20, 1]),
    ("rmp-serde", [1, 1, 1]),
    ("dashmap", [5, 1, 0]),
];

/// Crates of which a second copy would mean a second protocol stack or a second set of locks.
const ONCE: &[&str] = &["rustls", "tungstenite", "hyper", "quinn", "quinn-proto", "parking_lot", "tokio", "dashmap"];

fn locked() -> Vec<(String, [u64; 3])> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let lock: toml::Table = text.parse().unwrap();
    let packages = lock["package"].as_array().unwrap().iter().map(|package| {
        let version = package["version"].as_str().unwrap();
        let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
        let version = std::array::from_fn(|_| numbers.next().unwrap_or(0));
        (package["name"].as_str().unwrap().to_owned(), version)
    });
    packages.collect()
}

#[test]
fn b_39_no_crate_is_below_its_floor() {
    let locked = locked();
    for (name, floor) in FLOORS {
        let versions: Vec<_> = locked.iter().filter(|(locked, _)| locked == name).collect();
        assert!(!versions.is_empty(), "{name} is not in Cargo.lock: its floor can go");
        for (_, version) in versions {
            assert!(version >= floor, "{name} {version:?} is below {floor:?}");
        }
    }
}

#[test]
fn b_39_the_stacks_are_there_once() {
    let locked = locked();
    for name in ONCE {
        assert_eq!(locked.iter().filter(|(locked, _)| locked == name).count(), 1, "{name}");
    }
}

#[test]
fn b_39_every_crate_is_from_the_registry() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let foreign: Vec<&str> = text
        .lines()
        .filter(|line| {
            line.starts_with("source = ") && !line.contains("\"registry+https://github.com/rust-lang/crates.io-index\"")
        })
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}
