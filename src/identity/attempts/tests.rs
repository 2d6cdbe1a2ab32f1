//! Of the public face: what counts, and what is given back.

use super::*;
use crate::limits::*;
use governor::clock::FakeRelativeClock;
use std::sync::Arc;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn nth(n: u32) -> IpAddr {
    IpAddr::V4(n.into())
}

/// A wrong key, or why it was not looked at.
async fn guess(attempts: &Attempts, address: IpAddr) -> Result<(), NoTry> {
    let tried = attempts.try_code(address, None).await?;
    attempts.wrong(tried);
    Ok(())
}

#[tokio::test]
async fn h_47_the_sixth_wrong_key_from_one_address_in_a_minute_is_not_looked_at() {
    let attempts = Attempts::new();
    for _ in 0..WRONG_KEYS_PER_MIN {
        assert_eq!(guess(&attempts, nth(1)).await, Ok(()));
    }
    let Err(NoTry::Wait(wait)) = guess(&attempts, nth(1)).await else { panic!("a sixth one") };
    assert!(wait <= Duration::from_secs(60) && wait > Duration::from_secs(30), "{wait:?}");
    assert!(attempts.try_link(nth(1)).is_err(), "nor a link");
    assert_eq!(guess(&attempts, nth(2)).await, Ok(()), "others are not concerned");
}

#[test]
fn h_47_twenty_wrong_keys_are_enough_for_an_hour() {
    let start = Instant::now();
    let mut keys = Keys::default();
    let net = Net::of_key(nth(1));
    let at = |n: u32| start + n * Duration::from_secs(15);
    for n in 0..WRONG_KEYS_PER_HOUR {
        let kept = keys.try_code(net, false, at(n)).unwrap();
        keys.wrong(net, &kept, at(n));
    }
    let now = at(WRONG_KEYS_PER_HOUR);
    let Err(NotYet::Wrong(wait)) = keys.try_code(net, false, now) else { panic!("the hour is used up") };
    assert_eq!(now + wait, start + keys::HOUR);
    assert!(keys.try_code(net, false, start + keys::HOUR).is_ok());
}

#[tokio::test]
async fn h_47_right_keys_never_count() {
    let attempts = Attempts::new();
    for _ in 0..1_000 {
        let tried = attempts.try_code(nth(1), None).await.unwrap();
        attempts.give_back(tried);
    }
    assert!(attempts.counted.lock().keys.nets.is_empty());
}

#[tokio::test]
async fn h_47_links_that_were_wrong_count_against_their_address() {
    let attempts = Attempts::new();
    for _ in 0..WRONG_KEYS_PER_MIN {
        let tried = attempts.try_link(nth(1)).unwrap();
        attempts.wrong(tried);
    }
    assert!(attempts.try_link(nth(1)).is_err());
    assert!(matches!(guess(&attempts, nth(1)).await, Err(NoTry::Wait(_))));
}

#[tokio::test]
async fn h_47_guesses_at_the_same_instant_are_counted_before_they_are_answered() {
    let attempts = Attempts::new();
    let mut under_way = Vec::new();
    for _ in 0..WRONG_KEYS_PER_MIN {
        under_way.push(attempts.try_code(nth(1), None).await.unwrap());
    }
    let mut sixth = Box::pin(attempts.try_code(nth(1), None));
    assert!(futures_util::poll!(&mut sixth).is_pending(), "it waits for a place");
    attempts.give_back(under_way.pop().unwrap());
    let sixth = sixth.await.unwrap();
    for tried in under_way.into_iter().chain([sixth]) {
        attempts.wrong(tried);
    }
    assert!(matches!(attempts.try_code(nth(1), None).await, Err(NoTry::Wait(_))));
}

#[tokio::test]
async fn h_48_ten_thousand_guesses_at_the_same_instant_stay_within_the_site_s_budget() {
    let attempts = Arc::new(Attempts::new());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..10_000 {
        let attempts = attempts.clone();
        tasks.spawn(async move {
            let tried = attempts.try_code(nth(n), None).await?;
            tokio::task::yield_now().await;
            attempts.wrong(tried);
            Ok::<_, NoTry>(())
        });
    }
    let (mut looked_at, mut to_work) = (0, 0);
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            Ok(()) => looked_at += 1,
            Err(NoTry::Work(_)) => to_work += 1,
            Err(NoTry::Wait(wait)) => panic!("nobody here had a wrong key before: {wait:?}"),
        }
    }
    assert_eq!((looked_at, to_work), (WRONG_KEYS_SITE_PER_MIN, 10_000 - WRONG_KEYS_SITE_PER_MIN));
    assert!(attempts.breaker_open());
}

#[test]
fn h_48_the_breaker_asks_for_work_for_ten_minutes_and_for_more_the_more_there_are() {
    let start = Instant::now();
    let mut keys = Keys::default();
    let wrong = |keys: &mut Keys, n: u32, worked| {
        let kept = keys.try_code(Net::of_key(nth(n)), worked, start)?;
        keys.wrong(Net::of_key(nth(n)), &kept, start);
        Ok(())
    };
    for n in 0..WRONG_KEYS_SITE_PER_MIN {
        assert_eq!(wrong(&mut keys, n, false), Ok(()));
    }
    assert_eq!(wrong(&mut keys, 1_000, false), Err(NotYet::NeedsWork { bits: WORK_BITS }));
    for n in 0..WRONG_KEYS_SITE_PER_MIN {
        assert_eq!(wrong(&mut keys, 2_000 + n, true), Ok(()), "whoever worked");
    }
    assert_eq!(wrong(&mut keys, 1_000, false), Err(NotYet::NeedsWork { bits: WORK_BITS + 1 }));
    let net = Net::of_key(nth(1_000));
    assert_eq!(keys.may_try_link(net, start), Ok(()));
    let late = start + keys::MINUTE;
    assert_eq!(keys.try_code(net, false, late).err(), Some(NotYet::NeedsWork { bits: WORK_BITS }));
    assert!(keys.try_code(net, false, start + duration(BREAKER_OPEN)).is_ok());
}

#[tokio::test]
async fn h_48_work_buys_one_try_and_none_beyond_those_of_an_address() {
    let attempts = Attempts::new();
    for n in 0..WRONG_KEYS_SITE_PER_MIN {
        guess(&attempts, nth(n)).await.unwrap();
    }
    for n in 1..=WRONG_KEYS_PER_MIN {
        let Err(NoTry::Work(asked)) = guess(&attempts, nth(7_000)).await else { panic!("work is asked for") };
        // What the broker asks for costs seconds in a test: an easier one of the same make.
        assert!(asked.bits >= WORK_BITS);
        let easy = attempts.works.challenge(Net::of_key(nth(7_000)), 8, Instant::now());
        let answer = easy.solve().unwrap();
        let tried = attempts.try_code(nth(7_000), Some((&easy.challenge, answer))).await.unwrap();
        attempts.wrong(tried);
        let again = attempts.try_code(nth(7_000), Some((&easy.challenge, answer))).await.unwrap_err();
        assert_eq!(matches!(again, NoTry::Work(_)), n < WRONG_KEYS_PER_MIN, "used up: {again:?}");
    }
    assert!(matches!(guess(&attempts, nth(7_000)).await, Err(NoTry::Wait(_))));
}

#[test]
fn sign_ins_are_limited_by_network_and_by_process() {
    let clock = FakeRelativeClock::default();
    let attempts = Attempts::with_clock(clock.clone());
    let right = |address: IpAddr, account: &str| {
        let tried = attempts.try_sign_in(address, account);
        attempts.sign_in_succeeded(account);
        tried
    };
    for n in 0..SIGN_INS_PER_MIN {
        assert_eq!(right(address("192.0.2.1"), &format!("user{n}")), Ok(()));
        clock.advance(Duration::from_millis(100));
    }
    let wait = right(address("192.0.2.77"), "ana").unwrap_err();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(3), "{wait:?}");
    assert_eq!(right(address("198.51.100.1"), "ana"), Ok(()));
    clock.advance(wait);
    assert_eq!(right(address("192.0.2.77"), "ana"), Ok(()));

    clock.advance(keys::MINUTE);
    for n in 0..SIGN_INS_SITE_PER_S {
        assert_eq!(right(nth(n << 8), "ben"), Ok(()));
    }
    assert!(right(nth(99 << 8), "ben").is_err());
}

#[test]
fn an_account_waits_after_five_failures_doubling_to_fifteen_minutes_and_never_for_ever() {
    let mut now = Instant::now();
    let mut sign_ins = SignIns::default();
    let account = SecretHash::of(b"ana");
    for _ in 0..4 {
        sign_ins.count(account, now);
        assert_eq!(sign_ins.may_try(account, now), Ok(()));
    }
    for minutes in [1, 2, 4, 8, 15, 15, 15] {
        sign_ins.count(account, now);
        let wait = sign_ins.may_try(account, now).unwrap_err();
        assert_eq!(wait, minutes * keys::MINUTE);
        now += wait;
        assert_eq!(sign_ins.may_try(account, now), Ok(()));
    }
    assert_eq!(sign_ins.may_try(SecretHash::of(b"ben"), now), Ok(()));
}

#[test]
fn h_52_sign_ins_at_the_same_instant_count_before_they_are_answered() {
    let attempts = Attempts::new();
    for n in 0..SIGN_IN_FAILURES {
        assert_eq!(attempts.try_sign_in(nth(n << 8), "ana"), Ok(()));
    }
    assert!(attempts.try_sign_in(nth(99 << 8), "ana").is_err(), "five are under way");
    attempts.sign_in_unanswered("ana");
    assert_eq!(attempts.try_sign_in(nth(98 << 8), "ana"), Ok(()), "one was not looked at");
    attempts.sign_in_succeeded("ana");
    assert!(attempts.counted.lock().sign_ins.accounts.is_empty(), "a right password clears the account");
}

#[test]
fn i_m1_what_is_remembered_is_bounded_and_forgotten() {
    let now = Instant::now();
    let mut counted = Counted::default();
    for n in 0..ATTEMPTS_REMEMBERED as u32 + 1_000 {
        counted.keys.count(Net::of_key(nth(n)), now);
        counted.sign_ins.count(SecretHash::of(&n.to_be_bytes()), now);
    }
    let remembered = |counted: &Counted| (counted.keys.nets.len(), counted.sign_ins.accounts.len());
    assert_eq!(remembered(&counted), (ATTEMPTS_REMEMBERED, ATTEMPTS_REMEMBERED));
    counted.keys.retain_recent(now + keys::HOUR);
    counted.sign_ins.retain_recent(now + keys::HOUR);
    assert_eq!(remembered(&counted), (0, 0));
}
