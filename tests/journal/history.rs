//! BU-048: what sessions leave behind, beside the turns that ended them: in the same commit, in order, bounded, pruned and
//! erased with them, and there in folders from before.

use super::*;
use equipoise::{
    engine::{Record, history::Sees},
    ids::{SessionId, TeamId, UserId},
    journal::{Page, Query, verify},
    limits,
    wire::control::PastSession,
};
use proptest::prelude::*;
use rusqlite::Connection;
use std::{fs, os::unix::fs::PermissionsExt};

/// A session that ended, and under what it is filed.
#[derive(Clone, Copy, Debug)]
struct One {
    session: u64,
    ended: u64,
    owner: Option<u32>,
    team: Option<u32>,
}

fn one(session: u64, ended: u64) -> One {
    One { session, ended, owner: Some(1), team: Some(1) }
}

fn record(one: One) -> Record {
    let One { session, ended, owner, team } = one;
    let told = PastSession { session, ended_at_ms: ended, customer: "Chloé".into(), ..PastSession::default() };
    Record { session: SessionId(session), ended: Time(ended), owner: owner.map(UserId), team: team.map(TeamId), told }
}

fn filed(records: &[One], keep_from: u64) -> Filed {
    Filed { records: records.iter().copied().map(record).collect(), keep_from: Time(keep_from) }
}

fn put(journal: &mut SqliteJournal, seq: u64, records: &[One]) {
    let appended = wait(journal.append(Seq(seq), 1, turn(seq).into(), filed(records, 0)));
    assert_eq!(appended, Appended::Durable(Seq(seq)));
}

fn all() -> Query {
    Query { sees: Sees::All, owner: None, team: None, since: None, until: None, before: None }
}

fn sessions(page: &Page) -> Vec<u64> {
    page.told.iter().map(|told| rmp_serde::from_slice::<PastSession>(told).unwrap().session).collect()
}

fn page(journal: &SqliteJournal, query: &Query) -> Page {
    journal.history().unwrap().page(query).unwrap()
}

fn found(journal: &SqliteJournal) -> Vec<u64> {
    sessions(&page(journal, &all()))
}

fn alter(place: &Place, sql: &str) {
    Connection::open(place.site().join("journal.db")).unwrap().execute_batch(sql).unwrap();
}

fn schema_version(place: &Place) -> i64 {
    let db = Connection::open(place.site().join("journal.db")).unwrap();
    db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[test]
fn bu_048_a_record_is_durable_with_its_turn_and_never_without_it() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    put(&mut journal, 1, &[one(3, 30), one(4, 30)]);
    // Another owner has this place: neither the turn nor what it ended is there.
    let fenced = journal.append(Seq(1), 1, turn(9).into(), filed(&[one(9, 90)], 99));
    assert_eq!(wait(fenced), Appended::Fenced);
    let mut big = turn(2);
    big.events = vec![big.events[0].clone(); 2 * limits::TURN_BYTES_MAX / 20];
    let large = journal.append(Seq(2), 1, big.into(), filed(&[one(8, 80)], 99));
    assert!(matches!(wait(large), Appended::TooLarge { .. }));
    put(&mut journal, 2, &[one(5, 50)]);
    assert_eq!(found(&journal), [5, 4, 3], "the newest first, and of one turn the last");
    drop(journal);
    let (journal, recovered) = place.open().unwrap();
    assert!(!recovered.lacks_history);
    assert_eq!((found(&journal), folded(recovered).unwrap()), (vec![5, 4, 3], vec![1, 2]));
    assert_eq!(verify(&place.data).unwrap()[0].problem, None);
}

#[test]
fn bu_048_answers_are_pages_and_the_pages_are_all_there_is() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    for seq in 1..=5 {
        let ended: Vec<One> = (0..70).map(|number| one(100 * seq + number, 10 * seq)).collect();
        put(&mut journal, seq, &ended);
    }
    let (mut read, mut query, mut pages) = (Vec::new(), all(), 0);
    loop {
        let page = page(&journal, &query);
        assert!(page.told.len() <= limits::HISTORY_ROWS);
        read.extend(sessions(&page));
        pages += 1;
        query.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    let newest_first: Vec<u64> = (1..=5).rev().flat_map(|seq| (0..70).rev().map(move |n| 100 * seq + n)).collect();
    assert_eq!((pages, read), (4, newest_first));
    let between = |since, until| Query { since: Some(Time(since)), until: Some(Time(until)), ..all() };
    let of = |since, until| sessions(&page(&journal, &between(since, until))).len();
    assert_eq!([of(20, 30), of(21, 31), of(51, 60), of(0, 10), of(30, 20), of(50, u64::MAX)], [70, 70, 0, 0, 0, 70]);
}

#[test]
fn bu_048_a_page_is_no_longer_than_a_message() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    let wide = |session| {
        let mut wide = record(one(session, 1));
        wide.told.customer = "x".repeat(limits::HISTORY_PAGE_BYTES / 3);
        wide
    };
    let records = (1..=5).map(wide).collect();
    let appended = journal.append(Seq(1), 1, turn(1).into(), Filed { records, keep_from: Time(0) });
    assert_eq!(wait(appended), Appended::Durable(Seq(1)));
    let first = page(&journal, &all());
    let second = page(&journal, &Query { before: first.next, ..all() });
    let third = page(&journal, &Query { before: second.next, ..all() });
    assert_eq!([sessions(&first), sessions(&second), sessions(&third)], [vec![5, 4], vec![3, 2], vec![1]]);
    assert_eq!(third.next, None);
}

#[test]
fn bu_048_one_answer_looks_at_so_many_and_the_next_goes_on_there() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    put(&mut journal, 1, &[one(1, 1)]);
    let last = limits::HISTORY_LOOKED + 1;
    alter(
        &place,
        &format!(
            "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {last})
             INSERT INTO history SELECT i << 20, i, i, 2, NULL, x'80' FROM n"
        ),
    );
    let query = Query { owner: Some(UserId(1)), ..all() };
    let first = page(&journal, &query);
    assert_eq!((first.told.len(), first.next), (0, Some(2 << 20)));
    let second = page(&journal, &Query { before: first.next, ..query });
    assert_eq!((sessions(&second), second.next), (vec![1], None));
}

#[test]
fn bu_048_what_is_over_is_pruned_some_at_a_time() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    let many = 2 * limits::HISTORY_PRUNED_PER_COMMIT as u64 + 10;
    let old: Vec<One> = (1..=many).map(|session| one(session, session)).collect();
    put(&mut journal, 1, &old);
    let kept = |journal: &SqliteJournal| {
        let db = Connection::open(place.site().join("journal.db")).unwrap();
        assert_eq!(found(journal)[0], many, "the newest stays");
        db.query_row("SELECT count(*) FROM history", [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
    };
    let mut left = Vec::new();
    for seq in 2..=4 {
        let appended = journal.append(Seq(seq), 1, turn(seq).into(), filed(&[], many - 1));
        assert_eq!(wait(appended), Appended::Durable(Seq(seq)));
        left.push(kept(&journal));
    }
    let per_commit = limits::HISTORY_PRUNED_PER_COMMIT as u64;
    assert_eq!(left, [many - per_commit, many - 2 * per_commit, 2]);
    assert_eq!(verify(&place.data).unwrap()[0].problem, None, "turns are never pruned");
}

#[test]
fn bu_048_w5_1_who_erases_a_turn_erases_what_was_kept_of_the_sessions_it_ended() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    put(&mut journal, 1, &[one(1, 1)]);
    put(&mut journal, 2, &[one(3, 2), one(300, 2)]);
    put(&mut journal, 3, &[one(4, 3)]);
    drop(journal);
    let left = |erased: u64| {
        alter(&place, &format!("UPDATE turns SET payload = NULL WHERE seq = {erased}"));
        let (journal, _) = place.open().unwrap();
        found(&journal)
    };
    assert_eq!(left(2), [4, 1]);
    assert_eq!(left(3), [1]);
    assert_eq!((verify(&place.data).unwrap()[0].problem.clone(), verify(&place.data).unwrap()[0].erased), (None, 2));
}

/// A folder as the version before left it: the golden journal.
fn old_folder() -> Place {
    let place = Place::new();
    drop(place.open().unwrap());
    let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/journal-1"));
    for file in ["journal.db", "head"] {
        let to = place.site().join(file);
        fs::copy(golden.join(file), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
    }
    // As that version had it, whatever wrote the golden journal last.
    alter(
        &place,
        "DROP TRIGGER IF EXISTS history_erased; DROP TABLE IF EXISTS history; PRAGMA user_version = 1;
         PRAGMA wal_checkpoint(TRUNCATE);",
    );
    place
}

#[test]
fn bu_048_w5_5_a_folder_of_the_version_before_is_read_gets_a_history_and_is_asked_for_it_until_it_is_filled_in() {
    let place = old_folder();
    assert!(equipoise::journal::read(&place.data).is_ok(), "who only reads needs no history");
    assert_eq!(verify(&place.data).unwrap()[0].problem, None);
    for _ in 0..2 {
        // Whoever died while filling it in comes back here.
        let (journal, recovered) = place.open().unwrap();
        assert!(recovered.lacks_history);
        let mut filling = journal.fill_history().unwrap();
        for seq in 1..=3 {
            filling.file(Seq(seq), vec![record(one(seq, seq))]).unwrap();
        }
        assert_eq!(schema_version(&place), 1);
    }
    let (mut journal, recovered) = place.open().unwrap();
    let mut filling = journal.fill_history().unwrap();
    for seq in 1..=2_500 {
        filling.file(Seq(seq), vec![record(one(seq, seq))]).unwrap();
    }
    let snapshot = place.site().join("snapshot-1");
    fs::write(&snapshot, b"of a version whose sessions have no past").unwrap();
    filling.done(true).unwrap();
    assert_eq!(schema_version(&place), 2);
    assert!(!snapshot.exists(), "the next start folds what has all the past");
    put(&mut journal, recovered.head.0 + 1, &[one(9_000, 9_000)]);
    let newest = sessions(&page(&journal, &Query { since: Some(Time(2_499)), ..all() }));
    assert_eq!(newest, [2_500, 2_499], "places of turns that are there already are kept");
    drop(journal);
    let (journal, recovered) = place.open().unwrap();
    assert!(!recovered.lacks_history);
    assert_eq!(found(&journal).len(), limits::HISTORY_ROWS);
    assert_eq!(verify(&place.data).unwrap()[0].problem, None);
}

fn any_one() -> impl Strategy<Value = (Option<u32>, Option<u32>, u64)> {
    (proptest::option::of(0..4_u32), proptest::option::of(0..3_u32), 0..3_u64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is filed, and whatever is asked for: the same as looking at every record.
    #[test]
    fn bu_048_what_is_found_is_what_is_asked_for_and_may_be_seen(
        turns in proptest::collection::vec(proptest::collection::vec(any_one(), 0..8), 1..24),
        (owner, team) in (proptest::option::of(0..4_u32), proptest::option::of(0..3_u32)),
        sees in proptest::option::of((proptest::collection::btree_set(0..4_u32, 0..4), proptest::collection::btree_set(0..3_u32, 0..3))),
        (since, until) in (proptest::option::of(0..40_u64), proptest::option::of(0..40_u64)),
    ) {
        let place = Place::new();
        let (mut journal, _) = place.open().unwrap();
        let (mut now, mut ended) = (0, Vec::new());
        for (seq, turn) in (1..).zip(&turns) {
            let records: Vec<One> = turn.iter().map(|(owner, team, later)| {
                now += later;
                One { session: 1 + ended.len() as u64, ended: now, owner: *owner, team: *team }
            }).scan(0, |number, mut one| {
                one.session += *number;
                *number += 1;
                Some(one)
            }).collect();
            put(&mut journal, seq, &records);
            ended.extend(records);
        }
        let seen = |one: &One| sees.as_ref().is_none_or(|(owners, teams)| {
            one.owner.is_some_and(|owner| owners.contains(&owner)) || one.team.is_some_and(|team| teams.contains(&team))
        });
        let wanted: Vec<u64> = ended.iter().rev().filter(|one| {
            let of_time = since.is_none_or(|since| one.ended >= since) && until.is_none_or(|until| one.ended < until);
            let asked = owner.is_none_or(|owner| one.owner == Some(owner)) && team.is_none_or(|team| one.team == Some(team));
            of_time && asked && seen(one)
        }).map(|one| one.session).collect();
        let sees = sees.clone().map_or(Sees::All, |(owners, teams)| Sees::Of {
            owners: owners.into_iter().map(UserId).collect(),
            teams: teams.into_iter().map(TeamId).collect(),
        });
        let (owner, team, since, until) = (owner.map(UserId), team.map(TeamId), since.map(Time), until.map(Time));
        let mut query = Query { sees, owner, team, since, until, before: None };
        let mut read = Vec::new();
        loop {
            let page = page(&journal, &query);
            read.extend(sessions(&page));
            query.before = page.next;
            if page.next.is_none() {
                break;
            }
        }
        prop_assert_eq!(read, wanted);
    }
}
