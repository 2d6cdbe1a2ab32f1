//! How well customers were told their wait (R10.1): each estimate given to one who began to wait, against the wait it
//! became.

use super::report::rounded;
use crate::{
    engine::{State, estimate::Estimate},
    ids::SessionId,
    time::Time,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Over customers who had to wait and were served. Estimates are those given on arrival.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Foresaw {
    /// Were told a wait; were told that it is not known.
    pub told: u64,
    pub unknown: u64,
    /// Waits that were within the range they were told, of those told one.
    pub within_range: Option<f64>,
    /// Told less waited: above 0 where too much was told.
    pub mean_error_s: Option<f64>,
    pub mean_absolute_error_s: Option<f64>,
    /// Of those who were told a wait.
    pub mean_wait_s: Option<f64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Foresight {
    /// Who waits, since when, and what was said.
    waiting: BTreeMap<SessionId, (Time, Option<Estimate>)>,
    told: u64,
    unknown: u64,
    within: u64,
    error_ms: i128,
    absolute_ms: u128,
    waited_ms: u128,
}

impl Foresight {
    /// A session was queued, and is on offer to nobody.
    pub fn queued(&mut self, at: Time, state: &State, session: SessionId) {
        if let Some((queue, place)) = state.place_unoffered(session).filter(|_| state.is_unoffered(session)) {
            self.waiting.insert(session, (at, state.estimate(queue, place)));
        }
    }

    pub fn accepted(&mut self, at: Time, session: SessionId) {
        let Some((since, said)) = self.waiting.remove(&session) else { return };
        let Some(said) = said else {
            self.unknown += 1;
            return;
        };
        let waited = at.since(since);
        let error = i128::from(said.about.0) - i128::from(waited.0);
        self.told += 1;
        self.within += u64::from(said.low <= waited && waited <= said.high);
        self.error_ms += error;
        self.absolute_ms += error.unsigned_abs();
        self.waited_ms += u128::from(waited.0);
    }

    pub fn gone(&mut self, session: SessionId) {
        self.waiting.remove(&session);
    }

    pub fn foresaw(&self) -> Foresaw {
        let mean = |sum: f64| (self.told > 0).then(|| rounded(sum / self.told as f64));
        Foresaw {
            told: self.told,
            unknown: self.unknown,
            within_range: mean(self.within as f64),
            mean_error_s: mean(self.error_ms as f64 / 1000.0),
            mean_absolute_error_s: mean(self.absolute_ms as f64 / 1000.0),
            mean_wait_s: mean(self.waited_ms as f64 / 1000.0),
        }
    }
}
