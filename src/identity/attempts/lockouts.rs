//! What a restart must not forget: accounts and addresses that have to wait, and the site's breaker (I-A6). Moments are
//! kept by the wall clock, beside the moment at which they were written: a clock that was set back since then ends
//! nothing later than it would have ended, and one read from the file is never before that (I-T2).

use super::{
    Attempts, Counted, duration,
    keys::{HOUR, Try},
    net::Net,
    sign_ins::Account,
};
use crate::{
    ids::SecretHash,
    limits::{ATTEMPTS_REMEMBERED, BREAKER_OPEN, LOCKOUTS_KEPT, SIGN_IN_WAIT_MAX},
};
use governor::clock::Clock;
use serde::{Deserialize, Serialize};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// As it stands in the file. Times are milliseconds since 1970 UTC.
#[derive(Serialize, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
struct Lockouts {
    written_ms: u64,
    #[serde(default)]
    breaker_until_ms: Option<u64>,
    /// By the hash of their names: one that does not exist is kept like one that does.
    #[serde(default)]
    accounts: Vec<KeptAccount>,
    #[serde(default)]
    networks: Vec<KeptNetwork>,
}

#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct KeptAccount {
    name: SecretHash,
    failures: u32,
    last_ms: u64,
}

#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct KeptNetwork {
    network: IpAddr,
    wrong_ms: Vec<u64>,
}

#[derive(Debug, thiserror::Error)]
#[error("what is remembered of failed attempts cannot be read: {0}")]
pub struct LockoutsError(#[from] rmp_serde::decode::Error);

impl<C: Clock> Attempts<C> {
    /// Resolves when something has changed that a restart must not forget.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What must not be forgotten, as [`Self::recall`] understands it: bounded, the longest waits first.
    pub fn kept(&self, wall_ms: u64) -> Vec<u8> {
        let lockouts = self.counted.lock().kept(wall_ms, Instant::now());
        rmp_serde::to_vec_named(&lockouts).expect("numbers and texts")
    }

    /// Goes on from what an earlier run kept.
    pub fn recall(&self, kept: &[u8], wall_ms: u64) -> Result<(), LockoutsError> {
        let lockouts = rmp_serde::from_slice(kept)?;
        self.counted.lock().recall(lockouts, wall_ms, Instant::now());
        Ok(())
    }
}

impl Counted {
    fn kept(&self, wall_ms: u64, now: Instant) -> Lockouts {
        let wall = |at: Instant| {
            let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            wall_ms
                .saturating_add(millis(at.saturating_duration_since(now)))
                .saturating_sub(millis(now.saturating_duration_since(at)))
        };
        let mut accounts: Vec<(&SecretHash, &Account)> = self.sign_ins.accounts.iter().collect();
        accounts.sort_unstable_by_key(|(name, account)| std::cmp::Reverse((account.until(), account.failures, name.0)));
        let mut networks: Vec<(Net, Vec<Instant>)> = self
            .keys
            .nets
            .iter()
            .map(|(net, tries)| (*net, tries.iter().filter(|tried| tried.wrong).map(|tried: &Try| tried.at).collect()))
            .filter(|(_, wrong): &(Net, Vec<Instant>)| !wrong.is_empty())
            .collect();
        networks.sort_unstable_by_key(|(net, wrong)| std::cmp::Reverse((wrong.len(), *net)));
        Lockouts {
            written_ms: wall_ms,
            breaker_until_ms: self.keys.breaker_until.filter(|until| *until > now).map(wall),
            accounts: accounts
                .into_iter()
                .take(LOCKOUTS_KEPT)
                .map(|(name, account)| KeptAccount {
                    name: *name,
                    failures: account.failures,
                    last_ms: wall(account.last),
                })
                .collect(),
            networks: networks
                .into_iter()
                .take(LOCKOUTS_KEPT)
                .map(|(net, wrong)| KeptNetwork { network: net.0, wrong_ms: wrong.into_iter().map(wall).collect() })
                .collect(),
        }
    }

    fn recall(&mut self, kept: Lockouts, wall_ms: u64, now: Instant) {
        let wall_ms = wall_ms.max(kept.written_ms);
        // None for what is longer ago than the machine is up, and so longer than anything is remembered, or nearly so.
        let ago = |ms: u64| now.checked_sub(Duration::from_millis(wall_ms.saturating_sub(ms)));
        for KeptAccount { name, failures, last_ms } in kept.accounts.into_iter().take(ATTEMPTS_REMEMBERED) {
            if let Some(last) = ago(last_ms) {
                self.sign_ins.accounts.insert(name, Account::recalled(failures, last));
            }
        }
        for KeptNetwork { network, wrong_ms } in kept.networks.into_iter().take(ATTEMPTS_REMEMBERED) {
            self.keys.remember(Net::of_key(network), wrong_ms.into_iter().filter_map(ago));
        }
        let left = kept.breaker_until_ms.map(|until| Duration::from_millis(until.saturating_sub(wall_ms)));
        self.keys.breaker_until = left.map(|left| now + left.min(duration(BREAKER_OPEN)));
        self.sign_ins.retain_recent(now);
        self.keys.retain_recent(now);
    }
}

// What is recalled must reach back at least as far as a wait lasts.
const _: () = assert!(SIGN_IN_WAIT_MAX.0 <= HOUR.as_secs() * 1_000);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{SIGN_IN_FAILURES, WRONG_KEYS_PER_HOUR};

    const WALL: u64 = 1_800_000_000_000;
    const MINUTE_MS: u64 = 60_000;

    /// An account that waits for a minute, an address for an hour, and an open breaker.
    fn locked(now: Instant) -> Counted {
        let mut counted = Counted::default();
        for _ in 0..SIGN_IN_FAILURES {
            counted.sign_ins.count(SecretHash::of(b"ana"), now);
        }
        counted.keys.remember(net(), (0..WRONG_KEYS_PER_HOUR).map(|_| now));
        counted.keys.breaker_until = Some(now + duration(BREAKER_OPEN));
        counted
    }

    fn net() -> Net {
        Net::of_key(IpAddr::from([192, 0, 2, 1]))
    }

    /// What is left to wait after a restart at which the wall clock says this, through the very bytes of the file.
    fn left(wall_ms: u64) -> (Duration, Duration, Duration) {
        // Long before and after anything here: an hour back from a machine's first minute is no moment.
        let (before, after) = (Instant::now(), Instant::now() + 3 * HOUR);
        let bytes = rmp_serde::to_vec_named(&locked(before).kept(WALL, before)).unwrap();
        let mut again = Counted::default();
        again.recall(rmp_serde::from_slice(&bytes).unwrap(), wall_ms, after);
        (
            again.sign_ins.may_try(SecretHash::of(b"ana"), after).err().unwrap_or_default(),
            again.keys.may_try_link(net(), after).err().unwrap_or_default(),
            again.keys.breaker_until.unwrap().saturating_duration_since(after),
        )
    }

    #[test]
    fn i_a6_a_restart_leaves_what_was_left_of_every_wait() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        assert_eq!(left(WALL), (minutes(1), minutes(60), minutes(10)));
        assert_eq!(left(WALL + MINUTE_MS / 2), (minutes(1) / 2, minutes(60) - minutes(1) / 2, minutes(19) / 2));
        assert_eq!(left(WALL + 60 * MINUTE_MS), (minutes(0), minutes(0), minutes(0)));
    }

    #[test]
    fn i_t2_a_clock_that_was_set_back_neither_ends_nor_lengthens_a_wait() {
        assert_eq!(left(WALL - 60 * MINUTE_MS), left(WALL));
        assert_eq!(left(0), left(WALL));
    }

    #[test]
    fn i_m1_what_is_kept_is_bounded_and_the_longest_waits_come_first() {
        let now = Instant::now();
        let mut counted = locked(now);
        for n in 0..2 * LOCKOUTS_KEPT as u32 {
            counted.sign_ins.count(SecretHash::of(&n.to_be_bytes()), now);
            counted.keys.remember(Net::of_key(IpAddr::V4(n.into())), std::iter::once(now));
        }
        let kept = counted.kept(WALL, now);
        assert_eq!((kept.accounts.len(), kept.networks.len()), (LOCKOUTS_KEPT, LOCKOUTS_KEPT));
        assert_eq!((kept.accounts[0].name, kept.networks[0].network), (SecretHash::of(b"ana"), net().0));
    }

    #[test]
    fn a_damaged_file_is_said_to_be_one() {
        let good = rmp_serde::to_vec_named(&Lockouts::default()).unwrap();
        assert!(Attempts::new().recall(&good, WALL).is_ok());
        for bad in [b"".as_slice(), b"{}", b"\xc1", b"\x80", &good[..good.len() - 1]] {
            assert!(Attempts::new().recall(bad, WALL).is_err(), "{bad:02x?}");
        }
    }
}
