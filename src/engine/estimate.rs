//! How long a waiting customer may expect to wait (R10.1): from the intervals at which sessions were taken from the queue
//! while others were left waiting. The formula and its limits stand in `docs/routing.md`.

use super::{Queue, State};
use crate::{
    ids::*,
    limits,
    time::{Span, Time},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// The recent pace of each queue that had a backlog.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Paces(BTreeMap<Queue, Pace>);

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Pace {
    /// A session was taken at this moment and others have waited ever since: the next one taken ends an interval.
    since: Option<Time>,
    /// When each interval ended, and its length times the reps who were there: rep-milliseconds. The latest last.
    intervals: VecDeque<(Time, u64)>,
}

/// What a customer is told. The range holds four waits of five, as far as the past tells the future.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Estimate {
    pub about: Span,
    pub low: Span,
    pub high: Span,
}

impl State {
    /// The wait of whoever is at this place, from 1, among those of a queue that are on offer to nobody. None where that
    /// cannot honestly be said: too few intervals in the last hour, or nobody there to serve.
    pub fn estimate(&self, queue: Queue, place: u32) -> Option<Estimate> {
        let reps = self.serving(queue);
        let recent = |(at, _): &&(Time, u64)| at.since(Time(0)).0 + limits::PACE_MEMORY.0 >= self.now.0;
        let intervals: Vec<u128> = self
            .paces
            .0
            .get(&queue)?
            .intervals
            .iter()
            .filter(recent)
            .map(|(_, rep_ms)| u128::from(*rep_ms) / u128::from(reps.max(1)))
            .collect();
        let (known, place) = (intervals.len() as u128, u128::from(place));
        if reps == 0 || intervals.len() < limits::PACE_INTERVALS_MIN {
            return None;
        }
        let mean = intervals.iter().sum::<u128>() / known;
        let variance = intervals.iter().map(|interval| interval.abs_diff(mean).pow(2)).sum::<u128>() / known;
        // Of a sum of so many intervals, and of the mean itself, which is known from few.
        let spread = (variance * place + variance * place * place / known).isqrt() * 128 / 100;
        let about = mean * place;
        let span = |ms: u128| Span(u64::try_from(ms).unwrap_or(u64::MAX));
        Some(Estimate { about: span(about), low: span(about.saturating_sub(spread)), high: span(about + spread) })
    }

    /// The place of a waiting session among those of its queue that are on offer to nobody, from 1.
    pub fn place_unoffered(&self, id: SessionId) -> Option<(Queue, u32)> {
        let queue = self.sessions.get(&id)?.placed()?.queue;
        let order = self.in_order(queue);
        let ahead = order.iter().take_while(|other| **other != id).filter(|other| self.is_unoffered(**other)).count();
        Some((queue, u32::try_from(ahead + 1).unwrap_or(u32::MAX)))
    }

    pub fn is_unoffered(&self, id: SessionId) -> bool {
        self.sessions.get(&id).and_then(|it| it.waiting()).is_some_and(|waiting| waiting.offer.is_none())
    }

    /// Reps who may take from a queue.
    fn serving(&self, queue: Queue) -> u32 {
        match queue {
            Queue::Team(team) => self.index.logged_in(team),
            Queue::Personal(user) => u32::from(self.consoles.contains_key(&user)),
        }
    }

    fn others_wait(&self, queue: Queue, but: SessionId) -> bool {
        self.waiting_in(queue).any(|other| other != but && self.is_unoffered(other))
    }

    /// A session enters a queue: where nobody waited, no interval goes on.
    pub(super) fn fold_pace_entered(&mut self, queue: Queue, id: SessionId) {
        if !self.others_wait(queue, id)
            && let Some(pace) = self.paces.0.get_mut(&queue)
        {
            pace.since = None;
        }
    }

    /// A session was taken from a queue by a rep.
    pub(super) fn fold_pace_taken(&mut self, at: Time, queue: Queue, id: SessionId) {
        let (backlog, reps) = (self.others_wait(queue, id), u64::from(self.serving(queue)));
        if !backlog && !self.paces.0.contains_key(&queue) {
            return;
        }
        let pace = self.paces.0.entry(queue).or_default();
        if let Some(since) = pace.since.take() {
            if pace.intervals.len() == limits::PACE_INTERVALS {
                pace.intervals.pop_front();
            }
            pace.intervals.push_back((at, at.since(since).0.saturating_mul(reps)));
        }
        pace.since = backlog.then_some(at);
    }

    /// Queues that are gone have no pace.
    pub(super) fn fold_paces_of_site(&mut self) {
        let site = &self.site;
        self.paces.0.retain(|queue, _| match queue {
            Queue::Team(team) => site.teams.contains_key(team),
            Queue::Personal(user) => site.users.contains_key(user),
        });
    }
}
