//! Journals of every released version replay (W5.5). `tests/golden/README.md` says how they are made.

use super::*;
use equipoise::engine::{Engine, State, trail::Trail};
use serde_json::Value;
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
const FILES: [&str; 2] = ["journal.db", "head"];

fn golden_turns() -> Vec<Value> {
    serde_json::from_str(&fs::read_to_string(Path::new(GOLDEN).join("turns.json")).unwrap()).unwrap()
}

fn write_golden(to: &Path) {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    for (seq, turn) in (1..).zip(golden_turns()) {
        let turn: Turn = serde_json::from_value(turn).unwrap_or_else(|error| panic!("turn {seq}: {error}"));
        assert_eq!(wait(journal.append(Seq(seq), 1, turn.into(), Filed::default())), Appended::Durable(Seq(seq)));
    }
    drop(journal);
    fs::create_dir_all(to).unwrap();
    for file in FILES {
        fs::copy(place.site().join(file), to.join(file)).unwrap();
    }
}

/// Everything that was there is there still, with the same value; more may be. What is kept of secrets is not shown.
fn contains(now: &Value, then: &Value) -> bool {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            then.iter().all(|(key, then)| now.get(key).is_some_and(|now| contains(now, then)))
        }
        (Value::Array(now), Value::Array(then)) => {
            now.len() == then.len() && now.iter().zip(then).all(|(now, then)| contains(now, then))
        }
        _ => now == then || now == "(hidden)",
    }
}

#[test]
fn w5_5_i_j7_journals_of_every_released_version_replay() {
    if std::env::var_os("EQUIPOISE_WRITE_GOLDEN").is_some() {
        write_golden(&Path::new(GOLDEN).join("journal-1"));
    }
    let mut versions = 0;
    for entry in fs::read_dir(GOLDEN).unwrap() {
        let golden = entry.unwrap().path();
        if !golden.is_dir() {
            continue;
        }
        versions += 1;
        let place = Place::new();
        drop(place.open().unwrap());
        for file in FILES {
            let to = place.site().join(file);
            fs::copy(golden.join(file), &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let report = equipoise::journal::verify(&place.data).unwrap().remove(0);
        assert_eq!(report.problem, None, "{}", golden.display());
        let (_journal, recovered) = place.open().unwrap();
        let rows = recovered.rows().unwrap();
        let turns = golden_turns();
        assert!(rows.len() <= turns.len() && !rows.is_empty(), "{}", golden.display());
        let mut state = State::default();
        for (row, then) in rows.iter().zip(&turns) {
            // Every event has its fold, which takes it whatever the state is (I-J3).
            row.turn.events.iter().for_each(|stamped| Engine::apply(&mut state, stamped));
            let now = serde_json::to_value(&row.turn).unwrap();
            assert!(contains(&now, then), "{}, turn {}:\n{now}\nwas\n{then}", golden.display(), row.seq);
            assert_eq!(
                row.turn,
                serde_json::from_value(then.clone()).unwrap(),
                "{}, turn {}",
                golden.display(),
                row.seq
            );
        }
    }
    assert!(versions >= 1);
}

/// What an event is called as serde knows it, of all there are.
fn every_event() -> Vec<String> {
    let unknown = serde_json::from_value::<equipoise::engine::Event>("nothing of ours".into()).unwrap_err().to_string();
    let names = unknown.split('`').skip(3).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    assert!(names.len() > 80, "{unknown}");
    names
}

#[test]
fn w5_5_every_event_stands_in_a_golden_turn() {
    let turns = golden_turns();
    let events = turns.iter().flat_map(|turn| turn["events"].as_array().unwrap());
    let known: Vec<&Value> = events.map(|stamped| &stamped["event"]).collect();
    let stands = |name: &str| known.iter().any(|event| event.get(name).is_some() || event.as_str() == Some(name));
    let missing: Vec<String> = every_event().into_iter().filter(|name| !stands(name)).collect();
    assert!(missing.is_empty(), "give them a turn in tests/golden/turns.json: {missing:?}");
}

#[test]
fn ra_033_every_event_and_request_of_the_golden_turns_has_its_name_in_the_trail() {
    let mut trail = Trail::default();
    let mut names = BTreeSet::new();
    for (seq, turn) in (1..).zip(golden_turns()) {
        let turn: Turn = serde_json::from_value(turn).unwrap();
        let entries = trail.turn(Seq(seq), &turn);
        assert_eq!(entries.len(), turn.requests.len() + turn.events.len());
        for entry in entries {
            let name = entry.request.as_ref().or(entry.event.as_ref()).unwrap();
            assert!(!name.is_empty(), "turn {seq}: {entry:?}");
            names.extend(entry.event);
        }
    }
    assert_eq!(names, every_event().into_iter().collect());
}
