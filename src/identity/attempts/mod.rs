//! How often one may try: sign-ins and session keys, for each network, account and the whole site (I-K3, security.md
//! values). A try counts before it is looked at and is given back if it was right, so that guesses at the same instant
//! do not slip through. Whoever is refused is told how long to wait. Memory is bounded: what is not recent is forgotten.

mod keys;
mod lockouts;
mod net;
mod sign_ins;
mod work;

pub use lockouts::LockoutsError;

use crate::{
    ids::SecretHash,
    limits::{SIGN_INS_PER_MIN, SIGN_INS_SITE_PER_S},
    time::Span,
    wire::Work,
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock, Reference},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed, keyed::DashMapStateStore},
};
use keys::{Kept, Keys, NotYet};
pub(crate) use net::Net;
use parking_lot::Mutex;
use sign_ins::SignIns;
use std::{
    net::IpAddr,
    num::NonZeroU32,
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use work::Works;

/// How long somebody waits at most for a place before looking again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

type Middleware<C> = NoOpMiddleware<<C as Clock>::Instant>;

/// The counters of one site. `C` is the clock of the sign-in rates; tests bring their own.
pub struct Attempts<C: Clock = DefaultClock> {
    clock: C,
    sign_in_rates: RateLimiter<Net, DashMapStateStore<Net>, C, Middleware<C>>,
    sign_in_rate: RateLimiter<NotKeyed, InMemoryState, C, Middleware<C>>,
    counted: Mutex<Counted>,
    /// A try was found right or wrong: those who wait for its place look again.
    settled: Notify,
    /// Something that a restart must not forget has changed.
    changed: Notify,
    works: Works,
}

/// What is counted here; time is handed in.
#[derive(Debug, Default)]
struct Counted {
    keys: Keys,
    sign_ins: SignIns,
}

/// Why a key is not looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoTry {
    /// This address, or this solution, had its tries.
    Wait(Duration),
    /// The site's budget is used up: whoever has worked for a try may have one (I-K3).
    Work(Work),
}

/// A try at a session key that counts as a wrong one until something else is said.
#[must_use = "a try that is dropped stays counted as a wrong one"]
#[derive(Debug)]
pub struct KeyTry {
    net: Net,
    /// None for a link's token: nobody guesses one, so only those that were wrong count.
    kept: Option<Kept>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self::with_clock(DefaultClock::default())
    }
}

impl Attempts {
    pub fn new() -> Self {
        Self::default()
    }
}

impl<C: Clock + Clone> Attempts<C> {
    fn with_clock(clock: C) -> Self {
        let per_net = Quota::per_minute(NonZeroU32::new(SIGN_INS_PER_MIN).expect("a limit above 0"));
        let per_site = Quota::per_second(NonZeroU32::new(SIGN_INS_SITE_PER_S).expect("a limit above 0"));
        Self {
            sign_in_rates: RateLimiter::new(per_net, DashMapStateStore::default(), clock.clone()),
            sign_in_rate: RateLimiter::direct_with_clock(per_site, clock.clone()),
            clock,
            counted: Mutex::default(),
            settled: Notify::new(),
            changed: Notify::new(),
            works: Works::new(),
        }
    }
}

impl<C: Clock> Attempts<C> {
    /// Before a code is looked at: takes one of the tries that this address and the site have left. Where all that are
    /// left are under way, waits until one of them was answered. `solved`: the work that was asked for, if any.
    ///
    /// # Errors
    /// This address, or the whole site, had too many wrong keys.
    pub async fn try_code(&self, address: IpAddr, solved: Option<(&str, u64)>) -> Result<KeyTry, NoTry> {
        let net = Net::of_key(address);
        let mut worked = false;
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            let now = Instant::now();
            // The solution is used up only where a try may follow: an address that has none left keeps it.
            if !worked && let Some((challenge, answer)) = solved {
                self.counted.lock().keys.may_try_link(net, now).map_err(NoTry::Wait)?;
                worked = self.works.take(challenge, answer, net, now);
            }
            let tried = self.counted.lock().keys.try_code(net, worked, now);
            match tried {
                Ok(kept) => return Ok(KeyTry { net, kept: Some(kept) }),
                Err(NotYet::Wrong(wait)) => return Err(NoTry::Wait(wait)),
                Err(NotYet::NeedsWork { bits }) => return Err(NoTry::Work(self.works.challenge(net, bits, now))),
                // Looks again by itself too: who asked may have gone without an answer.
                Err(NotYet::UnderWay) => drop(tokio::time::timeout(LOOK_AGAIN, settled).await),
            }
        }
    }

    /// The same for a link's token, which works whatever the site's budget says: nobody guesses 128 bits (I-K3).
    ///
    /// # Errors
    /// How long to wait: this address had too many wrong keys.
    pub fn try_link(&self, address: IpAddr) -> Result<KeyTry, Duration> {
        let net = Net::of_key(address);
        self.counted.lock().keys.may_try_link(net, Instant::now())?;
        Ok(KeyTry { net, kept: None })
    }

    /// The key led nowhere.
    pub fn wrong(&self, tried: KeyTry) {
        let now = Instant::now();
        {
            let mut counted = self.counted.lock();
            let kept = tried.kept.unwrap_or_else(|| counted.keys.count(tried.net, now));
            counted.keys.wrong(tried.net, &kept, now);
        }
        self.settled.notify_waiters();
        self.changed.notify_one();
    }

    /// The key was right, or nobody looked at it.
    pub fn give_back(&self, tried: KeyTry) {
        if let Some(kept) = tried.kept {
            self.counted.lock().keys.give_back(tried.net, &kept);
            self.settled.notify_waiters();
        }
    }

    /// The site's budget of wrong keys was used up in the last ten minutes: codes need work, and the operator an alert.
    pub fn breaker_open(&self) -> bool {
        self.counted.lock().keys.breaker_open(Instant::now())
    }

    /// Before a password is hashed; counts as a failure until [`Self::sign_in_succeeded`] or
    /// [`Self::sign_in_unanswered`]. An account that does not exist is treated as one that does (I-A7).
    ///
    /// # Errors
    /// How long to wait.
    pub fn try_sign_in(&self, address: IpAddr, account: &str) -> Result<(), Duration> {
        let account = SecretHash::of(account.as_bytes());
        self.counted.lock().sign_ins.may_try(account, Instant::now())?;
        let wait = |until: C::Instant| Duration::from(until.duration_since(self.clock.now()));
        self.sign_in_rates.check_key(&Net::of_sign_in(address)).map_err(|not| wait(not.earliest_possible()))?;
        self.sign_in_rate.check().map_err(|not| wait(not.earliest_possible()))?;
        let now = Instant::now();
        let mut counted = self.counted.lock();
        // Another try at this account may have come between.
        counted.sign_ins.may_try(account, now)?;
        counted.sign_ins.count(account, now);
        Ok(())
    }

    /// The try stays counted. `address` is for the log of who keeps one; the wait belongs to the account.
    pub fn sign_in_failed(&self, address: IpAddr) {
        tracing::debug!(%address, "a sign-in failed");
        self.changed.notify_one();
    }

    /// Everything was right: the account starts afresh.
    pub fn sign_in_succeeded(&self, account: &str) {
        // More than the try itself: then there is something to forget in the file too.
        if self.counted.lock().sign_ins.forget(SecretHash::of(account.as_bytes())) > 1 {
            self.changed.notify_one();
        }
    }

    /// Somebody who may said so: the account starts afresh, whatever was tried.
    pub fn unlock(&self, account: &str) {
        if self.counted.lock().sign_ins.forget(SecretHash::of(account.as_bytes())) > 0 {
            self.changed.notify_one();
        }
    }

    /// Nobody looked at the password, or it was right and more is asked for: as if it had not been tried.
    pub fn sign_in_unanswered(&self, account: &str) {
        self.counted.lock().sign_ins.give_back(SecretHash::of(account.as_bytes()));
    }

    /// Forgets what is not recent; called about once a minute.
    pub fn retain_recent(&self) {
        self.sign_in_rates.retain_recent();
        self.sign_in_rates.shrink_to_fit();
        let now = Instant::now();
        let mut counted = self.counted.lock();
        counted.keys.retain_recent(now);
        counted.sign_ins.retain_recent(now);
    }
}

fn duration(span: Span) -> Duration {
    Duration::from_millis(span.0)
}

impl<C: Clock> std::fmt::Debug for Attempts<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempts").field("counted", &self.counted).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
