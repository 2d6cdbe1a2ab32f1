//! The ledger of hostile inputs: every number of `docs/security.md` has a test that bears it (`h_42_…`), or stands
//! there with the reason why not. The rows of the document name the files of their tests, and are checked here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ledger;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// All numbers there are.
const NUMBERS: std::ops::RangeInclusive<u32> = 1..=106;

/// Numbers without a test. Most wait for the tool that they attack.
const ABSENT: &[(u32, &str)] = &[
    (85, "there is no administration over HTTP yet"),
    (88, "there are no API keys with scopes yet; a service account asks for sessions and nothing else"),
    (89, "there is no administration over HTTP yet; no text ever reaches a shell or SQL"),
    (90, "there is no import over HTTP yet; rules of site files have tests in tests/site_file.rs"),
    (101, "there is no cluster yet"),
];

/// The numbers that a test's name bears: `h_01_h_35_…` bears two.
fn numbers(name: &str) -> Vec<u32> {
    let words: Vec<&str> = name.split('_').collect();
    let pairs = words.windows(2).filter(|pair| pair[0] == "h");
    pairs.filter_map(|pair| pair[1].parse().ok()).filter(|number| NUMBERS.contains(number)).collect()
}

/// Files with tests by number.
fn ledger() -> BTreeMap<u32, BTreeSet<String>> {
    ledger::tests_by(numbers)
}

#[test]
fn every_hostile_input_has_a_test_or_a_reason() {
    let ledger = ledger();
    for number in NUMBERS {
        let reason = ABSENT.iter().find(|(absent, _)| *absent == number);
        match (ledger.get(&number), reason) {
            (None, None) => panic!("H-{number:02} has neither a test nor a reason"),
            (Some(files), Some(_)) => panic!("H-{number:02} has a test ({files:?}): it needs no reason"),
            _ => {}
        }
    }
}

#[test]
fn the_document_names_the_tests() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md")).unwrap();
    let ledger = ledger();
    let mut wrong = Vec::new();
    for number in NUMBERS {
        let last = match ABSENT.iter().find(|(absent, _)| *absent == number) {
            Some((_, reason)) => format!("none: {reason}"),
            None => {
                let files = ledger.get(&number).into_iter().flatten();
                files.map(|file| format!("`{file}`")).collect::<Vec<_>>().join(" ")
            }
        };
        let row = text.lines().filter(|line| line.starts_with(&format!("| H-{number:02} |"))).collect::<Vec<_>>();
        if row.len() != 1 || !row[0].ends_with(&format!("| {last} |")) {
            wrong.push(format!("H-{number:02}: one row that ends with | {last} |"));
        }
    }
    assert!(wrong.is_empty(), "docs/security.md needs\n{}", wrong.join("\n"));
}
