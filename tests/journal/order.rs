//! What the trait promises while nothing is broken.

use super::*;
use equipoise::limits::{JOURNAL_TURNS_WAITING, TURN_BYTES_MAX};

#[test]
fn w5_1_what_was_appended_is_found_again_in_order() {
    let place = Place::new();
    let (mut journal, recovered) = place.open().unwrap();
    assert_eq!((recovered.head, recovered.epoch, recovered.snapshot), (Seq(0), 0, None));
    append(&mut journal, 1..=5);
    let read = |from| -> Vec<u64> {
        journal
            .read_from(Seq(from))
            .unwrap()
            .flat_map(|row| numbers_of(&row.unwrap().turn).collect::<Vec<_>>())
            .collect()
    };
    assert_eq!(read(1), [1, 2, 3, 4, 5]);
    assert_eq!(read(4), [4, 5]);
    assert_eq!(read(6), [] as [u64; 0]);
    drop(journal);

    let (mut journal, recovered) = place.open().unwrap();
    assert_eq!((recovered.head, recovered.epoch), (Seq(5), 1));
    let rows = recovered.rows().unwrap();
    assert_eq!(rows.iter().map(|row| row.seq.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(rows.iter().all(|row| row.epoch == 1));
    assert_eq!(rows[2].turn, turn(3));
    append(&mut journal, 6..=7);
    drop(journal);
    assert_eq!(place.numbers().unwrap(), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn w5_6_a_turn_at_a_place_taken_or_of_an_older_owner_is_fenced() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    append(&mut journal, 1..=2);
    assert_eq!(wait(journal.append(Seq(2), 1, turn(9).into(), Filed::default())), Appended::Fenced);
    assert_eq!(wait(journal.append(Seq(4), 1, turn(9).into(), Filed::default())), Appended::Fenced);
    assert_eq!(wait(journal.append(Seq(3), 5, turn(3).into(), Filed::default())), Appended::Durable(Seq(3)));
    assert_eq!(wait(journal.append(Seq(4), 4, turn(9).into(), Filed::default())), Appended::Fenced);
    assert_eq!(wait(journal.append(Seq(4), 5, turn(4).into(), Filed::default())), Appended::Durable(Seq(4)));
    drop(journal);
    assert_eq!(place.open().unwrap().1.epoch, 5);
    assert_eq!(place.numbers().unwrap(), [1, 2, 3, 4]);
}

#[test]
fn w5_6_a_turn_above_the_limit_is_refused_and_harms_nothing() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    let big = Turn {
        requests: vec![],
        events: vec![Stamped {
            at: Time(1),
            event: Event::StatusSet { user: equipoise::ids::UserId(1), code: "x".repeat(TURN_BYTES_MAX) },
        }],
    };
    let large = journal.append(Seq(1), 1, big.into(), Filed::default());
    let after = journal.append(Seq(2), 1, turn(2).into(), Filed::default());
    assert!(matches!(wait(large), Appended::TooLarge { bytes } if bytes > TURN_BYTES_MAX));
    assert_eq!(wait(after), Appended::Fenced, "its place is not the next one any more");
    append(&mut journal, 1..=1);
}

#[test]
fn w5_6_many_turns_under_way_at_once_keep_the_order_of_the_calls() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    let pending: Vec<_> = (1..=JOURNAL_TURNS_WAITING as u64)
        .map(|number| journal.append(Seq(number), 1, turn(number).into(), Filed::default()))
        .collect();
    wait(async {
        for (number, pending) in (1..).zip(pending) {
            assert_eq!(pending.await, Appended::Durable(Seq(number)));
        }
    });
    drop(journal);
    assert_eq!(place.numbers().unwrap(), (1..=JOURNAL_TURNS_WAITING as u64).collect::<Vec<_>>());
}

#[test]
fn w5_5_snapshots_shorten_recovery_and_change_nothing() {
    let place = Place::new();
    let options = Options { turns_per_snapshot: 10, ..Options::default() };
    let (mut journal, _) = place.open_with(options).unwrap();
    // The thread makes them when it can: go on until there were three.
    let mut number = 0;
    let mut newest = std::collections::BTreeSet::new();
    while newest.len() < 3 {
        number += 1;
        append(&mut journal, number..=number);
        newest.extend(place.snapshots());
        assert!(number < 20_000, "no snapshot is ever made");
    }
    drop(journal);
    let left = place.snapshots();
    assert!(left.len() <= 2 && !left.is_empty(), "the last two are kept: {left:?}");

    let (_journal, recovered) = place.open().unwrap();
    let (seq, _) = recovered.snapshot.as_ref().unwrap();
    assert_eq!(seq.0, *left.last().unwrap());
    assert_eq!(folded(recovered).unwrap(), (1..=number).collect::<Vec<_>>());
}

#[test]
fn w5_5_a_snapshot_of_a_state_this_version_does_not_read_is_replaced_from_the_first_turn() {
    fn of_another_version(_: Option<&[u8]>, turns: &mut dyn Iterator<Item = Turn>) -> Result<Vec<u8>, String> {
        turns.for_each(drop);
        Ok(b"of another version".to_vec())
    }
    let place = Place::new();
    let options = Options { turns_per_snapshot: 5, ..Options::default() };
    let newest = || place.snapshots().last().copied().unwrap_or(0);
    let mut number = 0;
    let mut append_until = |journal: &mut SqliteJournal, beyond: u64| {
        while newest() <= beyond {
            number += 1;
            append(journal, number..=number);
            assert!(number < 20_000, "no snapshot is ever made");
        }
        number
    };
    let (mut journal, _) =
        SqliteJournal::open(&DataFolder::open(&place.data).unwrap(), "main", options, of_another_version).unwrap();
    append_until(&mut journal, 0);
    drop(journal);
    let (mut journal, recovered) = place.open_with(options).unwrap();
    let (of_another, state) = recovered.snapshot.clone().unwrap();
    assert_eq!(state, b"of another version");
    drop(recovered);
    // Who cannot read it folds all turns, and so does the thread for the next one.
    let rows: Vec<_> = journal.read_from(Seq(1)).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(rows.len() as u64 >= of_another.0);
    let last = append_until(&mut journal, of_another.0);
    drop(journal);
    assert_eq!(place.numbers().unwrap(), (1..=last).collect::<Vec<_>>());
}

#[test]
fn w5_2_there_is_room_while_more_than_the_reserve_is_free() {
    let place = Place::new();
    let (journal, _) = place.open_with(Options { disk_reserve_bytes: 1, ..Options::default() }).unwrap();
    assert!(journal.has_room());
    drop(journal);
    let (journal, _) = place.open_with(Options { disk_reserve_bytes: u64::MAX, ..Options::default() }).unwrap();
    assert!(!journal.has_room());
}

#[test]
fn h_103_one_data_folder_has_one_broker() {
    let place = Place::new();
    let (_journal, _) = place.open().unwrap();
    assert!(matches!(place.open(), Err(OpenError::InUse { .. })));
}

#[test]
fn i_e6_verify_proves_a_journal_from_its_first_turn() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    append(&mut journal, 1..=100);
    let running = equipoise::journal::verify(&place.data).unwrap();
    drop(journal);
    let stopped = equipoise::journal::verify(&place.data).unwrap();
    assert_eq!(running, stopped);
    assert_eq!(stopped.len(), 1);
    let report = &stopped[0];
    assert_eq!((report.site.as_str(), report.turns, report.acknowledged), ("main", 100, Seq(100)));
    assert_eq!(report.problem, None);
    assert_eq!(report.hash.len(), 64);
}
