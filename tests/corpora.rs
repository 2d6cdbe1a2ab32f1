//! Every input in the fuzz corpora, replayed: what once was interesting stays harmless.
#![cfg(feature = "io")]

#[path = "../fuzz/decoders.rs"]
mod decoders;

use std::{fs, path::Path};

#[test]
fn the_fuzz_corpora_break_nothing() {
    for (name, decode) in decoders::PURE.into_iter().chain(decoders::IO) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let inputs: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(inputs.len() >= 4, "the corpus of {name} has {} inputs", inputs.len());
        for input in inputs {
            eprintln!("{}", input.display());
            decode(&fs::read(&input).unwrap());
        }
    }
}
