//! Seeded histories of small sites in virtual time. After every event a plain scanning model says what should have
//! happened, and the invariants of docs/routing.md are checked. A failure prints its seed and the fewest steps found
//! that still fail; `tests/seeds.txt` keeps the seeds that once did.
//!
//! An ordinary run plays a few hundred. `.ci/simulation` plays more, and holds them against the recorded long run.

mod acts;
mod calendar;
mod check;
mod evidence;
mod history;
mod jobs;
mod model;
mod people;
mod random;
mod rare;
mod reaching;
mod shadow;
mod sometimes;
mod world;

use history::History;
use rare::Seen;
use sha2::{Digest, Sha256};
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use world::World;

/// Histories of an ordinary run: some seconds.
const HISTORIES: u64 = 200;

/// What came of a block of seeds: the hash of all that happened in it, and what was seen.
#[derive(Default)]
struct Played {
    trace: String,
    seen: Seen,
}

#[test]
fn i1_to_i9_hold_in_seeded_histories() {
    let known = include_str!("../seeds.txt").lines();
    let known = known.filter_map(|line| line.split('#').next()?.trim().parse::<u64>().ok()).map(|seed| seed..seed + 1);
    let seeds = match std::env::var("SIMULATION_SEEDS") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("from..to");
            from.parse().expect("a number")..to.parse().expect("a number")
        }
        Err(_) => 0..HISTORIES,
    };
    let blocks: Vec<Range<u64>> =
        known.chain(seeds.clone().step_by(20).map(|from| from..(from + 20).min(seeds.end))).collect();
    let mut seen = Seen::default();
    for played in play(&blocks).unwrap_or_else(|failure| panic!("\n{failure}")) {
        seen.add(played.seen);
    }
    println!("never seen: {:?}", seen.never())
}

/// Plays blocks of seeds on every core; in order of the blocks, what came of each, or the first failure.
fn play(blocks: &[Range<u64>]) -> Result<Vec<Played>, String> {
    let next = AtomicUsize::new(0);
    let played: Mutex<Vec<Option<Result<Played, String>>>> = Mutex::new(blocks.iter().map(|_| None).collect());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(block) = blocks.get(at) else { break };
            let result = play_block(block.clone());
            if result.is_err() {
                next.store(blocks.len(), Ordering::Relaxed);
            }
            played.lock().expect("nobody panics with it").as_mut_slice()[at] = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    played.into_inner().expect("nobody panics with it").into_iter().flatten().collect()
}

fn play_block(seeds: Range<u64>) -> Result<Played, String> {
    let mut seen = Seen::default();
    let mut hasher = Sha256::new();
    for seed in seeds {
        let world = World::new(seed);
        match run(&world, &mut seen) {
            Ok(trace) => hasher.update(trace),
            Err(problem) => return Err(report(seed, &world, &problem)),
        }
    }
    let trace = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Played { trace, seen })
}

fn run(world: &World, seen: &mut Seen) -> Result<[u8; 32], String> {
    catch_unwind(AssertUnwindSafe(|| History::play(world, seen))).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        Err(format!(
            "panicked: {}",
            said.or_else(|| panic.downcast_ref().map(|it: &&str| (*it).to_owned())).unwrap_or_default()
        ))
    })
}

fn report(seed: u64, world: &World, problem: &str) -> String {
    if std::env::var_os("SIMULATION_SHORTEN").is_some_and(|answer| answer == "no") {
        return format!("seed {seed}: {problem}");
    }
    let short = shorten(world);
    let steps: String = short.steps.iter().map(|step| format!("{step:?}\n")).collect();
    let again = run(&short, &mut Seen::default()).err();
    format!(
        "seed {seed}: {problem}\nseed {seed}, shortened to {} steps: {}\nsite:\n{}\nsteps:\n{steps}",
        short.steps.len(),
        again.unwrap_or_default(),
        world.site
    )
}

/// Leaves out runs of steps as long as the history still fails.
fn shorten(world: &World) -> World {
    let mut short = World { steps: world.steps.clone(), ..world.bare() };
    let mut chunk = short.steps.len() / 2;
    while chunk > 0 {
        let mut at = 0;
        while at < short.steps.len() {
            let mut fewer = World { steps: short.steps.clone(), ..world.bare() };
            fewer.steps.drain(at..(at + chunk).min(short.steps.len()));
            if run(&fewer, &mut Seen::default()).is_err() {
                short = fewer;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    short
}
