//! How often one may try: sign-ins and session keys, for each network, account and the whole site (I-K3, security.md
//! values). Whoever is refused is told how long to wait. Memory is bounded: what is not recent is forgotten.

use crate::{
    ids::SecretHash,
    limits::{
        ATTEMPTS_REMEMBERED, BREAKER_OPEN, SIGN_IN_FAILURES, SIGN_IN_WAIT, SIGN_IN_WAIT_MAX, SIGN_INS_PER_MIN,
        SIGN_INS_SITE_PER_S, WRONG_KEYS_PER_HOUR, WRONG_KEYS_PER_MIN, WRONG_KEYS_SITE_PER_MIN,
    },
    time::Span,
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock, Reference},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed, keyed::DashMapStateStore},
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    num::NonZeroU32,
    time::{Duration, Instant},
};

type Middleware<C> = NoOpMiddleware<<C as Clock>::Instant>;

/// The counters of one site. `C` is the clock of the sign-in rates; tests bring their own.
pub struct Attempts<C: Clock = DefaultClock> {
    clock: C,
    sign_ins: RateLimiter<Net, DashMapStateStore<Net>, C, Middleware<C>>,
    sign_ins_site: RateLimiter<NotKeyed, InMemoryState, C, Middleware<C>>,
    failures: Mutex<Failures>,
}

/// Where somebody comes from, as far as one party may own it: an IPv4 address or an IPv6 /64 for keys, a /24 or /64
/// for sign-ins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Net(IpAddr);

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
            sign_ins: RateLimiter::new(per_net, DashMapStateStore::default(), clock.clone()),
            sign_ins_site: RateLimiter::direct_with_clock(per_site, clock.clone()),
            clock,
            failures: Mutex::default(),
        }
    }
}

impl<C: Clock> Attempts<C> {
    /// Before a code is looked at. Counts nothing: only wrong ones count.
    ///
    /// # Errors
    /// How long to wait: this address, or the whole site, had too many wrong keys.
    pub fn may_try_key(&self, address: IpAddr) -> Result<(), Duration> {
        self.failures.lock().may_try_code(Net::of_key(address), Instant::now())
    }

    /// The same for a link's token, which works whatever the site's budget says: nobody guesses 128 bits (I-K3).
    pub fn may_try_link(&self, address: IpAddr) -> Result<(), Duration> {
        self.failures.lock().may_try_link(Net::of_key(address), Instant::now())
    }

    pub fn wrong_key(&self, address: IpAddr) {
        self.failures.lock().wrong_key(Net::of_key(address), Instant::now());
    }

    /// The site's budget of wrong keys was used up in the last ten minutes: an alert for the operator.
    pub fn breaker_open(&self) -> bool {
        self.failures.lock().breaker_open(Instant::now())
    }

    /// Before a password is hashed; counts as a try. An account that does not exist is treated as one that does (I-A7).
    ///
    /// # Errors
    /// How long to wait.
    pub fn may_sign_in(&self, address: IpAddr, account: &str) -> Result<(), Duration> {
        self.failures.lock().may_sign_in(SecretHash::of(account.as_bytes()), Instant::now())?;
        let wait = |until: C::Instant| Duration::from(until.duration_since(self.clock.now()));
        self.sign_ins.check_key(&Net::of_sign_in(address)).map_err(|not| wait(not.earliest_possible()))?;
        self.sign_ins_site.check().map_err(|not| wait(not.earliest_possible()))
    }

    /// `address` is for the log of who keeps one; the wait belongs to the account.
    pub fn sign_in_failed(&self, address: IpAddr, account: &str) {
        tracing::debug!(%address, "a sign-in failed");
        self.failures.lock().sign_in_failed(SecretHash::of(account.as_bytes()), Instant::now());
    }

    pub fn sign_in_succeeded(&self, account: &str) {
        self.failures.lock().accounts.remove(&SecretHash::of(account.as_bytes()));
    }

    /// Forgets what is not recent; called about once a minute.
    pub fn retain_recent(&self) {
        self.sign_ins.retain_recent();
        self.sign_ins.shrink_to_fit();
        self.failures.lock().retain_recent(Instant::now());
    }
}

impl Net {
    fn of_key(address: IpAddr) -> Self {
        Self::masked(address, u32::MAX)
    }

    fn of_sign_in(address: IpAddr) -> Self {
        Self::masked(address, u32::MAX << 8)
    }

    fn masked(address: IpAddr, v4: u32) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4((address.to_bits() & v4).into()),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        })
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Failures, and what they lead to; time is handed in.
#[derive(Debug, Default)]
struct Failures {
    /// Moments of the last wrong keys of each network, at most as many as it may have in an hour.
    nets: HashMap<Net, VecDeque<Instant>>,
    site: VecDeque<Instant>,
    breaker_until: Option<Instant>,
    accounts: HashMap<SecretHash, Account>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Account {
    failures: u32,
    last: Instant,
    until: Option<Instant>,
}

impl Failures {
    fn may_try_code(&self, net: Net, now: Instant) -> Result<(), Duration> {
        self.may_try_link(net, now)?;
        within(&self.site, WRONG_KEYS_SITE_PER_MIN, MINUTE, now)
    }

    fn may_try_link(&self, net: Net, now: Instant) -> Result<(), Duration> {
        let Some(wrong) = self.nets.get(&net) else { return Ok(()) };
        within(wrong, WRONG_KEYS_PER_HOUR, HOUR, now)?;
        within(wrong, WRONG_KEYS_PER_MIN, MINUTE, now)
    }

    fn wrong_key(&mut self, net: Net, now: Instant) {
        if self.nets.len() >= ATTEMPTS_REMEMBERED && !self.nets.contains_key(&net) {
            self.make_room(now);
        }
        // So many networks in a minute: the site's budget is long gone and holds instead.
        if self.nets.len() < ATTEMPTS_REMEMBERED || self.nets.contains_key(&net) {
            push(self.nets.entry(net).or_default(), WRONG_KEYS_PER_HOUR, now);
        }
        push(&mut self.site, WRONG_KEYS_SITE_PER_MIN, now);
        if within(&self.site, WRONG_KEYS_SITE_PER_MIN, MINUTE, now).is_err() {
            if !self.breaker_open(now) {
                tracing::warn!(
                    "the site's budget of wrong session keys is used up: codes are refused, links still work"
                );
            }
            self.breaker_until = Some(now + duration(BREAKER_OPEN));
        }
    }

    fn breaker_open(&self, now: Instant) -> bool {
        self.breaker_until.is_some_and(|until| until > now)
    }

    fn may_sign_in(&self, account: SecretHash, now: Instant) -> Result<(), Duration> {
        match self.accounts.get(&account).and_then(|account| account.until) {
            Some(until) if until > now => Err(until - now),
            _ => Ok(()),
        }
    }

    fn sign_in_failed(&mut self, account: SecretHash, now: Instant) {
        if self.accounts.len() >= ATTEMPTS_REMEMBERED && !self.accounts.contains_key(&account) {
            self.make_room(now);
            if self.accounts.len() >= ATTEMPTS_REMEMBERED {
                return;
            }
        }
        let account = self.accounts.entry(account).or_insert(Account { failures: 0, last: now, until: None });
        account.failures = account.failures.saturating_add(1);
        account.last = now;
        if let Some(beyond) = account.failures.checked_sub(SIGN_IN_FAILURES) {
            let wait = SIGN_IN_WAIT.0.saturating_mul(1 << beyond.min(16)).min(SIGN_IN_WAIT_MAX.0);
            account.until = Some(now + Duration::from_millis(wait));
        }
    }

    /// A sweep looks at all that is remembered: at most one a second, however many come.
    fn make_room(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= Duration::from_secs(1)) {
            self.retain_recent(now);
        }
    }

    fn retain_recent(&mut self, now: Instant) {
        self.swept = Some(now);
        self.nets.retain(|_, wrong| wrong.back().is_some_and(|last| now.saturating_duration_since(*last) < HOUR));
        // Twice the longest wait without a failure: a fresh start.
        let forget = 2 * duration(SIGN_IN_WAIT_MAX);
        self.accounts.retain(|_, account| now.saturating_duration_since(account.last) < forget);
    }
}

/// Whether fewer than `limit` of these moments lie within `window` before now; else how long until that is so.
fn within(moments: &VecDeque<Instant>, limit: u32, window: Duration, now: Instant) -> Result<(), Duration> {
    let Some(decides) = moments.len().checked_sub(limit as usize).and_then(|at| moments.get(at)) else {
        return Ok(());
    };
    match window.checked_sub(now.saturating_duration_since(*decides)) {
        None | Some(Duration::ZERO) => Ok(()),
        Some(wait) => Err(wait),
    }
}

fn push(moments: &mut VecDeque<Instant>, limit: u32, now: Instant) {
    if moments.len() >= limit as usize {
        moments.pop_front();
    }
    moments.push_back(now);
}

fn duration(span: Span) -> Duration {
    Duration::from_millis(span.0)
}

impl<C: Clock> std::fmt::Debug for Attempts<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempts").field("failures", &self.failures).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn h_47_the_sixth_wrong_key_from_one_address_in_a_minute_is_not_looked_at() {
        let start = Instant::now();
        let mut failures = Failures::default();
        let (net, other) = (Net::of_key(address("192.0.2.1")), Net::of_key(address("192.0.2.2")));
        for second in 0..5 {
            let now = start + Duration::from_secs(second);
            assert_eq!(failures.may_try_code(net, now), Ok(()));
            failures.wrong_key(net, now);
        }
        let now = start + Duration::from_secs(5);
        assert_eq!(failures.may_try_code(net, now), Err(Duration::from_secs(55)));
        assert_eq!(failures.may_try_link(net, now), Err(Duration::from_secs(55)));
        assert_eq!(failures.may_try_code(other, now), Ok(()));
        assert_eq!(failures.may_try_code(net, start + MINUTE), Ok(()));
        failures.wrong_key(net, start + MINUTE);
        assert_eq!(failures.may_try_code(net, start + MINUTE), Err(Duration::from_secs(1)));
    }

    #[test]
    fn h_47_twenty_wrong_keys_are_enough_for_an_hour() {
        let start = Instant::now();
        let mut failures = Failures::default();
        let net = Net::of_key(address("192.0.2.1"));
        for n in 0..WRONG_KEYS_PER_HOUR {
            let now = start + n * Duration::from_secs(15);
            assert_eq!(failures.may_try_code(net, now), Ok(()));
            failures.wrong_key(net, now);
        }
        let now = start + WRONG_KEYS_PER_HOUR * Duration::from_secs(15);
        assert_eq!(failures.may_try_code(net, now), Err(HOUR - (now - start)));
        assert_eq!(failures.may_try_code(net, start + HOUR), Ok(()));
    }

    #[test]
    fn h_47_right_keys_never_count() {
        let failures = Attempts::new();
        for _ in 0..1_000 {
            assert_eq!(failures.may_try_key(address("192.0.2.1")), Ok(()));
        }
    }

    #[test]
    fn h_48_wrong_keys_from_many_addresses_open_the_breaker_and_links_still_work() {
        let start = Instant::now();
        let mut failures = Failures::default();
        let net = |n: u32| Net::of_key(IpAddr::V4(n.into()));
        let mut refused = 0;
        for n in 0..10_000 {
            match failures.may_try_code(net(n), start) {
                Ok(()) => failures.wrong_key(net(n), start),
                Err(wait) => {
                    assert_eq!(wait, MINUTE);
                    refused += 1;
                }
            }
        }
        assert_eq!(refused, 10_000 - WRONG_KEYS_SITE_PER_MIN);
        assert!(failures.breaker_open(start));
        assert_eq!(failures.may_try_link(net(20_000), start), Ok(()));
        assert_eq!(failures.may_try_code(net(20_000), start + MINUTE), Ok(()));
        assert!(failures.breaker_open(start + MINUTE));
        assert!(!failures.breaker_open(start + duration(BREAKER_OPEN)));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_itself() {
        assert_eq!(Net::of_key(address("2001:db8::1")), Net::of_key(address("2001:db8::ffff:1")));
        assert_ne!(Net::of_key(address("2001:db8::1")), Net::of_key(address("2001:db8:0:1::1")));
        assert_eq!(Net::of_key(address("::ffff:192.0.2.1")), Net::of_key(address("192.0.2.1")));
        assert_ne!(Net::of_key(address("192.0.2.1")), Net::of_key(address("192.0.2.2")));
        assert_eq!(Net::of_sign_in(address("192.0.2.1")), Net::of_sign_in(address("192.0.2.2")));
    }

    #[test]
    fn sign_ins_are_limited_by_network_and_by_process() {
        let clock = FakeRelativeClock::default();
        let attempts = Attempts::with_clock(clock.clone());
        for n in 0..SIGN_INS_PER_MIN {
            assert_eq!(attempts.may_sign_in(address("192.0.2.1"), &format!("user{n}")), Ok(()));
            clock.advance(Duration::from_millis(100));
        }
        let wait = attempts.may_sign_in(address("192.0.2.77"), "ana").unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(3), "{wait:?}");
        assert_eq!(attempts.may_sign_in(address("198.51.100.1"), "ana"), Ok(()));
        clock.advance(wait);
        assert_eq!(attempts.may_sign_in(address("192.0.2.77"), "ana"), Ok(()));

        clock.advance(MINUTE);
        for n in 0..SIGN_INS_SITE_PER_S {
            assert_eq!(attempts.may_sign_in(IpAddr::V4((n << 8).into()), "ben"), Ok(()));
        }
        assert!(attempts.may_sign_in(IpAddr::V4((99 << 8).into()), "ben").is_err());
    }

    #[test]
    fn an_account_waits_after_five_failures_doubling_to_fifteen_minutes_and_never_for_ever() {
        let mut now = Instant::now();
        let mut failures = Failures::default();
        let account = SecretHash::of(b"ana");
        for _ in 0..4 {
            failures.sign_in_failed(account, now);
            assert_eq!(failures.may_sign_in(account, now), Ok(()));
        }
        for minutes in [1, 2, 4, 8, 15, 15, 15] {
            failures.sign_in_failed(account, now);
            let wait = failures.may_sign_in(account, now).unwrap_err();
            assert_eq!(wait, minutes * MINUTE);
            now += wait;
            assert_eq!(failures.may_sign_in(account, now), Ok(()));
        }
        assert_eq!(failures.may_sign_in(SecretHash::of(b"ben"), now), Ok(()));
    }

    #[test]
    fn a_right_password_clears_the_account() {
        let attempts = Attempts::new();
        for _ in 0..4 {
            attempts.sign_in_failed(address("192.0.2.1"), "ana");
        }
        attempts.sign_in_succeeded("ana");
        attempts.sign_in_failed(address("192.0.2.1"), "ana");
        assert_eq!(attempts.may_sign_in(address("192.0.2.1"), "ana"), Ok(()));
    }

    #[test]
    fn i_m1_what_is_remembered_is_bounded_and_forgotten() {
        let now = Instant::now();
        let mut failures = Failures::default();
        for n in 0..ATTEMPTS_REMEMBERED as u32 + 1_000 {
            failures.wrong_key(Net::of_key(IpAddr::V4(n.into())), now);
            failures.sign_in_failed(SecretHash::of(&n.to_be_bytes()), now);
        }
        assert_eq!((failures.nets.len(), failures.accounts.len()), (ATTEMPTS_REMEMBERED, ATTEMPTS_REMEMBERED));
        failures.retain_recent(now + HOUR);
        assert_eq!((failures.nets.len(), failures.accounts.len()), (0, 0));
    }
}
