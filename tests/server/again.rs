//! `simulate --from-journal` decides a journal again and says where it comes out otherwise (I8).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::process::{Broker, equipoise};
use equipoise::{
    engine::{Event, Filed, Turn},
    journal::{Appended, DataFolder, Journal, Options, SqliteJournal, read},
};
use std::path::Path;

/// The same journal in another folder, its chain made anew, with one turn altered.
fn altered_copy(from: &Path, to: &Path, mut alter: impl FnMut(&mut Turn)) {
    let folder = DataFolder::open(to).unwrap();
    let (mut journal, _) = SqliteJournal::open(&folder, "main", Options::default(), |_, _| Ok(Vec::new())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for row in read(from).unwrap() {
        let mut row = row.unwrap();
        alter(&mut row.turn);
        assert_eq!(
            runtime.block_on(journal.append(row.seq, row.epoch, row.turn.into(), Filed::default())),
            Appended::Durable(row.seq)
        );
    }
}

#[test]
fn i8_a_journal_that_decides_otherwise_ends_with_1_and_names_the_record_though_its_chain_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut broker = Broker::demo(&data);
    assert_eq!(broker.end("TERM"), 0);
    let simulate = |data: &Path| equipoise(&["simulate", "--from-journal", data.to_str().unwrap()], "");
    let same = simulate(&data);
    assert_eq!(same.code, 0, "{same:?}");

    let copy = folder.path().join("copy");
    altered_copy(&data, &copy, |_| {});
    let same = simulate(&copy);
    assert_eq!(same.code, 0, "{same:?}");

    let altered = folder.path().join("altered");
    let mut at = None;
    let mut record = 0;
    altered_copy(&data, &altered, |turn| {
        record += 1;
        for (place, stamped) in (1..).zip(&mut turn.events) {
            if let (Event::CivilTime { ms }, None) = (&mut stamped.event, at) {
                *ms += 1;
                at = Some((record, place));
            }
        }
    });
    let whole = equipoise(&["audit", "verify", "--data", altered.to_str().unwrap()], "");
    assert_eq!(whole.code, 0, "the chain proves nothing of what was decided: {whole:?}");
    let differs = simulate(&altered);
    let (record, event) = at.expect("the broker told the engine the time");
    assert_eq!(differs.code, 1, "{differs:?}");
    assert!(differs.err.contains(&format!("record {record}, event {event}: it comes out otherwise")), "{differs:?}");
}
