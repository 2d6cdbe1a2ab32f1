//! Wrong session keys: how many an address and the whole site have left (I-K3). Time is handed in.

use super::{duration, net::Net};
use crate::limits::{
    ATTEMPTS_REMEMBERED, BREAKER_OPEN, WORK_BITS, WORK_BITS_MAX, WRONG_KEYS_PER_HOUR, WRONG_KEYS_PER_MIN,
    WRONG_KEYS_SITE_PER_MIN, WRONG_KEYS_SITE_REMEMBERED,
};
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Moments of the last tries of each network, at most as many as it may have in an hour.
    pub(super) nets: HashMap<Net, VecDeque<Try>>,
    site: VecDeque<Try>,
    pub(super) breaker_until: Option<Instant>,
    next: u64,
    swept: Option<Instant>,
}

/// One try. It is under way until it was found wrong; a right one is taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Try {
    number: u64,
    pub(super) at: Instant,
    pub(super) wrong: bool,
}

/// A try that was counted.
#[derive(Debug)]
pub(super) struct Kept {
    number: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotYet {
    /// There were too many wrong ones: how long to wait.
    Wrong(Duration),
    /// So many are under way that all of them might be wrong.
    UnderWay,
    /// The site's budget is used up.
    NeedsWork { bits: u32 },
}

impl Keys {
    /// Counts a try, if there is one left. `worked`: for this one a puzzle was solved.
    pub(super) fn try_code(&mut self, net: Net, worked: bool, now: Instant) -> Result<Kept, NotYet> {
        self.may_try_link(net, now).map_err(NotYet::Wrong)?;
        if !worked && self.breaker_open(now) {
            return Err(NotYet::NeedsWork { bits: self.work_bits(now) });
        }
        let tries = self.nets.get(&net);
        let full = |limit, window| tries.is_some_and(|tries| within(tries.iter(), limit, window, now).is_err());
        let site_full = || within(self.site.iter(), WRONG_KEYS_SITE_PER_MIN, MINUTE, now).is_err();
        if full(WRONG_KEYS_PER_HOUR, HOUR) || full(WRONG_KEYS_PER_MIN, MINUTE) || (!worked && site_full()) {
            return Err(NotYet::UnderWay);
        }
        Ok(self.count(net, now))
    }

    /// Those that were found wrong decide.
    pub(super) fn may_try_link(&self, net: Net, now: Instant) -> Result<(), Duration> {
        let Some(tries) = self.nets.get(&net) else { return Ok(()) };
        let wrong = || tries.iter().filter(|tried| tried.wrong);
        within(wrong(), WRONG_KEYS_PER_HOUR, HOUR, now)?;
        within(wrong(), WRONG_KEYS_PER_MIN, MINUTE, now)
    }

    pub(super) fn count(&mut self, net: Net, now: Instant) -> Kept {
        if self.nets.len() >= ATTEMPTS_REMEMBERED && !self.nets.contains_key(&net) {
            self.make_room(now);
        }
        self.next += 1;
        let tried = Try { number: self.next, at: now, wrong: false };
        // So many networks in an hour: the site's budget is long gone and holds instead.
        if self.nets.len() < ATTEMPTS_REMEMBERED || self.nets.contains_key(&net) {
            push(self.nets.entry(net).or_default(), WRONG_KEYS_PER_HOUR, tried);
        }
        push(&mut self.site, WRONG_KEYS_SITE_REMEMBERED, tried);
        Kept { number: tried.number }
    }

    pub(super) fn wrong(&mut self, net: Net, kept: &Kept, now: Instant) {
        for tries in self.nets.get_mut(&net).into_iter().chain([&mut self.site]) {
            if let Some(tried) = tries.iter_mut().rev().find(|tried| tried.number == kept.number) {
                tried.wrong = true;
            }
        }
        let wrong = self.site.iter().filter(|tried| tried.wrong);
        if within(wrong, WRONG_KEYS_SITE_PER_MIN, MINUTE, now).is_err() {
            if !self.breaker_open(now) {
                tracing::warn!("the site's budget of wrong session keys is used up: codes need work, links do not");
            }
            self.breaker_until = Some(now + duration(BREAKER_OPEN));
        }
    }

    pub(super) fn give_back(&mut self, net: Net, kept: &Kept) {
        for tries in self.nets.get_mut(&net).into_iter().chain([&mut self.site]) {
            tries.retain(|tried| tried.number != kept.number);
        }
        if self.nets.get(&net).is_some_and(VecDeque::is_empty) {
            self.nets.remove(&net);
        }
    }

    pub(super) fn breaker_open(&self, now: Instant) -> bool {
        self.breaker_until.is_some_and(|until| until > now)
    }

    /// One more bit for each doubling of the wrong keys of the last minute: whoever has many machines is slowed too.
    fn work_bits(&self, now: Instant) -> u32 {
        let recent = |tried: &&Try| now.saturating_duration_since(tried.at) < MINUTE;
        let wrong = self.site.iter().rev().take_while(recent).filter(|tried| tried.wrong).count();
        let budgets = u32::try_from(wrong).unwrap_or(u32::MAX) / WRONG_KEYS_SITE_PER_MIN;
        (WORK_BITS + budgets.checked_ilog2().unwrap_or(0)).min(WORK_BITS_MAX)
    }

    /// A sweep looks at all that is remembered: at most one a second, however many come.
    fn make_room(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= Duration::from_secs(1)) {
            self.retain_recent(now);
        }
    }

    pub(super) fn retain_recent(&mut self, now: Instant) {
        self.swept = Some(now);
        self.nets.retain(|_, tries| tries.back().is_some_and(|last| now.saturating_duration_since(last.at) < HOUR));
    }

    /// As it was before a restart: these moments were wrong.
    pub(super) fn remember(&mut self, net: Net, wrong: impl Iterator<Item = Instant>) {
        for at in wrong.take(WRONG_KEYS_PER_HOUR as usize) {
            if self.nets.len() < ATTEMPTS_REMEMBERED || self.nets.contains_key(&net) {
                self.next += 1;
                let tried = Try { number: self.next, at, wrong: true };
                push(self.nets.entry(net).or_default(), WRONG_KEYS_PER_HOUR, tried);
            }
        }
    }
}

/// Whether fewer than `limit` of these tries lie within `window` before now; else how long until that is so.
fn within<'a>(
    tries: impl DoubleEndedIterator<Item = &'a Try>,
    limit: u32,
    window: Duration,
    now: Instant,
) -> Result<(), Duration> {
    let Some(decides) = tries.rev().nth(limit as usize - 1) else { return Ok(()) };
    match window.checked_sub(now.saturating_duration_since(decides.at)) {
        None | Some(Duration::ZERO) => Ok(()),
        Some(wait) => Err(wait),
    }
}

fn push(tries: &mut VecDeque<Try>, limit: u32, tried: Try) {
    if tries.len() >= limit as usize {
        tries.pop_front();
    }
    tries.push_back(tried);
}
