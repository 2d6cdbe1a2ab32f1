//! The recorded long run, `docs/evidence/simulation.json`: a hash of everything that happened in each hundred seeds, and
//! how often each rare situation came about. Some hundreds, drawn anew each time, must play the same again.
//!
//! `.ci/simulation` plays twenty of them (`SIMULATION_HUNDREDS`, drawn by `SIMULATION_DRAW`), optimised.
//! `.ci/simulation record` plays the whole range (`SIMULATION_RECORD`) and writes the file.

use crate::{Played, play, random::Random, rare::Seen, sometimes::SOMETIMES};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, env, fs, ops::Range, path::Path, time::Instant};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/evidence/simulation.json");

/// From so many histories on, every rare situation must have come about.
const ENOUGH: u64 = 2_000;

/// What decides what happens in a history: the pure rooms and the simulation itself.
const SOURCES: &[&str] = &["src/engine", "src/routing", "src/site", "src/policy", "tests/simulation"];

#[derive(Serialize, Deserialize)]
struct Evidence {
    /// The commit it was recorded at; `+` where the tree had changes.
    commit: String,
    /// A hash of the sources that decide what happens: another one excuses other traces, the same one never does.
    sources: String,
    seeds: Range<u64>,
    cores: usize,
    seconds: u64,
    rare: BTreeMap<String, u64>,
    /// The first half of the trace hash of each hundred seeds, in order.
    hundreds: Vec<String>,
}

#[test]
fn b_03_recorded_hundreds_play_the_same_again() {
    if let Ok(range) = env::var("SIMULATION_RECORD") {
        let (from, to) = range.split_once("..").expect("from..to");
        return record(from.parse().expect("a number")..to.parse().expect("a number"));
    }
    let evidence: Evidence = serde_json::from_str(&fs::read_to_string(FILE).expect("a file")).expect("evidence");
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let draw = number("SIMULATION_DRAW").unwrap_or(0);
    let mut random = Random(draw);
    let mut left: Vec<usize> = (0..evidence.hundreds.len()).collect();
    let asked = number("SIMULATION_HUNDREDS").unwrap_or(1).min(left.len() as u64);
    let drawn: Vec<usize> = (0..asked).map(|_| left.swap_remove(random.below(left.len()))).collect();
    let blocks: Vec<Range<u64>> = drawn.iter().map(|at| hundred(&evidence.seeds, *at)).collect();
    let played = play(&blocks).unwrap_or_else(|failure| panic!("{failure}"));
    let other: Vec<usize> =
        drawn.iter().zip(&played).filter(|(at, it)| evidence.hundreds[**at] != short(it)).map(|(at, _)| *at).collect();
    if !other.is_empty() && evidence.sources != sources() {
        println!(
            "docs/evidence/simulation.json is of other sources ({}): `.ci/simulation record` records it anew",
            evidence.commit
        );
        let again = play(&blocks[..1]).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(short(&played[0]), short(&again[0]), "the same seeds played otherwise (draw {draw})");
    } else {
        assert!(
            other.is_empty(),
            "hundreds {other:?} played otherwise than recorded by the same sources (draw {draw})"
        );
    }
    let histories: u64 = blocks.iter().map(|block| block.end - block.start).sum();
    println!("{histories} histories, draw {draw}");
    let mut seen = Seen::default();
    played.into_iter().for_each(|it| seen.add(it.seen));
    assert!(histories < ENOUGH || seen.never().is_empty(), "never seen: {:?}", seen.never());
}

#[test]
fn b_05_the_long_run_saw_every_rare_situation() {
    let evidence: Evidence = serde_json::from_str(&fs::read_to_string(FILE).expect("a file")).expect("evidence");
    assert_eq!(evidence.hundreds.len() as u64, (evidence.seeds.end - evidence.seeds.start) / 100);
    let never: Vec<_> = SOMETIMES.iter().filter(|name| !evidence.rare.contains_key(**name)).collect();
    assert!(SOMETIMES.len() >= 40 && never.is_empty(), "never seen: {never:?}");
}

fn record(seeds: Range<u64>) {
    let began = Instant::now();
    let mut evidence = Evidence {
        commit: env::var("SIMULATION_COMMIT").unwrap_or_default(),
        sources: sources(),
        seeds: seeds.start..seeds.start,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        seconds: 0,
        rare: BTreeMap::new(),
        hundreds: Vec::new(),
    };
    let mut seen = Seen::default();
    // Written after each thousand, so that a run that is stopped leaves what it did.
    for thousand in seeds.step_by(1000) {
        let blocks: Vec<Range<u64>> = (0..10).map(|at| hundred(&(thousand..thousand + 1000), at)).collect();
        for played in play(&blocks).unwrap_or_else(|failure| panic!("{failure}")) {
            evidence.hundreds.push(short(&played));
            seen.add(played.seen);
        }
        evidence.seeds.end = thousand + 1000;
        evidence.seconds = began.elapsed().as_secs();
        evidence.rare = seen.counts().iter().map(|(name, times)| ((*name).to_owned(), *times)).collect();
        fs::write(FILE, serde_json::to_string_pretty(&evidence).expect("plain data") + "\n").expect("written");
    }
    println!("{} histories in {} s", evidence.seeds.end - evidence.seeds.start, evidence.seconds);
}

fn hundred(seeds: &Range<u64>, at: usize) -> Range<u64> {
    let from = seeds.start + 100 * at as u64;
    from..from + 100
}

fn short(played: &Played) -> String {
    played.trace[..32].to_owned()
}

fn sources() -> String {
    let mut files = Vec::new();
    for folder in SOURCES {
        gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    files.sort();
    let mut hasher = Sha256::new();
    files.iter().for_each(|file| hasher.update(fs::read(file).expect("a source")));
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn gather(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { gather(&path, files) } else { files.push(path) }
    }
}
