//! What a run comes to: figures for each queue and in total, as JSON and as a table with a histogram for people.
//!
//! `arrived = answered + abandoned + refused + unanswered`, and a customer counts where they first asked.

use super::{Foresaw, series::Series};
use crate::time::{Span, Time};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// The last line of a run with arrivals.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    pub queues: BTreeMap<String, Figures>,
    pub total: Figures,
    /// How well customers were told their wait (R10.1).
    pub estimate: Foresaw,
}

/// Waits are from the ask to the accept, over all answered, zeros included; none where nobody was answered.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Figures {
    pub arrived: u64,
    pub answered: u64,
    /// Gave up while waiting.
    pub abandoned: u64,
    /// Never let into a queue: nobody there, or no room.
    pub refused: u64,
    /// Still waiting at the end, or ended by a rule.
    pub unanswered: u64,
    pub mean_wait_s: Option<f64>,
    pub p50_wait_s: Option<f64>,
    pub p95_wait_s: Option<f64>,
    pub p99_wait_s: Option<f64>,
    /// Answered within the target, of all answered.
    pub service_level: Option<f64>,
    /// Sessions handled, of those that the reps logged in could have handled, over time.
    pub occupancy: Option<f64>,
    pub max_queue: u64,
    /// Waiting, over time.
    pub mean_queue: Option<f64>,
    #[serde(skip)]
    pub(super) waits: Histogram,
    #[serde(skip)]
    pub(super) series: Series,
}

/// What is counted while the run goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub arrived: u64,
    pub abandoned: u64,
    pub refused: u64,
    pub max_queue: u64,
    /// Waits of the answered, in milliseconds.
    pub waits: Vec<u64>,
    /// Sessions handled, places to handle them, and sessions waiting: each times milliseconds.
    pub busy: u128,
    pub capacity: u128,
    pub waiting: u128,
    pub spent: Span,
    pub series: Series,
}

impl Tally {
    /// For a run that is looked at until here.
    pub fn over(horizon: Time) -> Self {
        Self { series: Series::over(horizon), ..Self::default() }
    }

    /// Time goes on with so many active, places and waiting.
    pub fn pass(&mut self, from: Time, to: Time, active: u64, places: u64, waiting: u64) {
        self.series.pass(from, to, waiting, active, places);
        let span = to.since(from);
        let ms = u128::from(span.0);
        self.busy += u128::from(active) * ms;
        self.capacity += u128::from(places) * ms;
        self.waiting += u128::from(waiting) * ms;
        self.spent = Span(self.spent.0 + span.0);
        self.max_queue = self.max_queue.max(waiting);
    }

    pub fn figures(mut self, target: Span) -> Figures {
        self.waits.sort_unstable();
        let waits = &self.waits;
        let answered = waits.len() as u64;
        let within = waits.partition_point(|wait| *wait <= target.0);
        let sum: u128 = waits.iter().map(|wait| u128::from(*wait)).sum();
        let ratio = |part: f64, whole: f64| (whole > 0.0).then(|| rounded(part / whole));
        Figures {
            arrived: self.arrived,
            answered,
            abandoned: self.abandoned,
            refused: self.refused,
            unanswered: self.arrived.saturating_sub(answered + self.abandoned + self.refused),
            mean_wait_s: ratio(sum as f64 / 1000.0, answered as f64),
            p50_wait_s: percentile(waits, 50),
            p95_wait_s: percentile(waits, 95),
            p99_wait_s: percentile(waits, 99),
            service_level: ratio(within as f64, answered as f64),
            occupancy: ratio(self.busy as f64, self.capacity as f64),
            max_queue: self.max_queue,
            mean_queue: ratio(self.waiting as f64, self.spent.0 as f64),
            waits: Histogram::of(waits),
            series: self.series,
        }
    }
}

/// The smallest wait that at least so many percent did not exceed.
fn percentile(sorted: &[u64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.max(1) - 1).map(|ms| *ms as f64 / 1000.0)
}

/// To a millionth: more would only be noise.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Waits in steps that people think in.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Histogram([u64; STEPS.len() + 1]);

/// Upper ends of the bars, in seconds.
const STEPS: [u64; 9] = [0, 5, 10, 20, 30, 60, 120, 300, 900];
const BAR: u64 = 40;

impl Histogram {
    fn of(waits: &[u64]) -> Self {
        let mut counts = Self::default();
        for wait in waits {
            counts.0[STEPS.partition_point(|step| step * 1000 < *wait)] += 1;
        }
        counts
    }

    /// Each bar's label and count, and whether it lies within the target.
    pub(super) fn bars(&self, target: Span) -> impl Iterator<Item = (String, u64, bool)> {
        let label = |at: usize| match STEPS.get(at) {
            Some(0) => "at once".to_owned(),
            Some(step) if *step > 60 => format!("≤ {} min", step / 60),
            Some(step) => format!("≤ {step} s"),
            None => "longer".to_owned(),
        };
        let within = move |at: usize| STEPS.get(at).is_some_and(|step| Span::seconds(*step) <= target);
        self.0.iter().enumerate().map(move |(at, count)| (label(at), *count, within(at)))
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.0.iter().copied().max().unwrap_or(0).max(1);
        for (at, count) in self.0.iter().enumerate() {
            let label = match STEPS.get(at) {
                Some(0) => "at once".to_owned(),
                Some(step) => format!("up to {step} s"),
                None => "longer".to_owned(),
            };
            let bar = (count * BAR).div_ceil(most) as usize;
            let bar = "█".repeat(bar);
            writeln!(f, "{}", format!("  {label:<12} {count:>9}  {bar}").trim_end())?;
        }
        Ok(())
    }
}

/// For people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.queues.keys().map(|queue| queue.chars().count()).max().unwrap_or(0).max(5);
        writeln!(
            f,
            "{:<widest$}  {:>8} {:>8} {:>9} {:>7} {:>10}  {:>9} {:>8} {:>8} {:>8}  {:>7} {:>9} {:>9}",
            "queue",
            "arrived",
            "answered",
            "abandoned",
            "refused",
            "unanswered",
            "mean wait",
            "p50",
            "p95",
            "p99",
            "service",
            "occupancy",
            "max queue"
        )?;
        let total = (self.queues.len() != 1).then_some(("total", &self.total));
        for (name, it) in self.queues.iter().map(|(name, it)| (name.as_str(), it)).chain(total) {
            let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1} s"));
            let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1} %", value * 100.0));
            writeln!(
                f,
                "{name:<widest$}  {:>8} {:>8} {:>9} {:>7} {:>10}  {:>9} {:>8} {:>8} {:>8}  {:>7} {:>9} {:>9}",
                it.arrived,
                it.answered,
                it.abandoned,
                it.refused,
                it.unanswered,
                seconds(it.mean_wait_s),
                seconds(it.p50_wait_s),
                seconds(it.p95_wait_s),
                seconds(it.p99_wait_s),
                percent(it.service_level),
                percent(it.occupancy),
                it.max_queue,
            )?;
        }
        write!(f, "\nwaits of those answered\n{}", self.total.waits)
    }
}
