//! Damage of every kind: found, named with its place, never skipped over (W5.4, H-102, B-20).

use super::*;
use equipoise::journal::{Damage, verify};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

/// A folder with `turns` turns. `closed`: all in the database; else the last ones are in the write-ahead log, as a
/// broker leaves them that is killed.
fn filled(turns: u64, closed: bool) -> Place {
    let running = Place::new();
    let (mut journal, _) = running.open().unwrap();
    append(&mut journal, 1..=turns);
    if closed {
        drop(journal);
        return running;
    }
    let place = Place::new();
    running.copy_to(&place.data);
    place
}

fn all(turns: u64) -> Vec<u64> {
    (1..=turns).collect()
}

/// A small generator of numbers: the same ones in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

#[test]
fn w5_4_a_log_cut_anywhere_never_loses_an_acknowledged_turn_silently() {
    let place = filled(12, false);
    let wal = fs::read(place.site().join("journal.db-wal")).unwrap();
    let (mut cut, mut whole) = (0, 0);
    for end in (0..wal.len()).step_by(1_009).chain([wal.len() - 1, wal.len()]) {
        let copy = Place::new();
        place.copy_to(&copy.data);
        fs::write(copy.site().join("journal.db-wal"), &wal[..end]).unwrap();
        match copy.open() {
            Err(OpenError::Cut { acknowledged: Seq(12), found, .. }) if found < Seq(12) => cut += 1,
            // Before the first frame there is not even a table.
            Ok((_journal, recovered)) => {
                assert_eq!(folded(recovered).unwrap(), all(12), "cut at {end}");
                whole += 1;
            }
            Err(other) => panic!("cut at {end}: {other}"),
        }
    }
    assert!(cut > 10 && whole >= 1, "{cut} cut, {whole} whole");
}

#[test]
fn w5_4_a_torn_last_write_that_was_never_acknowledged_is_dropped() {
    let running = Place::new();
    let (mut journal, _) = running.open().unwrap();
    append(&mut journal, 1..=5);
    let head = fs::read(running.site().join("head")).unwrap();
    let acknowledged = fs::metadata(running.site().join("journal.db-wal")).unwrap().len() as usize;
    append(&mut journal, 6..=6);
    let wal = fs::read(running.site().join("journal.db-wal")).unwrap();
    assert!(wal.len() > acknowledged);
    let place = Place::new();
    running.copy_to(&place.data);
    fs::write(place.site().join("head"), head).unwrap();
    for end in (acknowledged..wal.len()).step_by(97) {
        let copy = Place::new();
        place.copy_to(&copy.data);
        fs::write(copy.site().join("journal.db-wal"), &wal[..end]).unwrap();
        assert_eq!(copy.numbers().unwrap(), all(5), "torn at {end}");
        // And it goes on from there.
        let (mut journal, _) = copy.open().unwrap();
        append(&mut journal, 6..=7);
    }
}

#[test]
fn w5_4_a_flipped_bit_in_the_log_is_never_a_shorter_or_another_history() {
    let place = filled(12, false);
    let wal = fs::read(place.site().join("journal.db-wal")).unwrap();
    let mut numbers = Numbers(1);
    let mut found = 0;
    for _ in 0..150 {
        let mut damaged = wal.clone();
        let at = numbers.below(wal.len());
        damaged[at] ^= 1 << numbers.below(8);
        let copy = Place::new();
        place.copy_to(&copy.data);
        fs::write(copy.site().join("journal.db-wal"), &damaged).unwrap();
        match copy.numbers() {
            Ok(found) => assert_eq!(found, all(12), "bit at {at}"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 100, "{found} of 150 found");
}

#[test]
fn b_20_a_flipped_bit_in_the_database_is_found_with_its_place_or_does_no_harm() {
    let place = filled(160, true);
    let path = place.site().join("journal.db");
    let whole = fs::read(&path).unwrap();
    let mut numbers = Numbers(2);
    let mut found = 0;
    for _ in 0..200 {
        let mut damaged = whole.clone();
        let at = numbers.below(whole.len());
        damaged[at] ^= 1 << numbers.below(8);
        fs::write(&path, &damaged).unwrap();
        let verified = verify(&place.data);
        match place.numbers() {
            Ok(numbers) => {
                assert_eq!(numbers, all(160), "bit at {at}");
                assert_eq!(verified.unwrap()[0].problem, None, "bit at {at}");
            }
            Err(reason) => {
                found += 1;
                assert!(!reason.is_empty());
                assert!(!verified.is_ok_and(|reports| reports[0].problem.is_none()), "bit at {at}: {reason}");
            }
        }
        for left in ["journal.db-wal", "journal.db-shm"] {
            let _ = fs::remove_file(place.site().join(left));
        }
    }
    assert!(found > 50, "{found} of 200 found");
}

/// Alters the database as somebody with the file might.
fn alter(place: &Place, alter: impl FnOnce(&Connection)) {
    let connection = Connection::open(place.site().join("journal.db")).unwrap();
    alter(&connection);
}

fn damage(place: &Place) -> Damage {
    let (_journal, recovered) = place.open().unwrap();
    recovered.rows().unwrap_err()
}

fn problem_at(place: &Place) -> u64 {
    verify(&place.data).unwrap()[0].problem.as_ref().unwrap().seq.0
}

#[test]
fn w5_4_a_damaged_row_in_the_middle_is_reported_with_its_place() {
    let place = filled(20, true);
    alter(&place, |db| {
        db.execute("UPDATE turns SET payload = CAST(payload || x'00' AS BLOB) WHERE seq = 7", []).unwrap();
    });
    assert!(matches!(damage(&place), Damage::Payload { seq: Seq(7) }));
    assert_eq!(problem_at(&place), 7);
}

#[test]
fn w5_4_a_row_that_is_gone_is_reported_with_its_place() {
    let place = filled(20, true);
    alter(&place, |db| {
        db.execute("DELETE FROM turns WHERE seq = 7", []).unwrap();
    });
    assert!(matches!(damage(&place), Damage::Missing { seq: Seq(7), found: Seq(8) }));
    assert_eq!(problem_at(&place), 7);
}

#[test]
fn i_e6_rows_exchanged_or_rewritten_break_the_chain() {
    let place = filled(20, true);
    alter(&place, |db| {
        db.execute_batch(
            "UPDATE turns SET seq = -1 WHERE seq = 7; UPDATE turns SET seq = 7 WHERE seq = 8;
             UPDATE turns SET seq = 8 WHERE seq = -1;",
        )
        .unwrap();
    });
    assert!(matches!(damage(&place), Damage::Chain { seq: Seq(7) }));

    // A forger who also mends the row's own digest.
    let place = filled(20, true);
    alter(&place, |db| {
        let payload: Vec<u8> = db.query_row("SELECT payload FROM turns WHERE seq = 9", [], |row| row.get(0)).unwrap();
        db.execute(
            "UPDATE turns SET payload = ?1, digest = ?2 WHERE seq = 8",
            params![payload, Sha256::digest(&payload).to_vec()],
        )
        .unwrap();
    });
    assert!(matches!(damage(&place), Damage::Chain { seq: Seq(8) }));
    assert_eq!(problem_at(&place), 8);

    let place = filled(20, true);
    alter(&place, |db| {
        db.execute("UPDATE turns SET epoch = 9 WHERE seq = 5", []).unwrap();
    });
    assert!(matches!(damage(&place), Damage::Chain { seq: Seq(5) }));
}

#[test]
fn w5_4_acknowledged_turns_that_were_cut_off_the_end_are_missed() {
    let place = filled(20, true);
    alter(&place, |db| {
        db.execute("DELETE FROM turns WHERE seq > 17", []).unwrap();
    });
    let error = place.open().err().unwrap();
    assert!(matches!(error, OpenError::Cut { acknowledged: Seq(20), found: Seq(17), .. }));
    assert!(error.to_string().contains("turns 18 to 20 are lost"), "{error}");
    assert_eq!(problem_at(&place), 18);
}

#[test]
fn w5_5_an_unknown_event_refuses_with_its_place() {
    let place = filled(3, true);
    alter(&place, |db| {
        let (before, mut payload): (Vec<u8>, Vec<u8>) = db
            .query_row("SELECT hash, payload FROM turns WHERE seq = 3", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        let at = payload.windows(10).rposition(|bytes| bytes == b"civil_time").unwrap();
        payload[at..at + 10].copy_from_slice(b"martian_ti");
        // A whole row, as a newer version would have written it.
        let digest = Sha256::digest(&payload);
        let hash = Sha256::new()
            .chain_update(before)
            .chain_update(4_u64.to_be_bytes())
            .chain_update(1_u64.to_be_bytes())
            .chain_update(digest)
            .finalize();
        db.execute(
            "INSERT INTO turns (seq, epoch, turn_id, digest, hash, payload) VALUES (4, 1, zeroblob(16), ?1, ?2, ?3)",
            params![digest.to_vec(), hash.to_vec(), payload],
        )
        .unwrap();
    });
    let damage = damage(&place);
    assert_eq!(damage.seq(), Seq(4));
    assert!(matches!(damage, Damage::Unreadable { .. }));
    assert!(damage.to_string().contains("martian_ti"), "{damage}");
}

#[test]
fn w5_1_an_erased_payload_is_counted_and_needs_a_snapshot() {
    let place = filled(20, true);
    alter(&place, |db| {
        db.execute("UPDATE turns SET payload = NULL WHERE seq = 4", []).unwrap();
    });
    let report = verify(&place.data).unwrap().remove(0);
    assert_eq!((report.turns, report.erased, report.problem), (20, 1, None));
    assert!(matches!(damage(&place), Damage::Erased { seq: Seq(4) }));
}

#[test]
fn h_102_anything_else_in_the_place_of_the_database_is_refused_with_a_reason() {
    type Replace = fn(&Path, &Place);
    let cases: [(&str, &str, Replace); 7] = [
        ("garbage", "is not what it should be", |path, _| {
            fs::write(path, b"not a database at all".repeat(500)).unwrap()
        }),
        ("0 bytes", "were acknowledged", |path, _| fs::write(path, b"").unwrap()),
        ("a link", "symbolic link", |path, place| {
            let elsewhere = place.data.join("elsewhere");
            fs::rename(path, &elsewhere).unwrap();
            symlink(&elsewhere, path).unwrap();
        }),
        ("a folder", "not a plain file", |path, _| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("another node's", "belongs to another journal", |path, _| {
            fs::copy(filled(20, true).site().join("journal.db"), path).map(drop).unwrap();
        }),
        ("open to all", "mode 0666", |path, _| fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap()),
        ("nothing", "were acknowledged", |path, _| fs::remove_file(path).unwrap()),
    ];
    for (what, reason, replace) in cases {
        let place = filled(20, true);
        let path = place.site().join("journal.db");
        replace(&path, &place);
        let error = place.open().err().unwrap_or_else(|| panic!("{what} was taken")).to_string();
        assert!(error.contains(reason), "{what}: {error}");
        assert!(error.contains("journal.db"), "{what}: {error}");
    }
}

#[test]
fn h_102_the_head_file_is_needed_and_must_be_ours_alone() {
    let place = filled(5, true);
    let path = place.site().join("head");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(place.open(), Err(OpenError::Refused { .. })));
    fs::remove_file(&path).unwrap();
    let error = place.open().err().unwrap().to_string();
    assert!(error.contains("head") && error.contains("missing"), "{error}");
}

#[test]
fn a_database_of_something_else_or_of_a_newer_version_is_refused() {
    let place = filled(5, true);
    alter(&place, |db| db.pragma_update(None, "user_version", 99).unwrap());
    assert!(matches!(place.open(), Err(OpenError::Newer { version: 99, .. })));
    let place = filled(5, true);
    alter(&place, |db| db.pragma_update(None, "application_id", 7).unwrap());
    assert!(matches!(place.open(), Err(OpenError::NotAJournal { .. })));
}

/// A folder with 30 turns and at least one snapshot.
fn with_snapshot() -> (Place, PathBuf, u64) {
    let place = Place::new();
    let options = Options { turns_per_snapshot: 10, ..Options::default() };
    let (mut journal, _) = place.open_with(options).unwrap();
    let newest = || {
        fs::read_dir(place.site())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_none())
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snapshot-"))
            .max()
    };
    let mut turns = 0;
    while newest().is_none() {
        turns += 1;
        append(&mut journal, turns..=turns);
    }
    drop(journal);
    let newest = newest().unwrap();
    (place, newest, turns)
}

#[test]
fn i_j4_a_snapshot_that_is_not_whole_is_passed_over() {
    let (place, path, turns) = with_snapshot();
    let whole = fs::read(&path).unwrap();
    let opened_from = |place: &Place| {
        let (_journal, recovered) = place.open().unwrap();
        let snapshot = recovered.snapshot.is_some();
        assert_eq!(folded(recovered).unwrap(), all(turns));
        snapshot
    };
    assert!(opened_from(&place));
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        assert!(!opened_from(&place), "bit at {at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert!(!opened_from(&place), "cut at {at}");
        if at > 200 {
            break;
        }
    }
    let (_other, others, _) = with_snapshot();
    fs::copy(others, &path).unwrap();
    assert!(!opened_from(&place), "another node's snapshot");
    fs::write(&path, &whole).unwrap();
    assert!(opened_from(&place));
}

#[test]
fn w5_1_an_erased_payload_before_the_snapshot_does_no_harm() {
    let (place, _, turns) = with_snapshot();
    alter(&place, |db| {
        db.execute("UPDATE turns SET payload = NULL WHERE seq = 4", []).unwrap();
    });
    assert_eq!(place.numbers().unwrap(), all(turns));
    assert_eq!(verify(&place.data).unwrap()[0].erased, 1);
}

#[test]
fn h_102_a_snapshot_that_others_could_write_is_refused() {
    let (place, path, _) = with_snapshot();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(place.open().err().unwrap().to_string().contains("mode 0666"));
}
