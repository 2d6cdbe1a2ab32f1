//! Seeded histories of small sites in virtual time. After every event a plain scanning model says what should have
//! happened, and the invariants I1 to I9 of docs/routing.md are checked. A failure prints its seed and the fewest steps
//! found that still fail; `tests/seeds.txt` keeps the seeds that once did.
//!
//! `SIMULATION_SEEDS=1000..2000` runs others.

mod check;
mod model;
mod random;
mod world;

use check::{Run, Seen};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Histories of an ordinary run: a few seconds.
const HISTORIES: u64 = 200;

#[test]
fn i1_to_i9_hold_in_seeded_histories() {
    let seeds: Vec<u64> = match std::env::var("SIMULATION_SEEDS") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("from..to");
            (from.parse().expect("a number")..to.parse().expect("a number")).collect()
        }
        Err(_) => include_str!("../seeds.txt")
            .lines()
            .filter_map(|line| line.split('#').next()?.trim().parse().ok())
            .chain(0..HISTORIES)
            .collect(),
    };
    let mut seen = Seen::default();
    for seed in &seeds {
        let world = world::World::new(*seed);
        if let Err(problem) = run(&world.site, &world.steps, &mut seen) {
            let steps = shorten(&world.site, world.steps);
            let short = run(&world.site, &steps, &mut Seen::default()).err();
            panic!(
                "seed {seed}: {problem}\nseed {seed}, shortened: {short:?}\nsite:\n{}\nsteps:\n{}",
                world.site,
                steps.iter().map(|step| format!("{step:?}\n")).collect::<String>()
            );
        }
    }
    if seeds.len() >= HISTORIES as usize {
        seen.assert_all();
    }
}

fn run(site: &str, steps: &[world::Step], seen: &mut Seen) -> Result<(), String> {
    let history = AssertUnwindSafe(|| {
        let mut run = Run::new(site, seen);
        for (number, step) in steps.iter().enumerate() {
            run.step(step).map_err(|problem| format!("step {number}: {problem}"))?;
        }
        run.finish()
    });
    catch_unwind(history).unwrap_or_else(|_| Err("panicked".to_owned()))
}

/// Leaves out runs of steps as long as the history still fails.
fn shorten(site: &str, mut steps: Vec<world::Step>) -> Vec<world::Step> {
    let fails = |steps: &[world::Step]| run(site, steps, &mut Seen::default()).is_err();
    let mut chunk = steps.len() / 2;
    while chunk > 0 {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + chunk).min(steps.len()));
            if fails(&fewer) {
                steps = fewer;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    steps
}
