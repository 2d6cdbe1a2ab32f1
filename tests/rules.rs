//! The ledger of routing rules: `docs/routing.md` says each rule, and here its last column is held to the tests that
//! bear its number (`r5_4_…`). Every rule has a story, or stands below with the reason why it is shown elsewhere.
//!
//! `UPDATE_EXPECT=1 cargo test --test rules` writes the column anew.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// How many rules each of R1 … R11 has.
const RULES: [u32; 11] = [5, 6, 12, 8, 7, 4, 9, 7, 2, 3, 5];

/// Rules that a story of the core cannot tell, with where they are shown.
const ELSEWHERE: &[((u32, u32), &str)] = &[((5, 2), "what an offer shows is chosen by the broker's view")];

type Rule = (u32, u32);

fn all() -> Vec<Rule> {
    (1..).zip(RULES).flat_map(|(chapter, last)| (1..=last).map(move |rule| (chapter, rule))).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rules that a test's name bears: `r8_5_r8_7_…` bears two.
fn borne(name: &str) -> Vec<Rule> {
    let words: Vec<&str> = name.split('_').collect();
    let pairs = words.windows(2).filter_map(|pair| {
        let chapter: u32 = pair[0].strip_prefix('r')?.parse().ok()?;
        Some((chapter, pair[1].parse().ok()?))
    });
    pairs
        .filter(|(chapter, rule)| (1..=11).contains(chapter) && (1..=RULES[*chapter as usize - 1]).contains(rule))
        .collect()
}

/// Tests by rule, each with its file.
fn ledger() -> BTreeMap<Rule, BTreeSet<(String, String)>> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    sources(&root().join("tests"), &mut files);
    let mut ledger: BTreeMap<Rule, BTreeSet<(String, String)>> = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let Some(rest) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn ")) else { continue };
            let function = rest.split(['(', '<']).next().unwrap_or_default();
            if std::mem::take(&mut is_test) {
                for rule in borne(function) {
                    ledger.entry(rule).or_default().insert((name.clone(), function.to_owned()));
                }
            }
        }
    }
    ledger
}

#[test]
fn every_rule_has_a_story() {
    let ledger = ledger();
    let mut missing = Vec::new();
    for rule in all() {
        let tests = ledger.get(&rule);
        let told = tests.is_some_and(|tests| tests.iter().any(|(file, _)| file.starts_with("tests/stories/")));
        match ELSEWHERE.iter().find(|(it, _)| *it == rule) {
            Some(_) if told => missing.push(format!("R{}.{} has a story: it needs no reason", rule.0, rule.1)),
            Some(_) if tests.is_none() => missing.push(format!("R{}.{} has no test anywhere", rule.0, rule.1)),
            None if !told => missing.push(format!("R{}.{} has no story", rule.0, rule.1)),
            _ => {}
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn the_document_names_the_tests_of_every_rule() {
    let path = root().join("docs/routing.md");
    let text = fs::read_to_string(&path).unwrap();
    let ledger = ledger();
    let mut rows = Vec::new();
    let fresh: String = text
        .lines()
        .map(|line| match rule_of(line) {
            Some(rule) => {
                rows.push(rule);
                format!("{}\n", row(line, &ledger.get(&rule).cloned().unwrap_or_default()))
            }
            None => format!("{line}\n"),
        })
        .collect();
    assert_eq!(rows, all(), "docs/routing.md has one row for every rule, in order");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    let stale = text.lines().zip(fresh.lines()).find(|(old, new)| old != new);
    assert_eq!(stale, None, "docs/routing.md is stale: UPDATE_EXPECT=1 cargo test --test rules");
}

#[test]
fn every_metric_that_a_rule_names_is_documented() {
    let text = fs::read_to_string(root().join("docs/routing.md")).unwrap();
    let operations = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    for line in text.lines().filter(|line| rule_of(line).is_some()) {
        let metric = line.split('|').nth(3).unwrap();
        for name in metric.split('`').filter(|word| word.starts_with("equipoise_")) {
            let name = name.split('{').next().unwrap_or(name);
            assert!(operations.contains(&format!("| `{name}` |")), "{name} is not in docs/operations.md: {line}");
        }
    }
}

/// The rule of a table row: `| R5.4 | …`.
fn rule_of(line: &str) -> Option<Rule> {
    let (chapter, rule) = line.strip_prefix("| R")?.split(" |").next()?.split_once('.')?;
    Some((chapter.parse().ok()?, rule.parse().ok()?))
}

/// The row with its last column written anew: tests by file, `stories/` first as they tell the rule.
fn row(line: &str, tests: &BTreeSet<(String, String)>) -> String {
    let kept: Vec<&str> = line.split(" | ").take(3).collect();
    let mut by_file: BTreeMap<(bool, &str), Vec<String>> = BTreeMap::new();
    for (file, name) in tests {
        let file = file.trim_start_matches("tests/");
        by_file.entry((!file.starts_with("stories/"), file)).or_default().push(format!("`{name}`"));
    }
    let tests: Vec<String> = by_file.iter().map(|((_, file), names)| format!("{file}: {}", names.join(" "))).collect();
    format!("{} | {} |", kept.join(" | "), tests.join("; "))
}
