//! Failed sign-ins of each account, and how long it waits for them: never for ever. Time is handed in.

use super::duration;
use crate::{
    ids::SecretHash,
    limits::{ATTEMPTS_REMEMBERED, SIGN_IN_FAILURES, SIGN_IN_WAIT, SIGN_IN_WAIT_MAX},
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

#[derive(Debug, Default)]
pub(super) struct SignIns {
    pub(super) accounts: HashMap<SecretHash, Account>,
    swept: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) failures: u32,
    pub(super) last: Instant,
    /// What `last` was before it, for a try that is given back.
    before: Instant,
}

impl Account {
    pub(super) fn recalled(failures: u32, last: Instant) -> Self {
        Self { failures, last, before: last }
    }

    /// Until when it is not looked at: a minute from the fifth failure on, doubling to a quarter of an hour.
    pub(super) fn until(&self) -> Option<Instant> {
        let beyond = self.failures.checked_sub(SIGN_IN_FAILURES)?;
        let wait = SIGN_IN_WAIT.0.saturating_mul(1 << beyond.min(16)).min(SIGN_IN_WAIT_MAX.0);
        Some(self.last + Duration::from_millis(wait))
    }
}

impl SignIns {
    pub(super) fn may_try(&self, account: SecretHash, now: Instant) -> Result<(), Duration> {
        match self.accounts.get(&account).and_then(Account::until) {
            Some(until) if until > now => Err(until - now),
            _ => Ok(()),
        }
    }

    /// One more failure, until it is taken back.
    pub(super) fn count(&mut self, account: SecretHash, now: Instant) {
        if self.accounts.len() >= ATTEMPTS_REMEMBERED && !self.accounts.contains_key(&account) {
            // A sweep looks at all that is remembered: at most one a second, however many come.
            if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= Duration::from_secs(1)) {
                self.retain_recent(now);
            }
            if self.accounts.len() >= ATTEMPTS_REMEMBERED {
                return;
            }
        }
        let account = self.accounts.entry(account).or_insert(Account::recalled(0, now));
        account.failures = account.failures.saturating_add(1);
        account.before = std::mem::replace(&mut account.last, now);
    }

    pub(super) fn give_back(&mut self, account: SecretHash) {
        if let Some(kept) = self.accounts.get_mut(&account) {
            kept.failures = kept.failures.saturating_sub(1);
            kept.last = kept.before;
            if kept.failures == 0 {
                self.forget(account);
            }
        }
    }

    /// How many failures are forgotten.
    pub(super) fn forget(&mut self, account: SecretHash) -> u32 {
        self.accounts.remove(&account).map_or(0, |account| account.failures)
    }

    pub(super) fn retain_recent(&mut self, now: Instant) {
        self.swept = Some(now);
        // Twice the longest wait without a failure: a fresh start.
        let forget = 2 * duration(SIGN_IN_WAIT_MAX);
        self.accounts.retain(|_, account| now.saturating_duration_since(account.last) < forget);
    }
}
