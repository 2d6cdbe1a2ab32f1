//! The ledger of permissions: every rule of `docs/permissions.md` has a test that bears its number (`p3_9_…`), or stands
//! there with the reason why not. The rows of its table name the files of their tests, and are checked here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ledger;

use std::fs;

/// How many rules each chapter has; chapter 5 is one rule.
const CHAPTERS: [(u32, u32); 7] = [(1, 3), (2, 5), (3, 32), (4, 7), (6, 5), (7, 4), (8, 8)];
/// Rules without a test.
const ABSENT: &[(&str, &str)] = &[
    ("P7.1", "there is no recorder yet"),
    ("P7.2", "there is no recorder yet"),
    ("P7.3", "there is no recorder yet"),
    ("P7.4", "there is no recorder yet"),
];

/// `p3_9_p5_…` bears P3.9 and P5.
fn rules(name: &str) -> Vec<String> {
    let words: Vec<&str> = name.split('_').collect();
    let chapter = |word: &str| word.strip_prefix('p').and_then(|rest| rest.parse::<u32>().ok());
    let place = |at: usize| words.get(at + 1).and_then(|word| word.parse::<u32>().ok());
    (0..words.len())
        .filter_map(|at| match (chapter(words[at])?, place(at)) {
            (5, _) => Some("P5".to_owned()),
            (chapter, place) => Some(format!("P{chapter}.{}", place?)),
        })
        .collect()
}

#[test]
fn every_rule_has_a_test_and_the_document_names_it() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/permissions.md")).unwrap();
    let ledger = ledger::tests_by(rules);
    let mut all: Vec<String> =
        CHAPTERS.iter().flat_map(|(chapter, last)| (1..=*last).map(move |rule| format!("P{chapter}.{rule}"))).collect();
    all.push("P5".to_owned());
    let mut wrong = Vec::new();
    for rule in &all {
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with(&format!("| {rule} |"))).collect();
        let [row] = rows.as_slice() else {
            wrong.push(format!("{rule}: one row"));
            continue;
        };
        let last = row.trim_end_matches(" |").rsplit("| ").next().unwrap_or_default();
        match (ledger.get(rule), ABSENT.iter().find(|(absent, _)| absent == rule)) {
            (None, None) => wrong.push(format!("{rule} has neither a test nor a reason")),
            (Some(files), Some(_)) => wrong.push(format!("{rule} has a test ({files:?}): it needs no reason")),
            (None, Some((_, reason))) if last != format!("none: {reason}") => {
                wrong.push(format!("{rule}: a row that ends with | none: {reason} |"));
            }
            (None, Some(_)) => {}
            // Tests of other rooms may bear the number too; the row names where to look first.
            (Some(files), None) => {
                let named: Vec<&str> = last.split(' ').map(|file| file.trim_matches('`')).collect();
                if !named.iter().all(|file| files.contains(*file)) {
                    wrong.push(format!("{rule}: a row that names of {files:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "docs/permissions.md needs\n{}", wrong.join("\n"));
}
